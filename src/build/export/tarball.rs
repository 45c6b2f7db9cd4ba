//! An image as one archive that is two: what `docker load` reads, and an OCI layout of the same blobs.
//!
//! Where each blob comes to lie is known from the manifest, so the blobs come side by side, each to its place.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context as _, Result};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::json;
use tar::{EntryType, Header};

use super::N_PARALLEL;
use crate::digest::Digest;
use crate::oci::{Descriptor, Index, Manifest, canonical_json};
use crate::progress::{Progress, Task};
use crate::registry::Registry;

const BLOCK: u64 = 512;
/// An archive ends with two blocks of zeros.
const END: u64 = 2 * BLOCK;

/// An archive in the making.
struct Archive {
    file: File,
    length: u64,
}

/// Writes the image with this manifest to `path`, and those of its `referrers`; `name` is what it is called there, with its
/// tag.
///
/// # Errors
/// When something of it can't be had or isn't what it should be; the file is worth nothing then.
pub async fn tarball(
    digest: &Digest,
    name: Option<&str>,
    tag: &str,
    referrers: &[Descriptor],
    registry: &Registry,
    path: &Path,
    progress: &Progress,
) -> Result<()> {
    let (descriptor, bytes) = read(digest, registry).await?;
    let manifest = Manifest::parse(&bytes)?;
    let mut blobs: Vec<Descriptor> = named(&manifest).cloned().collect();
    let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
    let mut archive = Archive { file, length: 0 };
    archive.directory("blobs/")?;
    archive.directory("blobs/sha256/")?;
    archive.small_file("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    archive.small_file("index.json", &index(&descriptor, name, tag))?;
    archive.small_file("manifest.json", &saved(&manifest, name))?;
    archive.small_file(&blob_name(digest), &bytes)?;
    for referrer in referrers {
        let (_, bytes) = read(&referrer.digest, registry).await?;
        archive.small_file(&blob_name(&referrer.digest), &bytes)?;
        blobs.extend(named(&Manifest::parse(&bytes)?).cloned());
    }
    if !referrers.is_empty() {
        archive.small_file("referrers.json", &Index::new(referrers.to_vec()).to_json())?;
    }
    let blobs: BTreeMap<Digest, &Descriptor> = blobs.iter().map(|blob| (blob.digest, blob)).collect();
    let mut places = Vec::new();
    for blob in blobs.into_values() {
        places.push((blob, archive.place(&blob_name(&blob.digest), blob.size)?));
    }
    archive.file.set_len(archive.length + END)?;
    let task = progress.start(format!("pull {} blobs of {}", places.len(), registry.name()));
    let pulls = places.into_iter().map(|(blob, offset)| pull(blob, registry, &archive.file, offset, &task));
    stream::iter(pulls).buffer_unordered(N_PARALLEL).try_collect::<Vec<()>>().await?;
    task.done("pulled");
    Ok(())
}

async fn read(digest: &Digest, registry: &Registry) -> Result<(Descriptor, Vec<u8>)> {
    registry.manifest(&digest.to_string()).await?.with_context(|| format!("{digest} is gone"))
}

fn named(manifest: &Manifest) -> impl Iterator<Item = &Descriptor> {
    manifest.layers.iter().chain([&manifest.config])
}

async fn pull(blob: &Descriptor, registry: &Registry, file: &File, offset: u64, task: &Task) -> Result<()> {
    let mut incoming = registry.stream_blob(blob, task);
    let mut place = offset;
    while let Some(bytes) = incoming.next().await? {
        file.write_all_at(&bytes, place).context("cannot write the archive")?;
        place += bytes.len() as u64;
    }
    Ok(())
}

fn index(manifest: &Descriptor, name: Option<&str>, tag: &str) -> Vec<u8> {
    let mut entry = Descriptor::new(&manifest.media_type, manifest.digest, manifest.size);
    entry.annotations.insert("org.opencontainers.image.ref.name".into(), tag.to_owned());
    if let Some(name) = name {
        // Where containerd looks for it.
        entry.annotations.insert("io.containerd.image.name".into(), name.to_owned());
    }
    Index::new(vec![entry]).to_json()
}

/// Returns `manifest.json` as `docker load` reads it.
fn saved(manifest: &Manifest, name: Option<&str>) -> Vec<u8> {
    let layers: Vec<String> = manifest.layers.iter().map(|layer| blob_name(&layer.digest)).collect();
    let config = blob_name(&manifest.config.digest);
    let names: Vec<&str> = name.into_iter().collect();
    canonical_json(&json!([{"Config": config, "RepoTags": names, "Layers": layers}]))
}

fn blob_name(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

impl Archive {
    fn directory(&mut self, name: &str) -> Result<()> {
        self.header(name, EntryType::Directory, 0o755, 0)
    }

    fn small_file(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        let offset = self.place(name, bytes.len() as u64)?;
        self.file.write_all_at(bytes, offset).context("cannot write the archive")
    }

    /// Makes room for a file; returns where its bytes begin.
    fn place(&mut self, name: &str, size: u64) -> Result<u64> {
        self.header(name, EntryType::Regular, 0o644, size)?;
        let offset = self.length;
        let whole = size.checked_next_multiple_of(BLOCK).and_then(|size| offset.checked_add(size));
        self.length = whole.context("its blobs are too large")?;
        Ok(offset)
    }

    fn header(&mut self, name: &str, kind: EntryType, mode: u32, size: u64) -> Result<()> {
        let mut header = Header::new_ustar();
        header.set_path(name)?;
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(size);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_cksum();
        self.file.write_all_at(header.as_bytes(), self.length).context("cannot write the archive")?;
        self.length += BLOCK;
        Ok(())
    }
}
