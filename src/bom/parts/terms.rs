//! Under which terms parts may be used: SPDX expressions (SPDX 2.3, annex D), and the texts of what has no identifier.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::super::{Document, Licence};
use crate::licence;

/// What stands before a name that is no identifier of SPDX's.
const OWN: &str = "LicenseRef-";

/// Under which terms a part may be used, and whose it is.
pub(in crate::bom) struct Terms<'a> {
    /// A valid expression.
    pub(in crate::bom) expression: Cow<'a, str>,
    /// Who holds the copyright.
    pub(in crate::bom) holders: &'a [String],
    /// The file that says so.
    pub(in crate::bom) declared_by: &'a str,
}

/// The texts of licences that have no identifier, by the names that stand for them.
#[derive(Default)]
pub(in crate::bom) struct Texts<'a>(BTreeMap<String, Cow<'a, str>>);

impl<'a> Terms<'a> {
    pub(super) fn of(licence: &'a Licence) -> Terms<'a> {
        let Licence { expression, holders, declared_by } = licence;
        Terms { expression: Cow::Borrowed(expression), holders, declared_by }
    }

    /// Returns the names in it that are no identifiers.
    pub(in crate::bom) fn own_names(&self) -> BTreeSet<&str> {
        own_names(&self.expression)
    }

    /// Returns the copyright holders as one text, or where they are told.
    pub(in crate::bom) fn copyright(&self) -> Option<String> {
        match (self.holders, self.declared_by) {
            ([], "") => None,
            ([], file) => Some(format!("as {file} says")),
            (holders, _) => Some(holders.join("\n")),
        }
    }
}

/// Returns the names in an expression that are no identifiers.
pub(in crate::bom) fn own_names(expression: &str) -> BTreeSet<&str> {
    let words = expression.split([' ', '(', ')']);
    words.filter(|word| word.starts_with(OWN)).collect()
}

impl<'a> Texts<'a> {
    pub(super) fn of(document: &'a Document) -> Texts<'a> {
        let texts = document.licence_texts.iter();
        Texts(texts.map(|(name, text)| (name.clone(), Cow::Borrowed(text.as_str()))).collect())
    }

    /// Reads what somebody wrote who needn't know SPDX: where it is no expression, names stand for it.
    pub(super) fn terms_of(&mut self, said: &str) -> Option<Terms<'a>> {
        let declared = licence::of_field(said)?;
        let texts = declared.texts.into_iter().map(|(name, text)| (name, Cow::Owned(text)));
        self.0.extend(texts);
        Some(Terms { expression: Cow::Owned(declared.expression), holders: &[], declared_by: "" })
    }

    /// Returns a name and the text that it stands for.
    pub(in crate::bom) fn entry(&self, name: &str) -> Option<(&str, &str)> {
        self.0.get_key_value(name).map(|(name, text)| (&**name, &**text))
    }
}
