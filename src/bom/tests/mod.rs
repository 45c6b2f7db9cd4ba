//! What later vertices do to the account of earlier ones.

pub(in crate::bom) mod samples;

use super::*;

fn package(name: &str, version: &str) -> Package {
    Package {
        name: name.into(),
        version: version.into(),
        source_package: name.into(),
        source_version: version.into(),
        architecture: "amd64".into(),
        ..Package::default()
    }
}

fn added(name: &str, version: &str, signed_by: &str) -> AddedPackage {
    AddedPackage {
        package: package(name, version),
        location: Location {
            uri: format!("https://archive.example/{name}.deb"),
            digest: Digest::of(name),
            name: format!("{name}.deb"),
            size: 1,
        },
        repository: "https://archive.example stable".into(),
        signed_by: vec![signed_by.into()],
        without_essential: false,
        vouched_by: None,
        git: None,
        sources: Vec::new(),
        built_using: Vec::new(),
    }
}

fn key(fingerprint: &str) -> Key {
    Key { fingerprint: fingerprint.into(), identities: Vec::new(), from: "k".into() }
}

fn based_on(packages: Vec<Package>) -> Bom {
    let base = BaseImage {
        canonical_name: "registry.example/base".into(),
        os: "debian".into(),
        version: "12".into(),
        codename: "bookworm".into(),
        packages,
        sources: Vec::new(),
    };
    Bom::default().then(BomDelta { base_image: Some(base), ..BomDelta::default() })
}

fn versions(bom: &Bom) -> Vec<&str> {
    bom.installed().iter().map(|package| package.version.as_str()).collect()
}

#[test]
fn an_upgraded_base_package_leaves_the_account() {
    let bom = based_on(vec![package("jq", "1"), package("zlib", "1")]);
    let bom = bom.then(BomDelta { packages: vec![added("jq", "2", "AA")], ..BomDelta::default() });
    assert_eq!(versions(&bom), ["2", "1"]);
    assert_eq!(bom.replaced.values().next().unwrap().version, "1");
}

#[test]
fn a_package_for_all_architectures_may_become_one_for_this() {
    let general = Package { architecture: "all".into(), ..package("jq", "1") };
    let bom = based_on(vec![general]);
    let bom = bom.then(BomDelta { packages: vec![added("jq", "2", "AA")], ..BomDelta::default() });
    assert_eq!(versions(&bom), ["2"]);
}

#[test]
fn a_removed_package_leaves_the_account_and_so_does_its_key() {
    let install =
        BomDelta { packages: vec![added("jq", "2", "AA")], keys: vec![key("AA")], ..BomDelta::default() };
    let bom = based_on(Vec::new()).then(install);
    assert_eq!(bom.keys.len(), 1);
    let gone = BomDelta { removed_packages: vec![("jq".into(), "amd64".into())], ..BomDelta::default() };
    let bom = bom.then(gone);
    assert!(bom.packages.is_empty() && bom.keys.is_empty());
}

#[test]
fn a_package_that_files_were_taken_from_stays_as_long_as_one_of_them() {
    let package = added("tools", "1", "AA");
    let taken = PackageFile {
        name: "tools".into(),
        version: "1".into(),
        uri: package.location.uri.clone(),
        digest: package.location.digest,
        member: "usr/bin/tool".into(),
    };
    let file = |path: &str| File {
        path: path.into(),
        digest: Digest::of(path),
        size: 1,
        mode: "0755".into(),
        source: FileSource { package: Some(taken.clone()), ..FileSource::default() },
    };
    let bom = Bom::default().then(BomDelta {
        files: vec![file("/a"), file("/b")],
        opened_packages: vec![package],
        keys: vec![key("AA")],
        ..BomDelta::default()
    });
    let without =
        |bom: Bom, path: &str| bom.then(BomDelta { removed_paths: vec![path.into()], ..BomDelta::default() });
    let bom = without(bom, "/a");
    assert_eq!((bom.opened.len(), bom.keys.len()), (1, 1));
    let bom = without(bom, "/b");
    assert_eq!((bom.opened.len(), bom.keys.len()), (0, 0));
}

#[test]
fn a_licences_text_stays_as_long_as_a_package_that_names_it() {
    let licence =
        Licence { expression: "MIT AND (LicenseRef-a OR LicenseRef-b)".into(), ..Licence::default() };
    let mut package = added("tools", "1", "AA");
    package.package.licence = Some(licence);
    let texts = ["LicenseRef-a", "LicenseRef-b", "LicenseRef-c"].map(|name| (name.into(), "Take it.".into()));
    let bom = Bom::default().then(BomDelta {
        packages: vec![package],
        licence_texts: texts.into(),
        ..BomDelta::default()
    });
    assert_eq!(bom.licence_texts.keys().collect::<Vec<_>>(), ["LicenseRef-a", "LicenseRef-b"]);
    let key = ("tools".into(), "amd64".into());
    let bom = bom.then(BomDelta { removed_packages: vec![key], ..BomDelta::default() });
    assert!(bom.licence_texts.is_empty());
}

#[test]
fn what_was_withheld_is_told_until_something_else_is_put_there() {
    let key = Withheld { path: "/etc/key".into(), what: "a private key".into() };
    let bom = Bom::default().then(BomDelta { withheld: vec![key], ..BomDelta::default() });
    assert_eq!(bom.withheld.len(), 1);
    let bom = bom.then(BomDelta { removed_paths: vec!["/etc/key".into()], ..BomDelta::default() });
    assert!(bom.withheld.is_empty());
}

#[test]
fn a_removed_directory_takes_its_files_along() {
    let file = |path: &str| File {
        path: path.into(),
        digest: Digest::of(""),
        size: 0,
        mode: "0644".into(),
        source: FileSource::default(),
    };
    let bom = Bom::default().then(BomDelta { files: vec![file("/a/b"), file("/ab")], ..BomDelta::default() });
    let bom = bom.then(BomDelta { removed_paths: vec!["/a".into()], ..BomDelta::default() });
    assert_eq!(bom.files.keys().collect::<Vec<_>>(), ["/ab"]);
}
