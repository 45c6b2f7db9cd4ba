//! In a user namespace no device can be made and not every attribute set; layers come out the same.

use std::io::Write;
use std::process::{Command, Stdio};

use super::*;

/// Names the directory to work in, for who is in a user namespace.
const INSIDE: &str = "ESTALEIRO_TEST_IN_USER_NAMESPACE";
/// The number that root has outside.
const ROOT: u32 = 4_294_967_294;

/// An archive with what can't be made there.
fn base() -> Vec<u8> {
    let device = |path: &str, kind: Kind| {
        let mut entry = Entry::file(path, 0o620, 0);
        (entry.kind, entry.metadata.gid) = (kind, 5);
        (entry, "")
    };
    let with = |path: &str, name: &str, value: &[u8]| {
        let (mut entry, content) = file(path, "content");
        entry.metadata.xattrs.insert(name.into(), value.into());
        (entry, content)
    };
    let mut noted = directory("noted");
    noted.0.metadata.xattrs.insert(b"trusted.note".to_vec(), b"\n\0".to_vec());
    tar_of(&[
        directory("d"),
        device("d/null", Kind::CharDevice { major: 1, minor: 3 }),
        device("d/disk", Kind::BlockDevice { major: 259, minor: 70_000 }),
        device("d/kept", Kind::CharDevice { major: 5, minor: 1 }),
        device("d/pipe", Kind::Fifo),
        file("d/empty", ""),
        with("d/ima", "security.ima", b"\x03\0x"),
        with("d/ping", "security.capability", &CAPABILITY),
        noted,
        file("noted/gone", "x"),
    ])
}

/// Changes a copy of the base's layer, and returns what came of it at each step.
fn work(at: &Path) -> Vec<String> {
    let (lower, copy, upper) = (at.join("lower"), at.join("copy"), at.join("upper"));
    make_root(&lower).unwrap();
    let store = Store::open(at.join("state")).unwrap();
    unpack_apart(&base()[..], &lower, &mut || Stack::open(&[] as &[&Path])).unwrap();
    let below = Stack::open(&[&lower]).unwrap();
    copy_out(&below.root().unwrap().unwrap(), &copy, &BTreeSet::new()).unwrap();
    let snapshot = Snapshot::take(&copy).unwrap();
    let nothing = diff::since(&snapshot, &below, &copy).unwrap().changes;
    fs::set_permissions(copy.join("d/null"), fs::Permissions::from_mode(0o666)).unwrap();
    fs::rename(copy.join("d/disk"), copy.join("d/other")).unwrap();
    fs::remove_file(copy.join("noted/gone")).unwrap();
    fs::set_permissions(copy.join("d/ping"), fs::Permissions::from_mode(0o711)).unwrap();
    put(&copy, "d/ima", "changed");
    let since = diff::since(&snapshot, &below, &copy).unwrap();
    below.make_upper(&upper).unwrap();
    bring(&since.changes, &copy, &upper).unwrap();
    let changes = diff::overlay(&below, &upper).unwrap();
    assert_eq!(changes, since.changes);
    let pack = |changes: &[diff::Change], directory: &Path| {
        let options = Options { epoch: 0, threads: 1, compression: Compression::Gzip(1) };
        let mut writer = LayerWriter::new(store.blob_writer().unwrap(), options).unwrap();
        pack(changes, directory, &mut writer).unwrap();
        writer.finish().unwrap().layer.descriptor.digest.to_string()
    };
    let whole = pack(&diff::trees(None, &lower).unwrap(), &lower);
    let changed = pack(&changes, &upper);
    trim(&changes, &upper).unwrap();
    let stack = Stack::open(&[&lower, &upper]).unwrap();
    let mut lines = vec![format!("{nothing:?}"), whole, changed, format!("{changes:?}")];
    stack
        .root()
        .unwrap()
        .unwrap()
        .walk(&mut |node| {
            let entry = node.entry()?;
            lines.push(format!("{} {:?} {:?}", shown(&entry.path), entry.kind, entry.metadata));
            Ok(true)
        })
        .unwrap();
    lines
}

/// Runs the test again in a user namespace where `at` belongs to root.
fn in_user_namespace(at: &Path, test: &str) -> String {
    std::os::unix::fs::chown(at, Some(ROOT), Some(ROOT)).unwrap();
    let mut waiting = Command::new("unshare")
        .args([
            "--user",
            "--keep-caps",
            "sh",
            "-c",
            "read go; exec setpriv --reuid=0 --regid=0 --clear-groups \"$@\"",
            "sh",
        ])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, at)
        .env("TMPDIR", at)
        .current_dir(at)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let maps = format!("0 {ROOT} 1\n1 1 {}\n", ROOT - 1);
    let process = PathBuf::from(format!("/proc/{}", waiting.id()));
    let own = fs::read_link("/proc/self/ns/user").unwrap();
    while fs::read_link(process.join("ns/user")).unwrap() == own {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    for map in ["uid_map", "gid_map"] {
        fs::write(process.join(map), &maps).unwrap();
    }
    waiting.stdin.take().unwrap().write_all(b"\n").unwrap();
    let output = waiting.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

#[test]
fn a_layer_is_the_same_where_devices_and_attributes_can_only_be_noted() {
    if let Some(at) = std::env::var_os(INSIDE) {
        fs::write(Path::new(&at).join("shown"), work(Path::new(&at)).join("\n")).unwrap();
        return;
    }
    let place = tempfile::tempdir().unwrap();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let (outside, inside) = (place.path().join("outside"), place.path().join("inside"));
    fs::create_dir(&outside).unwrap();
    fs::create_dir(&inside).unwrap();
    let name = "layer::tests::lesser::a_layer_is_the_same_where_devices_and_attributes_can_only_be_noted";
    in_user_namespace(&inside, name);
    let expected = work(&outside);
    let shown = fs::read_to_string(inside.join("shown")).unwrap();
    assert_eq!(shown.lines().collect::<Vec<_>>(), expected);
    // It was a user namespace.
    assert!(fs::symlink_metadata(inside.join("lower/d/null")).unwrap().is_file());
    assert!(!fs::symlink_metadata(outside.join("lower/d/null")).unwrap().is_file());
}
