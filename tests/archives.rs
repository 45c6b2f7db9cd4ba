//! Archives of every shape that there is, and how they are reached: what is asked of them, and what the lock says.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops")]

mod support;

#[path = "hostile/site.rs"]
mod site;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use estaleiro::digest::Digest;
use futures_util::FutureExt;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;

use site::{Site, definition_of};
use support::archive::Wrong;
use support::http::{self, Handler, Server};
use support::{Archive, Compression, Deb, Key, ServedArchive};

fn jq() -> Deb {
    Deb::new("jq", "1.6-2").file("/usr/bin/jq", 0o755, "jq")
}

/// An archive with `jq` and the Essential package that a root from nothing must have.
fn archive() -> Archive {
    Archive::new().add(jq()).add(Deb::new("base", "1").essential()).sign_with(&Key::ed25519())
}

fn lock(site: &Site) -> Command {
    let mut command = site.verb("lock");
    command.args(["--lock", "-"]);
    command
}

fn locked(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

fn platform(lock: &Value) -> &Value {
    &lock["platforms"][0]
}

fn names(lock: &Value) -> Vec<&str> {
    let packages = platform(lock)["packages"].as_array().unwrap();
    let mut names: Vec<&str> = packages.iter().map(|package| package["name"].as_str().unwrap()).collect();
    names.sort_unstable();
    names
}

/// Replaces the repository's line in the site's definition.
fn write_repository(site: &Site, archive: &ServedArchive, text: &str, packages: &str) {
    let definition = definition_of(archive, "scratch", packages);
    let line = format!("\"{}\"", archive.line("signed-by=archive"));
    site.put("estaleiro.hcl", definition.replace(&line, text));
}

#[test]
fn an_archive_may_have_any_of_the_shapes_that_apt_knows() {
    for (name, archive) in [
        ("signed in Release.gpg", archive().wrong(Wrong::NoInRelease)),
        ("without by-hash", archive().wrong(Wrong::NoByHash)),
        ("flat", archive().flat()),
        ("flat and signed in Release.gpg", archive().flat().wrong(Wrong::NoInRelease)),
        ("with several components", archive().component("universe").add(Deb::new("tool", "1"))),
    ] {
        let served = archive.serve();
        let site = Site::of_archive(&served);
        let lock = locked(&site.succeeds(&mut lock(&site)));
        assert_eq!(names(&lock), ["base", "jq"], "{name}");
        let suite = &platform(&lock)["suites"][0];
        assert_eq!(suite["signed_by"][0], served.fingerprint(), "{name}");
        let document = ["dists/bookworm/InRelease", "InRelease", "dists/bookworm/Release", "Release"];
        let document = document.into_iter().find_map(|path| served.file(path)).unwrap();
        assert_eq!(suite["release"], Digest::of(document).to_string(), "{name}");
    }
}

#[test]
fn a_flat_archives_packages_lie_where_its_index_says_below_its_address() {
    let served = archive().flat().serve();
    let site = Site::of_archive(&served);
    let lock = locked(&site.succeeds(&mut lock(&site)));
    let packages = platform(&lock)["packages"].as_array().unwrap();
    let jq = packages.iter().find(|package| package["name"] == "jq").unwrap();
    assert_eq!(jq["uri"], format!("{}/jq_1.6-2_all.deb", served.url()));
    assert_eq!(jq["repository"], format!("{} ./", served.url()));
}

#[test]
fn a_key_may_stand_in_the_source_be_named_or_be_pinned() {
    let served = archive().serve();
    let (url, fingerprint) = (served.url(), served.fingerprint());
    let folded: String = served
        .key()
        .lines()
        .map(|line| if line.is_empty() { " .\n".into() } else { format!(" {line}\n") })
        .collect();
    let embedded = format!(
        "<<END\nTypes: deb\nURIs: {url}\nSuites: bookworm\nComponents: main\nSigned-By:\n{folded}END\n"
    );
    for (name, text) in [
        ("embedded", embedded),
        ("named", format!("\"deb [arch=amd64 signed-by=archive] {url} bookworm main\"")),
        (
            "a keyring of the machine",
            format!("\"deb [signed-by=/etc/apt/keyrings/own.asc] {url} bookworm main\""),
        ),
        ("pinned", format!("\"deb [signed-by={fingerprint}] {url} bookworm main\"")),
        ("that key alone", format!("\"deb [signed-by={fingerprint}!] {url} bookworm main\"")),
    ] {
        let site = Site::of_archive(&served);
        std::fs::create_dir_all(site.path("apt/keyrings")).unwrap();
        std::fs::write(site.path("apt/keyrings/own.asc"), served.key()).unwrap();
        write_repository(&site, &served, &text, "package \"jq\" {}");
        // A pin chooses among the keys that are trusted for the archive's host anyway.
        let definition = std::fs::read_to_string(site.path("context/estaleiro.hcl")).unwrap();
        let key_server = Server::start(|_| {
            let key = served.key();
            let handler: Handler = Arc::new(move |_| {
                let response = http::bytes(200, key.clone().into_bytes());
                async move { response }.boxed()
            });
            handler
        });
        site.put(
            "estaleiro.hcl",
            definition.replace("path = \"archive.asc\"", &format!("uri = \"{}/k\"", key_server.url())),
        );
        let lock = locked(&site.succeeds(&mut lock(&site)));
        assert_eq!(platform(&lock)["suites"][0]["signed_by"][0], fingerprint, "{name}");
    }
}

#[test]
fn an_unchanged_archive_costs_one_question_a_suite() {
    let security =
        Archive::new().suite("bookworm-security").add(Deb::new("jq", "1.6-3")).sign_with(&Key::ed25519());
    let (served, security) = (archive().serve(), security.serve());
    let site = Site::of_archive(&served);
    site.put("security.asc", security.key());
    let repositories =
        format!("\"{}\", \"{}\"", served.line("signed-by=archive"), security.line("signed-by=security"));
    write_repository(&site, &served, &repositories, "package \"jq\" {}");
    let definition = std::fs::read_to_string(site.path("context/estaleiro.hcl")).unwrap();
    let key = "key \"security\" { path = \"security.asc\" }\n    package";
    site.put("estaleiro.hcl", definition.replacen("package", key, 1));

    let first = site.succeeds(&mut lock(&site));
    for log in [served.log(), security.log()] {
        log.clear();
    }
    let second = site.succeeds(&mut lock(&site));
    assert_eq!(second.stdout, first.stdout);
    assert_eq!(served.log().lines(), ["GET /dists/bookworm/InRelease 304"]);
    assert_eq!(security.log().lines(), ["GET /dists/bookworm-security/InRelease 304"]);
    assert!(served.log().requests()[0].header("if-none-match").is_some());

    // What was kept of an index is not believed when it is damaged: it is read again.
    let kept = site.path("state/records/index");
    let records: Vec<_> = std::fs::read_dir(&kept).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(records.len(), 2);
    for record in &records {
        let mut bytes = std::fs::read(record).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(record, bytes).unwrap();
    }
    assert_eq!(site.succeeds(&mut lock(&site)).stdout, first.stdout);
    assert!(served.log().lines().iter().all(|line| line.contains("InRelease")), "{:?}", served.log().lines());
}

#[test]
fn what_the_archive_has_lost_is_had_from_a_mirror_and_nobody_can_tell() {
    let served = archive().serve();
    let whole = Site::of_archive(&served);
    let expected = whole.succeeds(&mut lock(&whole)).stdout;

    let (pool, index) = ("pool/main/j/jq/jq_1.6-2_all.deb", "dists/bookworm/main/binary-amd64/");
    let mirror_files: Vec<(String, _)> = served
        .paths()
        .into_iter()
        .map(|path| (format!("/mirror/{path}"), served.file(&path).unwrap()))
        .collect();
    for path in served.paths().into_iter().filter(|path| path == pool || path.starts_with(index)) {
        served.set(&path, None);
    }
    let mirror = Server::start(|_| {
        let handler: Handler = Arc::new(move |request| {
            let found = mirror_files.iter().find(|(path, _)| path == request.uri().path());
            let response = found.map_or_else(
                || http::plain(404),
                |(_, bytes)| http::ranged(request.headers(), bytes.clone()),
            );
            async move { response }.boxed()
        });
        handler
    });
    let site = Site::of_archive(&served);
    let mirrors = format!("mirrors = [\"{}/none\", \"{}/mirror\"]\n    package", mirror.url(), mirror.url());
    let definition = definition_of(&served, "scratch", "package \"jq\" {}");
    site.put("estaleiro.hcl", definition.replacen("package", &mirrors, 1));
    let mut loud = site.loud_verb("lock");
    loud.args(["--lock", "-"]);
    let output = site.succeeds(&mut loud);
    assert_eq!(String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&expected));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains(&format!("jq 1.6-2 came from {}/mirror/{pool}", mirror.url())), "{said}");
    // What is newest is asked of the archive alone.
    assert_eq!(mirror.log.count("*", "Release"), 0);

    let nowhere = Site::of_archive(&served);
    let said = nowhere.fails(1, &mut lock(&nowhere));
    assert!(said.contains("is not to be had") && said.contains("name a mirror that keeps them"), "{said}");
}

#[test]
fn archives_are_reached_through_the_proxy_that_the_environment_names() {
    let served = Arc::new(archive().serve());
    let behind = served.clone();
    let proxy = Server::start(|_| {
        let handler: Handler = Arc::new(move |request| {
            assert_eq!(request.uri().host(), Some("archive.invalid"));
            let found = behind.file(request.uri().path().trim_start_matches('/'));
            let response =
                found.map_or_else(|| http::plain(404), |bytes| http::ranged(request.headers(), bytes));
            async move { response }.boxed()
        });
        handler
    });
    let site = Site::of_archive(&served);
    let definition = definition_of(&served, "scratch", "package \"jq\" {}");
    site.put("estaleiro.hcl", definition.replace(&served.url(), "http://archive.invalid"));
    let through = proxy.url().replace("http://", "http://canaryuser:canarypassword@");
    let output = site.succeeds(lock(&site).env("http_proxy", &through));
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("http://archive.invalid") && !said.contains("canary"), "{said}");
    assert!(proxy.log.count("GET", "/pool/") > 0 && served.log().requests().is_empty());

    // Who is excepted is not asked through it.
    let direct = Site::of_archive(&served);
    direct.succeeds(lock(&direct).env("http_proxy", "http://127.0.0.1:1").env("no_proxy", "127.0.0.1"));
    let said = direct.fails(1, lock(&direct).env("http_proxy", "http://127.0.0.1:1"));
    assert!(said.contains("cannot use repository") && said.contains("Connection refused"), "{said}");
}

/// Serves an archive's files over TLS; what it lacks, it sends to plain http.
fn start_tls(directory: &Path, served: Arc<ServedArchive>) -> SocketAddr {
    let certificate = CertificateDer::from_pem_file(directory.join("cert.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(directory.join("cert-key.pem")).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(rustls::crypto::ring::default_provider().into());
    let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let config = Arc::new(config.with_single_cert(vec![certificate], key).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            answer_over_tls(stream, config.clone(), &served);
        }
    });
    address
}

fn answer_over_tls(stream: TcpStream, config: Arc<rustls::ServerConfig>, served: &ServedArchive) {
    let mut stream = rustls::StreamOwned::new(rustls::ServerConnection::new(config).unwrap(), stream);
    let (mut request, mut byte) = (Vec::new(), [0]);
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => request.push(byte[0]),
            Ok(_) | Err(_) => return,
        }
    }
    let request = String::from_utf8(request).unwrap();
    let path = request.split(' ').nth(1).unwrap().trim_start_matches('/');
    let (head, body) = match served.file(path) {
        Some(bytes) => (format!("200 OK\r\ncontent-length: {}", bytes.len()), bytes),
        None => (
            format!("302 Found\r\ncontent-length: 0\r\nlocation: {}/{path}", served.url()),
            Default::default(),
        ),
    };
    let _ = stream.write_all(format!("HTTP/1.1 {head}\r\nconnection: close\r\n\r\n").as_bytes());
    let _ = stream.write_all(&body);
    stream.conn.send_close_notify();
    let _ = stream.flush();
}

#[test]
fn an_archive_with_a_certificate_of_its_own_is_reached_once_that_is_trusted_and_never_left_for_plain_http() {
    let directory = tempfile::tempdir().unwrap();
    support::certificate::make(directory.path());
    let served = Arc::new(archive().serve());
    let address = start_tls(directory.path(), served.clone());
    let mut site = Site::of_archive(&served);
    let definition = definition_of(&served, "scratch", "package \"jq\" {}");
    site.put("estaleiro.hcl", definition.replace(&served.url(), &format!("https://{address}")));
    site.call(address.to_string(), "archive.example");
    let authority = directory.path().join("ca.pem");
    let trusting = |site: &Site| {
        let mut lock = lock(site);
        lock.arg("--ca-cert").arg(&authority);
        lock
    };
    let said = site.fails(1, &mut lock(&site));
    assert!(said.contains("hint: name the certificate authority in `ca_certs`"), "{said}");
    site.succeeds(&mut trusting(&site));

    let fresh = Site::of_archive(&served);
    fresh.put("estaleiro.hcl", std::fs::read(site.path("context/estaleiro.hcl")).unwrap());
    served.set("pool/main/j/jq/jq_1.6-2_all.deb", None);
    let said = fresh.fails(1, &mut trusting(&fresh));
    assert!(said.contains("it redirects from https to http://"), "{said}");
}

/// What an archive of Ubuntu's looks like: packages in zstd, a component `universe`, updates that come in phases.
fn ubuntu() -> Archive {
    let key = Key::rsa();
    let phased = Deb::new("ca-certificates", "20180409ubuntu1").field("Phased-Update-Percentage", "10");
    Archive::new()
        .suite("bionic")
        .origin("Ubuntu")
        .architecture("i386")
        .compression(Compression::Zst)
        .add(Deb::new("base-files", "10.1ubuntu2").essential())
        .add(Deb::new("ca-certificates", "20180409").depends("openssl (>= 1.1)"))
        .add(phased.depends("openssl (>= 1.1)"))
        .add(Deb::new("openssl", "1.1.1-1ubuntu2.1~18.04.4").architecture("amd64"))
        .component("universe")
        .add(Deb::new("jq", "1.5+dfsg-2").depends("libjq1 (= 1.5+dfsg-2)"))
        .add(Deb::new("libjq1", "1.5+dfsg-2").field("Multi-Arch", "same").architecture("amd64"))
        .sign_with(&key)
}

/// The two seed definitions, with a root from nothing in the place of their base.
#[test]
fn definitions_of_the_seeds_shape_resolve_against_archives_of_the_right_shape() {
    let ubuntu = ubuntu().serve();
    let docker = Deb::new("docker-ce", "5:19.03.5~3-0~ubuntu-bionic").architecture("amd64");
    let docker = docker.depends("docker-ce-cli, ca-certificates");
    let docker = Archive::new()
        .suite("bionic")
        .component("stable")
        .add(docker)
        .add(Deb::new("docker-ce-cli", "5:19.03.5~3-0~ubuntu-bionic").architecture("amd64"))
        .sign_with(&Key::rsa())
        .serve();
    let site = Site::new("");
    site.put("ubuntu.asc", ubuntu.key());
    site.put("docker.asc", docker.key());
    let definition = |repositories: &str, packages: &str| {
        format!(
            "image \"example/resource\" {{\n  apt {{\n    repositories = [{repositories}]\n\
             key \"ubuntu\" {{ path = \"ubuntu.asc\" }}\n key \"docker\" {{ path = \"docker.asc\" }}\n{packages}\n  }}\n}}\n"
        )
    };
    let line = |kind: &str, options: &str, archive: &ServedArchive, components: &str| {
        format!("\"{kind} [{options}] {}/ bionic {components}\"", archive.url())
    };
    let main = line("deb", "signed-by=ubuntu", &ubuntu, "main universe");
    let sources = line("deb-src", "signed-by=ubuntu", &ubuntu, "universe");
    let third = line("deb", "arch=amd64 signed-by=docker", &docker, "stable");

    site.put("estaleiro.hcl", definition(&main, "package \"ca-certificates\" {}"));
    let small = locked(&site.succeeds(&mut lock(&site)));
    assert_eq!(names(&small), ["base-files", "ca-certificates", "openssl"]);

    let packages = "package \"ca-certificates\" {}\n package \"docker-ce\" {}\n package \"jq\" {}";
    site.put("estaleiro.hcl", definition(&[main, sources, third].join(", "), packages));
    let lock = locked(&site.succeeds(&mut lock(&site)));
    let expected = ["base-files", "ca-certificates", "docker-ce", "docker-ce-cli", "jq", "libjq1", "openssl"];
    assert_eq!(names(&lock), expected);
    for package in platform(&lock)["packages"].as_array().unwrap() {
        let is_third = package["name"].as_str().unwrap().starts_with("docker");
        let signer = if is_third { docker.fingerprint() } else { ubuntu.fingerprint() };
        assert_eq!(package["signed_by"], serde_json::json!([signer]));
    }
    let uri =
        &platform(&lock)["packages"].as_array().unwrap().iter().find(|it| it["name"] == "docker-ce").unwrap()
            ["uri"];
    assert!(
        uri.as_str().unwrap().ends_with("docker-ce_19.03.5%7e3-0%7eubuntu-bionic_amd64.deb")
            || uri.as_str().unwrap().contains("docker-ce_19.03.5~3"),
        "{uri}"
    );
}
