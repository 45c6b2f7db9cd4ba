//! Packages and files, and the files around them: what they are handed out as, and what they were built from.

use std::collections::BTreeMap;

use super::super::SourceFile;
use super::super::parts::{Class, Form, FormKind, Part, Terms, is_address, reference};
use super::View;
use super::types::{Artifact, Element, Hash, Identifier, Reference, Said};

impl<'a> View<'a> {
    /// Returns the image and its parts.
    pub(super) fn parts(&self) -> Vec<Element<'a>> {
        self.listed().map(|part| self.part(part)).collect()
    }

    /// Returns the parts that are listed.
    pub(super) fn listed(&self) -> impl Iterator<Item = &'a Part<'a>> {
        self.inventory.all().filter(|part| part.class != Class::OperatingSystem)
    }

    /// Returns what parts are handed out as, what they were built from, and the image's configuration.
    pub(super) fn files_around(&self) -> Vec<Element<'a>> {
        let forms = self.listed().flat_map(|part| &part.forms);
        let forms: BTreeMap<String, &Form<'a>> = forms.map(|form| (form_reference(form), form)).collect();
        let sources = self.listed().flat_map(|part| part.source_files.iter().copied());
        let sources: BTreeMap<String, &SourceFile> =
            sources.map(|source| (source_reference(source), source)).collect();
        let forms = forms.into_iter().map(|(reference, form)| self.form(&reference, form));
        let sources = sources.into_iter().map(|(reference, source)| self.source(&reference, source));
        forms.chain(sources).chain(self.configuration()).collect()
    }

    fn part(&self, part: &'a Part<'a>) -> Element<'a> {
        match part.class {
            Class::File { is_executable } => self.file(part, is_executable),
            Class::Image
            | Class::Base
            | Class::OperatingSystem
            | Class::Package(_)
            | Class::Inside { .. } => self.package(part),
        }
    }

    fn package(&self, part: &'a Part<'a>) -> Element<'a> {
        let purl = part.purl.as_deref();
        let said = Said {
            identifiers: purl
                .map(|identifier| Identifier { kind: "packageUrl", identifier })
                .into_iter()
                .collect(),
            purpose: purpose(part.class),
            copyright: Some(part.terms.as_ref().and_then(Terms::copyright).unwrap_or_else(|| "NONE".into())),
            version: Some(if part.version.is_empty() { "unstated" } else { &part.version }),
            purl,
            homepage: Some(part.homepage).filter(|homepage| is_address(homepage)),
            download_location: part.origin(),
            source_info: part.source_info(),
            ..self.said(part)
        };
        Element::Package(Box::new(Artifact { core: self.core(&part.reference), name: part.name, said }))
    }

    fn file(&self, part: &'a Part<'a>, is_executable: bool) -> Element<'a> {
        let commit = part.commit.map(|(repository, _)| Reference { kind: "vcs", locator: [repository] });
        let address =
            part.address.map(|address| Reference { kind: "altDownloadLocation", locator: [address] });
        let said = Said {
            references: commit.into_iter().chain(address).collect(),
            purpose: Some("file"),
            additional_purposes: if is_executable { &["executable"] } else { &[] },
            ..self.said(part)
        };
        Element::File(Box::new(Artifact { core: self.core(&part.reference), name: part.name, said }))
    }

    fn said(&self, part: &'a Part<'a>) -> Said<'a> {
        let supplier = part.supplier.as_ref().map(|supplier| self.agent_id(supplier));
        Said {
            comment: self.comment(part),
            verified_using: Hash::of(part.digest, None),
            originated_by: supplier.iter().cloned().collect(),
            supplied_by: supplier,
            ..Said::default()
        }
    }

    fn comment(&self, part: &Part<'_>) -> Option<String> {
        let systems = self.inventory.parts.iter().filter(|part| part.class == Class::OperatingSystem);
        let systems = systems.filter(|_| part.class == Class::Image);
        let systems = systems.map(|system| format!("operating_system: {} {}", system.name, system.version));
        let is_incomplete =
            part.is_incomplete.then(|| "incomplete: it may hold more than is told".to_owned());
        let needs = needs(part).map(str::to_owned);
        let lines: Vec<String> =
            part.comment().into_iter().chain(systems).chain(needs).chain(is_incomplete).collect();
        (!lines.is_empty()).then(|| lines.join("\n"))
    }

    /// TR-03183-2 calls what holds files an archive, and structured where one can still tell them from each other.
    fn form(&self, reference: &str, form: &'a Form<'a>) -> Element<'a> {
        let (purpose, content_type) = match form.kind {
            FormKind::Manifest => ("manifest", Some("application/vnd.oci.image.manifest.v1+json")),
            FormKind::Package => ("install", None),
        };
        let address = form.address.map(|address| Reference { kind: "binaryArtifact", locator: [address] });
        let said = Said {
            verified_using: Hash::of(Some(form.digest), form.sha512),
            references: address.into_iter().collect(),
            content_type,
            purpose: Some(purpose),
            additional_purposes: &["archive", "container"],
            ..Said::default()
        };
        Element::File(Box::new(Artifact { core: self.core(reference), name: &form.name, said }))
    }

    fn source(&self, reference: &str, source: &'a SourceFile) -> Element<'a> {
        let said = Said {
            verified_using: Hash::of(Some(source.digest), None),
            references: vec![Reference { kind: "sourceArtifact", locator: [&source.uri] }],
            purpose: Some("source"),
            ..Said::default()
        };
        Element::File(Box::new(Artifact { core: self.core(reference), name: &source.name, said }))
    }

    fn configuration(&self) -> Option<Element<'a>> {
        let image = self.document.image.as_ref()?;
        let said = Said {
            verified_using: Hash::of(Some(image.config), None),
            content_type: Some("application/vnd.oci.image.config.v1+json"),
            purpose: Some("configuration"),
            ..Said::default()
        };
        let core = self.core(CONFIGURATION);
        Some(Element::File(Box::new(Artifact { core, name: "config", said })))
    }
}

/// The image's configuration, which is one of its parts.
pub(super) const CONFIGURATION: &str = "image-configuration";

pub(super) fn form_reference(form: &Form<'_>) -> String {
    reference("form", &form.name, &form.digest.to_string())
}

pub(super) fn source_reference(source: &SourceFile) -> String {
    reference("source", &source.name, &format!("{}\n{}", source.uri, source.digest))
}

/// Returns what no relation says of what a part needs.
fn needs(part: &Part<'_>) -> Option<&'static str> {
    match (&part.needs, part.class) {
        (Some(needs), _) if needs.is_empty() => Some("depends_on: nothing that is here"),
        (None, Class::Package(_) | Class::Inside { .. }) => Some("depends_on: not known"),
        (Some(_), _) | (None, _) => None,
    }
}

fn purpose(class: Class) -> Option<&'static str> {
    match class {
        Class::Image | Class::Base => Some("container"),
        Class::OperatingSystem => Some("operatingSystem"),
        Class::Package(_) => None,
        Class::File { .. } => Some("file"),
        Class::Inside { is_main: true, .. } => Some("application"),
        Class::Inside { is_main: false, .. } => Some("library"),
    }
}
