//! Looking inside files as they pass by on their way into a layer, or out of one.
//!
//! Most are nothing of interest, which their names and first bytes tell. A program or an archive can only be understood
//! from its end, so it is kept until it has passed: in memory if it is small, else in a file that has no name.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use tempfile::SpooledTempFile;

use crate::inside::{Form, Found};

/// How many bytes tell what a file is.
pub(super) const HEAD: usize = 64;
/// How much is kept in memory.
const IN_MEMORY: usize = 16 << 20;

/// A file of interest that is passing by.
pub(super) struct Inspection {
    form: Form,
    path: Vec<u8>,
    kept: SpooledTempFile,
}

impl Inspection {
    /// Begins to keep a file if it is of interest, which its first bytes tell; `directory` takes what is large.
    pub(super) fn begin(path: &[u8], size: u64, head: &[u8], directory: &Path) -> Option<Inspection> {
        let form = Form::of(path, size, head)?;
        Some(Inspection {
            form,
            path: path.to_vec(),
            kept: tempfile::spooled_tempfile_in(IN_MEMORY, directory),
        })
    }

    /// Takes the next bytes.
    pub(super) fn take(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.kept.write_all(bytes)
    }

    /// Returns what is found inside, now that all has passed.
    pub(super) fn end(mut self) -> Found {
        self.form.look(&self.path, &mut self.kept)
    }
}

/// Looks inside a file that passes by; of what is of no interest only the beginning is read.
pub fn look_in_passing(
    path: &[u8],
    size: u64,
    content: &mut dyn Read,
    directory: &Path,
) -> io::Result<Found> {
    let mut head = [0; HEAD];
    let n = fill(content, &mut head)?;
    let Some(mut inspection) = Inspection::begin(path, size, &head[..n], directory) else {
        return Ok(Found::default());
    };
    inspection.take(&head[..n])?;
    io::copy(content, &mut inspection.kept)?;
    Ok(inspection.end())
}

/// Reads until there is enough to tell what a file is.
pub(super) fn fill(content: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut n_read = 0;
    while n_read < HEAD {
        match content.read(&mut buffer[n_read..]) {
            Ok(0) => break,
            Ok(n) => n_read += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(n_read)
}

/// Looks inside a file that has `size` bytes of another one, from `start` on, if it is of interest.
pub(super) fn look(path: &[u8], size: u64, file: &File, start: u64) -> io::Result<Found> {
    let mut placed = Placed { file, start, size, at: 0 };
    let mut head = [0; HEAD];
    let n = placed.read(&mut head)?;
    let form = Form::of(path, size, &head[..n]);
    placed.at = 0;
    Ok(form.map_or_else(Found::default, |form| form.look(path, &mut placed)))
}

/// A part of a file that is read without moving anybody's position in it.
struct Placed<'a> {
    file: &'a File,
    start: u64,
    size: u64,
    at: u64,
}

impl Read for Placed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n_left = usize::try_from(self.size.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let n_wanted = buffer.len().min(n_left);
        let n = self.file.read_at(&mut buffer[..n_wanted], self.start.saturating_add(self.at))?;
        self.at += n as u64;
        Ok(n)
    }
}

impl Seek for Placed<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.size.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}
