//! Small files of a root, as its layers have them. Nothing is unpacked.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::os_release::OsRelease;
use super::others::{self, Listed};
use crate::bom::Package;
use crate::build::blobs::{Blobs, Shape, Unpacking};
use crate::build::licences;
use crate::build::view::{Ask, Coming, Look, View};
use crate::debian::{self, status};
use crate::inside::Found;
use crate::layer::{Entry, Kind, Skeleton};
use crate::oci::Layer;
use crate::store::Store;

/// Small files of a root, by path without a leading slash.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    files: BTreeMap<String, Vec<u8>>,
}

/// Which files are looked into: exact paths, and directories.
const FACT_FILES: [&str; 8] = [
    "etc/os-release",
    "usr/lib/os-release",
    "var/lib/dpkg/status",
    "var/lib/dpkg/arch",
    "etc/apt/preferences",
    "var/lib/apt/extended_states",
    "etc/apt/sources.list",
    "etc/apt/trusted.gpg",
];
const FACT_DIRECTORIES: [&str; 6] = [
    "etc/apt/preferences.d/",
    "etc/apt/sources.list.d/",
    "etc/apt/trusted.gpg.d/",
    "etc/apt/keyrings/",
    "usr/share/keyrings/",
    "var/lib/dpkg/status.d/",
];

impl Facts {
    /// Returns the facts that these files state, by path without a leading slash.
    pub fn from_files(files: BTreeMap<String, Vec<u8>>) -> Facts {
        Facts { files }
    }

    /// Returns the content of a file; a link has that of the file it leads to.
    pub fn file(&self, path: &str) -> Option<&[u8]> {
        self.files.get(path.trim_start_matches('/')).map(Vec::as_slice)
    }

    /// Returns the files of a directory, in the order of their names.
    pub fn files_in(&self, directory: &str) -> impl Iterator<Item = (&str, &[u8])> {
        let directory = directory.trim_start_matches('/').to_owned();
        self.files
            .iter()
            .filter(move |(path, _)| path.starts_with(&directory))
            .map(|(path, content)| (path.as_str(), content.as_slice()))
    }

    /// Returns what the root's os-release says.
    pub fn os_release(&self) -> OsRelease {
        let text = self.file("etc/os-release").or_else(|| self.file("usr/lib/os-release"));
        OsRelease::parse(&String::from_utf8_lossy(text.unwrap_or_default()))
    }

    /// Returns the installed packages, also of roots that keep them one file each (`status.d`).
    pub fn installed(&self) -> Result<Vec<debian::Installed>> {
        let text = |content: &[u8]| String::from_utf8_lossy(content).into_owned();
        let whole = self.file("var/lib/dpkg/status").map(|content| status::parse(&text(content)));
        let fragments = self.files_in("var/lib/dpkg/status.d/");
        let fragments = fragments.filter(|(path, _)| !path.ends_with(".md5sums"));
        let fragments = fragments.map(|(_, content)| status::parse_fragment(&text(content)));
        let parsed: Result<Vec<_>, _> = whole.into_iter().chain(fragments).collect();
        Ok(parsed.context("cannot read the dpkg status")?.into_iter().flatten().collect())
    }
}

/// How deep is looked into the layers of a base.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Depth {
    /// At the lists of what is installed: an account tells the rest.
    Lists,
    /// Into copyright files, and every other file, too.
    Insides,
}

/// What was seen in the layers of a base.
pub(super) struct Looked {
    pub(super) facts: Facts,
    pub(super) skeleton: Skeleton,
    /// The packages that are not dpkg's.
    pub(super) others: Vec<Package>,
    pub(super) licences: licences::Outcome,
    pub(super) found: Found,
}

/// Reads layers of the store, also those that are still coming there; with `root` they are unpacked in passing, and kept
/// there.
pub(super) async fn look_into(
    layers: &[Layer],
    coming: Coming,
    store: &Store,
    depth: Depth,
    root: Option<(&Blobs, Shape)>,
) -> Result<Looked> {
    let (layers, store) = (layers.to_vec(), store.clone());
    let root = root.map(|(blobs, shape)| (blobs.clone(), shape));
    tokio::task::spawn_blocking(move || {
        let view = view(&layers, &coming, &store, depth, root.as_ref())?;
        let facts = facts_of(&view)?;
        let mut licences = licences::of_view(&view, &facts.installed()?);
        let Listed { packages: others, texts, incomplete } = others::of_view(&view)?;
        licences.texts.extend(texts);
        let View { skeleton, mut found, .. } = view;
        found.incomplete.extend(incomplete);
        Ok(Looked { facts, skeleton, others, licences, found })
    })
    .await?
}

fn view(
    layers: &[Layer],
    coming: &Coming,
    store: &Store,
    depth: Depth,
    root: Option<&(Blobs, Shape)>,
) -> Result<View> {
    let copyrights = licences::Bounded::default();
    let is_listed = |entry: &Entry| is_fact(entry) || others::is_list(&entry.path);
    let ask = |entry: &Entry| match is_listed(entry) || depth == Depth::Insides && copyrights.wants(entry) {
        true => Ask::Content,
        false => Ask::Nothing,
    };
    let look = |unpacking: Option<&Unpacking<'_>>| {
        Look { store, coming, ask: &ask, has_insides: depth == Depth::Insides, unpacking }.at(layers)
    };
    match root {
        Some((blobs, shape)) => blobs.in_passing(layers, *shape, look),
        None => look(None).map(|(view, _)| view),
    }
}

/// A keyring, or an os-release, may be a link to another file that was seen.
fn facts_of(view: &View) -> Result<Facts> {
    let mut files = BTreeMap::new();
    for (path, seen) in view.seen.iter().filter(|(_, seen)| is_fact(&seen.entry)) {
        let file = match seen.entry.kind {
            Kind::File { .. } => Some(seen),
            Kind::Symlink { .. } => {
                // A link that leads in circles leads nowhere.
                let leads_to = view.skeleton.follow(path).ok();
                let file = leads_to.and_then(|resolved| view.seen.get(&resolved.path));
                file.filter(|file| matches!(file.entry.kind, Kind::File { .. }))
            }
            Kind::Directory
            | Kind::Hardlink { .. }
            | Kind::CharDevice { .. }
            | Kind::BlockDevice { .. }
            | Kind::Fifo => None,
        };
        if let Some(file) = file {
            files.insert(String::from_utf8_lossy(path).into_owned(), file.content.clone());
        }
    }
    Ok(Facts { files })
}

fn is_fact(entry: &Entry) -> bool {
    let is_named = |path: &str| {
        FACT_FILES.contains(&path) || FACT_DIRECTORIES.iter().any(|directory| path.starts_with(directory))
    };
    // An os-release may be a link to another one, somewhere else.
    let is_release = |path: &str| path.rsplit('/').next().is_some_and(|name| name.starts_with("os-release"));
    std::str::from_utf8(&entry.path).is_ok_and(|path| is_named(path) || is_release(path))
}

impl Serialize for Facts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let texts = self.files.iter().map(|(path, content)| (path, BASE64.encode(content)));
        serializer.collect_map(texts)
    }
}

impl<'de> Deserialize<'de> for Facts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Facts, D::Error> {
        let texts = BTreeMap::<String, String>::deserialize(deserializer)?;
        let decoded = texts.into_iter().map(|(path, text)| Ok((path, BASE64.decode(text)?)));
        let files = decoded.collect::<Result<_, base64::DecodeError>>();
        Ok(Facts { files: files.map_err(serde::de::Error::custom)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_survive_their_record() {
        let files = BTreeMap::from([("etc/apt/trusted.gpg".to_owned(), vec![0, 255, 1])]);
        let facts = Facts { files };
        let text = serde_json::to_string(&facts).unwrap();
        assert_eq!(serde_json::from_str::<Facts>(&text).unwrap(), facts);
    }
}
