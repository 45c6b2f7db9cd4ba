//! What a registry wants to see before it answers: nothing, a password, or a token.
//!
//! A token is fetched when a registry asks for one, once for each set of scopes, and anew when it
//! is no longer taken. See the distribution project's "Token Authentication Specification" and, for
//! identity tokens, its "Oauth2 Token Authentication".
//! `oci-client` can do this for one repository, but asks for one scope only (a mount needs two) and
//! doesn't tell which status the token server answered (a 503 is worth another try, a 401 is not).

use std::collections::BTreeMap;
use std::sync::{Mutex as StdMutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use reqwest::header::{self, HeaderValue};
use reqwest::{Method, Request, StatusCode, Url};
use serde::Deserialize;
use tokio::sync::Mutex;

use super::wire::{Response, Wire};
use super::{Access, Credentials, Reason};
use crate::redact::{self, Secret};

/// How large the answer of a token server may be, in bytes.
const TOKEN_LIMIT: u64 = 1 << 20;

/// What we call ourselves to token servers.
const CLIENT_ID: &str = "estaleiro";

/// What is to be done in a repository.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Scope {
    /// Read.
    Pull,
    /// Read and write.
    Push,
    /// Read and write, and read another repository of the same registry.
    Mount(String),
}

impl Scope {
    fn words(&self, repository: &str) -> Vec<String> {
        match self {
            Scope::Pull => vec![format!("repository:{repository}:pull")],
            Scope::Push => vec![format!("repository:{repository}:pull,push")],
            Scope::Mount(from) => {
                vec![format!("repository:{repository}:pull,push"), format!("repository:{from}:pull")]
            }
        }
    }
}

/// What a registry wants to see.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Challenge {
    Basic,
    Bearer { realm: String, service: Option<String> },
}

/// What is shown to one registry.
pub(super) struct Auth {
    repository: String,
    access: Access,
    state: Mutex<State>,
    /// The tokens that were shown, lest a registry's words show one to people.
    issued: StdMutex<Vec<Secret>>,
}

#[derive(Default)]
struct State {
    challenge: Option<Challenge>,
    tokens: BTreeMap<Scope, Secret>,
}

impl Auth {
    pub(super) fn new(repository: &str, access: &Access) -> Auth {
        let (repository, access) = (repository.to_owned(), access.clone());
        Auth { repository, access, state: Mutex::default(), issued: StdMutex::default() }
    }

    /// Returns the `Authorization` for a request, fetching a token if need be.
    pub(super) async fn header(&self, wire: &Wire, scope: &Scope) -> Result<Option<HeaderValue>, Reason> {
        // The lock is held while a token is fetched, so that many requests at once fetch one.
        let mut state = self.state.lock().await;
        let text = match &state.challenge {
            None => return Ok(None),
            Some(Challenge::Basic) => match self.password() {
                None => return Ok(None),
                Some(credentials) => basic(credentials),
            },
            Some(Challenge::Bearer { realm, service }) => match state.tokens.get(scope) {
                Some(token) => bearer(token),
                None => {
                    let token = self.fetch(wire, realm, service.as_deref(), scope).await?;
                    let text = bearer(&token);
                    self.issued().push(token.clone());
                    state.tokens.insert(scope.clone(), token);
                    text
                }
            },
        };
        sensitive(&text).map(Some)
    }

    /// Learns from a 401 what the registry wants, and that what it was shown is no longer good.
    pub(super) async fn learn(&self, refused: &Response, scope: &Scope, shown: Option<&HeaderValue>) {
        let mut state = self.state.lock().await;
        if let Some(challenge) = strongest_challenge(&refused.headers(&header::WWW_AUTHENTICATE)) {
            state.challenge = Some(challenge);
        }
        // Another request may have fetched a new token in the meantime.
        let is_current = |token: &Secret| Some(bearer(token).as_bytes()) == shown.map(HeaderValue::as_bytes);
        if state.tokens.get(scope).is_some_and(is_current) {
            state.tokens.remove(scope);
        }
    }

    /// Takes every secret out of what somebody said.
    pub(super) fn scrub(&self, text: String) -> String {
        let mut secrets: Vec<String> = self.issued().iter().map(|token| token.expose().to_owned()).collect();
        if let Some(credentials) = &self.access.credentials {
            secrets.extend([credentials.password.expose().to_owned(), encoded(credentials)]);
        }
        redact::all(text, &secrets)
    }

    fn issued(&self) -> MutexGuard<'_, Vec<Secret>> {
        self.issued.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns name and password; an identity token is for token servers alone.
    fn password(&self) -> Option<&Credentials> {
        self.access.credentials.as_ref().filter(|credentials| credentials.identity_token().is_none())
    }

    pub(super) fn has_credentials(&self) -> bool {
        self.access.credentials.is_some()
    }

    async fn fetch(
        &self,
        wire: &Wire,
        realm: &str,
        service: Option<&str>,
        scope: &Scope,
    ) -> Result<Secret, Reason> {
        let realm = self.realm(realm)?;
        let identity = self.access.credentials.as_ref().and_then(Credentials::identity_token);
        let mut response = match identity {
            Some(token) => {
                // What follows a redirect would take the token along.
                let wire = Wire::direct(&self.access)?;
                wire.exchange(self.exchange_of(token, realm, service, scope)).await?
            }
            None => wire.exchange(self.question(realm, service, scope)?).await?,
        };
        match response.status() {
            StatusCode::OK => token_in(&response.read(TOKEN_LIMIT).await?),
            _ => Err(self.reason(response).await),
        }
    }

    /// Returns the error that an answer is.
    pub(super) async fn reason(&self, response: Response) -> Reason {
        match response.into_reason(|text| self.scrub(text)).await {
            Reason::Answered { status, message, .. }
                if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) =>
            {
                Reason::Refused { status, message, has_credentials: self.has_credentials() }
            }
            reason => reason,
        }
    }

    /// Reads where the token server is, and refuses one that is not spoken to in private.
    fn realm(&self, realm: &str) -> Result<Url, Reason> {
        let unexpected = |why: &str| Reason::Unexpected(format!("the registry's token server {why}"));
        let url = Url::parse(realm).map_err(|_| unexpected("has no URL"))?;
        match url.scheme() {
            "https" => Ok(url),
            "http" if self.access.allows_plain_http(url.host_str().unwrap_or_default()) => Ok(url),
            _ => Err(unexpected("is not reached by https")),
        }
    }

    /// Asks for a token with name and password, or as nobody in particular.
    fn question(&self, mut url: Url, service: Option<&str>, scope: &Scope) -> Result<Request, Reason> {
        let words = scope.words(&self.repository);
        url.query_pairs_mut()
            .extend_pairs(service.map(|service| ("service", service)))
            .extend_pairs(words.iter().map(|word| ("scope", word)));
        let mut request = Request::new(Method::GET, url);
        if let Some(credentials) = self.password() {
            request.headers_mut().insert(header::AUTHORIZATION, sensitive(&basic(credentials))?);
        }
        Ok(request)
    }

    /// Asks for a token in exchange for an identity token (RFC 6749, section 6).
    fn exchange_of(&self, identity: &Secret, url: Url, service: Option<&str>, scope: &Scope) -> Request {
        let form = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "refresh_token")
            .append_pair("refresh_token", identity.expose())
            .append_pair("client_id", CLIENT_ID)
            .extend_pairs(service.map(|service| ("service", service)))
            .append_pair("scope", &scope.words(&self.repository).join(" "))
            .finish();
        let mut request = Request::new(Method::POST, url);
        let form_type = HeaderValue::from_static("application/x-www-form-urlencoded");
        request.headers_mut().insert(header::CONTENT_TYPE, form_type);
        *request.body_mut() = Some(form.into());
        request
    }
}

fn token_in(body: &[u8]) -> Result<Secret, Reason> {
    #[derive(Deserialize)]
    struct Answer {
        token: Option<Secret>,
        access_token: Option<Secret>,
    }
    serde_json::from_slice::<Answer>(body)
        .ok()
        .and_then(|answer| answer.token.or(answer.access_token))
        .ok_or_else(|| Reason::Unexpected("the registry's token server answered without a token".into()))
}

fn encoded(credentials: &Credentials) -> String {
    BASE64.encode(format!("{}:{}", credentials.username, credentials.password.expose()))
}

fn basic(credentials: &Credentials) -> String {
    format!("Basic {}", encoded(credentials))
}

fn bearer(token: &Secret) -> String {
    format!("Bearer {}", token.expose())
}

fn sensitive(text: &str) -> Result<HeaderValue, Reason> {
    let mut value = HeaderValue::from_str(text)
        .map_err(|_| Reason::Unexpected("the registry's token cannot be sent in a header".into()))?;
    value.set_sensitive(true);
    Ok(value)
}

/// Chooses the first challenge by token, else the one by password.
fn strongest_challenge(headers: &[&str]) -> Option<Challenge> {
    let challenges: Vec<_> = headers.iter().flat_map(|header| parse_challenges(header)).collect();
    let bearer = challenges.iter().find_map(|(scheme, parameters)| {
        let realm = scheme.eq_ignore_ascii_case("bearer").then(|| parameters.get("realm"))??.clone();
        Some(Challenge::Bearer { realm, service: parameters.get("service").cloned() })
    });
    let is_basic = challenges.iter().any(|(scheme, _)| scheme.eq_ignore_ascii_case("basic"));
    bearer.or(is_basic.then_some(Challenge::Basic))
}

/// Reads the schemes of a `WWW-Authenticate` and their parameters (RFC 9110, section 11.6.1).
fn parse_challenges(header: &str) -> Vec<(String, BTreeMap<String, String>)> {
    let mut challenges: Vec<(String, BTreeMap<String, String>)> = Vec::new();
    let mut rest = header;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let end = rest.find([' ', '\t', ',', '=']).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        match (after.strip_prefix('='), challenges.last_mut()) {
            (Some(after), Some((_, parameters))) => {
                let (value, after) = parse_value(after);
                parameters.insert(word.to_ascii_lowercase(), value);
                rest = after;
            }
            _ if word.is_empty() => return challenges,
            _ => {
                challenges.push((word.to_owned(), BTreeMap::new()));
                rest = after;
            }
        }
    }
}

/// Reads a parameter's value, quoted or not; returns what comes after it as well.
fn parse_value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([' ', '\t', ',']).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((position, character)) = characters.next() {
        match character {
            '"' => return (value, &quoted[position + 1..]),
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            _ => value.push(character),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_preferred_over_a_password() {
        let bearer =
            Challenge::Bearer { realm: "https://auth.example/t".into(), service: Some("a, b".into()) };
        for (headers, expected) in [
            (vec![r#"Bearer realm="https://auth.example/t",service="a, b",scope="x""#], Some(bearer.clone())),
            (
                vec!["Basic realm=x", r#"bearer Realm="https://auth.example/t", service="a\, b""#],
                Some(bearer),
            ),
            (vec![r#"Basic realm="Registry""#], Some(Challenge::Basic)),
            (vec!["Bearer service=x"], None),
            (vec!["", "=", ",,", "Negotiate"], None),
        ] {
            assert_eq!(strongest_challenge(&headers), expected, "{headers:?}");
        }
    }

    #[test]
    fn an_unfinished_challenge_ends_somewhere() {
        for header in [r#"Bearer realm="x"#, r#"Bearer realm="x\"#, "Bearer realm=", "Bearer ==", "= = ="] {
            parse_challenges(header);
        }
    }

    #[test]
    fn what_a_registry_echoes_is_scrubbed() {
        let credentials = Credentials { username: "alice".into(), password: Secret::new("hunter2") };
        let auth = Auth::new("app", &Access { credentials: Some(credentials), ..Access::default() });
        let said = "denied hunter2, Basic YWxpY2U6aHVudGVyMg==".to_owned();
        assert_eq!(auth.scrub(said), "denied ***, Basic ***");
    }
}
