//! The name of an image: registry, repository, tag, digest.

use std::fmt;
use std::str::FromStr;

use crate::digest::Digest;

/// The registry that a name without one means.
pub const DEFAULT_REGISTRY: &str = "docker.io";

/// Its old name, which docker understands to this day.
const OLD_DEFAULT_REGISTRY: &str = "index.docker.io";

/// The name of an image, as `registry/repository:tag@digest`.
///
/// Names without a registry are Docker Hub's, as everywhere: `debian` is `docker.io/library/debian`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    /// Host and port.
    pub registry: String,
    /// The path below the host.
    pub repository: String,
    /// The tag, where one is written.
    pub tag: Option<String>,
    /// The digest, where one is written.
    pub digest: Option<Digest>,
}

/// Returns the registry that a text means, as [`Reference::registry`] has it; none if it means none.
///
/// Docker's configuration and other programs write them as URLs too; Docker Hub has several names.
pub fn registry_of(text: &str) -> Option<String> {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).unwrap_or(text);
    let host = host.split('/').next().unwrap_or_default().to_ascii_lowercase();
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']');
    match host.as_str() {
        _ if !host.chars().all(is_name)
            || !host.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '[') =>
        {
            None
        }
        OLD_DEFAULT_REGISTRY | "registry-1.docker.io" => Some(DEFAULT_REGISTRY.into()),
        _ => Some(host),
    }
}

/// Why a text names no image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot read image name `{name}`: {reason}")]
pub struct InvalidReference {
    name: String,
    reason: String,
}

impl Reference {
    /// Returns registry and repository, without tag and digest.
    pub fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// Whether it is Docker Hub's.
    pub fn is_of_docker_hub(&self) -> bool {
        self.registry == DEFAULT_REGISTRY
    }

    /// Returns its short name, as people write it: without Docker Hub's name, and without `latest`.
    pub fn familiar(&self) -> String {
        let is_latest = self.digest.is_none() && self.tag.as_deref() == Some("latest");
        let tag = self.tag.clone().filter(|_| !is_latest);
        let full = Reference { tag, ..self.clone() }.to_string();
        let of_hub = full.strip_prefix(DEFAULT_REGISTRY).and_then(|rest| rest.strip_prefix('/'));
        let library = of_hub.and_then(|path| path.strip_prefix("library/"));
        // A path of more names is no official image's.
        let short = library.filter(|_| self.repository.matches('/').count() == 1).or(of_hub);
        short.unwrap_or(&full).to_owned()
    }

    /// Returns what goes by the same name at another registry, as at a mirror of its own.
    pub fn at(&self, registry: &str) -> Reference {
        Reference { registry: registry.to_owned(), ..self.clone() }
    }

    /// Returns the same repository with another tag and no digest.
    pub fn with_tag(&self, tag: impl Into<String>) -> Reference {
        Reference { tag: Some(tag.into()), digest: None, ..self.clone() }
    }

    /// Returns the same repository with a digest, keeping the tag.
    pub fn with_digest(&self, digest: Digest) -> Reference {
        Reference { digest: Some(digest), ..self.clone() }
    }
}

impl FromStr for Reference {
    type Err = InvalidReference;

    fn from_str(text: &str) -> Result<Reference, InvalidReference> {
        parse(text).map_err(|reason| InvalidReference { name: text.chars().take(300).collect(), reason })
    }
}

fn parse(text: &str) -> Result<Reference, String> {
    let (rest, digest) = match text.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest.parse::<Digest>().map_err(|e| e.to_string())?)),
        None => (text, None),
    };
    let (rest, tag) = match rest.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(checked_tag(tag)?)),
        _ => (rest, None),
    };
    let (registry, repository) = split_registry(rest);
    check_repository(&repository)?;
    Ok(Reference { registry, repository, tag, digest })
}

fn checked_tag(tag: &str) -> Result<String, String> {
    let is_good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    let starts_well = tag.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
    match starts_well && tag.len() <= 128 && tag.chars().all(is_good) {
        true => Ok(tag.to_owned()),
        false => {
            Err("a tag has up to 128 letters, digits, `_`, `.` and `-`, and doesn't begin with `.` or `-`"
                .into())
        }
    }
}

/// The first part is a host when it looks like one: it has a dot, a port, or is `localhost`.
fn split_registry(name: &str) -> (String, String) {
    match name.split_once('/') {
        Some((host, path)) if looks_like_a_host(host) => {
            let host = if host == OLD_DEFAULT_REGISTRY { DEFAULT_REGISTRY } else { host };
            let library = if host == DEFAULT_REGISTRY && !path.contains('/') { "library/" } else { "" };
            (host.to_owned(), format!("{library}{path}"))
        }
        Some(_) => (DEFAULT_REGISTRY.into(), name.to_owned()),
        None => (DEFAULT_REGISTRY.into(), format!("library/{name}")),
    }
}

fn looks_like_a_host(part: &str) -> bool {
    part == "localhost"
        || part.contains(['.', ':']) && part.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '[')
}

fn check_repository(repository: &str) -> Result<(), String> {
    let is_good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '.' | '-');
    let is_good_part = |part: &str| {
        part.chars().all(is_good)
            && part.starts_with(|c: char| c.is_ascii_alphanumeric())
            && part.ends_with(|c: char| c.is_ascii_alphanumeric())
    };
    match repository.len() <= 255 && repository.split('/').all(is_good_part) {
        true => Ok(()),
        false => Err(
            "a repository is made of lower-case letters, digits, `.`, `_`, `-`, and `/` between its parts"
                .into(),
        ),
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        self.tag.iter().try_for_each(|tag| write!(f, ":{tag}"))?;
        self.digest.iter().try_for_each(|digest| write!(f, "@{digest}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_completed_as_everywhere() {
        for (given, full) in [
            ("debian", "docker.io/library/debian"),
            ("debian:bookworm", "docker.io/library/debian:bookworm"),
            ("concourse/concourse:7", "docker.io/concourse/concourse:7"),
            ("docker.io/debian", "docker.io/library/debian"),
            ("index.docker.io/concourse/concourse", "docker.io/concourse/concourse"),
            ("localhost/app", "localhost/app"),
            ("127.0.0.1:5000/a/b:1.2-x", "127.0.0.1:5000/a/b:1.2-x"),
            ("registry.example/team/app_x", "registry.example/team/app_x"),
        ] {
            assert_eq!(given.parse::<Reference>().unwrap().to_string(), full);
        }
    }

    #[test]
    fn a_registry_has_one_name_however_it_is_written() {
        for (given, registry) in [
            ("registry.example", Some("registry.example")),
            ("https://Registry.example:5000/v2/", Some("registry.example:5000")),
            ("http://[::1]:5000", Some("[::1]:5000")),
            ("https://index.docker.io/v1/", Some("docker.io")),
            ("registry-1.docker.io", Some("docker.io")),
            ("", None),
            ("https://", None),
            ("user@registry.example", None),
            ("a b", None),
        ] {
            assert_eq!(registry_of(given).as_deref(), registry, "{given}");
        }
    }

    #[test]
    fn a_short_name_says_nothing_that_goes_without_saying() {
        let digest = Digest::of(b"x");
        for (given, short) in [
            ("docker.io/library/debian:latest".to_owned(), "debian".to_owned()),
            ("debian".into(), "debian".into()),
            ("debian:12".into(), "debian:12".into()),
            ("library/a/b".into(), "library/a/b".into()),
            ("docker.io/concourse/concourse:latest".into(), "concourse/concourse".into()),
            (format!("debian@{digest}"), format!("debian@{digest}")),
            ("registry.example/library/app:latest".into(), "registry.example/library/app".into()),
        ] {
            assert_eq!(given.parse::<Reference>().unwrap().familiar(), short);
        }
    }

    #[test]
    fn a_tag_and_a_digest_may_both_stand() {
        let digest = Digest::of(b"x");
        let reference: Reference = format!("registry.example/app:1@{digest}").parse().unwrap();
        assert_eq!((reference.tag.as_deref(), reference.digest), (Some("1"), Some(digest)));
        assert_eq!(reference.name(), "registry.example/app");
    }

    #[test]
    fn what_names_no_image_is_refused() {
        for text in ["", "App", "a//b", "../b", "a:-x", "a@sha256:12", "a b", "registry.example/", "a/.."] {
            assert!(text.parse::<Reference>().is_err(), "{text}");
        }
    }
}
