//! Attaching artifacts to an image, as many as there are at once: blobs, manifests, and where need be the list.
//!
//! The same artifact is not attached twice. Where the registry doesn't keep the list of referrers, it is kept for it
//! (OCI distribution specification, "Pushing Manifests with Subject"); that is `list.rs`.

use std::collections::BTreeMap;

use futures_util::future::try_join;
use futures_util::{StreamExt, TryStreamExt, stream};

use super::referrers::{self, Artifact, Blob, Referrer};
use super::{Error, N_PARALLEL, Place, Reason, Registry, Result};
use crate::digest::Digest;
use crate::oci::{Descriptor, Manifest, media_type};

impl Registry {
    /// Attaches `artifact` to the manifest `subject`, so that it is found among its referrers.
    pub async fn attach(&self, subject: &Descriptor, artifact: &Artifact) -> Result<Descriptor> {
        self.attach_all(subject, std::slice::from_ref(artifact)).await?;
        Ok(artifact.referrer(subject, &[]).descriptor)
    }

    /// Attaches all `artifacts` to the manifest `subject`; returns their entries among its referrers, in their order.
    pub async fn attach_all(&self, subject: &Descriptor, artifacts: &[Artifact]) -> Result<Vec<Descriptor>> {
        let known = self.referrers(&subject.digest, None).await?;
        let referrers: Vec<Referrer> =
            artifacts.iter().map(|artifact| artifact.referrer(subject, &known)).collect();
        let is_new =
            |referrer: &Referrer| known.iter().all(|other| other.digest != referrer.descriptor.digest);
        let new = artifacts.iter().zip(&referrers).filter(|(_, referrer)| is_new(referrer));
        self.push_contents(new.map(|(artifact, _)| artifact)).await?;
        let to_put = referrers.iter().filter(|one| is_new(one) || !one.superseded.is_empty());
        self.refer(&subject.digest, &to_put.collect::<Vec<_>>()).await?;
        Ok(referrers.into_iter().map(|referrer| referrer.descriptor).collect())
    }

    /// Pushes what artifacts hold, before they are attached.
    pub async fn push_contents(&self, artifacts: impl Iterator<Item = &Artifact>) -> Result<()> {
        let mut blobs: BTreeMap<&Digest, &Blob> = BTreeMap::new();
        let mut are_any = false;
        for artifact in artifacts {
            are_any = true;
            blobs.extend(artifact.blob().map(|blob| (&blob.descriptor().digest, blob)));
        }
        // All artifacts have the empty one: mostly it is there.
        let empty = async {
            match are_any {
                true => self.push_bytes(media_type::EMPTY, referrers::EMPTY).await.map(drop),
                false => Ok(()),
            }
        };
        let pushes: Vec<_> = blobs.into_values().map(|blob| self.push_new_blob(blob)).collect();
        let pushes = stream::iter(pushes).buffer_unordered(N_PARALLEL).try_collect::<()>();
        try_join(empty, pushes).await.map(drop)
    }

    /// Attaches the manifests of artifacts that were made elsewhere, and whose blobs are here, to what they refer to.
    pub async fn attach_manifests(&self, manifests: &[&[u8]]) -> Result<()> {
        let error =
            |reason: String| Error::of("attach a manifest in", self.name())(Reason::Unexpected(reason));
        let mut referrers: Vec<(Digest, Referrer)> = Vec::new();
        for bytes in manifests {
            let manifest = Manifest::parse(bytes).map_err(|e| error(e.to_string()))?;
            let referrer = Referrer::of(&manifest, bytes);
            let subject = manifest.subject.ok_or_else(|| error("it refers to nothing".into()))?;
            referrers.push((subject.digest, referrer));
        }
        for of_one in referrers.chunk_by(|one, next| one.0 == next.0) {
            let referrers: Vec<&Referrer> = of_one.iter().map(|(_, referrer)| referrer).collect();
            self.refer(&of_one[0].0, &referrers).await?;
        }
        Ok(())
    }

    async fn refer(&self, subject: &Digest, referrers: &[&Referrer]) -> Result<()> {
        if referrers.is_empty() {
            return Ok(());
        }
        let attached = match &self.place {
            Place::Remote(remote) => remote.attach(subject, referrers).await,
            Place::Layout(layout) => layout.attach(referrers),
        };
        attached.map_err(Error::of("attach to", self.named(&subject.to_string())))
    }
}
