//! What the changes of a root belong to in which dpkg worked: packages, their scripts, dpkg's books, or nothing known.
//!
//! dpkg's lists say what packages brought; the [`Timeline`] says who was at work when something was last changed. Where
//! a script was at work when a listed file was changed, the file's sum says whether it is still the package's.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use rustix::fs::FileType;

use super::Paths;
use super::books::{Books, is_book};
use super::timeline::{Doer, Timeline};
use crate::bom::Origin;
use crate::debian::lists;
use crate::layer::diff::{Change, ChangeKind};
use crate::layer::{LastLink, Moment, Moments, Root, Stack};

/// A root that dpkg changed.
pub struct Scene<'a> {
    /// The layers below the changes, lowest first.
    pub lowers: &'a [PathBuf],
    /// Where the changes are.
    pub upper: &'a Path,
    /// Who was at work when; without it nobody knows.
    pub timeline: Option<&'a Timeline>,
    /// When things were changed, before the builder tidied up.
    pub moments: &'a Moments,
}

impl Scene<'_> {
    fn layers(&self) -> Vec<&Path> {
        self.lowers.iter().map(PathBuf::as_path).chain([self.upper]).collect()
    }
}

/// Returns what `changes` belong to; what a command did, whose scripts nobody watched, is `rest`.
pub fn explain(changes: &[Change], scene: &Scene<'_>, rest: Option<&Origin>) -> Result<Paths> {
    let root = Root::open(scene.upper).with_context(|| format!("cannot open {}", scene.upper.display()))?;
    let books = Books::read(&root)?;
    let (before, after) = (Stack::open(scene.lowers)?, Stack::open(&scene.layers())?);
    let mut explainer = Explainer { scene, rest, root, books, before, after, below: OnceCell::new() };
    let mut paths = Paths::default();
    explainer.lead(changes)?;
    for Change { path, kind } in changes {
        match kind {
            ChangeKind::Present => {
                explainer.present(path)?.into_iter().for_each(|origin| paths.put(path, origin));
            }
            ChangeKind::Removed => {
                explainer.removed(path)?.into_iter().for_each(|origin| paths.remove(path, origin));
            }
        }
    }
    changes.iter().for_each(|change| paths.put_parents(&change.path));
    Ok(paths)
}

struct Explainer<'a> {
    scene: &'a Scene<'a>,
    rest: Option<&'a Origin>,
    root: Root,
    before: Stack,
    after: Stack,
    /// The books that changed.
    books: Books,
    /// Those of before, read when they are first needed.
    below: OnceCell<Books>,
}

impl Explainer<'_> {
    fn present(&self, path: &[u8]) -> Result<Option<Origin>> {
        if is_book(path) {
            return Ok(Some(Origin::Database));
        }
        if let Some(package) = self.books.owners(path).next() {
            return self.listed(path, package);
        }
        if let Some(package) = self.books.owners_beside(path).next() {
            return Ok(Some(self.package(package)?));
        }
        if let Some(rest) = self.rest {
            return Ok(Some(rest.clone()));
        }
        match self.doer(self.moment_of(path)?)? {
            Doer::Dpkg => self.known_before(path),
            doer => self.done_by(doer),
        }
    }

    /// What a package brings is its own, unless a script changed it.
    fn listed(&self, path: &[u8], package: &str) -> Result<Option<Origin>> {
        let own = Some(self.package(package)?);
        let Some(moment) = self.scene.moments.of(path).filter(|_| self.rest.is_none()) else {
            return Ok(own);
        };
        let doer = self.doer(moment.changed)?;
        if moment.kind == FileType::Directory || !matches!(doer, Doer::Script { .. }) {
            return Ok(own);
        }
        match moment.kind == FileType::RegularFile && self.has_its_sum(path)? {
            true => Ok(own),
            false => self.done_by(doer),
        }
    }

    fn has_its_sum(&self, path: &[u8]) -> Result<bool> {
        let Some(expected) = self.books.sum(path, &self.after)? else { return Ok(false) };
        let shown = super::shown(path);
        let file =
            self.root.open_file(OsStr::from_bytes(path)).with_context(|| format!("cannot open {shown}"))?;
        let Some(file) = file else { return Ok(false) };
        Ok(lists::sum(file).with_context(|| format!("cannot read {shown}"))? == expected)
    }

    /// A directory that wasn't there belongs to who made it, whoever put something into it since.
    fn moment_of(&self, path: &[u8]) -> Result<i128> {
        let Some(moment) = self.scene.moments.of(path) else { return Ok(0) };
        let (FileType::Directory, Moment { born: Some(born), .. }) = (moment.kind, moment) else {
            return Ok(moment.changed);
        };
        let before = self.before.find(path, LastLink::Kept)?;
        Ok(if before.is_some_and(|before| before.is_directory()) { moment.changed } else { born })
    }

    fn removed(&self, path: &[u8]) -> Result<Option<Origin>> {
        if is_book(path) {
            return Ok(Some(Origin::Database));
        }
        let below = self.below()?;
        let stays = |package: &&str| {
            !self.books.lists(package) && (!self.books.has_status || self.books.has(package))
        };
        let is_still_listed =
            self.books.owners(path).next().is_some() || below.owners(path).any(|package| stays(&package));
        let known = below.owners(path).chain(below.owners_beside(path)).next();
        if let Some(package) = known.filter(|_| !is_still_listed) {
            let package = below.full_name(package).unwrap_or_else(|| package.to_owned());
            return Ok(Some(Origin::Package { package }));
        }
        if let Some(rest) = self.rest {
            return Ok(Some(rest.clone()));
        }
        let (Some(timeline), Some(moment)) = (self.scene.timeline, self.scene.moments.of(path)) else {
            return Ok(None);
        };
        timeline.removed(path, moment.changed)?.map_or(Ok(None), |doer| self.done_by(doer))
    }

    /// dpkg may change what a package brought that was there before, or that is diverted since.
    fn known_before(&self, path: &[u8]) -> Result<Option<Origin>> {
        let below = self.below()?;
        let known = below.owners(path).chain(below.owners_beside(path)).next();
        let diverted = || self.books.diverted_to(path).and_then(|diversion| below.owner_diverted(diversion));
        known.or_else(diverted).map(|package| self.package(package)).transpose()
    }

    fn doer(&self, moment: i128) -> Result<Doer> {
        self.scene.timeline.map_or(Ok(Doer::Dpkg), |timeline| timeline.at(moment))
    }

    fn done_by(&self, doer: Doer) -> Result<Option<Origin>> {
        Ok(match doer {
            Doer::Builder => Some(Origin::Builder),
            Doer::Dpkg => None,
            Doer::Script { package, script } => {
                Some(Origin::Generated { package: self.full_name(&package)?, script })
            }
        })
    }

    fn package(&self, package: &str) -> Result<Origin> {
        Ok(Origin::Package { package: self.full_name(package)? })
    }

    /// One that went is only in the books of before.
    fn full_name(&self, package: &str) -> Result<String> {
        let known = match self.books.full_name(package) {
            Some(known) => Some(known),
            None => self.below()?.full_name(package),
        };
        Ok(known.unwrap_or_else(|| package.to_owned()))
    }

    fn below(&self) -> Result<&Books> {
        if self.below.get().is_none() {
            let books = Books::read(&self.before)?;
            return Ok(self.below.get_or_init(|| books));
        }
        self.below.get().context("internal error: no books")
    }

    /// Lists name paths as packages do, and a link on the way may lead elsewhere in this root.
    fn lead(&mut self, changes: &[Change]) -> Result<()> {
        let is_change =
            |path: &[u8]| changes.binary_search_by(|change| change.path.as_slice().cmp(path)).is_ok();
        let elsewhere: Vec<Vec<u8>> =
            self.books.paths().filter(|path| !is_change(path)).map(<[u8]>::to_vec).collect();
        let mut directories: BTreeMap<Vec<u8>, Option<Vec<u8>>> = BTreeMap::new();
        for path in elsewhere {
            let (parent, name) = match path.iter().rposition(|&byte| byte == b'/') {
                Some(end) => (&path[..end], &path[end + 1..]),
                None => continue,
            };
            if !directories.contains_key(parent) {
                directories.insert(parent.to_vec(), self.resolved(parent)?);
            }
            if let Some(Some(real)) = directories.get(parent) {
                self.books.lead(&path, [real, b"/".as_slice(), name].concat());
            }
        }
        Ok(())
    }

    /// Returns where a directory really is, if that is elsewhere.
    fn resolved(&self, directory: &[u8]) -> Result<Option<Vec<u8>>> {
        let real = self.after.resolve(directory, LastLink::Followed)?;
        Ok(real.filter(|real| real != directory))
    }
}
