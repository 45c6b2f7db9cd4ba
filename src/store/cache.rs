//! Directories that commands keep from one build to the next, for themselves. Nothing that is built is taken from here.
//!
//! A cache has places: those who must not share one get another, or wait. Who uses a place holds a lock on it, which the
//! kernel gives up for those that were killed.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::prune::touch;
use super::{Error, Store, create_private};
use crate::digest::Digest;

/// How often somebody who waits for a place looks whether it is free.
const PAUSE: Duration = Duration::from_millis(50);
/// How many may have a place of their own at the same time.
const MOST_PLACES: usize = 1000;

/// With whom a place of a cache is shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// With everybody.
    Shared,
    /// With nobody: while others use one, there is another.
    Private,
    /// With nobody: who comes later waits.
    Alone,
}

/// A place of a cache, for as long as this lives.
#[derive(Debug)]
pub struct CachePlace {
    directory: PathBuf,
    _lock: File,
}

impl CachePlace {
    /// Returns its directory, if it was filled.
    pub fn directory(&self) -> Option<&Path> {
        self.directory.exists().then_some(&self.directory)
    }

    /// Lets `directory`, in scratch, be what it begins with, unless somebody was faster.
    pub fn begin_with(&self, directory: &Path) -> Result<&Path, Error> {
        match fs::rename(directory, &self.directory) {
            Err(_) if self.directory.exists() => Ok(&self.directory),
            result => result.map(|()| &*self.directory).map_err(Error::io("keep", &self.directory)),
        }
    }
}

impl Store {
    /// Returns a place of the cache under `key`. As long as there is none, `waits` is asked whether to go on waiting.
    pub fn cache(
        &self,
        key: &Digest,
        claim: Claim,
        waits: &mut dyn FnMut() -> bool,
    ) -> Result<Option<CachePlace>, Error> {
        let parent = self.root().join("caches").join(key.hex());
        create_private(&parent)?;
        let n_places = if claim == Claim::Private { MOST_PLACES } else { 1 };
        loop {
            for nth in 0..n_places {
                let path = parent.join(format!("{nth}.lock"));
                if let Some(lock) = lock(&path, claim)? {
                    touch(&path);
                    return Ok(Some(CachePlace { directory: parent.join(nth.to_string()), _lock: lock }));
                }
            }
            if !waits() {
                return Ok(None);
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Returns an empty directory under `name` for somebody to look into later; what was there goes away.
    pub fn keep_aside(&self, name: &str) -> Result<PathBuf, Error> {
        let path = self.root().join("failed").join(name);
        match fs::remove_dir_all(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::io("remove", &path)(error));
            }
            _ => create_private(&path)?,
        }
        Ok(path)
    }
}

fn lock(path: &Path, claim: Claim) -> Result<Option<File>, Error> {
    let file = File::options().create(true).truncate(false).write(true).open(path);
    let file = file.map_err(Error::io("open", path))?;
    let operation = match claim {
        Claim::Shared => FlockOperation::NonBlockingLockShared,
        Claim::Private | Claim::Alone => FlockOperation::NonBlockingLockExclusive,
    };
    match flock(&file, operation) {
        Ok(()) => Ok(Some(file)),
        Err(Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(Error::io("lock", path)(error.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(store: &Store, claim: Claim) -> Option<CachePlace> {
        store.cache(&Digest::of("cache"), claim, &mut || false).unwrap()
    }

    #[test]
    fn a_place_is_shared_or_left_or_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        let first = place(&store, Claim::Shared).unwrap();
        let second = place(&store, Claim::Shared).unwrap();
        assert_eq!(first.directory, second.directory);
        assert!(place(&store, Claim::Alone).is_none());
        let other = place(&store, Claim::Private).unwrap();
        assert_ne!(other.directory, first.directory);
        drop((first, second));
        let alone = place(&store, Claim::Alone).unwrap();
        assert!(place(&store, Claim::Shared).is_none());
        let mut waiting = Some(alone);
        let mut waits = || waiting.take().is_some();
        assert!(store.cache(&Digest::of("cache"), Claim::Alone, &mut waits).unwrap().is_some());
    }

    #[test]
    fn the_first_to_fill_a_place_fills_it() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        let (one, other) = (place(&store, Claim::Shared).unwrap(), place(&store, Claim::Shared).unwrap());
        assert_eq!(one.directory(), None);
        for (place, name) in [(&one, "one"), (&other, "other")] {
            let scratch = store.scratch().unwrap();
            let path = scratch.path().join("new");
            fs::create_dir(&path).unwrap();
            fs::write(path.join(name), "").unwrap();
            place.begin_with(&path).unwrap();
        }
        assert!(one.directory().unwrap().join("one").exists());
        assert!(!other.directory().unwrap().join("other").exists());
    }

    #[test]
    fn what_is_kept_aside_takes_the_place_of_what_was_there() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        fs::write(store.keep_aside("x").unwrap().join("old"), "").unwrap();
        assert_eq!(fs::read_dir(store.keep_aside("x").unwrap()).unwrap().count(), 0);
    }
}
