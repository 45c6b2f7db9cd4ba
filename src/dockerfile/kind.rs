//! What each instruction says, as values.
//!
//! How they are read and expanded stands elsewhere; nothing here knows a text or a variable.

use std::ops::Range;
use std::time::Duration;

use super::mount::{Mount, MountWords};

/// What an instruction says; `M` is how a mount of RUN is known: in [`MountWords`] as written, or, after
/// [`Kind::expand`], as a [`Mount`].
///
/// FROM is none of these: it begins a [`Stage`](super::Stage).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind<M = MountWords> {
    /// ADD: files, archives, downloads.
    Add(Add),
    /// ARG: variables of the build.
    Arg(Vec<Argument>),
    /// CMD: what a container runs.
    Cmd(CommandLine),
    /// COPY: files.
    Copy(Copy),
    /// ENTRYPOINT: what a container runs, before CMD.
    Entrypoint(CommandLine),
    /// ENV: variables of the image.
    Env(Vec<Pair>),
    /// EXPOSE: ports. As written; after expansion each is like `80/tcp`, and in the order of [`str`].
    Expose(Vec<String>),
    /// HEALTHCHECK: how to find out whether a container works.
    Healthcheck(Healthcheck),
    /// LABEL: what the image says of itself.
    Label(Vec<Pair>),
    /// MAINTAINER: the image's author.
    Maintainer(String),
    /// ONBUILD: an instruction for images built on this one; read it with
    /// [`Instruction::of_trigger`](super::Instruction::of_trigger).
    Onbuild(String),
    /// RUN: a command in the image's root.
    Run(Run<M>),
    /// SHELL: what runs commands in shell form.
    Shell(Vec<String>),
    /// STOPSIGNAL: the signal that ends a container.
    Stopsignal(String),
    /// USER: who runs commands.
    User(String),
    /// VOLUME: directories that are not the image's.
    Volume(Vec<String>),
    /// WORKDIR: where commands run.
    Workdir(String),
}

impl Kind {
    /// Returns an instruction of another text with all its places at `span`.
    pub(super) fn moved_to(mut self, span: &Range<usize>) -> Kind {
        if let Kind::Arg(arguments) = &mut self {
            arguments.iter_mut().for_each(|argument| argument.span = span.clone());
        }
        if let Kind::Run(run) = &mut self {
            run.mounts.iter_mut().for_each(|mount| mount.span = span.clone());
        }
        self
    }
}

/// All that a build does once expanded.
pub type Expanded = Kind<Mount>;

/// An instruction's name and value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// Before the `=`.
    pub name: String,
    /// After it.
    pub value: String,
}

/// A variable of the build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Argument {
    /// Its name.
    pub name: String,
    /// The value that it has when nobody gives another.
    pub value: Option<String>,
    /// Where it is declared; in a trigger, the FROM that brought it.
    pub span: Range<usize>,
}

/// A command in one of its two forms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandLine {
    /// A text for the shell; it may be empty.
    Shell(String),
    /// A program and its arguments; it may be empty.
    Exec(Vec<String>),
}

/// What runs commands in shell form where no SHELL says otherwise.
pub const DEFAULT_SHELL: [&str; 2] = ["/bin/sh", "-c"];

impl CommandLine {
    /// Returns the program and its arguments; `shell` runs a text.
    pub fn words(&self, shell: &[String]) -> Vec<String> {
        match self {
            CommandLine::Exec(words) => words.clone(),
            CommandLine::Shell(text) => shell.iter().chain([text]).cloned().collect(),
        }
    }
}

/// What COPY and ADD have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfer {
    /// Paths, patterns of paths, and for ADD also addresses, in their order.
    pub sources: Vec<String>,
    /// Files that stand in the Dockerfile itself; they come after the sources.
    pub documents: Vec<Document>,
    /// Where they go; it may be relative to the working directory, and `/` at its end means a directory.
    pub destination: String,
    /// Whom they belong to.
    pub chown: Option<String>,
    /// Their mode: octal, or symbolic as of chmod.
    pub chmod: Option<String>,
    /// Whether the layer is independent of what is below it.
    pub link: bool,
    /// What is left out, each a pattern as in `.dockerignore`.
    pub exclude: Vec<String>,
}

/// A here-document that becomes a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// The file's name.
    pub name: String,
    /// What it holds.
    pub text: String,
    /// Whether variables in it are to be replaced.
    pub is_expanded: bool,
}

/// COPY.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copy {
    /// What goes where.
    pub transfer: Transfer,
    /// The stage or image it comes from, and not the context.
    pub from: Option<String>,
    /// Whether the directories above a source come along.
    pub parents: bool,
}

/// ADD.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Add {
    /// What goes where.
    pub transfer: Transfer,
    /// The digest of the download, or the commit.
    pub checksum: Option<String>,
    /// Whether `.git` stays, if anything is said of it.
    pub keep_git_dir: Option<bool>,
    /// Whether archives are unpacked; without it local ones are and downloads are not.
    pub unpack: Option<bool>,
}

/// RUN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run<M = MountWords> {
    /// What is run.
    pub command: RunCommand,
    /// What is mounted meanwhile, in the order written.
    pub mounts: Vec<M>,
    /// Which network it sees.
    pub network: Network,
    /// What it may do.
    pub security: Security,
}

/// What RUN runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunCommand {
    /// A text for the shell, here-documents included; it may be empty.
    Shell(String),
    /// A program and its arguments. Without any there is nothing to run, and the build fails.
    Exec(Vec<String>),
    /// A here-document that begins with `#!`: a file to be run, `/dev/pipes/` and its name.
    Script {
        /// The file's name.
        name: String,
        /// What it holds.
        text: String,
    },
}

impl RunCommand {
    /// Returns where a here-document of this name is seen.
    pub fn place(name: &str) -> String {
        format!("/dev/pipes/{name}")
    }

    /// Returns the program and its arguments; `shell` runs a text or a script.
    pub fn words(&self, shell: &[String]) -> Vec<String> {
        match self {
            RunCommand::Exec(words) => words.clone(),
            RunCommand::Shell(text) => shell.iter().chain([text]).cloned().collect(),
            RunCommand::Script { name, .. } => {
                shell.iter().cloned().chain([RunCommand::place(name)]).collect()
            }
        }
    }
}

/// Which network a RUN sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Network {
    /// The one of the build.
    #[default]
    Default,
    /// None.
    None,
    /// The host's.
    Host,
}

/// What a RUN may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Security {
    /// What every RUN may.
    #[default]
    Sandbox,
    /// All that root may.
    Insecure,
}

/// HEALTHCHECK.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Healthcheck {
    /// None, also if the base has one.
    None,
    /// A command; what is not said of it is as the base or the runtime has it.
    Command {
        /// What is run.
        command: CommandLine,
        /// How long to wait between two.
        interval: Option<Duration>,
        /// How long one may take.
        timeout: Option<Duration>,
        /// How long failures do not count at the start.
        start_period: Option<Duration>,
        /// How long to wait between two at the start.
        start_interval: Option<Duration>,
        /// How many failures in a row count.
        retries: Option<u32>,
    },
}

impl Healthcheck {
    /// Returns the check as an image's configuration has it: `NONE`, or `CMD` or `CMD-SHELL` and more.
    pub fn test(&self) -> Vec<String> {
        match self {
            Healthcheck::None => vec!["NONE".to_owned()],
            Healthcheck::Command { command, .. } => match command {
                CommandLine::Exec(words) => [&["CMD".to_owned()], words.as_slice()].concat(),
                CommandLine::Shell(text) => vec!["CMD-SHELL".to_owned(), text.clone()],
            },
        }
    }
}
