//! OCI values: descriptors, manifests, configurations, images, references.
//!
//! Plain data and its JSON. Nothing here touches a disk or a network. What comes from the wire is
//! read through `oci-spec`, which knows the specification; what goes out is canonical JSON
//! ([`canonical_json`]), so that equal values have equal digests.

mod config;
mod descriptor;
mod image;
mod json;
mod manifest;
mod platform;
pub mod reference;

pub use config::{Config, ContainerConfig, Empty, History};
pub use descriptor::{Annotations, Descriptor};
pub use image::{Image, Layer};
pub use json::canonical_json;
pub use manifest::{Index, InvalidManifest, Manifest};
pub use platform::Platform;
pub use reference::{InvalidReference, Reference};

/// Media types, as the OCI image specification 1.1 and the Docker registry name them.
pub mod media_type {
    /// An OCI image manifest.
    pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
    /// An OCI image index.
    pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
    /// An OCI image configuration.
    pub const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
    /// The configuration of an artifact that needs none: the two bytes `{}`.
    pub const EMPTY: &str = "application/vnd.oci.empty.v1+json";
    /// A layer: a tar archive.
    pub const LAYER_TAR: &str = "application/vnd.oci.image.layer.v1.tar";
    /// A layer: a tar archive, compressed by gzip.
    pub const LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
    /// A layer: a tar archive, compressed by zstd.
    pub const LAYER_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
    /// Docker's manifest, schema 2.
    pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
    /// Docker's name for an image configuration.
    pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
    /// Docker's manifest list.
    pub const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
    /// Docker's layer: a tar archive, compressed by gzip.
    pub const DOCKER_LAYER_GZIP: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
}
