//! `cache_from`: what was built for another tag, repository or registry is not built again.

use estaleiro::digest::Digest;
use serde_json::{Value, json};

use crate::pier::{self, APP, Yard};
use crate::support::TestRegistry;
use crate::support::concourse::Outcome;

/// A registry in which the image is known as `app:latest`, put by somebody else.
fn registry_with_app(yard: &Yard) -> (TestRegistry, Vec<Digest>) {
    let registry = TestRegistry::start();
    pier::put(&pier::source(&registry.host(), "app"), yard);
    let layers = pier::layers(&registry, "app", "latest");
    registry.log().clear();
    (registry, layers)
}

/// Puts the yard from an empty worker, with other images to look at.
fn put(source: &Value, yard: &Yard, cache_from: &Value) -> Outcome {
    let step = pier::with_params(yard, json!({"definition": "source", "cache_from": cache_from}));
    pier::run(source, &step).unwrap_or_else(|failure| panic!("{}", failure.stderr)).0
}

fn of_tag(source: &Value, tag: &str) -> Value {
    let mut source = source.clone();
    source["tag"] = json!(tag);
    source
}

#[test]
fn another_tag_of_the_repository_is_named_after_a_colon() {
    let yard = Yard::new(APP);
    let (registry, layers) = registry_with_app(&yard);
    let source = of_tag(&pier::source(&registry.host(), "app"), "branch");
    let outcome = put(&source, &yard, &json!([":latest"]));
    assert_eq!(outcome.metadata("steps"), Some("0 built, 2 cached"), "{}", outcome.stderr);
    assert_eq!(pier::layers(&registry, "app", "branch"), layers);
    let moved = [pier::uploads(&registry), pier::downloads(&registry)].concat();
    assert!(!moved.iter().any(|blob| layers.contains(blob)), "{moved:?}");
}

#[test]
fn layers_of_another_repository_are_taken_over_by_the_registry() {
    let yard = Yard::new(APP);
    let (registry, layers) = registry_with_app(&yard);
    let source = pier::source(&registry.host(), "branches/app");
    let outcome = put(&source, &yard, &json!([registry.name("app", "latest")]));
    assert_eq!(outcome.metadata("steps"), Some("0 built, 2 cached"), "{}", outcome.stderr);
    assert_eq!(pier::layers(&registry, "branches/app", "latest"), layers);
    let mounts = pier::mounts(&registry);
    assert!(layers.iter().all(|layer| mounts.get(layer).is_some_and(|from| from == "app")), "{mounts:?}");
    assert!(!pier::downloads(&registry).iter().any(|blob| layers.contains(blob)));
}

#[test]
fn layers_of_another_registry_are_brought_and_not_built() {
    let yard = Yard::new(APP);
    let (there, layers) = registry_with_app(&yard);
    let here = TestRegistry::start();
    let outcome = put(&pier::source(&here.host(), "app"), &yard, &json!([there.name("app", "latest")]));
    assert_eq!(outcome.metadata("steps"), Some("0 built, 2 cached"), "{}", outcome.stderr);
    assert_eq!(pier::layers(&here, "app", "latest"), layers);
    let account = |registry: &TestRegistry| {
        pier::small_files(&pier::source(&registry.host(), "app"), &outcome).read("bom.yml")
    };
    assert_eq!(account(&here), account(&there));
}

#[test]
fn of_several_images_each_lends_what_the_others_lack() {
    let yard = Yard::new(APP);
    let (registry, layers) = registry_with_app(&yard);
    let own = pier::source(&registry.host(), "own");
    yard.write("app.sh", "#!/bin/sh\necho adeus\n");
    pier::put(&own, &yard);
    yard.write("app.sh", "#!/bin/sh\necho ahoy\n");
    let names = json!([registry.name("nothing", "here"), registry.name("app", "latest")]);
    let outcome = put(&own, &yard, &names);
    assert_eq!(outcome.metadata("steps"), Some("0 built, 2 cached"), "{}", outcome.stderr);
    assert_eq!(pier::layers(&registry, "own", "latest"), layers);
}

#[test]
fn one_that_cannot_be_had_is_said_so_and_done_without() {
    let yard = Yard::new(APP);
    let (registry, _) = registry_with_app(&yard);
    let source = of_tag(&pier::source(&registry.host(), "app"), "branch");
    let nobody = "127.0.0.1:1/app:latest";
    pier::base_image().put(&registry, "base", Some("1"));
    let names = json!([nobody, ":nothing", registry.name("base", "1")]);
    let outcome = put(&source, &yard, &names);
    assert_eq!(outcome.metadata("steps"), Some("2 built, 0 cached"));
    let told = &outcome.stderr;
    assert!(told.contains(&format!("warning: cache_from {nobody}: ")), "{told}");
    for name in [registry.name("app", "nothing"), registry.name("base", "1")] {
        let warning = format!("warning: cache_from {name}: it has no cache record that could be used");
        assert!(told.contains(&warning), "{told}");
    }
}

#[test]
fn what_is_no_image_is_refused() {
    let yard = Yard::new(APP);
    let step = pier::with_params(&yard, json!({"definition": "source", "cache_from": ["Not an image"]}));
    let failure = pier::run(&pier::source("registry.example", "app"), &step).unwrap_err();
    assert!(failure.stderr.contains("cannot use cache_from Not an image"), "{}", failure.stderr);
    assert!(failure.stderr.contains("hint: write `:TAG`"), "{}", failure.stderr);
}
