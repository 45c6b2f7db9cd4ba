//! Uploads: in one request, in one body, in chunks; and mounts, which are uploads saved.

use std::fs::File;
use std::io::Write;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{Method, header};
use axum::response::Response;
use estaleiro::digest::Digest;
use futures_util::StreamExt;

use super::access;
use super::answer::{Query, Reply};
use super::{Mount, State};

/// Answers `POST …/blobs/uploads/`.
pub(super) async fn start(state: &State, repository: &str, query: &Query, request: Request) -> Response {
    if request.method() != Method::POST {
        return Reply::new(405).done();
    }
    if let (Some(digest), Some(from)) = (query.get("mount"), query.get("from")) {
        match state.options().mount {
            Mount::Refused => return Reply::error(405, "UNSUPPORTED", "no mounts here").done(),
            Mount::Accepted => {}
            Mount::Done => {
                if let Some(response) = mount(state, repository, digest, from, &request) {
                    return response;
                }
            }
        }
    }
    let id = state.contents().start_upload(repository);
    match query.get("digest") {
        Some(_) => proceed_at(state, repository, &id, query, request, true).await,
        None => whereabouts(state, repository, &id, 0, 202),
    }
}

fn mount(state: &State, repository: &str, digest: &str, from: &str, request: &Request) -> Option<Response> {
    let digest: Digest = digest.parse().ok()?;
    let is_there = state.contents().has_blob(from, &digest);
    if !is_there || !access::may_read(state, request, from) {
        return None;
    }
    state.contents().link_blob(repository, digest);
    Some(created(repository, &digest))
}

/// Answers requests about an upload under way.
pub(super) async fn proceed(
    state: &State,
    repository: &str,
    id: &str,
    query: &Query,
    request: Request,
) -> Response {
    let Some((_, length)) = state.contents().open_upload(repository, id) else { return unknown() };
    if query.get("_state").is_none() {
        return Reply::error(400, "BLOB_UPLOAD_INVALID", "the query of the location did not come back")
            .done();
    }
    match *request.method() {
        Method::GET => whereabouts(state, repository, id, length, 204),
        Method::DELETE => {
            state.contents().cancel_upload(id);
            Reply::new(204).done()
        }
        Method::PATCH => proceed_at(state, repository, id, query, request, false).await,
        Method::PUT => proceed_at(state, repository, id, query, request, true).await,
        _ => Reply::new(405).done(),
    }
}

async fn proceed_at(
    state: &State,
    repository: &str,
    id: &str,
    query: &Query,
    request: Request,
    is_last: bool,
) -> Response {
    let Some((file, length)) = state.contents().open_upload(repository, id) else { return unknown() };
    if let Some(refusal) = refusal(state, &request, is_last) {
        if state.options().hears_refused_out {
            request.into_body().into_data_stream().for_each(async |_| ()).await;
        }
        return refusal;
    }
    if begins_at(&request).is_some_and(|first| first != length) {
        return Reply::error(416, "RANGE_INVALID", &format!("the next byte is {length}")).done();
    }
    let digest = query.get("digest").map(str::parse::<Digest>);
    let Ok(length) = append(file, length, request.into_body()).await else {
        return Reply::error(400, "BLOB_UPLOAD_INVALID", "the body was cut off").done();
    };
    match (is_last, digest) {
        (false, _) => whereabouts(state, repository, id, length, 202),
        (true, Some(Ok(digest))) => match state.contents().finish_upload(repository, id, digest) {
            Ok(()) => created(repository, &digest),
            Err(got) => Reply::error(400, "DIGEST_INVALID", &format!("{digest} is sent, {got} came")).done(),
        },
        (true, _) => Reply::error(400, "DIGEST_INVALID", "no digest").done(),
    }
}

fn refusal(state: &State, request: &Request, is_last: bool) -> Option<Response> {
    if !is_last && !state.options().takes_chunks {
        return Some(Reply::error(405, "UNSUPPORTED", "no chunks here").done());
    }
    let is_too_much = length_of(request) > state.options().largest_body;
    is_too_much.then(|| Reply::error(413, "SIZE_INVALID", "too much at once").done())
}

fn length_of(request: &Request) -> u64 {
    let length = request.headers().get(header::CONTENT_LENGTH);
    length.and_then(|text| text.to_str().ok()?.parse().ok()).unwrap_or(0)
}

fn begins_at(request: &Request) -> Option<u64> {
    let range = request.headers().get(header::CONTENT_RANGE)?.to_str().ok()?;
    range.trim_start_matches("bytes ").split('-').next()?.parse().ok()
}

async fn append(mut file: File, mut length: u64, body: Body) -> Result<u64, axum::Error> {
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk?;
        file.write_all(&chunk).unwrap();
        length += chunk.len() as u64;
    }
    Ok(length)
}

/// The query in the location is the registry's own affair, and must come back with each request.
fn whereabouts(state: &State, repository: &str, id: &str, length: u64, status: u16) -> Response {
    let host = match state.options().relative_locations {
        true => String::new(),
        false => format!("http://{}", state.address),
    };
    let location = format!("{host}/v2/{repository}/blobs/uploads/{id}?_state={length}");
    Reply::new(status)
        .header("location", &location)
        .header("docker-upload-uuid", id)
        .header("range", &format!("0-{}", length.saturating_sub(1)))
        .done()
}

fn created(repository: &str, digest: &Digest) -> Response {
    Reply::new(201)
        .header("location", &format!("/v2/{repository}/blobs/{digest}"))
        .header("docker-content-digest", &digest.to_string())
        .done()
}

fn unknown() -> Response {
    Reply::error(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry").done()
}
