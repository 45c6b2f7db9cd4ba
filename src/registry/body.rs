//! The bytes of a blob on their way into a request, and how many have gone.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use reqwest::Body;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncSeekExt};
use tokio::sync::mpsc::{self, error::SendTimeoutError};

use super::door::Ask;
use super::remote::Remote;
use super::wire::{Response, silent};
use super::{Reason, Section};
use crate::progress::Task;

/// How large the pieces are that are read and sent, in bytes.
pub(super) const PIECE: usize = 256 << 10;

/// How many pieces may be read and not yet sent.
const N_PIECES: usize = 2;

/// Where a blob's bytes come from.
pub(super) enum Source {
    File(PathBuf),
    Bytes(Bytes),
    /// In a file that anybody may have written.
    Section(Section),
}

impl From<Section> for Source {
    fn from(section: Section) -> Source {
        Source::Section(section)
    }
}

impl From<PathBuf> for Source {
    fn from(path: PathBuf) -> Source {
        Source::File(path)
    }
}

impl From<Bytes> for Source {
    fn from(bytes: Bytes) -> Source {
        Source::Bytes(bytes)
    }
}

impl From<Vec<u8>> for Source {
    fn from(bytes: Vec<u8>) -> Source {
        Source::Bytes(bytes.into())
    }
}

impl Source {
    /// Whether there is something to send: who only hopes for a mount may not have the bytes.
    pub(super) fn is_there(&self) -> bool {
        match self {
            Source::File(path) => path.exists(),
            Source::Bytes(_) | Source::Section(_) => true,
        }
    }

    /// Returns the bytes that are in memory already.
    pub(super) fn bytes(&self) -> Option<Bytes> {
        match self {
            Source::Bytes(bytes) => Some(bytes.clone()),
            Source::File(_) | Source::Section(_) => None,
        }
    }

    /// Opens it for the bytes from `offset` on.
    async fn open(&self, offset: u64) -> Result<Box<dyn AsyncRead + Send + Unpin + '_>, Reason> {
        match self {
            Source::File(path) => Ok(Box::new(open_at(path, offset).await?)),
            Source::Section(section) => {
                let file = open_at(&section.path, section.offset.saturating_add(offset)).await?;
                Ok(Box::new(file.take(section.size.saturating_sub(offset))))
            }
            Source::Bytes(bytes) => {
                let offset = usize::try_from(offset).unwrap_or(usize::MAX);
                Ok(Box::new(bytes.get(offset..).unwrap_or_default()))
            }
        }
    }
}

async fn open_at(path: &Path, offset: u64) -> Result<tokio::fs::File, Reason> {
    let mut file = tokio::fs::File::open(path).await.map_err(Reason::io("open", path))?;
    file.seek(io::SeekFrom::Start(offset)).await.map_err(Reason::io("read", path))?;
    Ok(file)
}

impl Remote {
    /// Sends a request whose body are the bytes `range` of `source`.
    pub(super) async fn send(
        &self,
        ask: &Ask,
        source: &Source,
        range: Range<u64>,
        meter: &mut Meter<'_>,
    ) -> Result<Response, Reason> {
        let reader = source.open(range.start).await?.take(range.end - range.start);
        let (sender, receiver) = mpsc::channel(N_PIECES);
        let pieces = stream::unfold(receiver, async |mut receiver: mpsc::Receiver<_>| {
            receiver.recv().await.map(|piece| (piece, receiver))
        });
        // The answer may come before all pieces are taken; then nobody waits for the feeding to end.
        tokio::select! {
            response = self.door.request_streaming(ask, Body::wrap_stream(pieces)) => response,
            () = feed(reader, sender, meter, self.door.silence()) => Err(silent(ask.label())),
        }
    }
}

/// Hands the reader's pieces over as fast as they are taken; ends when nothing moved for `silence`.
async fn feed(
    mut reader: impl AsyncRead + Unpin,
    sender: mpsc::Sender<Result<Vec<u8>, io::Error>>,
    meter: &mut Meter<'_>,
    silence: Duration,
) {
    loop {
        let mut piece = Vec::with_capacity(PIECE);
        let read = (&mut reader).take(PIECE as u64).read_to_end(&mut piece).await;
        let n_bytes = piece.len() as u64;
        if n_bytes == 0 && read.is_ok() {
            break;
        }
        let is_over = read.is_err();
        match sender.send_timeout(read.map(|_| piece), silence).await {
            Ok(()) if !is_over => meter.moved(n_bytes),
            Err(SendTimeoutError::Timeout(_)) => return,
            Ok(()) | Err(SendTimeoutError::Closed(_)) => break,
        }
    }
    // All is handed over, or nobody wants it any more: now the answer has to come.
    drop(sender);
    tokio::time::sleep(silence).await;
}

/// Counts the bytes of one blob, and tells them once, however often they are sent.
pub(super) struct Meter<'a> {
    task: Option<&'a Task>,
    n_moved: u64,
    n_told: u64,
}

impl<'a> Meter<'a> {
    pub(super) fn start(task: Option<&'a Task>, n_bytes: u64) -> Meter<'a> {
        task.inspect(|task| task.expect(n_bytes));
        Meter { task, n_moved: 0, n_told: 0 }
    }

    /// Counts from `offset` on: what comes after it is sent, maybe again.
    pub(super) fn restart_at(&mut self, offset: u64) {
        self.n_moved = offset;
    }

    pub(super) fn n_moved(&self) -> u64 {
        self.n_moved
    }

    pub(super) fn moved(&mut self, n_bytes: u64) {
        self.n_moved += n_bytes;
        let n_new = self.n_moved.saturating_sub(self.n_told);
        self.n_told += n_new;
        self.task.inspect(|task| task.advance(n_new));
    }

    pub(super) fn check_not_beyond(&self, size: u64) -> Result<(), Reason> {
        match self.n_moved > size {
            true => Err(Reason::Unexpected(format!("expected {size} bytes, got more"))),
            false => Ok(()),
        }
    }

    pub(super) fn check_reached(&self, size: u64) -> Result<(), Reason> {
        match self.n_moved < size {
            true => Err(Reason::Truncated { expected: size, got: self.n_moved }),
            false => Ok(()),
        }
    }
}
