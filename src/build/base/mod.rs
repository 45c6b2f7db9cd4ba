//! What must be known of a base image: its manifest, some small files of its root, its directories and links.
//!
//! Known once, it is kept by digest in the store and travels in the cache record, so that an image
//! can be continued without its base being pulled again.

mod apk;
mod facts;
mod image;
mod os_release;

use anyhow::Result;
use serde::{Deserialize, Serialize};

pub use facts::Facts;
pub use image::{
    LARGEST_CONFIG, choose, describe, is_index, parse_config, pin, pin_digest, pin_in_layout, pull_image,
};
pub use os_release::OsRelease;

use super::licences;
use super::time::parse_rfc3339;
use crate::bom;
use crate::digest::Digest;
use crate::inside::Found;
use crate::layer::Skeleton;
use crate::oci::Image;
use crate::progress::Progress;
use crate::registry::Registry;
use crate::store::Store;

/// The kind of the store's records of bases.
const RECORD: &str = "base-4";

/// What must be known of a base image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Base {
    /// The digest of its manifest.
    pub digest: Digest,
    /// Its layers and configuration.
    pub image: Image,
    /// Small files of its root.
    pub facts: Facts,
    /// Its directories and links.
    pub skeleton: Skeleton,
    /// What its packages declare.
    pub licences: licences::Outcome,
    /// What was found inside its files.
    pub found: Found,
}

impl Base {
    /// Returns when the base was made, in seconds since 1970, where it says so.
    pub fn created(&self) -> Option<i64> {
        self.image.config.created.as_deref().and_then(parse_rfc3339).map(|created| created.max(0))
    }

    /// Returns the base's part of the account.
    pub fn bom(&self, name: &str) -> Result<bom::BaseImage> {
        let release = self.facts.os_release();
        let mut packages: Vec<bom::Package> = self
            .facts
            .installed()?
            .iter()
            .filter(|package| package.is_installed())
            .map(|there| bom::Package::from(&there.package))
            .map(|package| bom::Package {
                licence: self.licences.packages.get(&package.name).cloned(),
                ..package
            })
            .collect();
        packages.extend(self.facts.apk_database().iter().flat_map(|database| apk::parse(database)));
        packages.sort_by_key(bom::Package::key);
        Ok(bom::BaseImage {
            canonical_name: format!("{name}@{}", self.digest),
            os: release.id,
            version: release.version_id,
            codename: release.codename,
            packages,
            sources: Vec::new(),
        })
    }
}

/// Loads what must be known of the base with this digest: from the store, from `known`, else by pulling it.
pub async fn load(
    digest: Digest,
    known: &[Base],
    registry: &Registry,
    store: &Store,
    progress: &Progress,
) -> Result<Base> {
    if let Some(base) = store.record(RECORD, &digest).and_then(|record| serde_json::from_slice(&record).ok())
    {
        return Ok(base);
    }
    // What one repository says of a base counts for builds into that repository, not for all of this machine's.
    if let Some(base) = known.iter().find(|base| base.digest == digest) {
        return Ok(base.clone());
    }
    let base = pull(&digest, registry, store, progress).await?;
    store.set_record(RECORD, &digest, &serde_json::to_vec(&base)?)?;
    Ok(base)
}

async fn pull(digest: &Digest, registry: &Registry, store: &Store, progress: &Progress) -> Result<Base> {
    let image = image::pull_image(digest, registry, store, progress).await?;
    let (facts, skeleton, licences, found) = facts::look_into(&image.layers, store).await?;
    Ok(Base { digest: *digest, image, facts, skeleton, licences, found })
}
