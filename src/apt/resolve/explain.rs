//! Why a request has no answer, found after the fact.
//!
//! A need that nothing can satisfy is looked for first, then two packages that cannot be together. What is found is
//! the first of its kind from left to right, not a proof.

use std::collections::{BTreeMap, HashMap, VecDeque};

use super::cache::{Dep, Node, PackageId};
use super::error::{Cause, Unsatisfiable};
use super::marker::{Group, Marker};
use crate::debian::Relation;
use crate::debian::relation::display_group;

/// apt looks no deeper.
const DEEPEST: usize = 3000;

/// Tells why what was asked for cannot be had; what apt would remove for it is the last thing said.
pub(super) fn explain(
    marker: &mut Marker<'_>,
    wanted: &[(PackageId, Node)],
    removed: &[String],
) -> Unsatisfiable {
    let mut search = Search { marker, wanted: wanted.iter().copied().collect(), known: HashMap::new() };
    let needs = wanted.iter().find_map(|(package, _)| search.unmet_need(*package, 0));
    let found = needs.or_else(|| search.conflict(wanted));
    let cause = found.unwrap_or_else(|| Found { chain: Vec::new(), problem: last_word(removed) });
    let chain = cause.chain.into_iter().map(|node| search.marker.cache.title(node)).collect();
    Unsatisfiable::Unmet(Cause { chain, problem: cause.problem })
}

fn last_word(removed: &[String]) -> String {
    match removed {
        [] => {
            "what was asked for, all together: not everything that it needs can be there at once".to_owned()
        }
        names => format!(
            "what was asked for, all together: for that {} would have to be removed\nhint: ask for it with `remove`",
            names.join(", ")
        ),
    }
}

/// A problem and the way to it.
#[derive(Clone)]
struct Found {
    chain: Vec<Node>,
    problem: String,
}

struct Search<'m, 'a> {
    marker: &'m mut Marker<'a>,
    wanted: BTreeMap<PackageId, Node>,
    /// What was found of a package; nothing while it is being looked at.
    known: HashMap<PackageId, Option<Found>>,
}

impl Search<'_, '_> {
    /// Returns the version of a package that would be there.
    fn choice(&self, package: PackageId) -> Option<Node> {
        let record = self.marker.cache.record(package);
        self.wanted.get(&package).copied().or(record.candidate).or(record.current)
    }

    /// Returns a need that cannot be met, of a package or of what it needs.
    fn unmet_need(&mut self, package: PackageId, depth: usize) -> Option<Found> {
        if let Some(known) = self.known.get(&package) {
            return known.clone();
        }
        let node = self.choice(package)?;
        self.known.insert(package, None);
        let found = match depth > DEEPEST {
            true => Some(("has needs of needs of needs, deeper than apt looks".to_owned(), Vec::new())),
            false => self.unmet_group(package, node, depth),
        };
        let found = found.map(|(problem, mut chain)| {
            chain.insert(0, node);
            Found { chain, problem }
        });
        self.known.insert(package, found.clone());
        found
    }

    fn unmet_group(&mut self, package: PackageId, node: Node, depth: usize) -> Option<(String, Vec<Node>)> {
        for group in self.needs(package, node) {
            let options = self.options(&group);
            if options.is_empty() {
                return Some((self.unmet(&group), Vec::new()));
            }
            let mut first = None;
            let is_hopeless = options.iter().all(|(package, _)| {
                let found = self.unmet_need(*package, depth + 1);
                let is_hopeless = found.is_some();
                first = first.take().or(found);
                is_hopeless
            });
            if let Some(found) = first.filter(|_| is_hopeless) {
                return Some((found.problem, found.chain));
            }
        }
        None
    }

    fn needs(&mut self, package: PackageId, node: Node) -> Vec<Group> {
        let mut groups = self.marker.groups_of(package, node);
        groups.retain(|group| group.kind().is_critical() && !group.kind().is_negative());
        groups
    }

    /// Returns what would be there and is what one of the alternatives asks for.
    fn options(&mut self, group: &Group) -> Vec<(PackageId, Node)> {
        group.members().iter().flat_map(|dep| self.hits(dep)).collect()
    }

    fn hits(&mut self, dep: &Dep) -> Vec<(PackageId, Node)> {
        let own = self.choice(dep.target).filter(|node| self.marker.cache.admits(dep, *node));
        let mut hits: Vec<_> = own.map(|node| (dep.target, node)).into_iter().collect();
        for provider in self.marker.cache.providers(dep.target).iter() {
            if provider.is_admitted_by(dep) && self.choice(provider.package) == Some(provider.node) {
                hits.push((provider.package, provider.node));
            }
        }
        hits
    }

    /// Returns two packages that cannot be together, of those that what was asked for leads to.
    fn conflict(&mut self, wanted: &[(PackageId, Node)]) -> Option<Found> {
        let mut waiting: VecDeque<PackageId> = wanted.iter().map(|(package, _)| *package).collect();
        let mut parents: BTreeMap<PackageId, Option<PackageId>> =
            waiting.iter().map(|package| (*package, None)).collect();
        let mut order = Vec::new();
        while let Some(package) = waiting.pop_front() {
            order.push(package);
            let Some(node) = self.choice(package) else { continue };
            for group in self.needs(package, node) {
                let options = self.options(&group);
                let is_there = options.iter().any(|(other, _)| parents.contains_key(other));
                let new = options.first().filter(|_| !is_there).map(|(other, _)| *other);
                if let Some(new) = new {
                    parents.insert(new, Some(package));
                    waiting.push_back(new);
                }
            }
        }
        order.into_iter().find_map(|package| self.conflict_of(package, &parents))
    }

    fn conflict_of(
        &mut self,
        package: PackageId,
        parents: &BTreeMap<PackageId, Option<PackageId>>,
    ) -> Option<Found> {
        let node = self.choice(package)?;
        let groups = self.marker.groups_of(package, node);
        for dep in groups.iter().filter(|group| group.kind().is_negative()).flat_map(Group::members) {
            let hit = self.hits(dep).into_iter().find(|(other, node)| {
                let is_current = self.marker.cache.current(*other) == Some(*node);
                *other != package && (is_current || parents.contains_key(other))
            });
            if let Some((other, other_node)) = hit {
                let title = self.marker.cache.title(other_node);
                let why = self.why_present(other);
                let problem = format!("conflicts with {}, and {title} {why}", dep.relation);
                return Some(Found { chain: self.chain(package, parents), problem });
            }
        }
        None
    }

    fn chain(&self, package: PackageId, parents: &BTreeMap<PackageId, Option<PackageId>>) -> Vec<Node> {
        let mut chain = Vec::new();
        let mut next = Some(package);
        while let Some(package) = next {
            chain.extend(self.choice(package));
            next = parents.get(&package).copied().flatten();
        }
        chain.reverse();
        chain
    }

    fn why_present(&self, package: PackageId) -> &'static str {
        if self.wanted.contains_key(&package) {
            "is asked for too"
        } else if self.marker.cache.current(package).is_some() {
            "is installed"
        } else {
            "is needed too"
        }
    }

    /// Tells what a group asks for and what there is instead.
    fn unmet(&mut self, group: &Group) -> String {
        let relations: Vec<Relation> = group.members().iter().map(|dep| dep.relation.clone()).collect();
        let reasons: Vec<String> = group.members().iter().map(|dep| self.why_not(dep)).collect();
        format!("depends on {}, but {}", display_group(&relations), reasons.join(" and "))
    }

    fn why_not(&mut self, dep: &Dep) -> String {
        let name = &dep.relation.name;
        if let Some(node) = self.choice(dep.target) {
            return match self.wanted.contains_key(&dep.target) {
                true => format!("{} is asked for too", self.marker.cache.title(node)),
                false => format!("{name} is there only as {}", self.marker.cache.package(node).version),
            };
        }
        match self.marker.cache.providers(dep.target).is_empty() {
            true => format!("no repository has {name}"),
            false => format!("no package that provides {name} is the one that {} asks for", dep.relation),
        }
    }
}
