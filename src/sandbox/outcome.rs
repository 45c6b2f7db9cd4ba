//! How a run ended, in words: what the child told last becomes an exit or an error with a way out.

use std::io;

use nix::errno::Errno;
use nix::libc;

use super::plan::command_of;
use super::report::{Report, Step};
use super::{Error, Exit, Root, Run, Source};

/// Returns what the sandbox's last report means for the run.
pub(super) fn outcome(run: &Run, report: Option<Report>) -> Result<Exit, Error> {
    match report {
        Some(Report::Ended { status }) => Ok(exit_of(status)),
        Some(Report::Failed { step, index, errno }) => {
            Err(not_started(run, step, index, io::Error::other(Errno::from_raw(errno))))
        }
        None => Err(lost(run, "the sandbox was killed from outside")),
    }
}

/// Says that a run was cancelled.
pub(super) fn cancelled(run: &Run) -> Error {
    Error::Cancelled { command: command_of(run) }
}

/// Says that a run did not come to its end.
pub(super) fn lost(run: &Run, reason: &(impl ToString + ?Sized)) -> Error {
    Error::Lost { command: command_of(run), reason: reason.to_string() }
}

/// Says what failed before there was a child.
pub(super) fn unprepared<E: Into<io::Error>>(run: &Run, step: &str) -> impl FnOnce(E) -> Error {
    let (command, step) = (command_of(run), step.to_owned());
    move |source| Error::Start { command, step, source: source.into(), hint: "" }
}

/// Says that a step before the command failed.
pub(super) fn not_started(run: &Run, step: Step, index: u32, source: io::Error) -> Error {
    let errno = source.get_ref().and_then(|source| source.downcast_ref()).copied();
    let errno = errno.or_else(|| source.raw_os_error().map(Errno::from_raw)).unwrap_or(Errno::UnknownErrno);
    Error::Start {
        command: command_of(run),
        step: describe(step, index, run),
        hint: hint(step, errno),
        source,
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
