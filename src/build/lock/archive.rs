//! Repositories read: a verified Release file, and the packages that its indexes list.

use anyhow::{Context as _, Result, anyhow, bail};

use super::LockedSuite;
use super::trust::{Author, Trust};
use crate::apt::index::{self, Candidate, RepositoryId};
use crate::apt::keyring;
use crate::apt::release::{IndexFile, Release};
use crate::apt::sources::Repository;
use crate::bom;
use crate::digest::Digest;
use crate::fetch::{self, Fetcher, Wanted};
use crate::redact;
use crate::store::Store;

/// No InRelease file is larger; Debian's has 150 kB.
const LARGEST_RELEASE: u64 = 16 << 20;
/// No index is larger when unpacked; Debian's main has 50 MB.
const LARGEST_INDEX: u64 = 1 << 30;

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
}

/// Fetches and verifies the Release file of a repository.
pub async fn open(
    repository: &Repository,
    author: Author,
    trust: &Trust<'_>,
    fetcher: &Fetcher,
    now: i64,
) -> Result<Suite> {
    let trusted = trust.keys_for(repository, author)?;
    let shown = format!("{} {}", redact::url(&repository.uri), repository.suite);
    let error = || format!("cannot use repository {shown}");
    let uri = format!("{}InRelease", suite_uri(repository));
    let bytes = fetcher.text(&uri, LARGEST_RELEASE).await.map_err(with_a_way_out).with_context(error)?;
    let verified = keyring::verify_inrelease(&bytes, &trusted.keyring, now).with_context(error)?;
    let release = Release::parse(&verified.text).with_context(error)?;
    let is_dated = repository.check_valid_until.unwrap_or(true);
    release.check(&repository.suite, now, is_dated).with_context(error)?;
    let keys: Vec<bom::Key> = verified.signers.iter().map(|signer| trusted.account(signer)).collect();
    let mut signed_by: Vec<String> = keys.iter().map(|key| key.fingerprint.clone()).collect();
    signed_by.sort();
    signed_by.dedup();
    let locked = LockedSuite {
        uri: redact::url(&repository.uri),
        suite: repository.suite.clone(),
        release: Digest::of(&bytes),
        date: release.date.map(crate::build::time::rfc3339).unwrap_or_default(),
        signed_by,
    };
    Ok(Suite { repository: repository.clone(), release, locked, keys })
}

/// Whoever misspells a suite, and whoever names an archive without a signature, meets the same answer.
fn with_a_way_out(error: fetch::Error) -> anyhow::Error {
    match error.is_not_found() {
        true => anyhow!(
            "{error}\nhint: check URI and suite; an archive that is not signed in a file InRelease is not used"
        ),
        false => error.into(),
    }
}

/// Fetches and reads the package indexes of a suite.
pub async fn packages(
    suite: &Suite,
    id: RepositoryId,
    architecture: &str,
    fetcher: &Fetcher,
    store: &Store,
) -> Result<Vec<Candidate>> {
    let mut candidates = Vec::new();
    for (name, file) in indexes(suite, architecture)? {
        let base = suite_uri(&suite.repository);
        let paths = file.by_hash.iter().chain([&file.path]);
        let wanted = Wanted {
            name: format!("{} {name}", suite.repository.suite),
            uris: paths.map(|path| format!("{base}{path}")).collect(),
            digest: file.digest,
            size: Some(file.size),
        };
        fetcher.blob(&wanted).await?;
        let (store, file, name) = (store.clone(), file.clone(), wanted.name);
        let read = tokio::task::spawn_blocking(move || read_index(&store, &file, id));
        let read = read.await?.with_context(|| format!("cannot read the packages index {name}"))?;
        let pin = pin(&suite.release);
        candidates.extend(read.into_iter().map(|candidate| Candidate { pin, ..candidate }));
    }
    Ok(candidates)
}

/// Returns the priority that a Release file gives its packages (apt_preferences(5)): backports and experimental ones
/// are there for those who ask for them.
fn pin(release: &Release) -> i16 {
    match (release.not_automatic, release.but_automatic_upgrades) {
        (false, _) => index::DEFAULT_PIN,
        (true, true) => 100,
        (true, false) => 1,
    }
}

fn indexes(suite: &Suite, architecture: &str) -> Result<Vec<(String, IndexFile)>> {
    let repository = &suite.repository;
    if repository.suite.ends_with('/') {
        bail!("cannot use repository {}: flat repositories are not built yet", redact::url(&repository.uri));
    }
    repository
        .components
        .iter()
        .map(|component| {
            let file = suite.release.index(component, architecture).with_context(|| {
                format!(
                    "cannot use repository {} {}: its Release file lists no packages of component {component} for {architecture}; it has {} for {}",
                    redact::url(&repository.uri),
                    repository.suite,
                    suite.release.components.join(", "),
                    suite.release.architectures.join(", ")
                )
            })?;
            Ok((component.clone(), file))
        })
        .collect()
}

fn read_index(store: &Store, file: &IndexFile, id: RepositoryId) -> Result<Vec<Candidate>> {
    use std::io::Read;
    let blob = std::io::BufReader::with_capacity(1 << 17, store.open_blob(&file.digest)?);
    let mut text = String::new();
    fetch::decompress(blob, &file.path, LARGEST_INDEX)?.read_to_string(&mut text)?;
    Ok(index::parse(&text, id)?)
}

/// Returns where the suite's Release file lies, with a slash at the end.
fn suite_uri(repository: &Repository) -> String {
    let base = repository.uri.trim_end_matches('/');
    match repository.suite.strip_suffix('/') {
        Some(flat) => format!("{base}/{flat}/"),
        None => format!("{base}/dists/{}/", repository.suite),
    }
}
