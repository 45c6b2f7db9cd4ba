//! Which identifier a licence's name means: those of machine-readable copyright files (DEP-5), and of common licences.
//!
//! See <https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/>, section 7.1.

use std::collections::BTreeMap;
use std::sync::OnceLock;

/// Families of which SPDX has `-only` and `-or-later`, with the versions that it knows.
const GNU: [(&str, &str, &[&str]); 5] = [
    ("gpl", "GPL-#", &["1.0", "2.0", "3.0"]),
    ("lgpl", "LGPL-#", &["2.0", "2.1", "3.0"]),
    ("agpl", "AGPL-#", &["3.0"]),
    ("gfdl", "GFDL-#", &["1.1", "1.2", "1.3"]),
    ("gfdl-niv", "GFDL-#-no-invariants", &["1.1", "1.2", "1.3"]),
];

/// Names of the standard, and a few others which nothing else goes by, that SPDX spells differently.
const SPELLINGS: [(&str, &str); 12] = [
    ("expat", "MIT"),
    ("cc0", "CC0-1.0"),
    ("qpl", "QPL-1.0"),
    ("zope-1.1", "ZPL-1.1"),
    ("zope-2", "ZPL-2.0"),
    ("zope-2.1", "ZPL-2.1"),
    ("efl-1", "EFL-1.0"),
    ("efl-2", "EFL-2.0"),
    ("openldap-2.8", "OLDAP-2.8"),
    ("zlib", "Zlib"),
    ("isc", "ISC"),
    ("cc0-1", "CC0-1.0"),
];

/// Identifiers that are words, and mean the same wherever a copyright file has them. Other words might be anything: the
/// standard lets everybody make up names.
const WORDS: [&str; 7] = ["FSFAP", "FSFUL", "FSFULLR", "FSFULLRWD", "ISC", "PostgreSQL", "Unlicense"];

/// What looks like an identifier and yet is not certain: several licences go by the name.
const AMBIGUOUS: [&str; 2] = ["artistic-1", "w3c"];

/// What goes by `with … exception` in the standard, and where SPDX adds a version to a name of which there is just one.
const EXCEPTIONS: [(&str, &str); 2] =
    [("font", "Font-exception-2.0"), ("classpath", "Classpath-exception-2.0")];

/// Texts of `/usr/share/common-licenses` that a licence's name alone doesn't tell from others: the name, the file, and
/// what it is. That of `Artistic` is Perl's, as base-files says. Whether a later version of the GNU licences may be
/// chosen, no file says.
const COMMON_LICENCES: [(&str, &str, &str); 6] = [
    ("apache", "Apache-2.0", "Apache-2.0"),
    ("artistic", "Artistic", "Artistic-1.0-Perl"),
    ("artistic-1", "Artistic", "Artistic-1.0-Perl"),
    ("bsd", "BSD", "BSD-3-Clause"),
    ("mpl", "MPL-1.1", "MPL-1.1"),
    ("mpl", "MPL-2.0", "MPL-2.0"),
];

/// Returns the identifier that a short name means, where that is certain.
pub fn of_short_name(name: &str) -> Option<String> {
    let name = comparable(name);
    if let Some((_, identifier)) = SPELLINGS.iter().find(|(known, _)| *known == name) {
        return Some((*identifier).to_owned());
    }
    of_gnu(&name).or_else(|| identifiers().get(&name).map(|&identifier| identifier.to_owned()))
}

/// Returns what `name` with this exception means: the word before `exception`, or the whole of it.
pub fn with_exception(name: &str, exception: &str) -> Option<String> {
    let licence = of_short_name(name)?;
    let exception = exception.to_lowercase();
    let named = EXCEPTIONS.iter().find(|(known, _)| *known == exception).map(|(_, identifier)| *identifier);
    let is_meant = |id: &str| id == exception || id.strip_suffix("-exception") == Some(&*exception);
    let mut known = spdx::identifiers::EXCEPTIONS.iter().filter(|known| !is_deprecated(known.flags));
    let exact = || known.find(|known| is_meant(&known.name.to_lowercase())).map(|known| known.name);
    named.or_else(exact).map(|identifier| format!("{licence} WITH {identifier}"))
}

/// Returns what `name` means of which the text is this file of `/usr/share/common-licenses`, where it is certain.
pub fn of_common_licence(name: &str, file: &str) -> Option<&'static str> {
    let name = comparable(name);
    let known = COMMON_LICENCES.iter().find(|(known, path, _)| *known == name && *path == file);
    known.map(|(_, _, identifier)| *identifier)
}

/// Names are compared without regard to case, and versions without `.0` at their end.
fn comparable(name: &str) -> String {
    let name = name.to_lowercase();
    let (name, plus) = name.strip_suffix('+').map_or((&*name, ""), |name| (name, "+"));
    let mut shortest = name;
    while let Some(shorter) = shortest.strip_suffix(".0") {
        shortest = shorter;
    }
    format!("{shortest}{plus}")
}

/// `gpl-2`, `gpl-2+`, `gplv2+`: which version it is, and whether it may be a later one.
fn of_gnu(name: &str) -> Option<String> {
    let (name, which) = match name.strip_suffix('+') {
        Some(name) => (name, "-or-later"),
        None => (name, "-only"),
    };
    let start = name.rfind(|character: char| !character.is_ascii_digit() && character != '.')? + 1;
    let (family, version) = name.split_at_checked(start)?;
    let family = family.strip_suffix('-').or_else(|| family.strip_suffix('v'))?;
    let family = family.strip_suffix('-').unwrap_or(family);
    let (_, form, versions) = GNU.iter().find(|(known, _, _)| *known == family)?;
    let version = versions.iter().find(|known| comparable(known) == version)?;
    Some(format!("{}{which}", form.replace('#', version)))
}

fn is_deprecated(flags: spdx::flags::Type) -> bool {
    flags & spdx::flags::IS_DEPRECATED != 0
}

/// The identifiers that are certain by themselves, by their comparable form: those with a version or of several words.
fn identifiers() -> &'static BTreeMap<String, &'static str> {
    static IDENTIFIERS: OnceLock<BTreeMap<String, &'static str>> = OnceLock::new();
    IDENTIFIERS.get_or_init(|| {
        let all = spdx::identifiers::LICENSES.iter().filter(|licence| !is_deprecated(licence.flags));
        let is_compound = |name: &str| name.contains('-') || name.contains(|c: char| c.is_ascii_digit());
        let certain = all.filter(|licence| is_compound(licence.name) || WORDS.contains(&licence.name));
        let pairs = certain.map(|licence| (comparable(licence.name), licence.name));
        pairs.filter(|(name, _)| !AMBIGUOUS.contains(&name.as_str())).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What each name means; `-` where that isn't certain.
    const NAMES: &str = "
        Expat MIT | expat MIT | MIT - | X11 X11 | GPL - | GPL+ - | GPL-1 GPL-1.0-only | GPL-2+ GPL-2.0-or-later
        GPL-2.0 GPL-2.0-only | GPL-2.0+ GPL-2.0-or-later | GPL-3.0.0 GPL-3.0-only | gpl-3+ GPL-3.0-or-later
        GPL-2.0-only GPL-2.0-only | GPL-2.0-or-later GPL-2.0-or-later | GPL-4 - | GPLv2+ GPL-2.0-or-later
        LGPLv2.1 LGPL-2.1-only | LGPL-2+ LGPL-2.0-or-later | LGPL-2.1+ LGPL-2.1-or-later | LGPL-1 - | LGPL -
        AGPL-3 AGPL-3.0-only | AGPL-3+ AGPL-3.0-or-later | GFDL-1.3+ GFDL-1.3-or-later | GFDL-1.2 GFDL-1.2-only
        GFDL-NIV-1.3+ GFDL-1.3-no-invariants-or-later | GFDL-NIV-1.2 GFDL-1.2-no-invariants-only | GFDL-NIV -
        GFDL-1 - | BSD-2-clause BSD-2-Clause | BSD-3-clause BSD-3-Clause | BSD-4-clause BSD-4-Clause
        BSD-4-clause-UC BSD-4-Clause-UC | BSD - | BSD-3 - | ISC ISC | Zlib Zlib | zlib Zlib | Apache - | Apache-2 Apache-2.0
        Apache-2.0 Apache-2.0 | Apache-1.1 Apache-1.1 | Apache-2.0+ - | Artistic - | Artistic-1.0 - | Artistic-2 Artistic-2.0
        CC0 CC0-1.0 | CC0-1.0 CC0-1.0 | CC-BY-SA-3.0 CC-BY-SA-3.0 | CC-BY-3 CC-BY-3.0 | CC-BY - | CDDL - | CDDL-1 CDDL-1.0
        MPL-1.1 MPL-1.1 | MPL-2 MPL-2.0 | MPL - | MPL-1.1+ - | LPPL-1.3c LPPL-1.3c | LPPL-1.3c+ - | QPL QPL-1.0
        Python - | Python-2.0 Python-2.0 | PSF-2 PSF-2.0 | W3C - | Zope - | Zope-2.1 ZPL-2.1 | EFL-2 EFL-2.0 | Perl -
        BSL-1.0 BSL-1.0 | OpenLDAP-2.8 OLDAP-2.8 | OFL-1.1 OFL-1.1 | public-domain - | PD - | Public-Domain -
        FSFULLR FSFULLR | FSFAP FSFAP | NTP - | HPND - | curl - | Intel - | Vim - | TCL - | Unicode - | ICU - | OpenSSL -
        Unicode-DFS-2016 Unicode-DFS-2016 | bzip2-1.0.6 bzip2-1.0.6 | BSD-2-Clause-NetBSD - | GPL-2.0-with-bison-exception -
    ";

    #[test]
    fn a_short_name_means_an_identifier_or_nothing_certain() {
        for pair in NAMES.split(['|', '\n']).filter(|pair| !pair.trim().is_empty()) {
            let (name, expected) = pair.trim().split_once(' ').unwrap();
            let expected = (expected != "-").then(|| expected.to_owned());
            assert_eq!(of_short_name(name), expected, "{name}");
        }
    }

    #[test]
    fn every_identifier_that_is_given_is_known_and_in_use() {
        let gnu = GNU.iter().flat_map(|(_, form, versions)| {
            let one = |version: &str| {
                [
                    format!("{}-only", form.replace('#', version)),
                    format!("{}-or-later", form.replace('#', version)),
                ]
            };
            versions.iter().flat_map(move |version| one(version))
        });
        let tables = SPELLINGS.iter().map(|(_, identifier)| *identifier);
        let tables = tables.chain(COMMON_LICENCES.iter().map(|(_, _, identifier)| *identifier));
        for identifier in tables.map(str::to_owned).chain(gnu) {
            assert!(spdx::license_id(&identifier).is_some_and(|id| !id.is_deprecated()), "{identifier}");
        }
        for (_, identifier) in EXCEPTIONS {
            assert!(spdx::exception_id(identifier).is_some_and(|id| !id.is_deprecated()), "{identifier}");
        }
    }

    #[test]
    fn no_two_identifiers_are_taken_for_each_other() {
        let in_use = || spdx::identifiers::LICENSES.iter().filter(|licence| !is_deprecated(licence.flags));
        let names: std::collections::BTreeSet<String> =
            in_use().map(|licence| comparable(licence.name)).collect();
        assert_eq!(names.len(), in_use().count());
    }

    #[test]
    fn an_exception_counts_where_both_names_are_certain() {
        for (name, exception, expected) in [
            ("GPL-2", "Linux-syscall-note", Some("GPL-2.0-only WITH Linux-syscall-note")),
            ("GPL-2+", "Font", Some("GPL-2.0-or-later WITH Font-exception-2.0")),
            ("GPL-2+", "Libtool", Some("GPL-2.0-or-later WITH Libtool-exception")),
            ("GPL-2+", "classpath", Some("GPL-2.0-or-later WITH Classpath-exception-2.0")),
            ("Apache-2.0", "LLVM", Some("Apache-2.0 WITH LLVM-exception")),
            ("GPL-3+", "GCC-exception-3.1", Some("GPL-3.0-or-later WITH GCC-exception-3.1")),
            ("GPL-2+", "OpenSSL", None),
            ("GPL-3+", "Bison", None),
            ("GPL-3+", "Autoconf", None),
            ("GPL", "Font", None),
        ] {
            assert_eq!(with_exception(name, exception).as_deref(), expected, "{name} with {exception}");
        }
    }

    #[test]
    fn a_common_licences_file_tells_which_one_is_meant() {
        assert_eq!(of_common_licence("Artistic", "Artistic"), Some("Artistic-1.0-Perl"));
        assert_eq!(of_common_licence("BSD", "BSD"), Some("BSD-3-Clause"));
        assert_eq!(of_common_licence("GPL", "GPL-2"), None);
        assert_eq!(of_common_licence("MIT", "BSD"), None);
    }
}
