//! What a command sees beside its root: where it lands, what it lets through, and that it leaves no trace.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use estaleiro::layer::{Stack, make_root};
use estaleiro::sandbox::{Exit, Mount, Network, Root, Run, Source, name_service};

use super::{Place, error_of, sh};

fn text(target: &str, content: &str) -> Mount {
    let source = Source::File { is_secret: true, content: content.into(), mode: 0o400, uid: 3, gid: 4 };
    Mount { source, target: target.into(), is_read_only: true }
}

fn inside(directory: PathBuf, path: &str, target: &str) -> Mount {
    let source = Source::Path { root: Root::Plain(directory), path: path.into() };
    Mount { source, target: target.into(), is_read_only: true }
}

fn memory(target: &str, size: Option<u64>) -> Mount {
    Mount { source: Source::Memory { size }, target: target.into(), is_read_only: false }
}

fn with(mounts: impl IntoIterator<Item = Mount>, script: &str) -> Run {
    Run { mounts: mounts.into_iter().collect(), ..sh(script) }
}

/// Another root, of two layers.
fn other_layers(place: &Place) -> Source {
    for name in ["low", "high", "other-work"] {
        make_root(&place.path(name)).unwrap();
    }
    fs::create_dir_all(place.path("low/opt/data")).unwrap();
    fs::write(place.path("low/opt/data/low"), "low").unwrap();
    fs::create_dir_all(place.path("high/opt/data")).unwrap();
    fs::write(place.path("high/opt/data/high"), "high").unwrap();
    symlink("/opt/data", place.path("high/link")).unwrap();
    let lowers = vec![place.path("low"), place.path("high")];
    let upper = place.path("other-upper");
    Stack::open(&lowers).unwrap().make_upper(&upper).unwrap();
    let root = Root::Overlay { lowers, upper, work: place.path("other-work") };
    Source::Path { root, path: PathBuf::new() }
}

#[test]
fn a_file_in_memory_has_the_owner_and_mode_that_it_shall_have_and_no_other_place() {
    let place = Place::new();
    let run = with(
        [text("/run/secrets/token", "s3cret"), text("/root/.netrc", "other")],
        "cat /run/secrets/token /root/.netrc; stat -c ' %a %u:%g' /run/secrets/token; \
         (echo x > /run/secrets/token) 2>/dev/null || echo refused; ls -a /dev | grep estaleiro; grep -c ramfs /proc/mounts",
    );
    let (exit, lines) = place.run(&run);
    assert_eq!(
        (exit, lines),
        (Exit::Code(0), ["s3cretother 400 3:4", "refused", "2"].map(String::from).into())
    );
    assert_eq!(place.changes(), [""; 0]);
    assert!(!format!("{run:?}").contains("s3cret"));
}

#[test]
fn a_file_system_in_memory_is_as_large_as_it_is_told() {
    let place = Place::new();
    let script = "stat -c %a /tmp/m; busybox dd if=/dev/zero of=/tmp/m/x bs=64k count=32 2>/dev/null; stat -c %s /tmp/m/x";
    let (_, lines) = place.run(&with([memory("/tmp/m", Some(1 << 20))], script));
    assert_eq!(lines, ["1777", "1048576"]);
    let (_, lines) = place.run(&with([memory("/tmp/m", None)], script));
    assert_eq!(lines, ["1777", "2097152"]);
    assert_eq!(place.changes(), [""; 0]);
}

#[test]
fn a_path_of_other_layers_is_what_their_root_has_there() {
    let place = Place::new();
    let at = |path: &str, is_read_only| {
        let Source::Path { root, .. } = other_layers(&place) else { unreachable!() };
        Mount { source: Source::Path { root, path: path.into() }, target: "/mnt".into(), is_read_only }
    };
    let fresh = || {
        for name in ["low", "high", "other-work", "other-upper"] {
            let _ = fs::remove_dir_all(place.path(name));
        }
    };
    for path in ["opt/data", "/link", "opt/../opt"] {
        if path.contains("..") {
            assert!(error_of(&place.overlay(), &with([at(path, true)], "true")).contains("holds `..`"));
        } else {
            let (exit, lines) = place.run(&with([at(path, true)], "ls /mnt; echo x > /mnt/new"));
            assert_eq!((exit, &lines[..2]), (Exit::Code(1), &["high".to_owned(), "low".to_owned()][..]));
        }
        fresh();
    }
    let (exit, lines) = place.run(&with([at("opt/data/low", true)], "cat /mnt"));
    assert_eq!((exit, lines), (Exit::Code(0), vec!["low".to_owned()]));
    fresh();
    let (exit, _) = place.run(&with([at("opt", false)], "echo x > /mnt/data/low; rm /mnt/data/high"));
    assert_eq!(exit, Exit::Code(0));
    assert_eq!(fs::read_to_string(place.path("low/opt/data/low")).unwrap(), "low");
    assert!(place.path("high/opt/data/high").exists());
    fresh();
    let error = error_of(&place.overlay(), &with([at("none", true)], "true"));
    assert!(error.contains("open none of another image: ENOENT"), "{error}");
    assert_eq!(place.changes(), [""; 0]);
}

#[test]
fn a_mount_may_lie_in_another_one() {
    let place = Place::new();
    fs::create_dir(place.path("shared")).unwrap();
    let shared = || Mount { is_read_only: false, ..Mount::of_host(place.path("shared"), "/a/b") };
    let run = with([memory("/a", None), shared(), text("/a/b/c/d", "deep")], "cat /a/b/c/d; ls /a /a/b");
    let (exit, lines) = place.run(&run);
    assert_eq!((exit, lines), (Exit::Code(0), ["deep/a:", "b", "", "/a/b:", "c"].map(String::from).into()));
    assert_eq!(place.changes(), [""; 0]);
    assert_eq!(fs::read_dir(place.path("shared")).unwrap().count(), 0, "its stubs are gone, too");
    let in_what_cannot_be_written = [Mount::of_host(place.path("shared"), "/a"), text("/a/c", "")];
    let error = error_of(&place.overlay(), &with(in_what_cannot_be_written, "true"));
    assert!(error.contains("mount at /a/c: EROFS") && error.contains("hint: "), "{error}");
}

#[test]
fn a_place_is_found_through_the_links_of_the_root_and_never_outside() {
    let place = Place::new();
    let outside = place.path("outside");
    fs::create_dir(&outside).unwrap();
    for (path, target) in [
        ("absolute", outside.to_str().unwrap()),
        ("relative", "../../../../../../../../var/deep"),
        ("dangling", "nowhere/at/all"),
        ("root", "/proc/1/root/made"),
        ("loop", "loop"),
    ] {
        symlink(target, place.path("root").join(path)).unwrap();
    }
    let inside = outside.to_str().unwrap();
    let script = format!("cat {inside}/x /var/deep/x /nowhere/at/all /made/x");
    // The kernel's own links are read like any other: they say what they say, inside.
    let mounts = [
        text("/absolute/x", "one "),
        text("/relative/x", "two "),
        text("/dangling", "three"),
        text("/root/x", " four"),
    ];
    let (exit, lines) = place.run(&with(mounts, &script));
    assert_eq!((exit, lines), (Exit::Code(0), vec!["one two three four".to_owned()]));
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    assert_eq!(place.changes(), [""; 0]);
    for (target, reason) in [
        ("/loop/x", "ELOOP"),
        ("/proc/self/environ", "nothing can be mounted in /proc"),
        ("/sys/kernel", "nothing can be mounted in /proc and /sys"),
        ("/", "nothing can be mounted over the root itself"),
        ("/x/../..", "holds `..`"),
    ] {
        let error = error_of(&place.overlay(), &with([text(target, "")], "true"));
        assert!(error.contains(reason), "{target}: {error}");
    }
    assert!(!Path::new("/made").exists());
    assert_eq!(place.changes(), [""; 0]);
}

#[test]
fn what_is_shown_of_a_directory_does_not_lead_out_of_it() {
    let place = Place::new();
    fs::create_dir_all(place.path("context/sub")).unwrap();
    fs::write(place.path("context/sub/x"), "x").unwrap();
    fs::write(place.path("secret"), "secret").unwrap();
    for (name, target) in [
        ("up", "../secret".to_owned()),
        ("out", place.path("secret").display().to_string()),
        ("magic", "/proc/self/root/etc".into()),
        ("fine", "/sub".into()),
    ] {
        symlink(target, place.path("context").join(name)).unwrap();
    }
    let show = |path: &str| with([inside(place.path("context"), path, "/mnt")], "ls /mnt");
    assert_eq!(place.run(&show("fine")).1, ["x"]);
    for path in ["up", "out", "magic", "none", "sub/x/y"] {
        let error = error_of(&place.overlay(), &show(path));
        assert!(error.contains(&format!("context/{path}: ENO")), "{error}");
    }
    assert!(error_of(&place.overlay(), &show("../secret")).contains("holds `..`"));
    // What it holds leads nowhere but into the root of the run.
    let (exit, _) = place.run(&with([inside(place.path("context"), "", "/mnt")], "cat /mnt/out /mnt/up"));
    assert_eq!(exit, Exit::Code(1));
}

#[test]
fn what_was_made_for_a_mount_is_gone_and_its_parents_look_untouched() {
    let place = Place::new();
    fs::create_dir(place.path("root/etc")).unwrap();
    let times =
        || ["root", "root/etc"].map(|path| fs::metadata(place.path(path)).unwrap().modified().unwrap());
    let before = times();
    let mounts = || [text("/etc/made", "x"), text("/etc/deep/made", "x"), memory("/other", None)];
    let (exit, _) = super::run_in(&place.plain(), &with(mounts(), "cat /etc/deep/made")).unwrap();
    assert_eq!(exit, Exit::Code(0));
    assert_eq!(times(), before);
    assert_eq!(fs::read_dir(place.path("root/etc")).unwrap().count(), 0);
    // What the command does beside it stays, and shows.
    let (exit, _) = super::run_in(&place.plain(), &with(mounts(), "echo x > /etc/deep/kept")).unwrap();
    assert_eq!(exit, Exit::Code(0));
    assert_eq!(fs::read_to_string(place.path("root/etc/deep/kept")).unwrap(), "x\n");
    assert!(!place.path("root/etc/made").exists() && !place.path("root/etc/deep/made").exists());
}

#[test]
fn names_of_hosts_are_there_for_the_run_even_where_the_image_s_lead_nowhere() {
    let place = Place::new();
    fs::create_dir(place.path("root/etc")).unwrap();
    symlink("../run/stub-resolv.conf", place.path("root/etc/resolv.conf")).unwrap();
    let own = fs::read_to_string("/etc/resolv.conf").unwrap();
    let run = |network| Run {
        network,
        ..with(name_service(network, &[]), "grep -q 127.0.0.1.*localhost /etc/hosts && cat /etc/resolv.conf")
    };
    let (exit, lines) = place.run(&run(Network::Host));
    assert_eq!((exit, lines), (Exit::Code(0), own.lines().map(str::to_owned).collect()));
    assert_eq!(place.run(&run(Network::None)), (Exit::Code(0), Vec::new()));
    assert_eq!(place.changes(), [""; 0]);
}

#[test]
fn a_directory_to_work_in_is_made_where_it_shall_be() {
    let place = Place::new();
    symlink("/srv/real", place.path("root/link")).unwrap();
    let run = Run { workdir: "/link/deep".into(), makes_workdir: true, ..sh("busybox pwd; stat -c %a:%u .") };
    assert_eq!(place.run(&run), (Exit::Code(0), ["/srv/real/deep", "755:0"].map(String::from).into()));
    assert_eq!(place.changes(), ["srv", "srv/real", "srv/real/deep"]);
}

#[test]
fn a_cache_is_written_through_and_keeps_its_owner() {
    let place = Place::new();
    fs::create_dir(place.path("cache")).unwrap();
    fs::set_permissions(place.path("cache"), fs::Permissions::from_mode(0o750)).unwrap();
    let mount = Mount { is_read_only: false, ..Mount::of_host(place.path("cache"), "/var/cache/x") };
    let (exit, lines) = place.run(&with([mount], "stat -c %a /var/cache/x; echo x > /var/cache/x/kept"));
    assert_eq!((exit, lines), (Exit::Code(0), vec!["750".to_owned()]));
    assert_eq!(fs::metadata(place.path("cache/kept")).unwrap().uid(), 0);
    assert_eq!(place.changes(), [""; 0]);
}
