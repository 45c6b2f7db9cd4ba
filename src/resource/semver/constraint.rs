//! Constraints on versions, as `>= 1.2, < 3 || ~4.1`, with the syntax and the rules of
//! <https://github.com/Masterminds/semver#checking-version-constraints>, which users of registry-image know.

use std::sync::LazyLock;

use regex::{Captures, Regex};
use semver::Prerelease;

use super::LooseVersion;

/// What versions are wanted: those that all comparisons of one of the groups allow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Constraint(Vec<Vec<Comparison>>);

/// Why a text is no constraint; the text is not shown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("comparison {0} in it cannot be read\nhint: write comparisons as `>= 1.2, < 3 || ~4.1`")]
pub struct InvalidConstraint(usize);

/// An operator and a version, of which the last parts may be left out or written as `x` or `*`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Comparison {
    operator: Operator,
    /// Zero where a number is not given.
    version: LooseVersion,
    /// How many numbers are given, up to three.
    n_numbers: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
    Tilde,
    Caret,
}

/// An operator, three numbers and a pre-release at the beginning of a text; build metadata counts for nothing.
static COMPARISON: LazyLock<Regex> = LazyLock::new(|| {
    let number = r"([0-9]+|[xX*])";
    let pattern = format!(
        r"^(!=|>=|=>|<=|=<|~>|=|>|<|~|\^|)[ \t]*v?{number}(?:\.{number})?(?:\.{number})?(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?"
    );
    Regex::new(&pattern).expect("the pattern is well-formed")
});

impl Constraint {
    /// Reads a constraint.
    pub fn parse(text: &str) -> Result<Constraint, InvalidConstraint> {
        let mut n_read = 0;
        let groups = text.split("||").map(|group| comparisons(group, &mut n_read));
        groups.collect::<Option<_>>().map(Constraint).ok_or(InvalidConstraint(n_read + 1))
    }

    /// Whether a version is wanted. A pre-release is only by a group that itself names one, as `>= 1.2-0`.
    pub fn allows(&self, version: &LooseVersion) -> bool {
        self.0.iter().any(|group| {
            let names_one = group.iter().any(|comparison| comparison.version.is_pre_release());
            let is_considered = names_one || !version.is_pre_release();
            is_considered && group.iter().all(|comparison| comparison.allows(version))
        })
    }
}

/// Reads comparisons up to the end of a text; spaces or one comma stand between two.
fn comparisons(group: &str, n_read: &mut usize) -> Option<Vec<Comparison>> {
    let mut found = Vec::new();
    let mut rest = group.trim();
    loop {
        let (comparison, behind) = Comparison::take(rest)?;
        match behind.trim_start().strip_prefix("- ") {
            Some(end) if comparison.operator == Operator::Equal && behind.starts_with([' ', '\t']) => {
                let (end, behind) = Comparison::take(end.trim_start())?;
                found.push(Comparison { operator: Operator::GreaterOrEqual, ..comparison });
                found.push(Comparison { operator: Operator::LessOrEqual, ..end });
                rest = behind;
            }
            _ => {
                found.push(comparison);
                rest = behind;
            }
        }
        *n_read += 1;
        let behind = rest.trim_start();
        if behind.is_empty() {
            return Some(found);
        }
        if behind.len() == rest.len() && !behind.starts_with(',') {
            return None;
        }
        rest = behind.strip_prefix(',').unwrap_or(behind).trim_start();
    }
}

impl Comparison {
    /// Reads a comparison at the beginning of a text; returns what stands behind it, too.
    fn take(text: &str) -> Option<(Comparison, &str)> {
        let found = COMPARISON.captures(text)?;
        let numbers: Option<Vec<u64>> = given_numbers(&found).map(|number| number.parse().ok()).collect();
        let numbers = numbers?;
        let pre = match found.get(5) {
            Some(pre) => Prerelease::new(pre.as_str()).ok()?,
            None => Prerelease::EMPTY,
        };
        let number = |index: usize| numbers.get(index).copied().unwrap_or_default();
        let version =
            LooseVersion { major: number(0), minor: number(1), patch: number(2), pre, n_dots: numbers.len() };
        let operator = Operator::parse(found.get(1)?.as_str());
        Some((Comparison { operator, version, n_numbers: numbers.len() }, &text[found.get(0)?.end()..]))
    }

    fn allows(&self, version: &LooseVersion) -> bool {
        let wanted = &self.version;
        match self.operator {
            Operator::Equal if self.n_numbers < 3 => self.is_about(version),
            Operator::Equal => version == wanted,
            Operator::NotEqual => !self.is_same(version),
            Operator::Greater => self.given(version) > self.given(wanted),
            Operator::GreaterOrEqual => version >= wanted,
            Operator::Less => version < wanted,
            Operator::LessOrEqual => self.given(version) <= self.given(wanted),
            Operator::Tilde => self.is_about(version),
            Operator::Caret => version >= wanted && self.is_compatible(version),
        }
    }

    /// Returns what of a version counts where the rest may be anything.
    fn given<'a>(&self, version: &'a LooseVersion) -> (u64, Option<u64>, Option<(u64, &'a Prerelease)>) {
        let minor = (self.n_numbers != 1).then_some(version.minor);
        let rest = !(1..3).contains(&self.n_numbers);
        (version.major, minor, rest.then_some((version.patch, &version.pre)))
    }

    /// `!=1.2.x` leaves no version of 1.2 but pre-releases, if those count at all.
    fn is_same(&self, version: &LooseVersion) -> bool {
        self.given(version) == self.given(&self.version)
            && (self.n_numbers != 2 || version.pre == self.version.pre)
    }

    /// `~1.2.3` is anything of 1.2 from there on, `~1` anything of 1, and `~0.0.0` anything at all.
    fn is_about(&self, version: &LooseVersion) -> bool {
        let wanted = &self.version;
        let is_anything =
            (wanted.major, wanted.minor, wanted.patch) == (0, 0, 0) && !(1..3).contains(&self.n_numbers);
        let has_same_numbers =
            version.major == wanted.major && (self.n_numbers == 1 || version.minor == wanted.minor);
        version >= wanted && (is_anything || has_same_numbers)
    }

    /// `^1.2.3` keeps the first number that isn't zero, or the last that is given.
    fn is_compatible(&self, version: &LooseVersion) -> bool {
        let wanted = &self.version;
        match (self.n_numbers, wanted.major, wanted.minor) {
            (0, _, _) => true,
            (1, _, _) | (_, 1.., _) => version.major == wanted.major,
            (2, 0, _) | (_, 0, 1..) => (version.major, version.minor) == (0, wanted.minor),
            (_, 0, 0) => (version.major, version.minor, version.patch) == (0, 0, wanted.patch),
        }
    }
}

/// Returns the numbers up to the first that is left open.
fn given_numbers<'a>(found: &Captures<'a>) -> impl Iterator<Item = &'a str> {
    let written = [found.get(2), found.get(3), found.get(4)];
    let numbers = written.into_iter().map_while(|part| part.map(|part| part.as_str()));
    numbers.take_while(|part| !["x", "X", "*"].contains(part))
}

impl Operator {
    fn parse(text: &str) -> Operator {
        match text {
            "!=" => Operator::NotEqual,
            ">" => Operator::Greater,
            ">=" | "=>" => Operator::GreaterOrEqual,
            "<" => Operator::Less,
            "<=" | "=<" => Operator::LessOrEqual,
            "~" | "~>" => Operator::Tilde,
            "^" => Operator::Caret,
            _ => Operator::Equal,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed<'a>(constraint: &str, versions: &[&'a str]) -> Vec<&'a str> {
        let constraint = Constraint::parse(constraint).unwrap();
        let is_allowed = |text: &&&str| constraint.allows(&LooseVersion::parse(text).unwrap());
        versions.iter().filter(is_allowed).copied().collect()
    }

    #[test]
    fn each_operator_allows_what_masterminds_does() {
        for (constraint, is_allowed, is_not) in [
            ("1.2.3", "1.2.3 v1.2.3", "1.2.4 1.2.3-rc.1"),
            ("=1.2", "1.2.0 1.2 1.2.9", "1.1.9 1.3.0"),
            ("1.x", "1.0.0 1.9", "0.9 2"),
            ("*", "0 0.0.1 1.2.3 9", "1-rc.1"),
            ("x.1.2", "0 9.9.9", "1-rc.1"),
            ("!=1.2.3", "1.2.2 1.2.4", "1.2.3 1.2.4-rc.1"),
            ("!=1.x", "0.9 2.0", "1.0.0 1.9.9"),
            ("!=1.2.x", "1.1 1.3 2.2.0", "1.2.0 1.2.9"),
            (">1.2.3", "1.2.4 2", "1.2.3 1.2.2"),
            (">1.2", "1.3.0 2.0", "1.2.9 1.2.0"),
            (">1", "2.0.0", "1.9.9 1.0"),
            (">=1.2", "1.2.0 1.3", "1.1.9"),
            ("=>1.2", "1.2.0 1.3", "1.1.9"),
            ("<1.2", "1.1.9 0", "1.2.0"),
            ("<=1.2.3", "1.2.3 1.2.2", "1.2.4"),
            ("<=1.2", "1.2.9 1.1", "1.3.0"),
            ("=<1", "1.9.9 0.1", "2.0.0"),
            ("~1.2.3", "1.2.3 1.2.9", "1.2.2 1.3.0"),
            ("~>1.2", "1.2.0 1.2.9", "1.3.0 1.1.9"),
            ("~1", "1.0.0 1.9.9", "2.0.0 0.9"),
            ("~1.2.x", "1.2.0 1.2.9", "1.3.0"),
            ("~0.0.0", "0.0.0 7.0.0", "1-rc.1"),
            ("~0.0", "0.0.0 0.0.9", "0.1.0"),
            ("~*", "0 3.2.1", "1-rc.1"),
            ("^1.2.3", "1.2.3 1.9.0", "1.2.2 2.0.0"),
            ("^1.2", "1.2.0 1.9.0", "1.1.9 2.0.0"),
            ("^1", "1.0.0 1.9.9", "0.9.9 2.0.0"),
            ("^0.2.3", "0.2.3 0.2.9", "0.2.2 0.3.0 1.2.3"),
            ("^0.2", "0.2.0 0.2.9", "0.3.0 1.2.0"),
            ("^0.0.3", "0.0.3", "0.0.2 0.0.4 0.1.3"),
            ("^0.0", "0.0.0 0.0.9", "0.1.0"),
            ("^0", "0.0.0 0.9.9", "1.0.0"),
            ("^*", "0 3.2.1", "1-rc.1"),
        ] {
            let (good, bad): (Vec<&str>, Vec<&str>) =
                (is_allowed.split(' ').collect(), is_not.split(' ').collect());
            assert_eq!(allowed(constraint, &[good.clone(), bad].concat()), good, "{constraint}");
        }
    }

    #[test]
    fn comparisons_are_joined_by_and_and_or() {
        let versions = ["1.1", "1.2", "2.9", "3.0", "4.2.2", "4.2.3"];
        for (constraint, expected) in [
            (">= 1.2 < 3.0.0 || >= 4.2.3", "1.2 2.9 4.2.3"),
            (">=1.2, <3.0.0", "1.2 2.9"),
            (">=1.2,<3.0.0||4.2.x", "1.2 2.9 4.2.2 4.2.3"),
            ("1.2 - 3.0", "1.2 2.9 3.0"),
            ("1.1 - 1.2 || 4.2.3 - 5", "1.1 1.2 4.2.3"),
            ("1.2 - 4, != 3.x", "1.2 2.9 4.2.2 4.2.3"),
            ("  > 1.1  ,  < 2  ", "1.2"),
            (">3 <4", ""),
        ] {
            assert_eq!(allowed(constraint, &versions).join(" "), expected, "{constraint}");
        }
    }

    #[test]
    fn pre_releases_count_only_where_the_group_names_one() {
        let versions = ["1.0.0-rc.1", "1.0.0", "1.1.0-beta", "1.1.0", "2.0.0-alpha"];
        for (constraint, expected) in [
            (">=1.0.0", "1.0.0 1.1.0"),
            (">=1.0.0-0", "1.0.0-rc.1 1.0.0 1.1.0-beta 1.1.0 2.0.0-alpha"),
            (">=1.0.0-0 <1.1.0", "1.0.0-rc.1 1.0.0 1.1.0-beta"),
            ("1.1.0-beta", "1.1.0-beta"),
            ("~1.1-0", "1.1.0-beta 1.1.0"),
            ("^1.0.0-rc.1", "1.0.0-rc.1 1.0.0 1.1.0-beta 1.1.0"),
            (">=1.1.0-0 || <1.1.0", "1.0.0 1.1.0-beta 1.1.0 2.0.0-alpha"),
            ("!=1.1.0-beta", "1.0.0-rc.1 1.0.0 1.1.0 2.0.0-alpha"),
            ("1.1.0+build.7", "1.1.0"),
        ] {
            assert_eq!(allowed(constraint, &versions).join(" "), expected, "{constraint}");
        }
    }

    #[test]
    fn what_is_no_constraint_is_refused_with_the_place() {
        for (text, n_th) in [
            ("", 1),
            ("latest", 1),
            (">>1", 1),
            (">=1.2 and <3", 2),
            (">=1 <2 ||", 3),
            ("1.2.3.4", 2),
            (">=1,,<2", 2),
            ("1.2-", 2),
            ("1.2 - ", 2),
            (">=1.2 - 2", 2),
            ("1-rc.01", 1),
            ("99999999999999999999", 1),
        ] {
            let error = Constraint::parse(text).unwrap_err().to_string();
            assert!(error.starts_with(&format!("comparison {n_th} in it cannot be read")), "{text}: {error}");
        }
    }
}
