//! What happens inside: the first process of the sandbox sets it up, starts the command, and buries the dead.
//!
//! Both processes here are copies of the builder until the command is executed. They only make system calls, on
//! memory that the [`Plan`] prepared; see [`syscall`].

use std::ffi::CStr;
use std::os::fd::AsRawFd;

use nix::libc::{self, MS_BIND, MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_PRIVATE, MS_RDONLY, MS_REC, MS_REMOUNT};

use super::listen::Channels;
use super::plan::{MOUNT_POINTS, Plan, RootPlan};
use super::privileges;
use super::program::{Outcome, Program, at, at_nth};
use super::report::{Report, Step};
use super::syscall::{self as sys, Sys};
use super::{Network, mounts, place};

/// What a command may do at most: Docker's default but mknod, since a device made inside would be the host's.
pub(super) const CAPABILITIES: u64 = 1 << 0 // chown
    | 1 << 1 // dac_override
    | 1 << 3 // fowner
    | 1 << 4 // fsetid
    | 1 << 5 // kill
    | 1 << 6 // setgid
    | 1 << 7 // setuid
    | 1 << 8 // setpcap
    | 1 << 10 // net_bind_service
    | 1 << 13 // net_raw
    | 1 << 18 // sys_chroot
    | 1 << 29 // audit_write
    | 1 << 31; // setfcap

const DEVICES: [(&CStr, u32, u32); 6] = [
    (c"/dev/null", 1, 3),
    (c"/dev/zero", 1, 5),
    (c"/dev/full", 1, 7),
    (c"/dev/random", 1, 8),
    (c"/dev/urandom", 1, 9),
    (c"/dev/tty", 5, 0),
];

const DEVICE_LINKS: [(&CStr, &CStr); 5] = [
    (c"/dev/fd", c"/proc/self/fd"),
    (c"/dev/stdin", c"/proc/self/fd/0"),
    (c"/dev/stdout", c"/proc/self/fd/1"),
    (c"/dev/stderr", c"/proc/self/fd/2"),
    (c"/dev/ptmx", c"pts/ptmx"),
];

/// What tells of the host, or reaches it.
const MASKED: [&CStr; 10] = [
    c"/proc/acpi",
    c"/proc/asound",
    c"/proc/kcore",
    c"/proc/keys",
    c"/proc/latency_stats",
    c"/proc/sched_debug",
    c"/proc/scsi",
    c"/proc/timer_list",
    c"/sys/devices/virtual/powercap",
    c"/sys/firmware",
];
const READ_ONLY: [&CStr; 5] = [c"/proc/bus", c"/proc/fs", c"/proc/irq", c"/proc/sys", c"/proc/sysrq-trigger"];

/// Is the first process of the sandbox.
pub(super) fn live(plan: &mut Plan, channels: &Channels) -> ! {
    let report = channels.report;
    if let Err((step, index, errno)) = enter_root(plan, channels).and_then(|()| furnish_or_tidy(plan)) {
        let _ = sys::write(report, &Report::Failed { step, index, errno }.encode());
        sys::exit(1);
    }
    // SAFETY: the child goes on in this module only.
    match unsafe { sys::clone(0, None) } {
        Ok(0) => plan.program.start(prepare_command(plan), report),
        Ok(pid) => {
            let status = bury_all(pid);
            tidy(plan);
            let _ = sys::write(report, &Report::Ended { status }.encode());
            sys::exit(0)
        }
        Err(errno) => {
            let _ = sys::write(report, &Report::Failed { step: Step::Fork, index: 0, errno }.encode());
            sys::exit(1)
        }
    }
}

/// Waits for the command, then kills what it left behind. Returns how it ended.
fn bury_all(command: i32) -> i32 {
    let mut status = 0;
    while let Ok((pid, ended)) = sys::wait() {
        if pid == command {
            status = ended;
            sys::kill_all();
        }
    }
    status
}

fn enter_root(plan: &Plan, channels: &Channels) -> Outcome {
    hide(plan, channels)?;
    at(Step::Private, sys::mount(c"none", c"/", c"", MS_REC | MS_PRIVATE, None))?;
    for (index, mount) in plan.mounts.iter().enumerate() {
        at_nth(Step::Source, index, mounts::open_source(mount))?;
    }
    enter(&plan.root)?;
    let kept = || {
        let numbers = plan.mounts.iter().map(|mount| mount.number.as_raw_fd());
        numbers.chain([channels.report]).chain(plan.watch.iter().map(AsRawFd::as_raw_fd))
    };
    channels.keep_only(kept)
}

fn furnish_or_tidy(plan: &mut Plan) -> Outcome {
    let outcome = furnish(plan);
    if outcome.is_err() {
        tidy(plan);
    }
    outcome
}

fn furnish(plan: &mut Plan) -> Outcome {
    at(Step::HostName, sys::set_host_name(&plan.host_name))?;
    at(Step::HostName, sys::set_domain_name(c"(none)"))?;
    match plan.network {
        Network::None => at(Step::Loopback, sys::switch_loopback_on())?,
        Network::Host => {}
    }
    for path in MOUNT_POINTS {
        at(Step::MountPoint, plan.stubs.make_top(path))?;
    }
    mount_proc_and_sys()?;
    if let Some(number) = &plan.largest_number {
        at(Step::Limits, sys::overwrite(c"/proc/sys/kernel/pid_max", number.to_bytes()))?;
    }
    mount_devices()?;
    mask()?;
    put_mounts(plan)?;
    match plan.program.makes_workdir {
        true => at(
            Step::Workdir,
            place::find(&plan.program.workdir, place::Kind::Directory, None).map(sys::close),
        ),
        false => Ok(()),
    }
}

fn put_mounts(plan: &mut Plan) -> Outcome {
    if plan.mounts.is_empty() {
        return Ok(());
    }
    at(Step::Dev, mounts::open_stage())?;
    for (index, mount) in plan.mounts.iter().enumerate() {
        at_nth(Step::Mount, index, mounts::put(mount, &mut plan.stubs))?;
    }
    at(Step::Dev, mounts::close_stage())
}

/// Keeps this process, a copy of the builder, from whatever will run beside it.
fn hide(plan: &Plan, channels: &Channels) -> Outcome {
    at(Step::Process, sys::follow_parent(libc::SIGKILL))?;
    if sys::has_no_reader(channels.report) {
        sys::exit(1);
    }
    if let Some(group) = plan.group {
        // Whoever writes this is a member from then on.
        at(Step::Group, sys::write(group, b"0"))?;
    }
    at(Step::Group, unless_unknown(sys::hide_groups()))?;
    plan.program.hide_builder()
}

/// Mounts the root and makes it `/`; devices that lie in it can't be opened.
fn enter(root: &RootPlan) -> Outcome {
    let target = match root {
        RootPlan::Plain { directory } => {
            at(Step::Root, sys::mount(directory, directory, c"", MS_BIND, None))?;
            directory
        }
        RootPlan::Overlay { layers, options, target } => {
            at(Step::Overlay, mounts::mount_overlay(layers, options, target))?;
            target
        }
    };
    at(Step::Root, sys::change_directory(target))?;
    at(Step::Pivot, sys::pivot_to_here())?;
    at(Step::Root, sys::forbid_devices(c"/"))
}

fn mount_proc_and_sys() -> Outcome {
    let apart = MS_NOSUID | MS_NODEV | MS_NOEXEC;
    at(Step::Proc, sys::mount(c"proc", c"/proc", c"proc", apart, None))?;
    at(Step::Sys, sys::mount(c"sysfs", c"/sys", c"sysfs", apart | MS_RDONLY, None))
}

fn mount_devices() -> Outcome {
    let options = c"mode=755,size=65536k";
    at(Step::Dev, sys::mount(c"tmpfs", c"/dev", c"tmpfs", MS_NOSUID, Some(options)))?;
    for (index, (path, major, minor)) in DEVICES.iter().enumerate() {
        at_nth(Step::Device, index, sys::make_character_device(path, *major, *minor))?;
    }
    for (path, target) in DEVICE_LINKS {
        at(Step::Dev, sys::make_symlink(target, path))?;
    }
    at(Step::Dev, sys::make_directory(c"/dev/pts", 0o755))?;
    at(Step::Dev, sys::make_directory(c"/dev/shm", 0o1777))?;
    let options = c"newinstance,ptmxmode=0666,mode=0620,gid=5";
    let flags = MS_NOSUID | MS_NOEXEC;
    at(Step::Terminals, sys::mount(c"devpts", c"/dev/pts", c"devpts", flags, Some(options)))?;
    let options = c"mode=1777,size=65536k";
    let flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;
    at(Step::SharedMemory, sys::mount(c"shm", c"/dev/shm", c"tmpfs", flags, Some(options)))
}

fn mask() -> Outcome {
    for (index, path) in MASKED.iter().enumerate() {
        let flags = MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC;
        let answer = match sys::mount(c"/dev/null", path, c"", MS_BIND, None) {
            // It is a directory.
            Err(libc::ENOTDIR) => sys::mount(c"tmpfs", path, c"tmpfs", flags, Some(c"size=0k,nr_inodes=2")),
            answer => answer,
        };
        at_nth(Step::Mask, index, unless_missing(answer))?;
    }
    for (index, path) in READ_ONLY.iter().enumerate() {
        let flags = MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC;
        let answer = sys::mount(path, path, c"", MS_BIND | MS_REC, None)
            .and_then(|()| sys::mount(c"none", path, c"", flags, None));
        at_nth(Step::Mask, index, unless_missing(answer))?;
    }
    Ok(())
}

fn unless_missing(answer: Sys<()>) -> Sys<()> {
    match answer {
        Err(libc::ENOENT) => Ok(()),
        answer => answer,
    }
}

/// A kernel without control groups has none to hide.
fn unless_unknown(answer: Sys<()>) -> Sys<()> {
    match answer {
        Err(libc::EINVAL) => Ok(()),
        answer => answer,
    }
}

fn prepare_command(plan: &Plan) -> Outcome {
    sys::new_session();
    sys::leave_keys();
    let installed = match &plan.watch {
        None => privileges::install(&plan.filter),
        Some(socket) => privileges::hand_calls_over(&plan.filter, socket.as_raw_fd()),
    };
    at(Step::Filter, installed)?;
    let is_bounded = plan.group.is_some() || plan.largest_number.is_some();
    Program::limit((!is_bounded).then_some(plan.max_processes))?;
    plan.program.settle(CAPABILITIES)
}

/// Takes away what was there for the run only. Whatever the command put in its place stays.
fn tidy(plan: &mut Plan) {
    for mount in plan.mounts.iter().rev() {
        mounts::take_away(mount);
    }
    for path in MOUNT_POINTS.iter().rev() {
        let _ = sys::unmount(path);
    }
    plan.stubs.remove();
}
