//! The machine's own suites, as apt tells them.

use super::support::machine;

#[test]
fn components_of_one_suite_are_brought_together() {
    let targets = "http://archive.example/debian/|bookworm|main|/usr/share/keyrings/a.gpg\n\
                   http://archive.example/debian/|bookworm|main|/usr/share/keyrings/a.gpg\n\
                   http://archive.example/debian/|bookworm|contrib|/usr/share/keyrings/a.gpg\n\
                   http://archive.example/security/|bookworm-security|main|\n";
    let lines: Vec<String> = machine::parse(targets).iter().map(machine::MachineSource::line).collect();
    assert_eq!(
        lines,
        [
            "deb [signed-by=/usr/share/keyrings/a.gpg] http://archive.example/debian/ bookworm main contrib",
            "deb http://archive.example/security/ bookworm-security main",
        ]
    );
}

#[test]
fn the_machine_names_its_own_archive() {
    let codename = machine::codename();
    assert!(machine::debian().iter().any(|source| source.suite == codename), "{:?}", machine::debian());
}
