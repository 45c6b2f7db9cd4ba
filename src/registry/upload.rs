//! How a blob gets into a remote repository: found there, taken over from another one, or uploaded.
//!
//! An upload is one POST and one PUT whose body is streamed; what is small goes with the POST, where the
//! registry takes that. Where a registry, or what stands before it, doesn't take so much at once, or the
//! connection broke on the way, the blob goes in chunks (`chunks.rs`), which begin again where the registry
//! has got to. Nothing is held in memory but a few pieces of the file.

use std::sync::atomic::Ordering;

use reqwest::{Method, StatusCode, Url, header};

use super::auth::Scope;
use super::body::{Meter, Source};
use super::chunks::CHUNK;
use super::door::{Ask, Target};
use super::remote::Remote;
use super::wire::Response;
use super::{Pushed, Reason};
use crate::oci::Descriptor;
use crate::progress::Task;

/// How large a blob is at most that is sent with the first request, in bytes: who doesn't want it there has
/// to read it all the same.
const LARGEST_POST: u64 = 128 << 10;

/// How large a blob is at most that is sent without a look for it, in bytes.
const LARGEST_UNASKED: u64 = 1 << 20;

/// What came of the wish to take a blob over.
enum Mount {
    Done,
    Upload(Url),
    Refused,
}

/// What came of an upload's first request.
enum Posted {
    Taken,
    Session(Url),
}

/// How the bytes of a blob are sent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Whole,
    Chunks,
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
            Mount::Done => {
                self.seen.blob(&blob.digest);
                return Ok(Pushed::Mounted);
            }
            Mount::Upload(session) => Some(session),
            Mount::Refused => None,
        };
        if !source.is_there() {
            self.give_up(session).await;
            return Err(Reason::Missing);
        }
        if let Source::Section(section) = source
            && let Err(reason) = section.verify(blob).await
        {
            self.give_up(session).await;
            return Err(reason);
        }
        self.upload(blob, source, session, task).await?;
        self.seen.blob(&blob.digest);
        Ok(Pushed::Uploaded)
    }

    /// Sends a blob that is hardly there yet; only a large one is looked for first.
    pub(super) async fn push_new(&self, blob: &Descriptor, source: &Source) -> Result<Pushed, Reason> {
        if blob.size > LARGEST_UNASKED || self.seen.has_blob(&blob.digest) {
            return self.push_blob(blob, source, None, None).await;
        }
        self.upload(blob, source, None, None).await?;
        self.seen.blob(&blob.digest);
        Ok(Pushed::Uploaded)
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

    /// Sends a blob, one way or the other; either may be refused once, and both may break.
    async fn upload(
        &self,
        blob: &Descriptor,
        source: &Source,
        mut session: Option<Url>,
        task: Option<&Task>,
    ) -> Result<(), Reason> {
        let mut meter = Meter::start(task, blob.size);
        let mut attempts = self.door.attempts();
        let first_way = self.first_way(blob);
        let mut way = first_way;
        let mut is_other_way_open = true;
        loop {
            meter.restart_at(0);
            let sent = match way {
                Way::Whole => self.upload_whole(blob, source, session.take(), &mut meter).await,
                Way::Chunks => self.upload_in_chunks(blob, source, session.take(), &mut meter).await,
            };
            let Err(reason) = sent else { break };
            if is_other_way_open && is_refusal_of_the_way(&reason) {
                (way, is_other_way_open) = (way.other(), false);
            } else if way.may_begin_again(&reason) && attempts.another(&reason).await {
                if self.has_blob(&blob.digest).await? {
                    break;
                }
                // Who finds it too much may hang up before the answer that says so is read.
                if is_other_way_open && blob.size > CHUNK && matches!(reason, Reason::Broken { .. }) {
                    way = Way::Chunks;
                }
            } else {
                return Err(reason);
            }
        }
        if way != first_way {
            self.prefers_chunks.store(way == Way::Chunks, Ordering::Relaxed);
        }
        Ok(())
    }

    /// What is small is too much for nobody.
    fn first_way(&self, blob: &Descriptor) -> Way {
        match blob.size > LARGEST_POST && self.prefers_chunks.load(Ordering::Relaxed) {
            true => Way::Chunks,
            false => Way::Whole,
        }
    }

    async fn upload_whole(
        &self,
        blob: &Descriptor,
        source: &Source,
        session: Option<Url>,
        meter: &mut Meter<'_>,
    ) -> Result<(), Reason> {
        let session = match session {
            Some(session) => session,
            None => match self.post(blob, source).await? {
                Posted::Taken => return Ok(()),
                Posted::Session(session) => session,
            },
        };
        let ask = finishing(session, blob)
            .header(header::CONTENT_TYPE, "application/octet-stream")
            .header(header::CONTENT_LENGTH, &blob.size.to_string());
        self.send(&ask, source, 0..blob.size, meter).await.map(|_| ())
    }

    /// Begins an upload; of a small blob the bytes come along, which not every registry cares for.
    async fn post(&self, blob: &Descriptor, source: &Source) -> Result<Posted, Reason> {
        let Some(bytes) = source.bytes().filter(|_| blob.size <= LARGEST_POST && self.may_take_posts())
        else {
            return self.begin().await?.location().map(Posted::Session);
        };
        let ask = Ask::new(Method::POST, self.uploads(&format!("?digest={}", blob.digest)), Scope::Push)
            .header(header::CONTENT_TYPE, "application/octet-stream")
            .body(bytes);
        match self.door.request_once(&ask).await {
            Ok(response) if response.status() == StatusCode::CREATED => return Ok(Posted::Taken),
            Ok(response) => {
                self.takes_no_posts.store(true, Ordering::Relaxed);
                if let Ok(session) = response.location() {
                    return Ok(Posted::Session(session));
                }
            }
            // It is tried again as everybody does it.
            Err(reason) if reason.is_transient() => {}
            Err(reason) if is_refusal_of_the_way(&reason) => {
                self.takes_no_posts.store(true, Ordering::Relaxed);
            }
            Err(reason) => return Err(reason),
        }
        self.begin().await?.location().map(Posted::Session)
    }

    fn may_take_posts(&self) -> bool {
        !self.takes_no_posts.load(Ordering::Relaxed)
    }

    pub(super) async fn begin(&self) -> Result<Response, Reason> {
        self.door.request(&Ask::new(Method::POST, self.uploads(""), Scope::Push)).await
    }

    fn uploads(&self, query: &str) -> Target {
        Target::Path(format!("v2/{}/blobs/uploads/{query}", self.repository))
    }
}

impl Way {
    fn other(self) -> Way {
        match self {
            Way::Whole => Way::Chunks,
            Way::Chunks => Way::Whole,
        }
    }

    /// Chunks have been tried again one by one, unless the whole upload is gone.
    fn may_begin_again(self, reason: &Reason) -> bool {
        self == Way::Whole || matches!(reason, Reason::Forgotten)
    }
}

/// Returns the request that ends the upload of `blob`.
pub(super) fn finishing(mut session: Url, blob: &Descriptor) -> Ask {
    session.query_pairs_mut().append_pair("digest", &blob.digest.to_string());
    Ask::new(Method::PUT, Target::Url(session), Scope::Push)
}

/// Whether an answer like this may mean that the blob is to come another way.
fn is_refusal_of_the_way(reason: &Reason) -> bool {
    let Reason::Answered { status, .. } = reason else { return false };
    !reason.is_transient() && (status.is_client_error() || *status == StatusCode::NOT_IMPLEMENTED)
}
