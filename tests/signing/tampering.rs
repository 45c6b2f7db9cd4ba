//! What a get that verifies refuses: a table of all that somebody who may write to a registry can change.

use estaleiro::digest::Digest;
use serde_json::{Value, json};

use crate::pier::{self, APP, BOM, LOCK, Yard};
use crate::shore::{
    MANIFEST, PROVENANCE, change, change_layer, decoded, encoded, only_layer, refusal, signed, signed_source,
    tag,
};
use crate::support::TestRegistry;
use crate::support::cosign::KeyPair;
use crate::support::registry::Options;

/// The registry of a signed image, and one of another image that the same key signed.
struct Scene {
    registry: TestRegistry,
    digest: Digest,
    other: Digest,
}

type Hand = fn(&Scene);

/// What somebody does, and what is said of it.
const TAMPERINGS: [(&str, Hand, &str); 15] = [
    ("the signature is gone", |it| forget(it, "sig"), "it is not signed"),
    ("the signature is another image's", |it| borrow(it, "sig"), "of its 1 signatures none is the key's"),
    ("a byte of the signature", a_byte_of_the_signature, "of its 1 signatures none is the key's"),
    ("a byte of the payload", a_byte_of_the_payload, "of its 1 signatures none is the key's"),
    ("no signature in it", no_signature, "of its 1 signatures none is the key's"),
    ("the list is gone", |it| forget(it, "att"), "was not signed with the key"),
    ("the list is another image's", |it| borrow(it, "att"), "was not signed with the key"),
    ("a byte of the list", a_byte_of_the_list, "was not signed with the key"),
    ("another account", |it| refer(it, BOM, 7), "the application/vnd.estaleiro.bom.v1+yaml of"),
    ("another lock", |it| refer(it, LOCK, 7), "the application/vnd.estaleiro.lock.v1+json of"),
    ("another provenance", |it| refer(it, PROVENANCE, 7), "the application/vnd.in-toto.provenance+dsse of"),
    ("the provenance is gone", |it| unlist(it, PROVENANCE), "it was signed, and is gone"),
    ("the lock instead of the account", disguise, "the application/vnd.estaleiro.bom.v1+yaml of"),
    ("the account is gone", |it| unlist(it, BOM), "it was signed, and is gone"),
    ("a byte of the account", a_byte_of_the_account, "expected"),
];

fn scene(pair: &KeyPair, has_referrers: bool) -> Scene {
    let (registry, digest) = signed(Options { referrers: has_referrers, ..Options::default() }, pair);
    let yard = Yard::new(&APP.replace("\"/usr/bin/app\"", "\"/usr/bin/other\""));
    let mut source = signed_source(&registry.host(), pair);
    source["tag"] = json!("other");
    let other = pier::digest(&pier::put(&source, &yard));
    assert_ne!(digest, other);
    Scene { registry, digest, other }
}

#[test]
fn whatever_is_changed_about_a_signed_image_is_refused_before_anything_is_written() {
    let pair = KeyPair::new();
    for (what, hand, expected) in TAMPERINGS {
        // The list of referrers is a tag, which anybody can write by hand.
        let scene = scene(&pair, false);
        let source = signed_source(&scene.registry.host(), &pair);
        pier::get(&source, &crate::version(&scene.digest), &json!({"skip_download": true}));
        hand(&scene);
        let said = refusal(&source, &scene.digest, &json!({}));
        assert!(said.contains(expected), "{what}: {said}");
        assert!(said.contains("hint: ") || expected == "expected", "{what}: {said}");
    }
}

#[test]
fn neither_an_unsigned_image_nor_one_of_another_key_is_got() {
    let (pair, other, registry) = (KeyPair::new(), KeyPair::new(), TestRegistry::start());
    let digest = pier::digest(&pier::put(&pier::source(&registry.host(), "app"), &Yard::new(APP)));
    let source = signed_source(&registry.host(), &pair);
    assert!(refusal(&source, &digest, &json!({})).contains("it is not signed"));
    pier::put(&source, &Yard::new(APP));
    let said = refusal(&signed_source(&registry.host(), &other), &digest, &json!({}));
    assert!(said.contains("of its 1 signatures none is the key's sha256:"), "{said}");
    // What a step says counts more than the source.
    let said = refusal(&source, &digest, &json!({"verify": {"key": other.public()}}));
    assert!(said.contains("none is the key's"), "{said}");
    let said = refusal(&source, &digest, &json!({"verify": {"key": other.private()}}));
    assert!(said.contains("`verify.key`: it is a private key, and the public one is enough"), "{said}");
}

#[test]
fn a_document_that_was_attached_where_a_registry_keeps_the_list_is_refused_too() {
    let pair = KeyPair::new();
    let scene = scene(&pair, true);
    refer(&scene, BOM, 7);
    let source = signed_source(&scene.registry.host(), &pair);
    assert!(refusal(&source, &scene.digest, &json!({})).contains("was not signed with the key"));
}

fn forget(scene: &Scene, ending: &str) {
    pier::delete(&scene.registry.host(), "app", &format!("manifests/{}", tag(&scene.digest, ending)));
}

fn borrow(scene: &Scene, ending: &str) {
    let (_, bytes) = scene.registry.manifest("app", &tag(&scene.other, ending)).unwrap();
    scene.registry.put_manifest("app", Some(&tag(&scene.digest, ending)), MANIFEST, &bytes);
}

fn a_byte_of_the_signature(scene: &Scene) {
    change(&scene.registry, &tag(&scene.digest, "sig"), |manifest| {
        let signature = &mut manifest["layers"][0]["annotations"][crate::shore::SIGNATURE];
        let mut bytes = decoded(signature);
        *bytes.last_mut().unwrap() ^= 1;
        *signature = encoded(&bytes);
    });
}

fn no_signature(scene: &Scene) {
    change(&scene.registry, &tag(&scene.digest, "sig"), |manifest| {
        manifest["layers"][0]["annotations"] = json!({});
    });
}

fn a_byte_of_the_payload(scene: &Scene) {
    let tag = tag(&scene.digest, "sig");
    let (_, payload) = only_layer(&scene.registry, &tag);
    let payload = String::from_utf8(payload).unwrap().replace("null", "nil ");
    change_layer(&scene.registry, &tag, payload.as_bytes());
}

/// Another document is listed than was signed.
fn a_byte_of_the_list(scene: &Scene) {
    let tag = tag(&scene.digest, "att");
    let manifest = pier::manifest(&scene.registry, "app", &tag);
    let layers = manifest["layers"].as_array().unwrap();
    let position = layers
        .iter()
        .position(|layer| layer["annotations"]["predicateType"].as_str().unwrap().contains("/reference/"))
        .unwrap();
    let digest = layers[position]["digest"].as_str().unwrap().parse().unwrap();
    let mut envelope: Value = serde_json::from_slice(&scene.registry.blob(&digest).unwrap()).unwrap();
    let mut statement: Value = serde_json::from_slice(&decoded(&envelope["payload"])).unwrap();
    statement["predicate"]["references"][0]["name"] = json!("x");
    envelope["payload"] = encoded(statement.to_string().as_bytes());
    let bytes = envelope.to_string().into_bytes();
    let digest = scene.registry.put_blob("app", &bytes).to_string();
    change(&scene.registry, &tag, |manifest| {
        manifest["layers"][position]["digest"] = json!(digest);
        manifest["layers"][position]["size"] = json!(bytes.len());
    });
}

/// Attaches something that counts more than what is there.
fn refer(scene: &Scene, kind: &str, generation: u32) {
    let registry = &scene.registry;
    let blob = |kind: &str, bytes: &[u8]| {
        let digest = registry.put_blob("app", bytes).to_string();
        json!({"mediaType": kind, "digest": digest, "size": bytes.len()})
    };
    let (media_type, image) = registry.manifest("app", &scene.digest.to_string()).unwrap();
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": kind,
        "config": blob("application/vnd.oci.empty.v1+json", b"{}"),
        "layers": [blob(kind, b"forged")],
        "subject": {"mediaType": media_type, "digest": scene.digest.to_string(), "size": image.len()},
        "annotations": {"vnd.estaleiro.generation": generation.to_string()},
    });
    let bytes = manifest.to_string().into_bytes();
    let digest = registry.put_manifest("app", None, MANIFEST, &bytes);
    if registry.resolve("app", &list(scene)).is_none() {
        return;
    }
    let entry = json!({
        "mediaType": MANIFEST, "digest": digest.to_string(), "size": bytes.len(), "artifactType": kind,
        "annotations": {"vnd.estaleiro.generation": generation.to_string()},
    });
    change_list(scene, |entries| entries.push(entry));
}

/// Lists a document that was signed as one of another kind.
fn disguise(scene: &Scene) {
    change_list(scene, |entries| {
        let lock = entries.iter().find(|entry| entry["artifactType"] == LOCK).unwrap().clone();
        entries.retain(|entry| entry["artifactType"] != BOM);
        let mut account = lock;
        account["artifactType"] = json!(BOM);
        entries.push(account);
    });
}

fn unlist(scene: &Scene, kind: &str) {
    change_list(scene, |entries| entries.retain(|entry| entry["artifactType"] != kind));
}

fn a_byte_of_the_account(scene: &Scene) {
    let account = pier::only(&pier::fallback_list(&scene.registry.host(), "app", &scene.digest), BOM);
    let manifest = pier::manifest(&scene.registry, "app", &account.to_string());
    let blob: Digest = manifest["layers"][0]["digest"].as_str().unwrap().parse().unwrap();
    let mut bytes = scene.registry.blob(&blob).unwrap();
    bytes[0] ^= 1;
    std::fs::write(scene.registry.blobs().join(blob.hex()), bytes).unwrap();
}

fn list(scene: &Scene) -> String {
    format!("sha256-{}", scene.digest.hex())
}

fn change_list(scene: &Scene, change: impl FnOnce(&mut Vec<Value>)) {
    let mut index = pier::manifest(&scene.registry, "app", &list(scene));
    change(index["manifests"].as_array_mut().unwrap());
    let media_type = "application/vnd.oci.image.index.v1+json";
    scene.registry.put_manifest("app", Some(&list(scene)), media_type, index.to_string().as_bytes());
}
