//! Words in messages: shortened, listed, and the one that was probably meant.

/// Returns at most 60 characters of what a definition says, on one line.
pub(super) fn excerpt(text: &str) -> String {
    let shown: String = text.chars().take(60).flat_map(shown_character).collect();
    if text.chars().nth(60).is_some() { format!("{shown}…") } else { shown }
}

fn shown_character(character: char) -> Vec<char> {
    match character.is_control() {
        true => character.escape_default().collect(),
        false => vec![character],
    }
}

/// Returns the first ten names, quoted, and how many more there are.
pub(super) fn listed<'n>(names: impl ExactSizeIterator<Item = &'n str>) -> String {
    let n_more = names.len().saturating_sub(10);
    let shown: Vec<String> = names.take(10).map(|name| format!("`{}`", excerpt(name))).collect();
    match n_more {
        0 => shown.join(", "),
        n_more => format!("{} and {n_more} more", shown.join(", ")),
    }
}

/// Returns the name that is most like `name`, if one is like it.
pub(super) fn most_like<'n>(name: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let most = (name.chars().count() / 3).clamp(1, 3);
    let distances = names.take(100).map(|other| (distance(name, other), other));
    distances.filter(|(distance, _)| *distance <= most).min().map(|(_, other)| other)
}

/// Returns how many letters must be put in, left out, changed, or swapped with their neighbours.
fn distance(one: &str, other: &str) -> usize {
    if one.len().max(other.len()) > 100 {
        return usize::MAX;
    }
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    let mut table = vec![vec![0; other.len() + 1]; one.len() + 1];
    for (i, j) in (0..=one.len()).flat_map(|i| (0..=other.len()).map(move |j| (i, j))) {
        table[i][j] = match (i, j) {
            (0, n) | (n, 0) => n,
            (i, j) => {
                let changed = table[i - 1][j - 1] + usize::from(one[i - 1] != other[j - 1]);
                let nearest = changed.min(table[i - 1][j] + 1).min(table[i][j - 1] + 1);
                let is_swapped = i > 1 && j > 1 && one[i - 1] == other[j - 2] && one[i - 2] == other[j - 1];
                if is_swapped { nearest.min(table[i - 2][j - 2] + 1) } else { nearest }
            }
        };
    }
    table[one.len()][other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_that_was_probably_meant_is_found() {
        let names = ["cmd", "env", "entrypoint", "volumes"];
        for (written, meant) in [
            ("cdm", Some("cmd")),
            ("entripoint", Some("entrypoint")),
            ("entry_point", Some("entrypoint")),
            ("volume", Some("volumes")),
            ("ENV", None),
            ("healthcheck", None),
        ] {
            assert_eq!(most_like(written, names.into_iter()), meant, "{written}");
        }
    }

    #[test]
    fn what_a_definition_says_is_shown_on_one_short_line() {
        assert_eq!(excerpt("a\nb\u{1b}"), "a\\nb\\u{1b}");
        assert_eq!(excerpt(&"é".repeat(61)), format!("{}…", "é".repeat(60)));
        let names: Vec<String> = (0..12).map(|n| n.to_string()).collect();
        let shown = listed(names.iter().map(String::as_str));
        assert!(shown.starts_with("`0`, `1`") && shown.ends_with("`9` and 2 more"), "{shown}");
    }
}
