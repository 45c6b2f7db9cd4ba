//! A packages index: which packages a repository offers and where each lies in its pool.
//!
//! The index is a text already fetched and verified. Only SHA-256 is believed; a package without it is refused.

pub(super) mod mentions;
mod record;

use std::fmt;
use std::io::{self, BufRead, Write};
use std::sync::Arc;

use super::stream::Text;
use crate::debian::Version;
use crate::debian::deb822::{self, Paragraph};
use crate::debian::package::{self, Package, RelationError};
use crate::digest::Digest;
pub use record::Kept;
use record::{Record, Writer};

/// Larger than any package, so that a hostile number stays a number.
pub(super) const LARGEST: u64 = 1 << 40;
/// Longer than any index; Debian's main has 50 MB.
const LONGEST: u64 = 1 << 30;

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
    /// The component of the repository, as `main`; empty if nobody says.
    pub component: Arc<str>,
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
    /// What a package provides cannot be read.
    #[error("cannot read packages index: {0}")]
    Provides(#[from] RelationError),
    /// It can't be read or unpacked, or is no text.
    #[error("cannot read packages index: {0}")]
    Unreadable(String),
    /// What was read of it can't be kept.
    #[error("cannot keep packages index: {0}")]
    Unkept(String),
    /// It is longer than any index.
    #[error("cannot read packages index: it is longer than {LONGEST} bytes")]
    TooLong,
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

/// The packages of one index that can be installed on one architecture.
///
/// Cheap to clone. A paragraph is looked at when its package is asked for; all of them were read once and are valid.
#[derive(Clone)]
pub struct Index {
    record: Arc<Record>,
    repository: RepositoryId,
    component: Arc<str>,
    pin: i16,
    is_of_files: bool,
}

impl Index {
    /// Reads the text of a `Packages` file, and keeps what can be installed on `architecture`: its own packages and
    /// those for all.
    pub fn parse(text: &str, architecture: &str, repository: RepositoryId) -> Result<Index, Error> {
        let record = Index::record(text.as_bytes(), architecture, Vec::new())?;
        Ok(Index::load(record, repository).expect("what was just written is a record"))
    }

    /// Reads a `Packages` file as [`Index::parse`] does, a paragraph at a time, and writes to `output` a record of it, which
    /// is quick to load.
    pub fn record<W: Write>(mut reader: impl BufRead, architecture: &str, output: W) -> Result<W, Error> {
        let mut writer = Writer::new(output).map_err(|error| Error::unkept(&error))?;
        let (mut text, mut n_bytes) = (Text::default(), 0);
        while text.read(&mut reader)? {
            n_bytes += text.bytes().len() as u64;
            if n_bytes > LONGEST {
                return Err(Error::TooLong);
            }
            let paragraph = text.paragraph()??;
            let package = read_candidate(&paragraph, RepositoryId(0))?.package;
            if *package.architecture == *architecture || &*package.architecture == "all" {
                writer.add(&package, &paragraph, architecture)?;
            }
        }
        writer.finish().map_err(|error| Error::unkept(&error))
    }

    /// Loads a record that [`Index::record`] wrote; none if it is damaged or of another version. It is read from where it is
    /// kept when a package is asked for.
    pub fn load(kept: impl Kept + 'static, repository: RepositoryId) -> Option<Index> {
        let record = Arc::new(Record::load(Box::new(kept))?);
        Some(Index { record, repository, component: Arc::default(), pin: DEFAULT_PIN, is_of_files: false })
    }

    /// Sets the priority of its packages.
    pub fn with_pin(self, pin: i16) -> Index {
        Index { pin, ..self }
    }

    /// Says which component of its repository it is.
    pub fn with_component(self, component: &str) -> Index {
        Index { component: component.into(), ..self }
    }

    /// Says that its packages are files that somebody named: of several builds of one version they are meant.
    pub fn of_files(self) -> Index {
        Index { is_of_files: true, ..self }
    }

    /// Whether its packages are files that somebody named.
    pub fn is_of_files(&self) -> bool {
        self.is_of_files
    }

    /// Returns the priority of its packages.
    pub fn pin(&self) -> i16 {
        self.pin
    }

    /// Returns how many packages it has; they are numbered as they stand in it.
    pub fn len(&self) -> usize {
        self.record.len()
    }

    /// Whether it has no package.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the name of a package.
    pub fn name(&self, number: usize) -> &str {
        self.record.name(number)
    }

    /// Returns the version of a package.
    pub fn version(&self, number: usize) -> Version {
        Version::parse(self.record.version(number)).expect("every paragraph was read before it was recorded")
    }

    /// Returns a package.
    pub fn candidate(&self, number: usize) -> Candidate {
        let text = self.record.paragraph(number);
        let paragraph = deb822::paragraphs(&text).next().and_then(Result::ok);
        let candidate = paragraph.and_then(|paragraph| read_candidate(&paragraph, self.repository).ok());
        let candidate = candidate.expect("every paragraph was read before it was recorded");
        Candidate { pin: self.pin, component: self.component.clone(), ..candidate }
    }

    /// Returns all packages, sorted by name; those of one name stay in the order of the index.
    pub fn by_name(&self) -> impl ExactSizeIterator<Item = usize> {
        self.record.by_name()
    }

    /// Returns the packages that are `Essential: yes`.
    pub fn essential(&self) -> impl Iterator<Item = usize> {
        self.record.essential()
    }

    /// Returns who provides `name`, and in which version.
    pub fn provisions(&self, name: &str) -> impl Iterator<Item = (usize, Option<Version>)> {
        self.record.provisions(name)
    }

    /// Returns how many other names are mentioned before `name`, in packages and their relations; none if it never is.
    pub fn mention(&self, name: &str) -> Option<u32> {
        self.record.mention(name)
    }

    /// Returns every name that is mentioned.
    pub fn mentioned(&self) -> impl Iterator<Item = &str> {
        self.record.mentioned()
    }

    /// Returns how many names are mentioned.
    pub fn n_mentions(&self) -> u32 {
        self.record.n_mentions()
    }
}

impl Error {
    fn unkept(error: &io::Error) -> Error {
        Error::Unkept(error.to_string())
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Error {
        Error::Unreadable(error.to_string())
    }
}

impl fmt::Debug for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Index({:?}, {} packages, pin {})", self.repository, self.len(), self.pin)
    }
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
    Ok(Candidate {
        filename: filename.into(),
        size,
        sha256,
        repository,
        component: Arc::default(),
        pin: DEFAULT_PIN,
        package,
    })
}

/// Whether a path stays below where it begins; `./` in front is common in flat repositories.
pub(super) fn is_inside(path: &str) -> bool {
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
        let index = Index::parse(&text.repeat(2), "amd64", RepositoryId(3)).unwrap();
        assert_eq!(index.len(), 2);
        let candidate = index.candidate(0);
        assert_eq!(
            (&*candidate.package.name, candidate.size, candidate.repository),
            ("a", 12, RepositoryId(3))
        );
        assert_eq!(candidate.sha256.hex(), HEX);
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
            let error = Index::parse(&entry(&fields), "amd64", RepositoryId(0)).unwrap_err();
            assert_eq!(error.to_string(), format!("cannot read packages index: a at line 1: {problem}"));
        }
        let text = entry("Filename: x\nSize: 1\nSHA256: 12\n");
        let error = Index::parse(&text, "amd64", RepositoryId(0)).unwrap_err();
        assert!(error.to_string().contains("field SHA256: cannot read digest"), "{error}");
    }

    /// Packages written as `Package: …` with what is needed to fetch them.
    fn index(packages: &[&str]) -> Index {
        Index::load(record(packages), RepositoryId(0)).unwrap()
    }

    fn record(packages: &[&str]) -> Vec<u8> {
        let rest = format!("Filename: pool/x.deb\nSize: 1\nSHA256: {HEX}\n\n");
        let text: String = packages.iter().map(|fields| format!("{fields}\n{rest}")).collect();
        Index::record(text.as_bytes(), "amd64", Vec::new()).unwrap()
    }

    const WORLD: [&str; 5] = [
        "Package: b\nVersion: 1\nArchitecture: all\nDepends: z, a:any | é\nDescription: b\n long\nTag: x",
        "Package: a\nVersion: 2:1-1\nArchitecture: amd64\nProvides: v (= 3),\n w\nEssential: yes",
        "Package: c\nVersion: 1\nArchitecture: i386\nProvides: v\nEssential: yes",
        "Package: b\nVersion: 2\nArchitecture: amd64\nProvides: v\nX-More: kept",
        "Package: a\nVersion: 1\nArchitecture: amd64",
    ];

    #[test]
    fn a_record_tells_what_its_index_told() {
        let index = index(&WORLD);
        let names: Vec<_> = index.by_name().map(|n| (index.name(n), index.version(n).to_string())).collect();
        assert_eq!(
            names,
            [("a", "2:1-1"), ("a", "1"), ("b", "1"), ("b", "2")].map(|(n, v)| (n, v.to_owned()))
        );
        assert_eq!(index.essential().collect::<Vec<_>>(), [1]);
        let provisions = |name: &str| -> Vec<_> {
            index.provisions(name).map(|(by, version)| (by, version.map(|it| it.to_string()))).collect()
        };
        assert_eq!(provisions("v"), [(1, Some("3".to_owned())), (2, None)]);
        assert_eq!((provisions("w"), provisions("a")), (vec![(1, None)], vec![]));
        let mentions = ["b", "z", "a:any", "é", "a", "v", "w", "c"].map(|name| index.mention(name));
        assert_eq!(mentions, [Some(0), Some(1), Some(2), Some(3), Some(4), Some(5), Some(6), None]);
        assert_eq!(index.n_mentions(), 7);
    }

    #[test]
    fn a_record_leaves_out_what_nobody_decides_by() {
        let index = index(&WORLD);
        let text: String = (0..index.len()).map(|number| index.record.paragraph(number)).collect();
        assert!(text.contains("X-More: kept") && !text.contains("long") && !text.contains("Tag"), "{text}");
    }

    #[test]
    fn an_index_of_many_pages_is_read_as_one_of_few() {
        let paragraph = |n: usize| {
            let depends = "other (>= 1), ".repeat(n % 50);
            format!("Package: p{n}\nVersion: {n}\nArchitecture: all\nDepends: {depends}last")
        };
        let paragraphs: Vec<String> = (0..1000).map(paragraph).collect();
        let many = record(&paragraphs.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(many.len() < paragraphs.concat().len() / 2, "pages are packed");
        let many = Index::load(many, RepositoryId(0)).unwrap();
        for (number, paragraph) in paragraphs.iter().enumerate() {
            let alone = index(&[paragraph]).candidate(0);
            assert_eq!(format!("{:?}", many.candidate(number)), format!("{alone:?}"));
            assert_eq!(many.version(number).to_string(), number.to_string());
        }
    }

    #[test]
    fn a_mistake_is_told_with_its_line() {
        for (text, said) in [
            (&b"Package: a\n\nlone\n"[..], "cannot read packages index: "),
            (
                b"\n\nno field\n",
                "cannot read packages index: cannot read control data at line 3: expected `Field: value`",
            ),
            (
                b"# comment\n",
                "cannot read packages index: cannot read control data at line 1: a comment is not allowed here",
            ),
            (b"Package: \xff\n", "cannot read packages index: the paragraph at line 1 is not UTF-8"),
        ] {
            let error = Index::record(text, "amd64", Vec::new()).unwrap_err().to_string();
            assert!(error.starts_with(said), "{error}");
        }
    }

    #[test]
    fn a_record_that_is_damaged_or_of_another_version_is_none() {
        let record = record(&WORLD);
        let load = |bytes: &[u8]| Index::load(bytes.to_vec(), RepositoryId(0));
        assert!(load(&record).is_some());
        for at in 0..record.len() {
            let mut damaged = record.clone();
            damaged[at] ^= 0x10;
            assert!(load(&damaged).is_none(), "byte {at}");
            assert!(load(&record[..at]).is_none(), "cut at {at}");
        }
        assert!(load(&[record, vec![0]].concat()).is_none());
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
