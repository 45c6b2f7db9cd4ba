//! What dpkg does besides unpacking: configuration files that somebody changed, excluded paths, diversions, overrides,
//! alternatives, triggers, removals. The same archives, given to the same dpkg in a chroot, must make the same root.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

use crate::base;
use crate::site::{Site, definition_of};
use crate::support::{Archive, Compression, Deb, Key, ServedArchive, tree};
use crate::yard::{account, unpacked};

/// What is in the base before: packages, and what somebody changed since.
fn old() -> Vec<Deb> {
    let override_mode =
        "#!/bin/sh\nset -e\ndpkg-statoverride --update --add root mail 2750 /usr/bin/special\n";
    vec![
        Deb::new("tool", "1.0")
            .file("/etc/tool.conf", 0o644, "old\n")
            .conffile("/etc/tool.conf")
            .file("/etc/plain.conf", 0o644, "old\n")
            .conffile("/etc/plain.conf")
            .file("/usr/bin/tool", 0o755, "#!/bin/sh\necho 1\n"),
        Deb::new("runner", "1.0").file("/usr/bin/run", 0o755, "run 1"),
        Deb::new("special", "1.0")
            .file("/usr/bin/special", 0o755, "special 1")
            .script("postinst", override_mode),
        Deb::new("leaving", "1.0")
            .file("/etc/leaving.conf", 0o644, "x")
            .conffile("/etc/leaving.conf")
            .file("/usr/share/leaving/data", 0o644, "data")
            .script("prerm", "#!/bin/sh\necho \"prerm $1\" >> /var/lib/scripts\n")
            .script("postrm", "#!/bin/sh\necho \"postrm $1\" >> /var/lib/scripts\n"),
    ]
}

/// What comes.
fn new() -> Vec<Deb> {
    let divert = "#!/bin/sh\nset -e\n[ \"$1\" != install ] || dpkg-divert --package diverter --add --rename --divert /usr/bin/run.real /usr/bin/run\n";
    let alternative = |name: &str, priority: u32| {
        Deb::new(name, "1.0").file(&format!("/usr/bin/{name}"), 0o755, name).script(
            "postinst",
            &format!(
                "#!/bin/sh\nupdate-alternatives --install /usr/bin/pick pick /usr/bin/{name} {priority}\n"
            ),
        )
    };
    vec![
        Deb::new("tool", "2.0")
            .file("/etc/tool.conf", 0o644, "new\n")
            .conffile("/etc/tool.conf")
            .file("/etc/plain.conf", 0o644, "new\n")
            .conffile("/etc/plain.conf")
            .file("/usr/bin/tool", 0o755, "#!/bin/sh\necho 2\n")
            .file("/usr/share/doc/tool/NEWS", 0o644, "news")
            .file("/usr/share/doc/tool/copyright", 0o644, "mine"),
        Deb::new("runner", "2.0").file("/usr/bin/run", 0o755, "run 2"),
        Deb::new("diverter", "1.0").file("/usr/bin/run", 0o755, "wrapped").script("preinst", divert),
        Deb::new("special", "2.0").file("/usr/bin/special", 0o755, "special 2"),
        alternative("pick-low", 10),
        alternative("pick-high", 20),
        Deb::new("watcher", "1.0").control_file("triggers", "interest-noawait /usr/share/watched\n").script(
            "postinst",
            "#!/bin/sh\n[ \"$1\" = configure ] || ls /usr/share/watched > /var/lib/watched\n",
        ),
        Deb::new("feeder", "1.0").file("/usr/share/watched/a", 0o644, "a"),
    ]
}

const REQUEST: &str = r#"
    package "tool" { version = "2.0" }
    package "runner" { version = "2.0" }
    package "special" { version = "2.0" }
    package "diverter" {}
    package "pick-low" {}
    package "pick-high" {}
    package "watcher" {}
    package "feeder" {}
"#;

struct Story {
    site: Site,
    built: PathBuf,
    expected: PathBuf,
    _archives: [ServedArchive; 2],
}

fn story() -> &'static Story {
    static STORY: OnceLock<Story> = OnceLock::new();
    STORY.get_or_init(|| {
        let serve = |debs: Vec<Deb>| {
            debs.into_iter().fold(Archive::new(), Archive::add).sign_with(&Key::ed25519()).serve()
        };
        let archives = [serve(old()), serve(new())];
        let name = changed_base(&archives[0]);
        let site = base::site(&archives[1], "");
        site.put("estaleiro.hcl", definition_of(&archives[1], &name, REQUEST));
        build_with_removals(&site);
        let built = unpacked(&site.layout(), &site.path("bundle"));
        let expected = installed_in_a_chroot(&site, &name);
        Story { site, built, expected, _archives: archives }
    })
}

/// Puts the old packages onto a real Debian root, and changes what an administrator would.
fn changed_base(archive: &ServedArchive) -> String {
    let packages: String = old().iter().map(|deb| format!("package {:?} {{}}\n", deb.name())).collect();
    let site = base::site(archive, &packages);
    let definition = definition_of(archive, &base::name(), &packages);
    let files = "file \"/etc/tool.conf\" { from_context { path = \"mine\" } }\n\
                 file \"/etc/dpkg/dpkg.cfg.d/docs\" { from_context { path = \"docs\" } }\n}\n";
    site.put("estaleiro.hcl", definition.trim_end().strip_suffix('}').unwrap().to_owned() + files);
    site.put("mine", "mine\n");
    site.put("docs", "path-exclude=/usr/share/doc/*\npath-include=/usr/share/doc/*/copyright\n");
    let name = format!("{}:2", base::name().rsplit_once(':').unwrap().0);
    site.succeeds(site.verb("build").args(["--push", &name]));
    name
}

/// The lock says what goes, whoever decided it.
fn build_with_removals(site: &Site) {
    site.succeeds(&mut site.verb("lock"));
    let path = site.path("context/estaleiro.lock");
    let mut lock: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    lock["platforms"][0]["remove"] = serde_json::json!(["leaving"]);
    fs::write(&path, lock.to_string()).unwrap();
    site.succeeds(&mut site.build());
}

fn installed_in_a_chroot(site: &Site, base: &str) -> PathBuf {
    let layout = site.path("before");
    let mut copy = Command::new("skopeo");
    copy.args(["copy", "--quiet", "--src-tls-verify=false", &format!("docker://{base}")]);
    assert!(copy.arg(format!("oci:{}:latest", layout.display())).status().unwrap().success());
    let root = unpacked(&layout, &site.path("expected"));
    fs::create_dir(root.join("archives")).unwrap();
    for deb in new() {
        fs::write(root.join("archives").join(deb.file_name()), deb.build(Compression::Xz)).unwrap();
    }
    let dpkg = "umask 022; export DEBIAN_FRONTEND=noninteractive; \
                dpkg --force-confdef --force-confold --unpack /archives/*.deb && dpkg --configure --pending && dpkg --purge leaving";
    let mut chroot = Command::new("chroot");
    chroot.arg(&root).args(["sh", "-c", dpkg]).stdout(Stdio::null()).stdin(Stdio::null());
    assert!(chroot.status().unwrap().success());
    fs::remove_dir_all(root.join("archives")).unwrap();
    root
}

/// What each of them may leave in its own way, and why.
const DIFFERS: [&str; 4] = [
    // Logs, locks and backups: in no image.
    "/var/log/",
    "-old",
    "/var/lib/dpkg/lock",
    // A cache of the linker's, which holds times.
    "/var/cache/ldconfig/aux-cache",
];

fn compared(root: &Path) -> String {
    let dump = tree::dump(root);
    let counts =
        |line: &&str| !DIFFERS.iter().any(|part| line.contains(part)) && !line.contains("/triggers/Lock");
    dump.lines().filter(counts).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_root_is_what_dpkg_makes_of_it_in_a_chroot() {
    let (built, expected) = (compared(&story().built), compared(&story().expected));
    let differing: Vec<&str> = {
        let expected: std::collections::BTreeSet<&str> = expected.lines().collect();
        let built: std::collections::BTreeSet<&str> = built.lines().collect();
        built.symmetric_difference(&expected).copied().collect()
    };
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}

#[test]
fn a_changed_configuration_file_is_kept_and_an_unchanged_one_is_new() {
    let read = |path: &str| fs::read_to_string(story().built.join(path)).unwrap();
    assert_eq!((&*read("etc/tool.conf"), &*read("etc/plain.conf")), ("mine\n", "new\n"));
    assert_eq!(read("etc/tool.conf.dpkg-dist"), "new\n");
}

#[test]
fn excluded_paths_diversions_overrides_alternatives_and_triggers_are_honoured() {
    let root = &story().built;
    assert!(
        !root.join("usr/share/doc/tool/NEWS").exists() && root.join("usr/share/doc/tool/copyright").exists()
    );
    assert_eq!(fs::read_to_string(root.join("usr/bin/run")).unwrap(), "wrapped");
    assert_eq!(fs::read_to_string(root.join("usr/bin/run.real")).unwrap(), "run 2");
    assert!(tree::dump_below(root, "/usr/bin/special").starts_with("file 2750 0:8"));
    assert_eq!(
        fs::read_link(root.join("etc/alternatives/pick")).unwrap().to_str().unwrap(),
        "/usr/bin/pick-high"
    );
    assert_eq!(fs::read_to_string(root.join("var/lib/watched")).unwrap(), "a\n");
}

#[test]
fn a_removed_package_is_gone_from_the_root_and_the_account() {
    let root = &story().built;
    assert!(!root.join("usr/share/leaving").exists() && !root.join("etc/leaving.conf").exists());
    assert_eq!(
        fs::read_to_string(root.join("var/lib/scripts")).unwrap(),
        "prerm remove\npostrm remove\npostrm purge\n"
    );
    let account = account(&story().site);
    let replaced = account["changeset"]["replaced_base_packages"].as_array().unwrap();
    let names: Vec<&str> = replaced.iter().map(|package| package["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["leaving", "runner", "special", "tool"]);
}
