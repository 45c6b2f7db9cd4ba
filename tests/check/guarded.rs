//! A real registry that wants a password and shows a certificate by an authority of its own.

use serde_json::{Value, json};

use crate::fleet::{image, version};
use crate::support::concourse::{Failure, Put, Resource};
use crate::support::tarball::Tarball;
use crate::support::{Concourse, DockerRegistry, TestImage, run};

/// Pushes an image as other people do.
pub(crate) fn push(registry: &DockerRegistry, repository: &str, tag: &str, image: &TestImage) {
    let layout = tempfile::tempdir().unwrap();
    image.write_layout(layout.path(), tag);
    let from = format!("oci:{}:{tag}", layout.path().display());
    let to = format!("docker://{}", registry.name(repository, tag));
    let certificates = registry.certificate_directory().to_str().unwrap();
    run(
        "skopeo",
        &["copy", "--quiet", "--dest-creds", "alice:hunter2", "--dest-cert-dir", certificates, &from, &to],
    );
}

fn source(registry: &DockerRegistry, more: &Value) -> Value {
    let mut source = more.clone();
    source["repository"] = json!(format!("{}/team/app", registry.host()));
    source["username"] = json!("alice");
    source["password"] = json!("hunter2");
    source["ca_certs"] = json!([registry.certificate_authority()]);
    source
}

fn tags(resource: &mut Resource) -> String {
    let versions = resource.check().unwrap_or_else(|failure| panic!("{}", failure.stderr));
    versions.iter().map(|version| version["tag"].as_str()).collect::<Vec<_>>().join(" ")
}

#[test]
fn all_kinds_of_checks_are_answered() {
    let registry = DockerRegistry::guarded("IP:127.0.0.1");
    for (tag, name, day) in
        [("1.0.0", "a", 1), ("1.1.0", "b", 2), ("1.1", "b", 2), ("main", "c", 4), ("latest", "d", 3)]
    {
        let image = image(name).config("Labels", json!({"name": name}));
        let created = json!(format!("2024-01-0{day}T00:00:00Z"));
        push(&registry, "team/app", tag, &image.field("created", created));
    }
    for (more, expected) in [
        (json!({"tag": "main"}), "main"),
        (json!({"tag": "gone"}), ""),
        (json!({}), "1.0.0 1.1.0 latest"),
        (json!({"semver_constraint": "^1.0.1"}), "1.1.0"),
        (json!({"tag_regex": r"^1\.1$"}), "1.1"),
        (json!({"tag_regex": "^[a-z]+$", "created_at_sort": true}), "latest main"),
        (json!({"label_regex": {"name": "[ac]"}}), "1.0.0"),
    ] {
        let mut resource = Concourse::new().resource(source(&registry, &more));
        assert_eq!(tags(&mut resource), expected, "{more}");
    }
}

#[test]
fn what_is_put_is_checked_and_got() {
    let registry = DockerRegistry::guarded("IP:127.0.0.1");
    let yard = tempfile::tempdir().unwrap();
    let definition = r#"image "team/app" { symlink "/usr/bin/app" { target = "/opt/app" } }"#;
    std::fs::write(yard.path().join("estaleiro.hcl"), definition).unwrap();
    let state = tempfile::tempdir().unwrap();
    let concourse = Concourse::new().environment("ESTALEIRO_STATE", state.path().to_str().unwrap());
    let mut resource = concourse.resource(source(&registry, &json!({})));
    let put = resource.put(&Put::new(json!({"definition": "yard"})).artifact("yard", yard.path()));
    let (put, got) = put.unwrap_or_else(|failure| panic!("{}", failure.stderr));
    let got = got.unwrap();
    assert_eq!(got.path("rootfs/usr/bin/app").read_link().unwrap().to_str(), Some("/opt/app"));
    assert!(got.read("bom.yml").contains("product_name"));
    assert_eq!((got.read("tag").as_str(), tags(&mut resource).as_str()), ("latest", "latest"));
    assert_eq!(resource.versions(), [put.version]);
}

#[test]
fn an_image_of_other_people_is_got_as_a_whole() {
    let registry = DockerRegistry::guarded("IP:127.0.0.1");
    let hello = image("a").layer(&Tarball::new().file("hello", 0o644, "ahoy"));
    push(&registry, "team/app", "1.0.0", &hello);
    let mut resource = Concourse::new().resource(source(&registry, &json!({})));
    let version = resource.check().unwrap().remove(0);
    let got = resource.get(&version, &json!({})).unwrap();
    assert_eq!(got.read("rootfs/hello"), "ahoy");
}

#[test]
fn who_is_not_let_in_is_told_why() {
    let registry = DockerRegistry::guarded("IP:127.0.0.1");
    push(&registry, "team/app", "1.0.0", &image("a"));
    for (field, value, expected) in [
        ("password", json!("hunter3"), "the registry refused the credentials (401 Unauthorized"),
        ("ca_certs", json!([]), "certificate"),
    ] {
        let mut source = source(&registry, &json!({}));
        source[field] = value;
        let mut resource = Concourse::new().resource(source);
        let check = resource.check().unwrap_err();
        let get = resource.get(&version("1.0.0", "a"), &json!({})).unwrap_err();
        for Failure { status, stdout, stderr } in [check, get] {
            assert_eq!((status, stdout.as_str()), (Some(1), ""));
            assert!(stderr.contains(expected) && !stderr.contains("hunter"), "{stderr}");
        }
    }
}
