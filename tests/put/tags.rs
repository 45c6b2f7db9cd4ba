//! Under which tags a put puts, an image that is there as well as one that it builds.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::images;
use crate::pier::{self, APP, Yard};
use crate::support::concourse::Put;
use crate::support::{Compression, TestRegistry};

/// Puts an image with these params, beside `existing` tags; returns the tags in the order in which they were moved.
fn moved(more: &Value, params: &Value, existing: &[&str]) -> Vec<String> {
    let registry = TestRegistry::start();
    let mut source = pier::source(&registry.host(), "app");
    source.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let other = images::image(Compression::None);
    for tag in existing {
        other.put(&registry, "app", Some(tag));
    }
    let input = tempfile::tempdir().unwrap();
    images::image(Compression::Gz).write_layout(&input.path().join("oci"), "x");
    fs::write(input.path().join("more"), "nightly  5\n6\n").unwrap();
    fs::write(input.path().join("name"), "7\n").unwrap();
    let mut all = json!({"image": "image/oci"});
    all.as_object_mut().unwrap().extend(params.as_object().unwrap().clone());
    let step = Put { no_get: true, ..Put::new(all).artifact("image", input.path()) };
    let (outcome, _) = pier::run(&source, &step).unwrap_or_else(|failure| panic!("{}", failure.stderr));
    let tags = tags_moved(&registry);
    assert_eq!(outcome.version["tag"], tags[0]);
    assert_eq!(outcome.metadata("tags"), Some(&*tags.join(" ")));
    for tag in &tags {
        assert_eq!(registry.resolve("app", tag).unwrap().to_string(), outcome.version["digest"]);
    }
    tags
}

fn tags_moved(registry: &TestRegistry) -> Vec<String> {
    let puts = registry.log().requests().into_iter().filter(|request| request.is("PUT", "/manifests/"));
    let names = puts.map(|request| request.path.rsplit('/').next().unwrap().to_owned());
    names.filter(|name| !name.starts_with("sha256")).collect()
}

#[test]
fn tags_come_from_the_source_a_version_its_aliases_and_files() {
    for (source, params, existing, expected) in [
        (json!({}), json!({}), &[][..], "latest"),
        (json!({"tag": "edge"}), json!({}), &[], "edge"),
        (json!({}), json!({"version": "1.2.3"}), &[], "1.2.3"),
        (json!({"tag": "edge"}), json!({"version": "v1.2"}), &[], "edge 1.2.0"),
        (json!({"variant": "slim"}), json!({"version": 1}), &[], "1.0.0-slim"),
        (json!({}), json!({"version": "1.2.3", "bump_aliases": true}), &[], "1.2.3 latest 1 1.2"),
        (json!({}), json!({"version": "1.2.3", "bump_aliases": true}), &["1.3.0", "1"], "1.2.3 1.2"),
        (json!({}), json!({"version": "1.2.3-rc.1", "bump_aliases": true}), &[], "1.2.3-rc.1"),
        (
            json!({"variant": "slim"}),
            json!({"version": "1.2.3", "bump_aliases": true}),
            &["2.0.0"],
            "1.2.3-slim slim 1-slim 1.2-slim",
        ),
        (json!({"tag": "edge"}), json!({"additional_tags": "image/more"}), &[], "edge nightly 5 6"),
        (
            json!({"tag": "edge"}),
            json!({"additional_tags": "image/more", "tag_prefix": "v"}),
            &[],
            "edge vnightly v5 v6",
        ),
        (json!({"tag": "edge"}), json!({"tag_file": "image/name"}), &[], "7"),
        (
            json!({}),
            json!({"tag_file": "image/name", "tag_prefix": "v", "tag_as_latest": true}),
            &[],
            "v7 latest",
        ),
        (json!({}), json!({"tag_as_latest": true}), &[], "latest"),
    ] {
        assert_eq!(moved(&source, &params, existing).join(" "), expected, "{source} {params}");
    }
}

#[test]
fn a_build_has_the_same_tags_and_goes_on_from_whichever_there_is() {
    let registry = TestRegistry::start();
    let source = pier::source(&registry.host(), "app");
    let yard = Yard::new(APP);
    let put = |version: &str| {
        let params = json!({"definition": "source", "version": version, "bump_aliases": true});
        pier::run(&source, &pier::with_params(&yard, params)).unwrap().0
    };
    let first = put("1.0.0");
    assert_eq!(first.metadata("tags"), Some("1.0.0 latest 1 1.0"));
    assert_eq!(tags_moved(&registry), ["1.0.0", "latest", "1", "1.0"]);
    let second = put("1.1.0");
    assert_eq!(second.version["digest"], first.version["digest"]);
    assert_eq!(second.metadata("steps"), Some("0 built, 2 cached"));
}

#[test]
fn a_put_of_what_was_built_before_writes_nothing_and_asks_for_each_thing_once() {
    let registry = TestRegistry::start();
    let source = pier::source(&registry.host(), "app");
    let yard = Yard::new(APP);
    let first = pier::put(&source, &yard);
    registry.log().clear();
    let second = pier::put(&source, &yard);
    assert_eq!(first.version, second.version);
    assert_eq!(pier::writes(&registry), Vec::<String>::new());
    let lines = registry.log().lines();
    assert!(lines.len() <= 11, "{} {lines:#?}", lines.len());
}

#[test]
fn what_is_no_tag_is_refused_before_anything_is_pushed() {
    for (params, text, told) in [
        (json!({"version": "one"}), "", "cannot use version `one`"),
        (json!({"additional_tags": "image/t"}), "a:b", "cannot put under the tag `a:b`"),
        (json!({"additional_tags": "image/t", "tag_prefix": "-"}), "a", "cannot put under the tag `-a`"),
        (json!({"tag_file": "image/t"}), "", "cannot use tag_file image/t: expected one tag, got 0"),
        (json!({"tag_file": "image/gone"}), "", "the input image has no such file"),
    ] {
        let registry = TestRegistry::start();
        let input = tempfile::tempdir().unwrap();
        write_image(input.path());
        fs::write(input.path().join("t"), text).unwrap();
        let mut all = json!({"image": "image/oci"});
        all.as_object_mut().unwrap().extend(params.as_object().unwrap().clone());
        let step = Put { no_get: true, ..Put::new(all).artifact("image", input.path()) };
        let failure = pier::run(&pier::source(&registry.host(), "app"), &step).unwrap_err();
        assert!(failure.stderr.contains(told), "{}", failure.stderr);
        assert_eq!(pier::writes(&registry), Vec::<String>::new());
    }
}

fn write_image(directory: &Path) {
    images::image(Compression::Gz).write_layout(&directory.join("oci"), "x");
}
