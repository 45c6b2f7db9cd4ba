//! What is wrong in a Dockerfile, and where.
//!
//! How a mistake is shown to people is not decided here.

use std::ops::Range;

/// Something that is wrong, with its place in the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The bytes that are wrong; within the text, and between characters.
    pub span: Range<usize>,
    /// What cannot be done, and why.
    pub message: String,
    /// A way out; it may be empty.
    pub hint: String,
}

/// Something that is wrong in a word whose place mostly only the caller knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Problem {
    /// What cannot be done, and why.
    pub message: String,
    /// A way out; it may be empty.
    pub hint: String,
    /// Where in an instruction it is, if that is known.
    place: Option<Range<usize>>,
}

impl Problem {
    pub(super) fn new(message: impl Into<String>, hint: impl Into<String>) -> Problem {
        Problem { message: message.into(), hint: hint.into(), place: None }
    }

    /// Returns the problem with its place, if it has none yet.
    pub(super) fn within(self, place: &Range<usize>) -> Problem {
        let place = self.place.unwrap_or_else(|| place.clone());
        Problem { place: Some(place), ..self }
    }

    /// Returns the problem as a mistake: at its place, or where it is not known, at `span`.
    pub fn at(self, span: Range<usize>) -> Mistake {
        Mistake { span: self.place.unwrap_or(span), message: self.message, hint: self.hint }
    }
}

impl Mistake {
    pub(super) fn new(span: Range<usize>, message: impl Into<String>, hint: impl Into<String>) -> Mistake {
        Problem::new(message, hint).at(span)
    }
}

/// Returns `did you mean …?` when a candidate is nearly `word`, and else `otherwise`.
pub(super) fn suggestion<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
    otherwise: impl Into<String>,
) -> String {
    let lower: Vec<char> = word.chars().take(64).flat_map(char::to_lowercase).collect();
    let distance = |candidate: &str| {
        let candidate: Vec<char> = candidate.chars().flat_map(char::to_lowercase).collect();
        slips(&lower, &candidate)
    };
    let nearest = candidates.into_iter().map(|candidate| (distance(candidate), candidate)).min();
    match nearest {
        Some((slips, candidate)) if slips <= 2 && slips < candidate.chars().count() => {
            format!("did you mean `{candidate}`?")
        }
        Some(_) | None => otherwise.into(),
    }
}

/// Returns how many letters must be put in, left out or changed to make one of the other.
fn slips(one: &[char], other: &[char]) -> usize {
    let mut above: Vec<usize> = (0..=other.len()).collect();
    for (row, letter) in one.iter().enumerate() {
        let mut diagonal = row;
        above[0] = row + 1;
        for (column, other_letter) in other.iter().enumerate() {
            let change = diagonal + usize::from(letter != other_letter);
            diagonal = above[column + 1];
            above[column + 1] = change.min(diagonal + 1).min(above[column] + 1);
        }
    }
    above[other.len()]
}

/// Returns the beginning of a text that somebody wrote, as it is quoted in a message.
pub(super) fn excerpt(text: &str) -> String {
    const MOST: usize = 80;
    match text.char_indices().nth(MOST) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_suggested_and_a_far_one_is_not() {
        let names = ["FROM", "RUN", "ENTRYPOINT"];
        assert_eq!(suggestion("FNTRYPOINT", names, "x"), "did you mean `ENTRYPOINT`?");
        assert_eq!(suggestion("fron", names, "x"), "did you mean `FROM`?");
        assert_eq!(suggestion("bogus", names, "one of many"), "one of many");
        assert_eq!(suggestion("ab", ["xy"], "x"), "x");
    }

    #[test]
    fn a_long_text_is_quoted_in_part() {
        assert_eq!(excerpt("short"), "short");
        assert_eq!(excerpt(&"é".repeat(100)), format!("{}…", "é".repeat(80)));
    }
}
