//! What an installation leaves behind that no image should hold: lists, caches, logs, locks, backups.
//!
//! Such a path goes back to what it was: in the directory of an overlay's changes it is taken out,
//! so the base's own is seen again; in a root of its own it is removed.

use std::path::Path;

use anyhow::{Context as _, Result};

use crate::layer::Root;

/// Files and directories that hold nothing an image needs.
const LEFT_BEHIND: [&str; 16] = [
    "var/log/dpkg.log",
    "var/log/alternatives.log",
    "var/log/bootstrap.log",
    "var/log/apt",
    "var/lib/apt/lists",
    "var/cache/apt/archives",
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

/// Backups that tools make beside the files they change, by directory and ending.
const BACKUPS: [(&str, &str); 3] =
    [("etc", "-"), ("var/cache/debconf", "-old"), ("var/lib/dpkg/alternatives", ".dpkg-tmp")];

/// Takes what an installation left behind out of `directory`.
pub fn tidy(directory: &Path) -> Result<()> {
    let root = Root::open(directory).with_context(|| format!("cannot open {}", directory.display()))?;
    for path in LEFT_BEHIND {
        root.remove(path).with_context(|| format!("cannot remove /{path}"))?;
    }
    for (parent, ending) in BACKUPS {
        for name in root.names_in(parent)? {
            if name.len() > ending.len() && name.ends_with(ending.as_bytes()) {
                root.remove_in(parent, &name)?;
            }
        }
    }
    // An identity is the machine's, not the image's: an empty file asks for one at the first start.
    root.empty_if_there("etc/machine-id")?;
    Ok(root.remove("var/lib/dbus/machine-id")?)
}
