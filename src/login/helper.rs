//! Credential helpers: programs `docker-credential-NAME` that look credentials up where an operating system or a cloud keeps them.
//!
//! Their protocol is docker-credential-helpers' `get`: the registry on stdin, JSON on stdout.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};

use crate::redact::Secret;
use crate::transport::Credentials;

/// How long a helper may take; some ask a cloud.
const PATIENCE: Duration = Duration::from_secs(60);

/// How much a helper may say, in bytes.
const OUTPUT_LIMIT: u64 = 64 << 10;

/// What a helper says, on stdout, when it knows nobody.
const NOT_FOUND: &str = "credentials not found";

/// Why a helper was of no help; never what it said.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot ask docker-credential-{name} for the credentials of {registry}: {reason}\nhint: try it with `echo {server} | docker-credential-{name} get`; --authfile none does without"
)]
pub struct Unhelpful {
    name: String,
    registry: String,
    server: String,
    reason: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    #[serde(default)]
    username: String,
    #[serde(default)]
    secret: Secret,
}

/// Asks a helper who logs in at `registry`; nobody is an answer too.
pub(super) async fn ask(name: &str, registry: &str) -> Result<Option<Credentials>, Unhelpful> {
    let server = match registry {
        // Docker has always filed the Hub under this name.
        "docker.io" => "https://index.docker.io/v1/",
        registry => registry,
    };
    let asked = tokio::time::timeout(PATIENCE, exchange(name, server)).await;
    let (name, registry, server) = (name.to_owned(), registry.to_owned(), server.to_owned());
    let slow = || Err(format!("it did not answer within {} seconds", PATIENCE.as_secs()));
    asked.unwrap_or_else(|_| slow()).map_err(|reason| Unhelpful { name, registry, server, reason })
}

/// The helper ends with this future, also when it is dropped.
async fn exchange(name: &str, server: &str) -> Result<Option<Credentials>, String> {
    if !name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')) {
        return Err("that is no name of a helper".into());
    }
    let mut child = Command::new(format!("docker-credential-{name}"))
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| error.to_string())?;
    let (status, output) = talk(&mut child, server).await.map_err(|error| error.to_string())?;
    if output.len() as u64 > OUTPUT_LIMIT {
        return Err(format!("it says more than {OUTPUT_LIMIT} bytes"));
    }
    match status.success() {
        true => read(&output),
        false if String::from_utf8_lossy(&output).to_lowercase().contains(NOT_FOUND) => Ok(None),
        false => Err(format!("it failed ({status})")),
    }
}

async fn talk(child: &mut Child, server: &str) -> std::io::Result<(ExitStatus, Vec<u8>)> {
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    // A helper that reads nothing may close its end early; what it answers counts.
    if let Some(mut stdin) = stdin {
        let _ = stdin.write_all(format!("{server}\n").as_bytes()).await;
    }
    let mut output = Vec::new();
    if let Some(stdout) = stdout {
        stdout.take(OUTPUT_LIMIT + 1).read_to_end(&mut output).await?;
    }
    Ok((child.wait().await?, output))
}

fn read(output: &[u8]) -> Result<Option<Credentials>, String> {
    let answer: Answer =
        serde_json::from_slice(output).map_err(|_| "its answer is not as expected".to_owned())?;
    let is_nobody = answer.username.is_empty() && answer.secret.expose().is_empty();
    Ok((!is_nobody).then_some(Credentials { username: answer.username, password: answer.secret }))
}
