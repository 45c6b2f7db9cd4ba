//! Images among the task's inputs, on which a Dockerfile builds: each has a name, which is the value of the argument.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result, anyhow, bail};

use super::super::fields::InvalidRequest;
use super::super::inputs::{Inputs, Step};
use super::{TAG, TaskParams, TaskWritten};
use crate::build::World;
use crate::build::prebuilt::{self, Prebuilt};
use crate::build::stages::{Content, Contents, Layout};
use crate::registry::{Access, Location, Registry};
use crate::store::Scratch;

/// The images that arguments name.
#[derive(Default)]
pub(super) struct Images {
    contents: Contents,
    names: BTreeMap<String, String>,
    /// Holds those that lay in archives.
    _scratch: Option<Scratch>,
}

impl Images {
    /// Opens them.
    ///
    /// # Errors
    /// An [`InvalidRequest`] when one isn't there, or is no image.
    pub(super) async fn open(params: &TaskParams, directory: &Path, world: &World) -> Result<Images> {
        let TaskWritten::Dockerfile(dockerfile) = &params.written else { return Ok(Images::default()) };
        if dockerfile.image_args.is_empty() {
            return Ok(Images::default());
        }
        let inputs = Inputs { root: directory, step: Step::Task };
        let scratch = world.store.scratch()?;
        let (mut contents, mut names) = (Contents::default(), BTreeMap::new());
        for (argument, path) in &dockerfile.image_args {
            let error = |error: anyhow::Error| {
                InvalidRequest::new(format!("cannot use IMAGE_ARG_{argument}: {error:#}"))
            };
            let place = inputs.place(path).map_err(error)?;
            let layout = layout(&place, argument, scratch.path(), world).await.map_err(error)?;
            let name = format!("image-arg/{}", argument.to_lowercase());
            if names.values().any(|other| *other == name) {
                return Err(error(anyhow!("another one differs from it in its capital letters only")).into());
            }
            contents.add(&name, Content::Layout(layout)).map_err(error)?;
            names.insert(argument.clone(), name);
        }
        Ok(Images { contents, names, _scratch: Some(scratch) })
    }

    /// Returns the arguments with their values.
    pub(super) fn names(&self) -> BTreeMap<String, String> {
        self.names.clone()
    }

    /// Returns what those values stand for.
    pub(super) fn contents(&self) -> Contents {
        self.contents.clone()
    }
}

/// Returns the layout of an image. One in an archive, or that `docker save` wrote, is copied into one.
async fn layout(path: &Path, argument: &str, scratch: &Path, world: &World) -> Result<Layout> {
    let (place, store) = (path.to_owned(), world.store.clone());
    let read = tokio::task::spawn_blocking(move || Prebuilt::open(&place, &store)).await;
    let image = read.context("internal error: the reading panicked")??;
    let digest = Some(image.root.digest);
    if path.join("oci-layout").is_file() {
        return Ok(Layout { directory: path.to_owned(), tag: TAG.into(), digest });
    }
    let directory = scratch.join(argument);
    let location = Location::Layout { directory: directory.clone(), tag: TAG.into() };
    let registry = Registry::open(&location, &Access::default())?;
    prebuilt::push(&image, &registry, &[TAG.to_owned()], None, &world.progress).await?;
    if !directory.is_dir() {
        bail!("internal error: nothing was copied");
    }
    Ok(Layout { directory, tag: TAG.into(), digest })
}
