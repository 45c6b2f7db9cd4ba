//! What earlier builds left for later ones: what each vertex changed, by key.
//!
//! Two places remember: the store on this machine, and the cache record that each push attaches to
//! the image it pushed. The record is how a `put` on an empty worker continues where the last one
//! ended; it is believed only from the put's own repository, and where images are signed only with their key's signature. A layer that it names is one of the
//! image's own, so it lies in that repository.

use std::collections::{BTreeMap, BTreeSet};
use std::slice;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result, bail};
use futures_util::future::{join, try_join_all};
use futures_util::{StreamExt, stream};
use serde::{Deserialize, Serialize};

use super::attach;
use super::base::Base;
use super::cause::Parts;
use super::graph::{Delta, Graph, Op, Vertex};
use super::lock::Lock;
use super::solve::{self, Executor, Inputs, Need, Outcome};
use super::verify::Documents;
use super::world::World;
use crate::bom::{BomDelta, Format, Formats};
use crate::digest::Digest;
use crate::layer::SkeletonDelta;
use crate::oci::{Descriptor, History, Image, Layer, Manifest};
use crate::progress::Progress;
use crate::registry::{self, Artifact, Location, Registry};
use crate::store::Store;

/// The media type, and artifact type, of a cache record.
pub const MEDIA_TYPE: &str = "application/vnd.estaleiro.cache.v1+json";

/// The kind of the store's records of vertices.
const RECORD: &str = "vertex-2";
/// No cache record is larger.
const LARGEST_RECORD: u64 = 64 << 20;

/// How many layers are looked for at a time.
const N_PARALLEL: usize = 4;
/// No image that could be mounted has more layers.
const MOST_LAYERS: usize = 128;

/// What a vertex changed, as it is remembered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VertexRecord {
    key: Digest,
    layer: Option<Layer>,
    history: History,
    bom: BomDelta,
    skeleton: SkeletonDelta,
    /// Whether the layer is compressed for other vertices alone: in an image it would be another blob.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    is_draft: bool,
}

/// The record attached to an image.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CacheRecord {
    /// What each vertex of the image changed.
    #[serde(with = "shared")]
    pub vertices: Vec<Arc<VertexRecord>>,
    /// What must be known of its base.
    #[serde(with = "shared")]
    pub bases: Vec<Arc<Base>>,
    /// What each was made from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Parts>,
    /// The lock it was built from.
    pub lock: Option<Lock>,
    /// The digest of the question that the lock's packages answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answers: Option<Digest>,
    /// The lock's epoch, where it is the archives' own: then the same archives have it again.
    pub archive_epoch: Option<i64>,
    /// The forms of its account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forms: Option<Forms>,
}

/// The forms of an account, as a build attached them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Forms {
    /// The account's digest, as [`crate::bom::Document::digest`] has it.
    pub account: Digest,
    /// What holds each form: its media type is the form's.
    pub blobs: Vec<Descriptor>,
}

impl Forms {
    /// Returns what holds the account with this digest in these formats, in their order, where all of it is known.
    pub fn find(&self, account: &Digest, formats: &Formats) -> Option<Vec<Descriptor>> {
        let blob = |format: Format| self.blobs.iter().find(|blob| blob.media_type == format.media_type());
        let found = || formats.iter().map(|format| blob(format).cloned()).collect();
        (self.account == *account).then(found).flatten()
    }
}

/// The cache record of the image that the tags stand for.
#[derive(Clone, Debug)]
pub struct Last {
    /// The digest of the image's manifest.
    pub image: Digest,
    /// What holds the record.
    pub blob: Descriptor,
    /// What it says.
    pub record: CacheRecord,
}

impl CacheRecord {
    /// Returns the record as an artifact: the same bytes for the same record.
    pub fn artifact(&self) -> Artifact {
        Artifact::new(MEDIA_TYPE, json(self))
    }
}

/// Returns the text of a record, whose types tell their fields in an order: sorting what is large takes longer than the rest.
fn json(record: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(record).expect("a record has a JSON form")
}

/// Reads the cache record of the image that the first of the `tags` stands for that there is; whatever is amiss with it makes it count as absent.
///
/// # Errors
/// When the registry can't be reached or lets us not in: better known before anything is built than when it is pushed.
pub async fn recall(registry: &Registry, tags: &[String], world: &World) -> Result<Option<Last>> {
    let progress = &world.progress;
    let recalled = match first_manifest(registry, tags).await {
        Ok(None) => return Ok(None),
        Ok(Some((subject, bytes))) => {
            let record = record_of(&subject, &bytes, registry, world);
            join(record, look_for_layers(&bytes, registry)).await.0
        }
        Err(error) if error.is_of_the_registry() => return Err(error.into()),
        Err(error) => Err(error.into()),
    };
    let mut last = recalled.unwrap_or_else(|error| {
        progress.warn(format!("the last build's cache record is not used: {error:#}"));
        None
    });
    if let Some(last) = &mut last {
        last.record.forget_what_is_gone(registry, progress).await?;
    }
    Ok(last)
}

/// Reads the cache record of a further image, and opens its registry; one that can't be had is done without.
pub async fn recall_from(location: &Location, world: &World) -> (Option<Registry>, CacheRecord) {
    let recalled = async {
        let registry = world.open(location).await?;
        let last = recall(&registry, &[location.tag_or_digest()], world).await?;
        Ok::<_, anyhow::Error>((registry, last.map(|last| last.record).unwrap_or_default()))
    };
    let unused = |why: &str| {
        world.progress.warn(format!("cache_from {location}: {why}"));
        (None, CacheRecord::default())
    };
    match recalled.await {
        Ok((_, record)) if record.vertices.is_empty() => unused("it has no cache record that could be used"),
        Ok((registry, record)) => (Some(registry), record),
        Err(error) => unused(&format!("{error:#}")),
    }
}

async fn first_manifest(
    registry: &Registry,
    tags: &[String],
) -> registry::Result<Option<(Descriptor, Vec<u8>)>> {
    for tag in tags {
        if let Some(found) = registry.manifest(tag).await? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// Looks which layers of an image are there, for those who will want to know; they are told what went wrong, too.
async fn look_for_layers(manifest: &[u8], registry: &Registry) {
    let Ok(manifest) = Manifest::parse(manifest) else { return };
    let layers = manifest.layers.iter().take(MOST_LAYERS);
    let looks: Vec<_> = layers.map(|layer| registry.has_blob(&layer.digest)).collect();
    stream::iter(looks).buffer_unordered(N_PARALLEL).for_each(async |_| ()).await;
}

async fn record_of(
    subject: &Descriptor,
    manifest: &[u8],
    registry: &Registry,
    world: &World,
) -> Result<Option<Last>> {
    let Some(newest) = attach::newest(registry, &subject.digest, MEDIA_TYPE).await? else { return Ok(None) };
    if let Some(key) = &world.signing_key {
        let signed = Documents::read(registry, &subject.digest, slice::from_ref(key.public())).await?;
        if !signed.have(MEDIA_TYPE, &newest) {
            bail!("it was not signed with the key that this image is signed with");
        }
    }
    let blob = registry.content_of(&newest).await?;
    let record: CacheRecord = serde_json::from_slice(&content(&blob, registry, &world.store).await?)
        .context("it has another form")?;
    record.check_is_of(&Manifest::parse(manifest)?)?;
    Ok(Some(Last { image: subject.digest, blob, record }))
}

/// Returns the bytes of a record; where the store is kept, they come but once.
async fn content(blob: &Descriptor, registry: &Registry, store: &Store) -> Result<Vec<u8>> {
    if store.contains(&blob.digest) {
        return Ok(store.read_blob(&blob.digest, LARGEST_RECORD)?);
    }
    let bytes = registry.read_blob(blob, LARGEST_RECORD).await?;
    store.put_blob(&bytes)?;
    Ok(bytes)
}

impl CacheRecord {
    /// Returns the record, and what of `other` it doesn't know itself.
    pub fn or(mut self, other: CacheRecord) -> CacheRecord {
        if self.vertices.is_empty() {
            return other;
        }
        let known: BTreeSet<Digest> = self.vertices.iter().map(|vertex| vertex.key).collect();
        self.vertices.extend(other.vertices.into_iter().filter(|vertex| !known.contains(&vertex.key)));
        self.bases.extend(other.bases);
        self
    }

    /// Returns the layers that it names.
    pub fn layers(&self) -> BTreeSet<Digest> {
        self.vertices.iter().filter_map(|vertex| vertex.layer()).map(|layer| layer.digest).collect()
    }

    /// A record of another image must not lend it layers that this one's registry doesn't vouch for.
    fn check_is_of(&self, image: &Manifest) -> Result<()> {
        let layers: Vec<Digest> = image.layers.iter().map(|layer| layer.digest).collect();
        let named = self.vertices.iter().filter_map(|vertex| vertex.layer());
        if let Some(foreign) = named.map(|layer| layer.digest).find(|layer| !layers.contains(layer)) {
            bail!("it names the layer {foreign}, which is none of the image's");
        }
        let begins = |base: &Arc<Base>| {
            let lowest: Vec<Digest> = base.image.layers.iter().map(|layer| layer.descriptor.digest).collect();
            layers.starts_with(&lowest)
        };
        match self.bases.iter().find(|base| !begins(base)) {
            Some(foreign) => bail!("it names the base {}, which is none of the image's", foreign.digest),
            None => Ok(()),
        }
    }

    /// A layer that got lost in the registry has to be built again.
    async fn forget_what_is_gone(&mut self, registry: &Registry, progress: &Progress) -> Result<()> {
        let looked_for = self
            .layers()
            .into_iter()
            .map(|layer| async move { registry.has_blob(&layer).await.map(|is_there| (layer, is_there)) });
        for (layer, is_there) in try_join_all(looked_for).await? {
            if !is_there {
                progress.warn(format!("layer {layer} is gone from {}: it is built again", registry.name()));
                self.vertices.retain(|vertex| vertex.layer().is_none_or(|named| named.digest != layer));
            }
        }
        Ok(())
    }
}

/// Returns the records that go along with an image: its registry has no layer but the image's own.
pub fn of_image(records: Vec<Arc<VertexRecord>>, image: &Image) -> Vec<Arc<VertexRecord>> {
    let layers: BTreeSet<Digest> = image.layers.iter().map(|layer| layer.descriptor.digest).collect();
    let is_its =
        |record: &Arc<VertexRecord>| record.layer().is_none_or(|layer| layers.contains(&layer.digest));
    records.into_iter().filter(is_its).collect()
}

/// How a vertex came to be in this build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It was known on this machine.
    Stored,
    /// It was known in the registry.
    Recalled,
    /// It was built.
    Built,
}

/// What earlier builds left of vertices, in the store and in a registry.
pub struct Memory {
    store: Store,
    recalled: BTreeMap<Digest, Arc<VertexRecord>>,
    /// What was looked for in the store, so that it is read once.
    stored: Mutex<BTreeMap<Digest, Option<Arc<VertexRecord>>>>,
    /// Whether nothing counts as known.
    is_forgetful: bool,
}

impl Memory {
    /// Returns what the store remembers, and what was recalled from a registry; nothing if it `is_forgetful`.
    pub fn new(store: Store, recalled: Vec<Arc<VertexRecord>>, is_forgetful: bool) -> Memory {
        let recalled = recalled.into_iter().map(|record| (record.key, record)).collect();
        Memory { store, recalled, stored: Mutex::default(), is_forgetful }
    }

    /// Whether no registry recalls anything.
    pub fn recalls_nothing(&self) -> bool {
        self.recalled.is_empty()
    }

    /// Whether what a vertex of `graph` needs is to be fetched from where packages are.
    pub fn lacks_packages(&self, graph: &Graph) -> bool {
        self.is_any_done(graph, |op| match op {
            Op::Install(_) => true,
            Op::Source(source) => source.package.is_some(),
            Op::Scratch
            | Op::Pull(_)
            | Op::Copy(_)
            | Op::Change(_)
            | Op::Configure(_)
            | Op::Context(_)
            | Op::Download(_)
            | Op::Repository(_)
            | Op::Settle(_)
            | Op::Workdir(_)
            | Op::Transfer(_)
            | Op::Run(_) => false,
        })
    }

    /// Whether nothing of `graph` has to be built.
    pub fn knows_all(&self, graph: &Graph) -> bool {
        !self.is_any_done(graph, is_worth_remembering)
    }

    fn is_any_done(&self, graph: &Graph, is_meant: impl Fn(&Op) -> bool) -> bool {
        let keys = graph.keys();
        let needed = solve::needed(graph, &|id| self.knows(graph.vertex(id), &keys[id.index()]));
        graph.vertices().zip(needed).any(|((_, vertex), need)| need == Need::Done && is_meant(&vertex.op))
    }

    fn knows(&self, vertex: &Vertex, key: &Digest) -> bool {
        let is_known = || self.recalled.contains_key(key) || self.stored(key).is_some();
        is_worth_remembering(&vertex.op) && !self.is_forgetful && is_known()
    }

    fn known(&self, key: &Digest) -> Option<(Arc<VertexRecord>, Fate)> {
        if self.is_forgetful {
            return None;
        }
        let recalled = || self.recalled.get(key).map(|record| (record.clone(), Fate::Recalled));
        self.stored(key).map(|record| (record, Fate::Stored)).or_else(recalled)
    }

    fn stored(&self, key: &Digest) -> Option<Arc<VertexRecord>> {
        let mut stored = self.stored.lock().unwrap_or_else(PoisonError::into_inner);
        let record = stored.entry(*key).or_insert_with(|| self.read(key).map(Arc::new));
        record.clone().filter(|record| self.has_layer(record))
    }

    fn read(&self, key: &Digest) -> Option<VertexRecord> {
        let record: Option<VertexRecord> = serde_json::from_slice(&self.store.record(RECORD, key)?).ok();
        record.filter(|record| record.key == *key)
    }

    fn has_layer(&self, record: &VertexRecord) -> bool {
        record.layer.as_ref().is_none_or(|layer| self.store.contains(&layer.descriptor.digest))
    }
}

/// An executor that looks before it works, and remembers.
pub struct Caching<E> {
    inner: E,
    memory: Memory,
    /// Why vertices have to be built again, by key.
    causes: BTreeMap<Digest, String>,
    progress: Progress,
    fates: Mutex<Vec<(String, Fate)>>,
    records: Mutex<BTreeMap<Digest, Arc<VertexRecord>>>,
}

impl<E: Executor> Caching<E> {
    /// Puts a memory before `inner`.
    pub fn new(inner: E, memory: Memory, progress: Progress) -> Caching<E> {
        Caching {
            inner,
            memory,
            causes: BTreeMap::new(),
            progress,
            fates: Mutex::default(),
            records: Mutex::default(),
        }
    }

    /// Tells why vertices are built again, by key.
    pub fn telling(self, causes: BTreeMap<Digest, String>) -> Caching<E> {
        Caching { causes, ..self }
    }

    /// Returns how each remembered vertex came to be, and what is to be remembered of it.
    pub fn finish(self) -> (Vec<(String, Fate)>, Vec<Arc<VertexRecord>>) {
        let fates = self.fates.into_inner().unwrap_or_default();
        let records = self.records.into_inner().unwrap_or_default();
        (fates, records.into_values().collect())
    }

    /// Returns what is known of a vertex, fit for the image if its layer becomes one of that.
    fn fit(&self, record: Arc<VertexRecord>, is_shipped: bool) -> Result<Arc<VertexRecord>> {
        if !is_shipped || !record.is_draft {
            return Ok(record);
        }
        let layer = record.layer.as_ref().map(|layer| self.inner.ship(layer)).transpose()?;
        let record = VertexRecord { layer, is_draft: false, ..VertexRecord::clone(&record) };
        self.memory.store.set_record(RECORD, &record.key, &json(&record))?;
        Ok(record.into())
    }

    fn note(&self, vertex: &Vertex, record: Arc<VertexRecord>, fate: Fate) {
        if let Ok(mut fates) = self.fates.lock() {
            fates.push((vertex.title(), fate));
        }
        // What two vertices do may be the same: what goes into the image counts.
        if let Ok(mut records) = self.records.lock()
            && !(record.is_draft && records.contains_key(&record.key))
        {
            records.insert(record.key, record);
        }
    }
}

impl<E: Executor> Executor for Caching<E> {
    fn execute(&self, vertex: &Vertex, key: &Digest, inputs: &Inputs<'_>) -> Result<Outcome> {
        if !is_worth_remembering(&vertex.op) {
            return self.inner.execute(vertex, key, inputs);
        }
        if let Some((record, fate)) = self.memory.known(key) {
            let record = self.fit(record, inputs.is_shipped)?;
            self.progress.say(format!("✔ {}: cached {}", vertex.title(), place(fate)));
            let delta = Delta { config: vertex.op.config().cloned(), ..record.delta() };
            self.note(vertex, record, fate);
            return Ok(Outcome::Delta(Box::new(delta)));
        }
        if let Some(cause) = self.causes.get(key) {
            self.progress.say(format!("  {}: built again, since {cause}", vertex.title()));
        }
        let task = self.progress.start(vertex.title());
        let outcome = self.inner.execute(vertex, key, inputs)?;
        if let Outcome::Delta(delta) = &outcome {
            let record = VertexRecord::new(*key, delta, inputs.is_shipped);
            self.memory.store.set_record(RECORD, key, &json(&record))?;
            task.advance(record.layer().map_or(0, |layer| layer.size));
            self.note(vertex, record.into(), Fate::Built);
        }
        task.done("built");
        Ok(outcome)
    }

    fn knows(&self, vertex: &Vertex, key: &Digest) -> bool {
        self.memory.knows(vertex, key)
    }
}

fn place(fate: Fate) -> &'static str {
    match fate {
        Fate::Stored => "on this machine",
        Fate::Recalled => "in the registry",
        Fate::Built => "nowhere",
    }
}

/// The others cost nothing, or are remembered in another way.
fn is_worth_remembering(op: &Op) -> bool {
    match op {
        Op::Install(_)
        | Op::Copy(_)
        | Op::Change(_)
        | Op::Workdir(_)
        | Op::Repository(_)
        | Op::Transfer(_)
        | Op::Run(_) => true,
        Op::Scratch
        | Op::Pull(_)
        | Op::Source(_)
        | Op::Configure(_)
        | Op::Context(_)
        | Op::Download(_)
        | Op::Settle(_) => false,
    }
}

impl VertexRecord {
    fn new(key: Digest, delta: &Delta, is_shipped: bool) -> VertexRecord {
        VertexRecord {
            key,
            layer: delta.layer.clone(),
            history: delta.history.clone(),
            bom: delta.bom.clone(),
            skeleton: delta.skeleton.clone(),
            is_draft: delta.layer.is_some() && !is_shipped,
        }
    }

    fn delta(&self) -> Delta {
        Delta {
            layer: self.layer.clone(),
            history: self.history.clone(),
            config: None,
            author: None,
            bom: self.bom.clone(),
            skeleton: self.skeleton.clone(),
        }
    }

    /// Returns the vertex's key and its layer's diff ID, where there is one.
    pub fn key_and_layer(&self) -> Option<(Digest, Digest)> {
        self.layer.as_ref().map(|layer| (self.key, layer.diff_id))
    }

    /// Returns the layer's descriptor, where there is one.
    pub fn layer(&self) -> Option<&Descriptor> {
        self.layer.as_ref().map(|layer| &layer.descriptor)
    }
}

/// What several hold, written as if each held its own.
mod shared {
    use super::{Arc, Deserialize, Serialize};
    use serde::{Deserializer, Serializer};

    pub(super) fn serialize<T: Serialize, S: Serializer>(
        shared: &[Arc<T>],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(shared.iter().map(Arc::as_ref))
    }

    pub(super) fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<Arc<T>>, D::Error> {
        Ok(Vec::<T>::deserialize(deserializer)?.into_iter().map(Arc::new).collect())
    }
}
