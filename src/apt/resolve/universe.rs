//! Everything that could be installed, found by name and by what it provides.

use std::collections::HashMap;
use std::sync::OnceLock;

use crate::apt::index::Candidate;
use crate::debian::Version;
use crate::debian::package::{RelationError, RelationField};

/// The candidates of all indexes that fit one architecture.
#[derive(Debug)]
pub struct Universe {
    candidates: Vec<Candidate>,
    architecture: Box<str>,
    /// Sorted by name, then the one apt prefers first.
    by_name: Vec<CandidateId>,
    /// Sorted by name, then as the indexes have them.
    provided: Vec<Provision>,
    /// When a name of each candidate is first mentioned; only ties ask for it.
    mentions: OnceLock<Vec<u32>>,
}

/// A candidate of a [`Universe`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CandidateId(pub(super) u32);

/// That a candidate provides a name.
#[derive(Debug)]
pub(super) struct Provision {
    name: Box<str>,
    pub(super) version: Option<Version>,
    pub(super) by: CandidateId,
}

impl Universe {
    /// Gathers the candidates that can be installed on `architecture`: its own and those for all.
    pub fn new(candidates: Vec<Candidate>, architecture: &str) -> Result<Universe, RelationError> {
        let fits = |name: &str| name == architecture || name == "all";
        let candidates: Vec<_> =
            candidates.into_iter().filter(|one| fits(&one.package.architecture)).collect();
        let ids = || (0..candidates.len()).filter_map(|index| u32::try_from(index).ok().map(CandidateId));
        let mut by_name: Vec<_> = ids().collect();
        by_name.sort_by(|a, b| {
            let (a, b) = (&candidates[a.0 as usize], &candidates[b.0 as usize]);
            let names = a.package.name.cmp(&b.package.name);
            names.then_with(|| b.pin.cmp(&a.pin)).then_with(|| b.package.version.cmp(&a.package.version))
        });
        let mut provided = Vec::new();
        for id in ids() {
            for one in candidates[id.0 as usize].package.provides()? {
                provided.push(Provision { name: one.name, version: one.version, by: id });
            }
        }
        provided.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Universe {
            candidates,
            architecture: architecture.into(),
            by_name,
            provided,
            mentions: OnceLock::new(),
        })
    }

    /// Returns a candidate.
    pub fn candidate(&self, id: CandidateId) -> &Candidate {
        &self.candidates[id.0 as usize]
    }

    /// Returns the architecture everything is installed for.
    pub fn architecture(&self) -> &str {
        &self.architecture
    }

    /// Returns all versions of a package, the one apt prefers first.
    pub fn versions(&self, name: &str) -> &[CandidateId] {
        let name_of = |id: &CandidateId| &*self.candidate(*id).package.name;
        let begin = self.by_name.partition_point(|id| name_of(id) < name);
        let count = self.by_name[begin..].partition_point(|id| name_of(id) == name);
        &self.by_name[begin..begin + count]
    }

    /// Returns the names of all packages, sorted, each once.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.preferred().map(|candidate| &*candidate.package.name)
    }

    /// Returns the names of the packages that every installation has.
    pub fn essential(&self) -> impl Iterator<Item = &str> {
        self.preferred()
            .filter(|candidate| candidate.package.essential)
            .map(|candidate| &*candidate.package.name)
    }

    /// Returns the preferred version of every package, by name.
    fn preferred(&self) -> impl Iterator<Item = &Candidate> {
        let names =
            self.by_name.chunk_by(|a, b| self.candidate(*a).package.name == self.candidate(*b).package.name);
        names.map(|versions| self.candidate(versions[0])).filter(|candidate| candidate.pin >= 0)
    }

    pub(super) fn len(&self) -> usize {
        self.candidates.len()
    }

    pub(super) fn provisions(&self, name: &str) -> &[Provision] {
        let begin = self.provided.partition_point(|one| &*one.name < name);
        let count = self.provided[begin..].partition_point(|one| &*one.name == name);
        &self.provided[begin..begin + count]
    }

    /// Returns how many other names are mentioned in the indexes before this candidate's.
    ///
    /// apt numbers packages as it reads of them, and where nothing else decides it takes the last.
    pub(super) fn mention(&self, id: CandidateId) -> u32 {
        self.mentions.get_or_init(|| count_mentions(&self.candidates))[id.0 as usize]
    }
}

fn count_mentions(candidates: &[Candidate]) -> Vec<u32> {
    let mut first: HashMap<&str, u32> = HashMap::with_capacity(candidates.len());
    let mut next = 0;
    for candidate in candidates {
        let fields =
            RelationField::ALL.into_iter().flat_map(|field| names_in(candidate.package.relation_text(field)));
        for name in std::iter::once(&*candidate.package.name).chain(fields) {
            first.entry(name).or_insert_with(|| {
                next += 1;
                next
            });
        }
    }
    candidates.iter().map(|candidate| first.get(&*candidate.package.name).copied().unwrap_or(0)).collect()
}

/// Returns the names in a relation field; with `:any` they count as names of their own.
fn names_in(field: &str) -> impl Iterator<Item = &str> {
    let words = field.split([',', '|']).map(str::trim_start).filter(|word| !word.is_empty());
    words.map(|word| word.split([' ', '(', '[', '\n']).next().unwrap_or(word))
}
