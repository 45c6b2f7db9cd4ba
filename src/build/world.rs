//! Everything a build finds outside its definition and context: a store, the network, keys, the time.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};

use super::context::Sums;
use super::lock::logins::Login;
use super::lock::seen;
use super::machine::Machine;
use super::slsa::BUILD_VARIABLES;
use crate::fetch::Fetcher;
use crate::login::{self, Keychain};
use crate::oci::Reference;
use crate::oci::reference::registry_of;
use crate::progress::{Progress, size};
use crate::redact;
use crate::registry::{Access, Location, Registry};
use crate::sandbox::Cancel;
use crate::signing::SigningKey;
use crate::store::{Bound, Pruned, Store};
use crate::transport::{Client, Options};

/// Everything a build finds outside its definition and context.
pub struct World {
    /// Holds blobs and records between builds.
    pub store: Store,
    /// Digests of files that were read before.
    pub sums: Sums,
    /// Fetches from archives.
    pub fetcher: Fetcher,
    /// Tells people.
    pub progress: Progress,
    /// How registries are reached, by host.
    pub accesses: Accesses,
    /// This machine's keyrings and apt configuration.
    pub machine: Machine,
    /// Whether packages may come from this machine's own apt sources, when nobody names any.
    pub uses_machine_sources: bool,
    /// What the pipeline says of archives.
    pub apt: AptSource,
    /// Seconds since 1970; only signatures are judged by it.
    pub now: i64,
    /// `SOURCE_DATE_EPOCH`.
    pub source_date_epoch: Option<i64>,
    /// Ends the build early.
    pub cancel: Cancel,
    /// What Concourse tells of the build: `BUILD_ID` and its kin.
    pub build_variables: BTreeMap<String, String>,
    /// Signs what is put; without it, nothing is signed.
    pub signing_key: Option<SigningKey>,
}

/// How registries are reached.
#[derive(Clone, Default)]
pub struct Accesses {
    /// For those that `by_host` doesn't name.
    pub default: Access,
    /// By host and port.
    pub by_host: BTreeMap<String, Access>,
    /// Holds credentials for those that have none here.
    pub keychain: Keychain,
    /// Registries that are asked before another one, by that one's host and port.
    pub mirrors: BTreeMap<String, Vec<String>>,
}

impl Accesses {
    /// Returns how the registry of an image is reached.
    ///
    /// # Errors
    /// When the keychain can't be asked.
    pub async fn of(&self, image: &Reference) -> Result<Access, login::Error> {
        let named = self.by_host.get(&image.registry);
        let named = named.or_else(|| self.by_host.get(&registry_of(&image.registry)?));
        let mut access = named.unwrap_or(&self.default).clone();
        if access.credentials.is_none() {
            access.credentials = self.keychain.find(image).await?;
        }
        Ok(access)
    }
}

/// What the pipeline says of archives, for definitions that don't.
#[derive(Clone, Debug, Default)]
pub struct AptSource {
    /// Repositories, as one-line or deb822 texts.
    pub repositories: Vec<String>,
    /// Keys by name.
    pub keys: Vec<AptKey>,
    /// Further places where what archives hold may be had.
    pub mirrors: Vec<String>,
    /// Names and passwords for archives and mirrors.
    pub credentials: Vec<Login>,
}

/// A key that the pipeline gives.
#[derive(Clone, Debug)]
pub struct AptKey {
    /// What `signed-by` calls it.
    pub name: String,
    /// The key itself.
    pub armoured: String,
}

/// What the caller decides about the world.
pub struct Settings {
    /// Where blobs and records are kept; else `/scratch`, else the user's cache directory.
    pub state: Option<PathBuf>,
    /// This machine's apt configuration.
    pub apt_config: PathBuf,
    /// Whether packages may come from this machine's own apt sources.
    pub uses_machine_sources: bool,
    /// How registries are reached.
    pub accesses: Accesses,
    /// What the pipeline says of archives.
    pub apt: AptSource,
    /// Certificates of authorities to trust besides this machine's, in PEM.
    pub ca_certs: Vec<String>,
}

impl World {
    /// Opens the store, and all else that a build needs.
    ///
    /// # Errors
    /// When the state directory can't be used, or `SOURCE_DATE_EPOCH` is no number.
    pub fn new(settings: Settings, progress: Progress, cancel: Cancel) -> Result<World> {
        let state = settings.state.unwrap_or_else(state_directory);
        let store = Store::open(&state)?;
        let client = Client::new(&Options { ca_certs: settings.ca_certs, ..Options::default() })?;
        Ok(World {
            fetcher: Fetcher::new(client, store.clone(), progress.clone()),
            sums: Sums::of(&store),
            store,
            progress,
            accesses: settings.accesses,
            machine: Machine::new(settings.apt_config),
            uses_machine_sources: settings.uses_machine_sources,
            apt: settings.apt,
            now: now(),
            source_date_epoch: source_date_epoch()?,
            cancel,
            build_variables: build_variables(),
            signing_key: None,
        })
    }

    /// Returns what an image is called at the mirrors of its registry, in the order in which they are asked.
    pub fn places_of(&self, reference: &Reference) -> impl Iterator<Item = Reference> {
        let mirrors = self.accesses.mirrors.get(&reference.registry).into_iter().flatten();
        mirrors.map(|mirror| reference.at(mirror))
    }

    /// Removes from the store what was used least recently, until it holds no more than that; without a bound, nothing.
    ///
    /// No build fails by it: what can't be done is told.
    pub fn prune(&self, bound: Option<Bound>) {
        let Some(bound) = bound else { return };
        match self.store.prune(bound, &[seen::SEEN]) {
            Ok(Pruned::Done { n_gone: 0, .. }) => {}
            Ok(Pruned::Done { n_gone, n_left }) => {
                self.progress.say(format!("cache   {} removed, {} left", size(n_gone), size(n_left)));
            }
            Ok(Pruned::InUse) => {
                self.progress.say("cache   not pruned: another build uses it, and the last to end prunes it");
            }
            Err(error) => self.progress.warn(format!("cannot prune the cache: {error}")),
        }
    }

    /// Opens a registry or layout, with the credentials that are meant for its host.
    ///
    /// # Errors
    /// When they can't be looked up, or the place can't be used.
    pub async fn open(&self, location: &Location) -> Result<Registry> {
        let access = match location {
            Location::Remote(reference) => self.accesses.of(reference).await?,
            Location::Layout { .. } => self.accesses.default.clone(),
        };
        Ok(Registry::open(location, &access)?)
    }
}

/// Returns where state is kept when nobody says: `/scratch` in Concourse, else the user's cache directory.
fn state_directory() -> PathBuf {
    let given = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(state) = given("ESTALEIRO_STATE") {
        return state;
    }
    if Path::new("/scratch").is_dir() {
        return "/scratch/estaleiro".into();
    }
    let cache = given("XDG_CACHE_HOME").or_else(|| given("HOME").map(|home| home.join(".cache")));
    cache.unwrap_or_else(std::env::temp_dir).join("estaleiro")
}

fn build_variables() -> BTreeMap<String, String> {
    let told = |name: &str| {
        let value = std::env::var(name).ok().filter(|value| !value.is_empty())?;
        Some((name.to_owned(), redact::credentials(&value)))
    };
    BUILD_VARIABLES.into_iter().filter_map(told).collect()
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// Reads `SOURCE_DATE_EPOCH` (reproducible-builds.org/specs/source-date-epoch).
fn source_date_epoch() -> Result<Option<i64>> {
    let Some(text) = std::env::var_os("SOURCE_DATE_EPOCH") else { return Ok(None) };
    let text = text.to_string_lossy();
    let seconds: u32 = text
        .parse()
        .with_context(|| format!("cannot read SOURCE_DATE_EPOCH `{text}`: expected seconds since 1970"))?;
    Ok(Some(i64::from(seconds)))
}
