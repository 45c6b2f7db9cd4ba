//! `in`: fetches an image and its bill of materials, by digest.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use serde_json::json;

use super::cloud::signed_in;
use super::protocol::{GetRequest, Metadata, Response};
use super::reach;
use crate::bom;
use crate::build::attach;
use crate::build::base;
use crate::build::blobs::{BlobSource, Blobs};
use crate::build::bundle;
use crate::build::lock;
use crate::build::wait::Waiter;
use crate::digest::Digest;
use crate::layer;
use crate::oci::{Image, canonical_json};
use crate::progress::Progress;
use crate::registry::Registry;
use crate::store::Store;

/// No bill of materials, and no lock, is larger.
const LARGEST_ARTIFACT: u64 = 256 << 20;

/// What refers to an image, and the file it is written to.
const ARTIFACTS: [(&str, &str); 2] =
    [(bom::YAML_MEDIA_TYPE, "bom.yml"), (lock::MEDIA_TYPE, "estaleiro.lock")];

/// Writes what `request` asks for to `destination`; nothing of it, if that fails.
///
/// A mirror is asked first, and the registry itself where that fails.
pub async fn get(request: &GetRequest, destination: &Path, progress: Progress) -> Result<Response> {
    let request = &GetRequest { source: signed_in(&request.source).await?, ..request.clone() };
    let origin = reach::registry(&request.source, Path::new("."))?;
    let get = Get { request, destination, progress: &progress };
    if let Some(mirror) = reach::mirror(&request.source)? {
        match get.from(&mirror).await {
            Ok(response) => return Ok(response),
            Err(error) => progress.warn(format!("{error:#}\nasking {} itself", origin.name())),
        }
    }
    get.from(&origin).await
}

/// What is got, and where it goes.
struct Get<'a> {
    request: &'a GetRequest,
    destination: &'a Path,
    progress: &'a Progress,
}

impl Get<'_> {
    /// Gets it from a registry, or leaves nothing behind.
    async fn from(&self, registry: &Registry) -> Result<Response> {
        let there = entries(self.destination)?;
        let error = || format!("cannot get {}@{}", registry.name(), self.request.version.digest);
        let written = self.write_all(registry).await.with_context(error);
        if written.is_err() {
            let new = entries(self.destination)?.into_iter().filter(|entry| !there.contains(entry));
            new.for_each(|entry| remove(&entry));
        }
        written
    }

    async fn write_all(&self, registry: &Registry) -> Result<Response> {
        let Get { request: GetRequest { source, version, params }, destination, progress } = self;
        let digest = base::pin_digest(registry, &version.digest, &reach::platform(source)).await?;
        write(destination, "repository", source.repository.name().as_bytes())?;
        write(destination, "tag", version.tag.as_bytes())?;
        write(destination, "digest", version.digest.to_string().as_bytes())?;
        let mut metadata = vec![
            Metadata::new("repository", &source.repository.name()),
            Metadata::new("digest", &version.digest),
        ];
        for (media_type, file) in ARTIFACTS {
            if let Some(bytes) = artifact(registry, &digest, media_type).await? {
                write(destination, file, &bytes)?;
                if media_type == bom::YAML_MEDIA_TYPE {
                    metadata.push(Metadata::new("bom", &Digest::of(&bytes)));
                }
            }
        }
        let scratch = tempfile::Builder::new().prefix(".estaleiro").tempdir_in(destination)?;
        let store = Store::open(scratch.path())?;
        if params.sources {
            let directory = destination.join("sources");
            bundle::write(registry, &digest, &directory, &store, progress).await?;
        }
        if !params.skip_download {
            let image = base::pull_image(&digest, registry, &store, progress).await?;
            unpack(&image, registry.clone(), &store, destination, progress).await?;
        }
        Ok(Response { version: version.clone(), metadata })
    }
}

async fn artifact(registry: &Registry, subject: &Digest, media_type: &str) -> Result<Option<Vec<u8>>> {
    match attach::newest(registry, subject, media_type).await? {
        Some(newest) => Ok(Some(registry.artifact(&newest, LARGEST_ARTIFACT).await?)),
        None => Ok(None),
    }
}

async fn unpack(
    image: &Image,
    registry: Registry,
    store: &Store,
    destination: &Path,
    progress: &Progress,
) -> Result<()> {
    let config = &image.config.config;
    let metadata = json!({
        "env": config.env,
        "user": config.user,
        "entrypoint": config.entrypoint,
        "cmd": config.cmd,
    });
    write(destination, "metadata.json", &canonical_json(&metadata))?;
    write(destination, "labels.json", &canonical_json(&config.labels))?;
    let source = BlobSource::of_image(registry, image);
    let (_interest, waiter) = Waiter::new();
    let blobs = Blobs::new(store.clone(), progress.clone(), waiter, vec![source]);
    let (layers, rootfs) = (image.layers.clone(), destination.join("rootfs"));
    if rootfs.exists() {
        bail!("{} is there already", rootfs.display());
    }
    tokio::task::spawn_blocking(move || {
        layer::make_root(&rootfs)?;
        blobs.unpack(&layers, &rootfs)
    })
    .await?
}

fn write(destination: &Path, name: &str, bytes: &[u8]) -> Result<()> {
    let path = destination.join(name);
    fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))
}

fn entries(directory: &Path) -> Result<Vec<PathBuf>> {
    let error = || format!("cannot read {}", directory.display());
    let entries = fs::read_dir(directory).with_context(error)?.map(|entry| Ok(entry?.path()));
    entries.collect::<io::Result<_>>().with_context(error)
}

/// What cannot be removed is Concourse's to throw away.
fn remove(path: &Path) {
    let _ = match path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir()) {
        true => fs::remove_dir_all(path),
        false => fs::remove_file(path),
    };
}
