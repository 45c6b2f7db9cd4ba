//! Mounting in the child: first what lies outside of its root is opened, then, in the root, all is put in its place.

use std::ffi::CStr;
use std::os::fd::{AsRawFd, RawFd};

use nix::libc::{self, MS_BIND, MS_NODEV, MS_NOSUID, MS_REMOUNT, O_CLOEXEC, O_PATH};

use super::place::{self, Kind, Stubs};
use super::plan::{LayerPlan, MountPlan, RootPlan, STAGE, SourcePlan};
use super::syscall::{self as sys, Sys};

/// File systems whose files are the kernel's own, as `fstatfs` tells them.
const KERNEL_S_OWN: [i64; 2] = [libc::PROC_SUPER_MAGIC, 0x6265_6572];

/// Opens what lies outside of the sandbox's root, while that can be reached, as a mount that is nowhere yet.
pub(super) fn open_source(mount: &MountPlan) -> Sys<()> {
    let SourcePlan::Path { root, path } = &mount.source else { return Ok(()) };
    let place = match root {
        RootPlan::Plain { directory } => directory,
        RootPlan::Overlay { layers, options, target } => {
            mount_overlay(layers, options, target)?;
            target
        }
    };
    let mut found = sys::open_at(libc::AT_FDCWD, place, O_PATH | O_CLOEXEC, 0)?;
    if let Some(path) = path {
        let root = std::mem::replace(&mut found, -1);
        found = sys::open_inside(root, path, O_PATH | O_CLOEXEC)?;
        sys::close(root);
    }
    hold(sys::open_tree(found, c""), mount)?;
    sys::close(found);
    Ok(())
}

/// Mounts an overlay. The options name its directories by their descriptors' numbers, which are names in `/proc`.
pub(super) fn mount_overlay(layers: &[LayerPlan], options: &CStr, target: &CStr) -> Sys<()> {
    for layer in layers {
        sys::open_place(&layer.path, layer.number.as_raw_fd())?;
    }
    sys::change_directory(c"/proc/self/fd")?;
    sys::mount(c"overlay", target, c"overlay", 0, Some(options))
}

/// Makes the place where mounts are made that begin in the sandbox: in memory that is never written to a disk.
pub(super) fn open_stage() -> Sys<()> {
    sys::make_directory(STAGE, 0o700)?;
    sys::mount(c"ramfs", STAGE, c"ramfs", MS_NOSUID | MS_NODEV, Some(c"mode=700"))
}

/// Takes it away again; what was mounted elsewhere stays.
pub(super) fn close_stage() -> Sys<()> {
    sys::unmount(STAGE)?;
    sys::remove_directory(libc::AT_FDCWD, STAGE)
}

/// Puts a mount in its place in the sandbox's root.
pub(super) fn put(mount: &MountPlan, stubs: &mut Stubs) -> Sys<()> {
    match &mount.source {
        SourcePlan::Path { .. } => {}
        SourcePlan::Memory { staged, options } => {
            sys::make_directory(staged, 0o700)?;
            sys::mount(c"tmpfs", staged, c"tmpfs", MS_NOSUID | MS_NODEV, Some(options))?;
            hold(sys::open_tree(libc::AT_FDCWD, staged), mount)?;
        }
        SourcePlan::File { staged, content, mode, uid, gid } => {
            sys::make_file(staged, content, *mode, (*uid, *gid))?;
            hold(sys::open_tree(libc::AT_FDCWD, staged), mount)?;
        }
    }
    let number = mount.number.as_raw_fd();
    let place = place::find(&mount.target, kind_of(number)?, Some(stubs))?;
    if KERNEL_S_OWN.contains(&sys::file_system(place)?) {
        return Err(libc::EINVAL);
    }
    sys::move_mount(number, place)?;
    sys::close(place);
    sys::mount(c"none", &mount.tree, c"", MS_REMOUNT | MS_BIND | mount.flags, None)
}

/// Takes a mount away.
pub(super) fn take_away(mount: &MountPlan) {
    let _ = sys::unmount_link(&mount.tree);
    sys::close(mount.number.as_raw_fd());
}

/// Gives a mount the number that is kept for it.
fn hold(tree: Sys<RawFd>, mount: &MountPlan) -> Sys<()> {
    let tree = tree?;
    sys::move_descriptor(tree, mount.number.as_raw_fd())
}

fn kind_of(mount: RawFd) -> Sys<Kind> {
    match sys::stat(mount, c"")?.st_mode & libc::S_IFMT {
        libc::S_IFDIR => Ok(Kind::Directory),
        _ => Ok(Kind::File),
    }
}
