//! What a Dockerfile's instructions take out of the context: found, judged by `.dockerignore`, and hashed.
//!
//! One scan serves all instructions of a build: no file is hashed twice. Only directories are read that may matter, and
//! what is ignored is as good as absent, here and for links. Owners, times and extended attributes stay behind, as they
//! do when a client sends a context to BuildKit.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, Result, anyhow, bail};
use rustix::fs::{
    AtFlags, Dir, FileType, OFlags, ResolveFlags, Stat, fstat, major, minor, readlinkat, statat,
};

use super::{Context, MOST_ENTRIES, Sums, reason};
use crate::build::graph::{ContextEntry, ContextKind, ContextTree};
use crate::build::tree::{self, Form, Match, Pick};
use crate::digest::Digest;
use crate::dockerfile::{Ignore, Judgement};

/// No more files are hashed at a time.
const MOST_THREADS: usize = 8;

/// What an instruction takes out of the context.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted<'a> {
    /// Paths and patterns.
    pub sources: &'a [String],
    /// Patterns of what isn't taken.
    pub exclude: &'a [String],
    /// Whether the paths of sources are kept.
    pub keeps_parents: bool,
}

/// A context that is being looked at.
pub struct Scan<'a> {
    context: &'a Context,
    root: OwnedFd,
    ignore: &'a Ignore,
    listings: RefCell<BTreeMap<Vec<u8>, Rc<Listing>>>,
    digests: RefCell<BTreeMap<Vec<u8>, Digest>>,
}

/// What is in a directory, without what is ignored.
type Listing = BTreeMap<Vec<u8>, Rc<Found>>;

/// What stands at a path of the context.
#[derive(Debug)]
struct Found {
    stat: Stat,
    /// What it says, if it is a link.
    target: Vec<u8>,
    /// What `.dockerignore` says of it.
    judgement: Judgement,
}

/// A path of the context, as [`tree::find`] walks it.
#[derive(Clone)]
struct Place<'s> {
    scan: &'s Scan<'s>,
    path: Vec<u8>,
    found: Rc<Found>,
}

impl<'a> Scan<'a> {
    /// Begins to look at a context.
    ///
    /// # Errors
    /// When it is no directory.
    pub fn new(context: &'a Context, ignore: &'a Ignore) -> Result<Scan<'a>> {
        let root = context.open_root();
        let root = root.with_context(|| format!("cannot open the context {}", context.shown()))?;
        let (listings, digests) = (RefCell::default(), RefCell::default());
        Ok(Scan { context, root, ignore, listings, digests })
    }

    /// Returns what an instruction takes, and the links and directories that lead there.
    ///
    /// # Errors
    /// When a path leads to nothing, or something can't be taken.
    pub fn tree(&self, wanted: &Wanted<'_>) -> Result<ContextTree> {
        let top = self.top()?;
        let mut taken: BTreeMap<Vec<u8>, Rc<Found>> = BTreeMap::new();
        for source in wanted.sources {
            let pick = Pick::new(source, wanted.keeps_parents, wanted.exclude)?;
            let found = pick.matches(&top).with_context(|| self.hint(source))?;
            taken.extend(found.passed.into_iter().map(|place| (place.path, place.found)));
            for top in &found.matches {
                self.take(&pick, top, &mut taken)?;
            }
        }
        taken.remove(&b""[..]);
        let name = wanted.sources.join(" ");
        let (directory, entries) = (self.context.directory.clone(), self.entries(&taken)?);
        Ok(ContextTree { name, context: None, directory, entries })
    }

    fn take<'s>(
        &'s self,
        pick: &Pick,
        top: &Match<Place<'s>>,
        taken: &mut BTreeMap<Vec<u8>, Rc<Found>>,
    ) -> Result<()> {
        pick.walk(top, &mut |step| {
            taken.insert(step.node.path.clone(), step.node.found.clone());
            match taken.len() > MOST_ENTRIES {
                true => bail!("cannot use the context: more than {MOST_ENTRIES} of its entries are taken"),
                false => Ok(()),
            }
        })
    }

    fn hint(&self, source: &str) -> String {
        format!("cannot take {source} out of the context {}", self.context.shown())
    }

    /// Describes what is taken. What of it is a way to others only is a directory like any other.
    fn entries(&self, taken: &BTreeMap<Vec<u8>, Rc<Found>>) -> Result<Vec<ContextEntry>> {
        self.hash(taken)?;
        let mut described = BTreeMap::new();
        let mut first_names = BTreeMap::new();
        for (path, found) in taken {
            for end in path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(end, _)| end) {
                let entry =
                    || ContextEntry { path: text(&path[..end]), mode: 0o755, kind: ContextKind::Directory };
                if !taken.contains_key(&path[..end]) {
                    described.entry(path[..end].to_vec()).or_insert_with(entry);
                }
            }
            described.insert(path.clone(), self.describe(path, found, &mut first_names)?);
        }
        Ok(described.into_values().collect())
    }

    fn describe(
        &self,
        path: &[u8],
        found: &Found,
        first_names: &mut BTreeMap<(u64, u64), String>,
    ) -> Result<ContextEntry> {
        let name = utf8(path, path, "its name")?;
        let device = || (major(found.stat.st_rdev), minor(found.stat.st_rdev));
        let kind = match found.kind() {
            FileType::Directory => ContextKind::Directory,
            FileType::Symlink => ContextKind::Symlink { target: utf8(&found.target, path, "what it says")? },
            FileType::RegularFile => match found.identity().map(|id| first_names.entry(id)) {
                Some(std::collections::btree_map::Entry::Occupied(first)) => {
                    ContextKind::Hardlink { target: first.get().clone() }
                }
                Some(std::collections::btree_map::Entry::Vacant(first)) => {
                    first.insert(name.clone());
                    self.file(path, found)?
                }
                None => self.file(path, found)?,
            },
            FileType::CharacterDevice => {
                let (major, minor) = device();
                ContextKind::CharDevice { major, minor }
            }
            FileType::BlockDevice => {
                let (major, minor) = device();
                ContextKind::BlockDevice { major, minor }
            }
            FileType::Fifo => ContextKind::Fifo,
            FileType::Socket | FileType::Unknown => bail!(
                "cannot use {name} in the context: it is a socket\nhint: name it in .dockerignore, or take less"
            ),
        };
        let mode = if found.kind() == FileType::Symlink { 0o777 } else { found.stat.st_mode & 0o7777 };
        Ok(ContextEntry { path: name, mode, kind })
    }

    fn file(&self, path: &[u8], found: &Found) -> Result<ContextKind> {
        let digest = self.digests.borrow().get(path).copied();
        let digest = digest.ok_or_else(|| anyhow!("internal error: {} is not hashed", text(path)))?;
        Ok(ContextKind::File { digest, size: found.size() })
    }

    /// Hashes those files that aren't yet, some at a time.
    fn hash(&self, taken: &BTreeMap<Vec<u8>, Rc<Found>>) -> Result<()> {
        let mut digests = self.digests.borrow_mut();
        let is_new = |(path, found): &(&Vec<u8>, &Rc<Found>)| {
            found.kind() == FileType::RegularFile && !digests.contains_key(*path)
        };
        let files: Vec<(&[u8], u64)> =
            taken.iter().filter(is_new).map(|(path, found)| (path.as_slice(), found.size())).collect();
        let next = AtomicUsize::new(0);
        let (root, sums) = (&self.root, &self.context.sums);
        let work = || {
            let indexes = std::iter::from_fn(|| Some(next.fetch_add(1, Ordering::Relaxed)));
            let mine = indexes.map_while(|index| files.get(index));
            mine.map(|&(path, size)| Ok((path.to_vec(), hashed(root, path, size, sums)?)))
                .collect::<Result<Vec<_>>>()
        };
        let n_threads = std::thread::available_parallelism().map_or(1, usize::from).min(MOST_THREADS);
        let n_threads = n_threads.min(files.len());
        let done: Vec<Result<Vec<_>>> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..n_threads).map(|_| scope.spawn(work)).collect();
            let panicked = || anyhow!("internal error: a thread that hashes panicked");
            threads.into_iter().map(|thread| thread.join().map_err(|_| panicked())?).collect()
        });
        for some in done {
            digests.extend(some?);
        }
        Ok(())
    }

    fn top(&self) -> Result<Place<'_>> {
        let (stat, target, judgement) = (fstat(&self.root)?, Vec::new(), Judgement::default());
        let found = Found { stat, target, judgement };
        Ok(Place { scan: self, path: Vec::new(), found: Rc::new(found) })
    }

    /// Returns what is in a directory, without what is ignored.
    fn listing(&self, directory: &[u8], judgement: &Judgement) -> Result<Rc<Listing>> {
        if let Some(listing) = self.listings.borrow().get(directory) {
            return Ok(listing.clone());
        }
        let failed = || format!("cannot read {}/ in the context", text(directory));
        let opened = open(&self.root, directory, OFlags::RDONLY | OFlags::DIRECTORY).with_context(failed)?;
        let mut listing = Listing::new();
        for entry in Dir::read_from(&opened).with_context(failed)? {
            let name = entry.with_context(failed)?.file_name().to_bytes().to_vec();
            if name == b"." || name == b".." {
                continue;
            }
            if let Some(found) = self.look(&opened, directory, &name, judgement)? {
                listing.insert(name, Rc::new(found));
            }
            if listing.len() > MOST_ENTRIES {
                bail!("{}: it has more than {MOST_ENTRIES} entries", failed());
            }
        }
        let listing = Rc::new(listing);
        self.listings.borrow_mut().insert(directory.to_vec(), listing.clone());
        Ok(listing)
    }

    /// Returns what goes by `name` in a directory, without reading that whole.
    fn single(&self, directory: &[u8], name: &[u8], judgement: &Judgement) -> Result<Option<Rc<Found>>> {
        if let Some(listing) = self.listings.borrow().get(directory) {
            return Ok(listing.get(name).cloned());
        }
        let opened = open(&self.root, directory, OFlags::PATH | OFlags::DIRECTORY);
        let opened = opened.with_context(|| format!("cannot open {}/ in the context", text(directory)))?;
        Ok(self.look(&opened, directory, name, judgement)?.map(Rc::new))
    }

    /// Returns what goes by `name` in a directory, if it is part of the context: not ignored, or a directory with
    /// something in it that isn't.
    fn look(&self, opened: &File, directory: &[u8], name: &[u8], outer: &Judgement) -> Result<Option<Found>> {
        let path = tree::join(directory, name);
        let shown = text(&path);
        let judgement = self.ignore.judge(&shown, outer);
        let found = look(opened, name, judgement);
        let found = found.with_context(|| format!("cannot look at {shown} in the context"))?;
        let Some(found) = found.filter(|found| found.may_count(self.ignore, &shown)) else {
            return Ok(None);
        };
        let is_there = !found.judgement.is_ignored || !self.listing(&path, &found.judgement)?.is_empty();
        Ok(is_there.then_some(found))
    }
}

impl tree::Node for Place<'_> {
    fn path(&self) -> &[u8] {
        &self.path
    }

    fn form(&self) -> Result<Form> {
        Ok(match self.found.kind() {
            FileType::Directory => Form::Directory,
            FileType::Symlink => Form::Symlink(self.found.target.clone()),
            _ => Form::Other,
        })
    }

    fn child(&self, name: &[u8]) -> Result<Option<Self>> {
        let found = self.scan.single(&self.path, name, &self.found.judgement)?;
        Ok(found.map(|found| self.at(name, found)))
    }

    fn children(&self) -> Result<Vec<Self>> {
        let listing = self.scan.listing(&self.path, &self.found.judgement)?;
        Ok(listing.iter().map(|(name, found)| self.at(name, found.clone())).collect())
    }
}

impl<'s> Place<'s> {
    fn at(&self, name: &[u8], found: Rc<Found>) -> Place<'s> {
        Place { scan: self.scan, path: tree::join(&self.path, name), found }
    }
}

impl Found {
    /// Whether it isn't ignored, or may have something in it that isn't.
    fn may_count(&self, ignore: &Ignore, path: &str) -> bool {
        let is_directory = self.kind() == FileType::Directory;
        !self.judgement.is_ignored || is_directory && !ignore.prunes(path, &self.judgement)
    }

    fn kind(&self) -> FileType {
        FileType::from_raw_mode(self.stat.st_mode)
    }

    fn size(&self) -> u64 {
        u64::try_from(self.stat.st_size).unwrap_or(0)
    }

    /// Returns what names of one file have in common, if it has several.
    fn identity(&self) -> Option<(u64, u64)> {
        (self.stat.st_nlink > 1).then_some((self.stat.st_dev, self.stat.st_ino))
    }
}

fn look(directory: impl AsFd, name: &[u8], judgement: Judgement) -> io::Result<Option<Found>> {
    let stat = match statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(rustix::io::Errno::NOENT) => return Ok(None),
        result => result?,
    };
    let target = match FileType::from_raw_mode(stat.st_mode) {
        FileType::Symlink => readlinkat(&directory, name, Vec::new())?.into_bytes(),
        _ => Vec::new(),
    };
    Ok(Some(Found { stat, target, judgement }))
}

/// Opens a path on which there is no link.
fn open(root: &OwnedFd, path: &[u8], flags: OFlags) -> io::Result<File> {
    let path: &[u8] = if path.is_empty() { b"." } else { path };
    super::open_in(root, path, flags, ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS)
}

fn hashed(root: &OwnedFd, path: &[u8], expected_size: u64, sums: &Sums) -> Result<Digest> {
    let name = text(path);
    let opened = open(root, path, OFlags::RDONLY | OFlags::NONBLOCK);
    let file = opened.map_err(|error| anyhow!("cannot open {name} in the context: {}", reason(&error)))?;
    let (digest, size) = sums.of_file(file).with_context(|| format!("cannot read {name} in the context"))?;
    match size == expected_size {
        true => Ok(digest),
        false => bail!("cannot read {name} in the context: it changed meanwhile\nhint: run the build again"),
    }
}

fn utf8(bytes: &[u8], path: &[u8], what: &str) -> Result<String> {
    let text = std::str::from_utf8(bytes).map(str::to_owned);
    text.map_err(|_| {
        let shown = String::from_utf8_lossy(path);
        anyhow!("cannot use {shown} in the context: {what} is no UTF-8\nhint: name it in .dockerignore, or rename it")
    })
}

/// A path for people, and for `.dockerignore`.
fn text(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}
