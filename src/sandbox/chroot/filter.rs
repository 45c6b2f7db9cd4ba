//! The seccomp filter of a sandbox without namespaces: which calls are let through, which are refused, and which are
//! shown to the supervisor.
//!
//! What is decided by a filter alone, or by numbers, cannot be talked out of it: another thread may change a path in
//! memory after the supervisor has read it, but no number. So the network, signals and the like are kept by numbers, and
//! paths are only looked at to help.

use nix::libc::{self, sock_filter};

use crate::sandbox::Network;
use crate::sandbox::filter::{ARCHITECTURE, SYNCING};

const NUMBER: u32 = 0;
const ARCH: u32 = 4;

const ALLOW: u32 = 0x7fff_0000;
const NOTIFY: u32 = 0x7fc0_0000;
const ERROR: u32 = 0x0005_0000;

/// A call, and what is done where one of the tests is met, or where there are none; else it is let through.
struct Rule {
    call: i64,
    tests: Vec<Test>,
    action: u32,
}

/// A look at an argument.
enum Test {
    Is(u32, u32),
    IsNot(u32, u32),
    Lacks(u32, u32),
    Has(u32, u32),
}

/// Returns the filter.
pub(super) fn filter(network: Network) -> Vec<sock_filter> {
    let mut program = vec![
        load(ARCH),
        jump(libc::BPF_JEQ, ARCHITECTURE, 1, 0),
        // A program for another architecture numbers its calls otherwise: the supervisor tells, and refuses.
        answer(NOTIFY),
        load(NUMBER),
        // The other numbers of amd64's calls, those of x32.
        jump(libc::BPF_JGE, 0x4000_0000, 0, 1),
        answer(ERROR | libc::ENOSYS as u32),
    ];
    for rule in rules(network) {
        program.extend(rule.compile());
    }
    program.push(answer(ALLOW));
    program
}

fn rules(network: Network) -> Vec<Rule> {
    let shown = SHOWN.iter().map(|&call| Rule { call, tests: Vec::new(), action: NOTIFY });
    let banned = REFUSED.iter().map(|&(call, errno)| refused(call, errno, Vec::new()));
    let skipped = SYNCING.iter().map(|&call| refused(call, 0, Vec::new()));
    let mut rules: Vec<Rule> = shown.chain(banned).chain(skipped).chain(by_argument()).collect();
    match network {
        Network::None => rules.push(Rule {
            call: libc::SYS_socket,
            tests: vec![Test::IsNot(0, libc::AF_UNIX as u32)],
            action: NOTIFY,
        }),
        Network::Host => {}
    }
    rules
}

fn refused(call: i64, errno: i32, tests: Vec<Test>) -> Rule {
    Rule { call, tests, action: ERROR | errno as u32 }
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
        refused(libc::SYS_msync, 0, vec![Test::Has(2, libc::MS_SYNC as u32)]),
    ]
}

const F_SETOWN_EX: u32 = 15;

impl Rule {
    /// The accumulator holds the call's number at the beginning, and at the end if this is another call.
    fn compile(&self) -> Vec<sock_filter> {
        let mut body = Vec::new();
        for test in &self.tests {
            let (argument, instruction) = match *test {
                Test::Is(argument, value) => (argument, jump(libc::BPF_JEQ, value, 0, 1)),
                Test::IsNot(argument, value) => (argument, jump(libc::BPF_JEQ, value, 1, 0)),
                Test::Has(argument, bits) => (argument, jump(libc::BPF_JSET, bits, 0, 1)),
                Test::Lacks(argument, bits) => (argument, jump(libc::BPF_JSET, bits, 1, 0)),
            };
            body.extend([load(low_half(argument)), instruction, answer(self.action)]);
        }
        match self.tests.is_empty() {
            true => body.push(answer(self.action)),
            // There may be another rule for the same call.
            false => body.push(load(NUMBER)),
        }
        let mut compiled = vec![jump(libc::BPF_JEQ, self.call as u32, 0, body.len() as u8)];
        compiled.extend(body);
        compiled
    }
}

/// Where the lower half of an argument is found.
fn low_half(argument: u32) -> u32 {
    16 + 8 * argument + if cfg!(target_endian = "little") { 0 } else { 4 }
}

fn load(offset: u32) -> sock_filter {
    sock_filter { code: (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16, jt: 0, jf: 0, k: offset }
}

fn jump(test: u32, value: u32, if_met: u8, if_not: u8) -> sock_filter {
    sock_filter { code: (libc::BPF_JMP | test | libc::BPF_K) as u16, jt: if_met, jf: if_not, k: value }
}

fn answer(value: u32) -> sock_filter {
    sock_filter { code: (libc::BPF_RET | libc::BPF_K) as u16, jt: 0, jf: 0, k: value }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Follows the filter as the kernel does.
    fn outcome(network: Network, arch: u32, call: i64, arguments: [u32; 6]) -> u32 {
        let (filter, mut at, mut loaded) = (filter(network), 0, 0);
        loop {
            let step = filter[at];
            at += 1;
            match u32::from(step.code) & 7 {
                libc::BPF_LD => {
                    loaded = match step.k {
                        NUMBER => call as u32,
                        ARCH => arch,
                        offset => arguments[(offset as usize - 16) / 8],
                    }
                }
                libc::BPF_JMP => {
                    let is_met = match u32::from(step.code) & 0xf0 {
                        libc::BPF_JEQ => loaded == step.k,
                        libc::BPF_JGE => loaded >= step.k,
                        _ => loaded & step.k != 0,
                    };
                    at += usize::from(if is_met { step.jt } else { step.jf });
                }
                _ => return step.k,
            }
        }
    }

    #[test]
    fn calls_are_told_apart_by_their_numbers_and_arguments() {
        let of = |call, arguments| outcome(Network::None, ARCHITECTURE, call, arguments);
        let error = |errno: i32| ERROR | errno as u32;
        let cases = [
            ("reading", libc::SYS_read, [0; 6], ALLOW),
            ("opening", libc::SYS_openat, [0; 6], NOTIFY),
            ("waiting for a disk", libc::SYS_fsync, [0; 6], error(0)),
            ("asking after an open file", libc::SYS_newfstatat, [3, 0, 0, 0x1000, 0, 0], ALLOW),
            ("asking after a path", libc::SYS_newfstatat, [3, 0, 0, 0x100, 0, 0], NOTIFY),
            ("a socket of this host", libc::SYS_socket, [libc::AF_UNIX as u32, 1, 0, 0, 0, 0], ALLOW),
            ("a socket of the network", libc::SYS_socket, [libc::AF_INET as u32, 1, 0, 0, 0, 0], NOTIFY),
            ("its own limits", libc::SYS_prlimit64, [0; 6], ALLOW),
            ("another's limits", libc::SYS_prlimit64, [1, 0, 0, 0, 0, 0], NOTIFY),
            ("signals for another", libc::SYS_fcntl, [3, libc::F_SETOWN as u32, 1, 0, 0, 0], NOTIFY),
            ("the same by a structure", libc::SYS_fcntl, [3, F_SETOWN_EX, 1, 0, 0, 0], error(libc::EINVAL)),
            ("a copy of a descriptor", libc::SYS_fcntl, [3, libc::F_DUPFD as u32, 1, 0, 0, 0], ALLOW),
            ("the same for a device", libc::SYS_ioctl, [3, 0x8902, 1, 0, 0, 0], error(libc::EPERM)),
            ("x32's kill", libc::SYS_kill | 0x4000_0000, [0; 6], error(libc::ENOSYS)),
            ("a ring", libc::SYS_io_uring_setup, [0; 6], error(libc::ENOSYS)),
        ];
        for (what, call, arguments, expected) in cases {
            assert_eq!(of(call, arguments), expected, "{what}");
        }
        assert_eq!(outcome(Network::None, 1, libc::SYS_read, [0; 6]), NOTIFY);
        assert_eq!(outcome(Network::Host, ARCHITECTURE, libc::SYS_socket, [2, 1, 0, 0, 0, 0]), ALLOW);
    }
}
