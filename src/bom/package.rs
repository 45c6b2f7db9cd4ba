//! Packages, and what vouches for them: where each came from, and what it was built from.

use serde::{Deserialize, Serialize};

use super::Git;
use crate::debian::{self, RelationField};
use crate::digest::{Digest, Sha512};

/// A package by what there is one of in a root: its name and architecture.
pub type PackageKey = (String, String);

/// An installed package.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The source package it was built from.
    pub source_package: String,
    /// That one's version.
    pub source_version: String,
    /// Its architecture, or `all`.
    pub architecture: String,
    /// Whose package it is.
    #[serde(rename = "type", default, skip_serializing_if = "PackageKind::is_deb")]
    pub kind: PackageKind,
    /// Who maintains it, as it says itself.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub maintainer: String,
    /// Where its project lives, as it says itself.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub homepage: String,
    /// What it needs, as its control file says: Pre-Depends and Depends, joined (Debian policy 7.1).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub depends: String,
    /// The names that it has besides its own (Debian policy 7.5).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub provides: String,
    /// Under which terms it may be used, where it says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub licence: Option<Licence>,
}

/// Which package manager a package is one of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PackageKind {
    /// dpkg's.
    #[default]
    Deb,
    /// Alpine's.
    Apk,
    /// RPM's.
    Rpm,
}

/// Under which terms a package may be used, and who says so.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Licence {
    /// An SPDX licence expression (SPDX 2.3, annex D); `LicenseRef-…` stands for terms that have no identifier there,
    /// whose text the account holds.
    pub expression: String,
    /// Who holds the copyright, in their own words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub holders: Vec<String>,
    /// The file that says so.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub declared_by: String,
}

impl Licence {
    /// Returns the identifiers in the expression, and the `LicenseRef-…`, with repetitions.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let words = self.expression.split([' ', '(', ')']);
        words.filter(|word| !matches!(*word, "" | "AND" | "OR" | "WITH"))
    }
}

/// A package that this build added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddedPackage {
    /// What was installed.
    #[serde(flatten)]
    pub package: Package,
    /// The .deb it came in.
    pub location: Location,
    /// The repository that lists it: URI and suite; empty of one that came as a file.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub repository: String,
    /// Fingerprints of the keys that signed the repository's Release file.
    pub signed_by: Vec<String>,
    /// Whether the Essential packages, which it may use without saying so, are no part of the image; its files are there,
    /// and what its scripts made beside them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub without_essential: bool,
    /// What vouches for one that came as a file, for no archive does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vouched_by: Option<Voucher>,
    /// The repository and commit that it was made from, as declared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git: Option<Git>,
    /// Its source files, where they are recorded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<SourceFile>,
    /// Other sources that parts of it were built from, where they are recorded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub built_using: Vec<Source>,
}

/// What vouches for a package that no archive signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Voucher {
    /// Its digest stands in the definition.
    Definition,
    /// Nothing but that it lay in the build's context.
    Context,
}

/// A source package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Its name.
    pub source_package: String,
    /// Its version.
    pub source_version: String,
    /// Its files; none where they can't be had.
    pub sources: Vec<SourceFile>,
}

/// Where a .deb lies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Location {
    /// Its address in the archive.
    pub uri: String,
    /// The digest of its bytes.
    pub digest: Digest,
    /// Its file name.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
    /// The SHA-512 digest of its bytes, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha512: Option<Sha512>,
}

/// A file of a source package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceFile {
    /// Its address in the archive.
    pub uri: String,
    /// The digest of its bytes.
    pub digest: Digest,
    /// Its file name.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
}

/// A key that vouches for a repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// The primary key's fingerprint, in upper-case hexadecimal digits.
    pub fingerprint: String,
    /// Whose it is, in its own words.
    pub identities: Vec<String>,
    /// Where it was found: a key block's name, a keyring's path.
    pub from: String,
}

impl Package {
    /// Returns what there is one of in a root.
    pub fn key(&self) -> PackageKey {
        (self.name.clone(), self.architecture.clone())
    }

    /// Returns name and version of its source package.
    pub(super) fn source(&self) -> (&str, &str) {
        (&self.source_package, &self.source_version)
    }
}

impl Source {
    /// Returns name and version.
    pub(super) fn key(&self) -> (&str, &str) {
        (&self.source_package, &self.source_version)
    }
}

impl From<&debian::Package> for Package {
    fn from(package: &debian::Package) -> Package {
        let text = |text: &Option<Box<str>>| text.as_deref().unwrap_or_default().to_owned();
        let needs =
            [RelationField::PreDepends, RelationField::Depends].map(|field| package.relation_text(field));
        Package {
            name: package.name.to_string(),
            version: package.version.to_string(),
            source_package: package.source_name().to_owned(),
            source_version: package.source_version().to_string(),
            architecture: package.architecture.to_string(),
            kind: PackageKind::Deb,
            maintainer: text(&package.maintainer),
            homepage: text(&package.homepage),
            depends: on_one_line(
                &needs
                    .map(str::trim)
                    .into_iter()
                    .filter(|text| !text.is_empty())
                    .collect::<Vec<_>>()
                    .join(", "),
            ),
            provides: on_one_line(package.relation_text(RelationField::Provides)),
            licence: None,
        }
    }
}

/// A relation field may be folded (Debian policy 5.1).
fn on_one_line(field: &str) -> String {
    field.split_whitespace().collect::<Vec<_>>().join(" ")
}

impl PackageKind {
    fn is_deb(&self) -> bool {
        *self == PackageKind::Deb
    }
}
