//! Keys and signatures on the command line.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crate::pier::{APP, Yard};
use crate::support::cosign::KeyPair;

fn estaleiro(state: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_estaleiro"));
    command.args(words).env_clear().env("NO_COLOR", "1").env("ESTALEIRO_STATE", state);
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn said(output: &Output) -> String {
    text(&output.stderr)
}

#[test]
fn a_build_is_signed_and_verified_in_a_directory() {
    let (yard, state, pair) = (Yard::new(APP), tempfile::tempdir().unwrap(), KeyPair::new());
    fs::write(yard.path().join("cosign.key"), pair.sealed("hunter2", 1024)).unwrap();
    let name = |name: &str| yard.path().join(name).display().to_string();
    let image = format!("oci:{}", name("out"));
    let build = |password: &str| {
        estaleiro(state.path(), &["build", &name(""), "--output", &image, "--sign-key", &name("cosign.key")])
            .env("COSIGN_PASSWORD", password)
            .output()
            .unwrap()
    };
    let wrong = build("hunter3");
    assert_eq!(wrong.status.code(), Some(2), "{}", said(&wrong));
    let expected = format!("cannot use key {}: its password is another one", name("cosign.key"));
    assert!(said(&wrong).contains(&expected) && !said(&wrong).contains("hunter3"), "{}", said(&wrong));
    assert!(!yard.path().join("out").exists());

    let built = build("hunter2");
    assert!(built.status.success(), "{}", said(&built));
    let digest = text(&built.stdout);
    let verified = estaleiro(state.path(), &["verify", &image, "--key", &pair.file("pub")]).output().unwrap();
    assert!(verified.status.success(), "{}", said(&verified));
    let told = text(&verified.stdout);
    assert_eq!(told.lines().next(), Some(format!("image {}", digest.trim()).as_str()));
    assert!(told.contains("application/vnd.estaleiro.bom.v1+yaml sha256:"), "{told}");

    let other = KeyPair::new();
    let refused = estaleiro(state.path(), &["verify", &image, "--key", &other.file("pub")]).output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(said(&refused).contains("none is the key's") && refused.stdout.is_empty(), "{}", said(&refused));
    let private = estaleiro(state.path(), &["verify", &image, "--key", &pair.file("key")]).output().unwrap();
    assert_eq!(private.status.code(), Some(2));
    assert!(said(&private).contains("it is a private key"), "{}", said(&private));
    let gone = estaleiro(state.path(), &["verify", &image, "--key", &name("gone")]).output().unwrap();
    assert!(said(&gone).contains(&format!("cannot read key {}: ", name("gone"))), "{}", said(&gone));
}
