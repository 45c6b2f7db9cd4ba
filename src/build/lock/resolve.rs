//! Making a lock: tags to digests, repositories to verified indexes, names to the .debs they mean.
//!
//! The only step that decides, and the only one that asks a network what is newest.

use std::collections::BTreeMap;
use std::io::BufReader;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use futures_util::future::try_join_all;

use super::ahead;
use super::answer;
use super::archive::Suite;
use super::debs::{self, Brought};
use super::keep::Kept;
use super::logins::Logins;
use super::places::Places;
use super::selection::{Chosen, select};
use super::sources::{Archives, BuiltFrom, Recorder};
use super::trust::{Author, NamedKeyring, Trust, host};
use super::wish::{self, Wish};
use super::{Lock, LockRequest, LockedBase, LockedPackage, LockedSource, PlatformLock};
use crate::apt::index::{Candidate, Index, RepositoryId, pool_uri};
use crate::apt::keyring::{Fingerprint, Keyring, Proofs};
use crate::apt::resolve::Universe;
use crate::apt::sources::{self, Kind, Repository, Sources};
use crate::bom;
use crate::build::World;
use crate::build::base::{self, Account, Base, Facts, OsRelease};
use crate::build::blobs::Shape;
use crate::build::cache::CacheRecord;
use crate::build::context::Context;
use crate::build::definition::{self, Definition, KeySource};
use crate::build::worker::wanted;
use crate::debian;
use crate::digest::Digest;
use crate::oci::{Platform, Reference};
use crate::redact;
use crate::registry::{Location, Registry};

/// No key file is larger.
const LARGEST_KEY: u64 = 4 << 20;
/// How many .debs are fetched at a time.
const N_PARALLEL: usize = 8;

/// What a lock is made for.
pub struct Subject<'a> {
    /// What is to be built.
    pub definition: &'a Definition,
    /// For whom.
    pub platform: &'a Platform,
    /// Where keys may lie.
    pub context: &'a Context,
    /// What the last build left.
    pub recalled: &'a CacheRecord,
    /// The versions that stay as far as they can.
    pub kept: Kept,
    /// Whether it is decided again what was decided before.
    pub is_anew: bool,
    /// Whether an image is built right away of which nothing is known.
    pub is_first: bool,
    /// What the base's name stands for, unless that is locked.
    pub tagged: Option<&'a Tagged>,
    /// The steps that files are taken from, as a lock repeats them.
    pub steps: Vec<String>,
}

/// An image that was found by its name.
pub struct Tagged {
    /// Where it is.
    pub registry: Registry,
    /// The digest of its manifest.
    pub digest: Digest,
}

/// Asks what the name of a definition's base stands for, if it has one.
///
/// # Errors
/// When there is no such image for the platform, or it can't be asked for.
pub async fn tagged(definition: &Definition, platform: &Platform, world: &World) -> Result<Option<Tagged>> {
    let definition::Base::Image(reference) = &definition.image.base else { return Ok(None) };
    let registry = world.open(&Location::Remote(reference.value.clone())).await?;
    let digest = base::pin("base image", &registry, &reference.value, platform).await?;
    Ok(Some(Tagged { registry, digest }))
}

/// A lock that was made.
pub struct Resolved {
    /// The lock.
    pub lock: Lock,
    /// What is known of the base.
    pub base: Option<Arc<Base>>,
    /// The digest of the question that it answers, where there is one that may be asked again.
    pub question: Option<Digest>,
    /// Whether the answer was known.
    pub is_taken_over: bool,
}

/// Makes the lock.
pub async fn resolve(subject: &Subject<'_>, world: &World) -> Result<Resolved> {
    let task = world.progress.start("lock");
    let base = match &subject.definition.image.base {
        definition::Base::Scratch => None,
        definition::Base::Image(reference) => {
            let tagged = subject.tagged.context("internal error: nobody asked for the base")?;
            Some(load_base(&reference.value, tagged, Account::Any, subject, world).await?)
        }
    };
    let loaded = base.as_ref().map(|(_, base)| &**base);
    let apt = &subject.definition.image.apt;
    let mut pinned = PlatformLock {
        platform: subject.platform.clone(),
        request: LockRequest::of(subject.definition, &subject.steps)?,
        base: base.as_ref().map(|(locked, _)| locked.clone()),
        suites: Vec::new(),
        keys: Vec::new(),
        packages: Vec::new(),
        beside: Vec::new(),
        taken: Vec::new(),
        remove: Vec::new(),
        images: Vec::new(),
        files: Vec::new(),
        repositories: Vec::new(),
    };
    let needs_archives = wish::asks_for_packages(subject.definition) || apt.wants_sources_of_base();
    let (question, is_taken_over) = match needs_archives {
        true => answer(subject, loaded, &mut pinned, world).await?,
        false => (None, false),
    };
    let locked: Vec<LockedPackage> = pinned.all_packages().cloned().collect();
    let epoch = epoch(subject, loaded, &locked, world).await?;
    let as_before = if is_taken_over { ", as decided before" } else { "" };
    task.done(&format!("{} packages{as_before}", pinned.packages.len()));
    let base = base.map(|(_, base)| base);
    Ok(Resolved { lock: Lock::new(epoch, vec![pinned]), base, question, is_taken_over })
}

/// Pins packages and what belongs to them; returns the digest of the question, and whether its answer was known.
async fn answer(
    subject: &Subject<'_>,
    base: Option<&Base>,
    pinned: &mut PlatformLock,
    world: &World,
) -> Result<(Option<Digest>, bool)> {
    let facts = base.map(|base| &base.facts);
    let archives = open_archives(subject, facts, world).await?;
    let question = answer::question(subject, &archives, pinned).await?;
    let known = question.and_then(|question| answer::recall(&question, subject, base, &world.store));
    let is_known = known.is_some();
    match known {
        Some(known) => answer::take_over(known, pinned),
        None => {
            let decided = decide(subject, base, &archives, pinned, world);
            tokio::join!(decided, ahead::root(subject, base, world)).0?;
        }
    }
    vouch(&archives.suites, pinned);
    if let (Some(question), false) = (&question, is_known) {
        answer::remember(question, pinned, world)?;
    }
    Ok((question, is_known))
}

async fn decide(
    subject: &Subject<'_>,
    base: Option<&Base>,
    archives: &Archives<'_>,
    pinned: &mut PlatformLock,
    world: &World,
) -> Result<()> {
    let (facts, apt) = (base.map(|base| &base.facts), &subject.definition.image.apt);
    let (context, places) = (subject.context, &archives.places);
    let architecture = subject.platform.debian_architecture();
    let debs = debs::bring(subject.definition, architecture, context, places, world).await?;
    let chosen = match wish::asks_for_packages(subject.definition) {
        true => choose_packages(subject, facts, archives, &debs, world).await?,
        false => Chosen::default(),
    };
    pin(&chosen, &archives.suites, &debs, pinned)?;
    let recorder = Recorder::new(apt, archives, &debs, subject.last());
    let (candidates, locked) = (chosen.all(), pinned.all_packages().cloned().collect::<Vec<_>>());
    // Fetching the archives and reading the indexes of sources take about as long as each other.
    let (_, built_from, of_base) = tokio::try_join!(
        epoch(subject, base, &locked, world),
        recorder.of_packages(&candidates, world),
        recorder.of_base(facts, world),
    )?;
    record(built_from, of_base, pinned);
    Ok(())
}

/// Notes what was found of the sources.
fn record(built_from: Vec<BuiltFrom>, of_base: Vec<LockedSource>, pinned: &mut PlatformLock) {
    let packages = pinned.packages.iter_mut().chain(&mut pinned.taken);
    for (package, built_from) in packages.zip(built_from) {
        package.source = built_from.source;
        package.built_using = built_from.built_using;
    }
    if let Some(base) = &mut pinned.base {
        base.sources = of_base;
    }
}

impl<'a> Subject<'a> {
    /// Returns what the last build's lock pinned for the platform.
    pub fn last(&self) -> Option<&'a PlatformLock> {
        let lock = self.recalled.lock.as_ref()?;
        lock.platforms.iter().find(|last| last.platform == *self.platform)
    }
}

/// Loads the base that a definition names.
///
/// # Errors
/// When it can't be pulled or read, or the account that is asked for isn't believed.
pub async fn load_base(
    reference: &Reference,
    found: &Tagged,
    asked: Account,
    subject: &Subject<'_>,
    world: &World,
) -> Result<(LockedBase, Arc<Base>)> {
    let root = ahead::keeper_of_root(subject, world);
    let place = base::Place {
        digest: found.digest,
        registry: &found.registry,
        known: &subject.recalled.bases,
        root: root.as_ref().map(|blobs| (blobs, Shape::Root)),
        store: &world.store,
        progress: &world.progress,
    };
    let base = place.load(asked).await?;
    let name = Reference { digest: None, ..reference.clone() }.to_string();
    Ok((LockedBase { name, digest: found.digest, account: base.account(), sources: Vec::new() }, base))
}

/// Finds where the files of the repositories that packages come from may be had.
pub fn places(definition: &Definition, base: Option<&Facts>, world: &World) -> Places {
    let repositories = repositories(definition, base, world).map(|(_, repositories)| repositories);
    places_of(&repositories.unwrap_or_default(), definition, world)
}

fn places_of(repositories: &[Repository], definition: &Definition, world: &World) -> Places {
    let written = definition.image.apt.mirrors.iter().map(|mirror| &mirror.value);
    let mirrors: Vec<String> = written.chain(&world.apt.mirrors).cloned().collect();
    let repositories = repositories.iter().map(|repository| repository.uri.as_str());
    let debs = wish::addresses_of_debs(&definition.image.apt);
    let uris = repositories.chain(mirrors.iter().map(String::as_str)).chain(debs);
    let logins = Logins::new(uris, &world.apt.credentials);
    Places::new(logins, mirrors)
}

async fn open_archives<'a>(
    subject: &Subject<'a>,
    base: Option<&'a Facts>,
    world: &'a World,
) -> Result<Archives<'a>> {
    let (author, repositories) = repositories(subject.definition, base, world)?;
    let places = places_of(&repositories, subject.definition, world);
    let (mut repositories, for_sources): (Vec<Repository>, Vec<Repository>) =
        repositories.into_iter().partition(|repository| repository.kind == Kind::Binary);
    repositories.retain(|repository| repository.offers(subject.platform.debian_architecture()));
    let trust =
        Trust { named: named_keyrings(subject, &places, world).await?, base, machine: &world.machine };
    let last = subject.last().map_or(&[][..], |last| &last.suites[..]);
    let proofs = Proofs::default();
    let archives = Archives { author, suites: Vec::new(), for_sources, trust, places, last, proofs };
    let desk = archives.desk(world);
    let opened = repositories.iter().map(|repository| desk.open(repository, author));
    let mut suites = try_join_all(opened).await?;
    if author == Author::Machine {
        let release = base.unwrap_or_else(|| world.machine.facts()).os_release();
        suites.retain(|suite| is_of(suite, &release));
    }
    match suites.is_empty() && !wish::needs_no_repository(subject.definition) {
        true => bail!(no_repository()),
        false => Ok(Archives { suites, ..archives }),
    }
}

async fn choose_packages(
    subject: &Subject<'_>,
    base: Option<&Facts>,
    archives: &Archives<'_>,
    debs: &[Brought],
    world: &World,
) -> Result<Chosen> {
    let architecture = subject.platform.debian_architecture();
    let desk = archives.desk(world);
    let read = archives.suites.iter().enumerate();
    let read = read.map(|(id, suite)| desk.packages(suite, RepositoryId(id), architecture));
    let mut indexes: Vec<Index> = try_join_all(read).await?.into_iter().flatten().collect();
    // As with apt what comes as a file is read last.
    indexes.push(debs::index(debs, architecture, RepositoryId(archives.suites.len()))?);
    let installed = base.map(Facts::installed).transpose()?.unwrap_or_default();
    let apt = &subject.definition.image.apt;
    let policy = wish::policy(apt, archives.author, base, &archives.suites, architecture)?;
    let mut wish = Wish::of(subject.definition, base.is_none())?;
    wish.install.extend(debs.iter().map(Brought::wanted));
    let (architecture, kept) = (architecture.to_owned(), subject.kept.clone());
    let selection = tokio::task::spawn_blocking(move || {
        let mut universe = Universe::new(indexes, &architecture);
        universe.prefer(policy);
        select(&universe, wish, &installed, &kept)
    });
    let chosen = selection.await??;
    debs::check_chosen(debs, &chosen.install, apt)?;
    Ok(chosen)
}

fn no_repository() -> String {
    "cannot install packages: no apt repository is known\nhint: write some, as in apt { repositories = [\"deb [signed-by=name] https://archive.example/debian stable main\"] }, or use a base image that has its own".into()
}

/// Finds who says where packages come from: the definition, the pipeline, the base, on the command line this machine.
fn repositories(
    definition: &Definition,
    base: Option<&Facts>,
    world: &World,
) -> Result<(Author, Vec<Repository>)> {
    let written = &definition.image.apt.repositories;
    if !written.is_empty() {
        let lines = written.iter().map(|line| (line.value.as_str(), definition.source.file_name()));
        return Ok((Author::Pipeline, parsed(lines)?));
    }
    if !world.apt.repositories.is_empty() {
        let lines = world.apt.repositories.iter().map(|line| (line.as_str(), "source.apt.repositories"));
        return Ok((Author::Pipeline, parsed(lines)?));
    }
    if let Some(base) = base {
        let repositories = configured(base)?;
        if !repositories.is_empty() {
            return Ok((Author::Base, repositories));
        }
    }
    let release = base.unwrap_or_else(|| world.machine.facts()).os_release();
    let repositories = match world.uses_machine_sources {
        true => configured(world.machine.facts())?
            .into_iter()
            .filter(|repository| may_be_of(repository, &release))
            .collect(),
        false => Vec::new(),
    };
    Ok((Author::Machine, repositories))
}

fn parsed<'a>(texts: impl Iterator<Item = (&'a str, &'a str)>) -> Result<Vec<Repository>> {
    let sources: Vec<Sources> =
        texts.map(|(text, file)| sources::parse(text, file)).collect::<Result<_, _>>()?;
    Ok(distinct(sources.into_iter().flat_map(|sources| sources.repositories)))
}

/// Returns the repositories that a root's apt configuration names.
fn configured(facts: &Facts) -> Result<Vec<Repository>> {
    let text = |content: &[u8]| String::from_utf8_lossy(content).into_owned();
    let mut repositories = Vec::new();
    if let Some(content) = facts.file("etc/apt/sources.list") {
        repositories.extend(sources::parse_one_line(&text(content), "/etc/apt/sources.list")?.repositories);
    }
    for (path, content) in facts.files_in("etc/apt/sources.list.d/") {
        let file = format!("/{path}");
        if path.ends_with(".list") {
            repositories.extend(sources::parse_one_line(&text(content), &file)?.repositories);
        } else if path.ends_with(".sources") {
            repositories.extend(sources::parse_deb822(&text(content), &file)?.repositories);
        }
    }
    Ok(distinct(repositories.into_iter()))
}

/// Returns repositories, each once.
fn distinct(repositories: impl Iterator<Item = Repository>) -> Vec<Repository> {
    let mut seen = std::collections::BTreeSet::new();
    let key = |one: &Repository| (one.kind, one.uri.clone(), one.suite.clone(), one.components.clone());
    repositories.filter(|repository| seen.insert(key(repository))).collect()
}

/// Whether a suite's name leaves open that it belongs to this distribution; its Release file decides.
fn may_be_of(repository: &Repository, release: &OsRelease) -> bool {
    const CLASSES: [&str; 4] = ["stable", "oldstable", "oldoldstable", "testing"];
    let name = repository.suite.split(['-', '/']).next().unwrap_or_default();
    name == release.codename || CLASSES.contains(&name)
}

fn is_of(suite: &Suite, release: &OsRelease) -> bool {
    let codename = suite.release.codename.as_deref().unwrap_or_default();
    let origin = suite.release.origin.as_deref().unwrap_or_default().to_lowercase();
    let is_same_release =
        codename == release.codename || codename.starts_with(&format!("{}-", release.codename));
    is_same_release && origin.starts_with(&release.id)
}

async fn named_keyrings(subject: &Subject<'_>, places: &Places, world: &World) -> Result<Vec<NamedKeyring>> {
    let mut named = Vec::new();
    for key in &subject.definition.image.apt.keys {
        let error = || format!("cannot use key \"{}\"", key.name.value);
        let (bytes, host) = match &key.source {
            KeySource::Uri(uri) => {
                let asked = places.logins.uri(&uri.value);
                (world.fetcher.text(&asked, LARGEST_KEY).await.with_context(error)?, host(&uri.value))
            }
            KeySource::Path(path) => {
                (subject.context.read(&path.value, LARGEST_KEY).with_context(error)?, None)
            }
        };
        let keyring = Keyring::parse(&bytes).with_context(error)?;
        let keyring = match &key.fingerprint {
            Some(pin) => keyring
                .restrict_to(&[pin.value.parse::<Fingerprint>().with_context(error)?])
                .with_context(error)?,
            None => {
                warn_of_unpinned(key, &keyring, world);
                keyring
            }
        };
        named.push(NamedKeyring { name: key.name.value.clone(), host, keyring });
    }
    for key in &world.apt.keys {
        let keyring = Keyring::parse(key.armoured.as_bytes())
            .with_context(|| format!("cannot use key \"{}\" of source.apt.keys", key.name))?;
        named.push(NamedKeyring { name: key.name.clone(), host: None, keyring });
    }
    Ok(named)
}

fn warn_of_unpinned(key: &definition::Key, keyring: &Keyring, world: &World) {
    let fingerprints: Vec<String> = keyring.fingerprints().iter().map(ToString::to_string).collect();
    world.progress.warn(format!(
        "key \"{}\" has no fingerprint: it is trusted as it was found. To pin it: fingerprint = \"{}\"",
        key.name.value,
        fingerprints.first().map(String::as_str).unwrap_or_default()
    ));
}

fn pin(chosen: &Chosen, suites: &[Suite], debs: &[Brought], pinned: &mut PlatformLock) -> Result<()> {
    let locked = |candidate: &Candidate| match suites.get(candidate.repository.0) {
        Some(suite) => Ok(locked(candidate, suite)),
        None => {
            let brought = debs.iter().find(|one| one.is(candidate));
            brought
                .map(Brought::locked)
                .with_context(|| format!("internal error: nobody brought {}", candidate.package.name))
        }
    };
    pinned.packages = chosen.install.iter().map(locked).collect::<Result<_>>()?;
    pinned.beside = chosen.beside.iter().map(locked).collect::<Result<_>>()?;
    pinned.taken = chosen.taken.iter().map(locked).collect::<Result<_>>()?;
    pinned.remove.clone_from(&chosen.remove);
    Ok(())
}

/// Notes the suites, and which of their keys vouch for packages.
fn vouch(suites: &[Suite], pinned: &mut PlatformLock) {
    let mut keys: BTreeMap<String, bom::Key> = BTreeMap::new();
    for key in suites.iter().flat_map(|suite| &suite.keys) {
        if pinned.fetched().any(|package| package.signed_by.contains(&key.fingerprint)) {
            keys.entry(key.fingerprint.clone()).or_insert_with(|| key.clone());
        }
    }
    pinned.keys = keys.into_values().collect();
    pinned.suites = suites.iter().map(|suite| suite.locked.clone()).collect();
}

fn locked(candidate: &Candidate, suite: &Suite) -> LockedPackage {
    let package = &candidate.package;
    let base = redact::url(&suite.repository.uri);
    LockedPackage {
        name: package.name.to_string(),
        version: package.version.to_string(),
        architecture: package.architecture.to_string(),
        sha256: candidate.sha256,
        size: candidate.size,
        uri: pool_uri(&base, &candidate.filename),
        repository: format!("{base} {}", suite.repository.suite),
        signed_by: suite.locked.signed_by.clone(),
        deb: None,
        source: LockedSource {
            name: package.source_name().to_owned(),
            version: package.source_version().to_string(),
            files: Vec::new(),
        },
        built_using: Vec::new(),
    }
}

/// Finds the latest time that may stand in the image: what was asked for, else the base's, else the newest archive's.
async fn epoch(
    subject: &Subject<'_>,
    base: Option<&Base>,
    packages: &[LockedPackage],
    world: &World,
) -> Result<i64> {
    if let Some(epoch) = world.source_date_epoch {
        return Ok(epoch);
    }
    if let Some(created) = base.and_then(Base::created) {
        return Ok(created);
    }
    if let Some(epoch) = remembered_epoch(subject, packages) {
        return Ok(epoch);
    }
    let places = places(subject.definition, base.map(|base| &base.facts), world);
    let archives: Vec<_> = packages.iter().map(|package| wanted(package, &places)).collect();
    world.fetcher.all(&archives, N_PARALLEL).await?;
    let named =
        packages.iter().map(|package| (format!("{} {}", package.name, package.version), package.sha256));
    let (store, named) = (world.store.clone(), named.collect::<Vec<_>>());
    let times = tokio::task::spawn_blocking(move || {
        let times = named.iter().map(|(name, digest)| {
            let archive = debian::deb::open(BufReader::new(store.open_blob(digest)?));
            let archive = archive.with_context(|| format!("cannot use {name}"))?;
            Ok(i64::try_from(archive.archive_time).unwrap_or(0))
        });
        times.collect::<Result<Vec<i64>>>()
    });
    Ok(times.await??.into_iter().max().unwrap_or(0))
}

/// The same archives have the same times: the last build's epoch need not be found again. Where there are none, it
/// wasn't theirs.
fn remembered_epoch(subject: &Subject<'_>, packages: &[LockedPackage]) -> Option<i64> {
    let last = subject.last().filter(|_| !packages.is_empty())?;
    let is_same = last.all_packages().map(|one| one.sha256).eq(packages.iter().map(|one| one.sha256));
    subject.recalled.archive_epoch.filter(|_| is_same)
}
