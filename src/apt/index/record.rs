//! An index as bytes that are quick to load: pages and names in front, behind them tables of words that point into those.
//!
//! Sixty thousand paragraphs are read once and written down: without what nobody decides by, sorted by name, with
//! what they provide and mention. The paragraphs stand on pages, each packed by itself; whoever loads the bytes
//! unpacks no page but those of packages that are asked for. Where the bytes are kept is decided elsewhere; those that
//! are damaged, or of another format, are no record.

use std::collections::HashMap;
use std::ops::Range;

use super::mentions;

use crate::debian::Version;
use crate::debian::deb822::Paragraph;
use crate::debian::package::{Package, RelationError};

/// Raised whenever what stands in the bytes changes.
const FORMAT: u32 = 3;
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

/// A page is full with so many bytes; smaller ones are unpacked sooner and packed worse.
const PAGE: usize = 32 << 10;
/// No page is longer, whatever a paragraph may have.
const LONGEST_PAGE: usize = 32 << 20;
/// zstd's quickest.
const LEVEL: i32 = 1;

/// The tables, in their order; how many words a row has.
const WIDTHS: [usize; 6] = [7, 1, 1, 5, 3, 3];
/// A package: the page of its paragraph, where on it that begins and how long it is; where its name begins and how
/// long it is, the same of its version.
const ENTRIES: usize = 0;
/// Packages by name, those of one name as the index has them.
const BY_NAME: usize = 1;
/// The Essential ones.
const ESSENTIAL: usize = 2;
/// What is provided, by name: where the name begins and how long it is, the same of the version, by whom.
const PROVISIONS: usize = 3;
/// Every name there is, sorted: where it begins, how long it is, how many others come before it in the index.
const MENTIONS: usize = 4;
/// The pages: where one begins and how long it is, and how long unpacked.
const PAGES: usize = 5;
/// The magic, the format, a checksum; then how many rows each table has, and bytes the names and the pages.
const HEADER: usize = CHECKED + 4 * (WIDTHS.len() + 2);
/// Where that begins which the checksum is of.
const CHECKED: usize = MAGIC.len() + 4 * 2;

/// An index, loaded.
pub(super) struct Record {
    bytes: Vec<u8>,
    tables: [Table; WIDTHS.len()],
    names: Range<usize>,
    pages: Range<usize>,
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
        if !is_ours || word_at(&bytes, CHECKED - 4) != checksum(&bytes[CHECKED..]) {
            return None;
        }
        let n_rows = |number: usize| word_at(&bytes, CHECKED + 4 * number) as usize;
        let pages = HEADER..HEADER.checked_add(n_rows(WIDTHS.len() + 1))?;
        let names = pages.end..pages.end.checked_add(n_rows(WIDTHS.len()))?;
        let mut tables = [Table::default(); WIDTHS.len()];
        let mut start = names.end;
        for (number, table) in tables.iter_mut().enumerate() {
            *table = Table { start, n_rows: n_rows(number) };
            start = start.checked_add(table.n_rows.checked_mul(4 * WIDTHS[number])?)?;
        }
        (start == bytes.len()).then_some(Record { bytes, tables, names, pages })
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
    pub(super) fn paragraph(&self, entry: usize) -> String {
        let [page, start, length] = [0, 1, 2].map(|column| self.word(ENTRIES, entry, column) as usize);
        let page = self.page(page).unwrap_or_default();
        let bytes = page.get(start..start + length).unwrap_or_default();
        String::from_utf8_lossy(bytes).into_owned()
    }

    /// What was written was packed, and the checksum holds: nothing is lost where it can't be unpacked.
    fn page(&self, page: usize) -> Option<Vec<u8>> {
        let [start, length, unpacked] = [0, 1, 2].map(|column| self.word(PAGES, page, column) as usize);
        let start = self.pages.start + start;
        let packed = self.bytes.get(start..start + length)?;
        zstd::bulk::decompress(packed, unpacked.min(LONGEST_PAGE)).ok()
    }

    /// Returns the name of a package.
    pub(super) fn name(&self, entry: usize) -> &str {
        self.text(self.word(ENTRIES, entry, 3), self.word(ENTRIES, entry, 4))
    }

    /// Returns the version of a package.
    pub(super) fn version(&self, entry: usize) -> &str {
        self.text(self.word(ENTRIES, entry, 5), self.word(ENTRIES, entry, 6))
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
            let version = (start != NONE).then(|| self.text(start, length));
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
        rows.map(|row| self.text(self.word(MENTIONS, row, 0), self.word(MENTIONS, row, 1)))
    }

    /// Returns how many names are mentioned.
    pub(super) fn n_mentions(&self) -> u32 {
        u32::try_from(self.tables[MENTIONS].n_rows).unwrap_or(u32::MAX)
    }

    /// Finds the rows of a table that begins with a name and is sorted by it.
    fn rows_of(&self, table: usize, name: &str) -> Range<usize> {
        let name_of = |row: usize| self.text(self.word(table, row, 0), self.word(table, row, 1));
        let n_rows = self.tables[table].n_rows;
        let begin = partition_point(0..n_rows, |row| name_of(row) < name);
        begin..partition_point(begin..n_rows, |row| name_of(row) == name)
    }

    fn word(&self, table: usize, row: usize, column: usize) -> u32 {
        word_at(&self.bytes, self.tables[table].start + 4 * (row * WIDTHS[table] + column))
    }

    /// What was written was text, and the checksum holds: nothing is lost by the defaults.
    fn text(&self, start: u32, length: u32) -> &str {
        let start = self.names.start + start as usize;
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
pub(super) struct Writer {
    entries: Vec<[u32; 7]>,
    essential: Vec<[u32; 1]>,
    provisions: Vec<[u32; 5]>,
    mentions: HashMap<Box<str>, [u32; 3]>,
    names: String,
    /// The page that is being written.
    page: String,
    pages: Vec<[u32; 3]>,
    /// What will be the record: room for its header, and the pages so far.
    bytes: Vec<u8>,
}

impl Writer {
    /// Returns an empty one.
    pub(super) fn new() -> Writer {
        Writer {
            entries: Vec::new(),
            essential: Vec::new(),
            provisions: Vec::new(),
            mentions: HashMap::new(),
            names: String::new(),
            page: String::new(),
            pages: Vec::new(),
            bytes: vec![0; HEADER],
        }
    }

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
        let [version_start, version_length] = self.push(package.version.as_str());
        let [page, start, length] = self.push_paragraph(package, paragraph);
        self.entries.push([page, start, length, name_start, name_length, version_start, version_length]);
        Ok(())
    }

    /// Returns the record.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.end_page();
        let names = std::mem::take(&mut self.names);
        let name_of = |start: u32, length: u32| &names[start as usize..][..length as usize];
        let mut by_name: Vec<[u32; 1]> = (0..at(self.entries.len())).map(|entry| [entry]).collect();
        by_name.sort_by_key(|[entry]| {
            let [_, _, _, start, length, ..] = self.entries[*entry as usize];
            name_of(start, length)
        });
        self.provisions.sort_by_key(|[start, length, ..]| name_of(*start, *length));
        let mut mentions: Vec<[u32; 3]> = std::mem::take(&mut self.mentions).into_values().collect();
        mentions.sort_unstable_by_key(|[start, length, _]| name_of(*start, *length));
        let n_rows = [
            self.entries.len(),
            by_name.len(),
            self.essential.len(),
            self.provisions.len(),
            mentions.len(),
            self.pages.len(),
            names.len(),
            self.bytes.len() - HEADER,
        ];
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.extend_from_slice(names.as_bytes());
        push_words(&mut bytes, &self.entries);
        push_words(&mut bytes, &by_name);
        push_words(&mut bytes, &self.essential);
        push_words(&mut bytes, &self.provisions);
        push_words(&mut bytes, &mentions);
        push_words(&mut bytes, &self.pages);
        bytes[CHECKED..HEADER].copy_from_slice(&n_rows.map(|n| at(n).to_le_bytes()).concat());
        let checksum = checksum(&bytes[CHECKED..]).to_le_bytes();
        let begin = [MAGIC, &FORMAT.to_le_bytes()[..], &checksum].concat();
        bytes[..CHECKED].copy_from_slice(&begin);
        bytes
    }

    /// Name and version come first.
    fn push_paragraph(&mut self, package: &Package, paragraph: &Paragraph<'_>) -> [u32; 3] {
        if self.page.len() >= PAGE {
            self.end_page();
        }
        let start = self.page.len();
        self.page.extend(["Package: ", &package.name, "\nVersion: ", package.version.as_str(), "\n"]);
        let is_kept = |name: &str| !LEFT_OUT.iter().any(|known| known.eq_ignore_ascii_case(name));
        for field in paragraph.fields().iter().filter(|field| is_kept(field.name)) {
            self.page.extend([field.name, ": ", &field.value, "\n"]);
        }
        [at(self.pages.len()), at(start), at(self.page.len() - start)]
    }

    fn end_page(&mut self) {
        let packed = zstd::bulk::compress(self.page.as_bytes(), LEVEL).expect("memory takes what is packed");
        self.pages.push([at(self.bytes.len() - HEADER), at(packed.len()), at(self.page.len())]);
        self.bytes.extend_from_slice(&packed);
        self.page.clear();
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

fn push_words<const N: usize>(bytes: &mut Vec<u8>, rows: &[[u32; N]]) {
    bytes.extend(rows.iter().flatten().flat_map(|word| word.to_le_bytes()));
}
