//! From a definition to an image and its bill of materials.
//!
//! [`build`] is the walk: definition → lock → graph → snapshot → descriptor. Each room hands one
//! value to the next; nobody calls back up.

pub mod attach;
pub mod base;
pub mod blobs;
pub mod bundle;
pub mod cache;
pub mod context;
pub mod definition;
pub mod dot;
pub mod graph;
pub mod lock;
pub mod machine;
pub mod ops;
pub mod plan;
pub mod publish;
pub mod report;
pub mod selection;
pub mod solve;
pub mod time;
pub mod view;
pub mod wait;
pub mod worker;
pub mod world;

use std::collections::BTreeMap;
use std::sync::OnceLock;

use anyhow::{Context as _, Result};

use base::Base;
use blobs::{BlobSource, Blobs};
use bundle::{Shipped, Sources};
use cache::{CacheRecord, Caching, Fate, VertexRecord};
use context::Context;
use definition::{Definition, SourcePolicy};
use graph::{Graph, Snapshot};
use lock::keep::Kept;
use lock::places::Places;
use lock::resolve::Subject;
use lock::{Lock, PlatformLock};
use publish::{Publication, Published};
use wait::Waiter;
use worker::Worker;
pub use world::{Accesses, AptKey, AptSource, Settings, World};

use crate::bom;
use crate::digest::Digest;
use crate::oci::{Annotations, Platform};
use crate::progress::Progress;
use crate::registry::{Artifact, Location, Pushed, Registry};

/// Returns name and version of this builder.
pub fn builder() -> String {
    format!("estaleiro {}", env!("CARGO_PKG_VERSION"))
}

/// What is to be built.
pub struct Request {
    /// The definition's text.
    pub text: String,
    /// Its name, for errors.
    pub file_name: String,
    /// Values for its variables.
    pub variables: BTreeMap<String, String>,
    /// Where its files lie.
    pub context: Context,
    /// A lock to use as it is.
    pub lock: Option<Lock>,
    /// Whom the image is for.
    pub platform: Platform,
    /// Where it goes.
    pub destination: Destination,
}

/// Where an image goes.
#[derive(Clone, Debug)]
pub struct Destination {
    /// The registry or layout.
    pub location: Location,
    /// The tag.
    pub tag: String,
}

/// What a build came to.
pub struct Built {
    /// The image and its account.
    pub snapshot: Snapshot,
    /// What it was built from.
    pub lock: Lock,
    /// How it was published.
    pub published: Published,
    /// How each vertex came to be.
    pub fates: Vec<(String, Fate)>,
    /// The digest of the account as published.
    pub bom: Digest,
    /// Whether it was all known before: no layer was built, downloaded or uploaded.
    pub was_known: bool,
}

/// Reads a definition and refuses, all at once, what is wrong with it or can't be done yet.
pub fn read(
    text: &str,
    file_name: &str,
    variables: &BTreeMap<String, String>,
    progress: &Progress,
) -> Result<Definition> {
    let definition = definition::parse(text, file_name, variables)?;
    for name in &definition.unused_variables {
        progress.warn(format!("variable `{name}` is given, but {file_name} neither declares nor uses it"));
    }
    plan::refusals(&definition)?;
    Ok(definition)
}

/// The walk: builds the image and publishes it with its account.
pub async fn build(request: &Request, world: &World) -> Result<Built> {
    let definition = read(&request.text, &request.file_name, &request.variables, &world.progress)?;
    let registry = world.open(&request.destination.location)?;
    let recalled = cache::recall(&registry, &request.destination.tag, &world.progress).await?;
    let (lock, base) = lock(request, &definition, &recalled, world).await?;
    let lock = unless_the_same(lock, &recalled);
    let locked = lock.platform(&request.platform)?;
    let graph = plan::plan(&definition, locked, lock.epoch, &request.context)?;
    let base_is_known = base.as_ref().is_none_or(|base| recalled.bases.contains(base));
    let places = lock::resolve::places(&definition, base.as_ref().map(|base| &base.facts), world);
    let work =
        Work { request, world, registry: &registry, base: base.clone(), lock: &lock, places: places.clone() };
    let solved = work.solve(graph, recalled.vertices).await?;
    let subject = subject(request, &definition, &lock);
    let bom = Artifact::new(bom::YAML_MEDIA_TYPE, solved.snapshot.bom.to_yaml(&subject)?.into_bytes());
    let digest = Digest::of(&bom.bytes);
    let has_archive_epoch = request.lock.is_none()
        && world.source_date_epoch.is_none()
        && base.as_ref().and_then(Base::created).is_none();
    let record = CacheRecord {
        vertices: solved.records,
        bases: base.into_iter().collect(),
        archive_epoch: has_archive_epoch.then_some(lock.epoch),
        lock: Some(lock.clone()),
    };
    let artifacts = [
        ("bom.yml", bom),
        ("estaleiro.lock", Artifact::new(lock::MEDIA_TYPE, lock.to_json())),
        ("cache.json", record.artifact()),
    ];
    let sources = match definition.image.apt.sources.value {
        SourcePolicy::None | SourcePolicy::Record => None,
        SourcePolicy::Bundle => Some(Sources::of(locked, &definition.image.apt)),
    };
    let shipped = match &sources {
        Some(sources) => sources.push(&registry, &places, world).await?,
        None => Shipped::default(),
    };
    let publication = Publication {
        image: &solved.snapshot.image,
        annotations: annotations(locked),
        artifacts: artifacts
            .into_iter()
            .map(|(title, artifact)| titled(artifact, title, lock.epoch))
            .collect(),
        sources: sources.as_ref().and_then(|sources| sources.bundle(&shipped, created(lock.epoch))),
    };
    let published = publish::publish(
        &publication,
        &registry,
        &request.destination.tag,
        &solved.blobs,
        &world.store,
        &world.progress,
    )
    .await?;
    let was_known = base_is_known && shipped.n_sent == 0 && is_known(&solved.fates, &published);
    Ok(Built { snapshot: solved.snapshot, published, fates: solved.fates, bom: digest, lock, was_known })
}

fn titled(mut artifact: Artifact, title: &str, epoch: i64) -> Artifact {
    artifact.annotations.extend(created(epoch));
    artifact.annotations.insert("org.opencontainers.image.title".into(), title.to_owned());
    artifact
}

fn created(epoch: i64) -> Annotations {
    Annotations::from([("org.opencontainers.image.created".into(), time::rfc3339(epoch))])
}

fn is_known(fates: &[(String, Fate)], published: &Published) -> bool {
    published.was_there
        && fates.iter().all(|(_, fate)| *fate != Fate::Built)
        && published.layers.iter().all(|(_, pushed)| *pushed == Pushed::Existed)
}

/// Only what decides the image makes a new lock: a newer Release file with the same packages leaves the last one standing.
fn unless_the_same(lock: Lock, recalled: &CacheRecord) -> Lock {
    match &recalled.lock {
        Some(last) if last.content_digest() == lock.content_digest() => last.clone(),
        Some(_) | None => lock,
    }
}

/// Makes the lock of a definition.
pub async fn make_lock(request: &Request, world: &World) -> Result<Lock> {
    update_lock(request, Kept::new(), world).await
}

/// Makes the lock of a definition anew, in which the versions of `kept` stay as far as they can.
pub async fn update_lock(request: &Request, kept: Kept, world: &World) -> Result<Lock> {
    let definition = read(&request.text, &request.file_name, &request.variables, &world.progress)?;
    let recalled = CacheRecord::default();
    let subject = Subject { kept, ..subject_of_lock(request, &definition, &recalled) };
    Ok(lock::resolve::resolve(&subject, world).await?.0)
}

fn subject_of_lock<'a>(
    request: &'a Request,
    definition: &'a Definition,
    recalled: &'a CacheRecord,
) -> Subject<'a> {
    let (platform, context) = (&request.platform, &request.context);
    Subject { definition, platform, context, recalled, kept: Kept::new() }
}

/// Makes the graph of a definition.
pub async fn make_graph(request: &Request, world: &World) -> Result<Graph> {
    let definition = read(&request.text, &request.file_name, &request.variables, &world.progress)?;
    let (lock, _) = lock(request, &definition, &CacheRecord::default(), world).await?;
    plan::plan(&definition, lock.platform(&request.platform)?, lock.epoch, &request.context)
}

/// Uses the lock that is given, else makes one; either way loads what must be known of the base.
async fn lock(
    request: &Request,
    definition: &Definition,
    recalled: &CacheRecord,
    world: &World,
) -> Result<(Lock, Option<Base>)> {
    let subject = subject_of_lock(request, definition, recalled);
    let Some(lock) = &request.lock else { return lock::resolve::resolve(&subject, world).await };
    let locked = lock.platform(&request.platform)?;
    lock::check::is_of(definition, locked)?;
    lock::debs::check(&definition.image.apt, locked, &request.context, &world.store)?;
    let base = match (&definition.image.base, &locked.base) {
        (definition::Base::Image(reference), Some(_)) => {
            Some(lock::resolve::load_base(&reference.value, locked.base.as_ref(), &subject, world).await?.1)
        }
        (definition::Base::Scratch | definition::Base::Image(_), _) => None,
    };
    lock::check::is_complete(definition, locked, base.as_ref())?;
    Ok((lock.clone(), base))
}

/// What solving needs of the walk so far.
struct Work<'a> {
    request: &'a Request,
    world: &'a World,
    registry: &'a Registry,
    base: Option<Base>,
    lock: &'a Lock,
    places: Places,
}

/// What solving came to.
struct Solved {
    snapshot: Snapshot,
    blobs: Blobs,
    fates: Vec<(String, Fate)>,
    records: Vec<VertexRecord>,
}

impl Work<'_> {
    async fn solve(&self, graph: Graph, recalled: Vec<VertexRecord>) -> Result<Solved> {
        // An interrupted build drops this function's future, and with it the interest in what its threads wait for.
        let (_interest, waiter) = Waiter::new();
        let blobs = Blobs::new(
            self.world.store.clone(),
            self.world.progress.clone(),
            waiter.clone(),
            self.sources(&recalled)?,
        );
        let worker = Worker {
            store: self.world.store.clone(),
            fetcher: self.world.fetcher.clone(),
            places: self.places.clone(),
            blobs: blobs.clone(),
            context: self.request.context.clone(),
            base: self.base.clone(),
            others: Vec::new(),
            progress: self.world.progress.clone(),
            waiter,
            cancel: self.world.cancel.clone(),
            epoch: self.lock.epoch,
            platform: self.request.platform.clone(),
            sandbox: OnceLock::new(),
        };
        let caching = Caching::new(worker, self.world.store.clone(), recalled, self.world.progress.clone());
        let solved = tokio::task::spawn_blocking(move || {
            let snapshot = solve::solve(&graph, &caching);
            (snapshot, caching.finish())
        });
        let (snapshot, (fates, records)) =
            solved.await.context("internal error: the build's threads ended")?;
        let mut snapshot = snapshot?;
        snapshot.image.config.created = Some(time::rfc3339(self.lock.epoch));
        Ok(Solved { snapshot, blobs, fates, records })
    }

    /// The base's layers lie in its registry, those of the last build in the destination.
    fn sources(&self, recalled: &[VertexRecord]) -> Result<Vec<BlobSource>> {
        let digests = recalled.iter().filter_map(|record| Some(record.layer()?.digest)).collect();
        let mut sources = vec![BlobSource { registry: self.registry.clone(), digests }];
        let locked = self.lock.platform(&self.request.platform)?;
        if let (Some(base), Some(locked)) = (&self.base, &locked.base) {
            let location = Location::Remote(locked.name.parse()?);
            sources.push(BlobSource::of_image(self.world.open(&location)?, &base.image));
        }
        Ok(sources)
    }
}

fn subject(request: &Request, definition: &Definition, lock: &Lock) -> bom::Subject {
    bom::Subject {
        product_name: definition.image.product_name.value.clone(),
        created: time::rfc3339(lock.epoch),
        built_by: builder(),
        definition: Digest::of(&request.text),
        lock: lock.content_digest(),
    }
}

fn annotations(lock: &PlatformLock) -> Annotations {
    let Some(base) = &lock.base else { return Annotations::new() };
    Annotations::from([
        ("org.opencontainers.image.base.name".into(), base.name.clone()),
        ("org.opencontainers.image.base.digest".into(), base.digest.to_string()),
    ])
}
