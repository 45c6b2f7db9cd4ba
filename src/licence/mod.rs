//! Under which terms something may be used, as SPDX licence expressions (SPDX 2.3, annex D).
//!
//! Nothing is guessed, and no text is compared with another: a name means an identifier where that is certain, and
//! else stands for itself, as a `LicenseRef-…` with the text that it was declared with.

mod expression;
mod names;

pub use expression::Expression;
pub use names::{of_common_licence, of_short_name, with_exception};

use std::collections::BTreeMap;

use spdx::expression::{ExprNode, Operator};
use spdx::{LicenseItem, LicenseReq, ParseMode};

/// A name in a `LicenseRef-…` isn't longer; what it stands for is told by its text.
const LONGEST_NAME: usize = 60;
/// No field that is an expression is longer.
const LONGEST_FIELD: usize = 4096;

/// What somebody declares.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Declared {
    /// An SPDX licence expression.
    pub expression: String,
    /// Who holds the copyright, in their own words: sorted, each once.
    pub holders: Vec<String>,
    /// The texts of the licences that have no identifier, by the `LicenseRef-…` that stands for each.
    pub texts: BTreeMap<String, String>,
}

/// Returns what the field of a package database means that holds an SPDX expression, or something like one; none of an
/// empty field. What isn't an expression as a whole stands for itself as a whole.
pub fn of_field(field: &str) -> Option<Declared> {
    let field = field.trim();
    if field.is_empty() {
        return None;
    }
    let declared = match parse(field) {
        Some(expression) => {
            let texts = expression.references().map(|reference| (reference.to_owned(), field.to_owned()));
            Declared { texts: texts.collect(), expression: expression.to_string(), holders: Vec::new() }
        }
        None => {
            let name = reference(field, None);
            Declared {
                texts: BTreeMap::from([(name.clone(), field.to_owned())]),
                expression: name,
                holders: Vec::new(),
            }
        }
    };
    Some(declared)
}

/// Returns the licences of an expression, each with its exception where it has one, with repetitions.
pub fn terms(expression: &str) -> impl Iterator<Item = &str> {
    let choices = expression.split(" OR ").flat_map(|choice| choice.split(" AND "));
    choices.map(|term| term.trim_matches(['(', ')', ' '])).filter(|term| !term.is_empty())
}

/// Reads an SPDX expression; identifiers that were given up count as those that took their places (`GPL-2.0+`), where
/// there are such.
fn parse(field: &str) -> Option<Expression> {
    const MODE: ParseMode =
        ParseMode { allow_deprecated: true, allow_postfix_plus_on_gpl: true, ..ParseMode::STRICT };
    if field.len() > LONGEST_FIELD {
        return None;
    }
    let parsed = spdx::Expression::parse_mode(field, MODE).ok()?;
    let mut stack: Vec<Expression> = Vec::new();
    for node in parsed.iter() {
        let joined = match node {
            ExprNode::Req(requirement) => Expression::Term(term(&requirement.req)?),
            ExprNode::Op(operator) => {
                let (right, left) = (stack.pop()?, stack.pop()?);
                match operator {
                    Operator::And => Expression::all([left, right]),
                    Operator::Or => Expression::any([left, right]),
                }
            }
        };
        stack.push(joined);
    }
    stack.pop()
}

/// Returns how one licence is written today.
fn term(requirement: &LicenseReq) -> Option<String> {
    let licence = match &requirement.license {
        LicenseItem::Spdx { id, .. } if id.is_deprecated() => {
            spdx::gnu_license_id(id.name, false)?.name.to_owned()
        }
        // Others' tools know no `+` behind names that aren't GNU's.
        LicenseItem::Spdx { or_later: true, .. } => return None,
        LicenseItem::Spdx { id, or_later: false } => id.name.to_owned(),
        LicenseItem::Other { .. } => requirement.license.to_string(),
    };
    match &requirement.addition {
        None => Some(licence),
        Some(addition) if addition.id().is_some_and(|id| !id.is_deprecated()) => {
            Some(format!("{licence} WITH {addition}"))
        }
        Some(_) => None,
    }
}

/// Returns the name that stands for a licence which has no identifier. Where a `text` is given, by a short form of its
/// digest, the name tells it from other texts that go by the same name.
pub fn reference(name: &str, text: Option<&str>) -> String {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || c == '.';
    let name: String = name.trim().chars().take(LONGEST_NAME).collect();
    let mut clean = String::new();
    for (place, character) in name.char_indices() {
        let next = name[place + character.len_utf8()..].chars().next();
        match character {
            _ if is_allowed(character) => clean.push(character),
            // Of `GPL-2+`, not of `g++` or `A+B`.
            '+' if clean.ends_with(is_allowed) && !next.is_some_and(|c| is_allowed(c) || c == '+') => {
                clean.push_str("-or-later");
            }
            _ if !clean.is_empty() && !clean.ends_with('-') => clean.push('-'),
            _ => {}
        }
    }
    let clean = clean.trim_matches(['-', '.']);
    let clean = if clean.is_empty() { "unnamed" } else { clean };
    let text = text.map(|digest| format!("-{digest}")).unwrap_or_default();
    format!("LicenseRef-{clean}{text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_an_expression_or_stands_for_itself() {
        for (field, expression) in [
            ("MIT", "MIT"),
            ("GPL-2.0-or-later", "GPL-2.0-or-later"),
            ("GPL-2.0+", "GPL-2.0-or-later"),
            ("GPL-2.0", "GPL-2.0-only"),
            ("LGPL-2.1-or-later AND MIT AND MIT", "LGPL-2.1-or-later AND MIT"),
            ("(MIT AND BSD-3-Clause) OR Apache-2.0", "Apache-2.0 OR BSD-3-Clause AND MIT"),
            ("MIT and (ISC or Zlib)", "MIT AND (ISC OR Zlib)"),
            ("GPL-2.0-only WITH Linux-syscall-note", "GPL-2.0-only WITH Linux-syscall-note"),
            ("GFDL-1.3-no-invariants-or-later", "GFDL-1.3-no-invariants-or-later"),
            ("Apache-2.0 WITH LLVM-exception", "Apache-2.0 WITH LLVM-exception"),
            ("LicenseRef-Fedora-Public-Domain AND MIT", "LicenseRef-Fedora-Public-Domain AND MIT"),
            ("GPLv2+ and LGPLv2+", "LicenseRef-GPLv2-or-later-and-LGPLv2-or-later"),
            ("MIT BSD GPL2+", "LicenseRef-MIT-BSD-GPL2-or-later"),
            ("custom", "LicenseRef-custom"),
            ("Apache-2.0+", "LicenseRef-Apache-2.0-or-later"),
            ("BSD-2-Clause-FreeBSD", "LicenseRef-BSD-2-Clause-FreeBSD"),
            ("GPL-2.0-with-GCC-exception", "LicenseRef-GPL-2.0-with-GCC-exception"),
        ] {
            assert_eq!(of_field(field).unwrap().expression, expression, "{field}");
        }
        assert_eq!(of_field(" "), None);
    }

    #[test]
    fn what_has_no_identifier_comes_with_the_words_it_was_declared_in() {
        let declared = of_field("GPLv2+ with exceptions").unwrap();
        let name = "LicenseRef-GPLv2-or-later-with-exceptions";
        assert_eq!(declared.texts, BTreeMap::from([(name.into(), "GPLv2+ with exceptions".into())]));
        assert!(of_field("MIT").unwrap().texts.is_empty());
    }

    #[test]
    fn a_reference_holds_only_what_spdx_allows() {
        for (name, expected) in [
            ("public-domain", "LicenseRef-public-domain"),
            ("GPL-2+ with OpenSSL exception", "LicenseRef-GPL-2-or-later-with-OpenSSL-exception"),
            ("MIT/X11", "LicenseRef-MIT-X11"),
            ("LGPL+", "LicenseRef-LGPL-or-later"),
            ("GPL-2+-autoconf", "LicenseRef-GPL-2-or-later-autoconf"),
            ("ISC+IBM", "LicenseRef-ISC-IBM"),
            ("libsigc++-2.0", "LicenseRef-libsigc-2.0"),
            ("  (é) ", "LicenseRef-unnamed"),
            ("a\u{0}b__c", "LicenseRef-a-b-c"),
        ] {
            assert_eq!(reference(name, None), expected);
        }
        assert_eq!(reference("x", Some("0a1b")), "LicenseRef-x-0a1b");
        assert!(reference(&"long ".repeat(99), None).len() < 80);
    }
}
