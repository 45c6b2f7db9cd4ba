//! Packages installed beside the Essential ones, of which only what the former and their scripts made is kept.
//!
//! Packages may use the Essential ones without saying so, in their scripts above all (Debian policy 3.8, 6.2). So these
//! are installed first, as for any root from nothing, and the others on top of them, in an overlay: what is in that one
//! is of the others. What is of the dpkg database, or is made of all packages together, is not kept.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::archives::{Archive, open_archives};
use super::paths::Paths;
use super::{bootstrap, install};
use crate::bom::Withheld;
use crate::build::graph::Install;
use crate::build::lock::LockedPackage;
use crate::layer::diff::{Change, ChangeKind};
use crate::layer::{self, Root};
use crate::store::{Scratch, Store};

/// What tells of packages that aren't there.
const NOT_KEPT: [&str; 3] = ["var/lib/dpkg", "var/cache/debconf", "etc/ld.so.cache"];

/// The archives of what is installed.
pub struct Workshop {
    /// The Essential packages and what they need.
    essential: Vec<Archive>,
    /// What the image has of the rest.
    others: Vec<Archive>,
}

/// What packages and their scripts made on top of the Essential ones.
pub struct Made {
    /// Where it is, and nothing else.
    pub root: PathBuf,
    /// What the scripts generated and was taken out again.
    pub withheld: Vec<Withheld>,
    /// What it belongs to.
    pub paths: Paths,
    /// The packages that were installed there, by name.
    names: BTreeSet<String>,
    /// What is there.
    present: BTreeSet<PathBuf>,
    /// What they removed of the Essential packages' files.
    removed: Vec<PathBuf>,
    /// The files that were there before.
    before: BTreeSet<PathBuf>,
    scratch: Scratch,
}

impl Workshop {
    /// Returns what is to be installed: nothing where only Essential packages, and what they need, have scripts.
    /// `fetch` brings what is needed `beside`.
    pub fn of(
        op: &Install,
        beside: &[LockedPackage],
        store: &Store,
        fetch: &dyn Fn() -> Result<()>,
    ) -> Result<Option<Workshop>> {
        let mut archives = open_archives(&op.packages, store)?;
        let n_in_image = archives.len();
        if !archives.iter().any(|archive| archive.has_scripts) {
            return Ok(None);
        }
        fetch()?;
        archives.extend(open_archives(beside, store)?);
        let places = bootstrap::essential(&archives)?;
        let mut workshop = Workshop { essential: Vec::new(), others: Vec::new() };
        for (place, archive) in archives.into_iter().enumerate() {
            match places.contains(&place) {
                true => workshop.essential.push(archive),
                false if place < n_in_image => workshop.others.push(archive),
                false => {}
            }
        }
        Ok(workshop.others.iter().any(|archive| archive.has_scripts).then_some(workshop))
    }

    /// Installs it, and returns what is kept.
    pub fn run(&self, op: &Install, site: &install::Site<'_>) -> Result<Made> {
        let scratch = site.store.scratch()?;
        let lower = scratch.path().join("lower");
        let packages = (&self.essential[..], &self.others[..]);
        let (root, withheld, paths) = install::install_beside(packages, &lower, op, site, &scratch)?;
        let opened = open(&root)?;
        for path in NOT_KEPT {
            opened.remove(path).with_context(|| format!("cannot remove /{path}"))?;
        }
        let changes = layer::diff::overlay(&layer::Stack::open(&[&lower])?, &root)?;
        let (present, removed): (Vec<Change>, Vec<Change>) =
            changes.into_iter().partition(|change| change.kind == ChangeKind::Present);
        let present = present.iter().map(path_of).collect();
        keep_only(&present, &root, &opened)?;
        let before = open(&lower)?.files_below(".")?.into_iter();
        Ok(Made {
            withheld,
            paths,
            names: self.others.iter().map(|archive| archive.package.name.to_string()).collect(),
            present,
            removed: removed.iter().map(path_of).collect(),
            before: before
                .map(|found| found.path.strip_prefix(".").unwrap_or(&found.path).to_owned())
                .collect(),
            root,
            scratch,
        })
    }
}

impl Made {
    /// Whether a file of a package has still to be put in its place. What a script took away, or put elsewhere, hasn't.
    pub fn is_missing(&self, package: &str, place: &Path) -> bool {
        let may_be_gone = self.names.contains(package) && !self.before.contains(place);
        !self.present.contains(place) && !may_be_gone
    }

    /// Lets what was kept be removed while the work goes on.
    pub fn leave(self) {
        self.scratch.leave();
    }

    /// Removes what scripts removed.
    pub fn remove(&self) -> Result<()> {
        let root = open(&self.root)?;
        let mut removed = self.removed.iter();
        Ok(removed.try_for_each(|path| root.remove(path))?)
    }
}

fn open(root: &Path) -> Result<Root> {
    Root::open(root).with_context(|| format!("cannot open {}", root.display()))
}

fn path_of(change: &Change) -> PathBuf {
    OsStr::from_bytes(&change.path).into()
}

/// Removes from the directory of an overlay's changes what is no change, save what leads to one: marks of what is gone,
/// copies that differ in nothing.
fn keep_only(present: &BTreeSet<PathBuf>, changes: &Path, root: &Root) -> Result<()> {
    let on_the_way: BTreeSet<&Path> = present.iter().flat_map(|path| path.ancestors()).collect();
    for change in layer::diff::trees(None, changes)? {
        let path = path_of(&change);
        if !on_the_way.contains(&*path) {
            root.remove(&path).with_context(|| format!("cannot remove /{}", path.display()))?;
        }
    }
    Ok(())
}
