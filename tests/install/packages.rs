//! `from_package`: files out of packages that are not installed, measured against what `dpkg-deb` unpacks.

use std::fs;

use estaleiro::digest::{Digest, Sha512};
use serde_json::{Value, json};

use crate::oracle::Oracle;
use crate::site::{Site, manifest};
use crate::support::image::a_base_that_unpacks;
use crate::support::machine;
use crate::support::tarball::Entry;
use crate::support::{Archive, Compression, Deb, Key, ServedArchive, TestRegistry, run, tree};
use crate::yard::{self, account};

fn deb(version: &str) -> Deb {
    Deb::new("tools", version)
        .depends("not-there")
        .script("postinst", "#!/bin/sh\ntouch /never\n")
        .file("/usr/bin/tool", 0o755, format!("tool {version}"))
        .hardlink("/usr/bin/other", "/usr/bin/tool")
        .symlink("/usr/bin/link", "tool")
        .directory("/usr/share/tools/empty", 0o750)
        .file("/usr/share/tools/data", 0o600, "data")
}

fn two_versions() -> Archive {
    Archive::new().add(deb("1.0")).add(deb("2.0")).sign_with(&Key::ed25519())
}

fn archive() -> ServedArchive {
    two_versions().serve()
}

/// Returns a definition with files out of packages of the archive.
fn definition(archive: &ServedArchive, base: &str, apt: &str, files: &str) -> String {
    format!(
        "image \"x\" {{\n  base_image = \"{base}\"\n  apt {{\n    repositories = [{:?}]\n    key \"archive\" {{\n      path = \"archive.asc\"\n    }}\n{apt}\n  }}\n{files}\n}}\n",
        archive.line("signed-by=archive")
    )
}

/// A site whose image is on scratch.
fn site(archive: &ServedArchive, apt: &str, files: &str) -> Site {
    let mut site = Site::new(&definition(archive, "scratch", apt, files));
    site.put("archive.asc", archive.key());
    site.call(archive.url(), "http://archive.example");
    site
}

const TOOL: &str = "file \"/bin/tool\" { from_package \"tools\" { path = \"/usr/bin/tool\" } }";

fn lock(site: &Site) -> Value {
    site.succeeds(&mut site.verb("lock"));
    serde_json::from_slice(&fs::read(site.path("context/estaleiro.lock")).unwrap()).unwrap()
}

#[test]
fn a_file_comes_out_of_the_newest_version_and_nothing_is_installed() {
    let archive = archive();
    let site = site(&archive, "", TOOL);
    let root = yard::root(&site);
    assert_eq!(fs::read_to_string(root.join("bin/tool")).unwrap(), "tool 2.0");
    assert_eq!(tree::dump(&root).lines().count(), 2, "{}", tree::dump(&root));

    let account = account(&site);
    assert_eq!(account["changeset"]["packages"], json!([]));
    let bytes = archive.file("pool/main/t/tools/tools_2.0_all.deb").unwrap();
    assert_eq!(
        account["changeset"]["files"][0]["source"]["package"],
        json!({
            "name": "tools",
            "version": "2.0",
            "uri": format!("{}/pool/main/t/tools/tools_2.0_all.deb", archive.url()),
            "digest": Digest::of(&bytes).to_string(),
            "member": "usr/bin/tool",
        })
    );
    let package = &account["changeset"]["opened_packages"][0];
    assert_eq!((&package["name"], &package["version"]), (&json!("tools"), &json!("2.0")));
    assert_eq!(
        package["location"],
        json!({
            "uri": format!("{}/pool/main/t/tools/tools_2.0_all.deb", archive.url()),
            "digest": Digest::of(&bytes).to_string(),
            "name": "tools_2.0_all.deb",
            "size": bytes.len(),
            "sha512": Sha512::of(&bytes).to_string(),
        })
    );
    assert_eq!(package["signed_by"], json!([archive.fingerprint()]));
    assert_eq!(account["keys"][0]["fingerprint"], archive.fingerprint());
    let names = |files: &Value| -> Vec<Value> {
        files.as_array().unwrap().iter().map(|file| file["name"].clone()).collect()
    };
    assert_eq!(names(&package["sources"]), ["tools_2.0.dsc", "tools_2.0.tar.xz"]);
}

#[test]
fn a_directory_of_a_package_is_what_dpkg_deb_unpacks() {
    let archive = archive();
    let site = site(&archive, "", "file \"/opt/\" { from_package \"tools\" { path = \"/usr/\" } }");
    let root = yard::root(&site);
    let (path, expected) = (site.path("tools.deb"), site.path("expected"));
    fs::write(&path, deb("2.0").build(Compression::Xz)).unwrap();
    run("dpkg-deb", &["-x", path.to_str().unwrap(), expected.to_str().unwrap()]);
    assert_eq!(tree::dump(&root.join("opt")), tree::dump(&expected.join("usr")));
}

#[test]
fn mode_and_owner_are_what_is_written_of_all_that_matches_a_pattern() {
    let archive = archive();
    let site = site(
        &archive,
        "",
        "file \"/opt/\" {\n from_package \"tools\" { path = \"/usr/share/**/da*\" }\n mode = \"0640\"\n owner = \"7:8\"\n}",
    );
    let dump = tree::dump(&yard::root(&site));
    let data = format!("file 0640 7:8 4:{} /opt/tools/data", Digest::of("data").short());
    assert!(dump.contains(&data), "{dump}");
    assert_eq!(dump.lines().count(), 3, "{dump}");
}

#[test]
fn preferences_decide_which_version_files_are_taken_from() {
    let archive = archive();
    let version = |pin: &str| {
        let preferences = format!(
            "preferences = <<-EOT\n      Package: tools\n      Pin: version 1.*\n      Pin-Priority: {pin}\n    EOT"
        );
        lock(&site(&archive, &preferences, TOOL))["platforms"][0]["taken"][0]["version"].clone()
    };
    assert_eq!([version("900"), version("100")], ["1.0", "2.0"]);
    let ruled_out = "preferences = \"Package: tools\\nPin: version *\\nPin-Priority: -1\\n\"";
    let site = site(&archive, ruled_out, TOOL);
    let said = site.fails(1, &mut site.build());
    assert_eq!(said, "error: cannot take files from package tools: the preferences rule out 2.0 and 1.0");
}

#[test]
fn of_a_package_that_is_installed_too_it_is_the_same_version() {
    let registry = TestRegistry::start();
    a_base_that_unpacks("").put(&registry, "base", Some("1"));
    let archive =
        Archive::new().add(deb("1.0").depends("")).add(deb("2.0")).sign_with(&Key::ed25519()).serve();
    let apt = "    package \"tools\" { version = \"1.0\" }";
    let site = Site::new(&definition(&archive, &registry.name("base", "1"), apt, TOOL));
    site.put("archive.asc", archive.key());
    let platform = lock(&site)["platforms"][0].clone();
    assert_eq!((&platform["packages"][0]["version"], platform.get("taken")), (&json!("1.0"), None));
    assert_eq!(fs::read_to_string(yard::root(&site).join("bin/tool")).unwrap(), "tool 1.0");
}

#[test]
fn of_a_package_that_the_base_has_it_is_the_version_asked_for() {
    let registry = TestRegistry::start();
    let status = "Package: tools\nStatus: install ok installed\nVersion: 1.0\nArchitecture: all\n\
                  Maintainer: x\nDescription: x\n";
    a_base_that_unpacks(status).put(&registry, "base", Some("1"));
    let archive = Archive::new().add(deb("1.0").depends("")).add(deb("2.0").depends(""));
    let archive = archive.sign_with(&Key::ed25519()).serve();
    let version = |apt: &str| {
        let site = Site::new(&definition(&archive, &registry.name("base", "1"), apt, TOOL));
        site.put("archive.asc", archive.key());
        let platform = lock(&site)["platforms"][0].clone();
        [&platform["packages"], &platform["taken"]].map(|packages| packages[0]["version"].clone())
    };
    assert_eq!(version("    package \"tools\" { version = \"1.0\" }"), [Value::Null, json!("1.0")]);
    assert_eq!(version("    package \"tools\" {}"), [json!("2.0"), Value::Null]);
    assert_eq!(version(""), [Value::Null, json!("2.0")]);
}

#[test]
fn one_is_updated_and_the_other_stays() {
    let key = Key::ed25519();
    let more = |version: &str| Deb::new("more", version).file("/more", 0o644, version);
    let archive = Archive::new().add(deb("1.0")).add(more("1")).sign_with(&key).serve();
    let files = format!("{TOOL}\nfile \"/more\" {{ from_package \"more\" {{ path = \"/more\" }} }}");
    let site = site(&archive, "", &files);
    lock(&site);
    archive.publish(&two_versions_of(&key).add(more("1")).add(more("2")));
    let output = site.succeeds(site.verb("lock").args([".", "--update", "more"]));
    let moved = String::from_utf8(output.stdout).unwrap();
    assert!(moved.contains("~ more: 1 → 2, for its files") && !moved.contains("tools"), "{moved}");
}

#[test]
fn the_same_package_from_elsewhere_is_the_same_image_and_another_account() {
    let key = Key::ed25519();
    let archives = [0, 1].map(|_| Archive::new().add(deb("1.0")).sign_with(&key).serve());
    let site = site(&archives[0], "", TOOL);
    site.succeeds(&mut site.build());
    let image = manifest(&site.layout());
    site.put("estaleiro.hcl", definition(&archives[1], "scratch", "", TOOL));
    site.succeeds(&mut site.build());
    assert_eq!(manifest(&site.layout()), image);
    let account = account(&site);
    let uri = account["changeset"]["files"][0]["source"]["package"]["uri"].as_str().unwrap();
    assert!(uri.starts_with(&archives[1].url()), "{uri}");
}

#[test]
fn the_lock_pins_what_files_are_taken_from_until_it_is_updated() {
    let key = Key::ed25519();
    let archive = Archive::new().add(deb("1.0")).sign_with(&key).serve();
    let site = site(&archive, "", TOOL);
    let platform = lock(&site)["platforms"][0].clone();
    assert_eq!(platform["packages"], json!([]));
    assert_eq!(platform["taken"][0]["version"], "1.0");
    assert_eq!(platform["request"]["taken"], json!(["tools"]));

    archive.publish(&two_versions_of(&key));
    assert_eq!(fs::read_to_string(yard::root(&site).join("bin/tool")).unwrap(), "tool 1.0");
    assert_eq!(manifest(&site.layout())["layers"].as_array().unwrap().len(), 1);
    let output = site.succeeds(&mut site.verb("lock"));
    let moved = String::from_utf8(output.stdout).unwrap();
    assert!(moved.contains("~ tools: 1.0 → 2.0, for its files"), "{moved}");
}

fn two_versions_of(key: &Key) -> Archive {
    Archive::new().add(deb("1.0")).add(deb("2.0")).date("Mon, 03 Jun 2024 00:00:00 UTC").sign_with(key)
}

#[test]
fn a_lock_of_a_definition_that_takes_from_other_packages_is_refused() {
    let archive =
        Archive::new().add(deb("1.0")).add(Deb::new("more", "1")).sign_with(&Key::ed25519()).serve();
    let site = site(&archive, "", TOOL);
    let whole = lock(&site);
    let more = "file \"/x/\" { from_package \"more\" { path = \"/x\" } }";
    site.put("estaleiro.hcl", definition(&archive, "scratch", "", &format!("{TOOL}\n{more}")));
    let said = site.fails(2, &mut site.build());
    assert!(said.contains("the definition has package to take files from more, the lock hasn't"), "{said}");

    // A lock that was changed by hand is no better.
    site.put("estaleiro.hcl", definition(&archive, "scratch", "", TOOL));
    let mut empty = whole.clone();
    empty["platforms"][0]["taken"] = json!([]);
    site.put("estaleiro.lock", empty.to_string());
    let said = site.fails(2, &mut site.build());
    assert!(said.contains("it does not hold package tools, which files are taken from"), "{said}");
    let mut other = whole;
    let mut second = other["platforms"][0]["taken"][0].clone();
    second["name"] = json!("more");
    other["platforms"][0]["taken"].as_array_mut().unwrap().push(second);
    site.put("estaleiro.lock", other.to_string());
    let said = site.fails(2, &mut site.build());
    assert!(said.contains("it holds package more, and no file is taken from it"), "{said}");
}

#[test]
fn what_is_not_in_a_package_or_no_package_is_named() {
    let archive = archive();
    let story = |package: &str, path: &str| {
        let files = format!("file \"/x/\" {{ from_package {package:?} {{ path = {path:?} }} }}");
        let site = site(&archive, "", &files);
        site.fails(1, &mut site.build())
    };
    let said = story("tools", "/usr/bin/none");
    assert!(said.contains("cannot read package tools 2.0: it has no member usr/bin/none\nhint: "), "{said}");
    let said = story("tools", "/usr/bin");
    assert!(said.contains("its member usr/bin is no regular file but a directory"), "{said}");
    let said = story("tools", "/usr/bin/link");
    assert!(
        said.contains("its member usr/bin/link is no regular file but a symbolic link to tool"),
        "{said}"
    );
    let said = story("tools", "/none/");
    assert!(said.contains("cannot read package tools 2.0: nothing in it matches none/"), "{said}");
    let said = story("tool", "/usr/bin/none");
    assert!(
        said.contains("cannot take files from package tool: no repository has a package of that name\nhint: did you mean tools"),
        "{said}"
    );
}

#[test]
fn a_package_whose_files_lead_out_of_it_is_refused() {
    for (name, entry) in [
        ("../evil", Entry::file("../evil", 0o644, "evil")),
        ("./usr/../../evil", Entry::file("./usr/../../evil", 0o644, "evil")),
    ] {
        let archive =
            Archive::new().add(Deb::new("tools", "1").entry(entry)).sign_with(&Key::ed25519()).serve();
        let site = site(&archive, "", "file \"/x/\" { from_package \"tools\" { path = \"/\" } }");
        let said = site.fails(1, &mut site.build());
        assert!(
            said.contains(&format!("cannot read package tools 1: its member {name} is refused")),
            "{said}"
        );
    }
    let device = Deb::new("tools", "1").entry(Entry::device("./dev/null", 0o666, 1, 3));
    let archive = Archive::new().add(device).sign_with(&Key::ed25519()).serve();
    let site = site(&archive, "", "file \"/x/\" { from_package \"tools\" { path = \"/\" } }");
    let said = site.fails(1, &mut site.build());
    assert!(said.contains("its member dev/null is refused: it is no file, directory or link"), "{said}");
}

#[test]
fn sources_are_wanted_of_it_as_of_what_is_installed() {
    let archive = two_versions().without_sources().serve();
    let without = site(&archive, "", TOOL);
    let said = without.fails(1, &mut without.build());
    assert!(said.contains("no repository lists those of\n- tools 2.0 (source tools 2.0)"), "{said}");
    let excused = site(&archive, "without_sources = [\"tools\"]", TOOL);
    excused.succeeds(&mut excused.build());
}

#[test]
fn a_package_of_debian_yields_what_dpkg_deb_unpacks_of_what_apt_get_downloads() {
    let lines = machine::signed_lines();
    let site = Site::new(&format!(
        "image \"x\" {{\n apt {{\n  repositories = {}\n  sources = \"none\"\n }}\n \
         file \"/taken/\" {{ from_package \"jq\" {{ path = \"/\" }} }}\n}}\n",
        json!(lines)
    ));
    let root = yard::root(&site);
    let oracle = Oracle::new(&site.path("oracle"), &lines, "");
    let deb = site.path("apt").join(oracle.download("jq", &site.path("apt")));
    let expected = site.path("expected");
    run("dpkg-deb", &["-x", deb.to_str().unwrap(), expected.to_str().unwrap()]);
    let dump = tree::dump(&root.join("taken"));
    assert!(dump.contains("/usr/bin/jq"), "{dump}");
    assert_eq!(dump, tree::dump(&expected));
    let digest = Digest::of(fs::read(deb).unwrap()).to_string();
    let account = account(&site);
    assert_eq!(account["changeset"]["files"][0]["source"]["package"]["digest"], digest);
}
