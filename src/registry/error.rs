//! What went wrong with a registry, and whether it may go better the next time.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::StatusCode;

use crate::digest::Digest;
use crate::store;

/// What could not be done, where, and why.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {place}: {reason}")]
pub struct Error {
    /// What was tried.
    pub action: &'static str,
    /// On what.
    pub place: String,
    /// Why not.
    pub reason: Box<Reason>,
}

impl Error {
    /// Whether the registry as a whole can't be reached or doesn't let us in, rather than this one thing being amiss.
    pub fn is_of_the_registry(&self) -> bool {
        matches!(*self.reason, Reason::Refused { .. } | Reason::Broken { .. })
    }

    pub(super) fn of(action: &'static str, place: String) -> impl FnOnce(Reason) -> Error {
        move |reason| Error { action, place, reason: Box::new(reason) }
    }
}

/// Why something could not be done.
#[derive(Debug, thiserror::Error)]
pub enum Reason {
    /// The registry doesn't let us.
    #[error("the registry refused {} ({}{message}){}", who(*.has_credentials), shown(*.status), hint(*.has_credentials))]
    Refused {
        /// 401 or 403.
        status: StatusCode,
        /// What it said, after a colon; or nothing.
        message: String,
        /// Whether it was shown any.
        has_credentials: bool,
    },
    /// The registry answered with another error.
    #[error("{request} was answered {}{message}", shown(*.status))]
    Answered {
        /// The method and the URL, as it may be shown.
        request: String,
        /// The status.
        status: StatusCode,
        /// What it said, after a colon; or nothing.
        message: String,
        /// How long it wants us to wait.
        retry_after: Option<Duration>,
    },
    /// The connection could not be made, or broke.
    #[error("{request} failed: {cause}")]
    Broken {
        /// The method and the URL, as it may be shown.
        request: String,
        /// The innermost cause.
        cause: String,
        /// Whether there is no use in trying again.
        is_permanent: bool,
    },
    /// Fewer bytes came than were announced.
    #[error("expected {expected} bytes, got {got}")]
    Truncated {
        /// How many were announced.
        expected: u64,
        /// How many came.
        got: u64,
    },
    /// The token is no longer good.
    #[error("the token expired while the request was under way")]
    Expired,
    /// An upload is no longer known.
    #[error("the registry has forgotten the upload")]
    Forgotten,
    /// It is not there.
    #[error("it is not there")]
    Missing,
    /// What came is not what it should be.
    #[error("{0}")]
    Unexpected(String),
    /// The store refused.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The disk refused.
    #[error("cannot {action} {}: {source}", .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

fn who(has_credentials: bool) -> &'static str {
    match has_credentials {
        true => "the credentials",
        false => "access without credentials",
    }
}

fn hint(has_credentials: bool) -> &'static str {
    match has_credentials {
        true => "\nhint: check username and password, and that they may do this in this repository",
        false => "\nhint: give a username and password, and check the repository's name",
    }
}

fn shown(status: StatusCode) -> String {
    match status.canonical_reason() {
        Some(name) => format!("{} {name}", status.as_u16()),
        None => status.as_u16().to_string(),
    }
}

impl Reason {
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Reason {
        let path = path.to_owned();
        move |source| Reason::Io { action, path, source }
    }

    /// Changes what others said, and where they pointed to.
    pub(super) fn map_texts(mut self, change: impl Fn(String) -> String) -> Reason {
        let texts = match &mut self {
            Reason::Refused { message, .. } => vec![message],
            Reason::Answered { request, message, .. } => vec![request, message],
            Reason::Broken { request, cause, .. } => vec![request, cause],
            Reason::Unexpected(text) => vec![text],
            Reason::Truncated { .. }
            | Reason::Expired
            | Reason::Forgotten
            | Reason::Missing
            | Reason::Store(_)
            | Reason::Io { .. } => Vec::new(),
        };
        for text in texts {
            *text = change(std::mem::take(text));
        }
        self
    }

    pub(super) fn mismatch(expected: &Digest, got: &Digest, what: &str) -> Reason {
        Reason::Unexpected(format!("expected {what} to be {expected}, got {got}"))
    }

    /// Whether it may go better the next time.
    pub(super) fn is_transient(&self) -> bool {
        match self {
            Reason::Answered { status, .. } => is_transient_status(*status),
            Reason::Broken { is_permanent, .. } => !is_permanent,
            Reason::Truncated { .. } | Reason::Expired | Reason::Forgotten => true,
            Reason::Refused { .. }
            | Reason::Missing
            | Reason::Unexpected(_)
            | Reason::Store(_)
            | Reason::Io { .. } => false,
        }
    }

    /// Returns how long the registry wants us to wait.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        let Reason::Answered { retry_after, .. } = self else { return None };
        *retry_after
    }

    pub(super) fn is_not_found(&self) -> bool {
        matches!(self, Reason::Missing)
            || matches!(self, Reason::Answered { status, .. } if *status == StatusCode::NOT_FOUND)
    }
}

fn is_transient_status(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 429 | 500 | 502..=504 | 507..=599)
}

/// Turns "not there" into nothing.
pub(super) fn or_none<T>(result: Result<T, Reason>) -> Result<Option<T>, Reason> {
    match result {
        Err(reason) if reason.is_not_found() => Ok(None),
        result => result.map(Some),
    }
}
