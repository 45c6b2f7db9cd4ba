//! Members that are made before their turn comes, while a layer's large files are known and the layer itself is not.
//!
//! Each goes by the digest of the bytes that it holds, and depends on nothing else. So it is the one that would be made in
//! its turn, or it isn't taken. They wait in a file that has no name.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use libdeflater::{CompressionLvl, Compressor};

use super::cuts::is_large;
use super::{MEMBER, compress};
use crate::digest::Digest;
use crate::layer::{Error, Kind, archive};

/// How many bytes of members may wait; others are made in their turn.
const ROOM: u64 = 1 << 30;

/// Members that wait for their turn.
pub struct Ready {
    level: CompressionLvl,
    file: File,
    kept: Mutex<Kept>,
}

/// Where each member lies in the file, by the digest of what it holds.
#[derive(Default)]
struct Kept {
    places: BTreeMap<Digest, (u64, usize)>,
    n_bytes: u64,
}

impl Ready {
    /// Begins with none; the file is made in `directory`.
    pub(super) fn new(directory: &Path, level: CompressionLvl) -> io::Result<Ready> {
        Ok(Ready { level, file: tempfile::tempfile_in(directory)?, kept: Mutex::default() })
    }

    /// Makes members of the large files in an archive that is no layer, uncompressed.
    ///
    /// # Errors
    /// When the archive can't be read, or there is no room for more. What is there already is whole.
    pub fn prepare(&self, tar: impl Read) -> Result<(), Error> {
        let (mut compressor, mut block, mut member) = (Compressor::new(self.level), Vec::new(), Vec::new());
        archive::members(tar, &mut |entry, content| {
            if !matches!(entry.kind, Kind::File { size } if is_large(size)) {
                return Ok(());
            }
            loop {
                block.clear();
                block.reserve_exact(MEMBER);
                (&mut *content).take(MEMBER as u64).read_to_end(&mut block)?;
                if block.is_empty() {
                    return Ok(());
                }
                let digest = Digest::of(&block);
                if !self.kept().places.contains_key(&digest) {
                    compress(&mut compressor, &block, &mut member)?;
                    self.keep(digest, &member)?;
                }
            }
        })
    }

    /// Lets `member` be the one that holds `block`; returns whether there is one.
    pub(super) fn take(&self, block: &[u8], member: &mut Vec<u8>) -> io::Result<bool> {
        let digest = Digest::of(block);
        let Some((start, length)) = self.kept().places.get(&digest).copied() else { return Ok(false) };
        member.resize(length, 0);
        self.file.read_exact_at(member, start)?;
        Ok(true)
    }

    /// It is known only when all of it is written.
    pub(super) fn keep(&self, digest: Digest, member: &[u8]) -> io::Result<()> {
        let start = {
            let mut kept = self.kept();
            let end = kept.n_bytes + member.len() as u64;
            if end > ROOM {
                return Err(io::Error::other("there is no room for more members"));
            }
            std::mem::replace(&mut kept.n_bytes, end)
        };
        self.file.write_all_at(member, start)?;
        self.kept().places.insert(digest, (start, member.len()));
        Ok(())
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
impl Ready {
    /// Whether there is a member that holds just this.
    pub(crate) fn has(&self, block: &[u8]) -> bool {
        self.take(block, &mut Vec::new()).unwrap()
    }
}
