//! Locked versions that stay: everything but what is to be updated, and what that can't do without.

use std::collections::{BTreeMap, BTreeSet};

use super::LockedPackage;
use crate::apt::resolve::{self, Request, Selection, Universe, Unsatisfiable};
use crate::debian::Version;

/// Versions to keep, by the package's name.
pub type Kept = BTreeMap<String, Version>;

/// Returns what is to be kept of `packages` while those called `names` are updated.
pub fn all_but<'a>(packages: impl Iterator<Item = &'a LockedPackage>, names: &[String]) -> Kept {
    let stays = packages.filter(|package| !names.contains(&package.name));
    stays.filter_map(|package| Some((package.name.clone(), package.version.parse().ok()?))).collect()
}

/// Answers a request in a way that keeps as much as can be kept; what no repository has any more can't.
pub fn resolve(universe: &Universe, request: &Request<'_>, kept: &Kept) -> Result<Selection, Unsatisfiable> {
    let mut kept = kept.clone();
    kept.retain(|name, version| offers(universe, name, version));
    let with = |kept: &Kept| resolve::resolve(universe, &Request { keep: kept.clone(), ..request.clone() });
    let first = with(&kept);
    if first.is_ok() || kept.is_empty() {
        return first;
    }
    // What stands in the way is among those that would move if all of them were free.
    let whole = with(&Kept::new())?;
    let movers = moved(universe, &whole, &kept);
    let mut held = kept.clone();
    held.retain(|name, _| !movers.contains(name));
    let Ok(mut best) = with(&held) else { return Ok(whole) };
    for (name, version) in kept.into_iter().filter(|(name, _)| movers.contains(name)) {
        held.insert(name.clone(), version);
        match with(&held) {
            Ok(selection) => best = selection,
            Err(_) => {
                held.remove(&name);
            }
        }
    }
    Ok(best)
}

fn offers(universe: &Universe, name: &str, version: &Version) -> bool {
    universe.versions(name).iter().any(|id| universe.candidate(*id).package.version == *version)
}

/// Returns the names of those to be kept that a selection doesn't have in that version.
fn moved(universe: &Universe, selection: &Selection, kept: &Kept) -> BTreeSet<String> {
    let chosen = selection.install.iter().map(|id| &universe.candidate(*id).package);
    let moved = chosen.filter(|package| kept.get(&*package.name).is_some_and(|at| *at != package.version));
    moved.map(|package| package.name.to_string()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apt::index::{Index, RepositoryId};
    use crate::apt::resolve::Wanted;

    /// A universe of packages, each written as `name version` with what it depends on.
    fn universe(packages: &[(&str, &str)]) -> Universe {
        let hex = "0".repeat(64);
        let entry = |(package, depends): &(&str, &str)| {
            let (name, version) = package.split_once(' ').unwrap();
            let depends = if depends.is_empty() { String::new() } else { format!("Depends: {depends}\n") };
            format!(
                "Package: {name}\nVersion: {version}\nArchitecture: all\n{depends}Filename: x\nSize: 1\nSHA256: {hex}\n\n"
            )
        };
        let text: String = packages.iter().map(entry).collect();
        Universe::new([Index::parse(&text, "amd64", RepositoryId(0)).unwrap()], "amd64")
    }

    fn kept(universe: &Universe, wanted: &[&str], kept: &[(&str, &str)]) -> Vec<String> {
        let install = wanted.iter().map(|name| Wanted { name: (*name).into(), version: None }).collect();
        let kept =
            kept.iter().map(|(name, version)| ((*name).to_owned(), version.parse().unwrap())).collect();
        let request = Request { install, ..Request::default() };
        let selection = resolve(universe, &request, &kept).unwrap();
        let chosen = selection.install.iter().map(|id| &universe.candidate(*id).package);
        chosen.map(|package| format!("{} {}", package.name, package.version)).collect()
    }

    #[test]
    fn what_is_kept_stays_and_the_rest_is_the_newest() {
        let universe = universe(&[("a 1", ""), ("a 2", ""), ("b 1", ""), ("b 2", "")]);
        assert_eq!(kept(&universe, &["a", "b"], &[("a", "1")]), ["a 1", "b 2"]);
        assert_eq!(kept(&universe, &["a", "b"], &[("a", "1"), ("b", "1")]), ["a 1", "b 1"]);
    }

    #[test]
    fn what_an_update_needs_moves_along_and_nothing_else() {
        let universe = universe(&[
            ("tool 1", "lib (= 1)"),
            ("tool 2", "lib (= 2)"),
            ("lib 1", ""),
            ("lib 2", ""),
            ("other 1", ""),
            ("other 2", ""),
        ]);
        let locked = [("lib", "1"), ("other", "1")];
        assert_eq!(kept(&universe, &["tool", "other"], &locked), ["lib 2", "other 1", "tool 2"]);
    }

    #[test]
    fn a_version_that_no_repository_has_any_more_moves() {
        let universe = universe(&[("a 2", ""), ("b 1", ""), ("b 2", "")]);
        assert_eq!(kept(&universe, &["a", "b"], &[("a", "1"), ("b", "1")]), ["a 2", "b 1"]);
    }
}
