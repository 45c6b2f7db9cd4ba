//! Dockerfiles in a put: what stands in the place of their stages and images, and whom the image is for.

use std::os::unix::fs::symlink;

use serde_json::{Value, json};

use crate::pier::{self, Yard};
use crate::support::concourse::{Inputs, Put};
use crate::support::{Tarball, TestImage, TestRegistry};

const DOCKERFILE: &str = "FROM team/base\nCOPY --from=lib lib.txt /\n";

/// An input with a Dockerfile, one with a library, and one with a base in a layout, as a get would leave it.
struct Three {
    source: Yard,
    lib: Yard,
    base: Yard,
}

fn inputs() -> Three {
    let inputs = Three { source: Yard::new(""), lib: Yard::new(""), base: Yard::new("") };
    inputs.source.write("Dockerfile", DOCKERFILE);
    inputs.lib.write("lib.txt", "lib");
    let image = TestImage::new().layer(&Tarball::new().file("from", 0o644, "layout"));
    image.config("Labels", json!({"of": "base"})).write_layout(&inputs.base.path().join("oci"), "1");
    inputs
}

fn step(inputs: &Three, contexts: &Value) -> Put {
    let params = json!({"dockerfile": "source/Dockerfile", "build_contexts": contexts});
    let step = pier::with_params(&inputs.source, params);
    step.artifact("lib", inputs.lib.path()).artifact("base", inputs.base.path())
}

#[test]
fn names_stand_for_inputs_that_the_params_name() {
    let registry = TestRegistry::start();
    let source = pier::source(&registry.host(), "app");
    let (inputs, in_layout) = (inputs(), json!({"oci_layout": "base/oci", "tag": 1}));
    let (outcome, _) =
        pier::run(&source, &step(&inputs, &json!({"lib": "lib", "team/base": in_layout}))).unwrap();
    let config = pier::config(&registry, "app", "latest");
    assert_eq!(config["config"]["Labels"], json!({"of": "base"}));
    assert_eq!(pier::layers(&registry, "app", "latest").len(), 2);
    let manifest = pier::manifest(&registry, "app", "latest");
    let annotations = manifest["annotations"].as_object().unwrap();
    assert!(annotations["org.opencontainers.image.base.digest"].is_string(), "{manifest}");
    assert!(!annotations.contains_key("org.opencontainers.image.base.name"), "nobody else could find it");
    let account = pier::small_files(&source, &outcome).read("bom.yml");
    assert!(account.contains("kind: oci-layout") && account.contains("kind: directory"), "{account}");
}

#[test]
fn an_input_in_the_name_of_a_layout_is_not_seen_by_concourse() {
    let registry = TestRegistry::start();
    let source = pier::source(&registry.host(), "app");
    let inputs = inputs();
    let contexts = json!({"lib": "lib", "team/base": "oci-layout://base/oci:1"});
    let failure = pier::run(&source, &step(&inputs, &contexts)).expect_err("it is not mounted");
    assert!(failure.stderr.contains("write {oci_layout: base/oci}"), "{}", failure.stderr);
    let all = Put { inputs: Inputs::All, ..step(&inputs, &contexts) };
    pier::run(&source, &all).unwrap();
}

#[test]
fn a_name_stands_for_nothing_outside_of_the_inputs() {
    let registry = TestRegistry::start();
    let source = pier::source(&registry.host(), "app");
    let inputs = inputs();
    symlink("/etc", inputs.lib.path().join("link")).unwrap();
    for (context, told) in [
        (json!("/etc"), "/etc is no path among the put's inputs"),
        (json!("lib/../../etc"), "is no path among the put's inputs"),
        (json!("lib/link"), "a symbolic link leads out"),
        (json!("oci-layout:///etc"), "/etc is no path among the put's inputs"),
        (json!({"oci_layout": "/etc"}), "expected a path among the put's inputs"),
        (json!("none"), "there is no input none"),
        (json!({"oci_layout": "lib"}), "is no OCI layout"),
    ] {
        let failure =
            pier::run(&source, &step(&inputs, &json!({"lib": context}))).expect_err("it is refused");
        assert!(failure.stderr.contains(told), "{context}: {}", failure.stderr);
    }
}

#[test]
fn an_image_is_for_the_platform_of_the_source() {
    let registry = TestRegistry::start();
    let mut source = pier::source(&registry.host(), "app");
    source["platform"] = json!({"architecture": "arm64", "variant": "v8"});
    let yard = Yard::new("");
    yard.write("Dockerfile", "FROM scratch\nARG TARGETPLATFORM\nCOPY app.sh /$TARGETPLATFORM/\n");
    let params = json!({"dockerfile": "source/Dockerfile"});
    pier::run(&source, &pier::with_params(&yard, params)).unwrap();
    let config = pier::config(&registry, "app", "latest");
    assert_eq!((&config["os"], &config["architecture"]), (&json!("linux"), &json!("arm64")));
    assert_eq!(config["variant"], Value::Null);
}
