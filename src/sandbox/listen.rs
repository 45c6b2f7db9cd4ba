//! A sandbox's first process, seen from the builder: what it says is passed on, and it is ended.

use std::convert::Infallible;
use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Read, Seek, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::io::fcntl_dupfd_cloexec;

use super::lines::Lines;
use super::program::{Outcome, at};
use super::report::{self, Report, Step};
use super::syscall as sys;
use super::{Cancel, Stream};

/// Starts the first process of a sandbox, which does `child`, and never returns from it. `ending`
/// is what ends it, and with it all others.
pub(super) fn start(
    flags: libc::c_int,
    ending: Signal,
    child: impl FnOnce() -> Infallible,
) -> Result<Init, Errno> {
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
    Ok(Init { pid: Pid::from_raw(pid), pidfd, ending, is_over: false })
}

/// The first process of a sandbox. When it ends, so does everything in there; when this is dropped, it ends.
pub(super) struct Init {
    pid: Pid,
    pidfd: OwnedFd,
    ending: Signal,
    is_over: bool,
}

impl Init {
    /// Returns its number, which is nobody else's until this is dropped.
    pub(super) fn pid(&self) -> i32 {
        self.pid.as_raw()
    }

    pub(super) fn end(&mut self) {
        if !self.is_over {
            // It may have ended by itself; until it is waited for, its number is nobody else's.
            let _ = kill(self.pid, self.ending);
            let _ = self.wait();
        }
    }

    pub(super) fn wait(&mut self) -> Option<WaitStatus> {
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

/// The descriptors that a child is given.
pub(super) struct Channels {
    pub(super) stdin: RawFd,
    pub(super) stdout: RawFd,
    pub(super) stderr: RawFd,
    /// Where it reports; closed when a program is executed.
    pub(super) report: RawFd,
}

impl Channels {
    /// Makes the first three descriptors of this process, a child, those of the command, and closes all others but the
    /// `kept` ones.
    pub(super) fn keep_only<I: Iterator<Item = RawFd>>(&self, kept: impl Fn() -> I) -> Outcome {
        for (number, fd) in [self.stdin, self.stdout, self.stderr].into_iter().enumerate() {
            at(Step::Descriptors, sys::duplicate_to(fd, number as RawFd))?;
        }
        let mut first = 3;
        while let Some(next) = kept().filter(|&number| number >= first).min() {
            at(Step::Descriptors, sys::close_range(first, next - 1))?;
            first = next + 1;
        }
        at(Step::Descriptors, sys::close_range(first, RawFd::MAX))
    }
}

/// Both ends of every pipe between the builder and a sandbox.
pub(super) struct Pipes {
    stdin: OwnedFd,
    stdout: (PipeReader, OwnedFd),
    stderr: (PipeReader, OwnedFd),
    report: (PipeReader, OwnedFd),
}

impl Pipes {
    pub(super) fn new(input: &[u8]) -> io::Result<Pipes> {
        Ok(Pipes { stdin: stdin(input)?, stdout: pipe()?, stderr: pipe()?, report: pipe()? })
    }

    pub(super) fn channels(&self) -> Channels {
        Channels {
            stdin: self.stdin.as_raw_fd(),
            stdout: self.stdout.1.as_raw_fd(),
            stderr: self.stderr.1.as_raw_fd(),
            report: self.report.1.as_raw_fd(),
        }
    }

    /// Gives up the sandbox's ends.
    pub(super) fn listen(self) -> Listener {
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
pub(super) struct Listener {
    streams: [Option<(PipeReader, Lines)>; 2],
    report: PipeReader,
}

impl Listener {
    /// Passes output on until the sandbox is over, or the run is cancelled; returns whether it was.
    pub(super) fn listen(
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
    pub(super) fn report(mut self) -> Option<Report> {
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
