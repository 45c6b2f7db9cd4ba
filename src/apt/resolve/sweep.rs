//! What nothing asked for needs any more: the traces of ways that led nowhere.
//!
//! What is installed stays, needed or not; only what would be installed anew is given up. What is recommended counts as
//! needed where it is there; what is only suggested does not, as in the configuration of Debian's own container images
//! (`APT::AutoRemove::SuggestsImportant`).

use std::collections::{BTreeMap, BTreeSet};

use super::cache::{Dep, Kind, Node, PackageId};
use super::marker::{Marker, Mode, Way};
use crate::debian::Priority;

impl Marker<'_> {
    /// Marks as garbage what is not needed.
    pub(super) fn find_garbage(&mut self) {
        let needed = self.needed();
        let all: Vec<PackageId> = self.cache.all().collect();
        for package in all {
            let current = self.cache.current(package);
            let is_required =
                current.is_some_and(|node| self.cache.package(node).priority == Priority::Required);
            let state = self.state(package);
            let is_there = current.is_some() || state.mode == Mode::Install;
            state.is_garbage = is_there && !is_required && !needed.contains(&package);
        }
    }

    fn needed(&mut self) -> BTreeSet<PackageId> {
        let all: Vec<PackageId> = self.cache.all().collect();
        let mut waiting: Vec<(PackageId, Node)> = Vec::new();
        for package in all {
            let record = self.cache.record(package);
            let is_root = record.is_essential || record.is_protected || is_never_given_up(&record.name);
            let state = self.state(package);
            if is_root || !state.is_automatic || state.is_held || state.is_protected {
                waiting.extend(self.remaining(package).map(|node| (package, node)));
            }
        }
        let mut needed = BTreeSet::new();
        let mut explored = BTreeSet::new();
        while let Some((package, node)) = waiting.pop() {
            if needed.insert(package) {
                self.follow(node, &mut explored, &mut waiting);
            }
        }
        needed
    }

    /// Returns the version of a package that will be there.
    fn remaining(&mut self, package: PackageId) -> Option<Node> {
        let current = self.cache.current(package);
        let state = self.state(package);
        match state.mode {
            Mode::Install => state.install,
            Mode::Keep => current,
            Mode::Delete => None,
        }
    }

    fn follow(
        &mut self,
        node: Node,
        explored: &mut BTreeSet<PackageId>,
        waiting: &mut Vec<(PackageId, Node)>,
    ) {
        for dep in self.cache.deps(node).iter() {
            if !matches!(dep.kind, Kind::Depends | Kind::Recommends) || explored.contains(&dep.target) {
                continue;
            }
            let (found, has_others) = self.found(dep);
            if !has_others {
                explored.insert(dep.target);
            }
            waiting.extend(found);
        }
    }

    /// Returns who satisfies a relation, of each source only the newest, and whether there is one who does not.
    fn found(&mut self, dep: &Dep) -> (Vec<(PackageId, Node)>, bool) {
        let mut has_others = false;
        let mut by_source: BTreeMap<String, Vec<(PackageId, Node)>> = BTreeMap::new();
        let mut offers: Vec<(PackageId, Node, bool)> = Vec::new();
        if let Some(node) = self.remaining(dep.target) {
            offers.push((dep.target, node, self.cache.admits(dep, node)));
        }
        for provider in self.cache.providers(dep.target).iter() {
            if self.remaining(provider.package) == Some(provider.node) {
                offers.push((provider.package, provider.node, provider.is_admitted_by(dep)));
            }
        }
        for (package, node, is_good) in offers {
            has_others |= !is_good;
            if is_good {
                let source = self.cache.package(node).source_name().to_owned();
                by_source.entry(source).or_default().push((package, node));
            }
        }
        let newest = by_source.into_values().flat_map(|mut offers| {
            let version = |node| self.cache.package(node).source_version();
            let highest = offers.iter().map(|(_, node)| version(*node)).max().cloned();
            offers.retain(|(_, node)| Some(version(*node)) == highest.as_ref());
            offers
        });
        (newest.collect(), has_others)
    }

    /// Gives up what would be installed anew and is not needed.
    pub(super) fn sweep(&mut self) {
        self.find_garbage();
        let mut packages: Vec<PackageId> = self.cache.all().collect();
        packages.sort_by(|a, b| self.cache.name(*a).cmp(self.cache.name(*b)));
        let mut given_up = Vec::new();
        for package in packages {
            let is_new = self.cache.current(package).is_none();
            let state = self.state(package);
            if state.is_garbage && is_new && state.mode == Mode::Install {
                given_up.push(package);
                self.delete(package, Way::SOLVER);
            }
        }
        if !given_up.is_empty() && self.lacks_anything() {
            self.save(given_up);
        }
    }

    fn lacks_anything(&mut self) -> bool {
        let all: Vec<PackageId> = self.cache.all().collect();
        all.into_iter().any(|package| self.is_policy_broken(package))
    }

    /// Takes back what something that stays depends on after all.
    fn save(&mut self, mut given_up: Vec<PackageId>) {
        given_up.sort_by_key(|package| {
            self.cache.record(*package).versions.first().map(|node| self.cache.mention(*node))
        });
        while let Some(place) = given_up.iter().position(|package| self.is_depended_on(*package)) {
            let package = given_up.remove(place);
            self.install(package, false, Way::SOLVER);
        }
    }

    fn is_depended_on(&mut self, package: PackageId) -> bool {
        let mut names = BTreeSet::from([package]);
        if let Some(candidate) = self.state(package).candidate {
            names.extend(self.cache.provided(candidate).iter());
        }
        let all: Vec<PackageId> = self.cache.all().collect();
        all.into_iter().any(|parent| {
            let Some(node) = self.remaining(parent) else { return false };
            let deps = self.cache.deps(node);
            deps.iter().any(|dep| {
                !dep.kind.is_negative() && self.is_important(dep.kind) && names.contains(&dep.target)
            })
        })
    }
}

/// Kernels and their firmware, by Debian's `APT::NeverAutoRemove`.
fn is_never_given_up(name: &str) -> bool {
    let is_word = |text: &str| text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let is_kernel = |rest: &str| rest.split('-').count() <= 2 && rest.split('-').all(is_word);
    name.starts_with("firmware-linux")
        || name == "linux-firmware"
        || name.strip_prefix("linux-image-").is_some_and(is_kernel)
}
