//! Everything a sandbox's child needs, made before there is one: the child can no longer allocate.

use std::ffi::{CStr, CString};
use std::fs::{self, File};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use nix::libc::{MS_NODEV, MS_NOSUID, MS_RDONLY, c_ulong, sock_filter};
use rustix::io::fcntl_dupfd_cloexec;

use super::filter::{ALLOWED, NOTIFY, Others, compile, syncing};
use super::groups::largest_number;
use super::place::Stubs;
use super::program::Program;
use super::watch::Watch;
use super::{Error, Mount, Network, Root, Run, Source};

/// The kernel takes mount options of up to a page.
const MAX_OPTIONS: usize = 4095;

/// What a child does.
pub(super) struct Plan {
    pub(super) root: RootPlan,
    pub(super) mounts: Vec<MountPlan>,
    /// What is there for the run only.
    pub(super) stubs: Stubs,
    pub(super) host_name: CString,
    pub(super) network: Network,
    pub(super) program: Program,
    /// How many processes there may be.
    pub(super) max_processes: u32,
    /// The largest number that the process namespace may give, in digits.
    pub(super) largest_number: Option<CString>,
    /// Where the control group that limits processes takes new members.
    pub(super) group: Option<RawFd>,
    pub(super) filter: Vec<sock_filter>,
    /// Leads to who is told of what starts.
    pub(super) watch: Option<OwnedFd>,
}

/// How the root comes about.
pub(super) enum RootPlan {
    /// By binding a directory to itself.
    Plain { directory: CString },
    /// By mounting an overlay over its own upper directory, which only this sandbox sees.
    Overlay { layers: Vec<LayerPlan>, options: CString, target: CString },
}

/// A directory of an overlay. Mount options name it by a descriptor, so that no path is too long for them.
pub(super) struct LayerPlan {
    pub(super) path: CString,
    pub(super) number: OwnedFd,
}

/// A mount in the sandbox.
pub(super) struct MountPlan {
    pub(super) source: SourcePlan,
    pub(super) target: CString,
    pub(super) flags: c_ulong,
    /// The number of the mount's descriptor, as long as it is nowhere and after that.
    pub(super) number: OwnedFd,
    /// The same as a path.
    pub(super) tree: CString,
}

/// What is mounted.
pub(super) enum SourcePlan {
    Path { root: RootPlan, path: Option<CString> },
    Memory { staged: CString, options: CString },
    File { staged: CString, content: Vec<u8>, mode: u32, uid: u32, gid: u32 },
}

impl Plan {
    pub(super) fn new(root: &Root, run: &Run, watch: Option<(Watch<'_>, OwnedFd)>) -> Result<Plan, String> {
        Ok(Plan {
            root: root_plan(root)?,
            mounts: run.mounts.iter().enumerate().map(mount_plan).collect::<Result<_, _>>()?,
            stubs: Stubs::new(),
            host_name: c_string(&run.host_name)?,
            network: run.network,
            program: Program::new(run)?,
            max_processes: run.max_processes,
            largest_number: largest_number(run.max_processes).and_then(|n| CString::new(n.to_string()).ok()),
            group: None,
            filter: match &watch {
                Some((watch, _)) => {
                    let others = Others { foreign_starts: NOTIFY, ..ALLOWED };
                    compile(watch.rules().into_iter().chain(syncing()), &others)
                }
                None => compile(syncing(), &ALLOWED),
            },
            watch: watch.map(|(_, socket)| socket),
        })
    }
}

pub(super) fn c_string(text: &str) -> Result<CString, String> {
    CString::new(text).map_err(|_| format!("`{}` holds a NUL byte", text.escape_debug()))
}

pub(super) fn c_path(path: &Path) -> Result<CString, String> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| format!("`{}` holds a NUL byte", path.display()))
}

fn real_path(path: &Path) -> Result<PathBuf, String> {
    fs::canonicalize(path).map_err(|error| format!("cannot find {}: {error}", path.display()))
}

fn root_plan(root: &Root) -> Result<RootPlan, String> {
    match root {
        Root::Plain(directory) => Ok(RootPlan::Plain { directory: c_path(&real_path(directory)?)? }),
        Root::Overlay { lowers, upper, work } => overlay_plan(lowers, upper, work),
    }
}

fn overlay_plan(lowers: &[PathBuf], upper: &Path, work: &Path) -> Result<RootPlan, String> {
    if lowers.is_empty() {
        return Err("an overlay needs a directory below".into());
    }
    forget_volatile(work).map_err(|error| format!("cannot prepare {}: {error}", work.display()))?;
    let mut layers = Vec::new();
    let mut add = |path: &Path| -> Result<String, String> {
        let number = placeholder().map_err(|error| format!("cannot open {}: {error}", path.display()))?;
        let name = number.as_raw_fd().to_string();
        layers.push(LayerPlan { path: c_path(&real_path(path)?)?, number });
        Ok(name)
    };
    let names: Vec<String> = lowers.iter().rev().map(|lower| add(lower)).collect::<Result<_, _>>()?;
    let (upper_name, work_name) = (add(upper)?, add(work)?);
    let options = overlay_options(&names.join(":"), &upper_name, &work_name)?;
    if options.count_bytes() > MAX_OPTIONS {
        return Err(format!("{} directories are too many for one overlay", lowers.len()));
    }
    Ok(RootPlan::Overlay { layers, options, target: c_path(&real_path(upper)?)? })
}

/// Returns the options of an overlay mount on directories by these names.
pub(super) fn overlay_options(lowers: &str, upper: &str, work: &str) -> Result<CString, String> {
    let names = format!("lowerdir={lowers},upperdir={upper},workdir={work}");
    c_string(&format!("{names},redirect_dir=off,metacopy=off,index=off,xino=off,volatile"))
}

/// The kernel refuses to mount again what was mounted without syncing, as long as this note is there.
fn forget_volatile(work: &Path) -> std::io::Result<()> {
    match fs::remove_dir_all(work.join("work/incompat")) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Returns a descriptor that stands for nothing yet, and is none of the first three.
fn placeholder() -> std::io::Result<OwnedFd> {
    Ok(fcntl_dupfd_cloexec(File::open("/dev/null")?, 3)?)
}

fn mount_plan((index, mount): (usize, &Mount)) -> Result<MountPlan, String> {
    let number = placeholder().map_err(|error| format!("cannot open /dev/null: {error}"))?;
    let tree = c_string(&format!("/proc/self/fd/{}", number.as_raw_fd()))?;
    let names = names_in(&mount.target)?;
    if names.is_empty() {
        return Err("nothing can be mounted over the root itself".into());
    }
    let source = source_plan(index, &mount.source)?;
    let is_file = matches!(source, SourcePlan::File { .. });
    // Programs of another image keep the rights that their files give them.
    let is_image = matches!(source, SourcePlan::Path { root: RootPlan::Overlay { .. }, .. });
    let mut flags = MS_NODEV;
    flags |= if is_image { 0 } else { MS_NOSUID };
    flags |= if mount.is_read_only || is_file { MS_RDONLY } else { 0 };
    Ok(MountPlan { source, target: joined(&names)?, flags, number, tree })
}

fn source_plan(index: usize, source: &Source) -> Result<SourcePlan, String> {
    let staged = c_string(&format!("{}/{index}", STAGE.to_string_lossy()))?;
    match source {
        Source::Path { root, path } => {
            let names = names_in(path)?;
            let path = if names.is_empty() { None } else { Some(joined(&names)?) };
            Ok(SourcePlan::Path { root: root_plan(root)?, path })
        }
        Source::Memory { size } => {
            let size = size.map_or(String::new(), |size| format!(",size={size}"));
            Ok(SourcePlan::Memory { staged, options: c_string(&format!("mode=1777{size}"))? })
        }
        Source::File { content, mode, uid, gid, is_secret: _ } => {
            let (mode, uid, gid) = (mode & 0o7777, *uid, *gid);
            Ok(SourcePlan::File { staged, content: content.clone(), mode, uid, gid })
        }
    }
}

/// Returns the names that a path leads through.
fn names_in(path: &Path) -> Result<Vec<&[u8]>, String> {
    let name = |part| match part {
        Component::Normal(name) => Some(Ok(name.as_bytes())),
        Component::RootDir | Component::CurDir => None,
        Component::ParentDir | Component::Prefix(_) => {
            Some(Err(format!("the path {} holds `..`", path.display())))
        }
    };
    path.components().filter_map(name).collect()
}

fn joined(names: &[&[u8]]) -> Result<CString, String> {
    let path = names.iter().flat_map(|name| [b"/", *name]).collect::<Vec<_>>().concat();
    CString::new(path).map_err(|_| "a path holds a NUL byte".into())
}

/// Names a plan's program in errors.
pub(super) fn command_of(run: &Run) -> String {
    run.argv.first().cloned().unwrap_or_else(|| "nothing".into())
}

/// A run that cannot be planned.
pub(super) fn invalid(run: &Run) -> impl FnOnce(String) -> Error {
    let command = command_of(run);
    move |reason| Error::Invalid { command, reason }
}

/// A place in the sandbox where something is mounted in every run.
pub(super) const MOUNT_POINTS: [&CStr; 3] = [c"/proc", c"/sys", c"/dev"];
/// Where mounts are made that begin in the sandbox; it is gone before the command starts.
pub(super) const STAGE: &CStr = c"/dev/.estaleiro";
