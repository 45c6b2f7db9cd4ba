//! Several layers seen as one root, and one layer in a directory of its own.

use super::*;

/// Layers as the kernel writes them: names that are gone as devices 0:0, an attribute on what hides.
fn layers(place: &Place) -> Vec<PathBuf> {
    let (low, high) = (place.root("low"), place.root("high"));
    for path in ["etc/kept", "etc/gone", "etc/changed", "opt/old/x", "replaced/x", "file", "usr/bin/tool"] {
        put(&low, path, path);
    }
    put(&high, "etc/changed", "changed");
    put(&high, "etc/added", "added");
    make_node(&high.join("etc/gone"), FileType::CharacterDevice, 0, (0, 0));
    put(&high, "opt/new/x", "new");
    set_xattr(&high.join("opt"), "trusted.overlay.opaque", b"y");
    put(&high, "replaced", "a file now");
    put(&high, "file/x", "a directory now");
    std::os::unix::net::UnixListener::bind(high.join("usr-socket")).unwrap();
    symlink("/usr/bin", high.join("bin")).unwrap();
    vec![low, high]
}

fn stack(layers: &[PathBuf]) -> Stack {
    Stack::open(layers).unwrap()
}

fn listing(stack: &Stack) -> Vec<String> {
    let mut lines = Vec::new();
    let mut visitor = |node: &Node| {
        let path = shown(node.path());
        lines.push(match node.is_file() {
            true => format!("{path} {}", std::io::read_to_string(node.open()?).unwrap()),
            false if node.is_symlink() => format!("{path} -> {}", shown(&node.link_target()?)),
            false => format!("{path}/"),
        });
        Ok(true)
    };
    stack.root().unwrap().unwrap().walk(&mut visitor).unwrap();
    lines
}

#[test]
fn the_higher_layer_counts_and_shows_what_it_does_not_hide() {
    let place = Place::new();
    let stack = stack(&layers(&place));
    let expected = [
        "bin -> /usr/bin",
        "etc/",
        "etc/added added",
        "etc/changed changed",
        "etc/kept etc/kept",
        "file/",
        "file/x a directory now",
        "opt/",
        "opt/new/",
        "opt/new/x new",
        "replaced a file now",
        "usr/",
        "usr/bin/",
        "usr/bin/tool usr/bin/tool",
    ];
    assert_eq!(listing(&stack), expected);
    let root = stack.root().unwrap().unwrap();
    let names: Vec<_> = root.names().unwrap().iter().map(|name| shown(name)).collect();
    assert_eq!(names, ["bin", "etc", "file", "opt", "replaced", "usr"]);
}

#[test]
fn links_lead_where_they_lead_inside() {
    let place = Place::new();
    let mut layers = layers(&place);
    let top = place.root("top");
    let outside = place.root("outside");
    fs::write(outside.join("secret"), "secret").unwrap();
    for (path, target) in [
        ("out", outside.to_str().unwrap()),
        ("up", "../../../../etc/kept"),
        ("again", "bin/../bin/tool"),
        ("loop", "pool"),
        ("pool", "loop"),
        ("dangling", "nowhere/x"),
    ] {
        symlink(target, top.join(path)).unwrap();
    }
    layers.push(top);
    let stack = stack(&layers);
    let resolve =
        |path: &str, last| stack.resolve(path, last).unwrap().map(|path| String::from_utf8(path).unwrap());
    let follow = |path: &str| resolve(path, LastLink::Followed);
    assert_eq!(follow("/bin/tool").unwrap(), "usr/bin/tool");
    assert_eq!(follow("again").unwrap(), "usr/bin/tool");
    assert_eq!(follow("up").unwrap(), "etc/kept");
    assert_eq!(follow("../..").unwrap(), "");
    assert_eq!(follow("bin/./").unwrap(), "usr/bin");
    assert_eq!(resolve("bin", LastLink::Kept).unwrap(), "bin");
    assert_eq!(resolve("bin/", LastLink::Kept).unwrap(), "usr/bin");
    for path in
        ["out/secret", "out", "dangling", "etc/gone", "opt/old", "replaced/x", "file/x/..", "usr-socket"]
    {
        assert_eq!(follow(path), None, "{path}");
    }
    let error = stack.find("loop/x", LastLink::Followed).err().unwrap().to_string();
    assert_eq!(error, "cannot resolve `loop/x`: too many symbolic links");
    assert_eq!(stack.read("up", 8).unwrap().unwrap(), b"etc/kept");
    assert_eq!(stack.read("up", 7).unwrap(), None);
    assert_eq!(stack.read("etc", 7).unwrap(), None);
}

#[test]
fn what_lies_in_a_layer_is_told_as_it_is() {
    let place = Place::new();
    let root = place.root("root");
    fill(&root);
    let stack = stack(&[place.root("empty"), root]);
    let find = |path: &str| stack.find(path, LastLink::Kept).unwrap().unwrap();
    let ping = find("usr/bin/ping").entry().unwrap();
    assert_eq!(ping.metadata.xattrs[&b"security.capability"[..]], CAPABILITY);
    let (one, other) = (find("usr/bin/su"), find("usr/bin/a-link-to-su"));
    assert_eq!((one.id(), one.n_links(), one.size()), (other.id(), 2, 2));
    assert_eq!((one.metadata().unwrap().gid, one.metadata().unwrap().mode), (5_000_000, 0o4755));
    assert_eq!(find("dev/null").entry().unwrap().kind, Kind::CharDevice { major: 1, minor: 3 });
    assert_eq!(find("dev/disk").entry().unwrap().kind, Kind::BlockDevice { major: 8, minor: 17 });
    assert_eq!(find("dev/pipe").entry().unwrap().kind, Kind::Fifo);
    assert_eq!(find("bin").entry().unwrap().kind, Kind::Symlink { target: b"usr/bin".to_vec() });
    assert!(find("dev").open().is_err());
}

#[test]
fn without_layers_there_is_nothing() {
    let nothing = stack(&[]);
    assert!(nothing.root().unwrap().is_none());
    assert!(nothing.find("", LastLink::Kept).unwrap().is_none());
}
