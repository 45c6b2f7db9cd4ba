//! What a command sees beside its root, from what the graph says of it to what the sandbox mounts.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail};

use super::Site;
use super::agent::Agent;
use super::context::lay_out;
use crate::build::graph::{RunMount, RunMountKind, Sharing};
use crate::build::solve::{Material, Yield};
use crate::digest::Digest;
use crate::layer::{self, LastLink, Snapshot, Stack};
use crate::oci::canonical_json;
use crate::sandbox::{Mount, Root, Source};
use crate::store::{CachePlace, Claim};

/// What a command sees, and what has to live for as long as it runs.
#[derive(Default)]
pub(super) struct Sight {
    pub(super) mounts: Vec<Mount>,
    /// The values of the secrets among them.
    pub(super) secrets: Vec<Vec<u8>>,
    watched: Vec<Watched>,
    _caches: Vec<CachePlace>,
    _agents: Vec<Agent>,
}

/// Something that may not be written, where nothing can keep a command from it.
struct Watched {
    place: PathBuf,
    before: Snapshot,
    target: String,
}

impl Sight {
    /// Fails where something was written that could not have been, if it had been mounted.
    pub(super) fn check(&self) -> Result<()> {
        for Watched { place, before, target } in &self.watched {
            let Some(path) = before.first_touched(place)? else { continue };
            let path = Path::new(target).join(OsStr::from_bytes(&path));
            bail!(
                "the command wrote to {}, which may only be read\nhint: where mounts can't be made, that is seen too late to refuse it; mount it with `rw`, and what is written is thrown away",
                path.display().to_string().trim_end_matches('/')
            );
        }
        Ok(())
    }
}

/// Prepares mounts in `scratch`.
pub(super) fn prepare(
    mounts: &[RunMount],
    inputs: &[&Yield],
    site: &Site<'_>,
    scratch: &Path,
) -> Result<Sight> {
    let epoch = if has_cache(mounts) { None } else { Some(site.epoch) };
    refuse_one_cache_twice(mounts, site)?;
    let mut preparing = Preparing { inputs, site, scratch, epoch, nth: 0, sight: Sight::default() };
    let mut sources: Vec<Option<(Source, bool)>> = mounts.iter().map(|_| None).collect();
    for nth in in_order_of_locks(mounts) {
        let mount = &mounts[nth];
        preparing.nth = nth;
        let failed = || format!("cannot prepare what is to be mounted at {}", mount.target);
        sources[nth] = preparing.source(&mount.what).with_context(failed)?;
    }
    for (mount, source) in mounts.iter().zip(sources) {
        if let Some((source, is_read_only)) = source {
            if is_read_only && !site.sandbox.has_overlays() {
                preparing.watch(&source, &mount.target)?;
            }
            preparing.sight.mounts.push(Mount { source, target: mount.target.clone().into(), is_read_only });
        }
    }
    Ok(preparing.sight)
}

/// Whether something of an earlier command may be there. Then it must be seen which files changed since.
pub(super) fn has_cache(mounts: &[RunMount]) -> bool {
    mounts.iter().any(|mount| matches!(mount.what, RunMountKind::Cache { .. }))
}

/// Two commands that lock the same caches do so in the same order, or they would wait for each other.
fn in_order_of_locks(mounts: &[RunMount]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..mounts.len()).collect();
    order.sort_by_key(|&nth| match &mounts[nth].what {
        RunMountKind::Cache { id, .. } => Some(id.as_str()),
        _ => None,
    });
    order
}

/// What is no mount can be at one place only.
fn refuse_one_cache_twice(mounts: &[RunMount], site: &Site<'_>) -> Result<()> {
    let mut known = BTreeSet::new();
    for mount in mounts.iter().filter(|_| !site.sandbox.has_overlays()) {
        if let RunMountKind::Cache { id, sharing: Sharing::Shared | Sharing::Locked, .. } = &mount.what
            && !known.insert(id)
        {
            bail!(
                "cannot show the cache {id} at {} too: where mounts can't be made, it is at one place only\nhint: make one a symbolic link to the other, or give them different ids",
                mount.target
            );
        }
    }
    Ok(())
}

struct Preparing<'a> {
    inputs: &'a [&'a Yield],
    site: &'a Site<'a>,
    scratch: &'a Path,
    /// The time of what is shown of the context; none where each file has its own.
    epoch: Option<i64>,
    /// The number of the mount.
    nth: usize,
    sight: Sight,
}

impl Preparing<'_> {
    /// Returns what is mounted, and whether it can't be written; nothing where an optional thing is not there.
    fn source(&mut self, what: &RunMountKind) -> Result<Option<(Source, bool)>> {
        Ok(match what {
            RunMountKind::Bind { mount, source, is_writable } => {
                Some((self.bind(*mount, source)?, !is_writable))
            }
            RunMountKind::Cache { id, sharing, seed, is_read_only, mode, uid, gid } => {
                let seed = seed.as_ref().map(|(mount, path)| (*mount, path.as_str()));
                Some((self.cache(id, *sharing, seed, (*mode, *uid, *gid))?, *is_read_only))
            }
            RunMountKind::Tmpfs { size } => Some((Source::Memory { size: *size }, false)),
            RunMountKind::Secret { id, is_required, mode, uid, gid } => {
                let content = secret(self.site, id, *is_required)?;
                self.sight.secrets.extend(content.clone());
                let (mode, uid, gid) = (*mode, *uid, *gid);
                content.map(|content| (Source::File { is_secret: true, content, mode, uid, gid }, true))
            }
            RunMountKind::Ssh { id, is_required, mode, uid, gid } => {
                self.agent(id, *is_required, (*mode, *uid, *gid))?.map(|socket| (socket, false))
            }
            RunMountKind::Text { content, mode } => {
                let content = content.clone().into_bytes();
                Some((Source::File { is_secret: false, content, mode: *mode, uid: 0, gid: 0 }, true))
            }
        })
    }

    fn place(&self, name: &str) -> PathBuf {
        self.scratch.join(format!("{name}-{}", self.nth))
    }

    fn bind(&self, mount: usize, source: &str) -> Result<Source> {
        match self.input(mount)? {
            Yield::Snapshot(snapshot) => {
                let lowers = self.site.lowers(&snapshot.image.layers, &self.place("empty"))?;
                if !self.site.sandbox.has_overlays() {
                    return self.copied(&lowers, source);
                }
                let (upper, work) = (self.place("upper"), self.place("work"));
                Stack::open(&lowers)?.make_upper(&upper)?;
                fs::create_dir(&work)?;
                Ok(Source::Path { root: Root::Overlay { lowers, upper, work }, path: source.into() })
            }
            Yield::Material(Material::Context(tree)) => {
                let root = self.place("context");
                layer::make_root(&root)?;
                lay_out(tree, source, self.site.context, &root, self.epoch)?;
                Ok(Source::Path { root: Root::Plain(root), path: source.into() })
            }
            Yield::Material(Material::Source(_) | Material::Download(_)) => {
                bail!("internal error: a context or an image was expected")
            }
        }
    }

    /// Returns a copy of `source` and nothing else of its root.
    fn copied(&self, lowers: &[PathBuf], source: &str) -> Result<Source> {
        let node = Stack::open(lowers)?.find(source, LastLink::Followed)?;
        let node = node.ok_or_else(|| anyhow!("there is no {source}"))?;
        let copy = self.place("copy");
        layer::copy_out(&node, &copy, &BTreeSet::new())?;
        Ok(Source::Path { root: Root::Plain(copy), path: PathBuf::new() })
    }

    /// Remembers what something looks like that may not be written.
    fn watch(&mut self, source: &Source, target: &str) -> Result<()> {
        let Source::Path { root: Root::Plain(root), path } = source else { return Ok(()) };
        let place = match path.as_os_str().as_bytes() {
            b"" => Some(root.clone()),
            path => {
                let found = Stack::open(&[root])?.resolve(path, LastLink::Followed)?;
                found.map(|found| root.join(OsStr::from_bytes(&found)))
            }
        };
        // What isn't there can't be mounted.
        if let Some(place) = place {
            let before = Snapshot::take(&place)?;
            self.sight.watched.push(Watched { place, before, target: target.to_owned() });
        }
        Ok(())
    }

    fn cache(
        &mut self,
        id: &str,
        sharing: Sharing,
        seed: Option<(usize, &str)>,
        owner: (u32, u32, u32),
    ) -> Result<Source> {
        let key = Digest::of(canonical_json(&("cache", id, self.seed_key(seed)?)));
        let is_mounted = self.site.sandbox.has_overlays();
        let claim = match sharing {
            Sharing::Shared if is_mounted => Claim::Shared,
            Sharing::Private => Claim::Private,
            Sharing::Shared | Sharing::Locked => Claim::Alone,
        };
        let mut is_told = false;
        let mut waits = || {
            if !std::mem::replace(&mut is_told, true) {
                let why = match sharing {
                    Sharing::Shared if !is_mounted => "; without mounts it can't be shared",
                    Sharing::Shared | Sharing::Private | Sharing::Locked => "",
                };
                self.site
                    .progress
                    .say(format!("… waiting for the cache {id}, which somebody else uses{why}"));
            }
            !self.site.cancel.is_cancelled()
        };
        let place = self.site.store.cache(&key, claim, &mut waits)?;
        let place = place.ok_or_else(|| anyhow!("interrupted while it waited for the cache {id}"))?;
        if place.directory().is_none() {
            let new = self.place("cache");
            layer::make_root(&new)?;
            self.begin_cache(&new, seed, owner)?;
            place.begin_with(&new)?;
        }
        let directory = place.directory().context("internal error: the cache went away")?.to_owned();
        self.sight._caches.push(place);
        Ok(Source::Path { root: Root::Plain(directory), path: PathBuf::new() })
    }

    /// What a cache begins with is a part of its name.
    fn seed_key(&self, seed: Option<(usize, &str)>) -> Result<Option<(Digest, String)>> {
        let Some((mount, path)) = seed else { return Ok(None) };
        let json = match self.input(mount)? {
            Yield::Snapshot(snapshot) => {
                let diff_ids: Vec<Digest> = snapshot.image.layers.iter().map(|layer| layer.diff_id).collect();
                canonical_json(&diff_ids)
            }
            Yield::Material(Material::Context(tree)) => canonical_json(&tree.entries),
            Yield::Material(Material::Source(_) | Material::Download(_)) => {
                bail!("internal error: a context or an image was expected")
            }
        };
        Ok(Some((Digest::of(json), path.to_owned())))
    }

    fn begin_cache(
        &self,
        new: &Path,
        seed: Option<(usize, &str)>,
        (mode, uid, gid): (u32, u32, u32),
    ) -> Result<()> {
        let Some((mount, path)) = seed else {
            std::os::unix::fs::chown(new, Some(uid), Some(gid))?;
            return Ok(fs::set_permissions(new, Permissions::from_mode(mode & 0o7777))?);
        };
        let directories = match self.input(mount)? {
            Yield::Snapshot(snapshot) => self.site.lowers(&snapshot.image.layers, &self.place("empty"))?,
            Yield::Material(Material::Context(tree)) => {
                let root = self.place("context");
                layer::make_root(&root)?;
                lay_out(tree, path, self.site.context, &root, Some(self.site.epoch))?;
                vec![root]
            }
            Yield::Material(Material::Source(_) | Material::Download(_)) => {
                bail!("internal error: a context or an image was expected")
            }
        };
        let stack = Stack::open(&directories)?;
        let node = stack.find(path, LastLink::Followed)?.filter(layer::Node::is_directory);
        let node = node.ok_or_else(|| anyhow!("what it is to begin with, {path}, is no directory there"))?;
        Ok(layer::copy_out(&node, new, &BTreeSet::new())?)
    }

    fn agent(&mut self, id: &str, is_required: bool, owner: (u32, u32, u32)) -> Result<Option<Source>> {
        let Some(socket) = self.site.secrets.agent(id) else {
            match is_required {
                true => {
                    bail!("there is no ssh agent {id}\nhint: on the command line give it with --ssh {id}")
                }
                false => return Ok(None),
            }
        };
        let failed = || format!("cannot reach the ssh agent {id} at {}", socket.display());
        std::os::unix::net::UnixStream::connect(&socket).with_context(failed)?;
        let name = format!("agent-{}", self.nth);
        let agent = Agent::new(&socket, self.scratch, name.clone(), owner).with_context(failed)?;
        self.sight._agents.push(agent);
        Ok(Some(Source::Path { root: Root::Plain(self.scratch.join(name)), path: PathBuf::new() }))
    }

    fn input(&self, mount: usize) -> Result<&Yield> {
        self.inputs.get(mount).copied().ok_or_else(|| anyhow!("internal error: there is no mount {mount}"))
    }
}

/// Returns the value of a secret; none where it need not be there, and is not.
pub(super) fn secret(site: &Site<'_>, id: &str, is_required: bool) -> Result<Option<Vec<u8>>> {
    match site.secrets.value(id)? {
        None if is_required => {
            bail!("there is no secret {id}\nhint: on the command line give it with --secret id={id},src=FILE")
        }
        value => Ok(value),
    }
}
