//! A blob as it comes, piece by piece: where a connection breaks, the next one goes on from there.
//!
//! What is handed out can't be taken back, so a blob that turns out to be another one is told at its end.

use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use reqwest::{Method, StatusCode, header};

use super::auth::Scope;
use super::body::{Meter, PIECE};
use super::door::Ask;
use super::layout::open_regular;
use super::remote::Remote;
use super::wire::Response;
use super::{Error, Place, Reason, Registry, Result};
use crate::digest::Hasher;
use crate::oci::Descriptor;
use crate::progress::Task;

/// How often a blob's connection may break, however much came over each.
const MAX_BREAKS: u32 = 1000;

/// A blob as it comes.
pub struct Incoming<'t> {
    name: String,
    blob: Descriptor,
    origin: Origin,
    hasher: Hasher,
    meter: Meter<'t>,
    n_breaks: u32,
}

enum Origin {
    Remote {
        remote: Arc<Remote>,
        response: Option<Response>,
    },
    File(std::fs::File),
    /// All of it came.
    Done,
    Failed(Option<Reason>),
}

impl Registry {
    /// Begins to read a blob; the bytes to come are told to `task`.
    pub fn stream_blob<'t>(&self, blob: &Descriptor, task: &'t Task) -> Incoming<'t> {
        let origin = match &self.place {
            Place::Remote(remote) => Origin::Remote { remote: remote.clone(), response: None },
            Place::Layout(layout) => match open_regular(&layout.blob_path(&blob.digest)) {
                Ok(Some(file)) => Origin::File(file),
                Ok(None) => Origin::Failed(Some(Reason::Missing)),
                Err(reason) => Origin::Failed(Some(reason)),
            },
        };
        Incoming {
            name: self.named(&blob.digest.to_string()),
            blob: blob.clone(),
            origin,
            hasher: Hasher::new(),
            meter: Meter::start(Some(task), blob.size),
            n_breaks: 0,
        }
    }
}

impl Incoming<'_> {
    /// Returns the next bytes; none when all have come and are the blob.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        let next = self.next_piece().await;
        if next.is_err() {
            self.origin = Origin::Failed(None);
        }
        next.map_err(Error::of("pull", self.name.clone()))
    }

    async fn next_piece(&mut self) -> Result<Option<Bytes>, Reason> {
        let piece = match &mut self.origin {
            Origin::Remote { .. } => self.remote_piece().await?,
            Origin::File(file) => {
                let mut piece = Vec::with_capacity(PIECE);
                let read = file.take(PIECE as u64).read_to_end(&mut piece);
                read.map_err(Reason::io("read", Path::new(&self.name)))?;
                Bytes::from(piece)
            }
            Origin::Done => return Ok(None),
            Origin::Failed(reason) => {
                return Err(reason.take().unwrap_or_else(|| Reason::Unexpected("it failed before".into())));
            }
        };
        if piece.is_empty() {
            return self.end().map(|()| None);
        }
        self.meter.moved(piece.len() as u64);
        self.meter.check_not_beyond(self.blob.size)?;
        self.hasher.update(&piece);
        Ok(Some(piece))
    }

    fn end(&mut self) -> Result<(), Reason> {
        self.meter.check_reached(self.blob.size)?;
        self.origin = Origin::Done;
        match std::mem::take(&mut self.hasher).finish().0 {
            digest if digest == self.blob.digest => Ok(()),
            digest => Err(Reason::mismatch(&self.blob.digest, &digest, "the blob")),
        }
    }

    /// Returns the next bytes of a remote blob, empty at its end, over as many connections as it takes.
    async fn remote_piece(&mut self) -> Result<Bytes, Reason> {
        let Origin::Remote { remote, response } = &mut self.origin else { return Ok(Bytes::new()) };
        let (n_came, size) = (self.meter.n_moved(), self.blob.size);
        let mut attempts = remote.door.attempts();
        loop {
            let reason = match piece(remote, response, &self.blob, n_came).await {
                Ok(piece) if piece.is_empty() && n_came < size => {
                    Reason::Truncated { expected: size, got: n_came }
                }
                Ok(piece) => return Ok(piece),
                Err(reason) => reason,
            };
            *response = None;
            self.n_breaks += 1;
            if self.n_breaks > MAX_BREAKS || !attempts.another(&reason).await {
                return Err(reason);
            }
        }
    }
}

async fn piece(
    remote: &Remote,
    response: &mut Option<Response>,
    blob: &Descriptor,
    n_came: u64,
) -> Result<Bytes, Reason> {
    if n_came == blob.size && response.is_none() {
        return Ok(Bytes::new());
    }
    let mut open = match response.take() {
        Some(open) => open,
        None => open_at(remote, blob, n_came).await?,
    };
    let piece = open.chunk().await?;
    *response = Some(open);
    Ok(piece.unwrap_or_default())
}

/// Asks for a blob from `offset` on. A registry that sends all of it is listened to until it gets there.
async fn open_at(remote: &Remote, blob: &Descriptor, offset: u64) -> Result<Response, Reason> {
    let mut ask = Ask::new(Method::GET, remote.blob(&blob.digest), Scope::Pull);
    if offset > 0 {
        ask = ask.header(header::RANGE, &format!("bytes={offset}-"));
    }
    let mut response = remote.door.request_once(&ask).await?;
    let mut n_left = match response.status() {
        StatusCode::PARTIAL_CONTENT if begins_at(&response, offset) => 0,
        StatusCode::PARTIAL_CONTENT => {
            return Err(Reason::Unexpected("the registry sent another part of the blob".into()));
        }
        _ => offset,
    };
    while n_left > 0 {
        let Some(mut piece) = response.chunk().await? else {
            return Err(Reason::Truncated { expected: blob.size, got: offset - n_left });
        };
        let n_known = n_left.min(piece.len() as u64);
        n_left -= n_known;
        let rest = piece.split_off(usize::try_from(n_known).unwrap_or(piece.len()));
        if !rest.is_empty() {
            response.put_back(rest);
        }
    }
    Ok(response)
}

fn begins_at(response: &Response, offset: u64) -> bool {
    let range = response.header(&header::CONTENT_RANGE);
    range.is_some_and(|range| range.starts_with(&format!("bytes {offset}-")))
}
