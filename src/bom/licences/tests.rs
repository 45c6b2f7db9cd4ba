//! The report on a few packages, as text and for machines.

use crate::bom::tests::samples;
use crate::bom::{
    AddedPackage, Bom, BomDelta, Component, ComponentKind, Document, File, FileSource, Git, Licence,
    Location, Package, SourceFile,
};
use crate::digest::Digest;

fn licence(expression: &str, holders: &[&str]) -> Option<Licence> {
    Some(Licence {
        expression: expression.into(),
        holders: holders.iter().map(|&holder| holder.to_owned()).collect(),
        declared_by: "/usr/share/doc/x/copyright".into(),
    })
}

fn added(name: &str, source: &str, licence: Option<Licence>) -> AddedPackage {
    let file = SourceFile {
        uri: format!("https://archive.example/{source}_1.dsc"),
        digest: Digest::of(source),
        name: format!("{source}_1.dsc"),
        size: 3,
    };
    AddedPackage {
        package: Package {
            name: name.into(),
            version: "1".into(),
            source_package: source.into(),
            source_version: "1".into(),
            architecture: "amd64".into(),
            licence,
            ..Package::default()
        },
        location: Location {
            uri: format!("https://archive.example/{name}.deb"),
            digest: Digest::of(name),
            name: format!("{name}.deb"),
            size: 3,
            sha512: None,
        },
        repository: String::new(),
        signed_by: Vec::new(),
        without_essential: false,
        vouched_by: None,
        git: None,
        sources: vec![file],
        built_using: Vec::new(),
    }
}

fn component(name: &str, licence: Option<&str>) -> Component {
    Component {
        path: "/usr/bin/tool".into(),
        within: Vec::new(),
        kind: ComponentKind::Cargo,
        name: name.into(),
        version: "2".into(),
        purl: format!("pkg:cargo/{name}@2"),
        licence: licence.map(str::to_owned),
        is_main: false,
    }
}

fn document() -> Document {
    let git = Git {
        repository_uri: "https://git.example/own".into(),
        reference: "49b6936".into(),
        verified: false,
        unverified_because: String::new(),
    };
    let own = AddedPackage { git: Some(git), sources: Vec::new(), ..added("own", "own", None) };
    let perl = licence("Artistic-1.0-Perl OR GPL-1.0-or-later WITH Libtool-exception", &["1987 Larry"]);
    let custom = licence("LicenseRef-custom-0a1b2c3d AND MIT", &["2010 Ann", "2011 Bob"]);
    let packages = vec![
        added("perl", "perl", perl.clone()),
        added("perl-base", "perl", perl),
        added("tool", "tool", custom),
        own,
    ];
    let file = File {
        path: "/app".into(),
        digest: Digest::of("app"),
        size: 3,
        mode: "0755".into(),
        source: FileSource::default(),
    };
    let delta = BomDelta {
        packages,
        files: vec![file],
        components: vec![component("serde", Some("MIT OR Apache-2.0")), component("left", None)],
        licence_texts: [("LicenseRef-custom-0a1b2c3d".to_owned(), "Take it.\n\nAs is.".to_owned())].into(),
        ..BomDelta::default()
    };
    Document::new(Bom::default().then(delta), samples::subject())
}

#[test]
fn the_report_leads_from_licences_to_packages_to_holders_to_sources() {
    let document = document();
    insta::assert_snapshot!(document.licence_report().to_string(), @r"
    Licences of example/app (sha256:05b3abf2579a5eb66403cd78be557fd860633a1fe2103c7642030defe32c657f)

    # Open: nobody declares a licence of these

    own 1
        source: own 1
            https://git.example/own at 49b6936, as declared
    inside /usr/bin/tool:
        pkg:cargo/left@2
    files that were added one by one: 1, listed in the bill of materials

    # Licences, and what is under each

    Apache-2.0
        serde 2
    Artistic-1.0-Perl
        perl 1, perl-base 1
    GPL-1.0-or-later WITH Libtool-exception
        perl 1, perl-base 1
    LicenseRef-custom-0a1b2c3d
        tool 1
    MIT
        serde 2, tool 1

    # Packages, whose copyright they are, and where their sources are

    perl 1, perl-base 1
        licence: Artistic-1.0-Perl OR GPL-1.0-or-later WITH Libtool-exception
        declared by: /usr/share/doc/x/copyright
        copyright:
            1987 Larry
        source: perl 1
            https://archive.example/perl_1.dsc

    tool 1
        licence: LicenseRef-custom-0a1b2c3d AND MIT
        declared by: /usr/share/doc/x/copyright
        copyright:
            2010 Ann
            2011 Bob
        source: tool 1
            https://archive.example/tool_1.dsc

    # Texts of licences that have no identifier

    LicenseRef-custom-0a1b2c3d
        Take it.

        As is.
    ");
}

#[test]
fn machines_read_the_same() {
    let document = document();
    let report = document.licence_report().to_json().unwrap();
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["open"]["packages"][0]["packages"][0]["name"], "own");
    assert_eq!(report["licences"][0]["licence"], "Apache-2.0");
    assert_eq!(report["packages"][0]["packages"][1]["name"], "perl-base");
    assert_eq!(report["packages"][1]["holders"][0], "2010 Ann");
    assert_eq!(report["packages"][1]["source"]["uris"][0], "https://archive.example/tool_1.dsc");
    assert_eq!(report["texts"]["LicenseRef-custom-0a1b2c3d"], "Take it.\n\nAs is.");
}
