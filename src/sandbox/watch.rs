//! Watching a run: somebody is told of each program before it starts. What is done with that is not known here.

use std::io::PipeReader;
use std::os::unix::net::UnixStream;

use nix::libc;

use super::callers::Memories;
use super::calls::{Answer, Call, Calls};
use super::filter::{ARCHITECTURE, FOREIGN_STARTS, NOTIFY, Rule};

/// Is told of each program that is about to start, in one thread, one after the other; it waits until this returns.
pub type Watch<'a> = &'a (dyn Fn(&mut Starting<'_>) + Sync);

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

impl Starting<'_> {
    /// Returns the values of variables in the environment that the program gets.
    pub fn variables<const N: usize>(&mut self, names: [&str; N]) -> [Option<String>; N] {
        let mut values = [const { None }; N];
        let (width, list) = (width(self.call), self.call.address_at(path_of(self.call) + 2));
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
fn path_of(call: &Call) -> usize {
    let names_directory = match call.architecture == ARCHITECTURE {
        true => call.number == libc::SYS_execveat,
        false => call.number == i64::from(FOREIGN_STARTS[1]),
    };
    usize::from(names_directory)
}

/// Tells of the program that `call` starts, unless its name can't be read.
pub(super) fn tell(watch: Watch<'_>, calls: &Calls, memories: &mut Memories, call: &Call) {
    if let Some(program) = memories.string(calls, call, call.address_at(path_of(call))) {
        watch(&mut Starting { program, calls, memories, call });
    }
}

/// Returns the rules by which the kernel shows what starts.
pub(super) fn starts() -> impl Iterator<Item = Rule> {
    [libc::SYS_execve, libc::SYS_execveat].into_iter().map(|call| Rule::new(call, NOTIFY))
}

/// Tells of all that starts, once a child has handed its calls over and until `stop` is closed.
pub(super) fn serve(first: &UnixStream, watch: Watch<'_>, stop: &PipeReader) {
    let Ok(Some(calls)) = Calls::receive(first) else { return };
    let mut memories = Memories::default();
    while let Some(call) = calls.next(stop) {
        tell(watch, &calls, &mut memories, &call);
        memories.forget(call.thread);
        calls.answer(&call, Answer::Proceed);
    }
}
