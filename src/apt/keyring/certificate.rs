//! Certificates: a primary key, what it says of itself, and its subkeys; and whether each may sign.

use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{
    KeyFlags, Packet, PublicKey, PublicSubkey, Signature, SignatureType, SubpacketData, UserId,
};
use pgp::ser::Serialize;
use pgp::types::{Duration, KeyDetails, KeyVersion, PublicParams, Tag};

use super::Fingerprint;
use super::packets::Item;
use super::proofs::{Proofs, bytes};
use super::rsa::{Asked, framed, framed_user};
use crate::apt::date;

/// How far our clock may lag behind the signer's.
const CLOCK_SKEW: i64 = 86_400;
const LEAST_RSA_BITS: u16 = 2048;

/// A primary key with all that is bound to it. Nothing of it has been verified yet.
#[derive(Clone, Debug)]
pub(super) struct Certificate {
    primary: PublicKey,
    /// Over the primary key itself: direct-key signatures and revocations.
    signatures: Vec<Signature>,
    users: Vec<(UserId, Vec<Signature>)>,
    subkeys: Vec<(PublicSubkey, Vec<Signature>)>,
    /// Where given, only these of its keys count.
    pins: Option<Vec<Fingerprint>>,
}

/// A key of a certificate that may have made a signature.
#[derive(Clone, Copy)]
pub(super) enum Candidate<'a> {
    Primary(&'a PublicKey),
    Subkey(&'a PublicSubkey, &'a [Signature]),
}

impl Candidate<'_> {
    /// Returns the key's fingerprint.
    pub(super) fn fingerprint(&self) -> Fingerprint {
        match self {
            Candidate::Primary(key) => Fingerprint::of(key),
            Candidate::Subkey(key, _) => Fingerprint::of(key),
        }
    }

    /// Returns when the key was made.
    pub(super) fn created(&self) -> i64 {
        match self {
            Candidate::Primary(key) => key.created_at().as_secs().into(),
            Candidate::Subkey(key, _) => key.created_at().as_secs().into(),
        }
    }

    /// Whether the key made `signature` over `data`.
    pub(super) fn made(&self, signature: &Signature, data: &[u8], proofs: &Proofs) -> bool {
        match self {
            Candidate::Primary(key) => {
                let verify = || signature.verify(&Asked::about(*key, signature, data), data).is_ok();
                proofs.hold("document", key, signature, Some(data), verify)
            }
            Candidate::Subkey(key, _) => {
                let verify = || signature.verify(&Asked::about(*key, signature, data), data).is_ok();
                proofs.hold("document of a subkey", key, signature, Some(data), verify)
            }
        }
    }

    /// Whether the signature names this key as its maker; the fingerprint counts where it is given.
    fn is_named_by(&self, signature: &Signature) -> bool {
        match self {
            Candidate::Primary(key) => names(signature, *key),
            Candidate::Subkey(key, _) => names(signature, *key),
        }
    }
}

fn names(signature: &Signature, key: &impl KeyDetails) -> bool {
    let fingerprints = signature.issuer_fingerprint();
    match fingerprints.is_empty() {
        true => signature.issuer_key_id().contains(&&key.legacy_key_id()),
        false => fingerprints.contains(&&key.fingerprint()),
    }
}

impl Certificate {
    /// Returns the fingerprint of the primary key.
    pub(super) fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.primary)
    }

    /// Returns the user IDs.
    pub(super) fn identities(&self) -> Vec<String> {
        self.users.iter().map(|(id, _)| String::from_utf8_lossy(id.id()).into_owned()).collect()
    }

    /// Whether `fingerprint` is its primary key's or a subkey's.
    pub(super) fn holds(&self, fingerprint: &Fingerprint) -> bool {
        self.candidates().any(|key| key.fingerprint() == *fingerprint)
    }

    /// Returns what `pins` leave of it.
    pub(super) fn restricted_to(&self, pins: &[Fingerprint]) -> Option<Certificate> {
        if pins.contains(&self.fingerprint()) {
            return Some(self.clone());
        }
        let kept: Vec<_> = pins.iter().filter(|pin| self.holds(pin) && self.counts(pin)).cloned().collect();
        (!kept.is_empty()).then(|| Certificate { pins: Some(kept), ..self.clone() })
    }

    /// Returns it with none of its keys but the one that `pin` names, if that is one of them.
    pub(super) fn with_only(&self, pin: &Fingerprint) -> Option<Certificate> {
        let is_there = self.holds(pin) && self.counts(pin);
        is_there.then(|| Certificate { pins: Some(vec![pin.clone()]), ..self.clone() })
    }

    /// Adds what another copy of the same certificate knows.
    pub(super) fn absorb(&mut self, other: Certificate) {
        self.signatures.extend(other.signatures);
        self.users.extend(other.users);
        for (key, signatures) in other.subkeys {
            match self.subkeys.iter_mut().find(|(known, _)| *known == key) {
                Some((_, known)) => known.extend(signatures),
                None => self.subkeys.push((key, signatures)),
            }
        }
        self.pins = match (self.pins.take(), other.pins) {
            (Some(pins), Some(more)) => Some([pins, more].concat()),
            (None, _) | (_, None) => None,
        };
    }

    /// Returns the keys that `signature` names as its maker, of those that count.
    pub(super) fn makers<'a>(&'a self, signature: &'a Signature) -> impl Iterator<Item = Candidate<'a>> {
        self.candidates().filter(|key| key.is_named_by(signature) && self.counts(&key.fingerprint()))
    }

    fn counts(&self, fingerprint: &Fingerprint) -> bool {
        self.pins.as_ref().is_none_or(|pins| pins.contains(fingerprint))
    }

    fn candidates(&self) -> impl Iterator<Item = Candidate<'_>> {
        let subkeys = self.subkeys.iter().map(|(key, signatures)| Candidate::Subkey(key, signatures));
        std::iter::once(Candidate::Primary(&self.primary)).chain(subkeys)
    }

    /// Says why `key` may not sign documents at the time `now`, if so.
    pub(super) fn check(&self, key: &Candidate<'_>, now: i64, proofs: &Proofs) -> Result<(), String> {
        let flags = self.check_primary(now, proofs)?;
        match key {
            Candidate::Primary(_) => match flags.is_none_or(|flags| flags.sign()) {
                true => Ok(()),
                false => Err("the key is not meant for signing".to_owned()),
            },
            Candidate::Subkey(subkey, signatures) => self.check_subkey(subkey, signatures, now, proofs),
        }
    }

    /// Returns the primary key's flags, where it has any.
    ///
    /// As GnuPG does: what a direct-key signature says comes before what the newest user ID's says.
    fn check_primary(&self, now: i64, proofs: &Proofs) -> Result<Option<KeyFlags>, String> {
        check_strength(self.primary.public_params())?;
        let created = i64::from(self.primary.created_at().as_secs());
        check_created("the key", created, now)?;
        let is_revocation = |signature: &&Signature| signature.typ() == Some(SignatureType::KeyRevocation);
        if self.signatures.iter().filter(is_revocation).any(|it| self.is_its_own(it, proofs)) {
            return Err("the key is revoked".to_owned());
        }
        let statements = self.self_signatures(now, proofs)?;
        let lifetime = statements.iter().find_map(|signature| signature.key_expiration_time());
        check_expiry(created, lifetime.map(Duration::as_secs), now)?;
        Ok(statements.iter().find_map(|signature| key_flags(signature)))
    }

    /// Returns the newest direct-key signature and the newest certification of a user ID, as far as there are.
    fn self_signatures(&self, now: i64, proofs: &Proofs) -> Result<Vec<&Signature>, String> {
        let direct = newest(self.direct_signatures(proofs).into_iter(), now);
        let user = newest(self.certifications(proofs).into_iter(), now);
        let statements: Vec<_> = match self.primary.version() {
            KeyVersion::V6 => direct.as_ref().ok().copied().into_iter().collect(),
            _ => direct.as_ref().ok().copied().into_iter().chain(user.as_ref().ok().copied()).collect(),
        };
        let reasons = [direct.err(), user.err()];
        match statements.is_empty() {
            false => Ok(statements),
            true => Err(reasons.into_iter().flatten().flatten().next())
                .map_err(|reason| reason.unwrap_or_else(|| "the key has no valid self-signature".to_owned())),
        }
    }

    fn direct_signatures(&self, proofs: &Proofs) -> Vec<&Signature> {
        let is_direct = |it: &&Signature| it.typ() == Some(SignatureType::Key);
        self.signatures.iter().filter(is_direct).filter(|it| self.is_its_own(it, proofs)).collect()
    }

    /// Whether the primary key made `signature` over itself.
    fn is_its_own(&self, signature: &Signature, proofs: &Proofs) -> bool {
        let verify = || signature.verify_key(&self.asked(signature, &[])).is_ok();
        proofs.hold("key", &self.primary, signature, Some(&[]), verify)
    }

    /// Asks the primary key for a signature over itself and `more`.
    fn asked(&self, signature: &Signature, more: &[u8]) -> Asked<'_, PublicKey> {
        Asked::about(&self.primary, signature, &[&framed(&self.primary), more].concat())
    }

    /// A user ID whose certification was taken back later says nothing.
    fn certifications(&self, proofs: &Proofs) -> Vec<&Signature> {
        let mut certifications = Vec::new();
        for (id, signatures) in &self.users {
            let own = |it: &&Signature| self.certified(id, it, proofs);
            let (revocations, standing): (Vec<_>, Vec<_>) =
                signatures.iter().filter(own).partition(|it| it.typ() == Some(SignatureType::CertRevocation));
            let revoked = revocations.iter().filter_map(|it| it.created()).max();
            certifications.extend(standing.into_iter().filter(|it| it.created() > revoked));
        }
        certifications
    }

    /// A keyring holds certifications by many others; theirs do not name this key, and cost nothing.
    fn certified(&self, id: &UserId, signature: &Signature, proofs: &Proofs) -> bool {
        let verify = || {
            let asked = self.asked(signature, &framed_user(id.id()));
            signature.verify_certification(&asked, Tag::UserId, id).is_ok()
        };
        names(signature, &self.primary)
            && proofs.hold("user", &self.primary, signature, Some(id.id()), verify)
    }

    fn check_subkey(
        &self,
        key: &PublicSubkey,
        signatures: &[Signature],
        now: i64,
        proofs: &Proofs,
    ) -> Result<(), String> {
        check_strength(key.public_params())?;
        let created = i64::from(key.created_at().as_secs());
        check_created("the subkey", created, now)?;
        let subkey = bytes(key);
        let is_bound = |it: &&Signature| {
            let verify = || it.verify_subkey_binding(&self.asked(it, &framed(key)), key).is_ok();
            proofs.hold("subkey", &self.primary, it, subkey.as_deref(), verify)
        };
        let verified: Vec<&Signature> = signatures.iter().filter(is_bound).collect();
        if verified.iter().any(|it| it.typ() == Some(SignatureType::SubkeyRevocation)) {
            return Err("the subkey is revoked".to_owned());
        }
        let bindings = verified.into_iter().filter(|it| it.typ() == Some(SignatureType::SubkeyBinding));
        let binding = newest(bindings, now).map_err(|reason| {
            reason.unwrap_or_else(|| "the subkey is not bound to its primary key".to_owned())
        })?;
        if !binding.key_flags().sign() {
            return Err("the subkey is not meant for signing".to_owned());
        }
        self.check_back_signature(key, binding, now, proofs)?;
        check_expiry(created, binding.key_expiration_time().map(Duration::as_secs), now)
    }

    /// Without the subkey's consent, somebody could pass another's signatures off as their own.
    fn check_back_signature(
        &self,
        key: &PublicSubkey,
        binding: &Signature,
        now: i64,
        proofs: &Proofs,
    ) -> Result<(), String> {
        let primary = bytes(&self.primary);
        let agreed = binding.embedded_signature().is_some_and(|back| {
            let verify = || {
                let data = [framed(&self.primary), framed(key)].concat();
                back.verify_primary_key_binding(&Asked::about(key, back, &data), &self.primary).is_ok()
            };
            check_signature(back, now).is_ok() && proofs.hold("back", key, back, primary.as_deref(), verify)
        });
        match agreed {
            true => Ok(()),
            false => Err("the subkey has not signed that it belongs to its primary key".to_owned()),
        }
    }
}

/// Returns the newest signature that counts; else why the last one looked at does not.
fn newest<'a>(
    signatures: impl Iterator<Item = &'a Signature>,
    now: i64,
) -> Result<&'a Signature, Option<String>> {
    let mut newest: Result<&Signature, Option<String>> = Err(None);
    for signature in signatures {
        match (check_signature(signature, now), &newest) {
            (Ok(()), Ok(known)) if signature.created() < known.created() => {}
            (Ok(()), _) => newest = Ok(signature),
            (Err(reason), Err(_)) => {
                newest = Err(Some(format!("the key's own signature does not count: {reason}")));
            }
            (Err(_), Ok(_)) => {}
        }
    }
    newest
}

/// Says why a signature does not count at the time `now`, whoever made it.
pub(super) fn check_signature(signature: &Signature, now: i64) -> Result<(), String> {
    let Some(config) = signature.config() else { return Err("its version is unknown".to_owned()) };
    check_hash(config.hash_alg)?;
    let unknown = config.hashed_subpackets().any(|subpacket| {
        subpacket.is_critical
            && matches!(
                subpacket.data,
                SubpacketData::Other(..) | SubpacketData::Experimental(..) | SubpacketData::Notation(..)
            )
    });
    if unknown {
        return Err("it says something critical that we do not understand".to_owned());
    }
    let created = signature.created().ok_or("it does not say when it was made")?.as_secs().into();
    check_created("it", created, now)?;
    let lifetime = signature.signature_expiration_time().map(Duration::as_secs);
    check_expiry(created, lifetime, now).map_err(|reason| reason.replace("the key", "it"))
}

fn check_hash(algorithm: HashAlgorithm) -> Result<(), String> {
    match algorithm {
        HashAlgorithm::Sha256
        | HashAlgorithm::Sha384
        | HashAlgorithm::Sha512
        | HashAlgorithm::Sha224
        | HashAlgorithm::Sha3_256
        | HashAlgorithm::Sha3_512 => Ok(()),
        weak => Err(format!("it uses {weak}, which is too weak")),
    }
}

fn check_strength(parameters: &PublicParams) -> Result<(), String> {
    match parameters {
        PublicParams::RSA(rsa) => match rsa_bits(rsa) {
            bits if bits < LEAST_RSA_BITS => {
                Err(format!("an RSA key of {bits} bits is too weak: expected {LEAST_RSA_BITS}"))
            }
            _ => Ok(()),
        },
        PublicParams::ECDSA(_)
        | PublicParams::EdDSALegacy(_)
        | PublicParams::Ed25519(_)
        | PublicParams::Ed448(_) => Ok(()),
        PublicParams::DSA(_) => Err("a DSA key is too weak".to_owned()),
        PublicParams::ECDH(_)
        | PublicParams::Elgamal(_)
        | PublicParams::X25519(_)
        | PublicParams::X448(_)
        | PublicParams::Unknown { .. } => Err("the key's algorithm does not sign, or is unknown".to_owned()),
    }
}

/// A multiprecision integer begins with its length in bits: RFC 9580, section 3.2; the modulus comes first.
fn rsa_bits(rsa: &impl Serialize) -> u16 {
    let bytes = rsa.to_bytes().unwrap_or_default();
    bytes.first_chunk().map_or(0, |bits| u16::from_be_bytes(*bits))
}

fn check_created(what: &str, created: i64, now: i64) -> Result<(), String> {
    match created > now + CLOCK_SKEW {
        true => Err(format!("{what} was made on {}, which is yet to come", date::day(created))),
        false => Ok(()),
    }
}

/// A lifetime of no seconds is none.
fn check_expiry(created: i64, lifetime: Option<u32>, now: i64) -> Result<(), String> {
    match lifetime.filter(|&lifetime| lifetime != 0).map(|lifetime| created + i64::from(lifetime)) {
        Some(end) if end <= now => Err(format!("the key expired on {}", date::day(end))),
        Some(_) | None => Ok(()),
    }
}

fn key_flags(signature: &Signature) -> Option<KeyFlags> {
    signature.config()?.hashed_subpackets().find_map(|subpacket| match &subpacket.data {
        SubpacketData::KeyFlags(flags) => Some(flags.clone()),
        _ => None,
    })
}

/// Where the next signatures of a key file belong.
enum Place {
    Nowhere,
    Primary,
    User,
    Subkey,
}

/// Puts certificates together. What we cannot read is left out, with the signatures over it.
pub(super) fn assemble(items: Vec<Item>) -> Result<Vec<Certificate>, String> {
    let mut certificates: Vec<Certificate> = Vec::new();
    let mut place = Place::Nowhere;
    let mut is_inside = false;
    for item in items {
        let certificate = certificates.last_mut().filter(|_| is_inside);
        match (item, certificate) {
            (Item::Known(Packet::SecretKey(_) | Packet::SecretSubkey(_)) | Item::Unknown(5 | 7), _) => {
                return Err("it holds a private key; use what `gpg --export` writes".to_owned());
            }
            (Item::Known(Packet::PublicKey(key)), _) => {
                is_inside = matches!(key.version(), KeyVersion::V4 | KeyVersion::V6);
                place = if is_inside { Place::Primary } else { Place::Nowhere };
                certificates.extend(is_inside.then(|| certificate_of(key)));
            }
            (Item::Unknown(6), _) => is_inside = false,
            (Item::Known(packet), Some(certificate)) => place = put(packet, certificate, place),
            (Item::Unknown(13 | 14 | 17), _) => place = Place::Nowhere,
            (Item::Known(_) | Item::Unknown(_), _) => {}
        }
    }
    Ok(certificates)
}

fn certificate_of(primary: PublicKey) -> Certificate {
    Certificate { primary, signatures: Vec::new(), users: Vec::new(), subkeys: Vec::new(), pins: None }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "what else may stand in a key file says nothing to us")]
fn put(packet: Packet, certificate: &mut Certificate, place: Place) -> Place {
    match packet {
        Packet::UserId(id) => {
            certificate.users.push((id, Vec::new()));
            Place::User
        }
        Packet::UserAttribute(_) => Place::Nowhere,
        Packet::PublicSubkey(key) => {
            certificate.subkeys.push((key, Vec::new()));
            Place::Subkey
        }
        Packet::Signature(signature) => {
            if let Some(signatures) = signatures_at(certificate, &place) {
                signatures.push(signature);
            }
            place
        }
        _ => place,
    }
}

fn signatures_at<'a>(certificate: &'a mut Certificate, place: &Place) -> Option<&'a mut Vec<Signature>> {
    match place {
        Place::Nowhere => None,
        Place::Primary => Some(&mut certificate.signatures),
        Place::User => certificate.users.last_mut().map(|(_, signatures)| signatures),
        Place::Subkey => certificate.subkeys.last_mut().map(|(_, signatures)| signatures),
    }
}
