//! What can go wrong on the wire, asked for by the test.

use std::sync::{Arc, Mutex};

use super::http::Logged;

/// A fault of the far side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The request is read, and answered with this status; no work is done.
    Status(u16),
    /// The same, with header fields (`Retry-After`).
    StatusWith(u16, Vec<(&'static str, String)>),
    /// The connection is reset before anything is answered; no work is done.
    Reset,
    /// The connection is reset after so many bytes of the request's body; no work is done.
    ResetAfter(u64),
    /// The work is done, but the connection is reset before the answer is sent.
    LoseAnswer,
    /// The answer announces its full length; the connection ends after so many bytes of it.
    Truncate(u64),
    /// Nothing is ever answered.
    Stall,
    /// After so many bytes of the answer's body nothing more comes.
    StallAfter(u64),
    /// The first byte of the answer's body is another one.
    WrongBytes,
    /// The answer's body lacks its last byte, and its length says so.
    Shorter,
}

/// For ever, where a number of times is asked for.
pub const ALWAYS: usize = usize::MAX;

type Matcher = Box<dyn Fn(&Logged) -> bool + Send>;

struct Planned {
    matcher: Matcher,
    times: usize,
    fault: Fault,
}

/// The faults that are still to come. Cheap to clone.
#[derive(Clone, Default)]
pub struct Faults(Arc<Mutex<Vec<Planned>>>);

impl Faults {
    /// Plans `fault` for the next `times` requests with `method` (`*`: any) whose path contains `part`.
    pub fn fail(&self, method: &str, part: &str, times: usize, fault: Fault) {
        let (method, part) = (method.to_owned(), part.to_owned());
        let matches = move |request: &Logged| request.is(&method, &part);
        self.fail_if(matches, times, fault);
    }

    /// Plans `fault` for the next `times` requests that `matcher` picks.
    pub fn fail_if(&self, matcher: impl Fn(&Logged) -> bool + Send + 'static, times: usize, fault: Fault) {
        self.0.lock().unwrap().push(Planned { matcher: Box::new(matcher), times, fault });
    }

    /// Forgets what was planned.
    pub fn heal(&self) {
        self.0.lock().unwrap().clear();
    }

    /// Returns what shall go wrong with `request`, and counts it.
    pub(super) fn strike(&self, request: &Logged) -> Option<Fault> {
        let mut planned = self.0.lock().unwrap();
        let due = planned.iter_mut().find(|plan| plan.times > 0 && (plan.matcher)(request))?;
        if due.times != ALWAYS {
            due.times -= 1;
        }
        Some(due.fault.clone())
    }
}
