//! Licences: of packages that are installed, that files are taken out of, and that come with a base.

use serde_json::{Value, json};

use crate::site::Site;
use crate::support::{Archive, Deb, Key, ServedArchive, TestRegistry};
use crate::yard::{self, account};

const COPYRIGHT: &str = "\
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/

Files: *
Copyright: 2011 Bob
           2010 Ann
License: GPL-2+ or Expat, and custom

License: custom
 Take it.
";
const EXPRESSION: &str = "LicenseRef-custom-ee32b371 AND (GPL-2.0-or-later OR MIT)";

fn archive() -> ServedArchive {
    Archive::new()
        .add(Deb::new("tool", "1").depends("data, lib, silent").file("/usr/bin/tool", 0o755, "tool").file(
            "/usr/share/doc/tool/copyright",
            0o644,
            COPYRIGHT,
        ))
        .add(
            Deb::new("data", "1")
                .file("/usr/share/data", 0o644, "data")
                .symlink("/usr/share/doc/data/copyright", "../tool/copyright"),
        )
        .add(Deb::new("lib", "1").file("/usr/lib/lib.so", 0o644, "lib").symlink("/usr/share/doc/lib", "tool"))
        .add(Deb::new("silent", "1").file("/usr/share/silent", 0o644, "silent"))
        .add(Deb::new("base", "1").essential().file("/usr/bin/sh", 0o755, "sh"))
        .add(Deb::new("usr-is-merged", "1"))
        .sign_with(&Key::ed25519())
        .serve()
}

fn site(archive: &ServedArchive, apt: &str, files: &str) -> Site {
    let mut site = Site::new(&format!(
        "image \"x\" {{\n  apt {{\n    essential = false\n    repositories = [{:?}]\n    \
         key \"archive\" {{\n      path = \"archive.asc\"\n    }}\n{apt}\n  }}\n{files}\n}}\n",
        archive.line("signed-by=archive")
    ));
    site.put("archive.asc", archive.key());
    site.call(archive.url(), "http://archive.example");
    site
}

const TOOL: &str = "    package \"tool\" {}";

fn licences(packages: &Value) -> Vec<(&str, &Value)> {
    let packages = packages.as_array().unwrap().iter();
    packages.map(|package| (package["name"].as_str().unwrap(), &package["licence"])).collect()
}

#[test]
fn each_package_tells_what_its_copyright_file_declares_behind_links_too() {
    let archive = archive();
    let site = site(&archive, TOOL, "");
    yard::root(&site);
    let account = account(&site);
    let licence = json!({
        "expression": EXPRESSION,
        "holders": ["2010 Ann", "2011 Bob"],
        "declared_by": "/usr/share/doc/tool/copyright",
    });
    let expected = [("data", &licence), ("lib", &licence), ("silent", &Value::Null), ("tool", &licence)];
    assert_eq!(licences(&account["changeset"]["packages"]), expected);
    assert_eq!(account["licence_texts"], json!({ "LicenseRef-custom-ee32b371": "Take it." }));
}

#[test]
fn what_files_are_taken_out_of_tells_its_licence_and_that_the_image_hasnt_got_the_file() {
    let archive = archive();
    let file = "  file \"/tool\" {\n    from_package \"tool\" { path = \"/usr/bin/tool\" }\n  }";
    let site = site(&archive, "", file);
    yard::root(&site);
    let account = account(&site);
    let licence = &account["changeset"]["opened_packages"][0]["licence"];
    assert_eq!(licence["expression"], EXPRESSION);
    let declared_by = licence["declared_by"].as_str().unwrap();
    assert!(declared_by.ends_with(".deb!/usr/share/doc/tool/copyright"), "{declared_by}");
    assert_eq!(account["licence_texts"], json!({ "LicenseRef-custom-ee32b371": "Take it." }));
}

#[test]
fn who_builds_upon_an_image_knows_the_licences_of_its_packages() {
    let archive = archive();
    let registry = TestRegistry::start();
    let name = registry.name("bare", "1");
    let bare = site(&archive, TOOL, "");
    let state = tempfile::tempdir().unwrap();
    let state = state.path().to_str().unwrap();
    let arguments = ["build", "--quiet", "--platform", "linux/amd64", "--state", state, "--push", &name];
    bare.succeeds(&mut bare.estaleiro(&arguments));
    let above = Site::new(&format!("image \"y\" {{\n  base_image = \"{name}\"\n  workdir = \"/\"\n}}\n"));
    above.succeeds(&mut above.build());
    let account = account(&above);
    let licences = licences(&account["base_image"]["packages"]);
    let expressions: Vec<(&str, &Value)> =
        licences.iter().map(|(name, licence)| (*name, &licence["expression"])).collect();
    let known = json!(EXPRESSION);
    assert_eq!(expressions, [("data", &known), ("lib", &known), ("silent", &Value::Null), ("tool", &known)]);
    assert_eq!(account["licence_texts"], json!({ "LicenseRef-custom-ee32b371": "Take it." }));
}
