//! SPDX 3.0.1, as its own library reads it: who answers for what, how it is handed out, and how much is known.

use std::collections::BTreeSet;

use estaleiro::bom::{Document, Format, Origin};
use estaleiro::digest::{Digest, Sha512};
use serde_json::{Value, json};

use crate::sample;
use crate::views::Views;

/// The elements of the later SPDX form.
struct Graph(Vec<Value>);

impl Graph {
    fn of(document: &Document) -> Graph {
        let view = Views::of(document).json(Format::Spdx3);
        Graph(view["@graph"].as_array().unwrap().clone())
    }

    fn named(&self, kind: &str, name: &str) -> &Value {
        let is_it = |one: &&Value| one["type"] == kind && one["name"] == name;
        self.0.iter().find(is_it).unwrap_or_else(|| panic!("{kind} {name} is not there"))
    }

    fn element(&self, id: &Value) -> &Value {
        self.0.iter().find(|one| one["spdxId"] == *id).unwrap_or_else(|| panic!("{id} is not there"))
    }

    /// Returns the relations of a kind that begin with an element.
    fn relation(&self, from: &Value, kind: &str) -> &Value {
        let is_it = |one: &&Value| one["from"] == from["spdxId"] && one["relationshipType"] == kind;
        self.0.iter().find(is_it).unwrap_or_else(|| panic!("no {kind} of {from:#}"))
    }

    fn targets(&self, from: &Value, kind: &str) -> Vec<&Value> {
        let to = self.relation(from, kind)["to"].as_array().unwrap();
        to.iter().map(|id| self.element(id)).collect()
    }

    /// Returns the names of the files that a package is handed out as.
    fn forms(&self, package: &str) -> Vec<&str> {
        let forms = self.targets(self.named("software_Package", package), "hasDistributionArtifact");
        forms.iter().map(|form| form["name"].as_str().unwrap()).collect()
    }
}

#[test]
fn no_two_elements_have_one_name() {
    let graph = Graph::of(&sample::document());
    let names: Vec<&str> = graph.0.iter().filter_map(|one| one["spdxId"].as_str()).collect();
    let distinct: BTreeSet<&&str> = names.iter().collect();
    assert_eq!(distinct.len(), names.len());
    assert_eq!(names.len() + 1, graph.0.len(), "all but the creation have one");
}

#[test]
fn each_part_is_handed_out_as_its_own_file_or_in_what_brought_it() {
    let mut document = sample::document();
    let name = "libstdc++6:amd64".to_owned();
    document.layers[1].groups[0].origin = Origin::Package { package: name };
    document.layers[1].groups[0].paths = vec!["/usr/bin/rusty".into()];
    document.layers[1].groups[3].paths.push("/opt/app".into());
    document.changeset.found_packages[0].location.as_mut().unwrap().sha512 = None;
    let graph = Graph::of(&document);
    let (image, base) = (Digest::of("manifest").hex(), Digest::of("base").hex());
    for (package, forms) in [
        ("registry.example/team/app", vec![&*image]),
        ("registry.example:5000/library/base", vec![&*base]),
        ("zlib1g", vec![&*base]),
        // The base's own account tells of it.
        ("libc6", vec!["libc6_2.36-9+deb12u7_amd64.deb"]),
        ("own-tool", vec!["own tool.deb"]),
        ("unproven", vec![&*image]),
        // Nobody saw its .deb.
        ("found", vec!["found.deb", &*image]),
        ("serde", vec!["libstdc++6_12.2.0-14+b1_amd64.deb"]),
        ("stdlib", vec![&*image]),
        ("six", vec![&*base]),
    ] {
        assert_eq!(graph.forms(package), forms, "{package}");
    }
    let form = graph.named("software_File", "own tool.deb");
    let hashes: Vec<&Value> = form["verifiedUsing"].as_array().unwrap().iter().collect();
    assert_eq!(hashes[1]["hashValue"], Sha512::of("own tool.deb").hex());
    assert_eq!(form["software_additionalPurpose"], json!(["archive", "container"]));
}

#[test]
fn the_later_form_tells_how_much_is_known_of_needs_and_contents() {
    let graph = Graph::of(&sample::document());
    let package = |name: &str| graph.named("software_Package", name);
    let needs = graph.relation(package("own-tool"), "dependsOn");
    assert_eq!(needs["to"], json!([package("libstdc++6")["spdxId"]]));
    assert_eq!(needs["completeness"], "complete");
    for (name, said) in [
        ("busybox", "depends_on: nothing that is here"),
        ("zlib1g", "depends_on: not known"),
        ("serde", "depends_on: not known"),
    ] {
        let comment = package(name)["comment"].as_str().unwrap();
        assert!(comment.lines().any(|line| line == said), "{name}: {comment}");
    }
    for (name, completeness) in
        [("registry.example/team/app", "incomplete"), ("registry.example:5000/library/base", "noAssertion")]
    {
        assert_eq!(graph.relation(package(name), "contains")["completeness"], completeness, "{name}");
    }
}

#[test]
fn the_later_form_tells_who_answers_and_under_which_terms() {
    let graph = Graph::of(&sample::document());
    let creation = graph.0.iter().find(|one| one["type"] == "CreationInfo").unwrap();
    let creator = graph.element(&creation["createdBy"][0]);
    assert_eq!(
        (&creator["name"], &creator["externalIdentifier"][0]["identifier"]),
        (&json!("Team"), &json!("ann@team.example"))
    );
    assert_eq!(graph.element(&creation["createdUsing"][0])["name"], "estaleiro 0.1.0");
    let package = graph.named("software_Package", "own-tool");
    let maker = graph.element(&package["originatedBy"][0]);
    assert_eq!(maker["externalIdentifier"][0]["identifier"], "ann@archive.example");
    let terms = &graph.targets(package, "hasDeclaredLicense")[0];
    assert_eq!(
        terms["simplelicensing_licenseExpression"],
        "GPL-2.0-or-later WITH GCC-exception-3.1 AND LicenseRef-tool"
    );
    let text = &terms["simplelicensing_customIdToUri"][0];
    assert_eq!(text["key"], "LicenseRef-tool");
    assert_eq!(
        graph.element(&text["value"])["simplelicensing_licenseText"],
        "Do what you like.\n\tBut tell."
    );
    let unproven = graph.named("software_Package", "unproven");
    let is_declared =
        |one: &Value| one["from"] == unproven["spdxId"] && one["relationshipType"] == "hasDeclaredLicense";
    assert!(!graph.0.iter().any(is_declared));
}

#[test]
fn a_source_file_of_several_packages_stands_there_once() {
    let mut document = sample::document();
    let packages = &mut document.changeset.packages;
    packages[0].sources = packages[1].sources.clone();
    let graph = Graph::of(&document);
    let source = graph.named("software_File", "x.dsc");
    assert_eq!(
        source["externalRef"][0]["locator"],
        json!(["https://archive.example/debian/pool/main/x.dsc"])
    );
    let names: Vec<&Value> =
        graph.targets(source, "generates").iter().map(|package| &package["name"]).collect();
    assert_eq!(names, ["libstdc++6", "own-tool"]);
}
