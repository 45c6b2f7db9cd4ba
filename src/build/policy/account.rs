//! What an image holds, and how it is run.

use super::licences::denied_part;
use super::{Judge, Violation, accounted, all, any_matches};
use crate::bom::{AddedPackage, Document, File, Git, Origin, Package};
use crate::build::definition::Policy;
use crate::oci::ContainerConfig;

/// An image as far as policies judge it.
pub struct Image<'a> {
    /// Its account.
    pub document: &'a Document,
    /// Its configuration.
    pub config: &'a ContainerConfig,
    /// The files that hold private keys, of those that were added: absolute paths, sorted.
    pub private_keys: &'a [String],
}

/// Judges what is in an image, and its configuration.
pub fn of_image(policies: &[Policy], image: &Image<'_>) -> Vec<Violation> {
    let document = image.document;
    let installed = document.installed();
    let mut found = all(policies, |judge| {
        judge.packages(installed.iter().map(|package| (package.name.as_str(), package.version.as_str())));
        judge.licences(&installed, document);
        judge.unproven(document);
        judge.sources(document);
        judge.vcs(document);
        judge.user(image.config);
        judge.private_keys(image);
    });
    found.extend(accounted::judge(policies, document));
    found
}

/// Judges an image of which nothing is known but its configuration.
pub fn of_config(policies: &[Policy], config: &ContainerConfig) -> Vec<Violation> {
    all(policies, |judge| judge.user(config))
}

impl Judge<'_> {
    /// Judges packages and components by their licences.
    fn licences(&mut self, installed: &[&Package], document: &Document) {
        for package in installed {
            let what = format!("package {} {}", package.name, package.version);
            match &package.licence {
                Some(licence) => self.licence(&what, &licence.expression),
                None => self.unlicensed(&what),
            }
        }
        for component in &document.components {
            if let Some(licence) = &component.licence {
                self.licence(&format!("{} in {}", component.purl, component.path), licence);
            }
        }
    }

    fn licence(&mut self, what: &str, expression: &str) {
        let Some(denied) = &self.policy.deny_licences else { return };
        if let Some(part) = denied_part(expression, denied) {
            let what = match part == expression {
                true => format!("{what} is under {expression}"),
                false => format!("{what} is under {part}, as part of `{expression}`"),
            };
            let hint = "leave it out, or use something else in its place";
            self.add("deny_licences", denied, what, hint);
        }
    }

    fn unlicensed(&mut self, what: &str) {
        let required = &self.policy.require_licences;
        if required.value {
            let hint = "its copyright file is not machine-readable, or gone: keep /usr/share/doc/*/copyright";
            self.add("require_licences", required, format!("the licence of {what} is not known"), hint);
        }
    }

    fn unproven(&mut self, document: &Document) {
        let denied = &self.policy.deny_unproven;
        let found = document.changeset.found_packages.iter();
        for found in found.filter(|found| denied.value && found.unproven) {
            let package = &found.package;
            let what =
                format!("nothing shows which .deb package {} {} came in", package.name, package.version);
            let hint =
                "let a command leave apt's lists where they are, or name the package in a definition's `apt`";
            self.add("deny_unproven", denied, what, hint);
        }
    }

    fn sources(&mut self, document: &Document) {
        let required = &self.policy.require_sources;
        if !required.value {
            return;
        }
        let changes = &document.changeset;
        let has_none = |package: &&AddedPackage| package.sources.is_empty() && package.git.is_none();
        let added = changes.packages.iter().chain(&changes.opened_packages).filter(has_none);
        let added = added.map(|added| &added.package);
        for package in added.chain(changes.found_packages.iter().map(|found| &found.package)) {
            let what = format!("no source of package {} {} is recorded", package.name, package.version);
            let hint = "give `apt` a deb-src line and leave `sources` at \"record\", or declare its `vcs`";
            self.add("require_sources", required, what, hint);
        }
    }

    fn vcs(&mut self, document: &Document) {
        let changes = &document.changeset;
        for file in &changes.files {
            self.vcs_of_file(file);
        }
        for added in changes.packages.iter().chain(&changes.opened_packages) {
            if let Some(git) = &added.git {
                self.vcs_of(&format!("package {}", added.package.name), git);
            }
        }
    }

    fn vcs_of_file(&mut self, file: &File) {
        let required = &self.policy.require_verified_vcs;
        match (&file.source.git, &file.source.context) {
            (Some(git), _) => self.vcs_of(&file.path, git),
            (None, Some(context)) if context.unversioned && required.value => {
                let why = match context.unversioned_because.as_str() {
                    "" => "it lay in no git checkout",
                    why => why,
                };
                let what = format!("nobody says of which commit {} is: {why}", file.path);
                let hint = "let the context be a git checkout that has the file as it was committed";
                self.add("require_verified_vcs", required, what, hint);
            }
            (None, _) => {}
        }
    }

    fn vcs_of(&mut self, what: &str, git: &Git) {
        let required = &self.policy.require_verified_vcs;
        if !required.value || git.verified {
            return;
        }
        let why = match git.unverified_because.as_str() {
            "" => "there is no checkout to compare it with",
            why => why,
        };
        let Git { repository_uri, reference, .. } = git;
        let what = format!("{what} is declared to be of {repository_uri} at `{reference}`: {why}");
        let hint = "let the context be a checkout of that commit, as it was committed";
        self.add("require_verified_vcs", required, what, hint);
    }

    /// Root is `root`, 0 in any number of digits, or nobody named.
    fn user(&mut self, config: &ContainerConfig) {
        let required = &self.policy.require_non_root;
        let user = config.user.split(':').next().unwrap_or_default();
        let is_root = user == "root" || user.bytes().all(|digit| digit == b'0');
        if required.value && is_root {
            let what = match config.user.as_str() {
                "" => "the image names no user, and so runs as root".to_owned(),
                user => format!("the image runs as root: its user is `{user}`"),
            };
            let hint = "say who it runs as: `run_as` in a definition, USER in a Dockerfile";
            self.add("require_non_root", required, what, hint);
        }
    }

    /// What a package brings is no secret.
    fn private_keys(&mut self, image: &Image<'_>) {
        let Some(allowed) = &self.policy.allow_private_keys else { return };
        for path in image.private_keys {
            if !any_matches(allowed, path) && !is_of_package(image.document, path) {
                let hint =
                    "leave it out, and give it to the container when it runs; or have its path allowed";
                self.add("allow_private_keys", allowed, format!("{path} holds a private key"), hint);
            }
        }
    }
}

/// Whether what stands at a path is as a package brings it: the last layer that has it says so.
fn is_of_package(document: &Document, path: &str) -> bool {
    let groups = document.layers.iter().rev().flat_map(|layer| &layer.groups);
    let mut having = groups.filter(|group| group.paths.iter().any(|own| own == path));
    having.next().is_some_and(|group| matches!(group.origin, Origin::Package { .. }))
}
