//! What this machine has of apt: keyrings, and on the command line its sources.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::base::Facts;
use super::lock::logins::{self, Login};

/// No file of an apt configuration is larger.
const LARGEST_FILE: u64 = 16 << 20;

/// This machine, which is looked at when somebody first wants to know of it: most bases say all themselves.
pub struct Machine {
    apt: PathBuf,
    facts: OnceLock<Facts>,
}

impl Machine {
    /// Returns this machine, whose apt configuration is in `apt`.
    pub fn new(apt: PathBuf) -> Machine {
        Machine { apt, facts: OnceLock::new() }
    }

    /// Returns its keyrings, os-release and apt configuration; what can't be read counts as absent.
    pub fn facts(&self) -> &Facts {
        self.facts.get_or_init(|| facts(&self.apt))
    }
}

fn facts(apt: &Path) -> Facts {
    let mut files = BTreeMap::new();
    for name in ["sources.list", "trusted.gpg", "preferences"] {
        take(&apt.join(name), &format!("etc/apt/{name}"), &mut files);
    }
    for directory in ["sources.list.d", "trusted.gpg.d", "keyrings", "preferences.d"] {
        take_all(&apt.join(directory), &format!("etc/apt/{directory}"), &mut files);
    }
    take_all(Path::new("/usr/share/keyrings"), "usr/share/keyrings", &mut files);
    for path in ["etc/os-release", "usr/lib/os-release"] {
        take(&Path::new("/").join(path), path, &mut files);
    }
    Facts::from_files(files)
}

/// Reads the names and passwords that this machine's apt configuration has for archives (apt_auth.conf(5)).
pub fn logins(apt: &Path) -> Vec<Login> {
    let mut files = BTreeMap::new();
    take(&apt.join("auth.conf"), "auth.conf", &mut files);
    let mut parts = BTreeMap::new();
    take_all(&apt.join("auth.conf.d"), "auth.conf.d", &mut parts);
    let parts = parts.into_iter().filter(|(name, _)| name.ends_with(".conf"));
    let texts = files.into_iter().chain(parts).map(|(_, content)| content);
    texts.flat_map(|content| logins::auth_conf(&String::from_utf8_lossy(&content))).collect()
}

fn take_all(directory: &Path, name: &str, files: &mut BTreeMap<String, Vec<u8>>) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries.flatten() {
        if let Some(file) = entry.file_name().to_str() {
            take(&entry.path(), &format!("{name}/{file}"), files);
        }
    }
}

fn take(path: &Path, name: &str, files: &mut BTreeMap<String, Vec<u8>>) {
    let is_small_file =
        fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.len() <= LARGEST_FILE);
    if let (true, Ok(content)) = (is_small_file, fs::read(path)) {
        files.insert(name.to_owned(), content);
    }
}
