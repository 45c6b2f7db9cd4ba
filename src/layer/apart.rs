//! Unpacking a layer into a directory of its own, in the form that overlay mounts take.
//!
//! The directory says the same as the layer, whatever lies below: directories that the layer has no entry for, but
//! something in, look as they do below, and so does a file that the layer only gives another name. Where the layers
//! below had to be asked for that, the directory is good above them only.

use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, fstat, mkdirat, unlinkat};
use rustix::io::Errno;

use super::apply::{Unpack, Unpacker};
use super::entry::Whiteout;
use super::rooted::{
    MAX_LINKS, Root, hide_name, is_opaque, is_overlay_whiteout, join, join_link, kind_of, make_opaque, mark,
    names_in, open_child, remove, split, stat_child,
};
use super::stack::{LastLink, Node, ROOT_IS_IMPLIED, Stack};
use super::{Entry, Error, Kind, archive, shown};

/// Whether the directory of a layer says the same above any layers, or above its own only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Above any.
    Alone,
    /// Above those that were below when it was made.
    AboveItsOwn,
}

/// Unpacks a layer, uncompressed, into an empty `directory` of its own, and reads `tar` to its end. `below` opens the
/// layers below, if need be.
pub fn unpack_apart(
    tar: impl Read,
    directory: &Path,
    below: &mut dyn FnMut() -> Result<Stack, Error>,
) -> Result<Standing, Error> {
    let opened = Root::open(directory).and_then(|root| Ok((root.directory(b"")?, root)));
    let (top, root) = opened.map_err(|source| Error::Io {
        action: "open",
        path: directory.display().to_string(),
        source,
    })?;
    let unpacker = Unpacker::new(root, Unpack::LAYER);
    let mut apart = Apart { unpacker, top, below, merged: None, late_links: Vec::new(), tells_root: false };
    archive::read(tar, &mut |entry, content| apart.entry(entry, content))?;
    apart.finish()
}

struct Apart<'a> {
    unpacker: Unpacker,
    top: OwnedFd,
    below: &'a mut dyn FnMut() -> Result<Stack, Error>,
    /// The layers below, once they were asked for, with this one on top.
    merged: Option<Stack>,
    /// Hard links whose file had not come yet.
    late_links: Vec<Entry>,
    /// Whether the layer says what the root itself is like.
    tells_root: bool,
}

impl Apart<'_> {
    fn entry(&mut self, entry: &Entry, content: &mut dyn Read) -> Result<(), Error> {
        match Whiteout::of(&entry.path)? {
            None if entry.path.is_empty() => {
                self.tells_root = true;
                self.unpacker.root_itself(entry)
            }
            None => self.make(entry, content),
            Some(Whiteout::Removed(path)) => self.hide(&path),
            Some(Whiteout::Opaque(b"")) => self.hide_all_in_root(),
            Some(Whiteout::Opaque(path)) => self.hide_all_in(path),
            Some(Whiteout::Ignored) => Ok(()),
        }
    }

    fn finish(mut self) -> Result<Standing, Error> {
        for entry in std::mem::take(&mut self.late_links) {
            self.make(&entry, &mut io::empty())?;
        }
        if let Some(link) = self.late_links.first() {
            return Err(failed("link", &link.path)(io::ErrorKind::NotFound.into()));
        }
        if !self.tells_root {
            mark(&self.top, ROOT_IS_IMPLIED, b"y").map_err(failed("set up", b""))?;
        }
        self.unpacker.finish()?;
        Ok(if self.merged.is_some() { Standing::AboveItsOwn } else { Standing::Alone })
    }

    fn make(&mut self, entry: &Entry, content: &mut dyn Read) -> Result<(), Error> {
        if let (Kind::CharDevice { major: 0, minor: 0 }, path) = (&entry.kind, shown(&entry.path)) {
            let reason = "an overlay mount takes a device 0:0 for a name that is gone".into();
            return Err(Error::Refused { path, reason });
        }
        let (directory, name) = split(&entry.path);
        let directory = self.directory(directory)?;
        let mut entry = Entry { path: join(&directory, name), ..entry.clone() };
        if let Kind::Hardlink { target } = &entry.kind {
            match self.link_target(target)? {
                Some(target) => entry.kind = Kind::Hardlink { target },
                None => {
                    self.late_links.push(entry);
                    return Ok(());
                }
            }
        }
        let hides = entry.kind == Kind::Directory && self.clear(&directory, name)?;
        self.unpacker.make(&entry, content)?;
        match hides {
            true => {
                let opened = self.unpacker.root.exact_directory(&entry.path);
                opened.and_then(make_opaque).map_err(failed("set up", &entry.path))
            }
            false => Ok(()),
        }
    }

    /// Makes room for a directory; returns whether something else stood there, which took away what lies below.
    fn clear(&self, directory: &[u8], name: &[u8]) -> Result<bool, Error> {
        let path = join(directory, name);
        let clear = || {
            let parent = self.open(directory)?;
            let stat = stat_child(&parent, name)?;
            let is_in_the_way = stat.is_some_and(|stat| kind_of(&stat) != FileType::Directory);
            if is_in_the_way {
                unlinkat(&parent, name, AtFlags::empty())?;
            }
            Ok(is_in_the_way)
        };
        clear().map_err(failed("replace", &path))
    }

    /// Returns where the file is that a hard link names, which is in this layer then; none where there is no such file.
    fn link_target(&mut self, target: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        let (directory, name) = split(target);
        if let Ok(parent) = self.unpacker.root.exact_directory(directory)
            && stat_child(&parent, name)
                .is_ok_and(|stat| stat.is_some_and(|stat| !is_overlay_whiteout(&stat)))
        {
            return Ok(Some(target.to_vec()));
        }
        match self.merged()?.find(target, LastLink::Kept)? {
            Some(node) if node.is_directory() => {
                Err(failed("link", target)(io::ErrorKind::IsADirectory.into()))
            }
            Some(node) => self.copy_up(&node).map(Some),
            None => Ok(None),
        }
    }

    /// Brings a file of the layers below into this one, unless it is there; it doesn't count as brought by this one.
    fn copy_up(&mut self, node: &Node) -> Result<Vec<u8>, Error> {
        let (directory, name) = split(node.path());
        self.directory(directory)?;
        let failed = || failed("copy", node.path());
        let parent = self.open(directory).map_err(failed())?;
        if stat_child(&parent, name).map_err(failed())?.is_some() {
            return Ok(node.path().to_vec());
        }
        match node.is_file() {
            true => self.unpacker.make(&node.entry()?, &mut node.open()?)?,
            false => self.unpacker.make(&node.entry()?, &mut io::empty())?,
        }
        let stat = stat_child(&parent, name).map_err(failed())?;
        self.unpacker.forget_fresh(stat.as_ref());
        Ok(node.path().to_vec())
    }

    /// Returns where `path`, a directory, really is, and makes what is missing of it in this layer.
    fn directory(&mut self, path: &[u8]) -> Result<Vec<u8>, Error> {
        match self.unpacker.has_open(path) || self.unpacker.root.exact_directory(path).is_ok() {
            true => Ok(path.to_vec()),
            false => self.make_directory(path, MAX_LINKS),
        }
    }

    fn make_directory(&mut self, path: &[u8], n_links: usize) -> Result<Vec<u8>, Error> {
        if n_links == 0 {
            return Err(failed("open", path)(Errno::LOOP.into()));
        }
        let mut here = Vec::new();
        for name in path.split(|&byte| byte == b'/') {
            match name {
                b"" | b"." => continue,
                b".." => {
                    here = split(&here).0.to_vec();
                    continue;
                }
                _ => {}
            }
            let child = join(&here, name);
            here = match self.merged()?.find(&child, LastLink::Kept)? {
                Some(node) if node.is_directory() => self.copy_directory_up(&node)?,
                Some(node) if node.is_symlink() => {
                    self.make_directory(&join_link(&here, &node.link_target()?), n_links - 1)?
                }
                Some(_) => return Err(failed("open", path)(io::ErrorKind::NotADirectory.into())),
                None => self.make_missing(&here, name)?,
            };
        }
        Ok(here)
    }

    fn copy_directory_up(&mut self, node: &Node) -> Result<Vec<u8>, Error> {
        if self.unpacker.root.exact_directory(node.path()).is_err() {
            self.unpacker.make(&node.entry()?, &mut io::empty())?;
            self.unpacker.forget_fresh(Some(&self.stat(node.path())?));
        }
        Ok(node.path().to_vec())
    }

    /// Makes a directory that is missing in all layers: root's, 0755, of 1970.
    fn make_missing(&mut self, parent: &[u8], name: &[u8]) -> Result<Vec<u8>, Error> {
        let path = join(parent, name);
        let hides = self.clear(parent, name)?;
        let make = |apart: &mut Self| {
            let directory = apart.open(parent)?;
            apart.unpacker.note_time(parent, &directory)?;
            mkdirat(&directory, name, Mode::from_raw_mode(0o755))?;
            let made = open_child(&directory, name)?;
            rustix::fs::fchmod(&made, Mode::from_raw_mode(0o755))?;
            super::rooted::set_mtime(&made, 0)?;
            if hides { make_opaque(&made) } else { Ok(()) }
        };
        make(self).map_err(failed("make", &path))?;
        Ok(path)
    }

    fn hide(&mut self, path: &[u8]) -> Result<(), Error> {
        let (directory, name) = split(path);
        let Some(directory) = self.existing_directory(directory)? else { return Ok(()) };
        self.hide_in(&directory, name).map_err(failed("remove", path))
    }

    fn hide_in(&mut self, directory: &[u8], name: &[u8]) -> io::Result<()> {
        let parent = self.open(directory)?;
        self.unpacker.forget_parent();
        self.unpacker.note_time(directory, &parent)?;
        if remove(&parent, name, &|id| self.unpacker.is_fresh(id), 0)? {
            // What this layer brought stays, and hides the rest.
            let stat = stat_child(&parent, name)?;
            return match stat.is_some_and(|stat| kind_of(&stat) == FileType::Directory) {
                true => make_opaque(open_child(&parent, name)?),
                false => Ok(()),
            };
        }
        if is_opaque(&parent)? { Ok(()) } else { hide_name(&parent, name) }
    }

    fn hide_all_in(&mut self, path: &[u8]) -> Result<(), Error> {
        let Some(path) = self.existing_directory(path)? else { return Ok(()) };
        let hide = |apart: &mut Self| {
            let directory = apart.open(&path)?;
            apart.unpacker.forget_parent();
            apart.unpacker.note_time(&path, &directory)?;
            for name in names_in(&directory)? {
                remove(&directory, &name, &|id| apart.unpacker.is_fresh(id), 0)?;
            }
            make_opaque(&directory)
        };
        hide(self).map_err(failed("empty", &path))
    }

    /// An overlay mount's root hides nothing by itself.
    fn hide_all_in_root(&mut self) -> Result<(), Error> {
        let root = self.merged()?.root()?;
        let names = root.map_or_else(|| Ok(Vec::new()), |root| root.names())?;
        names.iter().try_for_each(|name| self.hide_in(b"", name)).map_err(failed("empty", b""))
    }

    /// As [`Apart::directory`], but makes nothing that is missing in all layers.
    fn existing_directory(&mut self, path: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        if self.unpacker.root.exact_directory(path).is_ok() {
            return Ok(Some(path.to_vec()));
        }
        match self.merged()?.find(path, LastLink::Followed)? {
            Some(node) if node.is_directory() => self.directory(node.path()).map(Some),
            Some(_) | None => Ok(None),
        }
    }

    fn merged(&mut self) -> Result<&Stack, Error> {
        if self.merged.is_none() {
            let below = (self.below)()?;
            self.merged = Some(below.with(&self.top).map_err(failed("open", b""))?);
        }
        self.merged.as_ref().ok_or_else(|| Error::Misuse("the layers below are gone".into()))
    }

    fn open(&self, directory: &[u8]) -> io::Result<OwnedFd> {
        self.unpacker.root.exact_directory(directory)
    }

    fn stat(&self, directory: &[u8]) -> Result<rustix::fs::Stat, Error> {
        let opened = self.unpacker.root.exact_directory(directory);
        opened.and_then(|opened| Ok(fstat(opened.as_fd())?)).map_err(failed("look at", directory))
    }
}

fn failed(action: &'static str, path: &[u8]) -> impl FnOnce(io::Error) -> Error {
    let path = shown(path);
    move |source| Error::Io { action, path, source }
}
