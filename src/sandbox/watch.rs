//! Watching a run: somebody is told of each program before it starts, and of what is removed. What is done with that is
//! not known here.

use std::io::PipeReader;
use std::os::unix::net::UnixStream;

use nix::libc;

use super::callers::Memories;
use super::calls::{Answer, Call, Calls};
use super::filter::{ARCHITECTURE, FOREIGN_STARTS, NOTIFY, Rule};

/// Who watches a run. They are called in one thread, one after the other, and the command waits until they return.
#[derive(Clone, Copy)]
pub struct Watch<'a> {
    /// Is told of each program that is about to start.
    pub starts: &'a (dyn Fn(&mut Starting<'_>) + Sync),
    /// Is told of each path that is about to be removed or renamed; programs for another architecture are not told of.
    pub removals: Option<&'a (dyn Fn(&mut Removing<'_>) + Sync)>,
}

/// A path that is about to be removed or renamed.
pub struct Removing<'a> {
    calls: &'a Calls,
    memories: &'a mut Memories,
    call: &'a Call,
    argument: usize,
}

/// A program that is about to start.
pub struct Starting<'a> {
    /// The program's path, as the caller names it.
    pub program: Vec<u8>,
    calls: &'a Calls,
    memories: &'a mut Memories,
    call: &'a Call,
}

/// No program has more variables.
const MOST_VARIABLES: u64 = 4096;

/// The calls that take a name away, and which argument is the path.
const REMOVING: &[(i64, usize)] = &[
    (libc::SYS_unlinkat, 1),
    (libc::SYS_renameat, 1),
    (libc::SYS_renameat2, 1),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_unlink, 0),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_rmdir, 0),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_rename, 0),
];

impl Watch<'_> {
    /// Returns the rules by which the kernel shows what is watched.
    pub(super) fn rules(&self) -> Vec<Rule> {
        let starts = [libc::SYS_execve, libc::SYS_execveat];
        let removing = REMOVING.iter().filter(|_| self.removals.is_some()).map(|(call, _)| *call);
        starts.into_iter().chain(removing).map(|call| Rule::new(call, NOTIFY)).collect()
    }

    /// Tells of what a call is about to do; nothing of a program whose path can't be read.
    pub(super) fn tell(&self, calls: &Calls, memories: &mut Memories, call: &Call) {
        if let Some(index) = removed_path_of(call) {
            if let Some(removals) = self.removals {
                removals(&mut Removing { calls, memories, call, argument: index });
            }
        } else if let Some(program) = memories.string(calls, call, call.address_at(program_of(call))) {
            (self.starts)(&mut Starting { program, calls, memories, call });
        }
    }
}

/// Returns which argument is the path that a call takes away, if it is such a call.
pub(super) fn removed_path_of(call: &Call) -> Option<usize> {
    let known = REMOVING.iter().find(|(number, _)| *number == call.number)?;
    (call.architecture == ARCHITECTURE).then_some(known.1)
}

impl Removing<'_> {
    /// Returns the path as the caller names it; none where it can't be read.
    pub fn path(&mut self) -> Option<Vec<u8>> {
        self.memories.string(self.calls, self.call, self.call.address_at(self.argument))
    }
}

impl Starting<'_> {
    /// Returns the values of variables in the environment that the program gets.
    pub fn variables<const N: usize>(&mut self, names: [&str; N]) -> [Option<String>; N] {
        let mut values = [const { None }; N];
        let (width, list) = (width(self.call), self.call.address_at(program_of(self.call) + 2));
        for index in 0..MOST_VARIABLES {
            let Some(variable) = self.variable(list.saturating_add(index * width)) else { break };
            let Some((name, value)) = variable.split_once('=') else { continue };
            if let Some(place) = names.iter().position(|wanted| *wanted == name) {
                values[place] = Some(value.to_owned());
            }
        }
        values
    }

    /// Returns the string that the pointer at an address leads to; an empty one where that is no text of a usual length.
    fn variable(&mut self, address: u64) -> Option<String> {
        let mut pointer = [0; 8];
        let width = width(self.call) as usize;
        self.memories.read(self.calls, self.call, address, pointer.get_mut(..width)?)?;
        let string = match u64::from_ne_bytes(pointer) {
            0 => return None,
            address => self.memories.string(self.calls, self.call, address),
        };
        Some(string.and_then(|string| String::from_utf8(string).ok()).unwrap_or_default())
    }
}

/// How many bytes a caller's pointers have; both architectures that are known have the low half first.
fn width(call: &Call) -> u64 {
    if call.architecture == ARCHITECTURE { 8 } else { 4 }
}

/// Which argument is the program's path; the environment comes two later.
fn program_of(call: &Call) -> usize {
    let names_directory = match call.architecture == ARCHITECTURE {
        true => call.number == libc::SYS_execveat,
        false => call.number == i64::from(FOREIGN_STARTS[1]),
    };
    usize::from(names_directory)
}

/// Tells of all that is shown, once a child has handed its calls over and until `stop` is closed.
pub(super) fn serve(first: &UnixStream, watch: Watch<'_>, stop: &PipeReader) {
    let Ok(Some(calls)) = Calls::receive(first) else { return };
    let mut memories = Memories::default();
    while let Some(call) = calls.next(stop) {
        watch.tell(&calls, &mut memories, &call);
        if removed_path_of(&call).is_none() {
            memories.forget(call.thread);
        }
        calls.answer(&call, Answer::Proceed);
    }
}
