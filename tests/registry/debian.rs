//! Debian's docker-registry: a real one, which keeps no list of referrers.

use super::support::certificate;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A running docker-registry; it ends with the value.
pub(crate) struct DebianRegistry {
    pub(crate) host: String,
    process: Child,
    directory: tempfile::TempDir,
}

impl DebianRegistry {
    /// Starts one that lets everybody in.
    pub(crate) fn start() -> DebianRegistry {
        DebianRegistry::start_with("")
    }

    /// Starts one that only lets in `alice` with the password `hunter2`.
    pub(crate) fn start_with_password() -> DebianRegistry {
        DebianRegistry::start_with("auth: {htpasswd: {realm: test, path: DIRECTORY/htpasswd}}\n")
    }

    /// Starts one that speaks TLS, with the certificate of an authority that nobody knows.
    pub(crate) fn start_with_tls() -> DebianRegistry {
        DebianRegistry::start_with(", tls: {certificate: DIRECTORY/cert.pem, key: DIRECTORY/cert-key.pem}")
    }

    /// Starts one that speaks TLS to those alone who have a certificate of the same authority.
    pub(crate) fn start_with_client_certificates() -> DebianRegistry {
        DebianRegistry::start_with(
            ", tls: {certificate: DIRECTORY/cert.pem, key: DIRECTORY/cert-key.pem, clientcas: [DIRECTORY/ca.pem]}",
        )
    }

    /// Returns the certificate of its certificate authority, PEM.
    pub(crate) fn certificate_authority(&self) -> String {
        self.pem("ca")
    }

    /// Returns a certificate or key that was made for it.
    pub(crate) fn pem(&self, name: &str) -> String {
        std::fs::read_to_string(self.directory.path().join(format!("{name}.pem"))).unwrap()
    }

    fn start_with(more: &str) -> DebianRegistry {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().to_str().unwrap();
        let host = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let (in_http, more) = if more.starts_with(',') { (more, "") } else { ("", more) };
        let config = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: DIRECTORY/data}}}}\n\
             http: {{addr: '{host}'{in_http}}}\n{more}"
        );
        std::fs::write(format!("{root}/config.yml"), config.replace("DIRECTORY", root)).unwrap();
        std::fs::write(format!("{root}/htpasswd"), HTPASSWD).unwrap();
        if !in_http.is_empty() {
            certificate::make(directory.path());
        }
        let process = Command::new("docker-registry")
            .args(["serve", &format!("{root}/config.yml")])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("docker-registry is installed (Debian package docker-registry)");
        let registry = DebianRegistry { host, process, directory };
        registry.wait();
        registry
    }

    fn wait(&self) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect(&self.host).is_err() {
            assert!(Instant::now() < deadline, "docker-registry doesn't listen on {}", self.host);
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for DebianRegistry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// `alice:hunter2`, hashed by bcrypt.
const HTPASSWD: &str = "alice:$2b$05$abcdefghijklmnopqrstuuoXuKqgZXLiJqzfmMXDDhSFPIvxV7t8.\n";
