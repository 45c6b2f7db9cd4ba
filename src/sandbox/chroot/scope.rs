//! Sockets whose names are in no file system: without a namespace those of the whole machine are in reach, as a desktop's are.

use nix::libc::{self, c_int};

use crate::sandbox::syscall::{Sys, check, close};

/// A rule set of landlock(7), as far as it goes here.
#[repr(C)]
struct Rules {
    files: u64,
    ports: u64,
    scoped: u64,
}

/// Sockets with such names are found by who is bound alike only.
const ABSTRACT_SOCKETS: u64 = 1;

/// Keeps this process, and what it starts, from such sockets of others. Kernels before 6.12 know no such bound, some
/// have Landlock switched off, and a container's own filter may forbid to ask for it: then there is none.
pub(super) fn keep_from_sockets_outside() -> Sys<()> {
    let rules = Rules { files: 0, ports: 0, scoped: ABSTRACT_SOCKETS };
    // SAFETY: the kernel only reads the rules, and is told how long they are.
    let made =
        unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, &raw const rules, size_of::<Rules>(), 0) };
    let Ok(rules) = check(made) else { return Ok(()) };
    let rules = rules as c_int;
    // SAFETY: numbers only.
    let bound = check(unsafe { libc::syscall(libc::SYS_landlock_restrict_self, rules, 0) });
    close(rules);
    bound.map(drop)
}
