//! The outputs of the task, and what is written to them.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::super::files::Files;
use super::{IMAGE, Image, TAG, TaskParams};
use crate::digest::Digest;
use crate::oci::{Manifest, Platform};
use crate::progress::Progress;
use crate::registry::Registry;

/// An output's directory.
pub(super) struct Output {
    path: PathBuf,
}

impl Output {
    /// Finds an output, where the task has it.
    pub(super) fn find(directory: &Path, name: &str) -> Option<Output> {
        let path = directory.join(name);
        path.is_dir().then_some(Output { path })
    }

    /// Writes an image: `image.tar`, or the layout `image`; `digest`, `bom.yml` and `estaleiro.lock`; and the root, if it
    /// is asked for.
    pub(super) async fn write(&self, image: &Image, params: &TaskParams, progress: &Progress) -> Result<()> {
        let files = Files::open(&image.registry, &self.path, progress)?;
        let own = own(image);
        files.artifacts(&own).await?;
        let digest = match params.output_oci {
            true => files.layout(&image.root.digest, TAG, IMAGE).await?.digest,
            false => {
                // Not with the record of this very build: the same image is the same archive.
                files.archive(&own, None, TAG, &files.account(&own).await?).await?;
                configuration(&own, &image.registry).await?
            }
        };
        if params.unpack_rootfs {
            files.rootfs(&own).await?;
        }
        files.write("digest", digest.to_string().as_bytes())
    }
}

/// Returns the manifest of this machine's platform, else the first.
fn own(image: &Image) -> Digest {
    let host = Platform::host();
    let of_host = image.manifests.iter().find(|(platform, _)| platform.distance(&host).is_some());
    of_host.or(image.manifests.first()).map_or(image.root.digest, |(_, manifest)| manifest.digest)
}

async fn configuration(image: &Digest, registry: &Registry) -> Result<Digest> {
    let found = registry.manifest(&image.to_string()).await?;
    let (_, bytes) = found.context("internal error: the image that was built is gone")?;
    Ok(Manifest::parse(&bytes)?.config.digest)
}
