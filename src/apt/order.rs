//! In which order a selection is unpacked and configured, and when what goes is removed.
//!
//! What a package pre-depends on is configured before it is unpacked, and no more than that: the rest is unpacked, and
//! left for `dpkg --configure --pending`, as apt leaves it. In which order dpkg takes it decides which numbers new users
//! get, so any other order would make another root than apt's. As much as can be goes into one step, since each step is
//! one call of dpkg. Which files an unpack replaces and what a script does is dpkg's business.
//!
//! See <https://www.debian.org/doc/debian-policy/ch-maintainerscripts.html#details-of-unpack-phase-of-installation-or-upgrade>.

use std::collections::{BTreeMap, BTreeSet};

use super::offers::Offers;
use crate::debian::package::{Package, RelationError, RelationField};
use crate::debian::{Installed, Relation};

/// One call of dpkg; the numbers are places in the list of packages given to [`plan`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Unpack these, in this order.
    Unpack(Vec<usize>),
    /// Configure these, in this order.
    Configure(Vec<usize>),
}

/// When a package goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Departure {
    /// Before anything is unpacked: nothing that stays depends on it.
    First,
    /// When everything is unpacked: what takes its place is there by then.
    WhenUnpacked,
    /// When everything is configured: what stays can't do without it, or without what takes its place, at any time.
    WhenConfigured,
}

/// Returns when each package of `leaving`, by name, goes; as late as the one of them that depends on it.
///
/// Also what depends on something that goes may be configured, once, in between: only Pre-Depends, and whatever an
/// Essential package depends on, must hold all the time (Debian policy 7.2, 3.8).
pub fn departures(
    leaving: &[String],
    installed: &[Installed],
) -> Result<BTreeMap<String, Departure>, RelationError> {
    let there: Vec<&Package> =
        installed.iter().filter(|one| one.is_installed()).map(|one| &one.package).collect();
    let leaves = |package: &Package| leaving.iter().any(|name| **name == *package.name);
    let staying = Offers::of(there.iter().copied().enumerate().filter(|(_, package)| !leaves(package)))?;
    let going = Offers::of(there.iter().copied().enumerate().filter(|(_, package)| leaves(package)))?;
    let mut departures: BTreeMap<String, Departure> =
        leaving.iter().map(|name| (name.clone(), Departure::First)).collect();
    let mut is_settled = false;
    while !is_settled {
        is_settled = true;
        for package in &there {
            for (field, at_least) in needs_until(package, departures.get(&*package.name)) {
                let groups = package.relations(field)?;
                let open = groups.iter().filter(|group| group.iter().all(|one| staying.first(one).is_none()));
                for needed in open.flatten().flat_map(|relation| going.all(relation)) {
                    let departure = departures.entry(there[needed].name.to_string());
                    let departure = departure.or_insert(Departure::First);
                    is_settled &= *departure >= at_least;
                    *departure = at_least.max(*departure);
                }
            }
        }
    }
    Ok(departures)
}

/// Returns until when what a package depends on has to stay; `own` is when it goes itself.
fn needs_until(package: &Package, own: Option<&Departure>) -> [(RelationField, Departure); 2] {
    let (depends, pre_depends) = match own {
        Some(departure) => (*departure, *departure),
        None if package.essential => (Departure::WhenConfigured, Departure::WhenConfigured),
        None => (Departure::WhenUnpacked, Departure::WhenConfigured),
    };
    [(RelationField::Depends, depends), (RelationField::PreDepends, pre_depends)]
}

/// Plans the installation of `packages` beside what is installed; the same set gets the same plan in any order.
/// What is unpacked but not configured in the end is to be configured by `dpkg --configure --pending`.
///
/// Packages that pre-depend on each other in a circle, which policy forbids, are unpacked by name.
pub fn plan(packages: &[&Package], installed: &[Installed]) -> Result<Vec<Step>, RelationError> {
    let mut by_name: Vec<usize> = (0..packages.len()).collect();
    by_name.sort_by(|a, b| key(packages[*a]).cmp(&key(packages[*b])));
    let sorted: Vec<&Package> = by_name.iter().map(|index| packages[*index]).collect();
    let steps = Planner::new(&sorted, installed)?.steps();
    let given = |order: Vec<usize>| order.into_iter().map(|index| by_name[index]).collect();
    Ok(steps
        .into_iter()
        .map(|step| match step {
            Step::Unpack(order) => Step::Unpack(given(order)),
            Step::Configure(order) => Step::Configure(given(order)),
        })
        .collect())
}

fn key(package: &Package) -> (&str, &str, &str) {
    (&package.name, package.version.as_str(), &package.architecture)
}

/// The packages sorted by name, and which of them must come before which.
struct Planner {
    count: usize,
    /// What must be configured before the package is unpacked.
    before_unpack: Vec<Vec<usize>>,
    /// What must be configured before the package is.
    before_configure: Vec<Vec<usize>>,
    /// What is better unpacked before the package: what it needs, and what it conflicts with in the old version.
    unpack_after: Vec<Vec<usize>>,
}

impl Planner {
    fn new(packages: &[&Package], installed: &[Installed]) -> Result<Planner, RelationError> {
        let there = staying(packages, installed)?;
        let coming = Offers::of(packages.iter().copied().enumerate())?;
        let mut planner = Planner {
            count: packages.len(),
            before_unpack: Vec::new(),
            before_configure: Vec::new(),
            unpack_after: Vec::new(),
        };
        for (index, package) in packages.iter().enumerate() {
            let needs = |field| {
                Ok::<_, RelationError>(first_offers(&package.relations(field)?, index, &there, &coming))
            };
            let before_unpack = needs(RelationField::PreDepends)?;
            let depends = needs(RelationField::Depends)?;
            let before_configure: Vec<usize> = before_unpack.iter().copied().chain(depends).collect();
            let mut unpack_after = replaced_conflicts(package, index, packages, installed)?;
            unpack_after.extend(&before_configure);
            planner.before_unpack.push(before_unpack);
            planner.before_configure.push(before_configure);
            planner.unpack_after.push(unpack_after);
        }
        Ok(planner)
    }

    /// Unpacks all that may be, configures what the rest waits for, and again.
    fn steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        let mut packed: BTreeSet<usize> = (0..self.count).collect();
        let mut unpacked = BTreeSet::new();
        let mut configured = BTreeSet::new();
        while !packed.is_empty() {
            let ready = self.ready_to_unpack(&packed, &configured);
            packed.retain(|index| !ready.contains(index));
            unpacked.extend(&ready);
            push(&mut steps, Step::Unpack(self.in_order(&ready, &self.unpack_after)));
            let whole = self.ready_to_configure(&unpacked, &configured);
            let awaited = &self.awaited(&packed, &unpacked) & &whole;
            unpacked.retain(|index| !awaited.contains(index));
            configured.extend(&awaited);
            push(&mut steps, Step::Configure(self.in_order(&awaited, &self.before_configure)));
        }
        steps
    }

    /// Returns what must be configured before more can be unpacked, and all that it needs itself.
    fn awaited(&self, packed: &BTreeSet<usize>, unpacked: &BTreeSet<usize>) -> BTreeSet<usize> {
        let mut awaited = BTreeSet::new();
        let mut needs: Vec<usize> =
            packed.iter().flat_map(|index| &self.before_unpack[*index]).copied().collect();
        while let Some(need) = needs.pop() {
            if unpacked.contains(&need) && awaited.insert(need) {
                needs.extend(&self.before_configure[need]);
            }
        }
        awaited
    }

    fn ready_to_unpack(&self, packed: &BTreeSet<usize>, configured: &BTreeSet<usize>) -> BTreeSet<usize> {
        let is_ready =
            |index: &usize| self.before_unpack[*index].iter().all(|need| configured.contains(need));
        let ready: BTreeSet<usize> = packed.iter().copied().filter(is_ready).collect();
        if ready.is_empty() { packed.first().copied().into_iter().collect() } else { ready }
    }

    /// Returns the largest set of unpacked packages whose needs lie within it or are configured.
    fn ready_to_configure(
        &self,
        unpacked: &BTreeSet<usize>,
        configured: &BTreeSet<usize>,
    ) -> BTreeSet<usize> {
        let mut needed_by: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for index in unpacked {
            for need in &self.before_configure[*index] {
                needed_by.entry(*need).or_default().push(*index);
            }
        }
        let mut ready = unpacked.clone();
        let is_missing = |need: &usize| !unpacked.contains(need) && !configured.contains(need);
        let mut missing: Vec<usize> = needed_by.keys().copied().filter(is_missing).collect();
        while let Some(need) = missing.pop() {
            let waiting = needed_by.get(&need).into_iter().flatten();
            missing.extend(waiting.filter(|index| ready.remove(index)));
        }
        ready
    }

    /// Sorts so that what is needed comes first; a circle is cut where it is entered.
    fn in_order(&self, members: &BTreeSet<usize>, needs: &[Vec<usize>]) -> Vec<usize> {
        let mut order = Vec::with_capacity(members.len());
        let mut seen = BTreeSet::new();
        for start in members {
            let mut path = if seen.insert(*start) { vec![(*start, 0)] } else { Vec::new() };
            while let Some((index, next)) = path.last_mut() {
                let Some(need) = needs[*index].get(*next) else {
                    order.push(*index);
                    path.pop();
                    continue;
                };
                *next += 1;
                if members.contains(need) && seen.insert(*need) {
                    path.push((*need, 0));
                }
            }
        }
        order
    }
}

fn push(steps: &mut Vec<Step>, step: Step) {
    let is_empty = match &step {
        Step::Unpack(order) | Step::Configure(order) => order.is_empty(),
    };
    if is_empty {
        return;
    }
    if let (Some(Step::Unpack(before)), Step::Unpack(order)) = (steps.last_mut(), &step) {
        before.extend(order);
        return;
    }
    steps.push(step);
}

/// Returns what offers there are of what is installed and not about to be replaced.
fn staying(packages: &[&Package], installed: &[Installed]) -> Result<Offers, RelationError> {
    let replaced: BTreeSet<&str> = packages.iter().map(|package| &*package.name).collect();
    let stays = installed.iter().filter(|one| one.is_installed() && !replaced.contains(&*one.package.name));
    Offers::of(stays.map(|one| &one.package).enumerate())
}

/// Returns for each group that is not satisfied already the first of the coming packages that satisfies it.
fn first_offers(groups: &[Vec<Relation>], own: usize, there: &Offers, coming: &Offers) -> Vec<usize> {
    let open = groups.iter().filter(|group| group.iter().all(|relation| there.first(relation).is_none()));
    let found = open.filter_map(|group| group.iter().find_map(|relation| coming.first(relation)));
    found.filter(|index| *index != own).collect()
}

/// Returns the coming packages whose installed version this one cannot stand.
fn replaced_conflicts(
    package: &Package,
    own: usize,
    packages: &[&Package],
    installed: &[Installed],
) -> Result<Vec<usize>, RelationError> {
    let mut found = Vec::new();
    for field in [RelationField::Conflicts, RelationField::Breaks] {
        for relation in package.relations(field)?.into_iter().flatten() {
            let old = installed.iter().find(|one| one.is_installed() && one.package.name == relation.name);
            if old.is_some_and(|old| relation.admits(&old.package.version)) {
                let new = packages.binary_search_by(|other| (*other.name).cmp(&relation.name)).ok();
                found.extend(new.filter(|index| *index != own));
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::debian::{deb822, status};

    fn package(line: &str) -> Package {
        let (name, fields) = line.split_once(' ').unwrap_or((line, ""));
        let fields = fields.replace("; ", "\n");
        let text = format!("Package: {name}\nVersion: 2\nArchitecture: all\n{fields}\n");
        Package::from_paragraph(&deb822::paragraphs(&text).next().unwrap().unwrap()).unwrap()
    }

    fn shown(packages: &[&str], installed: &[Installed]) -> String {
        let packages: Vec<Package> = packages.iter().map(|line| package(line)).collect();
        let packages: Vec<&Package> = packages.iter().collect();
        let names =
            |order: &[usize]| order.iter().map(|index| &*packages[*index].name).collect::<Vec<_>>().join(" ");
        let steps = plan(&packages, installed).unwrap();
        let steps = steps.iter().map(|step| match step {
            Step::Unpack(order) => format!("unpack {}", names(order)),
            Step::Configure(order) => format!("configure {}", names(order)),
        });
        steps.collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn without_pre_dependencies_one_unpack_suffices() {
        let world = ["a Depends: b", "b Depends: c | d", "c", "z"];
        assert_eq!(shown(&world, &[]), "unpack c b a z");
        assert_eq!(shown(&[], &[]), "");
    }

    #[test]
    fn what_is_pre_depended_on_is_configured_before_the_unpack() {
        let world = ["a Pre-Depends: b", "b Depends: c", "c", "d Depends: a", "e"];
        assert_eq!(shown(&world, &[]), "unpack c b d e; configure c b; unpack a");
    }

    #[test]
    fn what_is_installed_need_not_be_waited_for() {
        let installed =
            status::parse("Package: b\nStatus: install ok installed\nVersion: 1\nArchitecture: all\n")
                .unwrap();
        assert_eq!(shown(&["a Pre-Depends: b | c", "c"], &installed), "unpack a c");
    }

    #[test]
    fn what_conflicts_with_an_old_version_waits_for_the_new_one() {
        let installed =
            status::parse("Package: z\nStatus: install ok installed\nVersion: 1\nArchitecture: all\n")
                .unwrap();
        assert_eq!(shown(&["a Conflicts: z (<< 2)", "z"], &installed), "unpack z a");
    }

    #[test]
    fn circles_are_cut_the_same_way_every_time() {
        assert_eq!(shown(&["a Depends: b", "b Depends: c", "c Depends: a"], &[]), "unpack c b a");
        assert_eq!(shown(&["a Pre-Depends: b", "b Pre-Depends: a", "c"], &[]), "unpack c a b");
    }

    #[test]
    fn what_goes_waits_for_those_that_stay_and_need_it() {
        let record = |line: &&str| {
            let (name, fields) = line.split_once(' ').unwrap_or((line, ""));
            let fields = fields.replace("; ", "\n");
            format!(
                "Package: {name}\nStatus: install ok installed\nVersion: 1\nArchitecture: all\n{fields}\n"
            )
        };
        let installed = [
            "free",
            "one",
            "chooser Depends: one | two",
            "mawk Provides: awk",
            "base Essential: yes; Depends: awk",
            "lib",
            "pre Pre-Depends: lib",
            "deep",
            "one-lib Depends: deep",
            "top Depends: one-lib | other",
            "twice",
            "also Provides: twice",
            "content Depends: twice",
        ];
        let installed = status::parse(&installed.iter().map(record).collect::<Vec<_>>().join("\n")).unwrap();
        let leaving = ["free", "one", "mawk", "lib", "deep", "one-lib", "twice"].map(str::to_owned);
        let departures = departures(&leaving, &installed).unwrap();
        let when = |departure| {
            let names = departures.iter().filter(|(_, when)| **when == departure);
            names.map(|(name, _)| &**name).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(when(Departure::First), "free twice");
        assert_eq!(when(Departure::WhenUnpacked), "deep one one-lib");
        assert_eq!(when(Departure::WhenConfigured), "lib mawk");
    }

    #[test]
    fn virtual_packages_count_and_the_first_alternative_decides() {
        let world = [
            "a Pre-Depends: awk",
            "mawk Provides: awk",
            "x Pre-Depends: p (>= 2)",
            "y Provides: p (= 3)",
            "w Provides: p (= 1)",
        ];
        assert_eq!(shown(&world, &[]), "unpack mawk w y; configure mawk y; unpack a x");
    }

    #[test]
    fn the_plan_does_not_depend_on_the_order_given() {
        let world = ["a Pre-Depends: b", "b Depends: c", "c Depends: d", "d Depends: c", "e Depends: a"];
        let mut turned = world;
        let plan = shown(&world, &[]);
        for _ in 0..world.len() {
            turned.rotate_left(1);
            assert_eq!(shown(&turned, &[]), plan);
        }
    }

    #[test]
    fn long_chains_are_no_trouble() {
        let world: Vec<String> = (0..5000).map(|n| format!("p{n} Depends: p{}", n + 1)).collect();
        let world: Vec<&str> = world.iter().map(String::as_str).collect();
        assert!(shown(&world, &[]).starts_with("unpack p4999 p4998"));
    }
}
