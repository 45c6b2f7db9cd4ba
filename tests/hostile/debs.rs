//! Packages that are none, one a row. dpkg-deb is asked of each whether it is one.

use std::process::Command;

use crate::support::deb::{Compression, Deb, Member};
use crate::trust::Stage;

/// What is wrong with a package, whose size and digest the index promises as they are.
type Spoilt = (&'static str, fn() -> Deb, &'static str);

fn members(change: fn(Vec<Member>) -> Vec<Member>) -> Deb {
    Deb::new("jq", "1.6-2").essential().file("/usr/bin/jq", 0o755, "jq").rearrange(change)
}

const DEBS: [Spoilt; 7] = [
    ("nothing", || members(|_| Vec::new()), "it ends in front of debian-binary"),
    (
        "without control",
        || members(|all| all.into_iter().filter(|it| !it.name.starts_with("control")).collect()),
        "control.tar",
    ),
    (
        "without data",
        || members(|all| all.into_iter().filter(|it| !it.name.starts_with("data")).collect()),
        "data.tar",
    ),
    (
        "data first",
        || {
            members(|mut all| {
                all.swap(1, 2);
                all
            })
        },
        "control.tar",
    ),
    (
        "of another format",
        || {
            members(|mut all| {
                all[0].content = b"9.0\n".to_vec();
                all
            })
        },
        "9.0",
    ),
    (
        "a package in a package",
        || {
            members(|mut all| {
                all[2].content = Deb::new("inner", "1").build(Compression::Xz);
                all
            })
        },
        "cannot unpack jq 1.6-2 (all)",
    ),
    (
        "with a control that breaks off",
        || {
            members(|mut all| {
                let half = all[1].content.len() / 2;
                all[1].content.truncate(half);
                all
            })
        },
        "control.tar",
    ),
];

fn dpkg_deb_refuses(bytes: &[u8]) -> bool {
    let directory = tempfile::tempdir().unwrap();
    let (deb, root) = (directory.path().join("a.deb"), directory.path().join("root"));
    std::fs::write(&deb, bytes).unwrap();
    let runs = |arguments: &[&str]| {
        let output = Command::new("dpkg-deb").args(arguments).arg(&deb).arg(&root).output();
        output.expect("dpkg-deb is Debian's package dpkg").status.success()
    };
    !runs(&["--raw-extract"])
}

#[test]
fn a_package_that_is_none_is_refused_by_us_and_by_dpkg_deb() {
    let mut deviations = Vec::new();
    for (name, deb, expected) in DEBS {
        let stage = Stage::with(deb());
        let said = stage.site.fails(1, &mut stage.site.build());
        if !said.contains("jq")
            || !said.contains(expected)
            || !dpkg_deb_refuses(&deb().build(Compression::Xz))
        {
            deviations.push(format!("{name}: {said}"));
        }
    }
    assert!(deviations.is_empty(), "{deviations:#?}");
}
