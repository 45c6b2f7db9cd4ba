//! An index as bytes that are quick to load: pages in front, behind them names and tables of words that point into those.
//!
//! Sixty thousand paragraphs are read once and written down, in one go: without what nobody decides by, sorted by name,
//! with what they provide and mention. The paragraphs stand on pages, each packed by itself, and stay where the bytes are
//! kept; whoever loads a record reads no page but those of packages that are asked for. Where the bytes are kept is decided
//! elsewhere; those that are damaged, or of another format, are no record.

use std::hash::BuildHasher;
use std::io::{self, Write};
use std::ops::Range;

use hashbrown::{DefaultHashBuilder, HashTable};

use super::{Error, mentions};

use crate::debian::Version;
use crate::debian::deb822::Paragraph;
use crate::debian::package::Package;

/// Raised whenever what stands in the bytes changes.
const FORMAT: u32 = 4;
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
/// How many lengths there are: how many rows each table has, how many bytes the names and the pages.
const N_LENGTHS: usize = WIDTHS.len() + 2;
/// What stands at the end: those lengths, the magic, the format, and a checksum of all that is before it.
const FOOTER: usize = 4 * N_LENGTHS + MAGIC.len() + 4 * 2;
/// How much is checked at a time, in bytes.
const PIECE: usize = 64 << 10;

/// Where the bytes of a record are kept.
pub trait Kept: Send + Sync {
    /// Returns how many there are.
    ///
    /// # Errors
    /// When that can't be found out.
    fn n_bytes(&self) -> io::Result<u64>;

    /// Reads those from `start` on.
    ///
    /// # Errors
    /// When they can't be read, or there are fewer.
    fn read_at(&self, start: u64, buffer: &mut [u8]) -> io::Result<()>;
}

impl Kept for Vec<u8> {
    fn n_bytes(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }

    fn read_at(&self, start: u64, buffer: &mut [u8]) -> io::Result<()> {
        let rest = usize::try_from(start).ok().and_then(|start| self.get(start..));
        let bytes = rest.and_then(|rest| rest.get(..buffer.len()));
        buffer.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

/// An index, loaded.
pub(super) struct Record {
    kept: Box<dyn Kept>,
    /// Names and tables.
    bytes: Vec<u8>,
    n_names: usize,
    tables: [Table; WIDTHS.len()],
}

#[derive(Clone, Copy, Default)]
struct Table {
    start: usize,
    n_rows: usize,
}

impl Record {
    /// Loads what [`Writer::finish`] wrote; none if it is damaged or of another format.
    pub(super) fn load(kept: Box<dyn Kept>) -> Option<Record> {
        let n_bytes = kept.n_bytes().ok()?;
        let mut footer = [0; FOOTER];
        let end = n_bytes.checked_sub(FOOTER as u64)?;
        kept.read_at(end, &mut footer).ok()?;
        let (lengths, mark) = footer.split_at(4 * N_LENGTHS);
        if !mark.starts_with(MAGIC) || word_at(mark, MAGIC.len()) != FORMAT {
            return None;
        }
        let length = |nth: usize| word_at(lengths, 4 * nth) as usize;
        let (n_names, n_pages) = (length(WIDTHS.len()), length(WIDTHS.len() + 1));
        let mut tables = [Table::default(); WIDTHS.len()];
        let mut start = n_names;
        for (nth, table) in tables.iter_mut().enumerate() {
            *table = Table { start, n_rows: length(nth) };
            start = start.checked_add(table.n_rows.checked_mul(4 * WIDTHS[nth])?)?;
        }
        if (n_pages as u64).checked_add(start as u64)? != end {
            return None;
        }
        let mut crc = checksum_of_pages(&*kept, n_pages).ok()?;
        let mut bytes = vec![0; start];
        kept.read_at(n_pages as u64, &mut bytes).ok()?;
        crc.update(&bytes);
        crc.update(&footer[..FOOTER - 4]);
        let is_whole = word_at(mark, MAGIC.len() + 4) == crc.sum();
        is_whole.then_some(Record { kept, bytes, n_names, tables })
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
        let mut packed = vec![0; length];
        self.kept.read_at(start as u64, &mut packed).ok()?;
        zstd::bulk::decompress(&packed, unpacked.min(LONGEST_PAGE)).ok()
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
        let names = &self.bytes[..self.n_names];
        let bytes = names.get(start as usize..start as usize + length as usize).unwrap_or_default();
        std::str::from_utf8(bytes).unwrap_or_default()
    }
}

fn word_at(bytes: &[u8], at: usize) -> u32 {
    let word = bytes.get(at..at + 4).and_then(|word| word.try_into().ok());
    word.map_or(0, u32::from_le_bytes)
}

fn checksum_of_pages(kept: &dyn Kept, n_bytes: usize) -> io::Result<flate2::Crc> {
    let (mut crc, mut piece) = (flate2::Crc::new(), vec![0; PIECE]);
    for start in (0..n_bytes).step_by(PIECE) {
        let piece = &mut piece[..PIECE.min(n_bytes - start)];
        kept.read_at(start as u64, piece)?;
        crc.update(piece);
    }
    Ok(crc)
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
pub(super) struct Writer<W> {
    output: W,
    crc: flate2::Crc,
    entries: Vec<[u32; 7]>,
    essential: Vec<[u32; 1]>,
    provisions: Vec<[u32; 5]>,
    /// Found by the names that they point at.
    mentions: HashTable<[u32; 3]>,
    hasher: DefaultHashBuilder,
    names: String,
    /// The page that is being written.
    page: String,
    compressor: zstd::bulk::Compressor<'static>,
    pages: Vec<[u32; 3]>,
    n_written: usize,
}

impl<W: Write> Writer<W> {
    /// Returns one that writes to `output`, the pages at once.
    pub(super) fn new(output: W) -> io::Result<Writer<W>> {
        Ok(Writer {
            output,
            crc: flate2::Crc::new(),
            entries: Vec::new(),
            essential: Vec::new(),
            provisions: Vec::new(),
            mentions: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            names: String::new(),
            page: String::new(),
            compressor: zstd::bulk::Compressor::new(LEVEL)?,
            pages: Vec::new(),
            n_written: 0,
        })
    }

    /// Adds a package and its paragraph, which were read before.
    pub(super) fn add(
        &mut self,
        package: &Package,
        paragraph: &Paragraph<'_>,
        architecture: &str,
    ) -> Result<(), Error> {
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
        let [page, start, length] =
            self.push_paragraph(package, paragraph).map_err(|error| Error::unkept(&error))?;
        self.entries.push([page, start, length, name_start, name_length, version_start, version_length]);
        Ok(())
    }

    /// Writes the rest, and returns where it went.
    pub(super) fn finish(mut self) -> io::Result<W> {
        self.end_page()?;
        let n_pages = self.n_written;
        let names = std::mem::take(&mut self.names);
        let name_of = |start: u32, length: u32| &names[start as usize..][..length as usize];
        let mut by_name: Vec<[u32; 1]> = (0..at(self.entries.len())).map(|entry| [entry]).collect();
        by_name.sort_by_key(|[entry]| {
            let [_, _, _, start, length, ..] = self.entries[*entry as usize];
            name_of(start, length)
        });
        self.provisions.sort_by_key(|[start, length, ..]| name_of(*start, *length));
        let mut mentions: Vec<[u32; 3]> = std::mem::take(&mut self.mentions).into_iter().collect();
        mentions.sort_unstable_by_key(|[start, length, _]| name_of(*start, *length));
        self.write(names.as_bytes())?;
        let lengths = [
            self.entries.len(),
            by_name.len(),
            self.essential.len(),
            self.provisions.len(),
            mentions.len(),
            self.pages.len(),
            names.len(),
            n_pages,
        ];
        let entries = std::mem::take(&mut self.entries);
        self.write_rows(&entries)?;
        self.write_rows(&by_name)?;
        let essential = std::mem::take(&mut self.essential);
        self.write_rows(&essential)?;
        let provisions = std::mem::take(&mut self.provisions);
        self.write_rows(&provisions)?;
        self.write_rows(&mentions)?;
        let pages = std::mem::take(&mut self.pages);
        self.write_rows(&pages)?;
        self.write_rows(&lengths.map(|n| [at(n)]))?;
        self.write(MAGIC)?;
        self.write_rows(&[[FORMAT]])?;
        let checksum = self.crc.sum();
        self.write_rows(&[[checksum]])?;
        Ok(self.output)
    }

    fn write_rows<const N: usize>(&mut self, rows: &[[u32; N]]) -> io::Result<()> {
        for rows in rows.chunks(PIECE / 4 / N) {
            let bytes: Vec<u8> = rows.iter().flatten().flat_map(|word| word.to_le_bytes()).collect();
            self.write(&bytes)?;
        }
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.crc.update(bytes);
        self.n_written += bytes.len();
        self.output.write_all(bytes)
    }

    /// Name and version come first.
    fn push_paragraph(&mut self, package: &Package, paragraph: &Paragraph<'_>) -> io::Result<[u32; 3]> {
        if self.page.len() >= PAGE {
            self.end_page()?;
        }
        let start = self.page.len();
        self.page.extend(["Package: ", &package.name, "\nVersion: ", package.version.as_str(), "\n"]);
        let is_kept = |name: &str| !LEFT_OUT.iter().any(|known| known.eq_ignore_ascii_case(name));
        for field in paragraph.fields().iter().filter(|field| is_kept(field.name)) {
            self.page.extend([field.name, ": ", &field.value, "\n"]);
        }
        Ok([at(self.pages.len()), at(start), at(self.page.len() - start)])
    }

    fn end_page(&mut self) -> io::Result<()> {
        let packed = self.compressor.compress(self.page.as_bytes())?;
        self.pages.push([at(self.n_written), at(packed.len()), at(self.page.len())]);
        self.page.clear();
        self.write(&packed)
    }

    fn push(&mut self, text: &str) -> [u32; 2] {
        let start = self.names.len();
        self.names.push_str(text);
        [at(start), at(text.len())]
    }

    fn mention(&mut self, name: &str) -> [u32; 2] {
        if let Some(known) = self.mentioned(name) {
            return known;
        }
        let [start, length] = self.push(name);
        let row = [start, length, at(self.mentions.len())];
        let (names, hasher) = (&self.names, &self.hasher);
        let hash = |row: &[u32; 3]| hasher.hash_one(text_of(names, row));
        self.mentions.insert_unique(hash(&row), row, hash);
        [start, length]
    }

    fn mentioned(&self, name: &str) -> Option<[u32; 2]> {
        let is_it = |row: &[u32; 3]| text_of(&self.names, row) == name;
        self.mentions.find(self.hasher.hash_one(name), is_it).map(|[start, length, _]| [*start, *length])
    }

    /// With `:any` a name is mentioned as another one.
    fn place_of(&mut self, name: &str) -> [u32; 2] {
        self.mentioned(name).unwrap_or_else(|| self.push(name))
    }
}

fn text_of<'n>(names: &'n str, [start, length, _]: &[u32; 3]) -> &'n str {
    &names[*start as usize..][..*length as usize]
}

fn at(n: usize) -> u32 {
    u32::try_from(n).expect("an index is much shorter than 4 GiB, and nothing in a record is longer")
}
