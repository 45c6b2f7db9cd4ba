//! What is compared of an account: things by name, each with what it is in a word and further facts.

use std::collections::BTreeMap;

use super::super::{BaseImage, BasePackage, Document, Origin, Package, PackageKind, Voucher};
use crate::debian::Version;

/// Things of a kind, by name.
pub(super) type Things = BTreeMap<String, Facts>;

/// What is known of a thing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Facts {
    /// What it is, shortly: a package's version, a file's digest.
    pub(super) what: String,
    /// The rest.
    pub(super) fields: BTreeMap<&'static str, String>,
    /// Whether `what` is a version in dpkg's order.
    is_version: bool,
}

impl Facts {
    fn new(what: impl Into<String>, fields: impl IntoIterator<Item = (&'static str, String)>) -> Facts {
        let fields = fields.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        Facts { what: what.into(), fields, is_version: false }
    }

    /// Returns the version that it has in dpkg's order.
    pub(super) fn version(&self) -> Option<Version> {
        self.is_version.then(|| Version::parse(&self.what).ok()).flatten()
    }
}

/// Returns the things of a kind that an account tells.
type Read = fn(&Document) -> Things;

/// The kinds, in the order in which they are told.
pub(super) const SECTIONS: [(&str, Read); 10] = [
    ("packages", packages),
    ("opened packages", opened),
    ("files", files),
    ("paths", paths),
    ("licences", licences),
    ("keys", keys),
    ("components", components),
    ("users", users),
    ("withheld", withheld),
    ("incomplete", incomplete),
];

/// Returns what the account is of.
pub(super) fn image(document: &Document) -> BTreeMap<&'static str, String> {
    let image = document.image.as_ref();
    let base = document.base_image.as_ref();
    let of_base = |field: fn(&BaseImage) -> &String| base.map(field).cloned().unwrap_or_default();
    BTreeMap::from([
        ("product name", document.product_name.clone()),
        ("digest", image.map(|image| image.digest.to_string()).unwrap_or_default()),
        ("platform", image.map(|image| image.platform.clone()).unwrap_or_default()),
        ("created", document.created.clone()),
        ("built by", document.built_by.clone()),
        ("base image", of_base(|base| &base.canonical_name)),
        ("base system", base.map(|base| format!("{} {}", base.os, base.version)).unwrap_or_default()),
        ("definition", document.definition.to_string()),
        ("lock", document.lock.to_string()),
        ("dockerfile", {
            let digest = document.dockerfile.as_ref().and_then(|file| file.digest);
            digest.map(|digest| digest.to_string()).unwrap_or_default()
        }),
    ])
}

fn packages(document: &Document) -> Things {
    let changes = &document.changeset;
    let base = document.kept_base_packages().map(|base| (&base.package, "the base", origin_of(base)));
    let added =
        changes.packages.iter().map(|added| (&added.package, "the definition", origin_of(&added.into())));
    let found = changes.found_packages.iter().map(|found| {
        let deb = found.location.as_ref().map(|location| location.digest.to_string()).unwrap_or_default();
        (&found.package, "a command", vec![("deb", deb)])
    });
    let all = base.chain(added).chain(found);
    all.map(|(package, from, further)| {
        let fields = [("from", from.to_owned())].into_iter().chain(of_package(package)).chain(further);
        let facts = Facts::new(package.version.clone(), fields);
        (package_name(package), Facts { is_version: package.kind == PackageKind::Deb, ..facts })
    })
    .collect()
}

fn opened(document: &Document) -> Things {
    let opened = document.changeset.opened_packages.iter().map(|added| {
        let fields = of_package(&added.package).into_iter().chain(origin_of(&added.into()));
        let facts = Facts::new(added.package.version.clone(), fields);
        (package_name(&added.package), Facts { is_version: true, ..facts })
    });
    opened.collect()
}

fn package_name(package: &Package) -> String {
    format!("{}:{}", package.name, package.architecture)
}

fn of_package(package: &Package) -> Vec<(&'static str, String)> {
    let licence = package.licence.as_ref();
    vec![
        ("source", format!("{} {}", package.source_package, package.source_version)),
        ("licence", licence.map(|licence| licence.expression.clone()).unwrap_or_default()),
        ("maintainer", package.maintainer.clone()),
    ]
}

fn origin_of(added: &BasePackage) -> Vec<(&'static str, String)> {
    let voucher = match added.vouched_by {
        Some(Voucher::Definition) => "its digest in the definition".into(),
        Some(Voucher::Context) => "nothing".into(),
        None => added.signed_by.join(" "),
    };
    let git = added.git.as_ref().map(|git| format!("{} {}", git.repository_uri, git.reference));
    let deb = added.location.as_ref().map(|location| location.digest.to_string());
    vec![
        ("deb", deb.unwrap_or_default()),
        ("repository", added.repository.clone()),
        ("vouched for by", voucher),
        ("git", git.unwrap_or_default()),
    ]
}

fn files(document: &Document) -> Things {
    let files = document.files().map(|file| {
        let fields = [
            ("size", file.size.to_string()),
            ("mode", file.mode.clone()),
            ("origin", file.source.in_words().join("; ")),
        ];
        (file.path.clone(), Facts::new(file.digest.to_string(), fields))
    });
    files.collect()
}

/// Returns the paths that neither a package brings nor the account's files tell.
fn paths(document: &Document) -> Things {
    let own = document.layers.iter().filter(|layer| !layer.is_base).flat_map(|layer| &layer.groups);
    own.filter_map(|group| Some((reason(document, &group.origin)?, group)))
        .flat_map(|(reason, group)| {
            let removed =
                group.removed.iter().map(|path| (path, format!("removed: {reason}"))).collect::<Vec<_>>();
            let put = group.paths.iter().map(move |path| (path, reason.clone()));
            put.chain(removed)
        })
        .map(|(path, reason)| (path.clone(), Facts::new(reason, [])))
        .collect()
}

fn reason(document: &Document, origin: &Origin) -> Option<String> {
    match origin {
        Origin::Generated { package, script } => Some(format!("{script} of {package}")),
        Origin::Instruction { index } => Some(
            document.changeset.instructions.get(*index).map_or_else(String::new, |it| it.instruction.clone()),
        ),
        Origin::Symlink => Some("link".into()),
        Origin::Removal => Some("removal".into()),
        Origin::Unaccounted => Some("unaccounted".into()),
        Origin::Package { .. }
        | Origin::Database
        | Origin::File
        | Origin::Directory
        | Origin::User
        | Origin::Builder => None,
    }
}

/// Returns each licence with the number of packages that have it.
fn licences(document: &Document) -> Things {
    let mut licences: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for package in document.installed() {
        let expression = package.licence.as_ref().map_or("none is told", |licence| &licence.expression);
        licences.entry(expression.to_owned()).or_default().push(&package.name);
    }
    let counted = licences.into_iter().map(|(expression, packages)| {
        let plural = if packages.len() == 1 { "" } else { "s" };
        (expression, Facts::new(format!("{} package{plural}", packages.len()), []))
    });
    counted.collect()
}

fn keys(document: &Document) -> Things {
    let keys = document.keys.iter().map(|key| {
        let facts = Facts::new(key.identities.join(", "), [("from", key.from.clone())]);
        (key.fingerprint.clone(), facts)
    });
    keys.collect()
}

fn components(document: &Document) -> Things {
    let mut components: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for component in &document.components {
        let place =
            component.within.iter().fold(component.path.clone(), |place, within| place + " ! " + within);
        components.entry(format!("{} in {place}", component.name)).or_default().push(&component.version);
    }
    components.into_iter().map(|(name, versions)| (name, Facts::new(versions.join(", "), []))).collect()
}

fn users(document: &Document) -> Things {
    let users = document.changeset.users.iter().map(|user| {
        let home = user.home.clone().unwrap_or_default();
        (user.name.clone(), Facts::new(format!("{}:{}", user.uid, user.gid), [("home", home)]))
    });
    users.collect()
}

fn withheld(document: &Document) -> Things {
    document
        .changeset
        .withheld
        .iter()
        .map(|gone| (gone.path.clone(), Facts::new(gone.what.clone(), [])))
        .collect()
}

fn incomplete(document: &Document) -> Things {
    document.incomplete.iter().map(|part| (part.path.clone(), Facts::new(part.why.clone(), []))).collect()
}
