//! What packages lead to among those that were chosen together.
//!
//! Nothing is decided here: of alternatives the first counts that is there.

use std::collections::BTreeSet;

use super::offers::Offers;
use crate::debian::{Package, Relation, RelationError, RelationField};

/// Packages that were chosen together.
pub struct Reach<'a> {
    packages: &'a [&'a Package],
    offers: Offers,
}

impl<'a> Reach<'a> {
    /// Looks at `packages`; they go by their places.
    ///
    /// # Errors
    /// When what one provides can't be read.
    pub fn new(packages: &'a [&'a Package]) -> Result<Reach<'a>, RelationError> {
        Ok(Reach { packages, offers: Offers::of(packages.iter().copied().enumerate())? })
    }

    /// Returns the places of what `starts` lead to, themselves included: by `Pre-Depends`, `Depends` and, with
    /// `recommends`, `Recommends`.
    ///
    /// # Errors
    /// When one of these fields can't be read.
    pub fn from(&self, starts: Vec<usize>, recommends: bool) -> Result<BTreeSet<usize>, RelationError> {
        let mut fields = vec![RelationField::PreDepends, RelationField::Depends];
        fields.extend(recommends.then_some(RelationField::Recommends));
        let mut reached = BTreeSet::new();
        let mut waiting = starts;
        while let Some(place) = waiting.pop() {
            if !reached.insert(place) {
                continue;
            }
            for field in &fields {
                let groups = self.packages[place].relations(*field)?;
                waiting.extend(
                    groups.iter().filter_map(|group| group.iter().find_map(|one| self.is_met_by(one))),
                );
            }
        }
        Ok(reached)
    }

    /// Returns the place of the package that goes by a name, its own or one that it provides.
    pub fn named(&self, name: &str) -> Option<usize> {
        let name = name.into();
        self.is_met_by(&Relation { name, qualifier: None, constraint: None, architectures: Vec::new() })
    }

    /// A package of that very name comes before one that stands in for it.
    fn is_met_by(&self, relation: &Relation) -> Option<usize> {
        self.offers.all(relation).min_by_key(|place| self.packages[*place].name != relation.name)
    }
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
        Reach::new(&packages).unwrap().from(starts.to_vec(), recommends).unwrap().into_iter().collect()
    }

    #[test]
    fn what_a_package_leads_to_is_there_and_nothing_else() {
        assert_eq!(reached(&[0], false), [0, 1, 2, 3]);
        assert_eq!(reached(&[0], true), [0, 1, 2, 3, 4]);
        assert_eq!(reached(&[1], false), [1]);
        assert_eq!(reached(&[], true), Vec::<usize>::new());
    }
}
