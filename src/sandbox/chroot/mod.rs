//! The sandbox of a container without privileges: a directory as the root, fewer capabilities, and a filter some of whose
//! calls the builder answers.
//!
//! There is no mount here, no namespace and no device of its own; see decision 14 for what stands in for them, and what
//! can't.

mod attributes;
mod child;
mod filter;
mod furniture;
mod kernel;
mod list;
mod names;
mod paths;
mod scope;
mod sight;
mod signals;
mod supervisor;

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::net::UnixStream;
use std::thread;

use nix::errno::Errno;
use nix::sys::signal::Signal;
use rustix::io::fcntl_dupfd_cloexec;

use self::child::{Plan, live};
use self::furniture::{Failure, Furniture};
use self::sight::Sight;
use self::supervisor::{Met, Supervisor};
use super::calls::{Calls, sockets};
use super::groups::version;
use super::listen::{Pipes, start};
use super::outcome::{cancelled, lost, not_started, outcome, unprepared};
use super::plan::invalid;
use super::program::Program;
use super::watch::Watch;
use super::{Cancel, Error, Exit, Root, Run, Stream};
use super::{privileges, syscall as sys};

/// Whether this process may run commands so; else the reason.
pub(super) fn probe() -> Result<(), String> {
    /// Since then a descriptor can be handed out as what a call returns.
    const OLDEST: (u32, u32) = (5, 14);
    const NEEDED: [(u64, &str); 4] =
        [(18, "CAP_SYS_CHROOT"), (6, "CAP_SETGID"), (7, "CAP_SETUID"), (8, "CAP_SETPCAP")];
    let capabilities =
        privileges::capabilities().map_err(|errno| Errno::from_raw(errno).desc().to_owned())?;
    if let Some((_, name)) = NEEDED.iter().find(|(number, _)| capabilities >> number & 1 == 0) {
        return Err(format!("cannot change the root and the user: {name} is missing"));
    }
    let system = rustix::system::uname();
    let release = system.release().to_string_lossy();
    if version(&release).is_some_and(|version| version < OLDEST) {
        return Err(format!("the kernel, {release}, is older than 5.14"));
    }
    File::open("/proc/thread-self/children")
        .map_err(|error| format!("cannot list processes in /proc/thread-self/children: {error}"))?;
    Ok(())
}

/// Runs a command to its end.
pub(super) fn run(
    root: &Root,
    run: &Run,
    watch: Option<Watch<'_>>,
    cancel: &Cancel,
    output: &mut dyn FnMut(Stream, &[u8]),
) -> Result<Exit, Error> {
    let Root::Plain(directory) = root else {
        return Err(invalid(run)("internal error: this sandbox has no overlays".into()));
    };
    let program = Program::new(run).map_err(invalid(run))?;
    if cancel.is_cancelled() {
        return Err(cancelled(run));
    }
    let _ = sys::hide_memory();
    let mut furniture = Furniture::put(directory, run).map_err(|failure| not_furnished(run, failure))?;
    let pipes = Pipes::new(&run.stdin).map_err(unprepared(run, "make pipes"))?;
    let (ours, theirs) = sockets().map_err(unprepared(run, "make a socket"))?;
    let plan = plan(program, &furniture, theirs, run, watch).map_err(unprepared(run, "open /proc"))?;
    let channels = pipes.channels();
    let started = start(0, Signal::SIGTERM, || live(&plan, &channels));
    let mut init = started.map_err(unprepared(run, "start a process"))?;
    drop(plan);
    let sight = sight(&mut furniture, init.pid()).map_err(unprepared(run, "open the root"))?;
    let (stopped, stop) = io::pipe().map_err(unprepared(run, "make pipes"))?;
    let host_name = run.host_name.clone();
    let mut listener = pipes.listen();
    let (listened, met) = thread::scope(|scope| {
        let (first, stopped) = (&ours, &stopped);
        let supervisor = scope.spawn(move || supervise(first, sight, host_name, watch, stopped));
        let listened = listener.listen(&init, cancel, output);
        init.end();
        drop(stop);
        (listened, supervisor.join().unwrap_or_default())
    });
    let is_cancelled = listened.map_err(|error| lost(run, &error))?;
    let taken_back = furniture.take_back();
    match is_cancelled {
        true => Err(cancelled(run)),
        false => {
            let exit = outcome(run, listener.report())?;
            taken_back.map_err(|reason| lost(run, &reason))?;
            tell(&exit, &met, output);
            Ok(exit)
        }
    }
}

/// Returns what the descendants of `first` see of a furnished root.
fn sight(furniture: &mut Furniture, first: i32) -> io::Result<Sight> {
    Ok(Sight {
        root: furniture.root.try_clone()?,
        path: furniture.path.clone().into_os_string().into_vec(),
        markers: std::mem::take(&mut furniture.markers),
        first,
        listings: Vec::new(),
        programs: Vec::new(),
        shelves: furniture.shelves.take().ok_or_else(|| io::Error::other("it is not furnished"))?,
        mount_points: furniture.mount_points(),
    })
}

/// Says what a command that failed met only here.
fn tell(exit: &Exit, met: &Met, output: &mut dyn FnMut(Stream, &[u8])) {
    if exit.is_success() {
        return;
    }
    for line in met.lines() {
        output(Stream::Stderr, format!("estaleiro: {line}").as_bytes());
    }
}

impl Met {
    fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if self.network {
            lines.push("it asked for a network socket; it has no network, and in this sandbox (chroot) no loopback either".into());
        }
        if self.foreign {
            lines.push(
                "it ran a program for another architecture, which this sandbox (chroot) refuses".into(),
            );
        }
        if let Some(program) = &self.disarmed {
            let program = program.display();
            lines.push(format!("{program} is setuid or setgid, which does nothing in this sandbox (chroot, with no_new_privs): run it as root, or in a privileged container"));
        }
        lines
    }
}

fn plan(
    program: Program,
    furniture: &Furniture,
    socket: OwnedFd,
    run: &Run,
    watch: Option<Watch<'_>>,
) -> io::Result<Plan> {
    Ok(Plan {
        program,
        root: fcntl_dupfd_cloexec(&furniture.root, 3)?,
        proc: fcntl_dupfd_cloexec(File::open("/proc")?, 3)?,
        socket,
        filter: filter::filter(run.network, watch),
        max_processes: run.max_processes,
    })
}

fn not_furnished(run: &Run, (step, index, error): Failure) -> Error {
    not_started(run, step, u32::try_from(index).unwrap_or(u32::MAX), error)
}

/// Answers the calls of the command, once it is there.
fn supervise(
    first: &UnixStream,
    sight: Sight,
    host_name: String,
    watch: Option<Watch<'_>>,
    stop: &io::PipeReader,
) -> Met {
    match Calls::receive(first) {
        Ok(Some(calls)) => {
            let capabilities = privileges::capabilities().unwrap_or(0);
            let keeps_privileges = capabilities & child::SYS_ADMIN != 0;
            Supervisor::new(calls, sight, host_name, watch, keeps_privileges).serve(stop)
        }
        Ok(None) | Err(_) => Met::default(),
    }
}
