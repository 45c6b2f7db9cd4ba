//! Unpacking a layer, or a package's files, onto a root.
//!
//! Every parent is opened inside the root, whatever links lead there, and everything is made in that open directory
//! under a name that was free. So an archive reaches nothing outside, even where its own earlier entries are links.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, Stat, Uid, chmodat, chownat, fchmod, fchown, fstat, linkat,
    mkdirat, mknodat, openat, symlinkat, utimensat,
};
use rustix::io::Errno;

use super::entry::Whiteout;
use super::lesser::make_device;
use super::rooted::{
    FileId, Root, id_of, kind_of, names_in, nanoseconds_of, open_child, remove, replace_xattrs, set_mtime,
    set_times, set_xattrs, split, stat_child, timestamps,
};
use super::{Entry, Error, Kind, Metadata, archive, shown};

/// How an archive is unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unpack {
    /// Whether `.wh.name` removes `name`.
    pub whiteouts: bool,
    /// Whether a directory that is already there, or a symbolic link to one, stays as it is where the archive has a
    /// directory, and a directory where the archive has a symbolic link. So does dpkg; merged `/usr` depends on it.
    pub keep_directories: bool,
}

impl Unpack {
    /// As a layer of an image.
    pub const LAYER: Unpack = Unpack { whiteouts: true, keep_directories: false };
    /// As the files of a package.
    pub const PACKAGE: Unpack = Unpack { whiteouts: false, keep_directories: true };
}

/// Makes an empty root: a directory of 1970 that everybody may enter, whatever the umask.
pub fn make_root(path: &Path) -> Result<(), Error> {
    let make = || {
        std::fs::create_dir(path)?;
        rustix::fs::chmod(path, Mode::from_raw_mode(0o755))?;
        set_mtime(File::open(path)?, 0)
    };
    make().map_err(|source| Error::Io { action: "make", path: path.display().to_string(), source })
}

/// Applies a layer, uncompressed, to `root`, and reads `tar` to its end.
pub fn apply(tar: impl Read, root: &Path) -> Result<(), Error> {
    unpack(tar, root, Unpack::LAYER)
}

/// Unpacks an archive, uncompressed, onto `root`, and reads `tar` to its end.
pub fn unpack(tar: impl Read, root: &Path, how: Unpack) -> Result<(), Error> {
    unpack_with(tar, root, how, &mut |_| true)
}

/// As [`unpack`], but asks `choose` about each entry first, which may leave it out, or put it under another path.
pub fn unpack_with(
    tar: impl Read,
    root: &Path,
    how: Unpack,
    choose: &mut dyn FnMut(&mut Entry) -> bool,
) -> Result<(), Error> {
    let opened = Root::open(root);
    let root =
        opened.map_err(|source| Error::Io { action: "open", path: root.display().to_string(), source })?;
    let mut unpacker = Unpacker::new(root, how);
    archive::read(tar, &mut |entry, content| {
        let mut entry = entry.clone();
        if !choose(&mut entry) {
            return Ok(());
        }
        // What `choose` made of the path must not lead outside, either.
        entry.path = archive::normalize(&entry.path)?;
        unpacker.entry(&entry, content)
    })?;
    unpacker.finish()
}

pub(super) struct Unpacker {
    pub(super) root: Root,
    how: Unpack,
    /// What this archive brought; its whiteouts don't touch it.
    fresh: HashSet<FileId>,
    /// The directory of the last entry.
    parent: Option<(Vec<u8>, OwnedFd)>,
    /// The times that directories are to have in the end.
    times: BTreeMap<FileId, (Vec<u8>, i64, i64)>,
    /// Hard links whose file had not come yet.
    late_links: Vec<Entry>,
    buffer: Vec<u8>,
}

/// What is done where something already stands.
enum Place {
    Free,
    HasDirectory,
    StaysAsItIs,
}

impl Unpacker {
    pub(super) fn new(root: Root, how: Unpack) -> Unpacker {
        Unpacker {
            root,
            how,
            fresh: HashSet::new(),
            parent: None,
            times: BTreeMap::new(),
            late_links: Vec::new(),
            buffer: vec![0; 128 << 10],
        }
    }

    fn entry(&mut self, entry: &Entry, content: &mut dyn Read) -> Result<(), Error> {
        let whiteout = if self.how.whiteouts { Whiteout::of(&entry.path)? } else { None };
        match whiteout {
            None if entry.path.is_empty() => self.root_itself(entry),
            None => self.make(entry, content),
            Some(Whiteout::Removed(path)) => self.hide(&path).map_err(failed("remove", &path)),
            Some(Whiteout::Opaque(path)) => self.hide_all_in(path).map_err(failed("empty", path)),
            Some(Whiteout::Ignored) => Ok(()),
        }
    }

    pub(super) fn finish(mut self) -> Result<(), Error> {
        for link in std::mem::take(&mut self.late_links) {
            let Kind::Hardlink { target } = &link.kind else { continue };
            let (parent, name) = self.open_parent(&link.path)?;
            self.link(&parent, name, target).map_err(failed("link", &link.path))?;
        }
        for (id, (path, seconds, nanoseconds)) in &self.times {
            let Ok(directory) = self.root.directory(path) else { continue };
            let stat = fstat(&directory).map_err(|error| failed("look at", path)(error.into()))?;
            if id_of(&stat) == *id {
                set_times(&directory, *seconds, *nanoseconds).map_err(failed("set the time of", path))?;
            }
        }
        Ok(())
    }

    pub(super) fn root_itself(&mut self, entry: &Entry) -> Result<(), Error> {
        if entry.kind != Kind::Directory {
            let reason = "it would replace the root itself".into();
            return Err(Error::Refused { path: shown(&entry.path), reason });
        }
        if self.how.keep_directories {
            return Ok(());
        }
        let directory = self.root.directory(b"").map_err(failed("open", b""))?;
        self.set_directory(&directory, entry).map_err(failed("set up", b""))
    }

    pub(super) fn make(&mut self, entry: &Entry, content: &mut dyn Read) -> Result<(), Error> {
        let (parent, name) = self.open_parent(&entry.path)?;
        let path = entry.path.as_slice();
        let place = self.clear_place(&parent, name, entry)?;
        let has_directory = match place {
            Place::StaysAsItIs => return Ok(()),
            Place::HasDirectory => true,
            Place::Free => false,
        };
        match &entry.kind {
            Kind::File { .. } => return self.make_file(&parent, name, entry, content),
            Kind::Directory => self.make_directory(&parent, name, entry, has_directory),
            Kind::Hardlink { target } => match self.link(&parent, name, target) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    self.late_links.push(entry.clone());
                    Ok(())
                }
                result => result,
            },
            Kind::Symlink { .. } | Kind::CharDevice { .. } | Kind::BlockDevice { .. } | Kind::Fifo => {
                self.make_special(&parent, name, entry)
            }
        }
        .map_err(failed("make", path))
    }

    /// Whether `directory` is where the last entry lies.
    pub(super) fn has_open(&self, directory: &[u8]) -> bool {
        self.parent.as_ref().is_some_and(|(path, _)| path == directory)
    }

    /// Forgets where the last entry lies: something is done behind this back.
    pub(super) fn forget_parent(&mut self) {
        self.parent = None;
    }

    pub(super) fn is_fresh(&self, id: FileId) -> bool {
        self.fresh.contains(&id)
    }

    /// Says that this is nothing that the archive brought.
    pub(super) fn forget_fresh(&mut self, stat: Option<&Stat>) {
        stat.map(|stat| self.fresh.remove(&id_of(stat)));
    }

    /// Lets a directory have in the end the time that it has now, unless it is to have another.
    pub(super) fn note_time(&mut self, path: &[u8], directory: &OwnedFd) -> io::Result<()> {
        let stat = fstat(directory)?;
        let time = (path.to_vec(), stat.st_mtime, nanoseconds_of(&stat));
        self.times.entry(id_of(&stat)).or_insert(time);
        Ok(())
    }

    /// Opens the directory that an entry lies in, and remembers what time it has.
    fn open_parent<'p>(&mut self, path: &'p [u8]) -> Result<(OwnedFd, &'p [u8]), Error> {
        let (directory, name) = split(path);
        let open = |unpacker: &mut Unpacker| -> io::Result<OwnedFd> {
            if let Some((_, opened)) = unpacker.parent.as_ref().filter(|(path, _)| path == directory) {
                return opened.try_clone();
            }
            let opened = unpacker.root.make_directory(directory)?;
            unpacker.note_time(directory, &opened)?;
            unpacker.parent = Some((directory.to_vec(), opened.try_clone()?));
            Ok(opened)
        };
        Ok((open(self).map_err(failed("open", directory))?, name))
    }

    /// Makes room for an entry.
    fn clear_place(&mut self, parent: &OwnedFd, name: &[u8], entry: &Entry) -> Result<Place, Error> {
        let path = entry.path.as_slice();
        let Some(stat) = stat_child(parent, name).map_err(failed("look at", path))? else {
            return Ok(Place::Free);
        };
        let is_directory = kind_of(&stat) == FileType::Directory;
        if self.how.keep_directories && self.stays(&stat, entry) {
            return Ok(Place::StaysAsItIs);
        }
        if is_directory && entry.kind == Kind::Directory {
            return Ok(Place::HasDirectory);
        }
        if is_directory && self.how.keep_directories {
            let reason = "a directory is in the way".into();
            return Err(Error::Refused { path: shown(path), reason });
        }
        if let Kind::Hardlink { target } = &entry.kind
            && self.is_same_file(&stat, target)
        {
            return Ok(Place::StaysAsItIs);
        }
        self.parent = None;
        remove(parent, name, &|_| false, 0).map_err(failed("replace", path))?;
        Ok(Place::Free)
    }

    /// Whether dpkg would leave what `stat` describes as it is.
    fn stays(&self, stat: &Stat, entry: &Entry) -> bool {
        match (kind_of(stat), &entry.kind) {
            (FileType::Directory, Kind::Directory | Kind::Symlink { .. }) => true,
            (FileType::Symlink, Kind::Directory) => self.root.directory(&entry.path).is_ok(),
            _ => false,
        }
    }

    fn is_same_file(&self, stat: &Stat, path: &[u8]) -> bool {
        let (directory, name) = split(path);
        let Ok(parent) = self.root.directory(directory) else { return false };
        stat_child(&parent, name).is_ok_and(|other| other.is_some_and(|other| id_of(&other) == id_of(stat)))
    }

    fn make_file(
        &mut self,
        parent: &OwnedFd,
        name: &[u8],
        entry: &Entry,
        content: &mut dyn Read,
    ) -> Result<(), Error> {
        let path = entry.path.as_slice();
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(parent, name, flags, Mode::from_raw_mode(0o600));
        let mut file = File::from(file.map_err(|error| failed("make", path)(error.into()))?);
        loop {
            let n = match content.read(&mut self.buffer) {
                Ok(0) => break,
                Ok(n) => n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Error::Read(error)),
            };
            file.write_all(&self.buffer[..n]).map_err(failed("write", path))?;
        }
        let set = || {
            set_metadata(&file, &entry.metadata)?;
            set_mtime(&file, entry.metadata.mtime)?;
            Ok(id_of(&fstat(&file)?))
        };
        self.fresh.insert(set().map_err(failed("set up", path))?);
        Ok(())
    }

    fn make_directory(
        &mut self,
        parent: &OwnedFd,
        name: &[u8],
        entry: &Entry,
        is_there: bool,
    ) -> io::Result<()> {
        if !is_there {
            mkdirat(parent, name, Mode::from_raw_mode(0o700))?;
        }
        self.set_directory(&open_child(parent, name)?, entry)
    }

    fn set_directory(&mut self, directory: &OwnedFd, entry: &Entry) -> io::Result<()> {
        set_metadata(directory, &entry.metadata)?;
        let id = id_of(&fstat(directory)?);
        self.times.insert(id, (entry.path.clone(), entry.metadata.mtime, 0));
        self.fresh.insert(id);
        Ok(())
    }

    fn make_special(&mut self, parent: &OwnedFd, name: &[u8], entry: &Entry) -> io::Result<()> {
        make_special(parent, name, &entry.kind, &entry.metadata)?;
        self.fresh.extend(stat_child(parent, name)?.as_ref().map(id_of));
        Ok(())
    }

    fn link(&mut self, parent: &OwnedFd, name: &[u8], target: &[u8]) -> io::Result<()> {
        let (directory, target_name) = split(target);
        let directory = self.root.directory(directory)?;
        Ok(linkat(directory, target_name, parent, name, AtFlags::empty())?)
    }

    fn hide(&mut self, path: &[u8]) -> io::Result<()> {
        let (directory, name) = split(path);
        let Some(parent) = found(self.root.directory(directory))? else { return Ok(()) };
        self.remove_lower(directory, &parent, &[name.to_vec()])
    }

    fn hide_all_in(&mut self, path: &[u8]) -> io::Result<()> {
        let Some(directory) = found(self.root.directory(path))? else { return Ok(()) };
        let names = names_in(&directory)?;
        self.remove_lower(path, &directory, &names)
    }

    /// Removes what the layers below brought; the directory keeps its time.
    fn remove_lower(&mut self, path: &[u8], directory: &OwnedFd, names: &[Vec<u8>]) -> io::Result<()> {
        self.note_time(path, directory)?;
        self.parent = None;
        for name in names {
            remove(directory, name, &|id| self.fresh.contains(&id), 0)?;
        }
        Ok(())
    }
}

/// Makes what is neither file nor directory.
pub(super) fn make_special(
    parent: &OwnedFd,
    name: &[u8],
    kind: &Kind,
    metadata: &Metadata,
) -> io::Result<()> {
    let Metadata { mode, uid, gid, mtime, xattrs } = metadata;
    let mode = Mode::from_raw_mode(*mode);
    match kind {
        Kind::Symlink { target } => symlinkat(target.as_slice(), parent, name)?,
        Kind::CharDevice { major, minor } => {
            make_device(parent, name, FileType::CharacterDevice, (*major, *minor))?;
        }
        Kind::BlockDevice { major, minor } => {
            make_device(parent, name, FileType::BlockDevice, (*major, *minor))?;
        }
        Kind::Fifo => mknodat(parent, name, FileType::Fifo, mode, 0)?,
        Kind::File { .. } | Kind::Directory | Kind::Hardlink { .. } => return Ok(()),
    }
    let owner = (Some(Uid::from_raw(*uid)), Some(Gid::from_raw(*gid)));
    let owned = chownat(parent, name, owner.0, owner.1, AtFlags::SYMLINK_NOFOLLOW);
    owned.map_err(not_owned(*uid, *gid))?;
    if !matches!(kind, Kind::Symlink { .. }) {
        chmodat(parent, name, mode, AtFlags::empty())?;
    }
    set_xattrs(parent.as_fd(), name, xattrs)?;
    Ok(utimensat(parent, name, &timestamps(*mtime, 0), AtFlags::SYMLINK_NOFOLLOW)?)
}

/// What is missing, or lies below something that is no directory, need not be removed.
fn found<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(None)
        }
        result => result.map(Some),
    }
}

/// Owner first: a change of owner takes setuid bits and capabilities away.
pub(super) fn set_metadata(file: impl AsFd, metadata: &Metadata) -> io::Result<()> {
    let Metadata { uid, gid, .. } = *metadata;
    fchown(&file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid))).map_err(not_owned(uid, gid))?;
    fchmod(&file, Mode::from_raw_mode(metadata.mode))?;
    replace_xattrs(&file, &metadata.xattrs)
}

/// Names an owner that cannot be given, as where a user namespace has no such number.
fn not_owned(uid: u32, gid: u32) -> impl FnOnce(Errno) -> io::Error {
    move |error| match error {
        Errno::INVAL | Errno::PERM => io::Error::other(format!(
            "cannot make {uid}:{gid} its owner: {}\nhint: install uidmap (newuidmap, newgidmap), and give this user a range in /etc/subuid and /etc/subgid, as `usermod --add-subuids 100000-165535 --add-subgids 100000-165535 NAME` does; or run as root",
            io::Error::from(error)
        )),
        error => error.into(),
    }
}

fn failed(action: &'static str, path: &[u8]) -> impl FnOnce(io::Error) -> Error {
    let path = shown(path);
    move |source| Error::Io { action, path, source }
}
