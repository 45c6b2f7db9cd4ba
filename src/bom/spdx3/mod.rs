//! The later SPDX view: version 3.0.1, as JSON-LD (<https://spdx.github.io/spdx-spec/v3.0.1/>), with what the BSI's
//! TR-03183-2 and the CISA ask for and version 2.3 has no field for.
//!
//! What os-release says is no component here, for nobody hands it out; the image's comment tells it.

mod artifacts;
mod licences;
mod relations;
mod types;

use std::collections::BTreeSet;

use super::Document;
use super::parts::{Inventory, Supplier, reference};
use types::{Agent, CREATION, Collection, Core, CreationInfo, Element, Identifier, Spdx};

/// The licence of the data itself, which SPDX asks for.
const DATA_LICENCE: &str = "CC0-1.0";

/// Returns the view of `document`, whose name is `uuid`.
pub(super) fn view(document: &Document, uuid: &str) -> Vec<u8> {
    let inventory = Inventory::of(document);
    let unstated = Supplier::unstated();
    let creator = inventory.image.supplier.as_ref().unwrap_or(&unstated);
    let view = View { document, inventory: &inventory, creator, namespace: format!("urn:uuid:{uuid}") };
    let spdx = Spdx { context: "https://spdx.org/rdf/3.0.1/spdx-context.jsonld", graph: view.graph() };
    let mut bytes = serde_json::to_vec(&spdx).expect("these types have a JSON form");
    bytes.push(b'\n');
    bytes
}

struct View<'a> {
    document: &'a Document,
    inventory: &'a Inventory<'a>,
    /// Who answers for the image, and so for what is told of it; this builder is but the tool.
    creator: &'a Supplier,
    namespace: String,
}

impl<'a> View<'a> {
    fn graph(&self) -> Vec<Element<'a>> {
        let mut told = self.parts();
        told.extend(self.files_around());
        told.extend(self.relations());
        told.extend(self.licences());
        let elements = told.iter().filter_map(Element::id).map(str::to_owned).collect();
        let sbom = Collection {
            sbom_type: Some(["build"]),
            elements,
            ..self.collection("sbom", &self.inventory.image.reference)
        };
        let document = Collection {
            data_licence: Some(self.expression_id(DATA_LICENCE)),
            ..self.collection("document", "sbom")
        };
        let head = [self.creation(), Element::SpdxDocument(document), Element::Sbom(sbom), self.tool()];
        head.into_iter().chain(self.agents()).chain(told).collect()
    }

    fn id(&self, reference: &str) -> String {
        format!("{}#{reference}", self.namespace)
    }

    fn core(&self, reference: &str) -> Core {
        Core::new(self.id(reference))
    }

    fn creation(&self) -> Element<'a> {
        Element::CreationInfo(CreationInfo {
            id: CREATION,
            spec_version: "3.0.1",
            created: &self.document.created,
            created_by: [self.agent_id(self.creator)],
            created_using: [self.id("tool")],
        })
    }

    fn collection(&self, reference: &str, root: &str) -> Collection<'a> {
        Collection {
            core: self.core(reference),
            name: &self.document.product_name,
            profile_conformance: ["core", "software", "simpleLicensing"],
            data_licence: None,
            sbom_type: None,
            root_element: [self.id(root)],
            elements: vec![self.id(root)],
        }
    }

    fn tool(&self) -> Element<'a> {
        Element::Tool(Agent {
            core: self.core("tool"),
            name: &self.document.built_by,
            identifiers: Vec::new(),
        })
    }

    fn agents(&self) -> Vec<Element<'a>> {
        let suppliers = self.inventory.all().filter_map(|part| part.supplier.as_ref());
        let suppliers: BTreeSet<&Supplier> = suppliers.chain([self.creator]).collect();
        suppliers.into_iter().map(|supplier| self.agent(supplier)).collect()
    }

    fn agent(&self, supplier: &'a Supplier) -> Element<'a> {
        let email = supplier.email.as_deref().map(|identifier| Identifier { kind: "email", identifier });
        let url = supplier.url.as_deref().map(|identifier| Identifier { kind: "urlScheme", identifier });
        Element::Organization(Agent {
            core: Core::new(self.agent_id(supplier)),
            name: &supplier.name,
            identifiers: email.into_iter().chain(url).collect(),
        })
    }

    fn agent_id(&self, supplier: &Supplier) -> String {
        let told = [&supplier.email, &supplier.url].map(|text| text.as_deref().unwrap_or_default());
        self.id(&reference("agent", &supplier.name, &told.join("\n")))
    }
}
