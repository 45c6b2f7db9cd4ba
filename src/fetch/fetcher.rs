//! The fetcher: what is in the store, what is asked for, and in what order places are tried.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use futures_util::stream::{self, StreamExt, TryStreamExt};

use super::{Error, document, download, pin};
use crate::digest::Digest;
use crate::progress::{Progress, Task};
use crate::redact;
use crate::store::Store;
use crate::transport::Client;

/// Something to be fetched into the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// What people call it: `jq 1.6-2.1 amd64`, `main/binary-amd64/Packages.xz`.
    pub name: String,
    /// Where it may be had, best first: `http:`, `https:`, `file:` or `copy:`.
    pub uris: Vec<String>,
    /// What it must be.
    pub digest: Digest,
    /// How long it must be, where that was announced.
    pub size: Option<u64>,
}

/// Fetches into a store. Cheap to clone.
#[derive(Clone)]
pub struct Fetcher {
    client: Client,
    store: Store,
    progress: Progress,
    /// Hosts that did not answer.
    silent: Arc<Mutex<BTreeSet<String>>>,
}

impl Fetcher {
    /// Makes a fetcher that fills `store` and tells `progress`.
    pub fn new(client: Client, store: Store, progress: Progress) -> Fetcher {
        Fetcher { client, store, progress, silent: Arc::default() }
    }

    /// Returns the client that it asks with.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Returns a small document; one of more than `limit` bytes is refused.
    ///
    /// It is kept with what the server says of its age, so that while it is unchanged it costs no
    /// more than the question. Whether it is genuine is for the caller to find out.
    pub async fn text(&self, uri: &str, limit: u64) -> Result<Vec<u8>, Error> {
        match download::local_path(uri)? {
            Some(path) => download::read_local(&path, limit).await,
            None => document::get(&self.client, &self.store, uri, limit).await,
        }
    }

    /// Brings what lies at an address into the store, whatever it is, and returns its digest.
    pub async fn pin(&self, uri: &str) -> Result<Digest, Error> {
        let task = self.progress.start(format!("fetch {}", redact::url(uri)));
        let digest = pin::pin(&self.client, &self.store, uri, &task).await?;
        task.done("fetched");
        Ok(digest)
    }

    /// Brings one thing into the store, unless it is there.
    pub async fn blob(&self, wanted: &Wanted) -> Result<(), Error> {
        if self.store.contains(&wanted.digest) {
            return Ok(());
        }
        let task = self.progress.start(format!("fetch {}", wanted.name));
        task.expect(wanted.size.unwrap_or(0));
        self.bring(wanted, &task).await?;
        task.done("fetched");
        Ok(())
    }

    /// Brings everything into the store, `n_parallel` at a time; the first failure ends it.
    pub async fn all(&self, wanted: &[Wanted], n_parallel: usize) -> Result<(), Error> {
        let missing = self.missing(wanted);
        if missing.is_empty() {
            return Ok(());
        }
        let task = self.progress.start(format!("fetch {}", names(&missing)));
        task.expect(missing.iter().filter_map(|wanted| wanted.size).sum());
        let downloads: Vec<_> = missing.into_iter().map(|wanted| self.bring(wanted, &task)).collect();
        stream::iter(downloads).buffer_unordered(n_parallel.max(1)).try_collect::<()>().await?;
        task.done("fetched");
        Ok(())
    }

    fn missing<'a>(&self, wanted: &'a [Wanted]) -> Vec<&'a Wanted> {
        let mut seen = BTreeSet::new();
        let is_missing =
            |wanted: &&Wanted| !self.store.contains(&wanted.digest) && seen.insert(wanted.digest);
        wanted.iter().filter(is_missing).collect()
    }

    /// Tries one place after the other; one whose host did not answer before comes last.
    async fn bring(&self, wanted: &Wanted, task: &Task) -> Result<(), Error> {
        let mut failures = Vec::new();
        let (silent, others): (Vec<_>, Vec<_>) = wanted.uris.iter().partition(|uri| self.is_silent(uri));
        for uri in others.into_iter().chain(silent) {
            match download::download(&self.client, &self.store, wanted, uri, task).await {
                Ok(()) => {
                    self.tell_of(wanted, uri, &failures);
                    return Ok(());
                }
                Err(error @ Error::Store(_)) => return Err(error),
                Err(error) => {
                    self.note_silence(uri, &error);
                    failures.push((redact::url(uri), error));
                }
            }
        }
        Err(all_failed(wanted, failures))
    }
}

impl Fetcher {
    fn is_silent(&self, uri: &str) -> bool {
        let silent = self.silent.lock();
        silent.is_ok_and(|silent| host(uri).is_some_and(|host| silent.contains(&host)))
    }

    /// Waiting for a dead archive once is enough, where there are mirrors.
    fn note_silence(&self, uri: &str, error: &Error) {
        if let (true, Some(host), Ok(mut silent)) = (document::may_pass(error), host(uri), self.silent.lock())
        {
            silent.insert(host);
        }
    }

    /// Where something came from matters to nobody else, so it stands in the log alone.
    fn tell_of(&self, wanted: &Wanted, uri: &str, failures: &[(String, Error)]) {
        if let Some((first, _)) = failures.first() {
            self.progress.say(format!("{} came from {}, not from {first}", wanted.name, redact::url(uri)));
        }
    }
}

/// Returns host and port of an address.
fn host(uri: &str) -> Option<String> {
    let url = url::Url::parse(uri).ok()?;
    Some(format!("{}:{}", url.host_str()?, url.port_or_known_default()?))
}

fn names(missing: &[&Wanted]) -> String {
    match missing {
        [wanted] => wanted.name.clone(),
        several => format!("{} files", several.len()),
    }
}

/// A place with other bytes tells more than one with none.
fn all_failed(wanted: &Wanted, failures: Vec<(String, Error)>) -> Error {
    let reason = reason(wanted, &failures);
    let mismatch = failures.into_iter().map(|(_, error)| error).find(|e| matches!(e, Error::Mismatch { .. }));
    mismatch.unwrap_or(Error::Unavailable { name: wanted.name.clone(), reason })
}

fn reason(wanted: &Wanted, failures: &[(String, Error)]) -> String {
    if failures.is_empty() {
        return format!("nobody says where {} may be had", wanted.digest);
    }
    let answers: Vec<String> = failures.iter().map(|(uri, error)| answer(uri, error)).collect();
    let hint = match failures.iter().all(|(_, error)| error.is_not_found()) {
        true => "\nhint: archives drop old files: lock again, or name a mirror that keeps them",
        false => "",
    };
    format!("{} is not to be had: {}{hint}", wanted.digest, answers.join("; "))
}

fn answer(uri: &str, error: &Error) -> String {
    match error {
        Error::NotFound { .. } => format!("{uri} does not exist"),
        error => error.to_string(),
    }
}
