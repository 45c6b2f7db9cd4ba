//! How the task reaches registries, and who it is there.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;

use crate::support::registry::{Auth, Options};
use crate::support::{self, DockerRegistry, TestImage, TestRegistry};
use crate::yard::Yard;

#[test]
fn credentials_are_those_of_a_docker_configuration_or_of_the_params() {
    let auth = Auth::Bearer { user: "me".into(), password: "hunter2".into(), anonymous_pull: false };
    let guarded = TestRegistry::with(Options { auth, ..Options::default() });
    TestImage::new().config("User", json!("guarded")).put(&guarded, "app", Some("1"));
    let host = guarded.host();
    let yard = Yard::with(&format!("FROM {host}/app:1\nLABEL x=1"));
    let stderr = yard.fail(2, &[("CONTEXT", "source")]);
    assert!(stderr.contains(&format!("{host}/app")), "{stderr}");
    let auths = json!({"auths": {&host: {"auth": BASE64_STANDARD.encode("me:hunter2")}}});
    yard.write("docker/config.json", auths.to_string());
    yard.write("home/.docker/config.json", auths.to_string());
    let login = [("DOCKER_REGISTRY", &*host), ("DOCKER_USERNAME", "me"), ("DOCKER_PASSWORD", "hunter2")];
    let home = yard.path("home").display().to_string();
    for params in [
        &[("DOCKER_CONFIG", "docker")][..],
        &[("REGISTRY_AUTH_FILE", "docker/config.json")],
        &[("HOME", &home)],
        &login,
    ] {
        let _ = std::fs::remove_dir_all(yard.path("image"));
        let _ = std::fs::remove_dir_all(yard.path("cache"));
        yard.directory("image");
        yard.directory("cache");
        let stderr = yard.build_source(params);
        assert_eq!(yard.config("image")["config"]["User"], "guarded");
        assert!(!stderr.contains("hunter2") && !stderr.contains("has no param"), "{stderr}");
    }
}

#[test]
fn an_authority_of_one_s_own_is_trusted() {
    let registry = DockerRegistry::guarded("IP:127.0.0.1");
    let yard = Yard::new();
    let layout = yard.path("base").display().to_string();
    TestImage::new().config("User", json!("trusted")).write_layout(&yard.path("base"), "1");
    let certificates = registry.certificate_directory().display().to_string();
    let target = format!("docker://{}", registry.name("base", "1"));
    let source = format!("oci:{layout}:1");
    let arguments =
        ["copy", "--insecure-policy", "--dest-creds", "alice:hunter2", "--dest-cert-dir", &certificates];
    support::run("skopeo", &[&arguments[..], &[&source, &target]].concat());
    yard.write("source/Dockerfile", format!("FROM {}\nLABEL x=1", registry.name("base", "1")));
    yard.write("certs/ca.pem", registry.certificate_authority());
    let host = registry.host();
    let login = [
        ("CONTEXT", "source"),
        ("DOCKER_REGISTRY", &*host),
        ("DOCKER_USERNAME", "alice"),
        ("DOCKER_PASSWORD", "hunter2"),
    ];
    yard.fail(2, &login);
    yard.build(&[&login[..], &[("CA_CERTS", "certs/ca.pem")]].concat());
    assert_eq!(yard.config("image")["config"]["User"], "trusted");
}
