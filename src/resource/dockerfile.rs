//! A Dockerfile among the inputs of a step: its text, and the values, labels and secrets that the params give.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use super::inputs::Inputs;
use super::params::{ContextParam, DockerfileParams, SecretParam, stays_inside};
use crate::build::secrets::{SecretSource, Secrets};
use crate::build::stages::{Content, Contents, DockerfileRequest, Layout};

/// Reads a Dockerfile and all that the params say of it.
pub(super) fn request(
    params: &DockerfileParams,
    context: Option<&Path>,
    is_for_given_platform: bool,
    inputs: Inputs<'_>,
) -> Result<DockerfileRequest> {
    let file = &params.dockerfile;
    let context = context.or(file.parent()).unwrap_or(Path::new(""));
    let arguments = params.build_args_file.as_deref();
    Ok(DockerfileRequest {
        text: inputs.text("dockerfile", file)?,
        file_name: file.display().to_string(),
        ignore: ignore(file, context, inputs)?,
        target: target(params, inputs)?,
        build_args: inputs.table_with("build_args_file", arguments, &params.build_args)?,
        labels: inputs.table_with("labels_file", params.labels_file.as_deref(), &params.labels)?,
        contents: contents(&params.build_contexts, inputs)?,
        secrets: secrets(&params.secrets, inputs)?,
        hosts: Vec::new(),
        is_for_given_platform,
    })
}

/// Reads what counts for the Dockerfile alone, else what counts for the context.
fn ignore(file: &Path, context: &Path, inputs: Inputs<'_>) -> Result<String> {
    let own = PathBuf::from(format!("{}.dockerignore", file.display()));
    for path in [own, context.join(".dockerignore")] {
        if inputs.has(&path) {
            return inputs.text("ignore file", &path);
        }
    }
    Ok(String::new())
}

fn target(params: &DockerfileParams, inputs: Inputs<'_>) -> Result<Option<String>> {
    match &params.target_file {
        None => Ok(params.target.clone()),
        Some(file) => {
            let name = inputs.text("target_file", file)?.trim().to_owned();
            if name.is_empty() {
                bail!("cannot use target_file {}: it is empty", file.display());
            }
            Ok(Some(name))
        }
    }
}

fn contents(params: &BTreeMap<String, ContextParam>, inputs: Inputs<'_>) -> Result<Contents> {
    let mut contents = Contents::default();
    for (name, param) in params {
        let content = content(param, inputs).and_then(|content| contents.add(name, content));
        content.with_context(|| format!("cannot use build context `{name}`"))?;
    }
    Ok(contents)
}

fn content(param: &ContextParam, inputs: Inputs<'_>) -> Result<Content> {
    match param {
        ContextParam::Written(text) => Content::read(text, &|path| {
            let shown = path.display();
            if !stays_inside(path) {
                bail!(
                    "{shown} is no path among the put's inputs\nhint: it begins with an input's name and has no `..`"
                );
            }
            if text.contains("://") && !inputs.has(path) {
                bail!(
                    "there is no {shown}\nhint: Concourse doesn't see the input in {text}; write {{oci_layout: {shown}}}"
                );
            }
            inputs.place(path)
        }),
        ContextParam::Layout { path, tag, digest } => Content::layout(Layout {
            directory: inputs.place(path)?,
            tag: tag.clone().unwrap_or_else(|| "latest".into()),
            digest: *digest,
        }),
    }
}

fn secrets(params: &BTreeMap<String, SecretParam>, inputs: Inputs<'_>) -> Result<Secrets> {
    let mut secrets = Secrets::default();
    for (name, secret) in params {
        let source = match secret {
            SecretParam::Source(path) => SecretSource::File(inputs.place(path)?),
            SecretParam::Value(value) => SecretSource::Value(value.clone()),
        };
        secrets.add(name, source);
    }
    Ok(secrets)
}
