//! Publishing: the image's blobs, its manifest, what refers to it, and only then the tag.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use futures_util::future::try_join;
use futures_util::{StreamExt, TryStreamExt, stream};

use super::attach::{self, Attachments};
use super::blobs::Blobs;
use super::sign::Signer;
use super::slsa;
use crate::oci::{Annotations, Descriptor, Image};
use crate::progress::Progress;
use crate::registry::{self, Artifact, Location, Pushed, Registry};
use crate::signing::{Envelope, SigningKey};
use crate::store::Store;

/// How many blobs are pushed at a time.
const N_PARALLEL: usize = 4;

/// What is published.
pub struct Publication<'a> {
    /// The image.
    pub image: &'a Image,
    /// Remarks in its manifest.
    pub annotations: Annotations,
    /// What refers to it: account, lock, cache record.
    pub artifacts: Vec<Artifact>,
    /// Its sources, whose blobs are there already.
    pub sources: Option<Artifact>,
    /// Whether nothing was built: then it was only now that the tags were asked for.
    pub is_unchanged: bool,
    /// How it came to be, signed where there is a key.
    pub provenance: Artifact,
    /// Signs the image and its documents.
    pub signing_key: Option<&'a SigningKey>,
}

/// What publishing came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// The image's manifest.
    pub manifest: Descriptor,
    /// How each layer came to be there.
    pub layers: Vec<(Descriptor, Pushed)>,
    /// The artifacts' manifests, in their order.
    pub artifacts: Vec<Descriptor>,
    /// Whether the tags stood for this image already.
    pub was_there: bool,
}

/// Publishes an image under `tags` of `registry`, which are moved last, in their order.
pub async fn publish(
    publication: &Publication<'_>,
    registry: &Registry,
    tags: &[String],
    blobs: &Blobs,
    store: &Store,
    progress: &Progress,
) -> Result<Published> {
    let manifest = publication.image.manifest(publication.annotations.clone());
    let bytes = manifest.to_json();
    let descriptor = Descriptor::of(&manifest.media_type, &bytes);
    let begun = async {
        let to_move = tags_to_move(&descriptor, tags, async |tag| match publication.is_unchanged {
            true => registry.resolve_as_seen(tag).await,
            false => registry.resolve(tag).await,
        });
        let to_move = to_move.await?;
        // What a tag stands for is there.
        let is_to_put = to_move.len() == tags.len();
        if is_to_put {
            let (config, bytes) = publication.image.config_blob();
            registry.push_bytes(&config.media_type, &bytes).await?;
        }
        Ok((to_move, is_to_put))
    };
    let layers = push_layers(publication.image, registry, blobs, store, progress);
    let ((to_move, is_to_put), layers) = try_join(begun, layers).await?;
    let put = async {
        if is_to_put {
            registry.push_manifest(&descriptor.digest.to_string(), &manifest.media_type, &bytes).await?;
        }
        Ok(())
    };
    let ((), documents) = try_join(put, Documents::prepare(publication, registry, &descriptor)).await?;
    let artifacts = documents.attach(publication, registry, &descriptor).await?;
    for tag in &to_move {
        registry.push_manifest(tag, &manifest.media_type, &bytes).await?;
    }
    Ok(Published { manifest: descriptor, layers, artifacts, was_there: to_move.is_empty() })
}

/// What goes with an image.
struct Documents<'r> {
    attachments: Attachments<'r>,
    /// How it came to be, if the last build attached that.
    told: Option<Descriptor>,
    /// The same, where it is signed.
    envelope: Option<Envelope>,
}

impl<'r> Documents<'r> {
    async fn prepare(
        publication: &Publication<'_>,
        registry: &'r Registry,
        image: &Descriptor,
    ) -> Result<Documents<'r>> {
        let key = publication.signing_key;
        let last = match publication.is_unchanged {
            true => slsa::last(registry, &image.digest, key).await?,
            false => None,
        };
        let documents = publication.artifacts.iter().chain(&publication.sources);
        let provenance = last.is_none().then_some(&publication.provenance);
        let attachments = attach::prepare(registry, image, documents.chain(provenance).collect()).await?;
        let (told, envelope) = match last {
            Some(last) => (Some(last.document), last.envelope),
            None => (None, key.and_then(|_| slsa::envelope(&publication.provenance))),
        };
        Ok(Documents { attachments, told, envelope })
    }

    /// Attaches and signs them; returns the artifacts' manifests.
    async fn attach(
        self,
        publication: &Publication<'_>,
        registry: &Registry,
        image: &Descriptor,
    ) -> Result<Vec<Descriptor>> {
        let mut documents = self.attachments.attach().await?;
        documents.extend(self.told);
        if let Some(key) = publication.signing_key {
            let signer = Signer { registry, key };
            if let Some(envelope) = &self.envelope {
                signer.attest(&image.digest, envelope, slsa::PREDICATE_TYPE).await?;
            }
            signer.documents(&image.digest, &documents).await?;
            signer.image(&image.digest).await?;
        }
        documents.truncate(publication.artifacts.len());
        Ok(documents)
    }
}

/// Returns those of the tags that don't stand for `image` yet, as `resolve` says.
pub(super) async fn tags_to_move<'t>(
    image: &Descriptor,
    tags: &'t [String],
    resolve: impl AsyncFn(&str) -> registry::Result<Option<Descriptor>>,
) -> Result<Vec<&'t str>> {
    let there: Vec<_> =
        stream::iter(tags.iter().map(|tag| resolve(tag))).buffered(N_PARALLEL).try_collect().await?;
    let is_elsewhere =
        |there: &Option<Descriptor>| there.as_ref().is_none_or(|there| there.digest != image.digest);
    Ok(tags
        .iter()
        .zip(&there)
        .filter(|(_, there)| is_elsewhere(there))
        .map(|(tag, _)| tag.as_str())
        .collect())
}

async fn push_layers(
    image: &Image,
    registry: &Registry,
    blobs: &Blobs,
    store: &Store,
    progress: &Progress,
) -> Result<Vec<(Descriptor, Pushed)>> {
    let unique: BTreeMap<_, _> =
        image.layers.iter().map(|layer| (layer.descriptor.digest, &layer.descriptor)).collect();
    let task = progress.start(format!("push to {}", registry.name()));
    let pushes = unique.into_values().map(|layer| push_layer(layer, registry, blobs, store, &task));
    let pushed: Vec<(Descriptor, Pushed)> =
        stream::iter(pushes).buffer_unordered(N_PARALLEL).try_collect().await?;
    let count = |how: Pushed| pushed.iter().filter(|(_, pushed)| *pushed == how).count();
    task.done(&format!(
        "{} layers uploaded, {} mounted, {} already there",
        count(Pushed::Uploaded),
        count(Pushed::Mounted),
        count(Pushed::Existed)
    ));
    let order = |digest| image.layers.iter().position(|layer| layer.descriptor.digest == digest);
    let mut pushed = pushed;
    pushed.sort_by_key(|(layer, _)| order(layer.digest));
    Ok(pushed)
}

async fn push_layer(
    layer: &Descriptor,
    registry: &Registry,
    blobs: &Blobs,
    store: &Store,
    task: &crate::progress::Task,
) -> Result<(Descriptor, Pushed)> {
    let sibling = blobs.source(&layer.digest).and_then(|source| sibling(source, registry));
    if !store.contains(&layer.digest) {
        if registry.has_blob(&layer.digest).await? {
            return Ok((layer.clone(), Pushed::Existed));
        }
        // Where the registry doesn't take it over, its bytes have to come here after all.
        if sibling.is_some()
            && let Ok(pushed) = registry.push_blob(layer, store, sibling.as_deref(), task).await
        {
            return Ok((layer.clone(), pushed));
        }
    }
    blobs.fetch(layer).await.with_context(|| format!("cannot push to {}", registry.name()))?;
    let pushed = registry.push_blob(layer, store, sibling.as_deref(), task).await?;
    Ok((layer.clone(), pushed))
}

/// Returns the repository of `source` if it is another one in the registry of `target`.
fn sibling(source: &Registry, target: &Registry) -> Option<String> {
    match (source.location(), target.location()) {
        (Location::Remote(source), Location::Remote(target)) if source.registry == target.registry => {
            (source.repository != target.repository).then(|| source.repository.clone())
        }
        (Location::Remote(_) | Location::Layout { .. }, Location::Remote(_) | Location::Layout { .. }) => {
            None
        }
    }
}
