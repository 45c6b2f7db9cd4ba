//! The text of a Dockerfile, and mistakes in it as people read them.

use std::ops::Range;

use crate::build::definition::{Diagnostics, SourceText};
use crate::build::graph;
use crate::dockerfile::{Instruction, Mistake};

/// The text of a Dockerfile, with its name.
pub(super) struct Text {
    source: SourceText,
}

impl Text {
    pub(super) fn new(file_name: &str, text: &str) -> Text {
        Text { source: SourceText::new(file_name, text) }
    }

    /// Returns a mistake with its line and a caret.
    pub(super) fn error(&self, mistake: Mistake) -> anyhow::Error {
        self.errors(vec![mistake])
    }

    /// Returns mistakes, each with its line and a caret; there is at least one.
    pub(super) fn errors(&self, mistakes: Vec<Mistake>) -> anyhow::Error {
        let diagnostics = mistakes.into_iter();
        let diagnostics =
            diagnostics.map(|it| self.source.diagnostic(it.span, it.message, it.hint)).collect();
        match Diagnostics::check(diagnostics) {
            Err(diagnostics) => diagnostics.into(),
            Ok(()) => anyhow::anyhow!("internal error: a mistake was announced, and there is none"),
        }
    }

    /// Returns an error of something that stands at `span`, as a mistake there.
    pub(super) fn at(&self, span: &Range<usize>, error: &anyhow::Error) -> anyhow::Error {
        Diagnostics::from(self.source.failure(span.clone(), error)).into()
    }

    /// Returns an instruction as the graph knows it.
    pub(super) fn instruction(&self, said: &Instruction) -> graph::Instruction {
        graph::Instruction {
            text: said.text.clone(),
            file: self.source.file_name().to_owned(),
            line: said.line,
        }
    }
}
