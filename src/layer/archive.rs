//! Reading tar archives, entry by entry, in bounded memory.
//!
//! An archive is a sequence of headers of 512 bytes, each followed by its content, filled up to the next 512 bytes.
//! Headers of type `x` (PAX), `L` and `K` (GNU) hold what did not fit into the next one. Sparse files are refused: no
//! writer of layers or packages makes them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

use tar::Header;

use super::entry::Whiteout;
use super::rooted::is_overlay_xattr;
use super::{Entry, Error, Kind, Metadata, SkeletonDelta, names, shown};

/// How long a path or a link's target may be; Linux has no longer ones.
const MAX_PATH: usize = 4096;
/// How much may be said about an entry beside its header.
const MAX_EXTENSION: u64 = 1 << 20;
/// How many entries an archive may have.
const MAX_ENTRIES: u64 = 16_000_000;
const BLOCK: u64 = 512;

/// Reads a layer, uncompressed, without unpacking it. `visitor` sees each entry and may read its content; whiteouts
/// are only in the answer.
pub fn scan(
    tar: impl Read,
    visitor: &mut dyn FnMut(&Entry, &mut dyn Read) -> io::Result<()>,
) -> Result<SkeletonDelta, Error> {
    let mut delta = SkeletonDelta::default();
    read(tar, &mut |entry, content| {
        match Whiteout::of(&entry.path)? {
            Some(Whiteout::Opaque(path)) => delta.clear(path),
            Some(Whiteout::Removed(path)) => delta.remove(path),
            Some(Whiteout::Ignored) => {}
            None => {
                delta.put(entry);
                match names::list(entry, content).map_err(Error::Read)? {
                    Some(list) => {
                        delta.tell(&entry.path, &list);
                        visitor(entry, &mut list.as_slice()).map_err(Error::Read)?;
                    }
                    None => visitor(entry, content).map_err(Error::Read)?,
                }
            }
        }
        Ok(())
    })?;
    Ok(delta)
}

/// Reads an archive that is no layer, uncompressed, without unpacking it: no name in it takes anything away.
pub fn members(
    tar: impl Read,
    visitor: &mut dyn FnMut(&Entry, &mut dyn Read) -> io::Result<()>,
) -> Result<(), Error> {
    read(tar, &mut |entry, content| visitor(entry, content).map_err(Error::Read))
}

/// As [`members`], of an archive that lies uncompressed in a file: the entries' content isn't read, and `visitor` learns
/// where in the file it begins.
pub fn lying_members(
    file: &File,
    visitor: &mut dyn FnMut(&Entry, u64) -> io::Result<()>,
) -> Result<(), Error> {
    let length = file.metadata().map_err(Error::Read)?.len();
    let mut tar = Lying { file, at: 0 };
    let mut n_entries = 0;
    while let Some((entry, n_bytes)) = next_entry(&mut tar)? {
        count(&mut n_entries)?;
        visitor(&entry, tar.at).map_err(Error::Read)?;
        let next = n_bytes.checked_add(padding(n_bytes)).and_then(|n_bytes| tar.at.checked_add(n_bytes));
        tar.at = next.filter(|next| *next <= length).ok_or_else(|| Error::Read(ends_early()))?;
    }
    Ok(())
}

/// A file that is read without moving anybody's position in it.
struct Lying<'a> {
    file: &'a File,
    at: u64,
}

impl Read for Lying<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.file.read_at(buffer, self.at)?;
        self.at += n as u64;
        Ok(n)
    }
}

fn count(n_entries: &mut u64) -> Result<(), Error> {
    *n_entries += 1;
    match *n_entries > MAX_ENTRIES {
        true => Err(Error::Malformed(format!("it has more than {MAX_ENTRIES} entries"))),
        false => Ok(()),
    }
}

/// Shows each entry to `visitor`, then reads `tar` to its end.
pub(super) fn read(
    mut tar: impl Read,
    visitor: &mut dyn FnMut(&Entry, &mut dyn Read) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut n_entries = 0;
    while let Some((entry, n_bytes)) = next_entry(&mut tar)? {
        count(&mut n_entries)?;
        let mut content = Content { reader: &mut tar, n_left: n_bytes };
        visitor(&entry, &mut content)?;
        let n_left = content.n_left;
        skip(&mut tar, n_left + padding(n_bytes))?;
    }
    io::copy(&mut tar, &mut io::sink()).map_err(Error::Read)?;
    Ok(())
}

/// The content of one entry.
struct Content<'a> {
    reader: &'a mut dyn Read,
    n_left: u64,
}

impl Read for Content<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n_wanted = buffer.len().min(usize::try_from(self.n_left).unwrap_or(usize::MAX));
        if n_wanted == 0 {
            return Ok(0);
        }
        let n = self.reader.read(&mut buffer[..n_wanted])?;
        if n == 0 {
            return Err(ends_early());
        }
        self.n_left -= n as u64;
        Ok(n)
    }
}

fn ends_early() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "it ends in the middle of an entry")
}

/// What headers of their own say about the entry after them.
#[derive(Default)]
struct Extension {
    long_name: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
    records: BTreeMap<Vec<u8>, Vec<u8>>,
}

fn next_entry(tar: &mut dyn Read) -> Result<Option<(Entry, u64)>, Error> {
    let mut extension = Extension::default();
    while let Some(header) = next_header(tar)? {
        let size = number(&header.as_old().size)?;
        match header.as_old().linkflag[0] {
            b'x' => extension.records.extend(parse_records(&read_extension(tar, size)?)?),
            b'L' => extension.long_name = Some(without_nul(read_extension(tar, size)?)),
            b'K' => extension.long_link = Some(without_nul(read_extension(tar, size)?)),
            // It is about the archive as a whole; nothing in a layer can hang on it.
            b'g' => drop(read_extension(tar, size)?),
            _ => return entry_of(&header, size, extension).map(Some),
        }
    }
    Ok(None)
}

/// Returns the next header; none at the end of the archive, which is a block of zeros, or the end of the file.
fn next_header(tar: &mut dyn Read) -> Result<Option<Header>, Error> {
    let mut block = [0; BLOCK as usize];
    if !read_block(tar, &mut block)? || block == [0; BLOCK as usize] {
        return Ok(None);
    }
    let header = Header::from_byte_slice(&block).clone();
    let sum = |bytes: &[u8]| bytes.iter().map(|&byte| u64::from(byte)).sum::<u64>();
    let expected = sum(&block[..148]) + 8 * u64::from(b' ') + sum(&block[156..]);
    match number(&header.as_old().cksum).is_ok_and(|sum| sum == expected) {
        true => Ok(Some(header)),
        false => Err(Error::Malformed("a header's checksum is wrong; is it a tar archive?".into())),
    }
}

/// Whether there was a block to be read.
fn read_block(tar: &mut dyn Read, block: &mut [u8]) -> Result<bool, Error> {
    let mut n_read = 0;
    while n_read < block.len() {
        match tar.read(&mut block[n_read..]) {
            Ok(0) if n_read == 0 => return Ok(false),
            Ok(0) => return Err(Error::Read(ends_early())),
            Ok(n) => n_read += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::Read(error)),
        }
    }
    Ok(true)
}

fn read_extension(tar: &mut dyn Read, size: u64) -> Result<Vec<u8>, Error> {
    if size > MAX_EXTENSION {
        return Err(Error::Malformed(format!(
            "an extended header has {size} bytes, more than {MAX_EXTENSION}"
        )));
    }
    let mut bytes = vec![0; usize::try_from(size).unwrap_or(0)];
    tar.read_exact(&mut bytes).map_err(|_| Error::Read(ends_early()))?;
    skip(tar, padding(size))?;
    Ok(bytes)
}

fn skip(tar: &mut dyn Read, n_bytes: u64) -> Result<(), Error> {
    let n_skipped = io::copy(&mut tar.take(n_bytes), &mut io::sink()).map_err(Error::Read)?;
    match n_skipped == n_bytes {
        true => Ok(()),
        false => Err(Error::Read(ends_early())),
    }
}

fn padding(n_bytes: u64) -> u64 {
    (BLOCK - n_bytes % BLOCK) % BLOCK
}

fn without_nul(mut bytes: Vec<u8>) -> Vec<u8> {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    bytes.truncate(end);
    bytes
}

/// Reads the records of a PAX header: `length key=value`, each ended by a line feed; a value may hold any byte.
fn parse_records(mut bytes: &[u8]) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, Error> {
    let mut records = BTreeMap::new();
    while !bytes.is_empty() {
        let (key, value, rest) = parse_record(bytes)
            .ok_or_else(|| Error::Malformed("a PAX header cannot be understood".into()))?;
        records.insert(key.to_vec(), value.to_vec());
        bytes = rest;
    }
    Ok(records)
}

fn parse_record(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = bytes.iter().take(20).position(|&byte| byte == b' ')?;
    let length: usize = std::str::from_utf8(&bytes[..space]).ok()?.parse().ok()?;
    let record = bytes.get(space + 1..length)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|&byte| byte == b'=')?;
    Some((&record[..equals], &record[equals + 1..], &bytes[length..]))
}

/// Returns the entry, and how many bytes of content follow it.
fn entry_of(header: &Header, size: u64, extension: Extension) -> Result<(Entry, u64), Error> {
    let Extension { long_name, long_link, records } = extension;
    let text = |key: &str| records.get(key.as_bytes()).cloned();
    let name = text("path").or(long_name).unwrap_or_else(|| header.path_bytes().into_owned());
    let path = normalize(&name)?;
    let refused = |reason: &str| Error::Refused { path: shown(&path), reason: reason.into() };
    if records.keys().any(|key| key.starts_with(b"GNU.sparse.")) {
        return Err(refused("it is a sparse file"));
    }
    let link = || {
        let name = || header.link_name_bytes().unwrap_or_default().into_owned();
        text("linkpath").or(long_link).unwrap_or_else(name)
    };
    let size = match records.get(&b"size"[..]) {
        Some(size) => decimal(size).ok_or_else(|| refused("its size is no number"))?,
        None => size,
    };
    let kind = match header.as_old().linkflag[0] {
        0 | b'0' if name.ends_with(b"/") => Kind::Directory,
        0 | b'0' | b'7' => Kind::File { size },
        b'1' => Kind::Hardlink { target: normalize(&link())? },
        b'2' => {
            Kind::Symlink { target: checked_target(link()).ok_or_else(|| refused("its target is no path"))? }
        }
        b'3' => device(header).map(|(major, minor)| Kind::CharDevice { major, minor })?,
        b'4' => device(header).map(|(major, minor)| Kind::BlockDevice { major, minor })?,
        b'5' => Kind::Directory,
        b'6' => Kind::Fifo,
        b'S' => return Err(refused("it is a sparse file")),
        other => {
            return Err(refused(&format!("its type `{}` is unknown", char::from(other).escape_default())));
        }
    };
    let n_bytes = if let Kind::File { size } = kind { size } else { 0 };
    let metadata = metadata_of(header, &records, &path)?;
    Ok((Entry { path, kind, metadata }, n_bytes))
}

fn metadata_of(
    header: &Header,
    records: &BTreeMap<Vec<u8>, Vec<u8>>,
    path: &[u8],
) -> Result<Metadata, Error> {
    let old = header.as_old();
    let refused = |reason: &str| Error::Refused { path: shown(path), reason: reason.into() };
    let id = |key: &str, field: &[u8]| {
        let id = match records.get(key.as_bytes()) {
            Some(text) => decimal(text).ok_or_else(|| refused("its owner is no number"))?,
            None => number(field)?,
        };
        u32::try_from(id).map_err(|_| refused("its owner's number is too large"))
    };
    let mtime = match records.get(&b"mtime"[..]) {
        Some(text) => seconds(text).ok_or_else(|| refused("its time is no number"))?,
        // A time before 1970 is written as a negative number.
        None if old.mtime[0] & 0xc0 == 0xc0 => 0,
        None => number(&old.mtime)?.try_into().map_err(|_| refused("its time is too late"))?,
    };
    Ok(Metadata {
        mode: (number(&old.mode)? & 0o7777) as u32,
        uid: id("uid", &old.uid)?,
        gid: id("gid", &old.gid)?,
        mtime,
        xattrs: xattrs_of(records, path)?,
    })
}

fn xattrs_of(records: &BTreeMap<Vec<u8>, Vec<u8>>, path: &[u8]) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, Error> {
    let mut xattrs = BTreeMap::new();
    for (key, value) in records {
        let Some(name) = key.strip_prefix(b"SCHILY.xattr.") else { continue };
        if is_overlay_xattr(name) {
            let reason = format!("its attribute {} would mislead an overlay mount", shown(name));
            return Err(Error::Refused { path: shown(path), reason });
        }
        xattrs.insert(name.to_vec(), value.clone());
    }
    Ok(xattrs)
}

fn device(header: &Header) -> Result<(u32, u32), Error> {
    let malformed = || Error::Malformed("a device has no number".into());
    let ustar = header.as_bytes();
    let part = |field: &[u8]| u32::try_from(number(field)?).map_err(|_| malformed());
    Ok((part(&ustar[329..337])?, part(&ustar[337..345])?))
}

/// Returns a path without `.`, leading, trailing and double slashes, as containerd does; `..` is refused.
pub(super) fn normalize(name: &[u8]) -> Result<Vec<u8>, Error> {
    let refused = |reason: &str| Error::Refused { path: shown(name), reason: reason.into() };
    if name.len() > MAX_PATH {
        return Err(refused("its path is too long"));
    }
    if name.contains(&0) {
        return Err(refused("its path holds a NUL byte"));
    }
    let names = name.split(|&byte| byte == b'/').filter(|name| !name.is_empty() && *name != b".");
    let names: Vec<&[u8]> = names.collect();
    match names.contains(&&b".."[..]) {
        true => Err(refused("its path holds `..`")),
        false => Ok(names.join(&b'/')),
    }
}

pub(super) fn checked_target(target: Vec<u8>) -> Option<Vec<u8>> {
    let is_path = !target.is_empty() && target.len() < MAX_PATH && !target.contains(&0);
    is_path.then_some(target)
}

/// Reads a number of a header: octal digits between spaces and NULs, or, where the first bit is set, binary.
fn number(field: &[u8]) -> Result<u64, Error> {
    let malformed = || Error::Malformed("a header holds something else where a number is due".into());
    match field.split_first() {
        Some((first, rest)) if first & 0x80 != 0 => {
            let start = u64::from(first & 0x7f);
            let add = |sum: u64, &byte: &u8| sum.checked_mul(256).map(|sum| sum | u64::from(byte));
            rest.iter().try_fold(start, add).ok_or_else(malformed)
        }
        _ => {
            let text = std::str::from_utf8(field).map_err(|_| malformed())?;
            let text = text.split('\0').next().unwrap_or("").trim_matches(' ');
            match text {
                "" => Ok(0),
                _ => u64::from_str_radix(text, 8).map_err(|_| malformed()),
            }
        }
    }
}

fn decimal(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Reads a time of a PAX header, in seconds with or without a fraction, which is dropped.
fn seconds(text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?;
    text.split('.').next()?.parse().ok()
}
