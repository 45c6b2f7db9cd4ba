//! What each stage builds on, whom it takes files from, and which stages a target needs.
//!
//! That a name is an image's is all that is said of images here.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::expand::word;
use super::mistake::{Mistake, Problem, suggestion};
use super::scope::Globals;
use super::{Dockerfile, Instruction, Kind, Stage};

/// More triggers than any Dockerfile with its bases has.
const MOST_TRIGGERS: usize = 10_000;

/// Where files come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Root {
    /// Nowhere: `scratch`.
    Scratch,
    /// A stage, by its place in the file.
    Stage(usize),
    /// An image. BuildKit refuses a name that is none also in a stage that nobody needs.
    Image(String),
    /// What a name stands for that was given to the build.
    Named(String),
}

/// The stages of a Dockerfile, with their bases known.
#[derive(Debug, Clone)]
pub struct Stages {
    stages: Vec<Resolved>,
    /// Of two stages of the same name, the latter.
    names: BTreeMap<String, usize>,
    globals: Globals,
    n_triggers: usize,
}

#[derive(Debug, Clone)]
struct Resolved {
    stage: Stage,
    base: Root,
    platform: Option<String>,
    /// Whether it is what its name stands for, and nothing of what is written.
    is_replaced: bool,
    /// What is wrong with a trigger of the stage it builds on.
    mistake: Option<Mistake>,
}

impl Stages {
    /// Finds out what the stages build on. A stage on another one begins with that one's triggers.
    pub fn of(dockerfile: &Dockerfile, globals: &Globals) -> Result<Stages, Vec<Mistake>> {
        let globals = globals.clone();
        let mut stages = Stages { stages: Vec::new(), names: BTreeMap::new(), globals, n_triggers: 0 };
        let mut mistakes = Vec::new();
        for (index, stage) in dockerfile.stages.iter().enumerate() {
            match stages.resolve(stage, dockerfile) {
                Ok(resolved) => stages.stages.push(resolved),
                Err(mistake) => mistakes.push(mistake),
            }
            stages.names.extend(stage.name.iter().map(|name| (name.clone(), index)));
        }
        if mistakes.is_empty() {
            let wrong = (0..stages.len()).flat_map(|index| stages.wrong_references(index, false));
            mistakes = wrong.collect();
        }
        if mistakes.is_empty() {
            mistakes.extend(stages.circle());
        }
        if mistakes.is_empty() { Ok(stages) } else { Err(mistakes) }
    }

    fn resolve(&mut self, stage: &Stage, dockerfile: &Dockerfile) -> Result<Resolved, Mistake> {
        let name = self.base_name(stage)?;
        let platform = self.platform_name(stage)?;
        if let Some(name) = self.replacement(stage) {
            let stage = Stage { instructions: Vec::new(), ..stage.clone() };
            let base = Root::Named(name);
            return Ok(Resolved { stage, base, platform, is_replaced: true, mistake: None });
        }
        // Only a stage that stands above, and only by its name as it is kept, in small letters.
        let above = self.names.get(&name).copied();
        let base = above.map_or_else(|| self.outside(&name), Root::Stage);
        let stage = stage.clone();
        let mut resolved = Resolved { stage, base, platform, is_replaced: false, mistake: None };
        let above = above.map(|index| &dockerfile.stages[index]);
        if let Some(above) = above.filter(|above| self.replacement(above).is_none()) {
            let triggers = own_triggers(above);
            self.count_triggers(triggers.len(), &resolved.stage.span)?;
            resolved.mistake = resolved.prepend(&triggers).err();
        }
        Ok(resolved)
    }

    /// Returns the given name that stands for what is in the place of a stage.
    fn replacement(&self, stage: &Stage) -> Option<String> {
        self.globals.named(stage.name.as_deref()?)
    }

    /// Returns what a name means that is no stage's.
    fn outside(&self, name: &str) -> Root {
        match self.globals.named(name) {
            Some(given) => Root::Named(given),
            None if name == "scratch" => Root::Scratch,
            None => Root::Image(name.to_owned()),
        }
    }

    fn expand(&self, text: &str, stage: &Stage) -> Result<String, Mistake> {
        let expanded = word(text, self.globals.escape, &|name| self.globals.get(name));
        expanded.map_err(|problem| problem.at(stage.span.clone()))
    }

    fn base_name(&self, stage: &Stage) -> Result<String, Mistake> {
        let name = self.expand(&stage.base, stage)?;
        if !name.is_empty() {
            return Ok(name);
        }
        let message = format!("cannot build on `{}`: it is empty", stage.base);
        let hint = "give its variable a value: a build argument, or ARG above the first FROM";
        Err(Mistake::new(stage.span.clone(), message, hint))
    }

    fn platform_name(&self, stage: &Stage) -> Result<Option<String>, Mistake> {
        let Some(written) = &stage.platform else { return Ok(None) };
        let platform = self.expand(written, stage)?;
        if is_platform(&platform) {
            return Ok(Some(platform));
        }
        let message = format!("cannot build for the platform `{platform}`");
        let hint = "write for instance --platform=linux/arm64";
        Err(Mistake::new(stage.span.clone(), message, hint))
    }

    fn count_triggers(&mut self, number: usize, span: &Range<usize>) -> Result<(), Mistake> {
        self.n_triggers += number;
        match self.n_triggers <= MOST_TRIGGERS {
            true => Ok(()),
            false => {
                let message = format!("cannot run more than {MOST_TRIGGERS} triggers");
                Err(Mistake::new(span.clone(), message, "use a base with fewer of them"))
            }
        }
    }

    /// Returns how many there are.
    pub fn len(&self) -> usize {
        self.stages.len()
    }

    /// Says whether there are none, which is never so.
    pub fn is_empty(&self) -> bool {
        self.stages.is_empty()
    }

    /// Returns a stage, triggers included.
    pub fn stage(&self, index: usize) -> &Stage {
        &self.stages[index].stage
    }

    /// Returns what a stage builds on.
    pub fn base(&self, index: usize) -> &Root {
        &self.stages[index].base
    }

    /// Returns the platform that a stage asks for.
    pub fn platform(&self, index: usize) -> Option<&str> {
        self.stages[index].platform.as_deref()
    }

    /// Lets a stage begin with the triggers of the image it builds on; one that a given name stands for is as it is.
    pub fn trigger(&mut self, index: usize, triggers: &[String]) -> Result<(), Mistake> {
        if self.stages[index].is_replaced {
            return Ok(());
        }
        let span = self.stages[index].stage.span.clone();
        self.count_triggers(triggers.len(), &span)?;
        self.stages[index].prepend(triggers)
    }

    /// Returns the stage that is to be built: by name or place, or the last one.
    pub fn target(&self, name: Option<&str>) -> Result<usize, Problem> {
        let Some(name) = name.filter(|name| !name.is_empty()) else { return Ok(self.len() - 1) };
        if let Some(index) = self.by_name(name).or_else(|| self.by_place(name)) {
            return Ok(index);
        }
        let names: Vec<&str> = self.stages.iter().filter_map(|it| it.stage.name.as_deref()).collect();
        let otherwise = match names.is_empty() {
            true => "no stage has a name: write FROM image AS name".to_owned(),
            false => format!("the stages are {}", names.join(" ")),
        };
        let hint = suggestion(name, names, otherwise);
        Err(Problem::new(format!("cannot build stage `{name}`: there is no stage of that name"), hint))
    }

    /// Returns the stages that a target needs, itself included, in the order of the file.
    pub fn needed(&self, target: usize) -> Result<Vec<usize>, Mistake> {
        let mut needed = BTreeSet::new();
        let mut waiting = vec![target];
        while let Some(index) = waiting.pop() {
            if needed.insert(index) {
                waiting.extend(self.needed_by(index)?);
            }
        }
        Ok(needed.into_iter().collect())
    }

    /// Checks only here what comes from triggers: those of a stage that nobody needs do no harm.
    fn needed_by(&self, index: usize) -> Result<Vec<usize>, Mistake> {
        let resolved = &self.stages[index];
        let wrong = self.wrong_references(index, true).into_iter().next();
        if let Some(mistake) = resolved.mistake.clone().or(wrong) {
            return Err(mistake);
        }
        let mut needed = Vec::new();
        if let Root::Stage(base) = resolved.base {
            needed.push(base);
        }
        for (source, span) in self.sources(index, true) {
            match source < index {
                true => needed.push(source),
                false => return Err(self.not_yet(source, span)),
            }
        }
        Ok(needed)
    }

    /// Returns what `COPY --from` means: a stage by its place or name, or what is no stage.
    pub fn root_of_copy(&self, from: &str) -> Root {
        match self.by_place(from).or_else(|| self.by_name(from)) {
            Some(index) => Root::Stage(index),
            None => self.outside(from),
        }
    }

    /// Returns what `from` of a mount means: a stage by its name, or what is no stage.
    pub fn root_of_mount(&self, from: &str) -> Root {
        self.by_name(from).map_or_else(|| self.outside(from), Root::Stage)
    }

    /// Returns the given names that something here means, whether the target needs it or not.
    pub fn names_used(&self) -> BTreeSet<String> {
        let roots = (0..self.len()).flat_map(|index| {
            let others = self.roots(index, true).into_iter().map(|(root, _)| root);
            others.chain([self.base(index).clone()])
        });
        roots.filter_map(|root| if let Root::Named(name) = root { Some(name) } else { None }).collect()
    }

    fn by_name(&self, name: &str) -> Option<usize> {
        self.names.get(&name.to_lowercase()).copied()
    }

    fn by_place(&self, text: &str) -> Option<usize> {
        text.parse::<usize>().ok().filter(|index| *index < self.len())
    }

    fn sources(&self, index: usize, with_triggers: bool) -> Vec<(usize, Range<usize>)> {
        let roots = self.roots(index, with_triggers).into_iter();
        roots
            .filter_map(|(root, span)| match root {
                Root::Stage(source) => Some((source, span)),
                Root::Scratch | Root::Image(_) | Root::Named(_) => None,
            })
            .collect()
    }

    /// Returns whom a stage takes files from, its base left out, each with the instruction.
    pub fn roots(&self, index: usize, with_triggers: bool) -> Vec<(Root, Range<usize>)> {
        let mut roots = Vec::new();
        for instruction in self.instructions(index, with_triggers) {
            if let Kind::Copy(copy) = &instruction.kind {
                let root = copy.from.iter().map(|from| self.root_of_copy(from));
                roots.extend(root.map(|root| (root, instruction.span.clone())));
            }
            if let Kind::Run(run) = &instruction.kind {
                let from = run.mounts.iter().filter_map(|mount| mount.from());
                let from = from.filter(|from| !from.is_empty());
                roots.extend(from.map(|from| (self.root_of_mount(from), instruction.span.clone())));
            }
        }
        roots
    }

    fn instructions(&self, index: usize, with_triggers: bool) -> impl Iterator<Item = &Instruction> {
        let instructions = self.stages[index].stage.instructions.iter();
        instructions.filter(move |instruction| with_triggers || !instruction.is_trigger)
    }

    /// `--from` holds no variables, and a number in it is the place of a stage.
    fn wrong_references(&self, index: usize, with_triggers: bool) -> Vec<Mistake> {
        let instructions = self.instructions(index, with_triggers);
        let references = instructions.filter_map(|instruction| {
            let Kind::Copy(copy) = &instruction.kind else { return None };
            copy.from.as_ref().map(|from| (from, &instruction.span))
        });
        references.filter_map(|(from, span)| self.wrong_reference(from, span)).collect()
    }

    fn wrong_reference(&self, from: &str, span: &Range<usize>) -> Option<Mistake> {
        let is_plain = word(from, self.globals.escape, &|_| None).is_ok_and(|expanded| expanded == from);
        if !is_plain {
            let message = format!("cannot copy from `{from}`: variables are not replaced in --from");
            let hint = "name a stage: FROM $image AS name, and then --from=name";
            return Some(Mistake::new(span.clone(), message, hint));
        }
        let is_missing = from.parse::<i64>().is_ok() && self.by_place(from).is_none();
        is_missing.then(|| {
            let message = format!("cannot copy from stage {from}: there is no such stage");
            Mistake::new(span.clone(), message, format!("the first is 0, the last {}", self.len() - 1))
        })
    }

    fn not_yet(&self, source: usize, span: Range<usize>) -> Mistake {
        let message = format!("cannot use files of stage {}: it begins further down", self.called(source));
        Mistake::new(span, message, "move the stage up, above the one that uses it")
    }

    fn called(&self, index: usize) -> String {
        self.stages[index].stage.name.as_ref().map_or(index.to_string(), |name| format!("`{name}`"))
    }

    /// Finds stages that take files from one another.
    fn circle(&self) -> Option<Mistake> {
        let sources: Vec<Vec<(usize, Range<usize>)>> =
            (0..self.len()).map(|index| self.sources(index, false)).collect();
        let mut is_done = vec![false; self.len()];
        for start in 0..self.len() {
            if is_done[start] {
                continue;
            }
            let mut path = vec![(start, 0)];
            while let Some((index, next)) = path.last_mut() {
                let index = *index;
                let Some((source, span)) = sources[index].get(*next) else {
                    is_done[index] = true;
                    path.pop();
                    continue;
                };
                *next += 1;
                if path.iter().any(|(other, _)| other == source) {
                    let message = format!("cannot build stage {}: it needs itself", self.called(*source));
                    return Some(Mistake::new(span.clone(), message, "take the files from another stage"));
                }
                if !is_done[*source] {
                    path.push((*source, 0));
                }
            }
        }
        None
    }
}

impl Resolved {
    fn prepend(&mut self, triggers: &[String]) -> Result<(), Mistake> {
        let read = triggers.iter().map(|trigger| Instruction::of_trigger(trigger, &self.stage));
        let read = read.collect::<Result<Vec<_>, _>>()?;
        self.stage.instructions.splice(0..0, read);
        Ok(())
    }
}

fn own_triggers(stage: &Stage) -> Vec<String> {
    let triggers = stage.instructions.iter().filter_map(|instruction| {
        let Kind::Onbuild(trigger) = &instruction.kind else { return None };
        Some(trigger.clone())
    });
    triggers.collect()
}

fn is_platform(text: &str) -> bool {
    let is_part = |part: &str| {
        let belongs = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-' | '(' | ')' | '+');
        !part.is_empty() && part.chars().all(belongs)
    };
    text.split('/').count() <= 3 && text.split('/').all(is_part)
}
