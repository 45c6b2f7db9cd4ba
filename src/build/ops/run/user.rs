//! Who a command runs as: what `USER` says, by the root's own lists of users and groups, as BuildKit and runc read them.
//!
//! A user brings its primary group, and every group that lists it; a group that is named takes the place of all of these.
//! The groups of a process begin with its own.
//! A number that no user has brings the group 0.

use anyhow::{Result, anyhow, bail};

use crate::layer::Stack;
use crate::sandbox::User;

/// Lists of users and groups are no longer.
const LONGEST_LIST: u64 = 4 << 20;

/// A user, and where it is at home.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) user: User,
    pub(super) home: String,
}

/// Returns who is meant by `user`, `user:group`, each by name or number, or by nothing.
///
/// # Errors
/// When the root's lists don't know a name, or cannot be read.
pub(super) fn account(text: &str, root: &Stack) -> Result<Account> {
    let read = |path: &str| -> Result<String> {
        let bytes = root.read(path, LONGEST_LIST)?.unwrap_or_default();
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    resolve(text, &read("etc/passwd")?, &read("etc/group")?)
}

fn resolve(text: &str, passwd: &str, group: &str) -> Result<Account> {
    let (name, group_name) = match text.split_once(':') {
        Some((name, group)) => (name, Some(group).filter(|group| !group.is_empty())),
        None => (text, None),
    };
    let found = find_user(name, passwd)?;
    let home = home_of(found.uid, passwd);
    if let Some(group_name) = group_name {
        let gid = gid(group_name, group)?;
        let user = User { uid: found.uid, gid, groups: vec![gid] };
        return Ok(Account { user, home });
    }
    let mut groups = vec![found.gid];
    let further = found.name.map(|name| groups_of(&name, group)).unwrap_or_default();
    groups.extend(further.into_iter().filter(|gid| *gid != found.gid));
    Ok(Account { user: User { uid: found.uid, gid: found.gid, groups }, home })
}

struct Found {
    /// The name, of a user that is in the list.
    name: Option<String>,
    uid: u32,
    gid: u32,
}

fn find_user(name: &str, passwd: &str) -> Result<Found> {
    let number = if name.is_empty() { Ok(0) } else { name.parse::<u32>() };
    for fields in lines(passwd) {
        let [user, _, uid, gid, ..] = fields.as_slice() else { continue };
        let (Ok(uid), Ok(gid)) = (uid.parse(), gid.parse()) else { continue };
        let is_meant = number.as_ref().map_or(*user == name, |number| *number == uid);
        if is_meant {
            return Ok(Found { name: Some((*user).to_owned()), uid, gid });
        }
    }
    match number {
        Ok(uid) => Ok(Found { name: None, uid, gid: 0 }),
        Err(_) if name == "root" && passwd.is_empty() => Ok(Found { name: None, uid: 0, gid: 0 }),
        Err(_) => Err(unknown("user", name, "/etc/passwd")),
    }
}

fn gid(name: &str, group: &str) -> Result<u32> {
    let number = name.parse::<u32>();
    for fields in lines(group) {
        let [listed, _, gid, ..] = fields.as_slice() else { continue };
        let Ok(gid) = gid.parse() else { continue };
        if number.as_ref().map_or(*listed == name, |number| *number == gid) {
            return Ok(gid);
        }
    }
    number.or_else(|_| bail!(unknown("group", name, "/etc/group")))
}

fn groups_of(user: &str, group: &str) -> Vec<u32> {
    let lists_user =
        |fields: &Vec<&str>| fields.get(3).is_some_and(|users| users.split(',').any(|one| one == user));
    lines(group).filter(lists_user).filter_map(|fields| fields.get(2)?.parse().ok()).collect()
}

fn home_of(uid: u32, passwd: &str) -> String {
    let mut lines = lines(passwd);
    let own = lines.find(|fields| fields.get(2).is_some_and(|number| number.parse() == Ok(uid)));
    let home = own.and_then(|fields| fields.get(5).copied()).filter(|home| !home.is_empty());
    home.unwrap_or("/").to_owned()
}

fn lines(list: &str) -> impl Iterator<Item = Vec<&str>> {
    list.lines().map(|line| line.trim().split(':').collect())
}

fn unknown(what: &str, name: &str, list: &str) -> anyhow::Error {
    anyhow!(
        "cannot run as {name}: the image's {list} knows no such {what}\nhint: write its number, or make it in an earlier instruction"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str =
        "root:x:0:0:root:/root:/bin/sh\napp:x:1000:50::/home/app:/bin/sh\nnone:x:7:7:::\nbroken\n";
    const GROUP: &str = "root:x:0:root\nbin:x:1:root,app\nstaff:x:50:\nwheel:x:10:app\n";

    fn shown(text: &str) -> (u32, u32, Vec<u32>, String) {
        let Account { user, home } = resolve(text, PASSWD, GROUP).unwrap();
        (user.uid, user.gid, user.groups, home)
    }

    #[test]
    fn a_user_brings_its_groups_and_its_home() {
        assert_eq!(shown(""), (0, 0, vec![0, 1], "/root".into()));
        assert_eq!(shown("root"), (0, 0, vec![0, 1], "/root".into()));
        assert_eq!(shown("app"), (1000, 50, vec![50, 1, 10], "/home/app".into()));
        assert_eq!(shown("1000"), (1000, 50, vec![50, 1, 10], "/home/app".into()));
        assert_eq!(shown("none"), (7, 7, vec![7], "/".into()));
    }

    #[test]
    fn a_group_that_is_named_takes_the_place_of_the_others() {
        assert_eq!(shown("app:wheel"), (1000, 10, vec![10], "/home/app".into()));
        assert_eq!(shown("app:4711"), (1000, 4711, vec![4711], "/home/app".into()));
        assert_eq!(shown(":bin"), (0, 1, vec![1], "/root".into()));
        assert_eq!(shown("5:6"), (5, 6, vec![6], "/".into()));
    }

    #[test]
    fn a_number_needs_no_list_and_a_name_does() {
        assert_eq!(shown("55"), (55, 0, vec![0], "/".into()));
        let empty = resolve("root", "", "").unwrap();
        assert_eq!((empty.user.uid, empty.home.as_str()), (0, "/"));
        let error = resolve("nobody", PASSWD, GROUP).unwrap_err().to_string();
        assert!(
            error.starts_with("cannot run as nobody: the image's /etc/passwd knows no such user"),
            "{error}"
        );
        let error = resolve("app:none", PASSWD, GROUP).unwrap_err().to_string();
        assert!(error.contains("/etc/group knows no such group"), "{error}");
    }
}
