//! The image that another stands on.

use serde::{Deserialize, Serialize};

use super::{Package, Source};

/// The image that another stands on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaseImage {
    /// Its full name with its digest.
    pub canonical_name: String,
    /// `ID` of its os-release.
    pub os: String,
    /// `VERSION_ID` of its os-release.
    pub version: String,
    /// `VERSION_CODENAME` of its os-release.
    pub codename: String,
    /// Its packages, as its dpkg database has them.
    pub packages: Vec<Package>,
    /// What they were built from, where that is recorded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<Source>,
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
