//! Images in registries: which one a name means, and what it is made of.

use std::collections::BTreeMap;

use anyhow::{Context, Result, anyhow, bail};
use futures_util::future::{join, try_join_all};

use crate::build::view::Coming;
use crate::digest::{Digest, Sha512};
use crate::oci::{Config, Descriptor, Image, Index, Layer, Manifest, Platform, Reference, media_type};
use crate::progress::Progress;
use crate::redact;
use crate::registry::Registry;
use crate::store::{Growth, Store};

/// No configuration is larger.
pub const LARGEST_CONFIG: u64 = 8 << 20;

/// Finds the digest of the manifest that `reference` means for `platform`; `what` says what the image is.
pub async fn pin(
    what: &str,
    registry: &Registry,
    reference: &Reference,
    platform: &Platform,
) -> Result<Digest> {
    let wanted = reference.digest.map_or_else(
        || reference.tag.clone().unwrap_or_else(|| "latest".into()),
        |digest| digest.to_string(),
    );
    find(registry, &wanted, platform).await.with_context(|| format!("cannot use {what} {reference}"))
}

/// Finds the digest of the manifest for `platform` among what goes by `digest`: itself, or an index.
pub async fn pin_digest(registry: &Registry, digest: &Digest, platform: &Platform) -> Result<Digest> {
    find(registry, &digest.to_string(), platform).await
}

/// Finds the digest of the manifest for `platform` that a tag or digest means in an OCI layout.
pub async fn pin_in_layout(registry: &Registry, wanted: &str, platform: &Platform) -> Result<Digest> {
    let Some(found) = registry.manifest(wanted).await? else {
        let tags = registry.tags().await?;
        let has =
            if tags.is_empty() { "no tags".to_owned() } else { format!("the tags {}", tags.join(", ")) };
        bail!("there is no such image in the layout, which has {has}\nhint: name a tag, or its digest");
    };
    chosen(&found, platform)
}

async fn find(registry: &Registry, wanted: &str, platform: &Platform) -> Result<Digest> {
    let found = registry.manifest(wanted).await?.with_context(|| {
        "the registry has no such image\nhint: check its name and tag, and that the credentials given may read it"
    })?;
    chosen(&found, platform)
}

fn chosen((descriptor, bytes): &(Descriptor, Vec<u8>), platform: &Platform) -> Result<Digest> {
    match is_index(&descriptor.media_type) {
        true => Ok(choose(&Index::parse(bytes)?, platform)?.digest),
        false => Ok(descriptor.digest),
    }
}

/// Whether a manifest of this type lists images for several platforms.
pub fn is_index(media_type: &str) -> bool {
    [media_type::INDEX, media_type::DOCKER_INDEX].contains(&media_type)
}

/// Finds the image for `platform` in an index, or the one for the next older variant of it.
pub fn choose<'a>(index: &'a Index, platform: &Platform) -> Result<&'a Descriptor> {
    let platforms =
        || index.manifests.iter().filter_map(|manifest| Some((manifest.platform.as_ref()?, manifest)));
    let distances =
        platforms().filter_map(|(offered, manifest)| Some((offered.distance(platform)?, manifest)));
    let nearest = distances.min_by_key(|(distance, _)| *distance).map(|(_, manifest)| manifest);
    nearest.with_context(|| {
        // What buildx attaches to an image stands in its index, too, as if it were for a platform.
        let offered = platforms().map(|(platform, _)| platform.to_string());
        let offered: Vec<String> = offered.filter(|name| name != "unknown/unknown").collect();
        format!("it is not made for {platform}, but for {}", offered.join(", "))
    })
}

/// The kind of the store's records of images.
const IMAGE_RECORD: &str = "image-1";

/// Finds out what an image is, without its layers: from the store, else from its registry.
pub async fn describe(
    digest: &Digest,
    registry: &Registry,
    store: &Store,
    progress: &Progress,
) -> Result<Image> {
    let known = store.record(IMAGE_RECORD, digest).and_then(|record| serde_json::from_slice(&record).ok());
    if let Some(image) = known {
        return Ok(image);
    }
    let (manifest, _) = manifest_of(digest, registry).await?;
    let task = progress.start(format!("look at {}@sha256:{}", registry.name(), digest.short()));
    registry.pull_blob(&manifest.config, store, &task).await?;
    let image = image_of(&manifest, registry, store)?;
    task.done(&format!("{} layers", image.layers.len()));
    store.set_record(IMAGE_RECORD, digest, &serde_json::to_vec(&image)?)?;
    Ok(image)
}

/// Pulls an image, and lets `look` see its layers while they come: they are in the store then. Returns what it is, the
/// SHA-512 digest of its manifest, and what was seen.
///
/// What was seen counts once all has come; where it couldn't be, `look` is asked once more.
pub(super) async fn pull_image<T>(
    digest: &Digest,
    registry: &Registry,
    store: &Store,
    progress: &Progress,
    look: impl AsyncFn(&Image, Coming) -> Result<T>,
) -> Result<(Image, Sha512, T)> {
    let (manifest, sha512) = manifest_of(digest, registry).await?;
    let task = progress.start(format!("pull {}@sha256:{}", registry.name(), digest.short()));
    registry.pull_blob(&manifest.config, store, &task).await?;
    let image = image_of(&manifest, registry, store)?;
    let blobs: BTreeMap<Digest, &Descriptor> =
        manifest.layers.iter().map(|layer| (layer.digest, layer)).collect();
    let growths: Vec<Growth> = blobs.iter().map(|_| Growth::default()).collect();
    let coming = blobs.keys().copied().zip(growths.iter().map(Growth::growing)).collect();
    let n_layers = manifest.layers.len();
    let pulled = async move {
        let pulls = blobs.into_values().zip(growths);
        let pulls = pulls.map(|(blob, growth)| registry.pull_growing(blob, store, &task, growth));
        try_join_all(pulls).await?;
        task.done(&format!("{n_layers} layers"));
        Ok::<_, anyhow::Error>(())
    };
    // A download that breaks off is told rather than what that did to the looking.
    let (pulled, seen) = join(pulled, look(&image, coming)).await;
    pulled?;
    let seen = match seen {
        Ok(seen) => seen,
        Err(_) => look(&image, Coming::default()).await?,
    };
    Ok((image, sha512, seen))
}

async fn manifest_of(digest: &Digest, registry: &Registry) -> Result<(Manifest, Sha512)> {
    let name = registry.name();
    let (_, bytes) = registry
        .manifest(&digest.to_string())
        .await?
        .with_context(|| format!("cannot find image {name}@{digest}: it is gone from the registry"))?;
    let manifest = Manifest::parse(&bytes).with_context(|| format!("cannot read image {name}@{digest}"))?;
    Ok((manifest, Sha512::of(&bytes)))
}

fn image_of(manifest: &Manifest, registry: &Registry, store: &Store) -> Result<Image> {
    let bytes = store.read_blob(&manifest.config.digest, LARGEST_CONFIG)?;
    let config = parse_config(&bytes, registry)?;
    Ok(Image { layers: layers(manifest, &config)?, config })
}

/// Reads the configuration of an image of `registry`.
pub fn parse_config(bytes: &[u8], registry: &Registry) -> Result<Config> {
    let parsed = serde_json::from_slice(bytes).map_err(|error| anyhow!(redact::line(&error.to_string())));
    parsed.with_context(|| format!("cannot read the configuration of image {}", registry.name()))
}

fn layers(manifest: &Manifest, config: &Config) -> Result<Vec<Layer>> {
    let diff_ids = &config.rootfs.diff_ids;
    if diff_ids.len() != manifest.layers.len() {
        bail!(
            "cannot use the image: its manifest has {} layers, its configuration {}",
            manifest.layers.len(),
            diff_ids.len()
        );
    }
    let pairs = manifest.layers.iter().zip(diff_ids);
    Ok(pairs.map(|(descriptor, &diff_id)| Layer { descriptor: in_oci_terms(descriptor), diff_id }).collect())
}

/// Docker's name for a layer doesn't belong into the manifest that it comes to stand in.
fn in_oci_terms(layer: &Descriptor) -> Descriptor {
    let media_type = match layer.media_type.as_str() {
        media_type::DOCKER_LAYER_GZIP => media_type::LAYER_GZIP,
        other => other,
    };
    Descriptor { media_type: media_type.to_owned(), ..layer.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_platform_that_an_index_lacks_is_named_with_those_it_has() {
        let mut manifest = Descriptor::of(media_type::MANIFEST, b"{}");
        manifest.platform = Some("linux/s390x".parse().unwrap());
        let index = Index::new(vec![manifest]);
        let error = choose(&index, &"linux/amd64".parse().unwrap()).unwrap_err();
        assert_eq!(error.to_string(), "it is not made for linux/amd64, but for linux/s390x");
    }
}
