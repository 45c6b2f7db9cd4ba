//! Whether a document is signed by somebody whom a keyring trusts.

use pgp::packet::{Packet, Signature, SignatureType};

use super::certificate::{self, Candidate, Certificate};
use super::cleartext::Cleartext;
use super::packets::{self, Item, Kind};
use super::proofs::Proofs;
use super::{Fingerprint, Keyring, list};

/// Release files of the largest archives have some 300 kB.
const LIMIT: usize = 64 << 20;
/// Debian's have three.
const MOST_SIGNATURES: usize = 64;

/// A key that signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signer {
    /// The fingerprint of the certificate's primary key.
    pub primary: Fingerprint,
    /// The fingerprint of the key that made the signature: the primary or a subkey.
    pub signing: Fingerprint,
    /// The user IDs of the certificate.
    pub identities: Vec<String>,
}

/// A text that a trusted key signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The signed text, and nothing else.
    pub text: String,
    /// The trusted keys that signed it, in the order of their signatures: at least one.
    pub signers: Vec<Signer>,
}

/// Why a document is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// It is not what a signed document looks like.
    #[error("cannot verify the signature: {reason}")]
    Malformed {
        /// What is wrong with it.
        reason: String,
    },
    /// A trusted key signed something else.
    #[error(
        "cannot verify the signature: it is by {key}, but over another text\nhint: the archive may be mid-update; run the build again"
    )]
    Forged {
        /// The key that is said to have signed.
        key: String,
    },
    /// No signature counts.
    #[error(
        "cannot verify the signature: signed by {}; trusted: {}\n\
         hint: if you trust the signer, declare its key with `key` and name it in the repository's signed-by",
        findings(found),
        list(trusted)
    )]
    Untrusted {
        /// The signatures that there are, and why each does not count.
        found: Vec<Finding>,
        /// The primary keys that would count.
        trusted: Vec<Fingerprint>,
    },
}

/// A signature that does not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The fingerprint or key ID of the key that is said to have signed.
    pub key: String,
    /// Why it does not count; none if the key is just not known.
    pub reason: Option<String>,
}

fn findings(found: &[Finding]) -> String {
    if found.is_empty() {
        return "nobody".to_owned();
    }
    let shown = found.iter().map(|finding| match &finding.reason {
        Some(reason) => format!("{} ({reason})", finding.key),
        None => format!("{} (not a trusted key)", finding.key),
    });
    shown.collect::<Vec<_>>().join(", ")
}

/// Verifies a clear-signed document (`InRelease`) at the time `now`, in seconds since 1970.
pub fn verify_inrelease(bytes: &[u8], keyring: &Keyring, now: i64) -> Result<Verified, VerifyError> {
    let cleartext = Cleartext::split(bytes).map_err(malformed)?;
    let signatures = signatures(cleartext.signatures.as_bytes())?;
    let signers = judge(&signatures, cleartext.canonical().as_bytes(), keyring, now)?;
    Ok(Verified { text: cleartext.text(), signers })
}

/// Verifies a document (`Release`) against a detached signature (`Release.gpg`) at the time `now`.
pub fn verify_detached(
    document: &[u8],
    signature: &[u8],
    keyring: &Keyring,
    now: i64,
) -> Result<Verified, VerifyError> {
    let text = text(document).map_err(malformed)?;
    let signatures = signatures(signature)?;
    let signers = judge(&signatures, document, keyring, now)?;
    Ok(Verified { text: text.to_owned(), signers })
}

fn malformed(reason: impl Into<String>) -> VerifyError {
    VerifyError::Malformed { reason: reason.into() }
}

/// Returns `bytes` as a text that everybody reads alike: UTF-8 without control characters.
pub(super) fn text(bytes: &[u8]) -> Result<&str, String> {
    if bytes.len() > LIMIT {
        return Err(format!("it is longer than {LIMIT} bytes"));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8")?;
    let lines = text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
    let is_clean = |line: &str| line.bytes().all(|byte| byte == b'\t' || (byte >= b' ' && byte != 0x7f));
    match lines.into_iter().all(is_clean) {
        true => Ok(text),
        false => Err("there is a control character in it".to_owned()),
    }
}

fn signatures(bytes: &[u8]) -> Result<Vec<Item>, VerifyError> {
    let items = packets::read(bytes, Kind::Signatures).map_err(malformed)?;
    let is_signature = |item: &Item| {
        matches!(item, Item::Known(Packet::Signature(_) | Packet::Marker(_)) | Item::Unknown(2))
    };
    match () {
        () if items.is_empty() => Err(malformed("there is no signature")),
        () if items.len() > MOST_SIGNATURES => Err(malformed("there are too many signatures")),
        () if !items.iter().all(is_signature) => {
            Err(malformed("there is something else where signatures belong"))
        }
        () => Ok(items),
    }
}

enum Judgement {
    Good(Signer),
    Worthless(Finding),
    Forged(String),
}

fn judge(items: &[Item], data: &[u8], keyring: &Keyring, now: i64) -> Result<Vec<Signer>, VerifyError> {
    let mut signers = Vec::new();
    let mut found = Vec::new();
    for item in items {
        match judge_one(item, data, keyring, now) {
            Judgement::Good(signer) => signers.push(signer),
            Judgement::Worthless(finding) => found.push(finding),
            Judgement::Forged(key) => return Err(VerifyError::Forged { key }),
        }
    }
    match signers.is_empty() {
        true => Err(VerifyError::Untrusted { found, trusted: keyring.fingerprints() }),
        false => Ok(signers),
    }
}

fn judge_one(item: &Item, data: &[u8], keyring: &Keyring, now: i64) -> Judgement {
    let Item::Known(Packet::Signature(signature)) = item else {
        let reason = Some("its signature is of an unknown kind".to_owned());
        return Judgement::Worthless(Finding { key: "somebody".to_owned(), reason });
    };
    let key = maker_of(signature);
    let makers: Vec<(&Certificate, Candidate<'_>)> = keyring
        .certificates
        .iter()
        .flat_map(|certificate| certificate.makers(signature).map(move |maker| (certificate, maker)))
        .collect();
    if makers.is_empty() {
        return Judgement::Worthless(Finding { key, reason: None });
    }
    let worthless = |reason: String| Judgement::Worthless(Finding { key: key.clone(), reason: Some(reason) });
    if let Err(reason) = check_document_signature(signature, now) {
        return worthless(reason);
    }
    // A subkey may be claimed by two certificates: it is enough that one may.
    let made = makers.into_iter().filter(|(_, maker)| maker.made(signature, data, &keyring.proofs));
    let checked =
        made.map(|(certificate, maker)| check_maker(certificate, &maker, signature, now, &keyring.proofs));
    match checked.reduce(Result::or) {
        None => Judgement::Forged(key),
        Some(Ok(signer)) => Judgement::Good(signer),
        Some(Err(reason)) => worthless(reason),
    }
}

/// A signature over a user ID or a key must not pass for one over a document.
fn check_document_signature(signature: &Signature, now: i64) -> Result<(), String> {
    match signature.typ() {
        Some(SignatureType::Binary | SignatureType::Text) => certificate::check_signature(signature, now),
        Some(_) | None => Err("its signature is not one over a document".to_owned()),
    }
}

fn check_maker(
    certificate: &Certificate,
    maker: &Candidate<'_>,
    signature: &Signature,
    now: i64,
    proofs: &Proofs,
) -> Result<Signer, String> {
    let made = signature.created().map_or(0, |created| i64::from(created.as_secs()));
    if made < maker.created() {
        return Err("its signature is older than the key".to_owned());
    }
    certificate.check(maker, now, proofs)?;
    Ok(Signer {
        primary: certificate.fingerprint(),
        signing: maker.fingerprint(),
        identities: certificate.identities(),
    })
}

/// Returns the fingerprint, or else the key ID, that a signature gives for its maker.
fn maker_of(signature: &Signature) -> String {
    let fingerprint = signature.issuer_fingerprint().first().map(|it| format!("{it:X}"));
    let key_id = || signature.issuer_key_id().first().map(|it| it.to_string().to_uppercase());
    fingerprint.or_else(key_id).unwrap_or_else(|| "somebody".to_owned())
}
