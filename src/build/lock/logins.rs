//! How repositories are reached that ask for a name and a password, which stand in no lock.
//!
//! A lock names what is fetched by where it lies, without credentials; those that the definition, the pipeline or the
//! base writes before the host, and those that are given apart, are put back when it is fetched, and nowhere else.

use std::fmt;

use url::Url;

use crate::apt::sources::Repository;
use crate::redact::Secret;

/// Names and passwords, and what they are for.
#[derive(Clone, Default)]
pub struct Logins {
    logins: Vec<Login>,
}

/// A name and a password, and what they are for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// What they are for.
    pub machine: Machine,
    /// The user's name.
    pub username: Secret,
    /// The password.
    pub password: Secret,
}

/// What a login is for: `machine` of apt_auth.conf(5), `[protocol://]hostname[:port][/path]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Without one: `https`.
    scheme: Option<String>,
    host: String,
    /// Without one: every port.
    port: Option<u16>,
    /// What the path begins with.
    path: String,
}

/// A text that names no machine. It isn't shown: a password may stand in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected `[http://]archive.example[:port][/path]`")]
pub struct InvalidMachine;

impl Machine {
    /// Reads `[protocol://]hostname[:port][/path]`.
    pub fn parse(text: &str) -> Result<Machine, InvalidMachine> {
        let (scheme, rest) =
            text.split_once("://").map_or((None, text), |(scheme, rest)| (Some(scheme), rest));
        if scheme.is_some_and(|scheme| !matches!(scheme, "http" | "https")) || rest.contains(['@', '?', '#'])
        {
            return Err(InvalidMachine);
        }
        let url = Url::parse(&format!("http://{rest}")).map_err(|_| InvalidMachine)?;
        let authority = rest.split('/').next().unwrap_or_default();
        let path = rest.strip_prefix(authority).unwrap_or_default();
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or(InvalidMachine)?;
        let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| !port.contains(']'));
        Ok(Machine {
            scheme: scheme.map(str::to_owned),
            host: host.to_owned(),
            port: has_port.then(|| url.port_or_known_default()).flatten(),
            path: path.to_owned(),
        })
    }

    /// Whether it is where `url` leads, judged as apt does it: who names no protocol means https.
    fn matches(&self, url: &Url) -> bool {
        url.scheme() == self.scheme.as_deref().unwrap_or("https")
            && url.host_str() == Some(&self.host)
            && self.port.is_none_or(|port| url.port_or_known_default() == Some(port))
            && url.path().starts_with(&self.path)
    }

    /// Returns the machine that a repository's URI names with credentials before it.
    fn of(url: &Url) -> Option<Machine> {
        Some(Machine {
            scheme: Some(url.scheme().to_owned()),
            host: url.host_str()?.to_owned(),
            port: url.port_or_known_default(),
            path: format!("{}/", url.path().trim_end_matches('/')),
        })
    }
}

impl Logins {
    /// Returns those that stand in these URIs, the most particular first, and then `given` in their order.
    pub fn new<'a>(uris: impl IntoIterator<Item = &'a str>, given: &[Login]) -> Logins {
        let mut logins: Vec<Login> = uris.into_iter().filter_map(login_in).collect();
        logins.sort_by_key(|login| std::cmp::Reverse(login.machine.path.len()));
        logins.extend_from_slice(given);
        Logins { logins }
    }

    /// Returns those that these repositories' URIs hold, and then `given`.
    pub fn of(repositories: &[Repository], given: &[Login]) -> Logins {
        Logins::new(repositories.iter().map(|repository| repository.uri.as_str()), given)
    }

    /// Returns a URI as it is to be asked for. What stands in it already wins.
    pub fn uri(&self, shown: &str) -> String {
        let Ok(mut url) = Url::parse(shown) else { return shown.to_owned() };
        if !url.username().is_empty() || url.password().is_some() {
            return shown.to_owned();
        }
        let Some(login) = self.logins.iter().find(|login| login.machine.matches(&url)) else {
            return shown.to_owned();
        };
        let is_set = url.set_username(login.username.expose()).is_ok()
            && url.set_password(Some(login.password.expose())).is_ok();
        if is_set { url.into() } else { shown.to_owned() }
    }
}

/// A user's name alone is often a token, and is sent as one.
fn login_in(uri: &str) -> Option<Login> {
    let url = Url::parse(uri).ok()?;
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    let [username, password] = [url.username(), url.password().unwrap_or("")].map(percent_decoded);
    Some(Login { machine: Machine::of(&url)?, username, password })
}

/// Undoes what a URL does to credentials, so that it isn't done twice.
fn percent_decoded(text: &str) -> Secret {
    // In a form, `+` is a space and `&` ends a value.
    let form = format!("x={}", text.replace('+', "%2B").replace('&', "%26"));
    let value = url::form_urlencoded::parse(form.as_bytes()).next().map(|(_, value)| value.into_owned());
    Secret::new(value.unwrap_or_default())
}

impl fmt::Debug for Logins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.logins.iter().map(|login| &login.machine)).finish()
    }
}

/// Reads the logins of an `auth.conf` (apt_auth.conf(5)); what it cannot make sense of, it leaves out as apt does.
pub fn auth_conf(text: &str) -> Vec<Login> {
    let mut logins = Vec::new();
    let mut current: Option<(Machine, Option<Secret>, Option<Secret>)> = None;
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let mut words = lines.flat_map(str::split_whitespace);
    while let Some(word) = words.next() {
        match word {
            "machine" => {
                logins.extend(current.take().and_then(login_of));
                current = words.next().and_then(|text| Some((Machine::parse(text).ok()?, None, None)));
            }
            "login" | "password" => {
                let value = words.next().map(Secret::new);
                match &mut current {
                    Some((_, username, _)) if word == "login" => *username = value,
                    Some((_, _, password)) => *password = value,
                    None => {}
                }
            }
            _ => {}
        }
    }
    logins.extend(current.and_then(login_of));
    logins
}

fn login_of((machine, username, password): (Machine, Option<Secret>, Option<Secret>)) -> Option<Login> {
    Some(Login { machine, username: username?, password: password.unwrap_or_default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apt::sources;

    fn logins(lines: &str) -> Logins {
        Logins::of(&sources::parse_one_line(lines, "f").unwrap().repositories, &[])
    }

    #[test]
    fn what_lies_below_a_repository_is_asked_for_with_its_credentials() {
        let logins = logins(
            "deb http://archive.example/open s main\n\
             deb http://u:p@archive.example/debian/ s main\n\
             deb http://v:q%40%2b+@archive.example/debian/private s main\n\
             deb http://token@archive.example:8080 s main\n",
        );
        for (shown, full) in [
            ("http://archive.example/debian/pool/a.deb", "http://u:p@archive.example/debian/pool/a.deb"),
            (
                "http://archive.example/debian/private/a%2bb.deb",
                "http://v:q%40++@archive.example/debian/private/a%2bb.deb",
            ),
            ("http://archive.example:8080/a.deb", "http://token@archive.example:8080/a.deb"),
            ("http://archive.example/debian-security/a.deb", "http://archive.example/debian-security/a.deb"),
            ("http://archive.example/open/a.deb", "http://archive.example/open/a.deb"),
            ("https://archive.example/debian/a.deb", "https://archive.example/debian/a.deb"),
            ("http://other.example/debian/a.deb", "http://other.example/debian/a.deb"),
            ("http://x:y@archive.example/debian/a.deb", "http://x:y@archive.example/debian/a.deb"),
            ("file:/srv/debian/a.deb", "file:/srv/debian/a.deb"),
        ] {
            assert_eq!(logins.uri(shown), full);
        }
        assert!(!format!("{logins:?}").contains("token"), "{logins:?}");
    }

    /// The cases of apt_auth.conf(5).
    #[test]
    fn what_a_login_is_for_is_judged_as_apt_does_it() {
        let uri = "https://example.org/debian/dists/bookworm/InRelease";
        for (machine, expected) in [
            ("example.org", true),
            ("example.org/deb", true),
            ("example.org/debian", true),
            ("example.org/debian/", true),
            ("https://example.org", true),
            ("example.org:443", true),
            ("http://example.org", false),
            ("example.org:8443", false),
            ("example.org/deb/", false),
            ("example.org/ubuntu", false),
            ("example.orga", false),
            ("example.net", false),
        ] {
            let given = auth_conf(&format!("machine {machine} login apt password debian\n"));
            let full = Logins::new([], &given).uri(uri);
            assert_eq!(full.contains("apt:debian@"), expected, "{machine}");
        }
    }

    #[test]
    fn an_auth_conf_is_read_token_by_token() {
        let text = "# machine commented.example login no password no\nmachine a.example\nlogin u\n\tpassword p#1\n\
                    machine http://b.example:80/x account z login v password q machine c.example login w\n\
                    machine ftp://d.example login no password no machine nobody.example password no";
        let shown: Vec<String> = auth_conf(text)
            .iter()
            .map(|login| {
                let Machine { scheme, host, port, path } = &login.machine;
                format!(
                    "{scheme:?} {host} {port:?} {path} {} {}",
                    login.username.expose(),
                    login.password.expose()
                )
            })
            .collect();
        assert_eq!(
            shown,
            [
                "None a.example None  u p#1",
                "Some(\"http\") b.example Some(80) /x v q",
                "None c.example None  w "
            ]
        );
    }

    #[test]
    fn the_first_login_that_fits_is_taken_and_none_is_shown() {
        let given =
            auth_conf("machine a.example/x login first password p machine a.example login second password q");
        let logins = Logins::new(["https://own:secret@a.example/own"], &given);
        assert!(logins.uri("https://a.example/x/1").contains("first"));
        assert!(logins.uri("https://a.example/y").contains("second"));
        assert!(logins.uri("https://a.example/own/1").contains("own:secret@"));
        let debug = format!("{logins:?} {given:?}");
        assert!(
            !debug.contains("first") && !debug.contains("secret") && !debug.contains("second"),
            "{debug}"
        );
    }

    #[test]
    fn what_names_no_machine_is_refused() {
        for text in
            ["", "http://", "user:password@archive.example", "ftp://archive.example", "a b", "x:99999999"]
        {
            assert_eq!(Machine::parse(text), Err(InvalidMachine), "{text}");
        }
        assert!(Machine::parse("[::1]:80/x").is_ok());
    }
}
