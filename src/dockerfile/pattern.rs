//! The patterns of `${name#pattern}`, `${name%pattern}` and `${name/pattern/text}`.
//!
//! Only `*` and `?` are signs; brackets are not, as in BuildKit. Patterns of paths are in `glob`.

use regex::Regex;

use super::mistake::{Problem, excerpt};

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
        let regex = compile("^", self.pieces.iter(), is_longest)?;
        Ok(regex.find(value).map_or(value, |found| &value[found.end()..]).to_owned())
    }

    /// Returns `value` without the shortest or longest end that matches.
    pub(super) fn without_suffix(&self, value: &str, is_longest: bool) -> Result<String, Problem> {
        let regex = compile("^", self.pieces.iter().rev(), is_longest)?;
        let reversed: String = value.chars().rev().collect();
        let length = regex.find(&reversed).map_or(0, |found| found.end());
        Ok(value[..value.len() - length].to_owned())
    }

    /// Returns `value` with the first match, or all of them, replaced.
    pub(super) fn replace(
        &self,
        value: &str,
        replacement: &str,
        replaces_all: bool,
    ) -> Result<String, Problem> {
        let regex = compile("", self.pieces.iter(), true)?;
        Ok(match replaces_all {
            // As in BuildKit, `$1` is a reference here and nothing special below.
            true => regex.replace_all(value, replacement).into_owned(),
            false => regex.replace(value, regex::NoExpand(replacement)).into_owned(),
        })
    }
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
    Regex::new(&text).map_err(|_| Problem::new("its pattern is too long", "write a shorter one"))
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
        assert_eq!(pattern("b").replace("abab", "x", false).unwrap(), "axab");
        assert_eq!(pattern("b").replace("abab", "x", true).unwrap(), "axax");
        assert_eq!(pattern("[a]").replace("[a]a", "x", true).unwrap(), "xa");
        assert_eq!(pattern(r"\*").replace("a*b", "x", true).unwrap(), "axb");
        assert_eq!(pattern(r"a\/b").replace("a/b", "x", false).unwrap(), "x");
    }

    #[test]
    fn a_backslash_before_an_ordinary_letter_is_refused() {
        for text in [r"\a", r"a\"] {
            assert!(Pattern::parse(text).unwrap_err().message.contains("nothing special"), "{text}");
        }
    }
}
