//! What a `policy` block says: which images are allowed. What it doesn't say is allowed.
//!
//! How an image is judged by it isn't known here. See `docs/policy.md`.

use std::ops::Range;

use super::{Glob, SourceText, Spanned};
use crate::debian::relation::Constraint;

/// `policy { … }`, of a definition or of whoever owns the pipeline. A list that isn't there allows, or denies, nothing
/// in particular.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The text that says it, so that a violation can name the line.
    pub source: SourceText,
    /// The images that something of this one may be from.
    pub allow_images: Option<Spanned<Vec<Glob>>>,
    /// The repositories that packages may be from.
    pub allow_repositories: Option<Spanned<Vec<RepositoryPattern>>>,
    /// Fingerprints of the keys that may vouch for repositories: 40 upper-case hexadecimal digits each.
    pub allow_keys: Option<Spanned<Vec<String>>>,
    /// The paths at which a private key may lie.
    pub allow_private_keys: Option<Spanned<Vec<Glob>>>,
    /// The paths of which nobody need know where they are from.
    pub allow_unaccounted: Option<Spanned<Vec<Glob>>>,
    /// The packages that may not be there.
    pub deny_packages: Option<Spanned<Vec<PackagePattern>>>,
    /// The licences, as SPDX identifiers, under which nothing may be.
    pub deny_licences: Option<Spanned<Vec<Glob>>>,
    /// Whether no command may reach the network.
    pub deny_network: Spanned<bool>,
    /// Whether no package may be there of which nothing shows which .deb it came in.
    pub deny_unproven: Spanned<bool>,
    /// Whether images are to be named by their digests.
    pub require_digests: Spanned<bool>,
    /// Whether the sources of added packages are to be recorded.
    pub require_sources: Spanned<bool>,
    /// Whether a commit that is named as an origin is to be verified.
    pub require_verified_vcs: Spanned<bool>,
    /// Whether the image is to run as somebody else than root.
    pub require_non_root: Spanned<bool>,
    /// Whether the licence of each package is to be known.
    pub require_licences: Spanned<bool>,
}

/// A repository's address, and which of its suites.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepositoryPattern {
    /// Its URI.
    pub uri: Glob,
    /// Its suites; all without.
    pub suites: Vec<Glob>,
}

/// Packages by name, and perhaps by version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackagePattern {
    /// As it is written.
    pub text: String,
    /// The name.
    pub name: Glob,
    /// Which of its versions; all without.
    pub constraint: Option<Constraint>,
}

impl Policy {
    /// Returns where something of it stands, as `estaleiro.hcl:12`.
    pub fn place(&self, span: &Range<usize>) -> String {
        format!("{}:{}", self.source.file_name(), self.source.line_of(span.start))
    }
}

impl RepositoryPattern {
    /// Returns whether a suite of a repository is meant.
    pub fn matches(&self, uri: &str, suite: &str) -> bool {
        let is_suite = self.suites.is_empty() || self.suites.iter().any(|pattern| pattern.matches(suite));
        self.uri.matches(uri.trim_end_matches('/')) && is_suite
    }
}

impl PackagePattern {
    /// Returns whether a version of a package is meant. One that is no version is meant by each relation.
    pub fn matches(&self, name: &str, version: &str) -> bool {
        let is_version = self
            .constraint
            .as_ref()
            .is_none_or(|constraint| version.parse().map_or(true, |version| constraint.admits(&version)));
        self.name.matches(name) && is_version
    }
}
