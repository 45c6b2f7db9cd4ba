//! Repositories with very many tags.

use serde_json::{Value, json};

use crate::fleet::{check, image, version_of};
use crate::support::TestRegistry;

const N_TAGS: usize = 10_000;
const N_PAGES: usize = N_TAGS / 1000;

/// Starts a registry with ten thousand versions, each another image: `0.0.0` to `99.9.9`.
fn fleet() -> TestRegistry {
    let registry = TestRegistry::start();
    image("a").put(&registry, "app", None);
    let mut manifest: Value = serde_json::from_slice(&image("a").manifest_bytes()).unwrap();
    let kind = manifest["mediaType"].as_str().unwrap().to_owned();
    for number in 0..N_TAGS {
        let tag = format!("{}.{}.{}", number / 100, number / 10 % 10, number % 10);
        manifest["annotations"] = json!({"number": number.to_string()});
        registry.put_manifest("app", Some(&tag), &kind, manifest.to_string().as_bytes());
    }
    registry
}

#[test]
fn each_tag_is_asked_for_once_and_from_then_on_only_newer_ones() {
    let registry = fleet();
    let (versions, _) = check(&registry, &json!({}), None);
    let versions: Vec<&str> = versions.split(' ').collect();
    assert_eq!((versions.len(), versions[0], versions[N_TAGS - 1]), (N_TAGS, "0.0.0", "99.9.9"));
    assert_eq!(registry.log().count("HEAD", "/manifests/"), N_TAGS);
    assert_eq!(registry.log().requests().len(), 1 + N_PAGES + N_TAGS);

    registry.log().clear();
    let given = version_of("99.9.7", &registry.resolve("app", "99.9.7").unwrap());
    assert_eq!(check(&registry, &json!({}), Some(&given)).0, "99.9.7 99.9.8 99.9.9");
    assert_eq!(registry.log().requests().len(), 1 + N_PAGES + 3);

    registry.log().clear();
    assert_eq!(check(&registry, &json!({"semver_constraint": "~42.7"}), None).0.split(' ').count(), 10);
    assert_eq!(registry.log().requests().len(), 1 + N_PAGES + 10);
}
