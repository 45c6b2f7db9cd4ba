//! Which packages satisfy a request: the same that apt-get 2.6 would install.
//!
//! Three steps, as apt takes them. What was asked for is marked and, from left to right, what that needs ([`marker`],
//! [`install`]); where marks end in a conflict, the [`problem`] resolver weighs who has to give way; a [`sweep`] takes
//! back what came by the way and nothing needs. Where apt would fail, or would have to remove an installed package that
//! nobody asked to go, this fails too, and [`explain`] says why.
//!
//! See <https://www.debian.org/doc/debian-policy/ch-relationships.html>. In which order the selection is installed
//! is [`super::order`]'s business.

mod cache;
mod error;
mod explain;
mod install;
mod marker;
mod problem;
mod scores;
mod sort;
mod sweep;
mod universe;
mod walk;

use std::collections::{BTreeMap, BTreeSet};

use cache::{Cache, Node, PackageId};
pub use error::Unsatisfiable;
use marker::{Marker, Mode, Way};
use problem::Problem;
pub use universe::{CandidateId, Universe};
use walk::Walk;

use crate::debian::{Installed, Version};

/// A package asked for by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Its name; a virtual package counts if just one package provides it.
    pub name: String,
    /// The exact version, if one is asked for.
    pub version: Option<Version>,
}

/// What is asked of the resolver.
#[derive(Debug, Clone, Default)]
pub struct Request<'a> {
    /// The packages to install.
    pub install: Vec<Wanted>,
    /// The packages to remove, with all that cannot be without them.
    pub remove: Vec<String>,
    /// What is there already.
    pub installed: &'a [Installed],
    /// Whether every `Essential: yes` package is wanted too.
    pub essential: bool,
    /// Whether `Recommends` are followed where they can be.
    pub recommends: bool,
    /// The versions that come if their packages do, unless the request names others.
    pub keep: BTreeMap<String, Version>,
    /// Whether what is there is brought to its newest versions first, as `apt-get upgrade --with-new-pkgs` does.
    pub upgrade: bool,
}

/// What satisfies a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// What is to be installed anew or in another version, by name.
    pub install: Vec<CandidateId>,
    /// The installed packages that go, by name.
    pub remove: Vec<String>,
}

/// Marks lead to marks, three thousand deep at most, as with apt.
const STACK: usize = 256 << 20;

/// Decides what to install.
///
/// As with apt the order of the request counts where a choice is left: who comes first chooses first, and the essential
/// packages come last.
pub fn resolve(universe: &Universe, request: &Request<'_>) -> Result<Selection, Unsatisfiable> {
    let decided = std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK);
        let decided = thread.spawn_scoped(scope, || decide(universe, request));
        decided.map(std::thread::ScopedJoinHandle::join)
    });
    match decided {
        Ok(Ok(selection)) => selection,
        Ok(Err(panic)) => std::panic::resume_unwind(panic),
        Err(_) => decide(universe, request),
    }
}

fn decide(universe: &Universe, request: &Request<'_>) -> Result<Selection, Unsatisfiable> {
    let upgraded = match request.upgrade {
        true => upgrade(universe, request)?,
        false => BTreeMap::new(),
    };
    let cache = Cache::new(universe, request.installed, upgraded)?;
    let mut marker = Marker::new(cache, request.recommends);
    keep(&mut marker, request)?;
    let wanted = choose_wanted(&mut marker, request)?;
    let unwanted = choose_unwanted(&mut marker.cache, request)?;
    let solved = mark(&mut marker, &wanted, &unwanted);
    if let Some(error) = marker.cache.failure() {
        return Err(error.into());
    }
    let selection = selection(&mut marker);
    let is_allowed = selection.remove.is_empty() || !unwanted.is_empty();
    if solved && is_allowed {
        return Ok(selection);
    }
    Err(explain::explain(&mut marker, &wanted, &selection.remove))
}

/// Marks what was asked for and mends what breaks; false if something remains broken.
fn mark(marker: &mut Marker<'_>, wanted: &[(PackageId, Node)], unwanted: &[PackageId]) -> bool {
    for package in unwanted {
        marker.state(*package).is_protected = true;
        match marker.cache.current(*package) {
            Some(_) => _ = marker.delete(*package, Way::USER),
            None => marker.state(*package).is_held = true,
        }
    }
    for (package, node) in wanted {
        marker.set_candidate(*package, *node);
        marker.state(*package).is_protected = true;
        marker.install(*package, false, Way::USER);
    }
    for (package, _) in wanted {
        marker.install(*package, true, Way::USER);
    }
    let unwanted: BTreeSet<PackageId> = unwanted.iter().copied().collect();
    let asked_for = wanted.iter().map(|(package, _)| *package).chain(unwanted.iter().copied()).collect();
    let is_sound = Problem::new(marker, asked_for, unwanted).resolve();
    marker.sweep();
    is_sound && marker.count_broken() == 0
}

/// Returns what the installed packages are brought to, so far as that removes none.
fn upgrade(universe: &Universe, request: &Request<'_>) -> Result<BTreeMap<Box<str>, Node>, Unsatisfiable> {
    let cache = Cache::new(universe, request.installed, BTreeMap::new())?;
    let mut marker = Marker::new(cache, request.recommends);
    keep(&mut marker, request)?;
    for_each(&mut marker, |marker, package| {
        let is_installed = marker.cache.current(package).is_some();
        if is_installed && !marker.state(package).is_held {
            marker.install(package, false, Way::SOLVER);
        }
    });
    for_each(&mut marker, |marker, package| {
        if marker.state(package).mode == Mode::Install {
            marker.install(package, true, Way::SOLVER);
        }
    });
    for_each(&mut marker, |marker, package| {
        if marker.state(package).mode == Mode::Delete {
            marker.keep(package, Way::SOLVER);
        }
    });
    let is_sound = Problem::new(&mut marker, BTreeSet::new(), BTreeSet::new()).resolve_by_keep();
    marker.sweep();
    match marker.cache.failure() {
        Some(error) => Err(error.into()),
        None if !is_sound => Err(explain::explain(&mut marker, &[], &[])),
        None => Ok(installs(&mut marker)),
    }
}

fn for_each(marker: &mut Marker<'_>, mut call: impl FnMut(&mut Marker<'_>, PackageId)) {
    let mut walk = Walk::by_hash(marker);
    while let Some(package) = walk.next(marker) {
        call(marker, package);
    }
}

/// Returns what is marked for installation, by name.
fn installs(marker: &mut Marker<'_>) -> BTreeMap<Box<str>, Node> {
    let all: Vec<PackageId> = marker.cache.all().collect();
    let marked = all.into_iter().filter_map(|package| {
        let state = marker.state(package);
        let node = state.install.filter(|_| state.mode == Mode::Install)?;
        Some((marker.cache.name(package).into(), node))
    });
    marked.collect()
}

fn selection(marker: &mut Marker<'_>) -> Selection {
    let all: Vec<PackageId> = marker.cache.all().collect();
    let (mut install, mut remove) = (Vec::new(), Vec::new());
    for package in all {
        let record = marker.cache.record(package);
        let (name, installed) = (record.name.clone(), record.installed);
        match marker.state(package).install {
            Some(node) if Some(node) != installed => {
                install.extend(marker.cache.as_candidate(node).map(|id| (name, id)));
            }
            None if installed.is_some() => remove.push(name.to_string()),
            Some(_) | None => {}
        }
    }
    install.sort();
    remove.sort();
    Selection { install: install.into_iter().map(|(_, id)| id).collect(), remove }
}

/// Makes the versions that are to be kept the ones that may be installed.
fn keep(marker: &mut Marker<'_>, request: &Request<'_>) -> Result<(), Unsatisfiable> {
    for (name, version) in &request.keep {
        let package = marker.cache.id(name);
        let node = marker.cache.exact(package, version);
        let node = node.ok_or_else(|| unknown_version(&marker.cache, package, version))?;
        marker.set_candidate(package, node);
    }
    Ok(())
}

/// Returns the versions asked for, each once, then the essential ones by name.
fn choose_wanted(
    marker: &mut Marker<'_>,
    request: &Request<'_>,
) -> Result<Vec<(PackageId, Node)>, Unsatisfiable> {
    let mut chosen: Vec<(PackageId, Node)> = Vec::new();
    let mut versions: BTreeMap<PackageId, &Version> = BTreeMap::new();
    for wanted in &request.install {
        let (package, candidate) = real_package(marker, &wanted.name)?;
        if let Some(version) = &wanted.version
            && versions.insert(package, version).is_some_and(|other| other != version)
        {
            return Err(Unsatisfiable::TwoVersions { name: marker.cache.name(package).to_owned() });
        }
        chosen.push((package, candidate));
    }
    if request.essential {
        let names: Vec<&str> = marker.cache.universe.essential().collect();
        for name in names {
            let package = marker.cache.id(name);
            chosen.extend(marker.state(package).candidate.map(|node| (package, node)));
        }
    }
    let mut seen = BTreeSet::new();
    chosen.retain(|(package, _)| seen.insert(*package));
    for (package, node) in &mut chosen {
        if let Some(version) = versions.get(package) {
            let exact = marker.cache.exact(*package, version);
            *node = exact.ok_or_else(|| unknown_version(&marker.cache, *package, version))?;
        }
    }
    Ok(chosen)
}

fn unknown_version(cache: &Cache<'_>, package: PackageId, version: &Version) -> Unsatisfiable {
    let versions = cache.record(package).versions.iter();
    Unsatisfiable::UnknownVersion {
        name: cache.name(package).to_owned(),
        version: version.to_string(),
        known: versions.rev().map(|node| cache.package(*node).version.to_string()).collect(),
    }
}

/// Returns the package meant by a name, itself or the only one that provides it, and its candidate.
fn real_package(marker: &mut Marker<'_>, name: &str) -> Result<(PackageId, Node), Unsatisfiable> {
    let universe = marker.cache.universe;
    let name = name.strip_suffix(&format!(":{}", universe.architecture())).unwrap_or(name);
    let package = marker.cache.id(name);
    if let Some(candidate) = marker.state(package).candidate {
        return Ok((package, candidate));
    }
    let mut providers: BTreeMap<String, (PackageId, Node)> = BTreeMap::new();
    for provider in marker.cache.providers(package).iter() {
        if marker.state(provider.package).candidate == Some(provider.node) {
            let name = marker.cache.name(provider.package).to_owned();
            providers.insert(name, (provider.package, provider.node));
        }
    }
    match providers.len() {
        0 => Err(Unsatisfiable::unknown(name, universe)),
        1 => providers.into_values().next().ok_or_else(|| Unsatisfiable::unknown(name, universe)),
        _ => {
            Err(Unsatisfiable::Virtual { name: name.to_owned(), providers: providers.into_keys().collect() })
        }
    }
}

/// Returns the packages asked to go; those that are not there stay away.
fn choose_unwanted(cache: &mut Cache<'_>, request: &Request<'_>) -> Result<Vec<PackageId>, Unsatisfiable> {
    let mut chosen = Vec::new();
    for name in &request.remove {
        let package = cache.id(name);
        let record = cache.record(package);
        if record.versions.is_empty() {
            return Err(Unsatisfiable::unknown_to_remove(name, cache.universe));
        }
        if record.current.is_some() && (record.is_essential || record.is_protected) {
            return Err(Unsatisfiable::Essential { name: name.clone() });
        }
        if !chosen.contains(&package) {
            chosen.push(package);
        }
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests;
