//! Dockerfiles: from a text to stages of typed instructions, and what is needed to follow them.
//!
//! - [`Dockerfile::parse`] reads a text; each [`Mistake`] knows its place.
//! - [`Kind`] is what an instruction says; [`Kind::expand`] replaces its variables.
//! - [`Globals`] and [`Scope`] know the variables: ARG, ENV, and what the builder brings along.
//! - [`Stages`] knows what each stage builds on, and which ones a target needs.
//! - [`Ignore`] reads `.dockerignore`; [`Glob`] is a pattern in a source of COPY.
//!
//! All is as in BuildKit's frontend, see <https://docs.docker.com/reference/dockerfile/>. Nothing here knows
//! a file, a registry or how anything is built.

mod expand;
mod flags;
mod from;
mod glob;
mod health;
mod heredoc;
mod ignore;
mod kind;
mod lexer;
mod lines;
mod mistake;
mod mount;
mod name;
mod pattern;
mod ports;
mod read;
mod repository;
mod run;
mod scope;
mod signal;
mod split;
mod stages;
mod substitution;
mod transfer;

use std::ops::Range;

pub use expand::{word, words};
pub use glob::{Glob, clean, is_pattern};
pub use ignore::{Ignore, Judgement};
pub use kind::{
    Add, Argument, CommandLine, Copy, DEFAULT_SHELL, Document, Expanded, Healthcheck, Kind, Network, Pair,
    Run, RunCommand, Security, Transfer,
};
pub use lexer::{Escape, Lookup};
pub use lines::{Directive, Directives};
pub use mistake::{Mistake, Problem};
pub use mount::{Mount, MountWords, Owner, Sharing};
pub use repository::Repository;
pub use scope::{DEFAULT_PATH, Given, Globals, Platform, Scope, proxies};
pub use stages::{Root, Stages};

use lines::Line;
use read::Statement;

/// Longer than any Dockerfile that people read, in bytes.
pub const LONGEST_TEXT: usize = 1 << 20;

/// More than any Dockerfile has.
const MOST_INSTRUCTIONS: usize = 10_000;

/// More mistakes than anybody reads.
const MOST_MISTAKES: usize = 100;

/// A Dockerfile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dockerfile {
    /// The directives at its top.
    pub directives: Directives,
    /// The ARGs before the first FROM.
    pub arguments: Vec<Argument>,
    /// The stages; there is at least one.
    pub stages: Vec<Stage>,
    /// Instructions with empty lines between their continued ones, of which BuildKit warns.
    pub gaps: Vec<Range<usize>>,
}

/// A FROM and what follows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// Its base, before variables are replaced.
    pub base: String,
    /// Its platform, before variables are replaced.
    pub platform: Option<String>,
    /// Its name, in small letters.
    pub name: Option<String>,
    /// The FROM, on one line.
    pub text: String,
    /// Where it stands.
    pub span: Range<usize>,
    /// The number of its line, from 1.
    pub line: usize,
    /// What is done in it.
    pub instructions: Vec<Instruction>,
}

/// An instruction in a stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instruction {
    /// What it says.
    pub kind: Kind,
    /// The instruction on one line, without its here-documents.
    pub text: String,
    /// Where it stands, here-documents included. That of a trigger is the FROM that brought it.
    pub span: Range<usize>,
    /// The number of its first line, from 1.
    pub line: usize,
    /// Whether it comes from an ONBUILD of the base.
    pub is_trigger: bool,
}

impl Dockerfile {
    /// Reads a Dockerfile; of the mistakes in it, each instruction's first one is told.
    pub fn parse(text: &str) -> Result<Dockerfile, Vec<Mistake>> {
        if text.len() > LONGEST_TEXT {
            let message = format!("cannot read the Dockerfile: longer than {LONGEST_TEXT} bytes");
            return Err(vec![Mistake::new(0..0, message, "let RUN and COPY use files of the context")]);
        }
        let lines = lines::read(text);
        let mut builder = Builder::new(lines.directives, lines.gaps, lines.mistakes);
        for line in &lines.lines {
            builder.read(line);
        }
        builder.finish(text)
    }
}

impl Instruction {
    /// Reads a trigger that `stage`'s base brought; what is wrong with it is told of the stage's FROM.
    pub fn of_trigger(trigger: &str, stage: &Stage) -> Result<Instruction, Mistake> {
        let fail = |why: &str, hint: &str| {
            let trigger = mistake::excerpt(trigger);
            let message = format!("cannot run the base's trigger `{trigger}`: {why}");
            Mistake::new(stage.span.clone(), message, hint)
        };
        let lines = lines::read(trigger);
        if let Some(mistake) = lines.mistakes.first() {
            return Err(fail(&mistake.message, &mistake.hint));
        }
        let [line] = lines.lines.as_slice() else {
            return Err(fail("it is not one instruction", "use another base"));
        };
        match read::statement(line, lines.directives.escape) {
            Ok(Statement::Instruction(kind)) => Ok(Instruction {
                kind: kind.moved_to(&stage.span),
                text: line.text.trim().to_owned(),
                span: stage.span.clone(),
                line: stage.line,
                is_trigger: true,
            }),
            Ok(Statement::From(_)) => Err(fail("a trigger begins no stage", "use another base")),
            Err(mistake) => Err(fail(&mistake.message, &mistake.hint)),
        }
    }
}

/// A Dockerfile in the making.
struct Builder {
    dockerfile: Dockerfile,
    mistakes: Vec<Mistake>,
    n_instructions: usize,
}

impl Builder {
    fn new(directives: Directives, gaps: Vec<Range<usize>>, mistakes: Vec<Mistake>) -> Builder {
        let dockerfile = Dockerfile { directives, arguments: Vec::new(), stages: Vec::new(), gaps };
        Builder { dockerfile, mistakes, n_instructions: 0 }
    }

    fn read(&mut self, line: &Line) {
        self.n_instructions += 1;
        match read::statement(line, self.dockerfile.directives.escape) {
            Ok(Statement::From(from)) => self.dockerfile.stages.push(Stage {
                base: from.base,
                platform: from.platform,
                name: from.name,
                text: line.text.trim().to_owned(),
                span: line.span.clone(),
                line: line.number,
                instructions: Vec::new(),
            }),
            Ok(Statement::Instruction(kind)) => self.push(line, kind),
            Err(mistake) => {
                let span = line.place(&mistake.span);
                self.mistakes.push(Mistake { span, ..mistake });
            }
        }
    }

    /// Before the first stage there is nothing but ARG.
    fn push(&mut self, line: &Line, kind: Kind) {
        match (self.dockerfile.stages.last_mut(), kind) {
            (Some(stage), kind) => stage.instructions.push(Instruction {
                kind,
                text: line.text.trim().to_owned(),
                span: line.span.clone(),
                line: line.number,
                is_trigger: false,
            }),
            (None, Kind::Arg(arguments)) => self.dockerfile.arguments.extend(arguments),
            (None, _) => {
                let message = "cannot use this instruction before FROM: there is no stage yet";
                self.mistakes.push(Mistake::new(line.span.clone(), message, "write FROM above it"));
            }
        }
    }

    fn finish(mut self, text: &str) -> Result<Dockerfile, Vec<Mistake>> {
        if self.n_instructions > MOST_INSTRUCTIONS {
            let message = format!("cannot read the Dockerfile: more than {MOST_INSTRUCTIONS} instructions");
            self.mistakes.push(Mistake::new(0..0, message, "divide it"));
        }
        if self.mistakes.is_empty() && self.dockerfile.stages.is_empty() {
            let (message, hint) = ("cannot build anything: there is no FROM", "write FROM image");
            self.mistakes.push(Mistake::new(text.len()..text.len(), message, hint));
        }
        if self.mistakes.is_empty() {
            return Ok(self.dockerfile);
        }
        self.mistakes.sort_by_key(|mistake| (mistake.span.start, mistake.span.end));
        self.mistakes.truncate(MOST_MISTAKES);
        Err(self.mistakes)
    }
}

#[cfg(test)]
mod tests;
