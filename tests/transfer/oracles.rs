//! Other people's tools over the same files: umoci unpacks our layers, cp and tar say what should be there.

use std::path::{Path, PathBuf};

use crate::bench::{Bench, make};
use crate::support::tarball::Entry;
use crate::support::{Tarball, TestImage, run, tree};

/// Returns the root that umoci makes of a base and of the layer that an instruction puts on top.
fn root(base: &Tarball, layer: Vec<u8>, directory: &Path) -> PathBuf {
    let layout = directory.join("layout");
    TestImage::new().layer(base).gzip_layer(layer).write_layout(&layout, "it");
    let bundle = directory.join("bundle");
    run("umoci", &["unpack", "--image", &format!("{}:it", layout.display()), bundle.to_str().unwrap()]);
    bundle.join("rootfs")
}

#[test]
fn a_directory_of_the_context_becomes_what_cp_makes_of_it() {
    let context = "0700 d/, d/a, 04755 d/b, d/c = d/a, 0640 d/z, d/l -> ../up, 0711 d/e/, d/e/f, d/e.x/g";
    let bench = Bench::new(context);
    let directory = tempfile::tempdir().unwrap();
    let base =
        Tarball::new().directory("srv", 0o750).directory("srv/e", 0o700).file("srv/e/old", 0o600, "old");
    let bench = bench.on("0750 srv/, 0700 srv/e/");
    let ours = root(&base, bench.blob("COPY d /srv"), directory.path());
    let theirs = directory.path().join("theirs");
    make(&theirs, "0750 srv/, 0700 srv/e/");
    std::fs::write(theirs.join("srv/e/old"), "old").unwrap();
    std::os::unix::fs::chown(theirs.join("srv/e/old"), Some(0), Some(0)).unwrap();
    std::fs::set_permissions(theirs.join("srv/e/old"), std::os::unix::fs::PermissionsExt::from_mode(0o600))
        .unwrap();
    let source = format!("{}/.", bench.context().join("d").display());
    // The target itself stays as it is, which cp does only when told each name.
    run("sh", &["-c", &format!("cd {source} && cp -a -- * {}", theirs.join("srv").display())]);
    assert_eq!(tree::dump(&ours), tree::dump(&theirs));
}

#[test]
fn an_archive_becomes_what_tar_makes_of_it() {
    let archive = Tarball::new()
        .entry(Entry::directory("d", 0o750).owned_by(1, 2))
        .entry(Entry::file("d/x", 0o4755, "x").owned_by(3, 4))
        .entry(Entry::file("d-x", 0o600, "before"))
        .entry(Entry { mode: 0o4755, ..Entry::hardlink("d/y", "d/x").owned_by(3, 4) })
        .entry(Entry { mode: 0o4755, ..Entry::hardlink("a", "d/x").owned_by(3, 4) })
        .symlink("l", "d/x")
        .entry(Entry::device("null", 0o666, 1, 3))
        .entry(Entry::fifo("pipe", 0o600))
        .entry(Entry::file("d-x", 0o640, "after"))
        .file(&format!("{}/long", "n".repeat(120)), 0o644, "long")
        .build();
    let bench = Bench::new("").on("0755 srv/");
    std::fs::write(bench.context().join("a.tar"), archive).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let ours = root(&Tarball::new().directory("srv", 0o755), bench.blob("ADD a.tar /srv"), directory.path());
    let theirs = directory.path().join("theirs");
    make(&theirs, "srv/");
    let tarball = bench.context().join("a.tar");
    let into = theirs.join("srv");
    let arguments = ["--numeric-owner", "-C", into.to_str().unwrap(), "-xpf", tarball.to_str().unwrap()];
    run("tar", &arguments);
    assert_eq!(tree::dump(&ours), tree::dump(&theirs));
}

#[test]
fn a_directory_that_comes_back_in_one_instruction_is_empty_for_umoci_too() {
    let archive = Tarball::new().file("d", 0o644, "").directory("d", 0o755).file("d/new", 0o644, "").build();
    let bench = Bench::new("").on("d/, d/e/");
    std::fs::write(bench.context().join("a.tar"), archive).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let base = Tarball::new().directory("d", 0o755).directory("d/e", 0o755).file("d/e/old", 0o644, "");
    let root = root(&base, bench.blob("ADD a.tar /"), directory.path());
    assert_eq!(tree::dump(&root), "dir  0755 0:0 /d\nfile 0644 0:0 0:e3b0c44298fc /d/new");
}
