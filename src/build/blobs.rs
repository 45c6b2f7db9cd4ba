//! Layers' bytes when they are needed: from the store, else from the registry that is known to have them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use futures_util::future::try_join_all;

use super::view::{Ask, View};
use super::wait::Waiter;
use crate::digest::{Digest, HashingReader};
use crate::layer::{self, Entry};
use crate::oci::{Descriptor, Image, Layer, canonical_json};
use crate::progress::Progress;
use crate::registry::Registry;
use crate::store::Store;

/// Where the bytes of layers may be had.
#[derive(Clone)]
pub struct Blobs {
    store: Store,
    progress: Progress,
    waiter: Waiter,
    sources: Vec<BlobSource>,
}

/// A registry and the blobs it is known to have.
#[derive(Clone)]
pub struct BlobSource {
    /// The registry.
    pub registry: Registry,
    /// The blobs' digests.
    pub digests: BTreeSet<Digest>,
}

impl BlobSource {
    /// Says that `registry` has the layers of `image`.
    pub fn of_image(registry: Registry, image: &Image) -> BlobSource {
        BlobSource { registry, digests: image.layers.iter().map(|layer| layer.descriptor.digest).collect() }
    }
}

impl Blobs {
    /// Returns the blobs of the store and these registries; `waiter` waits for the latter.
    pub fn new(store: Store, progress: Progress, waiter: Waiter, sources: Vec<BlobSource>) -> Blobs {
        Blobs { store, progress, waiter, sources }
    }

    /// Returns the registry that has a blob.
    pub fn source(&self, digest: &Digest) -> Option<&Registry> {
        self.sources.iter().find(|source| source.digests.contains(digest)).map(|source| &source.registry)
    }

    /// Brings a blob into the store.
    pub async fn fetch(&self, blob: &Descriptor) -> Result<()> {
        if self.store.contains(&blob.digest) {
            return Ok(());
        }
        let Some(registry) = self.source(&blob.digest) else {
            bail!("internal error: nobody is known to have the layer {}", blob.digest);
        };
        let task =
            self.progress.start(format!("pull layer {} from {}", blob.digest.short(), registry.name()));
        registry.pull_blob(blob, &self.store, &task).await?;
        task.done("pulled");
        Ok(())
    }

    /// Returns a directory that holds the root of these layers. It is shared: nobody may write to it.
    pub fn root(&self, layers: &[Layer]) -> Result<PathBuf> {
        let diff_ids: Vec<Digest> = layers.iter().map(|layer| layer.diff_id).collect();
        let key = Digest::of(canonical_json(&("root", diff_ids)));
        if let Some(tree) = self.store.tree(&key) {
            return Ok(tree);
        }
        let scratch = self.store.scratch()?;
        let root = scratch.path().join("root");
        layer::make_root(&root)?;
        self.unpack(layers, &root)?;
        Ok(self.store.keep_tree(&key, &root)?)
    }

    /// Looks at the root of these layers without unpacking them.
    pub fn view(&self, layers: &[Layer], ask: &dyn Fn(&Entry) -> Ask) -> Result<View> {
        let fetches = layers.iter().map(|layer| self.fetch(&layer.descriptor));
        self.waiter.wait(try_join_all(fetches))?;
        View::of(layers, &self.store, ask)
    }

    /// Unpacks layers into `root`, an empty root.
    pub fn unpack(&self, layers: &[Layer], root: &Path) -> Result<()> {
        let fetches = layers.iter().map(|layer| self.fetch(&layer.descriptor));
        self.waiter.wait(try_join_all(fetches))?;
        let task = self.progress.start("unpack");
        for layer in layers {
            self.apply(layer, root)
                .with_context(|| format!("cannot unpack layer {}", layer.descriptor.digest))?;
        }
        task.done(&format!("{} layers", layers.len()));
        Ok(())
    }

    fn apply(&self, layer: &Layer, root: &Path) -> Result<()> {
        let blob =
            std::io::BufReader::with_capacity(1 << 18, self.store.open_blob(&layer.descriptor.digest)?);
        let mut tar = HashingReader::new(layer::decompress(blob)?);
        layer::apply(&mut tar, root)?;
        std::io::copy(&mut tar, &mut std::io::sink())?;
        let (_, diff_id, _) = tar.finish();
        match diff_id == layer.diff_id {
            true => Ok(()),
            false => bail!("its content has the digest {diff_id}, the configuration says {}", layer.diff_id),
        }
    }
}
