//! Bytes that are read at places, each of which may not be there.

use super::Error;

/// Bytes that are read at places.
#[derive(Clone, Copy)]
pub(super) struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Bytes<'a> {
        Bytes(bytes)
    }

    pub(super) fn len(self) -> usize {
        self.0.len()
    }

    /// Returns `n` bytes from `place` on.
    pub(super) fn at(self, place: usize, n: usize, what: &'static str) -> Result<&'a [u8], Error> {
        place.checked_add(n).and_then(|end| self.0.get(place..end)).ok_or(Error { what, place })
    }

    fn array<const N: usize>(self, place: usize, what: &'static str) -> Result<[u8; N], Error> {
        self.at(place, N, what)?.try_into().map_err(|_| Error { what, place })
    }

    pub(super) fn u8(self, place: usize, what: &'static str) -> Result<u8, Error> {
        Ok(self.array::<1>(place, what)?[0])
    }

    pub(super) fn be16(self, place: usize, what: &'static str) -> Result<usize, Error> {
        Ok(usize::from(u16::from_be_bytes(self.array(place, what)?)))
    }

    pub(super) fn be32(self, place: usize, what: &'static str) -> Result<usize, Error> {
        Ok(u32::from_be_bytes(self.array(place, what)?) as usize)
    }

    pub(super) fn le16(self, place: usize, what: &'static str) -> Result<usize, Error> {
        Ok(usize::from(u16::from_le_bytes(self.array(place, what)?)))
    }

    pub(super) fn le32(self, place: usize, what: &'static str) -> Result<usize, Error> {
        Ok(u32::from_le_bytes(self.array(place, what)?) as usize)
    }
}

/// Pages of a file, each of which is read at most once: a file that leads in circles has an end.
pub(super) struct Pages<'a> {
    file: Bytes<'a>,
    size: usize,
    seen: Vec<bool>,
}

impl<'a> Pages<'a> {
    /// Returns the pages of a file; the last one may be cut short.
    pub(super) fn of(file: Bytes<'a>, size: usize) -> Pages<'a> {
        Pages { file, size, seen: vec![false; file.len().div_ceil(size)] }
    }

    /// Returns a page by its number, from 0, and where it begins.
    pub(super) fn take(&mut self, number: usize) -> Result<(Bytes<'a>, usize), Error> {
        let place = number.saturating_mul(self.size);
        match self.seen.get_mut(number) {
            None => Err(Error { what: "a page is missing", place }),
            Some(true) => Err(Error { what: "a page is led to twice", place }),
            Some(seen) => {
                *seen = true;
                let n = self.size.min(self.file.len() - place);
                Ok((Bytes::new(self.file.at(place, n, "a page is missing")?), place))
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        self.seen.len()
    }
}
