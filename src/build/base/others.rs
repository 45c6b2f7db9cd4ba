//! Packages of other package managers than dpkg: which files list them, and what those say.

use std::collections::BTreeMap;

use super::apk;
use crate::bom::{Licence, Package, PackageKind};
use crate::build::view::View;
use crate::inside::Incomplete;
use crate::layer::Kind;
use crate::licence;
use crate::rpm::{self, Header};

/// Where Alpine's releases keep what is installed.
const APK: [&str; 2] = ["lib/apk/db/installed", "usr/lib/apk/db/installed"];

/// What lists of packages say.
#[derive(Default)]
pub(super) struct Listed {
    /// The packages that are installed.
    pub(super) packages: Vec<Package>,
    /// The texts of their licences that have no identifier, by the names that stand for them.
    pub(super) texts: BTreeMap<String, String>,
    /// The lists that can't be read.
    pub(super) incomplete: Vec<Incomplete>,
}

/// Whether a path, without a leading slash, is that of a list of packages.
pub(super) fn is_list(path: &[u8]) -> bool {
    let Ok(path) = std::str::from_utf8(path) else { return false };
    let of_rpm = path.rsplit_once('/').filter(|(directory, _)| rpm::DIRECTORIES.contains(directory));
    let is_rpms = |name: &str| name == rpm::JOURNAL || rpm::FILES.iter().any(|(known, _)| *known == name);
    APK.contains(&path) || of_rpm.is_some_and(|(_, name)| is_rpms(name))
}

/// Reads the lists that a root has.
pub(super) fn read(view: &View) -> Listed {
    let mut listed = Listed::default();
    if let Some((path, database)) = APK.iter().find_map(|path| Some((path, content(view, path)?))) {
        for (package, field) in apk::parse(&String::from_utf8_lossy(database)) {
            listed.add(package, &field, path);
        }
    }
    for directory in rpm::DIRECTORIES {
        listed.add_rpms(view, directory);
    }
    listed.packages.sort_by_key(|package| (package.key(), package.version.clone()));
    listed.packages.dedup();
    listed
}

/// Returns the content of a file that isn't empty.
fn content<'a>(view: &'a View, path: &str) -> Option<&'a [u8]> {
    let seen = view.seen.get(path.as_bytes())?;
    let is_file = matches!(seen.entry.kind, Kind::File { size } if size > 0);
    is_file.then_some(&*seen.content)
}

impl Listed {
    fn add_rpms(&mut self, view: &View, directory: &str) {
        for (name, form) in rpm::FILES {
            let path = format!("{directory}/{name}");
            let Some(database) = content(view, &path) else { continue };
            let installed = rpm::read(form, database);
            if let Some(error) = installed.error {
                self.incomplete.push(Incomplete { path: format!("/{path}"), why: error.to_string() });
            }
            for header in &installed.headers {
                self.add(package(header), &header.licence, &path);
            }
        }
        let journal = format!("{directory}/{}", rpm::JOURNAL);
        if content(view, &journal).is_some() {
            let why = "it holds changes that were not written to rpm's database".into();
            self.incomplete.push(Incomplete { path: format!("/{journal}"), why });
        }
    }

    fn add(&mut self, package: Package, licence: &str, path: &str) {
        let declared = licence::of_field(licence).map(|declared| {
            self.texts.extend(declared.texts);
            let declared_by = format!("/{path}");
            Licence { expression: declared.expression, declared_by, ..Licence::default() }
        });
        self.packages.push(Package { licence: declared, ..package });
    }
}

/// rpm's keys are packages, too: of no architecture, and from no source.
fn package(header: &Header) -> Package {
    let (source_package, source_version) = header.source().unwrap_or_default();
    let maintainer = if header.packager.is_empty() { &header.vendor } else { &header.packager };
    Package {
        name: header.name.clone(),
        version: header.full_version(),
        source_package: source_package.to_owned(),
        source_version: source_version.to_owned(),
        architecture: header.architecture.clone(),
        kind: PackageKind::Rpm,
        maintainer: maintainer.clone(),
        homepage: header.url.clone(),
        depends: names(&header.requires),
        provides: names(&header.provides),
        licence: None,
    }
}

/// Returns the names, each once; what a package asks of rpm itself is no package's.
fn names(names: &[String]) -> String {
    let names: std::collections::BTreeSet<&str> = names.iter().map(String::as_str).collect();
    names.into_iter().filter(|name| !name.starts_with("rpmlib(")).collect::<Vec<_>>().join(", ")
}
