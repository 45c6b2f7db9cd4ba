//! The archive: what it serves is what apt and gpgv read, and each way in which it can be wrong.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use super::support::archive::{Archive, ServedArchive, Wrong};
use super::support::deb::Deb;
use super::support::fault::Fault;
use super::support::key::Key;

fn archive() -> Archive {
    Archive::new()
        .suite("bookworm")
        .add(Deb::new("hello", "1.0").architecture("amd64").depends("libhello1").file(
            "/usr/bin/hello",
            0o755,
            "",
        ))
        .add(Deb::new("libhello1", "1.0").architecture("amd64").field("Source", "hello"))
        .component("contrib")
        .add(Deb::new("extra", "2:3.0").file("/usr/share/extra", 0o644, "x"))
}

fn gpgv(served: &ServedArchive, keyring: &[u8], files: &[&str]) -> Output {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    fs::write(path("key.gpg"), keyring).unwrap();
    let mut command = Command::new("gpgv");
    command.arg("--keyring").arg(path("key.gpg"));
    for file in files {
        let name = file.rsplit('/').next().unwrap();
        fs::write(path(name), served.file(file).unwrap()).unwrap();
        command.arg(path(name));
    }
    command.output().unwrap()
}

const IN_RELEASE: &str = "dists/bookworm/InRelease";

#[test]
fn gpgv_accepts_what_was_signed_and_refuses_what_was_changed() {
    for key in [Key::ed25519(), Key::rsa()] {
        let good = archive().sign_with(&key).serve();
        let verdict = gpgv(&good, &key.public_binary(), &[IN_RELEASE]);
        assert!(verdict.status.success(), "{verdict:?}");
        let detached = ["dists/bookworm/Release.gpg", "dists/bookworm/Release"];
        let verdict = gpgv(&good, &key.public_binary(), &detached);
        assert!(verdict.status.success(), "{verdict:?}");
        let stderr = String::from_utf8_lossy(&verdict.stderr).into_owned();
        assert!(stderr.replace(' ', "").contains(&key.fingerprint()), "{stderr}");

        let tampered = archive().sign_with(&key).wrong(Wrong::Tampered).serve();
        assert!(!gpgv(&tampered, &key.public_binary(), &[IN_RELEASE]).status.success());
        assert!(!gpgv(&tampered, &key.public_binary(), &detached).status.success());
        assert!(!gpgv(&good, &Key::ed25519().public_binary(), &[IN_RELEASE]).status.success());
    }
}

/// Runs the machine's own apt-get with directories of its own.
fn apt_get(root: &Path, arguments: &[&str]) -> (bool, String) {
    let mut command = Command::new("apt-get");
    for (name, directory) in [("State", "state"), ("Cache", "cache"), ("Etc", "etc")] {
        command.arg("-o").arg(format!("Dir::{name}={}/{directory}", root.display()));
    }
    let status = root.join("status");
    let output = command
        .args(["-o", &format!("Dir::State::status={}", status.display())])
        .args(["-o", "APT::Architecture=amd64", "-o", "APT::Architectures=amd64"])
        .args(["-o", "APT::Sandbox::User=root", "-o", "Acquire::Languages=none", "-o", "Acquire::Retries=0"])
        .args(["-o", "APT::Update::Error-Mode=any", "-o", "Acquire::Check-Valid-Until=true"])
        .args(["-o", "Acquire::Check-Date=true"])
        .args(arguments)
        .env("LC_ALL", "C.UTF-8")
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

fn apt_directories(served: &ServedArchive, key: &Key) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    for part in ["state/lists/partial", "cache/archives/partial", "etc/apt.conf.d", "etc/preferences.d"] {
        fs::create_dir_all(root.join(part)).unwrap();
    }
    fs::write(root.join("status"), "").unwrap();
    let keyring = root.join("key.asc");
    fs::write(&keyring, key.public_armored()).unwrap();
    let options = format!("signed-by={}", keyring.display());
    let line = served.line(&options);
    let sources = format!("{line}\n{}\n", line.replacen("deb ", "deb-src ", 1));
    fs::write(root.join("etc/sources.list"), sources).unwrap();
    directory
}

#[test]
fn apt_itself_updates_resolves_and_downloads() {
    let key = Key::ed25519();
    for served in [archive().sign_with(&key).serve(), archive().sign_with(&key).flat().serve()] {
        let directory = apt_directories(&served, &key);
        let (is_good, text) = apt_get(directory.path(), &["update"]);
        assert!(is_good, "{text}\n{:#?}", served.log().lines());
        let install = ["install", "-y", "--download-only", "--no-install-recommends", "hello", "extra"];
        let (is_good, text) = apt_get(directory.path(), &install);
        assert!(is_good, "{text}");
        for name in ["hello_1.0_amd64.deb", "libhello1_1.0_amd64.deb", "extra_2%3a3.0_all.deb"] {
            let path = directory.path().join("cache/archives").join(name);
            assert!(path.exists(), "{name}\n{text}");
        }
        let (is_good, text) = apt_get(directory.path(), &["source", "--print-uris", "hello=1.0"]);
        assert!(is_good && text.contains("hello_1.0.dsc") && text.contains("hello_1.0.tar.xz"), "{text}");
    }
}

#[test]
fn apt_fetches_by_hash_where_it_is_promised() {
    let key = Key::rsa();
    let served = archive().sign_with(&key).serve();
    let directory = apt_directories(&served, &key);
    assert!(apt_get(directory.path(), &["update"]).0);
    assert!(served.log().count("GET", "/by-hash/SHA256/") > 0, "{:#?}", served.log().lines());
    assert_eq!(served.log().count("GET", "Packages"), 0);
}

#[test]
fn apt_refuses_each_wrong_archive() {
    let key = Key::ed25519();
    let other = Key::ed25519();
    let wrongs = [
        Wrong::Unsigned,
        Wrong::Tampered,
        Wrong::TextBeforeSignedPart,
        Wrong::TextAfterSignature,
        Wrong::PackagesHash,
        Wrong::ValidUntilPassed,
    ];
    for wrong in wrongs {
        let served = archive().sign_with(&key).wrong(wrong.clone()).serve();
        let directory = apt_directories(&served, &key);
        let (is_good, text) = apt_get(directory.path(), &["update"]);
        assert!(!is_good, "{wrong:?}\n{text}");
    }
    let served = archive().sign_with(&other).serve();
    assert!(!apt_get(apt_directories(&served, &key).path(), &["update"]).0);
    let expired = Key::expired();
    let served = archive().sign_with(&expired).serve();
    let (is_good, text) = apt_get(apt_directories(&served, &expired).path(), &["update"]);
    assert!(!is_good && text.contains("EXPKEYSIG"), "{text}");
}

#[test]
fn apt_accepts_a_detached_signature_and_an_archive_without_by_hash() {
    let key = Key::ed25519();
    for wrong in [Wrong::NoInRelease, Wrong::NoByHash] {
        let served = archive().sign_with(&key).wrong(wrong).serve();
        let directory = apt_directories(&served, &key);
        let (is_good, text) = apt_get(directory.path(), &["update"]);
        assert!(is_good, "{text}");
    }
}

#[test]
fn pool_files_can_be_missing_or_other_ones_and_answers_can_fail() {
    let key = Key::ed25519();
    for wrong in [Wrong::MissingPoolFile("hello_1".into()), Wrong::PoolBytes("hello_1".into())] {
        let served = archive().sign_with(&key).wrong(wrong).serve();
        let directory = apt_directories(&served, &key);
        assert!(apt_get(directory.path(), &["update"]).0);
        let (is_good, text) = apt_get(directory.path(), &["install", "-y", "--download-only", "hello"]);
        assert!(!is_good, "{text}");
    }
    let served = archive().sign_with(&key).serve();
    served.faults().fail("GET", "InRelease", 1, Fault::Status(503));
    let directory = apt_directories(&served, &key);
    assert!(!apt_get(directory.path(), &["update"]).0);
    assert!(apt_get(directory.path(), &["update"]).0);
}
