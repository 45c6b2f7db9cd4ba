//! What is on Docker Hub may be had from a mirror. Docker Hub is a registry on this machine here: the worker's proxy leads
//! there, and it shows a certificate for Docker Hub's name.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::fleet::{image, version, version_of};
use crate::guarded::push;
use crate::support::concourse::{Put, Resource};
use crate::support::fault::ALWAYS;
use crate::support::registry::{Auth, Options};
use crate::support::tarball::Tarball;
use crate::support::{Concourse, DockerRegistry, Fault, TestImage, TestRegistry, tree};

/// A door to another server, which keeps what goes in.
struct Passage {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<u8>>>,
}

impl Passage {
    /// Opens one to `target`; one for a proxy's clients is told first where they want to go.
    fn to(target: &str, is_proxy: bool) -> Passage {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let passage = Passage { address: listener.local_addr().unwrap(), seen: Arc::default() };
        let (target, seen) = (target.to_owned(), passage.seen.clone());
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let (target, seen) = (target.clone(), seen.clone());
                std::thread::spawn(move || {
                    let _ = lead(client, &target, &seen, is_proxy);
                });
            }
        });
        passage
    }

    fn host(&self) -> String {
        self.address.to_string()
    }

    fn seen(&self) -> String {
        String::from_utf8_lossy(&self.seen.lock().unwrap()).into_owned()
    }
}

fn lead(mut client: TcpStream, target: &str, seen: &Mutex<Vec<u8>>, is_proxy: bool) -> std::io::Result<()> {
    if is_proxy {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            client.read_exact(&mut byte)?;
            head.push(byte[0]);
        }
        seen.lock().unwrap().extend(head);
        client.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
    }
    let mut server = TcpStream::connect(target)?;
    let (mut back, mut answers) = (client.try_clone()?, server.try_clone()?);
    std::thread::spawn(move || std::io::copy(&mut answers, &mut back));
    let mut buffer = [0; 8192];
    loop {
        let n_bytes = client.read(&mut buffer)?;
        if n_bytes == 0 {
            return server.shutdown(std::net::Shutdown::Write);
        }
        if !is_proxy {
            seen.lock().unwrap().extend(&buffer[..n_bytes]);
        }
        server.write_all(&buffer[..n_bytes])?;
    }
}

/// Docker Hub, which lets in `alice` alone, and a mirror of it, which lets in `bob`.
struct Sea {
    hub: DockerRegistry,
    proxy: Passage,
    mirror: TestRegistry,
    /// What the mirror is asked.
    spy: Passage,
    /// What a put keeps.
    state: tempfile::TempDir,
}

impl Sea {
    fn new() -> Sea {
        let hub = DockerRegistry::guarded("DNS:index.docker.io,IP:127.0.0.1");
        let auth = Auth::Basic { user: "bob".into(), password: "correct-horse".into() };
        let mirror = TestRegistry::with(Options { auth, ..Options::default() });
        let (proxy, spy) = (Passage::to(&hub.host(), true), Passage::to(&mirror.host(), false));
        Sea { hub, proxy, mirror, spy, state: tempfile::tempdir().unwrap() }
    }

    fn resource(&self, repository: &str, more: &Value) -> Resource {
        let mut source = more.clone();
        source["repository"] = json!(repository);
        source["username"] = json!("alice");
        source["password"] = json!("hunter2");
        source["ca_certs"] = json!([self.hub.certificate_authority()]);
        source["registry_mirror"] =
            json!({"host": self.spy.host(), "username": "bob", "password": "correct-horse"});
        let proxy = format!("http://{}", self.proxy.host());
        let concourse = Concourse::new()
            .environment("https_proxy", &proxy)
            .environment("no_proxy", "127.0.0.1")
            .environment("ESTALEIRO_STATE", self.state.path().to_str().unwrap());
        concourse.resource(source)
    }

    fn was_the_hub_asked(&self) -> bool {
        self.proxy.seen().contains("CONNECT index.docker.io:443 ")
    }

    fn was_the_mirror_asked(&self) -> bool {
        !self.mirror.log().requests().is_empty()
    }

    /// The mirror saw the mirror's password, if any, and never the other one.
    fn assert_that_no_password_went_astray(&self) {
        let seen = self.spy.seen();
        assert!(
            !seen.contains(&BASE64_STANDARD.encode("alice:hunter2")) && !seen.contains("hunter2"),
            "{seen}"
        );
        let own = format!("authorization: Basic {}", BASE64_STANDARD.encode("bob:correct-horse"));
        assert_eq!(seen.to_lowercase().contains(&own.to_lowercase()), self.was_the_mirror_asked());
    }
}

fn hello() -> TestImage {
    image("hello").layer(&Tarball::new().file("hello", 0o644, "ahoy"))
}

#[test]
fn what_the_mirror_has_is_not_asked_of_docker_hub() {
    for (repository, path) in [
        ("hello", "library/hello"),
        ("docker.io/hello", "library/hello"),
        ("index.docker.io/hello", "library/hello"),
        ("team/hello", "team/hello"),
        ("docker.io/team/hello", "team/hello"),
    ] {
        let sea = Sea::new();
        let digest = hello().put(&sea.mirror, path, Some("1"));
        for more in [json!({"tag": "1"}), json!({}), json!({"tag_regex": "^1$"})] {
            let mut resource = sea.resource(repository, &more);
            assert_eq!(resource.check().unwrap(), [version_of("1", &digest)], "{repository} {more}");
        }
        assert!(!sea.was_the_hub_asked());
        sea.assert_that_no_password_went_astray();
    }
}

#[test]
fn a_repository_that_is_elsewhere_is_not_asked_of_the_mirror() {
    let sea = Sea::new();
    push(&sea.hub, "team/hello", "1", &hello());
    let mut resource = sea.resource(&format!("{}/team/hello", sea.hub.host()), &json!({"tag": "1"}));
    let version = resource.check().unwrap().remove(0);
    assert_eq!(resource.get(&version, &json!({})).unwrap().read("rootfs/hello"), "ahoy");
    assert!(!sea.was_the_mirror_asked());
}

#[test]
fn what_the_mirror_lacks_is_asked_of_docker_hub() {
    let sea = Sea::new();
    push(&sea.hub, "library/hello", "1", &hello());
    for more in [json!({"tag": "1"}), json!({}), json!({"tag_regex": "1"})] {
        let resource = sea.resource("hello", &more);
        let (versions, stderr) = resource.check_from(None).unwrap();
        assert_eq!(versions, [version_of("1", &hello().digest())], "{more}");
        let expected = format!("warning: the mirror {}/library/hello has no version", sea.spy.host());
        assert!(stderr.contains(&expected), "{stderr}");
    }
    sea.assert_that_no_password_went_astray();
}

#[test]
fn a_mirror_that_fails_is_told_and_docker_hub_is_asked() {
    for (part, fault, expected) in [
        ("/v2/", Fault::Status(418), "was answered 418"),
        ("/manifests/", Fault::Status(403), "the registry refused the credentials (403 Forbidden)"),
        ("/manifests/", Fault::WrongBytes, "the manifest cannot be read"),
    ] {
        let sea = Sea::new();
        push(&sea.hub, "library/hello", "1", &hello());
        hello().put(&sea.mirror, "library/hello", Some("1"));
        if fault == Fault::WrongBytes {
            sea.mirror.faults().fail("HEAD", part, ALWAYS, Fault::Status(405));
        }
        sea.mirror.faults().fail("*", part, ALWAYS, fault);
        let mut resource = sea.resource("hello", &json!({"tag": "1"}));
        let (versions, stderr) = resource.check_from(None).unwrap();
        assert_eq!(versions, [version_of("1", &hello().digest())]);
        assert!(stderr.contains("warning: ") && stderr.contains(expected), "{stderr}");
        let version = resource.check().unwrap().remove(0);
        let got = resource.get(&version, &json!({})).unwrap();
        assert_eq!(got.read("rootfs/hello"), "ahoy");
        assert!(got.outcome.stderr.contains(expected), "{}", got.outcome.stderr);
    }
}

#[test]
fn both_may_fail() {
    let sea = Sea::new();
    let resource = sea.resource("hello", &json!({"tag": "1"}));
    assert_eq!(resource.check_from(None).unwrap().0, []);
    let failure = resource.get(&version("1", "hello"), &json!({})).unwrap_err();
    assert!(failure.stderr.contains("cannot get docker.io/library/hello@sha256:"), "{}", failure.stderr);
}

#[test]
fn a_get_from_the_mirror_names_the_repository_as_it_is_written() {
    let sea = Sea::new();
    let digest = hello().put(&sea.mirror, "library/hello", Some("1"));
    push(&sea.hub, "library/hello", "1", &hello());
    let resource = sea.resource("hello", &json!({"tag": "1"}));
    let got = resource.get(&version_of("1", &digest), &json!({})).unwrap();
    assert_eq!(got.read("repository"), "docker.io/library/hello");
    assert_eq!((got.read("tag"), got.read("digest")), ("1".to_owned(), digest.to_string()));
    assert_eq!(got.read("rootfs/hello"), "ahoy");
    assert_eq!(got.outcome.metadata("repository"), Some("docker.io/library/hello"));
    assert_eq!(sea.mirror.n_blobs_downloaded(), 2);
    assert!(!sea.was_the_hub_asked());
    sea.assert_that_no_password_went_astray();
}

#[test]
fn what_the_mirror_gave_before_it_failed_is_put_away() {
    let sea = Sea::new();
    let digest = hello().put(&sea.mirror, "library/hello", Some("1"));
    push(&sea.hub, "library/hello", "1", &hello());
    sea.mirror.faults().fail("GET", "/blobs/", ALWAYS, Fault::WrongBytes);
    let resource = sea.resource("hello", &json!({"tag": "1"}));
    let got = resource.get(&version_of("1", &digest), &json!({})).unwrap();
    assert!(got.outcome.stderr.contains("asking docker.io/library/hello itself"), "{}", got.outcome.stderr);
    assert_eq!(got.read("rootfs/hello"), "ahoy");

    let whole = tree::dump(got.directory.path());
    sea.mirror.faults().heal();
    let got = resource.get(&version_of("1", &digest), &json!({})).unwrap();
    assert_eq!(tree::dump(got.directory.path()), whole);
}

#[test]
fn a_put_takes_the_images_of_a_dockerfile_from_the_mirror() {
    let sea = Sea::new();
    let own = TestRegistry::start();
    hello().put(&sea.mirror, "library/hello", Some("latest"));
    let yard = tempfile::tempdir().unwrap();
    fs::write(yard.path().join("Dockerfile"), "FROM hello\nLABEL ship=caravel\n").unwrap();
    let mut resource = sea.resource(&format!("{}/app", own.host()), &json!({}));
    let step = Put::new(json!({"dockerfile": "yard/Dockerfile"})).artifact("yard", yard.path());
    let (_, got) = resource.put(&step).unwrap_or_else(|failure| panic!("{}", failure.stderr));
    let got = got.unwrap();
    assert_eq!(got.read("rootfs/hello"), "ahoy");
    assert!(got.read("labels.json").contains("caravel"));
    assert!(got.read("bom.yml").contains("docker.io/library/hello"), "{}", got.read("bom.yml"));
    assert!(!sea.was_the_hub_asked());
    sea.assert_that_no_password_went_astray();
}
