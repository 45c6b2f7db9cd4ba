//! Which packages satisfy a request, as apt would answer it.
//!
//! Two steps. A [`walk`] follows apt's own way through the dependencies, left to right, and nearly always ends in a
//! set where nothing is broken: then that set is the answer, as it is apt's. Where it ends in a conflict, a SAT
//! [`solver`] looks for any set that works. Neither removes an installed package.
//!
//! See <https://www.debian.org/doc/debian-policy/ch-relationships.html>. In which order the selection is installed
//! is [`super::order`]'s business.

mod error;
mod solver;
mod universe;
mod view;
mod walk;

use std::collections::{BTreeMap, BTreeSet};

pub use error::Unsatisfiable;
pub use universe::{CandidateId, Universe};
use view::{Node, View};
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
    /// What is there already.
    pub installed: &'a [Installed],
    /// Whether every `Essential: yes` package is wanted too.
    pub essential: bool,
    /// Whether `Recommends` are followed where they can be.
    pub recommends: bool,
    /// The versions that come if their packages do, unless the request names others.
    pub keep: BTreeMap<String, Version>,
}

/// What satisfies a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// What is to be installed anew or in another version, by name.
    pub install: Vec<CandidateId>,
}

/// Decides what to install.
///
/// As with apt the order of the request counts where a choice is left: who comes first chooses first, and the essential
/// packages come last.
pub fn resolve(universe: &Universe, request: &Request<'_>) -> Result<Selection, Unsatisfiable> {
    let mut view = View::new(universe, request.installed)?;
    let wanted = choose_wanted(&mut view, request)?;
    let mut walk = Walk::new(&view, request.recommends);
    let walked = walk.run(&wanted)?;
    if walked && walk.is_sound()? {
        return Ok(selection(&view, walk.into_installed()));
    }
    let cause = walk.into_cause();
    solver::solve(&view, &wanted, cause).map(|nodes| selection(&view, nodes))
}

fn selection(view: &View<'_>, nodes: impl IntoIterator<Item = Node>) -> Selection {
    let mut install: Vec<CandidateId> =
        nodes.into_iter().filter_map(|node| view.as_candidate(node)).collect();
    install.sort_by(|a, b| {
        view.universe.candidate(*a).package.name.cmp(&view.universe.candidate(*b).package.name)
    });
    Selection { install }
}

/// Returns the versions asked for, each once, then the essential ones by name.
fn choose_wanted(view: &mut View<'_>, request: &Request<'_>) -> Result<Vec<Node>, Unsatisfiable> {
    for (name, version) in &request.keep {
        view.choose_version(name, version)?;
    }
    let mut versions: BTreeMap<String, &Version> = BTreeMap::new();
    let mut names = Vec::new();
    for wanted in &request.install {
        let name = real_name(view, wanted)?;
        if let Some(version) = &wanted.version
            && versions.insert(name.clone(), version).is_some_and(|other| other != version)
        {
            return Err(Unsatisfiable::TwoVersions { name });
        }
        names.push(name);
    }
    for (name, version) in versions {
        view.choose_version(&name, version)?;
    }
    if request.essential {
        names.extend(view.universe.essential().map(str::to_owned));
    }
    let mut seen = BTreeSet::new();
    names.retain(|name| seen.insert(name.clone()));
    Ok(names.iter().filter_map(|name| view.candidate(name)).collect())
}

/// Returns the package meant by a name: itself, or the only one that provides it.
fn real_name(view: &View<'_>, wanted: &Wanted) -> Result<String, Unsatisfiable> {
    let name =
        wanted.name.strip_suffix(&format!(":{}", view.universe.architecture())).unwrap_or(&wanted.name);
    if view.candidate(name).is_some() {
        return Ok(name.to_owned());
    }
    let providers = view.providers_of(name);
    match &providers[..] {
        [] => Err(Unsatisfiable::unknown(name, view.universe)),
        [one] => Ok((*one).to_owned()),
        several => Err(Unsatisfiable::Virtual {
            name: name.to_owned(),
            providers: several.iter().map(|&provider| provider.to_owned()).collect(),
        }),
    }
}

#[cfg(test)]
mod tests;
