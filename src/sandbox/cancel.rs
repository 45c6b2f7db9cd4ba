//! Stopping runs from another thread.

use std::io::{self, PipeReader, PipeWriter, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Stops the runs it was given to. Cheap to clone. Not to be used in a signal handler itself, but in a thread that
/// waits for signals.
#[derive(Clone, Debug)]
pub struct Cancel {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    is_cancelled: AtomicBool,
    /// Becomes readable, and stays so: nobody reads it.
    reader: PipeReader,
    writer: PipeWriter,
}

impl Cancel {
    /// Returns one that has stopped nothing yet.
    pub fn new() -> io::Result<Cancel> {
        let (reader, writer) = io::pipe()?;
        Ok(Cancel { shared: Arc::new(Shared { is_cancelled: AtomicBool::new(false), reader, writer }) })
    }

    /// Kills the runs under way, and lets none start any more.
    pub fn cancel(&self) {
        if !self.shared.is_cancelled.swap(true, Ordering::SeqCst) {
            // One byte always fits into an empty pipe whose reader lives as long as its writer.
            let _ = (&self.shared.writer).write_all(b"x");
        }
    }

    /// Whether [`Cancel::cancel`] was called.
    pub fn is_cancelled(&self) -> bool {
        self.shared.is_cancelled.load(Ordering::SeqCst)
    }

    /// Returns what becomes readable on [`Cancel::cancel`].
    pub(super) fn signal(&self) -> BorrowedFd<'_> {
        self.shared.reader.as_fd()
    }
}
