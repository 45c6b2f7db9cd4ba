//! Pushing what was built elsewhere: blobs, manifests after what they name, what refers to them, and only then the tags.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use futures_util::{StreamExt, TryStreamExt, stream};

use super::super::publish::tags_to_move;
use super::super::sign::Signer;
use super::{Document, Prebuilt, Tagged};
use crate::digest::Digest;
use crate::oci::{Descriptor, Manifest};
use crate::progress::Progress;
use crate::registry::{Pushed, Registry, Section};
use crate::signing::SigningKey;

/// How many blobs are pushed at a time.
const N_PARALLEL: usize = 4;

/// Pushes an image with all that refers to it; `tags` are moved last, in their order. What is there is left alone.
pub async fn push(
    prebuilt: &Prebuilt,
    registry: &Registry,
    tags: &[String],
    signing_key: Option<&SigningKey>,
    progress: &Progress,
) -> Result<()> {
    let to_move = tags_to_move(&prebuilt.root, tags, async |tag| registry.resolve(tag).await).await?;
    // What a tag stands for is there.
    if to_move.len() == tags.len() {
        let missing = missing(prebuilt, registry).await?;
        push_blobs(&missing, registry, progress).await?;
        for document in missing {
            push_document(document, &document.descriptor.digest.to_string(), registry).await?;
        }
    }
    push_referrers(prebuilt, registry, progress).await?;
    if let Some(key) = signing_key {
        sign(prebuilt, &Signer { registry, key }).await?;
    }
    for tag in &to_move {
        let root = prebuilt.documents.iter().filter(|one| one.descriptor.digest == prebuilt.root.digest);
        for document in root {
            push_document(document, tag, registry).await?;
        }
        progress.say(format!("tag {tag} stands for {} now", prebuilt.root.digest));
    }
    Ok(())
}

/// Signs the image, and of what came with it the documents of each manifest.
async fn sign(prebuilt: &Prebuilt, signer: &Signer<'_>) -> Result<()> {
    for image in &prebuilt.documents {
        let documents = prebuilt.documents_of(&image.descriptor.digest);
        if !documents.is_empty() {
            signer.documents(&image.descriptor.digest, &documents).await?;
        }
    }
    signer.image(&prebuilt.root.digest).await
}

/// Returns the manifests and indexes that aren't there yet.
async fn missing<'p>(prebuilt: &'p Prebuilt, registry: &Registry) -> Result<Vec<&'p Document>> {
    let looked_for = prebuilt.documents.iter().map(|document| async move {
        let there = registry.resolve(&document.descriptor.digest.to_string()).await?;
        Ok::<_, anyhow::Error>((document, there.is_some()))
    });
    let found: Vec<_> = stream::iter(looked_for).buffered(N_PARALLEL).try_collect().await?;
    Ok(found.into_iter().filter(|(_, is_there)| !is_there).map(|(document, _)| document).collect())
}

async fn push_blobs(documents: &[&Document], registry: &Registry, progress: &Progress) -> Result<()> {
    let blobs = documents.iter().flat_map(|document| &document.blobs);
    let blobs: BTreeMap<Digest, &(Descriptor, Section)> = blobs.map(|blob| (blob.0.digest, blob)).collect();
    if blobs.is_empty() {
        return Ok(());
    }
    let task = progress.start(format!("push to {}", registry.name()));
    let pushes = blobs.into_values().map(|(blob, section)| registry.push_section(blob, section, &task));
    let pushed: Vec<Pushed> = stream::iter(pushes).buffer_unordered(N_PARALLEL).try_collect().await?;
    let n_sent = pushed.iter().filter(|one| **one == Pushed::Uploaded).count();
    task.done(&format!("{n_sent} blobs uploaded, {} already there", pushed.len() - n_sent));
    Ok(())
}

async fn push_document(document: &Document, name: &str, registry: &Registry) -> Result<()> {
    registry.push_manifest(name, &document.descriptor.media_type, &document.bytes).await?;
    Ok(())
}

/// Pushes what refers to the image, and what is found by a tag of its own.
async fn push_referrers(prebuilt: &Prebuilt, registry: &Registry, progress: &Progress) -> Result<()> {
    let subjects: BTreeSet<Digest> = prebuilt.referrers.iter().filter_map(|one| one.subject).collect();
    let mut known = BTreeSet::new();
    for subject in &subjects {
        let listed = registry.referrers(subject, None).await?;
        known.extend(listed.into_iter().map(|referrer| referrer.digest));
    }
    let new = prebuilt.referrers.iter().filter(|referrer| !known.contains(&referrer.descriptor.digest));
    let new: Vec<&Document> = new.collect();
    let mut tagged = Vec::new();
    for one in &prebuilt.tagged {
        if is_to_move(one, registry, progress).await? {
            tagged.push(one);
        }
    }
    let documents: Vec<&Document> =
        new.iter().copied().chain(tagged.iter().map(|one| &one.document)).collect();
    push_blobs(&documents, registry, progress).await?;
    let manifests: Vec<&[u8]> = new.iter().map(|referrer| referrer.bytes.as_slice()).collect();
    registry.attach_manifests(&manifests).await?;
    for one in tagged {
        push_document(&one.document, &one.tag, registry).await?;
    }
    Ok(())
}

/// Signatures that others put there meanwhile are not lost: they would stand in the same manifest.
async fn is_to_move(tagged: &Tagged, registry: &Registry, progress: &Progress) -> Result<bool> {
    let Some((there, bytes)) = registry.manifest(&tagged.tag).await? else { return Ok(true) };
    if there.digest == tagged.document.descriptor.digest {
        return Ok(false);
    }
    let ours: BTreeSet<Digest> = tagged.document.blobs.iter().map(|(blob, _)| blob.digest).collect();
    let has_all = Manifest::parse(&bytes)
        .is_ok_and(|manifest| manifest.layers.iter().all(|layer| ours.contains(&layer.digest)));
    if !has_all {
        progress.warn(format!("tag {} of {} holds more, and stays as it is", tagged.tag, registry.name()));
    }
    Ok(has_all)
}
