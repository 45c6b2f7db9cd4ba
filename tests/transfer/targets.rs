//! Where things land, whose they become, and what may replace what.

use crate::bench::{Bench, rows};

#[test]
fn a_target_is_a_directory_where_one_is_or_where_it_ends_in_a_slash() {
    let bench = Bench::new("a, b, d/x, 0700 d/e/, d/e/y").on("01777 tmp/, 0700 5:6 srv/");
    rows(
        &bench,
        &[
            ("COPY a /new", "file 0644 0:0 /new"),
            ("COPY a /tmp", "dir 1777 0:0 /tmp\n file 0644 0:0 /tmp/a"),
            ("COPY a /srv/b", "dir 0700 5:6 /srv\n file 0644 0:0 /srv/b"),
            ("COPY a /new/", "dir 0755 0:0 /new\n file 0644 0:0 /new/a"),
            ("COPY a /n/o/", "dir 0755 0:0 /n\n dir 0755 0:0 /n/o\n file 0644 0:0 /n/o/a"),
            ("COPY a /n/.", "dir 0755 0:0 /n\n file 0644 0:0 /n/a"),
            ("COPY a b /n/", "dir 0755 0:0 /n\n file 0644 0:0 /n/a\n file 0644 0:0 /n/b"),
            ("COPY a /", "file 0644 0:0 /a"),
            ("COPY a /n/../../../o", "file 0644 0:0 /o"),
            ("COPY d /n", "dir 0755 0:0 /n\n dir 0700 0:0 /n/e\n file 0644 0:0 /n/e/y\n file 0644 0:0 /n/x"),
            (
                "COPY d/ /tmp/",
                "dir 1777 0:0 /tmp\n dir 0700 0:0 /tmp/e\n file 0644 0:0 /tmp/e/y\n file 0644 0:0 /tmp/x",
            ),
            ("COPY d/e/y d/x /", "file 0644 0:0 /x\n file 0644 0:0 /y"),
            ("COPY d /x", "dir 0755 0:0 /x\n dir 0700 0:0 /x/e\n file 0644 0:0 /x/e/y\n file 0644 0:0 /x/x"),
        ],
    );
}

#[test]
fn links_of_the_root_lead_where_they_lead_there() {
    let bench =
        Bench::new("a, d/x").on("usr/, usr/bin/, bin -> usr/bin, up -> ../../usr, l -> /usr/f, gone -> /g/h");
    rows(
        &bench,
        &[
            ("COPY a /bin/", "dir 0755 0:0 /usr\n dir 0755 0:0 /usr/bin\n file 0644 0:0 /usr/bin/a"),
            ("COPY a /bin", "dir 0755 0:0 /usr\n dir 0755 0:0 /usr/bin\n file 0644 0:0 /usr/bin/a"),
            ("COPY a /up/b", "dir 0755 0:0 /usr\n file 0644 0:0 /usr/b"),
            ("COPY a /l", "dir 0755 0:0 /usr\n file 0644 0:0 /usr/f"),
            ("COPY a /gone", "dir 0755 0:0 /g\n file 0644 0:0 /g/h"),
            ("COPY a /gone/", "dir 0755 0:0 /g\n dir 0755 0:0 /g/h\n file 0644 0:0 /g/h/a"),
            ("COPY d /gone", "dir 0755 0:0 /g\n dir 0755 0:0 /g/h\n file 0644 0:0 /g/h/x"),
            ("COPY --link a /bin/", "dir 0755 0:0 /bin\n file 0644 0:0 /bin/a"),
        ],
    );
    let round = Bench::new("a").on("round -> round");
    rows(&round, &[("COPY a /round/x", "error: cannot put /round: it leads through too many links")]);
}

#[test]
fn a_link_in_a_directory_is_replaced_by_a_file_of_its_name() {
    let bench = Bench::new("l, d/l").on("etc/, etc/l -> /etc/other");
    let expected = "dir 0755 0:0 /etc\n file 0644 0:0 /etc/l";
    rows(&bench, &[("COPY l /etc/", expected), ("COPY d /etc", expected)]);
}

#[test]
fn a_directory_that_is_there_takes_over_mode_and_owner_unless_it_is_the_target() {
    let bench = Bench::new("0700 d/, 0750 d/e/, d/e/x").on("0711 5:6 t/, 0711 5:6 t/e/, 0711 7:8 t/f/");
    rows(
        &bench,
        &[
            ("COPY d /t", "dir 0711 5:6 /t\n dir 0750 0:0 /t/e\n file 0644 0:0 /t/e/x"),
            ("COPY d/e /t/e", "dir 0711 5:6 /t\n dir 0711 5:6 /t/e\n file 0644 0:0 /t/e/x"),
            ("COPY --chown=3:4 d /t", "dir 0711 5:6 /t\n dir 0750 3:4 /t/e\n file 0644 3:4 /t/e/x"),
            ("COPY --chmod=0600 d /t", "dir 0711 5:6 /t\n dir 0600 0:0 /t/e\n file 0600 0:0 /t/e/x"),
        ],
    );
}

#[test]
fn directories_and_other_things_never_replace_each_other() {
    let bench = Bench::new("e, d/e/x, l/e -> x, f/g").on("t/, t/e/, u/, u/e -> /t");
    rows(
        &bench,
        &[
            ("COPY e /t/", "error: cannot copy to /t/e: a directory is there"),
            ("COPY l /t", "error: cannot copy to /t/e: a directory is there"),
            ("COPY d /u", "error: cannot copy a directory to /u/e: something else is there"),
            ("COPY e d/ /n/", "error: cannot copy a directory to /n/e: something else is there"),
            ("COPY d/ e /n/", "error: cannot copy to /n/e: a directory is there"),
        ],
    );
}

#[test]
fn a_file_that_an_earlier_instruction_put_there_is_no_directory() {
    let bench = Bench::new("a, d/x").on("t/").with_file("/t/f");
    rows(
        &bench,
        &[
            ("COPY d /t/f", "error: cannot copy a directory to /t/f: something else is there"),
            ("COPY a /t/f/", "error: cannot put anything into /t/f: it is no directory"),
            ("COPY a /t/f", "dir 0755 0:0 /t\n file 0644 0:0 /t/f"),
            ("COPY --link d /t/f", "dir 0755 0:0 /t\n dir 0755 0:0 /t/f\n file 0644 0:0 /t/f/x"),
        ],
    );
}

#[test]
fn what_comes_later_in_an_instruction_replaces_what_came_before() {
    let bench = Bench::new("0600 a/f, 0644 b/f, c/f -> x");
    rows(
        &bench,
        &[
            ("COPY a/f b/f /n/", "dir 0755 0:0 /n\n file 0644 0:0 /n/f"),
            ("COPY b/ a/ /n/", "dir 0755 0:0 /n\n file 0600 0:0 /n/f"),
            ("COPY a/ c/ /n/", "dir 0755 0:0 /n\n link 0777 0:0 /n/f -> x"),
        ],
    );
}

#[test]
fn owners_are_numbers_or_names_of_the_root() {
    let bench = Bench::new("d/x, l -> d").with_user("user");
    rows(
        &bench,
        &[
            ("COPY --chown=5 d /n", "dir 0755 5:5 /n\n file 0644 5:5 /n/x"),
            ("COPY --chown=user d/x /n/", "dir 0755 1000:1001 /n\n file 0644 1000:1001 /n/x"),
            (
                "COPY --chown=user:7 . /n/",
                "dir 0755 1000:7 /n\n dir 0755 1000:7 /n/d\n file 0644 1000:7 /n/d/x\n link 0777 1000:7 /n/l -> d",
            ),
        ],
    );
    let layer = bench.layer("COPY --link --chown=user d /n");
    assert!(layer.starts_with("error: cannot use the owner user"), "{layer}");
}

#[test]
fn modes_are_octal_or_symbolic_and_octal_ones_are_for_directories_on_the_way_too() {
    let bench = Bench::new("0640 a, 0700 d/, 0640 d/x, 0750 d/y, d/l -> x").on("t/");
    rows(
        &bench,
        &[
            ("COPY --chmod=4750 a /n/a", "dir 0750 0:0 /n\n file 4750 0:0 /n/a"),
            ("COPY --chmod=u=rwX,go=rX a /n/a", "dir 0755 0:0 /n\n file 0644 0:0 /n/a"),
            (
                "COPY --chmod=a+rX d /t",
                "dir 0755 0:0 /t\n link 0777 0:0 /t/l -> x\n file 0644 0:0 /t/x\n file 0755 0:0 /t/y",
            ),
        ],
    );
    assert!(bench.layer("COPY --chmod=64a a /n").starts_with("error: cannot use the mode 64a"));
}

#[test]
fn a_copy_that_is_a_link_knows_nothing_of_the_root_unless_it_changes_modes() {
    let bench = Bench::new("a").on("0700 t/");
    rows(
        &bench,
        &[
            ("COPY --link a /t/", "dir 0755 0:0 /t\n file 0644 0:0 /t/a"),
            ("COPY --link --chmod=600 a /t/", "dir 0700 0:0 /t\n file 0600 0:0 /t/a"),
            ("COPY --link a /t", "file 0644 0:0 /t"),
        ],
    );
}

#[test]
fn where_nothing_changes_there_is_no_layer() {
    let bench = Bench::new("a, d/").on("t/");
    rows(
        &bench,
        &[("COPY none* /t", "no layer"), ("COPY d /t", "no layer"), ("COPY d /n", "dir 0755 0:0 /n")],
    );
}
