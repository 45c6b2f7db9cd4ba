//! The program of the image is the one that it is called by, with an empty environment.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Returns what a program makes of `stdin`, with nothing in its environment.
fn told(program: &Path, arguments: &[&str], stdin: &str) -> Output {
    let mut command = Command::new(program);
    command.args(arguments).env_clear().current_dir("/");
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // Who is told something wrong may be gone before it has read on.
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    child.wait_with_output().unwrap()
}

#[test]
fn it_is_the_one_that_it_is_called_by() {
    let nowhere = r#"{"source": {"repository": "oci:/nowhere"}, "version": {"tag": "a", "digest": "b"}}"#;
    for (single, names) in [
        (env!("CARGO_BIN_EXE_check"), ["check", "check"]),
        (env!("CARGO_BIN_EXE_in"), ["in", "in"]),
        (env!("CARGO_BIN_EXE_out"), ["out", "out"]),
        (env!("CARGO_BIN_EXE_task"), ["build", "task"]),
    ] {
        for name in names {
            let directory = tempfile::tempdir().unwrap();
            let called = directory.path().join(name);
            std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_estaleiro"), &called).unwrap();
            for (arguments, stdin) in [(&[][..], "{}"), (&[][..], nowhere), (&["/nowhere"][..], nowhere)] {
                let found = told(&called, arguments, stdin);
                let expected = told(Path::new(single), arguments, stdin);
                assert_eq!(found, expected, "{name} {arguments:?} {stdin}");
                assert!(!expected.status.success(), "{name} {arguments:?} {stdin}: {expected:?}");
            }
        }
    }
}

#[test]
fn by_any_other_name_it_is_the_command_line() {
    let directory = tempfile::tempdir().unwrap();
    for name in ["estaleiro", "shipyard"] {
        let called = directory.path().join(name);
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_estaleiro"), &called).unwrap();
        let output = told(&called, &["--version"], "");
        assert_eq!(output.stdout, format!("estaleiro {}\n", env!("CARGO_PKG_VERSION")).as_bytes());
    }
}
