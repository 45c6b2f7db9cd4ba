//! How much each package counts when two cannot both have their way.
//!
//! apt's numbers: a priority, a point for each that depends on it, a part of the points of those, and a great many for
//! what was asked for or is essential.

use super::cache::{Kind, Node, PackageId};
use super::marker::Marker;
use crate::debian::{Package, Priority};

const ESSENTIAL: i32 = 100;
const INSTALLED: i32 = 1;
const ASKED_FOR: i32 = 10_000;
const ESSENTIAL_AT_LAST: i32 = 5000;

/// The points of each record, by its number.
#[derive(Debug, Default, Clone)]
pub(super) struct Scores(Vec<i32>);

impl Scores {
    pub(super) fn of(&self, package: PackageId) -> i32 {
        self.0.get(package.index()).copied().unwrap_or(0)
    }

    pub(super) fn set(&mut self, package: PackageId, points: i32) {
        if self.0.len() <= package.index() {
            self.0.resize(package.index() + 1, 0);
        }
        self.0[package.index()] = points;
    }

    fn add(&mut self, package: PackageId, points: i32) {
        self.set(package, self.of(package).wrapping_add(points));
    }
}

/// Returns the scores as things are marked now.
pub(super) fn make(marker: &mut Marker<'_>, is_asked_for: impl Fn(PackageId) -> bool) -> Scores {
    let mut scores = Scores::default();
    let present = present(marker);
    for (package, node) in &present {
        let points = own_points(marker, *package, *node);
        scores.add(*package, points);
        pass_to_needs(marker, *package, *node, &mut scores);
    }
    let old = scores.clone();
    for (package, node) in &present {
        inherit(marker, *package, *node, &old, &mut scores);
    }
    pass_to_providers(marker, &old, &mut scores);
    for package in marker.cache.all() {
        let record = marker.cache.record(package);
        let is_essential = record.is_essential || record.is_protected;
        let asked = if is_asked_for(package) { ASKED_FOR } else { 0 };
        let essential = if is_essential { ESSENTIAL_AT_LAST } else { 0 };
        scores.add(package, asked + essential);
    }
    scores
}

fn present(marker: &mut Marker<'_>) -> Vec<(PackageId, Node)> {
    let all: Vec<PackageId> = marker.cache.all().collect();
    all.into_iter().filter_map(|package| Some((package, marker.state(package).install?))).collect()
}

fn own_points(marker: &mut Marker<'_>, package: PackageId, node: Node) -> i32 {
    let candidate = marker.state(package).candidate;
    let record = marker.cache.record(package);
    let is_essential = record.is_essential || record.is_protected;
    let is_listed = |node: Node| marker.cache.as_candidate(node).is_some();
    let essential = if is_essential { ESSENTIAL } else { 0 };
    let priority = if is_listed(node) { priority_points(marker.cache.package(node)) } else { -2 };
    let is_current = record.current.is_some() && candidate.is_some_and(is_listed);
    essential + priority + if is_current { INSTALLED } else { 0 }
}

fn priority_points(package: &Package) -> i32 {
    match package.priority {
        Priority::Unknown => 0,
        Priority::Required => 3,
        Priority::Important => 2,
        Priority::Standard => 1,
        Priority::Optional => -1,
        Priority::Extra => -2,
    }
}

/// A need is worth a point to who satisfies it, a conflict costs one.
fn pass_to_needs(marker: &mut Marker<'_>, package: PackageId, node: Node, scores: &mut Scores) {
    for dep in marker.cache.deps(node).iter() {
        let points = match dep.kind {
            Kind::Depends | Kind::Recommends => 1,
            Kind::Conflicts | Kind::Breaks => -1,
            Kind::Suggests => continue,
        };
        let is_negative = dep.kind.is_negative();
        if !(is_negative && dep.target == package) {
            let has_version = dep.relation.constraint.is_some();
            let install = marker.state(dep.target).install;
            if has_version && !install.is_some_and(|node| marker.cache.admits(dep, node)) {
                continue;
            }
            scores.add(dep.target, points);
        }
        let mut providers: Vec<PackageId> = Vec::new();
        for provider in marker.cache.providers(dep.target).iter() {
            if !(is_negative && provider.package == package)
                && provider.is_admitted_by(dep)
                && marker.state(provider.package).install == Some(provider.node)
                && !providers.contains(&provider.package)
            {
                providers.push(provider.package);
            }
        }
        providers.into_iter().for_each(|provider| scores.add(provider, points));
    }
}

/// What a package has of its own it passes on, once, to all that it names.
fn inherit(marker: &mut Marker<'_>, package: PackageId, node: Node, old: &Scores, scores: &mut Scores) {
    let points = old.of(package);
    if points <= 0 {
        return;
    }
    for dep in marker.cache.deps(node).iter() {
        if matches!(dep.kind, Kind::Depends | Kind::Recommends) && marker.state(dep.target).install.is_some()
        {
            scores.add(dep.target, points);
        }
    }
}

/// What a name has gained is gained by who provides it.
fn pass_to_providers(marker: &mut Marker<'_>, old: &Scores, scores: &mut Scores) {
    let mut names: Vec<PackageId> = marker.cache.all().collect();
    names.sort_by(|a, b| {
        super::sort::hash_key(marker.cache.name(*a)).cmp(&super::sort::hash_key(marker.cache.name(*b)))
    });
    for name in names {
        let gained = scores.of(name).wrapping_sub(old.of(name)).wrapping_abs();
        if gained == 0 {
            continue;
        }
        let mut providers: Vec<PackageId> = Vec::new();
        for provider in marker.cache.providers(name).iter() {
            if !provider.is_implicit
                && marker.state(provider.package).install == Some(provider.node)
                && !providers.contains(&provider.package)
            {
                providers.push(provider.package);
            }
        }
        providers.into_iter().for_each(|provider| scores.add(provider, gained));
    }
}
