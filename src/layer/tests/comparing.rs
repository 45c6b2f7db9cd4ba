//! Finding what differs between two states of a root.

use super::*;
use diff::ChangeKind;

fn shown_changes(changes: &[diff::Change]) -> Vec<String> {
    let mark = |kind| match kind {
        ChangeKind::Present => '+',
        ChangeKind::Removed => '-',
    };
    changes.iter().map(|change| format!("{}{}", mark(change.kind), shown(&change.path))).collect()
}

fn copy(from: &Path, to: &Path) {
    let place = Place::new();
    let packed = place.pack(&diff::trees(None, from).unwrap(), from);
    apply(&place.tar_of(&packed)[..], to).unwrap();
}

#[test]
fn what_was_packed_and_applied_is_the_same_again() {
    let place = Place::new();
    let (from, to) = (place.root("from"), place.root("to"));
    fill(&from);
    let packed = place.pack(&diff::trees(None, &from).unwrap(), &from);
    apply(&place.tar_of(&packed)[..], &to).unwrap();
    assert_eq!(diff::trees(Some(&from), &to).unwrap(), []);
    let inode = |path: &str| fs::metadata(to.join(path)).unwrap().ino();
    assert_eq!(inode("usr/bin/su"), inode("usr/bin/a-link-to-su"));
    assert_eq!(packed.paths.len() + packed.removed.len(), 20);
}

#[test]
fn only_what_differs_is_a_change_and_time_does_not_count() {
    let place = Place::new();
    let (before, after) = (place.root("before"), place.root("after"));
    fill(&before);
    copy(&before, &after);
    put(&after, "empty", "");
    put(&after, "etc/passwd", "root:x:0:1\n");
    fs::set_permissions(after.join("tmp"), fs::Permissions::from_mode(0o777)).unwrap();
    set_xattr(&after.join("usr/bin/ping"), "security.capability", &{
        let mut value = CAPABILITY;
        value[5] = 1;
        value
    });
    fs::remove_dir_all(after.join("deep")).unwrap();
    fs::remove_file(after.join("bin")).unwrap();
    symlink("usr/sbin", after.join("bin")).unwrap();
    fs::remove_file(after.join("dev/null")).unwrap();
    make_node(&after.join("dev/null"), FileType::CharacterDevice, 0o666, (1, 5));
    std::os::unix::net::UnixListener::bind(after.join("socket")).unwrap();
    fs::create_dir(after.join("new")).unwrap();
    let changes = diff::trees(Some(&before), &after).unwrap();
    let expected = ["+bin", "-deep", "+dev/null", "+etc/passwd", "+new", "+tmp", "+usr/bin/ping"];
    assert_eq!(shown_changes(&changes), expected);

    let packed = place.pack(&changes, &after);
    apply(&place.tar_of(&packed)[..], &before).unwrap();
    assert_eq!(diff::trees(Some(&after), &before).unwrap(), []);
}

#[test]
fn a_directory_that_became_a_file_and_the_other_way_round() {
    let place = Place::new();
    let (before, after) = (place.root("before"), place.root("after"));
    put(&before, "a/x", "x");
    put(&before, "b", "b");
    put(&after, "a", "a");
    put(&after, "b/x", "x");
    let changes = diff::trees(Some(&before), &after).unwrap();
    assert_eq!(shown_changes(&changes), ["+a", "+b", "+b/x"]);
    let packed = place.pack(&changes, &after);
    apply(&place.tar_of(&packed)[..], &before).unwrap();
    assert_eq!(diff::trees(Some(&after), &before).unwrap(), []);
}

/// As the kernel's overlay mount writes it: devices 0:0 for what is gone, an attribute on opaque directories.
#[test]
fn an_overlay_s_upper_directory_is_compared_with_what_lies_below() {
    let place = Place::new();
    let (lower, upper) = (place.root("lower"), place.root("upper"));
    for path in
        ["kept/same", "kept/gone", "kept/changed", "again/same", "again/lost", "again/sub/lost", "whole/x"]
    {
        put(&lower, path, path);
    }
    // Copied up, unchanged.
    put(&upper, "kept/same", "kept/same");
    put(&upper, "kept/changed", "changed");
    make_node(&upper.join("kept/gone"), FileType::CharacterDevice, 0, (0, 0));
    make_node(&upper.join("kept/never-there"), FileType::CharacterDevice, 0, (0, 0));
    make_node(&upper.join("whole"), FileType::CharacterDevice, 0, (0, 0));
    // Removed and made again, with one file as before.
    put(&upper, "again/same", "again/same");
    fs::create_dir(upper.join("again/sub")).unwrap();
    set_xattr(&upper.join("again"), "trusted.overlay.opaque", b"y");
    set_xattr(&upper, "trusted.overlay.impure", b"y");
    put(&upper, "new/x", "x");
    let changes = diff::overlay(&Stack::open(&[&lower]).unwrap(), &upper).unwrap();
    let expected =
        ["-again/lost", "-again/sub/lost", "+kept/changed", "-kept/gone", "+new", "+new/x", "-whole"];
    assert_eq!(shown_changes(&changes), expected);
}

#[test]
fn the_root_s_own_mode_is_a_change_only_where_there_was_a_root() {
    let place = Place::new();
    let (before, after) = (place.root("before"), place.root("after"));
    fs::set_permissions(&after, fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(diff::trees(None, &after).unwrap(), []);
    let changes = diff::trees(Some(&before), &after).unwrap();
    assert_eq!(shown_changes(&changes), ["+/"]);
    let packed = place.pack(&changes, &after);
    apply(&place.tar_of(&packed)[..], &before).unwrap();
    assert_eq!(fs::metadata(&before).unwrap().mode() & 0o7777, 0o700);
}

#[test]
fn of_a_file_with_a_new_name_the_old_ones_are_packed_too() {
    let place = Place::new();
    let (lower, upper) = (place.root("lower"), place.root("upper"));
    put(&lower, "b", "same");
    put(&upper, "b", "same");
    put(&lower, "a", "other");
    put(&upper, "a", "other");
    fs::hard_link(upper.join("b"), upper.join("c")).unwrap();
    fs::hard_link(upper.join("b"), upper.join("d")).unwrap();
    let changes = diff::overlay(&Stack::open(&[&lower]).unwrap(), &upper).unwrap();
    assert_eq!(shown_changes(&changes), ["+b", "+c", "+d"]);
    let packed = place.pack(&changes, &upper);
    let mut seen = Vec::new();
    scan(&place.tar_of(&packed)[..], &mut |entry, _| {
        seen.push(entry.kind.clone());
        Ok(())
    })
    .unwrap();
    assert_eq!(
        seen,
        [
            Kind::File { size: 4 },
            Kind::Hardlink { target: b"b".to_vec() },
            Kind::Hardlink { target: b"b".to_vec() }
        ]
    );
}

#[test]
fn what_did_not_change_is_taken_out_of_an_upper_directory() {
    let place = Place::new();
    let (lower, upper) = (place.root("lower"), place.root("upper"));
    for path in ["kept/same", "kept/sub/same", "kept/gone", "touched/x", "again/same", "again/lost"] {
        put(&lower, path, path);
    }
    put(&upper, "kept/same", "kept/same");
    put(&upper, "kept/sub/same", "kept/sub/same");
    put(&upper, "kept/new", "new");
    make_node(&upper.join("kept/gone"), FileType::CharacterDevice, 0, (0, 0));
    make_node(&upper.join("kept/never-there"), FileType::CharacterDevice, 0, (0, 0));
    put(&upper, "touched/x", "touched/x");
    std::os::unix::net::UnixListener::bind(upper.join("socket")).unwrap();
    let below = Stack::open(&[&lower]).unwrap();
    let changes = diff::overlay(&below, &upper).unwrap();
    assert_eq!(trim(&changes, &upper).unwrap(), Standing::Alone);
    assert_eq!(tree(&upper), ["kept 755/", "kept/gone 20000 special", "kept/new 644 new"]);
    assert_eq!(diff::overlay(&below, &upper).unwrap(), changes);

    put(&upper, "again/same", "again/same");
    set_xattr(&upper.join("again"), "trusted.overlay.opaque", b"y");
    let changes = diff::overlay(&below, &upper).unwrap();
    assert_eq!(trim(&changes, &upper).unwrap(), Standing::AboveItsOwn);
    assert_eq!(diff::overlay(&below, &upper).unwrap(), changes);
    assert!(upper.join("again/same").exists());
}
