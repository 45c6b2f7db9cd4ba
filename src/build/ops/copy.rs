//! Files put into the root: from the context, out of a tarball of it, out of a package, a step or another image; one by
//! one, or whole directories.
//!
//! The root itself isn't needed, only its [`Skeleton`]: where a path leads, which directories must be made on the
//! way, and who an owner's name is. What is held in memory grows with the number of entries, not with their bytes.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, anyhow, bail};

use super::chown;
use super::content::Content;
use super::copyrights;
use super::install;
use super::landing::Landing;
use super::members::{FileId, Member, Members, Wanted};
use super::paths::Paths;
use super::roots::{self, NotTaken};
use super::sha512;
use super::tarball;
use crate::bom::{self, AddedPackage, BomDelta, FileSource, Origin as Belongs};
use crate::build::context::Context;
use crate::build::definition::Glob;
use crate::build::graph::{CopiedFile, CopiedRoot, CopiedTree, Copy, Delta, Origin, Source, SourceFile};
use crate::build::lock::LockedPackage;
use crate::build::selection::Selection;
use crate::layer::{Entry, Kind, LayerWriter, Skeleton, Stack};
use crate::oci::Layer;
use crate::store::{Scratch, Store};

/// What a copy has at hand.
pub struct Site<'a> {
    /// What the vertex's mounts yielded.
    pub mounts: &'a [Mount<'a>],
    /// Where their bytes are.
    pub context: &'a Context,
    /// The root that the files land in.
    pub root: &'a Skeleton,
    /// Holds what is taken out of tarballs.
    pub scratch: &'a Scratch,
    /// Holds the archives of packages.
    pub store: &'a Store,
    /// Shows layers as one root.
    pub stack: &'a dyn Fn(&[Layer]) -> Result<Stack>,
}

/// What a mount yielded.
#[derive(Clone, Copy)]
pub enum Mount<'a> {
    /// Files of the context, or a package.
    Source(&'a Source),
    /// What a step leaves, or another image.
    Root {
        /// Its layers, lowest first.
        layers: &'a [Layer],
        /// What the account says of it.
        said: &'a CopiedRoot,
    },
}

impl<'a> Mount<'a> {
    /// Returns the package that it is, if it is one.
    pub fn package(&self) -> Option<&'a LockedPackage> {
        match self {
            Mount::Source(source) => source.package.as_deref(),
            Mount::Root { .. } => None,
        }
    }

    fn source(&self) -> Result<&'a Source> {
        match self {
            Mount::Source(source) => Ok(source),
            Mount::Root { .. } => bail!("internal error: a file was expected"),
        }
    }

    /// Returns an error with what it is that `path` can't be taken out of.
    fn unreadable(&self, path: &str, error: anyhow::Error) -> anyhow::Error {
        match self {
            Mount::Source(source) => error.context(format!("cannot read {}", shown(source))),
            Mount::Root { said, .. } => NotTaken::new(said, path, &error).into(),
        }
    }
}

/// Puts the files into a layer.
pub fn copy(copy: &Copy, site: &Site<'_>, mut writer: LayerWriter) -> Result<Delta> {
    let pieces = pieces(copy, site)?;
    let mut landing = Landing::new(site.root);
    let opened_packages = opened(copy, site);
    let mut bom = BomDelta { keys: copy.keys.clone(), opened_packages, ..BomDelta::default() };
    sha512::add(&mut bom.opened_packages, site.store)?;
    copyrights::add_opened(&mut bom, site.store)?;
    let mut paths = Paths::default();
    for (index, piece) in pieces.iter().enumerate() {
        match &piece.what {
            What::Directory => landing.place_directory(&piece.target, piece.entry())?,
            What::Link(_) => {
                let path = landing.place(&piece.target, piece.entry())?;
                paths.put_shown(&path, Belongs::Symlink);
                bom.removed_paths.push(path);
            }
            What::File(file) => {
                let path = landing.place_file(index, &piece.target, piece.entry())?;
                bom.removed_paths.push(path.clone());
                paths.put_shown(&path, Belongs::File);
                bom.files.push(file.account(path, piece.mode));
            }
        }
    }
    landing.directories().for_each(|path| paths.put(path, Belongs::Directory));
    write(&landing, &pieces, site.context, &mut writer)?;
    let packed = writer.finish()?;
    paths.delta(packed, bom)
}

/// Returns the account of the packages that files are taken from.
fn opened(copy: &Copy, site: &Site<'_>) -> Vec<AddedPackage> {
    let packages = site.mounts.iter().enumerate();
    let packages = packages.filter_map(|(index, mount)| Some((index, mount.package()?)));
    let opened = packages.map(|(mount, package)| {
        let files = copy.files.iter().filter(|file| file.mount == mount).map(|file| &file.origin);
        let trees = copy.trees.iter().filter(|tree| tree.mount == mount);
        let trees = trees.flat_map(|tree| tree.origins.iter().map(|(_, origin)| origin));
        let declared = files.chain(trees).find_map(|origin| origin.git.as_ref());
        install::added(package, declared)
    });
    opened.collect()
}

/// Of a file with several names the first is the file, the others are hard links to it.
fn write(landing: &Landing<'_>, pieces: &[Piece], context: &Context, writer: &mut LayerWriter) -> Result<()> {
    let mut first_names: BTreeMap<Identity, Vec<u8>> = BTreeMap::new();
    for (index, entry) in landing.entries() {
        let piece = index.map(|index| &pieces[index]);
        let Some((piece, file)) = piece.and_then(|piece| Some((piece, piece.file()?))) else {
            writer.entry(entry, &mut std::io::empty())?;
            continue;
        };
        let identity = file.shared.map(|(mount, id)| (mount, id, piece.mode, piece.owner));
        if let Some(target) = identity.as_ref().and_then(|identity| first_names.get(identity)) {
            let link = Entry { kind: Kind::Hardlink { target: target.clone() }, ..entry.clone() };
            writer.entry(&link, &mut std::io::empty())?;
            continue;
        }
        first_names.extend(identity.map(|identity| (identity, entry.path.clone())));
        file.content.write(entry, context, writer)?;
    }
    Ok(())
}

/// A mount and a file in it, mode and owner: what names of one file have in common.
type Identity = (usize, FileId, u32, (u32, u32));

/// What is to be put at a place.
struct Piece {
    target: String,
    mode: u32,
    owner: (u32, u32),
    what: What,
}

enum What {
    Directory,
    Link(String),
    File(Box<FilePiece>),
}

struct FilePiece {
    content: Content,
    /// The mount and which file of it this is, if that has several names.
    shared: Option<(usize, FileId)>,
    source: FileSource,
}

impl Piece {
    fn entry(&self) -> Entry {
        let mut entry = match &self.what {
            What::Directory => Entry::directory(Vec::new(), self.mode),
            What::Link(leads_to) => Entry::symlink(Vec::new(), leads_to.as_bytes()),
            What::File(file) => Entry::file(Vec::new(), self.mode, file.content.size),
        };
        (entry.metadata.uid, entry.metadata.gid) = self.owner;
        entry.metadata.mtime = match &self.what {
            What::File(file) => file.content.mtime,
            What::Link(_) | What::Directory => i64::MAX,
        };
        entry
    }

    fn file(&self) -> Option<&FilePiece> {
        match &self.what {
            What::File(file) => Some(file),
            What::Directory | What::Link(_) => None,
        }
    }

    /// Directories come first, so that what lies in them finds them.
    fn order(&self) -> (u8, &str) {
        let rank = match &self.what {
            What::Directory => 0,
            What::Link(_) => 1,
            What::File(_) => 2,
        };
        (rank, &self.target)
    }
}

impl FilePiece {
    fn account(&self, path: String, mode: u32) -> bom::File {
        bom::File {
            path,
            digest: self.content.digest,
            size: self.content.size,
            mode: format!("{mode:04o}"),
            source: self.source.clone(),
        }
    }
}

fn pieces(copy: &Copy, site: &Site<'_>) -> Result<Vec<Piece>> {
    let mut pieces = Vec::new();
    for directory in &copy.directories {
        let owner = chown::ids_of(&directory.owner, site.root)?;
        let target = directory.target.clone();
        pieces.push(Piece { target, mode: 0o755, owner, what: What::Directory });
    }
    for link in &copy.links {
        let owner = chown::ids_of(&link.owner, site.root)?;
        let what = What::Link(link.leads_to.clone());
        pieces.push(Piece { target: link.target.clone(), mode: 0o777, owner, what });
    }
    for mount in 0..site.mounts.len() {
        let members = members(copy, mount, site)?;
        for file in copy.files.iter().filter(|file| file.mount == mount) {
            pieces.push(single(file, &members, site)?);
        }
        for tree in copy.trees.iter().filter(|tree| tree.mount == mount) {
            pieces.extend(whole(tree, &members, site)?);
        }
    }
    pieces.sort_by(|a, b| a.order().cmp(&b.order()));
    Ok(pieces)
}

/// Reads a mount once, unless it is files of the context.
fn members(copy: &Copy, mount: usize, site: &Site<'_>) -> Result<Option<Members>> {
    let names = copy.files.iter().filter(|file| file.mount == mount).filter_map(|file| file.member.as_ref());
    let names = names.map(|name| tarball::plain(name)).collect();
    let trees = copy.trees.iter().filter(|tree| tree.mount == mount);
    let selections = trees.map(selection).collect::<Result<Vec<_>>>()?;
    let wanted = Wanted { names, selections };
    if wanted.names.is_empty() && wanted.selections.is_empty() {
        return Ok(None);
    }
    let named = match site.mounts[mount] {
        Mount::Source(source) => source,
        Mount::Root { layers, said } => {
            return Ok(Some(roots::take(said, (site.stack)(layers)?, &wanted)?));
        }
    };
    // Tarballs of one copy share the scratch directory.
    let spools = tempfile::Builder::new().prefix("tarball-").tempdir_in(site.scratch.path())?;
    let taken = match &named.package {
        Some(package) => tarball::take_of_package(package, &wanted, site.store, spools.path()),
        None => tarball::take(file_of(named, 0)?, &wanted, site.context, spools.path()),
    };
    taken.map(Some).with_context(|| format!("cannot read {}", shown(named)))
}

/// A tarball or package, for people.
fn shown(source: &Source) -> String {
    let kind = if source.package.is_some() { "package" } else { "tarball" };
    format!("{kind} {}", source.path)
}

fn selection(tree: &CopiedTree) -> Result<Selection> {
    Selection::of(&tree.path)?.ok_or_else(|| anyhow!("internal error: {} names a single file", tree.path))
}

fn file_of(source: &Source, nth: usize) -> Result<&SourceFile> {
    source.files.get(nth).ok_or_else(|| anyhow!("internal error: {} has no file {nth}", source.path))
}

fn single(file: &CopiedFile, members: &Option<Members>, site: &Site<'_>) -> Result<Piece> {
    let mount = site.mounts[file.mount];
    let content = match (&file.member, members) {
        (None, _) => Content::of_context(file_of(mount.source()?, file.nth)?),
        (Some(member), Some(members)) => {
            let found = members.file(&tarball::plain(member));
            found.map_err(|error| mount.unreadable(member, error))?.clone()
        }
        (Some(member), None) => bail!("internal error: nothing was read to find {member}"),
    };
    let what = FilePiece {
        source: account_of(&file.origin, &file.context_path, file.member.as_deref(), mount)?,
        shared: None,
        content,
    };
    Ok(Piece {
        target: file.target.clone(),
        mode: file.mode.unwrap_or(what.content.mode),
        owner: chown::ids_of(&file.owner, site.root)?,
        what: What::File(Box::new(what)),
    })
}

/// Returns what is taken out of a tarball, package or root by directory or pattern.
fn whole(tree: &CopiedTree, members: &Option<Members>, site: &Site<'_>) -> Result<Vec<Piece>> {
    let members = members.as_ref().ok_or_else(|| anyhow!("internal error: it was not read"))?;
    let mount = site.mounts[tree.mount];
    let failed = |error| mount.unreadable(&tree.path, error);
    let selected = members.selected(&selection(tree)?).map_err(failed)?;
    let owner = chown::ids_of(&tree.owner, site.root)?;
    let origins = Origins::of(tree, &mount)?;
    let top = tree.target.trim_end_matches('/');
    let mut pieces = vec![Piece { target: tree.target.clone(), mode: 0o755, owner, what: What::Directory }];
    for (name, below, member) in selected {
        let target = format!("{top}/{below}");
        let piece = match member {
            Member::Directory(mode) => Piece { target, mode, owner, what: What::Directory },
            Member::Link(leads_to) => Piece { target, mode: 0o777, owner, what: What::Link(leads_to) },
            Member::File(content) => {
                let shared = members.identity(name).map(|id| (tree.mount, id));
                let origin = origins.find(name).map_err(failed)?;
                let source = account_of(origin, &tree.context_path, Some(name), mount)?;
                let mode = tree.mode.unwrap_or(content.mode);
                let what = What::File(Box::new(FilePiece { content, shared, source }));
                Piece { target, mode, owner, what }
            }
            Member::Hardlink(_) | Member::Special => bail!("internal error: {name} was let through"),
        };
        pieces.push(piece);
    }
    Ok(pieces)
}

/// The origins declared for the members of a tarball or the files of a step.
struct Origins<'a> {
    by_pattern: Vec<(Glob, &'a Origin)>,
    /// The block that declares them.
    block: String,
    /// Whether their paths are absolute.
    is_root: bool,
}

impl<'a> Origins<'a> {
    fn of(tree: &'a CopiedTree, mount: &Mount<'_>) -> Result<Origins<'a>> {
        let by_pattern = tree.origins.iter().map(|(pattern, origin)| Ok((Glob::new(pattern)?, origin)));
        let (is_root, block) = match mount {
            Mount::Root { said: CopiedRoot::Step(step), .. } => (true, format!("step \"{}\"", step.name)),
            Mount::Root { said: CopiedRoot::Image { name, .. }, .. } => (true, format!("image \"{name}\"")),
            Mount::Source(_) => (false, format!("tarball \"{}\"", tree.context_path)),
        };
        Ok(Origins { by_pattern: by_pattern.collect::<Result<_>>()?, block, is_root })
    }

    fn find(&self, member: &str) -> Result<&'a Origin> {
        let path = if self.is_root { format!("/{member}") } else { member.to_owned() };
        let found = self.by_pattern.iter().find(|(pattern, _)| pattern.matches(&path));
        found.map(|(_, origin)| *origin).ok_or_else(|| {
            let what = if self.is_root { "its file" } else { "its member" };
            anyhow!(
                "nobody says where {what} {path} comes from\nhint: in {}, write: source_file \"{path}\" {{ vcs \"git\" {{ repository = \"…\" ref = \"…\" }} }}",
                self.block
            )
        })
    }
}

fn account_of(
    origin: &Origin,
    context_path: &str,
    member: Option<&str>,
    mount: Mount<'_>,
) -> Result<FileSource> {
    let source = match mount {
        Mount::Source(source) => source,
        Mount::Root { said, .. } => return Ok(account_of_root(origin, said, member.unwrap_or_default())),
    };
    if let (Some(package), Some(member)) = (&source.package, member) {
        let taken = bom::PackageFile {
            name: package.name.clone(),
            version: package.version.clone(),
            uri: package.uri.clone(),
            digest: package.sha256,
            member: member.to_owned(),
        };
        return Ok(FileSource { package: Some(Box::new(taken)), ..FileSource::default() });
    }
    let file = file_of(source, 0)?;
    let is_unversioned = origin.git.is_none() && origin.url.is_none();
    let context = bom::ContextFile {
        path: context_path.to_owned(),
        unversioned: is_unversioned,
        ..bom::ContextFile::default()
    };
    let tarball = member.map(|member| bom::Tarball {
        name: context_path.to_owned(),
        digest: file.digest,
        member: member.to_owned(),
    });
    Ok(FileSource {
        git: origin.git.clone().map(Box::new),
        url: origin.url.clone().map(Box::new),
        context: tarball.is_none().then_some(context).map(Box::new),
        tarball: tarball.map(Box::new),
        ..FileSource::default()
    })
}

fn account_of_root(origin: &Origin, root: &CopiedRoot, member: &str) -> FileSource {
    let path = format!("/{member}");
    let (git, url) = (origin.git.clone().map(Box::new), origin.url.clone().map(Box::new));
    match root {
        CopiedRoot::Step(step) => {
            let step = bom::StepFile { step: step.clone(), path };
            FileSource { git, url, step: Some(Box::new(step)), ..FileSource::default() }
        }
        CopiedRoot::Image { canonical_name, .. } => {
            let image = bom::ImageFile { name: canonical_name.clone(), path };
            FileSource { image: Some(Box::new(image)), ..FileSource::default() }
        }
    }
}
