//! What each path of a layer belongs to: a package, a file, a script's doing, a step.
//!
//! Kept while a layer is made, from what its maker knows; what was written is checked against it.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;

/// What a layer's paths belong to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerAccount {
    /// The layer, by the digest of its archive before compression.
    pub diff_id: Digest,
    /// Whether it is one of the base image's, whose account is its own.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_base: bool,
    /// Its paths, by what they belong to; in the order of the origins, each path in one group alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<PathGroup>,
}

/// Paths that belong to the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathGroup {
    /// What they belong to.
    #[serde(flatten)]
    pub origin: Origin,
    /// What the layer puts there: absolute paths, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<String>,
    /// What the layer takes away: absolute paths, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<String>,
}

/// What a path belongs to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "origin", rename_all = "lowercase")]
pub enum Origin {
    /// A package brings it, as dpkg's lists say.
    Package {
        /// Name and architecture, as `jq:amd64`.
        package: String,
    },
    /// A package's maintainer script made, changed or removed it (Debian policy 6).
    Generated {
        /// Name and architecture, as `jq:amd64`.
        package: String,
        /// `preinst`, `postinst`, `prerm`, `postrm` or `config`.
        script: String,
    },
    /// The books that dpkg and apt keep.
    Database,
    /// It stands among the account's files.
    File,
    /// A directory that was made, or is repeated, on the way to something else.
    Directory,
    /// Users were made.
    User,
    /// A link that the definition asks for.
    Symlink,
    /// What the definition takes away.
    Removal,
    /// An instruction made, changed or removed it.
    Instruction {
        /// Its place among the account's instructions, from 0; in what a vertex changes, among those of that.
        index: usize,
    },
    /// The builder itself puts it into every image of its kind.
    Builder,
    /// Nothing explains it.
    Unaccounted,
}

impl LayerAccount {
    /// Returns the account of a layer that a base image brought along.
    pub fn of_base(diff_id: Digest) -> LayerAccount {
        LayerAccount { diff_id, is_base: true, groups: Vec::new() }
    }

    /// Returns the same of a layer whose instructions come after others.
    pub fn after_instructions(mut self, n_before: usize) -> LayerAccount {
        for group in &mut self.groups {
            if let Origin::Instruction { index } = &mut group.origin {
                *index += n_before;
            }
        }
        self
    }

    /// Returns the paths that the layer puts in place.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.groups.iter().flat_map(|group| &group.paths).map(String::as_str)
    }

    /// Returns the paths that the layer takes away.
    pub fn removed(&self) -> impl Iterator<Item = &str> {
        self.groups.iter().flat_map(|group| &group.removed).map(String::as_str)
    }

    /// Returns the paths, put in place or taken away, that nothing explains.
    pub fn unaccounted(&self) -> impl Iterator<Item = &str> {
        let groups = self.groups.iter().filter(|group| group.origin == Origin::Unaccounted);
        groups.flat_map(|group| group.paths.iter().chain(&group.removed)).map(String::as_str)
    }
}
