//! The report on licences, of an image and of a file.

use serde_json::Value;

use super::site::{Site, assert_said};
use super::sound;

/// Builds an image, and writes its account to a file.
fn site_with_account() -> Site {
    let site = sound();
    site.succeeds(site.verb("build").args(["--output", "oci:../made"]));
    site.succeeds(&mut site.estaleiro(&["bom", "oci:../made", "--output", "../bom.yml"]));
    site
}

#[test]
fn the_licences_of_an_image_or_of_a_file_are_told_for_people_and_for_machines() {
    let site = site_with_account();
    let told = |arguments: &[&str]| {
        let all = [&["bom"], arguments, &["--licenses"]].concat();
        String::from_utf8(site.succeeds(&mut site.estaleiro(&all)).stdout).unwrap()
    };
    let text = told(&["oci:../made"]);
    assert!(text.contains("files that were added one by one: 1"), "{text}");
    assert_eq!(told(&["../bom.yml", "--format", "text"]), text);
    let json: Value = serde_json::from_str(&told(&["../bom.yml", "--format", "json"])).unwrap();
    assert_eq!(json["open"]["n_files"], 1);
}

#[test]
fn a_form_of_something_else_is_refused() {
    let site = site_with_account();
    let refused = |arguments: &[&str]| site.fails(2, &mut site.estaleiro(arguments));
    for form in ["spdx", "markdown"] {
        assert_said(
            &refused(&["bom", "../bom.yml", "--licenses", "--format", form]),
            "error: cannot print the licences in that form\nhint: name text or json",
        );
    }
    assert!(refused(&["bom", "../bom.yml", "--licenses", "--html"]).contains("cannot be used with"));
}
