//! `debconf`: answers that real packages take, on a root from this machine's mirror.

use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

use crate::site::Site;
use crate::support::{machine, run};
use crate::yard;

struct Told {
    _site: Site,
    root: PathBuf,
}

/// A root from nothing, in which tzdata was answered before it was configured.
fn told() -> &'static Told {
    static TOLD: OnceLock<Told> = OnceLock::new();
    TOLD.get_or_init(|| {
        let lines: Vec<String> =
            machine::debian().iter().map(|source| format!("{:?}", source.line())).collect();
        let site = Site::new(&format!(
            "image \"x\" {{\n  apt {{\n    repositories = [{}]\n    package \"tzdata\" {{}}\n    debconf = {{\n      \
             \"tzdata/Areas\" = \"Europe\"\n      \"tzdata/Zones/Europe\" = \"Lisbon\"\n    }}\n  }}\n}}\n",
            lines.join(", ")
        ));
        let root = yard::root(&site);
        Told { _site: site, root }
    })
}

#[test]
fn the_answers_take_effect() {
    let link = fs::read_link(told().root.join("etc/localtime")).unwrap();
    assert_eq!(link.to_str().unwrap(), "/usr/share/zoneinfo/Europe/Lisbon");
    assert_eq!(fs::read_to_string(told().root.join("etc/timezone")).unwrap(), "Europe/Lisbon\n");
}

#[test]
fn debconf_remembers_them_as_its_own() {
    let root = told().root.to_str().unwrap();
    let shown = run(
        "chroot",
        &[
            root,
            "sh",
            "-c",
            "echo get tzdata/Zones/Europe | DEBIAN_FRONTEND=noninteractive debconf-communicate",
        ],
    );
    assert_eq!(shown, "0 Lisbon\n");
    assert_eq!(run("chroot", &[root, "dpkg", "--audit"]), "");
}
