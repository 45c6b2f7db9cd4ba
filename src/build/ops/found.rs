//! The packages that a command installed, upgraded or removed: the database before it and after, dpkg's or another's.
//!
//! Where a package came from isn't in the database. An index that the command fetched and left behind lists it; where
//! just one does, under one address, that is where it came from, and else nothing is proven.

use std::borrow::Cow;
use std::collections::BTreeMap;

use anyhow::{Context as _, Result};

use crate::bom::{FoundPackage, Incomplete, Location, Package, PackageKey};
use crate::build::base::others::{self, Listed};
use crate::build::licences::Licences;
use crate::debian::deb822::{self, Paragraph};
use crate::debian::status;
use crate::digest::Digest;
use crate::layer::{LastLink, Node, Stack};

/// The dpkg database.
const STATUS: &str = "var/lib/dpkg/status";
const LISTS: &str = "var/lib/apt/lists";
/// No database, nor index, that is looked into is larger.
const LARGEST: u64 = 256 << 20;

/// What changed.
#[derive(Debug, Default)]
pub struct Found {
    /// What came, or has another version.
    pub packages: Vec<FoundPackage>,
    /// What went.
    pub removed: Vec<PackageKey>,
    /// The texts of what came that have no identifier.
    pub licence_texts: BTreeMap<String, String>,
    /// The databases that can't be read.
    pub incomplete: Vec<Incomplete>,
}

/// Whether a path, without a leading slash, is that of a database of packages.
pub fn is_database(path: &[u8]) -> bool {
    path == STATUS.as_bytes() || others::is_list(path)
}

/// Compares the packages of a root before and after a command.
///
/// # Errors
/// When a database can't be read, or isn't one.
pub fn found(before: &Stack, after: &Stack) -> Result<Found> {
    let mut found = found_debs(before, after)?;
    let (old, new) = (listed(before)?, listed(after)?);
    let (before, after) = (by_key(&old), by_key(&new));
    let gone = before.keys().filter(|key| !after.contains_key(*key));
    found.removed.extend(gone.cloned());
    let came = after.iter().filter(|(key, package)| before.get(*key) != Some(*package));
    let came = came.map(|(_, package)| (*package).clone());
    found.packages.extend(came.map(|package| FoundPackage { package, location: None, unproven: true }));
    found.licence_texts.extend(new.texts);
    found.incomplete = new.incomplete;
    Ok(found)
}

/// A key that rpm trusts has no architecture: it is no package that a command installs.
fn by_key(listed: &Listed) -> BTreeMap<PackageKey, &Package> {
    let packages = listed.packages.iter().filter(|package| !package.architecture.is_empty());
    packages.map(|package| (package.key(), package)).collect()
}

fn listed(root: &Stack) -> Result<Listed> {
    others::read(&|path| Ok(root.read(path, LARGEST)?.map(Cow::Owned)))
}

fn found_debs(before: &Stack, after: &Stack) -> Result<Found> {
    let (old, new) = (text(before)?, text(after)?);
    if old == new {
        return Ok(Found::default());
    }
    let (old, new) = (installed(&old)?, installed(&new)?);
    let removed = old.keys().filter(|key| !new.contains_key(*key)).cloned().collect();
    let came: Vec<Package> = new
        .into_iter()
        .filter(|(key, package)| old.get(key) != Some(package))
        .map(|(_, package)| package)
        .collect();
    let mut locations = if came.is_empty() { BTreeMap::new() } else { locations(&came, after)? };
    let mut licences = Licences::default();
    let packages = came.into_iter().map(|package| {
        let location = locations.remove(&named(&package)).and_then(only);
        let package = Package { licence: licences.look(&package, after)?, ..package };
        Ok(FoundPackage { unproven: location.is_none(), location, package })
    });
    let packages = packages.collect::<Result<_>>()?;
    Ok(Found { packages, removed, licence_texts: licences.texts(), incomplete: Vec::new() })
}

fn text(root: &Stack) -> Result<String> {
    let status = root.read(STATUS, LARGEST)?.unwrap_or_default();
    Ok(String::from_utf8_lossy(&status).into_owned())
}

fn installed(text: &str) -> Result<BTreeMap<PackageKey, Package>> {
    let all = status::parse(text).context("cannot read the dpkg status that the command left")?;
    let there =
        all.iter().filter(|package| package.is_installed()).map(|there| Package::from(&there.package));
    Ok(there.map(|package| (package.key(), package)).collect())
}

type Name = (String, String, String);

fn named(package: &Package) -> Name {
    (package.name.clone(), package.version.clone(), package.architecture.clone())
}

/// Two addresses prove nothing.
fn only(locations: Vec<Location>) -> Option<Location> {
    match <[Location; 1]>::try_from(locations) {
        Ok([location]) => Some(location),
        Err(_) => None,
    }
}

/// Looks packages up in the indexes that lie in the root.
fn locations(packages: &[Package], root: &Stack) -> Result<BTreeMap<Name, Vec<Location>>> {
    let mut locations: BTreeMap<Name, Vec<Location>> =
        packages.iter().map(|package| (named(package), Vec::new())).collect();
    let Some(lists) = root.find(LISTS, LastLink::Followed)?.filter(Node::is_directory) else {
        return Ok(locations);
    };
    for name in lists.names()? {
        let name = String::from_utf8_lossy(&name).into_owned();
        let Some(base) = archive_of(&name) else { continue };
        let Some(index) = root.read(format!("{LISTS}/{name}"), LARGEST)? else { continue };
        let index = String::from_utf8_lossy(&index);
        for paragraph in deb822::paragraphs(&index).map_while(Result::ok) {
            if let Some((name, location)) = location(&paragraph, &base)
                && let Some(found) = locations.get_mut(&name)
                && !found.contains(&location)
            {
                found.push(location);
            }
        }
    }
    Ok(locations)
}

fn location(paragraph: &Paragraph<'_>, base: &str) -> Option<(Name, Location)> {
    let field = |name: &str| paragraph.get(name).map(|value| value.trim().to_owned());
    let name = (field("Package")?, field("Version")?, field("Architecture")?);
    let path = field("Filename")?;
    let location = Location {
        uri: format!("{base}{path}"),
        digest: format!("sha256:{}", field("SHA256")?).parse::<Digest>().ok()?,
        name: path.rsplit('/').next().unwrap_or(&path).to_owned(),
        size: field("Size")?.parse().ok()?,
        sha512: field("SHA512").and_then(|hex| format!("sha512:{hex}").parse().ok()),
    };
    Some((name, location))
}

/// Returns the address of the archive that an index came from, which apt writes into the index's file name: `/` as `_`,
/// and what else is special as `%` and two digits.
fn archive_of(name: &str) -> Option<String> {
    let is_index = name.ends_with("_Packages");
    let (archive, _) = name.split_once("_dists_").filter(|_| is_index)?;
    let mut address = String::new();
    let mut rest = archive.chars();
    while let Some(c) = rest.next() {
        match c {
            '_' => address.push('/'),
            '%' => {
                let digits: String = rest.by_ref().take(2).collect();
                address.push(char::from(u8::from_str_radix(&digits, 16).ok()?));
            }
            c => address.push(c),
        }
    }
    // The scheme isn't in the name.
    Some(format!("http://{address}/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const INDEX: &str = "archive.example_debian%5fx_dists_stable_main_binary-amd64_Packages";

    fn status_of(packages: &[(&str, &str)]) -> String {
        let paragraph = |(name, version): &(&str, &str)| {
            format!(
                "Package: {name}\nStatus: install ok installed\nMaintainer: x\nArchitecture: amd64\nVersion: {version}\nDescription: x\n\n"
            )
        };
        packages.iter().map(paragraph).collect()
    }

    /// A root with this dpkg database, and these lines in an index.
    fn root(packages: &[(&str, &str)], index: &str) -> (tempfile::TempDir, Stack) {
        let directory = tempfile::tempdir().unwrap();
        for path in ["var/lib/dpkg", LISTS] {
            std::fs::create_dir_all(directory.path().join(path)).unwrap();
        }
        std::fs::write(directory.path().join(STATUS), status_of(packages)).unwrap();
        std::fs::write(directory.path().join(LISTS).join(INDEX), index).unwrap();
        let stack = Stack::open(&[directory.path()]).unwrap();
        (directory, stack)
    }

    fn entry(path: &str) -> String {
        let digest = Digest::of("deb");
        format!(
            "Package: tool\nVersion: 2\nArchitecture: amd64\nFilename: {path}\nSize: 3\nSHA256: {}\n\n",
            digest.hex()
        )
    }

    #[test]
    fn what_came_and_went_is_found_and_an_index_proves_where_from() {
        let (_a, before) = root(&[("base", "1"), ("gone", "1")], "");
        let (_b, after) = root(&[("base", "1"), ("tool", "2")], &entry("pool/t/tool_2_amd64.deb"));
        let found = found(&before, &after).unwrap();
        assert_eq!(found.removed, [("gone".to_owned(), "amd64".to_owned())]);
        let [tool] = &found.packages[..] else { panic!("{found:?}") };
        let location = tool.location.as_ref().unwrap();
        assert_eq!(location.uri, "http://archive.example/debian_x/pool/t/tool_2_amd64.deb");
        assert_eq!((location.digest, location.size, tool.unproven), (Digest::of("deb"), 3, false));
    }

    #[test]
    fn what_came_tells_its_licence() {
        let (_a, before) = root(&[], "");
        let (directory, after) = root(&[("tool", "2")], "");
        let documentation = directory.path().join("usr/share/doc/tool");
        std::fs::create_dir_all(&documentation).unwrap();
        std::fs::write(documentation.join("copyright"), "Files: *\nCopyright: Ann\nLicense: ISC\n").unwrap();
        let found = found(&before, &after).unwrap();
        let licence = found.packages[0].package.licence.as_ref().unwrap();
        assert_eq!((licence.expression.as_str(), &*licence.holders), ("ISC", &["Ann".to_owned()][..]));
        assert_eq!(licence.declared_by, "/usr/share/doc/tool/copyright");
        assert!(found.licence_texts.is_empty());
    }

    #[test]
    fn without_an_index_or_with_two_addresses_nothing_is_proven() {
        let (_a, before) = root(&[], "");
        for index in [String::new(), entry("a/tool.deb") + &entry("b/tool.deb")] {
            let (_b, after) = root(&[("tool", "2")], &index);
            let found = found(&before, &after).unwrap();
            assert!(found.packages[0].unproven && found.packages[0].location.is_none());
        }
    }
}
