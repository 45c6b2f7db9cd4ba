//! Alpine's record of what is installed: paragraphs of one-letter fields (apk-package(5), "installed database").

use crate::bom::{Package, PackageKind};

/// Reads the packages, each with its licence in its own words; a paragraph without name or version describes none.
pub(super) fn parse(text: &str) -> Vec<(Package, String)> {
    text.split("\n\n").filter_map(package).collect()
}

fn package(paragraph: &str) -> Option<(Package, String)> {
    // The files of a package come after what it says of itself, and repeat some of the letters.
    let fields = paragraph.lines().map_while(|line| line.split_once(':').filter(|(name, _)| *name != "F"));
    let fields: Vec<(&str, &str)> = fields.collect();
    let value = |wanted: &str| {
        let found = fields.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value.trim());
        found.filter(|value| !value.is_empty()).map(str::to_owned)
    };
    let joined = |name: &str| value(name).unwrap_or_default().split(' ').collect::<Vec<_>>().join(", ");
    let (name, version) = (value("P")?, value("V")?);
    let licence = value("L").unwrap_or_default();
    let package = Package {
        source_package: value("o").unwrap_or_else(|| name.clone()),
        source_version: version.clone(),
        architecture: value("A").unwrap_or_default(),
        kind: PackageKind::Apk,
        maintainer: value("m").unwrap_or_default(),
        homepage: value("U").unwrap_or_default(),
        depends: joined("D"),
        provides: joined("p"),
        name,
        version,
        ..Package::default()
    };
    Some((package, licence))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_apk_installed_is_read_and_its_files_are_not() {
        let text = "C:Q1x=\nP:libcrypto3\nV:3.1.4-r5\nA:x86_64\nS:1\nT:Crypto library\nU:https://www.example.org\n\
            L:Apache-2.0\no:openssl\nm:Ann <ann@archive.example>\nD:so:libc.musl-x86_64.so.1 busybox\n\
            p:so:libcrypto.so.3=3\nF:lib\nR:P:x\n\nP:no-version\n\nP:plain\nV:1\nA:noarch\n";
        let read = parse(text);
        let names: Vec<_> = read
            .iter()
            .map(|(one, _)| (&*one.name, &*one.version, &*one.source_package, &*one.architecture))
            .collect();
        assert_eq!(
            names,
            [("libcrypto3", "3.1.4-r5", "openssl", "x86_64"), ("plain", "1", "plain", "noarch")]
        );
        assert_eq!(
            (&*read[0].0.depends, read[0].0.kind, &*read[0].1),
            ("so:libc.musl-x86_64.so.1, busybox", PackageKind::Apk, "Apache-2.0")
        );
        assert_eq!((&*read[1].0.depends, &*read[1].1), ("", ""));
    }
}
