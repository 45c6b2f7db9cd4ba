//! The universe as one request sees it: with what is installed, and with one version of each package to choose from.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

use super::error::Unsatisfiable;
use super::universe::{CandidateId, Universe};
use crate::debian::package::{Provided, RelationError, RelationField};
use crate::debian::{Installed, Package, Relation, Version};

/// A version of a package: a candidate of the universe, or what is installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Node(u32);

/// apt's priority of what is installed and in no repository.
const INSTALLED_PIN: i16 = 100;
/// From here on apt downgrades.
const FORCING_PIN: i16 = 1000;

pub(super) struct View<'a> {
    pub(super) universe: &'a Universe,
    installed: Vec<&'a Installed>,
    installed_by_name: BTreeMap<&'a str, Node>,
    installed_provisions: BTreeMap<Box<str>, Vec<(Node, Option<Version>)>>,
    chosen: BTreeMap<String, Node>,
    relations: RefCell<HashMap<Node, Rc<Relations>>>,
}

/// The relations of one version that count when it is installed.
#[derive(Debug)]
pub(super) struct Relations {
    /// `Depends` and `Pre-Depends`.
    pub(super) depends: Vec<Vec<Relation>>,
    /// `Recommends`.
    pub(super) recommends: Vec<Vec<Relation>>,
    /// `Conflicts` and `Breaks`.
    pub(super) against: Vec<Relation>,
    provides: Vec<Provided>,
}

impl<'a> View<'a> {
    pub(super) fn new(universe: &'a Universe, installed: &'a [Installed]) -> Result<View<'a>, RelationError> {
        let fits = |name: &str| name == universe.architecture() || name == "all";
        let counts = |one: &&Installed| one.is_installed() && fits(&one.package.architecture);
        let mut view = View {
            universe,
            installed: installed.iter().filter(counts).collect(),
            installed_by_name: BTreeMap::new(),
            installed_provisions: BTreeMap::new(),
            chosen: BTreeMap::new(),
            relations: RefCell::default(),
        };
        for (index, one) in view.installed.iter().enumerate() {
            let node = view.node_of_installed(index);
            view.installed_by_name.insert(&one.package.name, node);
            for provided in one.package.provides()? {
                view.installed_provisions.entry(provided.name).or_default().push((node, provided.version));
            }
        }
        Ok(view)
    }

    fn node_of_installed(&self, index: usize) -> Node {
        Node(u32::try_from(self.universe.len() + index).unwrap_or(u32::MAX))
    }

    /// Makes `version` the only one of `name` to choose.
    pub(super) fn choose_version(&mut self, name: &str, version: &Version) -> Result<(), Unsatisfiable> {
        let installed = self.installed(name).filter(|node| self.package(*node).version == *version);
        let exact = |id: &&CandidateId| self.universe.candidate(**id).package.version == *version;
        let found =
            installed.or_else(|| self.universe.versions(name).iter().find(exact).map(|id| Node(id.0)));
        let Some(node) = found else {
            let mut known: Vec<&Version> = self
                .universe
                .versions(name)
                .iter()
                .map(|id| &self.universe.candidate(*id).package.version)
                .collect();
            known.sort();
            let known = known.iter().map(ToString::to_string).collect();
            return Err(Unsatisfiable::UnknownVersion {
                name: name.to_owned(),
                version: version.to_string(),
                known,
            });
        };
        self.chosen.insert(name.to_owned(), node);
        Ok(())
    }

    /// Returns the one version of a package that may be installed or kept.
    pub(super) fn candidate(&self, name: &str) -> Option<Node> {
        if let Some(node) = self.chosen.get(name) {
            return Some(*node);
        }
        match self.installed(name) {
            Some(installed) => Some(self.upgrade_of(name, installed).unwrap_or(installed)),
            None => {
                let best = *self.universe.versions(name).first()?;
                (self.universe.candidate(best).pin >= 0).then_some(Node(best.0))
            }
        }
    }

    fn upgrade_of(&self, name: &str, installed: Node) -> Option<Node> {
        let current = &self.package(installed).version;
        let versions = || self.universe.versions(name).iter().map(|id| (*id, self.universe.candidate(*id)));
        if self.installed[installed.0 as usize - self.universe.len()].is_held() {
            return None;
        }
        let same = versions().filter(|(_, candidate)| candidate.package.version == *current);
        let pin = same.map(|(_, candidate)| candidate.pin).fold(INSTALLED_PIN, i16::max);
        let mut better = versions().filter(|(_, candidate)| {
            let order = candidate.package.version.cmp(current);
            candidate.pin >= pin && (order.is_gt() || order.is_lt() && candidate.pin >= FORCING_PIN)
        });
        better.next().map(|(id, _)| Node(id.0))
    }

    /// Returns what is installed of a package.
    pub(super) fn installed(&self, name: &str) -> Option<Node> {
        self.installed_by_name.get(name).copied()
    }

    /// Returns everything that is installed, by name.
    pub(super) fn all_installed(&self) -> impl Iterator<Item = (&'a str, Node)> {
        self.installed_by_name.iter().map(|(name, node)| (*name, *node))
    }

    pub(super) fn package(&self, node: Node) -> &'a Package {
        match (node.0 as usize).checked_sub(self.universe.len()) {
            None => &self.universe.candidate(CandidateId(node.0)).package,
            Some(index) => &self.installed[index].package,
        }
    }

    pub(super) fn as_candidate(&self, node: Node) -> Option<CandidateId> {
        ((node.0 as usize) < self.universe.len()).then_some(CandidateId(node.0))
    }

    /// Returns `name (version)`.
    pub(super) fn title(&self, node: Node) -> String {
        let package = self.package(node);
        format!("{} ({})", package.name, package.version)
    }

    /// Returns when the package's name is first mentioned in the indexes; never, for one that is only installed.
    pub(super) fn mention(&self, node: Node) -> u32 {
        let known = self.universe.versions(&self.package(node).name).first();
        known.map_or(u32::MAX, |id| self.universe.mention(*id))
    }

    pub(super) fn relations(&self, node: Node) -> Result<Rc<Relations>, RelationError> {
        if let Some(known) = self.relations.borrow().get(&node) {
            return Ok(known.clone());
        }
        let relations = Rc::new(self.read_relations(self.package(node))?);
        self.relations.borrow_mut().insert(node, relations.clone());
        Ok(relations)
    }

    fn read_relations(&self, package: &Package) -> Result<Relations, RelationError> {
        let read = |field| package.relations(field).map(|groups| self.that_apply(groups));
        let mut depends = read(RelationField::Depends)?;
        depends.extend(read(RelationField::PreDepends)?);
        let mut against = read(RelationField::Conflicts)?;
        against.extend(read(RelationField::Breaks)?);
        Ok(Relations {
            depends,
            recommends: read(RelationField::Recommends)?,
            against: against.into_iter().flatten().collect(),
            provides: package.provides()?,
        })
    }

    fn that_apply(&self, groups: Vec<Vec<Relation>>) -> Vec<Vec<Relation>> {
        let applies = |relation: &Relation| relation.applies_to(self.universe.architecture());
        let groups = groups.into_iter().map(|group| group.into_iter().filter(applies).collect::<Vec<_>>());
        groups.filter(|group| !group.is_empty()).collect()
    }

    /// Whether `node` is what `relation` asks for, by its own name or by one it provides.
    pub(super) fn matches(&self, relation: &Relation, node: Node) -> Result<bool, RelationError> {
        let package = self.package(node);
        if !self.is_for_this_architecture(relation) {
            return Ok(false);
        }
        if package.name == relation.name && relation.admits(&package.version) {
            return Ok(true);
        }
        if relation.qualifier.is_some() {
            return Ok(false);
        }
        let relations = self.relations(node)?;
        Ok(relations
            .provides
            .iter()
            .any(|one| one.name == relation.name && admits_provided(relation, one.version.as_ref())))
    }

    fn is_for_this_architecture(&self, relation: &Relation) -> bool {
        relation
            .qualifier
            .as_deref()
            .is_none_or(|name| matches!(name, "any" | "native") || name == self.universe.architecture())
    }

    /// Returns every version of any package that might satisfy `relation`: the real one first, then its providers.
    pub(super) fn nodes_for(&self, relation: &Relation) -> Vec<Node> {
        if !self.is_for_this_architecture(relation) {
            return Vec::new();
        }
        let own = self
            .universe
            .versions(&relation.name)
            .iter()
            .map(|id| Node(id.0))
            .chain(self.installed(&relation.name));
        let mut nodes: Vec<Node> = own.filter(|node| relation.admits(&self.package(*node).version)).collect();
        if relation.qualifier.is_none() {
            let admits = |version: &Option<Version>| admits_provided(relation, version.as_ref());
            let provisions = self.universe.provisions(&relation.name).filter(|one| admits(&one.version));
            nodes.extend(provisions.map(|one| Node(one.by.0)));
            let installed = self.installed_provisions.get(&relation.name).into_iter().flatten();
            nodes.extend(installed.filter(|(_, version)| admits(version)).map(|(node, _)| *node));
        }
        let mut seen = BTreeSet::new();
        nodes.retain(|node| seen.insert(*node));
        nodes
    }

    /// Returns the packages whose version to choose provides `name`.
    pub(super) fn providers_of(&self, name: &str) -> Vec<&'a str> {
        let installed = self.installed_provisions.get(name).into_iter().flatten().map(|(node, _)| *node);
        let nodes = self.universe.provisions(name).map(|one| Node(one.by.0)).chain(installed);
        let names = nodes.filter(|node| self.candidate(&self.package(*node).name) == Some(*node));
        let names: BTreeSet<&str> = names.map(|node| &*self.package(node).name).collect();
        names.into_iter().collect()
    }
}

/// A provided name without a version satisfies no relation that asks for one.
fn admits_provided(relation: &Relation, provided: Option<&Version>) -> bool {
    relation
        .constraint
        .as_ref()
        .is_none_or(|constraint| provided.is_some_and(|version| constraint.admits(version)))
}
