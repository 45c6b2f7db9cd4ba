//! The packages as one request sees them, laid out as apt's cache lays them out: a record for each name that anything
//! mentions, versions from the newest on, providers from the last read on.
//!
//! A record is made when it is first asked for: of sixty thousand packages a request meets some hundreds. What is done
//! with them is [`super::marker`]'s business.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

use super::universe::{CandidateId, Universe, is_itself};
use crate::debian::package::{Provided, RelationError, RelationField};
use crate::debian::{Installed, MultiArch, Package, Priority, Relation, Version};

/// A version of a package: a candidate of the universe, or what is installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Node(u32);

/// A record of the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct PackageId(u32);

/// From here on apt downgrades.
const FORCING_PRIORITY: i32 = 1000;

/// All there is of one name. `name:any` and `name:architecture` have records of their own, which others provide.
#[derive(Debug, Clone)]
pub(super) struct Record {
    pub(super) name: Rc<str>,
    /// From the newest on; what is the same in several places counts once.
    pub(super) versions: Rc<[Node]>,
    /// What is there before the request: what is installed, or what an upgrade has brought in its place.
    pub(super) current: Option<Node>,
    /// What is installed.
    pub(super) installed: Option<Node>,
    pub(super) candidate: Option<Node>,
    pub(super) is_essential: bool,
    pub(super) is_protected: bool,
    pub(super) is_held: bool,
    providers: Option<Rc<[Provider]>>,
}

/// That a version provides a name.
#[derive(Debug, Clone)]
pub(super) struct Provider {
    pub(super) package: PackageId,
    pub(super) node: Node,
    version: Option<Version>,
    /// Whether it follows from what the version is, and isn't written in its `Provides`.
    pub(super) is_implicit: bool,
}

/// One alternative of one relation of one version.
#[derive(Debug)]
pub(super) struct Dep {
    pub(super) kind: Kind,
    pub(super) target: PackageId,
    pub(super) relation: Relation,
    /// Whether it is the last alternative of its group.
    pub(super) is_last: bool,
}

/// What a relation is about; `Pre-Depends` counts as `Depends`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Depends,
    Conflicts,
    Breaks,
    Recommends,
    Suggests,
}

impl PackageId {
    pub(super) fn index(self) -> usize {
        self.0 as usize
    }
}

impl Kind {
    pub(super) fn is_negative(self) -> bool {
        matches!(self, Kind::Conflicts | Kind::Breaks)
    }

    /// Whether the version cannot be there without.
    pub(super) fn is_critical(self) -> bool {
        self.is_negative() || self == Kind::Depends
    }
}

/// The fields that count, in apt's order.
const FIELDS: [(RelationField, Kind); 6] = [
    (RelationField::PreDepends, Kind::Depends),
    (RelationField::Depends, Kind::Depends),
    (RelationField::Conflicts, Kind::Conflicts),
    (RelationField::Breaks, Kind::Breaks),
    (RelationField::Recommends, Kind::Recommends),
    (RelationField::Suggests, Kind::Suggests),
];

pub(super) struct Cache<'a> {
    pub(super) universe: &'a Universe,
    /// What is in the status file, by name.
    installed: Vec<&'a Installed>,
    installed_by_name: BTreeMap<&'a str, Node>,
    installed_provisions: BTreeMap<Box<str>, Vec<(Provided, Node)>>,
    /// What an upgrade has brought in place of what is installed.
    upgraded: BTreeMap<Box<str>, Node>,
    ids: HashMap<Rc<str>, PackageId>,
    records: Vec<Record>,
    /// What is the same as another version of its package.
    aliases: HashMap<Node, Node>,
    deps: HashMap<Node, Rc<[Dep]>>,
    provided: HashMap<Node, Rc<[PackageId]>>,
    /// The first field that could not be read; its package counts as one without.
    failure: Option<RelationError>,
}

impl<'a> Cache<'a> {
    pub(super) fn new(
        universe: &'a Universe,
        installed: &'a [Installed],
        upgraded: BTreeMap<Box<str>, Node>,
    ) -> Result<Cache<'a>, RelationError> {
        let fits = |name: &str| name == universe.architecture() || name == "all";
        let counts = |one: &&Installed| one.is_installed() && fits(&one.package.architecture);
        let mut cache = Cache {
            universe,
            installed: installed.iter().filter(counts).collect(),
            installed_by_name: BTreeMap::new(),
            installed_provisions: BTreeMap::new(),
            upgraded,
            ids: HashMap::new(),
            records: Vec::new(),
            aliases: HashMap::new(),
            deps: HashMap::new(),
            provided: HashMap::new(),
            failure: None,
        };
        for (index, one) in cache.installed.iter().enumerate() {
            let node = node_of_installed(universe, index);
            cache.installed_by_name.insert(&one.package.name, node);
            for provided in one.package.provides()?.into_iter().filter(|it| !is_itself(it, &one.package)) {
                let provisions = cache.installed_provisions.entry(provided.name.clone()).or_default();
                provisions.push((provided, node));
            }
        }
        Ok(cache)
    }

    /// Returns the first field that could not be read.
    pub(super) fn failure(&mut self) -> Option<RelationError> {
        self.failure.take()
    }

    /// Returns the names of what is there before the request.
    pub(super) fn installed_names(&self) -> Vec<String> {
        let names = self.installed_by_name.keys().map(|name| (*name).to_owned());
        let upgraded = self.upgraded.keys().map(ToString::to_string);
        names.chain(upgraded).collect::<BTreeSet<String>>().into_iter().collect()
    }

    pub(super) fn installed_packages(&self) -> impl Iterator<Item = &'a Package> + use<'a, '_> {
        self.installed.iter().map(|one| &one.package)
    }

    /// Returns how many records there are so far.
    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    pub(super) fn all(&self) -> impl Iterator<Item = PackageId> + use<> {
        (0..self.records.len()).map(package_id)
    }

    /// Returns the record of `name`, which is made if there is none.
    pub(super) fn id(&mut self, name: &str) -> PackageId {
        if let Some(known) = self.ids.get(name) {
            return *known;
        }
        let id = package_id(self.records.len());
        let record = self.read_record(name);
        self.ids.insert(record.name.clone(), id);
        self.records.push(record);
        id
    }

    /// Returns the record of `name`, if it has been asked for.
    pub(super) fn known_id(&self, name: &str) -> Option<PackageId> {
        self.ids.get(name).copied()
    }

    /// Returns the record that was made as number `index`.
    pub(super) fn nth(&self, index: usize) -> PackageId {
        package_id(index)
    }

    /// Returns the record of a version's package.
    pub(super) fn id_of(&mut self, node: Node) -> PackageId {
        self.id(&self.package(node).name)
    }

    pub(super) fn record(&self, id: PackageId) -> &Record {
        &self.records[id.0 as usize]
    }

    pub(super) fn name(&self, id: PackageId) -> &str {
        &self.record(id).name
    }

    pub(super) fn current(&self, id: PackageId) -> Option<Node> {
        self.record(id).current
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

    /// Returns apt's number of a package, so far as its order goes: when its name is first mentioned.
    pub(super) fn mention(&self, node: Node) -> u64 {
        match self.universe.versions(&self.package(node).name).first() {
            Some(known) => u64::from(self.universe.mention(*known)),
            None => u64::from(node.0) + (1 << 32),
        }
    }

    /// apt's order among those that satisfy one relation; the smallest comes first.
    pub(super) fn preference(&self, node: Node, target: PackageId, is_asked_for: bool) -> impl Ord + use<> {
        let package = self.package(node);
        let record = self.known_id(&package.name).map(|id| self.record(id));
        let is_installed = record.is_some_and(|record| record.current.is_some());
        (
            Reverse(is_asked_for),
            Reverse(is_installed && package.multi_arch == MultiArch::Same),
            Reverse(is_installed),
            Reverse(*package.name == *self.name(target)),
            Reverse(record.is_some_and(|record| record.is_essential)),
            Reverse(record.is_some_and(|record| record.is_protected)),
            rank(package.priority),
            Reverse(self.mention(node)),
        )
    }

    fn read_record(&mut self, name: &str) -> Record {
        let installed = self.installed_by_name.get(name).copied();
        let mut builds: Vec<(Node, Vec<CandidateId>, bool)> = Vec::new();
        for id in self.universe.versions(name) {
            self.add_build(&mut builds, Node(id.0), Some(*id));
        }
        let is_held = installed.is_some_and(|node| self.installed[self.index_of(node)].is_held());
        let installed = installed.map(|node| self.add_build(&mut builds, node, None));
        let current = self.upgraded.get(name).copied().or(installed);
        let packages = builds.iter().map(|(node, ..)| self.package(*node));
        let is_apt = name == "apt";
        Record {
            name: name.into(),
            current,
            installed,
            candidate: self.choose(&builds, current),
            is_essential: is_apt || packages.clone().any(|package| package.essential),
            is_protected: is_apt || packages.clone().any(|package| package.protected),
            is_held,
            versions: builds.iter().map(|(node, ..)| *node).collect(),
            providers: None,
        }
    }

    fn index_of(&self, installed: Node) -> usize {
        installed.0 as usize - self.universe.len()
    }

    /// Adds one version where apt keeps it, or finds the one that it is the same as.
    fn add_build(
        &mut self,
        builds: &mut Vec<(Node, Vec<CandidateId>, bool)>,
        node: Node,
        file: Option<CandidateId>,
    ) -> Node {
        let package = self.package(node);
        let same = builds.iter_mut().find(|(other, ..)| self.are_the_same(*other, node));
        if let Some((known, files, is_installed)) = same {
            files.extend(file);
            *is_installed |= file.is_none();
            let known = *known;
            self.aliases.insert(node, known);
            return known;
        }
        let place = builds.iter().position(|(other, ..)| self.package(*other).version < package.version);
        builds.insert(place.unwrap_or(builds.len()), (node, file.into_iter().collect(), file.is_none()));
        node
    }

    /// Whether apt takes two versions for the same: what they need and replace is the same, not only their number.
    fn are_the_same(&self, a: Node, b: Node) -> bool {
        let (left, right) = (self.package(a), self.package(b));
        let is_all = |package: &Package| &*package.architecture == "all";
        let size = |node| self.as_candidate(node).map(|id| self.universe.candidate(id).size);
        left.version.as_str() == right.version.as_str()
            && left.multi_arch == right.multi_arch
            && is_all(left) == is_all(right)
            && size(a).is_none_or(|size_a| size(b).is_none_or(|size_b| size_a == size_b))
            && HASHED.iter().all(|field| {
                let text = |package| significant(Package::relation_text(package, *field));
                text(left).eq(text(right))
            })
    }

    /// apt's choice among the versions: the highest priority, of those the newest, and nothing older than what is there.
    fn choose(&self, builds: &[(Node, Vec<CandidateId>, bool)], current: Option<Node>) -> Option<Node> {
        let mut best = (None, 0);
        for (node, files, is_installed) in builds {
            let priority = self.universe.priority(files, *is_installed && current.is_some());
            let is_older =
                || current.is_some_and(|current| self.package(*node).version < self.package(current).version);
            if priority > best.1 && (priority >= FORCING_PRIORITY || !is_older()) {
                best = (Some(*node), priority);
            }
        }
        best.0
    }

    /// Returns the version of this name with this number.
    pub(super) fn exact(&self, id: PackageId, version: &Version) -> Option<Node> {
        self.record(id).versions.iter().find(|node| self.package(**node).version == *version).copied()
    }

    /// Returns who provides a name, in apt's order.
    pub(super) fn providers(&mut self, id: PackageId) -> Rc<[Provider]> {
        if let Some(known) = &self.record(id).providers {
            return known.clone();
        }
        let name = self.record(id).name.clone();
        let found: Rc<[Provider]> = self.find_providers(&name).into();
        self.records[id.0 as usize].providers = Some(found.clone());
        found
    }

    fn find_providers(&mut self, name: &str) -> Vec<Provider> {
        let (bare, qualifier) = match name.split_once(':') {
            None => (name, None),
            Some((bare, qualifier)) => (bare, Some(qualifier)),
        };
        let is_native = qualifier == Some(self.universe.architecture());
        let mut found: Vec<(Node, Option<Version>, bool)> = Vec::new();
        for (provided, node) in self.provisions(bare) {
            let is_implicit = provided.qualifier.as_deref() != qualifier;
            let counts = match (qualifier, provided.qualifier.as_deref()) {
                (None, None) => true,
                (None, Some(given)) => given == self.universe.architecture(),
                (Some("any"), given) => {
                    given == Some("any")
                        || given.is_none() && self.package(node).multi_arch == MultiArch::Allowed
                }
                (Some(_), None | Some(_)) => is_native && provided.qualifier.as_deref() != Some("any"),
            };
            if counts {
                found.push((node, provided.version, is_implicit));
            }
        }
        if qualifier == Some("any") || is_native {
            let id = self.id(bare);
            let counts = |node: &Node| is_native || self.package(*node).multi_arch == MultiArch::Allowed;
            let versions = self.record(id).versions.clone();
            let own = versions.iter().filter(|node| counts(node));
            found.extend(own.map(|node| (*node, Some(self.package(*node).version.clone()), true)));
        }
        found.sort_by_key(|(node, ..)| Reverse(*node));
        let providers = found.into_iter();
        providers
            .filter_map(|(node, version, is_implicit)| self.provider(node, version, is_implicit))
            .collect()
    }

    /// Returns all that provides a bare name, what was read last first.
    fn provisions(&self, name: &str) -> Vec<(Provided, Node)> {
        let listed = self.universe.provisions(name).into_iter().map(|one| (one.provided, Node(one.by.0)));
        let mut all: Vec<_> = listed.collect();
        all.extend(self.installed_provisions.get(name).into_iter().flatten().cloned());
        all.reverse();
        all
    }

    /// A version that is the same as another has no record of its own.
    fn provider(&mut self, node: Node, version: Option<Version>, is_implicit: bool) -> Option<Provider> {
        let package = self.id_of(node);
        let is_alias = self.aliases.contains_key(&node);
        (!is_alias).then_some(Provider { package, node, version, is_implicit })
    }

    /// Returns the names that a version provides.
    pub(super) fn provided(&mut self, node: Node) -> Rc<[PackageId]> {
        if let Some(known) = self.provided.get(&node) {
            return known.clone();
        }
        let package = self.package(node);
        let provided = package.provides().unwrap_or_else(|error| self.note(error));
        let is_allowed = package.multi_arch == MultiArch::Allowed;
        let mut names: Vec<String> = Vec::new();
        for one in provided.into_iter().filter(|one| !is_itself(one, package)) {
            if one.qualifier.as_deref() == Some("any") || one.qualifier.is_none() && is_allowed {
                names.push(format!("{}:any", one.name));
            }
            if one.qualifier.is_none() {
                names.push(one.name.into());
            }
        }
        if is_allowed {
            names.push(format!("{}:any", package.name));
        }
        let found: Rc<[PackageId]> = names.iter().map(|name| self.id(name)).collect();
        self.provided.insert(node, found.clone());
        found
    }

    fn note<T: Default>(&mut self, error: RelationError) -> T {
        self.failure.get_or_insert(error);
        T::default()
    }

    /// Returns what a version needs and what it cannot be beside, in apt's order.
    pub(super) fn deps(&mut self, node: Node) -> Rc<[Dep]> {
        if let Some(known) = self.deps.get(&node) {
            return known.clone();
        }
        let package = self.package(node);
        let mut deps = Vec::new();
        for (field, kind) in FIELDS {
            let groups = package.relations(field).unwrap_or_else(|error| self.note(error));
            for group in groups {
                self.add_group(&mut deps, kind, group);
            }
        }
        let deps: Rc<[Dep]> = deps.into();
        self.deps.insert(node, deps.clone());
        deps
    }

    fn add_group(&mut self, deps: &mut Vec<Dep>, kind: Kind, group: Vec<Relation>) {
        let begin = deps.len();
        for relation in group {
            if relation.applies_to(self.universe.architecture()) {
                let target = self.target(&relation);
                deps.push(Dep { kind, target, relation, is_last: false });
            }
        }
        if let Some(last) = deps[begin..].last_mut() {
            last.is_last = true;
        }
    }

    fn target(&mut self, relation: &Relation) -> PackageId {
        match relation.qualifier.as_deref() {
            None => self.id(&relation.name),
            Some("native") => {
                let name = format!("{}:{}", relation.name, self.universe.architecture());
                self.id(&name)
            }
            Some(qualifier) => self.id(&format!("{}:{qualifier}", relation.name)),
        }
    }

    /// Whether this version of the package that a relation names is what it asks for.
    pub(super) fn admits(&self, dep: &Dep, node: Node) -> bool {
        dep.relation.admits(&self.package(node).version)
    }
}

impl Provider {
    /// A provided name without a version satisfies no relation that asks for one.
    pub(super) fn is_admitted_by(&self, dep: &Dep) -> bool {
        let constraint = dep.relation.constraint.as_ref();
        constraint.is_none_or(|constraint| self.version.as_ref().is_some_and(|it| constraint.admits(it)))
    }
}

/// The fields by which apt tells two builds of one version apart.
const HASHED: [RelationField; 5] = [
    RelationField::Depends,
    RelationField::PreDepends,
    RelationField::Conflicts,
    RelationField::Breaks,
    RelationField::Replaces,
];

/// dpkg writes a field anew in its status: neither spaces nor the `=` of old operators count.
fn significant(text: &str) -> impl Iterator<Item = u8> + '_ {
    let bytes = text.bytes().filter(|byte| !byte.is_ascii_whitespace() && *byte != b'=');
    bytes.map(|byte| byte.to_ascii_lowercase())
}

/// A package without a priority comes before all others.
fn rank(priority: Priority) -> u8 {
    match priority {
        Priority::Unknown => 0,
        Priority::Required => 1,
        Priority::Important => 2,
        Priority::Standard => 3,
        Priority::Optional => 4,
        Priority::Extra => 5,
    }
}

fn node_of_installed(universe: &Universe, index: usize) -> Node {
    Node(u32::try_from(universe.len() + index).unwrap_or(u32::MAX))
}

fn package_id(index: usize) -> PackageId {
    PackageId(u32::try_from(index).unwrap_or(u32::MAX))
}
