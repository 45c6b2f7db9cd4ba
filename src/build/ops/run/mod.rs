//! Commands, run in the sandbox on top of their parent's layers. What they change becomes a layer.
//!
//! A command sees nothing of the builder but what its instruction asks for. Secrets are in its memory and in what it
//! prints at most, where they are covered; they are in no layer, unless the command itself puts them there.

mod agent;
mod context;
mod mounts;
mod output;
mod route;
mod user;

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context as _, Result, anyhow, bail};

use self::output::{Mask, Output};
pub use self::route::Route;
use super::found;
use super::ground::{Copies, Ground, Maker};
use super::paths::dpkg;
use crate::bom::{self, BomDelta, Origin};
use crate::build::blobs::Blobs;
use crate::build::context::Context;
use crate::build::graph::{Delta, Run, RunMountKind};
use crate::build::secrets::Secrets;
use crate::build::solve::Yield;
use crate::layer::diff::{Change, ChangeKind};
use crate::layer::{self, LayerWriter, Renewed, Stack};
use crate::oci::{Layer, Platform};
use crate::progress::Progress;
use crate::sandbox::{self, Cancel, Exit, Mount, Network, Sandbox, User, name_service};
use crate::store::Store;

/// What a command has at hand.
pub struct Site<'a> {
    /// Holds the layers' directories, and caches.
    pub store: &'a Store,
    /// Brings layers.
    pub blobs: &'a Blobs,
    /// The files that may be seen.
    pub context: &'a Context,
    /// Where the command runs.
    pub sandbox: Sandbox,
    /// Roots that earlier commands left.
    pub copies: &'a Copies,
    /// Ends it early.
    pub cancel: &'a Cancel,
    /// Tells what it says.
    pub progress: &'a Progress,
    /// What it may be told.
    pub secrets: &'a Secrets,
    /// How it gets to the network.
    pub route: &'a Route,
    /// The image's time.
    pub epoch: i64,
    /// The files of the root that are accounted for, by their paths.
    pub files: &'a BTreeMap<String, bom::File>,
    /// Where the root of a command that fails is kept, by this name; without a name it isn't.
    pub keep_failed_as: Option<String>,
    /// Whom the programs of its root are for.
    pub platform: &'a Platform,
}

impl Site<'_> {
    /// Returns the directories of layers, lowest first; without layers, one that is made at `empty`.
    fn lowers(&self, layers: &[Layer], empty: &Path) -> Result<Vec<PathBuf>> {
        if !layers.is_empty() {
            return self.blobs.stack(layers);
        }
        layer::make_root(empty)?;
        Ok(vec![empty.to_owned()])
    }
}

/// Runs a command on top of `layers`; `inputs` are what its vertex' mounts yielded.
///
/// # Errors
/// When it cannot be run, or doesn't end with 0.
pub fn run(
    op: &Run,
    layers: &[Layer],
    inputs: &[&Yield],
    site: &Site<'_>,
    writer: &dyn Fn() -> Result<LayerWriter>,
) -> Result<Delta> {
    let scratch = site.store.scratch()?;
    let lowers = site.lowers(layers, &scratch.path().join("empty"))?;
    let maker = Maker { sandbox: site.sandbox, store: site.store, progress: site.progress };
    let mut ground = maker.ground(lowers, scratch.path(), Some((site.copies, layers)))?;
    maker.work(&mut ground, &mut |ground| execute(ground, op, inputs, site))?;
    let changes = layer::diff::overlay(&ground.below, &ground.upper)?;
    if changes.is_empty() {
        ground.pass_on(site.copies, layers);
        return Ok(Delta::default());
    }
    let bom = account(&ground, &changes)?;
    let scene = dpkg::Scene {
        lowers: &ground.lowers,
        upper: &ground.upper,
        timeline: None,
        moments: &layer::Moments::default(),
    };
    let paths = dpkg::explain(&changes, &scene, Some(&Origin::Instruction { index: 0 }))?;
    let mut writer = writer()?;
    layer::pack(&changes, &ground.upper, &mut writer)?;
    let packed = writer.finish()?;
    let standing = layer::trim(&changes, &ground.upper)?;
    site.blobs.keep(layers, &packed.layer, &ground.upper, standing)?;
    ground.pass_on(site.copies, &[layers, std::slice::from_ref(&packed.layer)].concat());
    paths.delta(packed, bom)
}

/// Returns when files that came out of the context, or of the Dockerfile, were really changed. A layer doesn't tell, but
/// programs that keep what they made in a cache often know by times alone what to make again.
fn renewed(files: &BTreeMap<String, bom::File>, context: &Context) -> Vec<Renewed> {
    let now = SystemTime::now();
    let modified = |file: &bom::ContextFile| {
        let context = context.called(file.name.as_deref()).ok()?;
        context.open(&file.path).ok()?.metadata().ok()?.modified().ok()
    };
    let renewed = files.values().filter_map(|file| {
        let modified = match &file.source.context {
            Some(source) => modified(source).unwrap_or(now),
            None if file.source.dockerfile => now,
            None => return None,
        };
        let path = file.path.trim_start_matches('/').into();
        Some(Renewed { path, size: file.size, modified })
    });
    renewed.collect()
}

fn execute(ground: &Ground, op: &Run, inputs: &[&Yield], site: &Site<'_>) -> Result<()> {
    let scratch = site.store.scratch()?;
    if mounts::has_cache(&op.mounts) {
        let files = renewed(site.files, site.context);
        ground.renew(&files, site.epoch)?;
    }
    let account = user::account(&op.user, &ground.below)?;
    let mut sight = mounts::prepare(&op.mounts, inputs, site, scratch.path())?;
    let mut env = environment(op, &account.home, site, &mut sight.secrets)?;
    if op.has_network {
        sight.mounts.extend(site.route.authorities(&ground.below, &mut env)?);
    }
    let run = command(op, account.user, env, std::mem::take(&mut sight.mounts));
    let mask = Mask::new(sight.secrets.iter().map(Vec::as_slice));
    let prefix = format!("{}:{} | ", op.instruction.file, op.instruction.line);
    let mut output = Output::new(site.progress, prefix, mask);
    let exit = site.sandbox.run(&ground.root(), &run, site.cancel, &mut |_, line| output.line(line));
    let exit = exit.map_err(|error| match foreign(&error, site.platform) {
        Some(error) => error,
        None => anyhow!("{error}{}", hint_of_space(scratch.path())),
    })?;
    let ending = match exit {
        Exit::Code(0) => return sight.check(),
        Exit::Code(code) => format!("the command ended with {code}"),
        Exit::Signal(9) => "signal 9 ended the command, as it does where memory is short".into(),
        Exit::Signal(signal) => format!("signal {signal} ended the command"),
    };
    let hints = format!("{}{}", hint_of_space(scratch.path()), keep(ground, op, site)?);
    bail!("{ending}; {}{hints}", output.said_last())
}

/// Accounts for the packages that came and went, and for files that did.
fn account(ground: &Ground, changes: &[Change]) -> Result<BomDelta> {
    let path_of = |change: &Change| format!("/{}", String::from_utf8_lossy(&change.path));
    let went = changes.iter().filter(|change| !change.path.is_empty());
    let removed_paths = went.filter(|change| !is_directory_still(ground, change)).map(path_of).collect();
    if !changes.iter().any(|change| found::is_database(&change.path)) {
        return Ok(BomDelta { removed_paths, ..BomDelta::default() });
    }
    let after: Vec<&PathBuf> = ground.lowers.iter().chain([&ground.upper]).collect();
    let found = found::found(&ground.below, &Stack::open(&after)?)?;
    Ok(BomDelta {
        removed_paths,
        found_packages: found.packages,
        removed_packages: found.removed,
        licence_texts: found.licence_texts,
        incomplete: found.incomplete,
        ..BomDelta::default()
    })
}

/// Whether the change leaves a directory, so that what is in it isn't touched by it.
fn is_directory_still(ground: &Ground, change: &Change) -> bool {
    let path = Path::new(std::ffi::OsStr::from_bytes(&change.path));
    change.kind == ChangeKind::Present
        && std::fs::symlink_metadata(ground.upper.join(path)).is_ok_and(|metadata| metadata.is_dir())
}

/// Keeps the root of a command that failed, where that is asked for; returns how to look into it.
fn keep(ground: &Ground, op: &Run, site: &Site<'_>) -> Result<String> {
    let Some(name) = &site.keep_failed_as else { return Ok(String::new()) };
    let script = ground.keep(&site.store.keep_aside(name)?, &op.workdir)?;
    Ok(format!("\nhint: its root is kept; to look into it, run: sh {}", script.display()))
}

fn command(op: &Run, user: User, env: Vec<(String, String)>, mounts: Vec<Mount>) -> sandbox::Run {
    let network = if op.has_network { Network::Host } else { Network::None };
    sandbox::Run {
        env,
        workdir: op.workdir.clone().into(),
        makes_workdir: true,
        user: Some(user),
        network,
        mounts: name_service(network, &op.hosts).into_iter().chain(mounts).collect(),
        ..sandbox::Run::new(&op.argv)
    }
}

/// Returns the whole environment; the values in it that are secret are added to `secrets`.
fn environment(
    op: &Run,
    home: &str,
    site: &Site<'_>,
    secrets: &mut Vec<Vec<u8>>,
) -> Result<Vec<(String, String)>> {
    let mut env = op.env.clone();
    let proxies = op.proxies.iter().chain(site.route.proxies.iter().filter(|_| op.has_network));
    route::add_missing(&mut env, proxies.cloned());
    secrets.extend(route::passwords(&env));
    let is_missing = |env: &[(String, String)], name: &str| env.iter().all(|(known, _)| known != name);
    let socket = op.mounts.iter().find(|mount| matches!(mount.what, RunMountKind::Ssh { .. }));
    if let Some(socket) = socket.filter(|_| is_missing(&env, "SSH_AUTH_SOCK")) {
        env.push(("SSH_AUTH_SOCK".into(), socket.target.clone()));
    }
    for variable in &op.secret_env {
        let Some(value) = mounts::secret(site, &variable.secret, variable.is_required)? else { continue };
        let text = String::from_utf8(value.clone());
        let text = text.ok().with_context(|| format!("the secret {} is no text", variable.secret))?;
        env.retain(|(name, _)| *name != variable.name);
        env.push((variable.name.clone(), text));
        secrets.push(value);
    }
    env.retain(|(name, value)| name != "HOME" || !value.is_empty());
    if is_missing(&env, "HOME") {
        env.push(("HOME".into(), home.to_owned()));
    }
    Ok(env)
}

/// Says what is wrong where the programs are for another architecture, and the kernel knows nobody who could run them.
fn foreign(error: &sandbox::Error, platform: &Platform) -> Option<anyhow::Error> {
    let host = Platform::host();
    let is_foreign = error.is_of_another_machine() && platform.distance(&host).is_none();
    is_foreign.then(|| {
        anyhow!(
            "cannot run a program for {platform} on {host}\nhint: build on such a machine, or register an emulator with this one's kernel (binfmt_misc, as Debian's qemu-user-static does); or run the command in a stage FROM --platform=$BUILDPLATFORM, and COPY what it makes"
        )
    })
}

/// A command that fails may not say why.
fn hint_of_space(path: &Path) -> &'static str {
    const LITTLE: u64 = 1 << 20;
    match rustix::fs::statvfs(path) {
        Ok(disk) if disk.f_bavail * disk.f_frsize < LITTLE || disk.f_files > 0 && disk.f_favail == 0 => {
            "\nhint: the disk of the state directory is full: free some space, or choose another place with --state DIR"
        }
        Ok(_) | Err(_) => "",
    }
}
