//! What was seen in a repository since it was opened, and so isn't asked for again.
//!
//! Blobs and manifests stay where they are. What a tag stands for, and what refers to an image, may change: who
//! is going to change it himself asks anew.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::digest::Digest;
use crate::oci::Descriptor;

/// What was seen.
#[derive(Default)]
pub(super) struct Seen(Mutex<Sights>);

#[derive(Default)]
struct Sights {
    blobs: BTreeSet<Digest>,
    manifests: BTreeSet<Digest>,
    tags: BTreeMap<String, Descriptor>,
    referrers: BTreeMap<Digest, Vec<Descriptor>>,
}

impl Seen {
    fn sights(&self) -> MutexGuard<'_, Sights> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn blob(&self, digest: &Digest) {
        self.sights().blobs.insert(*digest);
    }

    pub(super) fn has_blob(&self, digest: &Digest) -> bool {
        self.sights().blobs.contains(digest)
    }

    /// Remembers a manifest, under its tag, too, if it was found by one.
    pub(super) fn manifest(&self, name: &str, found: &Descriptor) {
        let mut sights = self.sights();
        sights.manifests.insert(found.digest);
        if name.parse::<Digest>().is_err() {
            sights.tags.insert(name.to_owned(), found.clone());
        }
    }

    pub(super) fn has_manifest(&self, digest: &Digest) -> bool {
        self.sights().manifests.contains(digest)
    }

    pub(super) fn tag(&self, tag: &str) -> Option<Descriptor> {
        self.sights().tags.get(tag).cloned()
    }

    /// Remembers what refers to an image; `are_there` says that the registry itself keeps the list.
    pub(super) fn referrers(&self, subject: &Digest, listed: &[Descriptor], are_there: bool) {
        let mut sights = self.sights();
        sights.referrers.insert(*subject, listed.to_vec());
        if are_there {
            sights.manifests.extend(listed.iter().map(|referrer| referrer.digest));
        }
    }

    pub(super) fn referrers_of(&self, subject: &Digest) -> Option<Vec<Descriptor>> {
        self.sights().referrers.get(subject).cloned()
    }

    pub(super) fn forget_referrers(&self, subject: &Digest) {
        self.sights().referrers.remove(subject);
    }
}
