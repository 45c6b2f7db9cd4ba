//! Where packages come from: the lines of a `sources.list` and the paragraphs of a `.sources` file.
//!
//! See <https://manpages.debian.org/sources.list.5>. Which files there are, which keys verify and which suites fit
//! a distribution is decided elsewhere. A URI may hold credentials, so messages show it through [`redact::url`].

use std::fmt;

use crate::debian::deb822::{self, Paragraph};
use crate::debian::relation::is_architecture;
use crate::redact;

/// One suite of one archive, binary or source.
#[derive(Clone, PartialEq, Eq)]
pub struct Repository {
    /// `deb` or `deb-src`.
    pub kind: Kind,
    /// The archive's base, as written; it may hold credentials.
    pub uri: String,
    /// The suite, or for a flat repository a path that ends in `/`.
    pub suite: String,
    /// The components; none in a flat repository.
    pub components: Vec<String>,
    /// The architectures it is limited to.
    pub architectures: Option<Vec<String>>,
    /// Whose signature counts.
    pub signed_by: SignedBy,
    /// Whether it is trusted without a signature, or not even with one.
    pub trusted: Option<bool>,
    /// The option, as it is written, by which it asks to be believed with less than a good signature.
    pub lenience: Option<&'static str>,
    /// For how long its Release file counts.
    pub validity: Validity,
    /// Where it was written.
    pub place: Place,
}

/// For how long a Release file counts, as far as a source says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Validity {
    /// Whether an expired or older one is refused; it is unless this says no.
    pub check: Option<bool>,
    /// It counts for so many seconds after its `Date`, whatever its `Valid-Until` says.
    pub at_least: Option<i64>,
    /// It counts for no more than so many seconds after its `Date`.
    pub at_most: Option<i64>,
}

/// Binary packages or source packages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `deb`
    Binary,
    /// `deb-src`
    Source,
}

/// Whose signature counts for a repository.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum SignedBy {
    /// Nothing is said.
    #[default]
    Unset,
    /// Keyring files, or names of keys in a definition.
    Paths(Vec<String>),
    /// Fingerprints of keys known otherwise; a trailing `!` excludes subkeys.
    Fingerprints(Vec<String>),
    /// An armored keyring that stands in the sources file itself.
    Embedded(String),
}

/// Where a repository was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file, as the caller calls it.
    pub file: String,
    /// The line, counted from 1.
    pub line: usize,
}

/// What a sources file says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sources {
    /// The repositories, in the order written.
    pub repositories: Vec<Repository>,
    /// What was left out and why, for the log.
    pub ignored: Vec<Ignored>,
}

/// A source that is left out on purpose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ignored {
    /// Where it was written.
    pub place: Place,
    /// Why it does not count.
    pub reason: &'static str,
}

/// A source that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot read source at {place}: {problem}")]
pub struct SourceError {
    /// Where.
    pub place: Place,
    /// What is wrong.
    pub problem: String,
}

/// Types × URIs × suites of one paragraph: more than anybody writes.
const MOST_REPOSITORIES: usize = 1000;
const CDROM: &str = "a cdrom is not at hand during a build";
const DISABLED: &str = "it is disabled";
const ONE_LINE_FORM: &str = "expected `deb [options] uri suite component…`";

/// Reads a text of either form: lines of a `sources.list`, or paragraphs of a `.sources` file.
pub fn parse(text: &str, file: &str) -> Result<Sources, SourceError> {
    match text.trim_start().starts_with("deb") {
        true => parse_one_line(text, file),
        false => parse_deb822(text, file),
    }
}

/// Reads a `sources.list`, or a single line of one.
pub fn parse_one_line(text: &str, file: &str) -> Result<Sources, SourceError> {
    let mut sources = Sources::default();
    for (index, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        let place = Place { file: file.to_owned(), line: index + 1 };
        match read_line(line, &place)? {
            Some(repository) => sources.repositories.push(repository),
            None => sources.ignored.push(Ignored { place, reason: CDROM }),
        }
    }
    Ok(sources)
}

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

impl Repository {
    /// Whether its indexes lie beside its Release file, without suites and components.
    pub fn is_flat(&self) -> bool {
        self.suite.ends_with('/')
    }

    /// Whether it offers packages for `architecture`, as far as the source says.
    pub fn offers(&self, architecture: &str) -> bool {
        self.architectures.as_ref().is_none_or(|known| known.iter().any(|name| name == architecture))
    }

    /// Returns a problem that shows before anything is fetched.
    fn problem(&self) -> Option<String> {
        let (scheme, rest) = self.uri.split_once(':').unwrap_or_default();
        if scheme.is_empty() || rest.is_empty() || scheme.contains('/') {
            return Some(format!("{:?} is not a URI", excerpt(&redact::url(&self.uri))));
        }
        if self.is_flat() && !self.components.is_empty() {
            return Some(format!(
                "suite {:?} ends in a slash, so no component may follow",
                excerpt(&self.suite)
            ));
        }
        if !self.is_flat() && self.components.is_empty() {
            return Some(format!("suite {:?} needs a component, as `main`", excerpt(&self.suite)));
        }
        let parts = || self.components.iter().chain([&self.suite]);
        if parts().any(|part| part.split('/').any(|step| step == "..")) {
            return Some("suite and components may not hold `..`".to_owned());
        }
        let mut architectures = self.architectures.iter().flatten();
        let odd = architectures.find(|name| !is_architecture(name));
        odd.map(|name| format!("{:?} is not an architecture", excerpt(name)))
    }

    fn checked(self) -> Result<Repository, SourceError> {
        match self.problem() {
            None => Ok(self),
            Some(problem) => Err(SourceError { place: self.place, problem }),
        }
    }
}

/// Returns `None` for a cdrom.
fn read_line(line: &str, place: &Place) -> Result<Option<Repository>, SourceError> {
    let fail = |problem: String| SourceError { place: place.clone(), problem };
    let (word, rest) = line.split_once(char::is_whitespace).ok_or_else(|| fail(ONE_LINE_FORM.to_owned()))?;
    let kind = Kind::parse(word).map_err(fail)?;
    let (options, rest) =
        split_options(rest.trim_start()).ok_or_else(|| fail("expected `]` after the options".to_owned()))?;
    if rest.starts_with("cdrom:") {
        return Ok(None);
    }
    let mut words = rest.split_whitespace().map(str::to_owned);
    let (Some(uri), Some(suite)) = (words.next(), words.next()) else {
        return Err(fail(ONE_LINE_FORM.to_owned()));
    };
    let mut repository = Repository {
        kind,
        uri,
        suite,
        components: words.collect(),
        architectures: None,
        signed_by: SignedBy::Unset,
        trusted: None,
        lenience: None,
        validity: Validity::default(),
        place: place.clone(),
    };
    for option in options.split_whitespace() {
        read_option(option, &mut repository).map_err(fail)?;
    }
    repository.checked().map(Some)
}

/// Splits `[options] rest`; `None` if the bracket stays open.
fn split_options(text: &str) -> Option<(&str, &str)> {
    match text.strip_prefix('[') {
        None => Some(("", text)),
        Some(text) => text.split_once(']').map(|(options, rest)| (options, rest.trim_start())),
    }
}

fn read_option(option: &str, repository: &mut Repository) -> Result<(), String> {
    let (name, value) =
        option.split_once('=').ok_or_else(|| format!("expected `name=value`, got {:?}", excerpt(option)))?;
    let values = || value.split(',').filter(|part| !part.is_empty()).map(str::to_owned).collect::<Vec<_>>();
    match name {
        "arch" => repository.architectures = Some(values()),
        "arch+" => repository.architectures.get_or_insert_default().extend(values()),
        "signed-by" => repository.signed_by = SignedBy::of_list(values())?,
        "trusted" => {
            repository.trusted = Some(parse_bool(name, value)?);
            repository.lenience = lenience(name, value)?.or(repository.lenience);
        }
        "check-valid-until" => repository.validity.check = Some(parse_bool(name, value)?),
        "valid-until-min" => repository.validity.at_least = parse_seconds(name, value)?,
        "valid-until-max" => repository.validity.at_most = parse_seconds(name, value)?,
        "allow-weak" | "allow-insecure" | "allow-downgrade-to-insecure" => {
            repository.lenience = lenience(name, value)?.or(repository.lenience);
        }
        _ if is_without_effect(name) => {}
        _ => return Err(format!("{:?} is not an option of a source", excerpt(name))),
    }
    Ok(())
}

/// Options of apt's that change nothing about which packages there are.
fn is_without_effect(name: &str) -> bool {
    let name = name.trim_end_matches(['+', '-']);
    matches!(
        name,
        "lang" | "target" | "pdiffs" | "by-hash" | "check-date" | "date-max-future" | "inrelease-path"
    ) || name == "snapshot"
}

/// The options by which apt can be told to believe what nobody signed well.
const LENIENCES: [(&str, &str); 4] = [
    ("trusted", "trusted=yes"),
    ("allow-insecure", "allow-insecure=yes"),
    ("allow-weak", "allow-weak=yes"),
    ("allow-downgrade-to-insecure", "allow-downgrade-to-insecure=yes"),
];

fn lenience(name: &str, value: &str) -> Result<Option<&'static str>, String> {
    let asked_for = parse_bool(name, value)?;
    let known = LENIENCES.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
    Ok(known.map(|(_, shown)| shown).filter(|_| asked_for))
}

fn parse_seconds(name: &str, value: &str) -> Result<Option<i64>, String> {
    let seconds = value.parse::<u32>();
    let seconds = seconds.map_err(|_| format!("{name} is a number of seconds, not {:?}", excerpt(value)))?;
    // As with apt, 0 is as good as not given.
    Ok(Some(i64::from(seconds)).filter(|seconds| *seconds != 0))
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

impl Kind {
    fn parse(word: &str) -> Result<Kind, String> {
        match word {
            "deb" => Ok(Kind::Binary),
            "deb-src" => Ok(Kind::Source),
            other => Err(format!("expected type `deb` or `deb-src`, got {:?}", excerpt(other))),
        }
    }
}

impl SignedBy {
    /// Reads what is given as a list: either fingerprints or keyrings, not both.
    fn of_list(values: Vec<String>) -> Result<SignedBy, String> {
        let fingerprints = values.iter().filter(|value| is_fingerprint(value)).count();
        match fingerprints {
            _ if values.is_empty() => Err("signed-by names no key".to_owned()),
            0 => Ok(SignedBy::Paths(values)),
            all if all == values.len() => Ok(SignedBy::Fingerprints(values)),
            _ => Err("signed-by mixes fingerprints and keyrings".to_owned()),
        }
    }
}

fn is_fingerprint(text: &str) -> bool {
    let digits = text.strip_suffix('!').unwrap_or(text);
    matches!(digits.len(), 40 | 64) && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn parse_bool(name: &str, value: &str) -> Result<bool, String> {
    match value.to_ascii_lowercase().as_str() {
        "yes" | "true" | "on" | "1" | "with" | "enable" => Ok(true),
        "no" | "false" | "off" | "0" | "without" | "disable" => Ok(false),
        _ => Err(format!("{name} is `yes` or `no`, not {:?}", excerpt(value))),
    }
}

fn excerpt(text: &str) -> String {
    text.chars().take(100).collect()
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// As a line of a `sources.list`, without options and without credentials.
impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Binary => "deb",
            Kind::Source => "deb-src",
        };
        write!(f, "{kind} {} {}", redact::url(&self.uri), self.suite)?;
        self.components.iter().try_for_each(|component| write!(f, " {component}"))
    }
}

impl fmt::Debug for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self} ({}, {:?}, {:?})", self.place, self.architectures, self.signed_by)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn one(line: &str) -> Repository {
        parse_one_line(line, "sources.list").unwrap().repositories.remove(0)
    }

    #[test]
    fn lines_are_read_in_order_with_their_places() {
        let text = "# comment\n\ndeb http://archive.example/debian bookworm main contrib # more\n\
                    deb-src\thttp://archive.example/debian bookworm main\ndeb cdrom:[Debian 12]/ bookworm main\n";
        let sources = parse_one_line(text, "sources.list").unwrap();
        let shown: Vec<_> = sources.repositories.iter().map(|r| format!("{}: {r}", r.place)).collect();
        assert_eq!(
            shown,
            [
                "sources.list:3: deb http://archive.example/debian bookworm main contrib",
                "sources.list:4: deb-src http://archive.example/debian bookworm main"
            ]
        );
        assert_eq!(sources.ignored.len(), 1);
        assert_eq!((sources.ignored[0].place.line, sources.ignored[0].reason), (5, CDROM));
    }

    #[test]
    fn options_stand_in_brackets() {
        let repository = one(
            "deb [ arch=amd64,arm64 signed-by=docker trusted=no lang=none check-valid-until=no ] https://archive.example/linux bionic stable",
        );
        assert_eq!(repository.architectures, Some(vec!["amd64".to_owned(), "arm64".to_owned()]));
        assert_eq!(repository.signed_by, SignedBy::Paths(vec!["docker".to_owned()]));
        assert_eq!((repository.trusted, repository.validity.check), (Some(false), Some(false)));
        assert_eq!(repository.lenience, None);
        assert!(repository.offers("arm64") && !repository.offers("i386"));
    }

    #[test]
    fn who_asks_to_be_believed_without_a_good_signature_is_noted() {
        for (options, expected) in [
            ("trusted=yes", Some("trusted=yes")),
            ("allow-weak=1 trusted=no", Some("allow-weak=yes")),
            ("allow-insecure=true", Some("allow-insecure=yes")),
            ("allow-downgrade-to-insecure=on", Some("allow-downgrade-to-insecure=yes")),
            ("allow-weak=no trusted=no allow-insecure=no", None),
        ] {
            assert_eq!(one(&format!("deb [{options}] http://archive.example a b")).lenience, expected);
        }
        let text = "Types: deb\nURIs: http://archive.example\nSuites: ./\nAllow-Insecure: yes\n";
        let sources = parse_deb822(text, "f").unwrap();
        assert_eq!(sources.repositories[0].lenience, Some("allow-insecure=yes"));
    }

    #[test]
    fn a_source_may_say_for_how_long_its_release_file_counts() {
        let validity = |options: &str| one(&format!("deb [{options}] http://archive.example a b")).validity;
        let expected = Validity { check: None, at_least: Some(86_400), at_most: Some(172_800) };
        assert_eq!(validity("valid-until-min=86400 valid-until-max=172800"), expected);
        assert_eq!(validity("valid-until-max=0"), Validity::default());
        let text = "Types: deb\nURIs: http://archive.example\nSuites: ./\nValid-Until-Max: 60\n";
        assert_eq!(parse_deb822(text, "f").unwrap().repositories[0].validity.at_most, Some(60));
    }

    #[test]
    fn keys_are_paths_names_or_fingerprints() {
        let fingerprint = "0123456789ABCDEF0123456789ABCDEF01234567";
        let signed_by =
            |value: &str| one(&format!("deb [signed-by={value}] http://archive.example a b")).signed_by;
        assert_eq!(
            signed_by("/usr/share/keyrings/a.gpg,b"),
            SignedBy::Paths(vec!["/usr/share/keyrings/a.gpg".to_owned(), "b".to_owned()])
        );
        assert_eq!(
            signed_by(&format!("{fingerprint}!")),
            SignedBy::Fingerprints(vec![format!("{fingerprint}!")])
        );
    }

    #[test]
    fn a_flat_repository_has_no_components() {
        assert!(one("deb http://archive.example/ ./").is_flat());
        assert!(one("deb http://archive.example/ dir/").is_flat());
    }

    #[test]
    fn a_paragraph_is_every_combination() {
        let text = "Types: deb deb-src\nURIs: http://archive.example/debian\nSuites: bookworm bookworm-updates\n\
                    Components: main\n# comment\nSigned-By: /usr/share/keyrings/debian.gpg\nArchitectures: amd64\n\n\
                    Enabled: no\nTypes: deb\n";
        let sources = parse_deb822(text, "debian.sources").unwrap();
        let shown: Vec<_> = sources.repositories.iter().map(ToString::to_string).collect();
        assert_eq!(
            shown,
            [
                "deb http://archive.example/debian bookworm main",
                "deb http://archive.example/debian bookworm-updates main",
                "deb-src http://archive.example/debian bookworm main",
                "deb-src http://archive.example/debian bookworm-updates main"
            ]
        );
        assert_eq!((sources.ignored[0].place.line, sources.ignored[0].reason), (9, DISABLED));
    }

    #[test]
    fn an_embedded_key_is_unfolded() {
        let text = "Types: deb\nURIs: http://archive.example\nSuites: ./\nSigned-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mQ==\n -----END PGP PUBLIC KEY BLOCK-----\n";
        let signed_by = parse_deb822(text, "f").unwrap().repositories.remove(0).signed_by;
        let key = "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmQ==\n-----END PGP PUBLIC KEY BLOCK-----\n";
        assert_eq!(signed_by, SignedBy::Embedded(key.to_owned()));
    }

    #[test]
    fn a_mistake_is_named_with_its_place_and_without_credentials() {
        for (line, problem) in [
            ("deb", ONE_LINE_FORM),
            ("deb http://archive.example", ONE_LINE_FORM),
            ("dep http://archive.example a b", "expected type `deb` or `deb-src`, got \"dep\""),
            ("deb [arch=amd64 http://archive.example a b", "expected `]` after the options"),
            ("deb [singed-by=x] http://archive.example a b", "\"singed-by\" is not an option of a source"),
            ("deb [signed-by=] http://archive.example a b", "signed-by names no key"),
            ("deb [trusted=maybe] http://archive.example a b", "trusted is `yes` or `no`, not \"maybe\""),
            (
                "deb [valid-until-max=week] http://archive.example a b",
                "valid-until-max is a number of seconds, not \"week\"",
            ),
            ("deb [arch=a/b] http://archive.example a b", "\"a/b\" is not an architecture"),
            ("deb archive.example a b", "\"archive.example\" is not a URI"),
            ("deb http://archive.example a", "suite \"a\" needs a component, as `main`"),
            ("deb http://archive.example a/ b", "suite \"a/\" ends in a slash, so no component may follow"),
            ("deb http://archive.example ../../a b", "suite and components may not hold `..`"),
        ] {
            let error = parse_one_line(line, "f").unwrap_err();
            assert_eq!(error.to_string(), format!("cannot read source at f:1: {problem}"));
        }
        let repository = one("deb https://user:secret@archive.example/a suite main");
        assert!(!format!("{repository} {repository:?}").contains("secret"));
    }

    #[test]
    fn a_paragraph_without_a_field_or_with_too_many_combinations_is_refused() {
        let error = parse_deb822("\nTypes: deb\nURIs: http://archive.example\n", "f").unwrap_err();
        assert_eq!(error.to_string(), "cannot read source at f:2: field Suites is missing");
        let many = "a ".repeat(1001);
        let text = format!("Types: deb\nURIs: http://archive.example\nSuites: {many}\nComponents: b\n");
        let error = parse_deb822(&text, "f").unwrap_err();
        assert_eq!(error.problem, "1001 combinations of types, URIs and suites are too many");
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(deb|deb-src|Types:|URIs:|Suites:|\\[|\\]|a=|http://|[ \\n,#/é])[ ]?{0,30}") {
            let _ = parse_one_line(&text, "f");
            let _ = parse_deb822(&text, "f");
        }
    }
}
