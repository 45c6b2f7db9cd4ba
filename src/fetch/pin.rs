//! One thing of which nobody knows the digest yet, into the store: what comes is what it is.

use std::io::Write;

use super::document::may_pass;
use super::{Error, download};
use crate::digest::Digest;
use crate::progress::Task;
use crate::redact;
use crate::store::{self, Store};
use crate::transport::Client;

/// What is taken of something whose size nobody announced.
const LARGEST: u64 = 8 << 30;

/// Brings what lies at `uri` into the store, and returns its digest.
pub(super) async fn pin(client: &Client, store: &Store, uri: &str, task: &Task) -> Result<Digest, Error> {
    let mut n_done = 0;
    loop {
        let error = match receive(client, store, uri, task).await {
            Ok(digest) => return Ok(digest),
            Err(error) => error,
        };
        n_done += 1;
        if n_done >= client.retry().n_tries || !may_pass(&error) {
            return Err(error);
        }
        client.retry().pause(n_done).await;
    }
}

async fn receive(client: &Client, store: &Store, uri: &str, task: &Task) -> Result<Digest, Error> {
    let mut response = client.get(uri, &[]).await?;
    let mut writer = store.blob_writer()?;
    let mut n_bytes = 0;
    while let Some(chunk) = response.chunk().await? {
        n_bytes += chunk.len() as u64;
        if n_bytes > LARGEST {
            let (expected, got) = (format!("at most {LARGEST} bytes"), "more".to_owned());
            return Err(store::Error::Mismatch { expected, got }.into());
        }
        let place = std::path::PathBuf::from(redact::url(uri));
        writer.write_all(&chunk).map_err(|source| download::cannot_write(&place, source))?;
        task.advance(chunk.len() as u64);
    }
    Ok(writer.commit()?.0)
}
