//! The header of a package: numbers for what is said, and the values.
//!
//! See <https://rpm-software-management.github.io/rpm/manual/format_header.html>. In a database it has no magic number in front.

use super::Error;
use super::bytes::Bytes;

/// No header has more entries (rpm's `HEADER_TAGS_MAX`).
const MOST_ENTRIES: usize = 0xffff;
/// No list of a header that is read is longer.
const LONGEST_LIST: usize = 0xffff;
const INTRO: usize = 8;
const ENTRY: usize = 16;

/// What is read of a header: rpm's numbers (`rpmtag.h`).
mod tag {
    pub(super) const NAME: usize = 1000;
    pub(super) const VERSION: usize = 1001;
    pub(super) const RELEASE: usize = 1002;
    pub(super) const EPOCH: usize = 1003;
    pub(super) const VENDOR: usize = 1011;
    pub(super) const LICENSE: usize = 1014;
    pub(super) const PACKAGER: usize = 1015;
    pub(super) const URL: usize = 1020;
    pub(super) const ARCH: usize = 1022;
    pub(super) const SOURCE_RPM: usize = 1044;
    pub(super) const PROVIDES: usize = 1047;
    pub(super) const REQUIRES: usize = 1049;
}

/// The forms of values.
mod form {
    pub(super) const INT32: usize = 4;
    pub(super) const STRING: usize = 6;
    pub(super) const STRINGS: usize = 8;
    pub(super) const TRANSLATED: usize = 9;
}

/// What a package says of itself; what it doesn't say is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// Its name.
    pub name: String,
    /// Its epoch, which goes before its version.
    pub epoch: Option<u32>,
    /// Its version.
    pub version: String,
    /// Its release.
    pub release: String,
    /// Its architecture, or `noarch`; a key has none.
    pub architecture: String,
    /// Its licence, in its own words.
    pub licence: String,
    /// Who publishes it.
    pub vendor: String,
    /// Who packaged it.
    pub packager: String,
    /// Where its project lives.
    pub url: String,
    /// The name of the file of its source package.
    pub source_rpm: String,
    /// The names that it needs.
    pub requires: Vec<String>,
    /// The names that it has.
    pub provides: Vec<String>,
}

/// One entry of the index.
struct Entry {
    form: usize,
    place: usize,
    count: usize,
}

struct Index<'a> {
    bytes: Bytes<'a>,
    entries: std::collections::BTreeMap<usize, Entry>,
}

impl Header {
    /// Reads a header as the database has it.
    ///
    /// # Errors
    /// When it leads out of itself, or has no name.
    pub(super) fn parse(blob: &[u8]) -> Result<Header, Error> {
        let index = Index::parse(Bytes::new(blob))?;
        let header = Header {
            name: index.text(tag::NAME)?,
            epoch: index.number(tag::EPOCH)?,
            version: index.text(tag::VERSION)?,
            release: index.text(tag::RELEASE)?,
            architecture: index.text(tag::ARCH)?,
            licence: index.text(tag::LICENSE)?,
            vendor: index.text(tag::VENDOR)?,
            packager: index.text(tag::PACKAGER)?,
            url: index.text(tag::URL)?,
            source_rpm: index.text(tag::SOURCE_RPM)?,
            requires: index.texts(tag::REQUIRES)?,
            provides: index.texts(tag::PROVIDES)?,
        };
        match header.name.is_empty() || header.version.is_empty() {
            true => Err(Error { what: "a header without name or version", place: 0 }),
            false => Ok(header),
        }
    }

    /// Returns epoch, version and release, as rpm writes them.
    pub fn full_version(&self) -> String {
        let epoch = self.epoch.filter(|epoch| *epoch != 0).map(|epoch| format!("{epoch}:"));
        let release = if self.release.is_empty() { "" } else { "-" };
        format!("{}{}{release}{}", epoch.unwrap_or_default(), self.version, self.release)
    }

    /// Returns name, and version with release, of its source package: `bash-5.2-1.src.rpm`.
    pub fn source(&self) -> Option<(&str, &str)> {
        let file = self.source_rpm.strip_suffix(".src.rpm").or(self.source_rpm.strip_suffix(".nosrc.rpm"))?;
        let (before, _) = file.rsplit_once('-')?;
        let (name, _) = before.rsplit_once('-')?;
        Some((name, &file[name.len() + 1..]))
    }
}

impl<'a> Index<'a> {
    fn parse(bytes: Bytes<'a>) -> Result<Index<'a>, Error> {
        let what = "a header is cut short";
        let n_entries = bytes.be32(0, what)?;
        if n_entries > MOST_ENTRIES {
            return Err(Error { what: "a header has too many entries", place: 0 });
        }
        let data = INTRO + n_entries * ENTRY;
        let mut entries = std::collections::BTreeMap::new();
        for place in (INTRO..data).step_by(ENTRY) {
            let number = |field: usize| bytes.be32(place + 4 * field, what);
            let entry = Entry { form: number(1)?, place: data.saturating_add(number(2)?), count: number(3)? };
            // What was added at installation may repeat what the package itself says, which comes first.
            entries.entry(number(0)?).or_insert(entry);
        }
        Ok(Index { bytes, entries })
    }

    fn text(&self, tag: usize) -> Result<String, Error> {
        match self.entries.get(&tag) {
            Some(entry) if [form::STRING, form::STRINGS, form::TRANSLATED].contains(&entry.form) => {
                Ok(self.string(entry.place)?.0)
            }
            Some(_) | None => Ok(String::new()),
        }
    }

    fn texts(&self, tag: usize) -> Result<Vec<String>, Error> {
        let Some(entry) = self.entries.get(&tag).filter(|entry| entry.form == form::STRINGS) else {
            return Ok(Vec::new());
        };
        let mut place = entry.place;
        let mut texts = Vec::new();
        for _ in 0..entry.count.min(LONGEST_LIST) {
            let (text, next) = self.string(place)?;
            texts.push(text);
            place = next;
        }
        Ok(texts)
    }

    fn number(&self, tag: usize) -> Result<Option<u32>, Error> {
        let entry = self.entries.get(&tag).filter(|entry| entry.form == form::INT32 && entry.count > 0);
        let number = entry.map(|entry| self.bytes.be32(entry.place, "a number is missing")).transpose()?;
        Ok(number.and_then(|number| u32::try_from(number).ok()))
    }

    /// Returns a text, and where the next one begins.
    fn string(&self, place: usize) -> Result<(String, usize), Error> {
        let what = "a text has no end";
        let rest = self.bytes.at(place, self.bytes.len().saturating_sub(place), what)?;
        let end = rest.iter().position(|byte| *byte == 0).ok_or(Error { what, place })?;
        Ok((String::from_utf8_lossy(&rest[..end]).into_owned(), place + end + 1))
    }
}
