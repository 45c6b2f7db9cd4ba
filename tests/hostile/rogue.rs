//! A registry that says whatever a test wants, and `check` and `in` that believe it or not: what is outside of the
//! destination stays as it was, and a get that fails leaves nothing in it.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use estaleiro::digest::Digest;
use futures_util::FutureExt as _;
use serde_json::{Value, json};

use crate::site::{assert_said, names_in};
use crate::support::http::{Handler, Server};
use crate::support::tarball::Tarball;

pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub(crate) const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// What a registry answers to a path: header fields and a body.
#[derive(Clone, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
}

/// A registry whose answers are written down; it knows nothing else.
#[derive(Clone, Default)]
pub(crate) struct Rogue(pub(crate) BTreeMap<String, Answer>);

impl Rogue {
    pub(crate) fn answer(
        mut self,
        path: &str,
        headers: &[(&'static str, &str)],
        body: impl Into<Vec<u8>>,
    ) -> Rogue {
        let headers = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        self.0.insert(format!("/v2/app/{path}"), Answer { status: 200, headers, body: body.into() });
        self
    }

    pub(crate) fn redirect(mut self, path: &str, location: &str) -> Rogue {
        let headers = vec![("location", location.to_owned())];
        self.0.insert(format!("/v2/app/{path}"), Answer { status: 307, headers, body: Vec::new() });
        self
    }

    /// Answers a manifest under its digest and under the tag `1`.
    pub(crate) fn manifest(self, kind: &str, bytes: &[u8]) -> Rogue {
        let digest = Digest::of(bytes).to_string();
        self.manifest_as("1", kind, bytes).manifest_as(&digest, kind, bytes)
    }

    pub(crate) fn manifest_as(self, name: &str, kind: &str, bytes: &[u8]) -> Rogue {
        self.answer(&format!("manifests/{name}"), &[("content-type", kind)], bytes)
    }

    pub(crate) fn blob(self, bytes: &[u8]) -> Rogue {
        self.answer(&format!("blobs/{}", Digest::of(bytes)), &[], bytes)
    }

    pub(crate) fn serve(self) -> Server {
        Server::start(|_| {
            let handler: Handler = Arc::new(move |request: Request| {
                let answer = self.0.get(request.uri().path()).cloned();
                let is_ping = request.uri().path() == "/v2/";
                async move { respond(answer, is_ping) }.boxed()
            });
            handler
        })
    }
}

pub(crate) fn respond(answer: Option<Answer>, is_ping: bool) -> Response {
    let answer = answer.unwrap_or(Answer { status: if is_ping { 200 } else { 404 }, ..Answer::default() });
    let mut response = Response::builder().status(answer.status);
    for (name, value) in &answer.headers {
        response = response.header(*name, value);
    }
    response.body(Body::from(answer.body)).unwrap()
}

pub(crate) fn descriptor(kind: &str, bytes: &[u8]) -> Value {
    json!({"mediaType": kind, "digest": Digest::of(bytes).to_string(), "size": bytes.len()})
}

pub(crate) fn config(diff_ids: &[Digest]) -> Vec<u8> {
    let diff_ids: Vec<String> = diff_ids.iter().map(ToString::to_string).collect();
    json!({"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": diff_ids}})
        .to_string()
        .into_bytes()
}

pub(crate) fn manifest(config: &[u8], layers: &[Value]) -> Value {
    json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": descriptor(CONFIG, config), "layers": layers})
}

/// Returns an honest registry with an image of one layer, which is no gzip, and the image's digest.
pub(crate) fn with_layer(kind: &str, layer: &[u8], diff_id: Digest) -> (Rogue, Digest) {
    let config = config(&[diff_id]);
    let manifest = manifest(&config, &[descriptor(kind, layer)]).to_string().into_bytes();
    (Rogue::default().blob(layer).blob(&config).manifest(MANIFEST, &manifest), Digest::of(&manifest))
}

pub(crate) fn with_tarball(tarball: &Tarball) -> (Rogue, Digest) {
    let layer = tarball.build();
    with_layer(LAYER, &layer, Digest::of(&layer))
}

/// What a program said, with the registry's host as `registry.example`, and how it ended.
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Lets a program have so much memory of its own, and no more.
const LITTLE_MEMORY: [&str; 2] = ["prlimit", "--data=268435456"];

/// Runs `check` or `in` with nothing in its environment and little memory.
pub(crate) fn run(program: &str, argument: Option<&Path>, host: &str, request: &Value) -> Said {
    run_through(&LITTLE_MEMORY, program, argument, host, request)
}

/// Runs it through another program.
pub(crate) fn run_through(
    other: &[&str],
    program: &str,
    argument: Option<&Path>,
    host: &str,
    request: &Value,
) -> Said {
    let mut command = Command::new(other[0]);
    command.args(&other[1..]).args(["env", "-i", "NO_COLOR=1", program]).args(argument).current_dir("/");
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(request.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text =
        |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(host, "registry.example").trim_end().to_owned();
    Said { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
}

pub(crate) fn source(server: &Server) -> Value {
    json!({"repository": format!("{}/app", server.address())})
}

/// Checks the tag `1`, or all versions where `tag` is none.
pub(crate) fn check(server: &Server, tag: Option<&str>) -> Said {
    let mut source = source(server);
    source["tag"] = json!(tag);
    run(env!("CARGO_BIN_EXE_check"), None, &server.address().to_string(), &json!({"source": source}))
}

/// Gets a digest into a directory of its own; asserts that what lies around it stays as it was, and that nothing is left
/// if it failed.
pub(crate) fn get(server: &Server, digest: &Digest) -> (Said, tempfile::TempDir) {
    let place = tempfile::tempdir().unwrap();
    let destination = place.path().join("destination");
    fs::create_dir(&destination).unwrap();
    fs::write(place.path().join("outside"), "as it was").unwrap();
    let request = json!({"source": source(server), "version": {"tag": "1", "digest": digest.to_string()}});
    let host = server.address().to_string();
    let said = run(env!("CARGO_BIN_EXE_in"), Some(&destination), &host, &request);
    assert_eq!(names_in(place.path()), ["destination", "outside"]);
    assert_eq!(fs::read_to_string(place.path().join("outside")).unwrap(), "as it was");
    if said.code != Some(0) {
        assert_eq!(names_in(&destination), [""; 0], "{}", said.stderr);
        assert_eq!(said.stdout, "");
    }
    (said, place)
}

/// Asserts that a get fails and says so; what is got is called DIGEST.
pub(crate) fn refused(rogue: Rogue, digest: &Digest, expected: &str) -> Server {
    let server = rogue.serve();
    let (said, _) = get(&server, digest);
    assert_eq!(said.code, Some(1), "{}", said.stderr);
    assert_said(
        &error_of(&said, digest),
        &format!("error: cannot get registry.example/app@DIGEST: {expected}"),
    );
    server
}

/// Returns the error alone, without the place in a JSON text.
pub(crate) fn error_of(said: &Said, digest: &Digest) -> String {
    let start = said.stderr.find("error: ").unwrap_or_default();
    let error = said.stderr[start..].replace(&digest.to_string(), "DIGEST");
    error.split(" at line 1 column ").next().unwrap().to_owned()
}
