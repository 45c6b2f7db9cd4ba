//! What `docker save` writes: `manifest.json` names a configuration and layers, compressed or not; there is no manifest
//! that could be pushed, so one is made.

use std::collections::BTreeMap;
use std::io::{BufReader, Read as _};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};

use super::files::Files;
use super::{Document, LARGEST_INDEX, Prebuilt};
use crate::digest::{Digest, HashingReader};
use crate::layer::{self, Compression};
use crate::oci::{Annotations, Config, Descriptor, Layer, Manifest, media_type};
use crate::registry::Section;
use crate::store::Store;

/// An image in `manifest.json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Vec<String>,
}

/// Docker's manifest with the fields in the order in which Go's libraries write them, so that the same archive has the
/// same digest whoever pushes it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DockerManifest {
    schema_version: u32,
    media_type: &'static str,
    config: DockerDescriptor,
    layers: Vec<DockerDescriptor>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DockerDescriptor {
    media_type: String,
    size: u64,
    digest: Digest,
}

/// Whether none of the layers is compressed.
pub(super) fn is_uncompressed(files: &Files) -> Result<bool> {
    for name in saved(files)?.layers {
        if compression(&layer_file(files, &name)?)?.is_some() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Reads the only image.
pub(super) fn read(files: &Files, store: &Store) -> Result<Prebuilt> {
    let saved = saved(files)?;
    let config_file = files
        .find(&saved.config)?
        .with_context(|| format!("its configuration {} is missing", saved.config))?;
    let config_bytes = config_file.read(LARGEST_INDEX)?;
    let config: Config = serde_json::from_slice(&config_bytes).context("its configuration cannot be read")?;
    let diff_ids = &config.rootfs.diff_ids;
    if diff_ids.len() != saved.layers.len() {
        bail!("it has {} layers, its configuration {}", saved.layers.len(), diff_ids.len());
    }
    let sections = saved.layers.iter().map(|name| layer_file(files, name)).collect::<Result<Vec<_>>>()?;
    let mut layers = Vec::new();
    for ((layer, section), (name, diff_id)) in
        packed(&sections, store)?.into_iter().zip(saved.layers.iter().zip(diff_ids))
    {
        if layer.diff_id != *diff_id {
            bail!("layer {name} has the digest {}, its configuration says {diff_id}", layer.diff_id);
        }
        layers.push((layer.descriptor, section));
    }
    let config = Descriptor::of(media_type::CONFIG, &config_bytes);
    Ok(prebuilt((config, config_file), layers))
}

fn prebuilt(config: (Descriptor, Section), layers: Vec<(Descriptor, Section)>) -> Prebuilt {
    let is_gzip = |(layer, _): &(Descriptor, Section)| layer.media_type == media_type::LAYER_GZIP;
    // Docker's manifest knows no other compression.
    let (kind, bytes) = match layers.iter().all(is_gzip) {
        true => (media_type::DOCKER_MANIFEST, docker_manifest(&config.0, &layers)),
        false => (media_type::MANIFEST, oci_manifest(&config.0, &layers)),
    };
    let descriptor = Descriptor::of(kind, &bytes);
    let blobs = layers.into_iter().chain([config]).collect();
    let document = Document { descriptor: descriptor.clone(), bytes, blobs, subject: None };
    Prebuilt { root: descriptor, documents: vec![document], referrers: Vec::new(), tagged: Vec::new() }
}

fn docker_manifest(config: &Descriptor, layers: &[(Descriptor, Section)]) -> Vec<u8> {
    let describe = |blob: &Descriptor, media_type: &str| DockerDescriptor {
        media_type: media_type.to_owned(),
        size: blob.size,
        digest: blob.digest,
    };
    let manifest = DockerManifest {
        schema_version: 2,
        media_type: media_type::DOCKER_MANIFEST,
        config: describe(config, media_type::DOCKER_CONFIG),
        layers: layers.iter().map(|(layer, _)| describe(layer, media_type::DOCKER_LAYER_GZIP)).collect(),
    };
    serde_json::to_vec(&manifest).expect("a manifest has a JSON form")
}

fn oci_manifest(config: &Descriptor, layers: &[(Descriptor, Section)]) -> Vec<u8> {
    let manifest = Manifest {
        media_type: media_type::MANIFEST.into(),
        artifact_type: None,
        config: config.clone(),
        layers: layers.iter().map(|(layer, _)| layer.clone()).collect(),
        subject: None,
        annotations: Annotations::new(),
    };
    manifest.to_json()
}

fn saved(files: &Files) -> Result<Saved> {
    let bytes = files.read("manifest.json", LARGEST_INDEX)?.context("its manifest.json is missing")?;
    let mut images: Vec<Saved> =
        serde_json::from_slice(&bytes).context("its manifest.json cannot be read")?;
    match (images.pop(), images.is_empty()) {
        (Some(only), true) => Ok(only),
        (None, _) => bail!("its manifest.json names no image"),
        (Some(last), false) => {
            let names = images.iter().chain([&last]).flat_map(|image| image.repo_tags.iter().flatten());
            let names: Vec<&str> = names.map(String::as_str).collect();
            bail!("it holds {} images: {}\nhint: save one alone", images.len() + 1, names.join(", "))
        }
    }
}

fn layer_file(files: &Files, name: &str) -> Result<Section> {
    files.find(name)?.with_context(|| format!("its layer {name} is missing"))
}

/// Finds out what the layers are in a registry: as they are, or compressed if they aren't yet. Several at a time.
fn packed(sections: &[Section], store: &Store) -> Result<Vec<(Layer, Section)>> {
    let next = AtomicUsize::new(0);
    let n_threads = std::thread::available_parallelism().map_or(1, usize::from);
    let done = Mutex::new(BTreeMap::new());
    let work = || {
        while let Some((nth, section)) = {
            let nth = next.fetch_add(1, Ordering::Relaxed);
            sections.get(nth).map(|section| (nth, section))
        } {
            let layer = pack(section, n_threads, store);
            done.lock().unwrap_or_else(PoisonError::into_inner).insert(nth, layer);
        }
    };
    std::thread::scope(|scope| (0..n_threads.min(sections.len())).for_each(|_| drop(scope.spawn(work))));
    done.into_inner().unwrap_or_else(PoisonError::into_inner).into_values().collect()
}

fn pack(section: &Section, n_threads: usize, store: &Store) -> Result<(Layer, Section)> {
    let reader = BufReader::with_capacity(1 << 18, section.open()?);
    let Some(media_type) = compression(section)? else {
        let layer = layer::compress(reader, store.blob_writer()?, n_threads, Compression::default())?;
        let path = store.blob_path(&layer.descriptor.digest);
        let size = layer.descriptor.size;
        return Ok((layer, Section { path, offset: 0, size }));
    };
    let mut plain = HashingReader::new(layer::decompress(reader)?);
    std::io::copy(&mut plain, &mut std::io::sink()).context("a layer cannot be decompressed")?;
    let (_, diff_id, _) = plain.finish();
    let descriptor = Descriptor::new(media_type, section.digest()?, section.size);
    Ok((Layer { descriptor, diff_id }, section.clone()))
}

/// Returns the media type of a layer that is compressed.
fn compression(section: &Section) -> Result<Option<&'static str>> {
    let mut magic = Vec::new();
    section.open()?.take(4).read_to_end(&mut magic)?;
    Ok(match magic.as_slice() {
        [0x1f, 0x8b, ..] => Some(media_type::LAYER_GZIP),
        [0x28, 0xb5, 0x2f, 0xfd] | [0x50..=0x5f, 0x2a, 0x4d, 0x18] => Some(media_type::LAYER_ZSTD),
        _ => None,
    })
}
