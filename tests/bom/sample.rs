//! An account with something in every field, and parts of it.

use std::collections::BTreeMap;

use estaleiro::bom::{
    AddedPackage, BaseImage, BasePackage, Bom, Changeset, Component, ComponentKind, ContextFile,
    DigestedPath, Dockerfile, Document, File, FileSource, FoundPackage, Git, ImageFile, ImageId, Incomplete,
    Instruction, Key, LayerAccount, Licence, Location, NamedContext, OperatingSystem, Origin, Package,
    PackageFile, PackageKind, PathGroup, Repository, Source, SourceFile, Step, StepFile, Subject, Tarball,
    Url, User, Vertex, Voucher, Withheld,
};
use estaleiro::digest::{Digest, Sha512};

/// Returns the account.
pub(crate) fn document() -> Document {
    Document {
        image: Some(labelled()),
        base_image: Some(base_image()),
        dockerfile: Some(dockerfile()),
        changeset: changeset(),
        keys: vec![Key {
            fingerprint: "0123456789ABCDEF0123456789ABCDEF01234567".into(),
            identities: vec!["Archive <keys@archive.example>".into()],
            from: "archive".into(),
        }],
        layers: layers(),
        components: components(),
        incomplete: vec![
            Incomplete { path: "/opt/app".into(), why: "its build information is cut off".into() },
            Incomplete { path: "/opt/other.jar!a.jar".into(), why: "it is encrypted".into() },
        ],
        licence_texts: BTreeMap::from([("LicenseRef-tool".into(), "Do what you like.\n\tBut tell.".into())]),
        graph: graph(),
        ..empty()
    }
}

/// Returns the account of an image from nothing without anything in it.
pub(crate) fn empty() -> Document {
    let subject = Subject {
        product_name: "registry.example/team/app".into(),
        created: "2026-01-02T03:04:05Z".into(),
        built_by: "estaleiro 0.1.0".into(),
        image: image(),
        definition: Digest::of("definition"),
        lock: Digest::of("lock"),
        dockerfile: None,
    };
    let system = OperatingSystem { id: "debian".into(), version: "12".into(), codename: "bookworm".into() };
    Document { operating_system: Some(system), ..Document::new(Bom::default(), subject) }
}

fn image() -> ImageId {
    ImageId {
        digest: Digest::of("manifest"),
        config: Digest::of("config"),
        platform: "linux/amd64".into(),
        sha512: Some(Sha512::of("manifest")),
        labels: BTreeMap::new(),
    }
}

fn labelled() -> ImageId {
    let labels =
        [("authors", "Ann <ann@team.example>"), ("vendor", "Team"), ("url", "https://team.example/app")];
    ImageId { labels: labels.map(|(name, value)| (name.into(), value.into())).into(), ..image() }
}

fn graph() -> Vec<Vertex> {
    let begins = |title: &str, is_material| Vertex {
        title: title.into(),
        is_material,
        parent: None,
        mounts: Vec::new(),
        layer: None,
    };
    let copies = Vertex {
        parent: Some(0),
        mounts: vec![1],
        layer: Some(Digest::of("layer")),
        ..begins("copy", false)
    };
    vec![begins("base", false), begins("context", true), copies]
}

/// Returns a package of Debian's.
pub(crate) fn package(name: &str, version: &str, depends: &str) -> Package {
    Package {
        name: name.into(),
        version: version.into(),
        source_package: name.into(),
        source_version: version.into(),
        architecture: "amd64".into(),
        maintainer: "\"Other, Ann (of Debian)\" <ann@archive.example>".into(),
        homepage: format!("https://project.example/{name}?a=1&b=2"),
        kind: PackageKind::Deb,
        depends: depends.into(),
        provides: String::new(),
        licence: Some(licence("MIT OR Apache-2.0")),
    }
}

fn licence(expression: &str) -> Licence {
    Licence {
        expression: expression.into(),
        holders: vec!["2020 Ann Other".into(), "Söme <body>".into()],
        declared_by: "/usr/share/doc/x/copyright".into(),
    }
}

/// Returns what it was added as.
pub(crate) fn added(package: Package) -> AddedPackage {
    let file = format!("{}_{}_{}.deb", package.name, package.version, package.architecture);
    AddedPackage {
        location: location(&file),
        repository: "https://archive.example/debian bookworm".into(),
        signed_by: vec!["0123456789ABCDEF0123456789ABCDEF01234567".into()],
        without_essential: false,
        vouched_by: None,
        git: None,
        sources: vec![source_file("x.dsc"), source_file("x_1.0~rc+dfsg.orig.tar.xz")],
        built_using: vec![source()],
        package,
    }
}

fn location(file: &str) -> Location {
    Location {
        uri: format!("https://archive.example/debian/pool/main/{}", file.replace(':', "%3a")),
        digest: Digest::of(file),
        name: file.into(),
        size: 7,
        sha512: Some(Sha512::of(file)),
    }
}

fn source_file(name: &str) -> SourceFile {
    SourceFile {
        uri: format!("https://archive.example/debian/pool/main/{name}"),
        digest: Digest::of(name),
        name: name.into(),
        size: 7,
    }
}

fn source() -> Source {
    Source {
        source_package: "zlib".into(),
        source_version: "1:1.2-3".into(),
        sources: vec![source_file("z.dsc")],
    }
}

fn base_image() -> BaseImage {
    let of = |kind, package| Package { kind, licence: None, depends: String::new(), ..package };
    BaseImage {
        canonical_name: format!("registry.example:5000/library/base@{}", Digest::of("base")),
        sha512: Some(Sha512::of("base")),
        labels: BTreeMap::from([("vendor".into(), "Base".into())]),
        os: "debian".into(),
        version: "12".into(),
        codename: "bookworm".into(),
        account: Some(Digest::of("account")),
        packages: vec![
            told_base_package(),
            package("old", "1", "").into(),
            BasePackage::from(Package {
                maintainer: String::new(),
                ..package("zlib1g", "1:1.2-3+b1", "libc6 (")
            }),
            BasePackage::from(Package {
                homepage: "not an address".into(),
                ..of(PackageKind::Apk, package("busybox", "1.36-r0", ""))
            }),
            of(PackageKind::Rpm, package("bash", "1:5.2-1", "")).into(),
        ],
        sources: vec![source()],
        files: vec![file(
            "/opt/of-the-base",
            FileSource { package: Some(Box::new(of_a_package())), ..FileSource::default() },
        )],
        opened_packages: vec![added(package("opened", "4", ""))],
    }
}

/// Returns a package of which the base's own account tells everything.
fn told_base_package() -> BasePackage {
    let added = added(package("libc6", "2.36-9+deb12u7", "libgcc-s1"));
    BasePackage {
        vouched_by: Some(Voucher::Definition),
        unproven: true,
        git: Some(git()),
        ..BasePackage::from(&added)
    }
}

fn dockerfile() -> Dockerfile {
    Dockerfile {
        digest: Some(Digest::of("dockerfile")),
        target: Some("app".into()),
        args: BTreeMap::from([("VERSION".into(), "1.2".into())]),
        images: vec![format!("registry.example/base@{}", Digest::of("base"))],
        contexts: vec![NamedContext {
            name: "base".into(),
            kind: "docker-image".into(),
            digest: Some(Digest::of("base")),
        }],
    }
}

fn changeset() -> Changeset {
    let libstdc = Package {
        source_package: "gcc-12".into(),
        source_version: "12.2.0-14".into(),
        provides: "libstdc++ (= 6)".into(),
        licence: Some(licence("LicenseRef-tool")),
        ..package("libstdc++6", "12.2.0-14+b1", "libc6 (>= 2.36)")
    };
    let debs = AddedPackage {
        repository: String::new(),
        vouched_by: Some(Voucher::Definition),
        git: Some(git()),
        location: Location { uri: "debs/own tool.deb".into(), ..location("own tool.deb") },
        ..added(Package {
            licence: Some(licence("GPL-2.0-or-later WITH GCC-exception-3.1 AND LicenseRef-tool")),
            ..package("own-tool", "1:2.0", "libstdc++ | nothing")
        })
    };
    let bare = AddedPackage {
        without_essential: true,
        sources: Vec::new(),
        built_using: Vec::new(),
        ..added(libstdc)
    };
    Changeset {
        packages: vec![bare, debs],
        found_packages: vec![
            FoundPackage {
                package: package("found", "3", "own-tool"),
                location: Some(location("found.deb")),
                unproven: false,
            },
            FoundPackage {
                package: Package { licence: None, ..package("unproven", "3", "") },
                location: None,
                unproven: true,
            },
        ],
        replaced_base_packages: vec![package("old", "1", "")],
        opened_packages: vec![added(package("opened", "4", ""))],
        configured_beside: vec![package("dpkg", "1.21", "")],
        files: files(),
        withheld: vec![Withheld { path: "/etc/ssh/key".into(), what: "a private key".into() }],
        users: vec![User { name: "app".into(), uid: 1000, gid: 1000, home: Some("/home/app".into()) }],
        instructions: vec![Instruction {
            instruction: "ADD https://git.example/app.git#main /src".into(),
            layer: Some(Digest::of("layer")),
            network: true,
            repositories: vec![Repository {
                uri: "https://git.example/app.git".into(),
                reference: "main".into(),
                commit: "49b69361c1e9a7aa8d6dd09a1c2d8a0a6b8f6e0b".into(),
                subdir: "docs".into(),
            }],
        }],
    }
}

fn git() -> Git {
    Git {
        repository_uri: "https://git.example.org/team/app.git".into(),
        reference: "49b69361c1e9a7aa8d6dd09a1c2d8a0a6b8f6e0b".into(),
        verified: true,
        unverified_because: "files of it are changed".into(),
    }
}

fn files() -> Vec<File> {
    // Whoever adds a field finds it missing here.
    let everything = FileSource {
        git: Some(Box::new(git())),
        url: Some(Box::new(url())),
        tarball: Some(Box::new(tarball())),
        package: Some(Box::new(of_a_package())),
        context: Some(Box::new(of_the_context())),
        image: Some(Box::new(of_an_image())),
        dockerfile: true,
        step: Some(Box::new(of_a_step())),
    };
    let sources = [
        ("/opt/app", FileSource { git: Some(Box::new(git())), ..FileSource::default() }),
        ("/opt/app.d/ä \"b\" <c>", everything),
        (
            "/opt/of-the-context",
            FileSource { context: Some(Box::new(of_the_context())), ..FileSource::default() },
        ),
        ("/opt/of-the-net", FileSource { url: Some(Box::new(url())), ..FileSource::default() }),
    ];
    sources.map(|(path, source)| file(path, source)).into()
}

/// Returns a file that can be run.
pub(crate) fn file(path: &str, source: FileSource) -> File {
    File { path: path.into(), digest: Digest::of(path), size: 3, mode: "0755".into(), source }
}

fn of_a_package() -> PackageFile {
    PackageFile {
        name: "opened".into(),
        version: "4".into(),
        uri: location("opened_4_amd64.deb").uri,
        digest: Digest::of("opened_4_amd64.deb"),
        member: "usr/bin/opened".into(),
    }
}

fn of_a_step() -> StepFile {
    let digested = |path: &str| DigestedPath { path: path.into(), digest: Digest::of(path) };
    let step = Step {
        name: "build".into(),
        dockerfile: digested("Dockerfile"),
        target: "0".into(),
        args: BTreeMap::from([("TOKEN".into(), "***".into())]),
        images: vec![format!("registry.example/go@{}", Digest::of("go"))],
        context: Some(digested(".")),
    };
    StepFile { step, path: "out/app".into() }
}

fn url() -> Url {
    Url { uri: "https://files.example/app-1.2.tgz".into(), digest: Digest::of("tgz") }
}

fn tarball() -> Tarball {
    Tarball { name: "app-1.2.tgz".into(), digest: Digest::of("tgz"), member: "bin/app".into() }
}

fn of_an_image() -> ImageFile {
    ImageFile { name: format!("registry.example/tools@{}", Digest::of("tools")), path: "/bin/tool".into() }
}

fn of_the_context() -> ContextFile {
    ContextFile {
        path: "app.sh".into(),
        name: Some("more".into()),
        unversioned: true,
        unversioned_because: "it isn't committed".into(),
    }
}

fn layers() -> Vec<LayerAccount> {
    let package = || "libstdc++6:amd64".to_owned();
    let origins = [
        Origin::Package { package: package() },
        Origin::Generated { package: package(), script: "postinst".into() },
        Origin::Database,
        Origin::File,
        Origin::Directory,
        Origin::User,
        Origin::Symlink,
        Origin::Removal,
        Origin::Instruction { index: 0 },
        Origin::Builder,
        Origin::Unaccounted,
    ];
    let group = |(index, origin): (usize, Origin)| PathGroup {
        origin,
        paths: vec![format!("/path/{index}")],
        removed: vec![format!("/removed/{index}")],
    };
    let groups = origins.into_iter().enumerate().map(group).collect();
    vec![
        LayerAccount { diff_id: Digest::of("below"), is_base: true, groups: Vec::new() },
        LayerAccount { diff_id: Digest::of("layer"), is_base: false, groups },
    ]
}

fn components() -> Vec<Component> {
    let of = |path: &str, kind, name: &str, version: &str, purl: &str, licence: Option<&str>| Component {
        path: path.into(),
        within: Vec::new(),
        kind,
        name: name.into(),
        version: version.into(),
        purl: purl.into(),
        licence: licence.map(str::to_owned),
        is_main: false,
    };
    let go = "git.example/team/app";
    vec![
        Component {
            is_main: true,
            ..of("/opt/app", ComponentKind::Golang, go, "", "pkg:golang/git.example/team/app", None)
        },
        of("/opt/app", ComponentKind::Golang, "stdlib", "1.22.1", "pkg:golang/stdlib@1.22.1", None),
        Component {
            within: vec!["BOOT-INF/lib/a.jar".into()],
            ..of(
                "/opt/other.jar",
                ComponentKind::Maven,
                "a",
                "1",
                "pkg:maven/com.example/a@1",
                Some("The Apache Licence, Version 2"),
            )
        },
        of(
            "/usr/bin/rusty",
            ComponentKind::Cargo,
            "serde",
            "1.0",
            "pkg:cargo/serde@1.0",
            Some("MIT OR Apache-2.0"),
        ),
        of("/usr/lib/node/package.json", ComponentKind::Npm, "@a/b", "1", "pkg:npm/%40a/b@1", Some("(MIT)")),
        of("/usr/lib/py/METADATA", ComponentKind::Pypi, "six", "1.16", "pkg:pypi/six@1.16", None),
    ]
}
