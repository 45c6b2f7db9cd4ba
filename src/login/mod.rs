//! Credentials for registries, from where others keep or make them: docker's and podman's configuration and their helpers,
//! Amazon's and Microsoft's clouds.
//!
//! Nothing is kept or changed here, and no registry is asked for more than a token.

mod agent;
mod aws;
mod azure;
mod config;
mod exchange;
mod file;
mod helper;
mod keychain;

pub use agent::{Agent, InvalidKey};
pub use aws::{Aws, Gallery, Keys};
pub use azure::{Azure, Environment, Identity};
pub use keychain::{Error, Keychain};

use crate::transport::Credentials;

/// What a cloud gives who signs in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignIn {
    /// The registry that the credentials are for: host and port.
    pub host: String,
    /// The credentials.
    pub credentials: Credentials,
}

/// Why a cloud gave no credentials; no secret is shown.
#[derive(Debug, thiserror::Error)]
#[error("cannot sign in to {what}: {reason}")]
pub struct Failed {
    what: &'static str,
    reason: String,
}
