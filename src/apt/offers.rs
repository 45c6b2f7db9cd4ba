//! Which packages of a list are what a relation asks for: by their own name, or as a virtual package (Debian policy 7.5).

use std::collections::BTreeMap;

use crate::debian::{Package, Relation, RelationError, Version};

/// Which packages of a list offer a name, as their own or as a virtual one.
#[derive(Default)]
pub(super) struct Offers {
    by_name: BTreeMap<Box<str>, Vec<(usize, Option<Version>)>>,
}

impl Offers {
    /// Reads the packages, each with what it is to go by.
    pub(super) fn of<'a>(
        packages: impl Iterator<Item = (usize, &'a Package)>,
    ) -> Result<Offers, RelationError> {
        let mut offers = Offers::default();
        for (index, package) in packages {
            offers
                .by_name
                .entry(package.name.clone())
                .or_default()
                .push((index, Some(package.version.clone())));
            for provided in package.provides()? {
                offers.by_name.entry(provided.name).or_default().push((index, provided.version));
            }
        }
        Ok(offers)
    }

    /// Returns the first package that is what a relation asks for.
    pub(super) fn first(&self, relation: &Relation) -> Option<usize> {
        self.all(relation).next()
    }

    /// Returns all packages that are what a relation asks for.
    pub(super) fn all<'b>(&'b self, relation: &'b Relation) -> impl Iterator<Item = usize> + 'b {
        let admits = |version: &Option<Version>| match version {
            Some(version) => relation.admits(version),
            None => relation.constraint.is_none(),
        };
        let offers = self.by_name.get(&relation.name).into_iter().flatten();
        offers.filter(move |(_, version)| admits(version)).map(|(index, _)| *index)
    }
}
