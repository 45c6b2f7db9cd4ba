//! Archives of packages, decompressed ahead of dpkg: while it unpacks one package and runs scripts, another processor reads
//! the data of the next ones, and then compresses the large files in them for the layer. dpkg waits for nothing: an archive
//! whose turn hasn't come is there as it came, and what is wrong with one is for dpkg to say. The layer doesn't wait either:
//! what isn't compressed by then is compressed in its turn.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::num::NonZeroUsize;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use rustix::fs::{CWD, renameat};
use rustix::process::setpriority_process;

use crate::debian;
use crate::layer::{Ready, Root};

/// How many bytes may lie there decompressed; packages beyond stay as they came.
const ROOM: u64 = 2 << 30;
/// How many archives are read at once: each takes memory, and dpkg needs a processor, too.
const MOST_THREADS: usize = 2;
/// How much less than others, as in `nice`, whoever compresses ahead needs a processor.
const PATIENCE: i32 = 10;

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
    /// in `directory` when it is whole. Then what is in them is made `ready` for a layer.
    pub(super) fn start(
        archives: Vec<Compressed>,
        directory: &Path,
        workshop: &Path,
        ready: Option<Arc<Ready>>,
    ) -> io::Result<Ahead> {
        fs::create_dir(workshop)?;
        let work = Arc::new(Work::new(archives, workshop.to_owned(), directory, ready)?);
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
        let place = self.work.archives.iter().position(|archive| archive.name == name);
        place.into_iter().for_each(|place| self.work.wait(place));
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
    /// Where nothing can be mounted, it is moved into the root meanwhile.
    directory: OwnedFd,
    /// The same, to be read.
    seen: Root,
    /// What one of the threads makes ready.
    ready: Mutex<Option<Arc<Ready>>>,
    /// The place of the archive that is next.
    next: AtomicUsize,
    n_left: AtomicU64,
    is_over: AtomicBool,
    /// Of which archives it is known whether they are decompressed.
    settled: Mutex<Vec<bool>>,
    news: Condvar,
}

impl Work {
    fn new(
        archives: Vec<Compressed>,
        workshop: PathBuf,
        directory: &Path,
        ready: Option<Arc<Ready>>,
    ) -> io::Result<Work> {
        let (directory, seen) = (File::open(directory)?.into(), Root::open(directory)?);
        Ok(Work {
            settled: Mutex::new(vec![false; archives.len()]),
            archives,
            workshop,
            directory,
            seen,
            ready: Mutex::new(ready),
            next: AtomicUsize::new(0),
            n_left: AtomicU64::new(ROOM),
            is_over: AtomicBool::new(false),
            news: Condvar::new(),
        })
    }

    /// What isn't done here, dpkg does, or whoever writes the layer.
    fn run(&self) {
        self.decompress_all();
        let ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner).take();
        ready.iter().for_each(|ready| self.compress_all(ready));
    }

    fn decompress_all(&self) {
        loop {
            let place = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(archive) = self.archives.get(place) else { return };
            let _turn = Turn { work: self, place };
            if !self.is_over() && self.decompress(archive, place).is_err() {
                self.is_over.store(true, Ordering::Relaxed);
            }
        }
    }

    /// What is wrong with one archive doesn't matter to the next.
    fn compress_all(&self, ready: &Ready) {
        // A thread that may not be patient is as good.
        let _ = setpriority_process(None, PATIENCE);
        for (place, archive) in self.archives.iter().enumerate() {
            self.wait(place);
            if self.is_over() {
                return;
            }
            let _ = self.compress(archive, ready);
        }
    }

    fn compress(&self, archive: &Compressed, ready: &Ready) -> anyhow::Result<()> {
        let Some(file) = self.seen.open_file(&archive.name)? else { return Ok(()) };
        let deb = debian::deb::open(BufReader::with_capacity(1 << 17, Timely { file, work: self }))?;
        Ok(ready.prepare(deb.data()?)?)
    }

    /// Waits until the archive at that place is decompressed, or will not be.
    fn wait(&self, place: usize) {
        let is_open = |settled: &mut Vec<bool>| !settled.get(place).is_none_or(|&is_settled| is_settled);
        let settled = self.settled.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.news.wait_while(settled, is_open));
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
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

/// A file that is read until all is over.
struct Timely<'a> {
    file: File,
    work: &'a Work,
}

impl Read for Timely<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.work.is_over() {
            true => Err(io::Error::other("there is no time")),
            false => self.file.read(buffer),
        }
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
        if !has_room || self.work.is_over() {
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
    use crate::layer::{self, LayerWriter};

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
            self.start_for(names, None)
        }

        fn start_for(&self, names: &[&str], ready: Option<Arc<Ready>>) -> Ahead {
            let places = (&self.at("archives"), &self.at("unfinished"));
            Ahead::start(self.compressed(names), places.0, places.1, ready).unwrap()
        }

        fn work(&self, names: &[&str], directory: &Path) -> Work {
            Work::new(self.compressed(names), self.at("unfinished"), directory, None).unwrap()
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
        let work = place.work(&["a.deb"], &place.at("archives"));
        fs::rename(place.at("archives"), place.at("root")).unwrap();
        fs::create_dir(place.at("unfinished")).unwrap();
        work.run();
        assert!(fs::read(place.at("root/a.deb")).unwrap().len() > 50_000);
    }

    #[test]
    fn what_is_broken_or_comes_too_late_stays_as_it_came() {
        let whole = deb(".xz", &b"data ".repeat(10_000));
        let cut = whole[..whole.len() - 20].to_vec();
        let place = Place::new(&[("whole.deb", whole.clone()), ("cut.deb", cut.clone())]);
        place.start(&["cut.deb"]).wait("cut.deb");
        let work = place.work(&["whole.deb"], &place.at("archives"));
        work.is_over.store(true, Ordering::Relaxed);
        work.run();
        assert!(fs::read(place.at("archives/cut.deb")).unwrap() == cut);
        assert!(fs::read(place.at("archives/whole.deb")).unwrap() == whole);
    }

    /// The data of a package with one file.
    fn data(content: &[u8]) -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        tar.append_data(&mut header, "./usr/lib/large", content).unwrap();
        tar.into_inner().unwrap()
    }

    #[test]
    fn large_files_are_compressed_as_soon_as_all_is_decompressed() {
        let contents = [b'a', b'b', b'c'].map(|byte| vec![byte; 300_000]);
        let [a, b, c] = [0, 1, 2].map(|n| data(&contents[n]));
        let broken = deb(".xz", &b"no archive".repeat(100_000));
        let archives = [deb(".xz", &a), broken, deb(".gz", &b), deb(".zst", &c)];
        let names = ["a.deb", "broken.deb", "b.deb", "c.deb"];
        let place = Place::new(&std::array::from_fn::<_, 4, _>(|n| (names[n], archives[n].clone())));
        let state = tempfile::tempdir().unwrap();
        let store = crate::store::Store::open(state.path()).unwrap();
        let options = layer::Options { epoch: 0, threads: 1, compression: layer::Compression::default() };
        let mut writer = LayerWriter::new(store.blob_writer().unwrap(), options).unwrap();
        let ready = writer.ready().unwrap().unwrap();
        let mut ahead = place.start_for(&names, Some(ready.clone()));
        // Nobody says that it is over.
        ahead.threads.drain(..).for_each(|thread| thread.join().unwrap());
        assert!(contents.iter().all(|content| ready.has(content)));
    }
}
