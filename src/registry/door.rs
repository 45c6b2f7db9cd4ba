//! The door that every request to a remote registry goes through.
//!
//! It finds out how the registry is spoken to (TLS or, nearby, plain http; password or token), makes
//! a request again when that may help, and shows credentials to the registry alone.

use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{self, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Body, Method, Request, StatusCode, Url};
use tokio::sync::OnceCell;

use super::auth::{Auth, Scope};
use super::retry::Attempts;
use super::wire::{Response, Wire, label};
use super::{Access, Reason};

/// The way to one repository of a remote registry.
pub(super) struct Door {
    wire: Wire,
    host: String,
    access: Access,
    base: OnceCell<Url>,
    auth: Auth,
}

/// A request, to be sent once or more often.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    method: Method,
    target: Target,
    scope: Scope,
    headers: HeaderMap,
    body: Bytes,
}

/// Where a request goes.
#[derive(Clone, Debug)]
pub(super) enum Target {
    /// Below the registry's root, with a query.
    Path(String),
    /// Where the registry pointed to.
    Url(Url),
}

impl Ask {
    pub(super) fn new(method: Method, target: Target, scope: Scope) -> Ask {
        Ask { method, target, scope, headers: HeaderMap::new(), body: Bytes::new() }
    }

    pub(super) fn header(mut self, name: HeaderName, value: &str) -> Ask {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
        self
    }

    pub(super) fn body(self, body: Bytes) -> Ask {
        Ask { body, ..self }
    }

    /// Returns the request for people.
    pub(super) fn label(&self) -> String {
        match &self.target {
            Target::Path(path) => format!("{} /{path}", self.method),
            Target::Url(url) => label(&self.method, url),
        }
    }
}

impl Door {
    pub(super) fn new(host: &str, repository: &str, access: &Access) -> Result<Door, Reason> {
        Ok(Door {
            wire: Wire::new(access)?,
            host: host.to_owned(),
            access: access.clone(),
            base: OnceCell::new(),
            auth: Auth::new(repository, access),
        })
    }

    pub(super) fn attempts(&self) -> Attempts<'_> {
        Attempts::new(&self.access.retry)
    }

    /// Sends a request until it succeeds, or until there is no hope.
    pub(super) async fn request(&self, ask: &Ask) -> Result<Response, Reason> {
        let mut attempts = self.attempts();
        loop {
            match self.request_once(ask).await {
                Err(reason) if attempts.another(&reason).await => {}
                result => return result,
            }
        }
    }

    /// Sends a request, a second time if the registry asks for (other) credentials.
    pub(super) async fn request_once(&self, ask: &Ask) -> Result<Response, Reason> {
        self.ask_once(ask).await.map_err(|reason| self.scrubbed(reason))
    }

    async fn ask_once(&self, ask: &Ask) -> Result<Response, Reason> {
        let (response, shown) = self.send(ask).await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return self.checked(response).await;
        }
        self.auth.learn(&response, &ask.scope, shown.as_ref()).await;
        let (response, _) = self.send(ask).await?;
        self.checked(response).await
    }

    /// Sends a request whose body can be had only once; the caller watches whether it moves.
    pub(super) async fn request_streaming(&self, ask: &Ask, body: Body) -> Result<Response, Reason> {
        self.ask_streaming(ask, body).await.map_err(|reason| self.scrubbed(reason))
    }

    async fn ask_streaming(&self, ask: &Ask, body: Body) -> Result<Response, Reason> {
        let (mut request, shown) = self.prepare(ask).await?;
        *request.body_mut() = Some(body);
        let response = self.wire.exchange_unwatched(request).await?;
        // Whoever streams was let in before: it is the token that has become too old.
        if response.status() == StatusCode::UNAUTHORIZED && shown.is_some() {
            self.auth.learn(&response, &ask.scope, shown.as_ref()).await;
            return Err(Reason::Expired);
        }
        self.checked(response).await
    }

    /// Returns how long the registry may be silent.
    pub(super) fn silence(&self) -> Duration {
        self.wire.silence
    }

    fn scrubbed(&self, reason: Reason) -> Reason {
        reason.map_texts(|text| self.auth.scrub(text))
    }

    async fn checked(&self, response: Response) -> Result<Response, Reason> {
        match response.status().is_success() {
            true => Ok(response),
            false => Err(self.auth.reason(response).await),
        }
    }

    /// Sends a request once; returns the credentials that it showed as well.
    async fn send(&self, ask: &Ask) -> Result<(Response, Option<HeaderValue>), Reason> {
        let (mut request, shown) = self.prepare(ask).await?;
        *request.body_mut() = Some(Body::from(ask.body.clone()));
        Ok((self.wire.exchange(request).await?, shown))
    }

    /// Makes the request, and tells which credentials it shows.
    async fn prepare(&self, ask: &Ask) -> Result<(Request, Option<HeaderValue>), Reason> {
        let base = self.base().await?;
        let url = match &ask.target {
            Target::Path(path) => base.join(path).map_err(|e| Reason::Unexpected(e.to_string()))?,
            Target::Url(url) => url.clone(),
        };
        self.check_scheme(&url)?;
        let shown = match url.origin() == base.origin() {
            true => self.auth.header(&self.wire, &ask.scope).await?,
            false => None,
        };
        let mut request = Request::new(ask.method.clone(), url);
        *request.headers_mut() = ask.headers.clone();
        if let Some(shown) = &shown {
            request.headers_mut().insert(header::AUTHORIZATION, shown.clone());
        }
        Ok((request, shown))
    }

    fn check_scheme(&self, url: &Url) -> Result<(), Reason> {
        let host = url.host_str().unwrap_or_default();
        match url.scheme() {
            "https" => Ok(()),
            "http" if self.access.allows_plain_http(host) => Ok(()),
            scheme => Err(Reason::Unexpected(format!("it points to {scheme}://{host}, which is not secure"))),
        }
    }

    /// Returns the registry's root, which the first request finds; where it doesn't, that request is made again.
    async fn base(&self) -> Result<&Url, Reason> {
        self.base.get_or_try_init(|| self.ping_all()).await
    }

    /// Tries the schemes in turn.
    async fn ping_all(&self) -> Result<Url, Reason> {
        let mut first_failure: Option<Reason> = None;
        for scheme in self.schemes() {
            match self.ping(scheme).await {
                Ok(base) => return Ok(base),
                Err(reason @ Reason::Broken { is_permanent: true, .. }) => return Err(reason),
                Err(reason @ Reason::Answered { .. }) if reason.is_transient() => return Err(reason),
                Err(reason) => first_failure = first_failure.or(Some(reason)),
            }
        }
        Err(first_failure.unwrap_or(Reason::Missing))
    }

    /// A registry nearby with a port of its own speaks plain http more often than not, and some
    /// servers leave a TLS greeting unanswered; without a port each scheme has its own.
    fn schemes(&self) -> &'static [&'static str] {
        let url = Url::parse(&format!("https://{}", self.host)).ok();
        let host = url.as_ref().and_then(Url::host_str).unwrap_or_default();
        let has_port = url.as_ref().is_some_and(|url| url.port().is_some());
        match (self.access.allows_plain_http(host), has_port) {
            (false, _) => &["https"],
            (true, true) => &["http", "https"],
            (true, false) => &["https", "http"],
        }
    }

    /// Asks whether there is a registry, and what it wants to see; nothing is shown to it yet.
    async fn ping(&self, scheme: &str) -> Result<Url, Reason> {
        let url = Url::parse(&format!("{scheme}://{}/v2/", self.host))
            .map_err(|e| Reason::Unexpected(format!("`{}` is no host: {e}", self.host)))?;
        let response = self.wire.exchange(Request::new(Method::GET, url.clone())).await?;
        if response.status() == StatusCode::UNAUTHORIZED {
            self.auth.learn(&response, &Scope::Pull, None).await;
        } else if !response.status().is_success() {
            return Err(response.into_reason(|text| self.auth.scrub(text)).await);
        }
        let mut root = url;
        if response.url().host_str() == root.host_str() && response.url().scheme() == "https" {
            root = response.url().clone();
        }
        root.set_path("/");
        root.set_query(None);
        Ok(root)
    }
}
