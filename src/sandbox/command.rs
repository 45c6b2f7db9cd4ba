//! What is to be run, where, and how it ended.

use std::fmt;
use std::path::{Path, PathBuf};

/// The name of the host that a command sees unless it is told another.
pub(super) const HOST_NAME: &str = "estaleiro";

/// The root a command runs in, or takes something from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Root {
    /// A directory, changed in place.
    Plain(PathBuf),
    /// An overlay mount, of which nothing is left after the run but what it wrote to `upper`.
    Overlay {
        /// The directories below, lowest first; they are not changed.
        lowers: Vec<PathBuf>,
        /// Gets the changes. Its own mode and owner are those of the root.
        upper: PathBuf,
        /// An empty directory on the file system of `upper`, for the kernel.
        work: PathBuf,
    },
}

impl Root {
    /// Returns the directories that the root is made of, on the host.
    pub fn places(&self) -> Vec<&Path> {
        match self {
            Root::Plain(directory) => vec![directory],
            Root::Overlay { lowers, upper, .. } => {
                lowers.iter().chain([upper]).map(PathBuf::as_path).collect()
            }
        }
    }
}

/// A command, and what it finds around it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The program and its arguments. A program without a slash is looked up in the environment's PATH.
    pub argv: Vec<String>,
    /// The whole environment.
    pub env: Vec<(String, String)>,
    /// Where it starts, in the root.
    pub workdir: PathBuf,
    /// Whether that is made, root's and 0755, where it is missing; else it must exist.
    pub makes_workdir: bool,
    /// Who it runs as; root unless given.
    pub user: Option<User>,
    /// What network it has.
    pub network: Network,
    /// What else it sees; each may lie in those before it.
    pub mounts: Vec<Mount>,
    /// What it reads from its standard input.
    pub stdin: Vec<u8>,
    /// The name of its host.
    pub host_name: String,
    /// Its umask.
    pub umask: u32,
    /// How many processes and threads it may have at a time, as far as the kernel lets us limit them: since Linux 6.14
    /// always, before that where the builder may make a control group; else what is not root's is limited, together with
    /// all of that user's.
    pub max_processes: u32,
}

impl Run {
    /// Returns a run of `argv` as root in `/`, with an empty environment and no network.
    pub fn new(argv: impl IntoIterator<Item = impl Into<String>>) -> Run {
        Run {
            argv: argv.into_iter().map(Into::into).collect(),
            env: Vec::new(),
            workdir: PathBuf::from("/"),
            makes_workdir: false,
            user: None,
            network: Network::None,
            mounts: Vec::new(),
            stdin: Vec::new(),
            host_name: HOST_NAME.into(),
            umask: 0o022,
            max_processes: 16_384,
        }
    }
}

/// Who a command runs as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The user's number.
    pub uid: u32,
    /// The group's number.
    pub gid: u32,
    /// The numbers of the further groups.
    pub groups: Vec<u32>,
}

/// The network a command has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// A loopback interface of its own.
    None,
    /// The host's.
    Host,
}

/// Something that a command sees at a place in its root.
///
/// Links on the way to the place are followed as for somebody to whom the root is `/`. What is missing of it is made for
/// the run, and removed after it without a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// What is seen.
    pub source: Source,
    /// Where: a path in the root.
    pub target: PathBuf,
    /// Whether it cannot be written.
    pub is_read_only: bool,
}

impl Mount {
    /// Returns a mount of a directory or file of the host that cannot be written.
    pub fn of_host(path: impl Into<PathBuf>, target: impl Into<PathBuf>) -> Mount {
        let source = Source::Path { root: Root::Plain(path.into()), path: PathBuf::new() };
        Mount { source, target: target.into(), is_read_only: true }
    }
}

/// What a command sees at a place in its root.
#[derive(Clone, PartialEq, Eq)]
pub enum Source {
    /// A directory or file in another root. Links lead nowhere outside of that.
    Path {
        /// The root; a plain one may be a single file.
        root: Root,
        /// The path in it, without `..`; an empty one is the root itself.
        path: PathBuf,
    },
    /// An empty file system in memory.
    Memory {
        /// How many bytes it takes, where that is bounded; else half of the memory.
        size: Option<u64>,
    },
    /// A file that cannot be written.
    File {
        /// Whether it is in memory only, and never on a disk.
        is_secret: bool,
        /// What stands in it.
        content: Vec<u8>,
        /// Its permissions.
        mode: u32,
        /// Its owner.
        uid: u32,
        /// Its group.
        gid: u32,
    },
}

/// What stands in a file may be a secret.
impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Path { root, path } => write!(f, "{} in {root:?}", path.display()),
            Source::Memory { size } => write!(f, "memory of {size:?} bytes"),
            Source::File { content, .. } => write!(f, "a file of {} bytes", content.len()),
        }
    }
}

/// Where a line of output came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// The standard output.
    Stdout,
    /// The standard error.
    Stderr,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// By itself; 0 means well.
    Code(i32),
    /// By a signal.
    Signal(i32),
}

impl Exit {
    /// Whether it ended well.
    pub fn is_success(&self) -> bool {
        *self == Exit::Code(0)
    }
}
