//! Manifests and indexes.

use serde::Serialize;

use crate::redact;

use super::{Annotations, Descriptor, canonical_json, media_type};

/// Why bytes are no manifest or index.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {what}: {reason}")]
pub struct InvalidManifest {
    what: &'static str,
    reason: String,
}

/// An image manifest, or an artifact's (OCI image specification, "Image Manifest").
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// OCI's or Docker's name for it.
    pub media_type: String,
    /// What the artifact is; absent for images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// The configuration.
    pub config: Descriptor,
    /// Lowest first.
    pub layers: Vec<Descriptor>,
    /// The manifest this one refers to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// Remarks.
    #[serde(skip_serializing_if = "Annotations::is_empty")]
    pub annotations: Annotations,
}

/// An index: the same image for several platforms, or a list of referrers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// OCI's or Docker's name for it.
    pub media_type: String,
    /// What it lists.
    pub manifests: Vec<Descriptor>,
    /// Remarks.
    #[serde(skip_serializing_if = "Annotations::is_empty")]
    pub annotations: Annotations,
}

/// Both kinds state this schema version.
#[derive(Serialize)]
struct Versioned<'a, T> {
    #[serde(rename = "schemaVersion")]
    schema_version: u32,
    #[serde(flatten)]
    body: &'a T,
}

impl Manifest {
    /// Reads a manifest; an index is refused as such.
    pub fn parse(bytes: &[u8]) -> Result<Manifest, InvalidManifest> {
        let error = |reason: String| InvalidManifest { what: "manifest", reason: redact::line(&reason) };
        let wire: oci_spec::image::ImageManifest =
            serde_json::from_slice(bytes).map_err(|e| error(e.to_string()))?;
        refuse_other_kind(bytes, "manifests").map_err(error)?;
        Ok(Manifest {
            media_type: wire.media_type().as_ref().map_or(media_type::MANIFEST.into(), ToString::to_string),
            artifact_type: wire.artifact_type().as_ref().map(ToString::to_string),
            config: from_wire(wire.config()).map_err(error)?,
            layers: wire.layers().iter().map(from_wire).collect::<Result<_, _>>().map_err(error)?,
            subject: wire.subject().as_ref().map(from_wire).transpose().map_err(error)?,
            annotations: wire.annotations().clone().unwrap_or_default().into_iter().collect(),
        })
    }

    /// Returns the canonical bytes.
    pub fn to_json(&self) -> Vec<u8> {
        canonical_json(&Versioned { schema_version: 2, body: self })
    }
}

impl Index {
    /// Returns an index of `manifests`.
    pub fn new(manifests: Vec<Descriptor>) -> Index {
        Index { media_type: media_type::INDEX.into(), manifests, annotations: Annotations::new() }
    }

    /// Reads an index; a manifest is refused as such.
    pub fn parse(bytes: &[u8]) -> Result<Index, InvalidManifest> {
        let error = |reason: String| InvalidManifest { what: "index", reason: redact::line(&reason) };
        let wire: oci_spec::image::ImageIndex =
            serde_json::from_slice(bytes).map_err(|e| error(e.to_string()))?;
        refuse_other_kind(bytes, "layers").map_err(error)?;
        Ok(Index {
            media_type: wire.media_type().as_ref().map_or(media_type::INDEX.into(), ToString::to_string),
            manifests: wire.manifests().iter().map(from_wire).collect::<Result<_, _>>().map_err(error)?,
            annotations: wire.annotations().clone().unwrap_or_default().into_iter().collect(),
        })
    }

    /// Returns the canonical bytes.
    pub fn to_json(&self) -> Vec<u8> {
        canonical_json(&Versioned { schema_version: 2, body: self })
    }
}

fn from_wire(wire: &oci_spec::image::Descriptor) -> Result<Descriptor, String> {
    let value = serde_json::to_value(wire).map_err(|e| e.to_string())?;
    serde_json::from_value(value).map_err(|e| e.to_string())
}

/// A document that is both can mean two things to two readers (CVE-2021-41190).
fn refuse_other_kind(bytes: &[u8], field: &str) -> Result<(), String> {
    let fields: serde_json::Map<String, serde_json::Value> =
        serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
    match fields.contains_key(field) {
        true => Err(format!("it also has the field `{field}`, so it could be taken for another kind")),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::{Image, Platform};

    #[test]
    fn a_manifest_is_read_as_it_was_written() {
        let manifest =
            Image::scratch(Platform::host()).manifest(Annotations::from([("b".into(), "1".into())]));
        assert_eq!(Manifest::parse(&manifest.to_json()).unwrap(), manifest);
    }

    #[test]
    fn an_index_is_no_manifest() {
        let index = Index::new(vec![Descriptor::of(media_type::MANIFEST, b"{}")]);
        assert_eq!(Index::parse(&index.to_json()).unwrap(), index);
        assert!(Manifest::parse(&index.to_json()).is_err());
        let text = String::from_utf8(index.to_json()).unwrap();
        let both = text.replacen('{', r#"{"layers":[],"#, 1);
        assert!(Index::parse(both.as_bytes()).unwrap_err().to_string().contains("`layers`"));
    }
}
