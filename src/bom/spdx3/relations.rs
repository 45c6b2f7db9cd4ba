//! What holds what, what needs what, what was built from what, and what it is handed out as.
//!
//! SPDX's names for nothing, and for what isn't known, stand nowhere: checkers take them for parts that are missing. The
//! comments tell.

use std::collections::BTreeMap;

use super::super::parts::{Class, Part};
use super::View;
use super::artifacts::{CONFIGURATION, form_reference, source_reference};
use super::types::{Element, Relationship};

impl<'a> View<'a> {
    pub(super) fn relations(&self) -> Vec<Element<'a>> {
        let mut relations = self.contents();
        relations.extend(self.listed().filter_map(|part| self.needs(part)));
        relations.extend(self.listed().filter_map(|part| self.handed_out(part)));
        relations.extend(self.built_from());
        relations
    }

    pub(super) fn relation(&self, from: &str, kind: &'static str, to: Vec<String>) -> Relationship {
        let core = self.core(&format!("{from}-{kind}"));
        Relationship { core, kind, from: self.id(from), to, completeness: None }
    }

    fn contents(&self) -> Vec<Element<'a>> {
        let held = self.inventory.held_by();
        let of = |holder| {
            let parts: &[&Part<'_>] = held.get(&holder).map_or(&[], Vec::as_slice);
            let parts = parts.iter().filter(|part| part.class != Class::OperatingSystem);
            parts.map(|part| self.id(&part.reference)).collect::<Vec<_>>()
        };
        let own = self.document.image.iter().map(|_| self.id(CONFIGURATION));
        let image = of(None).into_iter().chain(own).collect();
        let parts = self.inventory.parts.iter().map(|part| (part, of(Some(&*part.reference))));
        let all = [(&self.inventory.image, image)].into_iter().chain(parts);
        all.filter_map(|(part, to)| self.contains(part, to)).collect()
    }

    fn contains(&self, part: &Part<'_>, to: Vec<String>) -> Option<Element<'a>> {
        let completeness = match part.class {
            _ if part.is_incomplete => "incomplete",
            // It may hold files that no package brought.
            Class::Base => "noAssertion",
            Class::Image
            | Class::OperatingSystem
            | Class::Package(_)
            | Class::File { .. }
            | Class::Inside { .. } => "complete",
        };
        self.some(part, "contains", to, Some(completeness))
    }

    fn needs(&self, part: &Part<'_>) -> Option<Element<'a>> {
        let to = part.needs.iter().flatten().map(|need| self.id(need)).collect();
        self.some(part, "dependsOn", to, Some("complete"))
    }

    fn handed_out(&self, part: &Part<'_>) -> Option<Element<'a>> {
        let to = part.forms.iter().map(|form| self.id(&form_reference(form))).collect();
        self.some(part, "hasDistributionArtifact", to, None)
    }

    /// Returns what a part has to do with others, where there are such.
    fn some(
        &self,
        part: &Part<'_>,
        kind: &'static str,
        to: Vec<String>,
        completeness: Option<&'static str>,
    ) -> Option<Element<'a>> {
        let is_something = !to.is_empty();
        let relation = Relationship { completeness, ..self.relation(&part.reference, kind, to) };
        is_something.then_some(Element::Relationship(relation))
    }

    fn built_from(&self) -> Vec<Element<'a>> {
        let mut built: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for part in self.listed() {
            for source in &part.source_files {
                built.entry(source_reference(source)).or_default().push(self.id(&part.reference));
            }
        }
        let relations = built.into_iter().map(|(source, parts)| self.relation(&source, "generates", parts));
        relations.map(Element::Relationship).collect()
    }
}
