//! What went wrong on the way to another host.

use std::fmt;

use crate::redact;

/// Why a request failed. The URL in it is fit to be shown.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text is no URL that could be asked for.
    #[error("cannot ask for {url}: {reason}")]
    Url {
        /// The text.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The other side answered, and the answer is no.
    #[error("cannot get {url}: {}{}", status_line(*status), hint(*status))]
    Status {
        /// What was asked for.
        url: String,
        /// The HTTP status code.
        status: u16,
    },
    /// No answer came, or it broke off.
    #[error("cannot get {url}: {reason}{}", certificate_hint(reason))]
    Network {
        /// What was asked for.
        url: String,
        /// What happened.
        reason: String,
        /// Whether another try may go better.
        may_pass: bool,
    },
    /// The answer pointed elsewhere, to where we do not go.
    #[error("cannot get {url}: {reason}")]
    Redirect {
        /// What was asked for.
        url: String,
        /// Why we do not go there.
        reason: String,
    },
    /// A further certificate authority cannot be read, or TLS cannot be set up.
    #[error("cannot set up TLS: {reason}")]
    Tls {
        /// Why not.
        reason: String,
    },
}

impl Error {
    /// Returns the HTTP status code, where there was an answer.
    pub fn status(&self) -> Option<u16> {
        match self {
            Error::Status { status, .. } => Some(*status),
            Error::Url { .. } | Error::Network { .. } | Error::Redirect { .. } | Error::Tls { .. } => None,
        }
    }

    /// Whether another try may go better.
    pub fn may_pass(&self) -> bool {
        match self {
            Error::Status { status, .. } => matches!(status, 408 | 429 | 500 | 502 | 503 | 504),
            Error::Network { may_pass, .. } => *may_pass,
            Error::Url { .. } | Error::Redirect { .. } | Error::Tls { .. } => false,
        }
    }

    /// Makes an error of one of reqwest's, whose own text would show the whole URL.
    pub fn network(url: &str, error: reqwest::Error) -> Error {
        let url = redact::url(url);
        let is_redirect = error.is_redirect();
        let error = error.without_url();
        let reason = innermost(&error);
        match is_redirect {
            true => Error::Redirect { url, reason },
            false => Error::Network { url, may_pass: may_pass(&error, &reason), reason },
        }
    }
}

/// reqwest's own text says little: "error sending request"; the cause at the bottom says what happened.
pub(super) fn innermost(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return if error.is_connect() {
            "no connection came about in time"
        } else {
            "no answer came in time"
        }
        .to_owned();
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

/// A certificate that is not trusted now will not be trusted in a second.
fn may_pass(error: &reqwest::Error, reason: &str) -> bool {
    !error.is_builder() && !reason.contains("certificate")
}

fn certificate_hint(reason: &str) -> &'static str {
    match reason.contains("certificate") {
        true => "\nhint: name the certificate authority in `ca_certs`, or in SSL_CERT_FILE",
        false => "",
    }
}

fn status_line(status: u16) -> impl fmt::Display {
    let phrase = reqwest::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
    phrase.map_or_else(|| format!("the answer was {status}"), |phrase| format!("{status} {phrase}"))
}

fn hint(status: u16) -> &'static str {
    match status {
        401 | 403 => "\nhint: check the credentials for this host",
        407 => "\nhint: the proxy wants credentials; give them in HTTP_PROXY or HTTPS_PROXY",
        _ => "",
    }
}
