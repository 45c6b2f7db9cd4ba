//! What cosign keeps a private key in: a JSON object with the key, encrypted by NaCl's secretbox under what scrypt makes of a
//! password (`github.com/secure-systems-lab/go-securesystemslib/encrypted`).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crypto_secretbox::aead::Aead as _;
use crypto_secretbox::{KeyInit as _, Nonce, XSalsa20Poly1305};
use serde::Deserialize;

use super::InvalidKey;
use crate::redact::Secret;

/// The most memory that scrypt may take, in bytes: twice what cosign's most costly keys take.
const MOST_MEMORY: u64 = 256 << 20;
/// How often scrypt may do it over; cosign's keys say 1.
const MOST_TIMES: u32 = 4;

#[derive(Deserialize)]
struct Sealed {
    kdf: Kdf,
    cipher: Cipher,
    ciphertext: String,
}

#[derive(Deserialize)]
struct Kdf {
    name: String,
    params: Params,
    salt: String,
}

#[derive(Deserialize)]
struct Params {
    #[serde(rename = "N")]
    n: u64,
    r: u32,
    p: u32,
}

#[derive(Deserialize)]
struct Cipher {
    name: String,
    nonce: String,
}

/// Returns what is in it.
pub(super) fn open(json: &[u8], password: &Secret) -> Result<Vec<u8>, InvalidKey> {
    let sealed: Sealed = serde_json::from_slice(json).map_err(|_| InvalidKey::Damaged("JSON"))?;
    if sealed.kdf.name != "scrypt" {
        return Err(InvalidKey::Encryption("another function than scrypt"));
    }
    if sealed.cipher.name != "nacl/secretbox" {
        return Err(InvalidKey::Encryption("another cipher than nacl/secretbox"));
    }
    let salt = bytes(&sealed.kdf.salt, "salt")?;
    let mut key = [0; 32];
    scrypt::scrypt(password.expose().as_bytes(), &salt, &sealed.kdf.params.bounded()?, &mut key)
        .map_err(|_| InvalidKey::Cost)?;
    let nonce: [u8; 24] =
        bytes(&sealed.cipher.nonce, "nonce")?.try_into().map_err(|_| InvalidKey::Damaged("nonce"))?;
    let cipher = XSalsa20Poly1305::new(&key.into());
    let content = bytes(&sealed.ciphertext, "ciphertext")?;
    cipher.decrypt(&Nonce::from(nonce), content.as_slice()).map_err(|_| InvalidKey::Password)
}

impl Params {
    fn bounded(&self) -> Result<scrypt::Params, InvalidKey> {
        let memory = self.n.checked_mul(u64::from(self.r)).and_then(|blocks| blocks.checked_mul(128));
        let is_cheap = memory.is_some_and(|memory| memory <= MOST_MEMORY) && self.p <= MOST_TIMES;
        if !is_cheap || !self.n.is_power_of_two() {
            return Err(InvalidKey::Cost);
        }
        let log_n = u8::try_from(self.n.ilog2()).map_err(|_| InvalidKey::Cost)?;
        scrypt::Params::new(log_n, self.r, self.p, 32).map_err(|_| InvalidKey::Cost)
    }
}

fn bytes(text: &str, what: &'static str) -> Result<Vec<u8>, InvalidKey> {
    STANDARD.decode(text).map_err(|_| InvalidKey::Damaged(what))
}
