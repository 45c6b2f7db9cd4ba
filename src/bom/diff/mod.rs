//! What differs between two accounts: what came, what went, and what changed in what stayed.
//!
//! A value made of two documents; [`text`](Diff::to_text), [Markdown](Diff::to_markdown) and JSON (its serialised form) are
//! made of that. Paths that a package brings are not told one by one: the package is.

mod facts;
mod markdown;
mod text;

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use self::facts::{Facts, Things};
use super::Document;
use crate::debian::Version;

/// What differs between two accounts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diff {
    /// The first image.
    pub before: Side,
    /// The second image.
    pub after: Side,
    /// What differs in what the accounts are of: name, platform, base image, definition, lock and so on.
    pub image: Vec<Field>,
    /// What differs in what they hold; sections without differences are left out.
    pub sections: Vec<Section>,
}

/// One of the images.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Side {
    /// The product's name.
    pub product_name: String,
    /// The digest of the image's manifest; empty where the account doesn't tell it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub digest: String,
}

/// Things of a kind that differ, by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Section {
    /// Which kind: `packages`, `files`, `keys` and so on.
    pub of: &'static str,
    /// The differences.
    pub changes: Vec<Change>,
}

/// A thing that came, went or changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// How.
    pub how: How,
    /// Its name.
    pub name: String,
    /// What it was; empty of what came.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub before: String,
    /// What it is; empty of what went.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub after: String,
    /// What else changed in what stayed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<Field>,
}

/// How a thing differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum How {
    /// It is only in the second image.
    Came,
    /// It is only in the first image.
    Went,
    /// Its version is a later one, in dpkg's order.
    Upgraded,
    /// Its version is an earlier one, in dpkg's order.
    Downgraded,
    /// It is in both, and not the same.
    Changed,
}

/// A field that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Field {
    /// Its name.
    pub field: &'static str,
    /// What it was; empty where there was none.
    pub before: String,
    /// What it is; empty where there is none.
    pub after: String,
}

impl Diff {
    /// Compares two accounts.
    pub fn of(before: &Document, after: &Document) -> Diff {
        let sections = facts::SECTIONS.into_iter().map(|(of, things)| {
            let changes = changes(&things(before), &things(after));
            Section { of, changes }
        });
        Diff {
            before: side(before),
            after: side(after),
            image: fields(&facts::image(before), &facts::image(after)),
            sections: sections.filter(|section| !section.changes.is_empty()).collect(),
        }
    }

    /// Returns the difference as JSON.
    ///
    /// # Errors
    /// When it has no JSON form, which is a mistake in its types.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    /// Whether both accounts say the same.
    pub fn is_empty(&self) -> bool {
        self.image.is_empty() && self.sections.is_empty()
    }
}

fn side(document: &Document) -> Side {
    Side {
        product_name: document.product_name.clone(),
        digest: document.image.as_ref().map(|image| image.digest.to_string()).unwrap_or_default(),
    }
}

fn changes(before: &Things, after: &Things) -> Vec<Change> {
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let changes = names.into_iter().filter_map(|name| change(name, before.get(name), after.get(name)));
    changes.collect()
}

fn change(name: &str, before: Option<&Facts>, after: Option<&Facts>) -> Option<Change> {
    let what = |facts: Option<&Facts>| facts.map(|facts| facts.what.clone()).unwrap_or_default();
    let how = match (before, after) {
        (Some(before), Some(after)) if before == after => return None,
        (Some(before), Some(after)) => moved(before, after),
        (None, _) => How::Came,
        (_, None) => How::Went,
    };
    let fields = before.zip(after).map(|(before, after)| fields(&before.fields, &after.fields));
    let fields = fields.unwrap_or_default();
    Some(Change { how, name: name.to_owned(), before: what(before), after: what(after), fields })
}

/// What has no version in dpkg's order has no direction.
fn moved(before: &Facts, after: &Facts) -> How {
    let versions = before.version().zip(after.version());
    match versions.map(|(before, after): (Version, Version)| after.cmp(&before)) {
        Some(Ordering::Greater) => How::Upgraded,
        Some(Ordering::Less) => How::Downgraded,
        Some(Ordering::Equal) | None => How::Changed,
    }
}

fn fields(before: &BTreeMap<&'static str, String>, after: &BTreeMap<&'static str, String>) -> Vec<Field> {
    let names: BTreeSet<&'static str> = before.keys().chain(after.keys()).copied().collect();
    let value = |facts: &BTreeMap<&'static str, String>, field| facts.get(field).cloned().unwrap_or_default();
    let both = names.into_iter().map(|field| Field {
        field,
        before: value(before, field),
        after: value(after, field),
    });
    both.filter(|field| field.before != field.after).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::samples;
    use super::*;

    #[test]
    fn an_account_does_not_differ_from_itself() {
        let diff = Diff::of(&samples::document(), &samples::document());
        assert!(diff.is_empty());
        assert_eq!(diff.to_text(), "no differences\n");
        assert_eq!(diff.to_markdown(), "No differences.\n");
    }

    #[test]
    fn what_came_went_and_changed_is_told_by_name() {
        let diff = Diff::of(&samples::document(), &samples::later());
        insta::assert_snapshot!("text", diff.to_text());
        insta::assert_snapshot!("markdown", diff.to_markdown());
        insta::assert_snapshot!("json", diff.to_json().unwrap());
    }

    #[test]
    fn backwards_what_came_went_and_what_was_upgraded_is_downgraded() {
        let opposite = |how| match how {
            How::Came => How::Went,
            How::Went => How::Came,
            How::Upgraded => How::Downgraded,
            How::Downgraded => How::Upgraded,
            How::Changed => How::Changed,
        };
        let hows = |diff: Diff| -> Vec<(How, String)> {
            let changes = diff.sections.into_iter().flat_map(|section| section.changes);
            changes.map(|change| (change.how, change.name)).collect()
        };
        let forth = hows(Diff::of(&samples::document(), &samples::later()));
        let back = hows(Diff::of(&samples::later(), &samples::document()));
        let turned: Vec<_> = back.into_iter().map(|(how, name)| (opposite(how), name)).collect();
        assert_eq!(forth, turned);
    }

    #[test]
    fn names_from_outside_are_neither_markup_nor_a_terminals_commands() {
        let mut plain = samples::hostile();
        plain.changeset.packages.clear();
        plain.changeset.files.clear();
        let diff = Diff::of(&plain, &samples::hostile());
        let (text, markdown) = (diff.to_text(), diff.to_markdown());
        assert!(!text.contains('\u{1b}') && !markdown.contains('\u{1b}'));
        assert!(!markdown.contains("<img") && !markdown.contains("<script"), "{markdown}");
        for row in markdown.lines().filter(|line| line.starts_with('|')) {
            assert_eq!(row.replace("\\|", "").matches('|').count(), 5, "{row}");
        }
    }
}
