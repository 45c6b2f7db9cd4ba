//! Trees that files are taken out of: the context, another image. What a path or pattern means in one, and what of it
//! is taken.
//!
//! Nothing here reads a file, and nothing knows where things land. Names are bytes; links lead where they lead for
//! somebody to whom the tree's top is `/`, so that nothing outside is ever reached.

mod pick;

pub use pick::{Match, Pick, Role, Step};

use anyhow::{Result, bail};

use crate::dockerfile::clean;

/// How many symbolic links one path may lead through.
const MOST_LINKS: usize = 255;
/// How deep directories may be nested.
const MOST_DEPTH: usize = 2000;

/// Something in a tree.
pub trait Node: Clone {
    /// Returns where it is, relative to the top, without links on the way; empty for the top.
    fn path(&self) -> &[u8];
    /// Returns what it is, as far as one must know to find the way.
    fn form(&self) -> Result<Form>;
    /// Returns what goes by `name` in a directory.
    fn child(&self, name: &[u8]) -> Result<Option<Self>>;
    /// Returns what is in a directory, sorted by name.
    fn children(&self) -> Result<Vec<Self>>;
}

/// What something in a tree is, as far as one must know to find the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form {
    /// A directory.
    Directory,
    /// A symbolic link, and what it says.
    Symlink(Vec<u8>),
    /// Anything else.
    Other,
}

/// Returns what `path` leads to below `top`; none where nothing is there. Each link on the way is shown to `visitor`.
pub fn find<N: Node>(top: &N, path: &[u8], visitor: &mut dyn FnMut(&N)) -> Result<Option<N>> {
    let mut trail = vec![top.clone()];
    let mut names = names_of(path);
    let mut n_links = 0;
    while let Some(name) = names.pop() {
        if name == b".." {
            trail.truncate(trail.len().saturating_sub(1).max(1));
            continue;
        }
        let here = &trail[trail.len() - 1];
        let child = if here.form()? == Form::Directory { here.child(&name)? } else { None };
        let Some(child) = child else { return Ok(None) };
        let Form::Symlink(target) = child.form()? else {
            trail.push(child);
            continue;
        };
        visitor(&child);
        n_links += 1;
        if n_links > MOST_LINKS {
            bail!("/{} leads through too many links", String::from_utf8_lossy(path));
        }
        if target.starts_with(b"/") {
            trail.truncate(1);
        }
        names.extend(names_of(&target));
    }
    Ok(trail.pop())
}

/// Returns a path from the top on, without `.`, `..`, doubled slashes and one at its end, whatever is there.
pub fn rooted(path: &str) -> String {
    clean(&format!("/{path}"))
}

/// Returns it relative to the top.
pub fn cleaned(path: &[u8]) -> Vec<u8> {
    rooted(&String::from_utf8_lossy(path)).split_off(1).into_bytes()
}

/// Returns `name` in the directory `parent`.
pub fn join(parent: &[u8], name: &[u8]) -> Vec<u8> {
    match (parent, name) {
        ([], _) => name.to_vec(),
        (_, []) => parent.to_vec(),
        _ => [parent, b"/", name].concat(),
    }
}

/// Returns the directory of a path, and its last name.
pub fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|&byte| byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (&[], path),
    }
}

/// The last name first.
fn names_of(path: &[u8]) -> Vec<Vec<u8>> {
    let names = path.split(|&byte| byte == b'/').filter(|name| !matches!(*name, b"" | b"."));
    names.rev().map(<[u8]>::to_vec).collect()
}
