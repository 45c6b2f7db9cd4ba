//! What the stories have in common: repositories whose tags are written on a line, and checks of them.

use std::collections::BTreeMap;

use estaleiro::digest::Digest;
use serde_json::{Value, json};

use crate::support::concourse::{Failure, Resource, Version};
use crate::support::{Concourse, TestImage, TestRegistry};

/// Returns the image of this name; two of one name are the same.
pub(crate) fn image(name: &str) -> TestImage {
    TestImage::new().config("Env", json!([format!("NAME={name}")]))
}

/// Starts a registry whose repository `app` has these tags: `1.0=a latest=a`, with names of images.
pub(crate) fn registry(tags: &str) -> TestRegistry {
    let registry = TestRegistry::start();
    for tag in tags.split(' ').filter(|tag| !tag.is_empty()) {
        let (tag, name) = tag.split_once('=').unwrap();
        image(name).put(&registry, "app", Some(tag));
    }
    registry
}

/// Returns the version with this tag of the image of this name.
pub(crate) fn version(tag: &str, name: &str) -> Version {
    version_of(tag, &image(name).digest())
}

/// Returns the version with this tag and digest.
pub(crate) fn version_of(tag: &str, digest: &Digest) -> Version {
    BTreeMap::from([("tag".to_owned(), tag.to_owned()), ("digest".to_owned(), digest.to_string())])
}

/// Returns a resource with this source, to which the name of the repository `app` is added.
pub(crate) fn resource(registry: &TestRegistry, source: &Value) -> Resource {
    let mut source = source.clone();
    source["repository"] = json!(format!("{}/app", registry.host()));
    Concourse::new().resource(source)
}

/// Checks, and returns the versions as they are written on a line, with what people saw.
pub(crate) fn check(registry: &TestRegistry, source: &Value, given: Option<&Version>) -> (String, String) {
    let (versions, stderr) =
        resource(registry, source).check_from(given).unwrap_or_else(|failure| panic!("{}", failure.stderr));
    (line(registry, &versions), stderr)
}

/// Checks in vain, and returns what people saw.
pub(crate) fn fails(registry: &TestRegistry, source: &Value) -> String {
    let Failure { status, stdout, stderr } = resource(registry, source).check_from(None).unwrap_err();
    assert_eq!((status, stdout.as_str()), (Some(1), ""), "{stderr}");
    stderr
}

/// Returns the tags of versions; one that is not what its tag stands for has a question mark.
fn line(registry: &TestRegistry, versions: &[Version]) -> String {
    let shown = versions.iter().map(|version| {
        let tag = version["tag"].clone();
        let is_current =
            registry.resolve("app", &tag).is_some_and(|digest| digest.to_string() == version["digest"]);
        if is_current { tag } else { tag + "?" }
    });
    shown.collect::<Vec<_>>().join(" ")
}

/// Returns what was asked of the repository `app`, without the parts that are always the same.
pub(crate) fn asked(registry: &TestRegistry) -> Vec<String> {
    let lines = registry.log().lines().into_iter();
    lines.map(|line| line.replace("/v2/app/", "")).collect()
}
