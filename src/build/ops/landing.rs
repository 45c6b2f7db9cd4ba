//! Where entries of a layer to be land in a root of which only the skeleton is known.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail};

use crate::layer::{Entry, Found, Kind, Metadata, Skeleton};

/// The entries of a layer to be: each where its path leads in the root, with the directories missing on the way.
pub struct Landing<'a> {
    root: &'a Skeleton,
    entries: BTreeMap<Vec<u8>, Landed>,
}

struct Landed {
    /// Of its content.
    index: Option<usize>,
    entry: Entry,
    /// Whether it is there only for what lies in it.
    is_parent: bool,
}

impl<'a> Landing<'a> {
    /// Begins with a root as it is.
    pub fn new(root: &'a Skeleton) -> Landing<'a> {
        Landing { root, entries: BTreeMap::new() }
    }

    /// Places an entry that has no content; returns where it lands, as an absolute path.
    pub fn place(&mut self, target: &str, entry: Entry) -> Result<String> {
        self.land(None, target, entry)
    }

    /// Places a file whose content goes by `index`; returns where it lands, as an absolute path.
    pub fn place_file(&mut self, index: usize, target: &str, entry: Entry) -> Result<String> {
        self.land(Some(index), target, entry)
    }

    /// Places a directory, unless there is one, which stays as it is; a link to one counts, too.
    pub fn place_directory(&mut self, target: &str, mut entry: Entry) -> Result<()> {
        let failed = || format!("cannot put {target}");
        let resolved = self.root.follow(target.as_bytes()).with_context(failed)?;
        match resolved.found {
            Found::Directory { .. } => return Ok(()),
            Found::Symlink { .. } | Found::Other => {}
        }
        self.add_parents(target, &resolved.path)?;
        entry.path = resolved.path;
        match self.entries.get_mut(&entry.path) {
            Some(landed) if landed.entry.kind != Kind::Directory => {
                bail!("{}: something else is put there too", failed())
            }
            Some(landed) if !landed.is_parent => Ok(()),
            Some(landed) => {
                *landed = Landed { index: None, entry, is_parent: false };
                Ok(())
            }
            None => {
                self.entries.insert(entry.path.clone(), Landed { index: None, entry, is_parent: false });
                Ok(())
            }
        }
    }

    /// Returns the entries in the order of their paths.
    pub fn entries(&self) -> impl Iterator<Item = (Option<usize>, &Entry)> {
        self.entries.values().map(|landed| (landed.index, &landed.entry))
    }

    /// Returns the paths, and whether each is a directory that only leads to another.
    pub fn paths(&self) -> impl Iterator<Item = (&[u8], bool)> {
        self.entries.iter().map(|(path, landed)| (path.as_slice(), landed.is_parent))
    }

    /// Returns the directories, whether something was to be there or they lead to it.
    pub(super) fn directories(&self) -> impl Iterator<Item = &[u8]> {
        let directories = self.entries.values().filter(|landed| landed.entry.kind == Kind::Directory);
        directories.map(|landed| landed.entry.path.as_slice())
    }

    /// Every directory on the way is in the layer: as it is, or made new.
    pub fn add_parents(&mut self, target: &str, path: &[u8]) -> Result<()> {
        let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(end, _)| end);
        for parent in ends.map(|end| &path[..end]) {
            if let Some(landed) = self.entries.get(parent) {
                if landed.entry.kind != Kind::Directory {
                    bail!("cannot put {target}: /{} is no directory", String::from_utf8_lossy(parent));
                }
                continue;
            }
            let entry = directory(parent, &self.root.resolve(parent)?.found);
            self.entries.insert(parent.to_vec(), Landed { index: None, entry, is_parent: true });
        }
        Ok(())
    }

    fn land(&mut self, index: Option<usize>, target: &str, mut entry: Entry) -> Result<String> {
        let resolved =
            self.root.resolve(target.as_bytes()).with_context(|| format!("cannot put {target}"))?;
        match resolved.found {
            Found::Directory { .. } => {
                bail!(
                    "cannot put {target}: there is a directory\nhint: name the file in it, as in {target}/name"
                )
            }
            Found::Symlink { .. } | Found::Other => {}
        }
        self.add_parents(target, &resolved.path)?;
        let path = format!("/{}", String::from_utf8_lossy(&resolved.path));
        entry.path = resolved.path;
        match self.entries.insert(entry.path.clone(), Landed { index, entry, is_parent: false }) {
            None => Ok(path),
            Some(_) => bail!("cannot put {target}: something else is put there too"),
        }
    }
}

/// Returns a directory as it is in the root, or a new one. Its time is the image's, the latest that a layer shows.
fn directory(path: &[u8], known: &Found) -> Entry {
    let (mode, uid, gid) = match known {
        Found::Directory { mode, uid, gid } => (*mode, *uid, *gid),
        Found::Symlink { .. } | Found::Other => (0o755, 0, 0),
    };
    let mut entry = Entry::directory(path, mode);
    entry.metadata = Metadata { mode, uid, gid, mtime: i64::MAX, ..Metadata::default() };
    entry
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::{self, LayerWriter};

    /// A root that a layer with these entries makes.
    fn root(entries: &[Entry]) -> Skeleton {
        let directory = tempfile::tempdir().unwrap();
        let store = crate::store::Store::open(directory.path()).unwrap();
        let options = layer::Options { epoch: 0, threads: 1, compression: layer::Compression::Gzip(1) };
        let mut writer = LayerWriter::new(store.blob_writer().unwrap(), options).unwrap();
        entries.iter().for_each(|entry| writer.entry(entry, &mut std::io::empty()).unwrap());
        let mut skeleton = Skeleton::default();
        skeleton.apply(&writer.finish().unwrap().skeleton).unwrap();
        skeleton
    }

    fn landed(root: &Skeleton, targets: &[&str]) -> Result<Vec<String>> {
        let mut landing = Landing::new(root);
        for target in targets {
            landing.place(target, Entry::file(Vec::new(), 0o644, 0))?;
        }
        let shown = landing
            .entries()
            .map(|(_, entry)| format!("{:o} {}", entry.metadata.mode, String::from_utf8_lossy(&entry.path)));
        Ok(shown.collect())
    }

    #[test]
    fn directories_on_the_way_keep_what_they_have_or_are_made() {
        let root = root(&[Entry::directory("tmp", 0o1777)]);
        assert_eq!(landed(&root, &["/tmp/a/x"]).unwrap(), ["1777 tmp", "755 tmp/a", "644 tmp/a/x"]);
    }

    #[test]
    fn links_lead_where_they_lead_in_the_root() {
        let root = root(&[
            Entry::symlink("bin", "usr/bin"),
            Entry::directory("usr", 0o755),
            Entry::directory("usr/bin", 0o755),
        ]);
        assert_eq!(landed(&root, &["/bin/x"]).unwrap(), ["755 usr", "755 usr/bin", "644 usr/bin/x"]);
    }

    #[test]
    fn a_file_is_accounted_for_where_it_lands() {
        let root = root(&[
            Entry::symlink("bin", "usr/bin"),
            Entry::directory("usr", 0o755),
            Entry::directory("usr/bin", 0o755),
        ]);
        let path = Landing::new(&root).place("/bin/x", Entry::file(Vec::new(), 0o644, 0)).unwrap();
        assert_eq!(path, "/usr/bin/x");
    }

    #[test]
    fn a_directory_is_not_replaced_and_a_file_is_no_directory() {
        let root = root(&[Entry::directory("etc", 0o755)]);
        assert!(landed(&root, &["/etc"]).unwrap_err().to_string().contains("there is a directory"));
        assert!(
            landed(&root, &["/etc/a", "/etc/a/b"])
                .unwrap_err()
                .to_string()
                .contains("/etc/a is no directory")
        );
    }
}
