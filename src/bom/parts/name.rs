//! What parts are called in a view, and who supplies them.

use std::collections::BTreeMap;

use super::super::{Component, ComponentKind, Package};
use super::url::is_web_address;
use crate::digest::Digest;

/// A reference is for machines; people see its beginning.
const LONGEST: usize = 60;

/// Returns a reference for the part of this name; `identity` tells it from others of the same name.
pub(in crate::bom) fn reference(class: &str, name: &str, identity: &str) -> String {
    let plain: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' })
        .take(LONGEST)
        .collect();
    let identity = Digest::of(format!("{name}\n{identity}")).short();
    format!("{class}-{}-{identity}", plain.trim_matches('-'))
}

/// Who supplies a part.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::bom) struct Supplier {
    /// The name.
    pub(in crate::bom) name: String,
    /// Where they are written to.
    pub(in crate::bom) email: Option<String>,
    /// Where more is said of them, or of what they supply.
    pub(in crate::bom) url: Option<String>,
}

impl Supplier {
    pub(super) fn named(name: &str) -> Option<Supplier> {
        let name = name.trim().trim_matches('"').trim().to_owned();
        (!name.is_empty()).then_some(Supplier { name, email: None, url: None })
    }

    /// Returns who stands where somebody must.
    pub(in crate::bom) fn unstated() -> Supplier {
        Supplier { name: "unstated".into(), email: None, url: None }
    }

    pub(super) fn of_package(package: &Package) -> Option<Supplier> {
        Supplier::written(&package.maintainer)
    }

    /// Reads `Ann Other <ann@archive.example>`, the form of Debian policy 5.6.2.
    fn written(text: &str) -> Option<Supplier> {
        let (name, rest) = text.split_once('<').unwrap_or((text, ""));
        let email = rest.split('>').next().map(str::trim).filter(|email| is_email(email)).map(str::to_owned);
        let name = if name.trim().is_empty() { email.as_deref().unwrap_or_default() } else { name };
        Some(Supplier { email: email.clone(), ..Supplier::named(name)? })
    }

    /// Says where more is told, unless that is known already.
    pub(super) fn at(self, address: &str) -> Supplier {
        let address = Some(address.to_owned()).filter(|address| is_web_address(address));
        Supplier { url: self.url.or(address), ..self }
    }

    /// An image says no more of who made it than its name: what stands before the last slash, else the whole.
    pub(super) fn of_image(name: &str) -> Option<Supplier> {
        let supplier = Supplier::named(name.rsplit_once('/').map_or(name, |(owner, _)| owner))?;
        Some(if has_host(name) { supplier.at(&format!("https://{name}")) } else { supplier })
    }

    /// Labels may say more than the name: <https://github.com/opencontainers/image-spec/blob/main/annotations.md>.
    pub(super) fn of_product(name: &str, labels: &BTreeMap<String, String>) -> Option<Supplier> {
        let label = |name: &str| labels.get(name).map_or("", String::as_str);
        let authors = Supplier::written(label("authors"));
        let email = authors.as_ref().and_then(|authors| authors.email.clone());
        let supplier = Supplier::named(label("vendor")).or(authors).map(|known| Supplier { email, ..known });
        let by_name = Supplier::of_image(name);
        let place = by_name.as_ref().and_then(|supplier| supplier.url.clone()).unwrap_or_default();
        let places = [label("url"), label("source"), &place];
        let supplier = supplier.or(by_name.map(|by_name| Supplier { url: None, ..by_name }))?;
        Some(places.into_iter().fold(supplier, Supplier::at))
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
        Some(Supplier::named(&name)?.at(&place_of(component)))
    }
}

/// Returns the page of the project whose packages a component's ecosystem holds; of Go the module itself. Nothing where there
/// is none.
fn place_of(component: &Component) -> String {
    let place = match component.kind {
        ComponentKind::Golang if has_host(&component.name) => return format!("https://{}", component.name),
        ComponentKind::Golang if component.name == "stdlib" => "https://go.dev",
        ComponentKind::Golang | ComponentKind::Generic => "",
        ComponentKind::Maven => "https://maven.apache.org",
        ComponentKind::Cargo => "https://www.rust-lang.org",
        ComponentKind::Pypi => "https://www.python.org",
        ComponentKind::Npm => "https://nodejs.org",
        ComponentKind::Gem => "https://www.ruby-lang.org",
        ComponentKind::Composer => "https://getcomposer.org",
        ComponentKind::Nuget => "https://dotnet.microsoft.com",
        ComponentKind::Cran => "https://www.r-project.org",
        ComponentKind::Luarocks => "https://www.lua.org",
        ComponentKind::Wordpress => "https://wordpress.org",
    };
    place.to_owned()
}

/// Whether what stands before the first slash of a name is a host.
fn has_host(name: &str) -> bool {
    let first = name.split_once('/').map_or("", |(first, _)| first);
    first.contains(['.', ':']) || first == "localhost"
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
    fn labels_say_more_of_an_image_than_its_name() {
        let name = "registry.example/team/app";
        let (place, project) = ("https://registry.example/team/app", "https://project.example/app");
        for (labels, expected) in [
            (vec![], ("registry.example/team", None, Some(place))),
            (vec![("vendor", "Team")], ("Team", None, Some(place))),
            (
                vec![("source", project), ("url", "an address")],
                ("registry.example/team", None, Some(project)),
            ),
            (vec![("authors", "Ann <ann@team.example>")], ("Ann", Some("ann@team.example"), Some(place))),
            (
                vec![("authors", "<ann@team.example>"), ("vendor", "Team"), ("url", project)],
                ("Team", Some("ann@team.example"), Some(project)),
            ),
        ] {
            let labels =
                labels.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            let supplier = Supplier::of_product(name, &labels).unwrap();
            let read = (&*supplier.name, supplier.email.as_deref(), supplier.url.as_deref());
            assert_eq!(read, expected, "{labels:?}");
        }
        assert_eq!(Supplier::of_product("example/app", &BTreeMap::new()).unwrap().url, None);
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
