//! What a Dockerfile's part in an image is: the file itself, what each instruction did, and the packages that its
//! commands installed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Location, Package};
use crate::digest::Digest;
use crate::redact;

/// The Dockerfile that an image was built from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dockerfile {
    /// The digest of its text.
    pub digest: Option<Digest>,
    /// The stage that was built, by name or number; the last one without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Values that its arguments were given; of those that seem to be secret, only `***`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub args: BTreeMap<String, String>,
    /// The images that its stages are built upon or take files from, with their digests.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<String>,
    /// What names stood for that were given to the build.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub contexts: Vec<NamedContext>,
}

/// What a name stood for, instead of a stage or an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedContext {
    /// The name, in its short form.
    pub name: String,
    /// `directory`, `docker-image`, `oci-layout` or `scratch`.
    pub kind: String,
    /// The digest of the image's manifest, where it is one that was used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
}

/// What one instruction did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instruction {
    /// Its text.
    pub instruction: String,
    /// The layer that holds every path which it made, changed or removed, by its diff ID; without one it changed none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer: Option<Digest>,
    /// Whether it could reach the network: what it fetched there stands in no lock.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub network: bool,
    /// The git repositories that it added files of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub repositories: Vec<Repository>,
}

/// A commit of a git repository that an instruction added files of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repository {
    /// Its address, without credentials.
    pub uri: String,
    /// The ref as the Dockerfile writes it, or `HEAD`.
    #[serde(rename = "ref")]
    pub reference: String,
    /// The commit that it stood for.
    pub commit: String,
    /// The directory whose content was added; the whole without.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub subdir: String,
}

/// A package that a command installed, as the dpkg database says after it and didn't before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundPackage {
    /// What is installed.
    #[serde(flatten)]
    pub package: Package,
    /// Its .deb, as the one index that the command fetched and left behind lists it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<Location>,
    /// Whether nothing shows which .deb it came in.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unproven: bool,
}

impl Dockerfile {
    /// Returns the values of arguments as they may be told.
    pub fn told(args: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        let told = |(name, value): (&String, &String)| {
            let value = if seems_secret(name) { "***".to_owned() } else { redact::credentials(value) };
            (name.clone(), value)
        };
        args.iter().map(told).collect()
    }
}

/// A build argument is no place for a secret, and yet people put some there. A proxy's address may hold a password.
fn seems_secret(name: &str) -> bool {
    const WORDS: [&str; 9] =
        ["password", "passwd", "passphrase", "secret", "token", "credential", "auth", "key", "proxy"];
    let name = name.to_lowercase();
    WORDS.iter().any(|word| name.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_that_seem_secret_are_told_by_name_alone() {
        let args = [("VERSION", "1.2"), ("NPM_TOKEN", "t0ken"), ("http_proxy", "http://u:p@proxy.example")];
        let args = args.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let told = Dockerfile::told(&BTreeMap::from(args));
        assert_eq!(told.values().collect::<Vec<_>>(), ["***", "1.2", "***"]);
    }
}
