//! What changed in a directory since a snapshot of it, where nothing but the directory itself tells.
//!
//! Only what the snapshot doesn't know as untouched is looked at, and compared with the layers that the directory was a
//! copy of, as [`super::compare`] compares them.

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Stat, fstat, unlinkat, utimensat};

use super::compare::is_same;
use super::diff::{Change, ChangeKind};
use super::pack::parents;
use super::rooted::{
    MAX_DEPTH, Root, join, kind_of, names_in, nanoseconds_of, open_child, split, stat_child, timestamps,
};
use super::snapshot::{Held, Snapshot};
use super::stack::{Inside, LastLink};
use super::{Error, Stack, shown};

/// What became of a directory.
#[derive(Debug, Default)]
pub struct Since {
    /// What an overlay mount on the same layers would have kept.
    pub changes: Vec<Change>,
    /// Names of files with several of which one was changed. An overlay mount would have made a file of its own of the
    /// name that it was changed through, which can't be told here: without these links it can.
    pub unclear: BTreeSet<Vec<u8>>,
    /// What was touched, and is as before all the same.
    touched: Vec<Vec<u8>>,
    /// What counts as absent.
    sockets: Vec<Vec<u8>>,
    /// Whether a file that was one with others is so no more, though it is as before.
    has_lost_links: bool,
}

/// Finds what changed in `after` since the snapshot was taken of it, when it was a copy of `before`.
pub fn since(snapshot: &Snapshot, before: &Stack, after: &Path) -> Result<Since, Error> {
    let directory = Root::open(after).and_then(|root| root.directory(b""));
    let io = |source| Error::Io { action: "open", path: after.display().to_string(), source };
    let directory = directory.map_err(io)?;
    let mut looking = Looking { snapshot, since: Since::default(), names: Vec::new() };
    let below = before.root()?;
    let stat = fstat(&directory).map_err(|error| failed(b"")(error.into()))?;
    if let Some(root) = &below
        && !is_same(root, &directory, &stat, b"").map_err(failed(b""))?
    {
        looking.push(b"", ChangeKind::Present);
    }
    let inside = below.map(|root| root.enter()).transpose()?;
    let level = Level { above: None, name: b"", inside: OnceCell::from(inside) };
    let pair = Pair { path: Vec::new(), after: directory, held: Some(snapshot.root()), depth: 0 };
    looking.directory(&level, &pair, snapshot.is_untouched(snapshot.root(), &stat))?;
    Ok(looking.finish())
}

impl Since {
    /// Lets `root` be as the layers show it that it was a copy of, with the changes on top of them, to the very times.
    /// Returns whether it is so.
    pub fn settle(&self, root: &Path, before: &Stack) -> Result<bool, Error> {
        let opened = Root::open(root).map_err(failed(b""))?;
        for path in &self.sockets {
            let (directory, name) = split(path);
            let parent = opened.exact_directory(directory).map_err(failed(path))?;
            unlinkat(&parent, name, AtFlags::empty()).map_err(|error| failed(path)(error.into()))?;
        }
        let changes = &self.changes;
        let on_the_way: BTreeSet<&[u8]> = changes.iter().flat_map(|change| parents(&change.path)).collect();
        let unchanged = self.touched.iter().filter(|path| !on_the_way.contains(path.as_slice()));
        // What is in a directory is set right before it.
        for path in unchanged.rev().filter(|path| !path.is_empty()) {
            let Some(node) = before.find(path, LastLink::Kept)? else { continue };
            let (directory, name) = split(path);
            let parent = opened.exact_directory(directory).map_err(failed(path))?;
            let times = timestamps(node.stat().st_mtime, nanoseconds_of(node.stat()));
            let set = utimensat(&parent, name, &times, AtFlags::SYMLINK_NOFOLLOW);
            set.map_err(|error| failed(path)(error.into()))?;
        }
        Ok(!self.has_lost_links && self.unclear.is_empty())
    }
}

struct Looking<'a> {
    snapshot: &'a Snapshot,
    since: Since,
    names: Vec<Name>,
}

/// A name of a file that has, or had, several.
struct Name {
    inode: u64,
    path: Vec<u8>,
    is_unchanged: bool,
    /// Whether it was this file's name before.
    was_here: bool,
    has_others: bool,
}

/// A directory of the layers, opened when it is first needed.
struct Level<'a> {
    above: Option<&'a Level<'a>>,
    name: &'a [u8],
    inside: OnceCell<Option<Inside>>,
}

impl Level<'_> {
    fn inside(&self) -> Result<Option<&Inside>, Error> {
        if self.inside.get().is_none() {
            let above = self.above.map_or(Ok(None), Level::inside)?;
            let node = above.map_or(Ok(None), |above| above.child(self.name))?;
            let inside = node.filter(super::Node::is_directory).map(|node| node.enter()).transpose()?;
            return Ok(self.inside.get_or_init(|| inside).as_ref());
        }
        Ok(self.inside.get().and_then(Option::as_ref))
    }
}

/// A directory as it is, and what it held.
struct Pair<'a> {
    path: Vec<u8>,
    after: OwnedFd,
    held: Option<&'a Held>,
    depth: usize,
}

impl<'a> Looking<'a> {
    fn directory(&mut self, level: &Level<'_>, pair: &Pair<'a>, is_untouched: bool) -> Result<(), Error> {
        if pair.depth >= MAX_DEPTH {
            return Err(failed(&pair.path)(io::Error::other("the directories are nested too deep")));
        }
        if let Some(held) = pair.held.filter(|_| is_untouched) {
            return held.inside.iter().try_for_each(|(name, _)| self.child(level, pair, name));
        }
        let names = names_in(&pair.after).map_err(failed(&pair.path))?;
        if let Some(before) = level.inside()? {
            let gone = before.names()?.into_iter().filter(|name| names.binary_search(name).is_err());
            gone.for_each(|name| self.push(&join(&pair.path, &name), ChangeKind::Removed));
        }
        names.iter().try_for_each(|name| self.child(level, pair, name))
    }

    fn child(&mut self, level: &Level<'_>, pair: &Pair<'a>, name: &[u8]) -> Result<(), Error> {
        let path = join(&pair.path, name);
        let Some(stat) = stat_child(&pair.after, name).map_err(failed(&path))? else { return Ok(()) };
        let held = pair.held.and_then(|held| held.child(name));
        let is_untouched = held.is_some_and(|held| self.snapshot.is_untouched(held, &stat));
        if !is_untouched && !self.candidate(level, pair, (name, &path), &stat, held)? {
            return Ok(());
        }
        if kind_of(&stat) != FileType::Directory {
            return Ok(());
        }
        let after = open_child(&pair.after, name).map_err(failed(&path))?;
        let level = Level { above: Some(level), name, inside: OnceCell::new() };
        self.directory(&level, &Pair { path, after, held, depth: pair.depth + 1 }, is_untouched)
    }

    /// Compares something that may have changed; returns whether there is anything.
    fn candidate(
        &mut self,
        level: &Level<'_>,
        pair: &Pair<'_>,
        (name, path): (&[u8], &[u8]),
        stat: &Stat,
        held: Option<&Held>,
    ) -> Result<bool, Error> {
        let before = level.inside()?.map_or(Ok(None), |before| before.child(name))?;
        if kind_of(stat) == FileType::Socket {
            self.since.sockets.push(path.to_vec());
            if before.is_some() {
                self.push(path, ChangeKind::Removed);
            }
            return Ok(false);
        }
        let is_unchanged = before.as_ref().map(|before| is_same(before, &pair.after, stat, name));
        let is_unchanged = is_unchanged.transpose().map_err(failed(path))?.unwrap_or(false);
        match is_unchanged {
            true => self.since.touched.push(path.to_vec()),
            false => self.push(path, ChangeKind::Present),
        }
        if kind_of(stat) != FileType::Directory {
            self.note(path, stat, held, is_unchanged);
        }
        Ok(true)
    }

    fn note(&mut self, path: &[u8], stat: &Stat, held: Option<&Held>, is_unchanged: bool) {
        let (inode, has_others) = (stat.st_ino, stat.st_nlink > 1);
        let was_here = held.is_some_and(|held| held.mark.inode == inode);
        let had_others = held.is_some_and(|held| held.mark.n_links > 1);
        self.since.has_lost_links |= is_unchanged && had_others && !was_here;
        if has_others || had_others {
            self.names.push(Name { inode, path: path.to_vec(), is_unchanged, was_here, has_others });
        }
    }

    /// Of a file that has several names all count as soon as one does.
    fn finish(mut self) -> Since {
        let shared = if self.names.is_empty() { BTreeSet::new() } else { self.snapshot.shared_inodes() };
        let is_unclear = |name: &&Name| shared.contains(&name.inode) && !(name.is_unchanged && name.was_here);
        let unclear: BTreeSet<u64> = self.names.iter().filter(is_unclear).map(|name| name.inode).collect();
        if !unclear.is_empty() {
            self.since.unclear = self.snapshot.names_of(&unclear);
        }
        let changed = self.names.iter().filter(|name| name.has_others && !name.is_unchanged);
        let changed: BTreeSet<u64> = changed.map(|name| name.inode).collect();
        let with_them = |name: &&Name| name.is_unchanged && changed.contains(&name.inode);
        for name in std::mem::take(&mut self.names).iter().filter(with_them) {
            self.push(&name.path, ChangeKind::Present);
        }
        self.since.changes.sort();
        let changes = &self.since.changes;
        let is_change = |path: &Vec<u8>| changes.binary_search_by(|change| change.path.cmp(path)).is_ok();
        self.since.touched.retain(|path| !is_change(path));
        self.since
    }

    fn push(&mut self, path: &[u8], kind: ChangeKind) {
        self.since.changes.push(Change { path: path.to_vec(), kind });
    }
}

fn failed(path: &[u8]) -> impl FnOnce(io::Error) -> Error {
    let path = shown(path);
    move |source| Error::Io { action: "compare", path, source }
}
