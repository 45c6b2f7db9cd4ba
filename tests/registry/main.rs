//! The registry room against fakes that say exactly what a test needs, a real registry, and layouts.

#![expect(clippy::unwrap_used, reason = "a test says by it what it takes for granted")]

mod asked;
mod chunks;
mod credentials;
mod debian;
mod fake;
mod faults;
mod layouts;
mod matrix;
mod real;
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeSet;
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
use estaleiro::registry::{
    Access, Artifact, ClientCertificate, Content, Credentials, Location, Pushed, Registry, Retry,
};
use estaleiro::store::Store;

use debian::DebianRegistry;
use fake::{Asked, Fake, answer, answer_with, broken_off};

const BOM: &str = "application/vnd.cyclonedx+json";

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
