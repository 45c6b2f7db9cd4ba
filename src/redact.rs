//! Secrets that cannot be printed by accident, and URLs without their credentials.

use std::fmt;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Deserializer};

/// How much of what came from outside is shown, in characters.
const LONGEST_LINE: usize = 300;

/// A text that is never printed: its `Debug` and `Display` show `***`.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret(String);

impl Secret {
    /// Takes `text` into custody.
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    /// Returns the text itself, for the one place that sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
        String::deserialize(deserializer).map(Secret)
    }
}

/// Returns a text with `***` in the place of each of these secrets, as they are or as an address has them.
pub fn all(text: String, secrets: &[String]) -> String {
    let encoded = |secret: &String| utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string();
    let mut words: Vec<String> =
        secrets.iter().flat_map(|secret| [secret.clone(), encoded(secret)]).collect();
    words.retain(|word| !word.is_empty());
    // One secret may be a part of another.
    words.sort_by_key(|word| std::cmp::Reverse(word.len()));
    words.iter().fold(text, |text, word| text.replace(word, "***"))
}

/// Returns `url` without user, password, query and fragment: what may stand in a log or an error.
pub fn url(url: &str) -> String {
    let end = url.find(['?', '#']).unwrap_or(url.len());
    let shown = &url[..end];
    let Some((scheme, rest)) = shown.split_once("://") else { return shown.to_owned() };
    let authority_end = rest.find('/').unwrap_or(rest.len());
    let (authority, path) = rest.split_at(authority_end);
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{scheme}://{host}{path}")
}

/// Makes one short line of what came from outside: nothing in it moves a terminal's cursor, or fills a log.
pub fn line(text: &str) -> String {
    text.chars().take(LONGEST_LINE).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Returns a text with `***` in the place of user and password, if it is an address that has them.
pub fn credentials(text: &str) -> String {
    let parts = text.split_once("://").and_then(|(scheme, rest)| {
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (_, host) = rest[..end].rsplit_once('@')?;
        Some(format!("{scheme}://***@{host}{}", &rest[end..]))
    });
    parts.unwrap_or_else(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_from_outside_is_a_short_line() {
        assert_eq!(line("a\nb\x1b[2Jc"), "a b [2Jc");
        assert_eq!(line(&"é".repeat(1000)), "é".repeat(300));
    }

    #[test]
    fn a_secret_does_not_show_itself() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret} {secret:?}"), "*** ***");
        assert_eq!(secret.expose(), "hunter2");
    }

    #[test]
    fn secrets_are_taken_out_as_they_are_and_as_addresses_have_them() {
        let secrets = ["hunter2".to_owned(), "hunter2/x y".to_owned(), String::new()];
        let said = "no hunter2, hunter2/x y, ?p=hunter2%2Fx%20y".to_owned();
        assert_eq!(all(said, &secrets), "no ***, ***, ?p=***");
    }

    #[test]
    fn an_address_hides_only_its_credentials() {
        assert_eq!(
            credentials("https://u:p@git.example/a.git?x=y@z#v1"),
            "https://***@git.example/a.git?x=y@z#v1"
        );
        for plain in ["1.2", "u@h", "https://git.example/a@b", ""] {
            assert_eq!(credentials(plain), plain);
        }
    }

    #[test]
    fn a_url_keeps_only_what_may_be_shown() {
        for (given, shown) in [
            ("http://archive.example/debian", "http://archive.example/debian"),
            ("https://user:p@ss@archive.example/a?sig=1#f", "https://archive.example/a"),
            ("https://token@archive.example", "https://archive.example"),
            ("file:/srv/archive", "file:/srv/archive"),
        ] {
            assert_eq!(url(given), shown);
        }
    }
}
