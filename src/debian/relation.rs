//! Relations between packages: `a (>= 1) | b:any [amd64], c`.
//!
//! See <https://www.debian.org/doc/debian-policy/ch-relationships.html>. Whether anything satisfies a relation
//! is for a resolver to say; only version and architecture constraints are answered here.

use std::fmt;

use super::version::{self, Version};

/// More than the longest real field has, and few enough to walk.
const MOST_RELATIONS: usize = 20_000;

/// One alternative of one relation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relation {
    /// The package, real or virtual.
    pub name: Box<str>,
    /// What follows the name after a colon: `any`, `native` or an architecture.
    pub qualifier: Option<Box<str>>,
    /// Which of its versions.
    pub constraint: Option<Constraint>,
    /// The architectures it holds for, or with `!` does not hold for; empty: all.
    pub architectures: Vec<Box<str>>,
}

/// A comparison with one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Constraint {
    /// How to compare.
    pub operator: Operator,
    /// With what.
    pub version: Version,
}

/// How versions are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// `<<`
    Earlier,
    /// `<=`
    EarlierOrEqual,
    /// `=`
    Equal,
    /// `>=`
    LaterOrEqual,
    /// `>>`
    Later,
}

/// A text that is no list of relations.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The grammar is broken in this relation.
    #[error("cannot read relation {relation:?}: {problem}")]
    Malformed {
        /// The relation, or its beginning.
        relation: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The version in this relation cannot be read.
    #[error("cannot read relation {relation:?}: {source}")]
    Version {
        /// The relation, or its beginning.
        relation: String,
        /// What is wrong with the version.
        source: version::Error,
    },
    /// There are more of them than could be sensible.
    #[error("cannot read relations: more than {MOST_RELATIONS}")]
    TooMany,
}

/// Reads a whole field: groups to be satisfied together, each with alternatives, in the order written.
///
/// Empty items (a comma too many) are skipped, as apt and dpkg do in a control file.
pub fn parse(field: &str) -> Result<Vec<Vec<Relation>>, Error> {
    if field.bytes().filter(|byte| matches!(byte, b',' | b'|')).count() >= MOST_RELATIONS {
        return Err(Error::TooMany);
    }
    let groups = field.split(',').map(str::trim).filter(|group| !group.is_empty());
    groups.map(|group| group.split('|').map(|text| parse_relation(text.trim())).collect()).collect()
}

/// Renders a group of alternatives as it would stand in a field.
pub fn display_group(group: &[Relation]) -> String {
    group.iter().map(Relation::to_string).collect::<Vec<_>>().join(" | ")
}

fn parse_relation(text: &str) -> Result<Relation, Error> {
    let fail = |problem| Error::Malformed { relation: excerpt(text), problem };
    let end = text.find(|c: char| c.is_whitespace() || matches!(c, '(' | '[' | '<')).unwrap_or(text.len());
    let (name, mut rest) = text.split_at(end);
    let (name, qualifier) = match name.split_once(':') {
        None => (name, None),
        Some((name, qualifier)) => (name, Some(qualifier)),
    };
    if !is_name(name) {
        return Err(fail("expected a package name"));
    }
    if qualifier.is_some_and(|qualifier| !is_architecture(qualifier)) {
        return Err(fail("expected an architecture after the colon"));
    }
    let mut relation = Relation {
        name: name.into(),
        qualifier: qualifier.map(Into::into),
        constraint: None,
        architectures: Vec::new(),
    };
    while !rest.trim_start().is_empty() {
        let mut inside = rest.trim_start().chars();
        let first = inside.next();
        let (closing, problem) = match first {
            Some('(') => (')', "expected `)`"),
            Some('[') => (']', "expected `]`"),
            Some('<') => ('>', "expected `>`"),
            _ => return Err(fail("expected `(`, `[`, `<` or the end after the name")),
        };
        let (inside, after) = inside.as_str().split_once(closing).ok_or_else(|| fail(problem))?;
        match first {
            Some('(') if relation.constraint.is_some() => return Err(fail("expected one version only")),
            Some('(') => relation.constraint = Some(parse_constraint(inside, text)?),
            Some('[') => relation.architectures.extend(inside.split_whitespace().map(Into::into)),
            _ => {}
        }
        rest = after;
    }
    Ok(relation)
}

/// The single `<` and `>` of old mean what they always meant to dpkg: or equal.
fn parse_constraint(text: &str, relation: &str) -> Result<Constraint, Error> {
    let text = text.trim();
    let end = text.find(|c| !matches!(c, '<' | '>' | '=')).unwrap_or(text.len());
    let (operator, version) = text.split_at(end);
    let operator = match operator {
        "<<" => Operator::Earlier,
        "<=" | "<" => Operator::EarlierOrEqual,
        "=" => Operator::Equal,
        ">=" | ">" => Operator::LaterOrEqual,
        ">>" => Operator::Later,
        _ => {
            return Err(Error::Malformed {
                relation: excerpt(relation),
                problem: "expected <<, <=, =, >= or >> and a version",
            });
        }
    };
    let version =
        Version::parse(version).map_err(|source| Error::Version { relation: excerpt(relation), source })?;
    Ok(Constraint { operator, version })
}

/// Whether `text` can be a package's name: what dpkg accepts, so never a path.
pub fn is_name(text: &str) -> bool {
    text.len() <= 255
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.' | b'_'))
}

/// Whether `text` can be an architecture's name.
pub fn is_architecture(text: &str) -> bool {
    text.len() <= 255
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn excerpt(text: &str) -> String {
    text.chars().take(100).collect()
}

impl Relation {
    /// Whether the version constraint, if any, admits `version`.
    pub fn admits(&self, version: &Version) -> bool {
        self.constraint.as_ref().is_none_or(|constraint| constraint.admits(version))
    }

    /// Whether the relation holds on `architecture` at all, by its restriction list.
    pub fn applies_to(&self, architecture: &str) -> bool {
        if self.architectures.is_empty() {
            return true;
        }
        let negated = self.architectures.iter().any(|name| name.starts_with('!'));
        let named = self
            .architectures
            .iter()
            .any(|name| matches_architecture(name.trim_start_matches('!'), architecture));
        named != negated
    }
}

/// `any` and the wildcards `linux-any` and `any-amd64` of Debian's Linux ports.
fn matches_architecture(pattern: &str, architecture: &str) -> bool {
    pattern == architecture
        || matches!(pattern, "any" | "linux-any")
        || pattern.strip_prefix("any-").is_some_and(|cpu| cpu == architecture)
}

impl Constraint {
    /// Whether `version` stands in this relation to the constraint's.
    pub fn admits(&self, version: &Version) -> bool {
        let order = version.cmp(&self.version);
        match self.operator {
            Operator::Earlier => order.is_lt(),
            Operator::EarlierOrEqual => order.is_le(),
            Operator::Equal => order.is_eq(),
            Operator::LaterOrEqual => order.is_ge(),
            Operator::Later => order.is_gt(),
        }
    }
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Operator::Earlier => "<<",
            Operator::EarlierOrEqual => "<=",
            Operator::Equal => "=",
            Operator::LaterOrEqual => ">=",
            Operator::Later => ">>",
        })
    }
}

impl fmt::Display for Relation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if let Some(qualifier) = &self.qualifier {
            write!(f, ":{qualifier}")?;
        }
        if let Some(constraint) = &self.constraint {
            write!(f, " ({} {})", constraint.operator, constraint.version)?;
        }
        if !self.architectures.is_empty() {
            write!(f, " [{}]", self.architectures.join(" "))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn round(field: &str) -> String {
        let groups = parse(field).unwrap();
        groups.iter().map(|group| display_group(group)).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn relations_read_as_they_are_written() {
        for (field, meant) in [
            ("a", "a"),
            ("", ""),
            ("a, b ,c", "a, b, c"),
            ("a|b | c", "a | b | c"),
            ("libc6 (>= 2.36), python3:any (<<3.12)", "libc6 (>= 2.36), python3:any (<< 3.12)"),
            ("a(=1:2-3)", "a (= 1:2-3)"),
            ("a (> 1), b (< 2)", "a (>= 1), b (<= 2)"),
            (
                "a [amd64 arm64] <!nocheck> <!stage1 cross>, b:amd64 (>> 1) [!i386]",
                "a [amd64 arm64], b:amd64 (>> 1) [!i386]",
            ),
            ("a,\n b,", "a, b"),
        ] {
            assert_eq!(round(field), meant);
        }
    }

    #[test]
    fn a_broken_relation_is_named() {
        for (field, error) in [
            ("a, (>= 1)", "cannot read relation \"(>= 1)\": expected a package name"),
            ("a (>= 1", "cannot read relation \"a (>= 1\": expected `)`"),
            ("a (1)", "cannot read relation \"a (1)\": expected <<, <=, =, >= or >> and a version"),
            ("a (=>1)", "cannot read relation \"a (=>1)\": expected <<, <=, =, >= or >> and a version"),
            ("a b", "cannot read relation \"a b\": expected `(`, `[`, `<` or the end after the name"),
            ("a | ", "cannot read relation \"\": expected a package name"),
            ("../a", "cannot read relation \"../a\": expected a package name"),
            ("a:", "cannot read relation \"a:\": expected an architecture after the colon"),
            ("a (= 1) (= 2)", "cannot read relation \"a (= 1) (= 2)\": expected one version only"),
            (
                "a (= x:1)",
                "cannot read relation \"a (= x:1)\": cannot read version \"x:1\": the epoch is not a number",
            ),
        ] {
            assert_eq!(parse(field).unwrap_err().to_string(), error);
        }
        assert_eq!(parse(&"a,".repeat(20_000)).unwrap_err(), Error::TooMany);
    }

    #[test]
    fn a_constraint_admits_what_the_operator_says() {
        for (relation, admitted) in [
            ("a (<< 2)", [true, false, false]),
            ("a (<= 2)", [true, true, false]),
            ("a (= 2)", [false, true, false]),
            ("a (>= 2)", [false, true, true]),
            ("a (>> 2)", [false, false, true]),
            ("a", [true, true, true]),
        ] {
            let relation = &parse(relation).unwrap()[0][0];
            assert_eq!(
                ["1", "2", "3"].map(|text| relation.admits(&Version::parse(text).unwrap())),
                admitted,
                "{relation}"
            );
        }
    }

    #[test]
    fn an_architecture_list_restricts() {
        for (relation, applies) in [
            ("a", true),
            ("a [amd64]", true),
            ("a [arm64 i386]", false),
            ("a [!amd64]", false),
            ("a [!i386]", true),
            ("a [linux-any]", true),
        ] {
            assert_eq!(parse(relation).unwrap()[0][0].applies_to("amd64"), applies, "{relation}");
        }
    }

    proptest! {
        #[test]
        fn no_field_makes_it_panic(field in "[a-b:()<>=\\[\\]|, 1~é-]{0,30}") {
            if let Ok(groups) = parse(&field) {
                prop_assert!(groups.iter().all(|group| !group.is_empty()));
            }
        }
    }
}
