//! What parts are called in a view, and who supplies them.

use super::super::{Component, ComponentKind, Package};
use crate::digest::Digest;

/// A reference is for machines; people see its beginning.
const LONGEST: usize = 60;

/// Returns a reference for the part of this name; `identity` tells it from others of the same name.
pub(super) fn reference(class: &str, name: &str, identity: &str) -> String {
    let plain: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' })
        .take(LONGEST)
        .collect();
    let identity = Digest::of(format!("{name}\n{identity}")).short();
    format!("{class}-{}-{identity}", plain.trim_matches('-'))
}

/// Who supplies a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::bom) struct Supplier {
    /// The name.
    pub(in crate::bom) name: String,
    /// Where they are written to.
    pub(in crate::bom) email: Option<String>,
}

impl Supplier {
    pub(super) fn named(name: &str) -> Option<Supplier> {
        let name = name.trim().trim_matches('"').trim().to_owned();
        (!name.is_empty()).then_some(Supplier { name, email: None })
    }

    /// Reads `Ann Other <ann@archive.example>`, the form of Debian policy 5.6.2.
    pub(super) fn of_package(package: &Package) -> Option<Supplier> {
        let first = package.maintainer.split_once('<');
        let (name, rest) = first.unwrap_or((&package.maintainer, ""));
        let email = rest.split('>').next().map(str::trim).filter(|email| is_email(email)).map(str::to_owned);
        let name = if name.trim().is_empty() { email.as_deref().unwrap_or_default() } else { name };
        Some(Supplier { email: email.clone(), ..Supplier::named(name)? })
    }

    /// An image says no more of who made it than its name: what stands before the last slash, else the whole.
    pub(super) fn of_image(name: &str) -> Option<Supplier> {
        Supplier::named(name.rsplit_once('/').map_or(name, |(owner, _)| owner))
    }

    /// Returns the host of an address, without the scheme before it and the credentials and port around it.
    pub(super) fn of_address(address: &str) -> Option<Supplier> {
        let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
        let host = rest.split(['/', '?', '#']).next()?.rsplit('@').next()?.split(':').next()?;
        Supplier::named(host)
    }

    /// Returns whom an ecosystem's names belong to.
    pub(super) fn of_component(component: &Component) -> Option<Supplier> {
        let name = match component.kind {
            ComponentKind::Golang if component.name.contains('/') => {
                component.name.splitn(3, '/').take(2).collect::<Vec<_>>().join("/")
            }
            ComponentKind::Maven => {
                let group = component.purl.strip_prefix("pkg:maven/").and_then(|rest| rest.split_once('/'));
                group.map_or("Maven", |(group, _)| group).to_owned()
            }
            ComponentKind::Golang => "Go".into(),
            ComponentKind::Cargo => "crates.io".into(),
            ComponentKind::Pypi => "PyPI".into(),
            ComponentKind::Npm => "npm".into(),
            ComponentKind::Gem => "RubyGems".into(),
            ComponentKind::Composer => "Packagist".into(),
            ComponentKind::Nuget => "NuGet".into(),
            ComponentKind::Cran => "CRAN".into(),
            ComponentKind::Luarocks => "LuaRocks".into(),
            ComponentKind::Wordpress => "WordPress".into(),
            ComponentKind::Generic => component.name.clone(),
        };
        Supplier::named(&name)
    }
}

fn is_email(text: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_graphic() && !matches!(c, '(' | ')' | ',' | ';' | '<' | '>');
    let halves = text.split_once('@');
    halves.is_some_and(|(user, host)| !user.is_empty() && host.contains('.') && !host.contains('@'))
        && text.chars().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_maintainer_is_read_as_policy_writes_it() {
        for (maintainer, expected) in [
            ("Ann Other <ann@archive.example>", Some(("Ann Other", Some("ann@archive.example")))),
            ("\"Other, Ann\" <ann@archive.example>", Some(("Other, Ann", Some("ann@archive.example")))),
            ("<ann@archive.example>", Some(("ann@archive.example", Some("ann@archive.example")))),
            ("Ann", Some(("Ann", None))),
            ("Ann <nobody>", Some(("Ann", None))),
            ("", None),
        ] {
            let package = Package { maintainer: maintainer.into(), ..Package::default() };
            let supplier = Supplier::of_package(&package);
            let read = supplier.as_ref().map(|supplier| (&*supplier.name, supplier.email.as_deref()));
            assert_eq!(read, expected, "{maintainer}");
        }
    }

    #[test]
    fn an_address_names_its_host_alone() {
        let host = |address| Supplier::of_address(address).map(|supplier| supplier.name);
        for address in ["https://u:p@git.example:8443/a/b", "git.example:a/b", "ssh://git@git.example/a"] {
            assert_eq!(host(address).as_deref(), Some("git.example"), "{address}");
        }
    }

    #[test]
    fn names_that_differ_in_signs_alone_have_references_that_differ() {
        let references =
            ["libstdc++6", "libstdc--6", "libstdc-6"].map(|name| reference("package", name, "1"));
        assert_ne!(references[0], references[1]);
        assert_ne!(references[1], references[2]);
        assert!(references[0].chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.')));
    }
}
