//! Skeletons in JSON: few bytes for thousands of paths.
//!
//! Directories are grouped by mode and owner, and a path is a string in which `%` and what is no UTF-8 is written as
//! `%XX`.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::names::{Groups, Users};
use super::skeleton::{Node, Nodes, Skeleton, SkeletonDelta};

#[derive(Serialize, Deserialize)]
pub(super) struct Compact {
    /// By `mode:uid:gid`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    directories: BTreeMap<String, Vec<String>>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    symlinks: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    private_keys: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    users: Option<Users>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    groups: Option<Groups>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct CompactDelta {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    cleared: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    removed: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    others: Vec<String>,
    #[serde(flatten)]
    nodes: Compact,
}

impl From<Skeleton> for Compact {
    fn from(skeleton: Skeleton) -> Compact {
        let users = Some(skeleton.users).filter(|users| !users.is_empty());
        let groups = Some(skeleton.groups).filter(|groups| !groups.is_empty());
        Compact { users, groups, ..Compact::of(&skeleton.nodes) }
    }
}

impl TryFrom<Compact> for Skeleton {
    type Error = String;

    fn try_from(compact: Compact) -> Result<Skeleton, String> {
        let nodes = compact.nodes()?;
        let (users, groups) = (compact.users.unwrap_or_default(), compact.groups.unwrap_or_default());
        Ok(Skeleton { nodes, users, groups })
    }
}

impl From<SkeletonDelta> for CompactDelta {
    fn from(delta: SkeletonDelta) -> CompactDelta {
        let escaped = |paths: &BTreeSet<Vec<u8>>| paths.iter().map(|path| escape(path)).collect();
        CompactDelta {
            cleared: escaped(&delta.cleared),
            removed: escaped(&delta.removed),
            others: escaped(&delta.others),
            nodes: Compact { users: delta.users, groups: delta.groups, ..Compact::of(&delta.nodes) },
        }
    }
}

impl TryFrom<CompactDelta> for SkeletonDelta {
    type Error = String;

    fn try_from(compact: CompactDelta) -> Result<SkeletonDelta, String> {
        let paths = |paths: &[String]| -> Result<BTreeSet<Vec<u8>>, String> {
            paths.iter().map(|path| unescape(path)).collect()
        };
        Ok(SkeletonDelta {
            cleared: paths(&compact.cleared)?,
            removed: paths(&compact.removed)?,
            others: paths(&compact.others)?,
            nodes: compact.nodes.nodes()?,
            users: compact.nodes.users,
            groups: compact.nodes.groups,
        })
    }
}

impl Compact {
    fn of(nodes: &Nodes) -> Compact {
        let mut directories: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut symlinks = BTreeMap::new();
        let mut private_keys = Vec::new();
        for (path, node) in nodes {
            match node {
                Node::Directory { mode, uid, gid } => {
                    directories.entry(format!("{mode:o}:{uid}:{gid}")).or_default().push(escape(path));
                }
                Node::Symlink { target } => {
                    symlinks.insert(escape(path), escape(target));
                }
                Node::PrivateKey => private_keys.push(escape(path)),
            }
        }
        Compact { directories, symlinks, private_keys, users: None, groups: None }
    }

    fn nodes(&self) -> Result<Nodes, String> {
        let mut nodes = Nodes::new();
        for (group, paths) in &self.directories {
            let node = directory(group).ok_or_else(|| format!("`{group}` is no mode and owner"))?;
            for path in paths {
                nodes.insert(unescape(path)?, node.clone());
            }
        }
        for (path, target) in &self.symlinks {
            nodes.insert(unescape(path)?, Node::Symlink { target: unescape(target)? });
        }
        for path in &self.private_keys {
            nodes.insert(unescape(path)?, Node::PrivateKey);
        }
        Ok(nodes)
    }
}

fn directory(group: &str) -> Option<Node> {
    let mut parts = group.split(':');
    let mode = u32::from_str_radix(parts.next()?, 8).ok().filter(|mode| *mode <= 0o7777)?;
    let node = Node::Directory { mode, uid: parts.next()?.parse().ok()?, gid: parts.next()?.parse().ok()? };
    parts.next().is_none().then_some(node)
}

fn escape(path: &[u8]) -> String {
    let mut text = String::with_capacity(path.len());
    for chunk in path.utf8_chunks() {
        text.push_str(&chunk.valid().replace('%', "%25"));
        for byte in chunk.invalid() {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

fn unescape(text: &str) -> Result<Vec<u8>, String> {
    let mut parts = text.split('%');
    let mut path = parts.next().unwrap_or("").as_bytes().to_vec();
    for part in parts {
        let byte = part.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        path.push(byte.ok_or_else(|| format!("`{text}` has a `%` without two hexadecimal digits"))?);
        path.extend_from_slice(&part.as_bytes()[2..]);
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_path_survives() {
        for path in [&b"usr/bin"[..], b"100%", b"\xff\xfe/a", "schön/日本".as_bytes(), b"%41"] {
            assert_eq!(unescape(&escape(path)).unwrap(), path);
        }
        assert_eq!(escape(b"usr/bin"), "usr/bin");
        assert!(unescape("%4").is_err() && unescape("%zz").is_err() && unescape("%é").is_err());
    }
}
