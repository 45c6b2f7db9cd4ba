//! From a line to an instruction: which there are, and what each asks of its arguments.
//!
//! COPY, ADD, RUN and HEALTHCHECK have files of their own.

use super::flags::{Flags, Known, Takes};
use super::from::From;
use super::kind::{Argument, CommandLine, Kind, Pair};
use super::lexer::Escape;
use super::lines::Line;
use super::mistake::{Mistake, excerpt, suggestion};
use super::split::{Json, Split, Token};
use super::{health, run, transfer};

/// An instruction, or the beginning of a stage.
#[derive(Debug)]
pub(super) enum Statement {
    From(From),
    Instruction(Kind),
}

/// The instructions there are.
const NAMES: [&str; 18] = [
    "ADD",
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "MAINTAINER",
    "ONBUILD",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

/// A line that is being read; spans are places in its text.
pub(super) struct Reading<'l> {
    /// The instruction's name in capitals.
    pub(super) name: &'static str,
    pub(super) line: &'l Line,
    pub(super) split: Split<'l>,
    pub(super) escape: Escape,
}

/// Reads a line; the place of a mistake is one in the line's text.
pub(super) fn statement(line: &Line, escape: Escape) -> Result<Statement, Mistake> {
    let split = Split::of(&line.text, 0);
    let Some(name) = NAMES.into_iter().find(|name| split.name.text.eq_ignore_ascii_case(name)) else {
        return Err(unknown(&split.name));
    };
    let reading = Reading { name, line, split, escape };
    let kind = match name {
        "FROM" => return From::read(&reading).map(Statement::From),
        "ADD" => Kind::Add(transfer::read_add(&reading)?),
        "ARG" => Kind::Arg(reading.read_arguments()?),
        "CMD" => Kind::Cmd(reading.read_command()?),
        "COPY" => Kind::Copy(transfer::read_copy(&reading)?),
        "ENTRYPOINT" => Kind::Entrypoint(reading.read_command()?),
        "ENV" => Kind::Env(reading.read_pairs()?),
        "EXPOSE" => Kind::Expose(reading.read_ports()?),
        "HEALTHCHECK" => Kind::Healthcheck(health::read(&reading)?),
        "LABEL" => Kind::Label(reading.read_pairs()?),
        "MAINTAINER" => Kind::Maintainer(reading.read_text()?),
        "ONBUILD" => Kind::Onbuild(reading.read_trigger()?),
        "RUN" => Kind::Run(run::read(&reading)?),
        "SHELL" => Kind::Shell(reading.read_shell()?),
        // BuildKit looks at no flags here, and so at none that it does not know.
        "STOPSIGNAL" => Kind::Stopsignal(reading.the_text()?),
        "USER" => Kind::User(reading.read_text()?),
        "VOLUME" => Kind::Volume(reading.read_volumes()?),
        _ => Kind::Workdir(reading.read_text()?),
    };
    Ok(Statement::Instruction(kind))
}

impl Reading<'_> {
    /// Reads the flags of an instruction that has those of `known`.
    pub(super) fn flags(&self, known: &[Known]) -> Result<Flags, Mistake> {
        Flags::read(self.name, &self.split.flags, known)
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
        let example = match self.name {
            "ARG" => "ARG version=1",
            "ENV" => "ENV NAME=value",
            "EXPOSE" => "EXPOSE 80/tcp",
            "LABEL" => "LABEL name=value",
            "ONBUILD" => "ONBUILD RUN make",
            "SHELL" => "SHELL [\"/bin/bash\", \"-c\"]",
            "STOPSIGNAL" => "STOPSIGNAL SIGTERM",
            "USER" => "USER name:group",
            "VOLUME" => "VOLUME /data",
            "WORKDIR" => "WORKDIR /app",
            other => return format!("write what {other} needs after it"),
        };
        format!("write for instance {example}")
    }

    fn read_text(&self) -> Result<String, Mistake> {
        let text = self.the_text()?;
        self.flags(&[])?;
        Ok(text)
    }

    fn the_text(&self) -> Result<String, Mistake> {
        match self.split.rest {
            "" => Err(self.nothing("argument")),
            text => Ok(text.to_owned()),
        }
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

    /// ARG looks at no flags, as in BuildKit.
    fn read_arguments(&self) -> Result<Vec<Argument>, Mistake> {
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
        let name = trigger.name.text.to_ascii_uppercase();
        if matches!(name.as_str(), "ONBUILD" | "FROM" | "MAINTAINER") {
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
        let name = NAMES.into_iter().find(|name| trigger.name.text.eq_ignore_ascii_case(name));
        let has_json = |name| {
            matches!(name, "ADD" | "CMD" | "COPY" | "ENTRYPOINT" | "HEALTHCHECK" | "RUN" | "SHELL" | "VOLUME")
        };
        let split = Split::of(self.split.rest, self.split.span.start);
        let inner = Reading { name: name.unwrap_or("ONBUILD"), line: self.line, split, escape: self.escape };
        match name {
            Some("ENV" | "LABEL") if !inner.split.rest.is_empty() => inner.read_pairs().map(drop),
            Some(name) if has_json(name) && inner.split.json() == Json::OtherArray => {
                Err(inner.other_array())
            }
            Some(_) | None => Ok(()),
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
    Mistake::new(name.span.clone(), message, suggestion(&name.text, NAMES, otherwise))
}

/// The flag of FROM.
pub(super) const FROM_FLAGS: [Known; 1] = [("platform", Takes::Value)];
