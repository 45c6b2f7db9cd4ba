//! The files of a commit, as `git checkout` would make them: with its submodules, and with `.git` where that is wanted.
//!
//! Nothing is written where a tree says: names and contents are handed out, once they were found harmless.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use gix::ObjectId;
use gix::bstr::BStr;
use gix::hash::Kind as Hash;
use gix::objs::tree::EntryKind;
use gix::objs::{Kind, TreeRefIter};
use gix::validate::path::component;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::objects::{Objects, Section};
use super::remote::{Remote, blocking};
use super::{directory, modules};

/// No repository has more files and directories.
const MOST_ENTRIES: usize = 1_000_000;
/// No path and no link is longer.
const LONGEST_PATH: usize = 4095;
/// No more repositories are in each other.
const DEEPEST: usize = 8;
/// No repository has more submodules in all.
const MOST_SUBMODULES: usize = 256;
const LARGEST_GITMODULES: u64 = 1 << 20;

/// What is wanted of a repository.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// The commit, or a tag of one.
    pub commit: String,
    /// The annotated tag that leads to it, for `.git`.
    pub tag: Option<String>,
    /// The full name of the ref that led to it.
    pub reference: Option<String>,
    /// The directory whose content is wanted; empty for the whole.
    pub subdir: String,
    /// Whether `.git` is wanted, too.
    pub keeps_git_dir: bool,
    /// Whether the content of submodules is wanted.
    pub has_submodules: bool,
}

/// Something in a commit.
pub enum Leaf {
    /// A directory.
    Directory,
    /// A file.
    File {
        /// Its permissions.
        mode: u32,
        /// Its bytes.
        content: Content,
    },
    /// A symbolic link.
    Symlink {
        /// What it says.
        target: Vec<u8>,
    },
}

/// The bytes of a file.
pub enum Content {
    /// On disk.
    Section(Section),
    /// Here.
    Bytes(Vec<u8>),
}

impl Content {
    /// Returns how many there are.
    pub fn size(&self) -> u64 {
        match self {
            Content::Section(section) => section.size(),
            Content::Bytes(bytes) => bytes.len() as u64,
        }
    }

    /// Opens them.
    pub fn open(&self) -> Box<dyn Read + '_> {
        match self {
            Content::Section(section) => Box::new(section.clone()),
            Content::Bytes(bytes) => Box::new(Cursor::new(bytes)),
        }
    }
}

/// What a commit holds.
#[derive(Default)]
pub struct Checkout {
    /// By path, sorted.
    pub leaves: BTreeMap<Vec<u8>, Leaf>,
    /// Addresses and commits of its submodules, by path.
    submodules: BTreeMap<Vec<u8>, (String, String)>,
}

impl Checkout {
    /// Returns address and commit of the submodule that a path is in, if it is in one.
    pub fn origin(&self, path: &[u8]) -> Option<(&str, &str)> {
        let ends = (0..path.len()).rev().filter(|&end| path[end] == b'/').chain([0]);
        let (url, commit) = ends.into_iter().find_map(|end| self.submodules.get(&path[..end]))?;
        Some((url, commit))
    }
}

/// Fetches a commit; what is on disk meanwhile lies in `directory`.
///
/// # Errors
/// When the server does not hand it out, or it holds what no root may.
pub async fn checkout(remote: &Remote, wanted: &Wanted, directory: &Path) -> Result<Checkout> {
    let (remote, wanted, directory) = (remote.clone(), wanted.clone(), directory.to_path_buf());
    blocking(move |runtime, cancel| {
        let mut walk = Walk { runtime, cancel, directory, checkout: Checkout::default() };
        walk.repository(&remote, &wanted)?;
        below(walk.checkout, &wanted.subdir)
    })
    .await
}

/// What git keeps of one file of a commit.
pub(super) struct Tracked {
    pub(super) path: Vec<u8>,
    pub(super) mode: u32,
    pub(super) id: ObjectId,
}

/// What one commit of one repository holds.
#[derive(Default)]
pub(super) struct Tree {
    /// Its directories.
    pub(super) trees: Vec<ObjectId>,
    /// Its files, links and submodules.
    pub(super) tracked: Vec<Tracked>,
}

struct Walk {
    runtime: Handle,
    cancel: CancellationToken,
    directory: PathBuf,
    checkout: Checkout,
}

impl Walk {
    fn repository(&mut self, remote: &Remote, wanted: &Wanted) -> Result<()> {
        let keeps_git_dir = wanted.keeps_git_dir && wanted.subdir.is_empty();
        let tag = wanted.tag.as_deref().filter(|_| keeps_git_dir);
        let id = id(tag.unwrap_or(&wanted.commit))?;
        let (objects, commit) = self.fetch(remote, &id, wanted.reference.as_deref())?;
        let tree = self.commit(&objects, &commit, b"")?;
        if keeps_git_dir {
            let origin = directory::Origin { url: remote.url(), reference: wanted.reference.as_deref(), id };
            let files = directory::files(&objects, &commit, &tree, &origin, &self.directory)?;
            files.into_iter().try_for_each(|(path, leaf)| self.put(path, leaf))?;
        }
        match wanted.has_submodules {
            true => self.submodules(remote, &tree, b"", 1),
            false => Ok(()),
        }
    }

    fn fetch(&self, remote: &Remote, id: &ObjectId, reference: Option<&str>) -> Result<(Objects, ObjectId)> {
        let objects = remote.fetch(id, reference, &self.directory, &self.runtime, &self.cancel)?;
        let commit = objects.peeled(id)?;
        Ok((objects, commit))
    }

    /// Puts what a commit holds below a directory.
    fn commit(&mut self, objects: &Objects, commit: &ObjectId, top: &[u8]) -> Result<Tree> {
        let mut found = Tree::default();
        let mut waiting = vec![(top.to_vec(), objects.commit(commit)?.0)];
        while let Some((directory, id)) = waiting.pop() {
            found.trees.push(id);
            let bytes = objects.read(&id, Kind::Tree)?;
            for entry in TreeRefIter::from_bytes(&bytes, Hash::Sha1) {
                let entry = entry.map_err(|_| anyhow!("the tree {id} can't be read"))?;
                let (path, id) =
                    (self.path(&directory, entry.filename, entry.mode.kind())?, entry.oid.to_owned());
                if entry.mode.kind() == EntryKind::Tree {
                    waiting.push((path.clone(), id));
                } else {
                    let mode = u32::from(entry.mode.kind() as u16);
                    found.tracked.push(Tracked { path: path.clone(), mode, id });
                }
                let leaf = leaf(objects, &id, entry.mode.kind()).with_context(|| shown(&path))?;
                self.put(path, leaf)?;
            }
        }
        Ok(found)
    }

    fn path(&self, directory: &[u8], name: &BStr, kind: EntryKind) -> Result<Vec<u8>> {
        let options = component::Options { protect_windows: false, protect_hfs: true, protect_ntfs: true };
        let mode = (kind == EntryKind::Link).then_some(component::Mode::Symlink);
        let path = if directory.is_empty() { name.to_vec() } else { [directory, name].join(&b'/') };
        let refused =
            |reason: &str| anyhow!("it has a path that no root may have: {}: {reason}", shown(&path));
        gix::validate::path::component(name, mode, options).map_err(|error| refused(&error.to_string()))?;
        ensure!(path.len() <= LONGEST_PATH, refused("it is too long"));
        Ok(path)
    }

    fn put(&mut self, path: Vec<u8>, leaf: Leaf) -> Result<()> {
        ensure!(self.checkout.leaves.len() < MOST_ENTRIES, "it has more than {MOST_ENTRIES} files");
        match self.checkout.leaves.entry(path) {
            Entry::Occupied(there) => bail!("it has {} twice", shown(there.key())),
            Entry::Vacant(place) => {
                place.insert(leaf);
                Ok(())
            }
        }
    }

    /// Puts the commits of submodules where the tree has them, and of theirs.
    fn submodules(&mut self, remote: &Remote, tree: &Tree, top: &[u8], depth: usize) -> Result<()> {
        let links = tree.tracked.iter().filter(|tracked| tracked.mode == u32::from(EntryKind::Commit as u16));
        let links: Vec<&Tracked> = links.collect();
        if links.is_empty() {
            return Ok(());
        }
        ensure!(depth <= DEEPEST, "more than {DEEPEST} submodules are in each other");
        let addresses = self.gitmodules(top)?;
        for link in links {
            let failed = || format!("cannot get the submodule {}", shown(&link.path));
            let own_path = link.path.strip_prefix(top).map(|path| path.strip_prefix(b"/").unwrap_or(path));
            let address = own_path.and_then(|path| addresses.get(path));
            let address = address.context(".gitmodules does not say where it is").with_context(failed)?;
            if let Some(address) = address {
                self.submodule(remote, address, link, depth).with_context(failed)?;
            }
        }
        Ok(())
    }

    fn submodule(&mut self, remote: &Remote, address: &str, link: &Tracked, depth: usize) -> Result<()> {
        ensure!(self.checkout.submodules.len() < MOST_SUBMODULES, "there are more than {MOST_SUBMODULES}");
        let remote = remote.beside(&modules::address(remote.url(), address)?)?;
        let (objects, commit) = self.fetch(&remote, &link.id, None)?;
        let origin = (remote.url().to_owned(), commit.to_string());
        self.checkout.submodules.insert(link.path.clone(), origin);
        let tree = self.commit(&objects, &commit, &link.path)?;
        self.submodules(&remote, &tree, &link.path, depth + 1)
    }

    fn gitmodules(&self, top: &[u8]) -> Result<BTreeMap<Vec<u8>, Option<String>>> {
        let path = if top.is_empty() { b".gitmodules".to_vec() } else { [top, b".gitmodules"].join(&b'/') };
        let Some(Leaf::File { content, .. }) = self.checkout.leaves.get(&path) else {
            return Ok(BTreeMap::new());
        };
        ensure!(content.size() <= LARGEST_GITMODULES, "{} is too large", shown(&path));
        let mut text = Vec::new();
        content.open().read_to_end(&mut text)?;
        modules::parse(&text)
    }
}

fn leaf(objects: &Objects, id: &ObjectId, kind: EntryKind) -> Result<Leaf> {
    let blob = || objects.get(id, Kind::Blob).map(|stored| objects.open(stored));
    Ok(match kind {
        EntryKind::Tree | EntryKind::Commit => Leaf::Directory,
        EntryKind::Blob => Leaf::File { mode: 0o644, content: Content::Section(blob()?) },
        EntryKind::BlobExecutable => Leaf::File { mode: 0o755, content: Content::Section(blob()?) },
        EntryKind::Link => {
            let mut section = blob()?;
            ensure!(
                (1..=LONGEST_PATH as u64).contains(&section.size()),
                "a link must not be as long as that"
            );
            let mut target = Vec::new();
            section.read_to_end(&mut target)?;
            ensure!(!target.contains(&0), "a link must not hold a NUL");
            Leaf::Symlink { target }
        }
    })
}

/// Returns what is below a directory, without it.
fn below(checkout: Checkout, subdir: &str) -> Result<Checkout> {
    if subdir.is_empty() {
        return Ok(checkout);
    }
    let prefix = format!("{subdir}/").into_bytes();
    let around = checkout.origin(&prefix).map(|(url, commit)| (url.to_owned(), commit.to_owned()));
    let Checkout { leaves, submodules } = checkout;
    match leaves.get(subdir.as_bytes()) {
        Some(Leaf::Directory) => {}
        Some(Leaf::File { .. } | Leaf::Symlink { .. }) => bail!("{subdir} is no directory in that commit"),
        None => bail!("that commit has no directory {subdir}"),
    }
    let rest = |path: Vec<u8>| path.strip_prefix(prefix.as_slice()).map(<[u8]>::to_vec);
    let submodules = submodules.into_iter().filter_map(|(path, origin)| Some((rest(path)?, origin)));
    Ok(Checkout {
        leaves: leaves.into_iter().filter_map(|(path, leaf)| Some((rest(path)?, leaf))).collect(),
        submodules: submodules.chain(around.map(|origin| (Vec::new(), origin))).collect(),
    })
}

fn id(text: &str) -> Result<ObjectId> {
    ObjectId::from_hex(text.as_bytes()).map_err(|_| anyhow!("`{text}` is no commit"))
}

pub(super) fn shown(path: &[u8]) -> String {
    path.escape_ascii().to_string()
}
