//! An image that was built elsewhere and lies among files, with all that refers to it, on its way into a registry.
//!
//! It is an OCI layout, in a directory or in an archive, whose manifests are pushed as they are; or what
//! `docker save` writes, for which a manifest is made. Nothing is unpacked.

mod docker;
mod files;
mod judge;
mod layout;
mod push;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Result, bail};

use super::attach::generation;
use crate::digest::Digest;
use crate::oci::Descriptor;
use crate::registry::Section;
use crate::store::Store;
use files::Files;
pub use push::push;

/// The largest index of an archive or layout that is read, in bytes; also the largest configuration.
const LARGEST_INDEX: u64 = 16 << 20;

/// An image, or an index of images, and what refers to it.
pub struct Prebuilt {
    /// The image's manifest, or the index.
    pub root: Descriptor,
    /// Manifests and indexes, each after all that it names; the last one is the root.
    documents: Vec<Document>,
    /// Artifacts that refer to those, or to one another; each after what it refers to.
    referrers: Vec<Document>,
    /// Signatures and the like, which are found by a tag.
    tagged: Vec<Tagged>,
}

/// What refers to a digest by its tag alone: `sha256-….sig`, as cosign has it.
struct Tagged {
    tag: String,
    document: Document,
}

/// A manifest or index, and the blobs that it names.
#[derive(Clone)]
struct Document {
    descriptor: Descriptor,
    bytes: Vec<u8>,
    blobs: Vec<(Descriptor, Section)>,
    /// What it refers to.
    subject: Option<Digest>,
}

impl Prebuilt {
    /// Reads the image at `path`. What has to be compressed for it is kept in `store`.
    ///
    /// # Errors
    /// When it is none, or not the only one; when something of it is missing or isn't what it should be.
    pub fn open(path: &Path, store: &Store) -> Result<Prebuilt> {
        let files = Files::open(path)?;
        let has = |name: &str| Ok::<_, anyhow::Error>(files.find(name)?.is_some());
        match (has("oci-layout")? && has("index.json")?, has("manifest.json")?) {
            (true, false) => layout::read(&files),
            // `docker save` writes both, and the layers of both uncompressed.
            (true, true) if !docker::is_uncompressed(&files)? => layout::read(&files),
            (_, true) => docker::read(&files, store),
            (false, false) => bail!(
                "it is no image\nhint: expected an OCI layout (with `oci-layout` and `index.json`), as a directory or a tar archive, or what `docker save` writes (with `manifest.json`)"
            ),
        }
    }

    /// Returns the digest of the content of the newest of what refers to the image and is of one type.
    pub fn artifact(&self, artifact_type: &str) -> Option<Digest> {
        self.content_of(&self.root.digest, artifact_type).map(|(blob, _)| blob.digest)
    }

    /// Returns the content of the newest of what refers to `subject` and is of one type.
    fn content_of(&self, subject: &Digest, artifact_type: &str) -> Option<&(Descriptor, Section)> {
        self.newest_of(subject).get(artifact_type)?.blobs.first()
    }

    /// Returns what counts of each type of what refers to `subject`.
    fn documents_of(&self, subject: &Digest) -> Vec<Descriptor> {
        self.newest_of(subject).into_values().map(|document| document.descriptor.clone()).collect()
    }

    fn newest_of(&self, subject: &Digest) -> BTreeMap<&str, &Document> {
        let mut newest = BTreeMap::new();
        for document in self.referrers.iter().filter(|document| document.subject == Some(*subject)) {
            let Some(artifact_type) = document.descriptor.artifact_type.as_deref() else { continue };
            let known = newest.entry(artifact_type).or_insert(document);
            if generation(&known.descriptor) <= generation(&document.descriptor) {
                *known = document;
            }
        }
        newest
    }
}
