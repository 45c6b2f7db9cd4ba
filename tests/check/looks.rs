//! Images are chosen by their labels and annotations, those of the platform that is wanted.

use estaleiro::digest::Digest;
use serde_json::{Value, json};

use crate::fleet::{check, image, version_of};
use crate::support::image::put_index;
use crate::support::{TestImage, TestRegistry};

fn labelled(name: &str, labels: Value) -> TestImage {
    image(name).config("Labels", labels)
}

#[test]
fn all_labels_that_are_asked_for_must_match() {
    let registry = TestRegistry::start();
    labelled("a", json!({"stage": "production", "team": "ship"})).put(&registry, "app", Some("1"));
    labelled("b", json!({"stage": "test", "team": "ship"})).put(&registry, "app", Some("2"));
    image("c").put(&registry, "app", Some("3"));
    labelled("d", json!({"stage": "pre-production"})).put(&registry, "app", Some("latest"));
    for (labels, expected) in [
        (json!({"stage": "^production$"}), "1"),
        (json!({"stage": "production"}), "1 latest"),
        (json!({"team": "^ship$"}), "1 2"),
        (json!({"team": "^ship$", "stage": "te"}), "2"),
        (json!({"stage": ""}), "1 2 latest"),
        (json!({"other": ".*"}), ""),
        (json!({}), "1 2 3 latest"),
    ] {
        let source = json!({"label_regex": labels});
        assert_eq!(check(&registry, &source, None).0, expected, "{source}");
    }
    for (mode, expected) in
        [(json!({"tag": "1"}), "1"), (json!({"tag": "2"}), ""), (json!({"tag_regex": "."}), "1 latest")]
    {
        let mut source = mode.clone();
        source["label_regex"] = json!({"stage": "production"});
        assert_eq!(check(&registry, &source, None).0, expected, "{source}");
    }
}

#[test]
fn the_labels_of_what_is_no_candidate_are_not_read() {
    let registry = TestRegistry::start();
    for tag in ["1", "2", "main", "3-rc.1"] {
        labelled(tag, json!({"a": "b"})).put(&registry, "app", Some(tag));
    }
    let given = version_of("2", &registry.resolve("app", "2").unwrap());
    check(&registry, &json!({"label_regex": {"a": "b"}}), Some(&given));
    assert_eq!(registry.log().count("GET", "/blobs/"), 1);
}

/// Puts an image whose manifest has annotations.
fn annotated(registry: &TestRegistry, name: &str, tag: Option<&str>, annotations: Value) -> Digest {
    image(name).put(registry, "app", None);
    let mut manifest: Value = serde_json::from_slice(&image(name).manifest_bytes()).unwrap();
    manifest["annotations"] = annotations;
    let kind = manifest["mediaType"].as_str().unwrap().to_owned();
    registry.put_manifest("app", tag, &kind, manifest.to_string().as_bytes())
}

#[test]
fn annotations_are_read_from_manifests_alone() {
    let registry = TestRegistry::start();
    annotated(&registry, "a", Some("1"), json!({"org.example.stage": "production"}));
    annotated(&registry, "b", Some("2"), json!({"org.example.stage": "test"}));
    image("c").put(&registry, "app", Some("3"));
    let source = json!({"annotation_regex": {"org.example.stage": "^prod"}});
    assert_eq!(check(&registry, &source, None).0, "1");
    assert_eq!(registry.log().count("GET", "/blobs/"), 0);
}

#[test]
fn annotations_of_an_index_count_for_its_images() {
    let registry = TestRegistry::start();
    let child = annotated(&registry, "a", None, json!({"a": "own", "b": "own"}));
    let (kind, bytes) = registry.manifest("app", &child.to_string()).unwrap();
    let entry = json!({"mediaType": kind, "digest": child.to_string(), "size": bytes.len(),
        "platform": {"os": "linux", "architecture": "amd64"}});
    let index = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [entry], "annotations": {"a": "index", "c": "index"}});
    let kind = index["mediaType"].as_str().unwrap();
    registry.put_manifest("app", Some("1"), kind, index.to_string().as_bytes());
    for (wanted, expected) in
        [(json!({"a": "own"}), "1"), (json!({"a": "index"}), ""), (json!({"b": "own", "c": "index"}), "1")]
    {
        let source = json!({"annotation_regex": wanted, "platform": {"architecture": "amd64"}});
        assert_eq!(check(&registry, &source, None).0, expected, "{source}");
    }
}

#[test]
fn of_an_index_the_image_for_the_platform_is_looked_at() {
    let registry = TestRegistry::start();
    let of = |architecture: &str, stage: &str, created: &str| {
        labelled(architecture, json!({"stage": stage}))
            .field("architecture", json!(architecture))
            .field("created", json!(created))
    };
    let (early, late) = ("2024-01-01T00:00:00Z", "2024-02-01T00:00:00Z");
    put_index(&registry, "app", "1", &[&of("amd64", "production", early), &of("arm64", "test", late)]);
    put_index(&registry, "app", "2", &[&of("amd64", "test", late), &of("arm64", "production", early)]);
    put_index(&registry, "app", "3", &[&of("s390x", "production", late)]);
    for (architecture, production, by_age) in
        [("amd64", "1", "1 2"), ("arm64", "2", "2 1"), ("s390x", "3", "3")]
    {
        let platform = json!({"architecture": architecture, "os": "linux"});
        let source = json!({"label_regex": {"stage": "^production$"}, "platform": platform});
        assert_eq!(check(&registry, &source, None).0, production, "{architecture}");
        let source = json!({"tag_regex": ".", "created_at_sort": true, "platform": platform});
        assert_eq!(check(&registry, &source, None).0, by_age, "{architecture}");
    }
}

#[test]
fn an_artifact_that_is_no_image_has_no_labels_and_no_age() {
    let registry = TestRegistry::start();
    let config = registry.put_blob("app", b"{}");
    let kind = "application/vnd.oci.image.manifest.v1+json";
    let artifact = json!({"schemaVersion": 2, "mediaType": kind, "artifactType": "application/x", "layers": [],
        "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": config.to_string(), "size": 2}});
    registry.put_manifest("app", Some("1"), kind, artifact.to_string().as_bytes());
    labelled("b", json!({"a": "b"})).field("created", json!("2024-01-01T00:00:00Z")).put(
        &registry,
        "app",
        Some("0"),
    );
    assert_eq!(check(&registry, &json!({"label_regex": {"a": "b"}}), None).0, "0");
    assert_eq!(check(&registry, &json!({"tag_regex": ".", "created_at_sort": true}), None).0, "1 0");
    assert_eq!(check(&registry, &json!({}), None).0, "0 1");
}

#[test]
fn an_image_whose_configuration_is_none_is_told_and_left_out() {
    let registry = TestRegistry::start();
    labelled("a", json!({"a": "b"})).put(&registry, "app", Some("1"));
    let odd = labelled("b", json!({"a": ["b"]})).put(&registry, "app", Some("2"));
    assert_ne!(Some(odd), registry.resolve("app", "1"));
    let (versions, stderr) = check(&registry, &json!({"label_regex": {"a": "b"}}), None);
    assert_eq!(versions, "1");
    assert!(
        stderr.contains(&format!(
            "warning: cannot read the configuration of image {}/app: invalid type",
            registry.host()
        )),
        "{stderr}"
    );
}
