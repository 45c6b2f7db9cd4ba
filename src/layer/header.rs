//! An entry as the tar headers that announce it: ustar, and PAX only for what ustar cannot say.

use std::collections::BTreeMap;

use tar::{EntryType, Header};

use super::{Entry, Kind};

/// The largest numbers that fit into ustar's fields of 8 and 12 bytes.
const MAX_SHORT: u64 = 0o7_777_777;
const MAX_LONG: u64 = 0o77_777_777_777;
/// Where the parts of a ustar header lie.
const NAME: usize = 100;
const PREFIX: usize = 155;

/// Returns the headers of an entry, whose time is at most `epoch`.
pub(super) fn encode(entry: &Entry, epoch: i64) -> Vec<u8> {
    let mut records = BTreeMap::new();
    let header = header_of(entry, epoch, &mut records);
    let mut bytes = match records.is_empty() {
        true => Vec::new(),
        false => pax_header(&records),
    };
    bytes.extend_from_slice(header.as_bytes());
    bytes
}

type Records = BTreeMap<Vec<u8>, Vec<u8>>;

fn header_of(entry: &Entry, epoch: i64, records: &mut Records) -> Header {
    let metadata = &entry.metadata;
    let mut header = Header::new_ustar();
    header.set_entry_type(type_of(&entry.kind));
    set_name(&mut header, &archive_name(entry), records);
    header.set_mode(metadata.mode & 0o7777);
    header.set_uid(fitting("uid", metadata.uid.into(), MAX_SHORT, records));
    header.set_gid(fitting("gid", metadata.gid.into(), MAX_SHORT, records));
    let mtime = u64::try_from(metadata.mtime.min(epoch)).unwrap_or(0);
    header.set_mtime(fitting("mtime", mtime, MAX_LONG, records));
    let (size, device) = match &entry.kind {
        Kind::File { size } => (*size, (0, 0)),
        Kind::CharDevice { major, minor } | Kind::BlockDevice { major, minor } => (0, (*major, *minor)),
        Kind::Directory | Kind::Fifo => (0, (0, 0)),
        Kind::Symlink { target } | Kind::Hardlink { target } => {
            set_link(&mut header, target, records);
            (0, (0, 0))
        }
    };
    header.set_size(fitting("size", size, MAX_LONG, records));
    if let Some(ustar) = header.as_ustar_mut() {
        ustar.set_device_major(device.0);
        ustar.set_device_minor(device.1);
    }
    for (name, value) in &metadata.xattrs {
        records.insert([b"SCHILY.xattr.", name.as_slice()].concat(), value.clone());
    }
    header.set_cksum();
    header
}

fn type_of(kind: &Kind) -> EntryType {
    match kind {
        Kind::File { .. } => EntryType::Regular,
        Kind::Directory => EntryType::Directory,
        Kind::Symlink { .. } => EntryType::Symlink,
        Kind::Hardlink { .. } => EntryType::Link,
        Kind::CharDevice { .. } => EntryType::Char,
        Kind::BlockDevice { .. } => EntryType::Block,
        Kind::Fifo => EntryType::Fifo,
    }
}

fn archive_name(entry: &Entry) -> Vec<u8> {
    match entry.kind {
        Kind::Directory if entry.path.is_empty() => b"./".to_vec(),
        Kind::Directory => [entry.path.as_slice(), b"/"].concat(),
        _ => entry.path.clone(),
    }
}

/// A number that does not fit becomes a record, and 0 here.
fn fitting(key: &str, value: u64, max: u64, records: &mut Records) -> u64 {
    if value <= max {
        return value;
    }
    records.insert(key.into(), value.to_string().into_bytes());
    0
}

fn set_name(header: &mut Header, name: &[u8], records: &mut Records) {
    let (prefix, rest) = match split_name(name) {
        Some(parts) => parts,
        None => {
            records.insert(b"path".to_vec(), name.to_vec());
            (&[][..], name)
        }
    };
    if let Some(ustar) = header.as_ustar_mut() {
        fill(&mut ustar.prefix, prefix);
        fill(&mut ustar.name, rest);
    }
}

/// Splits a name between ustar's two fields, if it fits at all.
fn split_name(name: &[u8]) -> Option<(&[u8], &[u8])> {
    if !name.is_ascii() {
        return None;
    }
    if name.len() <= NAME {
        return Some((&[], name));
    }
    let is_slash = |&at: &usize| name[at] == b'/';
    let latest = PREFIX.min(name.len() - 2);
    let slash = (1..=latest).rev().find(is_slash)?;
    (name.len() - slash - 1 <= NAME).then(|| (&name[..slash], &name[slash + 1..]))
}

fn set_link(header: &mut Header, target: &[u8], records: &mut Records) {
    if !target.is_ascii() || target.len() > NAME {
        records.insert(b"linkpath".to_vec(), target.to_vec());
    }
    fill(&mut header.as_old_mut().linkname, target);
}

/// Copies as much as fits; who cannot read PAX sees at least that.
fn fill(field: &mut [u8], bytes: &[u8]) {
    let readable = bytes.iter().map(|byte| if byte.is_ascii() { *byte } else { b'_' });
    for (slot, byte) in field.iter_mut().zip(readable) {
        *slot = byte;
    }
}

fn pax_header(records: &Records) -> Vec<u8> {
    let content: Vec<u8> = records.iter().flat_map(|(key, value)| record(key, value)).collect();
    let mut header = Header::new_ustar();
    header.set_entry_type(EntryType::XHeader);
    fill(&mut header.as_old_mut().name, b"PaxHeaders.0/next");
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(content.len() as u64);
    if let Some(ustar) = header.as_ustar_mut() {
        ustar.set_device_major(0);
        ustar.set_device_minor(0);
    }
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend(content);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

/// Returns a record, `length key=value` and a line feed; the length counts its own digits.
fn record(key: &[u8], value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    [length.to_string().as_bytes(), b" ", key, b"=", value, b"\n"].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_counts_its_own_length() {
        assert_eq!(record(b"path", b"a"), b"9 path=a\n");
        assert_eq!(record(b"path", b""), b"8 path=\n");
        assert_eq!(record(b"p", &[b'x'; 93]).len(), 99);
        assert_eq!(record(b"p", &[b'x'; 94]).len(), 101);
    }

    #[test]
    fn a_plain_entry_needs_no_pax_header() {
        let entry = Entry::file("usr/share/doc/readme", 0o644, 3);
        assert_eq!(encode(&entry, 0).len(), 512);
        let long = Entry::file(format!("{}/{}", "d".repeat(150), "f".repeat(100)), 0o644, 3);
        assert_eq!(encode(&long, 0).len(), 512);
        let longer = Entry::file("f".repeat(101), 0o644, 3);
        assert_eq!(encode(&longer, 0).len(), 3 * 512);
    }
}
