//! What is taken out of the root that a step leaves, or out of another image: single files, directories, and what matches
//! a pattern.
//!
//! The root is seen through the directories of its layers, and no link leads out of it. Nothing is copied before it is
//! written.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Read;
use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow, bail};

use super::content::{Content, Place};
use super::members::{FileId, Member, Members, Wanted};
use crate::build::graph::CopiedRoot;
use crate::build::selection::Selection;
use crate::digest::Hasher;
use crate::layer::{Kind, LastLink, Node, Stack};

/// No more is taken out of one root.
const MOST_MEMBERS: usize = 1_000_000;
/// How much is hashed at a time.
const PIECE: usize = 128 << 10;
/// How many neighbours of a file that isn't there are named.
const MOST_NEIGHBOURS: usize = 8;

/// Something that can't be taken out of a root, and why.
#[derive(Debug)]
pub struct NotTaken {
    /// The root.
    pub root: CopiedRoot,
    /// The path or pattern, relative to it.
    pub path: String,
    /// Why, and perhaps what to do.
    pub reason: String,
}

impl fmt::Display for NotTaken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = if self.path == "." { "" } else { &self.path };
        write!(f, "cannot take /{path} out of {}: {}", self.root, self.reason)
    }
}

impl std::error::Error for NotTaken {}

impl fmt::Display for CopiedRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CopiedRoot::Step(step) => write!(f, "step `{}`", step.name),
            CopiedRoot::Image { name, .. } => write!(f, "image {name}"),
        }
    }
}

impl NotTaken {
    /// Says that `path` can't be taken.
    pub(super) fn new(root: &CopiedRoot, path: &str, error: &anyhow::Error) -> NotTaken {
        NotTaken { root: root.clone(), path: path.to_owned(), reason: format!("{error:#}") }
    }
}

/// Looks at a root and returns what is wanted of it.
pub(super) fn take(root: &CopiedRoot, stack: Stack, wanted: &Wanted) -> Result<Members> {
    let mut taking = Taking { stack: Arc::new(stack), members: BTreeMap::new(), shared: BTreeMap::new() };
    let mut singles = BTreeMap::new();
    for name in &wanted.names {
        let file = taking.single(name).map_err(|error| NotTaken::new(root, name, &error))?;
        singles.insert(name.clone(), file);
    }
    for selection in &wanted.selections {
        let gathered = taking.gather(selection);
        gathered.map_err(|error| NotTaken::new(root, selection.as_str(), &error))?;
    }
    Ok(Members::of_root(taking.members, singles, taking.shared))
}

struct Taking {
    stack: Arc<Stack>,
    members: BTreeMap<String, Member>,
    shared: BTreeMap<String, FileId>,
}

impl Taking {
    /// Finds a single file; links are followed, inside the root.
    fn single(&self, name: &str) -> Result<Content> {
        let Some(node) = self.stack.find(name, LastLink::Followed)? else { bail!(self.absent(name)) };
        if node.is_directory() {
            bail!("it is a directory\nhint: to take all that is in it, write a `/` at its end: \"/{name}/\"");
        }
        if !node.is_file() {
            bail!("it is no regular file");
        }
        self.content(&node)
    }

    /// Finds what a selection takes; links are links then, but those on the way to its directory.
    fn gather(&mut self, selection: &Selection) -> Result<()> {
        let directory = selection.directory();
        let top = match directory {
            "" => self.stack.root()?,
            _ => self.stack.find(directory, LastLink::Followed)?,
        };
        let Some(top) = top else { bail!(self.absent(directory)) };
        if !top.is_directory() {
            bail!("/{directory} is no directory\nhint: take it without a `/` at its end");
        }
        let found = found(&top, selection)?;
        if found.is_empty() && selection.is_pattern() {
            bail!("nothing matches it{}", self.neighbours(directory));
        }
        if self.members.len() + found.len() > MOST_MEMBERS {
            bail!("more than {MOST_MEMBERS} entries are taken");
        }
        for (name, node) in found {
            let member = self.member(&node).with_context(|| format!("/{name}"))?;
            if node.is_file() && node.n_links() > 1 {
                self.shared.insert(name.clone(), node.id());
            }
            self.members.insert(name, member);
        }
        Ok(())
    }

    fn member(&self, node: &Node) -> Result<Member> {
        let entry = node.entry()?;
        Ok(match entry.kind {
            Kind::File { .. } => Member::File(self.content(node)?),
            Kind::Directory => Member::Directory(entry.metadata.mode),
            Kind::Symlink { target } => {
                let target = String::from_utf8(target);
                Member::Link(target.map_err(|_| anyhow!("what the link says is no UTF-8"))?)
            }
            Kind::Hardlink { .. } | Kind::CharDevice { .. } | Kind::BlockDevice { .. } | Kind::Fifo => {
                bail!("it is no file, directory or link")
            }
        })
    }

    /// Describes a file. When a step was run says nothing of its content: it takes the image's time.
    fn content(&self, node: &Node) -> Result<Content> {
        let mut hasher = Hasher::new();
        let mut file = node.open()?;
        let mut piece = vec![0; PIECE];
        loop {
            match file.read(&mut piece)? {
                0 => break,
                n => hasher.update(&piece[..n]),
            }
        }
        let (digest, size) = hasher.finish();
        let place = Place::Root(self.stack.clone(), node.path().to_vec());
        Ok(Content { place, size, digest, mode: node.metadata()?.mode, mtime: i64::MAX })
    }

    fn absent(&self, name: &str) -> String {
        let directory = name.rsplit_once('/').map_or("", |(directory, _)| directory);
        format!("there is no such file{}", self.neighbours(directory))
    }

    /// Tells what lies in a directory, or in the nearest above it that is there.
    fn neighbours(&self, directory: &str) -> String {
        let mut directory = directory;
        let names = loop {
            let found = self.stack.find(directory, LastLink::Followed);
            if let Ok(Some(node)) = found
                && let Ok(names) = node.names()
            {
                break names;
            }
            match directory.rsplit_once('/') {
                Some((above, _)) => directory = above,
                None if directory.is_empty() => return "\nhint: there is nothing in it".into(),
                None => directory = "",
            }
        };
        let shown = names.iter().take(MOST_NEIGHBOURS).map(|name| String::from_utf8_lossy(name));
        let shown: Vec<_> = shown.collect();
        let more = if names.len() > MOST_NEIGHBOURS { " …" } else { "" };
        match shown.is_empty() {
            true => format!("\nhint: there is nothing in /{directory}"),
            false => format!("\nhint: in /{directory} there is {}{more}", shown.join(" ")),
        }
    }
}

/// Returns what a selection takes below its directory, by names as the selection has them.
fn found(top: &Node, selection: &Selection) -> Result<Vec<(String, Node)>> {
    let mut found = Vec::new();
    let mut n_seen = 0;
    let mut refused = None;
    let start = if top.path().is_empty() { 0 } else { top.path().len() + 1 };
    top.walk(&mut |node| {
        n_seen += 1;
        let below = &node.path()[start..];
        let name = match selection.directory() {
            "" => String::from_utf8_lossy(below).into_owned(),
            directory => format!("{directory}/{}", String::from_utf8_lossy(below)),
        };
        let is_taken = selection.take(&name).is_some();
        if is_taken && std::str::from_utf8(below).is_err() {
            refused.get_or_insert_with(|| anyhow!("/{name}: its name is no UTF-8"));
        }
        if n_seen > MOST_MEMBERS {
            refused.get_or_insert_with(|| anyhow!("there are more than {MOST_MEMBERS} entries"));
        }
        let goes_on = refused.is_none() && (is_taken || selection.reaches_below(&name));
        if is_taken {
            found.push((name, node.clone()));
        }
        Ok(goes_on)
    })?;
    match refused {
        Some(refused) => Err(refused),
        None => Ok(found),
    }
}
