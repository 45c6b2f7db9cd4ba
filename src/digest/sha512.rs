//! SHA-512, for those who ask for it beside the digest that identifies content: it identifies nothing here.

use std::fmt::{self, Write as _};
use std::io::{self, Read};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::Digest as _;

/// How much is read at a time.
const PIECE: usize = 256 << 10;

/// The SHA-512 digest of some bytes; printed as `sha512:<hex>`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sha512([u8; 64]);

/// A text that is no SHA-512 digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot read digest `{0}`: expected `sha512:` and 128 lower-case hexadecimal digits")]
pub struct InvalidSha512(String);

impl Sha512 {
    /// Returns the digest of `bytes`.
    pub fn of(bytes: impl AsRef<[u8]>) -> Sha512 {
        Sha512(sha2::Sha512::digest(bytes).into())
    }

    /// Returns the digest of all that `reader` yields.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn read(mut reader: impl Read) -> io::Result<Sha512> {
        let mut hasher = sha2::Sha512::new();
        let mut piece = vec![0; PIECE];
        loop {
            match reader.read(&mut piece)? {
                0 => return Ok(Sha512(hasher.finalize().into())),
                n => hasher.update(&piece[..n]),
            }
        }
    }

    /// Returns the 128 hexadecimal digits.
    pub fn hex(&self) -> String {
        self.0.iter().fold(String::with_capacity(128), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    }
}

impl FromStr for Sha512 {
    type Err = InvalidSha512;

    fn from_str(text: &str) -> Result<Sha512, InvalidSha512> {
        let hex = text.strip_prefix("sha512:").and_then(super::parse_hex);
        hex.map(Sha512).ok_or_else(|| InvalidSha512(super::excerpt(text)))
    }
}

impl fmt::Display for Sha512 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha512:{}", self.hex())
    }
}

impl fmt::Debug for Sha512 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Sha512 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Sha512 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Sha512, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_what_the_standard_says() {
        // FIPS 180-4's example "abc".
        let abc = "sha512:ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f";
        assert_eq!(Sha512::of("abc").to_string(), abc);
        assert_eq!(Sha512::read(&b"abc"[..]).unwrap(), abc.parse().unwrap());
    }

    #[test]
    fn what_is_no_digest_is_refused() {
        for text in ["", "sha512:", "sha512:00", &format!("sha256:{}", "0".repeat(128))] {
            assert!(text.parse::<Sha512>().is_err(), "{text}");
        }
    }
}
