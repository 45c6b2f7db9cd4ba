//! What runc is told of a container: the values of Concourse's containerd worker.

use serde_json::{Value, json};

use super::{Kind, Mount};

/// Which number outside is root inside a user namespace; all others are themselves.
pub(super) const ROOT_OUTSIDE: u32 = u32::MAX - 1;

/// The system calls that Concourse allows without conditions.
const ALLOWED: &str = include_str!("allowed.txt");

/// What it allows as well to a program that may mount.
const ALLOWED_TO_MOUNT: [&str; 12] = [
    "clone",
    "clone3",
    "mount",
    "mount_setattr",
    "move_mount",
    "pivot_root",
    "unshare",
    "umount",
    "umount2",
    "pidfd_getfd",
    "keyctl",
    "sethostname",
];

/// The capabilities of each container.
const CAPABILITIES: [&str; 14] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "NET_RAW",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// The further ones of a privileged container.
const PRIVILEGES: [&str; 23] = [
    "AUDIT_CONTROL",
    "AUDIT_READ",
    "BLOCK_SUSPEND",
    "DAC_READ_SEARCH",
    "IPC_LOCK",
    "IPC_OWNER",
    "LEASE",
    "LINUX_IMMUTABLE",
    "MAC_ADMIN",
    "MAC_OVERRIDE",
    "NET_ADMIN",
    "NET_BROADCAST",
    "SYSLOG",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_MODULE",
    "SYS_NICE",
    "SYS_PACCT",
    "SYS_PTRACE",
    "SYS_RAWIO",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "WAKE_ALARM",
];

const CLONE_FLAGS_OF_NAMESPACES: u32 = 0x7c02_0000;
const CLONE_NEWNS: u32 = 0x2_0000;
const ENOSYS: u32 = 38;

/// Returns the `config.json` of a bundle whose first process is `init`.
///
/// One thing differs from a worker: there is no network namespace, so that what the tests serve on 127.0.0.1 is
/// reached, and with it all that else listens on this machine. A user namespace can't mount sysfs then, and has the
/// machine's, read-only, in its place.
pub(super) fn config(kind: Kind, init: &str, workdir: &str, mounts: &[Mount]) -> Value {
    let mut linux = json!({
        "namespaces": namespaces(kind),
        "resources": {"devices": [{"allow": true, "access": "rwm", "type": "c", "major": 10, "minor": 229}]},
    });
    if kind.has_user_namespace() {
        let mapping = json!([
            {"containerID": 0, "hostID": ROOT_OUTSIDE, "size": 1},
            {"containerID": 1, "hostID": 1, "size": ROOT_OUTSIDE - 1},
        ]);
        linux["uidMappings"] = mapping.clone();
        linux["gidMappings"] = mapping;
        linux["seccomp"] = seccomp(kind);
    }
    if kind != Kind::Unprivileged {
        linux["devices"] =
            json!([{"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 0o666}]);
    }
    json!({
        "ociVersion": "1.0.2",
        "hostname": "concourse",
        "process": process(kind, init, workdir),
        "root": {"path": "rootfs"},
        "mounts": all_mounts(kind, mounts),
        "linux": linux,
    })
}

fn process(kind: Kind, init: &str, workdir: &str) -> Value {
    let capabilities = capabilities(kind);
    json!({
        "terminal": false,
        "user": {"uid": 0, "gid": 0},
        "args": [init],
        "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
        "cwd": workdir,
        "capabilities": {
            "effective": capabilities,
            "bounding": capabilities,
            "inheritable": capabilities,
            "permitted": capabilities,
        },
    })
}

/// Returns the capabilities' names, sorted.
pub(super) fn capabilities(kind: Kind) -> Vec<String> {
    let further: &[&str] = match kind {
        Kind::Unprivileged => &[],
        Kind::FuseOnly => &["SYS_ADMIN"],
        Kind::Privileged => &PRIVILEGES,
    };
    let mut names: Vec<String> =
        CAPABILITIES.iter().chain(further).map(|name| format!("CAP_{name}")).collect();
    names.sort();
    names
}

fn namespaces(kind: Kind) -> Value {
    let further: &[&str] = if kind.has_user_namespace() { &["user", "cgroup"] } else { &[] };
    let names = ["pid", "ipc", "uts", "mount"].iter().chain(further);
    names.map(|name| json!({"type": name})).collect()
}

fn all_mounts(kind: Kind, mounts: &[Mount]) -> Value {
    let mount = |destination: &str, kind: &str, source: &str, options: &[&str]| json!({"destination": destination, "type": kind, "source": source, "options": options});
    let own = |options: &[&'static str]| [options, &["nosuid", "noexec", "nodev"]].concat();
    let (sys, cgroup) = match kind.has_user_namespace() {
        true => (mount("/sys", "none", "/sys", &own(&["rbind", "ro"])), own(&["ro"])),
        false => (mount("/sys", "sysfs", "sysfs", &own(&[])), own(&[])),
    };
    let of_the_kernel = [
        mount("/proc", "proc", "proc", &own(&[])),
        mount("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        mount(
            "/dev/pts",
            "devpts",
            "devpts",
            &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        ),
        mount("/dev/shm", "tmpfs", "shm", &own(&["mode=1777"])),
        mount("/dev/mqueue", "mqueue", "mqueue", &own(&[])),
        sys,
        mount("/sys/fs/cgroup", "cgroup", "cgroup", &cgroup),
    ];
    let bound = mounts.iter().map(|Mount { source, destination, is_lent }| {
        mount(destination, "none", source.to_str().unwrap(), &["rbind", if *is_lent { "rw" } else { "ro" }])
    });
    of_the_kernel.into_iter().chain(bound).collect()
}

/// Returns the filter of system calls; what it does not name is not permitted.
fn seccomp(kind: Kind) -> Value {
    let allow = |names: &[&str]| json!({"names": names, "action": "SCMP_ACT_ALLOW"});
    let allow_if = |name: &str, index: u32, value: u32, operator: &str| {
        let condition = json!({"index": index, "value": value, "valueTwo": 0, "op": operator});
        json!({"names": [name], "action": "SCMP_ACT_ALLOW", "args": [condition]})
    };
    let mut rules = Vec::new();
    if kind == Kind::FuseOnly {
        rules.push(allow(&ALLOWED_TO_MOUNT));
        rules.push(allow_if("setns", 1, CLONE_NEWNS, "SCMP_CMP_EQ"));
    }
    rules.push(allow(&ALLOWED.split_whitespace().collect::<Vec<_>>()));
    rules.extend([0, 8, u32::MAX].map(|persona| allow_if("personality", 0, persona, "SCMP_CMP_EQ")));
    rules.push(allow_if("clone", 0, CLONE_FLAGS_OF_NAMESPACES, "SCMP_CMP_MASKED_EQ"));
    rules.push(json!({"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": ENOSYS}));
    json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "architectures":
            ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32", "SCMP_ARCH_ARM", "SCMP_ARCH_AARCH64"],
        "syscalls": rules,
    })
}
