//! What of the context is meant, and what is left out.

use std::os::unix::ffi::OsStrExt;

use estaleiro::build::context::{Context, Scan, Wanted};
use estaleiro::build::graph::ContextTree;
use estaleiro::dockerfile::Ignore;

use crate::bench::{Bench, rows};

#[test]
fn the_content_of_a_directory_is_taken_and_its_links_stay_links() {
    let bench = Bench::new("0700 d/, d/.hidden, d/l -> ../../out, d/e/, 04755 d/s, d/abs -> /etc/passwd");
    let expected = "
        dir 0755 0:0 /n
        file 0644 0:0 /n/.hidden
        link 0777 0:0 /n/abs -> /etc/passwd
        dir 0755 0:0 /n/e
        link 0777 0:0 /n/l -> ../../out
        file 4755 0:0 /n/s";
    rows(
        &bench,
        &[("COPY d /n", expected), ("COPY ./d/. /n", expected), ("COPY ../x/../../d /n/", expected)],
    );
}

#[test]
fn links_that_are_named_are_followed_but_never_out_of_the_context() {
    let bench =
        Bench::new("d/x, l -> d, f -> d/x, up -> ../../../d/x, abs -> /d, round -> round, out -> ../secret");
    std::fs::write(bench.context().parent().unwrap().join("secret"), "s").unwrap();
    rows(
        &bench,
        &[
            ("COPY l /n", "dir 0755 0:0 /n\n file 0644 0:0 /n/x"),
            ("COPY l/x /n", "file 0644 0:0 /n"),
            ("COPY f /n/", "dir 0755 0:0 /n\n file 0644 0:0 /n/f"),
            ("COPY up /n", "file 0644 0:0 /n"),
            ("COPY abs/x /n", "file 0644 0:0 /n"),
            ("COPY [fu]* /n/", "dir 0755 0:0 /n\n file 0644 0:0 /n/f\n file 0644 0:0 /n/up"),
        ],
    );
    for (source, told) in
        [("out", "there is no such file"), ("../secret", "no such file"), ("round", "too many links")]
    {
        let layer = bench.layer(&format!("COPY {source} /n"));
        assert!(layer.starts_with("error: ") && layer.contains(told), "{layer}");
    }
}

#[test]
fn a_pattern_takes_what_matches_name_by_name_and_may_take_nothing() {
    let bench = Bench::new("a.c, b.c, b.h, d1/x.c, d2/x.c, d2/y.c, d3/e/, [z].c");
    rows(
        &bench,
        &[
            (
                "COPY *.c /n/",
                "dir 0755 0:0 /n\n file 0644 0:0 /n/[z].c\n file 0644 0:0 /n/a.c\n file 0644 0:0 /n/b.c",
            ),
            ("COPY d?/x.c /n/", "dir 0755 0:0 /n\n file 0644 0:0 /n/x.c"),
            (
                "COPY d* /n/",
                "dir 0755 0:0 /n\n dir 0755 0:0 /n/e\n file 0644 0:0 /n/x.c\n file 0644 0:0 /n/y.c",
            ),
            ("COPY */[^x].c /n/", "dir 0755 0:0 /n\n file 0644 0:0 /n/y.c"),
            ("COPY [[]z].c /n/", "dir 0755 0:0 /n\n file 0644 0:0 /n/[z].c"),
            ("COPY *.none b.h /n/", "dir 0755 0:0 /n\n file 0644 0:0 /n/b.h"),
            ("COPY *.none /n/", "no layer"),
            ("COPY b.[gh] /n", "file 0644 0:0 /n"),
        ],
    );
    assert!(bench.layer("COPY nowhere/* /n").contains("there is no such file or directory"));
    assert!(bench.layer("COPY b.h none /n/").contains("cannot take none out of the context"));
}

#[test]
fn what_is_ignored_is_not_there() {
    let bench = Bench::new("keep, gone, d/keep, d/gone, e/x, l -> gone, f/deep/keep, f/deep/gone").ignoring(
        "gone
*/gone
e
f
!f/deep/keep
",
    );
    rows(
        &bench,
        &[(
            "COPY . /",
            "dir 0755 0:0 /d
            file 0644 0:0 /d/keep
            dir 0755 0:0 /f
            dir 0755 0:0 /f/deep
            file 0644 0:0 /f/deep/keep
            file 0644 0:0 /keep
            link 0777 0:0 /l -> gone",
        )],
    );
    for source in ["gone", "e", "e/x", "l", "d/gone"] {
        assert!(bench.layer(&format!("COPY {source} /n")).contains("there is no such"), "{source}");
    }
    assert_eq!(bench.layer("COPY g* /n"), "no layer");
}

#[test]
fn hard_links_of_the_context_are_hard_links_in_the_layer_if_they_are_taken_together() {
    let bench = Bench::new("d/a, d/b = d/a, d/a-c = d/a, d/a-d/e = d/a, f = d/a");
    rows(
        &bench,
        &[
            (
                "COPY d /n",
                "dir 0755 0:0 /n
                file 0644 0:0 /n/a
                hard 0644 0:0 /n/a-c = /n/a
                dir 0755 0:0 /n/a-d
                hard 0644 0:0 /n/a-d/e = /n/a
                hard 0644 0:0 /n/b = /n/a",
            ),
            ("COPY d/b f /n/", "dir 0755 0:0 /n\n file 0644 0:0 /n/b\n file 0644 0:0 /n/f"),
        ],
    );
}

#[test]
fn pipes_and_devices_are_taken_and_sockets_and_names_that_are_no_text_are_refused() {
    let bench = Bench::new("d/x, s/x, n/x");
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    let make = |name: &str, kind, device| {
        rustix::fs::mknodat(rustix::fs::CWD, bench.context().join(name), kind, mode, device).unwrap();
    };
    make("d/null", rustix::fs::FileType::CharacterDevice, rustix::fs::makedev(1, 3));
    make("d/pipe", rustix::fs::FileType::Fifo, 0);
    std::os::unix::net::UnixListener::bind(bench.context().join("s/socket")).unwrap();
    std::fs::write(bench.context().join(std::ffi::OsStr::from_bytes(b"n/\xff")), "").unwrap();
    let expected = "dir 0755 0:0 /n\n char 0600 0:0 1:3 /n/null\n fifo 0600 0:0 /n/pipe";
    rows(&bench, &[("COPY --exclude=x d /n", expected)]);
    assert!(bench.layer("COPY s /n").contains("cannot use s/socket in the context: it is a socket"));
    assert!(bench.layer("COPY n /n").contains("its name is no UTF-8"));
}

#[test]
fn exclusions_are_about_what_is_in_the_source_and_never_the_source_itself() {
    let bench = Bench::new("a.txt, b.go, d/a.txt, d/b.go, d/e/a.txt, d/keep.txt");
    rows(
        &bench,
        &[
            (
                "COPY --exclude=*.txt d /n",
                "dir 0755 0:0 /n\n file 0644 0:0 /n/b.go\n dir 0755 0:0 /n/e\n file 0644 0:0 /n/e/a.txt",
            ),
            ("COPY --exclude=**/*.txt d /n", "dir 0755 0:0 /n\n file 0644 0:0 /n/b.go\n dir 0755 0:0 /n/e"),
            (
                "COPY --exclude=**/*.txt --exclude=!keep.txt d /n",
                "dir 0755 0:0 /n\n file 0644 0:0 /n/b.go\n dir 0755 0:0 /n/e\n file 0644 0:0 /n/keep.txt",
            ),
            ("COPY --exclude=*.txt a.txt /n", "file 0644 0:0 /n"),
            ("COPY --exclude=e --exclude=*.txt d* /n/", "dir 0755 0:0 /n\n file 0644 0:0 /n/b.go"),
            ("COPY --exclude=* d /n", "dir 0755 0:0 /n"),
        ],
    );
}

#[test]
fn parents_are_kept_from_the_pivot_on() {
    let bench = Bench::new("0700 a/, 0711 a/b/, a/b/x.txt, a/b/y.go, a/c/z.txt, 0750 e/, e/b/x.txt")
        .on("0777 5:6 t/, 0777 5:6 t/a/");
    rows(
        &bench,
        &[
            (
                "COPY --parents a/b/x.txt /n/",
                "dir 0755 0:0 /n\n dir 0700 0:0 /n/a\n dir 0711 0:0 /n/a/b\n file 0644 0:0 /n/a/b/x.txt",
            ),
            (
                "COPY --parents a/b/x.txt /n",
                "dir 0755 0:0 /n\n dir 0700 0:0 /n/a\n dir 0711 0:0 /n/a/b\n file 0644 0:0 /n/a/b/x.txt",
            ),
            (
                "COPY --parents ./a/./b/x.txt /n/",
                "dir 0755 0:0 /n\n dir 0711 0:0 /n/b\n file 0644 0:0 /n/b/x.txt",
            ),
            (
                "COPY --parents */b/*.txt /n/",
                "dir 0755 0:0 /n\n dir 0700 0:0 /n/a\n dir 0711 0:0 /n/a/b\n file 0644 0:0 /n/a/b/x.txt\n dir 0750 0:0 /n/e\n dir 0755 0:0 /n/e/b\n file 0644 0:0 /n/e/b/x.txt",
            ),
            (
                "COPY --parents **/*.go /n/",
                "dir 0755 0:0 /n\n dir 0700 0:0 /n/a\n dir 0711 0:0 /n/a/b\n file 0644 0:0 /n/a/b/y.go",
            ),
            ("COPY --parents a/./c /n/", "dir 0755 0:0 /n\n dir 0755 0:0 /n/c\n file 0644 0:0 /n/c/z.txt"),
            (
                "COPY --parents a*/./b/x.txt /n/",
                "dir 0755 0:0 /n\n dir 0711 0:0 /n/b\n file 0644 0:0 /n/b/x.txt",
            ),
            (
                "COPY --parents a/c/z.txt /t/",
                "dir 0777 5:6 /t\n dir 0700 5:6 /t/a\n dir 0755 0:0 /t/a/c\n file 0644 0:0 /t/a/c/z.txt",
            ),
            ("COPY --parents *.none /n/", "dir 0755 0:0 /n"),
        ],
    );
    assert!(bench.layer("COPY --parents a/none /n/").contains("there is no such file or directory"));
}

#[test]
fn a_tree_holds_what_is_taken_and_the_way_there_and_nothing_else() {
    let bench = Bench::new("0700 a/, a/b/x, a/c/y, l -> a/b, other/z");
    let tree = tree(&bench, &["l/x"], &[]);
    let paths: Vec<&str> = tree.entries.iter().map(|entry| entry.path.as_str()).collect();
    assert_eq!(paths, ["a", "a/b", "a/b/x", "l"]);
    assert_eq!(tree.entries[0].mode, 0o755, "who only passes by doesn't mind the permissions");
    assert_eq!(tree.entries, self::tree(&bench, &["l/x"], &[]).entries);
    let all = self::tree(&bench, &["."], &["a"]);
    let paths: Vec<&str> = all.entries.iter().map(|entry| entry.path.as_str()).collect();
    assert_eq!(paths, ["l", "other", "other/z"]);
}

#[test]
fn directories_that_cannot_matter_are_not_even_read() {
    let bench = Bench::new("a/x, n/y");
    std::fs::write(bench.context().join(std::ffi::OsStr::from_bytes(b"n/\xff")), "").unwrap();
    std::os::unix::net::UnixListener::bind(bench.context().join("n/socket")).unwrap();
    assert_eq!(tree(&bench, &["a/*", "n/y"], &[]).entries.len(), 4);
}

fn tree(bench: &Bench, sources: &[&str], exclude: &[&str]) -> ContextTree {
    let owned = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
    let (sources, exclude) = (owned(sources), owned(exclude));
    let context = Context::new(bench.context());
    let wanted = Wanted { sources: &sources, exclude: &exclude, keeps_parents: false };
    Scan::new(&context, &Ignore::default()).unwrap().tree(&wanted).unwrap()
}
