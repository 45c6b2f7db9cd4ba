//! A place to build in, and what a build must leave there: nothing on stdout but the result, no half-written layout,
//! an empty scratch directory, and no blob that isn't what its name says.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use estaleiro::digest::Digest;
use serde_json::Value;

use crate::support::ServedArchive;

/// A directory with a context, a state and room for a layout.
pub(crate) struct Site {
    directory: tempfile::TempDir,
    names: Vec<(String, String)>,
    begun: std::time::SystemTime,
}

impl Site {
    /// Returns a site whose context holds this definition.
    pub(crate) fn new(definition: &str) -> Site {
        let site = Site {
            directory: tempfile::tempdir().unwrap(),
            names: Vec::new(),
            begun: std::time::SystemTime::now(),
        };
        for name in ["context", "apt", "tmp"] {
            fs::create_dir(site.path(name)).unwrap();
        }
        site.put("estaleiro.hcl", definition);
        site
    }

    /// Returns a site whose image gets package `jq` from `archive`, whose key lies in the context.
    pub(crate) fn of_archive(archive: &ServedArchive) -> Site {
        let mut site = Site::new(&definition_of(archive, "scratch", "package \"jq\" {}"));
        site.put("archive.asc", archive.key());
        site.call(archive.url(), "http://archive.example");
        site.call(archive.fingerprint(), "FINGERPRINT");
        site
    }

    /// Shows `real` as `name` in what a program says.
    pub(crate) fn call(&mut self, real: impl Into<String>, name: impl Into<String>) {
        self.names.push((real.into(), name.into()));
    }

    /// Returns a path in the site.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Returns where the layout comes to lie.
    pub(crate) fn layout(&self) -> PathBuf {
        self.path("layout")
    }

    /// Writes a file of the context.
    pub(crate) fn put(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path("context").join(name), content).unwrap();
    }

    /// Returns estaleiro with these arguments, in the context, with an environment of its own.
    pub(crate) fn estaleiro(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_estaleiro"));
        command
            .args(arguments)
            .current_dir(self.path("context"))
            .env_clear()
            .env("NO_COLOR", "1")
            .env("TMPDIR", self.path("tmp"))
            .stdin(Stdio::null());
        // All stories can be told in another sandbox, too.
        if let Some(sandbox) = std::env::var_os("ESTALEIRO_SANDBOX") {
            command.env("ESTALEIRO_SANDBOX", sandbox);
        }
        command
    }

    /// Returns a verb on the context's definition, with this site's state and without the machine's sources.
    pub(crate) fn verb(&self, verb: &str) -> Command {
        let mut command = self.loud_verb(verb);
        command.arg("--quiet");
        command
    }

    /// Returns a verb as [`Site::verb`] does, which tells how it goes.
    pub(crate) fn loud_verb(&self, verb: &str) -> Command {
        let (state, apt) = ("../state", "../apt");
        self.estaleiro(&[verb, "--state", state, "--apt-config", apt, "--platform", "linux/amd64"])
    }

    /// Returns a build into the layout.
    pub(crate) fn build(&self) -> Command {
        let mut command = self.verb("build");
        command.args(["--output", "oci:../layout"]);
        command
    }

    /// Returns what `command` says when it fails with `code`, and checks what it left.
    pub(crate) fn fails(&self, code: i32, command: &mut Command) -> String {
        let output = command.output().unwrap();
        let said = self.said(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "", "{said}");
        assert!(!self.layout().exists(), "a failed build left a layout; it said {said}");
        self.assert_tidy();
        said
    }

    /// Runs `command` to its good end, and checks what it left.
    pub(crate) fn succeeds(&self, command: &mut Command) -> Output {
        let output = command.output().unwrap();
        assert!(output.status.success(), "{command:?}: {}\n{}", output.status, self.said(&output.stderr));
        self.assert_tidy();
        output
    }

    /// Returns what was said, with the names of this run's places in the stead of ports and temporary paths.
    pub(crate) fn said(&self, bytes: &[u8]) -> String {
        let mut said = String::from_utf8(bytes.to_vec()).unwrap();
        for (real, name) in &self.names {
            said = said.replace(real, name);
        }
        said = said.replace(self.directory.path().to_str().unwrap(), "SITE");
        for (before, name) in [
            ("sha256:", "DIGEST"),
            ("sha256/", "DIGEST"),
            ("state/scratch/", "X"),
            ("/tarball-", "X"),
            ("Reading database ... ", "N"),
        ] {
            said = named(&said, before, name);
        }
        said.trim_end().to_owned()
    }

    /// Checks that nothing is left in scratch and temporary directories, and that every blob is what its name says.
    pub(crate) fn assert_tidy(&self) {
        assert_eq!(names_in(&self.path("state/scratch")), Vec::<String>::new());
        assert_eq!(names_in(&self.path("tmp")), Vec::<String>::new());
        self.assert_blobs_are_whole();
    }

    /// Checks that every blob of the state is what its name says.
    pub(crate) fn assert_blobs_are_whole(&self) {
        let blobs = self.path("state/blobs/sha256");
        for name in names_in(&blobs) {
            assert_eq!(Digest::of(fs::read(blobs.join(&name)).unwrap()).hex(), name);
        }
    }

    /// Returns every file that was made since the site is there, in state, layout and elsewhere; of layers also what
    /// is in them.
    pub(crate) fn everything_kept(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut files = Vec::new();
        for part in ["state/blobs", "state/records", "state/scratch", "layout", "tmp", "context"] {
            collect(&self.path(part), self.begun, &mut files);
        }
        files
    }
}

/// Returns a definition of an image upon `base`, whose packages come from `archive`.
pub(crate) fn definition_of(archive: &ServedArchive, base: &str, packages: &str) -> String {
    let line = archive.line("signed-by=archive");
    format!(
        "image \"x\" {{\n  base_image = \"{base}\"\n  apt {{\n    repositories = [\"{line}\"]\n    \
         key \"archive\" {{\n      path = \"archive.asc\"\n    }}\n    {packages}\n  }}\n}}\n"
    )
}

/// Puts `name` in the place of every word after `before`.
fn named(text: &str, before: &str, name: &str) -> String {
    let mut parts = text.split(before);
    let mut shown = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let word = part.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(part.len());
        shown += &format!("{before}{}{}", if word == 0 { "" } else { name }, &part[word..]);
    }
    shown
}

/// Checks what was said, and shows both texts as they are where they differ.
#[track_caller]
pub(crate) fn assert_said(said: &str, expected: &str) {
    assert!(said == expected, "expected:\n{expected}\n\nsaid:\n{said}\n");
}

/// Returns the names in a directory, sorted; one that is not there has none.
pub(crate) fn names_in(directory: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Returns every file below a directory; of layers also what is in them.
pub(crate) fn everything_in(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    collect(directory, std::time::SystemTime::UNIX_EPOCH, &mut files);
    files
}

fn collect(path: &Path, since: std::time::SystemTime, files: &mut Vec<(PathBuf, Vec<u8>)>) {
    let Ok(metadata) = fs::symlink_metadata(path) else { return };
    if metadata.is_dir() {
        fs::read_dir(path).unwrap().for_each(|entry| collect(&entry.unwrap().path(), since, files));
    } else if metadata.is_file() && metadata.modified().unwrap() >= since {
        let bytes = fs::read(path).unwrap();
        let mut plain = Vec::new();
        if flate2::read::MultiGzDecoder::new(bytes.as_slice()).read_to_end(&mut plain).is_ok() {
            files.push((path.join("(unpacked)"), plain));
        }
        files.push((path.to_owned(), bytes));
    }
}

/// Returns the manifest of the only image of a layout.
pub(crate) fn manifest(layout: &Path) -> Value {
    let json = |path: PathBuf| -> Value { serde_json::from_slice(&fs::read(path).unwrap()).unwrap() };
    let index = json(layout.join("index.json"));
    let digest = index["manifests"][0]["digest"].as_str().unwrap().replacen(':', "/", 1);
    json(layout.join("blobs").join(digest))
}
