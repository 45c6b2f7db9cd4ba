//! What is taken out of a tarball or zip of the context or out of a package: single files by name, directories, and what
//! matches a pattern.
//!
//! A tarball may be hostile: nothing of it but the wanted bytes is kept, all in one spool; nothing is unpacked to a
//! path of its choosing, and what it holds in memory is bounded.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use anyhow::{Context as _, Result, anyhow, bail};

use super::archives;
use super::content::{CHANGED, Content, Piece, Place};
use super::members::{Member, Members, Wanted};
use crate::build::context::Context;
use crate::build::graph::SourceFile;
use crate::build::lock::LockedPackage;
use crate::digest::HashingReader;
use crate::layer::{self, Entry, Kind};
use crate::store::Store;

/// How much is copied at a time.
const PIECE: usize = 128 << 10;
/// No more members are taken out of one tarball.
const MOST_MEMBERS: usize = 1_000_000;

/// Reads a tarball once and returns what is wanted of it. Of several members of one name the last counts, as tar has it.
pub(super) fn take(
    source: &SourceFile,
    wanted: &Wanted,
    context: &Context,
    spools: &Path,
) -> Result<Members> {
    let mut file = context.open(&source.path)?;
    if layer::is_zip(&mut file)? {
        return take_of_zip(file, source, wanted, spools);
    }
    let file = Watched::new(file);
    let members = wanted.gather_of(layer::decompress(file.clone())?, spools);
    if !file.end_is(source)? {
        bail!(CHANGED);
    }
    Ok(Members::of_archive(members?, format!("`tar -tf {}` lists the members", source.path)))
}

/// A zip is read here and there: from a copy, which nobody changes once it is hashed.
fn take_of_zip(file: File, source: &SourceFile, wanted: &Wanted, spools: &Path) -> Result<Members> {
    let mut copy = tempfile::tempfile_in(spools)?;
    let mut reader = HashingReader::new(file);
    io::copy(&mut reader, &mut copy).context("cannot copy it")?;
    if reader.finish().1 != source.digest {
        bail!(CHANGED);
    }
    let copy = BufReader::new(copy);
    let members = wanted.gather(spools, |visitor| layer::zip_members(copy, visitor))?;
    Ok(Members::of_archive(members, format!("`unzip -l {}` lists the members", source.path)))
}

/// Reads a package once and returns what is wanted of its files.
pub(super) fn take_of_package(
    package: &LockedPackage,
    wanted: &Wanted,
    store: &Store,
    spools: &Path,
) -> Result<Members> {
    let (deb, _) = archives::open_deb(package, store)?;
    let members = wanted.gather_of(deb.data()?, spools)?;
    let hint = "`dpkg-deb --contents` lists what is in its .deb; what its scripts would make isn't";
    Ok(Members::of_archive(members, hint.into()))
}

/// Returns a member's name as archives are read: without `.`, leading and doubled slashes.
pub(super) fn plain(name: &str) -> String {
    let parts = name.split('/').filter(|part| !part.is_empty() && *part != ".");
    parts.collect::<Vec<_>>().join("/")
}

/// Sees each member of an archive, and may read it.
type Visitor<'a> = dyn FnMut(&Entry, &mut dyn Read) -> io::Result<()> + 'a;

impl Wanted {
    /// Reads a tar archive and keeps what is wanted.
    fn gather_of(&self, archive: impl Read, spools: &Path) -> Result<BTreeMap<String, Member>> {
        self.gather(spools, |visitor| layer::members(archive, visitor))
    }

    /// Keeps what is wanted of an archive that `read` reads.
    fn gather(
        &self,
        spools: &Path,
        read: impl FnOnce(&mut Visitor<'_>) -> Result<(), layer::Error>,
    ) -> Result<BTreeMap<String, Member>> {
        let mut spool = Spool::new(spools)?;
        let mut members = BTreeMap::new();
        let mut outcome = Ok(());
        let read = read(&mut |entry, content| {
            if outcome.is_ok() {
                outcome = self.keep(entry, content, &mut spool, &mut members);
            }
            Ok(())
        });
        outcome?;
        read.map_err(of_tarball)?;
        Ok(members)
    }

    fn keep(
        &self,
        entry: &Entry,
        content: &mut dyn Read,
        spool: &mut Spool,
        members: &mut BTreeMap<String, Member>,
    ) -> Result<()> {
        let name = String::from_utf8_lossy(&entry.path);
        let is_wanted = self.names.contains(&*name)
            || self.selections.iter().any(|selection| selection.take(&name).is_some());
        if !is_wanted {
            return Ok(());
        }
        if members.len() >= MOST_MEMBERS {
            bail!("more than {MOST_MEMBERS} of its members are wanted");
        }
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let member = match &entry.kind {
            Kind::File { .. } => Member::File(spool.add(entry, content)?),
            Kind::Directory => Member::Directory(entry.metadata.mode),
            Kind::Symlink { target } => Member::Link(text(target)),
            Kind::Hardlink { target } => Member::Hardlink(text(target)),
            Kind::CharDevice { .. } | Kind::BlockDevice { .. } | Kind::Fifo => Member::Special,
        };
        members.insert(name.into_owned(), member);
        Ok(())
    }
}

/// The bytes of all files that are taken, one after another.
pub(super) struct Spool {
    file: Arc<File>,
    path: PathBuf,
    length: u64,
    buffer: Vec<u8>,
}

impl Spool {
    pub(super) fn new(directory: &Path) -> Result<Spool> {
        let path = directory.join("spool");
        let file = File::options().read(true).write(true).create_new(true).open(&path);
        let file = file.with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Spool { file: Arc::new(file), path, length: 0, buffer: vec![0; PIECE] })
    }

    pub(super) fn add(&mut self, entry: &Entry, content: &mut dyn Read) -> Result<Content> {
        let place = Place::Spool(self.file.clone(), self.length);
        let mut reader = HashingReader::new(content);
        self.keep(&mut reader)?;
        let (_, digest, size) = reader.finish();
        Ok(Content { place, size, digest, mode: entry.metadata.mode, mtime: entry.metadata.mtime })
    }

    /// Keeps bytes that are hashed later.
    pub(super) fn keep(&mut self, content: &mut dyn Read) -> Result<Piece> {
        let start = self.length;
        loop {
            let n = content.read(&mut self.buffer)?;
            if n == 0 {
                return Ok(Piece::of(self.file.clone(), start, self.length - start));
            }
            let written = (&*self.file).write_all(&self.buffer[..n]);
            written.with_context(|| format!("cannot write {}", self.path.display()))?;
            self.length += n as u64;
        }
    }
}

/// An error of reading archives, as a sentence about a tarball.
pub(super) fn of_tarball(error: layer::Error) -> anyhow::Error {
    match error {
        layer::Error::Read(error) => error.into(),
        layer::Error::Malformed(reason) => anyhow!(reason),
        layer::Error::Refused { path, reason } => anyhow!("its member {path} is refused: {reason}"),
        error @ (layer::Error::Io { .. }
        | layer::Error::Write(_)
        | layer::Error::Store(_)
        | layer::Error::TooManyLinks { .. }
        | layer::Error::Misuse(_)) => error.into(),
    }
}

/// A file that is hashed while others read it.
#[derive(Clone)]
struct Watched(Arc<Mutex<HashingReader<BufReader<File>>>>);

impl Watched {
    fn new(file: File) -> Watched {
        Watched(Arc::new(Mutex::new(HashingReader::new(BufReader::with_capacity(PIECE, file)))))
    }

    /// Reads on to the end; whether the whole was what the graph knows.
    fn end_is(mut self, source: &SourceFile) -> Result<bool> {
        io::copy(&mut self, &mut io::sink())?;
        let reader = Arc::into_inner(self.0).and_then(|reader| reader.into_inner().ok());
        let reader = reader.ok_or_else(|| anyhow!("internal error: the tarball is still being read"))?;
        let (_, digest, _) = reader.finish();
        Ok(digest == source.digest)
    }
}

impl Read for Watched {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut reader = self.0.lock().map_err(|_| io::Error::other("another reader panicked"))?;
        reader.read(buffer)
    }
}
