//! What the account of a minimal root says of licences, against another reader of copyright files (python-debian) and
//! another list of SPDX identifiers (license-expression).
//!
//! Needs the mirror that apt is configured for on this machine, and root.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops")]

#[path = "../support/mod.rs"]
mod support;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use support::run;

/// What a minimal root holds besides the Essential packages, as debootstrap and mmdebstrap make it, with what most add.
const PACKAGES: [&str; 10] = [
    "apt",
    "e2fsprogs",
    "mount",
    "tzdata",
    "logsave",
    "sensible-utils",
    "ca-certificates",
    "iproute2",
    "less",
    "procps",
];
/// Where ci/prepare puts other people's readers.
const PYTHON: &str = "/opt/bom-validators/bin/python3";

#[test]
fn another_reader_of_copyright_files_finds_the_same_licences() {
    support::machine::debian();
    let directory = tempfile::tempdir().unwrap();
    let place = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    build(directory.path(), &place("layout"));
    let image = format!("oci:{}", place("layout"));
    fs::write(place("bom.yml"), succeeded(estaleiro().args(["bom", &image])).stdout).unwrap();
    run("umoci", &["unpack", "--image", &format!("{}:latest", place("layout")), &place("bundle")]);
    let root = format!("{}/rootfs", place("bundle"));
    let oracle = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/licences/oracle.py");
    let output = Command::new(PYTHON).args([oracle, &place("bom.yml"), &root]).output();
    let output = output.unwrap_or_else(|error| panic!("cannot run {PYTHON}, run ci/prepare: {error}"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(found["packages"].as_u64().unwrap() >= 96, "{found}");
    assert!(found["machine_readable"].as_u64().unwrap() >= 82, "{found}");
}

fn build(directory: &Path, layout: &str) {
    let packages: String = PACKAGES.iter().map(|name| format!("    package \"{name}\" {{}}\n")).collect();
    let definition = directory.join("estaleiro.hcl");
    fs::write(&definition, format!("image \"test/minimal\" {{\n  apt {{\n{packages}  }}\n}}\n")).unwrap();
    let output = format!("oci:{layout}");
    let mut command = estaleiro();
    command.arg("build").arg(&definition).args(["--quiet", "--output", &output, "--state"]);
    succeeded(command.arg(directory.join("state")));
}

fn estaleiro() -> Command {
    Command::new(env!("CARGO_BIN_EXE_estaleiro"))
}

fn succeeded(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}\n{}", String::from_utf8_lossy(&output.stderr));
    output
}
