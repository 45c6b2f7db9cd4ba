//! Finding a place in the sandbox's root, and making what is missing of it for the time of a run.
//!
//! Links are read and followed here, name by name, and never by the kernel: so no link of /proc leads anywhere. This
//! runs in the child, which can't allocate.

use std::ffi::CStr;
use std::os::fd::RawFd;

use nix::libc::{self, O_CLOEXEC, O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_PATH, O_WRONLY};

use super::syscall::{self as sys, Sys};

/// How many symbolic links a path may lead through.
const MAX_LINKS: usize = 40;
/// How many places may be made for one run.
const MAX_STUBS: usize = 512;
/// How long a path may become while its links are followed.
const MAX_PATH: usize = 16 << 10;
const MAX_NAME: usize = 255;

/// What is to be mounted at a place.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Directory,
    File,
}

/// Directories and files that are there for the run only.
pub(super) struct Stubs(Vec<Stub>);

struct Stub {
    parent: RawFd,
    name: Name,
    kind: Kind,
    id: (u64, u64),
    /// When its parent had last changed before and after it was made.
    before: Time,
    after: Time,
}

type Time = (i64, i64);

impl Stubs {
    /// Returns room for the stubs of a run, before there is a child.
    pub(super) fn new() -> Stubs {
        Stubs(Vec::with_capacity(MAX_STUBS))
    }

    /// Makes `name` in the directory `parent`.
    fn make(&mut self, parent: RawFd, name: &Name, kind: Kind) -> Sys<()> {
        if self.0.len() == self.0.capacity() {
            return Err(libc::ENOSPC);
        }
        let before = mtime(&sys::stat(parent, c"")?);
        make(parent, name, kind)?;
        let id = id(&sys::stat(parent, name.as_c_str())?);
        let after = mtime(&sys::stat(parent, c"")?);
        let parent = sys::duplicate(parent)?;
        self.0.push(Stub { parent, name: name.clone(), kind, id, before, after });
        Ok(())
    }

    /// Makes a directory in the root, unless one is there. Mounting on a symbolic link would mount where it points.
    pub(super) fn make_top(&mut self, path: &CStr) -> Sys<()> {
        if sys::is_symlink(path) {
            return Err(libc::ELOOP);
        }
        let root = open_root(libc::AT_FDCWD, c"/")?;
        let mut rest = Rest::new(path)?;
        let name = rest.next()?.ok_or(libc::EINVAL)?;
        let made = match self.make(root, &name, Kind::Directory) {
            Err(libc::EEXIST) => Ok(()),
            answer => answer,
        };
        sys::close(root);
        made
    }

    /// Removes them all, but nothing that was put in their place. Their parents look untouched, unless they were touched.
    pub(super) fn remove(&mut self) {
        while let Some(stub) = self.0.pop() {
            let _ = stub.remove();
            sys::close(stub.parent);
        }
    }
}

impl Stub {
    fn remove(&self) -> Sys<()> {
        let name = self.name.as_c_str();
        let stat = sys::stat(self.parent, name)?;
        if id(&stat) != self.id || self.kind == Kind::File && stat.st_size != 0 {
            return Ok(());
        }
        let now = mtime(&sys::stat(self.parent, c"")?);
        match self.kind {
            Kind::Directory => sys::remove_directory(self.parent, name)?,
            Kind::File => sys::remove_file(self.parent, name)?,
        }
        sys::set_mtime(self.parent, if now == self.after { self.before } else { now })
    }
}

/// Returns the place that `path` leads to; what is missing is made, and noted in `stubs`, if there are any.
pub(super) fn find(path: &CStr, kind: Kind, stubs: Option<&mut Stubs>) -> Sys<RawFd> {
    let root = open_root(libc::AT_FDCWD, c"/")?;
    let place = find_in(root, path, kind, stubs);
    sys::close(root);
    place
}

/// As [`find`], in the root that is open as `root`.
pub(super) fn find_in(root: RawFd, path: &CStr, kind: Kind, mut stubs: Option<&mut Stubs>) -> Sys<RawFd> {
    let mut rest = Rest::new(path)?;
    let mut here = open_root(root, c".")?;
    let (mut n_links, mut depth) = (0, 0_usize);
    while let Some(name) = rest.next()? {
        if name.as_c_str() == c".." {
            // Nothing is above the root, though there may be something above its directory.
            let Some(above) = depth.checked_sub(1) else { continue };
            depth = above;
        } else if name.as_c_str() != c"." {
            depth += 1;
        }
        let child = match sys::open_at(here, name.as_c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC, 0) {
            Err(libc::ENOENT) => {
                let kind = if rest.is_empty() { kind } else { Kind::Directory };
                match &mut stubs {
                    Some(stubs) => stubs.make(here, &name, kind)?,
                    None => make(here, &name, kind)?,
                }
                sys::open_at(here, name.as_c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC, 0)?
            }
            answer => answer?,
        };
        if !is_symlink(&sys::stat(child, c"")?) {
            sys::close(here);
            here = child;
            continue;
        }
        (n_links, depth) = (n_links + 1, depth.saturating_sub(1));
        if n_links > MAX_LINKS {
            return Err(libc::ELOOP);
        }
        if rest.follow(child)? {
            sys::close(here);
            (here, depth) = (open_root(root, c".")?, 0);
        }
        sys::close(child);
    }
    Ok(here)
}

fn make(parent: RawFd, name: &Name, kind: Kind) -> Sys<()> {
    match kind {
        Kind::Directory => sys::make_directory_at(parent, name.as_c_str(), 0o755),
        Kind::File => {
            let flags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC;
            sys::open_at(parent, name.as_c_str(), flags, 0o644).map(sys::close)
        }
    }
}

fn open_root(from: RawFd, path: &CStr) -> Sys<RawFd> {
    sys::open_at(from, path, O_PATH | O_DIRECTORY | O_CLOEXEC, 0)
}

fn mtime(stat: &libc::stat) -> Time {
    (stat.st_mtime, stat.st_mtime_nsec)
}

fn id(stat: &libc::stat) -> (u64, u64) {
    (stat.st_dev, stat.st_ino)
}

fn is_symlink(stat: &libc::stat) -> bool {
    stat.st_mode & libc::S_IFMT == libc::S_IFLNK
}

/// A name, with a NUL at its end.
#[derive(Clone)]
struct Name([u8; MAX_NAME + 1]);

impl Name {
    fn as_c_str(&self) -> &CStr {
        // There is always one: the last byte is never anything else.
        CStr::from_bytes_until_nul(&self.0).unwrap_or(c"")
    }
}

/// What is left of a path, at the end of its room, so that links find place before it.
struct Rest {
    bytes: [u8; MAX_PATH],
    start: usize,
}

impl Rest {
    fn new(path: &CStr) -> Sys<Rest> {
        let mut rest = Rest { bytes: [0; MAX_PATH], start: MAX_PATH };
        rest.put_before(path.to_bytes())?;
        Ok(rest)
    }

    fn put_before(&mut self, path: &[u8]) -> Sys<()> {
        let start = self.start.checked_sub(path.len()).ok_or(libc::ENAMETOOLONG)?;
        let room = self.bytes.get_mut(start..self.start).ok_or(libc::ENAMETOOLONG)?;
        room.copy_from_slice(path);
        self.start = start;
        Ok(())
    }

    fn left(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }

    /// Whether no name is left.
    fn is_empty(&self) -> bool {
        self.left().iter().all(|&byte| byte == b'/')
    }

    fn next(&mut self) -> Sys<Option<Name>> {
        self.start += self.left().iter().take_while(|&&byte| byte == b'/').count();
        let n_bytes = self.left().iter().take_while(|&&byte| byte != b'/').count();
        if n_bytes == 0 {
            return Ok(None);
        }
        let mut name = Name([0; MAX_NAME + 1]);
        match (name.0.get_mut(..n_bytes), self.left().get(..n_bytes)) {
            (Some(room), Some(bytes)) if n_bytes <= MAX_NAME => room.copy_from_slice(bytes),
            _ => return Err(libc::ENAMETOOLONG),
        }
        self.start += n_bytes;
        Ok(Some(name))
    }

    /// Goes on with where a symbolic link leads; returns whether that begins at the root.
    fn follow(&mut self, link: RawFd) -> Sys<bool> {
        let mut target = [0; 4096];
        let n_bytes = sys::read_link(link, &mut target)?;
        let target = target.get(..n_bytes).filter(|target| target.len() < 4096).ok_or(libc::ENAMETOOLONG)?;
        self.put_before(b"/")?;
        self.put_before(target)?;
        Ok(target.starts_with(b"/"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(rest: &mut Rest) -> Vec<String> {
        let next = || rest.next().unwrap();
        std::iter::from_fn(next).map(|name| name.as_c_str().to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn no_path_and_no_link_leads_above_the_root() {
        use std::os::fd::AsRawFd;
        use std::os::unix::fs::symlink;
        let place = tempfile::tempdir().unwrap();
        let root = place.path().join("above/root");
        std::fs::create_dir_all(root.join("a/b")).unwrap();
        symlink("../../../../x", root.join("a/b/up")).unwrap();
        symlink("/../../a", root.join("round")).unwrap();
        let opened = std::fs::File::open(&root).unwrap();
        for (path, expected) in [
            (c"/a/b/up/y", "x/y"),
            (c"../../z", "z"),
            (c"/a/../../../q", "q"),
            (c"/round/b/../../w", "w"),
            (c"/a/./b/../..//v", "v"),
        ] {
            sys::close(find_in(opened.as_raw_fd(), path, Kind::Directory, None).unwrap());
            assert!(root.join(expected).is_dir(), "{path:?}");
        }
        let above = std::fs::read_dir(place.path().join("above")).unwrap().count();
        assert_eq!((above, std::fs::read_dir(place.path()).unwrap().count()), (1, 1));
    }

    #[test]
    fn a_path_is_taken_apart_name_by_name() {
        let mut rest = Rest::new(c"//etc/./x//").unwrap();
        assert_eq!(names(&mut rest), ["etc", ".", "x"]);
        assert!(rest.is_empty());
        assert!(Rest::new(c"").unwrap().is_empty());
        let mut long = Rest::new(&std::ffi::CString::new("x".repeat(300)).unwrap()).unwrap();
        assert_eq!(long.next().err(), Some(libc::ENAMETOOLONG));
        let too_long = std::ffi::CString::new("x".repeat(MAX_PATH + 1)).unwrap();
        assert!(Rest::new(&too_long).is_err());
    }

    #[test]
    fn a_link_is_followed_before_the_rest() {
        let mut rest = Rest::new(c"link/x").unwrap();
        rest.next().unwrap();
        rest.put_before(b"/").unwrap();
        rest.put_before(b"/a/b").unwrap();
        assert_eq!(names(&mut rest), ["a", "b", "x"]);
    }
}
