//! Commands that want out, or at the builder.

use std::io::Read;
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use estaleiro::sandbox::{Cancel, Error, Exit, Mount, Network, Root, Run, Sandbox, Source};

use crate::place::{Place, as_user, run, sh};

pub(crate) fn probe(place: &Place) {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/chroot/probe.c");
    let program = place.path("root/bin/probe");
    let compiled = Command::new("cc").args(["-O1", "-static", "-o"]).arg(&program).arg(source).status();
    assert!(compiled.expect("this test needs a C compiler").success());
}

/// What a process outside may not lose: it sleeps until it is killed.
struct Bystander(std::process::Child);

impl Bystander {
    fn new() -> Bystander {
        Bystander(Command::new("/bin/busybox").args(["sleep", "600"]).spawn().unwrap())
    }

    fn lives(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }
}

impl Drop for Bystander {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn nobody_outside_is_signalled_or_slowed_or_traced() {
    let place = Place::new();
    probe(&place);
    let mut bystander = Bystander::new();
    let (builder, other) = (std::process::id().to_string(), bystander.0.id().to_string());
    let told = place.tell(&run(["probe", "outside", &builder, &other]));
    assert_eq!((told.exit, told.stdout.as_str()), (Exit::Code(0), ""), "{told:?}");
    assert!(bystander.lives());
    let user = place.tell(&as_user(1000, run(["probe", "outside", &builder, &other])));
    assert_eq!((user.exit, user.stdout.as_str()), (Exit::Code(0), ""), "{user:?}");
}

/// Linux 6.12 and later.
#[test]
fn sockets_of_the_machine_that_have_no_file_are_not_found() {
    let place = Place::new();
    probe(&place);
    let name = format!("of the machine {}", std::process::id());
    let _listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    for user in [0, 1000] {
        let told = place.tell(&as_user(user, run(["probe", "sockets", &name])));
        assert_eq!(
            (told.exit, told.stdout.as_str()),
            (Exit::Code(0), "own\nOperation not permitted\n"),
            "{told:?}"
        );
    }
}

#[test]
fn whoever_signals_everybody_signals_only_its_own() {
    let place = Place::new();
    let mut bystander = Bystander::new();
    let told = place.says("sleep 60 & kill -9 -1; wait $!; echo $?");
    assert_eq!(told, "137\n");
    assert!(bystander.lives());
}

#[test]
fn own_processes_are_signalled_as_ever() {
    let place = Place::new();
    let script = "sleep 60 & kill -0 $! && kill $!; wait $!; echo $?; \
                  setsid sh -c 'sleep 60 & kill -9 0'; echo $?; trap 'echo trapped' USR1; kill -USR1 $$";
    assert_eq!(place.says(script), "143\n137\ntrapped\n");
}

#[test]
fn there_is_no_way_out_of_the_root() {
    let place = Place::new();
    probe(&place);
    std::fs::write(place.path("outside"), "outside").unwrap();
    let told = place.tell(&run(["probe", "escape"]));
    assert_eq!((told.exit, told.stdout.as_str()), (Exit::Code(0), ""), "{told:?}");
    let told = place.says(
        "ls -a / | tr '\\n' ' '; ls -d /proc/self/root/.. /proc/1/root/bin; cat /proc/self/root/../outside || echo no",
    );
    assert!(told.contains("/proc/self/root/..") && told.ends_with("no\n"), "{told}");
}

#[test]
fn a_link_in_the_way_leads_the_supervisor_nowhere() {
    let place = Place::new();
    std::fs::create_dir_all(place.path("outside/fd")).unwrap();
    std::fs::create_dir_all(place.path("root/opt")).unwrap();
    std::fs::create_dir_all(place.path("cache")).unwrap();
    let outside = place.path("outside").display().to_string();
    let script = format!(
        "rm -rf /proc/.listed /dev/pts; ln -s {outside} /proc/.listed; ln -s ../../{outside} /dev/pts; \
         ls /proc/self/fd; ls /proc >/dev/null; probe terminal; mv /opt /opt2; ln -s {outside} /opt; true"
    );
    probe(&place);
    let source = Source::Path { root: Root::Plain(place.path("cache")), path: "".into() };
    let mounts = vec![Mount { source, target: "/opt/cache".into(), is_read_only: false }];
    place.tell(&Run { mounts, ..sh(&script) });
    assert_eq!(std::fs::read_dir(place.path("outside")).unwrap().count(), 1);
    assert_eq!(std::fs::read_dir(place.path("outside/fd")).unwrap().count(), 0);
    assert!(place.path("cache").is_dir());
}

#[test]
fn what_is_there_for_the_run_only_is_neither_kept_nor_moved_out() {
    let place = Place::new();
    let script = "ln /dev/null /null; mv /dev /other; mv /dev/zero /zero; mv /proc/version /version && cat /version; true";
    let told = place.tell(&sh(script));
    assert!(told.stdout.starts_with("Linux version"), "a file is copied: {told:?}");
    let left: Vec<_> = place.tree().into_iter().filter(|line| !line.contains("/bin")).collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

#[test]
fn it_may_do_less_than_the_builder() {
    let place = Place::new();
    let status = place.says("grep -E '^Cap(Eff|Prm|Bnd)' /proc/self/status");
    for line in status.lines() {
        let bits = u64::from_str_radix(line.split_whitespace().nth(1).unwrap(), 16).unwrap();
        for (name, bit) in [("SYS_CHROOT", 18), ("MKNOD", 27), ("SYS_ADMIN", 21), ("SYS_PTRACE", 19)] {
            assert_eq!(bits >> bit & 1, 0, "{name} in {line}");
        }
    }
    for script in ["chroot /bin /busybox true", "mount -t tmpfs x /bin", "mknod /x c 1 3"] {
        assert_ne!(place.tell(&sh(script)).exit, Exit::Code(0), "{script}");
    }
}

#[test]
fn no_descriptor_is_inherited() {
    let place = Place::new();
    let _open = std::fs::File::open(place.path("root")).unwrap();
    assert_eq!(place.says("ls /proc/$$/fd | tr '\\n' ' '"), "0 1 2 \n");
    assert_eq!(place.says("ls -l /proc/$$/fd | grep -c -e root -e estaleiro || true"), "0\n");
}

#[test]
fn without_a_network_none_is_reached_and_the_failure_says_so() {
    let place = Place::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let ask = |network| place.tell(&Run { network, ..sh(&format!("echo hi | nc 127.0.0.1 {port}")) });
    let none = ask(Network::None);
    assert_ne!(none.exit, Exit::Code(0));
    assert!(
        none.stderr.contains("it has no network, and in this sandbox (chroot) no loopback either"),
        "{none:?}"
    );
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err());
    listener.set_nonblocking(false).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| ask(Network::Host));
        let mut said = String::new();
        listener.accept().unwrap().0.read_to_string(&mut said).unwrap();
        assert_eq!(said, "hi\n");
    });
}

/// Processes whose command line holds the word.
fn n_called(word: &str) -> usize {
    let listed = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = listed.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    lines.filter(|line| String::from_utf8_lossy(line).contains(word)).count()
}

#[test]
fn nothing_outlives_the_command() {
    let place = Place::new();
    place.says(
        "setsid sh -c 'sleep 1234567 & sleep 1234567' & (nohup sleep 1234567 >/dev/null 2>&1 &) & true",
    );
    assert_eq!(n_called("1234567"), 0);
    // Each starts the next, and ends.
    let jumper =
        "jump() { (sleep 0.01; test -e /stop || jump) & }; echo 7654321 >/dev/null; jump; jump; true";
    place.says(jumper);
    assert_eq!(n_called("7654321"), 0);
}

#[test]
fn a_fork_bomb_ends_at_its_limit() {
    let place = Place::new();
    let script = "bomb() { bomb | bomb & }; bomb 2>/dev/null; sleep 1; true";
    let started = Instant::now();
    place.tell(&as_user(54_321, Run { max_processes: 60, ..sh(script) }));
    assert!(started.elapsed() < Duration::from_secs(60));
    let is_left = |entry: &std::fs::DirEntry| {
        let status = std::fs::read_to_string(entry.path().join("status")).unwrap_or_default();
        status.contains("\nUid:\t54321\t")
    };
    assert_eq!(std::fs::read_dir("/proc").unwrap().flatten().filter(is_left).count(), 0);
}

#[test]
fn a_run_that_is_cancelled_leaves_nothing() {
    let place = Place::new();
    let cancel = Cancel::new().unwrap();
    let root = Root::Plain(place.path("root"));
    let before = place.tree();
    let ended = std::thread::scope(|scope| {
        let run = scope.spawn(|| {
            let run = sh("trap '' TERM; setsid sleep 2345678 & echo ready; sleep 2345678");
            Sandbox::Chroot.run(&root, &run, &cancel, &mut |_, _| cancel.cancel())
        });
        run.join().unwrap()
    });
    assert!(matches!(ended, Err(Error::Cancelled { .. })), "{ended:?}");
    assert_eq!(n_called("2345678"), 0);
    assert_eq!(place.tree(), before);
}

#[test]
fn a_builder_s_secrets_are_nowhere_to_be_found() {
    let place = Place::new();
    let builder = std::process::id();
    let script = format!(
        "for p in {builder} 1 $PPID; do for f in environ mem maps fd/0 cmdline exe root/etc/passwd cwd/Cargo.toml; do \
         cat /proc/$p/$f 2>/dev/null; done; done; true"
    );
    assert_eq!(place.says(&script), "");
    assert!(!Path::new("/proc/self/nothing").exists());
}
