//! How a mark for installation spreads: to what the package needs, and to what it cannot be beside.
//!
//! This follows apt 2.6's `pkgDepCache` step by step, so that the same request ends in the same set, also where the
//! steps are odd: nothing that was marked on a way that led nowhere is taken back; [`super::sweep`] does that in the
//! end. What marks alone cannot mend is left to [`super::problem`].

use std::collections::{BTreeSet, HashMap};

use super::cache::{Dep, Kind, Node, PackageId};
use super::marker::{Group, Marker, Mode, Time, Way};

/// What is on the list while a package is being installed.
#[derive(Default)]
struct Plan {
    install: Vec<Group>,
    remove: Vec<Group>,
    upgrade: Vec<PackageId>,
    remove_later: Vec<PackageId>,
}

/// On whose behalf a package is installed.
#[derive(Clone, Copy)]
struct Errand {
    package: PackageId,
    way: Way,
    /// Whether the package was asked for, or what was asked for cannot do without it.
    is_protected: bool,
}

impl Errand {
    /// Whether the first failure ends it.
    fn gives_up(self) -> bool {
        !self.is_protected && !self.way.from_user
    }
}

impl Marker<'_> {
    /// Marks a package for installation; with `follow` also what it needs. False if something could not be had.
    pub(super) fn install(&mut self, package: PackageId, follow: bool, way: Way) -> bool {
        let current = self.cache.current(package);
        let state = self.state(package).clone();
        let spreads_protection = state.is_protected
            && state.mode == Mode::Keep
            && state.candidate.is_some()
            && state.candidate == current;
        if !spreads_protection && !self.may_become(package, Mode::Install, way) {
            return false;
        }
        let Some(candidate) = self.state(package).candidate else { return false };
        if let Some(done) = self.is_done(package, way) {
            return done;
        }
        if follow && !self.could_be_satisfied(package) {
            return false;
        }
        if way.from_user {
            self.target_candidate(package, way);
        }
        let errand = Errand { package, way, is_protected: self.state(package).is_protected };
        let mut plan = Plan::default();
        let mut ok = true;
        if follow {
            self.collect(&mut plan, package, candidate);
            ok = self.clear_conflicts(&mut plan, errand);
            if !ok && errand.gives_up() {
                return false;
            }
            self.collect_left_behind(&mut plan, package, candidate);
        }
        if !way.from_user {
            self.target_candidate(package, way);
        }
        if !follow {
            return ok;
        }
        self.state(package).is_protected = true;
        let satisfied = self.carry_out(&plan, errand, candidate, ok);
        if !errand.is_protected {
            self.state(package).is_protected = false;
        }
        satisfied
    }

    /// Whether a package is installed or marked already, and lacks nothing.
    fn is_done(&mut self, package: PackageId, way: Way) -> Option<bool> {
        let state = self.state(package).clone();
        if state.is_protected || self.is_policy_broken(package) {
            return None;
        }
        if state.candidate == self.cache.current(package) {
            return Some(state.install.is_some() || self.keep(package, Way { depth: way.depth + 1, ..way }));
        }
        (state.mode == Mode::Install).then_some(true)
    }

    /// Gives up the candidate if something that it needs has none.
    fn could_be_satisfied(&mut self, package: PackageId) -> bool {
        let current = self.cache.current(package);
        let Some(candidate) = self.state(package).candidate.filter(|node| Some(*node) != current) else {
            return true;
        };
        for group in self.groups_of(package, candidate) {
            if group.kind() == Kind::Depends
                && !self.is_group_met(&group, Time::Install)
                && !self.is_group_met(&group, Time::Candidate)
            {
                self.give_up(package, current);
                return false;
            }
        }
        true
    }

    fn give_up(&mut self, package: PackageId, current: Option<Node>) {
        let state = self.state(package).clone();
        if state.is_protected {
            return;
        }
        match current {
            Some(current) => self.set_candidate(package, current),
            None => self.change(package, state.install, None),
        }
        if self.state(package).mode != Mode::Delete {
            self.state(package).mode = Mode::Keep;
            self.compare(package);
        }
    }

    /// Lets the candidate be what will be there.
    fn target_candidate(&mut self, package: PackageId, way: Way) {
        let current = self.cache.current(package);
        let state = self.state(package);
        if state.is_protected && state.install == state.candidate {
            return;
        }
        state.mode = if state.candidate == current { Mode::Keep } else { Mode::Install };
        if way.from_user {
            state.is_automatic = false;
        } else if state.is_new {
            state.is_automatic = true;
        }
        let candidate = state.candidate;
        self.change(package, candidate, candidate);
        self.tell(package);
    }

    fn collect(&mut self, plan: &mut Plan, package: PackageId, candidate: Node) {
        let wants_all = self.state(package).is_protected;
        for group in self.groups_of(package, candidate) {
            if !self.is_important(group.kind()) || !wants_all && self.is_group_met(&group, Time::Install) {
                continue;
            }
            match group.kind().is_negative() {
                true => plan.remove.push(group),
                false => plan.install.push(group),
            }
        }
    }

    fn collect_left_behind(&mut self, plan: &mut Plan, package: PackageId, candidate: Node) {
        let Some(current) = self.cache.current(package) else { return };
        for (parent, node, place) in self.reverse.get(&package).cloned().unwrap_or_default().into_iter().rev()
        {
            let deps = self.cache.deps(node);
            let dep = &deps[place];
            let is_left_behind = !dep.kind.is_negative()
                && self.is_important(dep.kind)
                && self.cache.admits(dep, current)
                && !self.cache.admits(dep, candidate);
            if is_left_behind && self.state(parent).mode != Mode::Install && !plan.upgrade.contains(&parent) {
                plan.upgrade.push(parent);
            }
        }
    }

    /// Takes out of the way what the package cannot be beside, or puts on the list that it be upgraded or removed.
    fn clear_conflicts(&mut self, plan: &mut Plan, errand: Errand) -> bool {
        let mut ok = true;
        let mut out_of_the_question = Vec::new();
        for group in std::mem::take(&mut plan.remove) {
            for node in self.solutions(&group, Time::Candidate) {
                ok &= self.clear_candidate(node, plan, &mut out_of_the_question, errand);
                if !ok && errand.gives_up() {
                    return false;
                }
            }
            for node in self.solutions(&group, Time::Now) {
                ok &= self.clear_installed(node, plan, &out_of_the_question, errand);
                if !ok && errand.gives_up() {
                    return false;
                }
            }
        }
        ok
    }

    fn clear_candidate(
        &mut self,
        node: Node,
        plan: &mut Plan,
        out_of_the_question: &mut Vec<PackageId>,
        errand: Errand,
    ) -> bool {
        let package = self.cache.id_of(node);
        if self.state(package).candidate != Some(node) {
            return true;
        }
        let current = self.cache.current(package);
        if current == Some(node) {
            return self.remove_soon(package, plan, errand);
        }
        if self.state(package).mode == Mode::Install && !self.keep(package, errand.way.aside()) {
            return false;
        }
        if !errand.is_protected {
            out_of_the_question.push(package);
            return true;
        }
        self.discard_candidate(package);
        if current.is_none() {
            self.state(package).is_protected = true;
        }
        true
    }

    fn clear_installed(
        &mut self,
        node: Node,
        plan: &mut Plan,
        out_of_the_question: &[PackageId],
        errand: Errand,
    ) -> bool {
        let package = self.cache.id_of(node);
        let candidate = self.state(package).candidate;
        if candidate.is_some_and(|other| other != node) && !out_of_the_question.contains(&package) {
            plan.upgrade.push(package);
            return true;
        }
        candidate == self.cache.current(package) || self.remove_soon(package, plan, errand)
    }

    fn remove_soon(&mut self, package: PackageId, plan: &mut Plan, errand: Errand) -> bool {
        let way = errand.way.aside();
        let is_deleted = self.state(package).mode == Mode::Delete;
        if !errand.is_protected {
            if is_deleted {
                return true;
            }
            if !self.may_become(package, Mode::Delete, way) || !self.may_be_deleted(package, way) {
                return false;
            }
            plan.remove_later.push(package);
            return true;
        }
        if !is_deleted && !self.delete(package, way.deeper()) {
            return false;
        }
        self.discard_candidate(package);
        self.state(package).is_protected = true;
        true
    }

    /// Works off what is on the list; false if something could not be had.
    fn carry_out(&mut self, plan: &Plan, errand: Errand, candidate: Node, so_far: bool) -> bool {
        let mut ok = so_far;
        let steps: [&mut dyn FnMut(&mut Self) -> bool; 3] = [
            &mut |marker| {
                marker.upgrade_same_source(errand, candidate);
                marker.upgrade_or_remove(&plan.upgrade, errand)
            },
            &mut |marker| marker.install_needs(&plan.install, errand),
            &mut |marker| marker.remove_all(&plan.remove_later, errand),
        ];
        for step in steps {
            if !step(self) {
                if errand.gives_up() {
                    self.discard_install(errand.package);
                    return false;
                }
                ok = false;
            }
        }
        ok
    }

    fn discard_install(&mut self, package: PackageId) {
        let current = self.cache.current(package);
        let state = self.state(package);
        if state.mode == Mode::Keep && state.install == state.candidate && state.candidate == current {
            return;
        }
        self.put_back(package);
        self.discard_candidate(package);
    }

    /// Brings along what was built together with a package: apt keeps a source's binaries in step.
    fn upgrade_same_source(&mut self, errand: Errand, candidate: Node) {
        let version = self.cache.package(candidate);
        let source = (version.source_name(), version.source_version().as_str());
        let mut others: Vec<(u64, PackageId)> = Vec::new();
        for (package, node) in self.same_source.get(&source).cloned().unwrap_or_default() {
            let state = self.state(package);
            let is_done = state.mode == Mode::Install && state.install == Some(node);
            if package != errand.package && !is_done && state.candidate == Some(node) {
                others.push((self.cache.mention(node), package));
            }
        }
        others.sort_unstable();
        for follow in [false, true] {
            for (_, package) in &others {
                self.install(*package, follow, errand.way.deeper());
            }
        }
    }

    fn upgrade_or_remove(&mut self, packages: &[PackageId], errand: Errand) -> bool {
        let mut ok = true;
        let way = errand.way.deeper();
        for package in packages {
            if self.state(*package).mode == Mode::Install || self.install(*package, true, way) {
                continue;
            }
            if !self.delete(*package, way) {
                ok = false;
                if errand.gives_up() {
                    break;
                }
            } else if errand.is_protected {
                self.state(*package).is_protected = true;
            }
        }
        ok
    }

    fn remove_all(&mut self, packages: &[PackageId], errand: Errand) -> bool {
        let mut ok = true;
        for package in packages {
            ok &= self.delete(*package, errand.way.aside());
            if !ok && errand.gives_up() {
                break;
            }
        }
        ok
    }

    fn install_needs(&mut self, needs: &[Group], errand: Errand) -> bool {
        let mut ok = true;
        for group in needs {
            ok &= match self.is_group_met(group, Time::Install) {
                true => !errand.is_protected || self.protect_need(group, errand),
                false => {
                    !self.is_worth_it(group, errand)
                        || self.install_need(group, errand)
                        || !group.kind().is_critical()
                }
            };
            if !ok && errand.gives_up() {
                break;
            }
        }
        ok
    }

    /// Protects what alone can satisfy the need of a protected package.
    fn protect_need(&mut self, group: &Group, errand: Errand) -> bool {
        if !group.kind().is_critical() {
            return true;
        }
        let mut nodes: BTreeSet<Node> = BTreeSet::new();
        for dep in group.members() {
            nodes.extend(self.satisfying(group.parent, dep, Time::Candidate));
            nodes.extend(self.satisfying(group.parent, dep, Time::Now));
        }
        nodes.retain(|node| !self.is_ruled_out(*node));
        let (Some(only), 1) = (nodes.first().copied(), nodes.len()) else { return true };
        let package = self.cache.id_of(only);
        if self.state(package).is_protected {
            return true;
        }
        self.state(package).is_protected = true;
        self.install(package, true, errand.way.deeper())
    }

    /// A recommendation that was there before and not followed is not followed now.
    fn is_worth_it(&mut self, group: &Group, errand: Errand) -> bool {
        if group.kind().is_critical() {
            return true;
        }
        let Some(current) = self.cache.current(errand.package) else { return true };
        let target = group.deps[group.first].target;
        let mut is_old = false;
        for old in self.groups_of(errand.package, current) {
            if old.kind().is_critical() || !self.is_important(old.kind()) {
                continue;
            }
            if old.members().iter().any(|dep| dep.target == target) {
                is_old = true;
                if self.is_group_met(&old, Time::Now) {
                    return true;
                }
            }
        }
        !is_old
    }

    fn install_need(&mut self, group: &Group, errand: Errand) -> bool {
        let solutions = self.solutions(group, Time::Candidate);
        let way = errand.way.deeper();
        let is_the_only_one = errand.is_protected && group.kind().is_critical() && solutions.len() == 1;
        for node in solutions {
            let package = self.cache.id_of(node);
            if self.state(package).candidate != Some(node) {
                continue;
            }
            if is_the_only_one {
                if !self.install(package, false, way) {
                    continue;
                }
                self.state(package).is_protected = true;
            }
            if self.install(package, true, way) {
                return true;
            }
        }
        false
    }

    /// Returns the candidates, or what is installed, that one alternative asks for, as apt lists them.
    fn satisfying(&mut self, parent: PackageId, dep: &Dep, time: Time) -> Vec<Node> {
        if time == Time::Candidate && self.is_met(parent, dep, Time::Candidate) == dep.kind.is_negative() {
            return Vec::new();
        }
        let mut found = Vec::new();
        let is_negative = dep.kind.is_negative();
        if !(is_negative && dep.target == parent) {
            found.extend(self.real(dep.target, time).filter(|node| self.cache.admits(dep, *node)));
        }
        for provider in self.cache.providers(dep.target).iter() {
            if !(is_negative && provider.package == parent)
                && provider.is_admitted_by(dep)
                && self.real(provider.package, time) == Some(provider.node)
            {
                found.push(provider.node);
            }
        }
        found
    }

    fn real(&mut self, package: PackageId, time: Time) -> Option<Node> {
        match time {
            Time::Now => self.cache.current(package),
            Time::Install => self.state(package).install,
            Time::Candidate => self.state(package).candidate,
        }
    }

    /// Whether a package was asked not to be there.
    fn is_ruled_out(&mut self, node: Node) -> bool {
        let package = self.cache.id_of(node);
        let is_installed = self.cache.current(package).is_some();
        let state = self.state(package);
        state.is_protected && (state.mode == Mode::Delete || state.mode == Mode::Keep && !is_installed)
    }

    /// Returns what could satisfy a group, in apt's order: upgrades first, then from left to right.
    fn solutions(&mut self, group: &Group, time: Time) -> Vec<Node> {
        let (mut known, mut new) = (Vec::new(), Vec::new());
        for dep in group.members() {
            let mut nodes = self.satisfying(group.parent, dep, time);
            if nodes.len() > 1 {
                self.sort_by_preference(&mut nodes, dep.target);
            }
            for node in nodes {
                let package = self.cache.id_of(node);
                let is_installed = self.cache.current(package).is_some();
                if is_installed { known.push(node) } else { new.push(node) }
            }
        }
        known.append(&mut new);
        known.dedup();
        if !group.kind().is_negative() {
            known.retain(|node| !self.is_ruled_out(*node));
        }
        known
    }

    fn sort_by_preference(&mut self, nodes: &mut [Node], target: PackageId) {
        let protected: Vec<bool> = nodes
            .iter()
            .map(|node| {
                let package = self.cache.id_of(*node);
                self.state(package).is_protected
            })
            .collect();
        let by_node: HashMap<Node, bool> = nodes.iter().copied().zip(protected).collect();
        let cache = &self.cache;
        nodes.sort_by_cached_key(|node| cache.preference(*node, target, by_node[node]));
    }
}
