//! Paths taken away: a layer of whiteouts.
//!
//! Directories and links are known from the [`Skeleton`]. Whether there is such a file, and which files match a
//! pattern, only the layers can tell: they are read then, not unpacked (docs/decisions/0009-removals-read-layers.md).

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};

use super::landing::Landing;
use super::paths::{Paths as Account, shown};
use crate::bom::{BomDelta, Origin};
use crate::build::graph::Delta;
use crate::build::selection::Selection;
use crate::layer::{Found, LayerWriter, Skeleton};

/// Paths without a leading slash.
pub type Paths = BTreeSet<Vec<u8>>;

/// Removes `paths`; a directory goes with all that is in it. `files` lists what else than directories and links is in
/// the root, and is asked only if that is needed. Returns also which of the paths are not there.
pub fn remove(
    paths: &[String],
    root: &Skeleton,
    files: &dyn Fn() -> Result<Paths>,
    mut writer: LayerWriter,
) -> Result<(Delta, Vec<String>)> {
    let wishes = paths.iter().map(|path| Wish::of(path, root)).collect::<Result<Vec<_>>>()?;
    let files = match wishes.iter().any(Wish::is_about_files) {
        true => files()?,
        false => Paths::new(),
    };
    let found: Vec<Paths> = wishes.iter().map(|wish| wish.found(root, &files)).collect();
    let absent = paths.iter().zip(&found).filter(|(_, found)| found.is_empty());
    let absent = absent.map(|(path, _)| path.clone()).collect();
    let removed = topmost(&found.into_iter().flatten().collect());
    if removed.is_empty() {
        return Ok((Delta::default(), absent));
    }
    let mut landing = Landing::new(root);
    removed.iter().try_for_each(|path| landing.add_parents("what is removed", path))?;
    for (_, entry) in landing.entries() {
        writer.entry(entry, &mut std::io::empty())?;
    }
    writer.whiteouts(removed.iter().map(Vec::as_slice))?;
    let packed = writer.finish()?;
    let mut paths = Account::of_landing(&landing, &Origin::Directory);
    removed.iter().for_each(|path| paths.remove(path, Origin::Removal));
    let removed_paths = removed.iter().map(|path| shown(path)).collect();
    let bom = BomDelta { removed_paths, ..BomDelta::default() };
    Ok((paths.delta(packed, bom)?, absent))
}

/// What a path asks for, in terms of the root.
enum Wish {
    /// This directory or link.
    Known(Vec<u8>),
    /// This path, at which there may be a file.
    Unsure(Vec<u8>),
    /// What of this directory is selected.
    Matching(Vec<u8>, Selection),
    /// Nothing: there is no such directory.
    Nothing,
}

impl Wish {
    /// Links among the parents lead where they lead in the root; the path itself is never followed.
    fn of(path: &str, root: &Skeleton) -> Result<Wish> {
        let failed = || format!("cannot remove {path}");
        let path = path.trim_end_matches('/');
        if let Some(selection) = Selection::of(path)? {
            let directory = root.follow(selection.directory().as_bytes()).with_context(failed)?;
            return Ok(match directory.found {
                Found::Directory { .. } => Wish::Matching(directory.path, selection),
                Found::Symlink { .. } | Found::Other => Wish::Nothing,
            });
        }
        let resolved = root.resolve(path.as_bytes()).with_context(failed)?;
        Ok(match resolved.found {
            Found::Directory { .. } | Found::Symlink { .. } => Wish::Known(resolved.path),
            Found::Other if resolved.missing.is_empty() => Wish::Unsure(resolved.path),
            Found::Other => Wish::Nothing,
        })
    }

    fn is_about_files(&self) -> bool {
        match self {
            Wish::Unsure(_) | Wish::Matching(..) => true,
            Wish::Known(_) | Wish::Nothing => false,
        }
    }

    fn found(&self, root: &Skeleton, files: &Paths) -> Paths {
        match self {
            Wish::Known(path) => Paths::from([path.clone()]),
            Wish::Unsure(path) => files.get(path).into_iter().cloned().collect(),
            Wish::Matching(directory, selection) => matching(directory, selection, root, files),
            Wish::Nothing => Paths::new(),
        }
    }
}

fn matching(directory: &[u8], selection: &Selection, root: &Skeleton, files: &Paths) -> Paths {
    let start = if directory.is_empty() { Vec::new() } else { [directory, b"/"].concat() };
    let is_meant = |path: &&[u8]| {
        path.strip_prefix(start.as_slice())
            .is_some_and(|below| selection.matches_below(&String::from_utf8_lossy(below)))
    };
    let all = root.paths().chain(files.iter().map(Vec::as_slice));
    all.filter(is_meant).map(<[u8]>::to_vec).collect()
}

/// Leaves out what lies in a directory that is removed anyway.
fn topmost(paths: &Paths) -> Paths {
    let is_covered = |path: &[u8]| {
        let mut ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(end, _)| end);
        ends.any(|end| paths.contains(&path[..end]))
    };
    paths.iter().filter(|path| !is_covered(path)).cloned().collect()
}
