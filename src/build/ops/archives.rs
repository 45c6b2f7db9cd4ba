//! The archives of packages: opened, compared with the lock, and laid out as dpkg is to see them, in the order in which it
//! unpacks them. What they hold is unpacked elsewhere.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::BufReader;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};

use super::ahead::{Ahead, Compressed};
use super::bootstrap;
use crate::apt::order::{self, Step};
use crate::build::lock::LockedPackage;
use crate::debian::deb::Deb;
use crate::debian::status::{State, Want};
use crate::debian::{self, Installed, Package, deb822};
use crate::layer::Ready;
use crate::sandbox::Sandbox;
use crate::store::{Scratch, Store};

/// A .deb of the store.
pub struct Archive {
    /// Its file.
    pub path: PathBuf,
    /// Its size in bytes.
    pub size: u64,
    /// What its control file says.
    pub package: Package,
    /// Whether it has maintainer scripts.
    pub(super) has_scripts: bool,
    /// Its templates of questions.
    pub(super) templates: Vec<u8>,
}

impl Archive {
    /// Returns name, version and architecture, for people.
    pub fn name(&self) -> String {
        format!("{} {} ({})", self.package.name, self.package.version, self.package.architecture)
    }

    /// Returns the name by which dpkg sees it.
    pub(super) fn file_name(&self) -> String {
        let version = self.package.version.to_string().replace(':', "%3a");
        format!("{}_{version}_{}.deb", self.package.name, self.package.architecture)
    }
}

/// Opens the archives of packages, each of which must be what the lock says.
pub(super) fn open_archives(packages: &[LockedPackage], store: &Store) -> Result<Vec<Archive>> {
    packages
        .iter()
        .map(|locked| {
            open_archive(locked, store).with_context(|| format!("cannot read the archive of {}", locked.name))
        })
        .collect()
}

fn open_archive(locked: &LockedPackage, store: &Store) -> Result<Archive> {
    let (deb, package) = open_deb(locked, store)?;
    let templates = deb.file("templates").map(|file| file.content.clone()).unwrap_or_default();
    let has_scripts = deb.scripts().next().is_some();
    Ok(Archive { path: store.blob_path(&locked.sha256), size: locked.size, package, has_scripts, templates })
}

/// Opens the archive of a package, which must be what the lock says.
pub(super) fn open_deb(locked: &LockedPackage, store: &Store) -> Result<(Deb<BufReader<File>>, Package)> {
    let blob = BufReader::with_capacity(1 << 17, store.open_blob(&locked.sha256)?);
    let deb = debian::deb::open(blob)?;
    let paragraph = deb822::paragraphs(&deb.control).next().context("its control file is empty")??;
    let package = Package::from_paragraph(&paragraph)?;
    let is_same = *package.name == *locked.name
        && package.version.to_string() == locked.version
        && *package.architecture == *locked.architecture;
    if !is_same {
        let (name, version) = (&package.name, &package.version);
        bail!("it holds {name} {version}, the index promised {} {}", locked.name, locked.version);
    }
    Ok((deb, package))
}

/// Puts archives by their names where dpkg is to see them, and starts to decompress them, in this order, and to make what
/// is in them `ready` for a layer. What could be written is no other name of the store's own.
pub(super) fn lay_out(
    archives: &[&Archive],
    scratch: &Scratch,
    sandbox: Sandbox,
    ready: Option<Arc<Ready>>,
) -> Result<Ahead> {
    let directory = scratch.path().join("archives");
    fs::create_dir(&directory)?;
    for archive in archives {
        let place = directory.join(archive.file_name());
        let laid = match sandbox.has_overlays() {
            true => fs::hard_link(&archive.path, &place),
            false => fs::copy(&archive.path, &place).map(drop),
        };
        laid.with_context(|| format!("cannot put an archive at {}", place.display()))?;
    }
    let compressed =
        archives.iter().map(|archive| Compressed { path: archive.path.clone(), name: archive.file_name() });
    Ok(Ahead::start(compressed.collect(), &directory, &scratch.path().join("ahead"), ready)?)
}

/// Returns the archives of a root from nothing in the order in which they are unpacked.
pub(super) fn from_nothing(archives: &[Archive]) -> Result<Vec<&Archive>> {
    let essential = bootstrap::essential(archives)?;
    let first = essential.iter().map(|&index| &archives[index]);
    let rest = in_order(archives, &rest(archives, &essential), &all_installed(first.clone()))?;
    Ok(first.chain(rest).collect())
}

/// Returns those of `archives` that are chosen in the order in which they are unpacked.
pub(super) fn in_order<'a>(
    archives: &'a [Archive],
    chosen: &[usize],
    installed: &[Installed],
) -> Result<Vec<&'a Archive>> {
    let packages: Vec<&Package> = chosen.iter().map(|&index| &archives[index].package).collect();
    let unpacked = order::plan(&packages, installed)?.into_iter().filter_map(|step| match step {
        Step::Unpack(places) => Some(places),
        Step::Configure(_) => None,
    });
    Ok(unpacked.flatten().map(|place| &archives[chosen[place]]).collect())
}

/// Returns the places of all archives.
pub(super) fn all(archives: &[Archive]) -> Vec<usize> {
    (0..archives.len()).collect()
}

/// Returns the places of the archives that aren't Essential.
pub(super) fn rest(archives: &[Archive], essential: &BTreeSet<usize>) -> Vec<usize> {
    (0..archives.len()).filter(|index| !essential.contains(index)).collect()
}

/// Returns packages as they are in a root that they were put in.
pub(super) fn all_installed<'a>(archives: impl Iterator<Item = &'a Archive>) -> Vec<Installed> {
    let installed = archives.map(|archive| Installed {
        package: archive.package.clone(),
        want: Want::Install,
        reinstall_required: false,
        state: State::Installed,
    });
    installed.collect()
}
