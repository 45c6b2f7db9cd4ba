//! The house's plan as a test: imports only go down the floors, and a few rules that no lint knows.
//!
//! It reads the sources as text. What it understands of Rust is just enough for `use crate::…`,
//! comments, literals and test modules; its own tests are at the end.
#![allow(clippy::unwrap_used, reason = "a test that fails should panic")]

#[path = "architecture/source.rs"]
mod source;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use source::{Source, words};

/// The rooms, from the ground up. Rooms on one floor do not know each other.
const FLOORS: [&[&str]; 6] = [
    &["digest", "licence", "progress", "redact"],
    &["oci", "store", "debian", "inside", "rpm", "transport"],
    &["registry", "login", "sandbox", "fetch", "git", "layer"],
    &["apt", "bom", "buildpack", "dockerfile", "package", "signing"],
    &["build"],
    &["resource", "run"],
];

/// What belongs to the programs, which stand on top, and not to the library.
const PROGRAMS: [&str; 2] = ["bin", "cli"];

/// Where system calls may be made by hand.
const ROOMS_WITH_UNSAFE: [&str; 2] = ["layer", "sandbox"];

/// Hosts of archives and registries: whose they are is the user's choice, never ours.
const FORBIDDEN_HOSTS: [&str; 8] = [
    concat!("debian", ".org"),
    concat!("debian", ".net"),
    concat!("ubuntu", ".com"),
    concat!("docker", ".com"),
    concat!("quay", ".io"),
    concat!("ghcr", ".io"),
    concat!("gcr", ".io"),
    concat!("pkg", ".dev"),
];

/// Specifications that a comment may cite.
const DOCUMENTATION_HOSTS: [&str; 5] = [
    concat!("www.debian", ".org"),
    concat!("wiki.debian", ".org"),
    concat!("manpages.debian", ".org"),
    concat!("manpages.ubuntu", ".com"),
    concat!("docs.docker", ".com"),
];

/// A rule that is broken somewhere.
#[derive(Debug, PartialEq, Eq)]
struct Breach {
    file: String,
    line: usize,
    what: String,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.what)
    }
}

#[test]
fn imports_only_go_down_the_floors() {
    assert_none(sources().iter().flat_map(upward_imports));
}

#[test]
fn every_file_says_what_it_holds() {
    assert_none(sources().iter().filter_map(missing_header));
}

#[test]
fn nothing_from_outside_is_unwrapped() {
    assert_none(
        sources().iter().flat_map(|source| forbidden_code(source, ".unwrap()", "no unwrap outside tests")),
    );
}

#[test]
fn only_two_rooms_are_unsafe() {
    assert_none(sources().iter().flat_map(unsafe_code));
}

#[test]
fn no_archive_or_registry_is_compiled_in_or_committed() {
    let breaches = committed_texts().into_iter().flat_map(|(file, text)| forbidden_hosts(&file, &text));
    assert_none(breaches);
}

fn assert_none(breaches: impl Iterator<Item = Breach>) {
    let breaches: Vec<String> = breaches.map(|breach| breach.to_string()).collect();
    assert!(breaches.is_empty(), "\n{}\n", breaches.join("\n"));
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources() -> Vec<Source> {
    let paths = files_below(&root().join("src"))
        .into_iter()
        .filter(|path| path.extension().is_some_and(|e| e == "rs"));
    let read = |path: PathBuf| Source::new(&name_of(&path), &fs::read_to_string(&path).unwrap());
    let sources: Vec<Source> = paths.map(read).collect();
    assert!(sources.len() > 10, "the sources are where this test looks for them");
    sources
}

/// Everything that is text and ours, but no lock files and nothing built.
fn committed_texts() -> Vec<(String, String)> {
    let mut paths = Vec::new();
    for directory in ["src", "tests", "ci", ".ci", "docs", "examples"] {
        paths.extend(files_below(&root().join(directory)));
    }
    for entry in fs::read_dir(root()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() && path.file_name().is_some_and(|name| name != "Cargo.lock") {
            paths.push(path);
        }
    }
    let read = |path: PathBuf| fs::read_to_string(&path).ok().map(|text| (name_of(&path), text));
    paths.into_iter().filter_map(read).collect()
}

fn files_below(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let below = |path: PathBuf| if path.is_dir() { files_below(&path) } else { vec![path] };
    paths.into_iter().flat_map(below).collect()
}

fn name_of(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned()
}

fn floor_of(room: &str) -> Option<usize> {
    FLOORS.iter().position(|rooms| rooms.contains(&room))
}

fn upward_imports(source: &Source) -> Vec<Breach> {
    let Some(room) = source.room() else { return Vec::new() };
    let Some(own_floor) = floor_of(room) else {
        let what = format!(
            "the room `{room}` has no floor: give it one in tests/architecture.rs and ARCHITECTURE.md"
        );
        return vec![source.breach(1, what)];
    };
    let judge = |(line, imported): (usize, String)| {
        let why = match floor_of(&imported) {
            _ if imported == room => return None,
            Some(floor) if floor < own_floor => return None,
            Some(floor) if floor == own_floor => {
                format!("both are on floor {floor}, and rooms on one floor do not know each other")
            }
            Some(floor) => format!("that is floor {floor}, above floor {own_floor}"),
            None => "that is no room".to_owned(),
        };
        Some(source.breach(line, format!("the room `{room}` imports crate::{imported}: {why}")))
    };
    source.imports().into_iter().filter_map(judge).collect()
}

fn missing_header(source: &Source) -> Option<Breach> {
    let is_there = source.text.starts_with("//! ");
    (!is_there).then(|| source.breach(1, "a file begins with `//!`: one sentence on what it holds".into()))
}

fn forbidden_code(source: &Source, code: &str, why: &str) -> Vec<Breach> {
    let lines = source.code.lines().enumerate().filter(|(_, line)| line.contains(code));
    lines.map(|(index, _)| source.breach(index + 1, why.to_owned())).collect()
}

fn unsafe_code(source: &Source) -> Vec<Breach> {
    if source.room().is_some_and(|room| ROOMS_WITH_UNSAFE.contains(&room)) {
        return Vec::new();
    }
    let lines = source.code.lines().enumerate().filter(|(_, line)| words(line).any(|word| word == "unsafe"));
    lines
        .map(|(index, _)| source.breach(index + 1, "unsafe code lives in sandbox/ and layer/".into()))
        .collect()
}

fn forbidden_hosts(file: &str, text: &str) -> Vec<Breach> {
    let mut breaches = Vec::new();
    for (index, line) in text.lines().enumerate() {
        for host in hosts_in(line) {
            let is_forbidden = FORBIDDEN_HOSTS.iter().any(|forbidden| is_within(host, forbidden));
            if is_forbidden && !DOCUMENTATION_HOSTS.contains(&host) {
                let what = format!(
                    "`{host}` is somebody's archive or registry; write archive.example or registry.example"
                );
                breaches.push(Breach { file: file.to_owned(), line: index + 1, what });
            }
        }
    }
    breaches
}

/// Splits at whatever no host has; a name in a mail address is no host.
fn hosts_in(line: &str) -> impl Iterator<Item = &str> {
    let is_mail = move |part: &str| {
        let start = part.as_ptr() as usize - line.as_ptr() as usize;
        line[..start].ends_with('@')
    };
    let parts = line.split(|c: char| !c.is_ascii_alphanumeric() && c != '.' && c != '-');
    parts.map(|part| part.trim_matches('.')).filter(move |part| part.contains('.') && !is_mail(part))
}

fn is_within(host: &str, domain: &str) -> bool {
    host.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

mod the_test_itself {
    use super::*;

    fn breaches(file: &str, text: &str) -> Vec<String> {
        upward_imports(&Source::new(file, text)).iter().map(Breach::to_string).collect()
    }

    #[test]
    fn an_import_downwards_or_within_the_room_is_fine() {
        let text = "//! x\nuse crate::digest::Digest;\nuse crate::apt::solver;\nuse super::release;\n";
        assert_eq!(breaches("src/apt/index.rs", text), Vec::<String>::new());
    }

    #[test]
    fn an_import_upwards_is_named_by_file_line_and_room() {
        assert_eq!(
            breaches("src/oci/image.rs", "//! x\n\nuse crate::build::Graph;\n"),
            ["src/oci/image.rs:3: the room `oci` imports crate::build: that is floor 4, above floor 1"]
        );
    }

    #[test]
    fn an_import_sideways_is_refused() {
        let found = breaches("src/bom/mod.rs", "use crate::apt::Package;");
        assert!(found[0].contains("both are on floor 3"), "{found:?}");
    }

    #[test]
    fn groups_and_paths_within_code_are_seen() {
        let text = "use crate::{\n    digest::{Digest, Hasher},\n    build::{self, Lock},\n    resource,\n};\n\
                    fn f() { let x = crate::apt::solve(); }\n";
        let found = breaches("src/store/mod.rs", text);
        let lines: Vec<&str> = found.iter().map(|line| line.split(": that").next().unwrap()).collect();
        assert_eq!(
            lines,
            [
                "src/store/mod.rs:3: the room `store` imports crate::build",
                "src/store/mod.rs:4: the room `store` imports crate::resource",
                "src/store/mod.rs:6: the room `store` imports crate::apt",
            ]
        );
    }

    #[test]
    fn the_way_out_through_super_is_seen() {
        assert_eq!(breaches("src/oci/image.rs", "use super::super::build::Lock;").len(), 1);
        assert_eq!(breaches("src/oci/mod.rs", "use super::build::Lock;").len(), 1);
        assert_eq!(breaches("src/digest.rs", "use super::oci::Image;").len(), 1);
        assert_eq!(breaches("src/oci/image.rs", "use super::build_up;").len(), 0);
    }

    #[test]
    fn comments_texts_and_tests_may_name_any_room() {
        let text = "//! [`crate::build`]\n/* crate::apt /* crate::bom */ crate::apt */\n\
                    const A: &str = \"crate::build \\\" crate::apt\";\nconst B: &str = r#\"crate::build\" \"#;\n\
                    const C: char = '\"'; // crate::build\n\
                    #[cfg(test)]\nmod tests {\n    use crate::build::Graph;\n    fn f() { g('{'); }\n}\n\
                    #[cfg(test)]\nuse crate::resource::Source;\n";
        assert_eq!(breaches("src/oci/mod.rs", text), Vec::<String>::new());
        let after = format!("{text}use crate::build::Graph;\n");
        assert_eq!(breaches("src/oci/mod.rs", &after).len(), 1);
    }

    #[test]
    fn a_lifetime_does_not_begin_a_text() {
        assert_eq!(
            breaches("src/oci/mod.rs", "fn f<'a>(x: &'a str) {}\nuse crate::build::X; // 'a\n").len(),
            1
        );
    }

    #[test]
    fn an_unknown_room_and_an_unknown_name_are_refused() {
        assert!(breaches("src/attic/mod.rs", "")[0].contains("has no floor"));
        assert!(breaches("src/attic.rs", "")[0].contains("has no floor"));
        assert!(breaches("src/oci/mod.rs", "use crate::Attic;")[0].contains("that is no room"));
    }

    #[test]
    fn programs_stand_on_top() {
        assert!(breaches("src/main.rs", "use estaleiro::resource;").is_empty());
        assert!(breaches("src/bin/in.rs", "use estaleiro::resource;").is_empty());
        assert!(breaches("src/cli/verbs.rs", "use crate::cli::args;").is_empty());
    }

    #[test]
    fn a_file_without_header_an_unwrap_and_unsafe_code_are_refused() {
        assert!(missing_header(&Source::new("src/a.rs", "use x;\n")).is_some());
        let unwrap = |text: &str| forbidden_code(&Source::new("src/a.rs", text), ".unwrap()", "").len();
        assert_eq!(unwrap("fn f() { g().unwrap(); }\n// x.unwrap()\n"), 1);
        assert_eq!(unwrap("#[test]\nfn f() {}\n#[cfg(test)]\nmod tests { fn g() { h().unwrap(); } }"), 0);
        assert_eq!(
            forbidden_code(&Source::new("src/a/tests/b.rs", "x().unwrap();"), ".unwrap()", "").len(),
            0
        );
        assert_eq!(unsafe_code(&Source::new("src/apt/a.rs", "unsafe { x() }")).len(), 1);
        assert_eq!(unsafe_code(&Source::new("src/apt/a.rs", "#![deny(unsafe_op_in_unsafe_fn)]")).len(), 0);
        assert_eq!(unsafe_code(&Source::new("src/sandbox/a.rs", "unsafe { x() }")).len(), 0);
    }

    #[test]
    fn hosts_of_archives_and_registries_are_refused_and_documentation_is_not() {
        let n_found = |text: &str| forbidden_hosts("a", text).len();
        assert_eq!(n_found(concat!("deb http://deb.debian", ".org/debian bookworm main")), 1);
        assert_eq!(n_found(concat!("https://archive.ubuntu", ".com. and ghcr", ".io/x")), 2);
        assert_eq!(
            n_found(concat!("//! https://www.debian", ".org/doc, team@debian", ".org, notquay", ".io")),
            0
        );
        assert_eq!(n_found("http://archive.example/debian docker.io/library/debian"), 0);
    }
}
