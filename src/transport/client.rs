//! The client, its options, and when it tries again.

use std::hash::{BuildHasher, Hasher};
use std::sync::{Arc, Once};
use std::time::Duration;

use bytes::Bytes;
use reqwest::ClientBuilder;
use reqwest::redirect::{Attempt, Policy};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::{ClientCertificate, Error, Response, authorities};
use crate::redact;

/// How a [`Client`] behaves.
#[derive(Clone, Debug)]
pub struct Options {
    /// Certificate authorities beside the machine's own, each a PEM text of one or more certificates.
    pub ca_certs: Vec<String>,
    /// The certificate that is shown to servers that ask for one.
    pub client_certificate: Option<ClientCertificate>,
    /// Whether `HTTP_PROXY` and its kin are heeded.
    pub uses_proxies: bool,
    /// What is sent as `User-Agent`.
    pub user_agent: String,
    /// How long a connection may take to come about.
    pub connect_timeout: Duration,
    /// How long the other side may stay silent.
    pub read_timeout: Duration,
    /// How many redirects are followed.
    pub n_redirects: usize,
    /// When to try again.
    pub retry: Retry,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            ca_certs: Vec::new(),
            client_certificate: None,
            uses_proxies: true,
            user_agent: format!("estaleiro/{}", env!("CARGO_PKG_VERSION")),
            connect_timeout: Duration::from_secs(20),
            read_timeout: Duration::from_secs(60),
            n_redirects: 10,
            retry: Retry::default(),
        }
    }
}

/// How often, and after what time, a request is tried again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    /// How many tries there are in all.
    pub n_tries: u32,
    /// The first pause; each further one is twice as long.
    pub first_pause: Duration,
    /// No pause is longer, whatever `Retry-After` says.
    pub longest_pause: Duration,
}

impl Default for Retry {
    fn default() -> Retry {
        Retry { n_tries: 5, first_pause: Duration::from_millis(500), longest_pause: Duration::from_secs(30) }
    }
}

impl Retry {
    /// Waits before another try, of which `n_done` are done.
    ///
    /// The pause is between half and the whole of what is due, so that many builds that failed
    /// together do not come back together.
    pub async fn pause(&self, n_done: u32) {
        let due = self.due(n_done);
        tokio::time::sleep(due / 2 + due.mul_f64(random_fraction() / 2.0)).await;
    }

    fn due(&self, n_done: u32) -> Duration {
        let factor = 1_u32 << n_done.saturating_sub(1).min(16);
        self.first_pause.saturating_mul(factor).min(self.longest_pause)
    }
}

/// The seed of the standard hash map is random, and random enough for this.
fn random_fraction() -> f64 {
    let random = std::hash::RandomState::new().build_hasher().finish();
    f64::from((random >> 32) as u32) / f64::from(u32::MAX)
}

/// An HTTP client. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    ca_certs: Arc<[String]>,
    retry: Retry,
}

impl Client {
    /// Makes a client.
    ///
    /// It trusts the machine's certificate authorities (or those of `SSL_CERT_FILE` and
    /// `SSL_CERT_DIR`) beside the given ones, and honours `HTTP_PROXY` and its kin.
    pub fn new(options: &Options) -> Result<Client, Error> {
        install_tls_provider();
        let unusable = |reason: String| Error::Tls { reason };
        let given = certificates(&options.ca_certs)?;
        let shown = options.client_certificate.as_ref();
        let tls = authorities::configuration(&given, shown).map_err(unusable)?;
        let http = builder(options).tls_backend_preconfigured(tls).build();
        let http = http.map_err(|error| unusable(super::error::innermost(&error)))?;
        Ok(Client { http, ca_certs: options.ca_certs.clone().into(), retry: options.retry.clone() })
    }

    /// Asks for `url`; answers other than 2xx and 304 are errors, and what may pass is tried again.
    ///
    /// A user and a password in the URL are sent as basic authorization, and never shown.
    pub async fn get(&self, url: &str, headers: &[(&str, &str)]) -> Result<Response, Error> {
        self.ask(url, headers, None).await
    }

    /// Sends `body` to `url`, which must bear to be asked twice; else as [`Client::get`].
    pub async fn post(&self, url: &str, headers: &[(&str, &str)], body: Bytes) -> Result<Response, Error> {
        self.ask(url, headers, Some(body)).await
    }

    async fn ask(&self, url: &str, headers: &[(&str, &str)], body: Option<Bytes>) -> Result<Response, Error> {
        let mut n_done = 0;
        loop {
            let Failure(error, retry_after) = match self.ask_once(url, headers, body.clone()).await {
                Ok(response) => return Ok(response),
                Err(failure) => failure,
            };
            n_done += 1;
            if n_done >= self.retry.n_tries || !error.may_pass() {
                return Err(error);
            }
            match retry_after {
                Some(pause) => tokio::time::sleep(pause.min(self.retry.longest_pause)).await,
                None => self.retry.pause(n_done).await,
            }
        }
    }

    /// Returns the client underneath, for rooms that send what [`Client::get`] cannot.
    pub fn reqwest(&self) -> &reqwest::Client {
        &self.http
    }

    /// Returns the certificate authorities beside the machine's own, as PEM texts.
    pub fn ca_certs(&self) -> &[String] {
        &self.ca_certs
    }

    /// Returns when it tries again, for those who read a body that may break off.
    pub fn retry(&self) -> &Retry {
        &self.retry
    }

    async fn ask_once(
        &self,
        url: &str,
        headers: &[(&str, &str)],
        body: Option<Bytes>,
    ) -> Result<Response, Failure> {
        let parsed = parse_url(url)?;
        let request = match body {
            Some(body) => self.http.post(parsed).body(body),
            None => self.http.get(parsed),
        };
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let answer = request.send().await.map_err(|error| Error::network(url, error))?;
        let status = answer.status();
        if status.is_success() || status == reqwest::StatusCode::NOT_MODIFIED {
            return Ok(Response::new(url, answer));
        }
        let error = Error::Status { url: redact::url(url), status: status.as_u16() };
        Err(Failure(error, retry_after(&answer)))
    }
}

/// An error, and how long the other side asks us to wait.
struct Failure(Error, Option<Duration>);

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure(error, None)
    }
}

fn parse_url(url: &str) -> Result<url::Url, Error> {
    let refuse = |reason: String| Error::Url { url: redact::url(url), reason };
    let parsed = url::Url::parse(url).map_err(|error| refuse(error.to_string()))?;
    match parsed.scheme() {
        "http" | "https" => Ok(parsed),
        scheme => Err(refuse(format!("expected http or https, got `{scheme}`"))),
    }
}

/// Only the form in seconds is heeded: the other one is relative to a clock that is not ours.
fn retry_after(answer: &reqwest::Response) -> Option<Duration> {
    let value = answer.headers().get("retry-after")?.to_str().ok()?;
    value.trim().parse().ok().map(Duration::from_secs)
}

fn builder(options: &Options) -> ClientBuilder {
    let builder = reqwest::Client::builder();
    let builder = if options.uses_proxies { builder } else { builder.no_proxy() };
    builder
        .user_agent(&options.user_agent)
        .connect_timeout(options.connect_timeout)
        .read_timeout(options.read_timeout)
        .referer(false)
        .redirect(redirects(options.n_redirects))
}

/// reqwest drops `Authorization` by itself when another host, port or scheme comes next.
fn redirects(limit: usize) -> Policy {
    Policy::custom(move |attempt| match refusal(&attempt, limit) {
        Some(reason) => attempt.error(reason),
        None => attempt.follow(),
    })
}

fn refusal(attempt: &Attempt<'_>, limit: usize) -> Option<String> {
    let was_encrypted = attempt.previous().iter().any(|url| url.scheme() == "https");
    let next = redact::url(attempt.url().as_str());
    match attempt.url().scheme() {
        "http" if was_encrypted => Some(format!("it redirects from https to {next}")),
        "http" | "https" if attempt.previous().len() > limit => {
            Some(format!("it redirects more than {limit} times"))
        }
        "http" | "https" => None,
        _ => Some(format!("it redirects to {next}")),
    }
}

fn certificates(ca_certs: &[String]) -> Result<Vec<CertificateDer<'static>>, Error> {
    let mut certificates = Vec::new();
    for pem in ca_certs {
        let unusable = |reason: String| Error::Tls { reason: format!("ca_certs: {reason}") };
        let found = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<Vec<_>, _>>();
        let found = found.map_err(|error| unusable(error.to_string()))?;
        if found.is_empty() {
            return Err(unusable("expected PEM certificates, found none".to_owned()));
        }
        certificates.extend(found);
    }
    Ok(certificates)
}

fn install_tls_provider() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // Whoever came first has installed a provider that serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let retry = Retry {
            n_tries: 9,
            first_pause: Duration::from_millis(500),
            longest_pause: Duration::from_secs(3),
        };
        let due: Vec<u128> = [1, 2, 3, 4, 200].iter().map(|&n| retry.due(n).as_millis()).collect();
        assert_eq!(due, [500, 1000, 2000, 3000, 3000]);
    }

    #[test]
    fn a_certificate_authority_that_is_none_is_refused() {
        for text in ["", "no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            let options = Options { ca_certs: vec![text.to_owned()], ..Options::default() };
            let error = Client::new(&options).unwrap_err().to_string();
            assert!(error.starts_with("cannot set up TLS: "), "{error}");
        }
    }

    #[test]
    fn only_http_is_asked_for() {
        let error = parse_url("ftp://user:hunter2@archive.example/x").unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot ask for ftp://archive.example/x: expected http or https, got `ftp`"
        );
    }
}
