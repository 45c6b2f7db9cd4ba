//! What a wish comes to in a universe of packages: what is installed, what its scripts run beside, and what files are taken
//! from.
//!
//! Values only: who decides is `apt::resolve`.

use anyhow::Result;

use super::keep::{self, Kept};
use super::wish::Wish;
use crate::apt::index::Candidate;
use crate::apt::order::{self, Step};
use crate::apt::reach::Reach;
use crate::apt::resolve::{Request, Universe, Wanted};
use crate::debian::{self, Package};

/// On merged-`/usr` roots, which ours are, it satisfies what `usrmerge` would otherwise be pulled in for.
const MERGED_USR: &str = "usr-is-merged";

/// What was chosen from the archives.
#[derive(Default)]
pub(super) struct Chosen {
    /// What is to be installed, in its order.
    pub install: Vec<Candidate>,
    /// What the scripts of those run beside, in its order.
    pub beside: Vec<Candidate>,
    /// What files are taken from and isn't among those, by name.
    pub taken: Vec<Candidate>,
    /// The names of what goes.
    pub remove: Vec<String>,
}

impl Chosen {
    /// Returns all that something of the image is from.
    pub(super) fn all(&self) -> Vec<Candidate> {
        self.install.iter().chain(&self.taken).cloned().collect()
    }
}

/// Decides what is to be installed and what files are taken from.
pub(super) fn select(
    universe: &Universe,
    wish: Wish,
    installed: &[debian::Installed],
    kept: &Kept,
) -> Result<Chosen> {
    let names = wish.taken.clone();
    let asked: Kept =
        wish.install.iter().filter_map(|one| Some((one.name.clone(), one.version.clone()?))).collect();
    let mut chosen = match wish.changes_packages {
        true => select_installs(universe, wish, installed, kept)?,
        false => Chosen::default(),
    };
    let is_installed = |name: &String| chosen.install.iter().any(|one| *one.package.name == **name);
    let left = names.iter().filter(|name| !is_installed(name));
    let versions = |name: &String| asked.get(name).or(kept.get(name));
    chosen.taken = left.map(|name| take_from(universe, name, versions(name))).collect::<Result<_>>()?;
    Ok(chosen)
}

fn select_installs(
    universe: &Universe,
    mut wish: Wish,
    installed: &[debian::Installed],
    kept: &Kept,
) -> Result<Chosen> {
    let names: Vec<String> = wish.install.iter().map(|wanted| wanted.name.clone()).collect();
    if wish.essential && !universe.versions(MERGED_USR).is_empty() {
        wish.install.push(Wanted { name: MERGED_USR.into(), version: None });
    }
    let request = Request {
        install: wish.install,
        remove: wish.remove,
        installed,
        essential: wish.essential,
        recommends: wish.recommends,
        upgrade: wish.upgrade,
        ..Request::default()
    };
    let selection = keep::resolve(universe, &request, kept)?;
    let chosen: Vec<&Candidate> = selection.install.iter().map(|&id| universe.candidate(id)).collect();
    let packages: Vec<&Package> = chosen.iter().map(|candidate| &candidate.package).collect();
    let order = order::plan(&packages, installed)?;
    let unpacked = order.into_iter().filter_map(|step| match step {
        Step::Unpack(places) => Some(places),
        Step::Configure(_) => None,
    });
    let install: Vec<Candidate> = unpacked.flatten().map(|place| chosen[place].clone()).collect();
    match wish.is_without_essential {
        true => without_essential(&install, &names, wish.recommends),
        false => Ok(Chosen { install, remove: selection.remove, ..Chosen::default() }),
    }
}

/// Parts what was chosen for a root from nothing: what the request itself leads to is for the image, what the Essential
/// packages lead to is for scripts to run beside.
fn without_essential(all: &[Candidate], names: &[String], recommends: bool) -> Result<Chosen> {
    let packages: Vec<&Package> = all.iter().map(|candidate| &candidate.package).collect();
    let reach = Reach::new(&packages)?;
    let asked = names.iter().filter_map(|name| reach.named(name)).collect();
    let in_image = reach.from(asked, recommends)?;
    let is_essential = |place: &usize| packages[*place].essential && !in_image.is_empty();
    let essential = (0..packages.len()).filter(is_essential).collect();
    let beside = reach.from(essential, false)?;
    let those = |chosen: &mut dyn Iterator<Item = &usize>| chosen.map(|&place| all[place].clone()).collect();
    Ok(Chosen {
        install: those(&mut in_image.iter()),
        beside: those(&mut beside.difference(&in_image)),
        ..Chosen::default()
    })
}

/// Returns what the files of a package that isn't installed are taken from: a version that is asked for or kept, else
/// the one that apt would install.
fn take_from(universe: &Universe, name: &str, version: Option<&debian::Version>) -> Result<Candidate> {
    let versions = universe.versions(name).iter().map(|id| universe.candidate(*id));
    let mut same = versions.filter(|one| version.is_some_and(|version| one.package.version == *version));
    if let Some(candidate) = same.next() {
        return Ok(candidate.clone());
    }
    Ok(universe.to_take_from(name)?.clone())
}
