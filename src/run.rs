//! Running a program to its end: a runtime, the signals that end it early, and how an error is shown.

use std::future::Future;
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::signal::unix::{SignalKind, signal};

use crate::build::definition::Diagnostics;
use crate::build::lock::InvalidLock;
use crate::progress::Progress;
use crate::sandbox::{Cancel, hold_little_memory};

/// What an answer that nobody takes is told as.
const TO_STDOUT: &str = "cannot write to stdout";

/// How long work that was told to end may take to put its things away.
const PATIENCE: Duration = Duration::from_secs(10);

/// Runs `verb` and prints what it answers; SIGTERM, SIGINT and SIGHUP cancel it, and it is given time to put its
/// things away.
///
/// The exit code says how it went: 0 done, 1 the work failed, 2 the request was wrong (an error of type `W`, or
/// mistakes in a definition or a lock).
pub fn to_end<W, F>(progress: &Progress, verb: impl FnOnce(Cancel) -> F) -> ExitCode
where
    W: std::error::Error + Send + Sync + 'static,
    F: Future<Output = Result<Vec<u8>>>,
{
    match run(progress, verb).and_then(|answer| print(&answer)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}", shown(&error, progress.is_coloured()));
            let is_request = error.is::<Diagnostics>() || error.is::<InvalidLock>() || error.is::<W>();
            ExitCode::from(if is_request { 2 } else { 1 })
        }
    }
}

fn run<F: Future<Output = Result<Vec<u8>>>>(
    progress: &Progress,
    verb: impl FnOnce(Cancel) -> F,
) -> Result<Vec<u8>> {
    hold_little_memory();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let cancel = Cancel::new().context("cannot prepare for signals")?;
    let result = runtime.block_on(async {
        tokio::select! {
            result = verb(cancel.clone()) => result,
            name = interruption() => {
                progress.warn(format!("{}: putting things away", name?));
                cancel.cancel();
                bail!("interrupted")
            }
        }
    });
    runtime.shutdown_timeout(PATIENCE);
    result
}

async fn interruption() -> Result<&'static str> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    Ok(tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
        _ = hang_up.recv() => "SIGHUP",
    })
}

fn print(answer: &[u8]) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(answer).and_then(|()| stdout.flush()).context(TO_STDOUT)
}

/// Returns what could not be done, and why, as people read it. Mistakes in a definition say `error: ` themselves.
fn shown(error: &anyhow::Error, colour: bool) -> String {
    if let Some(mistakes) = error.downcast_ref::<Diagnostics>() {
        return mistakes.render(colour);
    }
    let reasons = reasons(error);
    let is_helped = !is_full(&reasons) || reasons.starts_with(TO_STDOUT) || reasons.contains("\nhint: ");
    let hint =
        if is_helped { "" } else { "\nhint: free some space, or choose another place with --state DIR" };
    format!("error: {reasons}{hint}")
}

/// Returns an error and its causes, each of them once.
fn reasons(error: &anyhow::Error) -> String {
    let mut shown = String::new();
    for cause in error.chain() {
        let text = cause.to_string();
        // A cause that its outer error spells out already is not said twice.
        if !shown.contains(&text) {
            shown.push_str(if shown.is_empty() { "" } else { ": " });
            shown.push_str(&text);
        }
    }
    shown
}

/// Whether a disk was full, whoever found that out: we, or a program in the sandbox.
fn is_full(shown: &str) -> bool {
    ["No space left on device", "Disk quota exceeded"].iter().any(|text| shown.contains(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::definition;

    fn mistakes() -> anyhow::Error {
        let text = "image \"x\" {\n  ent = 1\n  bas = 2\n}\n";
        anyhow::Error::new(definition::parse(text, "x.hcl", &Default::default()).unwrap_err())
    }

    #[test]
    fn every_mistake_says_once_that_it_is_one() {
        for error in [mistakes(), mistakes().context("cannot build")] {
            let said = shown(&error, false);
            assert_eq!(said.matches("error: ").count(), 2, "{said}");
            assert!(said.starts_with("error: unknown attribute `ent`"), "{said}");
            assert!(!said.contains('\x1b'), "{said}");
            assert!(shown(&error, true).starts_with('\x1b'), "{said}");
        }
    }

    #[test]
    fn a_cause_is_said_once() {
        let error =
            anyhow::anyhow!("it is gone").context("cannot read x: it is gone").context("cannot build");
        assert_eq!(shown(&error, true), "error: cannot build: cannot read x: it is gone");
    }

    #[test]
    fn a_full_disk_has_a_way_out() {
        let said = shown(&anyhow::anyhow!("cannot write x: No space left on device (os error 28)"), false);
        assert!(
            said.ends_with("\nhint: free some space, or choose another place with --state DIR"),
            "{said}"
        );
        let said = shown(&anyhow::anyhow!("No space left on device\nhint: buy a disk"), false);
        assert!(said.ends_with("\nhint: buy a disk"), "{said}");
    }
}
