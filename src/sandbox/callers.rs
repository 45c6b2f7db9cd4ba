//! Who calls: the memory of a process, who it belongs to, and which processes there are.
//!
//! The kernel shows a process's memory only to who is the same user and may do no less. The supervisor may do more than
//! any process of the command, and becomes its user, for file access and in its own thread alone, where that is needed.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSliceMut};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use nix::libc;
use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::Pid;

use super::calls::{Call, Calls};

/// How many memories are kept open.
const MOST_OPEN: usize = 512;
/// No path is longer.
const LONGEST_PATH: usize = 4096;
/// Memory comes in pages of at least this; one may be there and the next not.
const PAGE: u64 = 4096;

/// A process as the kernel lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) pid: i32,
    parent: i32,
    pub(super) group: i32,
}

/// Who a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// The process that the thread is of.
    pub(super) process: i32,
}

/// The memories of callers.
#[derive(Default)]
pub(super) struct Memories(BTreeMap<i32, File>);

impl Memories {
    /// Forgets a memory, for instance since another program will run there.
    pub(super) fn forget(&mut self, thread: i32) {
        self.0.remove(&thread);
    }

    /// Reads a string that ends with NUL; none where it can't be read or is no path.
    pub(super) fn string(&mut self, calls: &Calls, call: &Call, address: u64) -> Option<Vec<u8>> {
        let mut text = Vec::with_capacity(128);
        let mut piece = [0; 256];
        while text.len() < LONGEST_PATH {
            let at = address.checked_add(text.len() as u64)?;
            let in_page = (PAGE - at % PAGE).min(piece.len() as u64) as usize;
            let piece = piece.get_mut(..in_page)?;
            self.read(calls, call, at, piece)?;
            match piece.iter().position(|&byte| byte == 0) {
                Some(end) => {
                    text.extend(piece.get(..end)?);
                    return Some(text);
                }
                None => text.extend_from_slice(piece),
            }
        }
        None
    }

    /// Fills the buffer from an address; through a file where the caller is somebody else.
    pub(super) fn read(&mut self, calls: &Calls, call: &Call, address: u64, buffer: &mut [u8]) -> Option<()> {
        match copy_from(call.thread, address, buffer) {
            true => calls.waits(call).then_some(()),
            false => self.with(calls, call, |memory| memory.read_exact_at(buffer, address)),
        }
    }

    /// Writes to an address.
    pub(super) fn write(&mut self, calls: &Calls, call: &Call, address: u64, bytes: &[u8]) -> Option<()> {
        self.with(calls, call, |memory| memory.write_all_at(bytes, address))
    }

    /// What was opened before another program was started there is dead, and says so.
    fn with(
        &mut self,
        calls: &Calls,
        call: &Call,
        mut act: impl FnMut(&File) -> io::Result<()>,
    ) -> Option<()> {
        if let Some(memory) = self.0.get(&call.thread)
            && act(memory).is_ok()
        {
            return Some(());
        }
        let memory = open_memory(call.thread).ok()?;
        if !calls.waits(call) {
            return None;
        }
        let answer = act(&memory).ok();
        if self.0.len() >= MOST_OPEN {
            self.0.clear();
        }
        self.0.insert(call.thread, memory);
        answer
    }
}

/// Fills the buffer from a thread's memory; returns whether it could.
fn copy_from(thread: i32, address: u64, buffer: &mut [u8]) -> bool {
    let there = RemoteIoVec { base: address as usize, len: buffer.len() };
    let copied = process_vm_readv(Pid::from_raw(thread), &mut [IoSliceMut::new(buffer)], &[there]);
    copied == Ok(there.len)
}

fn open_memory(thread: i32) -> io::Result<File> {
    let path = format!("/proc/{thread}/mem");
    let open = || OpenOptions::new().read(true).write(true).open(&path);
    open().or_else(|_| as_user(identity(thread)?, open))
}

/// Does something with the rights to files that a user has; the rest of this process keeps its own.
pub(super) fn as_user<T>(who: Identity, act: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    if (who.uid, who.gid) == (0, 0) {
        return act();
    }
    let become_user = |uid, gid| {
        // SAFETY: numbers only; both concern the calling thread alone.
        unsafe {
            libc::setfsgid(gid);
            libc::setfsuid(uid);
        }
    };
    become_user(who.uid, who.gid);
    let answer = act();
    become_user(0, 0);
    answer
}

/// Returns who a thread is.
pub(super) fn identity(thread: i32) -> io::Result<Identity> {
    let status = fs::read_to_string(format!("/proc/{thread}/status"))?;
    let field = |name: &str, nth: usize| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|line| line.split_whitespace().nth(nth)?.parse().ok())
    };
    // The second of each is the effective one.
    let (uid, gid) = (field("Uid:", 1), field("Gid:", 1));
    let process = field("Tgid:", 0).and_then(|number| i32::try_from(number).ok());
    match (uid, gid, process) {
        (Some(uid), Some(gid), Some(process)) => Ok(Identity { uid, gid, process }),
        _ => Err(io::Error::other("its status cannot be read")),
    }
}

/// Whether a process or thread descends from `first`, but is not that itself.
pub(super) fn is_member(pid: i32, first: i32) -> bool {
    const DEEPEST: usize = 100_000;
    let Ok(who) = identity(pid) else { return false };
    let mut next = who.process;
    for _ in 0..DEEPEST {
        match process(next) {
            Some(found) if found.parent == first => return true,
            Some(found) if found.parent > 1 => next = found.parent,
            _ => return false,
        }
    }
    false
}

/// Returns all processes that descend from `first`.
pub(super) fn members(first: i32) -> Vec<Process> {
    let Ok(listed) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = listed.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let processes: BTreeMap<i32, Process> =
        pids.filter_map(process).map(|found| (found.pid, found)).collect();
    let descends = |process: &Process| {
        let ancestors =
            std::iter::successors(Some(*process), |process| processes.get(&process.parent).copied());
        ancestors.take(processes.len()).any(|ancestor| ancestor.parent == first)
    };
    processes.values().filter(|process| descends(process)).copied().collect()
}

fn process(pid: i32) -> Option<Process> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let rest = stat.get(stat.rfind(')')? + 1..)?;
    let mut fields = rest.split_whitespace().skip(1);
    Some(Process { pid, parent: fields.next()?.parse().ok()?, group: fields.next()?.parse().ok()? })
}

/// Returns a path below a thread's directory.
pub(super) fn below(thread: i32, name: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{thread}/{name}"))
}
