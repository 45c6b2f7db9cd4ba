//! The flags of an instruction, `--name` and `--name=value`.
//!
//! Which flags an instruction has is said where it is read; what their values mean, too.

use std::ops::Range;

use super::mistake::{Mistake, suggestion};
use super::split::Token;

/// What a flag takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Takes {
    /// Nothing, `true` or `false`.
    Truth,
    /// A value, once.
    Value,
    /// A value, as often as wanted.
    Values,
}

/// A flag that an instruction has.
pub(super) type Known = (&'static str, Takes);

/// The flags that were given.
#[derive(Debug)]
pub(super) struct Flags {
    given: Vec<Given>,
}

#[derive(Debug)]
struct Given {
    name: &'static str,
    /// For a truth that stands alone, `true`.
    value: String,
    span: Range<usize>,
}

impl Flags {
    /// Reads the flags of `instruction`, which has those of `known`.
    pub(super) fn read(instruction: &str, tokens: &[Token], known: &[Known]) -> Result<Flags, Mistake> {
        let mut flags = Flags { given: Vec::new() };
        for token in tokens {
            let given = read(instruction, token, known)?;
            let is_single = !known.contains(&(given.name, Takes::Values));
            if is_single && flags.given.iter().any(|earlier| earlier.name == given.name) {
                let message = format!("cannot use `--{}` twice", given.name);
                return Err(Mistake::new(given.span, message, "leave one of them out"));
            }
            flags.given.push(given);
        }
        Ok(flags)
    }

    /// Returns the value of a flag; an empty one counts as none.
    pub(super) fn value(&self, name: &str) -> Option<String> {
        self.values(name).next().filter(|(value, _)| !value.is_empty()).map(|(value, _)| value.to_owned())
    }

    /// Returns each value of a flag with its place.
    pub(super) fn values(&self, name: &str) -> impl Iterator<Item = (&str, Range<usize>)> {
        let given = self.given.iter().filter(move |given| given.name == name);
        given.map(|given| (given.value.as_str(), given.span.clone()))
    }

    /// Returns whether a flag is set, if anything is said of it.
    pub(super) fn truth(&self, name: &str) -> Option<bool> {
        self.values(name).next().map(|(value, _)| value == "true")
    }
}

fn read(instruction: &str, token: &Token, known: &[Known]) -> Result<Given, Mistake> {
    let text = token.text.strip_prefix("--").unwrap_or(&token.text);
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (text, None),
    };
    let Some((name, takes)) = known.iter().find(|(flag, _)| *flag == name) else {
        return Err(unknown(instruction, token, name, known));
    };
    let value = match (takes, value) {
        (Takes::Truth, None) => "true".to_owned(),
        (Takes::Truth, Some(value)) => truth(value, token, name)?,
        (Takes::Value | Takes::Values, Some(value)) => value.to_owned(),
        (Takes::Value | Takes::Values, None) => {
            let message = format!("cannot use `--{name}` without a value");
            return Err(Mistake::new(token.span.clone(), message, format!("write --{name}=…")));
        }
    };
    Ok(Given { name, value, span: token.span.clone() })
}

fn truth(value: &str, token: &Token, name: &str) -> Result<String, Mistake> {
    let lower = value.to_ascii_lowercase();
    if matches!(lower.as_str(), "true" | "false") {
        return Ok(lower);
    }
    let message = format!("cannot set `--{name}` to `{value}`: expected true or false");
    Err(Mistake::new(token.span.clone(), message, format!("write --{name} or --{name}=false")))
}

fn unknown(instruction: &str, token: &Token, name: &str, known: &[Known]) -> Mistake {
    let message = format!("cannot use `--{name}` with {instruction}: there is no such flag");
    let names: Vec<String> = known.iter().map(|(name, _)| format!("--{name}")).collect();
    let otherwise = match names.is_empty() {
        true => format!("{instruction} has no flags"),
        false => format!("its flags are {}", names.join(" ")),
    };
    let hint = suggestion(&format!("--{name}"), names.iter().map(String::as_str), otherwise);
    Mistake::new(token.span.clone(), message, hint)
}
