//! A difference as Markdown that fits a comment on a merge request: tables, folded where they are long.
//!
//! The tables and `<details>` are those of GitHub and GitLab. Names stand as code where they can, and are escaped else.

use std::fmt::Write;

use super::super::shown::{abridged, markup};
use super::{Change, Diff, Field, How, Section, Side};

/// More rows than these are folded.
const MOST_OPEN: usize = 12;

impl Diff {
    /// Returns the difference as Markdown.
    pub fn to_markdown(&self) -> String {
        if self.is_empty() {
            return "No differences.\n".into();
        }
        let mut text = format!("**{}** → **{}**\n", name(&self.before), name(&self.after));
        if !self.image.is_empty() {
            text.push_str("\n### Image\n\n| | Before | After |\n|---|---|---|\n");
            for Field { field, before, after } in &self.image {
                let _ = writeln!(text, "| {field} | {} | {} |", cell(before), cell(after));
            }
        }
        self.sections.iter().for_each(|section| push_section(&mut text, section));
        text
    }
}

fn name(side: &Side) -> String {
    cell(format!("{} {}", side.product_name, side.digest).trim_end())
}

fn push_section(text: &mut String, section: &Section) {
    let _ = writeln!(text, "\n### {}\n", heading(section));
    let is_long = section.changes.len() > MOST_OPEN;
    if is_long {
        text.push_str("<details><summary>show all</summary>\n\n");
    }
    text.push_str("| | Name | Before | After |\n|---|---|---|---|\n");
    for change in &section.changes {
        push_row(text, change);
    }
    if is_long {
        text.push_str("\n</details>\n");
    }
}

/// Says how many of them came, went and changed.
fn heading(section: &Section) -> String {
    let (first, rest) = section.of.split_at(1);
    let count = |how: How| section.changes.iter().filter(|change| change.how == how).count();
    let hows = [How::Came, How::Went, How::Upgraded, How::Downgraded, How::Changed];
    let counted = hows.map(|how| (count(how), word(how)));
    let counted = counted.iter().filter(|(n, _)| *n > 0).map(|(n, word)| format!("{n} {word}"));
    format!("{}{rest}: {}", first.to_uppercase(), counted.collect::<Vec<_>>().join(", "))
}

fn push_row(text: &mut String, change: &Change) {
    let column = |what: &str, side: fn(&Field) -> &String| {
        let fields = change.fields.iter().map(|field| {
            let value = side(field);
            format!("{}: {}", field.field, if value.is_empty() { "none".into() } else { cell(value) })
        });
        let lines = Some(cell(what)).filter(|what| !what.is_empty()).into_iter().chain(fields);
        lines.collect::<Vec<_>>().join("<br>")
    };
    let before = column(&change.before, |field| &field.before);
    let after = column(&change.after, |field| &field.after);
    let _ =
        writeln!(text, "| {} | <code>{}</code> | {before} | {after} |", word(change.how), cell(&change.name));
}

fn word(how: How) -> &'static str {
    match how {
        How::Came => "came",
        How::Went => "went",
        How::Upgraded => "upgraded",
        How::Downgraded => "downgraded",
        How::Changed => "changed",
    }
}

/// Returns `text` so that no character of it means anything in a table of Markdown; digests are abridged.
fn cell(text: &str) -> String {
    let mut escaped = String::new();
    for c in markup(&abridged(text)).chars() {
        // `&`, `;` and `#` are those of entities by now.
        if matches!(c, '|' | '\\' | '`' | '*' | '_' | '[' | ']' | '~' | '!' | '@') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}
