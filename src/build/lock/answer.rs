//! What was decided before: the answer to a question that is asked again.
//!
//! A question is all that decides which packages a lock holds: what the definition asks for, the base, and of each
//! archive what its verified Release file says, down to the digests of the indexes. While it is the same, so is the
//! answer, and no index is fetched or read. When an answer from elsewhere is believed: docs/decisions/0023.

use anyhow::Result;
use serde::Serialize;

use super::archive::{self, Suite};
use super::resolve::Subject;
use super::sources::Archives;
use super::trust::Author;
use super::{LockRequest, LockedBase, LockedDeb, PlatformLock, check, debs, shelf};
use crate::build::World;
use crate::build::base::Base;
use crate::build::definition::{Apt, SourcePolicy};
use crate::digest::Digest;
use crate::oci::{Platform, canonical_json};
use crate::store::{self, Store};

/// Raised when the same question may be answered otherwise than by older builders.
const RECIPE: u32 = 1;
/// The kind of the store's records of answers.
const RECORD: &str = "answer-1";

/// All that decides which packages a lock holds.
#[derive(Serialize)]
struct Question<'a> {
    builder: (u32, String),
    platform: &'a Platform,
    request: &'a LockRequest,
    /// As they are written: a request shows them in one line.
    preferences: Vec<&'a str>,
    /// The packages that need no sources.
    excused: Vec<&'a str>,
    base: Option<(Digest, Option<Digest>)>,
    author: Author,
    debs: Vec<(LockedDeb, Digest)>,
    suites: Vec<Listing<'a>>,
}

/// What a verified Release file says, as far as it decides.
#[derive(Serialize)]
struct Listing<'a> {
    uri: &'a str,
    suite: &'a str,
    signed_by: &'a [String],
    /// What preferences can name: suite, codename, version, origin, label.
    names: [&'a Option<String>; 5],
    is_automatic: (bool, bool),
    /// Component, path and digest of each index of packages.
    packages: Vec<(String, String, Digest)>,
    /// Path and digest of each index of sources.
    sources: Vec<(String, Digest)>,
}

/// Returns the digest of the question that `pinned` is to answer; none where something else decides, too: versions that
/// are to be kept, or archives that are asked only when a source is found nowhere else.
///
/// # Errors
/// When a repository lacks what is asked of it, or a file of the context can't be read.
pub async fn question(
    subject: &Subject<'_>,
    archives: &Archives<'_>,
    pinned: &PlatformLock,
) -> Result<Option<Digest>> {
    let apt = &subject.definition.image.apt;
    let records_sources = apt.sources.value != SourcePolicy::None;
    if !subject.kept.is_empty() || records_sources && !archives.for_sources.is_empty() {
        return Ok(None);
    }
    let architecture = subject.platform.debian_architecture();
    let suites = archives.suites.iter().map(|suite| Listing::of(suite, architecture));
    let question = Question {
        builder: (RECIPE, crate::build::builder()),
        platform: subject.platform,
        request: &pinned.request,
        preferences: apt.preferences.iter().map(|text| text.value.as_str()).collect(),
        excused: excused(apt),
        base: pinned.base.as_ref().map(|LockedBase { digest, account, .. }| (*digest, *account)),
        author: archives.author,
        debs: debs::digests(apt, subject.context).await?,
        suites: suites.collect::<Result<_>>()?,
    };
    Ok(Some(Digest::of(canonical_json(&question))))
}

/// Returns what was answered, as this machine's store knows it, or the last build's record; that one must hold what is
/// asked for.
pub fn recall(
    question: &Digest,
    subject: &Subject<'_>,
    base: Option<&Base>,
    store: &Store,
) -> Option<PlatformLock> {
    if subject.is_anew {
        return None;
    }
    let stored = store.record(RECORD, question).and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let recalled = || {
        let last = subject.last().filter(|_| subject.recalled.answers.as_ref() == Some(question));
        last.filter(|last| check::is_complete(subject.definition, last, base).is_ok()).cloned()
    };
    stored.or_else(recalled)
}

/// Remembers what was answered.
pub fn remember(question: &Digest, pinned: &PlatformLock, world: &World) -> Result<(), store::Error> {
    world.store.set_record(RECORD, question, &canonical_json(pinned))
}

/// Takes over what was answered; what varies from day to day stays as it is.
pub fn take_over(answer: PlatformLock, pinned: &mut PlatformLock) {
    pinned.packages = answer.packages;
    pinned.beside = answer.beside;
    pinned.taken = answer.taken;
    pinned.remove = answer.remove;
    if let (Some(base), Some(answered)) = (&mut pinned.base, answer.base) {
        base.sources = answered.sources;
    }
}

impl Listing<'_> {
    fn of<'a>(suite: &'a Suite, architecture: &str) -> Result<Listing<'a>> {
        let (release, repository) = (&suite.release, &suite.repository);
        let packages = archive::indexes(suite, architecture)?;
        let sources = shelf::indexes(suite, &repository.components);
        Ok(Listing {
            uri: &suite.locked.uri,
            suite: &suite.locked.suite,
            signed_by: &suite.locked.signed_by,
            names: [&release.suite, &release.codename, &release.version, &release.origin, &release.label],
            is_automatic: (release.not_automatic, release.but_automatic_upgrades),
            packages: packages.into_iter().map(|(of, file)| (of, file.path, file.digest)).collect(),
            sources: sources.into_iter().map(|file| (file.path, file.digest)).collect(),
        })
    }
}

fn excused(apt: &Apt) -> Vec<&str> {
    let declared = apt.packages.iter().filter(|package| package.vcs.is_some());
    let declared = declared.map(|package| package.name.value.as_str());
    let brought = apt.debs.iter().filter(|deb| deb.vcs.is_some()).map(|deb| deb.name.value.as_str());
    let without = apt.without_sources.iter().map(|name| name.value.as_str());
    // A list's end shows which list a name stands in.
    declared.chain([""]).chain(brought).chain([""]).chain(without).collect()
}
