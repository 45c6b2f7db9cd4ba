//! A task step: a program that sees its inputs, outputs and caches below its working directory, and its params as its
//! environment.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::super::container::{Container, Kind, Mount, Root, root};
use super::worker::{Place, Running, copy, start};
use super::{Failure, said};

/// Where Concourse has a task work: a directory below `/tmp/build` with a name of its own.
const WORKDIR: &str = "/tmp/build/e55deab7";

/// A task step.
#[derive(Clone, Debug)]
pub struct Task {
    root: Root,
    path: String,
    params: BTreeMap<String, String>,
    inputs: BTreeMap<String, PathBuf>,
    outputs: Vec<String>,
    caches: BTreeMap<String, PathBuf>,
}

/// What a task left.
#[derive(Debug)]
pub struct Done {
    outputs: BTreeMap<String, tempfile::TempDir>,
    /// What it wrote to stdout.
    pub stdout: String,
    /// What people saw.
    pub stderr: String,
}

impl Done {
    /// Returns where an output lies, as long as this value lives.
    pub fn output(&self, name: &str) -> &Path {
        self.outputs[name].path()
    }
}

impl Task {
    /// Returns a task with the image that this crate is, whose `run: {path: …}` this is.
    pub fn new(path: &str) -> Task {
        Task::of(root(), path)
    }

    /// Returns a task with another image.
    pub fn of(root: Root, path: &str) -> Task {
        let (params, inputs, outputs, caches) = Default::default();
        Task { root, path: path.to_owned(), params, inputs, outputs, caches }
    }

    /// Sets a param.
    pub fn param(mut self, name: &str, value: &str) -> Task {
        self.params.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Adds an input, of which the task sees a copy.
    pub fn input(mut self, name: &str, directory: &Path) -> Task {
        self.inputs.insert(name.to_owned(), directory.to_owned());
        self
    }

    /// Adds an output.
    pub fn output(mut self, name: &str) -> Task {
        self.outputs.push(name.to_owned());
        self
    }

    /// Adds a cache, which lies in a directory between the runs.
    pub fn cache(mut self, path: &str, directory: &Path) -> Task {
        self.caches.insert(path.to_owned(), directory.to_owned());
        self
    }

    /// Runs it in a new container.
    pub fn run(&self, kind: Kind) -> Result<Done, Failure> {
        let (running, outputs) = self.begin(kind);
        let (stdout, stderr) = said(running)?;
        Ok(Done { outputs, stdout, stderr })
    }

    fn begin(&self, kind: Kind) -> (Running, BTreeMap<String, tempfile::TempDir>) {
        let inputs: BTreeMap<&String, _> =
            self.inputs.iter().map(|(name, from)| (name, copy(from))).collect();
        let outputs: BTreeMap<String, _> =
            self.outputs.iter().map(|name| (name.clone(), tempfile::tempdir().unwrap())).collect();
        let workdir = tempfile::tempdir().unwrap();
        let lend = |name: &str, directory: &Path| Mount::lent(directory, &format!("{WORKDIR}/{name}"));
        let mut mounts = vec![Mount::lent(workdir.path(), WORKDIR)];
        mounts.extend(inputs.iter().map(|(name, input)| lend(name, input.path())));
        mounts.extend(outputs.iter().map(|(name, output)| lend(name, output.path())));
        mounts.extend(self.caches.iter().map(|(path, directory)| lend(path, directory)));
        let container = Container::start(kind, &self.root, WORKDIR, &mounts);
        let mut command = container.command(&[&self.path], &self.params);
        let lent = inputs.into_values().chain([workdir]).collect();
        (start(&mut command, String::new(), Place::of(container, lent)), outputs)
    }
}
