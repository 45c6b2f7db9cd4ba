//! A server that answers as it is told, and remembers all that it was asked, secrets too.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::extract::Request;
use axum::response::Response;
use futures_util::FutureExt;

use super::http::{Handler, Server};

/// What was asked.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The method.
    pub method: String,
    /// The path.
    pub path: String,
    /// The query, empty if there is none.
    pub query: String,
    /// All header fields, lower-case names.
    pub headers: BTreeMap<String, String>,
    /// The body.
    pub body: Bytes,
}

impl Asked {
    /// Returns method and path.
    pub fn line(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    /// Returns a header field, or nothing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// Returns a value of the form in the body, or else of the query.
    pub fn field(&self, name: &str) -> String {
        let pairs = url::form_urlencoded::parse(&self.body);
        let mut pairs = pairs.chain(url::form_urlencoded::parse(self.query.as_bytes()));
        pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned()).unwrap_or_default()
    }

    /// Returns all that was sent, as one text.
    pub fn text(&self) -> String {
        format!(
            "{} {}?{}\n{:?}\n{}",
            self.method,
            self.path,
            self.query,
            self.headers,
            String::from_utf8_lossy(&self.body)
        )
    }
}

/// A server; it ends with its value.
pub struct Far {
    server: Server,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Far {
    /// Starts a server; `answer` is told its host.
    pub fn start(answer: impl Fn(&str, &Asked) -> Response + Send + Sync + 'static) -> Far {
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let (kept, answer) = (asked.clone(), Arc::new(answer));
        let server = Server::start(|address| {
            let handler: Handler = Arc::new(move |request: Request| {
                let (kept, answer) = (kept.clone(), answer.clone());
                async move {
                    let asked = read(request).await;
                    kept.lock().unwrap().push(asked.clone());
                    answer(&address.to_string(), &asked)
                }
                .boxed()
            });
            handler
        });
        Far { server, asked }
    }

    /// Returns host and port.
    pub fn host(&self) -> String {
        self.server.address().to_string()
    }

    /// Returns `http://HOST`.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// Returns all that was asked, in order.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// Returns one line for each that was asked.
    pub fn lines(&self) -> Vec<String> {
        self.asked().iter().map(Asked::line).collect()
    }
}

async fn read(request: Request) -> Asked {
    let (parts, body) = request.into_parts();
    let text = |value: &axum::http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    Asked {
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: parts.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect(),
        body: axum::body::to_bytes(body, 64 << 20).await.unwrap_or_default(),
    }
}

/// Returns what was sent before the body, word for word, on one line.
pub fn words(request: &Request) -> String {
    let headers = request.headers().iter();
    let headers: Vec<String> = headers
        .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())))
        .collect();
    format!("{} {} {}", request.method(), request.uri(), headers.join("; "))
}

/// Repeats `words` wherever an answer has room for them: in headers, and where it is an error in the body.
pub fn echo(mut response: Response, words: &str) -> Response {
    let value = |text: String| axum::http::HeaderValue::from_str(&text).unwrap();
    let is_error = response.status().as_u16() >= 400;
    let headers = response.headers_mut();
    headers.append("set-cookie", value(format!("echo={words}")));
    headers.append("warning", value(format!("299 - {words:?}")));
    headers.append("www-authenticate", value(format!("Echo realm={words:?}")));
    if is_error {
        let encoded: String = url::form_urlencoded::byte_serialize(words.as_bytes()).collect();
        headers.insert("location", value(format!("/{encoded}")));
        headers.remove("content-length");
        let errors = serde_json::json!({"errors": [{"code": "ECHO", "message": words, "detail": words}],
            "error": words, "error_description": words, "message": words});
        *response.body_mut() = axum::body::Body::from(errors.to_string());
    }
    response
}
