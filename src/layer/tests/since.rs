//! Changes found in a plain copy of layers are those that an overlay mount on them would have kept.

use super::*;
use diff::{Change, ChangeKind, Since};

const NONE: BTreeSet<Vec<u8>> = BTreeSet::new();

/// What lies below, a copy of it, and what the copy looked like.
struct Copied {
    place: Place,
    lower: PathBuf,
    copy: PathBuf,
    snapshot: Snapshot,
}

impl Copied {
    fn of(fill: impl Fn(&Path)) -> Copied {
        Copied::apart(fill, &NONE)
    }

    fn apart(fill: impl Fn(&Path), apart: &BTreeSet<Vec<u8>>) -> Copied {
        let place = Place::new();
        let lower = place.root("lower");
        fill(&lower);
        let copy = place.directory.path().join("copy");
        copy_out(&Stack::open(&[&lower]).unwrap().root().unwrap().unwrap(), &copy, apart).unwrap();
        let snapshot = Snapshot::take(&copy).unwrap();
        Copied { place, lower, copy, snapshot }
    }

    fn below(&self) -> Stack {
        Stack::open(&[&self.lower]).unwrap()
    }

    fn since(&self) -> Since {
        diff::since(&self.snapshot, &self.below(), &self.copy).unwrap()
    }

    fn upper(&self, changes: &[Change]) -> PathBuf {
        let upper = self.place.directory.path().join("upper");
        let _ = fs::remove_dir_all(&upper);
        self.below().make_upper(&upper).unwrap();
        bring(changes, &self.copy, &upper).unwrap();
        upper
    }
}

fn shown_changes(changes: &[Change]) -> Vec<String> {
    let mark = |kind| if kind == ChangeKind::Present { '+' } else { '-' };
    changes.iter().map(|change| format!("{}{}", mark(change.kind), shown(&change.path))).collect()
}

fn shell(script: &str, at: &Path) {
    let output = std::process::Command::new("sh").args(["-ec", script]).current_dir(at).output().unwrap();
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Runs a script in an overlay mount above `lower`; returns its upper directory.
fn in_overlay(place: &Place, lower: &Path, script: &str) -> PathBuf {
    let at = place.directory.path();
    fs::create_dir(at.join("work")).unwrap();
    fs::create_dir(at.join("merged")).unwrap();
    Stack::open(&[lower]).unwrap().make_upper(&at.join("mounted")).unwrap();
    let mount = format!(
        "mount -t overlay none -o lowerdir={},upperdir=mounted,workdir=work merged; cd merged; {script}",
        lower.display()
    );
    let status =
        std::process::Command::new("unshare").args(["-m", "sh", "-ec", &mount]).current_dir(at).status();
    assert!(status.unwrap().success(), "{script}");
    at.join("mounted")
}

/// A root with what scripts below change.
fn fill_for_scripts(root: &Path) {
    fill(root);
    for path in ["d/x", "d/y", "d/sub/z", "e/x", "f", "g"] {
        put(root, path, path);
        let file = fs::File::open(root.join(path)).unwrap();
        file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_500_000_000)).unwrap();
    }
    for (name, other) in [("one", "d/one"), ("two", "d/two")] {
        put(root, name, name);
        fs::hard_link(root.join(name), root.join(other)).unwrap();
    }
}

/// The same bytes come out of a mount and of a copy, whatever was done; and the copy is then as the layers are, unless
/// names went apart that are those of one file there.
#[test]
fn a_copy_yields_the_same_layer_as_a_mount() {
    let scripts = [
        "true",
        "echo changed > d/x; rm d/y; mkdir new; echo n > new/n; chmod 700 e; ln -s x e/link",
        "rm -r d; mkdir d; echo other > d/other",
        "rm -r d; echo d > d; rm f; mkdir f; echo f > f/f",
        "cp -a d copied; rm -r e; mkfifo pipe; mknod node c 7 7",
        "echo g > g; touch f; cp -p d/x t; mv t d/x; touch d; echo t > e/t; rm e/t",
        "cp -a d moved; rm -r d; mv moved d",
        "ln f linked; ln g d/linked; chown 5:6 e/x; chmod 4755 e/x",
        "setcap cap_net_raw+ep f || true; chmod 711 .; rm -r deep",
        "rm one; rm d/two; echo x > x; ln x y; ln x d/z",
        "mv f z; rmdir d/sub || mv d/sub/z d/z; rmdir d/sub; rm tmp -r",
        "touch -d 2001-01-01 e/x; chmod 600 e/x; touch -d 2001-01-01 old",
    ];
    for script in scripts {
        let copied = Copied::of(fill_for_scripts);
        let mounted = in_overlay(&copied.place, &copied.lower, script);
        shell(script, &copied.copy);
        let since = copied.since();
        assert_eq!(since.unclear, NONE, "{script}");
        let expected = diff::overlay(&copied.below(), &mounted).unwrap();
        assert_eq!(shown_changes(&since.changes), shown_changes(&expected), "{script}");
        let upper = copied.upper(&since.changes);
        assert_eq!(diff::overlay(&copied.below(), &upper).unwrap(), expected, "{script}");
        let packed = copied.place.pack(&since.changes, &upper);
        assert_eq!(packed.layer, copied.place.pack(&expected, &mounted).layer, "{script}");
        trim(&since.changes, &upper).unwrap();
        let has_lost_links = script.starts_with("cp -a d moved");
        assert_eq!(since.settle(&copied.copy, &copied.below()).unwrap(), !has_lost_links, "{script}");
        let after = Stack::open(&[&copied.lower, &upper]).unwrap();
        let again = diff::since(&Snapshot::take(&copied.copy).unwrap(), &after, &copied.copy).unwrap();
        assert_eq!(shown_changes(&again.changes), [""; 0], "{script}");
    }
}

/// Which of its names a file was changed through can't be told; without links it can.
#[test]
fn where_one_of_several_names_was_changed_it_is_found_once_they_are_apart() {
    let unclear = [
        "echo x >> one",
        "chmod 600 one",
        "ln one three",
        "mv one three",
        "chown -R 5 d; chown 5 one",
        "rm one; chmod 600 d/one",
    ];
    for script in unclear {
        let copied = Copied::of(fill_for_scripts);
        shell(script, &copied.copy);
        let since = copied.since();
        assert!(since.unclear.contains(&b"one"[..]) && since.unclear.contains(&b"d/one"[..]), "{script}");
        assert!(!since.settle(&copied.copy, &copied.below()).unwrap(), "{script}");

        let apart = Copied::apart(fill_for_scripts, &since.unclear);
        let mounted = in_overlay(&apart.place, &apart.lower, script);
        shell(script, &apart.copy);
        let since = apart.since();
        let again = since.unclear.iter().find(|path| ["one", "d/one"].map(str::as_bytes).contains(&&***path));
        assert_eq!(again, None, "{script}");
        if since.unclear.is_empty() {
            let expected = diff::overlay(&apart.below(), &mounted).unwrap();
            let packed = apart.place.pack(&since.changes, &apart.upper(&since.changes));
            assert_eq!(packed.layer, apart.place.pack(&expected, &mounted).layer, "{script}");
        }
    }
}

#[test]
fn what_was_only_touched_has_its_time_back_and_sockets_go() {
    let copied = Copied::of(fill_for_scripts);
    shell("touch d/x d; touch e/t; rm e/t; cp -p f t; mv t f", &copied.copy);
    std::os::unix::net::UnixListener::bind(copied.copy.join("e/socket")).unwrap();
    let since = copied.since();
    assert_eq!(since.changes, []);
    assert!(since.settle(&copied.copy, &copied.below()).unwrap());
    assert!(!copied.copy.join("e/socket").exists());
    for path in ["d/x", "d", "e", "f"] {
        let time = |root: &Path| fs::metadata(root.join(path)).unwrap().modified().unwrap();
        assert_eq!(time(&copied.copy), time(&copied.lower), "{path}");
    }
}

/// Within one tick of the clock nothing but the content differs.
#[test]
fn what_changes_as_soon_as_the_snapshot_is_taken_is_found() {
    for n in 0..20 {
        let place = Place::new();
        let (lower, copy) = (place.root("lower"), place.root("copy"));
        put(&lower, "x", "0");
        put(&copy, "x", "0");
        let snapshot = Snapshot::take(&copy).unwrap();
        use std::io::Write;
        fs::File::options().write(true).open(copy.join("x")).unwrap().write_all(b"1").unwrap();
        let since = diff::since(&snapshot, &Stack::open(&[&lower]).unwrap(), &copy).unwrap();
        assert_eq!(shown_changes(&since.changes), ["+x"], "try {n}");
    }
}

#[test]
fn what_may_not_be_written_is_checked_to_be_as_it_was() {
    let cases = [
        ("true", None),
        ("mv x t; mv t x", Some("x")),
        ("echo > sub/new", Some("sub/new")),
        ("rm sub/z", Some("sub/z")),
        ("chmod 600 y", Some("y")),
        ("touch sub", Some("sub")),
        ("mkdir -p sub/stub; touch -r x sub/stub; rmdir sub/stub; touch -d @1500000000 sub", None),
    ];
    for (script, expected) in cases {
        let copied = Copied::of(fill_for_scripts);
        shell("touch -d @1500000000 d/sub", &copied.copy);
        let snapshot = Snapshot::take(&copied.copy.join("d")).unwrap();
        shell("mv d elsewhere", &copied.copy);
        shell(script, &copied.copy.join("elsewhere"));
        let touched = snapshot.first_touched(&copied.copy.join("elsewhere")).unwrap();
        assert_eq!(touched.as_deref(), expected.map(str::as_bytes), "{script}");
    }
}

/// Run it by name, optimized, with `--ignored --nocapture`; the tree is some 40,000 files in 1 GB.
#[test]
#[ignore = "it measures"]
fn how_long_an_unchanged_root_takes() {
    let fill = |root: &Path| {
        for n in 0..400 {
            let directory = root.join(format!("{}/{n}", n % 20));
            fs::create_dir_all(&directory).unwrap();
            (0..100).for_each(|m| fs::write(directory.join(m.to_string()), vec![0; 26_000]).unwrap());
        }
    };
    let copied = Copied::of(fill);
    let again = copied.place.directory.path().join("again");
    let start = std::time::Instant::now();
    copy_out(&copied.below().root().unwrap().unwrap(), &again, &NONE).unwrap();
    eprintln!("a copy: {:?}", start.elapsed());
    std::thread::sleep(std::time::Duration::from_millis(100));
    let start = std::time::Instant::now();
    let snapshot = Snapshot::take(&copied.copy).unwrap();
    eprintln!("a snapshot: {:?}", start.elapsed());
    let start = std::time::Instant::now();
    let since = diff::since(&snapshot, &copied.below(), &copied.copy).unwrap();
    eprintln!("the diff: {:?}", start.elapsed());
    assert_eq!(since.changes, []);
}
