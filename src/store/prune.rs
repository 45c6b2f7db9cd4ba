//! A bound of what a store holds: what was used least recently goes away.
//!
//! What counts as a use is written down here, as the modification time of a mark: file systems that are mounted with
//! `noatime` or `relatime` don't. Whoever has a store open holds a lock on it, so nothing goes away that a build may need.

use std::collections::HashSet;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::SystemTime;

use rustix::fs::{AtFlags, CWD, FlockOperation, Timespec, Timestamps, UTIME_NOW, flock, utimensat};
use rustix::io::Errno;

use super::{Error, Store};
use crate::digest::Digest;

/// A size in bytes, written as `10GB` or `500MiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bound(pub u64);

/// Why a text is no size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a size like 10GB or 500MiB")]
pub struct InvalidBound;

impl FromStr for Bound {
    type Err = InvalidBound;

    fn from_str(text: &str) -> Result<Bound, InvalidBound> {
        let text = text.trim();
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(end);
        let unit: f64 = match unit.trim().to_ascii_lowercase().as_str() {
            "" | "b" => 1.0,
            "k" | "kb" => 1e3,
            "m" | "mb" => 1e6,
            "g" | "gb" => 1e9,
            "t" | "tb" => 1e12,
            "ki" | "kib" => 1024.0,
            "mi" | "mib" => 1_048_576.0,
            "gi" | "gib" => 1_073_741_824.0,
            "ti" | "tib" => 1_099_511_627_776.0,
            _ => return Err(InvalidBound),
        };
        let number: f64 = number.parse().map_err(|_| InvalidBound)?;
        let size = number * unit;
        match size.is_finite() && size < 1e18 {
            true => Ok(Bound(size as u64)),
            false => Err(InvalidBound),
        }
    }
}

/// What a pruning came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pruned {
    /// So many bytes went away, and so many are left.
    Done {
        /// Bytes that went away.
        n_gone: u64,
        /// Bytes that are left.
        n_left: u64,
    },
    /// Somebody else uses the store.
    InUse,
}

/// Something that may go away as a whole.
struct Item {
    path: PathBuf,
    used: SystemTime,
    n_bytes: u64,
    /// What else says that it was there.
    marks: Vec<PathBuf>,
}

impl Store {
    /// Removes what was used least recently until the store holds no more than `bound`; records of the kinds in `lasting`
    /// stay. What this process used is no exception. Where others use the store, nothing goes away, and this process counts
    /// as done with it.
    ///
    /// # Errors
    /// When something can't be looked at, or can't be removed.
    pub fn prune(&self, bound: Bound, lasting: &[&str]) -> Result<Pruned, Error> {
        match flock(&self.inner.lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            // Asking has given up our own claim: who ends after us finds nobody.
            Err(Errno::WOULDBLOCK) => return Ok(Pruned::InUse),
            Err(error) => return Err(Error::io("lock", self.root())(error.into())),
        }
        let pruned = self.prune_alone(bound, lasting);
        self.claim()?;
        pruned
    }

    /// Says that the store is used, for as long as it is open; waits while it is pruned.
    pub(super) fn claim(&self) -> Result<(), Error> {
        let locked = rustix::io::retry_on_intr(|| flock(&self.inner.lock, FlockOperation::LockShared));
        locked.map_err(|error| Error::io("lock", self.root())(error.into()))
    }

    fn prune_alone(&self, Bound(most): Bound, lasting: &[&str]) -> Result<Pruned, Error> {
        let mut items = self.items(lasting)?;
        items.sort_by(|a, b| (a.used, &a.path).cmp(&(b.used, &b.path)));
        let mut n_left: u64 = items.iter().map(|item| item.n_bytes).sum();
        let mut n_gone = 0;
        for item in items {
            if n_left <= most {
                break;
            }
            self.remove(&item)?;
            n_left -= item.n_bytes;
            n_gone += item.n_bytes;
        }
        Ok(Pruned::Done { n_gone, n_left })
    }

    /// A directory is moved out of the way first: one that is half removed is nothing.
    fn remove(&self, item: &Item) -> Result<(), Error> {
        let failed = || Error::io("remove", &item.path);
        if item.path.is_dir() {
            let scratch = self.scratch()?;
            fs::rename(&item.path, scratch.path().join("gone")).map_err(failed())?;
        } else {
            fs::remove_file(&item.path).map_err(failed())?;
        }
        for mark in &item.marks {
            let _ = fs::remove_file(mark);
        }
        Ok(())
    }

    fn items(&self, lasting: &[&str]) -> Result<Vec<Item>, Error> {
        let root = self.root();
        let mut items = Vec::new();
        for path in entries(&root.join("blobs/sha256"))? {
            items.extend(file(path)?);
        }
        for kind in entries(&root.join("records"))? {
            if !lasting.iter().any(|name| kind.ends_with(name)) {
                for path in entries(&kind)? {
                    items.extend(file(path)?);
                }
            }
        }
        for path in entries(&root.join("trees"))? {
            items.push(self.kept_tree(path)?);
        }
        for cache in entries(&root.join("caches"))? {
            for lock in entries(&cache)?.into_iter().filter(|path| path.extension().is_some()) {
                items.extend(cache_place(lock)?);
            }
        }
        for path in entries(&root.join("failed"))? {
            let used = modified(&metadata(&path)?);
            items.push(Item { n_bytes: n_bytes(&path)?, used, path, marks: Vec::new() });
        }
        Ok(items)
    }

    /// A tree doesn't change, so its size is found out once, and kept in its mark.
    fn kept_tree(&self, path: PathBuf) -> Result<Item, Error> {
        let mark = self.mark_of(&path);
        let used = fs::metadata(&mark).map_or(SystemTime::UNIX_EPOCH, |metadata| modified(&metadata));
        let known = fs::read_to_string(&mark).ok().and_then(|text| text.parse().ok());
        let size = match known {
            Some(size) => size,
            None => {
                let size = n_bytes(&path)?;
                let file = File::create(&mark).map_err(Error::io("write", &mark))?;
                io::Write::write_all(&mut &file, size.to_string().as_bytes())
                    .and_then(|()| file.set_modified(used))
                    .map_err(Error::io("write", &mark))?;
                size
            }
        };
        Ok(Item { path, used, n_bytes: size, marks: vec![mark] })
    }

    fn mark_of(&self, tree: &Path) -> PathBuf {
        self.root().join("marks").join(tree.file_name().unwrap_or_default())
    }

    /// Notes that a tree is used.
    pub(super) fn mark_tree(&self, key: &Digest) {
        let mark = self.root().join("marks").join(key.hex());
        if !touch(&mark) {
            let _ = File::options().create(true).append(true).open(mark);
        }
    }
}

/// Notes that a file is used; returns whether it is there. A note that can't be made is no reason to fail.
pub(super) fn touch(path: &Path) -> bool {
    let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
    let times = Timestamps { last_access: now, last_modification: now };
    match utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(()) => true,
        Err(Errno::NOENT) => false,
        Err(_) => path.exists(),
    }
}

fn file(path: PathBuf) -> Result<Option<Item>, Error> {
    let metadata = metadata(&path)?;
    let (used, n_bytes) = (modified(&metadata), taken(&metadata));
    Ok(metadata.is_file().then_some(Item { path, used, n_bytes, marks: Vec::new() }))
}

/// The lock of a cache's place is taken by whoever uses it, and is its mark.
fn cache_place(lock: PathBuf) -> Result<Option<Item>, Error> {
    let (path, used) = (lock.with_extension(""), modified(&metadata(&lock)?));
    match path.is_dir() {
        true => Ok(Some(Item { n_bytes: n_bytes(&path)?, path, used, marks: vec![lock] })),
        false => Ok(None),
    }
}

/// Returns what is in a directory; nothing, if there is none.
fn entries(directory: &Path) -> Result<Vec<PathBuf>, Error> {
    let read =
        || -> io::Result<Vec<PathBuf>> { fs::read_dir(directory)?.map(|entry| Ok(entry?.path())).collect() };
    match read() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        read => read.map_err(Error::io("list", directory)),
    }
}

/// Returns what a directory takes on the disk, in bytes.
fn n_bytes(directory: &Path) -> Result<u64, Error> {
    let (mut n_bytes, mut seen, mut open) = (0, HashSet::new(), vec![directory.to_owned()]);
    while let Some(path) = open.pop() {
        let metadata = metadata(&path)?;
        if metadata.nlink() > 1 && !metadata.is_dir() && !seen.insert((metadata.dev(), metadata.ino())) {
            continue;
        }
        n_bytes += taken(&metadata);
        if metadata.is_dir() {
            open.extend(entries(&path)?);
        }
    }
    Ok(n_bytes)
}

fn metadata(path: &Path) -> Result<Metadata, Error> {
    fs::symlink_metadata(path).map_err(Error::io("look at", path))
}

fn taken(metadata: &Metadata) -> u64 {
    metadata.blocks() * 512
}

fn modified(metadata: &Metadata) -> SystemTime {
    metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::super::Claim;
    use super::*;
    use std::time::Duration;

    /// A store in which everything was used long ago, each thing later than the one before.
    struct Place {
        directory: tempfile::TempDir,
        store: Store,
    }

    impl Place {
        fn new() -> Place {
            let directory = tempfile::tempdir().unwrap();
            let store = Store::open(directory.path().join("state")).unwrap();
            Place { directory, store }
        }

        fn blob(&self, name: u8, days_ago: u64) -> Digest {
            let digest = self.store.put_blob(&vec![name; 100_000]).unwrap();
            age(&self.store.blob_path(&digest), days_ago);
            digest
        }

        fn tree(&self, name: &str, days_ago: u64) -> Digest {
            let (key, scratch) = (Digest::of(name), self.store.scratch().unwrap());
            let path = scratch.path().join("tree");
            fs::create_dir_all(path.join("d")).unwrap();
            fs::write(path.join("d/f"), vec![1; 100_000]).unwrap();
            self.store.keep_tree(&key, &path).unwrap();
            age(&self.directory.path().join("state/marks").join(key.hex()), days_ago);
            key
        }

        fn prune(&self, n_bytes: u64) -> u64 {
            match self.store.prune(Bound(n_bytes), &["release"]).unwrap() {
                Pruned::Done { n_left, .. } => n_left,
                Pruned::InUse => panic!("nobody else has it open"),
            }
        }
    }

    fn age(path: &Path, days: u64) {
        let then = SystemTime::now() - Duration::from_secs(days * 86400);
        File::open(path).unwrap().set_modified(then).unwrap();
    }

    #[test]
    fn a_size_is_a_number_with_a_unit() {
        for (text, n_bytes) in [
            ("10GB", 10_000_000_000),
            ("500MiB", 500 << 20),
            ("1.5k", 1500),
            ("7", 7),
            (" 2 TB ", 2e12 as u64),
        ] {
            assert_eq!(text.parse(), Ok(Bound(n_bytes)), "{text}");
        }
        for text in ["", "GB", "-1GB", "10XB", "1.2.3GB", "1e9", "9999999999TB"] {
            assert_eq!(text.parse::<Bound>(), Err(InvalidBound), "{text}");
        }
    }

    #[test]
    fn what_was_used_least_recently_goes_away() {
        let place = Place::new();
        let (old, used) = (place.blob(1, 9), place.blob(2, 8));
        let (old_tree, used_tree) = (place.tree("old", 7), place.tree("used", 6));
        let young = place.blob(3, 5);
        assert!(place.store.contains(&used) && place.store.tree(&used_tree).is_some());
        assert!(place.prune(350_000) <= 350_000);
        let there = |digest| place.store.contains(digest);
        assert_eq!([&old, &used, &young].map(there), [false, true, true]);
        assert_eq!([&old_tree, &used_tree].map(|key| place.store.tree(key).is_some()), [false, true]);
        assert!(place.prune(0) == 0 && !there(&young) && place.store.tree(&used_tree).is_none());
    }

    #[test]
    fn caches_and_failures_go_away_too_and_lasting_records_do_not() {
        let place = Place::new();
        let store = &place.store;
        let key = Digest::of("cache");
        let cache = store.cache(&key, Claim::Shared, &mut || false).unwrap().unwrap();
        let scratch = store.scratch().unwrap();
        fs::create_dir(scratch.path().join("c")).unwrap();
        let filled = cache.begin_with(&scratch.path().join("c")).unwrap().to_owned();
        drop(cache);
        let failed = store.keep_aside("x").unwrap();
        store.set_record("release", &key, b"1").unwrap();
        store.set_record("vertex", &key, b"1").unwrap();
        assert_eq!(place.prune(0), 0);
        assert!(!filled.exists() && !failed.exists());
        assert_eq!(
            (store.record("release", &key), store.record("vertex", &key)),
            (Some(b"1".to_vec()), None)
        );
    }

    #[test]
    fn nothing_goes_away_while_somebody_else_has_the_store_open() {
        let place = Place::new();
        let blob = place.blob(1, 9);
        let other = Store::open(place.directory.path().join("state")).unwrap();
        assert_eq!(place.store.prune(Bound(0), &[]).unwrap(), Pruned::InUse);
        assert!(other.contains(&blob));
        assert!(matches!(other.prune(Bound(0), &[]).unwrap(), Pruned::Done { .. }), "the last to end prunes");
        assert!(!place.store.contains(&blob));
    }
}
