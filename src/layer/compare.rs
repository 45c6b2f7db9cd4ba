//! What differs between two states of a root: type, mode, owner, content, link, device, extended attributes.
//!
//! Times do not count, and neither does how the change came about: an overlay mount that copied a file up without
//! changing it, or removed a directory and made it again, leaves the same difference as doing nothing. Sockets are
//! as good as absent. Of a file with several names all count as soon as one does: a layer without the others would make
//! files of their own of them.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{FileType, Stat, fstat};

use super::rooted::{
    FileId, MAX_DEPTH, Root, id_of, is_opaque, is_overlay_whiteout, join, kind_of, names_in, open_child,
    open_file, read_link, stat_child, xattrs_of,
};
use super::stack::{Inside, Node};
use super::{Error, Stack, shown};

/// A path that differs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    /// Relative to the root, as in [`super::Entry::path`].
    pub path: Vec<u8>,
    /// What became of it.
    pub kind: ChangeKind,
}

/// What became of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChangeKind {
    /// It is new, or different.
    Present,
    /// It is gone, with all below it.
    Removed,
}

/// Compares what an overlay mount left in `upper` with the layers below it. Without layers, everything is new, save the
/// root itself.
pub fn overlay(below: &Stack, upper: &Path) -> Result<Vec<Change>, Error> {
    Comparison::new(true).run(below, upper)
}

/// Compares two directories. Without `before`, everything is new, save the root itself.
pub fn trees(before: Option<&Path>, after: &Path) -> Result<Vec<Change>, Error> {
    let before = Stack::open(before.as_slice())?;
    Comparison::new(false).run(&before, after)
}

struct Comparison {
    /// Whether what is not in the later directory is as it was before.
    is_overlay: bool,
    changes: Vec<Change>,
    /// Files with several names one of which is new or different.
    changed_files: BTreeSet<FileId>,
    /// Names, of files with several, that are as they were.
    same_names: Vec<(FileId, Vec<u8>)>,
}

/// The same directory, before and after.
struct Pair {
    path: Vec<u8>,
    before: Option<Inside>,
    after: OwnedFd,
    /// Whether nothing shines through from before.
    hides: bool,
    depth: usize,
}

impl Comparison {
    fn new(is_overlay: bool) -> Comparison {
        let (changed_files, same_names) = (BTreeSet::new(), Vec::new());
        Comparison { is_overlay, changes: Vec::new(), changed_files, same_names }
    }

    fn run(mut self, before: &Stack, after: &Path) -> Result<Vec<Change>, Error> {
        let root = before.root()?;
        let after = open_root(after)?;
        if let Some(root) = &root {
            self.root(root, &after).map_err(failed(b""))?;
        }
        let before = root.map(|root| root.enter()).transpose()?;
        self.directory(&Pair { path: Vec::new(), before, after, hides: !self.is_overlay, depth: 0 })?;
        self.names_of_changed_files();
        self.changes.sort();
        Ok(self.changes)
    }

    fn names_of_changed_files(&mut self) {
        for (id, path) in std::mem::take(&mut self.same_names) {
            if self.changed_files.contains(&id) {
                self.push(&path, ChangeKind::Present);
            }
        }
    }

    fn root(&mut self, before: &Node, after: &OwnedFd) -> io::Result<()> {
        if !is_same(before, after, &fstat(after)?, b"")? {
            self.push(b"", ChangeKind::Present);
        }
        Ok(())
    }

    fn directory(&mut self, pair: &Pair) -> Result<(), Error> {
        if pair.depth >= MAX_DEPTH {
            return Err(failed(&pair.path)(io::Error::other("the directories are nested too deep")));
        }
        let names = names_in(&pair.after).map_err(failed(&pair.path))?;
        if pair.hides {
            self.removals(pair, &names)?;
        }
        for name in &names {
            if let Some(child) = self.child(pair, name)? {
                self.directory(&child)?;
            }
        }
        Ok(())
    }

    /// Finds what was there and has no successor.
    fn removals(&mut self, pair: &Pair, names: &[Vec<u8>]) -> Result<(), Error> {
        let Some(before) = &pair.before else { return Ok(()) };
        for name in before.names()? {
            if names.binary_search(&name).is_err() {
                self.push(&join(&pair.path, &name), ChangeKind::Removed);
            }
        }
        Ok(())
    }

    /// Compares one name; returns what is to be compared next, if it is a directory.
    fn child(&mut self, pair: &Pair, name: &[u8]) -> Result<Option<Pair>, Error> {
        let path = join(&pair.path, name);
        let failed = || failed(&path);
        let before = match &pair.before {
            Some(before) => before.child(name)?,
            None => None,
        };
        let Some(new) = self.present(&pair.after, name).map_err(failed())? else {
            if before.is_some() {
                self.push(&path, ChangeKind::Removed);
            }
            return Ok(None);
        };
        let is_unchanged = before.as_ref().map(|before| is_same(before, &pair.after, &new, name));
        let is_unchanged = is_unchanged.transpose().map_err(failed())?.unwrap_or(false);
        if !is_unchanged {
            self.push(&path, ChangeKind::Present);
        }
        if kind_of(&new) != FileType::Directory {
            if new.st_nlink > 1 {
                self.note_name(id_of(&new), path, is_unchanged);
            }
            return Ok(None);
        }
        let after = open_child(&pair.after, name).map_err(failed())?;
        let hides = pair.hides || is_opaque(&after).map_err(failed())?;
        let before = before.filter(Node::is_directory).map(|before| before.enter()).transpose()?;
        Ok(Some(Pair { path, before, after, hides, depth: pair.depth + 1 }))
    }

    fn note_name(&mut self, id: FileId, path: Vec<u8>, is_unchanged: bool) {
        match is_unchanged {
            true => self.same_names.push((id, path)),
            false => drop(self.changed_files.insert(id)),
        }
    }

    fn present(&self, parent: &OwnedFd, name: &[u8]) -> io::Result<Option<Stat>> {
        let stat = stat_child(parent, name)?.filter(|stat| kind_of(stat) != FileType::Socket);
        Ok(stat.filter(|stat| !(self.is_overlay && is_overlay_whiteout(stat))))
    }

    fn push(&mut self, path: &[u8], kind: ChangeKind) {
        self.changes.push(Change { path: path.to_vec(), kind });
    }
}

fn open_root(path: &Path) -> Result<OwnedFd, Error> {
    let opened = Root::open(path).and_then(|root| root.directory(b""));
    opened.map_err(|source| Error::Io { action: "open", path: path.display().to_string(), source })
}

/// Whether `name`, or with an empty name the directory itself, is the same as before.
pub(super) fn is_same(before: &Node, after: &OwnedFd, new: &Stat, name: &[u8]) -> io::Result<bool> {
    let (old, Some(holder)) = (before.stat(), before.holder()) else { return Ok(false) };
    if id_of(old) == id_of(new) {
        return Ok(true);
    }
    if old.st_mode != new.st_mode || (old.st_uid, old.st_gid) != (new.st_uid, new.st_gid) {
        return Ok(false);
    }
    let has_same_content = match kind_of(new) {
        FileType::RegularFile => {
            old.st_size == new.st_size && have_same_bytes(open_file(holder, name)?, open_file(after, name)?)?
        }
        FileType::Symlink => read_link(holder, name)? == read_link(after, name)?,
        FileType::CharacterDevice | FileType::BlockDevice => old.st_rdev == new.st_rdev,
        FileType::Directory | FileType::Fifo | FileType::Socket | FileType::Unknown => true,
    };
    Ok(has_same_content && xattrs_of(holder.as_fd(), name)? == xattrs_of(after.as_fd(), name)?)
}

fn have_same_bytes(mut one: impl Read, mut other: impl Read) -> io::Result<bool> {
    let mut buffers = (vec![0; 64 << 10], vec![0; 64 << 10]);
    loop {
        let n_one = read_full(&mut one, &mut buffers.0)?;
        let n_other = read_full(&mut other, &mut buffers.1)?;
        if buffers.0[..n_one] != buffers.1[..n_other] {
            return Ok(false);
        }
        if n_one == 0 {
            return Ok(true);
        }
    }
}

/// Fills the buffer unless the end comes first.
fn read_full(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut n_read = 0;
    while n_read < buffer.len() {
        match reader.read(&mut buffer[n_read..]) {
            Ok(0) => break,
            Ok(n) => n_read += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(n_read)
}

fn failed(path: &[u8]) -> impl FnOnce(io::Error) -> Error {
    let path = shown(path);
    move |source| Error::Io { action: "compare", path, source }
}
