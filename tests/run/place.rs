//! A store with a small base image, and a builder of one command.

use std::fs;
use std::io::Read;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use anyhow::Result;
use estaleiro::build::blobs::Blobs;
use estaleiro::build::context::Context;
use estaleiro::build::graph::{Delta, Instruction, Run, RunMount, RunMountKind};
use estaleiro::build::ops::ground::Copies;
use estaleiro::build::ops::run::{self, Route, Site};
use estaleiro::build::secrets::Secrets;
use estaleiro::build::solve::Yield;
use estaleiro::build::wait::Waiter;
use estaleiro::layer::{Compression, Entry, LayerWriter, Options, decompress, scan};
use estaleiro::oci::{Layer, Platform};
use estaleiro::progress::Progress;
use estaleiro::sandbox::{Cancel, Sandbox};
use estaleiro::store::Store;

const APPLETS: [&str; 23] = [
    "sh", "ls", "cat", "sleep", "id", "hostname", "mkdir", "rm", "grep", "readlink", "stat", "touch", "cp",
    "mv", "pwd", "env", "head", "ln", "chmod", "true", "dd", "kill", "echo",
];

/// A store, a context, and what is told to a command.
pub(crate) struct Place {
    directory: Arc<tempfile::TempDir>,
    pub(crate) store: Store,
    pub(crate) secrets: Secrets,
    pub(crate) route: Route,
    pub(crate) keep_failed_as: Option<String>,
}

/// Collects what is said.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Place {
    pub(crate) fn new() -> Place {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path().join("state")).unwrap();
        fs::create_dir(directory.path().join("context")).unwrap();
        let (secrets, route) = Default::default();
        Place { directory: Arc::new(directory), store, secrets, route, keep_failed_as: None }
    }

    /// Returns the same place with a state that has the blobs, and nothing made of them.
    pub(crate) fn with_the_same_blobs(&self) -> Place {
        let state = self.path("other-state");
        let store = Store::open(&state).unwrap();
        for blob in fs::read_dir(self.path("state/blobs/sha256")).unwrap() {
            let path = blob.unwrap().path();
            fs::copy(&path, state.join("blobs/sha256").join(path.file_name().unwrap())).unwrap();
        }
        let (secrets, route) = Default::default();
        Place { directory: self.directory.clone(), store, secrets, route, keep_failed_as: None }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Returns a path of the state.
    pub(crate) fn store_path(&self, name: &str) -> PathBuf {
        fs::canonicalize(self.path("state")).unwrap().join(name)
    }

    pub(crate) fn layer(&self, entries: &[(Entry, Vec<u8>)]) -> Layer {
        let options = Options { epoch: 1_700_000_000, threads: 1, compression: Compression::Gzip(1) };
        let mut writer = LayerWriter::new(self.store.blob_writer().unwrap(), options).unwrap();
        let mut entries: Vec<_> = entries.iter().collect();
        entries.sort_by(|one, other| one.0.path.cmp(&other.0.path));
        for (entry, content) in entries {
            writer.entry(entry, &mut content.as_slice()).unwrap();
        }
        writer.finish().unwrap().layer
    }

    /// Returns layers with a shell, and a user `app`.
    pub(crate) fn base(&self) -> Vec<Layer> {
        let busybox = fs::read("/bin/busybox").expect("this test needs Debian's busybox-static");
        let mut entries = vec![
            directory("bin"),
            file("bin/busybox", 0o755, busybox),
            directory("etc"),
            file("etc/passwd", 0o644, "root:x:0:0:root:/root:/bin/sh\napp:x:1000:50::/home/app:/bin/sh\n"),
            file("etc/group", 0o644, "root:x:0:\nstaff:x:50:\nwheel:x:10:app\n"),
            file("etc/old", 0o644, "old"),
            directory("dev"),
            directory("proc"),
            directory("sys"),
            (Entry::directory("tmp", 0o1777), Vec::new()),
        ];
        entries.extend(APPLETS.map(|name| (Entry::symlink(format!("bin/{name}"), "busybox"), Vec::new())));
        vec![self.layer(&entries)]
    }

    /// Runs a command; returns what it changed and the lines that it said.
    pub(crate) fn run(&self, op: &Run, layers: &[Layer]) -> Result<(Delta, Vec<String>)> {
        self.run_with(op, layers, &[])
    }

    pub(crate) fn run_with(
        &self,
        op: &Run,
        layers: &[Layer],
        inputs: &[&Yield],
    ) -> Result<(Delta, Vec<String>)> {
        let result = self.run_apart(op, layers, inputs);
        assert_eq!(fs::read_dir(self.path("state/scratch")).unwrap().count(), 0, "scratch is empty again");
        result
    }

    fn run_apart(&self, op: &Run, layers: &[Layer], inputs: &[&Yield]) -> Result<(Delta, Vec<String>)> {
        let (log, cancel) = (Log::default(), Cancel::new().unwrap());
        let progress = Progress::lines(Box::new(log.clone()), false);
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let _inside = runtime.enter();
        let (_interest, waiter) = Waiter::new();
        let site = Site {
            store: &self.store,
            blobs: &Blobs::new(self.store.clone(), Progress::silent(), waiter, Vec::new()),
            context: &Context::new(self.path("context")),
            sandbox: Sandbox::choose().unwrap(),
            copies: &Copies::default(),
            cancel: &cancel,
            progress: &progress,
            secrets: &self.secrets,
            route: &self.route,
            epoch: 1_700_000_000,
            files: &std::collections::BTreeMap::new(),
            keep_failed_as: self.keep_failed_as.clone(),
            platform: &Platform::host(),
        };
        let options = Options { epoch: 1_700_000_000, threads: 1, compression: Compression::Gzip(1) };
        let writer = || Ok(LayerWriter::new(self.store.blob_writer()?, options)?);
        let work = || run::run(op, layers, inputs, &site, &writer);
        let delta = std::thread::scope(|scope| scope.spawn(work).join().unwrap());
        let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        let prefix = format!("{}:{} | ", op.instruction.file, op.instruction.line);
        let said = text.lines().filter_map(|line| line.strip_prefix(&prefix)).map(str::to_owned).collect();
        Ok((delta?, said))
    }

    /// Runs a command while others run; returns what it said.
    pub(crate) fn run_together(&self, op: &Run, layers: &[Layer]) -> Vec<String> {
        self.run_apart(op, layers, &[]).unwrap().1
    }

    /// Runs a command that fails; returns the error.
    pub(crate) fn error_of(&self, op: &Run, layers: &[Layer], inputs: &[&Yield]) -> String {
        format!("{:#}", self.run_with(op, layers, inputs).expect_err("it fails"))
    }

    /// Shows the paths of the layer that a command made.
    pub(crate) fn shown(&self, delta: &Delta) -> String {
        let mut shown = String::new();
        let layer = delta.layer.as_ref().expect("it changed something");
        let mut archive = tar::Archive::new(self.tar_of(layer));
        for entry in archive.entries().unwrap() {
            let entry = entry.unwrap();
            let header = entry.header();
            let kind = if header.entry_type().is_dir() { "dir " } else { "file" };
            let path = entry.path().unwrap().display().to_string();
            let owner = format!("{}:{}", header.uid().unwrap(), header.gid().unwrap());
            shown += &format!("{kind} {:o} {owner} {}\n", header.mode().unwrap(), path.trim_end_matches('/'));
        }
        shown
    }

    /// Returns all that stands in the files of a layer.
    pub(crate) fn contents(&self, layer: &Layer) -> String {
        let mut contents = Vec::new();
        scan(self.tar_of(layer), &mut |_, content| content.read_to_end(&mut contents).map(drop)).unwrap();
        String::from_utf8_lossy(&contents).into_owned()
    }

    fn tar_of(&self, layer: &Layer) -> impl Read {
        decompress(self.store.open_blob(&layer.descriptor.digest).unwrap()).unwrap()
    }
}

pub(crate) fn directory(path: &str) -> (Entry, Vec<u8>) {
    (Entry::directory(path, 0o755), Vec::new())
}

pub(crate) fn file(path: &str, mode: u32, content: impl Into<Vec<u8>>) -> (Entry, Vec<u8>) {
    let content = content.into();
    (Entry::file(path, mode, content.len() as u64), content)
}

/// A command in a shell, as root.
pub(crate) fn sh(script: &str) -> Run {
    Run {
        proxies: Vec::new(),
        instruction: Instruction { text: format!("RUN {script}"), file: "Dockerfile".into(), line: 7 },
        argv: ["/bin/sh", "-c", script].map(String::from).to_vec(),
        env: vec![("PATH".into(), "/bin".into())],
        workdir: "/".into(),
        user: String::new(),
        has_network: false,
        hosts: vec![],
        mounts: Vec::new(),
        secret_env: Vec::new(),
    }
}

pub(crate) fn mounting(target: &str, what: RunMountKind, script: &str) -> Run {
    Run { mounts: vec![RunMount { target: target.into(), what }], ..sh(script) }
}
