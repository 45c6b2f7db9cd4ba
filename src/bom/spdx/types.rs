//! The objects of SPDX 2.3 that the view is made of, with the names of its JSON schema.

use serde::Serialize;

use crate::digest::Digest;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Spdx<'a, P: Serialize, R: Serialize> {
    pub(super) spdx_version: &'static str,
    pub(super) data_license: &'static str,
    #[serde(rename = "SPDXID")]
    pub(super) id: &'static str,
    pub(super) name: &'a str,
    #[serde(rename = "documentNamespace")]
    pub(super) namespace: String,
    pub(super) creation_info: CreationInfo<'a>,
    /// Each a [`Package`].
    pub(super) packages: P,
    /// Each a [`Relationship`].
    pub(super) relationships: R,
    #[serde(rename = "hasExtractedLicensingInfos", skip_serializing_if = "Vec::is_empty")]
    pub(super) extracted: Vec<ExtractedLicense<'a>>,
}

#[derive(Serialize)]
pub(super) struct CreationInfo<'a> {
    pub(super) created: &'a str,
    pub(super) creators: [String; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Package<'a> {
    #[serde(rename = "SPDXID")]
    pub(super) id: String,
    pub(super) name: &'a str,
    #[serde(rename = "versionInfo")]
    pub(super) version: &'a str,
    #[serde(rename = "packageFileName", skip_serializing_if = "str::is_empty")]
    pub(super) file_name: &'a str,
    pub(super) supplier: String,
    pub(super) download_location: String,
    pub(super) files_analyzed: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) checksums: Vec<Checksum>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) homepage: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) source_info: Option<String>,
    pub(super) license_concluded: &'a str,
    pub(super) license_declared: &'a str,
    pub(super) copyright_text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) comment: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) external_refs: Vec<ExternalRef<'a>>,
    #[serde(rename = "primaryPackagePurpose", skip_serializing_if = "Option::is_none")]
    pub(super) purpose: Option<&'static str>,
}

#[derive(Serialize)]
pub(super) struct Checksum {
    algorithm: &'static str,
    #[serde(rename = "checksumValue")]
    value: String,
}

impl Checksum {
    pub(super) fn of(digest: &Digest) -> Checksum {
        Checksum { algorithm: "SHA256", value: digest.hex() }
    }
}

#[derive(Serialize)]
pub(super) struct ExternalRef<'a> {
    #[serde(rename = "referenceCategory")]
    pub(super) category: &'static str,
    #[serde(rename = "referenceType")]
    pub(super) kind: &'static str,
    #[serde(rename = "referenceLocator")]
    pub(super) locator: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) comment: Option<String>,
}

#[derive(Serialize)]
pub(super) struct Relationship {
    #[serde(rename = "spdxElementId")]
    pub(super) from: String,
    #[serde(rename = "relationshipType")]
    pub(super) kind: &'static str,
    #[serde(rename = "relatedSpdxElement")]
    pub(super) to: String,
}

#[derive(Serialize)]
pub(super) struct ExtractedLicense<'a> {
    #[serde(rename = "licenseId")]
    pub(super) id: &'a str,
    pub(super) name: &'a str,
    #[serde(rename = "extractedText")]
    pub(super) text: &'a str,
}
