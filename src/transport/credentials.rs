//! Who asks: a name with a password or identity token, and a certificate of one's own. None is ever printed.

use std::fmt;

use crate::redact::Secret;

/// The user whose password is an identity token, as docker's credential helpers have it.
const IDENTITY: &str = "<token>";

/// A user name and password, or what a server takes in their place. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user's name; `<token>` where the password is an identity token.
    pub username: String,
    /// The password or token.
    pub password: Secret,
}

impl Credentials {
    /// Makes the credentials that an identity token is: a token server gives access tokens for it (OAuth 2).
    pub fn identity(token: Secret) -> Credentials {
        Credentials { username: IDENTITY.into(), password: token }
    }

    /// Returns the identity token, if the password is one.
    pub fn identity_token(&self) -> Option<&Secret> {
        (self.username == IDENTITY).then_some(&self.password)
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(***)")
    }
}

/// A certificate that a client shows, and its private key.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The certificate and those that vouch for it, PEM.
    pub certificate: String,
    /// The private key, PEM.
    pub key: Secret,
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientCertificate(***)")
    }
}
