//! Single paths of a root, touched without following a link anywhere on the way.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, ResolveFlags, openat, openat2, statat, unlinkat,
};
use rustix::io::Errno;

/// How deep a tree may be that is removed.
const DEEPEST: usize = 1000;

/// A root whose paths are touched one at a time. A path of which a part is a link, or is missing, counts as absent.
pub struct Root {
    directory: OwnedFd,
}

impl Root {
    /// Opens the root at `path`.
    pub fn open(path: &Path) -> io::Result<Root> {
        Ok(Root { directory: openat(CWD, path, DIRECTORY, Mode::empty())? })
    }

    /// Removes `path` and all below it; nothing is done where it is absent.
    pub fn remove(&self, path: &str) -> io::Result<()> {
        let Some((parent, name)) = self.parent_of(path)? else { return Ok(()) };
        remove_at(&parent, OsStr::new(name), 0)
    }

    /// Returns the names in a directory, sorted; none where it is absent.
    pub fn names_in(&self, directory: &str) -> io::Result<Vec<Vec<u8>>> {
        let Some(directory) = self.open_directory(directory)? else { return Ok(Vec::new()) };
        names(&directory)
    }

    /// Removes what goes by `name` in `directory`.
    pub fn remove_in(&self, directory: &str, name: &[u8]) -> io::Result<()> {
        match self.open_directory(directory)? {
            Some(directory) => remove_at(&directory, OsStr::from_bytes(name), 0),
            None => Ok(()),
        }
    }

    /// Cuts a regular file off to nothing, where there is one.
    pub fn empty_if_there(&self, path: &str) -> io::Result<()> {
        let flags = OFlags::WRONLY | OFlags::TRUNC | OFlags::NONBLOCK | OFlags::CLOEXEC;
        match openat2(&self.directory, path, flags, Mode::empty(), STRICTLY_BENEATH) {
            Ok(_) => Ok(()),
            Err(error) if is_absence(error) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes an empty file with mode 0644, in a directory that must be there.
    pub fn create_empty(&self, path: &str) -> io::Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC;
        let file = openat2(&self.directory, path, flags, Mode::from_raw_mode(0o644), STRICTLY_BENEATH)?;
        Ok(rustix::fs::fchmod(file, Mode::from_raw_mode(0o644))?)
    }

    fn parent_of<'a>(&self, path: &'a str) -> io::Result<Option<(OwnedFd, &'a str)>> {
        let (parent, name) = path.rsplit_once('/').unwrap_or((".", path));
        Ok(self.open_directory(parent)?.map(|parent| (parent, name)))
    }

    fn open_directory(&self, path: &str) -> io::Result<Option<OwnedFd>> {
        match openat2(&self.directory, path, DIRECTORY, Mode::empty(), STRICTLY_BENEATH) {
            Ok(directory) => Ok(Some(directory)),
            Err(error) if is_absence(error) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
const STRICTLY_BENEATH: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS);

/// `ELOOP` is a link on the way, `ENXIO` a device that overlayfs puts in the place of what is gone.
fn is_absence(error: Errno) -> bool {
    matches!(error, Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NXIO | Errno::ISDIR)
}

fn names(directory: &OwnedFd) -> io::Result<Vec<Vec<u8>>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(name.to_vec());
        }
    }
    names.sort();
    Ok(names)
}

fn remove_at(parent: &OwnedFd, name: &OsStr, depth: usize) -> io::Result<()> {
    let status = match statat(parent.as_fd(), name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(status) => status,
        Err(error) if is_absence(error) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    if FileType::from_raw_mode(status.st_mode) != FileType::Directory {
        return Ok(unlinkat(parent, name, AtFlags::empty())?);
    }
    if depth == DEEPEST {
        return Err(io::Error::other("the directories are too deep"));
    }
    let directory = openat(parent, name, DIRECTORY, Mode::empty())?;
    for child in names(&directory)? {
        remove_at(&directory, OsStr::from_bytes(&child), depth + 1)?;
    }
    Ok(unlinkat(parent, name, AtFlags::REMOVEDIR)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_link_on_the_way_is_not_followed() {
        let directory = tempfile::tempdir().unwrap();
        let (outside, root) = (directory.path().join("outside"), directory.path().join("root"));
        fs::create_dir_all(outside.join("log")).unwrap();
        fs::create_dir_all(root.join("etc")).unwrap();
        fs::write(outside.join("log/kept"), "x").unwrap();
        symlink(&outside, root.join("var")).unwrap();
        symlink(outside.join("log/kept"), root.join("etc/machine-id")).unwrap();
        let root = Root::open(&root).unwrap();
        root.remove("var/log").unwrap();
        root.remove("../outside").unwrap_err();
        root.empty_if_there("etc/machine-id").unwrap();
        assert!(root.names_in("var").unwrap().is_empty());
        assert!(root.create_empty("var/new").is_err());
        assert_eq!(fs::read(outside.join("log/kept")).unwrap(), b"x");
    }

    #[test]
    fn a_tree_is_removed_and_what_is_absent_is_no_error() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir_all(directory.path().join("a/b/c")).unwrap();
        fs::write(directory.path().join("a/b/f"), "x").unwrap();
        let root = Root::open(directory.path()).unwrap();
        root.remove("a/b").unwrap();
        root.remove("a/none/x").unwrap();
        assert!(root.names_in("a").unwrap().is_empty());
    }
}
