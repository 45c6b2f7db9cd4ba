//! Secrets in all the places that there are for them: each is found where it was sent to, and nowhere else.
//!
//! The servers here repeat all that they are told, in headers and errors.

use std::fs;
use std::path::Path;
use std::process::Output;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::site::{Site, everything_in};
use crate::support::concourse::Put;
use crate::support::far::{self, Asked, Far};
use crate::support::registry::{Auth, Options};
use crate::support::{Concourse, TestImage, TestRegistry, certificate, http};

const PASSWORD: &str = "canary-password";
const REGISTRIES: &str = "canary-registries";
const JSON_KEY: &str = "canary-json-key";
const IDENTITY: &str = "canary-identity-token";
const HELPER: &str = "canary-helper";
const MIRROR: &str = "canary-mirror";
const AWS_KEY: &str = "canary-aws-key";
const AWS_SESSION: &str = "canary-aws-session";
const AZURE: &str = "canary-azure-secret";
const ISSUED: &str = "canary-issued-token";
const PROXY: &str = "canary-proxy";
const APT: &str = "canary-apt";
const BUILD: &str = "canary-build-secret";
const ALL: [&str; 13] = [
    PASSWORD,
    REGISTRIES,
    JSON_KEY,
    IDENTITY,
    HELPER,
    MIRROR,
    AWS_KEY,
    AWS_SESSION,
    AZURE,
    ISSUED,
    PROXY,
    APT,
    BUILD,
];

/// The users that the secrets belong to.
const USERS: [&str; 4] = ["user", "_json_key", "AWS", "<token>"];

/// Whether a secret stands in a text: as it is, as an address has it, or encoded with a user's name.
fn is_in(secret: &str, text: &str) -> bool {
    let basic = USERS.map(|user| BASE64_STANDARD.encode(format!("{user}:{secret}")));
    text.contains(secret) || basic.iter().any(|encoded| text.contains(encoded.trim_end_matches('=')))
}

/// Returns the secrets that stand in a text.
fn found(text: &str) -> Vec<&'static str> {
    ALL.into_iter().filter(|secret| is_in(secret, text)).collect()
}

#[track_caller]
fn assert_none(place: &str, bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    assert_eq!(found(&text), Vec::<&str>::new(), "in {place}: {text}");
}

/// Checks what was said, and all files below a directory, layers unpacked.
fn assert_none_below(directory: &Path) {
    for (path, bytes) in everything_in(directory) {
        assert_none(&path.display().to_string(), &bytes);
        assert_none("a file's name", path.display().to_string().as_bytes());
    }
}

fn assert_none_said(output: &Output) {
    assert_none("stdout", &output.stdout);
    assert_none("stderr", &output.stderr);
}

/// Checks that a host was told these secrets and no others.
#[track_caller]
fn assert_told(host: &str, heard: &[String], expected: &[&str]) {
    let mut told = found(&heard.join("\n"));
    let mut expected = expected.to_vec();
    told.sort_unstable();
    expected.sort_unstable();
    assert_eq!(told, expected, "{host}");
}

fn heard(far: &Far) -> Vec<String> {
    far.asked().iter().map(Asked::text).collect()
}

fn echoing(auth: Auth) -> TestRegistry {
    let registry = TestRegistry::with(Options { auth, echoes: true, ..Options::default() });
    TestImage::new().put(&registry, "base", Some("1"));
    registry
}

fn basic(user: &str, password: &str) -> Auth {
    Auth::Basic { user: user.into(), password: password.into() }
}

/// A key and a certificate for it, which are shown to nobody over plain http.
fn client_certificate(directory: &Path) -> (String, String) {
    certificate::make(directory);
    let read = |name: &str| fs::read_to_string(directory.join(name)).unwrap();
    (read("cert.pem"), read("cert-key.pem"))
}

fn concourse(scratch: &Path) -> Concourse {
    let path = |name: &str| scratch.join(name).to_str().unwrap().to_owned();
    fs::create_dir_all(scratch.join("tmp")).unwrap();
    Concourse::new().environment("ESTALEIRO_STATE", &path("state")).environment("TMPDIR", &path("tmp"))
}

#[test]
fn registries_that_repeat_everything_reveal_nothing_in_a_put_a_get_and_a_check() {
    let own = echoing(Auth::Bearer { user: "user".into(), password: PASSWORD.into(), anonymous_pull: false });
    let (base, other) = (echoing(basic("user", REGISTRIES)), echoing(basic("_json_key", JSON_KEY)));
    let (scratch, input, keys) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (certificate, key) = client_certificate(keys.path());
    let dockerfile =
        format!("FROM {}\nCOPY --from={} / /other\n", base.name("base", "1"), other.name("base", "1"));
    fs::write(input.path().join("Dockerfile"), dockerfile).unwrap();
    let source = json!({
        "repository": format!("{}/app", own.host()), "username": "user", "password": PASSWORD,
        "client_cert": certificate, "client_key": key,
        "registries": [
            {"host": base.host(), "username": "user", "password": REGISTRIES},
            {"host": other.host(), "username": "_json_key", "password": JSON_KEY},
        ],
        "apt": {"credentials": [{"machine": "archive.example", "login": "user", "password": APT}]},
    });
    let params = json!({"dockerfile": "source/Dockerfile", "secrets": {"npm": BUILD}});
    let step = Put { get_params: json!({}), ..Put::new(params).artifact("source", input.path()) };
    let mut resource = concourse(scratch.path()).resource(source);
    let (outcome, got) = resource.put(&step).unwrap_or_else(|failure| panic!("{}", failure.stderr));
    assert_none("what the put said", format!("{outcome:?}").as_bytes());
    let got = got.unwrap();
    assert_none("what the get said", format!("{:?}", got.outcome).as_bytes());
    assert_none_below(&got.path("."));
    assert_eq!(resource.check().unwrap().len(), 1);
    assert_none_below(scratch.path());
    for registry in [&own, &base, &other] {
        assert_none_below(&registry.blobs());
    }
    let manifest = own.manifest("app", "latest").unwrap().1;
    assert_none("the manifest", &manifest);
    let key = key.lines().nth(1).unwrap();
    for (registry, secret) in [(&own, PASSWORD), (&base, REGISTRIES), (&other, JSON_KEY)] {
        assert_told(&registry.host(), &registry.heard(), &[secret]);
        assert!(!registry.heard().join("\n").contains(key));
    }
    assert!(own.heard().iter().any(|words| words.contains("authorization: Bearer ")));
}

/// A registry, token server and cloud in one, which lets nobody in and repeats why.
fn refusing() -> Far {
    Far::start(|host, asked| {
        let mut answer = match (asked.path.as_str(), asked.header("authorization")) {
            ("/token", _) => http::bytes(200, json!({"token": ISSUED, "access_token": ISSUED}).to_string()),
            ("/v2/", "") => http::plain(401),
            _ => http::plain(403),
        };
        let challenge = format!("Bearer realm=\"http://{host}/token\",service=\"s\"");
        answer.headers_mut().insert("www-authenticate", challenge.parse().unwrap());
        far::echo(answer, &asked.text().replace('\n', " "))
    })
}

#[test]
fn whoever_refuses_credentials_and_repeats_them_reveals_nothing() {
    let scratch = tempfile::tempdir().unwrap();
    let input = tempfile::tempdir().unwrap();
    fs::write(input.path().join("Dockerfile"), "FROM scratch\n").unwrap();
    let version =
        [("tag", "1"), ("digest", "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")];
    let version = version.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    for (fields, at_registry, at_cloud) in [
        (json!({"username": "user", "password": PASSWORD}), vec![PASSWORD, ISSUED], vec![]),
        (json!({"username": "<token>", "password": IDENTITY}), vec![IDENTITY, ISSUED], vec![]),
        (json!({"username": "_json_key", "password": JSON_KEY}), vec![JSON_KEY, ISSUED], vec![]),
        (
            json!({"aws_region": "eu-west-1", "aws_access_key_id": "AKIDEXAMPLECANARY", "aws_secret_access_key": AWS_KEY,
                "aws_session_token": AWS_SESSION}),
            vec![],
            vec![AWS_SESSION],
        ),
        (
            json!({"azure_acr": true, "azure_client_id": "c", "azure_tenant_id": "t", "azure_client_secret": AZURE}),
            vec![],
            vec![AZURE],
        ),
    ] {
        let (registry, cloud) = (refusing(), refusing());
        let mut source = json!({"repository": format!("{}/app", registry.host()), "tag": "1"});
        source.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let mut resource = concourse(scratch.path())
            .environment("AWS_ENDPOINT_URL", &cloud.url())
            .environment("AZURE_AUTHORITY_HOST", &cloud.url())
            .resource(source);
        let step = Put::new(json!({"dockerfile": "source/Dockerfile"})).artifact("source", input.path());
        let failures = [
            resource.check().unwrap_err(),
            resource.get(&version, &json!({})).err().unwrap(),
            resource.put(&step).err().unwrap(),
        ];
        for failure in &failures {
            assert_none("stdout", failure.stdout.as_bytes());
            assert_none("stderr", failure.stderr.as_bytes());
        }
        // What was repeated would have been shown; the answer to a HEAD has nothing to show.
        assert!(failures.iter().any(|failure| failure.stderr.contains("***")), "{failures:?}");
        assert_told("the registry", &heard(&registry), &at_registry);
        assert_told("the cloud", &heard(&cloud), &at_cloud);
    }
    assert_none_below(scratch.path());
}

#[test]
fn what_a_registry_points_to_is_told_nothing() {
    let elsewhere = Far::start(|_, asked| far::echo(http::plain(404), &asked.text().replace('\n', " ")));
    let place = elsewhere.url();
    let registry = Far::start(move |_, asked| match (asked.path.as_str(), asked.header("authorization")) {
        (_, "") => {
            let mut refusal = http::plain(401);
            refusal.headers_mut().insert("www-authenticate", "Basic realm=\"x\"".parse().unwrap());
            refusal
        }
        ("/v2/", _) => http::plain(200),
        ("/v2/app/tags/list", _) => {
            let mut page = http::bytes(200, json!({"name": "app", "tags": ["1.0.0"]}).to_string());
            page.headers_mut().insert("link", format!("<{place}/next>; rel=\"next\"").parse().unwrap());
            page
        }
        ("/v2/app/blobs/uploads/", _) => http::redirect(202, &format!("{place}/upload")),
        (path, _) => http::redirect(307, &format!("{place}{path}")),
    });
    let site =
        Site::new("image \"x\" {\n  file \"/a\" {\n    from_context { path = \"estaleiro.hcl\" }\n  }\n}\n");
    let source =
        json!({"repository": format!("{}/app", registry.host()), "username": "user", "password": PASSWORD});
    let scratch = tempfile::tempdir().unwrap();
    for tag in [json!("1"), Value::Null] {
        let mut source = source.clone();
        source["tag"] = tag;
        match concourse(scratch.path()).resource(source).check() {
            Ok(versions) => assert_eq!(versions, []),
            Err(failure) => assert_none("stderr", failure.stderr.as_bytes()),
        }
    }
    let mut push = site.verb("build");
    push.args([
        "--push",
        &format!("{}/app:1", registry.host()),
        "--username",
        "user",
        "--password",
        PASSWORD,
    ]);
    assert_none_said(&push.output().unwrap());
    assert_told("the registry", &heard(&registry), &[PASSWORD]);
    assert!(!elsewhere.asked().is_empty());
    assert_told("elsewhere", &heard(&elsewhere), &[]);
    assert!(elsewhere.asked().iter().all(|asked| asked.header("authorization").is_empty()));
}

#[test]
fn what_helpers_and_files_hold_is_for_the_command_line_alone_and_for_one_host_each() {
    let (own, base, mirror) =
        (echoing(basic("user", HELPER)), echoing(basic("user", REGISTRIES)), refusing());
    let site = Site::new("");
    site.put("Dockerfile", format!("FROM {}\n", base.name("base", "1")));
    let helper = site.path("bin/docker-credential-test");
    fs::create_dir(site.path("bin")).unwrap();
    fs::write(&helper, format!("#!/bin/sh\necho '{{\"Username\":\"user\",\"Secret\":\"{HELPER}\"}}'\n"))
        .unwrap();
    crate::support::run("chmod", &["755", helper.to_str().unwrap()]);
    let auth = |secret: &str| json!({"auth": BASE64_STANDARD.encode(format!("user:{secret}"))});
    let config = json!({
        "credHelpers": {own.host(): "test"}, "auths": {base.host(): auth(REGISTRIES), mirror.host(): auth(MIRROR)},
    });
    fs::create_dir(site.path("docker")).unwrap();
    fs::write(site.path("docker/config.json"), config.to_string()).unwrap();
    let mut build = site.loud_verb("build");
    build.args(["-f", "Dockerfile", "--push", &own.name("app", "1"), "--registry-mirror"]);
    build.arg(format!("{}={}", base.host(), mirror.host())).arg(".");
    build
        .env("DOCKER_CONFIG", site.path("docker"))
        .env("PATH", site.path("bin").display().to_string() + ":/usr/bin:/bin");
    let output = site.succeeds(&mut build);
    assert_none_said(&output);
    assert!(String::from_utf8_lossy(&output.stderr).contains("***"), "the mirror's refusal was told");
    for (path, bytes) in site.everything_kept() {
        assert_none(&path.display().to_string(), &bytes);
    }
    assert_told("own", &own.heard(), &[HELPER]);
    assert_told("base", &base.heard(), &[REGISTRIES]);
    assert_told("mirror", &heard(&mirror), &[MIRROR, ISSUED]);

    // A resource finds none of that.
    let source = json!({"repository": format!("{}/app", own.host()), "tag": "1"});
    let worker =
        concourse(&site.path("worker")).environment("DOCKER_CONFIG", site.path("docker").to_str().unwrap());
    let failure = worker.resource(source).check().unwrap_err();
    assert!(failure.stderr.contains("refused access without credentials"), "{}", failure.stderr);
}

#[test]
fn a_proxy_sees_its_own_password_and_repeats_it_in_vain() {
    let proxy = Far::start(|_, asked| {
        let status = if asked.header("proxy-authorization").is_empty() { 407 } else { 403 };
        far::echo(http::plain(status), &asked.text().replace('\n', " "))
    });
    let address = format!("http://user:{PROXY}@{}", proxy.host());
    let scratch = tempfile::tempdir().unwrap();
    for (variable, insecure) in [("HTTP_PROXY", true), ("HTTPS_PROXY", false)] {
        let source = json!({"repository": "registry.example/app", "tag": "1", "insecure": insecure});
        let concourse = concourse(scratch.path()).environment(variable, &address);
        let failure = concourse.resource(source).check().unwrap_err();
        assert_none("stderr", failure.stderr.as_bytes());
        let asked = proxy.asked().pop().unwrap();
        assert!(is_in(PROXY, asked.header("proxy-authorization")), "{asked:?}");
    }
}
