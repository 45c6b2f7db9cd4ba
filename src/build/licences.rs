//! What the copyright files of packages declare, wherever the packages come to be known: in a root, or in a layer.

use std::cell::Cell;
use std::collections::BTreeMap;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::view::View;
use crate::bom::{Licence, Package};
use crate::debian::Installed;
use crate::debian::copyright::{self, LARGEST};
use crate::digest::Digest;
use crate::layer::{Entry, Error, Kind, LastLink, Stack};
use crate::licence::Declared;

/// Where packages have a directory of their own.
pub const DOCUMENTATION: &str = "usr/share/doc/";
/// What the file is called in it (Debian policy 12.5); compressed ones are seen, too.
const NAMES: [&str; 2] = ["copyright", "copyright.gz"];
/// No more than this is read of all copyright files of an image; 5,000 packages have 120 MB.
const MOST_BYTES: u64 = 256 << 20;

/// Returns where the copyright file of a package may lie, without a leading slash.
pub fn paths(package: &str) -> impl Iterator<Item = String> {
    NAMES.into_iter().map(move |name| format!("{DOCUMENTATION}{package}/{name}"))
}

/// Whether a path, without a leading slash, is that of a copyright file.
pub fn is_copyright_file(path: &str) -> bool {
    let in_documentation = path.strip_prefix(DOCUMENTATION).and_then(|rest| rest.split_once('/'));
    in_documentation.is_some_and(|(_, name)| NAMES.contains(&name))
}

/// Decides which entries of layers are looked into for their copyright files: of an image that has too many, not all.
#[derive(Default)]
pub struct Bounded {
    n_bytes: Cell<u64>,
}

impl Bounded {
    /// Whether it may be one.
    pub fn wants(&self, entry: &Entry) -> bool {
        let is_named = std::str::from_utf8(&entry.path).is_ok_and(is_copyright_file);
        let Kind::File { size } = entry.kind else { return is_named };
        let n_bytes = self.n_bytes.get().saturating_add(size);
        if !is_named || size > LARGEST || n_bytes > MOST_BYTES {
            return false;
        }
        self.n_bytes.set(n_bytes);
        true
    }
}

/// Returns what packages declare in a root that was seen.
pub fn of_view(view: &View, installed: &[Installed]) -> Outcome {
    let mut licences = Licences::default();
    let mut packages = BTreeMap::new();
    for there in installed.iter().filter(|there| there.is_installed()) {
        let package = Package::from(&there.package);
        let found = paths(&package.name).find_map(|path| seen(view, path.as_bytes()));
        let licence = found.and_then(|(path, content)| licences.declare(&package, path, content));
        packages.extend(licence.map(|licence| (package.name, licence)));
    }
    Outcome { packages, texts: licences.texts() }
}

/// Returns the file that a path leads to, and its content, where that was seen.
fn seen<'a>(view: &'a View, path: &[u8]) -> Option<(String, &'a [u8])> {
    let mut path = view.skeleton.follow(path).ok()?.path;
    let mut seen = view.seen.get(&path)?;
    if let Kind::Hardlink { target } = &seen.entry.kind {
        path.clone_from(target);
        seen = view.seen.get(&path)?;
    }
    let is_file = matches!(seen.entry.kind, Kind::File { .. });
    is_file.then(|| (format!("/{}", String::from_utf8_lossy(&path)), &*seen.content))
}

/// What was declared, each file of a source read once: its packages often have the same.
#[derive(Default)]
pub struct Licences {
    known: BTreeMap<(Digest, String), Declared>,
}

/// The licences of packages, by name, and the texts of those that have no identifier.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Each package's.
    pub packages: BTreeMap<String, Licence>,
    /// By the `LicenseRef-…` that stands for each.
    pub texts: BTreeMap<String, String>,
}

impl Licences {
    /// Returns what `content`, the copyright file of `package` at the path `file`, declares; none of what can't be read.
    pub fn declare(&mut self, package: &Package, file: String, content: &[u8]) -> Option<Licence> {
        let source = &package.source_package;
        let key = (Digest::of(content), source.clone());
        if !self.known.contains_key(&key) {
            let declared = copyright::declared(&copyright::decode(content)?, source);
            self.known.insert(key.clone(), declared);
        }
        let declared = &self.known[&key];
        Some(Licence {
            expression: declared.expression.clone(),
            holders: declared.holders.clone(),
            declared_by: file,
        })
    }

    /// Looks for the copyright file of a package in the root that it is installed in.
    ///
    /// # Errors
    /// When the root can't be read.
    pub fn look(&mut self, package: &Package, root: &Stack) -> Result<Option<Licence>> {
        let found = read(&package.name, root)?;
        Ok(found.and_then(|(path, content)| self.declare(package, path, &content)))
    }

    /// Returns the texts of all licences that have no identifier.
    pub fn texts(self) -> BTreeMap<String, String> {
        self.known.into_values().flat_map(|declared| declared.texts).collect()
    }
}

/// Reads the copyright file of a package in a root; returns where it is, too. Links that lead in circles lead nowhere.
pub fn read(package: &str, root: &Stack) -> Result<Option<(String, Vec<u8>)>, Error> {
    for path in paths(package) {
        let node = match root.find(&path, LastLink::Followed) {
            Err(Error::TooManyLinks { .. }) => None,
            found => found?,
        };
        let Some(node) = node else { continue };
        if let Some(content) = root.read(node.path(), LARGEST)? {
            return Ok(Some((format!("/{}", String::from_utf8_lossy(node.path())), content)));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str) -> Package {
        Package { name: name.into(), source_package: "source".into(), ..Package::default() }
    }

    #[test]
    fn a_copyright_file_is_found_behind_links_of_either_kind() {
        let directory = tempfile::tempdir().unwrap();
        let doc = directory.path().join(DOCUMENTATION);
        for name in ["a", "c"] {
            std::fs::create_dir_all(doc.join(name)).unwrap();
        }
        std::fs::write(doc.join("a/copyright"), "Free.").unwrap();
        std::os::unix::fs::symlink("a", doc.join("b")).unwrap();
        std::os::unix::fs::symlink("../b/copyright", doc.join("c/copyright")).unwrap();
        std::os::unix::fs::symlink("d", doc.join("d")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", doc.join("a/copyright.gz")).unwrap();
        let root = Stack::open(&[directory.path()]).unwrap();
        let mut licences = Licences::default();
        for name in ["a", "b", "c"] {
            let licence = licences.look(&package(name), &root).unwrap().unwrap();
            assert_eq!(licence.declared_by, "/usr/share/doc/a/copyright", "{name}");
        }
        for name in ["d", "e", "../../../etc"] {
            assert_eq!(licences.look(&package(name), &root).unwrap(), None, "{name}");
        }
        assert_eq!(licences.texts().len(), 1);
    }
}
