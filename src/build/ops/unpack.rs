//! A root of nothing but the packages asked for and what they need: unpacked, and recorded where scanners look.
//!
//! What their scripts made is there already; nothing is run here. The records stand in `status.d`, one for each package,
//! as distroless images have them; there is no dpkg that could use a database.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail};

use super::archives::open_deb;
use super::beside::Made;
use super::bootstrap;
use super::copyrights;
use super::install::{account, named};
use super::owned::settled;
use super::paths::Paths;
use super::paths::books::is_book;
use super::present::Present;
use super::sha512;
use super::system;
use crate::bom::{BomDelta, Origin};
use crate::build::graph::{Delta, Install};
use crate::build::lock::LockedPackage;
use crate::debian::{Package, RelationField};
use crate::layer::diff::Change;
use crate::layer::{self, Entry, Kind, LayerWriter, Unpack};
use crate::progress::Progress;
use crate::store::Store;

/// Where the records are, one file each.
const RECORDS: &str = "var/lib/dpkg/status.d";
/// What no package may bring: it would tell of others.
const DATABASE: [&str; 2] = ["var/lib/dpkg/status", RECORDS];

/// What unpacking has at hand.
pub struct Site<'a> {
    /// Holds the archives.
    pub store: &'a Store,
    /// Tells how it goes.
    pub progress: &'a Progress,
    /// Debian's name of the architecture.
    pub architecture: &'a str,
}

/// Unpacks packages into a root of their own, around what their scripts made.
pub fn unpack(op: &Install, site: &Site<'_>, made: Option<&Made>, mut writer: LayerWriter) -> Result<Delta> {
    let scratch = site.store.scratch()?;
    let root = match made {
        Some(made) => made.root.clone(),
        None => scratch.path().join("root"),
    };
    let task = site.progress.start("unpack");
    match made {
        Some(_) => bootstrap::merge_usr(&root, site.architecture)?,
        None => bootstrap::lay_out(&root, site.architecture)?,
    }
    let mut floor = Floor {
        root: &root,
        store: site.store,
        made,
        packages: Vec::new(),
        files: BTreeMap::new(),
        directories: BTreeMap::new(),
    };
    for locked in &op.packages {
        floor.add(locked).with_context(|| format!("cannot unpack {} {}", locked.name, locked.version))?;
        task.advance(locked.size);
    }
    if let Some(made) = made {
        made.remove()?;
    }
    floor.record()?;
    task.done(&format!("{} packages", op.packages.len()));
    let changes = layer::diff::trees(None, &root)?;
    let paths = floor.paths(&changes);
    layer::pack(&changes, &root, &mut writer)?;
    let packed = writer.finish()?;
    let came = floor.packages.iter().map(|unpacked| &unpacked.package);
    let mut bom = BomDelta {
        operating_system: system::of(&layer::Root::open(&root)?)?,
        withheld: made.map(|made| made.withheld.clone()).unwrap_or_default(),
        beside: op.beside.iter().flatten().filter(|_| made.is_some()).map(named).collect(),
        ..account(op, came, &[], &Present::default())
    };
    sha512::add(&mut bom.packages, site.store)?;
    copyrights::add(&mut bom, &layer::Stack::open(&[&root])?, site.store)?;
    scratch.leave();
    paths.delta(packed, bom)
}

/// What is unpacked so far.
struct Floor<'a> {
    root: &'a Path,
    store: &'a Store,
    made: Option<&'a Made>,
    packages: Vec<Unpacked>,
    /// Which package each file is of, by its place in the root.
    files: BTreeMap<PathBuf, usize>,
    /// Which package brought a directory first.
    directories: BTreeMap<PathBuf, usize>,
}

/// A package whose files are there.
struct Unpacked {
    package: Package,
    control: String,
    md5sums: Option<Vec<u8>>,
}

impl Floor<'_> {
    fn add(&mut self, locked: &LockedPackage) -> Result<()> {
        let (deb, package) = open_deb(locked, self.store)?;
        self.packages.push(Unpacked {
            package,
            control: deb.control.clone(),
            md5sums: deb.file("md5sums").map(|file| file.content.clone()),
        });
        let mut outcome = Ok(());
        let root = self.root;
        let unpacked = layer::unpack_with(deb.data()?, root, Unpack::PACKAGE, &mut |entry| {
            let claimed = if outcome.is_ok() { self.claim(entry) } else { Ok(false) };
            claimed.unwrap_or_else(|error| {
                outcome = Err(error);
                false
            })
        });
        outcome?;
        Ok(unpacked?)
    }

    /// Whether a file of the newest package is put in its place. As with dpkg it is an error if another has it, unless
    /// one of the two says that it replaces the other.
    fn claim(&mut self, entry: &Entry) -> Result<bool> {
        let place = settled(OsStr::from_bytes(&entry.path));
        if let Some(known) = DATABASE.iter().find(|known| place.starts_with(known)) {
            bail!("it brings /{known} itself, which is for the records of all packages");
        }
        let newest = self.packages.len() - 1;
        if entry.kind == Kind::Directory {
            self.directories.entry(place).or_insert(newest);
            return Ok(true);
        }
        let is_missing = |made: &Made| made.is_missing(&self.packages[newest].package.name, &place);
        let is_missing = self.made.is_none_or(is_missing);
        let owner = self.files.get(&place).copied().filter(|owner| *owner != newest);
        let Some(owner) = owner else {
            self.files.insert(place, newest);
            return Ok(is_missing);
        };
        let (ours, theirs) = (&self.packages[newest].package, &self.packages[owner].package);
        if replaces(ours, theirs)? {
            self.files.insert(place, newest);
            return Ok(is_missing);
        }
        match replaces(theirs, ours)? {
            true => Ok(false),
            false => bail!("{} has /{} too", theirs.name, place.display()),
        }
    }

    /// Returns what all that is there belongs to: what a script made of a package's file is the script's.
    fn paths(&self, changes: &[Change]) -> Paths {
        let mut paths = Paths::default();
        for Change { path, .. } in changes {
            if let Some(origin) = self.origin(path) {
                paths.put(path, origin);
            }
        }
        changes.iter().for_each(|change| paths.put_parents(&change.path));
        paths
    }

    fn origin(&self, path: &[u8]) -> Option<Origin> {
        let place = settled(OsStr::from_bytes(path));
        let made = self.made.and_then(|made| made.paths.origin(path));
        let owner = self.files.get(&place).or_else(|| self.directories.get(&place));
        match (made, owner) {
            _ if is_book(path) => Some(Origin::Database),
            (Some(Origin::Generated { .. }), _) | (_, None) => {
                made.cloned().or_else(|| bootstrap::is_merged(path).then_some(Origin::Builder))
            }
            (_, Some(&owner)) => {
                let package = &self.packages[owner].package;
                Some(Origin::Package { package: format!("{}:{}", package.name, package.architecture) })
            }
        }
    }

    fn record(&self) -> Result<()> {
        let failed = |error| anyhow!("cannot write /{RECORDS}: {error}");
        let root = layer::Root::open(self.root).map_err(failed)?;
        root.make_directories(RECORDS).map_err(failed)?;
        for one in &self.packages {
            let path = format!("{RECORDS}/{}", one.package.name);
            let control = format!("{}\n", one.control.trim_end());
            root.create(&path, control.as_bytes()).map_err(failed)?;
            if let Some(md5sums) = &one.md5sums {
                root.create(&format!("{path}.md5sums"), md5sums).map_err(failed)?;
            }
        }
        Ok(())
    }
}

/// Whether a package may take the files of another (Debian policy 7.6.1).
fn replaces(package: &Package, other: &Package) -> Result<bool> {
    let groups = package.relations(RelationField::Replaces)?;
    let named = groups.into_iter().flatten().filter(|relation| relation.name == other.name);
    Ok(named.into_iter().any(|relation| relation.admits(&other.version)))
}
