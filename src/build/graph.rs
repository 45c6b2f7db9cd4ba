//! The build graph: what is done, on top of what, with what at hand.
//!
//! Plain data. A vertex names only earlier ones, so no cycle can be written, and nothing in it
//! names a path of the machine it was made on. What a vertex yields is decided by
//! [`Executor`](super::solve::Executor)s; in what order, by [`solve`](super::solve::solve).

mod account;
mod instruction;

pub use instruction::{
    ContextEntry, ContextKind, ContextTree, Download, GitDir, Instruction, Repository, Run, RunMount,
    RunMountKind, SecretVariable, Settle, Sharing, Transfer, TransferSource, Workdir,
};

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::bom::{Bom, BomDelta, Git, Url};
use crate::digest::Digest;
use crate::layer::{Compression, Packed, Skeleton, SkeletonDelta};
use crate::oci::{ContainerConfig, History, Image, Layer, Platform, canonical_json};

use super::definition::Owner;
use super::lock::{LockedPackage, LockedSource};

/// Raised when the bytes or the account that a vertex yields may change: what older builders kept is not used then.
pub const RECIPE: u32 = 9;

/// The place of a vertex in its graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct VertexId(usize);

impl VertexId {
    /// Returns the number under which people see it.
    pub fn index(self) -> usize {
        self.0
    }
}

/// What a vertex does. Closed on purpose: a new kind is thought through everywhere.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum Op {
    /// Begins with nothing.
    Scratch,
    /// Begins with an image from a registry.
    Pull(Pull),
    /// Names files of the context, or a package that isn't installed.
    Source(Source),
    /// Installs Debian packages.
    Install(Install),
    /// Puts files into the root.
    Copy(Copy),
    /// Makes users and links, and removes paths.
    Change(Change),
    /// Says how a container is started.
    Configure(Configure),
    /// Names entries of the context, as a Dockerfile's instructions mean them.
    Context(ContextTree),
    /// Names a file from afar.
    Download(Download),
    /// Fetches a commit of a git repository.
    Repository(Repository),
    /// Says what the whole configuration is, as a Dockerfile's instruction left it.
    Settle(Settle),
    /// Makes a working directory.
    Workdir(Workdir),
    /// Puts files into the root, as `COPY` and `ADD` do.
    Transfer(Transfer),
    /// Runs a command.
    Run(Run),
}

impl Op {
    /// Returns the configuration that the operation leaves, where it is known before anything is done.
    pub fn config(&self) -> Option<&ContainerConfig> {
        match self {
            Op::Settle(Settle { config, .. }) | Op::Workdir(Workdir { config, .. }) => Some(config),
            Op::Scratch
            | Op::Pull(_)
            | Op::Source(_)
            | Op::Install(_)
            | Op::Copy(_)
            | Op::Change(_)
            | Op::Configure(_)
            | Op::Context(_)
            | Op::Download(_)
            | Op::Repository(_)
            | Op::Transfer(_)
            | Op::Run(_) => None,
        }
    }
}

/// Begins with an image from a registry.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Pull {
    /// The image's full name as the definition writes it, without a digest.
    pub name: String,
    /// The digest of its manifest for the platform.
    pub digest: Digest,
    /// What its packages were built from, where that is recorded.
    pub sources: Vec<LockedSource>,
}

/// Files of the context, whose key is their content alone; or the archive of a package, as the lock pins it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Source {
    /// What was named, relative to the context: a file, a directory, a pattern; or the package.
    pub path: String,
    /// The package whose archive it is, where it isn't of the context.
    pub package: Option<Box<LockedPackage>>,
    /// The files that this means, sorted by path.
    pub files: Vec<SourceFile>,
}

/// A file of the context.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SourceFile {
    /// Its path, relative to the context.
    pub path: String,
    /// The digest of its bytes.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
}

/// Installs Debian packages.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Install {
    /// In the order of the lock.
    pub packages: Vec<LockedPackage>,
    /// The names that were asked for; the others came along.
    pub requested: Vec<String>,
    /// The keys that vouch for them.
    pub keys: Vec<crate::bom::Key>,
    /// The sources that are declared by hand, by the package's name.
    pub declared: BTreeMap<String, Git>,
    /// The packages of the base that go, by name.
    pub remove: Vec<String>,
    /// Answers to the questions that packages ask.
    pub debconf: BTreeMap<String, String>,
    /// What their scripts run beside, where the Essential packages are no part of the image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub beside: Option<Vec<LockedPackage>>,
}

/// Puts files into the root.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Copy {
    /// Single files, of the context or of a tarball, sorted by target.
    pub files: Vec<CopiedFile>,
    /// Directories of the context, sorted by target.
    pub directories: Vec<CopiedDirectory>,
    /// Links of the context, sorted by target.
    pub links: Vec<CopiedLink>,
    /// What is taken out of tarballs and packages by directory or pattern.
    pub trees: Vec<CopiedTree>,
    /// The keys that vouch for the packages.
    pub keys: Vec<crate::bom::Key>,
    /// Which of the vertex's mounts are whole roots, and what the account says of them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub roots: BTreeMap<usize, CopiedRoot>,
}

/// A root that files are taken out of.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum CopiedRoot {
    /// What a step of the definition leaves.
    Step(crate::bom::Step),
    /// Another image: its name, and that with its digest.
    Image {
        /// As the definition writes it.
        name: String,
        /// For the account.
        canonical_name: String,
    },
}

/// A file to put into the root.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CopiedFile {
    /// Where to: an absolute path in the image.
    pub target: String,
    /// Which of the vertex's mounts it comes from.
    pub mount: usize,
    /// Which of the mount's files it is.
    pub nth: usize,
    /// The member of that file, which is a tarball or a package then; or the path in the root that the mount is.
    pub member: Option<String>,
    /// Its permissions; absent: those that it has there.
    pub mode: Option<u32>,
    /// User and group.
    pub owner: Owner,
    /// The origin that the definition declares.
    pub origin: Origin,
    /// The path in the context, for the account.
    pub context_path: String,
}

/// A directory to put into the root, where there is none.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CopiedDirectory {
    /// Where to: an absolute path in the image.
    pub target: String,
    /// User and group.
    pub owner: Owner,
}

/// A symbolic link to put into the root.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CopiedLink {
    /// Where to: an absolute path in the image.
    pub target: String,
    /// What it says.
    pub leads_to: String,
    /// User and group.
    pub owner: Owner,
}

/// A directory of a tarball, package or root, or what in it matches a pattern.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CopiedTree {
    /// The directory of the image that it lands in.
    pub target: String,
    /// Which of the vertex's mounts that is.
    pub mount: usize,
    /// The directory or pattern.
    pub path: String,
    /// The permissions of its files; absent: those that they have there.
    pub mode: Option<u32>,
    /// User and group of all of it.
    pub owner: Owner,
    /// The origins that the definition declares: by pattern, the first that matches counts.
    pub origins: Vec<(String, Origin)>,
    /// The tarball's path in the context.
    pub context_path: String,
}

/// What a file was made from, as the definition declares it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Origin {
    /// A commit.
    pub git: Option<Git>,
    /// An address.
    pub url: Option<Url>,
}

/// Makes users and links, and removes paths.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum Change {
    /// Users, in the order in which they get their numbers.
    Users(Vec<NewUser>),
    /// Symbolic links: path and target.
    Symlinks(Vec<(String, String)>),
    /// Paths and patterns of what is taken away.
    Remove(Vec<String>),
}

/// A user to be made.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NewUser {
    /// Its name.
    pub name: String,
    /// Its number; the next free one without.
    pub uid: Option<u32>,
    /// Its primary group's number; the same as its own without.
    pub gid: Option<u32>,
    /// Its home directory.
    pub home: Option<String>,
}

/// Says how a container is started; what is absent is inherited.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Configure {
    /// Variables in order; `$NAME` stands for the value inherited.
    pub env: Vec<(String, String)>,
    /// What is started.
    pub entrypoint: Option<Vec<String>>,
    /// Its default arguments.
    pub cmd: Option<Vec<String>>,
    /// Paths that are volumes.
    pub volumes: Vec<String>,
    /// Ports, as `8080/tcp`.
    pub ports: Vec<String>,
    /// Labels.
    pub labels: Vec<(String, String)>,
    /// The signal that asks it to stop.
    pub stop_signal: Option<String>,
    /// User and group.
    pub user: Option<String>,
    /// Where it starts.
    pub working_dir: Option<String>,
}

/// A step of the build.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Vertex {
    /// What it does.
    pub op: Op,
    /// The in-tree edge: its file system is continued.
    pub parent: Option<VertexId>,
    /// Out of tree: read, never inherited.
    pub mounts: Vec<VertexId>,
}

/// The steps of a build, each after those it needs; the last one is the image.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Graph {
    /// Whom it is for.
    pub platform: Platform,
    /// The latest time that may stand in a layer, in seconds since 1970.
    pub epoch: i64,
    /// How layers are compressed.
    pub compression: Compression,
    vertices: Vec<Vertex>,
}

impl Graph {
    /// Returns a graph without vertices.
    pub fn new(platform: Platform, epoch: i64) -> Graph {
        Graph { platform, epoch, compression: Compression::default(), vertices: Vec::new() }
    }

    /// Returns the same graph, whose layers are compressed like this.
    pub fn compressed(self, compression: Compression) -> Graph {
        Graph { compression, ..self }
    }

    /// Adds a vertex; those it names are there already, since nobody else hands out their names.
    pub fn add(&mut self, op: Op, parent: Option<VertexId>, mounts: Vec<VertexId>) -> VertexId {
        debug_assert!(parent.iter().chain(&mounts).all(|id| id.0 < self.vertices.len()));
        self.vertices.push(Vertex { op, parent, mounts });
        VertexId(self.vertices.len() - 1)
    }

    /// Adds a vertex, unless there is one that is the same.
    pub fn add_once(&mut self, op: Op, parent: Option<VertexId>, mounts: Vec<VertexId>) -> VertexId {
        let vertex = Vertex { op, parent, mounts };
        let known = self.vertices.iter().position(|known| {
            (known.parent, &known.mounts) == (vertex.parent, &vertex.mounts) && known.op == vertex.op
        });
        match known {
            Some(index) => VertexId(index),
            None => self.add(vertex.op, vertex.parent, vertex.mounts),
        }
    }

    /// Returns a vertex and all that it needs, in the order of the graph.
    pub fn needed(&self, id: VertexId) -> impl Iterator<Item = &Vertex> {
        self.needed_ids(id).into_iter().map(|id| self.vertex(id))
    }

    fn needed_ids(&self, id: VertexId) -> BTreeSet<VertexId> {
        let mut needed = BTreeSet::new();
        let mut waiting = vec![id];
        while let Some(id) = waiting.pop() {
            if needed.insert(id) {
                let vertex = self.vertex(id);
                waiting.extend(vertex.parent.iter().chain(&vertex.mounts));
            }
        }
        needed
    }

    /// Returns the vertices, each after those it needs.
    pub fn vertices(&self) -> impl Iterator<Item = (VertexId, &Vertex)> {
        self.vertices.iter().enumerate().map(|(index, vertex)| (VertexId(index), vertex))
    }

    /// Whether it runs commands of somebody's.
    pub fn runs_commands(&self) -> bool {
        self.vertices.iter().any(|vertex| matches!(vertex.op, Op::Run(_)))
    }

    /// Returns a vertex.
    pub fn vertex(&self, id: VertexId) -> &Vertex {
        &self.vertices[id.0]
    }

    /// Returns the keys of all vertices, by their place.
    ///
    /// A key is made of all that decides what a vertex yields: what it does, its parent's key, its
    /// mounts' keys, the platform, the epoch, the compression and the [`RECIPE`].
    pub fn keys(&self) -> Vec<Digest> {
        let mut keys: Vec<Digest> = Vec::with_capacity(self.vertices.len());
        for vertex in &self.vertices {
            let key = match &vertex.op {
                Op::Source(source) => source.digest(),
                Op::Context(tree) => Digest::of(canonical_json(&tree.entries)),
                Op::Scratch
                | Op::Pull(_)
                | Op::Install(_)
                | Op::Copy(_)
                | Op::Change(_)
                | Op::Configure(_)
                | Op::Download(_)
                | Op::Repository(_)
                | Op::Settle(_)
                | Op::Workdir(_)
                | Op::Transfer(_)
                | Op::Run(_) => self.key(vertex, &keys),
            };
            keys.push(key);
        }
        keys
    }

    fn key(&self, vertex: &Vertex, earlier: &[Digest]) -> Digest {
        let parent = vertex.parent.map(|id| earlier[id.0]);
        let mounts: Vec<Digest> = vertex.mounts.iter().map(|id| earlier[id.0]).collect();
        let around = (RECIPE, &self.platform, self.epoch, self.compression);
        Digest::of(canonical_json(&(around, &vertex.op, parent, mounts)))
    }
}

impl Vertex {
    /// Returns what the vertex does, in a few words.
    pub fn title(&self) -> String {
        match &self.op {
            Op::Scratch => "scratch".into(),
            Op::Pull(pull) => format!("base {}@sha256:{}", pull.name, pull.digest.short()),
            Op::Source(source) => match source.files.len() {
                1 if source.package.is_some() => format!("package {}", source.path),
                1 => format!("context {}", source.path),
                n_files => format!("context {} ({n_files} files)", source.path),
            },
            Op::Install(install) => install.title(),
            Op::Copy(copy) => {
                format!("copy {}", abridged(&copy.targets()))
            }
            Op::Change(Change::Users(users)) => {
                let names: Vec<String> = users.iter().map(|user| user.name.clone()).collect();
                format!("make user {}", abridged(&names))
            }
            Op::Change(Change::Remove(paths)) => format!("remove {}", abridged(paths)),
            Op::Change(Change::Symlinks(links)) => {
                let paths: Vec<String> = links.iter().map(|(path, _)| path.clone()).collect();
                format!("link {}", abridged(&paths))
            }
            Op::Configure(_) => "configure".into(),
            Op::Context(tree) => format!("context {} ({} entries)", tree.name, tree.entries.len()),
            Op::Download(download) => format!("download {}", download.uri),
            Op::Repository(Repository { uri, reference, commit, .. }) => {
                format!("fetch {uri}#{reference} at {commit}")
            }
            Op::Settle(_) | Op::Workdir(_) | Op::Transfer(_) | Op::Run(_) => {
                self.instruction().map(Instruction::title).unwrap_or_default()
            }
        }
    }

    /// Returns what is told first when it fails.
    pub fn failed(&self) -> String {
        match self.instruction() {
            Some(said) => format!("{}:{}: cannot {}", said.file, said.line, self.title()),
            None => format!("cannot {}", self.title()),
        }
    }

    fn instruction(&self) -> Option<&Instruction> {
        match &self.op {
            Op::Settle(Settle { instruction, .. })
            | Op::Workdir(Workdir { instruction, .. })
            | Op::Transfer(Transfer { instruction, .. })
            | Op::Run(Run { instruction, .. }) => Some(instruction),
            _ => None,
        }
    }
}

impl Install {
    fn title(&self) -> String {
        let n_packages = self.packages.len();
        let gone = match self.remove.as_slice() {
            [] => String::new(),
            names => format!("remove package {}", abridged(names)),
        };
        if n_packages == 0 {
            return gone;
        }
        let plural = if n_packages == 1 { "" } else { "s" };
        let come = format!("install {} ({n_packages} package{plural})", abridged(&self.requested));
        if gone.is_empty() { come } else { format!("{come}, {gone}") }
    }
}

impl Source {
    /// Returns the digest of what counts: a file's own, or one over those of several; of a package also where it comes
    /// from, which stands in the account.
    pub fn digest(&self) -> Digest {
        if let Some(package) = &self.package {
            return Digest::of(canonical_json(package));
        }
        match self.files.as_slice() {
            [file] => file.digest,
            files => Digest::of(canonical_json(&files.iter().map(|file| file.digest).collect::<Vec<_>>())),
        }
    }
}

impl Copy {
    fn targets(&self) -> Vec<String> {
        let trees = self.trees.iter().map(|tree| &tree.target);
        let directories = self.directories.iter().map(|directory| &directory.target);
        let files = self.files.iter().map(|file| &file.target);
        let links = self.links.iter().map(|link| &link.target);
        trees.chain(directories).chain(files).chain(links).cloned().collect()
    }
}

fn abridged(names: &[String]) -> String {
    const MOST: usize = 4;
    match names.len() {
        n if n > MOST => format!("{} … (+{})", names[..MOST].join(" "), n - MOST),
        _ => names.join(" "),
    }
}

/// An image and its account, grown together.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// The image so far.
    pub image: Image,
    /// Where its contents came from.
    pub bom: Bom,
    /// What a later copy must know about its root.
    pub skeleton: Skeleton,
}

/// What one vertex changes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Delta {
    /// The layer it adds, unless nothing in the root changed.
    pub layer: Option<Layer>,
    /// How that came to be.
    pub history: History,
    /// The configuration it leaves, unless that didn't change.
    pub config: Option<ContainerConfig>,
    /// Who made the image, where it says so.
    pub author: Option<String>,
    /// What it adds to the account.
    pub bom: BomDelta,
    /// What it changes in the root's directories and links.
    pub skeleton: SkeletonDelta,
}

impl Delta {
    /// Returns what a layer changes, and what was found inside its files.
    pub fn of(packed: Packed, bom: BomDelta) -> Delta {
        let Packed { layer, skeleton, found, .. } = packed;
        let incomplete = [bom.incomplete, found.incomplete].concat();
        let bom = BomDelta { components: found.components, incomplete, ..bom };
        Delta { layer: Some(layer), bom, skeleton, ..Delta::default() }
    }
}

impl Snapshot {
    /// Returns the snapshot after `delta`.
    ///
    /// # Errors
    /// When the layer's links go round in circles.
    pub fn then(mut self, delta: Delta) -> Result<Snapshot, crate::layer::Error> {
        match delta.layer {
            Some(layer) => self.image = self.image.append(layer, delta.history),
            None => self.image.config.history.push(History { empty_layer: true, ..delta.history }),
        }
        if let Some(config) = delta.config {
            self.image.config.config = config;
        }
        if let Some(author) = delta.author {
            self.image.config.rest.insert("author".into(), author.into());
        }
        self.skeleton.apply(&delta.skeleton)?;
        Ok(Snapshot { bom: self.bom.then(delta.bom), ..self })
    }
}

#[cfg(test)]
mod tests;
