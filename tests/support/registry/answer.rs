//! From a request to its answer: routes, manifests, tags, referrers.

use std::io::SeekFrom;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use estaleiro::digest::Digest;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio_util::io::ReaderStream;

use super::super::http::parse_range;
use super::access;
use super::{State, upload};

/// A manifest may have this many bytes (the specification's least upper bound).
const MANIFEST_LIMIT: usize = 4 << 20;

/// The parameters after the question mark.
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    fn of(request: &Request) -> Query {
        let text = request.uri().query().unwrap_or("").to_owned();
        Query(url::form_urlencoded::parse(text.as_bytes()).into_owned().collect())
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn all(&self, name: &'static str) -> impl Iterator<Item = String> + '_ {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.clone())
    }
}

/// An answer in the making.
pub(super) struct Reply(Response);

impl Reply {
    pub(super) fn new(status: u16) -> Reply {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        Reply(response)
    }

    pub(super) fn error(status: u16, code: &str, message: &str) -> Reply {
        Reply::new(status).json(&json!({"errors": [{"code": code, "message": message}]}))
    }

    pub(super) fn header(mut self, name: &'static str, value: &str) -> Reply {
        self.0.headers_mut().insert(name, HeaderValue::from_str(value).unwrap());
        self
    }

    pub(super) fn json(self, value: &Value) -> Reply {
        self.bytes("application/json", value.to_string().into_bytes())
    }

    pub(super) fn bytes(mut self, media_type: &str, bytes: Vec<u8>) -> Reply {
        *self.0.body_mut() = Body::from(bytes);
        self.header("content-type", media_type)
    }

    pub(super) fn done(self) -> Response {
        self.0
    }
}

enum Route<'a> {
    Ping,
    Token,
    Uploads(&'a str),
    Upload(&'a str, &'a str),
    Blob(&'a str, &'a str),
    Manifest(&'a str, &'a str),
    Tags(&'a str),
    Referrers(&'a str, &'a str),
    Unknown,
}

fn route(path: &str) -> Route<'_> {
    let Some(rest) = path.strip_prefix("/v2/") else {
        return match path {
            "/v2" => Route::Ping,
            "/token" => Route::Token,
            _ => Route::Unknown,
        };
    };
    if rest.is_empty() {
        return Route::Ping;
    }
    if let Some(repository) = rest.strip_suffix("/tags/list") {
        return Route::Tags(repository);
    }
    if let Some((repository, id)) = rest.rsplit_once("/blobs/uploads/") {
        return if id.is_empty() { Route::Uploads(repository) } else { Route::Upload(repository, id) };
    }
    let split = |infix: &str| rest.rsplit_once(infix);
    None.or_else(|| split("/blobs/").map(|(repository, digest)| Route::Blob(repository, digest)))
        .or_else(|| {
            split("/manifests/").map(|(repository, reference)| Route::Manifest(repository, reference))
        })
        .or_else(|| split("/referrers/").map(|(repository, digest)| Route::Referrers(repository, digest)))
        .unwrap_or(Route::Unknown)
}

fn action(method: &Method) -> &'static str {
    match *method {
        Method::GET | Method::HEAD => "pull",
        Method::DELETE => "delete",
        _ => "push",
    }
}

/// Answers one request.
pub(super) async fn answer(state: Arc<State>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let query = Query::of(&request);
    let route = route(&path);
    let need = match route {
        Route::Ping | Route::Token | Route::Unknown => None,
        Route::Upload(repository, _) => Some((repository, "push")),
        Route::Uploads(repository)
        | Route::Blob(repository, _)
        | Route::Manifest(repository, _)
        | Route::Tags(repository)
        | Route::Referrers(repository, _) => Some((repository, action(request.method()))),
    };
    if !matches!(route, Route::Token)
        && let Some(refusal) = access::refuse(&state, &request, need)
    {
        return refusal;
    }
    match route {
        Route::Ping => {
            Reply::new(200).header("docker-distribution-api-version", "registry/2.0").json(&json!({})).done()
        }
        Route::Token => access::token(&state, &request, &query),
        Route::Uploads(repository) => upload::start(&state, repository, &query, request).await,
        Route::Upload(repository, id) => upload::proceed(&state, repository, id, &query, request).await,
        Route::Blob(repository, digest) => blob(&state, repository, digest, Wanted::of(&request)).await,
        Route::Manifest(repository, reference) => manifest(&state, repository, reference, request).await,
        Route::Tags(repository) => tags(&state, repository, &query),
        Route::Referrers(repository, digest) => referrers(&state, repository, digest, &query),
        Route::Unknown => Reply::new(404).done(),
    }
}

/// What a request wants of a blob.
struct Wanted {
    method: Method,
    range: Option<String>,
}

impl Wanted {
    fn of(request: &Request) -> Wanted {
        let range = request.headers().get(header::RANGE).and_then(|value| value.to_str().ok());
        Wanted { method: request.method().clone(), range: range.map(str::to_owned) }
    }
}

async fn blob(state: &State, repository: &str, digest: &str, wanted: Wanted) -> Response {
    let Ok(digest) = digest.parse::<Digest>() else {
        return Reply::error(400, "DIGEST_INVALID", "no digest").done();
    };
    if !state.contents().has_blob(repository, &digest) {
        return Reply::error(404, "BLOB_UNKNOWN", "blob unknown to registry").done();
    }
    match wanted.method {
        Method::DELETE => {
            state.contents().remove_blob(repository, &digest);
            Reply::new(202).done()
        }
        Method::HEAD | Method::GET => read_blob(state, &digest, wanted).await,
        _ => Reply::new(405).done(),
    }
}

async fn read_blob(state: &State, digest: &Digest, wanted: Wanted) -> Response {
    let path = state.contents().blob_path(digest);
    let mut file = tokio::fs::File::open(path).await.unwrap();
    let length = file.metadata().await.unwrap().len();
    let reply = |status: u16, length: u64| {
        Reply::new(status)
            .header("docker-content-digest", &digest.to_string())
            .header("content-type", "application/octet-stream")
            .header("accept-ranges", "bytes")
            .header("content-length", &length.to_string())
    };
    if wanted.method == Method::HEAD {
        return reply(200, length).done();
    }
    let Some((first, last)) =
        wanted.range.and_then(|range| parse_range(&range, usize::try_from(length).unwrap()))
    else {
        return reply(200, length).done().map(|_| Body::from_stream(ReaderStream::new(file)));
    };
    if first > last {
        return Reply::new(416).done();
    }
    file.seek(SeekFrom::Start(first as u64)).await.unwrap();
    let n_bytes = (last - first + 1) as u64;
    let content_range = format!("bytes {first}-{last}/{length}");
    let response = reply(206, n_bytes).header("content-range", &content_range).done();
    response.map(|_| Body::from_stream(ReaderStream::new(file.take(n_bytes))))
}

async fn manifest(state: &State, repository: &str, reference: &str, request: Request) -> Response {
    match *request.method() {
        Method::GET | Method::HEAD => read_manifest(state, repository, reference, &request),
        Method::PUT => write_manifest(state, repository, reference, request).await,
        Method::DELETE => match state.contents().remove_manifest(repository, reference) {
            true => Reply::new(202).done(),
            false => unknown_manifest(),
        },
        _ => Reply::new(405).done(),
    }
}

fn unknown_manifest() -> Response {
    Reply::error(404, "MANIFEST_UNKNOWN", "manifest unknown").done()
}

fn read_manifest(state: &State, repository: &str, reference: &str, request: &Request) -> Response {
    let contents = state.contents();
    let Some((digest, manifest)) = contents.manifest(repository, reference) else {
        return unknown_manifest();
    };
    if !is_accepted(request, &manifest.media_type) {
        return Reply::error(404, "MANIFEST_UNKNOWN", "no manifest of an accepted media type").done();
    }
    let reply = Reply::new(200).header("docker-content-digest", &digest.to_string());
    match request.method() == Method::HEAD {
        true => reply
            .header("content-type", &manifest.media_type)
            .header("content-length", &manifest.bytes.len().to_string())
            .done(),
        false => reply.bytes(&manifest.media_type, manifest.bytes.clone()).done(),
    }
}

/// A request without `Accept` accepts everything.
fn is_accepted(request: &Request, media_type: &str) -> bool {
    let mut accepted = request.headers().get_all(header::ACCEPT).iter().peekable();
    let is_match = |part: &str| {
        let part = part.split(';').next().unwrap_or("").trim();
        part == "*/*" || part == media_type
    };
    accepted.peek().is_none()
        || accepted.any(|value| value.to_str().is_ok_and(|text| text.split(',').any(is_match)))
}

async fn write_manifest(state: &State, repository: &str, reference: &str, request: Request) -> Response {
    let media_type = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media_type = media_type.unwrap_or("").to_owned();
    let Ok(bytes) = axum::body::to_bytes(request.into_body(), MANIFEST_LIMIT).await else {
        return Reply::error(413, "SIZE_INVALID", "manifest too large, or cut off").done();
    };
    let digest = Digest::of(&bytes);
    if reference.contains(':') && reference != digest.to_string() {
        return Reply::error(400, "DIGEST_INVALID", &format!("{reference} is sent, {digest} is right"))
            .done();
    }
    let mut contents = state.contents();
    if let Err((code, why)) = contents.put_manifest(repository, digest, &media_type, &bytes) {
        let status = if code == "MANIFEST_BLOB_UNKNOWN" { 404 } else { 400 };
        return Reply::error(status, code, &why).done();
    }
    if !reference.contains(':') {
        contents.set_tag(repository, reference, digest);
    }
    let location = format!("/v2/{repository}/manifests/{digest}");
    let reply =
        Reply::new(201).header("location", &location).header("docker-content-digest", &digest.to_string());
    let manifest: Value = serde_json::from_slice(&bytes).unwrap();
    match manifest["subject"]["digest"].as_str() {
        Some(subject) if state.options().referrers => reply.header("oci-subject", subject).done(),
        _ => reply.done(),
    }
}

fn tags(state: &State, repository: &str, query: &Query) -> Response {
    let contents = state.contents();
    if !contents.knows(repository) {
        return Reply::error(404, "NAME_UNKNOWN", "repository name not known to registry").done();
    }
    let last = query.get("last").unwrap_or("").to_owned();
    let asked = query.get("n").and_then(|n| n.parse().ok()).unwrap_or(usize::MAX);
    let page = state.options().page_size.min(asked);
    let rest: Vec<String> = contents.tags(repository).into_iter().filter(|tag| *tag > last).collect();
    let shown = &rest[..page.min(rest.len())];
    let reply = Reply::new(200).json(&json!({"name": repository, "tags": shown}));
    match shown.last() {
        Some(last) if shown.len() < rest.len() => {
            let next = format!("</v2/{repository}/tags/list?n={page}&last={last}>; rel=\"next\"");
            reply.header("link", &next).done()
        }
        _ => reply.done(),
    }
}

fn referrers(state: &State, repository: &str, digest: &str, query: &Query) -> Response {
    if !state.options().referrers {
        return Reply::new(404).done();
    }
    let Ok(digest) = digest.parse::<Digest>() else {
        return Reply::error(400, "DIGEST_INVALID", "no digest").done();
    };
    let mut manifests = state.contents().referrers(repository, &digest);
    let wanted = query.get("artifactType");
    if let Some(wanted) = wanted {
        manifests.retain(|descriptor| descriptor["artifactType"] == wanted);
    }
    let media_type = "application/vnd.oci.image.index.v1+json";
    let index = json!({"schemaVersion": 2, "mediaType": media_type, "manifests": manifests});
    let reply = Reply::new(200).bytes(media_type, index.to_string().into_bytes());
    match wanted {
        Some(_) => reply.header("oci-filters-applied", "artifactType").done(),
        None => reply.done(),
    }
}
