//! What was seen of a suite before: the newest `Date` that each of its signers gave it.
//!
//! Whoever stands between us and an archive can't forge its Release file, but can serve an old one that was signed
//! then, with packages whose holes were closed since. `Valid-Until` bounds for how long; where there is none, or before
//! it has passed, only memory helps: that of the store, and that of the last lock. An empty store that has no lock
//! can't tell.

use super::LockedSuite;
use crate::build::time::rfc3339;
use crate::digest::Digest;
use crate::store::{self, Store};

/// The newest dates, by suite and signer.
pub const SEEN: &str = "release";

/// A Release file that is older than one seen before.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "cannot use the Release file: it is of {got}, and one of {before} was seen before\n\
     hint: somebody may be serving an old one, or a mirror lags behind: run the build again; if the archive went back on purpose, set check-valid-until=no"
)]
pub struct Replayed {
    got: String,
    before: String,
}

/// Returns an error if a newer Release file of the suite, by one of its signers, was seen before.
pub fn check(suite: &LockedSuite, store: &Store, last: &[LockedSuite]) -> Result<(), Replayed> {
    let remembered = suite.signed_by.iter().filter_map(|signer| date_in(store, suite, signer));
    let locked = last.iter().filter(|one| is_same(one, suite)).map(|one| one.date.clone());
    match remembered.chain(locked).max() {
        // All are of one form, in which the later is the greater.
        Some(before) if before > suite.date => Err(Replayed { got: shown(&suite.date), before }),
        Some(_) | None => Ok(()),
    }
}

fn shown(date: &str) -> String {
    if date.is_empty() { "no date".to_owned() } else { date.to_owned() }
}

/// Remembers the suite's date, for every key that signed it.
pub fn remember(suite: &LockedSuite, store: &Store) -> Result<(), store::Error> {
    for signer in &suite.signed_by {
        if date_in(store, suite, signer).is_none_or(|known| known < suite.date) {
            store.set_record(SEEN, &key(suite, signer), suite.date.as_bytes())?;
        }
    }
    Ok(())
}

fn is_same(one: &LockedSuite, other: &LockedSuite) -> bool {
    one.uri == other.uri
        && one.suite == other.suite
        && one.signed_by.iter().any(|signer| other.signed_by.contains(signer))
}

/// What is no date of ours is none.
fn date_in(store: &Store, suite: &LockedSuite, signer: &str) -> Option<String> {
    let text = String::from_utf8(store.record(SEEN, &key(suite, signer))?).ok()?;
    (text.len() == rfc3339(0).len() && text.ends_with('Z')).then_some(text)
}

fn key(suite: &LockedSuite, signer: &str) -> Digest {
    Digest::of(format!("{} {} {signer}", suite.uri, suite.suite))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suite(day: i64, signers: &[&str]) -> LockedSuite {
        LockedSuite {
            uri: "http://archive.example/debian".into(),
            suite: "bookworm".into(),
            release: Digest::of(day.to_string()),
            date: rfc3339(day * 86_400),
            signed_by: signers.iter().map(|&signer| signer.to_owned()).collect(),
        }
    }

    fn store() -> (tempfile::TempDir, Store) {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path().join("state")).unwrap();
        (directory, store)
    }

    #[test]
    fn an_older_release_file_than_the_store_has_seen_is_refused() {
        let (_directory, store) = store();
        let monday = suite(10, &["A", "B"]);
        assert_eq!(check(&monday, &store, &[]), Ok(()));
        remember(&monday, &store).unwrap();
        assert_eq!(check(&monday, &store, &[]), Ok(()));
        assert_eq!(check(&suite(11, &["A"]), &store, &[]), Ok(()));
        let error = check(&suite(9, &["B"]), &store, &[]).unwrap_err().to_string();
        assert!(error.contains("it is of 1970-01-10T00:00:00Z, and one of 1970-01-11T00:00:00Z was seen"));
        // Another key's word is another's, as is that of another suite.
        assert_eq!(check(&suite(9, &["C"]), &store, &[]), Ok(()));
        let other = LockedSuite { suite: "trixie".into(), ..suite(9, &["A"]) };
        assert_eq!(check(&other, &store, &[]), Ok(()));
        // What is older is not remembered in its place.
        remember(&suite(9, &["A"]), &store).unwrap();
        assert!(check(&suite(9, &["A"]), &store, &[]).is_err());
    }

    #[test]
    fn so_is_an_older_one_than_the_last_lock_holds() {
        let (_directory, store) = store();
        let last = [suite(10, &["A"])];
        assert_eq!(check(&suite(10, &["A"]), &store, &last), Ok(()));
        assert!(check(&suite(9, &["A", "B"]), &store, &last).is_err());
        assert_eq!(check(&suite(9, &["B"]), &store, &last), Ok(()));
    }

    #[test]
    fn a_record_that_is_damaged_is_none() {
        let (_directory, store) = store();
        let monday = suite(10, &["A"]);
        store.set_record(SEEN, &key(&monday, "A"), b"zzzz").unwrap();
        assert_eq!(check(&monday, &store, &[]), Ok(()));
    }
}
