//! Where the programs of steps run: on this machine as they are, or each in a container of its own.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::super::container::{Container, Kind, Mount, Root};
use super::super::run;

/// How long what a program started may live on.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where programs run.
#[derive(Clone, Debug)]
pub(super) enum Worker {
    /// On this machine: the programs `check`, `in` and `out`, wherever they lie.
    Machine(BTreeMap<&'static str, PathBuf>),
    /// In a container with this root, where they lie in `/opt/resource`.
    Container(Kind, Root),
}

/// What a program is given.
#[derive(Debug)]
pub(super) struct Step<'a> {
    /// Which one: `check`, `in`, `out`.
    pub(super) program: &'static str,
    /// The artifacts that it sees, by name.
    pub(super) inputs: BTreeMap<&'a str, &'a Path>,
    /// The directory that it fills.
    pub(super) destination: Option<&'a Path>,
    /// What is on its stdin.
    pub(super) request: String,
    /// Its environment.
    pub(super) environment: &'a BTreeMap<String, String>,
}

impl Worker {
    /// Starts a step's program.
    pub(super) fn start(&self, step: &Step<'_>) -> Running {
        let inputs = step.inputs.iter().map(|(name, from)| (*name, copy(from))).collect();
        let (mut command, place) = match self {
            Worker::Machine(programs) => on_machine(&programs[step.program], step, inputs),
            Worker::Container(kind, root) => in_container(*kind, root, step, inputs),
        };
        start(&mut command, step.request.clone(), place)
    }
}

/// Starts a program with this text on its stdin.
pub(super) fn start(command: &mut Command, stdin: String, place: Place) -> Running {
    let streams = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = streams.spawn();
    let mut child = child.unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    let mut pipe = child.stdin.take().unwrap();
    // A program that fails early need not read it all.
    let writer = std::thread::spawn(move || {
        let _ = pipe.write_all(stdin.as_bytes());
    });
    Running { child, writer, place }
}

/// Returns a copy of an artifact.
pub(super) fn copy(artifact: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    run("cp", &["-a", &format!("{}/.", artifact.display()), copy.path().to_str().unwrap()]);
    copy
}

type Inputs<'a> = Vec<(&'a str, tempfile::TempDir)>;

/// Programs run in `/`: what they are given is absolute.
fn on_machine(program: &Path, step: &Step<'_>, inputs: Inputs<'_>) -> (Command, Place) {
    let mut command = Command::new(program);
    command.current_dir("/").env_clear().envs(step.environment).args(step.destination);
    let sources = tempfile::tempdir().unwrap();
    for (name, input) in inputs {
        std::fs::rename(input.keep(), sources.path().join(name)).unwrap();
    }
    if step.program == "out" {
        command.arg(sources.path());
    }
    (command, Place::Machine { _sources: sources })
}

fn in_container(kind: Kind, root: &Root, step: &Step<'_>, inputs: Inputs<'_>) -> (Command, Place) {
    let (workdir, argument) = match step.program {
        "out" => ("/tmp/build/put", Some("/tmp/build/put")),
        "in" => ("/tmp/build/get", Some("/tmp/build/get")),
        _ => ("/tmp/build/check", None),
    };
    let empty = tempfile::tempdir().unwrap();
    let filled = Mount::lent(step.destination.unwrap_or(empty.path()), workdir);
    let seen = inputs.iter().map(|(name, input)| Mount::lent(input.path(), &format!("{workdir}/{name}")));
    let mounts: Vec<Mount> = [filled].into_iter().chain(seen).collect();
    let container = Container::start(kind, root, workdir, &mounts);
    let program = format!("/opt/resource/{}", step.program);
    let argv: Vec<&str> = [program.as_str()].into_iter().chain(argument).collect();
    let command = container.command(&argv, step.environment);
    let lent = inputs.into_iter().map(|(_, input)| input).chain([empty]).collect();
    (command, Place::of(container, lent))
}

/// What a program runs in; it is gone with this value.
pub(super) enum Place {
    Machine { _sources: tempfile::TempDir },
    Container { container: Container, mounts: String, _lent: Vec<tempfile::TempDir> },
}

impl Place {
    /// Returns a container, and the directories that were lent to it and are gone with it.
    pub(super) fn of(container: Container, lent: Vec<tempfile::TempDir>) -> Place {
        Place::Container { mounts: container.mounts(), container, _lent: lent }
    }
}

/// A step whose program runs.
pub struct Running {
    child: Child,
    writer: JoinHandle<()>,
    place: Place,
}

impl Running {
    /// Tells the program to end, as a Concourse does whose build is aborted: first by SIGTERM, then by SIGKILL.
    pub fn signal(&self, signal: Signal) {
        match &self.place {
            Place::Machine { .. } => {
                kill(Pid::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
            }
            Place::Container { container, .. } => container.signal(signal),
        }
    }

    /// Returns its container.
    pub fn container(&self) -> Option<&Container> {
        match &self.place {
            Place::Machine { .. } => None,
            Place::Container { container, .. } => Some(container),
        }
    }

    /// Waits for the program's end, after which nothing of it may be left: no process, and no mount.
    pub fn finish(self) -> Output {
        let output = self.child.wait_with_output().unwrap();
        self.writer.join().unwrap();
        if let Place::Container { container, mounts, .. } = &self.place {
            assert_ended(container);
            assert_eq!(container.mounts(), *mounts, "a step leaves no mounts");
        }
        output
    }
}

/// A program that was killed can't wait for those that it started; the kernel ends them.
fn assert_ended(container: &Container) {
    let start = Instant::now();
    while !container.programs().is_empty() {
        assert!(start.elapsed() < PATIENCE, "a step leaves no processes: {:?}", container.programs());
        std::thread::sleep(Duration::from_millis(20));
    }
}
