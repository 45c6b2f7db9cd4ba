//! OpenPGP keys that live as long as the test, and what they sign.

use std::time::{Duration, SystemTime};

use pgp::composed::{
    ArmorOptions, CleartextSignedMessage, DetachedSignature, KeyType, SecretKeyParamsBuilder,
    SignedKeyDetails, SignedSecretKey,
};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{
    KeyFlags, PacketTrait, Signature, SignatureConfig, SignatureType, Subpacket, SubpacketData, UserId,
};
use pgp::types::{self, KeyDetails as _, KeyVersion, Password, Timestamp};

const DAY: u64 = 24 * 3600;

/// A secret key that certifies and signs.
#[derive(Clone)]
pub struct Key {
    secret: SignedSecretKey,
}

impl Key {
    /// Makes an Ed25519 key.
    pub fn ed25519() -> Key {
        Key::generate(KeyType::Ed25519Legacy, Timestamp::now())
    }

    /// Makes an RSA key of 2048 bits.
    pub fn rsa() -> Key {
        Key::generate(KeyType::Rsa(2048), Timestamp::now())
    }

    /// Makes an Ed25519 key that was made ten days ago and expired nine days ago.
    pub fn expired() -> Key {
        let ten_days_ago = SystemTime::now() - Duration::from_secs(10 * DAY);
        let key = Key::generate(KeyType::Ed25519Legacy, ten_days_ago.try_into().unwrap());
        let primary = key.secret.primary_key.clone();
        let mut flags = KeyFlags::default();
        flags.set_certify(true);
        flags.set_sign(true);
        let expiry = types::Duration::from_secs(u32::try_from(DAY).unwrap());
        let mut config =
            SignatureConfig::from_key(rand::thread_rng(), &primary, SignatureType::CertPositive).unwrap();
        config.hashed_subpackets = regular([
            SubpacketData::SignatureCreationTime(primary.created_at()),
            SubpacketData::IssuerFingerprint(primary.fingerprint()),
            SubpacketData::KeyFlags(flags),
            SubpacketData::KeyExpirationTime(expiry),
            SubpacketData::IsPrimary(true),
        ]);
        config.unhashed_subpackets = regular([SubpacketData::IssuerKeyId(primary.legacy_key_id())]);
        let id = UserId::from_str(types::PacketHeaderVersion::default(), USER_ID).unwrap();
        let public = primary.public_key().clone();
        let signature =
            config.sign_certification(&primary, &public, &Password::empty(), id.tag(), &id).unwrap();
        let details = SignedKeyDetails::new(vec![], vec![], vec![id.into_signed(signature)], vec![]);
        Key { secret: SignedSecretKey::new(primary, details, vec![], vec![]) }
    }

    fn generate(kind: KeyType, created_at: Timestamp) -> Key {
        let parameters = SecretKeyParamsBuilder::default()
            .version(KeyVersion::V4)
            .key_type(kind)
            .can_certify(true)
            .can_sign(true)
            .created_at(created_at)
            .primary_user_id(USER_ID.into())
            .build()
            .unwrap();
        Key { secret: parameters.generate(rand::thread_rng()).unwrap() }
    }

    /// Returns the fingerprint in upper-case hexadecimal digits.
    pub fn fingerprint(&self) -> String {
        self.secret.primary_key.fingerprint().to_string().to_uppercase()
    }

    /// Returns the public key, armoured.
    pub fn public_armored(&self) -> String {
        self.secret.to_public_key().to_armored_string(ArmorOptions::default()).unwrap()
    }

    /// Returns the public key in binary, as a `.gpg` key ring has it.
    pub fn public_binary(&self) -> Vec<u8> {
        use pgp::ser::Serialize as _;
        self.secret.to_public_key().to_bytes().unwrap()
    }

    /// Returns a detached signature of `bytes`, armoured, as `Release.gpg` is.
    pub fn sign_detached(&self, bytes: &[u8]) -> String {
        let key = &self.secret.primary_key;
        let rng = rand::thread_rng();
        let none = Password::empty();
        let signature = DetachedSignature::sign_binary_data(rng, key, &none, HashAlgorithm::Sha512, bytes);
        signature.unwrap().to_armored_string(ArmorOptions::default()).unwrap()
    }

    fn sign_text(&self, text: &str, hash: HashAlgorithm) -> Signature {
        let key = &self.secret.primary_key;
        let mut config = SignatureConfig::v4(SignatureType::Text, key.algorithm(), hash);
        config.hashed_subpackets = regular([
            SubpacketData::SignatureCreationTime(Timestamp::now()),
            SubpacketData::IssuerFingerprint(key.fingerprint()),
        ]);
        config.unhashed_subpackets = regular([SubpacketData::IssuerKeyId(key.legacy_key_id())]);
        config.sign(key, &Password::empty(), text.as_bytes()).unwrap()
    }
}

const USER_ID: &str = "An Archive <archive@archive.example>";

/// Returns `text` clear-signed by all of `keys`, as `InRelease` is.
pub fn clear_sign(text: &str, keys: &[Key]) -> String {
    clear_sign_with(text, keys, HashAlgorithm::Sha512)
}

/// Returns `text` clear-signed over a digest of this kind.
pub fn clear_sign_with(text: &str, keys: &[Key], hash: HashAlgorithm) -> String {
    // The line break before the signature belongs to the armour, not to the text.
    let text = text.strip_suffix('\n').unwrap_or(text);
    let signer = |normalised: &str| Ok(keys.iter().map(|key| key.sign_text(normalised, hash)).collect());
    let message = CleartextSignedMessage::new_many(text, signer).unwrap();
    message.to_armored_string(ArmorOptions::default()).unwrap()
}

fn regular<const N: usize>(data: [SubpacketData; N]) -> Vec<Subpacket> {
    data.map(|data| Subpacket::regular(data).unwrap()).into()
}
