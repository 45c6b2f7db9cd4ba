//! The `file` blocks of a definition, lowered to one copy: which files of the context they mean, hashed.
//!
//! What lies in tarballs isn't looked at; their members are found when they are copied.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, anyhow};

use super::{Known, declared, origin_of, origin_of_vcs};
use crate::bom;
use crate::build::context::Context;
use crate::build::definition::{
    self, Container, Definition, Diagnostics, FileBlock, FileOrigin, Id, Owner, Spanned,
};
use crate::build::graph::{
    CopiedDirectory, CopiedFile, CopiedLink, CopiedRoot, CopiedTree, Copy, Graph, Op, Origin, Pull, Source,
    SourceFile, VertexId,
};
use crate::build::lock::{InvalidLock, PlatformLock};
use crate::build::selection::Selection;
use crate::build::stages::{Steps, canonical_name};
use crate::oci::Reference;

/// Adds the copy of all `file` blocks to the graph.
///
/// # Errors
/// When the context lacks what a block names, or nobody says where a tarball's member comes from.
pub(super) fn files(
    definition: &Definition,
    steps: &Steps,
    known: &Known<'_>,
    graph: &mut Graph,
    top: VertexId,
) -> Result<VertexId> {
    let (mounts, copy) = (Mounts::default(), Copy::default());
    let mut copying = Copying { definition, steps, known, graph, mounts, copy };
    for file in &definition.image.files {
        copying.file(file)?;
    }
    let Copying { graph, mounts, mut copy, .. } = copying;
    copy.keys = mounts.keys(known.lock);
    copy.files.sort_by(|a, b| a.target.cmp(&b.target));
    // Of two blocks that make the same directory the first one has a say.
    copy.directories.sort_by(|a, b| a.target.cmp(&b.target));
    copy.links.sort_by(|a, b| a.target.cmp(&b.target));
    let mounts = mounts.mounts.into_iter().map(|mount| match mount {
        Mount::Source(source) => graph.add(Op::Source(source), None, vec![]),
        Mount::Root(vertex) => vertex,
    });
    let mounts = mounts.collect();
    Ok(graph.add(Op::Copy(copy), Some(top), mounts))
}

/// What files are taken from, each once.
#[derive(Default)]
struct Mounts {
    mounts: Vec<Mount>,
    /// Single files of the context, by path.
    places: BTreeMap<String, (usize, bool)>,
}

enum Mount {
    Source(Source),
    /// The last vertex of a step, or another image.
    Root(VertexId),
}

impl Mounts {
    /// Returns the mount of a package's archive.
    fn package(&mut self, name: &str, lock: &PlatformLock) -> Result<usize> {
        let found = lock.all_packages().find(|package| package.name == name);
        let package = found.ok_or_else(|| {
            InvalidLock::Unfit(vec![format!("it does not hold package {name}, which files are taken from")])
        })?;
        let path = format!("{} {}", package.name, package.version);
        let is_same = |source: Option<&Source>| source.and_then(|it| it.package.as_deref()) == Some(package);
        if let Some(mount) = self.mounts.iter().position(|mount| is_same(mount.source())) {
            return Ok(mount);
        }
        let files = vec![SourceFile { path: path.clone(), digest: package.sha256, size: package.size }];
        Ok(self.add(Mount::Source(Source { path, package: Some(Box::new(package.clone())), files })))
    }

    /// Returns the keys that vouch for the packages among them.
    fn keys(&self, lock: &PlatformLock) -> Vec<bom::Key> {
        let packages = self.mounts.iter().filter_map(|mount| mount.source()?.package.as_ref());
        let signers: BTreeSet<&String> = packages.flat_map(|package| &package.signed_by).collect();
        lock.keys.iter().filter(|key| signers.contains(&key.fingerprint)).cloned().collect()
    }

    fn add(&mut self, mount: Mount) -> usize {
        self.mounts.push(mount);
        self.mounts.len() - 1
    }

    /// Returns the mount of a single file, and whether somebody may execute it.
    fn single(&mut self, path: &str, context: &Context) -> Result<(usize, bool)> {
        if let Some(&place) = self.places.get(path) {
            return Ok(place);
        }
        let (file, is_executable) = context.source(path)?;
        let mount =
            self.add(Mount::Source(Source { path: path.to_owned(), package: None, files: vec![file] }));
        self.places.insert(path.to_owned(), (mount, is_executable));
        Ok((mount, is_executable))
    }
}

impl Mount {
    fn source(&self) -> Option<&Source> {
        match self {
            Mount::Source(source) => Some(source),
            Mount::Root(_) => None,
        }
    }
}

/// A tarball, a package or a root that members are taken out of.
struct Archive {
    mount: usize,
    /// Where it is in the context; empty of what isn't there.
    context_path: String,
}

struct Copying<'a> {
    definition: &'a Definition,
    steps: &'a Steps,
    known: &'a Known<'a>,
    graph: &'a mut Graph,
    mounts: Mounts,
    copy: Copy,
}

impl Copying<'_> {
    fn file(&mut self, block: &FileBlock) -> Result<()> {
        match &block.origin {
            FileOrigin::Context { path, vcs } => {
                let origin = vcs.as_ref().map(origin_of_vcs).unwrap_or_default();
                match Selection::of(path)? {
                    None => self.context_file(block, path, origin),
                    Some(selection) => self.context_tree(block, &selection, &origin),
                }
            }
            FileOrigin::Tarball { tarball, path } => match Selection::of(path)? {
                None => self.member(block, tarball, path),
                Some(_) => self.members(block, tarball, path),
            },
            FileOrigin::Step { step, path } => self.of_step(block, step, path),
            FileOrigin::Image { reference, path } => self.of_image(block, reference, path),
            FileOrigin::Package { package, path } => self.of_package(block, package, path),
        }
    }

    fn of_step(&mut self, block: &FileBlock, step: &Spanned<String>, path: &Spanned<String>) -> Result<()> {
        let archive = Archive { mount: self.step(step)?, context_path: String::new() };
        let inside = in_root(path);
        if Selection::of(inside)?.is_none() {
            let origin = self.definition.origin_of(Container::Step(step), path).map_err(Diagnostics::from)?;
            self.take_file(block, archive, inside, origin_of(origin));
            return Ok(());
        }
        let declared = self.definition.step(step).map_or(&[][..], |step| &step.source_files);
        self.take_tree(block, archive, inside, origins(declared));
        Ok(())
    }

    /// Returns the mount of what a step leaves.
    fn step(&mut self, name: &str) -> Result<usize> {
        let is_it = |root: &CopiedRoot| matches!(root, CopiedRoot::Step(step) if step.name == name);
        if let Some(mount) = self.root(is_it) {
            return Ok(mount);
        }
        let (images, lock) = (self.known.images, self.known.lock);
        let (top, account) = self.steps.lower(name, images, lock, self.graph)?;
        Ok(self.add_root(top, CopiedRoot::Step(account)))
    }

    /// Other images say for themselves where their files come from.
    fn of_image(&mut self, block: &FileBlock, reference: &Reference, path: &Spanned<String>) -> Result<()> {
        let archive = Archive { mount: self.image(reference)?, context_path: String::new() };
        let inside = in_root(path);
        match Selection::of(inside)? {
            None => self.take_file(block, archive, inside, Origin::default()),
            Some(_) => self.take_tree(block, archive, inside, vec![("**".into(), Origin::default())]),
        }
        Ok(())
    }

    /// Returns the mount of another image.
    fn image(&mut self, reference: &Reference) -> Result<usize> {
        let name = reference.to_string();
        let is_it =
            |root: &CopiedRoot| matches!(root, CopiedRoot::Image { name: known, .. } if *known == name);
        if let Some(mount) = self.root(is_it) {
            return Ok(mount);
        }
        let known = self.known.images.get(&name, &self.known.lock.platform);
        let digest = known.ok_or_else(|| anyhow!("internal error: nothing is known of {name}"))?.digest;
        let canonical_name = canonical_name(&name, &digest);
        let pull = Op::Pull(Pull { name: name.clone(), digest, sources: vec![] });
        let vertex = self.graph.add_once(pull, None, vec![]);
        Ok(self.add_root(vertex, CopiedRoot::Image { name, canonical_name }))
    }

    fn root(&self, is_it: impl Fn(&CopiedRoot) -> bool) -> Option<usize> {
        self.copy.roots.iter().find(|(_, root)| is_it(root)).map(|(mount, _)| *mount)
    }

    fn add_root(&mut self, vertex: VertexId, root: CopiedRoot) -> usize {
        let mount = self.mounts.add(Mount::Root(vertex));
        self.copy.roots.insert(mount, root);
        mount
    }

    /// A package is read like a tarball, and says itself where its members come from.
    fn of_package(&mut self, block: &FileBlock, package: &str, path: &str) -> Result<()> {
        let lock = self.known.lock;
        let mount = self.mounts.package(package, lock)?;
        let git = declared(&self.definition.image.apt, lock).remove(package);
        let origin = Origin { git, url: None };
        let path = in_root(path);
        let archive = Archive { mount, context_path: String::new() };
        match Selection::of(path)? {
            None => self.take_file(block, archive, path, origin),
            Some(_) => self.take_tree(block, archive, path, vec![("**".into(), origin)]),
        }
        Ok(())
    }

    fn context_file(&mut self, block: &FileBlock, path: &str, origin: Origin) -> Result<()> {
        let (mount, is_executable) = self.mounts.single(path, self.known.context)?;
        self.copy.files.push(CopiedFile {
            target: target_of(block, path),
            mount,
            nth: 0,
            member: None,
            mode: Some(block.mode.unwrap_or(own_mode(is_executable))),
            owner: owner(block),
            origin,
            context_path: path.to_owned(),
        });
        Ok(())
    }

    fn context_tree(&mut self, block: &FileBlock, selection: &Selection, origin: &Origin) -> Result<()> {
        let context = self.known.context;
        let tree = context.tree(selection)?;
        let top = block.path.value.trim_end_matches('/');
        let target = |below: &str| format!("{top}/{below}");
        let hashed: Vec<(SourceFile, bool)> =
            tree.files.iter().map(|(_, path)| context.source(path)).collect::<Result<_>>()?;
        let mount = self.mounts.mounts.len();
        for (nth, ((below, path), (_, is_executable))) in tree.files.iter().zip(&hashed).enumerate() {
            self.copy.files.push(CopiedFile {
                target: target(below),
                mount,
                nth,
                member: None,
                mode: Some(block.mode.unwrap_or(own_mode(*is_executable))),
                owner: owner(block),
                origin: origin.clone(),
                context_path: path.clone(),
            });
        }
        let files = hashed.into_iter().map(|(file, _)| file).collect();
        self.mounts.add(Mount::Source(Source { path: selection.as_str().to_owned(), package: None, files }));
        let directories = tree.directories.iter().map(|below| target(below));
        let directories = [block.path.value.clone()].into_iter().chain(directories);
        self.copy
            .directories
            .extend(directories.map(|target| CopiedDirectory { target, owner: owner(block) }));
        let links = tree.links.into_iter();
        self.copy.links.extend(links.map(|(below, leads_to)| CopiedLink {
            target: target(&below),
            leads_to,
            owner: owner(block),
        }));
        Ok(())
    }

    fn member(&mut self, block: &FileBlock, tarball: &Spanned<String>, path: &str) -> Result<()> {
        let origin =
            self.definition.origin_of(Container::Tarball(tarball), path).map_err(Diagnostics::from)?;
        let (mount, _) = self.mounts.single(tarball, self.known.context)?;
        let archive = Archive { mount, context_path: tarball.value.clone() };
        self.take_file(block, archive, path, origin_of(origin));
        Ok(())
    }

    fn members(&mut self, block: &FileBlock, tarball: &Spanned<String>, path: &str) -> Result<()> {
        let (mount, _) = self.mounts.single(tarball, self.known.context)?;
        let declared = self.definition.tarball(tarball).map_or(&[][..], |tarball| &tarball.source_files);
        let archive = Archive { mount, context_path: tarball.value.clone() };
        self.take_tree(block, archive, path, origins(declared));
        Ok(())
    }

    fn take_file(&mut self, block: &FileBlock, archive: Archive, path: &str, origin: Origin) {
        self.copy.files.push(CopiedFile {
            target: target_of(block, path),
            mount: archive.mount,
            nth: 0,
            member: Some(path.to_owned()),
            mode: block.mode,
            owner: owner(block),
            origin,
            context_path: archive.context_path,
        });
    }

    fn take_tree(&mut self, block: &FileBlock, archive: Archive, path: &str, origins: Vec<(String, Origin)>) {
        self.copy.trees.push(CopiedTree {
            target: block.path.value.clone(),
            mount: archive.mount,
            path: path.to_owned(),
            mode: block.mode,
            owner: owner(block),
            origins,
            context_path: archive.context_path,
        });
    }
}

/// Returns an absolute path as members are named: relative to the root.
pub fn in_root(path: &str) -> &str {
    match path.trim_start_matches('/') {
        "" => ".",
        path => path,
    }
}

fn origins(declared: &[definition::SourceFile]) -> Vec<(String, Origin)> {
    let origins = declared.iter();
    origins.map(|source| (source.pattern.value.as_str().to_owned(), origin_of(&source.origin))).collect()
}

/// What a checkout keeps of a file's mode decides the layer, so it stands in the graph.
fn own_mode(is_executable: bool) -> u32 {
    if is_executable { 0o755 } else { 0o644 }
}

/// A label that ends in `/` is the directory that the file lands in, under its own name.
fn target_of(block: &FileBlock, path: &str) -> String {
    let label = &block.path.value;
    match label.ends_with('/') {
        true => format!("{label}{}", path.rsplit('/').next().unwrap_or(path)),
        false => label.clone(),
    }
}

fn owner(block: &FileBlock) -> Owner {
    block.owner.clone().unwrap_or(Owner { uid: Id::Number(0), gid: Id::Number(0) })
}
