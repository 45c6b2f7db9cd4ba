//! Users made in the root: lines in its lists of users and groups, and their home directories, in a layer of their own.

use anyhow::{Result, bail};

use super::accounts::{Accounts, Made};
use super::landing::Landing;
use super::paths::Paths;
use crate::bom::{self, BomDelta, Origin};
use crate::build::graph::{Delta, NewUser};
use crate::build::view::{Ask, Seen, View};
use crate::layer::{Entry, Found, Kind, LayerWriter};

const PASSWD: &str = "etc/passwd";
const GROUP: &str = "etc/group";
const SHADOW: &str = "etc/shadow";
const GSHADOW: &str = "etc/gshadow";

/// The mode of a home directory, as `useradd --create-home` makes it; nothing is put into it.
const HOME_MODE: u32 = 0o755;

/// Says what must be seen of the root to make users in it.
pub fn ask(users: &[NewUser], entry: &Entry) -> Ask {
    let path = entry.path.as_slice();
    if [PASSWD, GROUP, SHADOW, GSHADOW].iter().any(|list| list.as_bytes() == path) {
        return Ask::Content;
    }
    let homes = users.iter().filter_map(|user| user.home.as_ref());
    match homes.into_iter().any(|home| home.trim_matches('/').as_bytes() == path) {
        true => Ask::Presence,
        false => Ask::Nothing,
    }
}

/// Makes users. Those that are there already as they are asked for stay as they are.
pub fn users(users: &[NewUser], root: &View, mut writer: LayerWriter) -> Result<Delta> {
    let before = accounts(root)?;
    let mut accounts = before.clone();
    let made = accounts.add(users)?;
    let mut landing = Landing::new(&root.skeleton);
    let mut contents: Vec<&[u8]> = Vec::new();
    for (path, content) in changed(&before, &accounts) {
        landing.place_file(contents.len(), &format!("/{path}"), list_entry(path, content, root))?;
        contents.push(content);
    }
    for user in &made {
        place_home(user, root, &mut landing)?;
    }
    let bom = BomDelta {
        users: made.iter().filter(|made| made.is_new).map(account).collect(),
        ..BomDelta::default()
    };
    if landing.entries().next().is_none() {
        return Ok(Delta { bom, ..Delta::default() });
    }
    for (index, entry) in landing.entries() {
        writer.entry(entry, &mut index.map_or(&[][..], |index| contents[index]))?;
    }
    let packed = writer.finish()?;
    Paths::of_landing(&landing, &Origin::User).delta(packed, bom)
}

fn account(made: &Made) -> bom::User {
    bom::User { name: made.name.clone(), uid: made.uid, gid: made.gid, home: made.home.clone() }
}

fn accounts(root: &View) -> Result<Accounts> {
    let list = |path: &str| match root.seen.get(path.as_bytes()) {
        None => Ok(None),
        Some(Seen { entry: Entry { kind: Kind::File { .. }, .. }, content }) => Ok(Some(content.clone())),
        Some(_) => bail!("cannot make users: the image's /{path} is no regular file"),
    };
    Ok(Accounts {
        passwd: list(PASSWD)?.unwrap_or_default(),
        group: list(GROUP)?.unwrap_or_default(),
        shadow: list(SHADOW)?,
        gshadow: list(GSHADOW)?,
    })
}

fn changed<'a>(before: &Accounts, after: &'a Accounts) -> Vec<(&'static str, &'a [u8])> {
    let lists = [
        (PASSWD, Some(&before.passwd), Some(&after.passwd)),
        (GROUP, Some(&before.group), Some(&after.group)),
        (SHADOW, before.shadow.as_ref(), after.shadow.as_ref()),
        (GSHADOW, before.gshadow.as_ref(), after.gshadow.as_ref()),
    ];
    let changed = lists.into_iter().filter(|(_, before, after)| before != after);
    changed.filter_map(|(path, _, after)| Some((path, after?.as_slice()))).collect()
}

/// A list keeps its mode and owner.
fn list_entry(path: &str, content: &[u8], root: &View) -> Entry {
    let mut entry = Entry::file(Vec::new(), 0o644, content.len() as u64);
    if let Some(seen) = root.seen.get(path.as_bytes()) {
        entry.metadata = seen.entry.metadata.clone();
    }
    entry.metadata.mtime = i64::MAX;
    entry
}

fn place_home(user: &Made, root: &View, landing: &mut Landing<'_>) -> Result<()> {
    let Some(home) = &user.home else { return Ok(()) };
    let resolved = root.skeleton.follow(home.as_bytes())?;
    match resolved.found {
        Found::Directory { .. } => return Ok(()),
        Found::Symlink { .. } | Found::Other => {}
    }
    if root.seen.contains_key(&resolved.path) {
        bail!("cannot make the home of user {}: {home} is there, and no directory", user.name);
    }
    let mut entry = Entry::directory(Vec::new(), HOME_MODE);
    (entry.metadata.uid, entry.metadata.gid) = (user.uid, user.gid);
    entry.metadata.mtime = i64::MAX;
    landing.place_directory(home, entry)
}
