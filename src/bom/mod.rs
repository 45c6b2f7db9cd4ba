//! The bill of materials: which package, file and key an image is made of, and where each came from.
//!
//! Plain data, grown together with the image: every vertex adds its [`BomDelta`] with [`Bom::then`].
//! Nothing here looks at an image; what is written down was known when it was made.

mod instructions;
mod yaml;

pub use instructions::{Dockerfile, FoundPackage, Instruction, NamedContext, Repository};
pub use yaml::Subject;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::digest::Digest;

/// The media type, and artifact type, of the YAML view.
pub const YAML_MEDIA_TYPE: &str = "application/vnd.estaleiro.bom.v1+yaml";

/// A package by what there is one of in a root: its name and architecture.
pub type PackageKey = (String, String);

/// The account of an image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bom {
    /// The image it stands on.
    pub base_image: Option<BaseImage>,
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
}

/// What one vertex changes in the account.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BomDelta {
    /// The image it stands on, where the vertex begins one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_image: Option<BaseImage>,
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
}

/// The image that another stands on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaseImage {
    /// Its full name with its digest.
    pub canonical_name: String,
    /// `ID` of its os-release.
    pub os: String,
    /// `VERSION_ID` of its os-release.
    pub version: String,
    /// `VERSION_CODENAME` of its os-release.
    pub codename: String,
    /// Its packages, as its dpkg database has them.
    pub packages: Vec<Package>,
    /// What they were built from, where that is recorded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<Source>,
}

/// An installed package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The source package it was built from.
    pub source_package: String,
    /// That one's version.
    pub source_version: String,
    /// Its architecture, or `all`.
    pub architecture: String,
}

/// A package that this build added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddedPackage {
    /// What was installed.
    #[serde(flatten)]
    pub package: Package,
    /// The .deb it came in.
    pub location: Location,
    /// The repository that lists it: URI and suite; empty of one that came as a file.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub repository: String,
    /// Fingerprints of the keys that signed the repository's Release file.
    pub signed_by: Vec<String>,
    /// Whether the Essential packages, which it may use without saying so, are no part of the image; its files are there,
    /// and what its scripts made beside them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub without_essential: bool,
    /// What vouches for one that came as a file, for no archive does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vouched_by: Option<Voucher>,
    /// The repository and commit that it was made from, as declared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git: Option<Git>,
    /// Its source files, where they are recorded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<SourceFile>,
    /// Other sources that parts of it were built from, where they are recorded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub built_using: Vec<Source>,
}

/// What vouches for a package that no archive signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Voucher {
    /// Its digest stands in the definition.
    Definition,
    /// Nothing but that it lay in the build's context.
    Context,
}

/// A source package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Its name.
    pub source_package: String,
    /// Its version.
    pub source_version: String,
    /// Its files; none where they can't be had.
    pub sources: Vec<SourceFile>,
}

/// Where a .deb lies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Location {
    /// Its address in the archive.
    pub uri: String,
    /// The digest of its bytes.
    pub digest: Digest,
    /// Its file name.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
}

/// A file of a source package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceFile {
    /// Its address in the archive.
    pub uri: String,
    /// The digest of its bytes.
    pub digest: Digest,
    /// Its file name.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
}

/// A key that vouches for a repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// The primary key's fingerprint, in upper-case hexadecimal digits.
    pub fingerprint: String,
    /// Whose it is, in its own words.
    pub identities: Vec<String>,
    /// Where it was found: a key block's name, a keyring's path.
    pub from: String,
}

/// A file that this build added by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// Its path in the image.
    pub path: String,
    /// The digest of its bytes.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// Its permissions, in octal digits.
    pub mode: String,
    /// Where it came from.
    pub source: FileSource,
}

/// Something that a package's script generated and no image may hold: a private key, a secret, a machine's identity.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Withheld {
    /// Its path in the image, where it no longer is.
    pub path: String,
    /// What it was.
    pub what: String,
}

/// A user that this build made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Its name.
    pub name: String,
    /// Its number.
    pub uid: u32,
    /// Its primary group's number.
    pub gid: u32,
    /// Its home directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub home: Option<String>,
}

/// Where a file came from: what it was taken out of, and what that was made from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileSource {
    /// The repository and commit it was made from, as declared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git: Option<Git>,
    /// The address it was fetched from, as declared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<Url>,
    /// The tarball it was taken out of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tarball: Option<Tarball>,
    /// The package it was taken out of, which isn't installed for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package: Option<PackageFile>,
    /// Its path in the build's context.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<ContextFile>,
    /// The image that it was taken out of, or the stage of the Dockerfile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageFile>,
    /// Whether its text stands in the Dockerfile.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dockerfile: bool,
    /// The step that it was taken out of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<StepFile>,
}

/// A git commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Git {
    /// The repository.
    pub repository_uri: String,
    /// The commit.
    #[serde(rename = "ref")]
    pub reference: String,
}

/// An address with the digest of what lies there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Url {
    /// The address.
    pub uri: String,
    /// The digest of its bytes.
    pub digest: Digest,
}

/// A member of a tarball.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tarball {
    /// The tarball's path in the context.
    pub name: String,
    /// The digest of the tarball.
    pub digest: Digest,
    /// The member's path in the tarball.
    pub member: String,
}

/// A file of a package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackageFile {
    /// The package's name; who vouches for it stands under `opened_packages`.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Where its .deb lies.
    pub uri: String,
    /// The digest of the .deb.
    pub digest: Digest,
    /// The file's path in the package.
    pub member: String,
}

/// A file of the build's context.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContextFile {
    /// Its path in the context.
    pub path: String,
    /// The context's name, where it isn't the build's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whether nobody said which commit it belongs to.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unversioned: bool,
}

/// A file of another image, or of a stage of the Dockerfile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageFile {
    /// The image's name with its digest, or the stage's.
    pub name: String,
    /// The file's path in it.
    pub path: String,
}

/// A file that a step of the definition made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepFile {
    /// How the step is built.
    #[serde(flatten)]
    pub step: Step,
    /// The file's path in it.
    pub path: String,
}

/// A stage of a Dockerfile, as a definition's step names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The step's name.
    pub name: String,
    /// The Dockerfile.
    pub dockerfile: DigestedPath,
    /// The stage: its name, or its number where it has none.
    pub target: String,
    /// The arguments that it was given; of those that seem to be secret, only `***`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub args: BTreeMap<String, String>,
    /// The images that its stages are built upon or take files from: names with digests, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<String>,
    /// What its stages read of the context: its directory, and one digest over all of that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<DigestedPath>,
}

/// A path in the build's context, and the digest of what is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DigestedPath {
    /// The path.
    pub path: String,
    /// The digest.
    pub digest: Digest,
}

impl Package {
    /// Returns what there is one of in a root.
    pub fn key(&self) -> PackageKey {
        (self.name.clone(), self.architecture.clone())
    }
}

impl Bom {
    /// Returns the account after `delta`: what it replaces or removes leaves the account.
    pub fn then(mut self, delta: BomDelta) -> Bom {
        if delta.base_image.is_some() {
            self.base_image = delta.base_image;
        }
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
        }
        self.withheld.extend(delta.withheld.into_iter().map(|withheld| (withheld.path.clone(), withheld)));
        self.files.extend(delta.files.into_iter().map(|file| (file.path.clone(), file)));
        let opened = delta.opened_packages.into_iter();
        self.opened.extend(opened.map(|package| (package.location.digest, package)));
        self.users.extend(delta.users.into_iter().map(|user| (user.name.clone(), user)));
        self.keys.extend(delta.keys.into_iter().map(|key| (key.fingerprint.clone(), key)));
        self.instructions.extend(delta.instructions);
        self.forget_idle();
        self
    }

    /// Returns every package that is installed: the base's that are still there, and the added ones.
    pub fn installed(&self) -> Vec<&Package> {
        let base = self.base_image.iter().flat_map(|base| &base.packages);
        let kept = base.filter(|package| !self.replaced.contains_key(&package.key()));
        let added = self.packages.values().map(|added| &added.package);
        let found = self.found.values().map(|found| &found.package);
        let mut packages: Vec<&Package> = kept.chain(added).chain(found).collect();
        packages.sort_by_key(|package| (&package.name, &package.architecture));
        packages
    }

    fn retire_base_package(&mut self, key: &PackageKey) {
        let Some(base) = &self.base_image else { return };
        let (name, architecture) = key;
        // A package that is for all architectures and one for this machine's take each other's place.
        let is_replaced = |package: &&Package| {
            let both = [&*package.architecture, architecture];
            package.name == *name && (both[0] == both[1] || both.contains(&"all"))
        };
        if let Some(package) = base.packages.iter().find(is_replaced) {
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

    /// Forgets packages that no file is from any more, and keys that vouch for nothing.
    fn forget_idle(&mut self) {
        let taken = self.files.values().filter_map(|file| file.source.package.as_ref());
        let taken: BTreeSet<Digest> = taken.map(|package| package.digest).collect();
        self.opened.retain(|digest, _| taken.contains(digest));
        let packages = self.packages.values().chain(self.opened.values());
        let in_use: BTreeSet<&String> = packages.flat_map(|package| &package.signed_by).collect();
        self.keys.retain(|fingerprint, _| in_use.contains(fingerprint));
    }
}

fn is_at_or_below(path: &str, top: &str) -> bool {
    path.strip_prefix(top).is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || top.ends_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, version: &str) -> Package {
        Package {
            name: name.into(),
            version: version.into(),
            source_package: name.into(),
            source_version: version.into(),
            architecture: "amd64".into(),
        }
    }

    fn added(name: &str, version: &str, signed_by: &str) -> AddedPackage {
        AddedPackage {
            package: package(name, version),
            location: Location {
                uri: format!("https://archive.example/{name}.deb"),
                digest: Digest::of(name),
                name: format!("{name}.deb"),
                size: 1,
            },
            repository: "https://archive.example stable".into(),
            signed_by: vec![signed_by.into()],
            without_essential: false,
            vouched_by: None,
            git: None,
            sources: Vec::new(),
            built_using: Vec::new(),
        }
    }

    fn key(fingerprint: &str) -> Key {
        Key { fingerprint: fingerprint.into(), identities: Vec::new(), from: "k".into() }
    }

    fn based_on(packages: Vec<Package>) -> Bom {
        let base = BaseImage {
            canonical_name: "registry.example/base".into(),
            os: "debian".into(),
            version: "12".into(),
            codename: "bookworm".into(),
            packages,
            sources: Vec::new(),
        };
        Bom::default().then(BomDelta { base_image: Some(base), ..BomDelta::default() })
    }

    fn versions(bom: &Bom) -> Vec<&str> {
        bom.installed().iter().map(|package| package.version.as_str()).collect()
    }

    #[test]
    fn an_upgraded_base_package_leaves_the_account() {
        let bom = based_on(vec![package("jq", "1"), package("zlib", "1")]);
        let bom = bom.then(BomDelta { packages: vec![added("jq", "2", "AA")], ..BomDelta::default() });
        assert_eq!(versions(&bom), ["2", "1"]);
        assert_eq!(bom.replaced.values().next().unwrap().version, "1");
    }

    #[test]
    fn a_package_for_all_architectures_may_become_one_for_this() {
        let general = Package { architecture: "all".into(), ..package("jq", "1") };
        let bom = based_on(vec![general]);
        let bom = bom.then(BomDelta { packages: vec![added("jq", "2", "AA")], ..BomDelta::default() });
        assert_eq!(versions(&bom), ["2"]);
    }

    #[test]
    fn a_removed_package_leaves_the_account_and_so_does_its_key() {
        let install =
            BomDelta { packages: vec![added("jq", "2", "AA")], keys: vec![key("AA")], ..BomDelta::default() };
        let bom = based_on(Vec::new()).then(install);
        assert_eq!(bom.keys.len(), 1);
        let gone = BomDelta { removed_packages: vec![("jq".into(), "amd64".into())], ..BomDelta::default() };
        let bom = bom.then(gone);
        assert!(bom.packages.is_empty() && bom.keys.is_empty());
    }

    #[test]
    fn a_package_that_files_were_taken_from_stays_as_long_as_one_of_them() {
        let package = added("tools", "1", "AA");
        let taken = PackageFile {
            name: "tools".into(),
            version: "1".into(),
            uri: package.location.uri.clone(),
            digest: package.location.digest,
            member: "usr/bin/tool".into(),
        };
        let file = |path: &str| File {
            path: path.into(),
            digest: Digest::of(path),
            size: 1,
            mode: "0755".into(),
            source: FileSource { package: Some(taken.clone()), ..FileSource::default() },
        };
        let bom = Bom::default().then(BomDelta {
            files: vec![file("/a"), file("/b")],
            opened_packages: vec![package],
            keys: vec![key("AA")],
            ..BomDelta::default()
        });
        let without = |bom: Bom, path: &str| {
            bom.then(BomDelta { removed_paths: vec![path.into()], ..BomDelta::default() })
        };
        let bom = without(bom, "/a");
        assert_eq!((bom.opened.len(), bom.keys.len()), (1, 1));
        let bom = without(bom, "/b");
        assert_eq!((bom.opened.len(), bom.keys.len()), (0, 0));
    }

    #[test]
    fn what_was_withheld_is_told_until_something_else_is_put_there() {
        let key = Withheld { path: "/etc/key".into(), what: "a private key".into() };
        let bom = Bom::default().then(BomDelta { withheld: vec![key], ..BomDelta::default() });
        assert_eq!(bom.withheld.len(), 1);
        let bom = bom.then(BomDelta { removed_paths: vec!["/etc/key".into()], ..BomDelta::default() });
        assert!(bom.withheld.is_empty());
    }

    #[test]
    fn a_removed_directory_takes_its_files_along() {
        let file = |path: &str| File {
            path: path.into(),
            digest: Digest::of(""),
            size: 0,
            mode: "0644".into(),
            source: FileSource::default(),
        };
        let bom =
            Bom::default().then(BomDelta { files: vec![file("/a/b"), file("/ab")], ..BomDelta::default() });
        let bom = bom.then(BomDelta { removed_paths: vec!["/a".into()], ..BomDelta::default() });
        assert_eq!(bom.files.keys().collect::<Vec<_>>(), ["/ab"]);
    }
}
