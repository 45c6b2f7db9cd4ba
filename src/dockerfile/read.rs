//! From a line to an instruction: which there are, and what each asks of its arguments.
//!
//! COPY, ADD, RUN and HEALTHCHECK have files of their own.

use super::flags::{Flags, Known, Takes};
use super::from::From;
use super::kind::{Argument, CommandLine, Kind, Pair};
use super::lexer::Escape;
use super::lines::Line;
use super::mistake::{Mistake, excerpt, suggestion};
use super::name::Name;
use super::split::{Json, Split, Token};
use super::{health, run, transfer};

/// An instruction, or the beginning of a stage.
#[derive(Debug)]
pub(super) enum Statement {
    From(From),
    Instruction(Kind),
}

/// A line that is being read; spans are places in its text.
pub(super) struct Reading<'l> {
    pub(super) name: Name,
    pub(super) line: &'l Line,
    pub(super) split: Split<'l>,
    pub(super) escape: Escape,
}

/// Reads a line; the place of a mistake is one in the line's text.
pub(super) fn statement(line: &Line, escape: Escape) -> Result<Statement, Mistake> {
    let split = Split::of(&line.text, 0);
    let Some(name) = Name::parse(&split.name.text) else { return Err(unknown(&split.name)) };
    let reading = Reading { name, line, split, escape };
    let kind = match name {
        Name::From => return From::read(&reading).map(Statement::From),
        Name::Add => Kind::Add(transfer::read_add(&reading)?),
        Name::Arg => Kind::Arg(reading.read_arguments()?),
        Name::Cmd => Kind::Cmd(reading.read_command()?),
        Name::Copy => Kind::Copy(transfer::read_copy(&reading)?),
        Name::Entrypoint => Kind::Entrypoint(reading.read_command()?),
        Name::Env => Kind::Env(reading.read_pairs()?),
        Name::Expose => Kind::Expose(reading.read_ports()?),
        Name::Healthcheck => Kind::Healthcheck(health::read(&reading)?),
        Name::Label => Kind::Label(reading.read_pairs()?),
        Name::Maintainer => Kind::Maintainer(reading.read_text()?),
        Name::Onbuild => Kind::Onbuild(reading.read_trigger()?),
        Name::Run => Kind::Run(run::read(&reading)?),
        Name::Shell => Kind::Shell(reading.read_shell()?),
        Name::Stopsignal => Kind::Stopsignal(reading.read_text()?),
        Name::User => Kind::User(reading.read_text()?),
        Name::Volume => Kind::Volume(reading.read_volumes()?),
        Name::Workdir => Kind::Workdir(reading.read_text()?),
    };
    Ok(Statement::Instruction(kind))
}

impl Reading<'_> {
    /// Reads the flags of an instruction that has those of `known`.
    pub(super) fn flags(&self, known: &[Known]) -> Result<Flags, Mistake> {
        Flags::read(&self.name.to_string(), &self.split.flags, known)
    }

    /// Returns a mistake at the instruction's name.
    pub(super) fn mistake(&self, message: impl Into<String>, hint: impl Into<String>) -> Mistake {
        Mistake::new(self.split.name.span.clone(), message, hint)
    }

    /// Returns a mistake at the arguments.
    pub(super) fn mistake_at_rest(&self, message: impl Into<String>, hint: impl Into<String>) -> Mistake {
        let span = match self.split.rest.is_empty() {
            true => self.split.name.span.clone(),
            false => self.split.span.clone(),
        };
        Mistake::new(span, message, hint)
    }

    fn nothing(&self, what: &str) -> Mistake {
        self.mistake(format!("cannot read {}: it has no {what}", self.name), self.usage())
    }

    fn usage(&self) -> String {
        format!("write for instance {}", self.name.example())
    }

    fn read_text(&self) -> Result<String, Mistake> {
        if self.split.rest.is_empty() {
            return Err(self.nothing("argument"));
        }
        self.flags(&[])?;
        Ok(self.split.rest.to_owned())
    }

    /// Reads a command; other arrays than of texts are mistakes, other JSON is a text for the shell.
    pub(super) fn command(&self) -> Result<CommandLine, Mistake> {
        match self.split.json() {
            Json::Texts(words) => Ok(CommandLine::Exec(words)),
            Json::Nothing => Ok(CommandLine::Shell(self.split.rest.to_owned())),
            Json::OtherArray => Err(self.other_array()),
        }
    }

    pub(super) fn other_array(&self) -> Mistake {
        let message = format!("cannot read {}: its JSON array may hold texts only", self.name);
        self.mistake_at_rest(message, "put each word into double quotes")
    }

    fn read_command(&self) -> Result<CommandLine, Mistake> {
        self.flags(&[])?;
        self.command()
    }

    /// Reads words, or a JSON array of them.
    pub(super) fn words(&self) -> Result<Vec<Token>, Mistake> {
        let whole = |text| Token { text, span: self.split.span.clone() };
        match self.split.json() {
            Json::Texts(words) => Ok(words.into_iter().map(whole).collect()),
            Json::Nothing => Ok(self.split.blank_separated()),
            Json::OtherArray => Err(self.other_array()),
        }
    }

    fn read_arguments(&self) -> Result<Vec<Argument>, Mistake> {
        self.flags(&[])?;
        let words = self.split.quoted_words(self.escape);
        if words.is_empty() {
            return Err(self.nothing("name"));
        }
        words.into_iter().map(|word| self.read_argument(&word)).collect()
    }

    fn read_argument(&self, word: &Token) -> Result<Argument, Mistake> {
        let (name, value) = match word.text.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (word.text.as_str(), None),
        };
        match name {
            "" => Err(self.blank_name(word)),
            name => Ok(Argument { name: name.to_owned(), value, span: self.line.place(&word.span) }),
        }
    }

    fn blank_name(&self, word: &Token) -> Mistake {
        let message = format!("cannot read {}: there is no name before `=`", self.name);
        Mistake::new(word.span.clone(), message, self.usage())
    }

    /// Reads `name=value …`, or as of old one `name value`.
    fn read_pairs(&self) -> Result<Vec<Pair>, Mistake> {
        self.flags(&[])?;
        let words = self.split.quoted_words(self.escape);
        match words.first() {
            None => Err(self.nothing("name and value")),
            Some(first) if !first.text.contains('=') => self.read_old_pair().map(|pair| vec![pair]),
            Some(_) => words.iter().map(|word| self.read_pair(word)).collect(),
        }
    }

    fn read_old_pair(&self) -> Result<Pair, Mistake> {
        match self.split.halves() {
            Some((name, value)) => Ok(Pair { name: name.text, value: value.text }),
            None => Err(self.mistake_at_rest(
                format!("cannot read {}: `{}` has no value", self.name, excerpt(self.split.rest)),
                format!("write {}=value", excerpt(self.split.rest)),
            )),
        }
    }

    fn read_pair(&self, word: &Token) -> Result<Pair, Mistake> {
        match word.text.split_once('=') {
            Some(("", _)) => Err(self.blank_name(word)),
            Some((name, value)) => Ok(Pair { name: name.to_owned(), value: value.to_owned() }),
            None => {
                let message =
                    format!("cannot read {}: there is no `=` in `{}`", self.name, excerpt(&word.text));
                let hint = "write name=value, and a value with spaces in quotes";
                Err(Mistake::new(word.span.clone(), message, hint))
            }
        }
    }

    fn read_ports(&self) -> Result<Vec<String>, Mistake> {
        self.flags(&[])?;
        let mut ports: Vec<String> = self.split.blank_separated().into_iter().map(|word| word.text).collect();
        ports.sort();
        if ports.is_empty() { Err(self.nothing("port")) } else { Ok(ports) }
    }

    fn read_shell(&self) -> Result<Vec<String>, Mistake> {
        self.flags(&[])?;
        match self.split.json() {
            Json::Texts(words) if !words.is_empty() => Ok(words),
            Json::OtherArray => Err(self.other_array()),
            Json::Nothing if !self.split.rest.is_empty() => {
                Err(self.mistake_at_rest("cannot read SHELL: expected a JSON array", self.usage()))
            }
            Json::Texts(_) | Json::Nothing => Err(self.nothing("argument")),
        }
    }

    fn read_volumes(&self) -> Result<Vec<String>, Mistake> {
        self.flags(&[])?;
        let words = self.words()?;
        if words.is_empty() {
            return Err(self.nothing("directory"));
        }
        let volumes = words.into_iter().map(|word| match word.text.trim() {
            "" => Err(Mistake::new(word.span, "cannot read VOLUME: a directory has no name", self.usage())),
            volume => Ok(volume.to_owned()),
        });
        volumes.collect()
    }

    /// Reads what others shall do; of the instruction in it only its form is looked at.
    fn read_trigger(&self) -> Result<String, Mistake> {
        let rest = self.split.rest;
        if rest.is_empty() {
            return Err(self.nothing("instruction"));
        }
        let trigger = Split::of(rest, self.split.span.start);
        self.check_form(&trigger)?;
        self.flags(&[])?;
        if let Some(name @ (Name::Onbuild | Name::From | Name::Maintainer)) = Name::parse(&trigger.name.text)
        {
            let message = format!("cannot use {name} as a trigger of ONBUILD");
            return Err(Mistake::new(
                trigger.name.span,
                message,
                "write it without ONBUILD, or leave it out",
            ));
        }
        Ok(self.trigger_text())
    }

    fn check_form(&self, trigger: &Split<'_>) -> Result<(), Mistake> {
        let Some(name) = Name::parse(&trigger.name.text) else { return Ok(()) };
        let split = Split::of(self.split.rest, self.split.span.start);
        let inner = Reading { name, line: self.line, split, escape: self.escape };
        match name {
            Name::Env | Name::Label if !inner.split.rest.is_empty() => inner.read_pairs().map(drop),
            Name::Add | Name::Copy | Name::Volume => inner.words().map(drop),
            Name::Cmd | Name::Entrypoint | Name::Run | Name::Shell => inner.command().map(drop),
            Name::Healthcheck => health::check_form(&inner),
            Name::Arg
            | Name::Env
            | Name::Expose
            | Name::From
            | Name::Label
            | Name::Maintainer
            | Name::Onbuild
            | Name::Stopsignal
            | Name::User
            | Name::Workdir => Ok(()),
        }
    }

    /// Returns the line without ONBUILD, with its here-documents.
    fn trigger_text(&self) -> String {
        let line = self.line.text.trim_start();
        let mut text = line["ONBUILD".len()..].trim_start().to_owned();
        for heredoc in &self.line.heredocs {
            text.push('\n');
            text.push_str(&heredoc.written);
            text.push_str(&heredoc.name);
        }
        text
    }
}

fn unknown(name: &Token) -> Mistake {
    let message = format!("cannot read this line: there is no instruction `{}`", excerpt(&name.text));
    let otherwise = "an instruction stands first on its line; is the line before this one to be continued?";
    Mistake::new(name.span.clone(), message, suggestion(&name.text, Name::all(), otherwise))
}

/// The flag of FROM.
pub(super) const FROM_FLAGS: [Known; 1] = [("platform", Takes::Value)];
