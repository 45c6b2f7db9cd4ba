//! Everything that could be installed, found by name and by what it provides.
//!
//! A package is read out of its index when somebody looks at it: of sixty thousand a build asks for some hundreds.

use std::borrow::Cow;
use std::sync::OnceLock;

use super::error::Unsatisfiable;
use crate::apt::index::{Candidate, Index, mentions};
use crate::apt::preferences::Policy;
use crate::debian::package::Provided;
use crate::debian::{Package, Version};

/// The candidates of all indexes, which are of one architecture.
#[derive(Debug)]
pub struct Universe {
    indexes: Vec<Index>,
    /// The number of each index's first candidate.
    starts: Vec<u32>,
    candidates: Vec<OnceLock<Box<Candidate>>>,
    architecture: Box<str>,
    policy: Policy,
    /// Sorted by name, then the newest version first, then as the indexes have them.
    by_name: Vec<CandidateId>,
}

/// A candidate of a [`Universe`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CandidateId(pub(super) u32);

/// That a candidate provides a name.
#[derive(Debug)]
pub(super) struct Provision {
    pub(super) provided: Provided,
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
        let mut universe = Universe {
            indexes,
            starts,
            candidates,
            architecture: architecture.into(),
            policy: Policy::default(),
            by_name: Vec::new(),
        };
        universe.by_name = universe.sorted();
        universe
    }

    /// Prefers some versions over others, beyond what their repositories say.
    pub fn prefer(&mut self, policy: Policy) {
        self.policy = policy;
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
                versions.sort_by_cached_key(|id| {
                    std::cmp::Reverse((self.version(*id), self.place(*id).0.is_of_files()))
                });
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

    /// Returns all versions of a package, the newest first.
    pub fn versions(&self, name: &str) -> &[CandidateId] {
        let begin = self.by_name.partition_point(|id| self.name(*id) < name);
        let count = self.by_name[begin..].partition_point(|id| self.name(*id) == name);
        &self.by_name[begin..begin + count]
    }

    /// Returns the names of all packages that can be installed, sorted, each once.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.preferred_ids().map(|id| self.name(id))
    }

    /// Returns the version of every package that is installed where none is, by name.
    pub fn preferred(&self) -> impl Iterator<Item = &Candidate> {
        self.preferred_ids().map(|id| self.candidate(id))
    }

    /// Returns the version of a package that files are taken from: the one that is installed where none is.
    ///
    /// # Errors
    /// When there is none.
    pub fn to_take_from(&self, name: &str) -> Result<&Candidate, Unsatisfiable> {
        let preferred = self.preferred_of(self.versions(name));
        preferred.map(|id| self.candidate(id)).ok_or_else(|| Unsatisfiable::not_to_be_taken(name, self))
    }

    fn preferred_ids(&self) -> impl Iterator<Item = CandidateId> {
        let names = self.by_name.chunk_by(|a, b| self.name(*a) == self.name(*b));
        names.filter_map(|versions| self.preferred_of(versions))
    }

    /// Returns the version with the highest priority, of those the newest.
    fn preferred_of(&self, versions: &[CandidateId]) -> Option<CandidateId> {
        let mut best = (None, 0);
        for id in versions {
            let priority = self.priority(&[*id], false);
            if priority > best.1 {
                best = (Some(*id), priority);
            }
        }
        best.0
    }

    /// Returns apt's priority of one version: these candidates, which are all the same, and perhaps what is installed.
    pub(super) fn priority(&self, files: &[CandidateId], is_installed: bool) -> i32 {
        if self.policy.preferences.is_empty() {
            let pins = files.iter().map(|id| i32::from(self.pin(*id)));
            return pins.chain(is_installed.then_some(INSTALLED)).max().unwrap_or(0);
        }
        let files: Vec<&Candidate> = files.iter().map(|id| self.candidate(*id)).collect();
        self.policy.priority(&files, is_installed)
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
            let preferred = self.preferred_of(self.versions(name));
            preferred.is_some_and(|id| self.candidate(id).package.essential)
        })
    }

    pub(super) fn len(&self) -> usize {
        self.candidates.len()
    }

    /// Returns who provides a name, as the indexes have them.
    pub(super) fn provisions(&self, name: &str) -> Vec<Provision> {
        let mut provisions = Vec::new();
        for (index, start) in self.indexes.iter().zip(&self.starts) {
            let mut numbers: Vec<usize> = index.provisions(name).map(|(number, _)| number).collect();
            numbers.dedup();
            for by in numbers.into_iter().map(|number| id(*start, number)) {
                let package = &self.candidate(by).package;
                let provided = package.provides().unwrap_or_default().into_iter();
                let wanted = provided.filter(|one| *one.name == *name && !is_itself(one, package));
                provisions.extend(wanted.map(|provided| Provision { provided, by }));
            }
        }
        provisions
    }

    /// Returns every name that the indexes and some other packages mention, some of them more than once.
    pub(super) fn mentioned_names<'o>(&self, others: impl Iterator<Item = &'o Package>) -> Vec<Cow<'_, str>> {
        let mut names: Vec<Cow<'_, str>> =
            self.indexes.iter().flat_map(Index::mentioned).map(Cow::Borrowed).collect();
        for package in others {
            mentions::for_each(package, &self.architecture, |name| names.push(Cow::Owned(name.to_owned())));
        }
        names
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

/// apt's priority of what is installed and in no repository.
const INSTALLED: i32 = 100;

/// apt passes over a package that provides itself.
pub(super) fn is_itself(provided: &Provided, package: &Package) -> bool {
    provided.name == package.name
        && provided.qualifier.is_none()
        && provided.version.as_ref().is_none_or(|version| version.as_str() == package.version.as_str())
}

fn id(start: u32, number: usize) -> CandidateId {
    CandidateId(start.saturating_add(u32::try_from(number).unwrap_or(u32::MAX)))
}
