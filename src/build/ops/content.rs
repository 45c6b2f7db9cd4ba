//! The bytes of a file that is to be put into a layer, where they lie on disk. Nothing is open that isn't written.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};

use crate::build::context::Context;
use crate::build::graph::SourceFile;
use crate::digest::{Digest, HashingReader};
use crate::layer::{Entry, LastLink, LayerWriter, Stack};

/// What is said of a file whose bytes are no longer those that were hashed.
pub(super) const CHANGED: &str = "it changed after it was hashed\nhint: run the build again";

/// A file to be written.
#[derive(Clone)]
pub(super) struct Content {
    pub(super) place: Place,
    pub(super) size: u64,
    pub(super) digest: Digest,
    pub(super) mode: u32,
    pub(super) mtime: i64,
}

/// Where its bytes lie.
#[derive(Clone)]
pub(super) enum Place {
    /// In a file of the context.
    Context(String),
    /// In a file with the bytes of many, from a byte on.
    Spool(Arc<File>, u64),
    /// In a file of a root, by its path there.
    Root(Arc<Stack>, Vec<u8>),
}

impl Place {
    /// Returns where it begins, among the bytes of many.
    pub(super) fn start(&self) -> Option<u64> {
        match self {
            Place::Spool(_, start) => Some(*start),
            Place::Context(_) | Place::Root(..) => None,
        }
    }
}

impl Content {
    /// Names a file of the context. When a checkout was made says nothing of its content: it takes the image's time.
    pub(super) fn of_context(source: &SourceFile) -> Content {
        let place = Place::Context(source.path.clone());
        Content { place, size: source.size, digest: source.digest, mode: 0o644, mtime: i64::MAX }
    }

    /// Writes the bytes, which must still be those that were hashed.
    pub(super) fn write(&self, entry: &Entry, context: &Context, writer: &mut LayerWriter) -> Result<()> {
        let failed = || format!("cannot copy to /{}", String::from_utf8_lossy(&entry.path));
        let bytes = self.open(context).with_context(failed)?;
        let mut reader = HashingReader::new(bytes.clone());
        writer.lying(entry, bytes.place(), &mut reader).with_context(failed)?;
        let (_, digest, _) = reader.finish();
        match digest == self.digest {
            true => Ok(()),
            false => bail!("{}: {CHANGED}", failed()),
        }
    }

    pub(super) fn open(&self, context: &Context) -> Result<Piece> {
        match &self.place {
            Place::Context(path) => {
                let file = context.open(path)?;
                if file.metadata()?.len() < self.size {
                    bail!(CHANGED);
                }
                Ok(Piece::whole(file))
            }
            Place::Spool(file, start) => Ok(Piece::of(file.clone(), *start, self.size)),
            Place::Root(stack, path) => match stack.find(path, LastLink::Kept)? {
                Some(file) => Ok(Piece::whole(file.open()?)),
                None => bail!(CHANGED),
            },
        }
    }
}

/// A part of a file, read without moving anybody's position in it.
#[derive(Clone)]
pub(super) struct Piece {
    file: Arc<File>,
    at: u64,
    end: u64,
}

impl Piece {
    /// Returns all of a file, however long it is.
    pub(super) fn whole(file: File) -> Piece {
        Piece { file: Arc::new(file), at: 0, end: u64::MAX }
    }

    /// Returns `size` bytes of a file.
    pub(super) fn of(file: Arc<File>, at: u64, size: u64) -> Piece {
        Piece { file, at, end: at.saturating_add(size) }
    }

    /// Returns the file, where it is one as a whole.
    pub(super) fn as_whole(&self) -> Option<&Arc<File>> {
        (self.at == 0 && self.end == u64::MAX).then_some(&self.file)
    }

    /// Returns the file, and where in it the part begins.
    pub(super) fn place(&self) -> (&File, u64) {
        (&self.file, self.at)
    }
}

impl Read for Piece {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n_left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
        let n_wanted = buffer.len().min(n_left);
        let n_read = self.file.read_at(&mut buffer[..n_wanted], self.at)?;
        self.at += n_read as u64;
        Ok(n_read)
    }
}
