//! The files of an image that was built elsewhere: in a directory, or in an archive, which is not unpacked.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use tar::EntryType;

use crate::registry::{Section, whole_file};

/// No archive of an image has more members.
const MAX_MEMBERS: usize = 100_000;
/// How many links may lead from one to the next.
const MAX_LINKS: usize = 8;

/// Named files.
pub(super) enum Files {
    /// Those of a directory.
    Directory(PathBuf),
    /// Those of an archive.
    Archive(BTreeMap<String, Member>),
}

/// A member of an archive.
pub(super) enum Member {
    File(Section),
    /// Another name of the member with this one.
    Link(String),
}

impl Files {
    /// Opens a directory, or an archive.
    pub(super) fn open(path: &Path) -> Result<Files> {
        match path.is_dir() {
            true => Ok(Files::Directory(path.to_owned())),
            false => members(path).map(Files::Archive),
        }
    }

    /// Finds a file, and none outside; links in an archive are followed inside it.
    pub(super) fn find(&self, name: &str) -> Result<Option<Section>> {
        match self {
            Files::Directory(directory) => {
                whole_file(&directory.join(resolved("", name))).with_context(|| format!("cannot read {name}"))
            }
            Files::Archive(members) => {
                let mut name = resolved("", name);
                for _ in 0..MAX_LINKS {
                    match members.get(&name) {
                        None => return Ok(None),
                        Some(Member::File(section)) => return Ok(Some(section.clone())),
                        Some(Member::Link(target)) => name.clone_from(target),
                    }
                }
                bail!("cannot read {name}: too many links lead there")
            }
        }
    }

    /// Reads a small file whole, where there is one.
    pub(super) fn read(&self, name: &str, limit: u64) -> Result<Option<Vec<u8>>> {
        let Some(section) = self.find(name)? else { return Ok(None) };
        section.read(limit).with_context(|| format!("cannot read {name}")).map(Some)
    }
}

/// Lists the members of an archive; of their content nothing is read.
fn members(path: &Path) -> Result<BTreeMap<String, Member>> {
    let file = File::open(path)?;
    refuse_compressed(&file)?;
    let mut archive = tar::Archive::new(File::open(path)?);
    let mut members = BTreeMap::new();
    for entry in archive.entries_with_seek().context("it is no tar archive")? {
        let entry = entry.context("it is no tar archive, or cut off")?;
        if members.len() >= MAX_MEMBERS {
            bail!("it has more than {MAX_MEMBERS} members");
        }
        let name = resolved("", &String::from_utf8_lossy(&entry.path_bytes()));
        let link = || String::from_utf8_lossy(&entry.link_name_bytes().unwrap_or_default()).into_owned();
        let directory = name.rsplit_once('/').map_or("", |(directory, _)| directory);
        let member = match entry.header().entry_type() {
            EntryType::Regular | EntryType::Continuous => {
                let (offset, size) = (entry.raw_file_position(), entry.size());
                Member::File(Section { path: path.to_owned(), offset, size })
            }
            EntryType::Symlink => Member::Link(resolved(directory, &link())),
            EntryType::Link => Member::Link(resolved("", &link())),
            _ => continue,
        };
        members.insert(name, member);
    }
    Ok(members)
}

fn refuse_compressed(file: &File) -> Result<()> {
    let mut magic = Vec::new();
    file.take(6).read_to_end(&mut magic)?;
    let starts = [&[0x1f, 0x8b][..], &[0x28, 0xb5, 0x2f, 0xfd], b"BZh", &[0xfd, b'7', b'z', b'X', b'Z', 0]];
    match starts.iter().any(|start| magic.starts_with(start)) {
        true => bail!("it is a compressed archive\nhint: decompress it; its layers are compressed already"),
        false => Ok(()),
    }
}

/// Returns what a name in `directory` means, without `.`, `..` and slashes that mean nothing.
fn resolved(directory: &str, name: &str) -> String {
    let directory = if name.starts_with('/') { "" } else { directory };
    let mut parts = Vec::new();
    for part in directory.split('/').chain(name.split('/')) {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leads_out_of_a_directory() {
        let place = tempfile::tempdir().unwrap();
        std::fs::create_dir(place.path().join("image")).unwrap();
        std::fs::write(place.path().join("config.json"), "{}").unwrap();
        let files = Files::open(&place.path().join("image")).unwrap();
        let outside = place.path().join("config.json");
        for name in ["../config.json", outside.to_str().unwrap()] {
            assert!(files.find(name).unwrap().is_none(), "{name}");
        }
        std::fs::write(place.path().join("image/config.json"), "inside").unwrap();
        assert_eq!(files.read("../config.json", 100).unwrap().unwrap(), b"inside");
    }

    #[test]
    fn a_name_in_an_archive_is_found_however_it_is_written() {
        for (directory, name, meant) in [
            ("", "./a//b/", "a/b"),
            ("a", "../b/layer.tar", "b/layer.tar"),
            ("a", "../../../etc/passwd", "etc/passwd"),
            ("a", "/b", "b"),
        ] {
            assert_eq!(resolved(directory, name), meant);
        }
    }
}
