//! Credentials that docker, podman and their helpers keep: where they are looked for, whom they are shown, what goes wrong.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::site::{Site, assert_said};
use crate::support::registry::{Auth, Options};
use crate::support::{TestImage, TestRegistry};

/// Two registries, each for one user: a base is in the first, the image goes to the second.
struct Port {
    site: Site,
    base: TestRegistry,
    target: TestRegistry,
}

impl Port {
    fn new() -> Port {
        let auth = |user: &str| {
            let (user, password) = (user.to_owned(), format!("canary of {user}"));
            Options { auth: Auth::Bearer { user, password, anonymous_pull: false }, ..Options::default() }
        };
        let (base, target) = (TestRegistry::with(auth("baser")), TestRegistry::with(auth("owner")));
        TestImage::new().put(&base, "team/base", Some("1"));
        let name = base.name("team/base", "1");
        let mut site = Site::new(&format!("image \"x\" {{\n  base_image = \"{name}\"\n}}\n"));
        site.call(base.host(), "base.example");
        site.call(target.host(), "registry.example");
        Port { site, base, target }
    }

    /// Writes a file outside the context, and returns its path.
    fn write(&self, name: &str, content: &Value) -> String {
        let path = self.site.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content.to_string()).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// Makes a helper of a shell script, which finds the registry in `$server`.
    fn helper(&self, name: &str, script: &str) {
        let path = self.site.path("bin").join(format!("docker-credential-{name}"));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let asked = self.site.path("asked");
        let head = format!("#!/bin/sh\nread server\necho {name} $1 $server >> {}\n", asked.display());
        fs::write(&path, head + script).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn push(&self, variables: &[(&str, &str)]) -> Command {
        let mut push = self.site.verb("build");
        push.args(["--push", &self.target.name("team/app", "1")]);
        push.env("PATH", format!("{}:/usr/bin:/bin", self.site.path("bin").display()));
        push.envs(variables.iter().copied());
        push
    }

    fn auths(&self) -> Value {
        json!({"auths": {self.base.host(): auth("baser"), self.target.host(): auth("owner")}})
    }

    fn assert_pushed(&self, push: &mut Command) {
        let output = self.site.succeeds(push);
        assert!(!self.site.said(&output.stderr).contains("canary"));
        assert_eq!(self.target.tags("team/app"), ["1"]);
    }

    fn assert_refused(&self, push: &mut Command) {
        let said = self.site.fails(1, push);
        assert!(said.contains("refused access without credentials"), "{said}");
    }
}

fn auth(user: &str) -> Value {
    json!({"auth": BASE64_STANDARD.encode(format!("{user}:canary of {user}"))})
}

#[test]
fn what_docker_and_podman_keep_is_used_wherever_they_keep_it() {
    for (file, variable, value) in [
        ("docker/config.json", "DOCKER_CONFIG", "docker"),
        ("home/.docker/config.json", "HOME", "home"),
        ("run/containers/auth.json", "XDG_RUNTIME_DIR", "run"),
        ("auth.json", "REGISTRY_AUTH_FILE", "auth.json"),
        ("auth.json", "ESTALEIRO_AUTHFILE", "auth.json"),
    ] {
        let port = Port::new();
        port.write(file, &port.auths());
        let value = port.site.path(value);
        let variables = [(variable, value.to_str().unwrap())];
        port.assert_refused(&mut port.push(&[]));
        port.assert_refused(port.push(&variables).args(["--authfile", "none"]));
        port.assert_pushed(&mut port.push(&variables));
    }
}

#[test]
fn podmans_file_comes_before_dockers_which_knows_the_rest() {
    let port = Port::new();
    let podman = json!({"auths": {
        format!("{}/team", port.base.host()): auth("baser"),
        port.base.host(): {"auth": "b3RoZXI6bm90IGhlcmU="},
    }});
    port.write("run/containers/auth.json", &podman);
    port.write(
        "docker/config.json",
        &json!({"auths": {format!("https://{}/v2/", port.target.host()): auth("owner")}}),
    );
    let (run, docker) = (port.site.path("run"), port.site.path("docker"));
    let variables = [("XDG_RUNTIME_DIR", run.to_str().unwrap()), ("DOCKER_CONFIG", docker.to_str().unwrap())];
    port.assert_pushed(&mut port.push(&variables));
}

#[test]
fn a_given_user_is_for_the_registry_that_is_pushed_to_and_comes_first() {
    let port = Port::new();
    let wrong = json!({"auths": {port.base.host(): auth("baser"), port.target.host(): auth("nobody")}});
    let file = port.write("auth.json", &wrong);
    let variables = [("ESTALEIRO_USERNAME", "owner"), ("ESTALEIRO_PASSWORD", "canary of owner")];
    port.assert_pushed(port.push(&variables).args(["--authfile", &file]));
}

#[test]
fn helpers_are_asked_once_each_and_for_what_they_know() {
    let port = Port::new();
    let answer =
        |user: &str| format!(r#"echo '{{"ServerURL":"x","Username":"{user}","Secret":"canary of {user}"}}'"#);
    port.helper("own", &answer("baser"));
    port.helper("store", &answer("owner"));
    let config = json!({"credsStore": "store", "credHelpers": {port.base.host(): "own"}, "auths": {port.base.host(): {}}});
    let file = port.write("auth.json", &config);
    port.assert_pushed(port.push(&[]).args(["--authfile", &file]));
    let asked = fs::read_to_string(port.site.path("asked")).unwrap();
    let mut asked: Vec<&str> = asked.lines().collect();
    asked.sort_unstable();
    assert_eq!(asked, [format!("own get {}", port.base.host()), format!("store get {}", port.target.host())]);
    let image = port.target.name("team/app", "1");
    let output = port.site.succeeds(
        port.site
            .estaleiro(&["bom", &image, "--authfile", &file])
            .env("PATH", format!("{}:/usr/bin:/bin", port.site.path("bin").display())),
    );
    assert!(String::from_utf8(output.stdout).unwrap().contains("product_name"));
}

#[test]
fn where_a_helper_knows_nobody_the_file_may_and_else_nobody_asks() {
    let port = Port::new();
    port.helper("store", "echo credentials not found in native keychain; exit 1");
    let mut config = json!({"credsStore": "store"});
    let file = port.write("auth.json", &config);
    port.assert_refused(port.push(&[]).args(["--authfile", &file]));
    config["auths"] = port.auths()["auths"].clone();
    port.write("auth.json", &config);
    port.assert_pushed(port.push(&[]).args(["--authfile", &file]));
}

#[test]
fn a_helper_that_fails_is_named_and_what_it_says_is_not_shown() {
    let port = Port::new();
    port.helper("locked", "echo canary is locked; echo canary >&2; exit 3");
    port.helper("garbled", r#"echo '{"Username": "canary"'"#);
    port.helper("loud", "yes canary | head -c 100000");
    for (name, reason) in [
        ("locked", "it failed (exit status: 3)"),
        ("garbled", "its answer is not as expected"),
        ("loud", "it says more than 65536 bytes"),
        ("absent", "No such file or directory (os error 2)"),
        ("../bin/locked", "that is no name of a helper"),
    ] {
        let file = port.write("auth.json", &json!({"credHelpers": {port.target.host(): name}}));
        assert_said(
            &port.site.fails(1, port.push(&[]).args(["--authfile", &file])),
            &format!(
                "error: cannot ask docker-credential-{name} for the credentials of registry.example: {reason}\n\
                 hint: try it with `echo registry.example | docker-credential-{name} get`; --authfile none does without"
            ),
        );
    }
}

#[test]
fn an_identity_token_of_a_helper_goes_to_the_token_server() {
    let port = Port::new();
    port.helper("own", r#"echo '{"Username":"<token>","Secret":"canary"}'"#);
    let file = port.write("auth.json", &json!({"credsStore": "own"}));
    let said = port.site.fails(1, port.push(&[]).args(["--authfile", &file]));
    assert!(!said.contains("canary"), "{said}");
    assert_eq!(port.target.log().count("POST", "/token"), 1);
}

#[test]
fn a_file_that_cannot_be_read_is_named_and_not_shown() {
    let port = Port::new();
    let hint = "hint: --authfile names another file, and `none` reads none";
    let broken = port.write("broken.json", &json!({"auths": "canary"}));
    assert_said(
        &port.site.fails(2, port.push(&[]).args(["--authfile", &broken])),
        &format!(
            "error: cannot read credentials from SITE/broken.json: it is not as expected at line 1, column 17\n{hint}"
        ),
    );
    assert_said(
        &port.site.fails(2, port.push(&[]).args(["--authfile", "../absent.json"])),
        &format!(
            "error: cannot read credentials from ../absent.json: No such file or directory (os error 2)\n{hint}"
        ),
    );
    let config = json!({"auths": {port.target.host(): {"auth": "canary"}}});
    let file = port.write("auth.json", &config);
    assert_said(
        &port.site.fails(1, port.push(&[]).args(["--authfile", &file])),
        &format!(
            "error: cannot read credentials from SITE/auth.json: `auth` of registry.example is not the base64 of a name, a colon and a password\n{hint}"
        ),
    );
}
