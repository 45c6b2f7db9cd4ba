//! How `$name`, quotes and escapes in a word are read: the lexer that BuildKit calls `shell`.
//!
//! It imitates a shell, but is none: see
//! <https://docs.docker.com/reference/dockerfile/#environment-replacement>. What stands in `${…}` is read in
//! `substitution`. Which words of an instruction are expanded is not decided here.

use super::mistake::{Problem, excerpt};

/// Returns the value of a variable, if it has one.
pub type Lookup<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// As long as a Dockerfile may be; only variables that double themselves make more.
pub(super) const MOST_EXPANDED: usize = 1 << 20;

/// The character that takes the meaning from the next one and continues a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Escape {
    /// `\`
    #[default]
    Backslash,
    /// `` ` ``, for paths of Windows.
    Backtick,
}

impl Escape {
    /// Returns the character itself.
    pub fn character(self) -> char {
        match self {
            Escape::Backslash => '\\',
            Escape::Backtick => '`',
        }
    }
}

/// How a word is to be read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lexer {
    escape: char,
    /// Quotes stay in what is read.
    keeps_quotes: bool,
    /// Escape characters stay in what is read.
    pub(super) keeps_escapes: bool,
    /// Quotes are characters like others.
    ignores_quotes: bool,
    /// `$name` stays where the name has no value.
    pub(super) keeps_unset: bool,
}

impl Lexer {
    /// Reads words of instructions.
    pub(super) fn of_words(escape: Escape) -> Lexer {
        Lexer {
            escape: escape.character(),
            keeps_quotes: false,
            keeps_escapes: false,
            ignores_quotes: false,
            keeps_unset: false,
        }
    }

    /// Reads the contents of here-documents, whose quotes belong to them.
    pub(super) fn of_documents() -> Lexer {
        Lexer { ignores_quotes: true, ..Lexer::of_words(Escape::Backslash) }
    }

    /// Splits a line and changes nothing in its words.
    pub(super) fn of_lines() -> Lexer {
        Lexer { keeps_quotes: true, keeps_escapes: true, ..Lexer::of_delimiters(false) }
    }

    /// Reads the word that ends a here-document, with or without its quotes.
    pub(super) fn of_delimiters(keeps_quotes: bool) -> Lexer {
        Lexer { keeps_quotes, keeps_unset: true, ..Lexer::of_words(Escape::Backslash) }
    }

    /// Returns `text` with its variables replaced, as one word.
    pub(super) fn word(self, text: &str, lookup: &Lookup<'_>) -> Result<String, Problem> {
        self.read(text, lookup).map(|(word, _)| word)
    }

    /// Returns `text` with its variables replaced, split at spaces outside of quotes.
    pub(super) fn words(self, text: &str, lookup: &Lookup<'_>) -> Result<Vec<String>, Problem> {
        self.read(text, lookup).map(|(_, words)| words)
    }

    fn read(self, text: &str, lookup: &Lookup<'_>) -> Result<(String, Vec<String>), Problem> {
        let mut reader = Reader { lexer: self, rest: text.chars(), lookup, depth: 0, n_expanded: 0 };
        reader.read_until(None).map_err(|why| {
            Problem::new(format!("cannot expand `{}`: {}", excerpt(text), why.message), why.hint)
        })
    }
}

/// A text that is being read.
pub(super) struct Reader<'a> {
    pub(super) lexer: Lexer,
    pub(super) rest: std::str::Chars<'a>,
    lookup: &'a Lookup<'a>,
    /// How deep in `${…}` this is.
    pub(super) depth: usize,
    n_expanded: usize,
}

/// What was read, whole and in words.
type Read = (String, Vec<String>);

impl Reader<'_> {
    pub(super) fn peek(&self) -> Option<char> {
        self.rest.clone().next()
    }

    /// Reads to the character `stop`, which is taken, or to the end.
    pub(super) fn read_until(&mut self, stop: Option<char>) -> Result<Read, Problem> {
        let mut whole = String::new();
        let mut words = Words::default();
        while let Some(next) = self.peek() {
            if Some(next) == stop {
                self.rest.next();
                return Ok((whole, words.finish()));
            }
            match next {
                '$' => {
                    let value = self.read_dollar()?;
                    words.push_text(&value);
                    whole.push_str(&value);
                }
                '<' => self.read_raw(Reader::read_angle, &mut whole, &mut words)?,
                '\'' if !self.lexer.ignores_quotes => {
                    self.read_raw(Reader::read_single_quotes, &mut whole, &mut words)?;
                }
                '"' if !self.lexer.ignores_quotes => {
                    self.read_raw(Reader::read_double_quotes, &mut whole, &mut words)?;
                }
                _ => self.read_plain(next, &mut whole, &mut words),
            }
        }
        match stop {
            None => Ok((whole, words.finish())),
            Some(stop) => Err(unfinished(stop)),
        }
    }

    fn read_raw(
        &mut self,
        part: fn(&mut Self) -> Result<String, Problem>,
        whole: &mut String,
        words: &mut Words,
    ) -> Result<(), Problem> {
        let text = part(self)?;
        words.push_raw(&text);
        whole.push_str(&text);
        Ok(())
    }

    fn read_plain(&mut self, first: char, whole: &mut String, words: &mut Words) {
        self.rest.next();
        if first != self.lexer.escape {
            words.push(first);
            whole.push(first);
            return;
        }
        if self.lexer.keeps_escapes {
            words.push_raw(first.encode_utf8(&mut [0; 4]));
            whole.push(first);
        }
        if let Some(escaped) = self.rest.next() {
            words.push_raw(escaped.encode_utf8(&mut [0; 4]));
            whole.push(escaped);
        }
    }

    /// Takes the spaces between `<<` or `<<-` and the word that ends a here-document into that word.
    fn read_angle(&mut self) -> Result<String, Problem> {
        let ahead = self.rest.as_str();
        let Some(after) = ahead.strip_prefix("<<") else {
            self.rest.next();
            return Ok("<".to_owned());
        };
        let is_space = |c: char| matches!(c, ' ' | '\t' | '\r' | '\n');
        let after = after.strip_prefix('-').filter(|after| after.starts_with(is_space)).unwrap_or(after);
        let rest = after.trim_start_matches(is_space);
        self.rest = rest.chars();
        Ok(ahead[..ahead.len() - rest.len()].to_owned())
    }

    fn read_single_quotes(&mut self) -> Result<String, Problem> {
        let mut text = String::new();
        text.extend(self.rest.next().filter(|_| self.lexer.keeps_quotes));
        loop {
            match self.rest.next() {
                None => return Err(unfinished('\'')),
                Some('\'') => {
                    text.extend(self.lexer.keeps_quotes.then_some('\''));
                    return Ok(text);
                }
                Some(other) => text.push(other),
            }
        }
    }

    fn read_double_quotes(&mut self) -> Result<String, Problem> {
        let mut text = String::new();
        text.extend(self.rest.next().filter(|_| self.lexer.keeps_quotes));
        loop {
            match self.peek() {
                None => return Err(unfinished('"')),
                Some('"') => {
                    self.rest.next();
                    text.extend(self.lexer.keeps_quotes.then_some('"'));
                    return Ok(text);
                }
                Some('$') => text.push_str(&self.read_dollar()?),
                Some(other) => {
                    self.rest.next();
                    self.push_quoted(other, &mut text);
                }
            }
        }
    }

    /// Within double quotes only `"`, `$` and the escape character itself can be escaped.
    fn push_quoted(&mut self, first: char, text: &mut String) {
        if first != self.lexer.escape {
            return text.push(first);
        }
        if self.lexer.keeps_escapes {
            text.push(first);
        }
        match self.peek() {
            None => {}
            Some(escaped) if escaped == '"' || escaped == '$' || escaped == self.lexer.escape => {
                self.rest.next();
                text.push(escaped);
            }
            Some(_) => text.push(first),
        }
    }

    fn read_dollar(&mut self) -> Result<String, Problem> {
        self.rest.next();
        if self.peek() == Some('{') {
            self.rest.next();
            return self.read_braces();
        }
        let name = self.read_name();
        if name.is_empty() {
            return Ok("$".to_owned());
        }
        match self.value(&name)? {
            None if self.lexer.keeps_unset => Ok(format!("${name}")),
            value => Ok(value.unwrap_or_default()),
        }
    }

    /// Reads a name, a number, or one of the signs that stand for a shell's own parameters.
    pub(super) fn read_name(&mut self) -> String {
        let first = self.peek();
        let belongs = match first {
            Some(digit) if digit.is_numeric() => char::is_numeric,
            Some('@' | '*' | '#' | '?' | '-' | '$' | '!') => {
                return self.rest.next().into_iter().collect();
            }
            Some(_) | None => is_of_name,
        };
        let text = self.rest.as_str();
        let end = text.find(|c| !belongs(c)).unwrap_or(text.len());
        self.rest = text[end..].chars();
        text[..end].to_owned()
    }

    pub(super) fn value(&mut self, name: &str) -> Result<Option<String>, Problem> {
        let value = (self.lookup)(name);
        self.count(value.as_deref().map_or(0, str::len))?;
        Ok(value)
    }

    pub(super) fn count(&mut self, length: usize) -> Result<(), Problem> {
        self.n_expanded += length;
        match self.n_expanded <= MOST_EXPANDED {
            true => Ok(()),
            false => Err(Problem::new("its variables have more than 1 MiB of text", "")),
        }
    }
}

fn is_of_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn unfinished(stop: char) -> Problem {
    Problem::new(format!("expected another {stop} before the end"), "write the escape character before it")
}

/// Words in the making.
#[derive(Default)]
struct Words {
    finished: Vec<String>,
    word: String,
    is_within: bool,
}

impl Words {
    fn push(&mut self, c: char) {
        if !c.is_whitespace() {
            self.push_raw(c.encode_utf8(&mut [0; 4]));
        } else if self.is_within && !self.word.is_empty() {
            self.finished.push(std::mem::take(&mut self.word));
            self.is_within = false;
        }
    }

    fn push_text(&mut self, text: &str) {
        text.chars().for_each(|c| self.push(c));
    }

    fn push_raw(&mut self, text: &str) {
        self.word.push_str(text);
        self.is_within = true;
    }

    fn finish(mut self) -> Vec<String> {
        if !self.word.is_empty() {
            self.finished.push(self.word);
        }
        self.finished
    }
}
