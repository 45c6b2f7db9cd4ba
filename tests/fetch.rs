//! The fetcher against archives that lie, break off, lose files, or have not changed.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{Response, StatusCode};
use estaleiro::digest::Digest;
use estaleiro::fetch::{Error, Fetcher, Wanted};
use estaleiro::progress::Progress;
use estaleiro::store::Store;
use estaleiro::transport::{Client, Options, Retry};

/// A mirror: paths and what lies there.
#[derive(Clone, Default)]
struct Mirror {
    files: Arc<Mutex<BTreeMap<String, File>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

#[derive(Clone, Default)]
struct File {
    body: Vec<u8>,
    etag: Option<&'static str>,
    /// How often the body breaks off half-way before it comes whole.
    n_breaks: usize,
    /// Sent in chunks, without saying how long it will be.
    is_chunked: bool,
}

struct Case {
    _directory: tempfile::TempDir,
    directory: std::path::PathBuf,
    store: Store,
    mirror: Mirror,
    url: String,
    fetcher: Fetcher,
}

impl Case {
    async fn new() -> Case {
        let mirror = Mirror::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(serve).with_state(mirror.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().canonicalize().unwrap();
        let store = Store::open(path.join("state")).unwrap();
        let pause = Duration::from_millis(1);
        let retry = Retry { n_tries: 3, first_pause: pause, longest_pause: pause };
        let client = Client::new(&Options { retry, ..Options::default() }).unwrap();
        let fetcher = Fetcher::new(client, store.clone(), Progress::silent());
        Case { _directory: directory, directory: path, store, mirror, url, fetcher }
    }

    fn put(&self, path: &str, file: File) {
        self.mirror.files.lock().unwrap().insert(path.to_owned(), file);
    }

    fn asked(&self) -> Vec<String> {
        self.mirror.asked.lock().unwrap().clone()
    }

    fn wanted(&self, path: &str, body: &[u8]) -> Wanted {
        Wanted {
            name: "jq 1.6-2.1 amd64".to_owned(),
            uris: vec![format!("{}{path}", self.url)],
            digest: Digest::of(body),
            size: Some(body.len() as u64),
        }
    }

    /// Nothing half-written is left, and nothing was kept.
    fn assert_nothing_was_kept(&self) {
        for part in ["blobs/sha256", "scratch"] {
            let left = std::fs::read_dir(self.directory.join("state").join(part)).unwrap().count();
            assert_eq!(left, 0, "{part}");
        }
    }
}

async fn serve(State(mirror): State<Mirror>, request: Request) -> Response<Body> {
    let path = request.uri().path().to_owned();
    let condition = request.headers().get("if-none-match").map(|value| value.to_str().unwrap().to_owned());
    mirror.asked.lock().unwrap().push(format!("{path}{}", condition.as_deref().unwrap_or("")));
    let mut files = mirror.files.lock().unwrap();
    let Some(file) = files.get_mut(&path) else { return status(StatusCode::NOT_FOUND) };
    if condition.is_some() && condition.as_deref() == file.etag {
        return status(StatusCode::NOT_MODIFIED);
    }
    let mut response = Response::builder();
    if let Some(etag) = file.etag {
        response = response.header("etag", etag);
    }
    if !file.is_chunked {
        response = response.header("content-length", file.body.len());
    }
    let breaks = file.n_breaks > 0;
    file.n_breaks = file.n_breaks.saturating_sub(1);
    response.body(body(&file.body, breaks)).unwrap()
}

fn status(status: StatusCode) -> Response<Body> {
    Response::builder().status(status).body(Body::empty()).unwrap()
}

fn body(bytes: &[u8], breaks: bool) -> Body {
    let end = if breaks { bytes.len() / 2 } else { bytes.len() };
    let mut pieces: Vec<std::io::Result<Bytes>> =
        bytes[..end].chunks(1000).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    if breaks {
        pieces.push(Err(std::io::Error::other("the connection is gone")));
    }
    Body::from_stream(futures_util::stream::iter(pieces))
}

fn file(body: &[u8]) -> File {
    File { body: body.to_vec(), ..File::default() }
}

fn large() -> Vec<u8> {
    (0..300_000_u32).flat_map(u32::to_le_bytes).collect()
}

#[tokio::test]
async fn a_blob_is_fetched_once() {
    let case = Case::new().await;
    let body = large();
    case.put("/a", file(&body));
    let wanted = case.wanted("/a", &body);
    case.fetcher.blob(&wanted).await.unwrap();
    case.fetcher.blob(&wanted).await.unwrap();
    assert_eq!(case.store.read_blob(&wanted.digest, 2_000_000).unwrap(), body);
    assert_eq!(case.asked(), ["/a"]);
}

#[tokio::test]
async fn another_content_is_refused_by_name() {
    let case = Case::new().await;
    case.put("/a", file(b"hallo"));
    let error = case.fetcher.blob(&case.wanted("/a", b"hello")).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "cannot fetch jq 1.6-2.1 amd64: expected {}, got {}\n\
             hint: the archive may be mid-update; run the build again",
            Digest::of("hello"),
            Digest::of("hallo")
        )
    );
    assert_eq!(case.asked().len(), 1);
    case.assert_nothing_was_kept();
}

#[tokio::test]
async fn another_length_is_refused_before_it_is_fetched() {
    let case = Case::new().await;
    case.put("/a", file(&large()));
    let error = case.fetcher.blob(&case.wanted("/a", b"hello")).await.unwrap_err();
    assert!(error.to_string().contains("expected 5 bytes, got 1200000 bytes"), "{error}");
    case.assert_nothing_was_kept();
}

#[tokio::test]
async fn an_endless_body_is_cut_off_at_the_announced_size() {
    let case = Case::new().await;
    case.put("/a", File { is_chunked: true, ..file(&large()) });
    let error = case.fetcher.blob(&case.wanted("/a", b"hello")).await.unwrap_err();
    assert!(error.to_string().contains("expected 5 bytes, got more"), "{error}");
    case.assert_nothing_was_kept();
}

#[tokio::test]
async fn a_short_body_is_refused() {
    let case = Case::new().await;
    case.put("/a", File { is_chunked: true, ..file(b"hel") });
    let error = case.fetcher.blob(&case.wanted("/a", b"hello")).await.unwrap_err();
    assert!(error.to_string().contains("expected 5 bytes, got 3"), "{error}");
    case.assert_nothing_was_kept();
}

#[tokio::test]
async fn a_body_that_breaks_off_is_fetched_again() {
    let case = Case::new().await;
    case.put("/a", File { n_breaks: 2, ..file(&large()) });
    let wanted = case.wanted("/a", &large());
    case.fetcher.blob(&wanted).await.unwrap();
    assert_eq!(case.asked().len(), 3);
    assert!(case.store.contains(&wanted.digest));
}

#[tokio::test]
async fn a_body_that_always_breaks_off_is_given_up() {
    let case = Case::new().await;
    case.put("/a", File { n_breaks: 99, ..file(&large()) });
    let error = case.fetcher.blob(&case.wanted("/a", &large())).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
    assert_eq!(case.asked().len(), 3);
    case.assert_nothing_was_kept();
}

#[tokio::test]
async fn the_next_place_is_tried() {
    let case = Case::new().await;
    case.put("/stale", file(b"hallo"));
    case.put("/good", file(b"hello"));
    let mut wanted = case.wanted("/lost", b"hello");
    wanted.uris.push(format!("{}/stale", case.url));
    wanted.uris.push(format!("{}/good", case.url));
    case.fetcher.blob(&wanted).await.unwrap();
    assert_eq!(case.asked(), ["/lost", "/stale", "/good"]);
}

#[tokio::test]
async fn a_host_that_does_not_answer_is_waited_for_once() {
    let case = Case::new().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dead = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(0));
    let counter = asked.clone();
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            *counter.lock().unwrap() += 1;
            drop(connection);
        }
    });
    let bodies = [b"one", b"two"];
    let mut counts = Vec::new();
    for (name, body) in ["/1", "/2"].iter().zip(bodies) {
        case.put(name, file(body));
        let mut wanted = case.wanted(name, body);
        wanted.uris.insert(0, format!("{dead}{name}"));
        case.fetcher.blob(&wanted).await.unwrap();
        counts.push(*asked.lock().unwrap());
    }
    assert!(counts[0] > 0 && counts[1] == counts[0], "{counts:?}");
    // Where nobody else has a thing, it is asked all the same.
    let mut lost = case.wanted("/lost", b"lost");
    lost.uris.insert(0, format!("{dead}/lost"));
    assert!(case.fetcher.blob(&lost).await.is_err());
    assert!(*asked.lock().unwrap() > counts[1]);
}

#[tokio::test]
async fn a_lost_file_is_named_with_its_digest_and_what_to_do() {
    let case = Case::new().await;
    let mut wanted = case.wanted("/pool/jq.deb", b"hello");
    wanted.uris[0] = wanted.uris[0].replace("http://", "http://user:hunter2@");
    let error = case.fetcher.blob(&wanted).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "cannot fetch jq 1.6-2.1 amd64: {} is not to be had: {}/pool/jq.deb does not exist\n\
             hint: archives drop old files: lock again, or name a mirror that keeps them",
            wanted.digest, case.url
        )
    );
}

#[tokio::test]
async fn many_are_fetched_in_parallel_and_equal_ones_once() {
    let case = Case::new().await;
    let bodies: Vec<Vec<u8>> = (0..20_u8).map(|n| vec![n; 3000]).collect();
    let mut wanted = Vec::new();
    for (n, body) in bodies.iter().enumerate() {
        case.put(&format!("/{n}"), file(body));
        wanted.push(case.wanted(&format!("/{n}"), body));
        wanted.push(case.wanted(&format!("/{n}"), body));
    }
    let (fetcher, list) = (case.fetcher.clone(), wanted.clone());
    tokio::spawn(async move { fetcher.all(&list, 4).await }).await.unwrap().unwrap();
    case.fetcher.all(&wanted, 4).await.unwrap();
    assert_eq!(case.asked().len(), 20);
    assert!(wanted.iter().all(|wanted| case.store.contains(&wanted.digest)));
}

#[tokio::test]
async fn one_that_fails_fails_all_and_is_named() {
    let case = Case::new().await;
    case.put("/a", file(b"a"));
    let wanted = [case.wanted("/a", b"a"), case.wanted("/b", b"b")];
    let error = case.fetcher.all(&wanted, 2).await.unwrap_err();
    assert!(error.to_string().contains("/b does not exist"), "{error}");
}

#[tokio::test]
async fn a_document_that_has_not_changed_is_not_sent_again() {
    let case = Case::new().await;
    let url = format!("{}/InRelease", case.url);
    case.put("/InRelease", File { etag: Some("\"1\""), ..file(b"first") });
    assert_eq!(case.fetcher.text(&url, 100).await.unwrap(), b"first");
    assert_eq!(case.fetcher.text(&url, 100).await.unwrap(), b"first");
    case.put("/InRelease", File { etag: Some("\"2\""), ..file(b"second") });
    assert_eq!(case.fetcher.text(&url, 100).await.unwrap(), b"second");
    assert_eq!(case.asked(), ["/InRelease", "/InRelease\"1\"", "/InRelease\"1\""]);
}

#[tokio::test]
async fn a_document_longer_than_the_limit_is_refused() {
    let case = Case::new().await;
    case.put("/long", file(b"123456"));
    case.put("/endless", File { is_chunked: true, ..file(&large()) });
    for path in ["/long", "/endless"] {
        let error = case.fetcher.text(&format!("{}{path}", case.url), 5).await.unwrap_err();
        assert_eq!(error.to_string(), format!("cannot fetch {}{path}: it is longer than 5 bytes", case.url));
    }
    case.assert_nothing_was_kept();
}

#[tokio::test]
async fn a_document_that_breaks_off_is_asked_for_again_and_one_that_is_missing_is_not() {
    let case = Case::new().await;
    case.put("/InRelease", File { n_breaks: 1, ..file(b"text") });
    assert_eq!(case.fetcher.text(&format!("{}/InRelease", case.url), 100).await.unwrap(), b"text");
    let error = case.fetcher.text(&format!("{}/lost", case.url), 100).await.unwrap_err();
    assert!(error.is_not_found());
    assert_eq!(case.asked(), ["/InRelease", "/InRelease", "/lost"]);
}

#[tokio::test]
async fn local_archives_need_no_server() {
    let case = Case::new().await;
    std::fs::write(case.directory.join("jq+1.deb"), b"hello").unwrap();
    let uri = |name: &str| format!("file:{}/{name}", case.directory.display());
    assert_eq!(case.fetcher.text(&uri("jq%2b1.deb"), 5).await.unwrap(), b"hello");
    assert!(case.fetcher.text(&uri("jq+1.deb"), 4).await.is_err());
    assert!(case.fetcher.text(&uri("lost"), 4).await.unwrap_err().is_not_found());

    let mut wanted = case.wanted("", b"hello");
    wanted.uris = vec![uri("lost"), uri("jq+1.deb").replace("file:", "copy://")];
    case.fetcher.blob(&wanted).await.unwrap();
    assert!(case.store.contains(&wanted.digest));
}

#[tokio::test]
async fn a_local_archive_is_believed_no_more_than_a_far_one() {
    let case = Case::new().await;
    let fetch = async |path: &Path| {
        let mut wanted = case.wanted("", b"hello");
        wanted.uris = vec![format!("file:{}", path.display())];
        case.fetcher.blob(&wanted).await.unwrap_err().to_string()
    };
    let path = case.directory.join("a.deb");
    std::fs::write(&path, b"hallo").unwrap();
    assert!(fetch(&path).await.contains("expected sha256:"));
    std::fs::write(&path, b"hello, world").unwrap();
    assert!(fetch(&path).await.contains("expected 5 bytes, got more"));
    assert!(fetch(Path::new("/dev/zero")).await.contains("it is not a file"));
    assert!(fetch(&case.directory).await.contains("it is not a file"));
    case.assert_nothing_was_kept();
}
