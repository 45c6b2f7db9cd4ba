//! `task`: the same builds as a put's, whose images go into outputs. Installed in the image as `build`; see `docs/task.md`.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use estaleiro::progress::Progress;
use estaleiro::resource::{InvalidRequest, TASK_HELP, TaskParams, task};
use estaleiro::run;
use estaleiro::sandbox::enter_user_namespace;

pub(crate) fn main() -> ExitCode {
    enter_user_namespace();
    let progress = Progress::stderr();
    run::to_end::<InvalidRequest, _>(&progress, |cancel| async {
        if asks_for_help()? {
            return Ok(TASK_HELP.into());
        }
        let params = TaskParams::read(std::env::vars_os())?;
        let directory = std::env::current_dir().context("cannot find the working directory")?;
        task(&params, &directory, progress.clone(), cancel).await?;
        Ok(Vec::new())
    })
}

/// Whether that is asked for; nothing else can be said on the command line.
fn asks_for_help() -> Result<bool, InvalidRequest> {
    match std::env::args_os().nth(1) {
        None => Ok(false),
        Some(argument) if argument == "--help" || argument == "-h" => Ok(true),
        Some(_) => Err(InvalidRequest::new(
            "cannot read the command line: the task takes no arguments\nhint: its params say what to build; see `build --help`",
        )),
    }
}
