//! Promotion: a get from one registry and a put into another move an image with its bill of materials, lock, provenance
//! and signatures, and no digest changes.

use std::collections::BTreeSet;

use estaleiro::digest::Digest;
use serde_json::{Value, json};

use crate::formats::{names, version};
use crate::pier::{self, APP, PROVENANCE, Yard};
use crate::support::concourse::{Outcome, Put};
use crate::support::image::put_index;
use crate::support::registry::Options;
use crate::support::{DockerRegistry, Tarball, TestImage, TestRegistry};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const STATEMENT: &str = "application/vnd.in-toto+json";
const SIGNATURE: &str = "application/vnd.example.signature";

/// Gets `digest` as a layout, and puts that.
fn promote(from: &Value, digest: &Digest, to: &Value) -> Outcome {
    let got = pier::get(from, &version("1", digest), &json!({"format": "oci-layout"}));
    let step =
        Put { no_get: true, ..Put::new(json!({"image": "got/oci"})).artifact("got", got.directory.path()) };
    let (outcome, _) = pier::run(to, &step).unwrap_or_else(|failure| panic!("{}", failure.stderr));
    outcome
}

/// Puts an artifact into a registry; returns its digest.
fn refer(registry: &TestRegistry, subject: &Value, kind: &str, content: &str) -> Value {
    let blob = |kind: &str, bytes: &[u8]| {
        let digest = registry.put_blob("app", bytes);
        json!({"mediaType": kind, "digest": digest.to_string(), "size": bytes.len()})
    };
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": kind,
        "config": blob("application/vnd.oci.empty.v1+json", b"{}"),
        "layers": [blob(kind, content.as_bytes())],
        "subject": subject,
    });
    described(registry, None, &manifest)
}

fn described(registry: &TestRegistry, tag: Option<&str>, manifest: &Value) -> Value {
    let bytes = manifest.to_string().into_bytes();
    let digest = registry.put_manifest("app", tag, MANIFEST, &bytes);
    json!({"mediaType": MANIFEST, "digest": digest.to_string(), "size": bytes.len()})
}

fn subject_of(registry: &TestRegistry, digest: &Digest) -> Value {
    let (media_type, bytes) = registry.manifest("app", &digest.to_string()).unwrap();
    json!({"mediaType": media_type, "digest": digest.to_string(), "size": bytes.len()})
}

/// Puts a signature as cosign does: found by its tag alone.
fn sign(registry: &TestRegistry, digest: &Digest) -> String {
    let tag = format!("sha256-{}.sig", digest.hex());
    let payload = registry.put_blob("app", b"payload");
    let config = registry.put_blob("app", b"{}");
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config.to_string(), "size": 2},
        "layers": [{
            "mediaType": "application/vnd.dev.cosign.simplesigning.v1+json",
            "digest": payload.to_string(),
            "size": 7,
            "annotations": {"dev.cosignproject.cosign/signature": "MEUC"},
        }],
    });
    described(registry, Some(&tag), &manifest);
    tag
}

fn kinds(list: &[(String, Value)]) -> BTreeSet<&str> {
    list.iter().map(|(kind, _)| kind.as_str()).collect()
}

#[test]
fn an_image_moves_with_all_that_refers_to_it_and_no_digest_changes() {
    for (has_api_here, has_api_there) in [(true, false), (false, true)] {
        let here = TestRegistry::with(Options { referrers: has_api_here, ..Options::default() });
        let there = TestRegistry::with(Options { referrers: has_api_there, ..Options::default() });
        let (from, to) = (pier::source(&here.host(), "app"), pier::source(&there.host(), "app"));
        let digest = pier::digest(&pier::put(&from, &Yard::new(APP)));
        let mut expected = BTreeSet::from(pier::ARTIFACTS);
        let mut provenance = json!(null);
        // Where the list is a tag, whoever attaches has to write it.
        if has_api_here {
            let subject = subject_of(&here, &digest);
            provenance = refer(&here, &subject, STATEMENT, "built here");
            refer(&here, &provenance, SIGNATURE, "signed");
            expected.insert(STATEMENT);
        }
        let tag = sign(&here, &digest);

        let outcome = promote(&from, &digest, &to);
        assert_eq!(outcome.version["digest"], digest.to_string());
        assert_eq!(there.manifest("app", "latest"), here.manifest("app", "latest"));
        assert_eq!(there.manifest("app", &tag), here.manifest("app", &tag));
        let list = match has_api_there {
            true => pier::referrers(&there.host(), "app", &digest),
            false => pier::fallback_list(&there.host(), "app", &digest),
        };
        assert_eq!(kinds(&list), expected);
        for (_, entry) in &list {
            let name = entry["digest"].as_str().unwrap();
            assert_eq!(there.manifest("app", name), here.manifest("app", name));
        }
        if let Some(subject) = provenance["digest"].as_str() {
            let signatures = pier::fallback_list(&there.host(), "app", &subject.parse().unwrap());
            assert_eq!(kinds(&signatures), BTreeSet::from([SIGNATURE]));
        }

        let (got_here, got_there) = (
            pier::get(&from, &version("1", &digest), &json!({})),
            pier::get(&to, &version("1", &digest), &json!({})),
        );
        for file in ["bom.yml", "bom.cdx.json", "bom.spdx.json", "estaleiro.lock"] {
            assert_eq!(got_here.read(file), got_there.read(file), "{file}");
        }
        assert_eq!(outcome.metadata("bom"), got_there.outcome.metadata("bom"));
    }
}

#[test]
fn the_tag_moves_after_all_that_refers_to_its_image() {
    for has_api in [true, false] {
        let here = TestRegistry::start();
        let there = TestRegistry::with(Options { referrers: has_api, ..Options::default() });
        let from = pier::source(&here.host(), "app");
        let digest = pier::digest(&pier::put(&from, &Yard::new(APP)));
        sign(&here, &digest);
        promote(&from, &digest, &pier::source(&there.host(), "app"));
        let writes: Vec<String> = pier::writes(&there);
        let place = |part: &str| writes.iter().position(|line| line.contains(part)).unwrap();
        let last = writes.len() - 1;
        assert_eq!(place("/manifests/latest"), last, "{writes:#?}");
        let n_manifests = writes.iter().filter(|line| line.contains("/manifests/sha256:")).count();
        assert_eq!(n_manifests, 1 + pier::ARTIFACTS.len(), "{writes:#?}");
        assert!(place(&format!("/manifests/{digest}")) < place(".sig"), "{writes:#?}");
        let first_manifest = place("/manifests/");
        assert!(writes[..first_manifest].iter().all(|line| line.contains("/blobs/uploads/")), "{writes:#?}");
    }
}

#[test]
fn a_second_promotion_writes_nothing_and_asks_little() {
    for has_api in [true, false] {
        let here = TestRegistry::start();
        let there = TestRegistry::with(Options { referrers: has_api, ..Options::default() });
        let (from, to) = (pier::source(&here.host(), "app"), pier::source(&there.host(), "app"));
        let digest = pier::digest(&pier::put(&from, &Yard::new(APP)));
        promote(&from, &digest, &to);
        there.log().clear();
        promote(&from, &digest, &to);
        assert_eq!(pier::writes(&there), Vec::<String>::new());
        assert!(there.log().lines().len() < 6, "{:#?}", there.log().lines());
    }
}

#[test]
fn an_index_moves_whole_and_what_refers_to_its_images_with_it() {
    let (here, there) = (TestRegistry::start(), TestRegistry::start());
    let image = |architecture: &str| {
        let layer = Tarball::new().file("arch", 0o644, architecture);
        TestImage::new().layer(&layer).field("architecture", json!(architecture))
    };
    let images = [image("amd64"), image("arm64")];
    let index = put_index(&here, "app", "1", &images.each_ref());
    for subject in [images[1].digest(), index] {
        refer(&here, &subject_of(&here, &subject), PROVENANCE, "built here");
    }
    let outcome = promote(&pier::source(&here.host(), "app"), &index, &pier::source(&there.host(), "app"));
    assert_eq!(outcome.version["digest"], index.to_string());
    assert_eq!(there.manifest("app", "latest"), here.manifest("app", "1"));
    for subject in [images[1].digest(), index] {
        let list = pier::referrers(&there.host(), "app", &subject);
        assert_eq!(kinds(&list), BTreeSet::from([PROVENANCE]));
    }
}

#[test]
fn signatures_that_others_added_meanwhile_stay() {
    let (here, there) = (TestRegistry::start(), TestRegistry::start());
    let (from, to) = (pier::source(&here.host(), "app"), pier::source(&there.host(), "app"));
    let digest = pier::digest(&pier::put(&from, &Yard::new(APP)));
    let tag = sign(&here, &digest);
    promote(&from, &digest, &to);
    let mut more = pier::manifest(&there, "app", &tag);
    let other = there.put_blob("app", b"other");
    let layer = json!({"mediaType": "x", "digest": other.to_string(), "size": 5});
    more["layers"].as_array_mut().unwrap().push(layer);
    let kept = there.put_manifest("app", Some(&tag), MANIFEST, more.to_string().as_bytes());
    let outcome = promote(&from, &digest, &to);
    assert_eq!(there.resolve("app", &tag), Some(kept));
    assert!(outcome.stderr.contains("holds more, and stays as it is"), "{}", outcome.stderr);
}

#[test]
fn an_image_moves_to_debian_s_registry_and_on() {
    let (here, there, last) = (TestRegistry::start(), DockerRegistry::start(), TestRegistry::start());
    let sources = [here.host(), there.host(), last.host()].map(|host| pier::source(&host, "app"));
    let digest = pier::digest(&pier::put(&sources[0], &Yard::new(APP)));
    let tag = sign(&here, &digest);
    promote(&sources[0], &digest, &sources[1]);
    let got = pier::get(&sources[1], &version("latest", &digest), &json!({}));
    assert!(got.read("bom.yml").contains("/opt/app") && got.path("estaleiro.lock").exists());
    assert!(got.path("rootfs/opt/app").exists());
    promote(&sources[1], &digest, &sources[2]);
    assert_eq!(last.manifest("app", "latest"), here.manifest("app", "latest"));
    assert_eq!(last.manifest("app", &tag), here.manifest("app", &tag));
    let lists = [&here, &last].map(|registry| pier::referrers(&registry.host(), "app", &digest));
    assert_eq!(kinds(&lists[0]), kinds(&lists[1]));
}

#[test]
fn what_refers_to_an_image_lies_beside_it_in_the_layout() {
    let here = TestRegistry::start();
    let from = pier::source(&here.host(), "app");
    let digest = pier::digest(&pier::put(&from, &Yard::new(APP)));
    sign(&here, &digest);
    let got = pier::get(&from, &version("1", &digest), &json!({"format": "oci-layout"}));
    let expected = ["blobs", "index.json", "oci-layout", "referrers.json", "single-image-digest"];
    assert_eq!(names(&got.path("oci")), expected);
    let list = |file: &str| -> Vec<Value> {
        let list: Value = serde_json::from_str(&got.read(file)).unwrap();
        list["manifests"].as_array().unwrap().clone()
    };
    assert_eq!(
        (list("oci/index.json").len(), list("oci/referrers.json").len()),
        (1, pier::ARTIFACTS.len() + 1)
    );
}
