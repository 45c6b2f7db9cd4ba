//! Why a request cannot be satisfied, told so that one knows what to change.

use std::fmt;

use super::universe::Universe;
use crate::debian::package::RelationError;

/// Why nothing satisfies a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unsatisfiable {
    /// No repository knows the name.
    #[error("cannot install {name}: no repository has a package of that name{}", did_you_mean(suggestions))]
    Unknown {
        /// The name asked for.
        name: String,
        /// Names that look like it.
        suggestions: Vec<String>,
    },
    /// The package is known but not in this version.
    #[error("cannot install {name} {version}: no repository has that version{}", listed("; there is", known))]
    UnknownVersion {
        /// The package.
        name: String,
        /// The version asked for.
        version: String,
        /// The versions there are.
        known: Vec<String>,
    },
    /// The name is provided by several packages and is none itself.
    #[error("cannot install {name}: it is a virtual package; ask for one of {}", providers.join(", "))]
    Virtual {
        /// The name asked for.
        name: String,
        /// Who provides it.
        providers: Vec<String>,
    },
    /// One package is asked for in two versions.
    #[error("cannot install {name}: it is asked for in two versions")]
    TwoVersions {
        /// The package.
        name: String,
    },
    /// A package that cannot be done without is asked to go.
    #[error("cannot remove {name}: it is essential")]
    Essential {
        /// The package.
        name: String,
    },
    /// No repository knows the name of what is to go.
    #[error("cannot remove {name}: nobody knows a package of that name{}", did_you_mean(suggestions))]
    UnknownToRemove {
        /// The name asked for.
        name: String,
        /// Names that look like it.
        suggestions: Vec<String>,
    },
    /// No repository knows the name of what files are to be taken from.
    #[error(
        "cannot take files from package {name}: no repository has a package of that name{}",
        did_you_mean(suggestions)
    )]
    UnknownToTake {
        /// The name asked for.
        name: String,
        /// Names that look like it.
        suggestions: Vec<String>,
    },
    /// The preferences leave no version of what files are to be taken from.
    #[error("cannot take files from package {name}: the preferences rule out {}", versions.join(" and "))]
    RuledOut {
        /// The package.
        name: String,
        /// The versions there are.
        versions: Vec<String>,
    },
    /// A package on the way has a field that cannot be read.
    #[error(transparent)]
    Relation(#[from] RelationError),
    /// Something that is needed cannot be had.
    #[error("cannot install {0}")]
    Unmet(Cause),
}

/// A need that cannot be met, and how it came up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// From the package asked for to the one that has the need, each with its version.
    pub chain: Vec<String>,
    /// What that last one needs, and why it cannot be had.
    pub problem: String,
}

/// How many packages of a long way are told.
const MOST_SHOWN: usize = 12;

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((last, before)) = self.chain.split_last() else { return f.write_str(&self.problem) };
        match before {
            [] => write!(f, "{last}: it {}", self.problem),
            [first, ..] => {
                write!(f, "{first}: {last} {}", self.problem)?;
                let mut way: Vec<&str> = before.iter().rev().map(String::as_str).collect();
                if way.len() > MOST_SHOWN {
                    way.splice(MOST_SHOWN - 1..way.len() - 1, ["…"]);
                }
                write!(f, "\nneeded by: {}", way.join(" ← "))
            }
        }
    }
}

impl Unsatisfiable {
    pub(super) fn unknown(name: &str, universe: &Universe) -> Unsatisfiable {
        Unsatisfiable::Unknown {
            name: name.chars().take(100).collect(),
            suggestions: suggestions(name, universe),
        }
    }
}

impl Unsatisfiable {
    pub(super) fn not_to_be_taken(name: &str, universe: &Universe) -> Unsatisfiable {
        let known =
            universe.versions(name).iter().map(|id| universe.candidate(*id).package.version.to_string());
        let versions: Vec<String> = known.collect();
        match versions.is_empty() {
            true => Unsatisfiable::UnknownToTake {
                name: name.to_owned(),
                suggestions: suggestions(name, universe),
            },
            false => Unsatisfiable::RuledOut { name: name.to_owned(), versions },
        }
    }

    pub(super) fn unknown_to_remove(name: &str, universe: &Universe) -> Unsatisfiable {
        Unsatisfiable::UnknownToRemove {
            name: name.chars().take(100).collect(),
            suggestions: suggestions(name, universe),
        }
    }
}

/// Returns up to three names that are at most two slips of the keyboard away, the nearest first.
fn suggestions(name: &str, universe: &Universe) -> Vec<String> {
    if name.len() > 100 {
        return Vec::new();
    }
    let allowed = if name.len() < 5 { 1 } else { 2 };
    let near = universe.names().filter(|known| known.len().abs_diff(name.len()) <= allowed);
    let mut near: Vec<_> =
        near.map(|known| (distance(name, known), known)).filter(|(far, _)| *far <= allowed).collect();
    near.sort_unstable();
    near.into_iter().take(3).map(|(_, known)| known.to_owned()).collect()
}

/// The edit distance, a swap of neighbours counting once.
fn distance(left: &str, right: &str) -> usize {
    let (left, right) = (left.as_bytes(), right.as_bytes());
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.iter().enumerate() {
        let mut row = vec![i + 1; right.len() + 1];
        for (j, b) in right.iter().enumerate() {
            let replaced = last[j] + usize::from(a != b);
            row[j + 1] = replaced.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *a == right[j - 1] && left[i - 1] == *b {
                row[j + 1] = row[j + 1].min(before[j - 1] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    last[right.len()]
}

fn did_you_mean(suggestions: &[String]) -> String {
    listed("\nhint: did you mean", suggestions)
}

fn listed(before: &str, names: &[String]) -> String {
    if names.is_empty() { String::new() } else { format!("{before} {}", names.join(" or ")) }
}
