//! A packages index: which packages a repository offers and where each lies in its pool.
//!
//! The index is a text already fetched and verified. Only SHA-256 is believed; a package without it is refused.

use crate::debian::deb822::{self, Paragraph};
use crate::debian::package::{self, Package};
use crate::digest::Digest;

/// Larger than any package, so that a hostile number stays a number.
const LARGEST: u64 = 1 << 40;

/// Which repository of a build a candidate comes from: its place in the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RepositoryId(pub usize);

/// A package that could be installed.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// What its control paragraph says.
    pub package: Package,
    /// Its path below the repository's base: relative, without `..`.
    pub filename: Box<str>,
    /// The size of the `.deb` in bytes.
    pub size: u64,
    /// The digest of the `.deb`.
    pub sha256: Digest,
    /// Where it comes from.
    pub repository: RepositoryId,
    /// apt's priority of the origin: a higher one wins over a newer version.
    pub pin: i16,
}

/// apt's priority of a repository that nobody pinned.
pub const DEFAULT_PIN: i16 = 500;

/// An index that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It is not made of paragraphs.
    #[error("cannot read packages index: {0}")]
    Format(#[from] deb822::Error),
    /// A paragraph describes no package.
    #[error("cannot read packages index: {0}")]
    Package(#[from] package::Error),
    /// What is needed to fetch a package is missing or wrong.
    #[error("cannot read packages index: {package} at line {line}: {problem}")]
    Location {
        /// The package.
        package: String,
        /// Where its paragraph begins.
        line: usize,
        /// What is wrong.
        problem: String,
    },
}

/// Reads the text of a `Packages` file.
pub fn parse(text: &str, repository: RepositoryId) -> Result<Vec<Candidate>, Error> {
    let mut candidates = Vec::with_capacity(text.len() / 700);
    for paragraph in deb822::paragraphs(text) {
        candidates.push(read_candidate(&paragraph?, repository)?);
    }
    Ok(candidates)
}

fn read_candidate(paragraph: &Paragraph<'_>, repository: RepositoryId) -> Result<Candidate, Error> {
    let package = Package::from_paragraph(paragraph)?;
    let fail = |problem: String| Error::Location {
        package: package.name.to_string(),
        line: paragraph.line,
        problem,
    };
    let required = |field: &str| {
        paragraph
            .get(field)
            .filter(|value| !value.is_empty())
            .ok_or_else(|| fail(format!("field {field} is missing")))
    };
    let filename = required("Filename")?;
    if !is_inside(filename) {
        return Err(fail(format!("field Filename leads out of the archive: {:?}", excerpt(filename))));
    }
    let size = required("Size")?;
    let size = size.parse().ok().filter(|size| *size <= LARGEST);
    let size = size.ok_or_else(|| fail("field Size is not a number of bytes".to_owned()))?;
    let sha256 =
        Digest::from_hex(required("SHA256")?).map_err(|error| fail(format!("field SHA256: {error}")))?;
    Ok(Candidate { filename: filename.into(), size, sha256, repository, pin: DEFAULT_PIN, package })
}

/// Whether a path stays below where it begins; `./` in front is common in flat repositories.
fn is_inside(path: &str) -> bool {
    !path.starts_with('/')
        && path.split('/').all(|part| part != "..")
        && path.bytes().all(|byte| !byte.is_ascii_control() && byte != b'\\')
}

fn excerpt(text: &str) -> String {
    text.chars().take(100).collect()
}

/// Returns the URI of a pool file: `base`, a slash, and `filename` with what a URI cannot carry percent-encoded.
pub fn pool_uri(base: &str, filename: &str) -> String {
    let mut uri = base.trim_end_matches('/').to_owned();
    uri.push('/');
    for byte in filename.strip_prefix("./").unwrap_or(filename).bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'.' | b'_' | b'~' => {
                uri.push(char::from(byte));
            }
            other => uri.push_str(&format!("%{other:02x}")),
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn entry(fields: &str) -> String {
        format!("Package: a\nVersion: 1:2-3\nArchitecture: amd64\n{fields}\n")
    }

    #[test]
    fn an_entry_becomes_a_candidate_of_its_repository() {
        let text = entry(&format!("Filename: pool/a_2-3_amd64.deb\nSize: 12\nSHA256: {HEX}\nMD5sum: x\n"));
        let candidates = parse(&text.repeat(2), RepositoryId(3)).unwrap();
        assert_eq!(candidates.len(), 2);
        assert_eq!(
            (&*candidates[0].package.name, candidates[0].size, candidates[0].repository),
            ("a", 12, RepositoryId(3))
        );
        assert_eq!(candidates[0].sha256.hex(), HEX);
    }

    #[test]
    fn what_cannot_be_fetched_safely_is_refused() {
        for (fields, problem) in [
            ("Size: 1\n".to_owned(), "field Filename is missing"),
            ("Filename: ../x\n".to_owned(), "field Filename leads out of the archive: \"../x\""),
            ("Filename: a/../../x\n".to_owned(), "field Filename leads out of the archive: \"a/../../x\""),
            ("Filename: /etc/x\n".to_owned(), "field Filename leads out of the archive: \"/etc/x\""),
            ("Filename: x\nSize: -1\n".to_owned(), "field Size is not a number of bytes"),
            ("Filename: x\nSize: 99999999999999999999\n".to_owned(), "field Size is not a number of bytes"),
            ("Filename: x\nSize: 1\n".to_owned(), "field SHA256 is missing"),
        ] {
            let error = parse(&entry(&fields), RepositoryId(0)).unwrap_err();
            assert_eq!(error.to_string(), format!("cannot read packages index: a at line 1: {problem}"));
        }
        let error = parse(&entry("Filename: x\nSize: 1\nSHA256: 12\n"), RepositoryId(0)).unwrap_err();
        assert!(error.to_string().contains("field SHA256: cannot read digest"), "{error}");
    }

    #[test]
    fn a_pool_uri_is_percent_encoded() {
        for (base, filename, uri) in [
            (
                "http://archive.example/debian/",
                "pool/g/g++_1%3a2~1_all.deb",
                "http://archive.example/debian/pool/g/g%2b%2b_1%253a2~1_all.deb",
            ),
            ("http://archive.example", "./a b.deb", "http://archive.example/a%20b.deb"),
        ] {
            assert_eq!(pool_uri(base, filename), uri);
        }
    }
}
