//! What is to be built, once it is read: what a definition says, or a stage of a Dockerfile. Each is locked and planned in
//! its own way; the rest of the walk is the same.

use std::collections::BTreeMap;

use anyhow::Result;

use super::base::Base;
use super::bundle::Sources;
use super::cache::CacheRecord;
use super::definition::{self, Definition, SourcePolicy};
use super::graph::Graph;
use super::lock::places::Places;
use super::lock::resolve::Subject;
use super::lock::{self, Lock};
use super::secrets::Secrets;
use super::stages::{self, DockerfileRequest, Images, Stages};
use super::{Request, World, plan};
use crate::bom;
use crate::digest::Digest;
use crate::progress::Progress;
use crate::registry::Location;

/// What somebody wrote.
pub enum Recipe {
    /// A definition.
    Definition(DefinitionRequest),
    /// A Dockerfile.
    Dockerfile(Box<DockerfileRequest>),
}

/// A definition, with what its variables stand for.
pub struct DefinitionRequest {
    /// Its text.
    pub text: String,
    /// Its name, for errors.
    pub file_name: String,
    /// Values for its variables.
    pub variables: BTreeMap<String, String>,
}

impl DefinitionRequest {
    /// Reads it and refuses, all at once, what is wrong with it or can't be done yet.
    pub fn read(&self, progress: &Progress) -> Result<Definition> {
        let definition = definition::parse(&self.text, &self.file_name, &self.variables)?;
        for name in &definition.unused_variables {
            progress.warn(format!(
                "variable `{name}` is given, but {} neither declares nor uses it",
                self.file_name
            ));
        }
        plan::refusals(&definition)?;
        Ok(definition)
    }
}

impl Recipe {
    /// Returns the digest of the text.
    pub(super) fn digest(&self) -> Digest {
        match self {
            Recipe::Definition(request) => Digest::of(&request.text),
            Recipe::Dockerfile(request) => Digest::of(&request.text),
        }
    }
}

impl Recipe {
    /// Returns the Dockerfile's part in the account, where it is one.
    pub(super) fn account(&self, lock: &Lock) -> Option<bom::Dockerfile> {
        let Recipe::Dockerfile(request) = self else { return None };
        let images = lock.platforms.iter().flat_map(|locked| &locked.images);
        Some(bom::Dockerfile {
            digest: Some(self.digest()),
            target: request.target.clone(),
            args: bom::Dockerfile::told(&request.build_args),
            images: images.map(|image| format!("{}@{}", image.name, image.digest)).collect(),
        })
    }

    /// Returns what its commands may be told.
    pub(super) fn secrets(&self) -> Secrets {
        match self {
            Recipe::Definition(_) => Secrets::default(),
            Recipe::Dockerfile(request) => request.secrets.clone(),
        }
    }

    /// Returns whether everything is done again, whatever is known of it.
    pub(super) fn is_without_cache(&self) -> bool {
        match self {
            Recipe::Definition(_) => false,
            Recipe::Dockerfile(request) => request.is_without_cache,
        }
    }

    /// Returns whether the root of a command that fails is kept.
    pub(super) fn keeps_failed(&self) -> bool {
        match self {
            Recipe::Definition(_) => false,
            Recipe::Dockerfile(request) => request.keeps_failed,
        }
    }
}

/// What is to be built.
pub(super) enum Product {
    Image(Box<Definition>),
    Stage(Box<Stages>),
}

/// A product with every floating name pinned, and what is known of the images among those.
pub(super) struct Locked {
    pub(super) lock: Lock,
    /// The image that the product is built upon.
    pub(super) base: Option<Base>,
    /// Those that stages are built upon, or take files from.
    pub(super) images: Images,
}

impl Product {
    pub(super) fn read(request: &Request, progress: &Progress) -> Result<Product> {
        Ok(match &request.recipe {
            Recipe::Definition(written) => Product::Image(Box::new(written.read(progress)?)),
            Recipe::Dockerfile(written) => {
                Product::Stage(Box::new(Stages::read(written, &request.platform, progress)?))
            }
        })
    }

    /// Uses the lock that is given, else makes one; either way loads what must be known of images.
    pub(super) async fn lock(
        &self,
        request: &Request,
        recalled: &CacheRecord,
        world: &World,
    ) -> Result<Locked> {
        match self {
            Product::Image(definition) => {
                let (lock, base) = lock_definition(definition, request, recalled, world).await?;
                Ok(Locked { lock, base, images: Images::default() })
            }
            Product::Stage(stages) => {
                let (lock, base, images) = stages::lock::lock(stages, request, recalled, world).await?;
                Ok(Locked { lock, base, images })
            }
        }
    }

    pub(super) fn graph(&self, request: &Request, locked: &Locked) -> Result<Graph> {
        let lock = locked.lock.platform(&request.platform)?;
        match self {
            Product::Image(definition) => plan::plan(definition, lock, locked.lock.epoch, &request.context),
            Product::Stage(stages) => {
                stages::plan(stages, lock, locked.lock.epoch, &locked.images, &request.context)
            }
        }
    }

    /// Returns where what the lock names may be had.
    pub(super) fn places(&self, base: Option<&Base>, world: &World) -> Places {
        match self {
            Product::Image(definition) => {
                lock::resolve::places(definition, base.map(|base| &base.facts), world)
            }
            Product::Stage(_) => Places::default(),
        }
    }

    /// Returns what the account calls it.
    pub(super) fn name(&self, request: &Request) -> String {
        match self {
            Product::Image(definition) => definition.image.product_name.value.clone(),
            Product::Stage(_) => match &request.destination.location {
                Location::Remote(reference) => reference.name(),
                // Where it lies on this machine is nobody's business.
                Location::Layout { directory, .. } => {
                    directory.file_name().unwrap_or_default().to_string_lossy().into_owned()
                }
            },
        }
    }

    /// Returns the sources that go along with it.
    pub(super) fn sources(&self, locked: &lock::PlatformLock) -> Option<Sources> {
        match self {
            Product::Image(definition) => match definition.image.apt.sources.value {
                SourcePolicy::None | SourcePolicy::Record => None,
                SourcePolicy::Bundle => Some(Sources::of(locked, &definition.image.apt)),
            },
            Product::Stage(_) => None,
        }
    }
}

async fn lock_definition(
    definition: &Definition,
    request: &Request,
    recalled: &CacheRecord,
    world: &World,
) -> Result<(Lock, Option<Base>)> {
    let subject = subject_of_lock(request, definition, recalled);
    let Some(lock) = &request.lock else { return lock::resolve::resolve(&subject, world).await };
    let locked = lock.platform(&request.platform)?;
    lock::check::is_of(definition, locked)?;
    lock::debs::check(&definition.image.apt, locked, &request.context, &world.store)?;
    let base = match (&definition.image.base, &locked.base) {
        (definition::Base::Image(reference), Some(_)) => {
            Some(lock::resolve::load_base(&reference.value, locked.base.as_ref(), &subject, world).await?.1)
        }
        (definition::Base::Scratch | definition::Base::Image(_), _) => None,
    };
    lock::check::is_complete(definition, locked, base.as_ref())?;
    Ok((lock.clone(), base))
}

pub(super) fn subject_of_lock<'a>(
    request: &'a Request,
    definition: &'a Definition,
    recalled: &'a CacheRecord,
) -> Subject<'a> {
    let (platform, context) = (&request.platform, &request.context);
    Subject { definition, platform, context, recalled, kept: lock::keep::Kept::new() }
}
