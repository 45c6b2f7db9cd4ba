//! A difference as text for people: a line for each thing, further fields below it.

use std::fmt::Write;

use super::super::shown::{abridged, line};
use super::{Change, Diff, Field, How, Side};

impl Diff {
    /// Returns the difference as text.
    pub fn to_text(&self) -> String {
        if self.is_empty() {
            return "no differences\n".into();
        }
        let mut text = format!("--- {}\n+++ {}\n", name(&self.before), name(&self.after));
        if !self.image.is_empty() {
            text.push_str("\nimage\n");
            self.image.iter().for_each(|field| push_field(&mut text, "  ", field));
        }
        for section in &self.sections {
            let _ = writeln!(text, "\n{} ({})", section.of, section.changes.len());
            section.changes.iter().for_each(|change| push_change(&mut text, change));
        }
        text
    }
}

fn name(side: &Side) -> String {
    line(format!("{} {}", side.product_name, side.digest).trim_end())
}

fn push_change(text: &mut String, change: &Change) {
    let name = line(&change.name);
    let [before, after] = [&change.before, &change.after].map(|what| line(&abridged(what)));
    let _ = match change.how {
        How::Came => writeln!(text, "  + {name}  {after}"),
        How::Went => writeln!(text, "  - {name}  {before}"),
        How::Upgraded => writeln!(text, "  ↑ {name}  {before} → {after}"),
        How::Downgraded => writeln!(text, "  ↓ {name}  {before} → {after}"),
        How::Changed if before == after => writeln!(text, "  ~ {name}  {after}"),
        How::Changed => writeln!(text, "  ~ {name}  {before} → {after}"),
    };
    change.fields.iter().for_each(|field| push_field(text, "      ", field));
}

fn push_field(text: &mut String, indent: &str, field: &Field) {
    let value = |text: &str| if text.is_empty() { "none".to_owned() } else { line(&abridged(text)) };
    let _ = writeln!(text, "{indent}{}: {} → {}", field.field, value(&field.before), value(&field.after));
}
