//! The command line: its words, and what each verb prints.

mod args;
mod bom;
mod dockerfile;
mod lock;
mod signing;
mod verbs;

use std::process::ExitCode;

use clap::Parser;

use args::{Args, Verb};
use estaleiro::progress::Progress;
use estaleiro::run;
use estaleiro::sandbox::enter_user_namespace;

/// Reads the command line, does what it says, and returns how that went.
pub(crate) fn main() -> ExitCode {
    let args = Args::parse();
    if let Verb::Build(_) = args.verb {
        enter_user_namespace();
    }
    let progress = if args.quiet { Progress::silent() } else { Progress::stderr() };
    run::to_end::<verbs::WrongRequest, _>(&progress, |cancel| async {
        let progress = progress.clone();
        match args.verb {
            Verb::Build(build) => verbs::build(*build, progress, cancel).await,
            Verb::Lock(args) => lock::lock(args, progress, cancel).await,
            Verb::Graph(graph) => verbs::graph(graph, progress, cancel).await,
            Verb::Bom(args) => bom::bom(args, progress).await,
            Verb::Verify(args) => signing::verify(args).await,
        }
    })
}
