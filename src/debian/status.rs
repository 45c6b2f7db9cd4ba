//! dpkg's record of what is installed: `/var/lib/dpkg/status`, and the fragments in `status.d` of images without dpkg.
//!
//! Reading only; the record is written by dpkg, or by who installs without it.

use super::deb822::{self, Paragraph};
use super::package::{self, Package};

/// One package as dpkg remembers it.
#[derive(Debug, Clone)]
pub struct Installed {
    /// What its control paragraph says.
    pub package: Package,
    /// What is wanted for it.
    pub want: Want,
    /// Whether it must be installed anew.
    pub reinstall_required: bool,
    /// How far it has come.
    pub state: State,
}

/// What the administrator wants for a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "dpkg's own words")]
pub enum Want {
    Unknown,
    Install,
    Hold,
    Deinstall,
    Purge,
}

/// How far a package has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "dpkg's own words")]
pub enum State {
    NotInstalled,
    ConfigFiles,
    HalfInstalled,
    Unpacked,
    HalfConfigured,
    TriggersAwaited,
    TriggersPending,
    Installed,
}

/// A status file that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It is not made of paragraphs.
    #[error("cannot read dpkg's status: {0}")]
    Format(#[from] deb822::Error),
    /// A paragraph describes no package.
    #[error("cannot read dpkg's status: {0}")]
    Package(#[from] package::Error),
    /// The field `Status` is missing or holds other than three known words.
    #[error(
        "cannot read dpkg's status of {package} at line {line}: expected `Status: want flag state`, got {got:?}"
    )]
    Status {
        /// The package, as the record names it.
        package: String,
        /// Where its paragraph begins.
        line: usize,
        /// What stands there.
        got: String,
    },
}

/// Reads a whole status file; what dpkg knows only by name is left out.
pub fn parse(text: &str) -> Result<Vec<Installed>, Error> {
    read(text, None)
}

/// Reads a file of `status.d`, where a paragraph without `Status` is an installed package.
pub fn parse_fragment(text: &str) -> Result<Vec<Installed>, Error> {
    read(text, Some("install ok installed"))
}

impl Installed {
    /// Whether the package is there and works, as dependencies ask for it.
    pub fn is_installed(&self) -> bool {
        match self.state {
            State::Installed | State::TriggersPending | State::TriggersAwaited => true,
            State::NotInstalled
            | State::ConfigFiles
            | State::HalfInstalled
            | State::Unpacked
            | State::HalfConfigured => false,
        }
    }

    /// Whether the package may not be changed.
    pub fn is_held(&self) -> bool {
        self.want == Want::Hold
    }
}

fn read(text: &str, default: Option<&str>) -> Result<Vec<Installed>, Error> {
    let mut installed = Vec::new();
    for paragraph in deb822::paragraphs(text) {
        installed.extend(read_one(&paragraph?, default)?);
    }
    Ok(installed)
}

fn read_one(paragraph: &Paragraph<'_>, default: Option<&str>) -> Result<Option<Installed>, Error> {
    let words = paragraph.get("Status").or(default).unwrap_or_default();
    let Some((want, reinstall_required, state)) = parse_words(words) else {
        let package = paragraph.get("Package").unwrap_or("a package").chars().take(100).collect();
        return Err(Error::Status { package, line: paragraph.line, got: words.chars().take(100).collect() });
    };
    let is_only_a_name = paragraph.get("Version").is_none() || paragraph.get("Architecture").is_none();
    if is_only_a_name && matches!(state, State::NotInstalled | State::ConfigFiles) {
        return Ok(None);
    }
    let package = Package::from_paragraph(paragraph)?;
    Ok(Some(Installed { package, want, reinstall_required, state }))
}

fn parse_words(text: &str) -> Option<(Want, bool, State)> {
    let mut words = text.split_whitespace();
    let want = match words.next()? {
        "unknown" => Want::Unknown,
        "install" => Want::Install,
        "hold" => Want::Hold,
        "deinstall" => Want::Deinstall,
        "purge" => Want::Purge,
        _ => return None,
    };
    let reinstall_required = match words.next()? {
        "ok" => false,
        "reinstreq" => true,
        _ => return None,
    };
    let state = parse_state(words.next()?)?;
    words.next().is_none().then_some((want, reinstall_required, state))
}

fn parse_state(word: &str) -> Option<State> {
    Some(match word {
        "not-installed" => State::NotInstalled,
        "config-files" => State::ConfigFiles,
        "half-installed" => State::HalfInstalled,
        "unpacked" => State::Unpacked,
        "half-configured" => State::HalfConfigured,
        "triggers-awaited" => State::TriggersAwaited,
        "triggers-pending" => State::TriggersPending,
        "installed" => State::Installed,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_installed_counts_as_installed() {
        let text = "Package: a\nStatus: install ok installed\nVersion: 1\nArchitecture: amd64\n\n\
                    Package: b\nStatus: deinstall ok config-files\nVersion: 1\nArchitecture: amd64\n\n\
                    Package: c\nStatus: hold reinstreq half-configured\nVersion: 1\nArchitecture: all\n\n\
                    Package: d\nStatus: unknown ok not-installed\n\n\
                    Package: e\nStatus: install ok triggers-pending\nVersion: 1\nArchitecture: all\n";
        let read = parse(text).unwrap();
        let seen: Vec<_> = read.iter().map(|record| (&*record.package.name, record.is_installed())).collect();
        assert_eq!(seen, [("a", true), ("b", false), ("c", false), ("e", true)]);
        assert!(read[2].is_held() && read[2].reinstall_required);
    }

    #[test]
    fn a_fragment_needs_no_status() {
        let text = "Package: a\nVersion: 1\nArchitecture: amd64\n";
        assert!(parse_fragment(text).unwrap()[0].is_installed());
        assert_eq!(
            parse(text).unwrap_err().to_string(),
            "cannot read dpkg's status of a at line 1: expected `Status: want flag state`, got \"\""
        );
    }

    #[test]
    fn a_status_of_unknown_words_is_refused() {
        for words in [
            "install ok",
            "install ok installed now",
            "want ok installed",
            "install bad installed",
            "install ok done",
        ] {
            let text = format!("Package: a\nStatus: {words}\nVersion: 1\nArchitecture: all\n");
            assert!(matches!(parse(&text), Err(Error::Status { .. })), "{words}");
        }
    }
}
