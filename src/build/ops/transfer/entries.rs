//! Entries of the context, as a tree that things are taken out of.

use std::collections::BTreeMap;
use std::rc::Rc;

use anyhow::{Result, bail};

use super::Taken;
use super::content::Bytes;
use crate::bom::{self, FileSource};
use crate::build::graph::{ContextEntry, ContextKind, ContextTree};
use crate::build::tree::{Form, Node, join, split};
use crate::layer::{Entry, Kind};

/// A tree of the context, by its paths.
#[derive(Clone)]
pub(super) struct Entries<'a>(Rc<Index<'a>>);

struct Index<'a> {
    tree: &'a ContextTree,
    entries: BTreeMap<&'a [u8], &'a ContextEntry>,
    /// The names in directories, sorted.
    names: BTreeMap<&'a [u8], Vec<&'a [u8]>>,
    /// The first names of files that have several, with a number.
    shared: BTreeMap<&'a str, u64>,
}

/// A path in it.
#[derive(Clone)]
pub(super) struct Place<'a> {
    index: Rc<Index<'a>>,
    path: Vec<u8>,
    /// None at the top.
    entry: Option<&'a ContextEntry>,
}

impl<'a> Entries<'a> {
    pub(super) fn new(tree: &'a ContextTree) -> Entries<'a> {
        let (entries, names, shared) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let mut index = Index { tree, entries, names, shared };
        for entry in &tree.entries {
            let (directory, name) = split(entry.path.as_bytes());
            index.names.entry(directory).or_default().push(name);
            index.entries.insert(entry.path.as_bytes(), entry);
            if let ContextKind::Hardlink { target } = &entry.kind {
                let number = index.shared.len() as u64;
                index.shared.entry(target).or_insert(number);
            }
        }
        index.names.values_mut().for_each(|names| names.sort_unstable());
        Entries(Rc::new(index))
    }

    pub(super) fn top(&self) -> Place<'a> {
        Place { index: self.0.clone(), path: Vec::new(), entry: None }
    }
}

impl<'a> Place<'a> {
    /// Returns the entry that has a file's bytes.
    fn file(&self) -> Option<&'a ContextEntry> {
        match &self.entry?.kind {
            ContextKind::Hardlink { target } => self.index.entries.get(target.as_bytes()).copied(),
            ContextKind::File { .. } => self.entry,
            ContextKind::Directory
            | ContextKind::Symlink { .. }
            | ContextKind::CharDevice { .. }
            | ContextKind::BlockDevice { .. }
            | ContextKind::Fifo => None,
        }
    }
}

impl Node for Place<'_> {
    fn path(&self) -> &[u8] {
        &self.path
    }

    fn form(&self) -> Result<Form> {
        Ok(match self.entry.map(|entry| &entry.kind) {
            None | Some(ContextKind::Directory) => Form::Directory,
            Some(ContextKind::Symlink { target }) => Form::Symlink(target.clone().into_bytes()),
            Some(_) => Form::Other,
        })
    }

    fn child(&self, name: &[u8]) -> Result<Option<Self>> {
        let path = join(&self.path, name);
        let entry = self.index.entries.get(path.as_slice()).copied();
        Ok(entry.map(|entry| Place { index: self.index.clone(), path, entry: Some(entry) }))
    }

    fn children(&self) -> Result<Vec<Self>> {
        let names = self.index.names.get(self.path.as_slice());
        names.into_iter().flatten().filter_map(|name| self.child(name).transpose()).collect()
    }
}

impl Taken for Place<'_> {
    fn entry(&self) -> Result<Entry> {
        let mode = self.entry.map_or(0o755, |entry| entry.mode);
        let kind = match self.entry.map(|entry| &entry.kind) {
            None | Some(ContextKind::Directory) => Kind::Directory,
            Some(ContextKind::Symlink { target }) => Kind::Symlink { target: target.clone().into_bytes() },
            Some(ContextKind::CharDevice { major, minor }) => {
                Kind::CharDevice { major: *major, minor: *minor }
            }
            Some(ContextKind::BlockDevice { major, minor }) => {
                Kind::BlockDevice { major: *major, minor: *minor }
            }
            Some(ContextKind::Fifo) => Kind::Fifo,
            Some(ContextKind::File { .. } | ContextKind::Hardlink { .. }) => {
                match self.file().map(|file| &file.kind) {
                    Some(ContextKind::File { size, .. }) => Kind::File { size: *size },
                    _ => bail!("internal error: a hard link of the context leads nowhere"),
                }
            }
        };
        // When a checkout was made says nothing of its content: it takes the image's time.
        let mut entry = Entry { path: Vec::new(), kind, metadata: Default::default() };
        (entry.metadata.mode, entry.metadata.mtime) = (mode, i64::MAX);
        Ok(entry)
    }

    fn identity(&self) -> Option<(u64, u64)> {
        let file = self.file()?;
        self.index.shared.get(file.path.as_str()).map(|number| (0, *number))
    }

    fn bytes(&self) -> Result<(Bytes, FileSource)> {
        let Some(ContextEntry { path, kind: ContextKind::File { digest, .. }, .. }) = self.file() else {
            bail!("internal error: no file of the context");
        };
        let named = self.index.tree.in_context(&String::from_utf8_lossy(&self.path));
        let context = bom::ContextFile {
            path: named,
            name: self.index.tree.context.clone(),
            unversioned: true,
            ..bom::ContextFile::default()
        };
        let source = FileSource { context: Some(Box::new(context)), ..FileSource::default() };
        Ok((Bytes::Context(self.index.tree.in_context(path), *digest), source))
    }
}
