//! Everything a sandbox's child needs, made before there is one: the child can no longer allocate.

use std::ffi::{CStr, CString};
use std::fs::{self, File};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::ptr::null;

use nix::libc::{MS_NODEV, MS_NOSUID, MS_RDONLY, c_char, c_ulong};
use rustix::io::fcntl_dupfd_cloexec;

use super::filter::{Filter, filter};
use super::groups::largest_number;
use super::place::Stubs;
use super::{Error, Mount, Network, Root, Run, Source, User};

/// Where a program is looked up when the environment has no PATH.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
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
    pub(super) workdir: CString,
    pub(super) makes_workdir: bool,
    /// How many processes there may be.
    pub(super) max_processes: u32,
    /// The largest number that the process namespace may give, in digits.
    pub(super) largest_number: Option<CString>,
    /// Where the control group that limits processes takes new members.
    pub(super) group: Option<RawFd>,
    pub(super) user: User,
    pub(super) umask: u32,
    pub(super) filter: Filter,
    /// Where the program may be, in order.
    pub(super) programs: Vec<CString>,
    pub(super) argv: Strings,
    pub(super) envp: Strings,
    /// Where the builder's own arguments and environment lie in memory.
    pub(super) traces: Vec<(usize, usize)>,
    /// The builder's own program, which is not to be run in the sandbox: device and number.
    pub(super) own_program: (u64, u64),
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

/// Strings as `execve` takes them.
pub(super) struct Strings {
    _strings: Vec<CString>,
    pointers: Vec<*const c_char>,
}

impl Strings {
    fn new(strings: Vec<CString>) -> Strings {
        let pointers = strings.iter().map(|string| string.as_ptr()).chain([null()]).collect();
        Strings { _strings: strings, pointers }
    }

    /// Returns pointers to the strings, and a null pointer behind them.
    pub(super) fn as_ptr(&self) -> *const *const c_char {
        self.pointers.as_ptr()
    }
}

impl Plan {
    pub(super) fn new(root: &Root, run: &Run) -> Result<Plan, String> {
        let program = run.argv.first().ok_or("no program is named")?;
        let environment = run.env.iter().map(|(name, value)| assignment(name, value));
        let root_user = User { uid: 0, gid: 0, groups: Vec::new() };
        Ok(Plan {
            root: root_plan(root)?,
            mounts: run.mounts.iter().enumerate().map(mount_plan).collect::<Result<_, _>>()?,
            stubs: Stubs::new(),
            host_name: c_string(&run.host_name)?,
            network: run.network,
            workdir: c_path(&run.workdir)?,
            makes_workdir: run.makes_workdir,
            max_processes: run.max_processes,
            largest_number: largest_number(run.max_processes).and_then(|n| CString::new(n.to_string()).ok()),
            group: None,
            user: run.user.clone().unwrap_or(root_user),
            umask: run.umask & 0o777,
            filter: filter(),
            programs: programs(program, &run.env)?,
            argv: Strings::new(run.argv.iter().map(|text| c_string(text)).collect::<Result<_, _>>()?),
            envp: Strings::new(environment.collect::<Result<_, _>>()?),
            traces: traces().ok_or("cannot find the builder's own arguments in /proc/self/stat")?,
            own_program: own_program()
                .map_err(|error| format!("cannot find the builder's program: {error}"))?,
        })
    }
}

fn c_string(text: &str) -> Result<CString, String> {
    CString::new(text).map_err(|_| format!("`{}` holds a NUL byte", text.escape_debug()))
}

fn c_path(path: &Path) -> Result<CString, String> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| format!("`{}` holds a NUL byte", path.display()))
}

fn assignment(name: &str, value: &str) -> Result<CString, String> {
    match name.is_empty() || name.contains('=') {
        true => Err(format!("`{name}` is no name of a variable")),
        false => c_string(&format!("{name}={value}")),
    }
}

fn real_path(path: &Path) -> Result<PathBuf, String> {
    fs::canonicalize(path).map_err(|error| format!("cannot find {}: {error}", path.display()))
}

fn programs(program: &str, env: &[(String, String)]) -> Result<Vec<CString>, String> {
    if program.contains('/') {
        return Ok(vec![c_string(program)?]);
    }
    let path = env.iter().find(|(name, _)| name == "PATH").map_or(DEFAULT_PATH, |(_, path)| path);
    let directories = path.split(':').map(|directory| if directory.is_empty() { "." } else { directory });
    directories.map(|directory| c_string(&format!("{directory}/{program}"))).collect()
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
    let options = format!(
        "lowerdir={},upperdir={upper_name},workdir={work_name},redirect_dir=off,metacopy=off,index=off,xino=off,volatile",
        names.join(":")
    );
    if options.len() > MAX_OPTIONS {
        return Err(format!("{} directories are too many for one overlay", lowers.len()));
    }
    Ok(RootPlan::Overlay { layers, options: c_string(&options)?, target: c_path(&real_path(upper)?)? })
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
        Source::File { content, mode, uid, gid } => {
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

fn own_program() -> std::io::Result<(u64, u64)> {
    let metadata = fs::metadata("/proc/self/exe")?;
    Ok((metadata.dev(), metadata.ino()))
}

/// Returns where this process's arguments and environment lie, as proc(5) tells it.
fn traces() -> Option<Vec<(usize, usize)>> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The second field, a name in parentheses, may hold anything.
    let rest = &stat[stat.rfind(')')? + 1..];
    let fields: Vec<usize> = rest.split_whitespace().map(|field| field.parse().unwrap_or(0)).collect();
    // Fields 48 to 51, counted from 1; the third is the first of `rest`.
    let [arguments, arguments_end, environment, environment_end] = *fields.get(45..49)? else { return None };
    let is_sound = |start: usize, end: usize| start > 0 && start <= end && end - start < 64 << 20;
    let sound = is_sound(arguments, arguments_end) && is_sound(environment, environment_end);
    sound.then(|| vec![(arguments, arguments_end), (environment, environment_end)])
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
