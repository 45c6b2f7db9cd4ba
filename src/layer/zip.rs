//! Reading zip archives, member by member, in bounded memory.
//!
//! What a zip says of its members stands in a directory at its end (PKWARE's APPNOTE.TXT 4.3), so it can't be read from a
//! pipe. Members may be stored or deflated; those that are encrypted, or packed in other ways, are told when they are read.

use std::cell::Cell;
use std::io::{self, Read, Seek, SeekFrom};
use std::rc::Rc;

use zip::read::ZipFile;
use zip::result::ZipError;
use zip::{ExtraField, ZipArchive};

use super::archive::{checked_target, normalize};
use super::{Entry, Error, Kind, Metadata, shown};

/// How many bytes may be read to find and understand the directory, which is held in memory.
const MOST_OF_DIRECTORY: u64 = 16 << 20;
/// How long a link's target may be; Linux has no longer ones.
const LONGEST_TARGET: u64 = 4096;
/// The kinds of files that a Unix mode tells (stat(2), `S_IFMT`).
const KIND: u32 = 0o170_000;
const DIRECTORY: u32 = 0o040_000;
const FILE: u32 = 0o100_000;
const SYMLINK: u32 = 0o120_000;

/// Whether a file begins as a zip archive does. It is read from its beginning afterwards.
pub fn is_zip(file: &mut (impl Read + Seek)) -> io::Result<bool> {
    let mut magic = Vec::new();
    file.by_ref().take(4).read_to_end(&mut magic)?;
    file.rewind()?;
    Ok(magic == b"PK\x03\x04" || magic == b"PK\x05\x06")
}

/// Reads a zip archive without unpacking it. `visitor` sees each member and may read its content. A member without a Unix
/// mode has 0644, a directory 0755; one without a time in UTC has the latest that there is.
///
/// # Errors
/// When the directory can't be understood, or a name is no path inside.
pub fn zip_members(
    mut zip: impl Read + Seek,
    visitor: &mut dyn FnMut(&Entry, &mut dyn Read) -> io::Result<()>,
) -> Result<(), Error> {
    let length = zip.seek(SeekFrom::End(0)).map_err(Error::Read)?;
    let n_left = Rc::new(Cell::new(MOST_OF_DIRECTORY));
    let mut archive = ZipArchive::new(Metered { inner: zip, n_left: n_left.clone() }).map_err(of_zip)?;
    n_left.set(u64::MAX);
    let mut n_packed = 0_u64;
    for index in 0..archive.len() {
        let (entry, n_bytes) = entry(&mut archive, index)?;
        n_packed = n_packed.saturating_add(n_bytes);
        if n_packed > length {
            return Err(Error::Malformed(
                "its members share their bytes, as no writer of zip archives has it".into(),
            ));
        }
        let mut content = Content { inner: archive.by_index(index), path: &entry.path };
        visitor(&entry, &mut content).map_err(Error::Read)?;
    }
    Ok(())
}

/// Returns a member, and how many bytes it has in the archive.
fn entry<R: Read + Seek>(archive: &mut ZipArchive<R>, index: usize) -> Result<(Entry, u64), Error> {
    let member = archive.by_index_raw(index).map_err(of_zip)?;
    let name = member.name().map_err(of_zip)?.into_owned();
    let path = normalize(name.as_bytes())?;
    let mode = member.unix_mode().filter(|mode| *mode != 0);
    let (size, n_bytes) = (member.size(), member.compressed_size());
    let mtime = member.extra_data_fields().find_map(|field| match field {
        ExtraField::ExtendedTimestamp(times) => times.mod_time().map(i64::from),
        _ => None,
    });
    drop(member);
    let kind = match mode.map_or(0, |mode| mode & KIND) {
        _ if name.ends_with('/') => Kind::Directory,
        DIRECTORY => Kind::Directory,
        0 | FILE => Kind::File { size },
        SYMLINK => Kind::Symlink { target: target(archive, index, &path)? },
        // Which device it is, a zip doesn't tell.
        _ => Kind::Fifo,
    };
    let by_default = if kind == Kind::Directory { 0o755 } else { 0o644 };
    let mode = mode.unwrap_or(by_default) & 0o7777;
    let metadata = Metadata { mode, mtime: mtime.unwrap_or(i64::MAX), ..Metadata::default() };
    Ok((Entry { path, kind, metadata }, n_bytes))
}

/// Reads what a link says, which is its content.
fn target<R: Read + Seek>(archive: &mut ZipArchive<R>, index: usize, path: &[u8]) -> Result<Vec<u8>, Error> {
    let refused = |reason: String| Error::Refused { path: shown(path), reason };
    let content = archive.by_index(index).map_err(|error| refused(reason(&error)))?;
    let mut target = Vec::new();
    content.take(LONGEST_TARGET).read_to_end(&mut target).map_err(Error::Read)?;
    checked_target(target).ok_or_else(|| refused("its target is no path".into()))
}

/// The content of a member. Why one can't be read is told when it is.
struct Content<'a, R: Read> {
    inner: Result<ZipFile<'a, R>, ZipError>,
    path: &'a [u8],
}

impl<R: Read> Read for Content<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = match &mut self.inner {
            Ok(content) => content.read(buffer).map_err(|error| error.to_string()),
            Err(error) => Err(reason(error)),
        };
        read.map_err(|reason| {
            io::Error::other(format!("its member {} cannot be read: {reason}", shown(self.path)))
        })
    }
}

fn of_zip(error: ZipError) -> Error {
    match error {
        ZipError::Io(error) => Error::Read(error),
        error => Error::Malformed(reason(&error)),
    }
}

fn reason(error: &ZipError) -> String {
    match error {
        ZipError::UnsupportedArchive(ZipError::PASSWORD_REQUIRED) => "it is encrypted".into(),
        error => error.to_string(),
    }
}

/// A file of which so many bytes may be read.
struct Metered<R> {
    inner: R,
    n_left: Rc<Cell<u64>>,
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        let left = self.n_left.get().checked_sub(n as u64);
        self.n_left
            .set(left.ok_or_else(|| io::Error::other("it has more members than are read, or longer names"))?);
        Ok(n)
    }
}

impl<R: Seek> Seek for Metered<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.inner.seek(to)
    }
}
