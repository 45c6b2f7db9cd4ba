//! What the task finds around it: its state, and how it reaches registries.

use std::collections::BTreeMap;
use std::env;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::super::fields::InvalidRequest;
use super::{CACHE, TaskParams};
use crate::build::{Accesses, AptSource, Settings, World};
use crate::login::Keychain;
use crate::oci::reference::{DEFAULT_REGISTRY, registry_of};
use crate::progress::Progress;
use crate::registry::{Access, Credentials};
use crate::sandbox::Cancel;

/// Opens the world of the task; its state lies in the task's cache, if it has one.
pub(super) fn open(
    params: &TaskParams,
    directory: &Path,
    progress: Progress,
    cancel: Cancel,
) -> Result<World> {
    let cache = directory.join(CACHE);
    let settings = Settings {
        state: cache.is_dir().then_some(cache),
        apt_config: "/etc/apt".into(),
        uses_machine_sources: false,
        accesses: accesses(params)?,
        apt: AptSource::default(),
        ca_certs: Vec::new(),
    };
    World::new(settings, progress, cancel)
}

fn accesses(params: &TaskParams) -> Result<Accesses> {
    let mut by_host = BTreeMap::new();
    if let Some(login) = &params.login {
        let host = registry_of(&login.registry).unwrap_or_else(|| login.registry.clone());
        let credentials = Credentials { username: login.username.clone(), password: login.password.clone() };
        by_host.insert(host, Access { credentials: Some(credentials), ..Access::default() });
    }
    let mut mirrors = Vec::new();
    for mirror in &params.registry_mirrors {
        let (host, insecure) = match mirror.split_once("://") {
            Some((scheme, host)) => (host, scheme == "http"),
            None => (mirror.as_str(), false),
        };
        let host = host.trim_end_matches('/').to_owned();
        if insecure {
            by_host.entry(host.clone()).or_insert_with(Access::default).insecure = true;
        }
        mirrors.push(host);
    }
    let variable = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let keychain = Keychain::of_user(variable).map_err(|error| InvalidRequest::new(error.to_string()))?;
    let mirrors = BTreeMap::from([(DEFAULT_REGISTRY.to_owned(), mirrors)]);
    Ok(Accesses { by_host, keychain, mirrors, ..Accesses::default() })
}
