//! Whose a file is: an owner's names, as the lists of a root have them, and its numbers.

use anyhow::{Result, anyhow};

use crate::build::definition::{Id, Owner};
use crate::layer::Skeleton;

/// Returns the numbers that an instruction's `user`, `user:group` means in a root. A user by name brings its primary group,
/// one by number the group of that number. Of a name that the root's lists don't know, `unknown` hears; if it lets that
/// pass, the name is as good as not written, as BuildKit has it: the user is root, the group that of the user.
///
/// # Errors
/// Those of `unknown`.
pub fn ids(
    owner: &str,
    root: &Skeleton,
    unknown: &dyn Fn(anyhow::Error) -> Result<()>,
) -> Result<(u32, u32)> {
    let lists = Lists { root, way_out: |_| "make it in an earlier instruction".into() };
    let (user, group) = match owner.split_once(':') {
        Some((user, group)) => (user, Some(group).filter(|group| !group.is_empty())),
        None => (owner, None),
    };
    let (uid, own_group) = match user.parse() {
        Ok(number) => (number, number),
        Err(_) if user.is_empty() => (0, 0),
        Err(_) => lists.user(user).or_else(|error| unknown(error).map(|()| (0, 0)))?,
    };
    let gid = match group.map(|group| group.parse().or_else(|_| lists.group(group))) {
        None => own_group,
        Some(Ok(gid)) => gid,
        Some(Err(error)) => unknown(error).map(|()| own_group)?,
    };
    Ok((uid, gid))
}

/// Returns the numbers that an owner of a definition means in a root.
///
/// # Errors
/// When the root's lists don't know a name.
pub fn ids_of(owner: &Owner, root: &Skeleton) -> Result<(u32, u32)> {
    let lists = Lists { root, way_out: |name| format!("make the user: user \"{name}\" {{}}") };
    let (uid, own_group) = match &owner.uid {
        Id::Number(number) => (*number, *number),
        Id::Name(name) => lists.user(name)?,
    };
    let gid = match &owner.gid {
        Id::Number(number) => *number,
        // A user written alone stands for its group, whatever that is called.
        Id::Name(name) if owner.gid == owner.uid => root.group(name).unwrap_or(own_group),
        Id::Name(name) => lists.group(name)?,
    };
    Ok((uid, gid))
}

/// A root's lists, and what to do about a name that they lack.
struct Lists<'a> {
    root: &'a Skeleton,
    way_out: fn(&str) -> String,
}

impl Lists<'_> {
    /// Returns a user and its primary group; root needs no list.
    fn user(&self, name: &str) -> Result<(u32, u32)> {
        let known = self.root.user(name).or((name == "root").then_some((0, 0)));
        known.ok_or_else(|| self.unknown("user", name, "/etc/passwd"))
    }

    fn group(&self, name: &str) -> Result<u32> {
        let known = self.root.group(name).or((name == "root").then_some(0));
        known.ok_or_else(|| self.unknown("group", name, "/etc/group"))
    }

    fn unknown(&self, what: &str, name: &str, list: &str) -> anyhow::Error {
        anyhow!(
            "cannot use the owner {name}: the image's {list} knows no such {what}\nhint: write its number, or {}",
            (self.way_out)(name)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_need_no_list_and_a_user_by_number_has_the_group_of_that_number() {
        let root = Skeleton::default();
        for (owner, numbers) in [("55", (55, 55)), ("55:7", (55, 7)), (":7", (0, 7)), ("root:root", (0, 0))] {
            assert_eq!(ids(owner, &root, &Err).unwrap(), numbers);
        }
    }

    #[test]
    fn a_name_that_nobody_has_is_told_with_the_list_that_lacks_it() {
        let error = ids("0:staff", &Skeleton::default(), &Err).unwrap_err().to_string();
        assert!(error.starts_with("cannot use the owner staff: the image's /etc/group"), "{error}");
    }

    #[test]
    fn a_name_that_nobody_has_is_as_good_as_not_written_where_that_is_let_pass() {
        let root = Skeleton::default();
        for (owner, numbers) in [("ann", (0, 0)), ("ann:7", (0, 7)), ("5:staff", (5, 5))] {
            assert_eq!(ids(owner, &root, &|_| Ok(())).unwrap(), numbers);
        }
    }
}
