//! The account as it is published, and its YAML form (protocol v1), which continues the original's layout.
//!
//! It can be read again without loss: every other view is made from it, at once or years later.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{
    AddedPackage, BaseImage, BasePackage, Bom, Component, Dockerfile, File, FoundPackage, Incomplete,
    Instruction, Key, LayerAccount, OperatingSystem, Package, User, Vertex, Withheld,
};
use crate::digest::{Digest, Sha512};

/// The protocol's name, which changes when a reader of the last one would misunderstand the next.
const PROTOCOL: &str = "v1";

/// What an account is of; it stands on top of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// The label of the definition's `image` block.
    pub product_name: String,
    /// The image's time, RFC 3339.
    pub created: String,
    /// Name and version of the builder.
    pub built_by: String,
    /// The image.
    pub image: ImageId,
    /// The digest of the definition.
    pub definition: Digest,
    /// The content digest of the lock.
    pub lock: Digest,
    /// The Dockerfile, where it is one that was built.
    pub dockerfile: Option<Dockerfile>,
}

/// What tells an image from all others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageId {
    /// The digest of its manifest.
    pub digest: Digest,
    /// The digest of its configuration.
    pub config: Digest,
    /// Whom it is for, as `linux/amd64`.
    pub platform: String,
    /// The SHA-512 digest of its manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha512: Option<Sha512>,
    /// Who answers for it and where more is said of it, as its labels of OCI's own names say: `authors`, `vendor`, `url`
    /// and `source`. Those that it has of its base are the base's.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

impl ImageId {
    /// Returns what is told of an image's labels (OCI image specification, "Pre-Defined Annotation Keys").
    pub fn told(labels: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        let told = ["authors", "vendor", "url", "source"].map(|name| {
            let value = labels.get(&format!("org.opencontainers.image.{name}"))?;
            Some((name.to_owned(), value.clone()))
        });
        told.into_iter().flatten().collect()
    }
}

/// The account of an image, as it is published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    /// The label of the definition's `image` block.
    pub product_name: String,
    /// The protocol of this form.
    pub protocol: String,
    /// The image's time, RFC 3339.
    pub created: String,
    /// Name and version of the builder.
    pub built_by: String,
    /// The image; builders before 0.2 didn't tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageId>,
    /// The digest of the definition.
    pub definition: Digest,
    /// The content digest of the lock.
    pub lock: Digest,
    /// The Dockerfile, where it is one that was built.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dockerfile: Option<Dockerfile>,
    /// The image that it stands on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_image: Option<BaseImage>,
    /// What its root says that it is, where it stands on no other image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operating_system: Option<OperatingSystem>,
    /// What the build added to that, or took away.
    pub changeset: Changeset,
    /// The keys that vouch for packages, by fingerprint.
    pub keys: Vec<Key>,
    /// What the paths of each layer belong to, in the order of the layers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<LayerAccount>,
    /// The packages that were found inside files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub components: Vec<Component>,
    /// The files that may hold packages and couldn't be read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub incomplete: Vec<Incomplete>,
    /// The texts of licences that have no identifier, by the names that stand for them: `LicenseRef-…`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub licence_texts: BTreeMap<String, String>,
    /// The build graph, as far as it leads to the image; each vertex comes after those it names, the last is the image.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub graph: Vec<Vertex>,
}

/// What a build adds to its base, or takes away.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changeset {
    /// The packages that were added, by name and architecture.
    pub packages: Vec<AddedPackage>,
    /// The packages that commands installed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub found_packages: Vec<FoundPackage>,
    /// The base's packages that are no longer there: upgraded or removed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replaced_base_packages: Vec<Package>,
    /// The packages that files were taken from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub opened_packages: Vec<AddedPackage>,
    /// What the packages' scripts ran beside and is no part of the image.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub configured_beside: Vec<Package>,
    /// The files that were added one by one, by path.
    pub files: Vec<File>,
    /// What packages' scripts generated and was taken out again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub withheld: Vec<Withheld>,
    /// The users that were made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub users: Vec<User>,
    /// What instructions did, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub instructions: Vec<Instruction>,
}

/// An account that can't be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It isn't of the form that it should have.
    #[error("cannot read the bill of materials: {0}")]
    Form(String),
    /// It is written in a later protocol than this builder knows.
    #[error(
        "cannot read the bill of materials: its protocol is `{0}`, and this builder knows `{PROTOCOL}`\nhint: use a later builder"
    )]
    Protocol(String),
}

impl Document {
    /// Returns what is published of `bom`, the account of `subject`.
    pub fn new(bom: Bom, subject: Subject) -> Document {
        Document {
            product_name: subject.product_name,
            protocol: PROTOCOL.into(),
            created: subject.created,
            built_by: subject.built_by,
            image: Some(subject.image),
            definition: subject.definition,
            lock: subject.lock,
            dockerfile: subject.dockerfile,
            base_image: bom.base_image,
            operating_system: bom.operating_system,
            changeset: Changeset {
                packages: bom.packages.into_values().collect(),
                found_packages: bom.found.into_values().collect(),
                replaced_base_packages: bom.replaced.into_values().collect(),
                opened_packages: bom.opened.into_values().collect(),
                configured_beside: bom.beside.into_values().collect(),
                files: bom.files.into_values().collect(),
                withheld: bom.withheld.into_values().collect(),
                users: bom.users.into_values().collect(),
                instructions: bom.instructions,
            },
            keys: bom.keys.into_values().collect(),
            layers: bom.layers,
            components: bom.components.into_iter().collect(),
            incomplete: bom.incomplete.into_iter().collect(),
            licence_texts: bom.licence_texts,
            graph: Vec::new(),
        }
    }

    /// Reads a published account.
    ///
    /// # Errors
    /// When it has another form, or is of a later protocol.
    pub fn parse(yaml: &[u8]) -> Result<Document, Error> {
        let options = serde_saphyr::options! { budget: None };
        let document: Document = serde_saphyr::from_slice_with_options(yaml, options)
            .map_err(|error| Error::Form(crate::redact::line(&error.to_string())))?;
        match document.protocol.as_str() {
            PROTOCOL => Ok(document),
            other => Err(Error::Protocol(other.to_owned())),
        }
    }

    /// Returns the YAML form: the same bytes for the same account.
    ///
    /// # Errors
    /// When the account has no YAML form, which is a mistake in its types.
    pub fn to_yaml(&self) -> Result<String, serde_saphyr::ser_error::Error> {
        // An address stands on one line, however long it is.
        let options = serde_saphyr::ser_options! { prefer_block_scalars: false };
        serde_saphyr::to_string_with_options(self, options)
    }

    /// Returns the base's packages that are still there.
    pub(super) fn kept_base_packages(&self) -> impl Iterator<Item = &BasePackage> {
        let replaced: BTreeSet<_> = self.changeset.replaced_base_packages.iter().map(Package::key).collect();
        let base = self.base_image.iter().flat_map(|base| &base.packages);
        base.filter(move |base| !replaced.contains(&base.package.key()))
    }

    /// Returns every file that is told of by itself: those of the base whose account was taken over, and those that came.
    pub(super) fn files(&self) -> impl Iterator<Item = &File> {
        self.base_image.iter().flat_map(|base| &base.files).chain(&self.changeset.files)
    }

    /// Returns every package of the package manager that is in the image: the base's that are still there, and those
    /// that came.
    pub fn installed(&self) -> Vec<&Package> {
        let kept = self.kept_base_packages().map(|base| &base.package);
        let added = self.changeset.packages.iter().map(|added| &added.package);
        let found = self.changeset.found_packages.iter().map(|found| &found.package);
        let mut packages: Vec<&Package> = kept.chain(added).chain(found).collect();
        packages.sort_by_key(|package| (&package.name, &package.architecture));
        packages
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bom::tests::samples::subject;
    use crate::bom::{BomDelta, FileSource, Git, Location, Tarball};

    fn package() -> AddedPackage {
        let name = "a-rather-long-name-of-a-package-that-would-be-folded_1:2.0-1_amd64.deb";
        AddedPackage {
            package: Package {
                name: "tool".into(),
                version: "1:2.0-1".into(),
                source_package: "tools".into(),
                source_version: "2.0".into(),
                architecture: "amd64".into(),
                ..Package::default()
            },
            location: Location {
                uri: format!("https://archive.example/pool/{name}"),
                digest: Digest::of("deb"),
                name: name.into(),
                size: 3,
                sha512: None,
            },
            repository: "https://archive.example stable".into(),
            signed_by: vec!["AA".into()],
            without_essential: false,
            vouched_by: None,
            git: None,
            sources: vec![],
            built_using: vec![],
        }
    }

    fn file() -> File {
        let git = Git {
            repository_uri: "https://git.example/app".into(),
            reference: "49b6936".into(),
            ..Git::default()
        };
        let tarball = Tarball { name: "app.tgz".into(), digest: Digest::of("tgz"), member: "bin/app".into() };
        File {
            path: "/usr/bin/app".into(),
            digest: Digest::of("app"),
            size: 3,
            mode: "0755".into(),
            source: FileSource {
                git: Some(Box::new(git)),
                tarball: Some(Box::new(tarball)),
                ..FileSource::default()
            },
        }
    }

    #[test]
    fn what_was_written_is_read_again_without_loss() {
        let delta = BomDelta { packages: vec![package()], files: vec![file()], ..BomDelta::default() };
        let document = Document::new(Bom::default().then(delta), subject());
        assert_eq!(Document::parse(document.to_yaml().unwrap().as_bytes()).unwrap(), document);
    }

    #[test]
    fn a_later_protocol_is_not_misread() {
        let document = Document::new(Bom::default(), subject());
        let later = document.to_yaml().unwrap().replace("protocol: v1", "protocol: v2");
        let error = Document::parse(later.as_bytes()).unwrap_err().to_string();
        assert!(error.contains("its protocol is `v2`, and this builder knows `v1`"), "{error}");
    }

    #[test]
    fn the_view_continues_the_originals_names() {
        let identities = vec!["Ann <a@archive.example>".into()];
        let key = Key { fingerprint: "AA".into(), identities, from: "k".into() };
        let delta = BomDelta {
            packages: vec![package()],
            files: vec![file()],
            keys: vec![key],
            ..BomDelta::default()
        };
        let yaml = Document::new(Bom::default().then(delta), subject()).to_yaml().unwrap();
        insta::assert_snapshot!(yaml, @r#"
        product_name: example/app
        protocol: v1
        created: "1970-01-01T00:00:00Z"
        built_by: estaleiro 0
        image:
          digest: sha256:05b3abf2579a5eb66403cd78be557fd860633a1fe2103c7642030defe32c657f
          config: sha256:b79606fb3afea5bd1609ed40b622142f1c98125abcfe89a76a661b0e8e343910
          platform: linux/amd64
        definition: sha256:4c4ed1afbfdaa1e4c3bf7bbb82d730cecb7e384da91eea4f3cc093fd545524d6
        lock: sha256:0c030586945fe504b604ecc2e875c38ede400cd5cd73da9730302162e6b02c6f
        changeset:
          packages:
          - name: tool
            version: 1:2.0-1
            source_package: tools
            source_version: "2.0"
            architecture: amd64
            location:
              uri: https://archive.example/pool/a-rather-long-name-of-a-package-that-would-be-folded_1:2.0-1_amd64.deb
              digest: sha256:9cfa1468c93fc18652e34a000f0c6614b0fa18f6f4887477ad9b0d36ca6a7eaa
              name: a-rather-long-name-of-a-package-that-would-be-folded_1:2.0-1_amd64.deb
              size: 3
            repository: https://archive.example stable
            signed_by:
            - AA
          files:
          - path: /usr/bin/app
            digest: sha256:a172cedcae47474b615c54d510a5d84a8dea3032e958587430b413538be3f333
            size: 3
            mode: "0755"
            source:
              git:
                repository_uri: https://git.example/app
                ref: 49b6936
              tarball:
                name: app.tgz
                digest: sha256:407f3ae627dafcf01abdcc6632da77b6a2ab73d22077e5c494a90c66329b5fb9
                member: bin/app
        keys:
        - fingerprint: AA
          identities:
          - Ann <a@archive.example>
          from: k
        "#);
    }
}
