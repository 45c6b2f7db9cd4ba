//! File trees and layers as text, one line an entry, sorted by path.
//!
//! A line holds: kind, mode, owner, size and content, path, and what else there is:
//! ```text
//! dir  0755 0:0 /etc
//! file 0644 0:0 5:2cf24dba5fb0 /etc/greeting
//! link 0777 0:0 /etc/hello -> greeting
//! hard 0644 0:0 5:2cf24dba5fb0 /etc/same = /etc/greeting
//! char 0666 0:0 1:3 /dev/null
//! file 0755 0:0 0:e3b0c44298fc /bin/ping {security.capability=0100…}
//! ```
//! Sizes and times of directories and links are not told: they depend on where a tree lies.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use estaleiro::digest::Digest;
use serde_json::Value;

/// Returns the tree below `root`, without `root` itself.
pub fn dump(root: &Path) -> String {
    let mut paths = Vec::new();
    collect(root, &mut paths);
    paths.sort();
    let mut first_names = BTreeMap::new();
    let line = |path: &PathBuf| line_of(root, path, &mut first_names);
    paths.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Returns only the lines whose path begins with `prefix`.
pub fn dump_below(root: &Path, prefix: &str) -> String {
    let all = dump(root);
    let is_below = |line: &&str| line.split(' ').any(|word| word.starts_with(prefix));
    all.lines().filter(is_below).collect::<Vec<_>>().join("\n")
}

fn collect(directory: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if fs::symlink_metadata(&path).unwrap().is_dir() {
            collect(&path, paths);
        }
        paths.push(path);
    }
}

fn line_of(root: &Path, path: &Path, first_names: &mut BTreeMap<(u64, u64), String>) -> String {
    let metadata = fs::symlink_metadata(path).unwrap();
    let name = format!("/{}", path.strip_prefix(root).unwrap().display());
    let kind = metadata.file_type();
    let start = format!("{:04o} {}:{}", metadata.mode() & 0o7777, metadata.uid(), metadata.gid());
    let end = xattrs(path);
    let device = || format!("{}:{}", rustix::fs::major(metadata.rdev()), rustix::fs::minor(metadata.rdev()));
    if kind.is_dir() {
        return format!("dir  {start} {name}{end}");
    }
    if kind.is_symlink() {
        return format!("link {start} {name} -> {}{end}", fs::read_link(path).unwrap().display());
    }
    let what = match kind {
        kind if kind.is_char_device() => format!("char {start} {} {name}", device()),
        kind if kind.is_block_device() => format!("blk  {start} {} {name}", device()),
        kind if kind.is_fifo() => format!("fifo {start} {name}"),
        kind if kind.is_socket() => format!("sock {start} {name}"),
        _ => format!("file {start} {} {name}", content(&fs::read(path).unwrap())),
    };
    if metadata.nlink() < 2 {
        return what + &end;
    }
    let first = first_names.entry((metadata.dev(), metadata.ino())).or_insert_with(|| name.clone());
    match *first == name {
        true => what + &end,
        false => format!("hard{} = {first}{end}", &what[4..]),
    }
}

fn content(bytes: &[u8]) -> String {
    format!("{}:{}", bytes.len(), Digest::of(bytes).short())
}

fn xattrs(path: &Path) -> String {
    let Ok(names) = xattr::list(path) else { return String::new() };
    let mut names: Vec<String> = names.map(|name| name.to_string_lossy().into_owned()).collect();
    names.sort();
    let value = |name: &String| xattr::get(path, name).unwrap().unwrap_or_default();
    braces(names.iter().map(|name| (name.clone(), value(name))))
}

fn braces(xattrs: impl Iterator<Item = (String, Vec<u8>)>) -> String {
    let shown: Vec<String> = xattrs.map(|(name, value)| format!("{name}={}", hex_or_text(&value))).collect();
    if shown.is_empty() { String::new() } else { format!(" {{{}}}", shown.join(" ")) }
}

fn hex_or_text(value: &[u8]) -> String {
    match value.iter().all(u8::is_ascii_graphic) {
        true => String::from_utf8_lossy(value).into_owned(),
        false => value.iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}

/// Returns the entries of a tar archive, compressed or not, in the order in which they stand there.
pub fn dump_tar(bytes: &[u8]) -> String {
    let plain = decompress(bytes);
    let mut archive = tar::Archive::new(plain.as_slice());
    let entries = archive.entries().unwrap();
    entries.map(|entry| tar_line(&mut entry.unwrap())).collect::<Vec<_>>().join("\n")
}

/// Undoes gzip and zstd, told by their first bytes.
pub fn decompress(bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    match bytes {
        [0x1f, 0x8b, ..] => {
            flate2::read::MultiGzDecoder::new(bytes).read_to_end(&mut plain).unwrap();
        }
        [0x28, 0xb5, 0x2f, 0xfd, ..] => plain = zstd::decode_all(bytes).unwrap(),
        _ => plain = bytes.to_vec(),
    }
    plain
}

fn tar_line(entry: &mut tar::Entry<'_, &[u8]>) -> String {
    let mut bytes = Vec::new();
    entry.read_to_end(&mut bytes).unwrap();
    let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
    let name = format!("/{}", name.trim_start_matches("./").trim_end_matches('/'));
    let target =
        entry.link_name_bytes().map(|link| String::from_utf8_lossy(&link).into_owned()).unwrap_or_default();
    let end = tar_xattrs(entry);
    let header = entry.header();
    let (user, group) = (header.uid().unwrap(), header.gid().unwrap());
    let start = format!("{:04o} {user}:{group}", header.mode().unwrap() & 0o7777);
    let device = || {
        let number = |result: std::io::Result<Option<u32>>| result.unwrap().unwrap_or(0);
        format!("{}:{}", number(header.device_major()), number(header.device_minor()))
    };
    match header.entry_type() {
        tar::EntryType::Directory => format!("dir  {start} {name}{end}"),
        tar::EntryType::Symlink => format!("link {start} {name} -> {target}{end}"),
        tar::EntryType::Link => format!("hard {start} {name} = /{}{end}", target.trim_start_matches("./")),
        tar::EntryType::Char => format!("char {start} {} {name}{end}", device()),
        tar::EntryType::Block => format!("blk  {start} {} {name}{end}", device()),
        tar::EntryType::Fifo => format!("fifo {start} {name}{end}"),
        _ => format!("file {start} {} {name}{end}", content(&bytes)),
    }
}

fn tar_xattrs(entry: &mut tar::Entry<'_, &[u8]>) -> String {
    let Some(extensions) = entry.pax_extensions().unwrap() else { return String::new() };
    let mut found = Vec::new();
    for extension in extensions {
        let extension = extension.unwrap();
        if let Some(name) = extension.key().unwrap().strip_prefix("SCHILY.xattr.") {
            found.push((name.to_owned(), extension.value_bytes().to_vec()));
        }
    }
    found.sort();
    braces(found.into_iter())
}

/// Returns the layers of the only image of an OCI layout directory, lowest first, each under a heading.
pub fn dump_layout(directory: &Path) -> String {
    let index: Value = serde_json::from_slice(&fs::read(directory.join("index.json")).unwrap()).unwrap();
    let manifests = index["manifests"].as_array().unwrap();
    assert_eq!(manifests.len(), 1, "{index}");
    let blob = |descriptor: &Value| {
        let digest: Digest = descriptor["digest"].as_str().unwrap().parse().unwrap();
        fs::read(directory.join("blobs/sha256").join(digest.hex())).unwrap()
    };
    dump_layers(&serde_json::from_slice(&blob(&manifests[0])).unwrap(), blob)
}

/// Returns the layers of a manifest, lowest first, each under a heading; `blob` reads a descriptor's content.
pub fn dump_layers(manifest: &Value, blob: impl Fn(&Value) -> Vec<u8>) -> String {
    let layers = manifest["layers"].as_array().unwrap();
    let dump = |(index, layer): (usize, &Value)| format!("layer {}\n{}\n", index + 1, dump_tar(&blob(layer)));
    layers.iter().enumerate().map(dump).collect()
}
