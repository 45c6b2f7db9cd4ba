//! Packages that are found inside files: what programs, archives and package managers' notes say they are made of.
//!
//! Nothing here touches the disk: bytes come in, [`Component`]s go out. What an operating system's package manager
//! installed is told elsewhere; a file of such a package may hold components all the same.

use serde::{Deserialize, Serialize};

/// A package that was found inside a file of the image.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Component {
    /// The file of the image that it was found in: absolute.
    pub path: String,
    /// The members of that file that lead to it, outermost first: of a jar in a war, the jar.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub within: Vec<String>,
    /// Which world it is from.
    pub kind: ComponentKind,
    /// Its name, as that world writes it.
    pub name: String,
    /// Its version; empty where it doesn't say.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// Its package URL (<https://github.com/package-url/purl-spec>).
    pub purl: String,
    /// The licence as it declares it, which need not be an SPDX expression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub licence: Option<String>,
    /// Whether it is what the file itself is, and not something that was built into it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_main: bool,
}

/// Where a component's name means something; named as in package URLs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ComponentKind {
    /// Go modules, from the build information of programs.
    Golang,
    /// Rust crates, from the lists that cargo-auditable puts into programs.
    Cargo,
    /// Python distributions.
    Pypi,
    /// JavaScript packages.
    Npm,
    /// Java archives.
    Maven,
    /// Ruby gems.
    Gem,
    /// PHP packages.
    Composer,
    /// .NET packages.
    Nuget,
    /// R packages.
    Cran,
    /// Lua rocks.
    Luarocks,
    /// What has no world of its own.
    Generic,
}

/// A file that seems to hold components which can't be told.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Incomplete {
    /// The file of the image: absolute; `!` and a member's name may follow.
    pub path: String,
    /// Why they can't be told.
    pub why: String,
}
