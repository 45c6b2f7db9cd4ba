//! What is installed before a request: nothing, little, or much, in the versions of the first index alone.

use std::collections::BTreeSet;
use std::path::PathBuf;

use estaleiro::apt::index::{Index, RepositoryId};
use estaleiro::apt::resolve::{Request, Universe, resolve};
use estaleiro::debian::deb822::{self, Paragraph};
use estaleiro::debian::{Installed, status};

use super::requests::wanted;
use super::suites::Suites;

/// What stands in a root before the request, for both sides.
pub(crate) struct Root {
    pub(crate) name: &'static str,
    pub(crate) status: PathBuf,
    pub(crate) installed: Vec<Installed>,
}

const LITTLE: &str = "apt ca-certificates curl openssl perl python3";
const MUCH: &str = "apt build-essential git python3 python3-pip openssh-server systemd-sysv nginx postgresql vim \
    default-jdk-headless php-cli ruby cron exim4-daemon-light devscripts cmake imagemagick ffmpeg samba bind9 \
    texlive-latex-base emacs-nox libreoffice-writer fontconfig libgtk-3-dev";

impl Root {
    pub(crate) fn all(suites: &Suites) -> [Root; 3] {
        [Root::scratch(suites), Root::of(suites, "little", LITTLE), Root::of(suites, "much", MUCH)]
    }

    fn scratch(suites: &Suites) -> Root {
        let status = suites.directory.path().join("scratch");
        std::fs::write(&status, "").expect("an empty status file");
        Root { name: "scratch", status, installed: Vec::new() }
    }

    /// Whether the essential packages are to be asked for.
    pub(crate) fn is_scratch(&self) -> bool {
        self.installed.is_empty()
    }

    fn of(suites: &Suites, name: &'static str, names: &str) -> Root {
        let architecture = suites.universe.architecture();
        let first = Index::parse(&suites.indexes[0], architecture, RepositoryId(0));
        let universe = Universe::new([first.expect("the index is valid")], architecture);
        let known = |name: &&str| !universe.versions(name).is_empty();
        let names: Vec<String> = names.split_whitespace().filter(known).map(str::to_owned).collect();
        let request = Request { install: wanted(&names), essential: true, ..Request::default() };
        let selection = resolve(&universe, &request).expect("the root can be installed");
        let packages = selection.install.iter().map(|id| &universe.candidate(*id).package);
        let chosen: BTreeSet<(&str, &str)> =
            packages.map(|package| (&*package.name, package.version.as_str())).collect();
        let is_chosen = |paragraph: &Paragraph<'_>| {
            let field = |name| paragraph.get(name).unwrap_or_default();
            chosen.contains(&(field("Package"), field("Version")))
        };
        let paragraphs = deb822::paragraphs(&suites.indexes[0]).map(|paragraph| paragraph.expect("valid"));
        let text: String = paragraphs.filter(is_chosen).map(|paragraph| status_entry(&paragraph)).collect();
        let status = suites.directory.path().join(name);
        std::fs::write(&status, &text).expect("a status file");
        Root { name, status, installed: status::parse(&text).expect("our own status is valid") }
    }
}

/// dpkg keeps the fields of a package as they are; apt compares their hash.
fn status_entry(paragraph: &Paragraph<'_>) -> String {
    let fields = paragraph.fields().iter().map(|field| format!("{}: {}\n", field.name, field.value));
    fields.collect::<String>() + "Status: install ok installed\n\n"
}
