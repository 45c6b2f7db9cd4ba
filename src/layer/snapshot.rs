//! What a directory looked like at one time, so that what was touched in it since is known without reading it all.
//!
//! An entry counts as untouched while its inode, times, size, mode, owner and number of names are the same. A change
//! within the tick of the clock in which the snapshot was taken would leave them so: what had changed shortly before
//! counts as touched, as with git's index (git's `Documentation/technical/racy-git.txt`). Nothing is compared with layers
//! here.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::SystemTime;

use rustix::fs::{FileType, Stat};

use super::rooted::{
    MAX_DEPTH, Root, changed_at, join, kind_of, names_in, nanoseconds_of, open_child, stat_child,
};
use super::{Error, shown};

/// How long before a snapshot something may have changed, in nanoseconds, and still be touched again unnoticed: the
/// kernel's clock ticks every 10 ms at least.
const MARGIN: i128 = 20_000_000;
/// The same where times seem to be kept in whole seconds.
const COARSE_MARGIN: i128 = 2_000_000_000;

/// A directory, and all below it, at one time.
pub struct Snapshot {
    taken: i128,
    root: Held,
}

/// What was held by a name.
pub(super) struct Held {
    pub(super) mark: Mark,
    /// What was in it, by name, if it is a directory.
    pub(super) inside: Vec<(Box<[u8]>, Held)>,
}

/// What tells that something was touched.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) inode: u64,
    pub(super) n_links: u64,
    changed: i128,
    modified: i128,
    size: i64,
    mode: u32,
    owner: (u32, u32),
}

impl Mark {
    #[allow(clippy::useless_conversion, reason = "the type of a link count is not the same everywhere")]
    pub(super) fn of(stat: &Stat) -> Mark {
        Mark {
            inode: stat.st_ino,
            n_links: stat.st_nlink.into(),
            changed: changed_at(stat),
            modified: i128::from(stat.st_mtime) * 1_000_000_000 + i128::from(nanoseconds_of(stat)),
            size: stat.st_size,
            mode: stat.st_mode,
            owner: (stat.st_uid, stat.st_gid),
        }
    }

    /// What is the same after it was moved.
    fn moved(self) -> Mark {
        Mark { changed: 0, ..self }
    }
}

impl Held {
    pub(super) fn child(&self, name: &[u8]) -> Option<&Held> {
        let found = self.inside.binary_search_by(|(known, _)| (**known).cmp(name));
        found.ok().map(|place| &self.inside[place].1)
    }

    fn of(stat: &Stat, opened: Option<&OwnedFd>, path: &[u8], depth: usize) -> Result<Held, Error> {
        let mut held = Held { mark: Mark::of(stat), inside: Vec::new() };
        let Some(directory) = opened else { return Ok(held) };
        if depth >= MAX_DEPTH {
            return Err(failed(path)(io::Error::other("the directories are nested too deep")));
        }
        for name in names_in(directory).map_err(failed(path))? {
            let Some((stat, opened)) = look(directory, &name).map_err(failed(path))? else { continue };
            let child = Held::of(&stat, opened.as_ref(), &join(path, &name), depth + 1)?;
            held.inside.push((name.into(), child));
        }
        Ok(held)
    }

    fn shared_inodes(&self, found: &mut BTreeSet<u64>) {
        for (_, child) in &self.inside {
            if child.mark.n_links > 1 && kind(child.mark.mode) != FileType::Directory {
                found.insert(child.mark.inode);
            }
            child.shared_inodes(found);
        }
    }

    fn names_of(&self, inodes: &BTreeSet<u64>, path: &[u8], found: &mut BTreeSet<Vec<u8>>) {
        for (name, child) in &self.inside {
            let path = join(path, name);
            if inodes.contains(&child.mark.inode) {
                found.insert(path.clone());
            }
            child.names_of(inodes, &path, found);
        }
    }
}

impl Snapshot {
    /// Looks at a file, or at a directory and all below it.
    pub fn take(path: &Path) -> Result<Snapshot, Error> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let taken = i128::try_from(now.as_nanos()).unwrap_or(i128::MAX);
        let (stat, opened) = open(path)?;
        Ok(Snapshot { taken, root: Held::of(&stat, opened.as_ref(), b"", 0)? })
    }

    /// Returns a path that is not as it was, below where the snapshot was taken or empty for that itself. It may have
    /// been moved, and something made in a directory and removed again, if the directory's time was set back.
    pub fn first_touched(&self, path: &Path) -> Result<Option<Vec<u8>>, Error> {
        let (stat, opened) = open(path)?;
        let below = opened.map_or(Ok(None), |opened| first_touched(&self.root, &opened, b""))?;
        let is_same = self.root.mark.moved() == Mark::of(&stat).moved();
        Ok(below.or_else(|| (!is_same).then(Vec::new)))
    }

    pub(super) fn root(&self) -> &Held {
        &self.root
    }

    /// Whether something is surely as it was.
    pub(super) fn is_untouched(&self, held: &Held, stat: &Stat) -> bool {
        let margin = if held.mark.changed % 1_000_000_000 == 0 { COARSE_MARGIN } else { MARGIN };
        held.mark == Mark::of(stat) && held.mark.changed < self.taken - margin
    }

    /// Returns the inodes of files that had several names.
    pub(super) fn shared_inodes(&self) -> BTreeSet<u64> {
        let mut found = BTreeSet::new();
        self.root.shared_inodes(&mut found);
        found
    }

    /// Returns the paths of these inodes.
    pub(super) fn names_of(&self, inodes: &BTreeSet<u64>) -> BTreeSet<Vec<u8>> {
        let mut found = BTreeSet::new();
        self.root.names_of(inodes, b"", &mut found);
        found
    }
}

fn first_touched(held: &Held, directory: &OwnedFd, path: &[u8]) -> Result<Option<Vec<u8>>, Error> {
    let names = names_in(directory).map_err(failed(path))?;
    if !names.iter().map(Vec::as_slice).eq(held.inside.iter().map(|(name, _)| &**name)) {
        let known = |name: &&Vec<u8>| held.child(name).is_none();
        let new = names.iter().find(known).map(Vec::as_slice);
        let gone =
            || held.inside.iter().map(|(name, _)| &**name).find(|name| !names.iter().any(|n| n == name));
        return Ok(Some(join(path, new.or_else(gone).unwrap_or_default())));
    }
    for (name, child) in &held.inside {
        let path = join(path, name);
        let Some((stat, opened)) = look(directory, name).map_err(failed(&path))? else {
            return Ok(Some(path));
        };
        let below = opened.as_ref().map_or(Ok(None), |opened| first_touched(child, opened, &path))?;
        if below.is_some() {
            return Ok(below);
        }
        let is_same = match opened {
            Some(_) => child.mark.moved() == Mark::of(&stat).moved(),
            None => child.mark == Mark::of(&stat),
        };
        if !is_same {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

/// Describes `name`, and opens it if it is a directory.
fn look(parent: &OwnedFd, name: &[u8]) -> io::Result<Option<(Stat, Option<OwnedFd>)>> {
    let Some(stat) = stat_child(parent, name)? else { return Ok(None) };
    let opened = match kind_of(&stat) {
        FileType::Directory => Some(open_child(parent, name)?),
        _ => None,
    };
    Ok(Some((stat, opened)))
}

fn kind(mode: u32) -> FileType {
    FileType::from_raw_mode(mode)
}

/// Describes what lies at `path`, and opens it if it is a directory.
fn open(path: &Path) -> Result<(Stat, Option<OwnedFd>), Error> {
    let open = || {
        let stat = rustix::fs::stat(path)?;
        let opened = match kind_of(&stat) {
            FileType::Directory => Some(Root::open(path)?.directory(b"")?),
            _ => None,
        };
        Ok((stat, opened))
    };
    open().map_err(|source| Error::Io { action: "look at", path: path.display().to_string(), source })
}

fn failed(path: &[u8]) -> impl FnOnce(io::Error) -> Error {
    let path = shown(path);
    move |source| Error::Io { action: "look at", path, source }
}
