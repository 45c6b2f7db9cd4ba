//! The addresses of repositories, which people write in several ways.

/// Returns an address in a form that the same repository always has: `host/path`, without scheme, user, default port, and
/// `.git`. What is no address of a server stays a path.
pub(super) fn normal(address: &str) -> String {
    let address = address.trim();
    let (authority, path) = match address.split_once("://") {
        Some(("file", path)) => ("", path),
        Some((_, rest)) => rest.split_once('/').unwrap_or((rest, "")),
        None => match address.split_once(':') {
            // As ssh has it: user@host:path.
            Some((host, path)) if !host.contains('/') => (host, path.trim_start_matches('/')),
            _ => ("", address),
        },
    };
    let path = path.trim_end_matches('/');
    let path = path.strip_suffix(".git").unwrap_or(path).trim_end_matches('/');
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host).to_ascii_lowercase();
    let host =
        [":22", ":80", ":443", ":9418"].iter().find_map(|port| host.strip_suffix(port)).unwrap_or(&host);
    match host {
        "" => path.to_owned(),
        host => format!("{host}/{path}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_one_form_however_it_is_written() {
        for address in [
            "https://git.example/team/app",
            "https://git.example/team/app.git",
            "https://git.example/team/app/",
            "https://user:token@Git.example:443/team/app.git/",
            "http://git.example/team/app",
            "ssh://git@git.example/team/app.git",
            "ssh://git@git.example:22/team/app",
            "git@git.example:team/app.git",
            "git@git.example:/team/app",
            "git://git.example/team/app",
            " https://git.example/team/app ",
        ] {
            assert_eq!(normal(address), "git.example/team/app", "{address}");
        }
        for (address, form) in [
            ("https://git.example:8443/a", "git.example:8443/a"),
            ("/srv/git/app.git", "/srv/git/app"),
            ("file:///srv/git/app.git/", "/srv/git/app"),
            ("../app", "../app"),
            ("", ""),
        ] {
            assert_eq!(normal(address), form);
        }
        assert_ne!(normal("https://git.example/Team/app"), normal("https://git.example/team/app"));
    }
}
