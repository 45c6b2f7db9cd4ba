//! What is to be run, where, and how it ended.

use std::path::{Path, PathBuf};

/// The root a command runs in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Root {
    /// A directory, changed in place.
    Plain(PathBuf),
    /// An overlay mount, of which nothing is left after the run but what it wrote to `upper`.
    Overlay {
        /// The directories below, lowest first; they are not changed.
        lowers: Vec<PathBuf>,
        /// Gets the changes.
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
    /// Where it starts; must exist in the root.
    pub workdir: PathBuf,
    /// Who it runs as; root unless given.
    pub user: Option<User>,
    /// What network it has.
    pub network: Network,
    /// What else it sees.
    pub binds: Vec<Bind>,
    /// What it reads from its standard input.
    pub stdin: Vec<u8>,
    /// The name of its host.
    pub host_name: String,
    /// Its umask.
    pub umask: u32,
}

impl Run {
    /// Returns a run of `argv` as root in `/`, with an empty environment and no network.
    pub fn new(argv: impl IntoIterator<Item = impl Into<String>>) -> Run {
        Run {
            argv: argv.into_iter().map(Into::into).collect(),
            env: Vec::new(),
            workdir: PathBuf::from("/"),
            user: None,
            network: Network::None,
            binds: Vec::new(),
            stdin: Vec::new(),
            host_name: "estaleiro".into(),
            umask: 0o022,
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

/// A file or directory of the host that a command sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bind {
    /// On the host.
    pub source: PathBuf,
    /// In the root. What is missing of it is made for the run, and removed after it.
    pub target: PathBuf,
    /// Whether it cannot be written.
    pub read_only: bool,
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
