//! The sandbox made of namespaces, seen from the builder: start it, listen to it, end it.

use std::ffi::CStr;
use std::io;
use std::thread;

use nix::libc;
use nix::sys::signal::Signal;
use nix::sys::wait::WaitStatus;

use super::calls::sockets;
use super::child::live;
use super::groups::Group;
use super::listen::{Pipes, start};
use super::outcome::{cancelled, lost, outcome, unprepared};
use super::plan::{Plan, invalid, overlay_options};
use super::syscall as sys;
use super::watch::{Watch, serve};
use super::{Cancel, Error, Exit, Network, Root, Run, Stream};

/// Returns the namespaces that every sandbox has, and where it shall have no network, one for that. That of control groups
/// is made later, by who is in the right one.
fn namespaces(network: Network) -> libc::c_int {
    let always = libc::CLONE_NEWNS | libc::CLONE_NEWPID | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS;
    match network {
        Network::None => always | libc::CLONE_NEWNET,
        Network::Host => always,
    }
}

/// Whether this process may make the namespaces, and mount an overlay in them; else the reason.
///
/// Who is root in a user namespace alone may make both, but not an overlay that leaves what the layers need.
pub(super) fn probe() -> Result<(), String> {
    let options = overlay_options("/proc/lower", "/proc/upper", "/proc/work")?;
    let probed = || sys::exit(try_overlay(&options).map_or(1, |()| 0));
    let init = start(namespaces(Network::None), Signal::SIGKILL, probed);
    let mut init = init.map_err(|errno| format!("cannot make namespaces: {}", errno.desc()))?;
    match init.wait() {
        Some(WaitStatus::Exited(_, 0)) => Ok(()),
        _ => Err("cannot mount overlays, not even in a mount namespace".into()),
    }
}

/// Mounts an overlay, in memory, over a directory that there always is.
fn try_overlay(options: &CStr) -> sys::Sys<()> {
    sys::mount(c"none", c"/", c"", libc::MS_REC | libc::MS_PRIVATE, None)?;
    sys::mount(c"none", c"/proc", c"tmpfs", 0, None)?;
    for directory in [c"/proc/lower", c"/proc/upper", c"/proc/work"] {
        sys::make_directory(directory, 0o700)?;
    }
    sys::mount(c"overlay", c"/proc/upper", c"overlay", 0, Some(options))
}

/// Runs a command to its end.
pub(super) fn run(
    root: &Root,
    run: &Run,
    watch: Option<Watch<'_>>,
    cancel: &Cancel,
    output: &mut dyn FnMut(Stream, &[u8]),
) -> Result<Exit, Error> {
    let (ours, theirs) = sockets().map_err(unprepared(run, "make a socket"))?;
    let mut plan = Plan::new(root, run, watch.map(|watch| (watch, theirs))).map_err(invalid(run))?;
    let pipes = Pipes::new(&run.stdin).map_err(unprepared(run, "make pipes"))?;
    if cancel.is_cancelled() {
        return Err(cancelled(run));
    }
    // To enter a group takes the kernel some milliseconds.
    let group = if plan.largest_number.is_none() { Group::make(run.max_processes) } else { None };
    plan.group = group.as_ref().map(Group::entrance);
    let channels = pipes.channels();
    let started = start(namespaces(run.network), Signal::SIGKILL, || live(&mut plan, &channels));
    let mut init = started.map_err(unprepared(run, "make namespaces"))?;
    drop(plan);
    let mut listener = pipes.listen();
    let (stopped, stop) = io::pipe().map_err(unprepared(run, "make pipes"))?;
    let listened = thread::scope(|scope| {
        if let Some(watch) = watch {
            let (first, stopped) = (&ours, &stopped);
            scope.spawn(move || serve(first, watch, stopped));
        }
        let listened = listener.listen(&init, cancel, output);
        init.end();
        drop(stop);
        listened
    });
    match listened.map_err(|error| lost(run, &error))? {
        true => Err(cancelled(run)),
        false => outcome(run, listener.report()),
    }
}
