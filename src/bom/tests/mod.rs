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
            sha512: None,
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
        sha512: None,
        os: "debian".into(),
        version: "12".into(),
        codename: "bookworm".into(),
        packages: packages.into_iter().map(BasePackage::from).collect(),
        ..BaseImage::default()
    };
    Bom::default().then(BomDelta { base_image: Some(base), ..BomDelta::default() })
}

fn versions(bom: &Bom) -> Vec<String> {
    let document = Document::new(bom.clone(), samples::subject());
    document.installed().iter().map(|package| package.version.clone()).collect()
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
        source: FileSource { package: Some(Box::new(taken.clone())), ..FileSource::default() },
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

fn component(path: &str) -> Component {
    Component {
        path: path.into(),
        within: Vec::new(),
        kind: ComponentKind::Golang,
        name: "git.example/app".into(),
        version: String::new(),
        purl: "pkg:golang/git.example/app".into(),
        licence: None,
        is_main: true,
    }
}

fn incomplete(path: &str) -> Incomplete {
    Incomplete { path: path.into(), why: "it is broken".into() }
}

/// Returns a layer that puts paths in place, and takes others away.
fn layer(paths: &[&str], removed: &[&str]) -> Option<LayerAccount> {
    let owned = |paths: &[&str]| paths.iter().map(|path| (*path).to_owned()).collect();
    let group = PathGroup { origin: Origin::File, paths: owned(paths), removed: owned(removed) };
    Some(LayerAccount { diff_id: Digest::of("layer"), is_base: false, groups: vec![group] })
}

fn told(bom: &Bom) -> (Vec<&str>, Vec<&str>) {
    let components = bom.components.iter().map(|component| component.path.as_str());
    (components.collect(), bom.incomplete.iter().map(|one| one.path.as_str()).collect())
}

#[test]
fn what_is_inside_a_file_goes_with_it_when_a_later_layer_replaces_or_removes_it() {
    let paths = ["/a/app", "/a/lib.jar", "/ab", "/b"];
    let ground = || {
        based_on(Vec::new()).then(BomDelta {
            components: paths.map(component).into(),
            incomplete: vec![incomplete("/a/lib.jar!inner.jar"), incomplete("/b")],
            ..BomDelta::default()
        })
    };
    for (paths, removed, expected) in [
        (
            &["/a"][..],
            &[][..],
            (&["/a/app", "/a/lib.jar", "/ab", "/b"][..], &["/a/lib.jar!inner.jar", "/b"][..]),
        ),
        (&["/a/app"], &[], (&["/a/lib.jar", "/ab", "/b"], &["/a/lib.jar!inner.jar", "/b"])),
        (&["/a/lib.jar"], &["/b"], (&["/a/app", "/ab"], &[])),
        (&[], &["/a"], (&["/ab", "/b"], &["/b"])),
    ] {
        let bom = ground().then(BomDelta { layer: layer(paths, removed), ..BomDelta::default() });
        let (components, incomplete) = told(&bom);
        assert_eq!((&*components, &*incomplete), expected, "{paths:?} {removed:?}");
    }
    let bom = ground().then(BomDelta { removed_paths: vec!["/a".into()], ..BomDelta::default() });
    assert_eq!(told(&bom), (vec!["/ab", "/b"], vec!["/b"]));
}

#[test]
fn what_a_layer_brings_inside_a_file_takes_the_place_of_what_was_there() {
    let bom =
        based_on(Vec::new()).then(BomDelta { components: vec![component("/app")], ..BomDelta::default() });
    let later = Component { version: "2".into(), ..component("/app") };
    let delta =
        BomDelta { components: vec![later.clone()], layer: layer(&["/app"], &[]), ..BomDelta::default() };
    let bom = bom.then(delta);
    assert_eq!(bom.components, BTreeSet::from([later]));
}

#[test]
fn what_a_bases_account_tells_of_a_file_goes_with_the_file() {
    let taken = PackageFile {
        name: "tools".into(),
        version: "1".into(),
        uri: "https://archive.example/tools.deb".into(),
        digest: Digest::of("tools"),
        member: "usr/bin/tool".into(),
    };
    let file = |path: &str, package: Option<PackageFile>| File {
        path: path.into(),
        digest: Digest::of(path),
        size: 1,
        mode: "0755".into(),
        source: FileSource { package: package.map(Box::new), ..FileSource::default() },
    };
    let kept = BasePackage { signed_by: vec!["BB".into()], ..package("jq", "1").into() };
    let base = BaseImage {
        packages: vec![kept],
        files: vec![file("/tool", Some(taken)), file("/other", None)],
        opened_packages: vec![added("tools", "1", "AA")],
        ..BaseImage::default()
    };
    let keys = vec![key("AA"), key("BB")];
    let bom = Bom::default().then(BomDelta { base_image: Some(base), keys, ..BomDelta::default() });
    assert_eq!(bom.keys.len(), 2);
    let bom = bom.then(BomDelta { layer: layer(&["/tool"], &[]), ..BomDelta::default() });
    let base = bom.base_image.as_ref().unwrap();
    assert_eq!((base.files.len(), base.opened_packages.len(), bom.keys.len()), (1, 0, 1));
    let bom = bom.then(BomDelta { packages: vec![added("jq", "2", "AA")], ..BomDelta::default() });
    assert!(bom.keys.is_empty(), "what vouches for a package that went is told no longer");
}
