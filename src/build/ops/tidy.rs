//! What an installation leaves behind that no image should hold: lists, caches, logs, locks, backups.
//!
//! Such a path goes back to what it was: in the directory of an overlay's changes it is taken out,
//! so the base's own is seen again; in a root of its own it is removed.

use std::path::Path;

use anyhow::{Context as _, Result};

use super::keystore;
use super::owned::Owned;
use crate::layer::Root;

/// Files that hold nothing an image needs.
const LEFT_BEHIND: [&str; 13] = [
    "var/log/dpkg.log",
    "var/log/alternatives.log",
    "var/log/bootstrap.log",
    "var/cache/apt/pkgcache.bin",
    "var/cache/apt/srcpkgcache.bin",
    "var/cache/ldconfig/aux-cache",
    "var/lib/dpkg/lock",
    "var/lib/dpkg/lock-frontend",
    "var/lib/dpkg/triggers/Lock",
    "var/lib/dpkg/status-old",
    "var/lib/dpkg/available-old",
    "var/lib/dpkg/diversions-old",
    "var/lib/dpkg/statoverride-old",
];

/// Directories of which only those stay that a package brings.
const EMPTIED: [&str; 3] = ["var/log/apt", "var/lib/apt/lists", "var/cache/apt/archives"];

/// Backups that tools make beside the files they change, by directory and ending.
const BACKUPS: [(&str, &str); 3] =
    [("etc", "-"), ("var/cache/debconf", "-old"), ("var/lib/dpkg/alternatives", ".dpkg-tmp")];

/// Takes what an installation left behind out of a root; `epoch` is the latest time in the image.
pub fn tidy(root: &Root, owned: &Owned, epoch: i64) -> Result<()> {
    for path in LEFT_BEHIND {
        root.remove(path).with_context(|| format!("cannot remove /{path}"))?;
    }
    for directory in EMPTIED {
        empty(root, directory, owned).with_context(|| format!("cannot empty /{directory}"))?;
    }
    for (parent, ending) in BACKUPS {
        for name in root.names_in(parent)? {
            if name.len() > ending.len() && name.ends_with(ending.as_bytes()) {
                root.remove_in(parent, &name)?;
            }
        }
    }
    remove_logs(root, owned)?;
    remove_manual_indexes(root)?;
    keystore::settle(root, epoch)?;
    // An identity is the machine's, not the image's: an empty file asks for one at the first start.
    root.empty_if_there("etc/machine-id")?;
    Ok(root.remove("var/lib/dbus/machine-id")?)
}

fn empty(root: &Root, directory: &str, owned: &Owned) -> Result<()> {
    if !owned.contains(Path::new(directory)) {
        return Ok(root.remove(directory)?);
    }
    for name in root.names_in(directory)? {
        match std::str::from_utf8(&name) {
            Ok(name) => empty(root, &format!("{directory}/{name}"), owned)?,
            Err(_) => root.remove_in(directory, &name)?,
        }
    }
    Ok(())
}

/// A log that says something tells of the installation, and when it was. An empty one was made to be written to.
fn remove_logs(root: &Root, owned: &Owned) -> Result<()> {
    for found in root.files_below("var/log")? {
        if found.size.is_some_and(|size| size > 0) && !owned.contains(&found.path) {
            root.remove(&found.path)?;
        }
    }
    Ok(())
}

/// What `mandb` finds in the manual pages, entered in the order in which they lie on the disk: no two are alike. `man`
/// does without them, `apropos` until `mandb` ran again.
fn remove_manual_indexes(root: &Root) -> Result<()> {
    for found in root.files_below("var/cache/man")? {
        if found.path.file_name().is_some_and(|name| name == "index.db") {
            root.remove(&found.path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// Returns what is left of a root with these files and directories, of which a package brings `owned`.
    fn left(paths: &[(&str, &str)], owned: &str) -> Vec<String> {
        let directory = tempfile::tempdir().unwrap();
        for (path, content) in paths {
            let place = directory.path().join(path);
            fs::create_dir_all(place.parent().unwrap()).unwrap();
            match path.ends_with('/') {
                true => fs::create_dir_all(place).unwrap(),
                false => fs::write(place, content).unwrap(),
            }
        }
        let info = directory.path().join("var/lib/dpkg/info");
        fs::create_dir_all(&info).unwrap();
        fs::write(info.join("p.list"), owned).unwrap();
        let root = Root::open(directory.path()).unwrap();
        tidy(&root, &Owned::read(&root).unwrap(), 7).unwrap();
        let is_there = |(path, _): &&(&str, &str)| directory.path().join(path).exists();
        paths.iter().filter(is_there).map(|(path, _)| (*path).to_owned()).collect()
    }

    #[test]
    fn lists_caches_locks_and_backups_go() {
        let paths = [
            ("etc/passwd", "x"),
            ("etc/passwd-", "x"),
            ("var/lib/apt/lists/partial/x", ""),
            ("var/lib/apt/lists/x_Packages", ""),
            ("var/cache/debconf/config.dat-old", ""),
            ("var/lib/dpkg/lock", ""),
            ("var/lib/dpkg/status-old", ""),
        ];
        assert_eq!(left(&paths, ""), ["etc/passwd"]);
    }

    #[test]
    fn directories_that_a_package_brings_stay() {
        let paths =
            [("var/log/apt/", ""), ("var/log/apt/term.log", "x"), ("var/lib/apt/lists/auxfiles/", "")];
        assert_eq!(left(&paths, "/var/log/apt\n/var/lib/apt/lists\n"), ["var/log/apt/"]);
    }

    #[test]
    fn indexes_of_manual_pages_go_and_their_directories_stay() {
        let paths = [
            ("var/cache/man/index.db", "x"),
            ("var/cache/man/de/index.db", "x"),
            ("var/cache/man/CACHEDIR.TAG", "x"),
            ("var/cache/man/de/", ""),
        ];
        assert_eq!(left(&paths, ""), ["var/cache/man/CACHEDIR.TAG", "var/cache/man/de/"]);
    }

    #[test]
    fn logs_that_say_something_go_and_those_that_wait_stay() {
        let paths = [("var/log/wtmp", ""), ("var/log/a/b.log", "at noon"), ("var/log/README", "brought")];
        assert_eq!(left(&paths, "/var/log/README\n"), ["var/log/wtmp", "var/log/README"]);
    }
}
