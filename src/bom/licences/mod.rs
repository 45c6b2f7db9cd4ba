//! What a lawyer asks of an account: which licences there are, of which packages, whose copyright it is, and where the
//! source is. What nobody declares comes first, as a question that is open.

mod text;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{Component, Document, Git, Package, Source, SourceFile};
use crate::licence;

/// The licences of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LicenceReport<'a> {
    /// The image's name.
    pub product_name: &'a str,
    /// The digest of its manifest, where the account tells it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// What has no licence that anybody declares.
    pub open: Open<'a>,
    /// Each licence, and what is under it.
    pub licences: Vec<Licensed<'a>>,
    /// Each package.
    pub packages: Vec<Entry<'a>>,
    /// The texts of licences that have no identifier.
    pub texts: &'a BTreeMap<String, String>,
}

/// What nobody declares.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Open<'a> {
    /// Packages without a copyright file.
    pub packages: Vec<Entry<'a>>,
    /// Files that hold packages without a licence, and these.
    pub inside: BTreeMap<&'a str, BTreeSet<String>>,
    /// How many files were added one by one, which declare nothing.
    pub n_files: usize,
}

/// One licence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Licensed<'a> {
    /// Its identifier, or the `LicenseRef-…` that stands for it.
    pub licence: String,
    /// What names it, perhaps with others: packages, and what was found inside files, by name and version.
    pub packages: BTreeSet<Name<'a>>,
}

/// A package by name and version.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Name<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its version; empty where it has none.
    pub version: &'a str,
}

/// Packages of one source that declare the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry<'a> {
    /// The packages.
    pub packages: Vec<Name<'a>>,
    /// The SPDX expression.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub expression: &'a str,
    /// The file that declares it.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub declared_by: &'a str,
    /// Who holds the copyright.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub holders: &'a [String],
    /// The source that they were built from.
    pub source: SourcePlace<'a>,
}

/// Where a source is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SourcePlace<'a> {
    /// The source package.
    pub name: &'a str,
    /// Its version.
    pub version: &'a str,
    /// The addresses of its files; none where they aren't recorded.
    pub uris: Vec<&'a str>,
    /// The repository and commit, where that was declared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub git: Option<&'a Git>,
}

impl LicenceReport<'_> {
    /// Returns the report for machines.
    ///
    /// # Errors
    /// When it has no JSON form, which is a mistake in its types.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }
}

impl Document {
    /// Returns the licences of everything in the image.
    pub fn licence_report(&self) -> LicenceReport<'_> {
        let (declared, open): (Vec<_>, Vec<_>) =
            self.entries().into_iter().partition(|entry| !entry.expression.is_empty());
        LicenceReport {
            product_name: &self.product_name,
            image: self.image.as_ref().map(|image| image.digest.to_string()),
            open: Open { packages: open, inside: self.open_inside(), n_files: self.changeset.files.len() },
            licences: self.by_licence(),
            packages: declared,
            texts: &self.licence_texts,
        }
    }

    fn by_licence(&self) -> Vec<Licensed<'_>> {
        let mut licences: BTreeMap<String, BTreeSet<Name<'_>>> = BTreeMap::new();
        for package in self.installed() {
            let expression = package.licence.as_ref().map(|licence| &*licence.expression);
            for licence in expression.into_iter().flat_map(licence::terms) {
                licences.entry(licence.to_owned()).or_default().insert(name_of(package));
            }
        }
        for component in &self.components {
            let declared = component.licence.as_deref().and_then(licence::of_field);
            let name = Name { name: &component.name, version: &component.version };
            for licence in declared.iter().flat_map(|declared| licence::terms(&declared.expression)) {
                licences.entry(licence.to_owned()).or_default().insert(name.clone());
            }
        }
        licences.into_iter().map(|(licence, packages)| Licensed { licence, packages }).collect()
    }

    fn open_inside(&self) -> BTreeMap<&str, BTreeSet<String>> {
        let mut inside: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
        let is_open = |component: &&Component| component.licence.as_deref().is_none_or(str::is_empty);
        for component in self.components.iter().filter(is_open) {
            inside.entry(&component.path).or_default().insert(component.purl.clone());
        }
        inside
    }

    /// Each package that is installed, or that files were taken of; those of one source together.
    fn entries(&self) -> Vec<Entry<'_>> {
        let sources = Sources::of(self);
        let opened = self.changeset.opened_packages.iter().map(|opened| &opened.package);
        let mut entries: Vec<Entry<'_>> = Vec::new();
        let mut packages: Vec<&Package> = self.installed().into_iter().chain(opened).collect();
        packages.sort_by_key(|package| {
            (&package.source_package, &package.source_version, &package.name, &package.version)
        });
        for package in packages {
            let entry = sources.entry(package);
            match entries.last_mut() {
                Some(last) if last.source == entry.source && last.says_as(&entry) => {
                    last.packages.extend(entry.packages);
                    last.packages.dedup();
                }
                Some(_) | None => entries.push(entry),
            }
        }
        entries
    }
}

impl Entry<'_> {
    fn says_as(&self, other: &Entry<'_>) -> bool {
        (self.expression, self.holders) == (other.expression, other.holders)
    }
}

fn name_of(package: &Package) -> Name<'_> {
    Name { name: &package.name, version: &package.version }
}

/// What is recorded of sources: by their names, and what was declared of single packages.
struct Sources<'a> {
    files: BTreeMap<(&'a str, &'a str), &'a [SourceFile]>,
    git: BTreeMap<(&'a str, &'a str), &'a Git>,
}

impl<'a> Sources<'a> {
    fn of(document: &'a Document) -> Sources<'a> {
        let base = document.base_image.iter().flat_map(|base| &base.sources);
        let files = |source: &'a Source| {
            ((&*source.source_package, &*source.source_version), source.sources.as_slice())
        };
        let mut sources = Sources { files: base.map(files).collect(), git: BTreeMap::new() };
        for added in document.changeset.packages.iter().chain(&document.changeset.opened_packages) {
            let package = &added.package;
            if !added.sources.is_empty() {
                sources.files.insert((&package.source_package, &package.source_version), &added.sources);
            }
            if let Some(git) = &added.git {
                sources.git.insert((&package.name, &package.version), git);
            }
        }
        sources
    }

    fn entry(&self, package: &'a Package) -> Entry<'a> {
        let key = (&*package.source_package, &*package.source_version);
        let licence = package.licence.as_ref();
        let files = self.files.get(&key).copied().unwrap_or_default();
        Entry {
            packages: vec![name_of(package)],
            expression: licence.map_or("", |licence| &licence.expression),
            declared_by: licence.map_or("", |licence| &licence.declared_by),
            holders: licence.map_or(&[], |licence| &licence.holders),
            source: SourcePlace {
                name: key.0,
                version: key.1,
                uris: files.iter().map(|file| &*file.uri).collect(),
                git: self.git.get(&(&*package.name, &*package.version)).copied(),
            },
        }
    }
}

#[cfg(test)]
mod tests;
