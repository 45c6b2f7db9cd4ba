//! What ADD fetches from afar: which sources are addresses, and what their files are called.

use url::Url;

use crate::dockerfile::Repository;

/// Whether a source of ADD is an address of a file.
pub(super) fn is_address(source: &str) -> bool {
    (source.starts_with("http://") || source.starts_with("https://"))
        && matches!(Repository::parse(source), Ok(None))
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
    fn addresses_are_told_from_paths_and_repositories() {
        assert!(is_address("https://archive.example/a.git.tgz") && !is_address("a/https"));
        assert!(!is_address("https://git.example/team/tool.git#v1:sub"));
    }

    #[test]
    fn a_file_is_called_as_its_address_ends() {
        assert_eq!(file_name("https://archive.example/dist/a.tgz?sig=1#x"), "a.tgz");
        assert_eq!(file_name("https://archive.example"), "download");
    }
}
