//! The system calls of the sandbox's child processes.
//!
//! Between the clone and the exec a child is a copy of one thread of a builder that has many: whatever the others
//! held locked stays locked. So nothing here allocates, panics or touches the C library beyond thin wrappers that are
//! safe in a signal handler; what changes credentials goes past the C library, which would ask the other threads.

use std::ffi::CStr;
use std::os::fd::RawFd;
use std::ptr::{null, null_mut};

use nix::libc::{self, c_char, c_int, c_long, c_uint, c_ulong};

/// An answer of the kernel; the error is its number.
pub(super) type Sys<T> = Result<T, i32>;

fn errno() -> i32 {
    // SAFETY: the address of the thread's own error number is always valid.
    unsafe { *libc::__errno_location() }
}

pub(super) fn check(answer: impl Into<c_long>) -> Sys<c_long> {
    match answer.into() {
        -1 => Err(errno()),
        answer => Ok(answer),
    }
}

pub(super) fn done(answer: impl Into<c_long>) -> Sys<()> {
    check(answer).map(drop)
}

/// Starts a process in new namespaces as `flags` say. Answers 0 in the child, and there `pidfd` is not set.
///
/// # Safety
/// In the child, only the functions of this module may be called.
pub(super) unsafe fn clone(flags: c_int, pidfd: Option<&mut RawFd>) -> Sys<i32> {
    let (extra, pidfd) = match pidfd {
        Some(pidfd) => (libc::CLONE_PIDFD, std::ptr::from_mut(pidfd)),
        None => (0, null_mut()),
    };
    let flags = (flags | extra | libc::SIGCHLD) as c_ulong;
    // SAFETY: without CLONE_VM and with no stack of its own, this is a fork; `pidfd` is null or valid for writing.
    let pid =
        unsafe { libc::syscall(libc::SYS_clone, flags, 0 as c_ulong, pidfd, 0 as c_ulong, 0 as c_ulong) };
    check(pid).map(|pid| pid as i32)
}

pub(super) fn exit(code: i32) -> ! {
    // SAFETY: ends the process without running anything of it.
    unsafe { libc::_exit(code) }
}

pub(super) fn mount(
    source: &CStr,
    target: &CStr,
    kind: &CStr,
    flags: c_ulong,
    options: Option<&CStr>,
) -> Sys<()> {
    let options = options.map_or(null(), CStr::as_ptr);
    // SAFETY: all strings end with NUL and outlive the call.
    done(unsafe { libc::mount(source.as_ptr(), target.as_ptr(), kind.as_ptr(), flags, options.cast()) })
}

/// Keeps the devices of the mount at `target` from being opened. What the mount forbids already stays so: the
/// kernel may refuse to allow it.
pub(super) fn forbid_devices(target: &CStr) -> Sys<()> {
    // SAFETY: all zeros is a valid answer.
    let mut answer: libc::statvfs = unsafe { std::mem::zeroed() };
    // SAFETY: the string ends with NUL, and the answer is valid for writing.
    done(unsafe { libc::statvfs(target.as_ptr(), &raw mut answer) })?;
    // These flags have the same bits in a question and in an answer.
    let kept = answer.f_flag & (libc::MS_RDONLY | libc::MS_NOSUID | libc::MS_NOEXEC);
    mount(c"none", target, c"", libc::MS_REMOUNT | libc::MS_BIND | libc::MS_NODEV | kept, None)
}

pub(super) fn unmount(target: &CStr) -> Sys<()> {
    // SAFETY: the string ends with NUL.
    done(unsafe { libc::umount2(target.as_ptr(), libc::MNT_DETACH | libc::UMOUNT_NOFOLLOW) })
}

/// As [`unmount`], where the path is a link of `/proc` that stands for an open mount.
pub(super) fn unmount_link(target: &CStr) -> Sys<()> {
    // SAFETY: the string ends with NUL.
    done(unsafe { libc::umount2(target.as_ptr(), libc::MNT_DETACH) })
}

/// Makes `.` the root, and hides the old one with all its mounts.
pub(super) fn pivot_to_here() -> Sys<()> {
    let here = c".".as_ptr();
    // SAFETY: the strings end with NUL.
    done(unsafe { libc::syscall(libc::SYS_pivot_root, here, here) })?;
    // SAFETY: the string ends with NUL; `.` is the old root now.
    done(unsafe { libc::umount2(here, libc::MNT_DETACH) })?;
    change_directory(c"/")
}

/// Returns a mount of `path`, or of the open `from` itself, that is nowhere yet.
pub(super) fn open_tree(from: RawFd, path: &CStr) -> Sys<RawFd> {
    let flags = libc::OPEN_TREE_CLONE | libc::OPEN_TREE_CLOEXEC | libc::AT_EMPTY_PATH as c_uint;
    // SAFETY: the string ends with NUL.
    check(unsafe { libc::syscall(libc::SYS_open_tree, from, path.as_ptr(), flags) }).map(|fd| fd as RawFd)
}

/// Puts a mount of [`open_tree`] on what `place` is open at.
pub(super) fn move_mount(tree: RawFd, place: RawFd) -> Sys<()> {
    const FROM_EMPTY_PATH: c_uint = 0x04;
    const TO_EMPTY_PATH: c_uint = 0x40;
    let (empty, flags) = (c"".as_ptr(), FROM_EMPTY_PATH | TO_EMPTY_PATH);
    // SAFETY: the strings end with NUL.
    done(unsafe { libc::syscall(libc::SYS_move_mount, tree, empty, place, empty, flags) })
}

/// Opens `path` from `directory` on.
pub(super) fn open_at(directory: RawFd, path: &CStr, flags: c_int, mode: u32) -> Sys<RawFd> {
    // SAFETY: the string ends with NUL, and the mode is given.
    check(unsafe { libc::openat(directory, path.as_ptr(), flags, mode as c_uint) }).map(|fd| fd as RawFd)
}

/// Opens `path`, whose links lead where they lead for somebody to whom `root` is `/`; those of `/proc` lead nowhere.
pub(super) fn open_inside(root: RawFd, path: &CStr, flags: c_int) -> Sys<RawFd> {
    // SAFETY: all zeros is a valid request.
    let mut how: libc::open_how = unsafe { std::mem::zeroed() };
    how.flags = flags as u64;
    how.resolve = libc::RESOLVE_IN_ROOT | libc::RESOLVE_NO_MAGICLINKS;
    let size = size_of::<libc::open_how>();
    loop {
        // SAFETY: the string ends with NUL, and the request is as long as it says.
        let fd = unsafe { libc::syscall(libc::SYS_openat2, root, path.as_ptr(), &raw const how, size) };
        match check(fd) {
            // Something was renamed meanwhile.
            Err(libc::EAGAIN) => {}
            answer => return answer.map(|fd| fd as RawFd),
        }
    }
}

/// Describes `name` of `directory`, without following it, or, where it is empty, the open file itself.
pub(super) fn stat(directory: RawFd, name: &CStr) -> Sys<libc::stat> {
    // SAFETY: all zeros is a valid answer.
    let mut answer: libc::stat = unsafe { std::mem::zeroed() };
    let flags = libc::AT_SYMLINK_NOFOLLOW | libc::AT_EMPTY_PATH;
    // SAFETY: the string ends with NUL, and the answer is valid for writing.
    done(unsafe { libc::fstatat(directory, name.as_ptr(), &raw mut answer, flags) })?;
    Ok(answer)
}

/// Tells which file `path` leads to, whatever links are on the way: device and number.
pub(super) fn identify(path: &CStr) -> Sys<(u64, u64)> {
    // SAFETY: all zeros is a valid answer.
    let mut answer: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: the string ends with NUL, and the answer is valid for writing.
    done(unsafe { libc::stat(path.as_ptr(), &raw mut answer) })?;
    Ok((answer.st_dev, answer.st_ino))
}

/// Tells what kind of file system an open file lies in.
pub(super) fn file_system(fd: RawFd) -> Sys<i64> {
    // SAFETY: all zeros is a valid answer.
    let mut answer: libc::statfs = unsafe { std::mem::zeroed() };
    // SAFETY: the answer is valid for writing.
    done(unsafe { libc::fstatfs(fd, &raw mut answer) })?;
    #[allow(clippy::unnecessary_cast, reason = "the type is not the same everywhere")]
    Ok(answer.f_type as i64)
}

/// Reads an open symbolic link; returns its length, of which as much as fits is in the buffer.
pub(super) fn read_link(link: RawFd, buffer: &mut [u8]) -> Sys<usize> {
    let (empty, start, length) = (c"".as_ptr(), buffer.as_mut_ptr().cast(), buffer.len());
    // SAFETY: the string ends with NUL, and the buffer is as long as it says.
    check(unsafe { libc::readlinkat(link, empty, start, length) } as c_long).map(|n_bytes| n_bytes as usize)
}

/// Reads the beginning of an open file; returns how many bytes that were.
pub(super) fn read(fd: RawFd, buffer: &mut [u8]) -> Sys<usize> {
    // SAFETY: the buffer is as long as it says.
    check(unsafe { libc::read(fd, buffer.as_mut_ptr().cast(), buffer.len()) } as c_long).map(|n| n as usize)
}

/// Sets when a directory was last changed, in seconds and nanoseconds.
pub(super) fn set_mtime(directory: RawFd, (seconds, nanoseconds): (i64, i64)) -> Sys<()> {
    let kept = libc::timespec { tv_sec: 0, tv_nsec: libc::UTIME_OMIT };
    let times = [kept, libc::timespec { tv_sec: seconds, tv_nsec: nanoseconds }];
    // SAFETY: the string ends with NUL, and there are two times.
    done(unsafe { libc::utimensat(directory, c".".as_ptr(), times.as_ptr(), 0) })
}

pub(super) fn change_directory_to(directory: RawFd) -> Sys<()> {
    // SAFETY: numbers only.
    done(unsafe { libc::fchdir(directory) })
}

/// Leaves the builder's control groups out of sight.
pub(super) fn hide_groups() -> Sys<()> {
    // SAFETY: numbers only; there is one thread.
    done(unsafe { libc::unshare(libc::CLONE_NEWCGROUP) })
}

pub(super) fn change_directory(path: &CStr) -> Sys<()> {
    // SAFETY: the string ends with NUL.
    done(unsafe { libc::chdir(path.as_ptr()) })
}

pub(super) fn make_directory(path: &CStr, mode: u32) -> Sys<()> {
    // SAFETY: the string ends with NUL.
    done(unsafe { libc::mkdir(path.as_ptr(), mode) })
}

pub(super) fn make_directory_at(parent: RawFd, name: &CStr, mode: u32) -> Sys<()> {
    // SAFETY: the string ends with NUL.
    done(unsafe { libc::mkdirat(parent, name.as_ptr(), mode) })
}

pub(super) fn remove_directory(parent: RawFd, name: &CStr) -> Sys<()> {
    // SAFETY: the string ends with NUL.
    done(unsafe { libc::unlinkat(parent, name.as_ptr(), libc::AT_REMOVEDIR) })
}

pub(super) fn remove_file(parent: RawFd, name: &CStr) -> Sys<()> {
    // SAFETY: the string ends with NUL.
    done(unsafe { libc::unlinkat(parent, name.as_ptr(), 0) })
}

/// Makes a file that wasn't there.
pub(super) fn make_file(path: &CStr, content: &[u8], mode: u32, (uid, gid): (u32, u32)) -> Sys<()> {
    let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL | libc::O_CLOEXEC;
    let fd = open_at(libc::AT_FDCWD, path, flags, 0o600)?;
    let mut rest = content;
    while !rest.is_empty() {
        // SAFETY: the buffer is valid for its length.
        let n_bytes = check(unsafe { libc::write(fd, rest.as_ptr().cast(), rest.len()) } as c_long)?;
        rest = rest.get(n_bytes as usize..).unwrap_or_default();
    }
    // SAFETY: numbers only.
    done(unsafe { libc::fchown(fd, uid, gid) })?;
    // SAFETY: numbers only.
    done(unsafe { libc::fchmod(fd, mode) })?;
    close(fd);
    Ok(())
}

pub(super) fn make_symlink(target: &CStr, path: &CStr) -> Sys<()> {
    // SAFETY: both strings end with NUL.
    done(unsafe { libc::symlink(target.as_ptr(), path.as_ptr()) })
}

pub(super) fn make_character_device(path: &CStr, major: u32, minor: u32) -> Sys<()> {
    let device = libc::makedev(major, minor);
    // SAFETY: the string ends with NUL.
    done(unsafe { libc::mknod(path.as_ptr(), libc::S_IFCHR | 0o666, device) })
}

/// Whether a symbolic link stands at `path`.
pub(super) fn is_symlink(path: &CStr) -> bool {
    let mut byte: c_char = 0;
    // SAFETY: the string ends with NUL, and one byte may be written to.
    unsafe { libc::readlink(path.as_ptr(), &raw mut byte, 1) >= 0 }
}

/// Opens a directory as a place only, under the number `number`, which is in use for nothing of worth.
pub(super) fn open_place(path: &CStr, number: RawFd) -> Sys<()> {
    let flags = libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC;
    // SAFETY: the string ends with NUL.
    let fd = check(unsafe { libc::open(path.as_ptr(), flags) })? as RawFd;
    move_descriptor(fd, number)
}

/// Gives an open file the number `number`, which is in use for nothing of worth, instead of its own.
pub(super) fn move_descriptor(fd: RawFd, number: RawFd) -> Sys<()> {
    // SAFETY: numbers only; the builder's own descriptors are a copy here.
    done(unsafe { libc::dup3(fd, number, libc::O_CLOEXEC) })?;
    close(fd);
    Ok(())
}

/// Returns another number of an open file.
pub(super) fn duplicate(fd: RawFd) -> Sys<RawFd> {
    // SAFETY: numbers only.
    check(unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 3) }).map(|fd| fd as RawFd)
}

/// Makes `fd` also known as `number`, and passes that on to programs.
pub(super) fn duplicate_to(fd: RawFd, number: RawFd) -> Sys<()> {
    // SAFETY: numbers only; the builder's own descriptors are a copy here.
    done(unsafe { libc::dup2(fd, number) })
}

pub(super) fn close(fd: RawFd) {
    // SAFETY: numbers only; the builder's own descriptors are a copy here.
    unsafe { libc::close(fd) };
}

/// Closes the descriptors from `first` to `last`.
pub(super) fn close_range(first: RawFd, last: RawFd) -> Sys<()> {
    if first > last {
        return Ok(());
    }
    // SAFETY: numbers only; the builder's own descriptors are a copy here.
    done(unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) })
}

/// Writes a short message, of which a pipe takes all at once.
pub(super) fn write(fd: RawFd, bytes: &[u8]) -> Sys<()> {
    // SAFETY: the buffer is valid for its length.
    done(unsafe { libc::write(fd, bytes.as_ptr().cast(), bytes.len()) } as c_long)
}

/// Writes a short text to a file that is there.
pub(super) fn overwrite(path: &CStr, text: &[u8]) -> Sys<()> {
    let fd = open_at(libc::AT_FDCWD, path, libc::O_WRONLY | libc::O_CLOEXEC, 0)?;
    let answer = write(fd, text);
    close(fd);
    answer
}

/// Whether nobody can read any more what is written to this pipe.
pub(super) fn has_no_reader(pipe: RawFd) -> bool {
    let mut poll = libc::pollfd { fd: pipe, events: 0, revents: 0 };
    // SAFETY: one structure is given, and announced.
    unsafe { libc::poll(&raw mut poll, 1, 0) == 1 && poll.revents & libc::POLLERR != 0 }
}

pub(super) fn process_control(option: c_int, argument: c_ulong) -> Sys<()> {
    // SAFETY: only options that take numbers are used here.
    done(unsafe { libc::prctl(option, argument, 0 as c_ulong, 0 as c_ulong, 0 as c_ulong) })
}

/// Asks for a signal when the thread that made this process ends.
pub(super) fn follow_parent(signal: c_int) -> Sys<()> {
    process_control(libc::PR_SET_PDEATHSIG, signal as c_ulong)
}

/// Becomes the parent of all orphans among this process's descendants.
pub(super) fn adopt_orphans() -> Sys<()> {
    process_control(libc::PR_SET_CHILD_SUBREAPER, 1)
}

/// Makes an open directory the root.
pub(super) fn enter_root(directory: RawFd) -> Sys<()> {
    change_directory_to(directory)?;
    // SAFETY: the string ends with NUL.
    done(unsafe { libc::chroot(c".".as_ptr()) })?;
    change_directory(c"/")
}

/// Keeps this process's memory from all others.
pub(super) fn hide_memory() -> Sys<()> {
    process_control(libc::PR_SET_DUMPABLE, 0)
}

pub(super) fn name_process(name: &CStr) -> Sys<()> {
    // SAFETY: the string ends with NUL; the kernel copies 16 bytes at most.
    done(unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr(), 0 as c_ulong, 0 as c_ulong, 0 as c_ulong) })
}

/// Fills memory of this process with zeros.
///
/// # Safety
/// The range must be mapped, writable, and used by nothing that runs after this.
pub(super) unsafe fn wipe(start: usize, end: usize) {
    // SAFETY: the caller says so.
    unsafe { std::ptr::write_bytes(start as *mut u8, 0, end.saturating_sub(start)) };
}

/// Lets every signal do what it does by default, and come through.
pub(super) fn reset_signals() -> Sys<()> {
    for signal in 1..=64 {
        // SAFETY: the default needs no handler. Some signals cannot be set, and need not be.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    block_signals(&[])
}

/// The kernel's signal sets have 64 bits.
fn set_of(signals: &[c_int]) -> u64 {
    signals.iter().fold(0, |set, signal| set | 1 << (signal - 1))
}

/// Lets exactly these signals wait until they are asked for.
pub(super) fn block_signals(signals: &[c_int]) -> Sys<()> {
    let set = set_of(signals);
    let (how, size) = (libc::SIG_SETMASK, size_of::<u64>());
    // SAFETY: the set is as long as it says; the old one is not asked for.
    done(unsafe { libc::syscall(libc::SYS_rt_sigprocmask, how, &raw const set, null_mut::<u64>(), size) })
}

/// Waits for one of these signals, which are blocked, and returns it.
pub(super) fn await_signal(signals: &[c_int]) -> Sys<c_int> {
    let (set, size) = (set_of(signals), size_of::<u64>());
    loop {
        let (info, timeout) = (null_mut::<libc::siginfo_t>(), null::<libc::timespec>());
        // SAFETY: the set is as long as it says; no information is asked for, and there is no end to the waiting.
        let signal = unsafe { libc::syscall(libc::SYS_rt_sigtimedwait, &raw const set, info, timeout, size) };
        match check(signal) {
            Err(libc::EINTR) => {}
            answer => return answer.map(|signal| signal as c_int),
        }
    }
}

pub(super) fn set_umask(mask: u32) {
    // SAFETY: numbers only.
    unsafe { libc::umask(mask) };
}

pub(super) fn set_host_name(name: &CStr) -> Sys<()> {
    // SAFETY: the string is as long as it says.
    done(unsafe { libc::sethostname(name.as_ptr(), name.count_bytes()) })
}

pub(super) fn set_domain_name(name: &CStr) -> Sys<()> {
    // SAFETY: the string is as long as it says.
    done(unsafe { libc::setdomainname(name.as_ptr(), name.count_bytes()) })
}

/// Switches the network namespace's loopback interface on.
pub(super) fn switch_loopback_on() -> Sys<()> {
    // SAFETY: numbers only.
    let socket =
        check(unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) })? as RawFd;
    // SAFETY: all zeros is a valid request.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (slot, byte) in request.ifr_name.iter_mut().zip(b"lo") {
        *slot = *byte as c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: the request is valid, and the kernel only reads it.
    let answer = done(unsafe { libc::ioctl(socket, libc::SIOCSIFFLAGS as _, &raw const request) });
    close(socket);
    answer
}

pub(super) fn new_session() {
    // SAFETY: no arguments. It fails only for who leads a session already.
    unsafe { libc::setsid() };
}

/// Leaves the builder's keys behind; where the kernel has none, there is nothing to leave.
pub(super) fn leave_keys() {
    const JOIN_SESSION_KEYRING: c_int = 1;
    // SAFETY: without a name, the new keyring is anonymous.
    unsafe { libc::syscall(libc::SYS_keyctl, JOIN_SESSION_KEYRING, null::<c_char>()) };
}

/// Limits a resource; the hard limit is only lowered.
pub(super) fn limit(resource: libc::__rlimit_resource_t, soft: u64, hard: u64) -> Sys<()> {
    let mut limits = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the structure is valid for writing.
    done(unsafe { libc::getrlimit(resource, &raw mut limits) })?;
    limits.rlim_max = limits.rlim_max.min(hard);
    limits.rlim_cur = soft.min(limits.rlim_max);
    // SAFETY: the structure is valid for reading.
    done(unsafe { libc::setrlimit(resource, &raw const limits) })
}

/// Becomes a program; comes back only with an error.
///
/// # Safety
/// The lists must hold strings that end with NUL, and end with a null pointer.
pub(super) unsafe fn execute(path: &CStr, argv: *const *const c_char, envp: *const *const c_char) -> i32 {
    // SAFETY: the caller says so.
    unsafe { libc::execve(path.as_ptr(), argv, envp) };
    errno()
}

/// Waits for any child; returns who it was and how it ended.
pub(super) fn wait() -> Sys<(i32, i32)> {
    loop {
        let mut status = 0;
        // SAFETY: the status is valid for writing.
        match check(unsafe { libc::waitpid(-1, &raw mut status, libc::__WALL) }) {
            Err(libc::EINTR) => {}
            answer => return answer.map(|pid| (pid as i32, status)),
        }
    }
}

/// Returns a child that has ended, if any has, and how.
pub(super) fn bury() -> Option<(i32, i32)> {
    let mut status = 0;
    // SAFETY: the status is valid for writing.
    let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::__WALL | libc::WNOHANG) };
    (pid > 0).then_some((pid, status))
}

pub(super) fn kill(pid: i32) {
    // SAFETY: numbers only.
    unsafe { libc::kill(pid, libc::SIGKILL) };
}

/// Kills everything in the process namespace but its first process, which calls this.
pub(super) fn kill_all() {
    // SAFETY: numbers only.
    unsafe { libc::kill(-1, libc::SIGKILL) };
}
