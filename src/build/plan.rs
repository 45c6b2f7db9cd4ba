//! From a definition and its lock to a graph.
//!
//! The context's files are hashed here; nothing else has an effect. What the language can say and
//! no image can mean is refused here, at the place where it is said.

mod files;
#[cfg(test)]
mod tests;

pub use files::in_root;

use std::collections::BTreeMap;

use anyhow::Result;

use super::context::Context;
use super::definition::{
    Apt, Definition, Diagnostic, Diagnostics, FileBlock, FileOrigin, Glob, ImageConfig, SourceOrigin,
    Spanned, Vcs,
};
use super::graph::{Change, Configure, Graph, Install, NewUser, Op, Origin, Pull};
use super::lock::{PlatformLock, debs};
use super::stages::{Images, Steps};
use crate::bom;
use crate::redact;

/// What is known of what a definition names.
pub struct Known<'a> {
    /// What is pinned.
    pub lock: &'a PlatformLock,
    /// The latest time that may stand in the image.
    pub epoch: i64,
    /// Where its files lie.
    pub context: &'a Context,
    /// The images that its steps and files need.
    pub images: &'a Images,
}

/// Lowers a definition to a graph.
///
/// # Errors
/// What a definition can't mean ([`refusals`]), or a file that the context lacks.
pub fn plan(definition: &Definition, steps: &Steps, known: &Known<'_>) -> Result<Graph> {
    let lock = known.lock;
    let mut graph = Graph::new(lock.platform.clone(), known.epoch);
    let mut top = graph.add(base(lock), None, vec![]);
    if !lock.packages.is_empty() || !lock.remove.is_empty() {
        top = graph.add(Op::Install(install(definition, lock)), Some(top), vec![]);
    }
    if !definition.image.users.is_empty() {
        top = graph.add(Op::Change(users(definition)), Some(top), vec![]);
    }
    if !definition.image.files.is_empty() {
        top = files::files(definition, steps, known, &mut graph, top)?;
    }
    if !definition.image.symlinks.is_empty() {
        top = graph.add(Op::Change(symlinks(definition)), Some(top), vec![]);
    }
    if !definition.image.removes.is_empty() {
        top = graph.add(Op::Change(removals(definition)), Some(top), vec![]);
    }
    graph.add(Op::Configure(configure(&definition.image.config)), Some(top), vec![]);
    Ok(graph)
}

fn base(lock: &PlatformLock) -> Op {
    match &lock.base {
        None => Op::Scratch,
        Some(base) => {
            Op::Pull(Pull { name: base.name.clone(), digest: base.digest, sources: base.sources.clone() })
        }
    }
}

fn install(definition: &Definition, lock: &PlatformLock) -> Install {
    let names = definition.image.apt.packages.iter().map(|package| package.name.value.clone());
    let debs = lock.packages.iter().filter(|package| package.deb.is_some());
    let names = names.chain(debs.map(|package| package.name.clone()));
    let answers = definition.image.apt.debconf.iter();
    Install {
        packages: lock.packages.clone(),
        requested: names.collect(),
        keys: lock.keys.clone(),
        declared: declared(&definition.image.apt, lock),
        remove: lock.remove.clone(),
        beside: definition.is_without_essential().then(|| lock.beside.clone()),
        debconf: answers.map(|(question, answer)| (question.clone(), answer.value.clone())).collect(),
    }
}

/// Returns the sources that are declared by hand, by the package's name.
fn declared(apt: &Apt, lock: &PlatformLock) -> BTreeMap<String, bom::Git> {
    let of_packages = apt.packages.iter().map(|package| (&package.name.value, package.vcs.as_ref()));
    let of_debs = lock.packages.iter().filter_map(|package| {
        let block = debs::block(apt, package.deb.as_ref()?)?;
        Some((&package.name, block.vcs.as_ref()))
    });
    let declared = of_packages.chain(of_debs);
    declared.filter_map(|(name, vcs)| Some((name.clone(), origin_of_vcs(vcs?).git?))).collect()
}

fn users(definition: &Definition) -> Change {
    let users = definition.image.users.iter().map(|user| NewUser {
        name: user.name.value.clone(),
        uid: user.uid,
        gid: user.gid,
        home: user.home.clone(),
    });
    Change::Users(users.collect())
}

fn removals(definition: &Definition) -> Change {
    let mut paths: Vec<String> = definition.image.removes.iter().map(|path| path.value.clone()).collect();
    paths.sort();
    Change::Remove(paths)
}

fn symlinks(definition: &Definition) -> Change {
    let links = definition.image.symlinks.iter();
    let mut pairs: Vec<(String, String)> =
        links.map(|link| (link.path.value.clone(), link.target.value.clone())).collect();
    pairs.sort();
    Change::Symlinks(pairs)
}

fn configure(config: &ImageConfig) -> Configure {
    Configure {
        env: config.env.clone(),
        entrypoint: config.entrypoint.clone(),
        cmd: config.cmd.clone(),
        volumes: config.volumes.clone(),
        ports: config.ports.clone(),
        labels: config.labels.clone().into_iter().collect(),
        stop_signal: config.stop_signal.clone(),
        user: config.run_as.clone(),
        working_dir: config.workdir.clone(),
    }
}

fn origin_of(origin: &SourceOrigin) -> Origin {
    match origin {
        SourceOrigin::Vcs(vcs) => origin_of_vcs(vcs),
        SourceOrigin::Url(download) => Origin {
            git: None,
            url: Some(bom::Url { uri: redact::url(&download.url.value), digest: download.sha256.value }),
        },
    }
}

fn origin_of_vcs(vcs: &Vcs) -> Origin {
    let git = bom::Git {
        repository_uri: redact::url(vcs.repository.value.trim()),
        // Programs that print a commit end it with a line break.
        reference: vcs.reference.value.trim().to_owned(),
        ..bom::Git::default()
    };
    Origin { git: Some(git), url: None }
}

/// Returns what the definition says and can't mean.
///
/// # Errors
/// All of it, each with its place.
pub fn refusals(definition: &Definition) -> Result<(), Diagnostics> {
    let mut refusals = Refusals { definition, found: Vec::new() };
    definition.image.files.iter().for_each(|file| refusals.file(file));
    Diagnostics::check(refusals.found)
}

struct Refusals<'a> {
    definition: &'a Definition,
    found: Vec<Diagnostic>,
}

impl Refusals<'_> {
    fn add<T>(&mut self, place: &Spanned<T>, message: &str, hint: &str) {
        self.found.push(self.definition.source.diagnostic(place.span.clone(), message, hint));
    }

    fn file(&mut self, file: &FileBlock) {
        match &file.origin {
            FileOrigin::Step { path, .. }
            | FileOrigin::Image { path, .. }
            | FileOrigin::Tarball { path, .. }
            | FileOrigin::Context { path, .. }
            | FileOrigin::Package { path, .. } => {
                self.pattern_into_a_file(&file.path, path);
            }
        }
    }

    fn pattern_into_a_file(&mut self, target: &Spanned<String>, path: &Spanned<String>) {
        if Glob::is_pattern(&path.value) && !target.value.ends_with('/') {
            let message = format!("`{}` is no directory, and a pattern may take several files", target.value);
            let hint = format!("write a `/` at its end: file \"{}/\" {{ … }}", target.value);
            self.add(target, &message, &hint);
        }
    }
}
