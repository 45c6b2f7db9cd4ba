//! The files that parts are handed out as: a package's own, or the manifest of the image that brought it, which pins its
//! every byte.

use std::collections::{BTreeMap, BTreeSet};

use super::super::{Document, Location, Origin, Package};
use super::{BASE, Class, Part, file_reference};
use crate::digest::{Digest, Sha512};

/// A file that something is handed out as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::bom) struct Form<'a> {
    /// What it is.
    pub(in crate::bom) kind: FormKind,
    /// Its name; a manifest's is that in an OCI layout.
    pub(in crate::bom) name: String,
    /// The digest of its bytes.
    pub(in crate::bom) digest: Digest,
    /// Their SHA-512 digest, where it is known.
    pub(in crate::bom) sha512: Option<Sha512>,
    /// Where it is had: an address, or an image's name.
    pub(in crate::bom) address: Option<&'a str>,
}

/// What something is handed out as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::bom) enum FormKind {
    /// An image's manifest.
    Manifest,
    /// A package's archive.
    Package,
}

/// What brings parts that have no file of their own.
pub(super) struct Carriers<'a> {
    image: Option<Form<'a>>,
    base: Option<Form<'a>>,
    /// The archives of packages, by name and architecture, as `jq:amd64`.
    packages: BTreeMap<String, Form<'a>>,
    /// What the files that hold packages belong to, by reference, where a layer of this build has them.
    origins: BTreeMap<String, &'a Origin>,
}

impl<'a> Carriers<'a> {
    pub(super) fn of(document: &'a Document) -> Carriers<'a> {
        let image = document.image.as_ref();
        let base = document.base_image.as_ref();
        Carriers {
            image: image.map(|image| manifest(image.digest, image.sha512, None)),
            base: base.and_then(|base| {
                let digest = base.canonical_name.rsplit_once('@')?.1.parse().ok()?;
                Some(manifest(digest, base.sha512, Some(&base.canonical_name)))
            }),
            packages: archives(document),
            origins: origins(document),
        }
    }

    /// Returns what a part is handed out as: its own file, if it has one. Where no SHA-512 is known of that, what brought
    /// the part stands beside it.
    pub(super) fn forms(&self, part: &Part<'a>) -> Vec<Form<'a>> {
        let (own, carrier) = match part.class {
            Class::Image => (None, self.image.as_ref()),
            Class::Base => (None, self.base.as_ref()),
            Class::Package(_) if part.holder.as_deref() == Some(BASE) => {
                (part.forms.first(), self.base.as_ref())
            }
            Class::Package(_) => (part.forms.first(), self.image.as_ref()),
            Class::Inside { .. } => self.around(part),
            Class::OperatingSystem | Class::File { .. } => (None, None),
        };
        let is_enough = own.is_some_and(|own| own.sha512.is_some());
        own.into_iter().chain(carrier.filter(|_| !is_enough)).cloned().collect()
    }

    /// Returns the package that brought the file around a part, and the image that did: what no layer of this build has is
    /// the base's, if there is one.
    fn around(&self, part: &Part<'a>) -> (Option<&Form<'a>>, Option<&Form<'a>>) {
        match part.holder.as_ref().and_then(|file| self.origins.get(file)) {
            Some(Origin::Package { package }) => (self.packages.get(package), self.image.as_ref()),
            Some(_) => (None, self.image.as_ref()),
            None => (None, self.base.as_ref().or(self.image.as_ref())),
        }
    }
}

fn manifest(digest: Digest, sha512: Option<Sha512>, address: Option<&str>) -> Form<'_> {
    Form { kind: FormKind::Manifest, name: digest.hex(), digest, sha512, address }
}

/// Returns a package's archive.
pub(super) fn archive(location: &Location) -> Form<'_> {
    Form {
        kind: FormKind::Package,
        name: location.name.clone(),
        digest: location.digest,
        sha512: location.sha512,
        address: Some(&location.uri),
    }
}

fn archives(document: &Document) -> BTreeMap<String, Form<'_>> {
    let changes = &document.changeset;
    let added = changes.packages.iter().map(|added| (&added.package, Some(&added.location)));
    let found = changes.found_packages.iter().map(|found| (&found.package, found.location.as_ref()));
    let located = added.chain(found).filter_map(|(package, location)| Some((package, location?)));
    let name = |package: &Package| format!("{}:{}", package.name, package.architecture);
    located.map(|(package, location)| (name(package), archive(location))).collect()
}

/// The highest layer that has a file is the one whose file is seen.
fn origins(document: &Document) -> BTreeMap<String, &Origin> {
    let holding: BTreeSet<&str> = document.components.iter().map(|component| &*component.path).collect();
    let groups = document.layers.iter().filter(|layer| !layer.is_base).flat_map(|layer| &layer.groups);
    let paths = groups.flat_map(|group| group.paths.iter().map(move |path| (&**path, &group.origin)));
    let holders = paths.filter(|(path, _)| holding.contains(path));
    holders.map(|(path, origin)| (file_reference(path), origin)).collect()
}
