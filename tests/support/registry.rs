//! An OCI registry on 127.0.0.1 (distribution specification 1.1) whose habits can be chosen.
//!
//! It is strict where real ones are: blobs belong to repositories, a manifest's blobs must be there,
//! digests must match, chunks must follow each other. Blobs lie in files, so large ones cost no memory.

mod access;
mod answer;
mod contents;
mod upload;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use estaleiro::digest::Digest;
use futures_util::FutureExt;

pub use access::Auth;
use contents::Contents;

use axum::extract::Request;
use axum::response::Response;

use super::far;
use super::fault::Faults;
use super::http::{Handler, Log, Server};

/// How the registry answers a request to mount a blob from another repository.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mount {
    /// It does it (201), where the token allows to read the other repository.
    #[default]
    Done,
    /// It starts an upload instead (202), as the specification allows.
    Accepted,
    /// It refuses the request (405).
    Refused,
}

/// The registry's habits.
#[derive(Clone, Debug)]
pub struct Options {
    /// Whether there is a referrers API and an `OCI-Subject` header.
    pub referrers: bool,
    /// What becomes of mounts.
    pub mount: Mount,
    /// Who may come in.
    pub auth: Auth,
    /// How many tags are listed at once.
    pub page_size: usize,
    /// Whether a `Location` has no host.
    pub relative_locations: bool,
    /// How many bytes of a blob it takes in one request.
    pub largest_body: u64,
    /// Whether all of a body comes to be read that it refuses, rather than that it hangs up.
    pub hears_refused_out: bool,
    /// Whether it takes blobs in chunks.
    pub takes_chunks: bool,
    /// Whether it repeats what it is told, credentials too, in the headers of all answers and the bodies of errors.
    pub echoes: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            referrers: true,
            mount: Mount::Done,
            auth: Auth::None,
            page_size: 1000,
            relative_locations: true,
            largest_body: u64::MAX,
            hears_refused_out: false,
            takes_chunks: true,
            echoes: false,
        }
    }
}

/// What handlers share.
struct State {
    address: std::net::SocketAddr,
    options: Mutex<Options>,
    contents: Mutex<Contents>,
    tokens: Mutex<BTreeMap<String, Vec<access::Grant>>>,
    heard: Mutex<Vec<String>>,
}

impl State {
    fn options(&self) -> Options {
        self.options.lock().unwrap().clone()
    }

    fn contents(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().unwrap()
    }
}

/// A registry; it ends with its value.
pub struct TestRegistry {
    server: Server,
    state: Arc<State>,
}

impl TestRegistry {
    /// Starts a registry with referrers, mounts and no doorkeeper.
    pub fn start() -> TestRegistry {
        TestRegistry::with(Options::default())
    }

    /// Starts a registry with these habits.
    pub fn with(options: Options) -> TestRegistry {
        let mut kept = None;
        let server = Server::start(|address| {
            let state = Arc::new(State {
                address,
                options: Mutex::new(options),
                contents: Mutex::new(Contents::new()),
                tokens: Mutex::default(),
                heard: Mutex::default(),
            });
            kept = Some(state.clone());
            let handler: Handler = Arc::new(move |request| listen(state.clone(), request).boxed());
            handler
        });
        TestRegistry { server, state: kept.unwrap() }
    }

    /// Changes the habits while it runs.
    pub fn change(&self, change: impl FnOnce(&mut Options)) {
        change(&mut self.state.options.lock().unwrap());
    }

    /// Returns host and port, as they stand in an image's name.
    pub fn host(&self) -> String {
        self.server.address().to_string()
    }

    /// Returns an image's name here.
    pub fn name(&self, repository: &str, tag: &str) -> String {
        format!("{}/{repository}:{tag}", self.host())
    }

    /// Returns the requests so far.
    pub fn log(&self) -> &Log {
        &self.server.log
    }

    /// Returns the faults that are still to come.
    pub fn faults(&self) -> &Faults {
        &self.server.faults
    }

    /// Returns how many requests read a blob's bytes.
    pub fn n_blobs_downloaded(&self) -> usize {
        let requests = self.log().requests();
        requests.iter().filter(|request| request.is("GET", "/blobs/sha256:")).count()
    }

    /// Returns how many requests finished the upload of a blob.
    pub fn n_blobs_uploaded(&self) -> usize {
        let requests = self.log().requests();
        let is_upload = |method: &str, path: &str, query: &str| {
            path.contains("/blobs/uploads/")
                && query.contains("digest=")
                && (method == "PUT" || method == "POST")
        };
        requests.iter().filter(|r| r.status == 201 && is_upload(&r.method, &r.path, &r.query)).count()
    }

    /// Puts a blob without a request.
    pub fn put_blob(&self, repository: &str, bytes: &[u8]) -> Digest {
        self.state.contents().put_blob(repository, bytes)
    }

    /// Puts a manifest without a request.
    pub fn put_manifest(
        &self,
        repository: &str,
        tag: Option<&str>,
        media_type: &str,
        bytes: &[u8],
    ) -> Digest {
        let digest = Digest::of(bytes);
        let mut contents = self.state.contents();
        contents.put_manifest(repository, digest, media_type, bytes).unwrap();
        if let Some(tag) = tag {
            contents.set_tag(repository, tag, digest);
        }
        digest
    }

    /// Returns a manifest's media type and bytes by its tag or digest.
    pub fn manifest(&self, repository: &str, reference: &str) -> Option<(String, Vec<u8>)> {
        let contents = self.state.contents();
        let (_, manifest) = contents.manifest(repository, reference)?;
        Some((manifest.media_type.clone(), manifest.bytes.clone()))
    }

    /// Returns a blob's bytes, whichever repository it belongs to.
    pub fn blob(&self, digest: &Digest) -> Option<Vec<u8>> {
        std::fs::read(self.state.contents().blob_path(digest)).ok()
    }

    /// Whether the repository has the blob.
    pub fn has_blob(&self, repository: &str, digest: &Digest) -> bool {
        self.state.contents().has_blob(repository, digest)
    }

    /// Returns a repository's tags, sorted.
    pub fn tags(&self, repository: &str) -> Vec<String> {
        self.state.contents().tags(repository)
    }

    /// Returns the digest that a tag stands for.
    pub fn resolve(&self, repository: &str, tag: &str) -> Option<Digest> {
        self.state.contents().manifest(repository, tag).map(|(digest, _)| digest)
    }

    /// Returns how many uploads were begun and neither finished nor given up.
    pub fn n_open_uploads(&self) -> usize {
        self.state.contents().n_open_uploads()
    }

    /// Returns what was said to it before the bodies, word for word.
    pub fn heard(&self) -> Vec<String> {
        self.state.heard.lock().unwrap().clone()
    }

    /// Returns the directory that its blobs are in.
    pub fn blobs(&self) -> std::path::PathBuf {
        self.state.contents().blob_path(&Digest::of(b"")).parent().unwrap().to_owned()
    }

    /// Forgets all tokens given out.
    pub fn expire_tokens(&self) {
        self.token_expiry()();
    }

    /// Returns what makes the registry forget all tokens given out, for a time still to come.
    pub fn token_expiry(&self) -> impl Fn() + Send + use<> {
        let state = self.state.clone();
        move || state.tokens.lock().unwrap().clear()
    }
}

async fn listen(state: Arc<State>, request: Request) -> Response {
    let words = far::words(&request);
    state.heard.lock().unwrap().push(words.clone());
    let echoes = state.options().echoes;
    let response = answer::answer(state, request).await;
    if echoes { far::echo(response, &words) } else { response }
}
