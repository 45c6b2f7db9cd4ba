//! Entries of the context as a directory that a command may see: root's, and nothing but what the graph knows of.

use std::collections::BTreeSet;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, bail};
use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};

use super::super::content::CHANGED;
use crate::build::context::Context;
use crate::build::graph::{ContextEntry, ContextKind, ContextTree};
use crate::digest::HashingReader;

/// Copies what `source`, a path in the tree, needs into the empty directory `root`; without an `epoch` each file has its
/// own time.
pub(super) fn lay_out(
    tree: &ContextTree,
    source: &str,
    context: &Context,
    root: &Path,
    epoch: Option<i64>,
) -> Result<()> {
    let taken = taken(tree, source);
    let context = context.called(tree.context.as_deref())?.below(&tree.directory);
    for entry in &taken {
        put(entry, &context, root, epoch)
            .with_context(|| format!("cannot show {} of the context", entry.path))?;
    }
    // Last, since what is put into a directory changes it.
    for entry in taken.iter().rev().filter(|entry| entry.kind == ContextKind::Directory) {
        let path = root.join(&entry.path);
        fs::set_permissions(&path, Permissions::from_mode(entry.mode & 0o7777))?;
        File::open(&path)?.set_modified(epoch.map_or_else(SystemTime::now, time))?;
    }
    Ok(())
}

/// Returns the entries at and below `source`, with the directories above it; or all, where that isn't clear from the path.
fn taken<'a>(tree: &'a ContextTree, source: &str) -> Vec<&'a ContextEntry> {
    let names: Vec<&str> = source.split('/').filter(|name| !matches!(*name, "" | ".")).collect();
    let path = names.join("/");
    let above: BTreeSet<String> = (1..names.len()).map(|n| names[..n].join("/")).collect();
    let is_plain = tree.entries.iter().all(|entry| match entry.kind {
        ContextKind::Symlink { .. } => entry.path != path && !above.contains(&entry.path),
        // The other name may lie elsewhere.
        ContextKind::Hardlink { .. } => false,
        ContextKind::Directory
        | ContextKind::File { .. }
        | ContextKind::CharDevice { .. }
        | ContextKind::BlockDevice { .. }
        | ContextKind::Fifo => true,
    });
    let below = format!("{path}/");
    let is_taken = |entry: &&ContextEntry| {
        !is_plain
            || path.is_empty()
            || entry.path == path
            || entry.path.starts_with(&below)
            || above.contains(&entry.path)
    };
    tree.entries.iter().filter(is_taken).collect()
}

fn put(entry: &ContextEntry, context: &Context, root: &Path, epoch: Option<i64>) -> Result<()> {
    let place = root.join(&entry.path);
    if let Some(parent) = place.parent().filter(|parent| !parent.exists()) {
        fs::create_dir_all(parent)?;
    }
    match &entry.kind {
        ContextKind::Directory => Ok(fs::create_dir(&place)?),
        ContextKind::Symlink { target } => Ok(symlink(target, &place)?),
        ContextKind::Hardlink { target } => Ok(fs::hard_link(root.join(target), &place)?),
        ContextKind::CharDevice { major, minor } => {
            make_node(&place, FileType::CharacterDevice, entry.mode, makedev(*major, *minor))
        }
        ContextKind::BlockDevice { major, minor } => {
            make_node(&place, FileType::BlockDevice, entry.mode, makedev(*major, *minor))
        }
        ContextKind::Fifo => make_node(&place, FileType::Fifo, entry.mode, 0),
        ContextKind::File { digest, .. } => {
            let from = context.open(&entry.path)?;
            let modified = epoch.map_or_else(|| from.metadata()?.modified(), |epoch| Ok(time(epoch)))?;
            let mut from = HashingReader::new(from);
            let mut to = File::create_new(&place)?;
            io::copy(&mut from, &mut to)?;
            if from.finish().1 != *digest {
                bail!(CHANGED);
            }
            to.set_permissions(Permissions::from_mode(entry.mode & 0o7777))?;
            Ok(to.set_modified(modified)?)
        }
    }
}

fn make_node(place: &Path, kind: FileType, mode: u32, device: u64) -> Result<()> {
    mknodat(CWD, place, kind, Mode::empty(), device)?;
    Ok(fs::set_permissions(place, Permissions::from_mode(mode & 0o7777))?)
}

fn time(epoch: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(epoch.try_into().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;

    fn entry(path: &str, kind: ContextKind) -> ContextEntry {
        ContextEntry { path: path.into(), mode: 0o644, kind }
    }

    fn file(path: &str) -> ContextEntry {
        entry(path, ContextKind::File { digest: Digest::of(path), size: 0 })
    }

    fn paths(entries: &[ContextEntry], source: &str) -> Vec<String> {
        let tree = ContextTree { entries: entries.to_vec(), ..ContextTree::default() };
        taken(&tree, source).iter().map(|entry| entry.path.clone()).collect()
    }

    #[test]
    fn only_what_is_asked_for_is_copied_unless_links_are_on_the_way() {
        let directory = |path| entry(path, ContextKind::Directory);
        let entries = [directory("a"), directory("a/b"), file("a/b/x"), file("a/y"), file("ab")];
        assert_eq!(paths(&entries, "/a/b/"), ["a", "a/b", "a/b/x"]);
        assert_eq!(paths(&entries, "ab"), ["ab"]);
        assert_eq!(paths(&entries, "").len(), 5);
        let linked = [&entries[..], &[entry("l", ContextKind::Symlink { target: "a".into() })]].concat();
        assert_eq!(paths(&linked, "l/b").len(), 6);
        assert_eq!(paths(&linked, "ab"), ["ab"]);
    }

    #[test]
    fn what_changed_since_it_was_hashed_is_not_shown() {
        let place = tempfile::tempdir().unwrap();
        fs::write(place.path().join("x"), "x").unwrap();
        let context = Context::new(place.path());
        let tree = ContextTree { entries: vec![file("x")], ..ContextTree::default() };
        for (n, expected) in [(0, None), (1, Some("cannot show x of the context"))] {
            let root = place.path().join(format!("root-{n}"));
            fs::create_dir(&root).unwrap();
            let result = lay_out(&tree, "", &context, &root, Some(9));
            assert_eq!(result.err().map(|error| error.to_string()).as_deref(), expected);
            fs::write(place.path().join("x"), "other").unwrap();
        }
        let metadata = fs::metadata(place.path().join("root-0/x")).unwrap();
        assert_eq!(metadata.modified().unwrap(), SystemTime::UNIX_EPOCH + Duration::from_secs(9));
    }
}
