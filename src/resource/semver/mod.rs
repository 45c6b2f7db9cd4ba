//! Tags that are version numbers, read as loosely as people write them (`1`, `v1.2`, `22.04`), and their order.
//!
//! Which of them somebody wants is not known here; [`Constraint`] only answers for one at a time.

mod constraint;

use std::cmp::Ordering;

use semver::Prerelease;

pub use constraint::{Constraint, InvalidConstraint};

/// A version number (semver.org), of which minor and patch may be left out.
///
/// The order is that of the numbers: `1` and `1.0.0` are equal.
#[derive(Clone, Debug)]
pub struct LooseVersion {
    /// The first number.
    pub major: u64,
    /// The second; zero where there is none.
    pub minor: u64,
    /// The third; zero where there is none.
    pub patch: u64,
    /// What stands after a hyphen, as `rc.1`; empty for a final version.
    pub pre: Prerelease,
    /// How many dots were written: the more, the more specific.
    pub n_dots: usize,
}

impl LooseVersion {
    /// Reads a version; a `v` may stand in front.
    pub fn parse(text: &str) -> Option<LooseVersion> {
        let text = text.strip_prefix('v').unwrap_or(text);
        let (numbers, pre) = match text.split_once('-') {
            Some((_, "")) => return None,
            Some((numbers, pre)) => (numbers, Prerelease::new(pre).ok()?),
            None => (text, Prerelease::EMPTY),
        };
        let mut parts = numbers.split('.').map(number);
        let major = parts.next()??;
        let (minor, patch) = (parts.next().unwrap_or(Some(0))?, parts.next().unwrap_or(Some(0))?);
        match parts.next() {
            Some(_) => None,
            None => Some(LooseVersion { major, minor, patch, pre, n_dots: text.matches('.').count() }),
        }
    }

    /// Whether it comes before a final version.
    pub fn is_pre_release(&self) -> bool {
        !self.pre.is_empty()
    }

    fn key(&self) -> (u64, u64, u64, &Prerelease) {
        (self.major, self.minor, self.patch, &self.pre)
    }
}

/// Zeros may stand in front, as in `22.04`.
fn number(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

impl PartialEq for LooseVersion {
    fn eq(&self, other: &LooseVersion) -> bool {
        self.key() == other.key()
    }
}

impl Eq for LooseVersion {}

impl PartialOrd for LooseVersion {
    fn partial_cmp(&self, other: &LooseVersion) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for LooseVersion {
    fn cmp(&self, other: &LooseVersion) -> Ordering {
        self.key().cmp(&other.key())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> LooseVersion {
        LooseVersion::parse(text).unwrap()
    }

    #[test]
    fn minor_and_patch_may_be_left_out_and_a_v_may_stand_in_front() {
        for (text, numbers, pre) in [
            ("1", (1, 0, 0), ""),
            ("v1.2", (1, 2, 0), ""),
            ("1.2.3", (1, 2, 3), ""),
            ("22.04", (22, 4, 0), ""),
            ("1-rc.1", (1, 0, 0), "rc.1"),
            ("1.2.3-alpine3.20-slim", (1, 2, 3), "alpine3.20-slim"),
        ] {
            let read = version(text);
            assert_eq!(((read.major, read.minor, read.patch), read.pre.as_str()), (numbers, pre), "{text}");
        }
    }

    #[test]
    fn what_is_no_version_is_none() {
        for text in [
            "",
            "v",
            "latest",
            "V1",
            "vv1",
            "1.",
            ".1",
            "1.2.3.4",
            "1..2",
            "1.x",
            "1-",
            "1-a..b",
            "1-rc.01",
            "-1",
            "1_2",
            "+1",
            "99999999999999999999",
        ] {
            assert!(LooseVersion::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn versions_have_the_order_of_their_numbers_and_then_of_their_pre_releases() {
        let sorted = [
            "0.9",
            "1-1",
            "1-2",
            "1-10",
            "1-alpha",
            "1-alpha.1",
            "1-alpha.beta",
            "1-beta",
            "1-rc.2",
            "1-rc.10",
            "1",
            "1.0.1",
            "1.9",
            "1.10",
            "2",
        ];
        for pair in sorted.windows(2) {
            assert!(version(pair[0]) < version(pair[1]), "{pair:?}");
        }
        assert_eq!(version("1"), version("v1.0.0"));
    }
}
