//! Following the instructions of stages: which image each begins on, what every variable stands for, and the configuration
//! after each. Nothing is built.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use anyhow::{Result, bail};

use super::config::{Configuration, triggers};
use super::contents::{self, Content, Contents};
use super::text::Text;
use super::{Images, KnownImage};
use crate::build::graph::Instruction;
use crate::digest::Digest;
use crate::dockerfile::{self, Expanded, Globals, Kind, Mistake, Root, Scope};
use crate::oci::{Platform, Reference};

/// What a stage begins on, or files are taken from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ground {
    Scratch,
    /// By its number.
    Stage(usize),
    Image {
        name: String,
        digest: Digest,
    },
    /// A directory that a name stands for, by that name.
    Directory(String),
}

/// An instruction with its variables replaced.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) instruction: Instruction,
    pub(super) span: Range<usize>,
    pub(super) kind: Expanded,
    /// The configuration after it.
    pub(super) config: Configuration,
    /// What a command sees.
    pub(super) env: Vec<(String, String)>,
    /// What commands see besides, and no key knows.
    pub(super) proxies: Vec<(String, String)>,
    /// What `from` means, by how it is written.
    grounds: BTreeMap<String, Ground>,
}

impl Step {
    /// Returns what files are taken from; none is the context.
    pub(super) fn from(&self, from: Option<&str>) -> Option<&Ground> {
        self.grounds.get(from?)
    }
}

/// A stage that was followed to its end.
#[derive(Clone, Debug)]
pub(super) struct Evaluated {
    /// Its place in the file.
    pub(super) number: usize,
    pub(super) name: Option<String>,
    pub(super) ground: Ground,
    pub(super) steps: Vec<Step>,
    /// The configuration at its end.
    pub(super) config: Configuration,
}

impl Evaluated {
    pub(super) fn runs_commands(&self) -> bool {
        self.steps.iter().any(|step| matches!(step.kind, Kind::Run(_)))
    }
}

/// An image that stages name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ImageName {
    /// Its full name.
    pub(super) name: String,
    /// Whom it is for.
    pub(super) platform: Platform,
}

/// An image that nothing is known of yet.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) image: ImageName,
    /// Where it is named.
    pub(super) span: Range<usize>,
}

/// What is known before any image is.
pub(super) struct Evaluation<'a> {
    pub(super) text: &'a Text,
    pub(super) globals: &'a Globals,
    pub(super) stages: dockerfile::Stages,
    pub(super) target: usize,
    pub(super) platform: &'a Platform,
    pub(super) images: &'a Images,
    pub(super) contents: &'a Contents,
}

impl<'a> Evaluation<'a> {
    /// Lets the triggers of the images that are known count; one may bring further images in.
    ///
    /// # Errors
    /// When a trigger can't be read.
    pub(super) fn pull_triggers(&mut self) -> Result<()> {
        let mut is_done = BTreeSet::new();
        loop {
            let needed = self.needed()?;
            let Some(&number) = needed.iter().find(|&&number| !is_done.contains(&number)) else {
                return Ok(());
            };
            is_done.insert(number);
            if let Some(known) = self.base_image(number)?.and_then(|image| self.known(&image)) {
                let triggers = triggers(&known.image.config.config);
                self.stages.trigger(number, &triggers).map_err(|mistake| self.text.error(mistake))?;
            }
        }
    }

    /// Returns the images that are named and not known, in the order of the text, each once.
    pub(super) fn missing(&self) -> Result<Vec<Wanted>> {
        let mut missing: Vec<Wanted> = Vec::new();
        let mut want = |image: Option<ImageName>, span: &Range<usize>| {
            let is_new = |image: &ImageName| missing.iter().all(|wanted| wanted.image != *image);
            if let Some(image) = image.filter(|image| self.known(image).is_none() && is_new(image)) {
                missing.push(Wanted { image, span: span.clone() });
            }
        };
        for number in self.needed()? {
            want(self.base_image(number)?, &self.stages.stage(number).span);
            for (root, span) in self.stages.roots(number, true) {
                want(self.image(&root, None, &span)?, &span);
            }
        }
        Ok(missing)
    }

    /// Follows the stages that the target needs, in the order of the file. All images are known.
    pub(super) fn run(&self) -> Result<Vec<Evaluated>> {
        let mut done: Vec<Evaluated> = Vec::new();
        let mut scopes: BTreeMap<usize, Scope<'a>> = BTreeMap::new();
        for number in self.needed()? {
            let (stage, scope) = self.follow(number, &done, &scopes)?;
            done.push(stage);
            scopes.insert(number, scope);
        }
        Ok(done)
    }

    fn needed(&self) -> Result<Vec<usize>> {
        self.stages.needed(self.target).map_err(|mistake| self.text.error(mistake))
    }

    /// Returns the image that a stage begins on, if it is one.
    fn base_image(&self, number: usize) -> Result<Option<ImageName>> {
        let span = &self.stages.stage(number).span;
        self.image(self.stages.base(number), self.stages.platform(number), span)
    }

    /// Returns the image that something is, if it is one.
    fn image(&self, root: &Root, platform: Option<&str>, span: &Range<usize>) -> Result<Option<ImageName>> {
        let failed =
            |message: String| self.text.error(Mistake { span: span.clone(), message, hint: String::new() });
        let name = match root {
            Root::Scratch | Root::Stage(_) => None,
            Root::Image(name) => {
                let reference: Result<Reference, _> = name.parse();
                Some(reference.map_err(|error| failed(error.to_string()))?.to_string())
            }
            Root::Named(name) => contents::image(name, self.contents.get(name)?),
        };
        let Some(name) = name else { return Ok(None) };
        let platform = match platform {
            None => self.platform.clone(),
            Some(text) => {
                text.parse().map_err(|_| failed(format!("cannot build for the platform `{text}`")))?
            }
        };
        Ok(Some(ImageName { name, platform }))
    }

    fn known(&self, image: &ImageName) -> Option<&'a KnownImage> {
        self.images.get(&image.name, &image.platform)
    }

    fn ground(&self, root: &Root, platform: Option<&str>, span: &Range<usize>) -> Result<Ground> {
        if let Some(image) = self.image(root, platform, span)? {
            let known = self.known(&image);
            let known =
                known.ok_or_else(|| anyhow::anyhow!("internal error: nothing is known of {}", image.name))?;
            return Ok(Ground::Image { name: image.name, digest: known.digest });
        }
        match root {
            Root::Scratch => Ok(Ground::Scratch),
            Root::Stage(number) => Ok(Ground::Stage(*number)),
            Root::Named(name) => match self.contents.get(name)? {
                Content::Directory(..) => Ok(Ground::Directory(name.clone())),
                Content::Nothing | Content::Image(_) | Content::Layout(_) => Ok(Ground::Scratch),
            },
            Root::Image(name) => bail!("internal error: {name} is no image"),
        }
    }

    fn follow(
        &self,
        number: usize,
        done: &[Evaluated],
        scopes: &BTreeMap<usize, Scope<'a>>,
    ) -> Result<(Evaluated, Scope<'a>)> {
        let stage = self.stages.stage(number);
        let ground = self.ground(self.stages.base(number), self.stages.platform(number), &stage.span)?;
        let mut config = self.configuration(&ground, done);
        let mut scope = match &ground {
            Ground::Stage(base) => Scope::on_stage(
                scopes
                    .get(base)
                    .ok_or_else(|| anyhow::anyhow!("internal error: stage {base} is not known"))?,
            ),
            Ground::Scratch | Ground::Image { .. } | Ground::Directory(_) => {
                Scope::on_image(self.globals, &config.config.env)
            }
        };
        config.config.env = scope.of_image().to_vec();
        let mut steps = Vec::new();
        for instruction in &stage.instructions {
            steps.push(self.step(instruction, &mut config, &mut scope)?);
        }
        Ok((Evaluated { number, name: stage.name.clone(), ground, steps, config }, scope))
    }

    fn configuration(&self, ground: &Ground, done: &[Evaluated]) -> Configuration {
        match ground {
            Ground::Scratch | Ground::Directory(_) => Configuration::on(Default::default()),
            Ground::Stage(base) => {
                let base = done.iter().find(|stage| stage.number == *base);
                let config = base.map(|base| base.config.config.clone()).unwrap_or_default();
                let author = base.and_then(|base| base.config.author.clone());
                Configuration::on(config).by(author)
            }
            Ground::Image { digest, .. } => {
                let known = self.images.iter().find(|known| known.digest == *digest);
                Configuration::on(known.map(|known| known.image.config.config.clone()).unwrap_or_default())
            }
        }
    }

    fn step(
        &self,
        said: &dockerfile::Instruction,
        config: &mut Configuration,
        scope: &mut Scope<'a>,
    ) -> Result<Step> {
        let kind = scope.follow(said).map_err(|mistake| self.text.error(mistake))?;
        config.apply(&kind);
        config.config.env = scope.of_image().to_vec();
        let (env, proxies) = scope.of_run().into_iter().partition(|(name, _)| scope.get(name).is_some());
        Ok(Step {
            instruction: self.text.instruction(said),
            span: said.span.clone(),
            grounds: self.grounds(&kind, &said.span)?,
            kind,
            config: config.clone(),
            env,
            proxies,
        })
    }

    fn grounds(&self, kind: &Expanded, span: &Range<usize>) -> Result<BTreeMap<String, Ground>> {
        let named: Vec<(&String, Root)> = match kind {
            Kind::Copy(copy) => copy.from.iter().map(|from| (from, self.stages.root_of_copy(from))).collect(),
            Kind::Run(run) => {
                let from = run.mounts.iter().filter_map(from_of).filter(|from| !from.is_empty());
                from.map(|from| (from, self.stages.root_of_mount(from))).collect()
            }
            _ => Vec::new(),
        };
        named.into_iter().map(|(from, root)| Ok((from.clone(), self.ground(&root, None, span)?))).collect()
    }
}

fn from_of(mount: &dockerfile::Mount) -> Option<&String> {
    match mount {
        dockerfile::Mount::Bind { from, .. } | dockerfile::Mount::Cache { from, .. } => from.as_ref(),
        dockerfile::Mount::Tmpfs { .. }
        | dockerfile::Mount::Secret { .. }
        | dockerfile::Mount::Ssh { .. } => None,
    }
}
