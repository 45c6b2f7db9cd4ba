//! A sources index: which source packages a repository offers, and which files each is made of.
//!
//! It is read as a stream, a paragraph at a time, since a build asks for some dozens of the forty thousand. As with
//! packages only SHA-256 is believed. See <https://wiki.debian.org/DebianRepository/Format>, "Sources Indices".

use std::collections::BTreeMap;
use std::io::{self, BufRead};

use serde::{Deserialize, Serialize};

use super::index::{self, LARGEST};
use super::stream::Text;
use crate::debian::Version;
use crate::debian::deb822::{self, Paragraph};
use crate::debian::version;
use crate::digest::Digest;

/// No source package has more files.
const MOST_FILES: usize = 10_000;

/// Versions wanted, by the source package's name.
pub type WantedSources = BTreeMap<String, Vec<Version>>;

/// A source package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourcePackage {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: Version,
    /// Its files, in the index's order.
    pub files: Vec<SourceFile>,
}

/// A file of a source package: the `.dsc`, or one that it names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceFile {
    /// Its path below the repository's base: relative, without `..`.
    pub path: String,
    /// Its size in bytes.
    pub size: u64,
    /// The digest of its bytes.
    pub sha256: Digest,
}

/// An index that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It can't be read or unpacked, or is no text.
    #[error("cannot read sources index: {0}")]
    Io(#[from] io::Error),
    /// A paragraph that was wanted is none.
    #[error("cannot read sources index: {0}")]
    Format(#[from] deb822::Error),
    /// A source package that was wanted cannot be fetched safely.
    #[error("cannot read sources index: {name} at line {line}: {problem}")]
    Source {
        /// The source package.
        name: String,
        /// Where its paragraph begins.
        line: usize,
        /// What is wrong.
        problem: String,
    },
}

/// Returns those source packages of an index that are wanted, each once; once all are found, the rest isn't read.
pub fn find(mut reader: impl BufRead, wanted: &WantedSources) -> Result<Vec<SourcePackage>, Error> {
    let n_wanted: usize = wanted.values().map(Vec::len).sum();
    let mut found: Vec<SourcePackage> = Vec::new();
    let mut text = Text::default();
    while found.len() < n_wanted && text.read(&mut reader)? {
        let wanted = name_in(text.bytes()).and_then(|name| Some((name, wanted.get(name)?)));
        let Some((name, versions)) = wanted else { continue };
        let package = package(&text, name, versions)?;
        found.extend(package.filter(|one| !found.iter().any(|known| is_same(known, one))));
    }
    Ok(found)
}

fn is_same(a: &SourcePackage, b: &SourcePackage) -> bool {
    a.name == b.name && a.version == b.version
}

/// Returns what the field `Package` of a paragraph says, without reading the others.
fn name_in(bytes: &[u8]) -> Option<&str> {
    const FIELD: &[u8] = b"package:";
    let mut lines = bytes.split(|&byte| byte == b'\n');
    let is_field =
        |line: &&[u8]| line.get(..FIELD.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(FIELD));
    let line = lines.find(is_field)?;
    Some(std::str::from_utf8(&line[FIELD.len()..]).ok()?.trim())
}

/// Returns the package of a paragraph, if it is of one of these versions.
fn package(text: &Text, name: &str, versions: &[Version]) -> Result<Option<SourcePackage>, Error> {
    let paragraph = text.paragraph()??;
    let fail = |problem| Error::Source { name: name.to_owned(), line: text.line(), problem };
    let version = paragraph.get("Version").unwrap_or_default();
    let version: Version = version.parse().map_err(|error: version::Error| fail(error.to_string()))?;
    if !versions.contains(&version) {
        return Ok(None);
    }
    let files = files(&paragraph).map_err(fail)?;
    Ok(Some(SourcePackage { name: name.to_owned(), version, files }))
}

/// Reads ` digest size name`, a file a line.
fn files(paragraph: &Paragraph<'_>) -> Result<Vec<SourceFile>, String> {
    let directory = paragraph.get("Directory").unwrap_or_default();
    let lines = paragraph.get("Checksums-Sha256").unwrap_or_default().lines();
    let lines: Vec<&str> =
        lines.map(str::trim).filter(|line| !line.is_empty()).take(MOST_FILES + 1).collect();
    match lines.len() {
        0 => Err("field Checksums-Sha256 is missing".to_owned()),
        1..=MOST_FILES => lines.into_iter().map(|line| file(directory, line)).collect(),
        _ => Err(format!("it has more than {MOST_FILES} files")),
    }
}

fn file(directory: &str, line: &str) -> Result<SourceFile, String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let &[digest, size, name] = words.as_slice() else {
        return Err(format!(
            "field Checksums-Sha256: expected digest, size and name, got {:?}",
            excerpt(line)
        ));
    };
    let path = match directory {
        "" | "." => name.to_owned(),
        directory => format!("{directory}/{name}"),
    };
    if name.contains('/') || !index::is_inside(&path) {
        return Err(format!("a file leads out of the archive: {:?}", excerpt(&path)));
    }
    let size = size.parse().ok().filter(|size| *size <= LARGEST);
    Ok(SourceFile {
        path,
        size: size.ok_or_else(|| format!("the size of {:?} is not a number of bytes", excerpt(name)))?,
        sha256: Digest::from_hex(digest).map_err(|error| format!("field Checksums-Sha256: {error}"))?,
    })
}

fn excerpt(text: &str) -> String {
    text.chars().take(100).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn paragraph(name: &str, version: &str, fields: &str) -> String {
        format!("Package: {name}\nBinary: {name}, lib{name}\nVersion: {version}\n{fields}\n")
    }

    fn entry(name: &str, version: &str) -> String {
        let files = format!(
            "Files:\n d41d8cd98f00b204e9800998ecf8427e 3 {name}.dsc\nChecksums-Sha256:\n {HEX} 3 {name}.dsc\n {HEX} 70 {name}.tar.xz\n"
        );
        paragraph(name, version, &format!("Directory: pool/{name}\n{files}"))
    }

    fn wanted(pairs: &[(&str, &str)]) -> WantedSources {
        let mut wanted = WantedSources::new();
        for (name, version) in pairs {
            wanted.entry((*name).to_owned()).or_default().push(version.parse().unwrap());
        }
        wanted
    }

    fn names(text: &str, pairs: &[(&str, &str)]) -> Vec<String> {
        let found = find(text.as_bytes(), &wanted(pairs)).unwrap();
        found.iter().map(|package| format!("{} {}", package.name, package.version)).collect()
    }

    #[test]
    fn only_the_versions_wanted_are_found() {
        let text = entry("jq", "1") + &entry("jq", "2") + "\n\n" + &entry("jo", "1:1") + &entry("jq", "2");
        assert_eq!(names(&text, &[("jq", "2"), ("jo", "1:1"), ("jq", "3"), ("no", "1")]), ["jq 2", "jo 1:1"]);
        assert_eq!(names(text.trim_end(), &[("jq", "1")]), ["jq 1"]);
        let broken_behind = entry("jq", "1") + "no field\n";
        assert_eq!(names(&broken_behind, &[("jq", "1")]), ["jq 1"]);
    }

    #[test]
    fn files_lie_in_the_sources_directory() {
        let found = find(entry("jq", "1").as_bytes(), &wanted(&[("jq", "1")])).unwrap();
        let files: Vec<(&str, u64)> =
            found[0].files.iter().map(|file| (file.path.as_str(), file.size)).collect();
        assert_eq!(files, [("pool/jq/jq.dsc", 3), ("pool/jq/jq.tar.xz", 70)]);
        assert_eq!(found[0].files[0].sha256.hex(), HEX);
        let flat = entry("jq", "1").replace("Directory: pool/jq", "Directory: .");
        assert_eq!(find(flat.as_bytes(), &wanted(&[("jq", "1")])).unwrap()[0].files[0].path, "jq.dsc");
    }

    #[test]
    fn what_cannot_be_fetched_safely_is_refused_if_it_is_wanted() {
        let sums = |line: &str| format!("Directory: pool\nChecksums-Sha256:\n {line}\n");
        for (fields, problem) in [
            (String::new(), "field Checksums-Sha256 is missing"),
            (sums("12 3 x"), "field Checksums-Sha256: cannot read digest"),
            (sums(&format!("{HEX} x")), "field Checksums-Sha256: expected digest, size and name"),
            (sums(&format!("{HEX} 3 ../x")), "a file leads out of the archive: \"pool/../x\""),
            (sums(&format!("{HEX} 3 ..")), "a file leads out of the archive: \"pool/..\""),
            (sums(&format!("{HEX} -3 x")), "the size of \"x\" is not a number of bytes"),
            (
                sums(&format!("{HEX} 3 x")).replace("pool", "/etc"),
                "a file leads out of the archive: \"/etc/x\"",
            ),
        ] {
            let text = entry("jo", "1") + &paragraph("jq", "1", &fields);
            let error = find(text.as_bytes(), &wanted(&[("jq", "1")])).unwrap_err().to_string();
            assert!(error.starts_with("cannot read sources index: jq at line 11: "), "{error}");
            assert!(error.contains(problem), "{error}");
            assert!(names(&text, &[("jo", "1")]) == ["jo 1"], "who doesn't ask for it isn't troubled");
        }
    }

    #[test]
    fn a_paragraph_without_end_is_refused() {
        let endless = io::BufReader::new(io::repeat(b'x'));
        assert!(find(endless, &wanted(&[("jq", "1")])).unwrap_err().to_string().contains("more than"));
    }
}
