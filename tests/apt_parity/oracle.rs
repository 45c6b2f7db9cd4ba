//! apt-get, asked what it would fetch and remove.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

use super::requests::Ask;
use super::roots::Root;
use super::suites::{Suites, with};

/// `+name=version` for what is installed, `-name` for what is removed.
pub(crate) type Answer = BTreeSet<String>;

pub(crate) struct Oracle<'a> {
    pub(crate) suites: &'a Suites,
    pub(crate) root: &'a Root,
}

impl Oracle<'_> {
    /// Returns what apt-get would do; nothing if it cannot, or would remove what nobody asked it to.
    pub(crate) fn answer(&self, ask: &Ask) -> Option<Answer> {
        let preferences = self.suites.directory.path().join("preferences");
        std::fs::write(&preferences, &ask.preferences).expect("a preferences file");
        let result = Command::new("apt-get")
            .args(with(&self.suites.options))
            .args(with(&[
                format!("Dir::State::status={}", self.root.status.display()),
                format!("Dir::State::extended_states={}/none", self.suites.directory.path().display()),
                format!("Dir::Etc::Preferences={}", preferences.display()),
                "Dir::Etc::PreferencesParts=/dev/null".to_owned(),
                "Debug::NoLocking=true".to_owned(),
                "APT::Get::Always-Include-Phased-Updates=true".to_owned(),
                format!("APT::Install-Recommends={}", ask.recommends),
            ]))
            .args(["--print-uris", "--allow-downgrades"])
            .args(self.words(ask))
            .env("APT_CONFIG", self.configuration())
            .env("LC_ALL", "C.UTF-8")
            .output()
            .expect("apt-get runs");
        let text = String::from_utf8(result.stdout).expect("apt speaks UTF-8");
        let answer: Answer = fetched(&text).chain(removed(&text)).collect();
        let is_removing = answer.iter().any(|line| line.starts_with('-'));
        (result.status.success() && (!is_removing || !ask.remove.is_empty())).then_some(answer)
    }

    /// Debian's own configuration and that of its container images, whatever else the machine has.
    fn configuration(&self) -> PathBuf {
        let path = self.suites.directory.path().join("apt.conf");
        let text = r#"Dir::Etc::Main "/dev/null"; Dir::Etc::Parts "/dev/null";
            APT::AutoRemove::SuggestsImportant "false";
            APT::NeverAutoRemove { "^firmware-linux.*"; "^linux-firmware$";
                "^linux-image-[a-z0-9]*$"; "^linux-image-[a-z0-9]*-[a-z0-9]*$"; };"#;
        std::fs::write(&path, text).expect("a configuration");
        path
    }

    fn words(&self, ask: &Ask) -> Vec<String> {
        if ask.upgrade {
            return vec!["upgrade".to_owned(), "--with-new-pkgs".to_owned()];
        }
        let mut words = vec!["install".to_owned()];
        words.extend(ask.install.iter().cloned());
        words.extend(ask.remove.iter().map(|name| format!("{name}-")));
        if self.root.is_scratch() {
            words.extend(self.suites.universe.essential().map(str::to_owned));
        }
        words
    }
}

/// Reads `'URI' name_version_architecture.deb size hash`.
fn fetched(text: &str) -> impl Iterator<Item = String> + '_ {
    text.lines().filter(|line| line.starts_with('\'')).filter_map(|line| {
        let file = line.split(' ').nth(1)?.replace("%3a", ":");
        let (name, rest) = file.split_once('_')?;
        let (version, _) = rest.rsplit_once('_')?;
        Some(format!("+{name}={version}"))
    })
}

/// Reads the indented names after `The following packages will be REMOVED:`.
fn removed(text: &str) -> impl Iterator<Item = String> + '_ {
    let mut lines = text.lines().skip_while(|line| !line.ends_with("will be REMOVED:")).skip(1);
    let names = std::iter::from_fn(move || lines.next().filter(|line| line.starts_with("  ")));
    names.flat_map(str::split_whitespace).map(|name| format!("-{}", name.trim_end_matches('*')))
}
