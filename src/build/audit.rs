//! Whether an image is what its account says: every layer and path, and each file by its bytes.
//!
//! Layers are read as they come and kept nowhere. What a base brought along is its own affair, and isn't read, unless a
//! file that the account tells of lies there.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};

use anyhow::{Context as _, Result, anyhow};
use bytes::{Buf as _, Bytes};
use tokio::sync::mpsc::{Receiver, channel};

use super::ops::paths::shown;
use crate::bom::{Document, File, LayerAccount};
use crate::digest::{Digest, HashingReader};
use crate::layer::{self, Entry, Kind};
use crate::oci::{Config, Descriptor, Manifest};
use crate::progress::Task;
use crate::registry::Registry;

/// No manifest's configuration is larger.
const LARGEST_CONFIG: u64 = 16 << 20;
/// How many pieces of a layer wait to be read.
const N_PIECES: usize = 16;

/// What was looked at, and what of it isn't as the account says.
#[derive(Debug, Default)]
pub struct Findings {
    /// What differs, a line each.
    pub differences: Vec<String>,
    /// How many paths the layers have that the build added.
    pub n_paths: usize,
    /// How many layers that are.
    pub n_layers: usize,
    /// How many files were compared with their digests.
    pub n_files: usize,
}

/// Compares the image that `image` describes with its account.
///
/// # Errors
/// When the image can't be read; what differs is no error.
pub async fn audit(
    document: &Document,
    image: &Descriptor,
    registry: &Registry,
    task: &Task,
) -> Result<Findings> {
    let mut findings = Findings::default();
    let found = registry.manifest(&image.digest.to_string()).await?;
    let (_, bytes) = found.with_context(|| format!("cannot find manifest {}", image.digest))?;
    let manifest = Manifest::parse(&bytes)?;
    let config = registry.read_blob(&manifest.config, LARGEST_CONFIG).await?;
    let config: Config = super::base::parse_config(&config, registry)?;
    findings.identity(document, Digest::of(&bytes), &manifest);
    findings.layers(&document.layers, &config.rootfs.diff_ids);
    let mut files = Files::of(document);
    for ((descriptor, diff_id), account) in
        manifest.layers.iter().zip(&config.rootfs.diff_ids).zip(&document.layers)
    {
        if account.is_base && files.wanted.is_empty() {
            continue;
        }
        let seen = see(descriptor, registry, files.wanted.clone(), task).await?;
        findings.layer(account, *diff_id, &seen);
        files.apply(seen);
    }
    findings.files(document, &files);
    Ok(findings)
}

/// What a layer holds.
struct Seen {
    diff_id: Digest,
    paths: BTreeSet<String>,
    removed: BTreeSet<String>,
    files: BTreeMap<String, Held>,
    /// What is no directory.
    others: BTreeSet<String>,
}

/// What stands at a path that the account tells of.
#[derive(Clone)]
enum Held {
    File {
        digest: Digest,
        size: u64,
        mode: u32,
    },
    /// Another name of a file.
    Link(String),
    Other,
}

async fn see(layer: &Descriptor, registry: &Registry, wanted: BTreeSet<String>, task: &Task) -> Result<Seen> {
    let (sender, receiver) = channel(N_PIECES);
    let reading = tokio::task::spawn_blocking(move || read(receiver, &wanted));
    let mut incoming = registry.stream_blob(layer, task);
    while let Some(bytes) = incoming.next().await? {
        if sender.send(bytes).await.is_err() {
            break;
        }
    }
    drop(sender);
    let read = reading.await.context("internal error: the reading panicked")?;
    read.with_context(|| format!("cannot read layer {}", layer.digest))
}

fn read(receiver: Receiver<Bytes>, wanted: &BTreeSet<String>) -> Result<Seen> {
    let mut tar = HashingReader::new(layer::decompress(Coming { receiver, current: Bytes::new() })?);
    let (mut paths, mut files, mut others) = (BTreeSet::new(), BTreeMap::new(), BTreeSet::new());
    let delta = layer::scan(&mut tar, &mut |entry, content| {
        let path = shown(&entry.path);
        if wanted.contains(&path) {
            files.insert(path.clone(), held(entry, content)?);
        }
        if entry.kind != Kind::Directory {
            others.insert(path.clone());
        }
        paths.insert(path);
        Ok(())
    })?;
    let removed = delta.taken_away().map(|path| shown(&path)).collect();
    Ok(Seen { diff_id: tar.finish().1, paths, removed, files, others })
}

fn held(entry: &Entry, content: &mut dyn Read) -> io::Result<Held> {
    Ok(match &entry.kind {
        Kind::File { size } => {
            let mut hashing = HashingReader::new(content);
            io::copy(&mut hashing, &mut io::sink())?;
            Held::File { digest: hashing.finish().1, size: *size, mode: entry.metadata.mode }
        }
        Kind::Hardlink { target } => Held::Link(shown(target)),
        Kind::Directory
        | Kind::Symlink { .. }
        | Kind::CharDevice { .. }
        | Kind::BlockDevice { .. }
        | Kind::Fifo => Held::Other,
    })
}

/// The bytes of a layer, as they come.
struct Coming {
    receiver: Receiver<Bytes>,
    current: Bytes,
}

impl Read for Coming {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            match self.receiver.blocking_recv() {
                Some(bytes) => self.current = bytes,
                None => return Ok(0),
            }
        }
        let n = self.current.len().min(buffer.len());
        self.current.copy_to_slice(buffer.get_mut(..n).unwrap_or_default());
        Ok(n)
    }
}

/// The files that the account tells of, as the layers so far leave them.
struct Files {
    wanted: BTreeSet<String>,
    held: BTreeMap<String, Held>,
}

impl Files {
    fn of(document: &Document) -> Files {
        let wanted = document.changeset.files.iter().map(|file| file.path.clone()).collect();
        Files { wanted, held: BTreeMap::new() }
    }

    fn apply(&mut self, seen: Seen) {
        let is_gone = |path: &str| {
            let mut above = std::iter::successors(Some(path), |path| Some(path.rsplit_once('/')?.0)).skip(1);
            seen.removed.contains(path)
                || above.any(|directory| {
                    seen.removed.contains(directory)
                        || seen.others.contains(directory)
                        || seen.removed.contains(&format!("{directory}/"))
                })
        };
        self.held.retain(|path, _| !is_gone(path));
        self.held.extend(seen.files);
    }

    /// Returns what a path holds, by whichever of its names.
    fn at(&self, path: &str) -> Option<&Held> {
        match self.held.get(path) {
            Some(Held::Link(target)) => self.held.get(target),
            held => held,
        }
    }
}

impl Findings {
    fn differs(&mut self, line: String) {
        self.differences.push(line);
    }

    fn identity(&mut self, document: &Document, digest: Digest, manifest: &Manifest) {
        let Some(image) = &document.image else { return };
        for (what, said, is) in
            [("manifest", image.digest, digest), ("configuration", image.config, manifest.config.digest)]
        {
            if said != is {
                self.differs(format!("the {what} is {is}, the account tells of {said}"));
            }
        }
    }

    fn layers(&mut self, accounts: &[LayerAccount], diff_ids: &[Digest]) {
        if !accounts.iter().map(|account| &account.diff_id).eq(diff_ids) {
            let shown = |ids: Vec<String>| ids.join(", ");
            let said = shown(accounts.iter().map(|account| account.diff_id.to_string()).collect());
            let are = shown(diff_ids.iter().map(Digest::to_string).collect());
            self.differs(format!("the layers are {are}; the account tells of {said}"));
        }
    }

    fn layer(&mut self, account: &LayerAccount, diff_id: Digest, seen: &Seen) {
        if seen.diff_id != diff_id {
            self.differs(format!("layer {diff_id} is really {}", seen.diff_id));
        }
        if account.is_base {
            return;
        }
        self.n_layers += 1;
        self.n_paths += seen.paths.len() + seen.removed.len();
        self.paths("", &account.paths().collect(), &seen.paths, diff_id);
        self.paths("the removal of ", &account.removed().collect(), &seen.removed, diff_id);
        for path in account.unaccounted() {
            self.differs(format!("nothing explains {path} of layer {diff_id}"));
        }
    }

    fn paths(&mut self, what: &str, said: &BTreeSet<&str>, are: &BTreeSet<String>, diff_id: Digest) {
        for path in are.iter().filter(|path| !said.contains(path.as_str())) {
            self.differs(format!("the account lacks {what}{path} of layer {diff_id}"));
        }
        for path in said.iter().filter(|path| !are.contains(**path)) {
            self.differs(format!("layer {diff_id} lacks {what}{path}, which the account tells of"));
        }
    }

    fn files(&mut self, document: &Document, files: &Files) {
        for file in &document.changeset.files {
            self.n_files += 1;
            if let Err(difference) = compare(file, files.at(&file.path)) {
                self.differs(format!("{}: {difference}", file.path));
            }
        }
    }
}

fn compare(file: &File, held: Option<&Held>) -> Result<()> {
    match held {
        None => Err(anyhow!("it is not in the image")),
        Some(Held::Link(_) | Held::Other) => Err(anyhow!("it is no file")),
        Some(Held::File { digest, .. }) if *digest != file.digest => {
            Err(anyhow!("its digest is {digest}, the account tells of {}", file.digest))
        }
        Some(Held::File { size, .. }) if *size != file.size => {
            Err(anyhow!("it has {size} bytes, the account tells of {}", file.size))
        }
        Some(Held::File { mode, .. }) if format!("{mode:04o}") != file.mode => {
            Err(anyhow!("its mode is {mode:04o}, the account tells of {}", file.mode))
        }
        Some(Held::File { .. }) => Ok(()),
    }
}
