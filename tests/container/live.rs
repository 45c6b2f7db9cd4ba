//! Real Debian packages, from this machine's own mirror, in containers and on the machine: `examples/hello`, our own
//! image, and with `CONTAINER=all` (`ci/container`) twenty packages with heavy scripts on a base.

use std::fs;
use std::path::Path;

use serde_json::json;

use crate::base::Base;
use crate::builds::assert_same_everywhere;
use crate::pier::Yard;
use crate::support::concourse::Put;
use crate::support::{TestRegistry, machine};

/// Packages whose scripts make users, keys, databases, caches, locales and units.
const HEAVY: [&str; 20] = [
    "openssh-client",
    "openssh-server",
    "git",
    "nginx",
    "python3",
    "ca-certificates",
    "systemd",
    "systemd-sysv",
    "dbus",
    "locales",
    "man-db",
    "tzdata",
    "cron",
    "ssl-cert",
    "fontconfig",
    "fonts-dejavu-core",
    "sudo",
    "rsync",
    "less",
    "perl",
];

fn assert_same(input: &Path) {
    let step = Put { no_get: true, ..Put::new(json!({"definition": "source"})).artifact("source", input) };
    let apt = json!({"repositories": machine::signed_lines()});
    assert_same_everywhere(&TestRegistry::start(), &apt, &step);
}

#[test]
fn the_example_is_the_same_image_everywhere() {
    assert_same(&Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/hello"));
    if std::env::var("CONTAINER").is_ok_and(|which| which == "all") {
        twenty_heavy_packages_on_a_base_are_the_same_image_everywhere();
    }
}

#[test]
fn our_own_image_is_the_same_everywhere() {
    let (source, program) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let definition = Path::new(env!("CARGO_MANIFEST_DIR")).join("estaleiro.hcl");
    fs::copy(definition, source.path().join("estaleiro.hcl")).unwrap();
    fs::write(program.path().join("estaleiro"), "the program").unwrap();
    let archive = machine::debian().iter().find(|source| source.suite == machine::codename()).unwrap();
    let params = json!({"definition": "source", "context": "program", "vars": {"debian": archive.uri}});
    let step = Put::new(params).artifact("source", source.path()).artifact("program", program.path());
    assert_same_everywhere(&TestRegistry::start(), &json!({}), &Put { no_get: true, ..step });
}

fn twenty_heavy_packages_on_a_base_are_the_same_image_everywhere() {
    let base = Base::make("container-live", "apt");
    let packages: String = HEAVY.iter().map(|name| format!("    package {name:?} {{}}\n")).collect();
    let definition =
        format!("image \"heavy\" {{\n  base_image = {:?}\n  apt {{\n{packages}  }}\n}}\n", base.name());
    assert_same(Yard::new(&definition).path());
}
