//! A repository of a remote registry (OCI distribution specification 1.1).
//!
//! What is asked and how the answers are read; how a request gets there is the door's business, and
//! uploads are in `upload.rs`.

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use reqwest::Method;
use reqwest::header::{self, HeaderName};
use serde::Deserialize;
use serde_json::Value;

use super::auth::Scope;
use super::body::Meter;
use super::door::{Ask, Door, Target};
use super::error::or_none;
use super::list::fallback_tag;
use super::location::is_tag;
use super::referrers::SharedIndex;
use super::seen::Seen;
use super::wire::Response;
use super::{Access, MANIFEST_LIMIT, Reason};
use crate::digest::Digest;
use crate::oci::{Descriptor, Reference, media_type};
use crate::progress::Task;
use crate::redact;
use crate::store::{Growth, Store};

const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
const OCI_SUBJECT: HeaderName = HeaderName::from_static("oci-subject");

/// How many pages a list has at most.
const PAGE_LIMIT: usize = 10_000;

/// How many tags, or referrers, are listed at most.
const LIST_LIMIT: usize = 1_000_000;

/// How long a list is at most, over all its pages, in bytes.
const LIST_BYTES: usize = 64 << 20;

/// What a manifest may be.
const MANIFEST_TYPES: [&str; 4] =
    [media_type::INDEX, media_type::MANIFEST, media_type::DOCKER_INDEX, media_type::DOCKER_MANIFEST];

/// A repository of a remote registry.
pub(super) struct Remote {
    pub(super) door: Door,
    pub(super) repository: String,
    /// Held while the list of referrers is rewritten: our own attachments don't fight each other.
    pub(super) list: tokio::sync::Mutex<()>,
    pub(super) seen: Seen,
    /// Whether this registry took a blob in chunks that it had not taken whole.
    pub(super) prefers_chunks: AtomicBool,
    /// Whether it doesn't care for a blob that comes with an upload's first request.
    pub(super) takes_no_posts: AtomicBool,
    /// Whether it was seen to keep no lists of referrers.
    keeps_no_lists: AtomicBool,
}

impl Remote {
    pub(super) fn open(reference: &Reference, access: &Access) -> Result<Remote, Reason> {
        let host = host_of(&reference.registry);
        let door = Door::new(&host, &reference.repository, access)?;
        Ok(Remote {
            door,
            repository: reference.repository.clone(),
            list: tokio::sync::Mutex::default(),
            seen: Seen::default(),
            prefers_chunks: AtomicBool::new(false),
            takes_no_posts: AtomicBool::new(false),
            keeps_no_lists: AtomicBool::new(false),
        })
    }

    pub(super) async fn resolve(&self, name: &str) -> Result<Option<Descriptor>, Reason> {
        let head = or_none(self.door.request(&self.manifest_ask(Method::HEAD, name)?).await);
        match head {
            Ok(None) => return Ok(None),
            Ok(Some(response)) => {
                let described = described(&response);
                let is_asked_for =
                    |found: &Descriptor| name.parse().is_ok_and(|digest: Digest| found.digest == digest);
                if let Some(found) = described.filter(|found| is_asked_for(found) || is_tag(name)) {
                    self.seen.manifest(name, &found);
                    return Ok(Some(found));
                }
            }
            // Some registries know no HEAD.
            Err(Reason::Answered { status, .. }) if status.is_client_error() => {}
            Err(reason) => return Err(reason),
        }
        Ok(self.manifest(name).await?.map(|(found, _)| found))
    }

    pub(super) async fn manifest(&self, name: &str) -> Result<Option<(Descriptor, Vec<u8>)>, Reason> {
        let ask = self.manifest_ask(Method::GET, name)?;
        let mut attempts = self.door.attempts();
        loop {
            match self.read_manifest(&ask, name).await {
                Err(reason) if attempts.another(&reason).await => {}
                result => return or_none(result.inspect(|(found, _)| self.seen.manifest(name, found))),
            }
        }
    }

    async fn read_manifest(&self, ask: &Ask, name: &str) -> Result<(Descriptor, Vec<u8>), Reason> {
        let mut response = self.door.request_once(ask).await?;
        let bytes = response.read(MANIFEST_LIMIT).await?;
        let found = Descriptor::of(manifest_type(response.media_type(), &bytes)?, &bytes);
        let announced = response.header(&CONTENT_DIGEST).and_then(|digest| digest.parse().ok());
        match name.parse().ok().or(announced) {
            Some(expected) if expected != found.digest => {
                Err(Reason::mismatch(&expected, &found.digest, "the manifest"))
            }
            _ => Ok((found, bytes)),
        }
    }

    pub(super) async fn has_blob(&self, digest: &Digest) -> Result<bool, Reason> {
        if self.seen.has_blob(digest) {
            return Ok(true);
        }
        let ask = Ask::new(Method::HEAD, self.blob(digest), Scope::Pull);
        let found = or_none(self.door.request(&ask).await)?.inspect(|_| self.seen.blob(digest));
        Ok(found.is_some())
    }

    pub(super) async fn pull_blob(
        &self,
        blob: &Descriptor,
        store: &Store,
        task: &Task,
        growth: Option<&Growth>,
    ) -> Result<(), Reason> {
        let mut meter = Meter::start(Some(task), blob.size);
        let mut attempts = self.door.attempts();
        loop {
            meter.restart_at(0);
            match self.download(blob, store, &mut meter, growth).await {
                Err(reason) if attempts.another(&reason).await => {}
                result => return result,
            }
        }
    }

    async fn download(
        &self,
        blob: &Descriptor,
        store: &Store,
        meter: &mut Meter<'_>,
        growth: Option<&Growth>,
    ) -> Result<(), Reason> {
        let mut response = self.get_blob(&blob.digest).await?;
        let mut writer = growth.map_or_else(|| store.blob_writer(), |growth| growth.writer(store))?;
        while let Some(chunk) = response.chunk().await? {
            meter.moved(chunk.len() as u64);
            meter.check_not_beyond(blob.size)?;
            writer.write_all(&chunk).map_err(Reason::io("write", &store.blob_path(&blob.digest)))?;
        }
        meter.check_reached(blob.size)?;
        Ok(writer.commit_as(&blob.digest, Some(blob.size))?)
    }

    pub(super) async fn read_blob(&self, blob: &Descriptor, limit: u64) -> Result<Vec<u8>, Reason> {
        check_size(blob, limit)?;
        let mut attempts = self.door.attempts();
        loop {
            let read = match self.get_blob(&blob.digest).await {
                Ok(mut response) => response.read(blob.size).await,
                Err(reason) => Err(reason),
            };
            match read.and_then(|bytes| verified(blob, bytes)) {
                Err(reason) if attempts.another(&reason).await => {}
                result => return result.inspect(|_| self.seen.blob(&blob.digest)),
            }
        }
    }

    async fn get_blob(&self, digest: &Digest) -> Result<Response, Reason> {
        self.door.request_once(&Ask::new(Method::GET, self.blob(digest), Scope::Pull)).await
    }

    /// Puts a manifest; returns whether the registry keeps the list of referrers.
    pub(super) async fn push_manifest(
        &self,
        name: &str,
        manifest: &Descriptor,
        bytes: &[u8],
    ) -> Result<bool, Reason> {
        let ask = Ask::new(Method::PUT, self.manifest_path(name)?, Scope::Push)
            .header(header::CONTENT_TYPE, &manifest.media_type)
            .body(Bytes::copy_from_slice(bytes));
        let response = self.door.request(&ask).await?;
        match response.header(&CONTENT_DIGEST).and_then(|digest| digest.parse::<Digest>().ok()) {
            Some(kept) if kept != manifest.digest => {
                Err(Reason::mismatch(&manifest.digest, &kept, "what the registry keeps"))
            }
            _ => {
                self.seen.manifest(name, manifest);
                Ok(response.header(&OCI_SUBJECT).is_some())
            }
        }
    }

    pub(super) async fn referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>, Reason> {
        if let Some(seen) = self.seen.referrers_of(subject) {
            return Ok(seen);
        }
        let (found, is_kept) = match self.kept_referrers(subject).await? {
            Some(found) => (found, true),
            None => (self.fallback_list(&fallback_tag(subject)).await?.entries(), false),
        };
        // What somebody keeps at a tag, no registry keeps.
        self.keeps_no_lists.fetch_or(!is_kept && !found.is_empty(), Ordering::Relaxed);
        self.seen.referrers(subject, &found, is_kept);
        Ok(found)
    }

    /// Asks the registry for its own list of what refers to `subject`; there may be none.
    async fn kept_referrers(&self, subject: &Digest) -> Result<Option<Vec<Descriptor>>, Reason> {
        if self.keeps_no_lists.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let mut found = Vec::new();
        let path = format!("v2/{}/referrers/{subject}", self.repository);
        let listed = self.pages(path, |response, body| {
            if response.media_type() != Some(media_type::INDEX) {
                return Err(Reason::Missing);
            }
            found.extend(SharedIndex::parse(body)?.entries());
            Ok(found.len())
        });
        match listed.await {
            Ok(()) => Ok(Some(found)),
            Err(reason) if is_unsupported(&reason) => Ok(None),
            Err(reason) => Err(reason),
        }
    }

    pub(super) async fn tags(&self) -> Result<Vec<String>, Reason> {
        #[derive(Deserialize)]
        struct Page {
            tags: Option<Vec<String>>,
        }
        let mut tags = Vec::new();
        let listed = self.pages(format!("v2/{}/tags/list?n=1000", self.repository), |_, body| {
            let page: Page = serde_json::from_slice(body)
                .map_err(|e| redact::line(&e.to_string()))
                .map_err(|why| Reason::Unexpected(format!("the list of tags cannot be read: {why}")))?;
            tags.extend(page.tags.unwrap_or_default());
            Ok(tags.len())
        });
        or_none(listed.await)?;
        Ok(tags)
    }

    /// Reads a list page by page; `take` answers how many entries there are by now.
    async fn pages(
        &self,
        path: String,
        mut take: impl FnMut(&Response, &[u8]) -> Result<usize, Reason>,
    ) -> Result<(), Reason> {
        let (mut target, mut n_bytes, mut seen) = (Target::Path(path), 0, BTreeSet::new());
        for _ in 0..PAGE_LIMIT {
            let (response, body) = self.page(target).await?;
            n_bytes += body.len();
            if take(&response, &body)? > LIST_LIMIT || n_bytes > LIST_BYTES {
                break;
            }
            match next_page(&response)? {
                Some(next) if seen.insert(Digest::of(next.as_str())) => target = Target::Url(next),
                Some(_) => break,
                None => return Ok(()),
            }
        }
        Err(Reason::Unexpected("the list doesn't come to an end".into()))
    }

    async fn page(&self, target: Target) -> Result<(Response, Vec<u8>), Reason> {
        let ask = Ask::new(Method::GET, target, Scope::Pull);
        let mut attempts = self.door.attempts();
        loop {
            let page = match self.door.request_once(&ask).await {
                Ok(mut response) => response.read(MANIFEST_LIMIT).await.map(|body| (response, body)),
                Err(reason) => Err(reason),
            };
            match page {
                Err(reason) if attempts.another(&reason).await => {}
                result => return result,
            }
        }
    }

    fn manifest_ask(&self, method: Method, name: &str) -> Result<Ask, Reason> {
        let ask = Ask::new(method, self.manifest_path(name)?, Scope::Pull);
        Ok(ask.header(header::ACCEPT, &MANIFEST_TYPES.join(", ")))
    }

    fn manifest_path(&self, name: &str) -> Result<Target, Reason> {
        match is_tag(name) || name.parse::<Digest>().is_ok() {
            true => Ok(Target::Path(format!("v2/{}/manifests/{name}", self.repository))),
            false => Err(Reason::Unexpected("this is neither a tag nor a digest".into())),
        }
    }

    pub(super) fn blob(&self, digest: &Digest) -> Target {
        Target::Path(format!("v2/{}/blobs/{digest}", self.repository))
    }
}

/// Docker Hub is not where its images' names say.
fn host_of(registry: &str) -> String {
    let image = oci_client::Reference::with_tag(registry.to_owned(), "x".into(), "x".into());
    image.resolve_registry().to_owned()
}

/// Whether a registry that answers like this has no list of referrers.
fn is_unsupported(reason: &Reason) -> bool {
    reason.is_not_found()
        || matches!(reason, Reason::Answered { status, .. } if matches!(status.as_u16(), 400 | 405 | 406 | 501))
}

/// Reads a descriptor from an answer's head.
fn described(response: &Response) -> Option<Descriptor> {
    let digest = response.header(&CONTENT_DIGEST)?.parse().ok()?;
    let media_type = response.media_type().filter(|kind| MANIFEST_TYPES.contains(kind))?;
    // Some servers say of every answer to a HEAD that it has no length.
    let size = response.content_length().filter(|&size| size > 0)?;
    Some(Descriptor::new(media_type, digest, size))
}

/// Returns what a manifest is: what the head of the answer says, unless that is too general.
///
/// Bytes that call themselves something else could be taken for another kind (CVE-2021-41190).
pub(super) fn manifest_type(announced: Option<&str>, bytes: &[u8]) -> Result<String, Reason> {
    let unexpected =
        |why: String| Reason::Unexpected(format!("the manifest cannot be read: {}", redact::line(&why)));
    let fields: serde_json::Map<String, Value> =
        serde_json::from_slice(bytes).map_err(|e| unexpected(e.to_string()))?;
    let own = fields.get("mediaType").and_then(Value::as_str);
    let announced = announced.filter(|kind| MANIFEST_TYPES.contains(kind));
    match (announced, own) {
        (Some(announced), Some(own)) if announced != own => {
            Err(unexpected(format!("it was announced as {announced}, but calls itself {own}")))
        }
        (Some(kind), _) | (None, Some(kind)) => Ok(kind.to_owned()),
        (None, None) if fields.contains_key("manifests") => Ok(media_type::INDEX.into()),
        (None, None) if fields.contains_key("layers") => Ok(media_type::MANIFEST.into()),
        (None, None) => Err(unexpected("it doesn't say what it is".into())),
    }
}

/// Refuses to read a blob that is larger than one wants.
pub(super) fn check_size(blob: &Descriptor, limit: u64) -> Result<(), Reason> {
    match blob.size > limit {
        true => Err(Reason::Unexpected(format!("expected at most {limit} bytes, got {}", blob.size))),
        false => Ok(()),
    }
}

/// Returns `bytes` if they are the blob.
pub(super) fn verified(blob: &Descriptor, bytes: Vec<u8>) -> Result<Vec<u8>, Reason> {
    let got = bytes.len() as u64;
    if got < blob.size {
        return Err(Reason::Truncated { expected: blob.size, got });
    }
    match Digest::of(&bytes) {
        digest if digest == blob.digest => Ok(bytes),
        digest => Err(Reason::mismatch(&blob.digest, &digest, "the blob")),
    }
}

/// Returns the next page's URL (RFC 8288), which is at the same host.
fn next_page(response: &Response) -> Result<Option<url::Url>, Reason> {
    let next = linked(response);
    match next.as_ref().filter(|next| next.host_str() != response.url().host_str()) {
        None => Ok(next),
        Some(next) => Err(Reason::Unexpected(format!(
            "it goes on at {}, which is another host",
            redact::url(next.as_str())
        ))),
    }
}

fn linked(response: &Response) -> Option<url::Url> {
    let is_next = |link: &&str| link.contains("rel=\"next\"") || link.contains("rel=next");
    let header = response.header(&header::LINK)?;
    let (target, _) = header.split(',').find(is_next)?.trim().strip_prefix('<')?.split_once('>')?;
    response.url().join(target).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_that_calls_itself_something_else_is_refused() {
        let manifest = format!(r#"{{"mediaType":"{}"}}"#, media_type::MANIFEST);
        assert!(manifest_type(Some(media_type::INDEX), manifest.as_bytes()).is_err());
        for announced in [Some(media_type::MANIFEST), Some("application/json"), None] {
            assert_eq!(manifest_type(announced, manifest.as_bytes()).unwrap(), media_type::MANIFEST);
        }
        assert_eq!(manifest_type(None, br#"{"manifests":[]}"#).unwrap(), media_type::INDEX);
        assert!(manifest_type(None, b"{}").is_err());
        assert!(manifest_type(None, b"<html>").is_err());
    }

    #[test]
    fn only_docker_hub_is_elsewhere() {
        assert_eq!(host_of("registry.example:5000"), "registry.example:5000");
        assert_ne!(host_of("docker.io"), "docker.io");
    }
}
