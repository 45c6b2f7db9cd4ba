//! Symbolic links in a layer of their own.

use anyhow::{Result, bail};

use super::landing::Landing;
use super::paths::Paths;
use crate::bom::{BomDelta, Origin};
use crate::build::graph::Delta;
use crate::layer::{Entry, LayerWriter, Skeleton};

/// Makes the links; what stands in their place is replaced unless it is a directory.
pub fn symlinks(links: &[(String, String)], root: &Skeleton, mut writer: LayerWriter) -> Result<Delta> {
    let mut landing = Landing::new(root);
    let mut bom = BomDelta::default();
    for (path, target) in links {
        if target.is_empty() {
            bail!("cannot link {path}: its target is empty");
        }
        let mut link = Entry::symlink(Vec::new(), target.as_bytes());
        link.metadata.mtime = i64::MAX;
        bom.removed_paths.push(landing.place(path, link)?);
    }
    for (_, entry) in landing.entries() {
        writer.entry(entry, &mut std::io::empty())?;
    }
    let packed = writer.finish()?;
    Paths::of_landing(&landing, &Origin::Symlink).delta(packed, bom)
}
