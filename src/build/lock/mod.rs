//! The lock: every floating name of a definition, pinned to a digest.
//!
//! It is the only value in which a build's decisions stand; with the same lock the same builder
//! makes the same image. [`resolve`](resolve::resolve) makes one; building never writes one.

mod ahead;
pub mod answer;
pub mod archive;
pub mod check;
pub mod debs;
pub mod diff;
pub mod keep;
pub mod logins;
pub mod places;
pub mod request;
pub mod resolve;
pub mod seen;
mod selection;
pub mod shelf;
pub mod sources;
pub mod trust;
pub mod wish;

pub use request::LockRequest;

use serde::{Deserialize, Serialize};

use super::definition::{Deb, DebOrigin};
use crate::bom;
use crate::digest::Digest;
use crate::oci::{Platform, canonical_json};
use crate::registry::Artifact;

/// The media type, and artifact type, of a lock.
pub const MEDIA_TYPE: &str = "application/vnd.estaleiro.lock.v1+json";

/// The number of this format.
const FORMAT: u32 = 1;

/// Every floating name of a definition, pinned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    /// The number of the format.
    pub format: u32,
    /// Name and version of the builder that made it.
    pub builder: String,
    /// The latest time that may stand in the image, in seconds since 1970.
    pub epoch: i64,
    /// What is pinned, for each platform.
    pub platforms: Vec<PlatformLock>,
}

/// What is pinned for one platform.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlatformLock {
    /// Whom it is for.
    #[serde(with = "platform_text")]
    pub platform: Platform,
    /// What the definition asks for.
    pub request: LockRequest,
    /// The base image; absent on scratch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<LockedBase>,
    /// The releases that list the packages.
    pub suites: Vec<LockedSuite>,
    /// The keys that vouch for those.
    pub keys: Vec<bom::Key>,
    /// The packages to install, in their order.
    pub packages: Vec<LockedPackage>,
    /// What the packages' scripts run beside and is no part of the image, in its order: with `essential = false`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub beside: Vec<LockedPackage>,
    /// The packages that files are taken from and that aren't among those, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub taken: Vec<LockedPackage>,
    /// The packages of the base that go, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<String>,
    /// The images that a Dockerfile's stages are built upon, or take files from, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<LockedImage>,
    /// What else is fetched from afar.
    pub files: Vec<LockedFile>,
    /// The git repositories that a Dockerfile adds, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub repositories: Vec<LockedRepository>,
}

/// An image beside the base, pinned.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedImage {
    /// Its full name, with tag or digest as they are written.
    pub name: String,
    /// Whom it is for.
    #[serde(with = "platform_text")]
    pub platform: Platform,
    /// The digest of its manifest for that platform.
    pub digest: Digest,
}

/// A base image, pinned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedBase {
    /// Its name as the definition writes it.
    pub name: String,
    /// The digest of its manifest for the platform.
    pub digest: Digest,
    /// The digest of its own account, where that is taken over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<Digest>,
    /// The source packages it was built from, where they are recorded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<LockedSource>,
}

/// A package, pinned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedPackage {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its architecture, or `all`.
    pub architecture: String,
    /// The digest of the .deb.
    pub sha256: Digest,
    /// The size of the .deb in bytes.
    pub size: u64,
    /// Where the .deb lies, in the repository as the definition or the base writes it.
    pub uri: String,
    /// The repository: URI and suite; empty of one that came as a file.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub repository: String,
    /// Fingerprints of the keys that vouch for it.
    pub signed_by: Vec<String>,
    /// The block that brings it as a file, where it comes from no repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deb: Option<LockedDeb>,
    /// The source package it was built from.
    pub source: LockedSource,
    /// Others that parts of it were built from (`Built-Using` and its kin).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub built_using: Vec<LockedSource>,
}

/// A `deb` block, which brings a package as a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LockedDeb {
    /// By its path in the context.
    Context(String),
    /// By its label: it is fetched from an address.
    Url(String),
}

impl LockedDeb {
    /// Returns what a lock calls a block.
    pub fn of(deb: &Deb) -> LockedDeb {
        match &deb.origin {
            DebOrigin::Context(path) => LockedDeb::Context(path.value.clone()),
            DebOrigin::Url(_) => LockedDeb::Url(deb.name.value.clone()),
        }
    }

    /// Returns the path or label.
    pub fn label(&self) -> &str {
        match self {
            LockedDeb::Context(label) | LockedDeb::Url(label) => label,
        }
    }
}

/// A source package.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedSource {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its files, where they are recorded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<LockedSourceFile>,
}

/// A file of a source package: the `.dsc`, or one that it names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedSourceFile {
    /// Its file name.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
    /// The digest of its bytes.
    pub sha256: Digest,
    /// Where it lies, in the repository as the definition or the base writes it.
    pub uri: String,
}

/// A suite's Release file, as it was when the lock was made. What varies from day to day stands here and nowhere else.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedSuite {
    /// The repository's URI.
    pub uri: String,
    /// The suite as asked for.
    pub suite: String,
    /// The digest of its InRelease, or of its Release where that is signed apart.
    pub release: Digest,
    /// Its `Date`.
    pub date: String,
    /// Fingerprints of the keys that signed it.
    pub signed_by: Vec<String>,
}

/// A file from afar, pinned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedFile {
    /// Where it lies.
    pub uri: String,
    /// The digest of its bytes.
    pub digest: Digest,
}

/// A commit of a git repository, pinned.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedRepository {
    /// Its address, without credentials.
    pub uri: String,
    /// The ref as it is written; its default branch without.
    #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// The full name of that ref; of a commit, that.
    pub name: String,
    /// The commit.
    pub commit: String,
    /// The tag object that leads to it, where the ref is an annotated tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
}

impl PlatformLock {
    /// Returns all packages that something of the image is from: those to install, then those that files are taken from.
    pub fn all_packages(&self) -> impl Iterator<Item = &LockedPackage> {
        self.packages.iter().chain(&self.taken)
    }

    /// Returns all packages that are fetched: also those that scripts run beside.
    pub fn fetched(&self) -> impl Iterator<Item = &LockedPackage> {
        self.all_packages().chain(&self.beside)
    }
}

/// Why bytes are no lock.
#[derive(Debug, thiserror::Error)]
pub enum InvalidLock {
    /// They don't have its form.
    #[error("cannot read lock: {0}\nhint: write it anew with `estaleiro lock`")]
    Malformed(#[from] serde_json::Error),
    /// It is of another format.
    #[error(
        "cannot read lock: it has format {0}, this builder knows format {FORMAT}\nhint: write it anew with `estaleiro lock`"
    )]
    Format(u32),
    /// It does not say what is asked.
    #[error("cannot use lock: it holds nothing for {0}\nhint: write it anew with `estaleiro lock`")]
    Platform(Platform),
    /// It is of another definition.
    #[error("cannot use lock: {}\nhint: write it anew with `estaleiro lock`", listed(.0))]
    Unfit(Vec<String>),
}

impl Lock {
    /// Returns the lock of these platforms.
    pub fn new(epoch: i64, platforms: Vec<PlatformLock>) -> Lock {
        Lock { format: FORMAT, builder: super::builder(), epoch, platforms }
    }

    /// Reads a lock.
    pub fn parse(bytes: &[u8]) -> Result<Lock, InvalidLock> {
        #[derive(Deserialize)]
        struct Header {
            format: u32,
        }
        let header: Header = serde_json::from_slice(bytes)?;
        match header.format {
            FORMAT => Ok(serde_json::from_slice(bytes)?),
            other => Err(InvalidLock::Format(other)),
        }
    }

    /// Returns the text that is kept beside the definition, readable in a review.
    pub fn to_json(&self) -> Vec<u8> {
        // Unlike a `Value`, whose keys may come sorted, it keeps the order in which the types tell their fields.
        let mut text = serde_json::to_vec_pretty(self).expect("a lock has a JSON form");
        text.push(b'\n');
        text
    }

    /// Returns the lock as it is attached to an image.
    pub fn artifact(&self) -> Artifact {
        Artifact::new(MEDIA_TYPE, self.to_json())
    }

    /// Returns the digest of all that decides the image: the lock without builder, suites and mirrors.
    pub fn content_digest(&self) -> Digest {
        let mut lock = self.clone();
        lock.builder.clear();
        for platform in &mut lock.platforms {
            platform.suites.clear();
        }
        Digest::of(canonical_json(&lock))
    }

    /// Returns what is pinned for `platform`.
    pub fn platform(&self, platform: &Platform) -> Result<&PlatformLock, InvalidLock> {
        let found = self.platforms.iter().find(|locked| locked.platform == *platform);
        found.ok_or_else(|| InvalidLock::Platform(platform.clone()))
    }
}

/// Returns what is wrong in a sentence, or in a list where it is several things.
fn listed(differences: &[String]) -> String {
    match differences {
        [one] => one.clone(),
        several => format!("it is of another definition\n- {}", several.join("\n- ")),
    }
}

/// A platform is one text in a lock: `linux/amd64`.
mod platform_text {
    use super::{Deserialize, Platform};
    use serde::{Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(platform: &Platform, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(platform)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Platform, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock() -> Lock {
        let suite = LockedSuite {
            uri: "https://archive.example".into(),
            suite: "stable".into(),
            release: Digest::of("monday"),
            date: "Mon".into(),
            signed_by: vec![],
        };
        let platform = PlatformLock {
            platform: Platform::host(),
            request: LockRequest::default(),
            base: None,
            suites: vec![suite],
            keys: vec![],
            packages: vec![],
            beside: vec![],
            remove: vec![],
            taken: vec![],
            images: vec![],
            files: vec![],
            repositories: vec![],
        };
        Lock::new(7, vec![platform])
    }

    #[test]
    fn a_lock_is_read_as_it_was_written() {
        assert_eq!(Lock::parse(&lock().to_json()).unwrap(), lock());
    }

    #[test]
    fn a_new_release_file_with_the_same_packages_changes_nothing() {
        let mut tuesday = lock();
        tuesday.platforms[0].suites[0].release = Digest::of("tuesday");
        assert_eq!(tuesday.content_digest(), lock().content_digest());
        tuesday.epoch = 8;
        assert_ne!(tuesday.content_digest(), lock().content_digest());
    }

    #[test]
    fn a_lock_of_another_format_is_refused_as_such() {
        let error = Lock::parse(br#"{"format": 9, "unheard": 1}"#).unwrap_err();
        assert!(error.to_string().contains("it has format 9"), "{error}");
    }
}
