//! What an image that is built from nothing needs besides its lock, brought while that is being made. Nothing is decided
//! here; what fails is tried again by who needs it, and told then.

use anyhow::Result;

use super::resolve::Subject;
use super::wish;
use crate::build::World;
use crate::build::base::Base;
use crate::build::blobs::{BlobSource, Blobs};
use crate::build::definition;
use crate::build::wait::Waiter;
use crate::oci::Reference;
use crate::registry::Location;

/// Returns what keeps the root that packages will be put upon. Where an earlier image is known, they may be known, too, and
/// it isn't needed.
pub(super) fn keeper_of_root(subject: &Subject<'_>, world: &World) -> Option<Blobs> {
    let is_needed = subject.is_first && wish::adds_packages(subject.definition);
    is_needed.then(|| Blobs::of_store(&world.store, &world.progress))
}

/// Unpacks the root that packages will be put upon, if that wasn't done when it was looked at.
pub(super) async fn root(subject: &Subject<'_>, base: Option<&Base>, world: &World) {
    if let (definition::Base::Image(reference), Some(base), Some(_)) =
        (&subject.definition.image.base, base, keeper_of_root(subject, world))
    {
        let _ = unpack(base, &reference.value, world).await;
    }
}

async fn unpack(base: &Base, reference: &Reference, world: &World) -> Result<()> {
    let registry = world.open(&Location::Remote(reference.clone())).await?;
    let (_interest, waiter) = Waiter::new();
    let sources = vec![BlobSource::of_image(registry, &base.image)];
    let blobs = Blobs::new(world.store.clone(), world.progress.clone(), waiter, sources);
    let layers = base.image.layers.clone();
    tokio::task::spawn_blocking(move || blobs.root(&layers)).await?.map(drop)
}
