//! The suites that are asked about, with lists of their own: the machine's apt is not touched.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use estaleiro::apt::index::{Index, RepositoryId};
use estaleiro::apt::preferences::Origin;
use estaleiro::apt::resolve::Universe;

use super::support::machine::{self, MachineSource};

/// A set of suites of one release.
pub(crate) struct Suites {
    pub(crate) name: String,
    pub(crate) universe: Universe,
    /// The texts of the indexes, in apt's order.
    pub(crate) indexes: Vec<String>,
    /// Where each index comes from.
    pub(crate) origins: Vec<Origin>,
    /// What tells apt-get where its lists, sources and caches are.
    pub(crate) options: Vec<String>,
    pub(crate) directory: tempfile::TempDir,
}

impl Suites {
    /// The suites that the machine has, with the machine's own lists.
    pub(crate) fn of_this_machine() -> Suites {
        machine::debian();
        let directory = tempfile::tempdir().expect("a temporary directory");
        Suites::read(machine::codename(), Vec::new(), directory)
    }

    /// The machine's suites and the backports of its release.
    pub(crate) fn with_backports() -> Suites {
        let mut sources = machine::debian().to_vec();
        let backports = format!("{}-backports", machine::codename());
        if sources.iter().all(|source| source.suite != backports) {
            sources.push(MachineSource { suite: backports.clone(), ..main_source(&sources) });
        }
        Suites::fetch(format!("{} with backports", machine::codename()), &sources)
    }

    /// Another release than the machine's, from the same mirror.
    pub(crate) fn of_another_release() -> Suites {
        let codename = if machine::codename() == "trixie" { "bookworm" } else { "trixie" };
        let main = main_source(machine::debian());
        let suites = [codename.to_owned(), format!("{codename}-updates")];
        let sources = suites.map(|suite| MachineSource { suite, ..main.clone() });
        Suites::fetch(codename.to_owned(), &sources)
    }

    fn fetch(name: String, sources: &[MachineSource]) -> Suites {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().display();
        std::fs::create_dir_all(directory.path().join("lists/partial")).expect("a directory");
        let lines: Vec<String> = sources.iter().map(MachineSource::line).collect();
        std::fs::write(directory.path().join("sources"), lines.join("\n") + "\n").expect("a file");
        let options = vec![
            format!("Dir::State::lists={path}/lists"),
            format!("Dir::Etc::SourceList={path}/sources"),
            "Dir::Etc::SourceParts=/dev/null".to_owned(),
            "Acquire::Languages=none".to_owned(),
        ];
        run(Command::new("apt-get").args(with(&options)).args(["-q", "update"]));
        Suites::read(name, options, directory)
    }

    fn read(name: String, mut options: Vec<String>, directory: tempfile::TempDir) -> Suites {
        let path = directory.path().display();
        options.push(format!("Dir::Cache={path}/cache"));
        std::fs::create_dir_all(directory.path().join("cache/archives/partial")).expect("a directory");
        let policies = policies(&options);
        let targets = run(Command::new("apt-get").args(with(&options)).args([
            "indextargets",
            "--format",
            "$(FILENAME)|$(REPO_URI)|$(RELEASE)/$(COMPONENT)",
            "Created-By: Packages",
        ]));
        let architecture = run(Command::new("dpkg").arg("--print-architecture"));
        let (mut indexes, mut read_indexes, mut origins) = (Vec::new(), Vec::new(), Vec::new());
        for line in targets.lines() {
            let fields: Vec<&str> = line.split('|').collect();
            let &[file, uri, suite] = fields.as_slice() else { panic!("three fields: {line}") };
            let place = format!("{} {suite}", uri.trim_end_matches('/'));
            if !Path::new(file).exists() {
                continue;
            }
            let text = run(Command::new("/usr/lib/apt/apt-helper").arg("cat-file").arg(file));
            let (pin, component, origin) =
                policies.get(&place).expect("apt-cache policy knows each index").clone();
            let number = RepositoryId(indexes.len());
            let read = Index::parse(&text, architecture.trim(), number).expect("the index is valid");
            read_indexes.push(read.with_pin(pin).with_component(&component));
            indexes.push(text);
            origins.push(origin);
        }
        assert!(!indexes.is_empty(), "there is no packages index on this machine: run `apt-get update`");
        let universe = Universe::new(read_indexes, architecture.trim());
        Suites { name, universe, indexes, origins, options, directory }
    }

    /// What one set of packages has a pin to name: the codename of its last suite.
    pub(crate) fn last_archive(&self) -> &str {
        self.origins.last().map_or("", |origin| &origin.archive)
    }
}

fn main_source(sources: &[MachineSource]) -> MachineSource {
    let codename = machine::codename();
    sources.iter().find(|source| source.suite == codename).expect("the machine has its own release").clone()
}

/// Returns what apt says of each index, by `URI suite/component`: its priority, component and origin.
fn policies(options: &[String]) -> BTreeMap<String, (i16, String, Origin)> {
    let text = run(Command::new("apt-cache").args(with(options)).arg("policy"));
    let mut policies = BTreeMap::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let &[pin, uri, place, _, "Packages"] = words.as_slice() else { continue };
        let mut origin = Origin::default();
        let mut component = String::new();
        while let Some(line) = lines.peek().filter(|line| line.starts_with("     ")) {
            let line = line.trim();
            if let Some(site) = line.strip_prefix("origin ") {
                origin.site = site.to_owned();
            }
            for part in line.strip_prefix("release ").unwrap_or_default().split(',') {
                match part.split_once('=') {
                    Some(("a", value)) => origin.archive = value.to_owned(),
                    Some(("n", value)) => origin.codename = value.to_owned(),
                    Some(("v", value)) => origin.version = value.to_owned(),
                    Some(("o", value)) => origin.origin = value.to_owned(),
                    Some(("l", value)) => origin.label = value.to_owned(),
                    Some(("c", value)) => component = value.to_owned(),
                    Some(_) | None => {}
                }
            }
            lines.next();
        }
        let pin = pin.parse().expect("a priority");
        policies.insert(format!("{} {place}", uri.trim_end_matches('/')), (pin, component, origin));
    }
    policies
}

/// Returns the options as apt's programs take them.
pub(crate) fn with(options: &[String]) -> impl Iterator<Item = String> + '_ {
    options.iter().flat_map(|option| ["-o".to_owned(), option.clone()])
}

pub(crate) fn run(command: &mut Command) -> String {
    let output = command.env("LC_ALL", "C.UTF-8").output().expect("apt's programs are on every Debian");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}
