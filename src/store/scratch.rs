//! Directories that go away: when their value is dropped, or at the next start when their process was killed.
//!
//! Each holds a lock on its own directory until that is gone; the kernel gives the lock up for those that cannot.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use rustix::fs::{FlockOperation, flock};

use super::{Error, Store};

/// How many trees may wait while one is removed: whoever fills the disk faster than it is emptied waits, too.
const N_WAITING: usize = 4;

/// An empty directory that goes away with the value.
#[derive(Debug)]
pub struct Scratch {
    directory: Directory,
    store: Store,
}

/// A directory that is removed when it is dropped, whatever is in it.
#[derive(Debug)]
struct Directory {
    path: PathBuf,
    _lock: File,
}

/// Removes directories beside everything else; dropped, it waits until they are gone.
#[derive(Debug, Default)]
pub(super) struct Remover(OnceLock<Option<Removal>>);

#[derive(Debug)]
struct Removal {
    queue: SyncSender<Directory>,
    thread: JoinHandle<()>,
}

impl Scratch {
    pub(super) fn create(store: &Store) -> Result<Scratch, Error> {
        let parent = store.root().join("scratch");
        loop {
            let directory = tempfile::Builder::new().prefix("").tempdir_in(&parent);
            let path = directory.map_err(Error::io("create a directory in", &parent))?.keep();
            // Between these two lines a sweep may take the directory: then there is another try.
            if let Some(lock) = lock(&path)
                && path.exists()
            {
                return Ok(Scratch { directory: Directory { path, _lock: lock }, store: store.clone() });
            }
        }
    }

    /// Returns where it is.
    pub fn path(&self) -> &Path {
        &self.directory.path
    }

    /// Lets it be removed while the work goes on: it may hold many files. It is gone when the store is closed.
    pub fn leave(self) {
        self.store.inner.remover.remove(self.directory);
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

impl Remover {
    /// Removes a directory soon, or at once where there can't be another thread.
    fn remove(&self, directory: Directory) {
        if let Some(removal) = self.0.get_or_init(Removal::start) {
            // One that isn't taken is dropped here.
            let _ = removal.queue.send(directory);
        }
    }
}

impl Drop for Remover {
    fn drop(&mut self) {
        if let Some(Removal { queue, thread }) = self.0.take().flatten() {
            drop(queue);
            let _ = thread.join();
        }
    }
}

impl Removal {
    fn start() -> Option<Removal> {
        let (queue, directories) = sync_channel(N_WAITING);
        let remove_all = move || directories.into_iter().for_each(drop::<Directory>);
        let thread = thread::Builder::new().name("remove".into()).spawn(remove_all).ok()?;
        Some(Removal { queue, thread })
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
        if let Some(lock) = lock(&path) {
            drop(Directory { path, _lock: lock });
        }
    }
}
