//! Disks that fill up, at every place where something is written.

use std::process::Command;

use crate::base;
use crate::site::{Site, assert_said};
use crate::support::{Archive, Deb, Key, Tarball};

/// Bytes that no compression makes fewer.
pub(crate) fn noise(n_bytes: usize) -> Vec<u8> {
    let mut state: u64 = 0x9e37_79b9_7f4a_7c15;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    std::iter::repeat_with(next).take(n_bytes).collect()
}

/// Builds on a file system of `size`, of which `at` is the place; then, with more space, once more.
///
/// Returns what was said the first time. The file system lives as long as the program that made it.
fn on_a_small_disk(site: &Site, at: &str, size: &str) -> String {
    let script = format!(
        "mkdir -p {at} ../small
        mount -t tmpfs -o size={size} tmpfs ../small && cp -a {at}/. ../small && mount --move ../small {at}
        \"$@\" > ../out 2> ../err; echo $? > ../code
        cp {at}/index.json ../index.json
        find ../state/scratch -mindepth 1 > ../left
        for blob in ../state/blobs/sha256/* ../layout/blobs/sha256/*; do
          [ ! -e $blob ] || echo \"$(basename $blob)  $blob\" | sha256sum --check --quiet >> ../left 2>&1
        done
        mount -o remount,size=2g {at} && exec \"$@\""
    );
    let build = site.build();
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c", &script, "sh"]);
    command.arg(build.get_program()).args(build.get_args()).current_dir(site.path("context"));
    command.env("NO_COLOR", "1");
    let output = command.output().unwrap();
    let read = |name: &str| std::fs::read(site.path(name)).unwrap();
    let (code, said) = (site.said(&read("code")), site.said(&read("err")));
    assert_eq!(code, "1", "{said}");
    assert_eq!(site.said(&read("out")), "", "{said}");
    assert_eq!(site.said(&read("left")), "", "{said}");
    if let Ok(index) = std::fs::read_to_string(site.path("index.json")) {
        assert_said(
            &index,
            r#"{"manifests":[],"mediaType":"application/vnd.oci.image.index.v1+json","schemaVersion":2}"#,
        );
    }
    assert!(output.status.success(), "with space: {}", site.said(&output.stderr));
    assert!(site.said(&output.stdout).starts_with("sha256:"));
    said
}

#[test]
fn a_layer_that_does_not_fit_is_said_so() {
    let site =
        Site::new("image \"x\" {\n  file \"/noise\" {\n    from_context { path = \"noise\" }\n  }\n}\n");
    site.put("noise", noise(3 << 20));
    assert_said(
        &on_a_small_disk(&site, "../state", "1m"),
        "error: cannot copy /noise: cannot write the layer: No space left on device (os error 28)\n\
         hint: free some space, or choose another place with --state DIR",
    );
}

#[test]
fn a_member_that_does_not_fit_is_said_so() {
    let site = Site::new(
        "image \"x\" {\n  file \"/noise\" {\n    from_tarball \"noise.tar\" { path = \"noise\" }\n  }\n}\n\
         tarball \"noise.tar\" {\n  source_file \"**\" {\n    vcs \"git\" {\n      repository = \"https://git.example/x\"\n      \
         ref = \"1\"\n    }\n  }\n}\n",
    );
    site.put("noise.tar", Tarball::new().file("noise", 0o644, noise(3 << 20)).build());
    assert_said(
        &on_a_small_disk(&site, "../state", "1m"),
        "error: cannot copy /noise: cannot read tarball noise.tar: cannot write SITE/state/scratch/X/tarball-X/spool: No space left on device (os error 28)\n\
         hint: free some space, or choose another place with --state DIR",
    );
}

#[test]
fn a_layout_that_does_not_fit_is_said_so() {
    let site =
        Site::new("image \"x\" {\n  file \"/noise\" {\n    from_context { path = \"noise\" }\n  }\n}\n");
    site.put("noise", noise(3 << 20));
    assert_said(
        &on_a_small_disk(&site, "../layout", "1m"),
        "error: cannot push oci:../layout@sha256:DIGEST: cannot write ../layout/blobs/sha256/DIGEST: No space left on device (os error 28)\n\
         hint: free some space, or choose another place with --state DIR",
    );
}

#[test]
fn a_package_that_does_not_fit_is_said_so_whether_it_is_fetched_or_unpacked() {
    let large = Deb::new("large", "1").file("/usr/share/large", 0o644, noise(40 << 20));
    let archive = Archive::new()
        .compression(crate::support::Compression::None)
        .add(large)
        .sign_with(&Key::ed25519())
        .serve();
    let site = base::site(&archive, "package \"large\" {}");
    let used = Command::new("du").args(["-sm", site.path("state").to_str().unwrap()]).output().unwrap();
    let used: u64 = String::from_utf8(used.stdout).unwrap().split('\t').next().unwrap().parse().unwrap();
    let fetched = on_a_small_disk(&site, "../state", &format!("{}m", used + 20));
    assert_said(
        &fetched,
        "error: cannot install large (1 package): cannot write SITE/state/blobs/sha256/DIGEST: No space left on device (os error 28)\n\
         hint: free some space, or choose another place with --state DIR",
    );

    let site = base::site(&archive, "package \"large\" {}");
    let unpacked = on_a_small_disk(&site, "../state", &format!("{}m", used + 60));
    // Another process of dpkg's may say so before or after the others.
    let aside = "dpkg-deb: error: paste subprocess was killed by signal (Broken pipe)";
    let unpacked: Vec<&str> = unpacked.lines().filter(|line| *line != aside).collect();
    assert_said(
        &unpacked.join("\n"),
        "error: cannot install large (1 package): cannot run dpkg --unpack: it ended with 1; it said last:\n\
         Selecting previously unselected package large.\n\
         (Reading database ... N files and directories currently installed.)\n\
         Preparing to unpack .../archives/large_1_all.deb ...\n\
         Unpacking large (1) ...\n\
         dpkg: error processing archive /.estaleiro/archives/large_1_all.deb (--unpack):\n\
         \x20cannot copy extracted data for './usr/share/large' to '/usr/share/large.dpkg-new': failed to write (No space left on device)\n\
         Errors were encountered while processing:\n\
         \x20/.estaleiro/archives/large_1_all.deb\n\
         hint: free some space, or choose another place with --state DIR",
    );
}
