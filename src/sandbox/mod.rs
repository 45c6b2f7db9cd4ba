//! The sandbox: runs an image's own programs in its root, apart from the host.
//!
//! The host's programs are never run, and nothing that was started outlives the builder. What a run is for (a
//! maintainer script, a `RUN`), and what it changed, is not known here.

mod callers;
mod calls;
mod cancel;
mod child;
mod chroot;
mod command;
mod filter;
mod groups;
mod hosts;
mod lines;
mod listen;
mod memory;
mod mounts;
mod namespaces;
mod outcome;
mod place;
mod plan;
mod privileges;
mod program;
mod report;
mod syscall;
mod user_namespace;
mod watch;

pub use cancel::Cancel;
use std::fmt;

pub use command::{Exit, Mount, Network, Root, Run, Source, Stream, User};
pub use hosts::{Host, InvalidHost, name_service};
pub use memory::{give_back_memory, hold_little_memory};
pub use user_namespace::enter_user_namespace;
pub use watch::{Removing, Starting, Watch};

/// What went wrong with the sandbox itself.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no sandbox to be had.
    #[error(
        "cannot make a sandbox: {reason}\nhint: let users make user namespaces, or run as root with CAP_SYS_ADMIN: in Concourse `privileged: true`, with docker `--privileged`"
    )]
    Unavailable {
        /// Why not.
        reason: String,
    },
    /// A run's description cannot be carried out.
    #[error("cannot start {command} in the sandbox: {reason}")]
    Invalid {
        /// What was to be run.
        command: String,
        /// Why not.
        reason: String,
    },
    /// The sandbox was not set up, or the program not started.
    #[error("cannot start {command} in the sandbox: {step}: {source}{hint}")]
    Start {
        /// What was to be run.
        command: String,
        /// What failed.
        step: String,
        /// Why.
        source: std::io::Error,
        /// A way out, on a line of its own; else empty.
        hint: &'static str,
    },
    /// The run was cancelled.
    #[error("cannot finish {command} in the sandbox: it was cancelled")]
    Cancelled {
        /// What was being run.
        command: String,
    },
    /// The sandbox went away under the program.
    #[error("cannot finish {command} in the sandbox: {reason}")]
    Lost {
        /// What was being run.
        command: String,
        /// What is known.
        reason: String,
    },
}

/// A way of running an image's programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sandbox {
    /// Namespaces and overlay mounts; needs CAP_SYS_ADMIN.
    Namespaces,
    /// A directory as the root, in which the command's system calls are watched; needs CAP_SYS_CHROOT.
    Chroot,
}

/// Names the sandbox to take, where not the best one is wanted.
const CHOICE: &str = "ESTALEIRO_SANDBOX";

impl fmt::Display for Sandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Sandbox::Namespaces => "namespaces",
            Sandbox::Chroot => "chroot",
        })
    }
}

impl Error {
    /// Whether what was to be run is no program of this machine: as a rule it is made for another architecture.
    pub fn is_of_another_machine(&self) -> bool {
        let Error::Start { source, .. } = self else { return false };
        let errno = source.get_ref().and_then(|source| source.downcast_ref());
        errno == Some(&nix::errno::Errno::ENOEXEC)
    }
}

impl Sandbox {
    /// Returns the best sandbox that can be had here, or the one that `ESTALEIRO_SANDBOX` names.
    pub fn choose() -> Result<Sandbox, Error> {
        let unavailable = |reason| Error::Unavailable { reason };
        let choice = std::env::var(CHOICE).unwrap_or_default();
        match choice.as_str() {
            "namespaces" => namespaces::probe().map(|()| Sandbox::Namespaces).map_err(unavailable),
            "chroot" => chroot::probe().map(|()| Sandbox::Chroot).map_err(unavailable),
            "" => Sandbox::best().map_err(unavailable),
            _ => Err(unavailable(format!("{CHOICE} is `{choice}`, neither `namespaces` nor `chroot`"))),
        }
    }

    fn best() -> Result<Sandbox, String> {
        let Err(no_namespaces) = namespaces::probe() else { return Ok(Sandbox::Namespaces) };
        match chroot::probe() {
            Ok(()) => Ok(Sandbox::Chroot),
            Err(no_chroot) => {
                let reasons = [user_namespace::refusal(), Some(&no_namespaces), Some(&no_chroot)];
                Err(reasons.into_iter().flatten().collect::<Vec<_>>().join("; "))
            }
        }
    }

    /// Whether a root may be an overlay; else it is a plain directory, and what is mounted is moved there for the run.
    pub fn has_overlays(self) -> bool {
        self == Sandbox::Namespaces
    }

    /// Runs a command to its end. `output` gets each line, without its line feed, as it comes; a very long line comes
    /// in parts. When the command ends, whatever else it started is killed.
    pub fn run(
        &self,
        root: &Root,
        run: &Run,
        cancel: &Cancel,
        output: &mut dyn FnMut(Stream, &[u8]),
    ) -> Result<Exit, Error> {
        self.execute(root, run, None, cancel, output)
    }

    /// As [`Sandbox::run`]; `watch` is told of each program before it starts.
    pub fn run_watched(
        &self,
        root: &Root,
        run: &Run,
        watch: Watch<'_>,
        cancel: &Cancel,
        output: &mut dyn FnMut(Stream, &[u8]),
    ) -> Result<Exit, Error> {
        self.execute(root, run, Some(watch), cancel, output)
    }

    /// What this process doesn't need goes back first: the command takes memory, too, and begins as a copy of the process.
    fn execute(
        self,
        root: &Root,
        run: &Run,
        watch: Option<Watch<'_>>,
        cancel: &Cancel,
        output: &mut dyn FnMut(Stream, &[u8]),
    ) -> Result<Exit, Error> {
        give_back_memory();
        match self {
            Sandbox::Namespaces => namespaces::run(root, run, watch, cancel, output),
            Sandbox::Chroot => chroot::run(root, run, watch, cancel, output),
        }
    }
}
