//! A Dockerfile's stages: read, locked, and lowered into the graph that definitions use too.
//!
//! Correct means: what BuildKit's Dockerfile frontend produces.

mod config;
mod contents;
mod downloads;
mod evaluate;
pub mod images;
pub mod lock;
mod lower;
mod mounts;
mod repositories;
mod steps;
mod text;

use std::collections::BTreeMap;

use anyhow::{Result, anyhow};

pub use contents::{Content, Contents, Layout};
pub use images::{Images, KnownImage};
pub use steps::{Steps, canonical_name};

use super::context::Context;
use super::graph::{Graph, Instruction, Op, Settle, VertexId};
use super::lock::PlatformLock;
use super::secrets::Secrets;
use crate::digest::Digest;
use crate::dockerfile::{self, Dockerfile, Given, Globals, Ignore, Kind, Mistake};
use crate::oci::Platform;
use crate::progress::Progress;
use crate::sandbox::Host;
use config::Configuration;
use evaluate::{Evaluated, Evaluation, Ground, Wanted};
use lower::{Lowering, Scans};
use text::Text;

/// The argument that says the image's time.
const EPOCH: &str = "SOURCE_DATE_EPOCH";

/// A Dockerfile, and what is asked of it.
#[derive(Clone, Debug, Default)]
pub struct DockerfileRequest {
    /// Its text.
    pub text: String,
    /// Its name, for errors.
    pub file_name: String,
    /// The text of the `.dockerignore` that counts for it.
    pub ignore: String,
    /// The stage to build, by name or number; the last one without.
    pub target: Option<String>,
    /// Values for its arguments.
    pub build_args: BTreeMap<String, String>,
    /// Labels that the image gets besides.
    pub labels: BTreeMap<String, String>,
    /// What names stand for instead of its stages and images.
    pub contents: Contents,
    /// What its commands may be told.
    pub secrets: Secrets,
    /// Hosts that its commands know by name.
    pub hosts: Vec<Host>,
    /// Whether somebody said whom the image is for: then it is, also where it is built upon another platform's.
    pub is_for_given_platform: bool,
}

/// A Dockerfile that was read, and the stage of it that is to be built.
pub struct Stages {
    text: Text,
    digest: Digest,
    globals: Globals,
    stages: dockerfile::Stages,
    target: usize,
    ignore: Ignore,
    contents: Contents,
    labels: BTreeMap<String, String>,
    platform: Platform,
    secrets: Secrets,
    hosts: Vec<Host>,
    /// The time that the Dockerfile or a build argument asks for.
    epoch: Option<i64>,
}

impl Stages {
    /// Reads a Dockerfile and finds the stage that is meant.
    ///
    /// # Errors
    /// What is wrong in the text, all at once; a stage that isn't there.
    pub fn read(request: &DockerfileRequest, platform: &Platform, progress: &Progress) -> Result<Stages> {
        let text = Text::new(&request.file_name, &request.text);
        let dockerfile = Dockerfile::parse(&request.text).map_err(|mistakes| text.errors(mistakes))?;
        let target = request.target.as_deref();
        let given = Given {
            arguments: request.build_args.clone(),
            builder: platform_of(&Platform::host()),
            platform: platform_of(platform),
            target: request.target.clone(),
            names: request.contents.names(),
        };
        let globals = Globals::of(&dockerfile, given);
        let globals = globals.map_err(|mistake| text.error(mistake))?;
        let stages =
            dockerfile::Stages::of(&dockerfile, &globals).map_err(|mistakes| text.errors(mistakes))?;
        let target = stages.target(target).map_err(|problem| UnknownTarget {
            file_name: request.file_name.clone(),
            message: problem.message,
            hint: problem.hint,
        })?;
        let ignore = Ignore::parse(&request.ignore)
            .map_err(|problem| anyhow!("cannot use the context's .dockerignore: {problem}"))?;
        let epoch = match globals.get(EPOCH).filter(|text| !text.is_empty()) {
            Some(written) => {
                Some(epoch_of(&written).map_err(|reason| anyhow!("{}: {reason}", request.file_name))?)
            }
            None => None,
        };
        tell(&dockerfile, &globals, request, progress);
        Ok(Stages {
            text,
            digest: Digest::of(&request.text),
            globals,
            stages,
            target,
            ignore,
            contents: request.contents.clone(),
            labels: request.labels.clone(),
            platform: platform.clone(),
            secrets: request.secrets.clone(),
            hosts: request.hosts.clone(),
            epoch,
        })
    }

    fn evaluation<'a>(&'a self, images: &'a Images) -> Result<Evaluation<'a>> {
        let mut evaluation = Evaluation {
            text: &self.text,
            globals: &self.globals,
            stages: self.stages.clone(),
            target: self.target,
            platform: &self.platform,
            images,
            contents: &self.contents,
        };
        evaluation.pull_triggers()?;
        Ok(evaluation)
    }

    /// Returns the images that must be known besides these.
    fn missing(&self, images: &Images) -> Result<Vec<Wanted>> {
        self.evaluation(images)?.missing()
    }

    /// Returns the given names that nothing here means.
    fn unused_names(&self, images: &Images) -> Result<Vec<String>> {
        let used = self.evaluation(images)?.stages.names_used();
        Ok(self.contents.names().into_iter().filter(|name| !used.contains(name)).collect())
    }

    fn evaluate(&self, images: &Images) -> Result<Vec<Evaluated>> {
        self.evaluation(images)?.run()
    }

    /// Returns the image that the target is built upon in the end.
    fn base<'i>(&self, evaluated: &[Evaluated], images: &'i Images) -> Option<&'i KnownImage> {
        let mut number = self.target;
        loop {
            match &evaluated.iter().find(|stage| stage.number == number)?.ground {
                Ground::Scratch | Ground::Directory(_) => return None,
                Ground::Stage(base) => number = *base,
                Ground::Image { digest, .. } => return images.iter().find(|known| known.digest == *digest),
            }
        }
    }

    /// Returns what the target is called: by its name, or its number where it has none.
    fn target_name(&self) -> String {
        let name = self.stages.stage(self.target).name.clone();
        name.unwrap_or_else(|| self.target.to_string())
    }

    /// Returns the addresses that ADD names, with the digests that are written beside them.
    fn addresses(&self, evaluated: &[Evaluated]) -> Result<Vec<(String, Option<Digest>)>> {
        let mut addresses = Vec::new();
        for step in evaluated.iter().flat_map(|stage| &stage.steps) {
            let Kind::Add(add) = &step.kind else { continue };
            for source in &add.transfer.sources {
                let mistake = |message: String, hint: &str| {
                    self.text.error(Mistake { span: step.span.clone(), message, hint: hint.to_owned() })
                };
                if downloads::is_address(source) {
                    let written = add.checksum.as_deref().map(str::parse::<Digest>).transpose();
                    let written = written.map_err(|error| {
                        mistake(format!("cannot use --checksum: {error}"), "write sha256:…")
                    })?;
                    addresses.push((source.clone(), written));
                }
            }
        }
        Ok(addresses)
    }

    fn at(&self, span: &std::ops::Range<usize>, error: &anyhow::Error) -> anyhow::Error {
        self.text.at(span, error)
    }
}

/// Reads a time, in seconds since 1970. BuildKit also takes the name of a stage, whose source then has the time.
fn epoch_of(text: &str) -> Result<i64, String> {
    text.parse::<i64>().ok().filter(|epoch| *epoch >= 0).ok_or_else(|| {
        format!("cannot use {EPOCH}=`{text}`: it is no number of seconds since 1970\nhint: `git log -1 --format=%ct` prints one")
    })
}

/// The target is none of the Dockerfile's stages.
#[derive(Debug, thiserror::Error)]
#[error("{file_name}: {message}\nhint: {hint}")]
struct UnknownTarget {
    file_name: String,
    message: String,
    hint: String,
}

/// Where the stages of a Dockerfile find what they name.
#[derive(Clone, Copy)]
struct Surroundings<'a> {
    context: &'a Context,
    images: &'a Images,
    lock: &'a PlatformLock,
}

/// Says what is not an error and yet worth knowing.
fn tell(dockerfile: &Dockerfile, globals: &Globals, request: &DockerfileRequest, progress: &Progress) {
    for name in globals.unused(dockerfile) {
        progress
            .warn(format!("build argument `{name}` is given, and no ARG of {} takes it", request.file_name));
    }
    if let Some(syntax) = &dockerfile.directives.syntax {
        progress.say(format!(
            "{}: its syntax `{}` is read by this builder itself",
            request.file_name, syntax.value
        ));
    }
}

fn platform_of(platform: &Platform) -> dockerfile::Platform {
    dockerfile::Platform {
        os: platform.os.clone(),
        architecture: platform.architecture.clone(),
        variant: platform.variant.clone().unwrap_or_default(),
    }
}

/// Lowers the stages to a graph.
///
/// # Errors
/// When the context lacks what an instruction names.
pub fn plan(
    stages: &Stages,
    lock: &PlatformLock,
    epoch: i64,
    images: &Images,
    context: &Context,
) -> Result<Graph> {
    let mut graph = Graph::new(stages.platform.clone(), epoch);
    let around = Surroundings { context, images, lock };
    let (top, Configuration { mut config, author, .. }) = lower(stages, around, &mut graph)?;
    config.labels.extend(stages.labels.clone());
    let instruction = Instruction { text: "estaleiro: configure".into(), ..Instruction::default() };
    graph.add(Op::Settle(Settle { instruction, config, author }), Some(top), vec![]);
    Ok(graph)
}

/// Adds the stages that the target needs; returns its last vertex, and the configuration there.
fn lower(stages: &Stages, around: Surroundings<'_>, graph: &mut Graph) -> Result<(VertexId, Configuration)> {
    let evaluated = stages.evaluate(around.images)?;
    let scans = Scans::new(around.context, &stages.ignore, &stages.contents)?;
    let mut lowering = Lowering::new(graph, &stages.text, &scans, around.lock, &stages.hosts);
    let mut top = None;
    for stage in &evaluated {
        top = Some((lowering.stage(stage)?, stage.config.clone()));
    }
    top.ok_or_else(|| anyhow!("internal error: no stage is needed"))
}
