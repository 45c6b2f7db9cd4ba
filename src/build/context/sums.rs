//! Digests of large files that were read before, by all that the kernel tells of a file without its being read.
//!
//! Nobody can set a file's change time (`st_ctime`), and whatever is written changes it. It has a grain, though: a file that
//! changed just before it was read may have changed again since, at the same time as far as one sees. As git does with its
//! index (<https://git-scm.com/docs/racy-git>), what is that young is not remembered.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::digest::{Digest, Hasher};
use crate::store::Store;

/// The kind of the store's records of digests.
const RECORD: &str = "sum-1";
/// Smaller ones are read in less time than it takes to remember them, in bytes.
const SMALLEST: u64 = 1 << 20;
/// No file system's clock has a coarser grain, or is behind ours by more, it is hoped.
const GRAIN: Duration = Duration::from_secs(10);

/// What is remembered; without a store, nothing. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Sums {
    store: Option<Store>,
}

impl Sums {
    /// Returns what a store remembers.
    pub fn of(store: &Store) -> Sums {
        Sums { store: Some(store.clone()) }
    }

    /// Returns digest and size of a file that was just opened, and is read unless they are known.
    pub(super) fn of_file(&self, mut file: File) -> io::Result<(Digest, u64)> {
        let began = SystemTime::now();
        let found = file.metadata()?;
        let store = self.store.as_ref().filter(|_| found.len() >= SMALLEST);
        let Some(store) = store else { return hash(&mut file) };
        let key = key(&found);
        if let Some(known) = recall(store, &key) {
            return Ok((known, found.len()));
        }
        let (digest, size) = hash(&mut file)?;
        let is_same = size == found.len() && self::key(&file.metadata()?) == key;
        if is_same && is_settled(&found, began) {
            // What can't be remembered is read again.
            let _ = store.set_record(RECORD, &key, digest.to_string().as_bytes());
        }
        Ok((digest, size))
    }
}

fn recall(store: &Store, key: &Digest) -> Option<Digest> {
    String::from_utf8(store.record(RECORD, key)?).ok()?.parse().ok()
}

/// Returns what is another one for every other file, and for the same with another content.
fn key(found: &Metadata) -> Digest {
    let (written, changed) = ((found.mtime(), found.mtime_nsec()), (found.ctime(), found.ctime_nsec()));
    Digest::of(format!("{:?}", (found.dev(), found.ino(), found.len(), written, changed)))
}

/// Whether a file changed so long before somebody began to read it that a later change will be seen.
fn is_settled(found: &Metadata, began: SystemTime) -> bool {
    let began = began.duration_since(UNIX_EPOCH).unwrap_or_default();
    let latest = began.checked_sub(GRAIN).unwrap_or_default().as_secs();
    i64::try_from(latest).is_ok_and(|latest| found.ctime() < latest)
}

fn hash(file: &mut File) -> io::Result<(Digest, u64)> {
    let mut hasher = Hasher::new();
    let mut buffer = vec![0; 1 << 17];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hasher.finish()),
            n => hasher.update(&buffer[..n]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::Path;

    /// A file of a mebibyte that begins with a text, a store, and the digest that the file has by them.
    struct Desk {
        directory: tempfile::TempDir,
        sums: Sums,
    }

    impl Desk {
        fn new() -> Desk {
            let directory = tempfile::tempdir().unwrap();
            let store = Store::open(directory.path().join("state")).unwrap();
            let desk = Desk { sums: Sums::of(&store), directory };
            desk.write("monday");
            desk
        }

        fn file(&self) -> std::path::PathBuf {
            self.directory.path().join("file")
        }

        fn write(&self, text: &str) {
            fs::write(self.file(), content(text)).unwrap();
        }

        fn digest(&self) -> Digest {
            let (digest, size) = self.sums.of_file(File::open(self.file()).unwrap()).unwrap();
            assert_eq!(size, 1 << 20);
            digest
        }

        fn n_remembered(&self) -> usize {
            fs::read_dir(self.directory.path().join("state/records").join(RECORD)).map_or(0, Iterator::count)
        }

        /// Remembers of the file as it is now that it has another digest than it has.
        fn remember_wrongly(&self) -> Digest {
            let wrong = Digest::of("wrong");
            let key = key(&fs::metadata(self.file()).unwrap());
            self.sums.store.as_ref().unwrap().set_record(RECORD, &key, wrong.to_string().as_bytes()).unwrap();
            wrong
        }
    }

    fn content(text: &str) -> Vec<u8> {
        let mut content = text.as_bytes().to_vec();
        content.resize(1 << 20, 0);
        content
    }

    fn set_modified(path: &Path, time: SystemTime) {
        File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
    }

    #[test]
    fn what_changed_just_now_is_read_each_time() {
        let desk = Desk::new();
        assert_eq!(desk.digest(), Digest::of(content("monday")));
        assert_eq!(desk.n_remembered(), 0);
        assert_eq!(desk.digest(), Digest::of(content("monday")));
    }

    #[test]
    fn what_is_settled_is_not_read_again() {
        let desk = Desk::new();
        let found = fs::metadata(desk.file()).unwrap();
        let later = SystemTime::now() + GRAIN + Duration::from_secs(2);
        assert!(is_settled(&found, later) && !is_settled(&found, SystemTime::now()));
        let wrong = desk.remember_wrongly();
        assert_eq!(desk.digest(), wrong, "it is not read");
    }

    #[test]
    fn a_change_is_seen_even_where_size_and_modification_time_stay_what_they_were() {
        let desk = Desk::new();
        let before = fs::metadata(desk.file()).unwrap();
        desk.remember_wrongly();
        let mut after = before.clone();
        // The clock of an old kernel's file systems has a grain of some milliseconds.
        while (after.ctime(), after.ctime_nsec()) == (before.ctime(), before.ctime_nsec()) {
            desk.write("tuesday");
            set_modified(&desk.file(), before.modified().unwrap());
            after = fs::metadata(desk.file()).unwrap();
        }
        assert_eq!((after.modified().unwrap(), after.len()), (before.modified().unwrap(), before.len()));
        assert_eq!(desk.digest(), Digest::of(content("tuesday")));
    }

    #[test]
    fn another_file_in_its_place_is_another_one() {
        let desk = Desk::new();
        desk.remember_wrongly();
        let other = desk.directory.path().join("other");
        fs::write(&other, content("other")).unwrap();
        fs::rename(&other, desk.file()).unwrap();
        assert_eq!(desk.digest(), Digest::of(content("other")));
    }
}
