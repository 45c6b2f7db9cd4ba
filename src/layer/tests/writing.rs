//! Writing layers: form, order, and bytes that depend on the content alone.

use super::*;
use std::io::Write;
use std::process::{Command, Stdio};

fn output_of(program: &str, arguments: &[&str], input: &[u8]) -> String {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .env("TZ", "UTC")
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let feeding = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    feeding.join().unwrap().unwrap();
    assert!(output.status.success(), "{program} is not content");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn gzip_and_tar_understand_what_is_written() {
    let place = Place::new();
    let mut writer = place.writer();
    let mut dated = Entry::directory("etc", 0o750);
    dated.metadata.mtime = 2_000_000_000;
    writer.entry(&dated, &mut io::empty()).unwrap();
    let mut owned = Entry::file("etc/passwd", 0o4644, 5);
    owned.metadata = Metadata { uid: 4_000_000_000, gid: 7, mtime: 60, ..owned.metadata };
    writer.entry(&owned, &mut &b"root\n"[..]).unwrap();
    writer.entry(&Entry::symlink("etc/rc", "x".repeat(101)), &mut io::empty()).unwrap();
    writer.whiteout(b"var/old").unwrap();
    let packed = writer.finish().unwrap();
    let blob = fs::read(place.store.blob_path(&packed.layer.descriptor.digest)).unwrap();
    output_of("gzip", &["-t"], &blob);
    let listing = output_of("tar", &["-tvz", "--numeric-owner"], &blob);
    let lines: Vec<String> =
        listing.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(
        lines,
        [
            "drwxr-x--- 0/0 0 2023-11-14 22:13 etc/".to_owned(),
            "-rwSr--r-- 4000000000/7 5 1970-01-01 00:01 etc/passwd".to_owned(),
            format!("lrwxrwxrwx 0/0 0 1970-01-01 00:00 etc/rc -> {}", "x".repeat(101)),
            "-rw-r--r-- 0/0 0 1970-01-01 00:00 var/.wh.old".to_owned(),
        ]
    );
    assert_eq!(crate::digest::Digest::of(place.tar_of(&packed)), packed.layer.diff_id);
    assert_eq!(packed.layer.descriptor.size, blob.len() as u64);
}

#[test]
fn the_bytes_depend_neither_on_the_number_of_threads_nor_on_the_order_of_the_directory() {
    let place = Place::new();
    let content: String = (0..200_000).map(|n: u64| (n * n).to_string()).collect();
    let digests: Vec<_> = [(1, false), (2, true), (7, false)]
        .map(|(threads, is_reversed)| {
            let root = place.root(&format!("root-{threads}"));
            let mut names = ["a", "b", "c"];
            if is_reversed {
                names.reverse();
            }
            for name in names {
                put(&root, name, &content);
            }
            let mut writer = place.writer_with(threads);
            pack(&diff::trees(None, &root).unwrap(), &root, &mut writer).unwrap();
            let packed = writer.finish().unwrap();
            assert!(packed.layer.descriptor.size > 1 << 20);
            packed.layer.descriptor.digest
        })
        .into();
    // The times of the three roots differ, but all are later than the epoch.
    assert!(digests.iter().all(|digest| *digest == digests[0]));
}

#[test]
fn an_empty_layer_is_a_layer() {
    let place = Place::new();
    let packed = place.writer().finish().unwrap();
    assert_eq!((packed.paths.len(), packed.removed.len()), (0, 0));
    assert_eq!(place.tar_of(&packed), [0; 1024]);
    apply(&place.tar_of(&packed)[..], &place.root("root")).unwrap();
}

#[test]
fn entries_out_of_order_are_an_internal_error() {
    let place = Place::new();
    let mut writer = place.writer();
    writer.entry(&Entry::directory("b", 0o755), &mut io::empty()).unwrap();
    for path in ["b", "a", ""] {
        let error = writer.entry(&Entry::directory(path, 0o755), &mut io::empty()).unwrap_err();
        assert!(error.to_string().starts_with("internal error"), "{error}");
    }
    let error = writer.entry(&Entry::directory("c/../d", 0o755), &mut io::empty()).unwrap_err();
    assert!(error.to_string().contains("no normal path"), "{error}");
}

#[test]
fn a_file_named_like_a_whiteout_is_refused_rather_than_turned_into_one() {
    let place = Place::new();
    let root = place.root("root");
    put(&root, "d/.wh.passwd", "");
    let changes = diff::trees(None, &root).unwrap();
    let error = pack(&changes, &root, &mut place.writer()).unwrap_err();
    assert!(error.to_string().contains("`d/.wh.passwd`"), "{error}");
}

#[test]
fn content_that_is_longer_or_shorter_than_announced_is_an_error() {
    let place = Place::new();
    for content in ["ab", "abcd"] {
        let mut writer = place.writer();
        let error = writer.entry(&Entry::file("f", 0o644, 3), &mut content.as_bytes()).unwrap_err();
        assert!(error.to_string().contains("its size changed"), "{error}");
    }
}

#[test]
fn packing_does_not_follow_links() {
    let place = Place::new();
    let (root, outside) = (place.root("root"), place.root("outside"));
    put(&outside, "secret", "secret");
    symlink(&outside, root.join("way")).unwrap();
    let change = diff::Change { path: b"way/secret".to_vec(), kind: diff::ChangeKind::Present };
    let error = pack(&[change], &root, &mut place.writer()).unwrap_err();
    assert!(error.to_string().contains("cannot read `way/secret`"), "{error}");
}

#[test]
fn a_change_and_a_removal_side_by_side_are_in_order() {
    let place = Place::new();
    let (before, after) = (place.root("before"), place.root("after"));
    for name in ["!a", "a", "z", "d/z"] {
        put(&before, name, "");
    }
    for name in ["!b", "b", "d/a"] {
        put(&after, name, "");
    }
    let packed = place.pack(&diff::trees(Some(&before), &after).unwrap(), &after);
    let tar = place.tar_of(&packed);
    let listing = output_of("tar", &["-t"], &tar);
    assert_eq!(
        listing.lines().collect::<Vec<_>>(),
        ["!b", ".wh.!a", ".wh.a", ".wh.z", "b", "d/", "d/.wh.z", "d/a"]
    );
    apply(&tar[..], &before).unwrap();
    assert_eq!(diff::trees(Some(&after), &before).unwrap(), []);
}
