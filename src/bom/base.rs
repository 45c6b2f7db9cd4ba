//! The image that another stands on.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{AddedPackage, Document, File, FoundPackage, Git, Key, Location, Package, Source, Voucher};
use crate::digest::{Digest, Sha512};

/// The image that another stands on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaseImage {
    /// Its full name with its digest.
    pub canonical_name: String,
    /// The SHA-512 digest of its manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha512: Option<Sha512>,
    /// What its labels say of who answers for it, as [`ImageId::labels`](super::ImageId::labels).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The digest of its own account, which was taken over; without one its layers were read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<Digest>,
    /// `ID` of its os-release.
    pub os: String,
    /// `VERSION_ID` of its os-release.
    pub version: String,
    /// `VERSION_CODENAME` of its os-release.
    pub codename: String,
    /// Its packages, as its database has them, or its account.
    pub packages: Vec<BasePackage>,
    /// What they were built from, where that is recorded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<Source>,
    /// Its files that its account tells of one by one, and that are still there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<File>,
    /// The packages that those were taken from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub opened_packages: Vec<AddedPackage>,
}

/// A package of a base, and where it came from, as far as the base's account tells.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BasePackage {
    /// What is installed.
    #[serde(flatten)]
    pub package: Package,
    /// The .deb it came in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<Location>,
    /// The repository that lists it: URI and suite.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub repository: String,
    /// Fingerprints of the keys that signed the repository's Release file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signed_by: Vec<String>,
    /// What vouches for one that came as a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vouched_by: Option<Voucher>,
    /// Whether nothing shows which .deb it came in, though a command of the base's build installed it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unproven: bool,
    /// The repository and commit that it was made from, as declared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git: Option<Git>,
    /// Other sources that parts of it were built from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub built_using: Vec<Source>,
}

/// What is taken over of the account that a base image brings along.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TakenOver {
    /// The digest of the account's YAML form.
    pub account: Digest,
    /// Every package that is installed.
    pub packages: Vec<BasePackage>,
    /// What they were built from.
    pub sources: Vec<Source>,
    /// The files that were added one by one.
    pub files: Vec<File>,
    /// The packages that those were taken from.
    pub opened_packages: Vec<AddedPackage>,
    /// The keys that vouch for packages.
    pub keys: Vec<Key>,
}

/// What a root says that it is, in its os-release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperatingSystem {
    /// `ID`: `debian`.
    pub id: String,
    /// `VERSION_ID`: `12`; empty of one that isn't released yet.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// `VERSION_CODENAME`: `bookworm`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub codename: String,
}

impl BaseImage {
    /// Adds sources, each in the place of what is known of the same.
    pub fn add_sources(&mut self, sources: impl Iterator<Item = Source>) {
        let known = std::mem::take(&mut self.sources).into_iter();
        self.sources = each_once(known.chain(sources));
    }
}

impl TakenOver {
    /// Returns what is taken over of `document`, whose YAML form has the digest `account`.
    pub fn of(account: Digest, document: &Document) -> TakenOver {
        let (changes, base) = (&document.changeset, document.base_image.as_ref());
        let kept = document.kept_base_packages().cloned();
        let added = changes.packages.iter().map(BasePackage::from);
        let found = changes.found_packages.iter().map(BasePackage::from);
        let mut packages: Vec<BasePackage> = kept.chain(added).chain(found).collect();
        packages.sort_by_key(|base| base.package.key());
        let of_base = base.iter().flat_map(|base| &base.files);
        let files = of_base.chain(&changes.files).map(|file| (&file.path, file));
        let opened = base.iter().flat_map(|base| &base.opened_packages).chain(&changes.opened_packages);
        let opened: BTreeMap<Digest, &AddedPackage> =
            opened.map(|opened| (opened.location.digest, opened)).collect();
        TakenOver {
            account,
            sources: sources(document, &packages),
            packages,
            files: files.collect::<BTreeMap<_, _>>().into_values().cloned().collect(),
            opened_packages: opened.into_values().cloned().collect(),
            keys: document.keys.clone(),
        }
    }
}

/// Returns the sources of the packages that are still there, each once, by name and version.
fn sources(document: &Document, packages: &[BasePackage]) -> Vec<Source> {
    let of_base = document.base_image.iter().flat_map(|base| base.sources.iter().cloned());
    let added = document.changeset.packages.iter().filter(|added| !added.sources.is_empty());
    let of_added = added.map(|added| Source {
        source_package: added.package.source_package.clone(),
        source_version: added.package.source_version.clone(),
        sources: added.sources.clone(),
    });
    let wanted: BTreeSet<(&str, &str)> = packages.iter().map(|base| base.package.source()).collect();
    let sources = of_base.chain(of_added).filter(|source| wanted.contains(&source.key()));
    each_once(sources)
}

/// Of each source the last counts.
fn each_once(sources: impl Iterator<Item = Source>) -> Vec<Source> {
    let by_name =
        sources.map(|source| ((source.source_package.clone(), source.source_version.clone()), source));
    by_name.collect::<BTreeMap<_, _>>().into_values().collect()
}

impl From<Package> for BasePackage {
    fn from(package: Package) -> BasePackage {
        BasePackage { package, ..BasePackage::default() }
    }
}

impl From<&AddedPackage> for BasePackage {
    fn from(added: &AddedPackage) -> BasePackage {
        BasePackage {
            package: added.package.clone(),
            location: Some(added.location.clone()),
            repository: added.repository.clone(),
            signed_by: added.signed_by.clone(),
            vouched_by: added.vouched_by,
            unproven: false,
            git: added.git.clone(),
            built_using: added.built_using.clone(),
        }
    }
}

impl From<&FoundPackage> for BasePackage {
    fn from(found: &FoundPackage) -> BasePackage {
        BasePackage {
            location: found.location.clone(),
            unproven: found.unproven,
            ..BasePackage::from(found.package.clone())
        }
    }
}
