//! The patterns of `${name#pattern}`, `${name%pattern}` and `${name/pattern/text}`.
//!
//! Only `*` and `?` are signs; brackets are not, as in BuildKit. Patterns of paths are in `glob`.

use regex::Regex;

use super::mistake::{Problem, excerpt};

/// How much work a pattern may make: its length times that of the value.
const MOST_WORK: usize = 20_000_000;

/// A pattern that a part of a value may match.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Pattern {
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Piece {
    Letter(char),
    /// `?`
    AnyLetter,
    /// `*`
    AnyText,
}

impl Pattern {
    /// Reads a pattern; a backslash takes the meaning from `*`, `?` and itself.
    pub(super) fn parse(text: &str) -> Result<Pattern, Problem> {
        let mut pieces = Vec::new();
        let mut letters = text.chars().peekable();
        while let Some(letter) = letters.next() {
            pieces.push(match letter {
                '*' => Piece::AnyText,
                '?' => Piece::AnyLetter,
                // These two are escaped for the sake of `${…}`, not of the pattern.
                '\\' if matches!(letters.peek(), Some('}' | '/')) => continue,
                '\\' => match letters.next() {
                    Some(escaped @ ('*' | '?' | '\\')) => Piece::Letter(escaped),
                    _ => return Err(wrong_escape(text)),
                },
                letter => Piece::Letter(letter),
            });
        }
        Ok(Pattern { pieces })
    }

    /// Returns `value` without the shortest or longest beginning that matches.
    pub(super) fn without_prefix(&self, value: &str, is_longest: bool) -> Result<String, Problem> {
        self.check(value)?;
        let regex = compile("^", self.pieces.iter(), is_longest)?;
        Ok(regex.find(value).map_or(value, |found| &value[found.end()..]).to_owned())
    }

    /// Returns `value` without the shortest or longest end that matches.
    pub(super) fn without_suffix(&self, value: &str, is_longest: bool) -> Result<String, Problem> {
        self.check(value)?;
        let regex = compile("^", self.pieces.iter().rev(), is_longest)?;
        let reversed: String = value.chars().rev().collect();
        let length = regex.find(&reversed).map_or(0, |found| found.end());
        Ok(value[..value.len() - length].to_owned())
    }

    /// Returns `value` with the first match, or all of them, replaced, if that is not longer than `most`.
    pub(super) fn replace(
        &self,
        value: &str,
        replacement: &str,
        replaces_all: bool,
        most: usize,
    ) -> Result<Option<String>, Problem> {
        self.check(value)?;
        let regex = compile("", self.pieces.iter(), true)?;
        if !replaces_all {
            return Ok(Some(regex.replace(value, regex::NoExpand(replacement)).into_owned()));
        }
        let mut replaced = String::new();
        let mut end = 0;
        for found in regex.captures_iter(value) {
            let whole = found.get_match();
            replaced.push_str(&value[end..whole.start()]);
            // As in BuildKit, `$1` is a reference here and nothing special above.
            found.expand(replacement, &mut replaced);
            end = whole.end();
            if replaced.len() > most {
                return Ok(None);
            }
        }
        replaced.push_str(&value[end..]);
        Ok(Some(replaced))
    }

    fn check(&self, value: &str) -> Result<(), Problem> {
        match self.pieces.len().saturating_mul(value.len()) <= MOST_WORK {
            true => Ok(()),
            false => Err(too_long()),
        }
    }
}

fn too_long() -> Problem {
    Problem::new("its pattern is too long", "write a shorter one")
}

fn compile<'a>(
    anchor: &str,
    pieces: impl Iterator<Item = &'a Piece>,
    is_longest: bool,
) -> Result<Regex, Problem> {
    let mut text = anchor.to_owned();
    for piece in pieces {
        match piece {
            Piece::Letter(letter) => text.push_str(&regex::escape(letter.encode_utf8(&mut [0; 4]))),
            Piece::AnyLetter => text.push('.'),
            Piece::AnyText if is_longest => text.push_str(".*"),
            Piece::AnyText => text.push_str(".*?"),
        }
    }
    Regex::new(&text).map_err(|_| too_long())
}

fn wrong_escape(pattern: &str) -> Problem {
    let message = format!("in the pattern `{}` a backslash stands before nothing special", excerpt(pattern));
    Problem::new(message, "a backslash goes before `*`, `?` or another one")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::parse(text).unwrap()
    }

    #[test]
    fn the_shortest_or_the_longest_beginning_is_cut_off() {
        assert_eq!(pattern("*/").without_prefix("a/b/c", false).unwrap(), "b/c");
        assert_eq!(pattern("*/").without_prefix("a/b/c", true).unwrap(), "c");
        assert_eq!(pattern("x").without_prefix("a/b/c", true).unwrap(), "a/b/c");
        assert_eq!(pattern("é?").without_prefix("éàü", false).unwrap(), "ü");
    }

    #[test]
    fn the_shortest_or_the_longest_end_is_cut_off() {
        assert_eq!(pattern("/*").without_suffix("a/b/c", false).unwrap(), "a/b");
        assert_eq!(pattern("/*").without_suffix("a/b/c", true).unwrap(), "a");
        assert_eq!(pattern(".tar.?z").without_suffix("é.tar.gz", true).unwrap(), "é");
        assert_eq!(pattern("b*").without_suffix("abab", false).unwrap(), "aba");
    }

    #[test]
    fn the_first_match_or_each_is_replaced() {
        let replaced = |text: &str, value: &str, replaces_all: bool| {
            pattern(text).replace(value, "x", replaces_all, 100).unwrap().unwrap()
        };
        assert_eq!(replaced("b", "abab", false), "axab");
        assert_eq!(replaced("b", "abab", true), "axax");
        assert_eq!(replaced("[a]", "[a]a", true), "xa");
        assert_eq!(replaced(r"\*", "a*b", true), "axb");
        assert_eq!(replaced(r"a\/b", "a/b", false), "x");
        assert_eq!(pattern("?").replace(&"a".repeat(9), "twelve chars", true, 100), Ok(None));
    }

    #[test]
    fn a_pattern_that_makes_too_much_work_is_refused() {
        let problem = pattern(&"*x".repeat(500)).replace(&"x".repeat(50_000), "y", true, 100).unwrap_err();
        assert_eq!(problem.message, "its pattern is too long");
    }

    #[test]
    fn a_backslash_before_an_ordinary_letter_is_refused() {
        for text in [r"\a", r"a\"] {
            assert!(Pattern::parse(text).unwrap_err().message.contains("nothing special"), "{text}");
        }
    }
}
