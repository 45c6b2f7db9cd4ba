//! Everything that could be installed, found by name and by what it provides.
//!
//! A package is read out of its index when somebody looks at it: of sixty thousand a build asks for some hundreds.

use std::sync::OnceLock;

use crate::apt::index::{Candidate, Index};
use crate::debian::Version;

/// The candidates of all indexes, which are of one architecture.
#[derive(Debug)]
pub struct Universe {
    indexes: Vec<Index>,
    /// The number of each index's first candidate.
    starts: Vec<u32>,
    candidates: Vec<OnceLock<Box<Candidate>>>,
    architecture: Box<str>,
    /// Sorted by name, then the one apt prefers first.
    by_name: Vec<CandidateId>,
}

/// A candidate of a [`Universe`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CandidateId(pub(super) u32);

/// That a candidate provides a name.
#[derive(Debug)]
pub(super) struct Provision {
    pub(super) version: Option<Version>,
    pub(super) by: CandidateId,
}

impl Universe {
    /// Gathers the candidates of `indexes`, which were read for `architecture`.
    pub fn new(indexes: impl IntoIterator<Item = Index>, architecture: &str) -> Universe {
        let indexes: Vec<Index> = indexes.into_iter().collect();
        let mut starts = Vec::with_capacity(indexes.len());
        let mut n_candidates = 0;
        for index in &indexes {
            starts.push(u32::try_from(n_candidates).unwrap_or(u32::MAX));
            n_candidates += index.len();
        }
        let candidates = std::iter::repeat_with(OnceLock::new).take(n_candidates).collect();
        let mut universe =
            Universe { indexes, starts, candidates, architecture: architecture.into(), by_name: Vec::new() };
        universe.by_name = universe.sorted();
        universe
    }

    /// Every index is sorted already: what is left to do is to merge them, and to compare versions of one name.
    fn sorted(&self) -> Vec<CandidateId> {
        let ids = |(index, start): (&Index, &u32)| {
            let start = *start;
            index.by_name().map(move |number| id(start, number)).collect::<Vec<_>>()
        };
        let mut by_name: Vec<CandidateId> = self.indexes.iter().zip(&self.starts).flat_map(ids).collect();
        by_name.sort_by(|a, b| self.name(*a).cmp(self.name(*b)));
        for versions in by_name.chunk_by_mut(|a, b| self.name(*a) == self.name(*b)) {
            if versions.len() > 1 {
                versions.sort_by_cached_key(|id| std::cmp::Reverse((self.pin(*id), self.version(*id))));
            }
        }
        by_name
    }

    /// Returns a candidate.
    pub fn candidate(&self, id: CandidateId) -> &Candidate {
        self.candidates[id.0 as usize].get_or_init(|| {
            let (index, number) = self.place(id);
            Box::new(index.candidate(number))
        })
    }

    /// Returns a candidate's name, without looking at the rest of it.
    fn name(&self, id: CandidateId) -> &str {
        let (index, number) = self.place(id);
        index.name(number)
    }

    fn version(&self, id: CandidateId) -> Version {
        let (index, number) = self.place(id);
        index.version(number)
    }

    fn pin(&self, id: CandidateId) -> i16 {
        self.place(id).0.pin()
    }

    /// Returns the index that a candidate stands in, and its number there.
    fn place(&self, id: CandidateId) -> (&Index, usize) {
        let index = self.starts.partition_point(|start| *start <= id.0) - 1;
        (&self.indexes[index], (id.0 - self.starts[index]) as usize)
    }

    /// Returns the architecture everything is installed for.
    pub fn architecture(&self) -> &str {
        &self.architecture
    }

    /// Returns all versions of a package, the one apt prefers first.
    pub fn versions(&self, name: &str) -> &[CandidateId] {
        let begin = self.by_name.partition_point(|id| self.name(*id) < name);
        let count = self.by_name[begin..].partition_point(|id| self.name(*id) == name);
        &self.by_name[begin..begin + count]
    }

    /// Returns the names of all packages, sorted, each once.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let names = self.by_name.chunk_by(|a, b| self.name(*a) == self.name(*b));
        names.map(|versions| versions[0]).filter(|id| self.pin(*id) >= 0).map(|id| self.name(id))
    }

    /// Returns the names of the packages that every installation has, sorted: those whose preferred version says so.
    pub fn essential(&self) -> impl Iterator<Item = &str> {
        let mut names: Vec<&str> = self
            .indexes
            .iter()
            .flat_map(|index| index.essential().map(|number| index.name(number)))
            .collect();
        names.sort_unstable();
        names.dedup();
        names.into_iter().filter(|name| {
            let preferred = self.versions(name).first().map(|id| self.candidate(*id));
            preferred.is_some_and(|candidate| candidate.pin >= 0 && candidate.package.essential)
        })
    }

    pub(super) fn len(&self) -> usize {
        self.candidates.len()
    }

    /// Returns who provides a name, as the indexes have them.
    pub(super) fn provisions(&self, name: &str) -> impl Iterator<Item = Provision> {
        self.indexes.iter().zip(&self.starts).flat_map(move |(index, start)| {
            index.provisions(name).map(|(number, version)| Provision { version, by: id(*start, number) })
        })
    }

    /// Returns a number that is lower the earlier a candidate's name is mentioned in the indexes.
    ///
    /// apt numbers packages as it reads of them, and where nothing else decides it takes the last.
    pub(super) fn mention(&self, id: CandidateId) -> u32 {
        let name = self.name(id);
        let mut before: u32 = 0;
        for index in &self.indexes {
            match index.mention(name) {
                Some(number) => return before.saturating_add(number),
                None => before = before.saturating_add(index.n_mentions()),
            }
        }
        before
    }
}

fn id(start: u32, number: usize) -> CandidateId {
    CandidateId(start.saturating_add(u32::try_from(number).unwrap_or(u32::MAX)))
}
