//! Bases whose packages are rpm's.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::databases::{LIB, installed};
use crate::site::Site;
use crate::support::image::busybox;
use crate::support::{Key, Rpms, Tarball, TestImage};

const RELEASE: &str = "ID=fedora\nVERSION_ID=39\n";

fn base(path: &str, database: Vec<u8>) -> TestImage {
    let (directory, _) = path.rsplit_once('/').unwrap();
    let layer = Tarball::new()
        .file("etc/os-release", 0o644, RELEASE)
        .directory(&format!("{directory}/"), 0o755)
        .file(path, 0o644, database);
    TestImage::new().layer(&layer)
}

#[test]
fn packages_of_an_rpm_base_are_told_as_a_scanner_finds_them() {
    let installed = installed();
    for (path, database) in [
        ("var/lib/rpm/rpmdb.sqlite", installed.sqlite.clone()),
        ("usr/lib/sysimage/rpm/rpmdb.sqlite", installed.sqlite.clone()),
        ("usr/lib/sysimage/rpm/Packages.db", installed.ndb()),
        ("var/lib/rpm/Packages", installed.bdb()),
    ] {
        let site = Site::upon(&base(path, database));
        let purls = site.purls("rpm");
        assert_eq!(purls.len(), 2, "{path}");
        assert_eq!(purls, site.purls_by_syft("rpm"), "{path}");
        let account = site.account("yaml");
        let packages = account["base_image"]["packages"].as_array().unwrap();
        let (lib, tool) = (&packages[0], &packages[1]);
        assert_eq!((&tool["version"], &tool["type"]), (&json!("1:2.0-3"), &json!("rpm")));
        assert_eq!(tool["maintainer"], "Ann <ann@archive.example>");
        assert_eq!(tool["depends"], "/bin/sh, lib");
        let licence = |expression: &str| json!({"expression": expression, "declared_by": format!("/{path}")});
        assert_eq!(tool["licence"], licence("GPL-2.0-or-later AND MIT"));
        let name = "LicenseRef-GPLv2-or-later-with-exceptions";
        assert_eq!(lib["licence"], licence(name));
        assert_eq!(account["licence_texts"], json!({name: "GPLv2+ with exceptions"}));
        assert_eq!(account["incomplete"], Value::Null);
    }
}

#[test]
fn a_key_that_rpm_trusts_is_a_package_of_no_architecture() {
    let trusting = Rpms::new(&[LIB]).trusting(&Key::rsa()).install();
    let site = Site::upon(&base("var/lib/rpm/rpmdb.sqlite", trusting.sqlite));
    let purls = site.purls("rpm");
    assert!(purls.iter().any(|purl| purl.starts_with("pkg:rpm/fedora/gpg-pubkey@")), "{purls:?}");
    assert_eq!(purls, site.purls_by_syft("rpm"));
}

#[test]
fn a_database_that_cannot_be_read_is_told_with_its_place() {
    let mut cut = installed().bdb();
    cut.truncate(3 * 4096);
    let base = base("var/lib/rpm/Packages", cut);
    let journal = Tarball::new().file("usr/lib/sysimage/rpm/rpmdb.sqlite-wal", 0o644, "changes");
    let account = Site::upon(&base.layer(&journal)).account("yaml");
    let told = account["incomplete"].as_array().unwrap().iter();
    let told: BTreeSet<String> = told
        .map(|one| format!("{} {}", one["path"].as_str().unwrap(), one["why"].as_str().unwrap()))
        .collect();
    let told: Vec<&String> = told.iter().collect();
    assert_eq!(
        told,
        [
            "/usr/lib/sysimage/rpm/rpmdb.sqlite-wal it holds changes that were not written to rpm's database",
            "/var/lib/rpm/Packages cannot read rpm's database: a page is missing at byte 12288",
        ]
    );
}

#[test]
fn of_a_database_that_a_later_layer_replaces_the_later_one_counts() {
    let installed = installed();
    let mut first = base("var/lib/rpm/Packages", installed.bdb());
    let gone = Tarball::new().file("var/lib/rpm/.wh.Packages", 0o644, "");
    first = first.layer(&gone);
    assert_eq!(Site::upon(&first).purls("rpm"), BTreeSet::new());
    let back = Tarball::new().file("var/lib/rpm/rpmdb.sqlite", 0o644, &installed.sqlite);
    assert_eq!(Site::upon(&first.layer(&back)).purls("rpm").len(), 2);
}

#[test]
fn packages_that_a_command_installs_and_removes_are_told_too() {
    let before = Rpms::new(&[LIB, "Name: gone\nVersion: 1\nRelease: 1\nLicense: MIT"]).install();
    let prepared = Tarball::new()
        .file("etc/os-release", 0o644, RELEASE)
        .file("usr/lib/sysimage/rpm/Packages.db", 0o644, before.ndb())
        .file("after", 0o644, installed().ndb());
    let run = "RUN cat /after > /usr/lib/sysimage/rpm/Packages.db && rm /after";
    let site = Site::dockerfile(&busybox().layer(&prepared), run);
    assert_eq!(site.purls("rpm"), site.purls_by_syft("rpm"));
    let account = site.account("yaml");
    let names = |packages: &Value| -> Vec<String> {
        packages.as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect()
    };
    let changes = &account["changeset"];
    assert_eq!(names(&changes["found_packages"]), ["tool"]);
    assert_eq!(names(&changes["replaced_base_packages"]), ["gone"]);
    assert_eq!(changes["found_packages"][0]["licence"]["expression"], "GPL-2.0-or-later AND MIT");
}

#[test]
fn a_database_that_a_command_damages_is_told() {
    let site = Site::dockerfile(
        &busybox().layer(&Tarball::new().directory("var/lib/rpm/", 0o755)),
        "RUN echo damaged > /var/lib/rpm/Packages",
    );
    let account = site.account("yaml");
    assert_eq!(account["incomplete"][0]["path"], "/var/lib/rpm/Packages");
}
