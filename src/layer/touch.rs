//! Single paths of a root, touched without following a link anywhere on the way.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, ResolveFlags, Timespec, Timestamps, UTIME_NOW, fstat,
    futimens, mkdirat, openat, openat2, readlinkat, statat, unlinkat,
};
use rustix::io::Errno;

use super::rooted::changed_at;

/// Changes the times of an open file to now; returns when that was, by the clock of its file system: nanoseconds since
/// 1970.
pub fn touch_now(file: &File) -> io::Result<i128> {
    let now = || Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
    futimens(file, &Timestamps { last_access: now(), last_modification: now() })?;
    Ok(changed_at(&fstat(file)?))
}

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
    pub fn remove(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let path = path.as_ref();
        let Some(name) = path.file_name() else { return Ok(()) };
        match self.open_directory(parent_of(path))? {
            Some(parent) => remove_at(&parent, name, 0),
            None => Ok(()),
        }
    }

    /// Returns everything below `directory` that is no directory itself, in the order of its path.
    pub fn files_below(&self, directory: impl AsRef<Path>) -> io::Result<Vec<Found>> {
        let mut found = Vec::new();
        if let Some(top) = self.open_directory(directory.as_ref())? {
            gather(&top, directory.as_ref(), 0, &mut found)?;
        }
        Ok(found)
    }

    /// Opens a regular file; none where it is absent.
    pub fn open_file(&self, path: impl AsRef<Path>) -> io::Result<Option<File>> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match openat2(&self.directory, path.as_ref(), flags, Mode::empty(), STRICTLY_BENEATH) {
            Ok(file) => File::from(file),
            Err(error) if is_absence(error) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        Ok(file.metadata()?.is_file().then_some(file))
    }

    /// Returns the content of a regular file; none where it is absent, or longer than `limit`.
    pub fn read(&self, path: impl AsRef<Path>, limit: u64) -> io::Result<Option<Vec<u8>>> {
        let Some(file) = self.open_file(path)? else { return Ok(None) };
        if file.metadata()?.len() > limit {
            return Ok(None);
        }
        let mut content = Vec::new();
        file.take(limit).read_to_end(&mut content)?;
        Ok(Some(content))
    }

    /// Returns where a symbolic link leads; none where there is no link.
    pub fn link_target(&self, path: impl AsRef<Path>) -> io::Result<Option<PathBuf>> {
        let path = path.as_ref();
        let (Some(parent), Some(name)) = (self.open_directory(parent_of(path))?, path.file_name()) else {
            return Ok(None);
        };
        match readlinkat(&parent, name, Vec::new()) {
            Ok(target) => Ok(Some(OsStr::from_bytes(target.to_bytes()).into())),
            Err(error) if is_absence(error) || error == Errno::INVAL => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Puts `content` into a regular file that is there; its mode and owner stay.
    pub fn rewrite(&self, path: &str, content: &[u8]) -> io::Result<()> {
        let flags = OFlags::WRONLY | OFlags::TRUNC | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = openat2(&self.directory, path, flags, Mode::empty(), STRICTLY_BENEATH)?;
        File::from(file).write_all(content)
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
        self.create(path, &[])
    }

    /// Makes a file with mode 0644, in a directory that must be there.
    pub fn create(&self, path: &str, content: &[u8]) -> io::Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC;
        let file = openat2(&self.directory, path, flags, Mode::from_raw_mode(0o644), STRICTLY_BENEATH)?;
        rustix::fs::fchmod(&file, Mode::from_raw_mode(0o644))?;
        File::from(file).write_all(content)
    }

    /// Makes a directory and those above it, mode 0755, where they are absent.
    pub fn make_directories(&self, path: &str) -> io::Result<()> {
        let mut parent = PathBuf::from(".");
        for name in Path::new(path).components() {
            let path = parent.join(name);
            if self.open_directory(&path)?.is_none() {
                let directory = self.open_directory(&parent)?.ok_or(Errno::NOTDIR)?;
                mkdirat(&directory, name.as_os_str(), Mode::from_raw_mode(0o755))?;
                let made = openat(&directory, name.as_os_str(), DIRECTORY, Mode::empty())?;
                rustix::fs::fchmod(&made, Mode::from_raw_mode(0o755))?;
            }
            parent = path;
        }
        Ok(())
    }

    fn open_directory(&self, path: impl AsRef<Path>) -> io::Result<Option<OwnedFd>> {
        let path = path.as_ref();
        match openat2(&self.directory, path, DIRECTORY, Mode::empty(), STRICTLY_BENEATH) {
            Ok(directory) => Ok(Some(directory)),
            Err(error) if is_absence(error) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// Something in a root that is no directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Where it is, without a leading slash.
    pub path: PathBuf,
    /// Its size in bytes, where it is a regular file.
    pub size: Option<u64>,
}

fn parent_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn gather(directory: &OwnedFd, path: &Path, depth: usize, found: &mut Vec<Found>) -> io::Result<()> {
    if depth == DEEPEST {
        return Err(io::Error::other("the directories are too deep"));
    }
    for name in names(directory)? {
        let name = OsStr::from_bytes(&name);
        let status = statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let path = path.join(name);
        match FileType::from_raw_mode(status.st_mode) {
            FileType::Directory => {
                gather(&openat(directory, name, DIRECTORY, Mode::empty())?, &path, depth + 1, found)?;
            }
            FileType::RegularFile => found.push(Found { path, size: u64::try_from(status.st_size).ok() }),
            _ => found.push(Found { path, size: None }),
        }
    }
    Ok(())
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
    fn what_is_there_is_found_read_and_rewritten() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir_all(directory.path().join("a/b")).unwrap();
        fs::write(directory.path().join("a/b/f"), "old").unwrap();
        symlink("b/f", directory.path().join("a/link")).unwrap();
        let root = Root::open(directory.path()).unwrap();
        let found = root.files_below("a").unwrap();
        let shown: Vec<_> = found.iter().map(|found| (found.path.to_str().unwrap(), found.size)).collect();
        assert_eq!(shown, [("a/b/f", Some(3)), ("a/link", None)]);
        assert_eq!(root.read("a/b/f", 3).unwrap().unwrap(), b"old");
        assert_eq!(root.read("a/b/f", 2).unwrap(), None);
        assert_eq!(root.read("a/link", 9).unwrap(), None);
        assert_eq!(root.link_target("a/link").unwrap().unwrap(), Path::new("b/f"));
        assert_eq!(root.link_target("a/b/f").unwrap(), None);
        assert_eq!(root.read("a/b", 9).unwrap(), None);
        root.rewrite("a/b/f", b"newer").unwrap();
        root.rewrite("a/link", b"newer").unwrap_err();
        assert_eq!(fs::read(directory.path().join("a/b/f")).unwrap(), b"newer");
    }

    #[test]
    fn directories_and_files_are_made_where_no_link_is_on_the_way() {
        let directory = tempfile::tempdir().unwrap();
        let (outside, top) = (directory.path().join("outside"), directory.path().join("root"));
        fs::create_dir_all(&outside).unwrap();
        fs::create_dir_all(top.join("var")).unwrap();
        symlink(&outside, top.join("etc")).unwrap();
        let root = Root::open(&top).unwrap();
        root.make_directories("var/lib/a").unwrap();
        root.make_directories("var/lib/a").unwrap();
        root.create("var/lib/a/f", b"x").unwrap();
        assert_eq!(fs::read(top.join("var/lib/a/f")).unwrap(), b"x");
        root.make_directories("etc/a").unwrap_err();
        root.make_directories("../outside/a").unwrap_err();
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
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
