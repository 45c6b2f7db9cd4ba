//! `/dev`, `/proc` and `/sys` as a command finds them: a few files, and markers for what only the kernel can tell.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, symlink};
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::furniture::{Markers, Shelves, Special};

/// Devices that are handed out as the builder's own are.
const DEVICES: [&str; 5] = ["null", "zero", "full", "random", "urandom"];

const DEVICE_LINKS: [(&str, &str); 5] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
];

/// The directory that stands for the caller's own; `self` leads there.
pub(super) const CALLER: &str = ".caller";
/// Where directories are made that list a process's open files.
pub(super) const LISTED: &str = ".listed";
/// How many open files of a caller have a marker; the supervisor knows the others by their names.
const N_DESCRIPTORS: u32 = 64;

/// Files below `/proc/PID` that tell of nothing but the process itself.
const OWN: [&str; 34] = [
    "attr/current",
    "attr/exec",
    "attr/fscreate",
    "attr/keycreate",
    "attr/prev",
    "attr/sockcreate",
    "auxv",
    "cmdline",
    "comm",
    "coredump_filter",
    "environ",
    "io",
    "limits",
    "loginuid",
    "maps",
    "mem",
    "mountinfo",
    "mounts",
    "mountstats",
    "numa_maps",
    "oom_adj",
    "oom_score",
    "oom_score_adj",
    "pagemap",
    "personality",
    "sched",
    "schedstat",
    "sessionid",
    "smaps",
    "smaps_rollup",
    "stat",
    "statm",
    "status",
    "wchan",
];
const OWN_LINKS: [&str; 12] = [
    "cwd",
    "exe",
    "ns/cgroup",
    "ns/ipc",
    "ns/mnt",
    "ns/net",
    "ns/pid",
    "ns/pid_for_children",
    "ns/time",
    "ns/time_for_children",
    "ns/user",
    "ns/uts",
];

/// What the kernel tells of the machine; each as it was when the run began.
const TOLD: [&str; 46] = [
    "cpuinfo",
    "crypto",
    "devices",
    "diskstats",
    "filesystems",
    "loadavg",
    "meminfo",
    "misc",
    "modules",
    "partitions",
    "stat",
    "swaps",
    "uptime",
    "version",
    "vmstat",
    "sys/crypto/fips_enabled",
    "sys/fs/aio-max-nr",
    "sys/fs/file-max",
    "sys/fs/inotify/max_queued_events",
    "sys/fs/inotify/max_user_instances",
    "sys/fs/inotify/max_user_watches",
    "sys/fs/nr_open",
    "sys/fs/pipe-max-size",
    "sys/fs/pipe-user-pages-soft",
    "sys/kernel/cap_last_cap",
    "sys/kernel/msgmax",
    "sys/kernel/msgmnb",
    "sys/kernel/msgmni",
    "sys/kernel/ngroups_max",
    "sys/kernel/osrelease",
    "sys/kernel/ostype",
    "sys/kernel/overflowgid",
    "sys/kernel/overflowuid",
    "sys/kernel/pid_max",
    "sys/kernel/random/boot_id",
    "sys/kernel/random/entropy_avail",
    "sys/kernel/random/poolsize",
    "sys/kernel/randomize_va_space",
    "sys/kernel/sem",
    "sys/kernel/shmall",
    "sys/kernel/shmmax",
    "sys/kernel/shmmni",
    "sys/kernel/threads-max",
    "sys/kernel/version",
    "sys/vm/max_map_count",
    "sys/vm/overcommit_memory",
];

/// The same below `/sys`.
const SYS_TOLD: [&str; 5] = [
    "devices/system/cpu/online",
    "devices/system/cpu/possible",
    "devices/system/cpu/present",
    "devices/system/node/online",
    "kernel/mm/transparent_hugepage/enabled",
];

/// Files that say the same in every run.
const FIXED: [(&str, &str); 6] = [
    ("sys/kernel/domainname", "(none)\n"),
    (".caller/cgroup", "0::/\n"),
    ("1/comm", "estaleiro-init\n"),
    ("1/cmdline", ""),
    ("1/environ", ""),
    ("1/cgroup", "0::/\n"),
];

/// Makes `dev`, `proc` and `sys` in the new directory `tree`.
pub(super) fn make(tree: &Path, host_name: &str, markers: &mut Markers) -> io::Result<Shelves> {
    make_directory(tree, 0o700)?;
    make_devices(&tree.join("dev"), markers)?;
    make_processes(&tree.join("proc"), host_name, markers)?;
    tell(&SYS_TOLD, Path::new("/sys"), &tree.join("sys"))?;
    make_directory(&tree.join("sys/fs/cgroup"), 0o755)?;
    let proc = tree.join("proc");
    make_directory(&proc.join(LISTED), 0o555)?;
    Ok(Shelves {
        listed: File::open(proc.join(LISTED))?,
        processes: File::open(proc)?,
        terminals: File::open(tree.join("dev/pts"))?,
    })
}

fn make_devices(dev: &Path, markers: &mut Markers) -> io::Result<()> {
    make_directory(dev, 0o755)?;
    for name in DEVICES {
        let special = Special::Outside(Path::new("/dev").join(name));
        markers.make(&dev.join(name), 0o666, special)?;
    }
    // The builder's terminal is nobody else's: this stands for nothing, and can't be opened, as where there is none.
    mknodat(CWD, dev.join("tty"), FileType::CharacterDevice, Mode::from_raw_mode(0o666), 0)?;
    for (name, target) in DEVICE_LINKS {
        symlink(target, dev.join(name))?;
    }
    make_directory(&dev.join("shm"), 0o1777)?;
    make_directory(&dev.join("pts"), 0o755)?;
    markers.make(&dev.join("pts/ptmx"), 0o666, Special::Terminals)
}

fn make_processes(proc: &Path, host_name: &str, markers: &mut Markers) -> io::Result<()> {
    let caller = proc.join(CALLER);
    tell(&TOLD, Path::new("/proc"), proc)?;
    for name in OWN {
        make_around(&caller.join(name))?;
        markers.make(&caller.join(name), 0o666, Special::Own(name))?;
    }
    for name in OWN_LINKS {
        make_around(&caller.join(name))?;
        markers.make(&caller.join(name), 0o777, Special::OwnLink(name))?;
    }
    make_directory(&caller.join("fd"), 0o555)?;
    for number in 0..N_DESCRIPTORS {
        markers.make(&caller.join(format!("fd/{number}")), 0o777, Special::Descriptor(number))?;
    }
    markers.note(&caller.join("fd"), Special::Descriptors)?;
    markers.note(&caller, Special::Process)?;
    markers.note(proc, Special::Processes)?;
    for (name, special) in [("self", Special::Caller), ("thread-self", Special::CallerThread)] {
        symlink(CALLER, proc.join(name))?;
        markers.note(&proc.join(name), special)?;
    }
    symlink("self/mounts", proc.join("mounts"))?;
    let uuid = Special::Outside("/proc/sys/kernel/random/uuid".into());
    markers.make(&proc.join("sys/kernel/random/uuid"), 0o444, uuid)?;
    for (name, text) in FIXED {
        write(&proc.join(name), text.as_bytes())?;
    }
    for directory in [caller, proc.join("1")] {
        symlink("/", directory.join("root"))?;
    }
    write(&proc.join("sys/kernel/hostname"), format!("{host_name}\n").as_bytes())
}

/// Copies what the kernel tells now. What this kernel doesn't tell isn't there.
fn tell(names: &[&str], from: &Path, to: &Path) -> io::Result<()> {
    make_directory(to, 0o755)?;
    for name in names {
        if let Ok(content) = fs::read(from.join(name)) {
            write(&to.join(name), &content)?;
        }
    }
    Ok(())
}

fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    make_around(path)?;
    fs::write(path, content)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o444))
}

fn make_around(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |around| make_directory(around, 0o755))
}

/// Makes a directory, and those around it, whatever the umask.
fn make_directory(path: &Path, mode: u32) -> io::Result<()> {
    if !path.is_dir() {
        make_around(path)?;
        fs::DirBuilder::new().mode(mode).create(path)?;
        fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    }
    Ok(())
}
