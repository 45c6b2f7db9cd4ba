//! The namespaces sandbox, on a root that holds nothing but busybox. Needs root, and Debian's `busybox-static`.

#![expect(clippy::unwrap_used, reason = "a test that fails says where")]

#[path = "sandbox/escapes.rs"]
mod escapes;
#[path = "sandbox/mounts.rs"]
mod mounts;
#[path = "sandbox/watched.rs"]
mod watched;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use estaleiro::layer::{Stack, diff, make_root};
use estaleiro::sandbox::{Cancel, Error, Exit, Mount, Network, Root, Run, Sandbox, Stream, User};

/// A root with busybox in it, and room for changes above it.
struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    fn new() -> Place {
        let place = Place { directory: tempfile::tempdir().unwrap() };
        for name in ["root", "work"] {
            make_root(&place.path(name)).unwrap();
        }
        fs::create_dir(place.path("root/bin")).unwrap();
        let busybox = Path::new("/bin/busybox");
        assert!(busybox.exists(), "this test needs Debian's busybox-static");
        fs::copy(busybox, place.path("root/bin/busybox")).unwrap();
        for applet in [
            "sh", "ls", "cat", "sleep", "id", "ps", "hostname", "mkdir", "rm", "grep", "readlink", "head",
            "stat",
        ] {
            symlink("busybox", place.path(&format!("root/bin/{applet}"))).unwrap();
        }
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn plain(&self) -> Root {
        Root::Plain(self.path("root"))
    }

    fn overlay(&self) -> Root {
        if !self.path("upper").exists() {
            Stack::open(&[self.path("root")]).unwrap().make_upper(&self.path("upper")).unwrap();
        }
        Root::Overlay { lowers: vec![self.path("root")], upper: self.path("upper"), work: self.path("work") }
    }

    /// What differs from the root, after runs in the overlay.
    fn changes(&self) -> Vec<String> {
        let below = Stack::open(&[self.path("root")]).unwrap();
        let changes = diff::overlay(&below, &self.path("upper")).unwrap();
        changes.into_iter().map(|change| String::from_utf8(change.path).unwrap()).collect()
    }

    fn run(&self, run: &Run) -> (Exit, Vec<String>) {
        run_in(&self.overlay(), run).unwrap()
    }

    /// Runs a script in the overlay; it must end well. Returns its standard output.
    fn sh(&self, script: &str) -> Vec<String> {
        let (exit, lines) = self.run(&sh(script));
        assert_eq!(exit, Exit::Code(0), "{lines:?}");
        lines
    }
}

fn sh(script: &str) -> Run {
    Run { env: vec![("PATH".into(), "/bin".into())], ..Run::new(["/bin/sh", "-c", script]) }
}

fn run_in(root: &Root, run: &Run) -> Result<(Exit, Vec<String>), Error> {
    let mut lines = Vec::new();
    let exit = Sandbox::choose()?.run(root, run, &Cancel::new().unwrap(), &mut |stream, line| {
        let mark = if stream == Stream::Stderr { "! " } else { "" };
        lines.push(format!("{mark}{}", String::from_utf8_lossy(line)));
    })?;
    Ok((exit, lines))
}

fn error_of(root: &Root, run: &Run) -> String {
    run_in(root, run).unwrap_err().to_string()
}

#[test]
fn a_command_ends_as_it_ends() {
    let place = Place::new();
    assert_eq!(place.run(&sh("exit 0")).0, Exit::Code(0));
    assert_eq!(place.run(&sh("exit 7")).0, Exit::Code(7));
    assert_eq!(place.run(&sh("kill -9 $$")).0, Exit::Signal(9));
    assert_eq!(place.run(&sh("kill -TERM $$")).0, Exit::Signal(15));
}

#[test]
fn output_comes_in_lines_of_either_stream() {
    let place = Place::new();
    let lines = place.sh("echo one; echo two >&2; sleep 0.1; printf 'no end'");
    let mut sorted = lines.clone();
    sorted.sort();
    assert_eq!(sorted, ["! two", "no end", "one"]);
    assert_eq!(lines[2], "no end");
    let many = place.sh("i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done");
    assert_eq!((many.len(), many[19_999].as_str()), (20_000, "line 19999"));
}

#[test]
fn it_reads_what_it_is_given() {
    let place = Place::new();
    let mut run = sh("cat; echo");
    assert_eq!(place.run(&run).1, [""]);
    run.stdin = vec![b'x'; 1 << 20];
    let (exit, lines) = place.run(&run);
    assert_eq!((exit, lines.iter().map(String::len).sum::<usize>()), (Exit::Code(0), 1 << 20));
    assert_eq!(
        place.run(&Run { stdin: b"echo from a script".to_vec(), ..Run::new(["/bin/sh"]) }).1,
        ["from a script"]
    );
}

#[test]
fn the_environment_is_exactly_the_given_one() {
    let place = Place::new();
    let mut run = Run::new(["/bin/busybox", "env"]);
    assert_eq!(place.run(&run).1, [""; 0]);
    run.env = vec![("B".into(), "x=y z".into()), ("A".into(), String::new())];
    assert_eq!(place.run(&run).1, ["B=x=y z", "A="]);
}

#[test]
fn a_program_is_looked_up_in_the_environment_s_path() {
    let place = Place::new();
    let mut run = Run::new(["id", "-u"]);
    assert_eq!(place.run(&run).1, ["0"]);
    run.env = vec![("PATH".into(), "/nowhere:/bin".into())];
    assert_eq!(place.run(&run).1, ["0"]);
    run.env = vec![("PATH".into(), "/nowhere".into())];
    let error = error_of(&place.overlay(), &run);
    assert!(error.starts_with("cannot start id in the sandbox: execute: ENOENT"), "{error}");
}

#[test]
fn what_cannot_be_started_is_told_with_the_reason() {
    let place = Place::new();
    fs::write(place.path("root/data"), "data").unwrap();
    fs::write(place.path("root/script"), "#!/bin/nothing\n").unwrap();
    fs::set_permissions(place.path("root/script"), fs::Permissions::from_mode(0o755)).unwrap();
    let cases = [
        (Run::new(["/data"]), "execute: EACCES"),
        (Run::new(["/script"]), "the interpreter that its first line"),
        (Run::new(Vec::<String>::new()), "no program is named"),
        (Run::new(["/bin/\0"]), "holds a NUL byte"),
        (
            Run { workdir: "/not/there".into(), ..sh("") },
            "change to the working directory /not/there: ENOENT",
        ),
        (Run { env: vec![("A=B".into(), String::new())], ..sh("") }, "no name of a variable"),
    ];
    for (run, expected) in cases {
        let error = error_of(&place.overlay(), &run);
        assert!(error.contains(expected), "{error}");
    }
    symlink("bin", place.path("root/proc")).unwrap();
    assert!(error_of(&place.overlay(), &sh("")).contains("make /proc, /sys and /dev: ELOOP"));
    let error = error_of(&Root::Plain(place.path("no-root")), &sh(""));
    assert!(error.contains("no-root: No such file"), "{error}");
}

#[test]
fn it_has_a_host_name_a_process_tree_and_a_network_of_its_own() {
    let place = Place::new();
    assert_eq!(place.sh("hostname"), ["estaleiro"]);
    for line in place.sh("cat /proc/self/cgroup") {
        assert!(line.ends_with(":/"), "{line}");
    }
    let processes = place.sh("ps -o pid,comm");
    assert_eq!(processes.len(), 3, "{processes:?}");
    assert!(processes[1].contains("estaleiro-init"), "{processes:?}");
    let arguments = place.sh("cat /proc/1/cmdline").concat();
    assert_eq!(arguments.trim_matches('\0'), "", "nothing of the builder's");
    let interfaces = place.sh("cat /proc/net/dev");
    assert_eq!(interfaces.len(), 3, "{interfaces:?}");
    assert_eq!(place.sh("cat /sys/class/net/lo/operstate; cat /proc/net/route").len(), 2);
    assert!(place.sh("busybox ip addr show lo")[0].contains("UP"));
    let host = Run { network: Network::Host, ..sh("readlink /proc/self/ns/net") };
    let own = fs::read_link("/proc/self/ns/net").unwrap();
    assert_eq!(place.run(&host).1, [own.to_str().unwrap()]);
    assert_ne!(place.sh("readlink /proc/self/ns/net"), [own.to_str().unwrap()]);
}

#[test]
fn it_sees_none_of_the_host_s_mounts() {
    let place = Place::new();
    let host = place.directory.path().to_str().unwrap().to_owned();
    for line in place.sh("cat /proc/mounts") {
        assert!(!line.contains(&host), "{line}");
        let target = line.split(' ').nth(1).unwrap();
        assert!(
            ["/", "/proc", "/sys", "/dev"].iter().any(|known| target == *known
                || target.starts_with("/proc/")
                || target.starts_with("/sys/")
                || target.starts_with("/dev/")),
            "{line}"
        );
    }
    assert_eq!(place.sh("ls -a /"), [".", "..", "bin", "dev", "proc", "sys"]);
}

#[test]
fn devices_are_few_and_work() {
    let place = Place::new();
    let names = place.sh("ls /dev").join(" ");
    assert_eq!(names, "fd full null ptmx pts random shm stderr stdin stdout tty urandom zero");
    assert_eq!(place.sh("echo x > /dev/null; head -c 3 /dev/zero | busybox od -An -tx1"), [" 00 00 00"]);
    assert_eq!(place.sh("head -c 9 /dev/urandom | busybox wc -c; echo ok > /dev/stdout"), ["9", "ok"]);
    assert_eq!(place.sh("stat -c %a%F /dev/null /dev/shm"), ["666character special file", "1777directory"]);
    assert_eq!(place.sh("(echo x > /dev/full) 2>/dev/null || echo full"), ["full"]);
    assert_eq!(place.sh("exec 3<>/dev/ptmx && ls /dev/pts"), ["0", "ptmx"]);
}

#[test]
fn no_device_of_the_host_can_be_made() {
    let place = Place::new();
    for kind in ["b 7 0", "c 1 3"] {
        let (exit, lines) =
            place.run(&sh(&format!("busybox mknod /made {kind} || busybox mknod /dev/made {kind}")));
        assert_eq!(exit, Exit::Code(1), "{lines:?}");
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines.iter().all(|line| line.ends_with("Operation not permitted")), "{lines:?}");
    }
    assert_eq!(place.sh("busybox mkfifo /pipe; stat -c %F /pipe"), ["fifo"]);
}

#[test]
fn devices_that_lie_in_the_root_cannot_be_opened() {
    let place = Place::new();
    let device = place.path("root/null");
    let mode = rustix::fs::Mode::from(0o666);
    let null = rustix::fs::makedev(1, 3);
    rustix::fs::mknodat(rustix::fs::CWD, &device, rustix::fs::FileType::CharacterDevice, mode, null).unwrap();
    for root in [place.overlay(), place.plain()] {
        let (exit, lines) = run_in(&root, &sh("cat /dev/null && cat /null")).unwrap();
        assert_eq!(exit, Exit::Code(1), "{root:?}: {lines:?}");
        assert_eq!(lines, ["! cat: can't open '/null': Permission denied"], "{root:?}");
    }
}

#[test]
fn the_kernel_is_out_of_reach() {
    let place = Place::new();
    for script in [
        "echo b > /proc/sysrq-trigger",
        "echo x > /proc/sys/kernel/core_pattern",
        "mkdir /sys/x",
        "busybox mount -t tmpfs none /bin",
        "busybox chroot / busybox umount /proc",
        "cat /proc/1/environ",
        "readlink /proc/1/fd/0",
        "cat /proc/1/fd/0",
        "readlink /proc/1/exe",
        "ls /proc/1/root/",
        "cat /proc/1/mem",
        "busybox hostname other",
    ] {
        assert_ne!(place.run(&sh(script)).0, Exit::Code(0), "{script}");
    }
    // Which of these there are, depends on the kernel; all are empty.
    let empty = place.sh("cat $(ls -d /proc/keys /proc/kcore /proc/timer_list 2>/dev/null) | busybox wc -c");
    assert_eq!(empty, ["0"]);
}

#[test]
fn it_has_docker_s_capabilities_but_mknod_and_may_gain_privileges() {
    let place = Place::new();
    let status = place.sh("grep -E '^(Cap|NoNewPrivs|Seccomp:|Umask)' /proc/self/status");
    let fields: Vec<String> = status.iter().map(|line| line.replace('\t', "")).collect();
    let set = "00000000a00425fb";
    assert_eq!(
        fields,
        [
            "Umask:0022".to_owned(),
            "CapInh:0000000000000000".to_owned(),
            format!("CapPrm:{set}"),
            format!("CapEff:{set}"),
            format!("CapBnd:{set}"),
            "CapAmb:0000000000000000".to_owned(),
            "NoNewPrivs:0".to_owned(),
            "Seccomp:2".to_owned(),
        ]
    );
}

#[test]
fn it_runs_as_whom_it_is_told_to() {
    let place = Place::new();
    let user = Some(User { uid: 1000, gid: 100, groups: vec![5, 7] });
    let run =
        Run { user: user.clone(), ..sh("id -u; id -g; id -G; grep CapEff /proc/self/status; echo x > /x") };
    let (exit, lines) = place.run(&run);
    assert_eq!(exit, Exit::Code(1));
    assert_eq!(lines[..4], ["1000", "100", "100 5 7", "CapEff:\t0000000000000000"]);
    // Not even another's setuid program is out of its reach.
    fs::set_permissions(place.path("root/bin/busybox"), fs::Permissions::from_mode(0o4755)).unwrap();
    let run = Run { user, ..Run::new(["/bin/grep", "^Uid", "/proc/self/status"]) };
    assert_eq!(place.run(&run).1, ["Uid:\t1000\t1000\t1000\t1000"], "busybox gives privileges up again");
    assert_eq!(place.run(&Run { umask: 0o077, ..sh("umask") }).1, ["0077"]);
    let run = Run { workdir: "/bin".into(), ..sh("busybox pwd") };
    assert_eq!(place.run(&run).1, ["/bin"]);
}

#[test]
fn it_inherits_no_descriptors() {
    let place = Place::new();
    let file = fs::File::open("/etc/passwd").unwrap();
    // One that would survive an exec.
    let leaked = rustix::io::dup(&file).unwrap();
    rustix::io::fcntl_setfd(&leaked, rustix::io::FdFlags::empty()).unwrap();
    let open = place.sh("ls /proc/self/fd");
    assert_eq!(open, ["0", "1", "2", "3"], "the third is the directory itself");
}

#[test]
fn what_it_leaves_in_the_background_is_killed() {
    let place = Place::new();
    let start = Instant::now();
    let mut run = sh("(sleep 100; echo late > /late) & busybox setsid sleep 100 & echo started");
    run.env.push(("MARK".into(), "estaleiro-test-background".into()));
    assert_eq!(place.run(&run), (Exit::Code(0), vec!["started".into()]));
    assert!(start.elapsed() < Duration::from_secs(20));
    assert_eq!(living("estaleiro-test-background"), 0);
}

/// How many processes have `mark` in their environment.
fn living(mark: &str) -> usize {
    let processes = fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path().join("environ"));
    let environments = processes.filter_map(|path| fs::read(path).ok());
    environments.filter(|bytes| String::from_utf8_lossy(bytes).contains(mark)).count()
}

#[test]
fn changes_go_to_the_upper_directory_and_nowhere_else() {
    let place = Place::new();
    fs::create_dir(place.path("root/d")).unwrap();
    for name in ["d/kept", "d/changed", "d/removed", "d/touched"] {
        fs::write(place.path("root").join(name), name).unwrap();
    }
    place.sh(
        "echo x > /d/changed; rm /d/removed; busybox touch /d/touched; busybox chmod 644 /d/kept; mkdir /new",
    );
    assert_eq!(place.changes(), ["d/changed", "d/removed", "new"]);
    assert_eq!(fs::read_to_string(place.path("root/d/changed")).unwrap(), "d/changed");
    assert!(place.path("root/d/removed").exists() && !place.path("root/new").exists());
    // A second run sees what the first one did.
    assert_eq!(
        place.sh("cat /d/changed; ls /d; rm -r /d; mkdir /d; echo -n d/kept > /d/kept"),
        ["x", "changed", "kept", "touched"]
    );
    assert_eq!(place.changes(), ["d/changed", "d/removed", "d/touched", "new"]);
}

#[test]
fn nothing_of_the_sandbox_itself_is_a_change() {
    let place = Place::new();
    chown(place.path("root"), Some(0), Some(7)).unwrap();
    fs::set_permissions(place.path("root"), fs::Permissions::from_mode(0o751)).unwrap();
    fs::write(place.path("shown"), "shown").unwrap();
    let bind = |target: &str| Mount::of_host(place.path("shown"), target);
    let mut run = sh("cat /run/a/b/secret /etc/hosts; stat -c %a /");
    run.mounts = vec![bind("/run/a/b/secret"), bind("/etc/hosts")];
    assert_eq!(place.run(&run).1, ["shownshown751"]);
    assert_eq!(place.changes(), [""; 0]);
    let (exit, _) = run_in(&place.plain(), &run).unwrap();
    assert_eq!(exit, Exit::Code(0));
    let mut names: Vec<_> =
        fs::read_dir(place.path("root")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["bin"]);
}

#[test]
fn directories_that_are_there_anyway_stay() {
    let place = Place::new();
    for name in ["proc", "dev", "sys", "run"] {
        fs::create_dir(place.path("root").join(name)).unwrap();
    }
    fs::write(place.path("root/dev/old"), "").unwrap();
    let source = place.path("root/bin");
    let mut run = sh("ls /dev/old /run/bin/sh; echo x > /run/other");
    run.mounts = vec![Mount { is_read_only: false, ..Mount::of_host(source, "/run/bin") }];
    let (exit, lines) = place.run(&run);
    assert!(exit == Exit::Code(0) && lines.contains(&"/run/bin/sh".to_owned()), "{lines:?}");
    assert_eq!(place.changes(), ["run/other"]);
}

#[test]
fn binds_are_read_only_where_they_shall_be() {
    let place = Place::new();
    fs::create_dir(place.path("shared")).unwrap();
    let bind = |is_read_only| Mount { is_read_only, ..Mount::of_host(place.path("shared"), "/mnt/shared") };
    let mut run = sh("echo x > /mnt/shared/x");
    run.mounts = vec![bind(true)];
    assert_ne!(place.run(&run).0, Exit::Code(0));
    run.mounts = vec![bind(false)];
    assert_eq!(place.run(&run).0, Exit::Code(0));
    assert_eq!(fs::read_to_string(place.path("shared/x")).unwrap(), "x\n");
    run.mounts = vec![Mount::of_host(place.path("missing"), "/mnt/shared")];
    assert!(error_of(&place.overlay(), &run).contains("missing: No such file"));
    run.mounts = vec![Mount { target: "/mnt/../x".into(), ..bind(false) }];
    assert!(error_of(&place.overlay(), &run).contains("holds `..`"));
}

#[test]
fn many_directories_and_long_paths_make_one_root() {
    let place = Place::new();
    let long = place.path(&format!("{}/{}", "a,b:".repeat(50), "c\\d".repeat(60)));
    let mut lowers = vec![place.path("root")];
    for n in 0..130 {
        let lower = long.join(n.to_string());
        fs::create_dir_all(&lower).unwrap();
        fs::write(lower.join(format!("only-{n}")), "").unwrap();
        fs::write(lower.join("top"), n.to_string()).unwrap();
        lowers.push(lower);
    }
    place.overlay();
    let root = Root::Overlay { lowers, upper: place.path("upper"), work: place.path("work") };
    let (exit, lines) = run_in(&root, &sh("ls / | grep -c only; cat /top")).unwrap();
    assert_eq!((exit, lines), (Exit::Code(0), vec!["130".into(), "129".into()]));
}

#[test]
fn a_run_that_is_cancelled_leaves_no_process() {
    let place = Place::new();
    let cancel = Cancel::new().unwrap();
    let mut run = sh("trap '' TERM INT; sleep 100 & echo started; sleep 100; sleep 100");
    run.env.push(("MARK".into(), "estaleiro-test-cancelled".into()));
    let (start, canceller) = (Instant::now(), cancel.clone());
    let error = Sandbox::Namespaces
        .run(&place.overlay(), &run, &cancel, &mut |_, _| {
            assert!(living("estaleiro-test-cancelled") > 0);
            let canceller = canceller.clone();
            std::thread::spawn(move || canceller.cancel());
        })
        .unwrap_err();
    assert!(matches!(error, Error::Cancelled { .. }), "{error}");
    assert!(start.elapsed() < Duration::from_secs(20));
    assert_eq!(living("estaleiro-test-cancelled"), 0);
    let error = Sandbox::Namespaces.run(&place.overlay(), &run, &cancel, &mut |_, _| {}).unwrap_err();
    assert!(matches!(error, Error::Cancelled { .. }), "{error}");
}

#[test]
fn a_listener_that_panics_leaves_no_process() {
    let place = Place::new();
    let mut run = sh("echo x; sleep 100");
    run.env.push(("MARK".into(), "estaleiro-test-panic".into()));
    let result = std::panic::catch_unwind(|| {
        let cancel = Cancel::new().unwrap();
        let _ = Sandbox::Namespaces.run(&place.overlay(), &run, &cancel, &mut |_, _| panic!("as it happens"));
    });
    assert!(result.is_err());
    assert_eq!(living("estaleiro-test-panic"), 0);
}

#[test]
fn waiting_for_the_disk_is_answered_at_once() {
    let place = Place::new();
    // The null device has nothing to wait for; the kernel would say so.
    assert_eq!(
        place
            .sh("busybox sync && busybox dd if=/bin/sh of=/dev/null conv=fsync 2>&1 && echo done")
            .last()
            .unwrap(),
        "done"
    );
    let host = std::process::Command::new("dd")
        .args(["if=/dev/null", "of=/dev/null", "conv=fsync"])
        .output()
        .unwrap();
    assert!(!host.status.success());
}

#[test]
fn directories_are_made_in_the_root_of_root_s_and_nobody_else_s() {
    let place = Place::new();
    place.sh("mkdir /made");
    let metadata = fs::metadata(place.path("upper/made")).unwrap();
    assert_eq!((metadata.uid(), metadata.gid(), metadata.mode() & 0o7777), (0, 0, 0o755));
}
