//! When what is in a directory was last changed, by the clock of its file system: what nobody can set.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, FileType, StatxFlags, statx};

use super::diff::Change;
use super::rooted::{MAX_DEPTH, Root, join, names_in, open_child, split};
use super::{Error, shown};

/// When each entry was last changed.
#[derive(Debug, Default)]
pub struct Moments(BTreeMap<Vec<u8>, Moment>);

/// When something was changed, in nanoseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// When it, or what is known of it, was last changed.
    pub changed: i128,
    /// When it came to be, where the file system keeps that.
    pub born: Option<i128>,
    /// What it is.
    pub kind: FileType,
}

impl Moments {
    /// Looks at all that is in a directory.
    pub fn read(directory: &Path) -> Result<Moments, Error> {
        let mut moments = Moments::default();
        let top = opened(directory)?.directory(b"").map_err(failed(b""))?;
        moments.gather(&top, b"", 0)?;
        Ok(moments)
    }

    /// Looks at what changed in a root, and at the directories that it is or was in.
    pub fn read_of(changes: &[Change], directory: &Path) -> Result<Moments, Error> {
        let (mut moments, root) = (Moments::default(), opened(directory)?);
        for Change { path, .. } in changes {
            let (parent, name) = split(path);
            let parent_of = root.exact_directory(parent).map_err(failed(parent))?;
            if !moments.0.contains_key(parent) {
                moments.note(&parent_of, b"", parent)?;
            }
            moments.note(&parent_of, name, path)?;
        }
        Ok(moments)
    }

    /// Returns when something was changed; of what isn't there, when the directory was that it isn't in.
    pub fn of(&self, path: &[u8]) -> Option<Moment> {
        let mut ways = std::iter::successors(Some(path), |path| (!path.is_empty()).then(|| split(path).0));
        ways.find_map(|path| self.0.get(path)).copied()
    }

    fn gather(&mut self, directory: &OwnedFd, path: &[u8], depth: usize) -> Result<(), Error> {
        if depth >= MAX_DEPTH {
            return Err(failed(path)(io::Error::other("the directories are nested too deep")));
        }
        self.note(directory, b"", path)?;
        for name in names_in(directory).map_err(failed(path))? {
            let path = join(path, &name);
            if self.note(directory, &name, &path)? == Some(FileType::Directory) {
                let child = open_child(directory, &name).map_err(failed(&path))?;
                self.gather(&child, &path, depth + 1)?;
            }
        }
        Ok(())
    }

    fn note(&mut self, parent: &OwnedFd, name: &[u8], path: &[u8]) -> Result<Option<FileType>, Error> {
        let Some(moment) = moment(parent.as_fd(), name).map_err(failed(path))? else { return Ok(None) };
        self.0.insert(path.to_vec(), moment);
        Ok(Some(moment.kind))
    }
}

/// Looks at `name` of a directory, or at the directory itself.
fn moment(parent: impl AsFd, name: &[u8]) -> io::Result<Option<Moment>> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::EMPTY_PATH;
    let wanted = StatxFlags::CTIME | StatxFlags::BTIME | StatxFlags::TYPE;
    let stat = match statx(parent, name, flags, wanted) {
        Err(rustix::io::Errno::NOENT) => return Ok(None),
        answer => answer?,
    };
    let nanoseconds =
        |time: rustix::fs::StatxTimestamp| i128::from(time.tv_sec) * 1_000_000_000 + i128::from(time.tv_nsec);
    let has_birth = StatxFlags::from_bits_retain(stat.stx_mask).contains(StatxFlags::BTIME);
    Ok(Some(Moment {
        changed: nanoseconds(stat.stx_ctime),
        born: has_birth.then(|| nanoseconds(stat.stx_btime)),
        kind: FileType::from_raw_mode(stat.stx_mode.into()),
    }))
}

fn opened(directory: &Path) -> Result<Root, Error> {
    let io = |source| Error::Io { action: "open", path: directory.display().to_string(), source };
    Root::open(directory).map_err(io)
}

fn failed(path: &[u8]) -> impl FnOnce(io::Error) -> Error {
    let path = shown(path);
    move |source| Error::Io { action: "look at", path, source }
}
