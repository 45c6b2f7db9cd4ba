//! The image beside those that buildah and we make of the Dockerfile. Asks this machine's own apt mirror.

use std::process::Command;

use crate::support::machine;

#[test]
fn the_definition_and_the_dockerfile_make_the_same_files_whoever_builds() {
    machine::debian();
    let directory = tempfile::tempdir().unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/ci/same-image");
    let mut compare = Command::new(script);
    compare.arg(directory.path().join("ship"));
    // Of the program only the place matters here.
    compare.env("BINARY", "/bin/true").env("BUILDER", env!("CARGO_BIN_EXE_estaleiro"));
    let output = compare.output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{stdout}\n{stderr}");
    assert!(stdout.contains("lines of files, of all three"), "{stdout}");
}
