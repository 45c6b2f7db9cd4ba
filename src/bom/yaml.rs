//! The YAML view of a bill of materials (protocol v1), which continues the original's layout.

use serde::Serialize;

use super::{
    AddedPackage, BaseImage, Bom, Dockerfile, File, FoundPackage, Instruction, Key, Package, User, Withheld,
};

/// The protocol's name, which changes when a reader of the last one would misunderstand the next.
const PROTOCOL: &str = "v1";

/// What the account is of; it stands on top of every view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// The label of the definition's `image` block.
    pub product_name: String,
    /// The image's time, RFC 3339.
    pub created: String,
    /// Name and version of the builder.
    pub built_by: String,
    /// The digest of the definition.
    pub definition: crate::digest::Digest,
    /// The content digest of the lock.
    pub lock: crate::digest::Digest,
    /// The Dockerfile, where it is one that was built.
    pub dockerfile: Option<Dockerfile>,
}

#[derive(Serialize)]
struct Document<'a> {
    product_name: &'a str,
    protocol: &'static str,
    created: &'a str,
    built_by: &'a str,
    definition: String,
    lock: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    dockerfile: Option<&'a Dockerfile>,
    #[serde(skip_serializing_if = "Option::is_none")]
    base_image: Option<&'a BaseImage>,
    changeset: Changeset<'a>,
    keys: Vec<&'a Key>,
}

#[derive(Serialize)]
struct Changeset<'a> {
    packages: Vec<&'a AddedPackage>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    found_packages: Vec<&'a FoundPackage>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    replaced_base_packages: Vec<&'a Package>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    opened_packages: Vec<&'a AddedPackage>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    configured_beside: Vec<&'a Package>,
    files: Vec<&'a File>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    withheld: Vec<&'a Withheld>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    users: Vec<&'a User>,
    #[serde(skip_serializing_if = "<[Instruction]>::is_empty")]
    instructions: &'a [Instruction],
}

impl Bom {
    /// Returns the YAML view: the same bytes for the same account.
    ///
    /// # Errors
    /// When the account has no YAML form, which is a mistake in its types.
    pub fn to_yaml(&self, subject: &Subject) -> Result<String, serde_saphyr::ser_error::Error> {
        // An address stands on one line, however long it is.
        let options = serde_saphyr::ser_options! { prefer_block_scalars: false };
        let document = Document {
            product_name: &subject.product_name,
            protocol: PROTOCOL,
            created: &subject.created,
            built_by: &subject.built_by,
            definition: subject.definition.to_string(),
            lock: subject.lock.to_string(),
            dockerfile: subject.dockerfile.as_ref(),
            base_image: self.base_image.as_ref(),
            changeset: Changeset {
                packages: self.packages.values().collect(),
                found_packages: self.found.values().collect(),
                replaced_base_packages: self.replaced.values().collect(),
                opened_packages: self.opened.values().collect(),
                configured_beside: self.beside.values().collect(),
                files: self.files.values().collect(),
                withheld: self.withheld.values().collect(),
                users: self.users.values().collect(),
                instructions: &self.instructions,
            },
            keys: self.keys.values().collect(),
        };
        serde_saphyr::to_string_with_options(&document, options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bom::{BomDelta, FileSource, Git, Location, Tarball};
    use crate::digest::Digest;

    fn subject() -> Subject {
        Subject {
            product_name: "example/app".into(),
            created: "1970-01-01T00:00:00Z".into(),
            built_by: "estaleiro 0".into(),
            definition: Digest::of("definition"),
            lock: Digest::of("lock"),
            dockerfile: None,
        }
    }

    fn package() -> AddedPackage {
        let name = "a-rather-long-name-of-a-package-that-would-be-folded_1:2.0-1_amd64.deb";
        AddedPackage {
            package: Package {
                name: "tool".into(),
                version: "1:2.0-1".into(),
                source_package: "tools".into(),
                source_version: "2.0".into(),
                architecture: "amd64".into(),
            },
            location: Location {
                uri: format!("https://archive.example/pool/{name}"),
                digest: Digest::of("deb"),
                name: name.into(),
                size: 3,
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
        let git = Git { repository_uri: "https://git.example/app".into(), reference: "49b6936".into() };
        let tarball = Tarball { name: "app.tgz".into(), digest: Digest::of("tgz"), member: "bin/app".into() };
        File {
            path: "/usr/bin/app".into(),
            digest: Digest::of("app"),
            size: 3,
            mode: "0755".into(),
            source: FileSource { git: Some(git), tarball: Some(tarball), ..FileSource::default() },
        }
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
        let yaml = Bom::default().then(delta).to_yaml(&subject()).unwrap();
        insta::assert_snapshot!(yaml, @r#"
        product_name: example/app
        protocol: v1
        created: "1970-01-01T00:00:00Z"
        built_by: estaleiro 0
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
