//! The program that a sandbox ends up running, and how a child becomes it.
//!
//! A [`Program`] is made before there is a child, which can no longer allocate; see [`syscall`](super::syscall).

use std::ffi::{CStr, CString};
use std::fs;
use std::os::fd::RawFd;
use std::os::unix::fs::MetadataExt;
use std::ptr::null;

use nix::libc::{self, c_char};

use super::plan::{c_path, c_string};
use super::privileges;
use super::report::{Report, Step};
use super::syscall::{self as sys, Sys};
use super::{Run, User};

/// Where a program is looked up when the environment has no PATH.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What is run, as whom, and where.
pub(super) struct Program {
    pub(super) workdir: CString,
    pub(super) makes_workdir: bool,
    pub(super) user: User,
    pub(super) umask: u32,
    /// Where the program may be, in order.
    places: Vec<CString>,
    argv: Strings,
    envp: Strings,
    /// Where the builder's own arguments and environment lie in memory.
    traces: Vec<(usize, usize)>,
    /// The builder's own program, which is not to be run in the sandbox: device and number.
    builder: (u64, u64),
}

/// A step that failed, which of its kind it was, and the number of the error.
pub(super) type Outcome = Result<(), (Step, u32, i32)>;

/// Turns an answer of the kernel into the outcome of a step.
pub(super) fn at(step: Step, answer: Sys<()>) -> Outcome {
    at_nth(step, 0, answer)
}

pub(super) fn at_nth(step: Step, index: usize, answer: Sys<()>) -> Outcome {
    answer.map_err(|errno| (step, index as u32, errno))
}

impl Program {
    pub(super) fn new(run: &Run) -> Result<Program, String> {
        let program = run.argv.first().ok_or("no program is named")?;
        let environment = run.env.iter().map(|(name, value)| assignment(name, value));
        let root_user = User { uid: 0, gid: 0, groups: Vec::new() };
        Ok(Program {
            workdir: c_path(&run.workdir)?,
            makes_workdir: run.makes_workdir,
            user: run.user.clone().unwrap_or(root_user),
            umask: run.umask & 0o777,
            places: places(program, &run.env)?,
            argv: Strings::new(run.argv.iter().map(|text| c_string(text)).collect::<Result<_, _>>()?),
            envp: Strings::new(environment.collect::<Result<_, _>>()?),
            traces: traces().ok_or("cannot find the builder's own arguments in /proc/self/stat")?,
            builder: builder().map_err(|error| format!("cannot find the builder's program: {error}"))?,
        })
    }

    /// Keeps this process, a copy of the builder, from whatever will run beside it.
    pub(super) fn hide_builder(&self) -> Outcome {
        at(Step::Process, sys::hide_memory())?;
        at(Step::Process, sys::name_process(c"estaleiro-init"))?;
        for (start, end) in &self.traces {
            // SAFETY: the kernel named these ranges, which lie on the first thread's stack; no code after the clone
            // reads the builder's arguments or environment.
            unsafe { sys::wipe(*start, *end) };
        }
        at(Step::Process, sys::reset_signals())?;
        sys::new_session();
        sys::set_umask(0);
        Ok(())
    }

    /// Becomes the command, once all is prepared; else tells the builder what failed.
    pub(super) fn start(&self, prepared: Outcome, report: RawFd) -> ! {
        let (step, errno) = match prepared {
            Ok(()) => (Step::Execute, self.execute()),
            Err((step, _, errno)) => (step, errno),
        };
        let _ = sys::write(report, &Report::Failed { step, index: 0, errno }.encode());
        sys::exit(127)
    }

    /// Limits what every command is limited in; `max_processes` only where nothing else does.
    pub(super) fn limit(max_processes: Option<u32>) -> Outcome {
        at(Step::Limits, sys::limit(libc::RLIMIT_NOFILE, 1024, 1 << 20))?;
        at(Step::Limits, sys::limit(libc::RLIMIT_CORE, 0, u64::MAX))?;
        match max_processes.map(u64::from) {
            Some(most) => at(Step::Limits, sys::limit(libc::RLIMIT_NPROC, most, most)),
            None => Ok(()),
        }
    }

    /// Gives up what the command may not do, becomes its user, and goes to where it starts.
    pub(super) fn settle(&self, capabilities: u64) -> Outcome {
        at(Step::Workdir, self.enter_workdir())?;
        at(Step::Capabilities, privileges::bound_capabilities(capabilities))?;
        at(Step::User, privileges::become_user(self.user.uid, self.user.gid, &self.user.groups))?;
        at(Step::Capabilities, privileges::limit_capabilities(capabilities))?;
        sys::set_umask(self.umask);
        Ok(())
    }

    /// No link of `/proc` leads there: one of those could be an open directory.
    fn enter_workdir(&self) -> Sys<()> {
        let root = sys::open_at(libc::AT_FDCWD, c"/", libc::O_PATH | libc::O_CLOEXEC, 0)?;
        let flags = libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC;
        sys::change_directory_to(sys::open_inside(root, &self.workdir, flags)?)
    }

    /// Tries one place after the other, as a shell does; returns the error that tells most.
    fn execute(&self) -> i32 {
        let mut error = libc::ENOENT;
        for place in &self.places {
            if leads_to_builder(place, self.builder) {
                return libc::EPERM;
            }
            // SAFETY: `Strings` end their lists with a null pointer and hold what they point to.
            match unsafe { sys::execute(place, self.argv.as_ptr(), self.envp.as_ptr()) } {
                libc::ENOENT | libc::ENOTDIR => {}
                libc::EACCES => error = libc::EACCES,
                errno => return errno,
            }
        }
        error
    }
}

/// Strings as `execve` takes them.
struct Strings {
    _strings: Vec<CString>,
    pointers: Vec<*const c_char>,
}

impl Strings {
    fn new(strings: Vec<CString>) -> Strings {
        let pointers = strings.iter().map(|string| string.as_ptr()).chain([null()]).collect();
        Strings { _strings: strings, pointers }
    }

    /// Returns pointers to the strings, and a null pointer behind them.
    fn as_ptr(&self) -> *const *const c_char {
        self.pointers.as_ptr()
    }
}

fn assignment(name: &str, value: &str) -> Result<CString, String> {
    match name.is_empty() || name.contains('=') {
        true => Err(format!("`{name}` is no name of a variable")),
        false => c_string(&format!("{name}={value}")),
    }
}

fn places(program: &str, env: &[(String, String)]) -> Result<Vec<CString>, String> {
    if program.contains('/') {
        return Ok(vec![c_string(program)?]);
    }
    let path = env.iter().find(|(name, _)| name == "PATH").map_or(DEFAULT_PATH, |(_, path)| path);
    let directories = path.split(':').map(|directory| if directory.is_empty() { "." } else { directory });
    directories.map(|directory| c_string(&format!("{directory}/{program}"))).collect()
}

fn builder() -> std::io::Result<(u64, u64)> {
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

/// Whether a program, or what its first line says is to run it, is the builder itself: as long as this process is a copy
/// of that, `/proc/self/exe` is. Who runs as it could write to it.
fn leads_to_builder(program: &CStr, builder: (u64, u64)) -> bool {
    const MOST_INTERPRETERS: usize = 8;
    let mut next = interpreter(program);
    let mut is_builder = sys::identify(program) == Ok(builder);
    for _ in 0..MOST_INTERPRETERS {
        let Some(path) = next else { break };
        let path = CStr::from_bytes_until_nul(&path).unwrap_or(c"");
        is_builder |= sys::identify(path) == Ok(builder);
        next = interpreter(path);
    }
    is_builder
}

/// Reads the path of the program that runs a script, with a NUL at its end.
fn interpreter(script: &CStr) -> Option<[u8; 257]> {
    let flags = libc::O_RDONLY | libc::O_NONBLOCK | libc::O_CLOEXEC;
    let fd = sys::open_at(libc::AT_FDCWD, script, flags, 0).ok()?;
    let mut line = [0; 256];
    let n_bytes = sys::read(fd, &mut line);
    sys::close(fd);
    let line = line.get(..n_bytes.ok()?)?.strip_prefix(b"#!")?;
    let rest = line.trim_ascii_start();
    let end = rest.iter().take_while(|byte| !matches!(byte, b' ' | b'\t' | b'\n' | 0)).count();
    let mut path = [0; 257];
    path.get_mut(..end)?.copy_from_slice(rest.get(..end)?);
    Some(path)
}
