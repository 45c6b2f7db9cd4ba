//! A licence expression in one form: flat, without repetition, in order, with no more parentheses than it needs.

use std::collections::BTreeSet;
use std::fmt;

/// Licences, joined.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Expression {
    /// One licence, with its exception where it has one.
    Term(String),
    /// All of them count. Made by [`Expression::all`].
    All(BTreeSet<Expression>),
    /// One may be chosen. Made by [`Expression::any`].
    Any(BTreeSet<Expression>),
}

impl Expression {
    /// Joins what counts together.
    pub fn all(parts: impl IntoIterator<Item = Expression>) -> Expression {
        let parts = parts.into_iter().flat_map(|part| match part {
            Expression::All(parts) => parts,
            other @ (Expression::Term(_) | Expression::Any(_)) => BTreeSet::from([other]),
        });
        single(parts.collect()).unwrap_or_else(Expression::All)
    }

    /// Joins what one may choose from.
    pub fn any(parts: impl IntoIterator<Item = Expression>) -> Expression {
        let parts = parts.into_iter().flat_map(|part| match part {
            Expression::Any(parts) => parts,
            other @ (Expression::Term(_) | Expression::All(_)) => BTreeSet::from([other]),
        });
        single(parts.collect()).unwrap_or_else(Expression::Any)
    }

    /// Returns the `LicenseRef-…` in it.
    pub fn references(&self) -> impl Iterator<Item = &str> {
        self.terms().into_iter().filter(|term| term.starts_with("LicenseRef-"))
    }

    fn terms(&self) -> Vec<&str> {
        match self {
            Expression::Term(term) => vec![term],
            Expression::All(parts) | Expression::Any(parts) => {
                parts.iter().flat_map(Expression::terms).collect()
            }
        }
    }
}

fn single(mut parts: BTreeSet<Expression>) -> Result<Expression, BTreeSet<Expression>> {
    match parts.len() {
        1 => parts.pop_first().ok_or(parts),
        _ => Err(parts),
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (parts, operator) = match self {
            Expression::Term(term) => return f.write_str(term),
            Expression::All(parts) => (parts, " AND "),
            Expression::Any(parts) => (parts, " OR "),
        };
        for (place, part) in parts.iter().enumerate() {
            let before = if place == 0 { "" } else { operator };
            // AND binds tighter than OR.
            match (self, part) {
                (Expression::All(_), Expression::Any(_)) => write!(f, "{before}({part})")?,
                _ => write!(f, "{before}{part}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn term(name: &str) -> Expression {
        Expression::Term(name.into())
    }

    #[test]
    fn order_and_repetition_of_the_parts_make_no_difference() {
        let perl = || Expression::any([term("GPL"), term("Artistic")]);
        let one = Expression::all([perl(), term("MIT"), term("MIT"), perl()]);
        let other = Expression::all([term("MIT"), Expression::all([term("MIT"), perl()])]);
        assert_eq!(one, other);
        assert_eq!(one.to_string(), "MIT AND (Artistic OR GPL)");
    }

    #[test]
    fn parentheses_stand_only_where_they_change_something() {
        let both = Expression::all([term("B"), term("A")]);
        assert_eq!(Expression::any([both, term("C")]).to_string(), "C OR A AND B");
        assert_eq!(Expression::all([Expression::any([term("A"), term("A")])]).to_string(), "A");
    }
}
