//! The licences of packages that were just added: their copyright files, in the root or, where that was made without
//! documentation, in their archives.

use std::collections::BTreeMap;
use std::io::{self, BufReader, Read};
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::bom::{AddedPackage, BomDelta};
use crate::build::licences::{self, DOCUMENTATION, Licences};
use crate::debian::{self, copyright};
use crate::digest::Digest;
use crate::layer::{self, Entry, Kind, Stack};
use crate::store::Store;

/// How many packages a file is looked for in, of which each says that the next has it.
const MOST_LINKS: usize = 4;

/// Adds to the account of added packages what they declare.
///
/// # Errors
/// When the root, or an archive that is asked, can't be read.
pub(super) fn add(bom: &mut BomDelta, root: &Stack, store: &Store) -> Result<()> {
    let archives = Archives { store, packages: by_name(&bom.packages) };
    let mut licences = Licences::default();
    for added in &mut bom.packages {
        let package = &mut added.package;
        package.licence = match licences.look(package, root)? {
            Some(licence) => Some(licence),
            None => {
                let found = archives.find(&package.name, root);
                let found = found.with_context(|| format!("cannot read the archive of {}", package.name))?;
                found.and_then(|(path, content)| licences.declare(package, path, &content))
            }
        };
    }
    bom.licence_texts = licences.texts();
    Ok(())
}

/// Adds to the account of packages that files were taken out of what they declare.
///
/// # Errors
/// When an archive can't be read.
pub(super) fn add_opened(bom: &mut BomDelta, store: &Store) -> Result<()> {
    let archives = Archives { store, packages: by_name(&bom.opened_packages) };
    let nothing: [&Path; 0] = [];
    let (mut licences, nothing) = (Licences::default(), Stack::open(&nothing)?);
    for added in &mut bom.opened_packages {
        let package = &mut added.package;
        let found = archives.find(&package.name, &nothing);
        let found = found.with_context(|| format!("cannot read the archive of {}", package.name))?;
        package.licence = found.and_then(|(path, content)| licences.declare(package, path, &content));
    }
    bom.licence_texts = licences.texts();
    Ok(())
}

/// The archives of packages, by name: digest and file name.
struct Archives<'a> {
    store: &'a Store,
    packages: BTreeMap<String, (Digest, String)>,
}

fn by_name(added: &[AddedPackage]) -> BTreeMap<String, (Digest, String)> {
    let pair = |added: &AddedPackage| {
        (added.package.name.clone(), (added.location.digest, added.location.name.clone()))
    };
    added.iter().map(pair).collect()
}

/// What an archive has in the place of a copyright file.
enum InArchive {
    File(String, Vec<u8>),
    /// A link into the directory of another package.
    LeadsTo(String),
}

impl Archives<'_> {
    fn find(&self, package: &str, root: &Stack) -> Result<Option<(String, Vec<u8>)>> {
        let mut package = package.to_owned();
        for _ in 0..MOST_LINKS {
            let Some((digest, archive)) = self.packages.get(&package) else {
                return Ok(licences::read(&package, root)?);
            };
            match self.look(*digest, &package)? {
                None => break,
                Some(InArchive::File(path, content)) => {
                    return Ok(Some((format!("{archive}!/{path}"), content)));
                }
                Some(InArchive::LeadsTo(next)) => package = next,
            }
        }
        Ok(None)
    }

    fn look(&self, digest: Digest, package: &str) -> Result<Option<InArchive>> {
        let deb = debian::deb::open(BufReader::with_capacity(1 << 17, self.store.open_blob(&digest)?))?;
        let directory = format!("{DOCUMENTATION}{package}");
        let files: Vec<String> = licences::paths(package).collect();
        let mut found = None;
        layer::scan(deb.data()?, &mut |entry, content| {
            let path = String::from_utf8_lossy(&entry.path);
            if *path == *directory || files.iter().any(|file| *path == **file) {
                found = seen(&path, entry, content)?.or(found.take());
            }
            Ok(())
        })?;
        Ok(found)
    }
}

fn seen(path: &str, entry: &Entry, content: &mut dyn Read) -> io::Result<Option<InArchive>> {
    match &entry.kind {
        Kind::File { size } if *size <= copyright::LARGEST => {
            let mut bytes = Vec::new();
            content.read_to_end(&mut bytes)?;
            Ok(Some(InArchive::File(path.to_owned(), bytes)))
        }
        Kind::Symlink { target } => Ok(owner_of(&String::from_utf8_lossy(target)).map(InArchive::LeadsTo)),
        Kind::File { .. }
        | Kind::Directory
        | Kind::Hardlink { .. }
        | Kind::CharDevice { .. }
        | Kind::BlockDevice { .. }
        | Kind::Fifo => Ok(None),
    }
}

/// `b`, `../b/copyright`, `/usr/share/doc/b`: the package whose directory that is.
fn owner_of(target: &str) -> Option<String> {
    let mut names = target.split('/').rev().filter(|name| !matches!(*name, "" | "." | ".."));
    names.find(|name| !name.starts_with("copyright")).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_tells_whose_file_it_is() {
        for (target, owner) in [
            ("b", Some("b")),
            ("../b/copyright", Some("b")),
            ("/usr/share/doc/b/", Some("b")),
            ("../b/copyright.gz", Some("b")),
            ("..", None),
        ] {
            assert_eq!(owner_of(target).as_deref(), owner, "{target}");
        }
    }
}
