//! Registries: remote ones and OCI layout directories, behind one type.
//!
//! A [`Registry`] is one repository: a place that answers digests to tags, gives and takes blobs and
//! manifests, and knows what refers to an image. Who decides what is pulled or pushed, and how much
//! of it at once, is the caller. Nothing here unpacks a layer or knows what an artifact means.
//!
//! This is the only room that knows `oci-client`. Of a remote registry every request goes through
//! the door in `door.rs`, which authenticates, retries, and keeps credentials where they belong.

mod access;
mod attach;
mod auth;
mod body;
mod chunks;
mod door;
mod error;
mod incoming;
mod layout;
mod list;
mod location;
mod referrers;
mod remote;
mod retry;
mod section;
mod seen;
mod upload;
mod wire;

use std::sync::Arc;

pub use access::Access;
pub use error::{Error, Reason};
pub use incoming::Incoming;
pub use location::{InvalidLocation, Location};
pub use referrers::{Artifact, Blob, Content, signature_tag, signature_tags, subject_of_tag};
pub use section::{Section, whole_file};

use crate::digest::Digest;
use crate::oci::{Descriptor, Manifest};
use crate::progress::Task;
use crate::store::{Growth, Store};
pub use crate::transport::{ClientCertificate, Credentials, Retry};
use layout::Layout;
use remote::Remote;

/// The largest manifest or index that is read, in bytes; registries promise no more.
pub const MANIFEST_LIMIT: u64 = 4 << 20;

/// How many small things are put at a time.
const N_PARALLEL: usize = 8;

/// What a room of this floor answers.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A repository, remote or on disk. Cheap to clone.
#[derive(Clone)]
pub struct Registry {
    location: Arc<Location>,
    place: Place,
}

#[derive(Clone)]
enum Place {
    Remote(Arc<Remote>),
    Layout(Arc<Layout>),
}

/// How a blob came to be where it was pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// It was there.
    Existed,
    /// The registry took it over from another of its repositories.
    Mounted,
    /// Its bytes were sent.
    Uploaded,
}

impl Registry {
    /// Opens the repository at `location`; nothing is asked of a remote one yet.
    pub fn open(location: &Location, access: &Access) -> Result<Registry> {
        let place = match location {
            Location::Remote(reference) => Remote::open(reference, access).map(Arc::new).map(Place::Remote),
            Location::Layout { directory, .. } => Layout::open(directory).map(Arc::new).map(Place::Layout),
        };
        let place = place.map_err(Error::of("use", location.name()))?;
        Ok(Registry { location: Arc::new(location.clone()), place })
    }

    /// Returns where it is.
    pub fn location(&self) -> &Location {
        &self.location
    }

    /// Returns its name for people: without tag and digest.
    pub fn name(&self) -> String {
        self.location.name()
    }

    /// Returns what a tag or digest stands for, or nothing where it is unknown.
    pub async fn resolve(&self, tag_or_digest: &str) -> Result<Option<Descriptor>> {
        let found = match &self.place {
            Place::Remote(remote) => remote.resolve(tag_or_digest).await,
            Place::Layout(layout) => layout.resolve(tag_or_digest),
        };
        found.map_err(Error::of("resolve", self.named(tag_or_digest)))
    }

    /// Returns the manifest or index of a tag or digest, verified, or nothing where it is unknown.
    pub async fn manifest(&self, tag_or_digest: &str) -> Result<Option<(Descriptor, Vec<u8>)>> {
        let found = match &self.place {
            Place::Remote(remote) => remote.manifest(tag_or_digest).await,
            Place::Layout(layout) => layout.manifest(tag_or_digest),
        };
        found.map_err(Error::of("read the manifest", self.named(tag_or_digest)))
    }

    /// Returns what a tag stood for when it was last asked for; asks, if it wasn't yet.
    pub async fn resolve_as_seen(&self, tag: &str) -> Result<Option<Descriptor>> {
        let seen = match &self.place {
            Place::Remote(remote) => remote.seen.tag(tag),
            Place::Layout(_) => None,
        };
        match seen {
            Some(seen) => Ok(Some(seen)),
            None => self.resolve(tag).await,
        }
    }

    /// Whether the manifest or index is there.
    pub async fn has_manifest(&self, digest: &Digest) -> Result<bool> {
        match &self.place {
            Place::Remote(remote) if remote.seen.has_manifest(digest) => Ok(true),
            Place::Remote(_) | Place::Layout(_) => Ok(self.resolve(&digest.to_string()).await?.is_some()),
        }
    }

    /// Forgets what refers to the manifest `subject`, so that it is asked for anew: others may have attached more.
    pub fn forget_referrers(&self, subject: &Digest) {
        match &self.place {
            Place::Remote(remote) => remote.seen.forget_referrers(subject),
            Place::Layout(_) => {}
        }
    }

    /// Whether the blob is there.
    pub async fn has_blob(&self, digest: &Digest) -> Result<bool> {
        let found = match &self.place {
            Place::Remote(remote) => remote.has_blob(digest).await,
            Place::Layout(layout) => Ok(layout.has_blob(digest)),
        };
        found.map_err(Error::of("look for", self.named(&digest.to_string())))
    }

    /// Streams a blob into the store, verified by digest and size; one that is in the store is left alone.
    ///
    /// The bytes to come are told to `task` only when they really have to come.
    pub async fn pull_blob(&self, blob: &Descriptor, store: &Store, task: &Task) -> Result<()> {
        self.pull(blob, store, task, None).await
    }

    /// Does the same with a blob that is read meanwhile.
    pub async fn pull_growing(
        &self,
        blob: &Descriptor,
        store: &Store,
        task: &Task,
        growth: Growth,
    ) -> Result<()> {
        self.pull(blob, store, task, Some(&growth)).await?;
        growth.finish();
        Ok(())
    }

    async fn pull(
        &self,
        blob: &Descriptor,
        store: &Store,
        task: &Task,
        growth: Option<&Growth>,
    ) -> Result<()> {
        let pulled = match &self.place {
            _ if store.contains(&blob.digest) => Ok(()),
            Place::Remote(remote) => remote.pull_blob(blob, store, task, growth).await,
            Place::Layout(layout) => layout.pull_blob(blob, store, task, growth).await,
        };
        pulled.map_err(Error::of("pull", self.named(&blob.digest.to_string())))
    }

    /// Reads a small blob whole, verified; one of more than `limit` bytes is refused.
    pub async fn read_blob(&self, blob: &Descriptor, limit: u64) -> Result<Vec<u8>> {
        let read = match &self.place {
            Place::Remote(remote) => remote.read_blob(blob, limit).await,
            Place::Layout(layout) => layout.read_blob(blob, limit),
        };
        read.map_err(Error::of("read", self.named(&blob.digest.to_string())))
    }

    /// Pushes a blob of the store, unless it is there or the registry can take it over from its
    /// repository `mount_from`.
    pub async fn push_blob(
        &self,
        blob: &Descriptor,
        store: &Store,
        mount_from: Option<&str>,
        task: &Task,
    ) -> Result<Pushed> {
        let pushed = match &self.place {
            Place::Remote(remote) => {
                remote.push_blob(blob, &store.blob_path(&blob.digest).into(), mount_from, Some(task)).await
            }
            Place::Layout(layout) => layout.push_blob(blob, store).await,
        };
        pushed.map_err(Error::of("push", self.named(&blob.digest.to_string())))
    }

    /// Pushes a blob of a file, unless it is there; its bytes are verified before any of them is sent.
    pub async fn push_section(&self, blob: &Descriptor, section: &Section, task: &Task) -> Result<Pushed> {
        let pushed = match &self.place {
            Place::Remote(remote) => remote.push_blob(blob, &section.clone().into(), None, Some(task)).await,
            Place::Layout(layout) => layout.push_section(blob, section).await,
        };
        pushed.map_err(Error::of("push", self.named(&blob.digest.to_string())))
    }

    /// Moves a blob of the store to a layout, which should be on the same file system; pushes it anywhere else.
    pub async fn move_blob(&self, blob: &Descriptor, store: &Store) -> Result<()> {
        let moved = match &self.place {
            Place::Remote(remote) => {
                remote.push_blob(blob, &store.blob_path(&blob.digest).into(), None, None).await.map(drop)
            }
            Place::Layout(layout) => layout.move_blob(blob, store),
        };
        moved.map_err(Error::of("keep", self.named(&blob.digest.to_string())))
    }

    /// Pushes a small blob that lies in no store.
    pub async fn push_bytes(&self, media_type: &str, bytes: &[u8]) -> Result<Descriptor> {
        let blob = Descriptor::of(media_type, bytes);
        let pushed = match &self.place {
            Place::Remote(remote) => remote.push_blob(&blob, &bytes.to_vec().into(), None, None).await,
            Place::Layout(layout) => layout.put_bytes(&blob, bytes),
        };
        pushed.map_err(Error::of("push", self.named(&blob.digest.to_string())))?;
        Ok(blob)
    }

    /// Pushes a small blob that was only just made, so that it isn't looked for first.
    pub async fn push_new_blob(&self, blob: &Blob) -> Result<()> {
        let (descriptor, bytes) = (blob.descriptor(), blob.bytes());
        let pushed = match &self.place {
            Place::Remote(remote) => remote.push_new(descriptor, &bytes.clone().into()).await,
            Place::Layout(layout) => layout.put_bytes(descriptor, bytes),
        };
        pushed.map(drop).map_err(Error::of("push", self.named(&descriptor.digest.to_string())))
    }

    /// Puts a manifest or index, exactly these bytes, under a tag or its own digest.
    pub async fn push_manifest(
        &self,
        tag_or_digest: &str,
        media_type: &str,
        bytes: &[u8],
    ) -> Result<Descriptor> {
        let manifest = Descriptor::of(media_type, bytes);
        let pushed = match (&self.place, tag_or_digest.parse::<Digest>()) {
            (_, Ok(digest)) if digest != manifest.digest => {
                Err(Reason::mismatch(&digest, &manifest.digest, "the manifest"))
            }
            (Place::Remote(remote), _) => {
                remote.push_manifest(tag_or_digest, &manifest, bytes).await.map(|_| ())
            }
            (Place::Layout(layout), is_digest) => {
                layout.push_manifest(is_digest.is_err().then_some(tag_or_digest), &manifest, bytes)
            }
        };
        pushed.map_err(Error::of("push the manifest", self.named(tag_or_digest)))?;
        Ok(manifest)
    }

    /// Returns what refers to the manifest `subject`, all of it or what is of one type. It is asked for once.
    pub async fn referrers(&self, subject: &Digest, artifact_type: Option<&str>) -> Result<Vec<Descriptor>> {
        let found = match &self.place {
            Place::Remote(remote) => remote.referrers(subject).await,
            Place::Layout(layout) => layout.referrers(subject),
        };
        let mut found = found.map_err(Error::of("list what refers to", self.named(&subject.to_string())))?;
        found
            .retain(|referrer| artifact_type.is_none() || referrer.artifact_type.as_deref() == artifact_type);
        Ok(found)
    }

    /// Reads the content of an artifact, verified; one of more than `limit` bytes is refused.
    pub async fn artifact(&self, referrer: &Descriptor, limit: u64) -> Result<Vec<u8>> {
        self.read_blob(&self.content_of(referrer).await?, limit).await
    }

    /// Returns what the content of an artifact is, its only layer.
    pub async fn content_of(&self, referrer: &Descriptor) -> Result<Descriptor> {
        let digest = referrer.digest.to_string();
        let error = || Error::of("read the artifact", self.named(&digest));
        let found = self.manifest(&digest).await?;
        let (_, bytes) = found.ok_or_else(|| error()(Reason::Missing))?;
        let manifest = Manifest::parse(&bytes).map_err(|e| error()(Reason::Unexpected(e.to_string())))?;
        let [layer] = manifest.layers.as_slice() else {
            let n_layers = manifest.layers.len();
            return Err(error()(Reason::Unexpected(format!("expected one layer, got {n_layers}"))));
        };
        Ok(layer.clone())
    }

    /// Returns all tags, in the registry's order.
    pub async fn tags(&self) -> Result<Vec<String>> {
        let tags = match &self.place {
            Place::Remote(remote) => remote.tags().await,
            Place::Layout(layout) => layout.tags(),
        };
        tags.map_err(Error::of("list the tags of", self.name()))
    }

    /// Names something in this repository: a tag after a colon, a digest after an at sign.
    fn named(&self, tag_or_digest: &str) -> String {
        let separator = if tag_or_digest.contains(':') { '@' } else { ':' };
        format!("{}{separator}{tag_or_digest}", self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_may_be_used_from_many_threads() {
        fn asks_for<T: Clone + Send + Sync + 'static>() {}
        fn future<T: Send>(_: &T) {}
        asks_for::<Registry>();
        let directory = tempfile::tempdir().unwrap();
        let location = Location::Layout { directory: directory.path().join("image"), tag: "latest".into() };
        let registry = Registry::open(&location, &Access::default()).unwrap();
        let digest = Digest::of(b"");
        let descriptor = Descriptor::of("x", b"");
        let store = Store::open(directory.path().join("state")).unwrap();
        let task = crate::progress::Progress::silent().start("x");
        let artifact = Artifact::new("x", Vec::new());
        future(&registry.resolve("latest"));
        future(&registry.pull_blob(&descriptor, &store, &task));
        future(&registry.push_blob(&descriptor, &store, None, &task));
        future(&registry.attach(&descriptor, &artifact));
        future(&registry.referrers(&digest, None));
    }
}
