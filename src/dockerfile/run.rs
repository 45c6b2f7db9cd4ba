//! RUN.
//!
//! Its mounts have a file of their own.

use super::flags::{Flags, Known, Takes};
use super::heredoc::Heredoc;
use super::kind::{CommandLine, Network, Run, RunCommand, Security};
use super::mistake::{Mistake, suggestion};
use super::mount::MountWords;
use super::read::Reading;

const FLAGS: [Known; 3] = [("mount", Takes::Values), ("network", Takes::Value), ("security", Takes::Value)];

pub(super) fn read(reading: &Reading<'_>) -> Result<Run, Mistake> {
    let flags = reading.flags(&FLAGS)?;
    let command = match reading.command()? {
        CommandLine::Exec(words) => RunCommand::Exec(words),
        CommandLine::Shell(text) => read_shell(text, &reading.line.heredocs),
    };
    let read_mount = |(text, span): (&str, _)| {
        let place = reading.line.place(&span);
        MountWords::parse(text, place).map_err(|problem| problem.at(span))
    };
    let mounts = flags.values("mount").map(read_mount).collect::<Result<_, _>>()?;
    let networks = [("default", Network::Default), ("none", Network::None), ("host", Network::Host)];
    let securities = [("sandbox", Security::Sandbox), ("insecure", Security::Insecure)];
    Ok(Run {
        command,
        mounts,
        network: choice(&flags, "network", &networks)?.unwrap_or_default(),
        security: choice(&flags, "security", &securities)?.unwrap_or_default(),
    })
}

/// A single here-document is the command itself, with `#!` a file; else the shell reads them.
fn read_shell(text: String, heredocs: &[Heredoc]) -> RunCommand {
    let Some(first) = heredocs.first() else { return RunCommand::Shell(text) };
    if matches!(Heredoc::parse(&text), Ok(Some(_))) {
        let text = first.text();
        return match text.starts_with("#!") {
            true => RunCommand::Script { name: first.name.clone(), text },
            false => RunCommand::Shell(text),
        };
    }
    let parts = heredocs.iter().map(|heredoc| format!("\n{}{}", heredoc.written, heredoc.name));
    RunCommand::Shell(text + &parts.collect::<String>())
}

fn choice<T: Copy>(flags: &Flags, name: &str, choices: &[(&str, T)]) -> Result<Option<T>, Mistake> {
    let Some((value, span)) = flags.values(name).next() else { return Ok(None) };
    if let Some((_, choice)) = choices.iter().find(|(name, _)| *name == value) {
        return Ok(Some(*choice));
    }
    let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
    let message = format!("cannot set `--{name}` to `{value}`");
    let hint = suggestion(value, names.iter().copied(), format!("choose one of {}", names.join(", ")));
    Err(Mistake::new(span, message, hint))
}
