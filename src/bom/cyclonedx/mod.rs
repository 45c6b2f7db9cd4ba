//! The CycloneDX view: version 1.6, as JSON (<https://cyclonedx.org/docs/1.6/json/>).

mod properties;
mod types;

use super::each::Each;
use super::parts::{Class, Inventory, Part, Supplier, Terms, Texts, is_address};
use super::{Document, Key};
use crate::digest::Digest;
use types::{
    Bom, Component, Composition, Contact, CryptoProperties, Dependency, Entity, Evidence, Hash, KeyMaterial,
    License, LicenseChoice, Lifecycle, Metadata, Reference, Text, Tools,
};

/// Returns the view of `document`, whose name is `uuid`.
pub(super) fn view(document: &Document, uuid: &str) -> Vec<u8> {
    let inventory = Inventory::of(document);
    let bom = Bom {
        schema: "http://cyclonedx.org/schema/bom-1.6.schema.json",
        bom_format: "CycloneDX",
        spec_version: "1.6",
        serial_number: format!("urn:uuid:{uuid}"),
        version: 1,
        metadata: metadata(document, &inventory),
        components: Each::of(components(&inventory).chain(document.keys.iter().map(key))),
        dependencies: Each::of(dependencies(&inventory)),
        compositions: compositions(&inventory),
    };
    let mut bytes = serde_json::to_vec(&bom).expect("these types have a JSON form");
    bytes.push(b'\n');
    bytes
}

fn metadata<'a>(document: &'a Document, inventory: &'a Inventory<'a>) -> Metadata<'a> {
    let (name, version) = document.built_by.split_once(' ').unwrap_or((&document.built_by, ""));
    let tool = Component { kind: "application", name, version, ..Component::default() };
    Metadata {
        timestamp: &document.created,
        lifecycles: [Lifecycle { phase: "build" }],
        tools: Tools { components: [tool] },
        component: component(&inventory.image, &inventory.texts),
        supplier: inventory.image.supplier.as_ref().map(entity),
    }
}

/// Parts stand in what holds them.
fn components<'a>(inventory: &'a Inventory<'a>) -> impl Iterator<Item = Component<'a>> {
    let mut held = inventory.held_by();
    let own = held.remove(&None).unwrap_or_default();
    own.into_iter().map(move |part| {
        let inside = held.remove(&Some(&*part.reference)).unwrap_or_default();
        let components = inside.into_iter().map(|part| component(part, &inventory.texts)).collect();
        Component { components, ..component(part, &inventory.texts) }
    })
}

fn dependencies<'a>(inventory: &'a Inventory<'a>) -> impl Iterator<Item = Dependency<'a>> {
    let own = inventory.parts.iter().filter(|part| part.holder.is_none());
    let image = Dependency {
        reference: &inventory.image.reference,
        depends_on: own.map(|part| &*part.reference).collect(),
    };
    let parts = inventory.parts.iter().map(|part| Dependency {
        reference: &part.reference,
        depends_on: part.needs.iter().flatten().map(String::as_str).collect(),
    });
    [image].into_iter().chain(parts)
}

/// Tells what holds just what is told of it, and what may hold more; what needs just what is told, and what may need more.
fn compositions<'a>(inventory: &'a Inventory<'a>) -> Vec<Composition<'a>> {
    let references = |is_meant: &dyn Fn(&Part<'a>) -> bool| -> Vec<&'a str> {
        let all = [&inventory.image].into_iter().chain(&inventory.parts);
        all.filter(|part| is_meant(part)).map(|part| &*part.reference).collect()
    };
    let knows_needs = |part: &Part<'a>| part.needs.is_some() || part.class == Class::Image;
    let complete = Composition {
        aggregate: "complete",
        assemblies: references(&|part| !part.is_incomplete),
        dependencies: references(&knows_needs),
    };
    let incomplete = Composition {
        aggregate: "incomplete",
        assemblies: references(&|part| part.is_incomplete),
        dependencies: references(&|part| !knows_needs(part)),
    };
    let is_empty = |one: &Composition<'a>| one.assemblies.is_empty() && one.dependencies.is_empty();
    [complete, incomplete].into_iter().filter(|one| !is_empty(one)).collect()
}

fn component<'a>(part: &'a Part<'a>, texts: &'a Texts<'a>) -> Component<'a> {
    let terms = part.terms.as_ref();
    Component {
        kind: kind(part.class),
        bom_ref: &part.reference,
        supplier: part.supplier.as_ref().map(entity),
        name: part.name,
        version: &part.version,
        hashes: part.digest.iter().map(hash).collect(),
        licenses: terms.map(|terms| license(terms, texts)).into_iter().collect(),
        copyright: terms.and_then(Terms::copyright),
        purl: part.purl.as_deref(),
        external_references: references(part),
        components: Vec::new(),
        evidence: terms.and_then(|terms| evidence(terms, texts)),
        crypto_properties: None,
        properties: properties::of(part),
    }
}

/// A key that vouches for packages is no part of the image, and has no place among what that is made of or needs.
fn key(key: &Key) -> Component<'_> {
    let material = KeyMaterial { kind: "public-key", id: &key.fingerprint };
    Component {
        kind: "cryptographic-asset",
        bom_ref: &key.fingerprint,
        name: key.identities.first().unwrap_or(&key.fingerprint),
        crypto_properties: Some(CryptoProperties { asset_type: "related-crypto-material", material }),
        properties: properties::of_key(key),
        ..Component::default()
    }
}

fn kind(class: Class) -> &'static str {
    match class {
        Class::Image | Class::Base => "container",
        Class::OperatingSystem => "operating-system",
        Class::Package(_) | Class::Inside { is_main: false, .. } => "library",
        Class::Inside { is_main: true, .. } => "application",
        Class::File { .. } => "file",
    }
}

fn entity(supplier: &Supplier) -> Entity<'_> {
    let contact = supplier.email.as_deref().map(|email| Contact { email });
    Entity { name: &supplier.name, contact: contact.into_iter().collect() }
}

fn hash(digest: &Digest) -> Hash {
    Hash { alg: "SHA-256", content: digest.hex() }
}

/// A name that is no identifier stands with its text; in an expression of several there is no room for it.
fn license<'a>(terms: &'a Terms<'a>, texts: &'a Texts<'a>) -> LicenseChoice<'a> {
    let acknowledgement = Some("declared");
    match texts.entry(&terms.expression) {
        Some((name, content)) => {
            LicenseChoice::License { license: License { name, text: Text { content }, acknowledgement } }
        }
        None => LicenseChoice::Expression { expression: &terms.expression, acknowledgement },
    }
}

/// Returns the texts that there was no room for.
fn evidence<'a>(terms: &'a Terms<'a>, texts: &'a Texts<'a>) -> Option<Evidence<'a>> {
    if texts.entry(&terms.expression).is_some() {
        return None;
    }
    let names = terms.own_names();
    let told = names.into_iter().filter_map(|name| texts.entry(name));
    let licenses: Vec<LicenseChoice<'a>> = told
        .map(|(name, content)| LicenseChoice::License {
            license: License { name, text: Text { content }, acknowledgement: None },
        })
        .collect();
    (!licenses.is_empty()).then_some(Evidence { licenses })
}

fn references<'a>(part: &'a Part<'a>) -> Vec<Reference<'a>> {
    let plain = |kind, url| Reference { kind, url, hashes: Vec::new() };
    let distribution = part.address.map(|url| Reference {
        hashes: part.digest.iter().map(hash).collect(),
        ..plain("distribution", url)
    });
    let commit = part.commit.map(|(repository, _)| plain("vcs", repository));
    let sources = part.source_files.iter().map(|file| Reference {
        hashes: vec![hash(&file.digest)],
        ..plain("source-distribution", &file.uri)
    });
    let all = distribution.into_iter().chain(commit).chain(sources);
    all.chain([plain("website", part.homepage)]).filter(|reference| is_address(reference.url)).collect()
}
