//! How a source's registry is reached, and what a put finds around it.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;

use super::source::{Repository, Source};
use crate::build::{Accesses, AptKey, AptSource, Settings, World};
use crate::oci::{Platform, Reference};
use crate::progress::Progress;
use crate::registry::{Access, Credentials, Location, Registry};
use crate::sandbox::Cancel;

/// Opens the repository of a source; an OCI layout lies below `directory`.
pub(super) fn registry(source: &Source, directory: &Path) -> Result<Registry> {
    Ok(Registry::open(&location(source, directory), &access(source))?)
}

/// Opens the repository of a source at its mirror of Docker Hub, if it has one and the repository is there.
///
/// The mirror is shown its own credentials, and nobody else's.
pub(super) fn mirror(source: &Source) -> Result<Option<Registry>> {
    let (Repository::Remote(reference), Some(mirror)) = (&source.repository, &source.mirror) else {
        return Ok(None);
    };
    if !reference.is_of_docker_hub() {
        return Ok(None);
    }
    let place = Location::Remote(Reference { registry: mirror.host.clone(), ..reference.clone() });
    let access = access_with(source, mirror.credentials.as_ref());
    Ok(Some(Registry::open(&place, &access)?))
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

fn access(source: &Source) -> Access {
    access_with(source, source.credentials.as_ref())
}

fn access_with(source: &Source, credentials: Option<&super::source::Credentials>) -> Access {
    Access {
        credentials: credentials.map(|credentials| Credentials {
            username: credentials.username.clone(),
            password: credentials.password.clone(),
        }),
        insecure: source.insecure,
        ca_certs: source.ca_certs.clone(),
        ..Access::default()
    }
}

/// Returns the world of a put: the source's credentials are for its own registry and for no other.
pub(super) fn world(source: &Source, progress: Progress, cancel: Cancel) -> Result<World> {
    let by_host = match &source.repository {
        Repository::Remote(reference) => BTreeMap::from([(reference.registry.clone(), access(source))]),
        Repository::Layout(_) => BTreeMap::new(),
    };
    let others = Access { ca_certs: source.ca_certs.clone(), ..Access::default() };
    let keys = source.apt.keys.iter();
    let settings = Settings {
        state: None,
        apt_config: "/etc/apt".into(),
        uses_machine_sources: false,
        accesses: Accesses { default: others, by_host, ..Accesses::default() },
        apt: AptSource {
            repositories: source.apt.repositories.clone(),
            keys: keys.map(|key| AptKey { name: key.name.clone(), armoured: key.armoured.clone() }).collect(),
            mirrors: source.apt.mirrors.clone(),
            credentials: source.apt.credentials.clone(),
        },
        ca_certs: source.ca_certs.clone(),
    };
    World::new(settings, progress, cancel)
}
