//! `check`: lists the versions of an image. See `docs/resource.md`.

use std::process::ExitCode;

use estaleiro::progress::Progress;
use estaleiro::resource::{CheckRequest, InvalidRequest, check, check_response, read_request};
use estaleiro::run;

pub(crate) fn main() -> ExitCode {
    let progress = Progress::stderr();
    run::to_end::<InvalidRequest, _>(&progress, |_| async {
        let request = CheckRequest::parse(&read_request(std::io::stdin())?)?;
        Ok(check_response(&check(&request, &progress).await?).into_bytes())
    })
}
