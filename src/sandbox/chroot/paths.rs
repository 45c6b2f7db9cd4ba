//! Calls about a path that is not opened: what it is, who may use it, and changes to an open file by its name in `/proc`.

use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::libc;

use super::furniture::Special;
use super::sight::{Found, Last};
use super::supervisor::Supervisor;
use crate::sandbox::callers::identity;
use crate::sandbox::calls::{Answer, Call};

/// A path in the caller's memory, and the directory that it starts from.
type Place = (i32, u64);

/// Tells what a file is, as `fstatat` does.
pub(super) fn stat(
    supervisor: &mut Supervisor<'_>,
    call: &Call,
    place: Place,
    flags: i32,
    buffer: u64,
) -> Answer {
    tell(supervisor, call, place, flags, buffer, |path, flags| {
        // SAFETY: all zeros is a valid answer.
        let mut answer: libc::stat = unsafe { std::mem::zeroed() };
        // SAFETY: the string ends with NUL, and the answer is valid for writing.
        Errno::result(unsafe { libc::fstatat(libc::AT_FDCWD, path.as_ptr(), &raw mut answer, flags) })?;
        Ok(bytes_of(&answer))
    })
}

/// Tells what a file is, as `statx` does.
pub(super) fn statx(supervisor: &mut Supervisor<'_>, call: &Call) -> Answer {
    let (place, flags, mask) =
        ((call.number_at(0), call.address_at(1)), call.number_at(2), call.number_at(3));
    tell(supervisor, call, place, flags, call.address_at(4), |path, flags| {
        // SAFETY: all zeros is a valid answer.
        let mut answer: libc::statx = unsafe { std::mem::zeroed() };
        let (from, mask) = (libc::AT_FDCWD, mask as u32);
        // SAFETY: the string ends with NUL, and the answer is valid for writing.
        Errno::result(unsafe { libc::statx(from, path.as_ptr(), flags, mask, &raw mut answer) })?;
        Ok(bytes_of(&answer))
    })
}

fn tell(
    supervisor: &mut Supervisor<'_>,
    call: &Call,
    place: Place,
    flags: i32,
    buffer: u64,
    ask: impl FnOnce(&CString, i32) -> io::Result<Vec<u8>>,
) -> Answer {
    let last = last_of(flags);
    let Some(found) = supervisor.look(call, place, last) else { return Answer::Proceed };
    let Some(path) = found.place() else { return Answer::Proceed };
    // What the supervisor reaches by a link is no link for the caller.
    let is_link = matches!(found.what, Special::OwnLink(_) | Special::Descriptor(_));
    let kept = if is_link { flags & libc::AT_SYMLINK_NOFOLLOW } else { 0 };
    let told = act(call, &found, &path, |path| ask(path, kept));
    match told {
        Ok(bytes) => supervisor.give(call, buffer, &bytes, 0),
        Err(error) => Answer::failed(&error),
    }
}

/// Tells in what kind of file system a path lies: what stands for the kernel's are the kernel's.
pub(super) fn file_system(supervisor: &mut Supervisor<'_>, call: &Call, (directory, path): Place) -> Answer {
    let path = supervisor.memories.string(&supervisor.calls, call, path);
    let found = path.and_then(|path| supervisor.sight.place(call.thread, directory, &path));
    tell_file_system(supervisor, call, found.as_deref())
}

/// The same for an open file.
pub(super) fn file_system_of_open(supervisor: &mut Supervisor<'_>, call: &Call) -> Answer {
    let found = supervisor.sight.open_file(call.thread, call.number_at(0));
    tell_file_system(supervisor, call, found.as_deref())
}

fn tell_file_system(supervisor: &mut Supervisor<'_>, call: &Call, place: Option<&[u8]>) -> Answer {
    let kernel_s = ["/proc", "/sys"]
        .into_iter()
        .find(|name| place.is_some_and(|place| Path::new(OsStr::from_bytes(place)).starts_with(name)));
    let Some(path) = kernel_s.and_then(|name| CString::new(name).ok()) else { return Answer::Proceed };
    // SAFETY: all zeros is a valid answer.
    let mut answer: libc::statfs = unsafe { std::mem::zeroed() };
    // SAFETY: the string ends with NUL, and the answer is valid for writing.
    if let Err(errno) = Errno::result(unsafe { libc::statfs(path.as_ptr(), &raw mut answer) }) {
        return Answer::Error(errno as i32);
    }
    supervisor.give(call, call.address_at(1), &bytes_of(&answer), 0)
}

/// Tells whether the caller may use a file.
pub(super) fn access(
    supervisor: &mut Supervisor<'_>,
    call: &Call,
    place: Place,
    mode: i32,
    flags: i32,
) -> Answer {
    let Some(found) = supervisor.look(call, place, last_of(flags)) else { return Answer::Proceed };
    let Some(path) = found.place() else { return Answer::Proceed };
    let answer = act(call, &found, &path, |path| {
        // SAFETY: the string ends with NUL.
        let answer = unsafe { libc::faccessat(libc::AT_FDCWD, path.as_ptr(), mode, libc::AT_EACCESS) };
        Ok(Errno::result(answer).map(drop)?)
    });
    answer.map_or_else(|error| Answer::failed(&error), |()| Answer::Value(0))
}

/// Changes an open file that is called by its name in `/proc`.
pub(super) fn change(supervisor: &mut Supervisor<'_>, call: &Call) -> Answer {
    let (number, at) = (|index| call.number_at(index), |index| call.address_at(index));
    let (place, flags) = match call.number {
        libc::SYS_fchmodat => ((number(0), at(1)), 0),
        libc::SYS_fchownat => ((number(0), at(1)), number(4)),
        libc::SYS_fchmodat2 | libc::SYS_utimensat => ((number(0), at(1)), number(3)),
        _ => ((libc::AT_FDCWD, at(0)), 0),
    };
    if at(1) == 0 && call.number == libc::SYS_utimensat {
        return Answer::Proceed;
    }
    let Some(found) = supervisor.look(call, place, last_of(flags)) else { return Answer::Proceed };
    let (Special::Descriptor(_), Some(path)) = (&found.what, found.place()) else { return Answer::Proceed };
    let times = match (call.number, at(2)) {
        (libc::SYS_utimensat, address) if address != 0 => {
            let mut times = [0; 32];
            match supervisor.memories.read(&supervisor.calls, call, address, &mut times) {
                Some(()) => Some(times),
                None => return Answer::Error(libc::EFAULT),
            }
        }
        _ => None,
    };
    let answer = act(call, &found, &path, |path| Ok(Errno::result(carry_out(call, path, times)).map(drop)?));
    answer.map_or_else(|error| Answer::failed(&error), |()| Answer::Value(0))
}

fn carry_out(call: &Call, path: &CString, times: Option<[u8; 32]>) -> i32 {
    let (number, path) = (|index| call.number_at(index) as u32, path.as_ptr());
    let times = times.as_ref().map_or(std::ptr::null(), |times| times.as_ptr().cast());
    // SAFETY: the string ends with NUL, and there are two times or none.
    unsafe {
        match call.number {
            libc::SYS_fchmodat | libc::SYS_fchmodat2 => libc::chmod(path, number(2)),
            libc::SYS_fchownat => libc::chown(path, number(2), number(3)),
            libc::SYS_utimensat => libc::utimensat(libc::AT_FDCWD, path, times, 0),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_chmod => libc::chmod(path, number(1)),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_chown => libc::chown(path, number(1), number(2)),
            _ => -1,
        }
    }
}

/// Returns the program's path where it has a bit that would make somebody else of the caller.
pub(super) fn disarmed(
    supervisor: &Supervisor<'_>,
    call: &Call,
    directory: i32,
    program: &[u8],
) -> Option<PathBuf> {
    let (path, stat) = supervisor.sight.describe(call.thread, directory, program)?;
    if stat.st_mode & (libc::S_ISUID | libc::S_ISGID) == 0 {
        return None;
    }
    let who = identity(call.thread).ok().filter(|who| who.uid != 0)?;
    let becomes_user = stat.st_mode & libc::S_ISUID != 0 && stat.st_uid != who.uid;
    let becomes_group = stat.st_mode & libc::S_ISGID != 0 && stat.st_gid != who.gid;
    let path = PathBuf::from(OsString::from_vec(path));
    (becomes_user || becomes_group).then_some(path)
}

fn act<T>(
    call: &Call,
    found: &Found,
    path: &Path,
    act: impl FnOnce(&CString) -> io::Result<T>,
) -> io::Result<T> {
    let path = CString::new(path.as_os_str().as_bytes()).map_err(|_| Errno::EINVAL)?;
    found.act(call.thread, || act(&path))
}

fn last_of(flags: i32) -> Last {
    if flags & libc::AT_SYMLINK_NOFOLLOW != 0 { Last::Kept } else { Last::Followed }
}

fn bytes_of<T: Copy>(value: &T) -> Vec<u8> {
    let start = std::ptr::from_ref(value).cast::<u8>();
    // SAFETY: the kernel's structures are plain numbers, and this is as long as the value; its gaps were zeroed.
    unsafe { std::slice::from_raw_parts(start, size_of::<T>()) }.to_vec()
}
