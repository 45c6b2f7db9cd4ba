//! Which tags a put moves: the source's, those of a version and its aliases, and those of files.

use std::path::Path;

use anyhow::{Result, bail};

use super::inputs::Inputs;
use super::params::TagParams;
use super::select::Numbers;
use super::semver::LooseVersion;
use super::source::{Source, is_tag};
use crate::registry::Registry;

/// No put moves more.
const MAX_TAGS: usize = 1000;

/// Returns the tags that a put moves, in their order, each once; there is at least one.
pub(super) async fn wanted(
    source: &Source,
    params: &TagParams,
    sources: &Path,
    registry: &Registry,
) -> Result<Vec<String>> {
    let mut tags = Vec::new();
    match &params.tag_file {
        Some(file) => tags.extend(in_file("tag_file", file, &params.tag_prefix, sources)?),
        None => tags.extend(source.tag.clone()),
    }
    if let Some(version) = &params.version {
        let version = parse(version)?;
        let numbers = &source.select.numbers;
        tags.push(with_variant(full(&version), numbers));
        if params.bump_aliases && !version.is_pre_release() {
            tags.extend(aliases(&version, numbers, &registry.tags().await?));
        }
    }
    if let Some(file) = &params.additional_tags {
        tags.extend(in_file("additional_tags", file, &params.tag_prefix, sources)?);
    }
    if tags.is_empty() {
        tags.push(source.default_tag().to_owned());
    }
    if params.tag_as_latest {
        tags.push("latest".into());
    }
    checked(tags)
}

fn parse(version: &str) -> Result<LooseVersion> {
    match LooseVersion::parse(version) {
        Some(version) => Ok(version),
        None => bail!("cannot use version `{version}`: expected a number like 1.2.3 or 1.2.3-rc.1"),
    }
}

/// A `v` in front goes away, and minor and patch are always there, as registry-image has it.
fn full(version: &LooseVersion) -> String {
    let numbers = format!("{}.{}.{}", version.major, version.minor, version.patch);
    match version.is_pre_release() {
        true => format!("{numbers}-{}", version.pre),
        false => numbers,
    }
}

fn with_variant(tag: String, numbers: &Numbers) -> String {
    numbers.variant.iter().fold(tag, |tag, variant| format!("{tag}-{variant}"))
}

/// Returns those tags of less detail for which none of the `existing` tags is newer.
fn aliases(version: &LooseVersion, numbers: &Numbers, existing: &[String]) -> Vec<String> {
    let others = existing.iter().filter_map(|tag| numbers.version(tag));
    let newer: Vec<LooseVersion> =
        others.filter(|other| !other.is_pre_release() && other > version).collect();
    let has_newer = |is_same: &dyn Fn(&LooseVersion) -> bool| newer.iter().any(is_same);
    let mut aliases = Vec::new();
    if newer.is_empty() {
        aliases.push(numbers.bare_tag().to_owned());
    }
    if !has_newer(&|other| other.major == version.major) {
        aliases.push(with_variant(version.major.to_string(), numbers));
    }
    if !has_newer(&|other| (other.major, other.minor) == (version.major, version.minor)) {
        aliases.push(with_variant(format!("{}.{}", version.major, version.minor), numbers));
    }
    aliases
}

fn in_file(param: &str, file: &Path, prefix: &str, sources: &Path) -> Result<Vec<String>> {
    let text = Inputs::of_put(sources).text(param, file)?;
    let tags: Vec<String> = text.split_whitespace().map(|tag| format!("{prefix}{tag}")).collect();
    match param == "tag_file" && tags.len() != 1 {
        true => bail!("cannot use tag_file {}: expected one tag, got {}", file.display(), tags.len()),
        false => Ok(tags),
    }
}

/// Each tag once, where it stands first.
fn checked(tags: Vec<String>) -> Result<Vec<String>> {
    let mut unique: Vec<String> = Vec::new();
    for tag in tags {
        if !is_tag(&tag) {
            let shown: String = tag.chars().take(200).collect();
            bail!(
                "cannot put under the tag `{shown}`: a tag has up to 128 letters, digits, `_`, `.` and `-`, and doesn't begin with `.` or `-`"
            );
        }
        if !unique.contains(&tag) {
            unique.push(tag);
        }
    }
    match unique.len() > MAX_TAGS {
        true => bail!("cannot put under {} tags: expected at most {MAX_TAGS}", unique.len()),
        false => Ok(unique),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bumped(version: &str, variant: Option<&str>, existing: &[&str]) -> String {
        let numbers = Numbers { variant: variant.map(str::to_owned), ..Numbers::default() };
        let existing: Vec<String> = existing.iter().map(|&tag| tag.to_owned()).collect();
        aliases(&parse(version).unwrap(), &numbers, &existing).join(" ")
    }

    #[test]
    fn an_alias_follows_unless_there_is_a_newer_version_of_its_kind() {
        for (version, existing, expected) in [
            ("1.2.3", &[][..], "latest 1 1.2"),
            ("1.2.3", &["1.2.2", "1.1.9", "0.9", "latest"], "latest 1 1.2"),
            ("1.2.3", &["1.2.3"], "latest 1 1.2"),
            ("1.2.3", &["1.2.4"], ""),
            ("1.2.3", &["1.3.0"], "1.2"),
            ("1.2.3", &["2.0.0"], "1 1.2"),
            ("1.2.3", &["2"], "1 1.2"),
            ("1.2.3", &["2.0.0-rc.1", "9.9.9-alpine", "nightly"], "latest 1 1.2"),
            ("1.2", &["1.2.0", "1"], "latest 1 1.2"),
        ] {
            assert_eq!(bumped(version, None, existing), expected, "{version} beside {existing:?}");
        }
    }

    #[test]
    fn a_variant_has_aliases_of_its_own() {
        for (existing, expected) in [
            (&["2.0.0"][..], "slim 1-slim 1.2-slim"),
            (&["2.0.0-slim"], "1-slim 1.2-slim"),
            (&["1.9.0-slim"], "1.2-slim"),
        ] {
            assert_eq!(bumped("1.2.3", Some("slim"), existing), expected, "beside {existing:?}");
        }
    }

    #[test]
    fn a_version_is_read_loosely_and_written_in_full() {
        for (text, tag) in [("v1.2", "1.2.0"), ("1", "1.0.0"), ("1.2.3-rc.1", "1.2.3-rc.1")] {
            assert_eq!(full(&parse(text).unwrap()), tag);
        }
        assert!(parse("latest").unwrap_err().to_string().contains("cannot use version `latest`"));
    }

    #[test]
    fn a_tag_stands_once_and_must_be_one() {
        let tags = ["b", "a", "b"].map(str::to_owned).to_vec();
        assert_eq!(checked(tags).unwrap(), ["b", "a"]);
        assert!(checked(vec!["a b".into()]).unwrap_err().to_string().contains("`a b`"));
    }
}
