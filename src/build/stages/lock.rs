//! Pinning what stages name: images, and files from afar.

use std::sync::Arc;

use anyhow::{Context as _, Result};

use super::downloads::shown;
use super::evaluate::{Evaluated, ImageName};
use super::{Images, KnownImage, Layout, Stages, repositories};
use crate::build::base::{self, Account, Base};
use crate::build::blobs::{Blobs, Shape};
use crate::build::cache::CacheRecord;
use crate::build::lock::{
    InvalidLock, Lock, LockRequest, LockedBase, LockedFile, LockedImage, LockedRepository, PlatformLock,
};
use crate::build::{Request, World};
use crate::digest::Digest;
use crate::oci::{Platform, Reference};
use crate::registry::{Location, Registry};

/// No more rounds of images that name images are made: a trigger may name one that has triggers.
const MOST_ROUNDS: usize = 20;

/// Uses the lock that is given, else makes one; either way finds out what must be known of images.
pub async fn lock(
    stages: &Stages,
    request: &Request,
    recalled: &CacheRecord,
    world: &World,
) -> Result<(Lock, Option<Arc<Base>>, Images)> {
    let given = match &request.lock {
        Some(lock) => Some(lock.platform(&request.platform)?),
        None => None,
    };
    let task = world.progress.start("lock");
    let mut pinned = Pinned::default();
    pin(stages, &mut pinned, given, world).await?;
    for name in stages.unused_names(&pinned.images)? {
        world
            .progress
            .warn(format!("build context `{name}` is given, and nothing of the Dockerfile means it"));
    }
    pinned.sort();
    let Pinned { images, files, repositories } = pinned;
    let evaluated = stages.evaluate(&images)?;
    let base = match stages.base(&evaluated, &images) {
        Some(known) => {
            let locked = given.and_then(|locked| locked.base.as_ref());
            let asked = locked.map_or(Account::Any, |locked| Account::Pinned(locked.account));
            let is_first = recalled.vertices.is_empty();
            let is_run_upon = is_first && evaluated.iter().any(Evaluated::runs_commands);
            let root = is_run_upon.then(|| Blobs::of_store(&world.store, &world.progress));
            let place = base::Place {
                digest: known.digest,
                registry: &known.registry,
                known: &recalled.bases,
                root: root.as_ref().map(|blobs| (blobs, Shape::Stack)),
                store: &world.store,
                progress: &world.progress,
            };
            Some(place.load(asked).await?)
        }
        None => None,
    };
    let n_commits = match repositories.len() {
        0 => String::new(),
        n => format!(", {n} commits"),
    };
    task.done(&format!("{} images, {} files{n_commits}", images.iter().count(), files.len()));
    if let Some(lock) = &request.lock {
        return Ok((lock.clone(), base, images));
    }
    let asked_for = stages.epoch.or(world.source_date_epoch);
    let epoch = asked_for.unwrap_or_else(|| epoch(base.as_deref(), &images));
    let locked = platform_lock(stages, request, &images, base.as_deref());
    let locked = PlatformLock { files, repositories, ..locked };
    Ok((Lock::new(epoch, vec![locked]), base, images))
}

/// The time of the image that the target is built upon, else the latest of those that its stages are.
fn epoch(base: Option<&Base>, images: &Images) -> i64 {
    base.and_then(Base::created).or(images.latest()).unwrap_or(0)
}

fn platform_lock(stages: &Stages, request: &Request, images: &Images, base: Option<&Base>) -> PlatformLock {
    let account = base.and_then(Base::account);
    let base = base.and_then(|base| images.iter().find(|known| known.digest == base.digest));
    PlatformLock {
        platform: request.platform.clone(),
        request: LockRequest { dockerfile: Some(stages.digest), ..LockRequest::default() },
        base: base.map(|known| LockedBase {
            name: known.name.clone(),
            digest: known.digest,
            account,
            sources: Vec::new(),
        }),
        suites: Vec::new(),
        keys: Vec::new(),
        packages: Vec::new(),
        beside: Vec::new(),
        taken: Vec::new(),
        remove: Vec::new(),
        images: locked(images),
        files: Vec::new(),
        repositories: Vec::new(),
    }
}

/// Returns images as a lock holds them.
pub fn locked(images: &Images) -> Vec<LockedImage> {
    let named = |known: &KnownImage| LockedImage {
        name: known.name.clone(),
        platform: known.platform.clone(),
        digest: known.digest,
    };
    let mut locked: Vec<LockedImage> = images.iter().map(named).collect();
    locked.sort();
    locked
}

/// What stages, and files of other images, name: pinned, and as far as need be known.
#[derive(Default)]
pub struct Pinned {
    /// The images.
    pub images: Images,
    /// The files from afar.
    pub files: Vec<LockedFile>,
    /// The git repositories.
    pub repositories: Vec<LockedRepository>,
}

impl Pinned {
    /// Brings it into the order of a lock.
    pub fn sort(&mut self) {
        self.files.sort_by(|a, b| a.uri.cmp(&b.uri));
        self.files.dedup();
        self.repositories.sort();
        self.repositories.dedup();
    }
}

/// Pins what the stages name that the target needs.
pub async fn pin(
    stages: &Stages,
    pinned: &mut Pinned,
    given: Option<&PlatformLock>,
    world: &World,
) -> Result<()> {
    images(stages, &mut pinned.images, given, world).await?;
    let evaluated = stages.evaluate(&pinned.images)?;
    pinned.repositories.extend(repositories::pin(stages, &evaluated, given, world).await?);
    pinned.files.extend(files(&stages.addresses(&evaluated)?, given, world).await?);
    Ok(())
}

/// Pins an image that files are taken from.
pub async fn pin_image(
    reference: &Reference,
    platform: &Platform,
    pinned: &mut Pinned,
    given: Option<&PlatformLock>,
    world: &World,
) -> Result<()> {
    let image = ImageName { name: reference.to_string(), platform: platform.clone() };
    if pinned.images.get(&image.name, platform).is_none() {
        pinned.images.add(find(&image, given, world).await?);
    }
    Ok(())
}

/// Finds the images that the stages need; a trigger of one may need another.
async fn images(
    stages: &Stages,
    images: &mut Images,
    given: Option<&PlatformLock>,
    world: &World,
) -> Result<()> {
    for _ in 0..MOST_ROUNDS {
        let missing = stages.missing(images)?;
        if missing.is_empty() {
            break;
        }
        for missing in missing {
            let image = &missing.image;
            let found = match stages.contents.layout_of(&image.name) {
                Some(layout) => find_in(layout, image, given, world).await,
                None => find(image, given, world).await,
            };
            images.add(found.map_err(|error| stages.at(&missing.span, &error))?);
        }
    }
    Ok(())
}

async fn find(image: &ImageName, given: Option<&PlatformLock>, world: &World) -> Result<KnownImage> {
    let reference: Reference = image.name.parse()?;
    let locked = given.map(|locked| locked_image(locked, image)).transpose()?;
    let (registry, digest) = place(&reference, locked, &image.platform, world).await?;
    known(image, registry, digest, world).await
}

/// Finds an image in an OCI layout directory.
async fn find_in(
    layout: &Layout,
    image: &ImageName,
    given: Option<&PlatformLock>,
    world: &World,
) -> Result<KnownImage> {
    let registry = world.open(&layout.location()).await?;
    let digest = match given {
        Some(locked) => locked_image(locked, image)?,
        None => {
            let failed = || format!("cannot use {} of {}", layout.tag_or_digest(), registry.name());
            let pinned = base::pin_in_layout(&registry, &layout.tag_or_digest(), &image.platform).await;
            pinned.with_context(failed)?
        }
    };
    known(image, registry, digest, world).await
}

async fn known(image: &ImageName, registry: Registry, digest: Digest, world: &World) -> Result<KnownImage> {
    let ImageName { name, platform } = image;
    let image = base::describe(&digest, &registry, &world.store, &world.progress).await?;
    if image.config.platform.distance(platform).is_none() {
        world.progress.warn(format!("{name} is for {}, not for {platform}", image.config.platform));
    }
    Ok(KnownImage { name: name.clone(), platform: platform.clone(), digest, image, registry })
}

/// Finds where an image can be had: at one of its registry's mirrors, else there itself.
async fn place(
    reference: &Reference,
    locked: Option<Digest>,
    platform: &Platform,
    world: &World,
) -> Result<(Registry, Digest)> {
    for place in world.places_of(reference) {
        let registry = world.open(&Location::Remote(place.clone())).await?;
        let wanted = locked.map_or_else(|| place.clone(), |digest| place.with_digest(digest));
        match base::pin("image", &registry, &wanted, platform).await {
            Ok(digest) => return Ok((registry, locked.unwrap_or(digest))),
            Err(error) => world.progress.warn(format!("{error:#}")),
        }
    }
    let registry = world.open(&Location::Remote(reference.clone())).await?;
    let digest = match locked {
        Some(digest) => digest,
        None => base::pin("image", &registry, reference, platform).await?,
    };
    Ok((registry, digest))
}

fn locked_image(locked: &PlatformLock, image: &ImageName) -> Result<Digest> {
    let is_it = |locked: &&LockedImage| locked.name == image.name && locked.platform == image.platform;
    let found = locked.images.iter().find(is_it);
    let missing = || {
        let what = format!("it does not hold image {} for {}", image.name, image.platform);
        InvalidLock::Unfit(vec![what])
    };
    Ok(found.ok_or_else(missing)?.digest)
}

/// Pins files by their digest: what is written beside them, what the lock says, else what their server says now.
async fn files(
    addresses: &[(String, Option<Digest>)],
    given: Option<&PlatformLock>,
    world: &World,
) -> Result<Vec<LockedFile>> {
    let mut files: Vec<LockedFile> = Vec::new();
    for (address, written) in addresses {
        let locked = given.and_then(|lock| lock.files.iter().find(|file| file.uri == shown(address)));
        let digest = match written.or(locked.map(|file| file.digest)) {
            Some(digest) => digest,
            None => world.fetcher.pin(address).await?,
        };
        files.push(LockedFile { uri: shown(address), digest });
    }
    Ok(files)
}
