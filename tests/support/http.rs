//! An HTTP server on 127.0.0.1 that keeps a log, counts bytes, and fails when asked to.
//!
//! It knows neither archives nor registries; they give it a handler.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Poll};

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use axum::serve::{IncomingStream, Listener};
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use super::fault::{Fault, Faults};

/// What answers requests.
pub type Handler = Arc<dyn Fn(Request) -> BoxFuture<'static, Response> + Send + Sync>;

/// One request as it stands in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logged {
    /// The method.
    pub method: String,
    /// The path, without query.
    pub path: String,
    /// The query, empty if there is none.
    pub query: String,
    /// Header fields worth a test's attention, lower-case names.
    pub headers: Vec<(String, String)>,
    /// The status of the answer; 0 as long as there is none.
    pub status: u16,
    /// Bytes of the request's body.
    pub received: u64,
    /// Bytes of the answer's body.
    pub sent: u64,
}

impl Logged {
    /// Whether it has `method` (`*`: any) and its path contains `part`.
    pub fn is(&self, method: &str, part: &str) -> bool {
        (method == "*" || self.method == method) && self.path.contains(part)
    }

    /// Returns a header field.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(existing, _)| existing == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// Of a credential, only its kind is logged.
const LOGGED_HEADERS: [&str; 9] = [
    "accept",
    "accept-encoding",
    "content-length",
    "content-range",
    "content-type",
    "if-none-match",
    "if-modified-since",
    "range",
    "user-agent",
];

struct Record {
    request: Logged,
    status: OnceLock<u16>,
    received: Arc<AtomicU64>,
    sent: Arc<AtomicU64>,
}

/// The requests so far. Cheap to clone.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<Arc<Record>>>>);

impl Log {
    /// Returns all requests, in the order in which they came.
    pub fn requests(&self) -> Vec<Logged> {
        let records = self.0.lock().unwrap();
        records.iter().map(|record| record.snapshot()).collect()
    }

    /// Returns how many requests have `method` (`*`: any) and a path that contains `part`.
    pub fn count(&self, method: &str, part: &str) -> usize {
        self.requests().iter().filter(|request| request.is(method, part)).count()
    }

    /// Returns one line a request, `GET /v2/ 200`, for comparison and for error messages.
    pub fn lines(&self) -> Vec<String> {
        let line = |request: Logged| format!("{} {} {}", request.method, request.path, request.status);
        self.requests().into_iter().map(line).collect()
    }

    /// Forgets what came so far.
    pub fn clear(&self) {
        self.0.lock().unwrap().clear();
    }
}

impl Record {
    fn snapshot(&self) -> Logged {
        Logged {
            status: self.status.get().copied().unwrap_or(0),
            received: self.received.load(Ordering::SeqCst),
            sent: self.sent.load(Ordering::SeqCst),
            ..self.request.clone()
        }
    }
}

/// A server; it ends with its value.
pub struct Server {
    address: SocketAddr,
    /// What was asked of it.
    pub log: Log,
    /// What shall go wrong.
    pub faults: Faults,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

#[derive(Clone)]
struct Shared {
    handler: Handler,
    log: Log,
    faults: Faults,
}

impl Server {
    /// Starts a server on a free port; `handler` is told the port first.
    pub fn start(handler: impl FnOnce(SocketAddr) -> Handler) -> Server {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Shared { handler: handler(address), log: Log::default(), faults: Faults::default() };
        let (log, faults) = (shared.log.clone(), shared.faults.clone());
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || serve(listener, shared, stopped));
        Server { address, log, faults, stop: Some(stop), thread: Some(thread) }
    }

    /// Returns host and port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(listener: std::net::TcpListener, shared: Shared, stopped: oneshot::Receiver<()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = Lines(TcpListener::from_std(listener).unwrap());
        let router = Router::new().fallback(answer).with_state(shared);
        let service = router.into_make_service_with_connect_info::<Cut>();
        tokio::select! {
            _ = axum::serve(listener, service) => {}
            _ = stopped => {}
        }
    });
    runtime.shutdown_background();
}

async fn answer(
    State(shared): State<Shared>,
    ConnectInfo(cut): ConnectInfo<Cut>,
    request: Request,
) -> Response {
    let record = Arc::new(Record {
        request: logged(&request),
        status: OnceLock::new(),
        received: Arc::default(),
        sent: Arc::default(),
    });
    shared.log.0.lock().unwrap().push(record.clone());
    let fault = shared.faults.strike(&record.request);
    let response = match &fault {
        Some(Fault::Status(status)) => {
            receive(request, &record, u64::MAX).await;
            plain(*status)
        }
        Some(Fault::StatusWith(status, headers)) => {
            receive(request, &record, u64::MAX).await;
            with_headers(plain(*status), headers)
        }
        Some(Fault::Reset) => cut.now(),
        Some(Fault::ResetAfter(n_bytes)) => {
            receive(request, &record, *n_bytes).await;
            cut.now()
        }
        Some(Fault::Stall) => std::future::pending().await,
        Some(Fault::LoseAnswer) => {
            (shared.handler)(count_received(request, &record)).await;
            cut.now()
        }
        Some(Fault::Truncate(_) | Fault::StallAfter(_) | Fault::WrongBytes | Fault::Shorter) | None => {
            (shared.handler)(count_received(request, &record)).await
        }
    };
    let _ = record.status.set(response.status().as_u16());
    let response = count_sent(response, record.sent.clone());
    match fault {
        Some(Fault::Truncate(limit)) => end_after(response, limit, Ending::Closed),
        Some(Fault::StallAfter(limit)) => end_after(response, limit, Ending::Silent),
        Some(Fault::WrongBytes) => with_wrong_byte(response),
        Some(Fault::Shorter) => shorter(response).await,
        Some(
            Fault::Status(_)
            | Fault::StatusWith(..)
            | Fault::Reset
            | Fault::ResetAfter(_)
            | Fault::Stall
            | Fault::LoseAnswer,
        )
        | None => response,
    }
}

fn logged(request: &Request) -> Logged {
    let field = |&name: &&str| {
        let value = request.headers().get(name)?;
        Some((name.to_owned(), value.to_str().unwrap_or("?").to_owned()))
    };
    let mut headers: Vec<_> = LOGGED_HEADERS.iter().filter_map(field).collect();
    if let Some(value) = request.headers().get(header::AUTHORIZATION) {
        let kind = value.to_str().unwrap_or("?").split(' ').next().unwrap_or("?").to_owned();
        headers.push(("authorization".into(), kind));
    }
    Logged {
        method: request.method().to_string(),
        path: request.uri().path().to_owned(),
        query: request.uri().query().unwrap_or("").to_owned(),
        headers,
        status: 0,
        received: 0,
        sent: 0,
    }
}

/// Returns an answer without a body.
pub fn plain(status: u16) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response
}

/// Returns an answer that leads elsewhere.
pub fn redirect(status: u16, location: &str) -> Response {
    with_headers(plain(status), &[("location", location.to_owned())])
}

/// Returns an answer with these bytes.
pub fn bytes(status: u16, bytes: impl Into<Bytes>) -> Response {
    let mut response = Response::new(Body::from(bytes.into()));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response
}

fn with_headers(mut response: Response, headers: &[(&'static str, String)]) -> Response {
    for (name, value) in headers {
        response.headers_mut().insert(*name, HeaderValue::from_str(value).unwrap());
    }
    response
}

fn count_received(request: Request, record: &Record) -> Request {
    let counter = record.received.clone();
    request.map(|body| {
        let count = move |chunk: &Result<Bytes, axum::Error>| add(&counter, chunk);
        Body::from_stream(body.into_data_stream().inspect(count))
    })
}

/// Takes so many bytes of a request's body, or all of it.
async fn receive(request: Request, record: &Record, n_bytes: u64) {
    let mut body = count_received(request, record).into_body().into_data_stream();
    while record.received.load(Ordering::SeqCst) < n_bytes && body.next().await.is_some() {}
}

async fn shorter(response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    let mut bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    bytes.truncate(bytes.len().saturating_sub(1));
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(bytes))
}

fn count_sent(response: Response, counter: Arc<AtomicU64>) -> Response {
    rewrite(response, move |body| {
        let count = move |chunk: &Result<Bytes, axum::Error>| add(&counter, chunk);
        Body::from_stream(body.into_data_stream().inspect(count))
    })
}

fn add(counter: &AtomicU64, chunk: &Result<Bytes, axum::Error>) {
    let n_bytes = chunk.as_ref().map_or(0, Bytes::len) as u64;
    counter.fetch_add(n_bytes, Ordering::SeqCst);
}

/// Puts another body in place and keeps the length that was announced.
fn rewrite(mut response: Response, change: impl FnOnce(Body) -> Body) -> Response {
    let length = response.body().size_hint().exact();
    if let (Some(length), false) = (length, response.headers().contains_key(header::CONTENT_LENGTH)) {
        response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    response.map(change)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    Closed,
    Silent,
}

fn end_after(response: Response, limit: u64, ending: Ending) -> Response {
    rewrite(response, move |body| {
        let mut left = usize::try_from(limit).unwrap();
        let shorten = move |chunk: Result<Bytes, axum::Error>| {
            let chunk = chunk.map(|chunk| chunk.slice(..chunk.len().min(left)));
            left -= chunk.as_ref().map_or(0, Bytes::len);
            chunk
        };
        let beginning = body.into_data_stream().map(shorten).take_while(|chunk| {
            let goes_on = chunk.as_ref().is_ok_and(|chunk| !chunk.is_empty());
            std::future::ready(goes_on)
        });
        let end = async move {
            if ending == Ending::Silent {
                std::future::pending::<()>().await;
            }
            // What was written before has to leave first: an error drops what is still buffered.
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            Err(axum::Error::new(io::Error::from(io::ErrorKind::ConnectionReset)))
        };
        Body::from_stream(beginning.chain(end.into_stream()))
    })
}

fn with_wrong_byte(response: Response) -> Response {
    rewrite(response, |body| {
        let mut is_first = true;
        let spoil = move |chunk: Result<Bytes, axum::Error>| {
            let mut bytes = chunk?.to_vec();
            if let (Some(byte), true) = (bytes.first_mut(), is_first) {
                *byte ^= 0xff;
                is_first = false;
            }
            Ok::<_, axum::Error>(Bytes::from(bytes))
        };
        Body::from_stream(body.into_data_stream().map(spoil))
    })
}

/// Returns the part of `whole` that a `Range: bytes=a-b` asks for, with 206, else all of it.
pub fn ranged(request: &HeaderMap, whole: Bytes) -> Response {
    let range = request.get(header::RANGE).and_then(|value| parse_range(value.to_str().ok()?, whole.len()));
    let Some((first, last)) = range else { return Response::new(Body::from(whole)) };
    if first > last {
        return plain(416);
    }
    let mut response = Response::new(Body::from(whole.slice(first..=last)));
    *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    let content_range = format!("bytes {first}-{last}/{}", whole.len());
    response.headers_mut().insert(header::CONTENT_RANGE, HeaderValue::from_str(&content_range).unwrap());
    response
}

/// Reads `bytes=a-` and `bytes=a-b`; an empty answer range has `first > last`.
pub fn parse_range(text: &str, length: usize) -> Option<(usize, usize)> {
    let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    let first = first.parse().ok()?;
    let end = length.saturating_sub(1);
    let last = if last.is_empty() { end } else { last.parse::<usize>().ok()?.min(end) };
    Some(if first < length { (first, last) } else { (1, 0) })
}

/// Pulls the plug of one connection.
#[derive(Clone)]
struct Cut(Arc<AtomicBool>);

impl Cut {
    /// The answer returned never arrives: writing it resets the connection.
    fn now(&self) -> Response {
        self.0.store(true, Ordering::SeqCst);
        plain(500)
    }
}

struct Lines(TcpListener);

/// A connection that can be reset from within a handler.
struct Line {
    stream: TcpStream,
    cut: Cut,
}

impl Listener for Lines {
    type Io = Line;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Line, SocketAddr) {
        loop {
            if let Ok((stream, address)) = self.0.accept().await {
                return (Line { stream, cut: Cut(Arc::default()) }, address);
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

impl axum::extract::connect_info::Connected<IncomingStream<'_, Lines>> for Cut {
    fn connect_info(incoming: IncomingStream<'_, Lines>) -> Cut {
        incoming.io().cut.clone()
    }
}

impl Line {
    /// Errs when the plug was pulled; closing then sends a reset rather than an orderly end.
    fn check(&self) -> io::Result<()> {
        if !self.cut.0.load(Ordering::SeqCst) {
            return Ok(());
        }
        self.stream.set_zero_linger()?;
        Err(io::Error::from(io::ErrorKind::ConnectionReset))
    }
}

impl AsyncRead for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Line {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
