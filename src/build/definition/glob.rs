//! Globs, as `source_file` labels and the paths of `from_…` write them.
//!
//! `*` and `?` don't cross `/`, `**` does, and `**/` may also stand for nothing; `[a-z]` and
//! `[!a-z]` are sets of characters, a backslash takes the next one as it is. No file system is
//! asked here.

use std::fmt;

/// Longer than any path.
const MAX_LENGTH: usize = 4096;

/// A pattern over paths.
#[derive(Clone, PartialEq, Eq)]
pub struct Glob {
    text: String,
    steps: Vec<Step>,
}

/// Why a text is no glob.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct InvalidGlob {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    /// Takes one character.
    One(Class),
    /// Takes any number of characters.
    Many(Class),
    /// Takes nothing; the two steps that follow may be left out.
    Maybe,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Class {
    Any,
    NoSlash,
    Character(char),
    Set { negated: bool, ranges: Vec<(char, char)> },
}

impl Glob {
    /// Reads a pattern.
    pub fn new(text: &str) -> Result<Glob, InvalidGlob> {
        if text.len() > MAX_LENGTH {
            return Err(InvalidGlob { reason: "a pattern has at most 4096 bytes" });
        }
        Ok(Glob { text: text.to_owned(), steps: steps(text)? })
    }

    /// Returns whether `text` holds anything that isn't taken as it stands.
    pub fn is_pattern(text: &str) -> bool {
        text.contains(['*', '?', '[', '\\'])
    }

    /// Returns the pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns whether the whole of `path` matches, in time proportional to both lengths.
    pub fn matches(&self, path: &str) -> bool {
        let mut current = vec![false; self.steps.len() + 1];
        current[0] = true;
        for character in path.chars() {
            self.skip_what_may_be_nothing(&mut current);
            current = self.after(&current, character);
        }
        self.skip_what_may_be_nothing(&mut current);
        current[self.steps.len()]
    }

    fn skip_what_may_be_nothing(&self, current: &mut [bool]) {
        for (index, step) in self.steps.iter().enumerate() {
            if !current[index] {
                continue;
            }
            match step {
                Step::One(_) => {}
                Step::Many(_) => current[index + 1] = true,
                Step::Maybe => {
                    current[index + 1] = true;
                    current[index + 3] = true;
                }
            }
        }
    }

    fn after(&self, current: &[bool], character: char) -> Vec<bool> {
        let mut next = vec![false; current.len()];
        for (index, step) in self.steps.iter().enumerate().filter(|(index, _)| current[*index]) {
            match step {
                Step::One(class) if class.holds(character) => next[index + 1] = true,
                Step::Many(class) if class.holds(character) => next[index] = true,
                Step::One(_) | Step::Many(_) | Step::Maybe => {}
            }
        }
        next
    }
}

impl Class {
    fn holds(&self, character: char) -> bool {
        match self {
            Class::Any => true,
            Class::NoSlash => character != '/',
            Class::Character(own) => *own == character,
            Class::Set { negated, ranges } => {
                let is_in = ranges.iter().any(|(from, to)| (*from..=*to).contains(&character));
                character != '/' && is_in != *negated
            }
        }
    }
}

fn steps(text: &str) -> Result<Vec<Step>, InvalidGlob> {
    let mut steps = Vec::new();
    let mut rest = text;
    let mut begins_a_name = true;
    while let Some(character) = rest.chars().next() {
        let before = rest;
        if let Some(after) = rest.strip_prefix("**/").filter(|_| begins_a_name) {
            steps.extend([Step::Maybe, Step::Many(Class::Any), Step::One(Class::Character('/'))]);
            rest = after;
        } else if let Some(after) = rest.strip_prefix("**") {
            steps.push(Step::Many(Class::Any));
            rest = after.trim_start_matches('*');
        } else {
            let (step, after) = single(character, &rest[character.len_utf8()..])?;
            steps.push(step);
            rest = after;
        }
        begins_a_name = before[..before.len() - rest.len()].ends_with('/');
    }
    Ok(steps)
}

fn single(character: char, rest: &str) -> Result<(Step, &str), InvalidGlob> {
    match character {
        '*' => Ok((Step::Many(Class::NoSlash), rest)),
        '?' => Ok((Step::One(Class::NoSlash), rest)),
        '[' => set(rest).map(|(class, rest)| (Step::One(class), rest)),
        '\\' => match rest.chars().next() {
            Some(own) => Ok((Step::One(Class::Character(own)), &rest[own.len_utf8()..])),
            None => Err(InvalidGlob { reason: "nothing follows the backslash at its end" }),
        },
        own => Ok((Step::One(Class::Character(own)), rest)),
    }
}

/// Reads what follows a `[`. A `]` that comes first stands for itself.
fn set(text: &str) -> Result<(Class, &str), InvalidGlob> {
    let unclosed = InvalidGlob { reason: "its `[` is not closed by a `]`" };
    let body = text.strip_prefix(['!', '^']).unwrap_or(text);
    let negated = body.len() < text.len();
    let first = body.chars().next().map_or(0, char::len_utf8);
    let length = first + body[first..].find(']').ok_or(unclosed)?;
    let ranges = ranges(&body[..length]);
    if ranges.iter().any(|(from, to)| from > to) {
        return Err(InvalidGlob { reason: "a range between its brackets runs backwards" });
    }
    Ok((Class::Set { negated, ranges }, &body[length + 1..]))
}

fn ranges(text: &str) -> Vec<(char, char)> {
    let characters: Vec<char> = text.chars().collect();
    let mut ranges = Vec::new();
    let mut rest = characters.as_slice();
    loop {
        rest = match rest {
            [] => return ranges,
            [from, '-', to, rest @ ..] => {
                ranges.push((*from, *to));
                rest
            }
            [own, rest @ ..] => {
                ranges.push((*own, *own));
                rest
            }
        };
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Glob({:?})", self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, path: &str) -> bool {
        Glob::new(pattern).unwrap().matches(path)
    }

    #[test]
    fn patterns_match_whole_paths() {
        for (pattern, path) in [
            ("/bin/estaleiro", "/bin/estaleiro"),
            ("/bin/*", "/bin/estaleiro"),
            ("/bin/*", "/bin/.hidden"),
            ("*.so.?", "libz.so.1"),
            ("**", "/a/b/c"),
            ("/a/**", "/a/b/c"),
            ("/a/**/c", "/a/c"),
            ("/a/**/c", "/a/b/b/c"),
            ("**/c", "c"),
            ("a**c", "ab/bc"),
            ("[a-cx]1", "b1"),
            ("[!a-c]1", "d1"),
            ("[]]", "]"),
            ("[a-]", "-"),
            ("\\*", "*"),
            ("é?", "éü"),
            ("", ""),
        ] {
            assert!(matches(pattern, path), "{pattern} should match {path}");
        }
    }

    #[test]
    fn a_star_stays_within_its_directory() {
        for (pattern, path) in [
            ("/bin/*", "/bin/a/b"),
            ("/bin/*", "/sbin/a"),
            ("?", "/"),
            ("[!a]", "/"),
            ("/a/**/c", "/a/bc"),
            ("**/c", "bc"),
            ("\\*", "x"),
            ("/bin", "/bin/x"),
            ("a", ""),
        ] {
            assert!(!matches(pattern, path), "{pattern} should not match {path}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for pattern in ["[", "[]", "[!]", "a\\", "[z-a]", &"a".repeat(4097)] {
            assert!(Glob::new(pattern).is_err(), "{pattern}");
        }
    }

    #[test]
    fn many_stars_take_no_longer_than_few() {
        let pattern = "*a".repeat(1000);
        assert!(!matches(&pattern, &format!("{}b", "a".repeat(2000))));
    }
}
