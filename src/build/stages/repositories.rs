//! The git repositories that ADD names: which they are, and which commit of each is meant.

use anyhow::{Context as _, Result, bail};

use super::Stages;
use super::downloads::shown;
use super::evaluate::{Evaluated, Step};
use crate::build::World;
use crate::build::graph;
use crate::build::lock::{InvalidLock, LockedRepository, PlatformLock};
use crate::dockerfile::{Add, Kind, Mistake, Repository};
use crate::git::{self, Found, Remote};
use crate::redact;

/// Returns a source of ADD as a repository, if it is one, with what the flags say of it.
///
/// # Errors
/// What address and flags can't mean.
pub(super) fn repository(step: &Step, add: &Add, source: &str) -> Result<Option<Repository>, Mistake> {
    let refused = |reason: &str, hint: &str| Mistake {
        span: step.span.clone(),
        message: format!("cannot add the repository {}: {reason}", redact::url(source)),
        hint: hint.into(),
    };
    let read = Repository::parse(source);
    let read = read.map_err(|reason| refused(&reason, "write https://host/path.git#ref:directory"))?;
    let Some(repository) = read else { return Ok(None) };
    if !repository.remote.starts_with("https://") && !repository.remote.starts_with("http://") {
        let hint = "write its https:// address, or get it in an earlier step and COPY it from the context";
        return Err(refused("only http and https are spoken", hint));
    }
    let repository = with_flags(repository, add).map_err(|reason| refused(reason, "say it once"))?;
    match &repository.checksum {
        Some(digits) if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
            Err(refused("its checksum is no commit", "write the commit's digits, or the first of them"))
        }
        Some(_) if add.transfer.sources.len() > 1 => {
            Err(refused("its checksum is of one source, and there are several", "write an ADD for each"))
        }
        Some(_) | None => Ok(Some(repository)),
    }
}

fn with_flags(repository: Repository, add: &Add) -> Result<Repository, &'static str> {
    let Repository { keep_git_dir, checksum, .. } = &repository;
    if keep_git_dir.is_some() && add.keep_git_dir.is_some() && *keep_git_dir != add.keep_git_dir {
        return Err("its address and --keep-git-dir say different things");
    }
    if checksum.is_some() && add.checksum.is_some() && *checksum != add.checksum {
        return Err("its address and --checksum say different things");
    }
    let (keep_git_dir, checksum) =
        (keep_git_dir.or(add.keep_git_dir), checksum.clone().or(add.checksum.clone()));
    Ok(Repository { keep_git_dir, checksum, ..repository })
}

/// Pins the repositories that the target needs: at what the lock says, else at what their servers say now.
///
/// # Errors
/// With the line that names it, when a repository has no such ref, or another commit than is written.
pub(super) async fn pin(
    stages: &Stages,
    evaluated: &[Evaluated],
    given: Option<&PlatformLock>,
    world: &World,
) -> Result<Vec<LockedRepository>> {
    let mut pinned: Vec<LockedRepository> = Vec::new();
    for step in evaluated.iter().flat_map(|stage| &stage.steps) {
        let Kind::Add(add) = &step.kind else { continue };
        for source in &add.transfer.sources {
            let repository = repository(step, add, source).map_err(|mistake| stages.text.error(mistake))?;
            let Some(repository) = repository else { continue };
            let known = pinned.iter().find(|known| is_of(known, &repository)).cloned();
            let locked = match known {
                Some(known) => Ok(known),
                None => find(stages, &repository, given, world).await,
            };
            let locked = locked.and_then(|locked| checked(locked, &repository));
            pinned.push(locked.map_err(|error| stages.at(&step.span, &error))?);
        }
    }
    Ok(pinned)
}

fn is_of(locked: &LockedRepository, repository: &Repository) -> bool {
    locked.uri == shown(&repository.remote) && locked.reference == repository.reference
}

async fn find(
    stages: &Stages,
    repository: &Repository,
    given: Option<&PlatformLock>,
    world: &World,
) -> Result<LockedRepository> {
    let uri = shown(&repository.remote);
    if let Some(lock) = given {
        return match locked(lock, repository) {
            Some(known) => Ok(known.clone()),
            None => {
                let reference = repository.reference.as_deref().unwrap_or("its default branch");
                Err(InvalidLock::Unfit(vec![format!("it does not hold {reference} of {uri}")]).into())
            }
        };
    }
    let wanted = repository.reference.as_deref();
    let found = match wanted.filter(|wanted| git::is_commit(wanted)) {
        Some(commit) => Found { name: commit.to_owned(), commit: commit.to_owned(), tag: None },
        None => {
            let authorization = stages.secrets.git_authorization(&repository.remote)?;
            let remote = Remote::new(world.fetcher.client(), &repository.remote, authorization)?;
            let found = remote.find(wanted, repository.checksum.as_deref()).await;
            found.with_context(|| format!("cannot add the repository {uri}"))?
        }
    };
    let Found { name, commit, tag } = found;
    Ok(LockedRepository { uri, reference: repository.reference.clone(), name, commit, tag })
}

/// Returns what a lock says of a repository.
pub(super) fn locked<'a>(lock: &'a PlatformLock, repository: &Repository) -> Option<&'a LockedRepository> {
    lock.repositories.iter().find(|known| is_of(known, repository))
}

fn checked(locked: LockedRepository, repository: &Repository) -> Result<LockedRepository> {
    let LockedRepository { uri, commit, tag, .. } = &locked;
    if let Some(digits) = &repository.checksum
        && ![Some(commit), tag.as_ref()].into_iter().flatten().any(|id| id.starts_with(digits))
    {
        bail!("cannot add the repository {uri}: expected the commit {digits}, got {commit}");
    }
    Ok(locked)
}

/// Returns what the graph says of a repository.
pub(super) fn lowered(repository: &Repository, locked: &LockedRepository) -> graph::Repository {
    let keeps_git_dir = repository.keep_git_dir == Some(true) && repository.subdir.is_empty();
    graph::Repository {
        uri: locked.uri.clone(),
        address: repository.remote.clone(),
        reference: repository.reference.clone().unwrap_or_else(|| "HEAD".to_owned()),
        name: locked.name.clone(),
        commit: locked.commit.clone(),
        subdir: repository.subdir.clone(),
        git_dir: keeps_git_dir.then(|| graph::GitDir { name: locked.name.clone(), tag: locked.tag.clone() }),
        has_submodules: repository.submodules != Some(false),
    }
}
