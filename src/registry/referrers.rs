//! Artifacts that refer to an image, and the lists they are found by.
//!
//! See the OCI image specification, "Guidelines for Artifact Usage", and the OCI distribution
//! specification, "Referrers Tag Schema". What an artifact says is nobody's business here.

use serde_json::{Value, json};

use super::Reason;
use crate::digest::Digest;
use crate::oci::{Annotations, Descriptor, Manifest, canonical_json, media_type};

/// The configuration of an artifact.
pub(super) const EMPTY: &[u8] = b"{}";

/// Something to attach to an image: one blob, whose media type is also the artifact's type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artifact {
    /// What it is.
    pub media_type: String,
    /// The content.
    pub bytes: Vec<u8>,
    /// Remarks, on the artifact's manifest and in the list of referrers.
    pub annotations: Annotations,
    /// Whether it takes the place of what else of its type refers to the image, where we keep the list.
    pub replace: bool,
}

impl Artifact {
    /// Returns an artifact without remarks.
    pub fn new(media_type: impl Into<String>, bytes: Vec<u8>) -> Artifact {
        Artifact { media_type: media_type.into(), bytes, annotations: Annotations::new(), replace: false }
    }

    pub(super) fn manifest(&self, subject: &Descriptor) -> Manifest {
        Manifest {
            media_type: media_type::MANIFEST.into(),
            artifact_type: Some(self.media_type.clone()),
            config: Descriptor::of(media_type::EMPTY, EMPTY),
            layers: vec![Descriptor::of(&self.media_type, &self.bytes)],
            subject: Some(Descriptor::new(&subject.media_type, subject.digest, subject.size)),
            annotations: self.annotations.clone(),
        }
    }

    /// Returns the digest of its manifest, when it refers to `subject`.
    pub fn digest(&self, subject: &Descriptor) -> Digest {
        Digest::of(self.manifest(subject).to_json())
    }

    /// Returns the entry for the list of referrers; `manifest` are the bytes of its manifest.
    pub(super) fn describe(&self, manifest: &[u8]) -> Descriptor {
        Descriptor {
            artifact_type: Some(self.media_type.clone()),
            annotations: self.annotations.clone(),
            ..Descriptor::of(media_type::MANIFEST, manifest)
        }
    }
}

/// Something of several blobs to attach to an image, in whose repository they are already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    /// What it is.
    pub artifact_type: String,
    /// The blobs, each with its remarks.
    pub layers: Vec<Descriptor>,
    /// Remarks, on the bundle's manifest and in the list of referrers.
    pub annotations: Annotations,
}

impl Bundle {
    pub(super) fn manifest(&self, subject: &Descriptor) -> Manifest {
        Manifest {
            media_type: media_type::MANIFEST.into(),
            artifact_type: Some(self.artifact_type.clone()),
            config: Descriptor::of(media_type::EMPTY, EMPTY),
            layers: self.layers.clone(),
            subject: Some(Descriptor::new(&subject.media_type, subject.digest, subject.size)),
            annotations: self.annotations.clone(),
        }
    }

    /// Returns the entry for the list of referrers; `manifest` are the bytes of its manifest.
    pub(super) fn describe(&self, manifest: &[u8]) -> Descriptor {
        Descriptor {
            artifact_type: Some(self.artifact_type.clone()),
            annotations: self.annotations.clone(),
            ..Descriptor::of(media_type::MANIFEST, manifest)
        }
    }
}

/// The endings of the tags by which cosign finds what belongs to a digest.
const SIGNATURE_ENDINGS: [&str; 3] = ["att", "sbom", "sig"];

/// Returns the tags under which there may be signatures and the like of `subject`, as cosign has it.
pub fn signature_tags(subject: &Digest) -> Vec<String> {
    SIGNATURE_ENDINGS.iter().map(|ending| signature_tag(subject, ending)).collect()
}

/// Returns the tag of one of those.
pub fn signature_tag(subject: &Digest, ending: &str) -> String {
    format!("sha256-{}.{ending}", subject.hex())
}

/// Returns the digest that a tag belongs to: `sha256-…`, maybe with an ending.
pub fn subject_of_tag(tag: &str) -> Option<Digest> {
    let hex = tag.strip_prefix("sha256-")?;
    Digest::from_hex(hex.split_once('.').map_or(hex, |(hex, _)| hex)).ok()
}

/// Returns the entry that a manifest made elsewhere has in the list of referrers.
pub(super) fn describe(manifest: &Manifest, bytes: &[u8]) -> Descriptor {
    let artifact_type = manifest.artifact_type.as_ref().unwrap_or(&manifest.config.media_type);
    Descriptor {
        artifact_type: Some(artifact_type.clone()),
        annotations: manifest.annotations.clone(),
        ..Descriptor::of(&manifest.media_type, bytes)
    }
}

/// An index that others write as well: what they put there stays, field by field.
pub(super) struct SharedIndex(serde_json::Map<String, Value>);

impl SharedIndex {
    /// Returns the index without entries.
    pub(super) fn empty() -> SharedIndex {
        let mut fields = serde_json::Map::new();
        fields.insert("schemaVersion".into(), json!(2));
        fields.insert("mediaType".into(), json!(media_type::INDEX));
        fields.insert("manifests".into(), json!([]));
        SharedIndex(fields)
    }

    /// Reads an index of which only the entries matter.
    pub(super) fn parse(bytes: &[u8]) -> Result<SharedIndex, Reason> {
        let unexpected = |why: String| Reason::Unexpected(format!("the index cannot be read: {why}"));
        let fields: serde_json::Map<String, Value> =
            serde_json::from_slice(bytes).map_err(|e| unexpected(e.to_string()))?;
        match fields.get("manifests").is_some_and(Value::is_array) && !fields.contains_key("layers") {
            true => Ok(SharedIndex(fields)),
            false => Err(unexpected("expected a list of `manifests` and no `layers`".into())),
        }
    }

    /// Returns the entries that can be read; others may use digests that nobody here knows.
    pub(super) fn entries(&self) -> Vec<Descriptor> {
        self.values().iter().filter_map(|entry| serde_json::from_value(entry.clone()).ok()).collect()
    }

    pub(super) fn contains(&self, digest: &Digest) -> bool {
        self.values().iter().any(|entry| has_digest(entry, digest))
    }

    /// Puts `entry` in the place of the first that it replaces, else at the end.
    pub(super) fn put(&mut self, entry: &Descriptor, replaces: impl Fn(&Value) -> bool) {
        let value = serde_json::to_value(entry).expect("a descriptor has a JSON form");
        let Some(Value::Array(entries)) = self.0.get_mut("manifests") else { return };
        let position = entries.iter().position(&replaces).unwrap_or(entries.len());
        entries.retain(|entry| !replaces(entry));
        entries.insert(position.min(entries.len()), value);
    }

    /// Puts the referrer `entry`, in the place of those that it supersedes.
    pub(super) fn put_referrer(&mut self, entry: &Descriptor, superseded: &[Digest]) {
        self.put(entry, |other| {
            has_digest(other, &entry.digest) || superseded.iter().any(|digest| has_digest(other, digest))
        });
    }

    /// Takes an entry out.
    pub(super) fn remove(&mut self, digest: &Digest) {
        let Some(Value::Array(entries)) = self.0.get_mut("manifests") else { return };
        entries.retain(|entry| !has_digest(entry, digest));
    }

    pub(super) fn to_json(&self) -> Vec<u8> {
        canonical_json(&self.0)
    }

    fn values(&self) -> &[Value] {
        self.0.get("manifests").and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }
}

fn has_digest(entry: &Value, digest: &Digest) -> bool {
    entry.get("digest").and_then(Value::as_str) == Some(digest.to_string().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_put_into_a_shared_index_stays_as_it_is() {
        let theirs = r#"{"digest":"sha512:ab","mediaType":"x","size":1,"urls":["u"]}"#;
        let text = format!(r#"{{"manifests":[{theirs}],"schemaVersion":2,"subject":{{"a":1}}}}"#);
        let mut index = SharedIndex::parse(text.as_bytes()).unwrap();
        let ours = Descriptor::of(media_type::MANIFEST, b"ours");
        index.put_referrer(&ours, &[]);
        index.put_referrer(&ours, &[]);
        let written = String::from_utf8(index.to_json()).unwrap();
        assert!(written.contains(theirs) && written.contains(r#""subject":{"a":1}"#), "{written}");
        assert_eq!(index.entries(), [ours]);
    }

    #[test]
    fn a_referrer_may_take_the_place_of_others() {
        let [old, older, new, other] =
            ["old", "older", "new", "other"].map(|text| Descriptor::of("x", text.as_bytes()));
        let mut index = SharedIndex::empty();
        for entry in [&older, &other, &old] {
            index.put_referrer(entry, &[]);
        }
        index.put_referrer(&new, &[older.digest, old.digest]);
        assert_eq!(index.entries(), [new, other]);
    }

    #[test]
    fn a_manifest_is_no_shared_index() {
        for text in ["[]", "{}", r#"{"manifests":{}}"#, r#"{"manifests":[],"layers":[]}"#] {
            assert!(SharedIndex::parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}
