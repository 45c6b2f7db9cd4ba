//! The manifests that signatures and attestations lie in, a layer for each; cosign finds them by tags.
//!
//! See cosign's SIGNATURE_SPEC.md and ATTESTATION_SPEC.md. Several sign one image in the same manifest: what others put
//! there stays.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::{Envelope, PublicKey, SigningKey, payload};
use crate::digest::Digest;
use crate::oci::{Annotations, Descriptor, Manifest, canonical_json, media_type};

/// The annotation of a layer's signature, in base64. Of an envelope it is empty.
const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
/// The annotation that tells what an envelope says.
const PREDICATE_TYPE: &str = "predicateType";

/// Something signed: a layer, and its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// The layer.
    pub layer: Descriptor,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// Signs a payload.
pub fn signature(payload: Vec<u8>, key: &SigningKey) -> Signed {
    let mut layer = Descriptor::of(payload::MEDIA_TYPE, &payload);
    layer.annotations.insert(SIGNATURE.into(), STANDARD.encode(key.sign(&payload)));
    Signed { layer, bytes: payload }
}

/// Makes a layer of an envelope, whose statement says `predicate_type`.
pub fn attestation(envelope: &Envelope, predicate_type: &str) -> Signed {
    let bytes = envelope.to_json();
    let mut layer = Descriptor::of(Envelope::MEDIA_TYPE, &bytes);
    layer.annotations = Annotations::from([
        (SIGNATURE.into(), String::new()),
        (PREDICATE_TYPE.into(), predicate_type.to_owned()),
    ]);
    Signed { layer, bytes }
}

/// Whether the layer's annotation is a signature of `payload` by one of the keys.
pub fn signature_of(layer: &Descriptor, payload: &[u8], keys: &[PublicKey]) -> bool {
    let signature = layer.annotations.get(SIGNATURE).and_then(|text| STANDARD.decode(text).ok());
    signature.is_some_and(|signature| keys.iter().any(|key| key.verifies(payload, &signature)))
}

/// Returns the layers of a manifest that may be signatures, or envelopes that say `predicate_type`.
pub fn parts<'m>(
    manifest: &'m Manifest,
    predicate_type: Option<&str>,
) -> impl Iterator<Item = &'m Descriptor> {
    let kind = if predicate_type.is_some() { Envelope::MEDIA_TYPE } else { payload::MEDIA_TYPE };
    manifest.layers.iter().filter(move |layer| {
        let said = layer.annotations.get(PREDICATE_TYPE).map(String::as_str);
        layer.media_type == kind && (said.is_none() || predicate_type.is_none() || said == predicate_type)
    })
}

/// Returns a manifest with one more layer, in the place of those that are `replaced`, and the bytes of its configuration.
pub fn with_layer(
    manifest: Option<&Manifest>,
    layer: &Descriptor,
    replaced: &[Digest],
) -> (Manifest, Vec<u8>) {
    let known = manifest.map(|manifest| manifest.layers.as_slice()).unwrap_or_default();
    let is_left = |other: &&Descriptor| *other != layer && !replaced.contains(&other.digest);
    let layers: Vec<Descriptor> = known.iter().filter(is_left).chain([layer]).cloned().collect();
    let config = config(&layers);
    let empty = Manifest {
        media_type: media_type::MANIFEST.into(),
        artifact_type: None,
        config: Descriptor::of(media_type::CONFIG, &config),
        layers: Vec::new(),
        subject: None,
        annotations: Annotations::new(),
    };
    let base = manifest.cloned().unwrap_or(empty);
    let descriptor = Descriptor::of(base.config.media_type.as_str(), &config);
    (Manifest { config: descriptor, layers, ..base }, config)
}

/// As an image's configuration has it, which is what cosign writes: every layer, with the time that Go calls none.
fn config(layers: &[Descriptor]) -> Vec<u8> {
    let none = "0001-01-01T00:00:00Z";
    let digests: Vec<Digest> = layers.iter().map(|layer| layer.digest).collect();
    let history: Vec<_> = layers.iter().map(|_| json!({ "created": none })).collect();
    canonical_json(&json!({
        "architecture": "", "os": "", "created": none, "config": {},
        "rootfs": {"type": "layers", "diff_ids": digests},
        "history": history,
    }))
}
