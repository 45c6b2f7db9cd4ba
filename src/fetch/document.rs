//! Small documents over HTTP, with what is needed to ask whether they have changed.

use serde::{Deserialize, Serialize};

use super::Error;
use crate::digest::Digest;
use crate::redact;
use crate::store::Store;
use crate::transport::{Client, Response};

const RECORD: &str = "http";
/// A proxy on the way must not answer with an index of yesterday beside packages of today.
const FRESH: (&str, &str) = ("cache-control", "max-age=0");

/// What the server said of a document; kept as one line of JSON, with the document after it.
#[derive(Default, Serialize, Deserialize)]
struct Kept {
    etag: Option<String>,
    last_modified: Option<String>,
}

/// Returns the document at `url`: the kept one where the server says that it has not changed.
pub(super) async fn get(client: &Client, store: &Store, url: &str, limit: u64) -> Result<Vec<u8>, Error> {
    let key = Digest::of(without_credentials(url));
    let kept = store.record(RECORD, &key).and_then(|record| read_record(&record, limit));
    let mut headers = kept.as_ref().map(|(kept, _)| conditions(kept)).unwrap_or_default();
    headers.push(FRESH);
    let response = client.get(url, &headers).await?;
    if response.status() == 304 {
        return kept.map(|(_, document)| document).ok_or_else(|| unasked(url));
    }
    let said = Kept {
        etag: response.header("etag").map(str::to_owned),
        last_modified: response.header("last-modified").map(str::to_owned),
    };
    let document = read(client, response, url, limit).await?;
    store.set_record(RECORD, &key, &record(&said, &document))?;
    Ok(document)
}

/// Not even a digest of a password is kept.
fn without_credentials(url: &str) -> String {
    let Ok(mut url) = url::Url::parse(url) else { return redact::url(url) };
    // An address without a host has no place for them.
    let _ = (url.set_username(""), url.set_password(None));
    url.into()
}

fn conditions(kept: &Kept) -> Vec<(&str, &str)> {
    let etag = kept.etag.as_deref().map(|etag| ("if-none-match", etag));
    let date = kept.last_modified.as_deref().map(|date| ("if-modified-since", date));
    etag.into_iter().chain(date).collect()
}

fn read_record(record: &[u8], limit: u64) -> Option<(Kept, Vec<u8>)> {
    let line_end = record.iter().position(|&byte| byte == b'\n')?;
    let kept = serde_json::from_slice(&record[..line_end]).ok()?;
    let document = &record[line_end + 1..];
    (document.len() as u64 <= limit).then(|| (kept, document.to_vec()))
}

fn record(said: &Kept, document: &[u8]) -> Vec<u8> {
    let mut record = serde_json::to_vec(said).expect("two optional texts are always JSON");
    record.push(b'\n');
    record.extend_from_slice(document);
    record
}

fn unasked(url: &str) -> Error {
    Error::Unavailable {
        name: redact::url(url),
        reason: "the server says 304, but nothing was kept".to_owned(),
    }
}

/// A body that breaks off is asked for again.
async fn read(client: &Client, first: Response, url: &str, limit: u64) -> Result<Vec<u8>, Error> {
    let mut response = first;
    let mut n_done = 0;
    loop {
        let error = match read_once(response, url, limit).await {
            Ok(document) => return Ok(document),
            Err(error) => error,
        };
        n_done += 1;
        if n_done >= client.retry().n_tries || !may_pass(&error) {
            return Err(error);
        }
        client.retry().pause(n_done).await;
        response = client.get(url, &[FRESH]).await?;
    }
}

/// Whether the body broke off, rather than being wrong.
pub(super) fn may_pass(error: &Error) -> bool {
    match error {
        Error::Transport(error) => error.may_pass(),
        Error::NotFound { .. }
        | Error::Unavailable { .. }
        | Error::Mismatch { .. }
        | Error::TooLong { .. }
        | Error::Unreadable { .. }
        | Error::Store(_) => false,
    }
}

async fn read_once(mut response: Response, url: &str, limit: u64) -> Result<Vec<u8>, Error> {
    let too_long = || Error::TooLong { name: redact::url(url), limit };
    if response.content_length().is_some_and(|length| length > limit) {
        return Err(too_long());
    }
    let mut document = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if (document.len() + chunk.len()) as u64 > limit {
            return Err(too_long());
        }
        document.extend_from_slice(&chunk);
    }
    Ok(document)
}
