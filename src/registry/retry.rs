//! Whether a request that failed is made again.

use super::{Reason, Retry};

/// The attempts made at one thing.
pub(super) struct Attempts<'a> {
    retry: &'a Retry,
    n_failed: u32,
}

impl Attempts<'_> {
    pub(super) fn new(retry: &Retry) -> Attempts<'_> {
        Attempts { retry, n_failed: 0 }
    }

    /// Whether there is to be another attempt after `reason`; waits until it is time for it.
    pub(super) async fn another(&mut self, reason: &Reason) -> bool {
        self.n_failed += 1;
        if !reason.is_transient() || self.n_failed >= self.retry.n_tries {
            return false;
        }
        match reason.retry_after() {
            Some(wanted) => tokio::time::sleep(wanted.min(self.retry.longest_pause)).await,
            None => self.retry.pause(self.n_failed).await,
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn only_what_may_pass_is_tried_again_and_not_for_ever() {
        let pause = Duration::from_millis(1);
        let retry = Retry { n_tries: 3, first_pause: pause, longest_pause: pause };
        let mut attempts = Attempts::new(&retry);
        assert!(!attempts.another(&Reason::Missing).await);
        let mut attempts = Attempts::new(&retry);
        assert!(attempts.another(&Reason::Expired).await);
        assert!(attempts.another(&Reason::Expired).await);
        assert!(!attempts.another(&Reason::Expired).await);
    }
}
