//! From a definition and its lock to a graph.
//!
//! The context's files are hashed here; nothing else has an effect. What the language can say and
//! this builder can't do yet is refused here, at the place where it is said.

use std::collections::BTreeMap;

use anyhow::Result;

use super::context::Context;
use super::definition::{
    Apt, Base, Container, Definition, Diagnostic, Diagnostics, FileBlock, FileOrigin, Id, ImageConfig,
    SourceOrigin, Spanned, Vcs,
};
use super::graph::{Change, Configure, CopiedFile, Copy, Graph, Install, Member, Op, Origin, Pull, VertexId};
use super::lock::PlatformLock;
use crate::bom;
use crate::redact;

/// Lowers a definition to a graph.
///
/// # Errors
/// What can't be done yet ([`refusals`]), or a file that the context lacks.
pub fn plan(definition: &Definition, lock: &PlatformLock, epoch: i64, context: &Context) -> Result<Graph> {
    let mut graph = Graph::new(lock.platform.clone(), epoch);
    let mut top = graph.add(base(lock), None, vec![]);
    if !lock.packages.is_empty() {
        top = graph.add(Op::Install(install(definition, lock)), Some(top), vec![]);
    }
    if !definition.image.files.is_empty() {
        top = files(definition, context, &mut graph, top)?;
    }
    if !definition.image.symlinks.is_empty() {
        top = graph.add(Op::Change(symlinks(definition)), Some(top), vec![]);
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
    Install {
        packages: lock.packages.clone(),
        requested: names.collect(),
        keys: lock.keys.clone(),
        declared: declared(&definition.image.apt),
    }
}

/// Returns the sources that are declared by hand, by the package's name.
fn declared(apt: &Apt) -> BTreeMap<String, bom::Git> {
    let declared = apt.packages.iter().filter_map(|package| {
        let origin = origin_of_vcs(package.vcs.as_ref()?);
        Some((package.name.value.clone(), origin.git?))
    });
    declared.collect()
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

fn files(definition: &Definition, context: &Context, graph: &mut Graph, top: VertexId) -> Result<VertexId> {
    let mut mounts: Vec<VertexId> = Vec::new();
    let mut places: BTreeMap<String, (usize, bool)> = BTreeMap::new();
    let mut copied = Vec::new();
    for file in &definition.image.files {
        let Some(taken) = taken(definition, file)? else { continue };
        let (mount, is_executable) = match places.get(&taken.context_path) {
            Some(&place) => place,
            None => {
                let (source, is_executable) = context.source(&taken.context_path)?;
                mounts.push(graph.add(Op::Source(source), None, vec![]));
                let place = (mounts.len() - 1, is_executable);
                places.insert(taken.context_path.clone(), place);
                place
            }
        };
        // What a checkout keeps of a file's mode decides the layer, so it stands in the graph.
        let own = taken.member.is_none().then_some(if is_executable { 0o755 } else { 0o644 });
        copied.push(CopiedFile {
            target: file.path.value.clone(),
            mount,
            member: taken.member,
            mode: file.mode.or(own),
            owner: owner(file),
            origin: taken.origin,
            context_path: taken.context_path,
        });
    }
    copied.sort_by(|a, b| a.target.cmp(&b.target));
    Ok(graph.add(Op::Copy(Copy { files: copied }), Some(top), mounts))
}

/// What a file block takes, and from which file of the context.
struct Taken {
    context_path: String,
    member: Option<Member>,
    origin: Origin,
}

fn taken(definition: &Definition, file: &FileBlock) -> Result<Option<Taken>> {
    match &file.origin {
        FileOrigin::Context { path, vcs } => Ok(Some(Taken {
            context_path: path.value.clone(),
            member: None,
            origin: vcs.as_ref().map(origin_of_vcs).unwrap_or_default(),
        })),
        FileOrigin::Tarball { tarball, path } => {
            let origin =
                definition.origin_of(Container::Tarball(tarball), path).map_err(Diagnostics::from)?;
            Ok(Some(Taken {
                context_path: tarball.value.clone(),
                member: Some(Member { path: path.value.clone() }),
                origin: origin_of(origin),
            }))
        }
        // Refused before: see `refusals`.
        FileOrigin::Step { .. } | FileOrigin::Image { .. } | FileOrigin::Package { .. } => Ok(None),
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
        repository_uri: redact::url(&vcs.repository.value),
        reference: vcs.reference.value.clone(),
    };
    Origin { git: Some(git), url: None }
}

fn owner(file: &FileBlock) -> (u32, u32) {
    let number = |id: &Id| match id {
        Id::Number(number) => *number,
        // Refused before: see `refusals`.
        Id::Name(_) => 0,
    };
    file.owner.as_ref().map_or((0, 0), |owner| (number(&owner.uid), number(&owner.gid)))
}

/// Returns what the definition says and this builder can't do yet.
///
/// # Errors
/// All of it, each with its place.
pub fn refusals(definition: &Definition) -> Result<(), Diagnostics> {
    let mut refusals = Refusals { definition, found: Vec::new() };
    refusals.apt(&definition.image.apt);
    definition.image.files.iter().for_each(|file| refusals.file(file));
    for path in &definition.image.removes {
        refusals.add(path, "removing paths is not built yet", "leave it out for now");
    }
    for user in &definition.image.users {
        refusals.add(
            &user.name,
            "making users is not built yet",
            "install a package that makes the user, or leave it out for now",
        );
    }
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

    fn apt(&mut self, apt: &Apt) {
        let later = "leave it out for now";
        if !apt.essential.value && matches!(self.definition.image.base, Base::Scratch) {
            self.add(&apt.essential, "a root without the Essential packages is not built yet", later);
        }
        for name in &apt.remove {
            self.add(name, "removing packages is not built yet", later);
        }
        for deb in &apt.debs {
            self.add(
                &deb.name,
                "installing single .deb files is not built yet",
                "serve it from a repository",
            );
        }
        for answer in apt.debconf.values() {
            self.add(answer, "answers to debconf are not built yet", later);
        }
    }

    fn file(&mut self, file: &FileBlock) {
        match &file.origin {
            FileOrigin::Step { step, .. } => {
                self.add(step, "building a step is not built yet", "bring the file as a tarball");
            }
            FileOrigin::Image { reference, .. } => {
                self.add(
                    reference,
                    "taking a file from another image is not built yet",
                    "bring the file as a tarball",
                );
            }
            FileOrigin::Package { package, .. } => {
                self.add(package, "taking a file from a package is not built yet", "install the package");
            }
            FileOrigin::Tarball { path, .. } | FileOrigin::Context { path, .. } => {
                self.single_file(&file.path, path);
            }
        }
        let by_name = file
            .owner
            .as_ref()
            .is_some_and(|owner| matches!((&owner.uid, &owner.gid), (Id::Name(_), _) | (_, Id::Name(_))));
        if by_name {
            self.add(
                &file.path,
                "an owner by name is not built yet",
                "write the numbers, as in owner = \"1000:1000\"",
            );
        }
    }

    fn single_file(&mut self, target: &Spanned<String>, path: &Spanned<String>) {
        let hint = "name one file after another for now";
        if target.value.ends_with('/') || path.value.ends_with('/') {
            self.add(path, "taking a whole directory is not built yet", hint);
        } else if path.value.contains(['*', '?', '[']) {
            self.add(path, "taking what matches a pattern is not built yet", hint);
        }
    }
}
