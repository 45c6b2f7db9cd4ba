//! Public keys, and verifying with them.

use std::fmt;

use p256::ecdsa::signature::Verifier as _;
use p256::pkcs8::{DecodePublicKey as _, EncodePublicKey as _, ObjectIdentifier, SubjectPublicKeyInfoRef};

use super::{InvalidKey, pem};
use crate::digest::Digest;

// Names of algorithms and curves: RFC 5480, RFC 8017, RFC 8410.
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// A public key.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey(Verifying);

#[derive(Clone, PartialEq, Eq)]
pub(super) enum Verifying {
    P256(p256::ecdsa::VerifyingKey),
    Ed25519(ed25519_dalek::VerifyingKey),
}

/// The algorithms that are understood.
pub(super) enum Algorithm {
    P256,
    Ed25519,
}

impl PublicKey {
    pub(super) fn new(key: Verifying) -> PublicKey {
        PublicKey(key)
    }

    /// Reads a public key from PEM.
    ///
    /// # Errors
    /// When it is none, is a private one, or is of another algorithm.
    pub fn parse(text: &str) -> Result<PublicKey, InvalidKey> {
        let block = pem::read(text)?;
        match block.label {
            "PUBLIC KEY" => spki(&block.content).map(PublicKey),
            "RSA PUBLIC KEY" => Err(InvalidKey::Algorithm("RSA")),
            label if label.ends_with("PRIVATE KEY") => Err(InvalidKey::IsPrivate),
            _ => Err(InvalidKey::Kind),
        }
    }

    /// Whether this key's private one signed `message`.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match &self.0 {
            Verifying::P256(key) => p256::ecdsa::Signature::from_der(signature)
                .is_ok_and(|signature| key.verify(message, &signature).is_ok()),
            Verifying::Ed25519(key) => ed25519_dalek::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify_strict(message, &signature).is_ok()),
        }
    }

    /// Returns what names it: the digest of its DER, as `openssl pkey -pubin -outform DER | sha256sum` tells it.
    pub fn fingerprint(&self) -> Digest {
        let der = match &self.0 {
            Verifying::P256(key) => key.to_public_key_der(),
            Verifying::Ed25519(key) => key.to_public_key_der(),
        };
        Digest::of(der.expect("a key has a DER form").as_bytes())
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.fingerprint())
    }
}

impl Algorithm {
    /// Returns the algorithm that goes by this name, with this curve.
    pub(super) fn of(
        name: &ObjectIdentifier,
        curve: Option<ObjectIdentifier>,
    ) -> Result<Algorithm, InvalidKey> {
        match *name {
            EC if curve == Some(P256) => Ok(Algorithm::P256),
            EC => Err(InvalidKey::Algorithm("ECDSA on another curve")),
            ED25519 => Ok(Algorithm::Ed25519),
            RSA => Err(InvalidKey::Algorithm("RSA")),
            _ => Err(InvalidKey::Algorithm("another algorithm")),
        }
    }
}

fn spki(der: &[u8]) -> Result<Verifying, InvalidKey> {
    let damaged = InvalidKey::Damaged("SubjectPublicKeyInfo");
    let info = SubjectPublicKeyInfoRef::try_from(der).map_err(|_| damaged)?;
    match Algorithm::of(&info.algorithm.oid, info.algorithm.parameters_oid().ok())? {
        Algorithm::P256 => p256::ecdsa::VerifyingKey::from_public_key_der(der).map(Verifying::P256),
        Algorithm::Ed25519 => ed25519_dalek::VerifyingKey::from_public_key_der(der).map(Verifying::Ed25519),
    }
    .map_err(|_| damaged)
}
