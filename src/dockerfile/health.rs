//! HEALTHCHECK, and how Go writes spans of time.

use std::time::Duration;

use super::flags::{Flags, Known, Takes};
use super::kind::{CommandLine, Healthcheck};
use super::mistake::{Mistake, excerpt};
use super::read::Reading;
use super::split::{Json, json};

const FLAGS: [Known; 5] = [
    ("interval", Takes::Value),
    ("timeout", Takes::Value),
    ("start-period", Takes::Value),
    ("start-interval", Takes::Value),
    ("retries", Takes::Value),
];

const SHAPE: &str = "write HEALTHCHECK CMD and a command, or HEALTHCHECK NONE";

pub(super) fn read(reading: &Reading<'_>) -> Result<Healthcheck, Mistake> {
    let rest = reading.split.rest;
    if rest.is_empty() {
        return Err(reading.mistake("cannot read HEALTHCHECK: it has no argument", SHAPE));
    }
    let (form, command) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let command = command.trim_start();
    match form.to_ascii_uppercase().as_str() {
        // BuildKit looks at no flags here.
        "NONE" if command.is_empty() => Ok(Healthcheck::None),
        "NONE" => Err(reading.mistake_at_rest("cannot read HEALTHCHECK: nothing follows NONE", SHAPE)),
        "CMD" => read_check(reading, command),
        _ => {
            let message = format!("cannot read HEALTHCHECK: expected CMD or NONE, got `{}`", excerpt(form));
            Err(reading.mistake_at_rest(message, SHAPE))
        }
    }
}

/// Looks only at whether the JSON in a trigger is right.
pub(super) fn check_form(reading: &Reading<'_>) -> Result<(), Mistake> {
    let (_, command) = reading.split.rest.split_once(char::is_whitespace).unwrap_or_default();
    if json(command) == Json::OtherArray { Err(reading.other_array()) } else { Ok(()) }
}

fn read_check(reading: &Reading<'_>, command: &str) -> Result<Healthcheck, Mistake> {
    let flags = reading.flags(&FLAGS)?;
    let command = match json(command) {
        Json::OtherArray => return Err(reading.other_array()),
        Json::Texts(words) if !words.is_empty() => CommandLine::Exec(words),
        Json::Nothing if !command.is_empty() => CommandLine::Shell(command.to_owned()),
        Json::Texts(_) | Json::Nothing => {
            return Err(reading.mistake_at_rest("cannot read HEALTHCHECK: no command follows CMD", SHAPE));
        }
    };
    Ok(Healthcheck::Command {
        command,
        interval: duration_of(&flags, "interval")?,
        timeout: duration_of(&flags, "timeout")?,
        start_period: duration_of(&flags, "start-period")?,
        start_interval: duration_of(&flags, "start-interval")?,
        retries: retries_of(&flags)?,
    })
}

/// Zero is the same as nothing, and what is less than a millisecond is too short.
fn duration_of(flags: &Flags, name: &str) -> Result<Option<Duration>, Mistake> {
    let Some((value, span)) = flags.values(name).next().filter(|(value, _)| !value.is_empty()) else {
        return Ok(None);
    };
    let fail = |why| {
        let message = format!("cannot set `--{name}` to `{}`: {why}", excerpt(value));
        Mistake::new(span.clone(), message, format!("write for instance --{name}=1m30s"))
    };
    match parse_duration(value) {
        None => Err(fail("that is no span of time")),
        Some(0) => Ok(None),
        Some(nanoseconds) if nanoseconds < 1_000_000 => Err(fail("it is less than 1ms")),
        Some(nanoseconds) => Ok(Some(Duration::from_nanos(nanoseconds.unsigned_abs()))),
    }
}

fn retries_of(flags: &Flags) -> Result<Option<u32>, Mistake> {
    let Some((value, span)) = flags.values("retries").next().filter(|(value, _)| !value.is_empty()) else {
        return Ok(None);
    };
    match value.parse::<i32>().ok().and_then(|retries| u32::try_from(retries).ok()) {
        Some(retries) => Ok(Some(retries).filter(|retries| *retries > 0)),
        None => {
            let message = format!("cannot set `--retries` to `{}`: expected a number", excerpt(value));
            Err(Mistake::new(span, message, "write for instance --retries=3"))
        }
    }
}

/// Reads a span of time as Go's `time.ParseDuration` does, in nanoseconds: `1h2.5s`, `-300ms`, `0`.
fn parse_duration(text: &str) -> Option<i64> {
    let (is_negative, unsigned) = match text.strip_prefix(['-', '+']) {
        Some(rest) => (text.starts_with('-'), rest),
        None => (false, text),
    };
    if unsigned == "0" {
        return Some(0);
    }
    let mut rest = unsigned;
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let (nanoseconds, after) = parse_part(rest)?;
        total = total.checked_add(nanoseconds)?;
        rest = after;
    }
    if unsigned.is_empty() {
        return None;
    }
    i64::try_from(if is_negative { -total } else { total }).ok()
}

/// Reads `2.5s`, and returns what follows.
fn parse_part(text: &str) -> Option<(i128, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (whole, rest) = text.split_at(end);
    let (fraction, rest) = match rest.strip_prefix('.') {
        Some(rest) => rest.split_at(rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len())),
        None => ("", rest),
    };
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let end = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
    let (unit, rest) = rest.split_at(end);
    let unit: i128 = match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    };
    let whole: i128 = if whole.is_empty() { 0 } else { whole.parse::<i64>().ok()?.into() };
    let shown = &fraction[..fraction.len().min(15)];
    let tail = shown.parse::<i128>().unwrap_or(0) * unit / 10_i128.pow(u32::try_from(shown.len()).ok()?);
    Some((whole * unit + tail, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_of_time_are_read_as_go_reads_them() {
        for (text, nanoseconds) in [
            ("0", 0),
            ("5s", 5_000_000_000),
            ("1h2m3.5s", 3_723_500_000_000),
            ("-1.5ms", -1_500_000),
            ("+1us", 1_000),
            (".5s", 500_000_000),
            ("1.s", 1_000_000_000),
            ("3µs4ns", 3_004),
        ] {
            assert_eq!(parse_duration(text), Some(nanoseconds), "{text}");
        }
        for text in ["", "5", "s", ".s", "1d", "1s ", "1e3s", "-", "9999999999h", "1s2"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }
}
