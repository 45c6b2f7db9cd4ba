//! The HTTP client against servers that stall, break off, redirect, and want credentials.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops")]

#[path = "support/certificate.rs"]
mod certificate;

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Response, StatusCode};
use estaleiro::transport::{Client, Error, Options, Retry};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// A server that gives its answers in order, the last one for ever, and remembers what it was asked.
#[derive(Clone, Default)]
struct Server {
    answers: Arc<Mutex<VecDeque<Answer>>>,
    asked: Arc<Mutex<Vec<(String, HeaderMap)>>>,
}

#[derive(Clone, Default)]
struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    stalls: bool,
}

fn answer(status: u16) -> Answer {
    Answer { status, ..Answer::default() }
}

fn redirect(to: impl Into<String>) -> Answer {
    Answer { status: 302, headers: vec![("location", to.into())], stalls: false }
}

impl Server {
    async fn start(answers: impl IntoIterator<Item = Answer>) -> (Server, String) {
        let server =
            Server { answers: Arc::new(Mutex::new(answers.into_iter().collect())), ..Server::default() };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(serve).with_state(server.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (server, format!("http://{address}"))
    }

    fn n_asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }

    fn header(&self, request: usize, name: &str) -> Option<String> {
        let asked = self.asked.lock().unwrap();
        asked[request].1.get(name).map(|value| value.to_str().unwrap().to_owned())
    }
}

async fn serve(State(server): State<Server>, request: Request) -> Response<String> {
    let path = request.uri().path().to_owned();
    server.asked.lock().unwrap().push((path, request.headers().clone()));
    let answer = {
        let mut answers = server.answers.lock().unwrap();
        match answers.len() {
            1 => answers[0].clone(),
            _ => answers.pop_front().unwrap(),
        }
    };
    if answer.stalls {
        tokio::time::sleep(Duration::from_secs(60)).await;
    }
    let mut response = Response::new("body".to_owned());
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap();
    for (name, value) in answer.headers {
        response.headers_mut().insert(name, value.parse().unwrap());
    }
    response
}

fn options() -> Options {
    Options {
        retry: Retry {
            n_tries: 3,
            first_pause: Duration::from_millis(1),
            longest_pause: Duration::from_millis(100),
        },
        ..Options::default()
    }
}

fn client() -> Client {
    Client::new(&options()).unwrap()
}

#[tokio::test]
async fn a_busy_server_is_asked_again() {
    for status in [408, 429, 500, 502, 503, 504] {
        let (server, url) = Server::start([answer(status), answer(status), answer(200)]).await;
        let mut response = client().get(&url, &[]).await.unwrap();
        assert_eq!(response.chunk().await.unwrap().unwrap(), "body", "{status}");
        assert_eq!(server.n_asked(), 3, "{status}");
    }
}

#[tokio::test]
async fn a_server_that_stays_busy_is_given_up() {
    let (server, url) = Server::start([answer(503)]).await;
    let error = client().get(&format!("{url}/x?token=hunter2"), &[]).await.unwrap_err();
    assert_eq!(error.to_string(), format!("cannot get {url}/x: 503 Service Unavailable"));
    assert_eq!((error.status(), server.n_asked()), (Some(503), 3));
}

#[tokio::test]
async fn a_refusal_is_final() {
    for status in [400, 401, 403, 404, 410, 501] {
        let (server, url) = Server::start([answer(status)]).await;
        assert_eq!(client().get(&url, &[]).await.unwrap_err().status(), Some(status));
        assert_eq!(server.n_asked(), 1, "{status}");
    }
}

#[tokio::test]
async fn retry_after_is_heeded_up_to_the_longest_pause() {
    let later = Answer { status: 429, headers: vec![("retry-after", "3600".to_owned())], stalls: false };
    let (_server, url) = Server::start([later, answer(200)]).await;
    let start = Instant::now();
    client().get(&url, &[]).await.unwrap();
    assert!(start.elapsed() >= Duration::from_millis(100), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_server_that_stays_silent_is_given_up() {
    let (server, url) = Server::start([Answer { status: 200, stalls: true, ..Answer::default() }]).await;
    let options = Options { read_timeout: Duration::from_millis(50), ..options() };
    let error = Client::new(&options).unwrap().get(&url, &[]).await.unwrap_err();
    assert_eq!(error.to_string(), format!("cannot get {url}: no answer came in time"));
    assert_eq!(server.n_asked(), 3);
}

#[tokio::test]
async fn a_connection_that_nobody_takes_is_an_error_that_says_so() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = client().get(&url, &[]).await.unwrap_err();
    assert!(matches!(error, Error::Network { may_pass: true, .. }), "{error:?}");
    assert!(error.to_string().contains("refused"), "{error}");
}

#[tokio::test]
async fn credentials_in_a_url_become_a_header_and_are_never_shown() {
    let (server, url) = Server::start([answer(403)]).await;
    let with_credentials = url.replace("http://", "http://us%40er:hunter2@");
    let error = client().get(&with_credentials, &[]).await.unwrap_err();
    assert_eq!(server.header(0, "authorization").unwrap(), "Basic dXNAZXI6aHVudGVyMg==");
    assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    assert!(error.to_string().ends_with("403 Forbidden\nhint: check the credentials for this host"));
}

#[tokio::test]
async fn credentials_do_not_follow_to_another_host() {
    let (other, other_url) = Server::start([answer(200)]).await;
    let (first, url) = Server::start([redirect("/here"), redirect(format!("{other_url}/there"))]).await;
    let url = url.replace("http://", "http://user:hunter2@");
    client().get(&url, &[]).await.unwrap();
    assert!(first.header(1, "authorization").is_some());
    assert_eq!((other.header(0, "authorization"), other.header(0, "referer")), (None, None));
}

#[tokio::test]
async fn redirects_in_a_circle_end() {
    let (server, url) = Server::start([redirect("/again")]).await;
    let error = client().get(&url, &[]).await.unwrap_err();
    assert_eq!(error.to_string(), format!("cannot get {url}: it redirects more than 10 times"));
    assert_eq!(server.n_asked(), 11);
}

#[tokio::test]
async fn a_redirect_to_another_protocol_is_not_followed() {
    let (_server, url) = Server::start([redirect("ftp://archive.example/x")]).await;
    let error = client().get(&url, &[]).await.unwrap_err();
    assert_eq!(error.to_string(), format!("cannot get {url}: it redirects to ftp://archive.example/x"));
}

#[tokio::test]
async fn the_user_agent_says_who_we_are() {
    let (server, url) = Server::start([answer(200)]).await;
    client().get(&url, &[("x-more", "1")]).await.unwrap();
    assert_eq!(server.header(0, "user-agent").unwrap(), concat!("estaleiro/", env!("CARGO_PKG_VERSION")));
    assert_eq!(server.header(0, "x-more").unwrap(), "1");
}

/// Certificates made for this run: the authority's, the server's, and the server's key.
struct Certificates {
    authority: String,
    server: String,
    key: String,
}

fn certificates() -> &'static Certificates {
    static CERTIFICATES: LazyLock<Certificates> = LazyLock::new(|| {
        let directory = tempfile::tempdir().unwrap();
        certificate::make(directory.path());
        let read = |name: &str| std::fs::read_to_string(directory.path().join(name)).unwrap();
        Certificates { authority: read("ca.pem"), server: read("cert.pem"), key: read("cert-key.pem") }
    });
    &CERTIFICATES
}

/// Answers each connection over TLS with `answer`, and hangs up.
fn start_tls(answer: String) -> SocketAddr {
    let certificate = CertificateDer::from_pem_slice(certificates().server.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(certificates().key.as_bytes()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            answer_over_tls(stream, config.clone(), &answer);
        }
    });
    address
}

fn answer_over_tls(stream: TcpStream, config: Arc<rustls::ServerConfig>, answer: &str) {
    let connection = rustls::ServerConnection::new(config).unwrap();
    let mut stream = rustls::StreamOwned::new(connection, stream);
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => request.push(byte[0]),
            Ok(_) | Err(_) => return,
        }
    }
    let _ = stream.write_all(answer.as_bytes());
    stream.conn.send_close_notify();
    let _ = stream.flush();
}

fn trusting() -> Client {
    Client::new(&Options { ca_certs: vec![certificates().authority.clone()], ..options() }).unwrap()
}

#[tokio::test]
async fn a_given_authority_is_trusted_beside_the_machines_own() {
    let address = start_tls("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi".to_owned());
    let mut response = trusting().get(&format!("https://{address}"), &[]).await.unwrap();
    assert_eq!(response.chunk().await.unwrap().unwrap(), "hi");
    assert_eq!(trusting().ca_certs(), [certificates().authority.as_str()]);
}

#[tokio::test]
async fn an_unknown_authority_is_refused_at_once() {
    let address = start_tls("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi".to_owned());
    let options = Options {
        retry: Retry {
            first_pause: Duration::from_secs(60),
            longest_pause: Duration::from_secs(60),
            n_tries: 9,
        },
        ..options()
    };
    let error = Client::new(&options).unwrap().get(&format!("https://{address}"), &[]).await.unwrap_err();
    assert!(error.to_string().contains("certificate") && error.to_string().contains("ca_certs"), "{error}");
}

#[tokio::test]
async fn a_redirect_from_https_to_http_is_refused() {
    let (plain, plain_url) = Server::start([answer(200)]).await;
    let there = format!("HTTP/1.1 302 Found\r\nlocation: {plain_url}/there?x=1\r\ncontent-length: 0\r\n\r\n");
    let url = format!("https://{}", start_tls(there));
    let error = trusting().get(&url, &[]).await.unwrap_err();
    assert!(matches!(error, Error::Redirect { .. }), "{error:?}");
    assert_eq!(error.to_string(), format!("cannot get {url}: it redirects from https to {plain_url}/there"));
    assert_eq!(plain.n_asked(), 0);
}
