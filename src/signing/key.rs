//! Private keys, and signing with them: the same bytes give the same signature.

use std::fmt;

use ed25519_dalek::Signer as _;
use p256::pkcs8::{DecodePrivateKey as _, ObjectIdentifier, PrivateKeyInfo};

use super::public::{Algorithm, Verifying};
use super::{InvalidKey, PublicKey, pem, sealed};
use crate::redact::Secret;

/// A private key. It is not shown.
#[derive(Clone)]
pub struct SigningKey {
    private: Private,
    public: PublicKey,
}

#[derive(Clone)]
enum Private {
    /// ECDSA on the curve P-256, with SHA-256.
    P256(p256::ecdsa::SigningKey),
    Ed25519(Box<ed25519_dalek::SigningKey>),
}

impl SigningKey {
    /// Reads a private key from PEM: cosign's own, which is encrypted with a password, PKCS #8 or SEC1.
    ///
    /// # Errors
    /// When it is none, is of another algorithm, or the password is another one.
    pub fn parse(text: &Secret, password: &Secret) -> Result<SigningKey, InvalidKey> {
        let block = pem::read(text.expose())?;
        let private = match block.label {
            "PRIVATE KEY" => pkcs8(&block.content),
            "EC PRIVATE KEY" => sec1(&block.content),
            "ENCRYPTED SIGSTORE PRIVATE KEY" | "ENCRYPTED COSIGN PRIVATE KEY" => {
                pkcs8(&sealed::open(&block.content, password)?)
            }
            "ENCRYPTED PRIVATE KEY" => Err(InvalidKey::Pkcs8Encrypted),
            "RSA PRIVATE KEY" => Err(InvalidKey::Algorithm("RSA")),
            "PUBLIC KEY" => Err(InvalidKey::IsPublic),
            _ => Err(InvalidKey::Kind),
        }?;
        let public = PublicKey::new(match &private {
            Private::P256(key) => Verifying::P256(*key.verifying_key()),
            Private::Ed25519(key) => Verifying::Ed25519(key.verifying_key()),
        });
        Ok(SigningKey { private, public })
    }

    /// Returns the key that verifies what this one signs.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Signs; of ECDSA the signature is in DER, and its nonce comes from key and message (RFC 6979).
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        match &self.private {
            Private::P256(key) => {
                let signature: p256::ecdsa::Signature = key.sign(message);
                signature.to_der().as_bytes().to_vec()
            }
            Private::Ed25519(key) => key.sign(message).to_vec(),
        }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.public.fingerprint())
    }
}

fn pkcs8(der: &[u8]) -> Result<Private, InvalidKey> {
    let damaged = InvalidKey::Damaged("PKCS #8");
    let info = PrivateKeyInfo::try_from(der).map_err(|_| damaged)?;
    let curve: Option<ObjectIdentifier> = info.algorithm.parameters_oid().ok();
    match Algorithm::of(&info.algorithm.oid, curve)? {
        Algorithm::P256 => {
            let key = p256::SecretKey::from_pkcs8_der(der).map_err(|_| damaged)?;
            Ok(Private::P256(key.into()))
        }
        Algorithm::Ed25519 => {
            let key = ed25519_dalek::SigningKey::from_pkcs8_der(der).map_err(|_| damaged)?;
            Ok(Private::Ed25519(Box::new(key)))
        }
    }
}

fn sec1(der: &[u8]) -> Result<Private, InvalidKey> {
    let key = p256::SecretKey::from_sec1_der(der).map_err(|_| InvalidKey::Sec1)?;
    Ok(Private::P256(key.into()))
}
