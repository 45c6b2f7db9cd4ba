//! Where that which a lock names may be had: at its own URI first, then at mirrors.
//!
//! A mirror holds the same files as an archive, at the same paths below its own address. Only what is known by its
//! digest is asked of it; what is newest, the archive alone says. Which place served is told in the log and stands
//! nowhere else.

use std::fmt;

use super::logins::Logins;
use crate::redact;

/// Where things may be had.
#[derive(Clone, Default)]
pub struct Places {
    /// Let it in where a place asks for a name and a password.
    pub logins: Logins,
    mirrors: Vec<String>,
}

impl Places {
    /// Returns the places of archives that have these mirrors.
    pub fn new(logins: Logins, mirrors: Vec<String>) -> Places {
        Places { logins, mirrors }
    }

    /// Returns where `uri`, a file below the archive `base`, may be had, the archive's own place first.
    pub fn of(&self, base: &str, uri: &str) -> Vec<String> {
        let own = self.logins.uri(uri);
        let path = uri.strip_prefix(base.trim_end_matches('/')).filter(|path| path.starts_with('/'));
        let mirrored = path.into_iter().flat_map(|path| {
            self.mirrors.iter().map(move |mirror| {
                let mirror = mirror.trim_end_matches('/');
                self.logins.uri(&format!("{mirror}{path}"))
            })
        });
        std::iter::once(own).chain(mirrored).collect()
    }
}

impl fmt::Debug for Places {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mirrors: Vec<String> = self.mirrors.iter().map(|mirror| redact::url(mirror)).collect();
        write!(f, "Places({:?}, {mirrors:?})", self.logins)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::lock::logins::auth_conf;

    #[test]
    fn the_archive_is_asked_first_and_then_its_mirrors() {
        let given = auth_conf("machine mirror.example login u password p");
        let mirrors = vec!["https://mirror.example/debian/".to_owned(), "file:/srv/debian".to_owned()];
        let places = Places::new(Logins::new([], &given), mirrors);
        let base = "http://archive.example/debian";
        assert_eq!(
            places.of(base, "http://archive.example/debian/pool/a.deb"),
            [
                "http://archive.example/debian/pool/a.deb",
                "https://u:p@mirror.example/debian/pool/a.deb",
                "file:/srv/debian/pool/a.deb"
            ]
        );
        let elsewhere = "http://archive.example/debian-security/a.deb";
        assert_eq!(places.of(base, elsewhere), [elsewhere]);
    }
}
