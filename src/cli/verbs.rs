//! What each verb does.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::slice;

use anyhow::{Result, bail};
use estaleiro::bom::{self, Formats};
use estaleiro::build::context::Context;
use estaleiro::build::definition::{self, Policy};
use estaleiro::build::lock::Lock;
use estaleiro::build::report;
use estaleiro::build::{
    self, Accesses, AptSource, Built, DefinitionRequest, Destination, Recipe, Request, Settings, World,
};
use estaleiro::layer::Compression;
use estaleiro::login::Keychain;
use estaleiro::oci::Platform;
use estaleiro::progress::Progress;
use estaleiro::redact::Secret;
use estaleiro::registry::{Access, ClientCertificate, Credentials, Location, Registry};
use estaleiro::sandbox::Cancel;
use estaleiro::transport;

use super::args::{BuildArgs, DefinitionArgs, GraphArgs, GraphFormat, WorldArgs};
use super::{dockerfile, signing};

/// The file that a directory's definition lies in.
const DEFINITION: &str = "estaleiro.hcl";
/// The file that a definition's lock lies in.
pub(super) const LOCK: &str = "estaleiro.lock";

/// A request that can't be carried out as it stands.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct WrongRequest(pub(super) String);

pub(crate) async fn build(args: BuildArgs, progress: Progress, cancel: Cancel) -> Result<Vec<u8>> {
    let lock = match &args.dockerfile.file {
        Some(_) => args.lock.as_deref().map(named_lock).transpose()?,
        None => lock_of(args.lock.as_deref(), &definition_file(&args.definition.path))?,
    };
    if args.locked && lock.is_none() {
        bail!(WrongRequest(format!(
            "cannot build --locked: there is no {LOCK}\nhint: write one with `estaleiro lock`"
        )));
    }
    let destinations: Vec<Location> = args.output.iter().chain(&args.push).cloned().collect();
    let requests = destinations.into_iter().map(|location| match &args.dockerfile.file {
        Some(file) => dockerfile::request(file, &args, location),
        None => request(&args.definition, location),
    });
    let requests: Vec<Request> = requests.collect::<Result<_>>()?;
    let world = world(&args.definition.world, &requests, progress, cancel)?;
    let world = World { signing_key: signing::key(&args)?, ..world };
    let answer = build_each(requests, lock, &args, &world).await;
    world.prune(args.cache_max);
    answer
}

async fn build_each(
    requests: Vec<Request>,
    lock: Option<Lock>,
    args: &BuildArgs,
    world: &World,
) -> Result<Vec<u8>> {
    let policies = args.policies.iter().map(|path| policy(path)).collect::<Result<Vec<_>>>()?;
    let lock = match (lock, requests.as_slice()) {
        // Both are to get the same image, even when an archive changes between them.
        (None, [first, _, ..]) => Some(build::make_lock(first, world).await?),
        (lock, _) => lock,
    };
    let mut answer = Vec::new();
    for mut request in requests {
        request.lock.clone_from(&lock);
        (request.is_without_cache, request.keeps_failed) = (args.no_cache, args.keep_failed);
        request.compression = args.compression;
        request.cache_from.clone_from(&args.cache_from);
        request.policies.clone_from(&policies);
        request.bom_formats =
            (!args.bom_formats.is_empty()).then(|| Formats::of(args.bom_formats.iter().copied()));
        let built = build::build(&request, world).await?;
        report::summary(&built, &request.destination, &world.progress);
        answer.extend(built_line(&built, &request.destination).into_bytes());
    }
    Ok(answer)
}

fn built_line(built: &Built, destination: &Destination) -> String {
    match &destination.location {
        Location::Remote(reference) => format!("{}@{}\n", reference.name(), built.published.manifest.digest),
        Location::Layout { .. } => format!("{}\n", built.published.manifest.digest),
    }
}

pub(crate) async fn graph(args: GraphArgs, progress: Progress, cancel: Cancel) -> Result<Vec<u8>> {
    let mut request = request(&args.definition, nowhere())?;
    request.lock = lock_of(args.lock.as_deref(), &definition_file(&args.definition.path))?;
    let world = world(&args.definition.world, slice::from_ref(&request), progress, cancel)?;
    let graph = build::make_graph(&request, &world).await?;
    let text = match args.format {
        GraphFormat::Dot => build::dot::dot(&graph),
        GraphFormat::Svg => bom::svg(&graph.account(&BTreeMap::new())),
    };
    Ok(text.into_bytes())
}

/// The destination of verbs that have none.
pub(super) fn nowhere() -> Location {
    Location::Layout { directory: PathBuf::new(), tag: String::new() }
}

pub(super) fn definition_file(path: &Path) -> PathBuf {
    match path.is_dir() {
        true if path == Path::new(".") => DEFINITION.into(),
        true => path.join(DEFINITION),
        false => path.to_owned(),
    }
}

pub(super) fn request(args: &DefinitionArgs, location: Location) -> Result<Request> {
    let file = definition_file(&args.path);
    let text = definition_text(&file)?;
    let directory = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let context = args.context.clone().unwrap_or_else(|| directory.to_owned());
    if !context.is_dir() {
        bail!(WrongRequest(format!("cannot use context {}: it is no directory", context.display())));
    }
    let tags = vec![tag(&location)?];
    let written = DefinitionRequest {
        text,
        file_name: file.display().to_string(),
        variables: variables(&args.variables)?,
    };
    Ok(Request {
        recipe: Recipe::Definition(written),
        context: Context::new(context),
        lock: None,
        platform: args.platform.clone().unwrap_or_else(Platform::host),
        destination: Destination { location, tags },
        is_without_cache: false,
        keeps_failed: false,
        compression: Compression::default(),
        cache_from: Vec::new(),
        policies: Vec::new(),
        bom_formats: None,
    })
}

fn policy(file: &Path) -> Result<Policy> {
    let read = fs::File::open(file).map_err(anyhow::Error::from).and_then(build::text::read);
    let text =
        read.map_err(|error| WrongRequest(format!("cannot read policy {}: {error:#}", file.display())))?;
    Ok(definition::parse_policy(&text, &file.display().to_string())?)
}

fn definition_text(file: &Path) -> Result<String> {
    let read = fs::File::open(file).map_err(anyhow::Error::from).and_then(build::text::read);
    Ok(read.map_err(|error| WrongRequest(unreadable(file, &error)))?)
}

fn unreadable(definition: &Path, error: &anyhow::Error) -> String {
    let hint = match error.downcast_ref().map(io::Error::kind) {
        Some(io::ErrorKind::NotFound) => "\nhint: name a definition, or a directory with an estaleiro.hcl",
        _ => "",
    };
    format!("cannot read definition {}: {error:#}{hint}", definition.display())
}

pub(super) fn tag(location: &Location) -> Result<String> {
    match location {
        Location::Layout { directory, .. } if directory.as_os_str().is_empty() => Ok(String::new()),
        Location::Layout { tag, .. } => {
            Registry::open(location, &Access::default()).map_err(|error| WrongRequest(error.to_string()))?;
            Ok(tag.clone())
        }
        Location::Remote(reference) if reference.digest.is_some() => {
            bail!(WrongRequest(format!(
                "cannot push to {reference}: a digest is what comes out\nhint: name a tag"
            )))
        }
        Location::Remote(reference) => Ok(reference.tag.clone().unwrap_or_else(|| "latest".into())),
    }
}

fn variables(pairs: &[String]) -> Result<BTreeMap<String, String>> {
    let pairs = pairs.iter().map(|pair| match pair.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => bail!(WrongRequest(format!("cannot read --var `{pair}`: expected NAME=VALUE"))),
    });
    pairs.collect()
}

fn unreadable_lock(path: &Path, error: &io::Error) -> String {
    format!("cannot read lock {}: {error}\nhint: write one with `estaleiro lock`", path.display())
}

/// A lock that is named must be there; one beside the definition may be.
fn lock_of(named: Option<&Path>, definition: &Path) -> Result<Option<Lock>> {
    let beside = definition.with_file_name(LOCK);
    let path = named.unwrap_or(&beside);
    if named.is_none() && !path.exists() {
        return Ok(None);
    }
    named_lock(path).map(Some)
}

fn named_lock(path: &Path) -> Result<Lock> {
    let bytes = fs::read(path).map_err(|error| WrongRequest(unreadable_lock(path, &error)))?;
    Ok(Lock::parse(&bytes).map_err(|error| {
        let text = error.to_string();
        let reason = text.strip_prefix("cannot read lock: ").unwrap_or(&text);
        WrongRequest(format!("cannot read lock {}: {reason}", path.display()))
    })?)
}

/// Opens the world for these requests, which differ in nothing but where they go.
pub(super) fn world(
    args: &WorldArgs,
    requests: &[Request],
    progress: Progress,
    cancel: Cancel,
) -> Result<World> {
    let access = access(args)?;
    let registry = registry(requests)?;
    if registry.is_none() && access.credentials.is_some() {
        progress
            .warn("the user name and password are for no registry: nothing is pushed, and there is no base");
    }
    let others = Access { ca_certs: access.ca_certs.clone(), ..Access::default() };
    let settings = Settings {
        state: args.state.clone(),
        apt_config: args.apt_config.clone(),
        uses_machine_sources: true,
        ca_certs: access.ca_certs.clone(),
        accesses: Accesses {
            by_host: registry.map(|host| (host, access)).into_iter().collect(),
            default: others,
            keychain: keychain(args)?,
            mirrors: mirrors(&args.registry_mirrors)?,
        },
        apt: AptSource { credentials: build::machine::logins(&args.apt_config), ..AptSource::default() },
    };
    World::new(settings, progress, cancel)
}

/// Returns how an image's registry is reached.
pub(super) async fn access_to(image: &Location, args: &WorldArgs) -> Result<Access> {
    let default = access(args)?;
    match image {
        Location::Remote(reference) => {
            Ok(Accesses { default, keychain: keychain(args)?, ..Accesses::default() }.of(reference).await?)
        }
        Location::Layout { .. } => Ok(default),
    }
}

fn keychain(args: &WorldArgs) -> Result<Keychain> {
    let variable = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let keychain = match &args.authfile {
        Some(path) if path == Path::new("none") => Ok(Keychain::default()),
        Some(path) => Keychain::open(path),
        None => Keychain::of_user(variable),
    };
    Ok(keychain.map_err(|error| WrongRequest(error.to_string()))?)
}

/// Returns the one registry that credentials are for: the one that is pushed to, else the base image's.
fn registry(requests: &[Request]) -> Result<Option<String>> {
    let pushed_to = requests.iter().find_map(|request| match &request.destination.location {
        Location::Remote(reference) => Some(reference.registry.clone()),
        Location::Layout { .. } => None,
    });
    let (None, Some(request)) = (&pushed_to, requests.first()) else { return Ok(pushed_to) };
    let Recipe::Definition(written) = &request.recipe else { return Ok(None) };
    let definition = definition::parse(&written.text, &written.file_name, &written.variables)?;
    Ok(match definition.image.base {
        definition::Base::Scratch => None,
        definition::Base::Image(reference) => Some(reference.value.registry),
    })
}

/// Reads mirrors; those of one host are asked in their order.
fn mirrors(pairs: &[String]) -> Result<BTreeMap<String, Vec<String>>> {
    let mut mirrors: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for pair in pairs {
        match pair.split_once('=') {
            Some((host, mirror)) if !host.is_empty() && !mirror.is_empty() => {
                mirrors.entry(host.to_owned()).or_default().push(mirror.to_owned());
            }
            _ => bail!(WrongRequest(format!("cannot read --registry-mirror `{pair}`: expected HOST=MIRROR"))),
        }
    }
    Ok(mirrors)
}

/// Reads certificates of an authority, and refuses what holds none.
fn certificates(path: &PathBuf) -> Result<String, WrongRequest> {
    let error =
        |reason: String| WrongRequest(format!("cannot read certificate {}: {reason}", path.display()));
    let text = fs::read_to_string(path).map_err(|failed| error(failed.to_string()))?;
    let options = transport::Options { ca_certs: vec![text.clone()], ..transport::Options::default() };
    transport::Client::new(&options).map_err(|failed| match failed {
        transport::Error::Tls { reason } => error(reason.trim_start_matches("ca_certs: ").to_owned()),
        other => error(other.to_string()),
    })?;
    Ok(text)
}

fn client_certificate((certificate, key): (&PathBuf, &PathBuf)) -> Result<ClientCertificate, WrongRequest> {
    let read = |path: &PathBuf| {
        fs::read_to_string(path).map_err(|failed| {
            WrongRequest(format!("cannot read certificate or key {}: {failed}", path.display()))
        })
    };
    Ok(ClientCertificate { certificate: read(certificate)?, key: Secret::new(read(key)?) })
}

fn access(args: &WorldArgs) -> Result<Access> {
    let credentials = match (&args.username, &args.password) {
        (Some(username), Some(password)) => {
            Some(Credentials { username: username.clone(), password: Secret::new(password.clone()) })
        }
        (None, None) => None,
        (Some(_), None) | (None, Some(_)) => {
            bail!(WrongRequest("cannot log in: a user name and a password go together\nhint: give --username or ESTALEIRO_USERNAME, and --password or ESTALEIRO_PASSWORD".into()))
        }
    };
    Ok(Access {
        credentials,
        insecure: args.insecure,
        ca_certs: args.ca_certs.iter().map(certificates).collect::<Result<_, _>>()?,
        client_certificate: args
            .client_cert
            .as_ref()
            .zip(args.client_key.as_ref())
            .map(client_certificate)
            .transpose()?,
        ..Access::default()
    })
}
