//! Packages, read by dpkg-deb.

use super::support::deb::{Compression, Deb, Member};
use super::support::run;

fn hello() -> Deb {
    Deb::new("hello", "1:2.0-1")
        .architecture("amd64")
        .depends("libc6 (>= 2.36)")
        .field("Section", "misc")
        .file("/usr/bin/hello", 0o755, "#!/bin/sh\necho hello\n")
        .file("/etc/hello.conf", 0o644, "greeting=hello\n")
        .conffile("/etc/hello.conf")
        .symlink("/usr/bin/hallo", "hello")
        .directory("/var/lib/hello", 0o2775)
        .script("postinst", "#!/bin/sh\nset -e\n")
}

#[test]
fn dpkg_reads_a_package_in_every_compression() {
    let directory = tempfile::tempdir().unwrap();
    for compression in [Compression::Gz, Compression::Xz, Compression::Zst, Compression::None] {
        let path = directory.path().join("hello.deb");
        std::fs::write(&path, hello().build(compression)).unwrap();
        let path = path.to_str().unwrap();
        let control = run("dpkg-deb", &["-I", path]);
        assert!(control.contains("Depends: libc6 (>= 2.36)") && control.contains("postinst"), "{control}");
        let contents = run("dpkg-deb", &["-c", path]);
        for line in ["-rwxr-xr-x root/root", "./usr/bin/hallo -> hello", "drwxrwsr-x", "./var/lib/hello/"] {
            assert!(contents.contains(line), "{line}\n{contents}");
        }
        let md5sums = run("dpkg-deb", &["-I", path, "md5sums"]);
        assert_eq!(md5sums.lines().count(), 2, "{md5sums}");
    }
}

#[test]
fn the_same_package_has_the_same_bytes() {
    assert_eq!(hello().build(Compression::Xz), hello().build(Compression::Xz));
    assert_ne!(hello().build(Compression::Gz), hello().ar_mtime(1).build(Compression::Gz));
}

#[test]
fn names_and_sources_are_as_an_archive_writes_them() {
    assert_eq!(hello().file_name(), "hello_2.0-1_amd64.deb");
    assert_eq!(hello().source(), ("hello".into(), "1:2.0-1".into()));
    let rebuilt = Deb::new("libx1", "1.0+b1").field("Source", "x (1.0)");
    assert_eq!(rebuilt.source(), ("x".into(), "1.0".into()));
}

#[test]
fn a_package_in_the_wrong_order_is_refused_by_dpkg() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("bad.deb");
    let reverse = |members: Vec<Member>| members.into_iter().rev().collect();
    std::fs::write(&path, hello().rearrange(reverse).build(Compression::Gz)).unwrap();
    let output = std::process::Command::new("dpkg-deb").arg("-I").arg(&path).output().unwrap();
    assert!(!output.status.success());
}
