//! What `${…}` means: a variable, something in its place, or a part of its value.
//!
//! The patterns in it are read in `pattern`.

use super::lexer::{MOST_EXPANDED, Reader};
use super::mistake::Problem;
use super::pattern::Pattern;

/// Deeper than anybody nests `${a:-${b:-…}}`, and few enough for the stack.
const DEEPEST: usize = 100;

const WRITE_NAME: &str = "write ${name}, or \\${ for the characters themselves";

impl Reader<'_> {
    /// Reads what follows `${`.
    pub(super) fn read_braces(&mut self) -> Result<String, Problem> {
        match self.peek() {
            None => return Err(missing_brace()),
            Some('{' | '}' | ':') => return Err(Problem::new("expected a name after `${`", WRITE_NAME)),
            Some(_) => {}
        }
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(Problem::new(format!("nested more than {DEEPEST} times"), ""));
        }
        let name = self.read_name();
        let value = match self.rest.next() {
            Some('}') => self.read_plain_value(&name),
            Some(':') => {
                let operator = self.rest.next();
                self.read_operator(&name, ":", operator)
            }
            Some('/') => self.read_replacement(&name),
            operator @ Some('+' | '-' | '?' | '#' | '%') => self.read_operator(&name, "", operator),
            other => Err(unknown_operator(other)),
        };
        self.depth -= 1;
        value
    }

    fn read_plain_value(&mut self, name: &str) -> Result<String, Problem> {
        match self.value(name)? {
            None if self.lexer.keeps_unset => Ok(format!("${{{name}}}")),
            value => Ok(value.unwrap_or_default()),
        }
    }

    /// Reads what follows `${name-`, `${name:-` and their like.
    fn read_operator(&mut self, name: &str, colon: &str, operator: Option<char>) -> Result<String, Problem> {
        let is_pattern = matches!(operator, Some('#' | '%'));
        let word = self.read_argument('}', is_pattern, missing_brace)?;
        let Some(operator) = operator else { return Err(missing_brace()) };
        let value = self.value(name)?;
        if self.lexer.keeps_unset && value.is_none() {
            return Ok(format!("${{{name}{colon}{operator}{word}}}"));
        }
        let given = value.as_deref().filter(|value| colon.is_empty() || !value.is_empty());
        match operator {
            '-' => Ok(given.map_or(word, str::to_owned)),
            '+' => Ok(given.map_or_else(String::new, |_| word)),
            '?' => match given {
                Some(given) => Ok(given.to_owned()),
                None => Err(required(name, &word, value.is_some())),
            },
            '#' => trimmed(&value.unwrap_or_default(), &word, '#', Pattern::without_prefix),
            '%' => trimmed(&value.unwrap_or_default(), &word, '%', Pattern::without_suffix),
            other => Err(unknown_operator(Some(other))),
        }
    }

    /// Reads what follows `${name/`.
    fn read_replacement(&mut self, name: &str) -> Result<String, Problem> {
        let replaces_all = self.peek() == Some('/');
        if replaces_all {
            self.rest.next();
        }
        let missing_slash = || Problem::new("expected `/` after the pattern", "write ${name/pattern/text}");
        let pattern = self.read_argument('/', true, missing_slash)?;
        let replacement = self.read_argument('}', true, missing_brace)?;
        let value = self.value(name)?;
        if self.lexer.keeps_unset && value.is_none() {
            return Ok(format!("${{{name}/{pattern}/{replacement}}}"));
        }
        let value = value.unwrap_or_default();
        let pattern = Pattern::parse(&pattern)?;
        let replaced = pattern.replace(&value, &replacement, replaces_all, MOST_EXPANDED)?;
        self.count(replaced.as_ref().map_or(usize::MAX / 2, String::len))?;
        Ok(replaced.unwrap_or_default())
    }

    /// Reads to `stop`; at the end of the text the mistake is that `stop` is missing.
    fn read_argument(
        &mut self,
        stop: char,
        keeps_escapes: bool,
        missing: fn() -> Problem,
    ) -> Result<String, Problem> {
        let outside = std::mem::replace(&mut self.lexer.keeps_escapes, keeps_escapes);
        let read = self.read_until(Some(stop));
        self.lexer.keeps_escapes = outside;
        match read {
            Ok((word, _)) => Ok(word),
            Err(_) if self.peek().is_none() => Err(missing()),
            Err(problem) => Err(problem),
        }
    }
}

fn trimmed(
    value: &str,
    word: &str,
    sign: char,
    trim: fn(&Pattern, &str, bool) -> Result<String, Problem>,
) -> Result<String, Problem> {
    let (word, is_longest) = match word.strip_prefix(sign) {
        Some(rest) => (rest, true),
        None => (word, false),
    };
    trim(&Pattern::parse(word)?, value, is_longest)
}

fn required(name: &str, message: &str, is_set: bool) -> Problem {
    let why = match (message, is_set) {
        ("", true) => "it must not be empty",
        ("", false) => "it has no value",
        (message, _) => message,
    };
    Problem::new(format!("{name}: {why}"), format!("give `{name}` a value: a build argument, ARG or ENV"))
}

fn missing_brace() -> Problem {
    Problem::new("expected `}` after `${`", WRITE_NAME)
}

fn unknown_operator(found: Option<char>) -> Problem {
    let found = found.map_or_else(|| "the end".to_owned(), |found| format!("`{found}`"));
    Problem::new(
        format!("expected an operator in `${{…}}`, got {found}"),
        "use :- :+ :? - + ? # ## % %% / or //",
    )
}
