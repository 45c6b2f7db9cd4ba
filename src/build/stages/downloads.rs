//! What ADD fetches from afar: which sources are addresses, and what their files are called.

use url::Url;

/// Whether a source of ADD is an address of a file.
pub(super) fn is_address(source: &str) -> bool {
    source.starts_with("http://") || source.starts_with("https://")
}

/// Whether a source of ADD is a repository, which is not fetched by this builder.
pub(super) fn is_repository(source: &str) -> bool {
    let (address, _) = source.split_once('#').unwrap_or((source, ""));
    let path = address.split('?').next().unwrap_or(address);
    let has_scheme = ["git://", "ssh://", "git@"].iter().any(|scheme| source.starts_with(scheme));
    has_scheme || is_address(source) && path.ends_with(".git")
}

/// Returns an address as it stands in lock and account: without a user's name and password.
pub(super) fn shown(address: &str) -> String {
    match Url::parse(address) {
        Ok(mut url) if !url.username().is_empty() || url.password().is_some() => {
            // An address with a host has a place for them.
            let _ = (url.set_username(""), url.set_password(None));
            url.into()
        }
        Ok(_) | Err(_) => address.to_owned(),
    }
}

/// Returns the name that a file of this address gets in a directory: the last one of its path.
pub(super) fn file_name(address: &str) -> String {
    let path = Url::parse(address).map(|url| url.path().to_owned()).unwrap_or_default();
    let name = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    match name {
        "" => "download".to_owned(),
        name => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_repositories_are_told_from_paths() {
        assert!(is_address("https://archive.example/a.tgz") && !is_address("a/https"));
        for repository in [
            "https://git.example/team/tool.git#v1:sub",
            "git@git.example:team/tool.git",
            "ssh://git.example/x",
        ] {
            assert!(is_repository(repository), "{repository}");
        }
        assert!(!is_repository("https://archive.example/a.git.tgz") && !is_repository("dir.git"));
    }

    #[test]
    fn a_file_is_called_as_its_address_ends() {
        assert_eq!(file_name("https://archive.example/dist/a.tgz?sig=1#x"), "a.tgz");
        assert_eq!(file_name("https://archive.example"), "download");
    }
}
