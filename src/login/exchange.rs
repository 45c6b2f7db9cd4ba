//! One question to a cloud's API: sent, asked again where that may help, and answered by a few bytes.
//!
//! A redirect is an error, so that what is sent stays with the host it was sent to.

use std::time::Duration;

use bytes::Bytes;
use reqwest::{Request, StatusCode, Url};

use crate::redact;
use crate::transport::{self, Client, Options, Retry};

/// No answer is longer, in bytes.
const LIMIT: usize = 1 << 20;

/// How much of what a cloud says about an error is shown, in characters.
const MESSAGE_LIMIT: usize = 300;

/// Headers and fields of forms that are secrets; whoever is asked may repeat them.
const SECRET_HEADERS: [&str; 3] = ["authorization", "x-amz-security-token", "x-aws-ec2-metadata-token"];
const SECRET_FIELDS: [&str; 5] =
    ["WebIdentityToken", "client_secret", "client_assertion", "access_token", "refresh_token"];

/// Asks clouds, and remembers what went wrong first.
#[derive(Debug)]
pub(super) struct Exchange {
    afar: Client,
    /// For what answers on the machine itself: at once or not at all, and through no proxy.
    near: Client,
}

/// What came back, whatever it says.
pub(super) struct Answer {
    /// The question, as it may be shown.
    pub(super) asked: String,
    pub(super) status: StatusCode,
    pub(super) body: Bytes,
    /// What was sent and must not be shown.
    secrets: Vec<String>,
}

impl Exchange {
    pub(super) fn new(ca_certs: &[String]) -> Result<Exchange, transport::Error> {
        let afar = Options { ca_certs: ca_certs.to_vec(), n_redirects: 0, ..Options::default() };
        let near = Options {
            connect_timeout: Duration::from_secs(2),
            read_timeout: Duration::from_secs(10),
            retry: Retry { n_tries: 2, ..Retry::default() },
            uses_proxies: false,
            ..afar.clone()
        };
        Ok(Exchange { afar: Client::new(&afar)?, near: Client::new(&near)? })
    }

    /// Sends a request, whose body must bear to be sent twice.
    pub(super) async fn send(&self, request: Request) -> Result<Answer, String> {
        let client = if is_on_this_machine(request.url()) { &self.near } else { &self.afar };
        let asked = format!("{} {}", request.method(), redact::url(request.url().as_str()));
        let secrets = secrets(&request);
        let mut n_done = 0;
        loop {
            let again = request.try_clone();
            let result =
                send_once(client, again.ok_or("internal error: the request can't be sent twice")?).await;
            n_done += 1;
            let may_pass = match &result {
                Ok((status, _)) => matches!(status.as_u16(), 408 | 429 | 500 | 502..=504),
                Err(error) => error.may_pass(),
            };
            if may_pass && n_done < client.retry().n_tries {
                client.retry().pause(n_done).await;
                continue;
            }
            return match result {
                Ok((status, body)) => Ok(Answer { asked, status, body, secrets }),
                Err(transport::Error::Network { reason, .. } | transport::Error::Redirect { reason, .. }) => {
                    Err(format!("{asked} failed: {reason}"))
                }
                Err(error) => Err(error.to_string()),
            };
        }
    }
}

async fn send_once(client: &Client, request: Request) -> Result<(StatusCode, Bytes), transport::Error> {
    let url = request.url().to_string();
    let failed = |error| transport::Error::network(&url, error);
    let mut answer = client.reqwest().execute(request).await.map_err(failed)?;
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(failed)? {
        if body.len() + chunk.len() > LIMIT {
            let (url, reason) = (redact::url(&url), format!("the answer is longer than {LIMIT} bytes"));
            return Err(transport::Error::Network { url, reason, may_pass: false });
        }
        body.extend_from_slice(&chunk);
    }
    Ok((answer.status(), body.into()))
}

impl Answer {
    /// Says that it is no; `message` is what the other side gave for a reason.
    pub(super) fn refusal(&self, message: &str) -> String {
        let message = redact::all(message.to_owned(), &self.secrets);
        let message: String = message.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let message: String = message.trim().chars().take(MESSAGE_LIMIT).collect();
        let separator = if message.is_empty() { "" } else { ": " };
        format!("{} was answered {}{separator}{message}", self.asked, self.status)
    }
}

fn secrets(request: &Request) -> Vec<String> {
    let headers = SECRET_HEADERS.iter().filter_map(|name| request.headers().get(*name)?.to_str().ok());
    let form = request.body().and_then(|body| body.as_bytes()).unwrap_or_default();
    let fields = url::form_urlencoded::parse(form).filter(|(name, _)| SECRET_FIELDS.contains(&name.as_ref()));
    headers.map(str::to_owned).chain(fields.map(|(_, value)| value.into_owned())).collect()
}

/// Whether a host is this machine, or where clouds tell it who it is.
fn is_on_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback() || address.is_link_local(),
        Some(url::Host::Ipv6(address)) => address.is_loopback() || address.is_unique_local(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    }
}
