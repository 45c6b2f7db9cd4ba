//! The steps of a definition: each a stage of a Dockerfile in its context, whose files the image takes; and the images
//! that it takes files from.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};

use super::lock::{self, Pinned};
use super::{DockerfileRequest, Images, Stages, Surroundings, UnknownTarget, lower};
use crate::bom;
use crate::build::World;
use crate::build::context::Context;
use crate::build::definition::{self, Definition, Diagnostics, Spanned};
use crate::build::graph::{Graph, Op, VertexId};
use crate::build::lock::PlatformLock;
use crate::build::text;
use crate::digest::Digest;
use crate::oci::{Platform, Reference, canonical_json};
use crate::progress::Progress;

/// The steps that files of a definition are taken from.
#[derive(Default)]
pub struct Steps {
    steps: BTreeMap<String, Step>,
}

struct Step {
    stages: Stages,
    context: Context,
    dockerfile: String,
    args: BTreeMap<String, String>,
}

impl Steps {
    /// Reads the Dockerfiles of the steps that files are taken from.
    ///
    /// # Errors
    /// What is wrong with any of them, all at once.
    pub fn read(
        definition: &Definition,
        context: &Context,
        platform: &Platform,
        progress: &Progress,
    ) -> Result<Steps> {
        let mut steps = BTreeMap::new();
        let mut mistakes = Vec::new();
        for step in definition.steps_of_files() {
            match read(definition, step, context, platform, progress) {
                Ok(read) => drop(steps.insert(step.name.value.clone(), read)),
                Err(error) => mistakes.extend(error.downcast::<Diagnostics>()?.into_mistakes()),
            }
        }
        Diagnostics::check(mistakes)?;
        Ok(Steps { steps })
    }

    /// Returns the steps as a lock repeats them, in the order of their names.
    pub fn asked(&self) -> Vec<String> {
        let asked = self.steps.iter();
        asked.map(|(name, step)| format!("{name} ({} {})", step.dockerfile, step.stages.digest)).collect()
    }

    /// Pins what the steps name, and the images that files are taken from.
    pub async fn pin(
        &self,
        definition: &Definition,
        platform: &Platform,
        given: Option<&PlatformLock>,
        world: &World,
    ) -> Result<Pinned> {
        let mut pinned = Pinned::default();
        for step in self.steps.values() {
            lock::pin(&step.stages, &mut pinned, given, world).await?;
        }
        for reference in definition.images_of_files() {
            let found = lock::pin_image(reference, platform, &mut pinned, given, world).await;
            found.map_err(|error| definition.failure(reference, &error))?;
        }
        pinned.sort();
        Ok(pinned)
    }

    /// Adds what leads to a step; returns the last vertex of it, and what the account says of the step.
    ///
    /// # Errors
    /// When the context lacks what an instruction names.
    pub fn lower(
        &self,
        name: &str,
        images: &Images,
        lock: &PlatformLock,
        graph: &mut Graph,
    ) -> Result<(VertexId, bom::Step)> {
        let step = self.steps.get(name);
        let step = step.with_context(|| format!("internal error: step {name} was not read"))?;
        let around = Surroundings { context: &step.context, images, lock };
        let (top, _) = lower(&step.stages, around, graph)?;
        Ok((top, step.account(name, graph, top)))
    }
}

fn read(
    definition: &Definition,
    step: &definition::Step,
    context: &Context,
    platform: &Platform,
    progress: &Progress,
) -> Result<Step> {
    let at = |place: &Spanned<String>, error: anyhow::Error| definition.failure(place, &error);
    let of_step = |what: &str| format!("cannot use the {what} of step `{}`", step.name.value);
    let text = text_of(context, &step.dockerfile).with_context(|| of_step("Dockerfile"));
    let below = context.below(&step.context);
    below.check().with_context(|| of_step("context")).map_err(|error| at(&step.context, error))?;
    let ignore = ignore_of(step, context, &below).with_context(|| of_step("ignore file"));
    let request = DockerfileRequest {
        text: text.map_err(|error| at(&step.dockerfile, error))?,
        file_name: step.dockerfile.value.clone(),
        ignore: ignore.map_err(|error| at(&step.context, error))?,
        target: step.target.as_ref().map(|target| target.value.clone()),
        build_args: step.args.clone(),
        ..DockerfileRequest::default()
    };
    let stages = Stages::read(&request, platform, progress);
    let stages = stages.map_err(|error| located(definition, step, error))?;
    let (dockerfile, args) = (request.file_name, request.build_args);
    Ok(Step { stages, context: below, dockerfile, args })
}

/// What is wrong with a Dockerfile has its place there; what is wrong with the step, in the definition.
fn located(definition: &Definition, step: &definition::Step, error: anyhow::Error) -> anyhow::Error {
    if error.is::<Diagnostics>() {
        return error;
    }
    let place = match (&step.target, error.is::<UnknownTarget>()) {
        (Some(target), true) => target,
        (Some(_) | None, _) => &step.name,
    };
    definition.failure(place, &error).into()
}

fn text_of(context: &Context, path: &str) -> Result<String> {
    text::read(context.read(path, text::LONGEST)?.as_slice())
}

/// Reads what counts for the Dockerfile alone, else what counts for the context.
fn ignore_of(step: &definition::Step, whole: &Context, below: &Context) -> Result<String> {
    let own = whole.read_if_there(&format!("{}.dockerignore", step.dockerfile.value), text::LONGEST)?;
    let read = match own {
        Some(own) => Some(own),
        None => below.read_if_there(".dockerignore", text::LONGEST)?,
    };
    text::read(read.unwrap_or_default().as_slice())
}

impl Step {
    fn account(&self, name: &str, graph: &Graph, top: VertexId) -> bom::Step {
        let digest = self.stages.digest;
        bom::Step {
            name: name.to_owned(),
            dockerfile: bom::DigestedPath { path: self.dockerfile.clone(), digest },
            target: self.stages.target_name(),
            args: bom::Dockerfile::told(&self.args),
            images: images(graph, top),
            context: self.context_of(graph, top),
        }
    }

    /// Returns one digest over all that the vertices read of the context.
    fn context_of(&self, graph: &Graph, top: VertexId) -> Option<bom::DigestedPath> {
        let trees = graph.needed(top).filter_map(|vertex| match &vertex.op {
            Op::Context(tree) => Some(&tree.entries),
            _ => None,
        });
        let trees: Vec<_> = trees.collect();
        let path = match self.context.directory() {
            "" => ".".to_owned(),
            directory => directory.to_owned(),
        };
        (!trees.is_empty()).then(|| bom::DigestedPath { path, digest: Digest::of(canonical_json(&trees)) })
    }
}

/// Returns the images that vertices begin with, by names with digests, sorted.
fn images(graph: &Graph, top: VertexId) -> Vec<String> {
    let pulls = graph.needed(top).filter_map(|vertex| match &vertex.op {
        Op::Pull(pull) => Some(canonical_name(&pull.name, &pull.digest)),
        _ => None,
    });
    pulls.collect::<BTreeSet<String>>().into_iter().collect()
}

/// Returns an image's name with the digest that was pinned.
pub fn canonical_name(name: &str, digest: &Digest) -> String {
    let plain = match name.parse::<Reference>() {
        Ok(reference) => Reference { digest: None, ..reference }.to_string(),
        Err(_) => name.to_owned(),
    };
    format!("{plain}@{digest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_told_with_the_digest_that_was_pinned() {
        let (index, pinned) = (Digest::of("index"), Digest::of("manifest"));
        let name = format!("registry.example/a:1@{index}");
        assert_eq!(canonical_name(&name, &pinned), format!("registry.example/a:1@{pinned}"));
    }
}
