//! The room as its users see it: a text, and what it means or what is wrong with it.
//!
//! What a file does by itself is tested there.

mod ignored;
mod instructions;
mod lines;
mod refused;
mod repositories;
mod robustness;
mod scope;
mod stages;
mod words;

use super::*;

/// Reads a Dockerfile that is right.
fn parse(text: &str) -> Dockerfile {
    Dockerfile::parse(text).unwrap_or_else(|mistakes| panic!("{text}\n{mistakes:#?}"))
}

/// Reads instructions that follow a FROM.
fn kinds(text: &str) -> Vec<Kind> {
    let mut dockerfile = parse(&format!("FROM scratch\n{text}"));
    dockerfile.stages.remove(0).instructions.into_iter().map(|instruction| instruction.kind).collect()
}

/// Reads an instruction that follows a FROM.
fn kind(text: &str) -> Kind {
    let mut kinds = kinds(text);
    assert_eq!(kinds.len(), 1, "{text}");
    kinds.remove(0)
}

/// Returns what is wrong in a text, each with its line and what the caret shows.
fn mistakes(text: &str) -> Vec<String> {
    let mistakes = Dockerfile::parse(text).err().unwrap_or_default();
    let shown = mistakes.iter().map(|mistake| {
        let line = text[..mistake.span.start].matches('\n').count() + 1;
        format!("{line} `{}`: {}", &text[mistake.span.clone()], mistake.message)
    });
    shown.collect()
}

/// Returns a variable's value, of a few.
fn value(name: &str) -> Option<String> {
    let value = match name {
        "a" => "1",
        "path" => "/usr/lib/x.tar.gz",
        "empty" => "",
        "spaces" => " b  c ",
        _ => return None,
    };
    Some(value.to_owned())
}

/// Expands an instruction that follows a FROM.
fn expanded(text: &str) -> Result<Expanded, Problem> {
    kind(text).expand(Escape::Backslash, &value)
}

fn strings(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}
