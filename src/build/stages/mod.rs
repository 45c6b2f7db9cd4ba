//! A Dockerfile's stages: read, locked, and lowered into the graph that definitions use too.

pub mod images;
pub mod lock;

use std::collections::BTreeMap;

use anyhow::{Result, bail};

pub use images::{Images, KnownImage};

use super::context::Context;
use super::graph::Graph;
use super::lock::PlatformLock;
use super::secrets::Secrets;
use crate::oci::Platform;
use crate::progress::Progress;

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
    /// What its commands may be told.
    pub secrets: Secrets,
    /// Whether everything is done again, whatever is known of it.
    pub is_without_cache: bool,
    /// Whether the root of a command that fails is kept.
    pub keeps_failed: bool,
}

/// The stages that a request needs.
pub struct Stages {}

impl Stages {
    /// Reads a Dockerfile and finds the stages that are needed.
    pub fn read(_request: &DockerfileRequest, _platform: &Platform, _progress: &Progress) -> Result<Stages> {
        bail!("building a Dockerfile is not built yet")
    }
}

/// Lowers the stages to a graph.
pub fn plan(
    _stages: &Stages,
    _lock: &PlatformLock,
    _epoch: i64,
    _images: &Images,
    _context: &Context,
) -> Result<Graph> {
    bail!("building a Dockerfile is not built yet")
}
