//! Archives of packages, decompressed ahead of dpkg: while it unpacks one package and runs scripts, another processor reads
//! the data of the next ones. dpkg waits for nothing: an archive whose turn hasn't come is there as it came, and what is
//! wrong with one is for dpkg to say.

use std::fs::{self, File};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use rustix::fs::{CWD, renameat};

use crate::debian;

/// How many bytes may lie there decompressed; packages beyond stay as they came.
const ROOM: u64 = 2 << 30;

/// An archive, and the name by which dpkg sees it.
pub(super) struct Compressed {
    /// Where it lies in the store.
    pub path: PathBuf,
    /// Its name in the directory of archives.
    pub name: String,
}

/// What decompresses archives, until the value goes.
pub(super) struct Ahead {
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Ahead {
    /// Starts to decompress archives, in their order, in the directory `workshop`, which is made. Each takes its own place
    /// in `directory` when it is whole.
    pub(super) fn start(archives: Vec<Compressed>, directory: &Path, workshop: &Path) -> io::Result<Ahead> {
        fs::create_dir(workshop)?;
        let place = workshop.join("archive");
        // Where nothing can be mounted, the directory is moved into the root meanwhile.
        let directory: OwnedFd = File::open(directory)?.into();
        let is_over = Arc::new(AtomicBool::new(false));
        let asked = is_over.clone();
        let thread = thread::Builder::new().name("xz".into()).spawn(move || {
            // What isn't done here, dpkg does.
            let _ = decompress(&archives, &place, &directory, &asked);
        })?;
        Ok(Ahead { is_over, thread: Some(thread) })
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn decompress(
    archives: &[Compressed],
    place: &Path,
    directory: &OwnedFd,
    is_over: &AtomicBool,
) -> io::Result<()> {
    let mut n_left = ROOM;
    for archive in archives {
        let file = Bounded { file: File::create_new(place)?, n_left, is_over };
        let mut writer = BufWriter::with_capacity(1 << 17, file);
        let is_plain = debian::deb::plain(File::open(&archive.path)?, &mut writer);
        if is_plain.map_err(io::Error::other)? {
            n_left = writer.get_ref().n_left;
            renameat(CWD, place, directory, &archive.name)?;
        } else {
            fs::remove_file(place)?;
        }
    }
    Ok(())
}

/// A file that takes so many bytes, and none when all is over.
struct Bounded<'a> {
    file: File,
    n_left: u64,
    is_over: &'a AtomicBool,
}

impl Write for Bounded<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n_left = self.n_left.checked_sub(bytes.len() as u64);
        match n_left.filter(|_| !self.is_over.load(Ordering::Relaxed)) {
            Some(n_left) => self.n_left = n_left,
            None => return Err(io::Error::other("there is no room, or no time")),
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

        fn open(&self) -> OwnedFd {
            File::open(self.at("archives")).unwrap().into()
        }

        fn decompress(&self, names: &[&str], directory: &OwnedFd, is_over: bool) -> io::Result<()> {
            let archive = |name: &&str| Compressed { path: self.at(name), name: (*name).to_owned() };
            let archives: Vec<Compressed> = names.iter().map(archive).collect();
            decompress(&archives, &self.at("unfinished"), directory, &AtomicBool::new(is_over))
        }
    }

    #[test]
    fn an_archive_becomes_a_decompressed_one_where_it_is_seen_and_nowhere_else() {
        let data = b"data ".repeat(10_000);
        let was = deb(".xz", &data);
        let place = Place::new(&[("a.deb", was.clone()), ("b.deb", deb(".gz", &data))]);
        let directory = place.open();
        fs::rename(place.at("archives"), place.at("root")).unwrap();
        place.decompress(&["b.deb", "a.deb"], &directory, false).unwrap();
        assert!(fs::read(place.at("a.deb")).unwrap() == was);
        let now = fs::read(place.at("root/a.deb")).unwrap();
        assert!(now.len() > data.len());
        let mut read = Vec::new();
        debian::deb::open(&now[..]).unwrap().data().unwrap().read_to_end(&mut read).unwrap();
        assert!(read == data);
        assert!(fs::read(place.at("root/b.deb")).unwrap() == deb(".gz", &data));
        assert!(!place.at("unfinished").exists());
    }

    #[test]
    fn what_is_broken_or_comes_too_late_stays_as_it_came() {
        let whole = deb(".xz", &b"data ".repeat(10_000));
        let cut = whole[..whole.len() - 20].to_vec();
        let place = Place::new(&[("whole.deb", whole.clone()), ("cut.deb", cut.clone())]);
        let directory = place.open();
        assert!(place.decompress(&["cut.deb"], &directory, false).is_err());
        fs::remove_file(place.at("unfinished")).unwrap();
        assert!(place.decompress(&["whole.deb"], &directory, true).is_err());
        assert!(fs::read(place.at("archives/cut.deb")).unwrap() == cut);
        assert!(fs::read(place.at("archives/whole.deb")).unwrap() == whole);
    }
}
