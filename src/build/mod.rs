//! From a definition to an image and its bill of materials.
//!
//! [`build`] is the walk: definition → lock → graph → snapshot → descriptor. Each room hands one
//! value to the next; nobody calls back up.

pub mod attach;
pub mod audit;
pub mod base;
pub mod blobs;
pub mod bundle;
pub mod cache;
pub mod cause;
pub mod context;
pub mod definition;
pub mod documents;
pub mod dot;
pub mod export;
pub mod graph;
pub mod licences;
pub mod lock;
pub mod machine;
pub mod ops;
pub mod pieces;
pub mod plan;
pub mod policy;
pub mod prebuilt;
pub mod product;
pub mod provenance;
pub mod publish;
pub mod report;
pub mod rootfs;
pub mod secrets;
pub mod selection;
pub mod sign;
pub mod slsa;
pub mod solve;
pub mod stages;
pub mod text;
pub mod time;
pub mod tree;
pub mod verify;
pub mod view;
pub mod wait;
pub mod worker;
pub mod world;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use anyhow::{Context as _, Result, bail};
use futures_util::future::{OptionFuture, join};

use base::Base;
use blobs::{BlobSource, Blobs};
use bundle::Shipped;
use cache::{CacheRecord, Caching, Fate, Last, Memory, VertexRecord};
use cause::Parts;
use context::Context;
use definition::Policy;
use documents::Writing;
use graph::{Graph, Snapshot};
use lock::keep::Kept;
use lock::places::Places;
use lock::resolve::Tagged;
use lock::{Lock, PlatformLock};
use policy::Violations;
pub use product::{DefinitionRequest, Recipe};
use product::{Locked, Past, Product};
use provenance::StepInputs;
use publish::{Publication, Published};
use stages::Images;
use wait::Waiter;
use worker::Worker;
pub use world::{Accesses, AptKey, AptSource, Settings, World};

use crate::bom;
use crate::digest::{Digest, Sha512};
use crate::layer::{self, Compression, LayerWriter};
use crate::oci::{Annotations, History, Image, Platform, Reference};
use crate::registry::{Artifact, Location, Pushed, Registry};
use crate::signing::Statement;

/// Returns name and version of this builder.
pub fn builder() -> String {
    format!("estaleiro {}", env!("CARGO_PKG_VERSION"))
}

/// What is to be built, and where it goes.
pub struct Request {
    /// What somebody wrote.
    pub recipe: Recipe,
    /// Where its files lie.
    pub context: Context,
    /// A lock to use as it is.
    pub lock: Option<Lock>,
    /// Whom the image is for.
    pub platform: Platform,
    /// Where it goes.
    pub destination: Destination,
    /// Whether everything is done again, whatever is known of it.
    pub is_without_cache: bool,
    /// Whether the root of a command that fails is kept.
    pub keeps_failed: bool,
    /// How the layers that are built are compressed.
    pub compression: Compression,
    /// Further images whose layers may be used again.
    pub cache_from: Vec<Location>,
    /// What is allowed, besides what the definition says of it.
    pub policies: Vec<Policy>,
    /// The forms in which the account is attached; else those that the definition asks for, else the usual ones.
    pub bom_formats: Option<bom::Formats>,
}

/// Where an image goes.
#[derive(Clone, Debug)]
pub struct Destination {
    /// The registry or layout.
    pub location: Location,
    /// The tags, of which there is at least one, in the order in which they are moved.
    pub tags: Vec<String>,
}

/// What a build came to.
pub struct Built {
    /// Its account.
    pub document: bom::Document,
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

/// The walk: builds the image and publishes it with its account.
pub async fn build(request: &Request, world: &World) -> Result<Built> {
    let product = Product::read(request, &world.progress)?;
    let registry = world.open(&request.destination.location).await?;
    let begun = join(recall(request, &registry, world), product.tagged(request, world)).await;
    let (Recalled { record: recalled, known_at, last }, tagged) = (begun.0?, begun.1?);
    let vertices = recalled.vertices.clone();
    let memory = Memory::new(world.store.clone(), vertices, request.is_without_cache);
    let (locked, graph) = pin_and_plan(&product, request, &recalled, tagged.as_ref(), &memory, world).await?;
    let policies = product.policies(request);
    let pinned = locked.lock.platform(&request.platform)?;
    Violations::check(policy::before_building(&policies, pinned, &graph))?;
    let Locked { lock, base, images, question, is_taken_over: _ } = locked;
    let base_is_known = base.as_ref().is_none_or(|base| recalled.bases.contains(base));
    let places = product.places(base.as_deref(), world);
    let work =
        Work { request, world, registry: &registry, known_at, base, images, lock: &lock, question, places };
    let parts = cause::parts(&graph);
    let causes = cause::causes(&parts, &recalled.parts);
    let inputs = StepInputs::of(&graph);
    let last_one = last.as_ref().filter(|_| !request.is_without_cache);
    let lock_file = lock.artifact();
    let known = last_one.filter(|_| memory.knows_all(&graph));
    let look = known.map(|last| documents::look_for(last, &lock_file, &registry));
    let (solved, _) = join(work.solve(graph, memory, causes), OptionFuture::from(look)).await;
    let mut solved = solved.map_err(|error| product.located(error))?;
    work.verify(&mut solved.snapshot.bom, &inputs);
    let subject = work.subject(product.name(request), &solved.snapshot)?;
    let (graph, bom) = (std::mem::take(&mut solved.graph), std::mem::take(&mut solved.snapshot.bom));
    let document = bom::Document { graph, ..bom::Document::new(bom, subject) };
    judge(&policies, &document, &solved.snapshot)?;
    let record = work.record(std::mem::take(&mut solved.records), &solved.snapshot.image, parts);
    let formats = product.bom_formats(request);
    let writing = Writing {
        document: &document,
        formats: &formats,
        epoch: lock.epoch,
        lock: lock_file,
        record,
        last: last_one,
        registry: &registry,
    };
    let documents = writing.documents().await?;
    let digest = documents.first().and_then(|account| account.layers().first().map(|blob| blob.digest));
    let (published, shipped) = work.publish(&product, &solved, documents).await?;
    let was_known = base_is_known && shipped.n_sent == 0 && is_known(&solved.fates, &published);
    let bom = digest.context("internal error: no account")?;
    Ok(Built { document, published, fates: solved.fates, bom, lock, was_known })
}

/// Pins what is floating and plans what is done. An earlier answer counts while all that its packages are for is known:
/// by what a record says of packages, none is fetched.
async fn pin_and_plan(
    product: &Product,
    request: &Request,
    recalled: &CacheRecord,
    tagged: Option<&Tagged>,
    memory: &Memory,
    world: &World,
) -> Result<(Locked, Graph)> {
    let (mut is_anew, is_first) = (request.is_without_cache, memory.recalls_nothing());
    loop {
        let past = Past { recalled, kept: Kept::new(), is_anew, is_first, tagged };
        let locked = product.lock(request, past, world).await?;
        let locked = Locked { lock: unless_the_same(locked.lock, recalled), ..locked };
        let graph = product.graph(request, &locked, world)?.compressed(request.compression);
        if !locked.is_taken_over || !memory.lacks_packages(&graph) {
            return Ok((locked, graph));
        }
        is_anew = true;
    }
}

fn judge(policies: &[Policy], document: &bom::Document, snapshot: &Snapshot) -> Result<()> {
    let accounted = document.layers.iter().map(|account| account.diff_id);
    if !snapshot.image.layers.iter().map(|layer| layer.diff_id).eq(accounted) {
        bail!("internal error: the account's layers are not the image's");
    }
    let keys = snapshot.skeleton.private_keys().map(|path| format!("/{}", String::from_utf8_lossy(path)));
    let (config, private_keys) = (&snapshot.image.config.config, &keys.collect::<Vec<_>>());
    Ok(Violations::check(policy::of_image(policies, &policy::Image { document, config, private_keys }))?)
}

/// What is known of earlier images.
struct Recalled {
    /// What their records say.
    record: CacheRecord,
    /// Where their layers lie.
    known_at: Vec<BlobSource>,
    /// The record of the image that is to be put anew.
    last: Option<Last>,
}

/// Recalls what is known of the last image, and of the further ones.
async fn recall(request: &Request, registry: &Registry, world: &World) -> Result<Recalled> {
    let last = cache::recall(registry, &request.destination.tags, world).await?;
    let mut record = last.as_ref().map(|last| last.record.clone()).unwrap_or_default();
    let mut known_at = vec![BlobSource { registry: registry.clone(), digests: record.layers() }];
    for location in &request.cache_from {
        let (other, further) = cache::recall_from(location, world).await;
        known_at.extend(other.map(|registry| BlobSource { registry, digests: further.layers() }));
        record = record.or(further);
    }
    Ok(Recalled { record, known_at, last })
}

/// Labels that came with the base say who made that, and nothing of who made the image.
fn own_labels(image: &Image, base: Option<&bom::BaseImage>) -> BTreeMap<String, String> {
    let mut labels = bom::ImageId::told(&image.config.config.labels);
    labels.retain(|name, value| base.is_none_or(|base| base.labels.get(name) != Some(value)));
    labels
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

/// Makes the lock of what is to be built.
pub async fn make_lock(request: &Request, world: &World) -> Result<Lock> {
    update_lock(request, Kept::new(), world).await
}

/// Makes the lock of what is to be built anew, in which the versions of `kept` stay as far as they can.
pub async fn update_lock(request: &Request, kept: Kept, world: &World) -> Result<Lock> {
    let product = Product::read(request, &world.progress)?;
    Ok(lock_alone(&product, request, kept, world).await?.lock)
}

/// Makes the graph of what is to be built.
pub async fn make_graph(request: &Request, world: &World) -> Result<Graph> {
    let product = Product::read(request, &world.progress)?;
    let locked = lock_alone(&product, request, Kept::new(), world).await?;
    product.graph(request, &locked, world)
}

/// Makes a lock of which nothing is built: no earlier image counts.
async fn lock_alone(product: &Product, request: &Request, kept: Kept, world: &World) -> Result<Locked> {
    let recalled = &CacheRecord::default();
    let tagged = product.tagged(request, world).await?;
    let (is_anew, tagged) = (request.is_without_cache, tagged.as_ref());
    let past = Past { recalled, kept, is_anew, is_first: false, tagged };
    product.lock(request, past, world).await
}

/// What is known once everything is pinned: what solving and publishing need of the walk so far.
struct Work<'a> {
    request: &'a Request,
    world: &'a World,
    registry: &'a Registry,
    /// Where the layers lie that are known from earlier images.
    known_at: Vec<BlobSource>,
    base: Option<Arc<Base>>,
    images: Images,
    lock: &'a Lock,
    /// The digest of the question that the lock's packages answer.
    question: Option<Digest>,
    places: Places,
}

/// What solving came to.
struct Solved {
    snapshot: Snapshot,
    blobs: Blobs,
    fates: Vec<(String, Fate)>,
    records: Vec<Arc<VertexRecord>>,
    /// How it was built, for the account.
    graph: Vec<bom::Vertex>,
}

impl Work<'_> {
    async fn solve(&self, graph: Graph, memory: Memory, causes: BTreeMap<Digest, String>) -> Result<Solved> {
        // An interrupted build drops this function's future, and with it the interest in what its threads wait for.
        let (_interest, waiter) = Waiter::new();
        let blobs = Blobs::new(
            self.world.store.clone(),
            self.world.progress.clone(),
            waiter.clone(),
            self.sources().await?,
        );
        let worker = Worker {
            store: self.world.store.clone(),
            fetcher: self.world.fetcher.clone(),
            places: self.places.clone(),
            blobs: blobs.clone(),
            context: self.context(),
            base: self.base.clone(),
            images: self.images.clone(),
            progress: self.world.progress.clone(),
            waiter,
            cancel: self.world.cancel.clone(),
            epoch: self.lock.epoch,
            platform: self.request.platform.clone(),
            sandbox: OnceLock::new(),
            copies: ops::ground::Copies::default(),
            secrets: self.request.recipe.secrets(),
            is_first_run: memory.recalls_nothing() && graph.runs_commands(),
            keeps_failed: self.request.keeps_failed,
            compression: self.request.compression,
        };
        let caching = Caching::new(worker, memory, self.world.progress.clone()).telling(causes);
        let solved = tokio::task::spawn_blocking(move || {
            let snapshot = solve::solve(&graph, &caching);
            (snapshot, caching.finish(), graph)
        });
        let (snapshot, (fates, records), graph) =
            solved.await.context("internal error: the build's threads ended")?;
        let mut snapshot = snapshot?;
        snapshot.image.config.created = Some(time::rfc3339(self.lock.epoch));
        if self.request.recipe.says_its_platform() {
            snapshot.image.config.platform = self.request.platform.clone();
        }
        if snapshot.image.layers.is_empty() && matches!(self.request.recipe, Recipe::Dockerfile(_)) {
            snapshot = self.with_an_empty_layer(snapshot)?;
        }
        let graph = graph.account(&records.iter().filter_map(|record| record.key_and_layer()).collect());
        Ok(Solved { snapshot, blobs, fates, records, graph })
    }

    /// Compares what is declared with the checkouts that the context holds, and tells what is seen to be wrong.
    fn verify(&self, bom: &mut bom::Bom, inputs: &StepInputs) {
        for wrong in provenance::verify(bom, &self.context(), inputs) {
            self.world.progress.warn(wrong);
        }
    }

    fn context(&self) -> Context {
        let context = self.request.context.clone().remembering(self.world.sums.clone());
        context.beside(self.request.recipe.directories())
    }

    /// Returns what the next build may believe of this one.
    fn record(&self, records: Vec<Arc<VertexRecord>>, image: &Image, parts: Vec<Parts>) -> CacheRecord {
        let has_archive_epoch = self.request.lock.is_none()
            && self.world.source_date_epoch.is_none()
            && self.base.as_deref().and_then(Base::created).is_none();
        CacheRecord {
            vertices: cache::of_image(records, image),
            parts,
            bases: self.base.iter().cloned().collect(),
            archive_epoch: has_archive_epoch.then_some(self.lock.epoch),
            lock: Some(self.lock.clone()),
            answers: self.question,
            forms: None,
        }
    }

    fn subject(&self, product_name: String, snapshot: &Snapshot) -> Result<bom::Subject> {
        let (lock, platform) = (self.lock, &self.request.platform);
        let Snapshot { image, bom: account, .. } = snapshot;
        let manifest = image.manifest(annotations(lock.platform(platform)?));
        let bytes = manifest.to_json();
        Ok(bom::Subject {
            product_name,
            created: time::rfc3339(lock.epoch),
            built_by: builder(),
            image: bom::ImageId {
                digest: Digest::of(&bytes),
                config: manifest.config.digest,
                platform: platform.to_string(),
                sha512: Some(Sha512::of(&bytes)),
                labels: own_labels(image, account.base_image.as_ref()),
            },
            definition: self.request.recipe.digest(),
            lock: lock.content_digest(),
            dockerfile: self.request.recipe.account(lock),
        })
    }

    /// Publishes the image with its documents and sources.
    async fn publish(
        &self,
        product: &Product,
        solved: &Solved,
        documents: Vec<Artifact>,
    ) -> Result<(Published, Shipped)> {
        let (lock, world) = (self.lock, self.world);
        let locked = lock.platform(&self.request.platform)?;
        let sources = product.sources(locked);
        let shipped = match &sources {
            Some(sources) => sources.push(self.registry, &self.places, world).await?,
            None => Shipped::default(),
        };
        let publication = Publication {
            image: &solved.snapshot.image,
            annotations: annotations(locked),
            artifacts: documents,
            sources: sources.as_ref().and_then(|sources| sources.bundle(&shipped, created(lock.epoch))),
            is_unchanged: solved.fates.iter().all(|(_, fate)| *fate != Fate::Built),
            provenance: self.provenance(&solved.snapshot.image)?,
            signing_key: world.signing_key.as_ref(),
        };
        let tags = &self.request.destination.tags;
        let published =
            publish::publish(&publication, self.registry, tags, &solved.blobs, &world.store, &world.progress);
        Ok((published.await?, shipped))
    }

    /// Returns how the image came to be.
    fn provenance(&self, image: &Image) -> Result<Artifact> {
        let (request, lock, world) = (self.request, self.lock, self.world);
        let locked = lock.platform(&request.platform)?;
        let predicate = slsa::predicate(request, lock, locked, &world.build_variables);
        let digest = Digest::of(image.manifest(annotations(locked)).to_json());
        let (name, predicate_type) = (sign::name(self.registry), slsa::PREDICATE_TYPE);
        let statement = Statement::new(&name, &digest, predicate_type, &predicate);
        let artifact = slsa::artifact(&statement, world.signing_key.as_ref());
        Ok(titled(artifact, "provenance.json", lock.epoch))
    }

    /// A manifest has at least one layer (OCI image specification, the manifest's schema).
    fn with_an_empty_layer(&self, mut snapshot: Snapshot) -> Result<Snapshot> {
        let options =
            layer::Options { epoch: self.lock.epoch, threads: 1, compression: self.request.compression };
        let packed = LayerWriter::new(self.world.store.blob_writer()?, options)?.finish()?;
        let history = History {
            created: Some(time::rfc3339(self.lock.epoch)),
            created_by: Some("estaleiro: an empty layer".into()),
            ..History::default()
        };
        let diff_id = packed.layer.diff_id;
        snapshot.image = snapshot.image.append(packed.layer, history);
        snapshot.bom.layers.push(bom::LayerAccount { diff_id, is_base: false, groups: Vec::new() });
        Ok(snapshot)
    }

    /// The base's layers lie in its registry, those of the last build in the destination.
    async fn sources(&self) -> Result<Vec<BlobSource>> {
        let mut sources = self.known_at.clone();
        let locked = self.lock.platform(&self.request.platform)?;
        let is_known = |base: &Arc<Base>| self.images.iter().any(|known| known.digest == base.digest);
        if let (Some(base), Some(locked)) = (self.base.as_ref().filter(|base| !is_known(base)), &locked.base)
        {
            let location = Location::Remote(locked.name.parse()?);
            sources.push(BlobSource::of_image(self.world.open(&location).await?, &base.image));
        }
        let images = self.images.iter();
        sources.extend(images.map(|known| BlobSource::of_image(known.registry.clone(), &known.image)));
        Ok(sources)
    }
}

fn annotations(lock: &PlatformLock) -> Annotations {
    let Some(base) = &lock.base else { return Annotations::new() };
    let digest = base.digest.to_string();
    let mut annotations = Annotations::from([("org.opencontainers.image.base.digest".into(), digest)]);
    // One in a layout has no name that anybody else could use.
    if base.name.parse::<Reference>().is_ok() {
        annotations.insert("org.opencontainers.image.base.name".into(), base.name.clone());
    }
    annotations
}
