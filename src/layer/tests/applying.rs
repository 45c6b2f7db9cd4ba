//! Applying layers to roots: what they bring, take away, and try to reach.

use super::*;

fn error_of(root: &Path, entries: &[(Entry, &str)]) -> String {
    apply_all(root, entries).unwrap_err().to_string()
}

#[test]
fn whiteouts_take_away_what_the_layers_below_brought() {
    let place = Place::new();
    let root = place.root("root");
    apply_all(&root, &[file("a/1", "1"), file("a/2", "2"), file("b/1", "1"), file("c", "c")]).unwrap();
    apply_all(&root, &[whiteout("a/1"), whiteout("b"), whiteout("never-there"), whiteout("no/such/place")])
        .unwrap();
    assert_eq!(tree(&root), ["a 755/", "a/2 644 2", "c 644 c"]);
}

#[test]
fn whiteouts_leave_alone_what_their_own_layer_brings_before_or_after_them() {
    let place = Place::new();
    let root = place.root("root");
    apply_all(&root, &[file("d/old", "old"), file("d/e/old", "old"), file("f/old", "old")]).unwrap();
    let layer =
        [file("d/e/new", "new"), opaque("d"), file("d/newer", "newer"), file("f/new", "new"), whiteout("f")];
    apply_all(&root, &layer).unwrap();
    assert_eq!(
        tree(&root),
        ["d 755/", "d/e 755/", "d/e/new 644 new", "d/newer 644 newer", "f 755/", "f/new 644 new"]
    );
}

#[test]
fn anything_may_replace_anything() {
    let place = Place::new();
    let root = place.root("root");
    apply_all(&root, &[file("d/x", ""), file("f", "f"), link("l", "d"), link("m", "f")]).unwrap();
    let mut device = Entry::file("f", 0o600, 0);
    device.kind = Kind::CharDevice { major: 1, minor: 3 };
    apply_all(&root, &[file("d", "file"), (device, ""), directory("l"), file("m", "file")]).unwrap();
    assert_eq!(tree(&root), ["d 644 file", "f 20600 special", "l 755/", "m 644 file"]);
    apply_all(&root, &[directory("d"), link("f", "d"), link("l", "f"), (Entry::directory("m", 0o700), "")])
        .unwrap();
    assert_eq!(tree(&root), ["d 755/", "f -> d", "l -> f", "m 700/"]);
}

#[test]
fn names_are_taken_as_from_the_root() {
    let place = Place::new();
    let root = place.root("root");
    apply_all(&root, &[file("/etc/a", "a"), file("./etc//./b", "b"), hard_link("c", "/etc/a")]).unwrap();
    assert_eq!(tree(&root), ["c 644 a", "etc 755/", "etc/a 644 a", "etc/b 644 b"]);
}

#[test]
fn nothing_is_written_outside_whatever_the_links_say() {
    let place = Place::new();
    let root = place.root("root");
    let outside = place.root("outside");
    fs::write(outside.join("secret"), "secret").unwrap();
    let outside_path = outside.display().to_string();
    let inside = outside_path.trim_start_matches('/');
    let layer = [
        link("absolute", &outside_path),
        file("absolute/a", "a"),
        link("relative", &format!("../../../../../../..{outside_path}")),
        file("relative/b", "b"),
        link("file", &format!("{outside_path}/secret")),
        file("file", "replaced"),
        opaque("absolute"),
        whiteout("absolute/secret"),
    ];
    apply_all(&root, &layer).unwrap();
    assert_eq!(tree(&outside), ["secret 600 secret".replace("600", &mode_of(&outside.join("secret")))]);
    assert_eq!(fs::read_to_string(root.join(inside).join("a")).unwrap(), "a");
    assert_eq!(fs::read_to_string(root.join(inside).join("b")).unwrap(), "b");
    assert_eq!(fs::read_to_string(root.join("file")).unwrap(), "replaced");
}

fn mode_of(path: &Path) -> String {
    format!("{:o}", fs::metadata(path).unwrap().mode() & 0o7777)
}

#[test]
fn a_hard_link_to_a_file_outside_finds_nothing() {
    let place = Place::new();
    let root = place.root("root");
    let outside = place.root("outside");
    fs::write(outside.join("secret"), "secret").unwrap();
    let layer = [link("way", &outside.display().to_string()), hard_link("mine", "way/secret")];
    assert!(error_of(&root, &layer).contains("cannot link `mine`"));
    let layer = [hard_link("mine", "../outside/secret")];
    assert!(error_of(&root, &layer).contains("holds `..`"));
    // A link to a symbolic link is a link to the link, not to where it points.
    let layer = [link("to", &outside.join("secret").display().to_string()), hard_link("mine", "to")];
    apply_all(&root, &layer).unwrap();
    assert!(fs::symlink_metadata(root.join("mine")).unwrap().is_symlink());
}

#[test]
fn what_no_honest_layer_has_is_refused() {
    let place = Place::new();
    let root = place.root("root");
    let mut misleading = Entry::directory("d", 0o755);
    misleading.metadata.xattrs.insert(b"trusted.overlay.redirect".to_vec(), b"/etc".to_vec());
    let cases = [
        (vec![file("../x", "")], "its path holds `..`"),
        (vec![file("a/../../x", "")], "its path holds `..`"),
        (vec![file("a/.wh...", "")], "it takes away no name"),
        (vec![file(".wh.", "")], "it takes away no name"),
        (vec![file("", "x")], "it would replace the root itself"),
        (vec![(misleading, "")], "would mislead an overlay mount"),
        (vec![link("l", "l"), file("l/x", "")], "cannot open `l`"),
        (vec![hard_link("a", "b"), hard_link("b", "a")], "cannot link `a`"),
        (vec![file(&"x/".repeat(2500), "")], "its path is too long"),
    ];
    for (entries, expected) in cases {
        let error = error_of(&root, &entries);
        assert!(error.contains(expected), "{error}");
    }
    assert_eq!(tree(&root), ["l -> l"]);
}

#[test]
fn what_is_no_whole_archive_is_refused() {
    let place = Place::new();
    let root = place.root("root");
    let whole = tar_of(&[file("a", "content")]);
    let refused = |tar: &[u8]| apply(tar, &root).unwrap_err().to_string();
    for n_bytes in [1, 100, 511, 513, 518, 1000] {
        assert!(refused(&whole[..n_bytes]).contains("in the middle"), "{n_bytes}");
    }
    let mut broken = whole.clone();
    broken[0] = b'b';
    assert!(refused(&broken).contains("checksum"));
    assert!(refused(&[0xff; 1024]).contains("cannot read the archive"));
    let huge = header::encode(&Entry::file("huge", 0o644, u64::MAX / 2), 0);
    assert!(refused(&huge).contains("in the middle"));
    let mut sparse = tar::Header::new_gnu();
    sparse.set_entry_type(tar::EntryType::GNUSparse);
    sparse.set_size(0);
    sparse.set_cksum();
    assert!(refused(sparse.as_bytes()).contains("sparse"));
    let mut long = tar::Header::new_gnu();
    long.set_entry_type(tar::EntryType::GNULongName);
    long.set_size(1 << 40);
    long.set_cksum();
    assert!(refused(long.as_bytes()).contains("more than"));
}

#[test]
fn an_archive_of_gnu_tar_is_understood() {
    let place = Place::new();
    let (from, root) = (place.root("from"), place.root("root"));
    fill(&from);
    for format in ["gnu", "pax"] {
        let mut command = std::process::Command::new("tar");
        command.arg("-C").arg(&from).args(["--xattrs", "--xattrs-include=*", "-cf", "-", "."]);
        command.arg(format!("--format={format}"));
        // Only PAX has a place for extended attributes.
        if format == "gnu" {
            command = std::process::Command::new("tar");
            command.arg("-C").arg(&from).args(["--format=gnu", "-cf", "-", "."]);
        }
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let at = root.join(format);
        make_root(&at).unwrap();
        apply(&output.stdout[..], &at).unwrap();
        let differences = diff::trees(Some(&from), &at).unwrap();
        let paths: Vec<_> = differences.iter().map(|change| shown(&change.path)).collect();
        match format {
            "pax" => assert_eq!(paths, [""; 0]),
            _ => assert_eq!(paths, ["tmp", "usr/bin/ping"]),
        }
    }
}

#[test]
fn a_root_that_no_layer_tells_of_is_of_1970_whatever_comes_into_it() {
    let place = Place::new();
    let root = place.root("root");
    apply_all(&root, &[file("a", "a"), directory("d"), file("d/b", "b")]).unwrap();
    assert_eq!(fs::metadata(&root).unwrap().mtime(), 0);
}

#[test]
fn directories_have_their_own_times_in_the_end() {
    let place = Place::new();
    let root = place.root("root");
    let mut dated = Entry::directory("d", 0o755);
    dated.metadata.mtime = 1234;
    apply_all(&root, &[(dated, ""), file("d/a", "a"), file("implied/x/y", "")]).unwrap();
    let mtime = |path: &str| fs::metadata(root.join(path)).unwrap().mtime();
    assert_eq!((mtime("d"), mtime("d/a"), mtime("implied"), mtime("implied/x")), (1234, 0, 0, 0));
    apply_all(&root, &[file("d/b", "b"), whiteout("d/a")]).unwrap();
    assert_eq!(mtime("d"), 1234);
}

#[test]
fn a_hard_link_may_come_before_its_file() {
    let place = Place::new();
    let root = place.root("root");
    apply_all(&root, &[hard_link("a", "b"), file("b", "b")]).unwrap();
    let inode = |path: &str| fs::metadata(root.join(path)).unwrap().ino();
    assert_eq!(inode("a"), inode("b"));
}

#[test]
fn a_package_does_not_replace_directories_nor_the_links_of_merged_usr() {
    let place = Place::new();
    let root = place.root("root");
    apply_all(&root, &[(Entry::directory("usr/lib", 0o700), ""), link("lib", "usr/lib"), directory("keep")])
        .unwrap();
    let package = tar_of(&[
        directory("./"),
        directory("./lib"),
        file("./lib/a.so", "a"),
        directory("./usr/lib"),
        link("./keep", "usr"),
        file("./.wh.lib", "a file like any other"),
    ]);
    unpack(&package[..], &root, Unpack::PACKAGE).unwrap();
    let expected =
        [".wh.lib 644 a file like any other", "keep 755/", "lib -> usr/lib", "usr 755/", "usr/lib 700/"];
    assert_eq!(tree(&root), [&expected[..], &["usr/lib/a.so 644 a"]].concat());
    let error = unpack(&tar_of(&[file("usr/lib", "")])[..], &root, Unpack::PACKAGE).unwrap_err();
    assert!(error.to_string().contains("a directory is in the way"), "{error}");
}

#[test]
fn attributes_that_a_directory_lost_are_lost() {
    let place = Place::new();
    let root = place.root("root");
    let mut noted = Entry::directory("d", 0o755);
    noted.metadata.xattrs = BTreeMap::from([(b"trusted.note".to_vec(), b"x".to_vec())]);
    apply_all(&root, &[(noted.clone(), ""), (Entry { path: b"e".to_vec(), ..noted }, "")]).unwrap();
    apply_all(&root, &[directory("d")]).unwrap();
    let has_note =
        |path: &str| rustix::fs::getxattr(root.join(path), "trusted.note", &mut [0u8; 9][..]).is_ok();
    assert!(!has_note("d") && has_note("e"));
}

#[test]
fn entries_may_be_left_out_or_put_elsewhere() {
    let place = Place::new();
    let root = place.root("root");
    let package = tar_of(&[file("etc/a.conf", "a"), file("etc/b.conf", "b"), file("usr/c", "c")]);
    let choose = &mut |entry: &mut Entry| {
        if entry.path == b"etc/a.conf" {
            entry.path.extend(b".dpkg-new");
        }
        entry.path != b"usr/c"
    };
    unpack_with(&package[..], &root, Unpack::PACKAGE, choose).unwrap();
    assert_eq!(tree(&root), ["etc 755/", "etc/a.conf.dpkg-new 644 a", "etc/b.conf 644 b"]);
    let outside = &mut |entry: &mut Entry| {
        entry.path = b"../outside".to_vec();
        true
    };
    assert!(unpack_with(&package[..], &root, Unpack::PACKAGE, outside).is_err());
}

#[test]
fn what_aufs_noted_for_itself_is_left_out() {
    let place = Place::new();
    let root = place.root("root");
    apply_all(&root, &[file(".wh..wh.aufs", ""), directory(".wh..wh.plnk"), file(".wh..wh.plnk/1.2", "")])
        .unwrap();
    assert_eq!(tree(&root), [""; 0]);
}
