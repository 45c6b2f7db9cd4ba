//! Where everything is from: images, repositories, keys, the network. All of it is known before anything is built.

use std::collections::{BTreeMap, BTreeSet};

use super::{Judge, Violation, all, any_matches, listed};
use crate::bom::Document;
use crate::build::definition::Policy;
use crate::build::graph::{Graph, Op};
use crate::build::lock::PlatformLock;
use crate::oci::Reference;

/// What something is from, as a lock or an account has it.
#[derive(Default)]
struct Origins<'a> {
    /// The names of images, with tag or digest as they are known.
    images: BTreeSet<&'a str>,
    /// Fingerprints of the keys that vouch for a repository, by its URI and suite. A file from afar has an address alone.
    repositories: BTreeMap<(&'a str, &'a str), BTreeSet<&'a str>>,
    /// Names and versions of packages.
    packages: BTreeSet<(&'a str, &'a str)>,
    /// The commands that reach the network.
    commands: Vec<&'a str>,
}

/// Judges what is to be built.
pub fn before_building(policies: &[Policy], lock: &PlatformLock, graph: &Graph) -> Vec<Violation> {
    let origins = Origins::planned(lock, graph);
    all(policies, |judge| {
        judge.images(&origins);
        judge.digests(&origins);
        judge.repositories(&origins);
        judge.keys(&origins);
        judge.packages(origins.packages.iter().copied());
        judge.network(&origins);
    })
}

/// Judges an image that was built elsewhere by where its account says that everything is from.
pub fn of_account(policies: &[Policy], document: &Document) -> Vec<Violation> {
    let origins = Origins::told(document);
    all(policies, |judge| {
        judge.images(&origins);
        judge.repositories(&origins);
        judge.keys(&origins);
        judge.network(&origins);
    })
}

impl<'a> Origins<'a> {
    fn planned(lock: &'a PlatformLock, graph: &'a Graph) -> Origins<'a> {
        let mut origins = Origins::default();
        let written = lock.request.base.as_ref();
        origins.images.extend(written.or(lock.base.as_ref().map(|base| &base.name)).map(String::as_str));
        origins.images.extend(lock.images.iter().map(|image| image.name.as_str()));
        for package in lock.fetched() {
            let signers = package.signed_by.iter().map(String::as_str);
            origins.add_repository(&package.repository, &package.uri, signers);
        }
        let packages = lock.all_packages().map(|package| (package.name.as_str(), package.version.as_str()));
        origins.packages.extend(packages);
        origins.commands.extend(graph.vertices().filter_map(|(_, vertex)| match &vertex.op {
            Op::Run(run) if run.has_network => Some(run.instruction.text.as_str()),
            _ => None,
        }));
        origins
    }

    fn told(document: &'a Document) -> Origins<'a> {
        let changes = &document.changeset;
        let mut origins = Origins::default();
        origins.images.extend(document.base_image.iter().map(|base| base.canonical_name.as_str()));
        origins.images.extend(document.dockerfile.iter().flat_map(|file| &file.images).map(String::as_str));
        for source in changes.files.iter().map(|file| &file.source) {
            // Without a digest it is a stage.
            let image = source.image.iter().map(|image| &image.name).filter(|name| name.contains('@'));
            let images = source.step.iter().flat_map(|made| &made.step.images);
            origins.images.extend(image.chain(images).map(String::as_str));
        }
        for package in changes.packages.iter().chain(&changes.opened_packages) {
            let signers = package.signed_by.iter().map(String::as_str);
            origins.add_repository(&package.repository, &package.location.uri, signers);
        }
        let commands = changes.instructions.iter().filter(|instruction| instruction.network);
        origins.commands.extend(commands.map(|instruction| instruction.instruction.as_str()));
        origins
    }

    /// A package of no repository came as a file: from afar, or with the context, which is nobody's to allow.
    fn add_repository(&mut self, repository: &'a str, uri: &'a str, keys: impl Iterator<Item = &'a str>) {
        let is_from_afar = uri.starts_with("http://") || uri.starts_with("https://");
        match repository.rsplit_once(' ') {
            Some(place) => self.repositories.entry(place).or_default().extend(keys),
            None if is_from_afar => drop(self.repositories.entry((uri, "")).or_default()),
            None => {}
        }
    }
}

impl Judge<'_> {
    fn images(&mut self, origins: &Origins<'_>) {
        let Some(allowed) = &self.policy.allow_images else { return };
        for image in &origins.images {
            if !names(image).iter().any(|name| any_matches(allowed, name)) {
                let hint =
                    format!("use an image that is allowed ({}), or have this one allowed", listed(allowed));
                self.add("allow_images", allowed, format!("the image {image} is not allowed"), hint);
            }
        }
    }

    fn digests(&mut self, origins: &Origins<'_>) {
        let required = &self.policy.require_digests;
        for image in origins.images.iter().filter(|image| required.value && !image.contains("@sha256:")) {
            let what = format!("the image {image} is named without a digest");
            let hint = "write its digest behind it: NAME@sha256:…; a lock shows which it has now";
            self.add("require_digests", required, what, hint);
        }
    }

    fn repositories(&mut self, origins: &Origins<'_>) {
        let Some(allowed) = &self.policy.allow_repositories else { return };
        for (uri, suite) in origins.repositories.keys() {
            if !allowed.iter().any(|pattern| pattern.matches(uri, suite)) {
                let what = match *suite {
                    "" => format!("the package at {uri} is from no repository that is allowed"),
                    suite => format!("packages are from {uri} {suite}, which is not allowed"),
                };
                let hint = "take them from a repository that is allowed, or have this one allowed";
                self.add("allow_repositories", allowed, what, hint);
            }
        }
    }

    /// Of several keys that signed the same file one is enough.
    fn keys(&mut self, origins: &Origins<'_>) {
        let Some(allowed) = &self.policy.allow_keys else { return };
        let is_allowed = |key: &&str| allowed.iter().any(|own| own.as_str() == *key);
        for ((uri, suite), keys) in origins.repositories.iter().filter(|((_, suite), _)| !suite.is_empty()) {
            if !keys.iter().any(is_allowed) {
                let keys: Vec<&str> = keys.iter().copied().collect();
                let what = format!("no key that is allowed vouches for {uri} {suite}: {}", listed(&keys));
                let hint =
                    "compare that with the fingerprint which the archive publishes, and have it allowed";
                self.add("allow_keys", allowed, what, hint);
            }
        }
    }

    /// Judges packages by their names and versions.
    pub(super) fn packages<'p>(&mut self, packages: impl Iterator<Item = (&'p str, &'p str)>) {
        let Some(denied) = &self.policy.deny_packages else { return };
        for (name, version) in packages {
            if let Some(pattern) = denied.iter().find(|pattern| pattern.matches(name, version)) {
                let what = format!("package {name} {version} is denied by `{}`", pattern.text);
                let hint = "leave it out, take it away with `apt { remove = […] }`, or use another version";
                self.add("deny_packages", denied, what, hint);
            }
        }
    }

    fn network(&mut self, origins: &Origins<'_>) {
        let denied = &self.policy.deny_network;
        for command in origins.commands.iter().filter(|_| denied.value) {
            let what = format!("a command reaches the network: {command}");
            let hint = "give it `--network=none`, and bring what it fetches with ADD, or with packages in a definition";
            self.add("deny_network", denied, what, hint);
        }
    }
}

/// Returns the names by which a pattern may mean an image: with its registry or as people write it, each alone, with its
/// tag and with its digest.
fn names(image: &str) -> Vec<String> {
    let Ok(reference) = image.parse::<Reference>() else { return vec![image.to_owned()] };
    let plain = Reference { tag: None, digest: None, ..reference.clone() };
    let tagged = Reference { digest: None, ..reference.clone() };
    let pinned = Reference { tag: None, ..reference };
    let all = [plain.clone(), tagged, pinned];
    let names = all.iter().flat_map(|name| [name.to_string(), name.familiar()]);
    names.chain([plain.name()]).collect()
}
