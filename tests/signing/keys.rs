//! Which keys are read, that others verify what they sign, and what is said of those that aren't.

use std::fs;

use estaleiro::redact::Secret;
use estaleiro::signing::{Envelope, InvalidKey, PublicKey, SigningKey, Statement};
use serde_json::{Value, json};

use crate::support::cosign::{KeyPair, pem};
use crate::support::run;

const PASSWORD: &str = "hunter2";

/// A key as `cosign generate-key-pair` keeps it, made by PyNaCl's `SecretBox` and Python's `hashlib.scrypt` with N=65536.
const OF_PYNACL: &str = "\
-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----
eyJrZGYiOnsibmFtZSI6InNjcnlwdCIsInBhcmFtcyI6eyJOIjo2NTUzNiwiciI6
OCwicCI6MX0sInNhbHQiOiJBQUVDQXdRRkJnY0lDUW9MREEwT0R4QVJFaE1VRlJZ
WEdCa2FHeHdkSGg4PSJ9LCJjaXBoZXIiOnsibmFtZSI6Im5hY2wvc2VjcmV0Ym94
Iiwibm9uY2UiOiJBQUVDQXdRRkJnY0lDUW9MREEwT0R4QVJFaE1VRlJZWCJ9LCJj
aXBoZXJ0ZXh0IjoibU1FTWp5OEdIY0ROZkhuZzFpNlJ0a3h1azZMRngySDlZaUFU
NUMrYm5sem5hTVp3a094b0N2Yys4NWQ0ek1ndCsraFUxZ1RIV1hwd3FnaFpCOFVk
YjVNVkg5aUlHZFNhZk1pUHc0ZVZXTkVYZGkvSzNMQmk0T2xYK29DNndCcm9xWG9q
SDcxTTVoWmRsemV4V1B1YXlHazRQNVFzelNVR1IzS1hBUXkwLzlrd0doUXlEQmF1
YXhBT0p2UkV3U2c0Wkh0V09Fb1l3NVJ0a2c9PSJ9
-----END ENCRYPTED SIGSTORE PRIVATE KEY-----
";
const OF_PYNACL_PUBLIC: &str = "\
-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEqDU9OJ0tarHqyttSrNU1JWqGfXvw
xqb51tCKRVXPIJL+sBHDUmR8NcGHkh1pTups7YgY7owJrVbajEs1PJg02Q==
-----END PUBLIC KEY-----
";

fn key(text: &str, password: &str) -> Result<SigningKey, InvalidKey> {
    SigningKey::parse(&Secret::new(text), &Secret::new(password))
}

#[test]
fn openssl_verifies_what_its_keys_sign_in_each_form_that_they_come_in() {
    let pair = KeyPair::new();
    let sec1 = run("openssl", &["ec", "-in", &pair.file("key")]);
    let with_parameters =
        format!("-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n{sec1}");
    let indented = pair.private().replace('\n', "\r\n  ");
    for text in [pair.private(), sec1, with_parameters, indented, pair.sealed(PASSWORD, 1024)] {
        let key = key(&text, PASSWORD).unwrap();
        let signature = key.sign(b"ahoy");
        pair.assert_signed(b"ahoy", &signature);
        assert!(!pair.is_signed(b"ahoi", &signature));
        assert_eq!(signature, key.sign(b"ahoy"), "a signature is always the same");
        let public = PublicKey::parse(&pair.public()).unwrap();
        assert_eq!(&public, key.public());
        assert!(public.verifies(b"ahoy", &signature) && !public.verifies(b"ahoi", &signature));
    }
}

#[test]
fn a_key_that_another_implementation_encrypted_is_read() {
    let key = key(OF_PYNACL, PASSWORD).unwrap();
    assert_eq!(key.public(), &PublicKey::parse(OF_PYNACL_PUBLIC).unwrap());
}

#[test]
fn what_openssl_signs_is_verified() {
    let pair = KeyPair::new();
    let public = PublicKey::parse(&pair.public()).unwrap();
    let (message, signature) = (pair.path().join("m"), pair.path().join("s"));
    let name = |path: &std::path::Path| path.display().to_string();
    for round in 0..8 {
        fs::write(&message, format!("ahoy {round}")).unwrap();
        let (key, out) = (pair.file("key"), name(&signature));
        run("openssl", &["dgst", "-sha256", "-sign", &key, "-out", &out, &name(&message)]);
        let signed = fs::read(&signature).unwrap();
        assert!(public.verifies(&fs::read(&message).unwrap(), &signed));
        assert!(!PublicKey::parse(&KeyPair::new().public()).unwrap().verifies(b"ahoy", &signed));
    }
    for broken in [&b""[..], b"ahoy", &[0x30; 70], &[0; 64]] {
        assert!(!public.verifies(b"ahoy", broken));
    }
}

#[test]
fn an_ed25519_key_signs_as_openssl_has_it() {
    let pair = KeyPair::of(&["-algorithm", "ED25519"]);
    let key = key(&pair.private(), "").unwrap();
    let signature = key.sign(b"ahoy");
    let (message, signed) = (pair.path().join("m"), pair.path().join("s"));
    fs::write(&message, b"ahoy").unwrap();
    fs::write(&signed, &signature).unwrap();
    let (message, signed) = (message.display().to_string(), signed.display().to_string());
    let public = pair.file("pub");
    run(
        "openssl",
        &["pkeyutl", "-verify", "-pubin", "-inkey", &public, "-rawin", "-in", &message, "-sigfile", &signed],
    );
    assert!(PublicKey::parse(&pair.public()).unwrap().verifies(b"ahoy", &signature));
    assert!(!PublicKey::parse(&pair.public()).unwrap().verifies(b"ahoi", &signature));
}

#[test]
fn a_nonce_comes_from_key_and_message() {
    // RFC 6979, A.2.5: the curve P-256, SHA-256, the message "sample".
    let secret = "c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721";
    let der = format!("30310201010420{secret}a00a06082a8648ce3d030107");
    let bytes: Vec<u8> =
        (0..der.len()).step_by(2).map(|at| u8::from_str_radix(&der[at..at + 2], 16).unwrap()).collect();
    let signature = key(&pem("EC PRIVATE KEY", &bytes), "").unwrap().sign(b"sample");
    let hex: String = signature.iter().map(|byte| format!("{byte:02x}")).collect();
    let r = "00efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716";
    let s = "00f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8";
    assert_eq!(hex, format!("30460221{r}0221{s}"));
}

#[test]
fn a_key_is_named_as_openssl_names_it() {
    for pair in [KeyPair::new(), KeyPair::of(&["-algorithm", "ED25519"])] {
        let der = pair.path().join("der");
        let out = der.display().to_string();
        run("openssl", &["pkey", "-pubin", "-in", &pair.file("pub"), "-outform", "DER", "-out", &out]);
        let digest = estaleiro::digest::Digest::of(fs::read(der).unwrap());
        assert_eq!(PublicKey::parse(&pair.public()).unwrap().fingerprint(), digest);
    }
}

/// Returns a sealed key in which something is written differently.
fn resealed(pair: &KeyPair, change: impl Fn(&mut Value)) -> String {
    let text = pair.sealed(PASSWORD, 1024);
    let packed: String = text.lines().filter(|line| !line.starts_with('-')).collect();
    let json = run("sh", &["-c", &format!("echo {packed} | base64 -d")]);
    let mut sealed: Value = serde_json::from_str(&json).unwrap();
    change(&mut sealed);
    pem("ENCRYPTED COSIGN PRIVATE KEY", sealed.to_string().as_bytes())
}

#[test]
fn what_is_no_key_that_signs_is_told_exactly_and_not_shown() {
    let pair = KeyPair::new();
    let private = pair.private();
    let rsa = KeyPair::of(&["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"]);
    let p384 = KeyPair::of(&["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"]);
    let rsa_pkcs1 = run("openssl", &["rsa", "-traditional", "-in", &rsa.file("key")]);
    let p384_sec1 = run("openssl", &["ec", "-in", &p384.file("key")]);
    let locked = run("openssl", &["pkcs8", "-topk8", "-passout", "pass:hunter2", "-in", &pair.file("key")]);
    let half: String = private.lines().take(2).map(|line| format!("{line}\n")).collect();
    let holey = private.replacen("M", "%", 1).replacen("BEGI%", "BEGIN", 1);
    let lines: Vec<&str> = private.lines().collect();
    let short = [&lines[..2], &lines[3..]].concat().join("\n");
    let costly = |n: u64, r: u64, p: u64| {
        resealed(&pair, |sealed| sealed["kdf"]["params"] = json!({"N": n, "r": r, "p": p}))
    };
    let cases = [
        ("no PEM", "hunter2".to_owned(), "it has no line `-----BEGIN"),
        ("empty", String::new(), "it has no line `-----BEGIN"),
        ("one half", half, "it was cut short"),
        ("no base64", holey, "is no base64"),
        ("a line less", short, "cannot be read: it is damaged"),
        ("another label", pem("OPENSSH PRIVATE KEY", b"x"), "it is of another kind"),
        ("public", pair.public(), "it is a public key, and only a private one signs"),
        ("RSA", rsa.private(), "it is a key for RSA: expected ECDSA on the curve P-256"),
        ("RSA, PKCS #1", rsa_pkcs1, "it is a key for RSA"),
        ("P-384", p384.private(), "it is a key for ECDSA on another curve"),
        ("P-384, SEC1", p384_sec1, "it is damaged, or on another curve"),
        ("encrypted by openssl", locked, "cosign import-key-pair"),
        ("another password", pair.sealed("hunter3", 1024), "its password is another one"),
        ("too much memory", costly(1 << 40, 8, 1), "more memory or time than cosign ever does"),
        ("too much time", costly(1024, 8, 1000), "more memory or time than cosign ever does"),
        ("overflow", costly(u64::MAX, u64::from(u32::MAX), 1), "more memory or time than cosign ever does"),
        ("nothing to do", costly(0, 0, 0), "more memory or time than cosign ever does"),
        ("no power of two", costly(1000, 8, 1), "more memory or time than cosign ever does"),
        (
            "another cipher",
            resealed(&pair, |it| it["cipher"]["name"] = json!("rot13")),
            "another cipher than nacl",
        ),
        (
            "another function",
            resealed(&pair, |it| it["kdf"]["name"] = json!("md5")),
            "another function than scrypt",
        ),
        (
            "a short nonce",
            resealed(&pair, |it| it["cipher"]["nonce"] = json!("AAAA")),
            "its nonce cannot be read",
        ),
        ("no JSON", pem("ENCRYPTED SIGSTORE PRIVATE KEY", b"hunter2"), "its JSON cannot be read"),
        ("endless", "hunter2".repeat(10_000), "longer than 64 KiB"),
    ];
    for (what, text, expected) in cases {
        let error = key(&text, PASSWORD).expect_err(what).to_string();
        assert!(error.contains(expected), "{what}: {error}");
        assert!(!error.contains("hunter2"), "{what}: {error}");
    }
}

#[test]
fn what_is_no_public_key_is_told_exactly() {
    let pair = KeyPair::new();
    let rsa = KeyPair::of(&["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"]);
    for (text, expected) in [
        (pair.private(), "it is a private key, and the public one is enough"),
        (pair.sealed(PASSWORD, 1024), "it is a private key"),
        (rsa.public(), "it is a key for RSA"),
        (pem("CERTIFICATE", b"x"), "it is of another kind"),
        (pem("PUBLIC KEY", b"x"), "its SubjectPublicKeyInfo cannot be read"),
        (pair.public().replace("-----END", ""), "it was cut short"),
    ] {
        let error = PublicKey::parse(&text).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn a_key_does_not_show_itself() {
    let pair = KeyPair::new();
    let key = key(&pair.private(), "").unwrap();
    assert_eq!(format!("{key:?}"), format!("SigningKey({})", key.public().fingerprint()));
}

#[test]
fn an_envelope_opens_for_whoever_signed_it() {
    let pair = KeyPair::new();
    let key = key(&pair.private(), "").unwrap();
    let image = estaleiro::digest::Digest::of("image");
    let statement = Statement::new("app", &image, "https://slsa.dev/provenance/v1", &json!({"a": "é"}));
    let envelope = Envelope::seal(&statement.to_json(), &key);
    let others = [PublicKey::parse(&KeyPair::new().public()).unwrap()];
    assert_eq!(envelope.open(std::slice::from_ref(key.public())), Some(statement.clone()));
    assert_eq!(envelope.open(&others), None);
    assert_eq!(Envelope::parse(&envelope.to_json()), Some(envelope.clone()));
    assert!(statement.is_about(&image) && !statement.is_about(&estaleiro::digest::Digest::of("other")));
    // What openssl verifies is the text that DSSE's protocol has for it.
    let json: Value = serde_json::from_slice(&envelope.to_json()).unwrap();
    let decoded = |text: &Value| {
        let packed = text.as_str().unwrap();
        fs::write(pair.path().join("b64"), packed).unwrap();
        let name = pair.path().join("b64").display().to_string();
        std::process::Command::new("base64").args(["-d", &name]).output().unwrap().stdout
    };
    let (payload, kind) = (decoded(&json["payload"]), json["payloadType"].as_str().unwrap());
    let mut signed = format!("DSSEv1 {} {kind} {} ", kind.len(), payload.len()).into_bytes();
    signed.extend(&payload);
    pair.assert_signed(&signed, &decoded(&json["signatures"][0]["sig"]));
    assert_eq!(payload, statement.to_json());
}
