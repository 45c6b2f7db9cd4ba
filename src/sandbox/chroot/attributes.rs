//! Extended attributes of an open file that is called by its name in `/proc`, as by systemd's tools for access lists.

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;

use nix::errno::Errno;
use nix::libc;

use super::furniture::Special;
use super::sight::{Found, Last};
use super::supervisor::Supervisor;
use crate::sandbox::calls::{Answer, Call};

/// No value and no list is longer: xattr(7).
const LONGEST: u64 = 64 << 10;

/// Reads or changes an attribute, or lists them.
pub(super) fn attribute(supervisor: &mut Supervisor<'_>, call: &Call) -> Answer {
    let place = (libc::AT_FDCWD, call.address_at(0));
    let Some((found, path)) = open_file(supervisor, call, place) else { return Answer::Proceed };
    let at = |index| call.address_at(index);
    let done = match call.number {
        libc::SYS_listxattr => read(supervisor, call, (at(1), at(2)), &found, |start, size| {
            // SAFETY: the path ends with NUL, and the buffer is as long as it says.
            unsafe { libc::listxattr(path.as_ptr(), start.cast(), size) as i64 }
        }),
        number => match name(supervisor, call) {
            None => Err(Errno::EFAULT.into()),
            Some(name) if !may_be_used(&name) => Err(Errno::EPERM.into()),
            Some(name) => match number {
                libc::SYS_getxattr => read(supervisor, call, (at(2), at(3)), &found, |start, size| {
                    // SAFETY: the strings end with NUL, and the buffer is as long as it says.
                    unsafe { libc::getxattr(path.as_ptr(), name.as_ptr(), start.cast(), size) as i64 }
                }),
                libc::SYS_setxattr => set(supervisor, call, &found, &path, &name),
                _ => act(call, &found, || {
                    // SAFETY: the strings end with NUL.
                    i64::from(unsafe { libc::removexattr(path.as_ptr(), name.as_ptr()) })
                }),
            },
        },
    };
    answer(done)
}

/// Returns the open file that a path in the caller's memory names.
pub(super) fn open_file(
    supervisor: &mut Supervisor<'_>,
    call: &Call,
    place: (i32, u64),
) -> Option<(Found, CString)> {
    let found = supervisor.look(call, place, Last::Followed)?;
    match found.what {
        Special::Descriptor(_) => {
            let path = CString::new(found.place()?.as_os_str().as_bytes()).ok()?;
            Some((found, path))
        }
        _ => None,
    }
}

/// Whether the caller, which is no administrator, may use such attributes: the supervisor may be one.
fn may_be_used(name: &CString) -> bool {
    let name = name.as_bytes();
    name == b"security.capability" || !(name.starts_with(b"trusted.") || name.starts_with(b"security."))
}

fn name(supervisor: &mut Supervisor<'_>, call: &Call) -> Option<CString> {
    let name = supervisor.memories.string(&supervisor.calls, call, call.address_at(1))?;
    CString::new(name).ok()
}

fn set(
    supervisor: &mut Supervisor<'_>,
    call: &Call,
    found: &Found,
    path: &CString,
    name: &CString,
) -> io::Result<i64> {
    let size = call.address_at(3);
    if size > LONGEST {
        return Err(Errno::E2BIG.into());
    }
    let mut value = vec![0; size as usize];
    let read = supervisor.memories.read(&supervisor.calls, call, call.address_at(2), &mut value);
    read.ok_or(Errno::EFAULT)?;
    act(call, found, || {
        let (start, flags) = (value.as_ptr().cast(), call.number_at(4));
        // SAFETY: the strings end with NUL, and the value is as long as it says.
        i64::from(unsafe { libc::setxattr(path.as_ptr(), name.as_ptr(), start, value.len(), flags) })
    })
}

/// Fills a buffer of the caller's, or tells how long it would have to be.
fn read(
    supervisor: &mut Supervisor<'_>,
    call: &Call,
    (buffer, size): (u64, u64),
    found: &Found,
    fill: impl FnOnce(*mut u8, usize) -> i64,
) -> io::Result<i64> {
    let mut bytes = vec![0; size.min(LONGEST) as usize];
    let n_bytes = act(call, found, || fill(bytes.as_mut_ptr(), bytes.len()))?;
    if size > 0 {
        let filled = bytes.get(..usize::try_from(n_bytes).unwrap_or(0)).unwrap_or_default();
        supervisor.memories.write(&supervisor.calls, call, buffer, filled).ok_or(Errno::EFAULT)?;
    }
    Ok(n_bytes)
}

/// Makes a call for the caller.
pub(super) fn act(call: &Call, found: &Found, act: impl FnOnce() -> i64) -> io::Result<i64> {
    found.act(call.thread, || Ok(Errno::result(act())?))
}

/// Tells the caller how that went.
pub(super) fn answer(done: io::Result<i64>) -> Answer {
    match done {
        Ok(value) => Answer::Value(value),
        Err(error) => Answer::failed(&error),
    }
}
