//! Release files: what a suite is, and the digests of its indexes.
//!
//! One paragraph of fields; the `SHA256` one lists a file a line:
//!
//! ```text
//! Suite: stable
//! Codename: bookworm
//! Date: Sat, 11 Jul 2026 10:23:49 UTC
//! SHA256:
//!  9c…  8788680 main/binary-amd64/Packages.xz
//! ```
//!
//! The text has been verified before it comes here, and is bounded all the same: who may sign is
//! not who may write outside a directory. See <https://wiki.debian.org/DebianRepository/Format>.

use std::collections::BTreeMap;

use super::date;
use super::sources::Validity;
use crate::digest::Digest;

/// Debian's `sid` lists some 4,000 files.
const MOST_FILES: usize = 500_000;
const LONGEST_PATH: usize = 1000;
/// How far our clock may lag behind the archive's.
const CLOCK_SKEW: i64 = 86_400;
/// What we can unpack, best first; the bare file is listed even where it does not exist.
const ENDINGS: [&str; 4] = [".xz", ".zst", ".gz", ""];

/// A Release file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Release {
    /// `Origin`
    pub origin: Option<String>,
    /// `Label`
    pub label: Option<String>,
    /// `Suite`
    pub suite: Option<String>,
    /// `Codename`
    pub codename: Option<String>,
    /// `Version`
    pub version: Option<String>,
    /// `Date`, in seconds since 1970.
    pub date: Option<i64>,
    /// `Valid-Until`, in seconds since 1970.
    pub valid_until: Option<i64>,
    /// `Architectures`
    pub architectures: Vec<String>,
    /// `Components`
    pub components: Vec<String>,
    /// `Acquire-By-Hash`: indexes can be had under their digest, too.
    pub acquire_by_hash: bool,
    /// `NotAutomatic`
    pub not_automatic: bool,
    /// `ButAutomaticUpgrades`
    pub but_automatic_upgrades: bool,
    /// `No-Support-for-Architecture-all: Packages`: each architecture's index lists those of `all`, too.
    pub all_is_in_each_index: bool,
    /// The `SHA256` section: path below the suite's directory → digest and size in bytes.
    pub files: BTreeMap<String, (Digest, u64)>,
}

/// Why a Release file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRelease {
    /// It is not what a Release file looks like.
    #[error("cannot read the Release file: {reason}")]
    Malformed {
        /// What is wrong with it.
        reason: String,
    },
    /// It is a good one, but of another suite.
    #[error("cannot use the Release file: expected suite {wanted}, got {got}")]
    OtherSuite {
        /// What was asked for.
        wanted: String,
        /// What it says it is.
        got: String,
    },
    /// Its time has passed.
    #[error(
        "cannot use the Release file: it was valid until {}\n\
         hint: somebody may be serving an old one; if the archive is kept as it was, set check-valid-until=no",
        date::day(*valid_until)
    )]
    Expired {
        /// `Valid-Until`, in seconds since 1970.
        valid_until: i64,
    },
    /// Its time has not come.
    #[error(
        "cannot use the Release file: it is of {}, which is yet to come\nhint: check this machine's clock",
        date::day(*date)
    )]
    FromTheFuture {
        /// `Date`, in seconds since 1970.
        date: i64,
    },
}

/// An index that a Release file lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexFile {
    /// Path below the suite's directory: `main/binary-amd64/Packages.xz`.
    pub path: String,
    /// The path under its digest, where the archive offers it: `main/binary-amd64/by-hash/SHA256/…`.
    pub by_hash: Option<String>,
    /// The digest of the file as it is named, compressed.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
}

impl Release {
    /// Reads a Release file's text.
    pub fn parse(text: &str) -> Result<Release, InvalidRelease> {
        let fields = fields(text)?;
        let field =
            |name: &str| fields.get(name).map(|value| value.trim().to_owned()).filter(|it| !it.is_empty());
        let words =
            |name: &str| field(name).iter().flat_map(|it| it.split_whitespace()).map(str::to_owned).collect();
        let is_yes = |name: &str| field(name).is_some_and(|value| value.eq_ignore_ascii_case("yes"));
        Ok(Release {
            origin: field("origin"),
            label: field("label"),
            suite: field("suite"),
            codename: field("codename"),
            version: field("version"),
            date: read_date("Date", field("date"))?,
            valid_until: read_date("Valid-Until", field("valid-until"))?,
            architectures: words("architectures"),
            components: words("components"),
            acquire_by_hash: is_yes("acquire-by-hash"),
            not_automatic: is_yes("notautomatic"),
            but_automatic_upgrades: is_yes("butautomaticupgrades"),
            all_is_in_each_index: field("no-support-for-architecture-all").is_some_and(|it| it == "Packages"),
            files: files(&fields)?,
        })
    }

    /// Whether it is what was asked for, and neither too old nor from the future.
    ///
    /// `wanted` is the suite as a source names it; one that ends in `/` is a directory and has no name.
    pub fn check(&self, wanted: &str, now: i64, validity: &Validity) -> Result<(), InvalidRelease> {
        self.check_suite(wanted)?;
        if let Some(date) = self.date.filter(|&date| date > now + CLOCK_SKEW) {
            return Err(InvalidRelease::FromTheFuture { date });
        }
        let is_checked = validity.check.unwrap_or(true);
        match self.end(validity).filter(|&valid_until| is_checked && valid_until < now) {
            Some(valid_until) => Err(InvalidRelease::Expired { valid_until }),
            None => Ok(()),
        }
    }

    /// Returns when it ceases to count: what a source says about it is said relative to its `Date`.
    fn end(&self, validity: &Validity) -> Option<i64> {
        let after_date = |seconds: Option<i64>| Some(self.date?.saturating_add(seconds?));
        let latest = after_date(validity.at_most);
        let end = self.valid_until.map_or(latest, |end| Some(latest.map_or(end, |latest| latest.min(end))));
        end.map(|end| after_date(validity.at_least).map_or(end, |earliest| earliest.max(end)))
    }

    /// Returns the `Packages` index of a component and architecture, in the best compression there is.
    pub fn index(&self, component: &str, architecture: &str) -> Option<IndexFile> {
        self.file(&format!("{component}/binary-{architecture}/Packages"))
    }

    /// Returns the `Sources` index of a component.
    pub fn sources(&self, component: &str) -> Option<IndexFile> {
        self.file(&format!("{component}/source/Sources"))
    }

    /// Returns the indexes of a component and architecture: its own, and that of the packages for all architectures
    /// where that is one apart.
    pub fn indexes(&self, component: &str, architecture: &str) -> Vec<IndexFile> {
        let is_apart = !self.all_is_in_each_index && self.architectures.iter().any(|known| known == "all");
        let all = is_apart.then(|| self.index(component, "all")).flatten();
        self.index(component, architecture).into_iter().chain(all).collect()
    }

    /// Returns an index by its path without ending, such as `Packages` in a flat repository.
    pub fn file(&self, path: &str) -> Option<IndexFile> {
        ENDINGS.iter().find_map(|ending| self.exactly(format!("{path}{ending}")))
    }

    /// Returns another form of an index that [`Release::file`] gave, if there is one: larger, and unpacked in a third of the time
    /// and in little memory.
    pub fn quicker(&self, file: &IndexFile) -> Option<IndexFile> {
        let path = file.path.strip_suffix(".xz")?;
        [".zst", ".gz"].into_iter().find_map(|ending| self.exactly(format!("{path}{ending}")))
    }

    fn exactly(&self, path: String) -> Option<IndexFile> {
        let &(digest, size) = self.files.get(&path)?;
        let by_hash = self.acquire_by_hash.then(|| by_hash(&path, &digest));
        Some(IndexFile { path, by_hash, digest, size })
    }

    /// An archive that gives itself no name cannot give itself a false one.
    fn check_suite(&self, wanted: &str) -> Result<(), InvalidRelease> {
        let names: Vec<&str> =
            [&self.suite, &self.codename].into_iter().flatten().map(String::as_str).collect();
        let is_it = |name: &&str| *name == wanted || wanted.strip_suffix("/updates") == Some(name);
        match wanted.ends_with('/') || names.is_empty() || names.iter().any(is_it) {
            true => Ok(()),
            false => Err(InvalidRelease::OtherSuite { wanted: wanted.to_owned(), got: names.join(", ") }),
        }
    }
}

fn by_hash(path: &str, digest: &Digest) -> String {
    let directory = path.rsplit_once('/').map(|(directory, _)| format!("{directory}/")).unwrap_or_default();
    format!("{directory}by-hash/SHA256/{}", digest.hex())
}

fn malformed(reason: impl Into<String>) -> InvalidRelease {
    InvalidRelease::Malformed { reason: reason.into() }
}

/// Field names, in lower case, and values; the lines of a value stay apart.
fn fields(text: &str) -> Result<BTreeMap<String, String>, InvalidRelease> {
    let mut fields: BTreeMap<String, String> = BTreeMap::new();
    let mut current = None;
    let mut lines = text.lines().skip_while(|line| line.trim().is_empty());
    for line in lines.by_ref().take_while(|line| !line.trim().is_empty()) {
        if line.starts_with([' ', '\t']) {
            let name: &String = current.as_ref().ok_or_else(|| malformed("it begins with a continuation"))?;
            fields.entry(name.clone()).or_default().extend(["\n", line]);
            continue;
        }
        let (name, value) = line.split_once(':').ok_or_else(|| malformed("a line is no field"))?;
        let name = name.to_ascii_lowercase();
        if fields.insert(name.clone(), value.to_owned()).is_some() {
            return Err(malformed(format!("field {name} stands in it twice")));
        }
        current = Some(name);
    }
    match lines.all(|line| line.trim().is_empty()) {
        true => Ok(fields),
        false => Err(malformed("it has more than one paragraph")),
    }
}

fn read_date(name: &str, value: Option<String>) -> Result<Option<i64>, InvalidRelease> {
    let read = |text: String| date::parse(&text).ok_or_else(|| malformed(format!("{name} is no date")));
    value.map(read).transpose()
}

fn files(fields: &BTreeMap<String, String>) -> Result<BTreeMap<String, (Digest, u64)>, InvalidRelease> {
    let Some(section) = fields.get("sha256") else {
        return Err(malformed("it lists no SHA256 digests, and weaker ones do not count"));
    };
    let mut files = BTreeMap::new();
    for line in section.lines().filter(|line| !line.trim().is_empty()) {
        let (path, entry) = file(line)?;
        if files.insert(path, entry).is_some_and(|earlier| earlier != entry) {
            return Err(malformed("it lists a file twice, with different digests"));
        }
        if files.len() > MOST_FILES {
            return Err(malformed(format!("it lists more than {MOST_FILES} files")));
        }
    }
    Ok(files)
}

fn file(line: &str) -> Result<(String, (Digest, u64)), InvalidRelease> {
    let words: Vec<&str> = line.split_whitespace().take(4).collect();
    let [hex, size, path] = words[..] else {
        return Err(malformed("expected digest, size and path in a line of SHA256"));
    };
    let digest = Digest::from_hex(&hex.to_ascii_lowercase()).map_err(|error| malformed(error.to_string()))?;
    let size = size.parse().map_err(|_| malformed("a file's size is no number"))?;
    // Flat repositories write it so.
    let path = path.strip_prefix("./").unwrap_or(path);
    match is_below(path) {
        true => Ok((path.to_owned(), (digest, size))),
        false => Err(malformed("a file's path leads out of the suite's directory")),
    }
}

fn is_below(path: &str) -> bool {
    path.len() <= LONGEST_PATH
        && path.split('/').all(|part| !matches!(part, "" | "." | ".."))
        && !path.contains('\\')
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    const NOW: i64 = 1_783_765_429;
    const CHECKED: Validity = Validity { check: None, at_least: None, at_most: None };

    fn release(more: &str) -> Result<Release, InvalidRelease> {
        Release::parse(&format!("Suite: stable\nCodename: bookworm\n{more}"))
    }

    fn with_files(paths: &[&str]) -> Release {
        let lines: String = paths.iter().map(|path| format!(" {HEX} 7 {path}\n")).collect();
        release(&format!("Acquire-By-Hash: yes\nSHA256:\n{lines}")).unwrap()
    }

    #[test]
    fn the_fields_are_read() {
        let text = "\nOrigin: Debian\nSuite: stable\nDate: Sat, 11 Jul 2026 10:23:49 UTC\n\
            Architectures: all amd64\nComponents: main contrib\nNotAutomatic: yes\nButAutomaticUpgrades: yes\n\
            No-Support-for-Architecture-all: Packages\nMD5Sum:\n 00 0 x\nSHA256:\n\n\n";
        let release = Release::parse(text).unwrap();
        assert_eq!(release.origin.as_deref(), Some("Debian"));
        assert_eq!(release.date, Some(NOW));
        assert_eq!(release.architectures, ["all", "amd64"]);
        assert_eq!(release.components, ["main", "contrib"]);
        assert!(release.not_automatic && release.but_automatic_upgrades && release.all_is_in_each_index);
        assert!(!release.acquire_by_hash && release.files.is_empty() && release.codename.is_none());
    }

    #[test]
    fn the_best_compression_is_chosen() {
        let release = with_files(&[
            "main/binary-amd64/Packages",
            "main/binary-amd64/Packages.gz",
            "main/binary-amd64/Packages.xz",
            "main/source/Sources.gz",
            "Packages",
            "contrib/binary-amd64/Packages.bz2",
        ]);
        let index = release.index("main", "amd64").unwrap();
        assert_eq!(index.path, "main/binary-amd64/Packages.xz");
        assert_eq!(index.by_hash.unwrap(), format!("main/binary-amd64/by-hash/SHA256/{HEX}"));
        assert_eq!((index.digest, index.size), (Digest::of(b""), 7));
        assert_eq!(release.sources("main").unwrap().path, "main/source/Sources.gz");
        assert_eq!(release.file("Packages").unwrap().by_hash.unwrap(), format!("by-hash/SHA256/{HEX}"));
        assert_eq!(release.index("contrib", "amd64"), None);
    }

    #[test]
    fn what_is_no_release_file_is_refused() {
        for (more, expected) in [
            ("MD5Sum:\n d41d8cd98f00b204e9800998ecf8427e 0 Packages\n", "no SHA256"),
            ("SHA256:\n x 0 Packages\n", "cannot read digest"),
            (&format!("SHA256:\n {HEX} -1 Packages\n"), "no number"),
            (&format!("SHA256:\n {HEX} 1 Packages evil\n"), "expected digest, size and path"),
            (&format!("SHA256:\n {HEX} 1 main/../../etc/passwd\n"), "leads out"),
            (&format!("SHA256:\n {HEX} 1 /etc/passwd\n"), "leads out"),
            (&format!("SHA256:\n {HEX} 1 a//b\n"), "leads out"),
            (&format!("SHA256:\n {HEX} 1 a\n {HEX} 2 a\n"), "twice"),
            ("Suite: other\nSHA256:\n", "twice"),
            ("SHA256:\n\nSuite: other\n", "more than one paragraph"),
            ("Date: yesterday\nSHA256:\n", "Date is no date"),
            ("nonsense\n", "no field"),
        ] {
            let error = release(more).unwrap_err().to_string();
            assert!(error.contains(expected), "{more:?}: {error}");
        }
        assert!(Release::parse(" x\n").is_err());
    }

    #[test]
    fn only_the_suite_that_was_asked_for_will_do() {
        let release = with_files(&[]);
        for wanted in ["stable", "bookworm", "bookworm/updates", "./", "bookworm/"] {
            assert_eq!(release.check(wanted, NOW, &CHECKED), Ok(()), "{wanted}");
        }
        let error = release.check("trixie", NOW, &CHECKED).unwrap_err().to_string();
        assert_eq!(error, "cannot use the Release file: expected suite trixie, got stable, bookworm");
    }

    #[test]
    fn a_release_counts_in_its_time_only() {
        let release = release(
            "Date: Sat, 11 Jul 2026 10:23:49 UTC\nValid-Until: Sat, 18 Jul 2026 10:23:49 UTC\nSHA256:\n",
        )
        .unwrap();
        let week = 7 * 86_400;
        assert_eq!(release.check("stable", NOW, &CHECKED), Ok(()));
        assert_eq!(release.check("stable", NOW + week, &CHECKED), Ok(()));
        let error = release.check("stable", NOW + week + 1, &CHECKED).unwrap_err();
        assert_eq!(error, InvalidRelease::Expired { valid_until: NOW + week });
        assert!(error.to_string().contains("it was valid until 2026-07-18"));
        let unchecked = Validity { check: Some(false), ..CHECKED };
        assert_eq!(release.check("stable", NOW + week + 1, &unchecked), Ok(()));
        assert_eq!(release.check("stable", NOW - 3600, &CHECKED), Ok(()));
        let error = release.check("stable", NOW - week, &unchecked).unwrap_err();
        assert!(error.to_string().contains("it is of 2026-07-11, which is yet to come"));
    }

    #[test]
    fn a_source_can_make_that_time_shorter_or_longer() {
        let date = "Date: Sat, 11 Jul 2026 10:23:49 UTC\n";
        let dated = release(&format!("{date}Valid-Until: Sun, 12 Jul 2026 10:23:49 UTC\nSHA256:\n")).unwrap();
        let undated = release(&format!("{date}SHA256:\n")).unwrap();
        let hour = 3600;
        let ends = |release: &Release, at_least, at_most| {
            release.end(&Validity { check: None, at_least, at_most }).map(|end| end - NOW)
        };
        assert_eq!(ends(&dated, None, None), Some(24 * hour));
        assert_eq!(ends(&dated, None, Some(hour)), Some(hour));
        assert_eq!(ends(&dated, Some(48 * hour), Some(hour)), Some(48 * hour));
        assert_eq!(ends(&undated, None, None), None);
        assert_eq!(ends(&undated, None, Some(hour)), Some(hour));
        assert_eq!(ends(&undated, Some(hour), None), None);
    }

    #[test]
    fn packages_for_all_architectures_may_have_an_index_of_their_own() {
        let paths = ["main/binary-amd64/Packages", "main/binary-all/Packages"];
        let indexes = |more: &str| -> Vec<String> {
            let text: String = paths.iter().map(|path| format!(" {HEX} 7 {path}\n")).collect();
            let release = release(&format!("{more}SHA256:\n{text}")).unwrap();
            release.indexes("main", "amd64").into_iter().map(|index| index.path).collect()
        };
        assert_eq!(indexes("Architectures: all amd64\n"), paths);
        assert_eq!(indexes("Architectures: amd64\n"), paths[..1]);
        let apart = "Architectures: all amd64\nNo-Support-for-Architecture-all: Packages\n";
        assert_eq!(indexes(apart), paths[..1]);
    }
}
