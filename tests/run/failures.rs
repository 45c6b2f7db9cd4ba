//! Commands that fail, and what is told and kept of them.

use std::fs;
use std::process::Command;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use super::place::{Place, sh};

#[test]
fn a_command_that_fails_is_told_with_its_end_and_what_it_said_last() {
    let place = Place::new();
    let base = place.base();
    let error = place.error_of(&sh("echo going well; echo no more >&2; sleep 0.1; exit 3"), &base, &[]);
    let expected = "the command ended with 3; it said last:\ngoing well\nno more";
    assert_eq!(error, expected);
    let error = place.error_of(&sh("kill -9 $$"), &base, &[]);
    assert_eq!(error, "signal 9 ended the command, as it does where memory is short; it said nothing");
    let error = place.error_of(&sh("kill -TERM $$"), &base, &[]);
    assert!(error.contains("signal 15 ended the command"), "{error}");
    let mut run = sh("");
    run.argv = vec!["/no/such/program".into()];
    let error = place.error_of(&run, &base, &[]);
    assert!(error.starts_with("cannot start /no/such/program in the sandbox: execute: ENOENT"), "{error}");
    run.argv = vec!["true".into()];
    run.user = "stranger".into();
    let error = place.error_of(&run, &base, &[]);
    assert!(error.starts_with("cannot run as stranger: the image's /etc/passwd"), "{error}");
}

#[test]
fn the_root_of_a_command_that_failed_is_kept_where_that_is_asked_for() {
    let mut place = Place::new();
    place.keep_failed_as = Some("0123".into());
    let error = place.error_of(&sh("echo here > /etc/trace; rm /etc/old; exit 1"), &place.base(), &[]);
    let script = place.store_path("failed/0123/enter");
    let hint = format!("\nhint: its root is kept; to look into it, run: sh {}", script.display());
    assert!(error.ends_with(&hint), "{error}");
    let look = |arguments: &[&str]| {
        let output = Command::new("sh").arg(&script).args(arguments).output().unwrap();
        String::from_utf8(output.stdout).unwrap() + &String::from_utf8_lossy(&output.stderr)
    };
    assert_eq!(look(&["cat", "/etc/trace"]), "here\n");
    assert!(look(&["ls", "/etc"]).lines().eq(["group", "passwd", "trace"]));
    // Another failure takes its place.
    place.error_of(&sh("exit 1"), &place.base(), &[]);
    assert!(look(&["ls", "/etc"]).contains("old"));
}

#[test]
fn a_command_that_fills_the_disk_is_told_so_and_what_it_wrote_is_gone() {
    // A thread with mounts of its own, and what it starts, see a small disk.
    let work = || {
        let place = Place::new();
        let base = place.base();
        place.run(&sh("true"), &base).unwrap();
        unshare(CloneFlags::CLONE_NEWNS).unwrap();
        mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>).unwrap();
        let scratch = place.store_path("scratch");
        mount(None::<&str>, &scratch, Some("tmpfs"), MsFlags::empty(), Some("size=8m,mode=700")).unwrap();
        let error = place.error_of(&sh("dd if=/dev/zero of=/big bs=64k 2>&1"), &base, &[]);
        assert!(error.contains("No space left on device"), "{error}");
        assert!(error.contains("hint: the disk of the state directory is full: free some space"), "{error}");
        assert_eq!(fs::read_dir(&scratch).unwrap().count(), 0);
        // The builder goes on.
        place.run(&sh("echo small"), &base).unwrap();
    };
    std::thread::spawn(work).join().unwrap();
}

#[test]
fn a_command_that_is_left_in_the_background_changes_nothing_any_more() {
    let place = Place::new();
    let base = place.base();
    let (delta, _) = place.run(&sh("(sleep 1; echo late > /late) & echo x > /early"), &base).unwrap();
    assert_eq!(place.shown(&delta), "file 644 0:0 early\n");
}
