//! The sources of what is installed: which are wanted, where each is found, and what is said when one isn't.
//!
//! A source is looked for where its package came from, then in the other suites, then where `deb-src` lines lead.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, bail};
use futures_util::future::try_join_all;

use super::archive::{Desk, Suite};
use super::debs::{self, Brought};
use super::places::Places;
use super::shelf::{self, Found, SourceName};
use super::trust::{Author, Trust};
use super::{LockedPackage, LockedSource, LockedSuite, PlatformLock};
use crate::apt::index::Candidate;
use crate::apt::keyring::Proofs;
use crate::apt::sources::Repository;
use crate::build::World;
use crate::build::base::Facts;
use crate::build::definition::{Apt, Deb, SourcePolicy};
use crate::debian::Package;
use crate::debian::package::RelationField;
use crate::digest::Digest;

/// The archives of a lock, opened.
pub struct Archives<'a> {
    /// Who named them.
    pub author: Author,
    /// The suites that packages come from.
    pub suites: Vec<Suite>,
    /// Where `deb-src` lines lead.
    pub for_sources: Vec<Repository>,
    /// The keys that are at hand.
    pub trust: Trust<'a>,
    /// Where files may be had.
    pub places: Places,
    /// The suites that the last lock holds.
    pub last: &'a [LockedSuite],
    /// The signatures that were verified.
    pub proofs: Proofs,
}

impl Archives<'_> {
    /// Returns what it takes to read them.
    pub fn desk<'a>(&'a self, world: &'a World) -> Desk<'a> {
        Desk {
            trust: &self.trust,
            fetcher: &world.fetcher,
            store: &world.store,
            places: &self.places,
            last: self.last,
            proofs: &self.proofs,
            now: world.now,
        }
    }
}

/// What a package was built from.
#[derive(Clone, Debug)]
pub struct BuiltFrom {
    /// Its own source.
    pub source: LockedSource,
    /// Others (`Built-Using` and its kin).
    pub built_using: Vec<LockedSource>,
}

/// Records the sources that a definition wants recorded.
pub struct Recorder<'a> {
    apt: &'a Apt,
    archives: &'a Archives<'a>,
    debs: &'a [Brought],
    /// By the .deb's digest: what the last lock says of it.
    remembered: BTreeMap<Digest, &'a LockedPackage>,
}

impl<'a> Recorder<'a> {
    /// Returns a recorder for `apt`; what `last` holds need not be looked for again.
    pub fn new(
        apt: &'a Apt,
        archives: &'a Archives<'a>,
        debs: &'a [Brought],
        last: Option<&'a PlatformLock>,
    ) -> Recorder<'a> {
        let known = last.into_iter().flat_map(PlatformLock::all_packages);
        let known = known.filter(|package| !package.source.files.is_empty());
        Recorder { apt, archives, debs, remembered: known.map(|package| (package.sha256, package)).collect() }
    }

    /// Returns what each of `candidates` was built from.
    ///
    /// # Errors
    /// When a source can't be found, and the definition doesn't do without.
    pub async fn of_packages(&self, candidates: &[Candidate], world: &World) -> Result<Vec<BuiltFrom>> {
        let mut all = candidates.iter().map(|one| self.named(one)).collect::<Result<Vec<_>>>()?;
        if self.apt.sources.value == SourcePolicy::None {
            return Ok(all);
        }
        let mut sought = BTreeMap::new();
        for (built_from, candidate) in all.iter().zip(candidates) {
            for source in built_from.unknown() {
                sought.entry(name_of(source)).or_insert(Some(candidate.repository.0));
            }
        }
        let found = find(sought, self.archives, world).await?;
        all.iter_mut().for_each(|built_from| built_from.fill(&found));
        self.refuse_missing(&all, candidates)?;
        Ok(all)
    }

    /// Returns the sources of what the base has installed, each once.
    ///
    /// # Errors
    /// When one can't be found, and the definition doesn't do without.
    pub async fn of_base(&self, base: Option<&Facts>, world: &World) -> Result<Vec<LockedSource>> {
        let (Some(base), true) = (base, self.apt.wants_sources_of_base()) else { return Ok(Vec::new()) };
        let installed = base.installed()?;
        let installed = installed.iter().filter(|one| one.is_installed());
        let packages: Vec<&Package> = installed.map(|one| &one.package).collect();
        let sought = packages.iter().map(|package| (source_name(package), None)).collect();
        let found = find(sought, self.archives, world).await?;
        let missing = packages.iter().filter(|package| !found.contains_key(&source_name(package)));
        let missing = missing.filter(|package| !is_excused(self.apt, &package.name, None));
        refuse(&missing.map(|package| line(package, &source_name(package))).collect::<Vec<_>>())?;
        let names: BTreeSet<SourceName> = packages.iter().map(|package| source_name(package)).collect();
        Ok(names.into_iter().map(|name| source(name, &found)).collect())
    }

    /// Returns what a package was built from, by name; the files too where they are remembered.
    fn named(&self, candidate: &Candidate) -> Result<BuiltFrom> {
        if let Some(last) = self.remembered.get(&candidate.sha256) {
            return Ok(BuiltFrom { source: last.source.clone(), built_using: last.built_using.clone() });
        }
        let none = Found::new();
        Ok(BuiltFrom {
            source: source(source_name(&candidate.package), &none),
            built_using: built_using(&candidate.package)?
                .into_iter()
                .map(|name| source(name, &none))
                .collect(),
        })
    }

    fn refuse_missing(&self, all: &[BuiltFrom], candidates: &[Candidate]) -> Result<()> {
        let mut missing = Vec::new();
        for (built_from, candidate) in all.iter().zip(candidates) {
            let brought = self.debs.iter().find(|one| one.is(candidate));
            let block = brought.and_then(|one| debs::block(self.apt, &one.deb));
            if !is_excused(self.apt, &candidate.package.name, block) {
                let names = built_from.missing(&candidate.package)?;
                missing.extend(names.iter().map(|name| line(&candidate.package, name)));
            }
        }
        refuse(&missing)
    }
}

impl BuiltFrom {
    /// Returns those whose files aren't known; what is remembered isn't asked for again, found or not.
    fn unknown(&self) -> impl Iterator<Item = &LockedSource> {
        let all = self.built_using.iter().chain([&self.source]);
        all.filter(|_| self.source.files.is_empty())
    }

    fn fill(&mut self, found: &Found) {
        if self.source.files.is_empty() {
            self.built_using.iter_mut().chain([&mut self.source]).for_each(|source| fill(source, found));
        }
    }

    /// Returns the sources that have to be there and weren't found.
    ///
    /// An archive keeps what `Built-Using` names as long as the package; what its kin name may be gone.
    fn missing(&self, package: &Package) -> Result<Vec<SourceName>> {
        let kept = package.built_using(RelationField::BuiltUsing)?;
        let kept: BTreeSet<SourceName> =
            kept.into_iter().map(|(name, version)| (name.to_string(), version.to_string())).collect();
        let others = self.built_using.iter().filter(|source| kept.contains(&name_of(source)));
        let needed = others.chain([&self.source]);
        Ok(needed.filter(|source| source.files.is_empty()).map(name_of).collect())
    }
}

/// Whether a definition does without the sources of a package, or declares them by hand, perhaps in the block that
/// brings it as a file.
pub fn is_excused(apt: &Apt, name: &str, deb: Option<&Deb>) -> bool {
    deb.is_some_and(|deb| deb.vcs.is_some())
        || apt.without_sources.iter().any(|one| one.value == name)
        || apt.packages.iter().any(|package| package.name.value == name && package.vcs.is_some())
}

fn refuse(missing: &[String]) -> Result<()> {
    if missing.is_empty() {
        return Ok(());
    }
    bail!(
        "cannot record sources: no repository lists those of\n- {}\nhint: name a repository that does, as in \"deb-src https://archive.example/debian stable main\"; or declare a package's source by hand, as in package \"name\" {{ vcs \"git\" {{ … }} }} or deb \"file\" {{ vcs \"git\" {{ … }} }}; or do without, as in without_sources = [\"name\"] or sources = \"none\"",
        missing.join("\n- ")
    )
}

fn line(package: &Package, (name, version): &SourceName) -> String {
    format!("{} {} (source {name} {version})", package.name, package.version)
}

fn name_of(source: &LockedSource) -> SourceName {
    (source.name.clone(), source.version.clone())
}

fn source_name(package: &Package) -> SourceName {
    (package.source_name().to_owned(), package.source_version().to_string())
}

fn source((name, version): SourceName, found: &Found) -> LockedSource {
    let mut source = LockedSource { name, version, files: Vec::new() };
    fill(&mut source, found);
    source
}

fn fill(source: &mut LockedSource, found: &Found) {
    source.files = found.get(&name_of(source)).cloned().unwrap_or_default();
}

fn built_using(package: &Package) -> Result<BTreeSet<SourceName>> {
    let mut names = BTreeSet::new();
    for field in RelationField::OF_SOURCES {
        let sources = package.built_using(field)?.into_iter();
        names.extend(sources.map(|(name, version)| (name.to_string(), version.to_string())));
    }
    Ok(names)
}

/// Finds sources, each where its package came from if that is said, else wherever it is.
async fn find(
    sought: BTreeMap<SourceName, Option<usize>>,
    archives: &Archives<'_>,
    world: &World,
) -> Result<Found> {
    let (suites, desk) = (&archives.suites, archives.desk(world));
    let own = suites.iter().enumerate().map(|(place, suite)| {
        let names = sought.iter().filter(|(_, of)| **of == Some(place)).map(|(name, _)| name.clone());
        look_up(suite, names.collect(), &desk)
    });
    let mut found: Found = try_join_all(own).await?.into_iter().flatten().collect();
    let left = |found: &Found| sought.keys().filter(|name| !found.contains_key(*name)).cloned().collect();
    let elsewhere = try_join_all(suites.iter().map(|suite| look_up(suite, left(&found), &desk))).await?;
    add(&mut found, elsewhere);
    let names: BTreeSet<SourceName> = left(&found);
    if !names.is_empty() {
        let listed = archives.for_sources.iter().map(async |repository| {
            let suite = desk.open(repository, archives.author).await?;
            look_up(&suite, names.clone(), &desk).await
        });
        let listed = try_join_all(listed).await?;
        add(&mut found, listed);
    }
    Ok(found)
}

/// Adds what several places answered: the first that has a source counts.
fn add(found: &mut Found, answers: Vec<Found>) {
    for (name, files) in answers.into_iter().flatten() {
        found.entry(name).or_insert(files);
    }
}

async fn look_up(suite: &Suite, names: BTreeSet<SourceName>, desk: &Desk<'_>) -> Result<Found> {
    shelf::look_up(suite, &suite.repository.components, names, desk).await
}
