//! What is to be built, once it is read: what a definition says, or a stage of a Dockerfile. Each is locked and planned in
//! its own way; the rest of the walk is the same.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Result, anyhow};

use super::base::{Account, Base};
use super::bundle::Sources;
use super::cache::CacheRecord;
use super::context::Context;
use super::definition::{self, Definition, FileOrigin, Policy, SourcePolicy, Spanned};
use super::graph::{CopiedRoot, Graph};
use super::lock::keep::Kept;
use super::lock::places::Places;
use super::lock::resolve::{Resolved, Subject, Tagged};
use super::lock::{self, Lock};
use super::ops::roots::NotTaken;
use super::secrets::Secrets;
use super::stages::lock::Pinned;
use super::stages::{self, DockerfileRequest, Images, Stages, Steps, canonical_name};
use super::{Request, World, plan};
use crate::bom::{self, Formats};
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

    /// Returns the Dockerfile's part in the account, where it is one.
    pub(super) fn account(&self, lock: &Lock) -> Option<bom::Dockerfile> {
        let Recipe::Dockerfile(request) = self else { return None };
        let images = lock.platforms.iter().flat_map(|locked| &locked.images);
        let contexts = request.contents.told().map(|(name, kind, full_name)| {
            let mut used = images.clone().filter(|image| Some(&image.name) == full_name.as_ref());
            let digest = used.next().map(|image| image.digest);
            bom::NamedContext { name: name.to_owned(), kind: kind.to_owned(), digest }
        });
        let contexts = contexts.collect();
        Some(bom::Dockerfile {
            digest: Some(self.digest()),
            target: request.target.clone(),
            args: bom::Dockerfile::told(&request.build_args),
            images: images.map(|image| canonical_name(&image.name, &image.digest)).collect(),
            contexts,
        })
    }

    /// Returns the directories that go by names, besides its context.
    pub(super) fn directories(&self) -> BTreeMap<String, Context> {
        match self {
            Recipe::Definition(_) => BTreeMap::new(),
            Recipe::Dockerfile(request) => request.contents.directories(),
        }
    }

    /// Returns what its commands may be told.
    pub(super) fn secrets(&self) -> Secrets {
        match self {
            Recipe::Definition(_) => Secrets::default(),
            Recipe::Dockerfile(request) => request.secrets.clone(),
        }
    }

    /// Returns whether the image is for the platform that is asked for, whatever it is built upon.
    pub(super) fn says_its_platform(&self) -> bool {
        match self {
            Recipe::Definition(_) => false,
            Recipe::Dockerfile(request) => request.is_for_given_platform,
        }
    }
}

/// What is to be built.
pub(super) enum Product {
    Image(Box<Defined>),
    Stage(Box<Stages>),
}

/// An image as a definition has it, and the steps that its files are taken from.
pub(super) struct Defined {
    definition: Definition,
    steps: Steps,
}

/// A product with every floating name pinned, and what is known of the images among those.
pub(super) struct Locked {
    pub(super) lock: Lock,
    /// The image that the product is built upon.
    pub(super) base: Option<Arc<Base>>,
    /// Those that stages are built upon, or take files from.
    pub(super) images: Images,
    /// The digest of the question that its packages answer.
    pub(super) question: Option<Digest>,
    /// Whether that answer is an earlier build's.
    pub(super) is_taken_over: bool,
}

/// What earlier builds left for a lock.
pub(super) struct Past<'a> {
    /// What the last one recorded.
    pub(super) recalled: &'a CacheRecord,
    /// The versions that stay as far as they can.
    pub(super) kept: Kept,
    /// Whether it is decided again what was decided before.
    pub(super) is_anew: bool,
    /// Whether an image is built right away of which nothing is known.
    pub(super) is_first: bool,
    /// What [`Product::tagged`] found.
    pub(super) tagged: Option<&'a Tagged>,
}

impl Product {
    pub(super) fn read(request: &Request, progress: &Progress) -> Result<Product> {
        Ok(match &request.recipe {
            Recipe::Definition(written) => {
                let definition = written.read(progress)?;
                let steps = Steps::read(&definition, &request.context, &request.platform, progress)?;
                Product::Image(Box::new(Defined { definition, steps }))
            }
            Recipe::Dockerfile(written) => {
                Product::Stage(Box::new(Stages::read(written, &request.platform, progress)?))
            }
        })
    }

    /// Asks what the name of its base stands for, unless a lock says so.
    pub(super) async fn tagged(&self, request: &Request, world: &World) -> Result<Option<Tagged>> {
        match (self, &request.lock) {
            (Product::Image(defined), None) => {
                lock::resolve::tagged(&defined.definition, &request.platform, world).await
            }
            (Product::Image(_) | Product::Stage(_), _) => Ok(None),
        }
    }

    /// Uses the lock that is given, else makes one; either way loads what must be known of images.
    pub(super) async fn lock(&self, request: &Request, past: Past<'_>, world: &World) -> Result<Locked> {
        match self {
            Product::Image(defined) => defined.lock(request, past, world).await,
            Product::Stage(stages) => {
                let (lock, base, images) = stages::lock::lock(stages, request, past.recalled, world).await?;
                Ok(Locked { lock, base, images, question: None, is_taken_over: false })
            }
        }
    }

    pub(super) fn graph(&self, request: &Request, locked: &Locked, world: &World) -> Result<Graph> {
        let context = &request.context.clone().remembering(world.sums.clone());
        let lock = locked.lock.platform(&request.platform)?;
        match self {
            Product::Image(defined) => {
                let (epoch, images) = (locked.lock.epoch, &locked.images);
                let known = plan::Known { lock, epoch, context, images };
                plan::plan(&defined.definition, &defined.steps, &known)
            }
            Product::Stage(stages) => stages::plan(stages, lock, locked.lock.epoch, &locked.images, context),
        }
    }

    /// Returns where what the lock names may be had.
    pub(super) fn places(&self, base: Option<&Base>, world: &World) -> Places {
        match self {
            Product::Image(defined) => {
                lock::resolve::places(&defined.definition, base.map(|base| &base.facts), world)
            }
            Product::Stage(_) => Places::default(),
        }
    }

    /// Returns what the account calls it.
    pub(super) fn name(&self, request: &Request) -> String {
        match self {
            Product::Image(defined) => defined.definition.image.product_name.value.clone(),
            Product::Stage(_) => match &request.destination.location {
                Location::Remote(reference) => reference.name(),
                // Where it lies on this machine is nobody's business.
                Location::Layout { directory, .. } => {
                    directory.file_name().unwrap_or_default().to_string_lossy().into_owned()
                }
            },
        }
    }

    /// Returns what is allowed: what the definition says of it, and then the others.
    pub(super) fn policies(&self, request: &Request) -> Vec<Policy> {
        let own = match self {
            Product::Image(defined) => defined.definition.policy.clone(),
            Product::Stage(_) => None,
        };
        own.into_iter().chain(request.policies.iter().cloned()).collect()
    }

    /// Returns the forms that its account is attached in.
    pub(super) fn bom_formats(&self, request: &Request) -> Formats {
        let own = match self {
            Product::Image(defined) => defined.definition.image.bom_formats.clone(),
            Product::Stage(_) => None,
        };
        request.bom_formats.clone().or(own).unwrap_or_default()
    }

    /// Returns the sources that go along with it.
    pub(super) fn sources(&self, locked: &lock::PlatformLock) -> Option<Sources> {
        match self {
            Product::Image(defined) => match defined.definition.image.apt.sources.value {
                SourcePolicy::None | SourcePolicy::Record => None,
                SourcePolicy::Bundle => Some(Sources::of(locked, &defined.definition.image.apt)),
            },
            Product::Stage(_) => None,
        }
    }

    /// Returns an error of a build with its place, where it is about something that is written.
    pub(super) fn located(&self, error: anyhow::Error) -> anyhow::Error {
        match (self, error.downcast_ref::<NotTaken>()) {
            (Product::Image(defined), Some(not_taken)) => match defined.place_of(not_taken) {
                Some(place) => defined.definition.failure(place, &anyhow!(not_taken.to_string())).into(),
                None => error,
            },
            (Product::Image(_) | Product::Stage(_), _) => error,
        }
    }
}

impl Defined {
    async fn lock(&self, request: &Request, past: Past<'_>, world: &World) -> Result<Locked> {
        let (definition, platform) = (&self.definition, &request.platform);
        let (context, steps) = (&request.context, self.steps.asked());
        let Past { recalled, kept, is_anew, is_first, tagged } = past;
        let subject =
            Subject { definition, platform, context, recalled, kept, is_anew, is_first, tagged, steps };
        let given = request.lock.as_ref().map(|lock| lock.platform(platform)).transpose()?;
        let made = match &request.lock {
            None => lock::resolve::resolve(&subject, world).await?,
            Some(lock) => {
                let base = use_lock(lock, request, &subject, world).await?;
                Resolved { lock: lock.clone(), base, question: None, is_taken_over: false }
            }
        };
        let pinned = self.steps.pin(definition, platform, given, world).await?;
        let Resolved { lock, base, question, is_taken_over } = made;
        let lock = match given {
            Some(_) => lock,
            None => with(lock, &pinned, base.as_deref(), world),
        };
        Ok(Locked { lock, base, images: pinned.images, question, is_taken_over })
    }

    /// Returns the `path` that names what can't be taken.
    fn place_of(&self, not_taken: &NotTaken) -> Option<&Spanned<String>> {
        self.definition.image.files.iter().find_map(|file| {
            match (&file.origin, &not_taken.root) {
                (FileOrigin::Step { step, path }, CopiedRoot::Step(root)) if step.value == root.name => {
                    Some(path)
                }
                (FileOrigin::Image { reference, path }, CopiedRoot::Image { name, .. })
                    if reference.value.to_string() == *name =>
                {
                    Some(path)
                }
                _ => None,
            }
            .filter(|path| plan::in_root(path) == not_taken.path)
        })
    }
}

/// Returns a lock with what steps and files of images name. Where nothing else says which time counts, they do.
fn with(mut lock: Lock, pinned: &Pinned, base: Option<&Base>, world: &World) -> Lock {
    let has_packages = lock.platforms.iter().any(|locked| locked.all_packages().next().is_some());
    let has_time = has_packages || world.source_date_epoch.or(base.and_then(Base::created)).is_some();
    if let Some(latest) = pinned.images.latest().filter(|_| !has_time) {
        lock.epoch = latest;
    }
    for locked in &mut lock.platforms {
        locked.images = stages::lock::locked(&pinned.images);
        locked.files.clone_from(&pinned.files);
        locked.repositories.clone_from(&pinned.repositories);
    }
    lock
}

/// Checks a lock, and loads the base that it pins.
async fn use_lock(
    lock: &Lock,
    request: &Request,
    subject: &Subject<'_>,
    world: &World,
) -> Result<Option<Arc<Base>>> {
    let (definition, locked) = (subject.definition, lock.platform(&request.platform)?);
    lock::check::is_of(definition, &subject.steps, locked)?;
    lock::debs::check(&definition.image.apt, locked, &request.context, &world.store)?;
    let base = match (&definition.image.base, &locked.base) {
        (definition::Base::Image(reference), Some(locked)) => {
            let registry = world.open(&Location::Remote(reference.value.clone())).await?;
            let (found, asked) =
                (Tagged { registry, digest: locked.digest }, Account::Pinned(locked.account));
            Some(lock::resolve::load_base(&reference.value, &found, asked, subject, world).await?.1)
        }
        (definition::Base::Scratch | definition::Base::Image(_), _) => None,
    };
    lock::check::is_complete(definition, locked, base.as_deref())?;
    Ok(base)
}
