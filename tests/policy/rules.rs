//! Rules that images break, each in a put that pushes nothing.

use std::process::Command;

use serde_json::{Value, json};

use crate::pier::{self, APP, Yard, base_image};
use crate::support::image::{UNPACKS, a_base_that_unpacks};
use crate::support::{Archive, Deb, Key, Tarball, TestRegistry};

const KEY: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIA==\n-----END PRIVATE KEY-----\n";

/// Returns a registry's source with a policy.
fn source(registry: &TestRegistry, policy: &Value) -> Value {
    json!({"repository": format!("{}/app", registry.host()), "policy": policy})
}

/// Puts a yard in vain, and returns what was said; nothing reached the registry.
fn refused(registry: &TestRegistry, source: &Value, yard: &Yard, params: Value) -> String {
    registry.log().clear();
    let failure = pier::run(source, &pier::with_params(yard, params)).expect_err("the put fails");
    assert_eq!(pier::writes(registry), Vec::<String>::new());
    assert!(failure.stderr.contains("nothing was pushed"), "{}", failure.stderr);
    failure.stderr
}

#[test]
fn all_that_is_wrong_is_told_at_once_and_nothing_is_pushed() {
    let registry = TestRegistry::start();
    base_image().put(&registry, "library/base", Some("1"));
    let name = registry.name("library/base", "1");
    let yard = Yard::new(&format!(
        "image \"x\" {{ base_image = \"{name}\" }}\npolicy {{\n  allow_images = [\"debian\"]\n  require_digests = true\n}}\n"
    ));
    let source = source(&registry, &json!({"allow_images": ["registry.example/*"]}));
    let said = refused(&registry, &source, &yard, json!({"definition": "source"}));
    for expected in [
        format!("- allow_images (source/estaleiro.hcl:3): the image {name} is not allowed"),
        format!("- require_digests (source/estaleiro.hcl:4): the image {name} is named without a digest"),
        format!("- allow_images (source.policy:2): the image {name} is not allowed"),
        "hint: use an image that is allowed (debian), or have this one allowed".to_owned(),
    ] {
        assert!(said.contains(&expected), "{said}");
    }
}

#[test]
fn a_sources_policy_is_not_loosened_by_a_definition_or_by_params() {
    let registry = TestRegistry::start();
    let yard = Yard::new(&format!("{APP}policy {{ require_non_root = false }}\n"));
    yard.write("loose.hcl", "policy { require_non_root = false }");
    let source = source(&registry, &json!("policy {\n  require_non_root = true\n}"));
    let params = json!({"definition": "source", "policy_file": "source/loose.hcl"});
    let said = refused(&registry, &source, &yard, params);
    assert!(said.contains("require_non_root (source.policy:2): the image names no user"), "{said}");
}

#[test]
fn params_may_name_a_policy_and_the_definition_may_keep_it() {
    let registry = TestRegistry::start();
    let yard = Yard::new(APP);
    yard.write("strict.hcl", "policy { require_non_root = true }");
    let params = json!({"definition": "source", "policy_file": "source/strict.hcl"});
    let source = pier::source(&registry.host(), "app");
    let said = refused(&registry, &source, &yard, params.clone());
    assert!(said.contains("require_non_root (source/strict.hcl:1)"), "{said}");
    yard.write("estaleiro.hcl", APP.replacen('{', "{\nrun_as = \"1000\"", 1));
    pier::run(&source, &pier::with_params(&yard, params))
        .unwrap_or_else(|failure| panic!("{}", failure.stderr));
}

#[test]
fn a_put_that_has_nothing_to_do_is_judged_all_the_same() {
    let registry = TestRegistry::start();
    let yard = Yard::new(&APP.replace("app.sh", "key.pem"));
    yard.write("key.pem", KEY);
    let put = pier::put(&pier::source(&registry.host(), "app"), &yard);
    let strict = source(&registry, &json!({"allow_private_keys": []}));
    let said = refused(&registry, &strict, &yard, json!({"definition": "source"}));
    assert!(said.contains("allow_private_keys (source.policy:2): /opt/app holds a private key"), "{said}");
    // A policy is no part of the image.
    let lenient = source(&registry, &json!({"allow_private_keys": ["/opt/*"], "require_digests": true}));
    assert_eq!(pier::digest(&pier::put(&lenient, &yard)), pier::digest(&put));
}

#[test]
fn a_dockerfile_is_judged_too() {
    let registry = TestRegistry::start();
    base_image().put(&registry, "library/base", Some("1"));
    let yard = Yard::new("");
    let name = registry.name("library/base", "1");
    yard.write("Dockerfile", format!("FROM {name}\nRUN one\nRUN --network=none two\n"));
    let rules = json!({"deny_network": true, "allow_images": ["debian"]});
    let said =
        refused(&registry, &source(&registry, &rules), &yard, json!({"dockerfile": "source/Dockerfile"}));
    assert!(said.contains("a command reaches the network: RUN one"), "{said}");
    assert!(
        said.contains(&format!("the image {name} is not allowed")) && !said.contains("RUN --network"),
        "{said}"
    );

    yard.write("Dockerfile", format!("FROM {name}\nCOPY key.pem /etc/\nUSER root:root\n"));
    yard.write("key.pem", KEY);
    let rules = json!({"require_non_root": true, "allow_private_keys": ["/etc/ssl/**"]});
    let said =
        refused(&registry, &source(&registry, &rules), &yard, json!({"dockerfile": "source/Dockerfile"}));
    assert!(said.contains("the image runs as root: its user is `root:root`"), "{said}");
    assert!(said.contains("/etc/key.pem holds a private key"), "{said}");
}

#[test]
fn what_the_bases_dpkg_writes_on_its_own_account_needs_leave_and_is_told_with_all_else() {
    let registry = TestRegistry::start();
    let keeps_a_book = UNPACKS.replacen('\n', "\necho \"$@\" >>/var/lib/book\n", 1);
    let dpkg = Tarball::new().file("usr/bin/dpkg", 0o755, keeps_a_book);
    a_base_that_unpacks("").layer(&dpkg).put(&registry, "base", Some("1"));
    let archive = Archive::new().add(Deb::new("tool", "1").file("/usr/bin/tool", 0o755, "tool"));
    let archive = archive.without_sources().sign_with(&Key::ed25519()).serve();
    let yard = Yard::new(&format!(
        "image \"x\" {{\n base_image = \"{}\"\n apt {{\n sources = \"none\"\n package \"tool\" {{}}\n }}\n}}\n",
        registry.name("base", "1")
    ));
    let keys = json!([{"name": "archive", "key": archive.key()}]);
    let with = |rules: Value| {
        let mut source = source(&registry, &rules);
        source["platform"] = json!({"architecture": "amd64", "os": "linux"});
        source["apt"] = json!({"repositories": [archive.line("signed-by=archive")], "keys": keys});
        source
    };
    let params = json!({"definition": "source"});
    let untold = "nothing tells where /var/lib/book comes from";
    for (rules, expected) in [
        (json!({}), vec![format!("- allow_unaccounted (by default): {untold}")]),
        (
            json!({"allow_unaccounted": ["/etc/**"], "require_non_root": true}),
            vec![
                "- require_non_root (source.policy:3): ".to_owned(),
                format!(
                    "- allow_unaccounted (source.policy:2): {untold}\n  hint: find out what writes there"
                ),
            ],
        ),
    ] {
        let said = refused(&registry, &with(rules), &yard, params.clone());
        assert!(expected.iter().all(|line| said.contains(line)), "{said}");
    }
    pier::put(&with(json!({"allow_unaccounted": ["/var/lib/*"]})), &yard);
}

#[test]
fn an_image_that_was_built_elsewhere_is_judged_by_what_it_brings() {
    let registry = TestRegistry::start();
    let yard = Yard::new(APP);
    let layout = format!("oci:{}", yard.path().join("layout").display());
    let state = tempfile::tempdir().unwrap();
    let built = Command::new(env!("CARGO_BIN_EXE_estaleiro"))
        .args(["build", "--quiet", "--output", &layout, "--state"])
        .arg(state.path())
        .arg(yard.path())
        .status();
    assert!(built.unwrap().success());
    let params = json!({"image": "source/layout"});
    let rules = json!({"require_non_root": true, "require_verified_vcs": true, "require_digests": true});
    let said = refused(&registry, &source(&registry, &rules), &yard, params.clone());
    assert!(said.contains("the image names no user") && said.contains("/opt/app is: it lay in no"), "{said}");

    base_image().write_layout(&yard.path().join("bare"), "latest");
    let said = refused(&registry, &source(&registry, &rules), &yard, json!({"image": "source/bare"}));
    assert!(said.contains("the image names no user"), "{said}");
    let rules = json!({"require_sources": true});
    let put = pier::with_params(&yard, json!({"image": "source/bare"}));
    let (outcome, _) =
        pier::run(&source(&registry, &rules), &put).unwrap_or_else(|failure| panic!("{}", failure.stderr));
    assert!(outcome.stderr.contains("brings no bill of materials: of the policy only"), "{}", outcome.stderr);
}

#[test]
fn a_policy_that_cannot_be_read_is_refused_with_its_line() {
    let registry = TestRegistry::start();
    let yard = Yard::new(APP);
    let wrong = source(&registry, &json!({"require_nonroot": true}));
    let said = pier::put_in_vain(&wrong, &yard).stderr;
    assert!(said.contains("source field `policy`") && said.contains("`require_non_root`?"), "{said}");
}

#[test]
fn on_the_command_line_every_policy_counts() {
    let yard = Yard::new(APP);
    yard.write("a.hcl", "policy { require_non_root = true }");
    yard.write("b.hcl", "policy { allow_private_keys = [] }");
    yard.write("app.sh", KEY);
    let build = |policies: &[&str]| {
        let state = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_estaleiro"));
        command.current_dir(yard.path()).args(["build", "--quiet", "--output", "oci:layout", "--state"]);
        command.arg(state.path()).args(policies).env("NO_COLOR", "1").output().unwrap()
    };
    let refused = build(&["--policy", "a.hcl", "--policy", "b.hcl"]);
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(
        said.contains("require_non_root (a.hcl:1)") && said.contains("allow_private_keys (b.hcl:1)"),
        "{said}"
    );
    assert!(!yard.path().join("layout/index.json").exists());
    let missing = build(&["--policy", "c.hcl"]);
    let said = String::from_utf8(missing.stderr).unwrap();
    assert_eq!(missing.status.code(), Some(2), "{said}");
    assert!(said.contains("cannot read policy c.hcl"), "{said}");
    assert!(build(&[]).status.success());
}
