//! What somebody without the machine's own privileges can't give a file, as in a user namespace, and what stands for it.
//!
//! A device is an empty file there, with a note of what it is; an extended attribute that may not be set is kept under
//! another name. Both notes have names that overlay mounts take for their own (`user.overlay.`), so that no archive can
//! bring them, and no layer has them. Whoever reads a root through this room sees the device, and the attribute under its
//! own name.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::fs::{FileType, Mode, OFlags, Stat, XattrFlags, lgetxattr, makedev, mknodat, openat};
use rustix::io::Errno;

use super::rooted::{kind_of, path_for_xattrs};

/// Notes on an empty file which device it is: `c` or `b`, and its numbers.
const DEVICE: &str = "user.overlay.estaleiro.device";
/// Comes before the name of an attribute that may not be set.
const KEPT: &str = "user.overlay.estaleiro.kept.";

/// Makes a device, or what stands for one.
pub(super) fn make_device(
    parent: &OwnedFd,
    name: &[u8],
    kind: FileType,
    (major, minor): (u32, u32),
) -> io::Result<()> {
    match mknodat(parent, name, kind, Mode::empty(), makedev(major, minor)) {
        Err(Errno::PERM) => {}
        made => return Ok(made?),
    }
    let letter = if kind == FileType::BlockDevice { 'b' } else { 'c' };
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = openat(parent, name, flags, Mode::from_raw_mode(0o600))?;
    let note = format!("{letter} {major}:{minor}");
    Ok(rustix::fs::fsetxattr(file, DEVICE, note.as_bytes(), XattrFlags::empty())?)
}

/// Describes the device where `name` of `parent`, described by `stat`, stands for one.
pub(super) fn as_it_is_meant(parent: BorrowedFd<'_>, name: &[u8], mut stat: Stat) -> io::Result<Stat> {
    if kind_of(&stat) != FileType::RegularFile || stat.st_size != 0 {
        return Ok(stat);
    }
    let mut note = [0; 32];
    match lgetxattr(path_for_xattrs(parent, name), DEVICE, &mut note) {
        Ok(n_bytes) => {
            if let Some((kind, device)) = noted(note.get(..n_bytes).unwrap_or_default()) {
                (stat.st_mode, stat.st_rdev) = (kind.as_raw_mode() | stat.st_mode & 0o7777, device);
            }
            Ok(stat)
        }
        Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::RANGE) => Ok(stat),
        Err(error) => Err(error.into()),
    }
}

fn noted(note: &[u8]) -> Option<(FileType, u64)> {
    let note = std::str::from_utf8(note).ok()?;
    let (kind, numbers) = match note.split_at_checked(2)? {
        ("c ", numbers) => (FileType::CharacterDevice, numbers),
        ("b ", numbers) => (FileType::BlockDevice, numbers),
        _ => return None,
    };
    let (major, minor) = numbers.split_once(':')?;
    Some((kind, makedev(major.parse().ok()?, minor.parse().ok()?)))
}

/// Returns what an attribute is called in layers, by the name that it goes by here.
pub(super) fn meant_name(name: &[u8]) -> &[u8] {
    name.strip_prefix(KEPT.as_bytes()).unwrap_or(name)
}

/// Sets an extended attribute by `set`, under its own name if that may be done.
pub(super) fn set_xattr(name: &[u8], set: impl Fn(&[u8]) -> rustix::io::Result<()>) -> io::Result<()> {
    match set(name) {
        Err(Errno::PERM) if !name.starts_with(b"user.") => {
            Ok(set(&[KEPT.as_bytes(), name].concat()).map_err(|_| Errno::PERM)?)
        }
        answer => Ok(answer?),
    }
}
