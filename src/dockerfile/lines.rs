//! From a text to lines as an instruction sees them: comments gone, continued lines joined,
//! here-documents at hand.
//!
//! What a line means is not decided here, save whether it can announce here-documents.

use std::ops::Range;

use super::heredoc::Heredoc;
use super::lexer::Escape;
use super::mistake::Mistake;
use super::name::Name;
use super::split::{self, Json, Split};

/// More than anybody announces on one line.
const MOST_HEREDOCS: usize = 100;

/// BuildKit's longest line.
const LONGEST_LINE: usize = 65_535;

/// What stands in the comments at the top, `# name=value`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Directives {
    /// The frontend that somebody wants, `# syntax=`.
    pub syntax: Option<Directive>,
    /// The character that escapes others, `# escape=`.
    pub escape: Escape,
    /// What to warn of, `# check=`.
    pub check: Option<Directive>,
}

/// The value of a directive, and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directive {
    /// What stands after the `=`.
    pub value: String,
    /// The line.
    pub span: Range<usize>,
}

/// A line that may come from several, with its here-documents.
#[derive(Debug)]
pub(super) struct Line {
    /// The number of the first line, from 1.
    pub(super) number: usize,
    /// Where it is in the text, here-documents included.
    pub(super) span: Range<usize>,
    /// What it says.
    pub(super) text: String,
    pub(super) heredocs: Vec<Heredoc>,
    /// Where pieces of `text` begin: there, and in the text it comes from.
    joints: Vec<(usize, usize)>,
}

impl Line {
    /// Returns where a part of [`Line::text`] stands in the text that the line comes from.
    pub(super) fn place(&self, part: &Range<usize>) -> Range<usize> {
        let start = self.place_of(part.start);
        match part.is_empty() {
            true => start..start,
            // The last byte's place decides, as a joint may follow it.
            false => start..self.place_of(part.end - 1) + 1,
        }
    }

    fn place_of(&self, offset: usize) -> usize {
        let next = self.joints.partition_point(|(logical, _)| *logical <= offset);
        match self.joints.get(next.saturating_sub(1)) {
            Some((logical, source)) => source + (offset - logical),
            None => self.span.start,
        }
    }
}

/// What was read.
#[derive(Debug, Default)]
pub(super) struct Lines {
    pub(super) directives: Directives,
    pub(super) lines: Vec<Line>,
    pub(super) mistakes: Vec<Mistake>,
    /// Instructions with empty lines in them, which will be forbidden some day.
    pub(super) gaps: Vec<Range<usize>>,
}

/// Reads all lines of a text.
pub(super) fn read(text: &str) -> Lines {
    let mut reader = Reader {
        physical: Physical::of(text),
        read: Lines::default(),
        seeks_directives: true,
        knows_escape: false,
    };
    while let Some(line) = reader.next_physical() {
        reader.read_line(line);
    }
    reader.read
}

/// A line as it is written.
#[derive(Debug, Clone, Copy)]
struct PhysicalLine<'t> {
    number: usize,
    start: usize,
    /// With its line break.
    text: &'t str,
}

impl<'t> PhysicalLine<'t> {
    fn content(&self) -> &'t str {
        self.text.trim_end_matches(['\r', '\n'])
    }

    fn span(&self) -> Range<usize> {
        self.start..self.start + self.content().len()
    }
}

struct Physical<'t> {
    text: &'t str,
    position: usize,
    number: usize,
}

impl<'t> Physical<'t> {
    /// Begins after a byte order mark.
    fn of(text: &'t str) -> Physical<'t> {
        let position = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
        Physical { text, position, number: 0 }
    }
}

impl<'t> Iterator for Physical<'t> {
    type Item = PhysicalLine<'t>;

    fn next(&mut self) -> Option<PhysicalLine<'t>> {
        let text = self.text[self.position..].split_inclusive('\n').next()?;
        let start = self.position;
        self.position += text.len();
        self.number += 1;
        Some(PhysicalLine { number: self.number, start, text })
    }
}

struct Reader<'t> {
    physical: Physical<'t>,
    read: Lines,
    seeks_directives: bool,
    knows_escape: bool,
}

impl<'t> Reader<'t> {
    fn next_physical(&mut self) -> Option<PhysicalLine<'t>> {
        let line = self.physical.next()?;
        if line.content().len() > LONGEST_LINE {
            let message = format!("cannot read line {}: longer than {LONGEST_LINE} bytes", line.number);
            let hint = "divide it with continuations, or COPY a file instead";
            self.read.mistakes.push(Mistake::new(line.start..line.start, message, hint));
        }
        Some(line)
    }

    fn read_line(&mut self, first: PhysicalLine<'t>) {
        let content = first.content().trim_start();
        self.read_directive(content, &first);
        let content = if content.starts_with('#') { "" } else { content };
        let escape = self.read.directives.escape;
        let (part, is_continued) = without_continuation(content, escape);
        if part.is_empty() && !is_continued {
            return;
        }
        let mut line = Line {
            number: first.number,
            span: first.span(),
            text: String::new(),
            heredocs: Vec::new(),
            joints: Vec::new(),
        };
        line.push(part, first.start + first.content().len() - content.len());
        if is_continued {
            self.continue_line(&mut line);
        }
        self.read_heredocs(&mut line);
        self.read.lines.push(line);
    }

    /// Comments and empty lines in the midst of an instruction do not end it.
    fn continue_line(&mut self, line: &mut Line) {
        let mut has_gap = false;
        while let Some(next) = self.next_physical() {
            let content = next.content();
            let trimmed = content.trim_start();
            if trimmed.starts_with('#') {
                continue;
            }
            if trimmed.is_empty() {
                has_gap = true;
                continue;
            }
            let (part, is_continued) = without_continuation(content, self.read.directives.escape);
            line.push(part, next.start);
            line.span.end = next.span().end;
            if !is_continued {
                break;
            }
        }
        if has_gap {
            self.read.gaps.push(line.span.clone());
        }
    }

    fn read_heredocs(&mut self, line: &mut Line) {
        if !line.text.contains("<<") || !may_have_heredocs(&line.text) {
            return;
        }
        match Heredoc::all_of(&line.text) {
            Ok(heredocs) => line.heredocs = heredocs,
            Err(problem) => return self.read.mistakes.push(problem.at(line.span.clone())),
        }
        let announcement = line.span.clone();
        if line.heredocs.len() > MOST_HEREDOCS {
            let message = format!("cannot read more than {MOST_HEREDOCS} here-documents at once");
            let mistake = Mistake::new(announcement, message, "divide them among instructions");
            return self.read.mistakes.push(mistake);
        }
        for heredoc in &mut line.heredocs {
            match self.read_heredoc(heredoc) {
                Some(end) => line.span.end = end,
                None => return self.read.mistakes.push(unfinished(heredoc, announcement)),
            }
        }
    }

    /// Returns where the line ends that ends it, if one does.
    fn read_heredoc(&mut self, heredoc: &mut Heredoc) -> Option<usize> {
        while let Some(next) = self.next_physical() {
            if heredoc.is_ended_by(next.text) {
                return Some(next.span().end);
            }
            heredoc.written.push_str(next.text);
        }
        None
    }

    /// Reads `# name=value`; the first line that is something else ends the directives.
    fn read_directive(&mut self, content: &str, line: &PhysicalLine<'_>) {
        if !self.seeks_directives {
            return;
        }
        let Some((name, value)) = directive(content) else {
            self.seeks_directives = false;
            return;
        };
        let directive = Directive { value: value.to_owned(), span: line.span() };
        let directives = &mut self.read.directives;
        let is_new = match name {
            Meaning::Syntax => directives.syntax.replace(directive).is_none(),
            Meaning::Check => directives.check.replace(directive).is_none(),
            Meaning::Escape => !std::mem::replace(&mut self.knows_escape, true),
        };
        match (is_new, name) {
            (false, _) => self.read.mistakes.push(repeated(line.span())),
            (true, Meaning::Escape) => self.read_escape(value, line.span()),
            (true, Meaning::Syntax | Meaning::Check) => {}
        }
    }

    fn read_escape(&mut self, value: &str, span: Range<usize>) {
        match value {
            "\\" => self.read.directives.escape = Escape::Backslash,
            "`" => self.read.directives.escape = Escape::Backtick,
            other => {
                let message = format!("cannot escape with `{other}`: expected \\ or `");
                let hint = "write # escape=` or leave the line out";
                self.read.mistakes.push(Mistake::new(span, message, hint));
            }
        }
    }
}

impl Line {
    fn push(&mut self, part: &str, place: usize) {
        self.joints.push((self.text.len(), place));
        self.text.push_str(part);
    }
}

/// The directives there are.
#[derive(Debug, Clone, Copy)]
enum Meaning {
    Syntax,
    Escape,
    Check,
}

fn directive(content: &str) -> Option<(Meaning, &str)> {
    let (name, value) = content.strip_prefix('#')?.split_once('=')?;
    let name = match name.trim().to_ascii_lowercase().as_str() {
        "syntax" => Meaning::Syntax,
        "escape" => Meaning::Escape,
        "check" => Meaning::Check,
        _ => return None,
    };
    Some((name, value.trim())).filter(|(_, value)| !value.is_empty())
}

/// Returns a line without the escape character at its end, and whether it has one.
///
/// One that is itself escaped is none.
fn without_continuation(content: &str, escape: Escape) -> (&str, bool) {
    let trimmed = content.trim_end_matches([' ', '\t']);
    match trimmed.strip_suffix(escape.character()) {
        Some(before) if !before.ends_with(escape.character()) => (before, true),
        Some(_) | None => (content, false),
    }
}

/// Only ADD, COPY and RUN announce here-documents, also after ONBUILD, and not in JSON.
fn may_have_heredocs(line: &str) -> bool {
    let outer = Split::of(line, 0);
    let inner = match Name::parse(&outer.name.text) {
        Some(Name::Onbuild) => Split::of(outer.rest, 0),
        Some(_) | None => outer,
    };
    let may = Name::parse(&inner.name.text).is_some_and(Name::has_heredocs);
    may && !matches!(split::json(inner.rest), Json::Texts(_))
}

fn unfinished(heredoc: &Heredoc, span: Range<usize>) -> Mistake {
    let message = format!("cannot find the end of the here-document `{}`", heredoc.name);
    Mistake::new(span, message, format!("write `{}` alone on the line after its last", heredoc.name))
}

fn repeated(span: Range<usize>) -> Mistake {
    Mistake::new(span, "cannot use this directive: it stands above already", "leave one of them out")
}
