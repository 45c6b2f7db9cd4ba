//! Files that a build added one by one, where each came from, and users that it made.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;

/// A file that this build added by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// Its path in the image.
    pub path: String,
    /// The digest of its bytes.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// Its permissions, in octal digits.
    pub mode: String,
    /// Where it came from.
    pub source: FileSource,
}

/// Something that a package's script generated and no image may hold: a private key, a secret, a machine's identity.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Withheld {
    /// Its path in the image, where it no longer is.
    pub path: String,
    /// What it was.
    pub what: String,
}

/// A user that this build made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Its name.
    pub name: String,
    /// Its number.
    pub uid: u32,
    /// Its primary group's number.
    pub gid: u32,
    /// Its home directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub home: Option<String>,
}

/// Where a file came from: what it was taken out of, and what that was made from. Mostly one of these is told, and there
/// are many files: what isn't told takes little room.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileSource {
    /// The repository and commit it was made from, as declared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git: Option<Box<Git>>,
    /// The address it was fetched from, as declared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<Box<Url>>,
    /// The tarball it was taken out of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tarball: Option<Box<Tarball>>,
    /// The package it was taken out of, which isn't installed for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package: Option<Box<PackageFile>>,
    /// Its path in the build's context.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<Box<ContextFile>>,
    /// The image that it was taken out of, or the stage of the Dockerfile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<Box<ImageFile>>,
    /// Whether its text stands in the Dockerfile.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dockerfile: bool,
    /// The step that it was taken out of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<Box<StepFile>>,
}

/// A git commit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Git {
    /// The repository.
    pub repository_uri: String,
    /// The commit; as it was declared, where it isn't verified.
    #[serde(rename = "ref")]
    pub reference: String,
    /// Whether that was seen: a checkout of that commit holds what was used, or its server handed it out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub verified: bool,
    /// Why it isn't verified, where there was a checkout.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub unverified_because: String,
}

/// An address with the digest of what lies there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Url {
    /// The address.
    pub uri: String,
    /// The digest of its bytes.
    pub digest: Digest,
}

/// A member of a tarball.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tarball {
    /// The tarball's path in the context.
    pub name: String,
    /// The digest of the tarball.
    pub digest: Digest,
    /// The member's path in the tarball.
    pub member: String,
}

/// A file of a package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackageFile {
    /// The package's name; who vouches for it stands under `opened_packages`.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Where its .deb lies.
    pub uri: String,
    /// The digest of the .deb.
    pub digest: Digest,
    /// The file's path in the package.
    pub member: String,
}

/// A file of the build's context.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContextFile {
    /// Its path in the context.
    pub path: String,
    /// The context's name, where it isn't the build's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whether nobody said which commit it belongs to.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unversioned: bool,
    /// Why the checkout that it lay in didn't tell, either.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub unversioned_because: String,
}

/// A file of another image, or of a stage of the Dockerfile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageFile {
    /// The image's name with its digest, or the stage's.
    pub name: String,
    /// The file's path in it.
    pub path: String,
}

/// A file that a step of the definition made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepFile {
    /// How the step is built.
    #[serde(flatten)]
    pub step: Step,
    /// The file's path in it.
    pub path: String,
}

/// A stage of a Dockerfile, as a definition's step names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The step's name.
    pub name: String,
    /// The Dockerfile.
    pub dockerfile: DigestedPath,
    /// The stage: its name, or its number where it has none.
    pub target: String,
    /// The arguments that it was given; of those that seem to be secret, only `***`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub args: BTreeMap<String, String>,
    /// The images that its stages are built upon or take files from: names with digests, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<String>,
    /// What its stages read of the context: its directory, and one digest over all of that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<DigestedPath>,
}

/// A path in the build's context, and the digest of what is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DigestedPath {
    /// The path.
    pub path: String,
    /// The digest.
    pub digest: Digest,
}
