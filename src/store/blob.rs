//! A blob being written.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::{Error, Growing, Scratch, Store};
use crate::digest::{Digest, HashingWriter};

/// A blob being written; dropped before it is committed, it leaves nothing.
pub struct BlobWriter {
    store: Store,
    scratch: Scratch,
    file: HashingWriter<File>,
    n_left: u64,
    /// Told of what is written.
    growing: Option<Growing>,
}

impl BlobWriter {
    pub(super) fn create(store: &Store) -> Result<BlobWriter, Error> {
        let scratch = store.scratch()?;
        let path = scratch.path().join("blob");
        let file = File::create(&path).map_err(Error::io("create", &path))?;
        let (store, file) = (store.clone(), HashingWriter::new(file));
        Ok(BlobWriter { store, scratch, file, n_left: u64::MAX, growing: None })
    }

    /// Returns also the file, to be read meanwhile.
    pub(super) fn watched(store: &Store, growing: Growing) -> Result<(BlobWriter, File), Error> {
        let writer = BlobWriter { growing: Some(growing), ..BlobWriter::create(store)? };
        let path = writer.path();
        let file = File::open(&path).map_err(Error::io("open", &path))?;
        Ok((writer, file))
    }

    /// Returns a directory for what is needed beside it, which goes away with it.
    pub fn directory(&self) -> &Path {
        self.scratch.path()
    }

    /// Refuses whatever comes after `n_bytes` more bytes.
    pub fn limit(&mut self, n_bytes: u64) {
        self.n_left = n_bytes;
    }

    /// Keeps the blob under its own digest; returns that and its size in bytes.
    pub fn commit(self) -> Result<(Digest, u64), Error> {
        let path = self.path();
        let (_file, digest, n_bytes) = self.file.finish();
        let kept = self.store.blob_path(&digest);
        fs::rename(&path, &kept).map_err(Error::io("keep", &kept))?;
        Ok((digest, n_bytes))
    }

    /// Keeps the blob if its digest, and its size where one is given, are the announced ones.
    pub fn commit_as(self, expected: &Digest, size: Option<u64>) -> Result<(), Error> {
        let path = self.path();
        let (_file, digest, n_bytes) = self.file.finish();
        if let Some(size) = size.filter(|&size| size != n_bytes) {
            return Err(Error::Mismatch { expected: format!("{size} bytes"), got: format!("{n_bytes}") });
        }
        if digest != *expected {
            return Err(Error::Mismatch { expected: expected.to_string(), got: digest.to_string() });
        }
        let kept = self.store.blob_path(&digest);
        fs::rename(&path, &kept).map_err(Error::io("keep", &kept))
    }

    fn path(&self) -> PathBuf {
        self.scratch.path().join("blob")
    }
}

impl Write for BlobWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() as u64 > self.n_left {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "more bytes came than were announced"));
        }
        let n = self.file.write(bytes)?;
        self.n_left -= n as u64;
        self.growing.iter().for_each(|growing| growing.grow(n));
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
