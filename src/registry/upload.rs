//! How a blob gets into a remote repository: found there, taken over from another one, or uploaded.
//!
//! An upload is one POST and one PUT whose body is streamed; whatever breaks it, it starts again
//! from the POST. Nothing is held in memory but a few pieces of the file.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use reqwest::header;
use reqwest::{Body, Method, StatusCode, Url};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::mpsc::{self, error::SendTimeoutError};

use super::auth::Scope;
use super::door::{Ask, Target};
use super::remote::Remote;
use super::wire::{Response, silent};
use super::{Pushed, Reason};
use crate::oci::Descriptor;
use crate::progress::Task;

/// How large the pieces are that are read and sent, in bytes.
pub(super) const PIECE: usize = 256 << 10;

/// How many pieces may be read and not yet sent.
const N_PIECES: usize = 2;

/// Where a blob's bytes come from.
pub(super) enum Source {
    File(PathBuf),
    Bytes(Bytes),
}

impl From<PathBuf> for Source {
    fn from(path: PathBuf) -> Source {
        Source::File(path)
    }
}

impl From<Vec<u8>> for Source {
    fn from(bytes: Vec<u8>) -> Source {
        Source::Bytes(bytes.into())
    }
}

/// What came of the wish to take a blob over.
enum Mount {
    Done,
    Upload(Url),
    Refused,
}

impl Remote {
    pub(super) async fn push_blob(
        &self,
        blob: &Descriptor,
        source: &Source,
        mount_from: Option<&str>,
        task: Option<&Task>,
    ) -> Result<Pushed, Reason> {
        if self.has_blob(&blob.digest).await? {
            return Ok(Pushed::Existed);
        }
        let mount = match mount_from {
            Some(from) => self.mount(blob, from).await?,
            None => Mount::Refused,
        };
        let session = match mount {
            Mount::Done => return Ok(Pushed::Mounted),
            Mount::Upload(session) => Some(session),
            Mount::Refused => None,
        };
        if !source.is_there() {
            self.give_up(session).await;
            return Err(Reason::Missing);
        }
        self.upload(blob, source, session, task).await.map(|()| Pushed::Uploaded)
    }

    /// Asks the registry to take a blob over from its repository `from`; that it doesn't is no error.
    async fn mount(&self, blob: &Descriptor, from: &str) -> Result<Mount, Reason> {
        let query = format!("?mount={}&from={from}", blob.digest);
        let ask = Ask::new(Method::POST, self.uploads(&query), Scope::Mount(from.to_owned()));
        match self.door.request(&ask).await {
            Ok(response) if response.status() == StatusCode::CREATED => Ok(Mount::Done),
            Ok(response) => response.location().map(Mount::Upload),
            // A read of `from` may be forbidden, or mounts unknown: then the bytes are sent.
            Err(Reason::Refused { .. }) => Ok(Mount::Refused),
            Err(Reason::Answered { status, .. }) if status.is_client_error() => Ok(Mount::Refused),
            Err(reason) => Err(reason),
        }
    }

    /// Ends an upload that nothing will be sent for; a registry that won't hear of it forgets it in time.
    async fn give_up(&self, session: Option<Url>) {
        if let Some(session) = session {
            let _ =
                self.door.request_once(&Ask::new(Method::DELETE, Target::Url(session), Scope::Push)).await;
        }
    }

    async fn upload(
        &self,
        blob: &Descriptor,
        source: &Source,
        mut session: Option<Url>,
        task: Option<&Task>,
    ) -> Result<(), Reason> {
        let mut meter = Meter::start(task, blob.size);
        let mut attempts = self.door.attempts();
        loop {
            meter.restart();
            match self.upload_once(blob, source, session.take(), &mut meter).await {
                Err(reason) if attempts.another(&reason).await => {}
                result => return result,
            }
        }
    }

    async fn upload_once(
        &self,
        blob: &Descriptor,
        source: &Source,
        session: Option<Url>,
        meter: &mut Meter<'_>,
    ) -> Result<(), Reason> {
        let mut session = match session {
            Some(session) => session,
            None => self.begin_upload().await?,
        };
        session.query_pairs_mut().append_pair("digest", &blob.digest.to_string());
        let ask = Ask::new(Method::PUT, Target::Url(session), Scope::Push)
            .header(header::CONTENT_TYPE, "application/octet-stream")
            .header(header::CONTENT_LENGTH, &blob.size.to_string());
        self.send_body(&ask, source, meter).await.map(|_| ())
    }

    async fn begin_upload(&self) -> Result<Url, Reason> {
        let ask = Ask::new(Method::POST, self.uploads(""), Scope::Push);
        self.door.request_once(&ask).await?.location()
    }

    async fn send_body(&self, ask: &Ask, source: &Source, meter: &mut Meter<'_>) -> Result<Response, Reason> {
        let reader = source.open().await?;
        let (sender, receiver) = mpsc::channel(N_PIECES);
        let pieces = stream::unfold(receiver, async |mut receiver: mpsc::Receiver<_>| {
            receiver.recv().await.map(|piece| (piece, receiver))
        });
        // The answer may come before all pieces are taken; then nobody waits for the feeding to end.
        tokio::select! {
            response = self.door.request_streaming(ask, Body::wrap_stream(pieces)) => response,
            () = feed(reader, sender, meter, self.door.silence()) => Err(silent("the upload".into())),
        }
    }

    fn uploads(&self, query: &str) -> Target {
        Target::Path(format!("v2/{}/blobs/uploads/{query}", self.repository))
    }
}

impl Source {
    /// Whether there is something to send: who only hopes for a mount may not have the bytes.
    fn is_there(&self) -> bool {
        match self {
            Source::File(path) => path.exists(),
            Source::Bytes(_) => true,
        }
    }

    async fn open(&self) -> Result<Box<dyn AsyncRead + Send + Unpin + '_>, Reason> {
        match self {
            Source::File(path) => {
                let file = tokio::fs::File::open(path).await.map_err(Reason::io("open", path))?;
                Ok(Box::new(file))
            }
            Source::Bytes(bytes) => Ok(Box::new(bytes.as_ref())),
        }
    }
}

/// Hands the reader's pieces over as fast as they are taken; ends when nothing moved for `silence`.
async fn feed(
    mut reader: Box<dyn AsyncRead + Send + Unpin + '_>,
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

    pub(super) fn restart(&mut self) {
        self.n_moved = 0;
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
