//! Envelopes around statements (DSSE v1, <https://github.com/secure-systems-lab/dsse/blob/master/protocol.md>).

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use serde::{Deserialize, Serialize};

use super::{PublicKey, SigningKey, Statement};
use crate::oci::canonical_json;

/// An envelope: a statement and its signatures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    payload: String,
    #[serde(rename = "payloadType")]
    payload_type: String,
    signatures: Vec<Signature>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Signature {
    /// A hint which nobody may rely on; cosign leaves it empty, too.
    #[serde(default)]
    keyid: String,
    sig: String,
}

impl Envelope {
    /// The media type of an envelope.
    pub const MEDIA_TYPE: &'static str = "application/vnd.dsse.envelope.v1+json";

    /// Signs a statement, whose bytes these are.
    pub fn seal(statement: &[u8], key: &SigningKey) -> Envelope {
        let sig = STANDARD.encode(key.sign(&to_sign(Statement::MEDIA_TYPE, statement)));
        Envelope {
            payload: STANDARD.encode(statement),
            payload_type: Statement::MEDIA_TYPE.to_owned(),
            signatures: vec![Signature { keyid: String::new(), sig }],
        }
    }

    /// Reads an envelope.
    pub fn parse(bytes: &[u8]) -> Option<Envelope> {
        serde_json::from_slice(bytes).ok()
    }

    /// Returns its bytes.
    pub fn to_json(&self) -> Vec<u8> {
        canonical_json(self)
    }

    /// Returns the statement in it, if one of the keys signed it.
    pub fn open(&self, keys: &[PublicKey]) -> Option<Statement> {
        let payload = decode(&self.payload).filter(|_| self.payload_type == Statement::MEDIA_TYPE)?;
        let signed = to_sign(&self.payload_type, &payload);
        let signatures: Vec<Vec<u8>> = self.signatures.iter().filter_map(|one| decode(&one.sig)).collect();
        let is_signed_by = |key: &PublicKey| signatures.iter().any(|one| key.verifies(&signed, one));
        keys.iter().any(is_signed_by).then(|| Statement::parse(&payload))?
    }
}

/// Returns what is signed of a payload: DSSE's "PAE".
fn to_sign(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut bytes = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    bytes.extend_from_slice(payload);
    bytes
}

/// Either alphabet is allowed.
fn decode(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).or_else(|_| URL_SAFE.decode(text)).ok()
}
