//! The properties of a component: what this builder, the BSI's guideline and trivy say in pairs of a name and a value.

use super::super::parts::{Class, Part};
use super::super::{ComponentKind, Key, PackageKind};
use super::types::Property;
use crate::debian::Version;

/// What stands before the names of this builder's.
const OWN: &str = "estaleiro:";
/// Before those of the BSI's guideline (TR-03183-2, section 5.2.2).
const BSI: &str = "bsi:component:";
/// Before those that trivy reads, which knows no `upstream` of a package URL.
const TRIVY: &str = "aquasecurity:trivy:";

/// A name without what stands before it, and a value.
type Pair<'a> = (&'a str, &'a str);

pub(super) fn of(part: &Part<'_>) -> Vec<Property> {
    // A key is a component of its own.
    let own = part.remarks.iter().filter(|(name, _)| !name.starts_with("key:"));
    let own = own.map(|(name, value)| (&**name, &**value));
    let groups = [(OWN, own.collect()), (BSI, for_bsi(part)), (TRIVY, for_trivy(part))];
    let named = |(prefix, pairs): (&str, Vec<Pair<'_>>)| -> Vec<Property> {
        let property =
            |(name, value): Pair<'_>| Property { name: format!("{prefix}{name}"), value: value.to_owned() };
        pairs.into_iter().map(property).collect()
    };
    groups.into_iter().flat_map(named).collect()
}

/// Tells whose a key is, in its own words, and where it was found.
pub(super) fn of_key(key: &Key) -> Vec<Property> {
    let identities = key.identities.iter().map(|identity| ("identity", identity));
    let all = identities.chain([("from", &key.from)]);
    all.map(|(name, value)| Property { name: format!("{OWN}{name}"), value: value.clone() }).collect()
}

/// Tells of the file that a part came as.
fn for_bsi<'a>(part: &Part<'a>) -> Vec<Pair<'a>> {
    if part.file_name.is_empty() {
        return Vec::new();
    }
    let kind = match part.class {
        Class::File { is_executable: true } => vec![("executable", "executable")],
        Class::File { is_executable: false } => vec![("executable", "non-executable")],
        // A .deb: an archive whose parts can be told apart.
        Class::Image | Class::OperatingSystem | Class::Base | Class::Package(_) | Class::Inside { .. } => {
            vec![("executable", "non-executable"), ("archive", "archive"), ("structured", "structured")]
        }
    };
    [("filename", part.file_name)].into_iter().chain(kind).collect()
}

fn for_trivy<'a>(part: &'a Part<'a>) -> Vec<Pair<'a>> {
    let remarks = |is_meant: fn(&str) -> bool| {
        part.remarks.iter().filter(move |(name, _)| is_meant(name)).map(|(_, value)| &**value)
    };
    match part.class {
        Class::Image => {
            let layers = remarks(|name| name.starts_with("layer:")).map(|diff_id| ("DiffID", diff_id));
            layers.chain(remarks(|name| name == "config").map(|config| ("ImageID", config))).collect()
        }
        Class::OperatingSystem => vec![("Class", "os-pkgs"), ("Type", part.name)],
        Class::Package(kind) => source(part, kind),
        Class::Inside { kind, .. } => {
            let path = remarks(|name| name == "path").map(|path| ("FilePath", path));
            path.chain(trivys_type(kind).map(|kind| ("PkgType", kind))).collect()
        }
        Class::Base | Class::File { .. } => Vec::new(),
    }
}

/// The source package's version stands in its pieces.
fn source<'a>(part: &Part<'a>, kind: PackageKind) -> Vec<Pair<'a>> {
    let Some((name, version)) = part.source.filter(|(name, _)| !name.is_empty()) else { return Vec::new() };
    let (epoch, upstream, revision) = match kind {
        PackageKind::Deb | PackageKind::Rpm => Version::pieces(version),
        PackageKind::Apk => ("", version, ""),
    };
    let all = [("SrcName", name), ("SrcVersion", upstream), ("SrcRelease", revision), ("SrcEpoch", epoch)];
    all.into_iter().filter(|(_, value)| !value.is_empty()).collect()
}

/// Returns trivy's word for the packages in a file of this kind, where it has one.
fn trivys_type(kind: ComponentKind) -> Option<&'static str> {
    match kind {
        ComponentKind::Golang => Some("gobinary"),
        ComponentKind::Cargo => Some("rustbinary"),
        ComponentKind::Pypi => Some("python-pkg"),
        ComponentKind::Npm => Some("node-pkg"),
        ComponentKind::Maven => Some("jar"),
        ComponentKind::Gem => Some("gemspec"),
        ComponentKind::Composer => Some("composer-vendor"),
        ComponentKind::Nuget => Some("dotnet-core"),
        ComponentKind::Cran | ComponentKind::Luarocks | ComponentKind::Wordpress | ComponentKind::Generic => {
            None
        }
    }
}
