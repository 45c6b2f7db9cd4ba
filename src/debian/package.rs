//! What a control paragraph says about one binary package.
//!
//! The fields that relate packages are kept as text and read when asked for: an index has sixty thousand
//! packages of which a build looks at some hundreds. Where a package can be fetched is the index's business.

use super::deb822::Paragraph;
use super::relation::{self, Operator, Relation};
use super::version::{self, Version};

/// One binary package.
#[derive(Debug, Clone)]
pub struct Package {
    /// Its name; what [`relation::is_name`] accepts, so never a path.
    pub name: Box<str>,
    /// Its version.
    pub version: Version,
    /// `all` or the architecture it was built for.
    pub architecture: Box<str>,
    /// Whether it stands in for itself across architectures.
    pub multi_arch: MultiArch,
    /// `Essential: yes`: every installation has it and nobody declares it.
    pub essential: bool,
    /// `Important: yes` or `Protected: yes`: not removed without asking.
    pub protected: bool,
    /// How much it belongs to every system.
    pub priority: Priority,
    /// The archive section, as `libs` or `contrib/net`.
    pub section: Option<Box<str>>,
    /// Who maintains it (Debian policy 5.6.2).
    pub maintainer: Option<Box<str>>,
    /// Where its project lives (Debian policy 5.6.23).
    pub homepage: Option<Box<str>>,
    /// `Source: name (version)`, where it differs from the package itself.
    source: Option<Box<Source>>,
    relations: Box<[(RelationField, Box<str>)]>,
}

/// A source's name, and its version where that differs from the package's.
type Source = (Box<str>, Option<Version>);

/// The field `Multi-Arch`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MultiArch {
    /// Satisfies its own architecture only.
    #[default]
    No,
    /// Can be installed for several architectures at once.
    Same,
    /// Satisfies dependencies of any architecture.
    Foreign,
    /// Satisfies dependencies that say `:any`.
    Allowed,
}

/// The field `Priority`, the most needed first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// Needed for the system to work at all.
    Required,
    /// Expected on every Unix-like system.
    Important,
    /// A small text-mode system.
    Standard,
    /// Everything else.
    Optional,
    /// Everything else, of old; and a word of the archive's own.
    Extra,
    /// Not given.
    Unknown,
}

/// The fields that relate a package to others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "they are named as in Debian policy, chapter 7")]
pub enum RelationField {
    Depends,
    PreDepends,
    Suggests,
    Recommends,
    Conflicts,
    Breaks,
    Replaces,
    Enhances,
    Provides,
    BuiltUsing,
    StaticBuiltUsing,
    XCargoBuiltUsing,
}

/// A name that a package provides besides its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provided {
    /// The virtual package.
    pub name: Box<str>,
    /// What follows the name after a colon: `any` or an architecture.
    pub qualifier: Option<Box<str>>,
    /// The version it claims; without one it satisfies no versioned relation.
    pub version: Option<Version>,
}

/// A paragraph that describes no package.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A field that must be there is not.
    #[error("cannot read {package} at line {line}: field {field} is missing")]
    Missing {
        /// The package, as far as it is known.
        package: String,
        /// Where its paragraph begins.
        line: usize,
        /// The field.
        field: &'static str,
    },
    /// A field has a value it cannot have.
    #[error("cannot read {package} at line {line}: field {field} has value {value:?}")]
    Invalid {
        /// The package, as far as it is known.
        package: String,
        /// Where its paragraph begins.
        line: usize,
        /// The field.
        field: &'static str,
        /// The value, or its beginning.
        value: String,
    },
    /// A version cannot be read.
    #[error("cannot read {package} at line {line}: {source}")]
    Version {
        /// The package.
        package: String,
        /// Where its paragraph begins.
        line: usize,
        /// What is wrong with the version.
        source: version::Error,
    },
}

/// A relation field that cannot be read, of a package that can.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot read {} of {package} ({version}): {source}", field.name())]
pub struct RelationError {
    /// The package.
    pub package: String,
    /// Its version.
    pub version: String,
    /// The field.
    pub field: RelationField,
    /// What is wrong with it.
    pub source: relation::Error,
}

impl Package {
    /// Reads a control paragraph.
    pub fn from_paragraph(paragraph: &Paragraph<'_>) -> Result<Package, Error> {
        let reader = Reader { paragraph };
        let name = reader.required("Package", relation::is_name)?;
        let version = reader.version(reader.text("Version")?)?;
        Ok(Package {
            name: name.into(),
            architecture: reader.required("Architecture", relation::is_architecture)?.into(),
            multi_arch: reader.multi_arch()?,
            essential: reader.flag("Essential")?,
            protected: reader.flag("Important")? || reader.flag("Protected")?,
            priority: paragraph.get("Priority").map_or(Priority::Unknown, Priority::parse),
            section: paragraph.get("Section").map(Into::into),
            maintainer: paragraph.get("Maintainer").map(Into::into),
            homepage: paragraph.get("Homepage").map(Into::into),
            source: reader.source(name, &version)?,
            relations: relation_fields(paragraph),
            version,
        })
    }

    /// Returns the name of the source package it was built from.
    pub fn source_name(&self) -> &str {
        self.source.as_ref().map_or(&self.name, |source| &source.0)
    }

    /// Returns the version of the source package it was built from.
    pub fn source_version(&self) -> &Version {
        self.source.as_ref().and_then(|source| source.1.as_ref()).unwrap_or(&self.version)
    }

    /// Returns the text of a relation field, empty if it is not there.
    pub fn relation_text(&self, field: RelationField) -> &str {
        self.relations.iter().find(|(known, _)| *known == field).map_or("", |(_, text)| text)
    }

    /// Reads a relation field: groups of alternatives.
    pub fn relations(&self, field: RelationField) -> Result<Vec<Vec<Relation>>, RelationError> {
        relation::parse(self.relation_text(field)).map_err(|source| RelationError {
            package: self.name.to_string(),
            version: self.version.to_string(),
            field,
            source,
        })
    }

    /// Reads by name and version which other sources parts of it were built from (Debian policy 7.8), as `field` says.
    pub fn built_using(&self, field: RelationField) -> Result<Vec<(Box<str>, Version)>, RelationError> {
        let relations = self.relations(field)?.into_iter().flatten();
        Ok(relations.filter_map(|relation| Some((relation.name, relation.constraint?.version))).collect())
    }

    /// Reads `Provides`; a name with a relation other than `=` is passed over, as apt does.
    pub fn provides(&self) -> Result<Vec<Provided>, RelationError> {
        let groups = self.relations(RelationField::Provides)?;
        Ok(groups.into_iter().flatten().filter_map(Provided::from_relation).collect())
    }
}

impl Provided {
    fn from_relation(relation: Relation) -> Option<Provided> {
        let version = match relation.constraint {
            None => None,
            Some(constraint) if constraint.operator == Operator::Equal => Some(constraint.version),
            Some(_) => return None,
        };
        Some(Provided { name: relation.name, qualifier: relation.qualifier, version })
    }
}

impl RelationField {
    /// Those between packages, in the order apt reads them.
    pub const ALL: [RelationField; 9] = [
        RelationField::PreDepends,
        RelationField::Depends,
        RelationField::Conflicts,
        RelationField::Breaks,
        RelationField::Recommends,
        RelationField::Suggests,
        RelationField::Replaces,
        RelationField::Enhances,
        RelationField::Provides,
    ];

    /// Those that name sources rather than packages.
    pub const OF_SOURCES: [RelationField; 3] =
        [RelationField::BuiltUsing, RelationField::StaticBuiltUsing, RelationField::XCargoBuiltUsing];

    /// Returns the field's name in a control file.
    pub fn name(self) -> &'static str {
        match self {
            RelationField::Depends => "Depends",
            RelationField::PreDepends => "Pre-Depends",
            RelationField::Suggests => "Suggests",
            RelationField::Recommends => "Recommends",
            RelationField::Conflicts => "Conflicts",
            RelationField::Breaks => "Breaks",
            RelationField::Replaces => "Replaces",
            RelationField::Enhances => "Enhances",
            RelationField::Provides => "Provides",
            RelationField::BuiltUsing => "Built-Using",
            RelationField::StaticBuiltUsing => "Static-Built-Using",
            RelationField::XCargoBuiltUsing => "X-Cargo-Built-Using",
        }
    }
}

impl Priority {
    fn parse(text: &str) -> Priority {
        match &*text.to_ascii_lowercase() {
            "" => Priority::Unknown,
            "required" => Priority::Required,
            "important" => Priority::Important,
            "standard" => Priority::Standard,
            "optional" => Priority::Optional,
            _ => Priority::Extra,
        }
    }
}

fn relation_fields(paragraph: &Paragraph<'_>) -> Box<[(RelationField, Box<str>)]> {
    let text = |field: RelationField| Some((field, paragraph.get(field.name())?.into()));
    RelationField::ALL.into_iter().chain(RelationField::OF_SOURCES).filter_map(text).collect()
}

/// Reads single fields and knows how to complain about them.
struct Reader<'p> {
    paragraph: &'p Paragraph<'p>,
}

impl<'p> Reader<'p> {
    fn text(&self, field: &'static str) -> Result<&'p str, Error> {
        let value = self.paragraph.get(field).filter(|value| !value.is_empty());
        value.ok_or_else(|| Error::Missing { package: self.package(), line: self.paragraph.line, field })
    }

    fn required(&self, field: &'static str, is_valid: fn(&str) -> bool) -> Result<&'p str, Error> {
        let value = self.text(field)?;
        if is_valid(value) { Ok(value) } else { Err(self.invalid(field, value)) }
    }

    fn flag(&self, field: &'static str) -> Result<bool, Error> {
        match self.paragraph.get(field) {
            None | Some("no") => Ok(false),
            Some("yes") => Ok(true),
            Some(other) => Err(self.invalid(field, other)),
        }
    }

    fn multi_arch(&self) -> Result<MultiArch, Error> {
        match self.paragraph.get("Multi-Arch") {
            None | Some("no") => Ok(MultiArch::No),
            Some("same") => Ok(MultiArch::Same),
            Some("foreign") => Ok(MultiArch::Foreign),
            Some("allowed") => Ok(MultiArch::Allowed),
            Some(other) => Err(self.invalid("Multi-Arch", other)),
        }
    }

    fn version(&self, text: &str) -> Result<Version, Error> {
        Version::parse(text).map_err(|source| Error::Version {
            package: self.package(),
            line: self.paragraph.line,
            source,
        })
    }

    fn source(&self, name: &str, version: &Version) -> Result<Option<Box<Source>>, Error> {
        let Some(text) = self.paragraph.get("Source") else { return Ok(None) };
        let (source, rest) = text.split_once('(').unwrap_or((text, ""));
        let source = source.trim();
        if !relation::is_name(source) {
            return Err(self.invalid("Source", text));
        }
        let source_version = match rest.trim_end() {
            "" => None,
            rest => Some(self.version(rest.strip_suffix(')').ok_or_else(|| self.invalid("Source", text))?)?),
        };
        let source_version = source_version.filter(|known| known.as_str() != version.as_str());
        let is_itself = source == name && source_version.is_none();
        Ok((!is_itself).then(|| Box::new((source.into(), source_version))))
    }

    fn package(&self) -> String {
        let name = self.paragraph.get("Package").unwrap_or_default();
        if relation::is_name(name) { format!("package {name}") } else { "a package".to_owned() }
    }

    fn invalid(&self, field: &'static str, value: &str) -> Error {
        let value = value.chars().take(100).collect();
        Error::Invalid { package: self.package(), line: self.paragraph.line, field, value }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::debian::deb822;

    fn read(text: &str) -> Result<Package, Error> {
        Package::from_paragraph(&deb822::paragraphs(text).next().unwrap().unwrap())
    }

    #[test]
    fn the_source_is_split_and_defaults_to_the_package_itself() {
        for (field, name, version) in [
            ("", "jq", "1.6-2+b1"),
            ("Source: jqlang\n", "jqlang", "1.6-2+b1"),
            ("Source: jq (1.6-2)\n", "jq", "1.6-2"),
            ("Source: other (1:2)\n", "other", "1:2"),
        ] {
            let package =
                read(&format!("Package: jq\n{field}Version: 1.6-2+b1\nArchitecture: amd64\n")).unwrap();
            assert_eq!((package.source_name(), package.source_version().as_str()), (name, version));
        }
    }

    #[test]
    fn other_sources_are_read_by_name_and_version() {
        let package = read(
            "Package: a\nVersion: 1\nArchitecture: all\nBuilt-Using: b (= 1:2), c (= 3)\nX-Cargo-Built-Using: d (= 4)\n",
        )
        .unwrap();
        let sources = RelationField::OF_SOURCES.map(|field| package.built_using(field).unwrap());
        let names: Vec<String> =
            sources.iter().flatten().map(|(name, version)| format!("{name} {version}")).collect();
        assert_eq!(names, ["b 1:2", "c 3", "d 4"]);
    }

    #[test]
    fn flags_priority_and_relations_are_read() {
        let package = read(
            "Package: base\nVersion: 1\nArchitecture: all\nEssential: yes\nProtected: yes\nPriority: required\n\
             Multi-Arch: foreign\nSection: admin\nDepends: a | b, c\nProvides: awk, editor (= 2), odd (>= 3)\n",
        )
        .unwrap();
        assert!(package.essential && package.protected);
        assert_eq!((package.priority, package.multi_arch), (Priority::Required, MultiArch::Foreign));
        assert_eq!(package.relations(RelationField::Depends).unwrap().len(), 2);
        assert_eq!(package.relations(RelationField::Breaks).unwrap().len(), 0);
        let provides = package.provides().unwrap();
        let provides: Vec<_> =
            provides.iter().map(|p| (&*p.name, p.version.as_ref().map(Version::as_str))).collect();
        assert_eq!(provides, [("awk", None), ("editor", Some("2"))]);
    }

    #[test]
    fn what_describes_no_package_is_refused_by_name_line_and_field() {
        for (text, error) in [
            ("Version: 1\n", "cannot read a package at line 1: field Package is missing"),
            (
                "Package: ../x\nVersion: 1\n",
                "cannot read a package at line 1: field Package has value \"../x\"",
            ),
            ("\nPackage: a\n", "cannot read package a at line 2: field Version is missing"),
            (
                "Package: a\nVersion: -\nArchitecture: all\n",
                "cannot read package a at line 1: cannot read version \"-\": the upstream version is empty",
            ),
            ("Package: a\nVersion: 1\n", "cannot read package a at line 1: field Architecture is missing"),
            (
                "Package: a\nVersion: 1\nArchitecture: all\nEssential: maybe\n",
                "cannot read package a at line 1: field Essential has value \"maybe\"",
            ),
            (
                "Package: a\nVersion: 1\nArchitecture: all\nSource: b (1\n",
                "cannot read package a at line 1: field Source has value \"b (1\"",
            ),
        ] {
            assert_eq!(read(text).unwrap_err().to_string(), error);
        }
    }

    #[test]
    fn a_broken_relation_field_is_named_with_its_package_when_it_is_read() {
        let package = read("Package: a\nVersion: 1\nArchitecture: all\nDepends: b (\n").unwrap();
        assert_eq!(
            package.relations(RelationField::Depends).unwrap_err().to_string(),
            "cannot read Depends of a (1): cannot read relation \"b (\": expected `)`"
        );
    }
}
