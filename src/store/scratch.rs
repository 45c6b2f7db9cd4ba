//! Directories that go away: at once when their value is dropped, at the next start when their process was killed.
//!
//! Each holds a lock on its own directory for as long as its process lives; the kernel gives the
//! lock up for those that cannot.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use super::Error;

/// An empty directory that goes away with the value.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
    _lock: File,
}

impl Scratch {
    pub(super) fn create(parent: &Path) -> Result<Scratch, Error> {
        loop {
            let directory = tempfile::Builder::new().prefix("").tempdir_in(parent);
            let path = directory.map_err(Error::io("create a directory in", parent))?.keep();
            // Between these two lines a sweep may take the directory: then there is another try.
            if let Some(lock) = lock(&path)
                && path.exists()
            {
                return Ok(Scratch { path, _lock: lock });
            }
        }
    }

    /// Returns where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

fn lock(path: &Path) -> Option<File> {
    let directory = File::open(path).ok()?;
    flock(&directory, FlockOperation::NonBlockingLockExclusive).ok()?;
    Some(directory)
}

/// Removes what nobody holds.
pub(super) fn sweep(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        if let Some(_lock) = lock(&path) {
            let _ = fs::remove_dir_all(&path);
        }
    }
}
