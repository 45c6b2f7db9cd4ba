//! The `source` of a resource: which image, how its registry is reached, where packages come from.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;

use super::cloud::Cloud;
use super::fields::{Fields, InvalidRequest};
use super::policy;
use super::registries::{self, Further};
use super::select::Select;
use super::signing::{self, Signing};
use crate::bom::Formats;
use crate::build::definition::Policy;
use crate::build::lock::logins::{Login, Machine};
use crate::oci::{Platform, Reference};
use crate::redact::Secret;
use crate::registry::{Access, Credentials};
use crate::signing::PublicKey;

const WHAT: &str = "source field";

/// What registry-image knows besides, and what is still to come.
const PLANNED: [&str; 4] = ["cache_from", "content_trust", "signing_key", "tag_prefix"];

/// The tag that is meant where neither the source nor anybody else says one.
const DEFAULT_TAG: &str = "latest";

/// The source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Which image.
    pub repository: Repository,
    /// The tag that is checked and put; without, tags are versions, as [`select`](Self::select) has it.
    pub tag: Option<String>,
    /// Which images of the repository are versions.
    pub select: Select,
    /// How its registry is reached: what is said of that, and nothing that is said of another one.
    pub access: Access,
    /// The cloud that gives the credentials, and for ECR the registry.
    pub cloud: Option<Cloud>,
    /// What is asked first about what is on Docker Hub.
    pub mirror: Option<Mirror>,
    /// How other registries are reached, by host.
    pub registries: BTreeMap<String, Further>,
    /// Whom the image is for; this machine's platform without.
    pub platform: Option<Platform>,
    /// Where packages come from, for definitions that don't say.
    pub apt: AptSource,
    /// What puts sign with.
    pub signing: Option<Signing>,
    /// Of these keys one must have signed what is got.
    pub verify: Vec<PublicKey>,
    /// What is allowed of all that is put, whatever a definition says.
    pub policy: Option<Policy>,
    /// The forms in which accounts are attached, where a put doesn't say; the usual ones without.
    pub bom_formats: Option<Formats>,
    /// Reserved: whether more is to be told.
    pub debug: bool,
}

/// Where an image is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Repository {
    /// In a registry; neither tag nor digest is set.
    Remote(Reference),
    /// In an OCI layout directory (`oci:DIR`), relative to the inputs of a put.
    Layout(PathBuf),
}

impl Repository {
    /// Returns the name as the pipeline writes it, completed.
    pub fn name(&self) -> String {
        match self {
            Repository::Remote(reference) => reference.name(),
            Repository::Layout(directory) => format!("oci:{}", directory.display()),
        }
    }
}

/// A registry that has what Docker Hub has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirror {
    /// Host and port.
    pub host: String,
    /// Who asks there.
    pub credentials: Option<Credentials>,
}

/// What the pipeline says of archives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AptSource {
    /// Repositories, as one-line or deb822 texts.
    pub repositories: Vec<String>,
    /// Keys by name.
    pub keys: Vec<AptKey>,
    /// Further places where what archives hold may be had.
    pub mirrors: Vec<String>,
    /// Names and passwords for archives and mirrors; the first that fits is sent.
    pub credentials: Vec<Login>,
}

/// A key that the pipeline gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AptKey {
    /// What `signed-by` calls it.
    pub name: String,
    /// The key itself, armoured.
    pub armoured: String,
}

impl Source {
    /// Returns the tag that is put where a put says none.
    pub fn default_tag(&self) -> &str {
        self.tag.as_deref().unwrap_or(DEFAULT_TAG)
    }

    /// Reads a source.
    pub(super) fn from_value(value: Value) -> Result<Source, InvalidRequest> {
        let mut fields = Fields::new(WHAT, value)?;
        let repository = fields.text("repository")?;
        let tag = fields.text_or_number("tag")?;
        let access = registries::own(&mut fields)?;
        let cloud = Cloud::read(&mut fields)?;
        let mirror = mirror(&mut fields)?;
        let registries = registries::by_host(&mut fields)?;
        let platform = platform(&mut fields)?;
        let apt = apt(&mut fields)?;
        let signing = Signing::take(&mut fields)?;
        let verify = signing::keys(&mut fields)?;
        let policy = policy::of_source(&mut fields)?;
        let bom_formats = fields.bom_formats()?;
        let debug = fields.flag("debug")?;
        let select = Select::from_fields(&mut fields)?;
        if tag.as_deref().is_some_and(|tag| !is_tag(tag)) {
            let why =
                "a tag has up to 128 letters, digits, `_`, `.` and `-`, and doesn't begin with `.` or `-`";
            return Err(fields.refusal("tag", why));
        }
        let repository = repository.map(|text| match &cloud {
            Some(cloud) => cloud.completed(text),
            None => text,
        });
        let repository =
            repository.map(|text| parse_repository(&text).map_err(|why| fields.refusal("repository", &why)));
        fields.finish(is_planned)?;
        let way_out = "name the image's repository, as `repository: registry.example/team/app`";
        let repository = repository.unwrap_or_else(|| Err(Fields::missing(WHAT, "repository", way_out)))?;
        Ok(Source {
            repository,
            tag,
            select,
            access,
            cloud,
            mirror,
            registries,
            platform,
            apt,
            signing,
            verify,
            policy,
            bom_formats,
            debug,
        })
    }
}

fn is_planned(name: &str) -> bool {
    PLANNED.contains(&name)
}

/// The reason shows nothing of the text, which may hold a password.
fn parse_repository(text: &str) -> Result<Repository, String> {
    if let Some(directory) = text.strip_prefix("oci:") {
        return match directory.is_empty() || directory.contains(':') {
            true => Err("expected oci:DIR; the tag is the source field `tag`".into()),
            false => Ok(Repository::Layout(directory.into())),
        };
    }
    if text.contains("://") {
        return Err("a repository has no scheme\nhint: write `registry.example/team/app`; `insecure: true` allows http".into());
    }
    let reference = text.parse::<Reference>().map_err(|_| {
        "that is no name of a repository\nhint: write `registry.example/team/app`, without user and password; they have \
         the source fields `username` and `password`"
    })?;
    match reference.tag.is_some() || reference.digest.is_some() {
        true => Err("it has a tag or a digest\nhint: the tag is the source field `tag`".into()),
        false => Ok(Repository::Remote(reference)),
    }
}

/// A tag is what stands as one in an image's name.
pub(super) fn is_tag(text: &str) -> bool {
    let name = format!("a:{text}").parse::<Reference>();
    name.is_ok_and(|name| name.digest.is_none() && name.tag.as_deref() == Some(text))
}

fn mirror(fields: &mut Fields) -> Result<Option<Mirror>, InvalidRequest> {
    let Some(mut object) = fields.object("registry_mirror")? else { return Ok(None) };
    let host = object.text("host")?;
    let credentials = registries::credentials(&mut object)?;
    let mirror = match host {
        None => {
            Err(object.refusal("host", "it is missing; write the mirror's host, and its port if it has one"))
        }
        Some(host) if !is_host(&host) => {
            Err(object.refusal("host", "expected a host, and perhaps a port, as `mirror.example:5000`"))
        }
        Some(host) => Ok(Some(Mirror { host, credentials })),
    };
    object.finish(|_| false).and(mirror)
}

/// Whether nothing but a host and a port is in it; which they are, the registry's address shows.
fn is_host(text: &str) -> bool {
    let is_good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']');
    text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '[') && text.chars().all(is_good)
}

pub(super) fn platform(fields: &mut Fields) -> Result<Option<Platform>, InvalidRequest> {
    let Some(mut object) = fields.object("platform")? else { return Ok(None) };
    let host = Platform::host();
    let platform = Platform {
        os: object.text("os")?.unwrap_or(host.os),
        architecture: object.text("architecture")?.unwrap_or(host.architecture),
        variant: object.text("variant")?,
    };
    object.finish(|_| false)?;
    Ok(Some(platform.normalized()))
}

fn apt(fields: &mut Fields) -> Result<AptSource, InvalidRequest> {
    let Some(mut object) = fields.object("apt")? else { return Ok(AptSource::default()) };
    let repositories = object.texts("repositories")?;
    let keys = object.objects("keys")?.into_iter().map(apt_key).collect::<Result<Vec<_>, _>>()?;
    let is_twice = |key: &AptKey| keys.iter().filter(|other| other.name == key.name).count() > 1;
    if keys.iter().any(is_twice) {
        return Err(object.refusal("keys", "two keys have the same name"));
    }
    let mirrors = object.texts("mirrors")?;
    let is_place = |text: &String| ["http://", "https://"].iter().any(|scheme| text.starts_with(scheme));
    if !mirrors.iter().all(is_place) {
        return Err(object.refusal("mirrors", "expected a list of addresses, http or https"));
    }
    let credentials = object.objects("credentials")?.into_iter().map(login).collect::<Result<Vec<_>, _>>()?;
    object.finish(|_| false)?;
    Ok(AptSource { repositories, keys, mirrors, credentials })
}

/// An entry of apt_auth.conf(5), with its words for names.
fn login(mut object: Fields) -> Result<Login, InvalidRequest> {
    let machine = object.text("machine")?;
    let (username, password) = (object.text("login")?, object.text_or_number("password")?);
    let whole = match (machine.as_deref().map(Machine::parse), username, password) {
        (None, _, _) => Err(object.refusal("machine", "it is missing; write for whom the password is")),
        (Some(Err(problem)), _, _) => Err(object.refusal("machine", &problem.to_string())),
        (Some(Ok(machine)), Some(username), Some(password)) => {
            Ok(Login { machine, username: Secret::new(username), password: Secret::new(password) })
        }
        (Some(Ok(_)), None, _) => Err(object.refusal("login", "it is missing")),
        (Some(Ok(_)), Some(_), None) => Err(object.refusal("password", "it is missing")),
    };
    object.finish(|_| false).and(whole)
}

fn apt_key(mut object: Fields) -> Result<AptKey, InvalidRequest> {
    let (name, armoured) = (object.text("name")?, object.text("key")?);
    let whole = match (name, armoured) {
        (Some(_), Some(armoured)) if !armoured.contains("-----BEGIN PGP PUBLIC KEY BLOCK-----") => {
            Err(object.refusal("key", "expected an armoured OpenPGP public key"))
        }
        (Some(name), Some(armoured)) => Ok(AptKey { name, armoured }),
        (None, _) => Err(object.refusal("name", "it is missing; `signed-by` refers to a key by its name")),
        (_, None) => Err(object.refusal("key", "it is missing; expected an armoured OpenPGP public key")),
    };
    object.finish(|_| false).and(whole)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn error(value: Value) -> String {
        Source::from_value(value).unwrap_err().to_string()
    }

    fn with(name: &str, value: Value) -> Value {
        let mut source = json!({"repository": "registry.example/app"});
        source[name] = value;
        source
    }

    #[test]
    fn a_repository_is_enough() {
        let source = Source::from_value(json!({"repository": "registry.example/team/app"})).unwrap();
        assert_eq!(source.repository.name(), "registry.example/team/app");
        assert_eq!((source.default_tag(), source.debug), ("latest", false));
        assert_eq!(source.tag, None);
        assert_eq!((source.access, source.registries), (Access::default(), BTreeMap::new()));
        assert_eq!(source.platform, None);
        assert_eq!(source.apt, AptSource::default());
    }

    #[test]
    fn every_field_is_read() {
        let certificate = "-----BEGIN CERTIFICATE-----\n…";
        let key = "-----BEGIN PGP PUBLIC KEY BLOCK-----\n…";
        let source = Source::from_value(json!({
            "repository": "oci:images/app", "tag": 7, "username": "shipwright", "password": "hunter2",
            "insecure": true, "ca_certs": [certificate], "platform": {"architecture": "arm64"}, "debug": true,
            "apt": {
                "repositories": ["deb http://archive.example/debian bookworm main"],
                "keys": [{"name": "archive", "key": key}],
                "mirrors": ["https://mirror.example/debian"],
                "credentials": [{"machine": "mirror.example", "login": "sailor", "password": "hunter3"}],
            },
        }));
        let source = source.unwrap();
        assert_eq!(source.repository, Repository::Layout("images/app".into()));
        assert_eq!((source.default_tag(), source.access.insecure, source.debug), ("7", true, true));
        assert_eq!(source.access.credentials.as_ref().unwrap().password.expose(), "hunter2");
        assert_eq!(source.access.ca_certs, [certificate]);
        assert_eq!(source.platform.as_ref().unwrap().to_string(), "linux/arm64");
        assert_eq!(source.apt.repositories.len(), 1);
        assert_eq!(source.apt.keys, [AptKey { name: "archive".into(), armoured: key.into() }]);
        assert_eq!(source.apt.mirrors, ["https://mirror.example/debian"]);
        assert_eq!(source.apt.credentials[0].password.expose(), "hunter3");
        let shown = format!("{source:?}");
        for secret in ["hunter2", "hunter3", "shipwright", "sailor"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }

    #[test]
    fn a_tag_may_be_a_number_and_must_be_a_tag() {
        assert_eq!(Source::from_value(with("tag", json!(1.5))).unwrap().tag.as_deref(), Some("1.5"));
        for tag in
            [json!("-x"), json!("a b"), json!("a/b"), json!("1@sha256"), json!("1:2"), json!("x".repeat(129))]
        {
            assert!(error(with("tag", tag.clone())).starts_with("cannot use source field `tag`"), "{tag}");
        }
        assert!(error(with("tag", json!(""))).contains("got an empty text"));
    }

    #[test]
    fn a_source_without_repository_is_told_what_to_write() {
        let text = error(json!({}));
        assert!(
            text.contains("`repository`") && text.contains("hint: name the image's repository"),
            "{text}"
        );
        assert!(error(json!({"repositry": "registry.example/app"})).contains("did you mean `repository`?"));
    }

    #[test]
    fn what_is_no_repository_is_refused_without_showing_it() {
        for repository in [
            "https://shipwright:hunter2@registry.example/app",
            "shipwright:hunter2@registry.example/app",
            "registry.example/app:hunter2",
            "registry.example/Hunter2",
            "oci:",
            "oci:hunter2:tag",
        ] {
            let text = error(json!({"repository": repository}));
            assert!(text.starts_with("cannot use source field `repository`: "), "{text}");
            assert!(!text.to_lowercase().contains("hunter2"), "{text}");
        }
    }

    #[test]
    fn what_registry_image_has_besides_is_refused_by_name() {
        for name in PLANNED {
            let text = error(with(name, json!("hunter2")));
            assert!(text.contains(&format!("`{name}`: it is not built yet")), "{text}");
            assert!(!text.contains("hunter2"), "{text}");
        }
    }

    #[test]
    fn a_nested_mistake_is_named_with_its_place() {
        for (name, value, place) in [
            ("apt", json!({"repos": []}), "`apt.repos`"),
            ("apt", json!({"keys": [{"name": "a"}]}), "`apt.keys[0].key`"),
            ("apt", json!({"keys": [{"key": "hunter2"}]}), "`apt.keys[0].name`"),
            ("apt", json!({"keys": [{"name": "a", "key": "hunter2"}]}), "`apt.keys[0].key`"),
            ("apt", json!({"keys": [{"name": "a", "fingerprint": "hunter2"}]}), "`apt.keys[0].fingerprint`"),
            ("apt", json!({"mirrors": ["hunter2"]}), "`apt.mirrors`"),
            ("apt", json!({"credentials": [{"login": "hunter2"}]}), "`apt.credentials[0].machine`"),
            ("apt", json!({"credentials": [{"machine": "a:hunter2@b"}]}), "`apt.credentials[0].machine`"),
            (
                "apt",
                json!({"credentials": [{"machine": "a", "login": "hunter2"}]}),
                "`apt.credentials[0].password`",
            ),
            (
                "apt",
                json!({"credentials": [{"machine": "a", "password": "hunter2"}]}),
                "`apt.credentials[0].login`",
            ),
            ("platform", json!({"arch": "arm64"}), "`platform.arch`"),
            ("platform", json!("linux/arm64"), "`platform`"),
            ("ca_certs", json!(["hunter2"]), "`ca_certs`"),
            ("username", json!("hunter2"), "`username`"),
            ("password", json!("hunter2"), "`password`"),
            ("registry_mirror", json!("hunter2"), "`registry_mirror`"),
            ("registry_mirror", json!({"username": "hunter2"}), "`registry_mirror.username`"),
            ("registry_mirror", json!({"host": "https://hunter2"}), "`registry_mirror.host`"),
            ("registry_mirror", json!({"host": "a:hunter2@mirror.example"}), "`registry_mirror.host`"),
            ("registry_mirror", json!({"hosts": "hunter2"}), "`registry_mirror.hosts`"),
        ] {
            let text = error(with(name, value));
            assert!(text.contains(place), "{text}");
            assert!(!text.contains("hunter2"), "{text}");
        }
    }

    #[test]
    fn a_key_is_named_once() {
        let key = "-----BEGIN PGP PUBLIC KEY BLOCK-----";
        let keys = json!([{"name": "a", "key": key}, {"name": "a", "key": key}]);
        assert!(error(with("apt", json!({"keys": keys}))).contains("two keys have the same name"));
    }
}
