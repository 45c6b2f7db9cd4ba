//! A commit of a git repository as a layer: what ADD takes its files out of.

use anyhow::{Context as _, Result};

use super::paths::Paths;
use crate::bom::{self, BomDelta, FileSource, Origin};
use crate::build::graph::{Delta, Repository};
use crate::digest::HashingReader;
use crate::git::{Checkout, Leaf};
use crate::layer::{Entry, Kind, LayerWriter};

/// The permissions of directories and links, of which git keeps none.
const MODE_OF_DIRECTORY: u32 = 0o755;
const MODE_OF_LINK: u32 = 0o777;

/// Writes the files of a commit; a checkout has no time of its own, so they take the image's.
pub fn repository(op: &Repository, checkout: &Checkout, mut writer: LayerWriter) -> Result<Delta> {
    let (mut bom, mut paths) = (BomDelta::default(), Paths::default());
    for (path, leaf) in &checkout.leaves {
        let shown = format!("/{}", String::from_utf8_lossy(path));
        let failed = || format!("cannot write {shown} of {}", op.uri);
        match leaf {
            Leaf::Directory => {
                paths.put(path, Origin::Directory);
                let entry = timeless(Entry::directory(path.clone(), MODE_OF_DIRECTORY));
                writer.entry(&entry, &mut std::io::empty()).with_context(failed)?;
            }
            Leaf::Symlink { target } => {
                paths.put(path, Origin::Symlink);
                let kind = Kind::Symlink { target: target.clone() };
                let mut entry = timeless(Entry { path: path.clone(), kind, metadata: Default::default() });
                entry.metadata.mode = MODE_OF_LINK;
                writer.entry(&entry, &mut std::io::empty()).with_context(failed)?;
            }
            Leaf::File { mode, content } => {
                paths.put(path, Origin::File);
                let entry = timeless(Entry::file(path.clone(), *mode, content.size()));
                let mut reader = HashingReader::new(content.open());
                writer.entry(&entry, &mut reader).with_context(failed)?;
                let (digest, size, mode) = (reader.finish().1, content.size(), format!("{mode:04o}"));
                let (uri, commit) = checkout.origin(path).unwrap_or((&op.uri, &op.commit));
                let git = bom::Git {
                    repository_uri: uri.to_owned(),
                    reference: commit.to_owned(),
                    verified: true,
                    ..bom::Git::default()
                };
                let source = FileSource { git: Some(Box::new(git)), ..FileSource::default() };
                bom.files.push(bom::File { path: shown, digest, size, mode, source });
            }
        }
    }
    let packed = writer.finish()?;
    paths.delta(packed, bom)
}

fn timeless(mut entry: Entry) -> Entry {
    entry.metadata.mtime = i64::MAX;
    entry
}
