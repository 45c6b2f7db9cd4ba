//! What the instructions of a Dockerfile come to, once every word of them is expanded.
//!
//! Whatever decides a layer, its place in the history or the account stands in the key; where an instruction stands in
//! its file doesn't.

use serde::Serialize;

use crate::bom;
use crate::digest::Digest;
use crate::oci::ContainerConfig;
use crate::sandbox::Host;

/// An instruction as people wrote it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Instruction {
    /// Its text, on one line: it stands in the image's history.
    pub text: String,
    /// The Dockerfile's name.
    #[serde(skip)]
    pub file: String,
    /// Its line, from 1.
    #[serde(skip)]
    pub line: usize,
}

impl Instruction {
    /// Returns what is said of something that passes, and may not be meant.
    pub fn warning(&self, reason: impl std::fmt::Display) -> String {
        format!("{}:{}: {reason}", self.file, self.line)
    }

    /// Returns the text, cut where it gets long for a line of progress.
    pub fn title(&self) -> String {
        const LONGEST: usize = 100;
        match self.text.char_indices().nth(LONGEST) {
            Some((end, _)) => format!("{}…", &self.text[..end]),
            None => self.text.clone(),
        }
    }
}

/// Says what the whole configuration is (`ENV`, `CMD`, `LABEL`, …; `FROM`, which begins with that of another image).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Settle {
    /// What was said.
    pub instruction: Instruction,
    /// The whole configuration from here on.
    pub config: ContainerConfig,
    /// Who made the image, where somebody says so.
    pub author: Option<String>,
}

/// Runs a command in the root (`RUN`).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Run {
    /// What was said.
    pub instruction: Instruction,
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// The whole environment, in order.
    pub env: Vec<(String, String)>,
    /// Variables that say how the network is reached; they decide nothing.
    #[serde(skip)]
    pub proxies: Vec<(String, String)>,
    /// Where it starts: an absolute path, which is made if need be.
    pub workdir: String,
    /// `name`, `uid`, either with `:group`; empty is root.
    pub user: String,
    /// Whether it reaches the network.
    pub has_network: bool,
    /// Hosts that it knows by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<Host>,
    /// What else it sees, in this order.
    pub mounts: Vec<RunMount>,
    /// Names of environment variables that come from secrets, with the secret's name and whether it must be there.
    pub secret_env: Vec<SecretVariable>,
}

/// A variable of a command's environment whose value nobody but the command may see.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SecretVariable {
    /// The variable's name.
    pub name: String,
    /// The secret's.
    pub secret: String,
    /// Whether the build fails without it.
    pub is_required: bool,
}

/// Something that a command sees beside its root.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunMount {
    /// Where: an absolute path.
    pub target: String,
    /// What.
    pub what: RunMountKind,
}

/// The kinds of what a command may see beside its root.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum RunMountKind {
    /// A directory or file of one of the vertex's mounts: the context, or another image.
    Bind {
        /// Which of the vertex's mounts.
        mount: usize,
        /// The path in it.
        source: String,
        /// Whether it can be written to; what is written is thrown away.
        is_writable: bool,
    },
    /// A directory that this machine keeps from one build to the next.
    Cache {
        /// Its name.
        id: String,
        /// Who may use it at the same time.
        sharing: Sharing,
        /// What a new one begins with: one of the vertex's mounts, and a path in it.
        seed: Option<(usize, String)>,
        /// Whether it can't be written to.
        is_read_only: bool,
        /// The permissions of a new one.
        mode: u32,
        /// The owner of a new one.
        uid: u32,
        /// The group of a new one.
        gid: u32,
    },
    /// An empty file system in memory.
    Tmpfs {
        /// Its size in bytes, where it is bounded.
        size: Option<u64>,
    },
    /// A secret, as a file.
    Secret {
        /// Its name.
        id: String,
        /// Whether the build fails without it.
        is_required: bool,
        /// The file's permissions.
        mode: u32,
        /// Its owner.
        uid: u32,
        /// Its group.
        gid: u32,
    },
    /// The socket of an ssh agent.
    Ssh {
        /// Its name.
        id: String,
        /// Whether the build fails without it.
        is_required: bool,
        /// The socket's permissions.
        mode: u32,
        /// Its owner.
        uid: u32,
        /// Its group.
        gid: u32,
    },
    /// A file whose text stands in the Dockerfile.
    Text {
        /// Its content.
        content: String,
        /// Its permissions.
        mode: u32,
    },
}

/// Who may use a cache at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Sharing {
    /// Everybody.
    Shared,
    /// Whoever comes while it is in use gets another one.
    Private,
    /// One after the other.
    Locked,
}

/// Puts files into the root (`COPY` and `ADD`).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Transfer {
    /// What was said.
    pub instruction: Instruction,
    /// What is put there, in order.
    pub sources: Vec<TransferSource>,
    /// Where to: an absolute path; with a slash at its end it is a directory.
    pub target: String,
    /// `user`, `user:group`, by names or numbers; without, it is all root's, or as in the source image.
    pub owner: Option<String>,
    /// Permissions, octal or symbolic.
    pub mode: Option<String>,
    /// Whether tarballs of the context are unpacked.
    pub unpacks: bool,
    /// Whether the paths of sources are kept.
    pub keeps_parents: bool,
    /// Whether it is independent of what is there: nothing is read of the root, links in it aren't followed.
    pub is_link: bool,
    /// Patterns of what isn't taken.
    pub exclude: Vec<String>,
}

/// Where the files of a [`Transfer`] come from.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum TransferSource {
    /// A path, or a pattern, in one of the vertex's mounts: the context, or another image.
    Path {
        /// Which of the vertex's mounts.
        mount: usize,
        /// The path or pattern.
        path: String,
        /// What that mount is, for the account: an image's name with its digest, or a stage's; none is the context.
        from: Option<String>,
    },
    /// A file that was fetched: one of the vertex's mounts.
    Download {
        /// Which of the vertex's mounts.
        mount: usize,
        /// The name it gets in a directory.
        name: String,
        /// Whether it is unpacked, if it is a tarball.
        unpacks: bool,
    },
    /// All of a repository's commit: one of the vertex's mounts.
    Repository {
        /// Which of the vertex's mounts.
        mount: usize,
        /// What it is, for the account.
        source: bom::Repository,
    },
    /// A file whose text stands in the Dockerfile.
    Text {
        /// The name it gets in a directory.
        name: String,
        /// Its content.
        content: String,
    },
}

impl TransferSource {
    /// Returns the repository that it is.
    pub fn repository(&self) -> Option<&bom::Repository> {
        match self {
            TransferSource::Repository { source, .. } => Some(source),
            TransferSource::Path { .. } | TransferSource::Download { .. } | TransferSource::Text { .. } => {
                None
            }
        }
    }
}

/// Makes the directory in which later instructions work (`WORKDIR`).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Workdir {
    /// What was said.
    pub instruction: Instruction,
    /// An absolute path.
    pub path: String,
    /// Whose a new one is, as in [`Run::user`].
    pub user: String,
    /// The whole configuration from here on.
    pub config: ContainerConfig,
}

/// Names entries of the context: those that an instruction's sources may mean, without those that are ignored.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ContextTree {
    /// What was named, for people.
    pub name: String,
    /// The name of the context that it is, where it isn't the build's own.
    #[serde(skip)]
    pub context: Option<String>,
    /// The directory of that context that the paths are relative to; empty for the whole.
    #[serde(skip)]
    pub directory: String,
    /// Sorted by path; directories before what is in them.
    pub entries: Vec<ContextEntry>,
}

impl ContextTree {
    /// Returns the path of an entry, relative to the whole context.
    pub fn in_context(&self, path: &str) -> String {
        match self.directory.as_str() {
            "" => path.to_owned(),
            directory => format!("{directory}/{path}"),
        }
    }
}

/// An entry of the context.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ContextEntry {
    /// Its path, relative to that directory, without `.` and `..`.
    pub path: String,
    /// Its permissions.
    pub mode: u32,
    /// What it is.
    pub kind: ContextKind,
}

/// What an entry of the context is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum ContextKind {
    /// A directory.
    Directory,
    /// A file.
    File {
        /// The digest of its bytes.
        digest: Digest,
        /// Its size in bytes.
        size: u64,
    },
    /// A symbolic link.
    Symlink {
        /// What it says.
        target: String,
    },
    /// Another name of a file whose path sorts before.
    Hardlink {
        /// That file's path.
        target: String,
    },
    /// A character device.
    CharDevice {
        /// The driver.
        major: u32,
        /// The device.
        minor: u32,
    },
    /// A block device.
    BlockDevice {
        /// The driver.
        major: u32,
        /// The device.
        minor: u32,
    },
    /// A named pipe.
    Fifo,
}

/// Names a file from afar, which the lock pins; its bytes are in the store once the vertex is done.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Download {
    /// Its address, without credentials.
    pub uri: String,
    /// Its address, with those that are written.
    #[serde(skip)]
    pub address: String,
    /// The digest of its bytes.
    pub digest: Digest,
    /// When it was last changed, in seconds since 1970, where its server says so.
    pub mtime: Option<i64>,
}

/// A commit of a git repository, which the lock pins.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Repository {
    /// The repository's address, without credentials.
    pub uri: String,
    /// Its address, with those that are written.
    #[serde(skip)]
    pub address: String,
    /// The ref as it is asked for.
    #[serde(skip)]
    pub reference: String,
    /// That ref's full name.
    #[serde(skip)]
    pub name: String,
    /// The commit.
    pub commit: String,
    /// The directory whose content is taken; empty for the whole.
    pub subdir: String,
    /// What decides `.git`, where that stays.
    pub git_dir: Option<GitDir>,
    /// Whether its submodules are fetched.
    pub has_submodules: bool,
}

/// What decides the `.git` of a checkout besides its commit.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GitDir {
    /// The full name of the ref.
    pub name: String,
    /// The annotated tag that leads to the commit, where the ref is one.
    pub tag: Option<String>,
}

impl Repository {
    /// Returns what the account says of it.
    pub fn told(&self) -> bom::Repository {
        bom::Repository {
            uri: self.uri.clone(),
            reference: self.reference.clone(),
            commit: self.commit.clone(),
            subdir: self.subdir.clone(),
        }
    }
}
