//! Under which terms packages may be used: expressions, and the texts of what has no identifier.

use std::collections::BTreeSet;

use super::super::parts::{Class, Part, own_names, reference};
use super::types::{Element, Entry, Expression, Text};
use super::{DATA_LICENCE, View};

impl<'a> View<'a> {
    /// Returns the expressions and texts, and which package is under which.
    pub(super) fn licences(&self) -> Vec<Element<'a>> {
        let concluded = self.licensed().map(Part::concluded);
        let expressions: BTreeSet<&'a str> = concluded.chain([DATA_LICENCE]).collect();
        let mut licences: Vec<Element<'a>> =
            expressions.into_iter().map(|one| self.expression(one)).collect();
        licences.extend(self.inventory.own_licences().into_iter().map(|(name, text)| self.text(name, text)));
        licences.extend(self.licensed().flat_map(|part| self.terms(part)));
        licences
    }

    /// Nothing is known of the terms of a single file.
    fn licensed(&self) -> impl Iterator<Item = &'a Part<'a>> {
        self.listed().filter(|part| !matches!(part.class, Class::File { .. }))
    }

    pub(super) fn expression_id(&self, expression: &str) -> String {
        self.id(&reference("terms", expression, ""))
    }

    fn expression(&self, expression: &'a str) -> Element<'a> {
        let texts = own_names(expression).into_iter();
        Element::Expression(Expression {
            core: self.core(&reference("terms", expression, "")),
            expression,
            texts: texts.map(|key| Entry { key, value: self.text_id(key) }).collect(),
        })
    }

    fn text_id(&self, name: &str) -> String {
        self.id(&reference("text", name, ""))
    }

    fn text(&self, name: &'a str, text: &'a str) -> Element<'a> {
        let core = self.core(&reference("text", name, ""));
        Element::Text(Text { core, name: name.trim_start_matches("LicenseRef-"), text })
    }

    fn terms(&self, part: &Part<'_>) -> Vec<Element<'a>> {
        let declared = part.terms.as_ref().map(|terms| ("hasDeclaredLicense", &*terms.expression));
        let all = declared.into_iter().chain([("hasConcludedLicense", part.concluded())]);
        all.map(|(kind, expression)| {
            let to = vec![self.expression_id(expression)];
            Element::Relationship(self.relation(&part.reference, kind, to))
        })
        .collect()
    }
}
