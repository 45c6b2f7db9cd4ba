//! `.dockerignore`, and `--exclude` of COPY, which has the same patterns.
//!
//! See <https://docs.docker.com/build/concepts/context/#dockerignore-files>. A path is judged after the
//! directories that it is in, as BuildKit does while it walks: a pattern that brings something back
//! (`!pattern`) is asked only of what is left out at that moment, and what it said of a directory holds below.

use regex::Regex;

use super::glob::{Glob, clean};
use super::mistake::{Problem, excerpt};

/// More than any file has.
const MOST_PATTERNS: usize = 10_000;

/// Longer than all patterns of any file.
const LONGEST: usize = 1 << 20;

/// Which paths are left out.
#[derive(Debug, Clone, Default)]
pub struct Ignore {
    patterns: Vec<Pattern>,
}

/// What is said of a path, and what has to be known below it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Judgement {
    /// Whether the path is left out.
    pub is_ignored: bool,
    matched: Vec<bool>,
}

#[derive(Debug, Clone)]
struct Pattern {
    /// Whether it brings back what others leave out.
    is_exception: bool,
    matcher: Matcher,
    /// What everything that matches begins with.
    literal: String,
    is_literal: bool,
}

#[derive(Debug, Clone)]
enum Matcher {
    /// The path itself.
    Exact(String),
    /// `text**`: what begins like this.
    Prefix(String),
    /// `**text`: what ends like this, and `**/text` also `text` itself.
    Suffix(String),
    Regex(Regex),
}

impl Ignore {
    /// Reads a `.dockerignore`.
    pub fn parse(text: &str) -> Result<Ignore, Problem> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let patterns = lines.map(str::trim).filter(|line| !line.is_empty()).map(relative);
        Ignore::of_patterns(patterns)
    }

    /// Reads patterns one by one.
    pub fn of_patterns(patterns: impl IntoIterator<Item = impl AsRef<str>>) -> Result<Ignore, Problem> {
        let mut ignore = Ignore::default();
        let mut length = 0;
        for text in patterns {
            let text = text.as_ref().trim();
            if text.is_empty() {
                continue;
            }
            length += text.len();
            if ignore.patterns.len() == MOST_PATTERNS || length > LONGEST {
                let message =
                    format!("cannot use more than {MOST_PATTERNS} patterns or {LONGEST} bytes of them");
                return Err(Problem::new(message, "write patterns of directories"));
            }
            ignore.patterns.push(Pattern::parse(text)?);
        }
        Ok(ignore)
    }

    /// Says whether there are no patterns.
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Says whether a path is left out; for many paths of a tree, [`judge`](Ignore::judge) is faster.
    pub fn is_ignored(&self, path: &str) -> bool {
        let mut judgement = Judgement::default();
        for (end, _) in path.match_indices('/').filter(|(end, _)| *end > 0) {
            judgement = self.judge(&path[..end], &judgement);
        }
        self.judge(path, &judgement).is_ignored
    }

    /// Judges a path, relative to the context, in a directory with the judgement `parent`; at the top that is
    /// [`Judgement::default`].
    pub fn judge(&self, path: &str, parent: &Judgement) -> Judgement {
        let mut judgement = Judgement { is_ignored: false, matched: Vec::with_capacity(self.patterns.len()) };
        for (index, pattern) in self.patterns.iter().enumerate() {
            let is_inherited = parent.matched.get(index) == Some(&true);
            let is_asked = pattern.is_exception == judgement.is_ignored;
            let is_match = is_inherited || (is_asked && pattern.matches(path));
            judgement.matched.push(is_match);
            if is_match {
                judgement.is_ignored = !pattern.is_exception;
            }
        }
        judgement
    }

    /// Says whether nothing below a directory can be wanted, so that nobody needs to look into it.
    pub fn prunes(&self, directory: &str, judgement: &Judgement) -> bool {
        let exceptions = self.patterns.iter().filter(|pattern| pattern.is_exception);
        judgement.is_ignored && !exceptions.into_iter().any(|pattern| pattern.may_match_below(directory))
    }
}

/// Returns a pattern of a file as a path in the context, where a leading `/` says nothing.
fn relative(line: &str) -> String {
    let (sign, pattern) = match line.strip_prefix('!') {
        Some(pattern) => ("!", pattern.trim()),
        None => ("", line),
    };
    if pattern.is_empty() {
        return sign.to_owned();
    }
    let cleaned = clean(pattern);
    let path = cleaned.strip_prefix('/').filter(|path| !path.is_empty()).unwrap_or(&cleaned);
    format!("{sign}{path}")
}

impl Pattern {
    fn parse(text: &str) -> Result<Pattern, Problem> {
        let cleaned = clean(text);
        let (is_exception, pattern) = match cleaned.strip_prefix('!') {
            Some(pattern) => (true, pattern),
            None => (false, cleaned.as_str()),
        };
        if is_exception && pattern.is_empty() {
            let hint = "write !path for a path that shall not be left out";
            return Err(Problem::new("cannot read the pattern `!`: it has no path", hint));
        }
        Glob::parse(pattern)?;
        let end = pattern.find(['*', '?', '[', '\\']).unwrap_or(pattern.len());
        Ok(Pattern {
            is_exception,
            matcher: Matcher::parse(pattern)?,
            literal: pattern[..end].to_owned(),
            is_literal: end == pattern.len(),
        })
    }

    fn matches(&self, path: &str) -> bool {
        match &self.matcher {
            Matcher::Exact(text) => path == text,
            Matcher::Prefix(text) => path.starts_with(text.as_str()),
            Matcher::Suffix(text) => path.ends_with(text.as_str()) || text.strip_prefix('/') == Some(path),
            Matcher::Regex(regex) => regex.is_match(path),
        }
    }

    fn may_match_below(&self, directory: &str) -> bool {
        let below = format!("{directory}/");
        self.literal.starts_with(&below) || (!self.is_literal && below.starts_with(&self.literal))
    }
}

impl Matcher {
    /// Reads a pattern as `patternmatcher` of moby does, its special cases included.
    fn parse(pattern: &str) -> Result<Matcher, Problem> {
        let mut compiler = Compiler { regex: "^".to_owned(), form: Form::Exact };
        let mut letters = pattern.chars().peekable();
        let mut is_first = true;
        while let Some(letter) = letters.next() {
            compiler.push(letter, is_first, &mut letters);
            is_first = false;
        }
        match compiler.form {
            Form::Exact => Ok(Matcher::Exact(pattern.to_owned())),
            Form::Prefix => Ok(Matcher::Prefix(pattern[..pattern.len() - 2].to_owned())),
            Form::Suffix => Ok(Matcher::Suffix(pattern[2..].to_owned())),
            Form::Regex => {
                let regex = Regex::new(&format!("{}$", compiler.regex)).map_err(|_| {
                    let message = format!("cannot read the pattern `{}`", excerpt(pattern));
                    Problem::new(message, "write a simpler or shorter one")
                })?;
                Ok(Matcher::Regex(regex))
            }
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Exact,
    Prefix,
    Suffix,
    Regex,
}

struct Compiler {
    regex: String,
    form: Form,
}

type Letters<'t> = std::iter::Peekable<std::str::Chars<'t>>;

impl Compiler {
    fn push(&mut self, letter: char, is_first: bool, letters: &mut Letters<'_>) {
        match letter {
            '*' if letters.next_if_eq(&'*').is_some() => self.push_two_stars(is_first, letters),
            '*' => self.push_regex("[^/]*"),
            '?' => self.push_regex("[^/]"),
            '\\' => {
                if let Some(escaped) = letters.next() {
                    let escaped = regex::escape(escaped.encode_utf8(&mut [0; 4]));
                    self.push_regex(&escaped);
                }
            }
            '[' => self.push_class(letters),
            letter => self.regex.push_str(&regex::escape(letter.encode_utf8(&mut [0; 4]))),
        }
    }

    fn push_regex(&mut self, text: &str) {
        self.regex.push_str(text);
        self.form = Form::Regex;
    }

    /// `**` takes any number of directories, and at the end everything.
    fn push_two_stars(&mut self, is_first: bool, letters: &mut Letters<'_>) {
        letters.next_if_eq(&'/');
        if letters.peek().is_some() {
            self.push_regex("(.*/)?");
        } else if self.form == Form::Exact {
            self.form = Form::Prefix;
        } else {
            self.push_regex(".*");
        }
        if is_first {
            self.form = Form::Suffix;
        }
    }

    /// The pattern is one that [`Glob`] can read, so its classes end.
    fn push_class(&mut self, letters: &mut Letters<'_>) {
        let mut class = "[".to_owned();
        class.extend(letters.next_if_eq(&'^'));
        while let Some(letter) = letters.next() {
            match letter {
                ']' => break,
                '-' => class.push('-'),
                '\\' => class.push_str(&letters.next().map(escaped_in_class).unwrap_or_default()),
                letter => class.push_str(&escaped_in_class(letter)),
            }
        }
        class.push(']');
        self.push_regex(&class);
    }
}

fn escaped_in_class(letter: char) -> String {
    match letter.is_ascii_punctuation() {
        true => format!("\\{letter}"),
        false => letter.to_string(),
    }
}
