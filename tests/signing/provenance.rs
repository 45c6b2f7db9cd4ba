//! How an image came to be: what is told of it, when it is attached, and that it is signed.

use serde_json::{Value, json};

use crate::pier::{self, APP, Yard};
use crate::shore::{ENVELOPE, PROVENANCE, signed_in, signed_source, statement, tag};
use crate::support::TestRegistry;
use crate::support::concourse::{Outcome, Put};
use crate::support::cosign::KeyPair;

/// Takes a step in build 4711 of a pipeline, or in another one, on an empty worker.
fn in_build(id: &str, source: &Value, step: &Put) -> Outcome {
    let state = tempfile::tempdir().unwrap();
    let concourse = pier::concourse(state.path()).with_build_variables().environment("BUILD_ID", id);
    let (outcome, _) =
        concourse.resource(source.clone()).put(step).unwrap_or_else(|f| panic!("{}", f.stderr));
    outcome
}

fn provenance(source: &Value, outcome: &Outcome) -> Value {
    serde_json::from_str(&pier::small_files(source, outcome).read("provenance.json")).unwrap()
}

#[test]
fn it_tells_what_was_asked_for_what_was_used_and_in_which_build() {
    let registry = TestRegistry::start();
    let source = pier::source(&registry.host(), "app");
    let base = pier::base_image().put(&registry, "base", Some("1"));
    let base_name = registry.name("base", "1");
    let definition = APP.replacen('{', &format!("{{\nbase_image = \"{base_name}\""), 1);
    let yard = Yard::new(&definition);
    let vars = json!({"definition": "source", "vars": {"commit": "c0ffee", "api_token": "hunter2"}});
    let outcome = in_build("4711", &source, &pier::with_params(&yard, vars));
    let told = provenance(&source, &outcome);
    assert!(!told.to_string().contains("hunter2"), "{told}");
    assert_eq!(told["_type"], "https://in-toto.io/Statement/v1");
    assert_eq!(told["predicateType"], "https://slsa.dev/provenance/v1");
    assert_eq!(told["subject"][0]["name"], format!("{}/app", registry.host()));
    assert_eq!(told["subject"][0]["digest"]["sha256"], pier::digest(&outcome).hex());
    let built = &told["predicate"]["buildDefinition"];
    let asked = &built["externalParameters"];
    assert_eq!(asked["definition"]["name"], "source/estaleiro.hcl");
    assert_eq!(asked["definition"]["digest"]["sha256"], estaleiro::digest::Digest::of(&definition).hex());
    assert_eq!(asked["variables"], json!({"commit": "c0ffee", "api_token": "***"}));
    assert!(asked["platform"].as_str().unwrap().starts_with("linux/"));
    let used = &built["resolvedDependencies"][0];
    assert_eq!(used["digest"]["sha256"], base.hex());
    assert_eq!(used["uri"], format!("oci://{base_name}@{base}"));
    assert_eq!(built["internalParameters"]["concourse"]["BUILD_PIPELINE_NAME"], "shipyard");
    assert!(built["internalParameters"]["lock"]["digest"]["sha256"].is_string(), "none was given");
    let run = &told["predicate"]["runDetails"];
    assert_eq!(run["metadata"], json!({"invocationId": "http://concourse.example/builds/4711"}));
    assert_eq!(run["builder"]["version"]["estaleiro"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn a_build_that_makes_nothing_leaves_the_last_one_and_one_that_does_tells_its_own() {
    let (registry, yard) = (TestRegistry::start(), Yard::new(APP));
    let source = pier::source(&registry.host(), "app");
    let id = |outcome: &Outcome| {
        let told = provenance(&source, outcome);
        told["predicate"]["buildDefinition"]["internalParameters"]["concourse"]["BUILD_ID"].clone()
    };
    let first = in_build("1", &source, &pier::step(&yard));
    registry.log().clear();
    let again = in_build("2", &source, &pier::step(&yard));
    assert_eq!(pier::writes(&registry), [""; 0]);
    assert_eq!((id(&first), &first.version), (json!("1"), &again.version));
    let anew = pier::with_params(&yard, json!({"definition": "source", "no_cache": true}));
    let rebuilt = in_build("3", &source, &anew);
    assert_eq!((id(&rebuilt), &rebuilt.version), (json!("3"), &first.version));
}

#[test]
fn the_same_build_tells_the_same() {
    let pair = KeyPair::new();
    let told = [TestRegistry::start(), TestRegistry::start()].map(|registry| {
        let source = signed_source(&registry.host(), &pair);
        let outcome = in_build("4711", &source, &pier::step(&Yard::new(APP)));
        let told = pier::small_files(&source, &outcome).read("provenance.json");
        statement(told.as_bytes())["predicate"].to_string()
    });
    assert_eq!(told[0], told[1]);
}

#[test]
fn with_a_key_it_is_in_an_envelope_where_cosign_looks_for_it() {
    let (registry, yard, pair) = (TestRegistry::start(), Yard::new(APP), KeyPair::new());
    let unsigned = in_build("1", &pier::source(&registry.host(), "app"), &pier::step(&yard));
    let source = signed_source(&registry.host(), &pair);
    let outcome = in_build("2", &source, &pier::step(&yard));
    assert_eq!(outcome.version, unsigned.version);
    let digest = pier::digest(&outcome);
    let envelope = pier::small_files(&source, &outcome).read("provenance.json");
    let (said, signature) = signed_in(envelope.as_bytes());
    pair.assert_signed(&said, &signature);
    let told = statement(envelope.as_bytes());
    assert_eq!(told["predicateType"], "https://slsa.dev/provenance/v1");
    assert_eq!(told["subject"][0]["digest"]["sha256"], digest.hex());

    let referrer = pier::only(&pier::referrers(&registry.host(), "app", &digest), PROVENANCE);
    assert_eq!(pier::content(&registry.host(), "app", &referrer), envelope.as_bytes());
    let manifest = pier::manifest(&registry, "app", &tag(&digest, "att"));
    let layers = manifest["layers"].as_array().unwrap().iter();
    let of_it = layers.filter(|layer| layer["annotations"]["predicateType"] == told["predicateType"]);
    let [layer] = of_it.collect::<Vec<_>>()[..] else { panic!("{manifest}") };
    assert_eq!(layer["mediaType"], ENVELOPE);
    assert_eq!(layer["digest"], estaleiro::digest::Digest::of(&envelope).to_string());

    // The next build leaves it, and the one after, which builds anew, puts its own in that place.
    registry.log().clear();
    in_build("3", &source, &pier::step(&yard));
    assert_eq!(pier::writes(&registry), [""; 0]);
    let anew = pier::with_params(&yard, json!({"definition": "source", "no_cache": true}));
    let rebuilt = in_build("4", &source, &anew);
    assert_ne!(pier::small_files(&source, &rebuilt).read("provenance.json"), envelope);
    let manifest = pier::manifest(&registry, "app", &tag(&digest, "att"));
    assert_eq!(manifest["layers"].as_array().unwrap().len(), 2, "the list of documents, and one provenance");
}

#[test]
fn where_signatures_are_asked_for_an_unsigned_one_is_not_written() {
    let (registry, yard, pair) = (TestRegistry::start(), Yard::new(APP), KeyPair::new());
    let plain = pier::source(&registry.host(), "app");
    let outcome = pier::put(&plain, &yard);
    assert!(pier::small_files(&plain, &outcome).path("provenance.json").exists());
    let digest = pier::digest(&outcome);
    // Whoever signs an image that came along signs its documents, and this is none that a get writes then.
    let got = pier::get(&plain, &outcome.version, &json!({"format": "oci-layout"}));
    let step = pier::with_params(&yard, json!({"image": "got/oci"})).artifact("got", got.directory.path());
    let source = signed_source(&registry.host(), &pair);
    pier::run(&source, &step).unwrap_or_else(|failure| panic!("{}", failure.stderr));
    let got = pier::small_files(&source, &outcome);
    assert_eq!(got.outcome.metadata("verified"), Some(digest.to_string().as_str()));
    assert!(got.path("bom.yml").exists() && !got.path("provenance.json").exists());
}
