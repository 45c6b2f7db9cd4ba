//! What a lock decides, and what an image may depend on: stories against archives made in code.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops")]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use support::{Archive, Deb, Key, ServedArchive};

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
    assert!(stderr.contains("base image, packages, repositories or keys have changed"), "{stderr}");
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
