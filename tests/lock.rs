//! What a lock decides, and what an image may depend on: stories against archives made in code.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops")]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use estaleiro::digest::Digest;
use serde_json::Value;
use support::archive::Wrong;
use support::image::a_base_that_unpacks;
use support::{Archive, Deb, Key, ServedArchive, TestRegistry};

/// A directory with a definition, and a state of its own.
struct Site {
    directory: tempfile::TempDir,
}

impl Site {
    fn new(definition: &str) -> Site {
        let site = Site { directory: tempfile::tempdir().unwrap() };
        site.write("estaleiro.hcl", definition);
        site
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, content: &str) {
        fs::write(self.path(name), content).unwrap();
    }

    fn run(&self, verb: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_estaleiro"))
            .arg(verb)
            .arg(self.directory.path())
            .args(["--platform", "linux/amd64", "--state"])
            .arg(self.path("state"))
            .args(arguments)
            .env_remove("SOURCE_DATE_EPOCH")
            .envs(environment.iter().copied())
            .output()
            .unwrap()
    }

    fn lock(&self) -> Value {
        let output = self.run("lock", &["--lock", "-"], &[]);
        serde_json::from_slice(&succeeded(&output).stdout).unwrap()
    }

    /// Builds into a layout and returns the image's digest.
    fn build(&self, layout: &str, environment: &[(&str, &str)]) -> String {
        let output = format!("oci:{}", self.path(layout).display());
        let output = self.run("build", &["--output", &output], environment);
        String::from_utf8(succeeded(&output).stdout.clone()).unwrap()
    }

    fn bom(&self, layout: &str) -> String {
        let image = format!("oci:{}", self.path(layout).display());
        let output = Command::new(env!("CARGO_BIN_EXE_estaleiro")).args(["bom", &image]).output().unwrap();
        String::from_utf8(succeeded(&output).stdout.clone()).unwrap()
    }
}

fn succeeded(output: &Output) -> &Output {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

fn essential() -> Deb {
    Deb::new("base", "1").architecture("all").essential()
}

fn archive(suite: &str) -> Archive {
    Archive::new().suite(suite).sign_with(&Key::ed25519())
}

fn definition(archives: &[&ServedArchive], options: &[&str]) -> String {
    let line = |(place, archive): (usize, &&ServedArchive)| {
        format!("{:?},", archive.line(&format!("signed-by=k{place} {}", options[place])))
    };
    let lines: String = archives.iter().enumerate().map(line).collect();
    let keys: String = (0..archives.len())
        .map(|place| format!("key \"k{place}\" {{ path = \"k{place}.asc\" }}\n"))
        .collect();
    format!("image \"x/y\" {{\n apt {{\n repositories = [{lines}]\n {keys} package \"tool\" {{}}\n }}\n}}\n")
}

fn site(archives: &[&ServedArchive], options: &[&str]) -> Site {
    let site = Site::new(&definition(archives, options));
    for (place, archive) in archives.iter().enumerate() {
        site.write(&format!("k{place}.asc"), &archive.key());
    }
    site
}

fn versions(lock: &Value, name: &str) -> Vec<String> {
    let packages = lock["platforms"][0]["packages"].as_array().unwrap();
    let named = packages.iter().filter(|package| package["name"] == name);
    named.map(|package| package["version"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn backports_are_there_for_those_who_ask_for_them() {
    let tool = |version: &str| Deb::new("tool", version).architecture("all");
    let stable = archive("stable").add(essential()).add(tool("1")).serve();
    let backports = archive("stable-backports")
        .release_field("NotAutomatic", "yes")
        .release_field("ButAutomaticUpgrades", "yes")
        .add(tool("2"))
        .serve();
    let site = site(&[&stable, &backports], &["", ""]);
    assert_eq!(versions(&site.lock(), "tool"), ["1"]);
    let asked =
        definition(&[&stable, &backports], &["", ""]).replace("\"tool\" {}", "\"tool\" { version = \"2\" }");
    site.write("estaleiro.hcl", &asked);
    assert_eq!(versions(&site.lock(), "tool"), ["2"]);
    let pinned = asked.replace("version = \"2\"", "pin = \"release a=stable-backports\"");
    site.write("estaleiro.hcl", &pinned);
    assert_eq!(versions(&site.lock(), "tool"), ["2"]);
    let preferences =
        "preferences = <<EOT\nPackage: tool\nPin: release a=*-backports\nPin-Priority: 600\nEOT\n";
    let preferred = asked.replace(" { version = \"2\" }", &format!(" {{}}\n {preferences}"));
    site.write("estaleiro.hcl", &preferred);
    assert_eq!(versions(&site.lock(), "tool"), ["2"]);
}

#[test]
fn recommended_packages_come_along_when_asked_for() {
    let package = |name: &str| Deb::new(name, "1").architecture("all");
    let tool = package("tool").field("Recommends", "extra, gone");
    let stable = archive("stable").add(essential()).add(tool).add(package("extra")).serve();
    let site = site(&[&stable], &[""]);
    assert_eq!(versions(&site.lock(), "extra").len(), 0);
    let asked = definition(&[&stable], &[""]).replace("package", "recommends = true\n package");
    site.write("estaleiro.hcl", &asked);
    assert_eq!(versions(&site.lock(), "extra"), ["1"]);
}

#[test]
fn a_lock_does_not_fit_a_definition_that_prefers_other_versions() {
    let stable = archive("stable").add(essential()).add(Deb::new("tool", "1").architecture("all")).serve();
    let site = site(&[&stable], &[""]);
    succeeded(&site.run("lock", &[], &[]));
    let layout = format!("oci:{}", site.path("out").display());
    for changed in ["package \"tool\" { pin = \"version 1\" }", "recommends = true\n package \"tool\" {}"] {
        let other = definition(&[&stable], &[""]).replace("package \"tool\" {}", changed);
        site.write("estaleiro.hcl", &other);
        let output = site.run("build", &["--output", &layout], &[]);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && stderr.contains("cannot use lock: "), "{stderr}");
    }
}

#[test]
fn a_repository_for_another_architecture_is_left_alone() {
    let tool = |version: &str| Deb::new("tool", version).architecture("all");
    let ours = archive("stable").add(essential()).add(tool("1")).serve();
    let other = archive("stable").add(tool("2")).serve();
    let site = site(&[&ours, &other], &["", "arch=s390x"]);
    assert_eq!(versions(&site.lock(), "tool"), ["1"]);
    assert_eq!(other.log().requests().len(), 0);
}

#[test]
fn a_lock_is_one_of_its_definition_and_of_no_other() {
    let stable = archive("stable").add(essential()).add(Deb::new("tool", "1").architecture("all")).serve();
    let site = site(&[&stable], &[""]);
    succeeded(&site.run("lock", &[], &[]));
    let other = fs::read_to_string(site.path("estaleiro.hcl"))
        .unwrap()
        .replace("package \"tool\" {}", "package \"base\" {}");
    site.write("estaleiro.hcl", &other);
    let output = site.run("build", &["--output", &format!("oci:{}", site.path("out").display())], &[]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && stderr.contains("estaleiro lock"), "{stderr}");
    assert!(stderr.contains("the definition has package base, the lock hasn't"), "{stderr}");
    assert!(stderr.contains("the lock has package tool, the definition hasn't"), "{stderr}");
}

/// Returns what a program said to stderr while it failed with `code`.
fn failed(output: &Output, code: i32) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    stderr
}

/// Returns an archive of `key`, whose packages depend on each other as their versions say, at this version.
fn of_version(key: &Key, version: &str) -> Archive {
    let package = |name: &str| Deb::new(name, version).architecture("all");
    let archive =
        archive_of(key).add(essential()).add(package("tool").depends(&format!("libtool (= {version})")));
    archive.add(package("libtool")).add(package("other"))
}

fn archive_of(key: &Key) -> Archive {
    Archive::new().suite("stable").sign_with(key)
}

/// Returns the archive that has both versions.
fn of_both_versions(key: &Key) -> Archive {
    let package = |name: &str, version: &str| Deb::new(name, version).architecture("all");
    let both = |archive: Archive, name: &str| archive.add(package(name, "1")).add(package(name, "2"));
    let tool = |version: &str| package("tool", version).depends(&format!("libtool (= {version})"));
    let archive = archive_of(key).date("Sun, 02 Jun 2024 00:00:00 UTC").add(essential());
    both(both(archive.add(tool("1")).add(tool("2")), "libtool"), "other")
}

/// Returns a site whose lock holds `tool` and `other` in version 1, and whose archive has version 2 as well by now.
fn a_site_with_an_old_lock() -> (ServedArchive, Site) {
    let key = Key::ed25519();
    let served = of_version(&key, "1").serve();
    let site = site(&[&served], &[""]);
    let both = definition(&[&served], &[""])
        .replace("package \"tool\" {}", "package \"tool\" {}\n package \"other\" {}");
    site.write("estaleiro.hcl", &both);
    succeeded(&site.run("lock", &[], &[]));
    served.publish(&of_both_versions(&key));
    (served, site)
}

impl Site {
    fn lock_beside(&self) -> Value {
        serde_json::from_slice(&fs::read(self.path("estaleiro.lock")).unwrap()).unwrap()
    }

    /// Runs `estaleiro lock` and returns what it printed.
    fn moves(&self, arguments: &[&str]) -> Vec<String> {
        let output = self.run("lock", arguments, &[]);
        let stdout = String::from_utf8(succeeded(&output).stdout.clone()).unwrap();
        stdout.lines().map(str::to_owned).collect()
    }
}

fn all_versions(lock: &Value) -> Vec<String> {
    let mut versions: Vec<String> = ["libtool", "other", "tool"]
        .iter()
        .flat_map(|name| versions(lock, name).into_iter().map(move |version| format!("{name} {version}")))
        .collect();
    versions.sort();
    versions
}

#[test]
fn a_lock_made_anew_tells_what_moved() {
    let (served, site) = a_site_with_an_old_lock();
    assert_eq!(
        site.moves(&[]),
        [
            "~ libtool: 1 → 2".to_owned(),
            "~ other: 1 → 2".to_owned(),
            "~ tool: 1 → 2".to_owned(),
            format!("~ suite {} stable: 2024-06-01T00:00:00Z → 2024-06-02T00:00:00Z", served.url()),
        ]
    );
    assert_eq!(all_versions(&site.lock_beside()), ["libtool 2", "other 2", "tool 2"]);
    assert!(site.moves(&[]).is_empty());
}

#[test]
fn an_update_moves_what_is_named_with_what_that_needs_and_nothing_else() {
    let (_served, site) = a_site_with_an_old_lock();
    let moves = site.moves(&["--update", "tool"]);
    assert_eq!(moves[..2], ["~ libtool: 1 → 2", "~ tool: 1 → 2"], "{moves:?}");
    assert_eq!(all_versions(&site.lock_beside()), ["libtool 2", "other 1", "tool 2"]);
    assert_eq!(site.moves(&["--update"])[0], "~ other: 1 → 2");
}

#[test]
fn an_update_of_what_no_lock_holds_is_refused() {
    let (_served, site) = a_site_with_an_old_lock();
    let stderr = failed(&site.run("lock", &["--update", "tool", "jo"], &[]), 2);
    assert!(stderr.contains("cannot update jo: the lock "), "{stderr}");
    fs::remove_file(site.path("estaleiro.lock")).unwrap();
    let stderr = failed(&site.run("lock", &["--update", "tool"], &[]), 2);
    assert!(stderr.contains("cannot update tool alone: there is no lock "), "{stderr}");
}

#[test]
fn a_check_writes_nothing_and_fails_if_something_would_move() {
    let (_served, site) = a_site_with_an_old_lock();
    let before = fs::read(site.path("estaleiro.lock")).unwrap();
    let stderr = failed(&site.run("lock", &["--check"], &[]), 1);
    assert!(stderr.contains("\n~ tool: 1 → 2\n"), "{stderr}");
    assert_eq!(fs::read(site.path("estaleiro.lock")).unwrap(), before);
    site.moves(&[]);
    succeeded(&site.run("lock", &["--check"], &[]));
}

#[test]
fn a_newer_release_file_alone_leaves_the_lock_as_it_is() {
    let key = Key::ed25519();
    let served = of_version(&key, "1").serve();
    let site = site(&[&served], &[""]);
    site.moves(&[]);
    let before = fs::read(site.path("estaleiro.lock")).unwrap();
    served.publish(&of_version(&key, "1").date("Sun, 02 Jun 2024 00:00:00 UTC"));
    assert!(site.moves(&[]).is_empty());
    assert_eq!(fs::read(site.path("estaleiro.lock")).unwrap(), before);
}

#[test]
fn a_locked_build_needs_no_network_when_all_is_in_the_store() {
    let (served, registry, site) = a_tool_on_a_base("");
    site.moves(&[]);
    let digest = site.build("out", &[]);
    // All that was built is forgotten; what was fetched is there.
    fs::remove_dir_all(site.path("state/records/vertex-2")).unwrap();

    served.log().clear();
    registry.log().clear();
    let output = format!("oci:{}", site.path("again").display());
    let again = Command::new("unshare")
        .args(["--net", env!("CARGO_BIN_EXE_estaleiro"), "build", "--locked"])
        .arg(site.directory.path())
        .args(["--platform", "linux/amd64", "--output", &output, "--state"])
        .arg(site.path("state"))
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&succeeded(&again).stdout), digest);
    assert!(String::from_utf8_lossy(&again.stderr).contains("install tool"));

    // Neither does it ask where there is a network.
    fs::remove_dir_all(site.path("again")).unwrap();
    assert_eq!(site.build("again", &[]), digest);
    assert_eq!(served.log().lines(), Vec::<String>::new());
    assert_eq!(registry.log().lines(), Vec::<String>::new());
}

/// Returns an archive of a package, a site that installs it on a base, and the registry that has this.
fn a_tool_on_a_base(apt: &str) -> (ServedArchive, TestRegistry, Site) {
    let served = archive("stable").add(Deb::new("tool", "1").file("/usr/bin/tool", 0o755, "tool")).serve();
    let registry = TestRegistry::start();
    a_base_that_unpacks("").put(&registry, "base", Some("1"));
    let site = site(&[&served], &[""]);
    let on_base = format!("image \"x/y\" {{\n base_image = \"{}\"\n", registry.name("base", "1"));
    let text = definition(&[&served], &[""]).replace("image \"x/y\" {\n", &on_base);
    site.write("estaleiro.hcl", &text.replace(" apt {\n", &format!(" apt {{\n{apt}\n")));
    (served, registry, site)
}

#[test]
fn only_a_build_unpacks_the_base() {
    let (_served, _registry, site) = a_tool_on_a_base("");
    let n_trees = || fs::read_dir(site.path("state/trees")).unwrap().count();
    site.lock();
    assert_eq!(n_trees(), 0);
    site.build("out", &[]);
    assert_eq!(n_trees(), 1);
}

#[test]
fn an_old_deb_that_is_gone_is_named_with_its_digest_and_the_ways_out() {
    let (served, _registry, site) = a_tool_on_a_base("");
    site.moves(&[]);
    let locked = site.lock_beside()["platforms"][0]["packages"][0].clone();
    served.publish(&archive("stable"));
    let output = site.run("build", &["--output", &format!("oci:{}", site.path("out").display())], &[]);
    let stderr = failed(&output, 1);
    for part in [
        "cannot fetch tool 1: ",
        locked["sha256"].as_str().unwrap(),
        &format!("{} does not exist", locked["uri"].as_str().unwrap()),
        "\nhint: archives drop old files: lock again, or name a mirror that keeps them",
    ] {
        assert!(stderr.contains(part), "{part:?} is not in {stderr}");
    }
}

#[test]
fn a_bundle_of_sources_comes_into_a_layout_beside_the_image() {
    let (served, _registry, site) = a_tool_on_a_base("sources = \"bundle\"");
    site.build("out", &[]);
    let json = |path: &str| -> Value { serde_json::from_slice(&fs::read(site.path(path)).unwrap()).unwrap() };
    let blob = |digest: &Value| format!("out/blobs/{}", digest.as_str().unwrap().replacen(':', "/", 1));
    let referrers = json("out/referrers.json");
    let of_sources = |entry: &&Value| entry["artifactType"] == "application/vnd.estaleiro.sources.v1";
    let bundle = referrers["manifests"].as_array().unwrap().iter().find(of_sources).unwrap();
    let manifest = json(&blob(&bundle["digest"]));
    let layers = manifest["layers"].as_array().unwrap();
    assert_eq!(layers.len(), 2);
    let dsc = fs::read(site.path(&blob(&layers[0]["digest"]))).unwrap();
    assert_eq!(dsc, served.file("pool/main/t/tool/tool_1.dsc").unwrap());
    assert_eq!(json("out/index.json")["manifests"].as_array().unwrap().len(), 1, "the image alone");
}

const SCRIPT: &str = "image \"x/y\" {\n file \"/bin/run\" {\n from_context { path = \"run\" }\n }\n}\n";

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn whether_a_file_is_executable_is_part_of_what_is_remembered() {
    let site = Site::new(SCRIPT);
    site.write("run", "#!/bin/sh\n");
    set_mode(&site.path("run"), 0o644);
    let plain = site.build("out", &[]);
    set_mode(&site.path("run"), 0o755);
    let executable = site.build("out", &[]);
    assert_ne!(plain, executable);
    assert!(site.bom("out").contains("mode: \"0755\""));
    let fresh = Site::new(SCRIPT);
    fresh.write("run", "#!/bin/sh\n");
    set_mode(&fresh.path("run"), 0o755);
    assert_eq!(fresh.build("out", &[]), executable, "what was built before makes no difference");
}

#[test]
fn the_time_of_one_build_does_not_leak_into_the_next() {
    let site = Site::new(SCRIPT);
    site.write("run", "#!/bin/sh\n");
    let dated = site.build("out", &[("SOURCE_DATE_EPOCH", "1000000")]);
    fs::remove_dir_all(site.path("state")).unwrap();
    let undated = site.build("out", &[]);
    assert_ne!(dated, undated);
    fs::remove_dir_all(site.path("state")).unwrap();
    assert_eq!(site.build("elsewhere", &[]), undated);
}

/// Returns an archive whose index is a large one, and whose Release file is so large that it can't come slowly.
fn large() -> Archive {
    let random: String = (0..40_000_u32).map(|n| Digest::of(n.to_le_bytes()).hex()).collect();
    let large = Deb::new("large", "1").field("X-Random", &random);
    archive("stable").release_field("X-Long", &"x".repeat(12 << 20)).add(large).add(Deb::new("tool", "1"))
}

#[test]
fn of_a_near_archive_the_index_comes_that_is_unpacked_soonest_and_nothing_else_differs() {
    let packages = "/dists/stable/main/binary-amd64/Packages";
    let near = large().wrong(Wrong::NoByHash).serve();
    let site = site(&[&near], &[""]);
    let locked = site.lock();
    let asked = |form: &str| near.log().count("GET", &format!("{packages}{form}")) > 0;
    assert!(asked(".gz") && !asked(".xz"), "{:?}", near.log().lines());
    // What was read is known, in whichever form it came.
    near.set(&format!("{packages}.gz")[1..], None);
    assert_eq!(site.lock(), locked);
    assert!(!asked(".xz"));
    fs::remove_dir_all(site.path("state")).unwrap();
    assert_eq!(site.lock(), locked);
    assert!(asked(".xz"), "what is listed and isn't there is done without");
}
