//! Everything a sandbox's child needs, made before there is one: the child can no longer allocate.

use std::ffi::{CStr, CString};
use std::fs::{self, File};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::ptr::null;

use nix::libc::c_char;
use rustix::io::fcntl_dupfd_cloexec;

use super::filter::{Filter, filter};
use super::{Bind, Error, Network, Root, Run, User};

/// Where a program is looked up when the environment has no PATH.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// The kernel takes mount options of up to a page.
const MAX_OPTIONS: usize = 4095;

/// What a child does.
pub(super) struct Plan {
    pub(super) root: RootPlan,
    pub(super) binds: Vec<BindPlan>,
    pub(super) host_name: CString,
    pub(super) network: Network,
    pub(super) workdir: CString,
    pub(super) user: User,
    pub(super) umask: u32,
    pub(super) filter: Filter,
    /// Where the program may be, in order.
    pub(super) programs: Vec<CString>,
    pub(super) argv: Strings,
    pub(super) envp: Strings,
    /// Where the builder's own arguments and environment lie in memory.
    pub(super) traces: Vec<(usize, usize)>,
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

/// A mount in the sandbox, and what has to be made for it.
pub(super) struct BindPlan {
    pub(super) source: CString,
    pub(super) target: CString,
    pub(super) read_only: bool,
    pub(super) stubs: Vec<Stub>,
    /// The detached mount, once the child has made it.
    pub(super) tree: RawFd,
}

/// A directory or file that is there for the run only, unless it is there anyway.
pub(super) struct Stub {
    pub(super) path: CString,
    pub(super) is_directory: bool,
    pub(super) was_made: bool,
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
            binds: run.binds.iter().map(bind_plan).collect::<Result<_, _>>()?,
            host_name: c_string(&run.host_name)?,
            network: run.network,
            workdir: c_path(&run.workdir)?,
            user: run.user.clone().unwrap_or(root_user),
            umask: run.umask & 0o777,
            filter: filter(),
            programs: programs(program, &run.env)?,
            argv: Strings::new(run.argv.iter().map(|text| c_string(text)).collect::<Result<_, _>>()?),
            envp: Strings::new(environment.collect::<Result<_, _>>()?),
            traces: traces().ok_or("cannot find the builder's own arguments in /proc/self/stat")?,
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
    let top = lowers.last().ok_or("an overlay needs a directory below")?;
    prepare_upper(top, upper).map_err(|error| format!("cannot prepare {}: {error}", upper.display()))?;
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

/// The root of an overlay mount has the mode and owner of its upper directory: a new one gets those of what is below.
fn prepare_upper(lower: &Path, upper: &Path) -> std::io::Result<()> {
    if fs::read_dir(upper)?.next().is_some() {
        return Ok(());
    }
    let metadata = fs::metadata(lower)?;
    std::os::unix::fs::chown(upper, Some(metadata.uid()), Some(metadata.gid()))?;
    fs::set_permissions(upper, metadata.permissions())
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

fn bind_plan(bind: &Bind) -> Result<BindPlan, String> {
    let source = real_path(&bind.source)?;
    let is_directory = source.is_dir();
    let names: Vec<&[u8]> = bind
        .target
        .components()
        .filter_map(|part| match part {
            Component::Normal(name) => Some(Ok(name.as_bytes())),
            Component::RootDir | Component::CurDir => None,
            Component::ParentDir | Component::Prefix(_) => {
                Some(Err(format!("the target {} holds `..`", bind.target.display())))
            }
        })
        .collect::<Result<_, _>>()?;
    if names.is_empty() {
        return Err("nothing can be bound to the root itself".into());
    }
    let mut path = Vec::new();
    let mut stubs = Vec::new();
    for (index, name) in names.iter().enumerate() {
        path = [path.as_slice(), b"/", name].concat();
        let path = CString::new(path.clone()).map_err(|_| "a target holds a NUL byte")?;
        stubs.push(Stub { path, is_directory: is_directory || index + 1 < names.len(), was_made: false });
    }
    let target = CString::new(path).map_err(|_| "a target holds a NUL byte")?;
    Ok(BindPlan { source: c_path(&source)?, target, read_only: bind.read_only, stubs, tree: -1 })
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
