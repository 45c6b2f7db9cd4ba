//! Files put into the root: from the context, or out of a tarball of it.
//!
//! The root itself isn't needed, only its [`Skeleton`]: where a path leads, and which directories
//! must be made on the way.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail};

use super::content::Content;
use super::tarball;
use crate::bom::{self, BomDelta, FileSource};
use crate::build::context::Context;
use crate::build::graph::{CopiedFile, Copy, Delta, Source};
use crate::layer::{Entry, Found, Kind, LayerWriter, Metadata, Skeleton};
use crate::store::Scratch;

/// Puts the files into a layer.
pub fn copy(
    copy: &Copy,
    sources: &[&Source],
    context: &Context,
    root: &Skeleton,
    scratch: &Scratch,
    mut writer: LayerWriter,
) -> Result<Delta> {
    let mut contents = gather(copy, sources, context, scratch)?;
    let mut landing = Landing::new(root);
    let mut bom = BomDelta::default();
    for (index, (file, content)) in copy.files.iter().zip(&contents).enumerate() {
        let path = landing.place_file(index, &file.target, entry_of(file, content))?;
        bom.removed_paths.push(path.clone());
        bom.files.push(account(path, file, content, sources[file.mount]));
    }
    for (index, entry) in landing.entries() {
        match index {
            Some(index) => contents[index].write(entry, &mut writer)?,
            None => writer.entry(entry, &mut std::io::empty())?,
        }
    }
    let packed = writer.finish()?;
    Ok(Delta { layer: Some(packed.layer), bom, skeleton: packed.skeleton, ..Delta::default() })
}

fn account(path: String, file: &CopiedFile, content: &Content, source: &Source) -> bom::File {
    let origin = &file.origin;
    let is_unversioned = origin.git.is_none() && origin.url.is_none();
    let context = bom::ContextFile { path: file.context_path.clone(), unversioned: is_unversioned };
    let tarball = file.member.as_ref().map(|member| bom::Tarball {
        name: file.context_path.clone(),
        digest: source.digest,
        member: member.path.clone(),
    });
    bom::File {
        path,
        digest: content.digest,
        size: content.size,
        mode: format!("{:04o}", file.mode.unwrap_or(content.mode)),
        source: FileSource {
            git: origin.git.clone(),
            url: origin.url.clone(),
            context: tarball.is_none().then_some(context),
            tarball,
        },
    }
}

/// Opens what is to be copied, in the order of the files; tarballs are read once each.
fn gather(copy: &Copy, sources: &[&Source], context: &Context, scratch: &Scratch) -> Result<Vec<Content>> {
    let mut contents: BTreeMap<usize, Content> = BTreeMap::new();
    for (mount, source) in sources.iter().enumerate() {
        let mut members: BTreeMap<usize, String> = BTreeMap::new();
        for (index, file) in copy.files.iter().enumerate().filter(|(_, file)| file.mount == mount) {
            match &file.member {
                None => drop(contents.insert(index, Content::of_context(source, context)?)),
                Some(member) => drop(members.insert(index, tarball::plain(&member.path))),
            }
        }
        if !members.is_empty() {
            let taken = take_members(source, &members, context, scratch);
            contents.extend(taken.with_context(|| format!("cannot read tarball {}", source.path))?);
        }
    }
    Ok(contents.into_values().collect())
}

/// Several files may take the same member.
fn take_members(
    source: &Source,
    members: &BTreeMap<usize, String>,
    context: &Context,
    scratch: &Scratch,
) -> Result<Vec<(usize, Content)>> {
    let wanted = members.values().cloned().collect();
    // Tarballs of one copy share the scratch directory.
    let spools = tempfile::Builder::new().prefix("tarball-").tempdir_in(scratch.path())?;
    let found = tarball::take(source, &wanted, context, spools.path())?;
    members.iter().map(|(&index, name)| Ok((index, found[name].again()?))).collect()
}

fn entry_of(file: &CopiedFile, content: &Content) -> Entry {
    let mut entry = Entry::file(Vec::new(), file.mode.unwrap_or(content.mode), content.size);
    (entry.metadata.uid, entry.metadata.gid) = file.owner;
    entry.metadata.mtime = content.mtime;
    entry
}

/// The entries of a layer to be: each where its path leads in the root, with the directories missing on the way.
pub struct Landing<'a> {
    root: &'a Skeleton,
    entries: BTreeMap<Vec<u8>, (Option<usize>, Entry)>,
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

    /// Returns the entries in the order of their paths.
    pub fn entries(&self) -> impl Iterator<Item = (Option<usize>, &Entry)> {
        self.entries.values().map(|(index, entry)| (*index, entry))
    }

    /// Every directory on the way is in the layer: as it is, or made new.
    fn add_parents(&mut self, target: &str, path: &[u8]) -> Result<()> {
        let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(end, _)| end);
        for parent in ends.map(|end| &path[..end]) {
            let known = self.root.resolve(parent)?.found;
            let (_, entry) =
                self.entries.entry(parent.to_vec()).or_insert_with(|| (None, directory(parent, &known)));
            if entry.kind != Kind::Directory {
                bail!("cannot put {target}: /{} is no directory", String::from_utf8_lossy(parent));
            }
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
        match self.entries.insert(entry.path.clone(), (index, entry)) {
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
    use crate::layer;

    /// A root that a layer with these entries makes.
    fn root(entries: &[Entry]) -> Skeleton {
        let directory = tempfile::tempdir().unwrap();
        let store = crate::store::Store::open(directory.path()).unwrap();
        let options = layer::Options { epoch: 0, threads: 1, level: 1 };
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
