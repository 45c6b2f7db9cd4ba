//! The root that programs of the image change, in either sandbox.
//!
//! Where there are overlay mounts, it is one on the layers' directories. Elsewhere it is a copy of these: what changed in
//! it is found afterwards and brought to where the mount would have left it. So whoever asks for a ground finds the
//! changes in one place and form. A copy in which a command was run is the next command's, if that goes on there.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result, bail};

use crate::digest::Digest;
use crate::layer::{self, Moments, Renewed, Snapshot, Stack, diff};
use crate::oci::{Layer, canonical_json};
use crate::progress::Progress;
use crate::sandbox::{Root, Sandbox};
use crate::store::{Scratch, Store};

/// How many copies wait for somebody who goes on there.
const MOST_COPIES: usize = 3;
/// How often something is run until it is clear through which names it changed files.
const MOST_TRIES: usize = 4;

/// Copies of roots, waiting for the next command. They go away with this value.
#[derive(Default)]
pub struct Copies(Mutex<Vec<(Digest, Scratch)>>);

impl Copies {
    fn take(&self, layers: &[Layer]) -> Option<Scratch> {
        let key = key_of(layers);
        let mut copies = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = copies.iter().position(|(known, _)| *known == key)?;
        Some(copies.remove(place).1)
    }

    /// The one that has waited longest makes room.
    fn put(&self, layers: &[Layer], copy: Scratch) {
        let mut copies = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        copies.push((key_of(layers), copy));
        let oldest = (copies.len() > MOST_COPIES).then(|| copies.remove(0));
        drop(copies);
        drop(oldest);
    }

    /// Lets all be removed while the work goes on.
    pub fn leave(&mut self) {
        let copies = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        copies.drain(..).for_each(|(_, copy)| copy.leave());
    }
}

fn key_of(layers: &[Layer]) -> Digest {
    Digest::of(canonical_json(&layers.iter().map(|layer| layer.diff_id).collect::<Vec<_>>()))
}

/// A root that may be changed, above layers.
pub struct Ground {
    /// The layers' directories, lowest first.
    pub lowers: Vec<PathBuf>,
    /// What they look like together.
    pub below: Stack,
    /// Holds what changed, once the work is done, as an overlay mount's upper directory does.
    pub upper: PathBuf,
    /// When what changed in a copy was changed.
    moments: Option<Moments>,
    floor: Floor,
}

enum Floor {
    Mounted {
        work: PathBuf,
    },
    Copied {
        home: Scratch,
        /// Whether it is known to be as the layers and the changes say.
        is_true: bool,
    },
}

/// What a ground is made with.
pub struct Maker<'a> {
    /// Where the work is done.
    pub sandbox: Sandbox,
    /// Holds copies.
    pub store: &'a Store,
    /// Tells what takes time.
    pub progress: &'a Progress,
}

impl Maker<'_> {
    /// Returns the ground above the directories of layers; what it needs of its own is in `scratch`. A copy of `layers`
    /// is taken where there is one.
    pub fn ground(
        &self,
        lowers: Vec<PathBuf>,
        scratch: &Path,
        known: Option<(&Copies, &[Layer])>,
    ) -> Result<Ground> {
        let below = Stack::open(&lowers)?;
        let (upper, work) = (scratch.join("upper"), scratch.join("work"));
        below.make_upper(&upper)?;
        let floor = if self.sandbox.has_overlays() {
            fs::create_dir(&work)?;
            Floor::Mounted { work }
        } else {
            let home = match known.and_then(|(copies, layers)| copies.take(layers)) {
                Some(home) => home,
                None => self.copy(&below)?,
            };
            Floor::Copied { home, is_true: false }
        };
        Ok(Ground { lowers, below, upper, moments: None, floor })
    }

    fn copy(&self, below: &Stack) -> Result<Scratch> {
        let home = self.store.scratch()?;
        copy(below, home.path(), &BTreeSet::new(), self.progress)?;
        Ok(home)
    }

    /// Does work on a ground; what it changed is in [`Ground::upper`] then. On a copy the work may be done more than
    /// once, each time on a new one: until it is clear through which of a file's names it was changed.
    pub fn work(&self, ground: &mut Ground, work: &mut dyn FnMut(&Ground) -> Result<()>) -> Result<()> {
        let Some(root) = ground.copy() else { return work(ground) };
        let mut apart = BTreeSet::new();
        for _ in 0..MOST_TRIES {
            let snapshot = Snapshot::take(&root)?;
            work(ground)?;
            let since = diff::since(&snapshot, &ground.below, &root)?;
            if since.unclear.is_empty() {
                ground.moments = Some(Moments::read_of(&since.changes, &root)?);
                layer::bring(&since.changes, &root, &ground.upper)?;
                let settled = since.settle(&root, &ground.below)?;
                ground.is_true_now(settled);
                return Ok(());
            }
            self.progress.say("… once more: a file with several names was changed, each needs its own");
            apart.extend(since.unclear);
            fs::remove_dir_all(&root).with_context(|| format!("cannot remove {}", root.display()))?;
            let home = root.parent().unwrap_or(&root);
            copy(&ground.below, home, &apart, self.progress)?;
        }
        bail!(
            "cannot tell which names of a file were changed: each time it was another one's\nhint: run it where overlay mounts can be made: in Concourse with `privileged: true`"
        )
    }
}

impl Ground {
    /// Returns the root for the sandbox.
    pub fn root(&self) -> Root {
        match &self.floor {
            Floor::Mounted { work } => {
                Root::Overlay { lowers: self.lowers.clone(), upper: self.upper.clone(), work: work.clone() }
            }
            Floor::Copied { home, .. } => Root::Plain(root_in(home)),
        }
    }

    /// Returns when what changed was changed, once the work is done and before anything else is.
    pub fn moments(&mut self) -> Result<Moments> {
        match self.moments.take() {
            Some(moments) => Ok(moments),
            None => Ok(Moments::read(&self.upper)?),
        }
    }

    /// Returns what is below, and where the changes are. A copy is removed while the work goes on.
    pub fn end(self) -> (Stack, PathBuf) {
        if let Floor::Copied { home, .. } = self.floor {
            home.leave();
        }
        (self.below, self.upper)
    }

    /// Gives files of the layers times of their own for the work; a file that is not changed otherwise is unchanged.
    pub fn renew(&self, files: &[Renewed], epoch: i64) -> Result<()> {
        match &self.floor {
            Floor::Mounted { .. } => layer::renew(files, epoch, &self.below, &self.upper)?,
            Floor::Copied { home, .. } => layer::renew_in_place(files, epoch, &self.below, &root_in(home))?,
        }
        Ok(())
    }

    /// Leaves a copy to who goes on upon `layers`.
    pub fn pass_on(self, copies: &Copies, layers: &[Layer]) {
        if let Floor::Copied { home, is_true: true } = self.floor {
            copies.put(layers, home);
        }
    }

    /// Moves the root into `directory`, an empty one; returns a script there that starts a shell, or its arguments, in
    /// it.
    pub fn keep(&self, directory: &Path, workdir: &str) -> Result<PathBuf> {
        let text = match &self.floor {
            Floor::Mounted { .. } => {
                fs::rename(&self.upper, directory.join("upper"))?;
                for name in ["work", "root"] {
                    fs::create_dir(directory.join(name))?;
                }
                entering_mount(&self.lowers, workdir)
            }
            Floor::Copied { home, .. } => {
                fs::rename(root_in(home), directory.join("root"))?;
                entering_copy(workdir)
            }
        };
        let script = directory.join("enter");
        fs::write(&script, text)?;
        Ok(script)
    }

    fn copy(&self) -> Option<PathBuf> {
        match &self.floor {
            Floor::Mounted { .. } => None,
            Floor::Copied { home, .. } => Some(root_in(home)),
        }
    }

    fn is_true_now(&mut self, settled: bool) {
        if let Floor::Copied { is_true, .. } = &mut self.floor {
            *is_true = settled;
        }
    }
}

fn root_in(home: &Scratch) -> PathBuf {
    home.path().join("root")
}

fn copy(below: &Stack, home: &Path, apart: &BTreeSet<Vec<u8>>, progress: &Progress) -> Result<()> {
    let root = below.root()?.context("internal error: a ground without layers")?;
    let task = progress.start("copy the root");
    layer::copy_out(&root, &home.join("root"), apart)?;
    task.done("copied");
    Ok(())
}

/// A script that mounts a kept root where nobody else sees it, and starts a shell, or its arguments, in it.
fn entering_mount(lowers: &[PathBuf], workdir: &str) -> String {
    let lowers: Vec<String> = lowers.iter().rev().map(|lower| lower.display().to_string()).collect();
    format!(
        "#!/bin/sh\n\
         # Enters the root of a command that failed. What is changed there is kept beside this file.\n\
         cd \"$(dirname \"$0\")\" || exit\n\
         export LOWERS={} WORKDIR={}\n\
         exec unshare --mount --pid --fork sh -c '\n\
         mount -t overlay overlay -o \"lowerdir=$LOWERS,upperdir=upper,workdir=work\" root || exit\n\
         mkdir -p root/proc root/dev && mount -t proc proc root/proc && mount --rbind /dev root/dev\n\
         [ $# -gt 0 ] || set -- /bin/sh\n\
         exec chroot root /bin/sh -c \"cd \\\"$WORKDIR\\\"; exec \\\"\\$@\\\"\" sh \"$@\"' sh \"$@\"\n",
        quoted(&lowers.join(":")),
        quoted(workdir),
    )
}

/// The same for a root that nothing can be mounted in.
fn entering_copy(workdir: &str) -> String {
    format!(
        "#!/bin/sh\n\
         # Enters the root of a command that failed, as it is: without /proc and devices.\n\
         cd \"$(dirname \"$0\")\" || exit\n\
         export WORKDIR={}\n\
         [ $# -gt 0 ] || set -- /bin/sh\n\
         exec chroot root /bin/sh -c 'cd \"$WORKDIR\"; exec \"$@\"' sh \"$@\"\n",
        quoted(workdir),
    )
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
