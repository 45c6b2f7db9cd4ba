//! The working directory of later instructions, made where it is missing.

use anyhow::{Context as _, Result, bail};

use super::known::KnownFiles;
use super::landing::Landing;
use super::paths::Paths;
use crate::bom::{BomDelta, Origin};
use crate::build::graph::{Delta, Workdir};
use crate::layer::{Entry, Found, LayerWriter, Skeleton};

/// Makes the directory and those above it that are missing; whoever works there owns them. Where nothing is missing there
/// is no layer.
pub fn workdir(
    op: &Workdir,
    root: &Skeleton,
    files: &KnownFiles<'_>,
    warn: &dyn Fn(&str),
    writer: &dyn Fn() -> Result<LayerWriter>,
) -> Result<Delta> {
    let failed = || format!("cannot make the directory {}", op.path);
    let resolved = root.follow(op.path.as_bytes()).with_context(failed)?;
    if let Found::Directory { .. } = resolved.found {
        return Ok(Delta::default());
    }
    let (uid, gid) =
        files.ids(&op.user, root, &|unknown| warn(&op.instruction.warning(unknown))).with_context(failed)?;
    let mut landing = Landing::new(root);
    for path in resolved.missing.iter().chain([&resolved.path]) {
        let shown = format!("/{}", String::from_utf8_lossy(path));
        if files.has(path)? {
            bail!("cannot make the directory {}: {shown} is there, and is no directory", op.path);
        }
        let mut entry = Entry::directory(Vec::new(), 0o755);
        (entry.metadata.uid, entry.metadata.gid) = (uid, gid);
        entry.metadata.mtime = i64::MAX;
        landing.place_directory(&shown, entry)?;
    }
    let mut writer = writer()?;
    for (_, entry) in landing.entries() {
        writer.entry(entry, &mut std::io::empty())?;
    }
    let packed = writer.finish()?;
    Paths::of_landing(&landing, &Origin::Instruction { index: 0 }).delta(packed, BomDelta::default())
}
