//! The definition, built from an archive that has the packages it takes files of.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::support::{Archive, Deb, Key, ServedArchive, run, tree};

/// Where certificates are in their package.
pub(crate) const CERTIFICATES: &str = "/usr/share/ca-certificates/mozilla";

/// The image of a program that says nothing, and the root that umoci makes of it.
pub(crate) struct Ship {
    directory: tempfile::TempDir,
    archive: ServedArchive,
    key: Key,
}

impl Ship {
    pub(crate) fn built() -> Ship {
        let key = Key::ed25519();
        let certificates = deb("ca-certificates")
            .file(&format!("{CERTIFICATES}/One.crt"), 0o644, "one")
            .file(&format!("{CERTIFICATES}/Főtanúsítvány.crt"), 0o644, "another");
        let archive = archive().add(certificates).sign_with(&key).serve();
        let ship = Ship { directory: tempfile::tempdir().unwrap(), archive, key };
        fs::create_dir(ship.path("context")).unwrap();
        fs::write(ship.path("context/estaleiro"), "the program").unwrap();
        ship.build();
        let image = format!("{}:latest", ship.path("image").display());
        run("umoci", &["unpack", "--image", &image, ship.path("bundle").to_str().unwrap()]);
        ship
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.path("bundle/rootfs")
    }

    /// In a mount namespace of its own this machine's keyring for Debian is that of the archive.
    fn build(&self) {
        let keyring = self.path("keyring.gpg");
        fs::write(&keyring, self.key.public_binary()).unwrap();
        let script =
            "mount --bind \"$0\" /usr/share/keyrings/debian-archive-keyring.gpg && exec env -i \"$@\"";
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", script]).arg(&keyring);
        command.args([env!("CARGO_BIN_EXE_estaleiro"), "build", env!("CARGO_MANIFEST_DIR"), "--context"]);
        command.arg(self.path("context")).arg("--state").arg(self.path("state"));
        command.args(["--output", &format!("oci:{}", self.path("image").display())]);
        command.args(["--var", &format!("debian={}", self.archive.url()), "--var", "commit=c0ffee"]);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn blob(&self, digest: &Value) -> Value {
        read(&self.path("image/blobs").join(digest.as_str().unwrap().replace(':', "/")))
    }

    fn account(&self) -> Value {
        let image = format!("oci:{}", self.path("image").display());
        serde_saphyr::from_str(&run(env!("CARGO_BIN_EXE_estaleiro"), &["bom", &image])).unwrap()
    }
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn deb(name: &str) -> Deb {
    Deb::new(name, "1").architecture("all")
}

/// All that the definition takes files of but the certificates.
pub(crate) fn archive() -> Archive {
    let keyring = "/usr/share/keyrings/debian-archive-keyring";
    Archive::new()
        .suite("trixie")
        .add(
            deb("debian-archive-keyring")
                .file(&format!("{keyring}.pgp"), 0o644, "Debian's keys")
                .symlink(&format!("{keyring}.gpg"), "debian-archive-keyring.pgp")
                .file("/usr/share/keyrings/debian-archive-removed-keys.pgp", 0o644, "old ones"),
        )
        .add(deb("ubuntu-keyring").file(
            "/usr/share/keyrings/ubuntu-archive-keyring.gpg",
            0o644,
            "Ubuntu's keys",
        ))
        .add(
            deb("base-passwd")
                .file("/usr/share/base-passwd/passwd.master", 0o644, "root:*:0:0:root:/root:/bin/bash\n")
                .file("/usr/share/base-passwd/group.master", 0o644, "root:*:0:\n"),
        )
        .add(deb("libc-bin").file("/usr/share/libc-bin/nsswitch.conf", 0o644, "hosts: files dns\n"))
        .add(deb("base-files").directory("/tmp", 0o1777).directory("/root", 0o700))
}

#[test]
fn it_holds_the_program_and_what_that_needs() {
    let ship = Ship::built();
    let found = tree::dump(&ship.root());
    let expected = "\
dir  0755 0:0 /etc
file 0644 0:0 10:DIGEST /etc/group
file 0644 0:0 17:DIGEST /etc/nsswitch.conf
file 0644 0:0 32:DIGEST /etc/passwd
dir  0755 0:0 /etc/ssl
dir  0755 0:0 /etc/ssl/certs
file 0644 0:0 7:DIGEST /etc/ssl/certs/Főtanúsítvány.crt
file 0644 0:0 3:DIGEST /etc/ssl/certs/One.crt
dir  0755 0:0 /opt
dir  0755 0:0 /opt/resource
link 0777 0:0 /opt/resource/check -> ../../usr/local/bin/estaleiro
link 0777 0:0 /opt/resource/in -> ../../usr/local/bin/estaleiro
link 0777 0:0 /opt/resource/out -> ../../usr/local/bin/estaleiro
dir  1777 0:0 /tmp
dir  0755 0:0 /usr
dir  0755 0:0 /usr/local
dir  0755 0:0 /usr/local/bin
link 0777 0:0 /usr/local/bin/build -> estaleiro
file 0755 0:0 11:DIGEST /usr/local/bin/estaleiro
dir  0755 0:0 /usr/share
dir  0755 0:0 /usr/share/keyrings
link 0777 0:0 /usr/share/keyrings/debian-archive-keyring.gpg -> debian-archive-keyring.pgp
file 0644 0:0 13:DIGEST /usr/share/keyrings/debian-archive-keyring.pgp
file 0644 0:0 13:DIGEST /usr/share/keyrings/ubuntu-archive-keyring.gpg";
    let digest = regex::Regex::new(r"(?m)^(file .*:)[0-9a-f]{12} ").unwrap();
    let (found, mut expected) = (digest.replace_all(&found, "${1}DIGEST "), sorted(expected));
    expected.sort();
    assert_eq!(sorted(&found), expected);
}

fn sorted(tree: &str) -> Vec<String> {
    let mut lines: Vec<String> = tree.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
fn it_is_the_command_line_to_others_than_concourse() {
    let ship = Ship::built();
    let index = read(&ship.path("image/index.json"));
    let manifest = ship.blob(&index["manifests"][0]["digest"]);
    let config = ship.blob(&manifest["config"]["digest"]);
    assert_eq!(config["config"]["Entrypoint"], json!(["/usr/local/bin/estaleiro"]));
    assert_eq!(
        config["config"]["Env"],
        json!(["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"])
    );
}

#[test]
fn its_account_names_the_commit_and_every_package_that_was_opened() {
    let account = Ship::built().account();
    let opened = account["opened_packages"].as_array().or(account["changeset"]["opened_packages"].as_array());
    let mut names: Vec<&str> =
        opened.unwrap().iter().map(|package| package["name"].as_str().unwrap()).collect();
    names.sort_unstable();
    // Of base-files there is no file, only a directory.
    let expected = ["base-passwd", "ca-certificates", "debian-archive-keyring", "libc-bin", "ubuntu-keyring"];
    assert_eq!(names, expected);
    let files = account["changeset"]["files"].as_array().unwrap();
    let program = files.iter().find(|file| file["path"] == "/usr/local/bin/estaleiro").unwrap();
    assert_eq!(program["source"]["git"]["ref"], "c0ffee", "{program}");
}
