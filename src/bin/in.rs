//! `in`: fetches an image and its bill of materials. See `docs/resource.md`.

use std::process::ExitCode;

use anyhow::Context as _;
use estaleiro::progress::Progress;
use estaleiro::resource::{GetRequest, InvalidRequest, get, read_request};
use estaleiro::run;

pub(crate) fn main() -> ExitCode {
    let progress = Progress::stderr();
    run::to_end::<InvalidRequest, _>(&progress, |_| async {
        let request = GetRequest::parse(&read_request(std::io::stdin())?)?;
        let destination = std::env::args_os().nth(1).context("cannot get: no destination is given")?;
        Ok(get(&request, destination.as_ref(), progress.clone()).await?.to_json().into_bytes())
    })
}
