//! A seccomp filter that answers `fsync` and its kin with success at once.
//!
//! The root is thrown away if the machine stops; waiting for its disk helps nobody. Everything else is let through.

use nix::libc::{self, sock_filter};

/// What this machine's system calls are numbered for.
#[cfg(target_arch = "x86_64")]
pub(super) const ARCHITECTURE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
pub(super) const ARCHITECTURE: u32 = 0xc000_00b7;

/// Where the kernel shows a program the number, the architecture, and the third argument of a call.
const NUMBER: u32 = 0;
const ARCH: u32 = 4;
const THIRD_ARGUMENT: u32 = if cfg!(target_endian = "little") { 32 } else { 36 };

const ALLOW: u32 = 0x7fff_0000;
/// Does not make the call, and answers 0.
const SUCCEED: u32 = 0x0005_0000;

/// The calls that only wait for a disk.
pub(super) const SYNCING: [i64; 5] =
    [libc::SYS_fsync, libc::SYS_fdatasync, libc::SYS_sync, libc::SYS_syncfs, libc::SYS_sync_file_range];
const LENGTH: usize = SYNCING.len() + 8;

/// The filter, as the kernel takes it.
pub(super) type Filter = [sock_filter; LENGTH];

/// Returns the filter.
pub(super) fn filter() -> Filter {
    let [a, b, c, d, e] = SYNCING.map(|call| call as u32);
    // A jump skips that many instructions; the last two are where all end.
    [
        load(ARCH),
        skip_unless(ARCHITECTURE, 9),
        load(NUMBER),
        skip_if(a, 8),
        skip_if(b, 7),
        skip_if(c, 6),
        skip_if(d, 5),
        skip_if(e, 4),
        // `msync` only waits where it is asked to; otherwise it tells whether memory is mapped.
        skip_unless(libc::SYS_msync as u32, 2),
        load(THIRD_ARGUMENT),
        skip_if_any_bit(libc::MS_SYNC as u32, 1),
        answer(ALLOW),
        answer(SUCCEED),
    ]
}

fn load(offset: u32) -> sock_filter {
    sock_filter { code: (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16, jt: 0, jf: 0, k: offset }
}

fn skip_if(value: u32, n: u8) -> sock_filter {
    sock_filter { code: (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16, jt: n, jf: 0, k: value }
}

fn skip_unless(value: u32, n: u8) -> sock_filter {
    sock_filter { code: (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16, jt: 0, jf: n, k: value }
}

fn skip_if_any_bit(bits: u32, n: u8) -> sock_filter {
    sock_filter { code: (libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K) as u16, jt: n, jf: 0, k: bits }
}

fn answer(value: u32) -> sock_filter {
    sock_filter { code: (libc::BPF_RET | libc::BPF_K) as u16, jt: 0, jf: 0, k: value }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Follows the filter as the kernel does.
    fn outcome(arch: u32, number: i64, third: u32) -> u32 {
        let (filter, mut at, mut loaded) = (filter(), 0, 0);
        loop {
            let step = filter[at];
            at += 1;
            match u32::from(step.code) & 7 {
                libc::BPF_LD => {
                    loaded = match step.k {
                        NUMBER => number as u32,
                        ARCH => arch,
                        _ => third,
                    }
                }
                libc::BPF_JMP => {
                    let is_met = match u32::from(step.code) & 0xf0 {
                        libc::BPF_JEQ => loaded == step.k,
                        _ => loaded & step.k != 0,
                    };
                    at += usize::from(if is_met { step.jt } else { step.jf });
                }
                _ => return step.k,
            }
        }
    }

    #[test]
    fn only_what_waits_for_a_disk_is_answered() {
        for call in SYNCING {
            assert_eq!(outcome(ARCHITECTURE, call, 0), SUCCEED, "{call}");
            assert_eq!(outcome(0, call, 0), ALLOW, "{call}");
        }
        for call in [libc::SYS_openat, libc::SYS_write, libc::SYS_getpid] {
            assert_eq!(outcome(ARCHITECTURE, call, 4), ALLOW, "{call}");
        }
        assert_eq!(outcome(ARCHITECTURE, libc::SYS_msync, libc::MS_SYNC as u32), SUCCEED);
        assert_eq!(outcome(ARCHITECTURE, libc::SYS_msync, libc::MS_ASYNC as u32), ALLOW);
    }
}
