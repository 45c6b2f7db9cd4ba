//! Which commit a ref names, of those that a repository has.
//!
//! The order is BuildKit's: `refs/NAME`, then the branch, then the tag of that name.

use gix::ObjectId;
use gix::protocol::handshake::Ref;

/// What a ref names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its full name; of a commit, that.
    pub name: String,
    /// The commit, in hexadecimal digits.
    pub commit: String,
    /// The tag object that leads there, where the ref is an annotated tag.
    pub tag: Option<String>,
}

/// Whether a text is a whole commit.
pub fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Returns what `wanted` names among refs: without one, what `HEAD` stands for. Digits that are no ref name the commit
/// that they begin, if `checksum` says the same and one ref has it.
pub fn find(refs: &[Ref], wanted: Option<&str>, checksum: Option<&str>) -> Option<Found> {
    let Some(wanted) = wanted else { return refs.iter().find_map(of_head) };
    let after = |prefix: &str| wanted.strip_prefix(prefix).unwrap_or(wanted).to_owned();
    let names = [
        format!("refs/{}", after("refs/")),
        format!("refs/heads/{}", after("refs/heads/")),
        format!("refs/tags/{}", after("refs/tags/")),
    ];
    let by_name =
        |name: &String| refs.iter().map(target).find(|found| found.as_ref().is_some_and(|f| f.name == *name));
    let found = names.iter().find_map(by_name).flatten();
    found.or_else(|| {
        refs.iter().filter_map(target).find(|found| begins(found, wanted) && checksum == Some(wanted))
    })
}

fn begins(found: &Found, digits: &str) -> bool {
    digits.len() >= 4 && found.commit.starts_with(digits)
}

fn of_head(known: &Ref) -> Option<Found> {
    match known {
        Ref::Symbolic { full_ref_name, target, tag: None, object } if full_ref_name == "HEAD" => {
            Some(found(target, object, None))
        }
        Ref::Direct { full_ref_name, object } if full_ref_name == "HEAD" => {
            Some(Found { name: object.to_string(), ..found(full_ref_name, object, None) })
        }
        Ref::Symbolic { .. } | Ref::Direct { .. } | Ref::Peeled { .. } | Ref::Unborn { .. } => None,
    }
}

fn target(known: &Ref) -> Option<Found> {
    match known {
        Ref::Peeled { full_ref_name, tag, object } => Some(found(full_ref_name, object, Some(tag))),
        Ref::Direct { full_ref_name, object } => Some(found(full_ref_name, object, None)),
        Ref::Symbolic { full_ref_name, tag, object, .. } => Some(found(full_ref_name, object, tag.as_ref())),
        Ref::Unborn { .. } => None,
    }
}

fn found(name: &gix::bstr::BString, commit: &ObjectId, tag: Option<&ObjectId>) -> Found {
    Found { name: name.to_string(), commit: commit.to_string(), tag: tag.map(ToString::to_string) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(digit: char) -> ObjectId {
        ObjectId::from_hex(digit.to_string().repeat(40).as_bytes()).unwrap()
    }

    fn refs() -> Vec<Ref> {
        vec![
            Ref::Symbolic {
                full_ref_name: "HEAD".into(),
                target: "refs/heads/main".into(),
                tag: None,
                object: id('1'),
            },
            Ref::Direct { full_ref_name: "refs/heads/main".into(), object: id('1') },
            Ref::Direct { full_ref_name: "refs/heads/both".into(), object: id('2') },
            Ref::Direct { full_ref_name: "refs/tags/both".into(), object: id('3') },
            Ref::Peeled { full_ref_name: "refs/tags/v1".into(), tag: id('4'), object: id('5') },
        ]
    }

    #[test]
    fn a_branch_comes_before_a_tag_of_its_name_and_a_tag_is_peeled() {
        let commit = |wanted| find(&refs(), wanted, None).map(|found| found.commit.chars().next().unwrap());
        assert_eq!(commit(None), Some('1'));
        assert_eq!(commit(Some("both")), Some('2'));
        assert_eq!(commit(Some("tags/both")), Some('3'));
        assert_eq!(commit(Some("refs/tags/both")), Some('3'));
        assert_eq!(commit(Some("v1")), Some('5'));
        assert_eq!(commit(Some("v")), None);
        assert_eq!(find(&refs(), Some("v1"), None).unwrap().tag, Some("4".repeat(40)));
    }

    #[test]
    fn digits_name_a_commit_only_where_they_are_its_checksum() {
        assert_eq!(find(&refs(), Some("2222"), None), None);
        assert_eq!(find(&refs(), Some("2222"), Some("2222")).unwrap().name, "refs/heads/both");
    }
}
