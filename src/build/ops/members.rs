//! What was wanted of a tarball, a package or a root, and found: by name, each a file, a directory or a link.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, bail};

use super::content::Content;
use crate::build::selection::Selection;

/// How many hard links lead to a file.
const MOST_LINKS: usize = 40;

/// What is wanted.
#[derive(Default)]
pub(super) struct Wanted {
    /// Single files, by plain names.
    pub(super) names: BTreeSet<String>,
    /// Directories and patterns.
    pub(super) selections: Vec<Selection>,
}

/// What was wanted and found, by name.
pub(super) struct Members {
    members: BTreeMap<String, Member>,
    /// Single files, where their names mean something else there than among the others.
    singles: BTreeMap<String, Content>,
    /// Files that have several names: what these have in common.
    shared: BTreeMap<String, FileId>,
    /// What to do if something isn't there, unless that is known already not to be so.
    hint: Option<String>,
}

/// What names of one file have in common.
pub(super) type FileId = (u64, u64);

/// A member.
#[derive(Clone)]
pub(super) enum Member {
    /// A file.
    File(Content),
    /// A directory, and its mode.
    Directory(u32),
    /// A symbolic link, and what it says.
    Link(String),
    /// Another name of a file.
    Hardlink(String),
    /// A device or pipe.
    Special,
}

impl Members {
    /// Returns the members of an archive, in which one of a file's names is the file and the others lead to it.
    pub(super) fn of_archive(members: BTreeMap<String, Member>, hint: String) -> Members {
        let (singles, shared) = (BTreeMap::new(), BTreeMap::new());
        let mut read = Members { members, singles, shared, hint: Some(hint) };
        let links = read.members.iter().filter_map(|(name, member)| match member {
            Member::Hardlink(target) => Some([name, target]),
            Member::File(_) | Member::Directory(_) | Member::Link(_) | Member::Special => None,
        });
        let names: BTreeSet<&String> = links.flatten().collect();
        let shared = names.into_iter().filter_map(|name| {
            let content = read.behind(name).ok()?;
            Some((name.clone(), (0, content.place.start()?)))
        });
        read.shared = shared.collect();
        read
    }

    /// Returns what was found in a root: all that was wanted, and how many names each file has.
    pub(super) fn of_root(
        members: BTreeMap<String, Member>,
        singles: BTreeMap<String, Content>,
        shared: BTreeMap<String, FileId>,
    ) -> Members {
        Members { members, singles, shared, hint: None }
    }

    /// Returns the file that goes by a name.
    pub(super) fn file(&self, name: &str) -> Result<&Content> {
        if let Some(content) = self.singles.get(name) {
            return Ok(content);
        }
        let kind = match self.members.get(name) {
            None => {
                bail!("it has no member {name}\nhint: {}", self.hint.as_deref().unwrap_or_default())
            }
            Some(Member::File(content)) => return Ok(content),
            Some(Member::Link(target)) => format!("symbolic link to {target}"),
            Some(Member::Hardlink(target)) => format!("hard link to {target}"),
            Some(Member::Directory(_)) => "directory".into(),
            Some(Member::Special) => "special file".into(),
        };
        bail!("its member {name} is no regular file but a {kind}\nhint: name the file itself")
    }

    /// Returns what a selection takes: names, where they lie below its directory, and the members. A hard link is
    /// the file that it leads to.
    pub(super) fn selected(&self, selection: &Selection) -> Result<Vec<(&str, &str, Member)>> {
        let mut selected = Vec::new();
        for (name, member) in &self.members {
            let Some(below) = selection.take(name) else { continue };
            let member = match member {
                Member::Hardlink(_) => Member::File(self.behind(name)?.clone()),
                Member::Special => {
                    bail!("its member {name} is refused: it is no file, directory or link")
                }
                Member::File(_) | Member::Directory(_) | Member::Link(_) => member.clone(),
            };
            selected.push((name.as_str(), below, member));
        }
        match &self.hint {
            Some(hint) if selected.is_empty() => {
                bail!("nothing in it matches {}\nhint: {hint}", selection.as_str())
            }
            Some(_) | None => Ok(selected),
        }
    }

    /// Returns what the names of a file have in common, if it has several.
    pub(super) fn identity(&self, name: &str) -> Option<FileId> {
        self.shared.get(name).copied()
    }

    fn behind(&self, name: &str) -> Result<&Content> {
        let mut target = name;
        for _ in 0..MOST_LINKS {
            match self.members.get(target) {
                Some(Member::Hardlink(next)) => target = next,
                Some(Member::File(content)) => return Ok(content),
                Some(Member::Directory(_) | Member::Link(_) | Member::Special) | None => break,
            }
        }
        bail!(
            "its member {name} is a hard link to {target}, which isn't taken with it\nhint: take the directory that both are in"
        )
    }
}
