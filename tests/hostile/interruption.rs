//! People who interrupt a build, at the worst moments.

use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::base;
use crate::site::{Site, assert_said};
use crate::space::noise;
use crate::support::fault::ALWAYS;
use crate::support::{Archive, Deb, Fault, Key, ServedArchive};

/// How long a build may take to put its things away.
const PATIENCE: Duration = Duration::from_secs(10);

/// Returns the command lines of all processes that hold `text`, wherever in them.
pub(crate) fn processes_with(text: &str) -> Vec<String> {
    let found = of_processes("cmdline").into_iter().map(|line| line.replace('\0', " "));
    found.filter(|line| line.contains(text)).collect()
}

/// Returns the file `name` of every process in /proc; some end while they are being read.
fn of_processes(name: &str) -> Vec<String> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let entries = entries.filter(|entry| entry.file_name().as_encoded_bytes()[0].is_ascii_digit());
    let texts = entries.filter_map(|entry| fs::read(entry.path().join(name)).ok());
    texts.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).collect()
}

/// Checks that no process sees a mount at or from `directory`, in whatever namespace.
fn assert_no_mount(directory: &Path) {
    let directory = directory.to_str().unwrap();
    for mounts in of_processes("mountinfo") {
        assert!(!mounts.contains(directory), "{mounts}");
    }
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(60), "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

struct Story {
    archive: ServedArchive,
    site: Site,
    nap: String,
}

impl Story {
    fn new(signal: Signal) -> Story {
        let nap = format!("120.{}{:02}", std::process::id(), signal as i32);
        let archive = Story::archive(&nap, "1").sign_with(&Key::ed25519()).serve();
        let site = base::site(&archive, "package \"sleeper\" {}");
        Story { archive, site, nap }
    }

    /// Returns an archive with a package whose script sleeps.
    fn archive(nap: &str, version: &str) -> Archive {
        let script = format!("#!/bin/sh\n(sleep {nap} &)\nsleep {nap}\n");
        let deb = Deb::new("sleeper", version).file("/usr/bin/sleeper", 0o755, noise(1 << 20));
        Archive::new().add(deb.script("postinst", &script))
    }

    fn start(&self) -> Child {
        let mut build = self.site.build();
        build.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Starts a build, and interrupts it when `is_time`; nothing of it may be left then.
    fn interrupted(&self, signal: Signal, when: &str, is_time: impl Fn() -> bool) {
        let build = self.start();
        wait_until(when, is_time);
        // Between an answer and the blob it is written to there is more to be interrupted.
        std::thread::sleep(Duration::from_millis(100));
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let start = Instant::now();
        kill(Pid::from_raw(build.id().try_into().unwrap()), signal).unwrap();
        let output = build.wait_with_output().unwrap();
        assert!(start.elapsed() < PATIENCE, "{when}: it took {:?}", start.elapsed());
        let said = self.site.said(&output.stderr);
        match signal {
            Signal::SIGKILL => assert_eq!(output.status.code(), None),
            _ => {
                assert_eq!(output.status.code(), Some(1), "{when}: {said}");
                assert_said(&said, "error: interrupted");
                self.site.assert_tidy();
            }
        }
        assert_eq!(String::from_utf8_lossy(&output.stdout), "");
        assert!(!self.site.layout().exists(), "{when}");
        self.site.assert_blobs_are_whole();
        wait_until("the kernel ends what a killed build left", || processes_with(&self.nap).is_empty());
        assert_no_mount(&self.site.path("state"));
        assert_eq!(fs::read_to_string("/proc/self/mountinfo").unwrap(), mounts, "{when}");
    }

    fn asked(&self, part: &str) -> bool {
        self.archive.log().count("GET", part) > 0
    }

    fn stalled(&self, signal: Signal, part: &'static str, fault: Fault) {
        self.archive.log().clear();
        self.archive.faults().heal();
        self.archive.faults().fail("GET", part, ALWAYS, fault);
        self.interrupted(signal, part, || self.asked(part));
        self.archive.faults().heal();
    }

    fn tell(signal: Signal) {
        let story = Story::new(signal);
        story.stalled(signal, "/InRelease", Fault::Stall);
        story.stalled(signal, "/by-hash/", Fault::StallAfter(10));
        story.stalled(signal, "/pool/", Fault::StallAfter(300_000));
        let is_asleep = || processes_with(&story.nap).iter().any(|line| line.starts_with("sleep"));
        story.interrupted(signal, "a script sleeps", is_asleep);
        // The next version of the package sleeps no longer; what was left is swept away.
        let key = Key::ed25519();
        story.archive.publish(&Story::archive("0", "2").sign_with(&key));
        story.site.put("archive.asc", key.public_armored());
        story.site.succeeds(&mut story.site.build());
        assert!(story.site.layout().join("index.json").exists());
    }
}

#[test]
fn a_build_that_is_told_to_end_puts_everything_away() {
    Story::tell(Signal::SIGTERM);
}

#[test]
fn a_build_that_is_broken_off_at_the_keyboard_puts_everything_away() {
    Story::tell(Signal::SIGINT);
}

#[test]
fn a_build_that_is_killed_leaves_nothing_that_the_next_one_could_believe() {
    Story::tell(Signal::SIGKILL);
}
