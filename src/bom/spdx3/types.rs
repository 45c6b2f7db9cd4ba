//! The classes of SPDX 3.0.1 that the view is made of, with the names of its JSON-LD context.

use serde::Serialize;

use crate::digest::{Digest, Sha512};

/// The blank node that says when, by whom and with what all elements were made.
pub(super) const CREATION: &str = "_:creation";

#[derive(Serialize)]
pub(super) struct Spdx<'a> {
    #[serde(rename = "@context")]
    pub(super) context: &'static str,
    #[serde(rename = "@graph")]
    pub(super) graph: Vec<Element<'a>>,
}

#[derive(Serialize)]
#[serde(tag = "type")]
pub(super) enum Element<'a> {
    CreationInfo(CreationInfo<'a>),
    Organization(Agent<'a>),
    Tool(Agent<'a>),
    SpdxDocument(Collection<'a>),
    #[serde(rename = "software_Sbom")]
    Sbom(Collection<'a>),
    #[serde(rename = "software_Package")]
    Package(Box<Artifact<'a>>),
    #[serde(rename = "software_File")]
    File(Box<Artifact<'a>>),
    Relationship(Relationship),
    #[serde(rename = "simplelicensing_LicenseExpression")]
    Expression(Expression<'a>),
    #[serde(rename = "simplelicensing_SimpleLicensingText")]
    Text(Text<'a>),
}

impl Element<'_> {
    /// Returns its name, unless it is the one that has none.
    pub(super) fn id(&self) -> Option<&str> {
        let core = match self {
            Element::CreationInfo(_) => return None,
            Element::Organization(agent) | Element::Tool(agent) => &agent.core,
            Element::SpdxDocument(collection) | Element::Sbom(collection) => &collection.core,
            Element::Package(artifact) | Element::File(artifact) => &artifact.core,
            Element::Relationship(relationship) => &relationship.core,
            Element::Expression(expression) => &expression.core,
            Element::Text(text) => &text.core,
        };
        Some(&core.spdx_id)
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CreationInfo<'a> {
    #[serde(rename = "@id")]
    pub(super) id: &'static str,
    pub(super) spec_version: &'static str,
    pub(super) created: &'a str,
    pub(super) created_by: [String; 1],
    pub(super) created_using: [String; 1],
}

/// What every element has.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Core {
    pub(super) spdx_id: String,
    creation_info: &'static str,
}

impl Core {
    pub(super) fn new(spdx_id: String) -> Core {
        Core { spdx_id, creation_info: CREATION }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Agent<'a> {
    #[serde(flatten)]
    pub(super) core: Core,
    pub(super) name: &'a str,
    #[serde(rename = "externalIdentifier", skip_serializing_if = "Vec::is_empty")]
    pub(super) identifiers: Vec<Identifier<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase", tag = "type", rename = "ExternalIdentifier")]
pub(super) struct Identifier<'a> {
    #[serde(rename = "externalIdentifierType")]
    pub(super) kind: &'static str,
    pub(super) identifier: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Collection<'a> {
    #[serde(flatten)]
    pub(super) core: Core,
    pub(super) name: &'a str,
    pub(super) profile_conformance: [&'static str; 3],
    #[serde(rename = "dataLicense", skip_serializing_if = "Option::is_none")]
    pub(super) data_licence: Option<String>,
    #[serde(rename = "software_sbomType", skip_serializing_if = "Option::is_none")]
    pub(super) sbom_type: Option<[&'static str; 1]>,
    pub(super) root_element: [String; 1],
    #[serde(rename = "element")]
    pub(super) elements: Vec<String>,
}

/// A package or a file.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Artifact<'a> {
    #[serde(flatten)]
    pub(super) core: Core,
    pub(super) name: &'a str,
    #[serde(flatten)]
    pub(super) said: Said<'a>,
}

/// What may be said of a package or a file.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Said<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) comment: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) verified_using: Vec<Hash>,
    #[serde(rename = "externalIdentifier", skip_serializing_if = "Vec::is_empty")]
    pub(super) identifiers: Vec<Identifier<'a>>,
    #[serde(rename = "externalRef", skip_serializing_if = "Vec::is_empty")]
    pub(super) references: Vec<Reference<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) originated_by: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) supplied_by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) content_type: Option<&'static str>,
    #[serde(rename = "software_primaryPurpose", skip_serializing_if = "Option::is_none")]
    pub(super) purpose: Option<&'static str>,
    #[serde(rename = "software_additionalPurpose", skip_serializing_if = "<[_]>::is_empty")]
    pub(super) additional_purposes: &'static [&'static str],
    #[serde(rename = "software_copyrightText", skip_serializing_if = "Option::is_none")]
    pub(super) copyright: Option<String>,
    #[serde(rename = "software_packageVersion", skip_serializing_if = "Option::is_none")]
    pub(super) version: Option<&'a str>,
    #[serde(rename = "software_packageUrl", skip_serializing_if = "Option::is_none")]
    pub(super) purl: Option<&'a str>,
    #[serde(rename = "software_homePage", skip_serializing_if = "Option::is_none")]
    pub(super) homepage: Option<&'a str>,
    #[serde(rename = "software_downloadLocation", skip_serializing_if = "Option::is_none")]
    pub(super) download_location: Option<String>,
    #[serde(rename = "software_sourceInfo", skip_serializing_if = "Option::is_none")]
    pub(super) source_info: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase", tag = "type")]
pub(super) struct Hash {
    algorithm: &'static str,
    #[serde(rename = "hashValue")]
    value: String,
}

impl Hash {
    /// Returns one or two of the same bytes.
    pub(super) fn of(digest: Option<Digest>, sha512: Option<Sha512>) -> Vec<Hash> {
        let sha256 = digest.map(|digest| Hash { algorithm: "sha256", value: digest.hex() });
        let sha512 = sha512.map(|sha512| Hash { algorithm: "sha512", value: sha512.hex() });
        sha256.into_iter().chain(sha512).collect()
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase", tag = "type", rename = "ExternalRef")]
pub(super) struct Reference<'a> {
    #[serde(rename = "externalRefType")]
    pub(super) kind: &'static str,
    pub(super) locator: [&'a str; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Relationship {
    #[serde(flatten)]
    pub(super) core: Core,
    #[serde(rename = "relationshipType")]
    pub(super) kind: &'static str,
    pub(super) from: String,
    pub(super) to: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) completeness: Option<&'static str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Expression<'a> {
    #[serde(flatten)]
    pub(super) core: Core,
    #[serde(rename = "simplelicensing_licenseExpression")]
    pub(super) expression: &'a str,
    #[serde(rename = "simplelicensing_customIdToUri", skip_serializing_if = "Vec::is_empty")]
    pub(super) texts: Vec<Entry<'a>>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename = "DictionaryEntry")]
pub(super) struct Entry<'a> {
    pub(super) key: &'a str,
    pub(super) value: String,
}

#[derive(Serialize)]
pub(super) struct Text<'a> {
    #[serde(flatten)]
    pub(super) core: Core,
    pub(super) name: &'a str,
    #[serde(rename = "simplelicensing_licenseText")]
    pub(super) text: &'a str,
}
