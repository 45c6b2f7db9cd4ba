//! Where a caller's path leads: into the root, as for the kernel, or to something that stands for something else.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use nix::libc;

use super::furniture::{Markers, Shelves, Special, path_of};
use super::kernel::{CALLER, LISTED};
use crate::sandbox::callers::{as_user, below, identity, is_member};
use crate::sandbox::syscall as sys;

/// Special a caller can see.
pub(super) struct Sight {
    pub(super) root: OwnedFd,
    /// The root's path, without links.
    pub(super) path: Vec<u8>,
    pub(super) markers: Markers,
    /// The first process, whose descendants are all that can be seen.
    pub(super) first: i32,
    /// Whose open files are listed in which directory.
    pub(super) listings: Vec<i32>,
    /// Programs that were called by a name in `/proc`, as they are called in the root.
    pub(super) programs: Vec<Vec<u8>>,
    pub(super) shelves: Shelves,
    /// Where something else begins: a file can't be renamed or linked from there to elsewhere.
    pub(super) mount_points: Vec<Vec<u8>>,
}

/// Something that stands for something else, seen by a thread.
pub(super) struct Found {
    pub(super) what: Special,
    /// The thread whose own things are meant.
    pub(super) whose: i32,
}

/// How a path is followed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Last {
    /// To where a link at its end leads.
    Followed,
    /// To the link.
    Kept,
}

impl Sight {
    /// Returns what a path stands for, unless that is nothing but itself.
    pub(super) fn look(&self, thread: i32, directory: i32, path: &[u8], last: Last) -> Option<Found> {
        let path = self.absolute(thread, directory, path)?;
        match self.resolve(&path, last) {
            Ok(found) => found.map(|what| Found { what, whose: thread }),
            Err(libc::ENOENT | libc::ENOTDIR) => self.by_name(thread, &path, last),
            Err(_) => None,
        }
    }

    /// Returns a path as seen from the root.
    fn absolute(&self, thread: i32, directory: i32, path: &[u8]) -> Option<Vec<u8>> {
        match path {
            [] => return None,
            [b'/', ..] => return Some(path.to_vec()),
            _ => {}
        }
        let link = match directory {
            libc::AT_FDCWD => below(thread, "cwd"),
            number => below(thread, &format!("fd/{number}")),
        };
        let here = fs::read_link(&link)
            .or_else(|_| identity(thread).and_then(|who| as_user(who, || fs::read_link(&link))));
        let here = self.inside(&here.ok()?.into_os_string().into_vec())?;
        Some([here.as_slice(), b"/", path].concat())
    }

    /// Returns a path of the builder as seen from the root; none if it isn't in there.
    pub(super) fn inside(&self, path: &[u8]) -> Option<Vec<u8>> {
        match path.strip_prefix(self.path.as_slice())? {
            [] => Some(b"/".to_vec()),
            rest @ [b'/', ..] => Some(rest.to_vec()),
            _ => None,
        }
    }

    fn resolve(&self, path: &[u8], last: Last) -> sys::Sys<Option<Special>> {
        let path = CString::new(path).map_err(|_| libc::EINVAL)?;
        let kept = if last == Last::Kept { libc::O_NOFOLLOW } else { 0 };
        let found = open_inside(self.root.as_raw_fd(), &path, libc::O_PATH | libc::O_CLOEXEC | kept)?;
        let stat = sys::stat(found.as_raw_fd(), c"")?;
        let special = self.markers.find((stat.st_dev, stat.st_ino));
        Ok(special.filter(|special| special.is(&stat)).cloned())
    }

    /// Finds what is called by a number: processes, and further open files.
    fn by_name(&self, thread: i32, path: &[u8], last: Last) -> Option<Found> {
        let path = std::str::from_utf8(path).ok()?;
        let names: Vec<&str> = path.split('/').filter(|name| !matches!(*name, "" | ".")).collect();
        let (whose, rest) = match names.as_slice() {
            ["dev", "fd", number] => return descriptor(thread, number),
            ["proc", LISTED, listing, number] => {
                let whose = self.listings.get(listing.parse::<usize>().ok()?)?;
                return descriptor(*whose, number);
            }
            ["proc", owner, rest @ ..] => (self.owner(thread, owner)?, rest),
            _ => return None,
        };
        match rest {
            ["fd", number] => descriptor(whose, number),
            _ => {
                let path = Path::new("/proc").join(CALLER).join(rest.join("/"));
                let what = self.resolve(path.as_os_str().as_bytes(), last).ok()??;
                Some(Found { what, whose })
            }
        }
    }

    /// Opens what a path leads to in the root, as a place only.
    pub(super) fn open(&self, thread: i32, directory: i32, path: &[u8]) -> Option<OwnedFd> {
        let path = CString::new(self.absolute(thread, directory, path)?).ok()?;
        open_inside(self.root.as_raw_fd(), &path, libc::O_PATH | libc::O_CLOEXEC).ok()
    }

    /// Returns where a path leads in the root, without links.
    pub(super) fn place(&self, thread: i32, directory: i32, path: &[u8]) -> Option<Vec<u8>> {
        let found = self.open(thread, directory, path)?;
        self.inside(path_of(&found).ok()?.as_os_str().as_bytes())
    }

    /// Returns the innermost mount point that a place in the root is at or below; the root's has no name.
    pub(super) fn mount_of(&self, place: &[u8]) -> &[u8] {
        let is_around = |point: &&Vec<u8>| {
            place.strip_prefix(point.as_slice()).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
        };
        let around = self.mount_points.iter().filter(is_around);
        around.max_by_key(|point| point.len()).map_or(b"", Vec::as_slice)
    }

    /// Whether something of that name is a mount point, wherever it is.
    pub(super) fn may_be_mount_point(&self, name: &[u8]) -> bool {
        self.mount_points.iter().any(|point| point.ends_with(name))
    }

    /// Returns where an open file of a thread lies in the root.
    pub(super) fn open_file(&self, thread: i32, number: i32) -> Option<Vec<u8>> {
        let link = below(thread, &format!("fd/{number}"));
        let target = identity(thread).and_then(|who| as_user(who, || fs::read_link(link))).ok()?;
        self.inside(target.as_os_str().as_bytes())
    }

    /// Returns what lies where a path leads in the root, and where that is.
    pub(super) fn describe(&self, thread: i32, directory: i32, path: &[u8]) -> Option<(Vec<u8>, libc::stat)> {
        let found = self.open(thread, directory, path)?;
        let place = self.inside(path_of(&found).ok()?.as_os_str().as_bytes())?;
        Some((place, sys::stat(found.as_raw_fd(), c"").ok()?))
    }

    fn owner(&self, thread: i32, name: &str) -> Option<i32> {
        match name {
            "self" | "thread-self" | CALLER => Some(thread),
            _ => name.parse().ok().filter(|&number| number > 1 && is_member(number, self.first)),
        }
    }
}

fn descriptor(whose: i32, number: &str) -> Option<Found> {
    Some(Found { what: Special::Descriptor(number.parse().ok()?), whose })
}

fn open_inside(root: RawFd, path: &CString, flags: i32) -> sys::Sys<OwnedFd> {
    let found = sys::open_inside(root, path, flags)?;
    // SAFETY: it was opened for us, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(found) })
}

impl Found {
    /// Returns where the thing is, for the builder; none where it has no path.
    pub(super) fn place(&self) -> Option<PathBuf> {
        match &self.what {
            Special::Outside(path) => Some(path.clone()),
            Special::Own(name) | Special::OwnLink(name) => Some(below(self.whose, name)),
            Special::Descriptor(number) => Some(below(self.whose, &format!("fd/{number}"))),
            Special::Terminals => Some("/dev/ptmx".into()),
            Special::Terminal(file) => Some(format!("/proc/self/fd/{}", file.as_raw_fd()).into()),
            Special::Memory(file) => Some(format!("/proc/self/fd/{}", file.as_raw_fd()).into()),
            Special::Descriptors => Some(below(self.whose, "fd")),
            Special::Process => Some(below(self.whose, "")),
            Special::Caller | Special::CallerThread | Special::Processes => None,
        }
    }

    /// Acts with the rights of the thread that calls where the thing is of a process.
    pub(super) fn act<T>(&self, thread: i32, act: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        match &self.what {
            Special::Own(_) | Special::OwnLink(_) | Special::Descriptor(_) | Special::Memory(_) => {
                as_user(identity(thread)?, act)
            }
            Special::Outside(_)
            | Special::Terminals
            | Special::Terminal(_)
            | Special::Descriptors
            | Special::Caller
            | Special::CallerThread
            | Special::Process
            | Special::Processes => act(),
        }
    }
}
