//! A user namespace for the builder itself: somebody who isn't root is root there, over their own files and the numbers that
//! the machine gave them. See user_namespaces(7), subuid(5) and newuidmap(1).

use std::fs;
use std::io::{self, PipeReader, Read, Write};
use std::os::unix::fs::chroot;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::OnceLock;

use nix::sched::{CloneFlags, unshare};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Gid, Uid, User, fork, getpid, getppid};

use super::syscall as sys;

/// No map that the kernel takes has more lines.
const MOST_LINES: usize = 340;

/// What keeps users from making namespaces: the setting, the value that does, and one that doesn't.
const SETTINGS: [(&str, &str, &str); 3] = [
    ("kernel.unprivileged_userns_clone", "0", "1"),
    ("user.max_user_namespaces", "0", "10000"),
    ("kernel.apparmor_restrict_unprivileged_userns", "1", "0"),
];

/// Why there is no namespace, where one is missing.
static REFUSED: OnceLock<String> = OnceLock::new();

/// Makes this process root in a user namespace of its own, if it isn't root. Must come before there are threads.
///
/// Number 0 is the user there, and the numbers from 1 on are those of the user's ranges in `/etc/subuid` and `/etc/subgid`;
/// without a range, or without `newuidmap` and `newgidmap`, there is nobody else. That none can be made is told by whoever
/// needs it: [`Sandbox::choose`](super::Sandbox::choose).
pub fn enter_user_namespace() {
    if !Uid::effective().is_root()
        && let Err(error) = enter()
    {
        let reason = forbidden(&setting).unwrap_or_else(|| error.to_string());
        let _ = REFUSED.set(format!("cannot be root in a user namespace: {reason}"));
    }
}

/// Returns why there is no user namespace, if one is missing.
pub(super) fn refusal() -> Option<&'static str> {
    REFUSED.get().map(String::as_str)
}

fn enter() -> io::Result<()> {
    let (uid, gid) = (Uid::effective(), Gid::effective());
    let maps = maps_of(uid, gid);
    let (told, tell) = io::pipe()?;
    // SAFETY: there are no other threads, so that the child may do whatever its parent might.
    match unsafe { fork() }? {
        ForkResult::Child => {
            drop(tell);
            map_parent(told, maps.as_ref());
            sys::exit(0)
        }
        ForkResult::Parent { child } => {
            let entered = unshare(CloneFlags::CLONE_NEWUSER);
            if entered.is_ok() {
                (&tell).write_all(b"!")?;
            }
            drop(tell);
            waitpid(child, None)?;
            entered?;
        }
    }
    map_alone(uid, gid)?;
    // It may be allowed to be root there, and yet to do nothing.
    chroot("/")
}

/// What `newuidmap` and `newgidmap` are told.
struct Maps {
    uids: Vec<String>,
    gids: Vec<String>,
}

/// Returns what is to be mapped, where the user has ranges.
fn maps_of(uid: Uid, gid: Gid) -> Option<Maps> {
    let name = User::from_uid(uid).ok().flatten().map(|user| user.name);
    let ranges = |file| {
        let text = fs::read_to_string(Path::new("/etc").join(file)).unwrap_or_default();
        ranges(&text, name.as_deref(), uid.as_raw())
    };
    let (uids, gids) = (ranges("subuid"), ranges("subgid"));
    let has_ranges = !uids.is_empty() && !gids.is_empty();
    has_ranges.then(|| Maps { uids: map(uid.as_raw(), &uids), gids: map(gid.as_raw(), &gids) })
}

/// Reads a user's ranges, which go by name or number: where each begins, and how long it is.
fn ranges(text: &str, name: Option<&str>, uid: u32) -> Vec<(u32, u32)> {
    let lines = text.lines().filter_map(|line| {
        let (who, range) = line.trim().split_once(':')?;
        let is_ours = Some(who) == name || who.parse() == Ok(uid);
        let (start, count) = range.split_once(':')?;
        is_ours.then_some((start.parse().ok()?, count.parse().ok()?))
    });
    lines.filter(|&(_, count)| count > 0).take(MOST_LINES - 1).collect()
}

/// Returns the numbers of a map: 0 is `own`, and from 1 on come the ranges, as long as there are numbers.
fn map(own: u32, ranges: &[(u32, u32)]) -> Vec<String> {
    let mut numbers = vec![0, own, 1];
    let mut inside = 1;
    for &(outside, count) in ranges {
        let count = count.min(u32::MAX - inside);
        numbers.extend([inside, outside, count]);
        inside += count;
    }
    numbers.iter().map(u32::to_string).collect()
}

/// Has the maps written by the programs that may, once the parent is in its namespace. What they can't is told by them.
fn map_parent(mut told: PipeReader, maps: Option<&Maps>) {
    let parent = getppid().to_string();
    let is_there = told.read_exact(&mut [0]).is_ok();
    if let Some(Maps { uids, gids }) = maps.filter(|_| is_there) {
        for (program, numbers) in [("newuidmap", uids), ("newgidmap", gids)] {
            let _: io::Result<ExitStatus> = Command::new(program)
                .arg(&parent)
                .args(numbers)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .status();
        }
    }
}

/// Maps nobody but the user, where there is no map yet.
fn map_alone(uid: Uid, gid: Gid) -> io::Result<()> {
    let own = |name: &str| format!("/proc/{}/{name}", getpid());
    let is_empty = |name| fs::read_to_string(own(name)).map(|map| map.trim().is_empty());
    if is_empty("uid_map")? {
        fs::write(own("uid_map"), format!("0 {uid} 1"))?;
    }
    if is_empty("gid_map")? {
        fs::write(own("setgroups"), "deny")?;
        fs::write(own("gid_map"), format!("0 {gid} 1"))?;
    }
    Ok(())
}

fn setting(name: &str) -> Option<String> {
    fs::read_to_string(Path::new("/proc/sys").join(name.replace('.', "/"))).ok()
}

/// Names the setting that forbids it, if one does, and how to allow it.
fn forbidden(setting: &dyn Fn(&str) -> Option<String>) -> Option<String> {
    let forbids = |name: &str, value: &str| setting(name).is_some_and(|found| found.trim() == value);
    let (name, value, allows) = SETTINGS.iter().find(|(name, value, _)| forbids(name, value))?;
    Some(format!("{name} is {value}; as root, `sysctl -w {name}={allows}` allows it"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_go_by_name_or_number() {
        let text = "ann:100000:65536\n1000:300000:10\nbob:5:5\nann:9:0\nann:x:1\n\n# ann:1:1\nann:500000:1\n";
        let cases = [
            (Some("ann"), 1000, vec![(100_000, 65_536), (300_000, 10), (500_000, 1)]),
            (None, 1000, vec![(300_000, 10)]),
            (Some("bob"), 7, vec![(5, 5)]),
            (Some("carol"), 7, vec![]),
        ];
        for (name, uid, expected) in cases {
            assert_eq!(ranges(text, name, uid), expected, "{name:?} {uid}");
        }
        assert_eq!(ranges(&"1:2:3\n".repeat(1000), None, 1).len(), MOST_LINES - 1);
    }

    #[test]
    fn a_map_begins_with_the_user_and_ends_with_the_last_number() {
        assert_eq!(map(1000, &[(100_000, 65_536), (5, 1)]).join(" "), "0 1000 1 1 100000 65536 65537 5 1");
        let most = map(1000, &[(1, u32::MAX), (1, 1)]).join(" ");
        assert_eq!(most, format!("0 1000 1 1 1 {} {} 1 0", u32::MAX - 1, u32::MAX));
    }

    #[test]
    fn the_setting_that_forbids_is_named() {
        let only = |wanted: &'static str, value: &'static str| {
            forbidden(&move |name: &str| (name == wanted).then(|| format!("{value}\n")))
        };
        let told =
            "user.max_user_namespaces is 0; as root, `sysctl -w user.max_user_namespaces=10000` allows it";
        assert_eq!(only("user.max_user_namespaces", "0").as_deref(), Some(told));
        assert_eq!(only("user.max_user_namespaces", "100"), None);
        let told = only("kernel.apparmor_restrict_unprivileged_userns", "1").unwrap();
        assert!(told.contains("unprivileged_userns=0`"), "{told}");
    }
}
