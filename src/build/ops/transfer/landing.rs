//! The entries of a layer to be, as an instruction puts one thing after another into a root of which only the
//! skeleton is known.
//!
//! What is there already is what the skeleton knows and what was put there before. Where neither knows of anything there
//! may be a file, which goes when something else is put there.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, bail};

use super::content::{File, Identity};
use crate::build::ops::known::KnownFiles;
use crate::build::tree::{self, join, split};
use crate::layer::{Entry, Found, Kind, Metadata, Skeleton};

/// How many symbolic links one path may lead through.
const MOST_LINKS: usize = 255;

/// The entries of a layer to be.
pub(super) struct Landing<'a> {
    root: &'a Skeleton,
    files: &'a KnownFiles<'a>,
    landed: BTreeMap<Vec<u8>, Landed>,
    /// Directories of the root that something else took the place of.
    hidden: BTreeSet<Vec<u8>>,
    /// What the names of a file say of it, where they don't agree from the start.
    shared: BTreeMap<Identity, Metadata>,
}

/// An entry, with what is needed to write and to account for it.
pub(super) struct Landed {
    pub(super) entry: Entry,
    /// If it is a file.
    pub(super) file: Option<File>,
    /// Whether it is in the root as it is here, and only stands for what is in it.
    pub(super) is_unchanged: bool,
    /// Whether the root has nothing below it.
    is_new: bool,
}

impl Landed {
    /// Whether what stood there before is gone.
    pub(super) fn replaces(&self) -> bool {
        !self.is_unchanged && (self.is_new || self.entry.kind != Kind::Directory)
    }
}

/// What stands at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Directory,
    Symlink(Vec<u8>),
    File,
    /// Nothing that is known.
    Nothing,
}

impl<'a> Landing<'a> {
    pub(super) fn new(root: &'a Skeleton, files: &'a KnownFiles<'a>) -> Landing<'a> {
        let (landed, hidden, shared) = (BTreeMap::new(), BTreeSet::new(), BTreeMap::new());
        Landing { root, files, landed, hidden, shared }
    }

    /// Says what a file is like that has several names, whatever each of them says.
    pub(super) fn share(&mut self, identity: Identity, metadata: Metadata) {
        self.shared.insert(identity, metadata);
    }

    /// Returns what stands at a path on which there is no link.
    pub(super) fn at(&self, path: &[u8]) -> Standing {
        if path.is_empty() {
            return Standing::Directory;
        }
        if let Some(landed) = self.landed.get(path) {
            return match &landed.entry.kind {
                Kind::Directory => Standing::Directory,
                Kind::Symlink { target } => Standing::Symlink(target.clone()),
                _ => Standing::File,
            };
        }
        match self.in_root(path) {
            Found::Directory { .. } => Standing::Directory,
            Found::Symlink { target } => Standing::Symlink(target),
            Found::Other if self.is_known_file(path) => Standing::File,
            Found::Other => Standing::Nothing,
        }
    }

    /// Whether a directory can be made at a path on which there is no link, and where there is none yet.
    pub(super) fn is_free(&self, path: &[u8]) -> Result<bool> {
        Ok(self.at(path) == Standing::Nothing && (self.is_hidden(path) || !self.files.has(path)?))
    }

    /// Returns where a path leads; links lead where they lead for somebody to whom the directory `top` is `/`. What is
    /// missing is as if it were a directory.
    pub(super) fn follow(&self, top: &[u8], path: &[u8]) -> Result<Vec<u8>> {
        let mut names = reversed(path);
        let mut here = top.to_vec();
        let mut n_links = 0;
        while let Some(name) = names.pop() {
            if name == b".." {
                if here.len() > top.len() {
                    here.truncate(split(&here).0.len());
                }
                continue;
            }
            let next = join(&here, &name);
            let Standing::Symlink(target) = self.at(&next) else {
                here = next;
                continue;
            };
            n_links += 1;
            if n_links > MOST_LINKS {
                bail!("cannot put {}: it leads through too many links", shown(path));
            }
            if target.starts_with(b"/") {
                here = top.to_vec();
            }
            names.extend(reversed(&target));
        }
        Ok(here)
    }

    /// Makes the directories of a path on which there is no link, where they are missing, like `model`.
    pub(super) fn make_directories(&mut self, path: &[u8], model: &Entry) -> Result<()> {
        let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(end, _)| end);
        for directory in ends.chain([path.len()]).map(|end| &path[..end]).filter(|path| !path.is_empty()) {
            match self.at(directory) {
                Standing::Directory => {}
                Standing::Nothing if self.is_free(directory)? => {
                    self.put(Entry { path: directory.to_vec(), ..model.clone() }, None)?;
                }
                Standing::Nothing | Standing::File | Standing::Symlink(_) => {
                    bail!("cannot put anything into {}: it is no directory", shown(directory))
                }
            }
        }
        Ok(())
    }

    /// Puts an entry where it says, whatever is there. What was in a directory goes, unless it stays one.
    pub(super) fn put(&mut self, entry: Entry, file: Option<File>) -> Result<()> {
        self.add_parents(&entry.path)?;
        let path = entry.path.clone();
        let stays = entry.kind == Kind::Directory && self.at(&path) == Standing::Directory;
        if !stays {
            self.remove(&path);
        }
        let is_new = match self.landed.get(&path) {
            Some(landed) => landed.is_new,
            None => !matches!(self.in_root(&path), Found::Directory { .. }),
        };
        self.landed.insert(path, Landed { entry, file, is_unchanged: false, is_new });
        Ok(())
    }

    /// Returns an entry to be changed; a directory of the root becomes one.
    pub(super) fn directory(&mut self, path: &[u8]) -> Result<&mut Entry> {
        self.add_parents(path)?;
        let known = self.in_root(path);
        let make = || Landed {
            entry: known_directory(path, &known),
            file: None,
            is_unchanged: false,
            is_new: false,
        };
        let landed = self.landed.entry(path.to_vec()).or_insert_with(make);
        landed.is_unchanged = false;
        Ok(&mut landed.entry)
    }

    /// Returns the file at a path, or another name of one.
    pub(super) fn file(&self, path: &[u8]) -> Option<&Landed> {
        self.landed
            .get(path)
            .filter(|landed| !matches!(landed.entry.kind, Kind::Directory | Kind::Symlink { .. }))
    }

    /// Returns what the layer holds, in the order of paths; each file as its names agree on it.
    pub(super) fn into_landed(self) -> impl Iterator<Item = Landed> {
        let Landing { landed, shared, .. } = self;
        landed.into_values().map(move |mut landed| {
            let identity = landed.file.as_ref().and_then(|file| file.identity);
            if let Some(metadata) = identity.and_then(|identity| shared.get(&identity)) {
                landed.entry.metadata.clone_from(metadata);
            }
            landed
        })
    }

    /// Returns the directories in which nothing of the root is seen any more, in a layer's order.
    pub(super) fn opaque(&self) -> Vec<Vec<u8>> {
        let is_directory = |path: &&Vec<u8>| {
            self.landed.get(*path).is_some_and(|landed| landed.entry.kind == Kind::Directory)
        };
        let mut paths: Vec<Vec<u8>> = self.hidden.iter().filter(is_directory).cloned().collect();
        paths.sort_by_key(|path| [path, &b"/"[..]].concat());
        paths
    }

    /// Whether anything changes.
    pub(super) fn changes(&self) -> bool {
        self.landed.values().any(|landed| !landed.is_unchanged)
    }

    fn remove(&mut self, path: &[u8]) {
        if let Found::Directory { .. } = self.in_root(path) {
            self.hidden.insert(path.to_vec());
        }
        let start = [path, b"/"].concat();
        let below = self.landed.range(start.clone()..).map(|(path, _)| path);
        let below: Vec<Vec<u8>> = below.take_while(|path| path.starts_with(&start)).cloned().collect();
        for path in below.iter().map(Vec::as_slice).chain([path]) {
            self.landed.remove(path);
        }
    }

    /// Every directory on the way is in the layer: as it is, or made new.
    fn add_parents(&mut self, path: &[u8]) -> Result<()> {
        let mut missing = Vec::new();
        let mut directory = split(path).0;
        while !directory.is_empty() && !self.landed.contains_key(directory) {
            missing.push(directory.to_vec());
            directory = split(directory).0;
        }
        match self.at(directory) {
            Standing::Directory => {}
            _ => bail!("cannot put {}: {} is no directory", shown(path), shown(directory)),
        }
        for directory in missing.into_iter().rev() {
            let known = self.in_root(&directory);
            let entry = known_directory(&directory, &known);
            self.landed.insert(directory, Landed { entry, file: None, is_unchanged: true, is_new: false });
        }
        Ok(())
    }

    fn in_root(&self, path: &[u8]) -> Found {
        if self.is_hidden(path) { Found::Other } else { self.root.at(path) }
    }

    fn is_hidden(&self, path: &[u8]) -> bool {
        self.landed.get(split(path).0).is_some_and(|landed| landed.is_new)
            || !self.hidden.is_empty() && above(path).any(|directory| self.hidden.contains(directory))
    }

    fn is_known_file(&self, path: &[u8]) -> bool {
        !self.is_hidden(path) && self.files.accounts_for(path)
    }
}

/// Returns a path and those of the directories that it is in.
fn above(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::successors(Some(path), |path| Some(split(path).0)).take_while(|path| !path.is_empty())
}

fn reversed(path: &[u8]) -> Vec<Vec<u8>> {
    let names = path.split(|&byte| byte == b'/').filter(|name| !matches!(*name, b"" | b"."));
    names.rev().map(<[u8]>::to_vec).collect()
}

/// Returns a directory as it is in the root. Its time is the image's, the latest that a layer shows.
fn known_directory(path: &[u8], known: &Found) -> Entry {
    let (mode, uid, gid) = match known {
        Found::Directory { mode, uid, gid } => (*mode, *uid, *gid),
        Found::Symlink { .. } | Found::Other => (0o755, 0, 0),
    };
    let mut entry = Entry::directory(path, mode);
    (entry.metadata.uid, entry.metadata.gid, entry.metadata.mtime) = (uid, gid, i64::MAX);
    entry
}

/// A path for people.
pub(super) fn shown(path: &[u8]) -> String {
    format!("/{}", String::from_utf8_lossy(&tree::cleaned(path)))
}
