//! Where packages come from: the lines of a `sources.list` and the paragraphs of a `.sources` file.
//!
//! See <https://manpages.debian.org/sources.list.5>. Which files there are, which keys verify and which suites fit
//! a distribution is decided elsewhere. A URI may hold credentials, so messages show it through [`redact::url`].

mod line;
mod stanza;
#[cfg(test)]
mod tests;
mod value;

use std::fmt;

use crate::debian::relation::is_architecture;
use crate::redact;
pub use line::parse_one_line;
pub use stanza::parse_deb822;
use value::excerpt;

/// One suite of one archive, binary or source.
#[derive(Clone, PartialEq, Eq)]
pub struct Repository {
    /// `deb` or `deb-src`.
    pub kind: Kind,
    /// The archive's base, as written; it may hold credentials.
    pub uri: String,
    /// The suite, or for a flat repository a path that ends in `/`.
    pub suite: String,
    /// The components; none in a flat repository.
    pub components: Vec<String>,
    /// The architectures it is limited to.
    pub architectures: Option<Vec<String>>,
    /// Whose signature counts.
    pub signed_by: SignedBy,
    /// Whether it is trusted without a signature, or not even with one.
    pub trusted: Option<bool>,
    /// The option, as it is written, by which it asks to be believed with less than a good signature.
    pub lenience: Option<&'static str>,
    /// For how long its Release file counts.
    pub validity: Validity,
    /// Where it was written.
    pub place: Place,
}

/// For how long a Release file counts, as far as a source says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Validity {
    /// Whether an expired or older one is refused; it is unless this says no.
    pub check: Option<bool>,
    /// It counts for so many seconds after its `Date`, whatever its `Valid-Until` says.
    pub at_least: Option<i64>,
    /// It counts for no more than so many seconds after its `Date`.
    pub at_most: Option<i64>,
}

/// Binary packages or source packages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `deb`
    Binary,
    /// `deb-src`
    Source,
}

/// Whose signature counts for a repository.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum SignedBy {
    /// Nothing is said.
    #[default]
    Unset,
    /// Keyring files, or names of keys in a definition.
    Paths(Vec<String>),
    /// Fingerprints of keys known otherwise; a trailing `!` excludes subkeys.
    Fingerprints(Vec<String>),
    /// An armored keyring that stands in the sources file itself.
    Embedded(String),
}

/// Where a repository was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file, as the caller calls it.
    pub file: String,
    /// The line, counted from 1.
    pub line: usize,
}

/// What a sources file says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sources {
    /// The repositories, in the order written.
    pub repositories: Vec<Repository>,
    /// What was left out and why, for the log.
    pub ignored: Vec<Ignored>,
}

/// A source that is left out on purpose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ignored {
    /// Where it was written.
    pub place: Place,
    /// Why it does not count.
    pub reason: &'static str,
}

/// A source that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot read source at {place}: {problem}")]
pub struct SourceError {
    /// Where.
    pub place: Place,
    /// What is wrong.
    pub problem: String,
}

/// Why one that lies on a disc is left out.
const CDROM: &str = "a cdrom is not at hand during a build";

/// Reads a text of either form: lines of a `sources.list`, or paragraphs of a `.sources` file.
pub fn parse(text: &str, file: &str) -> Result<Sources, SourceError> {
    match text.trim_start().starts_with("deb") {
        true => parse_one_line(text, file),
        false => parse_deb822(text, file),
    }
}

impl Repository {
    /// Whether its indexes lie beside its Release file, without suites and components.
    pub fn is_flat(&self) -> bool {
        self.suite.ends_with('/')
    }

    /// Whether it offers packages for `architecture`, as far as the source says.
    pub fn offers(&self, architecture: &str) -> bool {
        self.architectures.as_ref().is_none_or(|known| known.iter().any(|name| name == architecture))
    }

    /// Returns a problem that shows before anything is fetched.
    fn problem(&self) -> Option<String> {
        let (scheme, rest) = self.uri.split_once(':').unwrap_or_default();
        if scheme.is_empty() || rest.is_empty() || scheme.contains('/') {
            return Some(format!("{:?} is not a URI", excerpt(&redact::url(&self.uri))));
        }
        if self.is_flat() && !self.components.is_empty() {
            return Some(format!(
                "suite {:?} ends in a slash, so no component may follow",
                excerpt(&self.suite)
            ));
        }
        if !self.is_flat() && self.components.is_empty() {
            return Some(format!("suite {:?} needs a component, as `main`", excerpt(&self.suite)));
        }
        let parts = || self.components.iter().chain([&self.suite]);
        if parts().any(|part| part.split('/').any(|step| step == "..")) {
            return Some("suite and components may not hold `..`".to_owned());
        }
        let mut architectures = self.architectures.iter().flatten();
        let odd = architectures.find(|name| !is_architecture(name));
        odd.map(|name| format!("{:?} is not an architecture", excerpt(name)))
    }

    fn checked(self) -> Result<Repository, SourceError> {
        match self.problem() {
            None => Ok(self),
            Some(problem) => Err(SourceError { place: self.place, problem }),
        }
    }
}

impl Kind {
    fn parse(word: &str) -> Result<Kind, String> {
        match word {
            "deb" => Ok(Kind::Binary),
            "deb-src" => Ok(Kind::Source),
            other => Err(format!("expected type `deb` or `deb-src`, got {:?}", excerpt(other))),
        }
    }
}

impl SignedBy {
    /// Reads what is given as a list: either fingerprints or keyrings, not both.
    fn of_list(values: Vec<String>) -> Result<SignedBy, String> {
        let fingerprints = values.iter().filter(|value| is_fingerprint(value)).count();
        match fingerprints {
            _ if values.is_empty() => Err("signed-by names no key".to_owned()),
            0 => Ok(SignedBy::Paths(values)),
            all if all == values.len() => Ok(SignedBy::Fingerprints(values)),
            _ => Err("signed-by mixes fingerprints and keyrings".to_owned()),
        }
    }
}

fn is_fingerprint(text: &str) -> bool {
    let digits = text.strip_suffix('!').unwrap_or(text);
    matches!(digits.len(), 40 | 64) && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// As a line of a `sources.list`, without options and without credentials.
impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Binary => "deb",
            Kind::Source => "deb-src",
        };
        write!(f, "{kind} {} {}", redact::url(&self.uri), self.suite)?;
        self.components.iter().try_for_each(|component| write!(f, " {component}"))
    }
}

impl fmt::Debug for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self} ({}, {:?}, {:?})", self.place, self.architectures, self.signed_by)
    }
}
