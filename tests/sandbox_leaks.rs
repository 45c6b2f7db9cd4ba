//! Alone in its process, so that descriptors and mounts can be counted: many runs, and a builder that is killed.

#![expect(clippy::unwrap_used, reason = "a test that fails says where")]

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use estaleiro::layer::make_root;
use estaleiro::sandbox::{Cancel, Exit, Root, Run, Sandbox};

fn make_place(directory: &Path) -> Root {
    for name in ["root", "upper", "work"] {
        make_root(&directory.join(name)).unwrap();
    }
    fs::create_dir(directory.join("root/bin")).unwrap();
    fs::copy("/bin/busybox", directory.join("root/bin/busybox"))
        .expect("this test needs Debian's busybox-static");
    symlink("busybox", directory.join("root/bin/sh")).unwrap();
    Root::Overlay {
        lowers: vec![directory.join("root")],
        upper: directory.join("upper"),
        work: directory.join("work"),
    }
}

fn n_descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

fn mounts() -> String {
    fs::read_to_string("/proc/self/mountinfo").unwrap()
}

fn n_children() -> usize {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let children = tasks.map(|task| fs::read_to_string(task.unwrap().path().join("children")).unwrap());
    children.map(|children| children.split_whitespace().count()).sum()
}

/// The part of the tests that is killed: set by the test, run in a copy of this program.
const VICTIM: &str = "ESTALEIRO_TEST_VICTIM";

#[test]
fn runs_leave_nothing_behind() {
    if let Some(directory) = std::env::var_os(VICTIM) {
        be_the_victim(Path::new(&directory));
    }
    many_runs_leak_neither_descriptors_nor_mounts_nor_children();
    a_builder_that_is_killed_leaves_no_process_and_no_mount();
}

fn many_runs_leak_neither_descriptors_nor_mounts_nor_children() {
    let directory = tempfile::tempdir().unwrap();
    let root = make_place(directory.path());
    let sandbox = Sandbox::choose().unwrap();
    let cancel = Cancel::new().unwrap();
    let run = Run::new(["/bin/sh", "-c", "echo x; echo y >&2"]);
    let before = (n_descriptors(), mounts(), n_children());
    let start = Instant::now();
    for n in 0..500 {
        let mut n_lines = 0;
        let exit = sandbox.run(&root, &run, &cancel, &mut |_, _| n_lines += 1).unwrap();
        assert_eq!((exit, n_lines), (Exit::Code(0), 2), "run {n}");
        if n % 100 == 0 {
            assert!(sandbox.run(&root, &Run::new(["/missing"]), &cancel, &mut |_, _| {}).is_err());
        }
    }
    eprintln!("a run takes {:.1} ms", start.elapsed().as_secs_f64() * 2.0);
    assert_eq!((n_descriptors(), mounts(), n_children()), before);
    sandbox.run(&root, &Run { max_processes: 50, ..run }, &cancel, &mut |_, _| {}).unwrap();
    assert_eq!(groups(), [""; 0]);
}

/// The control groups of this process's that are left.
fn groups() -> Vec<String> {
    let own = format!("estaleiro-{}-", std::process::id());
    let mut left = Vec::new();
    let mut pending = vec![std::path::PathBuf::from("/sys/fs/cgroup")];
    while let Some(directory) = pending.pop() {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            let name = entry.file_name().into_string().unwrap();
            if entry.file_type().unwrap().is_dir() {
                pending.push(entry.path());
                left.extend(name.starts_with(&own).then_some(name));
            }
        }
    }
    left
}

fn be_the_victim(directory: &Path) -> ! {
    let root = make_place(directory);
    let run = Run {
        env: vec![("MARK".into(), VICTIM.into())],
        ..Run::new(["/bin/sh", "-c", "echo up; busybox sleep 100"])
    };
    let cancel = Cancel::new().unwrap();
    let result = Sandbox::Namespaces.run(&root, &run, &cancel, &mut |_, _| eprintln!("VICTIM UP"));
    panic!("{result:?}");
}

fn a_builder_that_is_killed_leaves_no_process_and_no_mount() {
    let directory = tempfile::tempdir().unwrap();
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "runs_leave_nothing_behind", "--nocapture"])
        .env(VICTIM, directory.path())
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut stderr = BufReader::new(victim.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("VICTIM UP") {
        line.clear();
        assert_ne!(stderr.read_line(&mut line).unwrap(), 0, "the victim did not start");
    }
    let before = mounts();
    assert!(living() >= 2);
    victim.kill().unwrap();
    victim.wait().unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while living() > 0 {
        assert!(Instant::now() < deadline, "the sandbox outlives its builder");
        std::thread::sleep(Duration::from_millis(20));
    }
    stderr.read_to_string(&mut line).unwrap();
    assert_eq!(mounts(), before);
    assert!(!before.contains(directory.path().to_str().unwrap()));
    // Nothing holds the directories any more.
    fs::remove_dir_all(directory.path().join("upper")).unwrap();
}

/// How many processes of the victim there are, in or outside of its sandbox.
fn living() -> usize {
    let own = std::process::id().to_string();
    let processes = fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path());
    let others = processes.filter(|path| path.file_name().is_some_and(|name| name != own.as_str()));
    let environments = others.filter_map(|path| fs::read(path.join("environ")).ok());
    environments.filter(|bytes| String::from_utf8_lossy(bytes).contains(VICTIM)).count()
}
