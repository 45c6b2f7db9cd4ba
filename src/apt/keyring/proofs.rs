//! Signatures that were found to be good before: arithmetic that need not be done again.
//!
//! All that stands here is that a key made a signature over something. Whether key and signature count, at which time,
//! for what, and whether they were taken back, is judged each time.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use pgp::packet::Signature;
use pgp::ser::Serialize;

use crate::digest::{Digest, Hasher};

/// Signatures that were found to be good, each as a digest of key, signature and what was signed. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Proofs {
    found: Arc<Mutex<BTreeSet<Digest>>>,
    used: Arc<Mutex<BTreeSet<Digest>>>,
}

impl Proofs {
    /// Returns the same proofs and `more`, of which none was used yet; what is found is found for all.
    pub fn with(&self, more: impl IntoIterator<Item = Digest>) -> Proofs {
        lock(&self.found).extend(more);
        Proofs { found: self.found.clone(), used: Arc::default() }
    }

    /// Returns those that were used or found since.
    pub fn used(&self) -> BTreeSet<Digest> {
        lock(&self.used).clone()
    }

    /// Whether `key` made `signature` over `signed`, as is known or `verify` finds; only what is good is remembered.
    /// `what` tells signatures apart that are over the same in another sense.
    pub(super) fn hold(
        &self,
        what: &str,
        key: &impl Serialize,
        signature: &Signature,
        signed: Option<&[u8]>,
        verify: impl FnOnce() -> bool,
    ) -> bool {
        let Some(statement) = statement(what, key, signature, signed) else { return verify() };
        let is_good = lock(&self.found).contains(&statement) || verify();
        if is_good {
            lock(&self.found).insert(statement);
            lock(&self.used).insert(statement);
        }
        is_good
    }
}

/// Returns a packet's bytes, where it has any.
pub(super) fn bytes(packet: &impl Serialize) -> Option<Vec<u8>> {
    packet.to_bytes().ok()
}

/// A new builder may see a signature in another light.
fn statement(
    what: &str,
    key: &impl Serialize,
    signature: &Signature,
    signed: Option<&[u8]>,
) -> Option<Digest> {
    let (key, signature) = (bytes(key)?, bytes(signature)?);
    let mut hasher = Hasher::new();
    for part in
        [env!("CARGO_PKG_VERSION").as_bytes(), what.as_bytes(), key.as_slice(), signature.as_slice(), signed?]
    {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    Some(hasher.finish().0)
}

fn lock(digests: &Mutex<BTreeSet<Digest>>) -> std::sync::MutexGuard<'_, BTreeSet<Digest>> {
    digests.lock().unwrap_or_else(PoisonError::into_inner)
}
