//! A Concourse that runs `check`, `in` and `out` by the letter of the resource contract.
//!
//! What the contract promises is all that the programs get: one JSON object on stdin, without the
//! fields that are empty; an empty environment; only the inputs that params name. What it demands is
//! asserted: one JSON value on stdout, flat versions of non-empty strings, metadata of strings.

mod task;
mod worker;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::container::{Kind, Root, root};
pub use task::{Done, Task};
pub use worker::Running;
use worker::{Step, Worker};

/// A version: a flat object of strings.
pub type Version = BTreeMap<String, String>;

/// The three programs and what surrounds them.
#[derive(Clone, Debug)]
pub struct Concourse {
    worker: Worker,
    environment: BTreeMap<String, String>,
}

impl Concourse {
    /// Runs the programs that cargo built for this test.
    pub fn new() -> Concourse {
        let built =
            |path: Option<&str>| PathBuf::from(path.expect("cargo builds check, in and out for the tests"));
        Concourse::of(Worker::Machine(BTreeMap::from([
            ("check", built(option_env!("CARGO_BIN_EXE_check"))),
            ("in", built(option_env!("CARGO_BIN_EXE_in"))),
            ("out", built(option_env!("CARGO_BIN_EXE_out"))),
        ])))
    }

    /// Runs the programs `check`, `in` and `out` of a directory.
    pub fn at(directory: &Path) -> Concourse {
        Concourse::of(Worker::Machine(["check", "in", "out"].map(|name| (name, directory.join(name))).into()))
    }

    /// Runs the programs that cargo built for this test, each time in a new container.
    pub fn in_container(kind: Kind) -> Concourse {
        Concourse::in_container_of(kind, root())
    }

    /// Runs the programs `/opt/resource/{check,in,out}` of a root, each time in a new container.
    pub fn in_container_of(kind: Kind, root: Root) -> Concourse {
        Concourse::of(Worker::Container(kind, root))
    }

    fn of(worker: Worker) -> Concourse {
        Concourse { worker, environment: BTreeMap::new() }
    }

    /// Sets a variable of the programs' environment, which is empty otherwise.
    pub fn environment(mut self, name: &str, value: &str) -> Concourse {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Sets the `BUILD_*` variables, as a build of a pipeline's job has them.
    pub fn with_build_variables(self) -> Concourse {
        let variables = [
            ("BUILD_ID", "4711"),
            ("BUILD_NAME", "12"),
            ("BUILD_JOB_NAME", "image"),
            ("BUILD_PIPELINE_NAME", "shipyard"),
            ("BUILD_TEAM_NAME", "main"),
            ("ATC_EXTERNAL_URL", "http://concourse.example"),
        ];
        variables.into_iter().fold(self, |concourse, (name, value)| concourse.environment(name, value))
    }

    /// Returns a resource with this source, of which no version is known yet.
    pub fn resource(&self, source: Value) -> Resource {
        assert!(source.is_object(), "a source is an object: {source}");
        Resource { concourse: self.clone(), source, versions: Vec::new() }
    }
}

impl Default for Concourse {
    fn default() -> Concourse {
        Concourse::new()
    }
}

/// A step that failed: the program's exit status was not 0.
#[derive(Debug)]
pub struct Failure {
    /// The status; none if a signal ended it.
    pub status: Option<i32>,
    /// What it wrote to stdout.
    pub stdout: String,
    /// What people saw.
    pub stderr: String,
}

/// What a put or a get step brought.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The version.
    pub version: Version,
    /// The metadata by name, in their order.
    pub metadata: Vec<(String, String)>,
    /// What people saw.
    pub stderr: String,
}

impl Outcome {
    /// Returns one of the metadata.
    pub fn metadata(&self, name: &str) -> Option<&str> {
        let found = self.metadata.iter().find(|(existing, _)| existing == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// What a get step brought, and where it lies as long as this value lives.
#[derive(Debug)]
pub struct Got {
    /// Version and metadata.
    pub outcome: Outcome,
    /// The directory that later steps see.
    pub directory: tempfile::TempDir,
}

impl Got {
    /// Returns where a file lies.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Reads a small file.
    pub fn read(&self, name: &str) -> String {
        let path = self.path(name);
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }
}

/// Which artifacts a put step sees.
#[derive(Clone, Debug, Default)]
pub enum Inputs {
    /// Those whose name is the first path segment of a string anywhere in params; the default.
    #[default]
    Detect,
    /// All of them: `inputs: all`.
    All,
    /// These: `inputs: [a, b]`.
    Named(Vec<String>),
}

/// A put step.
#[derive(Clone, Debug, Default)]
pub struct Put {
    /// Its params.
    pub params: Value,
    /// The artifacts of the build, by name; those that the step sees are copied.
    pub artifacts: BTreeMap<String, PathBuf>,
    /// Which of them it sees.
    pub inputs: Inputs,
    /// The params of the implicit get.
    pub get_params: Value,
    /// Whether the implicit get is left out.
    pub no_get: bool,
}

impl Put {
    /// Returns a step with params and no artifacts.
    pub fn new(params: Value) -> Put {
        Put { params, ..Put::default() }
    }

    /// Adds an artifact of the build.
    pub fn artifact(mut self, name: &str, path: &Path) -> Put {
        self.artifacts.insert(name.to_owned(), path.to_owned());
        self
    }

    /// Returns the names of the artifacts that the step sees.
    fn visible(&self) -> BTreeSet<String> {
        let mut segments = BTreeSet::new();
        match &self.inputs {
            Inputs::Detect => first_segments(&self.params, &mut segments),
            Inputs::All => segments.extend(self.artifacts.keys().cloned()),
            Inputs::Named(names) => segments.extend(names.iter().cloned()),
        }
        segments.retain(|segment| self.artifacts.contains_key(segment));
        segments
    }
}

fn first_segments(value: &Value, segments: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => {
            segments.extend(text.split('/').next().map(str::to_owned));
        }
        Value::Array(items) => items.iter().for_each(|item| first_segments(item, segments)),
        Value::Object(fields) => fields.values().for_each(|field| first_segments(field, segments)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// A resource of a pipeline.
#[derive(Debug)]
pub struct Resource {
    concourse: Concourse,
    source: Value,
    versions: Vec<Version>,
}

impl Resource {
    /// Returns the known versions, oldest first.
    pub fn versions(&self) -> &[Version] {
        &self.versions
    }

    /// Checks from the newest known version on; returns what the program answered.
    pub fn check(&mut self) -> Result<Vec<Version>, Failure> {
        let (answered, _) = self.check_from(self.versions.last())?;
        self.order(&answered);
        Ok(answered)
    }

    /// Checks from a version on and remembers nothing; returns what the program answered, and what people saw.
    pub fn check_from(&self, given: Option<&Version>) -> Result<(Vec<Version>, String), Failure> {
        let request = request(&self.source, &Value::Null, given);
        let (stdout, stderr) = said(self.begin("check", BTreeMap::new(), None, &request))?;
        let Value::Array(answered) = only_value(&stdout) else {
            panic!("check answers a list, not {stdout}")
        };
        Ok((answered.iter().map(version).collect(), stderr))
    }

    /// If any answered version is new, all answered ones are put behind the others, in their order.
    fn order(&mut self, answered: &[Version]) {
        if answered.iter().all(|version| self.versions.contains(version)) {
            return;
        }
        self.versions.retain(|known| !answered.contains(known));
        self.versions.extend(answered.iter().cloned());
    }

    /// Gets a version.
    pub fn get(&self, wanted: &Version, params: &Value) -> Result<Got, Failure> {
        let directory = tempfile::tempdir().unwrap();
        let request = request(&self.source, params, Some(wanted));
        let (stdout, stderr) = said(self.begin("in", BTreeMap::new(), Some(directory.path()), &request))?;
        let outcome = outcome(&stdout, stderr);
        assert_eq!(outcome.version, *wanted, "in answers the version it was asked for");
        Ok(Got { outcome, directory })
    }

    /// Puts; the implicit get follows unless the step says otherwise.
    pub fn put(&mut self, step: &Put) -> Result<(Outcome, Option<Got>), Failure> {
        let (stdout, stderr) = said(self.begin_put(step))?;
        let outcome = outcome(&stdout, stderr);
        if !self.versions.contains(&outcome.version) {
            self.versions.push(outcome.version.clone());
        }
        let got = match step.no_get {
            true => None,
            false => Some(self.get(&outcome.version, &step.get_params)?),
        };
        Ok((outcome, got))
    }

    /// Starts a put without waiting for its end.
    pub fn begin_put(&self, step: &Put) -> Running {
        let artifact = |name: &String| step.artifacts.get_key_value(name).expect("it is visible");
        let visible = step.visible();
        let inputs = visible.iter().map(artifact).map(|(name, path)| (name.as_str(), path.as_path()));
        self.begin("out", inputs.collect(), None, &request(&self.source, &step.params, None))
    }

    fn begin(
        &self,
        program: &'static str,
        inputs: BTreeMap<&str, &Path>,
        destination: Option<&Path>,
        request: &Value,
    ) -> Running {
        let Concourse { worker, environment } = &self.concourse;
        worker.start(&Step { program, inputs, destination, request: request.to_string(), environment })
    }
}

/// Waits for a program's end; returns what it wrote to stdout and to stderr.
fn said(running: Running) -> Result<(String, String), Failure> {
    let output = running.finish();
    let stdout = String::from_utf8(output.stdout).expect("stdout is text");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    match output.status.success() {
        true => Ok((stdout, stderr)),
        false => Err(Failure { status: output.status.code(), stdout, stderr }),
    }
}

/// Returns the request; what is empty is absent.
fn request(source: &Value, params: &Value, version: Option<&Version>) -> Value {
    let mut request = Map::from_iter([("source".to_owned(), source.clone())]);
    if params.as_object().is_some_and(|params| !params.is_empty()) {
        request.insert("params".to_owned(), params.clone());
    }
    if let Some(version) = version {
        request.insert("version".to_owned(), json!(version));
    }
    Value::Object(request)
}

fn only_value(stdout: &str) -> Value {
    let values: Vec<Value> = serde_json::Deserializer::from_str(stdout)
        .into_iter()
        .collect::<Result<_, _>>()
        .unwrap_or_else(|error| panic!("stdout is no JSON: {error}\n{stdout}"));
    assert_eq!(values.len(), 1, "stdout carries exactly one JSON value:\n{stdout}");
    values[0].clone()
}

fn version(value: &Value) -> Version {
    let Value::Object(fields) = value else { panic!("a version is an object, not {value}") };
    assert!(!fields.is_empty(), "a version has a field");
    let field = |(name, value): (&String, &Value)| {
        let text = value.as_str().filter(|text| !text.is_empty());
        let text =
            text.unwrap_or_else(|| panic!("a version's {name} is a string with something in it: {value}"));
        (name.clone(), text.to_owned())
    };
    fields.iter().map(field).collect()
}

fn outcome(stdout: &str, stderr: String) -> Outcome {
    let answer = only_value(stdout);
    let Value::Object(fields) = &answer else { panic!("in and out answer an object, not {answer}") };
    let unknown = fields.keys().find(|key| *key != "version" && *key != "metadata");
    assert_eq!(unknown, None, "{answer}");
    let no_metadata = Vec::new();
    let metadata = match answer.get("metadata") {
        None => &no_metadata,
        Some(metadata) => metadata.as_array().expect("metadata is a list"),
    };
    let pair = |item: &Value| {
        let text = |key: &str| item[key].as_str().unwrap_or_else(|| panic!("metadata are strings: {item}"));
        (text("name").to_owned(), text("value").to_owned())
    };
    Outcome { version: version(&answer["version"]), metadata: metadata.iter().map(pair).collect(), stderr }
}
