//! The bytes of a file that is to be put into a layer, open on disk.

use std::fs::File;
use std::io::{BufReader, Seek};

use anyhow::{Context as _, Result, bail};

use crate::build::context::Context;
use crate::build::graph::Source;
use crate::digest::{Digest, HashingReader};
use crate::layer::{Entry, LayerWriter};

/// What is said of a file whose bytes are no longer those that were hashed.
pub(super) const CHANGED: &str = "it changed after it was hashed\nhint: run the build again";

/// A file to be written, whose bytes lie open on disk.
pub(super) struct Content {
    pub(super) file: File,
    pub(super) size: u64,
    pub(super) digest: Digest,
    pub(super) mode: u32,
    pub(super) mtime: i64,
}

impl Content {
    /// Opens a file of the context. When a checkout was made says nothing of its content: it takes the image's time.
    pub(super) fn of_context(source: &Source, context: &Context) -> Result<Content> {
        let file = context.open(&source.path)?;
        Ok(Content { file, size: source.size, digest: source.digest, mode: 0o644, mtime: i64::MAX })
    }

    /// Returns the same content once more. Both have one position in the file, which each write sets anew.
    pub(super) fn again(&self) -> Result<Content> {
        Ok(Content { file: self.file.try_clone()?, ..*self })
    }

    /// Writes the bytes, which must still be those that were hashed.
    pub(super) fn write(&mut self, entry: &Entry, writer: &mut LayerWriter) -> Result<()> {
        let path = String::from_utf8_lossy(&entry.path).into_owned();
        if self.file.metadata()?.len() < self.size {
            bail!("cannot copy to /{path}: {CHANGED}");
        }
        self.file.rewind()?;
        let mut reader = HashingReader::new(BufReader::with_capacity(1 << 17, &self.file));
        writer.entry(entry, &mut reader).with_context(|| format!("cannot copy to /{path}"))?;
        let (_, digest, _) = reader.finish();
        match digest == self.digest {
            true => Ok(()),
            false => bail!("cannot copy to /{path}: {CHANGED}"),
        }
    }
}
