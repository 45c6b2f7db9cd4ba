//! `essential = false`: a root of the packages asked for and of what they need, with what their scripts made, and records
//! where scanners look.

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
}

fn archive(more: &[Deb]) -> ServedArchive {
    let archive = Archive::new()
        .add(tool())
        .add(Deb::new("lib", "1").file("/usr/lib/lib.so", 0o644, "lib").conffile("/etc/lib.conf"))
        .add(Deb::new("base", "1").essential().file("/usr/bin/sh", 0o755, "sh"))
        .add(Deb::new("usr-is-merged", "1"));
    more.iter().cloned().fold(archive, Archive::add).sign_with(&Key::ed25519()).serve()
}

/// The lock that stands beside the definition.
const LOCK: &str = "context/estaleiro.lock";
const TOOL: &str = "    package \"tool\" {}";

#[test]
fn there_is_what_was_asked_for_and_what_that_needs_and_nothing_else_is_fetched_where_nothing_is_run() {
    let archive = archive(&[]);
    let site = site(&archive, TOOL);
    site.succeeds(&mut site.verb("lock"));
    let root = yard::root(&site);
    let lock: Value = serde_json::from_slice(&fs::read(site.path(LOCK)).unwrap()).unwrap();
    let beside = lock["platforms"][0]["beside"].as_array().unwrap();
    assert_eq!((beside.len(), &beside[0]["name"]), (1, &json!("base")));
    let digest = beside[0]["sha256"].as_str().unwrap().replace("sha256:", "");
    assert!(!site.path("state/blobs/sha256").join(digest).exists());
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
fn the_account_is_whole_and_says_that_the_essential_packages_are_missing() {
    let archive = archive(&[]);
    let site = site(&archive, TOOL);
    yard::root(&site);
    let account = account(&site);
    let packages = account["changeset"]["packages"].as_array().unwrap();
    let names: Vec<&Value> = packages.iter().map(|package| &package["name"]).collect();
    assert_eq!(names, ["lib", "tool"]);
    for package in packages {
        assert_eq!(package["without_essential"], true);
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
    let account = account(&above);
    let packages = account["base_image"]["packages"].as_array().unwrap();
    let fields = ["name", "version", "source_package", "source_version", "architecture"];
    let told = packages.iter().map(|package| fields.map(|field| package[field].as_str().unwrap()));
    assert_eq!(
        told.collect::<Vec<_>>(),
        [["lib", "1", "lib", "1", "all"], ["tool", "1:2.0-1+b1", "tools", "1:2.0-1", "amd64"]]
    );
    assert_eq!(
        (&packages[1]["depends"], &packages[1]["maintainer"]),
        (&json!("lib"), &json!("Nobody <nobody@archive.example>"))
    );
}

#[test]
fn a_lock_knows_whether_the_essential_packages_are_there() {
    let archive = archive(&[]);
    let site = site(&archive, TOOL);
    site.succeeds(&mut site.verb("lock"));
    site.succeeds(&mut site.build());
    assert_same_again(&site);
    with_the_essential_packages(&site);
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
fn a_lock_says_what_scripts_run_beside_and_no_other_will_do() {
    let maker = Deb::new("maker", "1").depends("lib").script("postinst", "#!/bin/sh\n");
    let archive = archive(&[maker]);
    let site = site(&archive, "    package \"maker\" {}");
    site.succeeds(&mut site.verb("lock"));
    let lock: Value = serde_json::from_slice(&fs::read(site.path(LOCK)).unwrap()).unwrap();
    let with = |change: &dyn Fn(&mut Value)| {
        let mut lock = lock.clone();
        change(&mut lock["platforms"][0]);
        site.put("estaleiro.lock", lock.to_string());
    };
    with(&|locked| locked["beside"][0]["sha256"] = locked["packages"][0]["sha256"].clone());
    let said = site.fails(1, &mut site.build());
    assert!(said.contains("base"), "{said}");
    with(&|locked| locked["beside"][0]["version"] = json!("2"));
    let said = site.fails(1, &mut site.build());
    assert!(said.contains("it holds base 1, the index promised base 2"), "{said}");
    with(&|locked| locked["beside"] = locked["packages"].clone());
    let said = site.fails(2, &mut site.build());
    assert!(said.contains("it holds package maker beside the image, and that has it"), "{said}");
    with(&|locked| locked["beside"] = json!([]));
    let said = site.fails(1, &mut site.build());
    assert!(said.contains("list no Essential packages"), "{said}");
}

#[test]
fn what_the_essential_packages_need_besides_stays_beside_the_image() {
    let shell = Deb::new("shell", "1").essential().depends("lib, helper");
    let archive = archive(&[shell, Deb::new("helper", "1"), Deb::new("idle", "1")]);
    let site = site(&archive, TOOL);
    let lock = site.succeeds(site.verb("lock").args(["--lock", "-"]));
    let lock: Value = serde_json::from_slice(&lock.stdout).unwrap();
    let names = |list: &str| -> Vec<String> {
        let packages = lock["platforms"][0][list].as_array().unwrap().iter();
        packages.map(|one| format!("{} {}", text(&one["name"]), text(&one["version"]))).collect()
    };
    assert_eq!(names("packages"), ["lib 1", "tool 1:2.0-1+b1"]);
    assert_eq!(names("beside"), ["base 1", "helper 1", "shell 1"]);
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

#[test]
fn without_scripts_a_root_of_debian_is_what_dpkg_deb_unpacks_of_what_apt_get_chooses() {
    let lines = machine::signed_lines();
    let site = Site::new(&format!(
        "image \"x\" {{\n apt {{\n  essential = false\n  repositories = {}\n  sources = \"none\"\n  package \"jq\" {{}}\n }}\n}}\n",
        json!(lines)
    ));
    let root = yard::root(&site);
    let account = account(&site);
    let oracle = Oracle::new(&site.path("oracle"), &lines, "");
    assert_eq!(Some(&packages_of(&account)), oracle.chosen(&["jq"], Path::new("/")).as_ref());
    assert_eq!(account["changeset"]["configured_beside"], Value::Null);

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
    let (here, there) = (lines_of(&root), lines_of(&expected));
    let more: Vec<&String> = here.difference(&there).filter(|line| !is_record(line)).collect();
    let for_records = ["/var", "/var/lib", "/var/lib/dpkg"].map(|path| format!("dir  0755 0:0 {path}"));
    assert_eq!(more, for_records.iter().collect::<Vec<_>>());
    assert_eq!(there.difference(&here).collect::<Vec<_>>(), Vec::<&String>::new());
}

fn lines_of(root: &Path) -> BTreeSet<String> {
    tree::dump(root).lines().map(str::to_owned).collect()
}

fn is_record(line: &str) -> bool {
    line.contains(" /var/lib/dpkg/status.d")
}

fn packages_of(account: &Value) -> BTreeSet<String> {
    let packages = account["changeset"]["packages"].as_array().unwrap().iter();
    packages.map(|package| format!("{}={}", text(&package["name"]), text(&package["version"]))).collect()
}

/// Makes a file, a user and an alternative, and takes away a file of its own and one of the Essential packages.
const MAKER: &str = "#!/bin/sh\nset -e\nmkdir -p /srv/maker\necho made > /srv/maker/made\n\
                     echo maker:x:999:999::/nonexistent:/bin/false >> /etc/passwd\n\
                     update-alternatives --install /usr/bin/implement implement /usr/bin/maker 10\n\
                     rm /usr/share/maker/gone /usr/share/doc/dash/copyright\n";

/// The packages of the live story, which need some others.
const REAL: [&str; 3] = ["ca-certificates", "tzdata", "jq"];

#[test]
fn what_scripts_make_is_there_as_on_a_whole_root_and_what_they_ran_beside_is_not() {
    let lines = machine::signed_lines();
    let packages = REAL.map(|name| format!("  package \"{name}\" {{}}\n")).concat();
    let site = Site::new(&format!(
        "image \"x\" {{\n apt {{\n  essential = false\n  repositories = {}\n  sources = \"none\"\n{packages}  \
         debconf = {{\n   \"tzdata/Areas\" = \"Europe\"\n   \"tzdata/Zones/Europe\" = \"Lisbon\"\n  }}\n  \
         deb \"maker.deb\" {{}}\n }}\n}}\n",
        json!(lines)
    ));
    let maker = Deb::new("maker", "1")
        .file("/usr/bin/maker", 0o755, "")
        .file("/usr/share/maker/gone", 0o644, "")
        .file("/usr/share/maker/stays", 0o644, "")
        .script("postinst", MAKER);
    site.put("maker.deb", maker.build(Compression::Xz));
    let bare = site.path("bare");
    fs::rename(yard::root(&site), &bare).unwrap();
    let account = account(&site);

    // The packages are those that apt-get chooses for an empty root, and a scanner finds them.
    let mut ours = packages_of(&account);
    assert_eq!(found_by_syft(&site.layout()), ours);
    assert!(ours.remove("maker=1"));
    let oracle = Oracle::new(&site.path("oracle"), &lines, "");
    assert_eq!(Some(&ours), oracle.chosen(&REAL, Path::new("/")).as_ref());
    let beside = account["changeset"]["configured_beside"].as_array().unwrap();
    let beside: BTreeSet<String> = beside.iter().map(|package| text(&package["name"])).collect();
    assert!(beside.contains("dash") && beside.contains("base-files"), "{beside:?}");

    assert_same_again(&site);
    with_the_essential_packages(&site);
    fs::remove_dir_all(site.path("bundle")).ok();
    let whole = yard::root(&site);
    assert_part_of(&bare, &whole);
    assert_has_what_scripts_made(&bare);
    for absent in [
        "usr/bin/sh",
        "var/lib/dpkg/status",
        "var/lib/dpkg/info",
        "var/cache/debconf/config.dat",
        "etc/ld.so.cache",
    ] {
        assert!(fs::symlink_metadata(bare.join(absent)).is_err(), "{absent}");
    }
}

/// Builds once more, with nothing remembered: it is the same.
fn assert_same_again(site: &Site) {
    let digest = manifest(&site.layout());
    fs::remove_dir_all(site.layout()).unwrap();
    fs::remove_dir_all(site.path("state")).unwrap();
    site.succeeds(&mut site.build());
    assert_eq!(manifest(&site.layout()), digest);
    fs::remove_dir_all(site.layout()).unwrap();
}

fn with_the_essential_packages(site: &Site) {
    let definition = fs::read_to_string(site.path("context/estaleiro.hcl")).unwrap();
    site.put("estaleiro.hcl", definition.replace("essential = false", "essential = true"));
}

/// Checks that a whole root has all of it too, and that no file of the packages is missing.
fn assert_part_of(bare: &Path, whole: &Path) {
    let (here, there) = (lines_of(bare), lines_of(whole));
    // A script of base-files takes the idle ones of these away.
    let is_idle = |line: &str| line.contains("/lib32") || line.contains("/libx32");
    let more = here.difference(&there).filter(|line| !is_record(line) && !is_idle(line));
    assert_eq!(more.collect::<Vec<_>>(), Vec::<&String>::new());
    for package in REAL.iter().chain(&["maker"]) {
        let list = fs::read_to_string(whole.join(format!("var/lib/dpkg/info/{package}.list"))).unwrap();
        let missing = list.lines().filter(|path| fs::symlink_metadata(bare.join(&path[1..])).is_err());
        let gone: &[&str] = if *package == "maker" { &["/usr/share/maker/gone"] } else { &[] };
        assert_eq!(missing.collect::<Vec<_>>(), gone, "{package}");
    }
}

fn assert_has_what_scripts_made(bare: &Path) {
    for made in ["etc/ssl/certs/ca-certificates.crt", "etc/passwd", "srv/maker/made", "etc/timezone"] {
        assert!(fs::metadata(bare.join(made)).unwrap().len() > 0, "{made}");
    }
    assert_eq!(fs::read_link(bare.join("etc/alternatives/implement")).unwrap(), Path::new("/usr/bin/maker"));
    assert_eq!(fs::read_to_string(bare.join("etc/timezone")).unwrap(), "Europe/Lisbon\n");
    assert!(fs::read_to_string(bare.join("etc/passwd")).unwrap().contains("\nmaker:x:999:"));
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
