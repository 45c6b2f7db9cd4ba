//! What a definition asks a lock for, in words that a person reads: the lock repeats it, and can say what has changed.
//!
//! Only what decides about base, packages and trust stands here; files and configuration are the graph's. No
//! credential does: repositories are shown without them.

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::wish;
use crate::apt::sources::{self, Repository, SignedBy};
use crate::build::definition::{
    self, Apt, Deb, DebOrigin, Definition, Key, PackageRequest, SourcePolicy, Spanned,
};
use crate::digest::Digest;
use crate::redact;

/// What a definition asks a lock for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockRequest {
    /// The digest of the Dockerfile, where it is one that is built.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dockerfile: Option<Digest>,
    /// The base image; absent on scratch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<String>,
    /// The packages by name, with their version or pin where one is written: `jq`, `jq = 1.6-2.1`, `jq: version 1*`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub packages: Vec<String>,
    /// The packages that come as files: `dist/tool.deb`, `tool https://archive.example/tool.deb sha256:…`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub debs: Vec<String>,
    /// The packages that files are taken from, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub taken: Vec<String>,
    /// The repositories, as lines of a `sources.list`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub repositories: Vec<String>,
    /// The keys by name, with their fingerprint where one is written.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<String>,
    /// What is done besides installing, or not done: `upgrade`, `recommends`, `essential = false`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub switches: Vec<String>,
    /// The packages that are to go.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<String>,
    /// Which versions are preferred, a line for each text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub preferences: Vec<String>,
    /// Whose sources are recorded: `packages`, `base image`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<String>,
    /// The steps that files are taken from, by name, each with its Dockerfile: `build (Dockerfile sha256:…)`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<String>,
    /// The images that files are taken from, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<String>,
}

impl LockRequest {
    /// Returns what `definition` asks for; `steps` are those that files are taken from.
    ///
    /// # Errors
    /// When a repository can't be read.
    pub fn of(definition: &Definition, steps: &[String]) -> Result<LockRequest> {
        let apt = &definition.image.apt;
        let base = match &definition.image.base {
            definition::Base::Scratch => None,
            definition::Base::Image(reference) => Some(reference.value.to_string()),
        };
        Ok(LockRequest {
            dockerfile: None,
            base,
            packages: apt.packages.iter().map(package).collect(),
            debs: apt.debs.iter().map(deb).collect(),
            taken: wish::taken(definition).into_iter().collect(),
            repositories: repositories(apt, definition.source.file_name())?,
            keys: apt.keys.iter().map(key).collect(),
            switches: switches(definition),
            remove: apt.remove.iter().map(|name| name.value.clone()).collect(),
            preferences: apt.preferences.iter().map(|text| one_line(&text.value)).collect(),
            sources: sources(apt),
            steps: steps.to_vec(),
            images: definition.images_of_files().map(|reference| reference.value.to_string()).collect(),
        })
    }

    /// Returns what `definition` asks for and `self`, the lock's, does not, and the other way round: a line each.
    pub fn differences(&self, definition: &LockRequest) -> Vec<String> {
        let mut found = Vec::new();
        if self.base != definition.base {
            let name = |base: &Option<String>| base.clone().unwrap_or_else(|| "scratch".into());
            let (ours, theirs) = (name(&definition.base), name(&self.base));
            found.push(format!("the definition's base is {ours}, the lock's {theirs}"));
        }
        for ((what, theirs), (_, ours)) in self.lists().into_iter().zip(definition.lists()) {
            found.extend(differences(what, ours, theirs));
        }
        found
    }

    /// Returns its lists, each with what an entry of it is called.
    fn lists(&self) -> [(&'static str, &[String]); 11] {
        [
            ("package", self.packages.as_slice()),
            ("deb", &self.debs),
            ("package to take files from", &self.taken),
            ("repository", &self.repositories),
            ("key", &self.keys),
            ("switch", &self.switches),
            ("package to remove", &self.remove),
            ("preference", &self.preferences),
            ("sources of the", &self.sources),
            ("step", &self.steps),
            ("image to take files from", &self.images),
        ]
    }
}

fn differences(what: &str, definition: &[String], lock: &[String]) -> Vec<String> {
    let added = definition.iter().filter(|entry| !lock.contains(entry));
    let added = added.map(|entry| format!("the definition has {what} {entry}, the lock hasn't"));
    let gone = lock.iter().filter(|entry| !definition.contains(entry));
    let gone = gone.map(|entry| format!("the lock has {what} {entry}, the definition hasn't"));
    let mut found: Vec<String> = added.chain(gone).collect();
    if found.is_empty() && definition != lock {
        // Who is asked for first chooses first.
        found.push(format!("each {what} is the same, but they stand in another order"));
    }
    found
}

/// Returns whose sources are recorded. That some may be missing, or are attached to the image, changes no lock.
fn sources(apt: &Apt) -> Vec<String> {
    match apt.sources.value {
        SourcePolicy::None => Vec::new(),
        SourcePolicy::Record | SourcePolicy::Bundle => {
            let base = apt.wants_sources_of_base().then_some("base image");
            ["packages"].into_iter().chain(base).map(str::to_owned).collect()
        }
    }
}

fn switches(definition: &Definition) -> Vec<String> {
    let apt = &definition.image.apt;
    let all = [
        ("upgrade", apt.upgrade.value),
        ("recommends", apt.recommends.value),
        ("essential = false", definition.is_without_essential()),
    ];
    all.into_iter().filter(|(_, is_on)| *is_on).map(|(name, _)| name.to_owned()).collect()
}

fn one_line(text: &str) -> String {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ")
}

fn package(package: &PackageRequest) -> String {
    match &package.pin {
        Some(pin) => with(&package.name, ": ", Some(pin)),
        None => with(&package.name, " = ", package.version.as_ref()),
    }
}

fn deb(deb: &Deb) -> String {
    match &deb.origin {
        DebOrigin::Context(path) => path.value.clone(),
        DebOrigin::Url(download) => {
            format!("{} {} {}", deb.name.value, redact::url(&download.url), download.sha256.value)
        }
    }
}

fn key(key: &Key) -> String {
    with(&key.name, " ", key.fingerprint.as_ref())
}

fn with(name: &Spanned<String>, between: &str, value: Option<&Spanned<String>>) -> String {
    match value {
        Some(value) => format!("{}{between}{}", name.value, value.value),
        None => name.value.clone(),
    }
}

fn repositories(apt: &Apt, file: &str) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    for text in &apt.repositories {
        lines.extend(sources::parse(&text.value, file)?.repositories.iter().map(line));
    }
    Ok(lines)
}

/// Returns a repository as a line of a `sources.list`, without credentials.
fn line(repository: &Repository) -> String {
    let shown = repository.to_string();
    let (kind, rest) = shown.split_once(' ').unwrap_or((&shown, ""));
    match options(repository).join(" ") {
        options if options.is_empty() => shown,
        options => format!("{kind} [{options}] {rest}"),
    }
}

fn options(repository: &Repository) -> Vec<String> {
    let list = |name: &str, values: &[String]| format!("{name}={}", values.join(","));
    let switch = |name: &str, value: bool| format!("{name}={}", if value { "yes" } else { "no" });
    let signed_by = match &repository.signed_by {
        SignedBy::Unset => None,
        SignedBy::Paths(names) | SignedBy::Fingerprints(names) => Some(list("signed-by", names)),
        SignedBy::Embedded(key) => Some(format!("signed-by={}", Digest::of(key))),
    };
    let architectures = repository.architectures.as_ref().map(|names| list("arch", names));
    let trusted = repository.trusted.map(|trusted| switch("trusted", trusted));
    let validity = &repository.validity;
    let dated = validity.check.map(|dated| switch("check-valid-until", dated));
    let at_least = validity.at_least.map(|seconds| format!("valid-until-min={seconds}"));
    let at_most = validity.at_most.map(|seconds| format!("valid-until-max={seconds}"));
    [architectures, signed_by, trusted, dated, at_least, at_most].into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn request(image: &str) -> LockRequest {
        let text = format!("image \"x\" {{\n{image}\n}}\n");
        LockRequest::of(&definition::parse(&text, "f", &BTreeMap::new()).unwrap(), &[]).unwrap()
    }

    const PLAIN: &str = "apt {\n repositories = [\"deb http://archive.example s main\"]\n package \"jq\" {}\n package \"jo\" {}\n }";

    #[test]
    fn a_request_is_readable_and_holds_no_credential() {
        let fingerprint = "9DC858229FC7DD38854AE2D88D81803C0EBFCD88";
        let request = request(&format!(
            "base_image = \"registry.example/base:1\"\n\
             apt {{\n repositories = [\"deb [signed-by=k arch=amd64] https://u:hunter2@archive.example/a s main\",\n\
             \"Types: deb deb-src\\nURIs: https://u:hunter2@archive.example/b https://v:hunter3@archive.example/c\\nSuites: ./\"]\n\
             key \"k\" {{\n path = \"k.asc\"\n fingerprint = \"{fingerprint}\"\n }}\n\
             package \"jq\" {{ version = \"1.6-2\" }}\n package \"jo\" {{}}\n }}"
        ));
        let text = serde_json::to_string_pretty(&request).unwrap();
        assert!(!text.contains("hunter"), "{text}");
        assert_eq!(request.packages, ["jq = 1.6-2", "jo"]);
        assert_eq!(request.keys, [format!("k {fingerprint}")]);
        assert_eq!(
            request.repositories,
            [
                "deb [arch=amd64 signed-by=k] https://archive.example/a s main",
                "deb https://archive.example/b ./",
                "deb https://archive.example/c ./",
                "deb-src https://archive.example/b ./",
                "deb-src https://archive.example/c ./",
            ]
        );
    }

    #[test]
    fn every_difference_is_told() {
        let changed = PLAIN
            .replace("archive.example s main", "archive.example s main contrib")
            .replace("\"jq\" {}", "\"jq\" { version = \"1.7-1\" }");
        let changed = format!("base_image = \"registry.example/base:1\"\n{changed}");
        let differences = request(PLAIN).differences(&request(&changed));
        assert_eq!(
            differences,
            [
                "the definition's base is registry.example/base:1, the lock's scratch",
                "the definition has package jq = 1.7-1, the lock hasn't",
                "the lock has package jq, the definition hasn't",
                "the definition has repository deb http://archive.example s main contrib, the lock hasn't",
                "the lock has repository deb http://archive.example s main, the definition hasn't",
            ]
        );
        assert!(request(PLAIN).differences(&request(PLAIN)).is_empty());
    }

    #[test]
    fn another_dockerfile_of_a_step_is_another_request() {
        let of = |dockerfile: &str| LockRequest {
            steps: vec![format!("build (Dockerfile {dockerfile})")],
            ..LockRequest::default()
        };
        assert_eq!(
            of("sha256:1").differences(&of("sha256:2")),
            [
                "the definition has step build (Dockerfile sha256:2), the lock hasn't",
                "the lock has step build (Dockerfile sha256:1), the definition hasn't",
            ]
        );
    }

    #[test]
    fn another_order_is_another_request() {
        let turned = PLAIN.replace("\"jq\"", "\"?\"").replace("\"jo\"", "\"jq\"").replace("\"?\"", "\"jo\"");
        assert_eq!(
            request(PLAIN).differences(&request(&turned)),
            ["each package is the same, but they stand in another order"]
        );
    }
}
