//! Writing a layer: tar, its compression, both digests, in one pass and in bounded memory.
//!
//! Equal entries make equal bytes: no clock, no names of users, no order but the paths'.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::sync::Arc;

use super::compression::{Compression, Compressor};
use super::entry::Whiteout;
use super::gzip::Ready;
use super::header::encode;
use super::inspect::{self, Inspection};
use super::private_key::PrivateKeySearch;
use super::{Entry, Error, Kind, SkeletonDelta, names, shown};
use crate::digest::HashingWriter;
use crate::inside::Found;
use crate::oci::{Descriptor, Layer};
use crate::store::BlobWriter;

/// How a layer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// No time in the layer is later: seconds since 1970.
    pub epoch: i64,
    /// How many threads compress; the bytes do not depend on it.
    pub threads: usize,
    /// How; the bytes depend on it.
    pub compression: Compression,
}

/// A layer that was written.
#[derive(Clone, Debug, PartialEq)]
pub struct Packed {
    /// The layer.
    pub layer: Layer,
    /// What it changes in the root's skeleton.
    pub skeleton: SkeletonDelta,
    /// What it puts in place, as entries name it.
    pub paths: Vec<Vec<u8>>,
    /// What it takes away, sorted; a directory with a slash behind it stands for all that is in there.
    pub removed: Vec<Vec<u8>>,
    /// The packages that were found inside its files.
    pub found: Found,
}

/// When a file is looked into.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Looking {
    OnTheWay,
    Done,
}

/// A layer being written; dropped before it is finished, it leaves nothing.
pub struct LayerWriter {
    tar: HashingWriter<Compressor<BlobWriter>>,
    media_type: &'static str,
    epoch: i64,
    skeleton: SkeletonDelta,
    paths: Vec<Vec<u8>>,
    removed: Vec<Vec<u8>>,
    last_whiteout: Option<Vec<u8>>,
    buffer: Vec<u8>,
    found: Found,
    /// Takes files that are looked into.
    directory: PathBuf,
}

impl LayerWriter {
    /// Starts a layer.
    pub fn new(blob: BlobWriter, options: Options) -> Result<LayerWriter, Error> {
        let directory = blob.directory().to_owned();
        let compressor = options.compression.start(blob, options.threads).map_err(Error::Write)?;
        Ok(LayerWriter {
            tar: HashingWriter::new(compressor),
            media_type: options.compression.media_type(),
            epoch: options.epoch,
            skeleton: SkeletonDelta::default(),
            paths: Vec::new(),
            removed: Vec::new(),
            last_whiteout: None,
            buffer: vec![0; 128 << 10],
            found: Found::default(),
            directory,
        })
    }

    /// Returns what compresses large files before they are written, if the layer's compression allows it. Its bytes don't
    /// depend on whether, or how much, that is used.
    pub fn ready(&mut self) -> Result<Option<Arc<Ready>>, Error> {
        self.tar.inner_mut().ready(&self.directory).map_err(Error::Write)
    }

    /// Writes an entry, whose content is exactly as long as it says. Entries come strictly sorted by the bytes of
    /// their paths, which puts parents before what is in them. A file is looked into on its way past.
    pub fn entry(&mut self, entry: &Entry, content: &mut dyn Read) -> Result<(), Error> {
        self.write(entry, content, Looking::OnTheWay)
    }

    /// As [`LayerWriter::entry`], of content that lies in a file on disk from a byte on; it is looked into where it lies.
    pub fn lying(
        &mut self,
        entry: &Entry,
        (file, start): (&File, u64),
        content: &mut dyn Read,
    ) -> Result<(), Error> {
        if let Kind::File { size } = entry.kind {
            let failed = |source| Error::Io { action: "read", path: shown(&entry.path), source };
            self.found.extend(inspect::look(&entry.path, size, file, start).map_err(failed)?);
        }
        self.write(entry, content, Looking::Done)
    }

    fn write(&mut self, entry: &Entry, content: &mut dyn Read, looking: Looking) -> Result<(), Error> {
        check_name(&entry.path)?;
        follows(self.paths.last(), &entry.path)?;
        self.paths.push(entry.path.clone());
        self.skeleton.put(entry);
        self.put(entry)?;
        match entry.kind {
            Kind::File { size } => {
                let holds_private_key = match self.list(entry, content)? {
                    Some(list) => self.content(&entry.path, size, &mut list.as_slice(), Looking::Done)?,
                    None => self.content(&entry.path, size, content, looking)?,
                };
                if holds_private_key {
                    self.skeleton.put_private_key(&entry.path);
                }
                Ok(())
            }
            Kind::Directory
            | Kind::Symlink { .. }
            | Kind::Hardlink { .. }
            | Kind::CharDevice { .. }
            | Kind::BlockDevice { .. }
            | Kind::Fifo => Ok(()),
        }
    }

    /// Says that `path` of the layers below is gone. Whiteouts come strictly sorted, among themselves, by the names
    /// they have in the archive.
    pub fn whiteout(&mut self, path: &[u8]) -> Result<(), Error> {
        check_name(path)?;
        self.skeleton.remove(path.to_vec());
        self.removed.push(path.to_vec());
        self.put_whiteout(Whiteout::removing(path))
    }

    /// Says that all of these are gone, in the order that [`LayerWriter::whiteout`] asks for.
    pub fn whiteouts<'a>(&mut self, paths: impl IntoIterator<Item = &'a [u8]>) -> Result<(), Error> {
        let mut paths: Vec<&[u8]> = paths.into_iter().collect();
        paths.sort_by_cached_key(|path| Whiteout::removing(path));
        paths.into_iter().try_for_each(|path| self.whiteout(path))
    }

    /// Says that everything in the directory `path` of the layers below is gone.
    pub fn opaque(&mut self, path: &[u8]) -> Result<(), Error> {
        self.skeleton.clear(path);
        self.removed.push([path, b"/"].concat());
        self.put_whiteout(Whiteout::clearing(path))
    }

    /// Ends the layer and keeps it in the store. A layer without entries is one, too; the caller may leave it out.
    pub fn finish(mut self) -> Result<Packed, Error> {
        self.tar.write_all(&[0; 1024]).map_err(Error::Write)?;
        let (compressor, diff_id, _) = self.tar.finish();
        let (digest, size) = compressor.finish().map_err(Error::Write)?.commit()?;
        let descriptor = Descriptor::new(self.media_type, digest, size);
        let layer = Layer { descriptor, diff_id };
        self.removed.sort_unstable();
        Ok(Packed {
            layer,
            skeleton: self.skeleton,
            paths: self.paths,
            removed: self.removed,
            found: self.found,
        })
    }

    /// Reads on the way past who is who.
    fn list(&mut self, entry: &Entry, content: &mut dyn Read) -> Result<Option<Vec<u8>>, Error> {
        let failed = |source| Error::Io { action: "read", path: shown(&entry.path), source };
        let list = names::list(entry, content).map_err(failed)?;
        if let Some(list) = &list {
            self.skeleton.tell(&entry.path, list);
        }
        Ok(list)
    }

    fn put_whiteout(&mut self, name: Vec<u8>) -> Result<(), Error> {
        follows(self.last_whiteout.as_ref(), &name)?;
        let mut entry = Entry::file(name.clone(), 0o644, 0);
        entry.metadata.mtime = 0;
        self.last_whiteout = Some(name);
        self.put(&entry)
    }

    fn put(&mut self, entry: &Entry) -> Result<(), Error> {
        self.tar.write_all(&encode(entry, self.epoch)).map_err(Error::Write)
    }

    /// Returns whether it holds a private key.
    fn content(
        &mut self,
        path: &[u8],
        size: u64,
        content: &mut dyn Read,
        looking: Looking,
    ) -> Result<bool, Error> {
        let failed = |source| Error::Io { action: "read", path: shown(path), source };
        let mut inspection = None;
        let mut search = PrivateKeySearch::default();
        let mut n_left = size;
        loop {
            let n = inspect::fill(content, &mut self.buffer).map_err(failed)?;
            if n == 0 {
                break;
            }
            let bytes = &self.buffer[..n];
            if looking == Looking::OnTheWay && n_left == size {
                inspection = Inspection::begin(path, size, bytes, &self.directory);
            }
            n_left = n_left.checked_sub(n as u64).ok_or_else(|| changed(path))?;
            search.pass(bytes);
            if let Some(inspection) = &mut inspection {
                inspection.take(bytes).map_err(Error::Write)?;
            }
            self.tar.write_all(bytes).map_err(Error::Write)?;
        }
        if n_left > 0 {
            return Err(changed(path));
        }
        self.found.extend(inspection.map(Inspection::end).unwrap_or_default());
        let padding = (512 - size % 512) % 512;
        self.tar.write_all(&[0; 512][..padding as usize]).map_err(Error::Write)?;
        Ok(search.finish())
    }
}

fn changed(path: &[u8]) -> Error {
    let source = io::Error::other("its size changed meanwhile");
    Error::Io { action: "read", path: shown(path), source }
}

/// Refuses what would mean something else to whoever applies the layer.
fn check_name(path: &[u8]) -> Result<(), Error> {
    let refused = |reason: &str| Error::Refused { path: shown(path), reason: reason.into() };
    let names: Vec<&[u8]> = path.split(|&byte| byte == b'/').collect();
    if !path.is_empty() && names.iter().any(|name| matches!(*name, b"" | b"." | b"..")) || path.contains(&0) {
        return Err(Error::Misuse(format!("the layer's entry `{}` is no normal path", shown(path))));
    }
    match names.iter().any(|name| name.starts_with(b".wh.")) {
        true => Err(refused("in a layer, a name with `.wh.` before it says that something was removed")),
        false => Ok(()),
    }
}

fn follows(last: Option<&Vec<u8>>, path: &[u8]) -> Result<(), Error> {
    if let Some(last) = last.filter(|last| last.as_slice() >= path) {
        let (path, last) = (shown(path), shown(last));
        return Err(Error::Misuse(format!("the layer's entry `{path}` comes after `{last}`")));
    }
    Ok(())
}
