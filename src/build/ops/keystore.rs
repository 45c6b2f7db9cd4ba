//! Java's store of trusted certificates, which notes for each when it was put in: the image's time, not the clock's.
//!
//! The format (`JKS`, version 2) is a list of entries and a digest over it and a password, which for certificates that
//! everybody may know is `changeit`. A store with a private key in it, of another format or with another password, is
//! left alone.

use anyhow::{Context as _, Result};
use sha1::{Digest as _, Sha1};

use crate::layer::Root;

/// Where Debian's `ca-certificates-java` puts it.
const STORE: &str = "etc/ssl/certs/java/cacerts";
/// No store is larger.
const LARGEST: u64 = 16 << 20;
const MAGIC: [u8; 8] = [0xfe, 0xed, 0xfe, 0xed, 0, 0, 0, 2];
/// The tag of an entry that is a trusted certificate.
const CERTIFICATE: u32 = 2;
/// The password in UTF-16, and what the format says next.
const SALT: &[u8] = b"\0c\0h\0a\0n\0g\0e\0i\0tMighty Aphrodite";
/// The length of a SHA-1.
const DIGEST: usize = 20;

/// Gives every certificate in the root's store the same time, in seconds since 1970.
pub(super) fn settle(root: &Root, epoch: i64) -> Result<()> {
    let store = root.read(STORE, LARGEST).with_context(|| format!("cannot read /{STORE}"))?;
    match store.and_then(|store| settled(store, epoch)) {
        Some(store) => root.rewrite(STORE, &store).with_context(|| format!("cannot write /{STORE}")),
        None => Ok(()),
    }
}

/// Returns the store with the given time in every entry; none, where it is not one to be changed.
fn settled(mut store: Vec<u8>, epoch: i64) -> Option<Vec<u8>> {
    let length = store.len().checked_sub(DIGEST)?;
    if !store.starts_with(&MAGIC) || digest(&store[..length])[..] != store[length..] {
        return None;
    }
    let times = times(&store[..length])?;
    let time = epoch.saturating_mul(1000).to_be_bytes();
    for place in times {
        store[place..place + time.len()].copy_from_slice(&time);
    }
    let digest = digest(&store[..length]);
    store[length..].copy_from_slice(&digest);
    Some(store)
}

fn digest(content: &[u8]) -> [u8; DIGEST] {
    Sha1::new().chain_update(SALT).chain_update(content).finalize().into()
}

/// Returns where in a store the entries' times stand; none, if it holds anything but certificates.
fn times(store: &[u8]) -> Option<Vec<usize>> {
    let mut cursor = Cursor { store, place: MAGIC.len() };
    let count = cursor.number()?;
    let mut times = Vec::new();
    for _ in 0..count {
        if cursor.number()? != CERTIFICATE {
            return None;
        }
        cursor.skip_short()?;
        times.push(cursor.place);
        cursor.skip(8)?;
        cursor.skip_short()?;
        let length = cursor.number()?;
        cursor.skip(usize::try_from(length).ok()?)?;
    }
    (cursor.place == store.len()).then_some(times)
}

/// A place in a store; nothing is read beyond its end.
struct Cursor<'a> {
    store: &'a [u8],
    place: usize,
}

impl Cursor<'_> {
    fn skip(&mut self, length: usize) -> Option<&[u8]> {
        let skipped = self.store.get(self.place..self.place.checked_add(length)?)?;
        self.place += length;
        Some(skipped)
    }

    fn number(&mut self) -> Option<u32> {
        self.skip(4)?.try_into().ok().map(u32::from_be_bytes)
    }

    /// Skips a text with its length before it.
    fn skip_short(&mut self) -> Option<()> {
        let length = self.skip(2)?.try_into().ok().map(u16::from_be_bytes)?;
        self.skip(usize::from(length)).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(tag: u32, time: i64) -> Vec<u8> {
        let mut store = MAGIC.to_vec();
        store.extend(2u32.to_be_bytes());
        for alias in ["a", "bc"] {
            store.extend(tag.to_be_bytes());
            store.extend(u16::try_from(alias.len()).unwrap().to_be_bytes());
            store.extend(alias.as_bytes());
            store.extend(time.to_be_bytes());
            store.extend([0, 5]);
            store.extend(b"X.509");
            store.extend(3u32.to_be_bytes());
            store.extend(b"DER");
        }
        let digest = digest(&store);
        store.extend(digest);
        store
    }

    #[test]
    fn stores_that_differ_in_their_times_become_one() {
        let monday = settled(store(CERTIFICATE, 1_000), 7).unwrap();
        assert_eq!(monday, settled(store(CERTIFICATE, 2_000), 7).unwrap());
        assert_eq!(monday, store(CERTIFICATE, 7_000));
    }

    #[test]
    fn what_is_no_store_of_certificates_is_left_alone() {
        assert_eq!(settled(store(1, 1_000), 7), None);
        assert_eq!(settled(Vec::new(), 7), None);
        let whole = store(CERTIFICATE, 1_000);
        for length in 0..whole.len() {
            assert_eq!(settled(whole[..length].to_vec(), 7), None, "{length}");
        }
        let mut other_password = whole;
        *other_password.last_mut().unwrap() ^= 1;
        assert_eq!(settled(other_password, 7), None);
    }
}
