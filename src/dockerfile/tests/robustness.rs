//! Whatever is read, there is an answer, and a mistake has a place.
//!
//! `ci/fuzz` runs the same for as long as one likes: with `DOCKERFILE_FUZZ_SECONDS`, and if wanted
//! `DOCKERFILE_FUZZ_SEED` and `DOCKERFILE_FUZZ_CORPUS`, a directory whose files are the texts to begin with.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

use super::*;

/// Texts to begin with: every instruction, and every form that its words take.
const TEXTS: [&str; 9] = [
    "# syntax=x\n# escape=`\n# check=skip=all\nARG v=1 w\nFROM --platform=$p img:${v:-2} AS base\n",
    "FROM scratch\nADD --checksum=sha256:ab --keep-git-dir=true --unpack https://x.example/a.tgz b /c/\nARG a=1\n",
    "FROM x AS a\nCOPY --from=a --chown=1:2 --chmod=u+x --link --parents --exclude=*.c [\"a b\", \"/c/\"]\n",
    "FROM x AS b\nCOPY <<EOF <<-'two' /d/\n$a \\$b 'c'\nEOF\n\ttab\n\ttwo\nRUN <<E\n#!/bin/sh\nE\nRUN cat <<E >/f\ng\nE\n",
    "FROM b AS c\nRUN --mount=type=cache,id=$a,target=/c,sharing=locked,uid=0,mode=0700 --network=none \\\n # no\n\n make\n",
    "FROM c\nRUN --mount=type=secret,id=s,env=S,required --mount=type=tmpfs,target=/t,size=1.5g --mount=\"type=ssh\" x\n",
    "FROM x\nENV a=\"b c\" d='e $f' g=h\\ i\nENV old form value\nLABEL \"a.b\"=c\nEXPOSE 80 53/udp 1-3\nMAINTAINER m\n",
    "FROM x\nHEALTHCHECK --interval=1m30s --timeout=.5s --retries=3 CMD [\"a\"]\nSHELL [\"sh\", \"-c\"]\nSTOPSIGNAL 9\n",
    "FROM x\nONBUILD COPY --from=0 a b\nUSER u:g\nVOLUME /a [\"b\"]\nWORKDIR ${x#*/}/${y%%.*}/${z//a/b}\nCMD a\nENTRYPOINT []\n",
];

/// What means something somewhere.
const WORDS: [&str; 66] = [
    "ADD ",
    "ARG ",
    "CMD ",
    "COPY ",
    "ENTRYPOINT ",
    "ENV ",
    "EXPOSE ",
    "FROM ",
    "HEALTHCHECK ",
    "LABEL ",
    "MAINTAINER ",
    "ONBUILD ",
    "RUN ",
    "SHELL ",
    "STOPSIGNAL ",
    "USER ",
    "VOLUME ",
    "WORKDIR ",
    " AS ",
    "\n",
    "\r\n",
    "\r",
    "\\\n",
    "`\n",
    "\\",
    "`",
    "#",
    "# escape=`\n",
    " ",
    "\t",
    "\u{b}",
    "\u{a0}",
    "\u{feff}",
    "\"",
    "'",
    "$",
    "${",
    "}",
    ":-",
    ":+",
    ":?",
    "##",
    "%%",
    "//",
    "/",
    "*",
    "?",
    "[",
    "]",
    ",",
    "=",
    "--",
    "--from=",
    "--mount=type=",
    "<<E ",
    "<<-'E' ",
    "\nE\n",
    "[\"a\"",
    "1",
    "-1",
    "é",
    "\u{0}",
    "..",
    "!",
    "**",
    "b",
];

#[test]
fn whatever_is_read_there_is_an_answer() {
    let number = |name: &str| env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seconds = number("DOCKERFILE_FUZZ_SECONDS");
    let seed = number("DOCKERFILE_FUZZ_SEED").unwrap_or(if seconds.is_some() { rand::random() } else { 1 });
    let mut fuzz = Fuzz { random: StdRng::seed_from_u64(seed), texts: texts(), slowest: Duration::ZERO };
    let end = Instant::now() + Duration::from_secs(seconds.unwrap_or(0));
    let mut n_texts = 0;
    while n_texts < 2_000 || Instant::now() < end {
        fuzz.try_one();
        n_texts += 1;
    }
    eprintln!("seed {seed}: {n_texts} texts, the slowest took {:?}", fuzz.slowest);
}

fn texts() -> Vec<String> {
    let mut texts: Vec<String> = TEXTS.iter().map(|text| (*text).to_owned()).collect();
    if let Some(corpus) = env::var_os("DOCKERFILE_FUZZ_CORPUS") {
        let entries = fs::read_dir(corpus).unwrap().map(|entry| entry.unwrap().path());
        let mut paths: Vec<_> = entries.collect();
        paths.sort();
        texts.extend(paths.iter().filter_map(|path| fs::read_to_string(path).ok()));
    }
    texts
}

struct Fuzz {
    random: StdRng,
    texts: Vec<String>,
    slowest: Duration,
}

impl Fuzz {
    fn try_one(&mut self) {
        let text = self.text();
        let patterns = self.piece(40);
        let path = self.path();
        let start = Instant::now();
        let tried = catch_unwind(AssertUnwindSafe(|| {
            reads(&text);
            expands(&text);
            ignores(&patterns, &path);
            globs(&patterns, &path);
        }));
        assert!(tried.is_ok(), "panicked at:\n{text:?}\nor {patterns:?} {path:?}");
        self.slowest = self.slowest.max(start.elapsed());
    }

    /// Makes a text of one or two others, and changes it here and there.
    fn text(&mut self) -> String {
        let mut text = self.texts.choose(&mut self.random).unwrap().clone();
        if self.random.gen_bool(0.3) {
            let other = self.texts.choose(&mut self.random).unwrap().clone();
            let from = self.range(&other).start;
            text = format!("{}{}", &text[..self.range(&text).start], &other[from..]);
        }
        for _ in 0..self.random.gen_range(0..6) {
            let place = self.range(&text);
            match self.random.gen_range(0..4) {
                0 => text.replace_range(place, ""),
                1 => {
                    let part = text[place.clone()].to_owned();
                    text.insert_str(place.end, &part);
                }
                2 => text.replace_range(place, &self.piece(4)),
                _ => text.insert_str(place.start, &self.piece(2)),
            }
        }
        text
    }

    fn piece(&mut self, most: usize) -> String {
        let number = self.random.gen_range(0..=most);
        (0..number).map(|_| *WORDS.choose(&mut self.random).unwrap()).collect()
    }

    fn path(&mut self) -> String {
        let number = self.random.gen_range(1..5);
        let names = (0..number)
            .map(|_| *["a", "b", "E", "é", "1", "**", "[", "a1"].choose(&mut self.random).unwrap());
        names.collect::<Vec<_>>().join("/")
    }

    /// A short part of a text, between characters.
    fn range(&mut self, text: &str) -> Range<usize> {
        let places: Vec<usize> = text.char_indices().map(|(place, _)| place).chain([text.len()]).collect();
        let start = self.random.gen_range(0..places.len());
        let end = (start + self.random.gen_range(0..12)).min(places.len() - 1);
        places[start]..places[end]
    }
}

/// Says that a span lies in the text, between characters.
fn is_in(text: &str, span: &Range<usize>) {
    assert!(text.get(span.clone()).is_some(), "{span:?} of {text:?}");
}

fn is_told(text: &str, mistake: &Mistake) {
    is_in(text, &mistake.span);
    assert!(mistake.message.starts_with("cannot "), "{}", mistake.message);
    assert!(mistake.message.len() < 4_000_000);
}

fn reads(text: &str) {
    let dockerfile = match Dockerfile::parse(text) {
        Ok(dockerfile) => dockerfile,
        Err(mistakes) => {
            assert!(!mistakes.is_empty());
            return mistakes.iter().for_each(|mistake| is_told(text, mistake));
        }
    };
    for stage in &dockerfile.stages {
        for instruction in &stage.instructions {
            is_in(text, &instruction.span);
            let n_breaks = text[..instruction.span.start].matches('\n').count();
            assert_eq!(n_breaks + 1, instruction.line, "{text:?}");
        }
    }
    if let Err(mistake) = follows(&dockerfile) {
        is_told(text, &mistake);
    }
}

/// Does with a Dockerfile what a build does with it.
fn follows(dockerfile: &Dockerfile) -> Result<(), Mistake> {
    let arguments = BTreeMap::from([("v".to_owned(), "3".to_owned()), ("x".to_owned(), String::new())]);
    let globals = Globals::of(dockerfile, Given { arguments, ..Given::default() })?;
    globals.unused(dockerfile);
    let first = |mut mistakes: Vec<Mistake>| mistakes.remove(0);
    let mut stages = Stages::of(dockerfile, &globals).map_err(first)?;
    let target = stages.target(None).unwrap();
    stages.trigger(target, &["ENV t=$v".to_owned()])?;
    let mut scopes = BTreeMap::new();
    for index in stages.needed(target)? {
        let mut scope = match stages.base(index) {
            Root::Stage(base) => Scope::on_stage(&scopes[base]),
            Root::Scratch | Root::Image(_) | Root::Named(_) => Scope::on_image(&globals, &[]),
        };
        for instruction in &stages.stage(index).instructions {
            scope.follow(instruction)?;
        }
        assert!(scope.of_run().len() >= scope.of_image().len().min(1));
        scope.of_history();
        stages.roots(index, true);
        scopes.insert(index, scope);
    }
    Ok(())
}

/// Reads words without quotes, escapes and variables like everybody else.
fn expands(text: &str) {
    for escape in [Escape::Backslash, Escape::Backtick] {
        let (whole, parts) = (word(text, escape, &value), words(text, escape, &value));
        assert_eq!(whole.is_ok(), parts.is_ok(), "{text:?}");
        if !text.contains(['$', '\'', '"', '\\', '`', '<']) {
            assert_eq!(whole.as_deref(), Ok(text));
            assert_eq!(parts.unwrap(), text.split_whitespace().collect::<Vec<_>>());
        }
    }
}

/// Says that nothing is wanted below a directory that nobody looks into.
fn ignores(patterns: &str, path: &str) {
    let Ok(ignore) = Ignore::parse(patterns) else { return };
    let is_ignored = ignore.is_ignored(path);
    let mut judgement = Judgement::default();
    for (end, _) in path.match_indices('/') {
        judgement = ignore.judge(&path[..end], &judgement);
        assert!(!ignore.prunes(&path[..end], &judgement) || is_ignored, "{patterns:?} {path:?}");
    }
}

/// Matches a pattern also in the slow and simple way.
fn globs(pattern: &str, path: &str) {
    let _ = Glob::parse(pattern);
    let pattern: String = pattern.chars().filter(|c| !matches!(c, '[' | '\\')).take(20).collect();
    let glob = Glob::parse(&pattern).unwrap();
    let letters = |text: &str| text.chars().collect::<Vec<char>>();
    assert_eq!(glob.matches(path), simply(&letters(&pattern), &letters(path)), "{pattern:?} {path:?}");
}

fn simply(pattern: &[char], path: &[char]) -> bool {
    match (pattern, path) {
        ([], []) => true,
        (['*', rest @ ..], _) => {
            let end = path.iter().position(|letter| *letter == '/').unwrap_or(path.len());
            (0..=end).any(|taken| simply(rest, &path[taken..]))
        }
        (['?', rest @ ..], [letter, path @ ..]) => *letter != '/' && simply(rest, path),
        ([own, rest @ ..], [letter, path @ ..]) => own == letter && simply(rest, path),
        _ => false,
    }
}
