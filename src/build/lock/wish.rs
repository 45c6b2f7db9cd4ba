//! What a definition asks the resolver for, and which versions it prefers.
//!
//! Values only: who decides is `apt::resolve`.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};

use super::archive::Suite;
use super::trust::{Author, host};
use crate::apt::preferences::{Origin, Policy, Preferences};
use crate::apt::resolve::Wanted;
use crate::build::base::Facts;
use crate::build::definition::{Apt, DebOrigin, Definition, FileOrigin};
use crate::debian;

/// What a definition asks the resolver for.
pub struct Wish {
    /// The packages asked for.
    pub install: Vec<Wanted>,
    /// The packages asked to go.
    pub remove: Vec<String>,
    /// Whether the Essential packages come too: on scratch.
    pub essential: bool,
    /// Whether they come for the scripts of the others alone, and are no part of the image.
    pub is_without_essential: bool,
    /// Whether what is recommended comes along.
    pub recommends: bool,
    /// Whether what is there is upgraded first.
    pub upgrade: bool,
    /// Whether any package is to be installed or removed; files alone change none.
    pub changes_packages: bool,
    /// The packages that files are taken from, by name.
    pub taken: BTreeSet<String>,
}

/// Whether anything is to be decided about packages.
pub fn asks_for_packages(definition: &Definition) -> bool {
    asks_for_changes(&definition.image.apt) || !taken(definition).is_empty()
}

/// Whether packages are named that are to be installed.
pub fn adds_packages(definition: &Definition) -> bool {
    !definition.image.apt.packages.is_empty() || !definition.image.apt.debs.is_empty()
}

/// Whether packages are to be installed or removed; files alone change none.
fn asks_for_changes(apt: &Apt) -> bool {
    !apt.packages.is_empty() || !apt.debs.is_empty() || !apt.remove.is_empty() || apt.upgrade.value
}

/// Whether all that is asked for comes as files.
pub fn needs_no_repository(definition: &Definition) -> bool {
    let apt = &definition.image.apt;
    !apt.debs.is_empty() && apt.packages.is_empty() && taken(definition).is_empty()
}

/// Returns the directories that packages are fetched from which come as files.
pub fn addresses_of_debs(apt: &Apt) -> impl Iterator<Item = &str> {
    let urls = apt.debs.iter().filter_map(|deb| match &deb.origin {
        DebOrigin::Url(download) => Some(download.url.value.as_str()),
        DebOrigin::Context(_) => None,
    });
    urls.map(|url| url.rsplit_once('/').map_or(url, |(directory, _)| directory))
}

/// Returns the packages that files are taken from, by name.
pub fn taken(definition: &Definition) -> BTreeSet<String> {
    let packages = definition.image.files.iter().filter_map(|file| match &file.origin {
        FileOrigin::Package { package, .. } => Some(package.value.clone()),
        FileOrigin::Step { .. }
        | FileOrigin::Tarball { .. }
        | FileOrigin::Image { .. }
        | FileOrigin::Context { .. } => None,
    });
    packages.collect()
}

impl Wish {
    /// Returns what `definition` asks for.
    pub fn of(definition: &Definition, is_scratch: bool) -> Result<Wish> {
        let apt = &definition.image.apt;
        Ok(Wish {
            install: wanted_packages(apt)?,
            remove: apt.remove.iter().map(|name| name.value.clone()).collect(),
            essential: is_scratch,
            is_without_essential: definition.is_without_essential(),
            recommends: apt.recommends.value,
            upgrade: apt.upgrade.value && !is_scratch,
            changes_packages: asks_for_changes(apt),
            taken: taken(definition),
        })
    }
}

fn wanted_packages(apt: &Apt) -> Result<Vec<Wanted>> {
    let wanted = apt.packages.iter().map(|package| {
        let version = package.version.as_ref();
        let version = version.map(|version| version.value.parse::<debian::Version>()).transpose()?;
        Ok(Wanted { name: package.name.value.clone(), version })
    });
    wanted.collect()
}

/// Gathers which versions are preferred: what the definition says counts before what the base says of its own sources.
pub fn policy(
    apt: &Apt,
    author: Author,
    base: Option<&Facts>,
    suites: &[Suite],
    architecture: &str,
) -> Result<Policy> {
    let mut preferences = Preferences::default();
    for package in &apt.packages {
        if let Some(pin) = &package.pin {
            preferences.extend(Preferences::pin(&package.name.value, &pin.value)?);
        }
    }
    for text in &apt.preferences {
        preferences.extend(Preferences::parse(&text.value)?);
    }
    if let (Author::Base, Some(base)) = (author, base) {
        for (path, text) in preferences_of(base) {
            let read = Preferences::parse(&text);
            preferences.extend(read.with_context(|| format!("cannot use /{path} of the base image"))?);
        }
    }
    let origins = suites.iter().map(origin).collect();
    Ok(Policy { preferences, origins, architecture: architecture.to_owned() })
}

/// Returns the files in which a root says which versions it prefers, in apt's order.
fn preferences_of(facts: &Facts) -> Vec<(String, String)> {
    let text = |content: &[u8]| String::from_utf8_lossy(content).into_owned();
    let has_apts_ending = |path: &str| {
        let name = path.rsplit('/').next().unwrap_or_default();
        !name.contains('.') || name.ends_with(".pref")
    };
    let whole = facts.file("etc/apt/preferences").map(|content| ("etc/apt/preferences", content));
    let parts = facts.files_in("etc/apt/preferences.d/").filter(|(path, _)| has_apts_ending(path));
    whole.into_iter().chain(parts).map(|(path, content)| (path.to_owned(), text(content))).collect()
}

fn origin(suite: &Suite) -> Origin {
    let text = |field: &Option<String>| field.clone().unwrap_or_default();
    Origin {
        archive: text(&suite.release.suite),
        codename: text(&suite.release.codename),
        version: text(&suite.release.version),
        origin: text(&suite.release.origin),
        label: text(&suite.release.label),
        site: host(&suite.repository.uri).unwrap_or_default(),
    }
}
