//! The registry, beside the real one.

use std::time::Duration;

use estaleiro::digest::Digest;
use reqwest::{Client, Method, Response};
use serde_json::{Value, json};

use super::support::docker_registry::DockerRegistry;
use super::support::fault::Fault;
use super::support::image::{TestImage, put_index};
use super::support::registry::{Auth, Mount, Options, TestRegistry};
use super::support::tarball::Tarball;
use super::support::{run, tree};

fn hello() -> TestImage {
    let layer = Tarball::new().directory("etc/", 0o755).file("etc/greeting", 0o644, "hello");
    TestImage::new().layer(&layer).config("Env", json!(["PATH=/bin"]))
}

fn client() -> Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder().no_proxy().timeout(Duration::from_secs(2)).build().unwrap()
}

async fn send(method: Method, url: String, body: Vec<u8>) -> Result<Response, reqwest::Error> {
    client().request(method, url).body(body).send().await
}

fn header(response: &Response, name: &str) -> String {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap()).to_owned()
}

/// Follows a location, which may have no host.
fn next(registry: &TestRegistry, response: &Response) -> String {
    format!("http://{}{}", registry.host(), header(response, "location"))
}

#[test]
fn skopeo_copies_to_it_and_from_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    hello().write_layout(&directory.path().join("given"), "latest");
    let registry = TestRegistry::start();
    let here = format!("docker://{}", registry.name("team/app", "1"));
    let given = format!("oci:{}:latest", path("given"));
    run("skopeo", &["copy", "--dest-tls-verify=false", &given, &here]);
    assert_eq!(registry.resolve("team/app", "1"), Some(hello().digest()));
    assert_eq!(registry.n_blobs_uploaded(), 2, "{:#?}", registry.log().lines());
    assert_eq!(registry.n_open_uploads(), 0);
    let taken = format!("oci:{}:latest", path("taken"));
    run("skopeo", &["copy", "--src-tls-verify=false", &here, &taken]);
    let layers = tree::dump_layout(&directory.path().join("taken"));
    assert_eq!(layers, "layer 1\ndir  0755 0:0 /etc\nfile 0644 0:0 5:2cf24dba5fb0 /etc/greeting\n");
    let tags: Value = serde_json::from_str(&run(
        "skopeo",
        &["list-tags", "--tls-verify=false", here.trim_end_matches(":1")],
    ))
    .unwrap();
    assert_eq!(tags["Tags"], json!(["1"]));
}

#[test]
fn skopeo_comes_in_with_a_password_and_not_without() {
    let user = || "shipwright".to_owned();
    let password = || "hunter2".to_owned();
    let bearer = Auth::Bearer { user: user(), password: password(), anonymous_pull: false };
    for auth in [Auth::Basic { user: user(), password: password() }, bearer] {
        let registry = TestRegistry::with(Options { auth, ..Options::default() });
        hello().put(&registry, "app", Some("1"));
        let name = format!("docker://{}", registry.name("app", "1"));
        let inspect = ["inspect", "--tls-verify=false", "--creds", "shipwright:hunter2", &name];
        assert!(run("skopeo", &inspect).contains("PATH=/bin"));
        let stranger =
            std::process::Command::new("skopeo").args(["inspect", "--tls-verify=false", &name]).output();
        assert!(!stranger.unwrap().status.success());
        assert!(registry.log().requests().iter().any(|request| request.status == 401));
        let log = format!("{:?}", registry.log().requests());
        assert!(!log.contains("hunter2") && !log.contains("c2hpcH"), "{log}");
    }
}

#[test]
fn the_real_registry_takes_and_gives_the_same_image() {
    let directory = tempfile::tempdir().unwrap();
    hello().write_layout(directory.path(), "latest");
    let registry = DockerRegistry::start();
    let given = format!("oci:{}:latest", directory.path().display());
    let there = format!("docker://{}", registry.name("app", "1"));
    run("skopeo", &["copy", "--dest-tls-verify=false", &given, &there]);
    let digest = run("skopeo", &["inspect", "--tls-verify=false", "--format", "{{.Digest}}", &there]);
    assert_eq!(digest.trim(), hello().digest().to_string());
}

#[tokio::test]
async fn a_blob_comes_in_chunks_that_follow_each_other() {
    let registry = TestRegistry::start();
    let start = send(Method::POST, format!("http://{}/v2/app/blobs/uploads/", registry.host()), vec![]).await;
    let start = start.unwrap();
    assert_eq!(start.status(), 202);
    let first = client().patch(next(&registry, &start)).header("content-range", "0-2").body("abc");
    let first = first.send().await.unwrap();
    assert_eq!((first.status().as_u16(), header(&first, "range")), (202, "0-2".into()));
    let gap = client().patch(next(&registry, &first)).header("content-range", "7-8").body("xy");
    assert_eq!(gap.send().await.unwrap().status(), 416);
    let digest = Digest::of(b"abcdef");
    let last =
        send(Method::PUT, format!("{}&digest={digest}", next(&registry, &first)), b"def".to_vec()).await;
    assert_eq!(last.unwrap().status(), 201);
    assert_eq!(registry.blob(&digest).unwrap(), b"abcdef");
    let part = client().get(format!("http://{}/v2/app/blobs/{digest}", registry.host()));
    let part = part.header("range", "bytes=2-3").send().await.unwrap();
    assert_eq!(part.status(), 206);
    assert_eq!(part.text().await.unwrap(), "cd");
    assert_eq!(registry.log().requests().last().unwrap().sent, 2);
}

#[tokio::test]
async fn a_blob_that_is_not_what_was_announced_is_refused() {
    let registry = TestRegistry::start();
    let url = format!("http://{}/v2/app/blobs/uploads/?digest={}", registry.host(), Digest::of(b"a"));
    assert_eq!(send(Method::POST, url, b"b".to_vec()).await.unwrap().status(), 400);
    assert_eq!(registry.n_open_uploads(), 0);
    assert!(!registry.has_blob("app", &Digest::of(b"a")));
}

#[tokio::test]
async fn mounts_are_done_or_answered_with_an_upload_or_refused() {
    let registry = TestRegistry::start();
    let digest = registry.put_blob("base", b"layer");
    let from =
        |from: &str| format!("http://{}/v2/app/blobs/uploads/?mount={digest}&from={from}", registry.host());
    let status = async |from: String| send(Method::POST, from, vec![]).await.unwrap().status().as_u16();
    assert_eq!(status(from("elsewhere")).await, 202);
    registry.change(|options| options.mount = Mount::Refused);
    assert_eq!(status(from("base")).await, 405);
    registry.change(|options| options.mount = Mount::Accepted);
    assert_eq!(status(from("base")).await, 202);
    assert!(!registry.has_blob("app", &digest));
    registry.change(|options| options.mount = Mount::Done);
    assert_eq!(status(from("base")).await, 201);
    assert!(registry.has_blob("app", &digest));
}

#[tokio::test]
async fn a_manifest_whose_blobs_are_missing_is_refused() {
    let registry = TestRegistry::start();
    let put = client()
        .put(format!("http://{}/v2/app/manifests/1", registry.host()))
        .header("content-type", "application/vnd.oci.image.manifest.v1+json")
        .body(hello().manifest_bytes());
    let answer = put.send().await.unwrap();
    assert_eq!(answer.status(), 404);
    assert!(answer.text().await.unwrap().contains("MANIFEST_BLOB_UNKNOWN"));
    assert!(registry.tags("app").is_empty());
}

#[tokio::test]
async fn referrers_are_listed_only_where_there_is_an_api() {
    let registry = TestRegistry::start();
    let subject = hello().put(&registry, "app", Some("1"));
    registry.put_blob("app", b"{}");
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    let empty =
        json!({"mediaType": "application/vnd.oci.empty.v1+json", "digest": Digest::of(b"{}"), "size": 2});
    let artifact = json!({
        "schemaVersion": 2, "mediaType": media_type, "artifactType": "text/x", "config": empty,
        "layers": [empty], "subject": {"mediaType": media_type, "digest": subject, "size": 1},
    });
    let put = |tag: &str| {
        let url = format!("http://{}/v2/app/manifests/{tag}", registry.host());
        client().put(url).header("content-type", media_type).body(artifact.to_string()).send()
    };
    assert_eq!(header(&put("a").await.unwrap(), "oci-subject"), subject.to_string());
    let list = |query: &str| format!("http://{}/v2/app/referrers/{subject}{query}", registry.host());
    let listed: Value = send(Method::GET, list(""), vec![]).await.unwrap().json_value().await;
    assert_eq!(listed["manifests"][0]["artifactType"], "text/x");
    let filtered = send(Method::GET, list("?artifactType=text/y"), vec![]).await.unwrap();
    assert_eq!(header(&filtered, "oci-filters-applied"), "artifactType");
    assert_eq!(filtered.json_value().await["manifests"], json!([]));

    registry.change(|options| options.referrers = false);
    assert_eq!(header(&put("b").await.unwrap(), "oci-subject"), "");
    assert_eq!(send(Method::GET, list(""), vec![]).await.unwrap().status(), 404);
}

trait JsonValue {
    async fn json_value(self) -> Value;
}

impl JsonValue for Response {
    async fn json_value(self) -> Value {
        serde_json::from_str(&self.text().await.unwrap()).unwrap()
    }
}

#[tokio::test]
async fn tags_come_in_pages() {
    let registry = TestRegistry::with(Options { page_size: 2, ..Options::default() });
    for tag in ["3", "1", "2"] {
        hello().put(&registry, "app", Some(tag));
    }
    let url = format!("http://{}/v2/app/tags/list", registry.host());
    let page = send(Method::GET, url.clone(), vec![]).await.unwrap();
    assert_eq!(header(&page, "link"), "</v2/app/tags/list?n=2&last=2>; rel=\"next\"");
    assert_eq!(page.json_value().await["tags"], json!(["1", "2"]));
    let page = send(Method::GET, url + "?n=2&last=2", vec![]).await.unwrap();
    assert_eq!((header(&page, "link"), page.json_value().await["tags"].clone()), ("".into(), json!(["3"])));
}

#[tokio::test]
async fn an_index_holds_an_image_a_platform() {
    let registry = TestRegistry::start();
    let other = hello().field("architecture", json!("arm64"));
    let digest = put_index(&registry, "app", "1", &[&hello(), &other]);
    let (media_type, bytes) = registry.manifest("app", "1").unwrap();
    assert!(media_type.ends_with("index.v1+json") && Digest::of(&bytes) == digest);
    let name = format!("docker://{}", registry.name("app", "1"));
    let raw = run("skopeo", &["--override-arch", "arm64", "inspect", "--tls-verify=false", &name]);
    assert!(raw.contains("arm64"), "{raw}");
}

#[tokio::test]
async fn each_fault_is_felt_and_then_over() {
    let registry = TestRegistry::start();
    let digest = registry.put_blob("app", &[7; 100_000]);
    let url = format!("http://{}/v2/app/blobs/{digest}", registry.host());
    let read = || async { send(Method::GET, url.clone(), vec![]).await?.error_for_status()?.bytes().await };
    let faults = [
        Fault::Status(503),
        Fault::StatusWith(429, vec![("retry-after", "1".into())]),
        Fault::Reset,
        Fault::LoseAnswer,
        Fault::Truncate(50_000),
        Fault::Stall,
        Fault::StallAfter(10),
    ];
    for fault in faults {
        registry.faults().fail("GET", "/blobs/", 1, fault.clone());
        let outcome = read().await;
        assert!(outcome.is_err(), "{fault:?}");
        assert_eq!(outcome.unwrap_err().is_timeout(), matches!(fault, Fault::Stall | Fault::StallAfter(_)));
        assert_eq!(read().await.unwrap().len(), 100_000, "after {fault:?}");
    }
    registry.faults().fail("GET", "/blobs/", 1, Fault::WrongBytes);
    let wrong = read().await.unwrap();
    assert!(wrong.len() == 100_000 && Digest::of(&wrong) != digest);
}

#[tokio::test]
async fn an_answer_may_be_lost_though_the_work_is_done() {
    let registry = TestRegistry::start();
    registry.faults().fail("POST", "/uploads/", 1, Fault::LoseAnswer);
    let url = format!("http://{}/v2/app/blobs/uploads/?digest={}", registry.host(), Digest::of(b"a"));
    assert!(send(Method::POST, url, b"a".to_vec()).await.is_err());
    assert!(registry.has_blob("app", &Digest::of(b"a")));
}
