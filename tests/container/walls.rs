//! What the containers are: who is root in them, what may be done, and what is there.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::support::container::{Container, Kind, Mount, Root};

/// A root to look around from.
fn lookout() -> Root {
    let applets =
        ["sh", "cat", "chroot", "echo", "grep", "id", "ls", "mknod", "mount", "stat", "true", "unshare"];
    Root::busybox("lookout", &applets).program(Path::new("/usr/bin/strace"), "bin/strace")
}

/// A container with a directory at `/tmp/build/put`.
struct Look {
    container: Container,
    directory: tempfile::TempDir,
}

impl Look {
    fn into(kind: Kind) -> Look {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("hull"), "oak").unwrap();
        let mounts = [Mount::lent(directory.path(), "/tmp/build/put")];
        let container = Container::start(kind, &lookout(), "/tmp/build/put", &mounts);
        Look { container, directory }
    }

    /// Returns what a script says, on both streams.
    fn says(&self, script: &str) -> String {
        let script = format!("exec 2>&1; {script}");
        let mut command = self.container.command(&["/bin/sh", "-c", &script], &BTreeMap::new());
        let output = command.output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    /// Whether a command succeeds.
    fn can(&self, script: &str) -> bool {
        self.says(&format!("{{ {script}; }} > /dev/null; echo $?")).ends_with('0')
    }
}

#[test]
fn namespaces_mounts_and_devices_are_refused_unless_it_is_privileged() {
    for (kind, may_mount) in [(Kind::Unprivileged, false), (Kind::FuseOnly, true), (Kind::Privileged, true)] {
        let look = Look::into(kind);
        for script in ["unshare -m true", "mount -t tmpfs none /scratch"] {
            assert_eq!(look.can(script), may_mount, "{kind:?}: {script}: {}", look.says(script));
        }
        assert_eq!(look.can("mknod /scratch/sda b 8 0"), kind == Kind::Privileged, "{kind:?}");
        assert!(look.can("chroot / true"), "{kind:?}");
        assert!(look.can("strace -o /scratch/trace true"), "{kind:?}: ptrace is allowed");
    }
}

#[test]
fn capabilities_are_those_of_the_list() {
    const NAMES: [&str; 38] = [
        "CHOWN",
        "DAC_OVERRIDE",
        "DAC_READ_SEARCH",
        "FOWNER",
        "FSETID",
        "KILL",
        "SETGID",
        "SETUID",
        "SETPCAP",
        "LINUX_IMMUTABLE",
        "NET_BIND_SERVICE",
        "NET_BROADCAST",
        "NET_ADMIN",
        "NET_RAW",
        "IPC_LOCK",
        "IPC_OWNER",
        "SYS_MODULE",
        "SYS_RAWIO",
        "SYS_CHROOT",
        "SYS_PTRACE",
        "SYS_PACCT",
        "SYS_ADMIN",
        "SYS_BOOT",
        "SYS_NICE",
        "SYS_RESOURCE",
        "SYS_TIME",
        "SYS_TTY_CONFIG",
        "MKNOD",
        "LEASE",
        "AUDIT_WRITE",
        "AUDIT_CONTROL",
        "SETFCAP",
        "MAC_OVERRIDE",
        "MAC_ADMIN",
        "SYSLOG",
        "WAKE_ALARM",
        "BLOCK_SUSPEND",
        "AUDIT_READ",
    ];
    for kind in Kind::ALL {
        let status = Look::into(kind).says("cat /proc/self/status");
        let field = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name)).unwrap();
            line.split_whitespace().nth(1).unwrap()
        };
        for set in ["CapPrm", "CapEff", "CapBnd", "CapInh"] {
            let bits = u64::from_str_radix(field(set), 16).unwrap();
            let mut held: Vec<String> = (0..64)
                .filter(|bit| bits >> bit & 1 == 1)
                .map(|bit: usize| format!("CAP_{}", NAMES.get(bit).unwrap_or(&"of a later kernel")))
                .collect();
            held.sort();
            assert_eq!(held, kind.capabilities(), "{kind:?} {set}");
        }
        assert_eq!(field("Seccomp:"), if kind == Kind::Privileged { "0" } else { "2" }, "{kind:?}");
        assert_eq!(field("NoNewPrivs:"), "0", "{kind:?}");
    }
}

#[test]
fn root_inside_is_root_s_own_and_everybody_else_is_who_he_is() {
    for kind in Kind::ALL {
        let look = Look::into(kind);
        let said =
            look.says("id -u; stat -c %u:%g / /scratch . hull /bin/busybox; echo 7 > made; stat -c %u made");
        assert_eq!(said, "0\n0:0\n0:0\n0:0\n0:0\n0:0\n0", "{kind:?}");
        assert!(look.can("busybox chown 1000:8 made"), "{kind:?}");
        let Look { container, directory } = look;
        drop(container);
        let owners = |name: &str| {
            let metadata = fs::metadata(directory.path().join(name)).unwrap();
            (metadata.uid(), metadata.gid())
        };
        assert_eq!([owners("hull"), owners("."), owners("made")], [(0, 0), (0, 0), (1000, 8)], "{kind:?}");
    }
}

#[test]
fn there_are_the_usual_devices_a_scratch_directory_and_the_machine_s_certificates() {
    for kind in Kind::ALL {
        let look = Look::into(kind);
        let all = look.says("cat /proc/mounts");
        let mounted = |at: &str| {
            let line = all.lines().rfind(|line| line.split(' ').nth(1) == Some(at));
            line.unwrap_or_else(|| panic!("{kind:?}: {at} is no mount: {all}")).split(' ').collect::<Vec<_>>()
        };
        assert_eq!(mounted("/")[2], "overlay", "{kind:?}");
        assert_ne!(mounted("/scratch")[2], "overlay", "{kind:?}");
        assert!(mounted("/dev")[3].contains("size=65536k"), "{kind:?}: {all}");
        assert_eq!(mounted("/sys")[3].starts_with("ro"), kind != Kind::Privileged, "{kind:?}: {all}");
        assert!(look.can("echo x > /dev/null && test -c /dev/urandom -a -c /dev/zero -a -d /dev/fd"));
        assert_eq!(look.can("test -c /dev/fuse"), kind != Kind::Unprivileged, "{kind:?}");
        assert!(look.can("grep -q CERTIFICATE /etc/ssl/certs/ca-certificates.crt"), "{kind:?}");
        assert!(!look.can("echo x > /etc/ssl/certs/x"), "{kind:?}");
        assert_eq!(look.says("ls /scratch; busybox hostname"), "concourse");
    }
}

#[test]
fn an_exit_code_and_both_streams_come_out_and_the_environment_is_what_concourse_gives() {
    let look = Look::into(Kind::Unprivileged);
    let environment = BTreeMap::from([("BUILD_ID".to_owned(), "4711".to_owned())]);
    let script = "read -r line; echo \"$line out\"; echo err >&2; echo $BUILD_ID $HOME $PATH; exit 7";
    let mut command = look.container.command(&["/bin/sh", "-c", script], &environment);
    let output = command.stdin(fs::File::open(look.directory.path().join("hull")).unwrap()).output().unwrap();
    assert_eq!(output.status.code(), Some(7));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "err\n");
    let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    assert_eq!(String::from_utf8_lossy(&output.stdout), format!("oak out\n4711 /root {path}\n"));
}

#[test]
fn what_a_program_leaves_behind_is_seen() {
    let look = Look::into(Kind::Privileged);
    assert_eq!(look.container.programs(), [""; 0]);
    let before = look.container.mounts();
    look.says("mount -t tmpfs none /scratch; busybox sleep 100 > /dev/null 2>&1 &");
    assert_eq!(look.container.programs(), ["busybox sleep 100 "]);
    assert_ne!(look.container.mounts(), before);
}
