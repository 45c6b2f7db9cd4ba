//! Files that are known to be in a root, of which a skeleton has the directories and links alone.

use std::collections::BTreeMap;

use anyhow::Result;

use super::chown;
use crate::bom;
use crate::layer::{LastLink, Node, Skeleton, Stack};

/// What is known of files in a root without pulling it.
#[derive(Default)]
pub struct KnownFiles<'a> {
    /// Those that were accounted for, by absolute paths.
    pub accounted: Option<&'a BTreeMap<String, bom::File>>,
    /// The root, where its layers are unpacked already.
    pub stack: Option<Stack>,
}

impl KnownFiles<'_> {
    /// As [`chown::ids`] in a root with these files: what its lists don't know passes with a word to `warn`, unless there is
    /// no root at all.
    pub fn ids(&self, owner: &str, root: &Skeleton, warn: &dyn Fn(anyhow::Error)) -> Result<(u32, u32)> {
        let has_files = self.accounted.is_some_and(|files| !files.is_empty());
        let is_scratch = !has_files && root.paths().next().is_none();
        chown::ids(owner, root, &|unknown| match is_scratch {
            true => Err(unknown),
            false => {
                warn(unknown);
                Ok(())
            }
        })
    }

    /// Whether a file was put at a path, relative to the root, on which there is no link.
    pub fn accounts_for(&self, path: &[u8]) -> bool {
        let files = self.accounted.filter(|files| !files.is_empty());
        files.is_some_and(|files| files.contains_key(&format!("/{}", String::from_utf8_lossy(path))))
    }

    /// Whether something that is neither directory nor link is known to stand at such a path.
    pub fn has(&self, path: &[u8]) -> Result<bool> {
        if self.accounts_for(path) {
            return Ok(true);
        }
        let Some(stack) = &self.stack else { return Ok(false) };
        let found = stack.find(path, LastLink::Kept)?;
        Ok(found.is_some_and(|node: Node| !node.is_directory() && !node.is_symlink()))
    }
}
