//! Packages of other package managers than dpkg: which files list them, and what those say.

use std::collections::BTreeMap;

use super::apk;
use crate::bom::{Licence, Package};
use crate::build::view::View;
use crate::inside::Incomplete;
use crate::layer::Kind;
use crate::licence;

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
    APK.contains(&path)
}

/// Reads the lists that a root has.
pub(super) fn read(view: &View) -> Listed {
    let mut listed = Listed::default();
    if let Some((path, database)) = APK.iter().find_map(|path| Some((path, content(view, path)?))) {
        for (package, field) in apk::parse(&String::from_utf8_lossy(database)) {
            listed.add(package, &field, path);
        }
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
    fn add(&mut self, package: Package, licence: &str, path: &str) {
        let declared = licence::of_field(licence).map(|declared| {
            self.texts.extend(declared.texts);
            let declared_by = format!("/{path}");
            Licence { expression: declared.expression, declared_by, ..Licence::default() }
        });
        self.packages.push(Package { licence: declared, ..package });
    }
}
