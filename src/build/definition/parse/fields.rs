//! The attributes and blocks of one block, taken by name; what nobody takes is a mistake.

use std::ops::Range;

use hcl_edit::expr::Expression;
use hcl_edit::structure::{Block, BlockLabel, Body, Structure};

use super::reader::{Reader, Text};
use super::words::{excerpt, listed, most_like};

/// Names from elsewhere, and what they are called here.
const CALLED_OTHERWISE: &[(&str, &str)] = &[
    ("from", "base_image"),
    ("base", "base_image"),
    ("command", "cmd"),
    ("environment", "env"),
    ("expose", "ports"),
    ("user", "run_as"),
    ("working_dir", "workdir"),
    ("commit", "ref"),
    ("reference", "ref"),
    ("branch", "ref"),
    ("tag", "ref"),
    ("digest", "ref"),
    ("url", "uri"),
    ("uri", "url"),
    ("url", "repository"),
    ("chown", "owner"),
    ("chmod", "mode"),
    ("build_args", "args"),
];

/// What stands in one block.
pub(super) struct Fields<'b> {
    /// How messages call the block.
    what: &'static str,
    body: &'b Body,
    attributes: Vec<&'static str>,
    blocks: Vec<&'static str>,
}

impl<'b> Fields<'b> {
    pub(super) fn of(what: &'static str, body: &'b Body) -> Fields<'b> {
        Fields { what, body, attributes: Vec::new(), blocks: Vec::new() }
    }

    /// Takes the attribute `name`.
    pub(super) fn attribute(&mut self, name: &'static str) -> Option<&'b Expression> {
        self.attributes.push(name);
        self.body.get_attribute(name).map(|attribute| &attribute.value)
    }

    /// Takes the attribute `name`, which must be there.
    pub(super) fn required(
        &mut self,
        reader: &mut Reader<'_>,
        place: &Range<usize>,
        name: &'static str,
        hint: &str,
    ) -> Option<&'b Expression> {
        let attribute = self.attribute(name);
        if attribute.is_none() {
            return reader.mistake(place.clone(), format!("{} has no `{name}`", self.what), hint);
        }
        attribute
    }

    /// Takes all blocks called `name`.
    pub(super) fn blocks(&mut self, name: &'static str) -> Vec<&'b Block> {
        self.blocks.push(name);
        self.body.get_blocks(name).collect()
    }

    /// Takes the block `name`, of which there may be one.
    pub(super) fn block(
        &mut self,
        reader: &mut Reader<'_>,
        name: &'static str,
        hint: &str,
    ) -> Option<&'b Block> {
        let blocks = self.blocks(name);
        let (first, others) = blocks.split_first()?;
        let line = reader.line_of(&reader.span(&first.ident));
        for other in others {
            let message = format!("second `{name}` block: the first is on line {line}");
            reader.mistake::<()>(reader.span(&other.ident), message, hint);
        }
        Some(first)
    }

    /// Reports what nobody took.
    pub(super) fn finish(self, reader: &mut Reader<'_>) {
        for structure in self.body {
            match structure {
                Structure::Attribute(attribute) => {
                    let name = attribute.key.as_str();
                    if !self.attributes.contains(&name) && !reader.is_repeated(name) {
                        self.unknown_attribute(reader, name, reader.span(&attribute.key));
                    }
                }
                Structure::Block(block) => {
                    let name = block.ident.as_str();
                    if !self.blocks.contains(&name) {
                        self.unknown_block(reader, name, reader.span(&block.ident));
                    }
                }
            }
        }
    }

    fn unknown_attribute(&self, reader: &mut Reader<'_>, name: &str, span: Range<usize>) {
        let message = format!("unknown attribute `{}` in {}", excerpt(name), self.what);
        let hint = match self.blocks.contains(&name) && !is_called_otherwise(name, &self.attributes) {
            true => format!("it is a block: {name} … {{ … }}"),
            false => suggestion(name, &self.attributes, &self.blocks),
        };
        reader.mistake::<()>(span, message, hint);
    }

    fn unknown_block(&self, reader: &mut Reader<'_>, name: &str, span: Range<usize>) {
        let message = format!("unknown block `{}` in {}", excerpt(name), self.what);
        let hint = match self.attributes.contains(&name) {
            true => format!("it is an attribute: {name} = …"),
            false => suggestion(name, &self.blocks, &self.attributes),
        };
        reader.mistake::<()>(span, message, hint);
    }
}

fn is_called_otherwise(name: &str, known: &[&'static str]) -> bool {
    CALLED_OTHERWISE.iter().any(|(theirs, ours)| *theirs == name && known.contains(ours))
}

fn suggestion(name: &str, likely: &[&'static str], others: &[&'static str]) -> String {
    let all = || likely.iter().chain(others).copied();
    let called =
        CALLED_OTHERWISE.iter().find(|(theirs, ours)| *theirs == name && all().any(|known| known == *ours));
    if let Some(known) = called.map(|(_, ours)| *ours).or_else(|| most_like(name, all())) {
        return format!("did you mean `{known}`?");
    }
    let all: Vec<&str> = all().collect();
    match listed(all.into_iter()).as_str() {
        "" => "nothing is expected here".to_owned(),
        known => format!("known here: {known}"),
    }
}

/// Returns the one label of a block.
pub(super) fn label(reader: &mut Reader<'_>, block: &Block, example: &str) -> Option<Text> {
    let name = block.ident.as_str();
    let hint = format!("write: {example}");
    let Some(first) = block.labels.first() else {
        return reader.mistake(reader.span(&block.ident), format!("`{name}` needs a name"), hint);
    };
    if let Some(second) = block.labels.get(1) {
        return reader.mistake(reader.span(second), format!("`{name}` has more than one name"), hint);
    }
    let text = label_text(reader, first);
    if text.value.trim().is_empty() {
        return reader.mistake(text.span, format!("the name of `{name}` is empty"), hint);
    }
    Some(text)
}

/// Reports labels where none belong.
pub(super) fn no_label(reader: &mut Reader<'_>, block: &Block) {
    if let Some(label) = block.labels.first() {
        let name = block.ident.as_str();
        let message = format!("`{name}` has no name here");
        reader.mistake::<()>(reader.span(label), message, format!("write: {name} {{ … }}"));
    }
}

fn label_text(reader: &Reader<'_>, label: &BlockLabel) -> Text {
    Text { value: label.as_str().to_owned(), span: reader.span(label), is_literal: true }
}
