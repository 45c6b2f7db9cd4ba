//! What must be known of a base image: its manifest, some small files of its root, its directories and links.
//!
//! Known once, it is kept by digest in the store and travels in the cache record, so that an image
//! can be continued without its base being pulled again. An account that the base brings along is taken over, and its
//! layers aren't searched then.

mod account;
mod apk;
mod facts;
mod image;
mod os_release;
pub mod others;

use std::fmt;
use std::sync::Arc;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

pub use account::Account;
pub use facts::Facts;
pub use image::{LARGEST_CONFIG, choose, describe, is_index, parse_config, pin, pin_digest, pin_in_layout};
pub use os_release::OsRelease;

use facts::{Depth, Looked};

use super::blobs::{Blobs, Shape};
use super::licences;
use super::time::parse_rfc3339;
use crate::bom::{self, Document};
use crate::digest::{Digest, Sha512};
use crate::inside::Found;
use crate::layer::Skeleton;
use crate::oci::{Descriptor, Image};
use crate::progress::Progress;
use crate::registry::Registry;
use crate::store::Store;

/// The kind of the store's records of bases, raised when more is looked for in a base.
const RECORD: &str = "base-7";

/// What must be known of a base image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Base {
    /// What was looked for in it: what others recorded is used only if it is the same.
    #[serde(default)]
    kind: String,
    /// The digest of its manifest.
    pub digest: Digest,
    /// The SHA-512 digest of its manifest.
    #[serde(default)]
    pub sha512: Option<Sha512>,
    /// Its layers and configuration.
    pub image: Image,
    /// Small files of its root.
    pub facts: Facts,
    /// Its directories and links.
    pub skeleton: Skeleton,
    /// Its packages that are not dpkg's.
    #[serde(default)]
    others: Vec<bom::Package>,
    /// What its packages declare.
    pub licences: licences::Outcome,
    /// What was found inside its files.
    pub found: Found,
    /// What was taken over of its own account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken_over: Option<bom::TakenOver>,
}

impl Base {
    /// Returns when the base was made, in seconds since 1970, where it says so.
    pub fn created(&self) -> Option<i64> {
        self.image.config.created.as_deref().and_then(parse_rfc3339).map(|created| created.max(0))
    }

    /// Returns the digest of its account, where that was taken over.
    pub fn account(&self) -> Option<Digest> {
        self.taken_over.as_ref().map(|taken| taken.account)
    }

    /// Returns the base's part of the account.
    pub fn bom(&self, name: &str) -> Result<bom::BaseImage> {
        let release = self.facts.os_release();
        let base = bom::BaseImage {
            canonical_name: format!("{name}@{}", self.digest),
            sha512: self.sha512,
            labels: bom::ImageId::told(&self.image.config.config.labels),
            os: release.id,
            version: release.version_id,
            codename: release.codename,
            ..bom::BaseImage::default()
        };
        Ok(match self.taken_over.clone() {
            None => {
                let packages = self.packages()?.into_iter().map(bom::BasePackage::from).collect();
                bom::BaseImage { packages, ..base }
            }
            Some(taken) => bom::BaseImage {
                account: Some(taken.account),
                packages: taken.packages,
                sources: taken.sources,
                files: taken.files,
                opened_packages: taken.opened_packages,
                ..base
            },
        })
    }

    /// Returns the keys that vouch for its packages, as its account tells them.
    pub fn keys(&self) -> Vec<bom::Key> {
        self.taken_over.iter().flat_map(|taken| &taken.keys).cloned().collect()
    }

    /// Returns its packages, as the databases in its layers list them.
    fn packages(&self) -> Result<Vec<bom::Package>> {
        let installed = self.facts.installed()?;
        let debs = installed.iter().filter(|package| package.is_installed());
        let debs = debs.map(|there| bom::Package::from(&there.package)).map(|package| bom::Package {
            licence: self.licences.packages.get(&package.name).cloned(),
            ..package
        });
        let mut packages: Vec<bom::Package> = debs.chain(self.others.iter().cloned()).collect();
        packages.sort_by_key(bom::Package::key);
        Ok(packages)
    }

    /// Returns the base as its account tells of it.
    fn told_by(self, account: Digest, document: Document) -> Result<Base> {
        account::check_tells_of(&document, &self.packages()?)?;
        Ok(Base {
            taken_over: Some(bom::TakenOver::of(account, &document)),
            licences: licences::Outcome { texts: document.licence_texts, ..self.licences },
            found: Found { components: document.components, incomplete: document.incomplete },
            ..self
        })
    }
}

/// Which base is to be loaded, and where it is had.
pub struct Place<'a> {
    /// The digest of its manifest.
    pub digest: Digest,
    /// Where it may be pulled from.
    pub registry: &'a Registry,
    /// What earlier builds knew of bases.
    pub known: &'a [Arc<Base>],
    /// If its root will be needed: what keeps it. Layers that are read are unpacked in passing then.
    pub root: Option<(&'a Blobs, Shape)>,
    /// What keeps it, and what is known of it.
    pub store: &'a Store,
    /// Is told what is pulled.
    pub progress: &'a Progress,
}

impl Place<'_> {
    /// Loads what must be known of the base: from the store, from what is known, else by pulling it.
    ///
    /// # Errors
    /// When it can't be pulled or read, or when the account that is asked for isn't there or isn't believed.
    pub async fn load(&self, asked: Account) -> Result<Arc<Base>> {
        let last = self.known.iter().find(|base| base.digest == self.digest && base.kind == RECORD);
        let asked = match (asked, last) {
            (Account::Any, Some(last)) => Account::Pinned(last.account()),
            (asked, _) => asked,
        };
        match asked {
            Account::Any => self.newest().await,
            Account::Pinned(None) => self.read().await,
            Account::Pinned(Some(account)) => self.pinned(account).await,
        }
    }

    /// Takes over the newest account, if there is one that is believed.
    async fn newest(&self) -> Result<Arc<Base>> {
        let taken = match account::find(self.registry, &self.digest, None).await {
            Ok(None) => return self.read().await,
            Ok(Some(found)) => self.take_over(&found).await,
            Err(error) => Err(error),
        };
        match taken {
            Ok(base) => Ok(base),
            Err(error) => {
                self.progress.warn(format!("the account of base {self} is not taken over: {error:#}"));
                self.read().await
            }
        }
    }

    /// Takes over the account that a lock names, and no other.
    async fn pinned(&self, account: Digest) -> Result<Arc<Base>> {
        if let Some(base) = self.recall(Some(account)) {
            return Ok(base);
        }
        let taken = async {
            let found = account::find(self.registry, &self.digest, Some(account)).await?;
            self.take_over(&found.context(account::GONE)?).await
        };
        let what = || format!("cannot take over the account {account} of base {self}, which the lock names");
        taken.await.with_context(what)
    }

    async fn take_over(&self, found: &Descriptor) -> Result<Arc<Base>> {
        if let Some(base) = self.recall(Some(found.digest)) {
            return Ok(base);
        }
        let image = image::describe(&self.digest, self.registry, self.store, self.progress).await?;
        let document = account::read(self.registry, found, &self.digest, &image.layers).await?;
        self.keep(self.look(Depth::Lists).await?.told_by(found.digest, document)?)
    }

    /// Reads the base's layers.
    async fn read(&self) -> Result<Arc<Base>> {
        match self.recall(None) {
            Some(base) => Ok(base),
            None => self.keep(self.look(Depth::Insides).await?),
        }
    }

    async fn look(&self, depth: Depth) -> Result<Base> {
        let look = async |image: &Image, coming| {
            facts::look_into(&image.layers, coming, self.store, depth, self.root).await
        };
        let (image, sha512, looked) =
            image::pull_image(&self.digest, self.registry, self.store, self.progress, look).await?;
        let Looked { facts, skeleton, others, licences, found } = looked;
        let (kind, digest) = (RECORD.into(), self.digest);
        let sha512 = Some(sha512);
        Ok(Base { kind, digest, sha512, image, facts, skeleton, others, licences, found, taken_over: None })
    }

    /// What one repository says of a base counts for builds into that repository, not for all of this machine's.
    fn recall(&self, account: Option<Digest>) -> Option<Arc<Base>> {
        let record = self.store.record(RECORD, &key(&self.digest, account));
        let is_it = |base: &&Arc<Base>| {
            (base.digest, base.account()) == (self.digest, account) && base.kind == RECORD
        };
        record
            .and_then(|record| serde_json::from_slice(&record).ok())
            .map(Arc::new)
            .or_else(|| self.known.iter().find(is_it).cloned())
    }

    fn keep(&self, base: Base) -> Result<Arc<Base>> {
        self.store.set_record(RECORD, &key(&self.digest, base.account()), &serde_json::to_vec(&base)?)?;
        Ok(base.into())
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.registry.name(), self.digest)
    }
}

/// A base whose account was taken over is another one than the same whose layers were read.
fn key(image: &Digest, account: Option<Digest>) -> Digest {
    account.map_or(*image, |account| Digest::of(format!("{image} {account}")))
}
