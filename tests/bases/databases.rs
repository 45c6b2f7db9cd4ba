//! rpm's databases, byte by byte: what rpm put into them is read, and damaged ones end in an error.

use std::fs;

use estaleiro::rpm::{self, Form, Header};

use crate::support::{RpmHeaders, Rpms, run};

pub(crate) const TOOL: &str = "Name: tool\nEpoch: 1\nVersion: 2.0\nRelease: 3\nLicense: GPL-2.0-or-later AND MIT\n\
    URL: https://tool.example\nVendor: Example\nPackager: Ann <ann@archive.example>\nRequires: lib >= 1\nRequires: /bin/sh";
pub(crate) const LIB: &str =
    "Name: lib\nVersion: 1^git2\nRelease: 1.el9\nLicense: GPLv2+ with exceptions\nVendor: Example";

pub(crate) fn installed() -> RpmHeaders {
    Rpms::new(&[TOOL, LIB]).install()
}

fn named(headers: &[Header]) -> Vec<(&str, String)> {
    let mut named: Vec<_> = headers.iter().map(|one| (one.name.as_str(), one.full_version())).collect();
    named.sort();
    named
}

#[test]
fn what_rpm_installed_is_read_in_every_form() {
    let installed = installed();
    for (form, file) in
        [(Form::Sqlite, installed.sqlite.clone()), (Form::Ndb, installed.ndb()), (Form::Bdb, installed.bdb())]
    {
        let read = rpm::read(form, &file);
        assert_eq!(read.error, None, "{form:?}");
        let expected = [("lib", "1^git2-1.el9".to_owned()), ("tool", "1:2.0-3".to_owned())];
        assert_eq!(named(&read.headers), expected, "{form:?}");
        let tool = read.headers.iter().find(|header| header.name == "tool").unwrap();
        let told = [&tool.architecture, &tool.licence, &tool.url, &tool.vendor, &tool.packager];
        let expected = [
            "noarch",
            "GPL-2.0-or-later AND MIT",
            "https://tool.example",
            "Example",
            "Ann <ann@archive.example>",
        ];
        assert_eq!(told, expected, "{form:?}");
        assert_eq!(tool.source(), Some(("tool", "2.0-3")));
        assert!(tool.requires.contains(&"lib".into()) && tool.requires.contains(&"/bin/sh".into()));
        assert_eq!(tool.provides, ["tool"]);
    }
}

#[test]
fn a_database_of_many_packages_is_a_tree_of_pages() {
    let read = rpm::read(Form::Sqlite, &installed().sqlite_of_many(400));
    assert_eq!((read.headers.len(), read.error), (800, None));
}

#[test]
fn rpm_reads_the_same_from_berkeley_dbs_form() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("Packages"), installed().bdb()).unwrap();
    let place = directory.path().to_str().unwrap();
    let asked = ["--define", "_db_backend bdb_ro", "--dbpath", place, "-qa", "--qf", "%{NAME} %{EVR}\n"];
    let said = run("rpm", &asked);
    let mut lines: Vec<&str> = said.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["lib 1^git2-1.el9", "tool 1:2.0-3"]);
}

#[test]
fn a_damaged_database_ends_in_an_error_and_never_in_more_than_it_holds() {
    let installed = installed();
    for (form, file) in
        [(Form::Sqlite, installed.sqlite.clone()), (Form::Ndb, installed.ndb()), (Form::Bdb, installed.bdb())]
    {
        for n in (0..file.len()).step_by(97).chain([1, 15, 16, 40, 99, 100]) {
            let read = rpm::read(form, &file[..n]);
            assert!(read.error.is_some() || read.headers.len() <= 2, "{form:?} of {n} bytes");
        }
        let step = if form == Form::Sqlite { 211 } else { 13 };
        for place in (0..file.len()).step_by(step).chain(0..200) {
            for value in [0, 1, 0x7f, 0xff] {
                let mut changed = file.clone();
                changed[place] = value;
                rpm::read(form, &changed);
            }
        }
    }
    let said = rpm::read(Form::Bdb, &installed.sqlite).error.unwrap().to_string();
    assert_eq!(said, "cannot read rpm's database: it is no hash of Berkeley DB at byte 12");
}

#[test]
fn pages_that_lead_in_circles_have_an_end() {
    let mut file = installed().bdb();
    // The first chain's second page goes on where it began.
    file[3 * 4096 + 16] = 2;
    let error = rpm::read(Form::Bdb, &file).error.unwrap().to_string();
    assert!(error.contains("a page is led to twice"), "{error}");
}
