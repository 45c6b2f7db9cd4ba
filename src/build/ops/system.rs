//! What a root that was made from nothing says that it is, in its os-release (os-release(5)).

use anyhow::{Context as _, Result};

use crate::bom::OperatingSystem;
use crate::build::base::OsRelease;
use crate::layer::Root;

/// Where it says so; `/etc/os-release` is a link to the latter, if it is there at all.
const PLACES: [&str; 2] = ["etc/os-release", "usr/lib/os-release"];
/// No such file is longer.
const LONGEST: u64 = 1 << 20;

/// Reads what a root says that it is, where it says so.
pub(super) fn of(root: &Root) -> Result<Option<OperatingSystem>> {
    for place in PLACES {
        let text = root.read(place, LONGEST).with_context(|| format!("cannot read /{place}"))?;
        let release = OsRelease::parse(&String::from_utf8_lossy(&text.unwrap_or_default()));
        if !release.id.is_empty() {
            let OsRelease { id, version_id, codename, id_like: _ } = release;
            return Ok(Some(OperatingSystem { id, version: version_id, codename }));
        }
    }
    Ok(None)
}
