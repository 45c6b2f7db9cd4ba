//! Repositories with very many tags.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use futures_util::FutureExt as _;
use serde_json::{Value, json};

use crate::fleet::{check, image, registry, version_of};
use crate::support::fault::ALWAYS;
use crate::support::http::{Handler, Server};
use crate::support::{Concourse, Fault, TestRegistry};

const N_TAGS: usize = 10_000;
const N_PAGES: usize = N_TAGS / 1000;

/// Starts a registry with ten thousand versions, each another image: `0.0.0` to `99.9.9`.
fn fleet() -> TestRegistry {
    let registry = TestRegistry::start();
    image("a").put(&registry, "app", None);
    let mut manifest: Value = serde_json::from_slice(&image("a").manifest_bytes()).unwrap();
    let kind = manifest["mediaType"].as_str().unwrap().to_owned();
    for number in 0..N_TAGS {
        let tag = format!("{}.{}.{}", number / 100, number / 10 % 10, number % 10);
        manifest["annotations"] = json!({"number": number.to_string()});
        registry.put_manifest("app", Some(&tag), &kind, manifest.to_string().as_bytes());
    }
    registry
}

#[test]
fn each_tag_is_asked_for_once_and_from_then_on_only_newer_ones() {
    let registry = fleet();
    let (versions, _) = check(&registry, &json!({}), None);
    let versions: Vec<&str> = versions.split(' ').collect();
    assert_eq!((versions.len(), versions[0], versions[N_TAGS - 1]), (N_TAGS, "0.0.0", "99.9.9"));
    assert_eq!(registry.log().count("HEAD", "/manifests/"), N_TAGS);
    assert_eq!(registry.log().requests().len(), 1 + N_PAGES + N_TAGS);

    registry.log().clear();
    let given = version_of("99.9.7", &registry.resolve("app", "99.9.7").unwrap());
    assert_eq!(check(&registry, &json!({}), Some(&given)).0, "99.9.7 99.9.8 99.9.9");
    assert_eq!(registry.log().requests().len(), 1 + N_PAGES + 3);

    registry.log().clear();
    assert_eq!(check(&registry, &json!({"semver_constraint": "~42.7"}), None).0.split(' ').count(), 10);
    assert_eq!(registry.log().requests().len(), 1 + N_PAGES + 10);
}

/// Starts a registry that takes its time for each of a hundred tags; tells how many it was asked for at once.
fn slow() -> (Server, Arc<AtomicUsize>) {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let seen = most.clone();
    let server = Server::start(|_| {
        let handler: Handler = Arc::new(move |request: Request| {
            let (now, most, path) = (now.clone(), most.clone(), request.uri().path().to_owned());
            async move {
                if path.ends_with("/tags/list") {
                    let tags: Vec<String> = (0..100).map(|number| format!("1.{number}")).collect();
                    return Response::new(Body::from(json!({"tags": tags}).to_string()));
                }
                if path == "/v2/" {
                    return Response::default();
                }
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(20)).await;
                now.fetch_sub(1, Ordering::SeqCst);
                Response::builder()
                    .header("docker-content-digest", image(&path).digest().to_string())
                    .header("content-type", "application/vnd.oci.image.manifest.v1+json")
                    .header("content-length", "300")
                    .body(Body::empty())
                    .unwrap()
            }
            .boxed()
        });
        handler
    });
    (server, seen)
}

#[test]
fn a_few_tags_are_asked_for_at_once_and_their_order_stays() {
    let (server, most) = slow();
    let mut resource = Concourse::new().resource(json!({"repository": format!("{}/app", server.address())}));
    let versions = resource.check().unwrap_or_else(|failure| panic!("{}", failure.stderr));
    let expected: Vec<String> = (0..100).map(|number| format!("1.{number}")).collect();
    assert_eq!(
        versions.iter().map(|version| &version["tag"]).collect::<Vec<_>>(),
        expected.iter().collect::<Vec<_>>()
    );
    let most = most.load(Ordering::SeqCst);
    assert!((2..=16).contains(&most), "{most}");
}

#[test]
fn many_tags_that_nobody_understands_are_not_told_one_by_one() {
    let tags: Vec<String> = (0..30).map(|number| format!("1.{number}={number}")).collect();
    let registry = registry(&tags.join(" "));
    registry.faults().fail("HEAD", "/manifests/", ALWAYS, Fault::Status(405));
    registry.faults().fail_if(
        |request| !request.path.ends_with("/1.7") && request.is("GET", "/manifests/"),
        ALWAYS,
        Fault::WrongBytes,
    );
    let (versions, stderr) = check(&registry, &json!({}), None);
    assert_eq!(versions, "1.7");
    assert_eq!(stderr.matches("the manifest cannot be read").count(), 10, "{stderr}");
    assert!(stderr.contains("warning: 19 more cannot be understood either"), "{stderr}");
}
