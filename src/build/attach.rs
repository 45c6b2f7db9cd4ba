//! What is attached to an image: which of several artifacts of a kind counts, and putting one there.
//!
//! An image may come to have two accounts: when a comment in its definition changes, its bytes don't. A registry
//! lists what refers to an image in any order, so the later one says so itself: it is of a later generation.

use std::cmp::Reverse;

use anyhow::Context as _;

use crate::bom::{self, Document, Format};
use crate::digest::Digest;
use crate::oci::{Descriptor, Manifest};
use crate::registry::{Artifact, Bundle, Registry, Result};

/// No account, and no lock, is larger.
pub const LARGEST: u64 = 256 << 20;

/// How many of the same kind were attached before: absent on the first one.
const GENERATION: &str = "vnd.estaleiro.generation";

/// Finds what counts among the artifacts of one type that refer to `subject`: the newest.
pub async fn newest(registry: &Registry, subject: &Digest, media_type: &str) -> Result<Option<Descriptor>> {
    let known = registry.referrers(subject, Some(media_type)).await?;
    Ok(known.into_iter().rev().min_by_key(|artifact| Reverse(generation(artifact))))
}

/// Returns the account of an image in this form: as it is attached, else made of the YAML form that is.
///
/// What others attached counts where there is none of estaleiro's.
///
/// # Errors
/// When it can't be had, or the YAML form can't be read.
pub async fn account(registry: &Registry, image: &Digest, format: Format) -> anyhow::Result<Option<Vec<u8>>> {
    let Some(yaml) = content(registry, image, Format::Yaml).await? else {
        return Ok(content(registry, image, format).await?);
    };
    if format == Format::Yaml {
        return Ok(Some(yaml));
    }
    let attached = content(registry, image, format).await?;
    match attached.filter(|view| bom::is_view_of(view, &yaml)) {
        Some(view) => Ok(Some(view)),
        None => {
            let document =
                Document::parse(&yaml).with_context(|| format!("cannot convert it to {format}"))?;
            Ok(Some(document.view(format)?))
        }
    }
}

async fn content(registry: &Registry, image: &Digest, format: Format) -> Result<Option<Vec<u8>>> {
    match newest(registry, image, format.media_type()).await? {
        Some(newest) => Ok(Some(registry.artifact(&newest, LARGEST).await?)),
        None => Ok(None),
    }
}

/// Attaches `artifact`, unless the newest of its type has the same content and is there in full.
pub async fn attach(registry: &Registry, subject: &Descriptor, artifact: &Artifact) -> Result<Descriptor> {
    let Some(last) = newest(registry, &subject.digest, &artifact.media_type).await? else {
        return registry.attach(subject, artifact).await;
    };
    if is_whole(registry, subject, &last, artifact).await? {
        return Ok(last);
    }
    registry.forget_referrers(&subject.digest);
    let last = newest(registry, &subject.digest, &artifact.media_type).await?;
    let generation = last.as_ref().map_or(0, generation).saturating_add(1);
    let mut later = artifact.clone();
    later.annotations.insert(GENERATION.into(), generation.to_string());
    registry.attach(subject, &later).await
}

/// Attaches `bundle`, whose blobs are there, unless the newest of its type has the same.
pub async fn attach_bundle(registry: &Registry, subject: &Descriptor, bundle: &Bundle) -> Result<Descriptor> {
    let Some(last) = newest(registry, &subject.digest, &bundle.artifact_type).await? else {
        return registry.attach_bundle(subject, bundle).await;
    };
    let manifest = registry.manifest(&last.digest.to_string()).await?;
    let manifest = manifest.and_then(|(_, bytes)| Manifest::parse(&bytes).ok());
    if manifest.is_some_and(|manifest| manifest.layers == bundle.layers) {
        return Ok(last);
    }
    let mut later = bundle.clone();
    later.annotations.insert(GENERATION.into(), generation(&last).saturating_add(1).to_string());
    registry.attach_bundle(subject, &later).await
}

/// Whether manifest and content of what is listed as `last` are there, and the content is that of `artifact`.
async fn is_whole(
    registry: &Registry,
    subject: &Descriptor,
    last: &Descriptor,
    artifact: &Artifact,
) -> Result<bool> {
    let content = Digest::of(&artifact.bytes);
    if last.digest == artifact.digest(subject) {
        return Ok(registry.has_manifest(&last.digest).await? && registry.has_blob(&content).await?);
    }
    let Some((_, bytes)) = registry.manifest(&last.digest.to_string()).await? else { return Ok(false) };
    let is_same = Manifest::parse(&bytes)
        .is_ok_and(|manifest| manifest.layers.iter().map(|layer| layer.digest).eq([content]));
    Ok(is_same && registry.has_blob(&content).await?)
}

/// Returns how many of its kind were attached before it.
pub(super) fn generation(artifact: &Descriptor) -> u64 {
    artifact.annotations.get(GENERATION).and_then(|text| text.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::media_type;
    use crate::registry::{Access, Location};

    const KIND: &str = "application/x-test";

    /// A layout with an image, of which only the manifest is there.
    async fn registry() -> (tempfile::TempDir, Registry, Descriptor) {
        let directory = tempfile::tempdir().unwrap();
        let location = Location::Layout { directory: directory.path().join("image"), tag: "latest".into() };
        let registry = Registry::open(&location, &Access::default()).unwrap();
        let bytes = br#"{"schemaVersion":2,"layers":[]}"#;
        let image = registry.push_manifest("latest", media_type::MANIFEST, bytes).await.unwrap();
        (directory, registry, image)
    }

    async fn newest_text(registry: &Registry, image: &Descriptor) -> String {
        let newest = newest(registry, &image.digest, KIND).await.unwrap().unwrap();
        String::from_utf8(registry.artifact(&newest, 100).await.unwrap()).unwrap()
    }

    #[tokio::test]
    async fn the_last_one_attached_counts_even_if_it_was_there_once() {
        let (_directory, registry, image) = registry().await;
        for text in ["a", "b", "a", "a"] {
            attach(&registry, &image, &Artifact::new(KIND, text.into())).await.unwrap();
            assert_eq!(newest_text(&registry, &image).await, text);
        }
        assert_eq!(registry.referrers(&image.digest, Some(KIND)).await.unwrap().len(), 3);
    }

    #[tokio::test]
    async fn what_is_listed_and_gone_is_attached_again() {
        let (directory, registry, image) = registry().await;
        let artifact = Artifact::new(KIND, "a".into());
        let first = attach(&registry, &image, &artifact).await.unwrap();
        let blob = |digest: &Digest| directory.path().join("image/blobs/sha256").join(digest.hex());
        std::fs::remove_file(blob(&Digest::of("a"))).unwrap();
        let second = attach(&registry, &image, &artifact).await.unwrap();
        assert_ne!(first.digest, second.digest);
        assert_eq!(newest_text(&registry, &image).await, "a");
    }
}
