//! What a root is furnished with for a run: `/dev`, `/proc` and `/sys`, and what else the command is to see.
//!
//! Nothing can be mounted here. So what the root has at such a place is moved aside, something else is put there, and in
//! the end all is put back. Much of what is put there are *markers*: devices 0:0, which nobody can open; the supervisor
//! knows them by their numbers, and gives what they stand for.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::errno::Errno;
use rustix::fs::{AtFlags, CWD, FileType, MemfdFlags, Mode, OFlags, memfd_create, mknodat, renameat, statat};

use super::kernel;
use crate::sandbox::place::{self, Kind, Stubs};
use crate::sandbox::plan::c_path;
use crate::sandbox::report::Step;
use crate::sandbox::syscall as sys;
use crate::sandbox::{Mount, Root, Run, Source};

/// What a marker stands for.
#[derive(Clone, Debug)]
pub(super) enum Special {
    /// Something of the builder's own root.
    Outside(PathBuf),
    /// A file below the caller's `/proc/PID`.
    Own(&'static str),
    /// A symbolic link there.
    OwnLink(&'static str),
    /// An open file of the caller.
    Descriptor(u32),
    /// The directory of its open files.
    Descriptors,
    /// The link that tells the caller its own number.
    Caller,
    /// The same, and that of its thread.
    CallerThread,
    /// What makes a new terminal.
    Terminals,
    /// The other end of one: the file itself, since its name may become another's.
    Terminal(Arc<OwnedFd>),
    /// The directory of the caller's process.
    Process,
    /// `/proc` itself, where the processes are listed.
    Processes,
    /// A file in memory that cannot be written.
    Memory(Arc<File>),
}

impl Special {
    /// Whether a file is of the kind that stands for this: its number may have become another's.
    pub(super) fn is(&self, found: &nix::libc::stat) -> bool {
        let kind = FileType::from_raw_mode(found.st_mode);
        match self {
            Special::Caller | Special::CallerThread => kind == FileType::Symlink,
            Special::Descriptors | Special::Process | Special::Processes => kind == FileType::Directory,
            Special::Outside(_)
            | Special::Own(_)
            | Special::OwnLink(_)
            | Special::Descriptor(_)
            | Special::Terminals
            | Special::Terminal(_)
            | Special::Memory(_) => kind == FileType::CharacterDevice && found.st_rdev == 0,
        }
    }
}

/// Markers by their numbers, on one device.
#[derive(Debug, Default)]
pub(super) struct Markers {
    device: u64,
    specials: BTreeMap<u64, Special>,
}

impl Markers {
    /// Returns what the file stands for, if it is a marker.
    pub(super) fn find(&self, (device, number): (u64, u64)) -> Option<&Special> {
        if device != self.device {
            return None;
        }
        self.specials.get(&number)
    }

    /// Notes that what lies at `path` stands for something.
    pub(super) fn note(&mut self, path: &Path, special: Special) -> io::Result<()> {
        let metadata = fs::symlink_metadata(path)?;
        self.device = metadata.dev();
        self.specials.insert(metadata.ino(), special);
        Ok(())
    }

    /// Makes a marker at `path`.
    pub(super) fn make(&mut self, path: &Path, mode: u32, special: Special) -> io::Result<()> {
        mknodat(CWD, path, FileType::CharacterDevice, Mode::from_raw_mode(mode), 0)?;
        self.note(path, special)
    }

    /// Makes a marker in an open directory, in which a command may do what it wants at the same time.
    pub(super) fn make_in(
        &mut self,
        directory: &File,
        name: &str,
        mode: u32,
        special: Special,
    ) -> io::Result<()> {
        mknodat(directory, name, FileType::CharacterDevice, Mode::from_raw_mode(mode), 0)?;
        let stat = statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
        // If it is not the one that was made, it is no marker.
        if FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0 {
            self.specials.insert(stat.st_ino, special);
        }
        Ok(())
    }
}

/// Open directories of what stands for the kernel's file systems.
pub(super) struct Shelves {
    /// `/proc`.
    pub(super) processes: File,
    /// Where open files are listed.
    pub(super) listed: File,
    /// `/dev/pts`.
    pub(super) terminals: File,
}

/// A root that is furnished. What was moved aside is back when this is dropped.
pub(super) struct Furniture {
    pub(super) root: OwnedFd,
    /// The root's path, without links.
    pub(super) path: PathBuf,
    pub(super) markers: Markers,
    /// Directories into which the supervisor puts things while the command runs.
    pub(super) shelves: Option<Shelves>,
    /// Lies beside the root, on the same file system.
    store: PathBuf,
    swaps: Vec<Swap>,
    stubs: Stubs,
}

/// A step that failed, which of its kind it was, and why.
pub(super) type Failure = (Step, usize, io::Error);

/// Something that was put in a place for the run.
struct Swap {
    /// The directory that the place is in, wherever a command moves it.
    around: File,
    name: OsString,
    /// The place as the command knows it.
    seen_as: PathBuf,
    /// What was put there: device and number.
    id: (u64, u64),
    /// What the file holds that was put there and may not be changed.
    content: Option<Vec<u8>>,
    /// Where lies what was there before, if anything was.
    aside: Option<PathBuf>,
    /// Where it goes in the end; nothing is kept of what came from nowhere.
    origin: Option<PathBuf>,
    /// When the directory around it had last changed, before and after.
    times: (Times, Times),
}

type Times = (i64, i64);

impl Furniture {
    /// Furnishes the root in the directory `root`.
    pub(super) fn put(root: &Path, run: &Run) -> Result<Furniture, Failure> {
        let failed = |error| (Step::Root, 0, error);
        let path = fs::canonicalize(root).map_err(failed)?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let open = || -> io::Result<(OwnedFd, PathBuf)> {
            let opened = rustix::fs::open(&path, flags, Mode::empty())?;
            let above = path.parent().ok_or_else(|| io::Error::other("it is the builder's own root"))?;
            Ok((opened, tempfile::Builder::new().prefix("").tempdir_in(above)?.keep()))
        };
        let (root, store) = open().map_err(failed)?;
        let (markers, stubs) = (Markers::default(), Stubs::new());
        let mut furniture = Furniture { root, path, markers, shelves: None, store, swaps: Vec::new(), stubs };
        furniture.furnish(run)?;
        Ok(furniture)
    }

    fn furnish(&mut self, run: &Run) -> Result<(), Failure> {
        let tree = self.store.join("kernel");
        let made = kernel::make(&tree, &run.host_name, &mut self.markers);
        self.shelves = Some(made.map_err(|error| (Step::MountPoint, 0, error))?);
        for name in ["proc", "sys", "dev"] {
            self.put_top(&tree.join(name), name).map_err(|error| (Step::MountPoint, 0, error))?;
        }
        for (index, mount) in run.mounts.iter().enumerate() {
            self.put_mount(index, mount).map_err(|(step, error)| (step, index, error))?;
        }
        if run.makes_workdir {
            let path = c_path(&run.workdir).map_err(|error| (Step::Workdir, 0, io::Error::other(error)))?;
            let found = place::find_in(self.root.as_raw_fd(), &path, Kind::Directory, None);
            sys::close(found.map_err(|errno| (Step::Workdir, 0, of_number(errno)))?);
        }
        Ok(())
    }

    fn put_top(&mut self, tree: &Path, name: &str) -> io::Result<()> {
        let place = self.path.join(name);
        match fs::symlink_metadata(&place) {
            Ok(found) if found.is_symlink() => return Err(of_number(nix::libc::ELOOP)),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        self.swap(tree, &place, None)
    }

    fn put_mount(&mut self, index: usize, mount: &Mount) -> Result<(), (Step, io::Error)> {
        let (thing, origin) = self.thing(index, mount).map_err(|error| (Step::Source, error))?;
        let is_directory = fs::symlink_metadata(&thing).map_err(|error| (Step::Source, error))?.is_dir();
        let kind = if is_directory { Kind::Directory } else { Kind::File };
        let place = self.place(&mount.target, kind).map_err(|error| (Step::Mount, error))?;
        let put = || -> io::Result<()> {
            let is_kernel_s = ["proc", "sys"].iter().any(|name| place.starts_with(self.path.join(name)));
            if is_kernel_s || place == self.path {
                return Err(of_number(nix::libc::EINVAL));
            }
            match (fs::symlink_metadata(&place)?.is_dir(), is_directory) {
                (true, false) => Err(of_number(nix::libc::EISDIR)),
                (false, true) => Err(of_number(nix::libc::ENOTDIR)),
                _ => Ok(()),
            }
        };
        put().and_then(|()| self.swap(&thing, &place, origin)).map_err(|error| (Step::Mount, error))?;
        if let (Source::File { is_secret: false, content, .. }, Some(swap)) =
            (&mount.source, self.swaps.last_mut())
        {
            swap.content = Some(content.clone());
        }
        Ok(())
    }

    /// Returns what is to be put somewhere, and where that belongs afterwards.
    fn thing(&mut self, index: usize, mount: &Mount) -> io::Result<(PathBuf, Option<PathBuf>)> {
        let made = self.store.join(format!("mount-{index}"));
        match &mount.source {
            Source::Path { root: Root::Plain(root), path } => {
                let found = inside(root, path)?;
                Ok((found.clone(), Some(found)))
            }
            Source::Path { root: Root::Overlay { .. }, .. } => {
                Err(io::Error::other("internal error: nothing can be mounted here"))
            }
            Source::Memory { .. } => {
                fs::DirBuilder::new().mode(0o1777).create(&made)?;
                fs::set_permissions(&made, fs::Permissions::from_mode(0o1777))?;
                Ok((made, None))
            }
            Source::File { is_secret, content, mode, uid, gid } => {
                let (mode, owner) = (mode & 0o7777, (*uid, *gid));
                if *is_secret {
                    self.markers.make(
                        &made,
                        mode,
                        Special::Memory(Arc::new(in_memory(content, mode, owner)?)),
                    )?;
                } else {
                    fs::write(&made, content)?;
                }
                chown(&made, Some(*uid), Some(*gid))?;
                fs::set_permissions(&made, fs::Permissions::from_mode(mode))?;
                Ok((made, None))
            }
        }
    }

    /// Returns the places where something else begins for the command, as it knows them.
    pub(super) fn mount_points(&self) -> Vec<Vec<u8>> {
        self.swaps.iter().map(|swap| swap.seen_as.as_os_str().as_bytes().to_vec()).collect()
    }

    /// Finds a place in the root, and makes what is missing of it.
    fn place(&mut self, target: &Path, kind: Kind) -> io::Result<PathBuf> {
        let target = c_path(target).map_err(io::Error::other)?;
        let found = place::find_in(self.root.as_raw_fd(), &target, kind, Some(&mut self.stubs));
        // SAFETY: it was opened for us, and nobody else knows it.
        let found = unsafe { OwnedFd::from_raw_fd(found.map_err(of_number)?) };
        path_of(&found)
    }

    fn swap(&mut self, thing: &Path, place: &Path, origin: Option<PathBuf>) -> io::Result<()> {
        let around = File::open(place.parent().unwrap_or(&self.path))?;
        let name = place.file_name().unwrap_or_default().to_owned();
        let before = changed(&around)?;
        let aside = self.store.join(format!("aside-{}", self.swaps.len()));
        let aside = match renameat(&around, &name, CWD, &aside) {
            Ok(()) => Some(aside),
            Err(rustix::io::Errno::NOENT) => None,
            Err(error) => return Err(error.into()),
        };
        let moved = renameat(CWD, thing, &around, &name);
        let (times, origin) = ((before, changed(&around)?), origin.filter(|_| moved.is_ok()));
        let id = match moved {
            Ok(()) => id_of(&statat(&around, &name, AtFlags::SYMLINK_NOFOLLOW)?),
            Err(_) => (0, 0),
        };
        let seen_as = Path::new("/").join(place.strip_prefix(&self.path).unwrap_or(place));
        self.swaps.push(Swap { around, name, seen_as, id, content: None, aside, origin, times });
        moved.map_err(|error| match error {
            rustix::io::Errno::XDEV => {
                io::Error::other("it lies on another file system than the root, and cannot be moved there")
            }
            _ => error.into(),
        })
    }

    /// Takes everything back.
    ///
    /// # Errors
    /// When the command moved something away that was put there for it.
    pub(super) fn take_back(mut self) -> Result<(), String> {
        self.undo()
    }

    fn undo(&mut self) -> Result<(), String> {
        let mut outcome = Ok(());
        for (number, swap) in std::mem::take(&mut self.swaps).iter().enumerate().rev() {
            let place = swap.seen_as.display();
            let end = self.store.join(format!("end-{number}"));
            match swap.undo(&end) {
                Ok(true) if swap.content.as_ref().is_none_or(|content| holds(&end, content)) => {}
                Ok(true) => outcome = Err(format!("it changed {place}, which cannot be written")),
                Ok(false) => outcome = Err(format!("it moved {place} away, which is there for the run only")),
                Err(error) => outcome = Err(format!("cannot put back what was at {place}: {error}")),
            }
        }
        outcome
    }
}

impl Swap {
    /// Puts back what was there; returns whether what was put there is still the same. What the command has put in its
    /// place is gone with the run.
    fn undo(&self, end: &Path) -> io::Result<bool> {
        let now = changed(&self.around)?;
        let found = statat(&self.around, &self.name, AtFlags::SYMLINK_NOFOLLOW);
        let is_same = self.id == (0, 0) || found.as_ref().is_ok_and(|found| id_of(found) == self.id);
        let origin = self.origin.as_deref().filter(|_| is_same).unwrap_or(end);
        if found.is_ok() {
            renameat(&self.around, &self.name, CWD, origin)?;
        }
        if let Some(aside) = &self.aside {
            renameat(CWD, aside, &self.around, &self.name)?;
        }
        let (before, after) = self.times;
        set_changed(&self.around, if now == after { before } else { now })?;
        Ok(is_same)
    }
}

impl Drop for Furniture {
    fn drop(&mut self) {
        // Whoever wants to know has asked.
        let _ = self.undo();
        self.stubs.remove();
        let _ = fs::remove_dir_all(&self.store);
    }
}

/// Whether a file holds just this.
fn holds(path: &Path, content: &[u8]) -> bool {
    let is_as_long = fs::symlink_metadata(path).is_ok_and(|found| found.len() == content.len() as u64);
    is_as_long && fs::read(path).is_ok_and(|found| found == content)
}

fn id_of(stat: &rustix::fs::Stat) -> (u64, u64) {
    (stat.st_dev, stat.st_ino)
}

/// Returns the path, without links, of what `path` leads to in the directory or file `root`.
fn inside(root: &Path, path: &Path) -> io::Result<PathBuf> {
    let root = fs::canonicalize(root)?;
    if path.as_os_str().is_empty() {
        return Ok(root);
    }
    let directory = File::open(&root)?;
    let path = c_path(path).map_err(io::Error::other)?;
    let flags = nix::libc::O_PATH | nix::libc::O_CLOEXEC;
    let found = sys::open_inside(directory.as_raw_fd(), &path, flags).map_err(of_number)?;
    // SAFETY: it was opened for us, and nobody else knows it.
    path_of(&unsafe { OwnedFd::from_raw_fd(found) })
}

/// Returns the path of an open file.
pub(super) fn path_of(file: &impl AsFd) -> io::Result<PathBuf> {
    let link = format!("/proc/self/fd/{}", file.as_fd().as_raw_fd());
    fs::read_link(link)
}

fn changed(directory: &File) -> io::Result<Times> {
    let metadata = directory.metadata()?;
    Ok((metadata.mtime(), metadata.mtime_nsec()))
}

fn set_changed(directory: &File, times: Times) -> io::Result<()> {
    sys::set_mtime(directory.as_raw_fd(), times).map_err(of_number)
}

/// Returns a file in memory that only the supervisor may write to.
fn in_memory(content: &[u8], mode: u32, (uid, gid): (u32, u32)) -> io::Result<File> {
    let mut file = File::from(memfd_create("file", MemfdFlags::CLOEXEC)?);
    file.write_all(content)?;
    std::os::unix::fs::fchown(&file, Some(uid), Some(gid))?;
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    Ok(file)
}

fn of_number(errno: i32) -> io::Error {
    io::Error::other(Errno::from_raw(errno))
}
