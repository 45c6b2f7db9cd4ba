//! What a root says of itself in its os-release (os-release(5)).

/// What a root says of itself in its os-release.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OsRelease {
    /// `debian`, `ubuntu` …
    pub id: String,
    /// `12`, `24.04` …
    pub version_id: String,
    /// `bookworm` …
    pub codename: String,
}

impl OsRelease {
    /// Reads an os-release file (os-release(5)); what it doesn't say stays empty.
    pub fn parse(text: &str) -> OsRelease {
        let mut release = OsRelease::default();
        for (name, value) in text.lines().filter_map(|line| line.split_once('=')) {
            let value = value.trim().trim_matches(['"', '\'']).to_owned();
            match name.trim() {
                "ID" => release.id = value,
                "VERSION_ID" => release.version_id = value,
                "VERSION_CODENAME" => release.codename = value,
                _ => {}
            }
        }
        release
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_os_release_is_read_with_and_without_quotes() {
        let release = OsRelease::parse("ID=debian\nVERSION_ID=\"12\"\n# x\nVERSION_CODENAME='bookworm'\n");
        assert_eq!((&*release.id, &*release.version_id, &*release.codename), ("debian", "12", "bookworm"));
    }
}
