//! Who was at work when, while dpkg ran: itself, or which package's maintainer script.
//!
//! dpkg runs many scripts in one call, and a path doesn't tell who changed it. But it tells when it was last changed, and
//! nobody can set that; and the sandbox tells what is started before it starts. So a turn begins at a moment that the
//! clock of the file system shows then, later than all that was done before
//! (docs/decisions/0020-whose-doing-a-path-is.md).

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::shown;
use crate::layer;
use crate::sandbox::Starting;

/// Where dpkg keeps the scripts of installed packages, and of the one that it unpacks.
const INSTALLED: &str = "/var/lib/dpkg/info/";
const UNPACKED: &str = "/var/lib/dpkg/tmp.ci/";
/// The scripts that packages may have (Debian policy 6.1; debconf's is the last).
const SCRIPTS: [&str; 5] = ["preinst", "postinst", "prerm", "postrm", "config"];

/// Who was at work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Doer {
    /// The builder, or a program that it started.
    Builder,
    /// dpkg itself, as far as no script is known.
    Dpkg,
    /// A maintainer script.
    Script {
        /// The package's name, with its architecture where that is told.
        package: String,
        /// The script's name.
        script: String,
    },
}

/// Turns in their order. Before the first one the builder was at work.
pub struct Timeline {
    clock: File,
    notes: Mutex<Notes>,
}

#[derive(Default)]
struct Notes {
    turns: Vec<(i128, Doer)>,
    /// What scripts were about to remove, as they named it, and in which turn.
    removals: Vec<(Vec<u8>, usize)>,
    failed: Option<io::Error>,
}

impl Timeline {
    /// Returns an empty one, whose clock is the file system's that `scratch` lies on.
    pub fn new(scratch: &Path) -> Result<Timeline> {
        let path = scratch.join("clock");
        let clock = File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
        Ok(Timeline { clock, notes: Mutex::default() })
    }

    /// Forgets all turns: what was done in them is gone.
    pub fn reset(&self) {
        *self.notes() = Notes::default();
    }

    /// Begins somebody's turn.
    pub fn turn(&self, doer: Doer) {
        let mut notes = self.notes();
        match self.tick() {
            Ok(moment) => notes.turns.push((moment, doer)),
            Err(error) => notes.failed = Some(error),
        }
    }

    /// Begins the turn of a script, or of dpkg as it unpacks the next package.
    pub fn see(&self, starting: &mut Starting<'_>) {
        let Ok(program) = String::from_utf8(starting.program.clone()) else { return };
        if let Some(named) = script_of(&program) {
            let [package, architecture] =
                starting.variables(["DPKG_MAINTSCRIPT_PACKAGE", "DPKG_MAINTSCRIPT_ARCH"]);
            self.turn(named.doer(package.unwrap_or_default(), &architecture.unwrap_or_default()));
        } else if program.ends_with("/dpkg-deb") && self.is_at_work(|doer| *doer != Doer::Dpkg) {
            let [package] = starting.variables(["DPKG_MAINTSCRIPT_PACKAGE"]);
            if package.is_none() {
                self.turn(Doer::Dpkg);
            }
        }
    }

    /// Notes the path that is about to be removed, if a script is at work.
    pub fn see_removal(&self, path: impl FnOnce() -> Option<Vec<u8>>) {
        let mut notes = self.notes();
        if matches!(notes.turns.last(), Some((_, Doer::Script { .. }))) {
            let turn = notes.turns.len() - 1;
            notes.removals.extend(path().map(|path| (path, turn)));
        }
    }

    /// Returns who was at work at a moment.
    ///
    /// # Errors
    /// When the clock could not be read at one of the turns.
    pub fn at(&self, moment: i128) -> Result<Doer> {
        let notes = self.checked()?;
        let n_begun = notes.turns.partition_point(|(begin, _)| *begin <= moment);
        Ok(notes.turns[..n_begun].last().map_or(Doer::Builder, |(_, doer)| doer.clone()))
    }

    /// Returns which script removed a path last that dpkg didn't. Without a note of it, that is the last script that was at
    /// work before its directory was last changed.
    pub fn removed(&self, path: &[u8], moment: i128) -> Result<Option<Doer>> {
        let notes = self.checked()?;
        let absolute = shown(path).into_bytes();
        let name = path.rsplit(|&byte| byte == b'/').next().unwrap_or(path);
        let is_relative = |said: &[u8]| {
            let trimmed = said.strip_suffix(b"/").unwrap_or(said);
            !said.starts_with(b"/") && trimmed.rsplit(|&byte| byte == b'/').next() == Some(name)
        };
        let exactly = notes.removals.iter().rev().find(|(said, _)| *said == absolute);
        let noted = exactly.or_else(|| notes.removals.iter().rev().find(|(said, _)| is_relative(said)));
        let n_begun = notes.turns.partition_point(|(begin, _)| *begin <= moment);
        let is_script = |(_, doer): &&(i128, Doer)| matches!(doer, Doer::Script { .. });
        let turn = match noted {
            Some((_, turn)) => notes.turns.get(*turn),
            None => notes.turns[..n_begun].iter().rev().find(is_script),
        };
        Ok(turn.map(|(_, doer)| doer.clone()))
    }

    fn checked(&self) -> Result<std::sync::MutexGuard<'_, Notes>> {
        let mut notes = self.notes();
        match notes.failed.take() {
            Some(error) => Err(error).context("cannot tell when a maintainer script began"),
            None => Ok(notes),
        }
    }

    fn is_at_work(&self, is: impl Fn(&Doer) -> bool) -> bool {
        self.notes().turns.last().is_some_and(|(_, doer)| is(doer))
    }

    fn notes(&self) -> std::sync::MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns a moment after all that was done, and not after what is done from now on.
    fn tick(&self) -> io::Result<i128> {
        let before = layer::touch_now(&self.clock)?;
        loop {
            let now = layer::touch_now(&self.clock)?;
            if now > before {
                return Ok(now);
            }
            // Before Linux 6.13 the clock ticks every few milliseconds.
            thread::sleep(Duration::from_micros(100));
        }
    }
}

/// A script, as the path that it is run by tells.
struct Named<'a> {
    /// Of which package, unless that is the one that is being unpacked.
    package: Option<&'a str>,
    script: &'a str,
}

fn script_of(program: &str) -> Option<Named<'_>> {
    let (package, script) = match program.strip_prefix(INSTALLED) {
        Some(name) => name.rsplit_once('.').map(|(package, script)| (Some(package), script))?,
        None => (None, program.strip_prefix(UNPACKED)?),
    };
    SCRIPTS.contains(&script).then_some(Named { package, script })
}

impl Named<'_> {
    /// `package` and `architecture` are what dpkg says in the script's environment; a script may run another's.
    fn doer(&self, package: String, architecture: &str) -> Doer {
        let package = match self.package {
            Some(named) if named.contains(':') || named != package => named.to_owned(),
            Some(_) | None if architecture.is_empty() => package,
            Some(_) | None => format!("{package}:{architecture}"),
        };
        Doer::Script { package, script: self.script.to_owned() }
    }
}
