//! New names of files: where something else begins than the root, none leads across, as with mounts.

use std::ffi::{CString, OsStr};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;
use nix::libc;

use super::attributes::{act, answer, open_file};
use super::sight::Sight;
use super::supervisor::Supervisor;
use crate::sandbox::calls::{Answer, Call};

/// A path in the caller's memory, and the directory that it starts from.
type Name = (i32, u64);

/// Decides about a file that is to be renamed or linked.
pub(super) fn move_file(supervisor: &mut Supervisor<'_>, call: &Call, old: Name, new: Name) -> Answer {
    let (Some(old), Some(new)) = (read(supervisor, call, old), read(supervisor, call, new)) else {
        return Answer::Proceed;
    };
    let sight = &supervisor.sight;
    let is_beside = (old.directory, &old.around) == (new.directory, &new.around);
    if is_beside && !sight.may_be_mount_point(&old.name) && !sight.may_be_mount_point(&new.name) {
        return Answer::Proceed;
    }
    let (Some(old), Some(new)) = (old.place(sight, call), new.place(sight, call)) else {
        return Answer::Proceed;
    };
    if sight.mount_points.contains(&old) || sight.mount_points.contains(&new) {
        return Answer::Error(libc::EBUSY);
    }
    match sight.mount_of(&old) == sight.mount_of(&new) {
        true => Answer::Proceed,
        false => Answer::Error(libc::EXDEV),
    }
}

/// A name in a directory, as the caller says it.
struct Said {
    directory: i32,
    around: Vec<u8>,
    name: Vec<u8>,
}

fn read(supervisor: &mut Supervisor<'_>, call: &Call, (directory, path): Name) -> Option<Said> {
    let path = supervisor.memories.string(&supervisor.calls, call, path)?;
    let (around, name) = parts(&path)?;
    Some(Said { directory, around, name })
}

impl Said {
    /// Returns where in the root the name stands or would stand.
    fn place(&self, sight: &Sight, call: &Call) -> Option<Vec<u8>> {
        let around = sight.place(call.thread, self.directory, &self.around)?;
        Some([around.strip_suffix(b"/").unwrap_or(&around), b"/", &self.name].concat())
    }
}

fn parts(path: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let path = Path::new(OsStr::from_bytes(path));
    let around = path.parent().filter(|around| !around.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Some((around.as_os_str().as_bytes().to_vec(), path.file_name()?.as_bytes().to_vec()))
}

/// Gives an open file another name.
pub(super) fn link(supervisor: &mut Supervisor<'_>, call: &Call) -> Answer {
    let place = (call.number_at(0), call.address_at(1));
    let is_followed = call.number_at(4) & libc::AT_SYMLINK_FOLLOW != 0;
    let found = if is_followed { open_file(supervisor, call, place) } else { None };
    let Some((found, old)) = found else {
        return move_file(supervisor, call, place, (call.number_at(2), call.address_at(3)));
    };
    let new = supervisor.memories.string(&supervisor.calls, call, call.address_at(3));
    let done = new.ok_or_else(|| Errno::EFAULT.into()).and_then(|new| {
        let (around, name) = parts(&new).ok_or(Errno::EEXIST)?;
        let directory =
            supervisor.sight.open(call.thread, call.number_at(2), &around).ok_or(Errno::ENOENT)?;
        let name = CString::new(name).map_err(|_| Errno::EINVAL)?;
        act(call, &found, || {
            let (from, to) = (libc::AT_FDCWD, directory.as_raw_fd());
            // SAFETY: the strings end with NUL.
            let done =
                unsafe { libc::linkat(from, old.as_ptr(), to, name.as_ptr(), libc::AT_SYMLINK_FOLLOW) };
            i64::from(done)
        })
    });
    answer(done)
}
