//! A registry that says what a test tells it to, and remembers what it was asked.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{Response, StatusCode};
use futures_util::StreamExt;

/// What was asked.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) authorization: Option<String>,
    pub(crate) content_length: Option<u64>,
    pub(crate) body: Bytes,
}

impl Asked {
    /// Returns method, path and query on one line.
    pub(crate) fn line(&self) -> String {
        let separator = if self.query.is_empty() { "" } else { "?" };
        format!("{} {}{separator}{}", self.method, self.path, self.query)
    }

    /// Returns a value of the form in the body.
    pub(crate) fn form(&self, name: &str) -> Option<String> {
        let mut pairs = url::form_urlencoded::parse(&self.body);
        pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    }
}

type Answerer = dyn Fn(&Asked, usize) -> Response<Body> + Send + Sync;

/// A registry on 127.0.0.1; it ends with the test's runtime.
pub(crate) struct Fake {
    pub(crate) host: String,
    state: Arc<Shared>,
}

struct Shared {
    answerer: Box<Answerer>,
    asked: Mutex<Vec<Asked>>,
}

impl Fake {
    /// Starts it. `answerer` gets each request, and how often the same method and path was asked before;
    /// the ping is answered without it.
    pub(crate) async fn start(
        answerer: impl Fn(&Asked, usize) -> Response<Body> + Send + Sync + 'static,
    ) -> Fake {
        Fake::start_with_ping(move |asked, n_before| match asked.path.as_str() {
            "/v2/" => answer(200),
            _ => answerer(asked, n_before),
        })
        .await
    }

    /// Starts it; `answerer` answers the ping as well.
    pub(crate) async fn start_with_ping(
        answerer: impl Fn(&Asked, usize) -> Response<Body> + Send + Sync + 'static,
    ) -> Fake {
        let state = Arc::new(Shared { answerer: Box::new(answerer), asked: Mutex::default() });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let router = Router::new().fallback(handle).with_state(state.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Fake { host, state }
    }

    /// Returns what was asked, without the ping, in order.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        let asked = self.state.asked.lock().unwrap();
        asked.iter().filter(|asked| asked.path != "/v2/").cloned().collect()
    }

    /// Returns what was asked, one line each.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.asked().iter().map(Asked::line).collect()
    }
}

async fn handle(State(state): State<Arc<Shared>>, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let header = |name: &str| Some(parts.headers.get(name)?.to_str().unwrap().to_owned());
    let asked = Asked {
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        authorization: header("authorization"),
        content_length: header("content-length").map(|text| text.parse().unwrap()),
        body: axum::body::to_bytes(body, 1 << 20).await.unwrap_or_default(),
    };
    let n_before = {
        let mut all = state.asked.lock().unwrap();
        let is_same = |other: &&Asked| (&other.method, &other.path) == (&asked.method, &asked.path);
        let n_before = all.iter().filter(is_same).count();
        all.push(asked.clone());
        n_before
    };
    (state.answerer)(&asked, n_before)
}

/// Returns an answer without a body.
pub(crate) fn answer(status: u16) -> Response<Body> {
    answer_with(status, &[], "")
}

/// Returns an answer with headers and a body.
pub(crate) fn answer_with(status: u16, headers: &[(&str, &str)], body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::builder().status(StatusCode::from_u16(status).unwrap());
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    response.body(body.into()).unwrap()
}

/// Returns an answer that breaks off in the middle.
pub(crate) fn broken_off(bytes: &[u8]) -> Response<Body> {
    let half = Bytes::copy_from_slice(&bytes[..bytes.len() / 2]);
    // The pause lets the half go out before the connection is cut.
    let pieces =
        futures_util::stream::iter([Ok(half), Err(std::io::Error::other("cut"))]).then(async |piece| {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            piece
        });
    let length = bytes.len().to_string();
    answer_with(200, &[("content-length", &length)], Body::from_stream(pieces))
}
