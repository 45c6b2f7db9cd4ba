//! The SPDX view: version 2.3, as JSON (<https://spdx.github.io/spdx-spec/v2.3/>).
//!
//! Files stand among its packages, with the purpose `FILE`: SPDX's own files must have a SHA-1 digest, which nobody here
//! believes.

mod types;

use super::Document;
use super::each::Each;
use super::parts::{Class, Inventory, Part, Supplier, Terms, is_address};
use types::{Checksum, CreationInfo, ExternalRef, ExtractedLicense, Package, Relationship, Spdx};

/// Returns the view of `document`, whose name is `uuid`.
pub(super) fn view(document: &Document, uuid: &str) -> Vec<u8> {
    let inventory = Inventory::of(document);
    let spdx = Spdx {
        spdx_version: "SPDX-2.3",
        data_license: "CC0-1.0",
        id: "SPDXRef-DOCUMENT",
        name: &document.product_name,
        namespace: format!("urn:uuid:{uuid}"),
        creation_info: CreationInfo {
            created: &document.created,
            creators: [format!("Tool: {}", document.built_by.replacen(' ', "-", 1))],
        },
        packages: Each::of(inventory.all().map(package)),
        relationships: Each::of(relationships(&inventory)),
        extracted: extracted(&inventory),
    };
    let mut bytes = serde_json::to_vec(&spdx).expect("these types have a JSON form");
    bytes.push(b'\n');
    bytes
}

fn id(reference: &str) -> String {
    format!("SPDXRef-{reference}")
}

fn package<'a>(part: &'a Part<'a>) -> Package<'a> {
    let terms = part.terms.as_ref();
    Package {
        id: id(&part.reference),
        name: part.name,
        version: if part.version.is_empty() { "unstated" } else { &part.version },
        file_name: part.file_name,
        supplier: part.supplier.as_ref().map_or_else(|| "NOASSERTION".into(), supplier),
        download_location: part.origin().unwrap_or_else(|| "NOASSERTION".into()),
        files_analyzed: false,
        checksums: part.digest.iter().map(Checksum::of).collect(),
        homepage: Some(part.homepage).filter(|homepage| is_address(homepage)),
        source_info: part.source_info(),
        license_concluded: part.concluded(),
        license_declared: terms.map_or("NOASSERTION", |terms| &terms.expression),
        copyright_text: terms.and_then(Terms::copyright).unwrap_or_else(|| "NONE".into()),
        comment: part.comment(),
        external_refs: external_refs(part),
        purpose: purpose(part.class),
    }
}

fn supplier(supplier: &Supplier) -> String {
    // Parentheses hold an address here.
    let name = supplier.name.replace('(', "[").replace(')', "]");
    match &supplier.email {
        Some(email) => format!("Organization: {name} ({email})"),
        None => format!("Organization: {name}"),
    }
}

fn external_refs<'a>(part: &'a Part<'a>) -> Vec<ExternalRef<'a>> {
    let purl = part.purl.as_deref().map(|locator| ExternalRef {
        category: "PACKAGE-MANAGER",
        kind: "purl",
        locator,
        comment: None,
    });
    let files = part.source_files.iter().filter(|file| is_address(&file.uri));
    let files = files.map(|file| ExternalRef {
        category: "OTHER",
        kind: "source-distribution",
        locator: &file.uri,
        comment: Some(file.digest.to_string()),
    });
    purl.into_iter().chain(files).collect()
}

fn purpose(class: Class) -> Option<&'static str> {
    match class {
        Class::Image | Class::Base => Some("CONTAINER"),
        Class::OperatingSystem => Some("OPERATING-SYSTEM"),
        Class::Package(_) => None,
        Class::File { .. } => Some("FILE"),
        Class::Inside { is_main: true, .. } => Some("APPLICATION"),
        Class::Inside { is_main: false, .. } => Some("LIBRARY"),
    }
}

fn relationships(inventory: &Inventory<'_>) -> impl Iterator<Item = Relationship> {
    let image = &inventory.image.reference;
    let described = relation("DOCUMENT", "DESCRIBES", image);
    let parts = inventory.parts.iter().flat_map(move |part| {
        let holder = part.holder.as_ref().unwrap_or(image);
        let needs = part.needs.iter().flatten();
        let needs = needs.map(|need| relation(&part.reference, "DEPENDS_ON", need));
        let unknown = if part.needs.is_none() { unknown_needs(part) } else { None };
        [relation(holder, "CONTAINS", &part.reference)].into_iter().chain(needs).chain(unknown)
    });
    [described].into_iter().chain(parts)
}

fn relation(from: &str, kind: &'static str, to: &str) -> Relationship {
    Relationship { from: id(from), kind, to: id(to) }
}

fn unknown_needs(part: &Part<'_>) -> Option<Relationship> {
    let is_package = matches!(part.class, Class::Package(_));
    is_package.then(|| Relationship {
        from: id(&part.reference),
        kind: "DEPENDS_ON",
        to: "NOASSERTION".into(),
    })
}

/// Returns the texts of all names that stand in the view and are no identifiers.
fn extracted<'a>(inventory: &'a Inventory<'a>) -> Vec<ExtractedLicense<'a>> {
    let texts = inventory.own_licences().into_iter();
    texts
        .map(|(id, text)| ExtractedLicense { id, name: id.trim_start_matches("LicenseRef-"), text })
        .collect()
}
