//! What a build is told and nobody else may learn: secrets and the sockets of ssh agents, for the commands that ask for
//! them. Their values stand in no key, history, layer, log or account.

use std::collections::BTreeMap;
use std::os::unix::fs::FileTypeExt;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use url::{Position, Url};

use crate::login::{Agent, InvalidKey};
use crate::redact::Secret;

/// No secret is larger, as with BuildKit.
const LARGEST_SECRET: u64 = 500 << 10;

/// Secrets for git repositories.
const GIT_HEADER: &str = "GIT_AUTH_HEADER";
const GIT_TOKEN: &str = "GIT_AUTH_TOKEN";

/// The secrets and agents that a build may use, by name.
#[derive(Clone, Debug, Default)]
pub struct Secrets {
    secrets: BTreeMap<String, SecretSource>,
    agents: BTreeMap<String, AgentSource>,
}

/// Where an agent is.
#[derive(Clone, Debug)]
enum AgentSource {
    /// At a socket.
    Socket(PathBuf),
    /// Here, with keys of files.
    Own(Arc<Agent>),
}

/// Where a secret's value is.
#[derive(Clone, Debug)]
pub enum SecretSource {
    /// In a file.
    File(PathBuf),
    /// Here.
    Value(Secret),
}

impl Secrets {
    /// Adds a secret; one of the same name is replaced.
    pub fn add(&mut self, name: impl Into<String>, source: SecretSource) {
        self.secrets.insert(name.into(), source);
    }

    /// Adds an ssh agent: the one at a socket, or one that has the keys of these files; one of the same name is replaced.
    ///
    /// # Errors
    /// When a file is neither, or its key is encrypted.
    pub fn add_agent(&mut self, name: impl Into<String>, places: &[PathBuf]) -> Result<(), InvalidKey> {
        let is_socket = |path: &PathBuf| path.metadata().is_ok_and(|found| found.file_type().is_socket());
        let agent = match places {
            [socket] if is_socket(socket) => AgentSource::Socket(socket.clone()),
            files => AgentSource::Own(Arc::new(Agent::start(files)?)),
        };
        self.agents.insert(name.into(), agent);
        Ok(())
    }

    /// Returns the value of a secret, where there is one of that name.
    ///
    /// # Errors
    /// When its file can't be read, or is larger than a secret may be.
    pub fn value(&self, name: &str) -> Result<Option<Vec<u8>>> {
        match self.secrets.get(name) {
            None => Ok(None),
            Some(SecretSource::Value(secret)) => Ok(Some(secret.expose().as_bytes().to_vec())),
            Some(SecretSource::File(path)) => read(name, path).map(Some),
        }
    }

    /// Returns the `Authorization` header that git repositories at an address are asked with, where a secret says so.
    ///
    /// The secrets are BuildKit's: `GIT_AUTH_HEADER` is that header, `GIT_AUTH_TOKEN` a token for it; what is meant for
    /// one host ends with a dot and that host, and comes first.
    ///
    /// # Errors
    /// When a secret can't be read, or is no text.
    pub fn git_authorization(&self, address: &str) -> Result<Option<Secret>> {
        let host =
            Url::parse(address).ok().map(|url| url[Position::BeforeHost..Position::AfterPort].to_owned());
        let of_host = |name: &str| format!("{name}.{}", host.as_deref().unwrap_or_default());
        let names = [of_host(GIT_HEADER), of_host(GIT_TOKEN), GIT_HEADER.to_owned(), GIT_TOKEN.to_owned()];
        for name in names {
            let Some(value) = self.value(&name)? else { continue };
            let text = String::from_utf8(value)
                .map_err(|_| anyhow!("cannot use the secret {name}: it is no text"))?;
            let text = text.trim_end();
            let basic = |token: &str| STANDARD.encode(format!("x-access-token:{token}"));
            let is_token = name.starts_with(GIT_TOKEN);
            return Ok(Some(Secret::new(if is_token {
                format!("Basic {}", basic(text))
            } else {
                text.to_owned()
            })));
        }
        Ok(None)
    }

    /// Returns the socket of an ssh agent.
    pub fn agent(&self, name: &str) -> Option<PathBuf> {
        Some(match self.agents.get(name)? {
            AgentSource::Socket(socket) => socket.clone(),
            AgentSource::Own(agent) => agent.socket(),
        })
    }
}

fn read(name: &str, path: &PathBuf) -> Result<Vec<u8>> {
    let failed = || format!("cannot read the secret {name} in {}", path.display());
    let size = std::fs::metadata(path).with_context(failed)?.len();
    if size > LARGEST_SECRET {
        bail!("{}: it is larger than {LARGEST_SECRET} bytes", failed());
    }
    std::fs::read(path).with_context(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_comes_from_a_file_or_from_memory_and_is_never_shown() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("token"), "s3cret\n").unwrap();
        let mut secrets = Secrets::default();
        secrets.add("file", SecretSource::File(directory.path().join("token")));
        secrets.add("memory", SecretSource::Value(Secret::new("s3cret".to_owned())));
        assert_eq!(secrets.value("file").unwrap().unwrap(), b"s3cret\n");
        assert_eq!(secrets.value("memory").unwrap().unwrap(), b"s3cret");
        assert_eq!(secrets.value("other").unwrap(), None);
        assert!(!format!("{secrets:?}").contains("s3cret"));
    }

    #[test]
    fn a_repository_is_asked_with_what_is_meant_for_its_host() {
        let mut secrets = Secrets::default();
        let asked = |secrets: &Secrets| {
            let found = secrets.git_authorization("https://u:p@git.example:8443/a.git").unwrap();
            found.map(|secret| secret.expose().to_owned())
        };
        assert_eq!(asked(&secrets), None);
        secrets.add("GIT_AUTH_TOKEN", SecretSource::Value(Secret::new("t0ken\n")));
        assert_eq!(asked(&secrets).as_deref(), Some("Basic eC1hY2Nlc3MtdG9rZW46dDBrZW4="));
        secrets.add("GIT_AUTH_HEADER.git.example:8443", SecretSource::Value(Secret::new("Bearer x")));
        secrets.add("GIT_AUTH_HEADER.other.example", SecretSource::Value(Secret::new("Bearer y")));
        assert_eq!(asked(&secrets).as_deref(), Some("Bearer x"));
    }

    #[test]
    fn what_is_no_secret_by_its_size_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("big"), vec![0; 501 << 10]).unwrap();
        let mut secrets = Secrets::default();
        secrets.add("big", SecretSource::File(directory.path().join("big")));
        let error = secrets.value("big").unwrap_err().to_string();
        assert!(error.contains("cannot read the secret big") && error.contains("larger"), "{error}");
    }
}
