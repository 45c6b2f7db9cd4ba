//! A checkout of a repository on this machine, read without git: its commit, its remotes, what its commit holds.
//!
//! Nothing is run, and of the configuration only the repository's own counts, without what that includes. Whose files
//! they are doesn't matter: nothing of them is believed but what the commit's digest vouches for, and the remotes' names.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use gix::ObjectId;
use gix::hash::hasher;
use gix::objs::Kind;
use gix::objs::encode::loose_header;
use gix::objs::tree::EntryKind;
use gix::open::Options;
use gix::sec::Trust;

use super::address;
use super::attributes::Conversions;
use super::refs::is_commit;
use crate::digest::Digest;
use crate::redact;

/// Trees that were read are kept up to so many bytes.
const TREE_CACHE: usize = 16 << 20;
/// No pointer of git-lfs is longer, in bytes (<https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md>).
const LONGEST_POINTER: u64 = 1024;
/// No text whose lines end in CR and LF is compared if it is larger, in bytes.
const LARGEST_TEXT: u64 = 16 << 20;

/// A checkout: files, and the repository that says which commit they are of.
pub struct LocalCheckout {
    repository: gix::Repository,
    top: PathBuf,
    commit: ObjectId,
    tree: ObjectId,
    remotes: Vec<String>,
}

/// What became of a file since it was committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// Nothing: the commit has it.
    Same,
    /// The commit has no file there.
    Absent,
    /// The commit has other bytes.
    Changed,
    /// It can't be told: the repository converts files in ways that aren't known here.
    Unclear,
}

/// What a ref means in a checkout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// The commit that is checked out.
    ThisCommit,
    /// Another one.
    OtherCommit,
    /// Nothing that is known here.
    Unknown,
}

impl LocalCheckout {
    /// Opens the checkout that a directory is the top of: it has a `.git`, a directory or a file that leads to one.
    ///
    /// # Errors
    /// When it has one, and that is no repository with a commit, or one of a kind that isn't known.
    pub fn at(directory: &Path) -> Result<Option<LocalCheckout>> {
        if fs::symlink_metadata(directory.join(".git")).is_err() {
            return Ok(None);
        }
        let options = Options::isolated().with(Trust::Full);
        let mut repository = gix::open_opts(directory, options)?;
        repository.object_cache_size_if_unset(TREE_CACHE);
        let head = repository.head_commit().context("it has no commit")?;
        let (commit, tree) = (head.id, head.tree_id()?.detach());
        drop(head);
        let remotes = remotes(&repository);
        Ok(Some(LocalCheckout { repository, top: directory.to_owned(), commit, tree, remotes }))
    }

    /// Returns the commit that is checked out, in hexadecimal digits.
    pub fn commit(&self) -> String {
        self.commit.to_string()
    }

    /// Returns the address that the repository was cloned from, without credentials: that of `origin`, else of the first
    /// remote.
    pub fn remote(&self) -> Option<&str> {
        self.remotes.first().map(String::as_str)
    }

    /// Whether an address is that of one of its remotes, however it is written.
    pub fn is_of(&self, address: &str) -> bool {
        let wanted = address::normal(address);
        self.remotes.iter().any(|remote| address::normal(remote) == wanted)
    }

    /// Returns what a ref means here: a commit, or the beginning of one, or a name.
    pub fn meaning(&self, reference: &str) -> Meaning {
        let head = self.commit();
        let digits = reference.to_ascii_lowercase();
        let is_hexadecimal = digits.len() >= 4 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        let named = self.repository.try_find_reference(reference).ok().flatten();
        let named = named.and_then(|mut found| found.peel_to_id().ok()).map(gix::Id::detach);
        match named {
            _ if is_hexadecimal && head.starts_with(&digits) => Meaning::ThisCommit,
            Some(id) if id == self.commit => Meaning::ThisCommit,
            Some(_) => Meaning::OtherCommit,
            None if is_commit(&digits) || is_hexadecimal && digits.len() >= 7 => Meaning::OtherCommit,
            None => Meaning::Unknown,
        }
    }

    /// Compares a file, by its path in the checkout, with the commit. `open` opens the bytes, whose digest is `digest`.
    ///
    /// # Errors
    /// When the bytes or the commit's trees can't be read.
    pub fn compare(
        &self,
        path: &Path,
        digest: &Digest,
        open: &dyn Fn() -> io::Result<fs::File>,
    ) -> Result<Kept> {
        let tree = self.repository.find_tree(self.tree)?;
        let Some(entry) = tree.lookup_entry_by_path(path)? else { return Ok(Kept::Absent) };
        if !matches!(entry.mode().kind(), EntryKind::Blob | EntryKind::BlobExecutable) {
            return Ok(Kept::Absent);
        }
        let id = entry.object_id();
        let file = open()?;
        let size = file.metadata()?.len();
        if self.id_of(file, size)? == id || self.is_pointer(&id, digest) {
            return Ok(Kept::Same);
        }
        let conversions = Conversions::of(&self.top, path, self.repository.common_dir());
        if (conversions.lines || self.converts_lines()) && self.id_of_unix(open()?)? == Some(id) {
            return Ok(Kept::Same);
        }
        Ok(if conversions.others { Kept::Unclear } else { Kept::Changed })
    }

    /// Returns the name that git gives a file's bytes.
    fn id_of(&self, mut content: impl Read, size: u64) -> Result<ObjectId> {
        let mut id = hasher(self.repository.object_hash());
        id.update(&loose_header(Kind::Blob, size));
        let mut buffer = vec![0; 1 << 17];
        loop {
            match content.read(&mut buffer)? {
                0 => return Ok(id.try_finalize()?),
                n => id.update(&buffer[..n]),
            }
        }
    }

    /// As [`LocalCheckout::id_of`], with the line ends that git keeps; without a name it is too large to be a text.
    fn id_of_unix(&self, file: fs::File) -> Result<Option<ObjectId>> {
        let mut text = Vec::new();
        if file.take(LARGEST_TEXT + 1).read_to_end(&mut text)? as u64 > LARGEST_TEXT {
            return Ok(None);
        }
        let next = text.iter().skip(1).chain([&0]);
        let is_kept = |(byte, next): (&u8, &u8)| (*byte, *next) != (b'\r', b'\n');
        let text: Vec<u8> =
            text.iter().zip(next).filter(|pair| is_kept(*pair)).map(|(byte, _)| *byte).collect();
        self.id_of(text.as_slice(), text.len() as u64).map(Some)
    }

    fn converts_lines(&self) -> bool {
        let configuration = self.repository.config_snapshot();
        let value = configuration.string("core.autocrlf").unwrap_or_default();
        matches!(value.to_ascii_lowercase().as_slice(), b"true" | b"input" | b"yes" | b"on" | b"1")
    }

    /// Whether git keeps a pointer of git-lfs to the bytes with this digest.
    fn is_pointer(&self, id: &gix::oid, digest: &Digest) -> bool {
        if !self.repository.find_header(id).is_ok_and(|header| header.size() <= LONGEST_POINTER) {
            return false;
        }
        let Ok(blob) = self.repository.find_blob(id) else { return false };
        let mut lines = blob.data.split(|&byte| byte == b'\n');
        lines.next().is_some_and(|line| line.starts_with(b"version https://git-lfs"))
            && lines.any(|line| line == format!("oid {digest}").as_bytes())
    }
}

/// Returns the addresses of remotes, that of `origin` first.
fn remotes(repository: &gix::Repository) -> Vec<String> {
    let names = repository.remote_names();
    let mut names: Vec<String> = names.iter().map(ToString::to_string).collect();
    names.sort_by_key(|name| (name != "origin", name.clone()));
    let configuration = repository.config_snapshot();
    let addresses =
        names.iter().filter_map(|name| configuration.string(format!("remote.{name}.url").as_str()));
    addresses.map(|address| redact::url(address.to_string().trim())).collect()
}
