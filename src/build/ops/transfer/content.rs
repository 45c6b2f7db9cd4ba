//! The bytes of a file that is to be put into a layer, where they lie. Nothing is open that isn't being written.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Cursor, Read};
use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow, bail};

use crate::bom::FileSource;
use crate::build::context::Context;
use crate::build::ops::content::{CHANGED, Piece};
use crate::build::tree::split;
use crate::digest::{Digest, HashingReader};
use crate::layer::{Entry, LastLink, LayerWriter, Node, Stack};
use crate::store::Store;

/// A file to be written.
#[derive(Clone)]
pub(super) struct File {
    pub(super) bytes: Bytes,
    /// Where it comes from, for the account.
    pub(super) source: FileSource,
    /// What its names have in common, if it has several.
    pub(super) identity: Option<Identity>,
}

/// Tells a file from all others that an instruction takes.
pub(super) type Identity = (usize, u64, u64);

/// Where bytes lie.
#[derive(Clone)]
pub(super) enum Bytes {
    /// In a file of the context, and what they were when it was hashed.
    Context(String, Digest),
    /// In the store.
    Blob(Digest),
    /// In the Dockerfile.
    Text(String),
    /// In a tarball, or in a file with what was taken out of one.
    Tarball(Piece),
    /// In another image.
    Image {
        /// Which of the vertex's mounts it is.
        mount: usize,
        /// The path in it, without links.
        path: Vec<u8>,
        /// What they are if they are still those that its account tells of.
        known: Option<Digest>,
    },
}

impl File {
    /// Returns where it comes from, once its bytes are known.
    pub(super) fn into_source(self, digest: Digest) -> FileSource {
        match self.bytes {
            Bytes::Image { known: Some(known), .. } if known != digest => {
                FileSource { image: self.source.image, ..FileSource::default() }
            }
            Bytes::Image { .. }
            | Bytes::Context(..)
            | Bytes::Blob(_)
            | Bytes::Text(_)
            | Bytes::Tarball(_) => self.source,
        }
    }
}

impl Bytes {
    /// Returns their digest, where it is known before they are read.
    pub(super) fn digest(&self) -> Option<Digest> {
        match self {
            Bytes::Context(_, digest) | Bytes::Blob(digest) => Some(*digest),
            Bytes::Text(_) | Bytes::Tarball(_) | Bytes::Image { .. } => None,
        }
    }
}

/// Bytes to be read.
#[derive(Clone)]
pub(super) enum Opened {
    /// In a file.
    Lying(Piece),
    /// In memory.
    Text(Cursor<Vec<u8>>),
}

impl Opened {
    /// Returns the file that holds them and nothing else.
    pub(super) fn as_whole_file(&self) -> Option<Arc<fs::File>> {
        match self {
            Opened::Lying(piece) => piece.as_whole().cloned(),
            Opened::Text(_) => None,
        }
    }
}

impl Read for Opened {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Opened::Lying(piece) => piece.read(buffer),
            Opened::Text(text) => text.read(buffer),
        }
    }
}

/// Where bytes are found.
pub(super) struct Places<'a> {
    pub(super) context: &'a Context,
    pub(super) store: &'a Store,
    /// Other images, by their mounts.
    pub(super) images: BTreeMap<usize, Stack>,
    /// The directory of another image that was read last: most files lie beside each other.
    pub(super) last: RefCell<Option<(usize, Vec<u8>, Node)>>,
}

impl<'a> Places<'a> {
    pub(super) fn new(context: &'a Context, store: &'a Store) -> Places<'a> {
        Places { context, store, images: BTreeMap::new(), last: RefCell::default() }
    }

    /// Opens bytes.
    pub(super) fn open(&self, bytes: &Bytes) -> Result<Opened> {
        let piece = match bytes {
            Bytes::Context(path, _) => Piece::whole(self.context.open(path)?),
            Bytes::Blob(digest) => Piece::whole(self.store.open_blob(digest)?),
            Bytes::Text(text) => return Ok(Opened::Text(Cursor::new(text.clone().into_bytes()))),
            Bytes::Tarball(piece) => piece.clone(),
            Bytes::Image { mount, path, .. } => Piece::whole(self.open_in_image(*mount, path)?),
        };
        Ok(Opened::Lying(piece))
    }

    fn open_in_image(&self, image: usize, path: &[u8]) -> Result<std::fs::File> {
        let (directory, name) = split(path);
        let gone = || anyhow!("internal error: {} is gone", String::from_utf8_lossy(path));
        let mut last = self.last.borrow_mut();
        let is_there =
            |(known, known_path, _): &&(usize, Vec<u8>, Node)| *known == image && known_path == directory;
        let node = match last.as_ref().filter(is_there) {
            Some((_, _, node)) => node.clone(),
            None => {
                let stack = self.images.get(&image).ok_or_else(gone)?;
                let node = stack.find(directory, LastLink::Kept)?.ok_or_else(gone)?;
                *last = Some((image, directory.to_vec(), node.clone()));
                node
            }
        };
        Ok(node.child(name)?.ok_or_else(gone)?.open()?)
    }

    /// Writes a file; returns the digest of its bytes.
    pub(super) fn write(&self, entry: &Entry, bytes: &Bytes, writer: &mut LayerWriter) -> Result<Digest> {
        let failed = || format!("cannot copy to /{}", String::from_utf8_lossy(&entry.path));
        let opened = self.open(bytes).with_context(failed)?;
        let mut reader = HashingReader::new(opened.clone());
        let written = match &opened {
            Opened::Lying(piece) => writer.lying(entry, piece.place(), &mut reader),
            Opened::Text(_) => writer.entry(entry, &mut reader),
        };
        written.with_context(failed)?;
        let (_, digest, _) = reader.finish();
        match bytes {
            Bytes::Context(_, expected) if *expected != digest => bail!("{}: {CHANGED}", failed()),
            Bytes::Context(..)
            | Bytes::Blob(_)
            | Bytes::Text(_)
            | Bytes::Tarball(_)
            | Bytes::Image { .. } => Ok(digest),
        }
    }
}
