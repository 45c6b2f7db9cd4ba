//! System calls of the sandbox's child processes by which they give up what they may do; see [`syscall`](super::syscall).

use std::os::fd::RawFd;

use nix::libc::{self, c_int, c_long, c_uint, c_ulong};

use super::syscall::{Sys, check, close, done, process_control};

/// Gives up, for all that this process starts, what programs' files would give them.
pub(super) fn forgo_new_privileges() -> Sys<()> {
    process_control(libc::PR_SET_NO_NEW_PRIVS, 1)
}

/// Installs the filter; needs CAP_SYS_ADMIN, for without it the process could never gain privileges again.
pub(super) fn install(filter: &[libc::sock_filter]) -> Sys<()> {
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_ptr().cast_mut() };
    let (mode, flags) = (libc::SECCOMP_SET_MODE_FILTER, libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW);
    // SAFETY: the program is as long as it says; the kernel only reads it.
    done(unsafe { libc::syscall(libc::SYS_seccomp, mode, flags, &raw const program) })
}

/// Installs a filter some of whose calls somebody else answers, at the other end of a socket.
pub(super) fn hand_calls_over(filter: &[libc::sock_filter], socket: RawFd) -> Sys<()> {
    let listener = install_with_listener(filter)?;
    send_descriptor(socket, listener)?;
    close(listener);
    Ok(())
}

/// Installs such a filter; returns where its calls are heard.
fn install_with_listener(filter: &[libc::sock_filter]) -> Sys<RawFd> {
    /// Only a deadly signal interrupts a call that has been heard: Linux 5.19.
    const WAIT_KILLABLE: c_ulong = 1 << 5;
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_ptr().cast_mut() };
    let listener = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER | libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW;
    for flags in [listener | WAIT_KILLABLE, listener] {
        let mode = libc::SECCOMP_SET_MODE_FILTER;
        // SAFETY: the program is as long as it says; the kernel only reads it.
        match check(unsafe { libc::syscall(libc::SYS_seccomp, mode, flags, &raw const program) }) {
            Err(libc::EINVAL) if flags != listener => {}
            answer => return answer.map(|fd| fd as RawFd),
        }
    }
    Err(libc::EINVAL)
}

/// Sends an open file, and one byte, through a socket.
fn send_descriptor(socket: RawFd, fd: RawFd) -> Sys<()> {
    #[repr(C, align(8))]
    struct Control([u8; 32]);
    let mut control = Control([0; 32]);
    let mut part = libc::iovec { iov_base: c"d".as_ptr().cast_mut().cast(), iov_len: 1 };
    // SAFETY: all zeros is a valid message.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    (message.msg_iov, message.msg_iovlen) = (&raw mut part, 1);
    message.msg_control = control.0.as_mut_ptr().cast();
    // SAFETY: the lengths are computed from a number; the room is as long as one descriptor needs.
    unsafe {
        message.msg_controllen = libc::CMSG_SPACE(size_of::<RawFd>() as c_uint) as _;
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        (*header).cmsg_level = libc::SOL_SOCKET;
        (*header).cmsg_type = libc::SCM_RIGHTS;
        (*header).cmsg_len = libc::CMSG_LEN(size_of::<RawFd>() as c_uint) as _;
        libc::CMSG_DATA(header).cast::<RawFd>().write_unaligned(fd);
    }
    // SAFETY: the message is valid, and the kernel only reads it.
    done(unsafe { libc::sendmsg(socket, &raw const message, libc::MSG_NOSIGNAL) } as c_long)
}

/// Takes every capability that is not in `kept` out of what programs may gain.
pub(super) fn bound_capabilities(kept: u64) -> Sys<()> {
    for capability in (0..64).filter(|capability| kept >> capability & 1 == 0) {
        match process_control(libc::PR_CAPBSET_DROP, capability) {
            // There are no more.
            Err(libc::EINVAL) => break,
            answer => answer?,
        }
    }
    Ok(())
}

#[repr(C)]
struct CapabilityHeader {
    version: u32,
    pid: c_int,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct CapabilitySet {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

const CAPABILITY_VERSION: u32 = 0x2008_0522;

/// Returns what this process may do.
pub(super) fn capabilities() -> Sys<u64> {
    let mut header = CapabilityHeader { version: CAPABILITY_VERSION, pid: 0 };
    let mut sets = [CapabilitySet::default(); 2];
    // SAFETY: version 3 fills two sets.
    done(unsafe { libc::syscall(libc::SYS_capget, &raw mut header, sets.as_mut_ptr()) })?;
    let [low, high] = sets;
    Ok(u64::from(low.permitted) | u64::from(high.permitted) << 32)
}

/// Gives up every capability of this process that is not in `kept`.
pub(super) fn limit_capabilities(kept: u64) -> Sys<()> {
    let kept = capabilities()? & kept;
    let mut header = CapabilityHeader { version: CAPABILITY_VERSION, pid: 0 };
    let set = |bits: u64| CapabilitySet { effective: bits as u32, permitted: bits as u32, inheritable: 0 };
    let sets = [set(kept), set(kept >> 32)];
    // SAFETY: version 3 reads two sets.
    done(unsafe { libc::syscall(libc::SYS_capset, &raw mut header, sets.as_ptr()) })
}

/// Becomes somebody else, for good. Where nobody may choose their groups, who wants no others keeps the builder's.
pub(super) fn become_user(uid: u32, gid: u32, groups: &[u32]) -> Sys<()> {
    // SAFETY: the slice is as long as it says.
    match done(unsafe { libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()) }) {
        Err(libc::EPERM) if groups.iter().all(|&group| group == gid) => {}
        answer => answer?,
    }
    // SAFETY: numbers only.
    done(unsafe { libc::syscall(libc::SYS_setresgid, gid, gid, gid) })?;
    // SAFETY: numbers only.
    done(unsafe { libc::syscall(libc::SYS_setresuid, uid, uid, uid) })
}
