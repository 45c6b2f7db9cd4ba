//! Where a registry is: an image name, or `oci:` and a directory.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::oci::{InvalidReference, Reference};

/// The tag that is meant where none is written.
const DEFAULT_TAG: &str = "latest";

/// Where a registry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// A repository of a remote registry.
    Remote(Reference),
    /// An OCI layout directory.
    Layout {
        /// The directory.
        directory: PathBuf,
        /// The tag of the image in it.
        tag: String,
    },
}

/// Why a text is no location.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLocation {
    /// It names no image.
    #[error(transparent)]
    Reference(#[from] InvalidReference),
    /// It names no layout directory.
    #[error("cannot read location `{0}`: expected oci:DIRECTORY or oci:DIRECTORY:TAG")]
    Layout(String),
}

impl Location {
    /// Returns its name for people: without tag and digest.
    pub fn name(&self) -> String {
        match self {
            Location::Remote(reference) => reference.name(),
            Location::Layout { directory, .. } => format!("oci:{}", directory.display()),
        }
    }

    /// Returns what is meant by it: the digest where one is written, else the tag.
    pub fn tag_or_digest(&self) -> String {
        match self {
            Location::Remote(Reference { digest: Some(digest), .. }) => digest.to_string(),
            Location::Remote(Reference { tag, .. }) => tag.clone().unwrap_or_else(|| DEFAULT_TAG.into()),
            Location::Layout { tag, .. } => tag.clone(),
        }
    }
}

impl FromStr for Location {
    type Err = InvalidLocation;

    fn from_str(text: &str) -> Result<Location, InvalidLocation> {
        let Some(rest) = text.strip_prefix("oci:") else {
            return Ok(Location::Remote(text.parse()?));
        };
        let (directory, tag) = match rest.rsplit_once(':') {
            Some((directory, tag)) if !tag.contains('/') => (directory, tag),
            _ => (rest, DEFAULT_TAG),
        };
        match directory.is_empty() || !is_tag(tag) {
            true => Err(InvalidLocation::Layout(text.chars().take(300).collect())),
            false => Ok(Location::Layout { directory: directory.into(), tag: tag.to_owned() }),
        }
    }
}

/// A layout's tags are as a registry's, so that they can be pushed there.
pub(super) fn is_tag(text: &str) -> bool {
    format!("registry.example/x:{text}")
        .parse::<Reference>()
        .is_ok_and(|read| read.tag.as_deref() == Some(text))
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Location::Remote(reference) => reference.fmt(f),
            Location::Layout { directory, tag } => write!(f, "oci:{}:{tag}", directory.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layout_is_a_directory_and_perhaps_a_tag() {
        for (given, full) in [
            ("oci:out/hello", "oci:out/hello:latest"),
            ("oci:out/hello:1.2", "oci:out/hello:1.2"),
            ("oci:/srv/a:b/hello", "oci:/srv/a:b/hello:latest"),
            ("oci:.", "oci:.:latest"),
            ("registry.example/app:1", "registry.example/app:1"),
            ("debian", "docker.io/library/debian"),
        ] {
            assert_eq!(given.parse::<Location>().unwrap().to_string(), full);
        }
    }

    #[test]
    fn what_is_meant_is_the_digest_else_the_tag() {
        let digest = crate::digest::Digest::of(b"x");
        for (given, meant) in [
            ("registry.example/app".to_owned(), "latest".to_owned()),
            ("registry.example/app:1".into(), "1".into()),
            (format!("registry.example/app:1@{digest}"), digest.to_string()),
            ("oci:out:2".into(), "2".into()),
        ] {
            assert_eq!(given.parse::<Location>().unwrap().tag_or_digest(), meant);
        }
    }

    #[test]
    fn what_is_no_location_is_refused() {
        for text in ["oci:", "oci::1", "oci:out:", "oci:out:-x", "oci:out:a@b", "App"] {
            assert!(text.parse::<Location>().is_err(), "{text}");
        }
    }
}
