//! Whose a file is that an instruction makes: `user`, `user:group`, by names or numbers.

use anyhow::{Result, anyhow};

use crate::layer::Skeleton;

/// Returns the numbers that `owner` means in a root. A user by name brings its primary group, one by number the group of
/// that number.
///
/// # Errors
/// When the root's lists don't know a name.
pub fn ids(owner: &str, root: &Skeleton) -> Result<(u32, u32)> {
    let (user, group) = match owner.split_once(':') {
        Some((user, group)) => (user, Some(group).filter(|group| !group.is_empty())),
        None => (owner, None),
    };
    let (uid, own_group) = user_ids(user, root)?;
    Ok((uid, group.map_or(Ok(own_group), |group| group_id(group, root))?))
}

fn user_ids(user: &str, root: &Skeleton) -> Result<(u32, u32)> {
    if user.is_empty() {
        return Ok((0, 0));
    }
    match user.parse::<u32>() {
        Ok(number) => Ok((number, number)),
        Err(_) => root
            .user(user)
            .or((user == "root").then_some((0, 0)))
            .ok_or_else(|| unknown("user", user, "/etc/passwd")),
    }
}

fn group_id(group: &str, root: &Skeleton) -> Result<u32> {
    match group.parse() {
        Ok(number) => Ok(number),
        Err(_) => root
            .group(group)
            .or((group == "root").then_some(0))
            .ok_or_else(|| unknown("group", group, "/etc/group")),
    }
}

fn unknown(what: &str, name: &str, list: &str) -> anyhow::Error {
    anyhow!(
        "cannot use the owner {name}: the image's {list} knows no such {what}\nhint: write its number, or make it in an earlier instruction"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_need_no_list_and_a_user_by_number_has_the_group_of_that_number() {
        let root = Skeleton::default();
        assert_eq!(ids("55", &root).unwrap(), (55, 55));
        assert_eq!(ids("55:7", &root).unwrap(), (55, 7));
        assert_eq!(ids(":7", &root).unwrap(), (0, 7));
        assert_eq!(ids("root:root", &root).unwrap(), (0, 0));
    }

    #[test]
    fn a_name_that_nobody_has_is_told_with_the_list_that_lacks_it() {
        let error = ids("0:staff", &Skeleton::default()).unwrap_err().to_string();
        assert!(error.starts_with("cannot use the owner staff: the image's /etc/group"), "{error}");
    }
}
