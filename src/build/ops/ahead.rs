//! Archives of packages, decompressed ahead of dpkg: while it unpacks one package and runs scripts, another processor reads
//! the data of the next ones. dpkg waits for nothing: an archive whose turn hasn't come is there as it came, and what is
//! wrong with one is for dpkg to say.

use std::fs::{self, File};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::num::NonZeroUsize;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use rustix::fs::{CWD, renameat};

use crate::debian;

/// How many bytes may lie there decompressed; packages beyond stay as they came.
const ROOM: u64 = 2 << 30;
/// How many archives are read at once: each takes memory, and dpkg needs a processor, too.
const MOST_THREADS: usize = 2;

/// An archive, and the name by which dpkg sees it.
pub(super) struct Compressed {
    /// Where it lies in the store.
    pub path: PathBuf,
    /// Its name in the directory of archives.
    pub name: String,
}

/// What decompresses archives, until the value goes.
pub(super) struct Ahead {
    work: Arc<Work>,
    threads: Vec<JoinHandle<()>>,
}

impl Ahead {
    /// Starts to decompress archives, in their order, in the directory `workshop`, which is made. Each takes its own place
    /// in `directory` when it is whole.
    pub(super) fn start(archives: Vec<Compressed>, directory: &Path, workshop: &Path) -> io::Result<Ahead> {
        fs::create_dir(workshop)?;
        // Where nothing can be mounted, the directory is moved into the root meanwhile.
        let work = Arc::new(Work::new(archives, workshop.to_owned(), File::open(directory)?.into()));
        let n_threads = thread::available_parallelism().map_or(1, NonZeroUsize::get).min(MOST_THREADS);
        let mut ahead = Ahead { work, threads: Vec::new() };
        for _ in 0..n_threads {
            let work = ahead.work.clone();
            ahead.threads.push(thread::Builder::new().name("xz".into()).spawn(move || work.run())?);
        }
        Ok(ahead)
    }

    /// Waits until the archive of that name is decompressed, or will not be.
    pub(super) fn wait(&self, name: &str) {
        let Some(place) = self.work.archives.iter().position(|archive| archive.name == name) else { return };
        let is_open = |settled: &mut Vec<bool>| !settled.get(place).is_none_or(|&is_settled| is_settled);
        let settled = self.work.settled.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.work.news.wait_while(settled, is_open));
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.work.is_over.store(true, Ordering::Relaxed);
        self.threads.drain(..).for_each(|thread| drop(thread.join()));
    }
}

/// What the threads do together.
struct Work {
    archives: Vec<Compressed>,
    workshop: PathBuf,
    directory: OwnedFd,
    /// The place of the archive that is next.
    next: AtomicUsize,
    n_left: AtomicU64,
    is_over: AtomicBool,
    /// Of which archives it is known whether they are decompressed.
    settled: Mutex<Vec<bool>>,
    news: Condvar,
}

impl Work {
    fn new(archives: Vec<Compressed>, workshop: PathBuf, directory: OwnedFd) -> Work {
        let settled = Mutex::new(vec![false; archives.len()]);
        let (next, n_left, is_over) = (AtomicUsize::new(0), AtomicU64::new(ROOM), AtomicBool::new(false));
        Work { archives, workshop, directory, next, n_left, is_over, settled, news: Condvar::new() }
    }

    /// What isn't done here, dpkg does.
    fn run(&self) {
        loop {
            let place = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(archive) = self.archives.get(place) else { return };
            let _turn = Turn { work: self, place };
            if !self.is_over.load(Ordering::Relaxed) && self.decompress(archive, place).is_err() {
                self.is_over.store(true, Ordering::Relaxed);
            }
        }
    }

    fn decompress(&self, archive: &Compressed, place: usize) -> io::Result<()> {
        let unfinished = self.workshop.join(place.to_string());
        let file = Bounded { file: File::create_new(&unfinished)?, work: self };
        let mut writer = BufWriter::with_capacity(1 << 17, file);
        let is_plain = debian::deb::plain(File::open(&archive.path)?, &mut writer);
        match is_plain.map_err(io::Error::other)? {
            true => Ok(renameat(CWD, &unfinished, &self.directory, &archive.name)?),
            false => fs::remove_file(&unfinished),
        }
    }
}

/// The turn of an archive. When it goes, however that is, nobody waits for the archive any more.
struct Turn<'a> {
    work: &'a Work,
    place: usize,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut settled = self.work.settled.lock().unwrap_or_else(PoisonError::into_inner);
        settled.iter_mut().skip(self.place).take(1).for_each(|is_settled| *is_settled = true);
        self.work.news.notify_all();
    }
}

/// A file that takes bytes as long as there is room, and none when all is over.
struct Bounded<'a> {
    file: File,
    work: &'a Work,
}

impl Write for Bounded<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = |n_left: u64| n_left.checked_sub(bytes.len() as u64);
        let has_room = self.work.n_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken).is_ok();
        if !has_room || self.work.is_over.load(Ordering::Relaxed) {
            return Err(io::Error::other("there is no room, or no time"));
        }
        self.file.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Seek for Bounded<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::debian::deb::tests::deb;
    use std::io::Read;

    /// A directory with archives, as a store has them, and one with their names.
    struct Place(tempfile::TempDir);

    impl Place {
        fn new(archives: &[(&str, Vec<u8>)]) -> Place {
            let place = Place(tempfile::tempdir().unwrap());
            fs::create_dir(place.at("archives")).unwrap();
            for (name, bytes) in archives {
                fs::write(place.at(name), bytes).unwrap();
                fs::hard_link(place.at(name), place.at("archives").join(name)).unwrap();
            }
            place
        }

        fn at(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        /// Starts with the archives as they lie in the directory `archives`.
        fn start(&self, names: &[&str]) -> Ahead {
            Ahead::start(self.compressed(names), &self.at("archives"), &self.at("unfinished")).unwrap()
        }

        fn compressed(&self, names: &[&str]) -> Vec<Compressed> {
            let archive = |name: &&str| Compressed { path: self.at(name), name: (*name).to_owned() };
            names.iter().map(archive).collect()
        }
    }

    #[test]
    fn an_archive_becomes_a_decompressed_one_where_it_is_seen_and_nowhere_else() {
        let data = b"data ".repeat(10_000);
        let was = deb(".xz", &data);
        let place = Place::new(&[("a.deb", was.clone()), ("b.deb", deb(".gz", &data))]);
        let ahead = place.start(&["b.deb", "a.deb"]);
        ["a.deb", "b.deb", "none.deb"].iter().for_each(|name| ahead.wait(name));
        assert!(fs::read(place.at("a.deb")).unwrap() == was);
        let now = fs::read(place.at("archives/a.deb")).unwrap();
        assert!(now.len() > data.len());
        let mut read = Vec::new();
        debian::deb::open(&now[..]).unwrap().data().unwrap().read_to_end(&mut read).unwrap();
        assert!(read == data);
        assert!(fs::read(place.at("archives/b.deb")).unwrap() == deb(".gz", &data));
        assert_eq!(fs::read_dir(place.at("unfinished")).unwrap().count(), 0);
    }

    #[test]
    fn the_directory_may_be_elsewhere_by_then() {
        let place = Place::new(&[("a.deb", deb(".xz", &b"data ".repeat(10_000)))]);
        let directory = File::open(place.at("archives")).unwrap();
        fs::rename(place.at("archives"), place.at("root")).unwrap();
        fs::create_dir(place.at("unfinished")).unwrap();
        Work::new(place.compressed(&["a.deb"]), place.at("unfinished"), directory.into()).run();
        assert!(fs::read(place.at("root/a.deb")).unwrap().len() > 50_000);
    }

    #[test]
    fn what_is_broken_or_comes_too_late_stays_as_it_came() {
        let whole = deb(".xz", &b"data ".repeat(10_000));
        let cut = whole[..whole.len() - 20].to_vec();
        let place = Place::new(&[("whole.deb", whole.clone()), ("cut.deb", cut.clone())]);
        place.start(&["cut.deb"]).wait("cut.deb");
        let directory = File::open(place.at("archives")).unwrap();
        let work = Work::new(place.compressed(&["whole.deb"]), place.at("unfinished"), directory.into());
        work.is_over.store(true, Ordering::Relaxed);
        work.run();
        assert!(fs::read(place.at("archives/cut.deb")).unwrap() == cut);
        assert!(fs::read(place.at("archives/whole.deb")).unwrap() == whole);
    }
}
