//! Packages that a definition brings as files: brought into the store, read, and laid before the resolver like a
//! repository's.
//!
//! No archive vouches for them: the lock pins the digest, and says where the file is from. What it may hold is the
//! unpacker's concern.

use std::io::{self, BufReader};

use anyhow::{Context as _, Result, bail};

use super::places::Places;
use super::{InvalidLock, LockedDeb, LockedPackage, LockedSource, PlatformLock};
use crate::apt::index::{Candidate, Index, RepositoryId};
use crate::apt::resolve::Wanted;
use crate::build::World;
use crate::build::context::Context;
use crate::build::definition::{Apt, Deb, DebOrigin, Definition};
use crate::debian::{self, Package, deb822};
use crate::digest::{Digest, HashingReader};
use crate::fetch;
use crate::redact;
use crate::store::Store;

/// A package that a definition brings as a file, in the store.
#[derive(Clone, Debug)]
pub struct Brought {
    /// What its control file says.
    pub package: Package,
    /// Which block brings it.
    pub deb: LockedDeb,
    uri: String,
    control: String,
    sha256: Digest,
    size: u64,
}

/// Brings the files of all `deb` blocks into the store, and reads what they are.
///
/// # Errors
/// When one can't be had, is no package, is for others, or when two are the same package.
pub async fn bring(
    definition: &Definition,
    architecture: &str,
    context: &Context,
    places: &Places,
    world: &World,
) -> Result<Vec<Brought>> {
    let mut all: Vec<Brought> = Vec::new();
    for deb in &definition.image.apt.debs {
        let label = &deb.name.value;
        let one = bring_one(deb, context, places, world).await;
        let one = one.with_context(|| format!("cannot use deb \"{label}\""))?;
        check_architecture(&one, architecture).with_context(|| format!("cannot use deb \"{label}\""))?;
        if let Some(other) = all.iter().find(|other| other.package.name == one.package.name) {
            bail!(
                "cannot use deb \"{label}\": deb \"{}\" is package {} too\nhint: keep one of them",
                other.deb.label(),
                one.package.name
            );
        }
        all.push(one);
    }
    Ok(all)
}

async fn bring_one(deb: &Deb, context: &Context, places: &Places, world: &World) -> Result<Brought> {
    let (sha256, from, uri) = match &deb.origin {
        DebOrigin::Context(path) => {
            let (context, store, path) = (context.clone(), world.store.clone(), path.value.clone());
            let from = LockedDeb::Context(path.clone());
            let digest = tokio::task::spawn_blocking({
                let path = path.clone();
                move || copy(&context, &path, &store)
            });
            (digest.await??, from, path)
        }
        DebOrigin::Url(download) => {
            let uris = vec![places.logins.uri(&download.url.value)];
            let digest = download.sha256.value;
            let wanted = fetch::Wanted { name: deb.name.value.clone(), uris, digest, size: None };
            world.fetcher.blob(&wanted).await?;
            (digest, LockedDeb::Url(deb.name.value.clone()), redact::url(&download.url.value))
        }
    };
    let store = world.store.clone();
    tokio::task::spawn_blocking(move || read(sha256, from, uri, &store)).await?
}

/// Returns the digest of each file, without bringing it.
///
/// # Errors
/// When one of the context can't be read.
pub async fn digests(apt: &Apt, context: &Context) -> Result<Vec<(LockedDeb, Digest)>> {
    let mut digests = Vec::new();
    for deb in &apt.debs {
        let digest = match &deb.origin {
            DebOrigin::Url(download) => download.sha256.value,
            DebOrigin::Context(path) => {
                let (context, path) = (context.clone(), path.value.clone());
                let digest = tokio::task::spawn_blocking(move || digest_of(&context, &path)).await?;
                digest.with_context(|| format!("cannot use deb \"{}\"", deb.name.value))?
            }
        };
        digests.push((LockedDeb::of(deb), digest));
    }
    Ok(digests)
}

fn digest_of(context: &Context, path: &str) -> Result<Digest> {
    let mut reader = HashingReader::new(context.open(path)?);
    io::copy(&mut reader, &mut io::sink())?;
    Ok(reader.finish().1)
}

/// Copies a file of the context into the store.
fn copy(context: &Context, path: &str, store: &Store) -> Result<Digest> {
    let mut file = context.open(path)?;
    let mut writer = store.blob_writer()?;
    io::copy(&mut file, &mut writer)?;
    Ok(writer.commit()?.0)
}

fn read(sha256: Digest, deb: LockedDeb, uri: String, store: &Store) -> Result<Brought> {
    let file = store.open_blob(&sha256)?;
    let size = file.metadata()?.len();
    let control = debian::deb::open(BufReader::with_capacity(1 << 17, file))?.control;
    let mut paragraphs = deb822::paragraphs(&control);
    let paragraph = paragraphs.next().context("its control file is empty")??;
    if paragraphs.next().is_some() {
        bail!("its control file has more than one paragraph");
    }
    for field in ["Filename", "Size", "SHA256"] {
        if paragraph.get(field).is_some() {
            bail!("its control file has a field {field}, which is for an archive to write");
        }
    }
    let package = Package::from_paragraph(&paragraph)?;
    Ok(Brought { package, deb, uri, control, sha256, size })
}

fn check_architecture(one: &Brought, architecture: &str) -> Result<()> {
    let own = &*one.package.architecture;
    match own == architecture || own == "all" {
        true => Ok(()),
        false => bail!("it is for {own}, and the image for {architecture}"),
    }
}

/// Returns an index of what was brought, as if it were a repository's.
///
/// # Errors
/// When a field that decides can't be read.
pub fn index(brought: &[Brought], architecture: &str, repository: RepositoryId) -> Result<Index> {
    let paragraph = |one: &Brought| {
        let control = one.control.trim();
        let (size, sha256) = (one.size, one.sha256.hex());
        format!("{control}\nFilename: {}.deb\nSize: {size}\nSHA256: {sha256}\n\n", one.package.name)
    };
    let text: String = brought.iter().map(paragraph).collect();
    Ok(Index::parse(&text, architecture, repository)?.of_files())
}

impl Brought {
    /// Returns it as a package to install.
    pub fn wanted(&self) -> Wanted {
        Wanted { name: self.package.name.to_string(), version: Some(self.package.version.clone()) }
    }

    /// Whether it is what was chosen.
    pub fn is(&self, candidate: &Candidate) -> bool {
        candidate.package.name == self.package.name && candidate.sha256 == self.sha256
    }

    /// Returns what the lock says of it.
    pub fn locked(&self) -> LockedPackage {
        let package = &self.package;
        LockedPackage {
            name: package.name.to_string(),
            version: package.version.to_string(),
            architecture: package.architecture.to_string(),
            sha256: self.sha256,
            size: self.size,
            uri: self.uri.clone(),
            repository: String::new(),
            signed_by: Vec::new(),
            deb: Some(self.deb.clone()),
            source: LockedSource {
                name: package.source_name().to_owned(),
                version: package.source_version().to_string(),
                files: Vec::new(),
            },
            built_using: Vec::new(),
        }
    }
}

/// Refuses what apt would leave as it is, and what is to go.
///
/// # Errors
/// When a file that was brought is not among what is installed.
pub fn check_chosen(brought: &[Brought], install: &[Candidate], apt: &Apt) -> Result<()> {
    for one in brought {
        let (name, version, label) = (&one.package.name, &one.package.version, one.deb.label());
        if apt.remove.iter().any(|removed| *removed.value == **name) {
            bail!("cannot use deb \"{label}\": it is package {name}, which is to be removed");
        }
        if !install.iter().any(|candidate| one.is(candidate)) {
            bail!(
                "cannot use deb \"{label}\": the base image has {name} {version} already, and apt installs no version twice\nhint: give it a higher version"
            );
        }
    }
    Ok(())
}

/// Returns the block that brings a package.
pub fn block<'a>(apt: &'a Apt, brought: &LockedDeb) -> Option<&'a Deb> {
    apt.debs.iter().find(|deb| LockedDeb::of(deb) == *brought)
}

/// Checks that a lock holds just the files that the definition brings, and brings those of the context into the store.
///
/// # Errors
/// When one is missing or another one, with every difference.
pub fn check(apt: &Apt, locked: &PlatformLock, context: &Context, store: &Store) -> Result<()> {
    let mut differences = Vec::new();
    for deb in &apt.debs {
        let found = locked.packages.iter().find(|package| package.deb.as_ref() == Some(&LockedDeb::of(deb)));
        let label = &deb.name.value;
        let Some(package) = found else {
            differences.push(format!("it does not hold deb \"{label}\""));
            continue;
        };
        let digest = match &deb.origin {
            DebOrigin::Context(path) => {
                copy(context, path, store).with_context(|| format!("cannot use deb \"{label}\""))?
            }
            DebOrigin::Url(download) => download.sha256.value,
        };
        if digest != package.sha256 {
            differences.push(format!("deb \"{label}\" is {digest}, the lock has {}", package.sha256));
        }
    }
    let is_unknown =
        |package: &&LockedPackage| package.deb.as_ref().is_some_and(|deb| block(apt, deb).is_none());
    let unknown = locked.packages.iter().filter(is_unknown);
    let unknown = unknown.map(|package| format!("it holds deb {}, and the definition doesn't", package.name));
    differences.extend(unknown);
    match differences.is_empty() {
        true => Ok(()),
        false => Err(InvalidLock::Unfit(differences).into()),
    }
}
