//! A container as Concourse's worker makes it, run by runc.
//!
//! It has a first process that only waits, as on a worker; programs are started beside it. It ends with its value, and
//! with the test's process however that ends: its first process reads from a pipe that ends then, and its mounts are
//! those of a namespace that only it has.

mod owners;
mod root;
mod spec;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

pub use root::{Root, root};

use super::run;

/// How far a container is kept apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The default: a user namespace, few capabilities, no mounts.
    Unprivileged,
    /// What `privileged: true` gives: the machine's root.
    Privileged,
    /// What an operator may make of `privileged: true`: mounts and FUSE, but in a user namespace.
    FuseOnly,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 3] = [Kind::Unprivileged, Kind::Privileged, Kind::FuseOnly];

    /// Returns what it is called.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Unprivileged => "unprivileged",
            Kind::Privileged => "privileged",
            Kind::FuseOnly => "fuse-only",
        }
    }

    fn has_user_namespace(self) -> bool {
        self != Kind::Privileged
    }

    /// Returns which user of the machine is root inside.
    fn root_outside(self) -> u32 {
        if self.has_user_namespace() { spec::ROOT_OUTSIDE } else { 0 }
    }

    /// Returns the names of its capabilities, sorted.
    pub fn capabilities(self) -> Vec<String> {
        spec::capabilities(self)
    }
}

/// A directory that is seen in a container.
#[derive(Clone, Debug)]
pub struct Mount {
    source: PathBuf,
    destination: String,
    is_lent: bool,
}

impl Mount {
    /// A directory that may be written to; as long as the container lives, what is root's is the container's root's.
    pub fn lent(source: &Path, destination: &str) -> Mount {
        Mount { source: source.to_owned(), destination: destination.to_owned(), is_lent: true }
    }

    /// A file or directory that is only read, as it is.
    pub fn shown(source: &Path, destination: &str) -> Mount {
        Mount { is_lent: false, ..Mount::lent(source, destination) }
    }
}

/// A running container.
#[derive(Debug)]
pub struct Container {
    kind: Kind,
    directory: tempfile::TempDir,
    lent: Vec<PathBuf>,
    first: Child,
    /// As long as this is open, the first process waits.
    life: Option<ChildStdin>,
}

/// How long runc may take to start something.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where the first process's program lies, and what it does: it waits for the end of its input, and for nobody's.
const INIT: &str = "/tmp/gdn-init";
const MOUNT_AND_RUN: &str =
    "mount -t overlay overlay -o lowerdir=\"$1\",upperdir=upper,workdir=work rootfs &&
    exec runc --root runc run --bundle . --pid-file pid \"$2\"";

impl Container {
    /// Starts a container on a root of [`root`]'s kind; besides `mounts` it has an empty `/scratch`, and of the
    /// machine the certificates and the name servers.
    ///
    /// # Panics
    /// Where runc can't: it needs root, user namespaces, control groups and a TMPDIR that everybody may enter.
    pub fn start(kind: Kind, root: &Root, workdir: &str, mounts: &[Mount]) -> Container {
        let directory = tempfile::Builder::new().prefix("estaleiro-").tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        for name in ["rootfs", "upper", "work", "scratch"] {
            fs::create_dir(path(name)).unwrap();
        }
        let own = [
            Mount::shown(&root::init(), INIT),
            Mount::shown(Path::new("/etc/ssl/certs"), "/etc/ssl/certs"),
            Mount::shown(Path::new("/etc/resolv.conf"), "/etc/resolv.conf"),
            Mount::lent(&path("scratch"), "/scratch"),
        ];
        let mounts = [&own, mounts].concat();
        let mut lent: Vec<PathBuf> = mounts.iter().filter(|m| m.is_lent).map(|m| m.source.clone()).collect();
        lent.push(path("upper"));
        lent.iter().for_each(|directory| owners::change(directory, 0, kind.root_outside()));
        fs::write(path("config.json"), spec::config(kind, INIT, workdir, &mounts).to_string()).unwrap();
        let mut first = start_first(directory.path(), &root.owned_by(kind.root_outside()));
        let life = first.stdin.take();
        let mut container = Container { kind, directory, lent, first, life };
        container.wait_until_it_runs();
        container
    }

    fn wait_until_it_runs(&mut self) {
        let mut line = String::new();
        BufReader::new(self.first.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let said = || fs::read_to_string(self.directory.path().join("said")).unwrap();
        assert_eq!(
            line,
            "up\n",
            "cannot start a container ({:?}): {}\nhint: this test needs runc (./ci/test installs it), root, user namespaces, control groups, and a TMPDIR that everybody may enter",
            self.kind,
            said()
        );
    }

    /// Returns the command that starts a program inside, with its standard streams; `PATH` alone is its environment.
    pub fn command(&self, argv: &[&str], environment: &BTreeMap<String, String>) -> Command {
        let mut command = self.runc("exec");
        command.args(["--pid-file", "program"]);
        for (name, value) in environment {
            command.args(["--env", &format!("{name}={value}")]);
        }
        command.arg(self.name()).args(argv);
        command
    }

    /// Sends a signal to the program that was started last.
    pub fn signal(&self, signal: Signal) {
        kill(self.pid("program"), signal).unwrap();
    }

    /// Returns the command lines of the programs that run inside, without the container's first.
    pub fn programs(&self) -> Vec<String> {
        let listed = self.runc("ps").args(["--format", "json", &self.name()]).output().unwrap();
        let pids: Vec<i32> = serde_json::from_slice(&listed.stdout).unwrap();
        let others = pids.into_iter().filter(|pid| *pid != self.pid("pid").as_raw());
        let lines = others.filter_map(|pid| fs::read_to_string(format!("/proc/{pid}/cmdline")).ok());
        lines.map(|line| line.replace('\0', " ")).collect()
    }

    /// Returns the mounts inside, as `/proc/PID/mountinfo` tells them.
    pub fn mounts(&self) -> String {
        fs::read_to_string(format!("/proc/{}/mountinfo", self.pid("pid"))).unwrap()
    }

    /// Returns what runc wrote to a file of process IDs; it does so when the process runs already.
    fn pid(&self, file: &str) -> Pid {
        let start = Instant::now();
        loop {
            let written = fs::read_to_string(self.directory.path().join(file)).unwrap_or_default();
            if let Ok(pid) = written.trim().parse() {
                return Pid::from_raw(pid);
            }
            assert!(start.elapsed() < PATIENCE, "runc does not tell its {file}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn runc(&self, verb: &str) -> Command {
        let mut command = Command::new("runc");
        command.current_dir(self.directory.path()).args(["--root", "runc", verb]);
        command
    }

    fn name(&self) -> String {
        name(self.directory.path())
    }
}

fn name(directory: &Path) -> String {
    directory.file_name().unwrap().to_str().unwrap().to_owned()
}

fn start_first(directory: &Path, root: &Path) -> Child {
    Command::new("unshare")
        .args(["--mount", "--propagation", "private", "sh", "-c", MOUNT_AND_RUN, "sh"])
        .args([root.to_str().unwrap(), &name(directory)])
        .current_dir(directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(fs::File::create(directory.join("said")).unwrap())
        .spawn()
        .expect("unshare belongs to every Debian")
}

impl Drop for Container {
    fn drop(&mut self) {
        drop(self.life.take());
        let _ = self.first.wait();
        let from = self.kind.root_outside();
        let lent = self.lent.iter().filter(|directory| directory.exists());
        lent.for_each(|directory| owners::change(directory, from, 0));
    }
}
