//! Writing what changed to a layer.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{FileType, Stat, major, minor};

use super::diff::{Change, ChangeKind};
use super::entry::Whiteout;
use super::rooted::{FileId, Root, id_of, kind_of, open_file, read_link, split, stat_child, xattrs_of};
use super::{Entry, Error, Kind, LayerWriter, Metadata, shown};

/// Writes `changes`, whose content lies in `directory` (the root after the change, or an overlay's upper directory).
/// Of several changed names of one file, the first is the file and the others are hard links to it.
///
/// The directories above a change are written too, though they didn't change: some engines unpack each layer by
/// itself, and would make up the attributes of those that are missing (`docs/decisions/0004-parents-in-layers.md`).
pub fn pack(changes: &[Change], directory: &Path, writer: &mut LayerWriter) -> Result<(), Error> {
    let opened = Root::open(directory);
    let io = |source| Error::Io { action: "open", path: directory.display().to_string(), source };
    let mut packer = Packer { root: opened.map_err(io)?, parent: None, links: HashMap::new() };
    let mut pieces: BTreeMap<Vec<u8>, Piece<'_>> =
        changes.iter().map(|change| (archive_name(change), Piece::Change(change))).collect();
    for parent in changes.iter().flat_map(|change| parents(&change.path)) {
        pieces.entry(parent.to_vec()).or_insert(Piece::Parent);
    }
    for (name, piece) in &pieces {
        match piece {
            Piece::Parent => packer.write_parent(name, writer)?,
            Piece::Change(Change { path, kind: ChangeKind::Present }) => packer.write(path, writer)?,
            Piece::Change(Change { path, kind: ChangeKind::Removed }) => writer.whiteout(path)?,
        }
    }
    Ok(())
}

enum Piece<'a> {
    Parent,
    Change(&'a Change),
}

/// Returns the directories above a path, without the root.
pub(super) fn parents(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::successors(Some(split(path).0), |path| Some(split(path).0)).take_while(|path| !path.is_empty())
}

fn archive_name(change: &Change) -> Vec<u8> {
    match change.kind {
        ChangeKind::Present => change.path.clone(),
        ChangeKind::Removed => Whiteout::removing(&change.path),
    }
}

struct Packer {
    root: Root,
    /// The directory of the last entry.
    parent: Option<(Vec<u8>, OwnedFd)>,
    /// The first names of files that have several.
    links: HashMap<FileId, Vec<u8>>,
}

impl Packer {
    /// That it changed on the way is nothing that its time should tell.
    fn write_parent(&mut self, path: &[u8], writer: &mut LayerWriter) -> Result<(), Error> {
        let failed = |source| Error::Io { action: "read", path: shown(path), source };
        let (directory, name) = split(path);
        let parent = self.open(directory).map_err(failed)?;
        let mut entry = self.entry_of(&parent, name, path).map_err(failed)?;
        entry.metadata.mtime = i64::MAX;
        writer.entry(&entry, &mut io::empty())
    }

    fn write(&mut self, path: &[u8], writer: &mut LayerWriter) -> Result<(), Error> {
        let failed = |source| Error::Io { action: "read", path: shown(path), source };
        let (directory, name) = split(path);
        let parent = self.open(directory).map_err(failed)?;
        let entry = self.entry_of(&parent, name, path).map_err(failed)?;
        match entry.kind {
            Kind::File { .. } => {
                let file = open_file(&parent, name).map_err(failed)?;
                writer.lying(&entry, (&file, 0), &mut &file)
            }
            Kind::Directory
            | Kind::Symlink { .. }
            | Kind::Hardlink { .. }
            | Kind::CharDevice { .. }
            | Kind::BlockDevice { .. }
            | Kind::Fifo => writer.entry(&entry, &mut io::empty()),
        }
    }

    fn open(&mut self, directory: &[u8]) -> io::Result<OwnedFd> {
        if let Some((_, opened)) = self.parent.as_ref().filter(|(path, _)| path == directory) {
            return opened.try_clone();
        }
        let opened = self.root.exact_directory(directory)?;
        self.parent = Some((directory.to_vec(), opened.try_clone()?));
        Ok(opened)
    }

    fn entry_of(&mut self, parent: &OwnedFd, name: &[u8], path: &[u8]) -> io::Result<Entry> {
        let stat = stat_child(parent, name)?.ok_or(io::ErrorKind::NotFound)?;
        let kind = self.kind_of(parent, name, path, &stat)?;
        // The attributes of a hard link are its file's.
        let xattrs = match kind {
            Kind::Hardlink { .. } => Default::default(),
            _ => xattrs_of(parent.as_fd(), name)?,
        };
        let mode = stat.st_mode & 0o7777;
        let metadata = Metadata { mode, uid: stat.st_uid, gid: stat.st_gid, mtime: stat.st_mtime, xattrs };
        Ok(Entry { path: path.to_vec(), kind, metadata })
    }

    fn kind_of(&mut self, parent: &OwnedFd, name: &[u8], path: &[u8], stat: &Stat) -> io::Result<Kind> {
        let kind = kind_of(stat);
        if kind != FileType::Directory && stat.st_nlink > 1 {
            if let Some(target) = self.links.get(&id_of(stat)) {
                return Ok(Kind::Hardlink { target: target.clone() });
            }
            self.links.insert(id_of(stat), path.to_vec());
        }
        let (major, minor) = (major(stat.st_rdev), minor(stat.st_rdev));
        Ok(match kind {
            FileType::RegularFile => Kind::File { size: u64::try_from(stat.st_size).unwrap_or(0) },
            FileType::Directory => Kind::Directory,
            FileType::Symlink => Kind::Symlink { target: read_link(parent, name)? },
            FileType::CharacterDevice => Kind::CharDevice { major, minor },
            FileType::BlockDevice => Kind::BlockDevice { major, minor },
            FileType::Fifo => Kind::Fifo,
            FileType::Socket | FileType::Unknown => return Err(io::ErrorKind::Unsupported.into()),
        })
    }
}
