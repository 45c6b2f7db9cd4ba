//! What the stories of signed images have in common: puts with a key, gets that verify, and hands that meddle with a registry.

use estaleiro::digest::Digest;
use serde_json::{Value, json};

use crate::pier::{self, APP, Yard};
use crate::support::TestRegistry;
use crate::support::cosign::KeyPair;
use crate::support::registry::Options;

pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const PAYLOAD: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
pub(crate) const ENVELOPE: &str = "application/vnd.dsse.envelope.v1+json";
pub(crate) const PROVENANCE: &str = "application/vnd.in-toto.provenance+dsse";
pub(crate) const SIGNATURE: &str = "dev.cosignproject.cosign/signature";

/// Returns the source of a repository whose puts sign and whose gets verify.
pub(crate) fn signed_source(host: &str, pair: &KeyPair) -> Value {
    let mut source = pier::source(host, "app");
    source["signing"] = json!({"key": pair.private()});
    source["verify"] = json!({"key": pair.public()});
    source
}

/// Returns a registry with an image that is signed, and its digest.
pub(crate) fn signed(options: Options, pair: &KeyPair) -> (TestRegistry, Digest) {
    let registry = TestRegistry::with(options);
    let outcome = pier::put(&signed_source(&registry.host(), pair), &Yard::new(APP));
    (registry, pier::digest(&outcome))
}

/// Returns how `in` refuses an image, and asserts that it leaves nothing behind.
pub(crate) fn refusal(source: &Value, digest: &Digest, params: &Value) -> String {
    let destination = tempfile::tempdir().unwrap();
    let version = json!({"tag": "latest", "digest": digest.to_string()});
    let request = json!({"source": source, "version": version, "params": params});
    let output = assert_cmd::Command::new(env!("CARGO_BIN_EXE_in"))
        .arg(destination.path())
        .env_clear()
        .write_stdin(request.to_string())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && output.stdout.is_empty(), "{said}");
    assert_eq!(std::fs::read_dir(destination.path()).unwrap().count(), 0, "something is left");
    said
}

/// Returns the tag of what belongs to a digest.
pub(crate) fn tag(digest: &Digest, ending: &str) -> String {
    format!("sha256-{}.{ending}", digest.hex())
}

/// Returns the only layer of a tag's manifest, and the bytes of it.
pub(crate) fn only_layer(registry: &TestRegistry, tag: &str) -> (Value, Vec<u8>) {
    let manifest = pier::manifest(registry, "app", tag);
    let [layer] = manifest["layers"].as_array().unwrap().as_slice() else { panic!("{manifest}") };
    let digest = layer["digest"].as_str().unwrap().parse().unwrap();
    (layer.clone(), registry.blob(&digest).unwrap())
}

/// Changes the manifest of a tag.
pub(crate) fn change(registry: &TestRegistry, tag: &str, change: impl FnOnce(&mut Value)) {
    let mut manifest = pier::manifest(registry, "app", tag);
    change(&mut manifest);
    registry.put_manifest("app", Some(tag), MANIFEST, manifest.to_string().as_bytes());
}

/// Puts other bytes into the only layer of a tag's manifest.
pub(crate) fn change_layer(registry: &TestRegistry, tag: &str, bytes: &[u8]) {
    let digest = registry.put_blob("app", bytes).to_string();
    change(registry, tag, |manifest| {
        manifest["layers"][0]["digest"] = json!(digest);
        manifest["layers"][0]["size"] = json!(bytes.len());
    });
}

/// Returns base64 in bytes.
pub(crate) fn decoded(text: &Value) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(text.as_str().unwrap()).unwrap()
}

/// Returns bytes in base64.
pub(crate) fn encoded(bytes: &[u8]) -> Value {
    use base64::Engine as _;
    json!(base64::engine::general_purpose::STANDARD.encode(bytes))
}

/// Returns what is signed of an envelope (DSSE's protocol), and its signature.
pub(crate) fn signed_in(envelope: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let envelope: Value = serde_json::from_slice(envelope).unwrap();
    let (kind, payload) = (envelope["payloadType"].as_str().unwrap(), decoded(&envelope["payload"]));
    let mut signed = format!("DSSEv1 {} {kind} {} ", kind.len(), payload.len()).into_bytes();
    signed.extend(payload);
    (signed, decoded(&envelope["signatures"][0]["sig"]))
}

/// Returns the statement in an envelope.
pub(crate) fn statement(envelope: &[u8]) -> Value {
    let envelope: Value = serde_json::from_slice(envelope).unwrap();
    serde_json::from_slice(&decoded(&envelope["payload"])).unwrap()
}
