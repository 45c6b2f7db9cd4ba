//! What passes, and what doesn't.

use super::*;

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
