//! Debian's `docker-registry` on 127.0.0.1: a registry that nobody here wrote, without referrers.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::certificate;

/// `alice:hunter2`, hashed by bcrypt.
const HTPASSWD: &str = "alice:$2b$05$abcdefghijklmnopqrstuuoXuKqgZXLiJqzfmMXDDhSFPIvxV7t8.\n";

/// A running registry; it is killed with its value.
pub struct DockerRegistry {
    child: Child,
    address: SocketAddr,
    directory: tempfile::TempDir,
}

impl DockerRegistry {
    /// Starts one with an empty storage.
    pub fn start() -> DockerRegistry {
        DockerRegistry::with("")
    }

    /// Starts one; `more` is added to its configuration (YAML).
    pub fn with(more: &str) -> DockerRegistry {
        DockerRegistry::in_directory(tempfile::tempdir().unwrap(), more)
    }

    /// Starts one that speaks TLS, with a certificate for `names` (`IP:127.0.0.1`) by an authority that nobody knows,
    /// and only lets in `alice` with the password `hunter2`.
    pub fn guarded(names: &str) -> DockerRegistry {
        let directory = tempfile::tempdir().unwrap();
        certificate::make_for(directory.path(), names);
        fs::copy(directory.path().join("ca.pem"), directory.path().join("ca.crt")).unwrap();
        fs::write(directory.path().join("htpasswd"), HTPASSWD).unwrap();
        let more = "  tls:\n    certificate: DIRECTORY/cert.pem\n    key: DIRECTORY/cert-key.pem\nauth:\n  htpasswd:\n    \
                    realm: test\n    path: DIRECTORY/htpasswd\n";
        let more = more.replace("DIRECTORY", directory.path().to_str().unwrap());
        DockerRegistry::in_directory(directory, &more)
    }

    fn in_directory(directory: tempfile::TempDir, more: &str) -> DockerRegistry {
        let storage = directory.path().join("storage");
        let configuration = directory.path().join("config.yml");
        let text = format!(
            "version: 0.1\nlog:\n  level: info\nstorage:\n  filesystem:\n    rootdirectory: {}\n  delete:\n    \
             enabled: true\nhttp:\n  addr: 127.0.0.1:0\n{more}",
            storage.display()
        );
        fs::write(&configuration, text).unwrap();
        let child = Command::new("docker-registry")
            .arg("serve")
            .arg(&configuration)
            .env_clear()
            .env("OTEL_TRACES_EXPORTER", "none")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = child.unwrap_or_else(|error| {
            panic!("cannot run `docker-registry`: {error}\nhint: ./ci/test installs what the tests need")
        });
        let address = announced_address(&mut child);
        wait_until_open(address);
        DockerRegistry { child, address, directory }
    }

    /// Returns host and port.
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// Returns the certificate of a guarded one's authority, PEM.
    pub fn certificate_authority(&self) -> String {
        fs::read_to_string(self.directory.path().join("ca.pem")).unwrap()
    }

    /// Returns where skopeo finds that (`--dest-cert-dir`).
    pub fn certificate_directory(&self) -> &Path {
        self.directory.path()
    }

    /// Returns an image's name here.
    pub fn name(&self, repository: &str, tag: &str) -> String {
        format!("{}/{repository}:{tag}", self.address)
    }
}

impl Drop for DockerRegistry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The kernel chooses the port; the registry's log tells which: `listening on 127.0.0.1:…`.
fn announced_address(child: &mut Child) -> SocketAddr {
    let stderr = BufReader::new(child.stderr.take().unwrap());
    let (sender, receiver) = mpsc::channel();
    // The thread reads on until the end, lest the registry block on a full pipe.
    std::thread::spawn(move || {
        for line in stderr.lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    let mut seen = String::new();
    loop {
        let Ok(line) = receiver.recv_timeout(Duration::from_secs(20)) else {
            panic!("docker-registry does not say where it listens:\n{seen}");
        };
        if let Some((_, rest)) = line.split_once("listening on ") {
            let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.' && c != ':').unwrap_or(rest.len());
            return rest[..end].parse().unwrap();
        }
        seen += &line;
        seen.push('\n');
    }
}

fn wait_until_open(address: SocketAddr) {
    let start = Instant::now();
    while TcpStream::connect(address).is_err() {
        assert!(start.elapsed() < Duration::from_secs(20), "docker-registry does not answer");
        std::thread::sleep(Duration::from_millis(20));
    }
}
