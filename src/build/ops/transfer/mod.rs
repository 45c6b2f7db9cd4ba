//! Files put into the root as `COPY` and `ADD` of a Dockerfile do: from the context, out of another image, from afar,
//! or as the Dockerfile says them.
//!
//! The rules are BuildKit's: what a target means, which links are followed, whose things become, what may replace
//! what. Of the root only the [`Skeleton`] is needed, of another image the directories of its layers.

mod archive;
mod content;
mod entries;
mod image;
mod landing;
mod mode;

pub use mode::Mode;

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, anyhow, bail};

use super::known::KnownFiles;
use super::paths::Paths;
use crate::bom::{self, BomDelta, FileSource, Origin};
use crate::build::context::Context;
use crate::build::graph::{Delta, Download, Snapshot, Transfer, TransferSource};
use crate::build::solve::{Material, Yield};
use crate::build::tree::{Match, Node, Pick, Role, Step, cleaned, join, split};
use crate::layer::{Entry, Kind, LayerWriter, Metadata, Skeleton, Stack};
use crate::oci::Layer;
use crate::store::{Scratch, Store};
use content::{Bytes, File, Places};
use entries::Entries;
use landing::{Landed, Landing, Standing, shown};

/// The permissions of a file whose text stands in the Dockerfile.
const MODE_OF_TEXT: u32 = 0o644;
/// The permissions of a file from afar.
const MODE_OF_DOWNLOAD: u32 = 0o600;
/// The permissions of a directory that must be made to get somewhere.
const MODE_OF_PARENT: u32 = 0o755;

/// What a transfer has at hand.
pub struct Site<'a> {
    /// What the vertex's mounts yielded.
    pub mounts: &'a [&'a Yield],
    /// The root that things land in.
    pub root: &'a Skeleton,
    /// What is known of files in it.
    pub files: &'a KnownFiles<'a>,
    /// Where the bytes of the context are.
    pub context: &'a Context,
    /// Holds what was fetched.
    pub store: &'a Store,
    /// Holds what is taken out of tarballs.
    pub scratch: &'a Scratch,
    /// Tells what may not be meant.
    pub warn: &'a dyn Fn(&str),
    /// Shows layers as one root.
    pub stack: &'a dyn Fn(&[Layer]) -> Result<Stack>,
}

/// Puts files into a layer; where nothing changes there is none.
pub fn transfer(op: &Transfer, site: &Site<'_>, writer: &dyn Fn() -> Result<LayerWriter>) -> Result<Delta> {
    let nothing = (Skeleton::default(), KnownFiles::default());
    // What changes permissions isn't independent of what is there, BuildKit finds.
    let is_independent = op.is_link && op.mode.is_none();
    let (root, files) = if is_independent { (&nothing.0, &nothing.1) } else { (site.root, site.files) };
    let warn = |unknown| (site.warn)(&op.instruction.warning(unknown));
    let mut transferring = Transferring {
        op,
        site,
        places: Places::new(context_of(site)?, site.store),
        owner: op.owner.as_deref().map(|owner| files.ids(owner, root, &warn)).transpose()?,
        mode: op.mode.as_deref().map(Mode::parse).transpose()?,
        landing: Landing::new(root, files),
        n_taken: 0,
    };
    for source in &op.sources {
        transferring.take(source)?;
    }
    match transferring.landing.changes() {
        true => transferring.write(writer()?),
        false => Ok(Delta::default()),
    }
}

/// Returns the context that is taken from: an instruction has one at most.
fn context_of<'a>(site: &Site<'a>) -> Result<&'a Context> {
    let name = site.mounts.iter().find_map(|mount| match mount {
        Yield::Material(Material::Context(tree)) => tree.context.as_deref(),
        Yield::Material(Material::Source(_) | Material::Download(_)) | Yield::Snapshot(_) => None,
    });
    site.context.called(name)
}

/// Something that can be taken.
trait Taken: Node {
    /// Returns what a layer would say of it.
    fn entry(&self) -> Result<Entry>;
    /// Returns what its names have in common, if it is a file that has several.
    fn identity(&self) -> Option<(u64, u64)>;
    /// Returns where a file's bytes are, and where they come from.
    fn bytes(&self) -> Result<(Bytes, FileSource)>;
}

struct Transferring<'a> {
    op: &'a Transfer,
    site: &'a Site<'a>,
    places: Places<'a>,
    owner: Option<(u32, u32)>,
    mode: Option<Mode>,
    landing: Landing<'a>,
    /// How many things were taken that no hard link leads out of.
    n_taken: usize,
}

impl<'a> Transferring<'a> {
    fn take(&mut self, source: &'a TransferSource) -> Result<()> {
        match source {
            TransferSource::Path { mount, path, from } => match self.mount(*mount)? {
                Yield::Material(Material::Context(tree)) => self.take_path(path, &Entries::new(tree).top()),
                Yield::Snapshot(snapshot) => self.take_of_image(*mount, snapshot, path, from.as_deref()),
                Yield::Material(Material::Source(_) | Material::Download(_)) => {
                    bail!("internal error: a tree was expected")
                }
            },
            TransferSource::Download { mount, name, unpacks } => match self.mount(*mount)? {
                Yield::Material(Material::Download(download)) => self.take_download(name, download, *unpacks),
                Yield::Material(Material::Source(_) | Material::Context(_)) | Yield::Snapshot(_) => {
                    bail!("internal error: a download was expected")
                }
            },
            TransferSource::Repository { mount, .. } => match self.mount(*mount)? {
                Yield::Snapshot(snapshot) => self.take_of_image(*mount, snapshot, "/", None),
                Yield::Material(_) => bail!("internal error: a commit was expected"),
            },
            TransferSource::Text { name, content } => {
                let mut entry = Entry::file(Vec::new(), MODE_OF_TEXT, content.len() as u64);
                entry.metadata.mtime = i64::MAX;
                let source = FileSource { dockerfile: true, ..FileSource::default() };
                self.take_file(name, entry, Bytes::Text(content.clone()), source)
            }
        }
    }

    fn take_of_image(
        &mut self,
        mount: usize,
        snapshot: &'a Snapshot,
        path: &str,
        name: Option<&'a str>,
    ) -> Result<()> {
        if !self.places.images.contains_key(&mount) {
            self.places.images.insert(mount, (self.site.stack)(&snapshot.image.layers)?);
        }
        let root = self.places.images[&mount].root()?;
        self.take_path(path, &image::Image { mount, name, bom: &snapshot.bom }.top(root))
    }

    fn take_download(&mut self, name: &str, download: &Download, unpacks: bool) -> Result<()> {
        let bytes = Bytes::Blob(download.digest);
        let url = bom::Url { uri: download.uri.clone(), digest: download.digest };
        let source = FileSource { url: Some(Box::new(url)), ..FileSource::default() };
        if unpacks && self.unpack(name.as_bytes(), &bytes, &source)? {
            return Ok(());
        }
        let size = std::fs::metadata(self.site.store.blob_path(&download.digest))?.len();
        let mut entry = Entry::file(Vec::new(), MODE_OF_DOWNLOAD, size);
        entry.metadata.mtime = download.mtime.unwrap_or(i64::MAX);
        self.take_file(name, entry, bytes, source)
    }

    fn mount(&self, index: usize) -> Result<&'a Yield> {
        let mount = self.site.mounts.get(index).copied();
        mount.ok_or_else(|| anyhow!("internal error: there is no mount {index}"))
    }

    fn take_path<N: Taken>(&mut self, path: &str, top: &N) -> Result<()> {
        let pick = Pick::new(path, self.op.keeps_parents, &self.op.exclude)?;
        for found in pick.matches(top)?.matches {
            if self.op.unpacks && self.unpack_match(&found)? {
                continue;
            }
            self.n_taken += 1;
            let is_directory = found.node.entry()?.kind == Kind::Directory;
            let target = self.target(&found.name, is_directory)?;
            pick.walk(&found, &mut |step| self.put(&target, &step))?;
        }
        Ok(())
    }

    fn unpack_match<N: Taken>(&mut self, found: &Match<N>) -> Result<bool> {
        let Kind::File { .. } = found.node.entry()?.kind else { return Ok(false) };
        let (bytes, source) = found.node.bytes()?;
        self.unpack(&found.name, &bytes, &source)
    }

    /// Unpacks a file, if it is an archive.
    fn unpack(&mut self, name: &[u8], bytes: &Bytes, source: &FileSource) -> Result<bool> {
        if !archive::is_one(self.places.open(bytes)?) {
            return Ok(false);
        }
        self.n_taken += 1;
        let target = self.landing.follow(b"", &cleaned(self.op.target.as_bytes()))?;
        let model = self.model(MODE_OF_PARENT);
        self.landing.make_directories(&target, &model)?;
        let failed = || format!("cannot unpack {}", String::from_utf8_lossy(name));
        let unpacking = archive::Unpacking {
            target: &target,
            owner: self.owner,
            source,
            digest: bytes.digest(),
            n_taken: self.n_taken,
            spools: self.site.scratch.path(),
        };
        unpacking.unpack(self.places.open(bytes)?, &mut self.landing).with_context(failed)?;
        Ok(true)
    }

    fn take_file(&mut self, name: &str, mut entry: Entry, bytes: Bytes, source: FileSource) -> Result<()> {
        self.n_taken += 1;
        entry.path = self.target(name.as_bytes(), false)?;
        let mode = entry.metadata.mode;
        self.own(&mut entry, mode);
        self.put_file(entry, Some(File { bytes, source, identity: None }))
    }

    /// Returns where something lands, and makes the directory that it lands in.
    fn target(&mut self, name: &[u8], is_directory: bool) -> Result<Vec<u8>> {
        let written = self.op.target.as_bytes();
        let (above, last) = split(written);
        let must_be = if matches!(last, b"" | b".") { written } else { above };
        self.make(&self.landing.follow(b"", must_be)?)?;
        let target = self.landing.follow(b"", &cleaned(written))?;
        let target = match self.landing.at(&target) {
            Standing::Directory if !is_directory => join(&target, name),
            Standing::Nothing if is_directory => {
                self.make(&target)?;
                target
            }
            Standing::Directory | Standing::Nothing | Standing::File | Standing::Symlink(_) => target,
        };
        self.make(split(&target).0)?;
        Ok(target)
    }

    fn make(&mut self, path: &[u8]) -> Result<()> {
        let mode = self.mode.as_ref().map_or(MODE_OF_PARENT, Mode::of_parents);
        let model = self.model(mode);
        self.landing.make_directories(path, &model)
    }

    /// Returns a directory that is made only for what is in it.
    fn model(&self, mode: u32) -> Entry {
        let mut model = Entry::directory(Vec::new(), mode);
        (model.metadata.uid, model.metadata.gid) = self.owner.unwrap_or((0, 0));
        model.metadata.mtime = i64::MAX;
        model
    }

    fn put<N: Taken>(&mut self, target: &[u8], step: &Step<'_, N>) -> Result<()> {
        let mut entry = step.node.entry()?;
        entry.path = join(target, step.below);
        let mode = entry.metadata.mode;
        self.own(&mut entry, mode);
        match entry.kind {
            Kind::Directory => self.put_directory(entry, mode, step),
            Kind::File { .. } => {
                let (bytes, source) = step.node.bytes()?;
                let identity = step.node.identity().map(|(device, inode)| (self.n_taken, device, inode));
                self.put_file(entry, Some(File { bytes, source, identity }))
            }
            _ => self.put_file(entry, None),
        }
    }

    /// Gives an entry the owner and permissions that the instruction asks for, and takes away what no layer keeps.
    fn own(&self, entry: &mut Entry, mode: u32) {
        let Metadata { uid, gid, mode: permissions, xattrs, .. } = &mut entry.metadata;
        (*uid, *gid) = self.owner.unwrap_or((*uid, *gid));
        xattrs.retain(|name, _| name == b"security.capability");
        if let (Some(mode_wanted), false) = (&self.mode, matches!(entry.kind, Kind::Symlink { .. })) {
            *permissions = mode_wanted.apply(mode, entry.kind == Kind::Directory);
        }
    }

    /// A directory that is there takes over what the other has, but not where the source itself is one: then what is
    /// in it is taken.
    fn put_directory<N: Taken>(&mut self, entry: Entry, mode: u32, step: &Step<'_, N>) -> Result<()> {
        match self.landing.at(&entry.path) {
            Standing::Nothing if self.landing.is_free(&entry.path)? => self.landing.put(entry, None),
            Standing::Directory if step.below.is_empty() => Ok(()),
            Standing::Directory if step.role == Role::Around => {
                self.landing.directory(&entry.path)?.metadata.mode = mode;
                Ok(())
            }
            Standing::Directory => {
                self.landing.directory(&entry.path)?.metadata = entry.metadata;
                Ok(())
            }
            Standing::Nothing | Standing::File | Standing::Symlink(_) => {
                bail!("cannot copy a directory to {}: something else is there", shown(&entry.path))
            }
        }
    }

    fn put_file(&mut self, entry: Entry, file: Option<File>) -> Result<()> {
        match self.landing.at(&entry.path) {
            Standing::Directory => bail!("cannot copy to {}: a directory is there", shown(&entry.path)),
            Standing::Nothing | Standing::File | Standing::Symlink(_) => self.landing.put(entry, file),
        }
    }

    /// Writes what has landed, and keeps of it only what the account tells.
    fn write(self, mut writer: LayerWriter) -> Result<Delta> {
        let (mut bom, mut paths) = (BomDelta::default(), Paths::default());
        let mut first_names = BTreeMap::new();
        let opaque = self.landing.opaque();
        for landed in self.landing.into_landed() {
            paths.put(&landed.entry.path, origin_of(&landed));
            if landed.replaces() {
                bom.removed_paths.push(shown(&landed.entry.path));
            }
            let Landed { entry, file, .. } = landed;
            let Some(file) = file else {
                writer.entry(&entry, &mut std::io::empty())?;
                continue;
            };
            let identity = file.identity;
            let first = identity.and_then(|identity| first_names.get(&identity));
            let account = match first {
                Some((target, account)) => {
                    let kind = Kind::Hardlink { target: Vec::clone(target) };
                    writer.entry(&Entry { kind, ..entry.clone() }, &mut std::io::empty())?;
                    bom::File { path: shown(&entry.path), ..bom::File::clone(account) }
                }
                None => {
                    let digest = self.places.write(&entry, &file.bytes, &mut writer)?;
                    account_of(&entry, file, digest)
                }
            };
            if let (Some(identity), None) = (identity, first) {
                first_names.insert(identity, (entry.path, account.clone()));
            }
            bom.files.push(account);
        }
        for path in opaque {
            writer.opaque(&path)?;
            paths.remove(&[&path, &b"/"[..]].concat(), Origin::Instruction { index: 0 });
        }
        paths.delta(writer.finish()?, bom)
    }
}

/// Returns what a path belongs to: what is no file has nothing else to tell of it than its instruction.
fn origin_of(landed: &Landed) -> Origin {
    match &landed.file {
        Some(_) => Origin::File,
        None if landed.is_unchanged => Origin::Directory,
        None => Origin::Instruction { index: 0 },
    }
}

fn account_of(entry: &Entry, file: File, digest: crate::digest::Digest) -> bom::File {
    let size = if let Kind::File { size } = entry.kind { size } else { 0 };
    let mode = format!("{:04o}", entry.metadata.mode);
    bom::File { path: shown(&entry.path), digest, size, mode, source: file.into_source(digest) }
}
