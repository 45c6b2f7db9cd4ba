//! Credentials: who gets them, who refuses them, and that nobody else ever sees one.

use std::fs;
use std::process::{Command, Output};
use std::sync::Arc;

use axum::extract::Request;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use futures_util::FutureExt;

use crate::base;
use crate::site::{Site, assert_said, definition_of};
use crate::support::http::{self, Handler, Server};
use crate::support::registry::{Auth, Options};
use crate::support::{Archive, Deb, Key, ServedArchive, TestRegistry};

/// What nobody may ever see. The words stand in no other text.
const USER: &str = "canaryuser";
const PASSWORD: &str = "canarypassword";
const WRONG: &str = "canarywrong";

/// Checks that no credential stands in a text, plain or as it is sent.
fn assert_no_canary(place: &str, bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes).to_lowercase();
    let sent = [(USER, PASSWORD), (USER, WRONG)]
        .map(|(user, password)| BASE64_STANDARD.encode(format!("{user}:{password}")));
    for secret in [USER, PASSWORD, WRONG].into_iter().chain(sent.iter().map(String::as_str)) {
        assert!(!text.contains(&secret.to_lowercase()), "{secret} stands in {place}");
    }
}

/// Checks what a program said, and all that it keeps.
fn assert_none_seen(site: &Site, output: &Output) {
    assert_no_canary("stdout", &output.stdout);
    assert_no_canary("stderr", &output.stderr);
    for (path, bytes) in site.everything_kept() {
        if !path.starts_with(site.path("context")) {
            assert_no_canary(path.to_str().unwrap(), &bytes);
        }
        assert_no_canary("a file's name", path.to_str().unwrap().as_bytes());
    }
}

fn refused(auth: Auth, user: &str, password: &str) -> String {
    let registry = TestRegistry::with(Options { auth, ..Options::default() });
    let mut site = Site::new("image \"x\" {}\n");
    site.call(registry.host(), "registry.example");
    let mut push = site.verb("build");
    push.args(["--push", &registry.name("team/app", "1")]);
    push.env("ESTALEIRO_USERNAME", user).env("ESTALEIRO_PASSWORD", password);
    let output = push.output().unwrap();
    assert_none_seen(&site, &output);
    assert_eq!(registry.tags("team/app"), Vec::<String>::new());
    site.fails(1, &mut push)
}

fn basic() -> Auth {
    Auth::Basic { user: USER.into(), password: PASSWORD.into() }
}

fn bearer() -> Auth {
    Auth::Bearer { user: USER.into(), password: PASSWORD.into(), anonymous_pull: false }
}

#[test]
fn a_registry_that_refuses_credentials_is_told_without_them() {
    assert_said(
        &refused(basic(), USER, WRONG),
        "error: cannot read the manifest registry.example/team/app:1: the registry refused the credentials (401 Unauthorized: authentication required)\n\
         hint: check username and password, and that they may do this in this repository",
    );
    assert_said(
        &refused(bearer(), USER, WRONG),
        "error: cannot read the manifest registry.example/team/app:1: the registry refused the credentials (401 Unauthorized: incorrect username or password)\n\
         hint: check username and password, and that they may do this in this repository",
    );
}

#[test]
fn a_registry_that_asks_for_credentials_is_told_when_there_are_none() {
    for (auth, expected) in [
        (
            basic(),
            "error: cannot read the manifest registry.example/team/app:1: the registry refused access without credentials (401 Unauthorized: authentication required)\n\
         hint: give a username and password, and check the repository's name",
        ),
        (
            bearer(),
            "error: cannot read the manifest registry.example/team/app:1: the registry refused access without credentials (401 Unauthorized: incorrect username or password)\n\
         hint: give a username and password, and check the repository's name",
        ),
    ] {
        let registry = TestRegistry::with(Options { auth, ..Options::default() });
        let mut site = Site::new("image \"x\" {}\n");
        site.call(registry.host(), "registry.example");
        let push = |site: &Site| {
            let mut push = site.verb("build");
            push.args(["--push", &registry.name("team/app", "1")]);
            push
        };
        assert_said(&site.fails(1, &mut push(&site)), expected);
        let output =
            site.succeeds(push(&site).env("ESTALEIRO_USERNAME", USER).env("ESTALEIRO_PASSWORD", PASSWORD));
        assert_none_seen(&site, &output);
        assert_eq!(registry.tags("team/app"), ["1"]);
    }
}

#[test]
fn credentials_go_to_the_registry_that_was_named_and_to_no_other() {
    let target = TestRegistry::with(Options { auth: basic(), ..Options::default() });
    let other = TestRegistry::with(Options { auth: basic(), ..Options::default() });
    let mut site =
        Site::new(&format!("image \"x\" {{\n  base_image = \"{}\"\n}}\n", other.name("base", "1")));
    site.call(target.host(), "registry.example");
    site.call(other.host(), "other.example");
    let mut push = site.verb("build");
    push.args(["--push", &target.name("team/app", "1")]);
    push.env("ESTALEIRO_USERNAME", USER).env("ESTALEIRO_PASSWORD", PASSWORD);
    assert_said(
        &site.fails(1, &mut push),
        "error: cannot use base image other.example/base:1: cannot read the manifest other.example/base:1: the registry refused access without credentials (401 Unauthorized: authentication required)\n\
         hint: give a username and password, and check the repository's name",
    );
    assert!(other.log().requests().iter().all(|request| request.header("authorization").is_none()));
    assert!(target.log().requests().iter().any(|request| request.header("authorization") == Some("Basic")));
}

#[test]
fn a_registry_that_is_not_there_is_said_so() {
    let mut site = Site::new("image \"x\" {}\n");
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    site.call(closed.to_string(), "registry.example");
    let mut push = site.verb("build");
    push.args(["--push", &format!("{closed}/team/app:1"), "--username", USER, "--password", PASSWORD]);
    let output = push.output().unwrap();
    assert_none_seen(&site, &output);
    assert_said(
        &site.fails(1, &mut push),
        "error: cannot read the manifest registry.example/team/app:1: GET http://registry.example/v2/ failed: Connection refused (os error 111)",
    );
}

/// An archive that lets in who has the password; the other one behind it is asked for nothing.
struct Guarded {
    server: Server,
    archive: Arc<ServedArchive>,
}

impl Guarded {
    fn start(archive: Archive) -> Guarded {
        let archive = Arc::new(archive.serve());
        let behind = archive.clone();
        let expected = format!("Basic {}", BASE64_STANDARD.encode(format!("{USER}:{PASSWORD}")));
        let handler: Handler = Arc::new(move |request: Request| {
            let response = answer(&behind, &expected, &request);
            async move { response }.boxed()
        });
        Guarded { server: Server::start(|_| handler), archive }
    }

    fn definition(&self, base: &str, password: &str, packages: &str) -> String {
        let host = self.server.address();
        let definition = definition_of(&self.archive, base, packages);
        let credentials = format!("http://{USER}:{password}@{host}");
        let definition = definition.replace(&self.archive.url(), &credentials);
        definition.replace("path = \"archive.asc\"", &format!("uri = \"{credentials}/archive.asc\""))
    }
}

fn answer(archive: &ServedArchive, expected: &str, request: &Request) -> Response {
    let is_let_in = request.headers().get(header::AUTHORIZATION).is_some_and(|given| given == expected);
    if !is_let_in {
        let mut response = http::plain(401);
        response
            .headers_mut()
            .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"archive\""));
        return response;
    }
    let path = request.uri().path().trim_start_matches('/');
    let bytes = match path {
        "archive.asc" => Some(archive.key().into_bytes().into()),
        path => archive.file(path),
    };
    bytes.map_or_else(|| http::plain(404), |bytes| http::ranged(request.headers(), bytes))
}

fn guarded() -> Guarded {
    Guarded::start(
        Archive::new()
            .add(Deb::new("tool", "1").file("/usr/bin/tool", 0o755, "tool"))
            .sign_with(&Key::ed25519()),
    )
}

fn output(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

#[test]
fn a_repositorys_credentials_are_sent_and_never_shown_or_kept() {
    let guarded = guarded();
    let site = base::site(&guarded.archive, "");
    site.put("estaleiro.hcl", guarded.definition(&base::name(), PASSWORD, "package \"tool\" {}"));
    let loud = |verb: &str, more: &[&str]| {
        let mut command = site.estaleiro(&[verb, "--state", "../state", "--platform", "linux/amd64"]);
        command.args(more);
        command
    };
    for (verb, more) in [
        ("lock", &["--lock", "-"][..]),
        ("graph", &[]),
        ("lock", &[]),
        ("build", &["--output", "oci:../layout", "--locked"]),
        ("graph", &["--lock", "estaleiro.lock"]),
    ] {
        assert_none_seen(&site, &output(&mut loud(verb, more)));
    }
    assert_no_canary("the lock", &fs::read(site.path("context/estaleiro.lock")).unwrap());
    let bom = output(&mut site.estaleiro(&["bom", "oci:../layout"]));
    assert!(
        String::from_utf8_lossy(&bom.stdout)
            .contains(&format!("http://{}/pool/main/t/tool/tool_1_all.deb", guarded.server.address()))
    );
    assert_none_seen(&site, &bom);
    // Every request was let in, and the packages came from where the definition says.
    assert!(
        guarded.server.log.requests().iter().all(|request| request.status == 200),
        "{:?}",
        guarded.server.log.lines()
    );
    assert_eq!(guarded.server.log.count("GET", "/pool/"), 1);
    assert_eq!(guarded.archive.log().requests(), []);

    // A lock holds no credentials; whoever builds from it has them from the definition.
    let elsewhere = base::site(&guarded.archive, "");
    for name in ["estaleiro.hcl", "estaleiro.lock"] {
        elsewhere.put(name, fs::read(site.path("context").join(name)).unwrap());
    }
    elsewhere.succeeds(elsewhere.build().arg("--locked"));
    assert_eq!(guarded.server.log.count("GET", "/pool/"), 2);
}

#[test]
fn a_password_given_apart_is_sent_and_never_shown_or_kept() {
    let guarded = guarded();
    let site = base::site(&guarded.archive, "");
    let plain = guarded.definition(&base::name(), PASSWORD, "package \"tool\" {}");
    site.put("estaleiro.hcl", plain.replace(&format!("{USER}:{PASSWORD}@"), ""));
    let machine = format!("machine {}/ login {USER} password {PASSWORD}\n", guarded.server.url());
    fs::create_dir_all(site.path("apt/auth.conf.d")).unwrap();
    fs::write(site.path("apt/auth.conf"), "machine archive.example login nobody password none\n").unwrap();
    fs::write(site.path("apt/auth.conf.d/own.conf"), machine).unwrap();
    for (verb, more) in [("lock", &[][..]), ("build", &["--output", "oci:../layout", "--locked"])] {
        let mut command = site.estaleiro(&[verb, "--state", "../state", "--platform", "linux/amd64"]);
        command.args(["--apt-config", "../apt"]).args(more);
        assert_none_seen(&site, &output(&mut command));
    }
    assert_no_canary("the lock", &fs::read(site.path("context/estaleiro.lock")).unwrap());
    assert_none_seen(&site, &output(&mut site.estaleiro(&["bom", "oci:../layout"])));
    let requests = guarded.server.log.requests();
    assert!(!requests.is_empty() && requests.iter().all(|request| request.status == 200));

    // Without it, the archive stays closed.
    fs::remove_file(site.path("apt/auth.conf.d/own.conf")).unwrap();
    let said = String::from_utf8_lossy(&site.verb("lock").output().unwrap().stderr).into_owned();
    assert!(said.contains("401 Unauthorized\nhint: check the credentials for this host"), "{said}");
}

#[test]
fn a_repository_that_refuses_credentials_is_told_without_them() {
    let guarded = guarded();
    let mut site = Site::new(&guarded.definition("scratch", WRONG, "package \"tool\" {}"));
    site.call(guarded.server.url(), "http://archive.example");
    assert_said(
        &site.fails(1, &mut site.build()),
        "error: cannot use key \"archive\": cannot get http://archive.example/archive.asc: 401 Unauthorized\n\
         hint: check the credentials for this host",
    );
    assert_none_seen(&site, &site.build().output().unwrap());
}

#[test]
fn credentials_in_a_mistaken_definition_are_covered() {
    let guarded = guarded();
    for packages in
        ["package \"tool\" { colour = 1 }", "package \"nobody\" {}", "package \"tool\" { version = \"9\" }"]
    {
        let site = Site::new(&guarded.definition("scratch", PASSWORD, packages));
        assert_none_seen(&site, &site.build().output().unwrap());
    }
    for line in [
        "deb http://canaryuser:canarypassword@archive.example stable",
        "deb [signed-by=nobody] http://canaryuser:canarypassword@archive.example stable main",
        "deb ftp://canaryuser:canarypassword@archive.example stable main",
        "deb http://canaryuser:canarypassword@archive.example:999999 stable main",
        "deb http://canaryuser:canarypassword@127.0.0.1:1/x stable main",
        "http://canaryuser:canarypassword@archive.example stable main",
    ] {
        let site = Site::new(&format!(
            "image \"x\" {{\n  apt {{\n    repositories = [\"{line}\"]\n    package \"tool\" {{}}\n  }}\n}}\n"
        ));
        let output = site.build().output().unwrap();
        assert!(!output.status.success());
        assert_none_seen(&site, &output);
    }
    for line in [
        "deb http://canaryuser:canarypassword@archive.example stable",
        "deb [signed-by=nobody] http://canaryuser:canarypassword@archive.example stable main",
    ] {
        // The same, where the credentials come in as variables.
        let text = line.replace(USER, "${user}").replace(PASSWORD, "${password}");
        let site = Site::new(&format!(
            "image \"x\" {{\n  apt {{\n    repositories = [\"{text}\"]\n    package \"tool\" {{}}\n  }}\n}}\n"
        ));
        let mut build = site.build();
        build.args(["--var", &format!("user={USER}"), "--var", &format!("password={PASSWORD}")]);
        let output = build.output().unwrap();
        assert!(!output.status.success());
        assert_none_seen(&site, &output);
    }
}

#[test]
fn the_help_shows_no_credentials_of_the_environment() {
    let site = Site::new("");
    for verb in ["build", "lock", "graph", "bom"] {
        let mut help = site.estaleiro(&[verb, "--help"]);
        help.env("ESTALEIRO_USERNAME", USER).env("ESTALEIRO_PASSWORD", PASSWORD);
        assert_none_seen(&site, &help.output().unwrap());
    }
}
