//! The forms of the account: which are attached, and that all of them can be had.

use serde_json::json;

use crate::pier::{self, APP, ARTIFACTS, BOM, CYCLONEDX, SPDX, Yard};
use crate::support::{TestRegistry, run};

const FILES: [&str; 3] = ["bom.yml", "bom.cdx.json", "bom.spdx.json"];

#[test]
fn each_form_is_attached_with_its_own_media_type_and_name() {
    let registry = TestRegistry::start();
    let (host, source) = (registry.host(), pier::source(&registry.host(), "app"));
    let outcome = pier::put(&source, &Yard::new(APP));
    let artifacts = pier::referrers(&host, "app", &pier::digest(&outcome));
    let got = pier::small_files(&source, &outcome);
    for (kind, file) in [BOM, CYCLONEDX, SPDX].into_iter().zip(FILES) {
        let digest = pier::only(&artifacts, kind);
        let manifest = pier::manifest(&registry, "app", &digest.to_string());
        assert_eq!(manifest["artifactType"], kind);
        let layers = manifest["layers"].as_array().unwrap();
        assert_eq!((layers.len(), &layers[0]["mediaType"]), (1, &json!(kind)));
        assert_eq!(manifest["annotations"]["org.opencontainers.image.title"], file);
        assert_eq!(manifest["annotations"]["org.opencontainers.image.created"], "1970-01-01T00:00:00Z");
        assert_eq!(pier::content(&host, "app", &digest), got.read(file).as_bytes());
    }
}

#[test]
fn forms_that_are_not_attached_are_made_all_the_same() {
    let (registry, yard) = (TestRegistry::start(), Yard::new(APP));
    let full = pier::source(&registry.host(), "full");
    let all = pier::small_files(&full, &pier::put(&full, &yard));
    let mut source = pier::source(&registry.host(), "app");
    source["bom_formats"] = json!(["yaml"]);
    let types = |outcome| pier::referrers(&registry.host(), "app", &pier::digest(outcome));
    let (plain, _) = pier::run(&source, &pier::step(&yard)).unwrap();
    assert_eq!(pier::types(&types(&plain)), ARTIFACTS[2..]);
    let got = pier::small_files(&source, &plain);
    for file in FILES {
        assert_eq!(got.read(file), all.read(file), "{file}");
    }
}

#[test]
fn a_put_has_the_last_word_on_forms_and_before_the_definition_the_source() {
    let (registry, yard) = (TestRegistry::start(), Yard::new(APP));
    yard.write("estaleiro.hcl", APP.replacen('{', "{\nbom_formats = [\"cyclonedx\"]", 1));
    let of = |repository: &str| pier::source(&registry.host(), repository);
    let said = |repository: &str| {
        let mut source = of(repository);
        source["bom_formats"] = json!(["yaml"]);
        source
    };
    for (repository, source, params, attached) in [
        ("plain", of("plain"), json!({"definition": "source"}), &[CYCLONEDX][..]),
        ("said", said("said"), json!({"definition": "source"}), &[]),
        ("asked", said("asked"), json!({"definition": "source", "bom_formats": ["spdx"]}), &[SPDX]),
    ] {
        let (outcome, _) = pier::run(&source, &pier::with_params(&yard, params)).unwrap();
        let types = pier::referrers(&registry.host(), repository, &pier::digest(&outcome));
        assert_eq!(pier::types(&types), [attached, &ARTIFACTS[2..]].concat());
    }
}

#[test]
fn the_later_spdx_form_is_attached_and_got_where_it_is_asked_for() {
    let (registry, yard) = (TestRegistry::start(), Yard::new(APP));
    let mut source = pier::source(&registry.host(), "app");
    source["bom_formats"] = json!(["spdx3"]);
    let outcome = pier::put(&source, &yard);
    let artifacts = pier::referrers(&registry.host(), "app", &pier::digest(&outcome));
    let digest = pier::only(&artifacts, "application/vnd.estaleiro.spdx.v3+json");
    let got = pier::small_files(&source, &outcome);
    let written = got.read("bom.spdx3.json");
    assert_eq!(pier::content(&registry.host(), "app", &digest), written.as_bytes());
    let yaml = got.directory.path().join("bom.yml");
    let arguments = ["bom", yaml.to_str().unwrap(), "--format", "spdx3"];
    assert_eq!(run(env!("CARGO_BIN_EXE_estaleiro"), &arguments), written);

    let plain = pier::source(&registry.host(), "plain");
    let got = pier::small_files(&plain, &pier::put(&plain, &yard));
    assert!(!got.directory.path().join("bom.spdx3.json").exists());
}

#[test]
fn an_attached_form_of_an_older_account_is_not_believed() {
    let (registry, yard) = (TestRegistry::start(), Yard::new(APP));
    let mut source = pier::source(&registry.host(), "app");
    pier::put(&source, &yard);
    yard.write("estaleiro.hcl", format!("# a comment changes no bit of the image\n{APP}"));
    source["bom_formats"] = json!(["yaml"]);
    let outcome = pier::put(&source, &yard);
    let got = pier::small_files(&source, &outcome);
    let yaml = got.directory.path().join("bom.yml");
    for (format, file) in [("cyclonedx", FILES[1]), ("spdx", FILES[2])] {
        let arguments = ["bom", yaml.to_str().unwrap(), "--format", format];
        assert_eq!(run(env!("CARGO_BIN_EXE_estaleiro"), &arguments), got.read(file));
    }
}

#[test]
fn a_format_that_nobody_knows_is_refused() {
    let params = json!({"definition": "source", "bom_formats": ["xml"]});
    let yard = Yard::new(APP);
    let failure =
        pier::run(&pier::source("registry.example", "app"), &pier::with_params(&yard, params)).unwrap_err();
    let expected = "cannot use put param `bom_formats`: cannot read the format of a bill of materials `xml`: expected yaml, ";
    assert!(failure.stderr.contains(expected), "{}", failure.stderr);
}
