//! Members taken out of a tarball of the context: regular files, by their names, spooled to disk.
//!
//! A tarball may be hostile: nothing of it but the wanted bytes is kept, nothing is unpacked to a path of its
//! choosing, and what it holds in memory is bounded.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};

use anyhow::{Context as _, Result, anyhow, bail};

use super::content::{CHANGED, Content};
use crate::build::context::Context;
use crate::build::graph::Source;
use crate::digest::HashingReader;
use crate::layer::{self, Entry, Kind};

/// How much is copied at a time.
const PIECE: usize = 128 << 10;

/// Returns the members that go by the `wanted` names, all of which must be there.
pub(super) fn take(
    source: &Source,
    wanted: &BTreeSet<String>,
    context: &Context,
    spools: &Path,
) -> Result<BTreeMap<String, Content>> {
    let file = Watched::new(context.open(&source.path)?);
    let mut found = BTreeMap::new();
    let mut outcome = Ok(());
    let read = layer::members(layer::decompress(file.clone())?, &mut |entry, content| {
        let name = String::from_utf8_lossy(&entry.path);
        if outcome.is_ok() && wanted.contains(&*name) {
            let spool = spools.join(format!("member-{}", found.len()));
            // A later member of the same name takes the place of an earlier one, as tar has it.
            outcome =
                spooled(entry, content, &spool).map(|content| drop(found.insert(name.into_owned(), content)));
        }
        Ok(())
    });
    if !file.end_is(source)? {
        bail!(CHANGED);
    }
    outcome?;
    read.map_err(of_tarball)?;
    match wanted.iter().find(|name| !found.contains_key(*name)) {
        Some(name) => bail!("it has no member {name}\nhint: `tar -tf {}` lists the members", source.path),
        None => Ok(found),
    }
}

/// Returns a member's name as archives are read: without `.`, leading and doubled slashes.
pub(super) fn plain(name: &str) -> String {
    let parts = name.split('/').filter(|part| !part.is_empty() && *part != ".");
    parts.collect::<Vec<_>>().join("/")
}

fn spooled(entry: &Entry, content: &mut dyn Read, spool: &Path) -> Result<Content> {
    refuse_what_is_no_file(entry)?;
    // A spool that an earlier member of the same name has open is left to it.
    let _ = std::fs::remove_file(spool);
    let mut writer = File::options().read(true).write(true).create_new(true).open(spool)?;
    let mut reader = HashingReader::new(content);
    let mut piece = vec![0; PIECE];
    loop {
        match reader.read(&mut piece)? {
            0 => break,
            n => {
                writer.write_all(&piece[..n]).with_context(|| format!("cannot write {}", spool.display()))?;
            }
        }
    }
    let (_, digest, size) = reader.finish();
    Ok(Content { file: writer, size, digest, mode: entry.metadata.mode, mtime: entry.metadata.mtime })
}

fn refuse_what_is_no_file(entry: &Entry) -> Result<()> {
    let link = |kind: &str, target: &[u8]| format!("{kind} link to {}", String::from_utf8_lossy(target));
    let kind = match &entry.kind {
        Kind::File { .. } => return Ok(()),
        Kind::Symlink { target } => link("symbolic", target),
        Kind::Hardlink { target } => link("hard", target),
        Kind::Directory => "directory".into(),
        Kind::CharDevice { .. } | Kind::BlockDevice { .. } | Kind::Fifo => "special file".into(),
    };
    let name = String::from_utf8_lossy(&entry.path);
    bail!("its member {name} is no regular file but a {kind}\nhint: name the file itself")
}

/// An error of reading archives, as a sentence about a tarball.
fn of_tarball(error: layer::Error) -> anyhow::Error {
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
    fn end_is(mut self, source: &Source) -> Result<bool> {
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
