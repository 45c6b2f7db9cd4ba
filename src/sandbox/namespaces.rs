//! The sandbox made of namespaces, seen from the builder: start it, listen to it, end it.

use std::convert::Infallible;
use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Read, Seek, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, SigmaskHow};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::io::fcntl_dupfd_cloexec;

use super::child::{Channels, live};
use super::groups::Group;
use super::lines::Lines;
use super::plan::{Plan, command_of, invalid};
use super::report::{self, Report, Step};
use super::syscall as sys;
use super::{Cancel, Error, Exit, Network, Root, Run, Source, Stream};

/// Returns the namespaces that every sandbox has, and where it shall have no network, one for that. That of control groups
/// is made later, by who is in the right one.
fn namespaces(network: Network) -> libc::c_int {
    let always = libc::CLONE_NEWNS | libc::CLONE_NEWPID | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS;
    match network {
        Network::None => always | libc::CLONE_NEWNET,
        Network::Host => always,
    }
}

/// Whether this process may make the namespaces; else the reason.
pub(super) fn probe() -> Result<(), String> {
    let init = start(namespaces(Network::None), || sys::exit(private_mounts().map_or(1, |()| 0)));
    let mut init = init.map_err(|errno| format!("cannot make namespaces: {}", errno.desc()))?;
    match init.wait() {
        Some(WaitStatus::Exited(_, 0)) => Ok(()),
        _ => Err("cannot change mounts, not even in a mount namespace".into()),
    }
}

fn private_mounts() -> sys::Sys<()> {
    sys::mount(c"none", c"/", c"", libc::MS_REC | libc::MS_PRIVATE, None)
}

/// Runs a command to its end.
pub(super) fn run(
    root: &Root,
    run: &Run,
    cancel: &Cancel,
    output: &mut dyn FnMut(Stream, &[u8]),
) -> Result<Exit, Error> {
    let mut plan = Plan::new(root, run).map_err(invalid(run))?;
    let failed = |step: &str, source: io::Error| Error::Start {
        command: command_of(run),
        step: step.into(),
        source,
        hint: "",
    };
    let pipes = Pipes::new(&run.stdin).map_err(|error| failed("make pipes", error))?;
    if cancel.is_cancelled() {
        return Err(Error::Cancelled { command: command_of(run) });
    }
    // To enter a group takes the kernel some milliseconds.
    let group = if plan.largest_number.is_none() { Group::make(run.max_processes) } else { None };
    plan.group = group.as_ref().map(Group::entrance);
    let channels = pipes.channels();
    let started = start(namespaces(run.network), || live(&mut plan, &channels));
    let mut init = started.map_err(|errno| failed("make namespaces", errno.into()))?;
    let mut listener = pipes.listen();
    let is_cancelled = listener
        .listen(&init, cancel, output)
        .map_err(|error| Error::Lost { command: command_of(run), reason: error.to_string() })?;
    init.end();
    match is_cancelled {
        true => Err(Error::Cancelled { command: command_of(run) }),
        false => outcome(run, listener.report()),
    }
}

/// Starts the first process of a sandbox, which does `child`, and never returns from it.
fn start(flags: libc::c_int, child: impl FnOnce() -> Infallible) -> Result<Init, Errno> {
    // No signal handler of the builder may run in the copy, which shares pipes with the builder.
    let before = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK)?;
    let mut pidfd: RawFd = -1;
    // SAFETY: the child does nothing but `child`, which only makes system calls and does not return.
    let pid = unsafe { sys::clone(flags, Some(&mut pidfd)) };
    if pid == Ok(0) {
        child();
    }
    let _ = before.thread_set_mask();
    let pid = pid.map_err(Errno::from_raw)?;
    // SAFETY: the kernel made this descriptor for us, and nobody else knows it.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(Init { pid: Pid::from_raw(pid), pidfd, is_over: false })
}

/// The first process of a sandbox. When it ends, so does everything in there; when this is dropped, it ends.
struct Init {
    pid: Pid,
    pidfd: OwnedFd,
    is_over: bool,
}

impl Init {
    fn end(&mut self) {
        if !self.is_over {
            // It may have ended by itself; until it is waited for, its number is nobody else's.
            let _ = nix::sys::signal::kill(self.pid, nix::sys::signal::Signal::SIGKILL);
            let _ = self.wait();
        }
    }

    fn wait(&mut self) -> Option<WaitStatus> {
        loop {
            match waitpid(self.pid, None) {
                Err(Errno::EINTR) => {}
                answer => {
                    self.is_over = true;
                    return answer.ok();
                }
            }
        }
    }
}

impl Drop for Init {
    fn drop(&mut self) {
        self.end();
    }
}

/// Both ends of every pipe between the builder and a sandbox.
struct Pipes {
    stdin: OwnedFd,
    stdout: (PipeReader, OwnedFd),
    stderr: (PipeReader, OwnedFd),
    report: (PipeReader, OwnedFd),
}

impl Pipes {
    fn new(input: &[u8]) -> io::Result<Pipes> {
        Ok(Pipes { stdin: stdin(input)?, stdout: pipe()?, stderr: pipe()?, report: pipe()? })
    }

    fn channels(&self) -> Channels {
        Channels {
            stdin: self.stdin.as_raw_fd(),
            stdout: self.stdout.1.as_raw_fd(),
            stderr: self.stderr.1.as_raw_fd(),
            report: self.report.1.as_raw_fd(),
        }
    }

    /// Gives up the sandbox's ends.
    fn listen(self) -> Listener {
        let (stdout, stderr, report) = (self.stdout.0, self.stderr.0, self.report.0);
        Listener {
            streams: [Some((stdout, Lines::new(Stream::Stdout))), Some((stderr, Lines::new(Stream::Stderr)))],
            report,
        }
    }
}

/// The child puts its ends at the first three numbers, so none of them may be there already.
fn pipe() -> io::Result<(PipeReader, OwnedFd)> {
    let (reader, writer): (PipeReader, PipeWriter) = io::pipe()?;
    Ok((reader, fcntl_dupfd_cloexec(writer, 3)?))
}

/// Returns something to read `input` from, however long it is, without anybody who feeds it.
fn stdin(input: &[u8]) -> io::Result<OwnedFd> {
    let file = match input {
        [] => File::open("/dev/null")?,
        _ => {
            let mut file = File::from(memfd_create("stdin", MemfdFlags::CLOEXEC)?);
            file.write_all(input)?;
            file.rewind()?;
            file
        }
    };
    Ok(fcntl_dupfd_cloexec(file, 3)?)
}

/// The builder's ends.
struct Listener {
    streams: [Option<(PipeReader, Lines)>; 2],
    report: PipeReader,
}

impl Listener {
    /// Passes output on until the sandbox is over, or the run is cancelled; returns whether it was.
    fn listen(
        &mut self,
        init: &Init,
        cancel: &Cancel,
        output: &mut dyn FnMut(Stream, &[u8]),
    ) -> io::Result<bool> {
        let mut buffer = vec![0; 64 << 10];
        loop {
            let ready = self.wait_for_news(init.pidfd.as_fd(), cancel.signal())?;
            if ready.is_cancelled {
                return Ok(true);
            }
            for (stream, is_ready) in self.streams.iter_mut().zip(ready.streams) {
                if is_ready && !read_some(stream, &mut buffer, output)? {
                    *stream = None;
                }
            }
            if ready.is_over {
                return self.drain(&mut buffer, output).map(|()| false);
            }
        }
    }

    fn wait_for_news(&self, init: BorrowedFd<'_>, cancelled: BorrowedFd<'_>) -> io::Result<News> {
        let readable = |fd| PollFd::new(fd, PollFlags::POLLIN);
        let mut fds = vec![readable(init), readable(cancelled)];
        fds.extend(self.streams.iter().flatten().map(|(reader, _)| readable(reader.as_fd())));
        while let Err(errno) = poll(&mut fds, PollTimeout::NONE) {
            if errno != Errno::EINTR {
                return Err(errno.into());
            }
        }
        let mut ready = fds.iter().map(|fd| fd.any().unwrap_or(true));
        let mut next = || ready.next().unwrap_or(false);
        let (is_over, is_cancelled) = (next(), next());
        let streams = self.streams.each_ref().map(|stream| stream.is_some() && next());
        Ok(News { is_over, is_cancelled, streams })
    }

    /// Reads what is left in the pipes, but waits for nothing: no writer lives.
    fn drain(&mut self, buffer: &mut [u8], output: &mut dyn FnMut(Stream, &[u8])) -> io::Result<()> {
        for stream in &mut self.streams {
            if let Some((reader, _)) = stream {
                set_nonblocking(reader.as_fd())?;
            }
            while stream.is_some() && read_some(stream, buffer, output)? {}
        }
        Ok(())
    }

    /// Returns what the sandbox told last.
    fn report(mut self) -> Option<Report> {
        let mut bytes = [0; report::LENGTH];
        set_nonblocking(self.report.as_fd()).ok()?;
        self.report.read_exact(&mut bytes).ok()?;
        Report::decode(&bytes)
    }
}

/// What there is to do.
struct News {
    is_over: bool,
    is_cancelled: bool,
    streams: [bool; 2],
}

fn set_nonblocking(fd: BorrowedFd<'_>) -> io::Result<()> {
    let flags = rustix::fs::fcntl_getfl(fd)?;
    Ok(rustix::fs::fcntl_setfl(fd, flags | rustix::fs::OFlags::NONBLOCK)?)
}

/// Reads once, and returns whether there may be more.
fn read_some(
    stream: &mut Option<(PipeReader, Lines)>,
    buffer: &mut [u8],
    output: &mut dyn FnMut(Stream, &[u8]),
) -> io::Result<bool> {
    let Some((reader, lines)) = stream else { return Ok(false) };
    match reader.read(buffer) {
        Ok(0) => {}
        Ok(n) => {
            lines.feed(&buffer[..n], output);
            return Ok(true);
        }
        Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(true),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
        Err(error) => return Err(error),
    }
    lines.finish(output);
    Ok(false)
}

fn outcome(run: &Run, report: Option<Report>) -> Result<Exit, Error> {
    let command = command_of(run);
    match report {
        Some(Report::Ended { status }) => Ok(exit_of(status)),
        Some(Report::Failed { step, index, errno }) => Err(Error::Start {
            command,
            step: describe(step, index, run),
            source: io::Error::other(Errno::from_raw(errno)),
            hint: hint(step, Errno::from_raw(errno)),
        }),
        None => Err(Error::Lost { command, reason: "the sandbox was killed from outside".into() }),
    }
}

fn exit_of(status: i32) -> Exit {
    match libc::WIFSIGNALED(status) {
        true => Exit::Signal(libc::WTERMSIG(status)),
        false => Exit::Code(libc::WEXITSTATUS(status)),
    }
}

fn describe(step: Step, index: u32, run: &Run) -> String {
    let mount = usize::try_from(index).ok().and_then(|index| run.mounts.get(index));
    match (step, mount) {
        (Step::Source, Some(mount)) => format!("open {}", name_of(&mount.source)),
        (Step::Mount, Some(mount)) => format!("mount at {}", mount.target.display()),
        (Step::Workdir, _) => format!("change to the working directory {}", run.workdir.display()),
        _ => step.text().into(),
    }
}

fn name_of(source: &Source) -> String {
    match source {
        Source::Path { root: Root::Plain(directory), path } => directory.join(path).display().to_string(),
        Source::Path { root: Root::Overlay { .. }, path } => format!("{} of another image", path.display()),
        Source::Memory { .. } | Source::File { .. } => "what is in memory".into(),
    }
}

fn hint(step: Step, errno: Errno) -> &'static str {
    match (step, errno) {
        (Step::Execute, Errno::ENOENT) => {
            "\nhint: the program, or the interpreter that its first line or its ELF header names, is not in the image"
        }
        (Step::Execute, Errno::ENOEXEC) => {
            "\nhint: it is no program for this machine; a script needs a first line like `#!/bin/sh`"
        }
        (Step::Execute, Errno::EPERM) => "\nhint: /proc/self/exe is no program of the image",
        (Step::Mount, Errno::EINVAL) => "\nhint: nothing can be mounted in /proc and /sys",
        (Step::Mount, Errno::EROFS) => "\nhint: its place is missing in something that cannot be written",
        (Step::Mount, Errno::ENOTDIR | Errno::EISDIR) => {
            "\nhint: a file can only be mounted on a file, and a directory on a directory"
        }
        (Step::Workdir, Errno::ENOENT) => "\nhint: make it first",
        (Step::MountPoint, Errno::ELOOP) => "\nhint: one of them is a symbolic link in the image",
        (Step::Overlay, Errno::EINVAL) => {
            "\nhint: its directories must not lie on an overlay themselves; choose another place with --state DIR"
        }
        (Step::Overlay, Errno::ENODEV) => "\nhint: this kernel has no overlay file system",
        (_, Errno::EPERM | Errno::EACCES) => {
            "\nhint: run as root with CAP_SYS_ADMIN: in Concourse `privileged: true`, with docker `--privileged`"
        }
        _ => "",
    }
}
