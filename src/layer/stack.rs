//! Several layers seen as one root, without mounting them.
//!
//! Each layer is a directory in the form that the kernel's overlay mounts take: what is gone is a character device
//! 0:0, and a directory that hides those below it has an attribute that says so. Whatever links say, nothing outside
//! is reached: every step is taken from an open directory and follows nothing by itself. Nothing is written here, and
//! no file is read that nobody asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{FileType, Stat, fstat, major, minor};

use super::rooted::{
    MAX_DEPTH, MAX_LINKS, Root, entries_in, has_mark, id_of, is_opaque_child, is_overlay_whiteout, join,
    kind_of, open_child, open_file, read_link, split, stat_child, xattrs_of,
};
use super::{Entry, Error, Kind, Metadata, shown};

/// Says of a layer's directory that the layer itself says nothing of the root's own mode and owner.
pub(super) const ROOT_IS_IMPLIED: &str = "implied";

/// Layers, seen as one root.
pub struct Stack {
    /// Highest first.
    layers: Vec<Arc<OwnedFd>>,
}

/// What is done with a symbolic link at the end of a path; those on the way are always followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastLink {
    /// It is followed.
    Followed,
    /// It is what was asked for.
    Kept,
}

impl Stack {
    /// Opens layers, lowest first.
    pub fn open(layers: &[impl AsRef<Path>]) -> Result<Stack, Error> {
        let open = |path: &Path| {
            let opened = Root::open(path).and_then(|root| root.directory(b""));
            let error = |source| Error::Io { action: "open", path: path.display().to_string(), source };
            opened.map(Arc::new).map_err(error)
        };
        let layers = layers.iter().rev().map(|path| open(path.as_ref())).collect::<Result<_, _>>()?;
        Ok(Stack { layers })
    }

    /// Returns the same stack with another layer on top.
    pub(super) fn with(&self, top: &OwnedFd) -> io::Result<Stack> {
        let top = Arc::new(top.try_clone()?);
        Ok(Stack { layers: [top].into_iter().chain(self.layers.iter().cloned()).collect() })
    }

    /// Returns the root, unless there are no layers.
    pub fn root(&self) -> Result<Option<Node>, Error> {
        let Some(top) = self.layers.first() else { return Ok(None) };
        let stat = self.root_stat(top).map_err(failed(b""))?;
        Ok(Some(Node { path: Vec::new(), stat, holders: self.layers.clone() }))
    }

    /// Returns what `path` leads to, from the root; none where nothing is there. Links lead where they lead for
    /// somebody to whom the root is `/`.
    pub fn find(&self, path: impl AsRef<[u8]>, last: LastLink) -> Result<Option<Node>, Error> {
        let path = path.as_ref();
        let Some(root) = self.root()? else { return Ok(None) };
        let mut trail = vec![root];
        let mut names = names_of(path);
        let mut n_links = 0;
        while let Some(name) = names.pop() {
            let here = trail.last().filter(|here| here.is_directory());
            let Some(here) = here else { return Ok(None) };
            match name.as_slice() {
                b"" | b"." => continue,
                b".." => {
                    trail.truncate(trail.len().saturating_sub(1).max(1));
                    continue;
                }
                _ => {}
            }
            let Some(child) = here.child(&name)? else { return Ok(None) };
            if !child.is_symlink() || names.is_empty() && last == LastLink::Kept {
                trail.push(child);
                continue;
            }
            n_links += 1;
            if n_links > MAX_LINKS {
                return Err(Error::TooManyLinks { path: shown(path) });
            }
            let target = child.link_target()?;
            if target.starts_with(b"/") {
                trail.truncate(1);
            }
            names.extend(names_of(&target));
        }
        Ok(trail.pop())
    }

    /// Returns the path that `path` leads to.
    pub fn resolve(&self, path: impl AsRef<[u8]>, last: LastLink) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.find(path, last)?.map(|node| node.path))
    }

    /// Returns the content of the regular file that `path` leads to; none where there is none, or a longer one than
    /// `limit`.
    pub fn read(&self, path: impl AsRef<[u8]>, limit: u64) -> Result<Option<Vec<u8>>, Error> {
        match self.find(path, LastLink::Followed)? {
            Some(node) if node.is_file() && node.size() <= limit => {
                let mut content = Vec::new();
                let read = node.open()?.take(limit).read_to_end(&mut content);
                read.map_err(|source| Error::Io { action: "read", path: shown(&node.path), source })?;
                Ok(Some(content))
            }
            _ => Ok(None),
        }
    }

    /// Makes a directory for the changes above these layers; it has the root's mode, owner and attributes.
    pub fn make_upper(&self, path: &Path) -> Result<(), Error> {
        super::make_root(path)?;
        let Some(root) = self.root()? else { return Ok(()) };
        let opened = Root::open(path).and_then(|root| root.directory(b"")).map_err(failed(b""))?;
        super::apply::set_metadata(&opened, &root.metadata()?).map_err(failed(b""))
    }

    /// Describes the root as the highest layer does that says something of it.
    fn root_stat(&self, top: &OwnedFd) -> io::Result<Stat> {
        for layer in &self.layers {
            if !has_mark(layer, ROOT_IS_IMPLIED)? {
                return Ok(fstat(layer)?);
            }
        }
        Ok(fstat(top)?)
    }
}

/// The last name first. An empty one stands for the directory it is in, as at the end of `link/`.
fn names_of(path: &[u8]) -> Vec<Vec<u8>> {
    path.split(|&byte| byte == b'/').rev().map(<[u8]>::to_vec).collect()
}

/// What lies at a path of a [`Stack`].
#[derive(Clone)]
pub struct Node {
    path: Vec<u8>,
    stat: Stat,
    /// The directories that hold it, highest first: of a directory several may. The root's are its own.
    holders: Vec<Arc<OwnedFd>>,
}

impl Node {
    /// Returns where it lies, relative to the root, in the form of [`Entry::path`]; no link is on the way.
    pub fn path(&self) -> &[u8] {
        &self.path
    }

    /// Whether it is a directory.
    pub fn is_directory(&self) -> bool {
        self.file_type() == FileType::Directory
    }

    /// Whether it is a regular file.
    pub fn is_file(&self) -> bool {
        self.file_type() == FileType::RegularFile
    }

    /// Whether it is a symbolic link.
    pub fn is_symlink(&self) -> bool {
        self.file_type() == FileType::Symlink
    }

    /// Returns the length of a file's content in bytes.
    pub fn size(&self) -> u64 {
        u64::try_from(self.stat.st_size).unwrap_or(0)
    }

    /// Returns what tells a file from all others: two paths with the same are hard links to each other.
    pub fn id(&self) -> (u64, u64) {
        id_of(&self.stat)
    }

    /// Returns how many names the file has in its layer; some may not be seen.
    pub fn n_links(&self) -> u64 {
        #[allow(clippy::useless_conversion, reason = "the type of a link count is not the same everywhere")]
        self.stat.st_nlink.into()
    }

    /// Returns mode, owner, time and extended attributes.
    pub fn metadata(&self) -> Result<Metadata, Error> {
        Ok(self.entry()?.metadata)
    }

    /// Returns the extended attributes that belong into a layer.
    pub fn xattrs(&self) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, Error> {
        Ok(self.entry()?.metadata.xattrs)
    }

    /// Returns what a layer would say of it. That it has other names is not told.
    pub fn entry(&self) -> Result<Entry, Error> {
        let holder = self.holder().ok_or_else(|| failed(&self.path)(io::ErrorKind::NotFound.into()))?;
        let entry = entry_of(holder, self.name(), &self.stat).map_err(failed(&self.path))?;
        Ok(Entry { path: self.path.clone(), ..entry })
    }

    /// Returns where a symbolic link points, as it is written in the link.
    pub fn link_target(&self) -> Result<Vec<u8>, Error> {
        let target = self.holder().map_or(Ok(Vec::new()), |holder| read_link(holder, self.name()));
        target.map_err(failed(&self.path))
    }

    /// Opens a regular file.
    pub fn open(&self) -> Result<File, Error> {
        let Some(holder) = self.holder().filter(|_| self.is_file()) else {
            return Err(failed(&self.path)(io::Error::other("it is no regular file")));
        };
        open_file(holder, self.name()).map_err(failed(&self.path))
    }

    /// Returns the names in a directory, sorted.
    pub fn names(&self) -> Result<Vec<Vec<u8>>, Error> {
        self.enter()?.names()
    }

    /// Returns what is in a directory, sorted by name.
    pub fn children(&self) -> Result<Vec<Node>, Error> {
        let inside = self.enter()?;
        let children = inside.names()?.into_iter().map(|name| inside.child(&name));
        children.filter_map(Result::transpose).collect()
    }

    /// Returns what goes by `name` in a directory. Sockets are as good as absent.
    pub fn child(&self, name: &[u8]) -> Result<Option<Node>, Error> {
        self.enter()?.child(name)
    }

    /// Shows what lies in a directory to `visitor`, and what lies in those, each before what is in it, sorted by name.
    /// Where the answer is no, what lies in there is passed over.
    pub fn walk(&self, visitor: &mut dyn FnMut(&Node) -> Result<bool, Error>) -> Result<(), Error> {
        self.walk_to_depth(visitor, 0)
    }

    fn walk_to_depth(
        &self,
        visitor: &mut dyn FnMut(&Node) -> Result<bool, Error>,
        depth: usize,
    ) -> Result<(), Error> {
        if depth >= MAX_DEPTH {
            return Err(failed(&self.path)(io::Error::other("the directories are nested too deep")));
        }
        let inside = self.enter()?;
        for name in inside.names()? {
            let Some(child) = inside.child(&name)? else { continue };
            if visitor(&child)? && child.is_directory() {
                child.walk_to_depth(visitor, depth + 1)?;
            }
        }
        Ok(())
    }

    /// Opens the directories that make up this one.
    pub(super) fn enter(&self) -> Result<Inside, Error> {
        let directories = match self.name() {
            b"" => Ok(self.holders.clone()),
            name => self.holders.iter().map(|holder| open_child(holder, name).map(Arc::new)).collect(),
        };
        let directories = directories.map_err(failed(&self.path))?;
        Ok(Inside { path: self.path.clone(), directories })
    }

    pub(super) fn stat(&self) -> &Stat {
        &self.stat
    }

    /// Returns the directory that it is found in, under [`Node::name`].
    pub(super) fn holder(&self) -> Option<&OwnedFd> {
        self.holders.first().map(Arc::as_ref)
    }

    /// Returns its name; none is the root's.
    pub(super) fn name(&self) -> &[u8] {
        split(&self.path).1
    }

    fn file_type(&self) -> FileType {
        kind_of(&self.stat)
    }
}

/// Returns what a layer would say of `name` in a directory, described by `stat`, but for its path.
pub(super) fn entry_of(holder: &OwnedFd, name: &[u8], stat: &Stat) -> io::Result<Entry> {
    let (major, minor) = (major(stat.st_rdev), minor(stat.st_rdev));
    let kind = match kind_of(stat) {
        FileType::Directory => Kind::Directory,
        FileType::Symlink => Kind::Symlink { target: read_link(holder, name)? },
        FileType::CharacterDevice => Kind::CharDevice { major, minor },
        FileType::BlockDevice => Kind::BlockDevice { major, minor },
        FileType::Fifo => Kind::Fifo,
        FileType::RegularFile | FileType::Socket | FileType::Unknown => {
            Kind::File { size: u64::try_from(stat.st_size).unwrap_or(0) }
        }
    };
    let xattrs = xattrs_of(holder.as_fd(), name)?;
    let metadata = Metadata {
        mode: stat.st_mode & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
        mtime: stat.st_mtime,
        xattrs,
    };
    Ok(Entry { path: Vec::new(), kind, metadata })
}

/// A directory of a [`Stack`], opened.
pub(super) struct Inside {
    path: Vec<u8>,
    /// Those that make it up, highest first.
    directories: Vec<Arc<OwnedFd>>,
}

impl Inside {
    pub(super) fn names(&self) -> Result<Vec<Vec<u8>>, Error> {
        merged_names(&self.directories).map_err(failed(&self.path))
    }

    pub(super) fn child(&self, name: &[u8]) -> Result<Option<Node>, Error> {
        let path = join(&self.path, name);
        let found = find_in(&self.directories, name).map_err(failed(&path))?;
        Ok(found.map(|(stat, holders)| Node { path, stat, holders }))
    }
}

/// Finds what goes by `name` in directories that lie above each other, and which of them make it up.
fn find_in(directories: &[Arc<OwnedFd>], name: &[u8]) -> io::Result<Option<(Stat, Vec<Arc<OwnedFd>>)>> {
    let mut found: Option<(Stat, Vec<Arc<OwnedFd>>)> = None;
    for (index, directory) in directories.iter().enumerate() {
        let Some(stat) = stat_child(directory, name)? else { continue };
        let is_directory = kind_of(&stat) == FileType::Directory;
        match &mut found {
            Some((_, holders)) if is_directory => holders.push(directory.clone()),
            Some(_) => break,
            None if is_overlay_whiteout(&stat) || kind_of(&stat) == FileType::Socket => return Ok(None),
            None => found = Some((stat, vec![directory.clone()])),
        }
        let is_last = index + 1 == directories.len();
        if !is_directory || !is_last && is_opaque_child(directory.as_fd(), name)? {
            break;
        }
    }
    Ok(found)
}

fn merged_names(directories: &[Arc<OwnedFd>]) -> io::Result<Vec<Vec<u8>>> {
    let mut names = BTreeSet::new();
    let mut hidden = BTreeSet::new();
    for directory in directories {
        for (name, kind) in entries_in(directory)? {
            if names.contains(&name) || hidden.contains(&name) {
                continue;
            }
            let may_hide = !matches!(kind, FileType::RegularFile | FileType::Directory | FileType::Symlink);
            match may_hide && hides(directory, &name)? {
                true => hidden.insert(name),
                false => names.insert(name),
            };
        }
    }
    Ok(names.into_iter().collect())
}

fn hides(directory: &OwnedFd, name: &[u8]) -> io::Result<bool> {
    let stat = stat_child(directory, name)?;
    Ok(stat.is_none_or(|stat| is_overlay_whiteout(&stat) || kind_of(&stat) == FileType::Socket))
}

fn failed(path: &[u8]) -> impl FnOnce(io::Error) -> Error {
    let path = shown(path);
    move |source| Error::Io { action: "look at", path, source }
}
