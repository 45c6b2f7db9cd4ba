//! Which packages need which, among those that are installed.
//!
//! Their control files say so, in words that may have several answers; here stand those that are there.

use std::collections::{BTreeMap, BTreeSet};

use super::super::{Package, PackageKind};
use super::Part;
use crate::debian::{Relation, Version, relation};

/// A package that is there, and its reference.
struct There<'a> {
    package: &'a Package,
    reference: &'a str,
}

/// What goes by a name: packages of that name, or that provide it in this version.
type Names<'a> = BTreeMap<String, Vec<(&'a There<'a>, Option<String>)>>;

/// Returns what each package needs, in the same order: nothing where it can't be read.
pub(super) fn needs(packages: &[(&Package, Part<'_>)]) -> Vec<Option<BTreeSet<String>>> {
    let there: Vec<There<'_>> =
        packages.iter().map(|(package, part)| There { package, reference: &part.reference }).collect();
    let names = names(&there);
    there.iter().map(|one| needs_of(one, &names)).collect()
}

fn names<'a>(there: &'a [There<'a>]) -> Names<'a> {
    let mut names = Names::new();
    for one in there {
        let own = (one.package.name.clone(), Some(one.package.version.clone()));
        for (name, version) in [own].into_iter().chain(provided(one.package)) {
            names.entry(name).or_default().push((one, version));
        }
    }
    names
}

fn needs_of(one: &There<'_>, names: &Names<'_>) -> Option<BTreeSet<String>> {
    let mut needs = BTreeSet::new();
    for alternatives in alternatives(one.package)? {
        let mut found = alternatives.iter().map(|relation| answers(relation, one.package, names));
        needs.extend(found.find(|found| !found.is_empty()).unwrap_or_default());
    }
    needs.remove(one.reference);
    Some(needs)
}

/// Returns what answers a relation: packages of that name, else those that provide it; those of the same architecture, if
/// there are such.
fn answers(relation: &Relation, asking: &Package, names: &Names<'_>) -> Vec<String> {
    let candidates = names.get(&*relation.name).into_iter().flatten();
    let admitted: Vec<&There<'_>> = candidates
        .filter(|(_, version)| is_admitted(relation, version.as_deref()))
        .map(|(one, _)| *one)
        .collect();
    let is_real = |one: &&There<'_>| *one.package.name == *relation.name;
    let is_near = |one: &&There<'_>| [&*asking.architecture, "all"].contains(&&*one.package.architecture);
    let narrowed = narrowed(narrowed(admitted, is_real), is_near);
    narrowed.into_iter().map(|one| one.reference.to_owned()).collect()
}

/// Returns those that a choice prefers; all, where it prefers none.
fn narrowed<'a>(all: Vec<&'a There<'a>>, is_preferred: impl Fn(&&There<'a>) -> bool) -> Vec<&'a There<'a>> {
    let preferred: Vec<_> = all.iter().filter(|one| is_preferred(one)).copied().collect();
    if preferred.is_empty() { all } else { preferred }
}

/// One that is provided without a version satisfies no constraint (Debian policy 7.5).
fn is_admitted(relation: &Relation, version: Option<&str>) -> bool {
    match (&relation.constraint, version) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(constraint), Some(version)) => {
            Version::parse(version).is_ok_and(|version| constraint.admits(&version))
        }
    }
}

/// Returns what a package needs: groups, of each of which one is enough. Nothing where it can't be read.
fn alternatives(package: &Package) -> Option<Vec<Vec<Relation>>> {
    match package.kind {
        PackageKind::Deb => {
            let groups = relation::parse(&package.depends).ok()?;
            let applies = |group: Vec<Relation>| -> Vec<Relation> {
                group.into_iter().filter(|one| one.applies_to(&package.architecture)).collect()
            };
            Some(groups.into_iter().map(applies).collect())
        }
        PackageKind::Apk | PackageKind::Rpm => {
            Some(words(&package.depends).map(|name| vec![named(name)]).collect())
        }
    }
}

fn provided(package: &Package) -> Vec<(String, Option<String>)> {
    match package.kind {
        PackageKind::Deb => {
            let groups = relation::parse(&package.provides).unwrap_or_default();
            let version = |one: &Relation| one.constraint.as_ref().map(|is| is.version.as_str().to_owned());
            groups.iter().flatten().map(|one| (one.name.to_string(), version(one))).collect()
        }
        PackageKind::Apk | PackageKind::Rpm => {
            words(&package.provides).map(|name| (name.to_owned(), None)).collect()
        }
    }
}

/// Returns the names in a list of apk's or rpm's, which are no names of Debian's: `so:libc.so.6()(64bit)`, `/bin/sh`.
/// What is installed has been found to satisfy their versions.
fn words(list: &str) -> impl Iterator<Item = &str> {
    let items = list.split(", ").map(str::trim).filter(|item| !item.is_empty() && !item.starts_with('!'));
    items.map(|item| item.split([' ', '<', '>', '=', '~']).next().unwrap_or(item))
}

fn named(name: &str) -> Relation {
    Relation { name: name.into(), qualifier: None, constraint: None, architectures: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, version: &str, depends: &str, provides: &str) -> Package {
        Package {
            name: name.into(),
            version: version.into(),
            architecture: "amd64".into(),
            depends: depends.into(),
            provides: provides.into(),
            ..Package::default()
        }
    }

    /// Returns what the first of these packages needs, by name.
    fn needed(packages: &[Package]) -> Option<Vec<String>> {
        let parts: Vec<_> = packages
            .iter()
            .map(|package| {
                let reference = format!("{}/{}", package.name, package.architecture);
                (package, Part { reference, ..Part::default() })
            })
            .collect();
        Some(needs(&parts).remove(0)?.into_iter().collect())
    }

    #[test]
    fn a_package_needs_what_is_there() {
        let others = [
            package("libc6", "2.36-9", "", ""),
            package("mawk", "1.3", "", "awk"),
            package("exim", "4", "", "mail-transport-agent (= 2)"),
        ];
        for (depends, expected) in [
            ("libc6 (>= 2.36)", vec!["libc6/amd64"]),
            ("libc6 (>= 2.37)", vec![]),
            ("gawk | awk", vec!["mawk/amd64"]),
            ("awk (>= 1)", vec![]),
            ("mail-transport-agent (>= 1)", vec!["exim/amd64"]),
            ("absent, libc6:any | mawk", vec!["libc6/amd64"]),
            ("libc6 [!amd64], mawk", vec!["mawk/amd64"]),
            ("jq", vec![]),
        ] {
            let packages = [&[package("jq", "1", depends, "")][..], &others].concat();
            assert_eq!(needed(&packages).unwrap(), expected, "{depends}");
        }
    }

    #[test]
    fn of_two_architectures_ones_own_is_needed() {
        let foreign = Package { architecture: "i386".into(), ..package("libc6", "2", "", "") };
        let packages = [package("jq", "1", "libc6", ""), foreign, package("libc6", "2", "", "")];
        assert_eq!(needed(&packages).unwrap(), ["libc6/amd64"]);
        assert_eq!(needed(&packages[..2]).unwrap(), ["libc6/i386"]);
    }

    #[test]
    fn what_cannot_be_read_is_not_known() {
        assert_eq!(needed(&[package("jq", "1", "libc6 (", "")]), None);
    }

    #[test]
    fn other_package_managers_name_files_and_libraries() {
        let of = |kind, package| Package { kind, ..package };
        let apk = PackageKind::Apk;
        let packages = [
            of(apk, package("busybox", "1", "so:libc.musl-x86_64.so.1, !other, zlib>=1.2", "")),
            of(apk, package("musl", "1.2", "", "so:libc.musl-x86_64.so.1=1")),
            of(apk, package("zlib", "1.3", "", "")),
        ];
        assert_eq!(needed(&packages).unwrap(), ["musl/amd64", "zlib/amd64"]);
    }
}
