//! One tag is followed, as its digest changes.

use serde_json::json;

use crate::fleet::{asked, check, fails, image, registry, resource, version};
use crate::support::Fault;
use crate::support::fault::ALWAYS;

#[test]
fn a_tag_is_what_it_stands_for_and_what_it_stood_for() {
    let older = |tag: &'static str, name: &'static str| Some(version(tag, name));
    for (tags, tag, given, expected) in [
        ("1=a 2=b", json!("1"), None, "1"),
        ("1=a 2=b", json!(2), None, "2"),
        ("1.5=a", json!(1.5), None, "1.5"),
        ("1=a", json!("1"), older("1", "a"), "1"),
        ("1=b old=a", json!("1"), older("1", "a"), "1? 1"),
        ("1=b", json!("1"), older("1", "a"), "1"),
        ("2=b", json!("1"), None, ""),
        ("2=a", json!("1"), older("1", "a"), ""),
        ("", json!("1"), None, ""),
    ] {
        let registry = registry(tags);
        let source = json!({"tag": tag});
        assert_eq!(check(&registry, &source, given.as_ref()).0, expected, "{tags} {source} {given:?}");
    }
}

#[test]
fn a_tag_is_asked_for_by_head_alone() {
    let registry = registry("1=b old=a");
    check(&registry, &json!({"tag": "1"}), Some(&version("1", "a")));
    let old = format!("HEAD manifests/{} 200", image("a").digest());
    assert_eq!(asked(&registry), ["GET /v2/ 200", "HEAD manifests/1 200", &old]);
    let head = registry.log().requests().remove(1);
    let accept = head.header("accept").unwrap();
    for kind in [
        "vnd.oci.image.index.v1",
        "vnd.oci.image.manifest.v1",
        "distribution.manifest.list.v2",
        "distribution.manifest.v2",
    ] {
        assert!(accept.contains(kind), "{accept}");
    }
    assert_eq!(head.header("authorization"), None);
}

#[test]
fn a_registry_without_head_is_asked_for_the_manifest() {
    let registry = registry("1=b old=a");
    registry.faults().fail("HEAD", "/manifests/", ALWAYS, Fault::Status(405));
    assert_eq!(check(&registry, &json!({"tag": "1"}), Some(&version("1", "a"))).0, "1? 1");
    assert_eq!(registry.log().count("GET", "/manifests/"), 2);
}

#[test]
fn a_version_without_a_tag_gets_the_sources() {
    let registry = registry("1=b old=a");
    let mut given = version("1", "a");
    given.remove("tag");
    let (versions, _) = resource(&registry, &json!({"tag": "1"})).check_from(Some(&given)).unwrap();
    assert_eq!(versions, [version("1", "a"), version("1", "b")]);
}

#[test]
fn a_registry_that_fails_is_no_registry_without_versions() {
    let registry = registry("1=a");
    registry.faults().fail("*", "/manifests/", ALWAYS, Fault::Status(400));
    let stderr = fails(&registry, &json!({"tag": "1"}));
    let expected = format!(
        "cannot resolve {0}/app:1: GET http://{0}/v2/app/manifests/1 was answered 400",
        registry.host()
    );
    assert!(stderr.contains(&expected), "{stderr}");
}
