//! What stands in a layer: a path, what it is, and everything about it but its content.

use std::collections::BTreeMap;

use super::rooted::{join, split};
use super::{Error, shown};

/// An entry of a layer, without its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Relative to the root, without `.`, `..`, leading, trailing or double slashes; empty for the root itself.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// Everything about it that does not depend on its kind.
    pub metadata: Metadata,
}

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A file.
    File {
        /// The length of its content in bytes.
        size: u64,
    },
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink {
        /// Where it points, as it is written in the link.
        target: Vec<u8>,
    },
    /// Another name of a file.
    Hardlink {
        /// The file's path, in the form of [`Entry::path`].
        target: Vec<u8>,
    },
    /// A character device.
    CharDevice {
        /// The driver.
        major: u32,
        /// The device.
        minor: u32,
    },
    /// A block device.
    BlockDevice {
        /// The driver.
        major: u32,
        /// The device.
        minor: u32,
    },
    /// A named pipe.
    Fifo,
}

/// What an entry has besides its path, kind and content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// Permissions, and the setuid, setgid and sticky bits: 12 bits.
    pub mode: u32,
    /// The owner.
    pub uid: u32,
    /// The owning group.
    pub gid: u32,
    /// Seconds since 1970.
    pub mtime: i64,
    /// Extended attributes.
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Entry {
    /// Returns a file of root's.
    pub fn file(path: impl Into<Vec<u8>>, mode: u32, size: u64) -> Entry {
        Entry::new(path, Kind::File { size }, mode)
    }

    /// Returns a directory of root's.
    pub fn directory(path: impl Into<Vec<u8>>, mode: u32) -> Entry {
        Entry::new(path, Kind::Directory, mode)
    }

    /// Returns a symbolic link of root's.
    pub fn symlink(path: impl Into<Vec<u8>>, target: impl Into<Vec<u8>>) -> Entry {
        Entry::new(path, Kind::Symlink { target: target.into() }, 0o777)
    }

    fn new(path: impl Into<Vec<u8>>, kind: Kind, mode: u32) -> Entry {
        Entry { path: path.into(), kind, metadata: Metadata { mode, ..Metadata::default() } }
    }
}

/// What the name of an entry takes away from the layers below.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Whiteout<'a> {
    /// This path.
    Removed(Vec<u8>),
    /// Everything in this directory.
    Opaque(&'a [u8]),
    /// Nothing: a note that the aufs file system left for itself.
    Ignored,
}

const PREFIX: &[u8] = b".wh.";
const NOTE: &[u8] = b".wh..wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";

impl Whiteout<'_> {
    /// Reads an entry's path; most take nothing away.
    pub(super) fn of(path: &[u8]) -> Result<Option<Whiteout<'_>>, Error> {
        let (parent, name) = split(path);
        if name == OPAQUE {
            return Ok(Some(Whiteout::Opaque(parent)));
        }
        if path.split(|&byte| byte == b'/').any(|name| name.starts_with(NOTE)) {
            return Ok(Some(Whiteout::Ignored));
        }
        let Some(hidden) = name.strip_prefix(PREFIX) else { return Ok(None) };
        match hidden {
            b"" | b"." | b".." => {
                Err(Error::Refused { path: shown(path), reason: "it takes away no name".into() })
            }
            _ => Ok(Some(Whiteout::Removed(join(parent, hidden)))),
        }
    }

    /// Returns the path of the entry that takes `path` away.
    pub(super) fn removing(path: &[u8]) -> Vec<u8> {
        let (parent, name) = split(path);
        join(parent, &[PREFIX, name].concat())
    }

    /// Returns the path of the entry that takes everything in `directory` away.
    pub(super) fn clearing(directory: &[u8]) -> Vec<u8> {
        join(directory, OPAQUE)
    }
}
