//! Which paths of an installation's changes packages brought, by the lists of the dpkg database.
//!
//! What a script made is in no list. Paths stand here as they are in a root with a merged `/usr`.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::layer::Root;

/// Where dpkg keeps its lists.
const LISTS: &str = "var/lib/dpkg/info";
/// No list is longer.
const LONGEST_LIST: u64 = 64 << 20;
/// The directories that a merged root has below `/usr`.
const MERGED: [&str; 6] = ["bin", "sbin", "lib", "lib32", "lib64", "libx32"];

/// The paths that packages brought.
#[derive(Debug, Default)]
pub struct Owned {
    paths: BTreeSet<PathBuf>,
}

impl Owned {
    /// Reads the lists that are in a root, or among its changes.
    pub fn read(root: &Root) -> Result<Owned> {
        let mut owned = Owned::default();
        for name in root.names_in(LISTS)?.iter().filter(|name| name.ends_with(b".list")) {
            let path = Path::new(LISTS).join(OsStr::from_bytes(name));
            let list = root.read(&path, LONGEST_LIST);
            let list = list.with_context(|| format!("cannot read /{}", path.display()))?;
            let lines = list.iter().flat_map(|list| list.split(|&byte| byte == b'\n'));
            owned.paths.extend(lines.map(|line| settled(OsStr::from_bytes(line))));
        }
        Ok(owned)
    }

    /// Whether a package brought this path, which has no leading slash.
    pub fn contains(&self, path: &Path) -> bool {
        self.paths.contains(path)
    }
}

/// Returns where a path of a package is in a root with a merged `/usr`, without a leading slash.
pub(super) fn settled(path: &OsStr) -> PathBuf {
    let path = Path::new(path);
    let path = path.strip_prefix("/").unwrap_or(path);
    let is_merged = MERGED.iter().any(|name| path.starts_with(name));
    if is_merged { Path::new("usr").join(path) } else { path.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_known_as_it_is_in_a_merged_root() {
        for (listed, known) in [
            ("/bin/sh", "usr/bin/sh"),
            ("/usr/bin/env", "usr/bin/env"),
            ("/library/x", "library/x"),
            ("/lib64", "usr/lib64"),
            ("/.", ""),
        ] {
            assert_eq!(settled(OsStr::new(listed)), Path::new(known), "{listed}");
        }
    }
}
