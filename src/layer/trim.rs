//! Bringing an overlay mount's upper directory down to what changed, so that it can stand for the layer made of it.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::FileType;

use super::diff::{Change, ChangeKind};
use super::pack::parents;
use super::rooted::{
    Root, is_opaque, is_overlay_whiteout, join, kind_of, mark, names_in, open_child, remove, stat_child,
    unmark,
};
use super::stack::ROOT_IS_IMPLIED;
use super::{Error, Standing, shown};

/// Takes out of `upper` what is not in `changes`, which [`overlay`](super::diff::overlay) found in it: files that were
/// copied up and not changed, names that came and went. What lies in a directory that hides all below stays, and so do
/// times.
pub fn trim(changes: &[Change], upper: &Path) -> Result<Standing, Error> {
    let opened = Root::open(upper).and_then(|root| root.directory(b""));
    let root = opened.map_err(failed(b""))?;
    let mut trimming =
        Trimming { present: BTreeSet::new(), gone: BTreeSet::new(), standing: Standing::Alone };
    for change in changes {
        match change.kind {
            ChangeKind::Present => trimming.present.insert(&change.path),
            ChangeKind::Removed => trimming.gone.insert(&change.path),
        };
        trimming.present.extend(parents(&change.path));
    }
    let tells_root = changes.first().is_some_and(|change| change.path.is_empty());
    let noted = if tells_root { unmark(&root, ROOT_IS_IMPLIED) } else { mark(&root, ROOT_IS_IMPLIED, b"y") };
    noted.map_err(failed(b""))?;
    trimming.directory(&root, b"")?;
    Ok(trimming.standing)
}

struct Trimming<'a> {
    /// What changed, and the directories above all changes.
    present: BTreeSet<&'a [u8]>,
    gone: BTreeSet<&'a [u8]>,
    standing: Standing,
}

impl Trimming<'_> {
    fn directory(&mut self, directory: &OwnedFd, path: &[u8]) -> Result<(), Error> {
        for name in names_in(directory).map_err(failed(path))? {
            let path = join(path, &name);
            if let Some(child) = self.child(directory, &name, &path).map_err(failed(&path))? {
                self.directory(&child, &path)?;
            }
        }
        Ok(())
    }

    /// Looks after one name; returns the directory that is to be looked into.
    fn child(&mut self, parent: &OwnedFd, name: &[u8], path: &[u8]) -> io::Result<Option<OwnedFd>> {
        let Some(stat) = stat_child(parent, name)? else { return Ok(None) };
        let counts = match is_overlay_whiteout(&stat) {
            true => self.gone.contains(path),
            false => self.present.contains(path),
        };
        if !counts {
            remove(parent, name, &|_| false, 0)?;
            return Ok(None);
        }
        if kind_of(&stat) != FileType::Directory {
            return Ok(None);
        }
        let child = open_child(parent, name)?;
        if is_opaque(&child)? {
            self.standing = Standing::AboveItsOwn;
            return Ok(None);
        }
        Ok(Some(child))
    }
}

fn failed(path: &[u8]) -> impl FnOnce(io::Error) -> Error {
    let path = shown(path);
    move |source| Error::Io { action: "tidy", path, source }
}
