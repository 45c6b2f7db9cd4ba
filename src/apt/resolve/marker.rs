//! What is to become of each package, and what is known of it by those who depend on it.
//!
//! This follows apt 2.6's `pkgDepCache`, also where it is odd: some marks are made without telling those that depend
//! on them. How a mark for installation spreads is [`super::install`]'s business.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

use super::cache::{Cache, Dep, Kind, Node, PackageId};

/// apt's own bound; beyond it a package counts as one that cannot be installed.
const DEEPEST: u32 = 3000;

/// What is to become of a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Mode {
    #[default]
    Keep,
    Install,
    Delete,
}

/// Which versions are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Time {
    /// What is installed.
    Now,
    /// What will be.
    Install,
    /// What could be installed.
    Candidate,
}

#[derive(Debug, Clone, Default)]
pub(super) struct State {
    pub(super) mode: Mode,
    /// The one version that may be installed or kept.
    pub(super) candidate: Option<Node>,
    /// The version that will be there.
    pub(super) install: Option<Node>,
    /// Whether it counts as new: nothing is installed, or there was no candidate when it was last asked.
    pub(super) is_new: bool,
    /// Whether the candidate was newer than what is installed when it was last asked.
    pub(super) is_newer: bool,
    /// Whether nobody asked for it.
    pub(super) is_automatic: bool,
    /// Whether only who asked for its mode may change it.
    pub(super) is_protected: bool,
    pub(super) is_held: bool,
    /// Whether nothing asked for needs it.
    pub(super) is_garbage: bool,
}

/// What is known of a package by those who depend on a name: the version that will be there, and the candidate.
type Seen = (Option<Node>, Option<Node>);

pub(super) struct Marker<'a> {
    pub(super) cache: Cache<'a>,
    /// By the number of the record; those that are missing are as they were in the beginning.
    states: Vec<State>,
    /// For each name, what has changed of who provides it since those who depend on it were last told.
    untold: HashMap<PackageId, BTreeMap<PackageId, Seen>>,
    /// What was broken before: it is neither mended nor counted.
    broken_before: BTreeSet<PackageId>,
    recommends: bool,
    /// The relations of what is installed, by what they are about; the last read last.
    pub(super) reverse: HashMap<PackageId, Vec<(PackageId, Node, usize)>>,
    /// What installed packages could be upgraded to, by the name and version of their source.
    pub(super) same_source: HashMap<(&'a str, &'a str), Vec<(PackageId, Node)>>,
}

/// One group of alternatives: relations of a version, from the first on, up to and with the last.
#[derive(Debug, Clone)]
pub(super) struct Group {
    pub(super) parent: PackageId,
    pub(super) deps: Rc<[Dep]>,
    pub(super) first: usize,
    pub(super) last: usize,
}

impl Group {
    pub(super) fn kind(&self) -> Kind {
        self.deps[self.first].kind
    }

    pub(super) fn members(&self) -> &[Dep] {
        &self.deps[self.first..=self.last]
    }
}

/// Returns the relations of a version, group by group.
pub(super) fn groups(parent: PackageId, deps: &Rc<[Dep]>) -> Vec<Group> {
    let mut groups = Vec::new();
    let mut first = 0;
    for (last, dep) in deps.iter().enumerate() {
        if dep.is_last {
            groups.push(Group { parent, deps: deps.clone(), first, last });
            first = last + 1;
        }
    }
    groups
}

/// Where a mark comes from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Way {
    /// How many marks led to it.
    pub(super) depth: u32,
    /// Whether it was asked for.
    pub(super) from_user: bool,
}

impl Way {
    pub(super) const USER: Way = Way { depth: 0, from_user: true };
    pub(super) const SOLVER: Way = Way { depth: 0, from_user: false };

    pub(super) fn deeper(self) -> Way {
        Way { depth: self.depth + 1, from_user: false }
    }

    pub(super) fn aside(self) -> Way {
        Way { from_user: false, ..self }
    }
}

impl<'a> Marker<'a> {
    pub(super) fn new(cache: Cache<'a>, recommends: bool) -> Marker<'a> {
        let mut marker = Marker {
            cache,
            states: Vec::new(),
            untold: HashMap::new(),
            broken_before: BTreeSet::new(),
            recommends,
            reverse: HashMap::new(),
            same_source: HashMap::new(),
        };
        marker.read_installed();
        marker
    }

    fn read_installed(&mut self) {
        let installed: Vec<PackageId> =
            self.cache.installed_names().iter().map(|name| self.cache.id(name)).collect();
        let mut relations = Vec::new();
        for package in &installed {
            let Some(current) = self.cache.current(*package) else { continue };
            relations.push((current, *package));
            for node in self.cache.record(*package).versions.clone().iter().filter(|node| **node != current) {
                let version = self.cache.package(*node);
                let source = (version.source_name(), version.source_version().as_str());
                self.same_source.entry(source).or_default().push((*package, *node));
            }
        }
        relations.sort_unstable();
        for (node, package) in relations {
            for (place, dep) in self.cache.deps(node).iter().enumerate() {
                self.reverse.entry(dep.target).or_default().push((package, node, place));
            }
        }
        let is_broken = |package: &PackageId| self.is_broken(*package);
        self.broken_before = installed.into_iter().filter(is_broken).collect();
    }

    pub(super) fn state(&mut self, package: PackageId) -> &mut State {
        while self.states.len() < self.cache.len() {
            let record = self.cache.record(self.cache.nth(self.states.len()));
            let mut state = State {
                candidate: record.candidate,
                install: record.current,
                is_held: record.is_held,
                ..State::default()
            };
            compare(&self.cache, record.current, &mut state);
            self.states.push(state);
        }
        &mut self.states[package.index()]
    }

    /// Sets what will be there and what could be, and remembers for those who depend on it what they knew.
    pub(super) fn change(&mut self, package: PackageId, install: Option<Node>, candidate: Option<Node>) {
        let state = self.state(package);
        let before = (state.install, state.candidate);
        if before == (install, candidate) {
            return;
        }
        (state.install, state.candidate) = (install, candidate);
        let mut names = BTreeSet::from([package]);
        for node in [before.0, before.1, install, candidate].into_iter().flatten() {
            names.extend(self.cache.provided(node).iter());
        }
        for name in names {
            self.untold.entry(name).or_default().entry(package).or_insert(before);
        }
    }

    /// Tells those who depend on a package, and on what it provides now or as its candidate.
    pub(super) fn tell(&mut self, package: PackageId) {
        self.untold.remove(&package);
        let candidate = self.state(package).candidate;
        for node in [self.cache.current(package), candidate].into_iter().flatten() {
            for name in self.cache.provided(node).iter() {
                self.untold.remove(name);
            }
        }
    }

    /// Looks anew whether there is a candidate, and whether it is newer.
    pub(super) fn compare(&mut self, package: PackageId) {
        let current = self.cache.current(package);
        self.state(package);
        compare(&self.cache, current, &mut self.states[package.index()]);
    }

    pub(super) fn set_candidate(&mut self, package: PackageId, target: Node) {
        let state = self.state(package);
        let (install, candidate, mode) = (state.install, state.candidate, state.mode);
        if candidate == Some(target) {
            return;
        }
        let follows = candidate == install && mode == Mode::Install;
        self.change(package, if follows { Some(target) } else { install }, Some(target));
        self.compare(package);
        self.tell(package);
    }

    /// Takes the candidate away without a word.
    pub(super) fn discard_candidate(&mut self, package: PackageId) {
        let install = self.state(package).install;
        self.change(package, install, install);
    }

    fn seen(&mut self, name: PackageId, package: PackageId, time: Time) -> Option<Node> {
        if time == Time::Now {
            return self.cache.current(package);
        }
        let state = self.state(package);
        let now = (state.install, state.candidate);
        let seen = self.untold.get(&name).and_then(|seen| seen.get(&package)).copied().unwrap_or(now);
        if time == Time::Install { seen.0 } else { seen.1 }
    }

    /// Whether some package is what a relation is about.
    fn hits(&mut self, parent: PackageId, dep: &Dep, time: Time) -> bool {
        let is_negative = dep.kind.is_negative();
        if !(is_negative && dep.target == parent)
            && let Some(node) = self.seen(dep.target, dep.target, time)
            && self.cache.admits(dep, node)
        {
            return true;
        }
        let providers = self.cache.providers(dep.target);
        providers.iter().any(|provider| {
            !(is_negative && provider.package == parent)
                && provider.is_admitted_by(dep)
                && self.seen(dep.target, provider.package, time) == Some(provider.node)
        })
    }

    /// Whether a relation is satisfied, as those who have it were last told.
    pub(super) fn is_met(&mut self, parent: PackageId, dep: &Dep, time: Time) -> bool {
        self.hits(parent, dep, time) != dep.kind.is_negative()
    }

    pub(super) fn is_group_met(&mut self, group: &Group, time: Time) -> bool {
        group.members().iter().any(|dep| self.is_met(group.parent, dep, time))
    }

    pub(super) fn is_important(&self, kind: Kind) -> bool {
        kind.is_critical() || kind == Kind::Recommends && self.recommends
    }

    pub(super) fn groups_of(&mut self, package: PackageId, node: Node) -> Vec<Group> {
        groups(package, &self.cache.deps(node))
    }

    fn has_unmet(
        &mut self,
        package: PackageId,
        node: Option<Node>,
        time: Time,
        counts: fn(Kind) -> bool,
    ) -> bool {
        let Some(node) = node else { return false };
        let mut groups = self.groups_of(package, node).into_iter().filter(|group| counts(group.kind()));
        groups.any(|group| !self.is_group_met(&group, time))
    }

    /// Whether what will be there of a package lacks something.
    pub(super) fn is_broken(&mut self, package: PackageId) -> bool {
        let install = self.state(package).install;
        let was_broken = self.broken_before.contains(&package) && install == self.cache.current(package);
        !was_broken && self.has_unmet(package, install, Time::Install, Kind::is_critical)
    }

    /// Whether what is installed of a package lacks something.
    pub(super) fn is_broken_now(&mut self, package: PackageId) -> bool {
        self.has_unmet(package, self.cache.current(package), Time::Now, Kind::is_critical)
    }

    /// Whether what will be there of a package lacks something, or something recommended if that counts.
    pub(super) fn is_policy_broken(&mut self, package: PackageId) -> bool {
        let install = self.state(package).install;
        self.is_broken(package)
            || self.recommends && self.has_unmet(package, install, Time::Install, is_recommended)
    }

    pub(super) fn is_policy_broken_now(&mut self, package: PackageId) -> bool {
        let current = self.cache.current(package);
        self.is_broken_now(package)
            || self.recommends && self.has_unmet(package, current, Time::Now, is_recommended)
    }

    pub(super) fn count_broken(&mut self) -> usize {
        let all: Vec<PackageId> = self.cache.all().collect();
        all.into_iter().filter(|package| self.is_broken(*package)).count()
    }

    /// Whether a package's mode may be changed.
    pub(super) fn may_become(&mut self, package: PackageId, mode: Mode, way: Way) -> bool {
        let record = self.cache.record(package);
        let needs_asking = record.is_essential || record.is_protected;
        if way.depth > DEEPEST || record.versions.is_empty() {
            return false;
        }
        let state = self.state(package);
        if way.from_user || state.mode == mode {
            return true;
        }
        match mode {
            _ if state.is_protected => false,
            Mode::Keep => true,
            Mode::Install => !state.is_held,
            Mode::Delete => !state.is_held && !needs_asking,
        }
    }

    pub(super) fn keep(&mut self, package: PackageId, way: Way) -> bool {
        if !self.may_become(package, Mode::Keep, way) {
            return false;
        }
        if self.state(package).mode != Mode::Keep {
            self.put_back(package);
        }
        true
    }

    pub(super) fn put_back(&mut self, package: PackageId) {
        let candidate = self.state(package).candidate;
        let current = self.cache.current(package);
        self.state(package).mode = Mode::Keep;
        self.change(package, current, candidate);
        self.tell(package);
    }

    pub(super) fn delete(&mut self, package: PackageId, way: Way) -> bool {
        if !self.may_become(package, Mode::Delete, way) {
            return false;
        }
        let state = self.state(package);
        if state.mode == Mode::Delete || state.install.is_none() {
            return true;
        }
        if !self.may_be_deleted(package, way) {
            return false;
        }
        let is_installed = self.cache.current(package).is_some();
        let state = self.state(package);
        state.mode = if is_installed { Mode::Delete } else { Mode::Keep };
        let candidate = state.candidate;
        self.change(package, None, candidate);
        self.tell(package);
        true
    }

    /// What was asked for and is new is not given up.
    pub(super) fn may_be_deleted(&mut self, package: PackageId, way: Way) -> bool {
        let is_installed = self.cache.current(package).is_some();
        let state = self.state(package);
        way.from_user || is_installed || !(state.install.is_some() && state.is_new && !state.is_automatic)
    }
}

/// Looks whether there is a candidate, and whether it is newer than what is installed.
fn compare(cache: &Cache<'_>, current: Option<Node>, state: &mut State) {
    let versions = current.zip(state.candidate);
    state.is_new = versions.is_none();
    state.is_newer = versions.is_some_and(|(current, candidate)| {
        cache.package(candidate).version > cache.package(current).version
    });
}

fn is_recommended(kind: Kind) -> bool {
    kind == Kind::Recommends
}
