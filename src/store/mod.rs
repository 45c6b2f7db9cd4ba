//! The store: blobs by digest, small records and kept trees by key, and scratch directories.
//!
//! Everything is written under another name and renamed when it is whole, so what stands under its
//! name can be believed. Several builds may share a store. What a killed build left behind is
//! swept away when the store is opened next. The store knows nothing of images.

mod blob;
mod cache;
mod growth;
mod prune;
mod scratch;

use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};

pub use blob::BlobWriter;
pub use cache::{CachePlace, Claim};
pub use growth::{Growing, Growth};
pub use prune::{Bound, InvalidBound, Pruned};
pub use scratch::Scratch;

use crate::digest::Digest;
use scratch::Remover;

/// What went wrong in the store.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The disk refused.
    #[error("cannot {action} {path}: {source}{hint}", hint = hint(source))]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The bytes are not what was announced.
    #[error("expected {expected}, got {got}")]
    Mismatch {
        /// What was announced.
        expected: String,
        /// What came.
        got: String,
    },
}

fn hint(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "\nhint: free some space, or choose another place with --state DIR"
        }
        _ => "",
    }
}

impl Error {
    fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
        let path = path.to_owned();
        move |source| Error::Io { action, path, source }
    }
}

/// The mode of a directory that only its owner may enter.
const PRIVATE: u32 = 0o700;

/// A store on disk. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    root: PathBuf,
    remover: Remover,
    /// Held for as long as the store is open.
    lock: File,
}

impl Store {
    /// Opens the store in `root`, which is made if need be, and sweeps away what killed builds left in it.
    pub fn open(root: impl Into<PathBuf>) -> Result<Store, Error> {
        let root = root.into();
        for part in ["blobs/sha256", "records"] {
            let path = root.join(part);
            fs::create_dir_all(&path).map_err(Error::io("create", &path))?;
        }
        for part in ["trees", "scratch", "marks"] {
            create_private(&root.join(part))?;
        }
        for part in ["trees", "scratch"] {
            spread(&root.join(part));
        }
        let root = fs::canonicalize(&root).map_err(Error::io("find", &root))?;
        let lock = root.join("lock");
        let lock = File::options().create(true).append(true).open(&lock).map_err(Error::io("open", &lock))?;
        let store = Store { inner: Arc::new(Inner { root, remover: Remover::default(), lock }) };
        store.claim()?;
        scratch::sweep(&store.root().join("scratch"));
        Ok(store)
    }

    fn root(&self) -> &Path {
        &self.inner.root
    }

    /// Returns where a blob lies, or would.
    pub fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.root().join("blobs/sha256").join(digest.hex())
    }

    /// Whether the blob is here; asking counts as a use of it.
    pub fn contains(&self, digest: &Digest) -> bool {
        prune::touch(&self.blob_path(digest))
    }

    /// Opens a blob for reading.
    pub fn open_blob(&self, digest: &Digest) -> Result<File, Error> {
        let path = self.blob_path(digest);
        prune::touch(&path);
        File::open(&path).map_err(Error::io("open", &path))
    }

    /// Reads a small blob whole; one of more than `limit` bytes is refused.
    pub fn read_blob(&self, digest: &Digest, limit: u64) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        let path = self.blob_path(digest);
        let mut reader = self.open_blob(digest)?.take(limit + 1);
        reader.read_to_end(&mut bytes).map_err(Error::io("read", &path))?;
        match bytes.len() as u64 > limit {
            true => Err(Error::Mismatch { expected: format!("at most {limit} bytes"), got: "more".into() }),
            false => Ok(bytes),
        }
    }

    /// Starts a blob whose digest is not known yet.
    pub fn blob_writer(&self) -> Result<BlobWriter, Error> {
        BlobWriter::create(self)
    }

    /// Puts a small blob.
    pub fn put_blob(&self, bytes: &[u8]) -> Result<Digest, Error> {
        let digest = Digest::of(bytes);
        if !self.contains(&digest) {
            self.write_whole(&self.blob_path(&digest), bytes)?;
        }
        Ok(digest)
    }

    /// Returns the record of `kind` under `key`.
    pub fn record(&self, kind: &str, key: &Digest) -> Option<Vec<u8>> {
        let path = self.record_path(kind, key);
        prune::touch(&path);
        fs::read(path).ok()
    }

    /// Keeps a record of `kind` under `key`.
    pub fn set_record(&self, kind: &str, key: &Digest, bytes: &[u8]) -> Result<(), Error> {
        let path = self.record_path(kind, key);
        let parent = self.root().join("records").join(kind);
        fs::create_dir_all(&parent).map_err(Error::io("create", &parent))?;
        self.write_whole(&path, bytes)
    }

    /// Opens the record of `kind` under `key`: one that is read in parts.
    pub fn open_record(&self, kind: &str, key: &Digest) -> Option<File> {
        let path = self.record_path(kind, key);
        prune::touch(&path);
        File::open(path).ok()
    }

    /// Keeps as a record of `kind` under `key` what `write` writes into a file: one that no memory should hold whole.
    pub fn write_record<E: From<Error>>(
        &self,
        kind: &str,
        key: &Digest,
        write: impl FnOnce(File) -> Result<(), E>,
    ) -> Result<(), E> {
        let path = self.record_path(kind, key);
        let parent = self.root().join("records").join(kind);
        fs::create_dir_all(&parent).map_err(Error::io("create", &parent))?;
        let scratch = self.scratch()?;
        let temporary = scratch.path().join("whole");
        write(File::create(&temporary).map_err(Error::io("create", &temporary))?)?;
        Ok(fs::rename(&temporary, &path).map_err(Error::io("write", &path))?)
    }

    /// Returns the directory tree kept under `key`, where there is one.
    pub fn tree(&self, key: &Digest) -> Option<PathBuf> {
        let path = self.root().join("trees").join(key.hex());
        path.exists().then(|| {
            self.mark_tree(key);
            path
        })
    }

    /// Keeps `directory`, which lies inside a [`Scratch`] of this store, under `key`; the first one to come is kept.
    pub fn keep_tree(&self, key: &Digest, directory: &Path) -> Result<PathBuf, Error> {
        let path = self.root().join("trees").join(key.hex());
        self.mark_tree(key);
        match fs::rename(directory, &path) {
            Err(_) if path.exists() => Ok(path),
            result => result.map(|()| path.clone()).map_err(Error::io("keep", &path)),
        }
    }

    /// Makes an empty directory that goes away with the value.
    pub fn scratch(&self) -> Result<Scratch, Error> {
        Scratch::create(self)
    }

    fn record_path(&self, kind: &str, key: &Digest) -> PathBuf {
        self.root().join("records").join(kind).join(key.hex())
    }

    fn write_whole(&self, path: &Path, bytes: &[u8]) -> Result<(), Error> {
        let scratch = self.scratch()?;
        let temporary = scratch.path().join("whole");
        fs::write(&temporary, bytes).map_err(Error::io("write", &temporary))?;
        fs::rename(&temporary, path).map_err(Error::io("write", path))
    }
}

/// Asks the file system to put what is made in a directory far from each other. ext4 doesn't use an inode again for a minute or
/// more after its file was removed, and looks at all of those for each new file that it puts beside them: trees come and go,
/// and one that is put where another was takes twice as long. Other file systems know no such wish. See chattr(1), `T`.
fn spread(directory: &Path) {
    let Ok(directory) = File::open(directory) else { return };
    if let Ok(flags) = ioctl_getflags(&directory)
        && !flags.contains(IFlags::TOPDIR)
    {
        let _ = ioctl_setflags(&directory, flags | IFlags::TOPDIR);
    }
}

/// Makes a directory that is its owner's alone: images' programs that run with their owner's rights lie in it.
fn create_private(path: &Path) -> Result<(), Error> {
    DirBuilder::new().recursive(true).mode(PRIVATE).create(path).map_err(Error::io("create", path))?;
    let metadata = fs::metadata(path).map_err(Error::io("create", path))?;
    match metadata.permissions().mode() & 0o7777 {
        PRIVATE => Ok(()),
        // An older version made it.
        _ => fs::set_permissions(path, Permissions::from_mode(PRIVATE)).map_err(Error::io("close", path)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn store() -> (tempfile::TempDir, Store) {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path().join("state")).unwrap();
        (directory, store)
    }

    fn names_in(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_blob_is_found_by_its_digest() {
        let (_directory, store) = store();
        let mut writer = store.blob_writer().unwrap();
        writer.write_all(b"hello").unwrap();
        let (digest, n_bytes) = writer.commit().unwrap();
        assert_eq!((digest, n_bytes), (Digest::of(b"hello"), 5));
        assert_eq!(store.read_blob(&digest, 5).unwrap(), b"hello");
        assert!(store.read_blob(&digest, 4).is_err());
    }

    #[test]
    fn a_blob_that_is_not_what_was_announced_is_not_kept() {
        let (_directory, store) = store();
        let mut writer = store.blob_writer().unwrap();
        writer.write_all(b"hello").unwrap();
        let announced = Digest::of(b"hallo");
        let error = writer.commit_as(&announced, None).unwrap_err();
        assert!(error.to_string().contains("expected sha256:"), "{error}");
        assert!(!store.contains(&announced) && !store.contains(&Digest::of(b"hello")));
        assert!(names_in(&store.root().join("scratch")).is_empty());
    }

    #[test]
    fn a_blob_longer_than_announced_is_refused_before_it_fills_the_disk() {
        let (_directory, store) = store();
        let mut writer = store.blob_writer().unwrap();
        writer.limit(3);
        assert!(writer.write_all(b"hello").is_err());
    }

    #[test]
    fn what_a_killed_build_left_is_swept_and_what_a_living_one_holds_is_not() {
        let (directory, store) = store();
        let alive = store.scratch().unwrap();
        let dead = store.root().join("scratch/dead");
        fs::create_dir_all(dead.join("rootfs/etc")).unwrap();
        Store::open(directory.path().join("state")).unwrap();
        assert!(alive.path().exists());
        assert!(!dead.exists());
    }

    #[test]
    fn what_is_left_to_be_removed_is_gone_when_the_store_is_closed() {
        let (directory, store) = store();
        let place = store.root().join("scratch");
        for _ in 0..5 {
            let scratch = store.scratch().unwrap();
            fs::create_dir_all(scratch.path().join("rootfs/etc")).unwrap();
            fs::write(scratch.path().join("rootfs/etc/hostname"), "a").unwrap();
            scratch.leave();
        }
        drop(store);
        assert!(names_in(&place).is_empty(), "{}", directory.path().display());
    }

    #[test]
    fn trees_are_put_far_from_each_other_where_the_file_system_can() {
        let directory = tempfile::tempdir().unwrap();
        let other = directory.path().join("other");
        fs::create_dir(&other).unwrap();
        let other = File::open(other).unwrap();
        let can =
            ioctl_getflags(&other).is_ok_and(|flags| ioctl_setflags(&other, flags | IFlags::TOPDIR).is_ok());
        let state = directory.path().join("state");
        Store::open(&state).unwrap();
        for (part, is_wanted) in [("trees", true), ("scratch", true), ("records", false)] {
            let flags = ioctl_getflags(File::open(state.join(part)).unwrap());
            let is_spread = flags.is_ok_and(|flags| flags.contains(IFlags::TOPDIR));
            assert_eq!(is_spread, is_wanted && can, "{part}");
        }
    }

    #[test]
    fn only_the_owner_enters_trees_and_scratch_even_those_of_an_older_store() {
        let (directory, store) = store();
        let mode = |part: &str| fs::metadata(store.root().join(part)).unwrap().permissions().mode() & 0o7777;
        assert_eq!(["trees", "scratch"].map(mode), [0o700; 2]);
        for part in ["trees", "scratch"] {
            fs::set_permissions(store.root().join(part), Permissions::from_mode(0o755)).unwrap();
        }
        Store::open(directory.path().join("state")).unwrap();
        assert_eq!(["trees", "scratch"].map(mode), [0o700; 2]);
    }

    #[test]
    fn records_and_trees_are_found_by_their_key() {
        let (_directory, store) = store();
        let key = Digest::of(b"key");
        assert_eq!(store.record("vertex", &key), None);
        store.set_record("vertex", &key, b"{}").unwrap();
        assert_eq!(store.record("vertex", &key).unwrap(), b"{}");

        assert!(store.open_record("index", &key).is_none());
        let refused = store.write_record("index", &key, |mut file| {
            file.write_all(b"hal").map_err(Error::io("write", Path::new("it")))?;
            Err(Error::Mismatch { expected: "more".into(), got: "less".into() })
        });
        assert!(refused.is_err() && store.open_record("index", &key).is_none());
        store
            .write_record("index", &key, |mut file| {
                file.write_all(b"whole").map_err(Error::io("write", Path::new("it")))
            })
            .unwrap();
        assert_eq!(io::read_to_string(store.open_record("index", &key).unwrap()).unwrap(), "whole");

        let scratch = store.scratch().unwrap();
        fs::create_dir_all(scratch.path().join("root/etc")).unwrap();
        store.keep_tree(&key, &scratch.path().join("root")).unwrap();
        assert!(store.tree(&key).unwrap().join("etc").exists());
    }
}
