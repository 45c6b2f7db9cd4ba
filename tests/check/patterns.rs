//! Tags of a certain form, in the registry's order or by age.

use serde_json::json;

use crate::fleet::{check, image, registry, version};
use crate::support::Fault;
use crate::support::TestRegistry;
use crate::support::fault::ALWAYS;

#[test]
fn all_tags_that_match_are_listed_in_the_registrys_order() {
    let tags = "build-1=a build-10=b build-2=a latest=c v1=d";
    for (pattern, given, expected) in [
        ("^build-", None, "build-1 build-10 build-2"),
        (r"^build-\d$", None, "build-1 build-2"),
        ("1", None, "build-1 build-10 v1"),
        ("(?i)LATEST", None, "latest"),
        ("^nothing$", None, ""),
        ("^build-", Some(("build-10", "b")), "build-1 build-10 build-2"),
        ("^build-", Some(("build-3", "gone")), "build-1 build-10 build-2"),
    ] {
        let registry = registry(tags);
        let given = given.map(|(tag, name)| version(tag, name));
        let source = json!({"tag_regex": pattern});
        assert_eq!(check(&registry, &source, given.as_ref()).0, expected, "{pattern} {given:?}");
        assert_eq!(
            registry.log().count("HEAD", "/manifests/"),
            expected.split_terminator(' ').count(),
            "{pattern}"
        );
    }
}

#[test]
fn a_tag_wins_over_a_pattern() {
    let registry = registry("a=a b=b");
    assert_eq!(check(&registry, &json!({"tag": "a", "tag_regex": "b"}), None).0, "a");
}

#[test]
fn a_registry_without_head_is_asked_for_the_manifests() {
    let registry = registry("a=a b=b");
    registry.faults().fail("HEAD", "/manifests/", ALWAYS, Fault::Status(405));
    assert_eq!(check(&registry, &json!({"tag_regex": "."}), None).0, "a b");
}

/// Starts a registry with tags of images that were made at these times.
fn aged(tags: &[(&str, Option<&str>)]) -> TestRegistry {
    let registry = TestRegistry::start();
    for (tag, created) in tags {
        let image = image(tag);
        let image = if let Some(created) = created { image.field("created", json!(created)) } else { image };
        image.put(&registry, "app", Some(tag));
    }
    registry
}

#[test]
fn tags_may_be_listed_by_the_age_of_their_images() {
    let registry = aged(&[
        ("a", Some("2024-03-01T00:00:00Z")),
        ("b", Some("2024-01-01T00:00:00.2Z")),
        ("c", Some("2024-01-01T00:00:00.15Z")),
        ("d", None),
        ("e", Some("2024-01-01T01:00:00+01:00")),
        ("other", Some("2024-02-01T00:00:00Z")),
    ]);
    let source = json!({"tag_regex": "^.$", "created_at_sort": true});
    assert_eq!(check(&registry, &source, None).0, "d e c b a");
    assert_eq!(check(&registry, &json!({"tag_regex": "^.$"}), None).0, "a b c d e");
}

#[test]
fn tags_of_one_image_are_looked_at_once() {
    let registry = registry("a=x b=x c=x d=y");
    check(&registry, &json!({"tag_regex": ".", "created_at_sort": true}), None);
    assert_eq!(registry.log().count("HEAD", "/manifests/"), 4);
    assert_eq!(registry.log().count("GET", "/manifests/"), 2);
    assert_eq!(registry.log().count("GET", "/blobs/"), 2);
}

#[test]
fn a_list_of_referrers_is_no_version() {
    let list = format!("sha256-{}=a", "0".repeat(64));
    let registry = registry(&format!("a=b {list}"));
    assert_eq!(check(&registry, &json!({"tag_regex": ".*"}), None).0, "a");
}
