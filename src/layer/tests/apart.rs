//! One directory a layer, seen together, is the same as all layers applied to one root. So says the kernel, too.

use super::*;

/// Unpacks each layer into a directory of its own; returns these, and which of them say the same above any others.
fn unpack_each(place: &Place, layers: &[&[(Entry, &'static str)]]) -> (Vec<PathBuf>, Vec<Standing>) {
    let (mut directories, mut standings) = (Vec::new(), Vec::new());
    for (index, entries) in layers.iter().enumerate() {
        let directory = place.root(&format!("layer-{index}"));
        let mut below = || Stack::open(&directories);
        standings.push(unpack_apart(Cursor::new(tar_of(entries)), &directory, &mut below).unwrap());
        directories.push(directory);
    }
    (directories, standings)
}

/// What the kernel shows of these directories, and of a flat one.
fn mounted(place: &Place, layers: &[PathBuf]) -> Vec<String> {
    let lowers: Vec<_> = layers.iter().rev().map(|layer| layer.display().to_string()).collect();
    let script = "mount -t overlay none -o \"lowerdir=$LOWERS,upperdir=$AT/u,workdir=$AT/w\" \"$AT/m\" && cd \"$AT/m\" && \
        find . -mindepth 1 -printf '%P %y %m %U:%G %l\\n' 2>&1 && find . -type f -exec sha256sum '{}' + 2>&1";
    for name in ["u", "w", "m"] {
        fs::create_dir_all(place.directory.path().join(name)).unwrap();
    }
    look(script, &lowers.join(":"), place.directory.path())
}

fn flat(root: &Path) -> Vec<String> {
    let script = "cd \"$AT\" && find . -mindepth 1 -printf '%P %y %m %U:%G %l\\n' && find . -type f -exec sha256sum '{}' +";
    look(script, "", root)
}

fn look(script: &str, lowers: &str, at: &Path) -> Vec<String> {
    let mut command = std::process::Command::new("unshare");
    let output =
        command.args(["-m", "sh", "-c", script]).env("LOWERS", lowers).env("AT", at).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

/// Compares both ways, and our own view of the layers with either.
fn agree(layers: &[&[(Entry, &'static str)]]) -> Vec<Standing> {
    let place = Place::new();
    let root = place.root("flat");
    for entries in layers {
        apply_all(&root, entries).unwrap();
    }
    let (directories, standings) = unpack_each(&place, layers);
    assert_eq!(mounted(&place, &directories), flat(&root), "{layers:?}");
    let stack = Stack::open(&directories).unwrap();
    assert_eq!(described(&stack), described(&Stack::open(&[root]).unwrap()), "{layers:?}");
    standings
}

fn described(stack: &Stack) -> Vec<String> {
    let mut lines = Vec::new();
    let root = stack.root().unwrap().unwrap();
    let mut describe = |node: &Node| {
        let content =
            if node.is_file() { std::io::read_to_string(node.open()?).unwrap() } else { String::new() };
        lines.push(format!("{:?} {content}", node.entry()?));
        Ok(true)
    };
    describe(&root).unwrap();
    root.walk(&mut describe).unwrap();
    lines
}

fn private(path: &str) -> (Entry, &'static str) {
    (Entry::directory(path, 0o700), "")
}

const ALONE: Standing = Standing::Alone;
const ABOVE: Standing = Standing::AboveItsOwn;

#[test]
fn what_is_gone_hidden_or_replaced_is_so_in_both_forms() {
    let base = [
        private("d"),
        file("d/kept", "1"),
        file("d/gone", "2"),
        private("e"),
        file("e/x", "3"),
        file("f", "4"),
    ];
    let cases: [&[(Entry, &'static str)]; 10] = [
        &[private("d"), whiteout("d/gone"), file("d/new", "new")],
        &[whiteout("d"), whiteout("f"), whiteout("never/there"), whiteout("never")],
        &[private("d"), opaque("d"), file("d/only", "only")],
        &[private("d"), file("d/only", "only"), whiteout("d")],
        &[whiteout("d"), private("d"), file("d/only", "only")],
        &[file("d", "a file"), directory("f"), file("f/x", "x")],
        &[file("d", "a file"), directory("d"), file("d/x", "a directory again")],
        &[link("d", "e"), whiteout("e/x")],
        &[private("n"), whiteout("n/never-there"), file("n/x", "x")],
        &[private("n"), opaque("n"), whiteout("n/x"), file("n/y", "y"), whiteout("d/gone")],
    ];
    for layer in cases {
        agree(&[&base, layer]);
    }
}

#[test]
fn what_a_layer_has_no_entry_for_is_as_it_is_below() {
    let base = [
        private("d"),
        private("d/e"),
        file("d/e/x", "x"),
        private("usr"),
        link("l", "usr"),
        link("m", "/l/n"),
    ];
    assert_eq!(agree(&[&base, &[file("d/e/y", "y")]]), [ALONE, ABOVE]);
    assert_eq!(agree(&[&base, &[private("d"), private("d/e"), file("d/e/y", "y")]]), [ALONE, ALONE]);
    agree(&[&base, &[file("l/y", "y"), file("m/deep/z", "z"), whiteout("l/none"), file("new/x", "x")]]);
    agree(&[&base, &[whiteout("d/e/x")], &[file("d/e/y", "y")], &[opaque("d"), file("d/f", "f")]]);
    agree(&[&base, &[whiteout("d"), file("d/e/y", "y")]]);
    agree(&[&base, &[private("d"), whiteout("d/e"), file("d/e/y", "y")]]);
    agree(&[&base, &[(Entry::directory("", 0o711), "")], &[file("x", "x")]]);
}

#[test]
fn hard_links_to_files_of_layers_below_bring_the_file_along() {
    let base = [private("d"), file("d/x", "x"), link("s", "d/x"), link("l", "d")];
    assert_eq!(agree(&[&base, &[hard_link("y", "d/x")]]), [ALONE, ABOVE]);
    agree(&[&base, &[hard_link("y", "l/x"), hard_link("z", "s"), hard_link("w", "y")]]);
    agree(&[&base, &[hard_link("y", "d/x"), whiteout("d/x")]]);
    agree(&[&base, &[hard_link("a", "b"), file("b", "b")]]);
    agree(&[&base, &[hard_link("a", "l/later"), file("l/later", "later")]]);
    let place = Place::new();
    let (directories, _) = unpack_each(&place, &[&base, &[hard_link("y", "d/x")]]);
    let inode = |path: &str| fs::metadata(directories[1].join(path)).unwrap().ino();
    assert_eq!(inode("y"), inode("d/x"));
    for (entries, reason) in
        [(hard_link("a", "none"), "cannot link `a`"), (hard_link("a", "d"), "cannot link `d`")]
    {
        let at = place.root(reason);
        let mut below = || Stack::open(&directories);
        let error = unpack_apart(Cursor::new(tar_of(&[entries])), &at, &mut below).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
}

#[test]
fn the_root_of_all_is_hidden_name_by_name() {
    let base = [private("d"), file("d/x", "x"), file("f", "f")];
    agree(&[&base, &[opaque(""), file("only", "only")]]);
    agree(&[&base, &[file("d/y", "y"), private("d"), opaque("")]]);
}

#[test]
fn a_root_that_a_layer_says_nothing_of_is_as_it_is_below() {
    let place = Place::new();
    let (directories, _) = unpack_each(&place, &[&[(Entry::directory("", 0o750), "")], &[file("x", "x")]]);
    let stack = Stack::open(&directories).unwrap();
    let upper = place.directory.path().join("upper");
    stack.make_upper(&upper).unwrap();
    assert_eq!(fs::metadata(&upper).unwrap().mode() & 0o7777, 0o750);
    assert_eq!(diff::overlay(&stack, &upper).unwrap(), []);
}

#[test]
fn a_device_that_a_mount_would_take_for_a_whiteout_is_refused() {
    let place = Place::new();
    let mut device = Entry::file("dev/x", 0o600, 0);
    device.kind = Kind::CharDevice { major: 0, minor: 0 };
    let at = place.root("at");
    let mut below = || Stack::open(&[] as &[PathBuf]);
    let error = unpack_apart(Cursor::new(tar_of(&[(device, "")])), &at, &mut below).unwrap_err();
    assert!(error.to_string().contains("a device 0:0"), "{error}");
}

/// Whatever layers come in whatever order, within what one archive can sensibly say.
#[test]
fn layers_made_at_random_are_the_same_in_both_forms() {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move |n: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % n
    };
    let paths = ["a", "b", "a/x", "a/y", "b/x", "a/x/p", "a/y/q", "b/x/p"];
    let mut n_compared = 0;
    for _ in 0..150 {
        let mut layers = Vec::new();
        for _ in 0..3 {
            let mut layer = Vec::new();
            for path in paths {
                match random(9) {
                    0 | 1 => layer.push(private(path)),
                    2 => layer.push(whiteout(path)),
                    3 => layer.extend([private(path), opaque(path)]),
                    4 if !path.contains('/') => layer.push(file(path, "file")),
                    4 => layer.push(file(path, "other file")),
                    5 if path.contains("/x") => layer.push(link(path, "/b")),
                    _ => {}
                }
            }
            layers.push(layer);
        }
        let place = Place::new();
        // What lies below a file or goes round in circles is refused in either form.
        let root = place.root("flat");
        if layers.iter().all(|layer| apply_all(&root, layer).is_ok()) {
            agree(&layers.iter().map(Vec::as_slice).collect::<Vec<_>>());
            n_compared += 1;
        }
    }
    assert!(n_compared > 20, "only {n_compared} of them can be unpacked");
}
