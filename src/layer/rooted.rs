//! Reaching what lies in a root by descriptors, so that no path and no link of an archive leads out of it.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, ResolveFlags, Stat, Timespec, Timestamps, XattrFlags, fchmod,
    fgetxattr, flistxattr, fremovexattr, fsetxattr, fstat, futimens, lgetxattr, llistxattr, lsetxattr,
    mkdirat, mknodat, openat, openat2, readlinkat, statat, unlinkat,
};
use rustix::io::Errno;

use super::lesser::{as_it_is_meant, meant_name, set_xattr};

/// How deep directories may be nested.
pub(super) const MAX_DEPTH: usize = 2000;
/// How many symbolic links one path may lead through.
pub(super) const MAX_LINKS: usize = 40;

/// Tells a file from all others, as long as it exists.
pub(super) type FileId = (u64, u64);

/// An open root.
pub(super) struct Root {
    directory: OwnedFd,
}

impl Root {
    pub(super) fn open(path: &Path) -> io::Result<Root> {
        Ok(Root { directory: openat(CWD, path, directory_flags() - OFlags::NOFOLLOW, Mode::empty())? })
    }

    /// Opens a directory; symbolic links lead wherever they lead for somebody to whom the root is `/`.
    pub(super) fn directory(&self, path: &[u8]) -> io::Result<OwnedFd> {
        self.open_directory(path, ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS)
    }

    /// Opens a directory none of whose parents, nor itself, is a symbolic link.
    pub(super) fn exact_directory(&self, path: &[u8]) -> io::Result<OwnedFd> {
        self.open_directory(path, ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS)
    }

    /// Opens a directory as [`Root::directory`] does, and makes what is missing of it: root's, 0755, of 1970.
    pub(super) fn make_directory(&self, path: &[u8]) -> io::Result<OwnedFd> {
        self.make_directory_through(path, MAX_LINKS)
    }

    fn open_directory(&self, path: &[u8], resolve: ResolveFlags) -> io::Result<OwnedFd> {
        let path: &[u8] = if path.is_empty() { b"." } else { path };
        let flags = directory_flags() - OFlags::NOFOLLOW;
        loop {
            match openat2(&self.directory, path, flags, Mode::empty(), resolve) {
                // The kernel answers so when something was renamed meanwhile.
                Err(Errno::AGAIN) => {}
                result => return Ok(result?),
            }
        }
    }

    fn make_directory_through(&self, path: &[u8], n_links: usize) -> io::Result<OwnedFd> {
        if n_links == 0 {
            return Err(Errno::LOOP.into());
        }
        let mut made = Vec::new();
        let mut prefix = Vec::new();
        for name in path.split(|&byte| byte == b'/').filter(|name| !name.is_empty()) {
            let parent = prefix.clone();
            prefix = join(&prefix, name);
            match self.directory(&prefix) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    made.extend(self.make_child(&parent, name, n_links)?);
                }
                result => drop(result?),
            }
        }
        for directory in made.iter().rev() {
            set_mtime(directory, 0)?;
        }
        self.directory(path)
    }

    fn make_child(&self, parent: &[u8], name: &[u8], n_links: usize) -> io::Result<Option<OwnedFd>> {
        let directory = self.directory(parent)?;
        let before = fstat(&directory)?;
        match mkdirat(&directory, name, Mode::from_raw_mode(0o755)) {
            Ok(()) => {}
            Err(Errno::EXIST) => {
                let target = join_link(parent, readlinkat(&directory, name, Vec::new())?.as_bytes());
                return self.make_directory_through(&target, n_links - 1).map(|_| None);
            }
            Err(error) => return Err(error.into()),
        }
        let child = open_child(&directory, name)?;
        fchmod(&child, Mode::from_raw_mode(0o755))?;
        set_times(&directory, before.st_mtime, nanoseconds_of(&before))?;
        Ok(Some(child))
    }
}

fn directory_flags() -> OFlags {
    OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW
}

/// Opens the directory `name` of `parent`.
pub(super) fn open_child(parent: impl AsFd, name: &[u8]) -> io::Result<OwnedFd> {
    Ok(openat(parent, name, directory_flags(), Mode::empty())?)
}

/// Opens the file `name` of `parent` for reading.
pub(super) fn open_file(parent: impl AsFd, name: &[u8]) -> io::Result<std::fs::File> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    Ok(openat(parent, name, flags, Mode::empty())?.into())
}

/// Describes `name` of `parent`, if there is such a thing; an empty name is `parent` itself.
pub(super) fn stat_child(parent: impl AsFd, name: &[u8]) -> io::Result<Option<Stat>> {
    if name.is_empty() {
        return Ok(Some(fstat(parent)?));
    }
    match statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => as_it_is_meant(parent.as_fd(), name, stat).map(Some),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Returns where the symbolic link `name` of `parent` points.
pub(super) fn read_link(parent: impl AsFd, name: &[u8]) -> io::Result<Vec<u8>> {
    Ok(readlinkat(parent, name, Vec::new())?.into_bytes())
}

/// Returns the names in a directory, sorted.
pub(super) fn names_in(directory: impl AsFd) -> io::Result<Vec<Vec<u8>>> {
    let mut names: Vec<Vec<u8>> = entries_in(directory)?.into_iter().map(|(name, _)| name).collect();
    names.sort();
    Ok(names)
}

/// Returns the names in a directory, and what the file system says they are, in no order.
pub(super) fn entries_in(directory: impl AsFd) -> io::Result<Vec<(Vec<u8>, FileType)>> {
    let mut entries = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            entries.push((name.to_vec(), entry.file_type()));
        }
    }
    Ok(entries)
}

/// Removes `name` of `parent` with all below it, save what is to be kept and the directories it lies in. Returns
/// whether anything was kept.
pub(super) fn remove(
    parent: impl AsFd,
    name: &[u8],
    is_kept: &dyn Fn(FileId) -> bool,
    depth: usize,
) -> io::Result<bool> {
    let Some(stat) = stat_child(&parent, name)? else { return Ok(false) };
    let mut keeps = is_kept(id_of(&stat));
    if kind_of(&stat) != FileType::Directory {
        if !keeps {
            unlinkat(parent, name, AtFlags::empty())?;
        }
        return Ok(keeps);
    }
    if depth >= MAX_DEPTH {
        return Err(io::Error::other("the directories are nested too deep"));
    }
    let directory = open_child(&parent, name)?;
    for child in names_in(&directory)? {
        keeps |= remove(&directory, &child, is_kept, depth + 1)?;
    }
    if !keeps {
        unlinkat(parent, name, AtFlags::REMOVEDIR)?;
    }
    Ok(keeps)
}

pub(super) fn kind_of(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

pub(super) fn id_of(stat: &Stat) -> FileId {
    (stat.st_dev, stat.st_ino)
}

/// Returns the fraction of a second of the last change.
#[allow(clippy::useless_conversion, reason = "the type of nanoseconds is not the same everywhere")]
pub(super) fn nanoseconds_of(stat: &Stat) -> i64 {
    stat.st_mtime_nsec.try_into().unwrap_or(0)
}

/// Returns when the file, or what is known of it, was last changed, in nanoseconds since 1970.
#[allow(clippy::useless_conversion, reason = "the type of nanoseconds is not the same everywhere")]
pub(super) fn changed_at(stat: &Stat) -> i128 {
    i128::from(stat.st_ctime) * 1_000_000_000 + i128::from(stat.st_ctime_nsec)
}

/// Sets when a file or directory was last changed, in seconds since 1970.
pub(super) fn set_mtime(file: impl AsFd, mtime: i64) -> io::Result<()> {
    set_times(file, mtime, 0)
}

/// As [`set_mtime`], to the nanosecond.
pub(super) fn set_times(file: impl AsFd, seconds: i64, nanoseconds: i64) -> io::Result<()> {
    Ok(futimens(file, &timestamps(seconds, nanoseconds))?)
}

/// The time of the last change is that of the last access, too.
pub(super) fn timestamps(seconds: i64, nanoseconds: i64) -> Timestamps {
    #[allow(clippy::useless_conversion, reason = "the type of nanoseconds is not the same everywhere")]
    let time = Timespec { tv_sec: seconds, tv_nsec: nanoseconds.try_into().unwrap_or(0) };
    Timestamps { last_access: time, last_modification: time }
}

/// Returns the extended attributes of `name` of `parent` that belong into a layer.
pub(super) fn xattrs_of(parent: BorrowedFd<'_>, name: &[u8]) -> io::Result<BTreeMap<Vec<u8>, Vec<u8>>> {
    let path = path_for_xattrs(parent, name);
    let mut xattrs = BTreeMap::new();
    for key in split_names(&grown(|buffer| llistxattr(&path, buffer))?) {
        if is_layered_xattr(meant_name(key)) {
            xattrs.insert(meant_name(key).to_vec(), grown(|buffer| lgetxattr(&path, key, buffer))?);
        }
    }
    Ok(xattrs)
}

/// Whether the directory `name` of `parent` hides what lies below it in an overlay mount.
pub(super) fn is_opaque_child(parent: BorrowedFd<'_>, name: &[u8]) -> io::Result<bool> {
    let path = path_for_xattrs(parent, name);
    Ok(is_yes(|key, value| lgetxattr(&path, key, value), OPAQUE)?)
}

/// Whether the directory hides what lies below it in an overlay mount.
pub(super) fn is_opaque(directory: impl AsFd) -> io::Result<bool> {
    has_mark(directory, OPAQUE)
}

/// Lets the directory hide what lies below it in an overlay mount.
pub(super) fn make_opaque(directory: impl AsFd) -> io::Result<()> {
    mark(directory, OPAQUE, b"y")
}

/// Lets an overlay mount hide what goes by `name` below the directory. The mark lets it look for such notes also where
/// nothing lies below: else it would show them as devices. Its empty value says that the directory was copied up from a
/// place that is not known.
pub(super) fn hide_name(directory: &OwnedFd, name: &[u8]) -> io::Result<()> {
    match mknodat(directory, name, FileType::CharacterDevice, Mode::empty(), 0) {
        Err(Errno::PERM) => return Err(io::Error::other("to note it takes Linux 5.8, or CAP_MKNOD")),
        made => made?,
    }
    mark(directory, "origin", b"")
}

/// An overlay mount's note that a directory hides what lies below it.
const OPAQUE: &str = "opaque";
/// Where an overlay mount keeps its notes; the second is for those who have no right to the first.
const NOTES: [&str; 2] = ["trusted.overlay.", "user.overlay."];

/// Whether the directory has the note `name` of an overlay mount's.
pub(super) fn has_mark(directory: impl AsFd, name: &str) -> io::Result<bool> {
    Ok(is_yes(|key, value| fgetxattr(&directory, key, value), name)?)
}

/// Gives the directory the note `name`, as one of an overlay mount's own.
pub(super) fn mark(directory: impl AsFd, name: &str, value: &[u8]) -> io::Result<()> {
    let [trusted, user] = NOTES.map(|prefix| format!("{prefix}{name}"));
    match fsetxattr(&directory, trusted, value, XattrFlags::empty()) {
        Err(Errno::PERM) => Ok(fsetxattr(&directory, user, value, XattrFlags::empty())?),
        answer => Ok(answer?),
    }
}

/// Whether layers' directories made in `directory` have the notes that overlay mounts go by unless they are told
/// otherwise, and devices; both take the machine's own privileges.
pub fn marks_are_trusted(directory: &Path) -> io::Result<bool> {
    let probe = format!("{}probe", NOTES[0]);
    let opened = Root::open(directory)?.directory;
    let is_set = fsetxattr(&opened, &probe, b"", XattrFlags::empty()).is_ok();
    if is_set {
        fremovexattr(&opened, &probe)?;
    }
    Ok(is_set)
}

/// Takes the note `name` away again.
pub(super) fn unmark(directory: impl AsFd, name: &str) -> io::Result<()> {
    for prefix in NOTES {
        match fremovexattr(&directory, format!("{prefix}{name}")) {
            Ok(()) | Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::PERM) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn is_yes(
    read: impl Fn(&str, &mut [u8]) -> rustix::io::Result<usize>,
    name: &str,
) -> rustix::io::Result<bool> {
    let mut value = [0; 1];
    for prefix in NOTES {
        match read(&format!("{prefix}{name}"), &mut value) {
            Ok(n) if n == 1 && value == *b"y" => return Ok(true),
            Ok(_) | Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::RANGE) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

/// An overlay mount notes that a name is gone as a device that cannot exist.
pub(super) fn is_overlay_whiteout(stat: &Stat) -> bool {
    kind_of(stat) == FileType::CharacterDevice && stat.st_rdev == 0
}

/// Gives the open file or directory these extended attributes, and no others.
pub(super) fn replace_xattrs(file: impl AsFd, xattrs: &BTreeMap<Vec<u8>, Vec<u8>>) -> io::Result<()> {
    for key in split_names(&grown(|buffer| flistxattr(&file, buffer))?) {
        if is_layered_xattr(meant_name(key)) && !xattrs.contains_key(meant_name(key)) {
            fremovexattr(&file, key)?;
        }
    }
    for (key, value) in xattrs.iter().filter(|(key, _)| is_layered_xattr(key)) {
        set_xattr(key, |key| fsetxattr(&file, key, value, XattrFlags::empty()))?;
    }
    Ok(())
}

/// Gives `name` of `parent`, which need be neither file nor directory, these extended attributes.
pub(super) fn set_xattrs(
    parent: BorrowedFd<'_>,
    name: &[u8],
    xattrs: &BTreeMap<Vec<u8>, Vec<u8>>,
) -> io::Result<()> {
    let path = path_for_xattrs(parent, name);
    for (key, value) in xattrs.iter().filter(|(key, _)| is_layered_xattr(key)) {
        set_xattr(key, |key| lsetxattr(&path, key, value, XattrFlags::empty()))?;
    }
    Ok(())
}

/// What an overlay mount notes for itself, and labels that only this host understands, are no part of a layer.
fn is_layered_xattr(key: &[u8]) -> bool {
    !is_overlay_xattr(key) && key != b"security.selinux"
}

/// Whether an overlay mount takes this extended attribute for its own note.
pub(super) fn is_overlay_xattr(key: &[u8]) -> bool {
    key.starts_with(b"trusted.overlay.") || key.starts_with(b"user.overlay.")
}

/// Extended attributes of links and devices can only be had by path; this one starts at an open directory.
pub(super) fn path_for_xattrs(parent: BorrowedFd<'_>, name: &[u8]) -> Vec<u8> {
    let name: &[u8] = if name.is_empty() { b"." } else { name };
    join(format!("/proc/self/fd/{}", parent.as_raw_fd()).as_bytes(), name)
}

fn split_names(names: &[u8]) -> impl Iterator<Item = &[u8]> {
    names.split(|&byte| byte == 0).filter(|name| !name.is_empty())
}

/// Reads a value of unknown length; the kernel allows 64 KiB.
fn grown(read: impl Fn(&mut [u8]) -> rustix::io::Result<usize>) -> io::Result<Vec<u8>> {
    let mut buffer = vec![0; 256];
    loop {
        match read(&mut buffer) {
            Ok(n) => {
                buffer.truncate(n);
                return Ok(buffer);
            }
            Err(Errno::RANGE) if buffer.len() < 1 << 16 => buffer = vec![0; 1 << 16],
            Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Returns `name` in the directory `parent`.
pub(super) fn join(parent: &[u8], name: &[u8]) -> Vec<u8> {
    match (parent, name) {
        ([], _) => name.to_vec(),
        (_, []) => parent.to_vec(),
        _ => [parent, b"/", name].concat(),
    }
}

/// Returns where a symbolic link in the directory `parent` leads.
pub(super) fn join_link(parent: &[u8], target: &[u8]) -> Vec<u8> {
    match target.first() {
        Some(b'/') => target.to_vec(),
        _ => join(parent, target),
    }
}

/// Returns the directory of a path, and its last name.
pub(super) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|&byte| byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (&[], path),
    }
}
