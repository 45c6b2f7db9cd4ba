//! Packages of other package managers than dpkg: which files list them, and what those say.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;

use super::apk;
use crate::bom::{Licence, Package, PackageKind};
use crate::build::view::View;
use crate::inside::Incomplete;
use crate::layer::Kind;
use crate::licence;
use crate::rpm::{self, Form, Header};

/// Where Alpine's releases keep what is installed.
const APK: [&str; 2] = ["lib/apk/db/installed", "usr/lib/apk/db/installed"];

/// What lists of packages say.
#[derive(Debug, Default)]
pub struct Listed {
    /// The packages that are installed.
    pub packages: Vec<Package>,
    /// The texts of their licences that have no identifier, by the names that stand for them.
    pub texts: BTreeMap<String, String>,
    /// The lists that can't be read.
    pub incomplete: Vec<Incomplete>,
}

/// What a file holds; nothing of one that isn't there.
pub type Content<'c> = Option<Cow<'c, [u8]>>;

/// Whether a path, without a leading slash, is that of a list of packages.
pub fn is_list(path: &[u8]) -> bool {
    let Ok(path) = std::str::from_utf8(path) else { return false };
    let of_rpm = path.rsplit_once('/').filter(|(directory, _)| rpm::DIRECTORIES.contains(directory));
    let is_rpms = |name: &str| name == rpm::JOURNAL || rpm::FILES.iter().any(|(known, _)| *known == name);
    APK.contains(&path) || of_rpm.is_some_and(|(_, name)| is_rpms(name))
}

/// Reads the lists that a root has; `content` returns what a file of it holds.
///
/// # Errors
/// When a file can't be read; one that holds something else is told as incomplete.
pub fn read<'c>(content: &dyn Fn(&str) -> Result<Content<'c>>) -> Result<Listed> {
    let mut listed = Listed::default();
    for path in APK {
        let Some(database) = content(path)? else { continue };
        for (package, field) in apk::parse(&String::from_utf8_lossy(&database)) {
            listed.add(package, &field, path);
        }
    }
    for directory in rpm::DIRECTORIES {
        for (name, form) in rpm::FILES {
            let path = format!("{directory}/{name}");
            let database = content(&path)?.filter(|database| !database.is_empty());
            listed.add_rpms(form, database.as_deref(), &path);
        }
        let journal = format!("{directory}/{}", rpm::JOURNAL);
        if content(&journal)?.is_some_and(|journal| !journal.is_empty()) {
            let why = "it holds changes that were not written to rpm's database".into();
            listed.incomplete.push(Incomplete { path: format!("/{journal}"), why });
        }
    }
    listed.packages.sort_by_key(|package| (package.key(), package.version.clone()));
    listed.packages.dedup_by(|one, other| (one.key(), &one.version) == (other.key(), &other.version));
    Ok(listed)
}

/// Reads the lists of a root whose layers were looked into.
pub(super) fn of_view(view: &View) -> Result<Listed> {
    read(&|path| {
        let seen = view.seen.get(path.as_bytes());
        let file = seen.filter(|seen| matches!(seen.entry.kind, Kind::File { .. }));
        Ok(file.map(|seen| Cow::Borrowed(&*seen.content)))
    })
}

impl Listed {
    fn add_rpms(&mut self, form: Form, database: Option<&[u8]>, path: &str) {
        let installed = database.map(|database| rpm::read(form, database)).unwrap_or_default();
        if let Some(error) = installed.error {
            self.incomplete.push(Incomplete { path: format!("/{path}"), why: error.to_string() });
        }
        for header in &installed.headers {
            self.add(package(header), &header.licence, path);
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
    let names: BTreeSet<&str> = names.iter().map(String::as_str).collect();
    names.into_iter().filter(|name| !name.starts_with("rpmlib(")).collect::<Vec<_>>().join(", ")
}
