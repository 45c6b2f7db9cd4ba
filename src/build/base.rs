//! What must be known of a base image: its manifest, some small files of its root, its directories and links.
//!
//! Known once, it is kept by digest in the store and travels in the cache record, so that an image
//! can be continued without its base being pulled again.

use std::collections::BTreeMap;

use anyhow::{Context, Result, anyhow, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use futures_util::future::try_join_all;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::licences;
use super::time::parse_rfc3339;
use super::view::{Ask, View};
use crate::bom;
use crate::debian::{self, status};
use crate::digest::Digest;
use crate::layer::{Entry, Kind, Skeleton};
use crate::oci::{Config, Descriptor, Image, Index, Layer, Manifest, Platform, Reference, media_type};
use crate::progress::Progress;
use crate::redact;
use crate::registry::Registry;
use crate::store::Store;

/// The kind of the store's records of bases.
const RECORD: &str = "base-3";
/// No configuration is larger.
pub const LARGEST_CONFIG: u64 = 8 << 20;

/// What must be known of a base image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Base {
    /// The digest of its manifest.
    pub digest: Digest,
    /// Its layers and configuration.
    pub image: Image,
    /// Small files of its root.
    pub facts: Facts,
    /// Its directories and links.
    pub skeleton: Skeleton,
    /// What its packages declare.
    pub licences: licences::Outcome,
}

/// Small files of a root, by path without a leading slash.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    files: BTreeMap<String, Vec<u8>>,
}

/// Which files are looked into: exact paths, and directories.
const FACT_FILES: [&str; 8] = [
    "etc/os-release",
    "usr/lib/os-release",
    "var/lib/dpkg/status",
    "var/lib/dpkg/arch",
    "etc/apt/preferences",
    "var/lib/apt/extended_states",
    "etc/apt/sources.list",
    "etc/apt/trusted.gpg",
];
const FACT_DIRECTORIES: [&str; 6] = [
    "etc/apt/preferences.d/",
    "etc/apt/sources.list.d/",
    "etc/apt/trusted.gpg.d/",
    "etc/apt/keyrings/",
    "usr/share/keyrings/",
    "var/lib/dpkg/status.d/",
];

/// What a root says of itself in its os-release.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OsRelease {
    /// `debian`, `ubuntu` …
    pub id: String,
    /// `12`, `24.04` …
    pub version_id: String,
    /// `bookworm` …
    pub codename: String,
}

impl Facts {
    /// Returns the facts that these files state, by path without a leading slash.
    pub fn from_files(files: BTreeMap<String, Vec<u8>>) -> Facts {
        Facts { files }
    }

    /// Returns the content of a file; a link has that of the file it leads to.
    pub fn file(&self, path: &str) -> Option<&[u8]> {
        self.files.get(path.trim_start_matches('/')).map(Vec::as_slice)
    }

    /// Returns the files of a directory, in the order of their names.
    pub fn files_in(&self, directory: &str) -> impl Iterator<Item = (&str, &[u8])> {
        let directory = directory.trim_start_matches('/').to_owned();
        self.files
            .iter()
            .filter(move |(path, _)| path.starts_with(&directory))
            .map(|(path, content)| (path.as_str(), content.as_slice()))
    }

    /// Returns what the root's os-release says.
    pub fn os_release(&self) -> OsRelease {
        let text = self.file("etc/os-release").or_else(|| self.file("usr/lib/os-release"));
        OsRelease::parse(&String::from_utf8_lossy(text.unwrap_or_default()))
    }

    /// Returns the installed packages, also of roots that keep them one file each (`status.d`).
    pub fn installed(&self) -> Result<Vec<debian::Installed>> {
        let text = |content: &[u8]| String::from_utf8_lossy(content).into_owned();
        let whole = self.file("var/lib/dpkg/status").map(|content| status::parse(&text(content)));
        let fragments = self.files_in("var/lib/dpkg/status.d/");
        let fragments = fragments.filter(|(path, _)| !path.ends_with(".md5sums"));
        let fragments = fragments.map(|(_, content)| status::parse_fragment(&text(content)));
        let parsed: Result<Vec<_>, _> = whole.into_iter().chain(fragments).collect();
        Ok(parsed.context("cannot read the dpkg status")?.into_iter().flatten().collect())
    }
}

impl OsRelease {
    /// Reads an os-release file (os-release(5)); what it doesn't say stays empty.
    pub fn parse(text: &str) -> OsRelease {
        let mut release = OsRelease::default();
        for (name, value) in text.lines().filter_map(|line| line.split_once('=')) {
            let value = value.trim().trim_matches(['"', '\'']).to_owned();
            match name.trim() {
                "ID" => release.id = value,
                "VERSION_ID" => release.version_id = value,
                "VERSION_CODENAME" => release.codename = value,
                _ => {}
            }
        }
        release
    }
}

impl Base {
    /// Returns when the base was made, in seconds since 1970, where it says so.
    pub fn created(&self) -> Option<i64> {
        self.image.config.created.as_deref().and_then(parse_rfc3339).map(|created| created.max(0))
    }

    /// Returns the base's part of the account.
    pub fn bom(&self, name: &str) -> Result<bom::BaseImage> {
        let release = self.facts.os_release();
        let mut packages: Vec<bom::Package> = self
            .facts
            .installed()?
            .iter()
            .filter(|package| package.is_installed())
            .map(|there| bom::Package::from(&there.package))
            .map(|package| bom::Package {
                licence: self.licences.packages.get(&package.name).cloned(),
                ..package
            })
            .collect();
        packages.sort_by_key(bom::Package::key);
        Ok(bom::BaseImage {
            canonical_name: format!("{name}@{}", self.digest),
            os: release.id,
            version: release.version_id,
            codename: release.codename,
            packages,
            sources: Vec::new(),
        })
    }
}

/// Finds the digest of the manifest that `reference` means for `platform`; `what` says what the image is.
pub async fn pin(
    what: &str,
    registry: &Registry,
    reference: &Reference,
    platform: &Platform,
) -> Result<Digest> {
    let wanted = reference.digest.map_or_else(
        || reference.tag.clone().unwrap_or_else(|| "latest".into()),
        |digest| digest.to_string(),
    );
    find(registry, &wanted, platform).await.with_context(|| format!("cannot use {what} {reference}"))
}

/// Finds the digest of the manifest for `platform` among what goes by `digest`: itself, or an index.
pub async fn pin_digest(registry: &Registry, digest: &Digest, platform: &Platform) -> Result<Digest> {
    find(registry, &digest.to_string(), platform).await
}

/// Finds the digest of the manifest for `platform` that a tag or digest means in an OCI layout.
pub async fn pin_in_layout(registry: &Registry, wanted: &str, platform: &Platform) -> Result<Digest> {
    let Some(found) = registry.manifest(wanted).await? else {
        let tags = registry.tags().await?;
        let has =
            if tags.is_empty() { "no tags".to_owned() } else { format!("the tags {}", tags.join(", ")) };
        bail!("there is no such image in the layout, which has {has}\nhint: name a tag, or its digest");
    };
    chosen(&found, platform)
}

async fn find(registry: &Registry, wanted: &str, platform: &Platform) -> Result<Digest> {
    let found = registry.manifest(wanted).await?.with_context(|| {
        "the registry has no such image\nhint: check its name and tag, and that the credentials given may read it"
    })?;
    chosen(&found, platform)
}

fn chosen((descriptor, bytes): &(Descriptor, Vec<u8>), platform: &Platform) -> Result<Digest> {
    match is_index(&descriptor.media_type) {
        true => Ok(choose(&Index::parse(bytes)?, platform)?.digest),
        false => Ok(descriptor.digest),
    }
}

/// Whether a manifest of this type lists images for several platforms.
pub fn is_index(media_type: &str) -> bool {
    [media_type::INDEX, media_type::DOCKER_INDEX].contains(&media_type)
}

/// Finds the image for `platform` in an index, or the one for the next older variant of it.
pub fn choose<'a>(index: &'a Index, platform: &Platform) -> Result<&'a Descriptor> {
    let platforms =
        || index.manifests.iter().filter_map(|manifest| Some((manifest.platform.as_ref()?, manifest)));
    let distances =
        platforms().filter_map(|(offered, manifest)| Some((offered.distance(platform)?, manifest)));
    let nearest = distances.min_by_key(|(distance, _)| *distance).map(|(_, manifest)| manifest);
    nearest.with_context(|| {
        // What buildx attaches to an image stands in its index, too, as if it were for a platform.
        let offered = platforms().map(|(platform, _)| platform.to_string());
        let offered: Vec<String> = offered.filter(|name| name != "unknown/unknown").collect();
        format!("it is not made for {platform}, but for {}", offered.join(", "))
    })
}

/// Loads what must be known of the base with this digest: from the store, from `known`, else by pulling it.
pub async fn load(
    digest: Digest,
    known: &[Base],
    registry: &Registry,
    store: &Store,
    progress: &Progress,
) -> Result<Base> {
    if let Some(base) = store.record(RECORD, &digest).and_then(|record| serde_json::from_slice(&record).ok())
    {
        return Ok(base);
    }
    // What one repository says of a base counts for builds into that repository, not for all of this machine's.
    if let Some(base) = known.iter().find(|base| base.digest == digest) {
        return Ok(base.clone());
    }
    let base = pull(&digest, registry, store, progress).await?;
    store.set_record(RECORD, &digest, &serde_json::to_vec(&base)?)?;
    Ok(base)
}

async fn pull(digest: &Digest, registry: &Registry, store: &Store, progress: &Progress) -> Result<Base> {
    let image = pull_image(digest, registry, store, progress).await?;
    let (facts, skeleton, licences) = look_into(&image.layers, store).await?;
    Ok(Base { digest: *digest, image, facts, skeleton, licences })
}

/// The kind of the store's records of images.
const IMAGE_RECORD: &str = "image-1";

/// Finds out what an image is, without its layers: from the store, else from its registry.
pub async fn describe(
    digest: &Digest,
    registry: &Registry,
    store: &Store,
    progress: &Progress,
) -> Result<Image> {
    let known = store.record(IMAGE_RECORD, digest).and_then(|record| serde_json::from_slice(&record).ok());
    if let Some(image) = known {
        return Ok(image);
    }
    let manifest = manifest_of(digest, registry).await?;
    let task = progress.start(format!("look at {}@sha256:{}", registry.name(), digest.short()));
    registry.pull_blob(&manifest.config, store, &task).await?;
    let image = image_of(&manifest, registry, store)?;
    task.done(&format!("{} layers", image.layers.len()));
    store.set_record(IMAGE_RECORD, digest, &serde_json::to_vec(&image)?)?;
    Ok(image)
}

/// Pulls an image: its layers are in the store then.
pub async fn pull_image(
    digest: &Digest,
    registry: &Registry,
    store: &Store,
    progress: &Progress,
) -> Result<Image> {
    let manifest = manifest_of(digest, registry).await?;
    let task = progress.start(format!("pull {}@sha256:{}", registry.name(), digest.short()));
    let blobs: Vec<&Descriptor> = std::iter::once(&manifest.config).chain(&manifest.layers).collect();
    try_join_all(blobs.iter().map(|blob| registry.pull_blob(blob, store, &task))).await?;
    task.done(&format!("{} layers", manifest.layers.len()));
    image_of(&manifest, registry, store)
}

async fn manifest_of(digest: &Digest, registry: &Registry) -> Result<Manifest> {
    let name = registry.name();
    let (_, bytes) = registry
        .manifest(&digest.to_string())
        .await?
        .with_context(|| format!("cannot find image {name}@{digest}: it is gone from the registry"))?;
    Manifest::parse(&bytes).with_context(|| format!("cannot read image {name}@{digest}"))
}

fn image_of(manifest: &Manifest, registry: &Registry, store: &Store) -> Result<Image> {
    let bytes = store.read_blob(&manifest.config.digest, LARGEST_CONFIG)?;
    let config = parse_config(&bytes, registry)?;
    Ok(Image { layers: layers(manifest, &config)?, config })
}

/// Reads the configuration of an image of `registry`.
pub fn parse_config(bytes: &[u8], registry: &Registry) -> Result<Config> {
    let parsed = serde_json::from_slice(bytes).map_err(|error| anyhow!(redact::line(&error.to_string())));
    parsed.with_context(|| format!("cannot read the configuration of image {}", registry.name()))
}

fn layers(manifest: &Manifest, config: &Config) -> Result<Vec<Layer>> {
    let diff_ids = &config.rootfs.diff_ids;
    if diff_ids.len() != manifest.layers.len() {
        bail!(
            "cannot use the image: its manifest has {} layers, its configuration {}",
            manifest.layers.len(),
            diff_ids.len()
        );
    }
    let pairs = manifest.layers.iter().zip(diff_ids);
    Ok(pairs.map(|(descriptor, &diff_id)| Layer { descriptor: in_oci_terms(descriptor), diff_id }).collect())
}

/// Docker's name for a layer doesn't belong into the manifest that it comes to stand in.
fn in_oci_terms(layer: &Descriptor) -> Descriptor {
    let media_type = match layer.media_type.as_str() {
        media_type::DOCKER_LAYER_GZIP => media_type::LAYER_GZIP,
        other => other,
    };
    Descriptor { media_type: media_type.to_owned(), ..layer.clone() }
}

async fn look_into(layers: &[Layer], store: &Store) -> Result<(Facts, Skeleton, licences::Outcome)> {
    let (layers, store) = (layers.to_vec(), store.clone());
    tokio::task::spawn_blocking(move || {
        let copyrights = licences::Bounded::default();
        let ask = |entry: &Entry| match is_fact(entry) || copyrights.wants(entry) {
            true => Ask::Content,
            false => Ask::Nothing,
        };
        let view = View::of(&layers, &store, &ask)?;
        let facts = facts_of(&view)?;
        let licences = licences::of_view(&view, &facts.installed()?);
        Ok((facts, view.skeleton, licences))
    })
    .await?
}

/// A keyring, or an os-release, may be a link to another file that was seen.
fn facts_of(view: &View) -> Result<Facts> {
    let mut files = BTreeMap::new();
    for (path, seen) in view.seen.iter().filter(|(_, seen)| is_fact(&seen.entry)) {
        let file = match seen.entry.kind {
            Kind::File { .. } => Some(seen),
            Kind::Symlink { .. } => {
                let leads_to = view.skeleton.follow(path)?.path;
                view.seen.get(&leads_to).filter(|file| matches!(file.entry.kind, Kind::File { .. }))
            }
            Kind::Directory
            | Kind::Hardlink { .. }
            | Kind::CharDevice { .. }
            | Kind::BlockDevice { .. }
            | Kind::Fifo => None,
        };
        if let Some(file) = file {
            files.insert(String::from_utf8_lossy(path).into_owned(), file.content.clone());
        }
    }
    Ok(Facts { files })
}

fn is_fact(entry: &Entry) -> bool {
    let is_named = |path: &str| {
        FACT_FILES.contains(&path) || FACT_DIRECTORIES.iter().any(|directory| path.starts_with(directory))
    };
    std::str::from_utf8(&entry.path).is_ok_and(is_named)
}

impl Serialize for Facts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let texts = self.files.iter().map(|(path, content)| (path, BASE64.encode(content)));
        serializer.collect_map(texts)
    }
}

impl<'de> Deserialize<'de> for Facts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Facts, D::Error> {
        let texts = BTreeMap::<String, String>::deserialize(deserializer)?;
        let decoded = texts.into_iter().map(|(path, text)| Ok((path, BASE64.decode(text)?)));
        let files = decoded.collect::<Result<_, base64::DecodeError>>();
        Ok(Facts { files: files.map_err(serde::de::Error::custom)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_os_release_is_read_with_and_without_quotes() {
        let release = OsRelease::parse("ID=debian\nVERSION_ID=\"12\"\n# x\nVERSION_CODENAME='bookworm'\n");
        assert_eq!((&*release.id, &*release.version_id, &*release.codename), ("debian", "12", "bookworm"));
    }

    #[test]
    fn facts_survive_their_record() {
        let files = BTreeMap::from([("etc/apt/trusted.gpg".to_owned(), vec![0, 255, 1])]);
        let facts = Facts { files };
        let text = serde_json::to_string(&facts).unwrap();
        assert_eq!(serde_json::from_str::<Facts>(&text).unwrap(), facts);
    }

    #[test]
    fn a_platform_that_an_index_lacks_is_named_with_those_it_has() {
        let mut manifest = Descriptor::of(media_type::MANIFEST, b"{}");
        manifest.platform = Some("linux/s390x".parse().unwrap());
        let index = Index::new(vec![manifest]);
        let error = choose(&index, &"linux/amd64".parse().unwrap()).unwrap_err();
        assert_eq!(error.to_string(), "it is not made for linux/amd64, but for linux/s390x");
    }
}
