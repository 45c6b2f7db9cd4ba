//! `in`: fetches an image and its bill of materials, by digest.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use serde_json::json;

use super::cloud::signed_in;
use super::params::Format;
use super::protocol::{GetRequest, Metadata, Response};
use super::reach;
use super::source::Repository;
use crate::bom;
use crate::build::{attach, base, bundle, export, lock, rootfs};
use crate::digest::Digest;
use crate::oci::{Config, canonical_json};
use crate::progress::Progress;
use crate::registry::{Access, Location, Registry};
use crate::store::Store;

/// No bill of materials, and no lock, is larger.
const LARGEST_ARTIFACT: u64 = 256 << 20;

/// What refers to an image, and the file it is written to.
const ARTIFACTS: [(&str, &str); 2] =
    [(bom::YAML_MEDIA_TYPE, "bom.yml"), (lock::MEDIA_TYPE, "estaleiro.lock")];

/// Where registry-image writes which of a layout's manifests is meant.
const MARKER: &str = "single-image-digest";

/// Writes what `request` asks for to `destination`; nothing of it, if that fails.
///
/// A mirror is asked first, and the registry itself where that fails.
pub async fn get(request: &GetRequest, destination: &Path, progress: Progress) -> Result<Response> {
    let request = &GetRequest { source: signed_in(&request.source).await?, ..request.clone() };
    let origin = reach::registry(&request.source, Path::new("."))?;
    if let Some(mirror) = reach::mirror(&request.source)? {
        match get_from(&mirror, request, destination, &progress).await {
            Ok(response) => return Ok(response),
            Err(error) => progress.warn(format!("{error:#}\nasking {} itself", origin.name())),
        }
    }
    get_from(&origin, request, destination, &progress).await
}

/// Gets it from a registry, or leaves nothing behind.
async fn get_from(
    registry: &Registry,
    request: &GetRequest,
    destination: &Path,
    progress: &Progress,
) -> Result<Response> {
    let there = entries(destination)?;
    let scratch = tempfile::Builder::new().prefix(".estaleiro").tempdir_in(destination)?;
    let store = Store::open(scratch.path().join("store"))?;
    let get = Get { request, registry, destination, store, scratch: scratch.path(), progress };
    let error = || format!("cannot get {}@{}", registry.name(), request.version.digest);
    let written = get.write_all().await.with_context(error);
    if written.is_err() {
        let new = entries(destination)?.into_iter().filter(|entry| !there.contains(entry));
        new.for_each(|entry| remove(&entry));
    }
    written
}

/// What is got, and where it goes.
struct Get<'a> {
    request: &'a GetRequest,
    /// The registry itself, or its mirror.
    registry: &'a Registry,
    destination: &'a Path,
    /// Holds what is not whole yet; on the file system of the destination.
    store: Store,
    scratch: &'a Path,
    progress: &'a Progress,
}

impl Get<'_> {
    async fn write_all(&self) -> Result<Response> {
        let GetRequest { source, version, params } = self.request;
        let platform = params.platform.clone().unwrap_or_else(|| reach::platform(source));
        let image = base::pin_digest(self.registry, &version.digest, &platform).await?;
        self.write("repository", source.repository.name().as_bytes())?;
        self.write("tag", version.tag.as_bytes())?;
        self.write("digest", version.digest.to_string().as_bytes())?;
        let mut metadata = vec![
            Metadata::new("repository", &source.repository.name()),
            Metadata::new("digest", &version.digest),
        ];
        for (media_type, file) in ARTIFACTS {
            let Some(bytes) = artifact(self.registry, &image, media_type).await? else { continue };
            self.write(file, &bytes)?;
            if media_type == bom::YAML_MEDIA_TYPE {
                metadata.push(Metadata::new("bom", &Digest::of(&bytes)));
            }
        }
        if params.sources {
            let directory = self.destination.join("sources");
            bundle::write(self.registry, &image, &directory, &self.store, self.progress).await?;
        }
        match params.format {
            _ if params.skip_download => {}
            Format::Rootfs => self.rootfs(&image).await?,
            Format::Oci => self.archive(&image).await?,
            Format::OciLayout => self.layout(&image).await?,
        }
        Ok(Response { version: version.clone(), metadata })
    }

    /// Unpacks the root, which gets its name when it is whole.
    async fn rootfs(&self, digest: &Digest) -> Result<()> {
        let image = base::describe(digest, self.registry, &self.store, self.progress).await?;
        let root = self.scratch.join("rootfs");
        rootfs::unpack(&image, self.registry, &root, self.scratch, self.progress).await?;
        let config = &image.config.config;
        let metadata = json!({
            "env": config.env,
            "user": config.user,
            "entrypoint": config.entrypoint,
            "cmd": config.cmd,
        });
        self.write("metadata.json", &canonical_json(&metadata))?;
        self.labels(&image.config)?;
        self.keep(&root, "rootfs")
    }

    async fn archive(&self, digest: &Digest) -> Result<()> {
        let image = base::describe(digest, self.registry, &self.store, self.progress).await?;
        let (path, tag) = (self.scratch.join("image.tar"), &self.request.version.tag);
        let name = match &self.request.source.repository {
            Repository::Remote(reference) => Some(format!("{}:{tag}", reference.name())),
            Repository::Layout(_) => None,
        };
        export::tarball(digest, name.as_deref(), tag, self.registry, &path, self.progress).await?;
        self.labels(&image.config)?;
        self.keep(&path, "image.tar")
    }

    /// Without a platform asked for, an index is got whole.
    async fn layout(&self, image: &Digest) -> Result<()> {
        let GetRequest { version, params, .. } = self.request;
        let digest = if params.platform.is_some() { image } else { &version.digest };
        let directory = self.scratch.join("oci");
        let place = Location::Layout { directory: directory.clone(), tag: version.tag.clone() };
        let target = Registry::open(&place, &Access::default())?;
        let (store, tag) = (&self.store, &version.tag);
        let root = export::layout(digest, self.registry, &target, tag, store, self.progress).await?;
        if root.digest == *image {
            fs::write(directory.join(MARKER), root.digest.to_string())?;
        }
        self.keep(&directory, "oci")
    }

    fn labels(&self, config: &Config) -> Result<()> {
        self.write("labels.json", &canonical_json(&config.config.labels))
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.destination.join(name);
        fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))
    }

    /// Gives what is whole its name.
    fn keep(&self, path: &Path, name: &str) -> Result<()> {
        let place = self.destination.join(name);
        if place.exists() {
            bail!("{} is there already", place.display());
        }
        fs::rename(path, &place).with_context(|| format!("cannot write {}", place.display()))
    }
}

async fn artifact(registry: &Registry, subject: &Digest, media_type: &str) -> Result<Option<Vec<u8>>> {
    match attach::newest(registry, subject, media_type).await? {
        Some(newest) => Ok(Some(registry.artifact(&newest, LARGEST_ARTIFACT).await?)),
        None => Ok(None),
    }
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
