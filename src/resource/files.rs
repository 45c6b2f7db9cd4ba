//! An image of a registry as files in a directory: what a get brings, and what the task leaves in its outputs.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use serde_json::json;

use crate::bom::{self, Format};
use crate::build::{attach, base, bundle, export, lock, rootfs, slsa};
use crate::digest::Digest;
use crate::oci::{Config, Descriptor, canonical_json};
use crate::progress::Progress;
use crate::registry::{Access, Location, Registry};
use crate::store::Store;

/// What else refers to an image, and the file it is written to.
const ARTIFACTS: [(&str, &str); 2] =
    [(lock::MEDIA_TYPE, "estaleiro.lock"), (slsa::SIGNED, "provenance.json")];

fn account_types() -> impl Iterator<Item = &'static str> {
    Format::ALL.map(Format::media_type).into_iter().chain(ARTIFACTS.map(|(media_type, _)| media_type))
}

/// Returns the types of what refers to an image and is written to files, its sources included.
pub fn documents() -> impl Iterator<Item = &'static str> {
    account_types().chain([bundle::MEDIA_TYPE])
}

/// A directory that images of a registry are written to.
pub(super) struct Files<'a> {
    registry: &'a Registry,
    pub(super) destination: &'a Path,
    /// In `scratch`.
    pub(super) store: Store,
    /// Holds what is not whole yet; on the file system of the destination.
    scratch: tempfile::TempDir,
    pub(super) progress: &'a Progress,
}

impl<'a> Files<'a> {
    /// Opens a directory, which must be there.
    ///
    /// # Errors
    /// When nothing can be written there.
    pub(super) fn open(
        registry: &'a Registry,
        destination: &'a Path,
        progress: &'a Progress,
    ) -> Result<Files<'a>> {
        let scratch = tempfile::Builder::new().prefix(".estaleiro").tempdir_in(destination);
        let scratch = scratch.with_context(|| format!("cannot write to {}", destination.display()))?;
        let store = Store::open(scratch.path().join("store"))?;
        Ok(Files { registry, destination, store, scratch, progress })
    }

    /// Writes the account in its usual forms and those that are attached, and what else is to be a file, as far as the
    /// image has it; returns the digest of the account in estaleiro's own form.
    pub(super) async fn artifacts(&self, image: &Digest) -> Result<Option<Digest>> {
        let mut bom = None;
        for format in Format::ALL {
            let is_usual = Format::USUAL.contains(&format);
            if !is_usual && attach::newest(self.registry, image, format.media_type()).await?.is_none() {
                continue;
            }
            match attach::account(self.registry, image, format).await {
                Ok(None) => {}
                Ok(Some(bytes)) => {
                    self.write(format.file_name(), &bytes)?;
                    if format == Format::Yaml {
                        self.page(&bytes)?;
                        bom = Some(Digest::of(&bytes));
                    }
                }
                // What a later builder wrote is got all the same.
                Err(error) if error.downcast_ref::<bom::DocumentError>().is_some() => {
                    self.progress.warn(format!("cannot write {}: {error:#}", format.file_name()));
                }
                Err(error) => return Err(error),
            }
        }
        for (media_type, file) in ARTIFACTS {
            let Some(newest) = attach::newest(self.registry, image, media_type).await? else { continue };
            self.write(file, &self.registry.artifact(&newest, attach::LARGEST).await?)?;
        }
        Ok(bom)
    }

    /// Writes `provenance.json` where only an unsigned one is there; it counts where nothing has to be signed.
    pub(super) async fn plain_provenance(&self, image: &Digest) -> Result<()> {
        if attach::newest(self.registry, image, slsa::SIGNED).await?.is_some() {
            return Ok(());
        }
        match attach::newest(self.registry, image, slsa::PLAIN).await? {
            Some(newest) => {
                self.write("provenance.json", &self.registry.artifact(&newest, attach::LARGEST).await?)
            }
            None => Ok(()),
        }
    }

    /// Writes the account as a page for people; one of a later builder is got all the same, without a page.
    fn page(&self, yaml: &[u8]) -> Result<()> {
        match bom::Document::parse(yaml) {
            Ok(document) => self.write("bom.html", bom::html(&document)?.as_bytes()),
            Err(error) => {
                self.progress.warn(format!("cannot write bom.html: {error}"));
                Ok(())
            }
        }
    }

    /// Returns what of the image's referrers is written as files.
    pub(super) async fn account(&self, image: &Digest) -> Result<Vec<Descriptor>> {
        let mut account = Vec::new();
        for media_type in account_types() {
            account.extend(attach::newest(self.registry, image, media_type).await?);
        }
        Ok(account)
    }

    /// Unpacks the root into `rootfs`, which gets its name when it is whole, and writes `metadata.json`.
    pub(super) async fn rootfs(&self, image: &Digest) -> Result<()> {
        let image = base::describe(image, self.registry, &self.store, self.progress).await?;
        let root = self.scratch.path().join("rootfs");
        rootfs::unpack(&image, self.registry, &root, self.scratch.path(), self.progress).await?;
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

    /// Writes the image with these of its referrers as `image.tar`; `name` is what it is called there, with its tag.
    pub(super) async fn archive(
        &self,
        image: &Digest,
        name: Option<&str>,
        tag: &str,
        referrers: &[Descriptor],
    ) -> Result<()> {
        let path = self.scratch.path().join("image.tar");
        export::tarball(image, name, tag, referrers, self.registry, &path, self.progress).await?;
        let image = base::describe(image, self.registry, &self.store, self.progress).await?;
        self.labels(&image.config)?;
        self.keep(&path, "image.tar")
    }

    /// Writes the image or index as an OCI layout, the directory `name`; returns what it is.
    pub(super) async fn layout(&self, root: &Digest, tag: &str, name: &str) -> Result<Descriptor> {
        let directory = self.scratch.path().join("layout");
        let place = Location::Layout { directory: directory.clone(), tag: tag.to_owned() };
        let target = Registry::open(&place, &Access::default())?;
        let root = export::layout(root, self.registry, &target, tag, &self.store, self.progress).await?;
        self.keep(&directory, name)?;
        Ok(root)
    }

    fn labels(&self, config: &Config) -> Result<()> {
        self.write("labels.json", &canonical_json(&config.config.labels))
    }

    pub(super) fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
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
