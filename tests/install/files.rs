//! `file` blocks that take directories and patterns, measured against what `cp` and `tar` make of them.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use estaleiro::digest::Digest;

use crate::site::Site;
use crate::support::tarball::Entry;
use crate::support::{Tarball, tree};
use crate::yard::{self, Yard, account, base, files};

/// Returns a site with a directory `dist` of all kinds of entries.
fn site(text: &str) -> Site {
    let site = Site::new(&format!("image \"x\" {{\n{text}\n}}\n"));
    fill(&site.path("context/dist"));
    site
}

fn fill(dist: &Path) {
    fs::create_dir_all(dist.join("lib/empty")).unwrap();
    for (path, mode, content) in [
        ("run.sh", 0o755, "run"),
        (".hidden", 0o644, "hidden"),
        ("lib/a.so", 0o644, "a"),
        ("lib/b.so", 0o755, "b"),
    ] {
        fs::write(dist.join(path), content).unwrap();
        fs::set_permissions(dist.join(path), fs::Permissions::from_mode(mode)).unwrap();
    }
    symlink("lib/a.so", dist.join("link")).unwrap();
    symlink("../run.sh", dist.join("lib/up")).unwrap();
}

/// Returns what a copy of `from` looks like, whoever it belongs to here.
fn copied(from: &Path, to: &Path) -> String {
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    let mut copy = Command::new("cp");
    copy.args(["--recursive", "--no-dereference", "--preserve=mode"]).arg(from).arg(to);
    assert!(copy.status().unwrap().success());
    tree::dump(to)
}

#[test]
fn a_directory_is_copied_as_cp_copies_it() {
    for label in ["/opt/app/", "/opt/app"] {
        let site = site(&format!("file \"{label}\" {{ from_context {{ path = \"dist/\" }} }}"));
        let root = yard::root(&site);
        assert_eq!(
            tree::dump(&root.join("opt/app")),
            copied(&site.path("context/dist"), &site.path("expected"))
        );
        assert_eq!(tree::dump(&root).lines().next().unwrap(), "dir  0755 0:0 /opt");
        let account = account(&site);
        assert_eq!(
            files(&account),
            ["/opt/app/.hidden", "/opt/app/lib/a.so", "/opt/app/lib/b.so", "/opt/app/run.sh"]
        );
        let file = &account["changeset"]["files"][1];
        assert_eq!(file["digest"], Digest::of("a").to_string());
        assert_eq!(file["source"]["context"]["path"], "dist/lib/a.so");
    }
}

#[test]
fn the_whole_context_can_be_taken() {
    let site = site("file \"/src/\" { from_context { path = \".\" } }");
    let root = yard::root(&site);
    assert_eq!(tree::dump(&root.join("src")), copied(&site.path("context"), &site.path("expected")));
}

#[test]
fn a_pattern_takes_what_matches_below_its_fixed_part() {
    let taken = |path: &str| {
        let site = site(&format!("file \"/to/\" {{ from_context {{ path = \"{path}\" }} }}"));
        let root = yard::root(&site);
        let lines = tree::dump(&root.join("to"));
        lines
            .lines()
            .map(|line| line.split(' ').find(|word| word.starts_with('/')).unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(taken("dist/lib/*.so"), ["/a.so", "/b.so"]);
    assert_eq!(taken("dist/**.so"), ["/lib", "/lib/a.so", "/lib/b.so"]);
    assert_eq!(taken("dist/l*"), ["/lib", "/lib/a.so", "/lib/b.so", "/lib/empty", "/lib/up", "/link"]);
    assert_eq!(taken("d*/.h*"), ["/dist", "/dist/.hidden"]);
}

#[test]
fn a_single_file_lands_in_a_directory_under_its_own_name() {
    let site = site("file \"/opt/\" { from_context { path = \"dist/run.sh\" } }");
    assert_eq!(fs::read(yard::root(&site).join("opt/run.sh")).unwrap(), b"run");
}

#[test]
fn mode_is_for_files_and_owner_for_all_that_is_taken() {
    let site = site(
        "file \"/opt/app/\" {\n from_context { path = \"dist/\" }\n mode = \"0640\"\n owner = \"7:8\"\n}",
    );
    let root = yard::root(&site);
    for line in tree::dump_below(&root, "/opt/app").lines() {
        let mode = match &line[..4] {
            "file" => "0640",
            "dir " => "0755",
            _ => "0777",
        };
        assert_eq!(&line[5..9], mode, "{line}");
        assert_eq!(&line[10..13], "7:8", "{line}");
    }
}

#[test]
fn directories_of_the_image_stay_as_they_are_and_links_to_them_are_followed() {
    let layer = Tarball::new()
        .entry(Entry::directory("opt/", 0o750).owned_by(3, 4))
        .directory("usr/", 0o755)
        .entry(Entry::directory("usr/lib/", 0o2775).owned_by(5, 6))
        .symlink("lib", "usr/lib")
        .file("usr/lib/a.so", 0o600, "old");
    let yard = Yard::new(&base(&layer), "file \"/\" { from_context { path = \"dist/\" } }");
    fill(&yard.site.path("context/dist"));
    let built = yard.root();
    let dump = tree::dump(&built);
    for line in [
        "dir  0750 3:4 /opt".to_owned(),
        "dir  2775 5:6 /usr/lib".into(),
        format!("file 0644 0:0 1:{} /usr/lib/a.so", Digest::of("a").short()),
        "link 0777 0:0 /lib -> usr/lib".into(),
        "dir  0755 0:0 /usr/lib/empty".into(),
    ] {
        assert!(dump.lines().any(|found| found == line), "{line} is not in\n{dump}");
    }
}

/// A definition that takes something out of `dist.tar`.
fn of_tarball(path: &str, more: &str) -> String {
    format!(
        "image \"x\" {{\n  file \"/opt/\" {{\n    from_tarball \"dist.tar\" {{ path = \"{path}\" }}\n    {more}\n  }}\n}}\n\
         tarball \"dist.tar\" {{\n  source_file \"app/bin/*\" {{\n    vcs \"git\" {{\n      repository = \"https://git.example/bin\"\n      ref = \"1\"\n    }}\n  }}\n  \
         source_file \"app/**\" {{\n    vcs \"git\" {{\n      repository = \"https://git.example/app\"\n      ref = \"2\"\n    }}\n  }}\n}}\n"
    )
}

fn tarball() -> Tarball {
    Tarball::new()
        .entry(Entry::file("app/share/z", 0o600, "z").owned_by(9, 9))
        .directory("app/", 0o700)
        .directory("app/bin/", 0o711)
        .file("app/bin/git", 0o755, "the program")
        .hardlink("app/bin/git-add", "app/bin/git")
        .hardlink("app/bin/git-rm", "app/bin/git")
        .symlink("app/bin/sh", "/bin/sh")
        .entry(Entry::directory("app/share/", 0o2755))
        .file("other", 0o644, "other")
}

#[test]
fn a_directory_of_a_tarball_is_what_tar_makes_of_it() {
    let site = Site::new(&of_tarball("app/", "owner = \"0:0\""));
    site.put("dist.tar", tarball().build());
    let root = yard::root(&site);
    let expected = site.path("expected");
    fs::create_dir(&expected).unwrap();
    let mut tar = Command::new("tar");
    tar.args(["--extract", "--no-same-owner", "--preserve-permissions", "--strip-components=1", "--file"]);
    tar.arg(site.path("context/dist.tar")).arg("--directory").arg(&expected).arg("app");
    assert!(tar.status().unwrap().success());
    assert_eq!(tree::dump(&root.join("opt")), tree::dump(&expected));
    let account = account(&site);
    assert_eq!(files(&account), ["/opt/bin/git", "/opt/bin/git-add", "/opt/bin/git-rm", "/opt/share/z"]);
    let sources: Vec<&str> = account["changeset"]["files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|file| file["source"]["git"]["repository_uri"].as_str().unwrap())
        .collect();
    assert_eq!(
        sources,
        ["https://git.example/bin"; 3]
            .iter()
            .chain(&["https://git.example/app"])
            .copied()
            .collect::<Vec<_>>()
    );
    assert_eq!(account["changeset"]["files"][1]["source"]["tarball"]["member"], "app/bin/git-add");
}

#[test]
fn a_pattern_takes_members_of_a_tarball() {
    let site = Site::new(&of_tarball("app/*/[gz]*", ""));
    site.put("dist.tar", tarball().build());
    let root = yard::root(&site);
    assert!(tree::dump(&root).contains("hard 0755 0:0"), "{}", tree::dump(&root));
    assert_eq!(
        files(&account(&site)),
        ["/opt/bin/git", "/opt/bin/git-add", "/opt/bin/git-rm", "/opt/share/z"]
    );
}

#[test]
fn what_cannot_be_taken_is_named() {
    let story = |path: &str, tarball: &Tarball| {
        let site = Site::new(&of_tarball(path, ""));
        site.put("dist.tar", tarball.build());
        site.fails(1, &mut site.build())
    };
    assert!(story("none/", &tarball()).contains("cannot read tarball dist.tar: nothing in it matches none/"));
    assert!(story("app/*.so", &tarball()).contains("nothing in it matches app/*.so"));
    assert!(story(".", &tarball()).contains("nobody says where its member other comes from"));
    let device = tarball().entry(Entry::device("app/null", 0o666, 1, 3));
    assert!(
        story("app/", &device).contains("its member app/null is refused: it is no file, directory or link")
    );
    let half = Tarball::new().file("far", 0o644, "far").hardlink("app/near", "far");
    assert!(
        story("app/", &half).contains("its member app/near is a hard link to far, which isn't taken with it")
    );

    let context = |path: &str| {
        let site = site(&format!("file \"/to/\" {{ from_context {{ path = \"{path}\" }} }}"));
        symlink("/etc/passwd", site.path("context/out")).unwrap();
        site.fails(1, &mut site.build())
    };
    assert!(context("*.none").contains("cannot use *.none in the context: nothing matches it"));
    assert!(context("none/").contains("there is no such file"));
    assert!(context("o*").contains("cannot use the link out in the context: it leads to /etc/passwd"));
    assert!(
        context("dist")
            .contains("it is a directory\nhint: to take all that is in it, write a `/` at its end: dist/")
    );
}

#[test]
fn two_things_at_one_place_are_refused() {
    let site = site(
        "file \"/to/\" { from_context { path = \"dist/\" } }\nfile \"/to/lib\" { from_context { path = \"dist/run.sh\" } }",
    );
    let said = site.fails(1, &mut site.build());
    assert!(said.contains("cannot put /to/lib: something else is put there too"), "{said}");
}

#[test]
fn a_pattern_needs_a_directory_to_land_in() {
    let site = site("file \"/to\" { from_context { path = \"dist/*\" } }");
    let said = site.fails(2, &mut site.build());
    assert!(said.contains("`/to` is no directory, and a pattern may take several files"), "{said}");
    assert!(said.contains("write a `/` at its end: file \"/to/\""), "{said}");
}

#[test]
fn ten_thousand_files_take_no_time_and_no_descriptors() {
    let site = site("file \"/opt/\" { from_context { path = \"many/\" } }");
    for n in 0..100 {
        let directory = site.path("context/many").join(n.to_string());
        fs::create_dir_all(&directory).unwrap();
        (0..100).for_each(|m| fs::write(directory.join(m.to_string()), format!("{n} {m}")).unwrap());
    }
    let start = Instant::now();
    // Fewer files may be open than are copied.
    let mut limited = Command::new("sh");
    let build = site.build();
    limited
        .args(["-c", "ulimit -n 256 && exec \"$@\"", "sh"])
        .arg(build.get_program())
        .args(build.get_args());
    limited.current_dir(site.path("context")).env_clear().env("TMPDIR", site.path("tmp"));
    site.succeeds(&mut limited);
    assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
    let mut bom = site.estaleiro(&["bom", "oci:../layout"]);
    let account = String::from_utf8(site.succeeds(&mut bom).stdout).unwrap();
    assert_eq!(account.matches("path: /opt/").count(), 10_000);
}
