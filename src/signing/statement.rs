//! What is stated about an image (in-toto's Statement v1,
//! <https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md>).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::digest::Digest;
use crate::oci::{Annotations, canonical_json};

/// The predicate that lists documents about an image
/// (<https://github.com/in-toto/attestation/blob/main/spec/predicates/reference.md>).
pub const REFERENCE: &str = "https://in-toto.io/attestation/reference/v0.1";

const TYPE: &str = "https://in-toto.io/Statement/v1";

/// A statement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Statement {
    #[serde(rename = "_type")]
    kind: String,
    subject: Vec<Resource>,
    /// What is said, by its URI.
    #[serde(rename = "predicateType")]
    pub predicate_type: String,
    /// What it says.
    pub predicate: Value,
}

/// Something that a statement speaks of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resource {
    /// Its name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Where it comes from.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub uri: String,
    /// Its digests, by algorithm.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub digest: BTreeMap<String, String>,
    /// Where it lies.
    #[serde(rename = "downloadLocation", default, skip_serializing_if = "String::is_empty")]
    pub download_location: String,
    /// What it is.
    #[serde(rename = "mediaType", default, skip_serializing_if = "String::is_empty")]
    pub media_type: String,
    /// What else is known of it.
    #[serde(default, skip_serializing_if = "Annotations::is_empty")]
    pub annotations: Annotations,
}

/// The predicate [`REFERENCE`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct References {
    /// Who says so.
    pub attester: Attester,
    /// The documents.
    pub references: Vec<Resource>,
}

/// Who states something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attester {
    /// By a URI.
    pub id: String,
}

impl Statement {
    /// The media type of a statement.
    pub const MEDIA_TYPE: &'static str = "application/vnd.in-toto+json";

    /// Returns a statement about the image `name`.
    pub fn new(name: &str, image: &Digest, predicate_type: &str, predicate: &impl Serialize) -> Statement {
        Statement {
            kind: TYPE.to_owned(),
            subject: vec![Resource { name: name.to_owned(), ..Resource::default() }.with_sha256(image)],
            predicate_type: predicate_type.to_owned(),
            predicate: serde_json::to_value(predicate).expect("a predicate has a JSON form"),
        }
    }

    /// Reads a statement.
    pub(super) fn parse(bytes: &[u8]) -> Option<Statement> {
        serde_json::from_slice(bytes).ok()
    }

    /// Returns its bytes.
    pub fn to_json(&self) -> Vec<u8> {
        canonical_json(self)
    }

    /// Whether it is about `image`.
    pub fn is_about(&self, image: &Digest) -> bool {
        self.subject.iter().any(|subject| subject.sha256() == Some(*image))
    }

    /// Returns what it lists, if it says [`REFERENCE`].
    pub fn references(&self) -> Vec<Resource> {
        if self.predicate_type != REFERENCE {
            return Vec::new();
        }
        References::deserialize(&self.predicate).map(|listed| listed.references).unwrap_or_default()
    }
}

impl Resource {
    /// Returns it with this digest.
    pub fn with_sha256(mut self, digest: &Digest) -> Resource {
        self.digest.insert("sha256".into(), digest.hex());
        self
    }

    /// Returns its digest, where that is known.
    pub fn sha256(&self) -> Option<Digest> {
        self.digest.get("sha256").and_then(|hex| Digest::from_hex(hex).ok())
    }
}

impl References {
    /// Returns a predicate.
    pub fn new(attester: &str, references: Vec<Resource>) -> References {
        References { attester: Attester { id: attester.to_owned() }, references }
    }
}
