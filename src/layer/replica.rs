//! Copies of what lies in roots, true to the nanosecond: whole directories of a stack, and single changes of a root in the
//! form of an overlay mount's upper directory.
//!
//! Content is shared with the original where the file system can do so. Files with several names stay one file, unless
//! they are asked to be apart.

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, ioctl_ficlone, linkat, mkdirat, openat, utimensat};

use super::apply::{make_special, set_metadata};
use super::diff::{Change, ChangeKind};
use super::rooted::{
    FileId, Root, hide_name, id_of, kind_of, nanoseconds_of, open_child, open_file, set_times, split,
    stat_child, timestamps,
};
use super::stack::entry_of;
use super::{Error, Node, shown};

/// Copies a file, or whatever else is no directory, to `to`, which must be free; or a directory, with all that is in it,
/// to the empty directory `to`, which is made where it is missing. The names in `apart`, relative to the directory,
/// become files of their own.
pub fn copy_out(node: &Node, to: &Path, apart: &BTreeSet<Vec<u8>>) -> Result<(), Error> {
    let failed = |source| Error::Io { action: "copy to", path: to.display().to_string(), source };
    if !node.is_directory() {
        let (Some(parent), Some(name)) = (to.parent(), to.file_name()) else {
            return Err(failed(io::ErrorKind::InvalidInput.into()));
        };
        let mut replica = Replica::new(parent)?;
        let name = std::os::unix::ffi::OsStrExt::as_bytes(name);
        return replica.node(node, name).map_err(failed);
    }
    match std::fs::create_dir(to) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(error)),
        _ => {}
    }
    let mut replica = Replica::new(to)?;
    let n_above = if node.path().is_empty() { 0 } else { node.path().len() + 1 };
    replica.node(node, b"").map_err(failed)?;
    node.walk(&mut |child| {
        let path = &child.path()[n_above..];
        replica.joins = !apart.contains(path);
        replica.node(child, path).map_err(self::failed("copy", child.path()))?;
        Ok(true)
    })?;
    replica.finish()
}

/// Brings what changed in `root` to `upper`, the empty upper directory of an overlay mount on the layers that it was a
/// copy of, as the mount would have noted it.
pub fn bring(changes: &[Change], root: &Path, upper: &Path) -> Result<(), Error> {
    let from = Root::open(root).map_err(|source| Error::Io {
        action: "open",
        path: root.display().to_string(),
        source,
    })?;
    let mut replica = Replica::new(upper)?;
    for Change { path, kind } in changes {
        let (directory, name) = split(path);
        replica.directories(&from, directory).map_err(failed("copy", directory))?;
        match kind {
            ChangeKind::Present => {
                let copied = from.exact_directory(directory).and_then(|from| replica.name(&from, name, path));
                copied.map_err(failed("copy", path))?;
            }
            ChangeKind::Removed => {
                let hidden = replica.parent(directory).and_then(|parent| hide_name(&parent, name));
                hidden.map_err(failed("note what is gone at", path))?;
            }
        }
    }
    replica.finish()
}

/// A directory that becomes like others.
struct Replica {
    root: Root,
    /// Where each file is that has several names.
    files: HashMap<FileId, Vec<u8>>,
    /// Whether the next name joins the file's others.
    joins: bool,
    /// The times that directories are to have in the end.
    times: Vec<(Vec<u8>, i64, i64)>,
    /// The directory of the last name.
    parent: Option<(Vec<u8>, OwnedFd)>,
}

impl Replica {
    fn new(at: &Path) -> Result<Replica, Error> {
        let root = Root::open(at);
        let io = |source| Error::Io { action: "open", path: at.display().to_string(), source };
        let (files, times) = (HashMap::new(), Vec::new());
        Ok(Replica { root: root.map_err(io)?, files, joins: true, times, parent: None })
    }

    fn node(&mut self, node: &Node, path: &[u8]) -> io::Result<()> {
        let holder = node.holder().ok_or(io::ErrorKind::NotFound)?;
        self.entry(holder, node.name(), node.stat(), path)
    }

    fn name(&mut self, from: &OwnedFd, name: &[u8], path: &[u8]) -> io::Result<()> {
        let stat = stat_child(from, name)?.ok_or(io::ErrorKind::NotFound)?;
        self.entry(from, name, &stat, path)
    }

    /// Makes what is missing of a directory as it is in `from`.
    fn directories(&mut self, from: &Root, path: &[u8]) -> io::Result<()> {
        if path.is_empty() || self.parent(path).is_ok() {
            return Ok(());
        }
        let (directory, name) = split(path);
        self.directories(from, directory)?;
        self.name(&from.exact_directory(directory)?, name, path)
    }

    fn parent(&mut self, directory: &[u8]) -> io::Result<OwnedFd> {
        if let Some((_, opened)) = self.parent.as_ref().filter(|(path, _)| path == directory) {
            return opened.try_clone();
        }
        let opened = self.root.exact_directory(directory)?;
        self.parent = Some((directory.to_vec(), opened.try_clone()?));
        Ok(opened)
    }

    /// Copies what goes by `name` in `from`, and is described by `stat`, to `path`.
    fn entry(&mut self, from: &OwnedFd, name: &[u8], stat: &Stat, path: &[u8]) -> io::Result<()> {
        let (directory, new) = split(path);
        let parent = self.parent(directory)?;
        if kind_of(stat) == FileType::Directory {
            self.times.push((path.to_vec(), stat.st_mtime, nanoseconds_of(stat)));
            return copy_directory(from, name, stat, &parent, new);
        }
        if stat.st_nlink > 1 && self.joins {
            if let Some(first) = self.files.get(&id_of(stat)) {
                let (directory, first) = split(first);
                let directory = self.root.exact_directory(directory)?;
                return Ok(linkat(&directory, first, &parent, new, AtFlags::empty())?);
            }
            self.files.insert(id_of(stat), path.to_vec());
        }
        match kind_of(stat) {
            FileType::RegularFile => copy_file(from, name, stat, &parent, new),
            _ => {
                let entry = entry_of(from, name, stat)?;
                make_special(&parent, new, &entry.kind, &entry.metadata)?;
                let times = timestamps(stat.st_mtime, nanoseconds_of(stat));
                Ok(utimensat(&parent, new, &times, AtFlags::SYMLINK_NOFOLLOW)?)
            }
        }
    }

    fn finish(self) -> Result<(), Error> {
        for (path, seconds, nanoseconds) in self.times.iter().rev() {
            let set = self.root.exact_directory(path);
            let set = set.and_then(|directory| set_times(directory, *seconds, *nanoseconds));
            set.map_err(failed("set the time of", path))?;
        }
        Ok(())
    }
}

/// An empty new name is the directory `parent` itself.
fn copy_directory(from: &OwnedFd, name: &[u8], stat: &Stat, parent: &OwnedFd, new: &[u8]) -> io::Result<()> {
    let metadata = entry_of(from, name, stat)?.metadata;
    if new.is_empty() {
        return set_metadata(parent, &metadata);
    }
    mkdirat(parent, new, Mode::from_raw_mode(0o700))?;
    set_metadata(open_child(parent, new)?, &metadata)
}

fn copy_file(from: &OwnedFd, name: &[u8], stat: &Stat, parent: &OwnedFd, new: &[u8]) -> io::Result<()> {
    let original = open_file(from, name)?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let copy = File::from(openat(parent, new, flags, Mode::from_raw_mode(0o600))?);
    if stat.st_size > 0 {
        copy_content(original, &copy)?;
    }
    set_metadata(&copy, &entry_of(from, name, stat)?.metadata)?;
    set_times(&copy, stat.st_mtime, nanoseconds_of(stat))
}

/// Shares the content where the file system can.
fn copy_content(mut from: File, mut to: &File) -> io::Result<()> {
    match ioctl_ficlone(to.as_fd(), from.as_fd()) {
        Ok(()) => Ok(()),
        Err(_) => io::copy(&mut from, &mut to).map(drop),
    }
}

fn failed(action: &'static str, path: &[u8]) -> impl FnOnce(io::Error) -> Error {
    let path = shown(path);
    move |source| Error::Io { action, path, source }
}
