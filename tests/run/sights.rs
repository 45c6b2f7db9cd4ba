//! What a command sees of the context, of other images, and of memory.

use std::fs;
use std::os::unix::fs::symlink;

use estaleiro::build::graph::{ContextEntry, ContextKind, ContextTree, RunMountKind, Snapshot};
use estaleiro::build::solve::{Material, Yield};
use estaleiro::digest::Digest;
use estaleiro::oci::{History, Image, Platform};

use super::place::{Place, directory, file, mounting};

fn bind(source: &str, is_writable: bool) -> RunMountKind {
    RunMountKind::Bind { mount: 0, source: source.into(), is_writable }
}

/// Two files, a directory and links, also one that leads out.
fn context(place: &Place) -> Yield {
    let root = place.path("context");
    fs::create_dir(root.join("src")).unwrap();
    fs::write(root.join("src/main.c"), "main").unwrap();
    fs::write(root.join("ignored"), "ignored").unwrap();
    fs::write(place.path("secret"), "secret").unwrap();
    symlink("src", root.join("link")).unwrap();
    symlink("../secret", root.join("out")).unwrap();
    let entry = |path: &str, mode, kind| ContextEntry { path: path.into(), mode, kind };
    let link = |target: &str| ContextKind::Symlink { target: target.into() };
    let entries = vec![
        entry("link", 0o777, link("src")),
        entry("out", 0o777, link("../secret")),
        entry("src", 0o750, ContextKind::Directory),
        entry("src/main.c", 0o640, ContextKind::File { digest: Digest::of("main"), size: 4 }),
    ];
    Yield::Material(Material::Context(ContextTree { name: ".".into(), entries, ..ContextTree::default() }))
}

pub(crate) fn other_image(place: &Place) -> Yield {
    let low = place.layer(&[directory("opt"), file("opt/a", 0o644, "a"), file("opt/b", 0o644, "b")]);
    let high = place.layer(&[directory("opt"), file("opt/.c", 0o600, "c")]);
    let image =
        Image::scratch(Platform::host()).append(low, History::default()).append(high, History::default());
    Yield::Snapshot(Box::new(Snapshot { image, bom: Default::default(), skeleton: Default::default() }))
}

#[test]
fn the_context_is_seen_as_the_graph_knows_it_and_cannot_be_changed() {
    let place = Place::new();
    let (base, context) = (place.base(), context(&place));
    let run = |source: &str, is_writable, script: &str| {
        place.run_with(&mounting("/mnt", bind(source, is_writable), script), &base, &[&context])
    };
    let (delta, said) = run("", false, "ls /mnt; stat -c '%a %u:%g %Y' /mnt/src /mnt/src/main.c").unwrap();
    assert_eq!(said, ["link", "out", "src", "750 0:0 1700000000", "640 0:0 1700000000"]);
    assert_eq!(delta.layer, None);
    assert_eq!(run("/src/main.c", false, "cat /mnt").unwrap().1, ["main"]);
    assert_eq!(run("link", false, "ls /mnt").unwrap().1, ["main.c"]);
    let refused = "(echo x > /mnt/x) 2>/dev/null || echo refused";
    assert_eq!(run("src", false, refused).unwrap().1, ["refused"]);
    let (delta, _) = run("src", true, "echo x > /mnt/x; echo y > /mnt/main.c; cat /mnt/x").unwrap();
    assert_eq!(delta.layer, None);
    assert_eq!(fs::read_to_string(place.path("context/src/main.c")).unwrap(), "main");
    assert!(!place.path("context/src/x").exists());
}

#[test]
fn a_source_that_leads_out_of_the_context_is_refused() {
    let place = Place::new();
    let (base, context) = (place.base(), context(&place));
    for (source, reason) in
        [("out", "context-0/out: ENOENT"), ("../secret", "holds `..`"), ("none", "ENOENT")]
    {
        let error = place.error_of(&mounting("/mnt", bind(source, false), "cat /mnt"), &base, &[&context]);
        assert!(error.contains(reason), "{source}: {error}");
    }
    let error = place.error_of(&mounting("/mnt/../../x", bind("", false), "true"), &base, &[&context]);
    assert!(error.contains("holds `..`"), "{error}");
}

#[test]
fn another_image_is_seen_whole_or_in_part_and_stays_as_it_is() {
    let place = Place::new();
    let (base, other) = (place.base(), other_image(&place));
    let run = |source: &str, is_writable, script: &str| {
        let (delta, said) =
            place.run_with(&mounting("/mnt", bind(source, is_writable), script), &base, &[&other]).unwrap();
        assert_eq!(delta.layer, None);
        said
    };
    assert_eq!(run("/opt", false, "ls -A /mnt"), [".c", "a", "b"]);
    assert_eq!(run("", false, "ls /mnt; cat /mnt/opt/a"), ["opt", "a"]);
    assert_eq!(run("/opt", true, "rm /mnt/a; echo x > /mnt/b; ls /mnt; cat /mnt/b"), ["b", "x"]);
    assert_eq!(run("/opt/b", false, "cat /mnt"), ["b"]);
    let nothing = Yield::Snapshot(Box::new(Snapshot {
        image: Image::scratch(Platform::host()),
        bom: Default::default(),
        skeleton: Default::default(),
    }));
    let run = mounting("/mnt", bind("", false), "ls -A /mnt");
    assert!(place.run_with(&run, &base, &[&nothing]).unwrap().1.is_empty());
}

#[test]
fn a_command_may_run_on_nothing_but_what_it_mounts() {
    let place = Place::new();
    let base = place.base();
    let mut image = Image::scratch(Platform::host());
    for layer in base {
        image = image.append(layer, History::default());
    }
    let tools =
        Yield::Snapshot(Box::new(Snapshot { image, bom: Default::default(), skeleton: Default::default() }));
    let run = mounting("/bin", bind("/bin", false), "echo x > /made; ls /");
    let (delta, said) = place.run_with(&run, &[], &[&tools]).unwrap();
    assert_eq!(said, ["bin", "dev", "etc", "made", "proc", "sys"]);
    assert_eq!(place.shown(&delta), "file 644 0:0 made\n");
}

#[test]
fn text_of_the_dockerfile_is_a_file_that_may_be_run() {
    let place = Place::new();
    let content = "#!/bin/sh\necho from a script\n".to_owned();
    let mut run = mounting("/dev/pipes/EOF", RunMountKind::Text { content, mode: 0o755 }, "");
    run.argv = vec!["/dev/pipes/EOF".into()];
    assert_eq!(place.run(&run, &place.base()).unwrap().1, ["from a script"]);
}

#[test]
fn memory_is_empty_and_forgotten() {
    let place = Place::new();
    let run = mounting(
        "/scratch",
        RunMountKind::Tmpfs { size: Some(1 << 20) },
        "ls -A /scratch; echo x > /scratch/x",
    );
    let (delta, said) = place.run(&run, &place.base()).unwrap();
    assert_eq!((delta.layer, said.len()), (None, 0));
}
