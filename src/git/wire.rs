//! HTTP as gix wants it, by our own client: its proxies, authorities and tries count here, too.
//!
//! gix reads and writes on a thread of its own; our client works in the runtime that the thread waits for.

use std::any::Any;
use std::io::{self, BufRead, Read, Write};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use gix::error::{ErrorExt as _, message};
use gix_transport::client::blocking_io::http::{GetResponse, Http, PostBodyDataKind, PostResponse};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::redact::Secret;
use crate::transport::{self, Client, Response};

/// No request is larger: it names what is wanted.
const LARGEST_REQUEST: usize = 1 << 20;

/// Our client, as gix asks for it.
pub(super) struct Wire {
    pub(super) client: Client,
    pub(super) runtime: Handle,
    pub(super) cancel: CancellationToken,
    /// The `Authorization` header for the repository's own host.
    pub(super) authorization: Option<Secret>,
    /// No answer is larger.
    pub(super) largest_answer: u64,
    /// Where the repository is after redirects, without a slash at its end.
    pub(super) base: Option<String>,
    /// What our client said when it failed, since gix would tell it otherwise.
    pub(super) failure: Failure,
}

/// The first failure of the client.
#[derive(Clone, Default)]
pub(super) struct Failure(Arc<Mutex<Option<anyhow::Error>>>);

impl Failure {
    /// Returns the failure, once.
    pub(super) fn take(&self) -> Option<anyhow::Error> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn note(&self, error: anyhow::Error) -> io::Error {
        let text = error.to_string();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        io::Error::other(text)
    }
}

/// What waits for the client.
#[derive(Clone)]
struct Waiting {
    runtime: Handle,
    cancel: CancellationToken,
    failure: Failure,
}

impl Waiting {
    fn wait<T>(&self, work: impl Future<Output = Result<T, transport::Error>>) -> io::Result<T> {
        let cancel = &self.cancel;
        let result = self.runtime.block_on(async {
            tokio::select! {
                biased;
                () = cancel.cancelled() => None,
                result = work => Some(result),
            }
        });
        match result {
            Some(result) => result.map_err(|error| self.failure.note(error.into())),
            None => Err(self.failure.note(anyhow::anyhow!("interrupted"))),
        }
    }
}

impl Wire {
    fn waiting(&self) -> Waiting {
        Waiting { runtime: self.runtime.clone(), cancel: self.cancel.clone(), failure: self.failure.clone() }
    }

    fn headers(&self, given: impl IntoIterator<Item = impl AsRef<str>>) -> Vec<(String, String)> {
        let split = |header: &str| header.split_once(':').map(|(n, v)| (n.to_owned(), v.trim().to_owned()));
        let given = given.into_iter().filter_map(|header| split(header.as_ref()));
        let ours = self.authorization.iter().map(|text| ("Authorization".into(), text.expose().to_owned()));
        given.filter(|(name, _)| !name.eq_ignore_ascii_case("user-agent")).chain(ours).collect()
    }

    /// What another host asks for is no business of the one that the credentials are for.
    fn moved(&mut self, url: &str, base: &str, response: &Response) {
        let Some(tail) = url.strip_prefix(base) else { return };
        let address = response.address();
        let same = url::Url::parse(url).is_ok_and(|asked| asked.origin() == address.origin());
        if !same {
            self.authorization = None;
        }
        self.base = address.as_str().strip_suffix(tail).map(str::to_owned);
    }
}

fn borrowed(headers: &[(String, String)]) -> Vec<(&str, &str)> {
    headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

impl Http for Wire {
    type Headers = Headers;
    type ResponseBody = Body;
    type PostBody = Outgoing;

    fn get(
        &mut self,
        url: &str,
        base_url: &str,
        headers: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> gix::error::Result<GetResponse<Headers, Body>> {
        let headers = self.headers(headers);
        let waiting = self.waiting();
        let response = waiting.wait(self.client.get(url, &borrowed(&headers)));
        let response =
            response.map_err(|error| error.and_raise(message("the repository was not reached")))?;
        self.moved(url, base_url, &response);
        let answer = Answer::arrived(waiting, response, self.largest_answer);
        let answer = Arc::new(Mutex::new(answer));
        Ok(GetResponse { headers: Headers::of(&answer), body: Body::of(&answer) })
    }

    fn post(
        &mut self,
        url: &str,
        _base_url: &str,
        headers: impl IntoIterator<Item = impl AsRef<str>>,
        _body: PostBodyDataKind,
    ) -> gix::error::Result<PostResponse<Headers, Body, Outgoing>> {
        let request = Request {
            client: self.client.clone(),
            url: url.to_owned(),
            headers: self.headers(headers),
            body: Vec::new(),
        };
        let answer = Answer {
            waiting: self.waiting(),
            request: Some(request),
            response: None,
            left: self.largest_answer,
        };
        let answer = Arc::new(Mutex::new(answer));
        let post_body = Outgoing(answer.clone());
        Ok(PostResponse { post_body, headers: Headers::of(&answer), body: Body::of(&answer) })
    }

    /// Takes how large an answer may be, in bytes.
    fn configure(&mut self, config: &dyn Any) -> gix::error::Result {
        self.largest_answer = config.downcast_ref().copied().unwrap_or(self.largest_answer);
        Ok(())
    }

    fn redirected_base_url(&self) -> Option<String> {
        self.base.clone()
    }
}

/// A request that is sent when its answer is first read.
struct Request {
    client: Client,
    url: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

struct Answer {
    waiting: Waiting,
    request: Option<Request>,
    response: Option<Response>,
    /// How many bytes may still come.
    left: u64,
}

type Shared = Arc<Mutex<Answer>>;

fn locked(answer: &Shared) -> std::sync::MutexGuard<'_, Answer> {
    answer.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Answer {
    fn arrived(waiting: Waiting, response: Response, left: u64) -> Answer {
        Answer { waiting, request: None, response: Some(response), left }
    }

    fn response(&mut self) -> io::Result<&mut Response> {
        if let Some(Request { client, url, headers, body }) = self.request.take() {
            let headers = borrowed(&headers);
            self.response = Some(self.waiting.wait(client.post(&url, &headers, body.into()))?);
        }
        self.response.as_mut().ok_or_else(|| io::Error::other("the request failed before"))
    }

    fn content_type(&mut self) -> io::Result<Vec<u8>> {
        let response = self.response()?;
        Ok(format!("content-type: {}\n", response.header("content-type").unwrap_or_default()).into_bytes())
    }

    fn chunk(&mut self) -> io::Result<Bytes> {
        let waiting = self.waiting.clone();
        let response = self.response()?;
        let chunk = waiting.wait(response.chunk())?.unwrap_or_default();
        match self.left.checked_sub(chunk.len() as u64) {
            Some(left) => self.left = left,
            None => {
                let error = anyhow::anyhow!("the server's answer is larger than it may be");
                return Err(waiting.failure.note(error));
            }
        }
        Ok(chunk)
    }
}

/// The body of a request, until it is sent.
pub(super) struct Outgoing(Shared);

impl Write for Outgoing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut answer = locked(&self.0);
        match &mut answer.request {
            Some(request) if request.body.len() + bytes.len() <= LARGEST_REQUEST => {
                request.body.extend_from_slice(bytes);
                Ok(bytes.len())
            }
            Some(_) => Err(io::Error::other("the request is too large")),
            None => Err(io::Error::other("the request is sent already")),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The one header that gix asks for, as lines.
pub(super) struct Headers {
    answer: Shared,
    lines: Option<io::Cursor<Vec<u8>>>,
}

impl Headers {
    fn of(answer: &Shared) -> Headers {
        Headers { answer: answer.clone(), lines: None }
    }

    fn lines(&mut self) -> io::Result<&mut io::Cursor<Vec<u8>>> {
        match &mut self.lines {
            Some(lines) => Ok(lines),
            empty => {
                let lines = locked(&self.answer).content_type()?;
                Ok(empty.insert(io::Cursor::new(lines)))
            }
        }
    }
}

impl Read for Headers {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.lines()?.read(buffer)
    }
}

impl BufRead for Headers {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.lines()?.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        if let Some(lines) = &mut self.lines {
            lines.consume(amount);
        }
    }
}

/// The body of an answer.
pub(super) struct Body {
    answer: Shared,
    chunk: Bytes,
}

impl Body {
    fn of(answer: &Shared) -> Body {
        Body { answer: answer.clone(), chunk: Bytes::new() }
    }
}

impl Read for Body {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n_bytes = self.fill_buf()?.read(buffer)?;
        self.consume(n_bytes);
        Ok(n_bytes)
    }
}

impl BufRead for Body {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.chunk.is_empty() {
            self.chunk = locked(&self.answer).chunk()?;
        }
        Ok(&self.chunk)
    }

    fn consume(&mut self, amount: usize) {
        drop(self.chunk.split_to(amount));
    }
}
