//! What is to give way where marks alone end in something broken.
//!
//! This follows apt 2.6's `pkgProblemResolver` step by step. It goes from the package that counts most to the one
//! that counts least and takes away, keeps or removes what is in the way of each; what was asked for stays.

use std::collections::BTreeSet;

use super::cache::{Kind, Node, PackageId};
use super::marker::{Group, Marker, Mode, Time, Way};
use super::scores::{self, Scores};
use super::walk::Walk;

/// How often all packages are gone through.
const MOST_ROUNDS: usize = 20;

pub(super) struct Problem<'m, 'a> {
    marker: &'m mut Marker<'a>,
    /// What was asked for, or asked to go.
    asked_for: BTreeSet<PackageId>,
    /// What was asked to go.
    asked_to_go: BTreeSet<PackageId>,
    /// What was marked for installation in the beginning.
    was_marked: BTreeSet<PackageId>,
    /// What has been upgraded, or tried to.
    upgraded: BTreeSet<PackageId>,
    scores: Scores,
}

/// What becomes of a package with a group of alternatives none of which could be had.
#[derive(Clone, Copy, PartialEq)]
enum Fallback {
    Remove,
    Keep,
}

/// How to go on after an alternative.
#[derive(PartialEq)]
enum Next {
    Alternative,
    Package,
}

/// The package at hand.
struct Patient {
    package: PackageId,
    round: usize,
    /// Who is in the way, and of which group.
    in_the_way: Vec<(PackageId, Group)>,
    fallback: Fallback,
    /// Whether the group at hand has several alternatives, none of which is there yet.
    has_alternatives: bool,
}

impl<'m, 'a> Problem<'m, 'a> {
    pub(super) fn new(
        marker: &'m mut Marker<'a>,
        asked_for: BTreeSet<PackageId>,
        asked_to_go: BTreeSet<PackageId>,
    ) -> Problem<'m, 'a> {
        Problem {
            marker,
            asked_for,
            asked_to_go,
            was_marked: BTreeSet::new(),
            upgraded: BTreeSet::new(),
            scores: Scores::default(),
        }
    }

    /// Mends what is broken; false if something remains so.
    pub(super) fn resolve(&mut self) -> bool {
        if self.marker.count_broken() == 0 && !self.has_other_candidates() {
            return true;
        }
        self.mark_broken();
        let asked_for = &self.asked_for;
        self.scores = scores::make(self.marker, |package| asked_for.contains(&package));
        let mut walk = Walk::by_score(self.marker, &self.scores);
        for round in 0..MOST_ROUNDS {
            let mut has_changed = false;
            walk.begin();
            while let Some(package) = walk.next(self.marker) {
                self.reinstate(package);
                has_changed |= self.mend(package, round);
            }
            if !has_changed {
                break;
            }
        }
        let is_sound = self.marker.count_broken() == 0;
        self.mark_automatic();
        is_sound
    }

    /// Whether something is to be installed in another version than its candidate.
    fn has_other_candidates(&mut self) -> bool {
        let all: Vec<PackageId> = self.marker.cache.all().collect();
        all.into_iter().any(|package| {
            let state = self.marker.state(package);
            state.mode == Mode::Install && state.install != state.candidate
        })
    }

    /// Marks what is broken for installation, as often as that makes more of it.
    fn mark_broken(&mut self) {
        let mut again = true;
        while again {
            again = false;
            let mut walk = Walk::by_hash(self.marker);
            walk.begin();
            while let Some(package) = walk.next(self.marker) {
                if self.marker.state(package).mode == Mode::Install {
                    self.was_marked.insert(package);
                    continue;
                }
                if self.marker.is_broken(package) {
                    self.marker.install(package, false, Way::SOLVER);
                    again |= self.marker.state(package).mode == Mode::Install;
                }
                self.was_marked.remove(&package);
            }
        }
    }

    /// What came by the way is nobody's wish.
    fn mark_automatic(&mut self) {
        let all: Vec<PackageId> = self.marker.cache.all().collect();
        for package in all {
            let was_marked = self.was_marked.contains(&package);
            let state = self.marker.state(package);
            if state.mode == Mode::Install && state.is_new && !was_marked {
                state.is_automatic = true;
            }
        }
    }

    /// Tries once more to upgrade what was to be upgraded.
    fn reinstate(&mut self, package: PackageId) {
        let current = self.marker.cache.current(package);
        let state = self.marker.state(package).clone();
        let is_due = state.candidate != state.install
            && current.is_some()
            && state.install.is_some()
            && !state.is_protected
            && self.was_marked.contains(&package);
        if !is_due {
            return;
        }
        let broken_before = self.marker.count_broken();
        self.was_marked.remove(&package);
        self.asked_for.remove(&package);
        self.asked_to_go.remove(&package);
        self.upgraded.insert(package);
        self.marker.install(package, false, Way::SOLVER);
        if self.marker.is_broken(package) || broken_before < self.marker.count_broken() {
            self.marker.keep(package, Way::SOLVER);
        }
    }

    /// Mends one package; true if that changed anything.
    fn mend(&mut self, package: PackageId, round: usize) -> bool {
        let Some(node) = self.marker.state(package).install else { return false };
        if !self.marker.is_broken(package) {
            return false;
        }
        let mut has_changed = false;
        let mut patient = Patient {
            package,
            round,
            in_the_way: Vec::new(),
            fallback: Fallback::Remove,
            has_alternatives: false,
        };
        for group in self.marker.groups_of(package, node) {
            if group.kind().is_critical()
                && self.treat(&mut patient, &group, &mut has_changed) == Next::Package
            {
                break;
            }
        }
        has_changed | self.clear_the_way(&patient)
    }

    /// Looks for a way to have one group satisfied.
    fn treat(&mut self, patient: &mut Patient, group: &Group, has_changed: &mut bool) -> Next {
        let n_before = patient.in_the_way.len();
        patient.has_alternatives = group.first != group.last;
        patient.fallback = Fallback::Remove;
        for place in group.first..=group.last {
            if self.marker.is_group_met(group, Time::Install) {
                patient.has_alternatives = false;
                continue;
            }
            if self.treat_alternative(patient, group, place, has_changed) == Next::Package {
                return Next::Package;
            }
        }
        if patient.has_alternatives && n_before == patient.in_the_way.len() {
            match patient.fallback {
                Fallback::Remove if self.marker.state(patient.package).is_protected => {}
                Fallback::Remove => {
                    self.marker.delete(patient.package, Way::SOLVER);
                    *has_changed = true;
                }
                Fallback::Keep => {
                    self.marker.keep(patient.package, Way::SOLVER);
                    *has_changed = true;
                }
            }
        }
        Next::Alternative
    }

    fn treat_alternative(
        &mut self,
        patient: &mut Patient,
        group: &Group,
        place: usize,
        has_changed: &mut bool,
    ) -> Next {
        let package = patient.package;
        let is_negative = group.deps[place].kind.is_negative();
        let targets = self.targets(package, group, place);
        let is_hopeless = targets.is_empty() && !is_negative && !self.marker.state(package).is_protected;
        if is_hopeless && !self.marker.is_broken_now(package) {
            if patient.has_alternatives {
                return Next::Alternative;
            }
            *has_changed = true;
            self.marker.keep(package, Way::SOLVER);
            return Next::Package;
        }
        let mut is_done = false;
        for (other, node) in targets {
            if self.marker.state(other).install != Some(node) && is_negative {
                continue;
            }
            match self.weigh(patient, group, place, other) {
                Verdict::NextTarget => {}
                Verdict::NoTarget => break,
                Verdict::Done => {
                    *has_changed = true;
                    is_done = true;
                    break;
                }
            }
        }
        if is_hopeless {
            self.give_up(patient);
            *has_changed = true;
            is_done = true;
        }
        if is_done && !patient.has_alternatives { Next::Package } else { Next::Alternative }
    }

    /// Returns every version that one alternative is about.
    fn targets(&mut self, parent: PackageId, group: &Group, place: usize) -> Vec<(PackageId, Node)> {
        let dep = &group.deps[place];
        let is_negative = dep.kind.is_negative();
        let mut targets = Vec::new();
        if !(is_negative && dep.target == parent) {
            let versions = self.marker.cache.record(dep.target).versions.clone();
            let fitting = versions.iter().filter(|node| self.marker.cache.admits(dep, **node));
            targets.extend(fitting.map(|node| (dep.target, *node)));
        }
        for provider in self.marker.cache.providers(dep.target).iter() {
            if !(is_negative && provider.package == parent) && provider.is_admitted_by(dep) {
                targets.push((provider.package, provider.node));
            }
        }
        targets
    }

    /// Decides whether the package or one that it is about has to change.
    fn weigh(&mut self, patient: &mut Patient, group: &Group, place: usize, other: PackageId) -> Verdict {
        let package = patient.package;
        let dep = &group.deps[place];
        let has_less = self.scores.of(package) <= self.scores.of(other);
        let is_new_need = !dep.kind.is_negative() && !self.marker.is_met(package, dep, Time::Now);
        if has_less || is_new_need {
            if self.marker.state(package).is_protected {
                return self.upgrade_for_protected(package, other);
            }
            self.change_itself(patient, group, place, other);
            return Verdict::Done;
        }
        if dep.kind == Kind::Breaks && self.marker.is_group_met(group, Time::Candidate) {
            self.marker.install(other, false, Way::SOLVER);
            return Verdict::NextTarget;
        }
        let state = self.marker.state(other);
        if state.is_protected && state.mode != Mode::Delete {
            return Verdict::NextTarget;
        }
        patient.in_the_way.push((other, group.clone()));
        if dep.kind.is_negative() { Verdict::NextTarget } else { Verdict::NoTarget }
    }

    fn upgrade_for_protected(&mut self, package: PackageId, other: PackageId) -> Verdict {
        if !self.upgrade(other, 0) {
            return Verdict::NextTarget;
        }
        if self.scores.of(other) > self.scores.of(package) {
            self.scores.set(other, self.scores.of(package));
        }
        Verdict::NoTarget
    }

    /// Keeps, upgrades or removes the package itself.
    fn change_itself(&mut self, patient: &mut Patient, group: &Group, place: usize, other: PackageId) {
        let package = patient.package;
        let was_marked = self.marker.state(package).mode == Mode::Install;
        self.marker.keep(package, Way::SOLVER);
        if !self.marker.is_broken(package) {
            self.note_keep(patient, was_marked);
            return;
        }
        if self.upgrade(package, 0) {
            return;
        }
        if !patient.has_alternatives || self.marker.state(package).is_garbage {
            self.marker.delete(package, Way::SOLVER);
            if patient.round > 1 && self.scores.of(other) > self.scores.of(package) {
                self.scores.set(package, self.scores.of(other));
            }
        } else {
            self.try_alternative(group.deps[place].target);
        }
    }

    /// Keeping the package will do; if alternatives are left they are tried first.
    fn note_keep(&mut self, patient: &mut Patient, was_marked: bool) {
        patient.fallback = Fallback::Keep;
        if patient.has_alternatives && was_marked {
            self.marker.install(patient.package, false, Way::SOLVER);
        }
    }

    /// Installs an alternative, unless that breaks something else.
    fn try_alternative(&mut self, target: PackageId) {
        let is_installed = self.marker.cache.current(target).is_some();
        let state = self.marker.state(target);
        if is_installed
            || state.mode == Mode::Delete
            || state.candidate.is_none()
            || self.asked_to_go.contains(&target)
        {
            return;
        }
        let n_before = self.marker.count_broken();
        let way = Way { depth: 1, from_user: false };
        self.marker.install(target, true, way);
        if self.marker.is_broken(target) || self.marker.count_broken() > n_before {
            self.marker.delete(target, way);
        }
    }

    /// Nothing can ever satisfy a need that was unmet before.
    fn give_up(&mut self, patient: &mut Patient) {
        let package = patient.package;
        let was_marked = self.marker.state(package).mode == Mode::Install;
        self.marker.keep(package, Way::SOLVER);
        if !self.marker.is_broken(package) {
            self.note_keep(patient, was_marked);
        } else if !patient.has_alternatives {
            self.marker.delete(package, Way::SOLVER);
        }
    }

    /// Removes or keeps what is in the way, if the package still stands.
    fn clear_the_way(&mut self, patient: &Patient) -> bool {
        let package = patient.package;
        if self.marker.state(package).install.is_none() {
            return false;
        }
        let mut has_changed = false;
        for (other, group) in &patient.in_the_way {
            let has_yielded = match self.marker.is_group_met(group, Time::Now) {
                true => self.marker.keep(*other, Way::SOLVER),
                false => group.kind().is_negative() && self.marker.delete(*other, Way::SOLVER),
            };
            let points = self.scores.of(package);
            if (!has_yielded || patient.round > 1) && points > self.scores.of(*other) {
                self.scores.set(*other, points);
                has_changed = true;
            }
            has_changed |= has_yielded;
        }
        has_changed
    }

    /// Upgrades a package with what that needs; false if it cannot be.
    fn upgrade(&mut self, package: PackageId, depth: usize) -> bool {
        let state = self.marker.state(package).clone();
        let is_upgradable = (state.is_new || state.is_newer) && state.candidate.is_some();
        if depth > DEEPEST
            || self.upgraded.contains(&package)
            || !is_upgradable
            || self.asked_for.contains(&package)
        {
            return false;
        }
        self.upgraded.insert(package);
        let was_kept = state.mode == Mode::Keep;
        if !self.marker.install(package, false, Way::SOLVER) {
            return false;
        }
        let Some(node) = self.marker.state(package).install else { return false };
        for group in self.marker.groups_of(package, node) {
            if group.kind().is_critical() && !self.upgrade_need(&group, depth) {
                match was_kept {
                    true => self.marker.keep(package, Way::SOLVER),
                    false => self.marker.delete(package, Way::SOLVER),
                };
                return false;
            }
        }
        true
    }

    fn upgrade_need(&mut self, group: &Group, depth: usize) -> bool {
        let mut ok = true;
        for place in group.first..=group.last {
            if self.marker.is_group_met(group, Time::Install) {
                break;
            }
            let dep = &group.deps[place];
            let target = self.single_target(group.parent, dep.target);
            if self.marker.state(target).is_protected {
                ok = false;
            } else if self.marker.is_met(group.parent, dep, Time::Candidate) {
                ok = self.upgrade(target, depth + 1);
                if ok {
                    break;
                }
            } else if dep.kind.is_negative() {
                break;
            } else {
                ok = false;
            }
        }
        ok
    }

    /// Returns who is meant by a name: the package itself, or else the first other that provides it.
    fn single_target(&mut self, parent: PackageId, name: PackageId) -> PackageId {
        if !self.marker.cache.record(name).versions.is_empty() {
            return name;
        }
        let providers = self.marker.cache.providers(name);
        providers.iter().map(|provider| provider.package).find(|package| *package != parent).unwrap_or(name)
    }

    /// Mends what is broken by keeping things as they are; false if that does not suffice.
    pub(super) fn resolve_by_keep(&mut self) -> bool {
        let asked_for = &self.asked_for;
        self.scores = scores::make(self.marker, |package| asked_for.contains(&package));
        let mut walk = Walk::by_score(self.marker, &self.scores);
        let mut last_stop = None;
        walk.begin();
        while let Some(package) = walk.next(self.marker) {
            if !self.is_worse(package) {
                continue;
            }
            if !self.marker.state(package).is_protected {
                self.marker.keep(package, Way::SOLVER);
                if !self.is_worse(package) {
                    walk.begin();
                    continue;
                }
            }
            self.keep_needs(package);
            if self.is_worse(package) {
                continue;
            }
            if last_stop.replace(package) == Some(package) {
                return false;
            }
            walk.begin();
        }
        self.marker.count_broken() == 0
    }

    /// Whether a package will lack what it did not lack before.
    fn is_worse(&mut self, package: PackageId) -> bool {
        self.marker.state(package).install.is_some()
            && (self.marker.is_broken(package)
                || !self.marker.is_policy_broken_now(package) && self.marker.is_policy_broken(package))
    }

    fn keep_needs(&mut self, package: PackageId) {
        let Some(node) = self.marker.state(package).install else { return };
        for group in self.marker.groups_of(package, node) {
            if !group.kind().is_critical() || self.marker.is_group_met(&group, Time::Install) {
                continue;
            }
            for place in group.first..=group.last {
                for (other, _) in self.targets(package, &group, place) {
                    let is_installed = self.marker.cache.current(other).is_some();
                    let state = self.marker.state(other);
                    if !is_installed || state.install.is_none() {
                        continue;
                    }
                    if !state.is_protected {
                        self.marker.keep(other, Way::SOLVER);
                    }
                    if !self.is_worse(package) {
                        return;
                    }
                }
            }
        }
    }
}

/// apt has no bound here; ours keeps a hostile archive from filling the stack.
const DEEPEST: usize = 3000;

/// What is decided about one version that an alternative is about.
enum Verdict {
    NextTarget,
    NoTarget,
    Done,
}
