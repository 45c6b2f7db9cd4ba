//! A Dockerfile among the inputs of a put: its text, and the values, labels and secrets that the params give.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use super::params::{ContextParam, DockerfileParams, SecretParam, stays_inside};
use super::put::{input, table, text};
use crate::build::Recipe;
use crate::build::secrets::{SecretSource, Secrets};
use crate::build::stages::{Content, Contents, DockerfileRequest, Layout};

/// Reads a Dockerfile; returns its path below `sources`, too.
pub(super) fn recipe(
    params: &DockerfileParams,
    context: Option<&Path>,
    is_for_given_platform: bool,
    sources: &Path,
) -> Result<(Recipe, PathBuf)> {
    let file = params.dockerfile.clone();
    let context = context.or(file.parent()).unwrap_or(Path::new(""));
    let written = DockerfileRequest {
        text: text("dockerfile", &file, sources)?,
        file_name: file.display().to_string(),
        ignore: ignore(&file, context, sources)?,
        target: target(params, sources)?,
        build_args: table("build_args_file", params.build_args_file.as_deref(), &params.build_args, sources)?,
        labels: table("labels_file", params.labels_file.as_deref(), &params.labels, sources)?,
        contents: contents(&params.build_contexts, sources)?,
        secrets: secrets(&params.secrets, sources)?,
        is_for_given_platform,
    };
    Ok((Recipe::Dockerfile(Box::new(written)), file))
}

/// Reads what counts for the Dockerfile alone, else what counts for the context.
fn ignore(file: &Path, context: &Path, sources: &Path) -> Result<String> {
    let own = PathBuf::from(format!("{}.dockerignore", file.display()));
    for path in [own, context.join(".dockerignore")] {
        if sources.join(&path).exists() {
            return text("ignore file", &path, sources);
        }
    }
    Ok(String::new())
}

fn target(params: &DockerfileParams, sources: &Path) -> Result<Option<String>> {
    match &params.target_file {
        None => Ok(params.target.clone()),
        Some(file) => {
            let name = text("target_file", file, sources)?.trim().to_owned();
            if name.is_empty() {
                bail!("cannot use target_file {}: it is empty", file.display());
            }
            Ok(Some(name))
        }
    }
}

fn contents(params: &BTreeMap<String, ContextParam>, sources: &Path) -> Result<Contents> {
    let mut contents = Contents::default();
    for (name, param) in params {
        let content = content(param, sources).and_then(|content| contents.add(name, content));
        content.with_context(|| format!("cannot use build context `{name}`"))?;
    }
    Ok(contents)
}

fn content(param: &ContextParam, sources: &Path) -> Result<Content> {
    match param {
        ContextParam::Written(text) => Content::read(text, &|path| {
            let shown = path.display();
            if !stays_inside(path) {
                bail!(
                    "{shown} is no path among the put's inputs\nhint: it begins with an input's name and has no `..`"
                );
            }
            if text.contains("://") && !sources.join(path).exists() {
                bail!(
                    "there is no {shown}\nhint: Concourse doesn't see the input in {text}; write {{oci_layout: {shown}}}"
                );
            }
            input(path, sources)
        }),
        ContextParam::Layout { path, tag, digest } => Content::layout(Layout {
            directory: input(path, sources)?,
            tag: tag.clone().unwrap_or_else(|| "latest".into()),
            digest: *digest,
        }),
    }
}

fn secrets(params: &BTreeMap<String, SecretParam>, sources: &Path) -> Result<Secrets> {
    let mut secrets = Secrets::default();
    for (name, secret) in params {
        let source = match secret {
            SecretParam::Source(path) => SecretSource::File(input(path, sources)?),
            SecretParam::Value(value) => SecretSource::Value(value.clone()),
        };
        secrets.add(name, source);
    }
    Ok(secrets)
}
