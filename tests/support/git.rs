//! Git repositories made by git itself, and served by it: `git http-backend` behind a server on 127.0.0.1.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use futures_util::FutureExt;

use super::http::{self, Handler, Server};

/// A repository with a directory of files that become commits.
pub struct GitRepository {
    path: PathBuf,
}

impl GitRepository {
    /// Makes an empty repository whose branch is `main`.
    pub fn new(path: impl Into<PathBuf>) -> GitRepository {
        let repository = GitRepository { path: path.into() };
        std::fs::create_dir_all(&repository.path).unwrap();
        repository.git(&["init", "--quiet", "--initial-branch=main"]);
        repository
    }

    /// Returns where its files are.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Runs git there, with fixed dates and without anybody's configuration; returns what it printed.
    pub fn git(&self, arguments: &[&str]) -> String {
        git(&self.path, arguments)
    }

    /// Writes a file.
    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) -> &GitRepository {
        let path = self.path.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
        self
    }

    /// Commits all files; returns the commit.
    pub fn commit(&self, message: &str) -> String {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "-m", message]);
        self.git(&["rev-parse", "HEAD"])
    }
}

/// Runs git in a directory; returns what it printed, without the last line's end.
pub fn git(directory: &Path, arguments: &[&str]) -> String {
    let output =
        command(directory).args(arguments).output().expect("the tests need git: ci/test installs it");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git {arguments:?}: {stderr}");
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

fn command(directory: &Path) -> Command {
    let mut command = Command::new("git");
    command
        .args(["-c", "protocol.file.allow=always", "-c", "safe.directory=*"])
        .current_dir(directory)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", "/nonexistent")
        .env("GIT_CONFIG_NOSYSTEM", "1");
    for who in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{who}_NAME"), "Ann").env(format!("GIT_{who}_EMAIL"), "ann@example.com");
        command.env(format!("GIT_{who}_DATE"), "2024-01-02T03:04:05Z");
    }
    command
}

/// How a server behaves.
#[derive(Clone, Debug, Default)]
pub struct Habits {
    /// What it wants to hear as `Authorization`.
    pub authorization: Option<String>,
    /// Whether it knows nothing of the protocol's second version.
    pub is_old: bool,
    /// Whether it only hands out files.
    pub is_dumb: bool,
    /// What git is told besides, as `uploadpack.x=y`.
    pub config: Vec<String>,
}

/// A server of all repositories in a directory.
pub struct GitServer {
    /// The server itself, with its log.
    pub server: Server,
}

impl GitServer {
    /// Serves the repositories in a directory.
    pub fn start(root: &Path, habits: Habits) -> GitServer {
        let (root, habits) = (Arc::new(root.to_path_buf()), Arc::new(habits));
        let server = Server::start(move |_| {
            let handler: Handler = Arc::new(move |request| {
                let (root, habits) = (root.clone(), habits.clone());
                async move { answer(request, &root, &habits).await }.boxed()
            });
            handler
        });
        GitServer { server }
    }

    /// Returns the address of a repository, by the name of its directory.
    pub fn url(&self, name: &str) -> String {
        format!("{}/{name}/.git", self.server.url())
    }

    /// Returns how often a pack or a list of refs was asked for.
    pub fn n_requests(&self) -> usize {
        self.server.log.count("*", "")
    }
}

async fn answer(request: Request, root: &Path, habits: &Habits) -> Response {
    let headers = request.headers().clone();
    let said = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    if habits.authorization.is_some() && said("authorization") != habits.authorization {
        return http::plain(401);
    }
    let path = request.uri().path().to_owned();
    if habits.is_dumb {
        let file = std::fs::read(root.join(path.trim_start_matches('/')));
        return file.map_or_else(|_| http::plain(404), |bytes| http::bytes(200, bytes));
    }
    let mut backend = command(root);
    for setting in &habits.config {
        backend.args(["-c", setting]);
    }
    backend
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("PATH_INFO", &path)
        .env("QUERY_STRING", request.uri().query().unwrap_or_default())
        .env("REQUEST_METHOD", request.method().as_str())
        .env("CONTENT_TYPE", said("content-type").unwrap_or_default())
        .env("HTTP_CONTENT_ENCODING", said("content-encoding").unwrap_or_default());
    if let (Some(protocol), false) = (said("git-protocol"), habits.is_old) {
        backend.env("GIT_PROTOCOL", protocol);
    }
    let body = axum::body::to_bytes(request.into_body(), 16 << 20).await.unwrap();
    let output = tokio::task::spawn_blocking(move || {
        let mut child = backend.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let writer = std::thread::spawn(move || drop(stdin.write_all(&body)));
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        output.stdout
    });
    of_cgi(&output.await.unwrap())
}

/// Takes what a CGI program wrote apart.
fn of_cgi(output: &[u8]) -> Response {
    let end = output.windows(4).position(|window| window == b"\r\n\r\n").unwrap_or(output.len());
    let body = output.get(end + 4..).unwrap_or_default().to_vec();
    let mut response = Response::new(Body::from(body));
    for line in String::from_utf8_lossy(&output[..end]).lines() {
        let Some((name, value)) = line.split_once(": ") else { continue };
        match name {
            "Status" => {
                let status = value.split(' ').next().and_then(|status| status.parse::<u16>().ok());
                *response.status_mut() = StatusCode::from_u16(status.unwrap_or(500)).unwrap();
            }
            _ => {
                let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
                if name != header::CONTENT_LENGTH {
                    response.headers_mut().insert(name, HeaderValue::from_str(value).unwrap());
                }
            }
        }
    }
    response
}
