//! OpenPGP packets out of armoured or binary bytes.
//!
//! The frames are cut here, so that one packet that the `pgp` crate does not know spoils no other.

use std::io::Read;

use pgp::armor::{BlockType, Dearmor, DearmorOptions};
use pgp::packet::{Packet, PacketParser};

/// Debian's keyring of 2026 has 60 kB.
const LIMIT: usize = 8 << 20;
const MOST_PACKETS: usize = 50_000;

/// What a file is expected to hold.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Certificates.
    Keys,
    /// Signatures.
    Signatures,
}

/// A packet, or the tag of one that we cannot read.
#[expect(clippy::large_enum_variant, reason = "nearly all are known")]
pub(super) enum Item {
    Known(Packet),
    Unknown(u8),
}

/// Reads all packets of `bytes`.
pub(super) fn read(bytes: &[u8], kind: Kind) -> Result<Vec<Item>, String> {
    if bytes.len() > LIMIT {
        return Err(format!("it is longer than {LIMIT} bytes"));
    }
    if bytes.get(8..12) == Some(b"KBXf") {
        return Err("it is a GnuPG keybox; use what `gpg --export` writes".to_owned());
    }
    let is_binary =
        bytes.first().is_some_and(|first| first & 0x80 != 0) && !bytes.starts_with(b"\xEF\xBB\xBF");
    match is_binary {
        true => split(bytes),
        false => read_armoured(bytes, kind),
    }
}

/// Text between the blocks is for people.
fn read_armoured(bytes: &[u8], kind: Kind) -> Result<Vec<Item>, String> {
    let text = String::from_utf8_lossy(bytes);
    let mut items = Vec::new();
    let mut rest = &*text;
    while let Some(start) = rest.find("-----BEGIN PGP ") {
        let end_marker = rest[start..].find("-----END PGP ").ok_or("an armoured block has no end")? + start;
        let end = rest[end_marker..].find('\n').map_or(rest.len(), |n| end_marker + n);
        items.extend(split(&dearmour(&rest[start..end], kind)?)?);
        rest = &rest[end..];
    }
    Ok(items)
}

fn dearmour(block: &str, kind: Kind) -> Result<Vec<u8>, String> {
    let expected = match kind {
        Kind::Keys => "-----BEGIN PGP PUBLIC KEY BLOCK-----",
        Kind::Signatures => "-----BEGIN PGP SIGNATURE-----",
    };
    if block.starts_with("-----BEGIN PGP PRIVATE KEY") {
        return Err("it holds a private key; use what `gpg --export` writes".to_owned());
    }
    if block.lines().next().map(str::trim_end) != Some(expected) {
        return Err(format!("expected `{expected}`"));
    }
    // Without a line end after the last line, the crate finds no footer.
    let block = format!("{block}\n");
    // The checksum is not looked at: RFC 9580, section 6.1 says so, and signatures check themselves.
    let options = DearmorOptions::new().set_limit(LIMIT);
    let mut dearmor = Dearmor::with_options(block.as_bytes(), options);
    let mut bytes = Vec::new();
    dearmor.read_to_end(&mut bytes).map_err(|error| format!("its armour is broken: {error}"))?;
    match dearmor.typ {
        Some(BlockType::PublicKey | BlockType::Signature) => Ok(bytes),
        Some(_) | None => Err(format!("expected `{expected}`")),
    }
}

fn split(mut bytes: &[u8]) -> Result<Vec<Item>, String> {
    let mut items = Vec::new();
    while !bytes.is_empty() {
        let (tag, length) = frame(bytes)?;
        let (packet, rest) = bytes.split_at_checked(length).ok_or("a packet breaks off")?;
        items.push(item(tag, packet));
        if items.len() > MOST_PACKETS {
            return Err(format!("it has more than {MOST_PACKETS} packets"));
        }
        bytes = rest;
    }
    Ok(items)
}

fn item(tag: u8, packet: &[u8]) -> Item {
    match PacketParser::new(packet).next() {
        Some(Ok(packet)) => Item::Known(packet),
        Some(Err(_)) | None => Item::Unknown(tag),
    }
}

/// Returns the tag of the first packet and its length, header included: RFC 9580, section 4.2.
fn frame(bytes: &[u8]) -> Result<(u8, usize), String> {
    let first = bytes[0];
    if first & 0x80 == 0 {
        return Err("expected an OpenPGP packet".to_owned());
    }
    let is_new = first & 0x40 != 0;
    let (tag, header, body) = match is_new {
        true => new_frame(bytes)?,
        false => old_frame(bytes)?,
    };
    Ok((tag, header + body))
}

fn new_frame(bytes: &[u8]) -> Result<(u8, usize, usize), String> {
    let tag = bytes[0] & 0x3f;
    let octet = |index: usize| bytes.get(index).map(|byte| usize::from(*byte)).ok_or("a packet breaks off");
    match octet(1)? {
        length @ 0..=191 => Ok((tag, 2, length)),
        first @ 192..=223 => Ok((tag, 3, ((first - 192) << 8) + octet(2)? + 192)),
        255 => Ok((tag, 6, number(bytes, 2, 4)?)),
        _ => Err("a packet comes in parts, which no key or signature does".to_owned()),
    }
}

fn old_frame(bytes: &[u8]) -> Result<(u8, usize, usize), String> {
    let tag = bytes[0] >> 2 & 0x0f;
    let n_octets = match bytes[0] & 3 {
        0 => 1,
        1 => 2,
        2 => 4,
        _ => return Err("a packet does not say how long it is".to_owned()),
    };
    Ok((tag, 1 + n_octets, number(bytes, 1, n_octets)?))
}

fn number(bytes: &[u8], start: usize, n_octets: usize) -> Result<usize, String> {
    let octets = bytes.get(start..start + n_octets).ok_or("a packet breaks off")?;
    Ok(octets.iter().fold(0, |number, octet| number << 8 | usize::from(*octet)))
}
