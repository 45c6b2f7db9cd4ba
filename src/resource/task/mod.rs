//! The task: the same builds as a put's, whose images go into outputs. Its params are those of oci-build-task.

mod images;
mod outputs;
mod params;
mod recipe;
mod world;

use std::path::Path;

use anyhow::Result;

pub use params::{Login, TaskDockerfile, TaskParams, TaskWritten};

use crate::build::context::Context;
use crate::build::definition::Policy;
use crate::build::{Destination, Request, World, report};
use crate::layer::Compression;
use crate::oci::{Descriptor, Index, Platform, media_type};
use crate::progress::Progress;
use crate::registry::{Access, Location, Registry};
use crate::sandbox::Cancel;
use outputs::Output;
use recipe::Product;

/// What `build --help` says.
pub const HELP: &str = include_str!("help.txt");

/// The output that the image goes to.
const IMAGE: &str = "image";
/// Where the state is kept, if the task has such a cache.
const CACHE: &str = "cache";
/// The only tag of the layouts that images are built into.
const TAG: &str = "latest";

/// Builds what `params` ask for in the working directory `directory`, and writes it to the outputs that are there.
///
/// # Errors
/// An [`InvalidRequest`](super::InvalidRequest) when the params can't be followed as they stand; else what the build met.
pub async fn task(params: &TaskParams, directory: &Path, progress: Progress, cancel: Cancel) -> Result<()> {
    tell(params, directory, &progress);
    let world = world::open(params, directory, progress, cancel)?;
    let done = build(params, directory, &world).await;
    world.prune(params.cache_max);
    done
}

async fn build(params: &TaskParams, directory: &Path, world: &World) -> Result<()> {
    let images = images::Images::open(params, directory, world).await?;
    let products = recipe::products(params, directory, &images)?;
    let policies = recipe::policies(params, directory)?;
    let scratch = world.store.scratch()?;
    let mut done = Vec::new();
    for product in products {
        let layout = Location::Layout { directory: scratch.path().join(&product.name), tag: TAG.into() };
        done.push(build_all(product, &layout, params, &policies, world).await?);
    }
    for image in &done {
        match Output::find(directory, &image.name) {
            Some(output) => output.write(image, params, &world.progress).await?,
            None => world.progress.warn(format!(
                "{} is built, and there is no output {0} to put it into\nhint: list it among the `outputs` of the task's configuration",
                image.name
            )),
        }
    }
    Ok(())
}

/// An image that was built, or an index of several.
struct Image {
    /// The output's name.
    name: String,
    /// The layout that it lies in.
    registry: Registry,
    /// Its manifest, or the index.
    root: Descriptor,
    /// The manifests by platform; there is at least one.
    manifests: Vec<(Platform, Descriptor)>,
}

/// Builds for each platform.
async fn build_all(
    product: Product,
    location: &Location,
    params: &TaskParams,
    policies: &[Policy],
    world: &World,
) -> Result<Image> {
    let Product { name, recipe, context, lock } = product;
    let destination = Destination { location: location.clone(), tags: vec![TAG.into()] };
    let mut request = Request {
        recipe,
        context: Context::new(context),
        lock,
        platform: Platform::host(),
        destination,
        is_without_cache: false,
        keeps_failed: false,
        compression: Compression::default(),
        cache_from: Vec::new(),
        policies: policies.to_vec(),
        bom_formats: params.bom_formats.clone(),
    };
    let mut manifests = Vec::new();
    for platform in wanted(params) {
        request.platform = platform.clone();
        world.progress.say(format!("building {name} for {platform}"));
        let built = crate::build::build(&request, world).await?;
        report::summary_of(&built, &name, &world.progress);
        manifests.push((platform, built.published.manifest));
    }
    let registry = Registry::open(location, &Access::default())?;
    let root = root(&manifests, &registry).await?;
    Ok(Image { name, registry, root, manifests })
}

fn wanted(params: &TaskParams) -> Vec<Platform> {
    match params.platforms.as_slice() {
        [] => vec![Platform::host()],
        platforms => platforms.to_vec(),
    }
}

/// One image is itself; several have an index.
async fn root(manifests: &[(Platform, Descriptor)], registry: &Registry) -> Result<Descriptor> {
    if let [(_, only)] = manifests {
        return Ok(only.clone());
    }
    let entries = manifests.iter().map(|(platform, manifest)| Descriptor {
        platform: Some(platform.clone()),
        ..Descriptor::new(&manifest.media_type, manifest.digest, manifest.size)
    });
    let index = Index::new(entries.collect()).to_json();
    Ok(registry.push_manifest(TAG, media_type::INDEX, &index).await?)
}

fn tell(params: &TaskParams, directory: &Path, progress: &Progress) {
    for name in &params.unknown {
        progress.warn(format!("the task has no param {name}: it is not used"));
    }
    if params.debug {
        progress.say(format!("params: {}", params.given.join(", ")));
        progress.say(format!("in {}: {}", directory.display(), recipe::entries(directory).join(", ")));
    }
}
