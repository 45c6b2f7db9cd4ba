//! A root from nothing: the Essential packages, unpacked by us before their own dpkg takes over.
//!
//! Essential packages need each other to be installed (Debian policy 3.8), so the first ones are
//! laid out by hand: merged-`/usr` links, the packages' files, an empty dpkg database. Then dpkg,
//! which is among them, installs them properly, as it does everything else.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufReader, ErrorKind};
use std::os::unix::fs::symlink;
use std::path::Path;

use anyhow::{Context as _, Result, anyhow, bail};

use super::ahead::Ahead;
use super::archives::Archive;
use crate::debian::{self, Package, RelationField};
use crate::layer::{self, Unpack};
use crate::progress::Task;

/// The directories that live below `/usr` (Debian policy 10.1; `/lib32` and its like for the processors that have them).
fn merged_directories(architecture: &str) -> &'static [&'static str] {
    match architecture {
        "amd64" => &["bin", "sbin", "lib", "lib32", "lib64", "libx32"],
        "i386" => &["bin", "sbin", "lib", "lib64", "libx32"],
        "loong64" | "ppc64" | "ppc64el" => &["bin", "sbin", "lib", "lib64"],
        _ => &["bin", "sbin", "lib"],
    }
}

/// Lays out the Essential packages among `archives`, which are in the directory `laid_out` and come there `ahead`, in the
/// empty directory `root`; returns their places.
pub(super) fn bootstrap(
    root: &Path,
    architecture: &str,
    archives: &[Archive],
    (laid_out, ahead): (&Path, &Ahead),
    task: &Task,
) -> Result<BTreeSet<usize>> {
    lay_out(root, architecture)?;
    let essential = essential(archives)?;
    for &index in &essential {
        let name = archives[index].file_name();
        ahead.wait(&name);
        unpack(&laid_out.join(name), root)
            .with_context(|| format!("cannot unpack {}", archives[index].name()))?;
        task.advance(archives[index].size);
    }
    make_database(root)?;
    Ok(essential)
}

/// Makes an empty root with a merged `/usr`.
pub(super) fn lay_out(root: &Path, architecture: &str) -> Result<()> {
    layer::make_root(root)?;
    merge_usr(root, architecture)
}

/// Gives a root a merged `/usr`, as far as it has none.
pub(super) fn merge_usr(root: &Path, architecture: &str) -> Result<()> {
    let opened = layer::Root::open(root)?;
    for name in merged_directories(architecture) {
        let directory = format!("usr/{name}");
        opened.make_directories(&directory).with_context(|| format!("cannot make /{directory}"))?;
        match symlink(&directory, root.join(name)) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            made => made?,
        }
    }
    Ok(())
}

/// Whether a path is of what [`merge_usr`] makes.
pub(super) fn is_merged(path: &[u8]) -> bool {
    const ALL: [&[u8]; 6] = [b"bin", b"sbin", b"lib", b"lib32", b"lib64", b"libx32"];
    path == b"usr" || ALL.contains(&path.strip_prefix(b"usr/").unwrap_or(path))
}

fn unpack(archive: &Path, root: &Path) -> Result<()> {
    let reader = BufReader::with_capacity(1 << 17, File::open(archive)?);
    let data = debian::deb::open(reader)?.data()?;
    Ok(layer::unpack(data, root, Unpack::PACKAGE)?)
}

/// A package's files can't lead these outside: dpkg's own directories are plain ones, or the build ends here.
fn make_database(root: &Path) -> Result<()> {
    let database = layer::Root::open(root)?;
    for file in ["var/lib/dpkg/status", "var/lib/dpkg/available"] {
        database.create_empty(file).map_err(|error| {
            anyhow!("cannot create /{file}: {error}\nhint: is dpkg among the Essential packages?")
        })?;
    }
    Ok(())
}

/// Returns the Essential packages and what they depend on, by their places.
pub(super) fn essential(archives: &[Archive]) -> Result<BTreeSet<usize>> {
    let names = names(archives)?;
    let mut waiting: Vec<usize> =
        (0..archives.len()).filter(|&index| archives[index].package.essential).collect();
    if waiting.is_empty() {
        bail!(
            "cannot build from scratch: the repositories list no Essential packages\nhint: name a distribution's main repository, or a base image"
        );
    }
    let mut found = BTreeSet::new();
    while let Some(index) = waiting.pop() {
        if found.insert(index) {
            waiting.extend(needed(&archives[index].package, &names)?);
        }
    }
    Ok(found)
}

fn names(archives: &[Archive]) -> Result<BTreeMap<String, Vec<usize>>> {
    let mut names: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (index, archive) in archives.iter().enumerate() {
        names.entry(archive.package.name.to_string()).or_default().push(index);
        for provided in archive.package.provides()? {
            names.entry(provided.name.to_string()).or_default().push(index);
        }
    }
    Ok(names)
}

fn needed(package: &Package, names: &BTreeMap<String, Vec<usize>>) -> Result<Vec<usize>> {
    let mut needed = Vec::new();
    for field in [RelationField::PreDepends, RelationField::Depends] {
        for alternatives in package.relations(field)? {
            let known = alternatives.iter().filter_map(|relation| names.get(&*relation.name));
            needed.extend(known.flatten().copied());
        }
    }
    Ok(needed)
}
