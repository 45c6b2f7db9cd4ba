//! How a source's registry is reached, and what a put finds around it.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;

use super::registries::merged;
use super::signing::Signing;
use super::source::{Mirror, Repository, Source};
use crate::build::{Accesses, AptKey, AptSource, Settings, World};
use crate::oci::Platform;
use crate::oci::reference::DEFAULT_REGISTRY;
use crate::progress::Progress;
use crate::registry::{Access, Location, Registry};
use crate::sandbox::Cancel;

/// Opens the repository of a source; an OCI layout lies below `directory`.
pub(super) fn registry(source: &Source, directory: &Path) -> Result<Registry> {
    Ok(Registry::open(&location(source, directory), &access(source))?)
}

/// Opens the repository of a source at its mirror of Docker Hub, if it has one and the repository is there.
pub(super) fn mirror(source: &Source) -> Result<Option<Registry>> {
    let (Repository::Remote(reference), Some(mirror)) = (&source.repository, &source.mirror) else {
        return Ok(None);
    };
    if !reference.is_of_docker_hub() {
        return Ok(None);
    }
    let place = Location::Remote(reference.at(&mirror.host));
    Ok(Some(Registry::open(&place, &mirror_access(source, mirror))?))
}

/// Returns how a source's mirror is reached: with its own credentials, and nobody else's.
fn mirror_access(source: &Source, mirror: &Mirror) -> Access {
    let access =
        Access { credentials: mirror.credentials.clone(), client_certificate: None, ..source.access.clone() };
    merged(access, source.registries.get(&mirror.host))
}

/// Returns where a source's images are.
pub(super) fn location(source: &Source, directory: &Path) -> Location {
    match &source.repository {
        Repository::Remote(reference) => Location::Remote(reference.clone()),
        Repository::Layout(path) => {
            Location::Layout { directory: directory.join(path), tag: source.default_tag().to_owned() }
        }
    }
}

/// Returns the platform that a source asks for.
pub(super) fn platform(source: &Source) -> Platform {
    source.platform.clone().unwrap_or_else(Platform::host)
}

/// Returns how a source's own registry is reached.
fn access(source: &Source) -> Access {
    let further = match &source.repository {
        Repository::Remote(reference) => source.registries.get(&reference.registry),
        Repository::Layout(_) => None,
    };
    merged(source.access.clone(), further)
}

/// Returns how registries are reached: each one's credentials are for itself and for no other.
fn accesses(source: &Source) -> Accesses {
    let others = Access { ca_certs: source.access.ca_certs.clone(), ..Access::default() };
    let further = source.registries.iter();
    let mut by_host: BTreeMap<String, Access> =
        further.map(|(host, further)| (host.clone(), merged(others.clone(), Some(further)))).collect();
    let mut mirrors = BTreeMap::new();
    if let Some(mirror) = &source.mirror {
        by_host.insert(mirror.host.clone(), mirror_access(source, mirror));
        mirrors.insert(DEFAULT_REGISTRY.to_owned(), vec![mirror.host.clone()]);
    }
    if let Repository::Remote(reference) = &source.repository {
        by_host.insert(reference.registry.clone(), access(source));
    }
    Accesses { default: others, by_host, mirrors, ..Accesses::default() }
}

/// Returns the world of a put.
pub(super) fn world(source: &Source, progress: Progress, cancel: Cancel) -> Result<World> {
    let keys = source.apt.keys.iter();
    let settings = Settings {
        state: None,
        apt_config: "/etc/apt".into(),
        uses_machine_sources: false,
        accesses: accesses(source),
        apt: AptSource {
            repositories: source.apt.repositories.clone(),
            keys: keys.map(|key| AptKey { name: key.name.clone(), armoured: key.armoured.clone() }).collect(),
            mirrors: source.apt.mirrors.clone(),
            credentials: source.apt.credentials.clone(),
        },
        ca_certs: source.access.ca_certs.clone(),
    };
    let signing_key = source.signing.as_ref().map(Signing::key).transpose()?;
    Ok(World { signing_key, ..World::new(settings, progress, cancel)? })
}
