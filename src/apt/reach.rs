//! What packages lead to among those that were chosen together.
//!
//! Nothing is decided here: of alternatives the first counts that is there.

use std::collections::BTreeSet;

use crate::debian::{Package, Relation, RelationError, RelationField};

/// Returns the places of what `starts` lead to among `packages`, themselves included: by `Pre-Depends`, `Depends` and,
/// with `recommends`, `Recommends`.
pub fn reach(
    packages: &[&Package],
    starts: Vec<usize>,
    recommends: bool,
) -> Result<BTreeSet<usize>, RelationError> {
    let mut fields = vec![RelationField::PreDepends, RelationField::Depends];
    fields.extend(recommends.then_some(RelationField::Recommends));
    let mut reached = BTreeSet::new();
    let mut waiting = starts;
    while let Some(place) = waiting.pop() {
        if !reached.insert(place) {
            continue;
        }
        for field in &fields {
            for alternatives in packages[place].relations(*field)? {
                waiting.extend(first(packages, &alternatives)?);
            }
        }
    }
    Ok(reached)
}

/// Returns the place of the package that goes by a name, its own or one that it provides.
pub fn named(packages: &[&Package], name: &str) -> Result<Option<usize>, RelationError> {
    let relation =
        Relation { name: name.into(), qualifier: None, constraint: None, architectures: Vec::new() };
    first(packages, &[relation])
}

fn first(packages: &[&Package], alternatives: &[Relation]) -> Result<Option<usize>, RelationError> {
    for relation in alternatives {
        let is_it = |package: &&Package| package.name == relation.name && relation.admits(&package.version);
        if let Some(place) = packages.iter().position(is_it) {
            return Ok(Some(place));
        }
        for (place, package) in packages.iter().enumerate() {
            if provides(package, relation)? {
                return Ok(Some(place));
            }
        }
    }
    Ok(None)
}

/// Whether a package stands in for what a relation names (Debian policy 7.5).
fn provides(package: &Package, relation: &Relation) -> Result<bool, RelationError> {
    let provided = package.provides()?;
    let mut same = provided.iter().filter(|provided| provided.name == relation.name);
    Ok(same.any(|provided| match &provided.version {
        Some(version) => relation.admits(version),
        None => relation.constraint.is_none(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::debian::deb822;

    fn reached(starts: &[usize], recommends: bool) -> Vec<usize> {
        let text = "Package: a\nVersion: 1\nArchitecture: all\nDepends: none | b (>= 2), c, virtual\n\n\
                    Package: b\nVersion: 2\nArchitecture: all\nProvides: none (= 1)\nRecommends: e\n\n\
                    Package: c\nVersion: 1\nArchitecture: all\nPre-Depends: b (<< 2) | a\n\n\
                    Package: d\nVersion: 1\nArchitecture: all\nProvides: virtual\n\n\
                    Package: e\nVersion: 1\nArchitecture: all\n";
        let packages: Vec<Package> = deb822::paragraphs(text)
            .map(|paragraph| Package::from_paragraph(&paragraph.unwrap()).unwrap())
            .collect();
        let packages: Vec<&Package> = packages.iter().collect();
        reach(&packages, starts.to_vec(), recommends).unwrap().into_iter().collect()
    }

    #[test]
    fn what_a_package_leads_to_is_there_and_nothing_else() {
        assert_eq!(reached(&[0], false), [0, 1, 2, 3]);
        assert_eq!(reached(&[0], true), [0, 1, 2, 3, 4]);
        assert_eq!(reached(&[1], false), [1]);
        assert_eq!(reached(&[], true), Vec::<usize>::new());
    }
}
