//! The configuration files that there are, and what is looked up in them.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::Mutex;

use super::config::{Config, InvalidConfig};
use super::{file, helper};
use crate::oci::Reference;
use crate::transport::Credentials;

/// No configuration is larger, in bytes.
const LARGEST: u64 = 4 << 20;

/// Why credentials could not be looked up. What stands in a file, or a helper says, is not shown.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file can't be read.
    #[error("cannot read credentials from {}: {reason}\nhint: --authfile names another file, and `none` reads none", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// A helper failed.
    #[error(transparent)]
    Helper(#[from] helper::Unhelpful),
}

/// Credentials as docker and podman keep them. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Keychain(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    files: Vec<(PathBuf, Config)>,
    /// What helpers answered, by helper and registry: each is asked once.
    answers: Mutex<BTreeMap<(String, String), Option<Credentials>>>,
}

impl Keychain {
    /// Opens one file, which must be there.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn open(path: &Path) -> Result<Keychain, Error> {
        let config = read(path).map_err(|error| failed(path, &error))?;
        Ok(Keychain::of(vec![(path.to_owned(), config)]))
    }

    /// Opens the user's files, as far as there are any: the one that `REGISTRY_AUTH_FILE` names, else podman's
    /// `$XDG_RUNTIME_DIR/containers/auth.json` and docker's `config.json` in `DOCKER_CONFIG` or `~/.docker`.
    ///
    /// # Errors
    /// When one is there and can't be read.
    pub fn of_user(variable: impl Fn(&str) -> Option<PathBuf>) -> Result<Keychain, Error> {
        if let Some(path) = variable("REGISTRY_AUTH_FILE") {
            return Keychain::open(&path);
        }
        let podman = variable("XDG_RUNTIME_DIR").map(|directory| directory.join("containers/auth.json"));
        let docker = variable("DOCKER_CONFIG").or_else(|| Some(variable("HOME")?.join(".docker")));
        let docker = docker.map(|directory| directory.join("config.json"));
        let mut files = Vec::new();
        for path in podman.into_iter().chain(docker) {
            match read(&path) {
                Err(Unreadable::Io(error)) if is_absent(&error) => {}
                Err(error) => return Err(failed(&path, &error)),
                Ok(config) => files.push((path, config)),
            }
        }
        Ok(Keychain::of(files))
    }

    fn of(files: Vec<(PathBuf, Config)>) -> Keychain {
        Keychain(Arc::new(Inner { files, answers: Mutex::default() }))
    }

    /// Returns who asks for an image: of the first file that knows, a helper's answer or else the file's own.
    ///
    /// # Errors
    /// When a helper fails, or an entry can't be read.
    pub async fn find(&self, image: &Reference) -> Result<Option<Credentials>, Error> {
        for (path, config) in &self.0.files {
            if let Some(name) = config.helper(&image.registry)
                && let Some(found) = self.ask(name, &image.registry).await?
            {
                return Ok(Some(found));
            }
            let found =
                config.credentials(image).map_err(|error| failed(path, &Unreadable::Config(error)))?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    async fn ask(&self, helper: &str, registry: &str) -> Result<Option<Credentials>, Error> {
        let mut answers = self.0.answers.lock().await;
        let key = (helper.to_owned(), registry.to_owned());
        if let Some(known) = answers.get(&key) {
            return Ok(known.clone());
        }
        let answer = helper::ask(helper, registry).await?;
        answers.insert(key, answer.clone());
        Ok(answer)
    }
}

#[derive(Debug, thiserror::Error)]
enum Unreadable {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Config(#[from] InvalidConfig),
}

fn failed(path: &Path, error: &Unreadable) -> Error {
    Error::File { path: path.to_owned(), reason: error.to_string() }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn read(path: &Path) -> Result<Config, Unreadable> {
    let text = file::read(path, LARGEST)?;
    // A file that was only touched says nothing.
    match text.trim_ascii().is_empty() {
        true => Ok(Config::default()),
        false => Ok(Config::parse(&text)?),
    }
}
