//! Mistakes in a definition: file, line, column, the line itself, a caret, and a way out.
//!
//! What makes a mistake isn't known here. Rendering is a function of the text alone: no terminal
//! is asked for its width or colours.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet, normalize_untrusted_str};

/// So many mistakes are shown; of the others, only the count.
const MAX_SHOWN: usize = 50;

/// A line longer than this is shown in part.
const MAX_LINE: usize = 400;

/// The text of a definition and the name of its file.
#[derive(Clone, PartialEq, Eq)]
pub struct SourceText {
    file_name: Arc<str>,
    text: Arc<str>,
    /// Where each line but the first begins.
    line_starts: Arc<[usize]>,
}

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    source: SourceText,
    span: Range<usize>,
    message: String,
    hint: String,
}

/// All mistakes of a definition, or of Dockerfiles, in the order of the text; there is at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostics {
    diagnostics: Vec<Diagnostic>,
    n_dropped: usize,
}

impl SourceText {
    /// Takes the text of the file called `file_name`.
    pub fn new(file_name: &str, text: &str) -> SourceText {
        let line_starts = text.match_indices('\n').map(|(newline, _)| newline + 1).collect();
        SourceText { file_name: file_name.into(), text: text.into(), line_starts }
    }

    /// Returns the name of the file.
    pub fn file_name(&self) -> &str {
        &self.file_name
    }

    /// Returns the text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns a mistake at `span`; what stands outside of the text is moved into it.
    pub fn diagnostic(
        &self,
        span: Range<usize>,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Diagnostic {
        let start = boundary_before(&self.text, span.start);
        let end = boundary_after(&self.text, span.end.max(start));
        Diagnostic { source: self.clone(), span: start..end, message: message.into(), hint: hint.into() }
    }

    /// Returns an error of something that stands at `span`, as a mistake there.
    pub fn failure(&self, span: Range<usize>, error: &anyhow::Error) -> Diagnostic {
        let told = format!("{error:#}");
        let (message, hint) = told.split_once("\nhint: ").unwrap_or((&told, ""));
        self.diagnostic(span, message, hint)
    }

    /// Returns the number, from 1, of the line that the byte `offset` is on.
    pub fn line_of(&self, offset: usize) -> usize {
        1 + self.line_starts.partition_point(|start| *start <= offset)
    }

    /// Returns where the line around `offset` begins and ends, without its line break.
    fn line_around(&self, offset: usize) -> Range<usize> {
        let start = self.text[..offset].rfind('\n').map_or(0, |newline| newline + 1);
        let end = self.text[offset..].find('\n').map_or(self.text.len(), |length| offset + length);
        let line = &self.text[start..end];
        start..start + line.strip_suffix('\r').unwrap_or(line).len()
    }
}

impl fmt::Debug for SourceText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SourceText({})", self.file_name)
    }
}

impl Diagnostic {
    /// Returns the line, from 1.
    pub fn line(&self) -> usize {
        self.source.line_of(self.span.start)
    }

    /// Returns the column, in characters, from 1.
    pub fn column(&self) -> usize {
        let line = self.source.line_around(self.span.start);
        1 + self.source.text[line.start..self.span.start].chars().count()
    }

    /// Returns what is wrong.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Returns a way out; it may be empty.
    pub fn hint(&self) -> &str {
        &self.hint
    }

    /// Returns the bytes of the text that are wrong.
    pub fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// Returns the mistake as people read it, with or without colours.
    pub fn render(&self, colour: bool) -> String {
        let excerpt = Excerpt::of(self);
        let path = format!("{}:{}:{}", self.source.file_name, self.line(), self.column());
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        let renderer = renderer.decor_style(DecorStyle::Ascii);
        let rendered = renderer.render(&[report(self, &excerpt)]);
        with_place(&rendered, &normalize_untrusted_str(&path))
    }
}

fn report<'a>(diagnostic: &'a Diagnostic, excerpt: &'a Excerpt) -> Group<'a> {
    let snippet = Snippet::source(excerpt.line.as_str())
        .line_start(diagnostic.line())
        .path(PLACE)
        .annotation(AnnotationKind::Primary.span(excerpt.caret.clone()));
    let group = Level::ERROR.primary_title(normalize_untrusted_str(&diagnostic.message)).element(snippet);
    match diagnostic.hint.as_str() {
        "" => group,
        hint => group.element(Level::HELP.with_name("hint").message(normalize_untrusted_str(hint))),
    }
}

/// Stands for the place while the renderer works: it would count columns in what is shown of the
/// line, which may be a part.
const PLACE: &str = "\u{e000}";

fn with_place(rendered: &str, place: &str) -> String {
    let Some((before, after)) = rendered.split_once(PLACE) else { return rendered.to_owned() };
    let after = after.trim_start_matches(|c: char| c == ':' || c.is_ascii_digit());
    format!("{before}{place}{after}")
}

/// What is shown of a line, and where the caret stands in that.
struct Excerpt {
    line: String,
    caret: Range<usize>,
}

impl Excerpt {
    fn of(diagnostic: &Diagnostic) -> Excerpt {
        let text = &diagnostic.source.text;
        let line = diagnostic.source.line_around(diagnostic.span.start);
        let start = diagnostic.span.start.clamp(line.start, line.end);
        let shown = match line.len() <= MAX_LINE {
            true => line.clone(),
            false => {
                let from = boundary_before(text, start.saturating_sub(MAX_LINE / 2));
                let to = boundary_after(text, start + MAX_LINE / 2);
                from.max(line.start)..to.min(line.end)
            }
        };
        let end = diagnostic.span.end.clamp(start, shown.end);
        let caret = start - shown.start..end - shown.start;
        Excerpt { line: without_credentials(&text[shown]), caret }
    }
}

/// Writes `*` over what stands between `://` and `@` in a line, byte by byte.
fn without_credentials(line: &str) -> String {
    let mut shown = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((before, after)) = rest.split_once("://") {
        let authority = after.find(['/', '"', ' ', '\t']).unwrap_or(after.len());
        let hidden = after[..authority].rfind('@').unwrap_or(0);
        shown.push_str(before);
        shown.push_str("://");
        shown.extend(std::iter::repeat_n('*', hidden));
        rest = &after[hidden..];
    }
    shown + rest
}

/// Returns the nearest place not after `offset` where a character begins or the text ends.
pub(super) fn boundary_before(text: &str, offset: usize) -> usize {
    let within = offset.min(text.len());
    (0..=within).rev().find(|place| text.is_char_boundary(*place)).unwrap_or(0)
}

/// Returns the nearest place not before `offset` where a character begins, or else the end.
pub(super) fn boundary_after(text: &str, offset: usize) -> usize {
    (offset..text.len()).find(|place| text.is_char_boundary(*place)).unwrap_or(text.len())
}

impl Diagnostics {
    /// Sorts `diagnostics` by file and place; `n_dropped` more were found and not kept.
    pub(super) fn new(mut diagnostics: Vec<Diagnostic>, n_dropped: usize) -> Diagnostics {
        let place = |one: &Diagnostic| (one.source.file_name.clone(), one.span.start, one.span.end);
        diagnostics.sort_by_key(place);
        diagnostics.dedup();
        Diagnostics { diagnostics, n_dropped }
    }

    /// Returns the mistakes as an error, if there are any.
    pub fn check(diagnostics: Vec<Diagnostic>) -> Result<(), Diagnostics> {
        match diagnostics.is_empty() {
            true => Ok(()),
            false => Err(Diagnostics::new(diagnostics, 0)),
        }
    }

    /// Returns the mistakes one by one.
    pub fn into_mistakes(self) -> Vec<Diagnostic> {
        self.diagnostics
    }

    /// Returns each mistake.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.diagnostics.iter()
    }

    /// Returns all mistakes as people read them: the first 50, then how many more there are.
    pub fn render(&self, colour: bool) -> String {
        let shown = self.diagnostics.iter().take(MAX_SHOWN);
        let mut parts: Vec<String> = shown.map(|diagnostic| diagnostic.render(colour)).collect();
        let n_more = self.n_dropped + self.diagnostics.len().saturating_sub(MAX_SHOWN);
        if n_more > 0 {
            parts.push(format!("and {n_more} more {}", if n_more == 1 { "mistake" } else { "mistakes" }));
        }
        parts.join("\n\n")
    }
}

impl From<Diagnostic> for Diagnostics {
    fn from(diagnostic: Diagnostic) -> Diagnostics {
        Diagnostics::new(vec![diagnostic], 0)
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Diagnostic {}

impl std::error::Error for Diagnostics {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_shows_place_line_caret_and_hint() {
        let source = SourceText::new("estaleiro.hcl", "image \"é\" {\n\tcmd = 1\n}\n");
        let diagnostic = source.diagnostic(19..20, "wrong type", "write `[]`");
        insta::assert_snapshot!(diagnostic, @r#"
        error: wrong type
         --> estaleiro.hcl:2:7
          |
        2 |     cmd = 1
          |          ^
          |
          = hint: write `[]`
        "#);
    }

    #[test]
    fn a_mistake_anywhere_can_be_shown() {
        let text = "é = 1\r\n\r\nx";
        let source = SourceText::new("f", text);
        for start in 0..text.len() + 3 {
            for end in 0..text.len() + 3 {
                let shown = source.diagnostic(start..end, "m", "h").render(false);
                assert!(shown.contains("^") && shown.contains("hint: h"), "{shown}");
            }
        }
    }

    #[test]
    fn of_a_very_long_line_the_part_around_the_caret_is_shown() {
        let text = format!("{}é{}", "a".repeat(100_000), "b".repeat(100_000));
        let diagnostic = SourceText::new("f", &text).diagnostic(100_000..200_002, "m", "h");
        assert_eq!((diagnostic.line(), diagnostic.column()), (1, 100_001));
        let shown = diagnostic.render(false);
        assert!(shown.len() < 1500 && shown.contains("f:1:100001") && shown.contains("aaéb"), "{shown}");
    }

    #[test]
    fn credentials_in_the_line_are_covered() {
        assert_eq!(
            without_credentials(r#"a = ["https://u:p@archive.example/x@y", "deb http://é@h d"]"#),
            r#"a = ["https://***@archive.example/x@y", "deb http://**@h d"]"#
        );
        let source = SourceText::new("f", "a = \"https://user:secret@archive.example\"");
        assert!(!source.diagnostic(0..1, "m", "h").render(true).contains("secret"));
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        let source = SourceText::new("f\u{1b}[2J", "a = \"\u{1b}[2J\u{7}\"");
        let shown = source.diagnostic(0..1, "m\u{1b}[2J", "h\u{1b}[2J").render(false);
        assert!(!shown.contains('\u{1b}') && !shown.contains('\u{7}'), "{shown:?}");
    }

    #[test]
    fn colours_are_there_only_when_asked_for() {
        let diagnostics = Diagnostics::from(SourceText::new("f", "a").diagnostic(0..1, "m", "h"));
        assert!(diagnostics.render(true).contains('\u{1b}'));
        assert!(!diagnostics.to_string().contains('\u{1b}'));
    }

    #[test]
    fn mistakes_stand_in_the_order_of_the_text_and_end_in_a_count() {
        let text = "x\n".repeat(60);
        let source = SourceText::new("f", &text);
        let mistakes = (0..60).rev().map(|n| source.diagnostic(2 * n..2 * n + 1, "m", "h")).collect();
        let shown = Diagnostics::new(mistakes, 3).to_string();
        assert!(shown.find("f:1:1").unwrap() < shown.find("f:2:1").unwrap());
        assert!(shown.contains("f:50:1") && !shown.contains("f:51:1"));
        assert!(shown.ends_with("\n\nand 13 more mistakes"), "{shown}");
    }
}
