//! What belongs to root, made another's, and back.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, lchown};
use std::path::Path;

/// Gives all files below `directory`, and itself, that are user or group `from`'s to `to`.
///
/// Modes stay, and capabilities of files count where `to` is root; the kernel clears both with the change.
pub(super) fn change(directory: &Path, from: u32, to: u32) {
    if from == to {
        return;
    }
    let metadata = fs::symlink_metadata(directory).unwrap();
    let changed = |id: u32| if id == from { to } else { id };
    let (uid, gid) = (changed(metadata.uid()), changed(metadata.gid()));
    if (uid, gid) != (metadata.uid(), metadata.gid()) {
        let capability = xattr::get(directory, CAPABILITY).unwrap();
        lchown(directory, Some(uid), Some(gid)).unwrap();
        if !metadata.is_symlink() {
            fs::set_permissions(directory, fs::Permissions::from_mode(metadata.mode())).unwrap();
        }
        if let Some(capability) = capability {
            xattr::set(directory, CAPABILITY, &capability_under(to, &capability)).unwrap();
        }
    }
    if metadata.is_dir() {
        for entry in fs::read_dir(directory).unwrap() {
            change(&entry.unwrap().path(), from, to);
        }
    }
}

const CAPABILITY: &str = "security.capability";

/// Returns a file's capabilities as they are where `root` is root: `struct vfs_ns_cap_data`, or without a user for 0.
fn capability_under(root: u32, capability: &[u8]) -> Vec<u8> {
    let (magic, rest) = capability.split_at(4);
    let revision = if root == 0 { 2 } else { 3 };
    let mut under = vec![magic[0], magic[1], magic[2], revision];
    under.extend(&rest[..16]);
    if root != 0 {
        under.extend(root.to_le_bytes());
    }
    under
}
