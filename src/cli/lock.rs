//! `estaleiro lock`: makes a lock, writes it, and tells what moved.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::slice;

use anyhow::{Result, bail};
use estaleiro::build::lock::{Lock, diff, keep};
use estaleiro::build::{self, Request};
use estaleiro::progress::Progress;
use estaleiro::sandbox::Cancel;

use super::args::LockArgs;
use super::verbs::{LOCK, WrongRequest, definition_file, nowhere, request, world};

pub(crate) async fn lock(args: LockArgs, progress: Progress, cancel: Cancel) -> Result<Vec<u8>> {
    let request = request(&args.definition, nowhere())?;
    let world = world(&args.definition.world, slice::from_ref(&request), progress.clone(), cancel)?;
    let beside = definition_file(&args.definition.path).with_file_name(LOCK);
    let is_printed = args.lock.as_deref() == Some(Path::new("-"));
    let path = args.lock.filter(|_| !is_printed).unwrap_or(beside);
    let last = last(&path, &progress)?;
    let names = args.update.unwrap_or_default();
    let kept = match names.is_empty() {
        true => keep::Kept::new(),
        false => kept(last.as_ref(), &names, &request, &path)?,
    };
    let lock = build::update_lock(&request, kept, &world).await?;
    let made = Made { path, last, lock };
    match (args.check, is_printed) {
        (true, _) => made.check(&progress),
        (false, true) => Ok(made.print(&progress)),
        (false, false) => made.write(&progress),
    }
}

/// Reads the lock that is there; one that can't be read is to be written anew.
fn last(path: &Path, progress: &Progress) -> Result<Option<Lock>> {
    let bytes = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => {
            read.map_err(|error| WrongRequest(format!("cannot read lock {}: {error}", path.display())))?
        }
    };
    Ok(Lock::parse(&bytes).inspect_err(|_| progress.warn(format!("{} can't be read", path.display()))).ok())
}

/// Returns what is to be kept while only the packages called `names` are updated.
fn kept(last: Option<&Lock>, names: &[String], request: &Request, path: &Path) -> Result<keep::Kept> {
    let Some(last) = last else {
        bail!(WrongRequest(format!(
            "cannot update {} alone: there is no lock {}\nhint: write one with `estaleiro lock`",
            names.join(" "),
            path.display()
        )));
    };
    let locked = last.platform(&request.platform)?;
    let is_unknown = |name: &&String| locked.fetched().all(|package| package.name != **name);
    let unknown: Vec<&str> = names.iter().filter(is_unknown).map(String::as_str).collect();
    match unknown.is_empty() {
        true => Ok(keep::all_but(locked.fetched(), names)),
        false => bail!(WrongRequest(format!(
            "cannot update {}: the lock {} holds no such package\nhint: the definition's path comes before --update",
            unknown.join(" "),
            path.display()
        ))),
    }
}

/// A lock that was made, and the one in whose place it comes.
struct Made {
    path: PathBuf,
    last: Option<Lock>,
    lock: Lock,
}

impl Made {
    /// Whether the last lock means the same; a newer Release file alone is no reason to change it.
    fn is_same(&self) -> bool {
        self.last.as_ref().is_some_and(|last| last.content_digest() == self.lock.content_digest())
    }

    fn moves(&self) -> Vec<String> {
        self.last.as_ref().map(|last| diff::moves(last, &self.lock)).unwrap_or_default()
    }

    fn check(&self, progress: &Progress) -> Result<Vec<u8>> {
        let path = self.path.display();
        match &self.last {
            None => bail!("cannot find a lock {path}\nhint: write one with `estaleiro lock`"),
            Some(_) if self.is_same() => {
                progress.say(format!("{path} is up to date"));
                Ok(Vec::new())
            }
            Some(_) => bail!(
                "cannot leave {path} as it is: it is not up to date\n{}\nhint: `estaleiro lock` writes it anew",
                self.moves().join("\n")
            ),
        }
    }

    fn print(&self, progress: &Progress) -> Vec<u8> {
        self.moves().into_iter().for_each(|line| progress.say(line));
        self.lock.to_json()
    }

    fn write(&self, progress: &Progress) -> Result<Vec<u8>> {
        let path = self.path.display();
        if self.is_same() {
            progress.say(format!("{path} is up to date"));
            return Ok(Vec::new());
        }
        write_whole(&self.path, &self.lock.to_json())?;
        progress.say(format!("wrote {path}"));
        Ok(self.moves().into_iter().flat_map(|line| format!("{line}\n").into_bytes()).collect())
    }
}

/// A lock is committed beside the definition: it is there whole or as it was.
fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let error =
        |error: io::Error| anyhow::anyhow!("cannot write {}: {}", path.display(), without_place(&error));
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(directory).map_err(error)?;
    file.write_all(bytes).map_err(error)?;
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    file.as_file().set_permissions(mode).map_err(error)?;
    file.persist(path).map_err(|failed| error(failed.error))?;
    Ok(())
}

/// Returns what went wrong without the name of a temporary file, which tells nobody anything.
fn without_place(error: &io::Error) -> String {
    let text = error.to_string();
    text.split_once(" at path \"").map_or(text.as_str(), |(reason, _)| reason).to_owned()
}
