//! What dpkg does besides unpacking: configuration files that somebody changed, excluded paths, diversions, overrides,
//! alternatives, triggers, removals, packages that others break or replace; and apt's marks. The same request to
//! apt-get itself, in a chroot, must make the same root.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use estaleiro::build::definition::Glob;

use crate::base::Base;
use crate::fleet;
use crate::site::{Site, definition_of};
use crate::support::{Archive, Deb, Key, ServedArchive, run, tree};
use crate::yard::{account, unpacked};

/// What the base's apt remembers: of packages that came along, of one that didn't, and something of its own.
const MARKS: &str = "Package: needed\nArchitecture: amd64\nAuto-Installed: 1\n\n\
    Package: vanishing\nArchitecture: amd64\nAuto-Installed: 1\n\n\
    Package: leaving\nArchitecture: amd64\nAuto-Installed: 1\n\n\
    Package: first\nArchitecture: amd64\nAuto-Installed: 1\n\n\
    Package: bystander\nArchitecture: amd64\nAuto-Installed: 0\n\n\
    Package: special\nArchitecture: amd64\nAuto-Installed: 1\nNote: mine\n\n\
    Package: zlib1g\nArchitecture: amd64\nAuto-Installed: 1\n\n";

/// Where the two roots may differ, and why.
const DIFFERENCES: [(&str, &str); 15] = [
    ("/etc/*-", "backups of the user database"),
    ("/var/cache/debconf/*-old", "backups"),
    ("/var/lib/dpkg/*-old", "backups"),
    ("/var/lib/dpkg/lock*", "locks"),
    ("/var/lib/dpkg/triggers/Lock", "a lock"),
    ("/var/lib/apt/lists/**", "the lists of the apt that installed"),
    ("/var/lib/apt/lists", "made by the apt that installed"),
    ("/var/cache/apt/**", "the caches of the apt that installed"),
    ("/var/log/apt/**", "logs of the installation"),
    ("/var/log/dpkg.log", "a log of the installation"),
    ("/var/log/alternatives.log", "a log of the installation"),
    ("/var/cache/ldconfig/aux-cache", "holds inode numbers and times"),
    ("/var/lib/apt/extended_states", "the same marks in another order: compared apart"),
    (
        "/var/lib/scripts/dependant",
        "it and `needed` break each other's old version: either may be unpacked first",
    ),
    ("/var/lib/scripts/needed", "the same"),
];

/// A real root with apt and with the old packages, in which somebody changed something since.
struct Harbour {
    /// Holds the base, and the state of who built it.
    site: Site,
    name: String,
    root: PathBuf,
    new: ServedArchive,
    _base: Base,
}

fn harbour() -> &'static Harbour {
    static HARBOUR: OnceLock<Harbour> = OnceLock::new();
    HARBOUR.get_or_init(|| {
        let base = Base::make("install-base", "apt");
        let old = serve(fleet::old());
        let packages: String =
            fleet::old().iter().map(|deb| format!("package {:?} {{}}\n", deb.name())).collect();
        let site = base.site(&old, &packages);
        let definition = definition_of(&old, &base.name(), &packages);
        let changes = "file \"/etc/tool/changed\" { from_context { path = \"mine\" } }\n\
                       file \"/var/lib/apt/extended_states\" { from_context { path = \"marks\" } }\n\
                       file \"/etc/dpkg/dpkg.cfg.d/docs\" { from_context { path = \"docs\" } }\n\
                       remove = [\"/etc/tool/deleted\"]\n}\n";
        site.put("estaleiro.hcl", definition.trim_end().strip_suffix('}').unwrap().to_owned() + changes);
        site.put("mine", "mine\n");
        site.put("marks", MARKS);
        site.put("docs", "path-exclude=/usr/share/doc/*\npath-include=/usr/share/doc/*/copyright\n");
        let name = format!("{}:2", base.name().rsplit_once(':').unwrap().0);
        site.succeeds(site.verb("build").args(["--push", &name]));
        let layout = site.path("pulled");
        let (from, to) = (format!("docker://{name}"), format!("oci:{}:latest", layout.display()));
        run("skopeo", &["copy", "--quiet", "--src-tls-verify=false", &from, &to]);
        let root = unpacked(&layout, &site.path("base"));
        Harbour { site, name, root, new: serve(fleet::new()), _base: base }
    })
}

fn serve(debs: Vec<Deb>) -> ServedArchive {
    debs.into_iter().fold(Archive::new(), Archive::add).sign_with(&Key::ed25519()).serve()
}

/// What was built of a request, and what apt-get made of it.
struct Voyage {
    site: Site,
    built: PathBuf,
    expected: PathBuf,
}

impl Voyage {
    /// Builds what an `apt` block says upon the base, and lets apt-get do it with `commands`.
    fn new(request: &str, commands: &str) -> Voyage {
        let harbour = harbour();
        let site = Site::of_archive(&harbour.new);
        site.put("estaleiro.hcl", definition_of(&harbour.new, &harbour.name, request));
        run("cp", &["-al", text(&harbour.site.path("state")), text(&site.path("state"))]);
        site.succeeds(&mut site.build());
        let built = unpacked(&site.layout(), &site.path("bundle"));
        let expected = site.path("expected");
        apt_get(&expected, commands);
        Voyage { site, built, expected }
    }

    /// Checks that both are the same, path by path and mark by mark.
    #[track_caller]
    fn arrives(&self) {
        let (ours, theirs) = (lines(&self.built), lines(&self.expected));
        let (only_ours, only_theirs) = (&ours - &theirs, &theirs - &ours);
        assert!(only_ours.is_empty() && only_theirs.is_empty(), "{}", self.told(&only_ours, &only_theirs));
        assert_eq!(marks(&self.built), marks(&self.expected));
    }

    /// Tells where the two differ, with what is in files that do.
    fn told(&self, only_ours: &BTreeSet<String>, only_theirs: &BTreeSet<String>) -> String {
        let mut told = String::new();
        for (name, root, lines) in [("ours", &self.built, only_ours), ("theirs", &self.expected, only_theirs)]
        {
            for line in lines {
                let content = fs::read_to_string(root.join(&path_of(line)[1..])).unwrap_or_default();
                told += &format!("only {name}: {line}\n");
                if content.len() < 2000 {
                    told += &content;
                }
            }
        }
        told
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.built.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    fn has(&self, path: &str) -> bool {
        self.built.join(path).exists()
    }

    /// Returns how the scripts of a package were called on this voyage.
    fn calls(&self, package: &str) -> Vec<String> {
        let path = format!("var/lib/scripts/{package}");
        let before = fs::read_to_string(harbour().root.join(&path)).unwrap_or_default();
        self.read(&path).strip_prefix(&before).unwrap().lines().map(str::to_owned).collect()
    }
}

/// Lets apt-get work in a copy of the base's root.
fn apt_get(root: &Path, commands: &str) {
    run("cp", &["-a", text(&harbour().root), text(root)]);
    fs::write(root.join("new.list"), harbour().new.line("trusted=yes") + "\n").unwrap();
    fs::write(
        root.join("new.conf"),
        "Dir::Etc::sourcelist \"/new.list\";\nDir::Etc::sourceparts \"/dev/null\";\n",
    )
    .unwrap();
    let commands = format!("export APT_CONFIG=/new.conf; apt_get update; {commands}; rm /new.conf /new.list");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/same_root/apt.sh");
    let mut command = Command::new("unshare");
    command.args(["--mount", "--uts", "--pid", "--fork", "sh", script, text(root), "0", &commands]);
    let output = command.stdin(Stdio::null()).output().unwrap();
    let said = [output.stdout, output.stderr].map(|said| String::from_utf8(said).unwrap()).concat();
    assert!(output.status.success(), "{said}");
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn path_of(line: &str) -> &str {
    line.split(' ').find(|word| word.starts_with('/')).unwrap()
}

fn lines(root: &Path) -> BTreeSet<String> {
    let may_differ = |line: &str| {
        DIFFERENCES.iter().any(|(pattern, _)| Glob::new(pattern).unwrap().matches(path_of(line)))
    };
    tree::dump(root).lines().filter(|line| !may_differ(line)).map(str::to_owned).collect()
}

/// Returns apt's notes, a paragraph each.
fn marks(root: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(root.join("var/lib/apt/extended_states")).unwrap();
    text.trim_end().split("\n\n").map(str::to_owned).collect()
}

/// Whether a package is marked as one that came along.
fn is_automatic(root: &Path, name: &str) -> bool {
    marks(root).contains(&format!("Package: {name}\nArchitecture: amd64\nAuto-Installed: 1"))
}

/// Packages come: upgrades, some that break the old ones, divert, offer, watch, and take over.
fn coming() -> &'static Voyage {
    static COMING: OnceLock<Voyage> = OnceLock::new();
    COMING.get_or_init(|| {
        let names = [
            "tool",
            "runner",
            "special",
            "diverter",
            "pick-low",
            "pick-high",
            "feeder",
            "needed",
            "dependant",
            "successor",
        ];
        let request = names.map(|name| format!("package {name:?} {{}}\n")).concat();
        Voyage::new(&request, &format!("apt_get install {}", names.join(" ")))
    })
}

/// Packages go, and some that come take their places.
fn going() -> &'static Voyage {
    static GOING: OnceLock<Voyage> = OnceLock::new();
    GOING.get_or_init(|| {
        Voyage::new(
            r#"remove = ["leaving", "pick-old", "fed", "rival", "first", "mawk"]
               package "newcomer" {}
               package "second" {}
               package "gnawk" {}"#,
            "apt_get install --purge leaving- pick-old- fed- rival- first- mawk- newcomer second gnawk",
        )
    })
}

/// Without mounts, dpkg works in a copy of the base's root.
#[test]
fn a_copy_of_the_root_comes_to_the_same_image_as_a_mount() {
    for voyage in [coming(), going()] {
        let site = &voyage.site;
        run("cp", &["-al", text(&harbour().site.path("state")), text(&site.path("other-state"))]);
        let places = ["--state", "../other-state", "--output", "oci:../copied", "--apt-config", "../apt"];
        let mut build = site.estaleiro(&[&["build", "--platform", "linux/amd64"][..], &places].concat());
        build.env("ESTALEIRO_SANDBOX", "chroot");
        let output = build.output().unwrap();
        assert!(output.status.success(), "{}", site.said(&output.stderr));
        let index = |layout: &str| fs::read_to_string(site.path(layout).join("index.json")).unwrap();
        assert_eq!(index("copied"), index("layout"));
    }
}

#[test]
fn what_comes_makes_the_root_that_apt_get_makes() {
    coming().arrives();
}

#[test]
fn what_goes_leaves_the_root_that_apt_get_leaves() {
    going().arrives();
}

#[test]
fn configuration_files_are_kept_where_somebody_changed_them_and_new_elsewhere() {
    assert_eq!(coming().read("etc/tool/changed"), "mine\n");
    assert_eq!(coming().read("etc/tool/changed.dpkg-dist"), "new\n");
    assert_eq!(coming().read("etc/tool/plain"), "new\n");
    assert_eq!(coming().read("etc/tool/obsolete"), "old\n");
    assert!(!coming().has("etc/tool/deleted"));
}

#[test]
fn excluded_paths_diversions_overrides_alternatives_and_triggers_are_honoured() {
    let root = &coming().built;
    assert!(!coming().has("usr/share/doc/tool/NEWS") && coming().has("usr/share/doc/tool/copyright"));
    assert_eq!(coming().read("usr/bin/run"), "wrapped");
    assert_eq!(coming().read("usr/bin/run.real"), "run 2");
    assert!(tree::dump_below(root, "/usr/bin/special").starts_with("file 2750 0:8"));
    let link = |root: &Path| fs::read_link(root.join("etc/alternatives/pick")).unwrap();
    assert_eq!(link(&harbour().root), Path::new("/usr/bin/pick-old"));
    assert_eq!(link(root), Path::new("/usr/bin/pick-high"));
    assert_eq!(coming().read("var/lib/watcher"), "new\nold\n");
    assert_eq!(coming().read("var/lib/awaited"), "new\nold\n");
}

#[test]
fn scripts_are_called_as_policy_says() {
    assert_eq!(
        coming().calls("tool"),
        ["prerm upgrade 2.0", "preinst upgrade 1.0 2.0", "postrm upgrade 2.0", "postinst configure 1.0"]
    );
    assert_eq!(going().calls("leaving"), ["prerm remove", "postrm remove", "postrm purge"]);
    assert_eq!(going().calls("rival"), ["prerm remove", "postrm remove", "postrm purge"]);
    assert_eq!(going().calls("second"), ["preinst install", "postinst configure "]);
}

#[test]
fn what_is_broken_for_a_while_is_deconfigured_and_configured_again() {
    let calls = [coming().calls("needed"), coming().calls("dependant")].concat();
    assert!(calls.iter().any(|call| call.starts_with("prerm deconfigure in-favour ")), "{calls:?}");
}

#[test]
fn packages_go_with_what_cannot_be_without_them_and_are_told() {
    for path in ["etc/tool/leaving", "usr/share/leaving", "usr/share/follower", "usr/bin/mawk"] {
        assert!(!going().has(path), "{path}");
    }
    assert_eq!(replaced(going()), ["fed", "first", "follower", "leaving", "mawk", "pick-old", "rival"]);
}

#[test]
fn a_package_all_of_whose_files_are_taken_over_disappears_from_root_and_account() {
    assert_eq!(coming().calls("vanishing"), ["postrm disappear successor 1.0"]);
    let names = ["dependant", "needed", "runner", "special", "tool", "vanishing"];
    assert_eq!(replaced(coming()), names);
}

/// Returns the names of the base's packages that are no longer there as they were, by the account.
fn replaced(voyage: &Voyage) -> Vec<String> {
    let account = account(&voyage.site);
    let gone = account["changeset"]["replaced_base_packages"].as_array().unwrap().iter();
    gone.map(|package| package["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn apt_knows_what_came_along_and_what_was_asked_for() {
    let root = &coming().built;
    let automatic =
        ["library", "needed", "vanishing", "bystander", "tool"].map(|name| is_automatic(root, name));
    assert_eq!(automatic, [true, false, true, false, false]);
    assert_eq!(marks(root).iter().filter(|mark| mark.contains("Note: mine")).count(), 1);
    assert!(!is_automatic(&going().built, "leaving"));
}

#[test]
fn an_upgrade_is_the_one_that_apt_get_makes_and_marks_what_it_brings() {
    let voyage = Voyage::new("upgrade = true", "apt_get upgrade --with-new-pkgs");
    voyage.arrives();
    assert!(is_automatic(&voyage.built, "library") && is_automatic(&voyage.built, "needed"));
}
