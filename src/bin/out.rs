//! `out`: builds an image, pushes it, and attaches its bill of materials. See `docs/resource.md`.

use std::process::ExitCode;

use anyhow::Context as _;
use estaleiro::progress::Progress;
use estaleiro::resource::{InvalidRequest, PutRequest, put, read_request};
use estaleiro::run;
use estaleiro::sandbox::enter_user_namespace;

pub(crate) fn main() -> ExitCode {
    enter_user_namespace();
    let progress = Progress::stderr();
    run::to_end::<InvalidRequest, _>(&progress, |cancel| async {
        let request = PutRequest::parse(&read_request(std::io::stdin())?)?;
        let sources = std::env::args_os().nth(1).context("cannot put: no directory of inputs is given")?;
        Ok(put(&request, sources.as_ref(), progress.clone(), cancel).await?.to_json().into_bytes())
    })
}
