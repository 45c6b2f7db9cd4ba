//! What texts must look like: paths, names, versions, addresses, modes, owners, ports.

use std::ops::Range;

use hcl_edit::expr::Expression;

use super::reader::{Reader, Text};
use crate::apt::preferences::Preferences;
use crate::apt::sources;
use crate::build::definition::{Glob, Id, Owner, Spanned};
use crate::digest::Digest;
use crate::oci::Reference;

/// As long as Linux takes.
const MAX_PATH: usize = 4096;

/// The highest user or group number; the one above it means "none".
pub(super) const MAX_ID: u32 = u32::MAX - 1;

/// Reads a path in an image: absolute, without `..`; a `/` at its end stays.
pub(super) fn absolute_path(reader: &mut Reader<'_>, what: &str, text: &Text) -> Option<Spanned<String>> {
    let path = checked_path(reader, what, text)?;
    if !path.starts_with('/') {
        let hint = match text.is_literal {
            true => format!("paths in an image begin with `/`: \"/{path}\""),
            false => "paths in an image begin with `/`".to_owned(),
        };
        return reader.mistake(text.span.clone(), format!("{} is not absolute", text.named(what)), hint);
    }
    Some(text.with(path).spanned())
}

/// Reads a path in the context or a tarball: relative, without `..`; `./` before it is dropped.
pub(super) fn relative_path(reader: &mut Reader<'_>, what: &str, text: &Text) -> Option<Spanned<String>> {
    let path = checked_path(reader, what, text)?;
    if path.starts_with('/') {
        let hint = match text.is_literal {
            true => {
                format!("paths in a context or tarball do not begin with `/`: \"{}\"", path.trim_matches('/'))
            }
            false => "paths in a context or tarball do not begin with `/`".to_owned(),
        };
        return reader.mistake(text.span.clone(), format!("{} is absolute", text.named(what)), hint);
    }
    Some(text.with(path).spanned())
}

fn checked_path(reader: &mut Reader<'_>, what: &str, text: &Text) -> Option<String> {
    let path = text.value.as_str();
    let (reason, hint) = match path {
        "" => ("is empty", "write a path"),
        _ if path.len() > MAX_PATH => ("is longer than 4096 bytes", "no file can have such a path"),
        _ if path.contains(char::is_control) => {
            ("has a control character in it", "write the path without it")
        }
        _ if path.split('/').any(|name| name == "..") => {
            ("has `..` in it", "write where it leads to instead")
        }
        _ => return Some(without_empty_names(path)),
    };
    reader.mistake(text.span.clone(), format!("{} {reason}", text.named(what)), hint)
}

/// `/a//./b/` → `/a/b/`, `./a` → `a`, `.` stays.
fn without_empty_names(path: &str) -> String {
    let names: Vec<&str> = path.split('/').filter(|name| !name.is_empty() && *name != ".").collect();
    let start = if path.starts_with('/') { "/" } else { "" };
    match names.is_empty() {
        true if start.is_empty() => ".".to_owned(),
        true => "/".to_owned(),
        false => format!("{start}{}{}", names.join("/"), if path.ends_with('/') { "/" } else { "" }),
    }
}

/// Reads a path that may be a glob.
pub(super) fn glob(
    reader: &mut Reader<'_>,
    what: &str,
    path: Spanned<String>,
    text: &Text,
) -> Option<Spanned<Glob>> {
    match Glob::new(&path.value) {
        Ok(value) => Some(Spanned { value, span: path.span }),
        Err(error) => {
            let message = format!("{} is no pattern: {error}", text.named(what));
            reader.mistake(path.span, message, "a backslash takes the next character as it is: `\\\\[`")
        }
    }
}

/// Reads the name of an image.
pub(super) fn reference(
    reader: &mut Reader<'_>,
    span: &Range<usize>,
    text: &Text,
) -> Option<Spanned<Reference>> {
    match text.value.parse::<Reference>() {
        Ok(value) => Some(Spanned { value, span: span.clone() }),
        Err(error) => {
            let error = error.to_string();
            let message = match text.is_literal {
                true => error,
                false => {
                    let reason = error.rsplit_once("`: ").map_or("", |(_, reason)| reason);
                    format!("cannot read image name: {reason}")
                }
            };
            let hint = "an image is named like `debian:bookworm` or `registry.example/team/app@sha256:…`";
            reader.mistake(span.clone(), message, hint)
        }
    }
}

/// Checks the name of a package, by Debian policy 5.6.1.
/// <https://www.debian.org/doc/debian-policy/ch-controlfields.html#source>
pub(super) fn package_name(reader: &mut Reader<'_>, text: &Text) -> Option<()> {
    let is_good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '+' | '-' | '.');
    let starts_well = text.value.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    if starts_well && text.value.len() >= 2 && text.value.chars().all(is_good) {
        return Some(());
    }
    let hint = match text.value.split_once('=') {
        Some((name, version)) if text.is_literal => {
            format!("the version has its own attribute: package \"{name}\" {{ version = \"{version}\" }}")
        }
        _ => "a package's name has two or more of `a-z`, `0-9`, `+`, `-`, `.` and begins with a letter or digit"
            .to_owned(),
    };
    reader.mistake(text.span.clone(), text.named("invalid package name"), hint)
}

/// Checks a version, by Debian policy 5.6.12.
/// <https://www.debian.org/doc/debian-policy/ch-controlfields.html#version>
pub(super) fn package_version(reader: &mut Reader<'_>, text: &Text) -> Option<()> {
    if is_version(&text.value) {
        return Some(());
    }
    let hint =
        "a version is `[epoch:]upstream[-revision]`, like `1:2.3+dfsg-4`; upstream begins with a digit";
    reader.mistake(text.span.clone(), text.named("invalid version"), hint)
}

pub(super) fn pin(reader: &mut Reader<'_>, text: &Text) -> Option<()> {
    let Err(error) = Preferences::pin("package", &text.value) else { return Some(()) };
    let hint = "a pin is `release a=bookworm-backports`, `version 1.2*` or `origin archive.example`";
    let message = if text.is_literal { error.to_string() } else { "cannot read this pin".to_owned() };
    reader.mistake(text.span.clone(), message, hint)
}

pub(super) fn preferences(reader: &mut Reader<'_>, text: &Text) -> Option<()> {
    let Err(error) = Preferences::parse(&text.value) else { return Some(()) };
    let hint = "write paragraphs of `Package: …`, `Pin: …` and `Pin-Priority: …`, as apt_preferences(5) says";
    let message =
        if text.is_literal { error.to_string() } else { "cannot read these preferences".to_owned() };
    reader.mistake(text.span.clone(), message, hint)
}

fn is_version(text: &str) -> bool {
    let (epoch, rest) = text.split_once(':').map_or((None, text), |(epoch, rest)| (Some(epoch), rest));
    let (upstream, revision) = rest.rsplit_once('-').map_or((rest, None), |(up, rev)| (up, Some(rev)));
    let is_common = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '+' | '~');
    let is_upstream = |c: char| is_common(c) || c == '-' || c == ':' && epoch.is_some();
    epoch.is_none_or(|epoch| is_digits(epoch) && epoch.parse::<u32>().is_ok())
        && upstream.starts_with(|c: char| c.is_ascii_digit())
        && upstream.chars().all(is_upstream)
        && revision.is_none_or(|revision| !revision.is_empty() && revision.chars().all(is_common))
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Reads an http or https address.
pub(super) fn url(reader: &mut Reader<'_>, what: &str, text: Text) -> Option<Spanned<String>> {
    let is_good = url::Url::parse(&text.value)
        .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.host_str().is_some());
    if is_good && !text.value.contains(char::is_whitespace) {
        return Some(text.spanned());
    }
    reader.mistake(
        text.span,
        format!("{what} is no web address"),
        "write one like `https://archive.example/file`",
    )
}

/// Reads a SHA-256 digest, with or without `sha256:` before it.
pub(super) fn sha256(reader: &mut Reader<'_>, text: &Text) -> Option<Spanned<Digest>> {
    let hex = text.value.strip_prefix("sha256:").unwrap_or(&text.value).to_ascii_lowercase();
    match Digest::from_hex(&hex) {
        Ok(value) => Some(Spanned { value, span: text.span.clone() }),
        Err(_) => {
            let hint = "write 64 hexadecimal digits, as `sha256sum` prints them";
            reader.mistake(text.span.clone(), text.named("invalid sha256"), hint)
        }
    }
}

/// Reads a fingerprint: 40 hexadecimal digits, spaces allowed.
pub(super) fn fingerprint(reader: &mut Reader<'_>, text: &Text) -> Option<Spanned<String>> {
    let digits: String = text.value.chars().filter(|c| !c.is_whitespace()).collect();
    if digits.len() == 40 && digits.chars().all(|c| c.is_ascii_hexdigit()) {
        return Some(text.with(digits.to_ascii_uppercase()).spanned());
    }
    let hint =
        "write all 40 hexadecimal digits, as `gpg --show-keys` prints them; a short key ID is not safe";
    reader.mistake(text.span.clone(), text.named("invalid fingerprint"), hint)
}

/// Reads permission bits, written as an octal number in a string.
pub(super) fn mode(reader: &mut Reader<'_>, expression: &Expression) -> Option<u32> {
    if let Expression::Number(_) = expression {
        let span = reader.span(expression);
        let hint = format!("put it in quotes: \"{}\"", reader.written(&span));
        let message = "wrong type for `mode`: expected an octal number in a string, got a number";
        return reader.mistake(span, message, hint);
    }
    let text = reader.text("`mode`", expression)?;
    let is_octal =
        (1..=5).contains(&text.value.len()) && text.value.bytes().all(|b| matches!(b, b'0'..=b'7'));
    let mode = u32::from_str_radix(&text.value, 8).ok().filter(|mode| is_octal && *mode <= 0o7777);
    if mode.is_none() {
        let hint = "write an octal number up to 7777, like \"0755\"";
        return reader.mistake(text.span.clone(), text.named("invalid mode"), hint);
    }
    mode
}

/// Reads `user:group`, each a name or a number.
pub(super) fn owner(reader: &mut Reader<'_>, what: &str, text: &Text) -> Option<Owner> {
    let (user, group) = text.value.split_once(':').unwrap_or((&text.value, &text.value));
    match (id(user), id(group)) {
        (Some(uid), Some(gid)) => Some(Owner { uid, gid }),
        _ => {
            let hint = format!(
                "write `user:group`, names or numbers from 0 to {MAX_ID}: \"0:0\", \"www-data:www-data\""
            );
            reader.mistake(text.span.clone(), text.named(what), hint)
        }
    }
}

fn id(text: &str) -> Option<Id> {
    match is_digits(text) {
        true => text.parse().ok().filter(|number| *number <= MAX_ID).map(Id::Number),
        false => is_user_name(text).then(|| Id::Name(text.to_owned())),
    }
}

/// As `useradd` takes it, and dots, which other systems allow.
fn is_user_name(text: &str) -> bool {
    let is_good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let body = text.strip_suffix('$').unwrap_or(text);
    text.len() <= 32
        && body.chars().all(is_good)
        && body.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
}

/// Checks the name of a user that is to be made.
pub(super) fn user_name(reader: &mut Reader<'_>, text: &Text) -> Option<()> {
    if is_user_name(&text.value) {
        return Some(());
    }
    let hint = "a user's name has up to 32 letters, digits, `_`, `-`, `.` and begins with a letter or `_`";
    reader.mistake(text.span.clone(), text.named("invalid user name"), hint)
}

/// Checks what an image runs as: a user or `user:group`.
pub(super) fn run_as(reader: &mut Reader<'_>, text: Text) -> Option<String> {
    owner(reader, "invalid user", &text).map(|_| text.value)
}

/// Reads a port, as `8080` or `8080/udp`.
pub(super) fn port(reader: &mut Reader<'_>, text: &Text) -> Option<String> {
    let (number, protocol) = text.value.split_once('/').unwrap_or((&text.value, "tcp"));
    let number = number.parse::<u16>().ok().filter(|port| *port > 0 && is_digits(number));
    match (number, protocol) {
        (Some(number), "tcp" | "udp" | "sctp") => Some(format!("{number}/{protocol}")),
        _ => {
            let hint = "write a number from 1 to 65535 and tcp, udp or sctp: \"8080/tcp\"";
            reader.mistake(text.span.clone(), text.named("invalid port"), hint)
        }
    }
}

/// Checks a line of `repositories`; what exactly it says is apt's to read.
pub(super) fn repository(reader: &mut Reader<'_>, text: &Text) -> Option<()> {
    let is_deb822 = text.value.lines().any(|line| line.starts_with("URIs:"));
    if is_deb822 || is_source_line(&text.value) {
        return not_lenient(reader, text, is_deb822);
    }
    let hint = "write `deb [options] https://archive.example/debian suite component…`, or `deb-src …`";
    reader.mistake(text.span.clone(), "cannot read this repository", hint)
}

/// What nobody signed well is never used: better said here, with its place, than once it is fetched.
fn not_lenient(reader: &mut Reader<'_>, text: &Text, is_deb822: bool) -> Option<()> {
    let read = match is_deb822 {
        true => sources::parse_deb822(&text.value, ""),
        false => sources::parse_one_line(&text.value, ""),
    };
    let repositories = read.map(|sources| sources.repositories).unwrap_or_default();
    let Some(option) = repositories.iter().find_map(|repository| repository.lenience) else {
        return Some(());
    };
    let hint = "take the option away; if the archive is signed, declare its key and name it with signed-by";
    reader.mistake(text.span.clone(), format!("{option}: what nobody signed well is not used"), hint)
}

fn is_source_line(text: &str) -> bool {
    let Some((kind, rest)) = text.trim().split_once(char::is_whitespace) else { return false };
    let rest = rest.trim_start();
    let rest = match rest.strip_prefix('[') {
        Some(options) => options.split_once(']').map_or("", |(_, rest)| rest),
        None => rest,
    };
    let mut words = rest.split_whitespace();
    let has_scheme = words.next().is_some_and(|uri| uri.contains(":/"));
    let is_complete = words.next().is_some_and(|suite| suite.ends_with('/') || words.next().is_some());
    matches!(kind, "deb" | "deb-src") && has_scheme && is_complete && text.trim().lines().count() == 1
}

/// Returns a text that isn't empty and has no NUL in it.
pub(super) fn filled(reader: &mut Reader<'_>, what: &str, text: Text) -> Option<Spanned<String>> {
    let reason = match text.value.as_str() {
        value if value.trim().is_empty() => "is empty",
        value if value.contains('\0') => "has a NUL in it",
        _ => return Some(text.spanned()),
    };
    reader.mistake(text.span, format!("{what} {reason}"), "write a text, or leave it out")
}
