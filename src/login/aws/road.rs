//! The road on which requests to AWS's APIs go: our transport, and endpoints as AWS's variables name them.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use reqsign_core::{Context, Env, FileRead, HttpSend};
use reqwest::{Request, Url, header};

use crate::login::exchange::{Answer, Exchange};

/// No token file is larger, in bytes.
const LARGEST_FILE: u64 = 1 << 20;

/// Sends requests, and remembers why the first of them failed, which `reqsign` doesn't tell.
#[derive(Clone, Debug)]
pub(super) struct Road(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    exchange: Exchange,
    failure: Mutex<Option<String>>,
}

impl Road {
    pub(super) fn new(exchange: Exchange) -> Road {
        Road(Arc::new(Inner { exchange, failure: Mutex::default() }))
    }

    /// Returns what `reqsign` finds around it.
    pub(super) fn context(&self) -> Context {
        Context::new().with_http_send(self.clone()).with_file_read(Files).with_env(Variables)
    }

    /// Sends a request; an answer other than 200 is an error with AWS's own words.
    pub(super) async fn ask(&self, request: http::Request<Bytes>) -> Result<Bytes, String> {
        let answer = self.send(request).await?;
        match answer.status.is_success() {
            true => Ok(answer.body),
            false => Err(refusal(&answer)),
        }
    }

    /// Returns why something failed: what went wrong on the road, else what `reqsign` says.
    pub(super) fn reason(&self, error: &reqsign_core::Error) -> String {
        let failure = self.0.failure.lock().unwrap_or_else(PoisonError::into_inner).clone();
        failure.unwrap_or_else(|| error.to_string())
    }

    async fn send(&self, request: http::Request<Bytes>) -> Result<Answer, String> {
        let mut request = Request::try_from(request).map_err(|error| error.without_url().to_string())?;
        if let Some(endpoint) = endpoint_of_sts(request.url()) {
            // The signature is for the host that AWS itself has.
            let host = request.url().host_str().and_then(|host| host.parse().ok());
            request.headers_mut().extend(host.map(|host| (header::HOST, host)));
            let query = request.url().query().map(str::to_owned);
            *request.url_mut() = endpoint;
            request.url_mut().set_query(query.as_deref());
        }
        self.0.exchange.send(request).await
    }

    fn remember(&self, failure: String) {
        self.0.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(failure);
    }
}

/// Returns where a service is, if a variable says so (AWS SDKs and Tools, "Service-specific endpoints").
pub(super) fn endpoint(service: &str) -> Option<Url> {
    if variable("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS").is_some_and(|value| value == "true") {
        return None;
    }
    let own = variable(&format!("AWS_ENDPOINT_URL_{service}"));
    Url::parse(&own.or_else(|| variable("AWS_ENDPOINT_URL"))?).ok()
}

fn endpoint_of_sts(url: &Url) -> Option<Url> {
    url.host_str().filter(|host| host.starts_with("sts."))?;
    endpoint("STS")
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

impl HttpSend for Road {
    async fn http_send(&self, request: http::Request<Bytes>) -> reqsign_core::Result<http::Response<Bytes>> {
        let answer = self.send(request).await.map_err(|failure| {
            self.remember(failure.clone());
            reqsign_core::Error::unexpected(failure)
        })?;
        if !answer.status.is_success() {
            self.remember(refusal(&answer));
        }
        let mut response = http::Response::new(answer.body);
        *response.status_mut() = answer.status;
        Ok(response)
    }
}

/// Returns an error in AWS's words, which are XML from STS, and JSON from the others.
fn refusal(answer: &Answer) -> String {
    let text = String::from_utf8_lossy(&answer.body);
    let xml = |tag: &str| Some(text.split_once(&format!("<{tag}>"))?.1.split_once("</")?.0.to_owned());
    let json: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let json = |names: [&str; 2]| Some(names.iter().find_map(|name| json[name].as_str())?.to_owned());
    let code = xml("Code").or_else(|| json(["__type", "code"])).unwrap_or_default();
    let message = xml("Message").or_else(|| json(["message", "Message"])).unwrap_or_default();
    let separator = if code.is_empty() || message.is_empty() { "" } else { ": " };
    answer.refusal(&format!("{code}{separator}{message}"))
}

/// The environment, empty variables left out.
#[derive(Debug)]
struct Variables;

impl Env for Variables {
    fn var(&self, name: &str) -> Option<String> {
        variable(name)
    }

    fn vars(&self) -> HashMap<String, String> {
        let texts = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        texts.filter(|(_, value)| !value.is_empty()).collect()
    }

    fn home_dir(&self) -> Option<PathBuf> {
        None
    }
}

/// Files with tokens, which AWS's variables name.
#[derive(Debug)]
struct Files;

impl FileRead for Files {
    async fn file_read(&self, path: &str) -> reqsign_core::Result<Vec<u8>> {
        crate::login::file::read(path.as_ref(), LARGEST_FILE)
            .map_err(|error| reqsign_core::Error::config_invalid(format!("cannot read {path}: {error}")))
    }
}
