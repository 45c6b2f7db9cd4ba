//! The `file` blocks of a definition, lowered to one copy: which files of the context they mean, hashed.
//!
//! What lies in tarballs isn't looked at; their members are found when they are copied.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;

use super::{declared, origin_of, origin_of_vcs};
use crate::bom;
use crate::build::context::Context;
use crate::build::definition::{
    Container, Definition, Diagnostics, FileBlock, FileOrigin, Id, Owner, Spanned,
};
use crate::build::graph::{
    CopiedDirectory, CopiedFile, CopiedLink, CopiedTree, Copy, Graph, Op, Origin, Source, SourceFile,
    VertexId,
};
use crate::build::lock::{InvalidLock, PlatformLock};
use crate::build::selection::Selection;

/// Adds the copy of all `file` blocks to the graph.
///
/// # Errors
/// When the context lacks what a block names, or nobody says where a tarball's member comes from.
pub(super) fn files(
    definition: &Definition,
    lock: &PlatformLock,
    context: &Context,
    graph: &mut Graph,
    top: VertexId,
) -> Result<VertexId> {
    let mut copying = Copying { definition, lock, context, mounts: Mounts::default(), copy: Copy::default() };
    for file in &definition.image.files {
        copying.file(file)?;
    }
    let Copying { mounts, mut copy, .. } = copying;
    copy.keys = mounts.keys(lock);
    copy.files.sort_by(|a, b| a.target.cmp(&b.target));
    // Of two blocks that make the same directory the first one has a say.
    copy.directories.sort_by(|a, b| a.target.cmp(&b.target));
    copy.links.sort_by(|a, b| a.target.cmp(&b.target));
    let mounts = mounts.sources.into_iter().map(|source| graph.add(Op::Source(source), None, vec![]));
    let mounts = mounts.collect();
    Ok(graph.add(Op::Copy(copy), Some(top), mounts))
}

/// The files of the context that are needed, each once.
#[derive(Default)]
struct Mounts {
    sources: Vec<Source>,
    places: BTreeMap<String, (usize, bool)>,
}

impl Mounts {
    /// Returns the mount of a package's archive.
    fn package(&mut self, name: &str, lock: &PlatformLock) -> Result<usize> {
        let found = lock.all_packages().find(|package| package.name == name);
        let package = found.ok_or_else(|| {
            InvalidLock::Unfit(vec![format!("it does not hold package {name}, which files are taken from")])
        })?;
        let path = format!("{} {}", package.name, package.version);
        let is_same = |source: &Source| source.package.as_deref() == Some(package);
        if let Some(mount) = self.sources.iter().position(is_same) {
            return Ok(mount);
        }
        let files = vec![SourceFile { path: path.clone(), digest: package.sha256, size: package.size }];
        Ok(self.add(Source { path, package: Some(Box::new(package.clone())), files }))
    }

    /// Returns the keys that vouch for the packages among them.
    fn keys(&self, lock: &PlatformLock) -> Vec<bom::Key> {
        let packages = self.sources.iter().filter_map(|source| source.package.as_ref());
        let signers: BTreeSet<&String> = packages.flat_map(|package| &package.signed_by).collect();
        lock.keys.iter().filter(|key| signers.contains(&key.fingerprint)).cloned().collect()
    }

    fn add(&mut self, source: Source) -> usize {
        self.sources.push(source);
        self.sources.len() - 1
    }

    /// Returns the mount of a single file, and whether somebody may execute it.
    fn single(&mut self, path: &str, context: &Context) -> Result<(usize, bool)> {
        if let Some(&place) = self.places.get(path) {
            return Ok(place);
        }
        let (file, is_executable) = context.source(path)?;
        let mount = self.add(Source { path: path.to_owned(), package: None, files: vec![file] });
        self.places.insert(path.to_owned(), (mount, is_executable));
        Ok((mount, is_executable))
    }
}

/// A tarball or a package that members are taken out of.
struct Archive {
    mount: usize,
    /// Where it is in the context; empty of a package.
    context_path: String,
}

struct Copying<'a> {
    definition: &'a Definition,
    lock: &'a PlatformLock,
    context: &'a Context,
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
            // Refused before: see `refusals`.
            FileOrigin::Step { .. } | FileOrigin::Image { .. } => Ok(()),
            FileOrigin::Package { package, path } => self.of_package(block, package, path),
        }
    }

    /// A package is read like a tarball, and says itself where its members come from.
    fn of_package(&mut self, block: &FileBlock, package: &str, path: &str) -> Result<()> {
        let mount = self.mounts.package(package, self.lock)?;
        let git = declared(&self.definition.image.apt, self.lock).remove(package);
        let origin = Origin { git, url: None };
        let path = path.trim_start_matches('/');
        let path = if path.is_empty() { "." } else { path };
        let archive = Archive { mount, context_path: String::new() };
        match Selection::of(path)? {
            None => self.take_file(block, archive, path, origin),
            Some(_) => self.take_tree(block, archive, path, vec![("**".into(), origin)]),
        }
        Ok(())
    }

    fn context_file(&mut self, block: &FileBlock, path: &str, origin: Origin) -> Result<()> {
        let (mount, is_executable) = self.mounts.single(path, self.context)?;
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
        let tree = self.context.tree(selection)?;
        let top = block.path.value.trim_end_matches('/');
        let target = |below: &str| format!("{top}/{below}");
        let hashed: Vec<(SourceFile, bool)> =
            tree.files.iter().map(|(_, path)| self.context.source(path)).collect::<Result<_>>()?;
        let mount = self.mounts.sources.len();
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
        self.mounts.add(Source { path: selection.as_str().to_owned(), package: None, files });
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
        let (mount, _) = self.mounts.single(tarball, self.context)?;
        let archive = Archive { mount, context_path: tarball.value.clone() };
        self.take_file(block, archive, path, origin_of(origin));
        Ok(())
    }

    fn members(&mut self, block: &FileBlock, tarball: &Spanned<String>, path: &str) -> Result<()> {
        let (mount, _) = self.mounts.single(tarball, self.context)?;
        let declared = self.definition.tarball(tarball).map_or(&[][..], |tarball| &tarball.source_files);
        let origins = declared.iter();
        let origins =
            origins.map(|source| (source.pattern.value.as_str().to_owned(), origin_of(&source.origin)));
        let archive = Archive { mount, context_path: tarball.value.clone() };
        self.take_tree(block, archive, path, origins.collect());
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
