//! How a line is taken apart: the instruction's name, its flags, and words, texts or JSON after them.
//!
//! Nothing is expanded here: quotes and escapes stay in the words, as they are read once more after
//! variables are known.

use std::ops::Range;

use super::lexer::Escape;

/// A part of a line, as it is meant, with the place where it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) text: String,
    pub(super) span: Range<usize>,
}

/// A line in its parts; spans are places in the line.
#[derive(Debug)]
pub(super) struct Split<'t> {
    /// The instruction's name, as written.
    pub(super) name: Token,
    /// What begins with `--`, without quotes.
    pub(super) flags: Vec<Token>,
    /// The rest, without spaces around it.
    pub(super) rest: &'t str,
    /// Where the rest is.
    pub(super) span: Range<usize>,
}

/// What an instruction makes of an argument that may be JSON.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Json {
    /// `["a", "b"]`
    Texts(Vec<String>),
    /// An array that holds something else than texts.
    OtherArray,
    /// No JSON array: to be taken as it stands.
    Nothing,
}

impl<'t> Split<'t> {
    /// Takes a line apart; it begins `offset` bytes after the place that spans are counted from.
    pub(super) fn of(line: &'t str, offset: usize) -> Split<'t> {
        let trimmed = line.trim();
        let start = offset + line.len() - line.trim_start().len();
        let end = trimmed.find(is_blank).unwrap_or(trimmed.len());
        let name = Token { text: trimmed[..end].to_owned(), span: start..start + end };
        let after = &trimmed[end..];
        let arguments = after.trim_start_matches(is_blank);
        let (flags, n_read) = read_flags(arguments, start + end + after.len() - arguments.len());
        let rest = arguments[n_read..].trim_start();
        let rest_start = start + trimmed.len() - rest.len();
        let rest = rest.trim_end();
        Split { name, flags, rest, span: rest_start..rest_start + rest.len() }
    }

    /// Returns the words of the rest, without regard to quotes.
    pub(super) fn blank_separated(&self) -> Vec<Token> {
        let mut tokens = Vec::new();
        let mut start = 0;
        for part in self.rest.split(is_blank) {
            if !part.is_empty() {
                let place = self.span.start + start;
                tokens.push(Token { text: part.to_owned(), span: place..place + part.len() });
            }
            // Every blank is one byte long.
            start += part.len() + 1;
        }
        tokens
    }

    /// Returns the rest at its first blank, in two.
    pub(super) fn halves(&self) -> Option<(Token, Token)> {
        let end = self.rest.find(is_blank)?;
        let second = self.rest[end..].trim_start_matches(is_blank);
        let start = self.span.start;
        Some((
            Token { text: self.rest[..end].to_owned(), span: start..start + end },
            Token { text: second.to_owned(), span: self.span.end - second.len()..self.span.end },
        ))
    }

    /// Returns the words of the rest, where blanks in quotes divide no words; quotes and escapes stay.
    pub(super) fn quoted_words(&self, escape: Escape) -> Vec<Token> {
        let mut words = WordReader { rest: self.rest, position: 0, escape: escape.character() };
        std::iter::from_fn(|| words.next_word())
            .map(|mut token| {
                token.span = self.span.start + token.span.start..self.span.start + token.span.end;
                token
            })
            .collect()
    }

    /// Reads the rest as a JSON array.
    pub(super) fn json(&self) -> Json {
        json(self.rest)
    }
}

/// Reads a JSON array of texts.
pub(super) fn json(text: &str) -> Json {
    if !text.trim_start().starts_with('[') {
        return Json::Nothing;
    }
    let Ok(values) = serde_json::from_str::<Vec<serde_json::Value>>(text) else { return Json::Nothing };
    let texts = values.into_iter().map(|value| match value {
        serde_json::Value::String(text) => Some(text),
        _ => None,
    });
    texts.collect::<Option<Vec<String>>>().map_or(Json::OtherArray, Json::Texts)
}

/// What divides words; not a line break, nor a space that only Unicode knows.
pub(super) fn is_blank(c: char) -> bool {
    matches!(c, '\t' | '\u{b}' | '\u{c}' | '\r' | ' ')
}

/// Reads words as long as they begin with `--`; returns also how many bytes they took.
///
/// Quotes and backslashes are gone afterwards, whatever the escape character of the file is.
fn read_flags(text: &str, offset: usize) -> (Vec<Token>, usize) {
    let mut flags = Vec::new();
    let mut position = 0;
    loop {
        let rest = &text[position..];
        let start = position + rest.len() - rest.trim_start().len();
        if !text[start..].starts_with("--") {
            return (flags, start);
        }
        let (flag, end) = read_flag(text, start);
        position = end;
        if flag == "--" {
            return (flags, end);
        }
        flags.push(Token { text: flag, span: offset + start..offset + end });
    }
}

fn read_flag(text: &str, start: usize) -> (String, usize) {
    let mut flag = String::new();
    let mut quote = None;
    let mut letters = text[start..].char_indices();
    while let Some((place, letter)) = letters.next() {
        match letter {
            _ if quote.is_none() && letter.is_whitespace() => return (flag, start + place),
            '\'' | '"' if quote.is_none() => quote = Some(letter),
            _ if quote == Some(letter) => quote = None,
            '\\' => flag.extend(letters.next().map(|(_, escaped)| escaped)),
            _ => flag.push(letter),
        }
    }
    (flag, text.len())
}

struct WordReader<'t> {
    rest: &'t str,
    position: usize,
    escape: char,
}

impl WordReader<'_> {
    fn next_word(&mut self) -> Option<Token> {
        let ahead = &self.rest[self.position..];
        let start = self.position + ahead.len() - ahead.trim_start().len();
        let mut word = String::new();
        let mut quote = None;
        let mut end = self.rest.len();
        let mut letters = self.rest[start..].char_indices();
        while let Some((place, letter)) = letters.next() {
            if quote.is_none() && letter.is_whitespace() {
                end = start + place;
                break;
            }
            match letter {
                '\'' | '"' if quote.is_none() => quote = Some(letter),
                _ if quote == Some(letter) => quote = None,
                _ => {}
            }
            let is_escape = letter == self.escape && quote != Some('\'');
            match (is_escape, is_escape.then(|| letters.next()).flatten()) {
                (false, _) => word.push(letter),
                (true, Some((_, escaped))) => word.extend([letter, escaped]),
                // At the very end there is nothing to escape.
                (true, None) => {}
            }
        }
        self.position = end;
        (!word.is_empty()).then_some(Token { text: word, span: start..end })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(tokens: &[Token]) -> Vec<&str> {
        tokens.iter().map(|token| token.text.as_str()).collect()
    }

    #[test]
    fn a_line_is_name_flags_and_rest_and_each_knows_its_place() {
        let line = "  copy  --from=a --x=\"b c\"\\ d  e  f  ";
        let split = Split::of(line, 0);
        assert_eq!((split.name.text.as_str(), &line[split.name.span.clone()]), ("copy", "copy"));
        assert_eq!(texts(&split.flags), ["--from=a", "--x=b c d"]);
        assert_eq!(&line[split.flags[1].span.clone()], "--x=\"b c\"\\ d");
        assert_eq!((split.rest, &line[split.span.clone()]), ("e  f", "e  f"));
        let words = split.blank_separated();
        assert_eq!(texts(&words), ["e", "f"]);
        assert_eq!(&line[words[1].span.clone()], "f");
    }

    #[test]
    fn two_hyphens_alone_end_the_flags() {
        let split = Split::of("CMD --a -- --b", 0);
        assert_eq!((texts(&split.flags), split.rest), (vec!["--a"], "--b"));
        assert_eq!(Split::of("CMD --", 0).rest, "");
        assert_eq!(texts(&Split::of("CMD --doit", 0).flags), ["--doit"]);
    }

    #[test]
    fn quotes_hold_words_together_and_stay() {
        let split = Split::of(r#"ENV a="b c" d=e\ f 'g"h i' "" j\"#, 0);
        let words = split.quoted_words(Escape::Backslash);
        assert_eq!(texts(&words), [r#"a="b c""#, r"d=e\ f", r#"'g"h i'"#, r#""""#, "j"]);
        assert_eq!(words[1].span, 12..18);
        let split = Split::of(r"ENV a='b\' c=d", 0);
        assert_eq!(texts(&split.quoted_words(Escape::Backslash)), [r"a='b\'", "c=d"]);
    }

    #[test]
    fn only_an_array_of_texts_is_taken_as_json() {
        assert_eq!(json(r#" ["a", "\u0041"]"#), Json::Texts(vec!["a".into(), "A".into()]));
        assert_eq!(json("[]"), Json::Texts(Vec::new()));
        assert_eq!(json(r#"["a", 1]"#), Json::OtherArray);
        for text in ["['a']", r#"["a"] b"#, r#"["a""#, r#""a""#, ""] {
            assert_eq!(json(text), Json::Nothing, "{text}");
        }
    }
}
