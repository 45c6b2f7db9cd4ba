//! What the stories of puts have in common: an input with a definition, an empty worker, and questions to registries.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;

use estaleiro::digest::Digest;
use serde_json::{Value, json};

use crate::support::concourse::{Concourse, Failure, Got, Outcome, Put, Version};
use crate::support::http::Logged;
use crate::support::{Tarball, TestImage, TestRegistry};

pub(crate) const BOM: &str = "application/vnd.estaleiro.bom.v1+yaml";
pub(crate) const LOCK: &str = "application/vnd.estaleiro.lock.v1+json";
pub(crate) const CACHE: &str = "application/vnd.estaleiro.cache.v1+json";
pub(crate) const PROVENANCE: &str = "application/vnd.in-toto.provenance+json";
pub(crate) const CYCLONEDX: &str = "application/vnd.cyclonedx+json";
pub(crate) const SPDX: &str = "application/spdx+json";
/// What refers to an image that was put, sorted.
pub(crate) const ARTIFACTS: [&str; 6] = [SPDX, CYCLONEDX, BOM, CACHE, LOCK, PROVENANCE];

/// Two layers on scratch: a file, and a link.
pub(crate) const APP: &str = r#"
image "example/app" {
  file "/opt/app" {
    from_context { path = "app.sh" }
    mode = "0755"
  }
  symlink "/usr/bin/app" { target = "/opt/app" }
  entrypoint = ["/opt/app"]
}
"#;

/// An input of a build: a definition and its files.
pub(crate) struct Yard(tempfile::TempDir);

impl Yard {
    /// Returns an input with `estaleiro.hcl` and `app.sh`.
    pub(crate) fn new(definition: &str) -> Yard {
        let yard = Yard(tempfile::tempdir().unwrap());
        yard.write("estaleiro.hcl", definition);
        yard.write("app.sh", "#!/bin/sh\necho ahoy\n");
        yard
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path().join(name), content).unwrap();
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}

/// Returns the source of a repository.
pub(crate) fn source(host: &str, repository: &str) -> Value {
    json!({"repository": format!("{host}/{repository}")})
}

/// Returns a Concourse whose worker keeps its state in `state`.
pub(crate) fn concourse(state: &Path) -> Concourse {
    Concourse::new().environment("ESTALEIRO_STATE", state.to_str().unwrap()).environment("NO_COLOR", "1")
}

/// Takes a step on an empty worker, whose state is gone afterwards.
pub(crate) fn run(source: &Value, step: &Put) -> Result<(Outcome, Option<Got>), Failure> {
    let state = tempfile::tempdir().unwrap();
    concourse(state.path()).resource(source.clone()).put(step)
}

/// Returns the step that puts a yard, without the implicit get.
pub(crate) fn step(yard: &Yard) -> Put {
    with_params(yard, json!({"definition": "source"}))
}

/// Returns the step that puts a yard, with other params.
pub(crate) fn with_params(yard: &Yard, params: Value) -> Put {
    Put { no_get: true, ..Put::new(params).artifact("source", yard.path()) }
}

/// Puts a yard from an empty worker.
pub(crate) fn put(source: &Value, yard: &Yard) -> Outcome {
    run(source, &step(yard)).unwrap_or_else(|failure| panic!("{}", failure.stderr)).0
}

/// Puts a yard from an empty worker, in vain, and returns what was said.
pub(crate) fn put_in_vain(source: &Value, yard: &Yard) -> Failure {
    run(source, &step(yard)).expect_err("the put fails")
}

/// Gets a version.
pub(crate) fn get(source: &Value, version: &Version, params: &Value) -> Got {
    let resource = Concourse::new().environment("NO_COLOR", "1").resource(source.clone());
    resource.get(version, params).unwrap_or_else(|failure| panic!("{}", failure.stderr))
}

/// Returns the digest of what was put.
pub(crate) fn digest(outcome: &Outcome) -> Digest {
    outcome.version["digest"].parse().unwrap()
}

/// Returns the small files of an image.
pub(crate) fn small_files(source: &Value, outcome: &Outcome) -> Got {
    get(source, &outcome.version, &json!({"skip_download": true}))
}

/// Returns a base image of two layers with all kinds of files; the upper one hides some of the lower.
pub(crate) fn base_image() -> TestImage {
    use crate::support::tarball::Entry;
    let capability = b"\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00";
    let lower = Tarball::new()
        .directory("etc/", 0o755)
        .file("etc/os-release", 0o644, "ID=example\nVERSION_ID=\"7\"\nVERSION_CODENAME=caravel\n")
        .file("etc/gone", 0o644, "away")
        .directory("usr/", 0o755)
        .directory("usr/bin/", 0o755)
        .symlink("bin", "usr/bin")
        .entry(Entry::file("usr/bin/ping", 0o755, "ping").xattr("security.capability", capability))
        .file("usr/bin/su", 0o4755, "su")
        .hardlink("usr/bin/runuser", "usr/bin/su")
        .directory("var/", 0o755)
        .entry(Entry::directory("var/mail/", 0o2775).owned_by(0, 8))
        .file("var/mail/old", 0o600, "old")
        .entry(Entry::fifo("var/queue", 0o600))
        .directory("opt/", 0o750);
    let upper = Tarball::new()
        .directory("etc/", 0o755)
        .file("etc/.wh.gone", 0o644, "")
        .directory("var/", 0o755)
        .entry(Entry::directory("var/mail/", 0o2775).owned_by(0, 8))
        .file("var/mail/.wh..wh..opq", 0o644, "")
        .entry(Entry::file("var/mail/new", 0o640, "new").owned_by(1000, 8));
    TestImage::new().layer(&lower).layer(&upper).field("created", json!("2024-02-03T04:05:06Z"))
}

/// Returns a manifest by tag or digest.
pub(crate) fn manifest(registry: &TestRegistry, repository: &str, reference: &str) -> Value {
    let (_, bytes) = registry.manifest(repository, reference).expect("there is such a manifest");
    serde_json::from_slice(&bytes).unwrap()
}

/// Returns the digests of an image's layers, lowest first.
pub(crate) fn layers(registry: &TestRegistry, repository: &str, reference: &str) -> Vec<Digest> {
    let manifest = manifest(registry, repository, reference);
    let layers = manifest["layers"].as_array().unwrap().iter();
    layers.map(|layer| layer["digest"].as_str().unwrap().parse().unwrap()).collect()
}

/// Returns an image's configuration.
pub(crate) fn config(registry: &TestRegistry, repository: &str, reference: &str) -> Value {
    let manifest = manifest(registry, repository, reference);
    let digest = manifest["config"]["digest"].as_str().unwrap().parse().unwrap();
    serde_json::from_slice(&registry.blob(&digest).unwrap()).unwrap()
}

/// Which blobs were read.
pub(crate) fn downloads(registry: &TestRegistry) -> Vec<Digest> {
    let requests = registry.log().requests();
    let reads = requests.iter().filter(|request| request.is("GET", "/blobs/sha256:"));
    reads.map(|request| request.path.rsplit('/').next().unwrap().parse().unwrap()).collect()
}

/// Which blobs' bytes were sent and taken.
pub(crate) fn uploads(registry: &TestRegistry) -> Vec<Digest> {
    let requests = registry.log().requests();
    let finished = requests.iter().filter(|request| {
        matches!(request.method.as_str(), "PUT" | "POST" | "PATCH") && request.status == 201
    });
    finished.filter_map(|request| queried(request, "digest")).map(|text| text.parse().unwrap()).collect()
}

/// Which blobs were taken over from where.
pub(crate) fn mounts(registry: &TestRegistry) -> BTreeMap<Digest, String> {
    let requests = registry.log().requests();
    let mounted = requests.iter().filter(|request| request.status == 201);
    let mounted = mounted.filter_map(|r| Some((queried(r, "mount")?.parse().unwrap(), queried(r, "from")?)));
    mounted.collect()
}

/// All requests that could change something.
pub(crate) fn writes(registry: &TestRegistry) -> Vec<String> {
    let lines = registry.log().lines();
    lines.into_iter().filter(|line| !line.starts_with("GET ") && !line.starts_with("HEAD ")).collect()
}

fn queried(request: &Logged, name: &str) -> Option<String> {
    let mut pairs = url::form_urlencoded::parse(request.query.as_bytes());
    pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

/// The artifacts that refer to an image, as the registry's own API lists them: type, and content.
pub(crate) fn referrers(host: &str, repository: &str, subject: &Digest) -> Vec<(String, Value)> {
    let (status, body) = ask(host, "GET", &format!("/v2/{repository}/referrers/{subject}"));
    assert_eq!(status, 200);
    listed(&body)
}

/// The same, as the fallback tag lists them.
pub(crate) fn fallback_list(host: &str, repository: &str, subject: &Digest) -> Vec<(String, Value)> {
    let tag = subject.to_string().replace(':', "-");
    let (status, body) = ask(host, "GET", &format!("/v2/{repository}/manifests/{tag}"));
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
    listed(&body)
}

fn listed(index: &[u8]) -> Vec<(String, Value)> {
    let index: Value = serde_json::from_slice(index).unwrap();
    let entries = index["manifests"].as_array().unwrap().iter();
    entries.map(|entry| (entry["artifactType"].as_str().unwrap().to_owned(), entry.clone())).collect()
}

/// Returns the types of some artifacts, sorted.
pub(crate) fn types(artifacts: &[(String, Value)]) -> Vec<&str> {
    let mut types: Vec<&str> = artifacts.iter().map(|(kind, _)| kind.as_str()).collect();
    types.sort_unstable();
    types
}

/// Returns the digest of the only artifact of a type.
pub(crate) fn only(artifacts: &[(String, Value)], kind: &str) -> Digest {
    let found: Vec<_> = artifacts.iter().filter(|(found, _)| found == kind).collect();
    assert_eq!(found.len(), 1, "{artifacts:?}");
    found[0].1["digest"].as_str().unwrap().parse().unwrap()
}

/// Returns the content of an artifact: its only layer.
pub(crate) fn content(host: &str, repository: &str, artifact: &Digest) -> Vec<u8> {
    let (status, body) = ask(host, "GET", &format!("/v2/{repository}/manifests/{artifact}"));
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
    let manifest: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(manifest["layers"].as_array().unwrap().len(), 1, "{manifest}");
    let blob = manifest["layers"][0]["digest"].as_str().unwrap();
    let (status, body) = ask(host, "GET", &format!("/v2/{repository}/blobs/{blob}"));
    assert_eq!(status, 200);
    body
}

/// Puts a cache record in the place of that of an image's latest.
pub(crate) fn replace_record(registry: &TestRegistry, repository: &str, content: &[u8]) {
    let image = registry.manifest(repository, "latest").unwrap().1;
    let record = only(&referrers(&registry.host(), repository, &Digest::of(&image)), CACHE);
    delete(&registry.host(), repository, &format!("manifests/{record}"));
    let empty = registry.put_blob(repository, b"{}");
    let blob = registry.put_blob(repository, content);
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    let manifest = json!({
        "schemaVersion": 2, "mediaType": media_type, "artifactType": CACHE,
        "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": empty.to_string(), "size": 2},
        "layers": [{"mediaType": CACHE, "digest": blob.to_string(), "size": content.len()}],
        "subject": {"mediaType": media_type, "digest": Digest::of(&image).to_string(), "size": image.len()},
    });
    registry.put_manifest(repository, None, media_type, manifest.to_string().as_bytes());
}

/// Takes something out of a registry.
pub(crate) fn delete(host: &str, repository: &str, what: &str) {
    let (status, body) = ask(host, "DELETE", &format!("/v2/{repository}/{what}"));
    assert_eq!(status, 202, "{}", String::from_utf8_lossy(&body));
}

/// Sends one request, without anybody's client between.
pub(crate) fn ask(host: &str, method: &str, path: &str) -> (u16, Vec<u8>) {
    let mut stream = TcpStream::connect(host).unwrap();
    let accept = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, */*";
    write!(stream, "{method} {path} HTTP/1.0\r\nHost: {host}\r\nAccept: {accept}\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
    let status = std::str::from_utf8(&answer[9..12]).unwrap().parse().unwrap();
    (status, answer.split_off(end))
}
