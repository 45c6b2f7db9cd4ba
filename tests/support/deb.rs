//! Binary packages, built in code and the same to the byte each time.
//!
//! A `.deb` is an `ar` archive of `debian-binary`, `control.tar.*` and `data.tar.*`, in this order
//! (deb(5)). What dpkg refuses can be written too: raw tar entries, members in any order.

use std::collections::BTreeSet;
use std::io::Write;

use pgp::crypto::hash::HashAlgorithm;

use super::tarball::{Entry, Tarball};

/// How `control.tar` and `data.tar` are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// gzip
    Gz,
    /// xz, Debian's choice
    Xz,
    /// Zstandard, Ubuntu's choice
    Zst,
    /// not at all
    None,
}

impl Compression {
    /// Returns what is appended to a file's name.
    pub fn suffix(self) -> &'static str {
        match self {
            Compression::Gz => ".gz",
            Compression::Xz => ".xz",
            Compression::Zst => ".zst",
            Compression::None => "",
        }
    }
}

/// Compresses `bytes`.
pub fn compress(compression: Compression, bytes: &[u8]) -> Vec<u8> {
    match compression {
        Compression::Gz => {
            let level = flate2::Compression::new(6);
            let mut encoder = flate2::GzBuilder::new().mtime(0).write(Vec::new(), level);
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        Compression::Xz => {
            let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        Compression::Zst => zstd::encode_all(bytes, 3).unwrap(),
        Compression::None => bytes.to_vec(),
    }
}

/// One member of the outer `ar` archive.
#[derive(Clone, Debug)]
pub struct Member {
    /// Its name, as `data.tar.xz`.
    pub name: String,
    /// Its bytes.
    pub content: Vec<u8>,
}

/// A binary package in the making.
#[derive(Clone, Debug)]
pub struct Deb {
    fields: Vec<(String, String)>,
    control: Vec<Entry>,
    data: Vec<Entry>,
    conffiles: Vec<String>,
    mtime: u64,
    ar_mtime: u64,
    rearrange: fn(Vec<Member>) -> Vec<Member>,
}

/// 2024-01-01T00:00:00Z
const MTIME: u64 = 1_704_067_200;

impl Deb {
    /// Returns an empty package for every architecture.
    pub fn new(name: &str, version: &str) -> Deb {
        let fields = [
            ("Package", name),
            ("Version", version),
            ("Architecture", "all"),
            ("Maintainer", "Nobody <nobody@archive.example>"),
            ("Description", "a package for tests"),
        ];
        Deb {
            fields: fields.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
            control: Vec::new(),
            data: Vec::new(),
            conffiles: Vec::new(),
            mtime: MTIME,
            ar_mtime: MTIME,
            rearrange: |members| members,
        }
    }

    /// Sets a field of the control file, in place of an earlier one of the same name.
    pub fn field(mut self, key: &str, value: &str) -> Deb {
        match self.fields.iter_mut().find(|(existing, _)| existing.eq_ignore_ascii_case(key)) {
            Some(field) => field.1 = value.to_owned(),
            None => self.fields.push((key.to_owned(), value.to_owned())),
        }
        self
    }

    /// Sets the architecture.
    pub fn architecture(self, architecture: &str) -> Deb {
        self.field("Architecture", architecture)
    }

    /// Sets what the package depends on.
    pub fn depends(self, relations: &str) -> Deb {
        self.field("Depends", relations)
    }

    /// Says that the package belongs to every system.
    pub fn essential(self) -> Deb {
        self.field("Essential", "yes")
    }

    /// Adds a file; `path` is absolute in the installed system.
    pub fn file(self, path: &str, mode: u32, content: impl AsRef<[u8]>) -> Deb {
        let name = in_archive(path);
        self.entry(Entry::file(&name, mode, content))
    }

    /// Adds a symbolic link.
    pub fn symlink(self, path: &str, target: &str) -> Deb {
        let name = in_archive(path);
        self.entry(Entry::symlink(&name, target))
    }

    /// Adds a hard link to a file added before.
    pub fn hardlink(self, path: &str, target: &str) -> Deb {
        let (name, target) = (in_archive(path), in_archive(target));
        self.entry(Entry::hardlink(&name, &target))
    }

    /// Adds a directory; those above a file come of themselves, mode 0755.
    pub fn directory(self, path: &str, mode: u32) -> Deb {
        let name = format!("{}/", in_archive(path));
        self.entry(Entry::directory(&name, mode))
    }

    /// Adds a maintainer script: `preinst`, `postinst`, `prerm`, `postrm`, `config`.
    pub fn script(mut self, name: &str, text: &str) -> Deb {
        self.control.push(Entry::file(&format!("./{name}"), 0o755, text));
        self
    }

    /// Adds another file to the control member: `triggers`, `templates`, `shlibs` …
    pub fn control_file(mut self, name: &str, text: &str) -> Deb {
        self.control.push(Entry::file(&format!("./{name}"), 0o644, text));
        self
    }

    /// Says that a file added before is a configuration file.
    pub fn conffile(mut self, path: &str) -> Deb {
        self.conffiles.push(path.to_owned());
        self
    }

    /// Adds an entry to the data member as it is: owners, devices, extended attributes, hostile names.
    pub fn entry(mut self, entry: Entry) -> Deb {
        self.data.push(entry);
        self
    }

    /// Adds an entry to the control member as it is.
    pub fn control_entry(mut self, entry: Entry) -> Deb {
        self.control.push(entry);
        self
    }

    /// Sets the time of every file inside.
    pub fn mtime(self, mtime: u64) -> Deb {
        Deb { mtime, ..self }
    }

    /// Sets the time in the headers of the outer archive.
    pub fn ar_mtime(self, ar_mtime: u64) -> Deb {
        Deb { ar_mtime, ..self }
    }

    /// Changes the members of the outer archive at the last moment.
    pub fn rearrange(self, rearrange: fn(Vec<Member>) -> Vec<Member>) -> Deb {
        Deb { rearrange, ..self }
    }

    /// Returns the value of a control field.
    pub fn value(&self, key: &str) -> Option<&str> {
        let found = self.fields.iter().find(|(existing, _)| existing.eq_ignore_ascii_case(key));
        found.map(|(_, value)| value.as_str())
    }

    /// Returns the package's name.
    pub fn name(&self) -> &str {
        self.value("Package").unwrap()
    }

    /// Returns the package's version.
    pub fn version(&self) -> &str {
        self.value("Version").unwrap()
    }

    /// Returns name and version of the source: the `Source` field, else its own.
    pub fn source(&self) -> (String, String) {
        let source = self.value("Source").unwrap_or(self.name());
        match source.split_once(" (") {
            Some((name, version)) => (name.to_owned(), version.trim_end_matches(')').to_owned()),
            None => (source.to_owned(), self.version().to_owned()),
        }
    }

    /// Returns the file name in a pool: without the epoch.
    pub fn file_name(&self) -> String {
        let version = self.version().split_once(':').map_or(self.version(), |(_, version)| version);
        format!("{}_{version}_{}.deb", self.name(), self.value("Architecture").unwrap())
    }

    /// Returns the control file.
    pub fn control_text(&self) -> String {
        self.fields.iter().map(|(key, value)| format!("{key}: {value}\n")).collect()
    }

    /// Returns the package's bytes.
    pub fn build(&self, compression: Compression) -> Vec<u8> {
        let suffix = compression.suffix();
        let control = compress(compression, &self.control_tarball().build());
        let data = compress(compression, &self.data_tarball().build());
        let members = vec![
            Member { name: "debian-binary".into(), content: b"2.0\n".to_vec() },
            Member { name: format!("control.tar{suffix}"), content: control },
            Member { name: format!("data.tar{suffix}"), content: data },
        ];
        ar(&(self.rearrange)(members), self.ar_mtime)
    }

    fn control_tarball(&self) -> Tarball {
        let mut entries = vec![
            Entry::directory("./", 0o755),
            Entry::file("./control", 0o644, self.control_text()),
            Entry::file("./md5sums", 0o644, self.md5sums()),
        ];
        if !self.conffiles.is_empty() {
            entries.push(Entry::file("./conffiles", 0o644, self.conffiles.join("\n") + "\n"));
        }
        entries.extend(self.control.iter().cloned());
        self.stamped(entries)
    }

    fn data_tarball(&self) -> Tarball {
        let mut entries = vec![Entry::directory("./", 0o755)];
        let mut known: BTreeSet<String> = BTreeSet::from(["./".to_owned()]);
        for entry in &self.data {
            for parent in parents(&entry.name) {
                if known.insert(parent.clone()) {
                    entries.push(Entry::directory(&parent, 0o755));
                }
            }
            known.insert(entry.name.clone());
            entries.push(entry.clone());
        }
        self.stamped(entries)
    }

    fn stamped(&self, entries: Vec<Entry>) -> Tarball {
        let stamp = |entry: Entry| match entry.mtime {
            0 => entry.at(self.mtime),
            _ => entry,
        };
        entries.into_iter().map(stamp).fold(Tarball::new(), Tarball::entry)
    }

    fn md5sums(&self) -> String {
        let files = self.data.iter().filter(|entry| entry.kind == b'0');
        let line =
            |entry: &Entry| format!("{}  {}\n", md5(&entry.content), entry.name.trim_start_matches("./"));
        files.map(line).collect()
    }
}

/// Returns the MD5 digest in hexadecimal digits, which only Debian's own lists still want.
pub fn md5(bytes: &[u8]) -> String {
    let digest = HashAlgorithm::Md5.digest(bytes).unwrap();
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn in_archive(path: &str) -> String {
    format!("./{}", path.trim_matches('/'))
}

/// The directories above `./usr/bin/x` are `./usr/` and `./usr/bin/`; a hostile name has none.
fn parents(name: &str) -> Vec<String> {
    if !name.starts_with("./") || name.contains("..") {
        return Vec::new();
    }
    let name = name.trim_end_matches('/');
    name.match_indices('/').skip(1).map(|(index, _)| name[..=index].to_owned()).collect()
}

fn ar(members: &[Member], mtime: u64) -> Vec<u8> {
    let mut archive = b"!<arch>\n".to_vec();
    for Member { name, content } in members {
        let header = format!("{name:<16}{mtime:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, "100644", content.len());
        archive.extend(header.into_bytes());
        archive.extend(content);
        if content.len() % 2 == 1 {
            archive.push(b'\n');
        }
    }
    archive
}
