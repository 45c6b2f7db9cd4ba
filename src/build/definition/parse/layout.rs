//! The text as the HCL parser wants it: each attribute and block on a line of its own, each name once.
//!
//! HCL refuses `mode = "0755"  owner = "0:0"` on one line, and stops at a name written twice. A
//! definition may say the first, and of the second we want to report every case: line breaks are
//! put in, names that come again are lengthened and remembered. [`Layout::span`] leads back to the
//! text as it was written. What is no HCL comes through as it is, for the parser to complain.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// The parser looks through all earlier names of a map for each one.
pub(super) const MAX_NAMES: usize = 4096;

/// The text made ready for the parser.
#[derive(Debug, Default)]
pub(super) struct Layout {
    /// What the parser reads.
    pub(super) text: String,
    /// Names that are written twice in one body or map.
    pub(super) repeated: Vec<Repeated>,
    /// Where brackets are opened that nothing closes, outermost first.
    pub(super) unclosed: Vec<usize>,
    /// Where a map is opened that has more than [`MAX_NAMES`] names.
    pub(super) crowded: Option<usize>,
    renamed: BTreeSet<String>,
    inserted: Vec<Inserted>,
}

/// A name that is written twice.
#[derive(Debug)]
pub(super) struct Repeated {
    pub(super) name: String,
    pub(super) first: Range<usize>,
    pub(super) again: Range<usize>,
}

/// What was put into the text.
#[derive(Debug)]
struct Inserted {
    /// Where it begins in the new text.
    start: usize,
    length: usize,
    /// How much was put in before it.
    before: usize,
}

impl Layout {
    /// Lays `text` out.
    pub(super) fn of(text: &str) -> Layout {
        let mut scanner = Scanner::new(text);
        scanner.scan();
        scanner.finish()
    }

    /// Returns where in the original text a span of the new one is.
    pub(super) fn span(&self, span: Range<usize>) -> Range<usize> {
        self.original(span.start)..self.original(span.end)
    }

    /// Returns whether a name is one that was lengthened.
    pub(super) fn is_repeated(&self, name: &str) -> bool {
        self.renamed.contains(name)
    }

    fn original(&self, position: usize) -> usize {
        let n_earlier = self.inserted.partition_point(|inserted| inserted.start < position);
        let Some(last) = n_earlier.checked_sub(1).map(|index| &self.inserted[index]) else {
            return position;
        };
        let within = last.length.min(position - last.start);
        position - last.before - within
    }
}

/// What surrounds the place that is being read.
struct Frame {
    kind: Kind,
    opened: usize,
    /// Names seen in this body or map.
    names: BTreeMap<String, Range<usize>>,
    /// How much has begun in this map.
    n_begun: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Attributes and blocks.
    Body(State),
    /// A map; `true` where a name may come.
    Map(bool),
    /// `[…]` or `(…)`.
    List,
}

/// How far an attribute or block has been read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing of it.
    Start,
    /// The name of a block and perhaps labels.
    Header,
    /// The `=` of an attribute, and an operator after that.
    Value,
    /// All of it, unless an operator follows.
    Whole,
}

struct Scanner<'t> {
    text: &'t str,
    at: usize,
    /// So much of the text is in the layout already.
    copied: usize,
    frames: Vec<Frame>,
    layout: Layout,
}

impl<'t> Scanner<'t> {
    fn new(text: &'t str) -> Scanner<'t> {
        let body = Frame { kind: Kind::Body(State::Start), opened: 0, names: BTreeMap::new(), n_begun: 0 };
        Scanner { text, at: 0, copied: 0, frames: vec![body], layout: Layout::default() }
    }

    fn scan(&mut self) {
        while let Some(character) = self.rest().chars().next() {
            match character {
                ' ' | '\t' | '\r' => self.at += 1,
                '\n' => self.line_break(),
                '#' => self.skip_line(),
                '/' if self.rest().starts_with("//") => self.skip_line(),
                '/' if self.rest().starts_with("/*") => self.skip_past("*/"),
                '"' => self.string(),
                '<' if self.heredoc() => self.operand(),
                '{' => self.open_brace(),
                '[' | '(' => self.open(Kind::List),
                '}' | ']' | ')' => self.close(character),
                ',' => self.comma(),
                _ if is_word(character) => self.word(),
                _ => self.operator(character),
            }
        }
    }

    fn finish(mut self) -> Layout {
        self.layout.unclosed = self.frames[1..].iter().map(|frame| frame.opened).collect();
        self.copy_up_to(self.text.len());
        self.layout
    }

    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn kind(&self) -> Kind {
        self.frames.last().map_or(Kind::List, |frame| frame.kind)
    }

    fn set(&mut self, kind: Kind) {
        let Some(frame) = self.frames.last_mut() else { return };
        frame.n_begun += usize::from(frame.kind == Kind::Map(true) && kind == Kind::Map(false));
        if frame.n_begun > MAX_NAMES {
            self.layout.crowded.get_or_insert(frame.opened);
        }
        frame.kind = kind;
    }

    fn line_break(&mut self) {
        self.at += 1;
        match self.kind() {
            Kind::Body(_) => self.set(Kind::Body(State::Start)),
            Kind::Map(_) => self.set(Kind::Map(true)),
            Kind::List => {}
        }
    }

    fn comma(&mut self) {
        self.at += 1;
        if let Kind::Map(_) = self.kind() {
            self.set(Kind::Map(true));
        }
    }

    fn word(&mut self) {
        let start = self.at;
        let length = self.rest().find(|c: char| !is_word(c) && c != '-').unwrap_or(self.rest().len());
        if self.kind() == Kind::Body(State::Whole) {
            self.break_line(start);
            self.set(Kind::Body(State::Start));
        }
        self.at += length;
        match self.kind() {
            Kind::Body(State::Start) if self.is_before_equals() => self.name(start..self.at, self.at),
            Kind::Body(State::Start) => self.set(Kind::Body(State::Header)),
            Kind::Body(State::Header) => {}
            Kind::Map(true) if self.is_before_equals() => self.name(start..self.at, self.at),
            Kind::Body(_) | Kind::Map(_) | Kind::List => self.operand(),
        }
    }

    fn string(&mut self) {
        let start = self.at;
        let is_plain = self.skip_string();
        match self.kind() {
            Kind::Map(true) if is_plain && self.is_before_equals() => {
                self.name(start + 1..self.at - 1, self.at - 1);
            }
            Kind::Body(State::Header) => {}
            Kind::Body(_) | Kind::Map(_) | Kind::List => self.operand(),
        }
    }

    /// Something that has a value was read.
    fn operand(&mut self) {
        match self.kind() {
            Kind::Body(_) => self.set(Kind::Body(State::Whole)),
            Kind::Map(_) => self.set(Kind::Map(false)),
            Kind::List => {}
        }
    }

    fn operator(&mut self, character: char) {
        self.at += character.len_utf8();
        match self.kind() {
            Kind::Body(State::Start | State::Header) | Kind::List => {}
            Kind::Body(_) => self.set(Kind::Body(State::Value)),
            Kind::Map(_) => self.set(Kind::Map(false)),
        }
    }

    /// Returns whether the next thing is a `=` (or, in a map, a `:`) that gives a name its value.
    fn is_before_equals(&self) -> bool {
        let rest = self.rest().trim_start_matches([' ', '\t']);
        let is_map = matches!(self.kind(), Kind::Map(_));
        is_map && rest.starts_with(':') || rest.starts_with('=') && !rest.starts_with("==")
    }

    /// Takes note of a name; one that comes again is lengthened at `end`.
    fn name(&mut self, span: Range<usize>, end: usize) {
        let name = &self.text[span.clone()];
        self.set(match self.kind() {
            Kind::Body(_) => Kind::Body(State::Value),
            Kind::Map(_) | Kind::List => Kind::Map(false),
        });
        let Some(frame) = self.frames.last_mut() else { return };
        match frame.names.get(name).cloned() {
            None => drop(frame.names.insert(name.to_owned(), span)),
            Some(first) => {
                let suffix = format!("--again-{}", self.layout.repeated.len());
                self.layout.renamed.insert(format!("{name}{suffix}"));
                self.insert(end, &suffix);
                self.layout.repeated.push(Repeated { name: name.to_owned(), first, again: span });
            }
        }
    }

    fn open_brace(&mut self) {
        match self.kind() {
            Kind::Body(State::Header) => {
                self.set(Kind::Body(State::Whole));
                self.open(Kind::Body(State::Start));
                let rest = self.rest().trim_start_matches([' ', '\t', '\r']);
                if !rest.starts_with(['\n', '#', '}']) && !rest.starts_with("//") {
                    self.break_line(self.at);
                }
            }
            Kind::Body(_) | Kind::Map(_) | Kind::List => {
                self.operand();
                self.open(Kind::Map(true));
            }
        }
    }

    fn open(&mut self, kind: Kind) {
        if kind == Kind::List {
            self.operand();
        }
        self.frames.push(Frame { kind, opened: self.at, names: BTreeMap::new(), n_begun: 0 });
        self.at += 1;
    }

    /// Leaves what a bracket closes; one that closes nothing here is left to the parser.
    fn close(&mut self, bracket: char) {
        let kind = self.kind();
        let fits = match kind {
            Kind::Body(_) => bracket == '}' && self.frames.len() > 1,
            Kind::Map(_) => bracket == '}',
            Kind::List => bracket != '}',
        };
        if fits {
            if kind == Kind::Body(State::Whole) {
                self.break_line(self.at);
            }
            self.frames.pop();
        }
        self.at += 1;
    }

    fn skip_line(&mut self) {
        self.at += self.rest().find('\n').unwrap_or(self.rest().len());
    }

    fn skip_past(&mut self, end: &str) {
        self.at += self.rest().find(end).map_or(self.rest().len(), |length| length + end.len());
    }

    /// Skips a string with the templates in it, and those strings that are in them; returns
    /// whether there were none.
    fn skip_string(&mut self) -> bool {
        let mut is_plain = true;
        let mut open = vec!['"'];
        self.at += 1;
        while let (Some(last), Some(character)) = (open.last().copied(), self.rest().chars().next()) {
            let next = self.rest().as_bytes().get(1).copied();
            let is_template = last == '"' && matches!(character, '$' | '%');
            let mut length = character.len_utf8();
            match character {
                '\\' if last == '"' => length += usize::from(next.is_some_and(|byte| byte.is_ascii())),
                '$' | '%' if is_template && next == Some(character as u8) => length = 2,
                '$' | '%' if is_template && next == Some(b'{') => {
                    length = 2;
                    is_plain = false;
                    open.push('}');
                }
                '"' if last == '"' => drop(open.pop()),
                '"' => open.push('"'),
                '{' if last == '}' => open.push('}'),
                '}' if last == '}' => drop(open.pop()),
                // A plain string ends with its line; without this a lost quote would swallow the rest.
                '\n' if open.len() == 1 => return false,
                _ => {}
            }
            self.at += length;
        }
        is_plain
    }

    /// Skips `<<NAME`, the lines that follow and the last, which says `NAME`.
    fn heredoc(&mut self) -> bool {
        let Some(rest) = self.rest().strip_prefix("<<") else { return false };
        let rest = rest.strip_prefix('-').unwrap_or(rest);
        let length = rest.find(|c: char| !is_word(c) && c != '-').unwrap_or(rest.len());
        let (name, mut rest) = rest.split_at(length);
        if name.is_empty() {
            return false;
        }
        while let Some((_, lines)) = rest.split_once('\n') {
            rest = lines;
            let line = lines.trim_start_matches([' ', '\t']);
            let ends = |after: &str| after.is_empty() || !after.starts_with(|c| is_word(c) || c == '-');
            if let Some(after) = line.strip_prefix(name).filter(|after| ends(after)) {
                rest = after;
                break;
            }
        }
        self.at = self.text.len() - rest.len();
        true
    }

    fn break_line(&mut self, position: usize) {
        self.insert(position, "\n");
    }

    fn insert(&mut self, position: usize, inserted: &str) {
        self.copy_up_to(position);
        let start = self.layout.text.len();
        self.layout.text.push_str(inserted);
        self.layout.inserted.push(Inserted { start, length: inserted.len(), before: start - position });
    }

    fn copy_up_to(&mut self, position: usize) {
        self.layout.text.push_str(&self.text[self.copied..position]);
        self.copied = position;
    }
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_on_one_line_is_put_on_several() {
        for (given, laid_out) in [
            ("a = 1", "a = 1"),
            ("a {\n  b = 1\n}\n", "a {\n  b = 1\n}\n"),
            ("a {}", "a {}"),
            ("a { # c\n b = 1 # d\n}", "a { # c\n b = 1 # d\n}"),
            ("a {b = 1}", "a {\nb = 1\n}"),
            ("a \"l\" { b = \"x\" c = [1] }", "a \"l\" {\n b = \"x\" \nc = [1] \n}"),
            ("a { b { c = 1 } d {} }", "a {\n b {\n c = 1 \n} \nd {} \n}"),
            (
                "a = b ? c : d e = f.g h = {} i = (1) j = -1",
                "a = b ? c : d \ne = f.g \nh = {} \ni = (1) \nj = -1",
            ),
            ("a = { b = 1, c = 2 }", "a = { b = 1, c = 2 }"),
            ("a = \"${\"}\"} b = {\" c = 1", "a = \"${\"}\"} b = {\" \nc = 1"),
            ("a = <<E\nb {\nE\nc { d = 1 }", "a = <<E\nb {\nE\nc {\n d = 1 \n}"),
            ("a { /* b { */ c = 1 }", "a {\n /* b { */ c = 1 \n}"),
        ] {
            assert_eq!(Layout::of(given).text, laid_out);
            assert_eq!(Layout::of(laid_out).text, laid_out);
        }
    }

    #[test]
    fn places_lead_back_to_the_text_as_written() {
        let given = "a \"l\" {b = \"x\" c = [1]}";
        let layout = Layout::of(given);
        for word in ["\"l\"", "b", "\"x\"", "c", "[1]", "1"] {
            let start = layout.text.find(word).unwrap();
            assert_eq!(&given[layout.span(start..start + word.len())], word);
        }
        assert_eq!(layout.span(layout.text.len()..layout.text.len()), given.len()..given.len());
    }

    #[test]
    fn a_name_that_comes_again_is_found_where_it_stands() {
        let given = "a = 1\nb { a = 1 }\nc = { x = 1, \"x\" = 2 }\na = 2 a = 3";
        let layout = Layout::of(given);
        let found: Vec<_> =
            layout.repeated.iter().map(|r| (r.name.as_str(), r.first.start, r.again.start)).collect();
        assert_eq!(found, [("x", 24, 32), ("a", 0, 41), ("a", 0, 47)]);
        assert!(layout.text.contains("\"x--again-0\" = 2") && layout.is_repeated("x--again-0"));
        assert_eq!(layout.span(layout.text.len() - 1..layout.text.len()), 51..52);
    }

    #[test]
    fn brackets_that_nothing_closes_are_remembered() {
        assert_eq!(Layout::of("a {\n  b = [\n").unclosed, [2, 10]);
        assert!(Layout::of("a {}\n}\n").unclosed.is_empty());
    }

    proptest::proptest! {
        #[test]
        fn every_place_leads_somewhere(text in "[a{}=\"\\[\\]()$%#<E\\\\ \n,:é-]{0,60}") {
            let layout = Layout::of(&text);
            for position in 0..=layout.text.len() {
                let there = layout.original(position);
                proptest::prop_assert!(there <= text.len());
            }
            let left: String = text.chars().filter(|c| *c != '\n').collect();
            if layout.repeated.is_empty() {
                let kept: String = layout.text.chars().filter(|c| *c != '\n').collect();
                proptest::prop_assert_eq!(left, kept);
            }
        }
    }
}
