//! What the task builds: its params and the files that they name, read.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow};

use super::super::fields::InvalidRequest;
use super::super::inputs::{Inputs, Step};
use super::super::params::DefinitionParams;
use super::super::{dockerfile, policy, put};
use super::images::Images;
use super::{CACHE, IMAGE, TaskDockerfile, TaskParams, TaskWritten};
use crate::build::Recipe;
use crate::build::definition::Policy;
use crate::build::lock::Lock;

/// Something to build.
pub(super) struct Product {
    /// The output that it goes to.
    pub(super) name: String,
    pub(super) recipe: Recipe,
    /// Where its files lie.
    pub(super) context: PathBuf,
    /// A lock to use as it is.
    pub(super) lock: Option<Lock>,
}

/// Reads what is built, in its order: additional targets first.
///
/// # Errors
/// An [`InvalidRequest`] when something isn't there, or isn't what it should be.
pub(super) fn products(
    params: &TaskParams,
    directory: &Path,
    images: &Images,
) -> Result<Vec<Product>, InvalidRequest> {
    let inputs = Inputs { root: directory, step: Step::Task };
    let read = match &params.written {
        TaskWritten::Definition(definition) => defined(definition, params, inputs).map(|one| vec![one]),
        TaskWritten::Dockerfile(dockerfile) => stages(dockerfile, params, inputs, images),
    };
    read.map_err(|error| InvalidRequest::new(format!("{error:#}")))
}

/// Reads the policies that the images must keep.
///
/// # Errors
/// An [`InvalidRequest`] when one isn't there, or is none.
pub(super) fn policies(params: &TaskParams, directory: &Path) -> Result<Vec<Policy>, InvalidRequest> {
    let inputs = Inputs { root: directory, step: Step::Task };
    let read =
        params.policies.iter().map(|path| policy::of_file(path, inputs).context("cannot use POLICIES"));
    let read: Result<Vec<Policy>> = read.collect();
    read.map_err(|error| InvalidRequest::new(format!("{error:#}")))
}

fn defined(definition: &DefinitionParams, params: &TaskParams, inputs: Inputs<'_>) -> Result<Product> {
    let (recipe, file) = put::definition(definition, inputs).context("cannot use DEFINITION")?;
    let beside = file.parent().unwrap_or(Path::new(""));
    let context = params.context.as_deref().unwrap_or(beside);
    let context = inputs.place(context).context("cannot use CONTEXT")?;
    let lock = match &params.lock {
        Some(lock) => Some(put::read_lock(lock, inputs).context("cannot use LOCK")?),
        None if inputs.has(&beside.join(put::LOCK)) => Some(put::read_lock(&beside.join(put::LOCK), inputs)?),
        None => None,
    };
    Ok(Product { name: IMAGE.into(), recipe, context, lock })
}

fn stages(
    written: &TaskDockerfile,
    params: &TaskParams,
    inputs: Inputs<'_>,
    images: &Images,
) -> Result<Vec<Product>> {
    let context = params.context.as_deref().unwrap_or(Path::new(""));
    let place = inputs.place(context).with_context(|| hint("CONTEXT", inputs))?;
    if !place.is_dir() {
        return Err(anyhow!("cannot use CONTEXT: {} is no directory", context.display()));
    }
    let mut all = written.params.clone();
    all.build_args.extend(pairs("BUILD_ARGS_FILE", written.build_args_file.as_deref(), inputs)?);
    all.build_args.extend(images.names());
    all.labels.extend(pairs("LABELS_FILE", written.labels_file.as_deref(), inputs)?);
    let lock = params.lock.as_deref().map(|lock| put::read_lock(lock, inputs).context("cannot use LOCK"));
    let lock = lock.transpose()?;
    let product = |name: &str, target: Option<&str>| -> Result<Product> {
        let mut stage = all.clone();
        if let Some(target) = target {
            (stage.target, stage.target_file) = (Some(target.to_owned()), None);
        }
        let request = dockerfile::request(&stage, Some(context), !params.platforms.is_empty(), inputs);
        let mut request = request.with_context(|| hint("DOCKERFILE", inputs))?;
        request.contents = images.contents();
        request.hosts.clone_from(&written.hosts);
        if let Some((name, places)) = &written.ssh {
            let places = places.iter().map(|path| inputs.place(path)).collect::<Result<Vec<_>>>();
            let added = places.and_then(|places| Ok(request.secrets.add_agent(name, &places)?));
            added.context("cannot use BUILDKIT_SSH")?;
        }
        // The state changes while the image is built, and is nobody's input.
        if place == inputs.root {
            request.ignore.push_str(&format!("\n/{CACHE}\n"));
        }
        let recipe = Recipe::Dockerfile(Box::new(request));
        Ok(Product { name: name.to_owned(), recipe, context: place.clone(), lock: lock.clone() })
    };
    let additional = written.additional_targets.iter();
    let mut products: Vec<Product> =
        additional.map(|target| product(target, Some(target))).collect::<Result<_>>()?;
    products.push(product(IMAGE, None)?);
    Ok(products)
}

/// Reads a file of arguments or labels: a table in YAML or JSON if it is called so, else `NAME=VALUE` on each line.
fn pairs(param: &str, file: Option<&Path>, inputs: Inputs<'_>) -> Result<BTreeMap<String, String>> {
    let Some(path) = file else { return Ok(BTreeMap::new()) };
    let extension = path.extension().and_then(|extension| extension.to_str());
    if let Some("yml" | "yaml" | "json") = extension {
        return inputs.table(param, path);
    }
    let mut pairs = BTreeMap::new();
    for (nth, line) in inputs.text(param, path)?.lines().enumerate().filter(|(_, line)| !line.is_empty()) {
        let pair = line.split_once('=').filter(|(name, _)| !name.is_empty());
        let (name, value) = pair.with_context(|| {
            format!("cannot read {param} {}: line {} isn't NAME=VALUE", path.display(), nth + 1)
        })?;
        pairs.insert(name.to_owned(), value.to_owned());
    }
    Ok(pairs)
}

/// Says what could be meant instead.
fn hint(param: &str, inputs: Inputs<'_>) -> String {
    let there = entries(inputs.root);
    format!("cannot use {param} (in the working directory there are {})", there.join(", "))
}

/// Returns what is in a directory.
pub(super) fn entries(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}
