//! dpkg's lists of what packages brought: pure reading of `info/*.md5sums`, `diversions`, and the configuration files in
//! `status`. Sums are MD5, dpkg's own choice: they tell whether a file is still the package's, and prove nothing.

use std::collections::BTreeMap;

use md5::{Digest as _, Md5};

use super::deb822;

/// The MD5 sum of a file, in hexadecimal digits.
pub type Sum = String;

/// Reads what a list of sums says: paths without a leading slash.
pub fn sums(text: &[u8]) -> BTreeMap<Vec<u8>, Sum> {
    let lines = text.split(|&byte| byte == b'\n');
    let line = |line: &[u8]| {
        let (sum, path) = line.split_at_checked(32)?;
        let path = path.strip_prefix(b"  ").or_else(|| path.strip_prefix(b" *"))?;
        Some((path.to_vec(), String::from_utf8(sum.to_ascii_lowercase()).ok()?))
    };
    lines.filter_map(line).collect()
}

/// Returns the sum of all that is read.
pub fn sum(mut reader: impl std::io::Read) -> std::io::Result<Sum> {
    let mut hasher = Md5::new();
    std::io::copy(&mut reader, &mut hasher)?;
    Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// A path that is put elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diversion {
    /// The path, with its leading slash.
    pub from: Vec<u8>,
    /// Where it goes.
    pub to: Vec<u8>,
    /// The package whose own file stays, or `:`.
    pub package: Vec<u8>,
}

/// Reads the list of diversions: three lines each.
pub fn diversions(text: &[u8]) -> Vec<Diversion> {
    let lines: Vec<&[u8]> = text.split(|&byte| byte == b'\n').collect();
    let diversion = |lines: &[&[u8]]| match lines {
        [from, to, package] => {
            Some(Diversion { from: from.to_vec(), to: to.to_vec(), package: package.to_vec() })
        }
        _ => None,
    };
    lines.chunks(3).filter_map(diversion).collect()
}

/// What the record of packages says of names and configuration files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// Architectures by the package's name.
    pub architectures: BTreeMap<String, Vec<String>>,
    /// Sums of configuration files as their packages brought them, by path without a leading slash.
    pub conffiles: BTreeMap<Vec<u8>, Sum>,
}

/// Reads the record of packages; what can't be read of it is not known.
pub fn known(status: &str) -> Known {
    let mut known = Known::default();
    for paragraph in deb822::paragraphs(status).map_while(Result::ok) {
        let is_there = paragraph.get("Status").is_some_and(|status| !status.ends_with(" not-installed"));
        let (Some(name), Some(architecture)) = (paragraph.get("Package"), paragraph.get("Architecture"))
        else {
            continue;
        };
        if is_there {
            known.architectures.entry(name.to_owned()).or_default().push(architecture.to_owned());
        }
        for line in paragraph.get("Conffiles").unwrap_or_default().lines() {
            let mut words = line.trim().split(' ');
            if let (Some(path), Some(sum)) = (words.next(), words.next()) {
                known.conffiles.insert(path.trim_start_matches('/').into(), sum.to_owned());
            }
        }
    }
    known
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_read_as_md5sum_writes_them() {
        let text = b"d41d8cd98f00b204e9800998ecf8427e  usr/bin/a b\nnot a line\n";
        let read = sums(text);
        assert_eq!(read[&b"usr/bin/a b"[..]], sum(&b""[..]).unwrap());
        assert_eq!(read.len(), 1);
    }

    #[test]
    fn the_record_tells_architectures_and_configuration_files() {
        let status = "Package: a\nStatus: install ok installed\nArchitecture: amd64\nConffiles:\n /etc/a d41d\n /etc/old e41d obsolete\n\n\
                      Package: a\nStatus: install ok installed\nArchitecture: i386\n\n\
                      Package: b\nStatus: purge ok not-installed\nArchitecture: all\n";
        let known = known(status);
        assert_eq!(known.architectures["a"], ["amd64", "i386"]);
        assert!(!known.architectures.contains_key("b"));
        assert_eq!(known.conffiles[&b"etc/old"[..]], "e41d");
    }

    #[test]
    fn a_diversion_is_three_lines() {
        let read = diversions(b"/usr/bin/a\n/usr/bin/a.real\nb\n");
        assert_eq!(read.len(), 1);
        assert_eq!((&*read[0].to, &*read[0].package), (&b"/usr/bin/a.real"[..], &b"b"[..]));
    }
}
