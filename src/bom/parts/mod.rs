//! What an account lists, as one flat list of parts: the operating system, the base, packages, files, and the packages
//! inside files. The views of others' formats are made of it; it knows none of them.

mod depends;
mod form;
mod name;
mod remarks;
mod said;
mod terms;
mod url;

pub(super) use form::{Form, FormKind};
pub(super) use name::{Supplier, reference};
pub(super) use remarks::Remark;
pub(super) use terms::{Terms, Texts, own_names};
pub(super) use url::is_address;

use std::collections::{BTreeMap, BTreeSet};

use super::{
    AddedPackage, BaseImage, BasePackage, Component, ComponentKind, Document, File, FoundPackage, Location,
    Package, PackageKind, SourceFile, file_of,
};
use crate::digest::Digest;

/// What an image is made of.
pub(super) struct Inventory<'a> {
    /// The image itself.
    pub(super) image: Part<'a>,
    /// Its parts, in an order that the account alone decides.
    pub(super) parts: Vec<Part<'a>>,
    /// The texts of the licences that have no identifier.
    pub(super) texts: Texts<'a>,
}

/// A part of an image.
#[derive(Default)]
pub(super) struct Part<'a> {
    /// What others call it in the same view: letters, digits, dots and dashes.
    pub(super) reference: String,
    /// What it is.
    pub(super) class: Class,
    /// Its name.
    pub(super) name: &'a str,
    /// Its version; empty where there is none.
    pub(super) version: String,
    /// Its package URL.
    pub(super) purl: Option<String>,
    /// Who supplies it.
    pub(super) supplier: Option<Supplier>,
    /// Under which terms it may be used, where that is stated.
    pub(super) terms: Option<Terms<'a>>,
    /// The digest of the bytes that it came as.
    pub(super) digest: Option<Digest>,
    /// The files that it is handed out as, or in.
    pub(super) forms: Vec<Form<'a>>,
    /// The name of the file that it came as.
    pub(super) file_name: &'a str,
    /// Where that was had.
    pub(super) address: Option<&'a str>,
    /// Where its project lives.
    pub(super) homepage: &'a str,
    /// The repository and commit that it was made from.
    pub(super) commit: Option<(&'a str, &'a str)>,
    /// Name and version of the source package that it was built from.
    pub(super) source: Option<(&'a str, &'a str)>,
    /// That one's files.
    pub(super) source_files: Vec<&'a SourceFile>,
    /// The reference of the part that holds it; without one it is the image's own.
    pub(super) holder: Option<String>,
    /// References of the parts that it needs; nothing where that isn't known.
    pub(super) needs: Option<BTreeSet<String>>,
    /// Whether it may hold more than is told.
    pub(super) is_incomplete: bool,
    /// What else the account knows of it.
    pub(super) remarks: Vec<Remark>,
}

/// What a root says that it is.
#[derive(Clone, Copy)]
pub(super) struct Release<'a> {
    id: &'a str,
    version: &'a str,
    codename: &'a str,
}

/// What a part is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Class {
    /// The image.
    #[default]
    Image,
    /// What its root says that it is.
    OperatingSystem,
    /// The image that it stands on.
    Base,
    /// A package of its package manager.
    Package(PackageKind),
    /// A file.
    File {
        /// Whether it can be run.
        is_executable: bool,
    },
    /// A package inside a file.
    Inside {
        /// Which ecosystem it comes from.
        kind: ComponentKind,
        /// Whether it is what the file itself is.
        is_main: bool,
    },
}

impl<'a> Inventory<'a> {
    /// Lists what `document` tells of.
    pub(super) fn of(document: &'a Document) -> Inventory<'a> {
        let maker = Maker { document, texts: Texts::of(document) };
        maker.inventory()
    }

    /// Returns the references of the parts that `holder` holds; those of the image itself for nothing.
    pub(super) fn held_by(&self) -> BTreeMap<Option<&str>, Vec<&Part<'a>>> {
        let mut held: BTreeMap<Option<&str>, Vec<&Part<'a>>> = BTreeMap::new();
        for part in &self.parts {
            held.entry(part.holder.as_deref()).or_default().push(part);
        }
        held
    }
}

/// Makes the parts of an account.
struct Maker<'a> {
    document: &'a Document,
    texts: Texts<'a>,
}

/// The packages of one place, and the part that holds them.
const OPERATING_SYSTEM: &str = "operating-system";
const BASE: &str = "base-image";

impl<'a> Maker<'a> {
    fn inventory(mut self) -> Inventory<'a> {
        let mut parts: Vec<Part<'a>> = self.operating_system().into_iter().chain(self.base()).collect();
        let packages = self.packages();
        let needs = depends::needs(&packages);
        parts.extend(packages.into_iter().zip(needs).map(|((_, part), needs)| Part { needs, ..part }));
        parts.extend(self.files());
        let inside = self.inside();
        parts.extend(self.holders(&parts, &inside));
        parts.extend(inside);
        let carriers = form::Carriers::of(self.document);
        for part in &mut parts {
            part.is_incomplete = self.is_incomplete(part);
            part.forms = carriers.forms(part);
        }
        let image = self.image();
        Inventory { image: Part { forms: carriers.forms(&image), ..image }, parts, texts: self.texts }
    }

    fn image(&self) -> Part<'a> {
        let document = self.document;
        Part {
            reference: "image".into(),
            class: Class::Image,
            name: &document.product_name,
            version: document.image.as_ref().map_or(document.lock, |image| image.digest).to_string(),
            purl: url::image(document),
            supplier: self.maker(),
            digest: document.image.as_ref().map(|image| image.digest),
            is_incomplete: !document.incomplete.is_empty(),
            remarks: remarks::of_image(document),
            ..Part::default()
        }
    }

    /// Returns who answers for the image.
    fn maker(&self) -> Option<Supplier> {
        let (name, image) = (&self.document.product_name, self.document.image.as_ref());
        image.map_or_else(|| Supplier::of_image(name), |image| Supplier::of_product(name, &image.labels))
    }

    fn operating_system(&self) -> Option<Part<'a>> {
        let system = Release::of(self.document)?;
        Some(Part {
            reference: OPERATING_SYSTEM.into(),
            class: Class::OperatingSystem,
            name: system.id,
            version: system.name_of_version().to_owned(),
            supplier: Supplier::named(system.id),
            ..Part::default()
        })
    }

    fn base(&self) -> Option<Part<'a>> {
        let base = self.document.base_image.as_ref()?;
        let (name, digest) = base.canonical_name.rsplit_once('@').unwrap_or((&base.canonical_name, ""));
        Some(Part {
            reference: BASE.into(),
            class: Class::Base,
            name,
            version: digest.to_owned(),
            purl: url::base(name, digest),
            supplier: Supplier::of_product(name, &base.labels),
            digest: digest.parse().ok(),
            remarks: remarks::of_base(self.document),
            ..Part::default()
        })
    }

    fn packages(&mut self) -> Vec<(&'a Package, Part<'a>)> {
        let document = self.document;
        let mut packages = Vec::new();
        if let Some(base) = &document.base_image {
            let kept = document.kept_base_packages();
            packages.extend(kept.map(|package| (&package.package, self.base_package(package, base))));
        }
        let changes = &document.changeset;
        packages.extend(changes.packages.iter().map(|added| (&added.package, self.added(added))));
        packages.extend(changes.found_packages.iter().map(|found| (&found.package, self.found(found))));
        packages.sort_by(|(a, _), (b, _)| (&a.name, &a.architecture).cmp(&(&b.name, &b.architecture)));
        packages
    }

    fn package(&mut self, package: &'a Package) -> Part<'a> {
        let system = Release::of(self.document);
        let original = format!("{}-{}", package.name, package.architecture);
        Part {
            reference: name::reference("package", &original, &package.version),
            class: Class::Package(package.kind),
            name: &package.name,
            version: package.version.clone(),
            purl: url::package(package, system),
            supplier: Supplier::of_package(package)
                .or_else(|| Supplier::named(system.map_or("", |system| system.id)))
                .map(|supplier| supplier.at(&package.homepage)),
            terms: package.licence.as_ref().map(Terms::of),
            homepage: &package.homepage,
            source: Some((&package.source_package, &package.source_version)),
            ..Part::default()
        }
    }

    fn base_package(&mut self, package: &'a BasePackage, base: &'a BaseImage) -> Part<'a> {
        let is_its = |source: &&super::Source| source.key() == package.package.source();
        let source_files = base.sources.iter().find(is_its).map(|source| source.sources.iter().collect());
        let part = Part {
            holder: Some(BASE.into()),
            commit: package.git.as_ref().map(|git| (&*git.repository_uri, &*git.reference)),
            source_files: source_files.unwrap_or_default(),
            remarks: remarks::of_base_package(package),
            ..self.package(&package.package)
        };
        match &package.location {
            Some(location) => came_as(part, location),
            None => part,
        }
    }

    fn added(&mut self, added: &'a AddedPackage) -> Part<'a> {
        let part = Part {
            commit: added.git.as_ref().map(|git| (&*git.repository_uri, &*git.reference)),
            source_files: added.sources.iter().collect(),
            remarks: remarks::of_added(added),
            ..self.package(&added.package)
        };
        came_as(part, &added.location)
    }

    fn found(&mut self, found: &'a FoundPackage) -> Part<'a> {
        let part = Part { remarks: remarks::of_found(found), ..self.package(&found.package) };
        match &found.location {
            Some(location) => came_as(part, location),
            None => part,
        }
    }

    fn files(&self) -> Vec<Part<'a>> {
        let of_base = self.document.base_image.iter().flat_map(|base| &base.files);
        let of_base = of_base.map(|file| Part { holder: Some(BASE.into()), ..self.file(file) });
        of_base.chain(self.document.changeset.files.iter().map(|file| self.file(file))).collect()
    }

    fn file(&self, file: &'a File) -> Part<'a> {
        let source = &file.source;
        let origin = source.git.as_ref().map(|git| &git.repository_uri);
        let origin = origin.or(source.url.as_ref().map(|url| &url.uri));
        let mode = u32::from_str_radix(&file.mode, 8).unwrap_or(0);
        Part {
            reference: file_reference(&file.path),
            class: Class::File { is_executable: mode & 0o111 != 0 },
            name: &file.path,
            version: source.git.as_ref().map_or(file.digest.to_string(), |git| git.reference.clone()),
            supplier: origin.and_then(|address| Supplier::of_address(address)).or_else(|| self.maker()),
            digest: Some(file.digest),
            file_name: file.path.rsplit('/').next().unwrap_or_default(),
            address: source.url.as_ref().map(|url| &*url.uri),
            commit: source.git.as_ref().map(|git| (&*git.repository_uri, &*git.reference)),
            remarks: remarks::of_file(file),
            ..Part::default()
        }
    }

    fn inside(&mut self) -> Vec<Part<'a>> {
        let document = self.document;
        let parts: BTreeMap<String, Part<'a>> =
            document.components.iter().map(|component| self.component(component)).collect();
        parts.into_values().collect()
    }

    fn component(&mut self, component: &'a Component) -> (String, Part<'a>) {
        let within = component.within.iter();
        let place: Vec<&str> =
            [&component.path, &component.purl].into_iter().chain(within).map(String::as_str).collect();
        let reference = name::reference("inside", &component.name, &place.join("\n"));
        let part = Part {
            reference: reference.clone(),
            class: Class::Inside { kind: component.kind, is_main: component.is_main },
            name: &component.name,
            version: component.version.clone(),
            purl: Some(component.purl.clone()).filter(|purl| !purl.is_empty()),
            supplier: Supplier::of_component(component),
            terms: component.licence.as_deref().and_then(|said| self.texts.terms_of(said)),
            holder: Some(file_reference(&component.path)),
            remarks: remarks::of_component(component),
            ..Part::default()
        };
        (reference, part)
    }

    /// Returns the files that hold something, or may, and are no part by themselves: a package brought them, or the base.
    fn holders(&self, parts: &[Part<'a>], inside: &[Part<'a>]) -> Vec<Part<'a>> {
        let known: BTreeSet<&str> = parts.iter().map(|part| &*part.reference).collect();
        let holding: BTreeSet<&str> = inside.iter().filter_map(|part| part.holder.as_deref()).collect();
        let paths = self.document.components.iter().map(|component| &*component.path);
        let paths = paths.filter(|path| holding.contains(&*file_reference(path)));
        let paths: BTreeSet<&str> = paths
            .chain(self.document.incomplete.iter().map(|incomplete| file_of(&incomplete.path)))
            .collect();
        let unknown = paths.into_iter().filter(|path| !known.contains(&*file_reference(path)));
        unknown.map(|path| self.holder(path)).collect()
    }

    fn holder(&self, path: &'a str) -> Part<'a> {
        Part {
            reference: file_reference(path),
            class: Class::File { is_executable: false },
            name: path,
            supplier: self.maker(),
            file_name: path.rsplit('/').next().unwrap_or_default(),
            remarks: remarks::of_path(path, self.document),
            ..Part::default()
        }
    }

    fn is_incomplete(&self, part: &Part<'a>) -> bool {
        matches!(part.class, Class::File { .. })
            && self.document.incomplete.iter().any(|incomplete| file_of(&incomplete.path) == part.name)
    }
}

impl<'a> Release<'a> {
    /// An image from nothing has one of its own, others that of their base.
    fn of(document: &'a Document) -> Option<Release<'a>> {
        let own = document.operating_system.as_ref();
        let own = own.map(|own| Release { id: &own.id, version: &own.version, codename: &own.codename });
        let base = document.base_image.as_ref();
        let base =
            base.map(|base| Release { id: &base.os, version: &base.version, codename: &base.codename });
        own.or(base).filter(|release| !release.id.is_empty())
    }

    /// One that isn't released yet has no number.
    fn name_of_version(self) -> &'a str {
        if self.version.is_empty() { self.codename } else { self.version }
    }
}

fn came_as<'a>(part: Part<'a>, location: &'a Location) -> Part<'a> {
    Part {
        digest: Some(location.digest),
        forms: vec![form::archive(location)],
        file_name: &location.name,
        address: Some(&location.uri),
        ..part
    }
}

fn file_reference(path: &str) -> String {
    name::reference("file", path, path)
}
