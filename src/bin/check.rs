//! `check`: lists the versions of an image. See `docs/resource.md`.

use std::process::ExitCode;

use estaleiro::progress::Progress;
use estaleiro::resource::{CheckRequest, InvalidRequest, check, check_response, read_request};
use estaleiro::run;

fn main() -> ExitCode {
    run::to_end::<InvalidRequest, _>(&Progress::stderr(), |_| async {
        let request = CheckRequest::parse(&read_request(std::io::stdin())?)?;
        Ok(check_response(&check(&request).await?).into_bytes())
    })
}
