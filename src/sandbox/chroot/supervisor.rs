//! Answers the calls that the filter shows: gives what a marker stands for, and keeps the command's processes among
//! themselves.

use std::ffi::{CString, OsStr};
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::errno::Errno;
use nix::libc;
use rustix::fs::{AtFlags, unlinkat};

use super::furniture::{Special, path_of};
use super::sight::{Found, Last, Sight};
use super::{attributes, list, names, paths, signals};
use crate::sandbox::callers::{Memories, identity};
use crate::sandbox::calls::{Answer, Call, Calls};
use crate::sandbox::filter::ARCHITECTURE;
use crate::sandbox::watch::{Watch, removed_path_of};

/// What the command met that it would not have met elsewhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Met {
    /// It asked for a network that it was not to have.
    pub(super) network: bool,
    /// It is, or started, a program for another architecture.
    pub(super) foreign: bool,
    /// A program that would have become somebody else by a bit of its file's mode.
    pub(super) disarmed: Option<PathBuf>,
}

/// Answers calls.
pub(super) struct Supervisor<'a> {
    pub(super) calls: Calls,
    pub(super) sight: Sight,
    pub(super) host_name: String,
    pub(super) memories: Memories,
    pub(super) met: Met,
    /// Is told of what starts.
    watch: Option<Watch<'a>>,
    /// Whether a program's file may still give privileges.
    keeps_privileges: bool,
}

impl<'a> Supervisor<'a> {
    pub(super) fn new(
        calls: Calls,
        sight: Sight,
        host_name: String,
        watch: Option<Watch<'a>>,
        keeps_privileges: bool,
    ) -> Supervisor<'a> {
        let (memories, met) = (Memories::default(), Met::default());
        Supervisor { calls, sight, host_name, memories, met, watch, keeps_privileges }
    }

    /// Answers until nobody is left, or `stop` is closed.
    pub(super) fn serve(mut self, stop: &impl AsFd) -> Met {
        while let Some(call) = self.calls.next(stop) {
            let answer = self.decide(&call);
            self.calls.answer(&call, answer);
        }
        self.met
    }

    fn decide(&mut self, call: &Call) -> Answer {
        if call.architecture != ARCHITECTURE {
            self.met.foreign = true;
            return Answer::Error(libc::ENOSYS);
        }
        let removes = removed_path_of(call).is_some();
        if let Some(watch) = self.watch.filter(|_| removes) {
            watch.tell(&self.calls, &mut self.memories, call);
        }
        self.answer(call).unwrap_or_else(|| match removes {
            true => Answer::Proceed,
            false => signals::decide(call, self.sight.first),
        })
    }

    /// Answers a call that paths, the network or the system's name are asked with; `None` for all others.
    fn answer(&mut self, call: &Call) -> Option<Answer> {
        let number = |index| call.number_at(index);
        let at = |index| call.address_at(index);
        Some(match call.number {
            libc::SYS_openat => self.open(call, number(0), at(1), number(2)),
            libc::SYS_openat2 => self.open_with(call),
            libc::SYS_newfstatat => paths::stat(self, call, (number(0), at(1)), number(3), at(2)),
            libc::SYS_statx => paths::statx(self, call),
            libc::SYS_faccessat => paths::access(self, call, (number(0), at(1)), number(2), 0),
            libc::SYS_faccessat2 => paths::access(self, call, (number(0), at(1)), number(2), number(3)),
            libc::SYS_readlinkat => self.read_link(call, (number(0), at(1)), at(2), at(3)),
            libc::SYS_fchmodat | libc::SYS_fchmodat2 | libc::SYS_fchownat | libc::SYS_utimensat => {
                paths::change(self, call)
            }
            libc::SYS_linkat => names::link(self, call),
            libc::SYS_renameat | libc::SYS_renameat2 => {
                names::move_file(self, call, (number(0), at(1)), (number(2), at(3)))
            }
            libc::SYS_getxattr | libc::SYS_setxattr | libc::SYS_listxattr | libc::SYS_removexattr => {
                attributes::attribute(self, call)
            }
            libc::SYS_statfs => paths::file_system(self, call, (libc::AT_FDCWD, at(0))),
            libc::SYS_fstatfs => paths::file_system_of_open(self, call),
            libc::SYS_execve => self.execute(call, libc::AT_FDCWD, at(0)),
            libc::SYS_execveat => self.execute(call, number(0), at(1)),
            libc::SYS_uname => self.tell_name(call),
            libc::SYS_socket => {
                self.met.network = true;
                Answer::Error(libc::EAFNOSUPPORT)
            }
            #[cfg(target_arch = "x86_64")]
            libc::SYS_open => self.open(call, libc::AT_FDCWD, at(0), number(1)),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_creat => {
                self.open(call, libc::AT_FDCWD, at(0), libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC)
            }
            #[cfg(target_arch = "x86_64")]
            libc::SYS_stat => paths::stat(self, call, (libc::AT_FDCWD, at(0)), 0, at(1)),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_lstat => {
                paths::stat(self, call, (libc::AT_FDCWD, at(0)), libc::AT_SYMLINK_NOFOLLOW, at(1))
            }
            #[cfg(target_arch = "x86_64")]
            libc::SYS_access => paths::access(self, call, (libc::AT_FDCWD, at(0)), number(1), 0),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_readlink => self.read_link(call, (libc::AT_FDCWD, at(0)), at(1), at(2)),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_rename | libc::SYS_link => {
                names::move_file(self, call, (libc::AT_FDCWD, at(0)), (libc::AT_FDCWD, at(1)))
            }
            #[cfg(target_arch = "x86_64")]
            libc::SYS_chmod | libc::SYS_chown => paths::change(self, call),
            _ => return None,
        })
    }

    /// Returns what a path in the caller's memory stands for.
    pub(super) fn look(&mut self, call: &Call, (directory, path): (i32, u64), last: Last) -> Option<Found> {
        let path = self.memories.string(&self.calls, call, path)?;
        self.sight.look(call.thread, directory, &path, last)
    }

    /// Writes to the caller's memory; its call returns `value` then.
    pub(super) fn give(&mut self, call: &Call, address: u64, bytes: &[u8], value: i64) -> Answer {
        match self.memories.write(&self.calls, call, address, bytes) {
            Some(()) => Answer::Value(value),
            None => Answer::Error(libc::EFAULT),
        }
    }

    fn open(&mut self, call: &Call, directory: i32, path: u64, flags: i32) -> Answer {
        let is_link_kept = flags & libc::O_NOFOLLOW != 0;
        let last = if is_link_kept { Last::Kept } else { Last::Followed };
        let Some(found) = self.look(call, (directory, path), last) else { return Answer::Proceed };
        let is_new = libc::O_CREAT | libc::O_EXCL;
        if flags & is_new == is_new {
            return Answer::Error(libc::EEXIST);
        }
        let closes_on_exec = flags & libc::O_CLOEXEC != 0;
        match self.opened(call, &found, flags) {
            Ok(Some(file)) => Answer::Open { file, closes_on_exec },
            Ok(None) => Answer::Proceed,
            Err(error) => Answer::failed(&error),
        }
    }

    fn open_with(&mut self, call: &Call) -> Answer {
        let mut flags = [0; 8];
        let read = self.memories.read(&self.calls, call, call.address_at(2), &mut flags);
        match read {
            Some(()) => {
                let flags = u64::from_ne_bytes(flags) as i32;
                self.open(call, call.number_at(0), call.address_at(1), flags)
            }
            None => Answer::Proceed,
        }
    }

    fn opened(&mut self, call: &Call, found: &Found, flags: i32) -> io::Result<Option<OwnedFd>> {
        match &found.what {
            Special::Caller | Special::CallerThread => return Err(Errno::ELOOP.into()),
            Special::Process => return Ok(None),
            Special::Processes => return list::processes(&self.sight).map(|()| None),
            Special::Descriptors => return list::descriptors(&mut self.sight, found.whose).map(Some),
            Special::OwnLink(_) if flags & libc::O_NOFOLLOW != 0 => return Err(Errno::ELOOP.into()),
            Special::Memory(_) if flags & libc::O_ACCMODE != libc::O_RDONLY => {
                return Err(Errno::EROFS.into());
            }
            _ => {}
        }
        if flags & libc::O_DIRECTORY != 0 && !matches!(found.what, Special::OwnLink("cwd")) {
            return Err(Errno::ENOTDIR.into());
        }
        let Some(place) = found.place() else { return Ok(None) };
        let kept = libc::O_ACCMODE | libc::O_APPEND | libc::O_PATH | libc::O_TRUNC | libc::O_DIRECTORY;
        let own = libc::O_CLOEXEC | libc::O_NOCTTY | libc::O_NONBLOCK;
        let file = found.act(call.thread, || open(&place, flags & kept | own))?;
        if self.leads_out(&file)? {
            return Err(Errno::EACCES.into());
        }
        if flags & (libc::O_NONBLOCK | libc::O_PATH) == 0 {
            let settled = rustix::fs::fcntl_getfl(&file)? - rustix::fs::OFlags::NONBLOCK;
            rustix::fs::fcntl_setfl(&file, settled)?;
        }
        if let Special::Terminals = found.what {
            self.note_terminal(&file)?;
        }
        Ok(Some(file))
    }

    /// Whoever had a directory outside of the root would be out of it.
    fn leads_out(&self, file: &OwnedFd) -> io::Result<bool> {
        if !rustix::fs::FileType::from_raw_mode(rustix::fs::fstat(file)?.st_mode).is_dir() {
            return Ok(false);
        }
        let path = path_of(file)?;
        Ok(self.sight.inside(path.as_os_str().as_bytes()).is_none())
    }

    /// Makes the other end of a new terminal known.
    fn note_terminal(&mut self, terminal: &OwnedFd) -> io::Result<()> {
        let mut number: libc::c_uint = 0;
        // SAFETY: the kernel writes one number.
        let answer = unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCGPTN, &raw mut number) };
        Errno::result(answer)?;
        let other_end = open(Path::new(&format!("/dev/pts/{number}")), libc::O_PATH | libc::O_CLOEXEC)?;
        let special = Special::Terminal(Arc::new(other_end));
        let (terminals, name) = (&self.sight.shelves.terminals, number.to_string());
        // One that had the number before is gone.
        let _ = unlinkat(terminals, &name, AtFlags::empty());
        self.sight.markers.make_in(terminals, &name, 0o620, special)
    }

    fn read_link(&mut self, call: &Call, path: (i32, u64), buffer: u64, size: u64) -> Answer {
        let Some(found) = self.look(call, path, Last::Kept) else { return Answer::Proceed };
        let target = match self.link_target(call, &found) {
            Ok(Some(target)) => target,
            Ok(None) => return Answer::Error(libc::EINVAL),
            Err(error) => return Answer::failed(&error),
        };
        let size = usize::try_from(size).unwrap_or(usize::MAX).min(target.len());
        let shown = target.get(..size).unwrap_or(&target);
        self.give(call, buffer, shown, shown.len() as i64)
    }

    fn link_target(&self, call: &Call, found: &Found) -> io::Result<Option<Vec<u8>>> {
        let process = || identity(call.thread).map(|who| who.process);
        let place = match &found.what {
            Special::Caller => return Ok(Some(process()?.to_string().into_bytes())),
            Special::CallerThread => {
                return Ok(Some(format!("{}/task/{}", process()?, call.thread).into_bytes()));
            }
            Special::OwnLink(_) | Special::Descriptor(_) => found.place(),
            _ => None,
        };
        let Some(place) = place else { return Ok(None) };
        let target = found.act(call.thread, || fs::read_link(&place))?;
        let target = target.as_os_str().as_bytes();
        Ok(Some(self.sight.inside(target).unwrap_or_else(|| target.to_vec())))
    }

    /// Notes what the program loses here; its memory is another's from now on.
    fn execute(&mut self, call: &Call, directory: i32, path: u64) -> Answer {
        if let Some(watch) = self.watch {
            watch.tell(&self.calls, &mut self.memories, call);
        }
        let program = self.memories.string(&self.calls, call, path);
        if !self.keeps_privileges
            && let Some(program) = program
            && let Some(disarmed) = paths::disarmed(self, call, directory, &program)
        {
            self.met.disarmed.get_or_insert(disarmed);
        }
        self.name_program(call, directory, path);
        self.memories.forget(call.thread);
        Answer::Proceed
    }

    /// Where the program is called by a name in `/proc`, puts a name in the caller's memory that the kernel can follow.
    /// That memory is gone as soon as the program runs.
    fn name_program(&mut self, call: &Call, directory: i32, path: u64) -> Option<()> {
        let found = self.look(call, (directory, path), Last::Followed)?;
        if !matches!(found.what, Special::OwnLink("exe") | Special::Descriptor(_)) {
            return None;
        }
        let target = self.link_target(call, &found).ok()??;
        let called = self.memories.string(&self.calls, call, path)?;
        let last = Path::new(OsStr::from_bytes(&called)).file_name()?;
        let name = list::program(&mut self.sight, &target, last).ok()?;
        (name.len() <= called.len()).then_some(())?;
        self.memories.write(&self.calls, call, path, &[name.as_slice(), b"\0"].concat())
    }

    fn tell_name(&mut self, call: &Call) -> Answer {
        const FIELD: usize = 65;
        let system = rustix::system::uname();
        let fields = [
            system.sysname().to_bytes(),
            self.host_name.as_bytes(),
            system.release().to_bytes(),
            system.version().to_bytes(),
            system.machine().to_bytes(),
            b"(none)",
        ];
        let mut answer = [0; 6 * FIELD];
        for (slot, field) in answer.chunks_mut(FIELD).zip(fields) {
            let length = field.len().min(FIELD - 1);
            slot[..length].copy_from_slice(&field[..length]);
        }
        self.give(call, call.address_at(0), &answer, 0)
    }
}

fn open(path: &Path, flags: i32) -> io::Result<OwnedFd> {
    let path = CString::new(path.as_os_str().as_bytes()).map_err(|_| Errno::EINVAL)?;
    // SAFETY: the string ends with NUL, and no file is made.
    let fd = Errno::result(unsafe { libc::open(path.as_ptr(), flags) })?;
    // SAFETY: it was opened for us, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
