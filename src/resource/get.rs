//! `in`: fetches an image and its bill of materials, by digest.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::cloud::signed_in;
use super::files::{Files, documents};
use super::params::Format;
use super::protocol::{GetRequest, Metadata, Response};
use super::reach;
use super::source::Repository;
use crate::build::{base, bundle, verify};
use crate::digest::Digest;
use crate::progress::Progress;
use crate::registry::Registry;

/// The directory that a layout is written to.
const LAYOUT: &str = "oci";
/// Where registry-image writes which of a layout's manifests is meant.
const MARKER: &str = "oci/single-image-digest";

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
    let get = Get { request, registry, files: Files::open(registry, destination, progress)? };
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
    files: Files<'a>,
}

impl Get<'_> {
    async fn write_all(&self) -> Result<Response> {
        let (GetRequest { source, version, params }, files) = (self.request, &self.files);
        let platform = params.platform.clone().unwrap_or_else(|| reach::platform(source));
        let image = base::pin_digest(self.registry, &version.digest, &platform).await?;
        let signed = self.verify(&image).await?;
        files.write("repository", source.repository.name().as_bytes())?;
        files.write("tag", version.tag.as_bytes())?;
        files.write("digest", version.digest.to_string().as_bytes())?;
        let mut metadata = vec![
            Metadata::new("repository", &source.repository.name()),
            Metadata::new("digest", &version.digest),
        ];
        let bom = files.artifacts(&image).await?;
        match signed {
            Some(digest) => metadata.push(Metadata::new("verified", &digest)),
            None => files.plain_provenance(&image).await?,
        }
        metadata.extend(bom.map(|digest| Metadata::new("bom", &digest)));
        if params.sources {
            let directory = files.destination.join("sources");
            bundle::write(self.registry, &image, &directory, &files.store, files.progress).await?;
        }
        match params.format {
            _ if params.skip_download => {}
            Format::Rootfs => files.rootfs(&image).await?,
            Format::Oci => self.archive(&image).await?,
            Format::OciLayout => self.layout(&image).await?,
        }
        Ok(Response { version: version.clone(), metadata })
    }

    /// Verifies the image and all of its documents before anything is written; returns what was signed.
    async fn verify(&self, image: &Digest) -> Result<Option<Digest>> {
        let GetRequest { source, version, params } = self.request;
        let keys = if params.verify.is_empty() { &source.verify } else { &params.verify };
        if keys.is_empty() {
            return Ok(None);
        }
        let verified = verify::verify(self.registry, &version.digest, image, keys).await?;
        verified.check(self.registry, documents()).await?;
        Ok(Some(verified.signed))
    }

    async fn archive(&self, digest: &Digest) -> Result<()> {
        let tag = &self.request.version.tag;
        let name = match &self.request.source.repository {
            Repository::Remote(reference) => Some(format!("{}:{tag}", reference.name())),
            Repository::Layout(_) => None,
        };
        self.files.archive(digest, name.as_deref(), tag, &[]).await
    }

    /// Without a platform asked for, an index is got whole.
    async fn layout(&self, image: &Digest) -> Result<()> {
        let GetRequest { version, params, .. } = self.request;
        let digest = if params.platform.is_some() { image } else { &version.digest };
        let root = self.files.layout(digest, &version.tag, LAYOUT).await?;
        match root.digest == *image {
            true => self.files.write(MARKER, root.digest.to_string().as_bytes()),
            false => Ok(()),
        }
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
