//! What a part says in the words that SPDX's versions share.

use std::collections::BTreeMap;

use super::{Class, Inventory, Part, Terms, is_address};

/// What stands for terms that nobody stated.
const UNSTATED: &str = "LicenseRef-estaleiro-unstated";
const UNSTATED_TEXT: &str = "Where this was found, no terms are stated.";
/// What stands for the terms of what is nothing but its parts.
const PARTS: &str = "LicenseRef-estaleiro-parts";
const PARTS_TEXT: &str =
    "This is a collection. Each of its parts is under the terms that are stated with it.";

impl<'a> Inventory<'a> {
    /// Returns the image and its parts.
    pub(in crate::bom) fn all(&self) -> impl Iterator<Item = &Part<'a>> {
        [&self.image].into_iter().chain(&self.parts)
    }

    /// Returns the names in what is concluded that are no identifiers, with their texts.
    pub(in crate::bom) fn own_licences(&self) -> BTreeMap<&str, &str> {
        let stated = self.all().flat_map(|part| &part.terms).flat_map(Terms::own_names);
        let unstated = self.all().map(Part::concluded).filter(|name| [UNSTATED, PARTS].contains(name));
        let text = |name: &str| match name {
            UNSTATED => UNSTATED_TEXT,
            PARTS => PARTS_TEXT,
            name => self.texts.entry(name).map_or("The text is not recorded.", |(_, text)| text),
        };
        stated.chain(unstated).map(|name| (name, text(name))).collect()
    }
}

impl Part<'_> {
    /// What is declared is what is concluded: nothing else is known.
    pub(in crate::bom) fn concluded(&self) -> &str {
        match (&self.terms, self.class) {
            (Some(terms), _) => &terms.expression,
            (None, Class::Image | Class::Base | Class::OperatingSystem) => PARTS,
            (None, Class::Package(_) | Class::File { .. } | Class::Inside { .. }) => UNSTATED,
        }
    }

    /// Names the source package in the words that trivy reads.
    pub(in crate::bom) fn source_info(&self) -> Option<String> {
        let source = self.source.filter(|(name, _)| !name.is_empty());
        source.map(|(name, version)| format!("built package from: {name} {version}"))
    }

    /// Returns where it was had, or what it was made from.
    pub(in crate::bom) fn origin(&self) -> Option<String> {
        let address = self.address.filter(|address| is_address(address)).map(str::to_owned);
        let commit = self.commit.filter(|(repository, _)| is_address(repository));
        let commit = commit
            .map(|(repository, commit)| format!("git+{}@{commit}", repository.trim_start_matches("git+")));
        address.or(commit)
    }

    /// Returns all else that is known, line by line.
    pub(in crate::bom) fn comment(&self) -> Option<String> {
        let lines: Vec<String> =
            self.remarks.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        (!lines.is_empty()).then(|| lines.join("\n"))
    }
}
