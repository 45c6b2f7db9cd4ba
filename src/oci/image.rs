//! An image as a value: its layers and its configuration.

use serde::{Deserialize, Serialize};

use super::{Annotations, Config, Descriptor, History, Manifest, Platform, canonical_json, media_type};
use crate::digest::Digest;

/// A layer. Its bytes lie in the store, or are known to lie in a repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    /// The compressed bytes.
    pub descriptor: Descriptor,
    /// The digest of the uncompressed bytes.
    pub diff_id: Digest,
}

/// An image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Image {
    /// Lowest first; as many as the configuration has diff IDs.
    pub layers: Vec<Layer>,
    /// How a container is started.
    pub config: Config,
}

impl Image {
    /// Returns the image without layers.
    pub fn scratch(platform: Platform) -> Image {
        Image { layers: Vec::new(), config: Config::scratch(platform) }
    }

    /// Returns the image with `layer` on top, whose making `history` tells.
    pub fn append(mut self, layer: Layer, history: History) -> Image {
        self.config.rootfs.diff_ids.push(layer.diff_id);
        self.config.history.push(history);
        self.layers.push(layer);
        self
    }

    /// Returns the configuration's canonical bytes and what points at them.
    pub fn config_blob(&self) -> (Descriptor, Vec<u8>) {
        let bytes = canonical_json(&self.config);
        (Descriptor::of(media_type::CONFIG, &bytes), bytes)
    }

    /// Returns the image's manifest.
    pub fn manifest(&self, annotations: Annotations) -> Manifest {
        Manifest {
            media_type: media_type::MANIFEST.into(),
            artifact_type: None,
            config: self.config_blob().0,
            layers: self.layers.iter().map(|layer| layer.descriptor.clone()).collect(),
            subject: None,
            annotations,
        }
    }
}
