//! What keeps a run from having more than so many processes at a time.
//!
//! Since Linux 6.14 a process namespace can say so itself, which costs nothing; but it is not asked for less than the few
//! hundred numbers that it keeps for itself. Else a control group does; without the right to make one there is none. Of
//! the second version of control groups a process can be in a group only that has no groups with limits below it; so
//! there the new group may be made beside the builder's own.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Returns the largest number that a process namespace may give, where it keeps such a bound to itself: older kernels
/// would have it for the whole machine.
pub(super) fn largest_number(max_processes: u32) -> Option<u32> {
    /// After the first round the kernel gives no smaller number.
    const RESERVED: u32 = 300;
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").ok()?;
    let is_own = version(&release)? >= (6, 14);
    (is_own && max_processes > RESERVED).then(|| max_processes.saturating_add(RESERVED).min(4 << 20))
}

/// Returns the first two numbers of a kernel's release.
pub(super) fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.trim().split(['.', '-', '+']);
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// A control group, for as long as this lives.
pub(super) struct Group {
    directory: PathBuf,
    members: File,
}

impl Group {
    /// Makes a group with at most so many processes, where that is possible.
    pub(super) fn make(max_processes: u32) -> Option<Group> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
        let own = fs::read_to_string("/proc/self/cgroup").ok()?;
        let mut places = places(&mounts, &own).into_iter();
        places.find_map(|place| make_in(&place, max_processes).ok())
    }

    /// Returns where a process enters that writes `0` there.
    pub(super) fn entrance(&self) -> RawFd {
        self.members.as_raw_fd()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Whoever was in it is dead and buried.
        let _ = fs::remove_dir(&self.directory);
    }
}

fn make_in(parent: &Path, max_processes: u32) -> io::Result<Group> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let name = format!("estaleiro-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let directory = parent.join(name);
    fs::create_dir(&directory)?;
    let open = || {
        fs::write(directory.join("pids.max"), max_processes.to_string())?;
        OpenOptions::new().write(true).open(directory.join("cgroup.procs"))
    };
    match open() {
        Ok(members) => Ok(Group { directory, members }),
        Err(error) => {
            let _ = fs::remove_dir(&directory);
            Err(error)
        }
    }
}

/// Returns the directories in which a group may be made, the best first.
fn places(mounts: &str, own: &str) -> Vec<PathBuf> {
    let mut places = Vec::new();
    for (root, mount_point, is_second) in mounts.lines().filter_map(hierarchy) {
        let own = own.lines().filter_map(|line| line.split_once(':')?.1.split_once(':'));
        let is_ours = |controllers: &str| match is_second {
            true => controllers.is_empty(),
            false => controllers.split(',').any(|controller| controller == "pids"),
        };
        for (_, path) in own.filter(|(controllers, _)| is_ours(controllers)) {
            let below = Path::new(path).strip_prefix(root).unwrap_or(Path::new(""));
            // The components leave no slash behind where nothing is below.
            let place: PathBuf = Path::new(mount_point).components().chain(below.components()).collect();
            if is_second && !below.as_os_str().is_empty() {
                places.extend(place.parent().map(Path::to_owned));
            }
            places.push(place);
        }
    }
    places
}

/// Reads a line of proc(5)'s mountinfo: which groups are mounted where, and whether they are of the second version.
fn hierarchy(line: &str) -> Option<(&str, &str, bool)> {
    let (mount, file_system) = line.split_once(" - ")?;
    let mut mount = mount.split(' ').skip(3);
    let (root, mount_point) = (mount.next()?, mount.next()?);
    let mut file_system = file_system.split(' ');
    let (kind, options) = (file_system.next()?, file_system.nth(1)?);
    match kind {
        "cgroup2" => Some((root, mount_point, true)),
        "cgroup" if options.split(',').any(|option| option == "pids") => Some((root, mount_point, false)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(mounts: &str, own: &str) -> Vec<String> {
        places(mounts, own).iter().map(|place| place.display().to_string()).collect()
    }

    #[test]
    fn a_kernel_s_version_is_the_beginning_of_its_release() {
        assert_eq!(version("6.18.44-generic\n"), Some((6, 18)));
        assert_eq!(version("5.10-rc1"), Some((5, 10)));
        assert_eq!(version("unknown"), None);
        assert_eq!(largest_number(300), None);
    }

    #[test]
    fn a_group_is_made_below_the_own_or_beside_it() {
        let first = "30 29 0:26 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n31 29 0:27 / /sys/fs/cgroup/pids rw,relatime shared:4 - cgroup cgroup rw,pids\n";
        assert_eq!(found(first, "8:pids:/a/b\n7:cpu:/c\n0::/d\n"), ["/sys/fs/cgroup/pids/a/b"]);
        let second = "40 29 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n";
        assert_eq!(found(second, "0::/a/b\n"), ["/sys/fs/cgroup/a", "/sys/fs/cgroup/a/b"]);
        assert_eq!(found(second, "0::/\n"), ["/sys/fs/cgroup"]);
        let in_container = "41 29 0:27 /docker/1 /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n";
        assert_eq!(found(in_container, "8:pids:/docker/1\n"), ["/sys/fs/cgroup/pids"]);
        assert_eq!(found("", "0::/\n"), [""; 0]);
    }
}
