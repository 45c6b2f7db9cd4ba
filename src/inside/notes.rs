//! Small texts in which package managers of languages write down what they installed.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

use super::{ComponentKind, Found, Package, Place, npm, python};

/// Reads a text that lies somewhere.
pub(super) type Note = fn(&Place, &[u8], &mut Found);

/// Tells what reads the file at `path`, if it is such a text.
pub(super) fn note_of(path: &str) -> Option<Note> {
    let name = path.rsplit('/').next().unwrap_or(path);
    match name {
        _ if python::is_note(path) => Some(python::read),
        _ if npm::is_note(path) => Some(npm::read),
        "installed.json" => Some(composer),
        "DESCRIPTION" => Some(cran),
        _ if name.ends_with(".gemspec") && path.contains("specifications/") => Some(gem),
        _ if name.ends_with(".deps.json") => Some(nuget),
        _ if name.ends_with(".rockspec") => Some(luarocks),
        _ if name.ends_with(".php") && is_plugin(path) => Some(wordpress),
        _ => None,
    }
}

/// `vendor/composer/installed.json`: a list, since version 2 in an object.
fn composer(place: &Place, bytes: &[u8], found: &mut Found) {
    let Ok(json) = serde_json::from_slice::<Value>(bytes) else {
        return found.give_up(place, "it is no JSON");
    };
    let packages = json["packages"].as_array().or_else(|| json.as_array());
    for package in packages.into_iter().flatten() {
        let text = |name: &str| package[name].as_str().unwrap_or_default();
        let licences = package["license"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let licence = Some(licences.collect::<Vec<_>>().join(" OR ")).filter(|licence| !licence.is_empty());
        if !text("name").is_empty() {
            let package = Package { licence, ..Package::new(text("name"), text("version")) };
            found.add(place, ComponentKind::Composer, "", package);
        }
    }
}

/// What .NET writes beside a program: `libraries` by `name/version`.
fn nuget(place: &Place, bytes: &[u8], found: &mut Found) {
    let json = serde_json::from_slice::<Value>(bytes).ok();
    let Some(libraries) = json.as_ref().and_then(|json| json["libraries"].as_object()) else {
        return found.give_up(place, "it doesn't list the libraries of a .NET program");
    };
    for (name, library) in libraries {
        let Some((name, version)) = name.split_once('/') else { continue };
        let is_main = library["type"].as_str() == Some("project");
        found.add(place, ComponentKind::Nuget, "", Package { is_main, ..Package::new(name, version) });
    }
}

/// `DESCRIPTION` of an R package; other things have files of that name, too.
fn cran(place: &Place, bytes: &[u8], found: &mut Found) {
    let text = String::from_utf8_lossy(bytes);
    let value = |name: &str| {
        let lines = text.lines().filter_map(|line| line.split_once(':'));
        lines.filter(|(key, _)| *key == name).map(|(_, value)| value.trim().to_owned()).next()
    };
    if let (Some(name), Some(version)) = (value("Package"), value("Version")) {
        let package = Package { name, version, licence: value("License"), is_main: true };
        found.add(place, ComponentKind::Cran, "", package);
    }
}

/// A gem's specification is a program; RubyGems begins it with a line that repeats what matters.
fn gem(place: &Place, bytes: &[u8], found: &mut Found) {
    static STUB: LazyLock<Regex> = LazyLock::new(|| expression(r"(?m)^# stub: (\S+) (\S+) (\S+) "));
    static NAME: LazyLock<Regex> = LazyLock::new(|| expression(r#"\.name\s*=\s*["']([^"']+)["']"#));
    static VERSION: LazyLock<Regex> = LazyLock::new(|| expression(r#"\.version\s*=\s*["']([^"']+)["']"#));
    static LICENCES: LazyLock<Regex> = LazyLock::new(|| expression(r"\.licenses\s*=\s*\[([^\]]*)\]"));
    let text = String::from_utf8_lossy(bytes);
    let stub = STUB.captures(&text).map(|stub| (stub[1].to_owned(), stub[2].to_owned()));
    let assigned = || Some((first(&NAME, &text)?, first(&VERSION, &text)?));
    let Some((name, version)) = stub.or_else(assigned) else {
        return found.give_up(place, "it specifies a Ruby gem whose name or version is computed");
    };
    let quoted = first(&LICENCES, &text).unwrap_or_default();
    let words: Vec<&str> = quoted.split(['"', '\'']).skip(1).step_by(2).collect();
    let licence = (!words.is_empty()).then(|| words.join(" OR "));
    found.add(place, ComponentKind::Gem, "", Package { name, version, licence, is_main: true });
}

/// A rock's specification is a program of assignments.
fn luarocks(place: &Place, bytes: &[u8], found: &mut Found) {
    static NAME: LazyLock<Regex> = LazyLock::new(|| expression(r#"(?m)^\s*package\s*=\s*["']([^"']+)["']"#));
    static VERSION: LazyLock<Regex> =
        LazyLock::new(|| expression(r#"(?m)^\s*version\s*=\s*["']([^"']+)["']"#));
    static LICENCE: LazyLock<Regex> =
        LazyLock::new(|| expression(r#"(?m)^\s*license\s*=\s*["']([^"']+)["']"#));
    let text = String::from_utf8_lossy(bytes);
    let (Some(name), Some(version)) = (first(&NAME, &text), first(&VERSION, &text)) else {
        return found.give_up(place, "it specifies a Lua rock whose name or version is computed");
    };
    let package = Package { name, version, licence: first(&LICENCE, &text), is_main: true };
    found.add(place, ComponentKind::Luarocks, "", package);
}

/// Whether it lies where a plugin's main file does.
fn is_plugin(path: &str) -> bool {
    let Some((_, inner)) = path.rsplit_once("wp-content/plugins/") else { return false };
    inner.matches('/').count() == 1
}

/// The comment on top of a plugin's main file (<https://developer.wordpress.org/plugins/plugin-basics/header-requirements/>).
fn wordpress(place: &Place, bytes: &[u8], found: &mut Found) {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(8192)]);
    let value = |name: &str| {
        let lines = text.lines().map(|line| line.trim_start_matches([' ', '\t', '*', '/', '#']));
        let mut values = lines.filter_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        values.next().map(|value| value.trim().to_owned())
    };
    if let (Some(name), Some(version)) = (value("Plugin Name"), value("Version")) {
        let package = Package { name, version, licence: value("License"), is_main: true };
        found.add(place, ComponentKind::Wordpress, "", package);
    }
}

fn expression(text: &str) -> Regex {
    Regex::new(text).expect("it is a regular expression")
}

fn first(expression: &Regex, text: &str) -> Option<String> {
    Some(expression.captures(text)?.get(1)?.as_str().to_owned())
}
