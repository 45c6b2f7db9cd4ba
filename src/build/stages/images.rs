//! The images that stages are built upon, or take files from: pinned, and known by their configuration. Their layers come
//! when something needs them.

use crate::build::time::parse_rfc3339;
use crate::digest::Digest;
use crate::oci::{Image, Platform};
use crate::registry::Registry;

/// The images of a build, each once.
#[derive(Clone, Default)]
pub struct Images {
    images: Vec<KnownImage>,
}

/// An image that is pinned.
#[derive(Clone)]
pub struct KnownImage {
    /// Its full name, with tag or digest as they are written.
    pub name: String,
    /// Whom it is for.
    pub platform: Platform,
    /// The digest of its manifest for that platform.
    pub digest: Digest,
    /// Its layers and configuration.
    pub image: Image,
    /// Where it lies.
    pub registry: Registry,
}

impl KnownImage {
    /// Returns when it was made, in seconds since 1970, where it says so.
    pub fn created(&self) -> Option<i64> {
        self.image.config.created.as_deref().and_then(parse_rfc3339).map(|created| created.max(0))
    }
}

impl Images {
    /// Adds an image.
    pub fn add(&mut self, image: KnownImage) {
        self.images.push(image);
    }

    /// Returns the images in the order in which they came.
    pub fn iter(&self) -> impl Iterator<Item = &KnownImage> {
        self.images.iter()
    }

    /// Returns when the latest of them was made, in seconds since 1970, where one says so.
    pub fn latest(&self) -> Option<i64> {
        self.iter().filter_map(KnownImage::created).max()
    }

    /// Returns the image of this name for this platform.
    pub fn get(&self, name: &str, platform: &Platform) -> Option<&KnownImage> {
        self.images.iter().find(|image| image.name == name && image.platform == *platform)
    }
}
