//! Signatures: keys of all kinds, images that are signed and verified, by us and by tools that nobody here wrote.
#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

#[path = "../put/pier.rs"]
#[allow(dead_code, reason = "the stories of puts use all of it")]
mod pier;
#[path = "../support/mod.rs"]
mod support;

mod images;
mod keys;
mod provenance;
mod shell;
mod shore;
mod tampering;

use estaleiro::digest::Digest;
use support::concourse::Version;

fn version(digest: &Digest) -> Version {
    Version::from([("tag".to_owned(), "latest".to_owned()), ("digest".to_owned(), digest.to_string())])
}
