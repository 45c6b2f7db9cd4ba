//! The params of the task: what its environment says. They are those of oci-build-task, and some of our own.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::super::fields::InvalidRequest;
use super::super::params::{DefinitionParams, DockerfileParams, SecretParam};
use super::{CACHE, IMAGE};
use crate::bom::Formats;
use crate::oci::Platform;
use crate::redact::Secret;
use crate::sandbox::{Host, InvalidHost};
use crate::store::Bound;

/// What begins like a param and is none is told.
const PREFIXES: [&str; 15] = [
    "ADDITIONAL_",
    "BOM_",
    "BUILDKIT_",
    "BUILD_ARG",
    "CACHE_",
    "CA_CERT",
    "CONTEXT",
    "DOCKERFILE",
    "IMAGE_",
    "INSECURE_",
    "LABEL",
    "OUTPUT_",
    "REGISTRY_",
    "TARGET",
    "UNPACK_",
];

/// How the params begin that are for a Dockerfile alone.
const OF_DOCKERFILES: [&str; 7] =
    ["ADDITIONAL_TARGETS", "BUILDKIT_", "BUILD_ARGS_FILE", "DOCKERFILE", "IMAGE_ARG_", "LABEL", "TARGET"];

/// The params of the task; paths are relative to its working directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskParams {
    /// What is built.
    pub written: TaskWritten,
    /// Where its files lie; the working directory, or beside a definition, without.
    pub context: Option<PathBuf>,
    /// A lock to use as it is.
    pub lock: Option<PathBuf>,
    /// Files of policies that the images must keep.
    pub policies: Vec<PathBuf>,
    /// The forms in which bills of materials are attached; else as the definition says.
    pub bom_formats: Option<Formats>,
    /// Whom the image is for; this machine without.
    pub platforms: Vec<Platform>,
    /// Whether the image is written as an OCI layout.
    pub output_oci: bool,
    /// Whether its root is unpacked.
    pub unpack_rootfs: bool,
    /// Registries that are asked before Docker Hub.
    pub registry_mirrors: Vec<String>,
    /// Registries that are reached by plain http.
    pub insecure_registries: Vec<String>,
    /// Files of certificates of authorities that are trusted besides this machine's.
    pub ca_certs: Vec<PathBuf>,
    /// Who asks a registry, by its host.
    pub login: Option<Login>,
    /// How much the state may hold afterwards.
    pub cache_max: Option<Bound>,
    /// Whether more is told.
    pub debug: bool,
    /// The names of the params that are given.
    pub given: Vec<String>,
    /// What looks like a param, and is none.
    pub unknown: Vec<String>,
}

/// What the task builds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskWritten {
    /// A definition.
    Definition(DefinitionParams),
    /// A Dockerfile.
    Dockerfile(Box<TaskDockerfile>),
}

/// What the task is told of a Dockerfile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskDockerfile {
    /// What a put may be told, too; without files of arguments and labels.
    pub params: DockerfileParams,
    /// A file of arguments, which win over those of the params.
    pub build_args_file: Option<PathBuf>,
    /// A file of labels, which win over those of the params.
    pub labels_file: Option<PathBuf>,
    /// Stages that are built besides.
    pub additional_targets: Vec<String>,
    /// An ssh agent: its name, and its socket or the files of its keys.
    pub ssh: Option<(String, Vec<PathBuf>)>,
    /// Hosts that commands know by name.
    pub hosts: Vec<Host>,
    /// Images among the inputs, by the argument that is to name them.
    pub image_args: BTreeMap<String, PathBuf>,
}

/// Who asks a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// The registry's host.
    pub registry: String,
    /// The user's name.
    pub username: String,
    /// The password.
    pub password: Secret,
}

impl TaskParams {
    /// Reads the params among an environment's variables.
    ///
    /// # Errors
    /// When one isn't what it should be, or two contradict each other. No value of a secret is shown.
    pub fn read(
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<TaskParams, InvalidRequest> {
        let mut variables = Variables::new(environment);
        if variables.text("BUILDKIT_EXTRA_CONFIG")?.is_some() {
            return Err(InvalidRequest::new(
                "cannot use BUILDKIT_EXTRA_CONFIG: it configures another builder\nhint: what it is mostly for, say with CA_CERTS (files of certificates), INSECURE_REGISTRIES (hosts) or REGISTRY_MIRRORS",
            ));
        }
        let context = variables.path("CONTEXT")?;
        let written = match variables.path("DEFINITION")? {
            Some(definition) => TaskWritten::Definition(of_definition(definition, &mut variables)?),
            None => TaskWritten::Dockerfile(Box::new(of_dockerfile(context.as_deref(), &mut variables)?)),
        };
        let params = TaskParams {
            written,
            context,
            lock: variables.path("LOCK")?,
            policies: variables.list("POLICIES")?.into_iter().map(PathBuf::from).collect(),
            bom_formats: bom_formats(&mut variables)?,
            platforms: platforms(&mut variables)?,
            output_oci: variables.flag("OUTPUT_OCI")?,
            unpack_rootfs: variables.flag("UNPACK_ROOTFS")?,
            registry_mirrors: variables.list("REGISTRY_MIRRORS")?,
            insecure_registries: variables.list("INSECURE_REGISTRIES")?,
            ca_certs: variables.list("CA_CERTS")?.into_iter().map(PathBuf::from).collect(),
            login: login(&mut variables)?,
            cache_max: cache_max(&mut variables)?,
            debug: variables.flag("DEBUG")?,
            given: variables.taken.clone(),
            unknown: variables.unknown(),
        };
        if params.platforms.len() > 1 && !params.output_oci {
            return Err(InvalidRequest::new(
                "cannot use IMAGE_PLATFORM: image.tar holds one platform's image\nhint: write OUTPUT_OCI: true, and the image comes as an OCI layout, the directory image/image",
            ));
        }
        Ok(params)
    }
}

fn of_definition(definition: PathBuf, variables: &mut Variables) -> Result<DefinitionParams, InvalidRequest> {
    if let Some(name) = variables.first_of(&OF_DOCKERFILES) {
        return Err(InvalidRequest::new(format!(
            "cannot use {name}: it is for a Dockerfile, and DEFINITION names a definition\nhint: give one of them"
        )));
    }
    let mut vars = variables.beginning_with("BUILD_ARG_")?;
    vars.extend(variables.beginning_with("VAR_")?);
    Ok(DefinitionParams { definition, vars, vars_file: variables.path("VARS_FILE")? })
}

fn of_dockerfile(
    context: Option<&Path>,
    variables: &mut Variables,
) -> Result<TaskDockerfile, InvalidRequest> {
    let dockerfile = variables.path("DOCKERFILE")?;
    let beside = || context.unwrap_or(Path::new("")).join("Dockerfile");
    let params = DockerfileParams {
        dockerfile: dockerfile.unwrap_or_else(beside),
        target: variables.text("TARGET")?,
        target_file: variables.path("TARGET_FILE")?,
        build_args: variables.beginning_with("BUILD_ARG_")?,
        build_args_file: None,
        labels: variables.beginning_with("LABEL_")?,
        labels_file: None,
        build_contexts: BTreeMap::new(),
        secrets: secrets(variables)?,
    };
    let image_args = variables.beginning_with("IMAGE_ARG_")?.into_iter();
    Ok(TaskDockerfile {
        params,
        build_args_file: variables.path("BUILD_ARGS_FILE")?,
        labels_file: variables.path("LABELS_FILE")?,
        additional_targets: additional_targets(variables)?,
        ssh: variables.text("BUILDKIT_SSH")?.map(|text| ssh(&text)),
        hosts: hosts(variables)?,
        image_args: image_args.map(|(name, path)| (name, path.into())).collect(),
    })
}

/// Each names an output, too.
fn additional_targets(variables: &mut Variables) -> Result<Vec<String>, InvalidRequest> {
    let targets = variables.list("ADDITIONAL_TARGETS")?;
    let is_name = |target: &str| !target.contains('/') && ![".", "..", IMAGE, CACHE].contains(&target);
    match targets.iter().find(|target| !is_name(target)) {
        None => Ok(targets),
        Some(target) => Err(InvalidRequest::new(format!(
            "cannot use ADDITIONAL_TARGETS: `{target}` can't be the name of an output besides `{IMAGE}` and `{CACHE}`\nhint: give the stage another name"
        ))),
    }
}

/// Reads `NAME=KEY`, or `NAME=SOCKET`; a file alone is that of the agent that commands ask if they name none.
fn ssh(text: &str) -> (String, Vec<PathBuf>) {
    let (name, places) = text.split_once('=').unwrap_or(("default", text));
    (name.to_owned(), places.split(',').map(PathBuf::from).collect())
}

fn hosts(variables: &mut Variables) -> Result<Vec<Host>, InvalidRequest> {
    let hosts = variables.list("BUILDKIT_ADD_HOSTS")?;
    let hosts = hosts.iter().map(|text| {
        let wrong = |error| InvalidRequest::new(format!("cannot use BUILDKIT_ADD_HOSTS `{text}`: {error}"));
        text.parse().map_err(|error: InvalidHost| wrong(error))
    });
    hosts.collect()
}

fn secrets(variables: &mut Variables) -> Result<BTreeMap<String, SecretParam>, InvalidRequest> {
    let files = variables.beginning_with("BUILDKIT_SECRET_")?.into_iter();
    let texts = variables.beginning_with("BUILDKIT_SECRETTEXT_")?.into_iter();
    let files = files.map(|(id, path)| (id, SecretParam::Source(path.into())));
    let texts = texts.map(|(id, text)| (id, SecretParam::Value(Secret::new(text))));
    Ok(files.chain(texts).collect())
}

fn bom_formats(variables: &mut Variables) -> Result<Option<Formats>, InvalidRequest> {
    let formats = Formats::parse(&variables.list("BOM_FORMATS")?);
    formats.map_err(|error| InvalidRequest::new(format!("cannot use BOM_FORMATS: {error}")))
}

fn platforms(variables: &mut Variables) -> Result<Vec<Platform>, InvalidRequest> {
    let mut platforms = Vec::new();
    for text in variables.list("IMAGE_PLATFORM")? {
        let platform: Platform = text
            .parse()
            .map_err(|error| InvalidRequest::new(format!("cannot use IMAGE_PLATFORM: {error}")))?;
        if !platforms.contains(&platform) {
            platforms.push(platform);
        }
    }
    Ok(platforms)
}

fn cache_max(variables: &mut Variables) -> Result<Option<Bound>, InvalidRequest> {
    let bound = variables.text("CACHE_MAX")?.map(|text| text.parse::<Bound>()).transpose();
    bound.map_err(|error| InvalidRequest::new(format!("cannot use CACHE_MAX: {error}")))
}

/// As some releases of oci-build-task have it; all three, or nothing.
fn login(variables: &mut Variables) -> Result<Option<Login>, InvalidRequest> {
    let [registry, username, password] =
        ["DOCKER_REGISTRY", "DOCKER_USERNAME", "DOCKER_PASSWORD"].map(|name| variables.text(name));
    Ok(match (registry?, username?, password?) {
        (Some(registry), Some(username), Some(password)) => {
            Some(Login { registry, username, password: Secret::new(password) })
        }
        _ => None,
    })
}

/// The variables that were not taken yet.
struct Variables {
    rest: BTreeMap<String, OsString>,
    taken: Vec<String>,
}

impl Variables {
    fn new(environment: impl IntoIterator<Item = (OsString, OsString)>) -> Variables {
        let named =
            environment.into_iter().filter_map(|(name, value)| Some((name.into_string().ok()?, value)));
        Variables { rest: named.collect(), taken: Vec::new() }
    }

    fn take(&mut self, name: &str) -> Result<Option<String>, InvalidRequest> {
        let Some(value) = self.rest.remove(name) else { return Ok(None) };
        self.taken.push(name.to_owned());
        match value.into_string() {
            Ok(text) => Ok(Some(text)),
            Err(_) => Err(InvalidRequest::new(format!("cannot use {name}: it is no UTF-8"))),
        }
    }

    /// Takes a text; one that is empty is none.
    fn text(&mut self, name: &str) -> Result<Option<String>, InvalidRequest> {
        Ok(self.take(name)?.filter(|text| !text.is_empty()))
    }

    fn path(&mut self, name: &str) -> Result<Option<PathBuf>, InvalidRequest> {
        Ok(self.text(name)?.map(PathBuf::from))
    }

    /// Takes what is parted by commas, each once.
    fn list(&mut self, name: &str) -> Result<Vec<String>, InvalidRequest> {
        let text = self.text(name)?.unwrap_or_default();
        let mut seen = BTreeSet::new();
        let items = text.split(',').map(str::trim).filter(|item| !item.is_empty() && seen.insert(*item));
        Ok(items.map(str::to_owned).collect())
    }

    /// Takes a truth value, in all the words that Go's `ParseBool` knows.
    fn flag(&mut self, name: &str) -> Result<bool, InvalidRequest> {
        match self.text(name)?.as_deref() {
            None | Some("0" | "f" | "F" | "false" | "False" | "FALSE") => Ok(false),
            Some("1" | "t" | "T" | "true" | "True" | "TRUE") => Ok(true),
            Some(_) => Err(InvalidRequest::new(format!("cannot use {name}: expected true or false"))),
        }
    }

    /// Takes all whose names begin so, by the rest of their names.
    fn beginning_with(&mut self, prefix: &str) -> Result<BTreeMap<String, String>, InvalidRequest> {
        let names: Vec<String> = self.rest.keys().filter(|name| name.starts_with(prefix)).cloned().collect();
        let mut found = BTreeMap::new();
        for name in names {
            let rest = name[prefix.len()..].to_owned();
            if rest.is_empty() {
                return Err(InvalidRequest::new(format!("cannot use {name}: a name must follow it")));
            }
            found.extend(self.take(&name)?.map(|value| (rest, value)));
        }
        Ok(found)
    }

    /// Returns the first that begins in one of these ways and says something.
    fn first_of(&self, prefixes: &[&str]) -> Option<&String> {
        let is_one = |name: &str| prefixes.iter().any(|prefix| name.starts_with(prefix));
        self.rest.iter().find(|(name, value)| is_one(name) && !value.is_empty()).map(|(name, _)| name)
    }

    fn unknown(self) -> Vec<String> {
        let is_like = |name: &String| {
            PREFIXES.iter().any(|prefix| name.starts_with(prefix)) && name != "REGISTRY_AUTH_FILE"
        };
        self.rest.into_keys().filter(is_like).collect()
    }
}
