//! apt's preferences: which version of a package is the one to install, by its release, its origin or its number.
//!
//! See <https://manpages.debian.org/apt_preferences.5>. What is written is a value here; where it stands, and which
//! Release file a repository has, is for others to know.

use regex::{Regex, RegexBuilder};

use super::index::Candidate;
use crate::debian::deb822;
use crate::debian::relation::is_name;

/// apt's priority of what is installed and in no repository.
const INSTALLED: i32 = 100;
/// The priority of what is never looked at.
const NEVER: i32 = i16::MIN as i32;
/// The priority of a package's own `pin`: above what no pin says, and never a downgrade.
pub const PIN_PRIORITY: i16 = 990;
/// No preferences are longer, and no expression grows larger.
const LONGEST: usize = 1 << 20;

/// What somebody prefers, in the order written: the first that fits counts.
#[derive(Debug, Clone, Default)]
pub struct Preferences {
    pins: Vec<Pin>,
}

/// Which priority some versions of some packages have.
#[derive(Debug, Clone)]
struct Pin {
    /// Empty for all packages that no other pin is about.
    packages: Vec<PackagePattern>,
    versions: VersionPattern,
    priority: i32,
}

/// `name`, `name:architecture`, `src:name`, with a name, a glob or an expression.
#[derive(Debug, Clone)]
struct PackagePattern {
    is_source: bool,
    name: Pattern,
    architecture: Option<String>,
}

#[derive(Debug, Clone)]
enum VersionPattern {
    Version(VersionText),
    Release(Box<ReleasePattern>),
    Origin(Pattern),
}

/// A version as a pin names it: whole, its beginning with `*`, or a glob.
#[derive(Debug, Clone)]
struct VersionText {
    text: String,
    is_prefix: bool,
    pattern: Pattern,
}

/// What a Release file must say; what isn't written may be anything.
#[derive(Debug, Clone, Default)]
struct ReleasePattern {
    is_anything: bool,
    archive: Option<Pattern>,
    codename: Option<Pattern>,
    archive_or_codename: Option<Pattern>,
    version: Option<VersionText>,
    origin: Option<Pattern>,
    label: Option<Pattern>,
    component: Option<Pattern>,
    architecture: Option<Pattern>,
}

#[derive(Debug, Clone)]
enum Pattern {
    Text(String),
    Expression(Regex),
}

/// Where a repository comes from, as its Release file and its URI say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origin {
    /// `Suite`
    pub archive: String,
    /// `Codename`
    pub codename: String,
    /// `Version`
    pub version: String,
    /// `Origin`
    pub origin: String,
    /// `Label`
    pub label: String,
    /// The host of its URI.
    pub site: String,
}

/// The preferences, and what they are about.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// What somebody prefers.
    pub preferences: Preferences,
    /// Where the repositories come from, by their number; one that is missing says nothing.
    pub origins: Vec<Origin>,
    /// The architecture of their indexes.
    pub architecture: String,
}

/// Preferences that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot read preferences{}: {problem}", at(*line))]
pub struct Error {
    /// The line that the paragraph begins on, counted from 1; 0 where there are no lines.
    pub line: usize,
    /// What is wrong.
    pub problem: String,
}

fn at(line: usize) -> String {
    if line == 0 { String::new() } else { format!(" at line {line}") }
}

impl Preferences {
    /// Reads the text of a preferences file.
    pub fn parse(text: &str) -> Result<Preferences, Error> {
        if text.len() > LONGEST {
            return Err(Error { line: 0, problem: "they are longer than 1 MiB".to_owned() });
        }
        // `Explanation` may stand several times in a paragraph; it is for people.
        let comments: String = text
            .lines()
            .map(|line| if is_explanation(line) { "#\n".to_owned() } else { format!("{line}\n") })
            .collect();
        let mut pins = Vec::new();
        for paragraph in deb822::paragraphs_with_comments(&comments) {
            let paragraph =
                paragraph.map_err(|error| Error { line: error.line, problem: error.problem.to_string() })?;
            let field = |name: &str| {
                let value = paragraph.get(name).filter(|value| !value.is_empty());
                value.ok_or_else(|| format!("field {name} is missing"))
            };
            let pin =
                || Pin::parse(field("Package")?, field("Pin")?, parse_priority(field("Pin-Priority")?)?);
            pins.push(pin().map_err(|problem| Error { line: paragraph.line, problem })?);
        }
        Ok(Preferences { pins })
    }

    /// Prefers the versions of one package that `pin` names: `release a=…`, `version …` or `origin …`.
    pub fn pin(package: &str, pin: &str) -> Result<Preferences, Error> {
        let pin = Pin::parse(package, pin, i32::from(PIN_PRIORITY));
        pin.map(|pin| Preferences { pins: vec![pin] }).map_err(|problem| Error { line: 0, problem })
    }

    /// Adds others, which count where these say nothing.
    pub fn extend(&mut self, others: Preferences) {
        self.pins.extend(others.pins);
    }

    /// Whether nothing is preferred.
    pub fn is_empty(&self) -> bool {
        self.pins.is_empty()
    }

    fn general(&self) -> impl DoubleEndedIterator<Item = &Pin> {
        self.pins.iter().filter(|pin| pin.packages.is_empty())
    }
}

fn is_explanation(line: &str) -> bool {
    line.get(..12).is_some_and(|name| name.eq_ignore_ascii_case("explanation:"))
}

fn parse_priority(text: &str) -> Result<i32, String> {
    if text == "never" {
        return Ok(NEVER);
    }
    match text.parse::<i16>() {
        Ok(0) => Err("a priority of 0 is none".to_owned()),
        Ok(priority) => Ok(i32::from(priority).max(NEVER + 1)),
        Err(_) => Err(format!("{:?} is no priority: write a number from -32768 to 32767", excerpt(text))),
    }
}

impl Pin {
    fn parse(packages: &str, pin: &str, priority: i32) -> Result<Pin, String> {
        let packages: Vec<PackagePattern> = match packages {
            "*" => Vec::new(),
            names => names.split_whitespace().map(PackagePattern::parse).collect::<Result<_, _>>()?,
        };
        if priority == NEVER && !packages.is_empty() {
            return Err("the priority `never` is for `Package: *` only".to_owned());
        }
        let (kind, data) = pin.split_once(char::is_whitespace).unwrap_or((pin, ""));
        let data = data.trim();
        let versions = match &*kind.to_ascii_lowercase() {
            "version" if packages.is_empty() => {
                return Err("a version is pinned for packages that are named, not for `*`".to_owned());
            }
            "version" => VersionPattern::Version(VersionText::parse(data)?),
            "release" => VersionPattern::Release(Box::new(ReleasePattern::parse(data)?)),
            "origin" => VersionPattern::Origin(Pattern::parse(data.trim_matches('"'))?),
            other => {
                return Err(format!("{:?} is no pin: write release, version or origin", excerpt(other)));
            }
        };
        Ok(Pin { packages, versions, priority })
    }

    fn is_about(&self, candidate: &Candidate, architecture: &str) -> bool {
        self.packages.iter().any(|package| package.is_about(candidate, architecture))
    }
}

impl PackagePattern {
    fn parse(text: &str) -> Result<PackagePattern, String> {
        let (is_source, text) = match text.strip_prefix("src:") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (name, architecture) = match text.rsplit_once(':') {
            Some((name, architecture)) if !text.ends_with('/') => (name, Some(architecture.to_owned())),
            Some(_) | None => (text, None),
        };
        let is_pattern = name.starts_with('/') || name.contains(['*', '[', '?']);
        if !is_pattern && !is_name(name) {
            return Err(format!("{:?} is no name of a package", excerpt(text)));
        }
        let name = if is_pattern { Pattern::parse(name)? } else { Pattern::Text(name.to_owned()) };
        Ok(PackagePattern { is_source, name, architecture })
    }

    fn is_about(&self, candidate: &Candidate, architecture: &str) -> bool {
        let package = &candidate.package;
        let name = if self.is_source { package.source_name() } else { &package.name };
        let fits = |wanted: &str| matches!(wanted, "native" | "any" | "all") || wanted == architecture;
        self.architecture.as_deref().is_none_or(fits) && self.name.matches(name)
    }
}

impl VersionPattern {
    fn matches_any(&self, files: &[&Candidate], is_installed: bool, policy: &Policy) -> bool {
        match self {
            VersionPattern::Version(text) => {
                files.iter().any(|candidate| text.matches(candidate.package.version.as_str()))
            }
            VersionPattern::Release(_) | VersionPattern::Origin(_) => {
                is_installed && self.matches_status()
                    || files.iter().any(|file| self.matches_file(file, policy))
            }
        }
    }

    fn matches_file(&self, candidate: &Candidate, policy: &Policy) -> bool {
        let nothing = Origin::default();
        let origin = policy.origins.get(candidate.repository.0).unwrap_or(&nothing);
        match self {
            VersionPattern::Version(_) => false,
            VersionPattern::Origin(site) => site.matches(&origin.site),
            VersionPattern::Release(release) => {
                release.matches(origin, &candidate.component, &policy.architecture)
            }
        }
    }

    /// Whether dpkg's status is meant, which apt calls the archive `now`.
    fn matches_status(&self) -> bool {
        match self {
            VersionPattern::Version(_) | VersionPattern::Origin(_) => false,
            VersionPattern::Release(release) => release.matches_status(),
        }
    }
}

impl VersionText {
    fn parse(text: &str) -> Result<VersionText, String> {
        if text.is_empty() {
            return Err("the version is missing".to_owned());
        }
        let (text, is_prefix) = match text.strip_suffix('*') {
            Some(beginning) => (beginning, true),
            None => (text, false),
        };
        Ok(VersionText { text: text.to_owned(), is_prefix, pattern: Pattern::parse(text)? })
    }

    fn matches(&self, version: &str) -> bool {
        let beginning = version.get(..self.text.len());
        let fits = beginning.is_some_and(|beginning| beginning.eq_ignore_ascii_case(&self.text));
        fits && (self.is_prefix || version.len() == self.text.len()) || self.pattern.matches(version)
    }
}

impl ReleasePattern {
    fn parse(text: &str) -> Result<ReleasePattern, String> {
        let mut release = ReleasePattern::default();
        if text == "*" {
            release.is_anything = true;
        } else if text.is_empty() {
            return Err("the release is missing".to_owned());
        } else if !text.contains('=') {
            match text.starts_with(|c: char| c.is_ascii_digit()) {
                true => release.version = Some(VersionText::parse(text)?),
                false => release.archive_or_codename = Some(Pattern::parse(text)?),
            }
        } else {
            for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
                release.read_part(part)?;
            }
        }
        Ok(release)
    }

    fn read_part(&mut self, part: &str) -> Result<(), String> {
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        if value.is_empty() {
            return Err(format!("{:?} says nothing of a release", excerpt(part)));
        }
        let field = match &*key.to_ascii_lowercase() {
            "a" => &mut self.archive,
            "n" => &mut self.codename,
            "o" => &mut self.origin,
            "l" => &mut self.label,
            "c" => &mut self.component,
            "b" => &mut self.architecture,
            "v" => {
                self.version = Some(VersionText::parse(value)?);
                return Ok(());
            }
            _ => {
                return Err(format!(
                    "{:?} says nothing of a release: write a, n, v, c, o, l or b",
                    excerpt(part)
                ));
            }
        };
        *field = Some(Pattern::parse(value)?);
        Ok(())
    }

    fn matches(&self, origin: &Origin, component: &str, architecture: &str) -> bool {
        let fits = |pattern: &Option<Pattern>, text: &str| {
            pattern.as_ref().is_none_or(|pattern| pattern.matches(text))
        };
        self.is_anything
            || fits(&self.archive, &origin.archive)
                && fits(&self.codename, &origin.codename)
                && (fits(&self.archive_or_codename, &origin.archive)
                    || fits(&self.archive_or_codename, &origin.codename))
                && self.version.as_ref().is_none_or(|version| version.matches(&origin.version))
                && fits(&self.origin, &origin.origin)
                && fits(&self.label, &origin.label)
                && fits(&self.component, component)
                && fits(&self.architecture, architecture)
    }

    fn matches_status(&self) -> bool {
        let fits = |pattern: &Option<Pattern>| pattern.as_ref().is_none_or(|pattern| pattern.matches("now"));
        let is_named = self.origin.is_some()
            || self.label.is_some()
            || self.version.is_some()
            || self.codename.is_some()
            || self.architecture.is_some();
        self.is_anything
            || !is_named && fits(&self.archive) && fits(&self.archive_or_codename) && fits(&self.component)
    }
}

impl Pattern {
    /// Reads a glob, or an extended regular expression between slashes; letters count alike, large or small.
    fn parse(text: &str) -> Result<Pattern, String> {
        let expression = match text.strip_prefix('/').and_then(|rest| rest.strip_suffix('/')) {
            Some(expression) => expression.to_owned(),
            None if text.contains(['*', '?', '[', '\\']) => glob(text),
            None => return Ok(Pattern::Text(text.to_owned())),
        };
        let mut builder = RegexBuilder::new(&expression);
        let built = builder.case_insensitive(true).size_limit(LONGEST).build();
        built.map(Pattern::Expression).map_err(|_| format!("{:?} is no pattern", excerpt(text)))
    }

    fn matches(&self, text: &str) -> bool {
        match self {
            Pattern::Text(wanted) => wanted.eq_ignore_ascii_case(text),
            Pattern::Expression(expression) => expression.is_match(text),
        }
    }
}

/// Returns the expression for a glob: `*`, `?`, `[…]`, and `\` before what stands for itself.
fn glob(text: &str) -> String {
    let mut expression = String::from("^");
    let mut rest = text.chars();
    while let Some(character) = rest.next() {
        match character {
            '*' => expression.push_str(".*"),
            '?' => expression.push('.'),
            '[' => match rest.as_str().split_once(']') {
                Some((set, after)) if !set.is_empty() => {
                    let set = set.strip_prefix('!').map_or(set.to_owned(), |others| format!("^{others}"));
                    expression.push_str(&format!("[{}]", set.replace('\\', "\\\\").replace('[', "\\[")));
                    rest = after.chars();
                }
                Some(_) | None => expression.push_str("\\["),
            },
            '\\' => expression.extend(rest.next().map(|next| regex::escape(&next.to_string()))),
            other => expression.push_str(&regex::escape(&other.to_string())),
        }
    }
    expression + "$"
}

fn excerpt(text: &str) -> String {
    text.chars().take(80).collect()
}

impl Policy {
    /// Returns apt's priority of one version: of these candidates, which are all the same, and perhaps of what is
    /// installed.
    pub(super) fn priority(&self, files: &[&Candidate], is_installed: bool) -> i32 {
        let of_files = files.iter().map(|candidate| self.file_priority(candidate));
        let of_status = is_installed.then(|| self.status_priority());
        let highest = of_files.chain(of_status).max().unwrap_or(0);
        let pin = self.preferences.pins.iter().find(|pin| {
            files.first().is_some_and(|candidate| pin.is_about(candidate, &self.architecture))
                && pin.versions.matches_any(files, is_installed, self)
        });
        match pin {
            Some(pin) if highest != NEVER => pin.priority,
            Some(_) | None => highest,
        }
    }

    fn file_priority(&self, candidate: &Candidate) -> i32 {
        let pins = || self.preferences.general().filter(|pin| pin.versions.matches_file(candidate, self));
        choose(pins).unwrap_or(i32::from(candidate.pin))
    }

    fn status_priority(&self) -> i32 {
        choose(|| self.preferences.general().filter(|pin| pin.versions.matches_status())).unwrap_or(INSTALLED)
    }
}

/// The first pin counts, save that `never` always does.
fn choose<'p, I: Iterator<Item = &'p Pin>>(pins: impl Fn() -> I) -> Option<i32> {
    let is_never = pins().any(|pin| pin.priority == NEVER);
    if is_never { Some(NEVER) } else { pins().next().map(|pin| pin.priority) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apt::index::{Index, RepositoryId};

    fn candidate(fields: &str, repository: usize) -> Candidate {
        let hex = "0123456789abcdef".repeat(4);
        let text = format!("{fields}\nArchitecture: amd64\nFilename: x\nSize: 1\nSHA256: {hex}\n");
        let index = Index::parse(&text, "amd64", RepositoryId(repository)).unwrap().with_component("main");
        index.with_pin(if repository == 1 { 100 } else { 500 }).candidate(0)
    }

    fn policy(text: &str) -> Policy {
        let origin = |archive: &str, codename: &str, site: &str| Origin {
            archive: archive.into(),
            codename: codename.into(),
            version: "12.5".into(),
            origin: "Debian".into(),
            label: "Debian".into(),
            site: site.into(),
        };
        Policy {
            preferences: Preferences::parse(text).unwrap(),
            origins: vec![
                origin("stable", "bookworm", "archive.example"),
                origin("stable-backports", "bookworm-backports", "other.example"),
            ],
            architecture: "amd64".into(),
        }
    }

    /// The priorities of `git` in stable and backports, and of what is installed.
    fn priorities(text: &str) -> (i32, i32, i32) {
        let policy = policy(text);
        let stable = candidate("Package: git\nSource: git-src\nVersion: 1:2.39-1", 0);
        let backport = candidate("Package: git\nSource: git-src\nVersion: 1:2.47-1~bpo", 1);
        (policy.priority(&[&stable], false), policy.priority(&[&backport], false), policy.priority(&[], true))
    }

    #[test]
    fn a_pin_is_about_releases_origins_or_versions() {
        for (pin, expected) in [
            ("release a=stable-backports", (500, 7, 100)),
            ("release n=bookworm*", (7, 7, 100)),
            ("release bookworm-backports", (500, 7, 100)),
            ("release 12*", (7, 7, 100)),
            ("release o=Debian, c=main, b=amd64", (7, 7, 100)),
            ("release c=contrib", (500, 100, 100)),
            ("release l=debian,v=12.5", (7, 7, 100)),
            ("release *", (7, 7, 100)),
            ("origin other.example", (500, 7, 100)),
            ("origin \"archive.example\"", (7, 100, 100)),
            ("version 1:2.47*", (500, 7, 100)),
            ("version /bpo/", (500, 7, 100)),
            ("version 2.39-1", (500, 100, 100)),
        ] {
            let text = format!("Package: git\nPin: {pin}\nPin-Priority: 7\n");
            assert_eq!(priorities(&text), expected, "{pin}");
        }
    }

    #[test]
    fn a_package_is_named_by_name_glob_expression_or_source() {
        for (package, is_meant) in [
            ("git", true),
            ("vim git", true),
            ("g*", true),
            ("/^gi[a-t]$/", true),
            ("[!a-f]it", true),
            ("src:git-src", true),
            ("git:amd64", true),
            ("git:arm64", false),
            ("gi", false),
            ("/vim/", false),
            ("src:git", false),
        ] {
            let text = format!("Package: {package}\nPin: release *\nPin-Priority: 7\n");
            let expected = if is_meant { (7, 7) } else { (500, 100) };
            let (stable, backport, _) = priorities(&text);
            assert_eq!((stable, backport), expected, "{package}");
        }
    }

    #[test]
    fn the_first_that_fits_counts_and_names_before_all() {
        let text = "Package: *\nPin: release a=stable\nPin-Priority: 900\n\n\
                    Explanation: one\nExplanation: two\nPackage: git\nPin: version 1:2.39*\nPin-Priority: 3\n\n\
                    Package: git\nPin: release a=stable\nPin-Priority: 4\n";
        assert_eq!(priorities(text), (3, 100, 100));
        let never = "Package: *\nPin: release *\nPin-Priority: 900\n\n\
                     Package: *\nPin: origin other.example\nPin-Priority: never\n";
        assert_eq!(priorities(never), (900, NEVER, 900));
        assert_eq!(priorities("Package: *\nPin: release a=now\nPin-Priority: 5\n"), (500, 100, 5));
    }

    #[test]
    fn what_is_no_preference_is_refused_with_its_line() {
        for (text, error) in [
            ("Pin: release *\nPin-Priority: 1\n", "at line 1: field Package is missing"),
            ("# no\n\nPackage: a\nPin: release *\n", "at line 3: field Pin-Priority is missing"),
            ("Package: a\nPin: release *\nPin-Priority: 0\n", "at line 1: a priority of 0 is none"),
            (
                "Package: a\nPin: release *\nPin-Priority: 40000\n",
                "at line 1: \"40000\" is no priority: write a number from -32768 to 32767",
            ),
            (
                "Package: a\nPin: release *\nPin-Priority: never\n",
                "at line 1: the priority `never` is for `Package: *` only",
            ),
            (
                "Package: *\nPin: version 1\nPin-Priority: 1\n",
                "at line 1: a version is pinned for packages that are named, not for `*`",
            ),
            (
                "Package: a\nPin: suite x\nPin-Priority: 1\n",
                "at line 1: \"suite\" is no pin: write release, version or origin",
            ),
            (
                "Package: a\nPin: release x=y\nPin-Priority: 1\n",
                "at line 1: \"x=y\" says nothing of a release: write a, n, v, c, o, l or b",
            ),
            ("Package: /(/\nPin: release *\nPin-Priority: 1\n", "at line 1: \"/(/\" is no pattern"),
            (
                "Package: ../x\nPin: release *\nPin-Priority: 1\n",
                "at line 1: \"../x\" is no name of a package",
            ),
        ] {
            let read = Preferences::parse(text).map(|_| ());
            assert_eq!(read.unwrap_err().to_string(), format!("cannot read preferences {error}"));
        }
        let pin = Preferences::pin("git", "backports").map(|_| ());
        assert_eq!(
            pin.unwrap_err().to_string(),
            "cannot read preferences: \"backports\" is no pin: write release, version or origin"
        );
    }
}
