//! Keyrings, and what they say of a signed Release file.
//!
//! The policy is apt's: one good signature by a trusted key suffices, and what other signatures
//! lack does no harm, unless one by a trusted key is plainly false. A key counts while it is
//! bound, meant for signing, neither expired nor revoked; nothing that rests on MD5, SHA-1 or
//! RIPEMD counts. Packets and arithmetic are the `pgp` crate's; nothing here reads files or clocks.
//!
//! OpenPGP is described in <https://www.rfc-editor.org/rfc/rfc9580.html>.

mod certificate;
mod cleartext;
mod packets;
mod proofs;
mod rsa;
mod verify;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use proofs::Proofs;
pub use verify::{Finding, Signer, Verified, VerifyError, verify_detached, verify_inrelease};

use certificate::Certificate;

/// The fingerprint of a key: 20 bytes (version 4) or 32 (version 6), printed as upper-case hexadecimal digits.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(Vec<u8>);

/// Why a text is no fingerprint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot read fingerprint `{text}`: expected 40 (or 64) hexadecimal digits{hint}")]
pub struct InvalidFingerprint {
    text: String,
    hint: &'static str,
}

impl Fingerprint {
    fn of(key: &impl pgp::types::KeyDetails) -> Fingerprint {
        Fingerprint(key.fingerprint().as_bytes().to_vec())
    }
}

impl FromStr for Fingerprint {
    type Err = InvalidFingerprint;

    /// Takes what people write: spaces between the digits, `0x` before them, either case.
    fn from_str(text: &str) -> Result<Fingerprint, InvalidFingerprint> {
        let digits: String = text.chars().filter(|c| !c.is_ascii_whitespace()).take(100).collect();
        let digits = digits.strip_prefix("0x").unwrap_or(&digits);
        match (digits.len(), bytes(digits)) {
            (40 | 64, Some(bytes)) => Ok(Fingerprint(bytes)),
            (n_digits, _) => Err(InvalidFingerprint {
                text: text.chars().take(100).collect(),
                hint: if n_digits == 8 || n_digits == 16 {
                    "; a key ID is too short to pin a key"
                } else {
                    ""
                },
            }),
        }
    }
}

fn bytes(digits: &str) -> Option<Vec<u8>> {
    let nibbles: Option<Vec<u32>> = digits.chars().map(|digit| digit.to_digit(16)).collect();
    Some(
        nibbles?
            .chunks(2)
            .map(|pair| pair.iter().fold(0, |byte, nibble| byte << 4 | *nibble as u8))
            .collect(),
    )
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02X}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Fingerprint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Fingerprint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Fingerprint, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Why a keyring cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKeyring {
    /// The bytes are no keyring.
    #[error("cannot read the key: {reason}")]
    Malformed {
        /// What is wrong with them.
        reason: String,
    },
    /// A pinned key is not in it.
    #[error("cannot find the pinned key {pinned}: the keyring holds {}", list(found))]
    NotFound {
        /// The fingerprint that was asked for.
        pinned: Fingerprint,
        /// Those that are there.
        found: Vec<Fingerprint>,
    },
}

fn list(fingerprints: &[Fingerprint]) -> String {
    let texts: Vec<String> = fingerprints.iter().map(Fingerprint::to_string).collect();
    if texts.is_empty() { "no key".to_owned() } else { texts.join(", ") }
}

/// The certificates whose signatures count.
#[derive(Clone, Debug, Default)]
pub struct Keyring {
    /// One for each primary key.
    certificates: Vec<Certificate>,
    /// What need not be computed again.
    proofs: Proofs,
}

impl Keyring {
    /// Reads certificates, armoured or binary, as `/usr/share/keyrings` and web pages hold them.
    pub fn parse(bytes: &[u8]) -> Result<Keyring, InvalidKeyring> {
        let malformed = |reason| InvalidKeyring::Malformed { reason };
        let packets = packets::read(bytes, packets::Kind::Keys).map_err(malformed)?;
        let mut keyring = Keyring::default();
        for certificate in certificate::assemble(packets).map_err(malformed)? {
            keyring.add(certificate);
        }
        match keyring.is_empty() {
            true => Err(malformed("expected OpenPGP public keys, found none that we know".to_owned())),
            false => Ok(keyring),
        }
    }

    /// Adds the certificates of `other`. What either knows of a key, such as its revocation, counts.
    pub fn merge(&mut self, other: Keyring) {
        for certificate in other.certificates {
            self.add(certificate);
        }
    }

    /// Returns the same keys, for which what is proved need not be computed again.
    pub fn remembering(self, proofs: Proofs) -> Keyring {
        Keyring { proofs, ..self }
    }

    /// Keeps only what the pins name: a whole certificate by its primary key, or one subkey of it.
    pub fn restrict_to(&self, pins: &[Fingerprint]) -> Result<Keyring, InvalidKeyring> {
        let is_known = |pin: &&Fingerprint| self.certificates.iter().any(|known| known.holds(pin));
        if let Some(missing) = pins.iter().find(|pin| !is_known(pin)) {
            let found = self.fingerprints();
            return Err(InvalidKeyring::NotFound { pinned: missing.clone(), found });
        }
        let certificates = self.certificates.iter().filter_map(|known| known.restricted_to(pins)).collect();
        Ok(Keyring { certificates, proofs: self.proofs.clone() })
    }

    /// Keeps only the very key that the pin names: of a primary key, none of the subkeys.
    pub fn only(&self, pin: &Fingerprint) -> Keyring {
        let certificates = self.certificates.iter().filter_map(|known| known.with_only(pin)).collect();
        Keyring { certificates, proofs: self.proofs.clone() }
    }

    /// Returns the fingerprints of the primary keys, in order.
    pub fn fingerprints(&self) -> Vec<Fingerprint> {
        let mut fingerprints: Vec<_> = self.certificates.iter().map(Certificate::fingerprint).collect();
        fingerprints.sort();
        fingerprints
    }

    /// Returns the user IDs of the certificate with the primary key `fingerprint`.
    pub fn identities(&self, fingerprint: &Fingerprint) -> Vec<String> {
        let found = self.certificates.iter().find(|known| known.fingerprint() == *fingerprint);
        found.map(Certificate::identities).unwrap_or_default()
    }

    /// Whether there is no certificate in it.
    pub fn is_empty(&self) -> bool {
        self.certificates.is_empty()
    }

    fn add(&mut self, certificate: Certificate) {
        let fingerprint = certificate.fingerprint();
        match self.certificates.iter_mut().find(|known| known.fingerprint() == fingerprint) {
            Some(known) => known.absorb(certificate),
            None => self.certificates.push(certificate),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_read_as_people_write_it() {
        let expected = "4CB50190207B4758A3F73A796ED0E7B82643E131";
        for text in [
            expected,
            "4CB5 0190 207B 4758 A3F7  3A79 6ED0 E7B8 2643 E131",
            "0x4cb50190207b4758a3f73a796ed0e7b82643e131",
        ] {
            assert_eq!(text.parse::<Fingerprint>().unwrap().to_string(), expected);
        }
    }

    #[test]
    fn a_key_id_is_no_fingerprint() {
        let error = "6ED0E7B82643E131".parse::<Fingerprint>().unwrap_err().to_string();
        assert!(
            error.ends_with("expected 40 (or 64) hexadecimal digits; a key ID is too short to pin a key")
        );
        assert!("z".repeat(40).parse::<Fingerprint>().is_err());
    }

    #[test]
    fn what_is_no_keyring_is_refused() {
        let keybox = b"\0\0\0\x20\x01\x01\0\x02KBXf\0\0\0\0";
        for (bytes, expected) in [
            (&b""[..], "found none"),
            (b"<html>404</html>", "found none"),
            (keybox, "gpg --export"),
            (b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmQ", "no end"),
            (b"\x99\xff\xff", "breaks off"),
            (b"-----BEGIN PGP PRIVATE KEY BLOCK-----\n-----END PGP PRIVATE KEY BLOCK-----\n", "private"),
        ] {
            let error = Keyring::parse(bytes).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
