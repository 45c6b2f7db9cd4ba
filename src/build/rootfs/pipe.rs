//! A layer's bytes between who downloads them and who unpacks them: first in memory, then, as long as nobody unpacks that
//! layer yet, in a file.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;

/// How much of a layer is held in memory, in bytes.
const HELD: usize = 4 << 20;
/// How much is read of the file at once, in bytes.
const PIECE: u64 = 256 << 10;

/// Makes a pipe; its file, if it needs one, is a nameless one in `scratch`.
pub(super) fn pipe(scratch: &Path) -> (PipeWriter, PipeReader) {
    let pipe = Arc::new(Pipe {
        state: Mutex::default(),
        came: Condvar::new(),
        taken: Notify::new(),
        scratch: scratch.to_owned(),
    });
    (PipeWriter(pipe.clone()), PipeReader { pipe, current: Bytes::new() })
}

struct Pipe {
    state: Mutex<State>,
    came: Condvar,
    taken: Notify,
    scratch: PathBuf,
}

#[derive(Default)]
struct State {
    pieces: VecDeque<Piece>,
    n_held: usize,
    file: Option<File>,
    n_written: u64,
    n_read: u64,
    /// Whether somebody has begun to read.
    is_read: bool,
    is_unwanted: bool,
    end: Option<End>,
}

enum Piece {
    Held(Bytes),
    /// So many of the file's next bytes.
    InFile(u64),
}

#[derive(Clone, Copy)]
enum End {
    Whole,
    Broken,
}

impl Pipe {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where bytes go in. Dropped before its end, it breaks the pipe.
pub(super) struct PipeWriter(Arc<Pipe>);

impl PipeWriter {
    /// Puts `bytes` in; returns whether somebody still wants them.
    pub(super) async fn write(&self, bytes: Bytes) -> io::Result<bool> {
        loop {
            let taken = self.0.taken.notified();
            if let Some(is_wanted) = self.try_write(&bytes)? {
                return Ok(is_wanted);
            }
            taken.await;
        }
    }

    /// Returns nothing where it has to be tried again.
    fn try_write(&self, bytes: &Bytes) -> io::Result<Option<bool>> {
        let mut state = self.0.state();
        if state.is_unwanted {
            return Ok(Some(false));
        }
        if state.n_held + bytes.len() <= HELD || state.pieces.is_empty() {
            state.n_held += bytes.len();
            state.pieces.push_back(Piece::Held(bytes.clone()));
        } else if state.is_read {
            return Ok(None);
        } else {
            state.spool(bytes, &self.0.scratch)?;
        }
        self.0.came.notify_one();
        Ok(Some(true))
    }

    /// Whether somebody has begun to read.
    pub(super) fn was_read(&self) -> bool {
        self.0.state().is_read
    }

    /// Says that all bytes are in.
    pub(super) fn finish(self) {
        self.0.state().end = Some(End::Whole);
    }
}

impl Drop for PipeWriter {
    fn drop(&mut self) {
        self.0.state().end.get_or_insert(End::Broken);
        self.0.came.notify_one();
    }
}

impl State {
    fn spool(&mut self, bytes: &Bytes, scratch: &Path) -> io::Result<()> {
        if self.file.is_none() {
            self.file = Some(tempfile::tempfile_in(scratch)?);
        }
        let Some(file) = &self.file else { return Ok(()) };
        file.write_all_at(bytes, self.n_written)?;
        self.n_written += bytes.len() as u64;
        match self.pieces.back_mut() {
            Some(Piece::InFile(n_bytes)) => *n_bytes += bytes.len() as u64,
            Some(Piece::Held(_)) | None => self.pieces.push_back(Piece::InFile(bytes.len() as u64)),
        }
        Ok(())
    }

    fn unspool(&mut self, n_bytes: u64) -> io::Result<Bytes> {
        let n_now = n_bytes.min(PIECE);
        if n_now < n_bytes {
            self.pieces.push_front(Piece::InFile(n_bytes - n_now));
        }
        let mut piece = vec![0; usize::try_from(n_now).unwrap_or(0)];
        if let Some(file) = &self.file {
            file.read_exact_at(&mut piece, self.n_read)?;
        }
        self.n_read += n_now;
        Ok(piece.into())
    }
}

/// Where bytes come out, on a thread that may wait. Dropped, nobody wants them any longer.
pub(super) struct PipeReader {
    pipe: Arc<Pipe>,
    current: Bytes,
}

impl PipeReader {
    /// Returns the next bytes; none at the end.
    fn next(&self) -> io::Result<Bytes> {
        let mut state = self.pipe.state();
        state.is_read = true;
        loop {
            match state.pieces.pop_front() {
                Some(Piece::Held(bytes)) => {
                    state.n_held -= bytes.len();
                    self.pipe.taken.notify_one();
                    return Ok(bytes);
                }
                Some(Piece::InFile(n_bytes)) => {
                    let piece = state.unspool(n_bytes);
                    self.pipe.taken.notify_one();
                    return piece;
                }
                None => {}
            }
            match state.end {
                Some(End::Whole) => return Ok(Bytes::new()),
                Some(End::Broken) => return Err(io::Error::other("the download broke off")),
                None => state = self.pipe.came.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }
}

impl Read for PipeReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.current.is_empty() {
            self.current = self.next()?;
        }
        let n = buffer.len().min(self.current.len());
        buffer[..n].copy_from_slice(&self.current.split_to(n));
        Ok(n)
    }
}

impl Drop for PipeReader {
    fn drop(&mut self) {
        self.pipe.state().is_unwanted = true;
        self.pipe.taken.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(nth: u32) -> Bytes {
        Bytes::from(vec![nth as u8; 100_000 + nth as usize])
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn bytes_come_out_in_order_whether_they_were_held_or_in_the_file() {
        let scratch = tempfile::tempdir().unwrap();
        for n_before in [0, 10, 100, 200] {
            let (writer, mut reader) = pipe(scratch.path());
            for nth in 0..n_before {
                assert!(writer.write(piece(nth)).await.unwrap());
            }
            assert!(writer.0.state().n_held <= HELD);
            let reading = tokio::task::spawn_blocking(move || {
                let mut all = Vec::new();
                reader.read_to_end(&mut all).map(|_| all)
            });
            for nth in n_before..250 {
                assert!(writer.write(piece(nth)).await.unwrap());
            }
            writer.finish();
            let expected: Vec<u8> = (0..250).flat_map(piece).collect();
            assert!(reading.await.unwrap().unwrap() == expected);
        }
        assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_pipe_that_breaks_is_an_error_on_one_side_and_no_wish_on_the_other() {
        let scratch = tempfile::tempdir().unwrap();
        let (writer, mut reader) = pipe(scratch.path());
        assert!(writer.write(piece(1)).await.unwrap());
        drop(writer);
        let error = tokio::task::spawn_blocking(move || reader.read_to_end(&mut Vec::new())).await.unwrap();
        assert!(error.unwrap_err().to_string().contains("broke off"));
        let (writer, reader) = pipe(scratch.path());
        drop(reader);
        assert!(!writer.write(piece(1)).await.unwrap());
    }
}
