//! Repositories read: a verified Release file, and the packages that its indexes list.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::time::Instant;

use anyhow::{Context as _, Result, anyhow, bail};
use futures_util::future::try_join_all;
use tokio::task::spawn_blocking;

use super::places::Places;
use super::trust::{Author, Trust};
use super::{LockedSuite, seen};
use crate::apt::index::{DEFAULT_PIN, Index, Kept, RepositoryId};
use crate::apt::keyring::{self, Keyring, Proofs, Verified, VerifyError};
use crate::apt::release::{IndexFile, Release};
use crate::apt::sources::Repository;
use crate::bom;
use crate::build::pieces;
use crate::digest::Digest;
use crate::fetch::{self, Compression, Fetcher, Wanted};
use crate::oci::canonical_json;
use crate::redact;
use crate::sandbox::give_back_memory;
use crate::store::Store;

/// Indexes as they are kept, by what they were read from.
const INDEX: &str = "index";
/// The signatures that were verified of a Release file, by its digest.
const PROOFS: &str = "proofs-1";
/// No InRelease file is larger; Debian's has 150 kB.
const LARGEST_RELEASE: u64 = 16 << 20;
/// No index is larger, packed or unpacked; Debian's main has 50 MB.
const LARGEST_INDEX: u64 = 256 << 20;
/// From so many bytes on it matters how an index is packed.
const LARGE_INDEX: u64 = 1 << 20;
/// An archive whose Release file comes with so many bytes a second, the wait for the first one included, is near.
const NEAR: f64 = 4e6;

/// A suite whose Release file was verified.
pub struct Suite {
    /// Where it lies.
    pub repository: Repository,
    /// What its Release file says.
    pub release: Release,
    /// What is locked of it.
    pub locked: LockedSuite,
    /// The keys that signed it.
    pub keys: Vec<bom::Key>,
    /// Whether it is near: more bytes of it cost less than unpacking fewer.
    pub is_near: bool,
}

/// What it takes to believe a repository.
pub struct Desk<'a> {
    /// Which keys may vouch for it.
    pub trust: &'a Trust<'a>,
    /// Brings its files.
    pub fetcher: &'a Fetcher,
    /// Remembers them.
    pub store: &'a Store,
    /// Where they may be had.
    pub places: &'a Places,
    /// The suites that the last lock holds.
    pub last: &'a [LockedSuite],
    /// The signatures that were verified: suites are signed by the same keys.
    pub proofs: &'a Proofs,
    /// Seconds since 1970.
    pub now: i64,
}

impl Desk<'_> {
    /// Fetches and verifies the Release file of a repository.
    pub async fn open(&self, repository: &Repository, author: Author) -> Result<Suite> {
        let error = || format!("cannot use repository {}", shown(repository));
        let trusted = self.trust.keys_for(repository, author)?;
        let Signed { verified, digest, is_near } =
            self.release(repository, &trusted.keyring).await.with_context(error)?;
        let release = Release::parse(&verified.text).with_context(error)?;
        release.check(&repository.suite, self.now, &repository.validity).with_context(error)?;
        let keys: Vec<bom::Key> = verified.signers.iter().map(|signer| trusted.account(signer)).collect();
        let mut signed_by: Vec<String> = keys.iter().map(|key| key.fingerprint.clone()).collect();
        signed_by.sort();
        signed_by.dedup();
        let locked = LockedSuite {
            uri: redact::url(&repository.uri),
            suite: repository.suite.clone(),
            release: digest,
            date: release.date.map(crate::build::time::rfc3339).unwrap_or_default(),
            signed_by,
        };
        if repository.validity.check.unwrap_or(true) {
            seen::check(&locked, self.store, self.last).with_context(error)?;
            seen::remember(&locked, self.store)?;
        }
        Ok(Suite { repository: repository.clone(), release, locked, keys, is_near })
    }

    /// Returns what an InRelease file says or, where there is none, a Release file with its signature beside it.
    async fn release(&self, repository: &Repository, keyring: &Keyring) -> Result<Signed> {
        let asked = Instant::now();
        let bytes = match self.text(repository, "InRelease").await {
            Err(error) if error.is_not_found() => return self.detached(repository, keyring).await,
            bytes => bytes?,
        };
        let is_near = bytes.len() as f64 > NEAR * asked.elapsed().as_secs_f64();
        let digest = Digest::of(&bytes);
        let verify = |keyring: &Keyring| keyring::verify_inrelease(&bytes, keyring, self.now);
        Ok(Signed { verified: self.verified(&digest, keyring, verify)?, digest, is_near })
    }

    async fn detached(&self, repository: &Repository, keyring: &Keyring) -> Result<Signed> {
        let document =
            self.text(repository, "Release").await.map_err(|error| match error.is_not_found() {
                true => anyhow!("{error}, and no InRelease\nhint: check URI and suite"),
                false => error.into(),
            })?;
        let signature = self.text(repository, "Release.gpg").await.map_err(|error| match error.is_not_found() {
            true => anyhow!("it is not signed: there is a Release file, but neither InRelease nor Release.gpg\nhint: what nobody signed is not used"),
            false => error.into(),
        })?;
        let digest = Digest::of(&document);
        let verify = |keyring: &Keyring| keyring::verify_detached(&document, &signature, keyring, self.now);
        Ok(Signed { verified: self.verified(&digest, keyring, verify)?, digest, is_near: false })
    }

    /// Verifies a Release file; no signature is computed that was before, and whether it counts is judged anew.
    fn verified(
        &self,
        digest: &Digest,
        keyring: &Keyring,
        verify: impl FnOnce(&Keyring) -> Result<Verified, VerifyError>,
    ) -> Result<Verified> {
        let known = self.store.record(PROOFS, digest).and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let known: BTreeSet<Digest> = known.unwrap_or_default();
        let proofs = self.proofs.with(known.iter().copied());
        let verified = verify(&keyring.clone().remembering(proofs.clone()))?;
        let used = proofs.used();
        if !used.is_subset(&known) {
            self.store.set_record(PROOFS, digest, &canonical_json(&(&known | &used)))?;
        }
        Ok(verified)
    }

    async fn text(&self, repository: &Repository, name: &str) -> Result<Vec<u8>, fetch::Error> {
        let uri = format!("{}{name}", suite_uri(repository));
        self.fetcher.text(&self.places.logins.uri(&uri), LARGEST_RELEASE).await
    }

    /// Fetches and reads the package indexes of a suite.
    pub async fn packages(&self, suite: &Suite, id: RepositoryId, architecture: &str) -> Result<Vec<Index>> {
        let (mut read, mut components) = (Vec::new(), Vec::new());
        for (component, file) in indexes(suite, architecture)? {
            check_size(suite, &file)?;
            let name = format!("{} {component}", suite.repository.suite).trim_end().to_owned();
            components.push(component);
            let architecture = architecture.to_owned();
            let reading = Reading { file, architecture, repository: id, store: self.store.clone() };
            read.push(reading.index(suite, name, self));
        }
        let indexes = try_join_all(read).await?;
        let indexes = indexes
            .into_iter()
            .zip(components)
            .map(|(index, component)| index.with_pin(pin(&suite.release)).with_component(&component));
        Ok(indexes.collect())
    }

    /// Brings an index of a suite into the store, and returns in which form: of an archive that is near, one that is
    /// larger and unpacked sooner. They are the same text, and it is known by the digest of the smallest.
    pub async fn bring(
        &self,
        suite: &Suite,
        file: &IndexFile,
        name: &str,
    ) -> Result<IndexFile, fetch::Error> {
        let quick = suite.release.quicker(file).filter(|_| suite.is_near && file.size > LARGE_INDEX);
        if let (Some(quick), false) = (quick, self.store.contains(&file.digest)) {
            // Not every form that a Release file lists is there.
            if self.fetcher.blob(&self.wanted(suite, &quick, name.to_owned())).await.is_ok() {
                return Ok(quick);
            }
        }
        self.fetcher.blob(&self.wanted(suite, file, name.to_owned())).await?;
        Ok(file.clone())
    }

    fn wanted(&self, suite: &Suite, file: &IndexFile, name: String) -> Wanted {
        let base = suite_uri(&suite.repository);
        let paths = file.by_hash.iter().chain([&file.path]).map(|path| format!("{base}{path}"));
        let uris = paths.flat_map(|uri| self.places.of(&suite.repository.uri, &uri)).collect();
        Wanted { name, uris, digest: file.digest, size: Some(file.size) }
    }
}

/// A Release file that was verified.
struct Signed {
    verified: Verified,
    digest: Digest,
    is_near: bool,
}

/// One index, on its way.
#[derive(Clone)]
struct Reading {
    file: IndexFile,
    architecture: String,
    repository: RepositoryId,
    store: Store,
}

impl Reading {
    /// Once read, an index is kept in a form that is quick to load, and is neither fetched nor read again.
    async fn index(self, suite: &Suite, name: String, desk: &Desk<'_>) -> Result<Index> {
        let remembered = self.clone();
        if let Some(known) = spawn_blocking(move || remembered.remembered()).await? {
            return Ok(known);
        }
        let came = desk.bring(suite, &self.file, &name).await?;
        let read = spawn_blocking(move || self.read(&came)).await?;
        read.with_context(|| format!("cannot read the packages index {name}"))
    }

    fn remembered(&self) -> Option<Index> {
        Index::load(self.store.open_record(INDEX, &self.key())?, self.repository)
    }

    fn read(&self, came: &IndexFile) -> Result<Index> {
        let text = fetch::decompress(self.store.open_blob(&came.digest)?, &came.path, LARGEST_INDEX)?;
        self.store.write_record(INDEX, &self.key(), |file| {
            pieces::ahead(text, |text| Ok(Index::record(text, &self.architecture, file).map(drop)?))
        })?;
        give_back_memory();
        self.remembered().context("internal error: an index that was just read is not there")
    }

    /// What the bytes of a file say depends on how they are packed, and whom they are read for.
    fn key(&self) -> Digest {
        let Reading { file, architecture, .. } = self;
        Digest::of(format!("{} {:?} {architecture}", file.digest, Compression::of(&file.path)))
    }
}

impl Kept for File {
    fn n_bytes(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, start: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.read_exact_at(buffer, start)
    }
}

/// Returns the priority that a Release file gives its packages (apt_preferences(5)): backports and experimental ones
/// are there for those who ask for them.
fn pin(release: &Release) -> i16 {
    match (release.not_automatic, release.but_automatic_upgrades) {
        (false, _) => DEFAULT_PIN,
        (true, true) => 100,
        (true, false) => 1,
    }
}

/// Returns the indexes that list a suite's packages for an architecture, each with its component.
///
/// # Errors
/// When the Release file lists none for a component.
pub fn indexes(suite: &Suite, architecture: &str) -> Result<Vec<(String, IndexFile)>> {
    let Suite { repository, release, .. } = suite;
    if repository.is_flat() {
        let file = release.file("Packages").with_context(|| {
            format!(
                "cannot use repository {}: its Release file lists no Packages that we can read",
                shown(repository)
            )
        })?;
        return Ok(vec![(String::new(), file)]);
    }
    let mut indexes = Vec::new();
    for component in &repository.components {
        let found = release.indexes(component, architecture);
        if found.is_empty() {
            bail!(
                "cannot use repository {}: its Release file lists no packages of component {component} for {architecture}; it has {} for {}",
                shown(repository),
                release.components.join(", "),
                release.architectures.join(", ")
            );
        }
        indexes.extend(found.into_iter().map(|file| (component.clone(), file)));
    }
    Ok(indexes)
}

fn check_size(suite: &Suite, file: &IndexFile) -> Result<()> {
    match file.size > LARGEST_INDEX {
        true => bail!(
            "cannot use repository {}: its Release file promises {} bytes for {}, and no index has more than {LARGEST_INDEX}",
            shown(&suite.repository),
            file.size,
            file.path
        ),
        false => Ok(()),
    }
}

fn shown(repository: &Repository) -> String {
    format!("{} {}", redact::url(&repository.uri), repository.suite)
}

/// Returns where the suite's Release file lies, with a slash at the end.
fn suite_uri(repository: &Repository) -> String {
    let base = repository.uri.trim_end_matches('/');
    if !repository.is_flat() {
        return format!("{base}/dists/{}/", repository.suite);
    }
    let steps = repository.suite.split('/').filter(|step| !matches!(*step, "" | "."));
    steps.fold(format!("{base}/"), |uri, step| uri + step + "/")
}
