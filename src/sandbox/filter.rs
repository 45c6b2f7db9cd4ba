//! Seccomp filters, from rules that say what is done with which system call.
//!
//! Every sandbox answers `fsync` and its kin with success at once: the root is thrown away if the machine stops, and waiting
//! for its disk helps nobody.

use nix::libc::{self, sock_filter};

/// What this machine's system calls are numbered for.
#[cfg(target_arch = "x86_64")]
pub(super) const ARCHITECTURE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
pub(super) const ARCHITECTURE: u32 = 0xc000_00b7;

/// What `execve` and `execveat` are numbered for the 32-bit programs that this machine runs.
#[cfg(target_arch = "x86_64")]
pub(super) const FOREIGN_STARTS: [u32; 2] = [11, 358];
#[cfg(target_arch = "aarch64")]
pub(super) const FOREIGN_STARTS: [u32; 2] = [11, 387];

/// The call is made.
pub(super) const ALLOW: u32 = 0x7fff_0000;
/// Somebody else is shown the call, and decides.
pub(super) const NOTIFY: u32 = 0x7fc0_0000;

/// The call is not made, and fails; without an error it answers 0.
pub(super) const fn refuse(errno: i32) -> u32 {
    0x0005_0000 | errno as u32
}

/// Where the kernel shows a program the number and the architecture of a call.
const NUMBER: u32 = 0;
const ARCH: u32 = 4;
/// From here on amd64's calls are those of x32.
const X32: u32 = 0x4000_0000;

/// The calls that only wait for a disk.
const SYNCING: [i64; 5] =
    [libc::SYS_fsync, libc::SYS_fdatasync, libc::SYS_sync, libc::SYS_syncfs, libc::SYS_sync_file_range];

/// A call, and what is done where one of the tests is met, or where there are none; else it is let through.
pub(super) struct Rule {
    pub(super) call: i64,
    pub(super) tests: Vec<Test>,
    pub(super) action: u32,
}

/// A look at the lower half of an argument: which one, and at what.
pub(super) enum Test {
    Is(u32, u32),
    IsNot(u32, u32),
    Lacks(u32, u32),
    Has(u32, u32),
}

/// What is done with calls that are numbered otherwise.
pub(super) struct Others {
    /// Those of another architecture.
    pub(super) foreign: u32,
    /// Those of another architecture by which programs are started.
    pub(super) foreign_starts: u32,
    /// Those of x32.
    pub(super) x32: u32,
}

/// Whatever is numbered otherwise is let through.
pub(super) const ALLOWED: Others = Others { foreign: ALLOW, foreign_starts: ALLOW, x32: ALLOW };

/// Returns the rules that every sandbox has.
pub(super) fn syncing() -> impl Iterator<Item = Rule> {
    // `msync` only waits where it is asked to; otherwise it tells whether memory is mapped.
    let msync =
        Rule { call: libc::SYS_msync, tests: vec![Test::Has(2, libc::MS_SYNC as u32)], action: refuse(0) };
    SYNCING.into_iter().map(|call| Rule::new(call, refuse(0))).chain([msync])
}

/// Returns the filter, as the kernel takes it.
pub(super) fn compile(rules: impl Iterator<Item = Rule>, others: &Others) -> Vec<sock_filter> {
    let starts = FOREIGN_STARTS.into_iter();
    let starts = starts.flat_map(|call| [jump(libc::BPF_JEQ, call, 0, 1), answer(others.foreign_starts)]);
    let foreign: Vec<sock_filter> =
        [load(NUMBER)].into_iter().chain(starts).chain([answer(others.foreign)]).collect();
    let mut program = vec![load(ARCH), jump(libc::BPF_JEQ, ARCHITECTURE, foreign.len() as u8, 0)];
    program.extend(foreign);
    program.extend([load(NUMBER), jump(libc::BPF_JGE, X32, 0, 1), answer(others.x32)]);
    program.extend(rules.flat_map(|rule| rule.compile()));
    program.push(answer(ALLOW));
    program
}

impl Rule {
    /// Returns a rule for a call whatever its arguments are.
    pub(super) fn new(call: i64, action: u32) -> Rule {
        Rule { call, tests: Vec::new(), action }
    }

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

/// Follows a filter as the kernel does.
#[cfg(test)]
pub(super) fn outcome(filter: &[sock_filter], arch: u32, call: i64, arguments: [u32; 6]) -> u32 {
    let (mut at, mut loaded) = (0, 0);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_waits_for_a_disk_is_answered() {
        let filter = compile(syncing(), &ALLOWED);
        let of = |arch, call, third: i32| outcome(&filter, arch, call, [0, 0, third as u32, 0, 0, 0]);
        for call in SYNCING {
            assert_eq!(of(ARCHITECTURE, call, 0), refuse(0), "{call}");
            assert_eq!(of(0, call, 0), ALLOW, "{call}");
        }
        for call in [libc::SYS_openat, libc::SYS_write, libc::SYS_getpid] {
            assert_eq!(of(ARCHITECTURE, call, 4), ALLOW, "{call}");
        }
        assert_eq!(of(ARCHITECTURE, libc::SYS_msync, libc::MS_SYNC), refuse(0));
        assert_eq!(of(ARCHITECTURE, libc::SYS_msync, libc::MS_ASYNC), ALLOW);
    }
}
