//! The text of docker's `config.json` and podman's `auth.json`: who logs in where, and which helper knows it.
//!
//! See docker's "docker login" and containers-auth.json(5). No error shows what stands in the file.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use base64::{alphabet, engine::DecodePaddingMode};
use serde::Deserialize;

use crate::oci::Reference;
use crate::oci::reference::registry_of;
use crate::redact::Secret;
use crate::transport::Credentials;

/// Some programs leave the padding out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What a file says of registries.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Config {
    auths: BTreeMap<String, Entry>,
    creds_store: String,
    cred_helpers: BTreeMap<String, String>,
}

/// What a file holds itself; empty where a helper holds it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Entry {
    auth: Secret,
    username: String,
    password: Secret,
    identitytoken: Secret,
}

/// Why a text is no configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum InvalidConfig {
    #[error("it is not as expected at line {line}, column {column}")]
    Json { line: usize, column: usize },
    #[error("`auth` of {0} is not the base64 of a name, a colon and a password")]
    Auth(String),
}

impl Config {
    pub(super) fn parse(text: &[u8]) -> Result<Config, InvalidConfig> {
        serde_json::from_slice(text)
            .map_err(|error| InvalidConfig::Json { line: error.line(), column: error.column() })
    }

    /// Returns the name of the helper that knows who logs in at `registry`, if one does.
    pub(super) fn helper(&self, registry: &str) -> Option<&str> {
        let is_meant = |(key, _): &(&String, &String)| registry_of(key).as_deref() == Some(registry);
        let own = self.cred_helpers.iter().find(is_meant).map(|(_, name)| name.as_str());
        own.or(Some(self.creds_store.as_str())).filter(|name| !name.is_empty())
    }

    /// Returns what the file itself says of an image, or of the names above it; the longest one counts.
    pub(super) fn credentials(&self, image: &Reference) -> Result<Option<Credentials>, InvalidConfig> {
        let name = format!("{}/", image.name());
        let entries = self.auths.iter().filter_map(|(key, entry)| Some((scope(key)?, key, entry)));
        let mut meant: Vec<_> =
            entries.filter(|(scope, ..)| name.starts_with(&format!("{scope}/"))).collect();
        meant.sort_by_key(|(scope, ..)| std::cmp::Reverse(scope.len()));
        for (_, key, entry) in meant {
            if let Some(found) = entry.credentials().ok_or_else(|| InvalidConfig::Auth(key.clone()))? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }
}

impl Entry {
    /// Returns whom it names; nothing inside if nobody, nothing at all if it can't be read.
    fn credentials(&self) -> Option<Option<Credentials>> {
        if !self.identitytoken.expose().is_empty() {
            return Some(Some(Credentials::identity(self.identitytoken.clone())));
        }
        let auth = self.auth.expose();
        if auth.is_empty() {
            let credentials =
                Credentials { username: self.username.clone(), password: self.password.clone() };
            return Some(Some(credentials).filter(|given| !given.username.is_empty()));
        }
        let text = String::from_utf8(BASE64.decode(auth).ok()?).ok()?;
        let (username, password) = text.split_once(':')?;
        // Docker itself has padded passwords so.
        let password = Secret::new(password.trim_end_matches('\0'));
        Some(Some(Credentials { username: username.to_owned(), password }))
    }
}

/// Returns the registry that a key means, or the repositories below a name, as podman has them.
fn scope(key: &str) -> Option<String> {
    let registry = registry_of(key)?;
    let path = match key.contains("://") {
        true => "",
        false => key.split_once('/').map_or("", |(_, path)| path.trim_end_matches('/')),
    };
    Some(match path {
        "" | "v1" | "v2" => registry,
        path => format!("{registry}/{path}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn shown(config: &Value, image: &str) -> Option<String> {
        let config = Config::parse(config.to_string().as_bytes()).unwrap();
        let found = config.credentials(&image.parse().unwrap()).unwrap()?;
        Some(format!("{} {}", found.username, found.password.expose()))
    }

    #[test]
    fn an_image_has_the_credentials_of_its_registry_or_of_the_longest_name_above_it() {
        let config = json!({"auths": {
            "https://index.docker.io/v1/": {"auth": "aHVi OnBhc3M=".replace(' ', "")},
            "registry.example": {"auth": "YWxpY2U6aHVudGVyMjp4"},
            "registry.example/team": {"username": "team", "password": "p"},
            "registry.example/team/app": {"identitytoken": "T", "auth": "YTpi"},
            "http://plain.example:5000/v2/": {"auth": "YTpi"},
            "empty.example": {},
        }, "HttpHeaders": {"User-Agent": "x"}});
        for (image, expected) in [
            ("debian", Some("hub pass")),
            ("index.docker.io/library/debian", Some("hub pass")),
            ("registry.example/a", Some("alice hunter2:x")),
            ("registry.example/teamster", Some("alice hunter2:x")),
            ("registry.example/team/b", Some("team p")),
            ("registry.example/team/app", Some("<token> T")),
            ("plain.example:5000/a", Some("a b")),
            ("registry.example:5000/a", None),
            ("empty.example/a", None),
        ] {
            assert_eq!(shown(&config, image).as_deref(), expected, "{image}");
        }
    }

    #[test]
    fn a_registrys_own_helper_comes_before_the_store() {
        let config = json!({"credsStore": "store", "credHelpers": {"registry.example": "own", "docker.io": "hub", "plain.example": ""}});
        let config = Config::parse(config.to_string().as_bytes()).unwrap();
        let helpers = ["registry.example", "docker.io", "other.example", "plain.example"]
            .map(|registry| config.helper(registry));
        assert_eq!(helpers, [Some("own"), Some("hub"), Some("store"), None]);
        assert_eq!(Config::parse(b"{}").unwrap().helper("registry.example"), None);
    }

    #[test]
    fn what_cannot_be_read_is_told_by_its_place_alone() {
        let error = Config::parse(b"{\n\"auths\": {\"hunter2\": 7}}").unwrap_err().to_string();
        assert_eq!(error, "it is not as expected at line 2, column 22");
        for auth in ["hunter2", "aHVudGVyMg==", "/w=="] {
            let config = json!({"auths": {"registry.example": {"auth": auth}}}).to_string();
            let config = Config::parse(config.as_bytes()).unwrap();
            let error = config.credentials(&"registry.example/a".parse().unwrap()).unwrap_err().to_string();
            assert_eq!(
                error,
                "`auth` of registry.example is not the base64 of a name, a colon and a password"
            );
            assert!(!format!("{config:?}").contains(auth));
        }
    }
}
