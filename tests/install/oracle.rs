//! apt-get itself, asked what it would install into a root of which there is nothing but dpkg's status.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// An apt-get with lists and a status of its own.
pub(crate) struct Oracle {
    options: Vec<String>,
}

impl Oracle {
    /// Returns one that knows these lines of a `sources.list`, with fresh lists.
    pub(crate) fn new(directory: &Path, lines: &[String], status: &str) -> Oracle {
        for below in ["lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(directory.join(below)).unwrap();
        }
        fs::write(directory.join("status"), status).unwrap();
        fs::write(directory.join("sources.list"), lines.join("\n") + "\n").unwrap();
        let path = directory.display();
        let options = vec![
            format!("Dir::State={path}"),
            format!("Dir::State::lists={path}/lists"),
            format!("Dir::State::status={path}/status"),
            format!("Dir::Cache={path}/cache"),
            format!("Dir::Etc::SourceList={path}/sources.list"),
            "Dir::Etc::SourceParts=/dev/null".into(),
            "Dir::Etc::Preferences=/dev/null".into(),
            "Dir::Etc::PreferencesParts=/dev/null".into(),
            "APT::Architecture=amd64".into(),
            "APT::Architectures=amd64".into(),
            "APT::Sandbox::User=root".into(),
            "Debug::NoLocking=true".into(),
            "Acquire::Languages=none".into(),
        ];
        let oracle = Oracle { options };
        let update = oracle.apt_get(&["update"], Path::new("/"));
        assert!(update.status.success(), "{update:?}");
        oracle
    }

    /// Returns what would be installed for `words`, as `name=version`; none if apt-get fails. Files are named from
    /// `here`.
    pub(crate) fn chosen(&self, words: &[&str], here: &Path) -> Option<BTreeSet<String>> {
        let answer =
            self.apt_get(&[&["install", "--simulate", "--no-install-recommends"], words].concat(), here);
        let text = String::from_utf8(answer.stdout).unwrap();
        let installs = text.lines().filter_map(|line| line.strip_prefix("Inst "));
        let chosen = installs.map(|line| {
            let (name, rest) = line.split_once(" (").unwrap();
            // Of what is there already the old version stands behind the name.
            let name = name.split(' ').next().unwrap();
            format!("{name}={}", rest.split(' ').next().unwrap())
        });
        answer.status.success().then(|| chosen.collect())
    }

    /// Downloads a package's .deb into `here`, and returns its file name.
    pub(crate) fn download(&self, name: &str, here: &Path) -> String {
        let before = crate::site::names_in(here);
        let download = self.apt_get(&["download", name], here);
        assert!(download.status.success(), "{download:?}");
        let mut names = crate::site::names_in(here);
        names.retain(|name| !before.contains(name));
        names.remove(0)
    }

    fn apt_get(&self, words: &[&str], here: &Path) -> Output {
        let mut apt = Command::new("apt-get");
        apt.args(self.options.iter().flat_map(|option| ["-o", option])).args(words);
        apt.current_dir(here).env("LC_ALL", "C.UTF-8").output().unwrap()
    }
}
