//! Tags that are version numbers, in their order. Most cases are those of registry-image's own tests.

use serde_json::{Value, json};

use crate::fleet::{asked, check, registry, version};
use crate::support::Fault;
use crate::support::fault::ALWAYS;

/// Tags, the source, a version that is given, and the answer.
type Case<'a> = (&'a str, Value, Option<(&'a str, &'a str)>, &'a str);

fn hold(cases: &[Case<'_>]) {
    for (tags, source, given, expected) in cases {
        let registry = registry(tags);
        let given = given.map(|(tag, name)| version(tag, name));
        assert_eq!(check(&registry, source, given.as_ref()).0, *expected, "{tags}, {source}, {given:?}");
    }
}

#[test]
fn versions_come_in_their_order_whatever_the_registrys_is() {
    hold(&[
        ("10.0.0=c 2.0.0=b 1.2.1=a", json!({}), None, "1.2.1 2.0.0 10.0.0"),
        ("v1.9=a v1.10=b", json!({}), None, "v1.9 v1.10"),
        ("22.04=a 20.04=b main=c 2024_01=d 1.2.3.4=e", json!({}), None, "20.04 22.04"),
        ("main=a", json!({}), None, ""),
        ("", json!({}), None, ""),
    ]);
}

#[test]
fn each_image_is_one_version_by_the_tag_that_says_most() {
    hold(&[
        (
            "1=a 2=b 2.1=b latest=c 3=c 3.2=c 3.2.1=c 3.1=d 3.1.0=d 3.0=e 3.0.0=e",
            json!({}),
            None,
            "1 2.1 3.0.0 3.1.0 3.2.1",
        ),
        ("1.0.0-rc.1=a 1.0.0-rc1=a 1.0.0-rc=a 1.0.0=a", json!({"pre_releases": true}), None, "1.0.0"),
        ("1.0.0-rc.1=a 1=a", json!({"pre_releases": true}), None, "1"),
        ("1.0.0-rc.2=a 1.0.0-rc=a", json!({"pre_releases": true}), None, "1.0.0-rc.2"),
        ("1.2.3=a 1.2.4=a v1.2.3=a", json!({}), None, "1.2.3"),
    ]);
}

#[test]
fn the_bare_tag_comes_last_if_no_version_is_the_same_image() {
    hold(&[
        ("1.0.0=a other=b latest=c", json!({}), None, "1.0.0 latest"),
        ("1=a 2=b 3=c latest=c", json!({}), None, "1 2 3"),
        ("1=a 2=b 3=c latest=b", json!({}), None, "1 2 3"),
        ("1=a 2=b 3=c latest=a", json!({}), Some(("2", "b")), "2 3"),
        ("1=a 2=b 3=c latest=d", json!({}), Some(("2", "b")), "2 3 latest"),
        ("1=a 2=b latest=c", json!({}), Some(("latest", "c")), "1 2 latest"),
        ("latest=a", json!({}), None, "latest"),
        ("1.0.0=a latest=b", json!({"semver_constraint": "1.x"}), None, "1.0.0"),
        ("1.0.0=a latest=b", json!({"variant": "alpine"}), None, ""),
    ]);
}

#[test]
fn a_variant_is_what_all_versions_end_with() {
    hold(&[
        (
            "latest=a 1.0.0=a 0.9.0=b foo=c 1.0.0-foo=c 0.9.0-foo=d bar=e 1.0.0-bar=e 0.9.0-bar=f",
            json!({"variant": "foo"}),
            None,
            "0.9.0-foo 1.0.0-foo",
        ),
        (
            "latest=a 1.0.0=a foo=c 0.8.0-foo=d bar=e 1.0.0-bar=e",
            json!({"variant": "foo"}),
            None,
            "0.8.0-foo foo",
        ),
        (
            "1.0.0-foo=a 1.0.0-rc.1-foo=b 1.0.0-alpha.1-foo=c 1.0.0-bar-foo=d 1.0.0-rc.1-bar-foo=e",
            json!({"variant": "foo", "pre_releases": true}),
            None,
            "1.0.0-alpha.1-foo 1.0.0-rc.1-foo 1.0.0-foo",
        ),
        ("1-php7.3-apache=a 1-apache=b", json!({"variant": "php7.3-apache"}), None, "1-php7.3-apache"),
        ("1-alpine=a 2-alpine=b", json!({"variant": "alpine", "semver_constraint": ">1"}), None, "2-alpine"),
    ]);
}

#[test]
fn pre_releases_are_wanted_or_not() {
    let tags = "1.0.0-alpha.1=a 1.0.0=b 1.2.1-beta.1=c 1.2.1=d 2.0.0-rc.1=e 2.0.0-rc.10=f 2.0.0-rc.9=g 2.0.0-foo.1=h";
    hold(&[
        (tags, json!({}), None, "1.0.0 1.2.1"),
        (
            tags,
            json!({"pre_releases": true}),
            None,
            "1.0.0-alpha.1 1.0.0 1.2.1-beta.1 1.2.1 2.0.0-rc.1 2.0.0-rc.9 2.0.0-rc.10",
        ),
        (
            tags,
            json!({"pre_releases": true, "pre_release_prefixes": ["foo"]}),
            None,
            "1.0.0 1.2.1 2.0.0-foo.1",
        ),
        (tags, json!({"pre_releases": true, "semver_constraint": ">1"}), None, ""),
        (tags, json!({"pre_releases": true, "semver_constraint": ">1.0.0 <2-0"}), None, "1.2.1-beta.1 1.2.1"),
        (
            "1-alpha2=a 1-alpha1=b 1-rc=c 1-foo1=d",
            json!({"pre_releases": true}),
            None,
            "1-alpha1 1-alpha2 1-rc",
        ),
    ]);
}

#[test]
fn a_constraint_leaves_out_what_it_does_not_allow() {
    let tags = "1.0.0=a 1.2.1=b 1.2.2=c 2.0.0=d latest=e";
    hold(&[
        (tags, json!({"semver_constraint": "1.2.x"}), None, "1.2.1 1.2.2"),
        (tags, json!({"semver_constraint": "<1.2 || ^2"}), None, "1.0.0 2.0.0"),
        (tags, json!({"semver_constraint": "1.0 - 1.2.1"}), None, "1.0.0 1.2.1"),
        (tags, json!({"semver_constraint": "~1, != 1.2.1"}), None, "1.0.0 1.2.2"),
        (tags, json!({"semver_constraint": "1.2.x"}), Some(("1.0.0", "a")), "1.2.1 1.2.2"),
    ]);
}

#[test]
fn only_what_is_newer_than_a_given_version_is_listed_as_long_as_its_tag_stays() {
    let tags = "1.0.0=a 1.2.1=b 2.0.0=c";
    hold(&[
        (tags, json!({}), Some(("1.2.1", "b")), "1.2.1 2.0.0"),
        (tags, json!({}), Some(("2.0.0", "c")), "2.0.0"),
        (tags, json!({}), Some(("1.2.1", "moved")), "1.0.0 1.2.1 2.0.0"),
        (tags, json!({}), Some(("1.1.0", "gone")), "1.0.0 1.2.1 2.0.0"),
        ("1.2=a 1.2.0=a 1.1=b", json!({}), Some(("1.2", "a")), "1.2"),
        ("1.2=a 1.2.3=a", json!({}), Some(("1.2", "a")), "1.2.3"),
    ]);
}

#[test]
fn nothing_is_asked_that_cannot_matter() {
    let tags = "0.9=z 1.0.0=a 1.2.1=b 2.0.0=c 2.1.0-rc.1=d latest=c main=e";
    let registry = registry(tags);
    check(&registry, &json!({}), Some(&version("1.2.1", "b")));
    assert_eq!(
        asked(&registry),
        [
            "GET /v2/ 200",
            "GET tags/list 200",
            "HEAD manifests/1.2.1 200",
            "HEAD manifests/2.0.0 200",
            "HEAD manifests/latest 200"
        ]
    );
    registry.log().clear();
    check(&registry, &json!({"semver_constraint": "1.x"}), None);
    let mut asked = asked(&registry);
    asked.sort();
    assert_eq!(
        asked,
        ["GET /v2/ 200", "GET tags/list 200", "HEAD manifests/1.0.0 200", "HEAD manifests/1.2.1 200"]
    );
}

#[test]
fn a_tag_that_goes_away_meanwhile_is_no_version_and_one_that_nobody_understands_is_told() {
    let registry = registry("1=a 2=b 3=c");
    registry.faults().fail("*", "/manifests/2", ALWAYS, Fault::Status(404));
    assert_eq!(check(&registry, &json!({}), None).0, "1 3");
    registry.faults().heal();
    registry.faults().fail("HEAD", "/manifests/2", ALWAYS, Fault::Status(405));
    registry.faults().fail("GET", "/manifests/2", ALWAYS, Fault::WrongBytes);
    let (versions, stderr) = check(&registry, &json!({}), None);
    assert_eq!(versions, "1 3");
    assert!(
        stderr.contains(&format!(
            "warning: cannot resolve {}/app:2: the manifest cannot be read",
            registry.host()
        )),
        "{stderr}"
    );
}
