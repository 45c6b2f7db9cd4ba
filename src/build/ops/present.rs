//! Which packages a root has when an installation is over, by dpkg's own record.
//!
//! That may be fewer than were locked: a package all of whose files others took over disappears (Debian policy 6.6.4).

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};

use crate::debian::status;
use crate::layer::Root;

const STATUS: &str = "var/lib/dpkg/status";
/// No record is longer.
const LONGEST_STATUS: u64 = 256 << 20;

/// The installed packages by name and architecture; none where dpkg's record did not change.
#[derive(Debug, Default)]
pub(super) struct Present(Option<BTreeSet<(Box<str>, Box<str>)>>);

impl Present {
    /// Reads the record that is among a root's changes.
    pub(super) fn read(changes: &Root) -> Result<Present> {
        let bytes = changes.read(STATUS, LONGEST_STATUS).with_context(|| format!("cannot read /{STATUS}"))?;
        let Some(bytes) = bytes else { return Ok(Present(None)) };
        let text = String::from_utf8(bytes).with_context(|| format!("cannot read /{STATUS}"))?;
        let installed = status::parse(&text)?.into_iter().filter(status::Installed::is_installed);
        Ok(Present(Some(installed.map(|there| (there.package.name, there.package.architecture)).collect())))
    }

    /// Whether a package that was there or was installed is not there any more.
    pub(super) fn lacks(&self, name: &str, architecture: &str) -> bool {
        self.0.as_ref().is_some_and(|there| !there.contains(&(name.into(), architecture.into())))
    }
}
