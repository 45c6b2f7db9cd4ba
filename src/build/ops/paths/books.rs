//! dpkg's books in a root, or among the changes of one: which packages list a path.
//!
//! Paths stand here as they are in a root with a merged `/usr`, without a leading slash.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use anyhow::{Context as _, Result};

use crate::build::ops::owned::settled;
use crate::debian::lists::{self, Diversion, Known};
use crate::layer::{LastLink, Node, Root, Stack};

const INFO: &str = "var/lib/dpkg/info";
const STATUS: &str = "var/lib/dpkg/status";
const DIVERSIONS: &str = "var/lib/dpkg/diversions";
/// No book is longer.
const LONGEST: u64 = 256 << 20;
/// What dpkg puts beside a configuration file (its `conffderef` and deb-conffiles(5)).
const BESIDE: [&[u8]; 4] = [b".dpkg-dist", b".dpkg-new", b".dpkg-old", b".dpkg-tmp"];

/// Where books are read.
pub trait Shelf {
    /// Returns the content of a file, if it is there.
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>>;
    /// Returns the names in a directory; none where it isn't there.
    fn names(&self, directory: &str) -> Result<Vec<Vec<u8>>>;
}

impl Shelf for Root {
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>> {
        Root::read(self, path, LONGEST).with_context(|| format!("cannot read /{path}"))
    }

    fn names(&self, directory: &str) -> Result<Vec<Vec<u8>>> {
        self.names_in(directory).with_context(|| format!("cannot read /{directory}"))
    }
}

impl Shelf for Stack {
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>> {
        Ok(Stack::read(self, path, LONGEST)?)
    }

    fn names(&self, directory: &str) -> Result<Vec<Vec<u8>>> {
        let found = self.find(directory, LastLink::Followed)?.filter(Node::is_directory);
        Ok(found.map(|found| found.names()).transpose()?.unwrap_or_default())
    }
}

/// Which packages list a path, and what is recorded of packages.
#[derive(Debug, Default)]
pub struct Books {
    /// As their lists are called: `jq`, or `libc6:amd64`.
    packages: Vec<String>,
    listed: BTreeSet<String>,
    /// The packages that list a path, by their places.
    owners: BTreeMap<Vec<u8>, Vec<usize>>,
    /// What a path is called in lists, where it is diverted.
    diverted: BTreeMap<Vec<u8>, Vec<u8>>,
    diversions: Vec<Diversion>,
    known: Known,
    /// Whether there is a record of packages.
    pub has_status: bool,
}

impl Books {
    /// Reads the books that are there.
    pub fn read(shelf: &dyn Shelf) -> Result<Books> {
        let status = shelf.read(STATUS)?;
        let diversions = lists::diversions(&shelf.read(DIVERSIONS)?.unwrap_or_default());
        let mut books = Books {
            has_status: status.is_some(),
            known: lists::known(&String::from_utf8_lossy(&status.unwrap_or_default())),
            ..Books::default()
        };
        let mut names = shelf.names(INFO)?;
        names.sort();
        for name in names.iter().filter_map(|name| std::str::from_utf8(name).ok()) {
            let Some(package) = name.strip_suffix(".list") else { continue };
            let list = shelf.read(&format!("{INFO}/{name}"))?.unwrap_or_default();
            books.add(package, &list, &diversions);
        }
        Ok(Books { diversions, ..books })
    }

    fn add(&mut self, package: &str, list: &[u8], diversions: &[Diversion]) {
        let place = self.packages.len();
        self.packages.push(package.to_owned());
        self.listed.insert(package.to_owned());
        let name = package.split(':').next().unwrap_or(package).as_bytes();
        for line in list.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
            let diverted = diversions.iter().find(|known| known.from == line && known.package != name);
            let path = settle(diverted.map_or(line, |known| &known.to));
            if diverted.is_some() {
                self.diverted.insert(path.clone(), settle(line));
            }
            self.owners.entry(path).or_default().push(place);
        }
    }

    /// Returns the packages that list a path, as their lists are called.
    pub fn owners(&self, path: &[u8]) -> impl Iterator<Item = &str> {
        let owners = self.owners.get(settle(path).as_slice()).into_iter().flatten();
        owners.filter_map(|&place| self.packages.get(place)).map(String::as_str)
    }

    /// Returns the diversion that leads to a path.
    pub fn diverted_to(&self, path: &[u8]) -> Option<&Diversion> {
        self.diversions.iter().find(|known| settle(&known.to) == settle(path))
    }

    /// Returns a package whose file a diversion puts elsewhere.
    pub fn owner_diverted(&self, diversion: &Diversion) -> Option<&str> {
        let is_its_own =
            |package: &&str| package.split(':').next().map(str::as_bytes) == Some(&diversion.package);
        self.owners(&diversion.from).find(|package| !is_its_own(package))
    }

    /// Returns the packages of whose configuration files dpkg puts other versions beside them, at this path.
    pub fn owners_beside(&self, path: &[u8]) -> impl Iterator<Item = &str> {
        let stem = BESIDE.iter().find_map(|ending| path.strip_suffix(*ending));
        stem.into_iter().flat_map(|stem| self.owners(stem))
    }

    /// Whether there is a list of a package's.
    pub fn lists(&self, package: &str) -> bool {
        self.listed.contains(package)
    }

    /// Whether a package is recorded.
    pub fn has(&self, package: &str) -> bool {
        match package.split_once(':') {
            Some((name, architecture)) => {
                let known = self.known.architectures.get(name);
                known.is_some_and(|known| known.iter().any(|known| known == architecture))
            }
            None => self.known.architectures.contains_key(package),
        }
    }

    /// Returns a package's name with its architecture, where that is recorded.
    pub fn full_name(&self, package: &str) -> Option<String> {
        if package.contains(':') {
            return Some(package.to_owned());
        }
        let known = self.known.architectures.get(package)?;
        Some(format!("{package}:{}", known.first()?))
    }

    /// Returns the sum that a file had as one of these packages brought it.
    pub fn sum(&self, path: &[u8], shelf: &dyn Shelf) -> Result<Option<String>> {
        let settled = settle(path);
        let listed = self.diverted.get(&settled).unwrap_or(&settled);
        if let Some(sum) = self.known.conffiles.get(listed) {
            return Ok(Some(sum.clone()));
        }
        for package in self.owners(path) {
            let text = shelf.read(&format!("{INFO}/{package}.md5sums"))?.unwrap_or_default();
            let found = lists::sums(&text).into_iter().find(|(known, _)| settle(known) == *listed);
            if let Some((_, sum)) = found {
                return Ok(Some(sum));
            }
        }
        Ok(None)
    }

    /// Returns the paths that lists name, sorted.
    pub fn paths(&self) -> impl Iterator<Item = &[u8]> {
        self.owners.keys().map(Vec::as_slice)
    }

    /// Adds where a path really is that links lead away from.
    pub fn lead(&mut self, from: &[u8], to: Vec<u8>) {
        if let Some(owners) = self.owners.get(from).cloned() {
            self.diverted.entry(to.clone()).or_insert_with(|| from.to_vec());
            self.owners.entry(to).or_insert(owners);
        }
    }
}

/// Whether a path is one of the books of dpkg or apt. What `update-alternatives` keeps is its caller's doing.
pub fn is_book(path: &[u8]) -> bool {
    const KEPT: [&[u8]; 3] = [b"var/lib/dpkg/", b"var/lib/apt/", b"var/cache/apt/"];
    const LOGS: [&[u8]; 2] = [b"var/log/dpkg.log", b"var/log/apt/"];
    let is_below = |kept: &&[u8]| path.len() > kept.len() && path.starts_with(kept);
    let is_alternative = path.starts_with(b"var/lib/dpkg/alternatives/");
    (KEPT.iter().any(is_below) && !is_alternative) || LOGS.iter().any(|log| path.starts_with(log))
}

/// Returns where a path is in a root with a merged `/usr`.
fn settle(path: &[u8]) -> Vec<u8> {
    let path = path.strip_suffix(b"/.").unwrap_or(path);
    settled(OsStr::from_bytes(path)).into_os_string().into_vec()
}
