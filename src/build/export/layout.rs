//! An OCI layout of an image, or of an index with all its images, and of what refers to them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use anyhow::{Context as _, Result, bail};
use futures_util::future::try_join_all;
use futures_util::{StreamExt, TryStreamExt, stream};

use super::N_PARALLEL;
use crate::digest::Digest;
use crate::oci::{Descriptor, Index, Manifest, media_type};
use crate::progress::Progress;
use crate::registry::{Registry, signature_tags};
use crate::store::Store;

/// How deep indexes may lie in one another.
const MAX_DEPTH: usize = 4;
/// How many manifests and indexes are copied, and how many bytes they may have together: they are held in memory.
const MAX_DOCUMENTS: usize = 10_000;
const MAX_BYTES: usize = 64 << 20;

/// A manifest or index.
struct Document {
    descriptor: Descriptor,
    bytes: Vec<u8>,
    blobs: Vec<Descriptor>,
}

/// What is copied, each after what it names or refers to.
#[derive(Default)]
struct Haul {
    images: Vec<Document>,
    referrers: Vec<Document>,
    signatures: Vec<(String, Document)>,
    known: BTreeSet<Digest>,
    n_bytes: usize,
}

/// Copies the image or index `digest` of `registry` into the layout `target`, under `tag`; its blobs come through `store`,
/// which should be on the same file system. Returns what it is.
pub async fn layout(
    digest: &Digest,
    registry: &Registry,
    target: &Registry,
    tag: &str,
    store: &Store,
    progress: &Progress,
) -> Result<Descriptor> {
    let mut haul = Haul::default();
    haul.image(digest, registry, 0).await?;
    haul.referrers(registry).await?;
    haul.pull(registry, target, store, progress).await?;
    for document in &haul.images {
        put(document, &document.descriptor.digest.to_string(), target).await?;
    }
    let referrers: Vec<&[u8]> = haul.referrers.iter().map(|referrer| referrer.bytes.as_slice()).collect();
    target.attach_manifests(&referrers).await?;
    for (tag, signature) in &haul.signatures {
        put(signature, tag, target).await?;
    }
    let root = haul.images.last().context("internal error: nothing was copied")?;
    put(root, tag, target).await?;
    Ok(root.descriptor.clone())
}

async fn put(document: &Document, name: &str, target: &Registry) -> Result<()> {
    target.push_manifest(name, &document.descriptor.media_type, &document.bytes).await?;
    Ok(())
}

async fn read(name: &str, registry: &Registry) -> Result<Option<Document>> {
    let Some((descriptor, bytes)) = registry.manifest(name).await? else { return Ok(None) };
    let blobs = match is_index(&descriptor) {
        true => Vec::new(),
        false => {
            let manifest = Manifest::parse(&bytes).with_context(|| format!("cannot read manifest {name}"))?;
            manifest.layers.into_iter().chain([manifest.config]).collect()
        }
    };
    Ok(Some(Document { descriptor, bytes, blobs }))
}

impl Haul {
    /// Reads a manifest, or an index after all that it names.
    async fn image(&mut self, digest: &Digest, registry: &Registry, depth: usize) -> Result<()> {
        let document = read(&digest.to_string(), registry).await?;
        let document = document.with_context(|| format!("{digest} is gone from {}", registry.name()))?;
        if is_index(&document.descriptor) {
            if depth == MAX_DEPTH {
                bail!("its indexes lie more than {MAX_DEPTH} deep in one another");
            }
            for child in Index::parse(&document.bytes)?.manifests {
                if !self.known.contains(&child.digest) {
                    Box::pin(self.image(&child.digest, registry, depth + 1)).await?;
                }
            }
        }
        if self.is_new(&document)? {
            self.images.push(document);
        }
        Ok(())
    }

    /// Reads what refers to the images, and what refers to that.
    async fn referrers(&mut self, registry: &Registry) -> Result<()> {
        let images: Vec<Digest> = self.images.iter().map(|image| image.descriptor.digest).collect();
        let mut subjects: VecDeque<Digest> = images.iter().copied().collect();
        while let Some(subject) = subjects.pop_front() {
            let listed = registry.referrers(&subject, None).await?;
            let new = listed.iter().filter(|referrer| !self.known.contains(&referrer.digest));
            let names: Vec<String> = new.map(|referrer| referrer.digest.to_string()).collect();
            for document in try_join_all(names.iter().map(|name| read(name, registry))).await? {
                // One that is listed, and gone, is no loss of the image's.
                let Some(document) = document else { continue };
                if self.is_new(&document)? {
                    subjects.push_back(document.descriptor.digest);
                    self.referrers.push(document);
                }
            }
        }
        for tag in images.iter().flat_map(signature_tags) {
            if let Some(document) = read(&tag, registry).await?
                && self.is_new(&document)?
            {
                self.signatures.push((tag, document));
            }
        }
        Ok(())
    }

    fn is_new(&mut self, document: &Document) -> Result<bool> {
        if !self.known.insert(document.descriptor.digest) {
            return Ok(false);
        }
        self.n_bytes += document.bytes.len();
        match self.known.len() > MAX_DOCUMENTS || self.n_bytes > MAX_BYTES {
            true => bail!("its manifests are more than {MAX_DOCUMENTS}, or have more than {MAX_BYTES} bytes"),
            false => Ok(true),
        }
    }

    fn documents(&self) -> impl Iterator<Item = &Document> {
        let signatures = self.signatures.iter().map(|(_, document)| document);
        self.images.iter().chain(&self.referrers).chain(signatures)
    }

    async fn pull(
        &self,
        registry: &Registry,
        target: &Registry,
        store: &Store,
        progress: &Progress,
    ) -> Result<()> {
        let blobs = self.documents().flat_map(|document| &document.blobs);
        let blobs: BTreeMap<Digest, &Descriptor> = blobs.map(|blob| (blob.digest, blob)).collect();
        let task = progress.start(format!("pull {} blobs of {}", blobs.len(), registry.name()));
        let pulls = blobs.into_values().map(|blob| async {
            registry.pull_blob(blob, store, &task).await?;
            target.move_blob(blob, store).await
        });
        stream::iter(pulls).buffer_unordered(N_PARALLEL).try_collect::<Vec<()>>().await?;
        task.done("pulled");
        Ok(())
    }
}

fn is_index(descriptor: &Descriptor) -> bool {
    [media_type::INDEX, media_type::DOCKER_INDEX].contains(&descriptor.media_type.as_str())
}
