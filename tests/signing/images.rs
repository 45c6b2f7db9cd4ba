//! Images that are signed when they are put, and verified when they are got.

use serde_json::{Value, json};

use crate::pier::{self, APP, BOM, CACHE, LOCK, Yard};
use crate::shore::{
    ENVELOPE, PAYLOAD, SIGNATURE, decoded, only_layer, refusal, signed, signed_in, signed_source,
};
use crate::shore::{statement, tag};
use crate::support::cosign::KeyPair;
use crate::support::registry::Options;
use crate::support::{DockerRegistry, TestRegistry};

#[test]
fn openssl_verifies_the_image_and_the_list_of_its_documents() {
    let pair = KeyPair::new();
    let (registry, digest) = signed(Options::default(), &pair);
    let (layer, payload) = only_layer(&registry, &tag(&digest, "sig"));
    assert_eq!(layer["mediaType"], PAYLOAD);
    let expected = format!(
        r#"{{"critical":{{"identity":{{"docker-reference":"{}/app"}},"image":{{"docker-manifest-digest":"{digest}"}},"type":"cosign container image signature"}},"optional":null}}"#,
        registry.host()
    );
    assert_eq!(String::from_utf8(payload.clone()).unwrap(), expected);
    pair.assert_signed(&payload, &decoded(&layer["annotations"][SIGNATURE]));

    let manifest = pier::manifest(&registry, "app", &tag(&digest, "att"));
    let lists = manifest["layers"].as_array().unwrap().iter();
    let list =
        lists.filter(|layer| layer["annotations"]["predicateType"].as_str().unwrap().contains("/reference/"));
    let [list] = list.collect::<Vec<_>>()[..] else { panic!("{manifest}") };
    assert_eq!(list["mediaType"], ENVELOPE);
    let envelope = registry.blob(&list["digest"].as_str().unwrap().parse().unwrap()).unwrap();
    let (said, signature) = signed_in(&envelope);
    pair.assert_signed(&said, &signature);
    let statement = statement(&envelope);
    assert_eq!(statement["_type"], "https://in-toto.io/Statement/v1");
    assert_eq!(statement["subject"][0]["digest"]["sha256"], digest.hex());
    // Everything that refers to the image is in the list.
    let mut listed: Vec<(String, String)> = statement["predicate"]["references"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            (one["mediaType"].as_str().unwrap().into(), one["digest"]["sha256"].as_str().unwrap().into())
        })
        .collect();
    listed.sort();
    let referrers = pier::referrers(&registry.host(), "app", &digest);
    let mut expected: Vec<(String, String)> = referrers
        .into_iter()
        .map(|(kind, entry)| (kind, entry["digest"].as_str().unwrap().trim_start_matches("sha256:").into()))
        .collect();
    expected.sort();
    assert_eq!(listed, expected);
    assert!([BOM, CACHE, LOCK].iter().all(|kind| listed.iter().any(|(listed, _)| listed == kind)));
}

#[test]
fn what_is_signed_is_got_by_whoever_has_one_of_the_keys() {
    let (pair, other) = (KeyPair::new(), KeyPair::new());
    for options in [Options::default(), Options { referrers: false, ..Options::default() }] {
        let (registry, digest) = signed(options, &pair);
        let version = crate::version(&digest);
        let plain = pier::source(&registry.host(), "app");
        let params = json!({"verify": {"key": [other.public(), pair.public()]}});
        let got = pier::get(&plain, &version, &params);
        assert_eq!(got.outcome.metadata("verified"), Some(digest.to_string().as_str()));
        assert_eq!(got.read("bom.yml"), pier::get(&plain, &version, &json!({})).read("bom.yml"));
        assert!(got.path("rootfs/opt/app").exists());
        assert!(pier::get(&plain, &version, &json!({})).outcome.metadata("verified").is_none());
    }
}

#[test]
fn a_registry_that_nobody_here_wrote_keeps_signatures_too() {
    let (registry, pair) = (DockerRegistry::start(), KeyPair::of(&["-algorithm", "ED25519"]));
    let source = signed_source(&registry.host(), &pair);
    let first = pier::put(&source, &Yard::new(APP));
    let again = pier::put(&source, &Yard::new(APP));
    assert!(again.stderr.contains("nothing changed"), "{}", again.stderr);
    let got = pier::get(&source, &first.version, &json!({"format": "oci-layout"}));
    assert_eq!(got.outcome.metadata("verified"), first.version.get("digest").map(String::as_str));
}

#[test]
fn a_put_that_changes_nothing_signs_nothing() {
    for options in [Options::default(), Options { referrers: false, ..Options::default() }] {
        let pair = KeyPair::new();
        let (registry, digest) = signed(options, &pair);
        registry.log().clear();
        let again = pier::put(&signed_source(&registry.host(), &pair), &Yard::new(APP));
        assert_eq!(pier::digest(&again), digest);
        assert_eq!(pier::writes(&registry), [""; 0]);
        assert!(again.stderr.contains("no layer was built, downloaded or uploaded"), "{}", again.stderr);
    }
}

#[test]
fn a_new_account_of_the_same_image_takes_the_old_ones_place_in_the_list() {
    let pair = KeyPair::new();
    let (registry, digest) = signed(Options::default(), &pair);
    let source = signed_source(&registry.host(), &pair);
    let commented = pier::put(&source, &Yard::new(&format!("{APP}# more\n")));
    assert_eq!(pier::digest(&commented), digest);
    let got = pier::get(&source, &commented.version, &json!({}));
    assert_eq!(got.outcome.metadata("bom"), commented.metadata("bom"));
    let manifest = pier::manifest(&registry, "app", &tag(&digest, "att"));
    let kinds = manifest["layers"].as_array().unwrap().iter();
    let kinds: Vec<&str> =
        kinds.map(|layer| layer["annotations"]["predicateType"].as_str().unwrap()).collect();
    assert_eq!(kinds.iter().filter(|kind| kind.contains("/reference/")).count(), 1, "{kinds:?}");

    // One that a put without the key attached does not count.
    let unsigned =
        pier::put(&pier::source(&registry.host(), "app"), &Yard::new(&format!("{APP}# even more\n")));
    let said = refusal(&source, &pier::digest(&unsigned), &json!({}));
    assert!(said.contains("was not signed with the key"), "{said}");
}

#[test]
fn several_sign_one_image_and_each_ones_signature_stays() {
    let (first, second) = (KeyPair::new(), KeyPair::new());
    let (registry, digest) = signed(Options::default(), &first);
    let both = signed_source(&registry.host(), &second);
    pier::put(&both, &Yard::new(APP));
    pier::put(&signed_source(&registry.host(), &first), &Yard::new(APP));
    for keys in [json!(first.public()), json!([second.public(), first.public()])] {
        let mut source = pier::source(&registry.host(), "app");
        source["verify"] = json!({"key": keys});
        pier::get(&source, &crate::version(&digest), &json!({}));
    }
    let manifest = pier::manifest(&registry, "app", &tag(&digest, "sig"));
    let layers = manifest["layers"].as_array().unwrap();
    assert_eq!(layers.len(), 2);
    for pair in [&first, &second] {
        let is_its = |layer: &Value| {
            let payload = registry.blob(&layer["digest"].as_str().unwrap().parse().unwrap()).unwrap();
            pair.is_signed(&payload, &decoded(&layer["annotations"][SIGNATURE]))
        };
        assert_eq!(layers.iter().filter(|layer| is_its(layer)).count(), 1);
    }
    // The provenance is the last put's.
    assert!(refusal(&both, &digest, &json!({})).contains("application/vnd.in-toto.provenance+dsse"));
}

#[test]
fn where_images_are_signed_only_signed_records_are_believed() {
    let (pair, other) = (KeyPair::new(), KeyPair::new());
    let registry = TestRegistry::start();
    let warning = "the last build's cache record is not used: it was not signed with the key";
    let yard = Yard::new(APP);
    pier::put(&pier::source(&registry.host(), "app"), &yard);
    for (pair, is_warned) in [(&pair, true), (&pair, false), (&other, true), (&other, false)] {
        let outcome = pier::put(&signed_source(&registry.host(), pair), &yard);
        assert_eq!(outcome.stderr.contains(warning), is_warned, "{}", outcome.stderr);
        let expected = if is_warned { "2 built, 0 cached" } else { "0 built, 2 cached" };
        assert_eq!(outcome.metadata("steps"), Some(expected));
    }

    // A further image is asked no less strictly.
    let cached = pier::with_params(&yard, json!({"definition": "source", "cache_from": [":latest"]}));
    let mut source = signed_source(&registry.host(), &pair);
    source["tag"] = json!("elsewhere");
    source["signing"]["key"] = json!(KeyPair::new().private());
    let (outcome, _) = pier::run(&source, &cached).unwrap();
    assert!(outcome.stderr.contains(warning), "{}", outcome.stderr);
    assert_eq!(outcome.metadata("steps"), Some("2 built, 0 cached"));
}

#[test]
fn an_image_that_was_built_elsewhere_is_signed_with_what_came_along() {
    let (here, there, pair) = (TestRegistry::start(), TestRegistry::start(), KeyPair::new());
    let plain = pier::source(&here.host(), "app");
    let outcome = pier::put(&plain, &Yard::new(APP));
    let got = pier::get(&plain, &outcome.version, &json!({"format": "oci-layout"}));
    let step =
        pier::with_params(&Yard::new(APP), json!({"image": "got/oci"})).artifact("got", got.directory.path());
    let source = signed_source(&there.host(), &pair);
    let (moved, _) = pier::run(&source, &step).unwrap_or_else(|failure| panic!("{}", failure.stderr));
    let verified = pier::get(&source, &moved.version, &json!({}));
    assert_eq!(verified.read("bom.yml"), got.read("bom.yml"));
    assert_eq!(verified.outcome.metadata("verified"), outcome.version.get("digest").map(String::as_str));

    // From there it moves on with its signatures.
    let last = TestRegistry::start();
    let got = pier::get(&source, &moved.version, &json!({"format": "oci-layout"}));
    let step =
        pier::with_params(&Yard::new(APP), json!({"image": "got/oci"})).artifact("got", got.directory.path());
    let mut target = pier::source(&last.host(), "app");
    pier::run(&target, &step).unwrap_or_else(|failure| panic!("{}", failure.stderr));
    target["verify"] = json!({"key": pair.public()});
    pier::get(&target, &moved.version, &json!({}));
}

#[test]
fn a_key_that_cannot_sign_ends_a_put_before_anything_is_built() {
    let (registry, pair) = (TestRegistry::start(), KeyPair::new());
    let rsa = KeyPair::of(&["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"]);
    let half: String = pair.private().lines().take(2).map(|line| format!("{line}\n")).collect();
    for (signing, expected) in [
        (json!({"key": pair.public()}), "it is a public key, and only a private one signs"),
        (json!({"key": rsa.private()}), "it is a key for RSA"),
        (json!({"key": half}), "it was cut short"),
        (json!({"key": pair.sealed("hunter2", 1024), "password": "hunter3"}), "its password is another one"),
        (json!({"key": pair.sealed("hunter2", 1024)}), "its password is another one"),
    ] {
        let mut source = pier::source(&registry.host(), "app");
        source["signing"] = signing.clone();
        let said = pier::put_in_vain(&source, &Yard::new(APP)).stderr;
        assert!(
            said.contains("cannot use source field `signing.key`: ") && said.contains(expected),
            "{said}"
        );
        assert_shows_nothing_of(&signing, &said);
    }
    assert!(registry.tags("app").is_empty());
    let mut source = pier::source(&registry.host(), "app");
    source["signing"] = json!({"key": pair.sealed("hunter2", 1024), "password": "hunter2"});
    let outcome = pier::put(&source, &Yard::new(APP));
    assert_shows_nothing_of(&source["signing"], &format!("{outcome:?}"));
    source["verify"] = json!({"key": pair.public()});
    pier::get(&source, &outcome.version, &json!({}));
}

/// No line of the key, nor its password, is in what was said.
fn assert_shows_nothing_of(signing: &Value, said: &str) {
    let key = signing["key"].as_str().unwrap();
    let lines = key.lines().filter(|line| !line.starts_with("-----"));
    for secret in lines.chain(["hunter2", "hunter3"]) {
        assert!(!said.contains(secret), "{said}");
    }
}
