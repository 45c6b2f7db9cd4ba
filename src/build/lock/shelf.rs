//! Source packages looked up in a suite's Sources indexes.
//!
//! What an index answered is kept in the store under its digest, so that the same question isn't asked of 50 MB of text
//! again. Which sources are wanted, and what follows when one can't be had, is decided elsewhere.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};

use super::LockedSourceFile;
use super::archive::{Desk, Suite};
use crate::apt::index::pool_uri;
use crate::apt::release::IndexFile;
use crate::apt::source_index::{self, SourceFile, SourcePackage, WantedSources};
use crate::build::pieces;
use crate::fetch;
use crate::oci::canonical_json;
use crate::redact;
use crate::store::Store;

/// The kind of the store's records of what an index answered.
const RECORD: &str = "sources-1";
/// No index is larger when unpacked; Debian's main has 51 MB.
const LARGEST_INDEX: u64 = 1 << 30;

/// A source package by name and version.
pub type SourceName = (String, String);

/// The files of source packages.
pub type Found = BTreeMap<SourceName, Vec<LockedSourceFile>>;

/// What an index answered: the files of a source package, none for one that it doesn't list.
type Answers = BTreeMap<String, Vec<SourceFile>>;

/// Looks source packages up in the indexes of a suite's components, one after the other, until all are found.
pub async fn look_up(
    suite: &Suite,
    components: &[String],
    mut names: BTreeSet<SourceName>,
    desk: &Desk<'_>,
) -> Result<Found> {
    let mut found = Found::new();
    for file in indexes(suite, components) {
        if names.is_empty() {
            break;
        }
        let answers = ask(suite, &file, &names, desk).await?;
        for name in std::mem::take(&mut names) {
            match answers.get(&key(&name)).filter(|files| !files.is_empty()) {
                Some(files) => {
                    found.insert(name, files.iter().map(|file| locked(file, suite)).collect());
                }
                None => {
                    names.insert(name);
                }
            }
        }
    }
    Ok(found)
}

/// Returns the indexes that list a suite's sources. A Release file need not list sources; then there are none.
pub fn indexes(suite: &Suite, components: &[String]) -> Vec<IndexFile> {
    match suite.repository.is_flat() {
        true => suite.release.file("Sources").into_iter().collect(),
        false => components.iter().filter_map(|component| suite.release.sources(component)).collect(),
    }
}

async fn ask(
    suite: &Suite,
    file: &IndexFile,
    names: &BTreeSet<SourceName>,
    desk: &Desk<'_>,
) -> Result<Answers> {
    let store = desk.store;
    let record = store.record(RECORD, &file.digest).and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let mut answers: Answers = record.unwrap_or_default();
    let open: Vec<SourceName> =
        names.iter().filter(|name| !answers.contains_key(&key(name))).cloned().collect();
    if open.is_empty() {
        return Ok(answers);
    }
    let shown = format!("{} {}", suite.repository.suite, file.path);
    let came = desk.bring(suite, file, &shown).await?;
    let (read_store, read_open) = (store.clone(), open.clone());
    let read = tokio::task::spawn_blocking(move || read(&read_store, &came, &read_open));
    let packages = read.await?.with_context(|| format!("cannot look for sources in {shown}"))?;
    answers.extend(open.iter().map(|name| (key(name), Vec::new())));
    answers.extend(packages.into_iter().map(|(name, package)| (key(&name), package.files)));
    store.set_record(RECORD, &file.digest, &canonical_json(&answers))?;
    Ok(answers)
}

fn read(store: &Store, file: &IndexFile, names: &[SourceName]) -> Result<Vec<(SourceName, SourcePackage)>> {
    let mut wanted = WantedSources::new();
    for (name, version) in names {
        wanted.entry(name.clone()).or_default().push(version.parse()?);
    }
    let text = fetch::decompress(store.open_blob(&file.digest)?, &file.path, LARGEST_INDEX)?;
    let packages = pieces::ahead(text, |text| Ok(source_index::find(text, &wanted)?))?;
    let named = packages.into_iter().filter_map(|package| {
        let is_it = |(name, version): &&SourceName| {
            *name == package.name
                && version.parse().is_ok_and(|version: crate::debian::Version| version == package.version)
        };
        Some((names.iter().find(is_it)?.clone(), package))
    });
    Ok(named.collect())
}

fn key((name, version): &SourceName) -> String {
    format!("{name} {version}")
}

fn locked(file: &SourceFile, suite: &Suite) -> LockedSourceFile {
    LockedSourceFile {
        name: file.path.rsplit('/').next().unwrap_or_default().to_owned(),
        size: file.size,
        sha256: file.sha256,
        uri: pool_uri(&redact::url(&suite.repository.uri), &file.path),
    }
}
