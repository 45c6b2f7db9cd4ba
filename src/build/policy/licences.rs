//! Licence expressions (SPDX specification 2.3, annex D), judged by identifiers that are denied.

use spdx::{Expression, LicenseReq, ParseMode};

use super::any_matches;
use crate::build::definition::Glob;

/// Returns which part of an expression is denied; of alternatives one that isn't is enough.
pub(super) fn denied_part(expression: &str, denied: &[Glob]) -> Option<String> {
    let is_denied = |licence: &str| any_matches(denied, &licence.to_ascii_lowercase());
    let Ok(parsed) = Expression::parse_mode(expression, ParseMode::LAX) else {
        return is_denied(expression).then(|| expression.to_owned());
    };
    // With an exception it is another licence, and yet the same.
    let is_denied =
        |licence: &LicenseReq| is_denied(&licence.to_string()) || is_denied(&licence.license.to_string());
    if parsed.evaluate(|licence| !is_denied(licence)) {
        return None;
    }
    parsed.requirements().map(|part| &part.req).find(|licence| is_denied(licence)).map(ToString::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_side_of_an_alternative_is_enough() {
        let denied = ["agpl-*", "gpl-3.0-only", "licenseref-secret"].map(|text| Glob::new(text).unwrap());
        for (expression, part) in [
            ("MIT", None),
            ("AGPL-3.0-only", Some("AGPL-3.0-only")),
            ("AGPL-3.0-only OR MIT", None),
            ("AGPL-3.0-only AND MIT", Some("AGPL-3.0-only")),
            ("MIT AND (AGPL-3.0-or-later OR GPL-3.0-only)", Some("AGPL-3.0-or-later")),
            ("MIT AND (AGPL-3.0-or-later OR Apache-2.0)", None),
            ("GPL-3.0-only WITH Classpath-exception-2.0", Some("GPL-3.0-only WITH Classpath-exception-2.0")),
            ("GPL-3.0-or-later", None),
            ("LicenseRef-secret", Some("LicenseRef-secret")),
            ("agpl-something of my own", Some("agpl-something of my own")),
            ("", None),
        ] {
            assert_eq!(denied_part(expression, &denied).as_deref(), part, "{expression}");
        }
    }
}
