//! Artifacts that refer to an image, and the lists they are found by.
//!
//! See the OCI image specification, "Guidelines for Artifact Usage", and the OCI distribution
//! specification, "Referrers Tag Schema". What an artifact says is nobody's business here.

use bytes::Bytes;
use serde_json::{Value, json};

use super::Reason;
use crate::digest::Digest;
use crate::oci::{Annotations, Descriptor, Manifest, canonical_json, media_type};

/// The configuration of an artifact.
pub(super) const EMPTY: &[u8] = b"{}";

/// Something to attach to an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artifact {
    /// What it is: the artifact's type.
    pub media_type: String,
    /// What it holds.
    pub content: Content,
    /// Remarks, on the artifact's manifest and in the list of referrers.
    pub annotations: Annotations,
    /// Whether it takes the place of what else of its type refers to the image, where we keep the list.
    pub replace: bool,
}

/// What an artifact holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// One blob, whose media type is also the artifact's type.
    Blob(Blob),
    /// Blobs that are in the repository already, each with its remarks.
    Blobs(Vec<Descriptor>),
}

/// Bytes and what describes them, which is worked out once: accounts are large. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    descriptor: Descriptor,
    bytes: Bytes,
}

impl Blob {
    /// Returns the blob of these bytes.
    pub fn new(media_type: &str, bytes: Vec<u8>) -> Blob {
        Blob { descriptor: Descriptor::of(media_type, &bytes), bytes: bytes.into() }
    }

    /// Returns the descriptor of its bytes.
    pub fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    /// Returns its bytes.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}

/// An artifact as it is put: its entry in the list of referrers, and its manifest.
#[derive(Clone, Debug)]
pub(super) struct Referrer {
    pub(super) descriptor: Descriptor,
    pub(super) manifest: Vec<u8>,
    /// What it takes the place of in the list.
    pub(super) superseded: Vec<Digest>,
}

impl Artifact {
    /// Returns an artifact of one blob, without remarks.
    pub fn new(media_type: impl Into<String>, bytes: Vec<u8>) -> Artifact {
        let media_type = media_type.into();
        let content = Content::Blob(Blob::new(&media_type, bytes));
        Artifact { media_type, content, annotations: Annotations::new(), replace: false }
    }

    /// Returns an artifact of one blob that is in the repository already, without remarks.
    pub fn of_known(blob: &Descriptor) -> Artifact {
        let content = Content::Blobs(vec![blob.clone()]);
        let media_type = blob.media_type.clone();
        Artifact { media_type, content, annotations: Annotations::new(), replace: false }
    }

    /// Returns the blob that it holds, where that isn't in the repository already.
    pub fn blob(&self) -> Option<&Blob> {
        match &self.content {
            Content::Blob(blob) => Some(blob),
            Content::Blobs(_) => None,
        }
    }

    /// Returns its blobs.
    pub fn layers(&self) -> Vec<Descriptor> {
        match &self.content {
            Content::Blob(blob) => vec![blob.descriptor.clone()],
            Content::Blobs(blobs) => blobs.clone(),
        }
    }

    /// Returns the digest of its manifest, when it refers to `subject`.
    pub fn digest(&self, subject: &Descriptor) -> Digest {
        Digest::of(self.manifest(subject).to_json())
    }

    fn manifest(&self, subject: &Descriptor) -> Manifest {
        Manifest {
            media_type: media_type::MANIFEST.into(),
            artifact_type: Some(self.media_type.clone()),
            config: Descriptor::of(media_type::EMPTY, EMPTY),
            layers: self.layers(),
            subject: Some(Descriptor::new(&subject.media_type, subject.digest, subject.size)),
            annotations: self.annotations.clone(),
        }
    }

    /// Returns it as it is put among the referrers `known` of `subject`.
    pub(super) fn referrer(&self, subject: &Descriptor, known: &[Descriptor]) -> Referrer {
        let manifest = self.manifest(subject).to_json();
        let descriptor = Descriptor {
            artifact_type: Some(self.media_type.clone()),
            annotations: self.annotations.clone(),
            ..Descriptor::of(media_type::MANIFEST, &manifest)
        };
        let is_superseded = |other: &&Descriptor| {
            self.replace
                && other.artifact_type.as_ref() == Some(&self.media_type)
                && other.digest != descriptor.digest
        };
        let superseded = known.iter().filter(is_superseded).map(|other| other.digest).collect();
        Referrer { descriptor, manifest, superseded }
    }
}

impl Referrer {
    /// Returns the manifest of an artifact that was made elsewhere, as it is put.
    pub(super) fn of(manifest: &Manifest, bytes: &[u8]) -> Referrer {
        let artifact_type = manifest.artifact_type.as_ref().unwrap_or(&manifest.config.media_type);
        let descriptor = Descriptor {
            artifact_type: Some(artifact_type.clone()),
            annotations: manifest.annotations.clone(),
            ..Descriptor::of(&manifest.media_type, bytes)
        };
        Referrer { descriptor, manifest: bytes.to_vec(), superseded: Vec::new() }
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

    fn contains(&self, digest: &Digest) -> bool {
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

    /// Whether the referrer is listed, and nothing that it supersedes.
    pub(super) fn has_settled(&self, referrer: &Referrer) -> bool {
        self.contains(&referrer.descriptor.digest)
            && !referrer.superseded.iter().any(|digest| self.contains(digest))
    }

    /// Puts a referrer, in the place of those that it supersedes.
    pub(super) fn put_referrer(&mut self, referrer: &Referrer) {
        let Referrer { descriptor, superseded, .. } = referrer;
        self.put(descriptor, |other| {
            has_digest(other, &descriptor.digest) || superseded.iter().any(|digest| has_digest(other, digest))
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

    fn referrer(text: &str, superseded: &[Digest]) -> Referrer {
        let (descriptor, manifest) = (Descriptor::of("x", text.as_bytes()), text.into());
        Referrer { descriptor, manifest, superseded: superseded.to_vec() }
    }

    #[test]
    fn what_others_put_into_a_shared_index_stays_as_it_is() {
        let theirs = r#"{"digest":"sha512:ab","mediaType":"x","size":1,"urls":["u"]}"#;
        let text = format!(r#"{{"manifests":[{theirs}],"schemaVersion":2,"subject":{{"a":1}}}}"#);
        let mut index = SharedIndex::parse(text.as_bytes()).unwrap();
        let ours = referrer("ours", &[]);
        index.put_referrer(&ours);
        index.put_referrer(&ours);
        let written = String::from_utf8(index.to_json()).unwrap();
        assert!(written.contains(theirs) && written.contains(r#""subject":{"a":1}"#), "{written}");
        assert_eq!(index.entries(), [ours.descriptor]);
    }

    #[test]
    fn a_referrer_may_take_the_place_of_others() {
        let [old, older, other] = ["old", "older", "other"].map(|text| referrer(text, &[]));
        let new = referrer("new", &[older.descriptor.digest, old.descriptor.digest]);
        let mut index = SharedIndex::empty();
        for entry in [&older, &other, &old] {
            index.put_referrer(entry);
        }
        assert!(!index.has_settled(&new));
        index.put_referrer(&new);
        assert!(index.has_settled(&new) && !index.has_settled(&old));
        assert_eq!(index.entries(), [new.descriptor, other.descriptor]);
    }

    #[test]
    fn a_manifest_is_no_shared_index() {
        for text in ["[]", "{}", r#"{"manifests":{}}"#, r#"{"manifests":[],"layers":[]}"#] {
            assert!(SharedIndex::parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}
