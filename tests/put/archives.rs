//! What a pipeline says of archives: names and passwords for them; and what the last image remembers of one.

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use axum::extract::Request;
use axum::http::header;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use futures_util::FutureExt;
use serde_json::{Value, json};

use crate::pier::{self, Yard};
use crate::support::http::{self, Handler, Server};
use crate::support::image::a_base_that_unpacks;
use crate::support::{Archive, Deb, Key, ServedArchive, TestRegistry, Tls};

const STATUS: &str = "Package: here\nStatus: install ok installed\nVersion: 1\nArchitecture: all\n\
                      Maintainer: x\nDescription: x\n";

fn registry() -> TestRegistry {
    let registry = TestRegistry::start();
    a_base_that_unpacks(STATUS).put(&registry, "base", Some("1"));
    registry
}

fn yard(registry: &TestRegistry) -> Yard {
    let base = registry.name("base", "1");
    Yard::new(&format!(
        "image \"example/app\" {{\n base_image = \"{base}\"\n apt {{ package \"tool\" {{}} }}\n}}\n"
    ))
}

fn source(registry: &TestRegistry, archive: &ServedArchive, line: &str) -> Value {
    let mut source = pier::source(&registry.host(), "app");
    source["platform"] = json!({"architecture": "amd64", "os": "linux"});
    let keys = json!([{"name": "archive", "key": archive.key()}]);
    source["apt"] = json!({"repositories": [line], "keys": keys});
    source
}

fn archive(key: &Key) -> Archive {
    Archive::new().add(Deb::new("tool", "1").file("/usr/bin/tool", 0o755, "tool")).sign_with(key)
}

/// Lets in who has the password.
fn guarded(archive: &Arc<ServedArchive>) -> Server {
    let behind = archive.clone();
    let expected = format!("Basic {}", BASE64_STANDARD.encode("canaryuser:canarypassword"));
    let handler: Handler = Arc::new(move |request: Request| {
        let is_let_in = request.headers().get(header::AUTHORIZATION).is_some_and(|given| given == &expected);
        let found = behind.file(request.uri().path().trim_start_matches('/'));
        let response = match found {
            _ if !is_let_in => http::plain(401),
            Some(bytes) => http::ranged(request.headers(), bytes),
            None => http::plain(404),
        };
        async move { response }.boxed()
    });
    Server::start(|_| handler)
}

#[test]
fn an_archives_password_comes_from_the_pipeline_and_stays_there() {
    let registry = registry();
    let archive = Arc::new(archive(&Key::ed25519()).serve());
    let server = guarded(&archive);
    let line = archive.line("signed-by=archive").replace(&archive.url(), &server.url());
    let closed = source(&registry, &archive, &line);
    let said = pier::put_in_vain(&closed, &yard(&registry)).stderr;
    assert!(said.contains("401 Unauthorized\nhint: check the credentials for this host"), "{said}");

    let mut open = closed.clone();
    open["apt"]["credentials"] = json!([
        {"machine": "http://archive.example", "login": "nobody", "password": "none"},
        {"machine": server.url(), "login": "canaryuser", "password": "canarypassword"},
    ]);
    let outcome = pier::put(&open, &yard(&registry));
    assert!(server.log.requests().iter().filter(|request| request.status == 200).count() > 2);
    let got = pier::small_files(&open, &outcome);
    let kept = [got.read("bom.yml"), got.read("estaleiro.lock"), outcome.stderr];
    assert!(kept[1].contains(&server.url()) && kept.iter().all(|text| !text.contains("canary")), "{kept:?}");
}

#[test]
fn an_archive_of_an_authority_that_the_source_gives_is_trusted() {
    let registry = registry();
    let archive = archive(&Key::ed25519()).serve();
    let tls = Tls::before(archive.url().trim_start_matches("http://").parse().unwrap());
    let line = archive.line("signed-by=archive").replace(&archive.url(), &tls.url());
    let mut source = source(&registry, &archive, &line);
    let said = pier::put_in_vain(&source, &yard(&registry)).stderr;
    assert!(said.contains("hint: name the certificate authority in `ca_certs`"), "{said}");
    source["ca_certs"] = json!([tls.authority()]);
    pier::put(&source, &yard(&registry));
    assert_eq!(archive.log().count("GET", ".deb"), 1);
}

/// A file of certificates that tells whether anybody read it.
struct Watched {
    directory: tempfile::TempDir,
    was_read: Arc<AtomicBool>,
    writer: JoinHandle<()>,
}

impl Watched {
    fn new(content: String) -> Watched {
        let (directory, was_read) = (tempfile::tempdir().unwrap(), Arc::new(AtomicBool::new(false)));
        let path = directory.path().join("authorities.pem");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let seen = was_read.clone();
        let writer = std::thread::spawn(move || {
            // It waits here for a reader.
            let mut pipe = File::options().write(true).open(path).unwrap();
            seen.store(true, Ordering::SeqCst);
            // Nobody need read on.
            let _ = pipe.write_all(content.as_bytes());
        });
        Watched { directory, was_read, writer }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("authorities.pem")
    }

    fn was_read(self) -> bool {
        let was_read = self.was_read.load(Ordering::SeqCst);
        if !was_read {
            drop(File::open(self.path()).unwrap());
        }
        self.writer.join().unwrap();
        was_read
    }
}

#[test]
fn this_machines_authorities_are_read_when_a_server_shows_a_certificate_and_not_before() {
    let registry = registry();
    let archive = archive(&Key::ed25519()).serve();
    let tls = Tls::before(archive.url().trim_start_matches("http://").parse().unwrap());
    for (url, is_encrypted) in [(archive.url(), false), (tls.url(), true)] {
        let line = archive.line("signed-by=archive").replace(&archive.url(), &url);
        let source = source(&registry, &archive, &line);
        let (state, watched) = (tempfile::tempdir().unwrap(), Watched::new(tls.authority()));
        let worker =
            pier::concourse(state.path()).environment("SSL_CERT_FILE", watched.path().to_str().unwrap());
        let put = worker.resource(source).put(&pier::step(&yard(&registry)));
        put.unwrap_or_else(|failure| panic!("{}", failure.stderr));
        assert_eq!(watched.was_read(), is_encrypted, "{url}");
    }
}

#[test]
fn an_older_release_file_than_the_last_images_is_refused_on_an_empty_worker() {
    let (registry, key) = (registry(), Key::ed25519());
    let served = archive(&key).date("Sun, 02 Jun 2024 00:00:00 UTC").serve();
    let source = source(&registry, &served, &served.line("signed-by=archive"));
    pier::put(&source, &yard(&registry));
    served.publish(&archive(&key).date("Sat, 01 Jun 2024 00:00:00 UTC"));
    let said = pier::put_in_vain(&source, &yard(&registry)).stderr;
    assert!(
        said.contains("it is of 2024-06-01T00:00:00Z, and one of 2024-06-02T00:00:00Z was seen before"),
        "{said}"
    );
}
