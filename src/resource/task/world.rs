//! What the task finds around it: its state, and how it reaches registries.

use std::collections::BTreeMap;
use std::env;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::super::fields::InvalidRequest;
use super::super::inputs::{Inputs, Step};
use super::{CACHE, TaskParams};
use crate::build::{Accesses, AptSource, Settings, World};
use crate::login::Keychain;
use crate::oci::reference::{DEFAULT_REGISTRY, registry_of};
use crate::progress::Progress;
use crate::registry::{Access, Credentials};
use crate::sandbox::Cancel;
use crate::transport;

/// Opens the world of the task; its state lies in the task's cache, if it has one.
pub(super) fn open(
    params: &TaskParams,
    directory: &Path,
    progress: Progress,
    cancel: Cancel,
) -> Result<World> {
    let cache = directory.join(CACHE);
    let ca_certs = certificates(params, directory)?;
    let settings = Settings {
        state: cache.is_dir().then_some(cache),
        apt_config: "/etc/apt".into(),
        uses_machine_sources: false,
        accesses: accesses(params, &ca_certs)?,
        apt: AptSource::default(),
        ca_certs,
    };
    World::new(settings, progress, cancel)
}

/// Reads the files of certificates, and refuses one that holds none.
fn certificates(params: &TaskParams, directory: &Path) -> Result<Vec<String>> {
    let inputs = Inputs { root: directory, step: Step::Task };
    let read = params.ca_certs.iter().map(|path| {
        let read = inputs.text("the certificates", path).and_then(|text| {
            transport::Client::new(&transport::Options {
                ca_certs: vec![text.clone()],
                ..transport::Options::default()
            })?;
            Ok(text)
        });
        read.map_err(|error| {
            InvalidRequest::new(format!("cannot use CA_CERTS {}: {error:#}", path.display())).into()
        })
    });
    read.collect()
}

fn accesses(params: &TaskParams, ca_certs: &[String]) -> Result<Accesses> {
    let default = Access { ca_certs: ca_certs.to_vec(), ..Access::default() };
    let mut by_host: BTreeMap<String, Access> = BTreeMap::new();
    let mut mirrors = Vec::new();
    for mirror in &params.registry_mirrors {
        let host = mirror.trim_start_matches("https://").trim_start_matches("http://").trim_end_matches('/');
        if mirror.starts_with("http://") {
            by_host.entry(host.to_owned()).or_insert_with(|| default.clone()).insecure = true;
        }
        mirrors.push(host.to_owned());
    }
    for host in &params.insecure_registries {
        by_host.entry(host.clone()).or_insert_with(|| default.clone()).insecure = true;
    }
    if let Some(login) = &params.login {
        let host = registry_of(&login.registry).unwrap_or_else(|| login.registry.clone());
        let credentials = Credentials { username: login.username.clone(), password: login.password.clone() };
        by_host.entry(host).or_insert_with(|| default.clone()).credentials = Some(credentials);
    }
    let variable = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let keychain = Keychain::of_user(variable).map_err(|error| InvalidRequest::new(error.to_string()))?;
    let mirrors = BTreeMap::from([(DEFAULT_REGISTRY.to_owned(), mirrors)]);
    Ok(Accesses { default, by_host, keychain, mirrors })
}
