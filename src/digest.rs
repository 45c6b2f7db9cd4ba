//! Content digests: parsed once, compared as bytes, printed as `sha256:<hex>`.
//!
//! Only SHA-256 identifies content. OCI registers SHA-512 as well, which is only told to those who ask for it,
//! and Debian's indexes also carry MD5, which is never trusted.

mod sha512;

pub use sha512::{InvalidSha512, Sha512};

use std::fmt;
use std::io::{self, Read, Write};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

/// The SHA-256 digest of some bytes.
///
/// See the OCI image specification, "Descriptors", section "Digests".
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

/// Why a text is no digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot read digest `{text}`: expected `sha256:` and 64 lower-case hexadecimal digits")]
pub struct InvalidDigest {
    text: String,
}

impl Digest {
    /// Returns the digest of `bytes`.
    pub fn of(bytes: impl AsRef<[u8]>) -> Digest {
        Digest(Sha256::digest(bytes).into())
    }

    /// Reads 64 hexadecimal digits without an algorithm before them, as Debian's indexes write them.
    pub fn from_hex(hex: &str) -> Result<Digest, InvalidDigest> {
        parse_hex(hex).map(Digest).ok_or_else(|| InvalidDigest { text: excerpt(hex) })
    }

    /// Returns the 64 hexadecimal digits.
    pub fn hex(&self) -> String {
        use fmt::Write as _;
        self.0.iter().fold(String::with_capacity(64), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    }

    /// Returns the first 12 hexadecimal digits, for people.
    pub fn short(&self) -> String {
        self.hex()[..12].to_owned()
    }
}

fn parse_hex<const N: usize>(hex: &str) -> Option<[u8; N]> {
    let digits = hex.as_bytes();
    if digits.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
    }
    Some(bytes)
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

/// What comes from outside may be long: an error shows its beginning.
fn excerpt(text: &str) -> String {
    text.chars().take(100).collect()
}

impl FromStr for Digest {
    type Err = InvalidDigest;

    fn from_str(text: &str) -> Result<Digest, InvalidDigest> {
        let hex = text.strip_prefix("sha256:").ok_or_else(|| InvalidDigest { text: excerpt(text) })?;
        Digest::from_hex(hex).map_err(|_| InvalidDigest { text: excerpt(text) })
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Digest, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Takes bytes and answers their digest and count.
#[derive(Clone, Default)]
pub struct Hasher {
    sha256: Sha256,
    n_bytes: u64,
}

impl Hasher {
    /// Returns a hasher that has seen nothing yet.
    pub fn new() -> Hasher {
        Hasher::default()
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        self.n_bytes += bytes.len() as u64;
    }

    /// Returns the digest of everything taken, and how many bytes that was.
    pub fn finish(self) -> (Digest, u64) {
        (Digest(self.sha256.finalize().into()), self.n_bytes)
    }
}

/// A writer that hashes what passes through it.
pub struct HashingWriter<W> {
    inner: W,
    hasher: Hasher,
}

impl<W> HashingWriter<W> {
    /// Wraps `inner`.
    pub fn new(inner: W) -> HashingWriter<W> {
        HashingWriter { inner, hasher: Hasher::new() }
    }

    /// Returns the inner writer; what is written to it without this one isn't hashed.
    pub fn inner_mut(&mut self) -> &mut W {
        &mut self.inner
    }

    /// Returns the inner writer, the digest of what was written and its length in bytes.
    pub fn finish(self) -> (W, Digest, u64) {
        let (digest, n_bytes) = self.hasher.finish();
        (self.inner, digest, n_bytes)
    }
}

impl<W: Write> Write for HashingWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// A reader that hashes what passes through it.
pub struct HashingReader<R> {
    inner: R,
    hasher: Hasher,
}

impl<R> HashingReader<R> {
    /// Wraps `inner`.
    pub fn new(inner: R) -> HashingReader<R> {
        HashingReader { inner, hasher: Hasher::new() }
    }

    /// Returns the inner reader, the digest of what was read and its length in bytes.
    pub fn finish(self) -> (R, Digest, u64) {
        let (digest, n_bytes) = self.hasher.finish();
        (self.inner, digest, n_bytes)
    }
}

impl<R: Read> Read for HashingReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..n]);
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn a_digest_prints_as_it_was_read() {
        let digest: Digest = EMPTY.parse().unwrap();
        assert_eq!(digest, Digest::of(b""));
        assert_eq!(digest.to_string(), EMPTY);
        assert_eq!(digest.short(), "e3b0c44298fc");
    }

    #[test]
    fn what_is_no_digest_is_refused() {
        for text in ["", "sha256:", "sha512:00", "md5:d41d8cd98f00b204e9800998ecf8427e", &EMPTY[..70]] {
            assert!(text.parse::<Digest>().is_err(), "{text}");
        }
        assert!(EMPTY.to_uppercase().parse::<Digest>().is_err());
        assert!(EMPTY.replace("e3", "..").parse::<Digest>().is_err());
    }

    #[test]
    fn what_passes_through_is_hashed() {
        let mut writer = HashingWriter::new(Vec::new());
        writer.write_all(b"abc").unwrap();
        let (written, digest, n_bytes) = writer.finish();
        assert_eq!((written.as_slice(), digest, n_bytes), (&b"abc"[..], Digest::of(b"abc"), 3));

        let mut reader = HashingReader::new(&b"abc"[..]);
        io::copy(&mut reader, &mut io::sink()).unwrap();
        assert_eq!(reader.finish().1, Digest::of(b"abc"));
    }
}
