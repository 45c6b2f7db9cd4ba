//! Control paragraphs (`Field: value`, continued lines, blank lines between), borrowed from the text they stand in.
//!
//! See <https://manpages.debian.org/deb822.5>. No meaning of any field: that belongs to who asks for it.

use std::borrow::Cow;
use std::fmt;

/// More fields than any real paragraph has; the check for duplicates is quadratic.
const MOST_FIELDS: usize = 256;

/// Returns the paragraphs of `text`, one at a time.
///
/// A line that begins with `#` is an error, as it is for dpkg and in an index.
pub fn paragraphs(text: &str) -> Paragraphs<'_> {
    Paragraphs { text, position: 0, line: 0, comments: false, failed: false }
}

/// Returns the paragraphs of `text`, whose first line is the `line`th of a longer one.
pub fn paragraphs_from(text: &str, line: usize) -> Paragraphs<'_> {
    Paragraphs { line: line.saturating_sub(1), ..paragraphs(text) }
}

/// Returns the paragraphs of `text`, in which lines beginning with `#` are comments, as in a sources file.
pub fn paragraphs_with_comments(text: &str) -> Paragraphs<'_> {
    Paragraphs { comments: true, ..paragraphs(text) }
}

/// The iterator over paragraphs; after an error it ends.
#[derive(Debug)]
pub struct Paragraphs<'a> {
    text: &'a str,
    position: usize,
    line: usize,
    comments: bool,
    failed: bool,
}

/// One paragraph: its fields in the order written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paragraph<'a> {
    /// The line its first field stands on, counted from 1.
    pub line: usize,
    fields: Vec<Field<'a>>,
}

/// One field; the value keeps its line breaks and loses the space around it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field<'a> {
    /// The name as written.
    pub name: &'a str,
    /// The value; continued lines follow `\n` with their leading space.
    pub value: Cow<'a, str>,
    /// The line it begins on, counted from 1.
    pub line: usize,
}

/// A text that is not made of paragraphs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot read control data at line {line}: {problem}")]
pub struct Error {
    /// Where, counted from 1.
    pub line: usize,
    /// What is wrong there.
    pub problem: Problem,
}

/// What may be wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// A line that is neither `Field: value` nor a continuation.
    NoField,
    /// A continuation with nothing before it.
    LoneContinuation,
    /// The same field twice in one paragraph.
    Duplicate(String),
    /// More fields than a paragraph can sensibly have.
    TooManyFields,
    /// A comment where comments are not allowed.
    Comment,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::NoField => f.write_str("expected `Field: value`"),
            Problem::LoneContinuation => f.write_str("a continued line with no field before it"),
            Problem::Duplicate(name) => write!(f, "field {name} is given twice"),
            Problem::TooManyFields => write!(f, "more than {MOST_FIELDS} fields in one paragraph"),
            Problem::Comment => f.write_str("a comment is not allowed here"),
        }
    }
}

impl<'a> Paragraph<'a> {
    /// Returns the value of `field`, whose name is compared without regard to case.
    pub fn get(&self, field: &str) -> Option<&str> {
        self.field(field).map(|field| &*field.value)
    }

    /// Returns the field called `name`, with its place.
    pub fn field(&self, name: &str) -> Option<&Field<'a>> {
        self.fields.iter().find(|field| field.name.eq_ignore_ascii_case(name))
    }

    /// Returns all fields in the order written.
    pub fn fields(&self) -> &[Field<'a>] {
        &self.fields
    }
}

impl<'a> Iterator for Paragraphs<'a> {
    type Item = Result<Paragraph<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let result = self.read_paragraph().transpose();
        self.failed = matches!(result, Some(Err(_)));
        result
    }
}

impl<'a> Paragraphs<'a> {
    fn read_paragraph(&mut self) -> Result<Option<Paragraph<'a>>, Error> {
        let mut paragraph = Paragraph { line: 0, fields: Vec::new() };
        while let Some(line) = self.next_line() {
            if is_blank(line) {
                if paragraph.fields.is_empty() {
                    continue;
                }
                break;
            }
            if line.starts_with('#') {
                self.allow_comment()?;
                continue;
            }
            self.read_field(line, &mut paragraph)?;
        }
        Ok((!paragraph.fields.is_empty()).then_some(paragraph))
    }

    fn read_field(&mut self, first: &'a str, paragraph: &mut Paragraph<'a>) -> Result<(), Error> {
        let line = self.line;
        let fail = |problem| Error { line, problem };
        if first.starts_with([' ', '\t']) {
            return Err(fail(Problem::LoneContinuation));
        }
        let (name, value) = first.split_once(':').ok_or_else(|| fail(Problem::NoField))?;
        if !is_field_name(name) {
            return Err(fail(Problem::NoField));
        }
        if paragraph.field(name).is_some() {
            return Err(fail(Problem::Duplicate(name.to_owned())));
        }
        if paragraph.fields.is_empty() {
            paragraph.line = line;
            paragraph.fields.reserve(32);
        }
        if paragraph.fields.len() == MOST_FIELDS {
            return Err(fail(Problem::TooManyFields));
        }
        let value = self.read_value(value);
        paragraph.fields.push(Field { name, value, line });
        Ok(())
    }

    /// Extends `value` over the continued lines; it stays borrowed unless a comment stands between them.
    fn read_value(&mut self, first: &'a str) -> Cow<'a, str> {
        let mut end = self.position - usize::from(self.text[..self.position].ends_with('\n'));
        let mut start = end - first.len();
        let mut before_comment = String::new();
        loop {
            match self.text.as_bytes().get(self.position) {
                Some(b' ' | b'\t') => {
                    let begin = self.position;
                    end = begin + self.next_line().map_or(0, str::len);
                }
                Some(b'#') if self.comments => {
                    if start < end {
                        before_comment.extend([&self.text[start..end], "\n"]);
                    }
                    self.next_line();
                    (start, end) = (self.position, self.position);
                }
                _ => break,
            }
        }
        let last = &self.text[start..end];
        if before_comment.is_empty() {
            return Cow::Borrowed(last.trim());
        }
        before_comment.push_str(last);
        Cow::Owned(before_comment.trim().to_owned())
    }

    fn allow_comment(&self) -> Result<(), Error> {
        match self.comments {
            true => Ok(()),
            false => Err(Error { line: self.line, problem: Problem::Comment }),
        }
    }

    fn next_line(&mut self) -> Option<&'a str> {
        let rest = &self.text[self.position..];
        if rest.is_empty() {
            return None;
        }
        let end = rest.find('\n').unwrap_or(rest.len());
        self.position = (self.position + end + 1).min(self.text.len());
        self.line += 1;
        Some(&rest[..end])
    }
}

fn is_blank(line: &str) -> bool {
    line.is_empty() || line == "\r"
}

/// Printable ASCII without space and colon; a hyphen or `#` may not come first.
fn is_field_name(name: &str) -> bool {
    !name.is_empty() && !name.starts_with(['-', '#']) && name.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Vec<Paragraph<'_>> {
        paragraphs(text).collect::<Result<_, _>>().unwrap()
    }

    #[test]
    fn blank_lines_separate_paragraphs() {
        let read = read("\n\nPackage: a\nVersion: 1\n\n\nPackage: b");
        assert_eq!(read.iter().map(|p| p.get("package")).collect::<Vec<_>>(), [Some("a"), Some("b")]);
        assert_eq!(read.iter().map(|p| p.line).collect::<Vec<_>>(), [3, 7]);
        assert_eq!(read[1].get("Version"), None);
    }

    #[test]
    fn a_value_runs_over_continued_lines_and_stays_borrowed() {
        let read = read("Description: short\n long\n .\n\tmore\nSize:\n 1\n");
        assert_eq!(read[0].get("Description"), Some("short\n long\n .\n\tmore"));
        assert_eq!(read[0].get("Size"), Some("1"));
        assert!(read[0].fields().iter().all(|field| matches!(field.value, Cow::Borrowed(_))));
    }

    #[test]
    fn carriage_returns_do_no_harm() {
        let read = read("A: 1\r\nB: 2\r\n\r\nA: 3\r\n");
        assert_eq!((read[0].get("B"), read[1].get("A")), (Some("2"), Some("3")));
    }

    #[test]
    fn comments_count_only_in_sources_files() {
        let text = "# top\nTypes: deb\n# between\nSuites: a\n# inside\n b\n# end\n\nTypes: deb-src";
        let read: Vec<_> = paragraphs_with_comments(text).collect::<Result<_, _>>().unwrap();
        assert_eq!((read[0].get("Suites"), read[0].fields().len()), (Some("a\n b"), 2));
        assert_eq!(read[1].get("Types"), Some("deb-src"));
        let error = paragraphs(text).next().unwrap().unwrap_err();
        assert_eq!(error.to_string(), "cannot read control data at line 1: a comment is not allowed here");
    }

    #[test]
    fn what_is_malformed_is_refused_with_its_line() {
        let many = (0..300).map(|n| format!("F{n}: x\n")).collect::<String>();
        for (text, error) in [
            ("A: 1\nnothing", "at line 2: expected `Field: value`"),
            ("A: 1\n\n lone", "at line 3: a continued line with no field before it"),
            ("A: 1\na: 2", "at line 2: field a is given twice"),
            ("-A: 1", "at line 1: expected `Field: value`"),
            ("A B: 1", "at line 1: expected `Field: value`"),
            (": 1", "at line 1: expected `Field: value`"),
            (&many, "at line 257: more than 256 fields in one paragraph"),
        ] {
            let read = paragraphs(text).collect::<Result<Vec<_>, _>>();
            assert_eq!(read.unwrap_err().to_string(), format!("cannot read control data {error}"));
        }
    }

    #[test]
    fn after_an_error_nothing_more_comes() {
        assert_eq!(paragraphs("bad\nA: 1\n").count(), 1);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic_or_loop(text in "([A-Z#: \t\r\n.é-]{0,8}\n?){0,20}") {
            for paragraph in paragraphs(&text).chain(paragraphs_with_comments(&text)).flatten() {
                prop_assert!(!paragraph.fields().is_empty());
            }
        }
    }
}
