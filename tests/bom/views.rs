//! Every form of an account with something in every field is valid, and says what scanners look for.

use std::path::{Path, PathBuf};

use estaleiro::bom::{Document, Format};
use serde_json::{Value, json};

use crate::sample;
use crate::support::validators::{self, Standard};

/// The forms of an account as files.
pub(crate) struct Views {
    directory: tempfile::TempDir,
}

impl Views {
    pub(crate) fn of(document: &Document) -> Views {
        Views::made(|format| document.view(format).unwrap())
    }

    /// Keeps what `view` returns of each form.
    pub(crate) fn made(view: impl Fn(Format) -> Vec<u8>) -> Views {
        let views = Views { directory: tempfile::tempdir().unwrap() };
        for format in Format::ALL {
            std::fs::write(views.file(format), view(format)).unwrap();
        }
        views
    }

    pub(crate) fn file(&self, format: Format) -> PathBuf {
        self.directory.path().join(format.file_name())
    }

    pub(crate) fn json(&self, format: Format) -> Value {
        serde_json::from_slice(&std::fs::read(self.file(format)).unwrap()).unwrap()
    }
}

/// Checks the forms with all that others have to say.
pub(crate) fn assert_valid(views: &Views) {
    validators::cyclonedx(&views.file(Format::Cyclonedx));
    let spdx = views.file(Format::Spdx);
    validators::spdx(&spdx);
    assert_conformant(&views.file(Format::Spdx3));
    let report = validators::report(Standard::Ntia, &spdx);
    assert_eq!(report["isConformant"], true, "{report:#}");
    // The last thing that the CISA asks is the document's type, for which SPDX 2.3 has no field.
    let report = validators::report(Standard::Fsct3, &spdx);
    for asked in ["Names", "Versions", "Identifiers", "Suppliers", "ConcludedLicenses", "CopyrightTexts"]
        .map(|name| format!("component{name}"))
    {
        assert_eq!(report[&asked]["allProvided"], true, "{report:#}");
    }
    assert_eq!(report["graphValidation"]["unknownPointers"]["hasUnknownPointers"], false, "{report:#}");
    assert_eq!(report["graphValidation"]["floatingComponents"]["floatingComponentCount"], 0, "{report:#}");
}

/// Checks the later SPDX form, in which all that the standards ask for has a place.
fn assert_conformant(spdx3: &Path) {
    validators::spdx3(spdx3);
    for standard in [Standard::Ntia, Standard::Bsi, Standard::Fsct3] {
        let report = validators::report3(standard, spdx3);
        assert_eq!(report["isConformant"], true, "{standard:?}: {report:#}");
        let graph = &report["graphValidation"];
        assert_eq!(graph["unknownPointers"]["hasUnknownPointers"], false, "{standard:?}: {report:#}");
        assert_eq!(graph["floatingComponents"]["floatingComponentCount"], 0, "{standard:?}: {report:#}");
    }
}

#[test]
fn an_account_with_everything_is_valid_in_every_form() {
    assert_valid(&Views::of(&sample::document()));
}

#[test]
fn an_account_with_nothing_is_valid_in_every_form() {
    assert_valid(&Views::of(&sample::empty()));
}

#[test]
fn a_form_that_is_made_later_is_the_same() {
    let document = sample::document();
    let read = Document::parse(&document.view(Format::Yaml).unwrap()).unwrap();
    for format in Format::ALL {
        assert_eq!(read.view(format).unwrap(), document.view(format).unwrap(), "{format}");
    }
}

fn find<'a>(components: &'a Value, name: &str) -> &'a Value {
    let components = components.as_array().unwrap();
    components
        .iter()
        .find(|one| one["name"] == name)
        .unwrap_or_else(|| panic!("{name} is not in {components:#?}"))
}

fn properties<'a>(component: &'a Value, name: &str) -> Vec<&'a str> {
    let properties = component["properties"].as_array().into_iter().flatten();
    properties.filter(|one| one["name"] == name).map(|one| one["value"].as_str().unwrap()).collect()
}

#[test]
fn packages_go_by_the_names_that_scanners_match() {
    let bom = Views::of(&sample::document()).json(Format::Cyclonedx);
    let base = find(&bom["components"], "registry.example:5000/library/base");
    for (components, name, purl) in [
        (
            &bom["components"],
            "libstdc++6",
            "pkg:deb/debian/libstdc%2B%2B6@12.2.0-14%2Bb1?arch=amd64&distro=debian-12&upstream=gcc-12%4012.2.0-14",
        ),
        (&bom["components"], "own-tool", "pkg:deb/debian/own-tool@1:2.0?arch=amd64&distro=debian-12"),
        (&base["components"], "libc6", "pkg:deb/debian/libc6@2.36-9%2Bdeb12u7?arch=amd64&distro=debian-12"),
        (&base["components"], "busybox", "pkg:apk/debian/busybox@1.36-r0?arch=amd64&distro=debian-12"),
        (
            &base["components"],
            "bash",
            "pkg:rpm/debian/bash@5.2-1?arch=amd64&distro=debian-12&epoch=1&upstream=bash-1:5.2-1.src.rpm",
        ),
    ] {
        assert_eq!(find(components, name)["purl"], purl);
    }
    let library = find(&bom["components"], "libstdc++6");
    assert_eq!(properties(library, "aquasecurity:trivy:SrcName"), ["gcc-12"]);
    assert_eq!(properties(library, "aquasecurity:trivy:SrcVersion"), ["12.2.0"]);
    assert_eq!(properties(library, "aquasecurity:trivy:SrcRelease"), ["14"]);
}

#[test]
fn what_the_build_replaced_is_told_and_not_listed() {
    let views = Views::of(&sample::document());
    let bom = views.json(Format::Cyclonedx);
    let base = find(&bom["components"], "registry.example:5000/library/base");
    assert_eq!(properties(base, "estaleiro:replaced"), ["old 1 amd64"]);
    for format in [Format::Cyclonedx, Format::Spdx] {
        assert!(!views.json(format).to_string().contains("\"name\":\"old\""), "{format}");
    }
}

#[test]
fn packages_inside_a_file_stand_in_it_and_what_cannot_be_read_is_incomplete() {
    let bom = Views::of(&sample::document()).json(Format::Cyclonedx);
    let app = find(&bom["components"], "/opt/app");
    assert_eq!(find(&app["components"], "git.example/team/app")["type"], "application");
    assert_eq!(find(&app["components"], "stdlib")["purl"], "pkg:golang/stdlib@1.22.1");
    let jar = find(&bom["components"], "/opt/other.jar");
    assert_eq!(properties(find(&jar["components"], "a"), "aquasecurity:trivy:FilePath"), ["/opt/other.jar"]);
    let incomplete =
        bom["compositions"].as_array().unwrap().iter().find(|one| one["aggregate"] == "incomplete");
    let assemblies = incomplete.unwrap()["assemblies"].as_array().unwrap();
    for part in [&bom["metadata"]["component"], app, jar] {
        assert!(assemblies.contains(&part["bom-ref"]), "{assemblies:?}");
    }
    // Its needs can't be read, either.
    let base = find(&bom["components"], "registry.example:5000/library/base");
    let unread = &find(&base["components"], "zlib1g")["bom-ref"];
    assert!(incomplete.unwrap()["dependencies"].as_array().unwrap().contains(unread));
}

#[test]
fn both_forms_tell_what_a_package_needs() {
    let views = Views::of(&sample::document());
    let bom = views.json(Format::Cyclonedx);
    let reference = |name: &str| &find(&bom["components"], name)["bom-ref"];
    let dependencies = bom["dependencies"].as_array().unwrap();
    let needs = |name: &str| {
        let entry = dependencies.iter().find(|entry| entry["ref"] == *reference(name)).unwrap();
        entry["dependsOn"].as_array().cloned().unwrap_or_default()
    };
    assert_eq!(needs("own-tool"), [reference("libstdc++6").clone()]);
    assert_eq!(needs("found"), [reference("own-tool").clone()]);
    let relations = views.json(Format::Spdx)["relationships"].clone();
    let id = |name: &str| format!("SPDXRef-{}", reference(name).as_str().unwrap());
    let expected = serde_json::json!({
        "spdxElementId": id("own-tool"), "relationshipType": "DEPENDS_ON", "relatedSpdxElement": id("libstdc++6"),
    });
    assert!(relations.as_array().unwrap().contains(&expected), "{relations:#}");
}

#[test]
fn terms_are_expressions_or_texts_and_never_guessed() {
    let views = Views::of(&sample::document());
    let bom = views.json(Format::Cyclonedx);
    let licences = |name: &str| find(&bom["components"], name)["licenses"].clone();
    assert_eq!(licences("found")[0]["expression"], "MIT OR Apache-2.0");
    assert_eq!(licences("libstdc++6")[0]["license"]["text"]["content"], "Do what you like.\n\tBut tell.");
    assert!(licences("unproven").is_null());
    let spdx = views.json(Format::Spdx);
    let package = |name: &str| find(&spdx["packages"], name).clone();
    assert_eq!(package("unproven")["licenseDeclared"], "NOASSERTION");
    assert_eq!(package("unproven")["licenseConcluded"], "LicenseRef-estaleiro-unstated");
    assert_eq!(package("serde")["licenseDeclared"], "Apache-2.0 OR MIT");
    let named = package("a")["licenseDeclared"].as_str().unwrap().to_owned();
    let texts = spdx["hasExtractedLicensingInfos"].as_array().unwrap();
    let text = texts.iter().find(|text| text["licenseId"] == named.as_str()).unwrap();
    assert_eq!(text["extractedText"], "The Apache Licence, Version 2");
}

#[test]
fn a_key_is_told_with_its_fingerprint_and_whose_it_is() {
    let bom = Views::of(&sample::document()).json(Format::Cyclonedx);
    let key = find(&bom["components"], "Archive <keys@archive.example>");
    assert_eq!(key["type"], "cryptographic-asset");
    let material = &key["cryptoProperties"]["relatedCryptoMaterialProperties"];
    assert_eq!(material, &json!({"type": "public-key", "id": "0123456789ABCDEF0123456789ABCDEF01234567"}));
    assert_eq!(properties(key, "estaleiro:identity"), ["Archive <keys@archive.example>"]);
    assert_eq!(properties(key, "estaleiro:from"), ["archive"]);
}
