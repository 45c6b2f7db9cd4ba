//! The seccomp filter of a sandbox without namespaces: which calls are let through, which are refused, and which are
//! shown to the supervisor.
//!
//! What is decided by a filter alone, or by numbers, cannot be talked out of it: another thread may change a path in
//! memory after the supervisor has read it, but no number. So the network, signals and the like are kept by numbers, and
//! paths are only looked at to help.

use nix::libc::{self, sock_filter};

use crate::sandbox::Network;
use crate::sandbox::filter::{NOTIFY, Others, Rule, Test, compile, refuse, syncing};
use crate::sandbox::watch::Watch;

/// Returns the filter.
pub(super) fn filter(network: Network, watch: Option<Watch<'_>>) -> Vec<sock_filter> {
    let shown = SHOWN.iter().map(|&call| Rule::new(call, NOTIFY));
    let watched = watch.map(|watch| watch.rules()).unwrap_or_default();
    let shown = shown.chain(watched);
    let refused = REFUSED.iter().map(|&(call, errno)| Rule::new(call, refuse(errno)));
    let network = match network {
        Network::None => {
            let tests = vec![Test::IsNot(0, libc::AF_UNIX as u32)];
            Some(Rule { call: libc::SYS_socket, tests, action: NOTIFY })
        }
        Network::Host => None,
    };
    // Of programs for another architecture the supervisor tells, before it refuses.
    let others = Others { foreign: NOTIFY, foreign_starts: NOTIFY, x32: refuse(libc::ENOSYS) };
    compile(shown.chain(refused).chain(by_argument()).chain(network).chain(syncing()), &others)
}

/// Calls that look paths up, signal processes, or tell who this host is. None that starts a process is among them: a
/// signal may interrupt what is shown, and no program expects that there.
const SHOWN: &[i64] = &[
    libc::SYS_openat,
    libc::SYS_openat2,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_readlinkat,
    libc::SYS_fchmodat,
    libc::SYS_fchmodat2,
    libc::SYS_fchownat,
    libc::SYS_utimensat,
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_linkat,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_getxattr,
    libc::SYS_setxattr,
    libc::SYS_listxattr,
    libc::SYS_removexattr,
    libc::SYS_statfs,
    libc::SYS_fstatfs,
    libc::SYS_uname,
    libc::SYS_kill,
    libc::SYS_tkill,
    libc::SYS_tgkill,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_tgsigqueueinfo,
    libc::SYS_pidfd_open,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_open,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_creat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_stat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_lstat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_access,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_readlink,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_rename,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_link,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_chmod,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_chown,
];

/// What could pass by the filter, or act on who is outside.
const REFUSED: &[(i64, i32)] = &[
    (libc::SYS_io_uring_setup, libc::ENOSYS),
    (libc::SYS_io_uring_enter, libc::ENOSYS),
    (libc::SYS_io_uring_register, libc::ENOSYS),
    (libc::SYS_process_vm_readv, libc::EPERM),
    (libc::SYS_process_vm_writev, libc::EPERM),
    (libc::SYS_bpf, libc::EPERM),
    (libc::SYS_perf_event_open, libc::EPERM),
    (libc::SYS_userfaultfd, libc::EPERM),
];

fn by_argument() -> Vec<Rule> {
    const FIOSETOWN: u32 = 0x8901;
    const SIOCSPGRP: u32 = 0x8902;
    let shown = |call, tests| Rule { call, tests, action: NOTIFY };
    let refused = |call, errno, tests| Rule { call, tests, action: refuse(errno) };
    let empty_path = libc::AT_EMPTY_PATH as u32;
    vec![
        shown(libc::SYS_newfstatat, vec![Test::Lacks(3, empty_path)]),
        shown(libc::SYS_statx, vec![Test::Lacks(2, empty_path)]),
        shown(libc::SYS_prlimit64, vec![Test::IsNot(0, 0)]),
        shown(libc::SYS_sched_setaffinity, vec![Test::IsNot(0, 0)]),
        shown(libc::SYS_sched_setattr, vec![Test::IsNot(0, 0)]),
        shown(libc::SYS_sched_setparam, vec![Test::IsNot(0, 0)]),
        shown(libc::SYS_sched_setscheduler, vec![Test::IsNot(0, 0)]),
        shown(libc::SYS_setpriority, vec![Test::IsNot(1, 0), Test::IsNot(0, libc::PRIO_PROCESS)]),
        shown(libc::SYS_ioprio_set, vec![Test::IsNot(1, 0), Test::IsNot(0, 1)]),
        shown(libc::SYS_fcntl, vec![Test::Is(1, libc::F_SETOWN as u32)]),
        refused(libc::SYS_fcntl, libc::EINVAL, vec![Test::Is(1, F_SETOWN_EX)]),
        refused(libc::SYS_ioctl, libc::EPERM, vec![Test::Is(1, FIOSETOWN), Test::Is(1, SIOCSPGRP)]),
    ]
}

const F_SETOWN_EX: u32 = 15;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::filter::{ALLOW, ARCHITECTURE, outcome};

    #[test]
    fn calls_are_told_apart_by_their_numbers_and_arguments() {
        let (without, with) = (filter(Network::None, None), filter(Network::Host, None));
        let cases = [
            ("reading", libc::SYS_read, [0; 6], ALLOW),
            ("opening", libc::SYS_openat, [0; 6], NOTIFY),
            ("waiting for a disk", libc::SYS_fsync, [0; 6], refuse(0)),
            ("asking after an open file", libc::SYS_newfstatat, [3, 0, 0, 0x1000, 0, 0], ALLOW),
            ("asking after a path", libc::SYS_newfstatat, [3, 0, 0, 0x100, 0, 0], NOTIFY),
            ("a socket of this host", libc::SYS_socket, [libc::AF_UNIX as u32, 1, 0, 0, 0, 0], ALLOW),
            ("a socket of the network", libc::SYS_socket, [libc::AF_INET as u32, 1, 0, 0, 0, 0], NOTIFY),
            ("its own limits", libc::SYS_prlimit64, [0; 6], ALLOW),
            ("another's limits", libc::SYS_prlimit64, [1, 0, 0, 0, 0, 0], NOTIFY),
            ("signals for another", libc::SYS_fcntl, [3, libc::F_SETOWN as u32, 1, 0, 0, 0], NOTIFY),
            ("the same by a structure", libc::SYS_fcntl, [3, F_SETOWN_EX, 1, 0, 0, 0], refuse(libc::EINVAL)),
            ("a copy of a descriptor", libc::SYS_fcntl, [3, libc::F_DUPFD as u32, 1, 0, 0, 0], ALLOW),
            ("the same for a device", libc::SYS_ioctl, [3, 0x8902, 1, 0, 0, 0], refuse(libc::EPERM)),
            ("x32's kill", libc::SYS_kill | 0x4000_0000, [0; 6], refuse(libc::ENOSYS)),
            ("a ring", libc::SYS_io_uring_setup, [0; 6], refuse(libc::ENOSYS)),
        ];
        for (what, call, arguments, expected) in cases {
            assert_eq!(outcome(&without, ARCHITECTURE, call, arguments), expected, "{what}");
        }
        assert_eq!(outcome(&without, 1, libc::SYS_read, [0; 6]), NOTIFY);
        assert_eq!(outcome(&with, ARCHITECTURE, libc::SYS_socket, [2, 1, 0, 0, 0, 0]), ALLOW);
    }
}
