//! Who is who in a root: names of users and groups and their numbers, and nothing else of `/etc/passwd` and
//! `/etc/group` (passwd(5), group(5)).
//!
//! They are read on the way past, as a layer is read or written, so that an owner's name can be understood later
//! without the root's bytes. No password, no home, no shell is kept.

use std::collections::BTreeMap;
use std::io::{self, Read};

use super::{Entry, Kind};

/// Where users are listed.
pub(super) const PASSWD: &[u8] = b"etc/passwd";
/// Where groups are listed.
pub(super) const GROUP: &[u8] = b"etc/group";
/// A list that is longer is not read; 10,000 users have half of it.
const LARGEST_LIST: u64 = 1 << 20;

/// The numbers of user and primary group, by the user's name.
pub(super) type Users = BTreeMap<String, (u32, u32)>;
/// The number of the group, by its name.
pub(super) type Groups = BTreeMap<String, u32>;

/// Reads a list of names whole, where the entry is one.
pub(super) fn list(entry: &Entry, content: &mut dyn Read) -> io::Result<Option<Vec<u8>>> {
    let is_list = entry.path == PASSWD || entry.path == GROUP;
    match entry.kind {
        Kind::File { size } if is_list && size <= LARGEST_LIST => {
            let mut bytes = Vec::new();
            // More than it says it has is told by the end of what is read here.
            content.take(LARGEST_LIST + 1).read_to_end(&mut bytes)?;
            Ok(Some(bytes))
        }
        Kind::File { .. }
        | Kind::Directory
        | Kind::Symlink { .. }
        | Kind::Hardlink { .. }
        | Kind::CharDevice { .. }
        | Kind::BlockDevice { .. }
        | Kind::Fifo => Ok(None),
    }
}

/// Reads `name:password:uid:gid:…`; of a name that comes twice the first counts, as for getpwnam(3).
pub(super) fn users(passwd: &[u8]) -> Users {
    let mut users = Users::new();
    for fields in lines(passwd) {
        if let [name, _, uid, gid, ..] = fields.as_slice()
            && let (Ok(uid), Ok(gid)) = (uid.parse(), gid.parse())
        {
            users.entry((*name).to_owned()).or_insert((uid, gid));
        }
    }
    users
}

/// Reads `name:password:gid:…`.
pub(super) fn groups(group: &[u8]) -> Groups {
    let mut groups = Groups::new();
    for fields in lines(group) {
        if let [name, _, gid, ..] = fields.as_slice()
            && let Ok(gid) = gid.parse()
        {
            groups.entry((*name).to_owned()).or_insert(gid);
        }
    }
    groups
}

fn lines(list: &[u8]) -> impl Iterator<Item = Vec<&str>> {
    let lines = list.split(|&byte| byte == b'\n').filter_map(|line| std::str::from_utf8(line).ok());
    lines.map(|line| line.split(':').collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_what_is_no_entry_is_passed_over() {
        let read =
            users(b"root:x:0:0:root:/root:/bin/sh\napp:x:1000:50::/:\nroot:x:7:7::/:\n+::::::\nnonsense\n");
        assert_eq!(read, Users::from([("root".into(), (0, 0)), ("app".into(), (1000, 50))]));
        assert_eq!(
            groups(b"root:x:0:\nmail:*:8:a,b"),
            Groups::from([("root".into(), 0), ("mail".into(), 8)])
        );
    }
}
