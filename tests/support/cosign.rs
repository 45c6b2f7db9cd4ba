//! Keys as cosign's users have them, made by openssl; and a key in cosign's own container.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crypto_secretbox::aead::Aead as _;
use crypto_secretbox::{KeyInit as _, Nonce, XSalsa20Poly1305};
use serde_json::json;

use super::run;

/// What `openssl genpkey` is told for the key that cosign makes, too.
pub const P256: [&str; 4] = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"];

/// A private key with its public one, in files.
pub struct KeyPair {
    directory: tempfile::TempDir,
}

impl KeyPair {
    /// Makes one as cosign does.
    pub fn new() -> KeyPair {
        KeyPair::of(&P256)
    }

    /// Makes one that `openssl genpkey` makes of these words.
    pub fn of(words: &[&str]) -> KeyPair {
        let pair = KeyPair { directory: tempfile::tempdir().unwrap() };
        run("openssl", &[&["genpkey"], words, &["-out", &pair.file("key")]].concat());
        run("openssl", &["pkey", "-in", &pair.file("key"), "-pubout", "-out", &pair.file("pub")]);
        pair
    }

    /// Returns the private key, PEM.
    pub fn private(&self) -> String {
        fs::read_to_string(self.file("key")).unwrap()
    }

    /// Returns the public key, PEM.
    pub fn public(&self) -> String {
        fs::read_to_string(self.file("pub")).unwrap()
    }

    /// Returns the name of its file `key` or `pub`.
    pub fn file(&self, name: &str) -> String {
        self.path().join(name).display().to_string()
    }

    /// Returns the directory of its files.
    pub fn path(&self) -> PathBuf {
        self.directory.path().to_owned()
    }

    /// Returns the private key as `cosign generate-key-pair` keeps it, with scrypt's N.
    pub fn sealed(&self, password: &str, n: u32) -> String {
        let der = self.path().join("der");
        let name = der.display().to_string();
        run(
            "openssl",
            &["pkcs8", "-topk8", "-nocrypt", "-in", &self.file("key"), "-outform", "DER", "-out", &name],
        );
        seal(&fs::read(der).unwrap(), password, n)
    }

    /// Asserts that openssl finds the signature to be this key's.
    pub fn assert_signed(&self, message: &[u8], signature: &[u8]) {
        assert!(self.is_signed(message, signature), "openssl refuses the signature");
    }

    /// Whether openssl finds the signature to be this key's.
    pub fn is_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        let (said, signed) = (self.path().join("message"), self.path().join("signature"));
        fs::write(&said, message).unwrap();
        fs::write(&signed, signature).unwrap();
        let name = |path: &Path| path.display().to_string();
        let status = std::process::Command::new("openssl")
            .args([
                "dgst",
                "-sha256",
                "-verify",
                &self.file("pub"),
                "-signature",
                &name(&signed),
                &name(&said),
            ])
            .output();
        status.unwrap().status.success()
    }
}

/// Encrypts a key as cosign does, with salt and nonce that are always the same.
fn seal(der: &[u8], password: &str, n: u32) -> String {
    let (salt, nonce) = ([7; 32], [9; 24]);
    let log_n = u8::try_from(n.ilog2()).unwrap();
    let mut key = [0; 32];
    let params = scrypt::Params::new(log_n, 8, 1, 32).unwrap();
    scrypt::scrypt(password.as_bytes(), &salt, &params, &mut key).unwrap();
    let encrypted = XSalsa20Poly1305::new(&key.into()).encrypt(&Nonce::from(nonce), der).unwrap();
    let sealed = json!({
        "kdf": {"name": "scrypt", "params": {"N": n, "r": 8, "p": 1}, "salt": STANDARD.encode(salt)},
        "cipher": {"name": "nacl/secretbox", "nonce": STANDARD.encode(nonce)},
        "ciphertext": STANDARD.encode(encrypted),
    });
    pem("ENCRYPTED SIGSTORE PRIVATE KEY", sealed.to_string().as_bytes())
}

/// Returns bytes as PEM.
pub fn pem(label: &str, content: &[u8]) -> String {
    let text = STANDARD.encode(content);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}
