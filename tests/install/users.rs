//! `user`: users that are made, measured against what `useradd` makes of the same wish.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde_json::Value;

use crate::site::{Site, manifest};
use crate::support::tarball::Entry;
use crate::support::{Tarball, run, tree};
use crate::yard::{self, Yard, account, base};

const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nwww-data:x:33:33:www-data:/var/www:/usr/sbin/nologin\n";
const GROUP: &str = "root:x:0:\nshadow:x:42:\nwww-data:x:33:\nusers:x:100:\n";

/// A root with all four lists, as Debian has them.
fn root() -> Tarball {
    Tarball::new()
        .directory("etc/", 0o755)
        .file("etc/passwd", 0o644, PASSWD)
        .file("etc/group", 0o644, GROUP)
        .entry(Entry::file("etc/shadow", 0o640, "root:*:19000:0:99999:7:::\n").owned_by(0, 42))
        .entry(Entry::file("etc/gshadow", 0o640, "root:*::\n").owned_by(0, 42))
        .file("etc/login.defs", 0o644, "PASS_MIN_DAYS 0\nPASS_MAX_DAYS 99999\nPASS_WARN_AGE 7\n")
        .directory("home/", 0o755)
}

/// Returns a list without the day of a password's last change, which is the day of the test.
fn without_days(root: &Path, list: &str) -> String {
    let text = fs::read_to_string(root.join("etc").join(list)).unwrap();
    let line = |line: &str| match line.split(':').collect::<Vec<_>>().as_mut_slice() {
        fields @ [_, "!", ..] if list == "shadow" => {
            fields[2] = "";
            fields.join(":")
        }
        _ => line.to_owned(),
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_user_is_made_as_useradd_makes_it() {
    let yard = Yard::new(
        &base(&root()),
        r#"user "app" {
             uid  = 1234
             gid  = 1234
             home = "/home/app"
           }
           user "guest" {
             gid  = 100
             home = "/srv/guest"
           }"#,
    );
    let built = yard.root();
    let expected = yard.site.path("expected");
    yard::untar(&root(), &expected);
    fs::create_dir(expected.join("srv")).unwrap();
    let prefix = expected.to_str().unwrap();
    run("groupadd", &["--prefix", prefix, "--gid", "1234", "app"]);
    let make = [
        "--prefix",
        prefix,
        "--create-home",
        "--skel",
        "/nonexistent",
        "--shell",
        "/bin/sh",
        "--key",
        "HOME_MODE=0755",
    ];
    run("useradd", &[&make[..], &["--uid", "1234", "--gid", "1234", "app"]].concat());
    run(
        "useradd",
        &[
            &make[..],
            &["--uid", "1000", "--gid", "100", "--no-user-group", "--home-dir", "/srv/guest", "guest"],
        ]
        .concat(),
    );
    for list in ["passwd", "group", "shadow", "gshadow"] {
        assert_eq!(without_days(&built, list), without_days(&expected, list), "{list}");
        let metadata = |root: &Path| fs::metadata(root.join("etc").join(list)).unwrap();
        let (built, before) =
            (metadata(&built), if list.ends_with("shadow") { (0o640, 42) } else { (0o644, 0) });
        assert_eq!((built.mode() & 0o7777, built.gid()), before, "{list}");
    }
    for home in ["/home", "/srv"] {
        assert_eq!(tree::dump_below(&built, home), tree::dump_below(&expected, home));
    }
    let users = &account(&yard.site)["changeset"]["users"];
    assert_eq!(users[0]["name"], "app");
    assert_eq!(users[1], serde_json::json!({"name": "guest", "uid": 1000, "gid": 100, "home": "/srv/guest"}));
}

#[test]
fn on_scratch_the_lists_are_begun() {
    let site = Site::new(
        r#"image "x" {
             user "app" { home = "/var/lib/app" }
             file "/var/lib/app/data" {
               from_context { path = "data" }
               owner = "app"
             }
             run_as = "app"
           }"#,
    );
    site.put("data", "data");
    let root = yard::root(&site);
    assert_eq!(
        fs::read_to_string(root.join("etc/passwd")).unwrap(),
        "app:!:1000:1000::/var/lib/app:/bin/sh\n"
    );
    assert_eq!(fs::read_to_string(root.join("etc/group")).unwrap(), "app:!:1000:\n");
    assert_eq!(fs::metadata(root.join("var/lib/app/data")).unwrap().uid(), 1000);
    assert_eq!(
        tree::dump_below(&root, "/var/lib/app").lines().next().unwrap(),
        "dir  0755 1000:1000 /var/lib/app"
    );
    let config: Value = serde_json::from_str(&run(
        "skopeo",
        &["inspect", "--config", &format!("oci:{}", site.layout().display())],
    ))
    .unwrap();
    assert_eq!(config["config"]["User"], "app");
}

#[test]
fn users_are_one_layer_below_the_files() {
    let yard = Yard::new(
        &base(&root()),
        r#"file "/srv/app" {
             from_context { path = "data" }
             owner = "app:users"
           }
           user "app" { uid = 7000 }
           user "other" {}"#,
    );
    yard.site.put("data", "data");
    let built = yard.root();
    let file = fs::metadata(built.join("srv/app")).unwrap();
    assert_eq!((file.uid(), file.gid()), (7000, 100));
    assert_eq!(manifest(&yard.site.layout())["layers"].as_array().unwrap().len(), 3);
}

#[test]
fn a_user_that_is_there_already_makes_no_layer() {
    let yard = Yard::new(&base(&root()), r#"user "www-data" { uid = 33 }"#);
    yard.root();
    assert_eq!(manifest(&yard.site.layout())["layers"].as_array().unwrap().len(), 1);
    assert_eq!(account(&yard.site)["changeset"]["users"], Value::Null);
}

#[test]
fn whoever_is_not_known_or_stands_in_the_way_is_named() {
    for (text, said) in [
        (
            r#"user "www-data" { uid = 1 }"#,
            "cannot make user www-data: there is one, with uid = 33, gid = 33",
        ),
        (r#"user "app" { uid = 33 }"#, "cannot make user app: the number 33 is www-data's"),
        (r#"run_as = "nobody""#, "cannot run as user nobody: the image's /etc/passwd has no such user"),
        (r#"run_as = "root:nobody""#, "cannot run as group nobody: the image's /etc/group has no such group"),
        (
            r#"file "/x" {
                 from_context { path = "data" }
                 owner = "nobody"
               }"#,
            "cannot use the owner nobody: the image's /etc/passwd knows no such user",
        ),
        (r#"user "app" { home = "/etc/passwd" }"#, "/etc/passwd is there, and no directory"),
    ] {
        let yard = Yard::new(&base(&root()), text);
        yard.site.put("data", "data");
        let told = yard.site.fails(1, &mut yard.site.build());
        assert!(told.contains(said), "{told}");
    }
}

#[test]
fn a_file_for_a_user_of_the_base_needs_nothing_of_the_base_but_its_names() {
    let text = r#"file "/srv/app" {
             from_context { path = "data" }
             owner = "www-data"
           }"#;
    let yard = Yard::new(&base(&root()), text);
    yard.site.put("data", "one");
    assert!(yard.n_downloads_of_the_base() > 0, "nothing is known of it yet");
    yard.site.put("data", "two");
    assert_eq!(yard.n_downloads_of_the_base(), 0);
}
