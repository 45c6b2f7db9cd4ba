//! The paragraphs of a `.sources` file.

use super::value::{LENIENCES, lenience, parse_bool, parse_seconds};
use super::{CDROM, Ignored, Kind, Place, Repository, SignedBy, SourceError, Sources, Validity};
use crate::debian::deb822::{self, Paragraph};

/// Types × URIs × suites of one paragraph: more than anybody writes.
const MOST_REPOSITORIES: usize = 1000;
pub(super) const DISABLED: &str = "it is disabled";

/// Reads a `.sources` file.
pub fn parse_deb822(text: &str, file: &str) -> Result<Sources, SourceError> {
    let mut sources = Sources::default();
    for paragraph in deb822::paragraphs_with_comments(text) {
        let paragraph = paragraph.map_err(|error| SourceError {
            place: Place { file: file.to_owned(), line: error.line },
            problem: error.problem.to_string(),
        })?;
        read_paragraph(&paragraph, file, &mut sources)?;
    }
    Ok(sources)
}

fn read_paragraph(paragraph: &Paragraph<'_>, file: &str, sources: &mut Sources) -> Result<(), SourceError> {
    let reader = Stanza { paragraph, file };
    if reader.flag("Enabled")? == Some(false) {
        sources.ignored.push(Ignored { place: reader.place(), reason: DISABLED });
        return Ok(());
    }
    let template = reader.template()?;
    let (types, uris, suites) =
        (reader.required("Types")?, reader.required("URIs")?, reader.required("Suites")?);
    let count = types.len().saturating_mul(uris.len()).saturating_mul(suites.len());
    if count > MOST_REPOSITORIES {
        return Err(reader.fail(format!("{count} combinations of types, URIs and suites are too many")));
    }
    for kind in types {
        let kind = Kind::parse(&kind).map_err(|problem| reader.fail(problem))?;
        for uri in &uris {
            if uri.starts_with("cdrom:") {
                sources.ignored.push(Ignored { place: reader.place(), reason: CDROM });
                continue;
            }
            for suite in &suites {
                let repository =
                    Repository { kind, uri: uri.clone(), suite: suite.clone(), ..template.clone() };
                sources.repositories.push(repository.checked()?);
            }
        }
    }
    Ok(())
}

/// One paragraph of a `.sources` file.
struct Stanza<'a> {
    paragraph: &'a Paragraph<'a>,
    file: &'a str,
}

impl Stanza<'_> {
    /// Returns what all repositories of the paragraph have in common.
    fn template(&self) -> Result<Repository, SourceError> {
        Ok(Repository {
            kind: Kind::Binary,
            uri: String::new(),
            suite: String::new(),
            components: self.words("Components").unwrap_or_default(),
            architectures: self.words("Architectures"),
            signed_by: self.signed_by()?,
            trusted: self.flag("Trusted")?,
            lenience: self.lenience()?,
            validity: Validity {
                check: self.flag("Check-Valid-Until")?,
                at_least: self.seconds("Valid-Until-Min")?,
                at_most: self.seconds("Valid-Until-Max")?,
            },
            place: self.place(),
        })
    }

    fn lenience(&self) -> Result<Option<&'static str>, SourceError> {
        let given = LENIENCES.iter().filter_map(|(name, _)| Some((name, self.paragraph.get(name)?)));
        let read = given.map(|(name, value)| lenience(name, value));
        let all = read.collect::<Result<Vec<_>, _>>().map_err(|problem| self.fail(problem))?;
        Ok(all.into_iter().flatten().next())
    }

    fn seconds(&self, field: &str) -> Result<Option<i64>, SourceError> {
        let seconds = self.paragraph.get(field).map(|value| parse_seconds(field, value)).transpose();
        seconds.map(Option::flatten).map_err(|problem| self.fail(problem))
    }

    fn signed_by(&self) -> Result<SignedBy, SourceError> {
        let Some(value) = self.paragraph.get("Signed-By") else { return Ok(SignedBy::Unset) };
        if value.contains("-----BEGIN PGP PUBLIC KEY BLOCK-----") {
            return Ok(SignedBy::Embedded(unfold(value)));
        }
        let values = value.split(|c: char| c.is_whitespace() || c == ',').filter(|part| !part.is_empty());
        SignedBy::of_list(values.map(str::to_owned).collect()).map_err(|problem| self.fail(problem))
    }

    fn words(&self, field: &str) -> Option<Vec<String>> {
        Some(self.paragraph.get(field)?.split_whitespace().map(str::to_owned).collect())
    }

    fn required(&self, field: &str) -> Result<Vec<String>, SourceError> {
        let words = self.words(field).filter(|words| !words.is_empty());
        words.ok_or_else(|| self.fail(format!("field {field} is missing")))
    }

    fn flag(&self, field: &str) -> Result<Option<bool>, SourceError> {
        let flag = self.paragraph.get(field).map(|value| parse_bool(field, value)).transpose();
        flag.map_err(|problem| self.fail(problem))
    }

    fn place(&self) -> Place {
        Place { file: self.file.to_owned(), line: self.paragraph.line }
    }

    fn fail(&self, problem: String) -> SourceError {
        SourceError { place: self.place(), problem }
    }
}

/// Undoes the folding of an embedded key: a leading space goes, a lone dot is an empty line.
fn unfold(value: &str) -> String {
    let lines = value.lines().map(str::trim).map(|line| if line == "." { "" } else { line });
    lines.fold(String::with_capacity(value.len()), |text, line| text + line + "\n")
}
