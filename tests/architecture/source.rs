//! A source file as the rules see it: its code without comments, literals and tests, and its imports.

use super::Breach;

/// One file of `src/`.
pub(crate) struct Source {
    name: String,
    /// The whole text.
    pub(crate) text: String,
    /// The text with comments, literals and test code blanked; the lines are where they were.
    pub(crate) code: String,
}

impl Source {
    pub(crate) fn new(name: &str, text: &str) -> Source {
        let code = match is_test_module(name) {
            true => String::new(),
            false => without_tests(&without_comments_and_literals(text)),
        };
        Source { name: name.to_owned(), text: text.to_owned(), code }
    }

    /// Returns the room that the file belongs to; the programs and the table of contents belong to none.
    pub(crate) fn room(&self) -> Option<&str> {
        let path = self.name.strip_prefix("src/")?;
        match path.split_once('/') {
            Some((room, _)) => Some(room).filter(|room| !super::PROGRAMS.contains(room)),
            None if path == "lib.rs" || path == "main.rs" => None,
            None => path.strip_suffix(".rs"),
        }
    }

    pub(crate) fn breach(&self, line: usize, what: String) -> Breach {
        Breach { file: self.name.clone(), line, what }
    }

    /// Returns the rooms that the code names after `crate::`, or after as many `super::` as lead there, by line.
    pub(crate) fn imports(&self) -> Vec<(usize, String)> {
        let mut imports = paths_after(&self.code, "crate::");
        let way_out = "super::".repeat(self.depth());
        let outside = paths_after(&self.code, &way_out).into_iter();
        imports.extend(outside.filter(|(_, name)| super::floor_of(name).is_some()));
        imports.sort();
        imports
    }

    /// How many modules lie around the code: `src/a.rs` 1, `src/a/mod.rs` 1, `src/a/b.rs` 2.
    fn depth(&self) -> usize {
        let path = self.name.trim_start_matches("src/").trim_end_matches("/mod.rs");
        path.split('/').count()
    }
}

/// Tests that outgrew their file lie in one of their own: `tests.rs`, or below `tests/`.
fn is_test_module(name: &str) -> bool {
    name.ends_with("/tests.rs") || name.contains("/tests/")
}

/// Returns the identifiers in `text`.
pub(crate) fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !is_word(c)).filter(|word| !word.is_empty())
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Returns what follows `prefix`: one name, or the first name of each path of a group.
fn paths_after(code: &str, prefix: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (start, _) in code.match_indices(prefix) {
        let before = &code[..start];
        if before.ends_with(is_word) || before.ends_with("::") {
            continue;
        }
        let end = start + prefix.len();
        let names = match code[end..].starts_with('{') {
            true => group(code, end),
            false => vec![end],
        };
        for name in names {
            let word: String = code[name..].chars().take_while(|&c| is_word(c)).collect();
            found.push((code[..name].matches('\n').count() + 1, word));
        }
    }
    found.retain(|(_, word)| !word.is_empty() && word != "super" && word != "self");
    found
}

/// Returns where the paths directly within the braces at `open` begin.
fn group(code: &str, open: usize) -> Vec<usize> {
    let mut starts = Vec::new();
    let mut depth = 0;
    let mut is_expected = false;
    for (index, c) in code[open..].char_indices() {
        match c {
            '{' => {
                depth += 1;
                is_expected = depth == 1;
            }
            '}' if depth == 1 => break,
            '}' => depth -= 1,
            ',' => is_expected = depth == 1,
            c if is_expected && is_word(c) => {
                starts.push(open + index);
                is_expected = false;
            }
            _ => {}
        }
    }
    starts
}

/// Blanks every item behind `#[cfg(test)]`.
fn without_tests(code: &str) -> String {
    const MARK: &str = "#[cfg(test)]";
    let mut rest = code.to_owned();
    while let Some(start) = rest.find(MARK) {
        let end = start + MARK.len() + item_length(&rest[start + MARK.len()..]);
        let blanked: String = rest[start..end].chars().map(blank).collect();
        rest.replace_range(start..end, &blanked);
    }
    rest
}

/// An item ends with its braces, or with a semicolon before any.
fn item_length(code: &str) -> usize {
    let mut depth = 0;
    for (index, c) in code.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth <= 1 && !code[index + 1..].starts_with(';') => return index + 1,
            '}' => depth -= 1,
            ';' if depth == 0 => return index + 1,
            _ => {}
        }
    }
    code.len()
}

/// As many bytes as before, so that places stay where they are.
fn blank(c: char) -> String {
    if c == '\n' { "\n".to_owned() } else { " ".repeat(c.len_utf8()) }
}

fn without_comments_and_literals(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let length = uncode_length(rest, code.chars().next_back());
        match length {
            0 => code.push(c),
            _ => code.extend(rest[..length].chars().map(blank)),
        }
        rest = &rest[length.max(c.len_utf8())..];
    }
    code
}

/// Returns how long the comment or literal is that `rest` begins with; 0 if it begins with code.
fn uncode_length(rest: &str, before: Option<char>) -> usize {
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if rest.starts_with("/*") {
        return block_comment_length(rest);
    }
    if rest.starts_with('"') {
        return text_length(rest);
    }
    if rest.starts_with('r') && !before.is_some_and(is_word) || rest.starts_with("br") {
        return raw_text_length(rest);
    }
    if rest.starts_with('\'') {
        return character_length(rest);
    }
    0
}

fn block_comment_length(rest: &str) -> usize {
    let mut depth = 0;
    let mut index = 0;
    while index < rest.len() {
        let here = &rest.as_bytes()[index..];
        match here {
            [b'/', b'*', ..] => (depth, index) = (depth + 1, index + 2),
            [b'*', b'/', ..] => (depth, index) = (depth - 1, index + 2),
            _ => index += 1,
        }
        if depth == 0 {
            break;
        }
    }
    index
}

fn text_length(rest: &str) -> usize {
    let mut is_escaped = false;
    for (index, c) in rest.char_indices().skip(1) {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' => return index + 1,
            _ => {}
        }
    }
    rest.len()
}

/// `r"…"`, `r#"…"#` and so on; `r#name` and words that begin with r are code.
fn raw_text_length(rest: &str) -> usize {
    let start = rest.find('r').unwrap() + 1;
    let n_hashes = rest[start..].chars().take_while(|&c| c == '#').count();
    let Some(body) = rest[start + n_hashes..].strip_prefix('"') else { return 0 };
    let end = format!("\"{}", "#".repeat(n_hashes));
    let length = body.find(&end).map_or(body.len(), |index| index + end.len());
    start + n_hashes + 1 + length
}

/// `'x'`, `'\n'`, `'\u{1f}'`; a lifetime is code.
fn character_length(rest: &str) -> usize {
    let mut characters = rest.char_indices().skip(1);
    match characters.next() {
        Some((_, '\\')) => rest[3..].find('\'').map_or(0, |index| index + 4),
        Some(_) => match characters.next() {
            Some((index, '\'')) => index + 1,
            _ => 0,
        },
        None => 0,
    }
}
