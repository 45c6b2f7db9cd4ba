//! What a later step must know of a root without having its bytes: its directories and symbolic links, the names of its
//! users and groups, and which files hold private keys.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

use super::compact::{Compact, CompactDelta};
use super::names::{self, GROUP, Groups, PASSWD, Users};
use super::rooted::{MAX_LINKS, join, split};
use super::{Entry, Error, Kind, shown};

/// The directories, symbolic links, and names of users and groups of a root, and which of its files hold private keys,
/// of those that were written here. The empty one has nothing but the root itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Compact", try_from = "Compact")]
pub struct Skeleton {
    pub(super) nodes: Nodes,
    pub(super) users: Users,
    pub(super) groups: Groups,
}

/// What a layer changes in a [`Skeleton`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "CompactDelta", try_from = "CompactDelta")]
pub struct SkeletonDelta {
    /// Directories whose content below is gone.
    pub(super) cleared: BTreeSet<Vec<u8>>,
    /// Paths that are gone.
    pub(super) removed: BTreeSet<Vec<u8>>,
    /// Paths at which something else stands now.
    pub(super) others: BTreeSet<Vec<u8>>,
    pub(super) nodes: Nodes,
    /// The users that there are now, unless that didn't change.
    pub(super) users: Option<Users>,
    /// The groups that there are now, unless that didn't change.
    pub(super) groups: Option<Groups>,
}

pub(super) type Nodes = BTreeMap<Vec<u8>, Node>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Node {
    Directory {
        mode: u32,
        uid: u32,
        gid: u32,
    },
    Symlink {
        target: Vec<u8>,
    },
    /// A file that holds a private key.
    PrivateKey,
}

/// A directory that nobody described.
const PLAIN: Node = Node::Directory { mode: 0o755, uid: 0, gid: 0 };

/// Where a path of a root leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The path without symbolic links among its parents.
    pub path: Vec<u8>,
    /// The parents that are not there, outermost first; they have to be made, root's and 0755.
    pub missing: Vec<Vec<u8>>,
    /// What stands there.
    pub found: Found,
}

/// What stands at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// A directory.
    Directory {
        /// Its permissions.
        mode: u32,
        /// Its owner.
        uid: u32,
        /// Its group.
        gid: u32,
    },
    /// A symbolic link.
    Symlink {
        /// Where it points.
        target: Vec<u8>,
    },
    /// Something else, or nothing.
    Other,
}

impl Skeleton {
    /// Changes the skeleton as the layer changes the root.
    pub fn apply(&mut self, delta: &SkeletonDelta) -> Result<(), Error> {
        self.change(delta).map(drop)
    }

    /// Resolves the symbolic links among the parents of `path` inside the root, but not `path` itself.
    pub fn resolve(&self, path: &[u8]) -> Result<Resolved, Error> {
        let trimmed = path.strip_suffix(b"/").unwrap_or(path);
        let (parent, name) = split(trimmed);
        if matches!(name, b"" | b"." | b"..") {
            return self.follow(path);
        }
        let (parent, missing) = self.walk(parent)?;
        let path = join(&parent, name);
        Ok(Resolved { found: self.at(&path), path, missing })
    }

    /// As [`Skeleton::resolve`], but if `path` itself is a symbolic link, it is resolved, too.
    pub fn follow(&self, path: &[u8]) -> Result<Resolved, Error> {
        let (path, mut missing) = self.walk(path)?;
        if missing.last() == Some(&path) {
            missing.pop();
        }
        Ok(Resolved { found: self.at(&path), path, missing })
    }

    /// Returns the numbers of a user and its primary group, as the root's `/etc/passwd` has them.
    pub fn user(&self, name: &str) -> Option<(u32, u32)> {
        self.users.get(name).copied()
    }

    /// Returns the number of a group, as the root's `/etc/group` has it.
    pub fn group(&self, name: &str) -> Option<u32> {
        self.groups.get(name).copied()
    }

    /// Returns the paths of all directories and symbolic links, sorted.
    pub fn paths(&self) -> impl Iterator<Item = &[u8]> {
        self.nodes.iter().filter(|(_, node)| **node != Node::PrivateKey).map(|(path, _)| path.as_slice())
    }

    /// Returns the paths of the files that hold private keys, sorted.
    pub fn private_keys(&self) -> impl Iterator<Item = &[u8]> {
        self.nodes.iter().filter(|(_, node)| **node == Node::PrivateKey).map(|(path, _)| path.as_slice())
    }

    /// Returns what stands at `path`, on which there is no link.
    pub fn at(&self, path: &[u8]) -> Found {
        let root = path.is_empty().then_some(&PLAIN);
        match self.nodes.get(path).or(root) {
            Some(Node::Directory { mode, uid, gid }) => {
                Found::Directory { mode: *mode, uid: *uid, gid: *gid }
            }
            Some(Node::Symlink { target }) => Found::Symlink { target: target.clone() },
            Some(Node::PrivateKey) | None => Found::Other,
        }
    }

    /// Walks along `path` as if it were a directory; returns where that ends, and what is missing on the way.
    fn walk(&self, path: &[u8]) -> Result<(Vec<u8>, Vec<Vec<u8>>), Error> {
        let mut names: VecDeque<Vec<u8>> = names_of(path);
        let mut here = Vec::new();
        let mut missing = Vec::new();
        let mut n_links = 0;
        while let Some(name) = names.pop_front() {
            if name == b".." {
                here.truncate(split(&here).0.len());
                continue;
            }
            let next = join(&here, &name);
            match self.nodes.get(&next) {
                Some(Node::Directory { .. }) => here = next,
                Some(Node::Symlink { target }) => {
                    n_links += 1;
                    if n_links > MAX_LINKS {
                        return Err(Error::TooManyLinks { path: shown(path) });
                    }
                    if target.starts_with(b"/") {
                        here.clear();
                    }
                    let mut through = names_of(target);
                    through.append(&mut names);
                    names = through;
                }
                Some(Node::PrivateKey) | None => {
                    if !missing.contains(&next) {
                        missing.push(next.clone());
                    }
                    here = next;
                }
            }
        }
        Ok((here, missing))
    }

    /// Applies a delta, and returns what of it made a difference.
    fn change(&mut self, delta: &SkeletonDelta) -> Result<SkeletonDelta, Error> {
        let mut effective = SkeletonDelta::default();
        for path in &delta.cleared {
            let real = self.follow(path)?.path;
            if self.clear(&real) {
                effective.cleared.insert(path.clone());
            }
        }
        for path in &delta.removed {
            let real = self.resolve(path)?.path;
            if self.cut(&real) {
                effective.removed.insert(path.clone());
            }
        }
        self.rename(delta, &mut effective);
        let nodes = delta.nodes.iter().map(|(path, node)| (path, Some(node)));
        let others = delta.others.iter().map(|path| (path, None));
        let mut arrivals: Vec<(&Vec<u8>, Option<&Node>)> = nodes.chain(others).collect();
        arrivals.sort_by_key(|(path, _)| *path);
        for (path, node) in arrivals {
            if self.arrive(path, node)? {
                effective.note(path, node);
            }
        }
        Ok(effective)
    }

    fn rename(&mut self, delta: &SkeletonDelta, effective: &mut SkeletonDelta) {
        let users = delta.users.clone().or_else(|| delta.removes(PASSWD).then(Users::new));
        if let Some(users) = users.filter(|users| *users != self.users) {
            self.users.clone_from(&users);
            effective.users = Some(users);
        }
        let groups = delta.groups.clone().or_else(|| delta.removes(GROUP).then(Groups::new));
        if let Some(groups) = groups.filter(|groups| *groups != self.groups) {
            self.groups.clone_from(&groups);
            effective.groups = Some(groups);
        }
    }

    /// Puts a directory, a symbolic link or something else at `path`; returns whether that made a difference.
    fn arrive(&mut self, path: &[u8], node: Option<&Node>) -> Result<bool, Error> {
        let Resolved { path, missing, .. } = self.resolve(path)?;
        let mut differs = !missing.is_empty();
        for parent in missing {
            self.nodes.insert(parent, PLAIN);
        }
        if node.is_some() && self.nodes.get(&path) == node {
            return Ok(differs);
        }
        let both_directories = matches!(node, Some(Node::Directory { .. }))
            && matches!(self.nodes.get(&path), Some(Node::Directory { .. }));
        if !both_directories {
            differs |= self.cut(&path);
        }
        if let Some(node) = node {
            self.nodes.insert(path, node.clone());
            differs = true;
        }
        Ok(differs)
    }

    /// Removes `path` and all below it; returns whether there was anything.
    fn cut(&mut self, path: &[u8]) -> bool {
        let cleared = self.clear(path);
        self.nodes.remove(path).is_some() || cleared
    }

    fn clear(&mut self, path: &[u8]) -> bool {
        let first = if path.is_empty() { Vec::new() } else { [path, b"/"].concat() };
        let paths = self.nodes.range(first.clone()..).map(|(path, _)| path);
        let below: Vec<Vec<u8>> = paths
            .take_while(|path| path.starts_with(&first))
            .filter(|path| !path.is_empty())
            .cloned()
            .collect();
        for path in &below {
            self.nodes.remove(path);
        }
        !below.is_empty()
    }
}

fn names_of(path: &[u8]) -> VecDeque<Vec<u8>> {
    let names = path.split(|&byte| byte == b'/').filter(|name| !name.is_empty() && *name != b".");
    names.map(<[u8]>::to_vec).collect()
}

impl SkeletonDelta {
    /// Whether what stood at `path` is gone, or something else stands there now.
    pub fn removes(&self, path: &[u8]) -> bool {
        let is_gone = |path: &[u8]| self.removed.contains(path) || self.others.contains(path);
        let is_link = |path: &[u8]| matches!(self.nodes.get(path), Some(Node::Symlink { .. }));
        let parents =
            std::iter::successors(Some(split(path).0), |path| (!path.is_empty()).then(|| split(path).0));
        let mut ways_to_go =
            parents.map(|parent| is_gone(parent) || is_link(parent) || self.cleared.contains(parent));
        is_gone(path) || self.nodes.contains_key(path) || ways_to_go.any(|is_way| is_way)
    }

    /// Returns the part that makes a difference to `skeleton`: much smaller, since most files replace nothing.
    pub fn against(&self, skeleton: &Skeleton) -> Result<SkeletonDelta, Error> {
        skeleton.clone().change(self)
    }

    /// Returns what is gone, sorted; a directory with a slash behind it stands for all that was in there.
    pub fn taken_away(&self) -> impl Iterator<Item = Vec<u8>> {
        let cleared = self.cleared.iter().map(|path| [path, &b"/"[..]].concat());
        cleared.chain(self.removed.iter().cloned())
    }

    /// Notes an entry of the layer.
    pub(super) fn put(&mut self, entry: &Entry) {
        let node = match &entry.kind {
            Kind::Directory => {
                let metadata = &entry.metadata;
                Some(Node::Directory { mode: metadata.mode, uid: metadata.uid, gid: metadata.gid })
            }
            Kind::Symlink { target } => Some(Node::Symlink { target: target.clone() }),
            Kind::Hardlink { target } => {
                self.nodes.get(target).filter(|node| **node == Node::PrivateKey).cloned()
            }
            Kind::File { .. } | Kind::CharDevice { .. } | Kind::BlockDevice { .. } | Kind::Fifo => None,
        };
        self.note(&entry.path, node.as_ref());
    }

    /// Notes that the file at `path` holds a private key.
    pub(super) fn put_private_key(&mut self, path: &[u8]) {
        self.note(path, Some(&Node::PrivateKey));
    }

    /// Notes the content of a list of names.
    pub(super) fn tell(&mut self, path: &[u8], list: &[u8]) {
        match path {
            PASSWD => self.users = Some(names::users(list)),
            GROUP => self.groups = Some(names::groups(list)),
            _ => {}
        }
    }

    /// Notes a whiteout.
    pub(super) fn remove(&mut self, path: Vec<u8>) {
        self.removed.insert(path);
    }

    /// Notes an opaque directory.
    pub(super) fn clear(&mut self, path: &[u8]) {
        self.cleared.insert(path.to_vec());
    }

    fn note(&mut self, path: &[u8], node: Option<&Node>) {
        match node {
            Some(node) => {
                self.others.remove(path);
                self.nodes.insert(path.to_vec(), node.clone());
            }
            None => {
                self.nodes.remove(path);
                self.others.insert(path.to_vec());
            }
        }
    }
}
