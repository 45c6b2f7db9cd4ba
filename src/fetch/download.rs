//! One thing from one place into the store, checked while it streams.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use tokio::task::spawn_blocking;

use super::document::may_pass;
use super::{Error, Wanted};
use crate::progress::Task;
use crate::redact;
use crate::store::{self, BlobWriter, Store};
use crate::transport::{Client, Response};

/// How much is gathered before it is hashed and written: all the memory that a download takes.
const PIECE: usize = 256 << 10;
/// What is taken of something whose size nobody announced.
const UNANNOUNCED: u64 = 8 << 30;

/// Brings `wanted` from `uri` into the store.
pub(super) async fn download(
    client: &Client,
    store: &Store,
    wanted: &Wanted,
    uri: &str,
    task: &Task,
) -> Result<(), Error> {
    if let Some(path) = local_path(uri)? {
        copy(store, wanted, path).await?;
        task.advance(wanted.size.unwrap_or(0));
        return Ok(());
    }
    let mut counter = Counter { task, n_told: 0 };
    let mut n_done = 0;
    loop {
        let response = client.get(uri, &[]).await?;
        let Err(error) = receive(response, store, wanted, &mut counter).await else { return Ok(()) };
        n_done += 1;
        if n_done >= client.retry().n_tries || !may_pass(&error) {
            return Err(error);
        }
        client.retry().pause(n_done).await;
    }
}

/// Tells a task what came, but nothing twice when a download starts again.
struct Counter<'a> {
    task: &'a Task,
    n_told: u64,
}

impl Counter<'_> {
    fn tell(&mut self, n_bytes: u64) {
        if n_bytes > self.n_told {
            self.task.advance(n_bytes - self.n_told);
            self.n_told = n_bytes;
        }
    }
}

async fn receive(
    mut response: Response,
    store: &Store,
    wanted: &Wanted,
    counter: &mut Counter<'_>,
) -> Result<(), Error> {
    if let (Some(size), Some(length)) = (wanted.size, response.content_length())
        && size != length
    {
        return Err(mismatch(wanted, format!("{size} bytes"), format!("{length} bytes")));
    }
    let mut writer = Piecewise::create(store, wanted)?;
    let mut n_bytes = 0;
    while let Some(chunk) = response.chunk().await? {
        n_bytes += chunk.len() as u64;
        check_length(wanted, n_bytes)?;
        writer.take(&chunk).await?;
        counter.tell(n_bytes);
    }
    writer.commit().await
}

fn check_length(wanted: &Wanted, n_bytes: u64) -> Result<(), Error> {
    let limit = wanted.size.unwrap_or(UNANNOUNCED);
    match n_bytes > limit {
        true => Err(mismatch(wanted, format!("{limit} bytes"), "more".to_owned())),
        false => Ok(()),
    }
}

fn mismatch(wanted: &Wanted, expected: String, got: String) -> Error {
    Error::Mismatch { name: wanted.name.clone(), expected, got }
}

/// Gathers what comes, and writes it away from the async threads.
struct Piecewise<'a> {
    wanted: &'a Wanted,
    path: PathBuf,
    state: Option<(BlobWriter, Vec<u8>)>,
}

impl<'a> Piecewise<'a> {
    fn create(store: &Store, wanted: &'a Wanted) -> Result<Piecewise<'a>, Error> {
        let writer = store.blob_writer()?;
        let path = store.blob_path(&wanted.digest);
        Ok(Piecewise { wanted, path, state: Some((writer, Vec::with_capacity(PIECE))) })
    }

    async fn take(&mut self, chunk: &[u8]) -> Result<(), Error> {
        let Some((_, piece)) = &mut self.state else { return Ok(()) };
        piece.extend_from_slice(chunk);
        match piece.len() >= PIECE {
            true => self.write().await,
            false => Ok(()),
        }
    }

    async fn write(&mut self) -> Result<(), Error> {
        let Some((mut writer, mut piece)) = self.state.take() else { return Ok(()) };
        let written = spawn_blocking(move || {
            writer.write_all(&piece)?;
            piece.clear();
            Ok((writer, piece))
        });
        let written = written.await.unwrap_or_else(|error| Err(io::Error::other(error)));
        self.state = Some(written.map_err(|source| cannot_write(&self.path, source))?);
        Ok(())
    }

    async fn commit(mut self) -> Result<(), Error> {
        self.write().await?;
        let Some((writer, _)) = self.state.take() else { return Ok(()) };
        commit(writer, self.wanted)
    }
}

fn commit(writer: BlobWriter, wanted: &Wanted) -> Result<(), Error> {
    writer.commit_as(&wanted.digest, wanted.size).map_err(|error| match error {
        store::Error::Mismatch { expected, got } => mismatch(wanted, expected, got),
        error @ store::Error::Io { .. } => Error::Store(error),
    })
}

pub(super) fn cannot_write(path: &Path, source: io::Error) -> Error {
    Error::Store(store::Error::Io { action: "write", path: path.to_owned(), source })
}

/// Returns the path of a `file:` or `copy:` URI; none for one that is to be asked for over HTTP.
pub(super) fn local_path(uri: &str) -> Result<Option<PathBuf>, Error> {
    let (scheme, rest) = uri.split_once(':').unwrap_or(("", uri));
    match scheme {
        "http" | "https" => Ok(None),
        "file" | "copy" => {
            let path =
                rest.strip_prefix("//").map_or(rest, |rest| rest.strip_prefix("localhost").unwrap_or(rest));
            match path.starts_with('/') {
                true => Ok(Some(decoded(path))),
                false => Err(unreadable(uri, "expected an absolute path".to_owned())),
            }
        }
        _ => Err(unreadable(uri, "expected http:, https:, file: or copy:".to_owned())),
    }
}

/// Undoes percent-encoding; a lone `%` stands for itself.
fn decoded(path: &str) -> PathBuf {
    use std::os::unix::ffi::OsStringExt;
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let [first, tail @ ..] = rest {
        match (first, tail.get(..2).and_then(hex_byte)) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    std::ffi::OsString::from_vec(bytes).into()
}

fn hex_byte(digits: &[u8]) -> Option<u8> {
    let text = std::str::from_utf8(digits).ok()?;
    let is_hex = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hex.then(|| u8::from_str_radix(text, 16).ok()).flatten()
}

fn unreadable(name: &str, reason: String) -> Error {
    Error::Unreadable { name: redact::url(name), reason }
}

/// Reads a small local document.
pub(super) async fn read_local(path: &Path, limit: u64) -> Result<Vec<u8>, Error> {
    let mut document = Vec::new();
    let name = path.display().to_string();
    let file = open(path)?;
    file.take(limit + 1).read_to_end(&mut document).map_err(|error| unreadable(&name, error.to_string()))?;
    match document.len() as u64 > limit {
        true => Err(Error::TooLong { name, limit }),
        false => Ok(document),
    }
}

/// Opens a regular file: a pipe or a device would never end.
fn open(path: &Path) -> Result<File, Error> {
    let name = path.display().to_string();
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => {}
        Ok(_) => return Err(unreadable(&name, "it is not a file".to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Error::NotFound { name }),
        Err(error) => return Err(unreadable(&name, error.to_string())),
    }
    File::open(path).map_err(|error| unreadable(&name, error.to_string()))
}

async fn copy(store: &Store, wanted: &Wanted, path: PathBuf) -> Result<(), Error> {
    let (store, wanted) = (store.clone(), wanted.clone());
    let copied = spawn_blocking(move || copy_blocking(&store, &wanted, &path));
    copied.await.unwrap_or_else(|error| Err(cannot_write(Path::new("the store"), io::Error::other(error))))
}

fn copy_blocking(store: &Store, wanted: &Wanted, path: &Path) -> Result<(), Error> {
    let mut file = open(path)?;
    let mut writer = store.blob_writer()?;
    let mut piece = vec![0; PIECE];
    let mut n_bytes = 0;
    loop {
        let n = file.read(&mut piece).map_err(|e| unreadable(&path.display().to_string(), e.to_string()))?;
        if n == 0 {
            return commit(writer, wanted);
        }
        n_bytes += n as u64;
        check_length(wanted, n_bytes)?;
        let blob_path = store.blob_path(&wanted.digest);
        writer.write_all(&piece[..n]).map_err(|source| cannot_write(&blob_path, source))?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_local_uri_is_a_path() {
        for (uri, path) in [
            ("file:/srv/a", Some("/srv/a")),
            ("file:///srv/a%2bb%", Some("/srv/a+b%")),
            ("copy:/srv/%zz", Some("/srv/%zz")),
            ("file://localhost/srv", Some("/srv")),
            ("http://archive.example/a", None),
        ] {
            assert_eq!(local_path(uri).unwrap(), path.map(PathBuf::from), "{uri}");
        }
        for uri in ["file:srv/a", "file://other.example/srv", "ftp://archive.example/a", "cdrom:x", "a"] {
            assert!(local_path(uri).is_err(), "{uri}");
        }
    }
}
