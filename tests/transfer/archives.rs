//! Archives that `ADD` unpacks.

use estaleiro::bom;

use crate::bench::{Bench, rows};
use crate::support::Tarball;
use crate::support::tarball::Entry;

fn bench(name: &str, archive: &[u8]) -> Bench {
    let bench = Bench::new("");
    std::fs::write(bench.context().join(name), archive).unwrap();
    bench
}

#[test]
fn an_archive_is_unpacked_into_the_target_with_its_owners_and_modes() {
    let tarball = Tarball::new()
        .entry(Entry::directory("./", 0o700))
        .entry(Entry::directory("d", 0o750).owned_by(1, 2))
        .entry(Entry::file("d/x", 0o4755, "x").owned_by(3, 4))
        .hardlink("d/y", "d/x")
        .symlink("l", "../../d")
        .entry(Entry::device("null", 0o666, 1, 3))
        .entry(Entry::fifo("pipe", 0o600))
        .file("made/for/it", 0o600, "");
    let bench = bench("a.tar", &tarball.build()).on("0700 5:6 t/");
    rows(
        &bench,
        &[
            (
                "ADD a.tar /t",
                "dir 0700 5:6 /t
                dir 0750 1:2 /t/d
                file 0644 0:0 /t/d/x
                hard 0644 0:0 /t/d/y = /t/d/x
                link 0777 0:0 /t/l -> ../../d
                dir 0755 0:0 /t/made
                dir 0755 0:0 /t/made/for
                file 0600 0:0 /t/made/for/it
                char 0666 0:0 1:3 /t/null
                fifo 0600 0:0 /t/pipe",
            ),
            ("COPY a.tar /t", "dir 0700 5:6 /t\n file 0644 0:0 /t/a.tar"),
            ("ADD none* a.ta? /t/", &bench.layer("ADD a.tar /t")),
        ],
    );
    let owned = bench.layer("ADD --chown=8:9 --chmod=600 a.tar /n/m");
    assert!(owned.starts_with("dir 0755 8:9 /n\ndir 0755 8:9 /n/m\ndir 0750 8:9 /n/m/d\n"), "{owned}");
    assert!(owned.contains("dir 0755 0:0 /n/m/made\n"), "{owned}");
}

#[test]
fn archives_are_told_by_what_is_in_them_however_they_are_compressed() {
    let tar = Tarball::new().file("x", 0o644, "x").build();
    let with = |program: &str| {
        let bench = bench("plain", &tar);
        crate::support::run(program, &["--keep", "--quiet", bench.context().join("plain").to_str().unwrap()]);
        let mut made = std::fs::read_dir(bench.context()).unwrap().map(|entry| entry.unwrap().path());
        let made = made.find(|path| path.file_name().unwrap() != "plain").unwrap();
        std::fs::read(made).unwrap()
    };
    for bytes in [tar.clone(), with("gzip"), with("bzip2"), with("xz"), with("zstd")] {
        rows(&bench("any name", &bytes), &[("ADD any* /", "file 0644 0:0 /x")]);
    }
    for bytes in [&b"text"[..], b"", &[0; 1024], &with("xz")[..40], &tar[..300], b"\x1f\x8bnot gzip"] {
        rows(&bench("a.tar", bytes), &[("ADD a.tar /", "file 0644 0:0 /a.tar")]);
    }
}

#[test]
fn a_link_to_an_archive_is_unpacked_too() {
    let bench = bench("a.tar", &Tarball::new().file("x", 0o644, "x").build());
    std::os::unix::fs::symlink("a.tar", bench.context().join("latest")).unwrap();
    rows(&bench, &[("ADD latest /n", "dir 0755 0:0 /n\n file 0644 0:0 /n/x")]);
}

#[test]
fn what_is_in_an_archive_replaces_whatever_is_there() {
    let tarball = Tarball::new()
        .file("d", 0o644, "")
        .directory("l", 0o700)
        .file("l/x", 0o600, "")
        .directory("f", 0o711);
    let bench = bench("a.tar", &tarball.build()).on("d/, d/e/, l -> d, 0777 3:4 f/");
    rows(
        &bench,
        &[("ADD a.tar /", "file 0644 0:0 /d\n dir 0711 0:0 /f\n dir 0700 0:0 /l\n file 0600 0:0 /l/x")],
    );
}

#[test]
fn a_directory_that_was_replaced_and_comes_back_hides_what_the_root_has_in_it() {
    let tarball = Tarball::new().file("d", 0o644, "").directory("d", 0o755).file("d/x", 0o644, "");
    let bench = bench("a.tar", &tarball.build()).on("d/, d/e/, d/e/f/");
    let expected = "dir 0755 0:0 /d\n file 0644 0:0 /d/x\n file 0644 0:0 /d/.wh..wh..opq";
    rows(&bench, &[("ADD a.tar /", expected)]);
}

#[test]
fn links_of_an_archive_lead_where_they_lead_in_the_target() {
    let tarball = Tarball::new()
        .symlink("up", "..")
        .file("up/etc/x", 0o644, "")
        .symlink("abs", "/y")
        .file("abs/z", 0o600, "");
    let bench = bench("a.tar", &tarball.build());
    rows(
        &bench,
        &[(
            "ADD a.tar /t",
            "dir 0755 0:0 /t
            link 0777 0:0 /t/abs -> /y
            dir 0755 0:0 /t/etc
            file 0644 0:0 /t/etc/x
            link 0777 0:0 /t/up -> ..
            dir 0755 0:0 /t/y
            file 0600 0:0 /t/y/z",
        )],
    );
}

#[test]
fn an_archive_that_reaches_out_is_refused() {
    for (tarball, told) in [
        (Tarball::new().file("../x", 0o644, ""), "its path holds `..`"),
        (Tarball::new().file("a/../../x", 0o644, ""), "its path holds `..`"),
        (Tarball::new().hardlink("x", "../../etc/shadow"), "its path holds `..`"),
        (Tarball::new().hardlink("x", "etc/shadow"), "a hard link to /etc/shadow, which isn't in it"),
        (Tarball::new().file(".wh.x", 0o644, ""), "a name with `.wh.` before it"),
    ] {
        let layer = bench("a.tar", &tarball.build()).layer("ADD a.tar /");
        assert!(layer.starts_with("error: ") && layer.contains(told), "{layer}");
    }
    let absolute = Tarball::new().file("/x", 0o644, "");
    rows(&bench("a.tar", &absolute.build()), &[("ADD a.tar /t", "dir 0755 0:0 /t\n file 0644 0:0 /t/x")]);
}

#[test]
fn attributes_that_no_layer_keeps_are_dropped_from_archives_too() {
    let entry = Entry::file("x", 0o644, "").xattr("user.a", "b").xattr("security.capability", "c");
    let bench = bench("a.tar", &Tarball::new().entry(entry).build());
    rows(&bench, &[("ADD a.tar /", "file 0644 0:0 /x {security.capability=c}")]);
}

#[test]
fn a_download_is_unpacked_only_where_that_is_asked_for() {
    let tar = Tarball::new().file("x", 0o644, "x").build();
    let url = "https://archive.example/a.tar";
    let bench = Bench::new("").serving(url, &tar, None);
    rows(
        &bench,
        &[
            (&format!("ADD {url} /"), "file 0600 0:0 /a.tar"),
            (&format!("ADD --unpack {url} /n"), "dir 0755 0:0 /n\n file 0644 0:0 /n/x"),
        ],
    );
}

#[test]
fn what_is_in_an_archive_is_accounted_for_as_its_member() {
    let tar = Tarball::new().file("d/x", 0o644, "x").build();
    let delta = bench("a.tar", &tar).run("ADD a.tar /n").unwrap();
    let [file] = delta.bom.files.as_slice() else { panic!("{:?}", delta.bom.files) };
    assert_eq!(file.path, "/n/d/x");
    let digest = estaleiro::digest::Digest::of(&tar);
    let tarball = bom::Tarball { name: "a.tar".into(), digest, member: "d/x".into() };
    assert_eq!(file.source.tarball.as_deref(), Some(&tarball));
}
