//! An answer whose body is yet to be read.

use bytes::Bytes;

use super::Error;

/// An answer whose body is yet to be read.
#[derive(Debug)]
pub struct Response {
    url: String,
    inner: reqwest::Response,
}

impl Response {
    pub(super) fn new(url: &str, inner: reqwest::Response) -> Response {
        Response { url: url.to_owned(), inner }
    }

    /// Returns the HTTP status code: 2xx or 304.
    pub fn status(&self) -> u16 {
        self.inner.status().as_u16()
    }

    /// Returns the address that answered in the end, after redirects.
    pub fn address(&self) -> &url::Url {
        self.inner.url()
    }

    /// Returns a header, where it is there and text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.inner.headers().get(name)?.to_str().ok()
    }

    /// Returns how long the body will be, where the other side said so.
    pub fn content_length(&self) -> Option<u64> {
        self.inner.content_length()
    }

    /// Returns the next piece of the body; none when it is over.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        self.inner.chunk().await.map_err(|error| Error::network(&self.url, error))
    }
}
