//! `estaleiro`: the verbs of the resource, for a laptop and a shell.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
