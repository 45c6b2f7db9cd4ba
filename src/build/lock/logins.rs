//! How repositories are reached that ask for a name and a password, which stand in no lock.
//!
//! A lock names a .deb by where it lies, without credentials; what the definition, the pipeline or the base writes
//! before the host is put back when the .deb is fetched, and nowhere else.

use std::fmt;

use crate::apt::sources::Repository;
use crate::redact;

/// Repositories' URIs, as they may be shown and with their credentials.
#[derive(Clone, Default)]
pub struct Logins {
    by_base: Vec<(String, String)>,
}

impl Logins {
    /// Returns those that these repositories' URIs hold.
    pub fn of(repositories: &[Repository]) -> Logins {
        let bases = repositories.iter().map(|repository| repository.uri.trim_end_matches('/'));
        let pairs = bases.map(|base| (redact::url(base), base.to_owned()));
        Logins { by_base: pairs.filter(|(shown, base)| shown != base).collect() }
    }

    /// Returns a URI as it is to be asked for.
    pub fn uri(&self, shown: &str) -> String {
        let below = self.by_base.iter().filter_map(|(base, full)| {
            let path = shown.strip_prefix(base.as_str())?;
            path.starts_with('/').then_some((base.len(), full, path))
        });
        match below.max_by_key(|(length, ..)| *length) {
            Some((_, full, path)) => format!("{full}{path}"),
            None => shown.to_owned(),
        }
    }
}

impl fmt::Debug for Logins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.by_base.iter().map(|(shown, _)| shown)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apt::sources;

    fn logins(lines: &str) -> Logins {
        Logins::of(&sources::parse_one_line(lines, "f").unwrap().repositories)
    }

    #[test]
    fn what_lies_below_a_repository_is_asked_for_with_its_credentials() {
        let logins = logins(
            "deb http://archive.example/open s main\n\
             deb http://u:p@archive.example/debian/ s main\n\
             deb http://v:q@archive.example/debian/private s main\n",
        );
        for (shown, full) in [
            ("http://archive.example/debian/pool/a.deb", "http://u:p@archive.example/debian/pool/a.deb"),
            (
                "http://archive.example/debian/private/a.deb",
                "http://v:q@archive.example/debian/private/a.deb",
            ),
            ("http://archive.example/debian-security/a.deb", "http://archive.example/debian-security/a.deb"),
            ("http://archive.example/open/a.deb", "http://archive.example/open/a.deb"),
            ("http://other.example/debian/a.deb", "http://other.example/debian/a.deb"),
        ] {
            assert_eq!(logins.uri(shown), full);
        }
        assert!(!format!("{logins:?}").contains("u:p"));
    }
}
