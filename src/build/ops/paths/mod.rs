//! What the paths of a layer belong to: said by who makes the layer, and checked against what was written.
//!
//! Nothing is found out from the layer itself here. A path that its maker can't explain is written down as such, and the
//! build ends with it, unless a policy allows it ([`of_image`](crate::build::policy::of_image)).

pub mod books;
pub mod dpkg;
pub mod timeline;

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, bail};

use super::landing::Landing;
use crate::bom::{BomDelta, LayerAccount, Origin, PathGroup};
use crate::build::graph::Delta;
use crate::layer::Packed;

/// How many paths an error names.
const N_NAMED: usize = 20;

/// What a layer's maker knows of its paths.
#[derive(Debug, Default)]
pub struct Paths {
    present: BTreeMap<String, Origin>,
    removed: BTreeMap<String, Origin>,
}

impl Paths {
    /// Returns what is known where all that was placed belongs to the same, and the rest leads there.
    pub fn of_landing(landing: &Landing<'_>, origin: &Origin) -> Paths {
        let mut paths = Paths::default();
        for (path, is_parent) in landing.paths() {
            paths.put(path, if is_parent { Origin::Directory } else { origin.clone() });
        }
        paths
    }

    /// Says what a path belongs to that the layer puts in place.
    pub fn put(&mut self, path: &[u8], origin: Origin) {
        self.present.insert(shown(path), origin);
    }

    /// Says the same of a path that is already absolute.
    pub fn put_shown(&mut self, path: &str, origin: Origin) {
        self.present.insert(path.to_owned(), origin);
    }

    /// Says why a path is taken away.
    pub fn remove(&mut self, path: &[u8], origin: Origin) {
        self.removed.insert(shown(path), origin);
    }

    /// Says of the directories that a path is in, unless something else was said of them, that they lead there.
    pub fn put_parents(&mut self, path: &[u8]) {
        let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(end, _)| end);
        for parent in ends.map(|end| shown(&path[..end])) {
            self.present.entry(parent).or_insert(Origin::Directory);
        }
    }

    /// Returns what was said of a path that the layer puts in place.
    pub fn origin(&self, path: &[u8]) -> Option<&Origin> {
        self.present.get(&shown(path))
    }

    /// Returns what the layer changes, with the account of its paths in `bom`.
    ///
    /// # Errors
    /// When its maker says something of a path that isn't in the layer.
    pub fn delta(self, packed: Packed, bom: BomDelta) -> Result<Delta> {
        let layer = Some(self.account(&packed)?);
        let bom = BomDelta { layer, ..bom };
        Ok(Delta::of(packed, bom))
    }

    fn account(mut self, packed: &Packed) -> Result<LayerAccount> {
        settle(&mut self.present, &packed.paths)?;
        settle(&mut self.removed, &packed.removed)?;
        let mut groups = BTreeMap::new();
        for (path, origin) in self.present {
            place(&mut groups, origin).paths.push(path);
        }
        for (path, origin) in self.removed {
            place(&mut groups, origin).removed.push(path);
        }
        let groups = groups.into_values().collect();
        Ok(LayerAccount { diff_id: packed.layer.diff_id, is_base: false, groups })
    }
}

fn place(groups: &mut BTreeMap<Origin, PathGroup>, origin: Origin) -> &mut PathGroup {
    let empty = PathGroup { origin: origin.clone(), paths: Vec::new(), removed: Vec::new() };
    groups.entry(origin).or_insert(empty)
}

/// Adds what nothing explains to what is known, which must not know more than was written.
fn settle(known: &mut BTreeMap<String, Origin>, written: &[Vec<u8>]) -> Result<()> {
    for path in written {
        known.entry(shown(path)).or_insert(Origin::Unaccounted);
    }
    if known.len() == written.len() {
        return Ok(());
    }
    let written: BTreeSet<String> = written.iter().map(|path| shown(path)).collect();
    let absent: Vec<&str> =
        known.keys().filter(|path| !written.contains(*path)).take(N_NAMED).map(String::as_str).collect();
    match absent.is_empty() {
        true => Ok(()),
        false => bail!("internal error: the account tells of what isn't in the layer: {}", absent.join(", ")),
    }
}

/// Returns a path as accounts write it.
pub fn shown(path: &[u8]) -> String {
    format!("/{}", String::from_utf8_lossy(path))
}

#[cfg(test)]
mod tests;
