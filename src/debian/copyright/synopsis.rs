//! The first line of a `License` field: names, joined as section 7.2 of the format says.

/// A synopsis that follows the format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Synopsis {
    /// One licence.
    Term(Term),
    /// `and`.
    All(Vec<Synopsis>),
    /// `or`.
    Any(Vec<Synopsis>),
}

/// One licence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    /// Its name.
    pub name: String,
    /// What stands between `with` and `exception`.
    pub exception: Option<String>,
}

impl Term {
    /// Returns it as it is written.
    pub fn written(&self) -> String {
        match &self.exception {
            Some(exception) => format!("{} with {exception} exception", self.name),
            None => self.name.clone(),
        }
    }
}

/// What ends a sentence and no name: `GPL version 2 or later` is prose.
const PROSE: [&str; 3] = ["later", "newer", "above"];

impl Synopsis {
    /// Reads a synopsis; none where it doesn't follow the format.
    pub fn parse(text: &str) -> Option<Synopsis> {
        let spaced = text.replace(',', " , ");
        let words: Vec<&str> = spaced.split_whitespace().collect();
        if let [] | [","] | [.., ","] = words[..] {
            return None;
        }
        let mut parts = words.split(|word| *word == ",");
        let mut groups = vec![without_commas(parts.next()?)?];
        let mut joined_by = None;
        for part in parts {
            let (operator, rest) = part.split_first()?;
            let operator = Operator::of(operator)?;
            // Nothing says in which order different ones would count.
            if joined_by.is_some_and(|known| known != operator) {
                return None;
            }
            joined_by = Some(operator);
            groups.push(without_commas(rest)?);
        }
        Some(match joined_by {
            Some(operator) => operator.join(groups),
            None => groups.remove(0),
        })
    }

    /// Returns its licences.
    pub fn terms(&self) -> Vec<&Term> {
        match self {
            Synopsis::Term(term) => vec![term],
            Synopsis::All(parts) | Synopsis::Any(parts) => parts.iter().flat_map(Synopsis::terms).collect(),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Operator {
    And,
    Or,
}

impl Operator {
    fn of(word: &str) -> Option<Operator> {
        match word.to_ascii_lowercase().as_str() {
            "and" => Some(Operator::And),
            "or" => Some(Operator::Or),
            _ => None,
        }
    }

    fn join(self, mut parts: Vec<Synopsis>) -> Synopsis {
        match (parts.len(), self) {
            (1, _) => parts.remove(0),
            (_, Operator::And) => Synopsis::All(parts),
            (_, Operator::Or) => Synopsis::Any(parts),
        }
    }
}

/// `and` binds tighter than `or`.
fn without_commas(words: &[&str]) -> Option<Synopsis> {
    let is = |operator: Operator| move |word: &&str| Operator::of(word) == Some(operator);
    let choices = words.split(is(Operator::Or)).map(|choice| {
        let terms = choice.split(is(Operator::And)).map(|words| term(words).map(Synopsis::Term));
        Some(Operator::And.join(terms.collect::<Option<_>>()?))
    });
    Some(Operator::Or.join(choices.collect::<Option<_>>()?))
}

fn term(words: &[&str]) -> Option<Term> {
    let (name, rest) = words.split_first()?;
    let is_name = |word: &str| !word.contains(['(', ')', '[', ']', ';', '"', '<', '>', '|']);
    if !words.iter().all(|word| is_name(word)) || PROSE.contains(&name.to_ascii_lowercase().as_str()) {
        return None;
    }
    let exception = match rest {
        [] => None,
        [with, exception @ ..] if with.eq_ignore_ascii_case("with") => Some(keyword(exception)?),
        _ => return None,
    };
    Some(Term { name: (*name).to_owned(), exception })
}

fn keyword(words: &[&str]) -> Option<String> {
    let words = match words {
        [words @ .., last] if last.eq_ignore_ascii_case("exception") => words,
        // As SPDX writes it.
        [_] => words,
        _ => return None,
    };
    (!words.is_empty()).then(|| words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(synopsis: &Synopsis) -> String {
        let all = |parts: &[Synopsis]| parts.iter().map(shown).collect::<Vec<_>>();
        match synopsis {
            Synopsis::Term(term) => term.written(),
            Synopsis::All(parts) => format!("[{}]", all(parts).join(" & ")),
            Synopsis::Any(parts) => format!("[{}]", all(parts).join(" / ")),
        }
    }

    #[test]
    fn names_are_joined_as_the_format_says() {
        for (text, expected) in [
            ("GPL-2+", "GPL-2+"),
            ("A or B and C", "[A / [B & C]]"),
            ("A or B, and C", "[[A / B] & C]"),
            ("GPL-2+ or Artistic, and BSD", "[[GPL-2+ / Artistic] & BSD]"),
            ("A, and B, and C or D", "[A & B & [C / D]]"),
            ("A and B or C and D", "[[A & B] / [C & D]]"),
            ("MPL-1.1 or GPL-2 or LGPL-2.1", "[MPL-1.1 / GPL-2 / LGPL-2.1]"),
            ("A AND B", "[A & B]"),
            ("GPL-2+ with OpenSSL exception", "GPL-2+ with OpenSSL exception"),
            (
                "GPL-3+ with GCC Runtime Library exception, and X",
                "[GPL-3+ with GCC Runtime Library exception & X]",
            ),
            ("GPL-2.0-only WITH Linux-syscall-note", "GPL-2.0-only with Linux-syscall-note exception"),
            ("A or B with C exception", "[A / B with C exception]"),
        ] {
            assert_eq!(Synopsis::parse(text).map(|read| shown(&read)).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_doesnt_follow_the_format_is_not_taken_apart() {
        for text in [
            "",
            ",",
            "A,",
            "A, B",
            "A, B, and C",
            "A, and B, or C",
            "A or",
            "and A",
            "A or or B",
            "BSD 3-clause",
            "GPL version 2 or later",
            "GPL-2 or later",
            "GPL-2+ (see below)",
            "GPL-2+ with",
            "GPL-2+ with exceptions and more words exception maybe",
            "GPL-2+ with exception",
            "Permission is hereby granted, free of charge, to any person obtaining",
        ] {
            assert_eq!(Synopsis::parse(text), None, "{text}");
        }
    }
}
