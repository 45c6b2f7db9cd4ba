//! `policy { … }`: what an image may hold, and what it must be.

use hcl_edit::expr::Expression;
use hcl_edit::structure::Block;

use super::check;
use super::fields::{Fields, no_label};
use super::reader::{Reader, Text};
use crate::build::definition::{Glob, PackagePattern, Policy, RepositoryPattern, Spanned};
use crate::debian::relation::{self, Constraint};

/// Reads `policy { … }`. Mistakes are remembered by the reader; what was wrong is left out.
pub(super) fn policy(reader: &mut Reader<'_>, block: &Block) -> Policy {
    no_label(reader, block);
    let mut fields = Fields::of("`policy`", &block.body);
    let mut read = Rules { reader, fields: &mut fields };
    let policy = Policy {
        allow_images: read.list("allow_images", pattern),
        allow_repositories: read.list("allow_repositories", repository),
        allow_keys: read.list("allow_keys", |reader, text| Some(check::fingerprint(reader, text)?.value)),
        allow_private_keys: read.list("allow_private_keys", path),
        allow_unaccounted: read.list("allow_unaccounted", path),
        deny_packages: read.list("deny_packages", package),
        deny_licences: read.list("deny_licences", licence),
        deny_network: read.switch("deny_network"),
        deny_unproven: read.switch("deny_unproven"),
        require_digests: read.switch("require_digests"),
        require_sources: read.switch("require_sources"),
        require_verified_vcs: read.switch("require_verified_vcs"),
        require_non_root: read.switch("require_non_root"),
        require_licences: read.switch("require_licences"),
        source: read.reader.source().clone(),
    };
    fields.finish(reader);
    policy
}

struct Rules<'r, 'a, 'b> {
    reader: &'r mut Reader<'a>,
    fields: &'r mut Fields<'b>,
}

impl Rules<'_, '_, '_> {
    fn list<T>(
        &mut self,
        name: &'static str,
        read: impl Fn(&mut Reader<'_>, &Text) -> Option<T>,
    ) -> Option<Spanned<Vec<T>>> {
        let expression = self.fields.attribute(name)?;
        let texts = self.reader.texts(&format!("`{name}`"), expression)?;
        let value = texts.iter().filter_map(|text| read(self.reader, text)).collect();
        Some(self.spanned(value, expression))
    }

    fn switch(&mut self, name: &'static str) -> Spanned<bool> {
        let Some(expression) = self.fields.attribute(name) else { return Spanned::default() };
        let value = self.reader.boolean(&format!("`{name}`"), expression).unwrap_or_default();
        self.spanned(value, expression)
    }

    fn spanned<T>(&self, value: T, expression: &Expression) -> Spanned<T> {
        Spanned::new(value, self.reader.span(expression))
    }
}

fn pattern(reader: &mut Reader<'_>, text: &Text) -> Option<Glob> {
    let filled = check::filled(reader, "a pattern", text.clone())?;
    Some(check::glob(reader, "pattern", filled, text)?.value)
}

fn path(reader: &mut Reader<'_>, text: &Text) -> Option<Glob> {
    let path = check::absolute_path(reader, "path", text)?;
    Some(check::glob(reader, "path", path, text)?.value)
}

/// An identifier's case doesn't count (SPDX specification, annex on licence expressions).
fn licence(reader: &mut Reader<'_>, text: &Text) -> Option<Glob> {
    if text.value.contains(char::is_whitespace) {
        let hint = "write one identifier, like `AGPL-3.0-only` or `AGPL-*`; of `A OR B` one must be allowed";
        return reader.mistake(text.span.clone(), text.named("invalid licence"), hint);
    }
    pattern(reader, &text.with(text.value.to_ascii_lowercase()))
}

fn repository(reader: &mut Reader<'_>, text: &Text) -> Option<RepositoryPattern> {
    let mut words = text.value.split_whitespace();
    let uri = words.next().filter(|uri| uri.contains(":/"));
    let Some(uri) = uri else {
        let hint = "write `https://archive.example/debian`, and the suites behind it if not all are allowed";
        return reader.mistake(text.span.clone(), "cannot read this repository", hint);
    };
    let uri = pattern(reader, &text.with(uri.trim_end_matches('/')));
    let suites = words.map(|suite| pattern(reader, &text.with(suite))).collect::<Option<Vec<_>>>();
    Some(RepositoryPattern { uri: uri?, suites: suites? })
}

/// Reads `name`, or `name (<< version)` as a package's relations have it.
fn package(reader: &mut Reader<'_>, text: &Text) -> Option<PackagePattern> {
    let (name, relation) = match text.value.split_once('(') {
        Some((name, relation)) => (name.trim(), Some(format!("x ({relation}"))),
        None => (text.value.trim(), None),
    };
    let constraint = relation.map(|relation| constraint(&relation));
    if let Some(None) = constraint {
        let hint =
            "write a name, and perhaps a relation as Debian's packages have it: `openssl (<< 3.0.11-1)`";
        return reader.mistake(text.span.clone(), text.named("invalid package"), hint);
    }
    let name = pattern(reader, &text.with(name))?;
    Some(PackagePattern { text: text.value.clone(), name, constraint: constraint.flatten() })
}

fn constraint(relation: &str) -> Option<Constraint> {
    let groups = relation::parse(relation).ok()?;
    match groups.as_slice() {
        [group] if group.len() == 1 => group[0].constraint.clone(),
        _ => None,
    }
}
