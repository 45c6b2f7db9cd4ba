//! What the stories of the task have in common: a registry with a small base, and the task's working directory.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::support::image::busybox;
use crate::support::{self, TestRegistry};

/// A registry with the image `base`, and a working directory with the input `source`, the output `image` and a `cache`.
pub(crate) struct Yard {
    directory: tempfile::TempDir,
    pub(crate) registry: TestRegistry,
}

impl Yard {
    pub(crate) fn new() -> Yard {
        let yard = Yard { directory: tempfile::tempdir().unwrap(), registry: TestRegistry::start() };
        busybox().put(&yard.registry, "base", Some("latest"));
        for name in ["source", "image", "cache"] {
            yard.directory(name);
        }
        yard
    }

    /// Opens a yard with this Dockerfile in its source, in which `@` before a name stands for the registry.
    pub(crate) fn with(dockerfile: &str) -> Yard {
        let yard = Yard::new();
        yard.dockerfile("source/Dockerfile", dockerfile);
        yard
    }

    pub(crate) fn dockerfile(&self, path: &str, text: &str) {
        self.write(path, text.replace('@', &format!("{}/", self.registry.host())));
    }

    /// Returns a path in the working directory.
    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn directory(&self, name: &str) {
        fs::create_dir_all(self.path(name)).unwrap();
    }

    pub(crate) fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    pub(crate) fn read(&self, path: &str) -> String {
        let path = self.path(path);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    pub(crate) fn run<V: AsRef<OsStr>>(&self, params: &[(&str, V)]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_task"))
            .current_dir(self.directory.path())
            .env_clear()
            .envs(params.iter().map(|(name, value)| (name, value)))
            .output()
            .unwrap()
    }

    /// Runs the task; returns what people saw.
    pub(crate) fn build<V: AsRef<OsStr>>(&self, params: &[(&str, V)]) -> String {
        let output = self.run(params);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{stderr}");
        assert!(output.stdout.is_empty(), "stdout is for results");
        stderr
    }

    /// Runs the task on the input `source`.
    pub(crate) fn build_source(&self, params: &[(&str, &str)]) -> String {
        let params: Vec<(&str, &str)> = [("CONTEXT", "source")].into_iter().chain(params.to_vec()).collect();
        self.build(&params)
    }

    /// Runs a task that fails with this exit code; returns what people saw.
    pub(crate) fn fail(&self, code: i32, params: &[(&str, &str)]) -> String {
        let output = self.run(params);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{stderr}");
        stderr
    }

    /// Returns what an output's image.tar says of itself, as skopeo reads it.
    pub(crate) fn config(&self, output: &str) -> Value {
        config(&format!("docker-archive:{}", self.path(output).join("image.tar").display()))
    }

    /// Unpacks an output's image.tar, as skopeo and umoci do, and returns its root.
    pub(crate) fn root(&self, output: &str) -> tempfile::TempDir {
        root(&format!("docker-archive:{}", self.path(output).join("image.tar").display()))
    }

    /// Returns a file of an output's image.
    pub(crate) fn file(&self, output: &str, path: &str) -> String {
        fs::read_to_string(self.root(output).path().join("root").join(path)).unwrap()
    }
}

/// Returns an image's configuration, as skopeo reads it.
pub(crate) fn config(image: &str) -> Value {
    serde_json::from_str(&support::run("skopeo", &["inspect", "--raw", "--config", image])).unwrap()
}

/// Unpacks an image into the directory `root`, as skopeo and umoci do.
pub(crate) fn root(image: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let layout = directory.path().join("layout").display().to_string();
    support::run("skopeo", &["copy", "--insecure-policy", image, &format!("oci:{layout}:latest")]);
    let root = directory.path().join("root").display().to_string();
    support::run("umoci", &["raw", "unpack", "--image", &format!("{layout}:latest"), &root]);
    directory
}
