//! The bill of materials: which package, file and key an image is made of, and where each came from.
//!
//! Plain data, grown together with the image: every vertex adds its [`BomDelta`] with [`Bom::then`].
//! Nothing here looks at an image; what is written down was known when it was made.
//! What is published of it is a [`Document`], which all views are made from.

mod base;
mod chain;
mod cyclonedx;
mod diff;
mod document;
mod drawing;
mod each;
mod file;
mod graph;
mod html;
mod instructions;
mod licences;
mod package;
mod parts;
mod paths;
mod shown;
mod spdx;
mod spdx3;
mod view;

pub use base::{BaseImage, BasePackage, OperatingSystem, TakenOver};
pub use diff::{Change, Diff, Field, How, Section, Side};
pub use document::{Changeset, Document, Error as DocumentError, ImageId, Subject};
pub use drawing::svg;
pub use file::{
    ContextFile, DigestedPath, File, FileSource, Git, ImageFile, PackageFile, Step, StepFile, Tarball, Url,
    User, Withheld,
};
pub use graph::Vertex;
pub use html::html;
pub use instructions::{Dockerfile, FoundPackage, Instruction, NamedContext, Repository};
pub use licences::LicenceReport;
pub use package::{
    AddedPackage, Key, Licence, Location, Package, PackageKey, PackageKind, Source, SourceFile, Voucher,
};
pub use paths::{LayerAccount, Origin, PathGroup};
pub use view::{Format, Formats, UnknownFormat, is_view_of};

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
pub use crate::inside::{Component, ComponentKind, Incomplete};

/// The media type, and artifact type, of the YAML view.
pub const YAML_MEDIA_TYPE: &str = "application/vnd.estaleiro.bom.v1+yaml";

/// The account of an image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bom {
    /// The image it stands on.
    pub base_image: Option<BaseImage>,
    /// What its root says that it is, where it stands on no other image.
    pub operating_system: Option<OperatingSystem>,
    /// The packages that were added, by name and architecture.
    pub packages: BTreeMap<PackageKey, AddedPackage>,
    /// The base's packages that are no longer there: upgraded or removed.
    pub replaced: BTreeMap<PackageKey, Package>,
    /// The packages that files were taken from, by the digest of their .deb.
    pub opened: BTreeMap<Digest, AddedPackage>,
    /// What the packages' scripts ran beside and is no part of the image, by name and architecture.
    pub beside: BTreeMap<PackageKey, Package>,
    /// The files that were added one by one, by path.
    pub files: BTreeMap<String, File>,
    /// What packages' scripts generated and was taken out again, by path.
    pub withheld: BTreeMap<String, Withheld>,
    /// The users that were made, by name.
    pub users: BTreeMap<String, User>,
    /// The keys that vouch for the packages, by fingerprint.
    pub keys: BTreeMap<String, Key>,
    /// The packages that commands installed, by name and architecture.
    pub found: BTreeMap<PackageKey, FoundPackage>,
    /// What instructions did, in their order.
    pub instructions: Vec<Instruction>,
    /// What the paths of each layer belong to, in the order of the image's layers.
    pub layers: Vec<LayerAccount>,
    /// The packages that were found inside files.
    pub components: BTreeSet<Component>,
    /// The files that may hold packages and couldn't be read.
    pub incomplete: BTreeSet<Incomplete>,
    /// The texts of licences that have no identifier, by the names that stand for them: `LicenseRef-…`.
    pub licence_texts: BTreeMap<String, String>,
}

/// What one vertex changes in the account.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BomDelta {
    /// The image it stands on, where the vertex begins one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_image: Option<BaseImage>,
    /// What the root says that it is, where the vertex begins one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operating_system: Option<OperatingSystem>,
    /// Packages added, or put in the place of others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub packages: Vec<AddedPackage>,
    /// Packages that files were taken from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub opened_packages: Vec<AddedPackage>,
    /// What packages' scripts ran beside and is no part of the image.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub beside: Vec<Package>,
    /// Packages that went.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removed_packages: Vec<PackageKey>,
    /// Files added.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<File>,
    /// Paths that went, with all below them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removed_paths: Vec<String>,
    /// What packages' scripts generated and was taken out again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub withheld: Vec<Withheld>,
    /// Users made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub users: Vec<User>,
    /// Keys that vouch for what was added.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<Key>,
    /// Packages that a command installed, or put in the place of others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub found_packages: Vec<FoundPackage>,
    /// What an instruction did.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub instructions: Vec<Instruction>,
    /// What the paths of its layer belong to, where it adds one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer: Option<LayerAccount>,
    /// Packages that were found inside its files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub components: Vec<Component>,
    /// Files that may hold packages and couldn't be read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub incomplete: Vec<Incomplete>,
    /// Texts of licences that have no identifier, by the names that stand for them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub licence_texts: BTreeMap<String, String>,
}

impl Bom {
    /// Returns the account after `delta`: what it replaces or removes leaves the account.
    pub fn then(mut self, delta: BomDelta) -> Bom {
        if delta.base_image.is_some() {
            self.base_image = delta.base_image;
        }
        self.operating_system = delta.operating_system.or(self.operating_system);
        for key in delta.removed_packages {
            self.packages.remove(&key);
            self.found.remove(&key);
            self.retire_base_package(&key);
        }
        for package in delta.found_packages {
            let key = package.package.key();
            self.packages.remove(&key);
            self.retire_base_package(&key);
            self.found.insert(key, package);
        }
        for package in delta.packages {
            self.retire_base_package(&package.package.key());
            self.packages.insert(package.package.key(), package);
        }
        self.beside.extend(delta.beside.into_iter().map(|package| (package.key(), package)));
        for path in &delta.removed_paths {
            self.forget_files(path);
            self.withheld.retain(|withheld, _| !is_at_or_below(withheld, path));
            self.forget_seen(|seen| is_at_or_below(seen, path));
        }
        self.withheld.extend(delta.withheld.into_iter().map(|withheld| (withheld.path.clone(), withheld)));
        self.files.extend(delta.files.into_iter().map(|file| (file.path.clone(), file)));
        let opened = delta.opened_packages.into_iter();
        self.opened.extend(opened.map(|package| (package.location.digest, package)));
        self.users.extend(delta.users.into_iter().map(|user| (user.name.clone(), user)));
        self.keys.extend(delta.keys.into_iter().map(|key| (key.fingerprint.clone(), key)));
        let n_instructions = self.instructions.len();
        self.instructions.extend(delta.instructions);
        if let Some(layer) = delta.layer {
            let layer = layer.after_instructions(n_instructions);
            self.forget_what_is_below(&layer);
            self.layers.push(layer);
        }
        self.components.extend(delta.components);
        self.incomplete.extend(delta.incomplete);
        self.licence_texts.extend(delta.licence_texts);
        self.forget_idle();
        self
    }

    fn kept_base_packages(&self) -> impl Iterator<Item = &BasePackage> {
        let base = self.base_image.iter().flat_map(|base| &base.packages);
        base.filter(|base| !self.replaced.contains_key(&base.package.key()))
    }

    fn retire_base_package(&mut self, key: &PackageKey) {
        let Some(base) = &self.base_image else { return };
        let (name, architecture) = key;
        // A package that is for all architectures and one for this machine's take each other's place.
        let is_replaced = |package: &&Package| {
            let both = [&*package.architecture, architecture];
            package.name == *name && (both[0] == both[1] || both.contains(&"all"))
        };
        if let Some(package) = base.packages.iter().map(|base| &base.package).find(is_replaced) {
            self.replaced.insert(package.key(), package.clone());
        }
    }

    /// Forgets the file at `path`, and those below it.
    fn forget_files(&mut self, path: &str) {
        let top = path.trim_end_matches('/');
        let start = format!("{top}/");
        let below = self.files.range(start.clone()..).map(|(file, _)| file);
        let below: Vec<String> = below.take_while(|file| file.starts_with(&start)).cloned().collect();
        for file in below.iter().map(String::as_str).chain([top]) {
            self.files.remove(file);
        }
    }

    /// Forgets what is told of files that `layer` replaces or takes away, and that lower layers brought.
    fn forget_what_is_below(&mut self, layer: &LayerAccount) {
        let has_files = self.base_image.as_ref().is_some_and(|base| !base.files.is_empty());
        if self.components.is_empty() && self.incomplete.is_empty() && !has_files {
            return;
        }
        let replaced: BTreeSet<&str> = layer.paths().collect();
        let removed: BTreeSet<&str> = layer.removed().collect();
        self.forget_seen(|path| {
            let mut above = std::iter::successors(Some(path), |path| Some(path.rsplit_once('/')?.0));
            replaced.contains(path) || above.any(|path| removed.contains(path))
        });
    }

    /// Forgets what was found in files that are gone, and the base's own account of them.
    fn forget_seen(&mut self, is_gone: impl Fn(&str) -> bool) {
        self.components.retain(|component| !is_gone(&component.path));
        self.incomplete.retain(|incomplete| !is_gone(file_of(&incomplete.path)));
        if let Some(base) = &mut self.base_image {
            base.files.retain(|file| !is_gone(&file.path));
        }
    }

    /// Forgets packages that no file is from any more, keys that vouch for nothing, and texts that nothing stands for.
    fn forget_idle(&mut self) {
        let taken = taken_from(self.files.values());
        self.opened.retain(|digest, _| taken.contains(digest));
        if let Some(base) = &mut self.base_image {
            let taken = taken_from(&base.files);
            base.opened_packages.retain(|opened| taken.contains(&opened.location.digest));
        }
        let opened = self.base_image.iter().flat_map(|base| &base.opened_packages);
        let added = || self.packages.values().chain(self.opened.values()).chain(opened.clone());
        let signed = added().map(|added| &added.signed_by);
        let signed = signed.chain(self.kept_base_packages().map(|base| &base.signed_by));
        let in_use: BTreeSet<String> = signed.flatten().cloned().collect();
        let found = self.found.values().map(|found| &found.package);
        let base = self.base_image.iter().flat_map(|base| &base.packages).map(|base| &base.package);
        let packages = added().map(|added| &added.package).chain(found).chain(base);
        let licences = packages.filter_map(|package| package.licence.as_ref());
        let told: BTreeSet<&str> = licences.flat_map(Licence::names).collect();
        self.keys.retain(|fingerprint, _| in_use.contains(fingerprint));
        self.licence_texts.retain(|name, _| told.contains(name.as_str()));
    }
}

/// Returns the digests of the packages that files are from.
fn taken_from<'a>(files: impl IntoIterator<Item = &'a File>) -> BTreeSet<Digest> {
    let packages = files.into_iter().filter_map(|file| file.source.package.as_ref());
    packages.map(|package| package.digest).collect()
}

/// The name of a member may follow that of its file.
fn file_of(path: &str) -> &str {
    path.split_once('!').map_or(path, |(file, _)| file)
}

fn is_at_or_below(path: &str, top: &str) -> bool {
    path.strip_prefix(top).is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || top.ends_with('/'))
}

#[cfg(test)]
mod tests;
