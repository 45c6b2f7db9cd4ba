//! RSA signatures, computed by `ring` in a fifteenth of the time that the `pgp` crate needs.
//!
//! Which signature may be asked for at all, and the digest that was signed, stay the `pgp` crate's. `ring` wants the
//! message instead; its word counts only for one that has that very digest, and only if it is good: whatever else
//! there is, the `pgp` crate decides.

use pgp::crypto::hash::HashAlgorithm;
use pgp::crypto::public_key::PublicKeyAlgorithm;
use pgp::errors;
use pgp::packet::Signature;
use pgp::ser::Serialize;
use pgp::types::{
    self, KeyDetails, KeyId, KeyVersion, PublicParams, SignatureBytes, Timestamp, VerifyingKey,
};
use ring::digest::{self, digest};
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA512, RsaPublicKeyComponents};
use rsa::traits::PublicKeyParts;

use super::proofs::bytes;

/// A key that is asked whether it signed a message.
#[derive(Debug)]
pub(super) struct Asked<'k, K> {
    key: &'k K,
    message: Option<Vec<u8>>,
}

impl<'k, K: VerifyingKey> Asked<'k, K> {
    /// Asks `key` for a signature over data.
    pub(super) fn about(key: &'k K, signature: &Signature, data: &[u8]) -> Asked<'k, K> {
        let is_rsa = matches!(key.public_params(), PublicParams::RSA(_));
        let message = is_rsa.then(|| ending(signature)).flatten().map(|ending| [data, &ending].concat());
        Asked { key, message }
    }

    /// Whether `ring` finds that the key made the signature over what has the digest `hashed`.
    fn is_good(&self, hash: HashAlgorithm, hashed: &[u8], signature: &SignatureBytes) -> bool {
        let (PublicParams::RSA(rsa), Some(message)) = (self.key.public_params(), &self.message) else {
            return false;
        };
        let (digests, signatures) = match hash {
            HashAlgorithm::Sha256 => (&digest::SHA256, &RSA_PKCS1_2048_8192_SHA256),
            HashAlgorithm::Sha512 => (&digest::SHA512, &RSA_PKCS1_2048_8192_SHA512),
            _ => return false,
        };
        let key = RsaPublicKeyComponents { n: rsa.key.n().to_bytes_be(), e: rsa.key.e().to_bytes_be() };
        match signature {
            SignatureBytes::Mpis(numbers) if numbers.len() == 1 => {
                digest(digests, message).as_ref() == hashed
                    && key.verify(signatures, message, numbers[0].as_ref()).is_ok()
            }
            SignatureBytes::Mpis(_) | SignatureBytes::Native(_) => false,
        }
    }
}

/// Returns a key as it is signed: RFC 9580, section 5.2.4; of other versions than 4 it is another text.
pub(super) fn framed(key: &impl Serialize) -> Vec<u8> {
    let key = bytes(key).unwrap_or_default();
    let length = u16::try_from(key.len()).unwrap_or_default();
    [&[0x99], &length.to_be_bytes()[..], &key].concat()
}

/// Returns a user ID as it is signed, after the key: RFC 9580, section 5.2.4.
pub(super) fn framed_user(id: &[u8]) -> Vec<u8> {
    let length = u32::try_from(id.len()).unwrap_or_default();
    [&[0xb4], &length.to_be_bytes()[..], id].concat()
}

/// Returns what is signed after the data: what the signature says of itself, up to its hashed subpackets, and how long
/// that is (RFC 9580, section 5.2.4). Of other versions than 4 it is another text.
fn ending(signature: &Signature) -> Option<Vec<u8>> {
    let body = bytes(signature)?;
    let n_subpackets = u16::from_be_bytes(*body.get(4..)?.first_chunk()?);
    let said = body.get(..6 + usize::from(n_subpackets))?;
    let length = u32::try_from(said.len()).ok()?;
    Some([said, &[4, 0xff], &length.to_be_bytes()].concat())
}

impl<K: VerifyingKey> VerifyingKey for Asked<'_, K> {
    fn verify(&self, hash: HashAlgorithm, hashed: &[u8], signature: &SignatureBytes) -> errors::Result<()> {
        match self.is_good(hash, hashed, signature) {
            true => Ok(()),
            false => self.key.verify(hash, hashed, signature),
        }
    }
}

impl<K: Serialize> Serialize for Asked<'_, K> {
    fn to_writer<W: std::io::Write>(&self, writer: &mut W) -> errors::Result<()> {
        self.key.to_writer(writer)
    }

    fn write_len(&self) -> usize {
        self.key.write_len()
    }
}

impl<K: KeyDetails> KeyDetails for Asked<'_, K> {
    fn version(&self) -> KeyVersion {
        self.key.version()
    }

    fn legacy_key_id(&self) -> KeyId {
        self.key.legacy_key_id()
    }

    fn fingerprint(&self) -> types::Fingerprint {
        self.key.fingerprint()
    }

    fn algorithm(&self) -> PublicKeyAlgorithm {
        self.key.algorithm()
    }

    fn created_at(&self) -> Timestamp {
        self.key.created_at()
    }

    fn legacy_v3_expiration_days(&self) -> Option<u16> {
        self.key.legacy_v3_expiration_days()
    }

    fn public_params(&self) -> &PublicParams {
        self.key.public_params()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pgp::composed::KeyType;
    use pgp::packet::{PubKeyInner, PublicKey, SecretKey, SignatureConfig, SignatureType, UserId};
    use pgp::types::{Password, Tag};
    use rand::SeedableRng;

    fn key() -> SecretKey {
        let (public, secret) = KeyType::Rsa(2048).generate(rand::rngs::StdRng::seed_from_u64(1)).unwrap();
        let born = Timestamp::from_secs(1_600_000_000);
        let inner = PubKeyInner::new(KeyVersion::V4, PublicKeyAlgorithm::RSA, born, None, public).unwrap();
        SecretKey::new(PublicKey::from_inner(inner).unwrap(), secret).unwrap()
    }

    fn config(typ: SignatureType, hash: HashAlgorithm) -> SignatureConfig {
        SignatureConfig::v4(typ, PublicKeyAlgorithm::RSA, hash)
    }

    /// Whether `ring` alone finds it good.
    fn rings_word(asked: &Asked<'_, PublicKey>, signature: &Signature) -> bool {
        let (config, message) = (signature.config().unwrap(), asked.message.as_ref().unwrap());
        let hashed = config.hash_alg.digest(message).unwrap();
        asked.is_good(config.hash_alg, &hashed, signature.signature().unwrap())
    }

    #[test]
    fn ring_is_told_what_was_signed() {
        let (secret, nobody) = (key(), Password::empty());
        let public = secret.public_key();
        let user = UserId::from_str(Default::default(), "An Archive <archive@archive.example>").unwrap();
        for hash in [HashAlgorithm::Sha256, HashAlgorithm::Sha512] {
            let document = config(SignatureType::Binary, hash).sign(&secret, &nobody, &b"text"[..]).unwrap();
            let own = config(SignatureType::Key, hash).sign_key(&secret, &nobody, public).unwrap();
            let certification = config(SignatureType::CertPositive, hash);
            let certification =
                certification.sign_certification(&secret, public, &nobody, Tag::UserId, &user).unwrap();
            let certified = [framed(public), framed_user(user.id())].concat();
            for (signature, data) in
                [(&document, &b"text"[..]), (&own, &framed(public)), (&certification, &certified)]
            {
                assert!(rings_word(&Asked::about(public, signature, data), signature));
                assert!(!rings_word(&Asked::about(public, signature, b"another text"), signature));
            }
        }
    }

    #[test]
    fn its_word_is_about_no_other_digest() {
        let secret = key();
        let (public, hash) = (secret.public_key(), HashAlgorithm::Sha512);
        let signature =
            config(SignatureType::Binary, hash).sign(&secret, &Password::empty(), &b"text"[..]).unwrap();
        let asked = Asked::about(public, &signature, b"text");
        let other = hash.digest(b"another text").unwrap();
        assert!(!asked.is_good(hash, &other, signature.signature().unwrap()));
        assert!(asked.verify(hash, &other, signature.signature().unwrap()).is_err());
    }
}
