//! What cosign signs of an image: "simple signing", a few fields about a manifest
//! (<https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md#simple-signing>).

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::oci::canonical_json;

/// The media type of a payload.
pub const MEDIA_TYPE: &str = "application/vnd.dev.cosign.simplesigning.v1+json";

/// What a payload of cosign's says that it is.
const TYPE: &str = "cosign container image signature";

/// What is signed of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payload {
    critical: Critical,
    /// Remarks, which nobody here reads; cosign writes `null` where there are none.
    #[serde(default)]
    optional: serde_json::Value,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Critical {
    identity: Identity,
    image: Image,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Identity {
    #[serde(rename = "docker-reference")]
    docker_reference: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Image {
    #[serde(rename = "docker-manifest-digest")]
    digest: Digest,
}

impl Payload {
    /// Returns the payload of an image of a repository.
    pub fn new(repository: &str, image: &Digest) -> Payload {
        Payload {
            critical: Critical {
                identity: Identity { docker_reference: repository.to_owned() },
                image: Image { digest: *image },
                kind: TYPE.to_owned(),
            },
            optional: serde_json::Value::Null,
        }
    }

    /// Reads a payload; what is none of cosign's is absent.
    pub fn parse(bytes: &[u8]) -> Option<Payload> {
        serde_json::from_slice(bytes).ok().filter(|payload: &Payload| payload.critical.kind == TYPE)
    }

    /// Returns the digest of the manifest that is signed.
    pub fn image(&self) -> &Digest {
        &self.critical.image.digest
    }

    /// Returns its bytes.
    pub fn to_json(&self) -> Vec<u8> {
        canonical_json(self)
    }
}
