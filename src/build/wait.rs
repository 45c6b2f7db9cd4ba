//! Waiting for the network on the threads that work, for as long as somebody waits for them in turn.

use std::future::Future;

use anyhow::{Result, bail};
use tokio::runtime::Handle;
use tokio::sync::watch;

/// Waits for the network. Cheap to clone.
#[derive(Clone)]
pub struct Waiter {
    runtime: Handle,
    interest: watch::Receiver<()>,
}

/// Somebody's interest in what is waited for: when it is dropped, nobody waits any longer.
pub struct Interest(#[expect(dead_code, reason = "it is there to be dropped")] watch::Sender<()>);

impl Waiter {
    /// Returns a waiter of the runtime that this runs in.
    pub fn new() -> (Interest, Waiter) {
        let (sender, interest) = watch::channel(());
        (Interest(sender), Waiter { runtime: Handle::current(), interest })
    }

    /// Waits until `work` is done; to be called on a thread of its own, not on one of the runtime's.
    ///
    /// # Errors
    /// Those of `work`, and when nobody wants it any longer.
    pub fn wait<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let mut interest = self.interest.clone();
        self.runtime.block_on(async move {
            // In this order: a runtime that is being shut down has no timers for `work` to be polled with.
            tokio::select! {
                biased;
                _ = interest.changed() => bail!("interrupted"),
                result = work => result,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn what_nobody_wants_any_longer_is_not_waited_for() {
        let (interest, waiter) = Waiter::new();
        let other = waiter.clone();
        let done = tokio::task::spawn_blocking(move || other.wait(async { Ok(7) }));
        assert_eq!(done.await.unwrap().unwrap(), 7);
        let stuck = tokio::task::spawn_blocking(move || waiter.wait(std::future::pending::<Result<()>>()));
        drop(interest);
        assert_eq!(stuck.await.unwrap().unwrap_err().to_string(), "interrupted");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_nobody_wants_any_longer_is_not_begun() {
        let (interest, waiter) = Waiter::new();
        drop(interest);
        let work = std::future::poll_fn(|_| -> std::task::Poll<Result<()>> { panic!("it was polled") });
        let idle = tokio::task::spawn_blocking(move || waiter.wait(work));
        assert_eq!(idle.await.unwrap().unwrap_err().to_string(), "interrupted");
    }
}
