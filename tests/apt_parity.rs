//! The resolver beside apt itself, on the archive this machine uses.
//!
//! The indexes are those of the last `apt-get update`; nothing is fetched. `APT_PARITY_ROUNDS` asks for more random
//! requests than the few that run always, `APT_PARITY_SEED` for others.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use estaleiro::apt::index::{Index, RepositoryId};
use estaleiro::apt::resolve::{CandidateId, Request, Selection, Universe, Wanted, resolve};
use estaleiro::debian::deb822::{self, Paragraph};
use estaleiro::debian::{Installed, status};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

/// What people build images from, and what has alternatives, virtual packages and conflicts in its closure.
const REQUESTS: [&str; 34] = [
    "ca-certificates jq",
    "btrfs-progs ca-certificates dumb-init iproute2 file iptables",
    "git git-lfs gnupg jq openssh-client symlinks",
    "curl",
    "python3",
    "python3-venv python3-pip",
    "default-jre-headless",
    "nginx",
    "apache2 php",
    "php-cli php-curl php-mysql",
    "postgresql-client",
    "mariadb-server",
    "build-essential",
    "gcc make pkg-config libssl-dev",
    "golang",
    "rustc cargo",
    "ruby-full",
    "perl",
    "nodejs",
    "vim",
    "emacs-nox",
    "systemd systemd-sysv",
    "openssh-server",
    "postfix",
    "exim4",
    "docker.io",
    "qemu-system-x86",
    "texlive-latex-base",
    "ffmpeg",
    "imagemagick",
    "fontconfig fonts-dejavu",
    "bind9",
    "mawk gawk",
    "devscripts",
];

#[test]
fn apt_gives_the_same_packages_for_what_people_ask_for() {
    let archive = Archive::of_this_machine();
    let differences: Vec<String> =
        REQUESTS.iter().filter_map(|names| archive.difference(&archive.bare, &words(names))).collect();
    assert!(differences.is_empty(), "\n{}", differences.join("\n"));
}

#[test]
fn apt_gives_the_same_packages_beside_older_ones() {
    let archive = Archive::of_this_machine();
    let older = archive.older_base("ca-certificates curl perl python3 openssl");
    let differences: Vec<String> =
        REQUESTS.iter().filter_map(|names| archive.difference(&older, &words(names))).collect();
    assert!(differences.is_empty(), "\n{}", differences.join("\n"));
}

#[test]
fn apt_gives_the_same_packages_for_random_requests() {
    let archive = Archive::of_this_machine();
    let number =
        |name: &str, default| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default);
    let mut random = StdRng::seed_from_u64(number("APT_PARITY_SEED", 1));
    let names: Vec<&str> = archive.universe.names().collect();
    let older = archive.older_base("ca-certificates curl perl python3 openssl systemd-sysv");
    let mut differences = Vec::new();
    for round in 0..number("APT_PARITY_ROUNDS", 10) {
        let count = random.gen_range(1..8);
        let request: Vec<String> =
            names.choose_multiple(&mut random, count).map(|&name| name.to_owned()).collect();
        differences.extend(archive.difference(if round % 2 == 0 { &archive.bare } else { &older }, &request));
    }
    assert!(differences.is_empty(), "\n{}", differences.join("\n"));
}

/// What stands in a root before the request, for both sides.
struct Base {
    status: PathBuf,
    installed: Vec<Installed>,
    essential: bool,
}

struct Archive {
    universe: Universe,
    indexes: Vec<String>,
    bare: Base,
    directory: tempfile::TempDir,
}

impl Archive {
    fn of_this_machine() -> Archive {
        let indexes: Vec<String> = index_files().iter().map(|file| read_index(file)).collect();
        let architecture = output(Command::new("dpkg").arg("--print-architecture")).trim().to_owned();
        let parse = |(number, text): (usize, &String)| {
            Index::parse(text, &architecture, RepositoryId(number)).expect("the index is valid")
        };
        let universe = Universe::new(indexes.iter().enumerate().map(parse), &architecture);
        let directory = tempfile::tempdir().expect("a temporary directory");
        let bare = Base { status: directory.path().join("bare"), installed: Vec::new(), essential: true };
        std::fs::write(&bare.status, "").expect("an empty status file");
        Archive { universe, indexes, bare, directory }
    }

    /// A root of packages from the first index alone, which the others have newer versions of.
    fn older_base(&self, names: &str) -> Base {
        let architecture = self.universe.architecture();
        let first = Index::parse(&self.indexes[0], architecture, RepositoryId(0));
        let universe = Universe::new([first.expect("the index is valid")], architecture);
        let request = Request { install: wanted(&words(names)), essential: true, ..Request::default() };
        let selection = resolve(&universe, &request).expect("the base can be installed");
        let chosen = |paragraph: &Paragraph<'_>| {
            let fits = |id: &CandidateId| {
                let package = &universe.candidate(*id).package;
                paragraph.get("Package") == Some(&package.name)
                    && paragraph.get("Version") == Some(package.version.as_str())
            };
            selection.install.iter().any(fits)
        };
        let paragraphs = deb822::paragraphs(&self.indexes[0]).map(|paragraph| paragraph.expect("valid"));
        let text: String = paragraphs.filter(chosen).map(|paragraph| status_entry(&paragraph)).collect();
        let status = self.directory.path().join("older");
        std::fs::write(&status, &text).expect("a status file");
        Base { status, installed: status::parse(&text).expect("our own status is valid"), essential: false }
    }

    /// Tells how apt's answer differs, if it does.
    fn difference(&self, base: &Base, names: &[String]) -> Option<String> {
        let mut asked = names.to_vec();
        if base.essential {
            asked.extend(self.universe.essential().map(str::to_owned));
        }
        let theirs = self.ask_apt(&base.status, &asked);
        let request = Request {
            install: wanted(names),
            installed: &base.installed,
            essential: base.essential,
            ..Request::default()
        };
        let ours = resolve(&self.universe, &request).map(|selection| self.shown(&selection));
        match (ours, theirs) {
            (Err(_), None) => None,
            (Err(error), Some(_)) => {
                Some(format!("{}: ours fails, apt's does not: {error}", names.join(" ")))
            }
            (Ok(_), None) => Some(format!("{}: apt's fails, ours does not", names.join(" "))),
            (Ok(ours), Some(theirs)) if ours == theirs => None,
            (Ok(ours), Some(theirs)) => {
                let only = |one: &BTreeSet<String>, other| {
                    one.difference(other).cloned().collect::<Vec<_>>().join(", ")
                };
                Some(format!(
                    "{}: only ours [{}], only apt's [{}]",
                    names.join(" "),
                    only(&ours, &theirs),
                    only(&theirs, &ours)
                ))
            }
        }
    }

    fn shown(&self, selection: &Selection) -> BTreeSet<String> {
        let packages = selection.install.iter().map(|id| &self.universe.candidate(*id).package);
        packages.map(|package| format!("{} {}", package.name, package.version)).collect()
    }

    /// Returns what apt would install; `None` if it cannot.
    fn ask_apt(&self, status: &Path, names: &[String]) -> Option<BTreeSet<String>> {
        let mut command = Command::new("apt-get");
        for option in [
            format!("Dir::State::status={}", status.display()),
            format!("Dir::Cache={}", self.directory.path().display()),
            format!("Dir::State::extended_states={}/none", self.directory.path().display()),
            "Dir::Etc::preferences=/dev/null".to_owned(),
            "Dir::Etc::preferencesparts=/dev/null".to_owned(),
            "Debug::NoLocking=true".to_owned(),
        ] {
            command.args(["-o", &option]);
        }
        let result = command
            .args(["--no-install-recommends", "-s", "install"])
            .args(names)
            .output()
            .expect("apt-get runs");
        let text = String::from_utf8(result.stdout).expect("apt speaks UTF-8");
        assert!(!text.contains("\nE: Unable to locate"), "{text}");
        let removes = text.lines().any(|line| line.starts_with("Remv "));
        (result.status.success() && !removes).then(|| text.lines().filter_map(installed_line).collect())
    }
}

/// Reads `Inst name [old] (version origin [arch]) …`.
fn installed_line(line: &str) -> Option<String> {
    let (name, rest) = line.strip_prefix("Inst ")?.split_once(' ')?;
    let version = rest.split_once('(')?.1.split(' ').next()?;
    Some(format!("{name} {version}"))
}

fn index_files() -> Vec<PathBuf> {
    let text = output(Command::new("apt-get").args([
        "indextargets",
        "--format",
        "$(FILENAME)",
        "Created-By: Packages",
    ]));
    let files: Vec<PathBuf> = text.lines().map(PathBuf::from).filter(|file| file.exists()).collect();
    assert!(!files.is_empty(), "there is no packages index on this machine: run `apt-get update`");
    files
}

fn read_index(file: &Path) -> String {
    output(Command::new("/usr/lib/apt/apt-helper").arg("cat-file").arg(file))
}

fn output(command: &mut Command) -> String {
    let output = command.output().expect("apt's programs are on every Debian");
    assert!(output.status.success(), "{command:?} failed");
    String::from_utf8(output.stdout).expect("UTF-8")
}

fn words(names: &str) -> Vec<String> {
    names.split_whitespace().map(str::to_owned).collect()
}

fn wanted(names: &[String]) -> Vec<Wanted> {
    names.iter().map(|name| Wanted { name: name.clone(), version: None }).collect()
}

/// dpkg keeps the fields of a package as they are; apt compares their hash.
fn status_entry(paragraph: &Paragraph<'_>) -> String {
    let fields = paragraph.fields().iter().map(|field| format!("{}: {}\n", field.name, field.value));
    fields.collect::<String>() + "Status: install ok installed\n\n"
}
