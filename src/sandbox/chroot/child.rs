//! What happens inside: a first process, which stays outside of the root, starts the command, adopts its orphans, and
//! kills what is left in the end.
//!
//! Both are copies of the builder until the command is executed, and only make system calls; see
//! [`syscall`](crate::sandbox::syscall).

use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use nix::libc::{self, SIGCHLD, SIGTERM, sock_filter};

use super::scope::keep_from_sockets_outside;
use crate::sandbox::child::CAPABILITIES;
use crate::sandbox::listen::Channels;
use crate::sandbox::program::{Outcome, Program, at};
use crate::sandbox::report::{Report, Step};
use crate::sandbox::{privileges, syscall as sys};

/// Who may change its root can leave it, here where no mount is in the way.
const SYS_CHROOT: u64 = 1 << 18;
/// Who may do this can install a filter and keep the privileges that programs' files give.
pub(super) const SYS_ADMIN: u64 = 1 << 21;

/// What the first process waits for: the end of a child, and being told to end itself.
const AWAITED: [i32; 2] = [SIGCHLD, SIGTERM];

/// What a child does.
pub(super) struct Plan {
    pub(super) program: Program,
    /// The root's directory.
    pub(super) root: OwnedFd,
    /// The builder's `/proc`.
    pub(super) proc: OwnedFd,
    /// Leads to the supervisor.
    pub(super) socket: OwnedFd,
    pub(super) filter: Vec<sock_filter>,
    /// How many processes the user may have.
    pub(super) max_processes: u32,
}

/// Is the first process.
pub(super) fn live(plan: &Plan, channels: &Channels) -> ! {
    let report = channels.report;
    let failed = |(step, index, errno)| {
        let _ = sys::write(report, &Report::Failed { step, index, errno }.encode());
        sys::exit(1)
    };
    if let Err(failure) = prepare(plan, channels) {
        failed(failure);
    }
    // SAFETY: the child goes on in this module only.
    match unsafe { sys::clone(0, None) } {
        Ok(0) => plan.program.start(prepare_command(plan), report),
        Ok(command) => {
            let status = attend(command);
            kill_the_rest(plan.proc.as_raw_fd());
            if let Some(status) = status {
                let _ = sys::write(report, &Report::Ended { status }.encode());
            }
            sys::exit(0)
        }
        Err(errno) => failed((Step::Fork, 0, errno)),
    }
}

fn prepare(plan: &Plan, channels: &Channels) -> Outcome {
    at(Step::Process, sys::follow_parent(SIGTERM))?;
    if sys::has_no_reader(channels.report) {
        sys::exit(1);
    }
    plan.program.hide_builder()?;
    at(Step::Process, sys::block_signals(&AWAITED))?;
    at(Step::Process, sys::adopt_orphans())?;
    let kept = [channels.report, plan.root.as_raw_fd(), plan.proc.as_raw_fd(), plan.socket.as_raw_fd()];
    channels.keep_only(|| kept.into_iter())
}

/// Waits for the command, and buries whoever ends before it. Returns how it ended; nothing when this process is told to
/// end it.
fn attend(command: i32) -> Option<i32> {
    while let Ok(SIGCHLD) = sys::await_signal(&AWAITED) {
        while let Some((pid, status)) = sys::bury() {
            if pid == command {
                return Some(status);
            }
        }
    }
    None
}

/// Kills all descendants. Whoever is orphaned by that becomes a child of this process, and comes next: to be killed is
/// faster than to start another.
fn kill_the_rest(proc: RawFd) {
    loop {
        kill_children(proc);
        if sys::wait().is_err() {
            return;
        }
        while sys::bury().is_some() {}
    }
}

/// Kills the children that fit into one reading.
fn kill_children(proc: RawFd) {
    let flags = libc::O_RDONLY | libc::O_CLOEXEC;
    let Ok(list) = sys::open_at(proc, c"thread-self/children", flags, 0) else { return };
    let mut text = [0; 4096];
    let n_bytes = sys::read(list, &mut text).unwrap_or(0);
    sys::close(list);
    let mut pid = 0;
    for &byte in text.iter().take(n_bytes) {
        match byte {
            b'0'..=b'9' => pid = pid * 10 + i32::from(byte - b'0'),
            _ if pid > 0 => {
                sys::kill(pid);
                pid = 0;
            }
            _ => {}
        }
    }
}

fn prepare_command(plan: &Plan) -> Outcome {
    at(Step::Process, sys::follow_parent(0))?;
    at(Step::Process, sys::reset_signals())?;
    sys::new_session();
    sys::leave_keys();
    at(Step::Root, sys::enter_root(plan.root.as_raw_fd()))?;
    Program::limit(Some(plan.max_processes))?;
    at(Step::Filter, install(plan))?;
    plan.program.settle(CAPABILITIES & !SYS_CHROOT)
}

/// Without CAP_SYS_ADMIN the kernel takes a filter only from who can gain no privileges by it.
fn install(plan: &Plan) -> sys::Sys<()> {
    if privileges::capabilities()? & SYS_ADMIN == 0 {
        privileges::forgo_new_privileges()?;
    }
    keep_from_sockets_outside()?;
    privileges::hand_calls_over(&plan.filter, plan.socket.as_raw_fd())
}
