//! Skeletons: what a copy knows of a root without having its bytes.

use super::*;

fn skeleton_of(layers: &[&[(Entry, &str)]]) -> Skeleton {
    let mut skeleton = Skeleton::default();
    for layer in layers {
        let delta = scan(&tar_of(layer)[..], &mut |_, _| Ok(())).unwrap();
        let effective = delta.against(&skeleton).unwrap();
        let mut other = skeleton.clone();
        skeleton.apply(&delta).unwrap();
        other.apply(&effective).unwrap();
        assert_eq!(skeleton, other, "what makes no difference makes no difference");
    }
    skeleton
}

fn resolved(skeleton: &Skeleton, path: &str) -> (String, Vec<String>, Found) {
    let Resolved { path, missing, found } = skeleton.resolve(path.as_bytes()).unwrap();
    (String::from_utf8(path).unwrap(), missing.iter().map(|path| shown(path)).collect(), found)
}

fn directory_found(mode: u32) -> Found {
    Found::Directory { mode, uid: 0, gid: 0 }
}

#[test]
fn paths_lead_where_they_would_lead_in_the_root() {
    let base = [
        directory("usr/bin"),
        link("bin", "usr/bin"),
        link("abs", "/bin"),
        link("up", "../../usr"),
        file("f", ""),
    ];
    let skeleton = skeleton_of(&[&base]);
    assert_eq!(resolved(&skeleton, "bin/sh"), ("usr/bin/sh".into(), vec![], Found::Other));
    assert_eq!(resolved(&skeleton, "/abs/sh").0, "usr/bin/sh");
    assert_eq!(resolved(&skeleton, "up/bin").0, "usr/bin");
    assert_eq!(resolved(&skeleton, "up/bin").2, directory_found(0o755));
    assert_eq!(resolved(&skeleton, "bin").2, Found::Symlink { target: b"usr/bin".to_vec() });
    assert_eq!(resolved(&skeleton, "bin/").2, Found::Symlink { target: b"usr/bin".to_vec() });
    assert_eq!(
        resolved(&skeleton, "opt/a/b"),
        ("opt/a/b".into(), vec!["opt".into(), "opt/a".into()], Found::Other)
    );
    assert_eq!(resolved(&skeleton, "/"), (String::new(), vec![], directory_found(0o755)));
    assert_eq!(skeleton.follow(b"abs").unwrap().path, b"usr/bin");
    assert_eq!(skeleton.follow(b"opt/new").unwrap().missing, [b"opt".to_vec()]);
    assert_eq!(skeleton.follow(b"opt/new").unwrap().found, Found::Other);
}

#[test]
fn links_in_a_circle_are_an_error() {
    let skeleton = skeleton_of(&[&[link("a", "b"), link("b", "a")]]);
    assert!(skeleton.resolve(b"a/x").unwrap_err().to_string().contains("too many symbolic links"));
}

#[test]
fn later_layers_remove_replace_and_hide() {
    let base = [
        directory("a/x/y"),
        directory("b/x"),
        directory("c/x"),
        directory("cc"),
        link("l", "a"),
        directory("d/x"),
    ];
    let next = [
        whiteout("a/x"),
        file("b", ""),
        opaque("c"),
        directory("c/z"),
        (Entry::directory("d", 0o700), ""),
        directory("l"),
    ];
    let skeleton = skeleton_of(&[&base, &next]);
    for gone in ["a/x", "a/x/y", "b", "b/x", "c/x"] {
        assert_eq!(resolved(&skeleton, gone).2, Found::Other, "{gone}");
    }
    for here in ["a", "c/z", "cc", "l", "d/x"] {
        assert_eq!(resolved(&skeleton, here).2, directory_found(0o755), "{here}");
    }
    assert_eq!(resolved(&skeleton, "d").2, directory_found(0o700));
}

#[test]
fn a_layer_that_goes_through_a_link_of_the_layer_below_is_put_where_the_link_leads() {
    let skeleton = skeleton_of(&[&[directory("usr/lib"), link("lib", "usr/lib")], &[file("lib/a/b.so", "")]]);
    assert_eq!(resolved(&skeleton, "usr/lib/a").2, directory_found(0o755));
    assert_eq!(resolved(&skeleton, "lib").2, Found::Symlink { target: b"usr/lib".to_vec() });
}

#[test]
fn what_is_written_tells_the_same_as_what_is_read() {
    let place = Place::new();
    let root = place.root("root");
    fill(&root);
    let packed = place.pack(&diff::trees(None, &root).unwrap(), &root);
    let scanned = scan(&place.tar_of(&packed)[..], &mut |_, _| Ok(())).unwrap();
    assert_eq!(packed.skeleton, scanned);
}

#[test]
fn a_skeleton_is_short_in_json_and_survives_it() {
    let layer = [
        directory("usr"),
        directory("usr/100%"),
        (Entry::directory("tmp", 0o1777), ""),
        link("bin", "usr/bin"),
    ];
    let skeleton = skeleton_of(&[&layer]);
    let json = serde_json::to_string(&skeleton).unwrap();
    let expected =
        r#"{"directories":{"1777:0:0":["tmp"],"755:0:0":["usr","usr/100%25"]},"symlinks":{"bin":"usr/bin"}}"#;
    assert_eq!(json, expected);
    assert_eq!(serde_json::from_str::<Skeleton>(&json).unwrap(), skeleton);
    let delta =
        scan(&tar_of(&[whiteout("a"), opaque("b"), file("c", ""), directory("d")])[..], &mut |_, _| Ok(()))
            .unwrap();
    let json = serde_json::to_string(&delta).unwrap();
    assert_eq!(json, r#"{"cleared":["b"],"removed":["a"],"others":["c"],"directories":{"755:0:0":["d"]}}"#);
    assert_eq!(serde_json::from_str::<SkeletonDelta>(&json).unwrap(), delta);
}

#[test]
fn a_scan_shows_each_entry_with_its_content() {
    let tar = tar_of(&[directory("a"), file("a/b", "content"), whiteout("c"), file("d", "unread")]);
    let mut seen = Vec::new();
    scan(&tar[..], &mut |entry, content| {
        let mut text = String::new();
        if entry.path != b"d" {
            content.read_to_string(&mut text)?;
        }
        seen.push(format!("{} {text}", shown(&entry.path)));
        Ok(())
    })
    .unwrap();
    assert_eq!(seen, ["a ", "a/b content", "d "]);
}

#[test]
fn names_of_users_and_groups_follow_the_last_list_and_go_with_it() {
    let lists = [file("etc/group", "mail:x:8:\n"), file("etc/passwd", "app:x:7:8::/:\n")];
    let skeleton = skeleton_of(&[&lists]);
    assert_eq!((skeleton.user("app"), skeleton.group("mail")), (Some((7, 8)), Some(8)));
    assert_eq!((skeleton.user("mail"), skeleton.group("app")), (None, None));

    let later = skeleton_of(&[&lists, &[file("etc/passwd", "other:x:9:9::/:\n")]]);
    assert_eq!((later.user("app"), later.user("other"), later.group("mail")), (None, Some((9, 9)), Some(8)));
    for gone in
        [file("etc/.wh.passwd", ""), file(".wh.etc", ""), link("etc", "elsewhere"), directory("etc/passwd")]
    {
        assert_eq!(skeleton_of(&[&lists, &[gone]]).user("app"), None);
    }
}

#[test]
fn a_skeleton_survives_its_record_with_the_names() {
    let skeleton = skeleton_of(&[&[directory("usr"), file("etc/passwd", "app:x:7:8::/:\n")]]);
    let text = serde_json::to_string(&skeleton).unwrap();
    assert_eq!(serde_json::from_str::<Skeleton>(&text).unwrap(), skeleton);
    assert!(!text.contains('x'), "no password field is kept: {text}");
}
