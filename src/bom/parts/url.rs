//! Package URLs (<https://github.com/package-url/purl-spec>), as scanners match them.

use packageurl::PackageUrl;

use super::super::{Document, Package, PackageKind};
use super::Release;

/// Returns the package URL of a package in a root that is this operating system.
///
/// `upstream` names the source package where it differs, as syft writes it and grype reads it.
pub(super) fn package(package: &Package, system: Option<Release<'_>>) -> Option<String> {
    let kind = match package.kind {
        PackageKind::Deb => "deb",
        PackageKind::Apk => "apk",
        PackageKind::Rpm => "rpm",
    };
    let mut purl = PackageUrl::new(kind, &*package.name).ok()?;
    purl.with_version(version(package)).ok()?;
    if !package.architecture.is_empty() {
        purl.add_qualifier("arch", &*package.architecture).ok()?;
    }
    if let Some(system) = system {
        purl.with_namespace(system.id).ok()?;
        let version = system.name_of_version();
        let distro =
            if version.is_empty() { system.id.to_owned() } else { format!("{}-{version}", system.id) };
        purl.add_qualifier("distro", distro).ok()?;
    }
    if let Some(epoch) = rpm_epoch(package) {
        purl.add_qualifier("epoch", epoch).ok()?;
    }
    if let Some(upstream) = upstream(package) {
        purl.add_qualifier("upstream", upstream).ok()?;
    }
    Some(purl.to_string())
}

/// An rpm's epoch is a qualifier, and no part of its version (the specification's `rpm` type).
fn version(package: &Package) -> &str {
    match package.kind {
        PackageKind::Rpm => package.version.split_once(':').map_or(&*package.version, |(_, rest)| rest),
        PackageKind::Deb | PackageKind::Apk => &package.version,
    }
}

fn rpm_epoch(package: &Package) -> Option<&str> {
    let epoch = package.version.split_once(':').map(|(epoch, _)| epoch);
    epoch.filter(|epoch| package.kind == PackageKind::Rpm && *epoch != "0")
}

fn upstream(package: &Package) -> Option<String> {
    let has_own_version = !package.source_version.is_empty() && package.source_version != package.version;
    let name = &package.source_package;
    match package.kind {
        _ if name.is_empty() => None,
        PackageKind::Deb if has_own_version => Some(format!("{name}@{}", package.source_version)),
        PackageKind::Deb | PackageKind::Apk => (*name != package.name).then(|| name.clone()),
        PackageKind::Rpm => Some(format!("{name}-{}.src.rpm", package.source_version)),
    }
}

/// Returns the package URL of the image itself.
pub(super) fn image(document: &Document) -> Option<String> {
    let image = document.image.as_ref()?;
    let architecture = image.platform.split('/').nth(1).unwrap_or_default();
    oci(&document.product_name, &image.digest.to_string(), architecture)
}

/// Returns the package URL of the image that another stands on.
pub(super) fn base(name: &str, digest: &str) -> Option<String> {
    oci(name, digest, "")
}

fn oci(name: &str, digest: &str, architecture: &str) -> Option<String> {
    let last = name.rsplit('/').next()?.split(':').next()?.to_lowercase();
    let mut purl = PackageUrl::new("oci", last).ok()?;
    purl.with_version(digest).ok()?;
    if !architecture.is_empty() {
        purl.add_qualifier("arch", architecture).ok()?;
    }
    if name.contains('/') {
        purl.add_qualifier("repository_url", name).ok()?;
    }
    Some(purl.to_string())
}

/// Whether a text is an address that a browser opens.
pub(super) fn is_web_address(text: &str) -> bool {
    is_address(text) && (text.starts_with("https://") || text.starts_with("http://"))
}

/// Whether a text is an address that formats may hold: absolute, of a well-known scheme, in ASCII without blanks.
pub(in crate::bom) fn is_address(text: &str) -> bool {
    let schemes = ["http://", "https://", "ftp://", "ssh://", "git://", "git+https://", "git+ssh://"];
    let is_plain =
        |c: char| c.is_ascii_graphic() && !matches!(c, '<' | '>' | '"' | '{' | '}' | '|' | '\\' | '^' | '`');
    schemes.iter().any(|scheme| text.len() > scheme.len() && text.starts_with(scheme))
        && text.chars().all(is_plain)
}
