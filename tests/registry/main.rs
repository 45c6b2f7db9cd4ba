//! The registry room against fakes that say exactly what a test needs, a real registry, and layouts.

#![expect(clippy::unwrap_used, reason = "a test says by it what it takes for granted")]

#[path = "../support/certificate.rs"]
mod certificate;
mod debian;
mod fake;

use std::io::{self, Write};
use std::process::Command;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::Response;
use futures_util::{StreamExt, stream};

use estaleiro::digest::Digest;
use estaleiro::oci::{Annotations, Descriptor, History, Image, Index, Layer, Manifest, Platform, media_type};
use estaleiro::progress::{Progress, Task};
use estaleiro::redact::Secret;
use estaleiro::registry::{Access, Artifact, Credentials, Location, Pushed, Registry, Retry};
use estaleiro::store::Store;

use debian::DebianRegistry;
use fake::{Asked, Fake, answer, answer_with, broken_off};

const BOM: &str = "application/vnd.cyclonedx+json";

// ---- A real registry -----------------------------------------------------------------------------------------

#[tokio::test]
async fn an_image_comes_back_from_a_real_registry_as_it_was_pushed() {
    let server = DebianRegistry::start();
    let here = Desk::new();
    let registry = open(&server.host, "team/app", &access());
    let image = push_image(&registry, &here, "1.0").await;

    assert_eq!(registry.resolve("1.0").await.unwrap().unwrap(), image);
    assert_eq!(registry.resolve("2.0").await.unwrap(), None);
    let (found, bytes) = registry.manifest(&image.digest.to_string()).await.unwrap().unwrap();
    assert_eq!(found, image);
    let layer = &Manifest::parse(&bytes).unwrap().layers[0];

    let there = Desk::new();
    registry.pull_blob(layer, &there.store, &there.task).await.unwrap();
    assert_eq!(there.read(&layer.digest), here.read(&layer.digest));
    assert_eq!(registry.push_blob(layer, &here.store, None, &here.task).await.unwrap(), Pushed::Existed);
    assert_eq!(registry.tags().await.unwrap(), ["1.0"]);
}

#[tokio::test]
async fn a_real_registry_takes_a_blob_over_from_another_repository() {
    let server = DebianRegistry::start();
    let desk = Desk::new();
    let blob = desk.blob(b"a layer");
    let (base, app) = (open(&server.host, "base", &access()), open(&server.host, "app", &access()));
    assert_eq!(base.push_blob(&blob, &desk.store, None, &desk.task).await.unwrap(), Pushed::Uploaded);
    assert_eq!(app.push_blob(&blob, &desk.store, Some("base"), &desk.task).await.unwrap(), Pushed::Mounted);
    let other = desk.blob(b"another layer");
    assert_eq!(app.push_blob(&other, &desk.store, Some("base"), &desk.task).await.unwrap(), Pushed::Uploaded);
    assert!(app.has_blob(&blob.digest).await.unwrap() && app.has_blob(&other.digest).await.unwrap());
}

#[tokio::test]
async fn a_real_registry_lets_in_who_has_the_password() {
    let server = DebianRegistry::start_with_password();
    let desk = Desk::new();
    let image = push_image(&open(&server.host, "app", &with_password("hunter2")), &desk, "1").await;
    let nobody = open(&server.host, "app", &access());
    let error = nobody.resolve("1").await.unwrap_err().to_string();
    assert!(error.contains("refused access without credentials (401"), "{error}");
    let wrong = open(&server.host, "app", &with_password("hunter3"));
    let error = wrong.manifest(&image.digest.to_string()).await.unwrap_err().to_string();
    assert!(error.contains("refused the credentials (401"), "{error}");
}

#[tokio::test]
async fn a_registry_nearby_may_speak_tls() {
    let server = DebianRegistry::start_with_tls();
    let desk = Desk::new();
    let ca_certs = vec![server.certificate_authority()];
    push_image(&open(&server.host, "app", &Access { ca_certs, ..access() }), &desk, "1").await;
    let error = open(&server.host, "app", &access()).resolve("1").await.unwrap_err().to_string();
    assert!(error.contains("certificate"), "{error}");
}

#[tokio::test]
async fn what_refers_to_an_image_is_listed_at_a_tag_where_the_registry_keeps_no_list() {
    let server = DebianRegistry::start();
    let registry = open(&server.host, "app", &access());
    let subject = push_image(&registry, &Desk::new(), "1").await;
    let tag = subject.digest.to_string().replace(':', "-");
    let theirs = Index::new(vec![Descriptor::new("application/x", subject.digest, subject.size)]);
    registry.push_manifest(&tag, media_type::INDEX, &theirs.to_json()).await.unwrap();

    let bom = artifact(BOM, "the bom");
    let attached = registry.attach(&subject, &bom).await.unwrap();
    assert_eq!(registry.attach(&subject, &bom).await.unwrap(), attached);
    registry.attach(&subject, &artifact("application/lock", "the lock")).await.unwrap();

    assert_eq!(registry.referrers(&subject.digest, None).await.unwrap().len(), 3);
    let boms = registry.referrers(&subject.digest, Some(BOM)).await.unwrap();
    assert_eq!(boms, [attached]);
    assert_eq!(boms[0].annotations, bom.annotations);
    assert_eq!(registry.artifact(&boms[0], 100).await.unwrap(), b"the bom");
    assert!(registry.artifact(&boms[0], 3).await.is_err());
}

#[tokio::test]
async fn two_who_attach_at_once_are_both_listed() {
    let server = DebianRegistry::start();
    let registry = open(&server.host, "app", &access());
    let subject = push_image(&registry, &Desk::new(), "1").await;
    let other = open(&server.host, "app", &access());
    let (bom, lock, cache) =
        (artifact(BOM, "b"), artifact("application/lock", "l"), artifact("application/c", "c"));
    let attached = tokio::join!(
        registry.attach(&subject, &bom),
        registry.attach(&subject, &lock),
        other.attach(&subject, &cache)
    );
    attached.0.and(attached.1).and(attached.2).unwrap();
    assert_eq!(registry.referrers(&subject.digest, None).await.unwrap().len(), 3);
}

#[tokio::test]
async fn a_newer_artifact_takes_the_place_of_an_older_one_when_told_to() {
    let server = DebianRegistry::start();
    let registry = open(&server.host, "app", &access());
    let subject = push_image(&registry, &Desk::new(), "1").await;
    registry.attach(&subject, &artifact(BOM, "old")).await.unwrap();
    let lock = registry.attach(&subject, &artifact("application/lock", "lock")).await.unwrap();
    let new = Artifact { replace: true, ..artifact(BOM, "new") };
    let new = registry.attach(&subject, &new).await.unwrap();
    assert_eq!(registry.referrers(&subject.digest, None).await.unwrap(), [new, lock]);
}

// ---- What is asked, and in which order -----------------------------------------------------------------------

#[tokio::test]
async fn a_blob_is_looked_for_then_mounted_then_uploaded_in_one_piece() {
    let fake = Fake::start(|asked, _| match asked.method.as_str() {
        "HEAD" => answer(404),
        // The mount is declined: the session that comes with it is used.
        "POST" => answer_with(202, &[("location", "/upload/1?state=x")], ""),
        _ => answer(201),
    })
    .await;
    let desk = Desk::new();
    let blob = desk.blob(b"a layer");
    let registry = open(&fake.host, "app", &access());
    assert_eq!(
        registry.push_blob(&blob, &desk.store, Some("base"), &desk.task).await.unwrap(),
        Pushed::Uploaded
    );
    let digest = blob.digest;
    let encoded = digest.to_string().replace(':', "%3A");
    assert_eq!(
        fake.lines(),
        [
            format!("HEAD /v2/app/blobs/{digest}"),
            format!("POST /v2/app/blobs/uploads/?mount={digest}&from=base"),
            format!("PUT /upload/1?state=x&digest={encoded}"),
        ]
    );
    let put = &fake.asked()[2];
    assert_eq!((put.content_length, put.body.as_ref()), (Some(7), &b"a layer"[..]));
}

#[tokio::test]
async fn a_mount_that_is_refused_becomes_an_upload() {
    let fake = Fake::start(|asked, _| match (asked.method.as_str(), asked.query.contains("mount=")) {
        ("HEAD", _) => answer(404),
        ("POST", true) => answer(403),
        ("POST", false) => answer_with(202, &[("location", "/upload/1")], ""),
        _ => answer(201),
    })
    .await;
    let desk = Desk::new();
    let blob = desk.blob(b"a layer");
    let registry = open(&fake.host, "app", &access());
    let pushed = registry.push_blob(&blob, &desk.store, Some("secret/base"), &desk.task).await.unwrap();
    assert_eq!((pushed, fake.asked().len()), (Pushed::Uploaded, 4));
}

#[tokio::test]
async fn a_registry_that_keeps_the_list_of_referrers_is_left_to_it() {
    let fake = Fake::start(|asked, _| match asked.method.as_str() {
        "GET" => answer_with(200, &[("content-type", media_type::INDEX)], Index::new(vec![]).to_json()),
        "HEAD" => answer(200),
        _ => answer_with(201, &[("oci-subject", "sha256:x")], ""),
    })
    .await;
    let registry = open(&fake.host, "app", &access());
    let subject = Descriptor::of(media_type::MANIFEST, b"image");
    let attached = registry.attach(&subject, &artifact(BOM, "bom")).await.unwrap();
    assert_eq!(
        fake.lines(),
        [
            format!(
                "GET /v2/app/referrers/{}?artifactType=application%2Fvnd.cyclonedx%2Bjson",
                subject.digest
            ),
            format!("HEAD /v2/app/blobs/{}", Digest::of("{}")),
            format!("HEAD /v2/app/blobs/{}", Digest::of("bom")),
            format!("PUT /v2/app/manifests/{}", attached.digest),
        ]
    );
    let manifest = Manifest::parse(&fake.asked()[3].body).unwrap();
    assert_eq!(manifest.subject, Some(subject));
    assert_eq!(manifest.artifact_type.as_deref(), Some(BOM));
    assert_eq!(manifest.layers, [Descriptor::of(BOM, b"bom")]);
    assert_eq!(manifest.config, Descriptor::of(media_type::EMPTY, b"{}"));
}

#[tokio::test]
async fn a_registry_that_knows_no_head_is_asked_for_the_manifest_itself() {
    let fake = Fake::start(|asked, _| match asked.method.as_str() {
        "HEAD" => answer(405),
        _ => answer_with(200, &[("content-type", media_type::INDEX)], Index::new(vec![]).to_json()),
    })
    .await;
    let found = open(&fake.host, "app", &access()).resolve("1").await.unwrap().unwrap();
    assert_eq!(found, Descriptor::of(media_type::INDEX, &Index::new(vec![]).to_json()));
    assert_eq!(fake.lines(), ["HEAD /v2/app/manifests/1", "GET /v2/app/manifests/1"]);
}

#[tokio::test]
async fn all_pages_of_tags_are_read() {
    let fake = Fake::start(|asked, _| match asked.query.as_str() {
        "n=1000" => {
            let next = [("link", r#"</v2/app/tags/list?n=1000&last=b>; rel="next""#)];
            answer_with(200, &next, r#"{"name":"app","tags":["a","b"]}"#)
        }
        _ => answer_with(200, &[], r#"{"name":"app","tags":["c"]}"#),
    })
    .await;
    assert_eq!(open(&fake.host, "app", &access()).tags().await.unwrap(), ["a", "b", "c"]);
}

#[tokio::test]
async fn a_repository_that_is_not_there_has_no_tags_and_no_referrers() {
    let fake = Fake::start(|_, _| answer(404)).await;
    let registry = open(&fake.host, "app", &access());
    assert!(registry.tags().await.unwrap().is_empty());
    assert!(registry.referrers(&Digest::of("x"), None).await.unwrap().is_empty());
    assert_eq!(registry.manifest("1").await.unwrap(), None);
}

// ---- What passes, and what doesn't ---------------------------------------------------------------------------

#[tokio::test]
async fn a_registry_that_is_busy_is_asked_again_when_it_wants_to_be() {
    let fake = Fake::start(|_, n_before| match n_before {
        0 => answer_with(429, &[("retry-after", "1")], ""),
        1 => answer(503),
        _ => answer(200),
    })
    .await;
    let patient = Access { retry: Retry { longest_pause: Duration::from_secs(2), ..retry() }, ..access() };
    let started = Instant::now();
    assert!(open(&fake.host, "app", &patient).has_blob(&Digest::of("x")).await.unwrap());
    assert!(started.elapsed() >= Duration::from_secs(1), "{:?}", started.elapsed());
    assert_eq!(fake.asked().len(), 3);
}

#[tokio::test]
async fn a_registry_that_stays_broken_is_given_up() {
    let said = r#"{"errors":[{"code":"UNKNOWN","message":"the disk\nis full"}]}"#;
    let fake = Fake::start(move |_, _| answer_with(500, &[], said)).await;
    let error = open(&fake.host, "app", &access()).tags().await.unwrap_err().to_string();
    let host = &fake.host;
    assert_eq!(
        error,
        format!(
            "cannot list the tags of {host}/app: GET http://{host}/v2/app/tags/list \
             was answered 500 Internal Server Error: the disk is full"
        )
    );
    assert_eq!(fake.asked().len(), 4);
}

#[tokio::test]
async fn nobody_listening_is_said_so() {
    // Nobody but root may listen on such a port, and root has no reason to.
    let error = open("127.0.0.1:1", "app", &access()).resolve("1").await.unwrap_err().to_string();
    assert!(error.contains("Connection refused"), "{error}");
}

#[tokio::test]
async fn a_blob_that_breaks_off_is_pulled_again() {
    let fake = Fake::start(|_, n_before| match n_before {
        0 | 1 => broken_off(b"a layer"),
        _ => answer_with(200, &[], "a layer"),
    })
    .await;
    let desk = Desk::new();
    let blob = Descriptor::of("x", b"a layer");
    let registry = open(&fake.host, "app", &access());
    registry.pull_blob(&blob, &desk.store, &desk.task).await.unwrap();
    assert_eq!(desk.read(&blob.digest), b"a layer");
    registry.pull_blob(&blob, &desk.store, &desk.task).await.unwrap();
    assert_eq!(fake.asked().len(), 3, "what is in the store is not pulled");
}

#[tokio::test]
async fn a_blob_that_always_breaks_off_is_refused() {
    let fake = Fake::start(|_, _| broken_off(b"a layer")).await;
    let desk = Desk::new();
    let blob = Descriptor::of("x", b"a layer");
    let registry = open(&fake.host, "app", &access());
    assert!(registry.pull_blob(&blob, &desk.store, &desk.task).await.is_err());
    assert!(registry.read_blob(&blob, 100).await.is_err());
    assert_eq!(fake.asked().len(), 8);
    assert!(!desk.store.contains(&blob.digest));
}

#[tokio::test]
async fn what_is_not_what_was_asked_for_is_refused_at_once() {
    let fake = Fake::start(|asked, _| match asked.path.contains("manifests") {
        true => answer_with(200, &[("content-type", media_type::INDEX)], Index::new(vec![]).to_json()),
        false => answer_with(200, &[], "a player"),
    })
    .await;
    let desk = Desk::new();
    let registry = open(&fake.host, "app", &access());
    let wrong = Descriptor::of("x", b"b player");
    let error = registry.pull_blob(&wrong, &desk.store, &desk.task).await.unwrap_err().to_string();
    assert!(error.contains(&format!("expected {}, got {}", wrong.digest, Digest::of("a player"))), "{error}");
    let shorter = Descriptor::of("x", b"a");
    assert!(registry.pull_blob(&shorter, &desk.store, &desk.task).await.is_err());
    assert!(registry.manifest(&wrong.digest.to_string()).await.is_err());
    assert!(registry.push_manifest(&wrong.digest.to_string(), "x", b"other bytes").await.is_err());
    assert_eq!(fake.asked().len(), 3);
    assert!(!desk.store.contains(&wrong.digest) && !desk.store.contains(&Digest::of("a player")));
}

#[tokio::test]
async fn a_manifest_without_end_is_refused() {
    let fake = Fake::start(|_, _| {
        let pieces = futures_util::stream::repeat_with(|| Ok::<_, std::io::Error>(vec![b' '; 1 << 16]));
        answer_with(200, &[("content-type", media_type::INDEX)], Body::from_stream(pieces))
    })
    .await;
    let error = open(&fake.host, "app", &access()).manifest("1").await.unwrap_err().to_string();
    assert!(error.contains("more than 4194304 bytes"), "{error}");
}

#[tokio::test]
async fn a_name_that_leads_elsewhere_is_not_asked_for() {
    let fake = Fake::start(|_, _| answer(200)).await;
    let registry = open(&fake.host, "app", &access());
    for name in ["../../other/manifests/1", "a/b", "", "sha256:../x", "1?x=y"] {
        assert!(registry.manifest(name).await.is_err(), "{name}");
    }
    assert!(fake.asked().is_empty());
}

#[tokio::test]
async fn a_large_blob_passes_through_in_small_pieces_however_long_it_takes() {
    const SIZE: usize = 64 << 20;
    let counted = Arc::new(Mutex::new((0, 0)));
    let counter = counted.clone();
    let host = serve(move |request: Request| {
        let counter = counter.clone();
        async move {
            let method = request.method().to_string();
            let mut pieces = request.into_body().into_data_stream();
            while let Some(Ok(piece)) = pieces.next().await {
                let n_bytes = {
                    let mut counted = counter.lock().unwrap();
                    *counted = (counted.0 + piece.len(), counted.1.max(memory()));
                    counted.0
                };
                // A registry that isn't fast, but never silent for long.
                if n_bytes >> 21 != (n_bytes - piece.len()) >> 21 {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
            match method.as_str() {
                "HEAD" => answer(404),
                "POST" => answer_with(202, &[("location", "/upload")], ""),
                "GET" => answer(200),
                _ => answer(201),
            }
        }
    })
    .await;
    let desk = Desk::new();
    let blob = desk.blob_of((0..SIZE / 1024).map(|n| [n as u8; 1024]));
    let before = memory();
    let impatient = Access { silence: Duration::from_secs(1), ..access() };
    let started = Instant::now();
    let pushed = open(&host, "app", &impatient).push_blob(&blob, &desk.store, None, &desk.task).await;
    assert_eq!(pushed.unwrap(), Pushed::Uploaded);
    assert!(started.elapsed() > impatient.silence);
    let (n_bytes, peak) = *counted.lock().unwrap();
    assert_eq!(n_bytes, SIZE);
    assert!(peak < before + (32 << 20), "memory grew from {before} to {peak}");
}

#[tokio::test]
async fn a_registry_that_falls_silent_is_asked_again_and_then_given_up() {
    let puts = Arc::new(Mutex::new(0));
    let counter = puts.clone();
    let host = serve(move |request: Request| {
        let counter = counter.clone();
        async move {
            match request.method().as_str() {
                "HEAD" => answer(404),
                "POST" => answer_with(202, &[("location", "/upload")], ""),
                "PUT" => {
                    *counter.lock().unwrap() += 1;
                    std::future::pending().await
                }
                _ if request.uri().path() == "/v2/" => answer(200),
                _ => answer_with(
                    200,
                    &[("content-length", "7")],
                    Body::from_stream(stream::pending::<io::Result<Vec<u8>>>()),
                ),
            }
        }
    })
    .await;
    let desk = Desk::new();
    let blob = desk.blob(b"a layer");
    let registry = open(&host, "app", &Access { silence: Duration::from_millis(100), ..access() });
    let error = registry.push_blob(&blob, &desk.store, None, &desk.task).await.unwrap_err().to_string();
    assert!(error.contains("silent for too long"), "{error}");
    assert_eq!(*puts.lock().unwrap(), 4);
    let error = registry.read_blob(&blob, 100).await.unwrap_err().to_string();
    assert!(error.contains("silent for too long"), "{error}");
}

/// Starts a server on 127.0.0.1 whose answers take their time.
async fn serve<F>(answerer: impl Fn(Request) -> F + Clone + Send + Sync + 'static) -> String
where
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answerer)).await.unwrap() });
    host
}

// ---- Credentials ---------------------------------------------------------------------------------------------

/// A registry with a token server beside it, as tokens are given out by scope.
fn token_server(host: &'static OnceLock<String>, asked: &Asked) -> Response<Body> {
    let host = host.get().unwrap();
    let challenge = format!(r#"Bearer realm="http://{host}/token",service="s",scope="ignored""#);
    match (asked.path.as_str(), asked.authorization.as_deref()) {
        ("/token", Some("Basic YWxpY2U6aHVudGVyMg==")) => {
            answer_with(200, &[], format!(r#"{{"token":"T{}"}}"#, asked.query.len()))
        }
        ("/token", _) => answer_with(401, &[], r#"{"errors":[{"code":"DENIED","message":"no hunter3"}]}"#),
        (_, None) => answer_with(401, &[("www-authenticate", &challenge)], ""),
        (_, Some(_)) if asked.method == "HEAD" => answer(404),
        (_, Some(_)) if asked.query.contains("mount=") => answer(201),
        (_, Some(_)) => answer(200),
    }
}

#[tokio::test]
async fn a_token_for_a_mount_covers_both_repositories() {
    static HOST: OnceLock<String> = OnceLock::new();
    let fake = Fake::start_with_ping(|asked, _| token_server(&HOST, asked)).await;
    HOST.set(fake.host.clone()).unwrap();
    let desk = Desk::new();
    let blob = desk.blob(b"a layer");
    let registry = open(&fake.host, "app", &with_password("hunter2"));
    let pushed = registry.push_blob(&blob, &desk.store, Some("base"), &desk.task).await.unwrap();
    assert_eq!(pushed, Pushed::Mounted);
    let pull = "GET /token?service=s&scope=repository%3Aapp%3Apull";
    let asked = fake.lines();
    assert_eq!(asked[0], pull);
    assert_eq!(asked[2], format!("{pull}%2Cpush&scope=repository%3Abase%3Apull"));
    assert!(asked[3].starts_with("POST "), "{asked:?}");
    registry.has_blob(&blob.digest).await.unwrap();
    assert_eq!(fake.asked().len(), 5, "a token is used again");
}

#[tokio::test]
async fn refused_credentials_are_said_so_and_not_shown() {
    static HOST: OnceLock<String> = OnceLock::new();
    let fake = Fake::start_with_ping(|asked, _| token_server(&HOST, asked)).await;
    HOST.set(fake.host.clone()).unwrap();
    let error = open(&fake.host, "app", &with_password("hunter3")).resolve("1").await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "cannot resolve {}/app:1: the registry refused the credentials (401 Unauthorized: no ***)\n\
             hint: check username and password, and that they may do this in this repository",
            fake.host
        )
    );
    assert!(!format!("{error:?}").contains("hunter3"));
    let error = open(&fake.host, "app", &access()).resolve("1").await.unwrap_err().to_string();
    assert!(error.contains("refused access without credentials (401 Unauthorized"), "{error}");
}

#[tokio::test]
async fn an_upload_whose_token_expires_starts_again_with_a_new_one() {
    static HOST: OnceLock<String> = OnceLock::new();
    let fake = Fake::start_with_ping(|asked, n_before| {
        let challenge = format!(r#"Bearer realm="http://{}/token""#, HOST.get().unwrap());
        match (asked.method.as_str(), asked.path.as_str(), n_before) {
            ("GET", "/token", _) => answer_with(200, &[], format!(r#"{{"access_token":"{n_before}"}}"#)),
            ("GET", "/v2/", _) | ("PUT", _, 0) => {
                answer_with(401, &[("www-authenticate", challenge.as_str())], "")
            }
            ("HEAD", ..) => answer(404),
            ("POST", ..) => answer_with(202, &[("location", "/upload")], ""),
            _ => answer(201),
        }
    })
    .await;
    HOST.set(fake.host.clone()).unwrap();
    let desk = Desk::new();
    let blob = desk.blob(b"a layer");
    let registry = open(&fake.host, "app", &access());
    assert_eq!(registry.push_blob(&blob, &desk.store, None, &desk.task).await.unwrap(), Pushed::Uploaded);
    let uploads: Vec<_> = fake.asked().into_iter().filter(|asked| asked.method == "PUT").collect();
    let tokens: Vec<_> = uploads.iter().map(|asked| asked.authorization.as_deref().unwrap()).collect();
    assert_eq!(tokens, ["Bearer 1", "Bearer 2"]);
    assert_eq!(uploads[1].body.as_ref(), b"a layer");
}

#[tokio::test]
async fn another_host_sees_no_credentials() {
    let elsewhere = Fake::start(|asked, _| match asked.method.as_str() {
        "GET" => answer_with(200, &[], "a layer"),
        _ => answer(201),
    })
    .await;
    let there = format!("http://{}/bucket", elsewhere.host);
    let fake =
        Fake::start_with_ping(move |asked, _| match (asked.authorization.is_some(), asked.method.as_str()) {
            (false, _) => answer_with(401, &[("www-authenticate", "Basic realm=x")], ""),
            (true, "HEAD") => answer(404),
            (true, "GET") => answer_with(307, &[("location", &there)], ""),
            (true, _) => answer_with(202, &[("location", &there)], ""),
        })
        .await;
    let desk = Desk::new();
    let registry = open(&fake.host, "app", &with_password("hunter2"));
    let blob = Descriptor::of("x", b"a layer");
    registry.pull_blob(&blob, &desk.store, &desk.task).await.unwrap();
    registry.push_blob(&blob, &desk.store, None, &desk.task).await.unwrap();
    let seen = elsewhere.asked();
    assert_eq!(seen.iter().map(|asked| asked.method.as_str()).collect::<Vec<_>>(), ["GET", "PUT"]);
    assert!(seen.iter().all(|asked| asked.authorization.is_none()), "{seen:?}");
}

// ---- Layouts -------------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_layout_is_a_registry_on_disk() {
    let (here, there) = (Desk::new(), Desk::new());
    let location: Location = format!("oci:{}:1.0", here.path("image")).parse().unwrap();
    let registry = Registry::open(&location, &access()).unwrap();
    let image = push_image(&registry, &here, "1.0").await;
    let attached = registry.attach(&image, &artifact(BOM, "bom")).await.unwrap();
    registry.attach(&image, &artifact(BOM, "bom")).await.unwrap();
    registry.attach(&Descriptor::of("x", b"another"), &artifact(BOM, "other bom")).await.unwrap();

    let registry = Registry::open(&location, &access()).unwrap();
    assert_eq!(registry.resolve("1.0").await.unwrap().unwrap(), image);
    assert_eq!(registry.resolve("2.0").await.unwrap(), None);
    let (_, bytes) = registry.manifest(&image.digest.to_string()).await.unwrap().unwrap();
    let layer = &Manifest::parse(&bytes).unwrap().layers[0];
    registry.pull_blob(layer, &there.store, &there.task).await.unwrap();
    assert_eq!(there.read(&layer.digest), here.read(&layer.digest));
    assert_eq!(registry.push_blob(layer, &here.store, None, &here.task).await.unwrap(), Pushed::Existed);
    assert_eq!(registry.referrers(&image.digest, Some(BOM)).await.unwrap(), std::slice::from_ref(&attached));
    assert_eq!(registry.artifact(&attached, 10).await.unwrap(), b"bom");
    assert_eq!(registry.tags().await.unwrap(), ["1.0"]);
}

#[tokio::test]
async fn other_tools_read_a_layout() {
    let desk = Desk::new();
    let location: Location = format!("oci:{}", desk.path("image")).parse().unwrap();
    let registry = Registry::open(&location, &access()).unwrap();
    let image = push_image(&registry, &desk, "latest").await;
    registry.attach(&image, &artifact(BOM, "bom")).await.unwrap();

    let inspected = output("skopeo", &["inspect", &format!("oci:{}:latest", desk.path("image"))]);
    assert!(inspected.contains(&image.digest.to_string()), "{inspected}");
    output("skopeo", &["inspect", &format!("oci:{}", desk.path("image"))]);
    let image = format!("{}:latest", desk.path("image"));
    output("umoci", &["unpack", "--image", &image, &desk.path("bundle")]);
    assert_eq!(std::fs::read(desk.path("bundle/rootfs/hello")).unwrap(), b"hello");
}

#[tokio::test]
async fn a_directory_of_something_else_is_no_layout() {
    let desk = Desk::new();
    std::fs::create_dir(desk.path("home")).unwrap();
    std::fs::write(desk.path("home/thesis.txt"), "").unwrap();
    let location: Location = format!("oci:{}", desk.path("home")).parse().unwrap();
    let Err(error) = Registry::open(&location, &access()) else { panic!("it was taken") };
    let error = error.to_string();
    assert!(
        error.starts_with(&format!("cannot use oci:{}: it is no OCI layout", desk.path("home"))),
        "{error}"
    );
}

// ---- Helpers -------------------------------------------------------------------------------------------------

/// A store and what goes with it.
struct Desk {
    directory: tempfile::TempDir,
    store: Store,
    task: Task,
}

impl Desk {
    fn new() -> Desk {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path().join("state")).unwrap();
        Desk { directory, store, task: Progress::silent().start("test") }
    }

    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).to_str().unwrap().to_owned()
    }

    fn blob(&self, bytes: &[u8]) -> Descriptor {
        self.store.put_blob(bytes).unwrap();
        Descriptor::of(media_type::LAYER_TAR, bytes)
    }

    fn blob_of<const N: usize>(&self, pieces: impl Iterator<Item = [u8; N]>) -> Descriptor {
        let mut writer = self.store.blob_writer().unwrap();
        pieces.for_each(|piece| writer.write_all(&piece).unwrap());
        let (digest, size) = writer.commit().unwrap();
        Descriptor::new(media_type::LAYER_TAR, digest, size)
    }

    fn read(&self, digest: &Digest) -> Vec<u8> {
        self.store.read_blob(digest, 1 << 20).unwrap()
    }
}

fn retry() -> Retry {
    let (first_pause, longest_pause) = (Duration::from_millis(20), Duration::from_millis(80));
    Retry { n_tries: 4, first_pause, longest_pause }
}

fn access() -> Access {
    Access { retry: retry(), ..Access::default() }
}

fn with_password(password: &str) -> Access {
    let credentials = Credentials { username: "alice".into(), password: Secret::new(password) };
    Access { credentials: Some(credentials), ..access() }
}

fn open(host: &str, repository: &str, access: &Access) -> Registry {
    Registry::open(&format!("{host}/{repository}").parse().unwrap(), access).unwrap()
}

fn artifact(kind: &str, text: &str) -> Artifact {
    let title = ("org.opencontainers.image.title".to_owned(), "bom.json".to_owned());
    Artifact { annotations: Annotations::from([title]), ..Artifact::new(kind, text.into()) }
}

/// Pushes an image of one file.
async fn push_image(registry: &Registry, desk: &Desk, tag: &str) -> Descriptor {
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_size(5);
    header.set_mode(0o644);
    archive.append_data(&mut header, "hello", &b"hello"[..]).unwrap();
    let bytes = archive.into_inner().unwrap();
    let layer = Layer { descriptor: desk.blob(&bytes), diff_id: Digest::of(&bytes) };
    let image = Image::scratch(Platform::host()).append(layer.clone(), History::default());
    registry.push_blob(&layer.descriptor, &desk.store, None, &desk.task).await.unwrap();
    registry.push_bytes(media_type::CONFIG, &image.config_blob().1).await.unwrap();
    let manifest = image.manifest(Annotations::new()).to_json();
    registry.push_manifest(tag, media_type::MANIFEST, &manifest).await.unwrap()
}

fn output(program: &str, arguments: &[&str]) -> String {
    let ran = Command::new(program).args(arguments).output().expect("the program is installed");
    let stderr = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{program} {arguments:?}: {stderr}");
    String::from_utf8(ran.stdout).unwrap()
}

/// Returns how much memory of its own this process has, in bytes.
fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}
