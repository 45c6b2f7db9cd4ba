//! `essential = false`: a root of the packages asked for and of what they need, unpacked, with records where scanners look.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::oracle::Oracle;
use crate::site::{Site, manifest};
use crate::support::machine;
use crate::support::{Archive, Compression, Deb, Key, ServedArchive, TestRegistry, run, tree};
use crate::yard::{self, account};

/// Returns a site whose image is on scratch, without the Essential packages.
fn site(archive: &ServedArchive, apt: &str) -> Site {
    let mut site = Site::new(&format!(
        "image \"x\" {{\n  apt {{\n    essential = false\n    repositories = [{:?}]\n    \
         key \"archive\" {{\n      path = \"archive.asc\"\n    }}\n{apt}\n  }}\n}}\n",
        archive.line("signed-by=archive")
    ));
    site.put("archive.asc", archive.key());
    site.call(archive.url(), "http://archive.example");
    site
}

fn tool() -> Deb {
    Deb::new("tool", "1:2.0-1+b1")
        .architecture("amd64")
        .field("Source", "tools (1:2.0-1)")
        .depends("lib")
        .file("/bin/tool", 0o4755, "tool")
        .script("postinst", "#!/bin/sh\ntouch /made-by-a-script\n")
}

fn archive(more: &[Deb]) -> ServedArchive {
    let archive = Archive::new()
        .add(tool())
        .add(Deb::new("lib", "1").file("/usr/lib/lib.so", 0o644, "lib").conffile("/etc/lib.conf"))
        .add(Deb::new("base", "1").essential().file("/usr/bin/sh", 0o755, "sh"))
        .add(Deb::new("usr-is-merged", "1"));
    more.iter().cloned().fold(archive, Archive::add).sign_with(&Key::ed25519()).serve()
}

const TOOL: &str = "    package \"tool\" {}";

#[test]
fn there_is_what_was_asked_for_and_what_that_needs_and_no_script_ran() {
    let archive = archive(&[]);
    let site = site(&archive, TOOL);
    let root = yard::root(&site);
    let dump = tree::dump(&root);
    let files: Vec<&str> = dump
        .lines()
        .filter(|line| line.starts_with("file"))
        .map(|line| line.rsplit(' ').next().unwrap())
        .collect();
    assert_eq!(
        files,
        [
            "/usr/bin/tool",
            "/usr/lib/lib.so",
            "/var/lib/dpkg/status.d/lib",
            "/var/lib/dpkg/status.d/lib.md5sums",
            "/var/lib/dpkg/status.d/tool",
            "/var/lib/dpkg/status.d/tool.md5sums",
        ]
    );
    assert!(dump.contains("link 0777 0:0 /bin -> usr/bin"), "{dump}");
    assert!(dump.contains("file 4755 0:0"), "{dump}");
}

#[test]
fn the_records_are_control_file_and_sums_of_each_package() {
    let archive = archive(&[]);
    let site = site(&archive, TOOL);
    let root = yard::root(&site);
    fs::write(site.path("tool.deb"), tool().build(Compression::Xz)).unwrap();
    let deb = site.path("tool.deb");
    let control = Command::new("dpkg-deb").args(["--info", deb.to_str().unwrap(), "control"]).output();
    let record = fs::read(root.join("var/lib/dpkg/status.d/tool")).unwrap();
    assert_eq!(String::from_utf8(record), String::from_utf8(control.unwrap().stdout));
    let sums = Command::new("dpkg-deb").args(["--info", deb.to_str().unwrap(), "md5sums"]).output();
    let record = fs::read(root.join("var/lib/dpkg/status.d/tool.md5sums")).unwrap();
    assert_eq!(record, sums.unwrap().stdout);
    // The sums are those of the files that are there.
    let record = root.join("var/lib/dpkg/status.d/tool.md5sums");
    run(
        "sh",
        &[
            "-c",
            "cd \"$1\" && md5sum --check --quiet \"$2\"",
            "sh",
            root.to_str().unwrap(),
            record.to_str().unwrap(),
        ],
    );
}

#[test]
fn the_account_is_whole_and_says_that_they_were_only_unpacked() {
    let archive = archive(&[]);
    let site = site(&archive, TOOL);
    yard::root(&site);
    let account = account(&site);
    let packages = account["changeset"]["packages"].as_array().unwrap();
    let names: Vec<&Value> = packages.iter().map(|package| &package["name"]).collect();
    assert_eq!(names, ["lib", "tool"]);
    for package in packages {
        assert_eq!(package["unpacked_only"], true);
        assert_eq!(package["signed_by"], json!([archive.fingerprint()]));
        assert_eq!(package["sources"].as_array().unwrap().len(), 2);
    }
    let tool = &packages[1];
    assert_eq!((&tool["source_package"], &tool["source_version"]), (&json!("tools"), &json!("1:2.0-1")));
}

#[test]
fn who_builds_upon_it_knows_its_packages() {
    let archive = archive(&[]);
    let registry = TestRegistry::start();
    let name = registry.name("bare", "1");
    let bare = site(&archive, TOOL);
    let state = tempfile::tempdir().unwrap();
    let state = state.path().to_str().unwrap();
    let arguments = ["build", "--quiet", "--platform", "linux/amd64", "--state", state, "--push", &name];
    bare.succeeds(&mut bare.estaleiro(&arguments));
    let above = Site::new(&format!("image \"y\" {{\n  base_image = \"{name}\"\n  workdir = \"/\"\n}}\n"));
    above.succeeds(&mut above.build());
    let packages = account(&above)["base_image"]["packages"].clone();
    assert_eq!(
        packages,
        json!([
            {"name": "lib", "version": "1", "source_package": "lib", "source_version": "1", "architecture": "all"},
            {"name": "tool", "version": "1:2.0-1+b1", "source_package": "tools", "source_version": "1:2.0-1", "architecture": "amd64"},
        ])
    );
}

#[test]
fn a_lock_knows_whether_the_essential_packages_are_there() {
    let archive = archive(&[]);
    let site = site(&archive, TOOL);
    site.succeeds(&mut site.verb("lock"));
    site.succeeds(&mut site.build());
    let digest = manifest(&site.layout());
    fs::remove_dir_all(site.layout()).unwrap();
    fs::remove_dir_all(site.path("state")).unwrap();
    site.succeeds(&mut site.build());
    assert_eq!(manifest(&site.layout()), digest);
    fs::remove_dir_all(site.layout()).unwrap();
    let definition = fs::read_to_string(site.path("context/estaleiro.hcl")).unwrap();
    site.put("estaleiro.hcl", definition.replace("essential = false", "essential = true"));
    let said = site.fails(2, &mut site.build());
    assert!(said.contains("the lock has switch essential = false, the definition hasn't"), "{said}");
}

#[test]
fn an_upgrade_alone_makes_a_root_of_the_essential_packages_and_nothing_without_them() {
    let archive = archive(&[]);
    let site = site(&archive, "    upgrade = true");
    let names = || -> Vec<Value> {
        let lock = site.succeeds(site.verb("lock").args(["--lock", "-"]));
        let lock: Value = serde_json::from_slice(&lock.stdout).unwrap();
        let packages = lock["platforms"][0]["packages"].as_array().unwrap().iter();
        packages.map(|package| package["name"].clone()).collect()
    };
    assert_eq!(names(), Vec::<Value>::new());
    let definition = fs::read_to_string(site.path("context/estaleiro.hcl")).unwrap();
    site.put("estaleiro.hcl", definition.replace("essential = false", "essential = true"));
    assert_eq!(names(), ["base", "usr-is-merged"]);
}

#[test]
fn two_packages_with_one_file_are_refused_unless_one_replaces_the_other() {
    let story = |field: &str, in_lib: bool| {
        let own = Deb::new("rival", "1").file("/lib/lib.so", 0o644, "rival");
        let lib = Deb::new("lib", "2").file("/usr/lib/lib.so", 0o644, "lib 2");
        let (own, lib) = match in_lib {
            true => (own, lib.field("Replaces", field)),
            false => (own.field("Replaces", field), lib),
        };
        let archive = archive(&[own.depends("lib (= 2)"), lib]);
        (site(&archive, "    package \"rival\" {}"), archive)
    };
    let content = |site: &Site| fs::read_to_string(yard::root(site).join("usr/lib/lib.so")).unwrap();
    assert_eq!(content(&story("lib (<< 3)", false).0), "rival");
    assert_eq!(content(&story("rival", true).0), "lib 2");
    let (site, _archive) = story("lib (<< 2)", false);
    let said = site.fails(1, &mut site.build());
    assert!(said.contains("cannot unpack rival 1: lib has /usr/lib/lib.so too"), "{said}");
}

#[test]
fn no_package_writes_the_records_of_others() {
    for path in ["/var/lib/dpkg/status.d/openssl", "/var/lib/dpkg/status"] {
        let forger = Deb::new("forger", "1").file(path, 0o644, "Package: openssl\nVersion: 99\n");
        let archive = archive(&[forger]);
        let site = site(&archive, "    package \"forger\" {}");
        let said = site.fails(1, &mut site.build());
        assert!(said.contains("cannot unpack forger 1: it brings /var/lib/dpkg/status"), "{said}");
    }
    let archive = archive(&[Deb::new("forger", "1").symlink("/var", "/etc").file("/etc/lib/x", 0o644, "")]);
    let site = site(&archive, "    package \"forger\" {}");
    let said = site.fails(1, &mut site.build());
    assert!(said.contains("cannot write /var/lib/dpkg/status.d: "), "{said}");
}

#[test]
fn an_answer_that_no_script_asks_for_is_a_mistake() {
    let archive = archive(&[]);
    let site = site(&archive, "    package \"tool\" {}\n    debconf = { \"tool/x\" = \"y\" }");
    let said = site.fails(2, &mut site.build());
    assert!(
        said.contains("nobody asks for this answer: with `essential = false` no script is run"),
        "{said}"
    );
}

/// The packages of the live story, which need some others.
const REAL: [&str; 3] = ["ca-certificates", "tzdata", "jq"];

#[test]
fn a_root_of_debian_is_what_dpkg_deb_unpacks_of_what_apt_get_chooses_and_syft_finds_every_package() {
    let lines = machine::signed_lines();
    let packages = REAL.map(|name| format!("  package \"{name}\" {{}}\n")).concat();
    let site = Site::new(&format!(
        "image \"x\" {{\n apt {{\n  essential = false\n  repositories = {}\n  sources = \"none\"\n{packages} }}\n}}\n",
        json!(lines)
    ));
    let root = yard::root(&site);
    let account = account(&site);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let ours: BTreeSet<String> = account["changeset"]["packages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|package| format!("{}={}", text(&package["name"]), text(&package["version"])))
        .collect();
    let oracle = Oracle::new(&site.path("oracle"), &lines, "");
    assert_eq!(Some(&ours), oracle.chosen(&REAL, Path::new("/")).as_ref());
    assert_eq!(found_by_syft(&site.layout()), ours);

    let expected = site.path("expected");
    fs::create_dir_all(expected.join("usr")).unwrap();
    for name in ["bin", "sbin", "lib", "lib32", "lib64", "libx32"] {
        fs::create_dir(expected.join("usr").join(name)).unwrap();
        std::os::unix::fs::symlink(format!("usr/{name}"), expected.join(name)).unwrap();
    }
    let lock = site.verb("lock").args(["--lock", "-"]).output().unwrap();
    let lock: Value = serde_json::from_slice(&lock.stdout).unwrap();
    for package in lock["platforms"][0]["packages"].as_array().unwrap() {
        let blob = site.path("state/blobs/sha256").join(text(&package["sha256"]).replace("sha256:", ""));
        let data = format!(
            "dpkg-deb --fsys-tarfile {} | tar -x --keep-directory-symlink -p -C {}",
            blob.display(),
            expected.display()
        );
        run("bash", &["-o", "pipefail", "-c", &data]);
    }
    let lines = |root: &Path| tree::dump(root).lines().map(str::to_owned).collect::<BTreeSet<String>>();
    let (here, there) = (lines(&root), lines(&expected));
    let is_record = |line: &&String| line.contains(" /var/lib/dpkg/status.d");
    let more: Vec<&String> = here.difference(&there).filter(|line| !is_record(line)).collect();
    assert_eq!(more, ["dir  0755 0:0 /var/lib", "dir  0755 0:0 /var/lib/dpkg"], "for the records");
    assert_eq!(there.difference(&here).collect::<Vec<_>>(), Vec::<&String>::new());
}

/// Returns what a scanner finds, as `name=version`.
fn found_by_syft(layout: &Path) -> BTreeSet<String> {
    let mut syft = Command::new("syft");
    syft.args(["scan", "--quiet", "--output", "json"]).arg(format!("oci-dir:{}", layout.display()));
    syft.env("SYFT_CHECK_FOR_APP_UPDATE", "false");
    let output = syft.output().expect("this test needs syft: ci/prepare installs it");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = found["artifacts"].as_array().unwrap().iter();
    let packages = packages.filter(|package| package["type"] == "deb");
    let shown = packages.map(|package| {
        format!("{}={}", package["name"].as_str().unwrap(), package["version"].as_str().unwrap())
    });
    shown.collect()
}
