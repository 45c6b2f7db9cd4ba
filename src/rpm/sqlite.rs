//! The SQLite form: a table `Packages` of a number and the header.
//!
//! See <https://www.sqlite.org/fileformat2.html>; only tables are read, and of the schema only where this one begins.

use super::Error;
use super::bytes::{Bytes, Pages};

const MAGIC: &[u8] = b"SQLite format 3\0";
const FILE_HEADER: usize = 100;
const TABLE: &[u8] = b"Packages";
/// Kinds of pages.
const INTERIOR: u8 = 5;
const LEAF: u8 = 13;
/// No tree of fewer than 2^32 pages is deeper.
const DEEPEST: usize = 40;
/// Every column of a record before this one is small.
const MOST_COLUMNS: usize = 8;

struct Reader<'a> {
    pages: Pages<'a>,
    /// How many bytes of a page are used.
    usable: usize,
}

pub(super) fn blobs(file: Bytes<'_>) -> Vec<Result<Vec<u8>, Error>> {
    let found = open(file).and_then(|mut reader| {
        let schema = reader.rows(1)?;
        let root = schema.iter().find_map(|row| root_of(row)).unwrap_or_default();
        // A database of nothing has no table.
        if root == 0 { Ok(Vec::new()) } else { reader.rows(root) }
    });
    match found {
        Err(error) => vec![Err(error)],
        Ok(rows) => rows.iter().map(|row| header(row)).collect(),
    }
}

fn open(file: Bytes<'_>) -> Result<Reader<'_>, Error> {
    let what = "its beginning is missing";
    if file.at(0, MAGIC.len(), what)? != MAGIC {
        return Err(Error { what: "it is no SQLite database", place: 0 });
    }
    let size = match file.be16(16, what)? {
        1 => 65536,
        size => size,
    };
    let reserved = usize::from(file.u8(20, what)?);
    if !size.is_power_of_two() || size < 512 || size - reserved < 480 {
        return Err(Error { what: "its pages have no possible size", place: 16 });
    }
    Ok(Reader { pages: Pages::of(file, size), usable: size - reserved })
}

impl Reader<'_> {
    /// Returns the rows of the table whose tree begins at a page, which are counted from 1, in the order of their numbers.
    fn rows(&mut self, root: usize) -> Result<Vec<Vec<u8>>, Error> {
        let mut rows = Vec::new();
        self.tree(root, 0, &mut rows)?;
        Ok(rows)
    }

    fn tree(&mut self, page: usize, depth: usize, rows: &mut Vec<Vec<u8>>) -> Result<(), Error> {
        let (bytes, place) = self.pages.take(page.wrapping_sub(1))?;
        let error = |what| Err(Error { what, place });
        if depth > DEEPEST {
            return error("its tree is too deep");
        }
        let start = if page == 1 { FILE_HEADER } else { 0 };
        let cut = "a page is cut short";
        let kind = bytes.u8(start, cut)?;
        let n_cells = bytes.be16(start + 3, cut)?;
        let cells = start + if kind == INTERIOR { 12 } else { 8 };
        for index in 0..n_cells {
            let cell = bytes.be16(cells + 2 * index, cut)?;
            match kind {
                INTERIOR => self.tree(bytes.be32(cell, cut)?, depth + 1, rows)?,
                LEAF => rows.push(self.row(bytes, cell)?),
                _ => return error("there is a page that is no table's"),
            }
        }
        match kind {
            INTERIOR => self.tree(bytes.be32(start + 8, cut)?, depth + 1, rows),
            LEAF => Ok(()),
            _ => error("there is a page that is no table's"),
        }
    }

    /// Returns the record of a cell, which may go on in pages of its own.
    fn row(&mut self, page: Bytes<'_>, cell: usize) -> Result<Vec<u8>, Error> {
        let (n, after) = varint(page, cell)?;
        let (_, start) = varint(page, after)?;
        let most = self.usable - 35;
        let least = (self.usable - 12) * 32 / 255 - 23;
        let what = "a row is cut short";
        let n_here = match n <= most {
            true => n,
            false => match least + (n - least) % (self.usable - 4) {
                fitting if fitting <= most => fitting,
                _ => least,
            },
        };
        let mut row = page.at(start, n_here, what)?.to_vec();
        let mut next = if n_here < n { page.be32(start + n_here, what)? } else { 0 };
        while row.len() < n {
            let (bytes, _) = self.pages.take(next.wrapping_sub(1))?;
            let n_more = (n - row.len()).min(self.usable - 4);
            row.extend_from_slice(bytes.at(4, n_more, what)?);
            next = bytes.be32(0, what)?;
        }
        Ok(row)
    }
}

/// Returns the first page of the table, if a row of the schema is its: type, name, name of the table, page, text.
fn root_of(row: &[u8]) -> Option<usize> {
    let columns = columns(Bytes::new(row)).ok()?;
    let [kind, name, _, root, ..] = columns.as_slice() else { return None };
    let number = root
        .iter()
        .try_fold(0_usize, |number, byte| number.checked_mul(256)?.checked_add(usize::from(*byte)));
    number.filter(|_| *kind == b"table" && *name == TABLE)
}

fn header(row: &[u8]) -> Result<Vec<u8>, Error> {
    let columns = columns(Bytes::new(row))?;
    columns.get(1).map(|blob| blob.to_vec()).ok_or(Error { what: "a row has no header", place: 0 })
}

/// Returns the bytes of a record's columns.
fn columns(row: Bytes<'_>) -> Result<Vec<&[u8]>, Error> {
    let (end, mut place) = varint(row, 0)?;
    let mut value = end;
    let mut columns = Vec::new();
    while place < end && columns.len() < MOST_COLUMNS {
        let (kind, next) = varint(row, place)?;
        let n = match kind {
            0 | 8 | 9 => 0,
            n @ 1..=4 => n,
            5 => 6,
            6 | 7 => 8,
            n => n.saturating_sub(12) / 2,
        };
        columns.push(row.at(value, n, "a column is cut short")?);
        (place, value) = (next, value + n);
    }
    Ok(columns)
}

/// Returns a number of up to nine bytes, of each of which the highest bit says that there are more; and what comes after it.
fn varint(bytes: Bytes<'_>, start: usize) -> Result<(usize, usize), Error> {
    let mut number: u64 = 0;
    for index in 0..9 {
        let byte = u64::from(bytes.u8(start + index, "a number has no end")?);
        if index == 8 {
            number = number << 8 | byte;
        } else {
            number = number << 7 | byte & 0x7f;
        }
        if index == 8 || byte & 0x80 == 0 {
            let number =
                usize::try_from(number).map_err(|_| Error { what: "a number is too large", place: start })?;
            return Ok((number, start + index + 1));
        }
    }
    Err(Error { what: "a number has no end", place: start })
}
