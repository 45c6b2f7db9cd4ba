//! A blob sent in chunks (OCI distribution specification, "Pushing a blob in chunks").
//!
//! Whatever breaks a chunk, the registry is asked how far it got, and the next one begins there. A
//! registry that has forgotten the upload gets it from the beginning.

use reqwest::header::{self, HeaderName};
use reqwest::{Method, StatusCode, Url};

use super::Reason;
use super::auth::Scope;
use super::body::{Meter, Source};
use super::door::{Ask, Target};
use super::remote::Remote;
use super::upload::finishing;
use super::wire::Response;
use crate::oci::Descriptor;

/// How large a chunk is, in bytes, unless the registry wants larger ones: all that can be looked at take as much.
pub(super) const CHUNK: u64 = 4 << 20;

/// The largest chunk that a registry may want, in bytes.
const LARGEST_CHUNK: u64 = 1 << 30;

const CHUNK_MIN_LENGTH: HeaderName = HeaderName::from_static("oci-chunk-min-length");

/// An upload under way.
struct Upload {
    session: Url,
    /// How many bytes the registry has.
    offset: u64,
}

impl Remote {
    pub(super) async fn upload_in_chunks(
        &self,
        blob: &Descriptor,
        source: &Source,
        begun: Option<Url>,
        meter: &mut Meter<'_>,
    ) -> Result<(), Reason> {
        let (session, chunk) = match begun {
            Some(session) => (session, CHUNK),
            None => self.begin_chunks().await?,
        };
        let mut upload = Upload { session, offset: 0 };
        while upload.offset < blob.size {
            let end = (upload.offset + chunk).min(blob.size);
            upload = self.send_chunk(upload, end, source, meter).await?;
        }
        let finished = self.door.request(&finishing(upload.session, blob)).await;
        finished.map(|_| ()).map_err(or_forgotten)
    }

    async fn begin_chunks(&self) -> Result<(Url, u64), Reason> {
        let response = self.begin().await?;
        let wanted = response.header(&CHUNK_MIN_LENGTH).and_then(|text| text.parse().ok());
        Ok((response.location()?, wanted.unwrap_or(0).clamp(CHUNK, LARGEST_CHUNK)))
    }

    /// Sends the bytes up to `end`; where that breaks, what of them isn't there yet, again.
    async fn send_chunk(
        &self,
        mut upload: Upload,
        end: u64,
        source: &Source,
        meter: &mut Meter<'_>,
    ) -> Result<Upload, Reason> {
        let mut attempts = self.door.attempts();
        loop {
            meter.restart_at(upload.offset);
            let reason = match self.send_chunk_once(&upload, end, source, meter).await {
                Ok(sent) => return Ok(sent),
                Err(reason) => reason,
            };
            if !attempts.another(&reason).await {
                return Err(reason);
            }
            upload = self.ask_offset(&upload.session).await?;
            if upload.offset >= end {
                return Ok(upload);
            }
        }
    }

    async fn send_chunk_once(
        &self,
        upload: &Upload,
        end: u64,
        source: &Source,
        meter: &mut Meter<'_>,
    ) -> Result<Upload, Reason> {
        let range = upload.offset..end;
        let ask = Ask::new(Method::PATCH, Target::Url(upload.session.clone()), Scope::Push)
            .header(header::CONTENT_TYPE, "application/octet-stream")
            .header(header::CONTENT_LENGTH, &(end - upload.offset).to_string())
            .header(header::CONTENT_RANGE, &format!("{}-{}", upload.offset, end - 1));
        let response = self.send(&ask, source, range, meter).await.map_err(or_out_of_step)?;
        Ok(Upload { session: response.location()?, offset: end })
    }

    /// Asks the registry how far it got.
    async fn ask_offset(&self, session: &Url) -> Result<Upload, Reason> {
        let ask = Ask::new(Method::GET, Target::Url(session.clone()), Scope::Push);
        let response = self.door.request(&ask).await.map_err(or_forgotten)?;
        let session = response.location().unwrap_or_else(|_| session.clone());
        Ok(Upload { session, offset: received(&response) })
    }
}

/// Reads `0-LAST`; of nothing at all registries say `0-0`.
fn received(response: &Response) -> u64 {
    let last =
        response.header(&header::RANGE).and_then(|range| range.rsplit_once('-')?.1.parse::<u64>().ok());
    last.filter(|&last| last > 0).map_or(0, |last| last.saturating_add(1))
}

/// An upload that isn't there any more may have been finished, by a request whose answer got lost.
fn or_forgotten(reason: Reason) -> Reason {
    match reason.is_not_found() {
        true => Reason::Forgotten,
        false => reason,
    }
}

/// A chunk that doesn't begin where the registry has got to is sent again from there.
fn or_out_of_step(reason: Reason) -> Reason {
    match reason {
        Reason::Answered { status: StatusCode::RANGE_NOT_SATISFIABLE, request, .. } => {
            let cause = "the registry has got another part of the blob".into();
            Reason::Broken { request, cause, is_permanent: false }
        }
        reason => reason,
    }
}
