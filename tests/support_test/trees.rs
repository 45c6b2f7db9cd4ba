//! Trees and archives as text.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use super::support::tarball::{Entry, Tarball};
use super::support::tree;

#[test]
fn a_tree_and_an_archive_of_the_same_are_told_in_the_same_words() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    fs::create_dir(root.join("etc")).unwrap();
    fs::write(root.join("etc/greeting"), "hello").unwrap();
    fs::set_permissions(root.join("etc/greeting"), fs::Permissions::from_mode(0o4711)).unwrap();
    fs::set_permissions(root.join("etc"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::hard_link(root.join("etc/greeting"), root.join("etc/same")).unwrap();
    symlink("greeting", root.join("etc/link")).unwrap();
    let told = "dir  0755 0:0 /etc\n\
                file 4711 0:0 5:2cf24dba5fb0 /etc/greeting\n\
                link 0777 0:0 /etc/link -> greeting";
    assert_eq!(tree::dump(root), format!("{told}\nhard 4711 0:0 5:2cf24dba5fb0 /etc/same = /etc/greeting"));
    let archive = Tarball::new()
        .directory("etc/", 0o755)
        .file("etc/greeting", 0o4711, "hello")
        .symlink("etc/link", "greeting")
        .entry(Entry::device("dev/null", 0o666, 1, 3).owned_by(0, 5))
        .entry(Entry::file("bin/ping", 0o755, "").xattr("user.a", "1").xattr("user.b", [0, 1]));
    let more = "char 0666 0:5 1:3 /dev/null\n\
                file 0755 0:0 0:e3b0c44298fc /bin/ping {user.a=1 user.b=0001}";
    assert_eq!(tree::dump_tar(&archive.build_gzip()), format!("{told}\n{more}"));
}

#[test]
fn long_names_and_links_stay_whole() {
    let name = "a/".repeat(80) + "file";
    let archive = Tarball::new().file(&name, 0o644, "").symlink("link", &name);
    let told = tree::dump_tar(&archive.build());
    assert!(told.contains(&format!("/{name}\n")) && told.ends_with(&format!("-> {name}")), "{told}");
}
