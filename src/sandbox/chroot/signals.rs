//! Keeps what a command does to processes among its own: here all share one list of processes, and are the same user.

use nix::libc;

use crate::sandbox::callers::{Process, identity, is_member, members};
use crate::sandbox::calls::{Answer, Call};

/// Who a call means.
enum Whom {
    Process(i32),
    Group(i32),
    Everybody,
    Own,
}

/// Decides about a call that names a process; `first` is the ancestor of all that may be meant.
pub(super) fn decide(call: &Call, first: i32) -> Answer {
    let is_known = match whom(call) {
        Some(Whom::Own) => true,
        Some(Whom::Process(pid)) => is_own(call, pid) || is_member(pid, first),
        Some(Whom::Group(group)) => members(first).iter().any(|process| process.group == group),
        Some(Whom::Everybody) => return signal_all(call, first),
        None => return Answer::Error(libc::EPERM),
    };
    if is_known { Answer::Proceed } else { Answer::Error(libc::ESRCH) }
}

fn whom(call: &Call) -> Option<Whom> {
    let number = |index| call.number_at(index);
    match call.number {
        libc::SYS_kill => Some(match number(0) {
            0 => Whom::Own,
            -1 => Whom::Everybody,
            pid => some(pid),
        }),
        libc::SYS_setpriority => by_kind(number(0), number(1), 0),
        libc::SYS_ioprio_set => by_kind(number(0), number(1), 1),
        libc::SYS_fcntl => Some(some(number(2))),
        libc::SYS_tkill
        | libc::SYS_tgkill
        | libc::SYS_rt_sigqueueinfo
        | libc::SYS_rt_tgsigqueueinfo
        | libc::SYS_pidfd_open
        | libc::SYS_prlimit64
        | libc::SYS_sched_setaffinity
        | libc::SYS_sched_setattr
        | libc::SYS_sched_setparam
        | libc::SYS_sched_setscheduler => Some(Whom::Process(number(0))),
        _ => None,
    }
}

fn some(pid: i32) -> Whom {
    match pid {
        0 => Whom::Own,
        pid if pid < 0 => Whom::Group(pid.wrapping_neg()),
        pid => Whom::Process(pid),
    }
}

/// Some calls say first whether a process, a group or a user is meant; the latter's processes are not all here.
fn by_kind(kind: i32, who: i32, process: i32) -> Option<Whom> {
    match kind - process {
        0 if who == 0 => Some(Whom::Own),
        0 => Some(Whom::Process(who)),
        1 if who == 0 => Some(Whom::Own),
        1 => Some(Whom::Group(who)),
        _ => None,
    }
}

fn is_own(call: &Call, pid: i32) -> bool {
    pid == call.thread || identity(call.thread).is_ok_and(|who| who.process == pid)
}

/// Sends a signal to all that the caller may send it to, but not to itself.
fn signal_all(call: &Call, first: i32) -> Answer {
    let Ok(caller) = identity(call.thread) else { return Answer::Error(libc::ESRCH) };
    let may_signal = |process: &Process| {
        let is_same_user = || identity(process.pid).is_ok_and(|who| who.uid == caller.uid);
        process.pid != caller.process && (caller.uid == 0 || is_same_user())
    };
    let mut is_sent = false;
    for process in members(first).iter().filter(|process| may_signal(process)) {
        // SAFETY: numbers only.
        is_sent |= unsafe { libc::kill(process.pid, call.number_at(1)) } == 0;
    }
    if is_sent { Answer::Value(0) } else { Answer::Error(libc::ESRCH) }
}
