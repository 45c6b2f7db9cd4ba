//! What is attached to an image: which of several artifacts of a kind counts, and putting one there.
//!
//! An image may come to have two accounts: when a comment in its definition changes, its bytes don't. A registry
//! lists what refers to an image in any order, so the later one says so itself: it is of a later generation.

use std::cmp::Reverse;

use anyhow::Context as _;
use futures_util::{StreamExt, TryStreamExt, stream};

use crate::bom::{self, Document, Format};
use crate::digest::Digest;
use crate::oci::{Descriptor, Manifest};
use crate::registry::{Artifact, Content, Registry, Result};

/// No account, and no lock, is larger.
pub const LARGEST: u64 = 256 << 20;

/// How many artifacts are looked for at a time.
const N_PARALLEL: usize = 8;

/// How many of the same kind were attached before: absent on the first one.
const GENERATION: &str = "vnd.estaleiro.generation";

/// Finds what counts among the artifacts of one type that refer to `subject`: the newest.
pub async fn newest(registry: &Registry, subject: &Digest, media_type: &str) -> Result<Option<Descriptor>> {
    let known = registry.referrers(subject, Some(media_type)).await?;
    Ok(newest_of(&known, media_type).cloned())
}

/// Returns what counts among those listed of one type.
pub(super) fn newest_of<'l>(listed: &'l [Descriptor], media_type: &str) -> Option<&'l Descriptor> {
    let of_type = listed.iter().filter(|artifact| artifact.artifact_type.as_deref() == Some(media_type));
    of_type.rev().min_by_key(|artifact| Reverse(generation(artifact)))
}

/// Returns the account of an image in this form: as it is attached, else made of the YAML form that is.
///
/// What others attached counts where there is none of estaleiro's.
///
/// # Errors
/// When it can't be had, or the YAML form can't be read.
pub async fn account(registry: &Registry, image: &Digest, format: Format) -> anyhow::Result<Option<Vec<u8>>> {
    let Some(yaml) = content(registry, image, Format::Yaml).await? else {
        return Ok(content(registry, image, format).await?);
    };
    if format == Format::Yaml {
        return Ok(Some(yaml));
    }
    let attached = content(registry, image, format).await?;
    match attached.filter(|view| bom::is_view_of(view, &yaml)) {
        Some(view) => Ok(Some(view)),
        None => {
            let document =
                Document::parse(&yaml).with_context(|| format!("cannot convert it to {format}"))?;
            Ok(Some(document.view(format)?))
        }
    }
}

async fn content(registry: &Registry, image: &Digest, format: Format) -> Result<Option<Vec<u8>>> {
    match newest(registry, image, format.media_type()).await? {
        Some(newest) => Ok(Some(registry.artifact(&newest, LARGEST).await?)),
        None => Ok(None),
    }
}

/// What is to be attached to an image, and what is there already.
pub struct Attachments<'r> {
    registry: &'r Registry,
    subject: Descriptor,
    /// In their order; what isn't there stands for nothing yet.
    there: Vec<Option<Descriptor>>,
    new: Vec<Artifact>,
}

/// Looks which of `artifacts` are attached: those of whose type the newest has the same content, and is there in full.
///
/// What the others hold is pushed, so that [`Attachments::attach`] has little left to do.
pub async fn prepare<'r>(
    registry: &'r Registry,
    subject: &Descriptor,
    artifacts: Vec<&Artifact>,
) -> Result<Attachments<'r>> {
    let listed = registry.referrers(&subject.digest, None).await?;
    let looks: Vec<_> = artifacts.iter().map(|artifact| find(registry, subject, &listed, artifact)).collect();
    let there: Vec<Option<Descriptor>> = stream::iter(looks).buffered(N_PARALLEL).try_collect().await?;
    let artifacts = artifacts.into_iter().zip(&there).filter(|(_, found)| found.is_none());
    let mut new: Vec<Artifact> = artifacts.map(|(artifact, _)| artifact.clone()).collect();
    if new.iter().any(|artifact| newest_of(&listed, &artifact.media_type).is_some()) {
        registry.forget_referrers(&subject.digest);
        let listed = registry.referrers(&subject.digest, None).await?;
        new.iter_mut().for_each(|artifact| follow(artifact, &listed));
    }
    registry.push_contents(new.iter()).await?;
    Ok(Attachments { registry, subject: subject.clone(), there, new })
}

impl Attachments<'_> {
    /// Attaches what isn't there, all at once; returns the manifests of all, in their order.
    pub async fn attach(self) -> Result<Vec<Descriptor>> {
        let mut attached = self.registry.attach_all(&self.subject, &self.new).await?.into_iter();
        Ok(self.there.into_iter().filter_map(|found| found.or_else(|| attached.next())).collect())
    }
}

/// Makes an artifact the later one of its type, where there is one.
fn follow(artifact: &mut Artifact, listed: &[Descriptor]) {
    if let Some(last) = newest_of(listed, &artifact.media_type) {
        let generation = generation(last).saturating_add(1);
        artifact.annotations.insert(GENERATION.into(), generation.to_string());
    }
}

/// Returns the newest of the artifact's type, if it is the same.
async fn find(
    registry: &Registry,
    subject: &Descriptor,
    listed: &[Descriptor],
    artifact: &Artifact,
) -> Result<Option<Descriptor>> {
    let Some(last) = newest_of(listed, &artifact.media_type) else { return Ok(None) };
    Ok(is_whole(registry, subject, last, artifact).await?.then(|| last.clone()))
}

/// Whether manifest and content of what is listed as `last` are there, and the content is that of `artifact`.
async fn is_whole(
    registry: &Registry,
    subject: &Descriptor,
    last: &Descriptor,
    artifact: &Artifact,
) -> Result<bool> {
    let is_same = match last.digest == artifact.digest(subject) {
        true => registry.has_manifest(&last.digest).await?,
        false => match registry.manifest(&last.digest.to_string()).await? {
            Some((_, bytes)) => Manifest::parse(&bytes).is_ok_and(|manifest| holds(&manifest, artifact)),
            None => false,
        },
    };
    match &artifact.content {
        Content::Blob(blob) if is_same => registry.has_blob(&blob.descriptor().digest).await,
        // They were looked for before.
        Content::Blobs(_) | Content::Blob(_) => Ok(is_same),
    }
}

fn holds(manifest: &Manifest, artifact: &Artifact) -> bool {
    match &artifact.content {
        Content::Blob(blob) => {
            manifest.layers.iter().map(|layer| layer.digest).eq([blob.descriptor().digest])
        }
        Content::Blobs(blobs) => manifest.layers == *blobs,
    }
}

/// Returns how many of its kind were attached before it.
pub(super) fn generation(artifact: &Descriptor) -> u64 {
    artifact.annotations.get(GENERATION).and_then(|text| text.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::media_type;
    use crate::registry::{Access, Location};

    const KIND: &str = "application/x-test";

    /// A layout with an image, of which only the manifest is there.
    async fn registry() -> (tempfile::TempDir, Registry, Descriptor) {
        let directory = tempfile::tempdir().unwrap();
        let location = Location::Layout { directory: directory.path().join("image"), tag: "latest".into() };
        let registry = Registry::open(&location, &Access::default()).unwrap();
        let bytes = br#"{"schemaVersion":2,"layers":[]}"#;
        let image = registry.push_manifest("latest", media_type::MANIFEST, bytes).await.unwrap();
        (directory, registry, image)
    }

    async fn attach(registry: &Registry, image: &Descriptor, artifact: &Artifact) -> Descriptor {
        let attachments = prepare(registry, image, vec![artifact]).await.unwrap();
        attachments.attach().await.unwrap().remove(0)
    }

    async fn newest_text(registry: &Registry, image: &Descriptor) -> String {
        let newest = newest(registry, &image.digest, KIND).await.unwrap().unwrap();
        String::from_utf8(registry.artifact(&newest, 100).await.unwrap()).unwrap()
    }

    #[tokio::test]
    async fn the_last_one_attached_counts_even_if_it_was_there_once() {
        let (_directory, registry, image) = registry().await;
        for text in ["a", "b", "a", "a"] {
            attach(&registry, &image, &Artifact::new(KIND, text.into())).await;
            assert_eq!(newest_text(&registry, &image).await, text);
        }
        assert_eq!(registry.referrers(&image.digest, Some(KIND)).await.unwrap().len(), 3);
    }

    #[tokio::test]
    async fn what_is_listed_and_gone_is_attached_again() {
        let (directory, registry, image) = registry().await;
        let artifact = Artifact::new(KIND, "a".into());
        let first = attach(&registry, &image, &artifact).await;
        let blob = |digest: &Digest| directory.path().join("image/blobs/sha256").join(digest.hex());
        std::fs::remove_file(blob(&Digest::of("a"))).unwrap();
        let second = attach(&registry, &image, &artifact).await;
        assert_ne!(first.digest, second.digest);
        assert_eq!(newest_text(&registry, &image).await, "a");
    }
}
