//! The lists of users and groups as text: passwd(5), shadow(5), group(5), gshadow(5), with users added to them.
//!
//! Only texts are made here. Lines that are there already stay as they are, whatever they say.

use std::collections::BTreeSet;

use anyhow::{Result, bail};

use crate::build::graph::NewUser;

/// The first number that a user gets who isn't given one (login.defs(5), `UID_MIN`).
const FIRST_ID: u32 = 1000;
/// The last one (`UID_MAX`).
const LAST_ID: u32 = 60000;
/// The home of those who have none (Debian policy 9.2.3).
const NO_HOME: &str = "/nonexistent";
const SHELL: &str = "/bin/sh";

/// The lists, as they are in a root.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accounts {
    /// `/etc/passwd`
    pub passwd: Vec<u8>,
    /// `/etc/group`
    pub group: Vec<u8>,
    /// `/etc/shadow`, where there is one.
    pub shadow: Option<Vec<u8>>,
    /// `/etc/gshadow`, where there is one.
    pub gshadow: Option<Vec<u8>>,
}

/// A user that is there now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// Its name.
    pub name: String,
    /// Its number.
    pub uid: u32,
    /// Its primary group's number.
    pub gid: u32,
    /// Its home directory, where the definition names one.
    pub home: Option<String>,
    /// Whether it wasn't there before.
    pub is_new: bool,
}

impl Accounts {
    /// Adds users, and groups for them. One that is there already as it is asked for is left as it is.
    ///
    /// # Errors
    /// When a name or a number is taken by somebody else.
    pub fn add(&mut self, users: &[NewUser]) -> Result<Vec<Made>> {
        let reserved: BTreeSet<u32> = users.iter().flat_map(|user| [user.uid, user.gid]).flatten().collect();
        users.iter().map(|user| self.add_one(user, &reserved)).collect()
    }

    fn add_one(&mut self, user: &NewUser, reserved: &BTreeSet<u32>) -> Result<Made> {
        let name = &user.name;
        if let Some(home) = user.home.as_ref().filter(|home| home.contains([':', '\n'])) {
            bail!("cannot make user {name}: its home {home} has a colon in it");
        }
        if let Some(there) = self.user(name) {
            return there.checked(user);
        }
        let uid = match user.uid {
            Some(uid) => uid,
            None => self.free_id(user, reserved)?,
        };
        if let Some(other) = self.name_of(&self.passwd, uid) {
            bail!(
                "cannot make user {name}: the number {uid} is {other}'s\nhint: leave uid out, and it gets the next free one"
            );
        }
        let gid = user.gid.unwrap_or(uid);
        self.add_group(name, gid)?;
        let home = user.home.as_deref().unwrap_or(NO_HOME);
        let password = if self.shadow.is_some() { 'x' } else { '!' };
        push(&mut self.passwd, &format!("{name}:{password}:{uid}:{gid}::{home}:{SHELL}"));
        if let Some(shadow) = &mut self.shadow {
            // Locked, and without the day of the last change, which would be another one tomorrow.
            push(shadow, &format!("{name}:!::0:99999:7:::"));
        }
        Ok(Made { name: name.clone(), uid, gid, home: user.home.clone(), is_new: true })
    }

    fn add_group(&mut self, name: &str, gid: u32) -> Result<()> {
        if self.name_of(&self.group, gid).is_some() {
            return Ok(());
        }
        if let Some(other) = number_of(&self.group, name) {
            bail!(
                "cannot make group {name} with the number {gid}: there is one with {other}\nhint: to make the user a member of that one, write gid = {other}"
            );
        }
        let password = if self.gshadow.is_some() { 'x' } else { '!' };
        push(&mut self.group, &format!("{name}:{password}:{gid}:"));
        if let Some(gshadow) = &mut self.gshadow {
            push(gshadow, &format!("{name}:!::"));
        }
        Ok(())
    }

    /// Finds the first number that nobody has; without a group of its own choice it must be no group's, either.
    fn free_id(&self, user: &NewUser, reserved: &BTreeSet<u32>) -> Result<u32> {
        let is_free = |id: &u32| {
            let is_group = user.gid.is_none() && self.name_of(&self.group, *id).is_some();
            !reserved.contains(id) && self.name_of(&self.passwd, *id).is_none() && !is_group
        };
        match (FIRST_ID..=LAST_ID).find(is_free) {
            Some(id) => Ok(id),
            None => {
                bail!("cannot make user {}: no number from {FIRST_ID} to {LAST_ID} is free", user.name)
            }
        }
    }

    fn user(&self, name: &str) -> Option<There> {
        let fields = lines(&self.passwd).find(|fields| fields.first() == Some(&name))?;
        let number = |index: usize| fields.get(index)?.parse().ok();
        Some(There { uid: number(2)?, gid: number(3)?, home: (*fields.get(5)?).to_owned() })
    }

    fn name_of<'a>(&self, list: &'a [u8], id: u32) -> Option<&'a str> {
        let number = id.to_string();
        lines(list).find(|fields| fields.get(2) == Some(&number.as_str())).map(|fields| fields[0])
    }
}

/// A user that was there before.
struct There {
    uid: u32,
    gid: u32,
    home: String,
}

impl There {
    fn checked(self, user: &NewUser) -> Result<Made> {
        let is_same = user.uid.is_none_or(|uid| uid == self.uid)
            && user.gid.is_none_or(|gid| gid == self.gid)
            && user.home.as_ref().is_none_or(|home| *home == self.home);
        if !is_same {
            let (name, There { uid, gid, home }) = (&user.name, self);
            bail!(
                "cannot make user {name}: there is one, with uid = {uid}, gid = {gid}, home = \"{home}\"\nhint: write these, or take another name"
            );
        }
        let home = user.home.clone();
        Ok(Made { name: user.name.clone(), uid: self.uid, gid: self.gid, home, is_new: false })
    }
}

fn number_of(list: &[u8], name: &str) -> Option<u32> {
    lines(list).find(|fields| fields.first() == Some(&name))?.get(2)?.parse().ok()
}

fn lines(list: &[u8]) -> impl Iterator<Item = Vec<&str>> {
    let lines = list.split(|&byte| byte == b'\n').filter_map(|line| std::str::from_utf8(line).ok());
    lines.map(|line| line.split(':').collect())
}

fn push(list: &mut Vec<u8>, line: &str) {
    if list.last().is_some_and(|last| *last != b'\n') {
        list.push(b'\n');
    }
    list.extend(line.as_bytes());
    list.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str, uid: Option<u32>, gid: Option<u32>, home: Option<&str>) -> NewUser {
        NewUser { name: name.into(), uid, gid, home: home.map(str::to_owned) }
    }

    fn debian() -> Accounts {
        Accounts {
            passwd: b"root:x:0:0:root:/root:/bin/bash\nwww-data:x:33:33::/var/www:/usr/sbin/nologin".to_vec(),
            group: b"root:x:0:\nwww-data:x:33:\nusers:x:100:\n".to_vec(),
            shadow: Some(b"root:*:19000:0:99999:7:::\n".to_vec()),
            gshadow: Some(b"root:*::\n".to_vec()),
        }
    }

    fn added(users: &[NewUser]) -> Accounts {
        let mut accounts = debian();
        accounts.add(users).unwrap();
        accounts
    }

    fn refusal(user: NewUser) -> String {
        debian().add(&[user]).unwrap_err().to_string()
    }

    fn last_line(list: &[u8]) -> &str {
        std::str::from_utf8(list).unwrap().lines().last().unwrap()
    }

    #[test]
    fn a_user_gets_a_group_and_a_locked_password_without_a_day() {
        let accounts = added(&[user("app", Some(500), None, Some("/home/app"))]);
        assert_eq!(last_line(&accounts.passwd), "app:x:500:500::/home/app:/bin/sh");
        assert_eq!(last_line(&accounts.group), "app:x:500:");
        assert_eq!(last_line(accounts.shadow.as_ref().unwrap()), "app:!::0:99999:7:::");
        assert_eq!(last_line(accounts.gshadow.as_ref().unwrap()), "app:!::");
        assert!(String::from_utf8(accounts.passwd).unwrap().contains("/usr/sbin/nologin\napp:"));
    }

    #[test]
    fn numbers_are_given_out_from_1000_and_not_those_that_others_name() {
        let mut accounts = Accounts::default();
        let users =
            [user("a", None, None, None), user("b", None, None, None), user("c", Some(1001), None, None)];
        let made = accounts.add(&users).unwrap();
        assert_eq!(made.iter().map(|made| made.uid).collect::<Vec<_>>(), [1000, 1002, 1001]);
        assert!(accounts.passwd.starts_with(b"a:!:1000:1000::/nonexistent:/bin/sh\n"));
        assert_eq!(accounts.shadow, None);
    }

    #[test]
    fn a_group_that_is_there_is_joined() {
        let accounts = added(&[user("app", None, Some(100), None)]);
        assert_eq!(last_line(&accounts.passwd), "app:x:1000:100::/nonexistent:/bin/sh");
        assert_eq!(accounts.group, debian().group);
    }

    #[test]
    fn a_user_that_is_there_as_asked_for_is_left_alone() {
        let made = debian().add(&[user("www-data", Some(33), None, Some("/var/www"))]).unwrap();
        assert!(!made[0].is_new && made[0].gid == 33);
        assert_eq!(added(&[user("www-data", None, None, None)]), debian());
    }

    #[test]
    fn what_is_taken_is_refused_with_who_has_it() {
        assert!(refusal(user("app", Some(33), None, None)).contains("the number 33 is www-data's"));
        assert!(
            refusal(user("www-data", Some(1), None, None)).contains("there is one, with uid = 33, gid = 33")
        );
        assert!(refusal(user("users", None, None, None)).contains("write gid = 100"));
        assert!(refusal(user("app", None, None, Some("/a:b"))).contains("has a colon"));
    }
}
