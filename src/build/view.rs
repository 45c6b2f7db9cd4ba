//! What is seen of a root by reading its layers: chosen files, paths, directories and links. Nothing is unpacked.
//!
//! Layers are read one after another, each once, from the store; what is seen is bounded by what is asked for.

use std::collections::BTreeMap;
use std::io::{BufReader, Read};
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use crate::digest::HashingReader;
use crate::inside::Found;
use crate::layer::{self, Entry, Kind, Skeleton};
use crate::oci::Layer;
use crate::store::Store;

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
        View::read(layers, store, ask, None)
    }

    /// As [`View::of`]; every file is looked into.
    pub fn with_insides(layers: &[Layer], store: &Store, ask: &dyn Fn(&Entry) -> Ask) -> Result<View> {
        let scratch = store.scratch()?;
        View::read(layers, store, ask, Some(scratch.path()))
    }

    fn read(
        layers: &[Layer],
        store: &Store,
        ask: &dyn Fn(&Entry) -> Ask,
        scratch: Option<&Path>,
    ) -> Result<View> {
        let mut view = View::default();
        for layer in layers {
            view.add(layer, store, ask, scratch)
                .with_context(|| format!("cannot read layer {}", layer.descriptor.digest))?;
        }
        Ok(view)
    }

    fn add(
        &mut self,
        layer: &Layer,
        store: &Store,
        ask: &dyn Fn(&Entry) -> Ask,
        scratch: Option<&Path>,
    ) -> Result<()> {
        let mut insides = Found::default();
        let mut found: BTreeMap<Vec<u8>, Seen> = BTreeMap::new();
        let blob = BufReader::with_capacity(1 << 18, store.open_blob(&layer.descriptor.digest)?);
        let mut tar = HashingReader::new(layer::decompress(blob)?);
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
        let view = View::with_insides(&layers, &store, &|_| Ask::Nothing).unwrap();
        let mut told: Vec<String> =
            view.found.components.iter().map(|one| format!("{} {}", one.path, one.purl)).collect();
        told.sort();
        assert_eq!(told, ["/b.egg-info pkg:pypi/bar@2", "/c.egg-info pkg:pypi/foo@1"]);
        assert_eq!(View::of(&layers, &store, &|_| Ask::Nothing).unwrap().found, Found::default());
    }
}
