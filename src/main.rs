//! `estaleiro`: the verbs of the resource, for a laptop and a shell; and under their names all the other programs.
//!
//! The image holds this program alone, statically linked, and links to it where Concourse looks for the others.

#[path = "bin/check.rs"]
mod check;
mod cli;
#[path = "bin/in.rs"]
mod get;
#[path = "bin/out.rs"]
mod put;
#[path = "bin/task.rs"]
mod task;

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let called = std::env::args_os().next().unwrap_or_default();
    match Path::new(&called).file_name().and_then(|name| name.to_str()) {
        Some("check") => check::main(),
        Some("in") => get::main(),
        Some("out") => put::main(),
        Some("task" | "build") => task::main(),
        Some(_) | None => cli::main(),
    }
}
