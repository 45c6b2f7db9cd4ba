//! Five images of real packages and programs: every form of their accounts is valid, and says just what is there.
//!
//! Needs the mirror that apt is configured for on this machine, and root; nothing else of the network.

mod checks;
mod scanner;
mod works;

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use estaleiro::bom::Format;
use serde_json::json;

use crate::support::machine;
use works::{Image, Works};

/// Packages with libraries of Python, Ruby and Node, programs in Go, Java archives, and scripts that generate.
const FIFTY: [&str; 50] = [
    "adduser",
    "bzip2",
    "cpio",
    "cron",
    "curl",
    "dosfstools",
    "e2fsprogs",
    "file",
    "fzf",
    "gawk",
    "gettext-base",
    "git",
    "gnupg",
    "gojq",
    "gpgv",
    "htop",
    "iproute2",
    "iputils-ping",
    "jq",
    "junit",
    "kmod",
    "less",
    "libcommons-io-java",
    "libxml2-utils",
    "locales",
    "lsb-release",
    "lsof",
    "m4",
    "make",
    "nano",
    "netbase",
    "node-inherits",
    "node-yallist",
    "openssh-client",
    "openssl",
    "patch",
    "pigz",
    "procps",
    "psmisc",
    "python3-requests",
    "rsync",
    "ruby-addressable",
    "ruby-mustermann",
    "sqlite3",
    "strace",
    "sudo",
    "unzip",
    "wget",
    "xz-utils",
    "zstd",
];

static WORKS: LazyLock<Works> = LazyLock::new(Works::open);
static BASE: LazyLock<Image> = LazyLock::new(|| from_nothing("scratch", true));
static DISTROLESS: LazyLock<Image> = LazyLock::new(|| from_nothing("distroless", false));

/// Builds a few packages and what they need; who answers for an image is told by its name, which the BSI asks for.
fn from_nothing(name: &str, essential: bool) -> Image {
    let lines = json!(machine::signed_lines());
    // Without the Essential packages nothing else says which system it is.
    let release = if essential { "" } else { "    package \"base-files\" {}\n" };
    let definition = format!(
        "image \"registry.example/{name}\" {{\n  apt {{\n    essential = {essential}\n    repositories = {lines}\n    \
         package \"ca-certificates\" {{}}\n    package \"python3-six\" {{}}\n    package \"tzdata\" {{}}\n{release}  }}\n}}\n"
    );
    WORKS.build(name, &[("estaleiro.hcl", definition.as_bytes())])
}

#[test]
fn packages_from_nothing() {
    BASE.assert_true(&WORKS);
    BASE.assert_as_dpkg();
    BASE.assert_sources();
    let bom = BASE.views.json(Format::Cyclonedx);
    let components = bom["components"].as_array().unwrap();
    let systems: Vec<_> = components.iter().filter(|one| one["type"] == "operating-system").collect();
    assert_eq!(systems.len(), 1);
    assert_eq!(systems[0]["name"], "debian");
}

#[test]
fn fifty_packages_on_a_base() {
    let packages: String = FIFTY.iter().map(|name| format!("    package {name:?} {{}}\n")).collect();
    let definition = format!(
        "image \"registry.example/fifty\" {{\n  base_image = {:?}\n  apt {{\n    repositories = {}\n{packages}  }}\n}}\n",
        BASE.name,
        json!(machine::signed_lines()),
    );
    let image = WORKS.build("fifty", &[("estaleiro.hcl", definition.as_bytes())]);
    image.assert_true(&WORKS);
    image.assert_as_dpkg();
    let told = image.told();
    for world in ["golang", "maven", "npm", "gem", "pypi"] {
        assert!(told.iter().any(|purl| purl.starts_with(&format!("pkg:{world}/"))), "{world}: {told:?}");
    }
    assert_needs(&image, "python3-requests", "python3-urllib3");
    assert_needs(&image, "git", "libc6");
}

/// Checks that the views tell that a package needs another.
fn assert_needs(image: &Image, one: &str, other: &str) {
    let bom = image.views.json(Format::Spdx);
    let id = |name: &str| {
        let packages = bom["packages"].as_array().unwrap();
        packages.iter().find(|package| package["name"] == name).unwrap()["SPDXID"].clone()
    };
    let expected =
        json!({"spdxElementId": id(one), "relationshipType": "DEPENDS_ON", "relatedSpdxElement": id(other)});
    assert!(bom["relationships"].as_array().unwrap().contains(&expected), "{one} needs {other}");
}

#[test]
fn a_dockerfile() {
    let dockerfile = format!(
        "FROM {}\nCOPY app.sh /opt/app\nRUN dpkg --purge python3-six && echo made > /srv/made\nENTRYPOINT [\"/opt/app\"]\n",
        BASE.name
    );
    let files: [(&str, &[u8]); 2] =
        [("Dockerfile", dockerfile.as_bytes()), ("app.sh", b"#!/bin/sh\necho ahoy\n")];
    let image = WORKS.build("dockerfile", &files);
    image.assert_true(&WORKS);
    image.assert_as_dpkg();
    assert!(!image.told().iter().any(|purl| purl.contains("/python3-six@")), "it is gone");
}

#[test]
fn files_alone() {
    let program = fs::read("/usr/local/bin/syft").expect("this test needs syft: ci/prepare installs it");
    let definition = "image \"registry.example/files\" {\n  file \"/usr/bin/syft\" {\n    from_context { path = \"syft\" }\n    \
                      mode = \"0755\"\n  }\n  file \"/opt/app.sh\" {\n    from_context { path = \"app.sh\" }\n  }\n}\n";
    let files: [(&str, &[u8]); 3] =
        [("estaleiro.hcl", definition.as_bytes()), ("syft", &program), ("app.sh", b"#!/bin/sh\n")];
    let image = WORKS.build("files", &files);
    image.assert_true(&WORKS);
    let told = image.told();
    assert!(told.iter().any(|purl| purl.starts_with("pkg:golang/stdlib@")), "{told:?}");
}

#[test]
fn a_distroless_base() {
    DISTROLESS.assert_true(&WORKS);
    let definition = format!(
        "image \"registry.example/upon\" {{\n  base_image = {:?}\n  file \"/opt/app.sh\" {{\n    \
         from_context {{ path = \"app.sh\" }}\n  }}\n}}\n",
        DISTROLESS.name,
    );
    let files: [(&str, &[u8]); 2] = [("estaleiro.hcl", definition.as_bytes()), ("app.sh", b"#!/bin/sh\n")];
    let image = WORKS.build("upon", &files);
    image.assert_true(&WORKS);
    let records = fs::read_dir(image.root().join("var/lib/dpkg/status.d")).unwrap();
    let records = records
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_none_or(|end| end != "md5sums"));
    let record = |path: PathBuf| {
        let text = fs::read_to_string(path).unwrap();
        let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).unwrap().to_owned();
        ["Package: ", "Version: ", "Architecture: "].map(field).join(" ")
    };
    assert_eq!(image.installed(), records.map(record).collect());
}
