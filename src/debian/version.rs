//! The version of a Debian package and dpkg's order of versions, bit for bit.
//!
//! See <https://www.debian.org/doc/debian-policy/ch-controlfields.html#version>: `[epoch:]upstream[-revision]`.
//! No version ranges: those belong to [`super::relation`].

use std::cmp::Ordering;
use std::fmt;

/// A package version, kept as it was written.
///
/// Two versions may be equal and yet written differently (`1.0` and `1.0-0`), so equality follows the order
/// and the text is asked for by name.
#[derive(Clone)]
pub struct Version(Box<str>);

/// Why a text is no version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot read version {text:?}: {problem}")]
pub struct Error {
    text: String,
    problem: &'static str,
}

/// Longer than any version in any archive, and short enough to compare often.
const LONGEST: usize = 1024;

impl Version {
    /// Reads a version as strictly as dpkg does when it reads a control file.
    pub fn parse(text: &str) -> Result<Version, Error> {
        let text = text.trim();
        match problem_of(text) {
            None => Ok(Version(text.into())),
            Some(problem) => Err(Error { text: text.chars().take(80).collect(), problem }),
        }
    }

    /// Returns the version as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the version without its epoch, as it stands in the name of a pool file.
    pub fn without_epoch(&self) -> &str {
        self.0.split_once(':').map_or(&*self.0, |(_, rest)| rest)
    }

    /// Returns epoch, upstream version and revision of a version as they are written; what is missing is empty.
    pub fn pieces(version: &str) -> (&str, &str, &str) {
        let (epoch, rest) = version.split_once(':').unwrap_or(("", version));
        let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, ""));
        (epoch, upstream, revision)
    }

    fn parts(&self) -> Parts<'_> {
        let (epoch, rest) = self.0.split_once(':').unwrap_or(("0", &self.0));
        let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, ""));
        Parts {
            epoch: epoch.parse().unwrap_or(0),
            upstream: upstream.as_bytes(),
            revision: revision.as_bytes(),
        }
    }
}

struct Parts<'a> {
    epoch: u32,
    upstream: &'a [u8],
    revision: &'a [u8],
}

fn problem_of(text: &str) -> Option<&'static str> {
    if text.is_empty() {
        return Some("it is empty");
    }
    if text.len() > LONGEST {
        return Some("it is longer than 1024 bytes");
    }
    let rest = match text.split_once(':') {
        None => text,
        Some((epoch, rest)) => {
            if !is_epoch(epoch) {
                return Some("the epoch is not a number");
            }
            rest
        }
    };
    let (upstream, revision) = match rest.rsplit_once('-') {
        None => (rest, None),
        Some((upstream, revision)) => (upstream, Some(revision)),
    };
    if upstream.is_empty() {
        return Some("the upstream version is empty");
    }
    if revision.is_some_and(str::is_empty) {
        return Some("the revision is empty");
    }
    if !upstream.bytes().all(|byte| is_plain(byte) || matches!(byte, b'-' | b':')) {
        return Some("the upstream version holds a character that is not allowed");
    }
    if !revision.unwrap_or_default().bytes().all(is_plain) {
        return Some("the revision holds a character that is not allowed");
    }
    None
}

fn is_epoch(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u32>().is_ok_and(|n| n <= i32::MAX as u32)
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'+' | b'~')
}

/// dpkg's `verrevcmp`: stretches of other characters and stretches of digits, in turn.
fn compare_part(mut left: &[u8], mut right: &[u8]) -> Ordering {
    while !left.is_empty() || !right.is_empty() {
        let others = compare_others(&mut left, &mut right);
        if others != Ordering::Equal {
            return others;
        }
        let digits = compare_digits(take_digits(&mut left), take_digits(&mut right));
        if digits != Ordering::Equal {
            return digits;
        }
    }
    Ordering::Equal
}

fn compare_others(left: &mut &[u8], right: &mut &[u8]) -> Ordering {
    loop {
        let (l, r) = (weight(left.first()), weight(right.first()));
        if l != r {
            return l.cmp(&r);
        }
        if l == 0 {
            return Ordering::Equal;
        }
        *left = &left[1..];
        *right = &right[1..];
    }
}

/// `~` sorts before the end, the end and digits count nothing, letters come before everything else.
fn weight(byte: Option<&u8>) -> i32 {
    match byte {
        Some(b'~') => -1,
        Some(byte) if byte.is_ascii_digit() => 0,
        Some(byte) if byte.is_ascii_alphabetic() => i32::from(*byte),
        Some(byte) => i32::from(*byte) + 256,
        None => 0,
    }
}

fn take_digits<'a>(text: &mut &'a [u8]) -> &'a [u8] {
    let end = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    *text = rest;
    let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
    &digits[zeros..]
}

/// Compares numbers of any length without computing them.
fn compare_digits(left: &[u8], right: &[u8]) -> Ordering {
    left.len().cmp(&right.len()).then_with(|| left.cmp(right))
}

impl Ord for Version {
    fn cmp(&self, other: &Version) -> Ordering {
        if self.0 == other.0 {
            return Ordering::Equal;
        }
        let (left, right) = (self.parts(), other.parts());
        left.epoch
            .cmp(&right.epoch)
            .then_with(|| compare_part(left.upstream, right.upstream))
            .then_with(|| compare_part(left.revision, right.revision))
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Version) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Version {
    fn eq(&self, other: &Version) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Version {}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for Version {
    type Err = Error;

    fn from_str(text: &str) -> Result<Version, Error> {
        Version::parse(text)
    }
}

#[cfg(test)]
mod tests {

    use super::*;

    fn version(text: &str) -> Version {
        Version::parse(text).unwrap()
    }

    #[test]
    fn versions_stand_in_dpkgs_order() {
        let ascending = [
            "0~~",
            "0~",
            "0",
            "1.0~~",
            "1.0~~a",
            "1.0~",
            "1.0~rc1-1",
            "1.0-0~deb12u1",
            "1.0",
            "1.0-1~",
            "1.0-1",
            "1.0-1+b1",
            "1.0-1+b2",
            "1.0-1.1",
            "1.0-10",
            "1.0a",
            "1.0a1",
            "1.0+dfsg-1",
            "1.0.1",
            "1.2",
            "1.10",
            "2-1",
            "10",
            "a1",
            "1:0",
            "1:1.0-1",
            "2:0.1",
        ];
        for pair in ascending.windows(2) {
            assert!(version(pair[0]) < version(pair[1]), "{} < {}", pair[0], pair[1]);
        }
    }

    #[test]
    fn some_versions_are_equal_though_written_differently() {
        for (left, right) in
            [("1.0", "1.0-0"), ("0:1", "1"), ("1.01", "1.1"), ("1.0-0", "1.0-00"), ("1", "1")]
        {
            assert_eq!(version(left), version(right));
        }
        assert_eq!(version("1.0-0").as_str(), "1.0-0");
    }

    #[test]
    fn numbers_of_any_length_compare_without_overflow() {
        let long = "9".repeat(1000);
        assert!(version(&long) > version("18446744073709551616"));
    }

    #[test]
    fn what_dpkg_refuses_is_refused() {
        for text in [
            "",
            "  ",
            "1.0-",
            ":1",
            "a:1",
            "1:",
            "-1",
            "1_0",
            "1 0",
            "1/0",
            "2147483648:1",
            "1.0-é",
            &"1".repeat(1025),
        ] {
            let error = Version::parse(text).map(|version| version.to_string());
            assert!(error.is_err(), "{text}");
        }
        assert_eq!(
            Version::parse("1.0-").unwrap_err().to_string(),
            "cannot read version \"1.0-\": the revision is empty"
        );
    }

    #[test]
    fn the_epoch_is_not_in_a_file_name() {
        assert_eq!(version("1:2.3-4").without_epoch(), "2.3-4");
        assert_eq!(version("2.3-4").without_epoch(), "2.3-4");
    }
}
