//! Files of layers with times of their own, for programs that go by times.

use std::io;
use std::path::Path;
use std::time::SystemTime;

use super::apply::{Unpack, Unpacker};
use super::rooted::{Root, open_file, split};
use super::stack::{LastLink, Node, Stack};
use super::{Error, shown};

/// A file, and when it was really changed last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renewed {
    /// Relative to the root, as in [`super::Entry::path`].
    pub path: Vec<u8>,
    /// In bytes.
    pub size: u64,
    /// When it was changed.
    pub modified: SystemTime,
}

/// Copies files of the layers `below` to `upper`, the empty upper directory of an overlay mount on them, and gives them
/// their times. What is no longer of the size or of `epoch`, the time of the image, is passed over.
pub fn renew(files: &[Renewed], epoch: i64, below: &Stack, upper: &Path) -> Result<(), Error> {
    let root = Root::open(upper).map_err(failed(b""))?;
    let mut unpacker = Unpacker::new(root, Unpack::LAYER);
    each(files, epoch, below, &mut |node, file| {
        make_directory(&mut unpacker, split(node.path()).0, below)?;
        unpacker.make(&node.entry()?, &mut node.open()?)?;
        set_time(&unpacker.root, file, node.path()).map_err(failed(node.path()))
    })?;
    unpacker.finish()
}

/// As [`renew`], but in `root`, a copy of the layers.
pub fn renew_in_place(files: &[Renewed], epoch: i64, below: &Stack, root: &Path) -> Result<(), Error> {
    let root = Root::open(root).map_err(failed(b""))?;
    each(files, epoch, below, &mut |node, file| {
        set_time(&root, file, node.path()).map_err(failed(node.path()))
    })
}

fn each(
    files: &[Renewed],
    epoch: i64,
    below: &Stack,
    renew: &mut dyn FnMut(&Node, &Renewed) -> Result<(), Error>,
) -> Result<(), Error> {
    for file in files {
        let Some(node) = below.find(&file.path, LastLink::Kept)? else { continue };
        if node.is_file() && node.size() == file.size && node.metadata()?.mtime == epoch {
            renew(&node, file)?;
        }
    }
    Ok(())
}

fn make_directory(unpacker: &mut Unpacker, path: &[u8], below: &Stack) -> Result<(), Error> {
    if unpacker.has_open(path) || unpacker.root.exact_directory(path).is_ok() {
        return Ok(());
    }
    make_directory(unpacker, split(path).0, below)?;
    let node = below.find(path, LastLink::Kept)?;
    let node = node.ok_or_else(|| failed(path)(io::ErrorKind::NotFound.into()))?;
    unpacker.make(&node.entry()?, &mut io::empty())
}

fn set_time(root: &Root, file: &Renewed, path: &[u8]) -> io::Result<()> {
    let (directory, name) = split(path);
    open_file(root.exact_directory(directory)?, name)?.set_modified(file.modified)
}

fn failed(path: &[u8]) -> impl FnOnce(io::Error) -> Error {
    let path = shown(path);
    move |source| Error::Io { action: "set the time of", path, source }
}
