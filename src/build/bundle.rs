//! An image's sources as one artifact that refers to it: a layer for each file, fetched, verified and pushed.
//!
//! The lock names every file with digest and size, so what is there already is known without a byte of it being here.
//! What is recorded of sources, and what may be missing, is decided there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path};

use anyhow::{Context as _, Result, bail};
use futures_util::{StreamExt, TryStreamExt, stream};

use super::World;
use super::attach;
use super::definition::Apt;
use super::lock::places::Places;
use super::lock::{LockedPackage, LockedSource, LockedSourceFile, PlatformLock};
use crate::digest::Digest;
use crate::fetch::{self, Wanted};
use crate::oci::{Annotations, Descriptor, Manifest};
use crate::progress::{Progress, Task};
use crate::registry::{Artifact, Content, Registry};
use crate::store::Store;

/// The artifact type of a bundle of sources.
pub const MEDIA_TYPE: &str = "application/vnd.estaleiro.sources.v1";

/// Each file's media type; what it is, its name says.
const FILE: &str = "application/octet-stream";
/// The annotation of a file's path in the bundle: one directory for each source package.
const TITLE: &str = "org.opencontainers.image.title";
/// How many files are fetched and pushed at a time.
const N_PARALLEL: usize = 4;

/// The source files of an image.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// By path in the bundle.
    files: BTreeMap<String, Wished>,
    /// What has no files: name and version.
    missing: Vec<String>,
    /// The archives that a lock names.
    archives: Vec<String>,
}

/// A file that is to be in the bundle.
#[derive(Clone, Debug)]
struct Wished {
    file: LockedSourceFile,
    /// Whether the definition does without it.
    is_excused: bool,
}

/// What became of the files.
#[derive(Clone, Debug, Default)]
pub struct Shipped {
    /// How many were sent.
    pub n_sent: usize,
    /// Those that could not be had.
    gone: BTreeSet<Digest>,
}

/// What became of a file.
enum Fate {
    Existed,
    Sent,
    /// It could not be had, for this reason.
    Gone(String),
}

impl Sources {
    /// Returns the sources that a lock names: those of packages, `Built-Using` and its kin, the base image.
    pub fn of(locked: &PlatformLock, apt: &Apt) -> Sources {
        let of_base = locked.base.iter().flat_map(|base| &base.sources);
        let of_packages = locked.all_packages().flat_map(|one| one.built_using.iter().chain([&one.source]));
        let mut all: Vec<&LockedSource> = of_base.chain(of_packages).collect();
        all.sort_by_key(|source| (&source.name, &source.version, digests(source)));
        all.dedup_by_key(|source| (&source.name, &source.version, digests(source)));
        let archives = locked.suites.iter().map(|suite| suite.uri.clone()).collect();
        let mut sources = Sources { archives, ..Sources::default() };
        let mut directories = BTreeSet::new();
        for source in all {
            sources.add(source, is_excused(source, locked, apt), &mut directories);
        }
        sources
    }

    fn add(&mut self, source: &LockedSource, is_excused: bool, directories: &mut BTreeSet<String>) {
        if source.files.is_empty() {
            self.missing.push(format!("{} {}", source.name, source.version));
            return;
        }
        let directory = directory(source, directories);
        for file in &source.files {
            let wished = Wished { file: file.clone(), is_excused };
            self.files.insert(format!("{directory}/{}", file.name), wished);
        }
    }

    /// Returns the artifact to attach, if there is anything in it.
    pub fn bundle(&self, shipped: &Shipped, annotations: Annotations) -> Option<Artifact> {
        let there = self.files.iter().filter(|(_, wished)| !shipped.gone.contains(&wished.file.sha256));
        let layers = there.map(|(path, wished)| {
            let mut layer = descriptor(&wished.file);
            layer.annotations.insert(TITLE.into(), path.clone());
            layer
        });
        let layers: Vec<Descriptor> = layers.collect();
        if layers.is_empty() {
            return None;
        }
        let (media_type, content) = (MEDIA_TYPE.into(), Content::Blobs(layers));
        Some(Artifact { media_type, content, annotations, replace: false })
    }

    /// Returns a file as something to be fetched.
    fn wanted(&self, file: &LockedSourceFile, places: &Places) -> Wanted {
        let of = self.archives.iter().filter(|archive| file.uri.starts_with(archive.as_str()));
        let archive = of.max_by_key(|archive| archive.len()).map_or("", String::as_str);
        let uris = places.of(archive, &file.uri);
        Wanted { name: file.name.clone(), uris, digest: file.sha256, size: Some(file.size) }
    }

    /// Brings every file into `registry`, unless it is there.
    ///
    /// # Errors
    /// When files can't be had that the definition doesn't do without: all of them are named.
    pub async fn push(&self, registry: &Registry, places: &Places, world: &World) -> Result<Shipped> {
        let unique: BTreeMap<Digest, &LockedSourceFile> =
            self.files.values().map(|wished| (wished.file.sha256, &wished.file)).collect();
        let task = world.progress.start(format!("push sources to {}", registry.name()));
        let pushes =
            unique.values().map(|file| push(self.wanted(file, places), file, registry, world, &task));
        let fates: Vec<(Digest, Fate)> =
            stream::iter(pushes).buffer_unordered(N_PARALLEL).try_collect().await?;
        let n_sent = fates.iter().filter(|(_, fate)| matches!(fate, Fate::Sent)).count();
        let gone: BTreeMap<Digest, String> = fates
            .into_iter()
            .filter_map(|(digest, fate)| match fate {
                Fate::Gone(reason) => Some((digest, reason)),
                Fate::Existed | Fate::Sent => None,
            })
            .collect();
        self.report(&gone, world)?;
        task.done(&format!("{n_sent} files uploaded, {} already there", unique.len() - n_sent - gone.len()));
        Ok(Shipped { n_sent, gone: gone.into_keys().collect() })
    }

    /// Names what can't be had, in a warning if the definition does without, else in an error.
    fn report(&self, gone: &BTreeMap<Digest, String>, world: &World) -> Result<()> {
        let lines = |is_excused: bool| -> Vec<String> {
            let files = self.files.iter().filter(|(_, wished)| wished.is_excused == is_excused);
            let line = |(path, wished): (&String, &Wished)| {
                Some(format!("{path}: {}", gone.get(&wished.file.sha256)?.lines().next().unwrap_or_default()))
            };
            files.filter_map(line).collect()
        };
        let missing = lines(false);
        if !missing.is_empty() {
            bail!(
                "cannot attach sources: some can't be had\n- {}\nhint: name a mirror that keeps them; or do without, as in without_sources = [\"name\"]",
                missing.join("\n- ")
            );
        }
        let without = self.missing.iter().cloned().chain(lines(true));
        let without = without.collect::<Vec<_>>().join("\n- ");
        if !without.is_empty() {
            world.progress.warn(format!("no sources can be had, and none are attached, of\n- {without}"));
        }
        Ok(())
    }
}

/// Whether a definition does without a source: it names it, or a package that was built from it.
fn is_excused(source: &LockedSource, locked: &PlatformLock, apt: &Apt) -> bool {
    let is_of = |package: &&LockedPackage| {
        package.built_using.iter().chain([&package.source]).any(|one| one == source)
    };
    let packages = locked.all_packages().filter(is_of).map(|package| &package.name);
    packages.chain([&source.name]).any(|name| apt.without_sources.iter().any(|one| one.value == *name))
}

/// Returns a directory of its own for a source package, named as Debian names its files: without the epoch.
fn directory(source: &LockedSource, taken: &mut BTreeSet<String>) -> String {
    let version = source.version.split_once(':').map_or(source.version.as_str(), |(_, version)| version);
    let name = format!("{}_{version}", source.name);
    // Two archives may have the same version with other files.
    let others = (2_u32..).map(|number| format!("{name}.{number}"));
    let mut names = std::iter::once(name.clone()).chain(others);
    names.find(|name| taken.insert(name.clone())).unwrap_or(name)
}

fn digests(source: &LockedSource) -> Vec<Digest> {
    source.files.iter().map(|file| file.sha256).collect()
}

fn descriptor(file: &LockedSourceFile) -> Descriptor {
    Descriptor::new(FILE, file.sha256, file.size)
}

async fn push(
    wanted: Wanted,
    file: &LockedSourceFile,
    registry: &Registry,
    world: &World,
    task: &Task,
) -> Result<(Digest, Fate)> {
    if registry.has_blob(&file.sha256).await? {
        return Ok((file.sha256, Fate::Existed));
    }
    match world.fetcher.blob(&wanted).await {
        Err(fetch::Error::Unavailable { reason, .. }) => return Ok((file.sha256, Fate::Gone(reason))),
        fetched => fetched.context("cannot attach sources")?,
    }
    registry.push_blob(&descriptor(file), &world.store, None, task).await?;
    Ok((file.sha256, Fate::Sent))
}

/// Writes the sources that are attached to an image below `directory`.
///
/// # Errors
/// When there are none.
pub async fn write(
    registry: &Registry,
    subject: &Digest,
    directory: &Path,
    store: &Store,
    progress: &Progress,
) -> Result<()> {
    let newest = attach::newest(registry, subject, MEDIA_TYPE).await?;
    let newest = newest.context("cannot get sources: none are attached to it\nhint: they are if its definition says apt { sources = \"bundle\" }")?;
    let (_, bytes) = registry
        .manifest(&newest.digest.to_string())
        .await?
        .with_context(|| format!("cannot get sources: {} is gone from the registry", newest.digest))?;
    let files = files(&Manifest::parse(&bytes)?)?;
    let task = progress.start("get sources");
    let pulls = files.values().map(|file| registry.pull_blob(file, store, &task));
    stream::iter(pulls).buffer_unordered(N_PARALLEL).try_collect::<()>().await?;
    for (path, file) in &files {
        place(&directory.join(path), file, store).with_context(|| format!("cannot write {path}"))?;
    }
    task.done(&format!("{} files", files.len()));
    Ok(())
}

/// Returns the layers of a bundle by the paths they are to have.
fn files(manifest: &Manifest) -> Result<BTreeMap<String, Descriptor>> {
    let mut files = BTreeMap::new();
    for layer in &manifest.layers {
        let path = layer
            .annotations
            .get(TITLE)
            .with_context(|| format!("cannot get sources: {} has no name", layer.digest))?;
        if !stays_inside(Path::new(path)) {
            bail!("cannot get sources: {path:?} is no path for one");
        }
        if files.insert(path.clone(), layer.clone()).is_some() {
            bail!("cannot get sources: {path} is there twice");
        }
    }
    Ok(files)
}

fn stays_inside(path: &Path) -> bool {
    path.components().count() <= 2
        && path.file_name().is_some()
        && path.components().all(|part| matches!(part, Component::Normal(_)))
}

/// A file that several source packages have is linked: nobody is to change it.
fn place(path: &Path, file: &Descriptor, store: &Store) -> std::io::Result<()> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    let blob = store.blob_path(&file.digest);
    std::fs::set_permissions(&blob, std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
    std::fs::hard_link(&blob, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(name: &str, version: &str, files: &[&str]) -> LockedSource {
        let file = |name: &&str| LockedSourceFile {
            name: name.split('=').next().unwrap_or_default().into(),
            size: 1,
            sha256: Digest::of(name),
            uri: String::new(),
        };
        LockedSource { name: name.into(), version: version.into(), files: files.iter().map(file).collect() }
    }

    fn sources(all: &[LockedSource]) -> Sources {
        let mut sources = Sources::default();
        let mut directories = BTreeSet::new();
        all.iter().for_each(|source| sources.add(source, false, &mut directories));
        sources
    }

    #[test]
    fn each_source_package_has_a_directory_of_its_own() {
        let all = [
            source("jq", "1:1.6-1", &["jq.dsc=1", "jq.orig.tar.gz"]),
            source("jq", "1:1.6-2", &["jq.dsc=2", "jq.orig.tar.gz"]),
            source("jq", "1.6-2", &["jq.dsc=3"]),
            source("gone", "1", &[]),
        ];
        let sources = sources(&all);
        let paths: Vec<&str> = sources.files.keys().map(String::as_str).collect();
        assert_eq!(
            paths,
            [
                "jq_1.6-1/jq.dsc",
                "jq_1.6-1/jq.orig.tar.gz",
                "jq_1.6-2.2/jq.dsc",
                "jq_1.6-2/jq.dsc",
                "jq_1.6-2/jq.orig.tar.gz"
            ]
        );
        assert_eq!(sources.missing, ["gone 1"]);
    }

    #[test]
    fn a_bundle_of_others_leads_nowhere_else() {
        let bundle = |path: &str| {
            let bundle =
                sources(&[source("jq", "1", &["jq.dsc"])]).bundle(&Shipped::default(), Annotations::new());
            let mut manifest = Manifest {
                media_type: "x".into(),
                artifact_type: None,
                config: Descriptor::of("x", b""),
                layers: bundle.unwrap().layers(),
                subject: None,
                annotations: Annotations::new(),
            };
            manifest.layers[0].annotations.insert(TITLE.into(), path.into());
            files(&manifest).map(|files| files.into_keys().collect::<Vec<_>>())
        };
        assert_eq!(bundle("jq_1/jq.dsc").unwrap(), ["jq_1/jq.dsc"]);
        for path in ["/etc/passwd", "../x", "a/../../x", "a/b/c", "", ".", "a/.."] {
            assert!(bundle(path).is_err(), "{path}");
        }
    }
}
