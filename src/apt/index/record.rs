//! An index as bytes that are quick to load: tables of words in front, behind them the texts that they point into.
//!
//! Sixty thousand paragraphs are read once and written down: without what nobody decides by, sorted by name, with
//! what they provide and mention. Whoever loads the bytes looks at no paragraph but those that are asked for. Where
//! the bytes are kept is decided elsewhere; those that are damaged, or of another format, are no record.

use std::collections::HashMap;
use std::ops::Range;

use super::mentions;

use crate::debian::Version;
use crate::debian::deb822::Paragraph;
use crate::debian::package::{Package, RelationError};

/// Raised whenever what stands in the bytes changes.
const FORMAT: u32 = 2;
const MAGIC: &[u8; 8] = b"aptindex";
/// In the place of a version's beginning: there is none.
const NONE: u32 = u32::MAX;
/// What stands in paragraphs and decides nothing.
const LEFT_OUT: [&str; 12] = [
    "Package",
    "Version",
    "Description",
    "Description-md5",
    "Maintainer",
    "Original-Maintainer",
    "Homepage",
    "Bugs",
    "Tag",
    "MD5sum",
    "SHA1",
    "SHA512",
];

/// The tables, in their order; how many words a row has.
const WIDTHS: [usize; 5] = [5, 1, 1, 5, 3];
/// A package: where its paragraph begins and how long it is, the same of its name, the length of its version.
const ENTRIES: usize = 0;
/// Packages by name, those of one name as the index has them.
const BY_NAME: usize = 1;
/// The Essential ones.
const ESSENTIAL: usize = 2;
/// What is provided, by name: where the name begins and how long it is, the same of the version, by whom.
const PROVISIONS: usize = 3;
/// Every name there is, sorted: where it begins, how long it is, how many others come before it in the index.
const MENTIONS: usize = 4;
/// The magic, the format, a checksum; then the rows of each table, the bytes of names and of paragraphs.
const HEADER: usize = MAGIC.len() + 4 * (2 + WIDTHS.len() + 2);

/// An index, loaded.
pub(super) struct Record {
    bytes: Vec<u8>,
    tables: [Table; WIDTHS.len()],
    names: Range<usize>,
    texts: Range<usize>,
}

#[derive(Clone, Copy, Default)]
struct Table {
    start: usize,
    n_rows: usize,
}

impl Record {
    /// Loads what [`Writer::finish`] wrote; none if it is damaged or of another format.
    pub(super) fn load(bytes: Vec<u8>) -> Option<Record> {
        let header = bytes.get(..HEADER)?;
        let is_ours = header.starts_with(MAGIC) && word_at(&bytes, 8) == FORMAT;
        if !is_ours || word_at(&bytes, 12) != checksum(&bytes[16..]) {
            return None;
        }
        let mut tables = [Table::default(); WIDTHS.len()];
        let mut start = HEADER;
        for (number, table) in tables.iter_mut().enumerate() {
            let n_rows = word_at(&bytes, 16 + 4 * number) as usize;
            *table = Table { start, n_rows };
            start = start.checked_add(n_rows.checked_mul(4 * WIDTHS[number])?)?;
        }
        let lengths = [0, 1].map(|n| word_at(&bytes, 16 + 4 * (WIDTHS.len() + n)) as usize);
        let names = start..start.checked_add(lengths[0])?;
        let texts = names.end..names.end.checked_add(lengths[1])?;
        (texts.end == bytes.len()).then_some(Record { bytes, tables, names, texts })
    }

    /// Returns the bytes, to be kept.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns how many packages there are.
    pub(super) fn len(&self) -> usize {
        self.tables[ENTRIES].n_rows
    }

    /// Returns the paragraph of a package, in short.
    pub(super) fn paragraph(&self, entry: usize) -> &str {
        let [start, length] = [0, 1].map(|column| self.word(ENTRIES, entry, column));
        self.text(&self.texts, start, length)
    }

    /// Returns the name of a package.
    pub(super) fn name(&self, entry: usize) -> &str {
        let [start, length] = [2, 3].map(|column| self.word(ENTRIES, entry, column));
        self.text(&self.names, start, length)
    }

    /// Returns the version of a package.
    pub(super) fn version(&self, entry: usize) -> &str {
        let [start, name_length] = [0, 3].map(|column| self.word(ENTRIES, entry, column));
        let before = "Package: \nVersion: ".len() as u32 + name_length;
        self.text(&self.texts, start.saturating_add(before), self.word(ENTRIES, entry, 4))
    }

    /// Returns all packages, sorted by name.
    pub(super) fn by_name(&self) -> impl ExactSizeIterator<Item = usize> {
        (0..self.tables[BY_NAME].n_rows).map(|row| self.word(BY_NAME, row, 0) as usize)
    }

    /// Returns the Essential packages, as the index has them.
    pub(super) fn essential(&self) -> impl Iterator<Item = usize> {
        (0..self.tables[ESSENTIAL].n_rows).map(|row| self.word(ESSENTIAL, row, 0) as usize)
    }

    /// Returns who provides `name`, and in which version, as the index has them.
    pub(super) fn provisions(&self, name: &str) -> impl Iterator<Item = (usize, Option<Version>)> {
        self.rows_of(PROVISIONS, name).map(|row| {
            let [start, length, by] = [2, 3, 4].map(|column| self.word(PROVISIONS, row, column));
            let version = (start != NONE).then(|| self.text(&self.names, start, length));
            (by as usize, version.and_then(|text| Version::parse(text).ok()))
        })
    }

    /// Returns how many other names are mentioned in the index before `name`; none if it is never mentioned.
    pub(super) fn mention(&self, name: &str) -> Option<u32> {
        self.rows_of(MENTIONS, name).next().map(|row| self.word(MENTIONS, row, 2))
    }

    /// Returns every name that is mentioned.
    pub(super) fn mentioned(&self) -> impl Iterator<Item = &str> {
        let rows = 0..self.tables[MENTIONS].n_rows;
        rows.map(|row| self.text(&self.names, self.word(MENTIONS, row, 0), self.word(MENTIONS, row, 1)))
    }

    /// Returns how many names are mentioned.
    pub(super) fn n_mentions(&self) -> u32 {
        u32::try_from(self.tables[MENTIONS].n_rows).unwrap_or(u32::MAX)
    }

    /// Finds the rows of a table that begins with a name and is sorted by it.
    fn rows_of(&self, table: usize, name: &str) -> Range<usize> {
        let name_of = |row: usize| self.text(&self.names, self.word(table, row, 0), self.word(table, row, 1));
        let n_rows = self.tables[table].n_rows;
        let begin = partition_point(0..n_rows, |row| name_of(row) < name);
        begin..partition_point(begin..n_rows, |row| name_of(row) == name)
    }

    fn word(&self, table: usize, row: usize, column: usize) -> u32 {
        word_at(&self.bytes, self.tables[table].start + 4 * (row * WIDTHS[table] + column))
    }

    /// What was written was text, and the checksum holds: nothing is lost by the defaults.
    fn text(&self, part: &Range<usize>, start: u32, length: u32) -> &str {
        let start = part.start + start as usize;
        let bytes = self.bytes.get(start..start + length as usize).unwrap_or_default();
        std::str::from_utf8(bytes).unwrap_or_default()
    }
}

fn word_at(bytes: &[u8], at: usize) -> u32 {
    let word = bytes.get(at..at + 4).and_then(|word| word.try_into().ok());
    word.map_or(0, u32::from_le_bytes)
}

fn checksum(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

/// Returns the first number for which `is_before` does not hold.
fn partition_point(range: Range<usize>, is_before: impl Fn(usize) -> bool) -> usize {
    let (mut begin, mut end) = (range.start, range.end);
    while begin < end {
        let middle = begin + (end - begin) / 2;
        match is_before(middle) {
            true => begin = middle + 1,
            false => end = middle,
        }
    }
    begin
}

/// A record in the making.
#[derive(Default)]
pub(super) struct Writer {
    entries: Vec<[u32; 5]>,
    essential: Vec<[u32; 1]>,
    provisions: Vec<[u32; 5]>,
    mentions: HashMap<Box<str>, [u32; 3]>,
    names: String,
    texts: String,
}

impl Writer {
    /// Adds a package and its paragraph, which were read before.
    pub(super) fn add(
        &mut self,
        package: &Package,
        paragraph: &Paragraph<'_>,
        architecture: &str,
    ) -> Result<(), RelationError> {
        let entry = at(self.entries.len());
        let [name_start, name_length] = self.mention(&package.name);
        mentions::for_each(package, architecture, |name| {
            self.mention(name);
        });
        for provided in package.provides()? {
            let [start, length] = self.place_of(&provided.name);
            let version = provided.version.map_or([NONE, 0], |version| self.push(version.as_str()));
            self.provisions.push([start, length, version[0], version[1], entry]);
        }
        if package.essential {
            self.essential.push([entry]);
        }
        let [start, length] = self.push_paragraph(package, paragraph);
        self.entries.push([start, length, name_start, name_length, at(package.version.as_str().len())]);
        Ok(())
    }

    /// Returns the record.
    pub(super) fn finish(mut self) -> Vec<u8> {
        let names = std::mem::take(&mut self.names);
        let name_of = |start: u32, length: u32| &names[start as usize..][..length as usize];
        let mut by_name: Vec<[u32; 1]> = (0..at(self.entries.len())).map(|entry| [entry]).collect();
        by_name.sort_by_key(|[entry]| {
            let [_, _, start, length, _] = self.entries[*entry as usize];
            name_of(start, length)
        });
        self.provisions.sort_by_key(|[start, length, ..]| name_of(*start, *length));
        let mut mentions: Vec<[u32; 3]> = self.mentions.values().copied().collect();
        mentions.sort_unstable_by_key(|[start, length, _]| name_of(*start, *length));
        let n_rows = [
            self.entries.len(),
            by_name.len(),
            self.essential.len(),
            self.provisions.len(),
            mentions.len(),
            names.len(),
            self.texts.len(),
        ];
        let body = [
            n_rows.iter().flat_map(|n| at(*n).to_le_bytes()).collect(),
            words(&self.entries),
            words(&by_name),
            words(&self.essential),
            words(&self.provisions),
            words(&mentions),
            names.into_bytes(),
            self.texts.into_bytes(),
        ];
        let body = body.concat();
        let header = [MAGIC, &FORMAT.to_le_bytes()[..], &checksum(&body).to_le_bytes()].concat();
        [header, body].concat()
    }

    /// Name and version come first, where they are found without reading the paragraph.
    fn push_paragraph(&mut self, package: &Package, paragraph: &Paragraph<'_>) -> [u32; 2] {
        let start = self.texts.len();
        self.texts.extend(["Package: ", &package.name, "\nVersion: ", package.version.as_str(), "\n"]);
        let is_kept = |name: &str| !LEFT_OUT.iter().any(|known| known.eq_ignore_ascii_case(name));
        for field in paragraph.fields().iter().filter(|field| is_kept(field.name)) {
            self.texts.extend([field.name, ": ", &field.value, "\n"]);
        }
        [at(start), at(self.texts.len() - start)]
    }

    fn push(&mut self, text: &str) -> [u32; 2] {
        let start = self.names.len();
        self.names.push_str(text);
        [at(start), at(text.len())]
    }

    fn mention(&mut self, name: &str) -> [u32; 2] {
        if let Some([start, length, _]) = self.mentions.get(name) {
            return [*start, *length];
        }
        let [start, length] = self.push(name);
        self.mentions.insert(name.into(), [start, length, at(self.mentions.len())]);
        [start, length]
    }

    /// With `:any` a name is mentioned as another one.
    fn place_of(&mut self, name: &str) -> [u32; 2] {
        match self.mentions.get(name) {
            Some([start, length, _]) => [*start, *length],
            None => self.push(name),
        }
    }
}

fn at(n: usize) -> u32 {
    u32::try_from(n).expect("an index is much shorter than 4 GiB, and nothing in a record is longer")
}

fn words<const N: usize>(rows: &[[u32; N]]) -> Vec<u8> {
    rows.iter().flatten().flat_map(|word| word.to_le_bytes()).collect()
}
