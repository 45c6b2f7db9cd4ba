//! Layers' bytes when they are needed: from the store, else from the registry that is known to have them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};

use anyhow::{Context as _, Result, anyhow, bail};
use futures_util::future::try_join_all;

use super::view::{Ask, View};
use super::wait::Waiter;
use crate::digest::{Digest, HashingReader};
use crate::layer::{self, Entry, Standing};
use crate::oci::{Descriptor, Image, Layer, canonical_json};
use crate::progress::{Progress, Task};
use crate::registry::Registry;
use crate::store::Store;

/// Where the bytes of layers may be had.
#[derive(Clone)]
pub struct Blobs {
    store: Store,
    progress: Progress,
    waiter: Waiter,
    sources: Vec<BlobSource>,
    /// Held by who unpacks layers, so that nobody does the same meanwhile.
    unpacking: Arc<Mutex<()>>,
    /// Whether the directories of layers are in the form of who has the machine's own privileges.
    is_trusted: Arc<OnceLock<bool>>,
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
        Blobs { store, progress, waiter, sources, unpacking: Arc::default(), is_trusted: Arc::default() }
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

    /// Returns the blobs of the store alone.
    pub fn of_store(store: &Store, progress: &Progress) -> Blobs {
        let (_, waiter) = Waiter::new();
        Blobs::new(store.clone(), progress.clone(), waiter, Vec::new())
    }

    /// Returns a directory that holds the root of these layers. It is shared: nobody may write to it.
    pub fn root(&self, layers: &[Layer]) -> Result<PathBuf> {
        if let [_] = layers {
            let directories = self.stack(layers)?;
            return directories.into_iter().next().context("internal error: a layer without a directory");
        }
        if let Some(tree) = self.store.tree(&self.root_key(layers)) {
            return Ok(tree);
        }
        let scratch = self.store.scratch()?;
        let root = scratch.path().join("root");
        layer::make_root(&root)?;
        self.unpack(layers, &root)?;
        Ok(self.store.keep_tree(&self.root_key(layers), &root)?)
    }

    /// Lets `look` read these layers, in their order. Where their directories aren't there yet it has each of them unpacked
    /// meanwhile; it returns whether that was done with all.
    pub fn in_passing<T>(
        &self,
        layers: &[Layer],
        shape: Shape,
        look: impl FnOnce(Option<&Unpacking<'_>>) -> Result<(T, bool)>,
    ) -> Result<T> {
        let is_root = shape == Shape::Root && layers.len() > 1;
        let is_there = match is_root {
            true => self.store.tree(&self.root_key(layers)).is_some(),
            false => self.kept(layers).is_some(),
        };
        if is_there {
            return look(None).map(|(seen, _)| seen);
        }
        let scratch = self.store.scratch()?;
        let unpacking = Unpacking { scratch: scratch.path(), is_root, made: Mutex::default() };
        let (seen, is_whole) = look(Some(&unpacking))?;
        if is_whole {
            self.keep_made(layers, unpacking)?;
        }
        Ok(seen)
    }

    fn keep_made(&self, layers: &[Layer], unpacking: Unpacking<'_>) -> Result<()> {
        if unpacking.is_root {
            self.store.keep_tree(&self.root_key(layers), &unpacking.directory(0))?;
            return Ok(());
        }
        let made = unpacking.made.into_inner().unwrap_or_else(PoisonError::into_inner);
        for (nth, (directory, standing)) in made.into_iter().enumerate() {
            self.keep(&layers[..nth], &layers[nth], &directory, standing)?;
        }
        Ok(())
    }

    fn root_key(&self, layers: &[Layer]) -> Digest {
        let diff_ids: Vec<Digest> = layers.iter().map(|layer| layer.diff_id).collect();
        Digest::of(canonical_json(&("root", self.form(), diff_ids)))
    }

    /// Returns a directory for each of these layers, lowest first, in the form that overlay mounts take; two layers that
    /// are the same have one, where the higher is. They are shared: nobody may write to them.
    pub fn stack(&self, layers: &[Layer]) -> Result<Vec<PathBuf>> {
        if let Some(directories) = self.kept(layers) {
            return Ok(directories);
        }
        let _turn =
            self.unpacking.lock().map_err(|_| anyhow!("internal error: a layer's unpacking panicked"))?;
        let missing: Vec<usize> =
            (0..layers.len()).filter(|&nth| self.kept_directory(&layers[..=nth]).is_none()).collect();
        let fetches = missing.iter().map(|&nth| self.fetch(&layers[nth].descriptor));
        self.waiter.wait(try_join_all(fetches))?;
        self.unpack_apart(layers, &missing)?;
        self.kept(layers).context("internal error: the directory of a layer went away")
    }

    /// Lets `directory`, in scratch, be that of `layer` from now on.
    pub fn keep(
        &self,
        below: &[Layer],
        layer: &Layer,
        directory: &Path,
        standing: Standing,
    ) -> Result<PathBuf> {
        let key = match standing {
            Standing::Alone => self.alone(layer),
            Standing::AboveItsOwn => self.chained(below.iter().chain([layer])),
        };
        Ok(self.store.keep_tree(&key, directory)?)
    }

    /// Returns the root of these layers, where each of them has a directory already.
    pub fn kept_stack(&self, layers: &[Layer]) -> Result<Option<layer::Stack>> {
        Ok(self.kept(layers).map(|directories| layer::Stack::open(&directories)).transpose()?)
    }

    fn kept(&self, layers: &[Layer]) -> Option<Vec<PathBuf>> {
        let kept = (0..layers.len()).map(|nth| self.kept_directory(&layers[..=nth]));
        let mut directories: Vec<PathBuf> = kept.collect::<Option<_>>()?;
        // The kernel takes no directory twice, and nothing is lost: what the lower says, the higher says again.
        for nth in (0..directories.len()).rev() {
            if directories[nth + 1..].contains(&directories[nth]) {
                directories.remove(nth);
            }
        }
        Some(directories)
    }

    /// Returns the directory of the last of these layers.
    fn kept_directory(&self, layers: &[Layer]) -> Option<PathBuf> {
        let last = layers.last()?;
        self.store.tree(&self.alone(last)).or_else(|| self.store.tree(&self.chained(layers)))
    }

    /// Unpacks what is missing, several at a time. A layer that depends on those below waits for them.
    fn unpack_apart(&self, layers: &[Layer], missing: &[usize]) -> Result<()> {
        let task = self.progress.start("unpack");
        let growing = Growing::new((0..layers.len()).map(|nth| !missing.contains(&nth)).collect());
        let next = AtomicUsize::new(0);
        let n_threads = std::thread::available_parallelism().map_or(1, usize::from).min(missing.len());
        let errors = Mutex::new(BTreeMap::new());
        let work = || {
            while let Some(&nth) = missing.get(next.fetch_add(1, Ordering::Relaxed)) {
                let result = self.unpack_one(layers, nth, &growing, &task);
                growing.tell(nth, result.is_ok());
                if let (Err(error), Ok(mut errors)) = (result, errors.lock()) {
                    errors.insert(nth, error);
                }
            }
        };
        std::thread::scope(|scope| (0..n_threads).for_each(|_| drop(scope.spawn(work))));
        // Those above it failed because of the lowest that did.
        let errors = errors.into_inner().unwrap_or_else(PoisonError::into_inner);
        if let Some((nth, error)) = errors.into_iter().next() {
            let name = &layers[nth].descriptor.digest;
            return Err(error.context(format!("cannot unpack layer {name}")));
        }
        task.done(&format!("{} layers", missing.len()));
        Ok(())
    }

    fn unpack_one(&self, layers: &[Layer], nth: usize, growing: &Growing, task: &Task) -> Result<()> {
        let (below, layer) = (&layers[..nth], &layers[nth]);
        let scratch = self.store.scratch()?;
        let directory = scratch.path().join("layer");
        layer::make_root(&directory)?;
        let mut open_below = || {
            let known = growing.wait_below(nth).then(|| self.kept(below)).flatten();
            let missing = || layer::Error::Misuse("a layer below could not be unpacked".into());
            layer::Stack::open(&known.ok_or_else(missing)?)
        };
        let standing =
            self.read(layer, &mut |tar| Ok(layer::unpack_apart(tar, &directory, &mut open_below)?))?;
        task.advance(layer.descriptor.size);
        self.keep(below, layer, &directory, standing).map(drop)
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
        self.read(layer, &mut |tar| Ok(layer::apply(tar, root)?))
    }

    /// The key of a layer's directory that says the same above any layers.
    fn alone(&self, layer: &Layer) -> Digest {
        Digest::of(canonical_json(&("layer", self.form(), layer.diff_id)))
    }

    /// The key of the directory of the last of these layers, where it depends on the others.
    fn chained<'a>(&self, layers: impl IntoIterator<Item = &'a Layer>) -> Digest {
        let diff_ids: Vec<Digest> = layers.into_iter().map(|layer| layer.diff_id).collect();
        Digest::of(canonical_json(&("layers", self.form(), diff_ids)))
    }

    /// In which form directories are kept: overlay mounts of who has more privileges would not understand those of who
    /// has less.
    fn form(&self) -> &'static str {
        let is_trusted =
            || self.store.scratch().is_ok_and(|at| layer::marks_are_trusted(at.path()).unwrap_or(true));
        if *self.is_trusted.get_or_init(is_trusted) { "trusted" } else { "user" }
    }

    /// Reads a layer, uncompressed, which must be what the configuration says.
    fn read<T>(&self, layer: &Layer, read: &mut dyn FnMut(&mut dyn Read) -> Result<T>) -> Result<T> {
        let blob =
            std::io::BufReader::with_capacity(1 << 18, self.store.open_blob(&layer.descriptor.digest)?);
        let mut tar = HashingReader::new(layer::decompress(blob)?);
        let answer = read(&mut tar)?;
        std::io::copy(&mut tar, &mut std::io::sink())?;
        let (_, diff_id, _) = tar.finish();
        match diff_id == layer.diff_id {
            true => Ok(answer),
            false => bail!("its content has the digest {diff_id}, the configuration says {}", layer.diff_id),
        }
    }
}

/// What layers become when they are unpacked in passing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// One directory for all of them.
    Root,
    /// A directory for each, for overlay mounts.
    Stack,
}

/// Layers that are unpacked while somebody reads them.
pub struct Unpacking<'a> {
    scratch: &'a Path,
    /// Whether all go into one directory.
    is_root: bool,
    made: Mutex<Vec<(PathBuf, Standing)>>,
}

impl Unpacking<'_> {
    /// Unpacks the next layer, uncompressed.
    ///
    /// # Errors
    /// When that can't be done; what was unpacked is worth nothing then.
    pub fn next(&self, tar: impl Read) -> Result<()> {
        let mut made =
            self.made.lock().map_err(|_| anyhow!("internal error: a layer's unpacking panicked"))?;
        let directory = self.directory(made.len());
        if !directory.exists() {
            layer::make_root(&directory)?;
        }
        if self.is_root {
            return Ok(layer::apply(tar, &directory)?);
        }
        let mut below = || layer::Stack::open(&made.iter().map(|(below, _)| below).collect::<Vec<_>>());
        let standing = layer::unpack_apart(tar, &directory, &mut below)?;
        made.push((directory, standing));
        Ok(())
    }

    fn directory(&self, nth: usize) -> PathBuf {
        self.scratch.join(nth.to_string())
    }
}

/// Which layers have a directory already, while the others get theirs.
struct Growing {
    /// Whether there is one; none where that isn't known yet.
    layers: Mutex<Vec<Option<bool>>>,
    changed: Condvar,
}

impl Growing {
    fn new(is_there: Vec<bool>) -> Growing {
        let layers = is_there.into_iter().map(|is_there| is_there.then_some(true)).collect();
        Growing { layers: Mutex::new(layers), changed: Condvar::new() }
    }

    fn tell(&self, nth: usize, is_there: bool) {
        self.layers.lock().unwrap_or_else(PoisonError::into_inner)[nth] = Some(is_there);
        self.changed.notify_all();
    }

    /// Waits until it is known of all layers below one whether they have a directory; returns whether they have.
    fn wait_below(&self, nth: usize) -> bool {
        let mut layers = self.layers.lock().unwrap_or_else(PoisonError::into_inner);
        while layers[..nth].contains(&None) && !layers[..nth].contains(&Some(false)) {
            layers = self.changed.wait(layers).unwrap_or_else(PoisonError::into_inner);
        }
        layers[..nth].iter().all(|layer| *layer == Some(true))
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, slice};

    use super::*;
    use crate::layer::{Compression, Kind, LayerWriter, Options, Stack, diff};

    /// A store, and layers as others write them.
    struct Place {
        _directory: tempfile::TempDir,
        store: Store,
    }

    impl Place {
        fn new() -> Place {
            let directory = tempfile::tempdir().unwrap();
            let store = Store::open(directory.path().join("state")).unwrap();
            Place { _directory: directory, store }
        }

        fn layer(&self, entries: &[Entry]) -> Layer {
            let options = Options { epoch: 0, threads: 1, compression: Compression::Gzip(1) };
            let mut writer = LayerWriter::new(self.store.blob_writer().unwrap(), options).unwrap();
            entries.iter().for_each(|entry| writer.entry(entry, &mut std::io::empty()).unwrap());
            writer.finish().unwrap().layer
        }

        /// Does `work` on a thread that may wait for the network.
        fn with<T: Send>(&self, work: impl FnOnce(&Blobs) -> T + Send) -> T {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            let _inside = runtime.enter();
            let (_interest, waiter) = Waiter::new();
            let blobs = Blobs::new(self.store.clone(), Progress::silent(), waiter, Vec::new());
            std::thread::scope(|scope| scope.spawn(|| work(&blobs)).join().unwrap())
        }
    }

    fn another_name(path: &str, target: &str) -> Entry {
        Entry { kind: Kind::Hardlink { target: target.into() }, ..Entry::file(path, 0o644, 0) }
    }

    #[test]
    fn a_layer_has_one_directory_unless_it_depends_on_those_below() {
        let place = Place::new();
        let base = place.layer(&[Entry::directory("d", 0o755), Entry::file("d/x", 0o644, 0)]);
        let other = place.layer(&[Entry::directory("d", 0o700), Entry::file("d/x", 0o600, 0)]);
        let alone = place.layer(&[Entry::directory("d", 0o755), Entry::file("d/y", 0o644, 0)]);
        let linked = place.layer(&[another_name("z", "d/x")]);
        place.with(|blobs| {
            let one = blobs.stack(&[base.clone(), alone.clone(), linked.clone()]).unwrap();
            let two = blobs.stack(&[other, alone.clone(), linked]).unwrap();
            assert_eq!((one.len(), two.len()), (3, 3));
            assert!(one[0] != two[0] && one[1] == two[1] && one[2] != two[2]);
            let twice = blobs.stack(&[base.clone(), alone.clone(), base.clone()]).unwrap();
            assert_eq!(twice, [one[1].clone(), one[0].clone()]);
            // What is there needs no bytes any more.
            fs::remove_file(place.store.blob_path(&base.descriptor.digest)).unwrap();
            assert_eq!(blobs.stack(&[base, alone]).unwrap(), one[..2]);
        });
    }

    #[test]
    fn layers_become_directories_while_somebody_reads_them() {
        let place = Place::new();
        let base = place.layer(&[Entry::directory("d", 0o755), Entry::file("d/x", 0o644, 0)]);
        let linked = place.layer(&[another_name("z", "d/x")]);
        let (one, both) = (slice::from_ref(&base), [base.clone(), linked]);
        place.with(|blobs| {
            for (layers, shape) in [(one, Shape::Root), (&both, Shape::Root), (&both, Shape::Stack)] {
                let read = |unpacking: Option<&Unpacking<'_>>| {
                    let read = |layer| blobs.read(layer, &mut |tar| unpacking.unwrap().next(tar));
                    layers.iter().try_for_each(read).map(|()| ((), true))
                };
                blobs.in_passing(layers, shape, read).unwrap();
                let is_there = |unpacking: Option<&Unpacking<'_>>| Ok((unpacking.is_none(), false));
                assert!(blobs.in_passing(layers, shape, is_there).unwrap());
            }
            for layer in &both {
                fs::remove_file(place.store.blob_path(&layer.descriptor.digest)).unwrap();
            }
            assert!(blobs.root(one).unwrap().join("d/x").exists());
            assert!(blobs.root(&both).unwrap().join("z").exists());
            assert_eq!(blobs.stack(&both).unwrap().len(), 2);
        });
    }

    #[test]
    fn what_could_not_be_unpacked_is_kept_by_nobody() {
        let place = Place::new();
        let layer = place.layer(&[Entry::directory("d", 0o755)]);
        place.with(|blobs| {
            let read =
                |unpacking: Option<&Unpacking<'_>>| Ok((unpacking.unwrap().next(&b"no tar"[..]), false));
            let layers = slice::from_ref(&layer);
            assert!(blobs.in_passing(layers, Shape::Stack, read).unwrap().is_err());
            assert_eq!(blobs.kept(layers), None);
        });
    }

    #[test]
    fn the_lowest_layer_that_fails_is_named() {
        let place = Place::new();
        let mut wrong = place.layer(&[Entry::file("x", 0o644, 0)]);
        wrong.diff_id = Digest::of("something else");
        let linked = place.layer(&[another_name("z", "x")]);
        place.with(|blobs| {
            let error = format!("{:#}", blobs.stack(&[wrong.clone(), linked]).unwrap_err());
            assert!(
                error.starts_with(&format!("cannot unpack layer {}", wrong.descriptor.digest)),
                "{error}"
            );
            assert!(error.contains("the configuration says"), "{error}");
        });
    }

    #[test]
    fn what_a_command_changed_becomes_its_layer_s_directory() {
        let place = Place::new();
        let base = place.layer(&[Entry::directory("d", 0o755)]);
        let scratch = place.store.scratch().unwrap();
        let upper = scratch.path().join("upper");
        place.with(|blobs| {
            let below = Stack::open(&blobs.stack(std::slice::from_ref(&base)).unwrap()).unwrap();
            below.make_upper(&upper).unwrap();
            fs::create_dir_all(upper.join("d/new")).unwrap();
            let changes = diff::overlay(&below, &upper).unwrap();
            let standing = layer::trim(&changes, &upper).unwrap();
            let made = place.layer(&[Entry::directory("d", 0o755), Entry::directory("d/new", 0o755)]);
            let kept = blobs.keep(std::slice::from_ref(&base), &made, &upper, standing).unwrap();
            assert_eq!(blobs.stack(&[base, made]).unwrap()[1], kept);
        });
        assert!(!upper.exists());
    }
}
