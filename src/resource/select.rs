//! Which images of a repository are versions: by one tag, by a pattern of tags, or by version numbers.
//!
//! What a source says of that is read here; what is there, `check` finds out.

use std::collections::BTreeMap;

use regex::bytes::{Regex, RegexBuilder};

use super::fields::{Fields, InvalidRequest};
use super::semver::{Constraint, LooseVersion};

/// What marks a pre-release where the source says nothing else; whatever else stands after a hyphen is a variant.
const PRE_RELEASE_PREFIXES: [&str; 3] = ["alpha", "beta", "rc"];

/// Which images are versions, where the source names no tag, and which of those are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Select {
    /// Which tags, where they need not be version numbers.
    pub tag_regex: Option<Pattern>,
    /// Whether such tags are in the order in which their images were made, rather than the registry's.
    pub created_at_sort: bool,
    /// Which tags, where they are version numbers.
    pub numbers: Numbers,
    /// Labels that an image's configuration must have.
    pub label_regex: BTreeMap<String, Pattern>,
    /// Annotations that an image's manifest must have.
    pub annotation_regex: BTreeMap<String, Pattern>,
}

/// Which version numbers are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Numbers {
    /// Which, by their order.
    pub constraint: Option<Constraint>,
    /// Whether pre-releases are, too.
    pub pre_releases: bool,
    /// How pre-releases begin, if not as usual.
    pub pre_release_prefixes: Vec<String>,
    /// What stands after a hyphen behind each number, as `alpine`.
    pub variant: Option<String>,
}

/// A regular expression over ASCII, which may match anywhere in a text.
#[derive(Clone, Debug)]
pub struct Pattern(Regex);

impl Select {
    /// Takes what a source says of its versions.
    pub(super) fn from_fields(fields: &mut Fields) -> Result<Select, InvalidRequest> {
        let tag_regex = fields.text("tag_regex")?;
        let tag_regex = tag_regex.map(|text| pattern(fields, "tag_regex", &text)).transpose()?;
        Ok(Select {
            tag_regex,
            created_at_sort: fields.flag("created_at_sort")?,
            numbers: Numbers::from_fields(fields)?,
            label_regex: patterns(fields, "label_regex")?,
            annotation_regex: patterns(fields, "annotation_regex")?,
        })
    }
}

impl Numbers {
    fn from_fields(fields: &mut Fields) -> Result<Numbers, InvalidRequest> {
        let constraint = fields.text("semver_constraint")?.map(|text| Constraint::parse(&text));
        let constraint = constraint
            .transpose()
            .map_err(|invalid| fields.refusal("semver_constraint", &invalid.to_string()))?;
        Ok(Numbers {
            constraint,
            pre_releases: fields.flag("pre_releases")?,
            pre_release_prefixes: fields.texts("pre_release_prefixes")?,
            variant: fields.text("variant")?,
        })
    }

    /// Returns the tag that stands for the newest version: `latest`, or the variant alone.
    pub fn bare_tag(&self) -> &str {
        self.variant.as_deref().unwrap_or("latest")
    }

    /// Returns the version that a tag is, if it is one that is wanted.
    pub fn wanted(&self, tag: &str) -> Option<LooseVersion> {
        self.version(tag).filter(|version| {
            let is_allowed = self.constraint.as_ref().is_none_or(|constraint| constraint.allows(version));
            is_allowed && (!version.is_pre_release() || self.wants_pre_release(&version.pre))
        })
    }

    /// Returns the version that a tag of the variant is.
    pub fn version(&self, tag: &str) -> Option<LooseVersion> {
        match &self.variant {
            Some(variant) => LooseVersion::parse(tag.strip_suffix(variant.as_str())?.strip_suffix('-')?),
            None => LooseVersion::parse(tag),
        }
    }

    /// A hyphen begins a (further) variant.
    fn wants_pre_release(&self, pre: &str) -> bool {
        let begins = match self.pre_release_prefixes.as_slice() {
            [] => PRE_RELEASE_PREFIXES.iter().any(|prefix| pre.starts_with(prefix)),
            prefixes => prefixes.iter().any(|prefix| pre.starts_with(prefix.as_str())),
        };
        self.pre_releases && begins && !pre.contains('-')
    }
}

impl Pattern {
    /// Reads a regular expression; an error says why it is none, without showing it.
    fn parse(text: &str) -> Result<Pattern, String> {
        let regex = RegexBuilder::new(text).unicode(false).build();
        regex.map(Pattern).map_err(|error| reason(&error))
    }

    /// Whether it matches somewhere in `text`.
    pub fn matches(&self, text: &str) -> bool {
        self.0.is_match(text.as_bytes())
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Pattern) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Eq for Pattern {}

/// The parser shows the expression, and says last what is wrong with it.
fn reason(error: &regex::Error) -> String {
    let text = match error {
        regex::Error::Syntax(text) => text.rsplit_once("error: ").map_or("", |(_, reason)| reason),
        regex::Error::CompiledTooBig(_) => "it becomes too large",
        _ => "",
    };
    format!("it is no regular expression: {text}").trim_end_matches([' ', ':']).to_owned()
}

fn pattern(fields: &Fields, name: &str, text: &str) -> Result<Pattern, InvalidRequest> {
    Pattern::parse(text).map_err(|reason| fields.refusal(name, &reason))
}

/// Takes an object of regular expressions.
fn patterns(fields: &mut Fields, name: &'static str) -> Result<BTreeMap<String, Pattern>, InvalidRequest> {
    let table = fields.table(name)?;
    let entry = |(key, text): (String, String)| {
        let pattern = pattern(fields, &format!("{name}.{key}"), &text)?;
        Ok((key, pattern))
    };
    table.into_iter().map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn select(source: Value) -> Select {
        let mut fields = Fields::new("source field", source).unwrap();
        let select = Select::from_fields(&mut fields).unwrap();
        fields.finish(|_| false).unwrap();
        select
    }

    fn wanted<'a>(source: Value, tags: &[&'a str]) -> Vec<&'a str> {
        let numbers = select(source).numbers;
        tags.iter().filter(|tag| numbers.wanted(tag).is_some()).copied().collect()
    }

    #[test]
    fn every_field_is_read() {
        let select = select(json!({
            "tag_regex": "^v", "created_at_sort": true, "semver_constraint": "~1-0", "pre_releases": true,
            "pre_release_prefixes": ["nightly"], "variant": "alpine", "label_regex": {"a": "b"},
            "annotation_regex": {"c": "d"},
        }));
        assert!(select.created_at_sort && select.tag_regex.unwrap().matches("v1"));
        assert!(select.numbers.wanted("1.0-nightly.3-alpine").is_some());
        assert_eq!(select.numbers.bare_tag(), "alpine");
        assert!(select.label_regex["a"].matches("abc") && !select.annotation_regex["c"].matches("abc"));
    }

    #[test]
    fn pre_releases_are_told_from_variants_by_how_they_begin() {
        let tags = [
            "1",
            "1-rc.1",
            "1-beta2",
            "1-alpha",
            "1-alpine",
            "1-nightly.3",
            "1-rc.1-alpine",
            "1-alpine-rc.1",
        ];
        for (source, expected) in [
            (json!({}), "1"),
            (json!({"pre_releases": true}), "1 1-rc.1 1-beta2 1-alpha"),
            (
                json!({"pre_releases": true, "pre_release_prefixes": ["nightly", "rc"]}),
                "1 1-rc.1 1-nightly.3",
            ),
            (json!({"pre_release_prefixes": ["nightly"]}), "1"),
            (json!({"variant": "alpine"}), "1-alpine"),
            (json!({"variant": "alpine", "pre_releases": true}), "1-alpine 1-rc.1-alpine"),
            (json!({"pre_releases": true, "semver_constraint": "1"}), "1"),
            (json!({"pre_releases": true, "semver_constraint": ">= 1-beta"}), "1 1-rc.1 1-beta2"),
        ] {
            assert_eq!(wanted(source.clone(), &tags).join(" "), expected, "{source}");
        }
    }

    #[test]
    fn a_mistake_is_named_with_the_field_and_the_reason_and_not_shown() {
        for (source, expected) in [
            (json!({"tag_regex": "(hunter2"}), "`tag_regex`: it is no regular expression: unclosed group"),
            (
                json!({"tag_regex": "[z-a]hunter2"}),
                "`tag_regex`: it is no regular expression: invalid character class range",
            ),
            (
                json!({"tag_regex": "(?:hunter2{900}){900}"}),
                "`tag_regex`: it is no regular expression: it becomes too large",
            ),
            (
                json!({"label_regex": {"org.x": "*hunter2"}}),
                "`label_regex.org.x`: it is no regular expression: repetition operator",
            ),
            (
                json!({"annotation_regex": {"a": ["hunter2"]}}),
                "`annotation_regex.a`: expected a text, got a list",
            ),
            (
                json!({"annotation_regex": "hunter2"}),
                "`annotation_regex`: expected an object of texts, got a text",
            ),
            (
                json!({"semver_constraint": ">= 1, hunter2"}),
                "`semver_constraint`: comparison 2 in it cannot be read",
            ),
            (json!({"semver_constraint": 1.2}), "`semver_constraint`: expected a text, got a number"),
            (
                json!({"pre_release_prefixes": "rc"}),
                "`pre_release_prefixes`: expected a list of texts, got a text",
            ),
        ] {
            let mut fields = Fields::new("source field", source).unwrap();
            let error = Select::from_fields(&mut fields).unwrap_err().to_string();
            assert!(error.contains(expected) && !error.contains("hunter2"), "{error}");
        }
    }
}
