//! A certificate authority and a certificate of its, made anew by openssl.

use std::path::Path;
use std::process::Command;

/// Makes `ca.pem`, `ca-key.pem`, `cert.pem` and `cert-key.pem` in `directory`, for 127.0.0.1.
pub(crate) fn make(directory: &Path) {
    make_for(directory, "IP:127.0.0.1");
}

/// Makes them for other names, as `DNS:registry.example,IP:127.0.0.1`.
pub(crate) fn make_for(directory: &Path, names: &str) {
    let names = format!("subjectAltName={names}");
    make_one(directory, "ca", &["-subj", "/CN=test"]);
    let (ca, key) = (directory.join("ca.pem"), directory.join("ca-key.pem"));
    let leaf = [
        "-CA",
        ca.to_str().expect("UTF-8"),
        "-CAkey",
        key.to_str().expect("UTF-8"),
        "-subj",
        "/CN=127.0.0.1",
    ];
    let extensions = ["-addext", &names, "-addext", "basicConstraints=critical,CA:FALSE"];
    make_one(directory, "cert", &[&leaf[..], &extensions[..]].concat());
}

fn make_one(directory: &Path, name: &str, arguments: &[&str]) {
    let path = |ending: &str| directory.join(format!("{name}{ending}"));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-keyout"])
        .arg(path("-key.pem"))
        .arg("-out")
        .arg(path(".pem"))
        .args(arguments)
        .output()
        .expect("openssl is installed (Debian package openssl)");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}
