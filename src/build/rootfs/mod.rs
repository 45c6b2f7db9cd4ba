//! An image's root, unpacked while its layers come: they are downloaded side by side, decompressed on one thread and
//! unpacked on another, in their order. Nothing but what comes too early is written down twice.

mod pipe;

use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use futures_util::{StreamExt, TryStreamExt, stream};

use super::pieces;
use crate::digest::HashingReader;
use crate::layer::{self, Entry, Kind, Unpack};
use crate::oci::{Descriptor, Image, Layer};
use crate::progress::{Progress, Task};
use crate::registry::Registry;
use pipe::{PipeReader, PipeWriter};

/// How many layers are downloaded at a time.
const N_PARALLEL: usize = 4;

/// Unpacks the layers of `image` into `root`, which is made; what comes too early lies in `scratch` meanwhile.
///
/// Who isn't root owns all of it, and where no devices can be made, there are none.
///
/// # Errors
/// When a layer can't be had, or isn't what manifest and configuration say; `root` is worth nothing then.
pub async fn unpack(
    image: &Image,
    registry: &Registry,
    root: &Path,
    scratch: &Path,
    progress: &Progress,
) -> Result<()> {
    let task = progress.start(format!("pull {} layers of {}", image.layers.len(), registry.name()));
    let (writers, readers): (Vec<_>, Vec<_>) = image.layers.iter().map(|_| pipe::pipe(scratch)).collect();
    let layers: Vec<(Layer, PipeReader)> = image.layers.iter().cloned().zip(readers).collect();
    let (root, rights) = (root.to_owned(), Rights::here(scratch));
    let unpacking = tokio::task::spawn_blocking(move || unpack_all(layers, &root, rights));
    let pulls = image.layers.iter().zip(writers);
    let pulls = pulls.map(|(layer, writer)| pull(&layer.descriptor, registry, writer, &task));
    let pulled = stream::iter(pulls).buffer_unordered(N_PARALLEL).try_collect::<Vec<()>>();
    // A download that breaks off is told rather than what its end did to the unpacking.
    let unpacked = async { unpacking.await.context("internal error: the unpacking panicked") };
    let (pulled, unpacked) = futures_util::future::join(pulled, unpacked).await;
    pulled?;
    unpacked??;
    task.done("unpacked");
    Ok(())
}

async fn pull(layer: &Descriptor, registry: &Registry, writer: PipeWriter, task: &Task) -> Result<()> {
    let mut incoming = registry.stream_blob(layer, task);
    while let Some(bytes) = incoming.next().await? {
        let is_wanted = writer.write(bytes).await.context("cannot write down a layer that came early")?;
        // Whether the bytes that nobody could read are the right ones is only known at their end.
        if !is_wanted && !writer.was_read() {
            return Ok(());
        }
    }
    writer.finish();
    Ok(())
}

fn unpack_all(layers: Vec<(Layer, PipeReader)>, root: &Path, rights: Rights) -> Result<()> {
    layer::make_root(root)?;
    for (layer, reader) in layers {
        unpack_one(&layer, reader, root, rights)
            .with_context(|| format!("cannot unpack layer {}", layer.descriptor.digest))?;
    }
    Ok(())
}

fn unpack_one(layer: &Layer, reader: PipeReader, root: &Path, rights: Rights) -> Result<()> {
    pieces::ahead(layer::decompress(reader)?, |pieces| {
        let mut tar = HashingReader::new(pieces);
        layer::unpack_with(&mut tar, root, Unpack::LAYER, &mut |entry| rights.allow(entry))?;
        io::copy(&mut tar, &mut io::sink())?;
        let (_, diff_id, _) = tar.finish();
        match diff_id == layer.diff_id {
            true => Ok(()),
            false => bail!("its content has the digest {diff_id}, the configuration says {}", layer.diff_id),
        }
    })
}

/// What may be made of a layer's entries here.
#[derive(Clone, Copy)]
struct Rights {
    owner: (u32, u32),
    /// Devices, and what else only a machine's own root may do.
    are_those_of_the_machine: bool,
}

impl Rights {
    fn here(scratch: &Path) -> Rights {
        let (user, group) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        Rights { owner: (user, group), are_those_of_the_machine: can_make_devices(scratch) }
    }

    /// Changes an entry to what is possible; returns whether anything of it is.
    fn allow(self, entry: &mut Entry) -> bool {
        if self.are_those_of_the_machine {
            return true;
        }
        entry.metadata.xattrs.retain(|name, _| !name.starts_with(b"trusted."));
        if self.owner.0 != 0 {
            (entry.metadata.uid, entry.metadata.gid) = self.owner;
            entry.metadata.xattrs.retain(|name, _| name.starts_with(b"user."));
        }
        !matches!(entry.kind, Kind::CharDevice { .. } | Kind::BlockDevice { .. })
    }
}

/// Whether a device like `/dev/null` can be made: not in a user namespace.
fn can_make_devices(scratch: &Path) -> bool {
    use rustix::fs::{CWD, FileType, Mode, makedev, mknodat, unlink};
    let path: PathBuf = scratch.join("device");
    let made = mknodat(CWD, &path, FileType::CharacterDevice, Mode::from_raw_mode(0o600), makedev(1, 3));
    made.is_ok() && unlink(&path).is_ok()
}
