//! What the parts of this room do together, on real directories. Needs root.

mod apart;
mod applying;
mod comparing;
mod lesser;
mod looking;
mod lying;
mod ready;
mod since;
mod skeletons;
mod stacks;
mod writing;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::io::{Cursor, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, XattrFlags, lsetxattr, makedev, mknodat};

use super::*;
use crate::store::Store;

/// A directory with a store and whatever roots a test makes.
struct Place {
    directory: tempfile::TempDir,
    store: Store,
}

impl Place {
    fn new() -> Place {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path().join("state")).unwrap();
        Place { directory, store }
    }

    fn root(&self, name: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        make_root(&path).unwrap();
        path
    }

    fn writer(&self) -> LayerWriter {
        self.writer_with(2)
    }

    fn writer_with(&self, threads: usize) -> LayerWriter {
        let options = Options { epoch: 1_700_000_000, threads, compression: Compression::default() };
        LayerWriter::new(self.store.blob_writer().unwrap(), options).unwrap()
    }

    fn pack(&self, changes: &[diff::Change], directory: &Path) -> Packed {
        let mut writer = self.writer();
        pack(changes, directory, &mut writer).unwrap();
        writer.finish().unwrap()
    }

    fn tar_of(&self, packed: &Packed) -> Vec<u8> {
        let blob = self.store.open_blob(&packed.layer.descriptor.digest).unwrap();
        let mut tar = Vec::new();
        decompress(blob).unwrap().read_to_end(&mut tar).unwrap();
        tar
    }
}

/// An archive as nobody in his right mind would write it: entries in any order, under any name.
fn tar_of(entries: &[(Entry, &str)]) -> Vec<u8> {
    let mut tar = Vec::new();
    for (entry, content) in entries {
        tar.extend(header::encode(entry, i64::MAX));
        tar.extend(content.as_bytes());
        tar.resize(tar.len().next_multiple_of(512), 0);
    }
    tar.resize(tar.len() + 1024, 0);
    tar
}

fn file(path: &str, content: &'static str) -> (Entry, &'static str) {
    (Entry::file(path, 0o644, content.len() as u64), content)
}

fn directory(path: &str) -> (Entry, &'static str) {
    (Entry::directory(path, 0o755), "")
}

fn link(path: &str, target: &str) -> (Entry, &'static str) {
    (Entry::symlink(path, target), "")
}

fn hard_link(path: &str, target: &str) -> (Entry, &'static str) {
    let mut entry = Entry::file(path, 0o644, 0);
    entry.kind = Kind::Hardlink { target: target.into() };
    (entry, "")
}

fn whiteout(path: &str) -> (Entry, &'static str) {
    (Entry::file(entry::Whiteout::removing(path.as_bytes()), 0o644, 0), "")
}

fn opaque(path: &str) -> (Entry, &'static str) {
    (Entry::file(entry::Whiteout::clearing(path.as_bytes()), 0o644, 0), "")
}

fn apply_all(root: &Path, entries: &[(Entry, &str)]) -> Result<(), Error> {
    apply(Cursor::new(tar_of(entries)), root)
}

/// Everything below a root, one line each: path, what it is, and its content.
fn tree(root: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    list(root, root, &mut lines);
    lines.sort();
    lines
}

fn list(root: &Path, directory: &Path, lines: &mut Vec<String>) {
    for path in fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()) {
        let metadata = fs::symlink_metadata(&path).unwrap();
        let name = path.strip_prefix(root).unwrap().display().to_string();
        let what = if metadata.is_symlink() {
            format!("-> {}", fs::read_link(&path).unwrap().display())
        } else if metadata.is_dir() {
            list(root, &path, lines);
            format!("{:o}/", metadata.mode() & 0o7777)
        } else if metadata.is_file() {
            format!("{:o} {}", metadata.mode() & 0o7777, fs::read_to_string(&path).unwrap())
        } else {
            format!("{:o} special", metadata.mode())
        };
        lines.push(format!("{name} {what}"));
    }
}

fn put(root: &Path, path: &str, content: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
}

fn set_xattr(path: &Path, name: &str, value: &[u8]) {
    lsetxattr(path, name, value, XattrFlags::empty()).unwrap();
}

fn make_node(path: &Path, kind: FileType, mode: u32, device: (u32, u32)) {
    mknodat(CWD, path, kind, Mode::from_raw_mode(mode), makedev(device.0, device.1)).unwrap();
}

/// The value of a file capability: binary, with NULs and a line feed in it.
const CAPABILITY: [u8; 20] = [1, 0, 0, 2, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// A root with one of everything.
fn fill(root: &Path) {
    put(root, "etc/passwd", "root:x:0:0\n");
    put(root, "usr/bin/ping", "ping");
    set_xattr(&root.join("usr/bin/ping"), "security.capability", &CAPABILITY);
    put(root, "usr/bin/su", "su");
    std::os::unix::fs::chown(root.join("usr/bin/su"), Some(0), Some(5_000_000)).unwrap();
    fs::set_permissions(root.join("usr/bin/su"), fs::Permissions::from_mode(0o4755)).unwrap();
    fs::hard_link(root.join("usr/bin/su"), root.join("usr/bin/a-link-to-su")).unwrap();
    symlink("usr/bin", root.join("bin")).unwrap();
    symlink(format!("/{}", "x".repeat(300)), root.join("long-link")).unwrap();
    fs::create_dir(root.join("dev")).unwrap();
    make_node(&root.join("dev/null"), FileType::CharacterDevice, 0o666, (1, 3));
    make_node(&root.join("dev/disk"), FileType::BlockDevice, 0o660, (8, 17));
    make_node(&root.join("dev/pipe"), FileType::Fifo, 0o600, (0, 0));
    fs::create_dir(root.join("tmp")).unwrap();
    fs::set_permissions(root.join("tmp"), fs::Permissions::from_mode(0o1777)).unwrap();
    set_xattr(&root.join("tmp"), "trusted.note", b"\n\0");
    put(root, &format!("deep/{}/{}/schön", "d".repeat(120), "e".repeat(120)), "deep");
    put(root, "empty", "");
    fs::write(root.join(OsStr::from_bytes(b"caf\xe9")), "latin").unwrap();
}
