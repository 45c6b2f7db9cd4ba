//! Certificates, made packet by packet, and documents signed with them.

use base64::Engine as _;
use estaleiro::apt::keyring::Keyring;
use pgp::composed::KeyType;
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{
    KeyFlags, Notation, PacketTrait, PubKeyInner, PublicKey, PublicSubkey, SecretKey, SecretSubkey,
    Signature, SignatureConfig, SignatureType, Subpacket, SubpacketData, UserId,
};
use pgp::types::{Duration, KeyVersion, Password, SigningKey, Tag, Timestamp};
use rand::SeedableRng;
use rand::rngs::StdRng;

/// When keys are made; gpgv goes by the real clock, so nothing here may lie between `NOW` and today.
pub(crate) const BORN: u32 = 1_600_000_000;
pub(crate) const SIGNED: u32 = 1_650_000_000;
pub(crate) const NOW: i64 = 1_750_000_000;
pub(crate) const YET_TO_COME: u32 = 4_200_000_000;
pub(crate) const TEXT: &str = "Origin: Example\nSuite: stable\n- a line with a dash\n\n";

/// How a certificate is made.
#[derive(Clone)]
pub(crate) struct Recipe {
    pub(crate) version: KeyVersion,
    pub(crate) key_type: KeyType,
    pub(crate) born: u32,
    pub(crate) hash: HashAlgorithm,
    pub(crate) may_sign: bool,
    pub(crate) lifetime: Option<u32>,
    pub(crate) is_revoked: bool,
    pub(crate) user_is_certified: bool,
    pub(crate) subkey: Option<SubkeyRecipe>,
}

#[derive(Clone)]
pub(crate) struct SubkeyRecipe {
    pub(crate) hash: HashAlgorithm,
    pub(crate) may_sign: bool,
    pub(crate) lifetime: Option<u32>,
    pub(crate) is_revoked: bool,
    pub(crate) has_back_signature: bool,
    pub(crate) is_bound: bool,
}

pub(crate) fn plain() -> Recipe {
    Recipe {
        version: KeyVersion::V4,
        key_type: KeyType::Ed25519Legacy,
        born: BORN,
        hash: HashAlgorithm::Sha512,
        may_sign: true,
        lifetime: None,
        is_revoked: false,
        user_is_certified: true,
        subkey: None,
    }
}

pub(crate) fn with_subkey(change: impl Fn(&mut SubkeyRecipe)) -> Recipe {
    let mut subkey = SubkeyRecipe {
        hash: HashAlgorithm::Sha512,
        may_sign: true,
        lifetime: None,
        is_revoked: false,
        has_back_signature: true,
        is_bound: true,
    };
    change(&mut subkey);
    Recipe { may_sign: false, subkey: Some(subkey), ..plain() }
}

/// A certificate, and the secret to sign with.
pub(crate) struct Maker {
    pub(crate) certificate: Vec<u8>,
    pub(crate) primary: SecretKey,
    pub(crate) subkey: Option<SecretSubkey>,
}

pub(crate) fn write(certificate: &mut Vec<u8>, packet: &impl PacketTrait) {
    packet.to_writer_with_header(certificate).unwrap();
}

pub(crate) fn seconds(n: u32) -> Duration {
    Duration::from_secs(n)
}

/// A signature in the making, by `issuer`, with `more` said in it.
pub(crate) fn config(
    issuer: &impl SigningKey,
    typ: SignatureType,
    hash: HashAlgorithm,
    created: u32,
    more: Vec<SubpacketData>,
) -> SignatureConfig {
    let mut config = match issuer.version() {
        KeyVersion::V6 => {
            SignatureConfig::v6(StdRng::seed_from_u64(9), typ, issuer.algorithm(), hash).unwrap()
        }
        _ => SignatureConfig::v4(typ, issuer.algorithm(), hash),
    };
    let mut hashed = vec![
        SubpacketData::SignatureCreationTime(Timestamp::from_secs(created)),
        SubpacketData::IssuerFingerprint(issuer.fingerprint()),
    ];
    hashed.extend(more);
    config.hashed_subpackets = hashed.into_iter().map(|data| Subpacket::regular(data).unwrap()).collect();
    if issuer.version() == KeyVersion::V4 {
        let key_id = SubpacketData::IssuerKeyId(issuer.legacy_key_id());
        config.unhashed_subpackets = vec![Subpacket::regular(key_id).unwrap()];
    }
    config
}

pub(crate) fn flags(may_sign: bool) -> SubpacketData {
    let mut flags = KeyFlags::default();
    flags.set_certify(true);
    flags.set_sign(may_sign);
    SubpacketData::KeyFlags(flags)
}

pub(crate) fn said(may_sign: bool, lifetime: Option<u32>) -> Vec<SubpacketData> {
    std::iter::once(flags(may_sign))
        .chain(lifetime.map(|n| SubpacketData::KeyExpirationTime(seconds(n))))
        .collect()
}

impl Maker {
    pub(crate) fn new(seed: u64, recipe: &Recipe) -> Maker {
        let mut rng = StdRng::seed_from_u64(seed);
        let (public, secret) = recipe.key_type.generate(&mut rng).unwrap();
        let born = Timestamp::from_secs(recipe.born);
        let inner = PubKeyInner::new(recipe.version, recipe.key_type.to_alg(), born, None, public).unwrap();
        let public = PublicKey::from_inner(inner).unwrap();
        let primary = SecretKey::new(public.clone(), secret).unwrap();
        let mut maker = Maker { certificate: Vec::new(), primary, subkey: None };
        write(&mut maker.certificate, &public);
        maker.sign_oneself(recipe, &public);
        if let Some(subkey) = &recipe.subkey {
            maker.add_subkey(rng, recipe, subkey, &public);
        }
        maker
    }

    pub(crate) fn sign_oneself(&mut self, recipe: &Recipe, public: &PublicKey) {
        let password = Password::empty();
        if recipe.is_revoked {
            let revocation =
                config(&self.primary, SignatureType::KeyRevocation, recipe.hash, BORN, Vec::new());
            write(&mut self.certificate, &revocation.sign_key(&self.primary, &password, public).unwrap());
        }
        let said = said(recipe.may_sign, recipe.lifetime);
        if recipe.version == KeyVersion::V6 {
            let direct = config(&self.primary, SignatureType::Key, recipe.hash, recipe.born, said);
            write(&mut self.certificate, &direct.sign_key(&self.primary, &password, public).unwrap());
            return;
        }
        let id = UserId::from_str(Default::default(), "An Archive <archive@archive.example>").unwrap();
        write(&mut self.certificate, &id);
        if recipe.user_is_certified {
            let certification =
                config(&self.primary, SignatureType::CertPositive, recipe.hash, recipe.born, said);
            let certification =
                certification.sign_certification(&self.primary, public, &password, Tag::UserId, &id).unwrap();
            write(&mut self.certificate, &certification);
        }
    }

    pub(crate) fn add_subkey(
        &mut self,
        mut rng: StdRng,
        recipe: &Recipe,
        subkey: &SubkeyRecipe,
        primary: &PublicKey,
    ) {
        let password = Password::empty();
        let (public, secret) = recipe.key_type.generate(&mut rng).unwrap();
        let born = Timestamp::from_secs(recipe.born);
        let inner = PubKeyInner::new(recipe.version, recipe.key_type.to_alg(), born, None, public).unwrap();
        let public = PublicSubkey::from_inner(inner).unwrap();
        let secret = SecretSubkey::new(public.clone(), secret).unwrap();
        write(&mut self.certificate, &public);
        let mut said = said(subkey.may_sign, subkey.lifetime);
        if subkey.has_back_signature {
            let back = config(&secret, SignatureType::KeyBinding, subkey.hash, BORN, Vec::new());
            let back = back.sign_primary_key_binding(&secret, &public, &password, primary).unwrap();
            said.push(SubpacketData::EmbeddedSignature(Box::new(back)));
        }
        let mut bind = |typ, said| {
            let binding = config(&self.primary, typ, subkey.hash, BORN, said);
            let binding = binding.sign_subkey_binding(&self.primary, primary, &password, &public).unwrap();
            write(&mut self.certificate, &binding);
        };
        if subkey.is_bound {
            bind(SignatureType::SubkeyBinding, said);
        }
        if subkey.is_revoked {
            bind(SignatureType::SubkeyRevocation, Vec::new());
        }
        self.subkey = Some(secret);
    }

    pub(crate) fn keyring(&self) -> Keyring {
        Keyring::parse(&self.certificate).unwrap()
    }

    /// Signs with the subkey where there is one, as GnuPG does.
    pub(crate) fn sign(&self, how: &How) -> Signature {
        match &self.subkey {
            Some(subkey) => sign(subkey, how),
            None => sign(&self.primary, how),
        }
    }
}

/// How a document is signed.
#[derive(Clone)]
pub(crate) struct How {
    pub(crate) text: &'static str,
    pub(crate) typ: SignatureType,
    pub(crate) hash: HashAlgorithm,
    pub(crate) created: u32,
    pub(crate) lifetime: Option<u32>,
    pub(crate) is_odd: bool,
    pub(crate) is_anonymous: bool,
}

pub(crate) fn how() -> How {
    How {
        text: TEXT,
        typ: SignatureType::Text,
        hash: HashAlgorithm::Sha512,
        created: SIGNED,
        lifetime: None,
        is_odd: false,
        is_anonymous: false,
    }
}

pub(crate) fn sign(key: &impl SigningKey, how: &How) -> Signature {
    let lifetime = how.lifetime.map(|n| SubpacketData::SignatureExpirationTime(seconds(n)));
    let mut config = config(key, how.typ, how.hash, how.created, lifetime.into_iter().collect());
    if how.is_odd {
        let (name, value) = ("odd@archive.example".into(), "1".into());
        let odd = SubpacketData::Notation(Notation { readable: true, name, value });
        config.hashed_subpackets.push(Subpacket::critical(odd).unwrap());
    }
    if how.is_anonymous {
        config.hashed_subpackets.truncate(1);
        config.unhashed_subpackets.clear();
    }
    config.sign(key, &Password::empty(), canonical(how.text).as_bytes()).unwrap()
}

/// The line end before the signature is not signed.
pub(crate) fn canonical(text: &str) -> String {
    let lines: Vec<&str> = text.split('\n').map(|line| line.trim_end_matches([' ', '\t'])).collect();
    lines[..lines.len() - 1].join("\r\n")
}

pub(crate) fn armour(signatures: &[Signature]) -> String {
    let mut bytes = Vec::new();
    for signature in signatures {
        write(&mut bytes, signature);
    }
    let base64 = base64::engine::general_purpose::STANDARD.encode(bytes);
    let lines: String =
        base64.as_bytes().chunks(64).map(|l| format!("{}\n", str::from_utf8(l).unwrap())).collect();
    format!("-----BEGIN PGP SIGNATURE-----\n\n{lines}-----END PGP SIGNATURE-----\n")
}

pub(crate) fn clear_signed(text: &str, hash: &str, signatures: &[Signature]) -> String {
    let escape = |line: &str| if line.starts_with('-') { format!("- {line}") } else { line.to_owned() };
    let text: String = text.split_inclusive('\n').map(escape).collect();
    format!("-----BEGIN PGP SIGNED MESSAGE-----\nHash: {hash}\n\n{text}{}", armour(signatures))
}
