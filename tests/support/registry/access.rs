//! The registry's doorkeeper: basic authentication, or bearer tokens with a scope.

use axum::extract::Request;
use axum::http::header;
use axum::response::Response;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;

use super::State;
use super::answer::{Query, Reply};

/// Who may come in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Auth {
    /// Everybody.
    #[default]
    None,
    /// Who sends this name and password.
    Basic {
        /// The name.
        user: String,
        /// The password.
        password: String,
    },
    /// Who sends a token, given out at `/token` for this name and password.
    Bearer {
        /// The name.
        user: String,
        /// The password.
        password: String,
        /// Whether a token for reading is given to everybody.
        anonymous_pull: bool,
    },
}

/// What a token allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Grant {
    repository: String,
    actions: Vec<String>,
}

/// What a request needs: a repository and an action; the ping needs neither.
pub(super) type Need<'a> = Option<(&'a str, &'static str)>;

/// Returns the refusal, if the request may not come in.
pub(super) fn refuse(state: &State, request: &Request, need: Need<'_>) -> Option<Response> {
    match state.options().auth {
        Auth::None => None,
        Auth::Basic { user, password } => {
            if is_basic(request, &user, &password) {
                return None;
            }
            Some(unauthorized("Basic realm=\"registry\""))
        }
        Auth::Bearer { .. } => match grants(state, request) {
            Some(grants) if need.is_none_or(|(repository, action)| allows(&grants, repository, action)) => {
                None
            }
            _ => Some(unauthorized(&challenge(state, need))),
        },
    }
}

/// Whether the request may also read `repository`, from which it wants to mount.
pub(super) fn may_read(state: &State, request: &Request, repository: &str) -> bool {
    refuse(state, request, Some((repository, "pull"))).is_none()
}

fn allows(grants: &[Grant], repository: &str, action: &str) -> bool {
    let is_match = |grant: &Grant| {
        grant.repository == repository
            && grant.actions.iter().any(|granted| granted == action || granted == "*")
    };
    grants.iter().any(is_match)
}

fn grants(state: &State, request: &Request) -> Option<Vec<Grant>> {
    let token = authorization(request)?.strip_prefix("Bearer ")?.to_owned();
    state.tokens.lock().unwrap().get(&token).cloned()
}

fn authorization(request: &Request) -> Option<&str> {
    request.headers().get(header::AUTHORIZATION)?.to_str().ok()
}

fn is_basic(request: &Request, user: &str, password: &str) -> bool {
    let expected = format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")));
    authorization(request) == Some(expected.as_str())
}

fn unauthorized(challenge: &str) -> Response {
    Reply::error(401, "UNAUTHORIZED", "authentication required").header("www-authenticate", challenge).done()
}

fn challenge(state: &State, need: Need<'_>) -> String {
    let realm = format!("Bearer realm=\"http://{}/token\",service=\"registry\"", state.address);
    match need {
        None => realm,
        Some((repository, "pull")) => format!("{realm},scope=\"repository:{repository}:pull\""),
        Some((repository, "delete")) => format!("{realm},scope=\"repository:{repository}:delete\""),
        Some((repository, _)) => format!("{realm},scope=\"repository:{repository}:pull,push\""),
    }
}

/// Gives out a token.
pub(super) fn token(state: &State, request: &Request, query: &Query) -> Response {
    let Auth::Bearer { user, password, anonymous_pull } = state.options().auth else {
        return Reply::new(404).done();
    };
    let is_known = is_basic(request, &user, &password);
    if !is_known && (!anonymous_pull || authorization(request).is_some()) {
        return Reply::error(401, "UNAUTHORIZED", "incorrect username or password").done();
    }
    let mut grants: Vec<Grant> = query.all("scope").flat_map(|scope| parse_scope(&scope)).collect();
    if !is_known {
        grants.iter_mut().for_each(|grant| grant.actions.retain(|action| action == "pull"));
    }
    let mut tokens = state.tokens.lock().unwrap();
    let token = format!("token-{}-{}", state.address.port(), tokens.len() + 1);
    tokens.insert(token.clone(), grants);
    Reply::new(200).json(&json!({"token": token, "access_token": token, "expires_in": 300})).done()
}

/// Reads `repository:a/b:pull,push`; several may stand in one scope, with spaces between.
fn parse_scope(scope: &str) -> Vec<Grant> {
    let parse = |scope: &str| {
        let (repository, actions) = scope.strip_prefix("repository:")?.rsplit_once(':')?;
        let actions = actions.split(',').map(str::to_owned).collect();
        Some(Grant { repository: repository.to_owned(), actions })
    };
    scope.split(' ').filter_map(parse).collect()
}
