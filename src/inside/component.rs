//! What is found inside a file: components, and files that can't be read.

use packageurl::PackageUrl;
use serde::{Deserialize, Serialize};

/// A package that was found inside a file of the image.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Component {
    /// The file of the image that it was found in: absolute.
    pub path: String,
    /// The members of that file that lead to it, outermost first: of a jar in a war, the jar.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub within: Vec<String>,
    /// Which world it is from.
    pub kind: ComponentKind,
    /// Its name, as that world writes it.
    pub name: String,
    /// Its version; empty where it doesn't say.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// Its package URL (<https://github.com/package-url/purl-spec>).
    pub purl: String,
    /// The licence as it declares it, which need not be an SPDX expression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub licence: Option<String>,
    /// Whether it is what the file itself is, and not something that was built into it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_main: bool,
}

/// Where a component's name means something; named as in package URLs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ComponentKind {
    /// Go modules, from the build information of programs.
    Golang,
    /// Rust crates, from the lists that cargo-auditable puts into programs.
    Cargo,
    /// Python distributions.
    Pypi,
    /// JavaScript packages.
    Npm,
    /// Java archives.
    Maven,
    /// Ruby gems.
    Gem,
    /// PHP packages.
    Composer,
    /// .NET packages.
    Nuget,
    /// R packages.
    Cran,
    /// Lua rocks.
    Luarocks,
    /// Plugins of WordPress.
    Wordpress,
    /// What has no world of its own.
    Generic,
}

/// A file that seems to hold components which can't be told.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Incomplete {
    /// The file of the image: absolute; `!` and a member's name may follow.
    pub path: String,
    /// Why they can't be told.
    pub why: String,
}

/// What was found inside files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// The packages.
    pub components: Vec<Component>,
    /// The files that seem to hold some and can't be read.
    pub incomplete: Vec<Incomplete>,
}

/// Where something is found: a file of the image, and what leads to it in there.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) path: String,
    pub(super) within: Vec<String>,
}

impl Place {
    /// Returns the name of the innermost file.
    pub(super) fn name(&self) -> &str {
        let path = self.within.last().unwrap_or(&self.path);
        path.rsplit('/').next().unwrap_or_default()
    }

    /// Returns the place of a member.
    pub(super) fn member(&self, name: &str) -> Place {
        let within = self.within.iter().cloned().chain([name.to_owned()]).collect();
        Place { path: self.path.clone(), within }
    }
}

impl Found {
    /// How many components one file may have; the largest programs have some thousands.
    const MOST: usize = 50_000;

    /// Notes a component that has a name; `namespace` belongs to its package URL only.
    pub(super) fn add(&mut self, place: &Place, kind: ComponentKind, namespace: &str, package: Package) {
        if self.components.len() >= Found::MOST {
            return self.give_up(place, "it names more packages than are read");
        }
        let Some(purl) = purl(kind, namespace, &package) else {
            return self.give_up(place, "it names a package that has no name");
        };
        let Package { name, version, licence, is_main } = package;
        let (path, within) = (place.path.clone(), place.within.clone());
        self.components.push(Component { path, within, kind, name, version, purl, licence, is_main });
    }

    /// Notes that a file can't be read, or no further; once is enough.
    pub(super) fn give_up(&mut self, place: &Place, why: &str) {
        let path = std::iter::once(&place.path).chain(&place.within).cloned().collect::<Vec<_>>().join("!");
        let incomplete = Incomplete { path, why: why.to_owned() };
        if !self.incomplete.contains(&incomplete) {
            self.incomplete.push(incomplete);
        }
    }

    /// Forgets what is in files of which `stays` is false; it is asked about paths without a leading slash.
    pub fn retain(&mut self, stays: &dyn Fn(&[u8]) -> bool) {
        let is_there = |path: &str| stays(path.trim_start_matches('/').as_bytes());
        self.components.retain(|component| is_there(&component.path));
        self.incomplete.retain(|incomplete| is_there(incomplete.path.split('!').next().unwrap_or_default()));
    }

    /// Adds what was found elsewhere.
    pub fn extend(&mut self, other: Found) {
        self.components.extend(other.components);
        self.incomplete.extend(other.incomplete);
    }
}

/// What a package says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Package {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) licence: Option<String>,
    pub(super) is_main: bool,
}

impl Package {
    pub(super) fn new(name: &str, version: &str) -> Package {
        Package { name: name.to_owned(), version: version.to_owned(), ..Package::default() }
    }
}

/// Returns the package URL, as the types' own rules have it
/// (<https://github.com/package-url/purl-spec/blob/main/PURL-TYPES.rst>).
fn purl(kind: ComponentKind, namespace: &str, package: &Package) -> Option<String> {
    let (namespace, name) = match kind {
        ComponentKind::Golang | ComponentKind::Npm | ComponentKind::Composer => {
            package.name.rsplit_once('/').unwrap_or(("", &package.name))
        }
        ComponentKind::Cargo
        | ComponentKind::Pypi
        | ComponentKind::Maven
        | ComponentKind::Gem
        | ComponentKind::Nuget
        | ComponentKind::Cran
        | ComponentKind::Luarocks
        | ComponentKind::Wordpress
        | ComponentKind::Generic => (namespace, package.name.as_str()),
    };
    let name = match kind {
        ComponentKind::Pypi => name.to_lowercase().replace('_', "-"),
        ComponentKind::Composer => name.to_lowercase(),
        ComponentKind::Golang
        | ComponentKind::Cargo
        | ComponentKind::Npm
        | ComponentKind::Maven
        | ComponentKind::Gem
        | ComponentKind::Nuget
        | ComponentKind::Cran
        | ComponentKind::Luarocks
        | ComponentKind::Wordpress
        | ComponentKind::Generic => name.to_owned(),
    };
    // Go's versions carry a `v`; that of its own library is written without the word before it.
    let version = match (kind, package.name.as_str()) {
        (ComponentKind::Golang, "stdlib") => package.version.trim_start_matches("go"),
        _ => &package.version,
    };
    if name.is_empty() {
        return None;
    }
    let mut purl = PackageUrl::new(kind.purl_type(), name).ok()?;
    if !namespace.is_empty() {
        purl.with_namespace(namespace).ok()?;
    }
    if !version.is_empty() {
        purl.with_version(version).ok()?;
    }
    Some(purl.to_string())
}

impl ComponentKind {
    fn purl_type(self) -> &'static str {
        match self {
            ComponentKind::Golang => "golang",
            ComponentKind::Cargo => "cargo",
            ComponentKind::Pypi => "pypi",
            ComponentKind::Npm => "npm",
            ComponentKind::Maven => "maven",
            ComponentKind::Gem => "gem",
            ComponentKind::Composer => "composer",
            ComponentKind::Nuget => "nuget",
            ComponentKind::Cran => "cran",
            ComponentKind::Luarocks => "luarocks",
            ComponentKind::Wordpress => "wordpress-plugin",
            ComponentKind::Generic => "generic",
        }
    }
}
