//! One HTTP exchange: the client, bounded bodies, errors that show no secret.
//!
//! Neither registries nor retries are known here.

use std::time::Duration;

use bytes::Bytes;
use oci_client::errors::OciEnvelope;
use reqwest::header::{self, HeaderName};
use reqwest::{Client, Method, Request, StatusCode, Url};

use super::{Access, Reason};
use crate::{redact, transport};

/// How much of an error's body is read, in bytes.
const ERROR_LIMIT: u64 = 16 << 10;

/// How often a request is redirected at most.
const REDIRECT_LIMIT: usize = 5;

/// How long the transport itself would wait: for ever. Its clock runs from a request's first byte, so
/// that it would cut long uploads off; here it is silence that counts.
const NO_TIMEOUT: Duration = Duration::from_secs(365 * 24 * 3600);

/// The wire that all requests of a repository go over.
pub(super) struct Wire {
    http: Client,
    /// How long the other side may be silent.
    pub(super) silence: Duration,
}

/// An answer, and the question for people.
pub(super) struct Response {
    request: String,
    inner: reqwest::Response,
    silence: Duration,
    /// Bytes of the body that were put back.
    rest: Option<Bytes>,
}

impl Wire {
    pub(super) fn new(access: &Access) -> Result<Wire, Reason> {
        Wire::with_redirects(access, REDIRECT_LIMIT)
    }

    /// Makes a wire for what nobody but the host that is asked may see: a redirect is an error.
    pub(super) fn direct(access: &Access) -> Result<Wire, Reason> {
        Wire::with_redirects(access, 0)
    }

    fn with_redirects(access: &Access, n_redirects: usize) -> Result<Wire, Reason> {
        let mut options = transport::Options {
            ca_certs: access.ca_certs.clone(),
            client_certificate: access.client_certificate.clone(),
            read_timeout: NO_TIMEOUT,
            n_redirects,
            ..transport::Options::default()
        };
        options.connect_timeout = options.connect_timeout.min(access.silence);
        let client = transport::Client::new(&options).map_err(|e| Reason::Unexpected(e.to_string()))?;
        Ok(Wire { http: client.reqwest().clone(), silence: access.silence })
    }

    /// Sends `request` and waits for the head of the answer.
    pub(super) async fn exchange(&self, request: Request) -> Result<Response, Reason> {
        let shown = label(request.method(), request.url());
        let answer = tokio::time::timeout(self.silence, self.exchange_unwatched(request)).await;
        answer.unwrap_or_else(|_| Err(silent(shown)))
    }

    /// Sends `request`, however long that takes: the caller watches whether it moves.
    pub(super) async fn exchange_unwatched(&self, request: Request) -> Result<Response, Reason> {
        let shown = label(request.method(), request.url());
        match self.http.execute(request).await {
            Ok(inner) => Ok(Response { request: shown, inner, silence: self.silence, rest: None }),
            Err(error) => Err(broken(shown, error)),
        }
    }
}

impl Response {
    pub(super) fn status(&self) -> StatusCode {
        self.inner.status()
    }

    /// Returns the URL that answered, after redirects.
    pub(super) fn url(&self) -> &Url {
        self.inner.url()
    }

    /// Returns a header's value, where it is text.
    pub(super) fn header(&self, name: &HeaderName) -> Option<&str> {
        self.inner.headers().get(name)?.to_str().ok()
    }

    /// Returns all values of a header.
    pub(super) fn headers(&self, name: &HeaderName) -> Vec<&str> {
        self.inner.headers().get_all(name).iter().filter_map(|value| value.to_str().ok()).collect()
    }

    /// Returns `Content-Type` without its parameters.
    pub(super) fn media_type(&self) -> Option<&str> {
        Some(self.header(&header::CONTENT_TYPE)?.split(';').next()?.trim())
    }

    /// Returns `Content-Length`; the answer to a HEAD has one without a body.
    pub(super) fn content_length(&self) -> Option<u64> {
        self.header(&header::CONTENT_LENGTH)?.parse().ok()
    }

    /// Returns where `Location` points to.
    pub(super) fn location(&self) -> Result<Url, Reason> {
        self.header(&header::LOCATION)
            .and_then(|location| self.url().join(location).ok())
            .ok_or_else(|| Reason::Unexpected(format!("{} was answered without a location", self.request)))
    }

    /// Returns the next bytes of the body.
    pub(super) async fn chunk(&mut self) -> Result<Option<Bytes>, Reason> {
        if let Some(rest) = self.rest.take() {
            return Ok(Some(rest));
        }
        match tokio::time::timeout(self.silence, self.inner.chunk()).await {
            Ok(chunk) => chunk.map_err(|error| broken(self.request.clone(), error)),
            Err(_) => Err(silent(self.request.clone())),
        }
    }

    /// Lets the next bytes of the body be these.
    pub(super) fn put_back(&mut self, rest: Bytes) {
        self.rest = Some(rest);
    }

    /// Reads the body whole; one of more than `limit` bytes is refused.
    pub(super) async fn read(&mut self, limit: u64) -> Result<Vec<u8>, Reason> {
        let too_long =
            || Reason::Unexpected(format!("{} was answered by more than {limit} bytes", self.request));
        if self.content_length().is_some_and(|length| length > limit) {
            return Err(too_long());
        }
        let too_long = too_long();
        let mut body = Vec::new();
        while let Some(chunk) = self.chunk().await? {
            if (body.len() + chunk.len()) as u64 > limit {
                return Err(too_long);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    /// Returns the error that this answer is; `scrub` takes secrets out of what the other side said.
    pub(super) async fn into_reason(mut self, scrub: impl Fn(String) -> String) -> Reason {
        let message = self.message(scrub).await;
        let retry_after = self.header(&header::RETRY_AFTER).and_then(|seconds| seconds.parse().ok());
        Reason::Answered {
            status: self.status(),
            request: self.request,
            message,
            retry_after: retry_after.map(Duration::from_secs),
        }
    }

    async fn message(&mut self, scrub: impl Fn(String) -> String) -> String {
        let body = self.read(ERROR_LIMIT).await.unwrap_or_default();
        let Ok(envelope) = serde_json::from_slice::<OciEnvelope>(&body) else { return String::new() };
        let messages: Vec<String> = envelope.errors.into_iter().map(|error| error.message).collect();
        match messages.concat().is_empty() {
            true => String::new(),
            false => format!(": {}", redact::line(&scrub(messages.join("; ")))),
        }
    }
}

pub(super) fn label(method: &Method, url: &Url) -> String {
    format!("{method} {}", redact::url(url.as_str()))
}

/// Returns the error of a request whose answer doesn't come.
pub(super) fn silent(request: String) -> Reason {
    Reason::Broken { request, cause: "the other side was silent for too long".into(), is_permanent: false }
}

fn broken(request: String, error: reqwest::Error) -> Reason {
    let error = transport::Error::network("", error);
    let is_permanent = !error.may_pass();
    let cause = match error {
        transport::Error::Network { reason, .. } | transport::Error::Redirect { reason, .. } => reason,
        error @ (transport::Error::Url { .. }
        | transport::Error::Status { .. }
        | transport::Error::Tls { .. }) => error.to_string(),
    };
    Reason::Broken { request, cause: redact::line(&cause), is_permanent }
}
