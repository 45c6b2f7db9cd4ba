//! The executor that works: each vertex by its operation.

use std::io::BufReader;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use anyhow::{Context as _, Result, anyhow, bail};

use super::base::{self, Account, Base};
use super::blobs::{Blobs, Shape};
use super::context::Context;
use super::graph::{
    Change, Copy, Delta, Download, Install, Instruction, NewUser, Op, Pull, Repository, Run, Snapshot,
    Transfer, TransferSource, Vertex,
};
use super::lock::places::Places;
use super::lock::{LockedDeb, LockedPackage};
use super::ops::beside::Workshop;
use super::ops::ground::Copies;
use super::ops::{
    self, configure, copy, install, remove, repository, run, symlinks, transfer, unpack, workdir,
};
use super::secrets::Secrets;
use super::solve::{Executor, Inputs, Material, Outcome, Yield};
use super::stages::Images;
use super::view::Ask;
use super::wait::Waiter;
use crate::bom::{self, Bom, BomDelta, LayerAccount};
use crate::debian::Installed;
use crate::digest::Digest;
use crate::fetch::{Fetcher, Wanted};
use crate::git::{self, Remote};
use crate::inside::Found;
use crate::layer::{self, Compression, LayerWriter, Options, Skeleton, Stack};
use crate::oci::{History, Image, Layer, Platform};
use crate::progress::Progress;
use crate::sandbox::{Cancel, Sandbox};
use crate::store::Store;

/// How many .debs are fetched at a time.
const N_PARALLEL: usize = 8;

/// Does the work of vertices.
pub struct Worker {
    /// Holds what is fetched and made.
    pub store: Store,
    /// Brings archives.
    pub fetcher: Fetcher,
    /// Where archives may be had.
    pub places: Places,
    /// Brings layers.
    pub blobs: Blobs,
    /// The files that a definition may name.
    pub context: Context,
    /// What is known of the base.
    pub base: Option<Arc<Base>>,
    /// The images that stages are built upon, or take files from.
    pub images: Images,
    /// Tells how it goes.
    pub progress: Progress,
    /// Waits for the network.
    pub waiter: Waiter,
    /// Ends the work early.
    pub cancel: Cancel,
    /// The latest time in the image, seconds since 1970.
    pub epoch: i64,
    /// Whom the image is for.
    pub platform: Platform,
    /// Chosen when it is first needed.
    pub sandbox: OnceLock<Sandbox>,
    /// Roots that commands leave to the next, where nothing can be mounted.
    pub copies: Copies,
    /// What commands may be told.
    pub secrets: Secrets,
    /// Whether commands are run, and none is known from earlier.
    pub is_first_run: bool,
    /// Whether the root of a command that fails is kept.
    pub keeps_failed: bool,
    /// How layers are compressed.
    pub compression: Compression,
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.copies.leave();
    }
}

impl Executor for Worker {
    fn execute(&self, vertex: &Vertex, key: &Digest, inputs: &Inputs<'_>) -> Result<Outcome> {
        let parent = || inputs.parent.ok_or_else(|| anyhow!("internal error: nothing to build upon"));
        match &vertex.op {
            Op::Scratch => Ok(Outcome::Base(Box::new(self.scratch()))),
            Op::Pull(pull) => self.pull(pull).map(|snapshot| Outcome::Base(Box::new(snapshot))),
            Op::Source(source) => Ok(Outcome::Material(Material::Source(source.clone()))),
            Op::Context(tree) => Ok(Outcome::Material(Material::Context(tree.clone()))),
            Op::Download(download) => self.download(download),
            Op::Repository(op) => self.changed(vertex, inputs, self.repository(op, inputs)?),
            Op::Install(op) => {
                let delta = match &op.beside {
                    Some(beside) => self.install_beside(op, beside, inputs)?,
                    None => self.install(op, parent()?, inputs)?,
                };
                self.changed(vertex, inputs, delta)
            }
            Op::Copy(op) => self.changed(vertex, inputs, self.copy(op, parent()?, inputs)?),
            Op::Change(Change::Users(users)) => {
                self.changed(vertex, inputs, self.users(users, parent()?, inputs)?)
            }
            Op::Change(Change::Remove(paths)) => {
                self.changed(vertex, inputs, self.remove(paths, parent()?, inputs)?)
            }
            Op::Change(Change::Symlinks(links)) => self.changed(
                vertex,
                inputs,
                symlinks::symlinks(links, &parent()?.skeleton, self.writer(inputs)?)?,
            ),
            Op::Configure(op) => {
                let parent = parent()?;
                configure::check_user(op, &parent.skeleton)?;
                let config = configure::configure(&parent.image.config.config, op);
                self.changed(vertex, inputs, Delta { config: Some(config), ..Delta::default() })
            }
            Op::Settle(op) => {
                let (config, author) = (Some(op.config.clone()), op.author.clone());
                self.told(&op.instruction, inputs, Delta { config, author, ..Delta::default() })
            }
            Op::Workdir(op) => {
                let (root, files) = (&parent()?.skeleton, self.known_files(parent()?)?);
                let warn = &|line: &str| self.progress.warn(line);
                let delta = workdir::workdir(op, root, &files, warn, &|| self.writer(inputs))?;
                self.told(&op.instruction, inputs, Delta { config: Some(op.config.clone()), ..delta })
            }
            Op::Transfer(op) => {
                let sources = op.sources.iter().filter_map(TransferSource::repository);
                let account = bom::Instruction {
                    repositories: sources.cloned().collect(),
                    ..account_of(&op.instruction)
                };
                self.told_as(account, inputs, self.transfer(op, parent()?, inputs)?)
            }
            Op::Run(op) => {
                let delta = self.command(op, key, parent()?, inputs)?;
                let account = bom::Instruction { network: op.has_network, ..account_of(&op.instruction) };
                self.told_as(account, inputs, delta)
            }
        }
    }

    fn ship(&self, kept: &Layer) -> Result<Layer> {
        let blob = BufReader::with_capacity(1 << 18, self.store.open_blob(&kept.descriptor.digest)?);
        let (tar, writer) = (layer::decompress(blob)?, self.store.blob_writer()?);
        let layer = layer::compress(tar, writer, n_threads(), self.compression)?;
        match layer.diff_id == kept.diff_id {
            true => Ok(layer),
            false => bail!("the store's layer {} is damaged: remove its file", kept.descriptor.digest),
        }
    }
}

impl Worker {
    fn scratch(&self) -> Snapshot {
        Snapshot {
            image: Image::scratch(self.platform.clone()),
            bom: Bom::default(),
            skeleton: Skeleton::default(),
        }
    }

    fn pull(&self, op: &Pull) -> Result<Snapshot> {
        let base = match &self.base {
            Some(base) if base.digest == op.digest => base.clone(),
            Some(_) | None => self.image(op)?,
        };
        let mut base_image = base.bom(&op.name)?;
        base_image.add_sources(op.sources.iter().map(install::account_of_source));
        let keys = base.keys();
        let licence_texts = base.licences.texts.clone();
        let Found { components, incomplete } = base.found.clone();
        let base_image = Some(base_image);
        let delta =
            BomDelta { base_image, keys, licence_texts, components, incomplete, ..BomDelta::default() };
        let layers = base.image.layers.iter().map(|layer| LayerAccount::of_base(layer.diff_id)).collect();
        let bom = Bom { layers, ..Bom::default().then(delta) };
        Ok(Snapshot { image: base.image.clone(), bom, skeleton: base.skeleton.clone() })
    }

    /// Loads an image that the lock knows by its configuration alone.
    fn image(&self, op: &Pull) -> Result<Arc<Base>> {
        let known = self.images.iter().find(|image| image.digest == op.digest);
        let known = known.ok_or_else(|| anyhow!("internal error: {} is not locked", op.name))?;
        let place = base::Place {
            digest: op.digest,
            registry: &known.registry,
            known: &[],
            root: self.is_first_run.then_some((&self.blobs, Shape::Stack)),
            store: &self.store,
            progress: &self.progress,
        };
        self.waiter.wait(place.load(Account::Pinned(None)))
    }

    fn install_beside(&self, op: &Install, others: &[LockedPackage], inputs: &Inputs<'_>) -> Result<Delta> {
        self.fetch(op.packages.iter())?;
        let made = match Workshop::of(op, others, &self.store, &|| self.fetch(others.iter()))? {
            Some(workshop) => Some(workshop.run(op, &self.site(&[], None)?)?),
            None => None,
        };
        let (store, progress) = (&self.store, &self.progress);
        let site = unpack::Site { store, progress, architecture: self.platform.debian_architecture() };
        let delta = unpack::unpack(op, &site, made.as_ref(), self.writer(inputs)?)?;
        if let Some(made) = made {
            made.leave();
        }
        Ok(delta)
    }

    fn install(&self, op: &Install, parent: &Snapshot, inputs: &Inputs<'_>) -> Result<Delta> {
        let base = self.archives_and_root(op, &parent.image.layers)?;
        let installed = self.installed()?;
        let states = self.base.as_ref().and_then(|base| base.facts.file("var/lib/apt/extended_states"));
        let states = states.map(String::from_utf8_lossy);
        let site = self.site(&installed, states.as_deref())?;
        install::install(op, base.as_deref(), &site, self.writer(inputs)?)
    }

    /// Brings the archives of packages, and at the same time the root that they are put upon.
    fn archives_and_root(&self, op: &Install, layers: &[Layer]) -> Result<Option<PathBuf>> {
        std::thread::scope(|scope| {
            let fetching = scope.spawn(|| self.fetch(op.packages.iter()));
            let root = (!layers.is_empty()).then(|| self.blobs.root(layers)).transpose();
            fetching.join().map_err(|_| anyhow!("internal error: the fetching panicked"))??;
            root
        })
    }

    fn transfer(&self, op: &Transfer, parent: &Snapshot, inputs: &Inputs<'_>) -> Result<Delta> {
        let site = transfer::Site {
            mounts: &inputs.mounts,
            root: &parent.skeleton,
            files: &self.known_files(parent)?,
            context: &self.context,
            store: &self.store,
            scratch: &self.store.scratch()?,
            warn: &|line| self.progress.warn(line),
            stack: &|layers| self.stack(layers),
        };
        transfer::transfer(op, &site, &|| self.writer(inputs))
    }

    fn command(&self, op: &Run, key: &Digest, parent: &Snapshot, inputs: &Inputs<'_>) -> Result<Delta> {
        let route = run::Route::of_this_process(self.fetcher.client().ca_certs());
        let site = run::Site {
            store: &self.store,
            blobs: &self.blobs,
            context: &self.context,
            sandbox: self.sandbox()?,
            copies: &self.copies,
            cancel: &self.cancel,
            progress: &self.progress,
            secrets: &self.secrets,
            route: &route,
            epoch: self.epoch,
            files: &parent.bom.files,
            keep_failed_as: self.keeps_failed.then(|| key.short()),
            platform: &parent.image.config.platform,
        };
        run::run(op, &parent.image.layers, &inputs.mounts, &site, &|| self.writer(inputs))
    }

    fn site<'a>(
        &'a self,
        installed: &'a [Installed],
        extended_states: Option<&'a str>,
    ) -> Result<install::Site<'a>> {
        Ok(install::Site {
            store: &self.store,
            sandbox: self.sandbox()?,
            cancel: &self.cancel,
            progress: &self.progress,
            epoch: self.epoch,
            architecture: self.platform.debian_architecture(),
            installed,
            extended_states,
        })
    }

    /// Brings a file from afar into the store.
    fn download(&self, op: &Download) -> Result<Outcome> {
        let uris = self.places.of("", &op.address);
        let wanted = Wanted { name: op.uri.clone(), uris, digest: op.digest, size: None };
        self.waiter.wait(async { Ok(self.fetcher.all(&[wanted], 1).await?) })?;
        Ok(Outcome::Material(Material::Download(op.clone())))
    }

    /// Fetches a commit of a git repository.
    fn repository(&self, op: &Repository, inputs: &Inputs<'_>) -> Result<Delta> {
        let wanted = git::Wanted {
            commit: op.commit.clone(),
            tag: op.git_dir.as_ref().and_then(|kept| kept.tag.clone()),
            reference: Some(op.name.clone()),
            subdir: op.subdir.clone(),
            keeps_git_dir: op.git_dir.is_some(),
            has_submodules: op.has_submodules,
        };
        let authorization = self.secrets.git_authorization(&op.address)?;
        let remote = Remote::new(self.fetcher.client(), &op.address, authorization)?;
        let scratch = self.store.scratch()?;
        let checkout = self.waiter.wait(git::checkout(&remote, &wanted, scratch.path()))?;
        repository::repository(op, &checkout, self.writer(inputs)?)
    }

    /// Brings the archives of packages.
    fn fetch<'a>(&self, packages: impl Iterator<Item = &'a LockedPackage>) -> Result<()> {
        let wanted: Vec<Wanted> = packages.map(|package| wanted(package, &self.places)).collect();
        self.waiter.wait(async { Ok(self.fetcher.all(&wanted, N_PARALLEL).await?) })
    }

    fn known_files<'a>(&self, parent: &'a Snapshot) -> Result<ops::known::KnownFiles<'a>> {
        let stack = self.blobs.kept_stack(&parent.image.layers)?;
        Ok(ops::known::KnownFiles { accounted: Some(&parent.bom.files), stack })
    }

    /// Shows layers as one root.
    fn stack(&self, layers: &[Layer]) -> Result<Stack> {
        Ok(Stack::open(&self.blobs.stack(layers)?)?)
    }

    fn users(&self, users: &[NewUser], parent: &Snapshot, inputs: &Inputs<'_>) -> Result<Delta> {
        let root = self.blobs.view(&parent.image.layers, &|entry| ops::users::ask(users, entry))?;
        ops::users::users(users, &root, self.writer(inputs)?)
    }

    fn remove(&self, paths: &[String], parent: &Snapshot, inputs: &Inputs<'_>) -> Result<Delta> {
        let files = || {
            let seen = self.blobs.view(&parent.image.layers, &|_| Ask::Presence)?.seen;
            Ok(seen.into_keys().collect())
        };
        let (delta, absent) = remove::remove(paths, &parent.skeleton, &files, self.writer(inputs)?)?;
        for path in absent {
            self.progress.warn(format!("nothing is removed at {path}: it is not in the image"));
        }
        Ok(delta)
    }

    fn installed(&self) -> Result<Vec<Installed>> {
        self.base.as_ref().map_or_else(|| Ok(Vec::new()), |base| base.facts.installed())
    }

    fn sandbox(&self) -> Result<Sandbox> {
        match self.sandbox.get() {
            Some(sandbox) => Ok(*sandbox),
            None => {
                let sandbox = Sandbox::choose().context("cannot run programs of the image")?;
                Ok(*self.sandbox.get_or_init(|| {
                    self.progress.say(format!("sandbox: {sandbox}"));
                    sandbox
                }))
            }
        }
    }

    fn copy(&self, op: &Copy, parent: &Snapshot, inputs: &Inputs<'_>) -> Result<Delta> {
        let mounts = mounts_of(op, inputs)?;
        let scratch = self.store.scratch()?;
        let root = &parent.skeleton;
        self.fetch(mounts.iter().filter_map(copy::Mount::package))?;
        let (context, store) = (&self.context, &self.store);
        let stack = &|layers: &[Layer]| self.stack(layers);
        let site = copy::Site { mounts: &mounts, context, root, scratch: &scratch, store, stack };
        copy::copy(op, &site, self.writer(inputs)?)
    }

    fn writer(&self, inputs: &Inputs<'_>) -> Result<LayerWriter> {
        let compression = if inputs.is_shipped { self.compression } else { Compression::DRAFT };
        let options = Options { epoch: self.epoch, threads: n_threads(), compression };
        Ok(LayerWriter::new(self.store.blob_writer()?, options)?)
    }

    fn changed(&self, vertex: &Vertex, inputs: &Inputs<'_>, delta: Delta) -> Result<Outcome> {
        self.recorded(format!("estaleiro: {}", vertex.title()), inputs, delta)
    }

    /// An instruction is told in its own words.
    fn told(&self, instruction: &Instruction, inputs: &Inputs<'_>, delta: Delta) -> Result<Outcome> {
        self.told_as(account_of(instruction), inputs, delta)
    }

    fn told_as(&self, account: bom::Instruction, inputs: &Inputs<'_>, mut delta: Delta) -> Result<Outcome> {
        let layer = delta.layer.as_ref().map(|layer| layer.diff_id);
        let text = account.instruction.clone();
        delta.bom.instructions.push(bom::Instruction { layer, ..account });
        self.recorded(text, inputs, delta)
    }

    /// Every change is told in the image's history, with the image's time.
    fn recorded(&self, created_by: String, inputs: &Inputs<'_>, delta: Delta) -> Result<Outcome> {
        let skeleton = match inputs.parent {
            Some(parent) => delta.skeleton.against(&parent.skeleton)?,
            None => delta.skeleton,
        };
        let history = History {
            created: Some(super::time::rfc3339(self.epoch)),
            created_by: Some(created_by),
            ..History::default()
        };
        Ok(Outcome::Delta(Box::new(Delta { history, skeleton, ..delta })))
    }
}

fn n_threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn account_of(instruction: &Instruction) -> bom::Instruction {
    let instruction = instruction.text.clone();
    bom::Instruction { instruction, layer: None, network: false, repositories: Vec::new() }
}

/// Returns what files are taken from.
fn mounts_of<'a>(op: &'a Copy, inputs: &Inputs<'a>) -> Result<Vec<copy::Mount<'a>>> {
    let mounts = inputs.mounts.iter().enumerate().map(|(index, mount)| match (mount, op.roots.get(&index)) {
        (Yield::Material(Material::Source(source)), None) => Ok(copy::Mount::Source(source)),
        (Yield::Snapshot(snapshot), Some(said)) => {
            Ok(copy::Mount::Root { layers: &snapshot.image.layers, said })
        }
        (Yield::Material(Material::Source(_) | Material::Context(_) | Material::Download(_)), _)
        | (Yield::Snapshot(_), None) => Err(anyhow!("internal error: mount {index} is of another kind")),
    });
    mounts.collect()
}

/// Returns a locked package as something to be fetched.
pub fn wanted(package: &LockedPackage, places: &Places) -> Wanted {
    let base = package.repository.split(' ').next().unwrap_or_default();
    let uris = match package.deb {
        // It was copied into the store when the lock was made, or checked.
        Some(LockedDeb::Context(_)) => Vec::new(),
        Some(LockedDeb::Url(_)) | None => places.of(base, &package.uri),
    };
    Wanted {
        name: format!("{} {}", package.name, package.version),
        uris,
        digest: package.sha256,
        size: Some(package.size),
    }
}
