//! Patterns of paths as Go's `filepath.Match` has them, for the sources of COPY and ADD.
//!
//! `*` and `?` stand for no `/`; there is no `**`, which only [`Ignore`](super::Ignore) knows.

use super::mistake::{Problem, excerpt};

/// A pattern of paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob {
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Letter(char),
    /// `?`
    AnyLetter,
    /// `*`
    AnyText,
    /// `[a-z]`, `[^a]`
    Class {
        is_negated: bool,
        ranges: Vec<(char, char)>,
    },
}

/// Says whether a text has signs of a pattern that are not escaped.
pub fn is_pattern(text: &str) -> bool {
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '*' | '?' | '[' => return true,
            '\\' => drop(letters.next()),
            _ => {}
        }
    }
    false
}

/// Returns a path without `.`, `..` and `/` that change nothing, as Go's `path.Clean` does.
pub fn clean(path: &str) -> String {
    let is_rooted = path.starts_with('/');
    let mut elements: Vec<&str> = Vec::new();
    for element in path.split('/') {
        match (element, elements.last()) {
            ("" | ".", _) => {}
            ("..", Some(last)) if *last != ".." => drop(elements.pop()),
            ("..", _) if is_rooted => {}
            (element, _) => elements.push(element),
        }
    }
    match (is_rooted, elements.join("/")) {
        (true, joined) => format!("/{joined}"),
        (false, joined) if joined.is_empty() => ".".to_owned(),
        (false, joined) => joined,
    }
}

impl Glob {
    /// Reads a pattern.
    pub fn parse(pattern: &str) -> Result<Glob, Problem> {
        let mut letters = pattern.chars().peekable();
        let mut pieces = Vec::new();
        while let Some(letter) = letters.next() {
            let piece = match letter {
                '*' => Some(Piece::AnyText),
                '?' => Some(Piece::AnyLetter),
                '\\' => letters.next().map(Piece::Letter),
                '[' => class(&mut letters),
                letter => Some(Piece::Letter(letter)),
            };
            let piece = piece.ok_or_else(|| {
                let message = format!("cannot read the pattern `{}`", excerpt(pattern));
                Problem::new(message, "close its `[`, and write something after each backslash")
            })?;
            // Two of them are as one.
            if piece != Piece::AnyText || pieces.last() != Some(&Piece::AnyText) {
                pieces.push(piece);
            }
        }
        Ok(Glob { pieces })
    }

    /// Says whether a path, as a whole, matches.
    pub fn matches(&self, path: &str) -> bool {
        let letters: Vec<char> = path.chars().collect();
        let (mut piece, mut place) = (0, 0);
        // Where to go on when what follows the last `*` does not fit: one letter more belongs to it.
        let mut retry: Option<(usize, usize)> = None;
        loop {
            let fits = match (self.pieces.get(piece), letters.get(place)) {
                (None, None) => return true,
                (Some(Piece::AnyText), _) => {
                    retry = Some((piece + 1, place));
                    piece += 1;
                    continue;
                }
                (Some(piece), Some(letter)) => piece.takes(*letter),
                (None, Some(_)) | (Some(_), None) => false,
            };
            if fits {
                (piece, place) = (piece + 1, place + 1);
                continue;
            }
            match retry {
                Some((after, from)) if letters.get(from).is_some_and(|letter| *letter != '/') => {
                    retry = Some((after, from + 1));
                    (piece, place) = (after, from + 1);
                }
                Some(_) | None => return false,
            }
        }
    }
}

impl Piece {
    fn takes(&self, letter: char) -> bool {
        match self {
            Piece::Letter(own) => *own == letter,
            Piece::AnyLetter => letter != '/',
            Piece::AnyText => false,
            Piece::Class { is_negated, ranges } => {
                ranges.iter().any(|(low, high)| (*low..=*high).contains(&letter)) != *is_negated
            }
        }
    }
}

/// Reads what follows `[`.
fn class(letters: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<Piece> {
    let is_negated = letters.next_if_eq(&'^').is_some();
    let mut ranges = Vec::new();
    loop {
        if !ranges.is_empty() && letters.next_if_eq(&']').is_some() {
            return Some(Piece::Class { is_negated, ranges });
        }
        let low = class_letter(letters)?;
        let high = match letters.next_if_eq(&'-') {
            Some(_) => class_letter(letters)?,
            None => low,
        };
        ranges.push((low, high));
    }
}

fn class_letter(letters: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<char> {
    match letters.next()? {
        '-' | ']' => None,
        '\\' => letters.next(),
        letter => Some(letter),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_as_in_go() {
        for (pattern, path, is_match) in [
            ("abc", "abc", true),
            ("*", "abc", true),
            ("*c", "abc", true),
            ("a*", "ab/c", false),
            ("a*/b", "a/c/b", false),
            ("a*b*c*d*e*/f", "axbxcxdxexxx/f", true),
            ("a*b?c*x", "abxbbxdbxebxczzx", true),
            ("a*b?c*x", "abxbbxdbxebxczzy", false),
            ("ab[^e-g]", "abc", true),
            ("ab[e-g]", "abc", false),
            ("a[^a]b", "a/b", true),
            ("a???b", "aéàüb", true),
            ("[\\]a]", "]", true),
            ("[x\\-]", "-", true),
            ("a\\*b", "a*b", true),
            ("*x", "xxx", true),
            ("", "", true),
            ("a?b", "a/b", false),
            ("**", "a/b", false),
        ] {
            assert_eq!(Glob::parse(pattern).unwrap().matches(path), is_match, "{pattern} {path}");
        }
    }

    #[test]
    fn a_pattern_that_does_not_end_is_refused() {
        for pattern in ["[", "[]a]", "[-]", "[a-]", "[^]", "a[", "[a", "\\", "[-x]"] {
            assert!(Glob::parse(pattern).is_err(), "{pattern}");
        }
    }

    #[test]
    fn a_path_is_cleaned_as_in_go() {
        for (path, cleaned) in [
            ("", "."),
            ("/", "/"),
            ("a//b/", "a/b"),
            ("./a/../b", "b"),
            ("../a", "../a"),
            ("/../a", "/a"),
            ("a/..", "."),
            ("../../a", "../../a"),
        ] {
            assert_eq!(clean(path), cleaned, "{path}");
        }
    }
}
