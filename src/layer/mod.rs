//! Layers: tar archives applied to a root, found as differences, and written reproducibly.
//!
//! A layer is an archive of what changed, with *whiteouts* (`.wh.name`) for what went away (OCI image
//! specification, "Image Layer Filesystem Changeset"). Nothing here is ever written outside the root, whatever an
//! archive says. Images, registries and vertices are unknown here.

mod apart;
mod apply;
mod archive;
mod compact;
mod compare;
mod compress;
mod compression;
mod decompress;
mod entry;
mod gzip;
mod header;
mod inspect;
mod lesser;
mod moments;
mod names;
mod pack;
mod private_key;
mod renew;
mod replica;
mod rooted;
mod since;
mod skeleton;
mod snapshot;
mod stack;
mod touch;
mod trim;
mod writer;
mod zip;

use std::io;

pub use apart::{Standing, unpack_apart};
pub use apply::{Unpack, apply, make_root, unpack, unpack_with};
pub use archive::{lying_members, members, scan};
pub use compress::compress;
pub use compression::{Compression, InvalidCompression};
pub use decompress::{decompress, is_plain};
pub use entry::{Entry, Kind, Metadata};
pub use gzip::Ready;
pub use inspect::look_in_passing;
pub use moments::{Moment, Moments};
pub use pack::pack;
pub use private_key::holds_private_key;
pub use renew::{Renewed, renew, renew_in_place};
pub use replica::{bring, copy_out};
pub use rooted::marks_are_trusted;
pub use skeleton::{Found, Resolved, Skeleton, SkeletonDelta};
pub use snapshot::Snapshot;
pub use stack::{LastLink, Node, Stack};
pub use touch::{Found as FoundFile, Root, touch_now};
pub use trim::trim;
pub use writer::{LayerWriter, Options, Packed};
pub use zip::{is_zip, zip_members};

/// What differs between two states of a root.
pub mod diff {
    pub use super::compare::{Change, ChangeKind, overlay, trees};
    pub use super::since::{Since, since};
}

/// What went wrong with a layer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The disk refused.
    #[error("cannot {action} `{path}`: {source}{hint}", hint = hint(source))]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what, as the archive or the root names it.
        path: String,
        /// Why not.
        source: io::Error,
    },
    /// The archive cannot be read to its end.
    #[error("cannot read the archive: {0}")]
    Read(io::Error),
    /// The archive is not one, or asks for what it may not have.
    #[error("cannot read the archive: {0}")]
    Malformed(String),
    /// An entry of the archive is refused.
    #[error("cannot accept the archive's entry `{path}`: {reason}")]
    Refused {
        /// The entry's path.
        path: String,
        /// Why not.
        reason: String,
    },
    /// The layer cannot be written.
    #[error("cannot write the layer: {0}{hint}", hint = hint(.0))]
    Write(io::Error),
    /// The store refused the layer.
    #[error("cannot write the layer: {0}")]
    Store(#[from] crate::store::Error),
    /// A path of the root cannot be resolved.
    #[error("cannot resolve `{path}`: too many symbolic links")]
    TooManyLinks {
        /// The path that was asked for.
        path: String,
    },
    /// A caller broke the writer's rules.
    #[error("internal error: {0}")]
    Misuse(String),
}

fn hint(source: &io::Error) -> &'static str {
    if source.raw_os_error() == Some(rustix::io::Errno::OPNOTSUPP.raw_os_error()) {
        return "\nhint: that file system keeps no extended attributes; choose another place with --state DIR";
    }
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "\nhint: free some space, or choose another place with --state DIR"
        }
        _ => "",
    }
}

/// A path for people.
fn shown(path: &[u8]) -> String {
    match path {
        [] => "/".into(),
        _ => String::from_utf8_lossy(path).chars().take(300).collect(),
    }
}

#[cfg(test)]
mod tests;
