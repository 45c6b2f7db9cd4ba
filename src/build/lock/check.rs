//! Whether a lock is one of this definition, and holds what that asks for. All that is amiss is told at once.

use std::collections::BTreeSet;

use anyhow::Result;

use super::sources::is_excused;
use super::{InvalidLock, LockRequest, LockedPackage, PlatformLock, debs, wish};
use crate::build::base::Base;
use crate::build::definition::{self, Apt, Definition, PackageRequest, SourcePolicy};
use crate::oci::Reference;

/// Checks that a lock was made for this definition, and these steps of it.
///
/// # Errors
/// When it was not, with every difference.
pub fn is_of(definition: &Definition, steps: &[String], locked: &PlatformLock) -> Result<()> {
    let mut differences = locked.request.differences(&LockRequest::of(definition, steps)?);
    if differences.is_empty() {
        differences.extend(other_base(definition, locked));
    }
    refused(differences)
}

/// Checks that a lock holds the packages that this definition names, as far as the base doesn't.
///
/// # Errors
/// When it doesn't, as one that was edited or merged by hand.
pub fn is_complete(definition: &Definition, locked: &PlatformLock, base: Option<&Base>) -> Result<()> {
    let wanted = &definition.image.apt.packages;
    let may_hold_some =
        !wanted.is_empty() || !definition.image.apt.debs.is_empty() || definition.image.apt.upgrade.value;
    if !may_hold_some && !locked.packages.is_empty() {
        return refused(vec!["it holds packages, and the definition names none".into()]);
    }
    let there = versions(locked, base)?;
    let is_there = |wanted: &&PackageRequest| match &wanted.version {
        Some(version) => there.contains(&(wanted.name.value.clone(), version.value.clone())),
        None => there.iter().any(|(name, _)| *name == wanted.name.value),
    };
    let missing = wanted.iter().filter(|wanted| !is_there(wanted));
    let missing = missing.map(|wanted| format!("it does not hold package {}", name_of(wanted)));
    let missing = missing.chain(not_taken(definition, locked)).chain(needless_beside(definition, locked));
    refused(missing.chain(without_sources(&definition.image.apt, locked)).collect())
}

/// Returns what there is to say of packages that files are taken from: just these are held.
fn not_taken(definition: &Definition, locked: &PlatformLock) -> Vec<String> {
    let names = wish::taken(definition);
    let is_there = |name: &&String| locked.all_packages().any(|package| package.name == **name);
    let missing = names.iter().filter(|name| !is_there(name));
    let missing = missing.map(|name| format!("it does not hold package {name}, which files are taken from"));
    let needless = locked.taken.iter().filter(|package| !names.contains(&package.name));
    let needless =
        needless.map(|package| format!("it holds package {}, and no file is taken from it", package.name));
    missing.chain(needless).collect()
}

/// Returns what there is to say of packages that scripts run beside: they are no part of any other image, nor of this.
fn needless_beside(definition: &Definition, locked: &PlatformLock) -> Vec<String> {
    let is_twice = |beside: &LockedPackage| locked.packages.iter().any(|package| package.name == beside.name);
    let is_needless = |beside: &&LockedPackage| !definition.is_without_essential() || is_twice(beside);
    let needless = locked.beside.iter().filter(is_needless);
    needless
        .map(|package| format!("it holds package {} beside the image, and that has it", package.name))
        .collect()
}

/// Returns what there is to say of packages whose sources have to be in the lock and are not.
fn without_sources<'a>(apt: &'a Apt, locked: &'a PlatformLock) -> impl Iterator<Item = String> + 'a {
    let are_wanted = apt.sources.value != SourcePolicy::None;
    let packages = locked.all_packages().filter(move |package| are_wanted && package.source.files.is_empty());
    let block = |package: &LockedPackage| package.deb.as_ref().and_then(|deb| debs::block(apt, deb));
    let missing = packages.filter(move |package| !is_excused(apt, &package.name, block(package)));
    missing.map(|package| format!("it does not hold the sources of package {}", package.name))
}

fn refused(differences: Vec<String>) -> Result<()> {
    match differences.is_empty() {
        true => Ok(()),
        false => Err(InvalidLock::Unfit(differences).into()),
    }
}

/// Returns what there is to say if a lock begins elsewhere than the definition.
fn other_base(definition: &Definition, locked: &PlatformLock) -> Option<String> {
    let base = match &definition.image.base {
        definition::Base::Scratch => None,
        definition::Base::Image(reference) => {
            Some(Reference { digest: None, ..reference.value.clone() }.to_string())
        }
    };
    let locked_base = locked.base.as_ref().map(|base| base.name.clone());
    let name = |base: &Option<String>| base.clone().unwrap_or_else(|| "scratch".into());
    (base != locked_base)
        .then(|| format!("the definition's base is {}, the lock's {}", name(&base), name(&locked_base)))
}

/// Returns names and versions of what the base has and the lock brings.
fn versions(locked: &PlatformLock, base: Option<&Base>) -> Result<BTreeSet<(String, String)>> {
    let installed = base.map(|base| base.facts.installed()).transpose()?.unwrap_or_default();
    let installed = installed.iter().filter(|package| package.is_installed());
    let locked = locked.packages.iter().map(|package| (package.name.clone(), package.version.clone()));
    Ok(installed
        .map(|there| (there.package.name.to_string(), there.package.version.to_string()))
        .chain(locked)
        .collect())
}

fn name_of(wanted: &PackageRequest) -> String {
    match &wanted.version {
        Some(version) => format!("{} {}", wanted.name.value, version.value),
        None => wanted.name.value.clone(),
    }
}
