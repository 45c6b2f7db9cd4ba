//! Archives that `ADD` unpacks: tar, as it is or compressed.
//!
//! An archive may be hostile. Nothing of it is unpacked to a path of its choosing: its files' bytes stay where they are, or
//! go into one spool if it is compressed, and where its links lead is told as if the target directory were `/`.

use std::io;
use std::path::Path;

use anyhow::{Result, anyhow};

use super::content::{Bytes, File, Opened};
use super::landing::{Landing, shown};
use crate::bom::{self, FileSource};
use crate::build::ops::content::Piece;
use crate::build::ops::tarball::{Spool, of_tarball};
use crate::build::tree::{join, split};
use crate::digest::Digest;
use crate::layer::{self, Entry, Kind};

/// Whether bytes are an archive with something in it.
pub(super) fn is_one(bytes: Opened) -> bool {
    let Ok(archive) = layer::decompress(bytes) else { return false };
    let mut has_entry = false;
    let read = layer::members(archive, &mut |_, _| {
        has_entry = true;
        Err(io::Error::other("one is enough"))
    });
    has_entry || matches!(read, Err(layer::Error::Refused { .. }))
}

/// Returns where the content of a file of this size lies.
type Keep<'a> = dyn FnMut(u64) -> Result<Piece> + 'a;

/// An archive being unpacked.
pub(super) struct Unpacking<'a> {
    /// The directory that it is unpacked in.
    pub(super) target: &'a [u8],
    /// Whose everything becomes.
    pub(super) owner: Option<(u32, u32)>,
    /// Where the archive comes from.
    pub(super) source: &'a FileSource,
    /// The archive's digest, where it is known.
    pub(super) digest: Option<Digest>,
    /// Tells its files from those of others.
    pub(super) n_taken: usize,
    /// Where the bytes of its files are kept.
    pub(super) spools: &'a Path,
}

impl Unpacking<'_> {
    pub(super) fn unpack(&self, bytes: Opened, landing: &mut Landing<'_>) -> Result<()> {
        let mut n_entries = 0;
        let mut outcome = Ok(());
        let mut take = |entry: &Entry, keep: &mut Keep<'_>| {
            n_entries += 1;
            if outcome.is_ok() {
                outcome = self.take(entry, n_entries, keep, landing);
            }
            Ok(())
        };
        let read = match bytes.as_whole_file().filter(|file| layer::is_plain(file).unwrap_or(false)) {
            Some(file) => layer::lying_members(&file, &mut |entry, start| {
                take(entry, &mut |size| Ok(Piece::of(file.clone(), start, size)))
            }),
            None => {
                let spools = tempfile::Builder::new().prefix("archive-").tempdir_in(self.spools)?;
                let mut spool = Spool::new(spools.path())?;
                layer::members(layer::decompress(bytes)?, &mut |entry, content| {
                    take(entry, &mut |_| spool.keep(content))
                })
            }
        };
        outcome?;
        read.map_err(of_tarball)
    }

    fn take(&self, entry: &Entry, nth: u64, keep: &mut Keep<'_>, landing: &mut Landing<'_>) -> Result<()> {
        if entry.path.is_empty() {
            return Ok(());
        }
        let (directory, name) = split(&entry.path);
        let directory = landing.follow(self.target, directory)?;
        let mut model = Entry::directory(Vec::new(), 0o755);
        model.metadata.mtime = i64::MAX;
        landing.make_directories(&directory, &model)?;
        let mut landed = Entry { path: join(&directory, name), ..entry.clone() };
        (landed.metadata.uid, landed.metadata.gid) =
            self.owner.unwrap_or((landed.metadata.uid, landed.metadata.gid));
        landed.metadata.xattrs.retain(|name, _| name == b"security.capability");
        let file = match &entry.kind {
            Kind::File { size } => {
                let bytes = Bytes::Tarball(keep(*size)?);
                let source = self.source_of(&entry.path);
                Some(File { bytes, source, identity: Some((self.n_taken, 0, nth)) })
            }
            Kind::Hardlink { target } => {
                let (kind, file) = self.linked(target, landing)?;
                landed.kind = kind;
                // All names of a file are the same file: what the last one says of it counts.
                if let Some(identity) = file.as_ref().and_then(|file| file.identity) {
                    landing.share(identity, landed.metadata.clone());
                }
                file
            }
            Kind::Directory
            | Kind::Symlink { .. }
            | Kind::CharDevice { .. }
            | Kind::BlockDevice { .. }
            | Kind::Fifo => None,
        };
        landing.put(landed, file)
    }

    /// Returns what another name of a file is.
    fn linked(&self, target: &[u8], landing: &Landing<'_>) -> Result<(Kind, Option<File>)> {
        let (directory, name) = split(target);
        let path = join(&landing.follow(self.target, directory)?, name);
        let first = landing.file(&path).ok_or_else(|| {
            anyhow!("it has a hard link to {}, which isn't in it before that", shown(target))
        })?;
        Ok((first.entry.kind.clone(), first.file.clone()))
    }

    fn source_of(&self, member: &[u8]) -> FileSource {
        let of_context = self.source.context.as_ref().map(|context| &context.path);
        let name = of_context.or(self.source.url.as_ref().map(|url| &url.uri));
        let (Some(name), Some(digest)) = (name, self.digest) else { return self.source.clone() };
        let member = String::from_utf8_lossy(member).into_owned();
        let tarball = Some(Box::new(bom::Tarball { name: name.clone(), digest, member }));
        FileSource { tarball, context: None, ..self.source.clone() }
    }
}
