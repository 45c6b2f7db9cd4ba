//! Unpacking a pack while it comes (git-scm.com/docs/gitformat-pack): every object whole into the heap, in constant memory.
//!
//! Nothing that the pack says of sizes is believed before so many bytes came, and deltas are applied from disk to disk.

use std::io::{self, BufRead, BufReader, Read};

use anyhow::{Context as _, Result, bail, ensure};
use flate2::bufread::ZlibDecoder;
use gix::ObjectId;
use gix::hash::{Hasher, Kind as Hash, hasher};
use gix::objs::Kind;

use super::objects::{Objects, Stored};

/// No pack has more objects.
const MOST_OBJECTS: u32 = 2_000_000;
const OFS_DELTA: u8 = 6;
const REF_DELTA: u8 = 7;

/// Reads a pack to its end, and adds its objects.
pub(super) fn unpack(reader: impl BufRead, objects: &mut Objects) -> Result<()> {
    let mut pack = Counting { inner: reader, hasher: hasher(Hash::Sha1), position: 0 };
    let mut header = [0; 12];
    pack.read_exact(&mut header).context("the pack breaks off")?;
    ensure!(header[..8] == *b"PACK\0\0\0\x02", "the server sent something else than a pack");
    let n_objects = u32::from_be_bytes([header[8], header[9], header[10], header[11]]);
    ensure!(n_objects <= MOST_OBJECTS, "the pack has {n_objects} objects, more than {MOST_OBJECTS}");
    let mut unpacking = Unpacking { objects, at: Vec::new(), waiting: Vec::new() };
    for _ in 0..n_objects {
        unpacking.entry(&mut pack)?;
    }
    let (sum, mut trailer) = (pack.hasher.try_finalize(), [0; 20]);
    pack.inner.read_exact(&mut trailer).context("the pack breaks off")?;
    ensure!(sum.is_ok_and(|sum| sum.as_slice() == trailer), "the pack came damaged");
    unpacking.finish()
}

struct Unpacking<'a> {
    objects: &'a mut Objects,
    /// The objects that are whole, by their place in the pack, which grows.
    at: Vec<(u64, Stored)>,
    waiting: Vec<Delta>,
}

/// A delta whose base is not known yet.
struct Delta {
    place: u64,
    base: Base,
    offset: u64,
    size: u64,
}

#[derive(Clone, Copy)]
enum Base {
    At(u64),
    Object(ObjectId),
}

impl Unpacking<'_> {
    fn entry(&mut self, pack: &mut Counting<impl BufRead>) -> Result<()> {
        let place = pack.position;
        let (kind, size) = entry_header(pack)?;
        let base = match kind {
            1 => return self.whole(Kind::Commit, place, size, pack),
            2 => return self.whole(Kind::Tree, place, size, pack),
            3 => return self.whole(Kind::Blob, place, size, pack),
            4 => return self.whole(Kind::Tag, place, size, pack),
            OFS_DELTA => {
                let distance = distance(pack)?;
                Base::At(place.checked_sub(distance).context("a delta's base lies before the pack")?)
            }
            REF_DELTA => {
                let mut id = [0; 20];
                pack.read_exact(&mut id)?;
                Base::Object(ObjectId::Sha1(id))
            }
            _ => bail!("the pack has an object of no kind"),
        };
        let mut inflated = BufReader::new(ZlibDecoder::new(&mut *pack).take(size));
        match self.find(base) {
            Some(base) => {
                let stored = apply(&mut inflated, base, self.objects)?;
                self.at.push((place, stored));
            }
            None => {
                let offset = self.objects.heap.end();
                copy(&mut inflated, size, &mut |bytes| self.objects.heap.add(bytes))?;
                self.waiting.push(Delta { place, base, offset, size });
            }
        }
        at_end(inflated.into_inner().into_inner())
    }

    fn whole(&mut self, kind: Kind, place: u64, size: u64, pack: &mut Counting<impl BufRead>) -> Result<()> {
        let mut decoder = ZlibDecoder::new(pack);
        let mut object = Object::begin(kind, size, self.objects);
        copy(&mut decoder, size, &mut |bytes| object.add(bytes))?;
        self.at.push((place, object.finish()?));
        at_end(decoder)
    }

    fn find(&self, base: Base) -> Option<Stored> {
        match base {
            Base::At(place) => {
                let index = self.at.binary_search_by_key(&place, |(place, _)| *place).ok()?;
                Some(self.at[index].1)
            }
            Base::Object(id) => self.objects.known.get(&id).copied(),
        }
    }

    /// Resolves what had to wait for its base; each round must bring something.
    fn finish(mut self) -> Result<()> {
        while !self.waiting.is_empty() {
            let (n_before, waiting) = (self.waiting.len(), std::mem::take(&mut self.waiting));
            self.objects.heap.flush()?;
            for delta in waiting {
                let Some(base) = self.find(delta.base) else {
                    self.waiting.push(delta);
                    continue;
                };
                let section = self.objects.heap.section(delta.offset, delta.size);
                let stored = apply(&mut BufReader::new(section), base, self.objects)?;
                let index = self.at.partition_point(|(place, _)| *place < delta.place);
                self.at.insert(index, (delta.place, stored));
            }
            ensure!(self.waiting.len() < n_before, "a delta of the pack has no base");
        }
        Ok(self.objects.heap.flush()?)
    }
}

/// An object that is being written into the heap.
struct Object<'a> {
    kind: Kind,
    size: u64,
    offset: u64,
    hasher: Hasher,
    objects: &'a mut Objects,
}

impl<'a> Object<'a> {
    fn begin(kind: Kind, size: u64, objects: &'a mut Objects) -> Object<'a> {
        let mut hasher = hasher(Hash::Sha1);
        hasher.update(format!("{kind} {size}\0").as_bytes());
        Object { kind, size, offset: objects.heap.end(), hasher, objects }
    }

    fn add(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hasher.update(bytes);
        self.objects.heap.add(bytes)
    }

    fn finish(self) -> Result<Stored> {
        let id = self.hasher.try_finalize().map_err(|error| anyhow::anyhow!("{error}"))?;
        let stored = Stored { kind: self.kind, offset: self.offset, size: self.size };
        self.objects.known.insert(id, stored);
        Ok(stored)
    }
}

/// Applies a delta to its base.
fn apply(delta: &mut impl BufRead, base: Stored, objects: &mut Objects) -> Result<Stored> {
    ensure!(number(delta)? == base.size, "a delta of the pack has another base");
    let size = number(delta)?;
    objects.heap.flush()?;
    let mut object = Object::begin(base.kind, size, objects);
    let mut n_written = 0_u64;
    while let Some(instruction) = next_byte(delta)? {
        n_written += match instruction {
            0 => bail!("a delta of the pack has an unknown instruction"),
            1..=0x7f => {
                let n_bytes = u64::from(instruction);
                copy(delta, n_bytes, &mut |bytes| object.add(bytes))?;
                n_bytes
            }
            _ => copy_of_base(instruction, delta, base, &mut object)?,
        };
        ensure!(n_written <= size, "a delta of the pack makes more than it says");
    }
    ensure!(n_written == size, "a delta of the pack makes less than it says");
    object.finish()
}

fn copy_of_base(
    instruction: u8,
    delta: &mut impl BufRead,
    base: Stored,
    object: &mut Object<'_>,
) -> Result<u64> {
    let mut parts = [0_u8; 7];
    for (bit, part) in parts.iter_mut().enumerate() {
        if instruction & (1 << bit) != 0 {
            *part = next_byte(delta)?.context("a delta of the pack breaks off")?;
        }
    }
    let offset = u64::from(u32::from_le_bytes([parts[0], parts[1], parts[2], parts[3]]));
    let size = u64::from(u32::from_le_bytes([parts[4], parts[5], parts[6], 0]));
    let size = if size == 0 { 0x1_0000 } else { size };
    ensure!(offset + size <= base.size, "a delta of the pack copies from behind its base");
    let (mut buffer, mut done) = ([0; 16 << 10], 0);
    while done < size {
        let piece = &mut buffer[..usize::try_from(size - done).unwrap_or(usize::MAX).min(16 << 10)];
        object.objects.heap.read_at(piece, base.offset + offset + done)?;
        object.add(piece)?;
        done += piece.len() as u64;
    }
    Ok(size)
}

/// Hands on exactly `size` bytes.
fn copy(reader: &mut impl Read, size: u64, add: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> Result<()> {
    let (mut buffer, mut left) = ([0; 16 << 10], size);
    while left > 0 {
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let n_bytes = reader.read(&mut buffer[..most]).context("the pack can't be read")?;
        ensure!(n_bytes > 0, "an object of the pack is shorter than it says");
        add(&buffer[..n_bytes])?;
        left -= n_bytes as u64;
    }
    Ok(())
}

fn at_end(mut decoder: impl Read) -> Result<()> {
    let n_bytes = decoder.read(&mut [0]).context("the pack can't be read")?;
    ensure!(n_bytes == 0, "an object of the pack is longer than it says");
    Ok(())
}

fn next_byte(reader: &mut impl BufRead) -> Result<Option<u8>> {
    let byte = reader.fill_buf().context("the pack can't be read")?.first().copied();
    reader.consume(usize::from(byte.is_some()));
    Ok(byte)
}

fn byte(reader: &mut impl BufRead) -> Result<u8> {
    next_byte(reader)?.context("the pack breaks off")
}

/// Reads kind and size of an entry.
fn entry_header(pack: &mut impl BufRead) -> Result<(u8, u64)> {
    let first = byte(pack)?;
    let size = u64::from(first & 0x0f);
    let size = if first & 0x80 == 0 { size } else { more(pack, size, 4)? };
    Ok((first >> 4 & 7, size))
}

/// Reads a number whose lowest digits come first.
fn number(reader: &mut impl BufRead) -> Result<u64> {
    more(reader, 0, 0)
}

fn more(reader: &mut impl BufRead, mut value: u64, mut shift: u32) -> Result<u64> {
    loop {
        let next = byte(reader)?;
        ensure!(shift < 57, "a number of the pack is too large");
        value |= u64::from(next & 0x7f) << shift;
        shift += 7;
        if next & 0x80 == 0 {
            return Ok(value);
        }
    }
}

/// Reads how far before a delta its base lies.
fn distance(pack: &mut impl BufRead) -> Result<u64> {
    let mut next = byte(pack)?;
    let mut value = u64::from(next & 0x7f);
    while next & 0x80 != 0 {
        next = byte(pack)?;
        ensure!(value < 1 << 48, "a number of the pack is too large");
        value = (value + 1) << 7 | u64::from(next & 0x7f);
    }
    Ok(value)
}

/// Knows how much was read, and what that hashes to.
struct Counting<R> {
    inner: R,
    hasher: Hasher,
    position: u64,
}

impl<R: BufRead> Read for Counting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n_bytes = self.fill_buf()?.read(buffer)?;
        self.consume(n_bytes);
        Ok(n_bytes)
    }
}

impl<R: BufRead> BufRead for Counting<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        if amount > 0
            && let Ok(filled) = self.inner.fill_buf()
        {
            self.hasher.update(&filled[..amount.min(filled.len())]);
        }
        self.position += amount as u64;
        self.inner.consume(amount);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::ZlibEncoder;

    use super::*;

    /// Returns an entry whose header says `size`.
    fn entry(kind: u8, size: u8, base: &[u8], content: &[u8]) -> Vec<u8> {
        assert!(size < 16);
        let mut encoder = ZlibEncoder::new(vec![], Compression::fast());
        encoder.write_all(content).unwrap();
        [&[kind << 4 | size], base, &encoder.finish().unwrap()].concat()
    }

    fn pack(entries: &[Vec<u8>]) -> Vec<u8> {
        let mut pack = b"PACK\0\0\0\x02\0\0\0".to_vec();
        pack.push(entries.len() as u8);
        pack.extend(entries.concat());
        let mut sum = hasher(Hash::Sha1);
        sum.update(&pack);
        pack.extend(sum.try_finalize().unwrap().as_slice());
        pack
    }

    fn unpacked(pack: &[u8], most: u64) -> Result<Vec<Vec<u8>>> {
        let directory = tempfile::tempdir().unwrap();
        let mut objects = Objects::new(directory.path(), most)?;
        unpack(pack, &mut objects)?;
        let mut contents = Vec::new();
        for stored in objects.known.values() {
            let mut bytes = Vec::new();
            objects.open(*stored).read_to_end(&mut bytes)?;
            contents.push(bytes);
        }
        contents.sort();
        Ok(contents)
    }

    fn refused(pack: &[u8]) -> String {
        format!("{:#}", unpacked(pack, 1 << 20).unwrap_err())
    }

    #[test]
    fn deltas_are_applied_wherever_their_base_is() {
        let blob = entry(3, 6, &[], b"abcdef");
        // Takes "cd", then says "X".
        let delta = [6, 3, 0x91, 2, 2, 1, b'X'];
        let behind = entry(OFS_DELTA, 7, &[blob.len() as u8], &delta);
        let expected = [b"abcdef".to_vec(), b"cdX".to_vec()];
        assert_eq!(unpacked(&pack(&[blob.clone(), behind]), 1 << 20).unwrap(), expected);
        let id = {
            let mut id = hasher(Hash::Sha1);
            id.update(b"blob 6\0abcdef");
            id.try_finalize().unwrap()
        };
        let before = entry(REF_DELTA, 7, id.as_slice(), &delta);
        assert_eq!(unpacked(&pack(&[before, blob]), 1 << 20).unwrap(), expected);
    }

    #[test]
    fn a_pack_that_lies_is_refused() {
        let blob = entry(3, 6, &[], b"abcdef");
        let delta = |delta: &[u8]| {
            let after = entry(OFS_DELTA, delta.len() as u8, &[blob.len() as u8], delta);
            refused(&pack(&[blob.clone(), after]))
        };
        assert!(delta(&[6, 3, 0x91, 5, 3]).contains("behind its base"));
        assert!(delta(&[7, 3, 0x91, 0, 3]).contains("another base"));
        assert!(delta(&[6, 1, 0x91, 0, 3]).contains("more than it says"));
        assert!(delta(&[6, 4, 0x91, 0, 3]).contains("less than it says"));
        assert!(delta(&[6, 3, 0]).contains("unknown instruction"));
        assert!(
            delta(&[6, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]).contains("too large")
        );
        assert!(refused(&pack(&[entry(3, 7, &[], b"abcdef")])).contains("shorter"));
        assert!(refused(&pack(&[entry(3, 5, &[], b"abcdef")])).contains("longer"));
        assert!(refused(&pack(&[entry(5, 1, &[], b"a")])).contains("no kind"));
        assert!(refused(&pack(&[entry(OFS_DELTA, 3, &[99], b"abc")])).contains("before the pack"));
        assert!(refused(&pack(&[entry(REF_DELTA, 3, &[1; 20], &[6, 1, 1])])).contains("no base"));
        assert!(refused(b"PACK\0\0\0\x02\xff\xff\xff\xff").contains("more than"));
        assert!(refused(b"<html>not a pack</html>").contains("something else"));
        let mut damaged = pack(&[blob]);
        *damaged.last_mut().unwrap() ^= 1;
        assert!(refused(&damaged).contains("damaged"));
        assert!(refused(&damaged[..20]).contains("pack"));
    }

    #[test]
    fn what_unpacks_to_more_than_it_may_is_refused() {
        let blob = entry(3, 6, &[], b"abcdef");
        let delta = [6, 12, 0x91, 0, 6, 0x91, 0, 6];
        let twice = entry(OFS_DELTA, 8, &[blob.len() as u8], &delta);
        let pack = pack(&[blob, twice]);
        assert!(unpacked(&pack, 18).is_ok());
        assert!(format!("{:#}", unpacked(&pack, 17).unwrap_err()).contains("more than 17 bytes"));
    }
}
