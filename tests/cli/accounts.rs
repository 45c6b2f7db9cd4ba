//! What is printed of accounts: the page, and what differs between two.

use std::fs;

use super::site::{Site, assert_said};
use super::sound;

/// Builds two images that differ in the file that they hold.
fn two() -> Site {
    let site = sound();
    for (tag, content) in [("1", "tool"), ("2", "another tool")] {
        site.put("tool", content);
        site.succeeds(site.verb("build").args(["--output", &format!("oci:../made:{tag}")]));
    }
    site
}

#[test]
fn what_differs_between_two_images_is_told_in_three_forms() {
    let site = two();
    let said = |arguments: &[&str]| {
        let all = [&["bom", "--diff", "oci:../made:1", "oci:../made:2"], arguments].concat();
        String::from_utf8(site.succeeds(&mut site.estaleiro(&all)).stdout).unwrap()
    };
    let text = said(&[]);
    assert!(
        text.contains("\nfiles (1)\n  ~ /tool  sha256:") && text.contains("      size: 4 → 12\n"),
        "{text}"
    );
    assert!(said(&["--format", "markdown"]).contains("\n### Files: 1 changed\n"));
    let json: serde_json::Value = serde_json::from_str(&said(&["--format", "json"])).unwrap();
    assert_eq!(json["sections"][0]["changes"][0]["name"], "/tool");
    let same = site.succeeds(&mut site.estaleiro(&["bom", "--diff", "oci:../made:1", "oci:../made:1"]));
    assert_eq!(same.stdout, b"no differences\n");
}

#[test]
fn a_page_is_made_of_an_image_or_of_a_file_and_is_the_same() {
    let site = two();
    site.succeeds(&mut site.estaleiro(&["bom", "oci:../made:1", "-o", "../bom.yml"]));
    let page = site.succeeds(&mut site.estaleiro(&["bom", "oci:../made:1", "--html"])).stdout;
    site.succeeds(&mut site.estaleiro(&["bom", "../bom.yml", "--html", "--output", "../bom.html"]));
    assert_eq!(fs::read(site.path("bom.html")).unwrap(), page);
    let page = String::from_utf8(page).unwrap();
    assert!(page.contains("Content-Security-Policy") && page.contains("<td>/tool</td>"));
    assert!(page.contains("aria-label=\"The build graph\""));
}

#[test]
fn a_form_that_does_not_fit_is_refused() {
    let site = sound();
    let refused = |arguments: &[&str]| site.fails(2, &mut site.estaleiro(arguments));
    assert_said(
        &refused(&["bom", "oci:../made:1", "--format", "markdown"]),
        "error: cannot print that form of one account: it is one of what differs\n\
         hint: name two with --diff A B, or a form of an account: yaml, cyclonedx, spdx or spdx3",
    );
    assert_said(
        &refused(&["bom", "--diff", "oci:../made:1", "oci:../made:2", "--format", "yaml"]),
        "error: cannot print what differs in that form: it is one of an account\n\
         hint: name text, markdown or json",
    );
    assert!(refused(&["bom"]).contains("required"));
    assert!(refused(&["bom", "x", "--html", "--format", "yaml"]).contains("cannot be used with"));
}
