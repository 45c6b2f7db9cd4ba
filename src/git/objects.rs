//! The objects of a fetch: their bytes in one file on disk, and where each lies in it.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use gix::ObjectId;
use gix::hash::Kind as Hash;
use gix::objs::{CommitRefIter, Kind, TagRefIter};

/// No commit, tag or tree is larger.
const LARGEST_IN_MEMORY: u64 = 64 << 20;
/// What is written at once.
const BUFFER: usize = 256 << 10;
/// No more tags point at each other.
const MOST_TAGS: usize = 10;

/// Where an object lies.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stored {
    pub(super) kind: Kind,
    pub(super) offset: u64,
    pub(super) size: u64,
}

/// The objects of a fetch.
pub(super) struct Objects {
    pub(super) heap: Heap,
    pub(super) known: HashMap<ObjectId, Stored>,
}

impl Objects {
    /// Returns an empty collection whose bytes lie in `directory`, at most so many of them.
    pub(super) fn new(directory: &Path, most_bytes: u64) -> Result<Objects> {
        Ok(Objects { heap: Heap::new(directory, most_bytes)?, known: HashMap::new() })
    }

    pub(super) fn stored(&self, id: &ObjectId) -> Result<Stored> {
        self.known.get(id).copied().with_context(|| format!("the server did not send {id}"))
    }

    pub(super) fn get(&self, id: &ObjectId, kind: Kind) -> Result<Stored> {
        let stored = self.stored(id)?;
        ensure!(stored.kind == kind, "{id} is a {}, not a {kind}", stored.kind);
        Ok(stored)
    }

    /// Returns the bytes of a commit, tag or tree.
    pub(super) fn read(&self, id: &ObjectId, kind: Kind) -> Result<Vec<u8>> {
        let stored = self.get(id, kind)?;
        if stored.size > LARGEST_IN_MEMORY {
            bail!("the {kind} {id} is larger than {LARGEST_IN_MEMORY} bytes");
        }
        let mut bytes = Vec::new();
        self.open(stored).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Opens an object's bytes.
    pub(super) fn open(&self, stored: Stored) -> Section {
        self.heap.section(stored.offset, stored.size)
    }

    /// Returns the commit that an object is, or that a tag leads to in the end.
    pub(super) fn peeled(&self, id: &ObjectId) -> Result<ObjectId> {
        let mut id = *id;
        for _ in 0..MOST_TAGS {
            if self.known.get(&id).is_none_or(|stored| stored.kind != Kind::Tag) {
                self.get(&id, Kind::Commit)?;
                return Ok(id);
            }
            id = self.target(&id)?;
        }
        bail!("more than {MOST_TAGS} tags lead to each other")
    }

    /// Returns what a tag names.
    pub(super) fn target(&self, tag: &ObjectId) -> Result<ObjectId> {
        let bytes = self.read(tag, Kind::Tag)?;
        TagRefIter::from_bytes(&bytes, Hash::Sha1)
            .target_id()
            .map_err(|_| anyhow!("the tag {tag} can't be read"))
    }

    /// Returns the tree of a commit, and whether it has parents.
    pub(super) fn commit(&self, id: &ObjectId) -> Result<(ObjectId, bool)> {
        let bytes = self.read(id, Kind::Commit)?;
        let unreadable = || format!("the commit {id} can't be read");
        let tree = CommitRefIter::from_bytes(&bytes, Hash::Sha1).tree_id();
        let tree = tree.map_err(|error| anyhow!("{error}")).with_context(unreadable)?;
        let has_parents = CommitRefIter::from_bytes(&bytes, Hash::Sha1).parent_ids().next().is_some();
        Ok((tree, has_parents))
    }
}

/// Bytes that are only added to.
pub(super) struct Heap {
    file: Arc<File>,
    /// What is not in the file yet.
    pending: Vec<u8>,
    end: u64,
    most: u64,
}

impl Heap {
    pub(super) fn new(directory: &Path, most: u64) -> Result<Heap> {
        let file = tempfile::tempfile_in(directory).context("cannot make a file for objects")?;
        Ok(Heap { file: Arc::new(file), pending: Vec::new(), end: 0, most })
    }

    /// Returns where the next byte will lie.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    pub(super) fn add(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.end += bytes.len() as u64;
        if self.end > self.most {
            return Err(io::Error::other(format!("the repository has more than {} bytes", self.most)));
        }
        self.pending.extend_from_slice(bytes);
        if self.pending.len() >= BUFFER { self.flush() } else { Ok(()) }
    }

    /// Makes all that was added readable.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.file.write_all_at(&self.pending, self.end - self.pending.len() as u64)?;
        self.pending.clear();
        Ok(())
    }

    /// Reads what was flushed.
    pub(super) fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }

    pub(super) fn section(&self, offset: u64, size: u64) -> Section {
        Section { file: self.file.clone(), offset, end: offset + size }
    }
}

/// Bytes in a file.
#[derive(Clone)]
pub struct Section {
    file: Arc<File>,
    offset: u64,
    end: u64,
}

impl Section {
    pub(super) fn size(&self) -> u64 {
        self.end - self.offset
    }
}

impl Read for Section {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end - self.offset).unwrap_or(usize::MAX);
        let most = buffer.len().min(left);
        let n_bytes = self.file.read_at(&mut buffer[..most], self.offset)?;
        if n_bytes == 0 && most > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.offset += n_bytes as u64;
        Ok(n_bytes)
    }
}
