//! A blob that is read while it comes.
//!
//! What is read so is not verified: it counts only once the blob is kept.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::{BlobWriter, Error, Store};
use crate::digest::Digest;

/// A blob that somebody brings. When this goes, no more of it comes.
#[derive(Default)]
pub struct Growth(Growing);

/// What of it is there. Cheap to clone.
#[derive(Clone, Default)]
pub struct Growing(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    grew: Condvar,
}

#[derive(Default)]
struct State {
    /// The file that is being written; another one when it is begun again.
    file: Option<Arc<File>>,
    n_bytes: u64,
    end: Option<End>,
}

#[derive(Clone, Copy)]
enum End {
    Kept,
    Broken,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self, end: End) {
        self.state().end.get_or_insert(end);
        self.grew.notify_all();
    }
}

impl Growth {
    /// Starts to write the blob, maybe once more.
    ///
    /// # Errors
    /// When no file can be made.
    pub fn writer(&self, store: &Store) -> Result<BlobWriter, Error> {
        let (writer, file) = BlobWriter::watched(store, self.growing())?;
        let mut state = self.0.0.state();
        (state.file, state.n_bytes) = (Some(Arc::new(file)), 0);
        Ok(writer)
    }

    /// Says that the store has all of it.
    pub fn finish(self) {
        self.0.0.end(End::Kept);
    }

    /// Returns what can be read.
    pub fn growing(&self) -> Growing {
        self.0.clone()
    }
}

impl Drop for Growth {
    fn drop(&mut self) {
        self.0.0.end(End::Broken);
    }
}

impl Growing {
    pub(super) fn grow(&self, n_bytes: usize) {
        self.0.state().n_bytes += n_bytes as u64;
        self.0.grew.notify_all();
    }

    /// Reads the blob from its beginning, on a thread that may wait for the rest.
    pub fn reader(&self, store: &Store, digest: &Digest) -> impl Read + Send + use<> {
        Reader { growing: self.clone(), store: store.clone(), digest: *digest, n_read: 0 }
    }
}

struct Reader {
    growing: Growing,
    store: Store,
    digest: Digest,
    n_read: u64,
}

impl Reader {
    /// Waits for bytes that weren't read yet; returns the file that has them, and how many there are: none at the end.
    fn wait(&self) -> io::Result<(Arc<File>, u64)> {
        let shared = &self.growing.0;
        let mut state = shared.state();
        loop {
            match (&state.file, state.end) {
                (Some(file), _) if state.n_bytes > self.n_read => {
                    return Ok((file.clone(), state.n_bytes - self.n_read));
                }
                (Some(file), Some(End::Kept)) => return Ok((file.clone(), 0)),
                // Somebody else had brought it.
                (None, Some(End::Kept)) => break,
                (_, Some(End::Broken)) => return Err(io::Error::other("the download broke off")),
                (_, None) => state = shared.grew.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        }
        drop(state);
        Ok((Arc::new(self.store.open_blob(&self.digest).map_err(io::Error::other)?), u64::MAX))
    }
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let (file, n_bytes) = self.wait()?;
        let n_bytes = buffer.len().min(usize::try_from(n_bytes).unwrap_or(usize::MAX));
        let n_read = file.read_at(&mut buffer[..n_bytes], self.n_read)?;
        self.n_read += n_read as u64;
        Ok(n_read)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::thread;

    use super::*;

    struct Place {
        _directory: tempfile::TempDir,
        store: Store,
    }

    impl Place {
        fn new() -> Place {
            let directory = tempfile::tempdir().unwrap();
            let store = Store::open(directory.path()).unwrap();
            Place { _directory: directory, store }
        }

        /// Reads all of a blob on another thread while `bring` brings it.
        fn read_while(&self, blob: &[u8], bring: impl FnOnce(Growth)) -> io::Result<Vec<u8>> {
            let growth = Growth::default();
            let mut reader = growth.growing().reader(&self.store, &Digest::of(blob));
            let reading = thread::spawn(move || {
                let mut all = Vec::new();
                reader.read_to_end(&mut all).map(|_| all)
            });
            bring(growth);
            reading.join().unwrap()
        }

        fn keep(&self, growth: Growth, pieces: &[&[u8]]) {
            let mut writer = growth.writer(&self.store).unwrap();
            pieces.iter().for_each(|piece| writer.write_all(piece).unwrap());
            writer.commit().unwrap();
            growth.finish();
        }
    }

    #[test]
    fn what_came_is_read_before_the_rest_is_there() {
        let place = Place::new();
        let growth = Growth::default();
        let mut reader = growth.growing().reader(&place.store, &Digest::of("first second"));
        let mut writer = growth.writer(&place.store).unwrap();
        writer.write_all(b"first ").unwrap();
        let mut first = [0; 6];
        reader.read_exact(&mut first).unwrap();
        assert_eq!(&first, b"first ");
        writer.write_all(b"second").unwrap();
        writer.commit().unwrap();
        growth.finish();
        let mut rest = String::new();
        reader.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "second");
    }

    #[test]
    fn a_download_that_is_begun_again_goes_on_for_its_reader() {
        let place = Place::new();
        let read = place.read_while(b"first second", |growth| {
            let mut broken = growth.writer(&place.store).unwrap();
            broken.write_all(b"first s").unwrap();
            drop(broken);
            place.keep(growth, &[b"first ", b"second"]);
        });
        assert_eq!(read.unwrap(), b"first second");
    }

    #[test]
    fn one_that_breaks_off_is_an_error_and_no_end() {
        let place = Place::new();
        let read = place.read_while(b"first second", |growth| {
            growth.writer(&place.store).unwrap().write_all(b"first ").unwrap();
        });
        assert!(read.unwrap_err().to_string().contains("broke off"));
    }

    #[test]
    fn one_that_was_there_already_is_read_from_its_place() {
        let place = Place::new();
        place.store.put_blob(b"there").unwrap();
        assert_eq!(place.read_while(b"there", Growth::finish).unwrap(), b"there");
    }
}
