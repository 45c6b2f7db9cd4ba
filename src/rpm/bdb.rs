//! Berkeley DB's hash: pages of keys and values, where large values lie in chains of pages of their own.
//!
//! See `dbinc/db_page.h` of its sources. Numbers are in the order of the machine that wrote them.

use super::Error;
use super::bytes::{Bytes, Pages};

const MAGIC: usize = 0x0006_1561;
const PAGE_SIZES: std::ops::RangeInclusive<usize> = 512..=65536;
const PAGE_HEADER: usize = 26;

/// Kinds of pages.
const HASH_UNSORTED: u8 = 2;
const OVERFLOW: u8 = 7;
const HASH: u8 = 13;

/// Kinds of items.
const INLINE: u8 = 1;
const OFF_PAGE: u8 = 3;

/// How many bytes an item has that leads to another page.
const POINTER: usize = 12;
/// The first key's value is no header, but the number of the next package.
const NUMBER: usize = 4;

struct Reader<'a> {
    file: Bytes<'a>,
    pages: Pages<'a>,
    is_big_endian: bool,
}

pub(super) fn blobs(file: Bytes<'_>) -> Vec<Result<Vec<u8>, Error>> {
    match Reader::open(file) {
        Err(error) => vec![Err(error)],
        Ok((mut reader, size)) => {
            let mut blobs = Vec::new();
            for number in 1..reader.pages.len() {
                if let Err(error) = reader.page(number * size, size, &mut blobs) {
                    blobs.push(Err(error));
                }
            }
            blobs
        }
    }
}

impl<'a> Reader<'a> {
    fn open(file: Bytes<'a>) -> Result<(Reader<'a>, usize), Error> {
        let what = "its beginning is missing";
        let is_big_endian = match (file.le32(12, what)?, file.be32(12, what)?) {
            (MAGIC, _) => false,
            (_, MAGIC) => true,
            _ => return Err(Error { what: "it is no hash of Berkeley DB", place: 12 }),
        };
        let size = if is_big_endian { file.be32(20, what)? } else { file.le32(20, what)? };
        if !PAGE_SIZES.contains(&size) || !size.is_power_of_two() {
            return Err(Error { what: "its pages have no possible size", place: 20 });
        }
        Ok((Reader { file, pages: Pages::of(file, size), is_big_endian }, size))
    }

    fn number(&self, place: usize) -> Result<usize, Error> {
        let what = "a number is missing";
        if self.is_big_endian { self.file.be32(place, what) } else { self.file.le32(place, what) }
    }

    fn half(&self, place: usize) -> Result<usize, Error> {
        let what = "a number is missing";
        if self.is_big_endian { self.file.be16(place, what) } else { self.file.le16(place, what) }
    }

    /// Reads the values of a page; keys and values take turns.
    fn page(
        &mut self,
        page: usize,
        size: usize,
        blobs: &mut Vec<Result<Vec<u8>, Error>>,
    ) -> Result<(), Error> {
        if ![HASH_UNSORTED, HASH].contains(&self.file.u8(page + 25, "a page is cut short")?) {
            return Ok(());
        }
        let n_items = self.half(page + 20)?;
        // Items are laid down from the end of the page on: each ends where the one before it begins.
        let mut end = size;
        for item in 0..n_items {
            let start = self.half(page + PAGE_HEADER + 2 * item)?;
            if start >= end {
                return Err(Error { what: "items overlap", place: page });
            }
            if item % 2 == 1 {
                blobs.extend(self.value(page + start, end - start, size).transpose());
            }
            end = start;
        }
        Ok(())
    }

    fn value(&mut self, place: usize, n: usize, size: usize) -> Result<Option<Vec<u8>>, Error> {
        let what = "a value is cut short";
        match self.file.u8(place, what)? {
            INLINE if n <= 1 + NUMBER => Ok(None),
            INLINE => Ok(Some(self.file.at(place + 1, n - 1, what)?.to_vec())),
            OFF_PAGE if n >= POINTER => {
                let (first, n) = (self.number(place + 4)?, self.number(place + 8)?);
                self.chain(first, n, size).map(Some)
            }
            _ => Err(Error { what: "a value is of no kind that is known", place }),
        }
    }

    /// Returns the `n` bytes that a chain of pages holds.
    fn chain(&mut self, first: usize, n: usize, size: usize) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        let mut next = first;
        while next != 0 {
            let (content, place) = self.pages.take(next)?;
            if content.u8(25, "a page is cut short")? != OVERFLOW {
                return Err(Error { what: "a value goes on in a page of another kind", place });
            }
            let n_here = self.half(place + 22)?.min(size - PAGE_HEADER);
            bytes.extend_from_slice(content.at(PAGE_HEADER, n_here, "a page is cut short")?);
            next = self.number(place + 16)?;
        }
        match bytes.len() == n {
            true => Ok(bytes),
            false => Err(Error { what: "a value has another size than it says", place: first * size }),
        }
    }
}
