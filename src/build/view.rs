//! What is seen of a root by reading its layers: chosen files, paths, directories and links. Nothing is unpacked.
//!
//! Layers are read one after another, each once, from the store or on their way there; what is seen is bounded by what is
//! asked for.

use std::collections::BTreeMap;
use std::io::{BufReader, Read};
use std::path::Path;

use anyhow::{Context as _, Result, anyhow, bail};

use super::blobs::Unpacking;
use super::pieces;
use crate::digest::{Digest, HashingReader};
use crate::inside::Found;
use crate::layer::{self, Entry, Kind, Skeleton};
use crate::oci::Layer;
use crate::store::{Growing, Scratch, Store};

/// No more than this is read of a file; a dpkg status of 5,000 packages has 8 MB, rpm's database of them 150 MB.
const LARGEST_FILE: u64 = 256 << 20;

/// What is asked about an entry of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Nothing.
    Nothing,
    /// Whether it is there.
    Presence,
    /// What it holds, if it is a file.
    Content,
}

/// A path that was seen.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// What it is.
    pub entry: Entry,
    /// What it holds, where that was asked.
    pub content: Vec<u8>,
}

/// What is seen of a root.
#[derive(Debug, Default)]
pub struct View {
    /// What was asked for, by path without a leading slash.
    pub seen: BTreeMap<Vec<u8>, Seen>,
    /// Its directories, links and names.
    pub skeleton: Skeleton,
    /// What was found inside its files, where that was asked.
    pub found: Found,
}

impl View {
    /// Reads `layers`, lowest first, all of which the store has.
    ///
    /// # Errors
    /// When a layer can't be read, or isn't what its diff ID says.
    pub fn of(layers: &[Layer], store: &Store, ask: &dyn Fn(&Entry) -> Ask) -> Result<View> {
        let coming = &Coming::default();
        Look { store, coming, ask, has_insides: false, unpacking: None }.at(layers).map(|(view, _)| view)
    }

    fn add(
        &mut self,
        layer: &Layer,
        tar: impl Read,
        ask: &dyn Fn(&Entry) -> Ask,
        scratch: Option<&Path>,
    ) -> Result<()> {
        let mut insides = Found::default();
        let mut found: BTreeMap<Vec<u8>, Seen> = BTreeMap::new();
        let mut tar = HashingReader::new(tar);
        let delta = layer::scan(&mut tar, &mut |entry: &Entry, content: &mut dyn Read| {
            let asked = ask(entry);
            let mut bytes = Vec::new();
            if let (Ask::Content, Kind::File { .. }) = (asked, &entry.kind) {
                content.take(LARGEST_FILE).read_to_end(&mut bytes)?;
            }
            if let (Some(scratch), Kind::File { size }) = (scratch, &entry.kind) {
                let mut whole = bytes.as_slice().chain(content);
                insides.extend(layer::look_in_passing(&entry.path, *size, &mut whole, scratch)?);
            }
            if asked == Ask::Nothing {
                return Ok(());
            }
            found.insert(entry.path.clone(), Seen { entry: entry.clone(), content: bytes });
            Ok(())
        })?;
        std::io::copy(&mut tar, &mut std::io::sink())?;
        let (_, diff_id, _) = tar.finish();
        if diff_id != layer.diff_id {
            bail!("its content has the digest {diff_id}, the configuration says {}", layer.diff_id);
        }
        self.seen.retain(|path, _| !delta.removes(path));
        self.found.retain(&|path| !delta.removes(path));
        self.skeleton.apply(&delta)?;
        for (path, seen) in found {
            self.seen.insert(self.skeleton.resolve(&path)?.path, seen);
        }
        self.found.extend(insides);
        Ok(())
    }
}

/// Blobs that are still coming into a store, by digest.
pub type Coming = BTreeMap<Digest, Growing>;

/// How layers are looked at.
pub struct Look<'a> {
    /// What has them.
    pub store: &'a Store,
    /// Those of them that it will have.
    pub coming: &'a Coming,
    /// What is asked of them.
    pub ask: &'a dyn Fn(&Entry) -> Ask,
    /// Whether every file is looked into.
    pub has_insides: bool,
    /// What unpacks them meanwhile.
    pub unpacking: Option<&'a Unpacking<'a>>,
}

impl Look<'_> {
    /// Reads `layers`, lowest first; returns also whether all of them were unpacked.
    ///
    /// # Errors
    /// When a layer can't be read, or isn't what its diff ID says; not when it can't be unpacked.
    pub fn at(&self, layers: &[Layer]) -> Result<(View, bool)> {
        let scratch = self.has_insides.then(|| self.store.scratch()).transpose()?;
        let scratch = scratch.as_ref().map(Scratch::path);
        let (mut view, mut is_unpacked) = (View::default(), self.unpacking.is_some());
        for layer in layers {
            let unpacking = self.unpacking.filter(|_| is_unpacked);
            let looked = self.look(layer, &mut view, unpacking, scratch);
            is_unpacked = looked.with_context(|| format!("cannot read layer {}", layer.descriptor.digest))?;
        }
        Ok((view, is_unpacked))
    }

    fn open(&self, layer: &Layer) -> Result<Box<dyn Read + Send>> {
        let digest = &layer.descriptor.digest;
        Ok(match self.coming.get(digest) {
            Some(growing) => Box::new(growing.reader(self.store, digest)),
            None => Box::new(self.store.open_blob(digest)?),
        })
    }

    /// Decompresses a layer on one thread, looks at it on this one, and unpacks it on a third.
    fn look(
        &self,
        layer: &Layer,
        view: &mut View,
        unpacking: Option<&Unpacking<'_>>,
        scratch: Option<&Path>,
    ) -> Result<bool> {
        let plain = layer::decompress(BufReader::with_capacity(1 << 18, self.open(layer)?))?;
        let (taker, tar) = pieces::channel();
        std::thread::scope(|scope| {
            let mut takers = vec![taker];
            let unpacking = unpacking.map(|unpacking| {
                let (taker, tar) = pieces::channel();
                takers.push(taker);
                scope.spawn(move || unpacking.next(tar).is_ok())
            });
            let decompressing = scope.spawn(move || pieces::hand_out(plain, takers));
            let seen = view.add(layer, tar, self.ask, scratch);
            // What is wrong with the bytes is told rather than what that did to the archive.
            decompressing.join().map_err(|_| anyhow!("internal error: the decompressing panicked"))??;
            seen?;
            Ok(unpacking.is_some_and(|unpacking| unpacking.join().unwrap_or(false)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::{Compression, LayerWriter, Options};

    const NOTE: &[u8] = b"Name: foo\nVersion: 1\n";

    fn layer(store: &Store, path: &str, content: &[u8], gone: &[&str]) -> Layer {
        let options = Options { epoch: 0, threads: 1, compression: Compression::default() };
        let mut writer = LayerWriter::new(store.blob_writer().unwrap(), options).unwrap();
        writer.entry(&Entry::file(path, 0o644, content.len() as u64), &mut &content[..]).unwrap();
        writer.whiteouts(gone.iter().map(|path| path.as_bytes())).unwrap();
        writer.finish().unwrap().layer
    }

    #[test]
    fn packages_inside_files_go_with_them() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path().join("state")).unwrap();
        let layers = [
            layer(&store, "a.egg-info", NOTE, &[]),
            layer(&store, "b.egg-info", NOTE, &[]),
            layer(&store, "c.egg-info", NOTE, &["a.egg-info"]),
            layer(&store, "b.egg-info", b"Name: bar\nVersion: 2\n", &[]),
        ];
        let coming = &Coming::default();
        let look = Look { store: &store, coming, ask: &|_| Ask::Nothing, has_insides: true, unpacking: None };
        let (view, _) = look.at(&layers).unwrap();
        let mut told: Vec<String> =
            view.found.components.iter().map(|one| format!("{} {}", one.path, one.purl)).collect();
        told.sort();
        assert_eq!(told, ["/b.egg-info pkg:pypi/bar@2", "/c.egg-info pkg:pypi/foo@1"]);
        assert_eq!(View::of(&layers, &store, &|_| Ask::Nothing).unwrap().found, Found::default());
    }
}
